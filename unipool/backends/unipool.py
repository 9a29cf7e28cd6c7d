"""UniPool: a dense network over the plane of layers and frames, pooled in turn.

Source: Kim, Park, Shin, Han, "Universal Pooling Method of Multi-layer Features from
Pretrained Models for Speaker Verification", arXiv 2409.07770 v1, and its published
code, which decides where the two differ. From that code it departs in two things:
padding is not seen, and ``pooling.mean_and_std`` does not change in training.

Planes are (B, L, T, C): with channels last a 1 x 1 convolution is a linear map and
batch norm works on rows; only the 3 x 3 convolutions view them as (B, C, L, T).
"""

from functools import reduce
from operator import add

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.initial import kaiming, xavier
from unipool.backends.padding import (
    MaskedBatchNorm,
    mask_or_none,
    max_over_frames,
    mean_over_frames,
    zero_padding,
)
from unipool.backends.pooling import (
    AttentiveStatisticsPool,
    LayerAttentivePool,
    Projection,
)

DILATIONS = (1, 2, 4)
"""Of the three dense stages, on the axes of layers and frames alike."""


class AttentiveVAD(nn.Module):
    """Mix the layers, and weigh each frame of each mixture by a gate.

    Each target layer is a mixture of all layers; its gate is the sigmoid of one linear
    unit of its own. What comes out is the mixture, not the layer itself, times the
    gate. The own layer's weight in its mixture begins as e / (e + L - 1).

    Args:
        channels: of the plane.
        num_layers: of the plane.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        # Row m holds the logits of target layer m.
        self.mixing_logits = nn.Parameter(torch.eye(num_layers))
        self.weight = nn.Parameter(torch.empty(num_layers, channels, 1))
        self.bias = nn.Parameter(torch.zeros(num_layers, 1, 1))
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give the gated mixtures; padded frames are zero."""
        mixing = self.mixing_logits.softmax(dim=1)
        mixed = torch.einsum("ml,bltc->bmtc", mixing, plane)
        gates = (torch.matmul(mixed, self.weight) + self.bias).sigmoid()
        return mixed * zero_padding(gates, mask)


class DenseStage(nn.Module):
    """Batch norm, ReLU and a dilated 3 x 3 convolution for each earlier plane, summed.

    Args:
        channels: of every plane.
        dilations: one for each plane made so far, on layers and frames alike.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.norms = nn.ModuleList([MaskedBatchNorm(channels) for _ in dilations])
        self.convs = nn.ModuleList(
            [
                kaiming(
                    nn.Conv2d(channels, channels, 3, padding="same", dilation=dilation)
                )
                for dilation in dilations
            ]
        )

    def forward(
        self, planes: list[Float[Tensor, "B L T C"]], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Make the next plane."""
        # Zeros of the norm stay zeros: padding looks like what is beyond a border.
        convolved = (
            conv(rearrange(norm(plane, mask).relu(), "b l t c -> b c l t"))
            for norm, conv, plane in zip(self.norms, self.convs, planes, strict=True)
        )
        return rearrange(reduce(add, convolved), "b c l t -> b l t c")


class ChannelAttention(nn.Module):
    """Weigh channels by their mean and their maximum over layers and real frames.

    Args:
        channels: of the plane.
        bottleneck: channels inside each of the two branches.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.of_mean = self._branch(channels, bottleneck)
        self.of_max = self._branch(channels, bottleneck)

    @staticmethod
    def _branch(channels: int, bottleneck: int) -> nn.Sequential:
        return nn.Sequential(
            kaiming(nn.Linear(channels, bottleneck)),
            nn.ReLU(),
            nn.BatchNorm1d(bottleneck),
            xavier(nn.Linear(bottleneck, channels)),
        )

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give the weighted plane."""
        mean = mean_over_frames(plane.mean(dim=1), mask)
        largest = max_over_frames(plane.amax(dim=1), mask)
        weights = (self.of_mean(mean) + self.of_max(largest)).sigmoid()
        return plane * rearrange(weights, "b c -> b 1 1 c")


class D3Block(nn.Module):
    """Attentive VAD, then a dense block with channel attention, beside the residual.

    Args:
        conv_dim: channels of a dense plane; the block's own are four times as many.
        num_layers: of the plane.
        double_residual: add the input twice.
    """

    def __init__(
        self, conv_dim: int, num_layers: int, *, double_residual: bool
    ) -> None:
        super().__init__()
        channels = (1 + len(DILATIONS)) * conv_dim
        self.residual_weight = 2 if double_residual else 1
        self.vad = AttentiveVAD(channels, num_layers)
        self.squeeze = kaiming(nn.Linear(channels, conv_dim))
        self.stages = nn.ModuleList(
            [
                DenseStage(conv_dim, DILATIONS[:num_planes])
                for num_planes in range(1, 1 + len(DILATIONS))
            ]
        )
        self.attention = ChannelAttention(channels, bottleneck=conv_dim)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give a plane of the same shape."""
        voiced = self.vad(plane, mask)
        planes = [self.squeeze(voiced)]
        for stage in self.stages:
            planes.append(stage(planes, mask))
        dense = self.attention(torch.cat(planes, dim=3), mask)
        return torch.add(dense, voiced, alpha=self.residual_weight)


class UniPool(nn.Module):
    """Project, D3 blocks, layer attentive pooling, attentive statistics pooling.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        conv_dim: channels of a dense plane; the network is four times as wide, the
            attention of the frame pooling twice.
        num_blocks: D3 blocks, chained; the outputs of all are concatenated.
        layer_pool_heads: heads of the layer attentive pooling.
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
        layer_pool_heads: int = 4,
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
        if channels % layer_pool_heads:
            raise ValueError(
                f"layer_pool_heads is {layer_pool_heads}, it must divide {channels},"
                " four times conv_dim"
            )
        self.project = xavier(nn.Linear(hidden_size, channels))
        self.norm = MaskedBatchNorm(channels)
        self.blocks = nn.ModuleList(
            [
                D3Block(conv_dim, used_layers, double_residual=double_residual)
                for _ in range(num_blocks)
            ]
        )
        self.layer_pool = LayerAttentivePool(
            num_blocks * channels,
            used_layers,
            channels,
            num_heads=layer_pool_heads,
            dropout=dropout,
        )
        self.frame_pool = AttentiveStatisticsPool(
            channels, bottleneck=channels // 2, dropout=dropout
        )
        self.head = Projection(self.frame_pool.out_channels, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        states = zero_padding(hidden_states[:, self.first_layer :], padding)
        plane = self.norm(self.project(states), padding)
        planes = []
        for block in self.blocks:
            plane = block(plane, padding)
            planes.append(plane)
        frames = self.layer_pool(torch.cat(planes, dim=3), padding)
        return self.head(self.frame_pool(frames, padding))
