"""Read the shards of one part: from mapped files, or from memory."""

import mmap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import zarr
from torch import Tensor

from unipool.cache.layout import (
    CRC_BYTES,
    Bytes,
    Layout,
    check,
    layout_of,
    scales_file,
    shard_file,
)


class Shards:
    """All hidden states of a part, each shard mapped when it is first needed.

    What was only opened, or pickled, holds no file; it may go to another process.

    Args:
        store: folder of the Zarr group.
        states: its array ``hidden_states``.

    Attributes:
        num_frames: of all shards.
        layout: of each.
    """

    def __init__(self, store: Path, states: zarr.Array) -> None:
        self._store = store
        self.num_frames = states.shape[0]
        self.layout = layout_of(states)
        self._opened: dict[int, _Shard] = {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": {}}

    def __len__(self) -> int:
        return -(-self.num_frames // self.layout.shard_frames)

    def load(self, device: torch.device) -> None:
        """Read all shards, each checked, into the memory of a device.

        Raises:
            ValueError, OSError: see ``read``.
        """

        def load_one(number: int) -> None:
            self._opened[number] = self._open(number)
            self._opened[number].load(device)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(load_one, range(len(self))))

    def count_whole(self) -> int:
        """Count the shards before the first that is missing or damaged."""
        for number in range(len(self)):
            try:
                self._open(number).check_all()
            except (OSError, ValueError):
                return number
        return len(self)

    def announce(self, first: int, last: int) -> None:
        """Have the system fetch frames ``first`` to ``last - 1`` from the disk."""
        for number, start, stop in self._chunks(first, last):
            self._shard(number).announce(start, stop)

    def read(
        self, first: int, layers: list[int], values: Tensor, scales: Tensor | None
    ) -> None:
        """Copy frames from ``first`` on.

        Args:
            first: frame of the part.
            layers: which of those that are stored.
            values: (L, T, D), takes so many frames; on the device of the shards.
            scales: (L, chunks, D), takes those of int8 for each chunk touched.

        Raises:
            ValueError: when a chunk of them is not as it was written.
            OSError: when a file is not there.
        """
        size, in_shard = self.layout.chunk_frames, self.layout.chunks_in_shard
        last = first + values.shape[1]
        for chunk in range(first // size, -(-last // size)):
            shard, within = self._shard(chunk // in_shard), chunk % in_shard
            shard.check(within, layers)
            start = max(first, chunk * size)
            stop = min(last, (chunk + 1) * size)
            of_chunk = shard.chunks[within, :, start - chunk * size :]
            place = values[:, start - first : stop - first]
            for where, layer in _runs(layers):
                place[where] = of_chunk[layer, : stop - start]
                if scales is not None:
                    scales[where, chunk - first // size] = shard.scales[within, layer]

    def _chunks(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Give, shard by shard, the chunks that hold some frames."""
        size, in_shard = self.layout.chunk_frames, self.layout.chunks_in_shard
        begin, end = first // size, -(-last // size)
        return [
            (n, max(begin - n * in_shard, 0), min(end - n * in_shard, in_shard))
            for n in range(begin // in_shard, -(-end // in_shard))
        ]

    def _shard(self, number: int) -> "_Shard":
        if number not in self._opened:
            self._opened[number] = self._open(number)
        return self._opened[number]

    def _open(self, number: int) -> "_Shard":
        frames = self.num_frames - number * self.layout.shard_frames
        num_chunks = -(
            -min(frames, self.layout.shard_frames) // self.layout.chunk_frames
        )
        return _Shard(self._store, number, self.layout, num_chunks)


def _runs(layers: list[int]) -> list[tuple[slice, slice]]:
    """Divide layers into runs of neighbours: where they go, where they are."""
    breaks = [i for i in range(1, len(layers)) if layers[i] != layers[i - 1] + 1]
    return [
        (slice(begin, end), slice(layers[begin], layers[end - 1] + 1))
        for begin, end in zip([0, *breaks], [*breaks, len(layers)], strict=True)
    ]


class _Shard:
    """One file, mapped.

    Args:
        store: folder of the Zarr group.
        number: of the shard.
        layout: of the shard.
        num_chunks: of frames, in this shard.

    Attributes:
        chunks: (chunks, L, frames of a chunk, D).
        scales: (chunks, L, D) of int8, else empty.
    """

    def __init__(
        self, store: Path, number: int, layout: Layout, num_chunks: int
    ) -> None:
        index = layout.index_of(num_chunks)
        with shard_file(store, number).open("rb") as file:
            # A private map: torch wants memory that it could write to.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        content = np.frombuffer(self._map, np.uint8)
        size = layout.num_bytes(num_chunks)
        if len(content) != size + len(index) or (content[size:] != index).any():
            raise ValueError("a shard's index is not as it was written")
        self._layout = layout
        self._content: Bytes = content[:size]
        self.chunks = layout.chunks(torch.from_numpy(self._content))
        self.scales = torch.empty(0)
        if layout.dtype is torch.int8:
            scales = np.fromfile(scales_file(store, number), np.uint8)
            check(scales, "the file of scales")
            shape = (layout.chunks_in_shard, layout.num_layers, layout.hidden_size)
            plain = scales[:-CRC_BYTES].view("<f2").reshape(shape)
            self.scales = torch.from_numpy(plain)
        self._unchecked = np.ones((num_chunks, layout.num_layers), bool)

    def announce(self, start: int, stop: int) -> None:
        """Have the system fetch chunks ``start`` to ``stop - 1``, once."""
        if self._unchecked[start:stop].any():
            begin = self._layout.num_bytes(start) // mmap.PAGESIZE * mmap.PAGESIZE
            length = self._layout.num_bytes(stop) - begin
            self._map.madvise(mmap.MADV_WILLNEED, begin, length)

    def check(self, chunk: int, layers: list[int]) -> None:
        """Hold chunks against their checksums, each when it is first read."""
        for layer in layers:
            if self._unchecked[chunk, layer]:
                begin = self._layout.num_bytes(chunk) + layer * self._layout.chunk_bytes
                content = self._content[begin : begin + self._layout.chunk_bytes]
                check(content, f"chunk {chunk} of layer {layer}")
                self._unchecked[chunk, layer] = False

    def check_all(self) -> None:
        """Hold all chunks against their checksums."""
        self._map.madvise(mmap.MADV_SEQUENTIAL)
        for chunk in range(len(self._unchecked)):
            self.check(chunk, list(range(self._layout.num_layers)))

    def load(self, device: torch.device) -> None:
        """Move it from the file into the memory of a device."""
        self._map.madvise(mmap.MADV_WILLNEED)
        self.check_all()
        content = torch.from_numpy(self._content).to(device, copy=True)
        self.chunks = self._layout.chunks(content)
        self.scales = self.scales.to(device)
        del self._content, self._map
