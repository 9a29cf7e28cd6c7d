"""Audio from any file as mono float32 samples at 16 kHz.

soundfile reads WAV, FLAC, Ogg and MP3; PyAV what it cannot (m4a and others that FFmpeg
knows). Channels are averaged before resampling (soxr, high quality).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.audio.stream import AudioStream
from av.container import InputContainer
from jaxtyping import Float32

SAMPLE_RATE = 16_000
"""Of every encoder that unipool knows, in Hz."""

SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".mp3", ".m4a"),
    *(".opus", ".aac", ".aif", ".aiff", ".au", ".webm", ".wma"),
)
"""Of files that are taken for audio where nothing but a folder is named."""

BLOCK = 2**20
"""Samples that are decoded at once."""

MOST_SAMPLES = 2**48
"""That a header is believed."""

SLACK_SECONDS = 0.1
"""A decoder may give so much less than the container says: its first and last frame."""

Waveform = Float32[np.ndarray, "_"]
"""Mono samples; of any number, also among others in one list."""


def read_audio(path: Path) -> Waveform:
    """Decode a file, block by block, so that an hour of any format takes 230 MB.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be decoded to its end, has no samples, or a sample
            is not finite.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such audio file")
    try:
        with soundfile.SoundFile(path) as file:
            return _to_16_khz(path, _decode(path, file), file.samplerate)
    except soundfile.LibsndfileError as error:
        return _decode_with_ffmpeg(path, str(error))


def count_samples(path: Path) -> int:
    """Count the samples that ``read_audio`` gives, from the header, without decoding.

    The last sample of FLAC is decoded, so that a file that was cut short is found; WAV
    and Ogg tell no more than what is there. MP3, whose header need not be true, and
    containers without a duration are decoded after all.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no audio, has no samples, or ends early.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such audio file")
    try:
        with soundfile.SoundFile(path) as file:
            if file.format == "MP3":
                return len(_to_16_khz(path, _decode(path, file), file.samplerate))
            if file.format == "FLAC" and 0 < file.frames <= MOST_SAMPLES:
                _read_last(path, file)
            num_samples, rate = file.frames, file.samplerate
            if num_samples > MOST_SAMPLES:  # a stream's header does not say
                return len(read_audio(path))
    except soundfile.LibsndfileError as error:
        with _opened_with_ffmpeg(path, str(error)) as container:
            stream = container.streams.audio[0]
            stated, rate = _stated_samples(stream), stream.rate
        if stated is None:
            return len(read_audio(path))
        num_samples = stated
    if num_samples == 0:
        raise ValueError(f"{path}: no samples (zero-length audio)")
    resampled = (2 * num_samples * SAMPLE_RATE + rate) // (2 * rate)
    if resampled == 0:
        raise ValueError(
            f"{path}: {num_samples} samples at {rate} Hz are none at 16 kHz"
        )
    return resampled


def _read_last(path: Path, file: soundfile.SoundFile) -> None:
    try:
        file.seek(file.frames - 1)
        whole = len(file.read(1)) == 1
    except soundfile.LibsndfileError:
        whole = False
    if not whole:
        raise ValueError(
            f"{path}: cut short: the last of {file.frames} samples cannot be decoded"
        )


def resample(samples: Waveform, rate: float) -> Waveform:
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


Block = Float32[np.ndarray, "samples channels"]


def _to_16_khz(path: Path, blocks: Iterator[Block], rate: int) -> Waveform:
    """Average channels and resample."""
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    resampled, num_samples, num_finite = [], 0, 0
    for block in blocks:
        mono = block.mean(axis=1)
        num_samples += len(mono)
        num_finite += int(np.count_nonzero(np.isfinite(mono)))
        resampled.append(mono if rate == SAMPLE_RATE else stream.resample_chunk(mono))
    if num_samples == 0:
        raise ValueError(f"{path}: no samples (zero-length audio)")
    if num_finite < num_samples:
        raise ValueError(
            f"{path}: {num_samples - num_finite} of {num_samples} samples are NaN or"
            " infinite"
        )
    if rate != SAMPLE_RATE:
        resampled.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    whole = np.concatenate(resampled)
    if len(whole) == 0:
        raise ValueError(
            f"{path}: {num_samples} samples at {rate} Hz are none at 16 kHz"
        )
    return whole


def _decode(path: Path, file: soundfile.SoundFile) -> Iterator[Block]:
    decoded = 0
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        decoded += len(block)
        yield block
    if decoded < file.frames:
        raise ValueError(
            f"{path}: cut short: {decoded} of {file.frames} samples can be decoded"
        )


@contextmanager
def _opened_with_ffmpeg(path: Path, reason: str) -> Iterator[InputContainer]:
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(
            f"{path}: cannot be decoded, neither by libsndfile ({reason}) nor by FFmpeg"
            f" ({error})"
        ) from error


def _stated_samples(stream: AudioStream) -> int | None:
    """Give the duration that the container states, without the codec's padding."""
    if stream.duration is None or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * stream.rate)


def _decode_with_ffmpeg(path: Path, reason: str) -> Waveform:
    with _opened_with_ffmpeg(path, reason) as container:
        stream = container.streams.audio[0]
        blocks = _frames(container)
        stated = _stated_samples(stream)
        if stated is not None:
            blocks = _fit(path, blocks, stated, stream.rate)
        return _to_16_khz(path, blocks, stream.rate)


def _frames(container: InputContainer) -> Iterator[Block]:
    to_float = av.AudioResampler(format="fltp")
    for frame in container.decode(audio=0):
        for block in to_float.resample(frame):
            yield block.to_ndarray().T


def _fit(
    path: Path, blocks: Iterator[Block], stated: int, rate: int
) -> Iterator[Block]:
    """Cut what the codec padded; append the zeros of a frame that it did not give."""
    left = stated
    for block in blocks:
        if left:
            yield block[:left]
            left -= len(block[:left])
    if left > SLACK_SECONDS * rate:
        raise ValueError(
            f"{path}: cut short: {stated - left} of {stated} samples can be decoded"
        )
    if left:
        yield np.zeros((left, 1), np.float32)
