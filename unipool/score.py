"""Score a trial list with the embeddings of one run, and measure the errors."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from unipool.calibration import fit_calibration, quality_features
from unipool.cell import CellFiles, known_of, write_cell
from unipool.embeddings import Embeddings, read_embeddings
from unipool.scoring import SCORINGS, Cohort, Scorer, pair_up
from unipool.trials import TrialList, read_trial_list


class Scored(NamedTuple):
    """The trials of one list: their scores, and all that bears on them.

    Args:
        scores: of the trials.
        features: of each, for the calibration.
        targets: whether both sides are of one speaker.
    """

    scores: Float64[np.ndarray, " K"]
    features: Float64[np.ndarray, "K F"]
    targets: Bool[np.ndarray, " K"]


def score(
    *,
    embeddings: Path,
    trials: Path,
    valid_embeddings: Path,
    valid_trials: Path,
    cohort: Path | None,
    scoring: dict[str, Any],
    p_targets: list[float],
    published: bool,
    draws: int,
    files: CellFiles,
    key: dict[str, Any],
) -> None:
    """Write the score of each trial, and the metrics of all of them.

    The validation trials are scored first: they give the threshold, and the
    calibration from scores to log-likelihood ratios. With the calibration ``quality``
    the ratio, in which durations, norms and the cohort have their part, is the score.

    Args:
        embeddings: of the split that the trials speak of, with what they cost.
        trials: trial list, its companion beside it.
        valid_embeddings: of the split that the validation trials speak of.
        valid_trials: the trial list that chose the weights.
        cohort: embeddings of the training split, where the scoring needs them.
        scoring: its ``kind``, ``options``, and ``calibration``, score or quality.
        p_targets: priors of the detection costs.
        published: whether also the values as published code computes them, where the
            score is the cosine that they are of.
        draws: of the speakers, for the intervals.
        files: to write: scores, metrics, draws.
        key: corpus, view, backbone, backend, scoring, seed and trials: the row's place
            in the table.

    Reads: embeddings, trials.
    Writes: ``files``.

    Raises:
        ValueError: when a trial has no embedding, or one class has no trial.
    """
    content, listed = read_embeddings(embeddings), read_trial_list(trials)
    started = time.monotonic()
    of_train = None if cohort is None else read_embeddings(cohort)
    scorer = SCORINGS[scoring["kind"]](**scoring["options"]).fit(
        None if of_train is None else Cohort(of_train.embeddings, of_train.speakers),
        content.num_heads,
    )
    quality = scoring["calibration"] == "quality"
    of_valid = read_embeddings(valid_embeddings)
    valid = _score(scorer, of_valid, read_trial_list(valid_trials), quality=quality)
    calibration = fit_calibration(valid.features, valid.targets)
    scored = _score(scorer, content, listed, quality=quality)
    ratios = calibration.llr(scored.features)
    seconds = time.monotonic() - started
    tested = listed.trials.assign(score=ratios if quality else scored.scores)
    chosen_on = calibration.llr(valid.features) if quality else valid.scores
    write_cell(
        files,
        tested.assign(llr=ratios),
        known=_known(content, listed),
        valid=pd.DataFrame({"target": valid.targets, "score": chosen_on}),
        p_targets=p_targets,
        published=published and _is_plain(scoring),
        draws=draws,
        key=key,
        costs=content.info["costs"] | {"score_seconds": round(seconds, 3)},
        caches={
            name: cost
            for one in (of_train, of_valid, content)
            if one is not None
            for name, cost in one.info["caches"].items()
        },
        trained_with=content.info["trained_with"],
    )


def _is_plain(scoring: dict[str, Any]) -> bool:
    """Tell whether the score is the cosine of the embeddings as they are."""
    plain = scoring["kind"] == "cosine" and not scoring["options"].get("centre")
    return plain and scoring["calibration"] == "score"


def _score(
    scorer: Scorer, content: Embeddings, listed: TrialList, *, quality: bool
) -> Scored:
    sides = pair_up(
        content.embeddings, content.utterances, listed, num_heads=content.num_heads
    )
    found = scorer(sides)
    measures: dict[str, Float64[np.ndarray, " M"]] = {}
    if quality:
        measures = {
            "log_seconds": np.log(
                _known(content, listed).loc[sides.names, "seconds"].to_numpy(float)
            ),
            "log_norm": np.log(np.linalg.norm(sides.vectors, axis=1).astype(float)),
            **found.measures,
        }
    return Scored(
        found.values,
        quality_features(found.values, measures, sides.enrolment, sides.test),
        listed.trials["target"].to_numpy(bool),
    )


def _known(content: Embeddings, listed: TrialList) -> pd.DataFrame:
    utterances = pd.DataFrame(
        {
            "utterance": content.utterances,
            "speaker": content.speakers,
            "seconds": content.seconds,
        }
    )
    return known_of(utterances, listed.enrolments)
