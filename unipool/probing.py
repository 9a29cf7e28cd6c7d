"""What single layers say: mean and standard deviation of their frames, standardised."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from unipool.backends.pooling import mean_and_std
from unipool.cache import Cache
from unipool.log import LoggedProgress

LEAST_DEVIATION = 1e-5
"""Of the mean's size: what deviates less is constant but for rounding."""


class Standard(NamedTuple):
    """How the statistics of each layer lie over the utterances of a split.

    Args:
        layers: numbers of the encoder's layers.
        mean: of each statistic.
        scale: what a distance from the mean is multiplied by: one over the standard
            deviation, or 0 where the statistic is constant.
    """

    layers: list[int]
    mean: Float64[Tensor, "L S"]
    scale: Float64[Tensor, "L S"]


def layer_statistics(
    cache: Cache, rows: Int64[np.ndarray, " N"], *, device: torch.device, desc: str
) -> Iterator[Float32[Tensor, "L S"]]:
    """Give mean and standard deviation of the frames of each layer, on the device.

    Each utterance is read once, whole and without padding, while the one before it is
    worked on.

    Args:
        cache: of whose layers.
        rows: of its utterances, one at least, in the order in which they are given.
        device: to work on.
        desc: what the log calls it.
    """

    def read(row: int) -> Float32[Tensor, "1 L T D"]:
        length = cache.num_frames[[row]]
        states = cache.gather(
            np.array([row]), np.zeros_like(length), length, num_frames=int(length[0])
        )
        return states.to(device)

    with (
        ThreadPoolExecutor(max_workers=1) as pool,
        LoggedProgress(desc=desc, unit="utterances", total=len(rows)) as bar,
    ):
        first, *others = rows.tolist()
        ahead = pool.submit(read, first)
        for following in (*others, None):
            states = ahead.result()
            if following is not None:
                ahead = pool.submit(read, following)
            # Layer by layer, for one fits the processor's cache.
            each = [mean_and_std(layer, None) for layer in states[0].split(1)]
            yield torch.cat([torch.cat(both, dim=1) for both in each])
            bar.update()


def fit_standard(cache: Cache, *, device: torch.device) -> Standard:
    """Find mean and standard deviation of each statistic over all utterances.

    Raises:
        ValueError: when there are fewer than two utterances.
    """
    count = len(cache.utterances)
    if count < 2:
        raise ValueError(
            f"{count} validation utterance(s), statistics are standardised with those"
            " of at least 2; change the corpus's split"
        )
    # Welford's update, so that statistics of large mean lose no digits.
    mean = squares = torch.zeros(1, dtype=torch.float64, device=device)
    every = layer_statistics(cache, np.arange(count), device=device, desc="standard")
    for seen, statistics in enumerate(every, start=1):
        away = statistics.double() - mean
        mean = mean + away / seen
        squares = squares + away * (statistics.double() - mean)
    deviation = (squares / count).sqrt()
    constant = deviation <= LEAST_DEVIATION * mean.abs()
    return Standard(cache.layers, mean, (1 / deviation).masked_fill(constant, 0))


def standard_statistics(
    cache: Cache,
    rows: Int64[np.ndarray, " N"],
    standard: Standard,
    *,
    device: torch.device,
) -> dict[int, Float32[np.ndarray, "N S"]]:
    """Give each layer's standardised statistics, by its number, all read at once."""
    found = np.empty((cache.num_layers, len(rows), 2 * cache.hidden_size), np.float32)
    places = [standard.layers.index(layer) for layer in cache.layers]
    mean, scale = standard.mean[places], standard.scale[places]
    every = layer_statistics(cache, rows, device=device, desc="statistics")
    for index, statistics in enumerate(every):
        standardised = (statistics.double() - mean) * scale
        found[:, index] = standardised.float().cpu().numpy()
    return dict(zip(cache.layers, found, strict=True))


def layer_groups(
    layers: Sequence[int], *, bytes_of_layer: float, most_bytes: float
) -> list[list[int]]:
    """Divide layers into runs whose statistics fit into memory, one layer at least."""
    size = max(int(most_bytes / bytes_of_layer), 1)
    return [list(layers[i : i + size]) for i in range(0, len(layers), size)]
