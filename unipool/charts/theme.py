"""Colours and type of all charts: one look, for light and dark pages and for pictures.

On a page the colours are CSS variables, so a chart follows the page from light to dark
without being drawn again. The eight colours of the categories can be told apart with
the common kinds of colour blindness; lines also differ by their dashes.

Source of the hues: Okabe and Ito, "Color Universal Design", 2008; darkened where they
would be faint on white, lightened where they would be faint on black.
"""

from typing import Any, NamedTuple

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [1, 0], [7, 3], [2, 2], [9, 3, 2, 3]]
NUM_COLOURS = 8
PICTURE_WIDTH = 720


class Palette(NamedTuple):
    """Colours, as CSS writes them."""

    background: str | None
    ink: str
    muted: str
    grid: str
    categories: list[str]


ON_PAPER = Palette(
    background="white",
    ink="#1c2430",
    muted="#5a6472",
    grid="#e3e7ec",
    categories=[
        *("#0072b2", "#c24f00", "#00795a", "#a8437f"),
        *("#7a6400", "#3f8fc4", "#5b4bb5", "#4d5662"),
    ],
)
ON_PAGE = Palette(
    background=None,
    ink="var(--ink)",
    muted="var(--muted)",
    grid="var(--line)",
    categories=[f"var(--colour-{place})" for place in range(1, NUM_COLOURS + 1)],
)


def config_of(palette: Palette) -> dict[str, Any]:
    """Give the Vega-Lite config of a palette."""
    text = {"labelColor": palette.muted, "titleColor": palette.ink}
    return {
        "background": palette.background,
        "font": FONT,
        "view": {"stroke": None},
        "mark": {"color": palette.categories[0]},
        "text": {"color": palette.ink},
        "rule": {"color": palette.categories[0]},
        "range": {"category": palette.categories},
        "axis": {
            **text,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": 500,
            "titlePadding": 10,
            "labelPadding": 6,
            "gridColor": palette.grid,
            "domain": False,
            "ticks": False,
        },
        "legend": {
            **text,
            "labelColor": palette.ink,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": 500,
            "labelLimit": 320,
            "symbolStrokeWidth": 2,
            "rowPadding": 4,
            "columnPadding": 20,
        },
        "title": {
            "color": palette.ink,
            "subtitleColor": palette.muted,
            "anchor": "start",
            "fontSize": 14,
            "fontWeight": 600,
            "offset": 14,
        },
        "style": {
            "row-label": {"color": palette.ink, "fontSize": 12},
            "value": {"color": palette.muted, "fontSize": 12},
            "reference": {"color": palette.muted, "strokeDash": [3, 3]},
            "seed": {"color": palette.muted},
            "notice": {"color": palette.muted, "fontSize": 14},
            "front": {"color": palette.muted, "strokeWidth": 1.5},
        },
    }
