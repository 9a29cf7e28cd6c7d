"""How fast the cache is written and read, as ratios within one run.

    python benchmarks/cache.py [--gigabytes 2.6] [--folder /where/the/disk/is]

The content is random, the shape that of a base encoder (13 x 768). Crops are of 3 s, in
batches of 32 that are read into the same memory, as in training; every rival gets the
same. With 2.6 GB or more no utterance is read twice. Cold reading needs root, to drop
the page cache; without, those lines are missing.
"""

import argparse
import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import torch
import zarr
from stage import BATCH, FRAMES_OF_CROP, FRAMES_OF_UTTERANCE, NUM_BATCHES, Stage


def ratio(
    theirs: Callable[[], object],
    ours: Callable[[], object],
    *,
    before: Callable[[], object] = lambda: None,
    times: int = 7,
) -> float:
    """Run both in turn; give by how much ours is faster, the median of the turns.

    Args:
        theirs: the rival.
        ours: the cache.
        before: each run, not timed.
        times: turns.
    """
    ratios = []
    for _ in range(times):
        lasted = []
        for action in (theirs, ours):
            before()
            started = time.perf_counter()
            action()
            lasted.append(time.perf_counter() - started)
        ratios.append(lasted[0] / lasted[1])
    return sorted(ratios)[times // 2]


def drop_page_cache() -> None:
    gc.collect()  # what is still mapped is not dropped
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def nothing(*_: object) -> None:
    """Stand for a function, faster than a mock."""


def measure_writing(stage: Stage) -> None:
    def write_plain() -> None:
        stage.states.tofile(stage.plain)
        os.sync()

    def write(dtype: str) -> Callable[[], None]:
        return lambda: (stage.write(dtype), os.sync())

    def remove() -> None:
        stage.plain.unlink(missing_ok=True)
        for dtype in ("float16", "int8"):
            shutil.rmtree(stage.folder / dtype, ignore_errors=True)
        os.sync()

    for dtype in ("int8", "float16"):
        faster = ratio(write_plain, write(dtype), before=remove)
        report(f"writing {dtype}, against a plain file of float16", faster)
    remove()
    write_plain()
    stage.write("int8")
    stage.write("float16")


def measure_warm(stage: Stage) -> None:
    mapped = np.memmap(stage.plain, np.float16, mode="r", shape=stage.states.shape)
    store = stage.folder / "float16" / "part-000-of-001.zarr"
    array = zarr.open_group(store, mode="r")["hidden_states"]

    def begin(row: int, start: int) -> slice:
        first = row * FRAMES_OF_UTTERANCE + start
        return slice(first, first + FRAMES_OF_CROP)

    def of_plain(row: int, start: int, out: np.ndarray) -> None:
        out[:] = mapped[begin(row, start)]

    def of_zarr(row: int, start: int, out: np.ndarray) -> None:
        out[:] = array[begin(row, start)]

    def of_pt(row: int, start: int, out: np.ndarray) -> None:
        whole = torch.load(stage.folder / f"u{row}.pt", weights_only=True)
        out[:] = whole[start : start + FRAMES_OF_CROP].numpy()

    with h5py.File(stage.folder / "all.h5", "r") as file:
        dataset = file["states"]

        def of_h5(row: int, start: int, out: np.ndarray) -> None:
            dataset.read_direct(out, begin(row, start))

        ours = stage.crops(stage.open())
        for name, rival in (
            ("a memory-mapped array", of_plain),
            ("zarr-python", of_zarr),
            ("h5py", of_h5),
            ("a .pt file for each utterance", of_pt),
        ):
            theirs = stage.crops_of_rival(rival)
            report(f"crops, warm, against {name}", ratio(theirs, ours))
    loaded = stage.open()
    loaded.load(torch.device("cpu"))
    theirs = stage.crops_of_rival(of_plain)
    in_memory = ratio(theirs, stage.crops(loaded))
    report("crops, loaded, against a memory-mapped array", in_memory)
    one = stage.crops(stage.open(layers=[6]))
    report("one layer, warm: share of the time of all", 1 / ratio(ours, one))
    of_int8 = stage.crops(stage.open("int8"))
    report("int8, warm: share of the time of float16", 1 / ratio(ours, of_int8))


def measure_cold(stage: Stage) -> None:
    def dd() -> None:
        blocks = ["dd", f"if={stage.plain}", "of=/dev/null", "bs=4M", "status=none"]
        subprocess.run(blocks, check=True)

    def bare() -> None:
        def read_some(some: list[tuple[Path, int, int]]) -> None:
            memory = bytearray(max(length for _, _, length in some))
            for file, begin, length in some:
                with file.open("rb", buffering=0) as source:
                    source.seek(begin)
                    source.readinto(memoryview(memory)[:length])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read_some, [ranges[i::4] for i in range(4)]))

    def load() -> None:
        stage.open().load(torch.device("cpu"))

    def unchecked(action: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with mock.patch("unipool.cache.shard.check", nothing):
                action()

        return run

    ranges = stage.ranges()
    share = NUM_BATCHES * BATCH * FRAMES_OF_CROP / len(stage.states)
    read = stage.crops_anew()
    against_dd = share * ratio(dd, read, before=drop_page_cache)
    report("crops, cold, against dd of as many bytes", against_dd)
    against_bare = ratio(bare, read, before=drop_page_cache)
    report("crops, cold, against bare reads of their ranges", against_bare)
    report("loading a split, cold, against dd", ratio(dd, load, before=drop_page_cache))
    for name, action in (("crops", read), ("loading a split", load)):
        with_checksums = ratio(unchecked(action), action, before=drop_page_cache)
        report(f"{name}, cold: cost of checksums", 1 - with_checksums)
    one = stage.crops_anew(layers=[6])
    report(
        "one layer, cold: share of the time of all",
        1 / ratio(read, one, before=drop_page_cache),
    )


def report(name: str, ratio: float) -> None:
    print(f"{name:48} {ratio:6.2f}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gigabytes", type=float, default=2.6)
    arguments.add_argument("--folder", type=Path, default=None)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stage = Stage(Path(folder), options.gigabytes)
        measure_writing(stage)
        stage.write_rivals()
        measure_warm(stage)
        if os.access("/proc/sys/vm/drop_caches", os.W_OK):
            measure_cold(stage)


if __name__ == "__main__":
    main()
