"""Extraction and training on nodes that see late what the others write."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import time

import mounts
import pandas as pd
import pytest
import soundfile
from conftest import train_run, voice
from test_extract import (
    content_of,
    corpus,  # noqa: F401, a fixture
    extract_as_job,
    make_shards_small,
    project,  # noqa: F401, a fixture
    run,
    shards_of,
)
from test_train import bytes_of

from unipool.checkpoint import read_state
from unipool.log import job_log
from unipool.manifest import write_manifest

pytestmark = pytest.mark.slurm

TRAINING = {"kind": "mhfa", "steps": 100, "validate_every": 10}


@pytest.fixture
def nodes(tmp_path):
    """Give a folder, and how two nodes see it, and a third that sees it late."""
    if (reason := mounts.obstacle()) is not None:
        pytest.skip(reason)
    shared = tmp_path / "shared"
    shared.mkdir()
    with contextlib.ExitStack() as stack:
        seen = [
            stack.enter_context(mounts.Node(shared, tmp_path / name, late=name == "c"))
            for name in "abc"
        ]
        yield shared, *seen


started = []


@pytest.fixture(autouse=True)
def _leave_nothing_running(nodes):
    yield
    for process in started:
        process.kill()
        process.join()


def start(job, *folders):
    process = multiprocessing.get_context("spawn").Process(target=job, args=folders)
    process.start()
    started.append(process)
    return process


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def extract_and_say(folder, said):
    with said.open("w", encoding="utf-8", buffering=1) as sys.stderr:
        extract_as_job(folder)


def seen_content_of(folder):
    """Give the content of a part, None where it is not there yet."""
    try:
        return content_of(folder)
    except (OSError, ValueError):
        return None


def test_a_part_has_one_writer_and_is_gone_on_with_from_another_node(
    project,  # noqa: F811
    nodes,
    tmp_path,
    monkeypatch,
    caplog,
):
    rows = []
    for i in range(30):
        soundfile.write(project / f"{i}.wav", voice(i, 0, seconds=2), 16_000)
        rows.append((f"u{i:02d}", "s", "train", str(project / f"{i}.wav"), 2.0))
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), project / "m.csv")
    make_shards_small(monkeypatch)
    run(project)
    expected = content_of(project)
    shutil.rmtree(project / "cache")
    shared, a, b, c = (folder / "project" for folder in nodes)
    shutil.copytree(project, shared)
    said, name = tmp_path / "said", "cache/part-000-of-001.json"

    first = start(extract_as_job, a)
    wait_until(lambda: len(shards_of(shared)) >= 5)
    os.kill(first.pid, signal.SIGSTOP)
    kept = shards_of(shared)
    assert len(shards_of(b)) == len(kept)
    assert not (b / name).exists()
    with pytest.raises(ValueError, match=f"process {first.pid} on .* writes this"):
        run(b)
    second = start(extract_and_say, b, said)
    wait_until(
        lambda: (
            said.exists()
            and f"waiting for process {first.pid} on" in said.read_text("utf-8")
        )
    )
    first.kill()
    first.join()
    seen = []
    while second.is_alive():
        seen.append(seen_content_of(c))
        time.sleep(0.2)
    second.join()
    shards = shards_of(shared)
    sealed = (shared / name).read_bytes()
    caplog.set_level("INFO")
    run(a)

    assert second.exitcode == 0
    assert f"going on after {40 * len(kept)} frames" in said.read_text("utf-8")
    assert len(kept) < len(shards)
    assert kept.items() <= shards.items()
    # The first node finds it whole, and so do those that looked at it all the time.
    assert "is whole; only its receipt was missing" in caplog.text
    assert shards_of(shared) == shards
    assert (shared / name).read_bytes() == sealed
    assert all(some in (None, expected) for some in seen)
    assert seen[0] is None
    wait_until(lambda: seen_content_of(c) is not None)
    assert content_of(a) == content_of(b) == content_of(c) == expected


def train_as_job(cached, run):
    with job_log(run / "log", "train"):
        train_run(cached, run, **TRAINING)


def test_a_training_goes_on_on_another_node(cached, nodes, tmp_path, caplog):
    caplog.set_level("INFO")
    shared, a, b, _ = nodes
    shutil.copytree(cached, shared / "cached")
    train_run(cached, tmp_path / "unbroken", **TRAINING)

    job = start(train_as_job, a / "cached", a / "run")
    wait_until((b / "run" / "state.pt").exists)
    wait_until(lambda: read_state(b / "run")["step"] >= 20)
    job.kill()
    job.join()
    step = read_state(b / "run")["step"]
    train_run(b / "cached", b / "run", **TRAINING)
    assert f"going on from step {step} of an earlier start" in caplog.text
    train_run(a / "cached", a / "run", **TRAINING)

    assert step < TRAINING["steps"]
    assert "this run is trained already" in caplog.text
    assert bytes_of(a / "run") == bytes_of(tmp_path / "unbroken")
