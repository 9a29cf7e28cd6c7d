"""VoxCeleb1 and VoxCeleb2: celebrities in interviews, from YouTube.

Source: Nagrani, Chung, Zisserman, "VoxCeleb: a large-scale speaker identification
dataset", Interspeech 2017; Chung, Nagrani, Zisserman, "VoxCeleb2: Deep Speaker
Recognition", Interspeech 2018 (https://www.robots.ox.ac.uk/~vgg/data/voxceleb/).
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unipool.corpora.corpus import Corpus, Stated
from unipool.corpora.faults import sentences_of
from unipool.corpora.listing import find_audio
from unipool.corpora.published import choose_copies, nothing_found

SPEAKER = re.compile(r"id\d{5}")
FIRST_OF_VOXCELEB1 = "id10001"
"""The ids of VoxCeleb2 all come before it."""

UNCONVERTED = ".m4a"


class Release(NamedTuple):
    """One of the two corpora.

    Attributes:
        name: as its makers write it.
        table: file of speakers' metadata.
        tested: its test speakers.
        stated: of dev and test.
    """

    name: str
    table: str
    tested: frozenset[str]
    stated: tuple[Stated, ...]


def list_voxceleb1(*, root: Path, test_only: bool = False) -> Corpus:
    """List ``wav/id10001/<video>/00001.wav``, dev and test together or apart.

    The speakers id10270 to id10309 are the split test, the others train.

    Args:
        root: folder with the speakers' folders, or any above it that holds no other
            corpus.
        test_only: all speakers are the split test: for the trials VoxCeleb1-E and -H,
            which compare those of dev too and are for who trains on VoxCeleb2.

    Returns:
        utterance (``id10270/5r0dWxy17C8/00001``), speaker, session (the video), subset
        (``dev`` or ``test``), split, path, origin; with vox1_meta.csv in ``root`` or
        the folder above it gender and nationality.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when there are speakers of VoxCeleb2, or vox1_meta.csv is another
            table.
    """
    release = Release(
        "VoxCeleb1",
        "vox1_meta.csv",
        frozenset(f"id{number}" for number in range(10270, 10310)),
        (
            Stated("dev", speakers=1_211, utterances=148_642, hours=340.4),
            Stated("test", speakers=40, utterances=4_874, hours=11.2),
        ),
    )
    return _list_release(Path(root), release, test_only)


def list_voxceleb2(*, root: Path, test_only: bool = False) -> Corpus:
    """List ``dev/aac/id00012/<video>/00001.m4a`` (or wav), dev and test as they lie.

    The 118 test speakers are the split test, the others train.

    Args:
        root: folder with the speakers' folders, or any above it that holds no other
            corpus.
        test_only: all speakers are the split test.

    Returns:
        The columns of ``list_voxceleb1``, from vox2_meta.csv gender alone.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when there are speakers of VoxCeleb1, or vox2_meta.csv is another
            table.
    """
    tested = Path(__file__).with_name("voxceleb2_test_speakers.csv")
    release = Release(
        "VoxCeleb2",
        "vox2_meta.csv",
        frozenset(tested.read_text("utf-8").split()[1:]),
        (
            Stated("dev", speakers=5_994, utterances=1_092_009, hours=2360.2),
            Stated("test", speakers=118, utterances=36_237, hours=79.9),
        ),
    )
    return _list_release(Path(root), release, test_only)


def _list_release(root: Path, release: Release, test_only: bool) -> Corpus:
    names: list[str] = []
    keys: list[str] = []
    for name in find_audio(root):
        place = name.rsplit("/", 3)[-3:]
        if len(place) == 3 and SPEAKER.fullmatch(place[0]):
            names.append(name)
            keys.append("/".join(place).rpartition(".")[0])
    if not names:
        raise nothing_found(root, "idNNNNN/<video>/NNNNN.wav (or flac, m4a) in it")
    rows = choose_copies(keys, names)
    names, keys = [names[row] for row in rows], [keys[row] for row in rows]
    paths = [f"{root}/{name}" for name in names]
    # One text for all utterances of a speaker: there are more than a million.
    speakers = [sys.intern(key.partition("/")[0]) for key in keys]
    _stop_at_the_other(root, release, set(speakers))
    subset_of = {s: "test" if s in release.tested else "dev" for s in set(speakers)}
    split_of = {"dev": "test" if test_only else "train", "test": "test"}
    subsets = [subset_of[speaker] for speaker in speakers]
    utterances = {
        "utterance": keys,
        "speaker": speakers,
        "session": [sys.intern(key.split("/")[1]) for key in keys],
        "subset": subsets,
        "split": [split_of[subset] for subset in subsets],
        "path": paths,
        "origin": paths,
    }
    for column, value_of in _read_metadata(root, release).items():
        utterances[column] = [value_of.get(speaker, "") for speaker in speakers]
    missing = _partly_converted(names, keys, subsets)
    return Corpus(pd.DataFrame(utterances), release.stated, missing)


def _stop_at_the_other(root: Path, release: Release, speakers: set[str]) -> None:
    """Stop where speakers of the other VoxCeleb are."""
    first = release.name == "VoxCeleb1"
    others = sorted(s for s in speakers if (s >= FIRST_OF_VOXCELEB1) != first)
    if others:
        other = "VoxCeleb2" if first else "VoxCeleb1"
        raise ValueError(
            f"{root}: {len(others)} of {len(speakers)} speakers are of {other}, for"
            f" example {others[0]}; name the folder of {release.name} alone as root"
        )


def _read_metadata(root: Path, release: Release) -> dict[str, dict[str, str]]:
    """Read what is known of the speakers: by column, by speaker.

    Fields are divided by tabs (VoxCeleb1) or commas with blanks (VoxCeleb2).
    """
    places = (root / release.table, root.absolute().parent / release.table)
    file = next((place for place in places if place.exists()), None)
    if file is None:
        return {}
    lines = file.read_text("utf-8-sig", "replace").splitlines() or [""]
    mark = "\t" if "\t" in lines[0] else ","
    header, *rows = ([field.strip() for field in line.split(mark)] for line in lines)
    key = f"{release.name} ID"
    if key not in header or "Gender" not in header:
        raise ValueError(
            f"{file}: its header is {lines[0]!r}; it needs the columns {key} and"
            " Gender: download it again, or remove it"
        )
    whole = [
        dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)
    ]
    return {
        column.lower(): {row[key]: row[column] for row in whole}
        for column in ("Gender", "Nationality")
        if column in header
    }


def _partly_converted(
    names: list[str], keys: list[str], subsets: list[str]
) -> tuple[str, ...]:
    """Tell of a subset that was begun to be converted and not finished."""
    left: dict[str, list[str]] = {"dev": [], "test": []}
    for name, key, subset in zip(names, keys, subsets, strict=True):
        if name.lower().endswith(UNCONVERTED):
            left[subset].append(key)
    return tuple(
        sentence
        for subset, unconverted in left.items()
        if len(unconverted) < subsets.count(subset)
        for sentence in sentences_of(
            unconverted,
            f"utterances of {subset} are there as {UNCONVERTED[1:]} only, while others"
            " are converted",
        )
    )
