"""What a system costs against its errors."""

import altair as alt
import pandas as pd

from unipool.charts.choices import Choice, Fixed, legend, params_of, rows_of
from unipool.charts.saving import Chart


def cost_chart(
    costs: pd.DataFrame,
    metric_titles: dict[str, str],
    cost_titles: dict[str, str],
    *,
    fixed: Fixed = None,
) -> Chart:
    """Draw a dot for each system, and a line through those that none beats in both.

    Args:
        costs: trials, system, backbone, backend, and each metric and each cost, with
            the same as text in a column with ``_text`` behind its name: a row for each
            system.
        metric_titles: of the columns that are metrics.
        cost_titles: of those that are costs.
        fixed: trials, metric, cost.
    """
    trials = Choice("trials", "Trial list", costs["trials"], fixed)
    metric = Choice("metric", "Error", metric_titles, fixed, metric_titles)
    cost = Choice("cost", "Cost", cost_titles, fixed, cost_titles)
    chosen = (
        rows_of(costs)
        .transform_filter(trials.equals("trials"))
        .transform_calculate(
            value=f"datum[{metric.value}]",
            text=f"datum[{metric.value} + '_text']",
            amount=f"datum[{cost.value}]",
            amount_text=f"datum[{cost.value} + '_text']",
        )
        .transform_filter("isValid(datum.value) && datum.amount > 0")
    )
    x = alt.X(
        "amount:Q",
        title=cost_titles[cost.first] if fixed is not None else None,
        scale=alt.Scale(type="log", padding=20),
        axis=alt.Axis(format="~s", tickCount=6, labelOverlap=True),
    )
    y = alt.Y(
        "value:Q",
        title=metric_titles[metric.first] if fixed is not None else None,
        scale=alt.Scale(zero=False, padding=16),
    )
    front = (
        chosen.transform_window(
            sort=[alt.SortField("amount"), alt.SortField("value")],
            least="min(value)",
            place="row_number()",
        )
        .transform_filter("datum.value == datum.least")
        .mark_line(style="front", interpolate="step-after", opacity=0.7)
        .encode(x=x, y=y)
    )
    dots = chosen.mark_point(size=110, filled=True, opacity=0.9).encode(
        x=x,
        y=y,
        color=alt.Color("backend:N", title="Backend", legend=legend(fixed, "Backend")),
        shape=alt.Shape(
            "backbone:N", title="Backbone", legend=legend(fixed, "Backbone")
        ),
        tooltip=[
            alt.Tooltip("system:N", title="System"),
            alt.Tooltip("text:N", title="Error [95 % interval]"),
            alt.Tooltip("amount_text:N", title="Cost"),
        ],
    )
    return (
        alt.layer(front, dots)
        .add_params(*params_of(trials, metric, cost))
        .properties(
            width="container",
            height=360,
            description="Error of each system against what it costs",
        )
    )
