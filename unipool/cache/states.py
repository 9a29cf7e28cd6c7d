"""Hidden states as they are stored, on their way to where they are used."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


class HiddenStates(NamedTuple):
    """What is stored of some utterances, (B, L, T, D), to be widened where it is used.

    Attributes:
        values: float16, or int8 with
        scales: float16 (B, L, blocks, D), and
        scale_of_frame: (B, T), which of them is a frame's.
    """

    values: Tensor
    scales: Tensor | None
    scale_of_frame: Int64[Tensor, "B T"] | None

    def to(self, device: torch.device) -> Float32[Tensor, "B L T D"]:
        """Move them to a device, and there make them float32."""
        values = self.values.to(device).float()
        if self.scales is None or self.scale_of_frame is None:
            return values
        scales = self.scales.to(device).float()
        for of_one, scales_of_one, scale_of_frame in zip(
            values, scales, self.scale_of_frame, strict=True
        ):
            blocks, counts = scale_of_frame.unique_consecutive(return_counts=True)
            runs = of_one.split(counts.tolist(), dim=1)
            for run, block in zip(runs, blocks.tolist(), strict=True):
                run *= scales_of_one[:, block, None]
        return values
