"""Log-mel energies as Kaldi computes them, cepstra as torchaudio does.

Both in float64 and in blocks of frames, so that what is in a block decides nothing and
an hour needs no more memory than its result.
"""

import warnings
from abc import abstractmethod
from typing import Any

import scipy.fft
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from torch.nn.functional import pad
from transformers.audio_utils import mel_filter_bank, window_function

from unipool.audio import SAMPLE_RATE
from unipool.backbone.features import SHIFT, Features, Normalize, normalised

WINDOW, FFT = 400, 512
"""Samples of a frame, and of its Fourier transform."""

PREEMPHASIS = 0.97

FRAMES_IN_BLOCK = 1024

KALDI_SCALE = 2.0**15
"""Kaldi's samples are 16-bit integers."""

SMALLEST_ENERGY = torch.finfo(torch.float32).eps
"""Below it Kaldi takes no logarithm."""

SMALLEST_POWER, DYNAMIC_RANGE_DB = 1e-10, 80.0
"""torchaudio's least power, and what it keeps below the loudest of an utterance."""


class MelEnergies(Features):
    """What both kinds share: power spectra of frames, summed in mel bands.

    Args:
        device: where to compute.
        hidden_size: numbers in a frame.
        min_samples: that make one frame.
        window: of a frame.
        num_mels: bands.
        lowest_hz: where the first begins.
        highest_hz: where the last ends.
        bands: more about them, for ``mel_filter_bank``.

    Raises:
        ValueError: when there are no such bands; it begins with the option.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        hidden_size: int,
        min_samples: int,
        window: str,
        num_mels: int,
        lowest_hz: float,
        highest_hz: float,
        **bands: Any,
    ) -> None:
        super().__init__(device, hidden_size=hidden_size, min_samples=min_samples)
        if num_mels < 1:
            raise ValueError(f"num_mels: {num_mels} is too few; at least 1 is needed")
        if not 0 <= lowest_hz < highest_hz <= SAMPLE_RATE / 2:
            raise ValueError(
                f"highest_hz: {highest_hz:g} with lowest_hz {lowest_hz:g}; needed is"
                f" 0 <= lowest_hz < highest_hz <= {SAMPLE_RATE // 2}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an error, below
            mels = mel_filter_bank(
                FFT // 2 + 1, num_mels, lowest_hz, highest_hz, SAMPLE_RATE, **bands
            )
        if not (mels > 0).any(axis=0).all():
            raise ValueError(
                f"num_mels: {num_mels} are too many; some band between"
                f" {lowest_hz:g} and {highest_hz:g} Hz has no frequency of the"
                f" {FFT}-point Fourier transform"
            )
        self._mels = torch.from_numpy(mels).to(device)
        shape = window_function(WINDOW, window, periodic=window == "hamming")
        self._window = torch.from_numpy(shape).to(device)

    @abstractmethod
    def log_energies(self, frames: Float64[Tensor, "T N"]) -> Float64[Tensor, "T M"]:
        """Compute the logarithms of the bands' energies."""

    def energies(self, frames: Float64[Tensor, "T N"]) -> Float64[Tensor, "T M"]:
        """Sum the power of frames, windowed and transformed, in mel bands."""
        spectrum = torch.fft.rfft(frames * self._window, n=FFT)
        return (spectrum.real.square() + spectrum.imag.square()) @ self._mels

    def all_log_energies(
        self, samples: Float32[Tensor, " N"]
    ) -> Float32[Tensor, "T M"]:
        """Cut into frames, and compute block by block."""
        frames = samples.unfold(0, WINDOW, SHIFT)
        return torch.cat(
            [
                self.log_energies(block.double()).float()
                for block in frames.split(FRAMES_IN_BLOCK)
            ]
        )


