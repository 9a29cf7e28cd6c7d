"""From all layers to frames, from frames to one vector, from that to the embedding."""

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unipool.backends.initial import xavier
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
    variance = reduce(centred.square(), "b t c -> b c", "sum") / degrees
    return mean, variance.clamp(min=torch.finfo(frames.dtype).tiny).sqrt()


class LayerAttentivePool(nn.Module):
    """Weigh each layer of each frame by squeeze and excitation, keep the maximum.

    The weights of a head come from the mean and the maximum of its channels in every
    layer, frame by frame. A weight that is dropped to zero takes part in the maximum,
    as in the published code.

    Args:
        channels: of the plane.
        num_layers: of the plane.
        out_channels: of the frames; ``num_heads`` must divide it.
        num_heads: groups of channels with weights of their own.
        dropout: of the weights.

    Source: Kim et al., arXiv 2409.07770 v1, and its published code.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        out_channels: int,
        *,
        num_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = MaskedBatchNorm(channels)
        self.project = xavier(nn.Linear(channels, out_channels, bias=False))
        bottleneck = max(num_layers // 2, 1)
        self.squeeze = nn.Parameter(torch.empty(num_heads, num_layers, bottleneck))
        self.squeeze_bias = nn.Parameter(torch.zeros(num_heads, bottleneck))
        self.excite = nn.Parameter(torch.empty(num_heads, bottleneck, num_layers))
        self.excite_bias = nn.Parameter(torch.zeros(num_heads, num_layers))
        self.dropout = nn.Dropout(dropout)
        self.mix = xavier(nn.Linear(out_channels, out_channels, bias=False))
        self.out_norm = MaskedBatchNorm(out_channels)
        # Three axes, so that the fans are products of the last two, as published.
        nn.init.kaiming_uniform_(self.squeeze, nonlinearity="relu")
        nn.init.xavier_uniform_(self.excite)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T C2"]:
        """Pool the layers of each frame."""
        values = rearrange(
            self.project(self.norm(plane, mask)),
            "b l t (h d) -> b l t h d",
            h=self.num_heads,
        )
        weights = self.dropout(self._weights(values))
        weighted = values * rearrange(weights, "b l t h -> b l t h 1")
        largest = rearrange(weighted.amax(dim=1), "b t h d -> b t (h d)")
        return self.out_norm(self.mix(largest), mask)

    def _weights(self, values: Float[Tensor, "B L T H D"]) -> Float[Tensor, "B L T H"]:
        squeezed = [
            torch.einsum("blth,hlk->bthk", summary, self.squeeze) + self.squeeze_bias
            for summary in (values.mean(dim=-1), values.max(dim=-1).values)
        ]
        # The second layer is linear, so the two meet before it; its bias counts twice.
        hidden = squeezed[0].relu() + squeezed[1].relu()
        scores = torch.einsum("bthk,hkl->blth", hidden, self.excite)
        return (scores + 2 * rearrange(self.excite_bias, "h l -> l 1 h")).sigmoid()


class AttentiveStatisticsPool(nn.Module):
    """Mean and standard deviation of frames, each channel with weights of its own.

    The weights come from the frame and from the utterance's mean and standard
    deviation (``mean_and_std``).

    Args:
        channels: of a frame.
        bottleneck: channels inside the attention.
        dropout: of the weights, after their softmax, so that they no longer sum to 1,
            as in the published code of UniPool.

    Source: Okabe et al., "Attentive statistics pooling for deep speaker embedding",
    Interspeech 2018; with weights for each channel and global context as ECAPA-TDNN
    (Desplanques et al., Interspeech 2020), without its tanh, as in the published code
    of UniPool (Kim et al., arXiv 2409.07770 v1).
    """

    def __init__(self, channels: int, *, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.out_channels = 2 * channels
        self.squeeze = nn.Linear(3 * channels, bottleneck)
        self.norm = MaskedBatchNorm(bottleneck)
        self.excite = nn.Linear(bottleneck, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B C2"]:
        """Pool the real frames of each utterance; padding must be finite."""
        weights = self.dropout(self._weights(frames, mask))
        weighted = weights * frames
        mean = reduce(weighted, "b t c -> b c", "sum")
        power = reduce(weighted * frames, "b t c -> b c", "sum")
        variance = (power - mean.square()).clamp(min=SMALLEST_VARIANCE)
        return torch.cat([mean, variance.sqrt()], dim=1)

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
        logits = self.excite(self.norm(squeezed.relu(), mask))
        if mask is not None:
            logits = logits.masked_fill(~rearrange(mask, "b t -> b t 1"), -torch.inf)
        return logits.softmax(dim=1)


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
