"""Losses that make embeddings of one speaker alike and of two speakers apart."""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


class AAMSoftmax(nn.Module):
    """Additive angular margin softmax.

    The cosine to the speaker's own weight vector is that of an angle larger by the
    margin; where that angle would pass pi, it is continued linearly. With several
    heads, equal parts of the embedding are compared with weights of their own, and the
    loss is their mean.

    Args:
        embedding_size: channels of the embedding; ``num_heads`` must divide it.
        num_speakers: in training.
        margin: in radians.
        scale: of the logits.
        num_heads: parts of the embedding.

    Source: Deng et al., "ArcFace: Additive angular margin loss for deep face
    recognition", CVPR 2019; the heads are of the published code of UniPool.

    Raises:
        ValueError: when ``num_heads`` does not divide ``embedding_size``.
    """

    def __init__(
        self,
        embedding_size: int,
        num_speakers: int,
        *,
        margin: float,
        scale: float,
        num_heads: int = 1,
    ) -> None:
        super().__init__()
        if embedding_size % num_heads:
            raise ValueError(
                f"loss_heads is {num_heads}, it must divide the embedding_size"
                f" {embedding_size}"
            )
        self.margin, self.scale, self.num_heads = margin, scale, num_heads
        self.weight = nn.Parameter(
            torch.empty(num_heads, embedding_size // num_heads, num_speakers)
        )
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self, embeddings: Float[Tensor, "B E"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Give the mean over the batch and the heads."""
        heads = rearrange(embeddings, "b (h d) -> b h d", h=self.num_heads)
        cosine = einsum(
            normalize(heads, dim=2),
            normalize(self.weight, dim=1),
            "b h d, h d s -> b h s",
        )
        sine = (1 - cosine.square()).clamp(0, 1).sqrt()
        widened = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        # Beyond this angle the cosine of angle + margin would rise again.
        last_angle = math.pi - self.margin
        continued = cosine - math.sin(last_angle) * self.margin
        own = torch.where(cosine > math.cos(last_angle), widened, continued)
        speakers = torch.arange(cosine.shape[2], device=labels.device)
        is_own = rearrange(labels, "b -> b 1 1") == speakers
        logits = self.scale * torch.where(is_own, own, cosine)
        return cross_entropy(
            rearrange(logits, "b h s -> (b h) s"),
            labels.repeat_interleave(self.num_heads),
        )
