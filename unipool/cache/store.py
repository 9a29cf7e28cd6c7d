"""The Zarr group of one part, before its hidden states are in it."""

import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import zarr
from jaxtyping import Int64
from zarr.codecs import Crc32cCodec

from unipool.cache import layout
from unipool.cache.block import FILL
from unipool.cache.part import (
    FORMAT,
    LAYER_MEANING,
    UNREADABLE,
    VERSION,
    array_of,
)

BYTES_IN_SHARD = 128 * 2**20
"""A kill costs at most what it takes to encode so much; a file should not be small."""


class Content(NamedTuple):
    """What a part is to hold, known before its first state is computed.

    Args:
        utterances: ids, in the order in which their states are appended.
        num_frames: of each utterance.
        layers: of the encoder, those whose states are kept.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        dtype: ``float16`` or ``int8``.
        fingerprint: see ``fingerprint``.
    """

    utterances: list[str]
    num_frames: Int64[np.ndarray, " N"]
    layers: list[int]
    hidden_size: int
    frame_shift: float
    dtype: str
    fingerprint: str

    @property
    def offsets(self) -> Int64[np.ndarray, " ends"]:
        """Give the first frame of each utterance, and behind them their number."""
        return np.concatenate([[0], np.cumsum(self.num_frames)]).astype(np.int64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Give frames, layers, hidden size."""
        return int(self.num_frames.sum()), len(self.layers), self.hidden_size


def reopen_store(store: Path, content: Content) -> zarr.Group | None:
    """Open a store to go on with it, None where there is none of just this part."""
    for stray in store.rglob("*.partial"):  # of a write that was broken off
        stray.unlink()
    try:
        group = zarr.open_group(store, mode="r+")
        states = array_of(group, "hidden_states")
        same = (
            group.attrs["fingerprint"] == content.fingerprint
            and group.attrs["layers"] == content.layers
            and (states.shape, str(states.dtype)) == (content.shape, content.dtype)
            and states.chunks == (_chunk_frames(content), 1, content.shape[2])
            and np.array_equal(array_of(group, "offsets")[:], content.offsets)
            and list(np.asarray(array_of(group, "utterances")[:])) == content.utterances
        )
    except UNREADABLE:
        return None
    if not same:
        return None
    group.attrs["complete"] = False
    return group


def create_store(store: Path, content: Content) -> zarr.Group:
    """Create a store that holds all but the hidden states; what was there goes."""
    shutil.rmtree(store, ignore_errors=True)
    total, num_layers, hidden_size = content.shape
    dtype = layout.DTYPES[content.dtype]
    in_block = layout.FRAMES_IN_BLOCK
    num_blocks = -(-total // in_block)
    block_bytes = in_block * num_layers * hidden_size * dtype.itemsize
    blocks_in_shard = max(1, min(BYTES_IN_SHARD // block_bytes, num_blocks))
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": content.fingerprint,
        "layer_meaning": LAYER_MEANING,
        "layers": content.layers,
        "frame_shift": content.frame_shift,
        "complete": False,
        "extract_seconds": 0.0,
    }
    group = zarr.create_group(store, attributes=attributes)
    group.create_array(
        "hidden_states",
        shape=content.shape,
        dtype=content.dtype,
        chunks=(_chunk_frames(content), 1, hidden_size),
        shards=(blocks_in_shard * in_block, num_layers, hidden_size),
        # No compression: 7 % smaller would be 2 to 10 times slower to read.
        compressors=[Crc32cCodec()],
        fill_value=FILL[dtype],
        config={"write_empty_chunks": True},
    )
    if dtype is torch.int8:
        group.create_array(
            "scales",
            shape=(num_blocks, num_layers, hidden_size),
            dtype="float16",
            chunks=(blocks_in_shard, num_layers, hidden_size),
            compressors=[Crc32cCodec()],
            fill_value=float("nan"),
        )
    group.create_array("offsets", data=content.offsets)
    _write_strings(group, "utterances", content.utterances)
    return group


def _chunk_frames(content: Content) -> int:
    return layout.FRAMES_IN_CHUNK[content.dtype]


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
