"""The cache: hidden states of all layers on disk, one Zarr v3 group for each part.

A part holds some utterances of one (backbone, corpus, split, view); it has one writer
and is one job. Beside ``part-007-of-064.zarr`` stands its receipt,
``part-007-of-064.json``, which is written last. docs/cache.md is the specification.

hidden_states  float16 (T_total, L, D)  the frames of all utterances, one after another
offsets        int64   (N + 1,)         utterance i owns frames offsets[i]:offsets[i+1]
utterances     str     (N,)             ids, in manifest order

A reader MUST refuse a part without receipt, with another fingerprint or format version,
or whose files are not all there: a chunk that is missing is never zeros.
"""

import hashlib
import json
import os
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Float16, Int64

FORMAT = "unipool-cache"
VERSION = 1
LAYER_MEANING = "0 enters the first block; the last is the encoder's final output"

FRAMES_IN_CHUNK = 100
"""2 s of all layers: 2 MB for a base encoder, of which a 3 s crop reads two."""

BYTES_IN_SHARD = 256 * 2**20
"""A shard is one file, held in memory until it is whole and then written at once."""

EXPONENT_BITS = np.uint16(0x7C00)
"""Of a float16; all set in infinities and NaN."""


def part_name(part: int, num_parts: int) -> str:
    """Name a part: ``part-007-of-064``."""
    return f"part-{part:03d}-of-{num_parts:03d}"


def fingerprint(*, backbone_sha256: str, view: str, rows: pd.DataFrame) -> str:
    """Condense everything that decides what a part must hold.

    Args:
        backbone_sha256: of the weights, their settings, normalisation and dtype.
        view: what of the audio was encoded.
        rows: the part's rows of the manifest; utterances and durations count, paths
            do not, so a corpus may move.
    """
    facts = [
        FORMAT,
        VERSION,
        LAYER_MEANING,
        backbone_sha256,
        view,
        rows["utterance"].tolist(),
        [f"{seconds:.7f}" for seconds in rows["seconds"]],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


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
            complete=True,
        )

    def _flush(self) -> None:
        if self._in_shard:
            whole = self._shard[: self._in_shard]
            self._states[self._written : self._written + self._in_shard] = whole
            self._hash.update(whole.data)
            self._written += self._in_shard
            self._in_shard = 0


def is_complete(store: Path, fingerprint: str) -> bool:
    """Say whether a store was written to its end and holds what it then held."""
    if not store.exists():
        return False
    try:
        group = zarr.open_group(store, mode="r")
        attributes = group.attrs.asdict()
        if not attributes["complete"] or attributes["fingerprint"] != fingerprint:
            return False
        states = _array(group, "hidden_states")
        content = hashlib.blake2b(digest_size=16)
        step = FRAMES_IN_CHUNK * 100
        for start in range(0, states.shape[0], step):
            content.update(np.asarray(states[start : start + step]).data)
        return content.hexdigest() == attributes["checksum"]
    except (OSError, KeyError, ValueError):
        return False


