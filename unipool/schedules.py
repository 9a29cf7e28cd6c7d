"""How the learning rate changes in the course of a training, by name.

Each is called with an optimizer at the highest learning rate and the number of steps,
and gives a torch scheduler that is moved on once a step. Its rate follows from the
share of the steps that are done, so a training twice as long has the same curve; rates
are said as ratios of the highest. An option without meaning is a ValueError that names
it, when a schedule is made or, if it depends on the training, when it is checked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR


class Schedule:
    """A rate that is a formula of the share of the steps that are done."""

    def check(self, steps: int, *, has_momentum: bool) -> None:
        """Raise ValueError where an option has no meaning for a training."""

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Build the scheduler of an optimizer at the highest rate."""
        return LambdaLR(optimizer, lambda step: self.ratio(step / max(steps, 1)))

    def ratio(self, done: float) -> float:
        """Give the ratio to the highest rate when a share of the steps is done."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Up from 1/25 of the rate, then down to 1/250,000.

    Args:
        warmup_fraction: share of the steps in which the rate rises.
        shape: both ways along half a cosine, or straight.
        cycle_momentum: whether the momentum (of Adam: beta 1) goes the other way, from
            0.95 down to 0.85 and back, in place of the optimizer's own.

    Source: Smith and Topin, "Super-convergence", 2018, as torch has it; the defaults
    are those of the published code of UniPool.
    """

    warmup_fraction: float = 0.1
    shape: Literal["cosine", "straight"] = "cosine"
    cycle_momentum: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.warmup_fraction < 1:
            raise ValueError(
                f"warmup_fraction: is {self.warmup_fraction}, must lie between 0 and 1"
            )

    def check(self, steps: int, *, has_momentum: bool) -> None:
        """Raise ValueError when there is no step to rise in, no momentum to turn."""
        if steps and self.warmup_fraction * steps <= 1:
            raise ValueError(
                f"warmup_fraction: is {self.warmup_fraction}, must make more than 1 of"
                f" the {steps} steps"
            )
        if self.cycle_momentum and not has_momentum:
            raise ValueError(
                "cycle_momentum: is true, but the optimizer has no momentum; write"
                " false, or choose another optimizer or schedule"
            )

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Build the scheduler of an optimizer at the highest rate."""
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=max(steps, 1),
            pct_start=self.warmup_fraction,
            anneal_strategy="cos" if self.shape == "cosine" else "linear",
            cycle_momentum=self.cycle_momentum,
        )


@dataclass(frozen=True, kw_only=True)
class Cyclic(Schedule):
    """Straight up and down again, several times, each time half as high.

    Args:
        cycles: in the training.
        lowest_ratio: of the rate, where a cycle begins and ends.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017,
    ``triangular2``; the defaults are those of ECAPA-TDNN (Desplanques et al.,
    Interspeech 2020) as it was published with UniPool: 1e-8 to 1e-3.
    """

    cycles: int = 4
    lowest_ratio: float = 1e-5

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise ValueError(f"cycles: is {self.cycles}, must be at least 1")
        _check_ratio("lowest_ratio", self.lowest_ratio)

    def check(self, steps: int, *, has_momentum: bool) -> None:
        """Raise ValueError when a cycle has fewer than two steps."""
        if steps and steps < 2 * self.cycles:
            raise ValueError(
                f"cycles: is {self.cycles}, but each needs 2 of the {steps} steps"
            )

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Build the scheduler of an optimizer at the highest rate."""
        highest = [group["lr"] for group in optimizer.param_groups]
        return CyclicLR(
            optimizer,
            base_lr=[rate * self.lowest_ratio for rate in highest],
            max_lr=highest,
            # Not always a whole number; torch counts in fractions.
            step_size_up=max(steps, 1) / (2 * self.cycles),  # type: ignore[arg-type]
            mode="triangular2",
            cycle_momentum=False,
        )


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The same rate throughout."""

    def ratio(self, done: float) -> float:
        """Give 1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class TriStage(Schedule):
    """Straight up, then constant, then down exponentially.

    Args:
        warmup_fraction: share of the steps in which the rate rises.
        constant_fraction: share of those in which it stays.
        first_ratio: of the rate, where it begins.
        last_ratio: where it ends.

    Source: Baevski et al., "wav2vec 2.0", NeurIPS 2020; the defaults are those of
    Vaessen and van Leeuwen, "Fine-tuning wav2vec2 for speaker recognition", ICASSP
    2022.
    """

    warmup_fraction: float = 0.1
    constant_fraction: float = 0.4
    first_ratio: float = 0.1
    last_ratio: float = 0.1

    def __post_init__(self) -> None:
        _check_fraction("warmup_fraction", self.warmup_fraction)
        _check_fraction("constant_fraction", self.constant_fraction)
        if self.warmup_fraction + self.constant_fraction >= 1:
            raise ValueError(
                f"constant_fraction: is {self.constant_fraction}, with warmup_fraction"
                f" {self.warmup_fraction} nothing is left for the decay; their sum must"
                " be below 1"
            )
        _check_ratio("first_ratio", self.first_ratio)
        if not 0 < self.last_ratio <= 1:
            raise ValueError(
                f"last_ratio: is {self.last_ratio}, must be above 0, at most 1"
            )

    def ratio(self, done: float) -> float:
        """Give the ratio to the highest rate when a share of the steps is done."""
        if done < self.warmup_fraction:
            return _rise(self.first_ratio, done / self.warmup_fraction)
        kept = self.warmup_fraction + self.constant_fraction
        return self.last_ratio ** max((done - kept) / (1 - kept), 0.0)


