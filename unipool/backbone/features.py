"""Acoustic features, and the waveform itself, as backbones of one layer.

A frame lasts 10 ms and nothing is trained. An utterance is never divided, since what
normalises it is the whole of it; an hour takes 0.6 GB beside its samples.
"""

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from unipool.audio import SAMPLE_RATE, Waveform
from unipool.backbone.interface import Backbone, Window

SHIFT = 160
"""Samples between two frames."""

VARIANCE_FLOOR = 1e-5
"""Added to a variance, as an instance norm does; of silence it is 0."""

Normalize = Literal["none", "mean", "mean-variance", "frame-length"]
"""Each coefficient over the utterance, or each frame over its coefficients."""


class Features(Backbone):
    """What is computed of each utterance by itself.

    Args:
        device: where to compute.
        hidden_size: numbers in a frame.
        min_samples: that make one frame.
    """

    num_layers = 1
    frame_shift = SHIFT / SAMPLE_RATE
    num_parameters = 0
    tolerance = 1e-5

    def __init__(
        self, device: torch.device, *, hidden_size: int, min_samples: int
    ) -> None:
        self.device, self.hidden_size = device, hidden_size
        self.min_samples = min_samples

    def windows(self, num_samples: int) -> list[Window]:
        return [Window(0, num_samples, 0, self.num_frames(num_samples))]

    @torch.inference_mode()
    def hidden_states(
        self,
        waveforms: Sequence[Waveform],
        *,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, "L _ D"]]:
        wanted = [0] if layers is None else list(layers)
        frames = (self.frames(torch.from_numpy(w).to(self.device)) for w in waveforms)
        return [one[None][wanted].to(dtype) for one in frames]

    @abstractmethod
    def frames(self, samples: Float32[Tensor, " N"]) -> Float32[Tensor, "T D"]:
        """Compute the frames of one utterance."""


class FramedWaveform(Features):
    """The samples, 160 to a frame, for backends that read the waveform.

    What does not fill a frame at the end is left out. Frames side by side are the
    waveform again.

    Args:
        device: where to compute.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device, hidden_size=SHIFT, min_samples=SHIFT)

    def num_frames(self, num_samples: int) -> int:
        return num_samples // SHIFT

    def frames(self, samples: Float32[Tensor, " N"]) -> Float32[Tensor, "T D"]:
        return samples[: len(samples) // SHIFT * SHIFT].reshape(-1, SHIFT)


def normalised(
    frames: Float32[Tensor, "T D"], how: Normalize
) -> Float32[Tensor, "T D"]:
    """Normalise the frames of one utterance, in place.

    Args:
        frames: all of the utterance.
        how: ``mean``: each coefficient has mean 0; ``mean-variance``: and variance 1;
            ``frame-length``: each frame has length 1.
    """
    if how in ("mean", "mean-variance"):
        frames -= frames.mean(dim=0, dtype=torch.float64)
    if how == "mean-variance":
        variance = frames.square().mean(dim=0, dtype=torch.float64)
        frames /= (variance + VARIANCE_FLOOR).sqrt()
    if how == "frame-length":
        frames /= frames.norm(dim=1, keepdim=True).clamp_min(torch.finfo().tiny)
    return frames


def options_of(kind: type[Features], given: dict[str, Any]) -> dict[str, Any]:
    """Give all options of a kind: those that are given, and defaults.

    A number is spelt as its default is, so that 20 and 20.0 Hz are one.
    """
    parameters = inspect.signature(kind).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return known | {
        name: float(value) if isinstance(known[name], float) else value
        for name, value in given.items()
    }
