"""The report: one page of all that came out, and the same charts as pictures."""

from pathlib import Path

import pandas as pd

from unipool import charts
from unipool.report import drawn, frames, story, tables
from unipool.report.figures import Figure, cost_figure, figure
from unipool.report.grid import Grid, read_grid
from unipool.report.page import page
from unipool.report.runs import Run, log_tails, named, read_runs


def report(
    *,
    table: Path,
    systems: Path,
    comparisons: Path,
    conditions: Path,
    runs: list[Path],
    embeddings: list[Path],
    probes: list[Path],
    maps: list[Path],
    logs: Path,
    html: Path,
    plots: Path,
) -> None:
    """Write the report and its charts.

    Args:
        table: a row for each cell.
        systems: the same, seeds averaged.
        comparisons: each two systems of a trial list.
        conditions: cells on a part of their trials.
        runs: folders of all runs and fusions.
        embeddings: of the runs; their layer weights are drawn.
        probes: tables of the EER of each layer.
        maps: tables of embeddings on a plane, in the folders of runs.
        logs: folder of the logs of ``train``, ``score`` and ``fuse``.
        html: page to write; it needs no other file and no network.
        plots: folder to write a picture (SVG) of each chart into. There is one of
            each, whether there is something to show or not.

    Reads: all of these; of runs model.json, history.csv and scores.
    Writes: ``html``, the pictures in ``plots``.

    Raises:
        ValueError: when the table has no row, or a file is not what it should be.
    """
    grid = read_grid(
        table=table, systems=systems, comparisons=comparisons, conditions=conditions
    )
    found = read_runs(runs)
    trained = _ranked(named(found, grid), grid)
    pairs, parts = frames.pairs_of(grid), frames.conditions_of(grid)
    figures = _figures(grid, found, trained, pairs, parts, embeddings, probes, maps)
    tails, num_logs = log_tails(logs, found)
    text = page(
        figures=figures,
        tables={
            "systems": tables.systems_table(grid),
            "cells": tables.cells_table(grid),
            **({} if pairs.empty else {"pairs": tables.comparisons_table(pairs)}),
            **({} if parts.empty else {"parts": tables.conditions_table(parts)}),
        },
        compared=story.compared(grid),
        headlines=story.headlines(grid),
        num_cells=len(grid.cells),
        num_systems=grid.systems["name"].nunique(),
        settings=story.settings(found, trained),
        logs=tails,
        num_logs=num_logs,
        provenance=story.provenance(grid, found),
        caches=story.caches(found),
    )
    for one in figures:
        charts.save_chart(one.picture, plots / f"{one.name}.svg")
    html.parent.mkdir(parents=True, exist_ok=True)
    partial = html.with_name(html.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(html)


def _ranked(trained: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Sort runs by the lowest error that any of their systems has."""
    if trained.empty:
        return trained
    best = trained["run"].map(_best(grid))
    return trained.assign(best=best).sort_values("best", kind="stable")


def _best(grid: Grid) -> dict[str, float]:
    least = grid.systems.groupby("run")[grid.metrics[0]].min()
    return dict(least)


def _figures(
    grid: Grid,
    runs: list[Run],
    trained: pd.DataFrame,
    pairs: pd.DataFrame,
    parts: pd.DataFrame,
    embeddings: list[Path],
    probes: list[Path],
    maps: list[Path],
) -> list[Figure]:
    curves, densities = drawn.scored_of(grid, runs)
    weights, attention = drawn.layers_of(embeddings, trained, runs, _best(grid))
    errors, costs = frames.errors_of(grid), frames.costs_of(grid)
    points = drawn.maps_of(maps, trained, runs)
    history = drawn.histories_of(runs, trained)
    probed = drawn.probes_of(probes, grid.lists)
    return [
        figure("errors", errors, charts.error_chart, each_list=True),
        figure("differences", pairs, charts.difference_chart, each_list=True),
        figure("conditions", parts, charts.condition_chart, each_list=True),
        figure("det", curves, charts.det_curves_chart, each_list=True),
        figure("scores", densities, charts.score_chart, each_list=True),
        cost_figure(costs, grid.metrics, grid.costs),
        figure("training", history, charts.training_chart),
        figure("probes", probed, charts.probe_chart, each_list=True),
        figure("layers", weights, charts.layer_chart),
        figure("attention", attention, charts.attention_chart),
        figure("maps", points, charts.map_chart),
    ]
