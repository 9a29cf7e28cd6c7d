"""What every backbone can do: utterances to frames, each as if it were alone."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unipool.audio import Waveform

logger = logging.getLogger(__name__)


class Window(NamedTuple):
    """A piece of an utterance that is encoded by itself, and what is kept of it.

    Attributes:
        start: its first sample.
        stop: the one behind its last.
        skip: frames before those that are kept.
        num_frames: that are kept.
    """

    start: int
    stop: int
    skip: int
    num_frames: int


class Backbone(ABC):
    """Frozen: what it makes of an utterance is cached, and never trained.

    Attributes:
        device: where it computes.
        num_layers: of its hidden states.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        min_samples: that make one frame.
        num_parameters: of its weights.
        tolerance: largest difference that company in a batch may make, relative to the
            largest state of the layer.
    """

    device: torch.device
    num_layers: int
    hidden_size: int
    frame_shift: float
    min_samples: int
    num_parameters: int
    tolerance: float

    @abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """Count the frames of an utterance; 0 when it is too short for one."""

    @abstractmethod
    def windows(self, num_samples: int) -> list[Window]:
        """Divide an utterance; what is kept of the windows is ``num_frames`` long."""

    @abstractmethod
    def hidden_states(
        self,
        waveforms: Sequence[Waveform],
        *,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, "L _ D"]]:
        """Encode utterances, or windows of them, each as if alone.

        Args:
            waveforms: mono, 16 kHz, each at least ``min_samples`` samples.
            layers: that are given; by default all.
            dtype: in which they are given.

        Returns:
            For each the states, on the device.
        """

    def check_batching(self, waveforms: Sequence[Waveform]) -> None:
        """Encode some utterances together and each alone, and compare.

        Raises:
            ValueError: when their hidden states differ by more than rounding does.
        """
        together = self.hidden_states(waveforms)
        worst = 0.0
        for states, wave in zip(together, waveforms, strict=True):
            (alone,) = self.hidden_states([wave])
            largest = alone.abs().amax((1, 2)).clamp_min(torch.finfo().tiny)
            worst = max(
                worst, float(((states - alone).abs().amax((1, 2)) / largest).max())
            )
        logger.info(
            "self-check: %d utterances encoded together and alone differ by %.1e of the"
            " largest hidden state",
            len(waveforms),
            worst,
        )
        if not worst <= self.tolerance:
            raise ValueError(
                f"hidden states depend on the batch: together and alone they differ by"
                f" {worst:.1e} of the largest, {self.tolerance:.0e} is allowed;"
                " encode one utterance at a time (`machine: {max_batch_seconds: 0}`),"
                " and please report the model"
            )
