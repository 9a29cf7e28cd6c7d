"""What weights a trained backend gives to the layers, and to them over time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from unipool.backends.layer_weights import WeighsLayers
from unipool.cache import Cache

NUM_UTTERANCES = 64
"""Of a split, evenly spread over it: enough for a mean."""


class LayerWeights(NamedTuple):
    """The weights of one part of a backend.

    Args:
        mean: over utterances, of the mean over their frames.
        std: over utterances, likewise.
        attention: of each frame of one utterance.
        utterance: which that is: of those that were looked at, one of median length.
    """

    mean: Float32[np.ndarray, " L"]
    std: Float32[np.ndarray, " L"]
    attention: Float32[np.ndarray, "L T"]
    utterance: str


@contextmanager
def watch_layers(backend: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Note in a dictionary what weights the parts of a backend give while it embeds.

    Its keys are the names of the parts, in the order in which they are used, its values
    (B, L, T), of the batch that was embedded last.
    """
    noted: dict[str, Tensor] = {}

    def note(name: str, part: WeighsLayers, inputs: tuple[Any, ...], _: Tensor) -> None:
        noted[name] = part.layer_weights(inputs[0])

    hooks = [
        part.register_forward_hook(partial(note, name))
        for name, part in backend.named_modules()
        if isinstance(part, WeighsLayers)
    ]
    try:
        yield noted
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def weigh_layers(
    backend: nn.Module, cache: Cache, *, device: torch.device
) -> dict[str, LayerWeights]:
    """Give the weights of every part that has some, in the order of their use.

    Each utterance is embedded alone, so there is no padding, and each counts alike.

    Args:
        backend: takes hidden states and mask, is on ``device`` and left in the mode it
            was in.
        cache: of which a few utterances are looked at.
        device: where the backend is.

    Returns:
        By the part's name; nothing when no part has weights.
    """
    if not any(isinstance(part, WeighsLayers) for part in backend.modules()):
        return {}
    was_training = backend.training
    backend.eval()
    rows = _spread(len(cache.utterances))
    chosen = rows[np.argsort(cache.num_frames[rows], kind="stable")[len(rows) // 2]]
    means: dict[str, list[np.ndarray]] = {}
    attention: dict[str, np.ndarray] = {}
    with watch_layers(backend) as noted:
        for row in rows:
            mask = torch.ones(1, int(cache.num_frames[row]), dtype=torch.bool)
            backend(cache.read(int(row)).float()[None].to(device), mask.to(device))
            for name, weights in noted.items():
                of_frames = weights[0].float().cpu().numpy()
                means.setdefault(name, []).append(of_frames.mean(axis=1))
                if row == chosen:
                    attention[name] = of_frames
    backend.train(was_training)
    return {
        name: LayerWeights(
            np.mean(of_utterances, axis=0),
            np.std(of_utterances, axis=0),
            attention[name],
            cache.utterances[chosen],
        )
        for name, of_utterances in means.items()
    }


def _spread(count: int) -> np.ndarray:
    """Give rows from the first to the last, evenly spread."""
    return np.linspace(0, count - 1, min(count, NUM_UTTERANCES)).round().astype(int)
