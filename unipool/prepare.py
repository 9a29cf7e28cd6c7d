"""Turn a corpus into a checked manifest, and its pairs into a trial list."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unipool.audio import SAMPLE_RATE, read_audio
from unipool.corpora import CORPORA
from unipool.log import LoggedProgress
from unipool.manifest import SPLITS, read_manifest, write_manifest
from unipool.trials import make_trials, take_over_trials, write_trials

logger = logging.getLogger(__name__)

EXCLUDED_COLUMNS = ["utterance", "path", "reason"]
FAULTS_SHOWN = 10


class Checked(NamedTuple):
    """What decoding a file showed: its duration, or why it cannot be used."""

    seconds: float
    reason: str


def prepare_corpus(
    *,
    kind: str,
    options: dict[str, Any],
    split: dict[str, float] | None,
    bad_audio: str,
    min_seconds: float,
    manifest: Path,
    excluded: Path,
    num_workers: int,
) -> None:
    """Read a corpus, decode every recording once, and write what can be used.

    Args:
        kind: name in ``CORPORA``.
        options: keyword arguments of that function.
        split: how to divide speakers that the corpus leaves undivided: ``valid`` and
            ``test``, a number of speakers or a share of them, and ``seed``.
        bad_audio: ``error`` or ``exclude``: what to do about recordings that are
            unreadable, empty, all zero, not finite, or too short.
        min_seconds: shorter recordings are too short.
        manifest: CSV to write.
        excluded: CSV to write: what was left out and why.
        num_workers: files decoded at the same time.

    Reads: the corpus.
    Writes: ``manifest`` and ``excluded``; nothing when something is wrong.

    Raises:
        ValueError: with the number of faults and the first ten, each with its place.
    """
    corpus = CORPORA[kind](**options).utterances
    _stop_at(_structural_faults(corpus))
    checked = _decode_all(corpus, min_seconds, num_workers)
    corpus = corpus.assign(
        seconds=[audio.seconds for audio in checked],
        reason=[audio.reason for audio in checked],
    )
    bad = corpus["reason"] != ""
    if bad_audio == "error":
        _stop_at(
            [
                f"{row.origin}: utterance {row.utterance}: {row.reason}"
                for row in corpus[bad].itertuples()
            ],
            "; mend them, or set bad_audio: exclude to leave them out",
        )
    usable = corpus[~bad].drop(columns=["reason", "origin"]).reset_index(drop=True)
    if "split" not in usable:
        usable["split"] = _split_speakers(usable["speaker"], split)
    elif split is not None:
        raise ValueError(
            "the corpus has splits of its own; remove `split:` from its definition, or"
            " the split column from the corpus"
        )
    excluded.parent.mkdir(parents=True, exist_ok=True)
    corpus[bad][EXCLUDED_COLUMNS].to_csv(excluded, index=False)
    write_manifest(usable, manifest)
    for name, rows in usable.groupby("split"):
        logger.info(
            "%s: %d speakers, %d utterances, %.2f h",
            name,
            rows["speaker"].nunique(),
            len(rows),
            rows["seconds"].sum() / 3600,
        )
    logger.info("left out: %d, see %s", bad.sum(), excluded)


def _structural_faults(corpus: pd.DataFrame) -> list[str]:
    """Find what decoding would not: ids, files, splits."""
    first_of = corpus.drop_duplicates("utterance").set_index("utterance")["origin"]
    faults = [
        f"{row.origin}: utterance {row.utterance} is already at"
        f" {first_of[row.utterance]}"
        for row in corpus[corpus["utterance"].duplicated()].itertuples()
    ]
    for column in ("utterance", "speaker"):
        empty = corpus[corpus[column].str.strip() == ""]
        faults += [f"{row.origin}: no {column}" for row in empty.itertuples()]
    faults += [
        f"{row.origin}: {row.path} is not there"
        for row in corpus.itertuples()
        if not Path(row.path).is_file()
    ]
    if "split" in corpus:
        unknown = corpus[~corpus["split"].isin(SPLITS)]
        faults += [
            f"{row.origin}: split {row.split!r} is none of {', '.join(SPLITS)}"
            for row in unknown.itertuples()
        ]
        split_of = corpus.drop_duplicates("speaker").set_index("speaker")["split"]
        faults += [
            f"{row.origin}: speaker {row.speaker} in {row.split}, above in"
            f" {split_of[row.speaker]}"
            for row in corpus.itertuples()
            if row.split != split_of[row.speaker]
        ]
    return faults


def _stop_at(faults: list[str], way_out: str = "") -> None:
    if faults:
        shown = "".join(f"\n  {fault}" for fault in faults[:FAULTS_SHOWN])
        first = f", the first {FAULTS_SHOWN}" if len(faults) > FAULTS_SHOWN else ""
        raise ValueError(
            f"{len(faults)} faults in the corpus, nothing was written{way_out}"
            f"{first}:{shown}"
        )


def _decode_all(
    corpus: pd.DataFrame, min_seconds: float, num_workers: int
) -> list[Checked]:
    # Threads suffice: the decoders work outside of Python's lock.
    with ThreadPoolExecutor(num_workers) as pool:
        checked = pool.map(
            lambda path: _check_audio(Path(path), min_seconds), corpus["path"]
        )
        return list(
            LoggedProgress(checked, desc="check", unit="recordings", total=len(corpus))
        )


def _check_audio(path: Path, min_seconds: float) -> Checked:
    try:
        samples = read_audio(path)
    except ValueError as error:
        return Checked(0.0, str(error))
    seconds = len(samples) / SAMPLE_RATE
    if seconds < min_seconds:
        return Checked(
            seconds, f"{path}: {seconds:.4f} s, shorter than {min_seconds} s"
        )
    if not samples.any():
        return Checked(seconds, f"{path}: all samples are zero (silence)")
    return Checked(seconds, "")


def _split_speakers(speakers: pd.Series, split: dict[str, float] | None) -> pd.Series:
    """Assign each speaker to one split, whatever the order of the rows."""
    if split is None:
        raise ValueError(
            "the corpus does not say which speakers train; add to its definition, for"
            " example, `split: {valid: 0.1, test: 0.2, seed: 0}` (shares or numbers of"
            " speakers), or a split column"
        )
    names = sorted(speakers.unique())
    order = np.random.default_rng(int(split["seed"])).permutation(len(names))
    counts = {
        name: round(split[name] * len(names)) if split[name] < 1 else int(split[name])
        for name in ("valid", "test")
    }
    num_train = len(names) - sum(counts.values())
    if min(*counts.values(), num_train) < 2:
        raise ValueError(
            f"{len(names)} speakers make {num_train} to train, {counts['valid']} to"
            f" validate, {counts['test']} to test; each needs at least 2: change"
            " `split:` of the corpus"
        )
    split_of = {}
    for place, index in enumerate(order):
        in_valid = place < counts["valid"]
        in_test = not in_valid and place < counts["valid"] + counts["test"]
        split_of[names[index]] = "valid" if in_valid else "test" if in_test else "train"
    return speakers.map(split_of)


def prepare_trials(
    *,
    manifest: Path,
    split: str,
    trials: Path,
    file: Path | None,
    num_targets: int | None,
    seed: int | None,
) -> None:
    """Write the trial list of a split: made here, or read from a published file.

    Args:
        manifest: of the corpus.
        split: which of its utterances may be compared.
        trials: CSV to write.
        file: a list to take over: CSV with enrolment, test, target; or lines
            ``1 enrolment test`` as VoxCeleb has them. Ids may have an extension.
        num_targets: or else, how many target trials to make, and as many others.
        seed: of their choice.

    Reads: the manifest, ``file``.
    Writes: ``trials``.

    Raises:
        ValueError: when the list cannot be made, or names unknown utterances.
    """
    utterances = read_manifest(manifest)
    rows = utterances[utterances["split"] == split]
    if file is None:
        assert num_targets is not None
        assert seed is not None
        made = make_trials(rows, num_targets=num_targets, seed=seed)
    else:
        made = take_over_trials(
            file, set(rows["utterance"]), where=f"{manifest} ({split})"
        )
    write_trials(made, trials)
    logger.info("%d trials, %d of them target", len(made), made["target"].sum())
