"""Fuse the scores of several systems into one."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from unipool.calibration import fit_calibration
from unipool.cell import (
    RUN,
    Cell,
    CellFiles,
    known_of,
    read_cell,
    read_scores,
    write_cell,
)
from unipool.manifest import read_manifest
from unipool.trials import COLUMNS, read_trial_list


def fuse(
    *,
    cells: list[CellFiles],
    valid_scores: list[Path],
    trials: Path,
    manifest: Path,
    p_targets: list[float],
    draws: int,
    files: CellFiles,
    key: dict[str, Any],
) -> None:
    """Weigh the systems' scores by logistic regression on the validation trials.

    The fused score is the log-likelihood ratio. Its costs are those of all systems
    together, a run or a cache that they share counted once.

    Args:
        cells: of the systems, all of the same trial list.
        valid_scores: of each of them, in the same order, of the same validation trials.
        trials: the trial list, its companion beside it.
        manifest: of the corpus that the trials are of; it knows the speakers and
            durations.
        p_targets: priors of the detection costs.
        draws: of the speakers, for the intervals.
        files: to write: scores, metrics, draws.
        key: of the fused system: the row's place in the table.

    Reads: scores, metrics, trials, the manifest.
    Writes: ``files``.

    Raises:
        ValueError: when the systems did not score the same trials.
    """
    listed = read_trial_list(trials)
    members = [read_cell(cell.metrics) for cell in cells]
    valid, valid_trials = _side_by_side(valid_scores)
    tested, tested_trials = _side_by_side([cell.scores for cell in cells])
    if not tested_trials[list(COLUMNS)].equals(listed.trials[list(COLUMNS)]):
        raise ValueError(
            f"{cells[0].scores}: scores of other trials than those of {trials}; score"
            " them again"
        )
    started = time.monotonic()
    targets = valid_trials["target"].to_numpy(bool)
    calibration = fit_calibration(valid, targets)
    fused = calibration.llr(tested)
    seconds = time.monotonic() - started
    caches = {name: cost for one in members for name, cost in one.caches.items()}
    write_cell(
        files,
        listed.trials.assign(score=fused, llr=fused),
        known=known_of(read_manifest(manifest), listed.enrolments),
        valid=valid_trials.assign(score=calibration.llr(valid)),
        p_targets=p_targets,
        published=False,  # there the score is a cosine
        draws=draws,
        key=key,
        costs=_costs(members, seconds),
        caches=caches,
        trained_with=_common([one.versions["trained_with"] for one in members]),
    )


def _side_by_side(
    paths: list[Path],
) -> tuple[Float64[np.ndarray, "K F"], pd.DataFrame]:
    """Give the scores of all files, a column for each, and the trials they are of."""
    tables = [read_scores(path) for path in paths]
    key = list(COLUMNS)
    for path, table in zip(paths, tables, strict=True):
        if not table[key].equals(tables[0][key]):
            raise ValueError(
                f"{path}: scores of other trials than {paths[0]}; only scores of the"
                " same list can be fused: score both again"
            )
    scores = np.stack([table["score"].to_numpy(float) for table in tables], axis=1)
    return scores, tables[0]


def _costs(members: list[Cell], seconds: float) -> dict[str, float | None]:
    """Add up what each run cost once, and each scoring; take the largest memory."""
    of_runs = {tuple(one.key[name] for name in RUN): one.costs for one in members}
    summed: dict[str, float | None] = {}
    for name in members[0].costs:
        of_scorings = name == "score_seconds"
        costs = [one.costs for one in members] if of_scorings else [*of_runs.values()]
        known = [value for one in costs if (value := one.get(name)) is not None]
        whole = max(known) if name.endswith("_bytes") and known else sum(known)
        summed[name] = whole if len(known) == len(costs) else None
    if (of_members := summed["score_seconds"]) is not None:
        summed["score_seconds"] = round(of_members + seconds, 3)
    return summed


def _common(trained_with: list[dict[str, str]]) -> dict[str, str]:
    """Give each version, and all of them where the systems' differ."""
    names = dict.fromkeys(name for one in trained_with for name in one)
    return {
        name: ", ".join(sorted({one.get(name, "not known") for one in trained_with}))
        for name in names
    }
