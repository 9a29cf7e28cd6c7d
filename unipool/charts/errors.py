"""Error rates with their intervals: of systems, of differences, under conditions."""

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

ROWS = 30
"""So many systems are shown at once."""
FEW = 6
ROW_HEIGHT = 36


def error_chart(errors: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw a dot with its interval for each system, the best on top.

    Args:
        errors: trials, metric, title (of the metric), system, groups (a list), value,
            low, high, text, seeds (a list of the values of each seed): a row for each
            system and metric.
        fixed: trials, metric, show.
    """
    trials, metric = _trials(errors, fixed), _metric(errors, fixed)
    show = Choice("show", "Systems", errors["groups"].explode(), fixed)
    chosen = (
        rows_of(errors)
        .transform_filter(
            f"{trials.equals('trials')} && {metric.equals('metric')}"
            f" && {show.among('groups')}"
        )
        .transform_filter("isValid(datum.value)")
    )
    rows = best_first(chosen, of="system", field="value", count=ROWS).encode(
        y=_row_of("system", sort={"field": "value", "op": "min"})
    )
    tooltip = [
        alt.Tooltip("system:N", title="System"),
        alt.Tooltip("title:N", title="Metric"),
        alt.Tooltip("text:N", title="Value [95 % interval]"),
    ]
    axis = _in_picture(fixed, metric.label)
    seeds = (
        rows.transform_flatten(["seeds"])
        .mark_tick(style="seed", thickness=1.5, size=12)
        .encode(x=_value("seeds", axis))
    )
    return _layered(
        [
            rows.mark_rule(strokeWidth=3, opacity=0.45, strokeCap="round").encode(
                x=_value("low", axis), x2="high:Q", tooltip=tooltip
            ),
            seeds,
            rows.mark_circle(size=110, opacity=1).encode(
                x=_value("value", axis), tooltip=tooltip
            ),
            _label(rows, "system"),
            _number(rows),
        ],
        params_of(trials, metric, show),
        "Error of each system, with its 95 % interval",
    )


def difference_chart(pairs: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw how much worse than one system each other is, with the interval.

    Args:
        pairs: trials, metric, title, first, second, difference (second less first),
            low, high, p (NaN, all three, where too few speakers tell): a row for each
            two systems, the best system's first.
        fixed: trials, metric, reference.
    """
    trials, metric = _trials(pairs, fixed), _metric(pairs, fixed)
    names = pd.concat([pairs["first"], pairs["second"]])
    reference = Choice("reference", "Compared with", names, fixed)
    turn = f"{reference.equals('first')} ? 1 : -1"
    known = "isValid(datum.low) && isValid(datum.high)"
    rows = (
        rows_of(pairs)
        .transform_filter(f"{trials.equals('trials')} && {metric.equals('metric')}")
        .transform_filter(
            f"{reference.equals('first')} || {reference.equals('second')}"
        )
        .transform_calculate(
            system=f"{reference.equals('first')} ? datum.second : datum.first",
            value=f"({turn}) * datum.difference",
            # Vega takes null for 0.
            low=f"{known} ? min(({turn}) * datum.low, ({turn}) * datum.high) : null",
            high=f"{known} ? max(({turn}) * datum.low, ({turn}) * datum.high) : null",
        )
        .transform_calculate(
            text=f"format(datum.value, '+.2f') + ({known} ? ' ['"
            " + format(datum.low, '+.2f') + ', '"
            " + format(datum.high, '+.2f') + ']' : '')",
            verdict="isValid(datum.p) && datum.p < 0.05"
            " ? 'a real difference' : 'not told apart'",
        )
    )
    rows = best_first(rows, of="system", field="value", count=ROWS).encode(
        y=_row_of("system", sort={"field": "value", "op": "min"})
    )
    colour = alt.Color(
        "verdict:N",
        legend=legend(fixed),
        scale=alt.Scale(domain=["a real difference", "not told apart"]),
    )
    shape = alt.Shape("verdict:N", legend=legend(fixed), scale=_shapes())
    tooltip = [
        alt.Tooltip("system:N", title="System"),
        alt.Tooltip("text:N", title="Difference [95 % interval]"),
        alt.Tooltip("p:Q", title="Corrected p", format=".3~g"),
    ]
    axis = _in_picture(fixed, f"{metric.label}, difference from {reference.first}")
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(style="reference")
    return _layered(
        [
            zero.encode(x=_value("x", axis)),
            rows.mark_rule(strokeWidth=3, opacity=0.45, strokeCap="round").encode(
                x=_value("low", axis), x2="high:Q", color=colour, tooltip=tooltip
            ),
            rows.mark_point(size=90, filled=True, opacity=1).encode(
                x=_value("value", axis), color=colour, shape=shape, tooltip=tooltip
            ),
            _label(rows, "system"),
            _number(rows),
        ],
        params_of(trials, metric, reference),
        "Difference of each system from the reference, with its 95 % interval",
    )


def condition_chart(conditions: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw the error on the trials of each value of a condition, for a few systems.

    Args:
        conditions: trials, condition, part (a value of the condition), place (of the
            part among the others), num_trials, metric, title, system, groups (a list),
            value, low, high, text, and best: the system's error on the whole trial
            list.
        fixed: trials, condition, metric, show.
    """
    trials, metric = _trials(conditions, fixed), _metric(conditions, fixed)
    condition = Choice("condition", "Condition", conditions["condition"], fixed)
    show = Choice("show", "Systems", conditions["groups"].explode(), fixed)
    chosen = rows_of(conditions).transform_filter(
        f"{trials.equals('trials')} && {metric.equals('metric')}"
        f" && {condition.equals('condition')} && {show.among('groups')}"
    )
    axis = _in_picture(fixed, f"{metric.label}, by {condition.first}")
    order = {"field": "best", "op": "min"}
    rows = best_first(chosen, of="system", field="best", count=FEW).encode(
        y=alt.Y(
            "part:N",
            sort={"field": "place", "op": "min"},
            title=None,
            axis=alt.Axis(labelLimit=170, grid=False),
        ),
        yOffset=alt.YOffset("system:N", sort=order),
        color=alt.Color("system:N", sort=order, legend=legend(fixed)),
        tooltip=[
            alt.Tooltip("system:N", title="System"),
            alt.Tooltip("part:N", title="Trials"),
            alt.Tooltip("text:N", title="Value [95 % interval]"),
            alt.Tooltip("num_trials:Q", title="Number of trials", format=","),
        ],
    )
    return _layered(
        [
            rows.mark_rule(strokeWidth=2, opacity=0.5).encode(
                x=_value("low", axis), x2="high:Q"
            ),
            rows.mark_circle(size=60, opacity=1).encode(x=_value("value", axis)),
        ],
        params_of(trials, condition, metric, show),
        "Error on the trials of each condition",
        height=alt.Step(12, **{"for": "offset"}),
    )


def _layered(
    layers: list[alt.Chart],
    params: list[alt.Parameter],
    description: str,
    height: alt.Step | None = None,
) -> Chart:
    return (
        alt.layer(*layers)
        .add_params(*params)
        .properties(
            width="container",
            height=height or alt.Step(ROW_HEIGHT),
            description=description,
        )
    )


def _trials(frame: pd.DataFrame, fixed: Fixed) -> Choice:
    return Choice("trials", "Trial list", frame["trials"], fixed)


def _metric(frame: pd.DataFrame, fixed: Fixed) -> Choice:
    titles = dict(zip(frame["metric"], frame["title"], strict=True))
    return Choice("metric", "Metric", frame["metric"], fixed, titles)


def _row_of(field: str, *, sort: dict[str, str]) -> alt.Y:
    """Give each system a row; its name is written above its dot, however long."""
    return alt.Y(f"{field}:N", sort=sort, axis=None)


def _value(field: str, title: str | None = None) -> alt.X:
    axis = alt.Axis(tickCount=alt.ExprRef("min(8, width / 70)"))
    scale = alt.Scale(zero=False, padding=12)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def _in_picture(fixed: Fixed, title: str) -> str | None:
    """Say on the axis what the selectors of a page say."""
    return None if fixed is None else title


def _label(rows: alt.Chart, field: str) -> alt.Chart:
    mark = rows.mark_text(
        align="left", dy=-13, style="row-label", limit=alt.ExprRef("width")
    )
    return mark.encode(x=alt.value(0), text=f"{field}:N")


def _number(rows: alt.Chart) -> alt.Chart:
    """Write the value at the end of the row, where there is room for it."""
    room = alt.ExprRef("width < 600 ? 0 : 1")
    mark = rows.mark_text(align="right", dy=-13, style="value", opacity=room)
    return mark.encode(x=alt.value(alt.expr("width")), text="text:N")


def _shapes() -> alt.Scale:
    domain = ["a real difference", "not told apart"]
    return alt.Scale(domain=domain, range=["circle", "diamond"])
