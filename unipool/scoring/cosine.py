"""The cosine of two embeddings, perhaps less the mean of the cohort."""

import numpy as np
from jaxtyping import Float32, Float64

from unipool.scoring.cohort import Cohort, check_size, checked
from unipool.scoring.sides import (
    Scorer,
    Scores,
    Sides,
    directions,
    pair_up,
    paired_dots,
)
from unipool.trials import TrialList


class Cosine:
    """Score each trial by the cosine of its two embeddings, never clipped.

    With several heads the score is the mean of the heads' cosines.

    Args:
        centre: subtract the mean of the cohort's utterances from each embedding first.

    Source: of ``centre``, the published code of LAP and the recipes of WeSpeaker.
    """

    def __init__(self, *, centre: bool = False) -> None:
        self.centre = centre
        self.needs_cohort = centre

    def fit(self, cohort: Cohort | None, num_heads: int) -> Scorer:
        """Learn the mean to subtract, if one is.

        Raises:
            ValueError: when there must be a cohort and is none that will do. What is
                given back raises it when an embedding has no direction.
        """
        mean = None
        if self.centre:
            mean = checked(cohort, "cosine with centre", least=1).mean()

        def score(sides: Sides) -> Scores:
            if mean is not None:
                check_size(len(mean), sides.vectors.shape[1])
            unit = directions(sides.vectors, sides.names, num_heads, mean)
            return Scores(paired_dots(unit, sides.enrolment, sides.test), {})

        return score


def cosine_scores(
    embeddings: Float32[np.ndarray, "N E"],
    utterances: list[str],
    listed: TrialList,
    *,
    num_heads: int = 1,
) -> Float64[np.ndarray, " K"]:
    """Score each trial by the cosine of its two embeddings: pair up, then ``Cosine``.

    Raises:
        ValueError: when a trial names an utterance that has no embedding, or an
            embedding is all zero and so has no direction.
    """
    sides = pair_up(embeddings, utterances, listed, num_heads=num_heads)
    return Cosine().fit(None, num_heads)(sides).values
