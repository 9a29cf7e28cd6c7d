"""All shards of one part, read as one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import zarr

from unipool.cache.layout import layout_of, paired
from unipool.cache.shard import Runs, Shard


class Shards:
    """All hidden states of a part, each shard mapped when it is first needed.

    What was only opened, or pickled, holds no file; it may go to another process.

    Args:
        store: folder of the Zarr group.
        states: its array ``hidden_states``.

    Attributes:
        num_frames: of all shards.
        layout: of each.
    """

    def __init__(self, store: Path, states: zarr.Array) -> None:
        self._store = store
        self.num_frames = states.shape[0]
        self.layout = layout_of(states)
        self._opened: dict[int, Shard] = {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": {}}

    def __len__(self) -> int:
        return -(-self.num_frames // self.layout.shard_frames)

    def load(self, device: torch.device) -> None:
        """Read all shards, each checked, into the memory of a device.

        Raises:
            ValueError, OSError: see ``read``.
        """

        def load_one(number: int) -> None:
            shard = self._open(number)
            shard.load(device)
            self._opened[number] = shard

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(load_one, range(len(self))))

    def unload(self) -> None:
        """Have it in files alone again."""
        self._opened.clear()

    def check(self, number: int) -> None:
        """Hold all of a shard against its checksums.

        Raises:
            ValueError, OSError: see ``read``.
        """
        self._open(number).check_all()

    def count_whole(self) -> int:
        """Count the shards before the first that is missing or damaged."""
        for number in range(len(self)):
            try:
                self.check(number)
            except (OSError, ValueError):
                return number
        return len(self)

    def announce(self, first: int, last: int, runs: Runs, *, again: bool) -> bool:
        """Have the system fetch frames ``first`` to ``last - 1`` from the disk.

        Args:
            first: frame of the part.
            last: the one behind the last.
            runs: layers, of those that are stored.
            again: also what was read before.

        Returns:
            Whether some of it was not read before.
        """
        size, in_shard = self.layout.chunk_frames, self.layout.chunks_in_shard
        begin, end = first // size, -(-last // size)
        new = False
        for number in range(begin // in_shard, -(-end // in_shard)):
            start = max(begin - number * in_shard, 0)
            stop = min(end - number * in_shard, in_shard)
            new |= self._shard(number).announce(start, stop, runs, again=again)
        return new

    def read(self, first: int, runs: Runs, values: Any, scales: Any) -> None:
        """Copy frames from ``first`` on.

        Args:
            first: frame of the part.
            runs: layers, of those that are stored.
            values: (L, T, D), takes so many frames; an array, or a tensor on the GPU
                that the shards were loaded to.
            scales: (L, blocks, D), takes those of int8 for each block touched.

        Raises:
            ValueError: when a chunk of them is not as it was written.
            OSError: when a file is not there.
        """
        in_shard, in_block = self.layout.shard_frames, self.layout.block_frames
        size, last = self.layout.chunk_frames, first + values.shape[1]
        for number in range(first // in_shard, -(-last // in_shard)):
            shard, before = self._shard(number), number * in_shard
            begin, end = max(first - before, 0), min(last - before, in_shard)
            shard.check(begin // size, -(-end // size), runs)
            here = slice(before + begin - first, before + end - first)
            blocks = slice(begin // in_block, -(-end // in_block))
            to = before // in_block + blocks.start - first // in_block
            for where, layers in runs:
                for source, target in paired(
                    shard.chunks[:, layers], values[where, here], begin
                ):
                    target[:] = source
                if scales is not None:
                    some = shard.scales[blocks, layers].swapaxes(0, 1)
                    scales[where, to : to + some.shape[1]] = some

    def _shard(self, number: int) -> Shard:
        if number not in self._opened:
            self._opened[number] = self._open(number)
        return self._opened[number]

    def _open(self, number: int) -> Shard:
        frames = self.num_frames - number * self.layout.shard_frames
        num_chunks = -(
            -min(frames, self.layout.shard_frames) // self.layout.chunk_frames
        )
        return Shard(self._store, number, self.layout, num_chunks)
