"""A corpus that is a Kaldi data directory.

Source: Kaldi, "Data preparation" (https://kaldi-asr.org/doc/data_prep.html); times of
segments as its ``extract-segments`` reads them.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from unipool.corpora.corpus import Corpus
from unipool.corpora.faults import sentences_of, stop_at

TO_THE_END = -1.0
"""Where a segment ends that ends with its recording."""

OFFSET = re.compile(r":\d+$")
"""How the place of a recording in an archive ends."""


class Lines(NamedTuple):
    """What one of the files says: a first field, the others, the number of the line."""

    file: Path
    keys: list[str]
    values: list[str]
    numbers: list[int]

    def origin(self, row: int) -> str:
        """Name the place of a row."""
        return f"{self.file}:{self.numbers[row]}"


def list_kaldi(*, folder: Path, root: Path | None = None) -> Corpus:
    """List a data directory: wav.scp and utt2spk, perhaps segments and more.

    Blanks may be tabs or several, lines may end in CRLF. Without ``segments`` each
    recording is an utterance.

    Args:
        folder: data directory.
        root: what relative paths in wav.scp are relative to; by default the working
            folder, as in Kaldi.

    Returns:
        utterance, speaker, path, origin; with ``segments`` also start and seconds (both
        in s, seconds empty where the end is -1), with ``spk2gender`` gender (empty for
        speakers that it lacks), with ``utt2session`` session. Utterances of utt2spk
        that have no audio are missing.

    Raises:
        FileNotFoundError: when there is no such folder, no wav.scp or no utt2spk.
        ValueError: when a file is not UTF-8, a line has the wrong fields or an id a
            second time, wav.scp has a command or a part of an archive, a segment is of
            no recording or no time, or an utterance has no speaker or no session.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; it should hold wav.scp")
    recordings = _read_recordings(folder / "wav.scp")
    base = "" if root is None else f"{root}/"
    paths = [
        path if path.startswith("/") else base + path for path in recordings.values
    ]
    if (folder / "segments").exists():
        listed = _read(folder / "segments", num_fields=4)
        columns = _segments(listed, dict(zip(recordings.keys, paths, strict=True)))
    else:
        listed, columns = recordings, {"path": paths}
    speakers = _read(folder / "utt2spk", num_fields=2)
    columns["speaker"] = _look_up(listed, speakers, "speaker")
    missing = sentences_of(
        sorted(set(speakers.keys).difference(listed.keys)),
        f"utterances of {speakers.file} have no audio, they are not in"
        f" {listed.file.name}",
    )
    if (folder / "utt2session").exists():
        sessions = _read(folder / "utt2session", num_fields=2)
        columns["session"] = _look_up(listed, sessions, "session")
    if (folder / "spk2gender").exists():
        genders = _read(folder / "spk2gender", num_fields=2)
        gender_of = dict(zip(genders.keys, genders.values, strict=True))
        columns["gender"] = [gender_of.get(s, "") for s in columns["speaker"]]
    origins = [f"{listed.file}:{number}" for number in listed.numbers]
    utterances = pd.DataFrame({"utterance": listed.keys, **columns, "origin": origins})
    return Corpus(utterances, missing=missing)


def _read(file: Path, *, num_fields: int | None) -> Lines:
    """Read one of the files; None for a second field that goes on to the line's end."""
    if not file.exists():
        raise FileNotFoundError(
            f"{file}: no such file; a data directory needs wav.scp and utt2spk"
        )
    content = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}:{number}: not UTF-8; convert the file, for example with"
            f" `iconv -f latin1 -t utf-8`"
        ) from error
    # Bytes, because only blanks of ASCII divide fields, as in Kaldi.
    rows = [line.split(None, 1) for line in content.split(b"\n")]
    numbers = [number for number, row in enumerate(rows, 1) if row]
    if not numbers:
        raise ValueError(f"{file}: no lines")
    keys = [row[0].decode() for row in rows if row]
    values = [row[1].rstrip().decode() if len(row) > 1 else "" for row in rows if row]
    lines = Lines(file, keys, values, numbers)
    needed = "2 or more" if num_fields is None else str(num_fields)
    stop_at(
        [
            f"{lines.origin(row)}: {keys[row]} {value}".rstrip()
            for row, value in enumerate(values)
            if (not value if num_fields is None else _count(value) != num_fields - 1)
        ],
        f"lines of {file} have the wrong number of fields, needed are {needed}",
    )
    _stop_at_duplicates(lines)
    return lines


def _count(value: str) -> int:
    return len(value.encode().split())


def _stop_at_duplicates(lines: Lines) -> None:
    first: dict[str, int] = {}
    stop_at(
        [
            f"{lines.origin(row)}: {key} is already at {lines.origin(first[key])}"
            for row, key in enumerate(lines.keys)
            if first.setdefault(key, row) != row
        ],
        f"ids of {lines.file} are there a second time; remove one line of each",
    )


def _read_recordings(file: Path) -> Lines:
    recordings = _read(file, num_fields=None)
    stop_at(
        [
            f"{recordings.origin(row)}: {recordings.keys[row]} {value}"
            for row, value in enumerate(recordings.values)
            if value.endswith("|") or value == "-" or OFFSET.search(value)
        ],
        f"recordings of {file} are no audio files but commands, standard input or parts"
        " of archives, which are not read; write each into a file once (`wav-copy"
        " 'COMMAND |' a.wav`, `wav-copy a.ark:12 a.wav`, or `COMMAND > a.wav`) and list"
        " these",
    )
    return recordings


def _segments(segments: Lines, path_of: dict[str, str]) -> dict[str, list[str]]:
    """Give path, start and seconds of each segment."""
    # Split by the blanks of ASCII alone, as in _read.
    fields = [value.encode().split() for value in segments.values]
    recordings = [recording.decode() for recording, _, _ in fields]
    stop_at(
        [
            f"{segments.origin(row)}: recording {recording} of {segments.keys[row]}"
            for row, recording in enumerate(recordings)
            if recording not in path_of
        ],
        f"segments of {segments.file} are of recordings that wav.scp does not have",
    )
    starts = [start.decode() for _, start, _ in fields]
    start, end = (
        pd.to_numeric(pd.Series(times), errors="coerce").to_numpy(np.float64)
        for times in (starts, [end.decode() for _, _, end in fields])
    )
    to_the_end = end == TO_THE_END
    good = np.isfinite(start) & (start >= 0) & np.isfinite(end)
    good &= (end > start) | to_the_end
    stop_at(
        [
            f"{segments.origin(row)}: {segments.keys[row]} {segments.values[row]}"
            for row in np.flatnonzero(~good).tolist()
        ],
        f"segments of {segments.file} have no time; needed are a start from 0 on and a"
        " later end in s, or -1 for the end of the recording",
    )
    seconds = np.round(end - start, 7).astype(str)
    return {
        "path": [path_of[recording] for recording in recordings],
        "start": starts,
        "seconds": np.where(to_the_end, "", seconds).tolist(),
    }


def _look_up(listed: Lines, values: Lines, what: str) -> list[str]:
    """Give each utterance's speaker or session."""
    value_of = dict(zip(values.keys, values.values, strict=True))
    stop_at(
        [
            f"{listed.origin(row)}: {key}"
            for row, key in enumerate(listed.keys)
            if key not in value_of
        ],
        f"utterances of {listed.file} have no {what} in {values.file}; add them there,"
        f" or remove them from {listed.file.name}",
    )
    return [value_of[key] for key in listed.keys]
