"""Scoring a trial list with a run's embeddings, and fusing several systems."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from unipool.cell import CellFiles, read_cell, read_scores
from unipool.embeddings import Embeddings, read_embeddings, write_embeddings
from unipool.fuse import fuse
from unipool.metrics import SortedTrials, eer, eer_threshold
from unipool.score import score
from unipool.scoring import cosine_scores
from unipool.trials import read_trial_list, write_trials

SIZE = 16
SPEAKERS = {"train": range(30), "valid": range(30, 45), "test": range(45, 60)}
KEY = {
    "corpus": "own",
    "view": "full",
    "backbone": "tiny",
    "backend": "unipool",
    "scoring": "cosine",
    "seed": 0,
    "trials": "own-test",
}
PLAIN = {"kind": "cosine", "options": {}, "calibration": "score"}
COSTS = {
    "backend_parameters": 10,
    "train_seconds": 2.0,
    "train_memory_bytes": 1000,
    "embed_seconds": 0.5,
}


def write_split(folder, split, *, noise=0.6, seed=0):
    """Draw six embeddings for each speaker, shorter utterances with more noise."""
    generator = np.random.default_rng([seed, SPEAKERS[split].start])
    speakers = np.repeat([f"spk {s}" for s in SPEAKERS[split]], 6)
    centres = np.repeat(generator.normal(size=(len(SPEAKERS[split]), SIZE)), 6, axis=0)
    seconds = generator.uniform(1, 8, size=len(speakers))
    spread = noise * np.sqrt(8 / seconds)[:, None]
    vectors = centres + spread * generator.normal(size=centres.shape)
    names = [f"{name}/ü {i % 6}" for i, name in enumerate(speakers)]
    write_embeddings(
        folder / f"{split}.h5",
        Embeddings(
            utterances=names,
            speakers=list(speakers),
            seconds=seconds,
            embeddings=vectors.astype(np.float32),
            num_heads=1,
            info={
                "costs": COSTS,
                "caches": {f"c/{split}": {"extract_seconds": 4.0, "bytes": 100}},
                "trained_with": {"git_commit": "abc", "torch": "2.13"},
            },
        ),
    )
    pairs = list(itertools.combinations(range(len(names)), 2))
    rows = pd.DataFrame(
        [
            (names[a], names[b], int(speakers[a] == speakers[b]), str((a + b) % 2))
            for a, b in pairs
        ],
        columns=["enrolment", "test", "target", "same_room"],
    )
    write_trials(rows, folder / f"{split}.csv")


def write_all(folder, **options):
    folder.mkdir(exist_ok=True)
    for split in SPEAKERS:
        write_split(folder, split, **options)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("project"))


def files_of(folder, trials="test"):
    return CellFiles(
        folder / f"scores/{trials}.csv",
        folder / f"metrics/{trials}.json",
        folder / f"metrics/{trials}.draws.csv",
    )


def score_test(project, out, *, scoring=None, **changes):
    settings = {
        "embeddings": project / "test.h5",
        "trials": project / "test.csv",
        "valid_embeddings": project / "valid.h5",
        "valid_trials": project / "valid.csv",
        "cohort": project / "train.h5",
        "scoring": PLAIN | (scoring or {}),
        "p_targets": [0.01, 0.05],
        "published": False,
        "draws": 30,
        "files": files_of(out),
        "key": KEY,
    }
    settings |= changes
    score(**settings)
    files = settings["files"]
    return read_scores(files.scores), read_cell(files.metrics)


def read_all(project, split):
    content = read_embeddings(project / f"{split}.h5")
    listed = read_trial_list(project / f"{split}.csv")
    values = cosine_scores(content.embeddings, content.utterances, listed)
    return values, listed.trials["target"].to_numpy(bool)


def test_the_scores_are_the_cosines_of_the_trials(project, tmp_path):
    scores, cell = score_test(project, tmp_path)

    values, targets = read_all(project, "test")
    assert scores["score"].to_numpy() == pytest.approx(values, abs=1e-12)
    assert cell.metrics["eer"] == eer(SortedTrials(values, targets).error_rates())
    assert cell.metrics["num_trials"] == len(values)
    assert cell.metrics["num_targets"] == targets.sum()
    assert cell.metrics["num_speakers"] == 15
    assert cell.key == KEY
    assert cell.costs == COSTS | {"score_seconds": cell.costs["score_seconds"]}
    # What chose the threshold was read too, and the cohort that was given.
    assert set(cell.caches) == {"c/train", "c/valid", "c/test"}
    assert cell.caches["c/test"] == {"extract_seconds": 4.0, "bytes": 100}
    assert cell.versions["trained_with"]["git_commit"] == "abc"


def test_each_metric_has_its_interval_and_its_draws(project, tmp_path):
    _, cell = score_test(project, tmp_path, p_targets=[0.1])

    names = {"eer", "eer_star", "min_dcf_p1", "act_dcf_p1", "cllr", "min_cllr"}
    assert set(cell.draws) == names
    assert len(cell.draws) == 30
    for name in names:
        low, high = cell.metrics[f"{name}_low"], cell.metrics[f"{name}_high"]
        assert low <= cell.metrics[name] <= high


def test_log_likelihood_ratios_of_the_validation_trials_suit_the_test(
    project, tmp_path
):
    scores, cell = score_test(project, tmp_path)

    order = np.argsort(scores["score"].to_numpy())
    assert (np.diff(scores["llr"].to_numpy()[order]) >= 0).all()
    assert cell.metrics["min_cllr"] < cell.metrics["cllr"]
    assert cell.metrics["cllr"] < 1.2 * cell.metrics["min_cllr"]


def test_what_decides_on_the_test_is_learnt_on_the_validation_alone(project, tmp_path):
    """With other answers, the test's ratios and threshold stay as they are."""
    scores, _ = score_test(project, tmp_path)
    trials = pd.read_csv(project / "test.csv")
    flipped = trials.assign(target=1 - trials["target"])
    write_trials(flipped, tmp_path / "flipped.csv")

    other, cell = score_test(project, tmp_path, trials=tmp_path / "flipped.csv")

    assert other["llr"].tolist() == scores["llr"].tolist()
    values, targets = read_all(project, "valid")
    threshold = eer_threshold(SortedTrials(values, targets).error_rates())
    found = other["score"].to_numpy()
    answers = other["target"].to_numpy(bool)
    errors = (found[answers] < threshold).mean(), (found[~answers] >= threshold).mean()
    assert cell.metrics["eer_star"] == pytest.approx(np.mean(errors))


