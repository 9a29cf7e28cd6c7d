"""Cosine scores of trials."""

import numpy as np
import pandas as pd
import pytest

from unipool.scoring import sides
from unipool.scoring import cosine_scores
from unipool.trials import TrialList

EMBEDDINGS = np.array([[1, 0], [0, 2], [-3, 0], [1, 1]], dtype=np.float32)
UTTERANCES = ["a", "b", "c", "d"]


def trials_of(*pairs, **models):
    """Make a list of trials; ``M="ab"`` is a model of the utterances a and b."""
    return TrialList(
        pd.DataFrame(pairs, columns=["enrolment", "test"], dtype=str),
        pd.DataFrame(
            [(model, name) for model, names in models.items() for name in names],
            columns=["enrolment", "utterance"],
            dtype=str,
        ),
    )


def test_scores_are_cosines_and_negative_ones_stay_negative():
    trials = trials_of(("a", "a"), ("a", "b"), ("a", "c"), ("d", "b"))

    scores = cosine_scores(EMBEDDINGS, UTTERANCES, trials)

    assert scores == pytest.approx([1, 0, -1, np.sqrt(0.5)])


def test_with_two_heads_the_score_is_the_mean_of_their_cosines():
    embeddings = np.array([[1, 0, 5, 5], [2, 0, -4, 0]], dtype=np.float32)

    scores = cosine_scores(embeddings, ["a", "b"], trials_of(("a", "b")), num_heads=2)

    assert scores == pytest.approx([(1 - np.sqrt(0.5)) / 2])


def test_a_model_is_the_mean_of_its_utterances_before_their_length_is_normalised():
    # (0, 2) and (1, 1) make (0.5, 1.5): its cosine with (1, 0) is 1 / sqrt(10).
    trials = trials_of(("M", "a"), ("a", "a"), ("N", "a"), M="bd", N="c")

    scores = cosine_scores(EMBEDDINGS, UTTERANCES, trials)

    assert scores == pytest.approx([1 / np.sqrt(10), 1, -1])


def test_with_two_heads_the_mean_of_a_model_is_that_of_each_head():
    embeddings = np.array([[4, 0, 0, 1], [0, 2, 0, 1], [1, 0, 1, 0]], dtype=np.float32)

    scores = cosine_scores(
        embeddings, ["a", "b", "t"], trials_of(("M", "t"), M="ab"), num_heads=2
    )

    # Heads (2, 1) and (0, 1) with (1, 0) and (1, 0).
    assert scores == pytest.approx([(2 / np.sqrt(5) + 0) / 2])


def test_models_change_no_other_score():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(4, 8)).astype(np.float32)
    pairs = [("a", "b"), ("c", "d")]

    with_model = cosine_scores(
        embeddings, UTTERANCES, trials_of(("M", "a"), *pairs, M="bcd")
    )

    assert (
        with_model[1:] == cosine_scores(embeddings, UTTERANCES, trials_of(*pairs))
    ).all()


def test_scores_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(20, 8)).astype(np.float32)
    ids = [f"u{i}" for i in range(20)]
    pairs = trials_of(*generator.choice(ids, size=(50, 2)))
    whole = cosine_scores(embeddings, ids, pairs)

    monkeypatch.setattr(sides, "TRIALS_AT_ONCE", 7)

    assert (cosine_scores(embeddings, ids, pairs) == whole).all()


@pytest.mark.parametrize(
    ("trial", "models"),
    [
        (("a", "nobody"), {}),
        (("nobody", "a"), {}),
        (("M", "a"), {"M": ["b", "nobody"]}),
        (("a", "M"), {"M": ["b"]}),
    ],
)
def test_a_trial_of_an_unknown_utterance_is_an_error_that_names_it(trial, models):
    listed = trials_of(("a", "b"), trial, **models)

    with pytest.raises(
        ValueError, match=f"1 of 2 trials .* the first: {trial[0]} {trial[1]}"
    ):
        cosine_scores(EMBEDDINGS, UTTERANCES, listed)


def test_an_embedding_of_zeros_is_an_error_that_names_whose_it_is():
    embeddings = EMBEDDINGS * np.array([[1], [0], [1], [1]], dtype=np.float32)

    with pytest.raises(ValueError, match="the embedding of b is all zero"):
        cosine_scores(embeddings, UTTERANCES, trials_of(("a", "c")))
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    with pytest.raises(ValueError, match="the embedding of M is all zero"):
        cosine_scores(opposite, ["a", "b"], trials_of(("M", "a"), M="ab"))
