"""Put what was measured of all cells of the grid into tables."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unipool.cell import FUSED, KEY, RUN, Cell, read_cell
from unipool.systems import (
    COUNTS,
    OF_SYSTEM,
    average,
    compare_systems,
    systems_of,
)

COSTS = (
    "backend_parameters",
    "extract_seconds",
    "extract_seconds_shared",
    "train_seconds",
    "embed_seconds",
    "score_seconds",
    "cache_bytes",
    "train_memory_bytes",
    "activation_bytes",
)
LEFT_OUT = (
    *("num_targets", "fewest_speakers", "min_cllr", "act_dcf"),
    *("embed_seconds", "score_seconds", "cache_bytes"),
)
"""What the table for reading does without: it is in the others."""
IN_PERCENT = ("eer", "published_eer")


def tabulate(
    *,
    metrics: list[Path],
    table: Path,
    markdown: Path,
    systems: Path,
    comparisons: Path,
    conditions: Path,
) -> None:
    """Write one row for each cell, for each system, each pair, each condition.

    Args:
        metrics: JSON files that ``score`` and ``fuse`` wrote, their draws beside them.
        table: CSV to write: a row for each cell, sorted by its key; error rates are
            fractions. ``git_commit`` is that of the code which trained the run.
        markdown: cells and systems for reading, without some columns: equal error
            rates in percent, intervals in brackets; the best value of each column,
            among the rows of one trial list, in bold.
        systems: CSV: the seeds of each system averaged.
        comparisons: CSV: each two systems of one trial list.
        conditions: CSV: each cell on the trials of each condition.

    Reads: ``metrics``.
    Writes: the others.

    Raises:
        ValueError: when cells of one trial list were measured on other trials.
    """
    cells = sorted(
        (read_cell(path) for path in metrics),
        key=lambda cell: tuple(cell.key[name] for name in KEY),
    )
    rows = _rows(cells)
    found = systems_of(cells)
    averaged = average(found).merge(
        rows.groupby(list(OF_SYSTEM))[list(COSTS)].mean().reset_index(),
        on=list(OF_SYSTEM),
    )
    for path, text in (
        (systems, averaged.to_csv(index=False)),
        (comparisons, compare_systems(found).to_csv(index=False)),
        (conditions, _conditions(cells).to_csv(index=False)),
        (markdown, _markdown(rows, averaged)),
        (table, rows.to_csv(index=False)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)


def _rows(cells: Sequence[Cell]) -> pd.DataFrame:
    """Give a row for each cell."""
    users: defaultdict[str, set[tuple[object, ...]]] = defaultdict(set)
    for cell in cells:
        for cache in cell.caches:
            run = tuple(cell.key[name] for name in RUN)
            users[cache] |= {run} if cell.key["backbone"] != FUSED else set()
    rows = []
    for cell in cells:
        costs = dict.fromkeys(COSTS) | cell.costs
        of_caches = cell.caches.items()
        costs |= {
            "extract_seconds": sum(one["extract_seconds"] for _, one in of_caches),
            "extract_seconds_shared": sum(
                one["extract_seconds"] / max(len(users[name]), 1)
                for name, one in of_caches
            ),
            "cache_bytes": sum(one["bytes"] for _, one in of_caches),
        }
        commit = cell.versions["trained_with"]["git_commit"]
        rows.append({**cell.key, **cell.metrics, **costs, "git_commit": commit})
    return pd.DataFrame(rows)


def _conditions(cells: Sequence[Cell]) -> pd.DataFrame:
    """Give a row for each cell and value of a condition."""
    rows = [{**cell.key, **row} for cell in cells for row in cell.conditions]
    return pd.DataFrame(rows, columns=None if rows else [*KEY, "condition", "value"])


def _markdown(rows: pd.DataFrame, systems: pd.DataFrame) -> str:
    """Write the cells, and, where there are several seeds, the systems."""
    text = _table(rows.drop(columns="git_commit"), key=KEY)
    if (systems["num_seeds"] > 1).any():
        text += "\nMean ± standard deviation over the seeds:\n\n"
        text += _table(systems, key=(*OF_SYSTEM, "num_seeds"))
    return text


def _table(rows: pd.DataFrame, *, key: Sequence[str]) -> str:
    rows = rows[[name for name in rows if not name.startswith(LEFT_OUT)]]
    metrics = [name for name in rows if f"{name}_low" in rows]
    ends = [name + end for name in metrics for end in ("_std", "_low", "_high")]
    cells = rows.drop(columns=[name for name in ends if name in rows]).astype(object)
    for name in cells:
        cells[name] = rows[name].map(lambda value, name=name: _spell(name, value))
    for name in metrics:
        low, high = (
            rows[name + end].map(lambda value, name=name: _spell(name, value))
            for end in ("_low", "_high")
        )
        if f"{name}_std" in rows:
            deviation = rows[f"{name}_std"].map(
                lambda value, name=name: "" if pd.isna(value) else _spell(name, value)
            )
            cells[name] += (" ± " + deviation).where(deviation != "", "")
        cells[name] += " [" + low + ", " + high + "]"
    for name in [*metrics, *(cost for cost in COSTS if cost in rows)]:
        best = rows.groupby("trials")[name].transform("min") == rows[name]
        cells[name] = cells[name].where(~best, "**" + cells[name] + "**")
    percent = [name for name in metrics if name.startswith(IN_PERCENT)]
    header = [f"{name} %" if name in percent else name for name in cells]
    lines = [
        header,
        [":---" if name in key else "---:" for name in cells],
        *cells.to_numpy().tolist(),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _spell(name: str, value: object) -> str:
    if pd.isna(value):
        return "-"
    if not isinstance(value, float):
        return str(value)
    if name.startswith(IN_PERCENT):
        return f"{100 * value:.2f}"
    if name in COSTS or name in COUNTS:
        return f"{value:.1f}" if "_seconds" in name else f"{value:.0f}"
    return f"{value:.3f}"
