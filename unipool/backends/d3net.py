"""The D3Net of UniPool: dense, dilated, with an attentive gate before it.

Source: Kim, Park, Shin, Han, arXiv 2409.07770 v1, and its published code; the dense
dilated stages are those of Takahashi and Mitsufuji, "Densely connected multi-dilated
convolutional networks for dense prediction tasks", CVPR 2021.
"""

from functools import reduce
from operator import add

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.convolutions import convolve
from unipool.backends.initial import kaiming, xavier
from unipool.backends.layer_weights import WeighsLayers
from unipool.backends.padding import (
    MaskedBatchNorm,
    max_over_frames,
    mean_over_frames,
    zero_padding,
)

DILATIONS = (1, 2, 4)
"""Of the three dense stages, on the axes of layers and frames alike."""


class AttentiveVAD(WeighsLayers):
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
        # As a product for each utterance: einsum and matmul would copy the plane.
        of_each = mixing.expand(plane.shape[0], -1, -1)
        mixed = torch.bmm(of_each, plane.flatten(2)).view_as(plane)
        gates = (torch.matmul(mixed, self.weight) + self.bias).sigmoid()
        return mixed * zero_padding(gates, mask)

    def layer_weights(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B L T"]:
        """Give the mean of each layer's weights in all mixtures: a share of them."""
        shares = rearrange(self.mixing_logits.softmax(dim=1).mean(dim=0), "l -> l 1")
        return shares.expand(plane.shape[:3])


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
            convolve(conv, norm(plane, mask).relu())
            for norm, conv, plane in zip(self.norms, self.convs, planes, strict=True)
        )
        return reduce(add, convolved)


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
        attentive_vad: whether layers are mixed and gated first.
        channel_attention: whether channels are weighed at the end.
        double_residual: add the input twice.
    """

    def __init__(
        self,
        conv_dim: int,
        num_layers: int,
        *,
        attentive_vad: bool,
        channel_attention: bool,
        double_residual: bool,
    ) -> None:
        super().__init__()
        channels = (1 + len(DILATIONS)) * conv_dim
        self.residual_weight = 2 if double_residual else 1
        self.vad = AttentiveVAD(channels, num_layers) if attentive_vad else None
        self.squeeze = kaiming(nn.Linear(channels, conv_dim))
        self.stages = nn.ModuleList(
            [
                DenseStage(conv_dim, DILATIONS[:num_planes])
                for num_planes in range(1, 1 + len(DILATIONS))
            ]
        )
        self.attention = (
            ChannelAttention(channels, bottleneck=conv_dim)
            if channel_attention
            else None
        )

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give a plane of the same shape."""
        voiced = plane if self.vad is None else self.vad(plane, mask)
        planes = [self.squeeze(voiced)]
        for stage in self.stages:
            planes.append(stage(planes, mask))
        dense = torch.cat(planes, dim=3)
        if self.attention is not None:
            dense = self.attention(dense, mask)
        return torch.add(dense, voiced, alpha=self.residual_weight)
