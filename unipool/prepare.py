"""Turn a corpus into a checked manifest."""

import logging
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from unipool.corpora import CORPORA, shortfalls
from unipool.division import divide, read_split, speakers_with_little
from unipool.download import verify
from unipool.durations import with_durations
from unipool.manifest import SPLITS, write_manifest
from unipool.recordings import Check, copies_among, inspect_recordings

logger = logging.getLogger(__name__)

EXCLUDED_COLUMNS = ["utterance", "path", "reason"]
FAULTS_SHOWN = 10

EXAMPLES_SHOWN = 3
NOT_LISTED = "its speaker is not in the list of splits"


def prepare_corpus(
    *,
    kind: str,
    options: dict[str, Any],
    split: dict[str, Any] | None,
    speakers: Path | None,
    check: Check,
    bad_audio: Literal["error", "exclude"],
    incomplete: Literal["error", "allow"],
    min_seconds: float,
    manifest: Path,
    excluded: Path,
    recordings: Path,
    num_workers: int,
) -> None:
    """Read a corpus, look at every recording, and write what can be used.

    Args:
        kind: name in ``CORPORA``.
        options: keyword arguments of that function.
        split: how to divide the speakers, see ``divide``; and ``min_utterances`` and
            ``min_seconds`` that a speaker must have, or is left out.
        speakers: or else, CSV that lists who is in which split; others are left out.
            ``split`` may then have its ``checksum``.
        check: ``decode`` every recording to its end, or read ``headers`` only, which
            does not find silence, samples that are not finite, and damage inside.
        bad_audio: ``error`` or ``exclude``: what to do about recordings that are
            unreadable, empty, all zero, not finite, or too short.
        incomplete: ``error`` or ``allow``: what to do about a corpus of which there is
            less than its makers state.
        min_seconds: shorter recordings are too short.
        manifest: CSV to write.
        excluded: CSV to write: what was left out and why.
        recordings: CSV that remembers what was found out about each file.
        num_workers: files looked at at the same time.

    Reads: the corpus, ``recordings``.
    Writes: ``recordings`` as it goes; ``manifest`` and ``excluded``, neither when
        something is wrong.

    Raises:
        ValueError: with the number of faults and the first ten, each with its place.
    """
    corpus = CORPORA[kind](**options)
    rows = corpus.utterances
    paths = rows["path"].drop_duplicates().tolist()
    gone = {path for path in paths if not Path(path).is_file()}
    _stop_at(_structural_faults(rows, gone))
    found = inspect_recordings(
        paths, check=check, memory=recordings, num_workers=num_workers
    )
    rows = with_durations(rows, found, min_seconds=min_seconds)
    bad = rows["reason"] != ""
    if bad_audio == "error":
        _stop_at(
            [
                f"{row.origin}: utterance {row.utterance}: {row.reason}"
                for row in rows[bad].itertuples()
            ],
            "; mend them, or set bad_audio: exclude to leave them out",
        )
    _tell_incomplete(shortfalls(corpus, rows["seconds"]), incomplete)
    _tell_copies(rows[~bad], copies_among(found))
    settings = split or {}
    listed = _listed(rows, speakers, settings.get("checksum"))
    if listed is not None:
        rows["reason"] = rows["reason"].where(bad | listed.notna(), NOT_LISTED)
        bad = rows["reason"] != ""
    needed = {k: v for k, v in settings.items() if k.startswith("min_")}
    little = speakers_with_little(rows[~bad], **needed)
    rows.loc[~bad, "reason"] = little
    bad = rows["reason"] != ""
    usable = rows[~bad].drop(columns=["reason", "origin"])
    usable["split"] = divide(usable, split) if listed is None else listed[~bad]
    usable = usable.reset_index(drop=True)
    excluded.parent.mkdir(parents=True, exist_ok=True)
    rows[bad][EXCLUDED_COLUMNS].to_csv(excluded, index=False)
    write_manifest(usable, manifest)
    for name, of_split in usable.groupby("split"):
        logger.info(
            "%s: %d speakers, %d utterances, %.2f h",
            name,
            of_split["speaker"].nunique(),
            len(of_split),
            of_split["seconds"].sum() / 3600,
        )
    logger.info("left out: %d, see %s", bad.sum(), excluded)


