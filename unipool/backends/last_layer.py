"""The simplest backend: the mean of the last layer's frames."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.padding import mask_or_none, mean_over_frames
from unipool.backends.pooling import Projection


class LastLayer(nn.Module):
    """Average the last layer over the frames, project.

    Args:
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        embedding_size: channels of the embedding.
    """

    def __init__(
        self, num_layers: int, hidden_size: int, *, embedding_size: int = 192
    ) -> None:
        super().__init__()
        self.last_layer = num_layers - 1
        self.embedding_size = embedding_size
        self.project = Projection(hidden_size, embedding_size)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, padded to a common number of frames."""
        frames = hidden_states[:, self.last_layer]
        return self.project(mean_over_frames(frames, mask_or_none(mask)))
