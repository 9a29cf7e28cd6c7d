"""A whole training: what it leaves, and that a kill changes nothing of it."""

import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import time

import pandas as pd
import pytest
import torch
from conftest import split_of, train_run

from unipool.backends import BACKENDS
from unipool.cache.shard import Shard
from unipool.checkpoint import read_checkpoint, read_loss, read_state, write_state
from unipool.log import job_log
from unipool.manifest import read_manifest, write_manifest
from unipool.splits import Memory
from unipool.trainee import Trainee


class Killed(BaseException):
    """As if the process ended here."""


def train_and_kill(cached, run, monkeypatch, *, after, **changes):
    """Train until the state was kept so many times."""
    kept = []

    def write_and_die(folder, state):
        write_state(folder, state)
        kept.append(state["step"])
        if len(kept) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("unipool.run.write_state", write_and_die)
        with pytest.raises(Killed):
            train_run(cached, run, **changes)
    return kept


def test_a_run_leaves_weights_history_and_what_it_was(cached, tmp_path):
    options = {"margin": 0.2, "scale": 30.0, "num_heads": 2}
    train_run(cached, tmp_path / "run", loss_options=options)

    weights, info = read_checkpoint(tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    backend = BACKENDS[info["kind"]](
        info["num_layers"], info["hidden_size"], **info["options"]
    )
    backend.load_state_dict(weights)
    assert history["step"].tolist() == [0, 2, 4, 6]
    assert history["valid_eer"].between(0, 1).all()
    assert info["best_step"] in [0, 2, 4, 6]
    assert info["valid_eer"] == history["valid_eer"].min()
    assert info["num_speakers"] == 3
    assert info["loss_heads"] == 2
    assert info["backend_parameters"] == sum(p.numel() for p in backend.parameters())
    assert set(info["caches"]) == {"tiny/own/train/full", "tiny/own/valid/full"}
    assert not (tmp_path / "run" / "state.pt").exists()


def test_what_is_frozen_for_ever_is_not_among_the_parameters(cached, tmp_path):
    train_run(cached, tmp_path, kind="finetune-pooled", steps=0)

    weights, info = read_checkpoint(tmp_path)
    convolutions = sum(
        tensor.numel() for name, tensor in weights.items() if "conv_layers" in name
    )
    everything = sum(tensor.numel() for tensor in weights.values())
    assert convolutions > 0
    assert info["backend_parameters"] == everything - convolutions


def test_of_an_adapted_encoder_what_was_added_is_among_them(cached, tmp_path):
    train_run(cached, tmp_path, kind="finetune-lora", steps=0)

    weights, info = read_checkpoint(tmp_path)
    added = sum(
        tensor.numel()
        for name, tensor in weights.items()
        if "lora_" in name or name.startswith("backend.")
    )
    assert info["backend_parameters"] == added


def test_activations_are_those_of_when_all_learns(cached, tmp_path):
    # Of 6 steps the last alone is after the encoder's start and follows no validation.
    staged = {"kind": "finetune-pooled", "validate_every": 5, "batch_size": 2}
    late = {"unfreeze_at": 0.9}
    train_run(cached, tmp_path / "late", **staged, steps=6, options={**late})
    train_run(cached, tmp_path / "at once", **staged, options={"unfreeze_at": 0.0})

    late, at_once = (
        read_checkpoint(tmp_path / name).info["activation_bytes"]
        for name in ("late", "at once")
    )
    assert late == pytest.approx(at_once, rel=0.2)
    assert late > 100_000


def test_the_last_round_may_be_shorter(cached, tmp_path):
    train_run(cached, tmp_path, steps=6, validate_every=4)

    assert pd.read_csv(tmp_path / "history.csv")["step"].tolist() == [0, 4, 6]


def test_without_steps_the_backend_is_as_it_was_initialised(cached, tmp_path):
    train_run(cached, tmp_path / "a", steps=0)
    train_run(cached, tmp_path / "b")

    untrained, info = read_checkpoint(tmp_path / "a")
    first = pd.read_csv(tmp_path / "b" / "history.csv")["valid_eer"][0]
    assert info["best_step"] == 0
    assert info["valid_eer"] == first
    assert not untrained["norm.norm.num_batches_tracked"]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_killed_and_resumed_it_ends_in_the_same_weights(
    cached, tmp_path, monkeypatch, after
):
    train_run(cached, tmp_path / "unbroken")
    kept = train_and_kill(cached, tmp_path / "broken", monkeypatch, after=after)

    train_run(cached, tmp_path / "broken")

    expected, of_unbroken = read_checkpoint(tmp_path / "unbroken")
    weights, info = read_checkpoint(tmp_path / "broken")
    assert kept == [0, 2, 4][:after]
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert info["valid_eer"] == of_unbroken["valid_eer"]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "broken" / "history.csv"),
        pd.read_csv(tmp_path / "unbroken" / "history.csv"),
    )


