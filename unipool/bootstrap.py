"""Error rates on draws of the speakers: how far they might have been others."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from unipool.metrics import ErrorRates, SortedTrials

Metric = Callable[[ErrorRates], float]
Measurement = tuple[SortedTrials, Mapping[str, Metric]]
"""Sorted trials, and what is measured of them, by name."""

Codes = Int64[np.ndarray, " N"]

FEWEST_SPEAKERS = 3
"""Of each class of trials: of fewer, draws say nothing."""


def draw_speakers(
    measurements: Sequence[Measurement],
    enrolment: Codes,
    test: Codes,
    *,
    draws: int,
    seed: int,
) -> list[pd.DataFrame]:
    """Measure systems that scored the same trials on draws of their speakers.

    Trials that share a speaker are not independent, so speakers are drawn, with
    replacement, as many as there are: a trial of two speakers counts as often as both
    were drawn together (the product of their counts), a trial of one speaker as often
    as that one. Both sides are drawn from one population.

    Source: the vertex bootstrap of Snijders and Borgatti, "Non-parametric standard
    errors and tests for network statistics", Connections 22(2), 1999.

    Args:
        measurements: of the same trials, by one system or several.
        enrolment: number of the speaker of each trial's enrolment, from 0.
        test: of its test utterance.
        draws: of speakers.
        seed: of the draws.

    Returns:
        Of each measurement a row for each draw in which both classes have trials: none
        when fewer than ``FEWEST_SPEAKERS`` have trials of one class.
    """
    speakers = int(max(enrolment.max(), test.max())) + 1
    weights = _Weights(measurements, enrolment, test, speakers)
    if fewest_speakers(measurements[0][0], enrolment, test) < FEWEST_SPEAKERS:
        draws = 0
    generator = np.random.default_rng(seed)
    rows: list[list[list[float]]] = [[] for _ in measurements]
    for _ in range(draws):
        drawn = generator.multinomial(speakers, np.full(speakers, 1 / speakers))
        of_orders = weights.of(drawn)
        if not all(one.any() for one in of_orders[0]):
            continue  # none of the speakers who have such trials was drawn
        for place, (trials, metrics) in enumerate(measurements):
            rates = trials.weighted_error_rates(*of_orders[weights.order[place]])
            rows[place].append([metric(rates) for metric in metrics.values()])
    return [
        pd.DataFrame(found, columns=list(metrics), dtype=float)
        for found, (_, metrics) in zip(rows, measurements, strict=True)
    ]


class _Weights:
    """How often each trial counts, in the order of each measurement's scores.

    Attributes:
        order: of each measurement; systems of the same order share one.
    """

    def __init__(
        self,
        measurements: Sequence[Measurement],
        enrolment: Codes,
        test: Codes,
        speakers: int,
    ) -> None:
        # A trial of one speaker has a second that always counts once.
        second = np.where(enrolment == test, speakers, test)
        self._sides: list[tuple[tuple[Codes, Codes], ...]] = []
        self.order: list[int] = []
        known: list[tuple[Codes, Codes]] = []
        for trials, _ in measurements:
            classes = trials.target_trials, trials.nontarget_trials
            place = next(
                (
                    place
                    for place, there in enumerate(known)
                    if all(map(np.array_equal, there, classes))
                ),
                len(known),
            )
            if place == len(known):
                known.append(classes)
                self._sides.append(tuple((enrolment[c], second[c]) for c in classes))
            self.order.append(place)

    def of(self, drawn: Codes) -> list[list[Float64[np.ndarray, " P"]]]:
        """Give the weights of targets and non-targets in each order."""
        counts = np.append(drawn, 1).astype(float)
        return [
            [counts[one] * counts[other] for one, other in sides]
            for sides in self._sides
        ]


def fewest_speakers(trials: SortedTrials, enrolment: Codes, test: Codes) -> int:
    """Count the speakers of the class of trials that has fewer."""
    counts = [
        np.bincount(np.concatenate([enrolment[places], test[places]]))
        for places in (trials.target_trials, trials.nontarget_trials)
    ]
    return min(int(np.count_nonzero(count)) for count in counts)
