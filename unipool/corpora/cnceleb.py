"""CN-Celeb: Chinese celebrities in eleven genres.

Source: Fan, Kang, Li et al., "CN-Celeb: a challenging Chinese speaker recognition
dataset", ICASSP 2020; Li, Liu, Kang et al., "CN-Celeb: multi-genre speaker
recognition", Speech Communication 2022 (https://www.openslr.org/82).
"""

from pathlib import Path

import pandas as pd

from unipool.corpora.corpus import Corpus, Stated
from unipool.corpora.faults import sentences_of
from unipool.corpora.listing import find_audio
from unipool.corpora.published import choose_copies, find_home, nothing_found

STATED = (
    Stated("dev", speakers=797),
    Stated("enroll", utterances=196),
    Stated("test", utterances=17_777),
)
STATED_SECOND = Stated("cnceleb2", speakers=1_996)


def list_cnceleb(*, root: Path, second: Path | None = None) -> Corpus:
    """List CN-Celeb1, and CN-Celeb2 to train on besides.

    The speakers of dev.lst train. The split test is what is compared: the joined
    enrolments (``enroll/id00800-enroll``), the tests (``test/id00800-singing-01-001``)
    and the recordings that enroll.map enrols with (``id00800/interview-01-001``). The
    evaluation speakers' other recordings in ``data`` are left out.

    Args:
        root: of CN-Celeb1: folder with data/, dev/dev.lst and eval/, or the one above.
        second: of CN-Celeb2: folder with data/, or the one above; all of it trains.

    Returns:
        utterance (``id00000/interview-01-001``), speaker, subset (``dev``,
        ``cnceleb2``, ``enroll``, ``enroll.map`` or ``test``), split, genre and session
        (``interview-01``; both empty for joined enrolments), path, origin.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when speakers of CN-Celeb2 are also in CN-Celeb1.
    """
    home = find_home(Path(root), ("dev/dev.lst",))
    dev = {line[0] for line in _read_lines(home / "dev/dev.lst")}
    lists = home / "eval/lists"
    enrolled = {
        _plain(name).removeprefix("data/")
        for line in _read_lines(lists / "enroll.map")
        for name in line[1:]
    }
    data = _list_recordings(home / "data")
    enrol = _list_recordings(home / "eval/enroll", "enroll/")
    test = _list_recordings(home / "eval/test", "test/")
    tables = [
        data[data["speaker"].isin(dev)].assign(subset="dev", split="train"),
        enrol.assign(subset="enroll", split="test"),
        data[data["utterance"].isin(enrolled)].assign(
            subset="enroll.map", split="test"
        ),
        test.assign(subset="test", split="test"),
    ]
    listed = {
        _plain(line[-1])
        for name in ("enroll.lst", "test.lst")
        for line in _read_lines(lists / name)
    }
    there = {*enrol["utterance"], *test["utterance"]}
    lacking = [
        n for n in ("enroll.lst", "enroll.map", "test.lst") if not (lists / n).is_file()
    ]
    missing = (
        *(f"{lists / name} is not there" for name in lacking),
        *sentences_of(
            sorted(dev.difference(data["speaker"])), "speakers of dev.lst have no audio"
        ),
        *sentences_of(
            sorted(listed - there),
            "utterances of enroll.lst and test.lst have no audio",
        ),
        *sentences_of(
            sorted(enrolled.difference(data["utterance"])),
            "utterances of enroll.map have no audio",
        ),
    )
    stated: tuple[Stated, ...] = STATED
    if second is not None:
        more = _list_second(Path(second), set(data["speaker"]))
        tables.insert(1, more.utterances)
        stated += more.stated
        missing += more.missing
    rows = pd.concat(tables, ignore_index=True)
    if rows.empty:
        raise nothing_found(
            home,
            "data/idNNNNN/<genre>-NN-NNN.flac, eval/enroll/idNNNNN-enroll.flac,"
            " eval/test/idNNNNN-<genre>-NN-NNN.flac (or wav)",
        )
    return Corpus(rows, stated, missing)


def _list_second(root: Path, speakers_of_first: set[str]) -> Corpus:
    home = find_home(root, ("data",))
    rows = _list_recordings(home / "data")
    if rows.empty:
        raise nothing_found(home / "data", "idNNNNN/<genre>-NN-NNN.flac (or wav) in it")
    twice = sorted(speakers_of_first.intersection(rows["speaker"]))
    if twice:
        raise ValueError(
            f"{root}: {len(twice)} of its speakers are in CN-Celeb1 too, for example"
            f" {twice[0]}; `second` is CN-Celeb2 alone"
        )
    listed = {line[0] for line in _read_lines(home / "spk.lst")}
    missing = sentences_of(
        sorted(listed.difference(rows["speaker"])),
        f"speakers of {home / 'spk.lst'} have no audio",
    )
    rows = rows.assign(subset=STATED_SECOND.subset, split="train")
    return Corpus(rows, (STATED_SECOND,), missing)


def _list_recordings(folder: Path, prefix: str = "") -> pd.DataFrame:
    """List ``<speaker>/<name>``, or in the folders of eval ``<speaker>-<name>``.

    Args:
        folder: may be missing.
        prefix: of the ids.

    Returns:
        utterance, speaker, genre, session, path, origin.
    """
    mark = "-" if prefix else "/"
    names = list(find_audio(folder)) if folder.is_dir() else []
    names = [name for name in names if mark in name]
    keys = [_plain(name) for name in names]
    rows = choose_copies(keys, names)
    parts = [keys[row].partition(mark) for row in rows]
    sessions = [recording.rpartition("-")[0] for _, _, recording in parts]
    paths = [f"{folder}/{names[row]}" for row in rows]
    table = {
        "utterance": [prefix + keys[row] for row in rows],
        "speaker": [speaker for speaker, _, _ in parts],
        "genre": [session.rpartition("-")[0] for session in sessions],
        "session": sessions,
        "path": paths,
        "origin": paths,
    }
    return pd.DataFrame(table, dtype=str)


def _plain(name: str) -> str:
    """Take the extension off; the lists say wav where the audio is flac."""
    return name.rpartition(".")[0] or name


def _read_lines(file: Path) -> list[list[str]]:
    """Read a list of words in each line; none where there is no such file."""
    if not file.exists():
        return []
    lines = file.read_text("utf-8-sig", "replace").splitlines()
    return [line.split() for line in lines if line.strip()]
