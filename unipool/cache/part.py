"""One part as a whole: its name, what it must hold, and whether it does."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Int64

FORMAT = "unipool-cache"
VERSION = 1
LAYER_MEANING = "0 enters the first block; the last is the encoder's final output"

IN_RECEIPT = ("format", "version", "fingerprint", "layer_meaning", "frame_shift")
"""Attributes of the store that its receipt repeats."""

FRAMES_IN_CHUNK = 100
"""2 s of all layers: 2 MB for a base encoder, of which a 3 s crop reads two."""


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

    A part that is made again, with the same fingerprint, gets the same receipt byte for
    byte; so what was made from the first is not out of date.

    Writes: ``receipt``, under a temporary name and then renamed.
    """
    group = zarr.open_group(store, mode="r")
    attributes = group.attrs.asdict()
    states = _array(group, "hidden_states")
    facts = {
        **{name: attributes[name] for name in IN_RECEIPT},
        "utterances": _array(group, "utterances").shape[0],
        "frames": states.shape[0],
        "layers": states.shape[1],
        "hidden_size": states.shape[2],
        "bytes": states.nbytes,
        "stored_bytes": _stored_bytes(store),
    }
    partial = receipt.with_name(receipt.name + ".partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(receipt)


class Part(NamedTuple):
    """An opened part; its states are read when asked for."""

    states: zarr.Array
    offsets: Int64[np.ndarray, " N+1"]
    utterances: list[str]
    facts: dict[str, Any]


def open_part(receipt: Path, expected: str) -> Part:
    """Open a part by its receipt, after checking that it is what is expected.

    Raises:
        FileNotFoundError: when the part or a file of it is missing.
        ValueError: when it is of another backbone, manifest or format version.
    """
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
    return Part(
        _array(group, "hidden_states"),
        np.asarray(_array(group, "offsets")[:]),
        [str(name) for name in np.asarray(_array(group, "utterances")[:])],
        group.attrs.asdict() | facts,
    )


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _stored_bytes(store: Path) -> int:
    """Count the bytes of the arrays' files; attributes may differ in length."""
    return sum(
        (Path(folder) / name).stat().st_size
        for folder, _, names in os.walk(store)
        for name in names
        if Path(folder) != store
    )
