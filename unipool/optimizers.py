"""What turns gradients into updates, by name.

Each is called with the parameters of the backend, those of the loss and the highest
learning rate, and gives a torch optimizer of two groups, which may differ in their
weight decay. Every parameter of a group decays, biases and norms too, as in the
published code of ECAPA-TDNN and LAP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class Decaying(ABC):
    """An optimizer whose weights may decay.

    Args:
        weight_decay: of the backend.
        loss_weight_decay: of the loss's own weights; as the backend's where nothing is
            said.

    Raises:
        ValueError: when a number has no meaning; it names the option.
    """

    weight_decay: float = 0.0
    loss_weight_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("weight_decay", "loss_weight_decay"):
            decay = getattr(self, name)
            if decay is not None and not decay >= 0:
                raise ValueError(f"{name}: is {decay}, must be at least 0")

    def __call__(
        self,
        backend: list[nn.Parameter],
        loss: list[nn.Parameter],
        learning_rate: float,
    ) -> Optimizer:
        """Build the optimizer of both."""
        of_loss = self.loss_weight_decay
        groups = [
            {"params": backend, "weight_decay": self.weight_decay},
            {
                "params": loss,
                "weight_decay": self.weight_decay if of_loss is None else of_loss,
            },
        ]
        return self._of(groups, learning_rate)

    @property
    def has_momentum(self) -> bool:
        """Say whether there is a momentum that a schedule may turn."""
        return True

    @abstractmethod
    def _of(self, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer: ...


@dataclass(frozen=True, kw_only=True)
class Adam(Decaying):
    """Adam; what decays is added to the gradient, and so is scaled with it.

    Source: Kingma and Ba, "Adam", ICLR 2015; its betas are torch's, 0.9 and 0.999,
    unless the schedule turns the first.
    """

    def _of(self, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer:
        return torch.optim.Adam(groups, lr=learning_rate)


@dataclass(frozen=True, kw_only=True)
class AdamW(Decaying):
    """Adam whose decay is apart from the gradient: the rate times ``weight_decay``.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019;
    0.01 is torch's.
    """

    weight_decay: float = 0.01

    def _of(self, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer:
        return torch.optim.AdamW(groups, lr=learning_rate)


@dataclass(frozen=True, kw_only=True)
class SGD(Decaying):
    """Gradient descent with momentum.

    Args:
        weight_decay: of the backend.
        loss_weight_decay: of the loss's own weights.
        momentum: share of the last update that is made again.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep
    learning", ICML 2013, as torch has it.
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: is {self.momentum}, must be 0 to below 1")

    @property
    def has_momentum(self) -> bool:
        """Say whether there is a momentum that a schedule may turn."""
        return self.momentum > 0

    def _of(self, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer:
        return torch.optim.SGD(groups, lr=learning_rate, momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class RMSprop(Decaying):
    """Gradient descent, each gradient divided by its recent root mean square.

    Args:
        weight_decay: of the backend.
        loss_weight_decay: of the loss's own weights.
        alpha: share of the mean square that stays from step to step.
        eps: added to the root.

    Source: Tieleman and Hinton, 2012; the numbers are those of SincNet (Ravanelli and
    Bengio, SLT 2018).
    """

    alpha: float = 0.95
    eps: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha: is {self.alpha}, must be 0 to below 1")
        if not self.eps > 0:
            raise ValueError(f"eps: is {self.eps}, must be above 0")

    @property
    def has_momentum(self) -> bool:
        """Say that there is none."""
        return False

    def _of(self, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer:
        return torch.optim.RMSprop(
            groups, lr=learning_rate, alpha=self.alpha, eps=self.eps
        )


OPTIMIZERS: dict[str, Callable[..., Decaying]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "rmsprop": RMSprop,
}
