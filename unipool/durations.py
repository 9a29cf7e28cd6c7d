"""How long each utterance is, in its recording or as a segment of it."""

import numpy as np
import pandas as pd

from unipool.audio import SAMPLE_RATE

OVERSHOOT_SECONDS = 0.5
"""A segment may end so much after its recording; it is cut there, as Kaldi does."""


def with_durations(
    rows: pd.DataFrame, found: pd.DataFrame, *, min_seconds: float
) -> pd.DataFrame:
    """Add to each utterance ``seconds``, and ``reason``, why it cannot be used.

    A segment, which has ``start`` and perhaps ``seconds``, gets ``start`` and ``stop``
    in its recording, whole samples written in s.

    Args:
        rows: utterances: path, perhaps start and seconds, as text.
        found: the recordings, as ``inspect_recordings`` gives them.
        min_seconds: shorter utterances are too short.
    """
    of_row = found.set_index("path").loc[rows["path"]].reset_index(drop=True)
    of_row.index = rows.index
    length = of_row["samples"]
    reason = of_row["fault"].copy()
    if "start" in rows:
        rows = rows.copy()
        start, stop, wrong = _segments(rows, length)
        reason = reason.where((reason != "") | ~wrong, _beyond(rows, length))
        length = (stop - start).where(~wrong, 0)
        rows["start"] = (start / SAMPLE_RATE).map("{:.7f}".format)
        rows["stop"] = (stop / SAMPLE_RATE).map("{:.7f}".format)
        if "session" not in rows:  # segments of one recording are of one
            rows["session"] = rows["path"]
    seconds = length / SAMPLE_RATE
    silent = (reason == "") & (of_row["silent"] == 1)
    reason = reason.where(~silent, rows["path"] + ": all samples are zero (silence)")
    short = (reason == "") & (seconds < min_seconds)
    told = seconds[short].map("{:.4f}".format)
    reason[short] = (
        rows["path"][short] + ": " + told + f" s, shorter than {min_seconds} s"
    )
    return rows.assign(seconds=seconds, reason=reason)


def _segments(
    rows: pd.DataFrame, length: pd.Series
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Give the first sample of each row, the one after its last, and who has none."""
    given = rows.get("seconds", pd.Series("", index=rows.index))
    start = pd.to_numeric(rows["start"].replace("", "0"), errors="coerce")
    stop = start + pd.to_numeric(given.replace("", "inf"), errors="coerce")
    first = np.floor(start * SAMPLE_RATE + 0.5)
    last = np.floor(stop * SAMPLE_RATE + 0.5).where(np.isfinite(stop), length)
    late = last > length + OVERSHOOT_SECONDS * SAMPLE_RATE
    last = last.where(last < length, length)
    wrong = start.isna() | stop.isna() | (first < 0) | (last <= first) | late
    fill = ~wrong
    return first.where(fill, 0).astype(int), last.where(fill, 0).astype(int), wrong


def _beyond(rows: pd.DataFrame, length: pd.Series) -> pd.Series:
    seconds = rows.get("seconds", "")
    return (
        rows["path"]
        + ": a segment from "
        + rows["start"]
        + " s, "
        + seconds
        + " s long, is not within its "
        + (length / SAMPLE_RATE).map("{:.3f}".format)
        + " s"
    )
