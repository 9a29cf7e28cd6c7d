"""Draw non-target trials: two utterances of different speakers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from unipool.trials.sharing import Counts, Places, draw_places, pair_at, share
from unipool.trials.units import Units

MOST_ROUNDED = 2
"""Rounding up may give so many times what was asked for, and not more."""


class _Cell(NamedTuple):
    """Pairs of units that share the same values, before those of one speaker go.

    Args:
        name: what is the same and what is not, in words.
        first: groups of the one unit, for each pair of groups.
        second: groups of the other.
        num_pairs: of units, for each pair of groups.
        num_of_speaker: pairs of units that are of one speaker, and no non-targets.
        num_trials: pairs of utterances of different speakers.
    """

    name: str
    first: Counts
    second: Counts
    num_pairs: Counts
    num_of_speaker: int
    num_trials: int


def draw_nontargets(
    units: Units,
    balance: Sequence[str],
    total: int,
    *,
    generator: np.random.Generator,
    rounding: str,
) -> tuple[Places, Places]:
    """Draw pairs of utterances, shared equally by cells, then by pairs of units.

    A cell is one pattern of balanced values that are the same or not. Where a cell has
    more pairs of units than trials are asked of it, they are not all listed.

    Returns:
        the two utterances of each pair, as places in ``units.utterances``.

    Raises:
        ValueError: when a cell has not enough pairs; it says what each has.
    """
    cells = _cells(units, balance)
    each, more = divmod(total, len(cells))
    asked = np.full(len(cells), each)
    if rounding == "up":
        asked += more > 0
    else:
        asked[generator.choice(len(cells), size=more, replace=False)] += 1
    if any(cell.num_trials < number for cell, number in zip(cells, asked, strict=True)):
        of_cells = "".join(
            f"\n  {cell.name}: {number} asked for, {cell.num_trials} available"
            for cell, number in zip(cells, asked, strict=True)
        )
        available = sum(cell.num_trials for cell in cells)
        way_out = ", or leave a name out of balance" if balance else ""
        raise ValueError(
            f"{total} non-target trials were asked for, the split has {available} such"
            f" pairs of utterances; lower num_nontargets{way_out}{of_cells}"
        )
    by_group = np.argsort(units.groups, kind="stable")
    pairs = [
        _draw_of_cell(units, by_group, cell, int(number), generator, rounding)
        for cell, number in zip(cells, asked, strict=True)
    ]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return first, second


def _cells(units: Units, balance: Sequence[str]) -> list[_Cell]:
    num_groups = len(units.values)
    members = np.bincount(units.groups, minlength=num_groups)
    spoken, squares = (
        np.bincount(units.groups, weights, num_groups).astype(np.int64)
        for weights in (units.sizes, units.sizes**2)
    )
    first, second = np.triu_indices(num_groups)
    alike = first == second
    patterns = units.patterns(first, second)
    num_pairs = np.where(
        alike,
        members[first] * (members[first] - 1) // 2,
        members[first] * members[second],
    )
    num_trials = np.where(
        alike,
        (spoken[first] ** 2 - squares[first]) // 2,
        spoken[first] * spoken[second],
    )
    u, v = _units_of_one_speaker(units)
    of_speaker = units.patterns(units.groups[u], units.groups[v])
    cells = []
    for pattern in range(2 ** len(balance)):
        name = ", ".join(
            f"{'different' if pattern >> bit & 1 else 'same'} {column}"
            for bit, column in enumerate(balance)
        )
        here, own = patterns == pattern, of_speaker == pattern
        cells.append(
            _Cell(
                name or "different speakers",
                first[here],
                second[here],
                num_pairs[here],
                int(own.sum()),
                int(
                    num_trials[here].sum()
                    - (units.sizes[u] * units.sizes[v])[own].sum()
                ),
            )
        )
    return cells


def _units_of_one_speaker(units: Units) -> tuple[Counts, Counts]:
    """List the pairs of units of the same speaker, which follow one another."""
    last = np.searchsorted(units.speakers, units.speakers, side="right")
    counts = last - np.arange(len(units.speakers)) - 1
    first = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, first + 1 + offsets


def _draw_of_cell(
    units: Units,
    by_group: Counts,
    cell: _Cell,
    asked: int,
    generator: np.random.Generator,
    rounding: str,
) -> tuple[Places, Places]:
    listed = int(cell.num_pairs.sum())
    usable = listed - cell.num_of_speaker
    if rounding == "up" and usable > MOST_ROUNDED * asked:
        raise ValueError(
            f"rounding: up would make {usable} non-target trials of {cell.name}, one of"
            f" each pair of speakers, where {asked} are asked for; set rounding: exact"
        )
    if rounding == "exact" and asked < usable:
        # Enough to be left with those asked for, however many are of one speaker.
        drawn = min(listed, asked + cell.num_of_speaker)
        places = generator.choice(listed, size=drawn, replace=False)
    else:
        places = np.arange(listed)
    first, second = _units_at(units, by_group, cell, places)
    others = units.speakers[first] != units.speakers[second]
    first, second = first[others], second[others]
    if rounding == "exact":
        first, second = first[:asked], second[:asked]
    first, second = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    capacities = units.sizes[first] * units.sizes[second]
    shares = share(capacities, asked, generator, rounding)
    pairs, places = draw_places(capacities, shares, generator)
    left, right = np.divmod(places, units.sizes[second[pairs]])
    return units.starts[first[pairs]] + left, units.starts[second[pairs]] + right


def _units_at(
    units: Units, by_group: Counts, cell: _Cell, places: Places
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """Give the two units that each place among the cell's pairs stands for."""
    members = np.bincount(units.groups, minlength=len(units.values))
    starts = np.cumsum(members) - members
    ends = np.cumsum(cell.num_pairs)
    at = np.searchsorted(ends, places, side="right")
    offsets = places - (ends - cell.num_pairs)[at]
    first, second = cell.first[at], cell.second[at]
    left, right = np.divmod(offsets, members[second])
    alike = first == second
    left[alike], right[alike] = pair_at(offsets[alike], members[first[alike]])
    return by_group[starts[first] + left], by_group[starts[second] + right]
