"""Intervals and p-values: what they must be, whatever is measured."""

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind
from test_bootstrap import METRICS, trials_of

from unipool.bootstrap import draw_speakers
from unipool.intervals import (
    around_mean,
    difference_of_means,
    holm,
)
from unipool.metrics import eer


def intervals(trials, speakers, *, draws=200, seed=0, metrics=METRICS):
    scored, first, second = trials
    (drawn,) = draw_speakers([(scored, metrics)], first, second, draws=draws, seed=seed)
    return {
        name: around(metric(scored.error_rates()), drawn[name].to_numpy(), speakers)
        for name, metric in metrics.items()
    }


def around(value, drawn, num_speakers, **kind):
    """Give the interval of a metric of one seed."""
    _, low, high = around_mean(np.array([value]), drawn[:, None], num_speakers, **kind)
    return low, high


LOSS = {"bounded": False, "is_actual_cost": True, "power": 1}


def difference(value, drawn, num_speakers):
    """Compare a system with one that has no error, on any draw."""
    none, without = np.zeros(1), np.zeros((len(drawn), 1))
    found = difference_of_means(
        none, without, np.array([value]), drawn[:, None], num_speakers
    )
    return found[1:]


def test_an_interval_holds_its_value():
    trials = trials_of(20)
    rates = trials[0].error_rates()

    for name, (low, high) in intervals(trials, 20).items():
        assert 0 < low < METRICS[name](rates) < high <= 1


def test_more_speakers_make_it_narrower_and_more_trials_of_them_hardly():
    def width(speakers, **settings):
        low, high = intervals(trials_of(speakers, **settings), speakers)["eer"]
        return high - low

    few, many = width(10, per_pair=20), width(80, per_pair=3)
    repeated = width(10, per_pair=60)

    assert many < 0.7 * few
    assert repeated > 0.7 * few


def test_without_errors_it_ends_where_luck_would():
    low, high = intervals(trials_of(20, shift=50.0), 20)["eer"]

    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_where_nothing_is_ever_accepted_it_begins_where_luck_would():
    low, high = around(1.0, np.ones(50), 20)

    assert low == pytest.approx(0.025 ** (1 / 20))
    assert high == 1


def test_without_draws_there_is_no_interval():
    none = np.zeros(0)

    assert np.isnan(around(0.1, none, 2)).all()
    assert np.isnan(difference(0.1, none, 2)).all()
    assert np.isnan(difference_of_means(*[np.ones(1), none[:, None]] * 2, 2)[1:]).all()


def test_it_is_the_usual_interval_where_draws_are_normal_and_narrow():
    drawn = np.random.default_rng(0).normal(0.2, 0.001, 20_000)

    low, high = around(0.2, drawn, 1000)

    assert low == pytest.approx(0.2 - 1.962 * 0.001, abs=5e-5)
    assert high == pytest.approx(0.2 + 1.962 * 0.001, abs=5e-5)


def test_it_moves_away_from_draws_that_lie_below_the_value():
    drawn = np.random.default_rng(0).normal(0.5, 0.01, 1000)

    low, high = around(0.52, drawn, 100)

    assert low == pytest.approx(0.52)
    assert high == pytest.approx(0.54 + 1.984 * 0.01, abs=4e-3)


def test_a_rate_ends_at_one_and_a_cost_need_not():
    drawn = np.random.default_rng(0).normal(0.98, 0.03, 1000)

    assert around(0.98, drawn, 50)[1] == 1
    assert around(0.98, drawn, 50, bounded=False)[1] > 1.02


def test_a_loss_of_few_speakers_may_be_far_higher_but_no_less_low():
    """Of a standard deviation of 0.2 and a skewness of 1.5, by Hall's cubic.

    0.6 + 0.2 * 4.646, as -1.960 is -4.646 + 1.5 / 3 * 4.646^2
    - 1.5^2 / 27 * 4.646^3 + 1.5 / 6; below it is 0.6 - 0.2 * 1.960.
    """
    drawn = np.tile([0.5, 0.5, 0.5, 0.5, 1.0], 20)

    low, high = around(0.6, drawn, 100_000, **LOSS)

    assert high == pytest.approx(0.6 + 0.2 * 4.646, abs=1e-3)
    assert low == pytest.approx(0.6 - 0.2 * 1.960, abs=1e-3)


