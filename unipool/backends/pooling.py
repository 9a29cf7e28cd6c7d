"""From frames to one vector: statistics weighted by attention, and the embedding."""

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.norm import MaskedBatchNorm

SMALLEST_VARIANCE = 1e-4
"""Of the published code: keeps the square root's gradient finite."""


def mean_and_std(
    frames: Float[Tensor, "B C T"], mask: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Give mean and standard deviation over the real frames of each utterance.

    The variance is the unbiased one, in training and evaluation alike; the published
    code has the biased one in training, which for 3 s differs by a factor of 1.003. One
    frame alone has a standard deviation of (almost) zero.
    """
    real = rearrange(mask, "b t -> b 1 t")
    count = reduce(real.float(), "b c t -> b c", "sum")
    mean = reduce(frames * real, "b c t -> b c", "sum") / count
    centred = (frames - rearrange(mean, "b c -> b c 1")) * real
    squares = reduce(centred.square(), "b c t -> b c", "sum")
    variance = squares / (count - 1).clamp(min=1)
    return mean, variance.clamp(min=torch.finfo(frames.dtype).tiny).sqrt()


class AttentiveStatisticsPool(nn.Module):
    """Mean and standard deviation of frames, each channel with weights of its own.

    The weights come from the frame and the utterance's mean and standard deviation.

    Args:
        channels: of a frame.
        bottleneck: channels inside the attention.
        dropout: of the weights, after their softmax, as published.

    Source: Okabe et al., "Attentive statistics pooling for deep speaker embedding",
    Interspeech 2018; with global context as in ECAPA-TDNN (Desplanques et al., 2020),
    without its tanh, as in the published code of UniPool.
    """

    def __init__(self, channels: int, *, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.out_channels = 2 * channels
        self.squeeze = nn.Linear(3 * channels, bottleneck)
        self.norm = MaskedBatchNorm(bottleneck)
        self.excite = nn.Conv1d(bottleneck, channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "B C T"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B C2"]:
        """Pool the real frames of each utterance; padding must be finite."""
        channels = frames.shape[1]
        # The same for all frames, so it is projected once for each utterance.
        context = torch.cat(mean_and_std(frames, mask), dim=1)
        of_frame, of_context = self.squeeze.weight.split([channels, 2 * channels], 1)
        squeezed = torch.matmul(of_frame, frames)
        squeezed = squeezed + rearrange(
            nn.functional.linear(context, of_context, self.squeeze.bias), "b k -> b k 1"
        )
        logits = self.excite(self.norm(squeezed.relu(), mask))
        logits = logits.masked_fill(~rearrange(mask, "b t -> b 1 t"), -torch.inf)
        weights = self.dropout(logits.softmax(dim=2))
        mean = reduce(weights * frames, "b c t -> b c", "sum")
        power = reduce(weights * frames.square(), "b c t -> b c", "sum")
        variance = (power - mean.square()).clamp(min=SMALLEST_VARIANCE)
        return torch.cat([mean, variance.sqrt()], dim=1)


class Projection(nn.Sequential):
    """From pooled statistics to the embedding: batch norm, linear, batch norm.

    Args:
        channels: of the statistics.
        embedding_size: channels of the embedding.
    """

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__(
            nn.BatchNorm1d(channels),
            nn.Linear(channels, embedding_size),
            nn.BatchNorm1d(embedding_size),
        )
