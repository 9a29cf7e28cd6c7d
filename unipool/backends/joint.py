"""An encoder and a backend that learn together, on the samples."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from unipool.backends.finetuned import Finetuned
from unipool.backends.of_layers import OF_LAYERS


class FinetuneLora(Finetuned):
    """Any backend, on all hidden states of an encoder that it adapts by LoRA.

    The encoder's own weights never change; beside some of its linear maps the product
    of two thin matrices is learned, together with the backend. It begins at zero, so
    what the untrained backend gives is what it gives on the frozen encoder. In training
    the dropouts and the layer drop of the encoder are at work.

    Args:
        num_layers: hidden states of the backbone.
        hidden_size: samples in a frame; any number.
        encoder: folder of the encoder.
        backend: kind of the backend, one in ``OF_LAYERS``.
        backend_options: its keyword arguments.
        rank: of the product.
        alpha: over ``rank``, what the product is multiplied by.
        dropout: of what enters the product.
        targets: names of the linear maps, in all blocks; None: those of queries and
            values, of WavLM those of the feed-forward network.
        layer: of the backbone, where it has several; -1 is the last.

    Attributes:
        encoder_layers: numbers of the hidden states that the backend is given.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it is no encoder to fine-tune, there is no such backend, or a
            number has no meaning.

    Source: Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022;
    the numbers are of the published code of Li et al., "Enhancing speaker verification
    with w2v-BERT 2.0 and knowledge distillation guided structured pruning", arXiv
    2510.04213, which adapts the maps of queries and values under a backend on all
    layers.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        encoder: str,
        backend: str,
        backend_options: dict[str, Any] | None = None,
        rank: int = 64,
        alpha: float = 128,
        dropout: float = 0.0,
        targets: Sequence[str] | None = None,
        layer: int = -1,
    ) -> None:
        if backend not in OF_LAYERS:
            raise ValueError(
                f"backend is {backend!r}, it must be one that reads hidden states:"
                f" {', '.join(OF_LAYERS)}"
            )
        super().__init__(num_layers, encoder=encoder, blocks=None, layer=layer)
        self.encoder.adapt(rank=rank, alpha=alpha, dropout=dropout, targets=targets)
        self.backend = OF_LAYERS[backend](
            self.encoder.num_layers, self.encoder.hidden_size, **(backend_options or {})
        )
        self.encoder_layers = list(range(self.encoder.num_layers))
        assert isinstance(self.backend.embedding_size, int)
        self.embedding_size = self.backend.embedding_size

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, whose real frames come first."""
        frames, real = self.project(hidden_states, mask)
        embeddings: Tensor = self.backend(
            self.encoder.hidden_states(frames, real), real
        )
        return embeddings
