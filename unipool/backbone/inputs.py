"""From waveforms to what an encoder takes: samples, or one of two spectrograms.

Each utterance is made into its input by itself; only then is it padded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoFeatureExtractor

from unipool.audio import SAMPLE_RATE, Waveform

MEL_SHIFT, MEL_LENGTH = 160, 400
"""Samples between two frames of w2v-BERT's spectrogram, and of one frame."""

WHISPER_SHIFT = 320
"""Samples between two frames of Whisper's encoder."""


@runtime_checkable
class Inputs(Protocol):
    """How an encoder is fed.

    Attributes:
        shift: samples between two frames.
        smallest: samples that make one frame.
        largest: samples that it takes at most, None where there is no limit.
        takes: the argument of the model.
    """

    shift: int
    smallest: int
    largest: int | None
    takes: str

    def num_frames(self, num_samples: int) -> int:
        """Count the frames of an utterance; 0 when it is too short for one."""

    def batch(
        self, waveforms: Sequence[Waveform]
    ) -> tuple[Float32[Tensor, "B ..."], Bool[Tensor, "B T"] | None]:
        """Give the input of some utterances, padded, and where it is real."""


class Samples:
    """The waveform itself, for wav2vec 2.0 and its kin.

    Args:
        config: of the model.
        normalize: to zero mean and unit variance.
    """

    takes = "input_values"
    largest: int | None = None

    def __init__(self, config: Any, *, normalize: bool) -> None:
        self._conv = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.normalize = normalize
        self.shift = int(np.prod(config.conv_stride))
        self.smallest = 1
        for kernel, stride in reversed(self._conv):
            self.smallest = (self.smallest - 1) * stride + kernel

    def num_frames(self, num_samples: int) -> int:
        for kernel, stride in self._conv:
            num_samples = (num_samples - kernel) // stride + 1
        return max(num_samples, 0)

    def batch(
        self, waveforms: Sequence[Waveform]
    ) -> tuple[Float32[Tensor, "B T"], Bool[Tensor, "B T"]]:
        prepared = [torch.from_numpy(self._prepare(wave)) for wave in waveforms]
        return _pad(prepared)

    def _prepare(self, wave: Waveform) -> Waveform:
        if not self.normalize:
            return wave
        # As Wav2Vec2FeatureExtractor does it.
        scaled = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        return scaled.astype(np.float32)


class MelPairs:
    """Two frames of a normalised log-mel spectrogram as one, for w2v-BERT 2.0.

    Args:
        extractor: of the checkpoint.
    """

    takes = "input_features"
    largest: int | None = None
    shift = 2 * MEL_SHIFT
    smallest = MEL_LENGTH + MEL_SHIFT

    def __init__(self, extractor: Any) -> None:
        self._extractor = extractor

    def num_frames(self, num_samples: int) -> int:
        return max((num_samples - MEL_LENGTH) // MEL_SHIFT + 1, 0) // 2

    def batch(
        self, waveforms: Sequence[Waveform]
    ) -> tuple[Float32[Tensor, "B T C"], Bool[Tensor, "B T"]]:
        return _pad([self._prepare(wave) for wave in waveforms])

    def _prepare(self, wave: Waveform) -> Float32[Tensor, "T C"]:
        made = self._extractor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return made["input_features"][0, : self.num_frames(len(wave))].float()


class LogMel:
    """A log-mel spectrogram of always the same length, for Whisper's encoder.

    Silence behind an utterance is part of what this encoder was trained on; its frames
    are seen by the others, in every batch alike, and not kept.

    Args:
        extractor: of the checkpoint.
    """

    takes = "input_features"
    largest: int | None
    shift = WHISPER_SHIFT
    smallest = 1

    def __init__(self, extractor: Any) -> None:
        self._extractor = extractor
        self.largest = int(extractor.n_samples)

    def num_frames(self, num_samples: int) -> int:
        return -(-num_samples // WHISPER_SHIFT)

    def batch(
        self, waveforms: Sequence[Waveform]
    ) -> tuple[Float32[Tensor, "B C T"], None]:
        made = self._extractor(
            list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt"
        )
        return made["input_features"].float(), None


def _pad(
    inputs: list[Tensor],
) -> tuple[Float32[Tensor, "B T ..."], Bool[Tensor, "B T"]]:
    lengths = torch.tensor([len(one) for one in inputs])
    batch = pad_sequence(inputs, batch_first=True)
    return batch, torch.arange(batch.shape[1]) < lengths[:, None]


def inputs_of(folder: Path, config: Any, *, normalize: str) -> Inputs:
    """Find out how an encoder is fed.

    Args:
        folder: of the checkpoint.
        config: of the model.
        normalize: ``checkpoint`` or ``none``, see ``Encoder``.

    Raises:
        ValueError: when it does not encode speech, or has no such normalisation.
    """
    spectrograms: dict[str, Callable[[Any], Inputs]]
    spectrograms = {"wav2vec2-bert": MelPairs, "whisper": LogMel}
    if not hasattr(config, "conv_stride") and config.model_type not in spectrograms:
        raise ValueError(
            f"{folder}: {config.model_type} does not encode waveforms; supported are"
            " wav2vec 2.0, HuBERT, WavLM and their kin, w2v-BERT 2.0 and Whisper"
        )
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    if config.model_type not in spectrograms:
        wanted = bool(extractor.do_normalize) and normalize == "checkpoint"
        return Samples(config, normalize=wanted)
    if normalize != "checkpoint":
        raise ValueError(
            f"{folder}: normalize: {normalize} is about waveforms, {config.model_type}"
            " takes spectrograms; remove it"
        )
    return spectrograms[config.model_type](extractor)
