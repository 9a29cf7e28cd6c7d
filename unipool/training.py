"""The settings of a training."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unipool.losses import LOSSES, Loss
from unipool.masking import MASKINGS, Masked
from unipool.optimizers import OPTIMIZERS
from unipool.schedules import SCHEDULES

LEAST = {
    "steps": 0,
    "batch_size": 2,  # batch norm needs two
    "accumulate": 1,
    "crop_seconds": 1e-3,
    "learning_rate": 0,
    "gradient_clip": 1e-6,
    "validate_every": 1,
}
"""The smallest value of each setting that has a meaning."""


RAMP_BEGIN = 5e-3
"""Where the logarithm that the margin rises along begins; it ends at 1."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a backend is trained; each number is the experiment's own.

    Args:
        steps: updates; with 0 the backend stays as it was initialised.
        batch_size: crops in a batch.
        crop_seconds: length of a crop.
        learning_rate: the highest of the schedule.
        gradient_clip: largest norm of the gradient of all parameters together.
        validate_every: steps between two validations, at which the state is kept.
        loss: name in ``LOSSES``.
        loss_options: keyword arguments of that loss.
        optimizer: name in ``OPTIMIZERS``.
        optimizer_options: keyword arguments of that optimizer.
        schedule: of the learning rate; name in ``SCHEDULES``.
        schedule_options: keyword arguments of that schedule.
        accumulate: batches in an update; the loss is their mean.
        precision: of the backend's forward pass; parameters, loss and validation are
            float32.
        margin_ramp: share of the steps in which the loss's margin rises from 0, along a
            logarithm, as in the published code of LAP; with 0 it applies at once.
        masking: what is hidden of the states: names in ``MASKINGS``, with their
            arguments; by default nothing.

    Raises:
        ValueError: when a number has no meaning; it names the setting.
    """

    steps: int
    batch_size: int
    crop_seconds: float
    learning_rate: float
    gradient_clip: float
    validate_every: int
    loss: str
    loss_options: dict[str, Any]
    optimizer: str = "adam"
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    schedule: str = "one-cycle"
    schedule_options: dict[str, Any] = field(default_factory=dict)
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    margin_ramp: float = 0.0
    masking: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"{name}: is {value}, must be at least {least}")
        if not 0 <= self.margin_ramp <= 1:
            raise ValueError(f"margin_ramp: is {self.margin_ramp}, must be 0 to 1")
        with _under("optimizer_options."):
            optimizer = OPTIMIZERS[self.optimizer](**self.optimizer_options)
        with _under("schedule_options."):
            schedule = SCHEDULES[self.schedule](**self.schedule_options)
            schedule.check(self.steps, has_momentum=optimizer.has_momentum)
        with _under("loss_options: "):
            self.make_loss(self.loss_options.get("num_heads", 1), num_speakers=2)
        self.maskings()

    def make_loss(self, embedding_size: int, num_speakers: int) -> Loss:
        """Build the loss.

        Raises:
            ValueError: when its options have no meaning.
        """
        return LOSSES[self.loss](embedding_size, num_speakers, **self.loss_options)

    def make_optimizer(
        self, backend: list[nn.Parameter], loss: list[nn.Parameter]
    ) -> Optimizer:
        """Build the optimizer of the backend's and the loss's parameters."""
        make = OPTIMIZERS[self.optimizer](**self.optimizer_options)
        return make(backend, loss, self.learning_rate)

    def make_schedule(self, optimizer: Optimizer) -> LRScheduler:
        """Build what changes the learning rate of an optimizer."""
        return SCHEDULES[self.schedule](**self.schedule_options)(optimizer, self.steps)

    def maskings(self) -> list[Callable[..., Masked]]:
        """Build what hides some of the states.

        Raises:
            ValueError: when a number has no meaning.
        """
        made = []
        for name, options in self.masking.items():
            with _under(f"masking.{name}."):
                made.append(MASKINGS[name](**options))
        return made

    def margin_share(self, step: int) -> float:
        """Give the share of the margin that applies at a step."""
        rising = self.margin_ramp * self.steps
        if step >= rising:
            return 1.0
        place = RAMP_BEGIN + (1 - RAMP_BEGIN) * step / rising
        return 1 - math.log(place) / math.log(RAMP_BEGIN)


@contextmanager
def _under(key: str) -> Iterator[None]:
    """Put the key before what an error says."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}{error}") from error
