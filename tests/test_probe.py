"""What each layer alone tells of the speakers."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import cache_of, split_of

from unipool.cache import Content, PartWriter, fingerprint, write_receipt
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
        "device": "cpu",
        "num_threads": 1,
    }
    probe(**(settings | changes))
    return pd.read_csv(out)


def statistics_of(folder, split):
    """Give mean and deviation of each utterance's frames, (N, L, 2 D), in float64."""
    cache, _ = split_of(folder, split).open(Memory(0, 0), CPU)
    states = [cache.read(i).double().numpy() for i in range(len(cache.utterances))]
    both = [[one.mean(axis=1), one.std(axis=1, ddof=1)] for one in states]
    return cache.utterances, np.stack([np.concatenate(s, axis=1) for s in both])


def rates_by_hand(folder, listed):
    _, valid = statistics_of(folder, "valid")
    utterances, test = statistics_of(folder, "test")
    standardised = (test - valid.mean(axis=0)) / valid.std(axis=0)
    of_name = dict(zip(utterances, standardised, strict=True))
    for name, members in listed.enrolments.groupby("enrolment")["utterance"]:
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

    assert list(found) == ["layer", "eer", "eer_low", "eer_high"]
    assert found["layer"].tolist() == [0, 1, 2]
    expected = rates_by_hand(cached, read_trial_list(cached / "test.csv"))
    assert found["eer"].tolist() == pytest.approx(expected)
    assert [p.name for p in (tmp_path / "with space").iterdir()] == ["ü.csv"]


def test_a_model_is_the_mean_of_its_utterances(cached, tmp_path):
    rows = pd.read_csv(cached / "utterances.csv").query("split == 'test'")
    by_speaker = rows.groupby("speaker")["utterance"].apply(list)
    first, second = by_speaker
    enrolments = pd.DataFrame(
        {
            "enrolment": ["one", "one", "two", "two"],
            "utterance": [*first[:2], *second[:2]],
        }
    )
    trials = pd.DataFrame(
        [
            (model, test, int(test in of_model))
            for model, of_model in (("one", first), ("two", second))
            for test in [*first[2:], *second[2:]]
        ],
        columns=["enrolment", "test", "target"],
    )
    write_trials(trials, tmp_path / "t.csv", enrolments)

    found = run_probe(cached, tmp_path / "p.csv", trials=tmp_path / "t.csv")

    expected = rates_by_hand(cached, read_trial_list(tmp_path / "t.csv"))
    assert found["eer"].tolist() == pytest.approx(expected)


def test_layers_that_are_read_in_turn_give_the_same(cached, tmp_path, monkeypatch):
    at_once = run_probe(cached, tmp_path / "a.csv")
    monkeypatch.setattr("unipool.probe.MOST_BYTES", 1)

    in_turn = run_probe(cached, tmp_path / "b.csv")

    pd.testing.assert_frame_equal(in_turn, at_once)


@pytest.mark.parametrize(
    ("most", "groups"),
    [(99, [[0, 3, 5, 7]]), (25, [[0, 3], [5, 7]]), (1, [[0], [3], [5], [7]])],
)
def test_as_many_layers_are_held_as_fit_one_at_least(most, groups):
    assert layer_groups([0, 3, 5, 7], bytes_of_layer=10, most_bytes=most) == groups


def write_split(folder, split, *, speakers):
    """Write states of which layer 3 has the speaker in its mean, 5 in its deviation."""
    generator = np.random.default_rng(len(split))
    names, states = [], []
    for speaker in range(speakers):
        mean, scale = generator.normal(size=SIZE), generator.uniform(0.3, 3, size=SIZE)
        for utterance in range(4):
            noise = generator.normal(size=(3, 40 + 5 * utterance, SIZE))
            noise[1] += 3 * mean
            noise[2] *= scale
            noise[:, :, 0] = 2.5
            names.append(f"{split}-{speaker}-{utterance}")
            states.append(torch.from_numpy(noise).half())
    lengths = np.array([one.shape[1] for one in states])
    rows = pd.DataFrame({"utterance": names, "seconds": 0.02 * lengths})
    part = folder / split / "full" / "part-000-of-001"
    part.parent.mkdir(parents=True)
    content = Content(
        utterances=names,
        num_frames=lengths,
        layers=LAYERS,
        hidden_size=SIZE,
        frame_shift=0.02,
        dtype="float16",
        fingerprint=fingerprint(backbone_sha256="x", view={}, rows=rows),
    )
    with PartWriter(part.with_suffix(".zarr"), content) as writer:
        for one in states:
            writer.append(one)
        writer.finish(device="cpu")
    write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))
    speaker = rows["utterance"].str.rsplit("-", n=1).str[0]
    return rows.assign(speaker=speaker, split=split, path="none.wav")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give the splits of a corpus whose layers are made by hand, and its trials."""
    folder = tmp_path_factory.mktemp("made")
    rows = pd.concat([write_split(folder, s, speakers=8) for s in ("valid", "test")])
    rows.to_csv(folder / "utterances.csv", index=False)
    (folder / "backbone.json").write_text(json.dumps({"sha256": "x"}), "utf-8")
    test = rows[rows["split"] == "test"]
    pairs = test.merge(test, how="cross").query("utterance_x < utterance_y")
    trials = pd.DataFrame(
        {
            "enrolment": pairs["utterance_x"],
            "test": pairs["utterance_y"],
            "target": (pairs["speaker_x"] == pairs["speaker_y"]).astype(int),
        }
    )
    write_trials(trials, folder / "trials.csv")
    splits = {
        f"{split}_split": SplitCache(
            manifest=folder / "utterances.csv",
            split=split,
            backbone=folder,
            folder=folder / split,
            num_parts=1,
            views={"full": {}},
            layers=None,
        )
        for split in ("valid", "test")
    }
    return splits | {"trials": folder / "trials.csv"}


def test_the_layers_that_know_the_speaker_are_found(made, tmp_path):
    found = run_probe(tmp_path, tmp_path / "p.csv", **made).set_index("layer")

    assert found.index.tolist() == LAYERS
    assert found["eer"][0] > 0.4
    assert found["eer"][3] < 0.05
    assert found["eer"][5] < 0.05
    assert (found["eer_low"] <= found["eer"]).all()
    assert (found["eer"] <= found["eer_high"]).all()
    assert found["eer_low"][0] > found["eer_high"][3]


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
