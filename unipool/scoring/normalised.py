"""Cosines, normalised by what each side scores against a cohort of other speakers."""

import logging

import numpy as np
from jaxtyping import Float32, Float64

from unipool.scoring.cohort import Cohort, check_size, checked
from unipool.scoring.rows import blocks
from unipool.scoring.sides import Scorer, Scores, Sides, directions, paired_dots

logger = logging.getLogger(__name__)

SIDES_AT_ONCE = 512
"""Bounds the memory of their scores against the cohort."""

LEAST_DEVIATION = 1e-6
"""Of cosines in single precision; below it is rounding alone."""


class AsNorm:
    """Adaptive symmetric normalisation: each side by the speakers most like it.

    The cohort is the mean embedding of each training speaker. Of the cosines of one
    side with all of it, the highest have mean m and standard deviation d (that of a
    population); a trial of cosine s has the score
    ((s - m_enrolment) / d_enrolment + (s - m_test) / d_test) / 2.

    Measures: ``cohort_mean`` and ``cohort_std``, m and d of each side.

    Args:
        top: how many of the cohort, those of highest score, each side is held against;
            all of it, where it is no larger.
        centre: subtract the mean of the cohort's utterances from each embedding first,
            the cohort's among them.

    Source: Matejka et al., "Analysis of score normalization in multilingual speaker
    recognition", Interspeech 2017; Cumani et al., "Comparison of speaker recognition
    approaches for real applications", Interspeech 2011. Means of speakers as the
    cohort, and the population's deviation: WeSpeaker (``score_norm.py``), where top is
    300; LAP takes 600 and the sample's deviation, centred both.
    """

    needs_cohort = True

    def __init__(self, *, top: int = 300, centre: bool = False) -> None:
        if top < 2:
            raise ValueError(f"top: is {top}, must be at least 2")
        self.top = top
        self.centre = centre

    def fit(self, cohort: Cohort | None, num_heads: int) -> Scorer:
        """Take the speakers' means.

        Raises:
            ValueError: when there is no cohort of at least two speakers. What is given
                back raises it when an embedding has no direction, or scores the same
                against all of its cohort.
        """
        return _fit("as-norm", cohort, num_heads, top=self.top, centre=self.centre)


class SNorm:
    """Symmetric normalisation: all of the cohort, for each side.

    As ``AsNorm`` with all training speakers in place of the highest.

    Args:
        centre: subtract the mean of the cohort's utterances from each embedding first,
            the cohort's among them.

    Source: Kenny, "Bayesian speaker verification with heavy-tailed priors", Odyssey
    2010; Shum et al., "Unsupervised speaker adaptation based on the cosine similarity
    for text-independent speaker verification", Odyssey 2010.
    """

    needs_cohort = True

    def __init__(self, *, centre: bool = False) -> None:
        self.centre = centre

    def fit(self, cohort: Cohort | None, num_heads: int) -> Scorer:
        """Take the speakers' means; raises what ``AsNorm.fit`` does."""
        return _fit("s-norm", cohort, num_heads, top=None, centre=self.centre)


def _fit(
    kind: str, cohort: Cohort | None, num_heads: int, *, top: int | None, centre: bool
) -> Scorer:
    cohort = checked(cohort, kind, least=2)
    means, speakers = cohort.speaker_means()
    if top is None:
        top = len(speakers)
    elif top > len(speakers):
        logger.info(
            "%s: top is %d, the cohort has %d speakers; all of them are taken",
            *(kind, top, len(speakers)),
        )
        top = len(speakers)
    mean = cohort.mean() if centre else None
    of_speakers = directions(means, speakers, num_heads, mean)

    def score(sides: Sides) -> Scores:
        check_size(of_speakers.shape[1], sides.vectors.shape[1])
        unit = directions(sides.vectors, sides.names, num_heads, mean)
        means, deviations = _statistics(unit, of_speakers, sides, top)
        cosines = paired_dots(unit, sides.enrolment, sides.test)
        values = sum(
            (cosines - means[side]) / deviations[side]
            for side in (sides.enrolment, sides.test)
        )
        return Scores(0.5 * values, {"cohort_mean": means, "cohort_std": deviations})

    return score


def _statistics(
    unit: Float32[np.ndarray, "M E"],
    of_speakers: Float32[np.ndarray, "S E"],
    sides: Sides,
    top: int,
) -> tuple[Float64[np.ndarray, " M"], Float64[np.ndarray, " M"]]:
    """Give mean and deviation of the highest scores of each row that a trial names."""
    means = np.full(len(unit), np.nan)
    deviations = np.full(len(unit), np.nan)
    first = len(of_speakers) - top
    used = sides.used()
    for block in blocks(len(used), SIDES_AT_ONCE):
        rows = used[block]
        scores = unit[rows] @ of_speakers.T
        if first:
            scores.partition(first, axis=1)
        highest = scores[:, first:]
        means[rows] = highest.mean(axis=1)
        highest -= means[rows].astype(np.float32)[:, None]
        squares = np.einsum("us,us->u", highest, highest)
        deviations[rows] = np.sqrt(squares / top)
    same = used[deviations[used] < LEAST_DEVIATION]
    if len(same):
        raise ValueError(
            f"{sides.names[same[0]]} scores the same, {means[same[0]]:.3f}, against all"
            f" of its {top} cohort speakers, as do {len(same) - 1} others, so there is"
            " no deviation to divide by; train the run again or take plain cosine"
        )
    return means, deviations
