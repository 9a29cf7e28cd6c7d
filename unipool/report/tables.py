"""The tables of the page, as the page's script takes them.

A table has ``columns`` and ``rows``. A column has a ``title``, a ``kind`` (``text``,
``percent``, ``rate``, ``fine`` (a rate of five decimals), ``number``, ``seconds``,
``bytes``, ``p``) and, where the reader may show and hide it, the ``group`` it is hidden
with. A cell is a text, a number or, with an interval, a list: value, low, high, and the
standard deviation over seeds.
"""

import math
from typing import Any

import pandas as pd

from unipool.report.grid import Grid
from unipool.report.names import COSTS, PARTS, is_percent, metric_title, num_decimals

Table = dict[str, Any]

MAIN = 3
"""So many metrics are seen before the reader asks for the others."""
SAME = "what is the same in all rows"
MORE = "more metrics"
OF_COSTS = "costs"
ORIGIN = "counts and commits"


def systems_table(grid: Grid) -> Table:
    """Give a row for each system."""
    rows = grid.systems
    columns = [
        *_names(rows, ["trials", *PARTS]),
        _column("Seeds", "number", ORIGIN, rows["num_seeds"]),
        *_metrics(rows, grid),
        *_costs(rows, grid),
    ]
    return _table(columns)


def cells_table(grid: Grid) -> Table:
    """Give a row for each cell."""
    rows = grid.cells.sort_values(["trials", grid.metrics[0]], kind="stable")
    columns = [
        *_names(rows, ["trials", *PARTS]),
        _column("Seed", "text", None, rows["seed"].astype(str)),
        *_metrics(rows, grid),
        *_costs(rows, grid),
        *(
            _column(title, "number", ORIGIN, rows[name])
            for name, title in (
                ("num_trials", "Trials"),
                ("num_targets", "Targets"),
                ("num_speakers", "Speakers"),
            )
            if name in rows
        ),
        _column("Commit", "text", ORIGIN, rows["git_commit"].fillna("")),
    ]
    return _table(columns)


def comparisons_table(pairs: pd.DataFrame) -> Table:
    """Give a row for each two systems, the better one first."""
    lower_first = pairs["lower"] == pairs["first"]
    other = pairs["second"].where(lower_first, pairs["first"])
    turn = lower_first.map({True: 1.0, False: -1.0})
    ends = [turn * pairs["low"], turn * pairs["high"]]
    intervals = [
        [value, min(two), max(two)]
        for value, *two in zip(turn * pairs["difference"], *ends, strict=True)
    ]
    real = (pairs["p"] < 0.05).map({True: "yes", False: "no"})
    real = real.where(pairs["p"].notna(), "not tested")
    return _table(
        [
            *_names(pairs, ["trials"]),
            _column("Metric", "text", None, pairs["title"]),
            _column("Lower error", "text", None, pairs["lower"]),
            _column("Than", "text", None, other),
            _column("By", "difference", None, intervals),
            _column("Corrected p", "p", None, pairs["p"]),
            _column("A real difference", "text", None, real),
        ]
    )


def conditions_table(conditions: pd.DataFrame) -> Table:
    """Give a row for each system on the trials of each value of a condition."""
    keys = ["trials", "condition", "part", "system", "num_trials"]
    rows = conditions.drop_duplicates(keys)[keys]
    columns = [
        *_names(rows, ["trials"]),
        _column("Condition", "text", None, rows["condition"]),
        _column("Value", "text", None, rows["part"]),
        _column("System", "text", None, rows["system"]),
        _column("Trials", "number", None, rows["num_trials"]),
    ]
    for metric in dict.fromkeys(conditions["metric"]):
        of_metric = conditions[conditions["metric"] == metric].set_index(keys)
        found = of_metric.loc[list(rows.itertuples(index=False, name=None))]
        cells = found[["value", "low", "high"]].to_numpy(float).tolist()
        columns.append(_column(metric_title(metric), _kind(metric), None, cells))
    return _table(columns)


def _names(rows: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    titles = {"trials": "Trial list", **PARTS}
    return [
        _column(
            titles[name],
            "text",
            SAME if len(names) > 1 and rows[name].nunique() == 1 else None,
            rows[name].astype(str),
        )
        for name in names
    ]


def _metrics(rows: pd.DataFrame, grid: Grid) -> list[dict[str, Any]]:
    columns = []
    for place, metric in enumerate(grid.metrics):
        ends = ["", "_low", "_high", "_std"]
        ends = [metric + end for end in ends if metric + end in rows]
        scale = 100 if is_percent(metric) else 1
        cells = (scale * rows[ends].astype(float)).to_numpy().tolist()
        group = None if place < MAIN else MORE
        columns.append(_column(metric_title(metric), _kind(metric), group, cells))
    return columns


def _costs(rows: pd.DataFrame, grid: Grid) -> list[dict[str, Any]]:
    kinds = {"bytes": "bytes", "parameters": "number"}
    return [
        _column(
            COSTS[name].removesuffix(", seconds").removesuffix(", bytes"),
            kinds.get(name.rpartition("_")[2], "seconds"),
            OF_COSTS,
            rows[name].astype(float),
        )
        for name in grid.costs
    ]


def _kind(metric: str) -> str:
    if is_percent(metric):
        return "percent"
    return "fine" if num_decimals(metric) > 3 else "rate"


def _column(title: str, kind: str, group: str | None, cells: Any) -> dict[str, Any]:
    return {"title": title, "kind": kind, "group": group, "cells": list(cells)}


def _table(columns: list[dict[str, Any]]) -> Table:
    cells = [[_known(cell) for cell in column.pop("cells")] for column in columns]
    return {"columns": columns, "rows": [list(row) for row in zip(*cells, strict=True)]}


def _known(cell: Any) -> Any:
    """Put None for what is no number, and leave out digits that nobody reads."""
    if isinstance(cell, list):
        return [_known(value) for value in cell]
    if isinstance(cell, float):
        return float(f"{cell:.6g}") if math.isfinite(cell) else None
    return cell.item() if hasattr(cell, "item") else cell
