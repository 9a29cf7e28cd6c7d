"""Backends that compare utterances two by two: pairs to train on, trials to score."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import nn

from unipool.batches import CropSampler, alike_in_length, pad
from unipool.cache import Cache
from unipool.distributed import ALONE, World
from unipool.log import LoggedProgress
from unipool.trials import TrialList


class PairSampler(CropSampler):
    """Draw pairs of training crops, of which every other is of one speaker.

    The first of a pair is drawn as ``CropSampler`` draws: every utterance once an
    epoch. The second is any utterance of that speaker from another recording, or any
    of another speaker. A speaker of one recording is compared with others only.

    Args:
        cache: as of ``CropSampler``, like ``labels``.
        labels: the training speaker of each utterance.
        recordings: a number for each utterance; crops and copies of one recording have
            the same.
        **settings: those of ``CropSampler``; of its ``batch_size`` half are pairs.

    Raises:
        ValueError: when a crop has no frame, the processes cannot share a batch of
            pairs, or no speaker has two recordings.

    Source: the published code of Vaessen and van Leeuwen, ICASSP 2022: half of the
    pairs are of one speaker.
    """

    def __init__(
        self,
        cache: Cache,
        labels: Int64[np.ndarray, " N"],
        recordings: Int64[np.ndarray, " N"],
        **settings: Any,
    ) -> None:
        super().__init__(cache, labels, **settings)
        whole = 2 * self.world.size
        if self.batch_size % whole:
            raise ValueError(
                f"train.batch_size is {self.batch_size}, which is not whole pairs of"
                f" crops for each process; make it a multiple of {whole}"
            )
        # All of a speaker stand together, and there all of a recording.
        self._order_of_all = np.lexsort((recordings, labels))
        self._speaker = _blocks(self._order_of_all, labels)
        self._recording = _blocks(self._order_of_all, labels, recordings)
        if (self._speaker[1] == self._recording[1]).all():
            raise ValueError(
                "no training speaker has two recordings, so no pair would be of one"
                " speaker; use another corpus or another backend"
            )

    def _rows(self, step: int) -> Int64[np.ndarray, " B"]:
        first = self._in_turn(step, self.batch_size // 2)
        drawn = np.random.default_rng([self.seed, 3, step]).random(len(first))
        begin, count = (values[first] for values in self._speaker)
        own_begin, own_count = (values[first] for values in self._recording)
        place = step * len(first) + np.arange(len(first))
        alike = (place % 2 == 0) & (count > own_count)
        # Both are places among all but a block: the recording, the speaker.
        of_same = begin + (drawn * (count - own_count)).astype(np.int64)
        of_same += np.where(of_same >= own_begin, own_count, 0)
        of_others = (drawn * (len(self.labels) - count)).astype(np.int64)
        of_others += np.where(of_others >= begin, count, 0)
        second = self._order_of_all[np.where(alike, of_same, of_others)]
        return np.stack([first, second], axis=1).ravel()


def _blocks(
    order: Int64[np.ndarray, " N"], *keys: Int64[np.ndarray, " N"]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """Give where those with the same keys begin in an order, and how many they are."""
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    (first,) = np.nonzero(begins)
    block = np.empty_like(order)
    block[order] = np.cumsum(begins) - 1
    return first[block], np.diff(np.append(first, len(order)))[block]


@torch.inference_mode()
def compare_trials(
    backend: nn.Module,
    cache: Cache,
    listed: TrialList,
    *,
    max_frames: int,
    device: torch.device,
    progress: bool = False,
    world: World = ALONE,
) -> Float64[np.ndarray, " K"]:
    """Score trials, of whole utterances, in evaluation mode.

    The score of a model is the mean of those of its utterances.

    Args:
        backend: of ``PAIRWISE``; it is left in the mode it was in.
        cache: where the utterances are.
        listed: the trials.
        max_frames: of a batch, its padding included.
        device: where the backend is.
        progress: say in the log how far it is.
        world: the processes, each of which takes some of the batches; all of them get
            everything.

    Raises:
        ValueError: when a trial names an utterance that the cache does not have, or a
            score is not finite.
    """
    trial, rows = _rows_of_pairs(listed, cache.utterances)
    was_training = backend.training
    backend.eval()
    score_of_pair: dict[int, float] = {}
    longest = cache.num_frames[rows].max(axis=1)
    with LoggedProgress(
        desc="compare", unit="pairs", total=len(rows), disable=not progress
    ) as bar:
        for pairs in alike_in_length(longest, max_frames // 2, world):
            batch = pad(cache, rows[pairs].ravel())
            states = batch.hidden_states.to(device)
            scores = backend(states, batch.mask.to(device))[:, 0].tolist()
            score_of_pair.update(zip(pairs.tolist(), scores, strict=True))
            bar.update(len(pairs))
    backend.train(was_training)
    for others in world.gather(score_of_pair):
        score_of_pair |= others
    scores = np.array([score_of_pair[pair] for pair in range(len(rows))])
    if not np.isfinite(scores).all():
        raise ValueError(
            "the backend gives scores that are not finite, so training went astray;"
            " lower train.learning_rate"
        )
    return np.bincount(trial, scores) / np.bincount(trial)


def _rows_of_pairs(
    listed: TrialList, utterances: list[str]
) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, "P 2"]]:
    """Give the pairs of utterances to compare: of which trial, and where both are."""
    numbered = listed.trials[["enrolment", "test"]].assign(
        trial=range(len(listed.trials))
    )
    # A model comes before the utterances: an enrolment that both are is the model.
    pairs = numbered.merge(listed.enrolments, on="enrolment", how="left")
    pairs["utterance"] = pairs["utterance"].fillna(pairs["enrolment"])
    known = pd.Index(utterances)
    rows = np.stack(
        [known.get_indexer(pairs[side]) for side in ("utterance", "test")], axis=1
    )
    unknown = (rows < 0).any(axis=1)
    if unknown.any():
        first = pairs[unknown].iloc[0]
        raise ValueError(
            f"{pairs[unknown]['trial'].nunique()} of {len(listed.trials)} trials name"
            f" utterances that are not cached, the first: {first['enrolment']}"
            f" {first['test']}; cache the split that the trial list was made for"
        )
    return pairs["trial"].to_numpy(np.int64), rows.astype(np.int64)
