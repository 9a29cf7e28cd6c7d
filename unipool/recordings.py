"""What each recording of a corpus is like, looked at once and remembered.

The memory is a CSV that only grows while files are looked at, so a preparation that was
broken off goes on, and one after files were added looks only at those.
"""

import csv
import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from unipool.audio import count_samples, read_audio
from unipool.log import LoggedProgress

FILES_AT_ONCE = 256
"""By one thread; then they are remembered."""

BYTES_OF_MIDDLE = 4096
"""That two files must share, beside their size, to be taken for copies."""

Check = Literal["decode", "headers"]
"""What is looked at: all samples, or the header (and the end, where that is cheap)."""


class Recording(NamedTuple):
    """What was found out about one file.

    Attributes:
        path: of the file.
        size: in bytes, and
        modified: in ns; a file with others is looked at again.
        check: how closely it was looked at.
        samples: at 16 kHz.
        silent: 1 when all of them are zero; 0 also where only the header was read.
        middle: checksum of some bytes in the middle of the file.
        fault: why it cannot be used, or nothing.
    """

    path: str
    size: int
    modified: int
    check: Check
    samples: int = 0
    silent: int = 0
    middle: int = 0
    fault: str = ""


TYPES = {
    **dict.fromkeys(("path", "check", "fault"), str),
    **dict.fromkeys(("size", "modified", "samples", "silent", "middle"), np.int64),
}


def inspect_recordings(
    paths: list[str], *, check: Check, memory: Path, num_workers: int
) -> pd.DataFrame:
    """Look at files, those that were not looked at before.

    Args:
        paths: of the files, each once; all are there.
        check: how closely.
        memory: CSV of all that was found out; what is there is kept.
        num_workers: files looked at at the same time.

    Writes: ``memory``.

    Returns:
        A row for each path, in their order, with the columns of ``Recording``.
    """
    stats = np.array([(s.st_size, s.st_mtime_ns) for s in map(os.stat, paths)])
    wanted = pd.DataFrame(stats.reshape(-1, 2), columns=["size", "modified"])
    wanted.insert(0, "path", pd.Series(paths, dtype=str))
    known = _remembered(memory)
    new = _look_up(wanted, known, check)["check"].isna().to_numpy()
    del known
    with memory.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for found in _inspect_all(wanted[new], check, num_workers):
            writer.writerows(found)
            file.flush()
    return _look_up(wanted, _remembered(memory), check).astype(TYPES)


def _remembered(memory: Path) -> pd.DataFrame:
    """Read the memory; begin it, or drop a last line that was broken off."""
    header = ",".join(Recording._fields) + "\n"
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.open("a+b") as file:
        file.seek(0)
        content = file.read()
        if not content.startswith(header.encode()):
            file.truncate(0)
            file.write(header.encode())
        else:
            file.truncate(content.rfind(b"\n") + 1)
    try:
        return pd.read_csv(memory, dtype=TYPES, keep_default_na=False)
    except ValueError as error:
        raise ValueError(
            f"{memory}: cannot be read ({str(error).strip()}); delete it, and all"
            " recordings are looked at again"
        ) from error


def _look_up(wanted: pd.DataFrame, known: pd.DataFrame, check: Check) -> pd.DataFrame:
    """Add what is known of each file; nothing where it was not looked at so closely."""
    known = known[known["check"].isin({"decode", check})]
    known = known.sort_values("check", kind="stable", ascending=False)
    known = known.drop_duplicates(["path", "size", "modified"], keep="last")
    return wanted.merge(known, on=["path", "size", "modified"], how="left")


def _inspect_all(
    files: pd.DataFrame, check: Check, num_workers: int
) -> Iterator[list[Recording]]:
    # Threads suffice: the decoders work outside of Python's lock.
    def inspect_some(start: int) -> list[Recording]:
        some = files.iloc[start : start + FILES_AT_ONCE]
        return [
            _inspect(path, int(size), int(modified), check)
            for path, size, modified in some.itertuples(index=False)
        ]

    bar = LoggedProgress(
        desc="look at", unit="recordings", total=len(files), disable=files.empty
    )
    with bar, ThreadPoolExecutor(num_workers) as pool:
        for found in pool.map(inspect_some, range(0, len(files), FILES_AT_ONCE)):
            yield found
            bar.update(len(found))


def _inspect(path: str, size: int, modified: int, check: Check) -> Recording:
    looked_at = Recording(path, size, modified, check)
    try:
        with Path(path).open("rb") as file:
            file.seek(max(size - BYTES_OF_MIDDLE, 0) // 2)
            middle = zlib.crc32(file.read(BYTES_OF_MIDDLE))
        if check == "headers":
            return looked_at._replace(middle=middle, samples=count_samples(Path(path)))
        samples = read_audio(Path(path))
    except OSError as error:  # of the disk or of permissions, not of the recording
        raise ValueError(
            f"{path}: cannot be read now ({error.strerror}); what was looked at is"
            " remembered, so start again when it can"
        ) from error
    except ValueError as error:
        return looked_at._replace(fault=str(error))
    return looked_at._replace(
        middle=middle, samples=len(samples), silent=int(not samples.any())
    )


def is_utf8(path: str) -> bool:
    """Say whether the name of a file can be written into a table."""
    try:
        return path.isascii() or bool(path.encode())
    except UnicodeEncodeError:
        return False


def copies_among(recordings: pd.DataFrame) -> pd.DataFrame:
    """Find files of the same bytes.

    Args:
        recordings: as ``inspect_recordings`` gives them.

    Returns:
        ``path`` and ``first``, for each file that is as an earlier one is.
    """
    alike = recordings[recordings["fault"] == ""]
    alike = alike[alike.duplicated(["size", "middle"], keep=False)]
    alike = alike.assign(content=[_digest(path) for path in alike["path"]])
    first = alike.groupby("content")["path"].transform("first")
    copies = alike.assign(first=first)[alike["path"] != first]
    return copies[["path", "first"]]


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
