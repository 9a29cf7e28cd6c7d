"""Error rates and costs of a list of scored trials, sorted once for all metrics.

A trial is accepted when its score is at least the threshold. ``p_miss`` is the share
of target trials that are rejected, ``p_fa`` the share of non-target trials that are
accepted; both are fractions. The thresholds that make a difference are the distinct
scores, and one above them all: trials of equal score are accepted together.

``eer``, ``min_dcf`` and ``min_cllr`` are of the order of the scores alone. ``act_dcf``
and ``cllr`` take the scores for natural logarithms of likelihood ratios.
docs/metrics.md has all formulas.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used
from jaxtyping import Bool, Float, Float64, Int

Scores = Float[np.ndarray, " N"]
Targets = Bool[np.ndarray, " N"]


class ErrorRates(NamedTuple):
    """Both error rates at every threshold, from the highest to the lowest.

    The first threshold is infinite: there everything is rejected.
    """

    p_miss: Float64[np.ndarray, " K"]
    p_fa: Float64[np.ndarray, " K"]
    thresholds: Float64[np.ndarray, " K"]


class SortedTrials:
    """Scored trials by falling score; any weighting of them is measured in O(n).

    Args:
        scores: of the trials.
        targets: whether both sides are of one speaker.

    Attributes:
        target_trials: places of the target trials, by falling score.
        nontarget_trials: of the others, likewise.

    Raises:
        ValueError: when a score is not finite, or one of the two classes is missing.
    """

    def __init__(self, scores: Scores, targets: Targets) -> None:
        finite = np.isfinite(scores)
        if not finite.all():
            raise ValueError(
                f"{np.count_nonzero(~finite)} of {len(scores)} scores are"
                f" not finite, the first is {scores[np.argmin(finite)]}; error rates"
                " need a number for each trial"
            )
        num_targets = int(np.count_nonzero(targets))
        if num_targets in (0, len(targets)):
            raise ValueError(
                f"{num_targets} target and {len(targets) - num_targets} non-target"
                " trials; error rates need at least one of each"
            )
        order = np.argsort(scores)[::-1]
        falling = scores[order]
        is_target = targets[order]
        self.target_trials = order[is_target]
        self.nontarget_trials = order[~is_target]
        ends = np.append(falling[1:] != falling[:-1], True)
        self._thresholds = np.append(np.inf, falling[ends]).astype(np.float64)
        # How many of each are accepted at each threshold, none at the first.
        self._targets = np.append(0, np.cumsum(is_target)[ends])
        self._nontargets = np.append(0, np.flatnonzero(ends) + 1) - self._targets

    def error_rates(self) -> ErrorRates:
        """Count every trial once."""
        return ErrorRates(
            _left(self._targets),
            self._nontargets / self._nontargets[-1],
            self._thresholds,
        )

    def weighted_error_rates(
        self,
        of_targets: Float64[np.ndarray, " P"],
        of_nontargets: Float64[np.ndarray, " Q"],
    ) -> ErrorRates:
        """Count each trial by its weight, in the order of the attributes' places."""
        hits = _accumulate(of_targets, self._targets)
        false_alarms = _accumulate(of_nontargets, self._nontargets)
        return ErrorRates(
            _left(hits), false_alarms / false_alarms[-1], self._thresholds
        )

    def at_corners(self) -> "SortedTrials":
        """Give the same trials with the thresholds of ``corners`` alone."""
        kept = _turns(self._targets, self._nontargets)
        same = object.__new__(SortedTrials)
        same.target_trials = self.target_trials
        same.nontarget_trials = self.nontarget_trials
        same._thresholds = self._thresholds[kept]
        same._targets, same._nontargets = self._targets[kept], self._nontargets[kept]
        return same


def _accumulate(
    weights: Float64[np.ndarray, " P"], counts: Int[np.ndarray, " K"]
) -> Float64[np.ndarray, " K"]:
    return np.append(0.0, np.cumsum(weights))[counts]


def _left(accepted: np.ndarray) -> Float64[np.ndarray, " K"]:
    return (accepted[-1] - accepted) / accepted[-1]


def _turns(targets: np.ndarray, nontargets: np.ndarray) -> Int[np.ndarray, " M"]:
    """Find where the curve of two rates or counts may turn; both ends are among it."""
    moves = (targets[1:] != targets[:-1]) | (nontargets[1:] != nontargets[:-1])
    places = np.flatnonzero(np.append(True, moves))  # Trials may have no weight.
    straight = np.zeros(len(places) - 2, dtype=bool)
    for one in (targets[places], nontargets[places]):
        still = one[1:] == one[:-1]
        straight |= still[1:] & still[:-1]
    return places[np.concatenate([[True], ~straight, [True]])]


def corners(rates: ErrorRates) -> ErrorRates:
    """Leave out thresholds between which only one of both rates moves.

    No line that is drawn through all of them changes; nor do ``eer``, ``min_dcf`` and
    ``min_cllr``.
    """
    kept = _turns(rates.p_miss, rates.p_fa)
    return ErrorRates(*(one[kept] for one in rates))


