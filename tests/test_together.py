"""Runs of one cache, trained by one job: each becomes what it would alone."""

import json
import logging
import os
import shutil
import signal

import pandas as pd
import pytest
from conftest import data_of, run_of, train_run
from safetensors.torch import load_file

from unipool.ahead import FILES, take
from unipool.cache import Cache
from unipool.checkpoint import write_state
from unipool.train import train_together

RUNS = {
    "unipool-0": {"kind": "unipool", "seed": 0},
    "unipool-1": {"kind": "unipool", "seed": 1},
    "cls-0": {"kind": "finetune-cls", "seed": 0},
    "unipool-2": {"kind": "unipool", "seed": 2, "loss_options": {"num_heads": 2}},
}
"""Of several kinds, since one might leave something behind for the next."""

LOSS = {"margin": 0.2, "scale": 30.0}


def settings_of(name):
    settings = dict(RUNS[name])
    return settings | {"loss_options": LOSS | settings.get("loss_options", {})}


def runs_in(cached, folder, names=RUNS):
    return [run_of(cached, folder / name, **settings_of(name)) for name in names]


def take_from(folder, run):
    """Take what stands ahead in a folder, as if it had been trained just now."""
    receipt = folder.with_name("receipt.json")
    receipt.write_text(json.dumps({"trained": [folder.as_posix()]}), "utf-8")
    return take(folder, run.definition, receipt=receipt)


@pytest.fixture(scope="module")
def together(cached, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    receipt = folder / "receipt" / "0.json"
    train_together(runs_in(cached, folder), **data_of(cached), receipt=receipt)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_a_run_becomes_what_it_would_alone(cached, together, tmp_path, name):
    train_run(cached, tmp_path / name, **settings_of(name))
    folder = tmp_path / "taken"
    shutil.copytree(together / name, folder)
    run = run_of(cached, folder, **settings_of(name))

    assert take_from(folder, run)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for file in FILES[:3]:
        assert (folder / file).read_bytes() == (tmp_path / name / file).read_bytes()


def test_the_cache_is_opened_once(cached, tmp_path, monkeypatch):
    loads = []
    load = Cache.load

    def counted(cache, device):
        loads.append(cache)
        load(cache, device)

    monkeypatch.setattr(Cache, "load", counted)
    train_together(
        runs_in(cached, tmp_path, ["unipool-0", "unipool-1"]),
        **data_of(cached),
        receipt=tmp_path / "0.json",
    )

    assert len(loads) == 2  # the training and the validation split


def test_what_is_there_already_is_passed_over(cached, together, tmp_path, caplog):
    done, ahead, new = "unipool-0", "unipool-1", "unipool-2"
    train_run(cached, tmp_path / done, **settings_of(done))
    shutil.copytree(together / ahead, tmp_path / ahead)
    before = {
        path: path.stat().st_mtime_ns
        for path in [
            tmp_path / done / "model.json",
            tmp_path / ahead / "ahead" / "model.json",
        ]
    }

    with caplog.at_level(logging.INFO):
        train_together(
            runs_in(cached, tmp_path, [done, ahead, new]),
            **data_of(cached),
            receipt=tmp_path / "0.json",
        )

    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (tmp_path / done / "ahead").exists()
    assert (tmp_path / new / "ahead" / "model.json").exists()
    assert "it is there already" in caplog.text


def test_a_run_that_fails_is_left_to_its_own_job(cached, together, tmp_path, caplog):
    astray = run_of(cached, tmp_path / "astray", learning_rate=1e30, gradient_clip=1e30)
    after = runs_in(cached, tmp_path, ["unipool-0"])

    with caplog.at_level(logging.WARNING):
        train_together([astray, *after], **data_of(cached), receipt=tmp_path / "0.json")

    assert "is left to its own job: the " in caplog.text
    receipt = json.loads((tmp_path / "0.json").read_text("utf-8"))
    assert receipt["trained"] == [after[0].folder.as_posix()]
    weights = tmp_path / "unipool-0/ahead/model.safetensors"
    expected = together / "unipool-0/ahead/model.safetensors"
    assert weights.read_bytes() == expected.read_bytes()


def test_what_was_trained_of_other_settings_is_not_taken(cached, together, tmp_path):
    shutil.copytree(together / "unipool-0", tmp_path / "run")
    assert not take_from(tmp_path / "run", run_of(cached, tmp_path, steps=7))
    assert not (tmp_path / "run" / "model.json").exists()


def test_what_was_taken_in_half_is_taken_again(cached, together, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(together / "unipool-0", folder)
    (folder / "model.safetensors").write_bytes(b"half of it")

    assert take_from(folder, run_of(cached, folder, **settings_of("unipool-0")))
    assert load_file(folder / "model.safetensors")
    assert len(pd.read_csv(folder / "history.csv")) == 4


def test_what_was_trained_on_an_older_cache_is_not_taken(cached, together, tmp_path):
    """It has the same settings; trained anew, on what is cached now, it fails."""
    run = run_of(cached, tmp_path / "run", **settings_of("unipool-0"))
    shutil.copytree(together / "unipool-0", run.folder)
    described = run.folder / "ahead/model.json"
    model = json.loads(described.read_text("utf-8")) | {"identity": "of an older cache"}
    described.write_text(json.dumps(model), "utf-8")
    fails = run._replace(options=run.options | {"embedding_size": -1})

    train_together([fails], **data_of(cached), receipt=tmp_path / "0.json")

    assert json.loads((tmp_path / "0.json").read_text("utf-8"))["trained"] == []
    assert not take(run.folder, run.definition, receipt=tmp_path / "0.json")


def test_an_imported_run_is_not_trained_over(cached, tmp_path):
    (run,) = runs_in(cached, tmp_path, ["unipool-0"])
    run.folder.mkdir()
    imported = {"definition": {"imported": "model_best.pt"}}
    (run.folder / "model.json").write_text(json.dumps(imported), "utf-8")

    train_together([run], **data_of(cached), receipt=tmp_path / "0.json")

    assert not (run.folder / "ahead").exists()


def test_a_run_trained_alone_leaves_nothing_ahead_of_it(cached, together, tmp_path):
    shutil.copytree(together / "unipool-0", tmp_path / "run")

    train_run(cached, tmp_path / "run", **settings_of("unipool-0"))

    assert not (tmp_path / "run" / "ahead").exists()


def test_told_to_end_in_the_second_run_it_goes_on_there(
    cached, together, tmp_path, monkeypatch
):
    names = ["unipool-0", "unipool-1"]
    second = tmp_path / "unipool-1/ahead"

    def keep_and_tell(folder, state):
        write_state(folder, state)
        if folder == second and state["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def train_both():
        receipt = tmp_path / "0.json"
        train_together(
            runs_in(cached, tmp_path, names), **data_of(cached), receipt=receipt
        )

    with monkeypatch.context() as patch:
        patch.setattr("unipool.run.write_state", keep_and_tell)
        with pytest.raises(SystemExit):
            train_both()
    assert not (tmp_path / "0.json").exists()
    first = (tmp_path / "unipool-0/ahead/model.json").stat().st_mtime_ns
    train_both()

    assert (tmp_path / "unipool-0/ahead/model.json").stat().st_mtime_ns == first
    for name in names:
        weights = f"{name}/ahead/model.safetensors"
        assert (tmp_path / weights).read_bytes() == (together / weights).read_bytes()
