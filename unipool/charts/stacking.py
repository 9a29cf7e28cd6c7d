"""Several charts in one picture, or none."""

import altair as alt
import pandas as pd

from unipool.charts.saving import Chart


def stacked(charts: list[Chart]) -> Chart:
    """Put charts below each other, each with its own colours and axes."""
    if len(charts) == 1:
        return charts[0]
    panels = alt.vconcat(*charts, spacing=36)
    return panels.resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )


def empty_chart(notice: str) -> alt.Chart:
    """Say in a chart's place why there is none."""
    return (
        alt.Chart(pd.DataFrame({"none": [0]}), height=80, width="container")
        .mark_text(text=notice, style="notice")
        .encode(x=alt.value(alt.expr("width / 2")), y=alt.value(40))
        .properties(description=notice)
    )
