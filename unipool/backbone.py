"""The backbone: a frozen encoder from a Hugging Face folder, and its hidden states.

Two laws hold here, for every family and every version of transformers:

- An utterance's hidden states are those of encoding it alone, whatever is in its batch.
  The group norm of wav2vec2-base, HuBERT-base and WavLM-base looks at padding even with
  a mask; it is replaced by one that does not. Whether a model then stands padding is
  not believed but measured when it is loaded; one that does not gets batches of equal
  length.
- Layer 0 is what enters the first block, the last layer the encoder's final output
  after its final norm. (``hidden_states[-1]`` of transformers 5.17 lies before that
  norm for the large models, that of 4.57 behind it.)
"""

import logging
import math
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from unipool.audio import SAMPLE_RATE, Waveform

logger = logging.getLogger(__name__)

PADDING_TOLERANCE = 1e-5
"""Largest difference to encoding alone, relative to the largest state of the layer."""

# Weights that only training uses; a checkpoint may lack them.
UNUSED_WEIGHTS = ("masked_spec_embed",)

transformers.utils.logging.disable_progress_bar()


def make_backbone(folder: Path, *, config: dict[str, Any], seed: int) -> None:
    """Save an encoder with random weights as a Hugging Face folder.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        config: ``model_type`` and any keys of that model's Hugging Face config.
        seed: of the weights.

    Raises:
        ValueError: when the model type or a key is unknown.
    """
    model_type = config["model_type"]
    options = {key: value for key, value in config.items() if key != "model_type"}
    types = list(transformers.CONFIG_MAPPING)
    if model_type not in types:
        raise ValueError(
            f"model_type {model_type!r} is unknown to transformers"
            f" {transformers.__version__}; {_near(model_type, types)}"
        )
    known = AutoConfig.for_model(model_type).to_dict()
    for key in options:
        if key not in known:
            raise ValueError(
                f"{model_type} has no config key {key!r}; {_near(key, list(known))}"
            )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **options))
    model.save_pretrained(folder)
    layer_norm = getattr(model.config, "feat_extract_norm", "layer") == "layer"
    transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLE_RATE,
        do_normalize=layer_norm,
        return_attention_mask=layer_norm,
    ).save_pretrained(folder)


