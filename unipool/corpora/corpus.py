"""What every kind of corpus gives: its utterances, and what its makers say of it."""

from typing import NamedTuple

import pandas as pd


class Stated(NamedTuple):
    """What the makers of a corpus state; None where they state nothing.

    Attributes:
        subset: the rows of which ``subset`` is this, or all rows where it is empty.
        speakers: how many.
        utterances: how many.
        hours: of audio.
    """

    subset: str = ""
    speakers: int | None = None
    utterances: int | None = None
    hours: float | None = None


class Corpus(NamedTuple):
    """A corpus as it lies on disk, before any of its audio is opened.

    Attributes:
        utterances: a row each, all columns text: ``utterance`` (id), ``speaker``,
            ``path``, ``origin`` (what to name when the row is at fault), perhaps
            ``split``, ``session`` (of the speaker: one recording occasion), ``start``
            and ``seconds`` (in s, where the utterance is a segment of the recording),
            ``subset`` and metadata such as ``gender``.
        stated: what its makers say of it, held against what is there.
        missing: what the corpus itself shows to be missing: a sentence for each sort,
            with counts and examples.
    """

    utterances: pd.DataFrame
    stated: tuple[Stated, ...] = ()
    missing: tuple[str, ...] = ()


HOURS_SLACK = 0.02
"""Share by which there may be less than is stated: makers round, and trim silence."""


def shortfalls(corpus: Corpus, seconds: pd.Series) -> list[str]:
    """Say what is missing of a corpus: what it shows itself, and what is stated.

    Args:
        corpus: as its kind found it.
        seconds: of each of its utterances.

    Returns:
        A sentence for each sort, empty when the corpus is whole.
    """
    faults = list(corpus.missing)
    rows = corpus.utterances
    for stated in corpus.stated:
        some = (
            rows["subset"] == stated.subset if stated.subset else rows["speaker"] != ""
        )
        found = {
            "speakers": rows["speaker"][some].nunique(),
            "utterances": int(some.sum()),
            "hours": float(seconds[some].sum()) / 3600,
        }
        for what, number in found.items():
            wanted = getattr(stated, what)
            slack = HOURS_SLACK if what == "hours" else 0
            if wanted is not None and number < wanted * (1 - slack):
                where = f"{stated.subset}: " if stated.subset else ""
                faults.append(
                    f"{where}{number:,.{1 if slack else 0}f} of {wanted:,} {what}"
                )
    return faults
