"""How fast training crops of the waveform come from the cache, as ratios in one run.

    python benchmarks/waveform.py [--minutes 30] [--folder /where/the/disk/is]

Speech-like noise of 8 s utterances at 16 kHz; crops of 3 s, in batches of 32, all from
files that the system has in memory. Rivals decode the same places of audio files: as
usual loaders do, with a seek; and whole utterances, as loaders without seeking do.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from unipool.batches import CropSampler
from unipool.cache import (
    Cache,
    Content,
    PartSet,
    PartWriter,
    fingerprint,
    open_cache,
    write_receipt,
)

RATE, FRAME = 16_000, 160
SECONDS, CROP_SECONDS = 8, 3
BATCH, NUM_BATCHES, TIMES = 32, 20, 5


def noise(utterance: int) -> np.ndarray:
    """Low noise louder than high, as in speech, so that FLAC has something to do."""
    generator = np.random.default_rng(utterance)
    white = generator.standard_normal(SECONDS * RATE)
    slow = np.convolve(white, np.hanning(16) / 8, mode="same")
    return (0.1 * slow).clip(-1, 1).astype(np.float32)


def write_all(folder: Path, count: int) -> Cache:
    """Write the utterances in each format; open the cache."""
    names = [f"u{i}" for i in range(count)]
    rows = pd.DataFrame({"utterance": names, "seconds": float(SECONDS)})
    frames = SECONDS * RATE // FRAME
    part = folder / "cache" / "part-000-of-001"
    part.parent.mkdir()
    content = Content(
        utterances=names,
        num_frames=np.full(count, frames),
        layers=[0],
        hidden_size=FRAME,
        frame_shift=FRAME / RATE,
        dtype="float16",
        fingerprint=fingerprint(backbone_sha256="", view={}, rows=rows),
    )
    with PartWriter(part.with_suffix(".zarr"), content) as writer:
        for i, name in enumerate(names):
            samples = noise(i)
            for suffix in ("wav", "flac"):
                soundfile.write(folder / f"{name}.{suffix}", samples, RATE)
            writer.append(torch.from_numpy(samples).view(1, frames, FRAME).half())
        writer.finish(device="cpu")
    write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))
    return open_cache([PartSet(part.parent, {}, [rows])], backbone_sha256="")


def decoding(
    folder: Path, suffix: str, sampler: CropSampler, *, whole: bool
) -> Callable[[], None]:
    """Read the same crops from audio files."""
    length = CROP_SECONDS * RATE
    batch = np.zeros((BATCH, length), np.float32)

    def read() -> None:
        for step in range(NUM_BATCHES):
            for i, (row, frame) in enumerate(zip(*sampler.places(step), strict=True)):
                path, start = folder / f"u{row}.{suffix}", int(frame) * FRAME
                if whole:
                    samples, _ = soundfile.read(path, dtype="float32")
                    batch[i] = samples[start : start + length]
                else:
                    soundfile.read(path, length, start, out=batch[i], dtype="float32")

    return read


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--folder", type=Path, default=None)
    options = arguments.parse_args()
    count = max(2, round(options.minutes * 60 / SECONDS))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        cache = write_all(folder, count)
        sampler = CropSampler(
            cache,
            np.zeros(count, np.int64),
            batch_size=BATCH,
            crop_frames=CROP_SECONDS * RATE // FRAME,
            seed=0,
        )
        out = sampler.batch(0).hidden_states
        cpu = torch.device("cpu")

        def ours() -> None:
            for step in range(NUM_BATCHES):
                sampler.batch(step, out=out).hidden_states.to(cpu)

        rivals = {
            "WAV files, with a seek": decoding(folder, "wav", sampler, whole=False),
            "FLAC files, with a seek": decoding(folder, "flac", sampler, whole=False),
            "FLAC files, whole": decoding(folder, "flac", sampler, whole=True),
        }
        lasted: dict[str, list[float]] = {what: [] for what in ("ours", *rivals)}
        for _ in range(TIMES):
            for what, read in {"ours": ours, **rivals}.items():
                started = time.perf_counter()
                read()
                lasted[what].append(time.perf_counter() - started)
        best = {what: min(seconds) for what, seconds in lasted.items()}
        of_audio = BATCH * NUM_BATCHES * CROP_SECONDS
        print(
            f"crops of the waveform: {of_audio / best['ours']:.0f} s of audio a second"
        )
        for what in rivals:
            print(f"against {what:30} {best[what] / best['ours']:6.2f}")


if __name__ == "__main__":
    main()
