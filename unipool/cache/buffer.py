"""A shard on its way to the disk."""

from pathlib import Path

import torch
from jaxtyping import Float16, Int8
from torch import Tensor

from unipool.cache.layout import (
    Layout,
    put_checksum,
    scales_file,
    shard_file,
    with_checksum,
    write_whole,
)

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
    largest = wide.abs().amax(dim=1)
    # A little more than needed, so that rounding the scale makes no value too large.
    scales = (largest / 127 * (1 + 2**-10)).half().clamp_min(SMALLEST)
    values = (wide / scales.float()[:, None]).round_().clamp_(-127, 127)
    return values.to(torch.int8), scales


class ShardBuffer:
    """Takes frames in the layout of the file, so that it is written as it is.

    Attributes:
        num_frames: that it holds.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        num_bytes = layout.num_bytes(layout.chunks_in_shard)
        self._content = torch.empty(num_bytes, dtype=torch.uint8)
        self._chunks = layout.chunks(self._content)
        self._staged = torch.empty(
            (layout.num_layers, layout.chunk_frames, layout.hidden_size),
            dtype=torch.float16,
        )
        self._scales = torch.zeros(
            (layout.chunks_in_shard, layout.num_layers, layout.hidden_size),
            dtype=torch.float16,
        )
        self.num_frames = 0

    @property
    def is_full(self) -> bool:
        """Say whether the next frame is another shard's."""
        return self.num_frames == self._layout.shard_frames

    def put(self, states: Float16[Tensor, "L T D"]) -> int:
        """Take frames up to the end of a chunk, and say how many."""
        size = self._layout.chunk_frames
        chunk, start = divmod(self.num_frames, size)
        taken = min(states.shape[1], size - start)
        is_int8 = self._layout.dtype is torch.int8
        target = self._staged if is_int8 else self._chunks[chunk]
        target[:, start : start + taken] = states[:, :taken]
        self.num_frames += taken
        if is_int8 and start + taken == size:
            self._chunks[chunk], self._scales[chunk] = quantise(self._staged)
        return taken

    def write(self, store: Path, number: int) -> None:
        """Write it as a shard of a store, then be empty.

        Raises:
            OSError: when the disk does not take it.
        """
        layout = self._layout
        chunk, rest = divmod(self.num_frames, layout.chunk_frames)
        if rest:
            if layout.dtype is torch.int8:
                values, self._scales[chunk] = quantise(self._staged[:, :rest])
                self._chunks[chunk][:, :rest] = values
            self._chunks[chunk][:, rest:] = FILL[layout.dtype]
        num_chunks = chunk + bool(rest)
        content = self._content.numpy()[: layout.num_bytes(num_chunks)]
        for begin in range(0, len(content), layout.chunk_bytes):
            put_checksum(content[begin : begin + layout.chunk_bytes])
        if layout.dtype is torch.int8:
            # Before the shard: where a shard is, its scales are.
            self._scales[num_chunks:] = float("nan")
            scales = with_checksum(self._scales.numpy())
            write_whole(scales_file(store, number), scales)
        write_whole(shard_file(store, number), content, layout.index_of(num_chunks))
        self.num_frames = 0