def copy_backbone(folder: Path, source: str, *, revision: str | None) -> str | None:
    """Save a pretrained encoder, without its head, as a folder that needs no network.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        source: a model's name on the Hugging Face hub, or a local folder.
        revision: commit, branch or tag on the hub.

    Returns:
        The commit that the revision stood for; None for a local folder.

    Raises:
        ValueError: when it cannot be had, or holds no such encoder.
    """
    try:
        model, report = AutoModel.from_pretrained(
            source, revision=revision, dtype="auto", output_loading_info=True
        )
        extractor = AutoFeatureExtractor.from_pretrained(source, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        if Path(source).is_dir():
            raise ValueError(
                f"{source}: not a Hugging Face folder of an encoder ({reason}); it"
                " needs config.json, model.safetensors, preprocessor_config.json"
            ) from error
        raise ValueError(
            f"{source} (revision {revision}) could not be fetched from the Hugging Face"
            f" hub ({reason}). Without network, fetch it elsewhere and name its folder:"
            " `path: <folder>` instead of `model:`; or set HF_HOME to a cache that has"
            " it"
        ) from error
    missing = [
        name for name in report["missing_keys"] if not name.endswith(UNUSED_WEIGHTS)
    ]
    if missing:
        raise ValueError(
            f"{source}: the checkpoint lacks {len(missing)} of the encoder's weights,"
            f" {missing[0]} the first; they would be random. Use a checkpoint of"
            f" {type(model).__name__}"
        )
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return getattr(model.config, "_commit_hash", None)


class Backbone:
    """A frozen encoder in evaluation mode.

    Args:
        folder: a Hugging Face folder.
        device: where to compute.
        dtype: in which to compute.
        normalize: ``checkpoint``: zero mean and unit variance where the checkpoint
            says so; ``none``: never, as the published code of UniPool does.

    Attributes:
        device: where it computes.
        num_layers: hidden states, the input of the first block included.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        receptive_field: samples that make one frame.
        num_parameters: of the encoder.
        stands_padding: whether utterances of different length may share a batch.

    Raises:
        ValueError: when the model is not an encoder of waveforms, or has an adapter.
    """

    def __init__(
        self, folder: Path, *, device: torch.device, dtype: torch.dtype, normalize: str
    ) -> None:
        config = AutoConfig.from_pretrained(folder)
        if not hasattr(config, "conv_stride"):
            raise ValueError(
                f"{folder}: {config.model_type} does not encode waveforms; supported"
                " are wav2vec 2.0, HuBERT, WavLM and their kin"
            )
        if getattr(config, "add_adapter", False):
            raise ValueError(
                f"{folder}: the model has an adapter behind its encoder (add_adapter),"
                " which changes the frame rate; save it without"
            )
        # WavLM has no other attention, and one choice makes one kind of number.
        attention = (
            {"attn_implementation": "eager"} if "wavlm" in config.model_type else {}
        )
        self._model = AutoModel.from_pretrained(
            folder, dtype=torch.float32, **attention
        )
        self._model.eval().requires_grad_(requires_grad=False).to(device)
        self._norm = _mask_group_norm(self._model)
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        self._normalize = bool(extractor.do_normalize) and normalize == "checkpoint"
        self._conv = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.device, self._dtype = device, torch.float32
        self.num_layers = config.num_hidden_layers + 1
        self.hidden_size = config.hidden_size
        self.frame_shift = math.prod(config.conv_stride) / SAMPLE_RATE
        self.receptive_field = 1
        for kernel, stride in reversed(self._conv):
            self.receptive_field = (self.receptive_field - 1) * stride + kernel
        self.num_parameters = sum(p.numel() for p in self._model.parameters())
        self.stands_padding = self._measure_padding()
        # Measured in float32, where padding shows; a smaller dtype would drown it.
        self._dtype = dtype
        self._model.to(dtype)

    def num_frames(self, num_samples: int) -> int:
        """Count the frames of an utterance; 0 when it is too short for one."""
        for kernel, stride in self._conv:
            num_samples = (num_samples - kernel) // stride + 1
        return max(num_samples, 0)

    @torch.inference_mode()
    def hidden_states(
        self, waveforms: Sequence[Waveform]
    ) -> list[Float32[Tensor, "_ L D"]]:
        """Encode utterances, each as if alone.

        Args:
            waveforms: mono, 16 kHz, each at least ``receptive_field`` samples.

        Returns:
            For each utterance the states of all layers, on the device.
        """
        if not self.stands_padding and len({len(wave) for wave in waveforms}) > 1:
            return [
                states for wave in waveforms for states in self.hidden_states([wave])
            ]
        return self._encode(waveforms)

    def _encode(self, waveforms: Sequence[Waveform]) -> list[Float32[Tensor, "_ L D"]]:
        tensors = [torch.from_numpy(self._prepare(wave)) for wave in waveforms]
        lengths = torch.tensor([len(wave) for wave in waveforms])
        batch = pad_sequence(tensors, batch_first=True)
        mask = torch.arange(batch.shape[1]) < lengths[:, None]
        if self._norm is not None:
            kernel, stride = self._conv[0]
            self._norm.num_frames = ((lengths - kernel) // stride + 1).to(self.device)
        with warnings.catch_warnings():
            # Of transformers' own making: WavLM's attention gets two kinds of mask.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            output = self._model(
                batch.to(self.device, self._dtype),
                attention_mask=mask.long().to(self.device),
                output_hidden_states=True,
            )
        layers = [
            *output.hidden_states[: self.num_layers - 1],
            output.last_hidden_state,
        ]
        stacked = torch.stack(layers, dim=2).float()  # (B, T, L, D)
        return [
            states[: self.num_frames(len(wave))]
            for states, wave in zip(stacked, waveforms, strict=True)
        ]

    def _prepare(self, wave: Waveform) -> Waveform:
        if not self._normalize:
            return wave
        # As Wav2Vec2FeatureExtractor does it; called through it, a batch would be
        # padded before it is normalised.
        scaled = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        return scaled.astype(np.float32)

    def _measure_padding(self) -> bool:
        generator = np.random.default_rng(0)
        waveforms = [
            generator.normal(0, 0.1, size=size).astype(np.float32)
            for size in (SAMPLE_RATE // 2, SAMPLE_RATE)
        ]
        with torch.inference_mode():
            together = self._encode(waveforms)
            alone = [self._encode([wave])[0] for wave in waveforms]
        worst = max(
            float(((a - b).abs().amax((0, 2)) / b.abs().amax((0, 2))).max())
            for a, b in zip(together, alone, strict=True)
        )
        stands = worst <= PADDING_TOLERANCE
        logger.info(
            "padding changes hidden states by %.1e of the largest, so batches are of %s"
            " length",
            worst,
            "any" if stands else "equal",
        )
        return stands


class MaskedGroupNorm(nn.Module):
    """Group norm of one channel a group, whose statistics leave out the padding.

    Args:
        norm: the group norm whose place it takes.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.num_frames: Tensor | None = None

    def forward(self, frames: Float[Tensor, "B C T"]) -> Float[Tensor, "B C T"]:
        """Normalise each channel over the first ``num_frames`` of each utterance."""
        assert self.num_frames is not None
        count = self.num_frames[:, None, None]
        real = torch.arange(frames.shape[2], device=frames.device) < count
        mean = (frames * real).sum(dim=2, keepdim=True) / count
        centred = frames - mean
        variance = (centred.square() * real).sum(dim=2, keepdim=True) / count
        scaled = centred * torch.rsqrt(variance + self.eps)
        return scaled * self.weight[:, None] + self.bias[:, None]


def _mask_group_norm(model: Any) -> MaskedGroupNorm | None:
    """Replace the feature extractor's group norm, if it has one."""
    for module in model.feature_extractor.conv_layers:
        norm = getattr(module, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels:
            module.layer_norm = MaskedGroupNorm(norm)
            return module.layer_norm
    return None


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "see its documentation"
