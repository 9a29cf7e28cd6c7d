"""Multi-head factorised attentive pooling, plain and aware of its context."""

from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.layer_pooling import WeightedSum
from unipool.backends.padding import mask_or_none, zero_padding
from unipool.backends.pooling import softmax_over_frames


class MHFA(nn.Module):
    """Keys and values are two weighted sums of the layers; heads pool the values.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        num_heads: each with weights over the frames.
        compression: channels of keys and values.
        embedding_size: channels of the embedding.

    Source: Peng et al., "An attention-based backend allowing efficient fine-tuning of
    transformer models for speaker verification", SLT 2022, and its published code.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        num_heads: int = 64,
        compression: int = 128,
        embedding_size: int = 256,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.sum_keys = WeightedSum(num_layers)
        self.sum_values = WeightedSum(num_layers)
        self.compress_keys = nn.Linear(hidden_size, compression)
        self.compress_values = nn.Linear(hidden_size, compression)
        self.attend: nn.Module = nn.Linear(compression, num_heads)
        self.head = nn.Linear(num_heads * compression, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        padding = mask_or_none(mask)
        states = zero_padding(hidden_states, padding)
        keys = self.compress_keys(self.sum_keys(states))
        values = self.compress_values(self.sum_values(states))
        logits = self.attend(zero_padding(keys, padding))
        weights = softmax_over_frames(logits, padding)
        pooled = einsum(weights, values, "b t h, b t c -> b h c")
        return self.head(rearrange(pooled, "b h c -> b (h c)"))


class _AlongFrames(nn.Module):
    """A convolution along the frames, with as many frames as before."""

    def __init__(self, channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            channels, out_channels, kernel, padding="same", bias=False
        )

    def forward(self, frames: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C2"]:
        convolved: Tensor = self.conv(rearrange(frames, "b t c -> b c t"))
        return rearrange(convolved, "b c t -> b t c")


class ContextAwareMHFA(MHFA):
    """MHFA whose weights see the neighbours of a frame: a query for each of them.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        num_heads: groups of queries, each with weights over the frames.
        context: frames that a group sees, the frame itself in their middle; with 1 it
            is MHFA without a bias.
        compression: channels of keys and values.
        embedding_size: channels of the embedding.

    Raises:
        ValueError: when ``context`` is even.

    Source: Peng et al., "CA-MHFA: A context-aware multi-head factorized attentive
    pooling for SSL-based speaker verification", arXiv 2409.15234, and its published
    code, which does not divide by the number of queries as eq. 2 does.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        num_heads: int = 64,
        context: int = 9,
        compression: int = 128,
        embedding_size: int = 256,
    ) -> None:
        super().__init__(
            num_layers,
            hidden_size,
            num_heads=num_heads,
            compression=compression,
            embedding_size=embedding_size,
        )
        if context < 1 or context % 2 == 0:
            raise ValueError(
                f"context is {context}, it must be odd and at least 1"
                "; a frame is in its middle"
            )
        self.attend = _AlongFrames(compression, num_heads, context)
