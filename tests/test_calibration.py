"""Log-likelihood ratios by logistic regression."""

import numpy as np
import pytest

from unipool.calibration import fit_calibration, quality_features


def gaussian_scores(count, *, distance=2.0, seed=0):
    """Draw scores whose log-likelihood ratio is ``distance`` times themselves."""
    generator = np.random.default_rng(seed)
    targets = generator.random(count) < 0.1
    scores = generator.normal(size=count) + distance * (targets - 0.5)
    return scores, targets


def test_scores_of_two_gaussians_get_their_log_likelihood_ratio():
    # Of N(1, 1) against N(-1, 1) it is 2 s, whatever the share of targets.
    scores, targets = gaussian_scores(200_000)
    distorted = 7 - 3 * scores

    plain = fit_calibration(scores[:, None], targets)
    mirrored = fit_calibration(distorted[:, None], targets)

    points = np.array([-1.5, 0.0, 2.0])
    assert plain.llr(points[:, None]) == pytest.approx(2 * points, abs=0.1)
    assert mirrored.llr(7 - 3 * points[:, None]) == pytest.approx(2 * points, abs=0.1)


def test_a_list_without_error_gives_finite_ratios_that_keep_the_order():
    scores = np.array([0.0, 0.1, 0.8, 0.9])
    calibration = fit_calibration(scores[:, None], scores > 0.5)

    ratios = calibration.llr(scores[:, None])

    assert np.isfinite(ratios).all()
    assert (np.diff(ratios) > 0).all()
    assert ratios[1] < 0 < ratios[2]


def test_a_feature_that_never_changes_changes_nothing():
    scores, targets = gaussian_scores(1000)
    beside = np.stack([scores, np.full(1000, 3.0)], axis=1)

    alone = fit_calibration(scores[:, None], targets)
    with_it = fit_calibration(beside, targets)

    assert with_it.llr(beside) == pytest.approx(alone.llr(scores[:, None]), abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, np.log(3.0), 1e4])
def test_what_did_not_change_on_validation_has_no_part_in_the_test(constant):
    """The mean of many equal numbers differs from them by rounding."""
    scores, targets = gaussian_scores(999)
    fitted = fit_calibration(
        np.stack([scores, np.full(999, constant)], axis=1), targets
    )

    elsewhere = np.array([[0.5, constant], [0.5, constant + 2]])

    one, other = fitted.llr(elsewhere)
    assert one == other


def test_one_class_alone_is_an_error():
    with pytest.raises(ValueError, match="3 target and 0 non-target trials"):
        fit_calibration(np.zeros((3, 1)), np.ones(3, dtype=bool))


def test_quality_is_the_mean_and_the_difference_of_both_sides():
    features = quality_features(
        np.array([0.5, 0.25]),
        {"seconds": np.array([1.0, 3.0, 8.0])},
        np.array([0, 2]),
        np.array([1, 2]),
    )

    assert features.tolist() == [[0.5, 2.0, 2.0], [0.25, 8.0, 0.0]]


def test_a_trial_and_its_mirror_image_have_the_same_features():
    measures = {"seconds": np.array([1.0, 3.0]), "norm": np.array([2.0, 0.5])}
    there, back = np.array([0]), np.array([1])
    score = np.array([0.3])

    assert (
        quality_features(score, measures, there, back)
        == quality_features(score, measures, back, there)
    ).all()


def test_short_utterances_whose_scores_are_low_are_made_up_for():
    """Targets of short utterances score lower; duration tells by how much."""
    generator = np.random.default_rng(0)
    count = 20_000
    seconds = generator.uniform(1, 5, size=count)
    side = np.arange(count)
    targets = generator.random(count) < 0.5
    scores = targets * 2.0 + seconds + 0.5 * generator.normal(size=count)
    features = quality_features(scores, {"seconds": seconds}, side, side)

    alone = fit_calibration(scores[:, None], targets).llr(scores[:, None])
    helped = fit_calibration(features, targets).llr(features)

    assert np.mean((helped > 0) == targets) > 0.97
    assert np.mean((alone > 0) == targets) < 0.85
