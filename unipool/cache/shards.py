"""The shards of a part's hidden states, written at once and read by memory map.

A shard is a file as Zarr's ``sharding_indexed`` codec has it, and plain zarr reads it:
the chunks, each plain bytes and their CRC-32C; then an index, which says of each chunk
where it begins and how many bytes it has; then the index's own CRC-32C. zarr-python
reads a crop a tenth as fast, and holds a shard in memory more than once to write it.
"""

from pathlib import Path
from typing import BinaryIO, cast

import google_crc32c
import numpy as np
import zarr
from jaxtyping import Bool, Float16, Int64, UInt8

CRC_BYTES = 4
NO_CHUNK = 2**64 - 1
"""In the index, of a chunk beyond the last frame."""


def shards_of(store: Path, states: zarr.Array, *, after: int = 0) -> list[Path]:
    """List the files of the shards whose first frame is ``after`` or later."""
    assert states.shards is not None
    return [
        store / "hidden_states" / "c" / str(start // states.shards[0]) / "0" / "0"
        for start in range(0, states.shape[0], states.shards[0])
        if start >= after
    ]


def write_shard(
    file: Path,
    frames: Float16[np.ndarray, "T L D"],
    *,
    chunk_frames: int,
    chunks_in_shard: int,
) -> None:
    """Write a shard under a temporary name, then rename it.

    Args:
        file: of the shard.
        frames: at most as many as it has room for.
        chunk_frames: frames of a chunk, which is of one layer.
        chunks_in_shard: chunks along the frames.
    """
    num_layers = frames.shape[1]
    index = np.full((chunks_in_shard, num_layers, 2), NO_CHUNK, "<u8")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as out:
        for number, first in enumerate(range(0, len(frames), chunk_frames)):
            rows = frames[first : first + chunk_frames]
            if len(rows) < chunk_frames:
                missing = [(0, chunk_frames - len(rows)), (0, 0), (0, 0)]
                rows = np.pad(rows, missing, constant_values=np.nan)
            for layer in range(num_layers):
                chunk = np.ascontiguousarray(rows[:, layer])
                begin = out.tell()
                _write_checked(out, chunk)
                index[number, layer] = begin, out.tell() - begin
        _write_checked(out, index)
    partial.replace(file)


def _write_checked(out: BinaryIO, content: np.ndarray) -> None:
    plain = content.reshape(-1).view(np.uint8)
    out.write(plain.data)
    out.write(google_crc32c.value(cast(bytes, plain)).to_bytes(CRC_BYTES, "little"))


class Shards:
    """All frames of a part.

    A file is mapped when a frame of it is first read: what was only opened may be
    handed to another process.

    Args:
        store: folder of the Zarr group.
        states: its array ``hidden_states``.

    Attributes:
        shape: frames, layers, hidden size.
    """

    def __init__(self, store: Path, states: zarr.Array) -> None:
        assert states.shards is not None
        num_frames, num_layers, hidden_size = states.shape
        self.shape = (num_frames, num_layers, hidden_size)
        self._files = shards_of(store, states)
        self._chunk_frames = states.chunks[0]
        self._chunks_in_shard = states.shards[0] // states.chunks[0]
        self._mapped: dict[int, _Shard] = {}

    def read(self, first: int, last: int) -> Float16[np.ndarray, "L T D"]:
        """Read frames ``first`` to ``last - 1``.

        Raises:
            ValueError: when a chunk of them is not as it was written.
            OSError: when a file is not there.
        """
        _, num_layers, hidden_size = self.shape
        frames = np.empty((num_layers, last - first, hidden_size), np.float16)
        for chunk in range(first // self._chunk_frames, -(-last // self._chunk_frames)):
            begin = chunk * self._chunk_frames
            start, stop = max(first - begin, 0), min(last - begin, self._chunk_frames)
            shard = self._shard(chunk // self._chunks_in_shard)
            place = slice(begin + start - first, begin + stop - first)
            for layer in range(num_layers):
                whole = shard.chunk(chunk % self._chunks_in_shard, layer)
                frames[layer, place] = whole[start:stop]
        return frames

    def _shard(self, number: int) -> "_Shard":
        if number not in self._mapped:
            _, num_layers, hidden_size = self.shape
            self._mapped[number] = _Shard(
                self._files[number],
                num_chunks=(self._chunks_in_shard, num_layers),
                chunk_shape=(self._chunk_frames, hidden_size),
            )
        return self._mapped[number]


class _Shard:
    """One file.

    Args:
        file: of the shard.
        num_chunks: along frames, along layers.
        chunk_shape: frames, hidden size.
    """

    def __init__(
        self, file: Path, *, num_chunks: tuple[int, int], chunk_shape: tuple[int, int]
    ) -> None:
        self._bytes: UInt8[np.ndarray, " all"] = np.asarray(
            np.memmap(file, np.uint8, mode="r")
        )
        index = self._bytes[-(16 * num_chunks[0] * num_chunks[1] + CRC_BYTES) :]
        # Of each chunk: where it begins, how many bytes it has.
        self._index: Int64[np.ndarray, "C L 2"] = (
            _checked(index, "its index").view("<i8").reshape(*num_chunks, 2)
        )
        self._chunk_shape = chunk_shape
        self._is_checked: Bool[np.ndarray, "C L"] = np.zeros(num_chunks, bool)

    def chunk(self, number: int, layer: int) -> Float16[np.ndarray, "T D"]:
        """Give a chunk as it lies in the file."""
        begin, size = self._index[number, layer]
        expected = 2 * self._chunk_shape[0] * self._chunk_shape[1] + CRC_BYTES
        if size != expected:
            raise ValueError(f"a chunk has {size} bytes, not {expected}")
        content = self._bytes[begin : begin + size]
        if self._is_checked[number, layer]:
            content = content[:-CRC_BYTES]
        else:
            content = _checked(content, f"chunk {number} of layer {layer}")
            self._is_checked[number, layer] = True
        return content.view("<f2").reshape(self._chunk_shape)


def _checked(content: UInt8[np.ndarray, " all"], name: str) -> UInt8[np.ndarray, " n"]:
    """Give what stands before the checksum, after holding it against it."""
    found = int.from_bytes(content[-CRC_BYTES:].tobytes(), "little")
    content = content[:-CRC_BYTES]
    if google_crc32c.value(cast(bytes, content)) != found:  # any buffer will do
        raise ValueError(f"{name} is not as it was written: its checksum differs")
    return content
