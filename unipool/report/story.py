"""What the report says in words: what was compared, what came out, what made it."""

from typing import Any, NamedTuple

import pandas as pd

from unipool.provenance import versions
from unipool.report.grid import Grid
from unipool.report.names import PARTS, metric_title, spell_cost, spell_interval
from unipool.report.runs import Run, settings_text

NAMED = 5
SIGNIFICANT = 0.05


class Headline(NamedTuple):
    """The best system of one trial list."""

    trials: str
    size: str
    system: str
    metric: str
    value: str
    interval: str
    beaten: int
    others: int
    not_beaten: list[str]


class Setting(NamedTuple):
    """What was trained how: the seeds of one backend on one backbone."""

    name: str
    seeds: list[dict[str, str]]
    text: str


def compared(grid: Grid) -> list[tuple[str, list[str]]]:
    """Give what was varied, with all its values."""
    found = [
        (title, list(dict.fromkeys(grid.cells[name].astype(str))))
        for name, title in PARTS.items()
    ]
    seeds = sorted(dict.fromkeys(grid.cells["seed"]))
    return [*found, ("Seeds", [str(seed) for seed in seeds]), ("Trials", grid.lists)]


def headlines(grid: Grid) -> list[Headline]:
    """Give the best system of each trial list, and what it is better than."""
    metric = grid.metrics[0]
    found = []
    for trials in grid.lists:
        systems = grid.of_list(trials)
        best = next(systems.head(1).itertuples())
        ends = (getattr(best, metric + end) for end in ("", "_low", "_high"))
        value, _, interval = spell_interval(metric, *ends).partition(" [")
        labels = dict(zip(systems["name"], systems["label"], strict=True))
        verdicts = _verdicts(grid.comparisons, trials, metric, best.name)
        unbeaten = [labels.get(name, name) for name, won in verdicts.items() if not won]
        cells = grid.cells[grid.cells["trials"] == trials]
        found.append(
            Headline(
                trials=trials,
                size=_size(cells.iloc[0]),
                system=best.label,
                metric=metric_title(metric),
                value=value,
                interval=interval.removesuffix("]").replace(", ", " to "),
                beaten=sum(verdicts.values()),
                others=len(verdicts),
                not_beaten=unbeaten,
            )
        )
    return found


def _verdicts(
    pairs: pd.DataFrame, trials: str, metric: str, best: str
) -> dict[str, bool]:
    """Say of each other system whether the best one is really better."""
    if pairs.empty:
        return {}
    chosen = pairs[(pairs["trials"] == trials) & (pairs["metric"] == metric)]
    found = {}
    for row in chosen.itertuples():
        sides = [name.replace("@full/", "/") for name in (row.first, row.second)]
        if best in sides:
            sides.remove(best)
            found[sides[0]] = row.p_corrected < SIGNIFICANT
    return found


def _size(cell: pd.Series) -> str:
    return ", ".join(
        f"{cell[f'num_{what}']:,} {what}"
        for what in ("trials", "targets", "speakers")
        if pd.notna(cell.get(f"num_{what}"))
    )


def settings(runs: list[Run], rows: pd.DataFrame) -> list[Setting]:
    """Give the settings of each backend that was trained, its seeds together."""
    found: dict[tuple[str, str], list[Run]] = {}
    for row in rows.itertuples():
        run = runs[row.place]
        if run.model is not None:
            text = settings_text(run.model.get("definition", {}))
            found.setdefault(
                (f"{run.trained} / {run.backbone} / {run.backend}", text), []
            ).append(run)
    return [
        Setting(name, [_facts(run) for run in some], text)
        for (name, text), some in found.items()
    ]


def _facts(run: Run) -> dict[str, str]:
    model = run.model or {}
    facts = {"Seed": run.seed}
    if "best_step" in model:
        facts["Best step"] = f"{model['best_step']:,}"
    if model.get("valid_eer") is not None:
        facts["Validation EER"] = f"{100 * model['valid_eer']:.2f} %"
    for name, title in (("train_seconds", "Training"), ("backend_parameters", "Size")):
        if model.get(name) is not None:
            facts[title] = spell_cost(name, model[name])
    facts["Commit"] = str(model.get("versions", {}).get("git_commit", ""))
    return facts


def provenance(grid: Grid, runs: list[Run]) -> list[tuple[str, str]]:
    """Say which code and libraries made the runs, and which this report."""
    used: dict[str, set[str]] = {}
    for run in runs:
        for name, value in (run.model or {}).get("versions", {}).items():
            used.setdefault(name, set()).add(str(value))
    if "git_commit" in grid.cells:
        commits = grid.cells["git_commit"].dropna().astype(str)
        used.setdefault("git_commit", set()).update(commits)
    trained = [
        (f"{name.replace('_', ' ')} of the runs", ", ".join(sorted(values)))
        for name, values in used.items()
    ]
    own = [(f"{n.replace('_', ' ')} of this report", v) for n, v in versions().items()]
    return [*trained, *own[:2]]


def caches(runs: list[Run]) -> list[dict[str, str]]:
    """Give what was cached for the trainings, each cache once."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        found.update((run.model or {}).get("caches", {}))
    return [
        {
            "Cache": name,
            "Size": spell_cost("cache_bytes", cost.get("bytes", float("nan"))),
            "Extraction": spell_cost(
                "extract_seconds", cost.get("extract_seconds", float("nan"))
            ),
        }
        for name, cost in sorted(found.items())
    ]
