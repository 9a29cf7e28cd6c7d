"""Frames among padding: what a backend needs to look at the real ones only.

Axes end in frames and channels, (B, T, C) or (B, L, T, C). A mask of None says that no
frame is padding, and then nothing is copied.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def mask_or_none(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"] | None:
    """Give the mask, or None when all frames are real: asked once for each batch.

    A graph that is exported is for every mask, so there it stays.
    """
    if torch.compiler.is_exporting():
        return mask
    return None if bool(mask.all()) else mask


def zero_padding(
    frames: Float[Tensor, "B *L T C"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B *L T C"]:
    """Put zeros where there is padding, whatever stands there, in a copy."""
    if mask is None:
        return frames
    return frames.masked_fill(~_spread(mask, frames).unsqueeze(-1), 0)


def count_frames(
    frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B 1"]:
    """Count the real frames of each utterance; bfloat16 counts to 256 only."""
    dtype = torch.promote_types(frames.dtype, torch.float32)
    if mask is None:
        return frames.new_full((frames.shape[0], 1), frames.shape[1], dtype=dtype)
    return mask.sum(dim=1, keepdim=True).to(dtype)


def mean_over_frames(
    frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B C"]:
    """Average the real frames of each utterance."""
    count = count_frames(frames, mask)
    return zero_padding(frames, mask).sum(dim=1, dtype=count.dtype) / count


def max_over_frames(
    frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B C"]:
    """Take the largest value of each channel among the real frames."""
    if mask is not None:
        frames = frames.masked_fill(~mask.unsqueeze(-1), -torch.inf)
    return frames.max(dim=1).values


class MaskedBatchNorm(nn.Module):
    """Batch norm of channels whose statistics are those of real frames only.

    Padded frames come out as zero, in training and evaluation: the convolution that
    follows sees there what it sees beyond a real border.

    Args:
        channels: of a frame.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(
        self, frames: Float[Tensor, "B *L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B *L T C"]:
        """Normalise the real frames."""
        if mask is None or not self.training:  # fixed statistics look at no frame
            normed = self.norm(frames.flatten(0, -2)).view(frames.shape)
            return zero_padding(normed, mask)
        real = _spread(mask, frames)
        normed = torch.zeros_like(frames)
        normed[real] = self.norm(frames[real])
        return normed


class MaskedInstanceNorm(nn.Module):
    """Scale each channel of an utterance to zero mean and unit variance, padding to 0.

    Args:
        eps: is added to the variance, as torch's instance norm does.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T C"]:
        """Normalise the real frames."""
        mean = mean_over_frames(frames, mask)
        centred = zero_padding(frames - mean.unsqueeze(1), mask)
        variance = mean_over_frames(centred.square(), mask)
        return centred / (variance.unsqueeze(1) + self.eps).sqrt()


def _spread(
    mask: Bool[Tensor, "B T"], frames: Float[Tensor, "B *L T C"]
) -> Bool[Tensor, "B *L T"]:
    layer_axes = [1] * (frames.dim() - 3)
    return mask.view(mask.shape[0], *layer_axes, -1).expand(frames.shape[:-1])
