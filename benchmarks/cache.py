"""How fast the cache is written and read, as ratios within one run.

    python benchmarks/cache.py [--gigabytes 1.0] [--folder /where/the/disk/is]

The content is random, the shape that of a base encoder (13 x 768), crops are of 3 s.
Cold reading needs root, to drop the page cache; without, those lines are left out.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
import zarr

from unipool.cache import PartWriter, fingerprint, open_cache, write_receipt

LAYERS, SIZE = 13, 768
FRAMES_OF_UTTERANCE = 400
FRAMES_OF_CROP = 149
NUM_CROPS = 300


def seconds(
    action: Callable[[], object], *, cold: bool = False, times: int = 3
) -> float:
    """Give the shortest of several runs."""
    best = float("inf")
    for _ in range(times):
        if cold:
            drop_page_cache()
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return best


def drop_page_cache() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def write(folder: Path, states: np.ndarray, rows: pd.DataFrame) -> None:
    part = folder / "part-000-of-001"
    shutil.rmtree(part.with_suffix(".zarr"), ignore_errors=True)
    writer = PartWriter(
        part.with_suffix(".zarr"),
        utterances=rows["utterance"].tolist(),
        num_frames=np.full(len(rows), FRAMES_OF_UTTERANCE),
        num_layers=LAYERS,
        hidden_size=SIZE,
        frame_shift=0.02,
        fingerprint=fingerprint(backbone_sha256="", view="full", rows=rows),
    )
    for i in range(len(rows)):
        writer.append(states[i * FRAMES_OF_UTTERANCE :][:FRAMES_OF_UTTERANCE])
    writer.finish(device="cpu")
    write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gigabytes", type=float, default=1.0)
    arguments.add_argument("--folder", type=Path, default=None)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.gigabytes)


def measure(folder: Path, gigabytes: float) -> None:
    of_utterance = FRAMES_OF_UTTERANCE * LAYERS * SIZE * 2
    count = max(int(gigabytes * 1e9 / of_utterance), 2)
    total = count * FRAMES_OF_UTTERANCE
    generator = np.random.default_rng(0)
    states = np.empty((total, LAYERS, SIZE), np.float16)
    for i in range(count):
        part = generator.standard_normal(
            (FRAMES_OF_UTTERANCE, LAYERS, SIZE), np.float32
        )
        states[i * FRAMES_OF_UTTERANCE :][:FRAMES_OF_UTTERANCE] = part
    rows = pd.DataFrame({"utterance": [f"u{i}" for i in range(count)], "seconds": 8.0})
    print(f"{states.nbytes / 1e9:.2f} GB, {count} utterances of 8 s")

    plain = folder / "plain"
    sequential = seconds(lambda: (states.tofile(plain), os.sync()))
    ours = seconds(lambda: (write(folder, states, rows), os.sync()))
    report("writing, against a plain file", sequential / ours)

    places = [
        (int(generator.integers(count)), int(start))
        for start in generator.integers(
            FRAMES_OF_UTTERANCE - FRAMES_OF_CROP, size=NUM_CROPS
        )
    ]

    def crops(read: Callable[[int, int], np.ndarray]) -> Callable[[], None]:
        def read_all() -> None:
            for index, start in places:
                np.array(read(index, start))

        return read_all

    mapped = np.memmap(plain, np.float16, mode="r", shape=states.shape)
    group = zarr.open_group(folder / "part-000-of-001.zarr", mode="r")
    with h5py.File(folder / "all.h5", "w") as file:
        file["states"] = states
    for i in range(count):
        one = torch.from_numpy(states[i * FRAMES_OF_UTTERANCE :][:FRAMES_OF_UTTERANCE])
        torch.save(one.clone(), folder / f"u{i}.pt")

    def of_plain(index: int, start: int) -> np.ndarray:
        begin = index * FRAMES_OF_UTTERANCE + start
        return mapped[begin : begin + FRAMES_OF_CROP]

    def of_zarr(index: int, start: int) -> np.ndarray:
        begin = index * FRAMES_OF_UTTERANCE + start
        return np.asarray(group["hidden_states"][begin : begin + FRAMES_OF_CROP])

    def of_pt(index: int, start: int) -> np.ndarray:
        whole = torch.load(folder / f"u{index}.pt", weights_only=True)
        return whole[start : start + FRAMES_OF_CROP].numpy()

    def open_again() -> Callable[[int, int], np.ndarray]:
        cache = open_cache(folder, [rows], backbone_sha256="", view="full")
        return lambda index, start: cache.read(index, start, start + FRAMES_OF_CROP)

    with h5py.File(folder / "all.h5", "r") as file:

        def of_h5(index: int, start: int) -> np.ndarray:
            begin = index * FRAMES_OF_UTTERANCE + start
            return file["states"][begin : begin + FRAMES_OF_CROP]

        kept = open_again()
        warm = seconds(crops(kept))
        first = seconds(lambda: crops(open_again())(), times=1)
        report("crops, warm, against a memory map", seconds(crops(of_plain)) / warm)
        report("crops, warm and each checked, against that", warm / first)
        report("crops, warm, against zarr-python", seconds(crops(of_zarr)) / warm)
        report("crops, warm, against h5py", seconds(crops(of_h5)) / warm)
        report("crops, warm, against a .pt file each", seconds(crops(of_pt)) / warm)

    def load() -> None:
        open_cache(folder, [rows], backbone_sha256="", view="full").load()

    def read_plain() -> None:
        np.fromfile(plain, np.float16)

    report(
        "loading a split, warm, against np.fromfile",
        seconds(read_plain) / seconds(load),
    )
    if os.access("/proc/sys/vm/drop_caches", os.W_OK):
        blocks = ["dd", f"if={plain}", "of=/dev/null", "bs=4M", "status=none"]
        dd = seconds(lambda: subprocess.run(blocks, check=True), cold=True)
        loading = seconds(load, cold=True)
        report("loading a split, cold, against dd", dd / loading)
        share = NUM_CROPS * FRAMES_OF_CROP / total
        cold = seconds(lambda: crops(open_again())(), cold=True)
        report("crops, cold, against dd of as many bytes", share * dd / cold)


def report(name: str, ratio: float) -> None:
    print(f"{name:45} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
