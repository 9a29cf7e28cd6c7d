"""One shard that is read: a mapped file, or memory."""

import ctypes
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unipool.cache.layout import (
    CRC_BYTES,
    Bytes,
    Layout,
    check,
    scales_file,
    shard_file,
)

_C = ctypes.CDLL(None)

Runs = list[tuple[slice, slice]]
"""Layers, as runs of neighbours: where they go, where they are."""


def runs_of(layers: list[int]) -> Runs:
    """Divide layers into runs of neighbours."""
    breaks = [i for i in range(1, len(layers)) if layers[i] != layers[i - 1] + 1]
    return [
        (slice(begin, end), slice(layers[begin], layers[end - 1] + 1))
        for begin, end in zip([0, *breaks], [*breaks, len(layers)], strict=True)
    ]


class Shard:
    """One file, mapped.

    Args:
        store: folder of the Zarr group.
        number: of the shard.
        layout: of the shard.
        num_chunks: of frames, in this shard.

    Attributes:
        chunks: (chunks, L, frames of a chunk, D), an array, or a tensor on a GPU.
        scales: (blocks, L, D) of int8, likewise; else None.
    """

    chunks: Any
    scales: Any = None

    def __init__(
        self, store: Path, number: int, layout: Layout, num_chunks: int
    ) -> None:
        index = layout.index_of(num_chunks)
        size = layout.num_bytes(num_chunks)
        self._file = shard_file(store, number)
        if self._file.stat().st_size != size + len(index):
            raise ValueError("a shard is cut short, or longer than it was written")
        # Mapped; the file itself is closed again, for there may be thousands.
        try:
            whole = torch.from_file(
                str(self._file), shared=False, size=size + len(index), dtype=torch.uint8
            )
        except RuntimeError as error:
            raise OSError(
                f"a shard cannot be mapped into memory ({error}); of very many shards,"
                " raise the system's vm.max_map_count"
            ) from error
        self._layout = layout
        self._content: Bytes | None = whole[:size].numpy()
        self.chunks = layout.chunks(whole[:size]).numpy()
        self._address = self._content.ctypes.data
        # Held against what it must be with the first chunks, and fetched meanwhile.
        self._unchecked_index: Bytes | None = whole[size:].numpy()
        self._index = index
        _advise(self._address + size, len(index), mmap.MADV_WILLNEED)
        if layout.dtype is torch.int8:
            scales = np.fromfile(scales_file(store, number), np.uint8)
            check(scales, "the file of scales")
            shape = (layout.blocks_in_shard, layout.num_layers, layout.hidden_size)
            self.scales = scales[:-CRC_BYTES].view("<f2").reshape(shape)
        self._all_layers = runs_of(list(range(layout.num_layers)))
        self._unchecked = np.ones((num_chunks, layout.num_layers), bool)
        self._announced = ~self._unchecked

    def announce(self, start: int, stop: int, runs: Runs, *, again: bool) -> bool:
        """Have the system fetch chunks ``start`` to ``stop - 1`` of some layers.

        Returns:
            Whether some of them were not read before.
        """
        new = any(bool(self._unchecked[start:stop, run].any()) for _, run in runs)
        here = [self._announced[start:stop, run] for _, run in runs]
        if self._content is None or (not again and all(one.all() for one in here)):
            return new
        for one in here:
            one[:] = True
        size, of_all = self._layout.chunk_bytes, self._layout.num_bytes(1)
        if runs == self._all_layers:
            begin, length = start * of_all, (stop - start) * of_all
            _advise(self._address + begin, length, mmap.MADV_WILLNEED)
            return new
        for chunk in range(start, stop):
            for _, run in runs:
                begin = self._address + chunk * of_all + run.start * size
                _advise(begin, (run.stop - run.start) * size, mmap.MADV_WILLNEED)
        return new

    def check(self, start: int, stop: int, runs: Runs) -> None:
        """Hold chunks against their checksums, each when it is first read."""
        index = self._unchecked_index  # once: another thread may be here, too
        if index is not None:
            if (index != self._index).any():
                raise ValueError("a shard's index is not as it was written")
            self._unchecked_index = None
        size, num_layers = self._layout.chunk_bytes, self._layout.num_layers
        for _, run in runs:
            unchecked = self._unchecked[start:stop, run]
            if not unchecked.any():
                continue
            assert self._content is not None
            for chunk, layer in np.argwhere(unchecked).tolist():
                place = (start + chunk) * num_layers + run.start + layer
                content = self._content[place * size : (place + 1) * size]
                check(content, f"chunk {start + chunk} of layer {run.start + layer}")
            unchecked[:] = False

    def check_all(self) -> None:
        """Hold all chunks against their checksums."""
        assert self._content is not None
        _advise(self._address, len(self._content), mmap.MADV_SEQUENTIAL)
        self.check(0, len(self._unchecked), self._all_layers)

    def load(self, device: torch.device) -> None:
        """Move it from the file into the memory of a device."""
        assert self._content is not None
        in_block = self._layout.chunks_in_block
        size = self._layout.num_bytes(in_block)
        self._content = np.empty_like(self._content)
        with self._file.open("rb", buffering=0) as file:
            for block in range(-(-len(self._unchecked) // in_block)):
                rest = self._content[block * size : (block + 1) * size].data
                while rest and (count := file.readinto(rest)):  # it may give less
                    rest = rest[count:]
                start, stop = block * in_block, (block + 1) * in_block
                self.check(start, stop, self._all_layers)
        content = torch.from_numpy(self._content).to(device)
        self.chunks = plain(self._layout.chunks(content))
        if self.scales is not None:
            self.scales = plain(torch.from_numpy(self.scales).to(device))
        self._content = None


def plain(tensor: Tensor) -> Any:
    """Give a tensor in the memory of the host as an array: small copies are faster."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _advise(first: int, length: int, advice: int) -> None:
    """Tell the system how mapped memory will be read (Python's lock is let go of)."""
    page = first // mmap.PAGESIZE * mmap.PAGESIZE
    _C.madvise(ctypes.c_void_p(page), ctypes.c_size_t(first + length - page), advice)
