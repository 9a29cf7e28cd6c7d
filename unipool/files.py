"""Audio files that are of no corpus: which they are, as rows of a manifest."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from unipool.cache import DTYPES
from unipool.corpora.faults import stop_at
from unipool.corpora.listing import find_audio
from unipool.durations import with_durations
from unipool.recordings import inspect_recordings, is_utf8

SPEAKER = "unknown"
"""Of each file, since a manifest names one."""


def find_files(places: Iterable[str | Path]) -> list[str]:
    """Give the path of each file, in the order in which they are named.

    Args:
        places: files, and folders, for all audio below them, ordered by name.

    Raises:
        FileNotFoundError: when one of them is not there, or a folder without audio.
        TypeError: when one path is given in place of several.
        ValueError: when none is named, or one by what cannot be written down.
    """
    if isinstance(places, str | Path):
        raise TypeError(f"{places}: one file; give a list of files, [{str(places)!r}]")
    found: list[str] = []
    for path in map(Path, places):
        if path.is_dir():
            below = [str(path / name) for name in find_audio(path)]
            if not below:
                raise FileNotFoundError(f"{path}: no audio in this folder")
            found += below
        elif path.is_file():
            found.append(str(path))
        elif path.exists():
            raise ValueError(f"{path}: no file; what is piped cannot be read twice")
        else:
            raise FileNotFoundError(f"{path}: no such file")
    if not found:
        raise ValueError("no audio is named; name a file or a folder of audio")
    stop_at(
        [ascii(path) for path in found if "\r" in path or not is_utf8(path)],
        "names of files are not UTF-8 or hold a carriage return; rename them",
    )
    return found


def rows_of_files(
    paths: list[str], *, min_seconds: float, memory: Path
) -> pd.DataFrame:
    """Look at each file; make rows of a manifest, the path for the utterance.

    Args:
        paths: of the files.
        min_seconds: of audio, that is one frame of the backbone.
        memory: CSV that remembers what was found out about each.

    Returns:
        utterance, path, seconds, speaker, split.

    Raises:
        ValueError: when some cannot be used, with the first ten and why.
    """
    found = inspect_recordings(
        paths, check="decode", memory=memory, num_workers=os.cpu_count() or 1
    )
    rows = pd.DataFrame({"utterance": paths, "path": paths})
    rows = with_durations(rows, found, min_seconds=min_seconds)
    stop_at(
        [reason for reason in rows["reason"] if reason],
        "files cannot be used; mend them, or leave them out",
    )
    return rows.drop(columns="reason").assign(speaker=SPEAKER, split="test")


def stop_if_full(place: Path, seconds: float, facts: dict[str, Any]) -> None:
    """Refuse more audio than whose hidden states the disk has room for.

    Args:
        place: folder for the cache.
        seconds: of audio.
        facts: ``backbone.json``.

    Raises:
        ValueError: with what is free, what is needed, and what to do.
    """
    of_frame = len(facts["layers"]) * facts["hidden_size"]
    bytes_of_frame = of_frame * DTYPES[facts["cache_dtype"]].itemsize
    needed = seconds / facts["frame_shift"] * bytes_of_frame
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"{place.parent}: {free / 1e9:.3g} GB are free, and the hidden states of"
            f" {seconds / 3600:.3g} h of audio take {needed / 1e9:.3g} GB for a while;"
            " name less at once, let TMPDIR be a larger folder, or make a corpus of it"
        )
