"""The hidden states of splits: where they are, what they must be of."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64

from unipool.cache import Cache, PartSet, open_cache
from unipool.facts import read_facts
from unipool.manifest import divide, read_manifest
from unipool.trials import TrialList, read_trial_list
from unipool.views import view_of

logger = logging.getLogger(__name__)


class Memory(NamedTuple):
    """How much of a split's hidden states is held in memory.

    Args:
        memory_gb: a split of at most this size is held in that of the host;
        gpu_memory_gb: and one of at most this size in that of the GPU.
    """

    memory_gb: float
    gpu_memory_gb: float

    def load(self, cache: Cache, device: torch.device) -> None:
        """Load a split where it fits; else its files are read, mapped into memory."""
        if device.type == "cuda" and cache.num_bytes <= self.gpu_memory_gb * 1e9:
            try:
                return cache.load(device)
            except torch.OutOfMemoryError:
                logger.warning(
                    "the GPU has no %.1f GB free for a split, though"
                    " machine.gpu_memory_gb is %s; it is held elsewhere",
                    cache.num_bytes / 1e9,
                    self.gpu_memory_gb,
                )
        if cache.num_bytes <= self.memory_gb * 1e9:
            cache.load(torch.device("cpu"))


class SplitCache(NamedTuple):
    """Where the hidden states of one split are, and what they must be of.

    Args:
        manifest: of the corpus.
        split: which of its utterances.
        backbone: folder that ``fetch_backbone`` made.
        folder: ``{cache_dir}/{backbone}/{corpus}/{split}``.
        num_parts: of each view.
        views: what of the audio was encoded, by name; all of them together are read.
        layers: of the encoder, those that are read; None for all that are kept.
    """

    manifest: Path
    split: str
    backbone: Path
    folder: Path
    num_parts: int
    views: dict[str, dict[str, Any]]
    layers: list[int] | None

    @property
    def facts(self) -> dict[str, Any]:
        """What ``backbone.json`` says now."""
        return read_facts(self.backbone)

    def open(self, memory: Memory, device: torch.device) -> tuple[Cache, pd.DataFrame]:
        """Open the cache, and give its rows, as the views made them of the manifest's.

        Args:
            memory: in which it is held, if it fits.
            device: where it is needed.

        Raises:
            ValueError: when the cache is not of this backbone and manifest, or not
                whole.
        """
        manifest = read_manifest(self.manifest)
        parts = divide(manifest, split=self.split, num_parts=self.num_parts)
        sets = [
            PartSet(
                self.folder / name,
                definition,
                [view_of(definition).rows(rows) for rows in parts],
            )
            for name, definition in self.views.items()
        ]
        cache = open_cache(
            sets, backbone_sha256=self.facts["sha256"], layers=self.layers
        )
        memory.load(cache, device)
        rows = [rows for one in sets for rows in one.rows_of_parts]
        return cache, pd.concat(rows, ignore_index=True)

    def costs(self, cache: Cache) -> dict[str, dict[str, float]]:
        """Give what each view cost, under its path in the cache: seconds, bytes."""
        parts = cache.costs_of_parts
        found = {}
        for place, view in enumerate(self.views):
            of_view = parts[place * self.num_parts : (place + 1) * self.num_parts]
            found["/".join([*self.folder.parts[-3:], view])] = {
                name: sum(part[name] for part in of_view)
                for name in ("extract_seconds", "bytes")
            }
        return found


class TrainingData(NamedTuple):
    """All that runs of one cache are trained on, open; several may share it.

    Args:
        cache: hidden states of the training split.
        labels: the training speaker of each of its utterances.
        recordings: a number for each; crops and copies of one recording have the same.
        num_speakers: whom the labels count.
        valid_cache: hidden states of the validation trials' utterances.
        valid_trials: the trials that choose among the weights.
        costs: of both caches, under their paths.
        backbone_sha256: of the backbone that both were made with.
    """

    cache: Cache
    labels: Int64[np.ndarray, " N"]
    recordings: Int64[np.ndarray, " N"]
    num_speakers: int
    valid_cache: Cache
    valid_trials: TrialList
    costs: dict[str, dict[str, float]]
    backbone_sha256: str


def open_training_data(
    train_split: SplitCache,
    valid_split: SplitCache,
    valid_trials: Path,
    *,
    memory: Memory,
    device: torch.device,
) -> TrainingData:
    """Open what a training reads.

    Args:
        train_split: the utterances whose speakers are learnt to be told apart.
        valid_split: the utterances that ``valid_trials`` speak of.
        valid_trials: trial list, its companion beside it.
        memory: in which the splits are held, where they fit.
        device: where they are needed.

    Raises:
        ValueError: when a cache is not the expected one, or there are fewer than two
            speakers.
    """
    cache, rows = train_split.open(memory, device)
    valid_cache, _ = valid_split.open(memory, device)
    labels, speakers = pd.factorize(rows["speaker"], sort=True)
    if len(speakers) < 2:
        raise ValueError(
            f"{train_split.manifest}: {len(speakers)} training speaker(s), a backend"
            " learns to tell at least 2 apart; change the corpus's split"
        )
    return TrainingData(
        cache,
        labels.astype(np.int64),
        pd.factorize(rows["source"])[0].astype(np.int64),
        len(speakers),
        valid_cache,
        read_trial_list(valid_trials),
        costs=train_split.costs(cache) | valid_split.costs(valid_cache),
        backbone_sha256=train_split.facts["sha256"],
    )
