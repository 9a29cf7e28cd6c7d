"""What charts are drawn from, as far as the folders of runs hold it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from unipool.charts import det_curve, histogram
from unipool.embeddings import Embeddings, read_embeddings
from unipool.metrics import SortedTrials, eer
from unipool.report.grid import FEW, Grid
from unipool.report.names import shown
from unipool.report.runs import Run, folder_of, scores_of

NUM_MAPS = 8
POINTS_OF_MAP = 800
COLOURS_OF_MAP = 5
VALUES_OF_COLOUR = 60
NO_COLOURS = {
    *("utterance", "speaker", "x", "y", "split", "path", "seconds"),
    "map",  # what a row of the chart is called
}
TIMES = 60
STEPS = 100
NUM_ATTENTIONS = 40


def scored_of(grid: Grid, runs: list[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the rows of ``det_curves_chart`` and of ``score_chart``.

    Of the seeds of a system the one with the middle EER is drawn.
    """
    curves, densities = [], []
    for row in grid.kept(FEW).itertuples():
        of_seeds = grid.cells[
            (grid.cells["trials"] == row.trials) & (grid.cells["name"] == row.name)
        ].sort_values(grid.metrics[0])
        middle = next(of_seeds.iloc[[(len(of_seeds) - 1) // 2]].itertuples())
        folder = folder_of(middle, runs)
        path = folder and scores_of(folder, row.trials, row.scoring)
        if path is None:
            continue
        trials = pd.read_csv(path, usecols=["target", "score"])
        scores = trials["score"].to_numpy(float)
        targets = trials["target"].to_numpy(bool)
        rates = SortedTrials(scores, targets).error_rates()
        shared = {"trials": row.trials, "system": row.label}
        curves.append(
            {
                **shared,
                "groups": row.groups,
                "eer": shown("eer", eer(rates)),
                "best": getattr(row, grid.metrics[0]),
                **det_curve(rates)._asdict(),
            }
        )
        densities.append({**shared, **histogram(scores, targets)})
    return pd.DataFrame(curves), pd.DataFrame(densities)


def histories_of(runs: list[Run], rows: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of ``training_chart``."""
    found = []
    for row in rows.itertuples():
        history = runs[row.place].history
        if history is None or history.empty:
            continue
        lowest = history["valid_eer"].min()
        even = np.linspace(0, len(history) - 1, STEPS).round().astype(int)
        best = np.flatnonzero(history["valid_eer"] == lowest)[:1]
        history = history.iloc[np.union1d(even, best)]
        found.append(
            {
                "run": row.run,
                "seed": row.seed,
                "groups": row.groups,
                "best": lowest,
                "step": history["step"].tolist(),
                "valid_eer": (100 * history["valid_eer"]).tolist(),
                "loss": history["loss"].tolist(),
            }
        )
    frame = pd.DataFrame(found)
    if not frame.empty:
        frame["best"] = frame.groupby("run")["best"].transform("mean")
        frame = frame.sort_values("best", kind="stable", ignore_index=True)
    return frame


def probes_of(paths: list[Path], lists: list[str]) -> pd.DataFrame:
    """Give the rows of ``probe_chart``, trial lists in the order of the table."""
    frames = []
    several = len({path.parts[-3] for path in paths}) > 1
    places = {name: place for place, name in enumerate(lists)}
    for path in sorted(paths, key=lambda path: places.get(path.stem, len(places))):
        corpus, backbone = path.parts[-3:-1]
        probe = pd.read_csv(path)
        frames.append(
            pd.DataFrame(
                {
                    "trials": path.stem,
                    "backbone": f"{corpus} · {backbone}" if several else backbone,
                    "layer": probe["layer"],
                    "value": 100 * probe["eer"],
                    "low": 100 * probe["eer_low"],
                    "high": 100 * probe["eer_high"],
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def layers_of(
    embeddings: list[Path], rows: pd.DataFrame, runs: list[Run], best: dict[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the rows of ``layer_chart`` and of ``attention_chart``.

    Args:
        embeddings: of which one file of each run is read.
        rows: of runs, with their labels.
        runs: that ``place`` in the rows counts.
        best: what to rank a label by.
    """
    files = {path.parent.parent: path for path in reversed(embeddings)}
    weights: list[dict[str, Any]] = []
    attentions: dict[str, dict[str, Any]] = {}
    for row in rows.itertuples():
        path = files.get(runs[row.place].folder)
        content = None if path is None else read_embeddings(path)
        if content is None or content.layer_weights is None:
            continue
        facts = {"groups": row.groups, "best": best.get(row.run, 1.0)}
        weights += [{**facts, **one} for one in _weights_of(row.run, content)]
        attentions.setdefault(row.run, _attention_of(row.run, content))
    frame = pd.DataFrame(weights)
    if not frame.empty:
        frame = _over_seeds(frame)
    in_order = sorted(attentions, key=lambda run: best.get(run, 1.0))
    return frame, pd.DataFrame([attentions[run] for run in in_order[:NUM_ATTENTIONS]])


def _weights_of(run: str, content: Embeddings) -> Iterator[dict[str, Any]]:
    earlier = (content.earlier_layer_weights or {}).items()
    parts = {run: content.layer_weights} | {f"{run}, {n}": w for n, w in earlier}
    for name, weights in parts.items():
        assert weights is not None
        deviations = content.layer_weights_std if name == run else None
        if deviations is None:
            deviations = np.zeros_like(weights)
        layers = content.layers or []
        if len(layers) != len(weights):
            layers = list(range(len(weights)))
        for layer, weight, deviation in zip(layers, weights, deviations, strict=True):
            yield {
                "run": name,
                "layer": layer,
                "value": float(weight),
                "deviation": float(deviation),
            }


def _over_seeds(weights: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds; the band has what utterances and seeds vary."""
    groups = weights.drop_duplicates("run").set_index("run")[["groups", "best"]]
    over = weights.groupby(["run", "layer"], sort=False)
    mean = over["value"].mean()
    of_seeds = over["value"].std(ddof=0).fillna(0)
    of_utterances = over["deviation"].mean()
    half = np.hypot(of_seeds, of_utterances)
    frame = pd.DataFrame({"value": mean, "low": mean - half, "high": mean + half})
    frame = frame.reset_index().join(groups, on="run")
    return frame.sort_values(["best", "run", "layer"], ignore_index=True)


def _attention_of(run: str, content: Embeddings) -> dict[str, Any]:
    assert content.layer_attention is not None
    place = content.utterances.index(str(content.attention_utterance))
    binned = _binned(content.layer_attention)
    return {
        "run": run,
        "seconds": float(content.seconds[place]),
        "num_times": binned.shape[1],
        "layers": content.layers,
        "weights": binned.ravel().tolist(),
    }


def _binned(attention: Float32[np.ndarray, "L T"]) -> Float32[np.ndarray, "L S"]:
    """Average over equal parts of the time, where it has more frames than are seen."""
    frames = attention.shape[1]
    if frames <= TIMES:
        return attention
    edges = np.linspace(0, frames, TIMES + 1).round().astype(int)
    sums = np.add.reduceat(attention, edges[:-1], axis=1)
    return (sums / np.diff(edges)).astype(np.float32)


def maps_of(maps: list[Path], rows: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """Give the rows of ``map_chart``: one seed of each backend, the first ones.

    Args:
        maps: CSV files in the folders of runs.
        rows: of runs, with their labels, the best first.
        runs: that ``place`` in the rows counts.
    """
    by_run: dict[Path, list[Path]] = {}
    for path in maps:
        by_run.setdefault(path.parent.parent, []).append(path)
    first = rows[[runs[place].folder in by_run for place in rows["place"]]]
    found = []
    for row in first.drop_duplicates("run").head(NUM_MAPS).itertuples():
        for path in by_run[runs[row.place].folder]:
            found.append(_map_of(f"{row.run}: {path.stem}", path))
    frame = pd.DataFrame(found[:NUM_MAPS])
    return frame.map(lambda cell: cell if isinstance(cell, list | str) else [])


def _map_of(title: str, path: Path) -> dict[str, Any]:
    texts = {"x": float, "y": float}
    points = pd.read_csv(path, dtype=str, keep_default_na=False).astype(texts)
    if len(points) > POINTS_OF_MAP:
        points = points.sample(POINTS_OF_MAP, random_state=0).sort_index()
    metadata = [
        name
        for name in points
        if name not in NO_COLOURS and 2 <= points[name].nunique() <= VALUES_OF_COLOUR
    ][:COLOURS_OF_MAP]
    columns = ["utterance", "x", "y", "speaker", *metadata]
    return {"map": title, **{name: points[name].tolist() for name in columns}}