def bytes_of(run):
    return [(run / name).read_bytes() for name in ("model.safetensors", "history.csv")]


@pytest.mark.parametrize("after", [1, 2, 5])
def test_told_to_end_it_keeps_the_step_it_is_at(
    cached, tmp_path, monkeypatch, caplog, after
):
    """In the middle between two validations, and at one."""
    train_run(cached, tmp_path / "unbroken")
    update = Trainee.update

    def update_and_tell(trainee, batches):
        loss = update(trainee, batches)
        if trainee.step == after:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainee, "update", update_and_tell)
        with pytest.raises(SystemExit) as ended:
            train_run(cached, tmp_path / "broken")
    kept = read_state(tmp_path / "broken")
    train_run(cached, tmp_path / "broken")

    assert ended.value.code == 1
    assert f"told to end (SIGTERM) after step {after}; its state is kept" in caplog.text
    assert kept["step"] == after
    assert len(kept["losses"]) == after % 2
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "unbroken")


def test_told_to_end_when_all_steps_are_done_it_finishes(cached, tmp_path, monkeypatch):
    keep = write_state

    def keep_and_tell(folder, state):
        keep(folder, state)
        if state["step"] == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("unipool.run.write_state", keep_and_tell)
    train_run(cached, tmp_path)

    assert read_checkpoint(tmp_path)


def test_what_another_job_has_trained_meanwhile_is_not_trained_again(cached, tmp_path):
    train_run(cached, tmp_path)
    first = (tmp_path / "model.json").read_bytes()

    train_run(cached, tmp_path)
    second = (tmp_path / "model.json").read_bytes()
    train_run(cached, tmp_path, learning_rate=0.001)

    assert second == first
    assert (tmp_path / "model.json").read_bytes() != first


LONG = {"steps": 300, "validate_every": 1000, "kind": "mhfa"}


def train_as_job(cached, run):
    with job_log(run / "log", "train"):
        train_run(cached, run, **LONG)


def test_a_process_that_is_told_to_end_goes_on_where_it_was(cached, tmp_path, caplog):
    train_run(cached, tmp_path / "unbroken", **LONG)
    process = multiprocessing.get_context("spawn").Process(
        target=train_as_job, args=(cached, tmp_path / "broken")
    )
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "broken" / "state.pt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    process.join(60)
    log = (tmp_path / "broken" / "log").read_text("utf-8")
    caplog.set_level(logging.INFO)
    train_run(cached, tmp_path / "broken", **LONG)

    assert process.exitcode == 1
    (step,) = re.findall(r"told to end \(SIGTERM\) after step (\d+)", log)
    assert int(step) < 300
    assert f"going on from step {step} of an earlier start" in caplog.text
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "unbroken")


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 3, "precision": "bfloat16"},
        {
            "optimizer": "sgd",
            "schedule": "cyclic",
            "schedule_options": {"cycles": 2},
        },
        {"kind": "finetune-pooled"},
        {"kind": "finetune-cls"},
        {"kind": "finetune-lora"},
    ],
)
def test_so_it_does_with_other_settings(cached, tmp_path, monkeypatch, changes):
    train_run(cached, tmp_path / "unbroken", **changes)
    train_and_kill(cached, tmp_path / "broken", monkeypatch, after=2, **changes)

    train_run(cached, tmp_path / "broken", **changes)

    for name in ("model.safetensors", "history.csv"):
        resumed = (tmp_path / "broken" / name).read_bytes()
        assert resumed == (tmp_path / "unbroken" / name).read_bytes()


def weights_of_files(run):
    return [
        (run / name).read_bytes() for name in ("model.safetensors", "loss.safetensors")
    ]


