"""Take over a trial list that somebody published."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unipool.trials.conditions import DIFFERENT, NOT_KNOWN, SAME, same_values
from unipool.trials.listing import TrialList, no_models
from unipool.trials.matching import match_ids
from unipool.trials.published import read_enrolment_map, read_published

logger = logging.getLogger(__name__)

SHOWN = 10


def take_over_trials(
    file: Path,
    manifest: pd.DataFrame,
    *,
    split: str,
    enrolments: Path | None = None,
    unknown: str = "error",
) -> TrialList:
    """Read a published list, and find its utterances and models.

    Args:
        file: see ``read_published``.
        manifest: of the corpus.
        split: which of its utterances may be compared.
        enrolments: of which utterances each model is, see ``read_enrolment_map``;
            enrolments that are not in it are utterances.
        unknown: what to do about trials of utterances that the split lacks: ``error``,
            or ``leave_out``, which is logged.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: when a line is wrong, an utterance unknown or not to be told from
            another, or a target contradicts the speakers of the manifest.
    """
    rows = manifest[manifest["split"] == split]
    trials = read_published(file)
    models = _models_of(trials, enrolments, manifest["utterance"])
    is_model = trials["enrolment"].isin(models["enrolment"])
    sides = [trials["enrolment"][~is_model], trials["test"], models["utterance"]]
    names = pd.concat(sides).unique().tolist()
    ids = _find(file, names, rows, split)
    strange = sorted(name for name in names if name not in ids)
    models["utterance"] = models["utterance"].map(ids)
    incomplete = set(models["enrolment"][models["utterance"].isna()])
    found = trials.assign(
        enrolment=trials["enrolment"].where(is_model, trials["enrolment"].map(ids)),
        test=trials["test"].map(ids),
    )
    lost = found["enrolment"].isna() | found["test"].isna()
    lost |= is_model & found["enrolment"].isin(incomplete)
    if strange:
        message = _say_unknown(file, strange, lost, manifest, split)
        if unknown == "error" or lost.all():
            raise ValueError(message)
        logger.warning("%s; these trials are left out", message)
    listed = TrialList(
        found[~lost], models[~models["enrolment"].isin(incomplete)].drop_duplicates()
    )
    _check_speakers(file, listed, rows)
    _tell_oddities(file, listed)
    return TrialList(*(table.reset_index(drop=True) for table in listed))


def _models_of(
    trials: pd.DataFrame, enrolments: Path | None, known: pd.Series
) -> pd.DataFrame:
    """Give the models that the trials name; those that are one utterance are none."""
    if enrolments is None:
        return no_models()
    models = read_enrolment_map(enrolments)
    models = models[models["enrolment"].isin(trials["enrolment"])]
    if models.empty:
        raise ValueError(
            f"{enrolments}: none of its models is an enrolment of the trial list, for"
            f" example {trials['enrolment'].iloc[0]}"
        )
    sizes = models.groupby("enrolment")["utterance"].transform("size")
    models = models[(sizes > 1) | (models["enrolment"] != models["utterance"])]
    clashing = sorted(set(models["enrolment"]) & set(known))
    if clashing:
        raise ValueError(
            f"{enrolments}: {len(clashing)} models have the name of an utterance, for"
            f" example {_some(clashing)}; rename them, here and in the trial list"
        )
    return models.reset_index(drop=True)


def _find(
    file: Path, names: list[str], rows: pd.DataFrame, split: str
) -> dict[str, str]:
    matched = match_ids(names, set(rows["utterance"].tolist()))
    if matched.clashes:
        shown = "".join(f"\n  {clash}" for clash in matched.clashes[:SHOWN])
        raise ValueError(
            f"{file}: {len(matched.clashes)} utterances of the list cannot be told from"
            f" others of the split {split}; write them as the manifest does:{shown}"
        )
    return matched.ids


def _say_unknown(
    file: Path, strange: list[str], lost: pd.Series, manifest: pd.DataFrame, split: str
) -> str:
    in_split = manifest["split"] == split
    elsewhere = match_ids(strange, set(manifest["utterance"][~in_split].tolist())).ids
    ours = sorted(manifest["utterance"][in_split][:SHOWN])
    hint = f"; {len(elsewhere)} of them are in another split" if elsewhere else ""
    return (
        f"{file}: {len(strange)} utterances, of {lost.sum()} of {len(lost)} trials, are"
        f" not in the split {split} of the manifest, for example {_some(strange)};"
        f" there they are called, for example, {_some(ours)}{hint} (unknown: leave_out"
        " goes on without these trials)"
    )


def _check_speakers(file: Path, listed: TrialList, rows: pd.DataFrame) -> None:
    """Refuse targets that contradict the speakers of the manifest."""
    same = same_values(listed, rows, ["speaker"])["speaker"]
    speaker_of = dict(zip(rows["utterance"], rows["speaker"], strict=True))
    if (same == NOT_KNOWN).any():
        mixed = sorted(set(listed.trials["enrolment"][same == NOT_KNOWN]))
        raise ValueError(
            f"{file}: {len(mixed)} models have utterances of several speakers, for"
            f" example {_some(mixed)}; mend the enrolment map or the manifest"
        )
    target = listed.trials["target"]
    wrong = listed.trials[(target == 1) & (same == DIFFERENT)]
    wrong = pd.concat([wrong, listed.trials[(target == 0) & (same == SAME)]])
    if len(wrong):
        first_of_model = listed.enrolments.drop_duplicates("enrolment")
        of_model = first_of_model.set_index("enrolment")["utterance"]
        shown = "".join(
            f"\n  {file}:{line}: target {trial.target}, but {trial.enrolment} is of"
            f" {speaker_of[of_model.get(trial.enrolment, trial.enrolment)]},"
            f" {trial.test} of {speaker_of[trial.test]}"
            for line, trial in wrong.head(SHOWN).iterrows()
        )
        raise ValueError(
            f"{file}: {len(wrong)} of {len(same)} trials contradict the speakers of the"
            f" manifest; mend the one or the other:{shown}"
        )


def _tell_oddities(file: Path, listed: TrialList) -> None:
    """Warn of utterances against themselves, and of repeated trials."""
    trials = listed.trials
    sides = [trials["enrolment"], trials["test"], listed.enrolments["utterance"]]
    ids = pd.Index(pd.unique(pd.concat(sides)))
    left, right = ids.get_indexer(sides[0]), ids.get_indexer(sides[1])
    models = ids.get_indexer(listed.enrolments["enrolment"])
    members = models * len(ids) + ids.get_indexer(sides[2])
    itself = (left == right) | np.isin(left * len(ids) + right, members)
    pairs = pd.Series(
        np.minimum(left, right) * len(ids) + np.maximum(left, right), trials.index
    )
    for odd, what in (
        (itself, "compare an utterance with itself, or with a model of it"),
        (pairs.duplicated(), "come again, perhaps the other way round"),
    ):
        if odd.any():
            shown = trials[odd].head(SHOWN)
            logger.warning(
                "%s: %d of %d trials %s, for example in line %s; they are kept",
                file,
                np.count_nonzero(odd),
                len(trials),
                what,
                ", ".join(map(str, shown.index)),
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:SHOWN])
