"""All parts of a split, read as one."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float16

from unipool.cache.part import (
    Part,
    fingerprint,
    open_part,
    part_name,
    way_out,
)


class Cache:
    """All parts of one (backbone, corpus, split, view), read as one.

    Attributes:
        utterances: ids, in manifest order.
        num_frames: of each utterance.
        num_layers: hidden states of the backbone, layer 0 included.
        hidden_size: channels of one hidden state.
        frame_shift: seconds between two frames.
        num_bytes: of all hidden states together.
        extract_seconds: what it took to encode them.
        fingerprints: of the parts.
    """

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts
        self._loaded: list[Float16[np.ndarray, "L _ D"]] = []
        self._offsets = [part.offsets for part in parts]
        self.utterances = [name for part in parts for name in part.utterances]
        self.num_frames = np.concatenate([np.diff(part.offsets) for part in parts])
        counts = [len(part.utterances) for part in parts]
        self._part_of = np.repeat(np.arange(len(parts)), counts)
        self._row_of = np.concatenate([np.arange(count) for count in counts])
        self.num_layers, self.hidden_size = parts[0].states.shape[1:]
        self.frame_shift = parts[0].facts["frame_shift"]
        self.num_bytes = sum(part.facts["bytes"] for part in parts)
        self.extract_seconds = sum(part.facts["extract_seconds"] for part in parts)
        self.fingerprints = [part.facts["fingerprint"] for part in parts]

    def read(
        self, index: int, start: int = 0, stop: int | None = None
    ) -> Float16[np.ndarray, "L T D"]:
        """Read frames ``start`` to ``stop - 1`` of an utterance, by default all.

        Raises:
            ValueError: when a chunk is not as it was written.
        """
        part, row = self._part_of[index], self._row_of[index]
        first, end = self._offsets[part][row : row + 2]
        last = end if stop is None else min(first + stop, end)
        if self._loaded:
            return self._loaded[part][:, first + start : last]
        return _read_frames(self._parts[part], int(first + start), int(last))

    def load(self) -> None:
        """Read everything into memory, from where it is served from now on.

        Raises:
            ValueError: see ``read``.
        """
        self._loaded = [
            _read_frames(part, 0, part.states.shape[0]) for part in self._parts
        ]


def _read_frames(part: Part, first: int, last: int) -> Float16[np.ndarray, "L T D"]:
    try:
        return part.states.read(first, last)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{part.receipt.with_suffix('.zarr')}: frames {first} to {last - 1} cannot"
            f" be read ({error}); {way_out(part.receipt)}"
        ) from error


def open_cache(
    folder: Path, rows_of_parts: list[pd.DataFrame], *, backbone_sha256: str, view: str
) -> Cache:
    """Open the parts of a split, after checking that they are what is expected.

    Args:
        folder: ``{cache_dir}/{backbone}/{corpus}/{split}/{view}``.
        rows_of_parts: for each part its rows of the manifest.
        backbone_sha256: see ``fingerprint``.
        view: see ``fingerprint``.

    Raises:
        FileNotFoundError: when a part or a file of it is missing.
        ValueError: when a part is of another backbone, manifest or format version.
    """
    parts = []
    for part, rows in enumerate(rows_of_parts):
        receipt = folder / f"{part_name(part, len(rows_of_parts))}.json"
        expected = fingerprint(backbone_sha256=backbone_sha256, view=view, rows=rows)
        parts.append(open_part(receipt, expected))
    return Cache(parts)
