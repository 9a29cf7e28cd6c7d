"""DET curves: both error rates of systems, on axes where normal scores are lines.

Source: Martin et al., "The DET curve in assessment of detection task performance",
Eurospeech 1997.
"""

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from scipy.special import ndtri

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
from unipool.charts.thinning import thinned
from unipool.metrics import ErrorRates, eer

PERCENTS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40)
LOWEST, HIGHEST = 0.0008, 0.55
"""The axes' ends; rates beyond them are not drawn."""
POINTS = 200


class DetCurve(NamedTuple):
    """A curve to be drawn, rates in percent."""

    p_fa: list[float]
    p_miss: list[float]
    threshold: list[float | None]


def det_curve(rates: ErrorRates) -> DetCurve:
    """Thin error rates to what is seen of them."""
    ends = LOWEST / 4, 1 - LOWEST
    x, y = (ndtri(np.clip(rate, *ends)) for rate in (rates.p_fa, rates.p_miss))
    kept = thinned(x, y, count=POINTS)
    thresholds = [
        value if np.isfinite(value) else None
        for value in rates.thresholds[kept].tolist()
    ]
    return DetCurve(
        p_fa=(100 * rates.p_fa[kept]).tolist(),
        p_miss=(100 * rates.p_miss[kept]).tolist(),
        threshold=thresholds,
    )


def det_chart(systems: dict[str, ErrorRates]) -> Chart:
    """Draw the curves of the systems of lowest EER, as many as there are colours.

    Args:
        systems: error rates by the name to show.
    """
    rows = [
        {
            "trials": "",
            "system": name,
            "groups": [""],
            "eer": 100 * eer(rates),
            "best": eer(rates),
            **det_curve(rates)._asdict(),
        }
        for name, rates in systems.items()
    ]
    return det_curves_chart(pd.DataFrame(rows), fixed={"trials": ""})


def det_curves_chart(curves: pd.DataFrame, *, fixed: Fixed = None) -> Chart:
    """Draw curves of a trial list and a group of systems.

    Args:
        curves: trials, system, groups (a list), eer of the curve in percent, best (a
            number to rank by), and the fields of ``DetCurve``: a row for each curve.
        fixed: trials, show.
    """
    trials = Choice("trials", "Trial list", curves["trials"], fixed)
    show = Choice("show", "Systems", curves["groups"].explode(), fixed)
    chosen = rows_of(curves).transform_filter(
        f"{trials.equals('trials')} && {show.among('groups')}"
    )
    points = (
        best_first(chosen, of="system", field="best", count=NUM_COLOURS)
        .transform_flatten(["p_fa", "p_miss", "threshold"])
        .transform_window(place="row_number()")
        .transform_calculate(
            x=f"quantileNormal(max(datum.p_fa / 100, {LOWEST / 4}))",
            y=f"quantileNormal(max(datum.p_miss / 100, {LOWEST / 4}))",
            fa="format(datum.p_fa, '.3~r') + ' %'",
            miss="format(datum.p_miss, '.3~r') + ' %'",
            equal="format(datum.eer, '.2f') + ' %'",
        )
        .encode(
            x=alt.X("x:Q", title="False acceptances (%)", **_probit()),
            y=alt.Y("y:Q", title="Misses (%)", **_probit()),
            color=alt.Color(
                "system:N",
                sort={"field": "best", "op": "min"},
                legend=legend(fixed, lines=True),
            ),
            strokeDash=alt.StrokeDash(
                "system:N",
                sort={"field": "best", "op": "min"},
                scale=alt.Scale(range=DASHES),
                legend=legend(fixed, lines=True),
            ),
        )
    )
    lines = points.mark_line(strokeWidth=2, clip=True).encode(
        order=alt.Order("place:Q")
    )
    spots = points.mark_circle(size=120, clip=True).encode(
        opacity=when_selected("pointed", fixed),
        tooltip=[
            alt.Tooltip("system:N", title="System"),
            alt.Tooltip("fa:N", title="False acceptances"),
            alt.Tooltip("miss:N", title="Misses"),
            alt.Tooltip("threshold:Q", title="Threshold", format=".4~g"),
            alt.Tooltip("equal:N", title="EER"),
        ],
    )
    spots = spots.add_params(*under_pointer("pointed", ["place"], fixed))
    return (
        alt.layer(_diagonal(), lines, spots)
        .add_params(*params_of(trials, show))
        .properties(
            width="container",
            height=440,
            description="DET curves: misses against false acceptances, in percent",
        )
    )


def _probit() -> dict[str, Any]:
    """Give scale and axis of rates whose probits are drawn."""
    return {
        "scale": alt.Scale(domain=ndtri([LOWEST, HIGHEST]).tolist(), nice=False),
        "axis": alt.Axis(
            values=ndtri(np.array(PERCENTS) / 100).tolist(),
            labelExpr="format(100 * cumulativeNormal(datum.value), '.2~r')",
            labelOverlap=False,
        ),
    }


def _diagonal() -> alt.Chart:
    """Draw where both rates are equal."""
    ends = ndtri([LOWEST, HIGHEST]).tolist()
    line = alt.Chart(pd.DataFrame({"x": ends, "y": ends}))
    line = line.mark_line(style="reference", strokeWidth=1)
    return line.encode(x="x:Q", y="y:Q")
