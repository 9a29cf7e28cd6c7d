"""What a job says, and how it ends."""

import logging
import multiprocessing
import os
import signal
import time

import pytest
import torch

from unipool.log import LoggedProgress, job_log


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_what_is_logged_goes_to_the_file_and_with_the_jobs_name_to_the_terminal(
    tmp_path, capsys
):
    with job_log(tmp_path / "new" / "a.log", "train x"):
        logging.getLogger("unipool.train").info("grüße")

    assert (tmp_path / "new" / "a.log").read_text("utf-8").endswith("INFO grüße\n")
    assert capsys.readouterr().err == "[train x] grüße\n"


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError])
def test_a_mistake_of_the_user_gives_its_message_alone(tmp_path, capsys, error):
    with pytest.raises(SystemExit) as ended, job_log(tmp_path / "a.log", "x"):
        raise error("write it so")

    text = (tmp_path / "a.log").read_text("utf-8")
    assert ended.value.code == 1
    assert text.endswith("ERROR error: write it so\n")
    assert "Traceback" not in text + capsys.readouterr().err


def test_a_fault_of_ours_leaves_its_traceback(tmp_path):
    with pytest.raises(SystemExit) as ended, job_log(tmp_path / "a.log", "x"):
        raise RuntimeError("how could this be")

    text = (tmp_path / "a.log").read_text("utf-8")
    assert ended.value.code == 1
    assert "Traceback" in text
    assert "how could this be" in text


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 9 GiB. GPU 0 has"
        ),
        MemoryError("no array of 9 GiB"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED for 9 GiB"),
    ],
)
def test_where_memory_is_short_it_says_what_to_lower(tmp_path, error):
    with pytest.raises(SystemExit) as ended, job_log(tmp_path / "a.log", "x"):
        raise error

    text = (tmp_path / "a.log").read_text("utf-8")
    assert ended.value.code == 1
    assert "9 GiB; take less at once: `train: {batch_size, accumulate}`" in text
    assert "Traceback" not in text


def test_progress_is_lines_of_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr("unipool.log.SECONDS_BETWEEN_LINES", 0.0)

    with (
        job_log(tmp_path / "a.log", "x"),
        LoggedProgress(desc="embed", unit="utterances", total=3) as bar,
    ):
        for number in range(3):
            bar.set_postfix_str(f"loss {number}", False)
            bar.update()

    lines = (tmp_path / "a.log").read_text("utf-8").splitlines()
    told = dict.fromkeys(line.split("INFO ")[1].split(", 00:0")[0] for line in lines)
    assert list(told) == [
        "embed 0/3 utterances, ? left",
        "embed 1/3 utterances, loss 0",
        "embed 2/3 utterances, loss 1",
        "embed 3/3 utterances, loss 2",
    ]


def test_little_progress_is_not_worth_a_line(tmp_path):
    with job_log(tmp_path / "a.log", "x"):
        for _ in LoggedProgress(range(1000), desc="check", unit="files", total=1000):
            pass

    lines = (tmp_path / "a.log").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert "check 1000/1000 files" in lines[-1]


def hold(path, started):
    with job_log(path, "x"):
        logging.info("begun")
        started.set()
        time.sleep(60)


def test_the_same_job_started_again_waits_until_the_first_is_dead(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    started = spawn.Event()
    first = spawn.Process(target=hold, args=(tmp_path / "a.log", started))
    first.start()
    assert started.wait(60)
    second_started = spawn.Event()
    second = spawn.Process(target=hold, args=(tmp_path / "a.log", second_started))
    second.start()

    assert not second_started.wait(3)
    assert "begun" in (tmp_path / "a.log").read_text("utf-8")
    first.kill()
    assert second_started.wait(60)

    second.kill()
    first.join()
    second.join()


def test_a_job_that_is_told_to_end_says_so_and_lets_go_of_what_it_holds(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    started = spawn.Event()
    job = spawn.Process(target=hold, args=(tmp_path / "a.log", started))
    job.start()
    assert started.wait(60)
    job.terminate()
    job.join(30)

    assert job.exitcode == 1
    assert "told to end (SIGTERM)" in (tmp_path / "a.log").read_text("utf-8")
    assert not (tmp_path / "a.log.lock.holder").exists()


class ToldWhenItGoes:
    """Gets SIGTERM within its destructor."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # where Python looks for signals, and drops what is raised


def hold_what_is_told(path):
    with job_log(path, "x"):
        ToldWhenItGoes()
        time.sleep(60)


def close_while_told(path):
    def told_when_closed():
        try:
            yield 1
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)

    with job_log(path, "x"):
        generator = told_when_closed()
        next(generator)
        generator.close()
        time.sleep(60)


@pytest.mark.parametrize("told", [hold_what_is_told, close_while_told])
def test_a_job_ends_though_it_is_told_where_what_is_raised_is_dropped(tmp_path, told):
    spawn = multiprocessing.get_context("spawn")
    job = spawn.Process(target=told, args=(tmp_path / "a.log",))
    job.start()
    job.join(30)

    assert job.exitcode == 1
    text = (tmp_path / "a.log").read_text("utf-8")
    assert text.count("told to end (SIGTERM)") == 1
