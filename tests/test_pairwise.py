"""Backends that compare utterances two by two: what they train on, how they score."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import BACKBONE, SHORT_SIGHTED, TINY, cache_of, split_of, train_run
from test_finetuned import FORMS, States, plain, samples_of
from test_train import train_and_kill

from unipool.backends.finetuned import FinetunePairs
from unipool.batches import CropBatch, pad
from unipool.cell import CellFiles, read_cell, read_scores
from unipool.checkpoint import read_checkpoint, read_loss
from unipool.distributed import World
from unipool.embed import embed
from unipool.fetch import fetch_backbone
from unipool.metrics import SortedTrials, eer
from unipool.pairwise import PairSampler, compare_trials
from unipool.score_pairs import score_pairs
from unipool.splits import Memory
from unipool.trainee import Trainee
from unipool.training import Training
from unipool.trials import TrialList, no_models, read_trial_list

CPU = torch.device("cpu")
PAIRS = {
    "kind": "finetune-pairs",
    "loss": "binary-cross-entropy",
    "loss_options": {},
}
FILES = ("scores.csv", "metrics.json", "metrics.draws.csv")


class Difference(torch.nn.Module):
    """Says how much larger the mean of the first utterance of each pair is."""

    def forward(self, hidden_states, mask):
        real = mask[:, None, :, None]
        size = hidden_states.shape[1] * hidden_states.shape[3]
        sums = hidden_states.masked_fill(~real, 0).sum(dim=(1, 2, 3))
        means = sums / (mask.sum(dim=1) * size)
        return (means[0::2] - means[1::2])[:, None]


def sampler_of(labels, recordings=None, **changes):
    lengths = [6 + place % 3 for place in range(len(labels))]
    options = {"batch_size": 4, "crop_frames": 3, "seed": 0} | changes
    if recordings is None:
        recordings = range(len(labels))
    return PairSampler(
        cache_of(lengths), np.array(labels), np.array(recordings), **options
    )


def pairs_of(sampler, steps):
    """Draw the rows of the pairs of so many steps, one below the other."""
    return np.concatenate(
        [sampler.places(step)[0].reshape(-1, 2) for step in range(steps)]
    )


def test_every_other_pair_is_of_one_speaker_and_none_of_one_utterance():
    labels = np.array([2, 0, 1, 0, 2, 1, 0, 2])

    pairs = pairs_of(sampler_of(labels), 200)

    alike = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    assert alike[0::2].all()
    assert not alike[1::2].any()
    assert (pairs[:, 0] != pairs[:, 1]).all()


def test_half_of_the_pairs_are_where_a_batch_has_an_odd_number():
    labels = np.array([0, 0, 1, 1, 2, 2])

    alike = [
        (labels[pairs[:, 0]] == labels[pairs[:, 1]]).mean()
        for pairs in (pairs_of(sampler_of(labels, batch_size=n), 40) for n in (2, 6))
    ]

    assert alike == [0.5, 0.5]


def test_every_utterance_is_the_first_once_an_epoch():
    pairs = pairs_of(sampler_of([0, 0, 1, 1, 2, 2]), 6)

    # Two pairs a step, so three steps an epoch.
    assert sorted(pairs[:6, 0]) == sorted(pairs[6:, 0]) == list(range(6))
    assert pairs[:6, 0].tolist() != pairs[6:, 0].tolist()


def test_all_that_may_be_the_second_is_as_often():
    labels = np.array([1, 0, 0, 1, 0, 2, 2])

    pairs = pairs_of(sampler_of(labels), 7000)

    of_first = pairs[pairs[:, 0] == 2, 1]
    counts = np.bincount(of_first, minlength=7)
    alike, other = counts[[1, 4]], counts[[0, 3, 5, 6]]
    assert counts[2] == 0
    assert np.allclose(alike / alike.sum(), 1 / 2, atol=0.05)
    assert np.allclose(other / other.sum(), 1 / 4, atol=0.05)


def test_crops_and_copies_of_one_recording_make_no_pair():
    # Of the second speaker a recording twice, and another; of the third one as a copy
    # at another speed, which is another speaker.
    labels = np.array([1, 0, 1, 2, 1, 0, 2])
    recordings = np.array([5, 0, 3, 1, 5, 7, 0])

    pairs = pairs_of(sampler_of(labels, recordings), 3000)

    seconds = {
        row: set(pairs[0::2][pairs[0::2, 0] == row, 1].tolist()) for row in range(7)
    }
    assert seconds == {0: {2}, 4: {2}, 2: {0, 4}, 1: {5}, 5: {1}, 3: {6}, 6: {3}}
    of_others = pairs[1::2][pairs[1::2, 0] == 4, 1]
    counts = np.bincount(of_others, minlength=7)
    assert set(np.flatnonzero(counts)) == {1, 3, 5, 6}
    assert np.allclose(counts[[1, 3, 5, 6]] / counts.sum(), 1 / 4, atol=0.06)


def test_a_speaker_of_one_recording_is_compared_with_others():
    labels = np.array([0, 0, 1, 1])

    pairs = pairs_of(sampler_of(labels, [0, 0, 1, 2]), 60)

    seconds = {row: set(pairs[0::2][pairs[0::2, 0] == row, 1]) for row in range(4)}
    assert seconds == {0: {2, 3}, 1: {2, 3}, 2: {3}, 3: {2}}


def test_a_speaker_of_one_utterance_is_compared_with_others():
    labels = np.array([0, 1, 1])

    pairs = pairs_of(sampler_of(labels), 60)

    of_first = pairs[pairs[:, 0] == 0]
    assert len(of_first)
    assert set(of_first[:, 1]) == {1, 2}


def test_pairs_follow_from_the_seed_and_the_step():
    labels = [0, 0, 1, 1, 2, 2]
    one, same = (sampler_of(labels) for _ in range(2))
    other = sampler_of(labels, seed=1)

    drawn = [
        sampler.batch(5).hidden_states.values.tolist() for sampler in (one, same, other)
    ]

    assert drawn[0] == drawn[1] != drawn[2]


def test_processes_share_whole_pairs():
    labels = [0, 0, 1, 1, 2, 2]
    alone = sampler_of(labels, batch_size=8)
    shares = [
        sampler_of(labels, batch_size=8, world=World(rank, 2)) for rank in range(2)
    ]

    parts = [sampler.batch(3).labels.tolist() for sampler in shares]

    assert parts[0] + parts[1] == alone.batch(3).labels.tolist()
    assert list(map(len, parts)) == [4, 4]


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        (
            [0, 0, 1],
            {"recordings": [4, 4, 2]},
            "no training speaker has two recordings",
        ),
        ([0, 0, 1], {"batch_size": 3}, "batch_size is 3, .* a multiple of 2"),
        ([0, 0, 1], {"batch_size": 6, "world": World(0, 2)}, "a multiple of 4"),
        ([0, 1, 2], {}, "no training speaker has two recordings"),
    ],
)
def test_what_makes_no_pairs_says_why(labels, changes, message):
    with pytest.raises(ValueError, match=message):
        sampler_of(labels, **changes)


def list_of(trials, models=()):
    rows = [(*trial.split(), 0) for trial in trials]
    of_models = [tuple(model.split()) for model in models]
    return TrialList(
        pd.DataFrame(rows, columns=["enrolment", "test", "target"]),
        pd.DataFrame(of_models, columns=["enrolment", "utterance"])
        if of_models
        else no_models(),
    )


def means_of(cache):
    rows = np.arange(len(cache.utterances))
    means = [
        cache.gather(
            rows[[row]], np.array([0]), cache.num_frames[[row]], num_frames=int(length)
        )
        .to(CPU)
        .mean()
        .item()
        for row, length in zip(rows, cache.num_frames, strict=True)
    ]
    return dict(zip(cache.utterances, means, strict=True))


@pytest.mark.parametrize("max_frames", [1, 12, 1000])
def test_a_trial_is_scored_by_its_two_sides_in_their_order(max_frames):
    cache = cache_of([4, 9, 1, 6])
    mean = means_of(cache)
    listed = list_of(["u0 u1", "u1 u0", "u2 u2", "u3 u2", "u1 u3"])

    scores = compare_trials(
        Difference(), cache, listed, max_frames=max_frames, device=CPU
    )

    expected = [
        mean["u0"] - mean["u1"],
        mean["u1"] - mean["u0"],
        0,
        mean["u3"] - mean["u2"],
        mean["u1"] - mean["u3"],
    ]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_a_batch_is_no_larger_than_asked_for():
    sizes = []

    class Measured(Difference):
        def forward(self, hidden_states, mask):
            sizes.append(tuple(mask.shape))
            return super().forward(hidden_states, mask)

    listed = list_of(["u0 u1", "u0 u2", "u3 u0", "u2 u2", "u3 u2"])
    compare_trials(
        Measured(), cache_of([4, 9, 1, 6]), listed, max_frames=24, device=CPU
    )

    # The longer side counts.
    assert sizes == [(4, 4), (4, 6), (2, 9)]


def test_the_score_of_a_model_is_the_mean_of_its_utterances_scores():
    cache = cache_of([4, 9, 1, 6])
    mean = means_of(cache)
    # A model may have the name of an utterance.
    models = ["m u0", "m u1", "m u2", "u3 u1"]
    listed = list_of(["m u3", "u0 u1", "u3 u0"], models)

    scores = compare_trials(Difference(), cache, listed, max_frames=20, device=CPU)

    of_model = (mean["u0"] + mean["u1"] + mean["u2"]) / 3
    expected = [of_model - mean["u3"], mean["u0"] - mean["u1"], mean["u1"] - mean["u0"]]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_it_is_left_in_the_mode_it_was_in():
    backend = Difference().train()

    compare_trials(
        backend, cache_of([2, 3]), list_of(["u0 u1"]), max_frames=9, device=CPU
    )

    assert backend.training


def test_an_utterance_that_is_not_cached_is_named():
    with pytest.raises(ValueError, match=r"1 of 2 trials .* the first: u0 u7; cache"):
        compare_trials(
            Difference(),
            cache_of([2, 3]),
            list_of(["u0 u1", "u0 u7"]),
            max_frames=9,
            device=CPU,
        )


def test_scores_that_are_not_finite_are_an_error():
    class Astray(torch.nn.Module):
        def forward(self, hidden_states, mask):
            return torch.full((len(mask) // 2, 1), torch.nan)

    with pytest.raises(ValueError, match=r"not finite, .* lower train.learning_rate"):
        compare_trials(
            Astray(), cache_of([2, 3]), list_of(["u0 u1"]), max_frames=9, device=CPU
        )


@pytest.fixture(scope="module", params=["wav2vec2 base", "hubert large", "wavlm base"])
def encoder(request, tmp_path_factory):
    family, form = request.param.split()
    folder = tmp_path_factory.mktemp("encoder")
    config = {"model_type": family, **FORMS[form], **TINY}
    fetch_backbone(folder=folder, config=config, seed=3, **BACKBONE)
    return str(folder)


def test_a_pair_is_one_sequence_that_transformers_would_read(encoder):
    states, mask = samples_of(60, 35)
    backend = FinetunePairs(1, 160, encoder=encoder).eval()

    found = backend(states, mask)

    frames = []
    for one, real in zip(states, mask, strict=True):
        model, values = plain(encoder, one[0, real].flatten().numpy())
        with torch.no_grad():
            of_one = model.feature_extractor(values).transpose(1, 2)
            if hasattr(model.feature_projection, "layer_norm"):
                of_one = model.feature_projection.layer_norm(of_one)
            frames.append(model.feature_projection.projection(of_one))
    ones = torch.ones(1, 1, 16)
    together = torch.cat([ones, frames[0], -ones, frames[1], -ones], dim=1)
    with torch.no_grad():
        output = model.encoder(together).last_hidden_state[:, 0]
    torch.testing.assert_close(found, backend.output(output), rtol=1e-4, atol=1e-5)


def test_a_pair_is_scored_alike_alone_and_among_others(encoder):
    states, mask = samples_of(60, 35, 5, 48, 20, 20)
    backend = FinetunePairs(1, 160, encoder=encoder).eval()

    together = backend(states, mask)
    alone = [
        backend(states[i : i + 2, :, :longest], mask[i : i + 2, :longest])
        for i, longest in ((0, 60), (2, 48), (4, 20))
    ]
    noisy = backend(
        torch.where(mask[:, None, :, None], states, torch.tensor(7.0)), mask
    )

    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together, noisy)
    assert together.shape == (3, 1)


def test_the_order_of_the_two_counts(encoder):
    states, mask = samples_of(40, 40)
    backend = FinetunePairs(1, 160, encoder=encoder).eval()

    assert backend(states, mask) != backend(states.flip(0), mask)


@pytest.mark.parametrize("freeze_cnn", [True, False])
def test_it_learns_which_pairs_are_alike(tmp_path, freeze_cnn):
    config = {"model_type": "wav2vec2", **FORMS["base"], **SHORT_SIGHTED}
    fetch_backbone(folder=tmp_path, config=config, seed=3, **BACKBONE)
    torch.manual_seed(0)
    backend = FinetunePairs(1, 160, encoder=str(tmp_path), freeze_cnn=freeze_cnn)
    cnn = [*backend.encoder.model.feature_extractor.parameters()]
    before = [weight.clone() for weight in cnn]
    training = Training(
        **{"steps": 60, "batch_size": 8, "crop_seconds": 0.1, "learning_rate": 0.01},
        **{"gradient_clip": 5.0, "validate_every": 60, "schedule": "constant"},
        **{"loss": "binary-cross-entropy", "loss_options": {}},
    )
    loss = training.make_loss(1, 4)
    trainee = Trainee(backend, loss, training, seed=0, device=CPU)
    states = samples_of(10, 10, 10, 10, 10, 10, 10, 10)[0]
    batch = CropBatch(States(states), torch.tensor([0, 0, 0, 1, 2, 2, 3, 1]))

    losses = [trainee.update([batch]) for _ in range(60)]

    assert np.mean(losses[:2]) == pytest.approx(np.log(2), abs=0.2)
    assert losses[-1] < 0.1
    kept = [torch.equal(*both) for both in zip(before, cnn, strict=True)]
    assert all(kept) == freeze_cnn


def test_a_run_keeps_the_weights_that_verify_best(cached, tmp_path):
    train_run(cached, tmp_path, **PAIRS)

    _, info = read_checkpoint(tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["valid_eer"].between(0, 1).all()
    assert info["valid_eer"] == history["valid_eer"].min()
    assert info["loss_heads"] == 1
    assert read_loss(tmp_path) == {}


@pytest.mark.parametrize("after", [1, 2])
def test_killed_and_resumed_it_ends_in_the_same_weights(
    cached, tmp_path, monkeypatch, after
):
    train_run(cached, tmp_path / "unbroken", **PAIRS)
    train_and_kill(cached, tmp_path / "broken", monkeypatch, after=after, **PAIRS)

    train_run(cached, tmp_path / "broken", **PAIRS)

    expected, weights = (
        read_checkpoint(tmp_path / name).weights for name in ("unbroken", "broken")
    )
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_it_goes_on_from_another_run(cached, tmp_path):
    train_run(cached, tmp_path / "first", **PAIRS)

    train_run(cached, tmp_path / "second", start=tmp_path / "first", **PAIRS)

    first, second = (
        read_checkpoint(tmp_path / name).info for name in ("first", "second")
    )
    history = pd.read_csv(tmp_path / "second" / "history.csv")
    assert history["valid_eer"][0] == first["valid_eer"]
    assert second["start"]["run"].endswith("first")


def score_of(cached, run, out, **changes):
    files = CellFiles(*(out / name for name in FILES))
    options = {
        "run": run,
        "split": split_of(cached, "test"),
        "trials": cached / "test.csv",
        "valid_split": split_of(cached, "valid"),
        "valid_trials": cached / "valid.csv",
        "p_targets": [0.01],
        "draws": 100,
        "files": files,
        "key": {"scoring": "pairwise", "seed": 0, "trials": "own-test"},
        "definition": {"as": "it is"},
        "device": "cpu",
        "num_threads": 1,
        "embed_batch_seconds": 4,
    }
    score_pairs(**options | changes)
    return files


def test_a_list_is_scored_and_measured(cached, tmp_path):
    train_run(cached, tmp_path, **PAIRS)

    files = score_of(cached, tmp_path, tmp_path / "cell")

    scored, cell = read_scores(files.scores), read_cell(files.metrics)
    listed = read_trial_list(cached / "test.csv").trials
    assert scored[["enrolment", "test"]].equals(listed[["enrolment", "test"]])
    weights, info = read_checkpoint(tmp_path)
    backend = FinetunePairs(3, 16, **info["options"]).eval()
    backend.load_state_dict(weights)
    cache, _ = split_of(cached, "test").open(Memory(1, 0), CPU)
    for trial in scored.iloc[[0, -1]].itertuples():
        alone = [cache.utterances.index(name) for name in (trial.enrolment, trial.test)]
        batch = pad(cache, np.array(alone))
        score = backend(batch.hidden_states.to(CPU), batch.mask)
        assert trial.score == pytest.approx(score.item(), abs=1e-4)
    targets = scored["target"].to_numpy(bool)
    rates = SortedTrials(scored["score"].to_numpy(), targets).error_rates()
    assert cell.metrics["eer"] == pytest.approx(eer(rates))
    assert cell.costs["backend_parameters"] == info["backend_parameters"]
    assert cell.definition == {"as": "it is"}
    assert cell.costs["embed_seconds"] is None
    assert not [name for name in cell.metrics if "published" in name]
    assert cell.costs["score_seconds"] > 0
    assert set(cell.caches) == {
        f"tiny/own/{s}/full" for s in ("train", "valid", "test")
    }
    again = score_of(cached, tmp_path, tmp_path / "again")
    assert again.scores.read_bytes() == files.scores.read_bytes()


def test_the_ratio_is_learnt_from_the_validation_trials_alone(cached, tmp_path):
    train_run(cached, tmp_path, **PAIRS)

    other = tmp_path / "turned.csv"
    text = (cached / "test.csv").read_text("utf-8").splitlines()
    turned = [line[:-1] + "10"[int(line[-1])] for line in text[1:]]
    other.write_text("\n".join([text[0], *turned]) + "\n", "utf-8")
    (tmp_path / "turned.enrolments.csv").write_bytes(
        (cached / "test.enrolments.csv").read_bytes()
    )
    files = score_of(cached, tmp_path, tmp_path / "cell")
    of_turned = score_of(cached, tmp_path, tmp_path / "other", trials=other)

    one, two = read_scores(files.scores), read_scores(of_turned.scores)
    assert (one["target"] == 1 - two["target"]).all()
    assert one[["score", "llr"]].equals(two[["score", "llr"]])


def test_what_has_no_embeddings_says_so(cached, tmp_path):
    train_run(cached, tmp_path, steps=0, **PAIRS)

    with pytest.raises(ValueError, match="compares utterances two by two and has no"):
        embed(
            run=tmp_path,
            split=split_of(cached, "test"),
            embeddings=tmp_path / "test.h5",
            device="cpu",
            num_threads=1,
            embed_batch_seconds=4,
        )
    assert not (tmp_path / "test.h5").exists()


def test_what_has_some_says_so(cached, tmp_path):
    train_run(cached, tmp_path, steps=0)

    with pytest.raises(ValueError, match="'unipool', which has embeddings; score"):
        score_of(cached, tmp_path, tmp_path / "cell")
