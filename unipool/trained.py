"""A trained run, built again on the hidden states of a split."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from unipool.backends import BACKENDS, PAIRWISE
from unipool.cache import Cache
from unipool.checkpoint import read_checkpoint, stop_at_other_backbone
from unipool.splits import Memory, SplitCache

COSTS = (
    "backend_parameters",
    "train_seconds",
    "train_memory_bytes",
    "activation_bytes",
)
"""What ``model.json`` says that a run did cost."""


class Opened(NamedTuple):
    """A run, and the hidden states of a split that it is applied to.

    Args:
        backend: as it was trained, where it is computed.
        info: its ``model.json``.
        cache: the hidden states.
        rows: of the manifest, in the same order.
    """

    backend: nn.Module
    info: dict[str, Any]
    cache: Cache
    rows: pd.DataFrame

    @property
    def costs(self) -> dict[str, float | None]:
        """What the run did cost, by name."""
        return {name: self.info.get(name) for name in COSTS}


def open_run(run: Path, split: SplitCache, device: torch.device) -> Opened:
    """Build a run's backend on the hidden states of a split.

    Args:
        run: folder of the checkpoint.
        split: utterances of any corpus, cached with the run's backbone.
        device: where it is computed.

    Reads: the checkpoint, the manifest, cache parts.

    Raises:
        FileNotFoundError: when the run has not been trained to its end.
        ValueError: when the cache is not the expected one, or does not fit the
            checkpoint.
    """
    weights, info = read_checkpoint(run)
    stop_at_other_backbone(run, info, split.backbone, split.facts)
    cache, rows = split.open(Memory(0, 0), device)
    if cache.layers != info["layers"]:
        raise ValueError(
            f"{split.folder}: hidden states of layers {cache.layers}; the run {run} was"
            f" trained on layers {info['layers']}: embed with these"
        )
    kinds = BACKENDS | PAIRWISE
    if info["kind"] not in kinds:
        raise ValueError(
            f"{run}: a backend of kind {info['kind']!r}, which this unipool does not"
            " have; use the one that trained it"
        )
    try:
        backend = kinds[info["kind"]](
            cache.num_layers, cache.hidden_size, **info["options"]
        )
        backend.load_state_dict(weights)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{run}: its weights are not of what model.json describes, or not as this"
            f" unipool builds it ({error}); use the one that trained it, or train again"
        ) from error
    return Opened(backend.to(device), info, cache, rows)


def stop_without_embeddings(run: Path, info: dict[str, Any]) -> None:
    """Hold a run against being asked for embeddings.

    Raises:
        ValueError: when it compares utterances two by two.
    """
    if info["kind"] in PAIRWISE:
        raise ValueError(
            f"{run}: a {info['kind']} compares utterances two by two and has no"
            " embeddings; the workflow scores its trials, as rows of the table whose"
            " scoring is pairwise"
        )
