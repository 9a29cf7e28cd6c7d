"""One cell of the grid: a trial list scored by one system, in three files.

``scores/{trials}.csv``         enrolment, test, target, score, and llr, the calibrated
                                log-likelihood ratio: a row for each trial
``metrics/{trials}.json``       key, metrics, conditions, costs, caches, versions
``metrics/{trials}.draws.csv``  each metric on draws of the speakers, a row for each;
                                the draws are the same for all systems of a trial list

Scored otherwise than by the plain cosine, the three are called ``{trials}@{scoring}``.
docs/table.md says what is in them.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unipool.as_published import published_threshold
from unipool.measuring import measure, measure_conditions
from unipool.metrics import SortedTrials, eer_threshold
from unipool.provenance import versions
from unipool.trials import COLUMNS

KEY = ("corpus", "view", "backbone", "backend", "scoring", "seed", "trials")
"""What a cell is called by; all but ``seed`` and ``trials`` name a system."""


RUN = ("corpus", "view", "backbone", "backend", "seed")
"""What a run is called by: the training that a cell is of."""

FUSED = "fused"
"""In place of the backbone and of the scoring, of a fusion of several runs."""

DURATION = "shorter_seconds"
"""The condition that is added: duration of the shorter side of a trial."""


class CellFiles(NamedTuple):
    """Where the three files of a cell are."""

    scores: Path
    metrics: Path
    draws: Path


class Cell(NamedTuple):
    """What was measured.

    Args:
        key: by the names in ``KEY``.
        metrics: by name; the ends of intervals have ``_low`` and ``_high`` behind it.
        conditions: the same of some of the trials, a row for each value of a condition.
        costs: by name.
        caches: what each cache that the system needs did cost, under
            backbone/corpus/split/view: ``extract_seconds``, ``bytes``.
        versions: of the code that trained, and that scored.
        draws: of each metric, a row for each draw of the speakers.
        definition: all settings that decide it, where what made it needs the cache.
    """

    key: dict[str, Any]
    metrics: dict[str, float]
    conditions: list[dict[str, Any]]
    costs: dict[str, float | None]
    caches: dict[str, dict[str, float]]
    versions: dict[str, Any]
    draws: pd.DataFrame
    definition: dict[str, Any] | None = None


def write_cell(
    files: CellFiles,
    trials: pd.DataFrame,
    *,
    known: pd.DataFrame,
    valid: pd.DataFrame,
    p_targets: list[float],
    published: bool,
    draws: int,
    key: dict[str, Any],
    costs: dict[str, float | None],
    caches: dict[str, dict[str, float]],
    trained_with: Any,
    definition: dict[str, Any] | None = None,
) -> None:
    """Measure scored trials, and write all three files, the metrics last.

    Args:
        files: to write.
        trials: enrolment, test, target, conditions, score, llr.
        known: what ``known_of`` gave.
        valid: target and score of the validation trials, which choose the thresholds.
        p_targets: priors of the detection costs.
        published: whether also the values as published code computes them; the score
            is a cosine then.
        draws: of the speakers, for the intervals.
        key: of the cell.
        costs: by name.
        caches: that the system needs, with their costs.
        trained_with: versions of the code that trained.
        definition: as of ``Cell``.

    Raises:
        ValueError: when one class has no trial, or a score is not finite.
    """
    options: dict[str, Any] = {
        "p_targets": p_targets,
        "published": published,
        "draws": draws,
        **_thresholds(valid, published=published),
    }
    speaker_of = known["speaker"]
    measured = measure(trials, speaker_of, **options)
    trials = _with_duration(trials, known["seconds"])
    names = [name for name in trials if name not in (*COLUMNS, "score", "llr")]
    facts = {
        "key": key,
        "metrics": measured.values,
        "conditions": measure_conditions(
            trials, speaker_of, conditions=names, **options
        ),
        "costs": costs,
        "caches": caches,
        "versions": {"trained_with": trained_with, "scored_with": versions()},
        **({} if definition is None else {"definition": definition}),
    }
    text = json.dumps(
        _without_nan(facts), indent=2, ensure_ascii=False, allow_nan=False
    )
    for path, content in (
        (files.scores, trials[[*COLUMNS, "score", "llr"]].to_csv(index=False)),
        (files.draws, measured.draws.to_csv(index=False)),
        (files.metrics, text + "\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(content, encoding="utf-8", newline="")
        partial.replace(path)


def known_of(utterances: pd.DataFrame, enrolments: pd.DataFrame) -> pd.DataFrame:
    """Give what is known of each side that a trial may have.

    Args:
        utterances: utterance, speaker, seconds.
        enrolments: the utterances of each model.

    Returns:
        speaker and seconds by the name of the utterance or model; a model is as long as
        its utterances together.
    """
    singles = utterances.set_index("utterance")[["speaker", "seconds"]]
    members = enrolments.join(singles, on="utterance").groupby("enrolment")
    models = members.agg({"speaker": "first", "seconds": "sum"})
    return pd.concat([singles, models])


def _with_duration(trials: pd.DataFrame, seconds: pd.Series) -> pd.DataFrame:
    """Add a condition that every list has: how long the shorter side is."""
    if DURATION in trials:
        return trials
    sides = [trials[side].map(seconds) for side in ("enrolment", "test")]
    return trials.assign(**{DURATION: np.minimum(*sides)})


def _thresholds(valid: pd.DataFrame, *, published: bool) -> dict[str, float]:
    """Choose at which score to accept, as keyword arguments of ``measure``."""
    scores, targets = valid["score"].to_numpy(float), valid["target"].to_numpy(bool)
    found = {"threshold": eer_threshold(SortedTrials(scores, targets).error_rates())}
    if published:
        clamped = SortedTrials(np.clip(scores, 0, 1), targets)
        found["published_threshold"] = published_threshold(clamped.error_rates())
    return found


def _without_nan(value: Any) -> Any:
    """Put null, which JSON knows, for each number that is none."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def read_cell(metrics: Path) -> Cell:
    """Read what was measured; the draws are beside it."""
    facts = json.loads(metrics.read_text(encoding="utf-8"))
    draws = pd.read_csv(metrics.with_suffix(".draws.csv"))
    return Cell(**facts, draws=draws)


def read_scores(path: Path) -> pd.DataFrame:
    """Read the scores of a cell; ids are text."""
    return pd.read_csv(
        path, dtype={"enrolment": str, "test": str}, keep_default_na=False
    )
