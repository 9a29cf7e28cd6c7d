"""Open the parts of a split, each after a check that it is what is expected."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from unipool.cache.part import fingerprint, open_part, part_name
from unipool.cache.reader import Cache


class PartSet(NamedTuple):
    """The parts of one view of a split.

    Args:
        folder: ``{cache_dir}/{backbone}/{corpus}/{split}/{view}``.
        view: what of the audio was encoded, see ``fingerprint``.
        rows_of_parts: for each part, its utterances.
    """

    folder: Path
    view: dict[str, Any]
    rows_of_parts: list[pd.DataFrame]


def open_cache(
    sets: list[PartSet], *, backbone_sha256: str, layers: list[int] | None = None
) -> Cache:
    """Open the parts of a split, after checking that they are what is expected.

    Args:
        sets: all parts of one view each.
        backbone_sha256: see ``fingerprint``.
        layers: see ``Cache``.

    Raises:
        FileNotFoundError: when a part or a file of it is missing.
        ValueError: when a part is of another backbone, manifest or format version.
    """
    parts = []
    for folder, view, rows_of_parts in sets:
        for part, rows in enumerate(rows_of_parts):
            receipt = folder / f"{part_name(part, len(rows_of_parts))}.json"
            expected = fingerprint(
                backbone_sha256=backbone_sha256, view=view, rows=rows
            )
            parts.append(open_part(receipt, expected))
    return Cache(parts, layers)


def is_there(
    folder: Path,
    part: int,
    num_parts: int,
    rows: pd.DataFrame,
    *,
    backbone_sha256: str,
    view: dict[str, Any],
) -> bool:
    """Say whether a part is finished, and of what is expected."""
    expected = fingerprint(backbone_sha256=backbone_sha256, view=view, rows=rows)
    try:
        open_part(folder / f"{part_name(part, num_parts)}.json", expected)
    except (OSError, ValueError):
        return False
    return True