def test_the_weights_of_backend_and_loss_are_those_of_the_best_validation(
    cached, tmp_path, monkeypatch
):
    states = {}

    def write_and_note(folder, state):
        write_state(folder, state)
        states[state["step"]] = torch.load(folder / "state.pt", weights_only=True)

    monkeypatch.setattr("unipool.run.write_state", write_and_note)
    train_run(cached, tmp_path, seed=3)

    weights, info = read_checkpoint(tmp_path)
    assert 0 < info["best_step"] < 6
    best = states[info["best_step"]]
    for found, expected in (
        (weights, best["backend"]),
        (read_loss(tmp_path), best["loss"]),
    ):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", ["unipool", "finetune-lora"])
def test_a_run_starts_as_another_ended(cached, tmp_path, kind):
    train_run(cached, tmp_path / "first", kind=kind)
    larger = {"margin": 0.5, "scale": 30.0}
    at = {"kind": kind, "start": tmp_path / "first", "loss_options": larger}

    train_run(cached, tmp_path / "still", steps=0, **at)
    train_run(cached, tmp_path / "second", crop_seconds=0.7, learning_rate=1e-4, **at)

    first, still, second = (
        read_checkpoint(tmp_path / name).info for name in ("first", "still", "second")
    )
    assert weights_of_files(tmp_path / "still") == weights_of_files(tmp_path / "first")
    assert weights_of_files(tmp_path / "second") != weights_of_files(tmp_path / "still")
    history = pd.read_csv(tmp_path / "second" / "history.csv")
    assert history["step"].tolist() == [0, 2, 4, 6]
    assert history["valid_eer"][0] == still["valid_eer"] == first["valid_eer"]
    assert second["start"]["loss_sha256"]
    assert second["start"]["train_seconds"] == first["train_seconds"]
    assert second["train_seconds"] > first["train_seconds"]
    assert second["train_memory_bytes"] >= first["train_memory_bytes"]


def test_killed_and_resumed_it_goes_on_from_its_state_not_from_its_start(
    cached, tmp_path, monkeypatch
):
    train_run(cached, tmp_path / "first")
    start = {"start": tmp_path / "first", "learning_rate": 1e-3}
    train_run(cached, tmp_path / "unbroken", **start)
    train_and_kill(cached, tmp_path / "broken", monkeypatch, after=3, **start)

    train_run(cached, tmp_path / "broken", **start)

    assert weights_of_files(tmp_path / "broken") == weights_of_files(
        tmp_path / "unbroken"
    )


def test_a_state_is_not_gone_on_from_when_the_start_is_another(
    cached, tmp_path, monkeypatch
):
    train_run(cached, tmp_path / "first")
    train_run(cached, tmp_path / "other", seed=1)
    train_and_kill(
        cached, tmp_path / "run", monkeypatch, after=2, start=tmp_path / "first"
    )

    train_run(cached, tmp_path / "run", start=tmp_path / "other")
    train_run(cached, tmp_path / "fresh", start=tmp_path / "other")

    assert weights_of_files(tmp_path / "run") == weights_of_files(tmp_path / "fresh")


def test_nor_when_the_first_runs_loss_has_come_since(cached, tmp_path, monkeypatch):
    train_run(cached, tmp_path / "first")
    loss = tmp_path / "first" / "loss.safetensors"
    kept = loss.rename(tmp_path / "kept")
    start = {"start": tmp_path / "first"}
    train_and_kill(cached, tmp_path / "run", monkeypatch, after=2, **start)
    kept.rename(loss)

    train_run(cached, tmp_path / "run", **start)
    train_run(cached, tmp_path / "fresh", **start)

    assert weights_of_files(tmp_path / "run") == weights_of_files(tmp_path / "fresh")


def test_where_the_loss_was_not_kept_it_begins_anew(cached, tmp_path, caplog):
    train_run(cached, tmp_path / "first")
    (tmp_path / "first" / "loss.safetensors").unlink()

    train_run(cached, tmp_path / "second", steps=0, start=tmp_path / "first")

    fresh = tmp_path / "fresh"
    train_run(cached, fresh, steps=0)
    info = read_checkpoint(tmp_path / "second").info
    assert not info["start"]["loss_sha256"]
    assert weights_of_files(tmp_path / "second")[1] == weights_of_files(fresh)[1]
    assert "keeps no weights of its loss; the loss begins anew" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "mhfa"},
            r"first: a unipool with .*, has other weights than the mhfa",
        ),
        (
            {"loss_options": {"margin": 0.2, "scale": 30.0, "num_heads": 2}},
            r"its loss has weights weight \[1, 8, 3\], that of what starts from it"
            r" weight \[2, 4, 3\]; give both the same train.loss",
        ),
    ],
)
def test_a_run_of_other_weights_cannot_be_started_from(
    cached, tmp_path, changes, message
):
    train_run(cached, tmp_path / "first", steps=0)

    with pytest.raises(ValueError, match=message):
        train_run(cached, tmp_path / "second", start=tmp_path / "first", **changes)


