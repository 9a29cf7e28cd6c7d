"""The two sides of trials: which vectors are compared, and how fast."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Float64, Int64

from unipool.scoring.cohort import Cohort
from unipool.scoring.rows import blocks, sums_by_label
from unipool.trials import TrialList

ROWS_IN_CACHE = 1 << 8
"""So many stay in that of the processor; the result does not depend on it."""


class Sides(NamedTuple):
    """What the trials of one list compare.

    Args:
        vectors: of all utterances, then the means of the models.
        names: of the rows of ``vectors``.
        enrolment: row of the enrolment of each trial.
        test: row of the test utterance of each trial.
        num_heads: a vector is so many, one after another.
    """

    vectors: Float32[np.ndarray, "M E"]
    names: list[str]
    enrolment: Int64[np.ndarray, " K"]
    test: Int64[np.ndarray, " K"]
    num_heads: int

    def used(self) -> Int64[np.ndarray, " U"]:
        """Give the rows that some trial names."""
        used = np.zeros(len(self.vectors), dtype=bool)
        used[self.enrolment] = True
        used[self.test] = True
        return np.flatnonzero(used)


class Scores(NamedTuple):
    """What a scoring says of trials.

    Args:
        values: of the trials; higher is more alike.
        measures: by name, of the rows of ``Sides.vectors``: what the scoring learnt of
            each by itself; NaN where no trial names the row.
    """

    values: Float64[np.ndarray, " K"]
    measures: dict[str, Float64[np.ndarray, " M"]]


Scorer = Callable[[Sides], Scores]
"""A scoring that has learnt from its cohort."""


class Scoring(Protocol):
    """A way to score trials, its options given."""

    needs_cohort: bool

    def fit(self, cohort: Cohort | None, num_heads: int) -> Scorer:
        """Learn from the cohort; None will do where ``needs_cohort`` is false."""
        ...


def pair_up(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: list[str],
    listed: TrialList,
    *,
    num_heads: int = 1,
) -> Sides:
    """Find the vectors that each trial compares.

    The embedding of a model is the mean of those of its utterances, as they are: their
    length is normalised after it, not before.

    Source: ``ivector-mean`` of Kaldi and ``vector_mean.py`` of WeSpeaker, both used for
    CN-Celeb.

    Raises:
        ValueError: when a trial names an utterance that has no embedding.
    """
    row_of_utterance = pd.Index(utterances)
    models, means, complete = _models(embeddings, row_of_utterance, listed.enrolments)
    # A model comes before the utterances: an enrolment that both are is the model.
    rows = pd.Index(models).get_indexer(listed.trials["enrolment"])
    of_utterance = row_of_utterance.get_indexer(listed.trials["enrolment"])
    enrolment = np.where(rows >= 0, rows + len(utterances), of_utterance)
    test = row_of_utterance.get_indexer(listed.trials["test"])
    unknown = (enrolment < 0) | (test < 0)
    unknown |= (rows >= 0) & ~np.append(complete, True)[rows]
    if unknown.any():
        first = listed.trials[unknown].iloc[0]
        raise ValueError(
            f"{np.count_nonzero(unknown)} of {len(listed.trials)} trials name"
            f" utterances without an embedding, the first: {first['enrolment']}"
            f" {first['test']}; embed the split that the trial list was made for"
        )
    return Sides(
        np.concatenate([embeddings, means]) if models else embeddings,
        [*utterances, *models],
        enrolment.astype(np.int64),
        test.astype(np.int64),
        num_heads,
    )


def _models(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: pd.Index,
    enrolments: pd.DataFrame,
) -> tuple[list[str], Float32[np.ndarray, "M E"], Bool[np.ndarray, " M"]]:
    """Give the models, their mean embeddings, and whether all of each is there."""
    members, models = pd.factorize(enrolments["enrolment"])
    rows = utterances.get_indexer(enrolments["utterance"])
    complete = np.ones(len(models), dtype=bool)
    complete[members[rows < 0]] = False
    sums = sums_by_label(embeddings[rows], members, len(models))
    sizes = np.bincount(members, minlength=len(models))
    return list(models), (sums / sizes[:, None]).astype(np.float32), complete


def unit_heads(
    vectors: Float[np.ndarray, "N E"],
    names: list[str],
    num_heads: int,
    *,
    less_mean: bool = False,
) -> Float64[np.ndarray, "N E"]:
    """Scale so that a dot product of two rows is the mean of the heads' cosines.

    Args:
        vectors: rows to scale.
        names: whose they are.
        num_heads: each row is so many vectors, one after another.
        less_mean: the cohort's mean was subtracted; for the error alone.

    Raises:
        ValueError: when a head is all zero or not finite, and so has no direction.
    """
    if vectors.shape[1] % num_heads:
        raise ValueError(
            f"embeddings of {vectors.shape[1]} values are not {num_heads} heads of one"
            " size"
        )
    heads = vectors.astype(np.float64).reshape(len(vectors), num_heads, -1)
    norms = np.sqrt(np.einsum("nhe,nhe->nh", heads, heads))[..., None]
    wrong = ~((norms > 0) & np.isfinite(norms))
    if wrong.any():
        row, head, _ = np.argwhere(wrong)[0]
        found = "all zero" if norms[row, head] == 0 else "not finite"
        when = " when the cohort's mean is subtracted" if less_mean else ""
        raise ValueError(
            f"the embedding of {names[row]} is {found}{when}, so it has no"
            " direction; train the run again or leave the utterance out"
        )
    heads /= norms * np.sqrt(num_heads)
    return heads.reshape(vectors.shape)


def directions(
    vectors: Float[np.ndarray, "N E"],
    names: list[str],
    num_heads: int,
    mean: Float64[np.ndarray, " E"] | None = None,
) -> Float32[np.ndarray, "N E"]:
    """Give ``unit_heads`` of all rows, less the mean if there is one."""
    found = np.empty(vectors.shape, dtype=np.float32)
    for block in blocks(len(vectors), ROWS_IN_CACHE):
        rows = vectors[block] if mean is None else vectors[block] - mean
        found[block] = unit_heads(
            rows, names[block], num_heads, less_mean=mean is not None
        )
    return found


def paired_dots(
    vectors: Float[np.ndarray, "M E"],
    enrolment: Int64[np.ndarray, " K"],
    test: Int64[np.ndarray, " K"],
) -> Float64[np.ndarray, " K"]:
    """Give the dot product of the two rows that each trial names.

    Rows are gathered trial by trial: the product of all with all, of which a list like
    VoxCeleb1-E would use one value in 30,000, is never formed.
    """
    found = np.empty(len(enrolment))
    for block in blocks(len(enrolment), ROWS_IN_CACHE):
        found[block] = np.einsum(
            "ne,ne->n",
            vectors.take(enrolment[block], axis=0),
            vectors.take(test[block], axis=0),
        )
    return found
