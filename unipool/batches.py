"""Batches from the cache: random crops to train on, whole utterances to embed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float16, Float32, Int64
from torch import Tensor, nn

from unipool.cache import Cache, open_cache
from unipool.log import LoggedProgress
from unipool.manifest import read_manifest, select_part


class SplitCache(NamedTuple):
    """Where the hidden states of one split are, and what they must be of."""

    manifest: Path
    split: str
    backbone: Path
    folder: Path
    num_parts: int

    def open(self, *, memory_gb: float) -> tuple[Cache, pd.DataFrame]:
        """Open the cache, and read its rows of the manifest.

        Args:
            memory_gb: a split of at most this size is read into memory at once.

        Raises:
            ValueError: when the cache is not of this backbone and manifest, or not
                whole.
        """
        manifest = read_manifest(self.manifest)
        rows = manifest[manifest["split"] == self.split].reset_index(drop=True)
        facts = json.loads((self.backbone / "backbone.json").read_text("utf-8"))
        cache = open_cache(
            self.folder,
            [
                select_part(
                    manifest, split=self.split, part=part, num_parts=self.num_parts
                )
                for part in range(self.num_parts)
            ],
            backbone_sha256=facts["sha256"],
            view=self.folder.name,
        )
        if cache.num_bytes <= memory_gb * 1e9:
            cache.load()
        return cache, rows

    def costs(self, cache: Cache) -> dict[str, dict[str, float]]:
        """Give what it cost, under backbone/corpus/split/view: seconds and bytes."""
        return {
            "/".join(self.folder.parts[-4:]): {
                "extract_seconds": cache.extract_seconds,
                "bytes": cache.num_bytes,
            }
        }


class CropBatch(NamedTuple):
    """Crops of equal length, and which training speaker each is of."""

    hidden_states: Float16[Tensor, "B L T D"]
    labels: Int64[Tensor, " B"]


class CropSampler:
    """Draw training crops: every utterance once an epoch, each at a random place.

    A batch follows from the seed and the step alone, so a training that is resumed
    needs no state of the sampler. An utterance shorter than the crop is repeated from
    its beginning.

    Args:
        cache: hidden states of the training split.
        labels: the training speaker of each of its utterances.
        batch_size: crops in a batch; it may be larger than the number of utterances.
        crop_frames: frames of a crop.
        seed: of the order of the utterances and of the places.

    Raises:
        ValueError: when a crop has no frame.

    Source: the published training code of UniPool: utterances are drawn uniformly,
    not speakers; the start of a crop is uniform; a short utterance is wrapped.
    """

    def __init__(
        self,
        cache: Cache,
        labels: Int64[np.ndarray, " N"],
        *,
        batch_size: int,
        crop_frames: int,
        seed: int,
    ) -> None:
        if crop_frames < 1:
            raise ValueError(
                "train.crop_seconds is shorter than one frame, which lasts"
                f" {cache.frame_shift} s; raise it"
            )
        self.cache = cache
        self.labels = labels
        self.batch_size = batch_size
        self.crop_frames = crop_frames
        self.seed = seed

    def batch(self, step: int) -> CropBatch:
        """Read the batch of one step, counted from 0."""
        places = np.random.default_rng([self.seed, 1, step])
        rows = self._rows(step)
        crops = np.stack([self._crop(int(row), places) for row in rows])
        return CropBatch(torch.from_numpy(crops), torch.from_numpy(self.labels[rows]))

    def batches(self, first: int, last: int) -> Iterator[CropBatch]:
        """Give the batches of steps ``first`` to ``last - 1``, each read one ahead."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self.batch, first)
            for step in range(first, last):
                batch = ahead.result()
                if step + 1 < last:
                    ahead = reader.submit(self.batch, step + 1)
                yield batch

    def _rows(self, step: int) -> Int64[np.ndarray, " B"]:
        num_utterances = len(self.labels)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, num_utterances)
        orders = {
            epoch: np.random.default_rng([self.seed, 0, epoch]).permutation(
                num_utterances
            )
            for epoch in np.unique(epochs)
        }
        return np.array(
            [orders[epoch][i] for epoch, i in zip(epochs, within, strict=True)]
        )

    def _crop(
        self, row: int, places: np.random.Generator
    ) -> Float16[np.ndarray, "L T D"]:
        num_frames = int(self.cache.num_frames[row])
        start = int(places.integers(max(num_frames - self.crop_frames, 0) + 1))
        states = self.cache.read(row, start, min(start + self.crop_frames, num_frames))
        if states.shape[1] == self.crop_frames:
            return states
        return states[:, np.arange(self.crop_frames) % states.shape[1]]


class PaddedBatch(NamedTuple):
    """Whole utterances, padded with zeros to the longest of them."""

    rows: Int64[np.ndarray, " B"]
    hidden_states: Float16[Tensor, "B L T D"]
    mask: Bool[Tensor, "B T"]


def padded_batches(cache: Cache, *, max_frames: int) -> Iterator[PaddedBatch]:
    """Give every utterance once, those of similar length together.

    Args:
        cache: where the utterances are.
        max_frames: of a batch, its padding included; a longer utterance goes alone.
    """
    by_length = np.argsort(cache.num_frames, kind="stable")
    start = 0
    for stop in range(1, len(by_length) + 1):
        beyond = stop == len(by_length) or (
            cache.num_frames[by_length[stop]] * (stop + 1 - start) > max_frames
        )
        if beyond:
            yield _pad(cache, by_length[start:stop])
            start = stop


def _pad(cache: Cache, rows: Int64[np.ndarray, " B"]) -> PaddedBatch:
    lengths = torch.from_numpy(cache.num_frames[rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    shape = (len(rows), cache.num_layers, mask.shape[1], cache.hidden_size)
    states = np.zeros(shape, np.float16)
    for states_of_one, row in zip(states, rows, strict=True):
        utterance = cache.read(int(row))
        states_of_one[:, : utterance.shape[1]] = utterance
    return PaddedBatch(rows, torch.from_numpy(states), mask)


@torch.inference_mode()
def embed_utterances(
    backend: nn.Module,
    cache: Cache,
    *,
    max_frames: int,
    device: torch.device,
    progress: bool = False,
) -> Float32[np.ndarray, "N E"]:
    """Embed every utterance of a cache, whole, in evaluation mode.

    Args:
        backend: takes hidden states and mask; it is left in the mode it was in.
        cache: where the utterances are.
        max_frames: of a batch, its padding included.
        device: where the backend is.
        progress: say in the log how far it is.
    """
    was_training = backend.training
    backend.eval()
    embedding_of_row: dict[int, Float32[np.ndarray, " E"]] = {}
    with LoggedProgress(
        desc="embed",
        unit="utterances",
        total=len(cache.utterances),
        disable=not progress,
    ) as bar:
        for batch in padded_batches(cache, max_frames=max_frames):
            states = batch.hidden_states.to(device).float()
            embeddings = backend(states, batch.mask.to(device)).cpu().numpy()
            embedding_of_row.update(zip(batch.rows.tolist(), embeddings, strict=True))
            bar.update(len(batch.rows))
    backend.train(was_training)
    return np.stack([embedding_of_row[row] for row in range(len(cache.utterances))])
