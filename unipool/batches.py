"""Batches from the cache: random crops to train on, whole utterances to embed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from unipool.cache import Cache, HiddenStates
from unipool.distributed import ALONE, World
from unipool.log import LoggedProgress


class CropBatch(NamedTuple):
    """Crops of equal length, and which training speaker each is of."""

    hidden_states: HiddenStates
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
        crop_frames: frames of a crop, or of the longest utterance if that is shorter.
        seed: of the order of the utterances and of the places.
        world: the processes that share each batch; this one draws its own part.

    Raises:
        ValueError: when a crop has no frame, or the processes cannot share a batch.

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
        world: World = ALONE,
    ) -> None:
        if batch_size % world.size:
            raise ValueError(
                f"train.batch_size is {batch_size}, which {world.size} processes cannot"
                f" share; make it a multiple of {world.size}"
            )
        if crop_frames < 1:
            raise ValueError(
                "train.crop_seconds is shorter than one frame, which lasts"
                f" {cache.frame_shift} s; raise it"
            )
        self.cache = cache
        self.labels = labels
        self.batch_size = batch_size
        self.crop_frames = min(crop_frames, int(cache.num_frames.max()))
        self.seed = seed
        self.world = world
        # Of a million utterances it takes as long as to read a batch.
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def places(
        self, step: int
    ) -> tuple[Int64[np.ndarray, " B"], Int64[np.ndarray, " B"]]:
        """Draw the crops of a step: row of the split, first frame."""
        rows = self._rows(step)
        beyond = np.maximum(self.cache.num_frames[rows] - self.crop_frames, 0)
        places = np.random.default_rng([self.seed, 1, step])
        share = self.world.share
        return share(rows), share(places.integers(beyond + 1))

    def batch(self, step: int, *, out: HiddenStates | None = None) -> CropBatch:
        """Read the batch of one step, counted from 0.

        Args:
            step: of the training.
            out: hidden states of an earlier batch, whose memory is used again.
        """
        rows, starts = self.places(step)
        states = self.cache.gather(
            rows,
            starts,
            starts + self.crop_frames,
            num_frames=self.crop_frames,
            out=out,
        )
        lengths = self.cache.num_frames[rows]
        for i in np.flatnonzero(lengths < self.crop_frames):
            _repeat(states, int(i), int(lengths[i]))
        return CropBatch(states, torch.from_numpy(self.labels[rows]))

    def announce(self, step: int) -> None:
        """Have the system fetch the batch of a step from the disk."""
        rows, starts = self.places(step)
        self.cache.announce(rows, starts, starts + self.crop_frames)

    def batches(self, first: int, last: int) -> Iterator[CropBatch]:
        """Give the batches of steps ``first`` to ``last - 1``, each read one ahead.

        The memory of a batch is used again for the one after the next.
        """
        with ThreadPoolExecutor(max_workers=2) as pool:
            ahead = pool.submit(self.batch, first)
            spare = None
            for step in range(first, last):
                batch = ahead.result()
                if step + 1 < last:
                    ahead = pool.submit(self.batch, step + 1, out=spare)
                    pool.submit(self.announce, step + 2)
                yield batch
                spare = batch.hidden_states

    def _rows(self, step: int) -> Int64[np.ndarray, " B"]:
        return self._in_turn(step, self.batch_size)

    def _in_turn(self, step: int, count: int) -> Int64[np.ndarray, " B"]:
        """Give the utterances of a step that takes so many."""
        positions = np.arange(step * count, (step + 1) * count)
        epochs, within = np.divmod(positions, len(self.labels))
        return np.concatenate(
            [
                self._order(int(epoch))[within[epochs == epoch]]
                for epoch in np.unique(epochs)
            ]
        )

    def _draw_order(self, epoch: int) -> Int64[np.ndarray, " N"]:
        generator = np.random.default_rng([self.seed, 0, epoch])
        return generator.permutation(len(self.labels))


def _repeat(states: HiddenStates, i: int, length: int) -> None:
    """Fill a crop with an utterance shorter than it, from its beginning again."""
    again = torch.arange(states.values.shape[2]) % length
    states.values[i] = states.values[i][:, again]
    if states.scale_of_frame is not None:
        states.scale_of_frame[i] = states.scale_of_frame[i][again]


class PaddedBatch(NamedTuple):
    """Whole utterances, padded with zeros to the longest of them."""

    rows: Int64[np.ndarray, " B"]
    hidden_states: HiddenStates
    mask: Bool[Tensor, "B T"]


def padded_batches(
    cache: Cache, *, max_frames: int, world: World = ALONE
) -> Iterator[PaddedBatch]:
    """Give every utterance once, those of similar length together.

    Args:
        cache: where the utterances are.
        max_frames: of a batch, its padding included; a longer utterance goes alone.
        world: the processes, of which this one is given its part of the batches.
    """
    for rows in alike_in_length(cache.num_frames, max_frames, world):
        yield pad(cache, rows)


def alike_in_length(
    lengths: Int64[np.ndarray, " N"], max_frames: int, world: World = ALONE
) -> Iterator[Int64[np.ndarray, " B"]]:
    """Give every place once, those of similar length together.

    Args:
        lengths: in frames, of what is at each place.
        max_frames: of those together, the padding included; a longer one goes alone.
        world: the processes, of which this one is given its part.
    """
    by_length = np.argsort(lengths, kind="stable")
    start, turn = 0, 0
    for stop in range(1, len(by_length) + 1):
        beyond = stop == len(by_length) or (
            lengths[by_length[stop]] * (stop + 1 - start) > max_frames
        )
        if beyond:
            if turn == world.rank:
                yield by_length[start:stop]
            start, turn = stop, (turn + 1) % world.size


def pad(cache: Cache, rows: Int64[np.ndarray, " B"]) -> PaddedBatch:
    """Read utterances whole."""
    lengths = cache.num_frames[rows]
    longest = int(lengths.max())
    mask = torch.arange(longest) < torch.from_numpy(lengths)[:, None]
    states = cache.gather(rows, np.zeros_like(rows), lengths, num_frames=longest)
    return PaddedBatch(rows, states, mask)


@torch.inference_mode()
def embed_utterances(
    backend: nn.Module,
    cache: Cache,
    *,
    max_frames: int,
    device: torch.device,
    progress: bool = False,
    world: World = ALONE,
) -> Float32[np.ndarray, "N E"]:
    """Embed every utterance of a cache, whole, in evaluation mode.

    Args:
        backend: takes hidden states and mask; it is left in the mode it was in.
        cache: where the utterances are.
        max_frames: of a batch, its padding included.
        device: where the backend is.
        progress: say in the log how far it is.
        world: the processes, each of which takes some of the batches; all of them get
            everything.
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
        for batch in padded_batches(cache, max_frames=max_frames, world=world):
            states = batch.hidden_states.to(device)
            embeddings = backend(states, batch.mask.to(device)).cpu().numpy()
            embedding_of_row.update(zip(batch.rows.tolist(), embeddings, strict=True))
            bar.update(len(batch.rows))
    backend.train(was_training)
    for others in world.gather(embedding_of_row):
        embedding_of_row |= others
    return np.stack([embedding_of_row[row] for row in range(len(cache.utterances))])
