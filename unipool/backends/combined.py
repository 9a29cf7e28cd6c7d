"""Layers made one by any rule, then any network over time: the usual rivals.

The named ones are combinations with the sizes of their source.
"""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.initial import xavier_throughout
from unipool.backends.layer_pooling import (
    LayerPool,
    MeanOfLayers,
    OneLayer,
    WeightedSum,
    index_of_layer,
)
from unipool.backends.networks import (
    AttentiveStatisticsNetwork,
    EcapaTdnn,
    MeanNetwork,
    XVector,
)
from unipool.backends.padding import mask_or_none, zero_padding

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "ecapa-tdnn": EcapaTdnn,
    "xvector": XVector,
    "attentive-statistics": AttentiveStatisticsNetwork,
    "mean": MeanNetwork,
}


class Combined(nn.Module):
    """Pool the layers, then embed the frames with a network over time.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        layer_pool: how all layers become one: ``weighted-sum`` (SUPERB), ``lap``, their
            ``mean``, or ``one``.
        layer: which that one is; -1 is the last.
        layer_pool_heads: of ``lap``; it must divide ``hidden_size``.
        layer_pool_size: channels of the frames behind ``lap``.
        network: over time.
        dropout: of the weights of ``lap``, and of the frames that the attention of
            ``attentive-statistics`` sees.
        width: channels inside ``ecapa-tdnn`` (512 where nothing is said, or 1024) and
            ``xvector`` (512).
        embedding_size: channels of the embedding.

    Raises:
        ValueError: when an option has no meaning for these layers.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        layer_pool: Literal["weighted-sum", "lap", "mean", "one"] = "weighted-sum",
        layer: int = -1,
        layer_pool_heads: int = 16,
        layer_pool_size: int = 512,
        network: Literal[
            "ecapa-tdnn", "xvector", "attentive-statistics", "mean"
        ] = "attentive-statistics",
        dropout: float = 0.1,
        width: int | None = None,
        embedding_size: int = 192,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        index_of_layer(layer, num_layers)
        channels = hidden_size
        self.layer_pool: nn.Module
        if layer_pool == "lap":
            channels = layer_pool_size
            self.layer_pool = LayerPool(
                hidden_size,
                num_layers,
                inner_channels=hidden_size,
                out_channels=channels,
                num_heads=layer_pool_heads,
                dropout=dropout,
                bias=True,
                projected=layer_pool_heads > 1,
            )
        else:
            self.layer_pool = _Bare(
                {
                    "weighted-sum": WeightedSum(num_layers),
                    "mean": MeanOfLayers(),
                    "one": OneLayer(layer),
                }[layer_pool]
            )
        if width is not None and network not in ("ecapa-tdnn", "xvector"):
            raise ValueError(
                f"width is {width}, but {network} has none; leave it out, or choose"
                " ecapa-tdnn or xvector"
            )
        sizes: dict[str, float] = {} if width is None else {"width": width}
        if network == "attentive-statistics":
            sizes["frame_dropout"] = dropout
        self.network = NETWORKS[network](
            channels, embedding_size=embedding_size, **sizes
        )

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        # Before all: a NaN of the padding would reach the gradients.
        states = zero_padding(hidden_states, padding)
        return self.network(self.layer_pool(states, padding), padding)


class _Bare(nn.Module):
    """A reduction of layers by itself, which needs no mask."""

    def __init__(self, reduce: nn.Module) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(
        self, states: Float[Tensor, "B L T D"], _: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T D"]:
        return self.reduce(states)


class WeightedSumEcapa(Combined):
    """A softmax weighted sum of the layers into ECAPA-TDNN: WavLM's recipe.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        width: channels of the blocks; 512 or 1024.
        embedding_size: channels of the embedding.

    Source: Chen et al., "WavLM", IEEE JSTSP 2022, sec. V-B, and its published code.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        width: int = 512,
        embedding_size: int = 256,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            network="ecapa-tdnn",
            width=width,
            embedding_size=embedding_size,
        )


class WeightedSumXVector(Combined):
    """A softmax weighted sum of the layers into an x-vector network: SUPERB's recipe.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        width: channels inside.
        embedding_size: channels of the embedding.

    Source: Yang et al., "SUPERB", Interspeech 2021, sec. 3.2, and its published code.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        width: int = 512,
        embedding_size: int = 512,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            network="xvector",
            width=width,
            embedding_size=embedding_size,
        )


class LapAstp(Combined):
    """Layer attentive pooling, then attentive statistics.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        layer_pool_heads: must divide ``hidden_size``.
        layer_pool_size: channels of the pooled frames.
        dropout: of the layers' weights, and of the frames that the attention sees.
        embedding_size: channels of the embedding.

    Raises:
        ValueError: when ``layer_pool_heads`` does not divide ``hidden_size``.

    Source: Kim et al., "Rethinking Leveraging Pre-Trained Multi-Layer Representations
    for Speaker Verification", Interspeech 2025, and its published code.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        layer_pool_heads: int = 16,
        layer_pool_size: int = 512,
        dropout: float = 0.1,
        embedding_size: int = 192,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            layer_pool="lap",
            layer_pool_heads=layer_pool_heads,
            layer_pool_size=layer_pool_size,
            dropout=dropout,
            embedding_size=embedding_size,
        )
        xavier_throughout(self)
