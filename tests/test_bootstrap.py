"""Draws of speakers: what counts how often."""

from functools import partial

import numpy as np
import pytest

from unipool.bootstrap import draw_speakers, fewest_speakers
from unipool.metrics import SortedTrials, cllr, eer, min_cllr, min_dcf

METRICS = {"eer": eer, "min_dcf_p05": partial(min_dcf, p_target=0.05)}


def trials_of(speakers, *, shift=2.0, per_pair=4, seed=0):
    """Score every pair of speakers some times; some speakers are harder than others."""
    generator = np.random.default_rng(seed)
    first, second = np.triu_indices(speakers)
    first, second = np.repeat(first, per_pair), np.repeat(second, per_pair)
    targets = first == second
    ease = generator.normal(0, 0.5, speakers)
    scores = generator.normal(size=len(first)) + targets * (shift + ease[first])
    return SortedTrials(scores, targets), first, second


def parts(trials):
    """Undo the sorting: scores and targets of each trial."""
    places = np.concatenate([trials.target_trials, trials.nontarget_trials])
    targets = np.zeros(len(places), bool)
    targets[trials.target_trials] = True
    return places, targets


def test_a_trial_counts_as_often_as_its_speakers_were_drawn():
    generator = np.random.default_rng(1)
    _, first, second = trials_of(6)
    targets = first == second
    scores = generator.normal(size=len(first)) + targets
    trials = SortedTrials(scores, targets)

    (drawn,) = draw_speakers([(trials, METRICS)], first, second, draws=1, seed=3)

    counts = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6))
    times = np.where(targets, counts[first], counts[first] * counts[second])
    repeated = np.repeat(np.arange(len(first)), times)
    expected = eer(SortedTrials(scores[repeated], targets[repeated]).error_rates())
    assert drawn["eer"].tolist() == pytest.approx([expected])


def test_a_target_trial_of_two_units_counts_as_their_product():
    # Without a manifest utterances stand for speakers: targets are of two of them.
    generator = np.random.default_rng(1)
    first, second = np.triu_indices(12, 1)
    targets = first // 3 == second // 3
    scores = generator.normal(size=len(first)) + targets
    trials = SortedTrials(scores, targets)

    (drawn,) = draw_speakers([(trials, METRICS)], first, second, draws=1, seed=3)

    counts = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12))
    repeated = np.repeat(np.arange(len(first)), counts[first] * counts[second])
    expected = eer(SortedTrials(scores[repeated], targets[repeated]).error_rates())
    assert drawn["eer"].tolist() == pytest.approx([expected])


def test_systems_of_other_orders_are_weighted_each_in_its_own():
    trials, first, second = trials_of(8)
    _, targets = parts(trials)
    reversed_scores = np.random.default_rng(5).normal(size=len(first)) + targets
    other = SortedTrials(reversed_scores, targets)

    both = draw_speakers(
        [(trials, METRICS), (other, METRICS)], first, second, draws=5, seed=0
    )

    for one, drawn in zip((trials, other), both, strict=True):
        (alone,) = draw_speakers([(one, METRICS)], first, second, draws=5, seed=0)
        assert alone.equals(drawn)


def test_corners_give_the_same_draws():
    trials, first, second = trials_of(12)
    metrics = {**METRICS, "min_cllr": min_cllr}

    whole, fewer = draw_speakers(
        [(trials, metrics), (trials.at_corners(), metrics)],
        first,
        second,
        draws=20,
        seed=0,
    )

    assert np.allclose(whole, fewer, rtol=1e-12)


def test_the_seed_decides():
    trials, *sides = trials_of(10)
    measured = [(trials, {"eer": eer, "cllr": cllr})]

    (first,) = draw_speakers(measured, *sides, draws=5, seed=0)
    (again,) = draw_speakers(measured, *sides, draws=5, seed=0)
    (other,) = draw_speakers(measured, *sides, draws=5, seed=1)

    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("first", "second", "fewest"),
    [
        ([0, 0, 1, 1], [0, 1, 1, 2], 2),
        ([0, 1, 2, 0, 1], [0, 1, 2, 1, 0], 2),
        ([0, 1, 2, 0, 1], [0, 1, 2, 1, 2], 3),
    ],
)
def test_of_fewer_than_three_speakers_of_a_class_nothing_is_drawn(
    first, second, fewest
):
    first, second = np.array(first), np.array(second)
    targets = first == second
    trials = SortedTrials(np.arange(len(first), dtype=float), targets)

    (drawn,) = draw_speakers([(trials, METRICS)], first, second, draws=30, seed=0)

    assert fewest_speakers(trials, first, second) == fewest
    assert list(drawn) == list(METRICS)
    assert (len(drawn) > 0) == (fewest >= 3)
