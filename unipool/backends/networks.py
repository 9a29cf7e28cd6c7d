"""Networks over time: from frames, (B, T, C), to an embedding, (B, E).

Each is built as ``Network(channels, embedding_size=..., **sizes)``.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unipool.backends.convolutions import ConvReluNorm, SERes2Block, convolve
from unipool.backends.padding import MaskedInstanceNorm, zero_padding
from unipool.backends.pooling import (
    AttentiveStatisticsPool,
    MeanPool,
    Projection,
    StatisticsPool,
    softmax_over_frames,
    weighted_statistics,
)


class MeanNetwork(nn.Module):
    """The mean of the frames, projected: what little a network can do.

    Args:
        channels: of a frame.
        embedding_size: channels of the embedding.
    """

    def __init__(self, channels: int, *, embedding_size: int) -> None:
        super().__init__()
        self.pool = MeanPool(channels)
        self.head = Projection(self.pool.out_channels, embedding_size)

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B E"]:
        """Embed the real frames of each utterance."""
        return self.head(self.pool(frames, mask))


class AttentiveStatisticsNetwork(nn.Module):
    """Attentive statistics of the frames, projected (ASTP).

    Args:
        channels: of a frame.
        embedding_size: channels of the embedding.
        frame_dropout: share of frames that the attention leaves out in training.

    Source: the published code of LAP (Kim et al., Interspeech 2025).
    """

    def __init__(
        self, channels: int, *, embedding_size: int, frame_dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pool = AttentiveStatisticsPool(
            channels, bottleneck=max(channels // 2, 1), frame_dropout=frame_dropout
        )
        self.head = Projection(self.pool.out_channels, embedding_size)

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B E"]:
        """Embed the real frames of each utterance."""
        return self.head(self.pool(zero_padding(frames, mask), mask))


class XVector(nn.Module):
    """The x-vector network as SUPERB uses it: no batch norm, projected at the door.

    It departs from SUPERB's code in two things: frames beyond the ends count as zero,
    so that one frame is enough, where the code loses 14 frames; and there is no second
    linear layer that training has and evaluation has not.

    Args:
        channels: of a frame.
        embedding_size: channels of the embedding; 512 in SUPERB.
        width: channels inside.
        pool_channels: of the frames that are pooled.

    Source: Snyder et al., ICASSP 2018; Yang et al., "SUPERB", Interspeech 2021, and the
    published code of the latter.
    """

    def __init__(
        self,
        channels: int,
        *,
        embedding_size: int,
        width: int = 512,
        pool_channels: int = 1500,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(width, width, (1, 5), padding="same"),
                nn.Conv2d(width, width, (1, 3), padding="same", dilation=2),
                nn.Conv2d(width, width, (1, 3), padding="same", dilation=3),
                nn.Conv2d(width, width, 1),
                nn.Conv2d(width, pool_channels, 1),
            ]
        )
        self.pool = StatisticsPool(pool_channels)
        self.head = nn.Linear(self.pool.out_channels, embedding_size)

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B E"]:
        """Embed the real frames of each utterance."""
        plane = rearrange(self.project(frames), "b t c -> b 1 t c")
        for conv in self.convs:
            plane = convolve(conv, zero_padding(plane, mask)).relu()
        return self.head(self.pool(plane.squeeze(1), mask))


class EcapaTdnn(nn.Module):
    """ECAPA-TDNN as WavLM's speaker verification uses it.

    Instance norm at the door; blocks chained, each given only what the one before made;
    attention with tanh and without context; no batch norm behind the embedding.

    Args:
        channels: of a frame.
        embedding_size: channels of the embedding; 256 in that code.
        width: channels of the blocks; 512 or 1024.
        pool_channels: of the frames that are pooled.

    Source: Desplanques et al., "ECAPA-TDNN", Interspeech 2020; Chen et al., "WavLM",
    2022, sec. V-B, and its published code, which decides.
    """

    def __init__(
        self,
        channels: int,
        *,
        embedding_size: int,
        width: int = 512,
        pool_channels: int = 1536,
    ) -> None:
        super().__init__()
        self.norm = MaskedInstanceNorm()
        self.into = ConvReluNorm(channels, width, kernel=(1, 5))
        self.blocks = nn.ModuleList(
            [
                SERes2Block(width, kernel=(1, 3), dilation=dilation)
                for dilation in (2, 3, 4)
            ]
        )
        self.join = nn.Linear(len(self.blocks) * width, pool_channels)
        self.squeeze = nn.Linear(pool_channels, 128)
        self.excite = nn.Linear(128, pool_channels)
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * pool_channels),
            nn.Linear(2 * pool_channels, embedding_size),
        )

    def forward(
        self, frames: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B E"]:
        """Embed the real frames of each utterance."""
        plane = self.into(rearrange(self.norm(frames, mask), "b t c -> b 1 t c"), mask)
        planes = []
        for block in self.blocks:
            plane = block(plane, mask)
            planes.append(plane.squeeze(1))
        joined = self.join(torch.cat(planes, dim=2)).relu()
        logits = self.excite(self.squeeze(joined).tanh())
        weights = softmax_over_frames(logits, mask)
        return self.head(weighted_statistics(joined, weights, smallest=1e-9))
