"""What the two sides of a trial share: speaker, gender, accent, session, ..."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from unipool.trials.listing import TrialList

OWN = ("utterance", "speaker", "split", "path", "seconds")
"""Columns of a manifest that are no metadata."""

SAME, DIFFERENT, NOT_KNOWN = 1, 0, -1


def check_metadata(rows: pd.DataFrame, names: Iterable[str], option: str) -> None:
    """Refuse names that are no metadata of the manifest.

    Raises:
        ValueError: it lists what there is.
    """
    known = [column for column in rows if column not in OWN]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{option}: the manifest has no metadata {', '.join(unknown)}; it has"
            f" {', '.join(known) or 'none'}"
        )


def same_values(
    listed: TrialList, rows: pd.DataFrame, names: Sequence[str]
) -> pd.DataFrame:
    """Compare the two sides of each trial.

    Sessions are the speaker's: those of two speakers are never the same. The value of a
    model is that of its utterances where they agree, and else not known;
    nor is an empty value.

    Args:
        listed: trials of utterances in ``rows``.
        rows: of the manifest.
        names: of its columns.

    Returns:
        One column for each name, under its name: 1 the same, 0 different, -1 not known.
    """
    models, index_of_model = np.unique(
        listed.enrolments["enrolment"].to_numpy(object), return_inverse=True
    )
    # A model comes before the utterances: an enrolment that both are is the model.
    ids = pd.Index([*models, *rows["utterance"]])
    of_model = pd.Index(rows["utterance"]).get_indexer(listed.enrolments["utterance"])
    left = ids.get_indexer(listed.trials["enrolment"])
    right = ids.get_indexer(listed.trials["test"])
    columns = {}
    for name in names:
        values = rows[name]
        if name == "session":
            values = (rows["speaker"] + "\0" + values).where(values != "", "")
        codes = _codes(values)
        both = np.concatenate(
            [_agreed(codes[of_model], index_of_model, len(models)), codes]
        )
        of_left, of_right = both[left], both[right]
        same = np.where(of_left == of_right, SAME, DIFFERENT)
        columns[name] = np.where((of_left < 0) | (of_right < 0), NOT_KNOWN, same)
    return pd.DataFrame(columns, index=listed.trials.index)


def _codes(values: pd.Series) -> Int[np.ndarray, " N"]:
    """Number the values; the empty one is -1."""
    codes, _ = pd.factorize(values.where(values != ""))
    return codes.astype(np.int64)


def _agreed(
    codes: Int[np.ndarray, " M"], models: Int[np.ndarray, " M"], num_models: int
) -> Int[np.ndarray, " K"]:
    """Give the code that all utterances of a model have, else -1."""
    highest = np.full(num_models, -1)
    np.maximum.at(highest, models, codes)
    lowest = highest.copy()
    np.minimum.at(lowest, models, codes)
    return np.where(lowest == highest, highest, NOT_KNOWN)


def add_conditions(
    listed: TrialList, rows: pd.DataFrame, names: Sequence[str]
) -> TrialList:
    """Add a column ``same_gender`` and so on: 1, 0, or empty where it is not known.

    Raises:
        ValueError: when the manifest has no such metadata, or the list such a column.
    """
    check_metadata(rows, names, "conditions")
    there = [name for name in names if f"same_{name}" in listed.trials]
    if there:
        raise ValueError(
            f"conditions: the list has a column same_{there[0]} already; take"
            f" {there[0]} out of conditions, or rename the column"
        )
    texts = same_values(listed, rows, names).replace(
        {SAME: "1", DIFFERENT: "0", NOT_KNOWN: ""}
    )
    columns = {f"same_{name}": texts[name].astype(str) for name in names}
    return listed._replace(trials=listed.trials.assign(**columns))
