"""Losses that bring what is of one speaker together and keep two speakers apart."""

import math

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


class Loss(nn.Module):
    """What all losses have.

    Attributes:
        of_pairs: whether it is of pairs of utterances, not of embeddings.
        num_heads: parts of an embedding.
        margin_share: of the margin, what applies now; a training may let it rise.
    """

    of_pairs = False
    num_heads = 1
    margin_share = 1.0


class AAMSoftmax(Loss):
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
        ValueError: when a number has no meaning; it names the option.
    """

    weight_sets = 1
    """Weights of each speaker in each head, of which the nearest counts."""

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
        if num_heads < 1 or embedding_size % num_heads:
            raise ValueError(
                f"num_heads is {num_heads}, it must divide the embedding_size"
                f" {embedding_size}"
            )
        if not margin >= 0 or not scale > 0:
            raise ValueError(
                f"margin is {margin} and scale {scale}; a margin is at least 0, a scale"
                " above 0"
            )
        self.margin, self.scale, self.num_heads = margin, scale, num_heads
        self.weight = nn.Parameter(
            torch.empty(
                self.weight_sets * num_heads, embedding_size // num_heads, num_speakers
            )
        )
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self, embeddings: Float[Tensor, "B E"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Give the mean over the batch and the heads."""
        cosine = self.cosine(embeddings)
        own = repeat(labels, "b -> b h 1", h=self.num_heads)
        logits = self.scale * self._with_margins(cosine, own)
        return cross_entropy(
            rearrange(logits, "b h s -> (b h) s"), rearrange(own, "b h 1 -> (b h)")
        )

    def cosine(self, embeddings: Float[Tensor, "B E"]) -> Float[Tensor, "B H S"]:
        """Compare embeddings with the weights of each speaker, head by head."""
        heads = rearrange(embeddings, "b (h d) -> b h d", h=self.num_heads)
        weights = rearrange(
            normalize(self.weight, dim=1), "(h k) d s -> h k d s", k=self.weight_sets
        )
        cosine = einsum(normalize(heads, dim=2), weights, "b h d, h k d s -> b h k s")
        return cosine.amax(dim=2)

    def _with_margins(
        self, cosine: Float[Tensor, "B H S"], own: Int64[Tensor, "B H 1"]
    ) -> Float[Tensor, "B H S"]:
        margin = self.margin * self.margin_share
        return cosine.scatter(2, own, self._widen(cosine.gather(2, own), margin))

    def _widen(
        self, cosine: Float[Tensor, "B H N"], margin: float
    ) -> Float[Tensor, "B H N"]:
        # Beyond this angle the cosine of angle + margin would rise again.
        last_angle = math.pi - margin
        continued = cosine - math.sin(last_angle) * margin
        widened = _turn(cosine, margin)
        return torch.where(cosine > math.cos(last_angle), widened, continued)


def _turn(cosine: Float[Tensor, "B H N"], angle: float) -> Float[Tensor, "B H N"]:
    """Give the cosine of an angle larger by ``angle``."""
    # Not zero, where the gradient of the root is infinite.
    smallest = torch.finfo(cosine.dtype).tiny
    sine = (1 - cosine.square()).clamp(smallest, 1).sqrt()
    return cosine * math.cos(angle) - sine * math.sin(angle)


class AMSoftmax(AAMSoftmax):
    """Additive margin softmax: the margin is taken from the cosine, not the angle.

    Args:
        embedding_size: channels of the embedding; ``num_heads`` must divide it.
        num_speakers: in training.
        margin: of the cosine; 0.4 in SUPERB.
        scale: of the logits.
        num_heads: parts of the embedding.

    Source: Wang et al., "Additive margin softmax for face verification", IEEE Signal
    Processing Letters 2018.
    """

    def _widen(
        self, cosine: Float[Tensor, "B H N"], margin: float
    ) -> Float[Tensor, "B H N"]:
        return cosine - margin


