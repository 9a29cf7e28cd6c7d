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
