"""Convolutions over a plane of layers and frames, (B, L, T, C), blind to padding.

A plane of one layer is a row of frames, so what is one-dimensional is here a special
case. Channels stand last, which torch's convolutions take as their own memory format.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.padding import MaskedBatchNorm, mean_over_frames


def convolve(conv: nn.Module, plane: Float[Tensor, "B L T C"]) -> Tensor:
    """Apply a convolution whose kernel is (layers, frames)."""
    convolved: Tensor = conv(rearrange(plane, "b l t c -> b c l t"))
    return rearrange(convolved, "b c l t -> b l t c")


class ConvReluNorm(nn.Module):
    """Convolution to a plane of the same size, ReLU, batch norm of the real frames.

    Padding of the input must be zero, and that of the output is.

    Args:
        in_channels: of the plane.
        out_channels: of the plane that comes out.
        kernel: layers and frames that it sees.
        dilation: on both axes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: tuple[int, int],
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding="same", dilation=dilation
        )
        self.norm = MaskedBatchNorm(out_channels)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C2"]:
        """Make the next plane."""
        return self.norm(convolve(self.conv, plane).relu(), mask)


class SqueezeExcitation(nn.Module):
    """Weigh the channels by what their means over layers and real frames say.

    Args:
        channels: of the plane.
        bottleneck: channels inside.
    """

    def __init__(self, channels: int, *, bottleneck: int = 128) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give the weighted plane."""
        means = mean_over_frames(plane.mean(dim=1), mask)
        weights = self.excite(self.squeeze(means).relu()).sigmoid()
        return plane * rearrange(weights, "b c -> b 1 1 c")


class SERes2Block(nn.Module):
    """A residual of bands of channels, each convolved with what the one before gave.

    Args:
        channels: of the plane; ``scale`` must divide it.
        kernel: layers and frames that a convolution sees.
        dilation: on both axes.
        scale: bands; the last is passed through.

    Raises:
        ValueError: when ``scale`` does not divide ``channels``.

    Source: Desplanques et al., "ECAPA-TDNN", Interspeech 2020, fig. 2.
    """

    def __init__(
        self, channels: int, *, kernel: tuple[int, int], dilation: int, scale: int = 8
    ) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(
                f"the width is {channels}, it must be a multiple of {scale}, for it is"
                " divided into so many bands"
            )
        self.width = channels // scale
        self.into = ConvReluNorm(channels, channels, kernel=(1, 1))
        self.bands = nn.ModuleList(
            [
                ConvReluNorm(self.width, self.width, kernel=kernel, dilation=dilation)
                for _ in range(scale - 1)
            ]
        )
        self.out = ConvReluNorm(channels, channels, kernel=(1, 1))
        self.attention = SqueezeExcitation(channels)

    def forward(
        self, plane: Float[Tensor, "B L T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B L T C"]:
        """Give a plane of the same shape."""
        *before, last = self.into(plane, mask).split(self.width, dim=3)
        made: list[Tensor] = []
        for conv, band in zip(self.bands, before, strict=True):
            made.append(conv(band + made[-1] if made else band, mask))
        joined = self.out(torch.cat([*made, last], dim=3), mask)
        return plane + self.attention(joined, mask)
