"""Error rates against cases worked out on paper, and the properties they must have."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import det_curve, roc_curve

from unipool import as_published, metrics
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

    p_miss, p_fa, thresholds = SortedTrials(scores, targets).error_rates()

    assert thresholds.tolist() == [np.inf, *np.unique(scores)[::-1]]
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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error(value):
    with pytest.raises(ValueError, match=f"1 of 3 scores are not finite.*{value}"):
        eer(np.array([0.0, value, 1.0]), np.array([True, False, True]))


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


def rates_of(scores, targets):
    return SortedTrials(
        np.asarray(scores, float), np.asarray(targets, bool)
    ).error_rates()


def scored(count=300, *, shift=1.5, steps=None, seed=0):
    """Scores of two normal classes, perhaps with ties."""
    generator = np.random.default_rng(seed)
    targets = generator.random(count) < 0.4
    scores = generator.normal(size=count) + shift * targets
    return (scores if steps is None else np.round(scores * steps) / steps), targets


def gaussians(distance, count=400_000):
    """Scores that are the log-likelihood ratios of two unit normals so far apart."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) < count // 2
    values = generator.normal(size=count) + distance * targets
    return distance * (values - distance / 2), targets


def test_two_trials_are_enough():
    right, wrong = rates_of([2, 1], [1, 0]), rates_of([1, 2], [1, 0])

    assert metrics.eer(right) == metrics.min_cllr(right) == 0
    assert metrics.min_dcf(right, p_target=0.01) == 0
    assert metrics.eer_threshold(right) == 1.5
    assert metrics.eer(wrong) == metrics.min_dcf(wrong, p_target=0.01) == 1
    assert metrics.min_cllr(wrong) == pytest.approx(1)


def test_rates_at_a_threshold_count_what_is_at_least_that():
    scores, targets = scored(steps=4)
    rates = rates_of(scores, targets)

    for threshold in [-9, *np.unique(scores), 0.1, 0.37, 9]:
        expected = [np.mean(scores[targets] < threshold)]
        expected.append(np.mean(scores[~targets] >= threshold))
        assert metrics.rates_at(rates, threshold) == pytest.approx(expected)


def test_eer_star_is_the_mean_of_both_rates_at_a_given_threshold():
    # At 2.5: of targets 5, 2 one is missed; of non-targets 4, 3, 1 two are accepted.
    rates = rates_of([5, 4, 3, 2, 1], [1, 0, 0, 1, 0])

    assert metrics.eer_star(rates, threshold=2.5) == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("scores", "targets", "threshold"),
    [
        ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], 0.5),  # no error anywhere in the gap
        ([4, 3, 2, 1], [1, 0, 1, 0], 2.5),  # one of two on either side
        ([5, 4, 3, 2, 1], [1, 0, 0, 1, 0], 2.5),  # 1/2, 1/3 as near as 1/2, 2/3: lower
        ([7, 6, 5, 4, 3, 2], [1, 1, 0, 1, 1, 0], 4.5),  # 1/2, 1/2
        ([9, 8, 7, 6, 5, 4, 3], [1, 0, 1, 1, 0, 0, 0], 6.5),  # 1/3, 1/4 before 0, 1/4
        ([1, 1, 1], [1, 0, 0], 1),  # nothing to be between
    ],
)
def test_the_eer_threshold_is_amid_the_nearest_rates(scores, targets, threshold):
    assert metrics.eer_threshold(rates_of(scores, targets)) == threshold


def test_error_rates_are_those_of_scikit_learn():
    scores, targets = scored(steps=3)
    rates = rates_of(scores, targets)

    p_fa, p_miss, thresholds = det_curve(targets, scores)

    for threshold, *expected in zip(thresholds, p_miss, p_fa, strict=True):
        if np.isfinite(threshold):
            found = metrics.rates_at(rates, threshold)
            assert found == pytest.approx(expected)


@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("p_target", [0.001, 0.05, 0.5, 0.9])
def test_min_dcf_is_the_lowest_that_any_threshold_gives(steps, p_target):
    scores, targets = scored(steps=steps)

    costs = [
        p_target * np.mean(scores[targets] < threshold)
        + (1 - p_target) * np.mean(scores[~targets] >= threshold)
        for threshold in [np.inf, *np.unique(scores)]
    ]

    expected = min(costs) / min(p_target, 1 - p_target)
    assert min_dcf(scores, targets, p_target=p_target) == pytest.approx(expected)


