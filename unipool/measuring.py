"""Error rates of scored trials with their intervals; two systems compared."""

from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Int64

from unipool.intervals import (
    Metric,
    around,
    difference,
    draw_speakers,
    num_speakers,
)
from unipool.metrics import SortedTrials, eer, min_dcf

METRICS: dict[str, Metric] = {
    "eer": eer,
    "min_dcf_p01": partial(min_dcf, p_target=0.01),
    "min_dcf_p05": partial(min_dcf, p_target=0.05),
}

DRAWS = 1000
"""Of speakers, for each interval."""

Codes = Int64[np.ndarray, " N"]


def measure(
    trials: pd.DataFrame, speaker_of: pd.Series, *, draws: int = DRAWS
) -> dict[str, float]:
    """Give the number of trials and speakers, each metric, and its interval.

    Args:
        trials: enrolment, test, target, score.
        speaker_of: the speaker of each utterance and model.
        draws: of speakers.

    Returns:
        By name; the ends of an interval have ``_low`` and ``_high`` behind it.

    Raises:
        ValueError: when there is one class or one speaker only, or a score is not
            finite.
    """
    enrolment, test = _speakers(trials, speaker_of)
    count = num_speakers(enrolment, test)
    ordered = _sorted(trials)
    drawn = draw_speakers([ordered], enrolment, test, METRICS, draws=draws, seed=0)
    measured: dict[str, float] = {"num_trials": len(trials), "num_speakers": count}
    for name, metric in METRICS.items():
        value = metric(ordered.error_rates())
        low, high = around(value, drawn[name][:, 0], count)
        measured |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return measured


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    speaker_of: pd.Series,
    *,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Compare two systems on the same trials, speakers resampled for both at once.

    Args:
        first: enrolment, test, target, score.
        second: the same trials, in any order.
        speaker_of: the speaker of each utterance and model.
        draws: of speakers.

    Returns:
        A row for each metric: ``first``, ``second``, ``difference`` (second less
        first), ``low`` and ``high``, its 95 % interval, and ``p_value``.

    Raises:
        ValueError: when the trials are not the same, or see ``measure``.
    """
    key = ["enrolment", "test"]
    second = first[key].merge(second.drop_duplicates(key), on=key, how="left")
    lacking = second["score"].isna() | (second["target"] != first["target"])
    if lacking.any():
        one = first[lacking.to_numpy()].iloc[0]
        raise ValueError(
            f"{int(lacking.sum())} of {len(first)} trials of the first are not in the"
            f" second, or have another label there, for example {one['enrolment']}"
            f" {one['test']}; compare scores of the same list"
        )
    enrolment, test = _speakers(first, speaker_of)
    count = num_speakers(enrolment, test)
    systems = [_sorted(first), _sorted(second)]
    drawn = draw_speakers(systems, enrolment, test, METRICS, draws=draws, seed=0)
    rows = []
    for name, metric in METRICS.items():
        one, other = (metric(system.error_rates()) for system in systems)
        low, high, p_value = difference(
            other - one, drawn[name][:, 1] - drawn[name][:, 0], count
        )
        rows.append((name, one, other, other - one, low, high, p_value))
    columns = ["metric", "first", "second", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def _sorted(trials: pd.DataFrame) -> SortedTrials:
    return SortedTrials(trials["score"].to_numpy(), trials["target"].to_numpy(bool))


def _speakers(trials: pd.DataFrame, speaker_of: pd.Series) -> tuple[Codes, Codes]:
    """Number the speakers of both sides, from 0."""
    sides = [trials[side].map(speaker_of) for side in ("enrolment", "test")]
    both = pd.concat(sides)
    if both.isna().any():
        strange = pd.concat([trials["enrolment"], trials["test"]])[both.isna()]
        raise ValueError(
            f"{strange.nunique()} utterances have no speaker, for example"
            f" {strange.iloc[0]}; known are, for example, {speaker_of.index[0]}"
        )
    codes, _ = pd.factorize(both)
    enrolment, test = np.split(codes, 2)
    return enrolment, test
