"""LibriSpeech: about 1,000 h of read English from audiobooks, and its mini edition.

Source: Panayotov, Chen, Povey, Khudanpur, "LibriSpeech: an ASR corpus based on public
domain audio books", ICASSP 2015 (https://www.openslr.org/12); Mini LibriSpeech
(https://www.openslr.org/31). Its subsets are split as UniPool does
(https://github.com/sadPororo/UniPool-SV).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unipool.audio import SUFFIXES
from unipool.corpora.corpus import Corpus, Stated
from unipool.corpora.faults import sentences_of
from unipool.corpora.listing import find_audio
from unipool.corpora.published import choose_copies, find_home, nothing_found

TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
EVALUATED = {
    "dev-clean": "valid",
    "dev-other": "valid",
    "test-clean": "test",
    "test-other": "test",
}
MINI = {"train-clean-5": "train", "dev-clean-2": "valid"}

STATED = {
    "train-clean-100": Stated("train-clean-100", speakers=251, utterances=28_539),
    "train-clean-360": Stated("train-clean-360", speakers=921, utterances=104_014),
    "train-other-500": Stated("train-other-500", speakers=1_166, utterances=148_688),
    "dev-clean": Stated("dev-clean", speakers=40, utterances=2_703),
    "dev-other": Stated("dev-other", speakers=33, utterances=2_864),
    "test-clean": Stated("test-clean", speakers=40, utterances=2_620),
    "test-other": Stated("test-other", speakers=33, utterances=2_939),
    "train-clean-5": Stated("train-clean-5", utterances=1_519),
    "dev-clean-2": Stated("dev-clean-2", utterances=1_089),
}

NAME = re.compile(r"\d+-\d+-\d+")
"""Of an utterance: speaker, chapter, number."""

TRANSCRIPT = ".trans.txt"


class Reader(NamedTuple):
    """What SPEAKERS.TXT says of one reader."""

    gender: str
    subset: str
    minutes: float


class Subset(NamedTuple):
    """What one subset's folder holds.

    Attributes:
        rows: of its utterances.
        without_audio: ids that its transcripts have and its audio has not.
    """

    rows: pd.DataFrame
    without_audio: list[str]


def list_librispeech(*, root: Path, train: Sequence[str] = TRAIN) -> Corpus:
    """List ``<subset>/84/121123/84-121123-0001.flac`` (or wav, where converted).

    The dev subsets are the split valid, the test subsets test.

    Args:
        root: folder with SPEAKERS.TXT and the subsets, or the one above it.
        train: which of the three training subsets train; the others are left out.

    Returns:
        utterance (``84-121123-0001``), speaker, session (the chapter), split, subset,
        gender (empty without SPEAKERS.TXT), path, origin.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when ``train`` names another subset, or a line of SPEAKERS.TXT does
            not have its five fields.
    """
    if isinstance(train, str) or not set(train) <= set(TRAIN):
        raise ValueError(
            f"train is {train!r}; it should be a list of some of {', '.join(TRAIN)}"
        )
    return _list_subsets(Path(root), dict.fromkeys(train, "train") | EVALUATED)


def list_mini_librispeech(*, root: Path) -> Corpus:
    """List Mini LibriSpeech: train-clean-5 trains.

    The speakers of dev-clean-2, in the order of gender and number, are validated and
    tested with in turn.

    Args:
        root: folder with SPEAKERS.TXT and the two subsets, or the one above it.

    Returns:
        The columns of ``list_librispeech``.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when a line of SPEAKERS.TXT does not have its five fields.
    """
    corpus = _list_subsets(Path(root), MINI)
    rows = corpus.utterances
    held_out = rows[rows["split"] == "valid"].drop_duplicates("speaker")
    order = sorted(
        zip(held_out["gender"], held_out["speaker"].astype(int), strict=True)
    )
    tested = {str(speaker) for _, speaker in order[1::2]}
    rows["split"] = rows["split"].mask(rows["speaker"].isin(tested), "test")
    return corpus


def _list_subsets(root: Path, split_of: dict[str, str]) -> Corpus:
    home = find_home(root, tuple(split_of))
    present = [name for name in split_of if (home / name).is_dir()]
    subsets = [_list_subset(home / name) for name in present]
    rows = pd.concat([subset.rows for subset in subsets], ignore_index=True)
    if rows.empty:
        raise nothing_found(
            home / present[0], "<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac"
        )
    table = home / "SPEAKERS.TXT"
    readers = _read_readers(table) if table.exists() else {}
    rows["split"] = rows["subset"].map(split_of)
    gender_of = {reader: facts.gender for reader, facts in readers.items()}
    rows["gender"] = [gender_of.get(speaker, "") for speaker in rows["speaker"]]
    expected = {reader for reader, facts in readers.items() if facts.subset in present}
    no_table = f"no {table}, so genders are unknown, and which speakers there should be"
    missing = (
        *sentences_of(
            [name for name in split_of if name not in present],
            f"subsets have no folder in {home}",
        ),
        *(() if table.exists() else (no_table,)),
        *sentences_of(
            sorted(expected.difference(rows["speaker"]), key=int),
            f"speakers of {table} have no utterance",
        ),
        *sentences_of(
            [utterance for subset in subsets for utterance in subset.without_audio],
            "utterances have a transcript but no audio",
        ),
    )
    stated = tuple(_with_hours(STATED[name], readers) for name in present)
    return Corpus(rows, stated, missing)


def _list_subset(folder: Path) -> Subset:
    """Find the utterances of a subset, and those that its transcripts have besides."""
    names: list[str] = []
    transcripts: list[str] = []
    for name in find_audio(folder, (*SUFFIXES, TRANSCRIPT)):
        (transcripts if name.endswith(TRANSCRIPT) else names).append(name)
    keys = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
    rows = [row for row in choose_copies(keys, names) if NAME.fullmatch(keys[row])]
    utterances = [keys[row] for row in rows]
    paths = [f"{folder}/{names[row]}" for row in rows]
    told = {
        line.partition(" ")[0]
        for name in transcripts
        for line in (folder / name).read_text("utf-8", "replace").splitlines()
        if line.strip()
    }
    places = [utterance.split("-") for utterance in utterances]
    table = {
        "utterance": utterances,
        "speaker": [place[0] for place in places],
        "session": [place[1] for place in places],
        "subset": folder.name,
        "path": paths,
        "origin": paths,
    }
    return Subset(pd.DataFrame(table, dtype=str), sorted(told.difference(utterances)))


def _read_readers(file: Path) -> dict[str, Reader]:
    """Read ``84 | F | dev-clean | 8.02 | name``; a name may contain ``|``."""
    readers = {}
    lines = file.read_text("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith(";") or not line.strip():
            continue
        fields = [field.strip() for field in line.split("|", 4)]
        try:
            reader, gender, subset, minutes, _ = fields
            int(reader)
            readers[reader] = Reader(gender, subset, float(minutes))
        except ValueError as error:
            raise ValueError(
                f"{file}:{number}: {line.strip()!r} is not `number | gender | subset |"
                " minutes | name`; unpack the file again"
            ) from error
    return readers


def _with_hours(stated: Stated, readers: dict[str, Reader]) -> Stated:
    """Add the hours that SPEAKERS.TXT has of a subset."""
    minutes = [r.minutes for r in readers.values() if r.subset == stated.subset]
    return stated._replace(hours=round(sum(minutes) / 60, 2)) if minutes else stated
