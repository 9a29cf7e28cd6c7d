"""What parts of backends have in common that weigh the layers."""

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


class WeighsLayers(nn.Module):
    """A part of a backend with a weight for each layer; it takes a plane first."""

    @abstractmethod
    def layer_weights(self, plane: Float[Tensor, "B L T C"]) -> Float[Tensor, "B L T"]:
        """Give the weights of each frame; over the layers they sum to 1."""


@runtime_checkable
class HasEncoder(Protocol):
    """A backend that weighs the layers of an encoder of its own, not of the cache.

    Attributes:
        encoder_layers: their numbers.
    """

    encoder_layers: list[int]
