"""The files of a trial list: read, checked, written."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

COLUMNS = ("enrolment", "test", "target")
OF_MODELS = ("enrolment", "utterance")


class TrialList(NamedTuple):
    """What is compared with what.

    Args:
        trials: enrolment, test, target (0 or 1), conditions (text).
        enrolments: enrolment, utterance: a row for each utterance of each model. An
            enrolment that is not here is an utterance.
    """

    trials: pd.DataFrame
    enrolments: pd.DataFrame


def no_models() -> pd.DataFrame:
    """Give the ``enrolments`` of a list whose enrolments are all utterances."""
    return pd.DataFrame({column: pd.Series(dtype=str) for column in OF_MODELS})


def companion(path: Path) -> Path:
    """Name the file of the models that belongs to a trial list."""
    return path.with_name(path.name.removesuffix(".csv") + ".enrolments.csv")


def read_trial_list(path: Path) -> TrialList:
    """Read a trial list and its companion.

    Raises:
        FileNotFoundError: when there is no such file, or no companion.
        ValueError: when columns are missing, rows are wrong, or there is no trial.
    """
    trials = read_trials(path)
    of_models = companion(path)
    if not of_models.exists():
        raise FileNotFoundError(
            f"{of_models}: not there, but belongs to {path.name}; run prepare_trials"
            f" again, or, where all enrolments are utterances, write the line"
            f" {','.join(OF_MODELS)} into it"
        )
    enrolments = _read_columns(of_models, OF_MODELS)
    wrong = (enrolments == "").any(axis=1) | enrolments.duplicated()
    if wrong.any():
        raise ValueError(
            f"{of_models}: {np.count_nonzero(wrong)} rows with an empty name or that"
            f" come twice, in lines {_lines(wrong)}"
        )
    return TrialList(trials, enrolments)


def read_trials(path: Path) -> pd.DataFrame:
    """Read the trials alone; ids and conditions are text, ``target`` is 0 or 1.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when columns are missing, rows are wrong, or there is no row.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such trial list")
    trials = _read_columns(path, COLUMNS)
    if trials.empty:
        raise ValueError(f"{path}: no trials")
    wrong = ~trials["target"].isin(["0", "1"]) | (trials[list(COLUMNS)] == "").any(
        axis=1
    )
    if wrong.any():
        raise ValueError(
            f"{path}: {np.count_nonzero(wrong)} rows with an empty id or a target that"
            f" is neither 0 nor 1, in lines {_lines(wrong)}"
        )
    return trials.astype({"target": int})


def _read_columns(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except ValueError as error:
        raise ValueError(f"{path}: not a UTF-8 CSV ({str(error).strip()})") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)} among {', '.join(table)}"
        )
    return table.fillna("")


def _lines(wrong: pd.Series) -> str:
    return ", ".join(str(row + 2) for row in np.flatnonzero(wrong)[:10])


def write_trials(
    trials: pd.DataFrame, path: Path, enrolments: pd.DataFrame | None = None
) -> None:
    """Write a trial list, its three own columns first, and its companion.

    Args:
        trials: enrolment, test, target, conditions.
        path: of the CSV.
        enrolments: the models; None where each enrolment is an utterance.

    Writes: ``path`` and its companion, under a temporary name and then renamed, the
    list last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    conditions = [column for column in trials if column not in COLUMNS]
    of_models = no_models() if enrolments is None else enrolments
    for table, file in (
        (of_models[list(OF_MODELS)], companion(path)),
        (trials[[*COLUMNS, *conditions]], path),
    ):
        partial = file.with_name(file.name + ".partial")
        table.to_csv(partial, index=False)
        partial.replace(file)
