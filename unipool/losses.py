"""Losses that make embeddings of one speaker alike and of two speakers apart."""

import math

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


class AAMSoftmax(nn.Module):
    """Additive angular margin softmax.

    The cosine to the speaker's own weight vector is that of an angle larger by the
    margin; where that angle would pass pi, it is continued by the cosine less a
    constant. With several heads, equal parts of the embedding are compared with weights
    of their own, and the loss is their mean.

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
        own = repeat(labels, "b -> b h 1", h=self.num_heads)
        logits = self.scale * cosine.scatter(2, own, self._widen(cosine.gather(2, own)))
        return cross_entropy(
            rearrange(logits, "b h s -> (b h) s"), rearrange(own, "b h 1 -> (b h)")
        )

    def _widen(self, cosine: Float[Tensor, "B H 1"]) -> Float[Tensor, "B H 1"]:
        # Not zero, where the gradient of the root is infinite.
        smallest = torch.finfo(cosine.dtype).tiny
        sine = (1 - cosine.square()).clamp(smallest, 1).sqrt()
        widened = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        # Beyond this angle the cosine of angle + margin would rise again.
        last_angle = math.pi - self.margin
        continued = cosine - math.sin(last_angle) * self.margin
        return torch.where(cosine > math.cos(last_angle), widened, continued)
