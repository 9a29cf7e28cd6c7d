"""One run: what to train, and its training, from open caches to a checkpoint.

Everything random follows from the seed and the step, and the state is kept at each
validation and at SIGTERM, so a training that was killed ends in the same weights as one
that was not: to the bit on a CPU, on a GPU but for sums whose order is left to chance.

Source: the published training code of UniPool (Kim et al., arXiv 2409.07770 v1):
gradient clip; of the validations the one of lowest EER is kept, of equals the later.
Optimizer and learning rate are by default its own, Adam and one cycle.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from unipool.backends import BACKENDS, PAIRWISE
from unipool.batches import CropSampler
from unipool.cache import Cache
from unipool.checkpoint import (
    is_of,
    read_state,
    remove_state,
    write_checkpoint,
    write_state,
)
from unipool.device import forget_peak_memory, peak_memory_bytes
from unipool.distributed import ALONE, World
from unipool.facts import read_facts
from unipool.pairwise import PairSampler
from unipool.provenance import versions
from unipool.rounds import train_in_rounds
from unipool.splits import TrainingData
from unipool.starting import Start, start_from
from unipool.trainee import PLAIN, STATEFUL, Trainee
from unipool.training import Training
from unipool.validation import Validation

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """One training: what becomes of the cache, and where.

    Args:
        folder: of the checkpoint.
        kind: of the backend, a name in ``BACKENDS`` or ``PAIRWISE``.
        options: keyword arguments of that backend.
        training: steps, learning rate and so on.
        seed: of initial weights, crops and dropout.
        definition: all settings that decide the result, kept in ``model.json``.
    """

    folder: Path
    kind: str
    options: dict[str, Any]
    training: Training
    seed: int
    definition: dict[str, Any]

    @property
    def pairwise(self) -> bool:
        """Whether it compares utterances two by two, and gives no embeddings."""
        return self.kind in PAIRWISE

    @classmethod
    def of(cls, folder: Path, definition: dict[str, Any], seed: int) -> "Run":
        """Read kind, options and settings off the definition that holds all."""
        backend, training = definition["backend"], Training(**definition["train"])
        return cls(
            folder, backend["kind"], backend["options"], training, seed, definition
        )


def train_one(
    run: Run,
    data: TrainingData,
    device: torch.device,
    embed_batch_seconds: float,
    start: Path | None = None,
    world: World = ALONE,
) -> None:
    """Train one run, from where an earlier start left it.

    Args:
        run: what to train.
        data: on which.
        device: where it is computed.
        embed_batch_seconds: of a validation batch, its padding included.
        start: folder of the run with whose weights this one begins, if it does.
        world: the processes that train it together.

    Reads: ``state.pt`` of an earlier start, the checkpoint in ``start``.
    Writes: a checkpoint in the run's folder, unless one of the same is there.

    Raises:
        ValueError: when the loss is not finite, or ``start`` has other weights.
    """
    torch.backends.cudnn.deterministic = True
    forget_peak_memory(device)
    run.folder.mkdir(parents=True, exist_ok=True)
    training, cache = run.training, data.cache
    sampler = _sampler(run, data, world)
    torch.manual_seed(run.seed)
    kinds = BACKENDS | PAIRWISE
    backend = kinds[run.kind](cache.num_layers, cache.hidden_size, **run.options)
    loss = training.make_loss(_embedding_size(backend), data.num_speakers)
    begun = None
    if start is not None:
        begun = start_from(start, kind=run.kind, backend=backend, loss=loss)
    trainee = Trainee(
        backend, loss, training, seed=run.seed, device=device, world=world
    )
    validation = Validation(
        data.valid_cache,
        data.valid_trials,
        max_frames=int(embed_batch_seconds / data.valid_cache.frame_shift),
        num_heads=trainee.loss.num_heads,
        pairwise=run.pairwise,
        world=world,
    )
    identity = _identity(run, cache, begun)
    if _is_trained(run.folder, identity):
        return
    _go_on(trainee, run.folder, identity)
    train_in_rounds(
        trainee,
        sampler,
        validation,
        keep=lambda state: write_state(run.folder, {"identity": identity, **state}),
    )
    costs = _costs(trainee, begun)
    if world.rank == 0:
        _write(run, data, trainee, identity, costs)


def _sampler(run: Run, data: TrainingData, world: World) -> CropSampler:
    training, cache = run.training, data.cache
    settings: dict[str, Any] = {
        "batch_size": training.batch_size,
        "crop_frames": round(training.crop_seconds / cache.frame_shift),
        "seed": run.seed,
        "world": world,
    }
    if run.pairwise:
        return PairSampler(cache, data.labels, data.recordings, **settings)
    return CropSampler(cache, data.labels, **settings)


def _write(
    run: Run,
    data: TrainingData,
    trainee: Trainee,
    identity: str,
    costs: dict[str, Any],
) -> None:
    pd.DataFrame(trainee.history).to_csv(run.folder / "history.csv", index=False)
    write_checkpoint(
        run.folder,
        trainee.best,
        {
            "kind": run.kind,
            "options": run.options,
            "num_layers": data.cache.num_layers,
            "layers": data.cache.layers,
            "hidden_size": data.cache.hidden_size,
            "backbone_sha256": data.backbone_sha256,
            **_of_encoder(run),
            "loss_heads": trainee.loss.num_heads,
            "seed": run.seed,
            "identity": identity,
            "num_speakers": data.num_speakers,
            **_best(trainee),
            **costs,
            "caches": data.costs,
            "definition": run.definition,
            "versions": versions(),
        },
        loss=trainee.best_loss,
    )
    remove_state(run.folder)


def _of_encoder(run: Run) -> dict[str, str]:
    """Say which encoder the run fine-tunes, if it does."""
    if "encoder" not in run.options:
        return {}
    return {"encoder_sha256": read_facts(Path(run.options["encoder"]))["sha256"]}


def _identity(run: Run, cache: Cache, begun: Start | None) -> str:
    """Say what a run is of; a state that is of anything else is not gone on from."""
    start = None if begun is None else [begun.weights_sha256, begun.loss_sha256]
    made_of = [run.definition, cache.fingerprints, run.seed, start, *STATEFUL, *PLAIN]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _is_trained(run: Path, identity: str) -> bool:
    if not is_of(run, identity):
        return False
    logger.info("this run is trained already")
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


def _embedding_size(backend: nn.Module) -> int:
    assert isinstance(backend.embedding_size, int)
    return backend.embedding_size
