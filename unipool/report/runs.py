"""What the folders of runs hold, and the logs."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from unipool.report.grid import Grid, groups_of, label_of

NUM_LOGS = 200
NUM_LINES = 20
TAIL_BYTES = 16_384
ALARMS = ("ERROR", "WARNING")


class Run(NamedTuple):
    """One trained backend; ``seed`` is None where the folder's name tells none."""

    folder: Path
    trained: str
    backbone: str
    backend: str
    seed: str
    model: dict[str, Any] | None
    history: pd.DataFrame | None


class LogTail(NamedTuple):
    """The last lines of a log, and whether there is a warning or error in them."""

    name: str
    text: str
    alarming: bool


def read_runs(folders: list[Path]) -> list[Run]:
    """Read the small files of runs; a fusion has none of them."""
    runs = []
    for folder in folders:
        model, history = folder / "model.json", folder / "history.csv"
        trained, backbone, backend, seed = folder.parts[-4:]
        runs.append(
            Run(
                folder,
                trained,
                backbone,
                backend,
                seed.removeprefix("seed-"),
                json.loads(model.read_text("utf-8")) if model.exists() else None,
                pd.read_csv(history) if history.exists() else None,
            )
        )
    return runs


def named(runs: list[Run], grid: Grid) -> pd.DataFrame:
    """Give runs that were trained the label and the groups that their systems have.

    Returns:
        place (in ``runs``), trained, backbone, backend, seed, run, groups.
    """
    fields = ["trained", "backbone", "backend"]
    rows = pd.DataFrame(
        [
            (place, run.trained, run.backbone, run.backend, run.seed)
            for place, run in enumerate(runs)
            if run.model is not None or run.history is not None
        ],
        columns=["place", *fields, "seed"],
    )
    if not rows.empty:
        rows["run"] = label_of(rows, grid.systems, fields)
        rows["groups"] = groups_of(rows, rows, fields)
    return rows


def folder_of(cell: Any, runs: list[Run]) -> Path | None:
    """Find the run of a row of the table."""
    wanted = (cell.trained, cell.backbone, cell.backend, str(cell.seed))
    for run in runs:
        if (run.trained, run.backbone, run.backend, run.seed) == wanted:
            return run.folder
    return None


def scores_of(folder: Path, trials: str, scoring: str) -> Path | None:
    """Find the scores of a trial list; those of the plain cosine have no suffix."""
    names = (f"{trials}@{scoring}.csv", f"{trials}.csv")
    paths = (folder / "scores" / name for name in names)
    return next((path for path in paths if path.exists()), None)


def log_tails(logs: Path) -> tuple[list[LogTail], int]:
    """Read the ends of the logs of trainings and scorings, alarming ones first.

    Returns:
        As many as a page bears, and how many there are.
    """
    paths = [
        path
        for part in ("train", "score")
        for path in sorted((logs / part).rglob("*.log"))
    ]
    tails = [_tail(path, logs) for path in paths[: 10 * NUM_LOGS]]
    tails.sort(key=lambda tail: not tail.alarming)
    return tails[:NUM_LOGS], len(paths)


def _tail(path: Path, logs: Path) -> LogTail:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    lines = lines[-NUM_LINES:]
    alarming = any(f" {alarm} " in line for line in lines for alarm in ALARMS)
    return LogTail(path.relative_to(logs).as_posix(), "\n".join(lines), alarming)


def settings_text(value: Any, indent: int = 0) -> str:
    """Spell settings as indented lines."""
    space = "  " * indent
    if isinstance(value, dict) and value:
        return "\n".join(
            f"{space}{key}:\n{settings_text(item, indent + 1)}"
            if isinstance(item, dict) and item
            else f"{space}{key}: {_plain(item)}"
            for key, item in value.items()
        )
    return f"{space}{_plain(value)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