class SubcenterAAMSoftmax(AAMSoftmax):
    """AAM-softmax with several weights a speaker, and a penalty of the hardest others.

    A speaker's cosine is that to the nearest of its sub-centres. The ``top_k`` other
    speakers of the largest cosines get those of an angle smaller by ``penalty``, which
    rises with the margin.

    Args:
        embedding_size: channels of the embedding.
        num_speakers: in training.
        margin: in radians.
        scale: of the logits.
        num_subcenters: weights of each speaker.
        top_k: other speakers that are penalised; 0 for none.
        penalty: in radians.

    Source: Zhao et al., "Multi-query multi-head attention pooling and inter-topK
    penalty for speaker verification", arXiv 2110.05042; sub-centres: Deng et al.,
    "Sub-center ArcFace", ECCV 2020; the recipe is that of the published code of LAP.

    Raises:
        ValueError: when a number has no meaning; it names the option.
    """

    def __init__(
        self,
        embedding_size: int,
        num_speakers: int,
        *,
        margin: float,
        scale: float,
        num_subcenters: int = 3,
        top_k: int = 5,
        penalty: float = 0.06,
    ) -> None:
        if num_subcenters < 1 or top_k < 0 or penalty < 0:
            raise ValueError(
                f"num_subcenters is {num_subcenters}, top_k {top_k}, penalty {penalty};"
                " a speaker has at least 1 sub-centre, and none is negative"
            )
        self.weight_sets = num_subcenters
        super().__init__(embedding_size, num_speakers, margin=margin, scale=scale)
        self.top_k = min(top_k, num_speakers - 1)
        self.penalty = penalty

    def _with_margins(
        self, cosine: Float[Tensor, "B H S"], own: Int64[Tensor, "B H 1"]
    ) -> Float[Tensor, "B H S"]:
        others = cosine.detach().scatter(2, own, -torch.inf)
        hardest = others.topk(self.top_k, dim=2).indices
        nearer = _turn(cosine.gather(2, hardest), -self.penalty * self.margin_share)
        return super()._with_margins(cosine, own).scatter(2, hardest, nearer)


class Softmax(AAMSoftmax):
    """Softmax cross-entropy of a linear map: lengths count, and there is no margin.

    Args:
        embedding_size: channels of the embedding.
        num_speakers: in training.
        bias: whether each speaker has one; as x-vectors are published with UniPool,
            none has.

    Source: Snyder et al., "X-vectors", ICASSP 2018; initial weights as in the published
    code of UniPool.
    """

    def __init__(
        self, embedding_size: int, num_speakers: int, *, bias: bool = False
    ) -> None:
        super().__init__(embedding_size, num_speakers, margin=0.0, scale=1.0)
        nn.init.xavier_uniform_(self.weight[0])
        self.bias = nn.Parameter(torch.zeros(num_speakers)) if bias else None

    def forward(
        self, embeddings: Float[Tensor, "B E"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Give the mean over the batch."""
        logits = embeddings @ self.weight[0]
        if self.bias is not None:
            logits = logits + self.bias
        return cross_entropy(logits, labels)


class BinaryCrossEntropy(Loss):
    """Cross-entropy of whether two utterances are of one speaker.

    Source: Vaessen and van Leeuwen, "Fine-tuning wav2vec2 for speaker recognition",
    ICASSP 2022.
    """

    of_pairs = True

    def __init__(self, embedding_size: int, num_speakers: int) -> None:
        super().__init__()

    def forward(
        self, log_odds: Float[Tensor, "P 1"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Give the mean over pairs, whose two labels are one after the other."""
        same = (labels[0::2] == labels[1::2]).to(log_odds.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits
        return loss(log_odds.squeeze(1), same)


LOSSES: dict[str, type[Loss]] = {
    "aam-softmax": AAMSoftmax,
    "am-softmax": AMSoftmax,
    "subcenter-aam-softmax": SubcenterAAMSoftmax,
    "softmax": Softmax,
    "binary-cross-entropy": BinaryCrossEntropy,
}
