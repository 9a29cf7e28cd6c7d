"""Group norm that does not see padding, for the encoders that have one."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MaskedGroupNorm(nn.Module):
    """Group norm of one channel a group, whose statistics leave out the padding.

    Args:
        norm: the group norm whose place it takes.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.num_frames: Tensor | None = None

    def forward(self, frames: Float[Tensor, "B C T"]) -> Float[Tensor, "B C T"]:
        """Normalise each channel over the first ``num_frames`` of each utterance."""
        assert self.num_frames is not None
        count = self.num_frames[:, None, None]
        real = torch.arange(frames.shape[2], device=frames.device) < count
        mean = (frames * real).sum(dim=2, keepdim=True) / count
        centred = frames - mean
        variance = (centred.square() * real).sum(dim=2, keepdim=True) / count
        scaled = centred * torch.rsqrt(variance + self.eps)
        return scaled * self.weight[:, None] + self.bias[:, None]


def mask_group_norm(model: Any) -> MaskedGroupNorm | None:
    """Replace the feature extractor's group norm, if it has one."""
    for module in model.feature_extractor.conv_layers:
        norm = getattr(module, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels:
            module.layer_norm = MaskedGroupNorm(norm)
            return module.layer_norm
    return None
