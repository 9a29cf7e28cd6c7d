"""What a grid's cache will take, and a refusal when that is too much."""

import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import split_of

from unipool.plan import PlannedSet, plan
from unipool.splits import Memory

CROPS = {"crops": {"count": 2, "seconds": 0.5, "seed": 0}}


def planned(folder, split, view="full", definition=None):
    return PlannedSet(
        manifest=folder / "utterances.csv",
        corpus="own",
        split=split,
        num_parts=1,
        backbone=folder / "backbone",
        view=view,
        definition=definition or {},
    )


def run(folder, table, sets):
    shutil.copytree(folder / "cache/tiny", table.parent / "cache/backbone")
    plan(
        sets=sets,
        cache_dir=table.parent / "cache",
        table=table,
        max_batch_seconds=4,
        device="cpu",
        num_threads=1,
    )


def test_the_plan_says_what_is_there_and_what_is_missing(cached, tmp_path):
    sets = [planned(cached, "train"), planned(cached, "train", "c", CROPS)]

    run(cached, tmp_path / "plan.csv", sets)

    table = pd.read_csv(tmp_path / "plan.csv").set_index("view")
    cache, _ = split_of(cached, "train").open(Memory(0, 0), torch.device("cpu"))
    full, crops = table.loc["full"], table.loc["c"]
    assert full["frames"] == cache.num_frames.sum()
    assert full["bytes"] == cache.num_bytes
    assert full["missing_bytes"] == full["missing_parts"] == full["extract_hours"] == 0
    assert crops["utterances"] == 2 * full["utterances"] == 24
    assert crops["missing_bytes"] == crops["bytes"] == 24 * 24 * 3 * 16 * 2
    assert crops["hours"] == pytest.approx(24 * 0.5 / 3600, abs=1e-4)
    assert crops["missing_parts"] == 1


def test_a_grid_that_does_not_fit_is_refused_with_what_would(
    cached, tmp_path, monkeypatch
):
    # 55296 bytes are missing, 18432 for each layer.
    disk = SimpleNamespace(free=40_000)
    monkeypatch.setattr("unipool.plan.shutil.disk_usage", lambda _: disk)

    with pytest.raises(ValueError, match="the grid's cache does not fit") as error:
        run(cached, tmp_path / "plan.csv", [planned(cached, "train", "c", CROPS)])

    assert "keep int8" in str(error.value)
    assert "keep 2 layers of each backbone" in str(error.value)
    assert not (tmp_path / "plan.csv").exists()
