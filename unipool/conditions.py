"""Which trials are of one condition: the values of a column, or bands of them."""

import logging
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float64

MOST_VALUES = 50
"""A column with more texts than this names things; it is no condition."""
MOST_NUMBERS = 10
"""A column with more numbers than this is cut into bands."""
NUM_BANDS = 4
NOT_KNOWN = "(not known)"

logger = logging.getLogger(__name__)


def values_of(column: pd.Series) -> pd.Categorical:
    """Give the condition of each trial, in the order in which they are to be shown.

    Texts are themselves, in the order of the alphabet; numbers are sorted as such, and
    when there are more than ``MOST_NUMBERS`` different ones, they are cut at their
    quartiles into bands, a band without its upper end but for the last. The empty text
    is not known, and comes last.

    Args:
        column: text of each trial, or numbers.

    Returns:
        Without categories, and with a warning in the log, when the column has more than
        ``MOST_VALUES`` different texts.
    """
    texts = column.astype(str).str.strip().where(column.notna(), "")
    known = texts != ""
    numbers = pd.to_numeric(texts[known], errors="coerce").to_numpy(float)
    are_numbers = np.isfinite(numbers).all()
    num_values = texts[known].nunique()
    if are_numbers and num_values > MOST_NUMBERS:
        texts = texts.mask(known.to_numpy())
        order, of_known = _bands(numbers)
        texts[known] = of_known
    elif num_values > MOST_VALUES:
        logger.warning(
            "%s: %d different values, more than %d; not taken for a condition",
            column.name,
            num_values,
            MOST_VALUES,
        )
        return pd.Categorical.from_codes(
            np.full(len(texts), -1), categories=pd.Index([], dtype=str)
        )
    else:
        order = sorted(texts[known].unique(), key=float if are_numbers else str)
    if not known.all():
        texts, order = texts.mask(~known, NOT_KNOWN), [*order, NOT_KNOWN]
    return pd.Categorical(texts, categories=order)


def _bands(numbers: Float64[np.ndarray, " N"]) -> tuple[list[str], list[str]]:
    """Cut at the quartiles; give the bands' names, and that of each number."""
    # Quartiles that are numbers of the list, so no band is empty.
    shares = np.linspace(0, 1, NUM_BANDS + 1)
    edges = np.unique(np.quantile(numbers, shares, method="higher"))
    between = " to " if edges[0] < 0 else "-"
    decimals = 0 if (numbers == numbers.round()).all() else 2
    names = [f"{edge:.{decimals}f}" for edge in edges]
    while len(set(names)) < len(names):
        decimals += 1
        names = [f"{edge:.{decimals}f}" for edge in edges]
    bands = [f"{low}{between}{high}" for low, high in pairwise(names)]
    places = np.searchsorted(edges[1:-1], numbers, side="right")
    return bands, [bands[place] for place in places]
