"""Train one backend from the cache: the whole loop, written out.

Everything random follows from the seed and the step, and the state is kept at each
validation, so a training that was killed ends in the same weights as one that was not.

Source: the published training code of UniPool (Kim et al., arXiv 2409.07770 v1):
gradient clip; of the validations the one of lowest EER is kept, of equals the later.
Optimizer and learning rate are by default its own, Adam and one cycle.
"""

import json
import logging
import math
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import nn

from unipool.backends import BACKENDS
from unipool.batches import CropSampler
from unipool.checkpoint import read_state, remove_state, write_checkpoint, write_state
from unipool.device import peak_memory_bytes, pick_device
from unipool.distributed import ALONE, World
from unipool.log import LoggedProgress
from unipool.provenance import versions
from unipool.splits import Memory, SplitCache
from unipool.trainee import PLAIN, STATEFUL, Trainee
from unipool.training import Training
from unipool.trials import read_trial_list
from unipool.validation import Validation

logger = logging.getLogger(__name__)


def train(
    *,
    run: Path,
    train_split: SplitCache,
    valid_split: SplitCache,
    valid_trials: Path,
    kind: str,
    options: dict[str, Any],
    training: Training,
    seed: int,
    definition: dict[str, Any],
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
    memory: Memory,
    world: World = ALONE,
) -> None:
    """Train a backend and keep the weights that verify the validation trials best.

    Args:
        run: folder of the checkpoint.
        train_split: the utterances whose speakers it learns to tell apart.
        valid_split: the utterances that ``valid_trials`` speak of.
        valid_trials: trial list that chooses among the weights, its companion beside
            it.
        kind: name in ``BACKENDS``.
        options: keyword arguments of that backend.
        training: steps, learning rate and so on.
        seed: of initial weights, crops and dropout.
        definition: all settings that decide the result, kept in ``model.json``.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.
        embed_batch_seconds: of a validation batch, its padding included.
        memory: which splits are held in it, by each process.
        world: the processes that train this run together; each calls this function.

    Reads: manifests, cache parts, validation trials, ``state.pt`` of an earlier start.
    Writes: ``model.safetensors``, ``history.csv`` and ``model.json`` in ``run``.

    Raises:
        ValueError: when a cache is not the expected one, there are fewer than two
            speakers, or the loss is not finite.
    """
    torch.set_num_threads(num_threads)
    torch.backends.cudnn.deterministic = True
    run.mkdir(parents=True, exist_ok=True)
    where = pick_device(device, world)
    cache, rows = train_split.open(memory, where)
    valid_cache, _ = valid_split.open(memory, where)
    labels, speakers = _number_speakers(rows, train_split.manifest)
    sampler = CropSampler(
        cache,
        labels,
        batch_size=training.batch_size,
        crop_frames=round(training.crop_seconds / cache.frame_shift),
        seed=seed,
        world=world,
    )
    torch.manual_seed(seed)
    backend = BACKENDS[kind](cache.num_layers, cache.hidden_size, **options)
    loss = training.make_loss(_embedding_size(backend), len(speakers))
    trainee = Trainee(backend, loss, training, seed=seed, device=where, world=world)
    validation = Validation(
        valid_cache,
        read_trial_list(valid_trials),
        max_frames=int(embed_batch_seconds / valid_cache.frame_shift),
        num_heads=trainee.loss.num_heads,
        world=world,
    )
    identity = json.dumps(
        [definition, cache.fingerprints, seed, *STATEFUL, *PLAIN], sort_keys=True
    )
    state = read_state(run)
    if state is not None and state.pop("identity") == identity:
        trainee.restore(state)
        logger.info("going on from step %d of an earlier start", trainee.step)
    _loop(
        trainee,
        sampler,
        validation,
        keep=lambda state: write_state(run, {"identity": identity, **state}),
    )
    costs = _costs(trainee)
    if world.rank:
        return

    pd.DataFrame(trainee.history).to_csv(run / "history.csv", index=False)
    write_checkpoint(
        run,
        trainee.best,
        {
            "kind": kind,
            "options": options,
            "num_layers": cache.num_layers,
            "layers": cache.layers,
            "hidden_size": cache.hidden_size,
            "loss_heads": trainee.loss.num_heads,
            "seed": seed,
            "num_speakers": len(speakers),
            **_best(trainee),
            **costs,
            "caches": train_split.costs(cache) | valid_split.costs(valid_cache),
            "definition": definition,
            "versions": versions(),
        },
    )
    remove_state(run)


def _best(trainee: Trainee) -> dict[str, float]:
    """Say which weights are kept: of equally good ones the later."""
    best = min(reversed(trainee.history), key=lambda row: row["valid_eer"])
    return {"best_step": best["step"], "valid_eer": best["valid_eer"]}


def _costs(trainee: Trainee) -> dict[str, float]:
    gather = trainee.world.gather
    trained = [some for some in trainee.backend.parameters() if some.requires_grad]
    return {
        "backend_parameters": sum(some.numel() for some in trained),
        "train_seconds": round(trainee.seconds, 3),
        "train_memory_bytes": sum(gather(peak_memory_bytes(trainee.device))),
        "activation_bytes": sum(gather(trainee.activation_bytes)),
    }


def _number_speakers(
    rows: pd.DataFrame, manifest: Path
) -> tuple[Int64[np.ndarray, " N"], list[str]]:
    """Give the label of each row, and the speaker whom each label means."""
    labels, speakers = pd.factorize(rows["speaker"], sort=True)
    if len(speakers) < 2:
        raise ValueError(
            f"{manifest}: {len(speakers)} training speaker(s), a backend learns to"
            " tell at least 2 apart; change the corpus's split"
        )
    return labels.astype(np.int64), list(speakers)


def _embedding_size(backend: nn.Module) -> int:
    assert isinstance(backend.embedding_size, int)
    return backend.embedding_size


def _loop(
    trainee: Trainee,
    sampler: CropSampler,
    validation: Validation,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Update, validate and keep the state in turn, until all steps are done.

    The first validation is of the untrained backend.
    """
    training = trainee.training
    with LoggedProgress(
        desc="train", unit="steps", total=training.steps, initial=trainee.step
    ) as bar:
        while not trainee.history or trainee.step < training.steps:
            started = time.monotonic()
            rounds_done = trainee.step // training.validate_every
            last = min((rounds_done + 1) * training.validate_every, training.steps)
            if not trainee.history:
                last = 0
            losses = []
            each = training.accumulate
            batches = sampler.batches(trainee.step * each, last * each)
            for _ in range(trainee.step, last):
                losses.append(trainee.update(islice(batches, each)))
                bar.set_postfix_str(
                    f"loss {losses[-1]:.3f}, lr {trainee.learning_rate:.1e}", False
                )
                bar.update()
            valid_eer = validation.eer(trainee.backend, trainee.device)
            trainee.add_validation(
                float(np.mean(losses)) if losses else math.nan, valid_eer
            )
            logger.info("step %d: validation EER %.2f %%", last, 100 * valid_eer)
            trainee.seconds += time.monotonic() - started
            if trainee.world.rank == 0:
                keep(trainee.state())
