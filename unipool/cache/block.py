"""Frames on their way to the disk, and the file of a shard that takes them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16, Int8
from torch import Tensor

from unipool.cache.layout import Bytes, Layout, paired, put_checksum, with_checksum

FILL = {torch.float16: float("nan"), torch.int8: -128}
"""Where there is no frame; a frame has neither value."""

SMALLEST = 2.0**-24
"""Of the positive numbers of float16."""


def quantise(
    states: Float16[Tensor, "L T D"],
) -> tuple[Int8[Tensor, "L T D"], Float16[Tensor, "L D"]]:
    """Round to int8, with a scale for each layer and channel.

    Returns:
        Values from -127 to 127, and the scales to multiply them with.
    """
    wide = states.float()
    largest = torch.maximum(wide.amax(dim=1), -wide.amin(dim=1))
    # A little more than needed, so that rounding the scale makes no value too large;
    # but for what is so small that float16 hardly holds it.
    scales = (largest / 127 * (1 + 2**-10)).half().clamp_min(SMALLEST)
    values = wide.div_(scales.float()[:, None]).round_().clamp_(-127, 127)
    return values.to(torch.int8), scales


class Block:
    """Takes frames in the layout of the file, so that it is written as it is.

    Attributes:
        num_frames: that it holds.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        content = torch.empty(
            layout.num_bytes(layout.chunks_in_block), dtype=torch.uint8
        )
        self._content: Bytes = content.numpy()
        self._chunks = layout.chunks(content).numpy()
        shape = (layout.num_layers, layout.block_frames, layout.hidden_size)
        is_int8 = layout.dtype is torch.int8
        self._staged = torch.empty(shape, dtype=torch.float16) if is_int8 else None
        self.num_frames = 0

    @property
    def is_full(self) -> bool:
        """Say whether the next frame is another block's."""
        return self.num_frames == self._layout.block_frames

    def put(self, states: Float16[Tensor, "L T D"]) -> int:
        """Take as many frames as there is room for, and say how many."""
        first = self.num_frames
        taken = min(states.shape[1], self._layout.block_frames - first)
        if self._staged is None:
            self._put(states[:, :taken].numpy(), first)
        else:
            self._staged[:, first : first + taken] = states[:, :taken]
        self.num_frames += taken
        return taken

    def finish(self) -> tuple[Bytes, Float16[np.ndarray, "L D"] | None]:
        """Give its chunks with their checksums, and of int8 its scales."""
        scales = None
        if self._staged is not None:
            values, of_block = quantise(self._staged[:, : self.num_frames])
            self._put(values.numpy(), 0)
            scales = of_block.numpy()
        size = self._layout.chunk_frames
        num_chunks = -(-self.num_frames // size)
        if rest := self.num_frames % size:
            self._chunks[num_chunks - 1, :, rest:] = FILL[self._layout.dtype]
        content = self._content[: self._layout.num_bytes(num_chunks)]
        for begin in range(0, len(content), self._layout.chunk_bytes):
            put_checksum(content[begin : begin + self._layout.chunk_bytes])
        return content, scales

    def _put(self, frames: np.ndarray, first: int) -> None:
        for place, some in paired(self._chunks, frames, first):
            place[:] = some


class ShardFile:
    """A shard that is being written, under a temporary name.

    Args:
        file: its name when it is whole.
        scales_file: of its scales, where it is int8.
        layout: of the shard.

    Raises:
        OSError: when the disk does not take it; so do the methods.
    """

    def __init__(self, file: Path, scales_file: Path, layout: Layout) -> None:
        self._file, self._scales_file, self._layout = file, scales_file, layout
        file.parent.mkdir(parents=True, exist_ok=True)
        self._partial = file.with_suffix(".partial")
        self._out = self._partial.open("wb", buffering=0)
        self._num_bytes = 0
        self._scales: list[Float16[np.ndarray, "L D"]] = []

    def append(self, block: Block) -> None:
        """Write a block behind those before it."""
        content, scales = block.finish()
        self._write(content)
        self._num_bytes += len(content)
        if scales is not None:
            self._scales.append(scales)

    def finish(self) -> None:
        """Write the index, then give it its name."""
        if self._scales:
            # Before the shard: where a shard is, its scales are.
            shape = (self._layout.blocks_in_shard, *self._scales[0].shape)
            scales = np.full(shape, np.nan, np.float16)
            scales[: len(self._scales)] = self._scales
            self._scales_file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._scales_file.with_suffix(".partial")
            partial.write_bytes(with_checksum(scales).data)
            partial.replace(self._scales_file)
        num_chunks = self._num_bytes // self._layout.num_bytes(1)
        self._write(self._layout.index_of(num_chunks))
        self.close()
        self._partial.replace(self._file)

    def close(self) -> None:
        """Leave it, whole or not."""
        self._out.close()

    def _write(self, content: Bytes) -> None:
        rest = content.data
        while rest:  # a disk that fills up takes some of it before it refuses
            rest = rest[self._out.write(rest) :]
