"""Batch normalisation that does not see padding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Batch norm of channels whose statistics are those of real frames only.

    In evaluation, and in training when no frame is padding, it is plain batch norm.

    Args:
        channels: of the frames.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(
        self, frames: Float[Tensor, "B C *layers T"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B C *layers T"]:
        """Normalise; padded frames become zero when they would disturb training."""
        if not self.training or bool(mask.all()):
            return self.norm(frames.flatten(2)).view_as(frames)
        last = frames.movedim(1, -1)  # (B, ..., T, C)
        layers = (1,) * (last.dim() - 3)
        real = mask.view(len(mask), *layers, -1).expand(last.shape[:-1])
        normed = torch.zeros_like(last)
        normed[real] = self.norm(last[real])
        return normed.movedim(-1, 1)
