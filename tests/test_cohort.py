"""Cosines normalised by a cohort."""

import logging

import numpy as np
import pytest

from unipool.scoring import SCORINGS, Cohort, Sides

COHORT = Cohort(
    # The means of x, y and z lie at (2, 0), (0, 5) and (-1, 0).
    np.array([[3, 1], [0, 5], [1, -1], [-1, 0]], dtype=np.float32),
    ["x", "y", "x", "z"],
)


def sides_of(vectors, enrolment, test, num_heads=1):
    vectors = np.array(vectors, dtype=np.float32)
    return Sides(
        vectors,
        [f"u{i}" for i in range(len(vectors))],
        np.array(enrolment),
        np.array(test),
        num_heads,
    )


# Against the cohort (1, 0) scores 1, 0 and -1; (0, 1) scores 0, 1 and 0.
AXES = sides_of([[4, 0], [0, 7], [1, 1]], [0, 0], [1, 0])


def test_as_norm_holds_each_side_against_the_highest_of_its_cohort():
    scores = SCORINGS["as-norm"](top=2).fit(COHORT, 1)(AXES)

    # Of both sides the highest two are 1 and 0: mean and deviation are 1/2.
    assert scores.values == pytest.approx([-1, 1])
    assert scores.measures["cohort_mean"][:2] == pytest.approx([0.5, 0.5])
    assert scores.measures["cohort_std"][:2] == pytest.approx([0.5, 0.5])
    assert {name: list(np.isnan(of)) for name, of in scores.measures.items()} == {
        "cohort_mean": [False, False, True],
        "cohort_std": [False, False, True],
    }


def test_s_norm_holds_each_side_against_all_of_the_cohort():
    scores = SCORINGS["s-norm"]().fit(COHORT, 1)(AXES)

    # Means 0 and 1/3, variances 2/3 and 2/9.
    assert scores.measures["cohort_mean"][:2] == pytest.approx([0, 1 / 3])
    assert scores.measures["cohort_std"][:2] == pytest.approx(np.sqrt([2 / 3, 2 / 9]))
    assert scores.values == pytest.approx([-1 / np.sqrt(8), np.sqrt(3 / 2)])


def test_a_top_that_is_larger_than_the_cohort_takes_all_of_it_and_says_so(caplog):
    with caplog.at_level(logging.INFO):
        scores = SCORINGS["as-norm"](top=300).fit(COHORT, 1)(AXES)

    assert "top is 300, the cohort has 3 speakers" in caplog.text
    assert (scores.values == SCORINGS["s-norm"]().fit(COHORT, 1)(AXES).values).all()


@pytest.mark.parametrize("kind", ["as-norm", "s-norm"])
def test_centred_scores_do_not_depend_on_where_all_embeddings_lie(kind):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 6)).astype(np.float32)
    speakers = [f"s{i // 4}" for i in range(30)]
    pairs = generator.integers(0, 10, size=(2, 50))

    def scores(shift, centre):
        moved = vectors + np.float32(shift)
        scoring = SCORINGS[kind](centre=centre)
        sides = sides_of(moved[:10], *pairs)
        return scoring.fit(Cohort(moved[10:], speakers), 1)(sides).values

    assert scores(0.7, True) == pytest.approx(scores(0.0, True), abs=1e-3)
    assert np.abs(scores(0.7, False) - scores(0.0, False)).max() > 0.1


def plain(vectors, cohort, pairs, *, top, num_heads, centre):
    """Normalise trial by trial, as one would write it down."""
    mean = cohort.vectors.mean(axis=0) if centre else 0.0
    speakers = sorted(set(cohort.speakers))
    means = [
        np.mean(
            [v for v, s in zip(cohort.vectors, cohort.speakers, strict=True) if s == k],
            axis=0,
        )
        for k in speakers
    ]

    def cosine(one, other):
        heads = zip(
            np.split(one - mean, num_heads),
            np.split(other - mean, num_heads),
            strict=True,
        )
        return np.mean(
            [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in heads]
        )

    scores = []
    for pair in pairs.T:
        one, other = vectors[pair[0]], vectors[pair[1]]
        parts = []
        for side in (one, other):
            highest = sorted(cosine(side, speaker) for speaker in means)[-top:]
            parts.append((cosine(one, other) - np.mean(highest)) / np.std(highest))
        scores.append(np.mean(parts))
    return scores


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("num_heads", [1, 2])
def test_it_is_what_a_loop_over_trials_and_speakers_gives(num_heads, centre):
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=(60, 6)) + 0.5).astype(np.float32)
    cohort = Cohort(vectors[12:], [f"s{i * i % 17}" for i in range(48)])
    pairs = generator.integers(0, 12, size=(2, 30))

    scores = SCORINGS["as-norm"](top=4, centre=centre).fit(cohort, num_heads)(
        sides_of(vectors[:12], *pairs, num_heads)
    )

    assert scores.values == pytest.approx(
        plain(vectors, cohort, pairs, top=4, num_heads=num_heads, centre=centre),
        rel=1e-4,
    )


def test_a_side_that_is_like_everybody_is_not_accepted_for_it():
    # u1 lies near the middle of the cohort, u0 and u2 at its border.
    cohort = Cohort(
        np.array([[3, 1, 0], [3, -1, 0], [3, 0, 1], [3, 0, -1]], dtype=np.float32),
        [*"wxyz"],
    )
    sides = sides_of([[3, 2, 0.1], [3, 0.1, 0], [1, 2, 0.1]], [0, 0], [1, 2])

    cosines = SCORINGS["cosine"]().fit(None, 1)(sides).values
    normalised = SCORINGS["s-norm"]().fit(cohort, 1)(sides).values

    assert cosines[0] < cosines[1]
    assert normalised[0] < 0 < normalised[1]


@pytest.mark.parametrize("kind", ["as-norm", "s-norm"])
def test_a_cohort_that_does_not_tell_its_speakers_apart_is_an_error(kind):
    alike = Cohort(np.ones((4, 2), dtype=np.float32), [*"wxyz"])

    with pytest.raises(ValueError, match=r"u0 scores the same, 0\.707, against all"):
        SCORINGS[kind]().fit(alike, 1)(AXES)


def test_a_silent_speaker_of_the_cohort_is_an_error_that_names_the_speaker():
    cohort = Cohort(np.array([[1, 0], [-1, 0], [2, 1]], dtype=np.float32), [*"xxy"])

    with pytest.raises(ValueError, match="the embedding of x is all zero"):
        SCORINGS["as-norm"]().fit(cohort, 1)
