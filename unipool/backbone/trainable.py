"""An encoder whose weights change, in the two halves that backends put together."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AutoConfig

from unipool.backbone.inputs import Samples, inputs_of
from unipool.backbone.lora import add_lora
from unipool.backbone.padding import Padding
from unipool.backbone.source import load_model
from unipool.facts import read_facts

FAMILIES = ("wav2vec2", "hubert", "wavlm")
"""Model types of transformers, all made of the same parts under the same names."""

VARIANCE_FLOOR = 1e-7
"""Added to the variance of the samples, as Wav2Vec2FeatureExtractor does."""


class TrainableEncoder(nn.Module):
    """A wav2vec 2.0, HuBERT or WavLM encoder that can be trained.

    Its dropouts and its layer drop are those of the checkpoint. In evaluation it gives
    what ``Encoder`` gives, with or without padding beside an utterance: the output of
    block k is layer k of the cache, that of the last one lies behind the final norm.

    Args:
        folder: of a backbone that ``fetch_backbone`` made of a checkpoint.
        blocks: how many of its transformer blocks are kept, the first ones; all of them
            where nothing is said.

    Attributes:
        hidden_size: of a frame.
        num_layers: blocks and one, for what enters the first.
        mask_vector: what stood for a hidden frame when the encoder was pretrained;
            where a checkpoint has none, drawn as one is in the beginning.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it is not an encoder of one of the families, has an adapter or
            a batch norm, or fewer blocks.
    """

    def __init__(self, folder: Path, *, blocks: int | None = None) -> None:
        super().__init__()
        config, normalize = _described(folder)
        inputs = inputs_of(folder, config, normalize=normalize)
        assert isinstance(inputs, Samples)
        self._inputs = inputs
        # As in Encoder: WavLM has no other attention.
        attention = (
            {"attn_implementation": "eager"} if config.model_type == "wavlm" else {}
        )
        model = load_model(folder, torch.float32, **attention)
        self.hidden_size: int = config.hidden_size
        self.mask_vector = _take_mask_vector(model, config)
        _cut(model, config, blocks, folder)
        self.num_layers = len(model.encoder.layers) + 1
        self._folder = folder
        self.model: Any = model.train()  # it was loaded in evaluation mode
        self._padding = Padding(model)

    def freeze_convolutions(self) -> None:
        """Keep the convolutions on the samples as they are, for ever."""
        self.model.feature_extractor._freeze_parameters()

    def adapt(
        self,
        *,
        rank: int,
        alpha: float,
        dropout: float,
        targets: Sequence[str] | None,
    ) -> None:
        """Freeze all weights, and learn low-rank updates of linear maps, from zero.

        Args:
            rank: of an update.
            alpha: over ``rank``, what an update is multiplied by.
            dropout: of what enters it.
            targets: names of the maps, in all blocks; None: those of queries and
                values, of WavLM those of the feed-forward network.

        Raises:
            ValueError: when a number has no meaning, or a map cannot be adapted.

        Source: Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR
        2022.
        """
        self.freeze_convolutions()  # or they would be differentiated all the same
        add_lora(
            self.model,
            self._folder,
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            targets=targets,
        )

    def project(
        self, samples: Float[Tensor, "B S"], lengths: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """Make frames of samples: convolutions, then a linear map.

        Args:
            samples: at 16 kHz; those of an utterance come first, whatever is behind.
            lengths: how many are real. Zeros are added to what is too short for one
                frame (400 samples, in all published checkpoints), after normalisation.

        Returns:
            Frames, and which are real; the longest utterance has no padding.
        """
        samples, lengths = self._prepare(samples, lengths)
        sizes = lengths.tolist()
        counts = torch.tensor(
            [self._inputs.num_frames(size) for size in sizes], device=samples.device
        )
        self._padding.announce(frames=counts, samples=sizes)
        frames = self.model.feature_extractor(samples).transpose(1, 2)
        projected = self.model.feature_projection(frames)
        # Two families give what was projected, too.
        projected = projected[0] if isinstance(projected, tuple) else projected
        places = torch.arange(projected.shape[1], device=samples.device)
        return projected, places < counts[:, None]

    def transform(
        self, frames: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T D"]:
        """Pass projected frames through the transformer.

        Args:
            frames: of utterances, of which the longest has no padding.
            mask: which are real.
        """
        self._padding.announce(frames=mask.sum(dim=1), samples=[])
        with warnings.catch_warnings():
            # Of transformers' own making: WavLM's attention gets two kinds of mask.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            output = self.model.encoder(
                # A copy: the encoder writes zeros into what it is given.
                frames.masked_fill(~mask.unsqueeze(-1), 0),
                attention_mask=None if bool(mask.all()) else mask,
            )
        return output.last_hidden_state

    def hidden_states(
        self, frames: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B L T D"]:
        """Pass projected frames through the transformer; give all hidden states.

        A block that the layer drop leaves out gives what the one before it gave.

        Args:
            frames: of utterances, of which the longest has no padding.
            mask: which are real.
        """
        noted: dict[int, Tensor] = {}

        def note(layer: int, _: nn.Module, inputs: Any, output: Any) -> None:
            noted[layer] = output[0] if isinstance(output, tuple) else output

        # What enters the first block has just passed this dropout. Not the outputs that
        # transformers itself gives: of what they are depends on its version.
        noting = [self.model.encoder.dropout, *self.model.encoder.layers]
        hooks = [
            module.register_forward_hook(partial(note, layer))
            for layer, module in enumerate(noting)
        ]
        try:
            last = self.transform(frames, mask)
        finally:
            for hook in hooks:
                hook.remove()
        states = [noted[0]]
        for layer in range(1, self.num_layers - 1):
            states.append(noted.get(layer, states[-1]))
        return torch.stack([*states, last], dim=1)

    def _prepare(
        self, samples: Float[Tensor, "B S"], lengths: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B S2"], Int64[Tensor, " B"]]:
        """Normalise each utterance, cut at the longest, add to the shortest."""
        samples = samples[:, : int(lengths.max())]
        beyond = (
            torch.arange(samples.shape[1], device=samples.device) >= lengths[:, None]
        )
        samples = samples.masked_fill(beyond, 0)
        if self._inputs.normalize:
            mean = samples.sum(dim=1, keepdim=True) / lengths[:, None]
            samples = (samples - mean).masked_fill(beyond, 0)
            variance = samples.square().sum(dim=1, keepdim=True) / lengths[:, None]
            samples = samples / (variance + VARIANCE_FLOOR).sqrt()
        lengths = lengths.clamp(min=self._inputs.smallest)
        return pad(samples, (0, int(lengths.max()) - samples.shape[1])), lengths


def _described(folder: Path) -> tuple[Any, str]:
    """Give an encoder's config, and when its samples are normalised."""
    facts = read_facts(folder)
    if "features" in facts:
        raise ValueError(
            f"{folder}: {facts['features']} has no weights to fine-tune; name an"
            " encoder"
        )
    config = AutoConfig.from_pretrained(folder)
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"{folder}: {config.model_type} cannot be fine-tuned; what can is of model"
            f" type {', '.join(FAMILIES)}"
        )
    for key, part in (
        ("add_adapter", "an adapter behind its encoder"),
        ("conv_pos_batch_norm", "a batch norm, which would see padding"),
    ):
        if getattr(config, key, False):
            raise ValueError(
                f"{folder}: the model has {part} ({key}), and cannot be fine-tuned;"
                " name one without"
            )
    return config, facts["normalize"]


def _take_mask_vector(model: Any, config: Any) -> Float[Tensor, " D"]:
    """Take the vector out of the model: not every backend trains it."""
    if not hasattr(model, "masked_spec_embed"):
        return torch.rand(config.hidden_size)
    vector = model.masked_spec_embed.detach().clone()
    del model.masked_spec_embed
    return vector


def _cut(model: Any, config: Any, blocks: int | None, folder: Path) -> None:
    """Leave the first blocks only; the final norm is that of the last of all."""
    total = config.num_hidden_layers
    if blocks is None or blocks == total:
        return
    if not 1 <= blocks < total:
        raise ValueError(
            f"blocks is {blocks}, the encoder {folder} has {total} transformer blocks;"
            f" it must be 1 to {total}"
        )
    model.encoder.layers = model.encoder.layers[:blocks]
    if config.do_stable_layer_norm:
        model.encoder.layer_norm = nn.Identity()
