"""Draw target trials: two utterances of one speaker."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from unipool.trials.sharing import Places, share
from unipool.trials.units import Units

logger = logging.getLogger(__name__)


class _Block(NamedTuple):
    """Pairs of two units of a speaker, all of one session or all of two.

    Utterance i of the first unit goes with ``counts[i]`` of the second, from
    ``starts[i]`` on and round again.
    """

    units: tuple[int, int]
    starts: Int64[np.ndarray, " n"]
    counts: Int64[np.ndarray, " n"]

    @property
    def num_pairs(self) -> int:
        return int(self.counts.sum())


def draw_targets(
    units: Units,
    total: int,
    *,
    same_session: float,
    generator: np.random.Generator,
    rounding: str,
) -> tuple[Places, Places]:
    """Draw pairs of utterances, shared equally by the speakers.

    Of those of a speaker the share ``same_session`` is of one session; in each kind
    they are shared equally by the patterns of values that are the same or not, and by
    the pairs of the speaker's units.

    Returns:
        the two utterances of each pair, as places in ``units.utterances``.

    Raises:
        ValueError: when there are not enough pairs; it says how many there are.
    """
    num_speakers = int(units.speakers.max(initial=-1)) + 1
    spoken = np.zeros(num_speakers, dtype=np.int64)
    np.add.at(spoken, units.speakers, units.sizes)
    capacities = spoken * (spoken - 1) // 2
    if total > capacities.sum():
        raise ValueError(
            f"{total} target trials were asked for, the split has {capacities.sum()}"
            " such pairs of utterances; lower num_targets"
        )
    shares = share(capacities, total, generator, rounding)
    bounds = np.searchsorted(units.speakers, np.arange(num_speakers + 1))
    pairs = []
    missing = 0
    for speaker in np.flatnonzero(shares):
        own = range(bounds[speaker], bounds[speaker + 1])
        blocks = [
            [_block(units, u, v, one_session) for u in own for v in own if u <= v]
            for one_session in (True, False)
        ]
        available = [sum(block.num_pairs for block in kind) for kind in blocks]
        of_speaker = int(shares[speaker])
        wanted = int(same_session * of_speaker + 0.5)
        num_same = min(wanted, available[0])
        num_same = max(num_same, of_speaker - available[1])
        missing += abs(num_same - wanted)
        for kind, number in zip(blocks, (num_same, of_speaker - num_same), strict=True):
            pairs += _draw_of_blocks(units, kind, number, generator)
    if missing:
        logger.warning(
            "%d of %d target trials are of one session or of two against same_session,"
            " as their speakers have no other pairs",
            missing,
            shares.sum(),
        )
    if not pairs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return first, second


def _block(units: Units, first: int, second: int, one_session: bool) -> _Block:
    size = units.sizes[second]
    of_first, of_second = (
        units.sessions[units.starts[unit] :][: units.sizes[unit]]
        for unit in (first, second)
    )
    begin = np.searchsorted(of_second, of_first, side="left")
    end = np.searchsorted(of_second, of_first, side="right")
    if first == second:
        # Each pair once: only with utterances that stand further on.
        begin = np.arange(1, size + 1)
        starts, counts = (begin, end - begin) if one_session else (end, size - end)
    elif one_session:
        starts, counts = begin, end - begin
    else:
        starts, counts = end, size - (end - begin)
    return _Block((first, second), starts, counts)


def _draw_of_blocks(
    units: Units, blocks: list[_Block], total: int, generator: np.random.Generator
) -> list[tuple[Places, Places]]:
    if total == 0:
        return []
    first, second = np.array([block.units for block in blocks]).T
    patterns = units.patterns(units.groups[first], units.groups[second])
    capacities = np.array([block.num_pairs for block in blocks])
    _, members = np.unique(patterns, return_inverse=True)
    of_pattern = np.bincount(members, capacities).astype(np.int64)
    drawn = []
    for pattern, number in enumerate(share(of_pattern, total, generator, "exact")):
        chosen = np.flatnonzero(members == pattern)
        shares = share(capacities[chosen], int(number), generator, "exact")
        drawn += [
            _draw(units, blocks[block], int(count), generator)
            for block, count in zip(chosen, shares, strict=True)
            if count
        ]
    return drawn


def _draw(
    units: Units, block: _Block, number: int, generator: np.random.Generator
) -> tuple[Places, Places]:
    places = np.sort(
        generator.choice(block.num_pairs, size=number, replace=False, shuffle=False)
    )
    ends = np.cumsum(block.counts)
    left = np.searchsorted(ends, places, side="right")
    right = places - (ends - block.counts)[left] + block.starts[left]
    first, second = block.units
    return units.starts[first] + left, units.starts[second] + right % units.sizes[
        second
    ]
