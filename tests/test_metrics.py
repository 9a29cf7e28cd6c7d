"""Error rates against cases worked out on paper, and the properties they must have."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from unipool import metrics
from unipool.metrics import SortedTrials


def eer(scores, targets):
    return metrics.eer(SortedTrials(scores, targets).error_rates())


def min_dcf(scores, targets, *, p_target):
    rates = SortedTrials(scores, targets).error_rates()
    return metrics.min_dcf(rates, p_target=p_target)


def test_eer_of_separated_scores_is_zero():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    targets = np.array([False, False, True, True])

    assert eer(scores, targets) == 0


def test_eer_of_reversed_scores_is_one():
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    targets = np.array([False, False, True, True])

    assert eer(scores, targets) == 1


def test_eer_where_an_operating_point_has_equal_rates():
    # Accepting {4, 3}: one of two targets missed, one of two non-targets accepted.
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    targets = np.array([True, False, True, False])

    assert eer(scores, targets) == pytest.approx(0.5)


def test_eer_between_two_operating_points_is_interpolated():
    # Targets 5 and 2, non-targets 4, 3, 1. (p_miss, p_fa) runs through
    # (.5, 1/3), (.5, 2/3): they cross halfway, at p_miss = p_fa = .5.
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    targets = np.array([True, False, False, True, False])

    assert eer(scores, targets) == pytest.approx(0.5)


def test_eer_with_tied_scores_interpolates_across_the_tie():
    # One threshold accepts a target and a non-target together: from (1, 0) through
    # (.5, 0) and (0, .5): the line from (.5, 0) to (0, .5) meets p_miss = p_fa at .25.
    scores = np.array([3.0, 2.0, 2.0, 1.0])
    targets = np.array([True, True, False, False])

    assert eer(scores, targets) == pytest.approx(0.25)


def test_eer_when_all_scores_are_equal_is_one_half():
    assert eer(np.ones(10), np.arange(10) < 3) == pytest.approx(0.5)


def test_eer_is_unchanged_by_an_increasing_map_of_the_scores():
    generator = np.random.default_rng(0)
    targets = generator.random(500) < 0.3
    scores = generator.normal(size=500) + targets

    assert eer(np.exp(3 * scores), targets) == eer(scores, targets)


def test_eer_of_two_gaussians_is_the_closed_form():
    # Unit variances, means 2 apart: EER = Phi(-1) = 0.158655.
    generator = np.random.default_rng(0)
    targets = np.arange(400_000) < 200_000
    scores = generator.normal(size=400_000) + 2 * targets

    assert eer(scores, targets) == pytest.approx(0.158655, abs=2e-3)


def test_error_rates_agree_with_counting():
    generator = np.random.default_rng(1)
    targets = generator.random(60) < 0.5
    scores = generator.integers(0, 12, size=60).astype(float)

    p_miss, p_fa = SortedTrials(scores, targets).error_rates()

    thresholds = [np.inf, *np.unique(scores)[::-1]]
    assert p_miss == pytest.approx([np.mean(scores[targets] < t) for t in thresholds])
    assert p_fa == pytest.approx([np.mean(scores[~targets] >= t) for t in thresholds])
    assert len(p_fa) == len(roc_curve(targets, scores, drop_intermediate=False)[0])


def test_min_dcf_of_a_hand_made_case():
    # Accepting {4}: p_miss = .5, p_fa = 0. At p_target = .01 any false alarm of one
    # half costs 49.5 times the 1 of rejecting all, so the best is half a miss.
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    targets = np.array([True, False, True, False])

    assert min_dcf(scores, targets, p_target=0.01) == pytest.approx(0.5)


def test_min_dcf_is_at_most_one():
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    targets = np.array([True, True, False, False])

    assert min_dcf(scores, targets, p_target=0.05) == pytest.approx(1.0)


def test_min_dcf_weighs_misses_when_targets_are_common():
    # p_target .9: normaliser .1. Accepting all costs .1 * 1 / .1 = 1; accepting
    # {4, 3, 2} costs .1 * .5 / .1 = .5.
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    targets = np.array([True, False, True, False])

    assert min_dcf(scores, targets, p_target=0.9) == pytest.approx(0.5)


@pytest.mark.parametrize("targets", [np.zeros(3, bool), np.ones(3, bool)])
def test_one_class_alone_is_an_error(targets):
    with pytest.raises(ValueError, match="at least one of each"):
        eer(np.arange(3.0), targets)


def test_a_score_that_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="1 of 3 scores are not finite"):
        eer(np.array([0.0, np.nan, 1.0]), np.array([True, False, True]))


def test_a_weight_counts_a_trial_so_many_times():
    generator = np.random.default_rng(2)
    targets = generator.random(40) < 0.4
    scores = generator.integers(0, 9, size=40).astype(float)
    times = generator.integers(0, 4, size=40)
    trials = SortedTrials(scores, targets)

    weighted = trials.weighted_error_rates(
        times[trials.target_trials].astype(float),
        times[trials.nontarget_trials].astype(float),
    )

    repeated = np.repeat(np.arange(40), times)
    counted = eer(scores[repeated], targets[repeated])
    assert metrics.eer(weighted) == pytest.approx(counted)
