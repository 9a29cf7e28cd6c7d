"""Many rows, a block at a time."""

from collections.abc import Iterator

import numpy as np
import scipy  # its parts are imported when they are used
from jaxtyping import Float, Float64, Int

ROWS_AT_ONCE = 1 << 13
"""Bounds the memory of what is computed in double precision."""


def blocks(count: int, size: int | None = None) -> Iterator[slice]:
    """Cut so many rows into slices of ``size``, by default ``ROWS_AT_ONCE``."""
    size = size or ROWS_AT_ONCE
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def sums_by_label(
    vectors: Float[np.ndarray, "N E"], labels: Int[np.ndarray, " N"], num_labels: int
) -> Float64[np.ndarray, "L E"]:
    """Add up the rows of each label, in double precision."""
    sums = np.zeros((num_labels, vectors.shape[1]))
    for block in blocks(len(vectors)):
        columns = np.arange(block.stop - block.start)
        ones = np.ones(len(columns))
        members = scipy.sparse.csr_array(
            (ones, (labels[block], columns)), shape=(num_labels, len(columns))
        )
        sums += members @ vectors[block].astype(np.float64)
    return sums
