"""Share a number among groups as equally as may be, and draw so many of each."""

import numpy as np
from jaxtyping import Int64

Counts = Int64[np.ndarray, " G"]
Places = Int64[np.ndarray, " K"]


def share(
    capacities: Counts, total: int, generator: np.random.Generator, rounding: str
) -> Counts:
    """Share ``total`` equally among groups, none beyond its capacity.

    Who has less than its share gives all, and the others make up for it.

    Args:
        capacities: what each group has; their sum is at least ``total``.
        total: to share.
        generator: draws who gives one more than others where it does not divide.
        rounding: ``exact``, or ``up``: all give as many as those who give most, so that
            it may be more than ``total``.
    """
    if total == 0:
        return np.zeros_like(capacities)
    lowest, level = (
        0,
        int(capacities.max()),
    )  # the level is above one, at most the other
    while level - lowest > 1:
        middle = (lowest + level) // 2
        if np.minimum(capacities, middle).sum() >= total:
            level = middle
        else:
            lowest = middle
    if rounding == "up":
        return np.minimum(capacities, level)
    shares = np.minimum(capacities, level - 1)
    above = np.flatnonzero(capacities >= level)
    more = generator.choice(above, size=total - int(shares.sum()), replace=False)
    shares[more] += 1
    return shares


def draw_places(
    capacities: Counts, shares: Counts, generator: np.random.Generator
) -> tuple[Places, Places]:
    """Draw different places in each group, as many as its share.

    Returns:
        the group and the place in it, below its capacity, of each that was drawn.
    """
    groups = np.repeat(np.arange(len(shares)), shares)
    places = np.empty(len(groups), dtype=np.int64)
    ends = np.cumsum(shares)
    single = shares == 1
    places[ends[single] - 1] = generator.integers(0, capacities[single])
    for group in np.flatnonzero(shares > 1):
        places[ends[group] - shares[group] : ends[group]] = generator.choice(
            capacities[group], size=shares[group], replace=False, shuffle=False
        )
    return groups, places


def pair_at(places: Places, size: int | Places) -> tuple[Places, Places]:
    """Give the two different members of a group that a place stands for.

    Each unordered pair of ``size`` members has one place below size * (size - 1) / 2:
    first those that are neighbours on a circle, then those with one between, ...
    """
    first = places % size
    return first, (first + places // size + 1) % size
