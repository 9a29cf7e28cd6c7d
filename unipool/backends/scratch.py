"""The usual networks on acoustic features, trained from scratch: one layer, no encoder.

What stands beyond the ends of an utterance counts as zero, so that one frame is enough.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.convolutions import ConvReluNorm, SERes2Block
from unipool.backends.layer_pooling import index_of_layer
from unipool.backends.padding import mask_or_none, zero_padding
from unipool.backends.pooling import (
    AttentiveStatisticsPool,
    Projection,
    StatisticsPool,
)

XVECTOR_POOLED = 1500
ECAPA_POOLED = 1536
"""Channels of the frames that are pooled."""


class ScratchXVector(nn.Module):
    """The x-vector network: five layers over time, statistics, a linear map.

    In evaluation the linear map's output is the embedding. In training two layers more
    stand between it and the loss (ReLU, batch norm, linear, ReLU, batch norm), and what
    comes out is theirs.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state; 24 MFCC as published.
        width: channels of the first four layers.
        embedding_size: channels of the embedding.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        ValueError: when there is no such layer.

    Source: Snyder et al., "X-vectors: Robust DNN embeddings for speaker recognition",
    ICASSP 2018, as in the published code of UniPool. That code gives a frame only where
    all its context is, so of T frames it pools T - 14.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        width: int = 512,
        embedding_size: int = 512,
        layer: int = -1,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.layer = index_of_layer(layer, num_layers)
        sizes = [hidden_size, width, width, width, width, XVECTOR_POOLED]
        contexts = [(5, 1), (3, 2), (3, 3), (1, 1), (1, 1)]
        self.frame_layers = nn.ModuleList(
            [
                ConvReluNorm(before, after, kernel=(1, frames), dilation=dilation)
                for before, after, (frames, dilation) in zip(
                    sizes[:-1], sizes[1:], contexts, strict=True
                )
            ]
        )
        self.pool = StatisticsPool(XVECTOR_POOLED)
        self.embed = nn.Linear(self.pool.out_channels, embedding_size)
        self.training_head = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(embedding_size),
            nn.Linear(embedding_size, embedding_size),
            nn.ReLU(),
            nn.BatchNorm1d(embedding_size),
        )

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances; in training, give what the loss sees instead."""
        padding = mask_or_none(mask)
        plane = _plane(hidden_states, self.layer, padding)
        for frame_layer in self.frame_layers:
            plane = frame_layer(plane, padding)
        embeddings = self.embed(self.pool(plane.squeeze(1), padding))
        return self.training_head(embeddings) if self.training else embeddings


class ScratchEcapa(nn.Module):
    """ECAPA-TDNN as its paper has it.

    The input of a block is the sum of all that stands before it: the frames that enter
    the first one, and the outputs of the blocks.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state; 80 MFCC or log-mel energies.
        width: channels of the blocks, a multiple of 8; 512 or 1024 in the paper.
        attention: what the attention has inside: ``tanh``, or ReLU, batch norm, tanh,
            which is widely used and the published code of UniPool.
        attention_size: channels there; 256 in that code.
        embedding_size: channels of the embedding.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        ValueError: when there is no such layer, or 8 does not divide ``width``.

    Source: Desplanques et al., "ECAPA-TDNN: Emphasized channel attention, propagation
    and aggregation in TDNN based speaker verification", Interspeech 2020.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        width: int = 1024,
        attention: Literal["tanh", "relu-norm-tanh"] = "tanh",
        attention_size: int = 128,
        embedding_size: int = 192,
        layer: int = -1,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.layer = index_of_layer(layer, num_layers)
        self.into = ConvReluNorm(hidden_size, width, kernel=(1, 5))
        self.blocks = nn.ModuleList(
            [
                SERes2Block(width, kernel=(1, 3), dilation=dilation)
                for dilation in (2, 3, 4)
            ]
        )
        self.join = nn.Linear(len(self.blocks) * width, ECAPA_POOLED)
        self.pool = AttentiveStatisticsPool(
            ECAPA_POOLED, bottleneck=attention_size, activation=attention
        )
        self.head = Projection(self.pool.out_channels, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        total = self.into(_plane(hidden_states, self.layer, padding), padding)
        planes = []
        for block in self.blocks:
            planes.append(block(total, padding))
            total = total + planes[-1]
        joined = self.join(torch.cat(planes, dim=3).squeeze(1)).relu()
        return self.head(self.pool(joined, padding))


def _plane(
    hidden_states: Float[Tensor, "B L T D"],
    layer: int,
    mask: Bool[Tensor, "B T"] | None,
) -> Float[Tensor, "B 1 T D"]:
    """Take one layer as a plane, zero where there is padding."""
    return zero_padding(rearrange(hidden_states[:, layer], "b t d -> b 1 t d"), mask)
