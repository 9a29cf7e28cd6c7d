"""From frames to one vector, and from that to the embedding."""

from typing import Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unipool.backends.padding import (
    MaskedBatchNorm,
    count_frames,
    mean_over_frames,
    zero_padding,
)

SMALLEST_VARIANCE = 1e-4
"""Of weighted frames, in the published code: keeps the square root's gradient small."""


def mean_and_std(
    frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Give mean and standard deviation of the real frames of each utterance.

    The variance is the unbiased one, in training and evaluation alike. The published
    code has this one in evaluation and the biased one in training; at 149 frames their
    roots differ by a factor of 1.003. Of one frame, and of equal frames, the standard
    deviation is zero to within rounding, with a finite gradient.
    """
    mean = mean_over_frames(frames, mask)
    centred = zero_padding(frames - rearrange(mean, "b c -> b 1 c"), mask)
    degrees = (count_frames(frames, mask) - 1).clamp(min=1)
    variance = centred.square().sum(dim=1, dtype=degrees.dtype) / degrees
    return mean, variance.clamp(min=torch.finfo(frames.dtype).tiny).sqrt()


def softmax_over_frames(
    logits: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B T C"]:
    """Give weights of the real frames that sum to 1, and zeros for the others."""
    if mask is not None:
        logits = logits.masked_fill(~rearrange(mask, "b t -> b t 1"), -torch.inf)
    return logits.softmax(dim=1)


def weighted_statistics(
    frames: Float[Tensor, "B T C"],
    weights: Float[Tensor, "B T C"],
    *,
    smallest: float = SMALLEST_VARIANCE,
) -> Float[Tensor, "B C2"]:
    """Give mean and standard deviation of weighted frames; padding must be finite."""
    weighted = weights * frames
    mean = reduce(weighted, "b t c -> b c", "sum")
    power = reduce(weighted * frames, "b t c -> b c", "sum")
    variance = (power - mean.square()).clamp(min=smallest)
    return torch.cat([mean, variance.sqrt()], dim=1)


class MeanPool(nn.Module):
    """The mean of the real frames.

    Args:
        channels: of a frame.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B C"]:
        """Pool the real frames of each utterance."""
        return mean_over_frames(frames, mask)


class StatisticsPool(nn.Module):
    """Mean and standard deviation of the real frames (``mean_and_std``).

    Args:
        channels: of a frame.

    Source: Snyder et al., "X-vectors: Robust DNN embeddings for speaker recognition",
    ICASSP 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = 2 * channels

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B C2"]:
        """Pool the real frames of each utterance."""
        return torch.cat(mean_and_std(frames, mask), dim=1)


class FrameDropout(nn.Module):
    """Leave frames out of a softmax in training, the same ones for all channels.

    Args:
        share: of the frames.

    Source: the published code of LAP.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, logits: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Make the logits of some frames so small that they have no weight."""
        if not self.training or not self.share:
            return logits
        chance = torch.rand(logits.shape[:2], device=logits.device)
        # Not infinite: an utterance all of whose frames are left out keeps them all.
        return logits.masked_fill((chance < self.share).unsqueeze(2), -1e9)


class AttentiveStatisticsPool(nn.Module):
    """Mean and standard deviation of frames, each channel with weights of its own.

    The weights come from the frame and from the utterance's mean and standard
    deviation (``mean_and_std``).

    Args:
        channels: of a frame.
        bottleneck: channels inside the attention.
        activation: what stands there: ReLU and batch norm, the same and tanh, or tanh.
        dropout: of the weights, after their softmax, so that they no longer sum to 1,
            as in the published code of UniPool.
        frame_dropout: of whole frames, before the softmax, as in that of LAP.

    Source: Okabe et al., "Attentive statistics pooling for deep speaker embedding",
    Interspeech 2018; with weights for each channel and global context as ECAPA-TDNN
    (Desplanques et al., Interspeech 2020), by default without its tanh, as in the
    published code of UniPool (Kim et al., arXiv 2409.07770 v1).
    """

    def __init__(
        self,
        channels: int,
        *,
        bottleneck: int,
        activation: Literal["relu-norm", "relu-norm-tanh", "tanh"] = "relu-norm",
        dropout: float = 0.0,
        frame_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_channels = 2 * channels
        self.squeeze = nn.Linear(3 * channels, bottleneck)
        self.norm = None if activation == "tanh" else MaskedBatchNorm(bottleneck)
        self.has_tanh = activation != "relu-norm"
        self.excite = nn.Linear(bottleneck, channels)
        self.frame_dropout = FrameDropout(frame_dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B C2"]:
        """Pool the real frames of each utterance; padding must be finite."""
        return weighted_statistics(frames, self.dropout(self._weights(frames, mask)))

    def _weights(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T C"]:
        context = torch.cat(mean_and_std(frames, mask), dim=1)
        of_frame, of_context = self.squeeze.weight.split(
            [frames.shape[2], context.shape[1]], dim=1
        )
        # The same for all frames, so the context is projected once for each utterance.
        shift = linear(context, of_context, self.squeeze.bias)
        squeezed = linear(frames, of_frame) + rearrange(shift, "b k -> b 1 k")
        if self.norm is not None:
            squeezed = self.norm(squeezed.relu(), mask)
        logits = self.excite(squeezed.tanh() if self.has_tanh else squeezed)
        return softmax_over_frames(self.frame_dropout(logits), mask)


class Projection(nn.Sequential):
    """From pooled statistics to the embedding: batch norm, linear, batch norm.

    The first makes channels of unlike scale count alike; the last centres the
    embeddings, whose directions alone the AAM-softmax and the cosine see. In training
    it needs two utterances.

    Args:
        channels: of the statistics.
        embedding_size: channels of the embedding.

    Source: ECAPA-TDNN (Desplanques et al., Interspeech 2020) and the published code of
    UniPool (Kim et al., arXiv 2409.07770 v1) both end like this.
    """

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__(
            nn.BatchNorm1d(channels),
            nn.Linear(channels, embedding_size),
            nn.BatchNorm1d(embedding_size),
        )