def test_conditions_of_the_list_have_rows_of_their_own(project, tmp_path):
    scores, cell = score_test(project, tmp_path)

    trials = pd.read_csv(project / "test.csv", dtype=str)
    some = (trials["same_room"] == "1").to_numpy()
    one = next(row for row in cell.conditions if row["value"] == "1")
    assert one["condition"] == "same_room"
    assert one["num_trials"] == some.sum()
    part = SortedTrials(
        scores["score"].to_numpy()[some], scores["target"].to_numpy(bool)[some]
    )
    assert one["eer"] == eer(part.error_rates())


def test_durations_of_the_shorter_side_are_a_condition_of_every_list(project, tmp_path):
    scores, cell = score_test(project, tmp_path)

    content = read_embeddings(project / "test.h5")
    seconds = dict(zip(content.utterances, content.seconds, strict=True))
    shorter = np.minimum(
        scores["enrolment"].map(seconds), scores["test"].map(seconds)
    ).to_numpy()
    bands = [row for row in cell.conditions if row["condition"] == "shorter_seconds"]
    assert len(bands) == 4
    assert sum(row["num_trials"] for row in bands) == len(scores)
    assert bands[0]["num_trials"] == (shorter < np.quantile(shorter, 0.25)).sum()
    # Noise is larger in short utterances.
    assert bands[0]["eer"] > bands[3]["eer"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cosine", {"centre": True}),
        ("as-norm", {"top": 10}),
        ("s-norm", {}),
        ("plda", {}),
    ],
)
def test_other_scorings_use_the_training_speakers(project, tmp_path, kind, options):
    scoring = {"kind": kind, "options": options}
    scores, cell = score_test(project, tmp_path, scoring=scoring)
    plain, _ = score_test(project, tmp_path)

    assert np.isfinite(scores["score"]).all()
    assert not np.allclose(scores["score"], plain["score"])
    assert cell.metrics["eer"] < 0.25


def test_quality_makes_up_for_short_utterances(project, tmp_path):
    plain, before = score_test(project, tmp_path)
    scores, after = score_test(project, tmp_path, scoring={"calibration": "quality"})

    assert (scores["score"] == scores["llr"]).all()
    assert not np.allclose(scores["llr"], plain["llr"])
    assert after.metrics["cllr"] < before.metrics["cllr"]


def test_a_model_is_as_long_as_its_utterances_together(project, tmp_path):
    trials = pd.read_csv(project / "test.csv", dtype=str)
    names = pd.unique(trials["enrolment"])[:3]
    listed = trials[["enrolment", "test", "target"]].copy()
    listed.loc[listed["enrolment"] == names[0], "enrolment"] = "model"
    listed = listed[~listed["test"].isin(names)].drop_duplicates(["enrolment", "test"])
    enrolments = pd.DataFrame({"enrolment": "model", "utterance": names})
    write_trials(listed, tmp_path / "models.csv", enrolments)

    scores, cell = score_test(
        project,
        tmp_path,
        trials=tmp_path / "models.csv",
        scoring={"kind": "as-norm", "options": {"top": 5}, "calibration": "quality"},
    )

    assert np.isfinite(scores["score"]).all()
    assert cell.metrics["num_speakers"] == 15


def test_published_values_are_of_cosines_alone(project, tmp_path):
    _, cell = score_test(project, tmp_path, published=True)
    _, other = score_test(
        project, tmp_path, published=True, scoring={"kind": "s-norm", "options": {}}
    )

    assert cell.metrics["published_eer"] == pytest.approx(cell.metrics["eer"], abs=0.01)
    assert cell.metrics["published_min_dcf"] == pytest.approx(
        0.01 * cell.metrics["min_dcf_p01"]
    )
    assert "published_eer_star" in cell.metrics
    assert not any("published" in name for name in other.metrics)


