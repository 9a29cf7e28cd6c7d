"""How the scores of target and non-target trials lie."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from unipool.charts.choices import Choice, Fixed, legend, params_of, rows_of

BINS = 60
CLASSES = ("target", "non-target")


def histogram(
    scores: Float[np.ndarray, " N"], targets: Bool[np.ndarray, " N"]
) -> dict[str, Any]:
    """Count the scores of each class in equal bins.

    Returns:
        start, width (of a bin), and target and non-target: the density of each bin.
    """
    edges = np.histogram_bin_edges(scores, bins=BINS)
    densities = [
        np.histogram(scores[one], bins=edges, density=True)[0]
        for one in (targets, ~targets)
    ]
    return {
        "start": float(edges[0]),
        "width": float(edges[1] - edges[0]),
        **dict(zip(CLASSES, (one.tolist() for one in densities), strict=True)),
    }


def score_chart(scores: pd.DataFrame, *, fixed: Fixed = None) -> alt.Chart:
    """Draw the density of the scores of both classes, of one system.

    Args:
        scores: trials, system, and the fields of ``histogram``, best system first.
        fixed: trials, system.
    """
    trials = Choice("trials", "Trial list", scores["trials"], fixed)
    system = Choice("system", "System", scores["system"], fixed)
    title = "Score" if fixed is None else f"Score of {system.first}"
    return (
        rows_of(scores)
        .transform_filter(f"{trials.equals('trials')} && {system.equals('system')}")
        .transform_flatten(list(CLASSES))
        .transform_window(place="row_number()")
        .transform_fold(list(CLASSES), as_=["class", "density"])
        .transform_calculate(
            low="datum.start + (datum.place - 1) * datum.width",
            high="datum.start + datum.place * datum.width",
        )
        .mark_rect(opacity=0.55, stroke=None)
        .encode(
            x=alt.X("low:Q", title=title, axis=alt.Axis(grid=False, tickCount=6)),
            x2="high:Q",
            y=alt.Y("density:Q", title="Density", scale=alt.Scale(zero=True)),
            y2=alt.datum(0),
            color=alt.Color(
                "class:N", legend=legend(fixed), scale=alt.Scale(domain=list(CLASSES))
            ),
            tooltip=[
                alt.Tooltip("class:N", title="Trials"),
                alt.Tooltip("low:Q", title="Score from", format=".4~g"),
                alt.Tooltip("high:Q", title="to", format=".4~g"),
                alt.Tooltip("density:Q", title="Density", format=".3~g"),
            ],
        )
        .add_params(*params_of(trials, system))
        .properties(
            width="container",
            height=280,
            description="Histogram of the scores of target and non-target trials",
        )
    )
