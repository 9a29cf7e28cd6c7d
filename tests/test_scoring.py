"""Cosine scores of trials."""

import numpy as np
import pandas as pd
import pytest

from unipool import scoring
from unipool.scoring import cosine_scores

EMBEDDINGS = np.array([[1, 0], [0, 2], [-3, 0], [1, 1]], dtype=np.float32)
UTTERANCES = ["a", "b", "c", "d"]


def trials_of(*pairs):
    return pd.DataFrame(pairs, columns=["enrolment", "test"])


def test_scores_are_cosines_and_negative_ones_stay_negative():
    trials = trials_of(("a", "a"), ("a", "b"), ("a", "c"), ("d", "b"))

    scores = cosine_scores(EMBEDDINGS, UTTERANCES, trials)

    assert scores == pytest.approx([1, 0, -1, np.sqrt(0.5)])


def test_with_two_heads_the_score_is_the_mean_of_their_cosines():
    embeddings = np.array([[1, 0, 5, 5], [2, 0, -4, 0]], dtype=np.float32)

    scores = cosine_scores(embeddings, ["a", "b"], trials_of(("a", "b")), num_heads=2)

    assert scores == pytest.approx([(1 - np.sqrt(0.5)) / 2])


def test_scores_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(20, 8)).astype(np.float32)
    ids = [f"u{i}" for i in range(20)]
    pairs = trials_of(*generator.choice(ids, size=(50, 2)))
    whole = cosine_scores(embeddings, ids, pairs)

    monkeypatch.setattr(scoring, "TRIALS_AT_ONCE", 7)

    assert (cosine_scores(embeddings, ids, pairs) == whole).all()


def test_a_trial_of_an_unknown_utterance_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"1 of 2 trials .* the first: a nobody"):
        cosine_scores(EMBEDDINGS, UTTERANCES, trials_of(("a", "b"), ("a", "nobody")))


def test_an_embedding_of_zeros_is_an_error_that_names_its_utterance():
    embeddings = EMBEDDINGS * np.array([[1], [0], [1], [1]], dtype=np.float32)

    with pytest.raises(ValueError, match="utterance b is all zero"):
        cosine_scores(embeddings, UTTERANCES, trials_of(("a", "c")))
