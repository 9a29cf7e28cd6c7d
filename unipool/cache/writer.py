"""Write one part."""

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float16
from torch import Tensor

from unipool.cache.block import Block, ShardFile
from unipool.cache.layout import scales_file, shard_file
from unipool.cache.part import array_of, metadata_sha256, seal
from unipool.cache.shards import Shards
from unipool.cache.store import Content, create_store, reopen_store

LIBRARIES = ("torch", "transformers", "zarr")
"""Whose versions are kept with the states."""

INFINITY, SIGN = 0x7C00, 0x8000
"""The bits of float16's infinity; those of NaN are larger, of numbers smaller."""


class PartWriter:
    """Write one part, frame after frame, in blocks; a shard counts when it is whole.

    A store that was broken off, or is damaged from some shard on, is gone on with: what
    is whole of it stays.

    Args:
        store: folder of the Zarr group; what else stands there is removed.
        content: what it is to hold.

    Attributes:
        num_whole: frames, from the first on, that are on disk already.

    Raises:
        OSError: when the disk does not take it.
    """

    def __init__(self, store: Path, content: Content) -> None:
        self._started = time.monotonic()
        self._store, self._content = store, content
        try:
            self._group = reopen_store(store, content) or create_store(store, content)
        except OSError as error:
            raise _refused_by_disk(store, error) from error
        shards = Shards(store, array_of(self._group, "hidden_states"))
        num_whole_shards = shards.count_whole()
        for number in range(num_whole_shards, len(shards)):
            shard_file(store, number).unlink(missing_ok=True)
        whole = num_whole_shards * shards.layout.shard_frames
        self.num_whole = min(whole, shards.num_frames)
        missing = (shards.num_frames - self.num_whole) * shards.layout.bytes_per_frame
        if missing > (free := shutil.disk_usage(store).free):
            raise OSError(
                f"{store}: {missing / 1e9:.3g} GB are to be written, but only"
                f" {free / 1e9:.3g} GB are free; make room, name another cache_dir, or"
                " keep less (`unipool plan` reckons it for the whole grid)"
            )
        self._next = self._held = self.num_whole
        self._seconds_before = float(str(self._group.attrs["extract_seconds"]))
        self._layout = shards.layout
        self._filling, self._spare = (Block(self._layout) for _ in range(2))
        self._shard: ShardFile | None = None
        self._disk = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._disk.shutdown()
        if self._shard is not None:
            self._shard.close()

    def go_to(self, frame: int) -> None:
        """Say which frame is appended next.

        Raises:
            ValueError: when it lies beyond ``num_whole``, so that frames would lack.
        """
        if frame > self.num_whole:
            raise ValueError(
                f"frame {frame} cannot be next, {self.num_whole} frames are whole"
            )
        self._next = frame

    def append(self, states: Float16[Tensor, "L T D"]) -> None:
        """Add the next frames, of any number; those on disk already are passed by.

        Raises:
            ValueError: when a value is not finite (as what overflowed float16 is), or
                the states are not of this part's shape.
            OSError: when the disk does not take a shard.
        """
        total, num_layers, hidden_size = self._content.shape
        room = (num_layers, total - self._next, hidden_size)
        if states.shape[::2] != room[::2] or states.shape[1] > room[1]:
            raise ValueError(
                f"{self._store}: hidden states of shape {tuple(states.shape)}, expected"
                f" {room} or fewer (layers, frames, hidden size)"
            )
        skip = self._held - self._next
        self._next += states.shape[1]
        rest = states[:, skip:]
        while rest.shape[1]:
            taken = self._filling.put(rest)
            self._check_finite(rest[:, :taken])
            rest = rest[:, taken:]
            self._held += taken
            if self._filling.is_full:
                self._flush()

    def finish(self, *, device: str) -> None:
        """Write the last shard, then mark the store complete.

        Args:
            device: where the encoder ran.

        Raises:
            OSError: when the disk does not take a shard.
        """
        if self._filling.num_frames:
            self._flush()
        self._wait()
        assert self._held == self._content.shape[0]
        facts = self._group.attrs.asdict() | {
            "metadata_sha256": metadata_sha256(self._store),
            "extract_seconds": self._seconds(),
            "device": device,
            "versions": {name: version(name) for name in LIBRARIES},
            "complete": True,
        }
        self._group.attrs.put(facts | {"seal": seal(facts)})

    def _check_finite(self, states: Float16[Tensor, "L T D"]) -> None:
        # By their bits, those of negative numbers and of others: numpy's own test is
        # slow for float16.
        plain = states.numpy()
        if (
            plain.view(np.int16).max() < INFINITY
            and plain.view(np.uint16).max() < SIGN + INFINITY
        ):
            return
        layer, frame, _ = np.argwhere(~np.isfinite(plain))[0]
        index = np.searchsorted(self._content.offsets, self._held + frame, "right") - 1
        raise ValueError(
            f"utterance {self._content.utterances[index]}, layer"
            f" {self._content.layers[layer]}: a hidden state is NaN, infinite, or"
            " beyond the 65504 that float16 holds; compute in another dtype (`dtype:`"
            " of the backbone) or check its weights"
        )

    def _flush(self) -> None:
        """Have the block written that was filled, and fill the other meanwhile."""
        self._wait()
        self._filling, self._spare = self._spare, self._filling
        self._filling.num_frames = 0
        self._writing = self._disk.submit(self._write, self._spare, self._held)

    def _write(self, block: Block, last: int) -> None:
        """Write a block to its shard, the shard's last one with its end.

        Args:
            block: the next one.
            last: the frame behind its last.
        """
        in_shard = self._layout.shard_frames
        if self._shard is None:
            number = (last - 1) // in_shard
            self._shard = ShardFile(
                shard_file(self._store, number),
                scales_file(self._store, number),
                self._layout,
            )
        self._shard.append(block)
        if last % in_shard == 0 or last == self._content.shape[0]:
            self._shard.finish()
            self._shard = None
            self._group.attrs["extract_seconds"] = self._seconds()

    def _wait(self) -> None:
        if self._writing is None:
            return
        try:
            self._writing.result()
        except OSError as error:
            raise _refused_by_disk(self._store, error) from error
        self._writing = None

    def _seconds(self) -> float:
        return round(self._seconds_before + time.monotonic() - self._started, 3)


def _refused_by_disk(store: Path, error: OSError) -> OSError:
    return OSError(
        f"{store}: cannot be written ({error.strerror}); make room, or name another"
        " cache_dir. What is whole stays, the same command goes on from it"
    )
