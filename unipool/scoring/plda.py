"""Probabilistic linear discriminant analysis of embeddings."""

import numpy as np
from jaxtyping import Float, Float64

from unipool.scoring.cohort import Cohort, check_size, checked
from unipool.scoring.rows import blocks
from unipool.scoring.sides import Scorer, Scores, Sides, unit_heads
from unipool.scoring.two_covariance import (
    discriminants,
    fit_two_covariance,
    measure_scatter,
)


class Plda:
    """Score by the log-likelihood ratio of one speaker against two.

    Each head of an embedding is brought to unit length, and the cohort's mean is
    subtracted; the directions of linear discriminant analysis whiten what varies within
    a speaker; the length is normalised; then the two-covariance model is fitted, and
    scores. All is learnt from the utterances of the cohort. Covariances are shrunk
    towards ones without direction, the more so the fewer utterances or speakers there
    are; for very few, the score orders trials as the cosine of whitened embeddings.

    A model of several utterances is taken for one utterance, their mean: its score
    does not become surer with their number.

    Args:
        lda_size: how many discriminant directions are kept; None keeps all, and so
            only whitens. At most the embedding's size, and the number of training
            speakers less one.

    Source: Prince and Elder, "Probabilistic linear discriminant analysis for inferences
    about identity", ICCV 2007; the length: Garcia-Romero and Espy-Wilson, "Analysis of
    i-vector length normalization in speaker recognition systems", Interspeech 2011;
    the order of steps: Kaldi's recipes for x-vectors.
    """

    needs_cohort = True

    def __init__(self, *, lda_size: int | None = None) -> None:
        if lda_size is not None and lda_size < 1:
            raise ValueError(f"lda_size: is {lda_size}, must be at least 1")
        self.lda_size = lda_size

    def fit(self, cohort: Cohort | None, num_heads: int) -> Scorer:
        """Learn the directions and the model.

        Raises:
            ValueError: when there is no cohort of at least two speakers, no speaker
                has two utterances that differ, speakers do not differ, or ``lda_size``
                is more than there can be. What is given back raises it when an
                embedding has no direction.
        """
        cohort = checked(cohort, "plda", least=2)
        labels, speakers = cohort.labels()
        size = self._size(cohort.vectors.shape[1], len(speakers))

        def unit(rows: slice) -> Float64[np.ndarray, "B E"]:
            return unit_heads(cohort.vectors[rows], cohort.speakers[rows], num_heads)

        scatter = measure_scatter(unit, labels)
        basis = discriminants(scatter, size)

        def project(
            vectors: Float[np.ndarray, "B E"], names: list[str]
        ) -> Float64[np.ndarray, "B D"]:
            projected = (unit_heads(vectors, names, num_heads) - scatter.mean) @ basis
            return unit_heads(projected, names, 1, less_mean=True)

        model = fit_two_covariance(
            measure_scatter(
                lambda rows: project(cohort.vectors[rows], cohort.speakers[rows]),
                labels,
            )
        )

        def score(sides: Sides) -> Scores:
            check_size(len(basis), sides.vectors.shape[1])
            projected = np.empty((len(sides.vectors), size))
            for rows in blocks(len(projected)):
                projected[rows] = project(sides.vectors[rows], sides.names[rows])
            ratios = model.log_likelihood_ratios(projected, sides.enrolment, sides.test)
            return Scores(ratios, {})

        return score

    def _size(self, embedding_size: int, num_speakers: int) -> int:
        most = min(embedding_size, num_speakers - 1)
        if self.lda_size is None:
            return embedding_size
        if self.lda_size > most:
            raise ValueError(
                f"lda_size: is {self.lda_size}, must be at most {most}, for embeddings"
                f" have {embedding_size} values and the cohort {num_speakers} speakers"
            )
        return self.lda_size
