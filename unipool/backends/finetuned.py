"""Encoders that are trained themselves, on the samples.

The backbone is ``waveform``: its frames, one after the other, are the samples. The
encoder is another backbone of the config, of which the folder is read when a backend is
built; a checkpoint of ours holds all of its weights.
"""

from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from unipool.backends.layer_pooling import index_of_layer
from unipool.backends.padding import mask_or_none, mean_over_frames


class Finetuned(nn.Module):
    """What both ways share: an encoder that reads the hidden states as samples.

    What is shorter than one frame of the encoder is followed by zeros.

    Args:
        num_layers: hidden states of the backbone.
        encoder: folder of the encoder.
        blocks: how many of its transformer blocks there are; None: all.
        layer: of the backbone, where it has several; -1 is the last.
    """

    def __init__(
        self, num_layers: int, *, encoder: str, blocks: int | None, layer: int
    ) -> None:
        super().__init__()
        # Here, not above: transformers takes seconds to import, and few need it.
        from unipool.backbone import TrainableEncoder

        self.layer = index_of_layer(layer, num_layers)
        self.encoder = TrainableEncoder(Path(encoder), blocks=blocks)
        self.embedding_size = self.encoder.hidden_size

    def project(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T2 E"], Bool[Tensor, "B T2"]]:
        """Give what enters the transformer, and which of it is real."""
        samples = rearrange(hidden_states[:, self.layer], "b t d -> b (t d)")
        return self.encoder.project(samples, mask.sum(dim=1) * hidden_states.shape[3])


class FinetunePooled(Finetuned):
    """The mean over the frames of an encoder's first blocks.

    In training the convolutions on the samples are never changed, and nothing of the
    encoder is until a share of the steps is done: so long, the loss alone learns. What
    is not changed has its dropouts all the same, as published.

    Args:
        num_layers: hidden states of the backbone.
        hidden_size: samples in a frame; any number.
        encoder: folder of the encoder.
        blocks: the first transformer blocks, that are kept.
        unfreeze_at: share of the steps after which the encoder is trained; 0: from the
            beginning.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it is no encoder to fine-tune, or a number has no meaning.

    Source: Fan et al., "Exploring wav2vec 2.0 on speaker verification and language
    identification", Interspeech 2021, as published with UniPool.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        encoder: str,
        blocks: int = 1,
        unfreeze_at: float = 10 / 13,
        layer: int = -1,
    ) -> None:
        super().__init__(num_layers, encoder=encoder, blocks=blocks, layer=layer)
        if not 0 <= unfreeze_at <= 1:
            raise ValueError(f"unfreeze_at is {unfreeze_at}, it must be 0 to 1")
        self.unfreeze_at = unfreeze_at
        self.frozen = unfreeze_at > 0
        self.encoder.freeze_convolutions()

    def begin_step(self, step: int, steps: int) -> None:
        """Decide whether the encoder learns in an update, counted from 0."""
        self.frozen = step < round(self.unfreeze_at * steps)

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, whose real frames come first."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            frames, real = self.project(hidden_states, mask)
            frames = self.encoder.transform(frames, real)
            return mean_over_frames(frames, mask_or_none(real))


class FinetuneCls(Finetuned):
    """The transformer's output for a vector of ones put before an utterance's frames.

    All of the encoder is trained. In training, spans of the frames that enter the
    transformer are hidden behind the vector that was learned for it in pretraining.

    Args:
        num_layers: hidden states of the backbone.
        hidden_size: samples in a frame; any number.
        encoder: folder of the encoder.
        freeze_cnn: do not train the convolutions on the samples.
        mask_probability: share of the frames that is hidden in training, where spans do
            not overlap.
        mask_frames: of a span; an utterance that is shorter has none.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it is no encoder to fine-tune, or a number has no meaning.

    Source: Vaessen and van Leeuwen, "Fine-tuning wav2vec2 for speaker recognition",
    ICASSP 2022, as published with UniPool.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        encoder: str,
        freeze_cnn: bool = False,
        mask_probability: float = 0.05,
        mask_frames: int = 10,
        layer: int = -1,
    ) -> None:
        super().__init__(num_layers, encoder=encoder, blocks=None, layer=layer)
        if not 0 <= mask_probability <= 1:
            raise ValueError(f"mask_probability is {mask_probability}, must be 0 to 1")
        if mask_frames < 1:
            raise ValueError(f"mask_frames is {mask_frames}, it must be at least 1")
        self.mask_probability, self.mask_frames = mask_probability, mask_frames
        self.mask_vector = nn.Parameter(self.encoder.mask_vector.clone())
        if freeze_cnn:
            self.encoder.freeze_convolutions()

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B E"]:
        """Embed utterances, whose real frames come first."""
        frames, real = self.project(hidden_states, mask)
        if self.training:
            hidden = self.hidden_spans(real.sum(dim=1)).to(frames.device)
            vector = self.mask_vector.to(frames.dtype)
            frames = torch.where(hidden.unsqueeze(-1), vector, frames)
        frames = torch.cat([torch.ones_like(frames[:, :1]), frames], dim=1)
        real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        return self.encoder.transform(frames, real)[:, 0]

    def hidden_spans(self, lengths: Int64[Tensor, " B"]) -> Bool[Tensor, "B T"]:
        """Draw the frames to hide of utterances of these lengths.

        As many spans as make the share, one more by chance for the rest of it, and no
        two begin at one frame.
        """
        lengths = lengths.cpu()
        wanted = self.mask_probability * lengths / self.mask_frames
        counts = (wanted + torch.rand(len(lengths))).long()
        places = torch.arange(int(lengths.max()))
        possible = places <= (lengths - self.mask_frames)[:, None]
        drawn = torch.rand(possible.shape).masked_fill(~possible, torch.inf)
        ranks = drawn.argsort(dim=1).argsort(dim=1)
        begins = possible & (ranks < counts[:, None])
        hidden = begins.clone()
        for later in range(1, min(self.mask_frames, len(places))):
            hidden[:, later:] |= begins[:, :-later]
        return hidden