class LogMel(MelEnergies):
    """Log-mel energies as Kaldi's compute-fbank-feats gives them, without dither.

    From each frame of 25 ms its mean is subtracted before pre-emphasis and the Povey
    window; the frames are those that lie in the utterance (``snip-edges``).

    Args:
        device: where to compute.
        num_mels: bands, and numbers in a frame.
        lowest_hz: where the first begins.
        highest_hz: where the last ends.
        normalize: see ``normalised``.

    Raises:
        ValueError: when there are no such bands; it begins with the option.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        num_mels: int = 80,
        lowest_hz: float = 20.0,
        highest_hz: float = 8000.0,
        normalize: Normalize = "mean",
    ) -> None:
        super().__init__(
            device,
            hidden_size=num_mels,
            min_samples=WINDOW,
            window="povey",
            num_mels=num_mels,
            lowest_hz=lowest_hz,
            highest_hz=highest_hz,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self._normalize = normalize

    def num_frames(self, num_samples: int) -> int:
        return max((num_samples - WINDOW) // SHIFT + 1, 0)

    def frames(self, samples: Float32[Tensor, " N"]) -> Float32[Tensor, "T D"]:
        return normalised(self.all_log_energies(samples), self._normalize)

    def log_energies(self, frames: Float64[Tensor, "T N"]) -> Float64[Tensor, "T M"]:
        frames = (frames - frames.mean(dim=1, keepdim=True)) * KALDI_SCALE
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        energies = self.energies(frames - PREEMPHASIS * before)
        return energies.clamp_min(SMALLEST_ENERGY).log()


class Mfcc(MelEnergies):
    """Mel-frequency cepstral coefficients as torchaudio's MFCC gives them.

    Those of the published x-vector and ECAPA-TDNN baselines: pre-emphasis of the whole
    utterance, frames of 25 ms with a Hamming window, their centres at multiples of
    10 ms (the utterance is mirrored at its ends), energies in dB, at most 80 dB below
    the loudest of the utterance, an orthonormal cosine transform.

    Args:
        device: where to compute.
        num_coefficients: numbers in a frame, the first one included.
        num_mels: bands.
        lowest_hz: where the first begins.
        highest_hz: where the last ends.
        normalize: see ``normalised``; the published x-vector has ``mean-variance``,
            ECAPA-TDNN ``frame-length``.

    Raises:
        ValueError: when there are no such bands or coefficients; it begins with the
            option.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        num_coefficients: int,
        normalize: Normalize,
        num_mels: int = 80,
        lowest_hz: float = 20.0,
        highest_hz: float = 7600.0,
    ) -> None:
        super().__init__(
            device,
            hidden_size=num_coefficients,
            min_samples=FFT // 2 + 1,
            window="hamming",
            num_mels=num_mels,
            lowest_hz=lowest_hz,
            highest_hz=highest_hz,
        )
        if not 1 <= num_coefficients <= num_mels:
            raise ValueError(
                f"num_coefficients: {num_coefficients} of {num_mels} mel bands; there"
                " are at least 1, and as many as bands (num_mels)"
            )
        identity = torch.eye(num_mels, dtype=torch.float64).numpy()
        cosines = scipy.fft.dct(identity, norm="ortho")[:, :num_coefficients]
        self._cosines = torch.from_numpy(cosines.copy()).to(device)
        self._normalize = normalize

    def num_frames(self, num_samples: int) -> int:
        return num_samples // SHIFT + 1 if num_samples >= self.min_samples else 0

    def frames(self, samples: Float32[Tensor, " N"]) -> Float32[Tensor, "T D"]:
        before = torch.cat([samples[1:2], samples[:-1]])
        emphasised = samples - PREEMPHASIS * before
        # torchaudio mirrors half a Fourier transform, in whose middle the window lies.
        mirrored = pad(emphasised[None], (FFT // 2, FFT // 2), mode="reflect")[0]
        edge = (FFT - WINDOW) // 2
        decibels = self.all_log_energies(mirrored[edge:-edge])
        decibels.clamp_min_(decibels.max() - DYNAMIC_RANGE_DB)
        cepstra = [
            (block.double() @ self._cosines).float()
            for block in decibels.split(FRAMES_IN_BLOCK)
        ]
        return normalised(torch.cat(cepstra), self._normalize)

    def log_energies(self, frames: Float64[Tensor, "T N"]) -> Float64[Tensor, "T M"]:
        return 10 * self.energies(frames).clamp_min(SMALLEST_POWER).log10()
