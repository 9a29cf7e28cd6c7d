"""Error rates of a list of scored trials, each in O(n log n).

A trial is accepted when its score is at least the threshold. ``p_miss`` is the share
of target trials that are rejected, ``p_fa`` the share of non-target trials that are
accepted; both are fractions. The thresholds that make a difference are the distinct
scores, and one above them all: trials of equal score are accepted together.
"""

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_curve

Scores = Float[np.ndarray, " N"]
Targets = Bool[np.ndarray, " N"]
Rates = Float[np.ndarray, " K"]


def error_rates(scores: Scores, targets: Targets) -> tuple[Rates, Rates]:
    """Give p_miss and p_fa at every threshold, from the highest to the lowest.

    Raises:
        ValueError: when a score is not finite, or one of the two classes is missing.
    """
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not"
            " finite; error rates need a number for each trial"
        )
    num_targets = int(np.count_nonzero(targets))
    if num_targets in (0, len(targets)):
        raise ValueError(
            f"{num_targets} target and {len(targets) - num_targets} non-target trials;"
            " error rates need at least one of each"
        )
    p_fa, p_hit, _ = roc_curve(targets, scores, drop_intermediate=False)
    return 1 - p_hit, p_fa


def eer(scores: Scores, targets: Targets) -> float:
    """Give the equal error rate: where p_miss and p_fa cross.

    Between the last operating point with p_miss >= p_fa and the first one beyond it
    both rates are interpolated linearly. The curve is the empirical one, not its
    convex hull. With ties this can lie above or below the mean of the two rates
    at the nearest threshold, which the published UniPool code reports.

    Raises:
        ValueError: see ``error_rates``.
    """
    p_miss, p_fa = error_rates(scores, targets)
    difference = p_miss - p_fa  # falls from 1 to -1
    after = int(np.argmax(difference <= 0))
    before = after - 1
    weight = difference[before] / (difference[before] - difference[after])
    return float(p_fa[before] + weight * (p_fa[after] - p_fa[before]))


def min_dcf(scores: Scores, targets: Targets, *, p_target: float) -> float:
    """Give the minimum of the normalised detection cost over all thresholds.

    The costs of a miss and of a false alarm are 1; the cost is divided by that of the
    better of accepting all and rejecting all, ``min(p_target, 1 - p_target)``, so 1
    is the value of a system that knows nothing.

    Source: NIST 2016 Speaker Recognition Evaluation Plan, sec. 3.1.

    Raises:
        ValueError: see ``error_rates``.
    """
    p_miss, p_fa = error_rates(scores, targets)
    costs = p_target * p_miss + (1 - p_target) * p_fa
    return float(costs.min() / min(p_target, 1 - p_target))
