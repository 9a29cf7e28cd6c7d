"""The utterances of a split in the order that trials are drawn from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64

from unipool.trials.conditions import check_metadata

Counts = Int64[np.ndarray, " U"]

MOST_GROUPS = 2_000
"""Combinations of values; all pairs of them are looked at."""


class Units(NamedTuple):
    """Utterances by speaker and, where balanced values vary within one, by value.

    A unit is what a speaker said under one combination of values.

    Args:
        utterances: ids, unit after unit, in a unit session after session.
        sessions: of each utterance, numbered.
        starts: of each unit among the utterances.
        sizes: utterances of each unit.
        speakers: of each unit, numbered.
        groups: of each unit: the combination of its values, numbered.
        values: of each group, one column for each balanced name.
    """

    utterances: np.ndarray
    sessions: Int64[np.ndarray, " N"]
    starts: Counts
    sizes: Counts
    speakers: Counts
    groups: Counts
    values: Int64[np.ndarray, "G C"]

    def patterns(
        self, first: Int64[np.ndarray, " P"], second: Int64[np.ndarray, " P"]
    ) -> Int64[np.ndarray, " P"]:
        """Number what pairs of groups share: bit c is set where value c differs."""
        patterns = np.zeros(len(first), dtype=np.int64)
        for column in range(self.values.shape[1]):
            of_group = self.values[:, column]
            patterns += (of_group[first] != of_group[second]).astype(np.int64) << column
        return patterns


def sort_into_units(
    rows: pd.DataFrame, balance: Sequence[str], session: str | None
) -> Units:
    """Sort the utterances; the order that they come in does not matter.

    Args:
        rows: of the manifest, one split.
        balance: names of metadata.
        session: name of the metadata that says it; None when it is not looked at.

    Raises:
        ValueError: when a name is no metadata, a balanced value is empty, or there are
            more than ``MOST_GROUPS`` combinations of values.
    """
    check_metadata(rows, balance, "balance")
    if "session" in balance:
        raise ValueError(
            "balance: sessions are a speaker's own, so those of two speakers are never"
            " the same; same_session is the option for them"
        )
    for name in balance:
        empty = rows[name] == ""
        if empty.any():
            raise ValueError(
                f"balance: {empty.sum()} utterances of"
                f" {rows['speaker'][empty].nunique()} speakers have no {name}, for"
                f" example {', '.join(rows['utterance'][empty].sort_values()[:10])};"
                f" fill it in, or leave {name} out of balance"
            )
    rows = rows.sort_values("utterance")
    numbers = [_number(rows[name]) for name in ("speaker", *balance)]
    combined = np.column_stack([*numbers[1:], np.zeros(len(rows), dtype=np.int64)])
    values, groups = np.unique(combined, axis=0, return_inverse=True)
    if len(values) > MOST_GROUPS:
        raise ValueError(
            f"balance: {len(values)} different values of {' and '.join(balance)}, at"
            f" most {MOST_GROUPS} can be balanced; choose metadata with fewer"
        )
    sessions = np.zeros(len(rows), dtype=np.int64)
    if session is not None:
        sessions = _number(rows[session])
    order = np.lexsort((sessions, groups, numbers[0]))
    speakers, groups = numbers[0][order], groups[order]
    starts = np.flatnonzero(np.diff(speakers, prepend=-1) | np.diff(groups, prepend=-1))
    return Units(
        rows["utterance"].to_numpy(object)[order],
        sessions[order],
        starts,
        np.diff(starts, append=len(rows)),
        speakers[starts],
        groups[starts],
        values[:, :-1],
    )


def _number(values: pd.Series) -> Int64[np.ndarray, " N"]:
    return pd.factorize(values, sort=True)[0].astype(np.int64)
