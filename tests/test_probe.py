"""What each layer alone tells of the speakers."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import cache_of, split_of

from unipool.cache import Content, PartWriter, fingerprint, write_receipt
from unipool.manifest import write_manifest
from unipool.metrics import SortedTrials, eer
from unipool.probe import probe
from unipool.probing import LEAST_DEVIATION, fit_standard, layer_groups
from unipool.splits import Memory, SplitCache
from unipool.trials import read_trial_list, write_trials

CPU = torch.device("cpu")
LAYERS = [0, 3, 5]
SIZE = 32


def run_probe(folder, out, **changes):
    settings = {
        "valid_split": split_of(folder, "valid"),
        "test_split": split_of(folder, "test"),
        "trials": folder / "test.csv",
        "out": out,
        "described": out.with_suffix(".json"),
        "definition": {"backbone": "tiny"},
        "device": "cpu",
        "num_threads": 1,
    }
    probe(**(settings | changes))
    return pd.read_csv(out)


def statistics_of(split):
    """Give mean and deviation of each utterance's frames, (N, L, 2 D), in float64."""
    cache, _ = split.open(Memory(0, 0), CPU)
    states = [cache.read(i).double().numpy() for i in range(len(cache.utterances))]
    both = [[one.mean(axis=1), one.std(axis=1, ddof=1)] for one in states]
    return cache.utterances, np.stack([np.concatenate(s, axis=1) for s in both])


def rates_by_hand(valid_split, test_split, trials):
    listed = read_trial_list(trials)
    _, valid = statistics_of(valid_split)
    utterances, test = statistics_of(test_split)
    deviation = valid.std(axis=0)
    deviation[deviation < 1e-9] = np.inf
    standardised = (test - valid.mean(axis=0)) / deviation
    of_name = dict(zip(utterances, standardised, strict=True))
    for name, members in listed.enrolments.groupby("enrolment")["utterance"]:
        if set(members) <= set(utterances):
            of_name[name] = np.mean([of_name[member] for member in members], axis=0)
    first, second = (
        np.stack([of_name[name] for name in listed.trials[side]])
        for side in ("enrolment", "test")
    )
    norms = np.linalg.norm(first, axis=2) * np.linalg.norm(second, axis=2)
    scores = (first * second).sum(axis=2) / norms
    targets = listed.trials["target"].to_numpy(bool)
    return [eer(SortedTrials(one, targets).error_rates()) for one in scores.T]


def test_a_layer_is_the_cosine_of_statistics_that_validation_standardises(
    cached, tmp_path
):
    found = run_probe(cached, tmp_path / "with space" / "ü.csv")
    facts = json.loads((tmp_path / "with space" / "ü.json").read_text("utf-8"))
    assert facts["definition"] == {"backbone": "tiny"}

    assert list(found) == ["layer", "eer", "eer_low", "eer_high"]
    assert found["layer"].tolist() == [0, 1, 2]
    splits = [split_of(cached, split) for split in ("valid", "test")]
    expected = rates_by_hand(*splits, cached / "test.csv")
    assert found["eer"].tolist() == pytest.approx(expected)
    there = sorted(p.name for p in (tmp_path / "with space").iterdir())
    assert there == ["ü.csv", "ü.json"]


@pytest.mark.parametrize(
    ("most", "groups"),
    [(99, [[0, 3, 5, 7]]), (25, [[0, 3], [5, 7]]), (1, [[0], [3], [5], [7]])],
)
def test_as_many_layers_are_held_as_fit_one_at_least(most, groups):
    assert layer_groups([0, 3, 5, 7], bytes_of_layer=10, most_bytes=most) == groups


def states_of(split, *, knows):
    """Make states of 8 speakers; noise but for what ``knows`` says.

    Args:
        split: to name the utterances by.
        knows: channels; of them layer 3 has the speaker in the mean of the frames, and
            layer 5 in their deviation. All other channels are noise, but the first,
            which is constant unless it is among these.
    """
    generator = np.random.default_rng(len(split))
    states = {}
    for speaker in range(8):
        mean, scale = generator.normal(size=SIZE), generator.uniform(0.3, 3, size=SIZE)
        for utterance in range(4):
            noise = generator.normal(size=(3, 40 + 5 * utterance, SIZE))
            noise[1][:, knows] += 3 * mean[knows]
            noise[2][:, knows] *= scale[knows]
            if 0 not in knows:
                noise[:, :, 0] = 2.5
            states[f"{split}-{speaker}-{utterance}"] = torch.from_numpy(noise).half()
    return states


