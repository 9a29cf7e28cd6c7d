"""Initial weights of the published code of UniPool and its kin: no bias at first."""

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


def xavier_throughout(module: nn.Module) -> None:
    """Draw all matrices and kernels of a module anew, and make its biases zero."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def _without_bias(module: LinearOrConv) -> LinearOrConv:
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
