"""What the folders of runs hold, and the logs."""

import json
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from unipool.report.grid import Grid, groups_of, label_of

NUM_LOGS = 200
NUM_LINES = 20
NUM_ALARMS = 20
OF_HISTORY = {"step": "int", "loss": "float", "valid_eer": "float"}
ALARMS = ("ERROR", "WARNING")
WITHOUT_SUFFIX = ("cosine", "fused")
"""Scorings that are not in the names of files."""


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
    """The last lines of a log behind the alarming ones before, and if there are any."""

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
                _model(model) if model.exists() else None,
                _history(history) if history.exists() else None,
            )
        )
    return runs


def _model(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: not a description of a model ({error}); delete it and train again"
        ) from error


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=list(OF_HISTORY), dtype=OF_HISTORY)
    except ValueError as error:
        raise ValueError(
            f"{path}: not a history of a training ({error}); delete it and train again"
        ) from error


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
    """Find the scores of a trial list."""
    suffix = "" if scoring in WITHOUT_SUFFIX else f"@{scoring}"
    path = folder / "scores" / f"{trials}{suffix}.csv"
    return path if path.exists() else None


def log_tails(logs: Path, runs: list[Run]) -> tuple[list[LogTail], int]:
    """Read the ends of the logs of runs, alarming ones first.

    Args:
        logs: folder of all logs, with those of other grids too.
        runs: whose trainings, scorings and fusions are read.

    Returns:
        As many as a page bears, and how many there are.
    """
    stages = ("train", "score", "score_pairs", "fuse")
    paths = [
        path for one in stages for run in runs for path in _logs_of(run, logs, one)
    ]
    tails = [_tail(path, logs) for path in paths]
    tails.sort(key=lambda tail: not tail.alarming)
    return tails[:NUM_LOGS], len(paths)


def _logs_of(run: Run, logs: Path, stage: str) -> list[Path]:
    if (stage == "fuse") != (run.backbone == "fused"):
        return []
    parts = (run.backend,) if stage == "fuse" else (run.backbone, run.backend)
    folder, seed = logs.joinpath(stage, run.trained, *parts), f"seed-{run.seed}"
    return sorted([*folder.glob(f"{seed}.log"), *(folder / seed).glob("*.log")])


def _tail(path: Path, logs: Path) -> LogTail:
    """Read the last lines, and what is alarming in those before."""
    alarms: list[str] = []
    tail: deque[str] = deque(maxlen=NUM_LINES)
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if len(tail) == NUM_LINES and _is_alarming(tail[0]):
                alarms.append(tail[0])
            tail.append(line.rstrip("\n"))
    alarming = bool(alarms) or any(map(_is_alarming, tail))
    if len(alarms) > NUM_ALARMS:
        more = f"({len(alarms) - NUM_ALARMS} more warnings and errors)"
        alarms = [*alarms[:NUM_ALARMS], more]
    before = [*alarms, "..."] if alarms else []
    name = path.relative_to(logs).as_posix()
    return LogTail(name, "\n".join([*before, *tail]), alarming)


def _is_alarming(line: str) -> bool:
    return any(f" {alarm} " in line for alarm in ALARMS)


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
