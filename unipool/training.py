"""One training: its settings, what changes in it, and one step of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from unipool.batches import CropBatch
from unipool.losses import LOSSES, AAMSoftmax
from unipool.masking import MASKINGS, Masked

LEAST = {
    "steps": 0,
    "batch_size": 2,  # batch norm needs two
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
        learning_rate: the highest of the one-cycle schedule, which begins at 1/25 of
            it and ends at 1/250,000.
        warmup_fraction: share of the steps in which the learning rate rises.
        gradient_clip: largest norm of the gradient of all parameters together.
        validate_every: steps between two validations, at which the state is kept.
        loss: name in ``LOSSES``.
        loss_options: keyword arguments of that loss.
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
    warmup_fraction: float
    gradient_clip: float
    validate_every: int
    loss: str
    loss_options: dict[str, Any]
    margin_ramp: float = 0.0
    masking: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"{name}: is {value}, must be at least {least}")
        warmup_steps = self.warmup_fraction * self.steps
        if not 0 < self.warmup_fraction < 1 or (self.steps and warmup_steps <= 1):
            raise ValueError(
                f"warmup_fraction: is {self.warmup_fraction}, must lie between 0 and 1"
                f" and make more than 1 of the {self.steps} steps"
            )
        if not 0 <= self.margin_ramp <= 1:
            raise ValueError(f"margin_ramp: is {self.margin_ramp}, must be 0 to 1")
        self.maskings()
        try:
            self.make_loss(self.loss_options.get("num_heads", 1), num_speakers=2)
        except ValueError as error:
            raise ValueError(f"loss_options: {error}") from error

    def make_loss(self, embedding_size: int, num_speakers: int) -> AAMSoftmax:
        """Build the loss.

        Raises:
            ValueError: when its options have no meaning.
        """
        return LOSSES[self.loss](embedding_size, num_speakers, **self.loss_options)

    def maskings(self) -> list[Callable[..., Masked]]:
        """Build what hides some of the states.

        Raises:
            ValueError: when a number has no meaning.
        """
        made = []
        for name, options in self.masking.items():
            try:
                made.append(MASKINGS[name](**options))
            except ValueError as error:
                raise ValueError(f"masking.{name}.{error}") from error
        return made

    def margin_share(self, step: int) -> float:
        """Give the share of the margin that applies at a step."""
        rising = self.margin_ramp * self.steps
        if step >= rising:
            return 1.0
        place = RAMP_BEGIN + (1 - RAMP_BEGIN) * step / rising
        return 1 - math.log(place) / math.log(RAMP_BEGIN)


STATEFUL = ("backend", "loss", "optimizer", "schedule")
PLAIN = ("step", "seconds", "learning_rate", "best", "history")
"""What a trainee consists of: parts that have a state, and values that are one."""


class Trainee:
    """A backend in training: all that changes from step to step.

    Args:
        backend: takes hidden states and mask.
        loss: takes its embeddings and labels.
        training: the settings.
        seed: of dropout.
        device: where to compute.

    Attributes:
        step: updates done.
        seconds: time they took, validations included.
        learning_rate: of the last update; NaN before the first.
        best: weights of the best validation so far.
        history: a row for each validation.
    """

    def __init__(
        self,
        backend: nn.Module,
        loss: AAMSoftmax,
        training: Training,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.backend, self.loss = backend.to(device), loss.to(device)
        self.parameters = [*self.backend.parameters(), *self.loss.parameters()]
        self.optimizer = Adam(self.parameters, lr=training.learning_rate)
        self.schedule = OneCycleLR(
            self.optimizer,
            max_lr=training.learning_rate,
            total_steps=max(training.steps, 1),
            pct_start=training.warmup_fraction,
        )
        self.training, self.seed, self.device = training, seed, device
        self.maskings = training.maskings()
        self.step = 0
        self.seconds = 0.0
        self.learning_rate = math.nan
        self.best: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []

    def update(self, batch: CropBatch) -> float:
        """Take one step, give the loss before it.

        Raises:
            ValueError: when the loss is not finite.
        """
        torch.manual_seed(self._seed_of_step())
        states = batch.hidden_states.to(self.device)
        mask = torch.ones(
            (states.shape[0], states.shape[2]), dtype=torch.bool, device=self.device
        )
        for hide in self.maskings:
            states, mask = hide(states, mask)
        self.loss.margin_share = self.training.margin_share(self.step)
        loss = self.loss(self.backend(states, mask), batch.labels.to(self.device))
        value = float(loss.item())
        if not math.isfinite(value):
            raise ValueError(
                f"the loss is {value} at step {self.step}; lower train.learning_rate"
                f" ({self.training.learning_rate}) or train.gradient_clip"
                f" ({self.training.gradient_clip})"
            )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.training.gradient_clip)
        self.optimizer.step()
        self.learning_rate = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.step += 1
        return value

    def add_validation(self, mean_loss: float, valid_eer: float) -> None:
        """Add a row to the history; remember the weights if none were better."""
        lowest = min((row["valid_eer"] for row in self.history), default=math.inf)
        if valid_eer <= lowest:
            self.best = {
                name: tensor.detach().cpu().clone()
                for name, tensor in self.backend.state_dict().items()
            }
        self.history.append(
            {
                "step": self.step,
                "loss": mean_loss,
                "learning_rate": self.learning_rate,
                "valid_eer": valid_eer,
            }
        )

    def state(self) -> dict[str, Any]:
        """Give all of it as tensors and plain values."""
        stateful = {name: getattr(self, name).state_dict() for name in STATEFUL}
        return stateful | {name: getattr(self, name) for name in PLAIN}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state`` gave."""
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        for name in PLAIN:
            setattr(self, name, state[name])

    def _seed_of_step(self) -> int:
        return int(
            np.random.SeedSequence([self.seed, 2, self.step]).generate_state(1)[0]
        )
