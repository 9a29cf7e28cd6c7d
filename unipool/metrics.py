"""Error rates of a list of scored trials, sorted once for all metrics.

A trial is accepted when its score is at least the threshold. ``p_miss`` is the share
of target trials that are rejected, ``p_fa`` the share of non-target trials that are
accepted; both are fractions. The thresholds that make a difference are the distinct
scores, and one above them all: trials of equal score are accepted together.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

Scores = Float[np.ndarray, " N"]
Targets = Bool[np.ndarray, " N"]


class ErrorRates(NamedTuple):
    """Both error rates at every threshold, from the highest to the lowest."""

    p_miss: Float64[np.ndarray, " K"]
    p_fa: Float64[np.ndarray, " K"]


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
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are"
                " not finite; error rates need a number for each trial"
            )
        num_targets = int(np.count_nonzero(targets))
        if num_targets in (0, len(targets)):
            raise ValueError(
                f"{num_targets} target and {len(targets) - num_targets} non-target"
                " trials; error rates need at least one of each"
            )
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
        is_target = targets[order]
        accepted = np.cumsum(is_target)[ends]
        self.target_trials = order[is_target]
        self.nontarget_trials = order[~is_target]
        # How many of each are accepted at each threshold, none at the first.
        self._targets = np.append(0, accepted)
        self._nontargets = np.append(0, ends + 1 - accepted)

    def error_rates(self) -> ErrorRates:
        """Count every trial once."""
        return ErrorRates(
            1 - self._targets / self._targets[-1],
            self._nontargets / self._nontargets[-1],
        )

    def weighted_error_rates(
        self,
        of_targets: Float64[np.ndarray, " P"],
        of_nontargets: Float64[np.ndarray, " Q"],
    ) -> ErrorRates:
        """Count each trial by its weight, in the order of the attributes' places."""
        hits = _accumulate(of_targets, self._targets)
        false_alarms = _accumulate(of_nontargets, self._nontargets)
        return ErrorRates(1 - hits, false_alarms)


def _accumulate(
    weights: Float64[np.ndarray, " P"], counts: Int[np.ndarray, " K"]
) -> Float64[np.ndarray, " K"]:
    sums = np.append(0.0, np.cumsum(weights))
    return sums[counts] / sums[-1]


def eer(rates: ErrorRates) -> float:
    """Give the equal error rate: where p_miss and p_fa cross.

    Between the last operating point with p_miss >= p_fa and the first one beyond it
    both rates are interpolated linearly. The curve is the empirical one, not its
    convex hull. With ties this can lie above or below the mean of the two rates
    at the nearest threshold, which the published UniPool code reports.
    """
    p_miss, p_fa = rates
    difference = p_miss - p_fa  # falls from 1 to -1
    after = int(np.argmax(difference <= 0))
    before = after - 1
    weight = difference[before] / (difference[before] - difference[after])
    return float(p_fa[before] + weight * (p_fa[after] - p_fa[before]))


def min_dcf(rates: ErrorRates, *, p_target: float) -> float:
    """Give the minimum of the normalised detection cost over all thresholds.

    The costs of a miss and of a false alarm are 1; the cost is divided by that of the
    better of accepting all and rejecting all, ``min(p_target, 1 - p_target)``, so 1
    is the value of a system that knows nothing.

    Source: NIST 2016 Speaker Recognition Evaluation Plan, sec. 3.1.
    """
    costs = p_target * rates.p_miss + (1 - p_target) * rates.p_fa
    return float(costs.min() / min(p_target, 1 - p_target))
