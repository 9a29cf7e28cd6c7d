"""Jobs that divide GPUs among themselves, each a process; the GPUs are names alone."""

import os
import subprocess
import sys
import time

import pytest
import torch

from unipool.device import pick_device
from unipool.gpus import own_gpus

JOB = """
import os, sys, time
from pathlib import Path
from unipool.gpus import own_gpus

count, jobs_per_gpu, seconds, out = sys.argv[1:]
with own_gpus(int(count), "auto", int(jobs_per_gpu)):
    begun = time.monotonic()
    Path(out).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    time.sleep(float(seconds))
    ended = time.monotonic()
print(os.environ["CUDA_VISIBLE_DEVICES"], file=sys.stderr)
Path(out).write_text(f"{Path(out).read_text()} {begun} {ended}")
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start jobs on a machine of two GPUs; what is left of them is ended."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it was looked up before
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b")
    started = []

    def job(count=1, *, jobs_per_gpu=1, seconds=1.0):
        out = tmp_path / f"job {len(started)}"
        arguments = [str(count), str(jobs_per_gpu), str(seconds), str(out)]
        process = subprocess.Popen([sys.executable, "-c", JOB, *arguments])
        started.append(process)
        return process, out

    yield job
    for process in started:
        process.kill()
        process.wait()


def finish(jobs):
    """Wait for jobs; give of each the GPUs, and from when to when it had them."""
    found = []
    for process, out in jobs:
        assert process.wait(timeout=60) == 0
        gpus, begun, ended = out.read_text().split()
        found.append((set(gpus.split(",")), float(begun), float(ended)))
    return found


def most_at_once(spans, gpu):
    """Count the jobs that had a GPU when most had it."""
    own = [(begun, ended) for gpus, begun, ended in spans if gpu in gpus]
    return max(
        sum(begun <= moment < ended for begun, ended in own) for moment, _ in own
    )


def wait_for(out):
    while not out.exists() or not out.read_text():
        time.sleep(0.05)


def test_no_two_jobs_have_the_same_gpu_and_none_is_idle(start):
    spans = finish([start() for _ in range(4)])

    assert all(len(gpus) == 1 for gpus, _, _ in spans)
    assert most_at_once(spans, "a") == most_at_once(spans, "b") == 1


def test_so_many_share_one_as_may(start):
    spans = finish([start(jobs_per_gpu=2, seconds=8.0) for _ in range(4)])

    assert most_at_once(spans, "a") == most_at_once(spans, "b") == 2


def test_a_job_leaves_the_environment_as_it_was(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b")

    with own_gpus(1, "auto", 1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] in ("a", "b")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "a,b"


def test_a_job_of_two_gpus_waits_for_both(start):
    one = start(seconds=3.0)
    wait_for(one[1])
    spans = finish([one, start(2)])

    (_, _, ended), (gpus, begun, _) = spans
    assert gpus == {"a", "b"}
    assert begun >= ended


def test_a_killed_job_lets_go(start):
    process, out = start(2, seconds=600)
    wait_for(out)
    process.kill()

    assert finish([start(2, seconds=0.1)])[0][0] == {"a", "b"}


def test_what_a_scheduler_gave_is_not_divided_again(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    # To every job its first GPU is 0, whichever it is.
    with own_gpus(1, "auto", 1), own_gpus(1, "auto", 1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_what_a_job_took_is_not_divided_among_its_processes(start):
    with own_gpus(2, "auto", 1):
        assert finish([start(2, seconds=0.1)])[0][0] == {"a", "b"}


def test_on_the_cpu_none_is_taken(start):
    held, out = start(2, seconds=600)
    wait_for(out)

    with own_gpus(1, "cpu", 1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "a,b"
    assert held.poll() is None


def test_float32_is_float32_on_a_gpu():
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    matmul.allow_tf32 = convolution.allow_tf32 = True

    pick_device("auto")

    assert not matmul.allow_tf32
    assert not convolution.allow_tf32
