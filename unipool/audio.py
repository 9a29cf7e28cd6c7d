"""Audio from any file as mono float32 samples at 16 kHz.

soundfile reads WAV, FLAC, Ogg and MP3; PyAV what it cannot (m4a and others that FFmpeg
knows). Channels are averaged before resampling (soxr, high quality).
"""

from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

SAMPLE_RATE = 16_000
"""Of every encoder that unipool knows, in Hz."""

Waveform = Float32[np.ndarray, "_"]
"""Mono samples; of any number, also among others in one list."""


def read_audio(path: Path) -> Waveform:
    """Decode a file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be decoded to its end, has no samples, or a sample
            is not finite.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such audio file")
    samples, rate = _decode(path)
    if len(samples) == 0:
        raise ValueError(f"{path}: no samples (zero-length audio)")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError(
            f"{path}: {np.count_nonzero(~np.isfinite(mono))} of {len(mono)} samples are"
            " NaN or infinite"
        )
    resampled = resample(mono, rate)
    if len(resampled) == 0:
        raise ValueError(f"{path}: {len(mono)} samples at {rate} Hz are none at 16 kHz")
    return resampled


def resample(samples: Waveform, rate: int) -> Waveform:
    """Bring samples from ``rate`` Hz to 16 kHz."""
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)


def write_flac(path: Path, samples: Waveform) -> None:
    """Write 16-bit mono FLAC at 16 kHz, under a temporary name and then renamed.

    Args:
        path: of the file.
        samples: between -1 and 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    soundfile.write(partial, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    partial.replace(path)


def _decode(path: Path) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            promised, rate = file.frames, file.samplerate
    except soundfile.LibsndfileError as error:
        return _decode_with_ffmpeg(path, str(error))
    if len(samples) < promised:
        raise ValueError(
            f"{path}: cut short: {len(samples)} of {promised} samples can be decoded"
        )
    return samples, rate


def _decode_with_ffmpeg(
    path: Path, reason: str
) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp")
            blocks = [
                block.to_ndarray()
                for frame in container.decode(stream)
                for block in to_float.resample(frame)
            ]
            rate = stream.rate
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(
            f"{path}: cannot be decoded, neither by libsndfile ({reason}) nor by FFmpeg"
            f" ({error})"
        ) from error
    if not blocks:
        raise ValueError(f"{path}: no samples (zero-length audio)")
    return np.concatenate(blocks, axis=1).T, rate
