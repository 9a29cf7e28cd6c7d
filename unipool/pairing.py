"""Pair the utterances of a split: make its trial list, or take a published one over."""

import logging
from collections.abc import Sequence
from pathlib import Path

from unipool.download import verify
from unipool.manifest import read_manifest
from unipool.trials import (
    TrialList,
    add_conditions,
    make_trials,
    no_models,
    same_values,
    take_over_trials,
    write_trials,
)

logger = logging.getLogger(__name__)

WORDS = {1: "same", 0: "different", -1: "unknown"}


def prepare_trials(
    *,
    manifest: Path,
    split: str,
    trials: Path,
    conditions: Sequence[str] = (),
    file: Path | None = None,
    checksum: str | None = None,
    enrolments: Path | None = None,
    unknown: str = "error",
    num_targets: int | None = None,
    num_nontargets: int | None = None,
    seed: int | None = None,
    balance: Sequence[str] = (),
    same_session: float | str = 0.0,
    rounding: str = "exact",
) -> None:
    """Write the trial list of a split: made here, or read from a published file.

    Args:
        manifest: of the corpus.
        split: which of its utterances may be compared.
        trials: CSV to write; its companion stands beside it.
        conditions: metadata that the two sides may share; each becomes a column.
        file: a list to take over; the three options below are of it.
        checksum: that it must have, ``sha256:...`` or ``md5:...``.
        enrolments: file that says of which utterances its models are.
        unknown: utterances that the split lacks: ``error`` or ``leave_out``.
        num_targets: or else, how many target trials to make; it, ``seed`` and the
            others are of ``make_trials``.
        num_nontargets: how many others; None for as many.
        seed: of their choice.
        balance: metadata by which they are balanced.
        same_session: share of target trials of one session, or ``any``.
        rounding: ``exact`` or ``up``.

    Reads: the manifest, ``file``, ``enrolments``.
    Writes: ``trials`` and its companion.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: when the list cannot be made, or does not fit the manifest.
    """
    utterances = read_manifest(manifest)
    rows = utterances[utterances["split"] == split]
    if rows.empty:
        raise ValueError(
            f"{manifest}: no utterances of the split {split}; change the corpus's split"
        )
    if file is None:
        assert num_targets is not None
        assert seed is not None
        made = make_trials(
            rows,
            num_targets=num_targets,
            num_nontargets=num_nontargets,
            seed=seed,
            balance=balance,
            same_session=same_session,
            rounding=rounding,
        )
        listed = TrialList(made, no_models())
    else:
        if checksum is not None:
            verify(file, checksum)
        listed = take_over_trials(
            file, utterances, split=split, enrolments=enrolments, unknown=unknown
        )
    for target, kind in ((1, "target"), (0, "non-target")):
        if not (listed.trials["target"] == target).any():
            raise ValueError(
                f"{trials}: there would be no {kind} trial, and error rates need both"
                " sorts; check the list, and what it names against the corpus"
            )
    shown = list(dict.fromkeys([*balance, *conditions]))
    listed = add_conditions(listed, rows, conditions)
    write_trials(listed.trials, trials, listed.enrolments)
    num_models = listed.enrolments["enrolment"].nunique()
    logger.info("%d trials, %d models", len(listed.trials), num_models)
    patterns = same_values(listed, rows, shown).assign(target=listed.trials["target"])
    for pattern, count in patterns.value_counts(sort=False).sort_index().items():
        *same, target = pattern
        words = [
            f"{WORDS[value]} {name}" for name, value in zip(shown, same, strict=True)
        ]
        kind = "target" if target else "non-target"
        logger.info("%s: %d", ", ".join([kind, *words]), count)
