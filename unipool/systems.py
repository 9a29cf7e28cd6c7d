"""Systems: cells that differ in nothing but the seed, averaged and compared."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64

from unipool.cell import KEY, Cell
from unipool.intervals import difference_of_means, holm
from unipool.measuring import interval_of

OF_SYSTEM = tuple(name for name in KEY if name != "seed")
COUNTS = ("num_trials", "num_targets", "num_speakers", "fewest_speakers")


class System(NamedTuple):
    """One system on one trial list.

    Args:
        key: by the names in ``OF_SYSTEM``.
        cells: one for each seed.
    """

    key: dict[str, str]
    cells: list[Cell]

    @property
    def name(self) -> str:
        """What it is called beside others of the same trial list."""
        key = self.key
        corpus = key["corpus"]
        if key["view"] != "full":
            corpus += f"@{key['view']}"
        return "/".join((corpus, key["backbone"], key["backend"], key["scoring"]))

    def metrics_with(self, other: "System") -> list[str]:
        """Name the metrics that both systems have."""
        return [name for name in self.cells[0].draws if name in other.cells[0].draws]

    def values(self, metric: str) -> Float64[np.ndarray, " seeds"]:
        """Give a metric, of each seed."""
        return np.array([cell.metrics[metric] for cell in self.cells], dtype=float)

    def draws(self, metric: str) -> Float64[np.ndarray, "draws seeds"]:
        """Give it on draws of the speakers."""
        return np.stack([cell.draws[metric] for cell in self.cells], axis=1)


def systems_of(cells: Sequence[Cell]) -> list[System]:
    """Gather the seeds of each system.

    Raises:
        ValueError: when systems of one trial list were measured on other draws.
    """
    gathered: dict[tuple[str, ...], list[Cell]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for cell in cells:
        gathered.setdefault(tuple(cell.key[name] for name in OF_SYSTEM), []).append(
            cell
        )
        trials = cell.key["trials"]
        size = (len(cell.draws), *(int(cell.metrics[n]) for n in COUNTS))
        if sizes.setdefault(trials, size) != size:
            raise ValueError(
                f"{trials}: the cell {' '.join(map(str, cell.key.values()))} was"
                " measured on other trials or draws than the rest; score it again"
                " (`snakemake --forcerun score`)"
            )
    return [
        System(dict(zip(OF_SYSTEM, key, strict=True)), some)
        for key, some in sorted(gathered.items())
    ]


def average(systems: Sequence[System]) -> pd.DataFrame:
    """Average the seeds: a row for each system.

    Returns:
        What names a system, ``num_seeds``, and of each metric its mean, its standard
        deviation over the seeds (NaN of one seed), ``_low`` and ``_high``: the 95 %
        interval for other speakers, and, of several seeds, other seeds.
    """
    rows = []
    for system in systems:
        first = system.cells[0]
        row = {**system.key, "num_seeds": len(system.cells)}
        row |= {name: first.metrics[name] for name in COUNTS}
        for metric in first.draws:
            values = system.values(metric)
            mean, low, high = interval_of(
                metric,
                values,
                system.draws(metric),
                int(first.metrics["fewest_speakers"]),
            )
            deviation = float(values.std(ddof=1)) if len(values) > 1 else np.nan
            row |= {metric: mean, f"{metric}_std": deviation}
            row |= {f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def compare_systems(systems: Sequence[System]) -> pd.DataFrame:
    """Compare each two systems that scored the same trials.

    Returns:
        A row for each pair and metric: trials, metric, first, second, first_value,
        second_value, difference (second less first), its 95 % interval, the p-value,
        and the same corrected for the number of pairs (Holm).
    """
    columns = ["trials", "metric", "first", "second", "first_value", "second_value"]
    columns += ["difference", "low", "high", "p_value"]
    table = pd.DataFrame([*_pairs(systems)], columns=columns)
    corrected = table.groupby(["trials", "metric"])["p_value"].transform(
        lambda p_values: holm(p_values.to_numpy(float))
    )
    return table.assign(p_corrected=corrected.astype(float))


def _pairs(systems: Sequence[System]) -> Iterator[tuple[object, ...]]:
    for one, other in combinations(systems, 2):
        if one.key["trials"] != other.key["trials"]:
            continue
        count = int(one.cells[0].metrics["fewest_speakers"])
        for metric in one.metrics_with(other):
            first, second = one.values(metric), other.values(metric)
            found = difference_of_means(
                first, one.draws(metric), second, other.draws(metric), count
            )
            yield (
                *(one.key["trials"], metric, one.name, other.name),
                *(float(first.mean()), float(second.mean()), *found),
            )
