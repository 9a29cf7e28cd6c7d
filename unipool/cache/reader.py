"""All parts of a split, read as one."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import torch
from jaxtyping import Float16, Int64
from torch import Tensor

from unipool.cache.part import (
    Part,
    way_out,
)
from unipool.cache.shard import plain, runs_of
from unipool.cache.states import HiddenStates

Place = tuple[Part, int, int]
"""Part, first frame in it, and number of frames."""


class Cache:
    """All parts of some views of one split, as one backbone encoded it, read as one.

    It may be handed to another process, by fork or by pickle.

    Args:
        parts: in order.
        layers: which of the encoder's are read; by default all that are kept.

    Attributes:
        utterances: ids, part after part in manifest order.
        num_frames: of each utterance.
        layers: of the encoder, those that are read.
        num_layers: how many.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        num_bytes: of all that is kept, in the file and in memory.
        costs_of_parts: ``extract_seconds``, what it took to encode it, and ``bytes``,
            of each.
        fingerprints: of the parts.

    Raises:
        ValueError: when a layer is not kept.
    """

    def __init__(self, parts: list[Part], layers: list[int] | None = None) -> None:
        self._parts = parts
        kept = parts[0].facts["layers"]
        self.layers = kept if layers is None else layers
        if missing := sorted(set(self.layers) - set(kept)):
            raise ValueError(
                f"{parts[0].receipt.parent}: layer {missing[0]} is not in the cache,"
                f" {kept} are; change `layers:` of the backend, or `cache.layers` of"
                " the backbone"
            )
        self._runs = runs_of([kept.index(layer) for layer in self.layers])
        self._offsets = [part.offsets for part in parts]
        self.utterances = [name for part in parts for name in part.utterances]
        self.num_frames = np.concatenate([np.diff(part.offsets) for part in parts])
        counts = [len(part.utterances) for part in parts]
        self._part_of = np.repeat(np.arange(len(parts)), counts)
        self._row_of = np.concatenate([np.arange(count) for count in counts])
        layout = parts[0].shards.layout
        self._block_frames, self._dtype = layout.block_frames, layout.dtype
        self.num_layers, self.hidden_size = len(self.layers), layout.hidden_size
        self.frame_shift = parts[0].facts["frame_shift"]
        self.num_bytes = sum(part.facts["bytes"] for part in parts)
        self.costs_of_parts = [
            {name: part.facts[name] for name in ("extract_seconds", "bytes")}
            for part in parts
        ]
        self.fingerprints = [part.facts["fingerprint"] for part in parts]
        self._device = torch.device("cpu")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._may_be_evicted = self.num_bytes > memory / 2

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_device": torch.device("cpu")}

    def load(self, device: torch.device) -> None:
        """Read everything into the memory of a device, from where it is served then.

        Raises:
            ValueError: see ``gather``.
            torch.OutOfMemoryError: when it does not fit there; it is read from its
                files then, as before.
        """
        for part in self._parts:
            try:
                part.shards.load(device)
            except (OSError, ValueError) as error:
                raise _unreadable(part, error) from error
            except torch.OutOfMemoryError:
                for one in self._parts:
                    one.shards.unload()
                raise
        self._device = device

    def read(
        self, index: int, start: int = 0, stop: int | None = None
    ) -> Float16[Tensor, "L T D"]:
        """Read frames ``start`` to ``stop - 1`` of an utterance, by default all.

        Raises:
            ValueError: see ``gather``.
        """
        stop = int(self.num_frames[index]) if stop is None else stop
        rows, starts, stops = (np.array([value]) for value in (index, start, stop))
        stops = np.minimum(stops, self.num_frames[rows])
        states = self.gather(rows, starts, stops, num_frames=int((stops - starts)[0]))
        largest = torch.finfo(torch.float16).max  # which int8 may round beyond
        return states.to(torch.device("cpu"))[0].clamp(-largest, largest).half()

    def gather(
        self,
        rows: Int64[np.ndarray, " B"],
        starts: Int64[np.ndarray, " B"],
        stops: Int64[np.ndarray, " B"],
        *,
        num_frames: int,
        out: HiddenStates | None = None,
    ) -> HiddenStates:
        """Read frames ``start`` to ``stop - 1`` of some utterances.

        Args:
            rows: of ``utterances``.
            starts: first frame of each.
            stops: the one behind the last, or behind the utterance.
            num_frames: of each in the result, zeros behind what was read.
            out: memory to use again, of an earlier call with the same sizes.

        Raises:
            ValueError: when a chunk is missing, or not as it was written.
        """
        batch = out or self._empty(len(rows), num_frames)
        places = self._places(rows, starts, stops)
        self._read(places, batch, unchecked=self._announce(places))
        return batch

    def announce(
        self,
        rows: Int64[np.ndarray, " B"],
        starts: Int64[np.ndarray, " B"],
        stops: Int64[np.ndarray, " B"],
    ) -> None:
        """Have the system fetch from the disk what will be gathered; do not wait."""
        self._announce(self._places(rows, starts, stops))

    def _announce(self, places: list[Place]) -> bool:
        """Say whether some of it was never read before, and so is not checked yet."""
        unchecked = False
        for part, first, count in places:
            with suppress(OSError, ValueError):  # they are told when it is gathered
                unchecked |= part.shards.announce(
                    first, first + count, self._runs, again=self._may_be_evicted
                )
        return unchecked

    def _places(
        self,
        rows: Int64[np.ndarray, " B"],
        starts: Int64[np.ndarray, " B"],
        stops: Int64[np.ndarray, " B"],
    ) -> list[Place]:
        """Give part, first frame and number of frames of each."""
        counts = np.minimum(stops, self.num_frames[rows]) - starts
        return [
            (self._parts[part], int(self._offsets[part][row] + start), int(count))
            for part, row, start, count in zip(
                self._part_of[rows], self._row_of[rows], starts, counts, strict=True
            )
        ]

    def _read(
        self, places: list[Place], batch: HiddenStates, *, unchecked: bool
    ) -> None:
        values = plain(batch.values)
        scales, scale_of_frame = (
            None if one is None else plain(one)
            for one in (batch.scales, batch.scale_of_frame)
        )
        num_frames = values.shape[2]

        def read_one(i: int) -> None:
            part, first, count = places[i]
            if count < num_frames:
                values[i, :, count:] = 0
            if scale_of_frame is not None:
                frames = np.minimum(np.arange(num_frames), max(count - 1, 0))
                frames += first % self._block_frames
                scale_of_frame[i] = frames // self._block_frames
            try:
                part.shards.read(
                    first,
                    self._runs,
                    values[i, :, :count],
                    None if scales is None else scales[i],
                )
            except (OSError, ValueError) as error:
                raise _unreadable(part, error) from error

        def read_every_other(start: int) -> None:
            for i in range(start, len(places), 2):
                read_one(i)

        if not unchecked:
            read_every_other(0)
            read_every_other(1)
            return
        # While one copies, which lets go of Python's lock, the other checks.
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(read_every_other, (0, 1)))

    def _empty(self, num_utterances: int, num_frames: int) -> HiddenStates:
        shape = (num_utterances, self.num_layers, num_frames, self.hidden_size)
        values = torch.empty(shape, dtype=self._dtype, device=self._device)
        if self._dtype is not torch.int8:
            return HiddenStates(values, None, None)
        blocks = (num_frames - 2) // self._block_frames + 2  # most that they touch
        shape = (num_utterances, self.num_layers, blocks, self.hidden_size)
        scales = torch.zeros(shape, dtype=torch.float16, device=self._device)
        return HiddenStates(
            values, scales, torch.zeros((num_utterances, num_frames), dtype=torch.int64)
        )


def _unreadable(part: Part, error: Exception) -> ValueError:
    return ValueError(
        f"{part.receipt.with_suffix('.zarr')}: cannot be read ({error});"
        f" {way_out(part.receipt)}"
    )
