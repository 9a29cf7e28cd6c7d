"""Intervals of error rates: what they must do, whatever the draws."""

from functools import partial

import numpy as np
import pytest

from unipool.intervals import around, difference, draw_speakers, num_speakers
from unipool.metrics import SortedTrials, eer, min_dcf

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


def intervals(trials, *, draws=200, seed=0, metrics=METRICS):
    scored, first, second = trials
    drawn = draw_speakers([scored], first, second, metrics, draws=draws, seed=seed)
    return {
        name: around(
            metric(scored.error_rates()), drawn[name][:, 0], num_speakers(first, second)
        )
        for name, metric in metrics.items()
    }


def test_an_interval_holds_its_value():
    trials = trials_of(20)
    rates = trials[0].error_rates()

    for name, (low, high) in intervals(trials).items():
        assert 0 < low < METRICS[name](rates) < high < 1


def test_the_seed_decides():
    trials = trials_of(10)

    assert intervals(trials) == intervals(trials)
    assert intervals(trials) != intervals(trials, seed=1)


def test_more_speakers_make_it_narrower_and_more_trials_of_them_hardly():
    def width(*args, **settings):
        low, high = intervals(trials_of(*args, **settings))["eer"]
        return high - low

    few, many = width(10, per_pair=20), width(80, per_pair=3)
    repeated = width(10, per_pair=60)

    assert many < 0.7 * few
    assert repeated > 0.7 * few


def test_without_errors_it_ends_where_luck_would():
    trials = trials_of(20, shift=50.0)

    low, high = intervals(trials)["eer"]

    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_it_covers_the_truth_about_as_often_as_it_says():
    # Of 60 lists of 25 new speakers each; a binomial count of 57 is expected.
    many = [trials_of(150, per_pair=1, seed=seed)[0] for seed in range(20)]
    truth = np.mean([eer(one.error_rates()) for one in many])

    covered = 0
    for seed in range(60):
        trials = trials_of(25, per_pair=3, seed=1000 + seed)
        low, high = intervals(trials, draws=100, metrics={"eer": eer})["eer"]
        covered += low <= truth <= high

    assert 51 <= covered <= 60


def test_a_trial_counts_as_often_as_its_speakers_were_drawn():
    scored, first, second = trials_of(6)
    scores, targets = np.empty(len(first)), np.zeros(len(first), bool)
    order = np.concatenate([scored.target_trials, scored.nontarget_trials])
    generator = np.random.default_rng(1)
    targets[scored.target_trials] = True
    scores[order] = generator.normal(size=len(order)) + targets[order]
    trials = SortedTrials(scores, targets)

    (drawn,) = draw_speakers([trials], first, second, {"eer": eer}, draws=1, seed=3)[
        "eer"
    ]

    counts = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6))
    times = np.where(targets, counts[first], counts[first] * counts[second])
    repeated = np.repeat(np.arange(len(first)), times)
    expected = eer(SortedTrials(scores[repeated], targets[repeated]).error_rates())
    assert drawn[0] == pytest.approx(expected)


def test_one_speaker_is_an_error():
    trials = SortedTrials(np.array([1.0, 2.0]), np.array([True, False]))

    with pytest.raises(ValueError, match="at least 2 speakers"):
        draw_speakers(
            [trials], np.zeros(2, int), np.zeros(2, int), METRICS, draws=2, seed=0
        )


def test_a_system_is_no_other_than_itself():
    scored, first, second = trials_of(12)

    drawn = draw_speakers([scored] * 2, first, second, METRICS, draws=50, seed=0)
    differences = drawn["eer"][:, 1] - drawn["eer"][:, 0]

    assert not differences.any()
    assert difference(0.0, differences, 12) == (0, 0, 1)


def test_a_difference_far_from_its_spread_is_improbable():
    drawn = np.random.default_rng(0).normal(0.05, 0.01, 500)

    low, high, p_value = difference(0.05, drawn, 40)

    assert low == pytest.approx(0.05 - 2.02 * 0.01, abs=2e-3)
    assert high == pytest.approx(0.05 + 2.02 * 0.01, abs=2e-3)
    assert p_value < 1e-4
    assert difference(0.01, drawn, 40)[2] == pytest.approx(0.32, abs=0.05)
