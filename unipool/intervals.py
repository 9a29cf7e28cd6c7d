"""How far an error rate may be from that of other speakers: intervals of draws."""

import numpy as np
import scipy  # its parts are imported when they are used
from jaxtyping import Float64

Draws = Float64[np.ndarray, "draws seeds"]

CONFIDENCE = 0.95
POWER = 1 / 4
"""Makes the scale of intervals: between the logarithm, on which a draw without error
would be infinitely far away, and the rate itself, which has no room below it. A loss
without a largest value is left as it is: its roots hide how skewed it is."""


def around_mean(
    values: Float64[np.ndarray, " seeds"],
    draws: Draws,
    num_speakers: int,
    *,
    bounded: bool = True,
    is_actual_cost: bool = False,
    power: float = POWER,
) -> tuple[float, float, float]:
    """Give the mean of a metric over seeds, and its 95 % interval.

    On the scale of fourth roots, where draws of rates and costs spread alike to both
    sides, it is the mean plus and minus its standard error times Student's quantile,
    moved by as much as the draws' mean lies beside it, the other way: minimum costs are
    lower on draws than on the list, and so on the list than on new speakers.

    An actual cost is a mean over speakers, of whom few may make the most: lists without
    these have a low mean and a low standard error alike. Where its draws are skewed,
    the end on that side lies further out, see ``_straightened``; no end lies nearer for
    it, as few speakers tell little of how skewed they are. It always holds the mean.

    The interval knows of other speakers and of other seeds: the squared standard error
    is the variance of the mean over the draws, plus that of the seeds divided by their
    number, if there are several.

    Where there was no error at all, it ends where so many speakers without error would
    be too lucky, and likewise where nothing was accepted on any draw and the cost is 1.
    Without draws both ends are NaN.

    Args:
        values: of the metric, for each seed.
        draws: it, on draws of the speakers, the same for all seeds.
        num_speakers: that were drawn from.
        bounded: whether it is at most 1.
        is_actual_cost: of decisions or ratios that were there before the list.
        power: that makes its scale.
    """
    mean = float(values.mean())
    drawn = draws.mean(axis=1)
    if len(draws) < 2:
        return mean, np.nan, np.nan
    lucky = _lucky(num_speakers)
    if mean == 0:
        return mean, 0.0, lucky
    if mean == 1 and (drawn == 1).all():
        return mean, 1 - lucky, 1.0
    drawn = drawn**power
    of_speakers = float(np.var(drawn))
    parts = [(of_speakers, num_speakers - 1), *_variance_of_mean(values**power)]
    below = above = _half(parts)
    if is_actual_cost:
        below, above = _lengthened(parts, float(np.mean((drawn - drawn.mean()) ** 3)))
    middle = 2 * mean**power - float(np.mean(drawn))
    low, high = (
        max(end, 0.0) ** (1 / power) for end in (middle - below, middle + above)
    )
    return mean, min(low, mean), max(min(high, 1.0) if bounded else high, mean)


def difference_of_means(
    values_a: Float64[np.ndarray, " seeds_a"],
    draws_a: Float64[np.ndarray, "draws seeds_a"],
    values_b: Float64[np.ndarray, " seeds_b"],
    draws_b: Float64[np.ndarray, "draws seeds_b"],
    num_speakers: int,
) -> tuple[float, float, float, float]:
    """Compare the means of a metric over the seeds of two systems.

    The squared standard error is the variance of the difference of both means over the
    draws, plus, of each system, that of its seeds divided by their number. A single
    seed against several is taken to vary as they do. Where no draw differs from
    another, the interval is as wide as for a system without error, and the p-value that
    of a sign test over the speakers.

    Args:
        values_a: of the first system, for each seed.
        draws_a: they, on draws of the speakers.
        values_b: of the second.
        draws_b: they, on the same draws.
        num_speakers: that were drawn from.

    Returns:
        The second's mean less the first's, both ends of its 95 % interval, and the
        p-value of no difference.
    """
    value = float(values_b.mean() - values_a.mean())
    if len(draws_a) < 2:
        return value, np.nan, np.nan, np.nan
    of_speakers = float(np.var(draws_b.mean(axis=1) - draws_a.mean(axis=1)))
    parts = [(of_speakers, num_speakers - 1), *_variance_of_seeds(values_a, values_b)]
    error, freedom = _standard_error(parts)
    if error == 0:  # Of one and the same system, this is certain; else it is luck.
        lucky = 0.0 if np.ptp(draws_a) > 0 else _lucky(num_speakers)
        p_value = 1.0 if value == 0 else 2 * 0.5**num_speakers
        return value, value - lucky, value + lucky, p_value
    half = _half(parts)
    p_value = 2 * float(scipy.stats.t.sf(abs(value) / error, freedom))
    return value, value - half, value + half, p_value


