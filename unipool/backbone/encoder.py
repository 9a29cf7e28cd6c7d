"""The encoder itself: waveforms to hidden states."""

import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from unipool.audio import SAMPLE_RATE, Waveform
from unipool.backbone.group_norm import mask_group_norm

logger = logging.getLogger(__name__)

PADDING_TOLERANCE = 1e-5
"""Largest difference to encoding alone, relative to the largest state of the layer."""


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
        self._norm = mask_group_norm(self._model)
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
