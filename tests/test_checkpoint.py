"""The checkpoint of a run."""

import json

import pytest
import torch

from unipool.checkpoint import (
    read_checkpoint,
    read_state,
    remove_state,
    write_checkpoint,
    write_state,
)

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "n": torch.tensor(3)}


def test_what_is_written_is_read_again(tmp_path):
    info = {"kind": "x", "options": {"k": 1}, "loss_heads": 1}
    info |= {"num_layers": 2, "layers": [0, 1], "hidden_size": 3}
    write_checkpoint(tmp_path / "rün 1", WEIGHTS, info)

    weights, info = read_checkpoint(tmp_path / "rün 1")

    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert info["options"] == {"k": 1}


def test_a_run_that_is_not_finished_says_how_to_train_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"snakemake --cores all .*model\.json"):
        read_checkpoint(tmp_path)


def test_another_version_is_refused(tmp_path):
    write_checkpoint(tmp_path, WEIGHTS, {})
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))

    with pytest.raises(ValueError, match="version 2, this unipool reads"):
        read_checkpoint(tmp_path)


def test_a_state_comes_back_without_unpickling_code(tmp_path):
    state = {"step": 3, "best": dict(WEIGHTS), "history": [{"eer": 0.5}]}

    write_state(tmp_path, state)
    again = read_state(tmp_path)

    assert again["history"] == state["history"]
    assert torch.equal(again["best"]["a.weight"], WEIGHTS["a.weight"])


def test_a_removed_state_is_gone(tmp_path):
    write_state(tmp_path, {"step": 1})

    remove_state(tmp_path)

    assert read_state(tmp_path) is None
