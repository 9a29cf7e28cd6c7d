"""A backend in training: what changes from step to step, and one step."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from unipool.activations import kept_by
from unipool.batches import CropBatch
from unipool.distributed import ALONE, World
from unipool.losses import Loss
from unipool.training import Training

STATEFUL = ("backend", "loss", "optimizer", "schedule")
PLAIN = (
    *("step", "seconds", "learning_rate", "activation_bytes"),
    *("losses", "best", "best_loss", "history"),
)
"""What a trainee consists of: parts that have a state, and values that are one."""


@runtime_checkable
class Staged(Protocol):
    """A backend that is not trained alike in all of its steps."""

    def begin_step(self, step: int, steps: int) -> None:
        """Get ready for an update, counted from 0, of so many."""


class Learner(nn.Module):
    """What gives a batch its loss: a backend, and the loss of what it gives.

    Args:
        backend: takes hidden states and mask.
        loss: takes its embeddings, or what it says of pairs, and labels.
        training: the settings.
    """

    def __init__(self, backend: nn.Module, loss: Loss, training: Training) -> None:
        super().__init__()
        self.backend, self.loss = backend, loss
        self.maskings = training.maskings()
        self.reduced = training.precision == "bfloat16"

    def forward(
        self, states: Float[Tensor, "B L T D"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Give the mean loss of crops, all of whose frames are real."""
        mask = torch.ones(
            (states.shape[0], states.shape[2]), dtype=torch.bool, device=states.device
        )
        for hide in self.maskings:
            states, mask = hide(states, mask)
        with torch.autocast(states.device.type, torch.bfloat16, enabled=self.reduced):
            given = self.backend(states, mask)
        return self.loss(given.float(), labels)


class Trainee:
    """A backend in training: all that changes from step to step.

    Several processes take each step together, each with its share of the batch. Their
    batch norms see the whole batch.

    Args:
        backend: takes hidden states and mask.
        loss: takes its embeddings and labels.
        training: the settings.
        seed: of dropout.
        device: where to compute.
        world: the processes.

    Attributes:
        step: updates done.
        seconds: time they took, validations included.
        learning_rate: of the last update; NaN before the first.
        activation_bytes: what the forward pass of a batch keeps for the backward one;
            the most in the first steps after the validations and in the last one.
        losses: of the updates since the last validation.
        best: weights of the best validation so far.
        best_loss: the loss's, at that validation.
        history: a row for each validation.
    """

    def __init__(
        self,
        backend: nn.Module,
        loss: Loss,
        training: Training,
        *,
        seed: int,
        device: torch.device,
        world: World = ALONE,
    ) -> None:
        self.world = world
        self.backend, self.loss = backend.to(device), loss.to(device)
        self._learner: nn.Module = Learner(self.backend, self.loss, training)
        if world.size > 1:
            _share_batch_norms(self.backend, device)
            # Which parameters a step uses may be drawn by chance.
            self._learner = DistributedDataParallel(
                self._learner, find_unused_parameters=True
            )
        of_backend, of_loss = [*backend.parameters()], [*loss.parameters()]
        self.parameters = of_backend + of_loss
        self.optimizer = training.make_optimizer(of_backend, of_loss)
        self.schedule = training.make_schedule(self.optimizer)
        self.training, self.seed, self.device = training, seed, device
        self.step = 0
        self.seconds = 0.0
        self.learning_rate = math.nan
        self.activation_bytes = 0
        self.losses: list[float] = []
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
        for place, batch in enumerate(batches, start=1):
            with self._synchronised(last=place == self.training.accumulate):
                loss = self._loss_of(batch) / self.training.accumulate
                loss.backward()
            # Asked for here, for a GPU has the way back to do meanwhile.
            total += float(np.mean(self.world.gather(loss.item())))
            if not math.isfinite(total):
                raise ValueError(
                    f"the loss is {total} at step {self.step}; lower"
                    f" train.learning_rate ({self.training.learning_rate}) or"
                    f" train.gradient_clip ({self.training.gradient_clip})"
                )
        nn.utils.clip_grad_norm_(self.parameters, self.training.gradient_clip)
        self.optimizer.step()
        self.learning_rate = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.step += 1
        self.losses.append(total)
        return total

    def _loss_of(self, batch: CropBatch) -> Float[Tensor, ""]:
        states = batch.hidden_states.to(self.device)
        labels = batch.labels.to(self.device)
        looked_at = self.step % self.training.validate_every == 0
        # What is frozen at first may learn by then.
        if not looked_at and self.step < self.training.steps - 1:
            loss: Tensor = self._learner(states, labels)
            return loss
        loss, kept = kept_by(
            lambda: self._learner(states, labels),
            besides=[*self._learner.parameters(), *self._learner.buffers()],
        )
        of_all = sum(self.world.gather(kept))
        self.activation_bytes = max(self.activation_bytes, of_all)
        return loss

    def _synchronised(self, *, last: bool) -> AbstractContextManager[None]:
        """Have the processes' gradients averaged with the last batch of an update."""
        if last or not isinstance(self._learner, DistributedDataParallel):
            return nullcontext()
        return self._learner.no_sync()

    def add_validation(self, valid_eer: float) -> None:
        """Add a row to the history; remember the weights if none were better."""
        lowest = min((row["valid_eer"] for row in self.history), default=math.inf)
        if valid_eer <= lowest:
            self.best = _copied(self.backend)
            self.best_loss = _copied(self.loss)
        self.history.append(
            {
                "step": self.step,
                "loss": float(np.mean(self.losses)) if self.losses else math.nan,
                "learning_rate": self.learning_rate,
                "valid_eer": valid_eer,
            }
        )
        self.losses = []

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
        own = [self.world.rank] if self.world.rank else []
        return int(
            np.random.SeedSequence([self.seed, 2, self.step, *own]).generate_state(1)[0]
        )


def _copied(module: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights as they are now, in the memory of the CPU."""
    return {
        name: tensor.detach().cpu().clone()
        for name, tensor in module.state_dict().items()
    }


def _share_batch_norms(backend: nn.Module, device: torch.device) -> None:
    """Have the batch norms see what all processes see.

    Raises:
        ValueError: when there are some, on the CPU.
    """
    norms = any(isinstance(part, _BatchNorm) for part in backend.modules())
    if norms and device.type == "cpu":
        raise ValueError(
            "this backend has batch norms, and torch lets several processes share their"
            " statistics on GPUs only; on the CPU give it `processes: 1`"
        )
    nn.SyncBatchNorm.convert_sync_batchnorm(backend)
