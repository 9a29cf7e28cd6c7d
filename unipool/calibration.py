"""From scores to log-likelihood ratios: logistic regression on validation trials.

The log-likelihood ratio of a trial says how much more probable its score is if both
sides are of one speaker than if not (natural logarithm); at which of them to accept
follows from the costs and the prior alone. What it is fitted on is never what is
tested.

Source: Brümmer and du Preez, "Application-independent evaluation of speaker detection",
Computer Speech and Language 20, 2006; with measures of quality: Mandasari et al.,
"Quality measure functions for calibration of speaker recognition systems in various
duration conditions", IEEE TASLP 21, 2013, and Thienpondt et al., "The IDLAB VoxCeleb
Speaker Recognition Challenge 2020 system description", arXiv 2010.12468.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from sklearn.linear_model import LogisticRegression

Features = Float64[np.ndarray, "K F"]

LEAST_CHANGE = 1e-6
"""Of a feature, relative to its mean: less is rounding."""


class Calibration(NamedTuple):
    """A fitted regression: features are standardised, weighted and summed."""

    mean: Float64[np.ndarray, " F"]
    scale: Float64[np.ndarray, " F"]
    weights: Float64[np.ndarray, " F"]
    bias: float

    def llr(self, features: Features) -> Float64[np.ndarray, " K"]:
        """Give the log-likelihood ratio of each trial (natural logarithm)."""
        return (features - self.mean) / self.scale @ self.weights + self.bias


def fit_calibration(features: Features, targets: Bool[np.ndarray, " K"]) -> Calibration:
    """Fit on trials whose answer is known, both classes given the same weight.

    So the log odds are the log-likelihood ratio, and its cost is Cllr. The weights are
    held back a little (their squares are penalised as much as one trial weighs), which
    keeps them finite where no trial of the list is an error.

    Args:
        features: of each trial: its score, or those of several systems, or what else
            bears on it.
        targets: whether both sides are of one speaker.

    Raises:
        ValueError: when one class is missing.
    """
    num_targets = int(np.count_nonzero(targets))
    if num_targets in (0, len(targets)):
        raise ValueError(
            f"{num_targets} target and {len(targets) - num_targets} non-target trials"
            " to calibrate with; at least one of each is needed"
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # What never changes here has no weight, however much it may change elsewhere.
    changes = scale > LEAST_CHANGE * np.maximum(np.abs(mean), LEAST_CHANGE)
    regression = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=1000)
    scale = np.where(changes, scale, 1.0)
    regression.fit(np.where(changes, (features - mean) / scale, 0), targets)
    weights = np.where(changes, regression.coef_[0], 0.0)
    return Calibration(mean, scale, weights, float(regression.intercept_[0]))


def quality_features(
    scores: Float64[np.ndarray, " K"],
    measures: dict[str, Float64[np.ndarray, " M"]],
    enrolment: Int64[np.ndarray, " K"],
    test: Int64[np.ndarray, " K"],
) -> Features:
    """Put beside each score how good its two sides are.

    Of each measure the mean of both sides and how far they differ, so that a trial and
    its mirror image have the same features.

    Args:
        scores: of the trials.
        measures: of each utterance and model, by name: its duration, its norm.
        enrolment: row of each trial's enrolment in the measures.
        test: of its test utterance.
    """
    columns = [scores]
    for values in measures.values():
        one, other = values[enrolment], values[test]
        columns += [(one + other) / 2, np.abs(one - other)]
    return np.stack(columns, axis=1)
