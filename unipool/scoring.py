"""From embeddings to the scores of trials."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Float64

TRIALS_AT_ONCE = 1 << 16
"""Bounds the memory of the gathered rows; the result does not depend on it."""


def cosine_scores(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: list[str],
    trials: pd.DataFrame,
    *,
    num_heads: int = 1,
) -> Float64[np.ndarray, " K"]:
    """Score each trial by the cosine of its two embeddings, never clipped.

    With several heads it is the mean of the heads' cosines. Rows are gathered trial by
    trial: the product of all with all, of which a list like VoxCeleb1-E would use one
    value in 30,000, is never formed.

    Raises:
        ValueError: when a trial names an utterance that has no embedding, or an
            embedding is all zero and so has no direction.
    """
    row_of_utterance = pd.Series(np.arange(len(utterances)), index=utterances)
    enrolment = row_of_utterance.reindex(trials["enrolment"]).to_numpy()
    test = row_of_utterance.reindex(trials["test"]).to_numpy()
    unknown = np.isnan(enrolment) | np.isnan(test)
    if unknown.any():
        first = trials[unknown].iloc[0]
        raise ValueError(
            f"{np.count_nonzero(unknown)} of {len(trials)} trials name utterances"
            f" without an embedding, the first: {first['enrolment']} {first['test']};"
            " embed the split that the trial list was made for"
        )
    directions = _unit_heads(embeddings, utterances, num_heads)
    enrolment, test = enrolment.astype(np.int64), test.astype(np.int64)
    blocks = [
        np.einsum("ne,ne->n", directions[enrolment[block]], directions[test[block]])
        for start in range(0, len(trials), TRIALS_AT_ONCE)
        for block in [slice(start, start + TRIALS_AT_ONCE)]
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _unit_heads(
    embeddings: Float[np.ndarray, "N E"], utterances: list[str], num_heads: int
) -> Float64[np.ndarray, "N E"]:
    """Scale so that a dot product of two rows is the mean of the heads' cosines."""
    heads = embeddings.astype(np.float64).reshape(len(embeddings), num_heads, -1)
    norms = np.linalg.norm(heads, axis=2, keepdims=True)
    if not norms.all():
        silent = utterances[int(np.argwhere(norms == 0)[0, 0])]
        raise ValueError(
            f"the embedding of utterance {silent} is all zero, so its cosine is not"
            " defined; train the run again or leave the utterance out"
        )
    return (heads / norms / np.sqrt(num_heads)).reshape(embeddings.shape)
