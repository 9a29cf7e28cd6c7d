"""How far an error rate may be from that of other speakers: bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int
from scipy.stats import t as student

from unipool.metrics import ErrorRates, SortedTrials

Metric = Callable[[ErrorRates], float]

CONFIDENCE = 0.95
NEAREST = 1e-4
"""A rate is kept so far from 0 and 1 where its logit is taken."""


def draw_speakers(
    trials: list[SortedTrials],
    enrolment: Int[np.ndarray, " N"],
    test: Int[np.ndarray, " N"],
    metrics: dict[str, Metric],
    *,
    draws: int,
    seed: int,
) -> dict[str, Float64[np.ndarray, "draws systems"]]:
    """Measure systems that scored the same trials on draws of their speakers.

    Trials that share a speaker are not independent, so speakers are drawn, with
    replacement, as many as there are: a non-target trial counts as often as both its
    speakers were drawn together (the product of their counts), a target trial as often
    as its one speaker. Both sides are drawn from one population.

    Source: the vertex bootstrap of Snijders and Borgatti, "Non-parametric standard
    errors and tests for network statistics", Connections 22(2), 1999.

    Args:
        trials: of each system, sorted.
        enrolment: number of the speaker of each trial's enrolment, from 0.
        test: of its test utterance.
        metrics: functions of the error rates, by name.
        draws: of speakers.
        seed: of the draws.

    Raises:
        ValueError: when there are fewer than 2 speakers.
    """
    count = num_speakers(enrolment, test)
    if count < 2:
        raise ValueError("an interval needs trials of at least 2 speakers")
    sides = [
        (
            enrolment[one.target_trials],
            enrolment[one.nontarget_trials],
            test[one.nontarget_trials],
        )
        for one in trials
    ]
    generator = np.random.default_rng(seed)
    found: dict[str, list[list[float]]] = {name: [] for name in metrics}
    for _ in range(draws):
        counts = generator.multinomial(count, np.full(count, 1 / count)).astype(float)
        weights = [(counts[a], counts[b] * counts[c]) for a, b, c in sides]
        if not all(some.any() for some in weights[0]):
            continue  # none of the speakers who have such trials was drawn
        rates = [
            one.weighted_error_rates(*some)
            for one, some in zip(trials, weights, strict=True)
        ]
        for name, metric in metrics.items():
            found[name].append([metric(one) for one in rates])
    return {name: np.array(values) for name, values in found.items()}


def num_speakers(enrolment: np.ndarray, test: np.ndarray) -> int:
    """Count speakers that are numbered from 0."""
    return int(max(enrolment.max(), test.max())) + 1


def quantile(count: int) -> float:
    """Give Student's quantile of a two-sided interval for so many speakers."""
    return float(student.ppf((1 + CONFIDENCE) / 2, count - 1))


def around(
    value: float, drawn: Float64[np.ndarray, " draws"], count: int
) -> tuple[float, float]:
    """Give the 95 % interval of a rate, for other speakers of the same kind.

    It is the rate, on the logit scale, plus and minus its standard deviation over the
    draws times Student's quantile for so many speakers; where there was no error at
    all, it ends where so many speakers without error would be too lucky. (Percentiles
    of the draws would miss too often for minimum costs, which are lower on draws than
    on new speakers.)

    Args:
        value: of the rate.
        drawn: it, on draws of the speakers.
        count: of the speakers.
    """
    if value == 0:
        return 0.0, 1 - ((1 - CONFIDENCE) / 2) ** (1 / count)
    half = quantile(count) * float(np.std(_logit(drawn)))
    middle = float(_logit(np.float64(value)))
    low, high = (float(1 / (1 + np.exp(-(middle + half * s)))) for s in (-1, 1))
    return min(low, value), max(high, value)


def difference(
    value: float, drawn: Float64[np.ndarray, " draws"], count: int
) -> tuple[float, float, float]:
    """Give the 95 % interval of a difference of two systems, and its p-value.

    Args:
        value: of the difference.
        drawn: it, on draws of the speakers.
        count: of the speakers.

    Returns:
        Both ends, and how probable so large a difference would be, either way, if there
        were none.
    """
    deviation = float(np.std(drawn))
    half = quantile(count) * deviation
    if deviation == 0:
        return value, value, float(value == 0)
    p_value = 2 * float(student.sf(abs(value) / deviation, count - 1))
    return value - half, value + half, p_value


def _logit(rate: np.ndarray | np.float64) -> np.ndarray | np.float64:
    kept = np.clip(rate, NEAREST, 1 - NEAREST)
    return np.log(kept / (1 - kept))
