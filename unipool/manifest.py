"""The manifest: the utterances of one corpus, a CSV file.

utterance   id, unique in the corpus
speaker     as the corpus spells it
split       train, valid or test; all utterances of a speaker are in one of them
path        of the audio, absolute or relative to the working folder
seconds     duration at 16 kHz, with 7 decimals: a whole number of samples
start, stop  only where utterances are segments: where in the recording, in s
session     only where it is known: the occasion of the recording, within the speaker
...         any further columns are metadata, kept as text

UTF-8, with a header. The order of the rows is part of the content: cache parts and
embeddings follow it. docs/manifest.md is the specification.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ("utterance", "speaker", "split", "path", "seconds")
SPLITS = ("train", "valid", "test")


def read_manifest(path: Path) -> pd.DataFrame:
    """Read and check a manifest; ids and metadata are text, ``seconds`` a number.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when columns are missing or rows are wrong, the first ten named.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such manifest; run prepare_corpus first")
    manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [column for column in COLUMNS if column not in manifest]
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)} among {', '.join(manifest)}"
        )
    manifest["seconds"] = pd.to_numeric(manifest["seconds"], errors="coerce")
    faults = list(_faults(manifest))
    if faults:
        shown = [f"\n  {path}:{row + 2}: {what}" for row, what in faults[:10]]
        raise ValueError(f"{path}: {len(faults)} wrong rows{''.join(shown)}")
    return manifest


def _faults(manifest: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Give the row, counted from 0, and the fault, of every faulty row."""
    first_split = manifest.groupby("speaker")["split"].transform("first")
    checks = {
        "an empty utterance, speaker or path": (
            manifest[["utterance", "speaker", "path"]] == ""
        ).any(axis=1),
        "an utterance id that an earlier row has": manifest["utterance"].duplicated(),
        f"a split that is none of {', '.join(SPLITS)}": ~manifest["split"].isin(SPLITS),
        "a speaker that an earlier row has in another split": (
            manifest["split"] != first_split
        ),
        "seconds that are no positive number": ~(manifest["seconds"] > 0),
    }
    for what, wrong in checks.items():
        yield from ((int(row), what) for row in np.flatnonzero(wrong))


def write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    """Write the manifest, its five own columns first.

    Writes: ``path``, under a temporary name and then renamed.
    """
    metadata = [column for column in manifest if column not in COLUMNS]
    text = manifest[[*COLUMNS, *metadata]].assign(
        seconds=manifest["seconds"].map("{:.7f}".format)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    text.to_csv(partial, index=False)
    partial.replace(path)


def divide(manifest: pd.DataFrame, *, split: str, num_parts: int) -> list[pd.DataFrame]:
    """Divide a split into parts: neighbours, of like duration.

    Every utterance is in exactly one part; a part of a small split may be empty.
    """
    rows = manifest[manifest["split"] == split]
    ends = rows["seconds"].to_numpy().cumsum()
    middles = ends - rows["seconds"].to_numpy() / 2
    total = ends[-1] if len(rows) else 1.0
    part_of_row = (middles / total * num_parts).astype(int)
    bounds = np.searchsorted(part_of_row, np.arange(num_parts + 1))
    return [
        rows.iloc[first:last].reset_index(drop=True) for first, last in pairwise(bounds)
    ]
