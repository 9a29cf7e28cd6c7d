"""Batch normalisation that does not see padding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MaskedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of channels whose statistics are those of real frames only.

    In evaluation, and in training when no frame is padding, it is ``nn.BatchNorm1d``
    and ``nn.BatchNorm2d``, whose parameters and buffers it has.
    """

    def forward(
        self, frames: Float[Tensor, "B C *layers T"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B C *layers T"]:
        """Normalise; in training padded frames become zero."""
        if not self.training or bool(mask.all()):
            return super().forward(frames)
        last = frames.movedim(1, -1)  # (B, ..., T, C)
        shape = (mask.shape[0], *(1,) * (last.dim() - 3), mask.shape[1])
        real = mask.view(shape).expand(last.shape[:-1])
        normed = torch.zeros_like(last)
        normed[real] = super().forward(last[real])
        return normed.movedim(-1, 1)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of axes behind the channels."""
