"""Put the metrics of all runs of the grid into one table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

KEY = ("corpus", "view", "backbone", "backend", "seed", "trials")
RATES = ("eer", "min_dcf_p01", "min_dcf_p05")
COLUMNS = (
    *KEY,
    "num_trials",
    "num_speakers",
    *(name + end for name in RATES for end in ("", "_low", "_high")),
    "backend_parameters",
    "extract_seconds",
    "train_seconds",
    "cache_bytes",
    "git_commit",
)
LOWER_IS_BETTER = (*RATES, *COLUMNS[COLUMNS.index("backend_parameters") : -1])


def tabulate(*, metrics: list[Path], table: Path, markdown: Path) -> None:
    """Write one row for each metrics file, sorted by its key.

    ``git_commit`` is that of the code which trained the run.

    Args:
        metrics: JSON files that ``score`` wrote.
        table: CSV to write; error rates are fractions.
        markdown: the same for reading: error rates in percent, with their intervals in
            brackets; the best value of each column, among the rows of one trial list,
            in bold.

    Reads: ``metrics``.
    Writes: ``table``, ``markdown``.
    """
    rows = pd.DataFrame([_row(path) for path in metrics], columns=list(COLUMNS))
    rows = rows.sort_values(list(KEY), ignore_index=True)
    for path, text in (
        (table, rows.to_csv(index=False)),
        (markdown, _markdown(rows)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)


def _row(path: Path) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    commit = facts["versions"]["trained_with"]["git_commit"]
    return {
        **facts["key"],
        **facts["metrics"],
        **facts["costs"],
        "git_commit": commit,
    }


def _markdown(rows: pd.DataFrame) -> str:
    cells = pd.DataFrame(
        {column: rows[column].map(_FORMATS.get(column, str)) for column in rows}
    )
    for name in RATES:
        low, high = (rows[name + end].map(_FORMATS[name]) for end in ("_low", "_high"))
        cells[name] += " [" + low + ", " + high + "]"
        cells = cells.drop(columns=[name + "_low", name + "_high"])
    for column in LOWER_IS_BETTER:
        best = rows.groupby("trials")[column].transform("min") == rows[column]
        cells[column] = cells[column].where(~best, "**" + cells[column] + "**")
    header = ["eer %" if name == "eer" else name for name in cells]
    numeric = [name not in (*KEY, "git_commit") for name in cells]
    lines = [
        header,
        ["---:" if right else ":---" for right in numeric],
        *cells.to_numpy().tolist(),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_FORMATS = {
    "eer": lambda value: f"{100 * value:.2f}",
    "min_dcf_p01": "{:.3f}".format,
    "min_dcf_p05": "{:.3f}".format,
    "extract_seconds": "{:.1f}".format,
    "train_seconds": "{:.1f}".format,
}
