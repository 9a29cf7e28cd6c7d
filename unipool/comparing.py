"""Systems compared with each other on the same trials."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from unipool.bootstrap import draw_speakers, fewest_speakers
from unipool.intervals import difference_of_means, holm
from unipool.measuring import (
    DRAWS,
    P_TARGETS,
    measurements_of,
    number_speakers,
    values_by_name,
)


def compare(
    systems: Mapping[str, pd.DataFrame],
    speaker_of: pd.Series,
    *,
    p_targets: Sequence[float] = P_TARGETS,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Compare systems on the same trials, speakers resampled for all of them at once.

    Args:
        systems: scored trials of each, two systems or more, as for ``measure``; the
            trials are the same, in any order. What needs an llr is compared when all
            have one.
        speaker_of: the speaker of each utterance and model.
        p_targets: priors of a target of the detection costs.
        draws: of speakers.

    Returns:
        A row for each metric and each pair of systems: ``metric``, ``first``,
        ``second``, ``first_value``, ``second_value``, ``difference`` (second less
        first), ``low`` and ``high``, its 95 % interval, ``p_value``, and
        ``p_corrected``, for the number of pairs.

    Raises:
        ValueError: when the trials are not the same, or see ``measure``.
    """
    whole, *others = systems.values()
    scored = [whole, *(_in_order_of(whole, other) for other in others)]
    if not all("llr" in one for one in scored):
        scored = [one.drop(columns="llr", errors="ignore") for one in scored]
    of_systems = [measurements_of(one, p_targets) for one in scored]
    enrolment, test = number_speakers(whole, speaker_of)
    fewest = fewest_speakers(of_systems[0][0][0], enrolment, test)
    all_of_them = [one for of_system in of_systems for one in of_system]
    drawn = draw_speakers(all_of_them, enrolment, test, draws=draws, seed=0)
    per_system = len(of_systems[0])
    values = [values_by_name(one) for one in of_systems]
    frames = [
        pd.concat(drawn[start : start + per_system], axis=1)
        for start in range(0, len(drawn), per_system)
    ]
    rows = []
    for metric in values[0]:
        for (name, value, frame), (name_b, value_b, frame_b) in combinations(
            zip(systems, values, frames, strict=True), 2
        ):
            one, other = value[metric], value_b[metric]
            tested = difference_of_means(
                np.array([one]),
                frame[metric].to_numpy()[:, None],
                np.array([other]),
                frame_b[metric].to_numpy()[:, None],
                fewest,
            )
            rows.append((metric, name, name_b, one, other, *tested))
    columns = "metric first second first_value second_value difference low high p_value"
    table = pd.DataFrame(rows, columns=columns.split())
    corrected = table.groupby("metric")["p_value"].transform(
        lambda p_values: holm(p_values.to_numpy())
    )
    return table.assign(p_corrected=corrected)


def _in_order_of(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Give the second's trials as the first has them."""
    key = ["enrolment", "test"]
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} trials of the first and {len(second)} of the second; compare"
            " scores of the same list"
        )
    twice = second.drop_duplicates([*key, "score"]).duplicated(key)
    if twice.any():
        one = second.loc[twice.index[twice.to_numpy()][0]]
        raise ValueError(
            f"{one['enrolment']} {one['test']} has two scores; score each trial once"
        )
    ordered = first[key].merge(second.drop_duplicates(key), on=key, how="left")
    lacking = ordered["score"].isna() | (
        ordered["target"].to_numpy() != first["target"].to_numpy()
    )
    if lacking.any():
        one = first[lacking.to_numpy()].iloc[0]
        raise ValueError(
            f"{int(lacking.sum())} of {len(first)} trials of the first are not in the"
            f" second, or have another label there, for example {one['enrolment']}"
            f" {one['test']}; compare scores of the same list"
        )
    return ordered
