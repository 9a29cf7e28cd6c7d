"""UniPool: a dense network over the plane of layers and frames, pooled in turn.

Source: Kim, Park, Shin, Han, "Universal Pooling Method of Multi-layer Features from
Pretrained Models for Speaker Verification", arXiv 2409.07770 v1, and its published
code, which decides where the two differ. From that code it departs in two things:
padding is not seen, and ``pooling.mean_and_std`` does not change in training.

Planes are (B, L, T, C): with channels last a 1 x 1 convolution is a linear map and
batch norm works on rows; only the 3 x 3 convolutions view them as (B, C, L, T).
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.d3net import DILATIONS, D3Block
from unipool.backends.initial import xavier
from unipool.backends.layer_pooling import LayerPool, LayerReduction
from unipool.backends.padding import MaskedBatchNorm, mask_or_none, zero_padding
from unipool.backends.pooling import (
    AttentiveStatisticsPool,
    MeanPool,
    Projection,
    StatisticsPool,
)


class UniPool(nn.Module):
    """Project, D3 blocks, layer attentive pooling, attentive statistics pooling.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        conv_dim: channels of a dense plane; the network is four times as wide, the
            attention of the frame pooling twice.
        num_blocks: D3 blocks, chained; the outputs of all are concatenated. With 0
            there is no D3Net: the projected layers themselves are pooled.
        attentive_vad: whether a block begins by mixing the layers and gating frames.
        channel_attention: whether a block ends by weighing its channels.
        layer_pool: how all layers become one.
        layer_pool_heads: heads of the layer attentive pooling.
        frame_pool: how all frames become one vector.
        embedding_size: channels of the embedding.
        dropout: of the weights of both poolings.
        use_layer_zero: whether what enters the encoder's first block takes part; the
            published code leaves it out.
        double_residual: whether a block adds its input twice, around the dense block
            and again around that, as the published code does.

    The defaults are those of the published code.

    Raises:
        ValueError: when layer 0 is all there is and it is left out, or
            ``layer_pool_heads`` does not divide the channels.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        conv_dim: int = 128,
        num_blocks: int = 1,
        attentive_vad: bool = True,
        channel_attention: bool = True,
        layer_pool: LayerReduction = "attention-max",
        layer_pool_heads: int = 4,
        frame_pool: Literal[
            "attentive-statistics", "statistics", "mean"
        ] = "attentive-statistics",
        embedding_size: int = 192,
        dropout: float = 0.1,
        use_layer_zero: bool = False,
        double_residual: bool = True,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.first_layer = 0 if use_layer_zero else 1
        used_layers = num_layers - self.first_layer
        if used_layers < 1:
            raise ValueError(
                f"num_layers is {num_layers} and layer 0 is left out, so none remains;"
                " set use_layer_zero to true or cache more layers"
            )
        channels = (1 + len(DILATIONS)) * conv_dim
        self.project = xavier(nn.Linear(hidden_size, channels))
        self.norm = MaskedBatchNorm(channels)
        self.blocks = nn.ModuleList(
            [
                D3Block(
                    conv_dim,
                    used_layers,
                    attentive_vad=attentive_vad,
                    channel_attention=channel_attention,
                    double_residual=double_residual,
                )
                for _ in range(num_blocks)
            ]
        )
        self.layer_pool = LayerPool(
            max(num_blocks, 1) * channels,
            used_layers,
            inner_channels=channels,
            out_channels=channels,
            num_heads=layer_pool_heads,
            dropout=dropout,
            reduction=layer_pool,
        )
        self.frame_pool: AttentiveStatisticsPool | StatisticsPool | MeanPool
        if frame_pool == "attentive-statistics":
            self.frame_pool = AttentiveStatisticsPool(
                channels, bottleneck=channels // 2, dropout=dropout
            )
        elif frame_pool == "statistics":
            self.frame_pool = StatisticsPool(channels)
        else:
            self.frame_pool = MeanPool(channels)
        self.head = Projection(self.frame_pool.out_channels, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        states = zero_padding(hidden_states[:, self.first_layer :], padding)
        frames = self.layer_pool(self.network(states, padding), padding)
        return self.head(self.frame_pool(frames, padding))

    def network(
        self, states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give the plane before its layers are pooled; padding must be finite."""
        plane = self.norm(self.project(states), mask)
        planes = []
        for block in self.blocks:
            plane = block(plane, mask)
            planes.append(plane)
        return torch.cat(planes, dim=3) if len(planes) > 1 else plane
