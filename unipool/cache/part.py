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

from unipool.cache.shards import Shards

FORMAT = "unipool-cache"
VERSION = 3
LAYER_MEANING = "0 enters the first block; the last is the encoder's final output"

IN_RECEIPT = (
    *("format", "version", "fingerprint", "layer_meaning", "layers", "frame_shift"),
)
"""Attributes of the store that its receipt repeats."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""What zarr and json raise at files that are missing, cut short or changed."""


def part_name(part: int, num_parts: int) -> str:
    """Name a part: ``part-007-of-064``."""
    return f"part-{part:03d}-of-{num_parts:03d}"


def fingerprint(
    *, backbone_sha256: str, view: dict[str, Any], rows: pd.DataFrame
) -> str:
    """Condense everything that decides what a part must hold.

    Args:
        backbone_sha256: of the weights and of all settings of the encoder.
        view: what of the audio was encoded.
        rows: the part's utterances; ids, durations and where a segment starts count,
            paths do not, so a corpus may move.
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
    if "start" in rows:
        facts.append(rows["start"].tolist())
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def is_whole(store: Path, fingerprint: str) -> bool:
    """Say whether a store was written to its end and every chunk is as written."""
    try:
        group = zarr.open_group(store, mode="r")
        shards = Shards(store, array_of(group, "hidden_states"))
        return _is_as_sealed(group, store, fingerprint) and shards.count_whole() == len(
            shards
        )
    except UNREADABLE:
        return False


def _is_as_sealed(group: zarr.Group, store: Path, fingerprint: str) -> bool:
    """Hold all but the shards against what was noted when the store was finished."""
    attributes = group.attrs.asdict()
    return (
        attributes["complete"] is True
        and attributes["fingerprint"] == fingerprint
        and attributes["seal"] == seal(attributes)
        and attributes["metadata_sha256"] == metadata_sha256(store)
    )


def write_receipt(receipt: Path, store: Path) -> None:
    """Declare a complete store fit for use.

    A part that is made again, with the same fingerprint, gets the same receipt byte for
    byte; so what was made from the first is not out of date.

    Writes: ``receipt``, under a temporary name and then renamed.
    """
    group = zarr.open_group(store, mode="r")
    attributes = group.attrs.asdict()
    states = array_of(group, "hidden_states")
    facts = {
        **{name: attributes[name] for name in IN_RECEIPT},
        "utterances": array_of(group, "utterances").shape[0],
        "frames": states.shape[0],
        "hidden_size": states.shape[2],
        "dtype": str(states.dtype),
        "bytes": states.nbytes,
        "stored_bytes": _stored_bytes(store),
    }
    facts["seal"] = seal(facts)
    partial = receipt.with_name(receipt.name + ".partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(receipt)


def seal(facts: dict[str, Any]) -> str:
    """Condense a JSON object without its own seal, so that a change of it shows."""
    unsealed = {name: value for name, value in facts.items() if name != "seal"}
    return hashlib.sha256(json.dumps(unsealed, sort_keys=True).encode()).hexdigest()


def metadata_sha256(store: Path) -> str:
    """Condense all files of the arrays but those that have checksums in them."""
    content = hashlib.sha256()
    for array in sorted(p for p in store.iterdir() if p.is_dir()):
        files = [array / "zarr.json"]
        if array.name not in ("hidden_states", "scales"):
            files += sorted(p for p in (array / "c").rglob("*") if p.is_file())
        for file in files:
            content.update(file.read_bytes())
    return content.hexdigest()


def way_out(receipt: Path) -> str:
    """Say how a part is made again."""
    return f"make it again with `snakemake --cores all --force {receipt}`"


class Part(NamedTuple):
    """An opened part; its states are read when asked for."""

    shards: Shards
    offsets: Int64[np.ndarray, " ends"]
    utterances: list[str]
    facts: dict[str, Any]
    receipt: Path


def open_part(receipt: Path, expected: str) -> Part:
    """Open a part by its receipt, after checking that it is what is expected.

    Raises:
        FileNotFoundError: when the part or a file of it is missing.
        ValueError: when it is of another backbone, manifest or format version, or was
            changed since it was written.
    """
    store = receipt.with_suffix(".zarr")
    facts = read_receipt(receipt)
    if facts["fingerprint"] != expected:
        raise ValueError(
            f"{receipt}: made from another backbone or manifest (fingerprint"
            f" {facts['fingerprint'][:12]}, expected {expected[:12]});"
            f" {way_out(receipt)}"
        )
    stored = _stored_bytes(store)
    if stored != facts["stored_bytes"]:
        raise FileNotFoundError(
            f"{store}: {stored} bytes on disk, {facts['stored_bytes']} were written, so"
            f" files are missing or cut short; {way_out(receipt)}"
        )
    try:
        group = zarr.open_group(store, mode="r")
        if not _is_as_sealed(group, store, expected):
            raise ValueError("checksums differ")
        return Part(
            Shards(store, array_of(group, "hidden_states")),
            np.asarray(array_of(group, "offsets")[:]),
            [str(name) for name in np.asarray(array_of(group, "utterances")[:])],
            group.attrs.asdict() | facts,
            receipt,
        )
    except UNREADABLE as error:
        raise ValueError(
            f"{store}: changed since it was written ({error}); {way_out(receipt)}"
        ) from error


def read_receipt(receipt: Path) -> dict[str, Any]:
    """Read what a receipt says, after checking that it is one.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is of another format, or was changed.
    """
    if not receipt.exists():
        raise FileNotFoundError(
            f"{receipt}: this part of the cache is not there; {way_out(receipt)}"
        )
    try:
        facts = json.loads(receipt.read_text(encoding="utf-8"))
        found = (facts["format"], facts["version"])
        sealed = facts["seal"] == seal(facts)
    except UNREADABLE as error:
        raise ValueError(
            f"{receipt}: no receipt of a cache part ({error}); {way_out(receipt)}"
        ) from error
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{receipt}: format {found[0]} version {found[1]}, this unipool reads"
            f" {FORMAT} version {VERSION}; {way_out(receipt)}"
        )
    if not sealed:
        raise ValueError(f"{receipt}: changed since it was written; {way_out(receipt)}")
    return dict(facts)


def array_of(group: zarr.Group, name: str) -> zarr.Array:
    """Give an array of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _stored_bytes(store: Path) -> int:
    """Count the bytes of the arrays' files; attributes may differ in length."""
    # NFS keeps what was removed under such a name, while a process still reads it.
    return sum(
        (Path(folder) / name).stat().st_size
        for folder, _, names in os.walk(store)
        for name in names
        if Path(folder) != store and not name.startswith(".nfs")
    )