def test_the_same_is_written_to_the_bit(project, tmp_path):
    for name in ("a", "b"):
        score_test(project, tmp_path / name, files=files_of(tmp_path / name))
    one, other = (files_of(tmp_path / name) for name in ("a", "b"))

    assert one.scores.read_bytes() == other.scores.read_bytes()
    assert one.draws.read_bytes() == other.draws.read_bytes()
    first, second = (json.loads(f.metrics.read_text("utf-8")) for f in (one, other))
    assert first["metrics"] == second["metrics"]
    assert first["conditions"] == second["conditions"]


@pytest.fixture(scope="module")
def systems(project, tmp_path_factory):
    """Score both lists with two systems that err independently of each other."""
    folder = tmp_path_factory.mktemp("systems")
    found = []
    for name, seed in (("one", 1), ("other", 2)):
        made = write_all(folder / name, noise=1.0, seed=seed)
        for split in ("valid", "test"):
            score_test(
                made,
                made,
                files=files_of(made, split),
                embeddings=made / f"{split}.h5",
                trials=made / f"{split}.csv",
                key=KEY | {"backend": name},
            )
        found.append(made)
    manifest = pd.DataFrame(
        [
            (f"spk {s}/ü {i}", f"spk {s}", "test", "x.wav", 1.0)
            for s in SPEAKERS["test"]
            for i in range(6)
        ],
        columns=["utterance", "speaker", "split", "path", "seconds"],
    )
    manifest.to_csv(folder / "utterances.csv", index=False)
    return folder, found


def fuse_test(systems, out, **changes):
    folder, found = systems
    settings = {
        "cells": [files_of(made, "test") for made in found],
        "valid_scores": [files_of(made, "valid").scores for made in found],
        "trials": found[0] / "test.csv",
        "manifest": folder / "utterances.csv",
        "p_targets": [0.05],
        "draws": 30,
        "files": files_of(out),
        "key": KEY | {"backbone": "fused", "backend": "both", "scoring": "fused"},
    }
    settings |= changes
    fuse(**settings)
    return read_scores(settings["files"].scores), read_cell(settings["files"].metrics)


def test_two_systems_together_are_better_than_either(systems, tmp_path):
    scores, fused = fuse_test(systems, tmp_path)

    alone = [read_cell(files_of(made).metrics).metrics["eer"] for made in systems[1]]
    assert fused.metrics["eer"] < min(alone) - 0.02
    assert (scores["score"] == scores["llr"]).all()
    assert fused.metrics["cllr"] < 1.2 * fused.metrics["min_cllr"]
    assert fused.metrics["num_speakers"] == 15


def test_a_fusion_costs_what_its_systems_cost(systems, tmp_path):
    _, fused = fuse_test(systems, tmp_path)

    assert fused.costs["backend_parameters"] == 20
    assert fused.costs["train_seconds"] == 4.0
    assert fused.costs["train_memory_bytes"] == 1000
    # Both read the same cache, which was made once.
    assert set(fused.caches) == {"c/train", "c/valid", "c/test"}
    assert fused.versions["trained_with"] == {"git_commit": "abc", "torch": "2.13"}


def test_a_run_that_is_scored_in_two_ways_costs_once(systems, tmp_path):
    _, (one, _) = systems
    cells = [files_of(one, "test")] * 2
    valid = [files_of(one, "valid").scores] * 2

    _, fused = fuse_test(systems, tmp_path, cells=cells, valid_scores=valid)

    assert fused.costs["backend_parameters"] == 10
    assert fused.costs["train_seconds"] == 2.0


def test_versions_that_one_run_does_not_know_are_said_to_be_unknown(systems, tmp_path):
    _, (one, _) = systems
    shutil.copytree(one, tmp_path / "older")
    metrics = files_of(tmp_path / "older").metrics
    facts = json.loads(metrics.read_text("utf-8"))
    del facts["versions"]["trained_with"]["torch"]
    metrics.write_text(json.dumps(facts), "utf-8")
    cells = [files_of(one), files_of(tmp_path / "older")]

    _, fused = fuse_test(systems, tmp_path / "out", cells=cells)

    assert fused.versions["trained_with"]["torch"] == "2.13, not known"


def test_scores_in_another_order_than_the_list_are_not_fused(systems, tmp_path):
    _, (one, _) = systems
    turned = pd.read_csv(one / "test.csv", dtype=str)[::-1]
    write_trials(turned, tmp_path / "turned.csv")

    with pytest.raises(ValueError, match="scores of other trials than those of"):
        fuse_test(systems, tmp_path, trials=tmp_path / "turned.csv")


def test_scores_of_other_trials_are_not_fused(systems, tmp_path):
    _, (one, other) = systems
    fewer = tmp_path / "fewer.csv"
    read_scores(files_of(other, "valid").scores)[1:].to_csv(fewer, index=False)

    with pytest.raises(ValueError, match="scores of other trials than"):
        fuse_test(
            systems,
            tmp_path,
            valid_scores=[files_of(one, "valid").scores, fewer],
        )