class FinetunePairs(Finetuned):
    """The log odds that two utterances are of one speaker, from one pass over both.

    A vector of ones, the frames of the first, one of minus ones, the frames of the
    second and one of minus ones again enter the transformer; a linear map of its output
    at the first place is what is asked for. There are no embeddings, and the order of
    the two counts.

    Args:
        num_layers: hidden states of the backbone.
        hidden_size: samples in a frame; any number.
        encoder: folder of the encoder.
        freeze_cnn: do not train the convolutions on the samples.
        layer: of the backbone, where it has several; -1 is the last.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it is no encoder to fine-tune, or a number has no meaning.

    Source: Vaessen and van Leeuwen, "Fine-tuning wav2vec2 for speaker recognition",
    ICASSP 2022, as in its published code.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        *,
        encoder: str,
        freeze_cnn: bool = True,
        layer: int = -1,
    ) -> None:
        super().__init__(num_layers, encoder=encoder, blocks=None, layer=layer)
        self.output = nn.Linear(self.embedding_size, 1)
        self.embedding_size = 1
        if freeze_cnn:
            self.encoder.freeze_convolutions()

    def forward(
        self, hidden_states: Float[Tensor, "B L T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B//2 1"]:
        """Compare utterances, of which the two of a pair follow each other."""
        frames, real = self.project(hidden_states, mask)
        counts = real.sum(dim=1).tolist()
        begin = frames.new_ones(1, frames.shape[2])
        joined = [
            torch.cat([begin, first[:n], -begin, second[:m], -begin])
            for first, second, n, m in zip(
                frames[0::2], frames[1::2], counts[0::2], counts[1::2], strict=True
            )
        ]
        lengths = torch.tensor([len(one) for one in joined], device=frames.device)
        together = pad_sequence(joined, batch_first=True)
        places = torch.arange(together.shape[1], device=frames.device)
        output = self.encoder.transform(together, places < lengths[:, None])
        return self.output(output[:, 0])