def test_what_few_speakers_lower_may_be_far_lower():
    """The same about 1.4, mirrored: 1.4 - 0.2 * 4.646, and 1.4 + 0.2 * 1.960."""
    drawn = 2 - np.tile([0.5, 0.5, 0.5, 0.5, 1.0], 20)

    low, high = around(1.4, drawn, 100_000, **LOSS)

    assert low == pytest.approx(1.4 - 0.2 * 4.646, abs=1e-3)
    assert high == pytest.approx(1.4 + 0.2 * 1.960, abs=1e-3)


def test_a_loss_whose_draws_are_not_skewed_has_students_interval():
    drawn = np.tile([0.4, 0.6], 50)

    low, high = around(0.5, drawn, 11, **LOSS)

    assert (low, high) == pytest.approx((0.5 - 0.2228, 0.5 + 0.2228), abs=1e-4)


def test_a_loss_that_no_draw_changes_is_certain():
    assert around(0.3, np.full(50, 0.3), 20, **LOSS) == pytest.approx((0.3, 0.3))


def test_seeds_that_differ_thin_the_skewness_out():
    """Both ends are those of Welch: the seeds' variance is nearly all there is."""
    values = np.array([0.4, 0.6, 0.5, 0.5])
    drawn = values + 0.001 * np.tile([-1.0, -1, -1, -1, 4], 20)[:, None]

    mean, low, high = around_mean(values, drawn, 40, **LOSS)

    assert high - mean == pytest.approx(mean - low, rel=1e-3)
    assert 3 < (high - mean) / (values.std(ddof=1) / 2) < 3.2  # Student's, of 3


def test_it_covers_the_mean_of_skewed_losses_nearly_as_often_as_it_says():
    """Of 300 lists of 40 speakers, a few of whom make most of the loss."""
    generator = np.random.default_rng(0)
    truth = np.exp(1.3**2 / 2)
    covered = 0
    for _ in range(300):
        of_speakers = generator.lognormal(0, 1.3, size=40)
        counts = generator.multinomial(40, np.full(40, 1 / 40), size=300)
        low, high = around(of_speakers.mean(), counts @ of_speakers / 40, 40, **LOSS)
        covered += low <= truth <= high

    assert 0.9 < covered / 300 < 0.98


def test_it_covers_the_truth_about_as_often_as_it_says():
    # Of 60 lists of 25 new speakers each; a binomial count of 57 is expected.
    many = [trials_of(150, per_pair=1, seed=seed)[0] for seed in range(20)]
    truth = np.mean([eer(one.error_rates()) for one in many])

    covered = 0
    for seed in range(60):
        trials = trials_of(25, per_pair=3, seed=1000 + seed)
        low, high = intervals(trials, 25, draws=100, metrics={"eer": eer})["eer"]
        covered += low <= truth <= high

    assert 51 <= covered <= 60


def test_a_mean_over_seeds_knows_of_speakers_and_of_seeds():
    generator = np.random.default_rng(0)
    of_speakers = generator.normal(0, 0.002, (4000, 1))
    values = np.array([0.19, 0.20, 0.22, 0.19])
    draws = values + of_speakers  # all seeds move together

    mean, low, high = around_mean(values, draws, 1000)

    of_seeds = values.var(ddof=1) / 4
    error = np.sqrt(0.002**2 + of_seeds)
    freedom = error**4 / (0.002**4 / 999 + of_seeds**2 / 3)
    assert 3 < freedom < 6
    assert mean == pytest.approx(0.2)
    # Student's quantiles at 3 and 6 degrees of freedom.
    assert 2 * 2.45 * error < high - low < 2 * 3.18 * error


def test_a_mean_of_one_seed_is_the_seed():
    drawn = np.random.default_rng(0).normal(0.3, 0.05, 500)

    mean, low, high = around_mean(np.array([0.31]), drawn[:, None], 30)

    assert mean == 0.31
    assert (low, high) == around(0.31, drawn, 30)


