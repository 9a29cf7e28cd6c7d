"""From embeddings to the scores of trials."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64

from unipool.trials import TrialList

TRIALS_AT_ONCE = 1 << 16
"""Bounds the memory of the gathered rows; the result does not depend on it."""


def cosine_scores(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: list[str],
    listed: TrialList,
    *,
    num_heads: int = 1,
) -> Float64[np.ndarray, " K"]:
    """Score each trial by the cosine of its two embeddings, never clipped.

    The embedding of a model is the mean of those of its utterances, as they are: their
    length is normalised after it, not before. With several heads the score is the mean
    of the heads' cosines. Rows are gathered trial by trial: the product of all with
    all, of which a list like VoxCeleb1-E would use one value in 30,000, is never
    formed.

    Source: of the model's mean, ``ivector-mean`` of Kaldi and ``vector_mean.py`` of
    WeSpeaker, both used for CN-Celeb.

    Raises:
        ValueError: when a trial names an utterance that has no embedding, or an
            embedding is all zero and so has no direction.
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
    named = [*utterances, *models]
    directions = _unit_heads(np.concatenate([embeddings, means]), named, num_heads)
    blocks = [
        np.einsum("ne,ne->n", directions[enrolment[block]], directions[test[block]])
        for start in range(0, len(listed.trials), TRIALS_AT_ONCE)
        for block in [slice(start, start + TRIALS_AT_ONCE)]
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _models(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: pd.Index,
    enrolments: pd.DataFrame,
) -> tuple[list[str], Float64[np.ndarray, "M E"], Bool[np.ndarray, " M"]]:
    """Give the models, their mean embeddings, and whether all of each is there."""
    members, models = pd.factorize(enrolments["enrolment"])
    rows = utterances.get_indexer(enrolments["utterance"])
    complete = np.ones(len(models), dtype=bool)
    complete[members[rows < 0]] = False
    means = np.zeros((len(models), embeddings.shape[1]))
    np.add.at(means, members, embeddings[rows])
    sizes = np.bincount(members, minlength=len(models))
    return list(models), means / sizes[:, None], complete


def _unit_heads(
    embeddings: Float64[np.ndarray, "N E"], names: list[str], num_heads: int
) -> Float64[np.ndarray, "N E"]:
    """Scale so that a dot product of two rows is the mean of the heads' cosines."""
    heads = embeddings.reshape(len(embeddings), num_heads, -1)
    norms = np.linalg.norm(heads, axis=2, keepdims=True)
    if not norms.all():
        silent = names[int(np.argwhere(norms == 0)[0, 0])]
        raise ValueError(
            f"the embedding of {silent} is all zero, so its cosine is not"
            " defined; train the run again or leave the utterance out"
        )
    return (heads / norms / np.sqrt(num_heads)).reshape(embeddings.shape)
