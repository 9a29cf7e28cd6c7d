"""From all layers to frames: what stands between the encoder and a network over time.

Axes are (B, L, T, C) before and (B, T, C) after.
"""

from collections.abc import Callable
from typing import Literal

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.initial import xavier
from unipool.backends.layer_weights import WeighsLayers
from unipool.backends.padding import MaskedBatchNorm

LayerReduction = Literal[
    "attention-max", "attention-mean", "weighted-sum", "mean", "last"
]
"""How layers become one."""


class AttendedLayers(WeighsLayers):
    """Weigh each layer of each frame by squeeze and excitation, then reduce.

    The weights of a head come from the mean and the maximum of its channels in every
    layer, frame by frame. A weight that is dropped to zero takes part in the maximum,
    as in the published code.

    Args:
        num_layers: of the plane.
        num_heads: groups of channels with weights of their own.
        dropout: of the weights.
        keep: of the weighted layers, the largest value of each channel or the mean.
    """

    def __init__(
        self,
        num_layers: int,
        *,
        num_heads: int,
        dropout: float,
        keep: Literal["max", "mean"],
    ) -> None:
        super().__init__()
        self.num_heads, self.keep = num_heads, keep
        bottleneck = max(num_layers // 2, 1)
        self.squeeze = nn.Parameter(torch.empty(num_heads, num_layers, bottleneck))
        self.squeeze_bias = nn.Parameter(torch.zeros(num_heads, bottleneck))
        self.excite = nn.Parameter(torch.empty(num_heads, bottleneck, num_layers))
        self.excite_bias = nn.Parameter(torch.zeros(num_heads, num_layers))
        self.dropout = nn.Dropout(dropout)
        # Three axes, so that the fans are products of the last two, as published.
        nn.init.kaiming_uniform_(self.squeeze, nonlinearity="relu")
        nn.init.xavier_uniform_(self.excite)

    def forward(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B T C"]:
        """Reduce the layers of each frame."""
        heads = self._heads(plane)
        weights = self.dropout(self._weights(heads))
        weighted = heads * rearrange(weights, "b l t h -> b l t h 1")
        if self.keep == "max":  # by place: amax would keep the plane for its gradient
            kept = weighted.max(dim=1).values
        else:
            kept = weighted.mean(dim=1)
        return rearrange(kept, "b t h d -> b t (h d)")

    def layer_weights(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B L T"]:
        """Give the weights' mean over the heads, scaled to sum to 1 over the layers."""
        weights = self._weights(self._heads(plane)).mean(dim=3)
        return weights / weights.sum(dim=1, keepdim=True)

    def _heads(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B L T H D"]:
        return rearrange(plane, "b l t (h d) -> b l t h d", h=self.num_heads)

    def _weights(self, heads: Float[Tensor, "B L T H D"]) -> Float[Tensor, "B L T H"]:
        squeezed = [
            torch.einsum("blth,hlk->bthk", summary, self.squeeze) + self.squeeze_bias
            for summary in (heads.mean(dim=-1), heads.amax(dim=-1))
        ]
        # The second layer is linear, so the two meet before it; its bias counts twice.
        hidden = squeezed[0].relu() + squeezed[1].relu()
        scores = torch.einsum("bthk,hkl->blth", hidden, self.excite)
        return (scores + 2 * rearrange(self.excite_bias, "h l -> l 1 h")).sigmoid()


class WeightedSum(WeighsLayers):
    """Sum the layers with softmax weights, one for each layer; they begin equal.

    Args:
        num_layers: of the plane.

    Source: Yang et al., "SUPERB: Speech processing universal performance benchmark",
    Interspeech 2021.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.layer_logits = nn.Parameter(torch.zeros(num_layers))

    def forward(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B T C"]:
        """Reduce the layers."""
        weights = self.layer_logits.softmax(dim=0)
        return einsum(plane, weights, "b l t c, l -> b t c")

    def layer_weights(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B L T"]:
        """Give the weights: of every frame the same."""
        weights = rearrange(self.layer_logits.softmax(dim=0), "l -> l 1")
        return weights.expand(plane.shape[:3])


class MeanOfLayers(nn.Module):
    """The mean of all layers."""

    def forward(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B T C"]:
        """Reduce the layers."""
        return plane.mean(dim=1)


class OneLayer(nn.Module):
    """One layer alone.

    Args:
        layer: which; -1 is the last.
    """

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B T C"]:
        """Take it."""
        return plane[:, self.layer]


def index_of_layer(layer: int, num_layers: int) -> int:
    """Give the layer that was asked for, when there is such a one.

    Raises:
        ValueError: when there is none.
    """
    if not -num_layers <= layer < num_layers:
        raise ValueError(
            f"layer is {layer}, there are {num_layers} layers, 0 to {num_layers - 1};"
            " choose one of them, or cache more"
        )
    return layer


class LayerPool(nn.Module):
    """Normalise and project, make one layer of all, mix the channels, normalise.

    With the reduction ``attention-max`` it is the layer attentive pooling of UniPool,
    L-TDNN and LAP; with the others, all else being equal, what their ablations compare
    it with.

    Args:
        channels: of the plane.
        num_layers: of the plane.
        inner_channels: of the projection; ``num_heads`` must divide it.
        out_channels: of the frames.
        num_heads: of the attention.
        dropout: of the attention's weights.
        reduction: how all layers become one.
        bias: whether the two projections have one; those of LAP do.
        projected: whether there is the first; LAP has none before a single head.

    Raises:
        ValueError: when ``num_heads`` does not divide ``inner_channels``.

    Source: Kim et al., arXiv 2409.07770 v1 and v2, and Interspeech 2025, and their
    published code.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        *,
        inner_channels: int,
        out_channels: int,
        num_heads: int,
        dropout: float,
        reduction: LayerReduction = "attention-max",
        bias: bool = False,
        projected: bool = True,
    ) -> None:
        super().__init__()
        if inner_channels % num_heads:
            raise ValueError(
                f"layer_pool_heads is {num_heads}, it must divide {inner_channels}, the"
                " channels that it pools"
            )
        self.norm = MaskedBatchNorm(channels)
        self.project = (
            xavier(nn.Linear(channels, inner_channels, bias=bias))
            if projected
            else nn.Identity()
        )
        reductions: dict[str, Callable[[], nn.Module]] = {
            "attention-max": lambda: AttendedLayers(
                num_layers, num_heads=num_heads, dropout=dropout, keep="max"
            ),
            "attention-mean": lambda: AttendedLayers(
                num_layers, num_heads=num_heads, dropout=dropout, keep="mean"
            ),
            "weighted-sum": lambda: WeightedSum(num_layers),
            "mean": MeanOfLayers,
            "last": lambda: OneLayer(-1),
        }
        self.reduce = reductions[reduction]()
        self.mix = xavier(nn.Linear(inner_channels, out_channels, bias=bias))
        self.out_norm = MaskedBatchNorm(out_channels)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T C2"]:
        """Pool the layers of each frame."""
        reduced = self.reduce(self.project(self.norm(plane, mask)))
        return self.out_norm(self.mix(reduced), mask)
