"""The metrics of UniPool's published code, to compare with published values.

They are of cosines that are clamped to [0, 1]. That code takes for thresholds all
distinct scores and the middles between them, and accepts what is above; the operating
points are those of ``ErrorRates``, but for the last, where all is accepted. It compares
each trial with each threshold; here nothing but the operating points is looked at.
"""

import numpy as np

from unipool.metrics import ErrorRates, eer_star


def published_eer(rates: ErrorRates) -> float:
    """Give the EER as UniPool's code does: the mean of both rates where they are near.

    Of equally near thresholds it is the lowest. For comparison with published values,
    on cosines that are clamped to [0, 1].

    Source: UniPool's published code (its thresholds between two scores and its ``<=``
    and ``>`` give the operating points of ours, but accepting all).
    """
    place = _published_place(rates)
    return float(rates.p_miss[place] + rates.p_fa[place]) / 2


def published_threshold(rates: ErrorRates) -> float:
    """Give the threshold of ``published_eer``: scores above it are accepted.

    It is a score itself, the highest that is rejected.
    """
    return float(rates.thresholds[_published_place(rates) + 1])


def _published_place(rates: ErrorRates) -> int:
    distances = np.abs(rates.p_fa - rates.p_miss)[-2::-1]
    return len(distances) - 1 - int(np.argmin(distances))


def published_eer_star(rates: ErrorRates, *, threshold: float) -> float:
    """Give the mean of both rates where scores above the threshold are accepted.

    Source: as ``published_eer``, with ``published_threshold`` of the validation.
    """
    return eer_star(rates, threshold=float(np.nextafter(threshold, np.inf)))


def published_min_dcf(rates: ErrorRates) -> float:
    """Give the smallest cost at a prior of 0.01, not normalised: at most 0.01.

    Source: as ``published_eer``.
    """
    return float((0.01 * rates.p_miss + 0.99 * rates.p_fa).min())
