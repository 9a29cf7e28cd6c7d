"""Score a trial list with one run that compares utterances two by two."""

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from unipool.backends import PAIRWISE
from unipool.calibration import fit_calibration
from unipool.cell import CellFiles, known_of, write_cell
from unipool.device import pick_device
from unipool.pairwise import compare_trials
from unipool.splits import SplitCache
from unipool.trained import Opened, open_run
from unipool.trials import read_trial_list

logger = logging.getLogger(__name__)


class Compared(NamedTuple):
    """The trials of one list: their scores, and what gave them.

    Args:
        opened: the run, and the hidden states of both sides.
        trials: of the list, with their score.
        enrolments: the utterances of its models.
        caches: what the hidden states did cost.
        seconds: that the scores took.
    """

    opened: Opened
    trials: pd.DataFrame
    enrolments: pd.DataFrame
    caches: dict[str, dict[str, float]]
    seconds: float


def score_pairs(
    *,
    run: Path,
    split: SplitCache,
    trials: Path,
    valid_split: SplitCache,
    valid_trials: Path,
    p_targets: list[float],
    draws: int,
    files: CellFiles,
    key: dict[str, Any],
    definition: dict[str, Any],
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
) -> None:
    """Write the score of each trial, and the metrics of all of them.

    The validation trials are scored first: they give the threshold, and the
    calibration from scores to log-likelihood ratios.

    Args:
        run: folder of the checkpoint.
        split: the utterances that the trials speak of, cached with the run's backbone.
        trials: trial list, its companion beside it.
        valid_split: the utterances that the validation trials speak of, alike.
        valid_trials: the trial list that chose the weights.
        p_targets: priors of the detection costs.
        draws: of the speakers, for the intervals.
        files: to write: scores, metrics, draws.
        key: corpus, view, backbone, backend, scoring, seed and trials: the row's place
            in the table.
        definition: all settings that decide the result.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.
        embed_batch_seconds: of a batch, its padding included.

    Reads: the checkpoint, manifests, cache parts, trials.
    Writes: ``files``.

    Raises:
        ValueError: when a cache is not the expected one, does not fit the checkpoint or
            lacks an utterance, the run has embeddings to score, or one class has no
            trial.
    """
    torch.set_num_threads(num_threads)
    where = pick_device(device)
    options: dict[str, Any] = {"device": where, "batch_seconds": embed_batch_seconds}
    valid = _compared(run, valid_split, valid_trials, **options)
    tested = valid
    if trials != valid_trials:
        tested = _compared(run, split, trials, **options)
    opened = tested.opened
    targets = valid.trials["target"].to_numpy(bool)
    calibration = fit_calibration(valid.trials[["score"]].to_numpy(), targets)
    write_cell(
        files,
        tested.trials.assign(llr=calibration.llr(tested.trials[["score"]].to_numpy())),
        known=known_of(opened.rows, tested.enrolments),
        valid=pd.DataFrame({"target": targets, "score": valid.trials["score"]}),
        p_targets=p_targets,
        published=False,  # there the score is a cosine
        draws=draws,
        key=key,
        costs=opened.costs
        | {"embed_seconds": None, "score_seconds": round(tested.seconds, 3)},
        caches=opened.info.get("caches", {}) | valid.caches | tested.caches,
        trained_with=opened.info.get("versions"),
        definition=definition,
    )


def _compared(
    run: Path,
    split: SplitCache,
    trials: Path,
    *,
    device: torch.device,
    batch_seconds: float,
) -> Compared:
    opened = open_run(run, split, device)
    if opened.info["kind"] not in PAIRWISE:
        raise ValueError(
            f"{run}: of kind {opened.info['kind']!r}, which has embeddings; score these"
        )
    listed, started = read_trial_list(trials), time.monotonic()
    logger.info("%d trials of %s", len(listed.trials), trials.stem)
    scores = compare_trials(
        opened.backend,
        opened.cache,
        listed,
        max_frames=int(batch_seconds / opened.cache.frame_shift),
        device=device,
        progress=True,
    )
    return Compared(
        opened,
        listed.trials.assign(score=scores),
        listed.enrolments,
        split.costs(opened.cache),
        time.monotonic() - started,
    )
