"""SincNet: a network on the samples themselves, whose first filters are band-passes."""

import math
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import conv1d, layer_norm, max_pool1d, normalize

from unipool.backends.layer_pooling import index_of_layer

SAMPLE_RATE = 16_000
FILTERS, FILTER_LENGTH = 80, 251
CONV_CHANNELS, CONV_LENGTH = 60, 5
POOLED = 3
"""Neighbours in time of which the largest is kept, after each convolution."""

LOWEST_HZ = 50.0
NARROWEST_HZ = 50.0
"""Of any filter, whatever was learned."""


class SincNet(nn.Module):
    """Band-pass filters, two convolutions and three linear layers on short windows.

    The backbone is ``waveform``: its frames, one after the other, are the samples. A
    window's d-vector is what the last layer gives. In evaluation windows are spread
    evenly from the beginning to the end of an utterance, and the embedding is the mean
    of their d-vectors, each of unit length. In training only the first window of the
    crop is looked at (so let the crop be one), and its d-vector passes a layer norm on
    its way to the loss. What is shorter than a window is repeated from its beginning.

    Args:
        num_layers: hidden states of the backbone.
        hidden_size: samples in a frame.
        window_seconds: what the network sees at once.
        num_windows: of an utterance, in evaluation.
        width: channels of the first two linear layers.
        embedding_size: channels of the last, and of the embedding.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        ValueError: when there is no such layer, or a window or their number is too
            small.

    Source: Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet",
    SLT 2018, and its published code, as in that of UniPool.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        window_seconds: float = 0.375,
        num_windows: int = 10,
        width: int = 2048,
        embedding_size: int = 2048,
        layer: int = -1,
    ) -> None:
        super().__init__()
        if num_windows < 1:
            raise ValueError(f"num_windows is {num_windows}, it must be at least 1")
        self.embedding_size = embedding_size
        self.layer = index_of_layer(layer, num_layers)
        self.frame_samples, self.num_windows = hidden_size, num_windows
        self.window_samples = round(window_seconds * SAMPLE_RATE)
        lengths = _lengths(self.window_samples)
        self.in_norm = NormInTime(self.window_samples)
        self.filters = SincFilters(FILTERS, FILTER_LENGTH)
        self.convs = nn.ModuleList(
            [
                nn.Conv1d(FILTERS, CONV_CHANNELS, CONV_LENGTH),
                nn.Conv1d(CONV_CHANNELS, CONV_CHANNELS, CONV_LENGTH),
            ]
        )
        channels = (FILTERS, CONV_CHANNELS, CONV_CHANNELS)
        self.norms = nn.ModuleList(map(NormInTime, channels, lengths))
        flat = channels[-1] * lengths[-1]
        sizes = [flat, width, width, embedding_size]
        self.dense = nn.Sequential(
            NormInTime(flat),
            *(
                _dense(before, after, linear=place == 1)
                for place, (before, after) in enumerate(pairwise(sizes))
            ),
        )
        self.training_head = NormInTime(embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, whose real frames come first.

        In training, give what the loss sees of one window instead, drawn at random.
        """
        samples = rearrange(hidden_states[:, self.layer], "b t d -> b (t d)")
        lengths = mask.sum(dim=1) * self.frame_samples
        last = (lengths - self.window_samples).clamp(min=0)
        if self.training:
            # Drawn on the CPU, so that a seed means the same on every device.
            drawn = torch.rand(len(lengths)).to(last.device)
            start = (drawn * (last + 1)).long()
            return self.training_head(
                self.d_vectors(self._cut(samples, lengths, start))
            )
        embeddings = samples.new_zeros(samples.shape[0], self.embedding_size)
        # One window of each utterance at a time: all would be ten times the memory.
        for i in range(self.num_windows):
            start = last * i // max(self.num_windows - 1, 1)
            windows = self._cut(samples, lengths, start)
            embeddings = embeddings + normalize(self.d_vectors(windows), dim=1)
        return embeddings / self.num_windows

    def d_vectors(self, windows: Float[Tensor, "B S"]) -> Float[Tensor, "B E"]:
        """Give the output of the linear layers for one window each."""
        signal = rearrange(self.in_norm(windows), "b s -> b 1 s")
        signal = max_pool1d(self.filters(signal).abs(), POOLED)
        signal = self.norms[0](signal).relu()
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            signal = norm(max_pool1d(conv(signal), POOLED)).relu()
        return self.dense(signal.flatten(1))

    def _cut(
        self,
        samples: Float[Tensor, "B S"],
        lengths: Int64[Tensor, " B"],
        starts: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B W"]:
        """Cut a window from each utterance, begun again where it ends too early."""
        offsets = torch.arange(self.window_samples, device=samples.device)
        places = (starts[:, None] + offsets) % lengths[:, None]
        return samples.gather(1, places)


class SincFilters(nn.Module):
    """Convolution with band-pass filters that know two numbers each: where, how wide.

    A filter is the difference of two ideal low-passes, (sin 2 pi f t) / (pi t), under a
    Hamming window and scaled to 1 at its centre. Its lower edge is 50 Hz or more, its
    band too; the edges begin at equal steps on the mel scale.

    Args:
        num_filters: band-passes.
        length: samples of each; odd.
    """

    times: Tensor
    window: Tensor

    def __init__(self, num_filters: int, length: int) -> None:
        super().__init__()
        first, last = 30.0, SAMPLE_RATE / 2 - LOWEST_HZ - NARROWEST_HZ
        mel = torch.linspace(
            _to_mel(first), _to_mel(last), num_filters + 1, dtype=torch.double
        )
        edges = 700 * (10 ** (mel / 2595) - 1)
        self.low_hz = nn.Parameter(edges[:-1].float())
        self.band_hz = nn.Parameter(edges.diff().float())
        half = length // 2
        times = torch.arange(-half, half + 1) / SAMPLE_RATE
        window = torch.hamming_window(length, periodic=False)
        self.register_buffer("times", times, persistent=False)
        self.register_buffer("window", window, persistent=False)

    def kernels(self) -> Float[Tensor, "F K"]:
        """Compute the filters as they are now."""
        nyquist = SAMPLE_RATE / 2
        low = (LOWEST_HZ + self.low_hz.abs()).clamp(max=nyquist - NARROWEST_HZ)
        high = (low + NARROWEST_HZ + self.band_hz.abs()).clamp(max=nyquist)
        passed = [
            edge[:, None] * torch.sinc(2 * edge[:, None] * self.times)
            for edge in (low, high)
        ]
        return (passed[1] - passed[0]) / (high - low)[:, None] * self.window

    def forward(self, signal: Float[Tensor, "B 1 S"]) -> Float[Tensor, "B F S2"]:
        """Filter it, where all of a filter's length is on it."""
        return conv1d(signal, rearrange(self.kernels(), "f k -> f 1 k"))


class NormInTime(nn.Module):
    """Scale the last axis to zero mean and unit variance, then learn both anew.

    Each place has its own scale and offset, in each channel, while the statistics are
    those of one channel.

    Args:
        shape: channels, if there are any, and length.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, signal: Float[Tensor, "B *C S"]) -> Float[Tensor, "B *C S"]:
        """Normalise it; silence stays zero."""
        # Added to the variance of samples, 1e-5 would turn quiet speech down.
        normed = layer_norm(signal, signal.shape[-1:], eps=1e-12)
        return normed * self.weight + self.bias


def _lengths(window_samples: int) -> list[int]:
    """Give the length after each convolution and pooling."""
    lengths = []
    length = window_samples
    for kernel in (FILTER_LENGTH, CONV_LENGTH, CONV_LENGTH):
        length = (length - kernel + 1) // POOLED
        lengths.append(length)
    if length < 1:
        raise ValueError(
            f"window_seconds makes {window_samples} samples, of which nothing is left"
            " after three convolutions; make it 0.0204 or more"
        )
    return lengths


def _dense(before: int, after: int, *, linear: bool) -> nn.Sequential:
    """Make a linear layer with batch norm; its weights begin as in SincNet's code."""
    layer = nn.Linear(before, after, bias=False)
    bound = math.sqrt(0.01 / (before + after))
    nn.init.uniform_(layer.weight, -bound, bound)
    parts: list[nn.Module] = [layer, nn.BatchNorm1d(after, momentum=0.05)]
    return nn.Sequential(*parts, *([] if linear else [nn.LeakyReLU(0.2)]))


def _to_mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
