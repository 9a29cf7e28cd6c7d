"""Make an encoder blind to padding, where a mask for its attention is not enough."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


class Padding:
    """Where the utterances of the batch that is being encoded end.

    Two kinds of layers look beyond the end of an utterance, and are kept from it:

    - the group norm in the feature extractor of wav2vec2-base, HuBERT-base and
      WavLM-base takes its statistics from the real frames only;
    - convolutions along the frames (of conformers, of data2vec-audio's positions) find
      zeros there, as they find them at the end of an utterance encoded alone.

    Args:
        model: whose layers are changed in place.
    """

    def __init__(self, model: nn.Module) -> None:
        self._samples: list[int] = []
        self._real: Bool[Tensor, "B 1 T"] | None = None
        extractor = getattr(model, "feature_extractor", nn.Module())
        for block in getattr(extractor, "conv_layers", []):
            norm = getattr(block, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels:
                block.layer_norm = _MaskedGroupNorm(norm, block.conv, self)
        of_extractor = set(extractor.modules())
        for module in model.modules():
            along_frames = isinstance(module, nn.Conv1d) and module.kernel_size[0] > 1
            if along_frames and module not in of_extractor:
                module.register_forward_pre_hook(self._clear)

    def announce(self, *, frames: Int64[Tensor, " B"], samples: list[int]) -> None:
        """Say how many real frames each utterance of the next batch has.

        Args:
            frames: at the encoder.
            samples: of its waveform.
        """
        self._samples = samples
        positions = torch.arange(int(frames.max()), device=frames.device)
        self._real = (positions < frames[:, None])[:, None]

    def normalise(
        self, frames: Float[Tensor, "B C T"], norm: nn.GroupNorm, conv: nn.Conv1d
    ) -> Float[Tensor, "B C T"]:
        """Normalise each channel over the real frames of each utterance.

        In place, unless a gradient is wanted.
        """
        counts = [
            (size - conv.kernel_size[0]) // conv.stride[0] + 1 for size in self._samples
        ]
        if torch.is_grad_enabled():
            return _normalised(frames, counts, norm)
        for one, count in zip(frames, counts, strict=True):
            real = one[None, :, :count]
            real.copy_(norm(real))
        return frames

    def _clear(self, _: nn.Module, inputs: Any) -> Any:
        (frames,) = inputs
        if self._real is None:  # an encoder whose input is never padded
            return inputs
        # A causal convolution has been given zeros to begin with.
        before = frames.shape[2] - self._real.shape[2]
        real = nn.functional.pad(self._real, (before, 0), value=True)
        return (frames.masked_fill(~real, 0),)


def _normalised(
    frames: Float[Tensor, "B C T"], counts: list[int], norm: nn.GroupNorm
) -> Float[Tensor, "B C T"]:
    """Normalise the first frames of each utterance in a copy, with zeros behind."""
    longest = frames.shape[2]
    if min(counts) == longest:  # crops are of one length, and quicker together
        return norm(frames)
    return torch.cat(
        [
            nn.functional.pad(norm(one[None, :, :count]), (0, longest - count))
            for one, count in zip(frames, counts, strict=True)
        ]
    )


class _MaskedGroupNorm(nn.Module):
    """Stands where a group norm of one channel a group stood, behind a convolution."""

    def __init__(self, norm: nn.GroupNorm, conv: nn.Conv1d, padding: Padding) -> None:
        super().__init__()
        self.norm, self.padding = norm, padding
        self._conv = (conv,)  # in a tuple, so that it is no module of this one, too

    def forward(self, frames: Float[Tensor, "B C T"]) -> Float[Tensor, "B C T"]:
        return self.padding.normalise(frames, self.norm, self._conv[0])
