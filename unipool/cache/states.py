"""Hidden states as they are stored, on their way to where they are used."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


class HiddenStates(NamedTuple):
    """What is stored of some utterances, (B, L, T, D), to be widened where it is used.

    Attributes:
        values: float16, or int8 with
        scales: float16 (B, L, chunks, D), and
        chunk_of_frame: (B, T), which of them is a frame's.
    """

    values: Tensor
    scales: Tensor | None
    chunk_of_frame: Int64[Tensor, "B T"] | None

    def to(self, device: torch.device) -> Float32[Tensor, "B L T D"]:
        """Move them to a device, and there make them float32."""
        values = self.values.to(device).float()
        if self.scales is None or self.chunk_of_frame is None:
            return values
        scales = self.scales.to(device).float()
        chunk = self.chunk_of_frame.to(device)[:, None, :, None]
        return values.mul_(torch.take_along_dim(scales, chunk, dim=2))
