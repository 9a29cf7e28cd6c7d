"""Write one part."""

import hashlib
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import zarr
from jaxtyping import Float16, Int64

from unipool.cache.part import FORMAT, FRAMES_IN_CHUNK, LAYER_MEANING, VERSION

BYTES_IN_SHARD = 256 * 2**20
"""A shard is one file, held in memory until it is whole and then written at once."""

LIBRARIES = ("torch", "transformers", "zarr")
"""Whose versions are kept with the states."""

EXPONENT_BITS = np.uint16(0x7C00)
"""Of a float16; all set in infinities and NaN."""


class PartWriter:
    """Write one part, utterance after utterance, whole shards at a time.

    Args:
        store: folder of the Zarr group; what stands there is removed.
        utterances: ids, in the order in which they are appended.
        num_frames: of each utterance, known before they are encoded.
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        fingerprint: what the part must hold, see ``fingerprint``.
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
        shutil.rmtree(store, ignore_errors=True)
        offsets = np.concatenate([[0], np.cumsum(num_frames)]).astype(np.int64)
        total = int(offsets[-1])
        chunk_bytes = FRAMES_IN_CHUNK * num_layers * hidden_size * 2
        chunks = max(
            1, min(BYTES_IN_SHARD // chunk_bytes, -(-total // FRAMES_IN_CHUNK))
        )
        self._group = zarr.create_group(
            store,
            attributes={
                "format": FORMAT,
                "version": VERSION,
                "fingerprint": fingerprint,
                "layer_meaning": LAYER_MEANING,
                "frame_shift": frame_shift,
                "complete": False,
            },
        )
        self._states = self._group.create_array(
            "hidden_states",
            shape=(total, num_layers, hidden_size),
            dtype="float16",
            chunks=(FRAMES_IN_CHUNK, num_layers, hidden_size),
            shards=(chunks * FRAMES_IN_CHUNK, num_layers, hidden_size),
            compressors=None,  # 7 % smaller would be 2 to 10 times slower to read
            fill_value=float("nan"),
            config={"write_empty_chunks": True},
        )
        self._group.create_array("offsets", data=offsets)
        _write_strings(self._group, "utterances", utterances)
        self._utterances, self._num_frames = utterances, num_frames
        self._shard = np.empty(
            (chunks * FRAMES_IN_CHUNK, num_layers, hidden_size), np.float16
        )
        self._in_shard = self._written = self._appended = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def append(self, states: Float16[np.ndarray, "T L D"]) -> None:
        """Add the next utterance's hidden states.

        Raises:
            ValueError: when a value is not finite (as what overflowed float16 is), or
                the number of frames is not the one that was announced.
        """
        utterance = self._utterances[self._appended]
        expected = (int(self._num_frames[self._appended]), *self._shard.shape[1:])
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
        self._appended += 1
        start = 0
        while start < len(states):
            take = min(len(states) - start, len(self._shard) - self._in_shard)
            self._shard[self._in_shard :][:take] = states[start : start + take]
            self._in_shard += take
            start += take
            if self._in_shard == len(self._shard):
                self._flush()

    def finish(self, *, extract_seconds: float, device: str) -> None:
        """Write the last shard, then mark the store complete.

        Args:
            extract_seconds: what it took to fill it.
            device: where the encoder ran.
        """
        assert self._appended == len(self._utterances)
        self._flush()
        self._group.attrs.update(
            checksum=self._hash.hexdigest(),
            extract_seconds=round(extract_seconds, 3),
            device=device,
            versions={name: version(name) for name in LIBRARIES},
            complete=True,
        )

    def _flush(self) -> None:
        if self._in_shard:
            whole = self._shard[: self._in_shard]
            self._states[self._written : self._written + self._in_shard] = whole
            self._hash.update(whole.data)
            self._written += self._in_shard
            self._in_shard = 0


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
