"""Initial weights of the published code of UniPool: biases begin at zero."""

from typing import TypeVar

from torch import nn

LinearOrConv = TypeVar("LinearOrConv", nn.Linear, nn.Conv2d)


def kaiming(module: LinearOrConv) -> LinearOrConv:
    """Draw the weights of a module that ends in a ReLU; give it back."""
    nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
    return _without_bias(module)


def xavier(module: LinearOrConv) -> LinearOrConv:
    """Draw the weights of a module that ends in none; give it back."""
    nn.init.xavier_uniform_(module.weight)
    return _without_bias(module)


def _without_bias(module: LinearOrConv) -> LinearOrConv:
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
