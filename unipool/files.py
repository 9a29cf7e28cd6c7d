"""Audio files that are of no corpus: which they are, as rows of a manifest."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from unipool.corpora.faults import stop_at
from unipool.corpora.listing import find_audio
from unipool.durations import with_durations
from unipool.recordings import inspect_recordings

SPEAKER = "unknown"
"""Of each file, since a manifest names one."""

MIN_SECONDS = 0.025
"""Of audio: a frame of wav2vec 2.0."""


def find_files(places: Iterable[str | Path]) -> list[str]:
    """Give the path of each file once, in the order in which they are named.

    Args:
        places: files, and folders, for all audio below them, ordered by name.

    Raises:
        FileNotFoundError: when one of them is not there, or a folder without audio.
    """
    found: list[str] = []
    for path in map(Path, places):
        if path.is_dir():
            below = [str(path / name) for name in find_audio(path)]
            if not below:
                raise FileNotFoundError(f"{path}: no audio in this folder")
            found += below
        elif path.exists():
            found.append(str(path))
        else:
            raise FileNotFoundError(f"{path}: no such file")
    return list(dict.fromkeys(found))


def rows_of_files(paths: list[str], *, memory: Path) -> pd.DataFrame:
    """Look at each file; make rows of a manifest, the path for the utterance.

    Args:
        paths: of the files.
        memory: CSV that remembers what was found out about each.

    Raises:
        ValueError: when some cannot be used, with the first ten and why.
    """
    found = inspect_recordings(
        paths, check="decode", memory=memory, num_workers=os.cpu_count() or 1
    )
    rows = pd.DataFrame({"utterance": paths, "path": paths})
    rows = with_durations(rows, found, min_seconds=MIN_SECONDS)
    stop_at(
        [reason for reason in rows["reason"] if reason],
        "files cannot be used; mend them, or leave them out",
    )
    return rows.drop(columns="reason").assign(speaker=SPEAKER, split="test")