def write_receipt(receipt: Path, store: Path) -> None:
    """Declare a complete store fit for use.

    Writes: ``receipt``, under a temporary name and then renamed.
    """
    group = zarr.open_group(store, mode="r")
    states = _array(group, "hidden_states")
    facts = {
        **group.attrs.asdict(),
        "utterances": _array(group, "utterances").shape[0],
        "frames": states.shape[0],
        "layers": states.shape[1],
        "hidden_size": states.shape[2],
        "bytes": states.nbytes,
        "stored_bytes": _stored_bytes(store),
        "versions": {name: version(name) for name in ("torch", "transformers", "zarr")},
    }
    partial = receipt.with_name(receipt.name + ".partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(receipt)


class _Part(NamedTuple):
    states: zarr.Array
    offsets: Int64[np.ndarray, " N+1"]
    utterances: list[str]
    frame_shift: float
    receipt: dict[str, Any]


class Cache:
    """All parts of one (backbone, corpus, split, view), read as one.

    Attributes:
        utterances: ids, in manifest order.
        num_frames: of each utterance.
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        num_bytes: of all hidden states together.
        extract_seconds: what it took to encode them.
        fingerprints: of the parts.
    """

    def __init__(self, parts: list[_Part]) -> None:
        self._states: list[Any] = [part.states for part in parts]
        self._offsets = [part.offsets for part in parts]
        self.utterances = [name for part in parts for name in part.utterances]
        self.num_frames = np.concatenate([np.diff(part.offsets) for part in parts])
        counts = [len(part.utterances) for part in parts]
        self._part_of = np.repeat(np.arange(len(parts)), counts)
        self._row_of = np.concatenate([np.arange(count) for count in counts])
        self.num_layers, self.hidden_size = parts[0].states.shape[1:]
        self.frame_shift = parts[0].frame_shift
        self.num_bytes = sum(part.receipt["bytes"] for part in parts)
        self.extract_seconds = sum(part.receipt["extract_seconds"] for part in parts)
        self.fingerprints = [part.receipt["fingerprint"] for part in parts]

    def read(
        self, index: int, start: int = 0, stop: int | None = None
    ) -> Float16[np.ndarray, "T L D"]:
        """Read frames ``start`` to ``stop - 1`` of an utterance, by default all."""
        part, row = self._part_of[index], self._row_of[index]
        first, end = self._offsets[part][row : row + 2]
        last = end if stop is None else min(first + stop, end)
        return np.asarray(self._states[part][first + start : last])

    def load(self) -> None:
        """Read everything into memory, from where it is served from now on."""
        self._states = [np.asarray(states[:]) for states in self._states]


def open_cache(
    folder: Path, rows_of_parts: list[pd.DataFrame], *, backbone_sha256: str, view: str
) -> Cache:
    """Open the parts of a split, after checking that they are what is expected.

    Args:
        folder: ``{cache_dir}/{backbone}/{corpus}/{split}/{view}``.
        rows_of_parts: for each part its rows of the manifest.
        backbone_sha256: see ``fingerprint``.
        view: see ``fingerprint``.

    Raises:
        FileNotFoundError: when a part or a file of it is missing.
        ValueError: when a part is of another backbone, manifest or format version.
    """
    parts = []
    for part, rows in enumerate(rows_of_parts):
        receipt = folder / f"{part_name(part, len(rows_of_parts))}.json"
        expected = fingerprint(backbone_sha256=backbone_sha256, view=view, rows=rows)
        parts.append(_open_part(receipt, expected))
    return Cache(parts)


def _open_part(receipt: Path, expected: str) -> _Part:
    way_out = f"make it again with `snakemake --cores all --force {receipt}`"
    if not receipt.exists():
        raise FileNotFoundError(
            f"{receipt}: this part of the cache is not there; {way_out}"
        )
    facts = json.loads(receipt.read_text(encoding="utf-8"))
    found = (facts.get("format"), facts.get("version"))
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{receipt}: format {found[0]} version {found[1]}, this unipool reads"
            f" {FORMAT} version {VERSION}; {way_out}"
        )
    if facts["fingerprint"] != expected:
        raise ValueError(
            f"{receipt}: made from another backbone or manifest (fingerprint"
            f" {facts['fingerprint'][:12]}, expected {expected[:12]}); {way_out}"
        )
    store = receipt.with_suffix(".zarr")
    stored = _stored_bytes(store)
    if stored != facts["stored_bytes"]:
        raise FileNotFoundError(
            f"{store}: {stored} bytes on disk, {facts['stored_bytes']} were written, so"
            f" files are missing or cut short; {way_out}"
        )
    group = zarr.open_group(store, mode="r")
    return _Part(
        _array(group, "hidden_states"),
        np.asarray(_array(group, "offsets")[:]),
        [str(name) for name in np.asarray(_array(group, "utterances")[:])],
        facts["frame_shift"],
        facts,
    )


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _stored_bytes(store: Path) -> int:
    return sum(
        (Path(folder) / name).stat().st_size
        for folder, _, names in os.walk(store)
        for name in names
    )


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
