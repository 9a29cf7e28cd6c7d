"""Which of a machine's GPUs a job takes: Snakemake counts them, and gives none out."""

import getpass
import logging
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0

TAKEN = "UNIPOOL_GPUS_TAKEN"
GIVEN = (TAKEN, "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""In the environment of a process that was given its GPUs: by one that took them, by a
scheduler (SLURM, PBS, LSF, Grid Engine)."""


@contextmanager
def own_gpus(count: int, device: str, jobs_per_gpu: int) -> Iterator[None]:
    """See only so many GPUs, which no other job of this user's has, in the block.

    A job takes those that fewest jobs have, and waits until there are enough. Where a
    scheduler gave it no more than that, it takes what it was given. It is to be called
    before CUDA is used, and lets go of them however the process ends.

    Args:
        count: how many are needed.
        device: ``auto``, ``cpu`` or ``cuda``; with ``cpu`` none are.
        jobs_per_gpu: that may have the same one.
    """
    visible = [] if device == "cpu" else _visible()
    is_given = len(visible) == count and any(name in os.environ for name in GIVEN)
    if len(visible) < count or is_given:  # too few: whoever uses them says so
        yield
        return
    with ExitStack() as held:
        taken = _take(visible, count, jobs_per_gpu, held)
        if not taken:
            logger.info("waiting for %d of the GPUs %s", count, ", ".join(visible))
        while not taken:
            # By chance, so that two that wait for several do not keep meeting.
            time.sleep(SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5))
            taken = _take(visible, count, jobs_per_gpu, held)
        logger.info("on GPU %s", ", ".join(taken))
        own = {"CUDA_VISIBLE_DEVICES": ",".join(taken), TAKEN: "yes"}
        before = {name: os.environ.get(name) for name in own}
        os.environ |= own
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _visible() -> list[str]:
    """Name the GPUs that this process may use, without using them."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(place) for place in range(torch.cuda.device_count())]
    names = [name.strip() for name in listed.split(",") if name.strip()]
    return names[: names.index("-1")] if "-1" in names else names


def _take(
    visible: list[str], count: int, jobs_per_gpu: int, held: ExitStack
) -> list[str]:
    """Take GPUs whose locks are free, until ``held`` lets go of them; all or none."""
    folder = Path(tempfile.gettempdir()) / f"unipool-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    with ExitStack() as locks:
        taken: list[str] = []
        for place in range(jobs_per_gpu):  # a second job on one only if all have one
            for name in visible:
                if name in taken or len(taken) == count:
                    continue
                lock = FileLock(folder / f"{name}-{place}.lock")
                try:
                    locks.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    continue
                taken.append(name)
        if len(taken) < count:
            return []
        held.push(locks.pop_all())
    return taken
