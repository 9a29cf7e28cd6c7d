"""UniPool: a dense network over the plane of layers and frames, pooled in turn.

Source: Kim, Park, Shin, Han, "Universal Pooling Method of Multi-layer Features from
Pretrained Models for Speaker Verification", arXiv 2409.07770 v1, and its published
code, which decides where the two differ. Maps have the axes (B, C, L, T).
"""

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.norm import MaskedBatchNorm
from unipool.backends.pooling import AttentiveStatisticsPool, Projection

DILATIONS = (1, 2, 4)
"""Of the three dense stages, on the axes of layers and frames alike."""

Map = Float[Tensor, "B C L T"]
Mask = Bool[Tensor, "B T"]


class AttentiveVAD(nn.Module):
    """Mix the layers, and weigh each frame of each by a gate of its own.

    Each target layer is a mixture of all layers; its gate is a sigmoid of one linear
    unit. What comes out is the mixture, not the layer itself, times the gate.

    Args:
        channels: of the map.
        num_layers: of the map.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        # Row l mixes target layer l; its own weight begins as e / (e + L - 1).
        self.mixing_logits = nn.Parameter(torch.eye(num_layers))
        self.weight = nn.Parameter(torch.empty(num_layers, channels))
        self.bias = nn.Parameter(torch.zeros(num_layers))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, layers: Map, mask: Mask) -> Map:
        """Give the gated mixtures; padded frames are zero."""
        mixed = torch.matmul(self.mixing_logits.softmax(dim=1), layers)
        scores = torch.einsum("bclt,lc->blt", mixed, self.weight)
        gates = (scores + rearrange(self.bias, "l -> l 1")).sigmoid()
        gates = gates * rearrange(mask, "b t -> b 1 t")
        return mixed * rearrange(gates, "b l t -> b 1 l t")


class DenseStage(nn.Module):
    """Batch norm, ReLU and a dilated 3 x 3 convolution for each earlier map, summed.

    Args:
        channels: of every map.
        num_maps: maps made so far; map j is convolved with dilation 2 to the j.
    """

    def __init__(self, channels: int, num_maps: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([MaskedBatchNorm(channels) for _ in range(num_maps)])
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(channels, channels, 3, padding="same", dilation=dilation)
                for dilation in DILATIONS[:num_maps]
            ]
        )

    def forward(self, maps: list[Map], mask: Mask) -> Map:
        """Make the next map."""
        real = rearrange(mask, "b t -> b 1 1 t")
        # Padding is zero before each convolution, as what lies beyond a real border.
        convolved = [
            conv(norm(layers, mask).relu() * real)
            for layers, norm, conv in zip(maps, self.norms, self.convs, strict=True)
        ]
        return torch.stack(convolved).sum(dim=0)


class ChannelAttention(nn.Module):
    """Weigh channels by their mean and their maximum over layers and real frames.

    Args:
        channels: of the map.
        bottleneck: channels inside each of the two branches.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.of_mean = self._branch(channels, bottleneck)
        self.of_max = self._branch(channels, bottleneck)

    @staticmethod
    def _branch(channels: int, bottleneck: int) -> nn.Sequential:
        squeeze = nn.Linear(channels, bottleneck)
        excite = nn.Linear(bottleneck, channels)
        nn.init.kaiming_uniform_(squeeze.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(excite.weight)
        return nn.Sequential(squeeze, nn.ReLU(), nn.BatchNorm1d(bottleneck), excite)

    def forward(self, layers: Map, mask: Mask) -> Map:
        """Give the weighted map."""
        real = rearrange(mask, "b t -> b 1 1 t")
        count = reduce(mask.float(), "b t -> b 1", "sum") * layers.shape[2]
        mean = reduce(layers * real, "b c l t -> b c", "sum") / count
        largest = reduce(layers.masked_fill(~real, -torch.inf), "b c l t -> b c", "max")
        weights = (self.of_mean(mean) + self.of_max(largest)).sigmoid()
        return layers * rearrange(weights, "b c -> b c 1 1")


class D3Block(nn.Module):
    """Attentive VAD, then a dense block with channel attention beside two residuals.

    Args:
        conv_dim: channels of a dense map; the block's own are four times as many.
        num_layers: of the map.
        double_residual: add the input twice, as the published code does.
    """

    def __init__(
        self, conv_dim: int, num_layers: int, *, double_residual: bool
    ) -> None:
        super().__init__()
        channels = 4 * conv_dim
        self.residual_weight = 2 if double_residual else 1
        self.vad = AttentiveVAD(channels, num_layers)
        self.squeeze = nn.Conv2d(channels, conv_dim, kernel_size=1)
        nn.init.kaiming_uniform_(self.squeeze.weight, nonlinearity="relu")
        self.stages = nn.ModuleList(
            [DenseStage(conv_dim, num_maps=i + 1) for i in range(len(DILATIONS))]
        )
        self.attention = ChannelAttention(channels, bottleneck=conv_dim)

    def forward(self, layers: Map, mask: Mask) -> Map:
        """Give a map of the same shape."""
        voiced = self.vad(layers, mask)
        maps = [self.squeeze(voiced)]
        for stage in self.stages:
            maps.append(stage(maps, mask))
        return self.residual_weight * voiced + self.attention(torch.cat(maps, 1), mask)


class LayerAttentivePool(nn.Module):
    """Weigh each layer of each frame by squeeze and excitation, keep the maximum.

    Args:
        channels: of the map.
        num_layers: of the map.
        out_channels: of the frames.
        num_heads: groups of channels with weights of their own.
        dropout: of the weights, as published.

    Source: sec. 3.3 of the paper. A score dropped to zero takes part in the maximum.
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
        if out_channels % num_heads:
            raise ValueError(
                f"layer_pool_heads is {num_heads}, it must divide the {out_channels}"
                " channels (four times conv_dim)"
            )
        self.num_heads = num_heads
        self.norm = MaskedBatchNorm(channels)
        self.project = nn.Conv2d(channels, out_channels, kernel_size=1, bias=False)
        bottleneck = max(num_layers // 2, 1)
        self.squeeze = nn.Parameter(torch.empty(num_heads, num_layers, bottleneck))
        self.squeeze_bias = nn.Parameter(torch.zeros(num_heads, 1, bottleneck))
        self.excite = nn.Parameter(torch.empty(num_heads, bottleneck, num_layers))
        self.excite_bias = nn.Parameter(torch.zeros(num_heads, 1, num_layers))
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Conv1d(out_channels, out_channels, kernel_size=1, bias=False)
        self.out_norm = MaskedBatchNorm(out_channels)
        nn.init.xavier_uniform_(self.project.weight)
        # Of three axes, so torch's fan is the product of the last two, as published.
        nn.init.kaiming_uniform_(self.squeeze, nonlinearity="relu")
        nn.init.xavier_uniform_(self.excite)
        nn.init.xavier_uniform_(self.mix.weight)

    def forward(self, layers: Map, mask: Mask) -> Float[Tensor, "B C T"]:
        """Pool the layers of each frame."""
        values = rearrange(
            self.project(self.norm(layers, mask)),
            "b (h d) l t -> b h d l t",
            h=self.num_heads,
        )
        scores = self._score(reduce(values, "b h d l t -> b h t l", "mean"))
        scores = scores + self._score(reduce(values, "b h d l t -> b h t l", "max"))
        weights = self.dropout(scores.sigmoid())
        weighted = values * rearrange(weights, "b h t l -> b h 1 l t")
        frames = reduce(weighted, "b h d l t -> b (h d) t", "max")
        return self.out_norm(self.mix(frames), mask)

    def _score(self, squeezed: Float[Tensor, "B H T L"]) -> Float[Tensor, "B H T L"]:
        hidden = (squeezed @ self.squeeze + self.squeeze_bias).relu()
        return hidden @ self.excite + self.excite_bias


class UniPool(nn.Module):
    """Project, D3 blocks, layer attentive pooling, attentive statistics pooling.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        conv_dim: channels of a dense map; the network is four times as wide.
        num_blocks: D3 blocks, chained; the outputs of all are concatenated.
        layer_pool_heads: heads of the layer attentive pooling.
        embedding_size: channels of the embedding.
        dropout: of the weights of both poolings.
        use_layer_zero: whether what enters the encoder's first block takes part; the
            published code leaves it out.
        double_residual: whether a block adds its input twice, as the published code
            does (the paper has it once).

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
                f"{num_layers} layer(s) and use_layer_zero is false: none is left"
            )
        channels = 4 * conv_dim
        self.project = nn.Linear(hidden_size, channels)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
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
        padding = rearrange(~mask, "b t -> b 1 t 1")
        used = hidden_states[:, self.first_layer :].masked_fill(padding, 0)
        layers = rearrange(self.project(used), "b l t c -> b c l t")
        layers = self.norm(layers.contiguous(), mask)
        maps = []
        for block in self.blocks:
            layers = block(layers, mask)
            maps.append(layers)
        frames = self.layer_pool(torch.cat(maps, dim=1), mask)
        return self.head(self.frame_pool(frames, mask))
