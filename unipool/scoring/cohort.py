"""The cohort: embeddings of speakers who are in no trial."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64, Int64

from unipool.scoring.rows import sums_by_label


class Cohort(NamedTuple):
    """The embeddings of the training split.

    Args:
        vectors: one row for each utterance, not normalised.
        speakers: who speaks each.
    """

    vectors: Float32[np.ndarray, "N E"]
    speakers: list[str]

    def labels(self) -> tuple[Int64[np.ndarray, " N"], list[str]]:
        """Number the speakers from 0, in alphabetical order."""
        labels, speakers = pd.factorize(np.array(self.speakers, object), sort=True)
        return labels.astype(np.int64), list(speakers)

    def mean(self) -> Float64[np.ndarray, " E"]:
        """Give the mean of all utterances."""
        return self.vectors.mean(axis=0, dtype=np.float64)

    def speaker_means(self) -> tuple[Float64[np.ndarray, "S E"], list[str]]:
        """Give the mean of each speaker's embeddings, as they are, and whose it is."""
        labels, speakers = self.labels()
        sums = sums_by_label(self.vectors, labels, len(speakers))
        return sums / np.bincount(labels)[:, None], speakers


def checked(cohort: Cohort | None, kind: str, *, least: int) -> Cohort:
    """Give the cohort back when a scoring can learn from it.

    Raises:
        ValueError: when there is none, it has fewer than ``least`` speakers, or an
            embedding that is not finite.
    """
    if cohort is None:
        raise ValueError(f"{kind} needs a cohort: the embeddings of the training split")
    num_speakers = len(set(cohort.speakers))
    if num_speakers < least:
        raise ValueError(
            f"{kind}: the cohort has {num_speakers} speaker(s), it needs at least"
            f" {least}; give the training split more speakers"
        )
    finite = np.isfinite(cohort.vectors).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{kind}: the cohort has {np.count_nonzero(~finite)} embeddings that are"
            " not finite, the first of speaker"
            f" {cohort.speakers[int(np.argmin(finite))]}; train the run again with a"
            " lower learning_rate"
        )
    return cohort


def check_size(cohort_size: int, size: int) -> None:
    """Hold the size of embeddings that are to be scored against the cohort's.

    Raises:
        ValueError: when they differ.
    """
    if cohort_size != size:
        raise ValueError(
            f"the cohort's embeddings have {cohort_size} values, those of the trials"
            f" {size}; embed both with one run"
        )
