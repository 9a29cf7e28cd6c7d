"""Turn a corpus into a checked manifest."""

import logging
import unicodedata
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from unipool.corpora import CORPORA, shortfalls
from unipool.corpora.faults import stop_at
from unipool.division import divide, read_split, speakers_with_little
from unipool.download import verify
from unipool.durations import with_durations
from unipool.manifest import SPLITS, write_manifest
from unipool.recordings import Check, copies_among, inspect_recordings, is_utf8

logger = logging.getLogger(__name__)

EXCLUDED_COLUMNS = ["utterance", "path", "reason"]
EXAMPLES_SHOWN = 3

NOTHING_WRITTEN = "faults in the corpus, nothing was written"
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
    stop_at(_structural_faults(rows, gone), NOTHING_WRITTEN)
    found = inspect_recordings(
        paths, check=check, memory=recordings, num_workers=num_workers
    )
    rows = with_durations(rows, found, min_seconds=min_seconds)
    bad = rows["reason"] != ""
    if bad_audio == "error":
        stop_at(
            [
                f"{row.origin}: utterance {row.utterance}: {row.reason}"
                for row in rows[bad].itertuples()
            ],
            f"{NOTHING_WRITTEN}; mend them, or leave them out: bad_audio: exclude",
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
    if usable.empty:
        raise ValueError("nothing of the corpus can be used, nothing was written")
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
        blank = rows[
            (rows[column] != rows[column].str.strip()) & ~rows.index.isin(empty.index)
        ]
        faults += [
            f"{row.origin}: {column} {getattr(row, column)!r} has a blank at an end"
            for row in blank.itertuples()
        ]
        faults += _spelt_twice(rows, column)
    nameless = rows[[not is_utf8(path) for path in rows["path"]]]
    faults += [
        f"{row.path!r}: the name of the file is not UTF-8; rename it"
        for row in nameless.itertuples()
    ]
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


def _spelt_twice(rows: pd.DataFrame, column: str) -> list[str]:
    """Find ids that look alike and differ in how Unicode composes their letters."""
    ids = pd.Series(rows[column].unique())
    ids = ids[[not text.isascii() for text in ids]]
    composed = ids.map(lambda text: unicodedata.normalize("NFC", text))
    alike = ids[composed.duplicated(keep=False)]
    return [
        f"{column} {text!r} is spelt in two ways that look alike (Unicode NFC and NFD:"
        f" {text!a}); choose one"
        for text in alike
    ]


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
    first_of = dict(copies.itertuples(index=False))
    paths = [first_of.get(path, path) for path in rows["path"]]
    audio = pd.Series(paths, index=rows.index, dtype=str)
    for place in ("start", "stop"):
        if place in rows:
            audio = audio + "\n" + rows[place]
    again = rows[audio.duplicated()]
    if again.empty:
        return
    first = rows.assign(audio=audio).drop_duplicates("audio").set_index("audio")
    first = first.loc[audio[again.index]].set_axis(again.index)
    same = again["speaker"] == first["speaker"]
    for what, some in (("one speaker", same), ("two speakers", ~same)):
        if some.any():
            pairs = zip(again["utterance"][some], first["utterance"][some], strict=True)
            logger.warning(
                "%d utterances of %s are the audio of another, for example %s",
                some.sum(),
                what,
                ", ".join(f"{one} = {other}" for one, other in islice(pairs, 3)),
            )
