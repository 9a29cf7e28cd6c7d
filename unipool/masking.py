"""Less of the hidden states in training, so that no frame or channel is relied on.

Each is called with states (B, L, T, D) and a mask (B, T) and gives both anew, with
padding wherever the utterances end. What is drawn follows from torch's own seed, on
every device alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Masked = tuple[Float[Tensor, "B L T2 D"], Bool[Tensor, "B T2"]]


@dataclass(frozen=True, kw_only=True)
class SpanOut:
    """Take short spans of frames out, and move what is behind them up.

    Args:
        probability: that an utterance is touched.
        start: probability of each frame that a span begins there.
        frames: of a span; spans may overlap.

    Source: the published code of UniPool, which has it switched off: 0.3, 0.05 and 3.

    Raises:
        ValueError: when a number has no meaning; it names the setting.
    """

    probability: float
    start: float
    frames: int

    def __post_init__(self) -> None:
        _check("probability", self.probability, 0, 1)
        _check("start", self.start, 0, 1)
        _check("frames", self.frames, 1)

    def __call__(
        self, states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Masked:
        """Give the shorter utterances; one that would vanish stays whole."""
        touched = torch.rand(len(mask), 1) < self.probability
        begins = (torch.rand(mask.shape) < self.start) & touched
        dropped = begins.clone()
        for later in range(1, min(self.frames, mask.shape[1])):
            dropped[:, later:] |= begins[:, :-later]
        kept = mask & ~dropped.to(mask.device)
        kept = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
        lengths = kept.sum(dim=1)
        longest = int(lengths.max())
        order = (~kept).long().argsort(dim=1, stable=True)[:, :longest]
        places = order[:, None, :, None].expand(
            -1, states.shape[1], -1, states.shape[3]
        )
        positions = torch.arange(longest, device=mask.device)
        return states.gather(2, places), positions < lengths[:, None]


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """Put zeros into spans of frames and of channels, in all layers alike.

    Args:
        time_masks: spans of frames in each utterance.
        max_frames: of a span, at most; its length is drawn, and so may be zero.
        channel_masks: spans of channels.
        max_channels: of a span, at most.

    Source: Park et al., "SpecAugment", Interspeech 2019, on hidden states in place of a
    spectrogram.

    Raises:
        ValueError: when a number has no meaning; it names the setting.
    """

    time_masks: int
    max_frames: int
    channel_masks: int
    max_channels: int

    def __post_init__(self) -> None:
        for name in ("time_masks", "max_frames", "channel_masks", "max_channels"):
            _check(name, getattr(self, name), 0)

    def __call__(
        self, states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Masked:
        """Give the states with zeros in them; a span lies within its utterance."""
        num_channels = states.shape[3]
        lengths = mask.sum(dim=1).cpu()
        widths = torch.full_like(lengths, num_channels)
        frames = _spans(lengths, self.time_masks, self.max_frames, mask.shape[1])
        channels = _spans(widths, self.channel_masks, self.max_channels, num_channels)
        hidden = frames[:, None, :, None] | channels[:, None, None, :]
        return states.masked_fill(hidden.to(states.device), 0), mask


def _spans(
    lengths: Int64[Tensor, " B"], count: int, longest: int, size: int
) -> Bool[Tensor, "B N"]:
    """Draw spans within the first ``lengths`` of ``size`` places."""
    drawn = torch.rand(2, len(lengths), count)
    sizes = (drawn[0] * (lengths[:, None].clamp_max(longest) + 1)).long()
    starts = (drawn[1] * (lengths[:, None] - sizes + 1)).long()
    places = torch.arange(size)
    within = (places >= starts[..., None]) & (places < (starts + sizes)[..., None])
    return within.any(dim=1)


def _check(name: str, value: float, least: float, most: float = float("inf")) -> None:
    if not least <= value <= most:
        limit = f"at least {least}" if most == float("inf") else f"{least} to {most}"
        raise ValueError(f"{name}: is {value}, must be {limit}")


MASKINGS: dict[str, Callable[..., Callable[..., Masked]]] = {
    "span-out": SpanOut,
    "spec-augment": SpecAugment,
}