def test_an_update_takes_as_many_batches_as_it_accumulates(cached, tmp_path):
    alike = {"learning_rate": 0.0, "schedule": "constant", "schedule_options": {}}
    train_run(cached, tmp_path / "one", steps=12, validate_every=12, **alike)
    train_run(
        cached, tmp_path / "three", steps=4, validate_every=4, accumulate=3, **alike
    )

    one = pd.read_csv(tmp_path / "one" / "history.csv")
    three = pd.read_csv(tmp_path / "three" / "history.csv")
    assert three["step"].tolist() == [0, 4]
    # The same batches; only what dropout takes differs.
    assert three["loss"][1] == pytest.approx(one["loss"][1], rel=0.05)


@pytest.mark.parametrize("kind", BACKENDS)
def test_every_backend_trains_in_bfloat16(cached, tmp_path, kind):
    once = {"steps": 2, "schedule": "constant", "schedule_options": {}}
    train_run(cached, tmp_path, kind=kind, precision="bfloat16", **once)

    weights, _ = read_checkpoint(tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    assert history["step"].tolist() == [0, 2]
    assert history["loss"][1:].between(0, 100).all()


def test_the_state_of_other_settings_is_not_gone_on_from(cached, tmp_path, monkeypatch):
    train_and_kill(cached, tmp_path / "run", monkeypatch, after=2)

    train_run(cached, tmp_path / "run", learning_rate=0.001)
    train_run(cached, tmp_path / "fresh", learning_rate=0.001)

    expected, _ = read_checkpoint(tmp_path / "fresh")
    weights, _ = read_checkpoint(tmp_path / "run")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_seed_decides(cached, tmp_path, kind):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_run(cached, tmp_path / name, kind=kind, seed=seed, validate_every=6)

    a, b, c = (read_checkpoint(tmp_path / name).weights for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_one_training_speaker_is_an_error(cached, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(cached, project)
    manifest = read_manifest(project / "utterances.csv")
    train = manifest["split"] == "train"
    write_manifest(
        manifest.assign(speaker=manifest["speaker"].where(~train, "only")),
        project / "utterances.csv",
    )

    with pytest.raises(ValueError, match=r"1 training speaker\(s\)"):
        train_run(project, tmp_path / "run")


def test_a_training_that_goes_astray_says_what_to_do(cached, tmp_path):
    with pytest.raises(ValueError, match=r"lower train\.learning_rate"):
        train_run(cached, tmp_path, learning_rate=1e12)


def test_a_split_that_the_gpu_does_not_take_is_held_elsewhere(
    cached, monkeypatch, caplog
):
    whole, loaded = Shard.load, []

    def load(shard, device):
        if device.type == "cuda":
            raise torch.OutOfMemoryError
        loaded.append(shard)
        whole(shard, device)

    monkeypatch.setattr(Shard, "load", load)
    split, gpu = split_of(cached, "train"), torch.device("cuda")
    states = [split.open(Memory(memory_gb, 1), gpu)[0].read(0) for memory_gb in (0, 1)]

    assert len(loaded) == 1
    assert caplog.text.count("machine.gpu_memory_gb is 1; it is held elsewhere") == 2
    assert states[0].equal(states[1])


def test_the_log_shows_how_far_it_is(cached, tmp_path, caplog):
    caplog.set_level("INFO")

    train_run(cached, tmp_path / "run")

    lines = [record.message for record in caplog.records]
    assert any(line.startswith("train 6/6 steps, loss ") for line in lines)
    assert any("step 6: validation EER " in line for line in lines)


def test_settings_are_kept_with_the_weights(cached, tmp_path):
    train_run(cached, tmp_path)

    info = json.loads((tmp_path / "model.json").read_text("utf-8"))
    assert info["definition"]["train"]["learning_rate"] == 0.003
    assert {"torch", "git_commit"} <= set(info["versions"])