def test_act_dcf_decides_at_the_threshold_of_bayes():
    # log(0.95 / 0.05) = 2.94: of targets 4, 2 one is missed, of non-targets 3, 1 one is
    # accepted. Normalised by 0.05: 0.5 + 19 * 0.5.
    rates = rates_of([4, 3, 2, 1], [1, 0, 1, 0])

    assert metrics.act_dcf(rates, p_target=0.05) == pytest.approx(10)
    # Of targets as probable as not, at 0: all are accepted.
    assert metrics.act_dcf(rates, p_target=0.5) == pytest.approx(1)


def test_ratios_that_are_exact_leave_nothing_to_calibrate():
    llr, targets = gaussians(2.0)
    rates = rates_of(llr, targets)

    for p_target in (0.01, 0.05, 0.5):
        actual = metrics.act_dcf(rates, p_target=p_target)
        least = metrics.min_dcf(rates, p_target=p_target)
        assert least <= actual < least + 0.01
    assert metrics.min_cllr(rates) <= metrics.cllr(rates)
    assert metrics.cllr(rates) == pytest.approx(metrics.min_cllr(rates), abs=2e-3)
    assert metrics.act_dcf(rates_of(llr + 3, targets), p_target=0.05) > 1


@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_rates_and_costs_of_two_gaussians_are_those_of_the_integrals(distance):
    rates = rates_of(*gaussians(distance))
    grid = np.linspace(-12, 12 + distance, 200_001)
    llr = distance * (grid - distance / 2)
    bits = norm.pdf(grid, distance) * np.logaddexp(0, -llr)
    bits += norm.pdf(grid) * np.logaddexp(0, llr)
    costs = 0.05 * norm.cdf(grid, distance) + 0.95 * norm.sf(grid)

    assert metrics.eer(rates) == pytest.approx(norm.cdf(-distance / 2), abs=2e-3)
    assert metrics.eer_threshold(rates) == pytest.approx(0, abs=0.02)
    expected = np.trapezoid(bits, grid) / 2 / math.log(2)
    assert metrics.cllr(rates) == pytest.approx(expected, abs=3e-3)
    least = min(costs.min(), 0.05) / 0.05
    assert metrics.min_dcf(rates, p_target=0.05) == pytest.approx(least, abs=0.01)


def test_cllr_of_a_hand_made_case():
    # A target at llr log 3 costs log2(4/3), one at 0 costs 1, mean 0.7075; a non-target
    # at -log 3 costs log2(4/3), 0.4150.
    rates = rates_of([math.log(3), 0, -math.log(3)], [1, 1, 0])

    expected = (math.log2(4 / 3) + 1) / 2 / 2 + math.log2(4 / 3) / 2
    assert metrics.cllr(rates) == pytest.approx(expected)


def test_cllr_of_who_knows_nothing_is_one_and_large_ratios_do_not_overflow():
    assert metrics.cllr(rates_of([0, 0, 0], [1, 0, 0])) == pytest.approx(1)
    wrong = rates_of([-5000, 5000], [1, 0])
    assert metrics.cllr(wrong) == pytest.approx(5000 / math.log(2))
    assert metrics.cllr(rates_of([5000, -5000], [1, 0])) == 0


def test_min_cllr_of_a_hand_made_case():
    # Falling: target, non-target, target, non-target. The middle two are pooled, half
    # and half: they cost 1 each, the outer ones nothing.
    rates = rates_of([4, 3, 2, 1], [1, 0, 1, 0])

    assert metrics.min_cllr(rates) == pytest.approx(0.5)
    assert metrics.min_cllr(rates_of([1, 1, 1], [1, 0, 0])) == pytest.approx(1)


@pytest.mark.parametrize("steps", [None, 3])
def test_min_cllr_is_the_cllr_after_isotonic_regression(steps):
    scores, targets = scored(steps=steps)
    weights = np.where(targets, 1 / targets.sum(), 1 / (~targets).sum())
    fitted = IsotonicRegression().fit_transform(scores, targets, sample_weight=weights)

    of_targets = -np.log2(fitted[targets]).mean()
    of_nontargets = -np.log2(1 - fitted[~targets]).mean()

    found = metrics.min_cllr(rates_of(scores, targets))
    assert found == pytest.approx((of_targets + of_nontargets) / 2)


