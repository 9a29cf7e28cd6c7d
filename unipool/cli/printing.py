"""Metrics on the terminal: tables to read, JSON for programs."""

import json
import math
import sys
from typing import Any

import pandas as pd


def show(told: dict[str, dict[str, Any]]) -> None:
    """Print the metrics of each file: one in a column, several in a row each."""
    cells = {name: _cells(values) for name, values in told.items()}
    if len(told) == 1:
        (rows,) = cells.values()
        width = max(map(len, rows))
        for name, text in rows.items():
            say(f"{name:{width}} {text}")
    else:
        say(pd.DataFrame(cells).T.fillna("").to_string())
    for name, values in told.items():
        if "conditions" in values:
            say(f"\n{name}" if len(told) > 1 else "")
            say(pd.DataFrame(map(_cells, values["conditions"])).to_string(index=False))


def _cells(values: dict[str, Any]) -> dict[str, str]:
    """Write a metric together with its interval."""
    cells = {}
    for name, value in values.items():
        low, high = (values.get(name + end, math.nan) for end in ("_low", "_high"))
        if isinstance(value, float) and not name.endswith(("_low", "_high")):
            cells[name] = f"{value:.4f}"
            if not math.isnan(low):
                cells[name] += f" [{low:.4f}, {high:.4f}]"
        elif not isinstance(value, float | list):
            cells[name] = f"{value:,}" if isinstance(value, int) else value
    return cells


def as_json(content: Any) -> str:
    """Write JSON, in which NaN is null."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: known(one) for name, one in value.items()}
        if isinstance(value, list):
            return [known(one) for one in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(known(content), ensure_ascii=False, allow_nan=False)


def say(text: str) -> None:
    """Print on standard output."""
    print(text, flush=True)  # noqa: T201


def warn(text: str) -> None:
    """Print on standard error."""
    print(f"unipool: {text}", file=sys.stderr)  # noqa: T201
