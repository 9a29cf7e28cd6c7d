"""Write one part."""

import shutil
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float16, Int64
from zarr.codecs import Crc32cCodec

from unipool.cache.part import (
    FORMAT,
    FRAMES_IN_CHUNK,
    LAYER_MEANING,
    UNREADABLE,
    VERSION,
    array_of,
    count_whole_frames,
    metadata_sha256,
    seal,
)
from unipool.cache.shards import shards_of, write_shard

BYTES_IN_SHARD = 256 * 2**20
"""A shard is one file, held in memory until it is whole and then written at once."""

LIBRARIES = ("torch", "transformers", "zarr")
"""Whose versions are kept with the states."""

EXPONENT_BITS = np.uint16(0x7C00)
"""Of a float16; all set in infinities and NaN."""


class PartWriter:
    """Write one part, utterance after utterance, whole shards at a time.

    A store that was broken off, or is damaged from some shard on, is gone on with: what
    is whole of it stays.

    Args:
        store: folder of the Zarr group; what else stands there is removed.
        utterances: ids, in the order in which they are appended.
        num_frames: of each utterance, known before they are encoded.
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        fingerprint: what the part must hold, see ``fingerprint``.

    Attributes:
        num_whole: utterances, from the first on, that are on disk already.
    """

    def __init__(
        self,
        store: Path,
        *,
        utterances: list[str],
        num_frames: Int64[np.ndarray, " N"],
        num_layers: int,
        hidden_size: int,
        frame_shift: float,
        fingerprint: str,
    ) -> None:
        self._started = time.monotonic()
        self._store, self._utterances = store, utterances
        self._offsets = np.concatenate([[0], np.cumsum(num_frames)]).astype(np.int64)
        shape = (int(self._offsets[-1]), num_layers, hidden_size)
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": fingerprint,
            "layer_meaning": LAYER_MEANING,
            "frame_shift": frame_shift,
            "complete": False,
            "extract_seconds": 0.0,
        }
        group = _reopen(store, fingerprint, shape, self._offsets, utterances)
        if group is None:
            shutil.rmtree(store, ignore_errors=True)
            group = _create(store, attributes, shape, self._offsets, utterances)
        self._group, self._states = group, array_of(group, "hidden_states")
        assert self._states.shards is not None
        self._shard = np.empty((self._states.shards[0], *shape[1:]), np.float16)
        self._in_shard = 0
        self._written = count_whole_frames(store, self._states)
        for damaged in shards_of(store, self._states, after=self._written):
            damaged.unlink(missing_ok=True)
        self._seconds_before = float(str(group.attrs["extract_seconds"]))
        ends = self._offsets[1:]
        self.num_whole = int(np.searchsorted(ends, self._written, side="right"))
        self._next = 0

    def go_to(self, utterance: int) -> None:
        """Say which utterance is appended next.

        Raises:
            ValueError: when it lies beyond ``num_whole``, so that frames would lack.
        """
        if utterance > self.num_whole:
            raise ValueError(
                f"utterance {utterance} cannot be next, {self.num_whole} are whole"
            )
        self._next = utterance

    def append(self, states: Float16[np.ndarray, "T L D"]) -> None:
        """Add the next utterance's hidden states; those on disk already are passed by.

        Raises:
            ValueError: when a value is not finite (as what overflowed float16 is), or
                the number of frames is not the one that was announced.
        """
        utterance = self._utterances[self._next]
        first, end = self._offsets[self._next : self._next + 2]
        expected = (int(end - first), *self._shard.shape[1:])
        if states.shape != expected:
            raise ValueError(
                f"utterance {utterance}: hidden states of shape {states.shape},"
                f" expected {expected} (frames, layers, hidden size)"
            )
        # By the bits of the exponent: numpy's own test is slow for float16.
        exponents = np.ascontiguousarray(states).view(np.uint16) & EXPONENT_BITS
        finite = (exponents != EXPONENT_BITS).all(axis=(0, 2))
        if not finite.all():
            raise ValueError(
                f"utterance {utterance}, layer {int(np.argmin(finite))}: a hidden state"
                " is NaN, infinite, or beyond the 65504 that float16 holds; compute in"
                " another dtype (`dtype:` of the backbone) or check its weights"
            )
        self._next += 1
        start = max(self._written + self._in_shard - int(first), 0)
        while start < len(states):
            take = min(len(states) - start, len(self._shard) - self._in_shard)
            self._shard[self._in_shard :][:take] = states[start : start + take]
            self._in_shard += take
            start += take
            if self._in_shard == len(self._shard):
                self._flush()

    def finish(self, *, device: str) -> None:
        """Write the last shard, then mark the store complete.

        Args:
            device: where the encoder ran.
        """
        self._flush()
        assert self._written == self._offsets[-1]
        facts = self._group.attrs.asdict() | {
            "metadata_sha256": metadata_sha256(self._store),
            "extract_seconds": self._seconds(),
            "device": device,
            "versions": {name: version(name) for name in LIBRARIES},
            "complete": True,
        }
        self._group.attrs.put(facts | {"seal": seal(facts)})

    def _flush(self) -> None:
        if self._in_shard:
            file = shards_of(self._store, self._states, after=self._written)[0]
            try:
                write_shard(
                    file,
                    self._shard[: self._in_shard],
                    chunk_frames=FRAMES_IN_CHUNK,
                    chunks_in_shard=len(self._shard) // FRAMES_IN_CHUNK,
                )
            except OSError as error:
                raise OSError(
                    f"{self._store}: a shard of {self._shard.nbytes / 1e6:.1f} MB"
                    f" cannot be written ({error.strerror}); make room or name another"
                    " cache_dir. What is whole stays, the same command goes on from it"
                ) from error
            self._written += self._in_shard
            self._in_shard = 0
            self._group.attrs["extract_seconds"] = self._seconds()

    def _seconds(self) -> float:
        return round(self._seconds_before + time.monotonic() - self._started, 3)


