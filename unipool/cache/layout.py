"""How hidden states lie in a shard, on disk and in memory alike.

A shard is a file as Zarr's ``sharding_indexed`` codec has it, and plain zarr reads it:
the chunks, each plain bytes and their CRC-32C; then an index, which says of each chunk
where it begins and how many bytes it has; then the index's own CRC-32C. Here the chunks
follow each other without gaps, so a whole shard is one strided tensor, in a mapped file
as in the memory of a GPU.

A chunk is what is read and checked at once: 0.4 s, of int8 0.8 s, so that a crop reads
little that it does not need. A block is what is written, and scaled to int8, at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import google_crc32c
import numpy as np
import torch
import zarr
from jaxtyping import UInt8
from torch import Tensor

Bytes = UInt8[np.ndarray, "_"]

CRC_BYTES = 4
NO_CHUNK = 2**64 - 1
"""In the index, of a chunk beyond the last frame."""

DTYPES = {"float16": torch.float16, "int8": torch.int8}

FRAMES_IN_CHUNK = {"float16": 20, "int8": 40}
"""Of one layer: 31 kB for a base encoder."""

FRAMES_IN_BLOCK = 160
"""3.2 s of all layers: 3.2 MB for a base encoder, in float16."""


class Layout(NamedTuple):
    """Where in a shard a hidden state stands."""

    chunk_frames: int
    block_frames: int
    blocks_in_shard: int
    num_layers: int
    hidden_size: int
    dtype: torch.dtype

    @property
    def shard_frames(self) -> int:
        """Count the frames that a full shard holds."""
        return self.block_frames * self.blocks_in_shard

    @property
    def chunks_in_block(self) -> int:
        """Count the chunks of a block along its frames."""
        return self.block_frames // self.chunk_frames

    @property
    def chunks_in_shard(self) -> int:
        """Count the chunks of a full shard along its frames."""
        return self.chunks_in_block * self.blocks_in_shard

    @property
    def bytes_per_frame(self) -> int:
        """Count the bytes of one frame, all layers."""
        return self.num_layers * self.hidden_size * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Count the bytes of a chunk, its checksum included."""
        values = self.chunk_frames * self.hidden_size
        return values * self.dtype.itemsize + CRC_BYTES

    def index_of(self, num_chunks: int) -> Bytes:
        """Give the index of a shard of which ``num_chunks`` chunks of frames exist."""
        places = np.full((self.chunks_in_shard, self.num_layers, 2), NO_CHUNK, "<u8")
        begins = self.chunk_bytes * np.arange(num_chunks * self.num_layers)
        places[:num_chunks, :, 0] = begins.reshape(num_chunks, self.num_layers)
        places[:num_chunks, :, 1] = self.chunk_bytes
        return with_checksum(places)

    def num_bytes(self, num_chunks: int) -> int:
        """Count the bytes of ``num_chunks`` chunks of frames, all layers."""
        return num_chunks * self.num_layers * self.chunk_bytes

    def chunks(self, content: UInt8[Tensor, " all"]) -> Tensor:
        """View the bytes of chunks as what they hold: (chunks, L, frames, D)."""
        size = self.dtype.itemsize
        num_chunks = len(content) // self.num_bytes(1)
        return content.view(self.dtype).as_strided(
            (num_chunks, self.num_layers, self.chunk_frames, self.hidden_size),
            (
                self.num_bytes(1) // size,
                self.chunk_bytes // size,
                self.hidden_size,
                1,
            ),
        )


def layout_of(states: zarr.Array) -> Layout:
    """Read the layout off a part's array ``hidden_states``.

    Raises:
        ValueError: when it is not one that is read here.
    """
    shape, chunks, shards = states.shape, states.chunks, states.shards
    name = str(states.dtype)
    if (
        shards is None
        or chunks != (FRAMES_IN_CHUNK[name], 1, shape[2])
        or shards[1:] != shape[1:]
        or shards[0] % FRAMES_IN_BLOCK
    ):
        raise ValueError(f"chunks {chunks} in shards {shards} of shape {shape}")
    return Layout(
        chunk_frames=chunks[0],
        block_frames=FRAMES_IN_BLOCK,
        blocks_in_shard=shards[0] // FRAMES_IN_BLOCK,
        num_layers=shape[1],
        hidden_size=shape[2],
        dtype=DTYPES[name],
    )


def paired(chunks: Any, frames: Any, first: int) -> Iterator[tuple[Any, Any]]:
    """Pair the places of neighbouring frames in chunks with those in a row.

    Args:
        chunks: (chunks, L, frames of a chunk, D), an array or a tensor.
        frames: (L, T, D), likewise.
        first: where in the chunks the first of the frames is.

    Returns:
        Views of equal shapes: of the end of a chunk, of whole chunks, of the beginning
        of one.
    """
    size, last = chunks.shape[2], first + frames.shape[1]
    begin, end = -(-first // size), last // size  # whole chunks
    if first % size:
        stop = min(last, begin * size)
        within = slice(first % size, first % size + stop - first)
        yield chunks[begin - 1, :, within], frames[:, : stop - first]
    if begin < end:
        whole = frames[:, begin * size - first : end * size - first]
        shape = (whole.shape[0], end - begin, size, whole.shape[2])
        yield chunks[begin:end], whole.reshape(shape).swapaxes(0, 1)
    if last % size and begin <= end:
        yield chunks[end, :, : last % size], frames[:, end * size - first :]


def shard_file(store: Path, number: int) -> Path:
    """Name the file of a shard of hidden states."""
    return store / "hidden_states" / "c" / str(number) / "0" / "0"


def scales_file(store: Path, number: int) -> Path:
    """Name the file of the scales of a shard of int8."""
    return store / "scales" / "c" / str(number) / "0" / "0"


def put_checksum(content: Bytes) -> None:
    """Write the CRC-32C of all but the last four bytes into those."""
    crc = google_crc32c.value(cast(bytes, content[:-CRC_BYTES]))  # any buffer will do
    content[-CRC_BYTES:] = np.frombuffer(crc.to_bytes(CRC_BYTES, "little"), np.uint8)


def with_checksum(values: np.ndarray) -> Bytes:
    """Give the bytes of an array and behind them their CRC-32C."""
    plain = values.reshape(-1).view(np.uint8)
    content = np.concatenate([plain, np.zeros(CRC_BYTES, np.uint8)])
    put_checksum(content)
    return content


def check(content: Bytes, name: str) -> None:
    """Hold a content against the checksum behind it.

    Raises:
        ValueError: when they differ.
    """
    found = google_crc32c.value(cast(bytes, content[:-CRC_BYTES]))
    if found.to_bytes(CRC_BYTES, "little") != content[-CRC_BYTES:].tobytes():
        raise ValueError(f"{name} is not as it was written: its checksum differs")
