"""What trials compare, their cosines, and what holds for every scoring."""

import numpy as np
import pandas as pd
import pytest

from unipool.scoring import (
    SCORINGS,
    Cohort,
    Sides,
    cosine_scores,
    normalised,
    pair_up,
    sides,
)
from unipool.scoring import (
    rows as row_blocks,
)
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

    monkeypatch.setattr(sides, "ROWS_IN_CACHE", 7)

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
    endless = np.array([[1, 0], [np.inf, 0]], dtype=np.float32)
    with pytest.raises(ValueError, match="the embedding of b is not finite"):
        cosine_scores(endless, ["a", "b"], trials_of(("a", "b")))


def test_a_pairing_has_the_utterances_then_the_means_of_the_models():
    paired = pair_up(EMBEDDINGS, UTTERANCES, trials_of(("M", "a"), ("c", "b"), M="bd"))

    assert paired.names == ["a", "b", "c", "d", "M"]
    assert paired.vectors.tolist() == [*EMBEDDINGS.tolist(), [0.5, 1.5]]
    assert paired.enrolment.tolist() == [4, 2]
    assert paired.test.tolist() == [0, 1]
    assert paired.used().tolist() == [0, 1, 2, 4]


def test_centred_cosines_are_of_what_the_mean_utterance_of_the_cohort_leaves():
    # The mean of the utterances is (1, 1), that of the speakers' means (1.5, 1).
    cohort = Cohort(
        np.array([[0, 1], [0, 1], [3, 1]], dtype=np.float32), ["x", "x", "y"]
    )
    trials = trials_of(("a", "b"), ("a", "c"))
    score = SCORINGS["cosine"](centre=True).fit(cohort, 1)

    scores = score(pair_up(EMBEDDINGS[:3], UTTERANCES[:3], trials))

    # a, b and c are then (0, -1), (-1, 1) and (-4, -1).
    assert scores.values == pytest.approx([-1 / np.sqrt(2), 1 / np.sqrt(17)])
    assert scores.measures == {}
    with pytest.raises(ValueError, match="of d is all zero when the cohort's mean is"):
        score(pair_up(EMBEDDINGS, UTTERANCES, trials))


def test_only_the_plain_cosine_does_without_a_cohort():
    needy = [kind for kind, scoring in SCORINGS.items() if scoring().needs_cohort]

    assert needy == ["as-norm", "s-norm", "plda"]
    assert SCORINGS["cosine"](centre=True).needs_cohort
    for scoring in (SCORINGS["cosine"](centre=True), *(SCORINGS[k]() for k in needy)):
        with pytest.raises(ValueError, match="needs a cohort"):
            scoring.fit(None, 1)


EVERY = pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cosine", {}),
        ("cosine", {"centre": True}),
        ("as-norm", {"top": 5}),
        ("as-norm", {"top": 5, "centre": True}),
        ("s-norm", {}),
        ("plda", {}),
        ("plda", {"lda_size": 3}),
    ],
)


def corpus(scale=1.0):
    """Make 30 utterances of 6 speakers, and 100 of 20 others."""
    generator = np.random.default_rng(0)
    speakers = np.repeat(generator.normal(size=(26, 8)), 5, axis=0)
    spread = generator.normal(size=(130, 8)) * np.linspace(0.2, 2, 8)
    vectors = (scale * (speakers + spread)).astype(np.float32)
    return vectors[:30], Cohort(vectors[30:], [f"s{i // 5}" for i in range(100)])


def sides_of(vectors, pairs, num_heads=2):
    names = [f"u{i}" for i in range(len(vectors))]
    return Sides(vectors, names, pairs[:, 0], pairs[:, 1], num_heads)


def scored(kind, options, *, pairs, num_heads=2, scale=1.0):
    vectors, cohort = corpus(scale)
    score = SCORINGS[kind](**options).fit(cohort, num_heads)
    return score(sides_of(vectors, pairs, num_heads))


PAIRS = np.random.default_rng(1).integers(0, 30, size=(200, 2))


@EVERY
def test_the_score_of_a_trial_is_the_same_with_its_sides_swapped(kind, options):
    scores = scored(kind, options, pairs=PAIRS).values

    assert (scored(kind, options, pairs=PAIRS[:, ::-1].copy()).values == scores).all()
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 100


@EVERY
def test_the_score_of_a_trial_does_not_depend_on_the_other_trials(kind, options):
    scores = scored(kind, options, pairs=PAIRS).values

    few = scored(kind, options, pairs=PAIRS[::-7].copy()).values

    assert few == pytest.approx(scores[::-7], rel=1e-5, abs=1e-6)


@EVERY
def test_no_score_depends_on_how_many_are_computed_at_once(kind, options, monkeypatch):
    scores = scored(kind, options, pairs=PAIRS)

    monkeypatch.setattr(sides, "ROWS_IN_CACHE", 7)
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(normalised, "SIDES_AT_ONCE", 7)

    again = scored(kind, options, pairs=PAIRS)
    assert again.values == pytest.approx(scores.values, rel=1e-5, abs=1e-6)
    for name, measure in scores.measures.items():
        assert again.measures[name] == pytest.approx(measure, rel=1e-5)


@EVERY
def test_what_all_embeddings_are_multiplied_with_changes_no_score(kind, options):
    scores = scored(kind, options, pairs=PAIRS).values

    longer = scored(kind, options, pairs=PAIRS, scale=50.0).values

    assert longer == pytest.approx(scores, rel=1e-4, abs=1e-5)


@EVERY
def test_one_fit_scores_list_after_list_and_learns_nothing_from_them(kind, options):
    vectors, cohort = corpus()
    score = SCORINGS[kind](**options).fit(cohort, 2)

    score(sides_of(vectors[:3] + 5, PAIRS[:9] % 3))
    second = score(sides_of(vectors, PAIRS))

    assert (second.values == scored(kind, options, pairs=PAIRS).values).all()


@EVERY
def test_heads_that_an_embedding_cannot_have_are_an_error(kind, options):
    with pytest.raises(ValueError, match="8 values are not 3 heads"):
        scored(kind, options, pairs=PAIRS, num_heads=3)


@EVERY
def test_a_list_without_trials_has_no_scores(kind, options):
    assert scored(kind, options, pairs=PAIRS[:0]).values.shape == (0,)


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("as-norm", {"top": 1}, "top: is 1, must be at least 2"),
        ("plda", {"lda_size": 0}, "lda_size: is 0, must be at least 1"),
    ],
)
def test_an_option_without_meaning_is_an_error(kind, options, match):
    with pytest.raises(ValueError, match=match):
        SCORINGS[kind](**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("cosine", {"centre": True}), ("as-norm", {}), ("s-norm", {}), ("plda", {})],
)
def test_a_cohort_that_will_not_do_is_an_error(kind, options):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(6, 4)).astype(np.float32)
    scoring = SCORINGS[kind](**options)
    names = [*"xxyyzz"]

    score = scoring.fit(Cohort(vectors, names), 1)
    with pytest.raises(ValueError, match=r"cohort's embeddings have 4 values, .* 2"):
        score(pair_up(EMBEDDINGS, UTTERANCES, trials_of(("a", "b"))))
    broken = vectors.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 embeddings that are\s+not.* speaker y"):
        scoring.fit(Cohort(broken, names), 1)
    fewest = int(kind != "cosine")
    with pytest.raises(ValueError, match=f"cohort has {fewest} speaker"):
        scoring.fit(Cohort(vectors[:fewest], names[:fewest]), 1)
