"""The same hidden states in every format, and the same places to read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from unipool.batches import CropSampler
from unipool.cache import (
    Cache,
    Content,
    HiddenStates,
    PartSet,
    PartWriter,
    fingerprint,
    open_cache,
    write_receipt,
)

LAYERS, SIZE = 13, 768
FRAMES_OF_UTTERANCE = 400
FRAMES_OF_CROP = 149
BATCH, NUM_BATCHES = 32, 10

Read = Callable[[int, int, np.ndarray], None]
"""Of an utterance, from a frame on, into (T, L, D)."""


class Stage:
    """The same states in every format, and the same places to read.

    Args:
        folder: where the files go.
        gigabytes: of states in float16.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        of_utterance = FRAMES_OF_UTTERANCE * LAYERS * SIZE * 2
        self.count = max(int(gigabytes * 1e9 / of_utterance), 2)
        self.folder = folder
        generator = np.random.default_rng(0)
        shape = (FRAMES_OF_UTTERANCE, LAYERS, SIZE)
        self.states = np.empty((self.count * shape[0], *shape[1:]), np.float16)
        for i in range(self.count):
            self.of(i)[:] = generator.standard_normal(shape, np.float32)
        names = [f"u{i}" for i in range(self.count)]
        self.rows = pd.DataFrame({"utterance": names, "seconds": 8.0})
        self.plain = folder / "plain"
        print(f"{self.states.nbytes / 1e9:.2f} GB, {self.count} utterances of 8 s")

    def of(self, utterance: int) -> np.ndarray:
        return self.states[utterance * FRAMES_OF_UTTERANCE :][:FRAMES_OF_UTTERANCE]

    def write(self, dtype: str = "float16") -> None:
        part = self.folder / dtype / "part-000-of-001"
        part.parent.mkdir(exist_ok=True)
        content = Content(
            utterances=self.rows["utterance"].tolist(),
            num_frames=np.full(self.count, FRAMES_OF_UTTERANCE),
            layers=list(range(LAYERS)),
            hidden_size=SIZE,
            frame_shift=0.02,
            dtype=dtype,
            fingerprint=fingerprint(backbone_sha256="", view={}, rows=self.rows),
        )
        with PartWriter(part.with_suffix(".zarr"), content) as writer:
            for i in range(self.count):
                writer.append(torch.from_numpy(self.of(i)).transpose(0, 1))
            writer.finish(device="cpu")
        write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))

    def write_rivals(self) -> None:
        with h5py.File(self.folder / "all.h5", "w") as file:
            file["states"] = self.states
        for i in range(self.count):
            torch.save(torch.from_numpy(self.of(i)).clone(), self.folder / f"u{i}.pt")

    def open(self, dtype: str = "float16", layers: list[int] | None = None) -> Cache:
        sets = [PartSet(self.folder / dtype, {}, [self.rows])]
        return open_cache(sets, backbone_sha256="", layers=layers)

    def sampler(self, cache: Cache) -> CropSampler:
        return CropSampler(
            cache,
            np.zeros(self.count, np.int64),
            batch_size=BATCH,
            crop_frames=FRAMES_OF_CROP,
            seed=0,
        )

    def crops(self, cache: Cache) -> Callable[[], object]:
        sampler = self.sampler(cache)
        out = sampler.batch(0).hidden_states
        return lambda: self.read(sampler, out)

    def crops_anew(self, layers: list[int] | None = None) -> Callable[[], object]:
        """Read from a cache that was just opened, into memory that is there."""
        out = self.sampler(self.open(layers=layers)).batch(0).hidden_states
        return lambda: self.read(self.sampler(self.open(layers=layers)), out)

    def read(self, sampler: CropSampler, out: HiddenStates) -> None:
        with ThreadPoolExecutor(max_workers=1) as ahead:
            for step in range(NUM_BATCHES):
                ahead.submit(sampler.announce, step + 1)
                sampler.batch(step, out=out)

    def ranges(self) -> list[tuple[Path, int, int]]:
        """Give what is to be read of the files for all crops: file, begin, length."""
        cache = self.open()
        sampler, layout = self.sampler(cache), cache._parts[0].shards.layout
        store = self.folder / "float16" / "part-000-of-001.zarr"
        in_shard, row = layout.shard_frames, layout.num_bytes(1)
        found = []
        for step in range(NUM_BATCHES):
            rows, starts = sampler.places(step)
            for first in rows * FRAMES_OF_UTTERANCE + starts:
                last = first + FRAMES_OF_CROP
                for shard in range(first // in_shard, -(-last // in_shard)):
                    begin = max(first - shard * in_shard, 0) // layout.chunk_frames
                    end = min(last - shard * in_shard, in_shard)
                    length = -(-end // layout.chunk_frames) - begin
                    file = store / "hidden_states" / "c" / str(shard) / "0" / "0"
                    found.append((file, int(begin * row), int(length * row)))
        return found

    def crops_of_rival(self, read: Read) -> Callable[[], None]:
        out = np.zeros((BATCH, FRAMES_OF_CROP, LAYERS, SIZE), np.float16)
        sampler = self.sampler(self.open())

        def read_all() -> None:
            for step in range(NUM_BATCHES):
                for i, place in enumerate(zip(*sampler.places(step), strict=True)):
                    read(*map(int, place), out[i])

        return read_all