@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """Straight up, then straight down.

    Args:
        warmup_fraction: share of the steps in which the rate rises; with 0 none.
        lowest_ratio: of the rate, where it begins and ends.

    Source: Devlin et al., "BERT", NAACL 2019.
    """

    warmup_fraction: float = 0.1
    lowest_ratio: float = 0.0

    def __post_init__(self) -> None:
        _check_fraction("warmup_fraction", self.warmup_fraction)
        _check_ratio("lowest_ratio", self.lowest_ratio)

    def ratio(self, done: float) -> float:
        """Give the ratio to the highest rate when a share of the steps is done."""
        if done < self.warmup_fraction:
            return _rise(self.lowest_ratio, done / self.warmup_fraction)
        falling = (done - self.warmup_fraction) / (1 - self.warmup_fraction)
        return _rise(self.lowest_ratio, self.height(falling))

    def height(self, falling: float) -> float:
        """Give how high it still is, 1 to 0, when a share of the fall is done."""
        return 1 - falling


@dataclass(frozen=True, kw_only=True)
class Cosine(Linear):
    """Straight up, then down along half a cosine.

    Args:
        warmup_fraction: share of the steps in which the rate rises; with 0 none.
        lowest_ratio: of the rate, where it begins and ends.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017; the defaults are those of the
    published code of LAP: 1e-5 to 1e-3.
    """

    lowest_ratio: float = 0.01

    def height(self, falling: float) -> float:
        """Give how high it still is, 1 to 0, when a share of the fall is done."""
        return (1 + math.cos(math.pi * falling)) / 2


def _rise(lowest: float, height: float) -> float:
    return lowest + (1 - lowest) * height


def _check_fraction(name: str, fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"{name}: is {fraction}, must be 0 to below 1")


def _check_ratio(name: str, ratio: float) -> None:
    if not 0 <= ratio <= 1:
        raise ValueError(f"{name}: is {ratio}, must be 0 to 1")


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "one-cycle": OneCycle,
    "constant": Constant,
    "cyclic": Cyclic,
    "tri-stage": TriStage,
    "linear": Linear,
    "cosine": Cosine,
}