def _listed(
    rows: pd.DataFrame, speakers: Path | None, checksum: str | None
) -> pd.Series | None:
    """Give each row the split that a list says; nothing where it says none."""
    if speakers is None:
        return None
    if checksum is not None:
        verify(speakers, checksum)
    split_of = read_split(speakers)
    lacking = split_of.index[~split_of.index.isin(rows["speaker"])]
    if len(lacking) == len(split_of):
        raise ValueError(
            f"{speakers}: none of its {len(split_of)} speakers is in the corpus, for"
            f" example {lacking[0]}; there they are called, for example,"
            f" {rows['speaker'].iloc[0]}"
        )
    if len(lacking):
        logger.warning(
            "%s: %d of %d speakers are not in the corpus, for example %s",
            speakers,
            len(lacking),
            len(split_of),
            ", ".join(lacking[:EXAMPLES_SHOWN]),
        )
    return rows["speaker"].map(split_of)


def _structural_faults(rows: pd.DataFrame, gone: set[str]) -> list[str]:
    """Find what looking at the audio would not: ids, files, splits."""
    again = rows[rows["utterance"].duplicated()]
    first = rows.drop_duplicates("utterance").set_index("utterance")["origin"]
    faults = [
        f"{row.origin}: utterance {row.utterance} is already at {first[row.utterance]}"
        for row in again.itertuples()
    ]
    for column in ("utterance", "speaker"):
        empty = rows[rows[column].str.strip() == ""]
        faults += [f"{row.origin}: no {column}" for row in empty.itertuples()]
    faults += [
        f"{row.origin}: {row.path} is not there"
        for row in rows[rows["path"].isin(gone)].itertuples()
    ]
    if "split" in rows:
        known = rows["split"].isin([*SPLITS, ""])
        faults += [
            f"{row.origin}: split {row.split!r} is none of {', '.join(SPLITS)}"
            for row in rows[~known].itertuples()
        ]
        split_of = rows.groupby("speaker")["split"].transform("first")
        torn = rows.assign(above=split_of)[rows["split"] != split_of]
        faults += [
            f"{row.origin}: speaker {row.speaker} in {row.split}, above in {row.above}"
            for row in torn.itertuples()
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


def _tell_incomplete(faults: list[str], incomplete: str) -> None:
    if not faults:
        return
    told = "".join(f"\n  {fault}" for fault in faults)
    if incomplete == "error":
        raise ValueError(
            "the corpus is not whole, nothing was written; complete it, or set"
            f" incomplete: allow to use what is there. Found of what is stated:{told}"
        )
    logger.warning("the corpus is not whole; found of what is stated:%s", told)


def _tell_copies(rows: pd.DataFrame, copies: pd.DataFrame) -> None:
    """Warn of the same audio under two ids: as a target trial it is no test at all."""
    if copies.empty:
        return
    by_path = rows.drop_duplicates("path").set_index("path")
    pairs = [
        (by_path.loc[path], by_path.loc[first])
        for path, first in copies.itertuples(index=False)
        if path in by_path.index and first in by_path.index
    ]
    for what, some in (
        ("of one speaker", [p for p in pairs if p[0].speaker == p[1].speaker]),
        ("of two speakers", [p for p in pairs if p[0].speaker != p[1].speaker]),
    ):
        if some:
            examples = ", ".join(
                f"{one.utterance} = {other.utterance}"
                for one, other in some[:EXAMPLES_SHOWN]
            )
            logger.warning(
                "%d utterances %s are copies of another's file, for example %s",
                len(some),
                what,
                examples,
            )
