"""How long it takes to look at a corpus, the first time and again.

python benchmarks/prepare.py [--files 200000] [--folder /tmp]

Makes a tree in VoxCeleb's layout of real WAV files whose samples take no room on the
disk, and prepares it by headers: anew, again, and after files were added. Prints the
ratios to only opening and closing each file, side by side in one run.
"""

import argparse
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from unipool.corpora.listing import find_audio
from unipool.prepare import prepare_corpus

RATE = 16_000
PER_SPEAKER, PER_VIDEO = 200, 10


def write_tree(root: Path, first: int, last: int) -> None:
    """Write files ``first`` to ``last - 1``, of 4 to 10 s."""
    generator = np.random.default_rng(first)
    for i, samples in enumerate(
        generator.integers(4 * RATE, 10 * RATE, last - first), start=first
    ):
        speaker, video = i // PER_SPEAKER, i // PER_VIDEO % 20
        folder = root / f"id{10_000 + speaker:05d}" / f"video-{video:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        size = 2 * int(samples)
        with (folder / f"{i % PER_VIDEO:05d}.wav").open("wb") as file:
            file.write(
                struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16)
            )
            file.write(struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
            file.write(struct.pack("<4sI", b"data", size))
            file.truncate(44 + size)
            file.seek(size // 2 + 20)
            file.write(os.urandom(8))  # so that none is the copy of another


def open_each(root: Path) -> float:
    started = time.perf_counter()
    for name in find_audio(root):
        with Path(root, name).open("rb") as file:
            file.read(44)
    return time.perf_counter() - started


def prepare(folder: Path) -> float:
    started = time.perf_counter()
    prepare_corpus(
        kind="folder",
        options={"root": folder / "wav"},
        split={"valid": 0.05, "test": 0.05, "seed": 0},
        speakers=None,
        check="headers",
        bad_audio="error",
        incomplete="error",
        min_seconds=0.025,
        manifest=folder / "utterances.csv",
        excluded=folder / "excluded.csv",
        recordings=folder / "recordings.csv",
        num_workers=os.cpu_count() or 1,
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_tree(folder / "wav", 0, options.files)
        opened = open_each(folder / "wav")
        print(f"{options.files:,} files, opened and closed: {opened:.1f} s")
        first = prepare(folder)
        print(f"prepared, against that                 {first / opened:6.2f}")
        print(f"again, against the first time          {prepare(folder) / first:6.2f}")
        added = options.files + options.files // 100
        write_tree(folder / "wav", options.files, added)
        print(f"with 1 % more, against the first time  {prepare(folder) / first:6.2f}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"the first time, s                      {first:6.1f}")
    print(f"memory at its highest, GB              {memory:6.2f}")


if __name__ == "__main__":
    main()
