"""Train backends from the cache: one run, or several that share it."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from unipool.ahead import AHEAD, forget, is_imported, was_made_with
from unipool.device import pick_device
from unipool.distributed import ALONE, World
from unipool.run import Run, train_one
from unipool.splits import Memory, SplitCache, open_training_data

logger = logging.getLogger(__name__)


def train(
    run: Run,
    *,
    train_split: SplitCache,
    valid_split: SplitCache,
    valid_trials: Path,
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
    memory: Memory,
    start: Path | None = None,
    world: World = ALONE,
) -> None:
    """Train a backend and keep the weights that verify the validation trials best.

    Args:
        run: what to train.
        train_split: the utterances whose speakers it learns to tell apart.
        valid_split: the utterances that ``valid_trials`` speak of.
        valid_trials: trial list that chooses among the weights, its companion beside
            it.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.
        embed_batch_seconds: of a validation batch, its padding included.
        memory: which splits are held in it, by each process.
        start: folder of another run, with whose weights this one begins; None: with
            drawn ones.
        world: the processes that train this run together; each calls this function.

    Reads: manifests, cache parts, validation trials, ``state.pt`` of an earlier start,
        the checkpoint in ``start``.
    Writes: ``model.safetensors``, ``loss.safetensors``, ``history.csv`` and
        ``model.json`` in the run's folder, unless they are there already and of the
        same.

    Raises:
        ValueError: when a cache is not the expected one, there are fewer than two
            speakers, the loss is not finite, or ``start`` has other weights.
    """
    torch.set_num_threads(num_threads)
    where = pick_device(device, world)
    data = open_training_data(
        train_split, valid_split, valid_trials, memory=memory, device=where
    )
    train_one(run, data, where, embed_batch_seconds, start, world)
    if world.rank == 0:
        forget(run.folder)


def train_together(
    runs: Sequence[Run],
    *,
    train_split: SplitCache,
    valid_split: SplitCache,
    valid_trials: Path,
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
    memory: Memory,
    receipt: Path,
) -> None:
    """Train runs of one cache, which is opened once; each becomes what it would alone.

    What a run becomes is kept in a folder of its own, ``ahead`` in the run's, until the
    run's own job takes it (``unipool.ahead``). A run that cannot be trained is left to
    its own job, which says why.

    Args:
        runs: what to train; those that are there already are passed over.
        train_split: as of ``train``, like what follows.
        valid_split: alike.
        valid_trials: alike.
        device: alike.
        num_threads: alike.
        embed_batch_seconds: alike.
        memory: alike.
        receipt: file that says which runs came to their end here.

    Reads: as ``train``.
    Writes: what ``train`` does, in ``ahead``; ``receipt``, last.

    Raises:
        ValueError: when a cache is not the expected one, or there are fewer than two
            speakers.
    """
    torch.set_num_threads(num_threads)
    where = pick_device(device)
    data = open_training_data(
        train_split, valid_split, valid_trials, memory=memory, device=where
    )
    trained = []
    for number, run in enumerate(runs, start=1):
        name = "/".join(run.folder.parts[-2:])
        logger.info("run %d of %d, %s", number, len(runs), name)
        described = run.folder / "model.json"
        if is_imported(described) or was_made_with(described, run.definition):
            logger.info("it is there already")
            continue
        ahead = run._replace(folder=run.folder / AHEAD)
        try:
            train_one(ahead, data, where, embed_batch_seconds)
        except (ValueError, OSError, RuntimeError) as error:
            logger.warning("%s is left to its own job: %s", name, error)
            continue
        trained.append(run.folder.as_posix())
    receipt.parent.mkdir(parents=True, exist_ok=True)
    receipt.write_text(json.dumps({"trained": trained}, indent=2) + "\n", "utf-8")
