"""The two-covariance model: a speaker's place, and what utterances add to it.

A vector is y = mean + s + e with s ~ N(0, between), the same for all utterances of a
speaker, and e ~ N(0, within), new in each.

Source: Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006; the name is of
Brümmer and de Villiers, "The speaker partitioning problem", Odyssey 2010.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used
from jaxtyping import Float64, Int64

from unipool.scoring.rows import blocks, sums_by_label
from unipool.scoring.sides import paired_dots


class Scatter(NamedTuple):
    """How the vectors of a cohort lie.

    Args:
        mean: of all vectors.
        counts: vectors of each speaker.
        deviations: of each speaker's mean from ``mean``.
        within: covariance of vectors about their speaker's mean, shrunk.
    """

    mean: Float64[np.ndarray, " E"]
    counts: Int64[np.ndarray, " S"]
    deviations: Float64[np.ndarray, "S E"]
    within: Float64[np.ndarray, "E E"]


class TwoCovariance(NamedTuple):
    """The parameters of the model."""

    mean: Float64[np.ndarray, " E"]
    between: Float64[np.ndarray, "E E"]
    within: Float64[np.ndarray, "E E"]

    def log_likelihood_ratios(
        self,
        vectors: Float64[np.ndarray, "M E"],
        enrolment: Int64[np.ndarray, " K"],
        test: Int64[np.ndarray, " K"],
    ) -> Float64[np.ndarray, " K"]:
        """Say how much likelier one speaker is than two, as a natural logarithm.

        In the basis in which ``within`` is the identity and ``between`` is diagonal,
        r, all dimensions are independent, and in each the pair of u and v has the
        ratio ln(1 + r) - ln(1 + 2 r) / 2 - r^2 (u^2 + v^2) / (2 (1 + r) (1 + 2 r))
        + r u v / (1 + 2 r): a constant, a value of each side, and a dot product.

        Source: of the basis, ``ivector-compute-plda`` of Kaldi.
        """
        ratios, basis = scipy.linalg.eigh(self.between, self.within)
        ratios = np.maximum(ratios, 0)
        places = (vectors - self.mean) @ basis
        alone = -(places**2) @ (ratios**2 / (2 * (1 + ratios) * (1 + 2 * ratios)))
        together = places * np.sqrt(ratios / (1 + 2 * ratios))
        constant = float((np.log1p(ratios) - np.log1p(2 * ratios) / 2).sum())
        return (
            constant
            + (alone[enrolment] + alone[test])
            + paired_dots(together, enrolment, test)
        )


def measure_scatter(
    vectors_of: Callable[[slice], Float64[np.ndarray, "B E"]],
    labels: Int64[np.ndarray, " N"],
) -> Scatter:
    """Measure how speakers and their utterances lie, a block of rows at a time.

    Args:
        vectors_of: gives the rows of a slice; each is asked for twice.
        labels: speaker of each row, numbered from 0.

    Raises:
        ValueError: when no speaker has two utterances that differ.
    """
    counts = np.bincount(labels)
    cut = list(blocks(len(labels)))
    sums = np.zeros((len(counts), vectors_of(slice(0, 1)).shape[1]))
    for block in cut:
        sums += sums_by_label(vectors_of(block), labels[block], len(counts))
    means = sums / counts[:, None]
    products = np.zeros((sums.shape[1], sums.shape[1]))
    fourth = 0.0
    for block in cut:
        rest = vectors_of(block) - means[labels[block]]
        products += rest.T @ rest
        fourth += float((np.einsum("ne,ne->n", rest, rest) ** 2).sum())
    if not np.trace(products) > 1e-12 * len(labels):
        raise ValueError(
            "no training speaker has two utterances whose embeddings differ, so plda"
            " cannot learn how utterances of a speaker vary; take cosine or as-norm"
        )
    mean = sums.sum(axis=0) / len(labels)
    return Scatter(
        mean,
        counts,
        means - mean,
        shrunk(
            products / (len(labels) - len(counts)),
            _shrinkage(products, fourth, len(labels)),
        ),
    )


def discriminants(scatter: Scatter, size: int) -> Float64[np.ndarray, "E size"]:
    """Give the directions in which speakers differ most for what utterances vary.

    The variance within a speaker is 1 along each, and they are uncorrelated: what is
    projected on them is whitened.
    """
    weighted = scatter.deviations * np.sqrt(scatter.counts)[:, None]
    _, basis = scipy.linalg.eigh(weighted.T @ weighted, scatter.within)
    return basis[:, ::-1][:, :size]


def fit_two_covariance(scatter: Scatter) -> TwoCovariance:
    """Estimate the model in closed form, by the moments.

    The mean square between speakers is, in expectation, ``within`` plus so many times
    ``between`` as a speaker has utterances, on a suitable average when they have not
    equally many. ``between`` is then shrunk as far as the number of speakers asks for.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 3.

    Raises:
        ValueError: when speakers differ no more than utterances of one.
    """
    counts, total = scatter.counts, scatter.counts.sum()
    num_speakers = len(counts)
    weighted = scatter.deviations * np.sqrt(counts)[:, None]
    square = weighted.T @ weighted / (num_speakers - 1)
    size = (total - (counts**2).sum() / total) / (num_speakers - 1)
    values, basis = np.linalg.eigh((square - scatter.within) / size)
    if not values.max() > 0:
        raise ValueError(
            "the training speakers differ no more than utterances of one, so plda"
            " cannot tell speakers apart; train the run again or take cosine"
        )
    between = (basis * np.maximum(values, 0)) @ basis.T
    products = scatter.deviations.T @ scatter.deviations
    fourth = float(
        (np.einsum("ne,ne->n", scatter.deviations, scatter.deviations) ** 2).sum()
    )
    return TwoCovariance(
        scatter.mean,
        shrunk(between, _shrinkage(products, fourth, num_speakers)),
        scatter.within,
    )


def shrunk(
    covariance: Float64[np.ndarray, "E E"], share: float
) -> Float64[np.ndarray, "E E"]:
    """Replace a share of a covariance by the like of it that has no direction."""
    size = len(covariance)
    return (1 - share) * covariance + share * np.trace(covariance) / size * np.eye(size)


def _shrinkage(
    products: Float64[np.ndarray, "E E"], fourth: float, count: int
) -> float:
    """Give the share to replace: near 0 for many vectors, 1 for very few.

    Args:
        products: sum of the vectors' outer products, their mean being 0.
        fourth: sum of the fourth power of their lengths.
        count: how many they are.

    Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
    covariance matrices", Journal of Multivariate Analysis 88(2), 2004.
    """
    covariance = products / count
    spread = ((covariance - shrunk(covariance, 1.0)) ** 2).sum()
    error = fourth / count**2 - (covariance**2).sum() / count
    return 1.0 if error >= spread else float(max(error, 0.0) / spread)
