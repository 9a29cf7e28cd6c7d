"""The tables of the grid, with a short name for each system."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unipool.report.names import COSTS, OF_SYSTEM, PARTS, trained_on

BEST = "the best"
FEW = 8
"""Where there are more systems than this, a chart lets the reader choose a group."""
TEXT = dict.fromkeys((*OF_SYSTEM, "trials", "condition", "git_commit"), "str")
TEXT_OF_CONDITIONS = dict.fromkeys(("value", "whole_class"), "str")


class Grid(NamedTuple):
    """All tables.

    Systems and cells have further columns: ``name`` (as comparisons spell it),
    ``label`` (without what all systems share), ``run`` (likewise, of what was trained),
    ``groups`` (what a reader may choose the system by). Systems of a trial list are in
    the order of their error, and ``rank`` says so, from 1.
    """

    systems: pd.DataFrame
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    conditions: pd.DataFrame
    metrics: list[str]
    costs: list[str]

    @property
    def lists(self) -> list[str]:
        """The trial lists, as the table has them."""
        return list(dict.fromkeys(self.cells["trials"]))

    def of_list(self, trials: str) -> pd.DataFrame:
        """Give the systems of one trial list, the best first."""
        return self.systems[self.systems["trials"] == trials]

    def kept(self, count: int) -> pd.DataFrame:
        """Give the best systems of each group of each trial list, so many of each."""
        rows = self.systems.explode("groups")
        places = rows.groupby(["trials", "groups"]).cumcount()
        return self.systems.loc[sorted(set(rows.index[places < count]))]


def read_grid(
    *, table: Path, systems: Path, comparisons: Path, conditions: Path
) -> Grid:
    """Read all tables.

    Raises:
        ValueError: when the table has no row.
    """
    cells = _read(table, "table")
    if cells.empty:
        raise ValueError(
            f"{table}: no row, so there is nothing to report; give the grid a trial"
            " list under `test`"
        )
    averaged = _read(systems, "systems")
    metrics = [name for name in averaged if f"{name}_low" in averaged]
    metrics = [name for name in averaged if name in metrics]
    metrics.sort(key=lambda name: name != "eer")
    for frame in (cells, averaged):
        _name_systems(frame, averaged)
    places = {name: place for place, name in enumerate(cells["trials"].unique())}
    averaged = averaged.sort_values(
        ["trials", metrics[0]],
        key=lambda column: column.map(places) if column.name == "trials" else column,
        ignore_index=True,
        kind="stable",
    )
    averaged["rank"] = averaged.groupby("trials").cumcount() + 1
    return Grid(
        systems=averaged,
        cells=cells,
        comparisons=_read(comparisons, "comparisons"),
        conditions=_read(conditions, "conditions"),
        metrics=metrics,
        costs=[
            name
            for name in COSTS
            if name in averaged and (averaged[name].fillna(0) > 0).any()
        ],
    )


def _read(path: Path, what: str) -> pd.DataFrame:
    """Read a table; names are text, and a name may be `NA`."""
    dtype = TEXT | (TEXT_OF_CONDITIONS if what == "conditions" else {})
    try:
        return pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise ValueError(
            f"{path}: not a table of {what} ({error}); delete it and make it again"
        ) from error


def label_of(parts: pd.DataFrame, among: pd.DataFrame, names: list[str]) -> pd.Series:
    """Join the parts of names that are not the same in all rows of a table."""
    varying = [name for name in names if among[name].nunique() > 1]
    chosen = varying or [name for name in names if name in ("backbone", "backend")]
    label = parts[chosen[0]].astype(str)
    for name in chosen[1:]:
        label = label + " · " + parts[name].astype(str)
    return label


def _name_systems(frame: pd.DataFrame, among: pd.DataFrame) -> None:
    for rows in (among, frame):
        pairs = zip(rows["corpus"], rows["view"].fillna("full"), strict=True)
        rows["trained"] = [trained_on(*pair) for pair in pairs]
    parts = [frame[name].astype(str) for name in PARTS]
    frame["name"] = ["/".join(row) for row in zip(*parts, strict=True)]
    names = list(PARTS)
    frame["label"] = label_of(frame, among, names)
    frame["run"] = label_of(frame, among, names[:-1])
    frame["groups"] = groups_of(frame, among, names)


def groups_of(
    frame: pd.DataFrame, among: pd.DataFrame, names: list[str]
) -> list[list[str]]:
    """Say for each row what it may be chosen by, where there is much to choose from."""
    varying = [name for name in names if among[name].nunique() > 1]
    if len(among.drop_duplicates(names)) <= FEW:
        varying = []
    titles = [f"{PARTS[name].lower()}: " for name in varying]
    return [
        [BEST, *(title + value for title, value in zip(titles, values, strict=True))]
        for values in zip(*(frame[name].astype(str) for name in varying), strict=True)
    ] or [[BEST] for _ in range(len(frame))]
