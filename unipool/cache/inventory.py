"""What stands in a cache folder, whatever it was made for."""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from unipool.cache.part import open_part, read_receipt

NAME = re.compile(r"part-(\d+)-of-(\d+)\.(json|zarr)")


class FoundSet(NamedTuple):
    """The parts of one view, of one division into parts.

    Attributes:
        folder: where they are.
        num_parts: that it was divided into.
        receipts: of the parts that are finished.
        unfinished: stores without a receipt.
        facts: of the receipts, those that can be read.
        num_bytes: of all files.
    """

    folder: Path
    num_parts: int
    receipts: list[Path]
    unfinished: list[Path]
    facts: list[dict[str, Any]]
    num_bytes: int


def find_sets(cache_dir: Path) -> list[FoundSet]:
    """Find all parts below ``{cache_dir}/{backbone}/{corpus}/{split}/{view}``."""
    found: dict[tuple[Path, int], set[Path]] = {}
    for path in sorted(cache_dir.glob("*/*/*/*/part-*")):
        if match := NAME.fullmatch(path.name):
            key = (path.parent, int(match[2]))
            found.setdefault(key, set()).add(path.with_suffix(""))
    sets = []
    for (folder, num_parts), parts in found.items():
        receipts = [part.with_suffix(".json") for part in sorted(parts)]
        finished = [receipt for receipt in receipts if receipt.exists()]
        stores = [part.with_suffix(".zarr") for part in sorted(parts)]
        sets.append(
            FoundSet(
                folder,
                num_parts,
                finished,
                [s for s in stores if not s.with_suffix(".json").exists()],
                [facts for receipt in finished if (facts := _facts(receipt))],
                sum(
                    file.stat().st_size
                    for store in stores
                    for file in store.rglob("*")
                    if file.is_file()
                ),
            )
        )
    return sets


def _facts(receipt: Path) -> dict[str, Any] | None:
    try:
        return read_receipt(receipt)
    except (OSError, ValueError):
        return None


def damage_of(receipt: Path) -> str | None:
    """Read a part to its end, and say what is wrong with it and what mends it."""
    try:
        part = open_part(receipt, read_receipt(receipt)["fingerprint"])
        for number in range(len(part.shards)):
            part.shards.check(number)
    except (OSError, ValueError) as error:
        command = f"snakemake --cores all --force {receipt}"
        return str(error) if command in str(error) else f"{receipt}: {error}; {command}"
    return None


def remove_part(receipt: Path) -> None:
    """Remove a part, its receipt first, so that it is never taken for whole."""
    receipt.unlink(missing_ok=True)
    shutil.rmtree(receipt.with_suffix(".zarr"), ignore_errors=True)
    receipt.with_suffix(".lock").unlink(missing_ok=True)
