"""What charts are drawn from, as far as the tables hold it."""

from typing import Any

import pandas as pd

from unipool.report.grid import FEW, Grid
from unipool.report.names import (
    axis_title,
    is_percent,
    metric_title,
    shown,
    spell_cost,
    spell_interval,
)

PAIRED = 20
"""Of so many systems of a trial list all pairs are in the report."""
METRICS_OF_PAIRS = 4
METRICS_OF_CONDITIONS = 3
AS_READ: dict[str, Any] = {"sort": False, "dropna": False}
"""Groups in the order in which they come."""
WHOLE = {"targets": " (with all targets)", "nontargets": " (with all non-targets)"}
"""Behind a value with trials of one class; the other class is then the list's."""


def errors_of(grid: Grid) -> pd.DataFrame:
    """Give the rows of ``error_chart``."""
    seeds = grid.cells.groupby(["trials", "name"])
    places = {key: list(rows) for key, rows in seeds.groups.items()}
    found = []
    for row in grid.systems.itertuples():
        cells = grid.cells.loc[places[row.trials, row.name]]
        for metric in grid.metrics:
            value, low, high = _interval(row, metric)
            each = [shown(metric, one) for one in cells[metric]]
            found.append(
                {
                    **_key(row, metric),
                    "value": shown(metric, value),
                    "low": shown(metric, low),
                    "high": shown(metric, high),
                    "text": spell_interval(metric, value, low, high),
                    "seeds": each if len(each) > 1 else [],
                }
            )
    return pd.DataFrame(found)


def pairs_of(grid: Grid) -> pd.DataFrame:
    """Give the rows of ``difference_chart``, and which of the two is better."""
    pairs = grid.comparisons
    if pairs.empty:
        return pairs
    best = grid.systems[grid.systems["rank"] <= PAIRED]
    rank = {(row.trials, row.name): row.rank for row in best.itertuples()}
    label = dict(zip(best["name"], best["label"], strict=True))
    found = []
    for row in pairs[
        pairs["metric"].isin(grid.metrics[:METRICS_OF_PAIRS])
    ].itertuples():
        one, other = (name.replace("@full/", "/") for name in (row.first, row.second))
        if (row.trials, one) not in rank or (row.trials, other) not in rank:
            continue
        # The better system of the trial list stands first.
        scale = 100 if is_percent(row.metric) else 1
        ends = [scale * end for end in (row.difference, row.low, row.high)]
        if rank[row.trials, one] > rank[row.trials, other]:
            one, other = other, one
            ends = [-ends[0], -ends[2], -ends[1]]
        found.append(
            {
                "trials": row.trials,
                "metric": row.metric,
                "title": axis_title(row.metric),
                "first": label[one],
                "second": label[other],
                **dict(zip(("difference", "low", "high"), ends, strict=True)),
                "p": row.p_corrected,
                "rank": rank[row.trials, one],
                "rank_of_second": rank[row.trials, other],
                "lower": label[other] if ends[0] < 0 else label[one],
            }
        )
    if not found:
        return pd.DataFrame()
    places = {name: place for place, name in enumerate([*grid.lists, *grid.metrics])}
    return pd.DataFrame(found).sort_values(
        ["trials", "metric", "rank", "rank_of_second"],
        key=lambda column: column.map(places) if column.dtype == "str" else column,
        ignore_index=True,
    )


def conditions_of(grid: Grid) -> pd.DataFrame:
    """Give the rows of ``condition_chart``: seeds averaged, their intervals too."""
    rows = grid.conditions
    if rows.empty:
        return rows
    metrics = [
        name for name in grid.metrics[:METRICS_OF_CONDITIONS] if f"{name}_low" in rows
    ]
    columns = [name + end for name in metrics for end in ("", "_low", "_high")]
    of_system = ["trials", "corpus", "view", "backbone", "backend", "scoring"]
    of_part = ["condition", "value", "whole_class"]
    rows = rows.assign(place=rows.groupby(["trials", *of_part], **AS_READ).ngroup())
    means = rows.groupby([*of_system, *of_part, "place"], **AS_READ)
    means = means[[*columns, "num_trials"]].mean().reset_index()
    systems = grid.kept(FEW)
    joined = means.rename(columns={name: f"of_{name}" for name in columns}).merge(
        systems[[*of_system, "label", "groups", "rank", *metrics]], on=of_system
    )
    kept = ("trials", "condition", "groups", "place")
    found = []
    for row in joined.sort_values("rank", kind="stable").to_dict("records"):
        for metric in metrics:
            ends = [row[f"of_{metric}{end}"] for end in ("", "_low", "_high")]
            found.append(
                {
                    **{name: row[name] for name in kept},
                    "part": row["value"] + WHOLE.get(row["whole_class"], ""),
                    "system": row["label"],
                    "num_trials": int(row["num_trials"]),
                    "metric": metric,
                    "title": axis_title(metric),
                    "best": row[metric],
                    **dict(
                        zip(
                            ("value", "low", "high"),
                            (shown(metric, end) for end in ends),
                            strict=True,
                        )
                    ),
                    "text": spell_interval(metric, *ends),
                }
            )
    return pd.DataFrame(found)


def costs_of(grid: Grid) -> pd.DataFrame:
    """Give the rows of ``cost_chart``."""
    found = []
    for row in grid.systems.itertuples():
        facts: dict[str, Any] = {
            "trials": row.trials,
            "system": row.label,
            "backbone": row.backbone,
            "backend": row.backend,
        }
        for metric in grid.metrics:
            value, low, high = _interval(row, metric)
            facts[metric] = shown(metric, value)
            spelled = spell_interval(metric, value, low, high)
            facts[f"{metric}_text"] = f"{metric_title(metric)} {spelled}"
        for cost in grid.costs:
            facts[cost] = getattr(row, cost)
            facts[f"{cost}_text"] = spell_cost(cost, facts[cost])
        found.append(facts)
    return pd.DataFrame(found)


def _interval(row: Any, metric: str) -> tuple[float, float, float]:
    value, low, high = (getattr(row, metric + end) for end in ("", "_low", "_high"))
    return float(value), float(low), float(high)


def _key(row: Any, metric: str) -> dict[str, Any]:
    return {
        "trials": row.trials,
        "metric": metric,
        "title": axis_title(metric),
        "system": row.label,
        "groups": row.groups,
    }
