"""L-TDNN: a network over layers and frames, pooled in turn.

Source: Kim et al., arXiv 2409.07770 v2, and its published code, which decides where the
two differ: it keeps layer 0, and its kernels are (layers, frames). This departs from it
where UniPool does, too: padding is not seen, and the standard deviation is the same in
training and evaluation.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.convolutions import ConvReluNorm, SERes2Block, SqueezeExcitation
from unipool.backends.initial import xavier_throughout
from unipool.backends.layer_pooling import LayerPool
from unipool.backends.padding import MaskedBatchNorm, mask_or_none, zero_padding
from unipool.backends.pooling import AttentiveStatisticsPool, Projection

NUM_BLOCKS = 3


class LTDNN(nn.Module):
    """What both L-TDNNs share: norm, convolution, chained blocks, the two poolings.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        kernel: layers and frames that the first convolution sees.
        blocks: of ``conv_dim`` channels each.
        conv_dim: channels of the plane.
        layer_pool_size: channels of the pooled frames.
        layer_pool_heads: must divide ``layer_pool_size``.
        embedding_size: channels of the embedding.
        dropout: of the weights of both poolings.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        kernel: tuple[int, int],
        blocks: list[nn.Module],
        conv_dim: int,
        layer_pool_size: int,
        layer_pool_heads: int,
        embedding_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.norm = MaskedBatchNorm(hidden_size)
        self.into = ConvReluNorm(hidden_size, conv_dim, kernel=kernel)
        self.blocks = nn.ModuleList(blocks)
        channels = len(blocks) * conv_dim
        self.fuse = nn.Linear(channels, channels)
        for module in (self.into, self.blocks, self.fuse):
            xavier_throughout(module)
        self.layer_pool = LayerPool(
            channels,
            num_layers,
            inner_channels=layer_pool_size,
            out_channels=layer_pool_size,
            num_heads=layer_pool_heads,
            dropout=dropout,
        )
        self.frame_pool = AttentiveStatisticsPool(
            layer_pool_size, bottleneck=layer_pool_size // 2, dropout=dropout
        )
        self.head = Projection(self.frame_pool.out_channels, embedding_size)

    def network(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give the plane before its layers are pooled; padding must be finite."""
        plane = self.into(self.norm(hidden_states, mask), mask)
        planes = []
        for block in self.blocks:
            plane = block(plane, mask)
            planes.append(plane)
        return self.fuse(torch.cat(planes, dim=3)).relu()

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        plane = self.network(zero_padding(hidden_states, padding), padding)
        return self.head(self.frame_pool(self.layer_pool(plane, padding), padding))


class LTDNNEcapa(LTDNN):
    """L-TDNN with the blocks of ECAPA-TDNN, on layers and frames.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        conv_dim: channels of the plane; 8 must divide it.
        layer_pool_size: channels of the pooled frames.
        layer_pool_heads: must divide ``layer_pool_size``.
        embedding_size: channels of the embedding.
        dropout: of the weights of both poolings.

    Raises:
        ValueError: when a size does not divide as it must.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        conv_dim: int = 256,
        layer_pool_size: int = 512,
        layer_pool_heads: int = 8,
        embedding_size: int = 192,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            # As the code's axes have it; its comment says 5 frames and 3 layers.
            kernel=(5, 3),
            blocks=[
                SERes2Block(conv_dim, kernel=(3, 3), dilation=dilation)
                for dilation in range(2, 2 + NUM_BLOCKS)
            ],
            conv_dim=conv_dim,
            layer_pool_size=layer_pool_size,
            layer_pool_heads=layer_pool_heads,
            embedding_size=embedding_size,
            dropout=dropout,
        )


class NarrowingBlock(nn.Module):
    """Dilated residual convolutions, each of which gives a part of its channels away.

    Args:
        conv_dim: channels of the plane; ``depth`` must divide it.
        depth: convolutions, dilated by 1, 2, 4, ...

    Raises:
        ValueError: when ``depth`` does not divide ``conv_dim``.
    """

    def __init__(self, conv_dim: int, *, depth: int = 4) -> None:
        super().__init__()
        if conv_dim % depth:
            raise ValueError(
                f"conv_dim is {conv_dim}, it must be a multiple of {depth}, for so many"
                " parts of it are given away in turn"
            )
        self.part = conv_dim // depth
        widths = range(conv_dim, 0, -self.part)
        self.layers = nn.ModuleList(
            [
                ConvReluNorm(width, width, kernel=(3, 3), dilation=2**i)
                for i, width in enumerate(widths)
            ]
        )
        self.attention = SqueezeExcitation(conv_dim)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give a plane of the same shape."""
        given = []
        for layer in self.layers:
            wide = plane + layer(plane, mask)
            plane, part = wide.split([wide.shape[3] - self.part, self.part], dim=3)
            given.append(part)
        return self.attention(torch.cat(given, dim=3), mask)


class LTDNND3Net(LTDNN):
    """L-TDNN with blocks that narrow, kin of D3Net's.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        conv_dim: channels of the plane; 4 must divide it.
        layer_pool_size: channels of the pooled frames.
        layer_pool_heads: must divide ``layer_pool_size``.
        embedding_size: channels of the embedding.
        dropout: of the weights of both poolings.

    Raises:
        ValueError: when a size does not divide as it must.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        conv_dim: int = 256,
        layer_pool_size: int = 512,
        layer_pool_heads: int = 8,
        embedding_size: int = 192,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            kernel=(1, 5),
            blocks=[NarrowingBlock(conv_dim) for _ in range(NUM_BLOCKS)],
            conv_dim=conv_dim,
            layer_pool_size=layer_pool_size,
            layer_pool_heads=layer_pool_heads,
            embedding_size=embedding_size,
            dropout=dropout,
        )
