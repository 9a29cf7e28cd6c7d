"""Probabilistic linear discriminant analysis."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from unipool.metrics import SortedTrials, eer
from unipool.scoring import SCORINGS, Cohort, Sides
from unipool.scoring.two_covariance import (
    TwoCovariance,
    discriminants,
    fit_two_covariance,
    measure_scatter,
)


def covariance(size, generator, rank=None):
    root = generator.normal(size=(size, rank or 2 * size))
    return root @ root.T / size


def draw(model, counts, generator):
    """Draw so many vectors of each speaker from the model."""
    labels = np.repeat(np.arange(len(counts)), counts)
    size = len(model.mean)
    speakers = generator.multivariate_normal(
        np.zeros(size), model.between, len(counts), method="eigh"
    )
    rest = generator.multivariate_normal(np.zeros(size), model.within, len(labels))
    return model.mean + speakers[labels] + rest, labels


def scatter_of(vectors, labels):
    return measure_scatter(lambda rows: vectors[rows].astype(float), labels)


def pairs_of(labels, generator, count=20_000):
    """Draw trials, half of them of one speaker; each has as many vectors."""
    each = int((labels == 0).sum())
    first = generator.integers(0, len(labels), count)
    same = first // each * each + generator.integers(0, each, count)
    second = np.where(
        generator.random(count) < 0.5, same, generator.integers(0, len(labels), count)
    )
    other = first != second
    return first[other], second[other]


def error_rate(scores, first, second, labels):
    targets = labels[first] == labels[second]
    return eer(SortedTrials(scores, targets).error_rates())


def test_the_ratio_of_one_dimension_is_what_one_reckons_by_hand():
    model = TwoCovariance(np.array([1.0]), np.array([[3.0]]), np.array([[1.0]]))

    ratios = model.log_likelihood_ratios(
        np.array([[2.0], [3.0], [1.0]]), np.array([0, 2]), np.array([1, 2])
    )

    # The places are 1 and 2. Together: determinant 7, (4 + 16 - 12) / 7. Apart:
    # determinant 16, 5 / 4.
    assert ratios == pytest.approx(
        [np.log(16 / 7) / 2 - 8 / 14 + 5 / 8, np.log(16 / 7) / 2]
    )


@pytest.mark.parametrize("rank", [None, 2])
def test_the_ratio_is_that_of_the_densities_of_the_stacked_pair(rank):
    generator = np.random.default_rng(0)
    model = TwoCovariance(
        generator.normal(size=5),
        covariance(5, generator, rank),
        covariance(5, generator),
    )
    vectors = 2 * generator.normal(size=(20, 5))
    first, second = generator.integers(0, 20, size=(2, 40))

    ratios = model.log_likelihood_ratios(vectors, first, second)

    total = model.between + model.within
    one = np.block([[total, model.between], [model.between, total]])
    pairs = np.concatenate([vectors[first], vectors[second]], axis=1)
    together = multivariate_normal(np.tile(model.mean, 2), one).logpdf(pairs)
    alone = multivariate_normal(model.mean, total)
    apart = alone.logpdf(vectors[first]) + alone.logpdf(vectors[second])
    assert ratios == pytest.approx(together - apart, abs=1e-9)


def test_the_parameters_of_one_dimension_are_what_one_reckons_by_hand():
    vectors = np.array([[0.0], [2], [6], [8], [4]])

    model = fit_two_covariance(scatter_of(vectors, np.array([0, 0, 1, 1, 2])))

    # Within: (1 + 1 + 1 + 1) / 2. Between: the mean square is (2 9 + 2 9 + 0) / 2, and
    # a speaker counts for (5 - (4 + 4 + 1) / 5) / 2 = 1.6 utterances.
    assert model.mean == pytest.approx([4])
    assert model.within == pytest.approx(np.array([[2]]))
    assert model.between == pytest.approx(np.array([[(18 - 2) / 1.6]]))


def test_where_speakers_do_not_differ_their_variance_is_not_below_zero():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(4), np.diag([50.0, 0, 0, 0]), np.eye(4))

    model = fit_two_covariance(scatter_of(*draw(true, [2] * 2000, generator)))

    assert np.linalg.eigvalsh(model.between).min() >= 0


def test_the_parameters_are_found_again_from_what_they_made():
    generator = np.random.default_rng(0)
    true = TwoCovariance(
        generator.normal(size=4), covariance(4, generator), covariance(4, generator)
    )
    # From 1 to 12 utterances: the moments must be weighted by them.
    vectors, labels = draw(true, generator.integers(1, 13, 20_000), generator)

    model = fit_two_covariance(scatter_of(vectors, labels))

    assert model.mean == pytest.approx(true.mean, abs=0.05)
    assert model.within == pytest.approx(true.within, abs=0.02 * true.within.max())
    assert model.between == pytest.approx(true.between, abs=0.05 * true.between.max())


def test_learnt_parameters_err_hardly_more_than_the_true_ones():
    generator = np.random.default_rng(0)
    true = TwoCovariance(
        generator.normal(size=12),
        covariance(12, generator),
        np.diag(generator.lognormal(1.5, 1, 12)),
    )
    model = fit_two_covariance(
        scatter_of(*draw(true, generator.integers(2, 10, 400), generator))
    )
    vectors, labels = draw(true, [10] * 300, generator)
    first, second = pairs_of(labels, generator)

    optimum, found = (
        error_rate(
            parameters.log_likelihood_ratios(vectors, first, second),
            *(first, second, labels),
        )
        for parameters in (true, model)
    )

    assert 0.05 < optimum < 0.3
    assert optimum - 0.005 < found < optimum + 0.015


def test_with_two_utterances_of_each_speaker_the_ratios_are_calibrated():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(3), 2 * np.eye(3), np.eye(3))
    model = fit_two_covariance(scatter_of(*draw(true, [2] * 3000, generator)))
    vectors, _ = draw(true, [2] * 3000, generator)
    rows = np.arange(0, 6000, 2)

    same = model.log_likelihood_ratios(vectors, rows, rows + 1)
    other = model.log_likelihood_ratios(vectors, rows, np.roll(rows, -1) + 1)

    # The mean likelihood ratio of non-targets, and of targets turned over, is 1.
    assert np.exp(other).mean() == pytest.approx(1, abs=0.25)
    assert np.exp(-same).mean() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("speakers", "each"), [(300, 10), (8, 3)])
def test_the_covariance_within_speakers_is_shrunk_as_ledoit_and_wolf_do(speakers, each):
    generator = np.random.default_rng(0)
    true = TwoCovariance(
        np.zeros(12), covariance(12, generator), covariance(12, generator)
    )
    vectors, labels = draw(true, [each] * speakers, generator)
    means = np.stack([vectors[labels == i].mean(axis=0) for i in range(speakers)])

    scatter = scatter_of(vectors, labels)

    theirs, share = ledoit_wolf(vectors - means[labels], assume_centered=True)
    assert 0 < share < 1
    assert scatter.within * (each - 1) / each == pytest.approx(theirs)
    assert scatter.deviations == pytest.approx(means - means.mean(axis=0))


def test_the_directions_are_those_of_linear_discriminant_analysis():
    generator = np.random.default_rng(0)
    true = TwoCovariance(
        np.zeros(6), np.diag([9.0, 4, 1, 0, 0, 0]), covariance(6, generator)
    )
    vectors, labels = draw(true, generator.integers(50, 150, 40), generator)

    scatter = scatter_of(vectors, labels)
    basis = discriminants(scatter, 2)

    theirs = LinearDiscriminantAnalysis(solver="eigen", n_components=2)
    theirs.fit(vectors, labels)
    cosines = np.sum(basis * theirs.scalings_[:, :2], axis=0) / (
        np.linalg.norm(basis, axis=0) * np.linalg.norm(theirs.scalings_[:, :2], axis=0)
    )
    assert np.abs(cosines) == pytest.approx([1, 1], abs=1e-3)
    assert basis.T @ scatter.within @ basis == pytest.approx(np.eye(2), abs=1e-9)


def trained(vectors, labels, num_heads=1, **options):
    cohort = Cohort(vectors.astype(np.float32), [f"s{i}" for i in labels])
    return SCORINGS["plda"](**options).fit(cohort, num_heads)


def sides_of(vectors, first, second, num_heads=1):
    names = [f"u{i}" for i in range(len(vectors))]
    return Sides(vectors.astype(np.float32), names, first, second, num_heads)


def plain(vectors, labels, first, second, size):
    """Score trial by trial with one dense formula for each step."""

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def within(rows):
        rest = rows - np.stack([rows[labels == i].mean(axis=0) for i in labels])
        shrunk, _ = ledoit_wolf(rest, assume_centered=True)
        return shrunk * len(rows) / (len(rows) - labels.max() - 1)

    mean = unit(vectors).mean(axis=0)
    centred = unit(vectors) - mean
    root = np.linalg.inv(np.linalg.cholesky(within(centred)))
    white = centred @ root.T
    means = np.stack([white[labels == i].mean(axis=0) for i in labels])
    _, turn = np.linalg.eigh(means.T @ means)
    placed = unit(white @ turn[:, ::-1][:, :size])
    of_speakers = np.stack(
        [placed[labels == i].mean(axis=0) for i in np.unique(labels)]
    )
    each = len(labels) / len(of_speakers)
    square = each * np.cov(of_speakers.T)
    values, basis = np.linalg.eigh((square - within(placed)) / each)
    between = (basis * np.maximum(values, 0)) @ basis.T
    _, share = ledoit_wolf(of_speakers - of_speakers.mean(axis=0), assume_centered=True)
    between = (1 - share) * between + share * np.trace(between) / size * np.eye(size)
    total = between + within(placed)
    pair = np.block([[total, between], [between, total]])
    middle = placed.mean(axis=0)
    alone = multivariate_normal(middle, total).logpdf
    together = multivariate_normal(np.tile(middle, 2), pair).logpdf
    return [
        together([*placed[a], *placed[b]]) - alone(placed[a]) - alone(placed[b])
        for a, b in zip(first, second, strict=True)
    ]


@pytest.mark.parametrize("size", [None, 3])
def test_it_is_what_dense_formulas_step_by_step_give(size):
    generator = np.random.default_rng(0)
    true = TwoCovariance(3 * np.ones(6), np.eye(6), covariance(6, generator))
    vectors, labels = draw(true, [5] * 40, generator)
    vectors = vectors.astype(np.float32)
    first, second = generator.integers(0, 200, size=(2, 50))

    scores = trained(vectors, labels, lda_size=size)(sides_of(vectors, first, second))

    expected = plain(vectors.astype(float), labels, first, second, size or 6)
    assert scores.values == pytest.approx(expected, abs=1e-4)


def rates(true, counts, generator, **options):
    """Give the EER of plda, of cosine, and of the true parameters."""
    score = trained(*draw(true, counts, generator), **options)
    vectors, labels = draw(true, [10] * 200, generator)
    first, second = pairs_of(labels, generator)
    sides = sides_of(vectors, first, second)
    return [
        error_rate(scores, first, second, labels)
        for scores in (
            score(sides).values,
            SCORINGS["cosine"]().fit(None, 1)(sides).values,
            true.log_likelihood_ratios(vectors, first, second),
        )
    ]


def test_where_utterances_vary_in_some_directions_it_beats_the_cosine():
    generator = np.random.default_rng(0)
    loud = np.where(np.arange(24) < 6, 40.0, 1.0)
    true = TwoCovariance(np.zeros(24), 0.7 * np.eye(24), np.diag(loud))

    plda, cosine, optimum = rates(true, [8] * 200, generator)

    assert cosine > 2 * plda
    assert plda < optimum + 0.03


def test_with_fewer_speakers_than_dimensions_it_is_no_worse_than_the_cosine():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(64), np.eye(64), 2 * np.eye(64))

    plda, cosine, _ = rates(true, [4] * 30, generator)

    assert plda < cosine + 0.02


def test_speakers_of_one_utterance_help_when_others_have_more():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(16), np.eye(16), np.diag(np.geomspace(0.3, 10, 16)))
    counts = [1] * 50 + [4] * 50

    plda, cosine, _ = rates(true, counts, generator)

    assert plda < cosine


def test_fewer_directions_are_those_that_tell_speakers_apart():
    generator = np.random.default_rng(0)
    true = TwoCovariance(
        np.zeros(20),
        np.diag(np.where(np.arange(20) < 5, 1.0, 0.0)),
        np.diag(np.where(np.arange(20) < 5, 0.3, 2.0)),
    )

    few, cosine, optimum = rates(true, [10] * 100, generator, lda_size=5)

    assert few < optimum + 0.05 < cosine


def test_what_linear_map_the_embeddings_went_through_hardly_matters():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(8), np.eye(8), 0.5 * np.eye(8))
    turn = np.linalg.qr(generator.normal(size=(8, 8)))[0]
    vectors, labels = draw(true, [10] * 100, generator)
    pairs = generator.integers(0, 1000, size=(2, 50))

    scores = trained(vectors, labels)(sides_of(vectors, *pairs)).values
    turned = trained(vectors @ turn, labels)(sides_of(vectors @ turn, *pairs)).values

    assert turned == pytest.approx(scores, abs=1e-3)


def test_values_that_are_the_same_in_all_embeddings_do_no_harm():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(8), np.eye(8), 0.5 * np.eye(8))
    vectors, labels = draw(true, [10] * 100, generator)
    pairs = generator.integers(0, 1000, size=(2, 50))
    # Three dead values and three that only repeat others.
    wider = np.concatenate([vectors, np.zeros((1000, 3)), vectors[:, :3]], axis=1)

    for size in (None, 4):
        scores = trained(wider, labels, lda_size=size)(sides_of(wider, *pairs)).values
        plain = trained(vectors, labels, lda_size=size)(sides_of(vectors, *pairs))
        assert np.corrcoef(scores, plain.values)[0, 1] > 0.95


def test_each_head_counts_alike_whatever_its_length():
    generator = np.random.default_rng(0)
    true = TwoCovariance(np.zeros(8), np.eye(8), 0.5 * np.eye(8))
    vectors, labels = draw(true, [10] * 100, generator)
    pairs = generator.integers(0, 1000, size=(2, 50))
    louder = vectors * np.repeat([100, 0.01], 4)

    scores, of_louder = (
        trained(v, labels, 2)(sides_of(v, *pairs, 2)).values for v in (vectors, louder)
    )

    assert of_louder == pytest.approx(scores, rel=1e-3, abs=1e-3)


def test_what_cannot_be_learnt_from_is_an_error():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(12, 4))

    with pytest.raises(ValueError, match="no training speaker has two utterances"):
        trained(vectors, range(12))
    with pytest.raises(ValueError, match="no training speaker has two utterances"):
        trained(np.repeat(vectors[:4], 3, axis=0), np.repeat(range(4), 3))
    with pytest.raises(ValueError, match="lda_size: is 4, must be at most 3"):
        trained(vectors, np.repeat(range(4), 3), lda_size=4)
    with pytest.raises(ValueError, match="lda_size: is 5, must be at most 4"):
        trained(vectors, np.repeat(range(6), 2), lda_size=5)
    mirrored = np.concatenate([vectors, -vectors])
    with pytest.raises(ValueError, match="speakers differ no more than utterances"):
        trained(mirrored, np.tile(range(12), 2))
    score = trained(vectors, np.repeat(range(4), 3))
    silent = vectors * (np.arange(12) != 3)[:, None]
    with pytest.raises(ValueError, match="the embedding of u3 is all zero"):
        score(sides_of(silent, np.array([0]), np.array([1])))
