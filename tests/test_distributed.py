"""One run trained by two processes, against the same run trained by one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import BACKBONE, SHORT_SIGHTED, TRAINING, cache_of, train_run

from unipool.batches import CropSampler, padded_batches
from unipool.checkpoint import read_checkpoint
from unipool.distributed import World
from unipool.fetch import fetch_backbone
from unipool.losses import AAMSoftmax
from unipool.trainee import Trainee
from unipool.training import Training

# Adam makes large what rounding leaves of a gradient that is zero.
MHFA = {
    "kind": "mhfa",
    "options": {"num_heads": 2, "compression": 4},
    "optimizer": "sgd",
}
PAIRS = {
    "kind": "finetune-pairs",
    "loss": "binary-cross-entropy",
    "loss_options": {},
}

SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
import torch
from conftest import train_run
from unipool.device import peak_memory_bytes
from unipool.distributed import joined
from unipool.trainee import Trainee

torch.set_num_threads(1)
cached, runs, still = Path({cached!r}), Path({runs!r}), {still!r}


class Killed(Exception):
    pass


def add_and_die(trainee, *values):
    add_validation(trainee, *values)
    if trainee.step == 4:
        raise Killed


with joined() as world:
    shared = dict(world=world)
    train_run(cached, runs / "mhfa", **{mhfa!r}, **shared)
    peak = peak_memory_bytes(torch.device("cpu"))
    (runs / f"peak-{{world.rank}}").write_text(str(peak))
    train_run(
        cached, runs / "cls", kind="finetune-cls", accumulate=2, optimizer="sgd",
        options=dict(encoder=still, mask_probability=0.0), **shared,
    )
    train_run(
        cached, runs / "pairs", optimizer="sgd", options=dict(encoder=still),
        **{pairs!r}, **shared,
    )
    drops = dict(kind="finetune-cls", **shared)
    train_run(cached, runs / "unbroken", **drops)
    add_validation = Trainee.add_validation
    Trainee.add_validation = add_and_die
    try:
        train_run(cached, runs / "broken", **drops)
    except Killed:
        pass
    Trainee.add_validation = add_validation
    train_run(cached, runs / "broken", **drops)
"""


LONG = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
from conftest import train_run
from unipool.distributed import joined

with joined() as world:
    train_run(
        Path({cached!r}), Path({run!r}), kind="mhfa", world=world, steps=100_000,
        options=dict(num_heads=2, compression=4), validate_every=100_000,
    )
"""


@pytest.fixture(scope="module")
def by_two(cached, tmp_path_factory):
    """Train some runs with two processes, in one start of them."""
    folder = tmp_path_factory.mktemp("by two")
    fine = {"model_type": "wav2vec2", "feat_extract_norm": "group", **SHORT_SIGHTED}
    fetch_backbone(folder=folder / "still", config=fine, seed=0, **BACKBONE)
    script = folder / "both.py"
    script.write_text(
        SCRIPT.format(
            tests=str(Path(__file__).parent),
            cached=str(cached),
            runs=str(folder),
            still=str(folder / "still"),
            mhfa=MHFA,
            pairs=PAIRS,
        ),
        encoding="utf-8",
    )
    start = f"from unipool.distributed import launch; launch({str(script)!r}, 2)"
    finished = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.mark.parametrize("name", ["mhfa", "cls", "pairs"])
def test_two_processes_learn_what_one_does(by_two, cached, tmp_path, name):
    changes = MHFA
    if name == "cls":
        options = {"encoder": str(by_two / "still"), "mask_probability": 0.0}
        changes = {"kind": "finetune-cls", "options": options, "accumulate": 2}
        changes |= {"optimizer": "sgd"}
    if name == "pairs":
        options = {"encoder": str(by_two / "still")}
        changes = PAIRS | {"options": options, "optimizer": "sgd"}
    train_run(cached, tmp_path / name, **changes)

    alone = pd.read_csv(tmp_path / name / "history.csv")
    together = pd.read_csv(by_two / name / "history.csv")
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4)
    weights, _ = read_checkpoint(by_two / name)
    expected, _ = read_checkpoint(tmp_path / name)
    for key in expected:
        assert torch.allclose(weights[key], expected[key], atol=1e-4), key


def test_killed_and_resumed_two_processes_end_in_the_same_weights(by_two):
    expected, _ = read_checkpoint(by_two / "unbroken")
    weights, _ = read_checkpoint(by_two / "broken")

    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_costs_are_those_of_all_processes(by_two, cached, tmp_path):
    train_run(cached, tmp_path, **MHFA)

    _, alone = read_checkpoint(tmp_path)
    _, together = read_checkpoint(by_two / "mhfa")
    assert together["activation_bytes"] == pytest.approx(
        alone["activation_bytes"], rel=0.1
    )
    peaks = [int((by_two / f"peak-{rank}").read_text("utf-8")) for rank in (0, 1)]
    assert together["train_memory_bytes"] == pytest.approx(sum(peaks), rel=0.1)


def test_each_utterance_is_embedded_by_one_of_the_processes():
    cache = cache_of([9, 12, 7, 30, 5])
    whole = [tuple(batch.rows) for batch in padded_batches(cache, max_frames=20)]

    parts = [
        [
            tuple(batch.rows)
            for batch in padded_batches(cache, max_frames=20, world=World(rank, 7))
        ]
        for rank in range(7)
    ]

    assert 1 < len(whole) < 7
    assert sorted(rows for part in parts for rows in part) == sorted(whole)


def test_told_to_end_all_keep_the_step_they_are_at(cached, tmp_path):
    script = tmp_path / "long.py"
    script.write_text(
        LONG.format(
            tests=str(Path(__file__).parent), cached=str(cached), run=str(tmp_path)
        ),
        encoding="utf-8",
    )
    start = f"from unipool.distributed import launch; launch({str(script)!r}, 2)"
    running = subprocess.Popen(
        [sys.executable, "-c", start], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=120)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert running.returncode == 1
    assert "Traceback" not in said
    assert 0 < state["step"] < 100_000


def test_the_processes_draw_the_parts_of_one_batch():
    cache = cache_of([9, 12, 7, 30])
    settings = {
        "labels": torch.arange(4).numpy(),
        "batch_size": 4,
        "crop_frames": 6,
        "seed": 3,
    }
    whole = CropSampler(cache, **settings).batch(5)
    halves = [
        CropSampler(cache, **settings, world=World(rank, 2)).batch(5) for rank in (0, 1)
    ]

    labels = torch.cat([half.labels for half in halves])
    values = torch.cat([half.hidden_states.values for half in halves])
    assert torch.equal(labels, whole.labels)
    assert torch.equal(values, whole.hidden_states.values)


def test_a_batch_that_cannot_be_shared_is_refused():
    cache = cache_of([9, 12])

    with pytest.raises(ValueError, match=r"batch_size is 3.* multiple of 2"):
        CropSampler(
            cache,
            torch.arange(2).numpy(),
            batch_size=3,
            crop_frames=6,
            seed=0,
            world=World(0, 2),
        )


def test_batch_norms_are_not_shared_on_a_cpu():
    training = Training(**TRAINING)

    with pytest.raises(ValueError, match=r"batch norms.* `processes: 1`"):
        Trainee(
            torch.nn.BatchNorm1d(4),
            AAMSoftmax(4, 2, margin=0.2, scale=30.0),
            training,
            seed=0,
            device=torch.device("cpu"),
            world=World(0, 2),
        )
