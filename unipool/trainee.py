"""A backend in training: what changes from step to step, and one step."""

import math
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unipool.batches import CropBatch
from unipool.losses import AAMSoftmax
from unipool.training import Training

STATEFUL = ("backend", "loss", "optimizer", "schedule")
PLAIN = ("step", "seconds", "learning_rate", "best", "best_loss", "history")
"""What a trainee consists of: parts that have a state, and values that are one."""


@runtime_checkable
class Staged(Protocol):
    """A backend that is not trained alike in all of its steps."""

    def begin_step(self, step: int, steps: int) -> None:
        """Get ready for an update, counted from 0, of so many."""


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
        best_loss: the loss's, at that validation.
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
        of_backend, of_loss = [*backend.parameters()], [*loss.parameters()]
        self.parameters = of_backend + of_loss
        self.optimizer = training.make_optimizer(of_backend, of_loss)
        self.schedule = training.make_schedule(self.optimizer)
        self.training, self.seed, self.device = training, seed, device
        self.maskings = training.maskings()
        self.step = 0
        self.seconds = 0.0
        self.learning_rate = math.nan
        self.best: dict[str, torch.Tensor] = {}
        self.best_loss: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []

    def update(self, batches: Iterable[CropBatch]) -> float:
        """Take one step, give the loss before it.

        Args:
            batches: ``accumulate`` of them, one at a time; the loss is their mean.

        Raises:
            ValueError: when the loss is not finite.
        """
        torch.manual_seed(self._seed_of_step())
        if isinstance(self.backend, Staged):
            self.backend.begin_step(self.step, self.training.steps)
        self.loss.margin_share = self.training.margin_share(self.step)
        self.optimizer.zero_grad()
        total = 0.0
        for batch in batches:
            loss = self._loss_of(batch) / self.training.accumulate
            total += float(loss.item())
            if not math.isfinite(total):
                raise ValueError(
                    f"the loss is {total} at step {self.step}; lower"
                    f" train.learning_rate ({self.training.learning_rate}) or"
                    f" train.gradient_clip ({self.training.gradient_clip})"
                )
            loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.training.gradient_clip)
        self.optimizer.step()
        self.learning_rate = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.step += 1
        return total

    def _loss_of(self, batch: CropBatch) -> Float[Tensor, ""]:
        states = batch.hidden_states.to(self.device)
        mask = torch.ones(
            (states.shape[0], states.shape[2]), dtype=torch.bool, device=self.device
        )
        for hide in self.maskings:
            states, mask = hide(states, mask)
        reduced = self.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            embeddings = self.backend(states, mask)
        return self.loss(embeddings.float(), batch.labels.to(self.device))

    def add_validation(self, mean_loss: float, valid_eer: float) -> None:
        """Add a row to the history; remember the weights if none were better."""
        lowest = min((row["valid_eer"] for row in self.history), default=math.inf)
        if valid_eer <= lowest:
            self.best = _copied(self.backend)
            self.best_loss = _copied(self.loss)
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


def _copied(module: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights as they are now, in the memory of the CPU."""
    return {
        name: tensor.detach().cpu().clone()
        for name, tensor in module.state_dict().items()
    }
