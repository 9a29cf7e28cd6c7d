"""Train one backend from the cache.

Everything random follows from the seed and the step, and the state is kept at each
validation and at SIGTERM, so a training that was killed ends in the same weights as one
that was not.

Source: the published training code of UniPool (Kim et al., arXiv 2409.07770 v1):
gradient clip; of the validations the one of lowest EER is kept, of equals the later.
Optimizer and learning rate are by default its own, Adam and one cycle.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import nn

from unipool.backends import BACKENDS
from unipool.batches import CropSampler
from unipool.cache import Cache
from unipool.checkpoint import (
    is_of,
    read_state,
    remove_state,
    write_checkpoint,
    write_state,
)
from unipool.device import peak_memory_bytes, pick_device
from unipool.distributed import ALONE, World
from unipool.provenance import versions
from unipool.rounds import train_in_rounds
from unipool.splits import Memory, SplitCache
from unipool.starting import Start, start_from
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
    start: Path | None = None,
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
        start: folder of another run, with whose weights this one begins; None: with
            drawn ones.
        world: the processes that train this run together; each calls this function.

    Reads: manifests, cache parts, validation trials, ``state.pt`` of an earlier start,
        the checkpoint in ``start``.
    Writes: ``model.safetensors``, ``loss.safetensors``, ``history.csv`` and
        ``model.json`` in ``run``, unless they are there already and of the same.

    Raises:
        ValueError: when a cache is not the expected one, there are fewer than two
            speakers, the loss is not finite, or ``start`` has other weights.
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
    begun = None
    if start is not None:
        begun = start_from(start, kind=kind, backend=backend, loss=loss)
    trainee = Trainee(backend, loss, training, seed=seed, device=where, world=world)
    validation = Validation(
        valid_cache,
        read_trial_list(valid_trials),
        max_frames=int(embed_batch_seconds / valid_cache.frame_shift),
        num_heads=trainee.loss.num_heads,
        world=world,
    )
    identity = _identity(definition, cache, seed, begun)
    if _is_trained(run, identity):
        return
    _go_on(trainee, run, identity)
    train_in_rounds(
        trainee,
        sampler,
        validation,
        keep=lambda state: write_state(run, {"identity": identity, **state}),
    )
    outcome = _best(trainee) | _costs(trainee, begun)
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
            "identity": identity,
            "num_speakers": len(speakers),
            **outcome,
            "caches": train_split.costs(cache) | valid_split.costs(valid_cache),
            "definition": definition,
            "versions": versions(),
        },
        loss=trainee.best_loss,
    )
    remove_state(run)


def _identity(
    definition: dict[str, Any], cache: Cache, seed: int, begun: Start | None
) -> str:
    """Say what a run is of; a state that is of anything else is not gone on from."""
    start = None if begun is None else [begun.weights_sha256, begun.loss_sha256]
    made_of = [definition, cache.fingerprints, seed, start, *STATEFUL, *PLAIN]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _is_trained(run: Path, identity: str) -> bool:
    if not is_of(run, identity):
        return False
    logger.info("another job has trained this run while this one waited")
    return True


def _go_on(trainee: Trainee, run: Path, identity: str) -> None:
    """Have an earlier start's state, where there is one of the same."""
    state = read_state(run)
    if state is not None and state.pop("identity") == identity:
        trainee.restore(state)
        logger.info("going on from step %d of an earlier start", trainee.step)


def _best(trainee: Trainee) -> dict[str, Any]:
    """Say which weights are kept: of equally good ones the later."""
    best = min(reversed(trainee.history), key=lambda row: row["valid_eer"])
    return {"best_step": best["step"], "valid_eer": best["valid_eer"]}


def _costs(trainee: Trainee, begun: Start | None) -> dict[str, Any]:
    """Give what the weights cost, with those they began as, and what these were."""
    gather = trainee.world.gather
    trained = [some for some in trainee.backend.parameters() if some.requires_grad]
    memory = sum(gather(peak_memory_bytes(trainee.device)))
    seconds = trainee.seconds
    if begun is not None:
        seconds += begun.train_seconds
        memory = max(memory, begun.train_memory_bytes or 0)
    return {
        "backend_parameters": sum(some.numel() for some in trained),
        "train_seconds": round(seconds, 3),
        "train_memory_bytes": memory,
        "activation_bytes": trainee.activation_bytes,
        **({} if begun is None else {"start": begun._asdict()}),
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
