"""Embeddings on a plane."""

import altair as alt
import pandas as pd

from unipool.charts.choices import Choice, Fixed, legend, params_of, rows_of


def map_chart(points: pd.DataFrame, *, fixed: Fixed = None) -> alt.Chart:
    """Draw a dot for each utterance; those of one colour stand out under the pointer.

    Args:
        points: map (its title), and lists of one length: utterance, x, y and all by
            which the dots can be coloured; a row for each map.
        fixed: map, colour.
    """
    names = [name for name in points if name not in ("map", "utterance", "x", "y")]
    # Names of metadata may have characters with a meaning of their own in Vega.
    safe = {name: f"metadata_{place}" for place, name in enumerate(names)}
    titles = {field: str(name) for name, field in safe.items()}
    chosen_map = Choice("map", "Map", points["map"], fixed)
    colour = Choice("colour", "Colour", titles, fixed, titles)
    under = alt.selection_point(
        name="under", fields=["group"], on="pointerover", clear="pointerout"
    )
    dots = (
        rows_of(points.rename(columns=safe))
        .transform_filter(chosen_map.equals("map"))
        .transform_flatten(["utterance", "x", "y", *titles])
        .transform_calculate(group=f"toString(datum[{colour.value}])")
        .mark_circle(size=36)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(zero=False, padding=12)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(zero=False, padding=12)),
            color=alt.Color("group:N", legend=legend(fixed, limit=12)),
            opacity=alt.value(0.75)
            if fixed is not None
            else alt.condition(under, alt.value(0.85), alt.value(0.12)),
            tooltip=[
                alt.Tooltip("utterance:N", title="utterance"),
                *(
                    alt.Tooltip(f"{field}:N", title=title)
                    for field, title in titles.items()
                ),
            ],
        )
    )
    if fixed is None:
        dots = dots.add_params(under)
    return dots.add_params(*params_of(chosen_map, colour)).properties(
        width="container",
        height=440,
        description="Map of the embeddings, near ones near each other",
    )
