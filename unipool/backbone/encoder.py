"""The encoder itself: waveforms to hidden states."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoConfig

from unipool.audio import SAMPLE_RATE, Waveform
from unipool.backbone.inputs import inputs_of
from unipool.backbone.interface import Backbone, Window
from unipool.backbone.padding import Padding
from unipool.backbone.source import load_model

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference to encoding alone, relative to the largest state of the layer."""


class Encoder(Backbone):
    """A frozen encoder in evaluation mode.

    Args:
        folder: a Hugging Face folder.
        device: where to compute.
        dtype: in which to compute.
        normalize: ``checkpoint``: waveforms to zero mean and unit variance where the
            checkpoint says so; ``none``: never, as the published code of UniPool does.
        window_seconds: a longer utterance is encoded in windows of this length.
        overlap_seconds: what two of them share; each keeps its half.

    Raises:
        ValueError: when the model is not an encoder of speech, lacks weights, or has an
            adapter, or the windows are no longer than their overlap.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        normalize: str,
        window_seconds: float,
        overlap_seconds: float,
    ) -> None:
        config = AutoConfig.from_pretrained(folder)
        if getattr(config, "add_adapter", False):
            raise ValueError(
                f"{folder}: the model has an adapter behind its encoder (add_adapter),"
                " which changes the frame rate; save it without"
            )
        self._inputs = inputs_of(folder, config, normalize=normalize)
        # WavLM has no other attention, and one choice makes one kind of number.
        attention = (
            {"attn_implementation": "eager"} if "wavlm" in config.model_type else {}
        )
        model = load_model(folder, dtype, **attention)
        self._model = model.get_encoder() if config.is_encoder_decoder else model
        self._model.eval().requires_grad_(requires_grad=False).to(device)
        self._padding = Padding(self._model)
        self.device, self._dtype = device, dtype
        self.tolerance = TOLERANCE[dtype]
        self.num_layers = config.num_hidden_layers + 1
        self.hidden_size = config.hidden_size
        self.frame_shift = self._inputs.shift / SAMPLE_RATE
        self.min_samples = self._inputs.smallest
        self.num_parameters = sum(p.numel() for p in self._model.parameters())
        largest = self._inputs.largest or window_seconds * SAMPLE_RATE
        window = min(window_seconds * SAMPLE_RATE, largest)
        self._window = int(window) // self._inputs.shift * self._inputs.shift
        overlap = round(overlap_seconds * SAMPLE_RATE / self._inputs.shift)
        self._overlap = overlap * self._inputs.shift
        if self._window - self._overlap < self.min_samples:
            raise ValueError(
                f"{folder}: windows of {self._window / SAMPLE_RATE} s that share"
                f" {overlap_seconds} s do not advance; lower overlap_seconds of the"
                " backbone, or raise its window_seconds"
            )

    def num_frames(self, num_samples: int) -> int:
        return self._inputs.num_frames(num_samples)

    def windows(self, num_samples: int) -> list[Window]:
        shift, advance = self._inputs.shift, self._window - self._overlap
        beyond_first = max(num_samples - self._window, 0)
        starts = [advance * i for i in range(1 - (-beyond_first // advance))]
        # Two windows part in the middle of what they share.
        cuts = [(start + self._overlap // 2) // shift for start in starts[1:]]
        firsts, lasts = [0, *cuts], [*cuts, self.num_frames(num_samples)]
        return [
            Window(
                start,
                min(start + self._window, num_samples),
                first - start // shift,
                last - first,
            )
            for start, first, last in zip(starts, firsts, lasts, strict=True)
        ]

    @torch.inference_mode()
    def hidden_states(
        self,
        waveforms: Sequence[Waveform],
        *,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, "L _ D"]]:
        values, mask = self._inputs.batch(waveforms)
        sizes = [len(wave) for wave in waveforms]
        frames = [self.num_frames(size) for size in sizes]
        arguments = {self._inputs.takes: values.to(self.device, self._dtype)}
        if mask is not None:
            arguments["attention_mask"] = mask.long().to(self.device)
            self._padding.announce(
                frames=torch.tensor(frames, device=self.device),
                samples=sizes,
            )
        with warnings.catch_warnings():
            # Of transformers' own making: WavLM's attention gets two kinds of mask.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            output = self._model(**arguments, output_hidden_states=True)
        all_layers = [
            *output.hidden_states[: self.num_layers - 1],
            output.last_hidden_state,
        ]
        wanted = range(self.num_layers) if layers is None else layers
        # Each is copied and rounded at once: what is copied most is the time it takes.
        batch = torch.empty(
            (len(waveforms), len(wanted), max(frames), self.hidden_size),
            dtype=dtype,
            device=self.device,
        )
        for i, layer in enumerate(wanted):
            batch[:, i] = all_layers[layer][:, : max(frames)]
        return [states[:, :count] for states, count in zip(batch, frames, strict=True)]