def holm(p_values: Float64[np.ndarray, " P"]) -> Float64[np.ndarray, " P"]:
    """Correct p-values for their number, so that 1 of 20 families has a false find.

    The smallest is multiplied by how many there are, the next by one less, and so on;
    none becomes smaller than one before it, or larger than 1. NaN stays NaN, and is not
    counted.

    Source: Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    rising = known[np.argsort(p_values[known], kind="stable")]
    times = np.arange(len(rising), 0, -1)
    multiplied = np.maximum.accumulate(times * p_values[rising])
    corrected[rising] = np.minimum(multiplied, 1)
    return corrected


def _lucky(num_speakers: int) -> float:
    """Give the rate at which so many speakers without error would be too lucky."""
    return 1 - ((1 - CONFIDENCE) / 2) ** (1 / num_speakers)


def _variance_of_seeds(
    values_a: Float64[np.ndarray, " seeds_a"], values_b: Float64[np.ndarray, " seeds_b"]
) -> list[tuple[float, int]]:
    """Give what the seeds of two systems add to the variance of their difference."""
    few, many = sorted((values_a, values_b), key=len)
    if len(few) == 1 < len(many):
        one_seed = float(np.var(many, ddof=1))
        return [(one_seed * (1 + 1 / len(many)), len(many) - 1)]
    return [*_variance_of_mean(values_a), *_variance_of_mean(values_b)]


def _variance_of_mean(
    values: Float64[np.ndarray, " seeds"],
) -> list[tuple[float, int]]:
    """Give the variance of the mean of the seeds and its freedom, if it is known."""
    if len(values) < 2:
        return []
    return [(float(np.var(values, ddof=1)) / len(values), len(values) - 1)]


def _standard_error(parts: list[tuple[float, int]]) -> tuple[float, float]:
    """Add variances; give the root, and the degrees of freedom of their sum.

    Source: Welch, "The generalization of Student's problem when several different
    population variances are involved", Biometrika 34, 1947; Satterthwaite, 1946.
    """
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0, float(parts[0][1])
    shares = sum((variance / total) ** 2 / freedom for variance, freedom in parts)
    return float(np.sqrt(total)), 1 / shares


def _half(parts: list[tuple[float, int]]) -> float:
    error, freedom = _standard_error(parts)
    return float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error


def _lengthened(
    parts: list[tuple[float, int]], third_moment: float
) -> tuple[float, float]:
    """Give how far the ends lie below and above, given the draws' third moment."""
    half = _half(parts)
    error, _ = _standard_error(parts)
    if error == 0:
        return half, half
    skewness, quantile = third_moment / error**3, half / error
    return (
        error * max(quantile, _straightened(quantile, skewness)),
        error * max(quantile, -_straightened(-quantile, skewness)),
    )


def _straightened(quantile: float, skewness: float) -> float:
    """Give the quantile of a mean's distance from the truth, in standard errors.

    A mean of skewed values has a skewed distance t, as its standard error varies with
    it: ``t + skewness / 3 t^2 + skewness^2 / 27 t^3 + skewness / 6`` is nearly normal,
    where the skewness is that of the mean. This is its inverse.

    Source: Hall, "On the removal of skewness by transformation", Journal of the Royal
    Statistical Society B 54, 1992.
    """
    moved = quantile - skewness / 6
    root = float(np.cbrt(1 + skewness * moved))
    # It is 3 (root - 1) / skewness, written so that the skewness may be 0.
    return 3 * moved / (root**2 + root + 1)
