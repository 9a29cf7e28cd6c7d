"""The workflow on a SLURM cluster of one node, which this file brings up itself."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from cluster import Cluster
from conftest import TRAINING, write_corpus
from test_workflow import CONFIG, ROOT, changed, results, write_config

pytestmark = pytest.mark.slurm

RUN = "results/runs/own/tiny/unipool/seed-0"
LOG = "logs/train/own/tiny/unipool/seed-0.log"
TOO_LITTLE = "prepare_corpus:mem_mb=60 * 40 ** (attempt - 1)"


@pytest.fixture(scope="module")
def cluster():
    if (obstacle := Cluster.obstacle()) is not None:
        pytest.skip(obstacle)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="make test-slurm")
    # Not in pytest's folder, which is its user's alone: munge must be for all.
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        yield cluster


started = []


@pytest.fixture(scope="module", autouse=True)
def _leave_nothing_running():
    yield
    for running in started:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def start(folder, *arguments, log="snakemake.log"):
    """Start the workflow as a person would who has two cores, or a cluster."""
    # What makes jobs of `device: auto` ask for a GPU.
    pretended = folder / "bin" / "nvidia-smi"
    pretended.parent.mkdir(exist_ok=True)
    pretended.touch(mode=0o755)
    with (folder / log).open("wb") as out:
        running = subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake"),
                *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
                *arguments,
            ],
            env=os.environ | {"PATH": f"{pretended.parent}:{os.environ['PATH']}"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    started.append(running)
    return running


def submit(folder, *arguments, device="auto", **options):
    return start(
        folder,
        *("--workflow-profile", str(ROOT / "profiles/slurm")),
        # Nothing of this is to be said on a cluster with GPUs and accounting.
        *("--config", f"machine={{device: {device}}}"),
        *("--slurm-status-command", "squeue"),
        *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"),
        *arguments,
        **options,
    )


def wait_until(condition, *, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def finish(running, folder, log="snakemake.log"):
    status = running.wait(timeout=300)
    said = (folder / log).read_text("utf-8")
    assert status == 0, said
    return said


def submitted(said):
    """Give the rule of each job that went to SLURM, by its number there."""
    jobs = re.findall(
        r"SLURM jobid (\d+) \(log: \S*?/(?:rule|group_score)_(\w+)/", said
    )
    return {int(number): rule for number, rule in jobs}


def job_of_training(cluster):
    return next((n for n, what in cluster.jobs().items() if "rule_train" in what), None)


def text_of(path):
    return path.read_text("utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def projects(cluster, tmp_path_factory):
    """Run a grid with two cores and on the cluster, which tells its training to end."""
    training = TRAINING | {"steps": 300, "validate_every": 50}
    grid = [CONFIG["grid"][0] | {"backends": ["unipool"]}]
    one_part = {"own": CONFIG["corpora"]["own"] | {"parts": {}}}
    local = tmp_path_factory.mktemp("local")
    write_corpus(local / "audio", speakers=9, utterances=5)
    machine = CONFIG["machine"] | {"device": "auto"}
    config = changed(train=training, grid=grid, corpora=one_part, machine=machine)
    write_config(local, config)
    remote = local.with_name("remote")
    shutil.copytree(local, remote)

    locally = start(local, "--cores", "2", "results/table.csv")
    remotely = submit(
        remote,
        *("--set-resources", TOO_LITTLE, "--slurm-keep-successful-logs"),
        *("--", "results/table.csv"),
    )
    wait_until((remote / RUN / "state.pt").exists)
    job = job_of_training(cluster)
    asked = cluster.run("scontrol", "show", "job", str(job))
    # What `--signal=TERM@60` does a minute before the time is over.
    cluster.run("scancel", "--signal=TERM", str(job))
    said = finish(remotely, remote)
    finish(locally, local)
    return local, remote, said, asked


def test_a_grid_goes_through_the_scheduler_and_gives_the_same_numbers(
    projects, cluster
):
    local, remote, said, asked = projects
    rules = submitted(said)
    ended = {int(job["JobId"]): job for job in cluster.finished()}

    # A second time what was ended for its memory, and what was told to end.
    assert Counter(rules.values()) == {
        "prepare_corpus": 2,
        "extract": 3,
        "train": 2,
        "embed": 2,
        "score": 1,
    }
    assert set(rules) <= set(ended)
    assert "gres:gpu:1" in asked
    on_gpu = [
        ended[number]
        for number, rule in rules.items()
        if rule in ("extract", "train", "embed")
    ]
    on_gpu.sort(key=lambda job: job["StartTime"])
    for earlier, later in pairwise(on_gpu):
        assert earlier["EndTime"] <= later["StartTime"]
    assert results(remote) == results(local)


def test_a_job_that_was_ended_has_more_the_next_time(projects, cluster):
    _, remote, said, _ = projects
    rules = submitted(said)
    ended = {int(job["JobId"]): job for job in cluster.finished()}

    def jobs_of(rule):
        return [ended[number] for number, name in rules.items() if name == rule]

    first, second = jobs_of("prepare_corpus")
    assert "mem=60M" in first["Tres"]
    assert "mem=2400M" in second["Tres"]
    assert second["JobState"] == "COMPLETED"
    assert first["JobState"] != "COMPLETED"
    first, second = jobs_of("train")
    assert int(second["TimeLimit"]) > 1.9 * int(first["TimeLimit"])
    own_log = next((remote / "logs/slurm").glob(f"*train*/*/{first['JobId']}.log"))
    (step,) = re.findall(r"\(SIGTERM\) after step (\d+)", own_log.read_text("utf-8"))
    assert f"going on from step {step} " in text_of(remote / LOG)


def test_cancelled_jobs_and_a_killed_snakemake_lose_no_work(
    projects, cluster, tmp_path
):
    _, finished, _, _ = projects
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, copy_function=shutil.copy2)
    expected = {p.name: p.read_bytes() for p in (folder / RUN).iterdir() if p.is_file()}
    shutil.rmtree(folder / RUN)
    log, target = folder / LOG, f"{RUN}/model.json"

    # One job is cancelled. Its second attempt is held, while its Snakemake is killed.
    # Without GPU: there is one only, so SLURM itself would let nothing else begin.
    first = submit(folder, target, device="cpu")
    wait_until((folder / RUN / "state.pt").exists)
    cancelled = job_of_training(cluster)
    cluster.run("scancel", str(cancelled))
    wait_until(lambda: "going on from step" in text_of(log))
    held = int(text_of(folder / f"{LOG}.lock.holder").split()[1])
    os.kill(held, signal.SIGSTOP)
    environment = Path(f"/proc/{held}/environ").read_bytes().split(b"\0")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    outlived = job_of_training(cluster)
    # Started again, the same training waits for the job that outlived Snakemake.
    assert start(folder, "--unlock").wait(timeout=60) == 0
    second = submit(folder, target, device="cpu", log="again.log")
    slurm_logs = folder / "logs/slurm"
    wait_until(
        lambda: any(
            f"waiting for process {held} on" in text_of(path)
            for path in slurm_logs.rglob("*.log")
        )
    )
    waiting = set(cluster.jobs()) - {outlived}
    os.kill(held, signal.SIGCONT)
    said = finish(second, folder, log="again.log")

    assert set(submitted(said)) == waiting
    assert b"HF_HUB_OFFLINE=1" in environment
    assert len({cancelled, outlived, *waiting}) == 3
    assert "this run is trained already" in text_of(log)
    weights = (folder / RUN / "model.safetensors").read_bytes()
    assert weights == expected["model.safetensors"]
    assert (folder / RUN / "history.csv").read_bytes() == expected["history.csv"]
    assert not (folder / RUN / "state.pt").exists()


def test_another_scheduler_is_used_through_three_commands(projects, tmp_path):
    local, finished, _, _ = projects
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, copy_function=shutil.copy2)
    (folder / "profiles").symlink_to(ROOT / "profiles")
    for made in ("scores", "metrics"):
        shutil.rmtree(folder / RUN / made)
    (folder / "results/table.csv").unlink()

    running = start(
        folder,
        *("--workflow-profile", str(ROOT / "profiles/generic"), "--latency-wait", "5"),
        *("--seconds-between-status-checks", "1"),
        *("--config", "machine={device: cpu}", "--", "results/table.csv"),
    )
    said = finish(running, folder)

    (number,) = re.findall(r"Submitted job \d+ with external jobid '(\d+)'", said)
    assert (folder / f"logs/cluster/score-{number}.log").exists()
    assert results(folder) == results(local)


def test_processes_that_train_together_ask_for_a_gpu_each(projects, tmp_path):
    local, *_ = projects
    folder = tmp_path / "copy"
    shutil.copytree(local, folder, copy_function=shutil.copy2)
    mhfa = {"kind": "mhfa", "options": {"num_heads": 2, "compression": 4}}
    grid = [CONFIG["grid"][0] | {"backends": ["mhfa"]}]
    write_config(folder, changed(backends={"mhfa": mhfa | {"processes": 2}}, grid=grid))

    said = finish(submit(folder, "--dry-run", "results/table.csv"), folder)

    (train,) = re.findall(r"rule train:.*?resources: (.*?)\n", said, re.DOTALL)
    assert {"gpu=2", "cpus_per_task=3"} <= set(train.split(", "))
