"""How well a backend verifies, as it is now."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from unipool.batches import embed_utterances
from unipool.cache import Cache
from unipool.distributed import World
from unipool.metrics import SortedTrials, eer
from unipool.pairwise import compare_trials
from unipool.scoring import cosine_scores
from unipool.trials import TrialList


@dataclass(frozen=True)
class Validation:
    """The trials that choose among the weights.

    Args:
        cache: hidden states of the utterances that they speak of.
        listed: the trials.
        max_frames: of a batch of utterances, its padding included.
        num_heads: parts of an embedding whose cosines are averaged.
        pairwise: whether the backend compares utterances two by two.
        world: the processes that verify the trials together.
    """

    cache: Cache
    listed: TrialList
    max_frames: int
    num_heads: int
    pairwise: bool
    world: World

    def eer(self, backend: nn.Module, device: torch.device) -> float:
        """Verify the trials.

        Raises:
            ValueError: when an embedding or a score is not finite.
        """
        scores = (self._compared if self.pairwise else self._embedded)(backend, device)
        targets = self.listed.trials["target"].to_numpy(bool)
        return eer(SortedTrials(scores, targets).error_rates())

    def _compared(
        self, backend: nn.Module, device: torch.device
    ) -> Float64[np.ndarray, " K"]:
        return compare_trials(
            backend,
            self.cache,
            self.listed,
            max_frames=self.max_frames,
            device=device,
            world=self.world,
        )

    def _embedded(
        self, backend: nn.Module, device: torch.device
    ) -> Float64[np.ndarray, " K"]:
        embeddings = embed_utterances(
            backend,
            self.cache,
            max_frames=self.max_frames,
            device=device,
            world=self.world,
        )
        if not np.isfinite(embeddings).all():
            raise ValueError(
                "the backend gives embeddings that are not finite, so training went"
                " astray; lower train.learning_rate"
            )
        return cosine_scores(
            embeddings, self.cache.utterances, self.listed, num_heads=self.num_heads
        )
