"""What the reader of a chart may choose; in a picture it is chosen for him."""

import json
from collections.abc import Iterable
from typing import Any

import altair as alt
import pandas as pd

from unipool.charts.legible import legible

Fixed = dict[str, str] | None


class Choice:
    """A selector of a chart.

    Args:
        name: of the Vega parameter.
        title: of the selector.
        options: in order, the first is chosen at the beginning.
        fixed: None where the reader chooses; else the values of some choices.
        labels: of the options, themselves where there are none.

    Attributes:
        first: what is chosen at the beginning, or in the picture.
        label: of it.
        value: a Vega expression for what is chosen.
        params: for the chart; none where nothing is left to choose.
    """

    def __init__(
        self,
        name: str,
        title: str,
        options: Iterable[str],
        fixed: Fixed,
        labels: dict[str, str] | None = None,
    ) -> None:
        names = list(dict.fromkeys(map(legible, options)))
        of_option = {legible(one): text for one, text in (labels or {}).items()}
        self.first = legible((fixed or {}).get(name, names[0]))
        self.label = of_option.get(self.first, self.first)
        self.value = json.dumps(self.first)
        self.params: list[alt.Parameter] = []
        if fixed is None and len(names) > 1:
            self.value = f"chosen_{name}"
            selector = alt.binding_select(
                options=names,
                labels=[of_option.get(option, option) for option in names],
                name=title,
            )
            self.params = [alt.param(name=self.value, value=self.first, bind=selector)]

    def among(self, field: str) -> str:
        """Say that what is chosen is in a field that holds a list."""
        return f"indexof(datum[{json.dumps(field)}], {self.value}) >= 0"

    def equals(self, field: str) -> str:
        """Say that what is chosen is what a field holds."""
        return f"datum[{json.dumps(field)}] == {self.value}"


def params_of(*choices: Choice) -> list[alt.Parameter]:
    """Give the parameters of several choices."""
    return [param for choice in choices for param in choice.params]


def rows_of(table: pd.DataFrame) -> alt.Chart:
    """Begin a chart with a table's rows; a cell may hold a list."""
    # Whole columns as one datum: names of columns are then not repeated in each row.
    columns = pd.DataFrame({name: [table[name].tolist()] for name in table})
    return alt.Chart(columns).transform_flatten(list(table))


def legend(
    fixed: Fixed, title: str | None = None, *, limit: int = 16, lines: bool = False
) -> alt.Legend:
    """Place a legend above the chart, in as many columns as its width allows."""
    columns = 2 if fixed is not None else alt.ExprRef("width > 720 ? 3 : 1")
    return alt.Legend(
        orient="top",
        title=title,
        columns=columns,
        symbolLimit=limit,
        symbolOpacity=1,
        symbolType="stroke" if lines else "circle",
        symbolSize=320 if lines else 100,
        labelLimit=340,
        offset=12,
    )


def under_pointer(name: str, fields: list[str], fixed: Fixed) -> list[alt.Parameter]:
    """Select the point under the pointer; not in a picture.

    Args:
        name: of the Vega parameter.
        fields: that tell one point from another.
        fixed: None where there is a pointer.
    """
    if fixed is not None:
        return []
    return [
        alt.selection_point(
            name=name,
            fields=fields,
            on="pointerover",
            clear="pointerout",
            empty=False,
        )
    ]


def when_selected(name: str, fixed: Fixed) -> Any:
    """Show the selected point, and no other."""
    if fixed is not None:
        return alt.value(0)
    shown = {"param": name, "empty": False, "value": 1}
    return alt.OpacityValue(value=0, condition=shown)


def best_first(chart: alt.Chart, *, of: str, field: str, count: int) -> alt.Chart:
    """Keep the rows of so many things, those with the lowest values of a field.

    Args:
        chart: with rows.
        of: the field that names the thing; its rows have one value of ``field``.
        field: what to rank by; of equal values the first name is the better one.
        count: of things.
    """
    return chart.transform_window(
        rank="dense_rank()", sort=[alt.SortField(field), alt.SortField(of)]
    ).transform_filter(f"datum.rank <= {count}")
