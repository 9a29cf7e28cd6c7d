"""The usual way to use all layers: one learned weight for each.

Source: Yang et al., "SUPERB: Speech processing universal performance benchmark",
Interspeech 2021, for the weights.
"""

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.padding import mask_or_none, zero_padding
from unipool.backends.pooling import AttentiveStatisticsPool, Projection


class WeightedSum(nn.Module):
    """Sum the layers with softmax weights, pool the frames, project.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        embedding_size: channels of the embedding; 192 as ECAPA-TDNN.
        bottleneck: channels inside the attention of the pooling; 128 as ECAPA-TDNN.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        embedding_size: int = 192,
        bottleneck: int = 128,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.layer_logits = nn.Parameter(torch.zeros(num_layers))
        self.pool = AttentiveStatisticsPool(
            hidden_size, bottleneck=bottleneck, dropout=0.0
        )
        self.project = Projection(self.pool.out_channels, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        # Before the sum: a NaN of the padding would reach the weights' gradient.
        states = zero_padding(hidden_states, padding)
        weights = self.layer_logits.softmax(dim=0)
        frames = einsum(states, weights, "b l t d, l -> b t d")
        return self.project(self.pool(frames, padding))