def eer(rates: ErrorRates) -> float:
    """Give the equal error rate: where p_miss and p_fa cross.

    Between the last operating point with p_miss >= p_fa and the first one beyond it
    both rates are interpolated linearly. The curve is the empirical one, not its
    convex hull. With ties this can lie above or below the mean of the two rates
    at the nearest threshold, which the published UniPool code reports.
    """
    before, after = _crossing(rates)
    p_miss, p_fa, _ = rates
    if p_miss[before] == p_miss[after]:
        return float(p_miss[after])
    distance = p_miss[before] - p_fa[before]
    weight = distance / (distance + p_fa[after] - p_miss[after])
    return float(p_fa[before] + weight * (p_fa[after] - p_fa[before]))


ROUNDING = 1e-12
"""Rates that differ by less are equal."""


def eer_threshold(rates: ErrorRates) -> float:
    """Give the threshold where p_miss and p_fa are nearest to each other.

    It is the middle of all thresholds with these rates: between the lowest score that
    is accepted and the highest that is rejected. Of two operating points that are
    equally near, it is that of the lower threshold.
    """
    before, after = _crossing(rates)
    distances = np.abs(rates.p_miss - rates.p_fa)[[before, after]]
    nearest = before if distances[0] < distances[1] - ROUNDING else after
    if nearest == len(rates.thresholds) - 1:  # All are accepted.
        return float(rates.thresholds[nearest])
    return float(rates.thresholds[nearest : nearest + 2].mean())


def _crossing(rates: ErrorRates) -> tuple[int, int]:
    """Give the operating points before and after p_miss falls below p_fa, or to it."""
    after = int(np.argmax(rates.p_miss <= rates.p_fa))
    return after - 1, after


def rates_at(rates: ErrorRates, threshold: float) -> tuple[float, float]:
    """Give p_miss and p_fa at a threshold that need not be a score."""
    rising = rates.thresholds[::-1]
    place = len(rising) - 1 - int(np.searchsorted(rising, threshold))
    return float(rates.p_miss[place]), float(rates.p_fa[place])


def eer_star(rates: ErrorRates, *, threshold: float) -> float:
    """Give the mean of both rates at a threshold that was chosen on other trials.

    Source: UniPool's published code, there with ``eer_threshold`` of the validation.
    """
    return sum(rates_at(rates, threshold)) / 2


def min_dcf(rates: ErrorRates, *, p_target: float) -> float:
    """Give the minimum of the normalised detection cost over all thresholds.

    The costs of a miss and of a false alarm are 1; the cost is divided by that of the
    better of accepting all and rejecting all, ``min(p_target, 1 - p_target)``, so 1
    is the value of a system that knows nothing.

    Source: NIST 2016 Speaker Recognition Evaluation Plan, sec. 3.1.
    """
    costs = p_target * rates.p_miss + (1 - p_target) * rates.p_fa
    return float(costs.min() / min(p_target, 1 - p_target))


def act_dcf(rates: ErrorRates, *, p_target: float) -> float:
    """Give the normalised detection cost at the threshold of Bayes' decision.

    That is ``log((1 - p_target) / p_target)``, for scores that are natural logarithms
    of likelihood ratios. It is at least ``min_dcf`` and may exceed 1.

    Source: as ``min_dcf``.
    """
    p_miss, p_fa = rates_at(rates, math.log((1 - p_target) / p_target))
    cost = p_target * p_miss + (1 - p_target) * p_fa
    return cost / min(p_target, 1 - p_target)


def cllr(rates: ErrorRates) -> float:
    """Give the cost of log-likelihood ratios (natural logarithms), in bits.

    The mean over targets of ``log2(1 + exp(-llr))`` and that over non-targets of
    ``log2(1 + exp(llr))``, halved: 1 for a system that knows nothing and says so,
    more for one that misleads.

    Source: Bruemmer and du Preez, "Application-independent evaluation of speaker
    detection", Computer Speech and Language 20, 2006.
    """
    llr = rates.thresholds[1:]
    # log(1 + exp(-llr)) without overflow; of the other sign it is llr more.
    missed = np.log1p(np.exp(-np.abs(llr))) + np.maximum(-llr, 0)
    total = -np.diff(rates.p_miss) @ missed + np.diff(rates.p_fa) @ (missed + llr)
    return float(total) / 2 / math.log(2)


def min_cllr(rates: ErrorRates) -> float:
    """Give the smallest ``cllr`` that any rising map of the scores could have, in bits.

    The best map is found by isotonic regression (pool adjacent violators) of the
    targets' share on the scores, both classes weighing the same.

    Source: as ``cllr``.
    """
    curve = corners(rates)
    targets, nontargets = -np.diff(curve.p_miss), np.diff(curve.p_fa)
    weights = targets + nontargets
    pooled = scipy.optimize.isotonic_regression(
        targets / weights, weights=weights, increasing=False
    )
    # Of each pool, both classes at once: the curve between its first and last point.
    edges = pooled.blocks
    hits, false_alarms = -np.diff(curve.p_miss[edges]), np.diff(curve.p_fa[edges])
    both = hits + false_alarms
    total = scipy.special.xlogy(hits, hits / both) + scipy.special.xlogy(
        false_alarms, false_alarms / both
    )
    return abs(float(total.sum())) / 2 / math.log(2)
