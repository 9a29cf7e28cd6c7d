"""Several processes that train one backend, each on its share of every batch.

torchrun's launcher starts them; a process that it did not start is alone.
"""

import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

logger = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS_TO_END = 3600
"""Of processes that are told to end: they finish an update or a validation first. What
told them does not wait so long if it must not."""


class World(NamedTuple):
    """This process among those that train together.

    Args:
        rank: which it is, from 0; the first alone writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, values: np.ndarray) -> np.ndarray:
        """Give this process's own part of a batch, of which each has as much."""
        each = len(values) // self.size
        return values[self.rank * each : (self.rank + 1) * each]

    def gather(self, value: T) -> list[T]:
        """Give what each process has; all of them must ask."""
        if self.size == 1:
            return [value]
        gathered = [value] * self.size
        distributed.all_gather_object(gathered, value)
        return gathered


ALONE = World()


def launch(script: str, processes: int) -> None:
    """Run a Python script in several processes of this machine.

    ``joined`` gives each its place among them. When one fails, the others are ended,
    and this process too, with its status.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=SECONDS_TO_END,
    )
    try:
        elastic_launch(config, sys.executable)(script)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        logger.error(
            "the process of rank %d was the first to end, with status %d; what it said"
            " is in the log of its rank",
            rank,
            failure.exitcode,
        )
        sys.exit(failure.exitcode)
    except SignalException:
        sys.exit(1)  # they were told to end, as this one was, and have said so


def launched() -> bool:
    """Say whether ``launch`` started this process."""
    return bool(distributed.is_torchelastic_launched())


@contextmanager
def joined() -> Iterator[World]:
    """Be one of the processes that ``launch`` started, in the block; else be alone."""
    if not launched():
        yield ALONE
        return
    # Values of Python go over the CPU: no GPU is waited for, and a process that ends is
    # missed at once.
    on_gpus = torch.cuda.is_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    world = World(distributed.get_rank(), distributed.get_world_size())
    if world.rank:
        logging.disable(logging.INFO)  # the first says it for all
    yield world
    # Not after an error: the others wait in the middle of something.
    distributed.destroy_process_group()
