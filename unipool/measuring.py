"""Metrics of scored trials with their intervals, of all trials or by condition."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from unipool.as_published import (
    published_eer,
    published_eer_star,
    published_min_dcf,
)
from unipool.bootstrap import (
    Measurement,
    Metric,
    draw_speakers,
    fewest_speakers,
)
from unipool.conditions import values_of
from unipool.intervals import POWER, around_mean
from unipool.metrics import (
    SortedTrials,
    act_dcf,
    cllr,
    eer,
    eer_star,
    min_cllr,
    min_dcf,
)

P_TARGETS = (0.01, 0.05)
"""Priors of a target of the detection costs."""
DRAWS = 1000
"""Of speakers, for each interval."""


Codes = Int64[np.ndarray, " N"]


class Measured(NamedTuple):
    """What was measured of a list of trials.

    Args:
        values: num_trials, num_targets, num_speakers, fewest_speakers (of the class of
            trials that has fewer), and each metric by its name; the
            ends of its interval have ``_low`` and ``_high`` behind it, and are NaN when
            there are too few speakers.
        draws: a column for each metric, a row for each draw of the speakers. The draws
            of all systems on a trial list are the same.
    """

    values: dict[str, float]
    draws: pd.DataFrame


def measure(
    trials: pd.DataFrame,
    speaker_of: pd.Series,
    *,
    p_targets: Sequence[float] = P_TARGETS,
    threshold: float | None = None,
    published: bool = False,
    published_threshold: float | None = None,
    draws: int = DRAWS,
) -> Measured:
    """Give each metric of scored trials, and its interval.

    Args:
        trials: enrolment, test, target, score, and perhaps llr, from which come
            ``act_dcf`` and ``cllr``.
        speaker_of: the speaker of each utterance and model.
        p_targets: priors of a target of the detection costs, as in ``min_dcf_p01``.
        threshold: of the score, chosen on other trials; gives ``eer_star``.
        published: whether also to compute what published code does; the score is then a
            cosine.
        published_threshold: chosen on other trials as published code does; gives
            ``published_eer_star``.
        draws: of speakers; with 0 there are no intervals.

    Raises:
        ValueError: when there is one class only, an utterance has no speaker, or a
            score is not finite.
    """
    measurements = measurements_of(
        trials, p_targets, threshold, published, published_threshold
    )
    enrolment, test = number_speakers(trials, speaker_of)
    drawn = pd.concat(
        draw_speakers(measurements, enrolment, test, draws=draws, seed=0), axis=1
    )
    fewest = fewest_speakers(measurements[0][0], enrolment, test)
    values: dict[str, float] = {
        "num_trials": len(trials),
        "num_targets": int(trials["target"].sum()),
        "num_speakers": len(np.union1d(enrolment, test)),
        "fewest_speakers": fewest,
    }
    for name, value in values_by_name(measurements).items():
        _, low, high = interval_of(
            name, np.array([value]), drawn[name].to_numpy()[:, None], fewest
        )
        values |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return Measured(values, drawn)


def interval_of(
    name: str,
    values: Float64[np.ndarray, " seeds"],
    draws: Float64[np.ndarray, "draws seeds"],
    speakers: int,
) -> tuple[float, float, float]:
    """Give the mean of a metric over seeds, and its interval, see ``around_mean``.

    Args:
        name: of the metric; it tells what the largest value is, and whether it is an
            actual cost.
        values: of each seed.
        draws: they, on draws of the speakers.
        speakers: of the class of trials that has fewer, ``fewest_speakers``.
    """
    largest = 0.01 if name == "published_min_dcf" else 1.0
    is_actual_cost = name.startswith(("act_dcf", "cllr"))
    mean, low, high = around_mean(
        values / largest,
        draws / largest,
        speakers,
        bounded=not is_actual_cost,
        is_actual_cost=is_actual_cost,
        power=1 if name == "cllr" else POWER,
    )
    return largest * mean, largest * low, largest * high


def measure_conditions(
    trials: pd.DataFrame,
    speaker_of: pd.Series,
    *,
    conditions: Sequence[str],
    **options: Any,
) -> list[dict[str, Any]]:
    """Measure the trials of each value of each condition.

    Where all trials of a value are of one class, the trials of the other class are
    those of the whole list: nothing else could be an error rate.

    Args:
        trials: as for ``measure``, and the conditions' columns.
        speaker_of: the speaker of each utterance and model.
        conditions: columns; ``values_of`` says what their values are.
        options: those of ``measure``.

    Returns:
        A row for each value: ``condition``, ``value``, ``whole_class`` (``targets``,
        ``nontargets``, or empty: of which class all trials were taken), and what
        ``measure`` gives.
    """
    is_target = trials["target"].to_numpy(bool)
    rows: list[dict[str, Any]] = []
    for condition in conditions:
        values = values_of(trials[condition])
        for code, value in enumerate(values.categories):
            chosen = values.codes == code
            whole = ""
            if not is_target[chosen].any():
                whole, chosen = "targets", chosen | is_target
            elif is_target[chosen].all():
                whole, chosen = "nontargets", chosen | ~is_target
            measured = measure(trials[chosen], speaker_of, **options)
            of_part = {"condition": condition, "value": value, "whole_class": whole}
            rows.append(of_part | measured.values)
    return rows


def measurements_of(
    trials: pd.DataFrame,
    p_targets: Sequence[float],
    threshold: float | None = None,
    published: bool = False,
    published_threshold: float | None = None,
) -> list[Measurement]:
    """Say what is measured of which order of the trials; see ``measure``."""
    wrong = [one for one in p_targets if not 0 < one < 1]
    if wrong:
        raise ValueError(f"p_target {wrong[0]:g}: a prior is between 0 and 1")
    is_target = trials["target"].to_numpy(bool)
    scores = trials["score"].to_numpy(float)
    ordered = SortedTrials(scores, is_target)
    of_order: dict[str, Metric] = {"eer": eer}
    of_order |= {
        f"min_dcf_{_short(p)}": partial(min_dcf, p_target=p) for p in p_targets
    }
    found: list[Measurement] = [
        (ordered.at_corners(), of_order | {"min_cllr": min_cllr})
    ]
    if threshold is not None:
        found.append((ordered, {"eer_star": partial(eer_star, threshold=threshold)}))
    if "llr" in trials:
        of_ratios: dict[str, Metric] = {
            f"act_dcf_{_short(p)}": partial(act_dcf, p_target=p) for p in p_targets
        }
        ratios = SortedTrials(trials["llr"].to_numpy(float), is_target)
        found.append((ratios, of_ratios | {"cllr": cllr}))
    if published:
        clamped = SortedTrials(np.clip(scores, 0, 1), is_target)
        of_code: dict[str, Metric] = {
            "published_eer": published_eer,
            "published_min_dcf": published_min_dcf,
        }
        if published_threshold is not None:
            of_code["published_eer_star"] = partial(
                published_eer_star, threshold=published_threshold
            )
        found.append((clamped, of_code))
    return found


def _short(p_target: float) -> str:
    """Spell a prior as in the name of a metric: 0.01 is p01."""
    return "p" + np.format_float_positional(p_target).removeprefix("0.")


def values_by_name(measurements: list[Measurement]) -> dict[str, float]:
    """Measure with each trial counted once."""
    return {
        name: metric(rates)
        for trials, metrics in measurements
        for rates in [trials.error_rates()]
        for name, metric in metrics.items()
    }


def number_speakers(trials: pd.DataFrame, speaker_of: pd.Series) -> tuple[Codes, Codes]:
    """Number the speakers of both sides from 0, in the order of their names."""
    sides = [trials[side].map(speaker_of) for side in ("enrolment", "test")]
    both = pd.concat(sides)
    if both.isna().any():
        strange = pd.concat([trials["enrolment"], trials["test"]])[both.isna()]
        raise ValueError(
            f"{strange.nunique()} utterances have no speaker, for example"
            f" {strange.iloc[0]}; known are, for example, {speaker_of.index[0]}"
        )
    codes, _ = pd.factorize(both, sort=True)
    enrolment, test = np.split(codes, 2)
    return enrolment, test