def test_an_increasing_map_changes_no_metric_of_the_order():
    scores, targets = scored(steps=5)
    rates, mapped = rates_of(scores, targets), rates_of(np.exp(scores) - 7, targets)

    assert metrics.eer(mapped) == metrics.eer(rates)
    assert metrics.min_cllr(mapped) == metrics.min_cllr(rates)
    assert metrics.min_dcf(mapped, p_target=0.01) == metrics.min_dcf(
        rates, p_target=0.01
    )


def test_the_order_of_the_trials_changes_nothing():
    scores, targets = scored(steps=5)
    order = np.random.default_rng(1).permutation(len(scores))

    for one, other in zip(
        rates_of(scores, targets), rates_of(scores[order], targets[order]), strict=True
    ):
        assert (one == other).all()


@pytest.mark.parametrize("steps", [None, 4])
def test_corners_alone_have_the_same_metrics(steps):
    scores, targets = scored(2000, steps=steps)
    trials = SortedTrials(scores, targets)
    rates = trials.error_rates()

    for fewer in (metrics.corners(rates), trials.at_corners().error_rates()):
        assert len(fewer.p_fa) < (0.7 * len(rates.p_fa) if steps is None else 99)
        assert metrics.eer(fewer) == metrics.eer(rates)
        assert metrics.min_cllr(fewer) == metrics.min_cllr(rates)
        for p_target in (0.01, 0.5):
            assert metrics.min_dcf(fewer, p_target=p_target) == metrics.min_dcf(
                rates, p_target=p_target
            )


@pytest.mark.parametrize("metric", ["eer", "min_cllr", "cllr"])
def test_weights_count_a_trial_so_many_times_in_every_metric(metric):
    scores, targets = scored(80, steps=40)
    times = np.random.default_rng(3).integers(0, 3, 80)
    trials = SortedTrials(scores, targets)

    weighted = trials.weighted_error_rates(
        times[trials.target_trials].astype(float),
        times[trials.nontarget_trials].astype(float),
    )

    repeated = np.repeat(np.arange(80), times)
    expected = rates_of(scores[repeated], targets[repeated])
    measure = getattr(metrics, metric)
    assert measure(weighted) == pytest.approx(measure(expected))


def published_by_counting(scores, targets):
    """Transcribe the published definitions, threshold by threshold."""
    unique = np.unique(scores)
    thresholds = np.sort(np.concatenate([unique, (unique[1:] + unique[:-1]) / 2]))
    misses = [np.mean(scores[targets] <= t) for t in thresholds]
    alarms = [np.mean(scores[~targets] > t) for t in thresholds]
    best = min(range(len(thresholds)), key=lambda i: abs(alarms[i] - misses[i]))
    least = min(0.01 * m + 0.99 * a for m, a in zip(misses, alarms, strict=True))
    return (misses[best] + alarms[best]) / 2, thresholds[best], least


@pytest.mark.parametrize("seed", range(20))
def test_published_values_are_those_of_a_loop_over_thresholds(seed):
    scores, targets = scored(40 + seed, steps=[None, 8, 2][seed % 3], seed=seed)
    scores = np.clip(0.2 * scores, 0, 1)
    rates = rates_of(scores, targets)

    equal, threshold, least = published_by_counting(scores, targets)

    assert as_published.published_eer(rates) == equal
    assert as_published.published_threshold(rates) == threshold
    assert as_published.published_min_dcf(rates) == pytest.approx(least, abs=1e-15)
    others, their_targets = scored(50, seed=99)
    others = np.clip(0.2 * others, 0, 1)
    found = as_published.published_eer_star(
        rates_of(others, their_targets), threshold=threshold
    )
    misses = np.mean(others[their_targets] <= threshold)
    assert found == (misses + np.mean(others[~their_targets] > threshold)) / 2


def test_published_min_dcf_is_a_hundredth_of_the_normalised_one():
    rates = rates_of(*scored())

    assert as_published.published_min_dcf(rates) == pytest.approx(
        0.01 * metrics.min_dcf(rates, p_target=0.01)
    )


def test_published_threshold_of_equal_scores_is_that_score():
    rates = rates_of([0, 0, 0], [1, 0, 0])

    assert as_published.published_eer(rates) == 0.5
    assert as_published.published_threshold(rates) == 0


def test_a_score_at_the_published_threshold_is_rejected():
    scores, targets = scored(steps=8)
    rates = rates_of(scores, targets)

    threshold = as_published.published_threshold(rates)

    found = as_published.published_eer_star(rates, threshold=threshold)
    assert threshold in scores
    assert found == as_published.published_eer(rates)