def _reopen(
    store: Path,
    fingerprint: str,
    shape: tuple[int, int, int],
    offsets: Int64[np.ndarray, " ends"],
    utterances: list[str],
) -> zarr.Group | None:
    """Open a store to go on with it, None where there is none of just this part."""
    for stray in store.rglob("*.partial"):  # of a write that was broken off
        stray.unlink()
    try:
        group = zarr.open_group(store, mode="r+")
        states = array_of(group, "hidden_states")
        same = (
            group.attrs["fingerprint"] == fingerprint
            and (states.shape, states.dtype) == (shape, np.float16)
            and states.chunks == (FRAMES_IN_CHUNK, 1, shape[2])
            and states.shards is not None
            and np.array_equal(array_of(group, "offsets")[:], offsets)
            and list(np.asarray(array_of(group, "utterances")[:])) == utterances
        )
    except UNREADABLE:
        return None
    if not same:
        return None
    group.attrs["complete"] = False
    return group


def _create(
    store: Path,
    attributes: dict[str, Any],
    shape: tuple[int, int, int],
    offsets: Int64[np.ndarray, " ends"],
    utterances: list[str],
) -> zarr.Group:
    total, num_layers, hidden_size = shape
    row_bytes = FRAMES_IN_CHUNK * num_layers * hidden_size * 2
    rows = max(1, min(BYTES_IN_SHARD // row_bytes, -(-total // FRAMES_IN_CHUNK)))
    group = zarr.create_group(store, attributes=attributes)
    group.create_array(
        "hidden_states",
        shape=shape,
        dtype="float16",
        chunks=(FRAMES_IN_CHUNK, 1, hidden_size),
        shards=(rows * FRAMES_IN_CHUNK, num_layers, hidden_size),
        # No compression: 7 % smaller would be 2 to 10 times slower to read.
        compressors=[Crc32cCodec()],
        fill_value=float("nan"),
        config={"write_empty_chunks": True},
    )
    group.create_array("offsets", data=offsets)
    _write_strings(group, "utterances", utterances)
    return group


def _write_strings(group: zarr.Group, name: str, values: list[str]) -> None:
    with warnings.catch_warnings():
        # zarr warns that strings are not yet in the v3 specification; every v3
        # implementation that we know reads them.
        warnings.simplefilter("ignore")
        array = group.create_array(
            name, shape=(len(values),), chunks=(max(len(values), 1),), dtype=str
        )
        if values:
            array[:] = np.array(values, dtype=object)
