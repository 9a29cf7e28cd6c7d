"""How trainings went."""

import altair as alt
import pandas as pd

from unipool.charts.choices import (
    Choice,
    Fixed,
    best_first,
    legend,
    params_of,
    rows_of,
    under_pointer,
    when_selected,
)
from unipool.charts.saving import Chart
from unipool.charts.theme import DASHES, NUM_COLOURS

QUANTITIES = {"valid_eer": "EER on validation trials (%)", "loss": "Training loss"}


def training_chart(histories: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw a line for each run of a few backends, a colour for each.

    Args:
        histories: run (what was trained), seed, groups (a list), best (its lowest
            validation EER), step, valid_eer (percent) and loss (a list each).
        fixed: quantity, show.
    """
    quantity = Choice("quantity", "Show", QUANTITIES, fixed, QUANTITIES)
    show = Choice("show", "Trained", histories["groups"].explode(), fixed)
    chosen = rows_of(histories).transform_filter(show.among("groups"))
    points = (
        best_first(chosen, of="run", field="best", count=NUM_COLOURS)
        .transform_flatten(["step", "valid_eer", "loss"])
        .transform_calculate(value=f"datum[{quantity.value}]")
        .transform_filter("isValid(datum.value)")
        .encode(
            x=alt.X("step:Q", title="Step", axis=alt.Axis(grid=False, tickCount=6)),
            y=alt.Y(
                "value:Q",
                title=QUANTITIES[quantity.first] if fixed is not None else None,
                scale=alt.Scale(zero=False),
            ),
            color=alt.Color(
                "run:N",
                sort={"field": "best", "op": "min"},
                legend=legend(fixed, lines=True),
            ),
            strokeDash=alt.StrokeDash(
                "run:N",
                sort={"field": "best", "op": "min"},
                scale=alt.Scale(range=DASHES),
                legend=legend(fixed, lines=True),
            ),
        )
    )
    lines = points.mark_line(strokeWidth=1.8, opacity=0.85).encode(detail="seed:N")
    spots = points.mark_circle(size=120).encode(
        opacity=when_selected("pointed", fixed),
        tooltip=[
            alt.Tooltip("run:N", title="Trained"),
            alt.Tooltip("seed:N", title="Seed"),
            alt.Tooltip("step:Q", title="Step", format=","),
            alt.Tooltip("valid_eer:Q", title="Validation EER (%)", format=".2f"),
            alt.Tooltip("loss:Q", title="Loss", format=".3f"),
        ],
    )
    return (
        alt.layer(
            lines,
            spots.add_params(*under_pointer("pointed", ["run", "seed", "step"], fixed)),
        )
        .add_params(*params_of(quantity, show))
        .properties(
            width="container",
            height=320,
            description="Training loss or validation EER by step",
        )
    )