def test_a_system_is_no_other_than_itself():
    scored, first, second = trials_of(12)

    one, other = draw_speakers([(scored, METRICS)] * 2, first, second, draws=50, seed=0)
    differences = (other["eer"] - one["eer"]).to_numpy()

    assert not differences.any()
    eers = (drawn["eer"].to_numpy()[:, None] for drawn in (one, other))
    of_a, of_b = eers
    value = np.array([0.2])
    assert difference_of_means(value, of_a, value, of_b, 12) == (0, 0, 0, 1)


def test_a_difference_far_from_its_spread_is_improbable():
    drawn = np.random.default_rng(0).normal(0.05, 0.01, 500)

    low, high, p_value = difference(0.05, drawn, 40)

    assert low == pytest.approx(0.05 - 2.02 * 0.01, abs=2e-3)
    assert high == pytest.approx(0.05 + 2.02 * 0.01, abs=2e-3)
    assert p_value < 1e-4
    assert difference(0.01, drawn, 40)[2] == pytest.approx(0.32, abs=0.05)


def test_a_difference_of_one_seed_each_is_that_of_the_two():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.1, 0.02, (2, 300, 1))

    found = difference_of_means(np.array([0.1]), first, np.array([0.13]), second, 30)

    expected = difference(0.13 - 0.1, (second - first)[:, 0], 30)
    assert found == (0.13 - 0.1, *expected)


def test_without_spread_of_speakers_a_difference_of_means_is_welchs_test():
    first, second = np.array([0.10, 0.12, 0.11]), np.array([0.15, 0.13, 0.16, 0.17])

    value, low, high, p_value = difference_of_means(
        first, np.tile(first, (50, 1)), second, np.tile(second, (50, 1)), 40
    )

    welch = ttest_ind(second, first, equal_var=False)
    assert value == pytest.approx(second.mean() - first.mean())
    assert p_value == pytest.approx(welch.pvalue)
    assert (low, high) == pytest.approx(tuple(welch.confidence_interval(0.95)))


def test_what_all_seeds_share_does_not_blur_their_difference():
    generator = np.random.default_rng(0)
    shared = generator.normal(0, 0.05, (500, 1))
    first, second = np.array([0.10, 0.10]), np.array([0.12, 0.12])
    noise = generator.normal(0, 0.001, (2, 500, 2))

    paired = difference_of_means(
        first, first + shared + noise[0], second, second + shared + noise[1], 40
    )

    assert paired[1] == pytest.approx(0.02 - 2.02 * 0.001, abs=4e-4)


def test_holm_multiplies_by_what_is_left():
    corrected = holm(np.array([0.01, 0.04, 0.03, 0.5]))

    # 4 * .01, 3 * .03, then 2 * .04, which may not be below .09, then .5.
    assert corrected == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]


def test_holm_does_not_count_what_is_not_known():
    corrected = holm(np.array([0.02, np.nan, 0.04]))

    assert corrected == pytest.approx([0.04, np.nan, 0.04], nan_ok=True)
    assert holm(np.zeros(0)).tolist() == []


def test_holm_finds_a_falsehood_in_one_of_twenty_families():
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        p_values = 2 * norm.sf(np.abs(generator.normal(size=6)))
        found += (holm(p_values) < 0.05).any()

    assert 25 <= found <= 75


def test_one_seed_against_several_is_not_surer_than_these_are():
    """With no real difference, a twentieth of the comparisons finds one."""
    generator = np.random.default_rng(0)
    finds = 0
    for _ in range(400):
        draws = generator.normal(0, 0.002, size=(60, 1))
        one, several = (0.1 + 0.01 * generator.normal(size=count) for count in (1, 3))
        *_, p_value = difference_of_means(
            one, one + draws, several, several + draws, 40
        )
        finds += p_value < 0.05

    assert finds / 400 < 0.08


def test_two_systems_without_error_differ_by_no_more_than_luck():
    same = np.zeros((50, 1))

    value, low, high, p_value = difference_of_means(
        np.zeros(1), same, np.zeros(1), same, 4
    )

    assert (value, p_value) == (0, 1)
    assert low == -high
    assert high == pytest.approx(1 - 0.025**0.25)


def test_a_difference_that_every_draw_has_is_a_sign_test_of_the_speakers():
    *_, p_value = difference_of_means(
        np.zeros(1), np.zeros((50, 1)), np.ones(1), np.ones((50, 1)), 4
    )

    assert p_value == pytest.approx(2 / 2**4)
