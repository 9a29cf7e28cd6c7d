"""Charts become files, or parts of a page."""

import copy
import math
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from unipool.charts.legible import legible
from unipool.charts.theme import ON_PAGE, ON_PAPER, PICTURE_WIDTH, config_of

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart
DIGITS = 5
SUFFIXES = (".png", ".svg", ".html", ".pdf")


def save_chart(chart: Chart, path: Path) -> None:
    """Write a chart in the format that the file's name ends with.

    A page (``.html``) needs no network, and has values on hover.

    Writes: ``path``.

    Raises:
        ValueError: when the name ends with none of ``SUFFIXES``.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(
            f"{path}: a chart is written as {', '.join(SUFFIXES)}, as the name ends;"
            f" {path.suffix or 'no ending'} is none of them"
        )
    spec = {**_spec(chart), "config": config_of(ON_PAPER)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    picture = _with_width(spec)
    if kind == ".html":
        page = vl_convert.vegalite_to_html(picture, bundle=True, renderer="svg")
        partial.write_text(page, encoding="utf-8")
    elif kind == ".svg":
        partial.write_text(vl_convert.vegalite_to_svg(picture), encoding="utf-8")
    elif kind == ".png":
        partial.write_bytes(vl_convert.vegalite_to_png(picture, scale=2))
    else:
        partial.write_bytes(vl_convert.vegalite_to_pdf(picture))
    partial.replace(path)


def page_spec(chart: Chart) -> dict[str, Any]:
    """Give what ``vegaEmbed`` draws on a page that has the CSS variables."""
    autosize = {"type": "fit-x", "contains": "padding"}
    return {**_spec(chart), "autosize": autosize, "config": config_of(ON_PAGE)}


@cache
def page_script() -> str:
    """Give the JavaScript that draws charts: it sets ``window.vegaEmbed``."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script


def _spec(chart: Chart) -> dict[str, Any]:
    """Give a chart's specification, each table that it is drawn from once."""
    names: dict[int, str] = {}
    datasets: dict[str, Any] = {}

    def keep(table: pd.DataFrame) -> dict[str, str]:
        name = names.setdefault(id(table), f"table-{len(names)}")
        if name not in datasets:
            datasets[name] = _plain(table.to_dict("records"))
        return {"name": name}

    alt.data_transformers.register("apart", keep)
    with alt.data_transformers.enable("apart"):
        spec: dict[str, Any] = chart.to_dict()
    # Altair's own config and the address of the schema are not used.
    spec = {key: spec[key] for key in spec if key not in ("config", "$schema")}
    return {**_with_legible_text(spec), "datasets": datasets}


def _with_legible_text(spec: Any) -> Any:
    if isinstance(spec, dict):
        return {key: _with_legible_text(item) for key, item in spec.items()}
    if isinstance(spec, list):
        return [_with_legible_text(item) for item in spec]
    return legible(spec) if isinstance(spec, str) else spec


def _plain(value: Any) -> Any:
    """Leave out the digits that nobody sees, and what is no number or no text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return legible(value)
    if hasattr(value, "item"):  # numpy's
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _with_width(spec: dict[str, Any]) -> dict[str, Any]:
    """Set the width where it is that of a page, for the chart or all its panels."""
    changed = copy.deepcopy(spec)
    for panel in (changed, *changed.get("vconcat", ())):
        if panel.get("width") == "container":
            panel["width"] = PICTURE_WIDTH
    return dict(changed)
