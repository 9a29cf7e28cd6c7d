"""The charts of the report: on the page with selectors, in pictures without."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from unipool import charts
from unipool.charts import Chart
from unipool.report.names import COSTS, axis_title

PANELS = 4
"""A picture shows so many trial lists below each other."""

NOTHING = {
    "det": "No scores, so no DET curves.",
    "scores": "No scores, so no histograms.",
    "errors": "No systems.",
    "differences": "Nothing to compare: there is one system for each trial list.",
    "conditions": "The trial lists have no condition columns.",
    "cost": "No costs are known.",
    "training": "No training histories: nothing was trained.",
    "layers": "No backend of the grid has weights for the layers.",
    "attention": "No backend of the grid has weights for the layers.",
    "probes": "No layer was probed.",
    "maps": "No map was made.",
}
"""What is said in a picture's place."""


class Figure(NamedTuple):
    """One chart.

    Attributes:
        name: of the picture, and in the page's links.
        page: the chart with its selectors; None where there is nothing to show.
        picture: the same without.
    """

    name: str
    page: Chart | None
    picture: Chart


def figure(
    name: str,
    frame: pd.DataFrame,
    draw: Callable[..., Chart],
    *,
    each_list: bool = False,
) -> Figure:
    """Draw a table, for the page and for a picture.

    Args:
        name: of the figure.
        frame: what ``draw`` takes first.
        draw: one of the functions of ``unipool.charts``, with ``fixed`` to be given.
        each_list: whether a picture shows several trial lists, each by itself.
    """
    if frame.empty:
        return Figure(name, None, charts.empty_chart(NOTHING[name]))
    if not each_list:
        return Figure(name, draw(frame), draw(frame, fixed={}))
    panels = [
        draw(frame[frame["trials"] == trials], fixed={}).properties(title=trials)
        for trials in list(dict.fromkeys(frame["trials"]))[:PANELS]
    ]
    return Figure(name, draw(frame), charts.stacked(panels))


def cost_figure(frame: pd.DataFrame, metrics: list[str], costs: list[str]) -> Figure:
    """Draw costs against errors."""

    def draw(frame: pd.DataFrame, **fixed: dict[str, str]) -> Chart:
        return charts.cost_chart(
            frame,
            {name: axis_title(name) for name in metrics},
            {name: COSTS[name] for name in costs},
            **fixed,
        )

    return figure("cost", frame if costs else frame.head(0), draw, each_list=True)
