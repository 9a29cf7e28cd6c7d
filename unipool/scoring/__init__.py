"""From embeddings to the scores of trials, in several ways.

Each is built with its options, and then ``fit(cohort, num_heads)`` learns what it needs
from the embeddings of the training split, whose speakers are in no trial, and gives a
function from the two sides of trials to their scores. So validation and test are scored
by one fit. ``needs_cohort`` says whether there must be a cohort.

The score of a trial is the same with its sides swapped, and does not depend on which
other trials are scored with it. A new scoring is one module and one line here.
"""

from collections.abc import Callable

from unipool.scoring.cohort import Cohort
from unipool.scoring.cosine import Cosine, cosine_scores
from unipool.scoring.normalised import AsNorm, SNorm
from unipool.scoring.plda import Plda
from unipool.scoring.sides import Scorer, Scores, Scoring, Sides, pair_up

SCORINGS: dict[str, Callable[..., Scoring]] = {
    "cosine": Cosine,
    "as-norm": AsNorm,
    "s-norm": SNorm,
    "plda": Plda,
}

__all__ = [
    "SCORINGS",
    "Cohort",
    "Scorer",
    "Scores",
    "Scoring",
    "Sides",
    "cosine_scores",
    "pair_up",
]
