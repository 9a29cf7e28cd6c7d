"""What the layers of a backbone say, and which of them a backend listens to."""

import altair as alt
import pandas as pd

from unipool.charts.choices import (
    Choice,
    Fixed,
    best_first,
    legend,
    params_of,
    rows_of,
)
from unipool.charts.saving import Chart
from unipool.charts.theme import DASHES, NUM_COLOURS

LAYER_AXIS = alt.Axis(tickMinStep=1, format="d", grid=False)


def probe_chart(probes: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw the EER of each single layer, a line for each backbone.

    Args:
        probes: trials, backbone, layer, value, low, high (in percent): a row for each
            layer.
        fixed: trials.
    """
    trials = Choice("trials", "Trial list", probes["trials"], fixed)
    rows = (
        rows_of(probes)
        .transform_filter(trials.equals("trials"))
        .encode(
            x=alt.X("layer:Q", title="Layer", axis=LAYER_AXIS),
            color=alt.Color("backbone:N", legend=legend(fixed)),
            tooltip=[
                alt.Tooltip("backbone:N", title="Backbone"),
                alt.Tooltip("layer:Q", title="Layer"),
                alt.Tooltip("value:Q", title="EER (%)", format=".2f"),
                alt.Tooltip("low:Q", title="95 % from", format=".2f"),
                alt.Tooltip("high:Q", title="to", format=".2f"),
            ],
        )
    )
    title, scale = "EER of this layer alone (%)", alt.Scale(zero=False)
    return _lines_with_bands(
        rows,
        "backbone",
        title,
        scale,
        description="EER of each layer alone",
    ).add_params(*params_of(trials))


def layer_chart(weights: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw the weights that backends give to the layers.

    Args:
        weights: run (what was trained), groups (a list), best (a number to rank by),
            layer, value, low, high: a row for each layer.
        fixed: show.
    """
    show = Choice("show", "Trained", weights["groups"].explode(), fixed)
    chosen = rows_of(weights).transform_filter(show.among("groups"))
    rows = best_first(chosen, of="run", field="best", count=NUM_COLOURS).encode(
        x=alt.X("layer:Q", title="Layer", axis=LAYER_AXIS),
        color=alt.Color(
            "run:N", sort={"field": "best", "op": "min"}, legend=legend(fixed)
        ),
        tooltip=[
            alt.Tooltip("run:N", title="Trained"),
            alt.Tooltip("layer:Q", title="Layer"),
            alt.Tooltip("value:Q", title="Weight", format=".3f"),
            alt.Tooltip("low:Q", title="from", format=".3f"),
            alt.Tooltip("high:Q", title="to", format=".3f"),
        ],
    )
    return _lines_with_bands(
        rows,
        "run",
        "Weight of the layer",
        alt.Scale(zero=True),
        description="Weight that each backend gives to each layer",
        order={"field": "best", "op": "min"},
    ).add_params(*params_of(show))


def attention_chart(attention: pd.DataFrame, *, fixed: Fixed = None) -> alt.Chart:
    """Draw the weight of each layer at each part of an utterance.

    Args:
        attention: run, seconds (of the utterance), num_times (equal parts of it),
            layers (a list of numbers), weights (a list: all times of the first layer,
            then of the next): a row for each run.
        fixed: run.
    """
    run = Choice("run", "Trained", attention["run"], fixed)
    return (
        rows_of(attention)
        .transform_filter(run.equals("run"))
        .transform_flatten(["weights"])
        .transform_window(place="row_number()")
        .transform_calculate(
            layer="datum.layers[floor((datum.place - 1) / datum.num_times)]",
            time="(datum.place - 1) % datum.num_times",
            step="datum.seconds / datum.num_times",
        )
        .transform_calculate(
            start="datum.time * datum.step", end="(datum.time + 1) * datum.step"
        )
        .mark_rect(stroke=None)
        .encode(
            x=alt.X(
                "start:Q",
                title="Time in the utterance (s)",
                scale=alt.Scale(nice=False, zero=True),
                axis=alt.Axis(grid=False),
            ),
            x2="end:Q",
            y=alt.Y("layer:O", title="Layer", sort="descending"),
            color=alt.Color(
                "weights:Q",
                title="Weight",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(orient="top", gradientLength=180, tickCount=4),
            ),
            tooltip=[
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("start:Q", title="From (s)", format=".2f"),
                alt.Tooltip("end:Q", title="to (s)", format=".2f"),
                alt.Tooltip("weights:Q", title="Weight", format=".4~f"),
            ],
        )
        .add_params(*params_of(run))
        .properties(
            width="container",
            height=alt.Step(14),
            description="Weight of each layer over the time of an utterance",
        )
    )


def _lines_with_bands(
    rows: alt.Chart,
    group: str,
    title: str,
    scale: alt.Scale,
    *,
    description: str,
    order: dict[str, str] | None = None,
) -> Chart:
    y = alt.Y("value:Q", title=title, scale=scale)
    band = rows.mark_area(opacity=0.14).encode(
        y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q"
    )
    # A band of one layer has no width.
    alone = (
        rows.transform_joinaggregate(num_layers="count()", groupby=[group])
        .transform_filter("datum.num_layers == 1")
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q")
    )
    dashes = alt.StrokeDash(
        f"{group}:N", sort=order, scale=alt.Scale(range=DASHES), legend=None
    )
    line = rows.mark_line(strokeWidth=2).encode(y=y, strokeDash=dashes)
    dots = rows.mark_circle(size=60, opacity=1).encode(y=y)
    return alt.layer(band, alone, line, dots).properties(
        width="container", height=320, description=description
    )