def write_corpus_of(folder, split, *, backbone, knows):
    """Write a corpus of one split, whose states are made by hand, and all its trials.

    Returns:
        The split, and the path of the trials.
    """
    states = states_of(split, knows=knows)
    lengths = np.array([one.shape[1] for one in states.values()])
    rows = pd.DataFrame({"utterance": list(states), "seconds": 0.02 * lengths})
    part = folder / split / "full" / "part-000-of-001"
    part.parent.mkdir(parents=True)
    content = Content(
        utterances=list(states),
        num_frames=lengths,
        layers=LAYERS,
        hidden_size=SIZE,
        frame_shift=0.02,
        dtype="float16",
        fingerprint=fingerprint(backbone_sha256="x", view={}, rows=rows),
    )
    with PartWriter(part.with_suffix(".zarr"), content) as writer:
        for one in states.values():
            writer.append(one)
        writer.finish(device="cpu")
    write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))
    rows["speaker"] = rows["utterance"].str.rsplit("-", n=1).str[0]
    rows = rows.assign(split=split, path="none.wav")
    write_manifest(rows, folder / f"{split}.csv")
    pairs = rows.merge(rows, how="cross").query("utterance_x < utterance_y")
    trials = pd.DataFrame(
        {
            "enrolment": pairs["utterance_x"],
            "test": pairs["utterance_y"],
            "target": (pairs["speaker_x"] == pairs["speaker_y"]).astype(int),
        }
    )
    write_trials(trials, folder / f"trials-{split}.csv")
    cached = SplitCache(
        manifest=folder / f"{split}.csv",
        split=split,
        backbone=backbone,
        folder=folder / split,
        num_parts=1,
        views={"full": {}},
        layers=None,
    )
    return cached, folder / f"trials-{split}.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give two splits whose states are made by hand, and the trials of the second."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "backbone.json").write_text(json.dumps({"sha256": "x"}), "utf-8")
    of_both = {"backbone": folder, "knows": np.arange(1, SIZE)}
    valid_split, _ = write_corpus_of(folder, "valid", **of_both)
    test_split, trials = write_corpus_of(folder, "test", **of_both)
    return {"valid_split": valid_split, "test_split": test_split, "trials": trials}


def test_the_layers_that_know_the_speaker_are_found(made, tmp_path):
    found = run_probe(tmp_path, tmp_path / "p.csv", **made).set_index("layer")

    assert found.index.tolist() == LAYERS
    assert found["eer"][0] > 0.4
    assert found["eer"][3] < 0.05
    assert found["eer"][5] < 0.05
    assert (found["eer_low"] <= found["eer"]).all()
    assert (found["eer"] <= found["eer_high"]).all()
    assert found["eer_low"][0] > found["eer_high"][3]


def test_each_rate_is_that_of_many_trials_worked_out_by_hand(made, tmp_path):
    found = run_probe(tmp_path, tmp_path / "p.csv", **made)

    assert found["eer"].tolist() == pytest.approx(rates_by_hand(**made))


def test_test_utterances_do_not_standardise(made, tmp_path):
    # Of validation the first number is constant; here it alone knows the speaker.
    test_split, trials = write_corpus_of(
        tmp_path, "test", backbone=made["test_split"].backbone, knows=[0]
    )

    found = run_probe(
        tmp_path,
        tmp_path / "p.csv",
        **(made | {"test_split": test_split, "trials": trials}),
    )

    assert (found["eer"] > 0.3).all()


def test_a_model_is_the_mean_of_its_utterances(made, tmp_path):
    models = [f"test-{speaker}" for speaker in range(8)]
    enrolments = pd.DataFrame(
        [(model, f"{model}-{i}") for model in models for i in (0, 1)]
        + [("of no trial", "of no cache")],
        columns=["enrolment", "utterance"],
    )
    trials = pd.DataFrame(
        [
            (model, f"{other}-{i}", int(model == other))
            for model in models
            for other in models
            for i in (2, 3)
        ],
        columns=["enrolment", "test", "target"],
    )
    write_trials(trials, tmp_path / "t.csv", enrolments)
    changed = made | {"trials": tmp_path / "t.csv"}

    found = run_probe(tmp_path, tmp_path / "p.csv", **changed)

    assert found["eer"].tolist() == pytest.approx(rates_by_hand(**changed))


def test_layers_that_are_read_in_turn_give_the_same(made, tmp_path, monkeypatch):
    at_once = run_probe(tmp_path, tmp_path / "a.csv", **made)
    monkeypatch.setattr("unipool.probe.MOST_BYTES", 1)

    in_turn = run_probe(tmp_path, tmp_path / "b.csv", **made)

    pd.testing.assert_frame_equal(in_turn, at_once)


def test_only_the_layers_asked_for_are_probed(made, tmp_path):
    whole = run_probe(tmp_path, tmp_path / "p.csv", **made)
    test_split = made["test_split"]._replace(layers=[3])

    one = run_probe(tmp_path, tmp_path / "q.csv", **(made | {"test_split": test_split}))

    expected = whole[whole["layer"] == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, expected)


def test_a_number_that_never_changes_counts_nothing(made):
    cache, _ = made["valid_split"].open(Memory(0, 0), CPU)

    standard = fit_standard(cache, device=CPU)

    assert standard.mean[:, 0].tolist() == pytest.approx([2.5] * 3)
    assert (standard.scale[:, [0, SIZE]] == 0).all()
    assert (standard.scale[:, 1:SIZE] > 0).all()
    assert (standard.scale[:, SIZE + 1 :] > 0).all()
    assert (1 / standard.scale[:, 1:SIZE] > LEAST_DEVIATION).all()


def test_a_trial_of_an_utterance_that_is_not_cached_is_told_before_all_is_read(
    cached, tmp_path
):
    with pytest.raises(ValueError, match=r"valid\.csv: 8 of 8 utterances are not in"):
        run_probe(cached, tmp_path / "p.csv", trials=cached / "valid.csv")

    assert not list(tmp_path.iterdir())


def test_two_backbones_are_refused(made, cached, tmp_path):
    with pytest.raises(ValueError, match="probe with one backbone"):
        run_probe(
            cached,
            tmp_path / "p.csv",
            valid_split=made["valid_split"],
        )


def test_one_validation_utterance_cannot_standardise():
    with pytest.raises(ValueError, match="1 validation utterance"):
        fit_standard(cache_of([5]), device=CPU)
