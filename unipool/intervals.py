"""How far an error rate may be from that of other speakers: bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from scipy.stats import t as student

from unipool.metrics import ErrorRates, SortedTrials

CONFIDENCE = 0.95
NEAREST = 1e-4
"""A rate is kept so far from 0 and 1 where its logit is taken."""


def speaker_intervals(
    trials: SortedTrials,
    enrolment: Int[np.ndarray, " N"],
    test: Int[np.ndarray, " N"],
    metrics: dict[str, Callable[[ErrorRates], float]],
    *,
    draws: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Give a 95 % interval of each metric, for other speakers of the same kind.

    Trials that share a speaker are not independent, so speakers are drawn, with
    replacement, as many as there are: a non-target trial counts as often as both its
    speakers were drawn together (the product of their counts), a target trial as often
    as its one speaker. Both sides are drawn from one population. The interval is the
    metric, on the logit scale, plus and minus its standard deviation over the draws
    times Student's quantile for so many speakers; where there was no error at all, it
    ends where so many speakers without error would be too lucky. (Percentiles of the
    draws would miss too often for minimum costs, which are lower on draws than on new
    speakers.)

    Source: the vertex bootstrap of Snijders and Borgatti, "Non-parametric standard
    errors and tests for network statistics", Connections 22(2), 1999.

    Args:
        trials: sorted.
        enrolment: number of the speaker of each trial's enrolment, from 0.
        test: of its test utterance.
        metrics: functions of the error rates, by name.
        draws: of speakers.
        seed: of the draws.

    Raises:
        ValueError: when there are fewer than 2 speakers.
    """
    count = int(max(enrolment.max(), test.max())) + 1
    if count < 2:
        raise ValueError("an interval needs trials of at least 2 speakers")
    targets = enrolment[trials.target_trials]
    sides = [side[trials.nontarget_trials] for side in (enrolment, test)]
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(draws):
        counts = generator.multinomial(count, np.full(count, 1 / count)).astype(float)
        of_targets, of_nontargets = counts[targets], counts[sides[0]] * counts[sides[1]]
        if not (of_targets.any() and of_nontargets.any()):
            continue  # none of the speakers who have such trials was drawn
        rates = trials.weighted_error_rates(of_targets, of_nontargets)
        for name, metric in metrics.items():
            found[name].append(metric(rates))
    quantile = student.ppf((1 + CONFIDENCE) / 2, count - 1)
    rates = trials.error_rates()
    return {
        name: _around(metric(rates), np.array(found[name]), quantile, count)
        for name, metric in metrics.items()
    }


def _around(
    value: float, drawn: np.ndarray, quantile: float, count: int
) -> tuple[float, float]:
    if value == 0:
        return 0.0, 1 - ((1 - CONFIDENCE) / 2) ** (1 / count)
    half = float(quantile * np.std(_logit(drawn)))
    middle = float(_logit(np.float64(value)))
    low, high = (float(1 / (1 + np.exp(-(middle + half * s)))) for s in (-1, 1))
    return min(low, value), max(high, value)


def _logit(rate: np.ndarray | np.float64) -> np.ndarray | np.float64:
    kept = np.clip(rate, NEAREST, 1 - NEAREST)
    return np.log(kept / (1 - kept))
