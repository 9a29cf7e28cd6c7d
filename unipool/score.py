"""Score a trial list with the embeddings of one run, and measure the errors."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from unipool.embeddings import read_embeddings
from unipool.manifest import read_manifest
from unipool.measuring import measure
from unipool.provenance import versions
from unipool.scoring import cosine_scores
from unipool.trials import TrialList, read_trial_list


def score(
    *,
    embeddings: Path,
    trials: Path,
    manifest: Path,
    scores: Path,
    metrics: Path,
    key: dict[str, Any],
) -> None:
    """Write the score of each trial, and the metrics of all of them.

    Args:
        embeddings: of the split that the trials speak of, with what they cost.
        trials: trial list, its companion beside it.
        manifest: of the corpus that the trials are of; it knows the speakers.
        scores: CSV to write: enrolment, test, target, score.
        metrics: JSON to write: ``key``, ``metrics``, ``costs``, ``versions``.
        key: corpus, view, backbone, backend, seed and trials: the row's place in the
            table.

    Reads: embeddings, trials, the manifest.
    Writes: ``scores``, ``metrics``.

    Raises:
        ValueError: when a trial has no embedding, or one class has no trial.
    """
    listed = read_trial_list(trials)
    content = read_embeddings(embeddings)
    values = cosine_scores(
        content.embeddings, content.utterances, listed, num_heads=content.num_heads
    )
    info = content.info
    caches = info["caches"].values()
    facts = {
        "key": key,
        "metrics": measure(
            listed.trials.assign(score=values),
            _speakers(listed, read_manifest(manifest)),
        ),
        "costs": {
            "backend_parameters": info["backend_parameters"],
            "extract_seconds": sum(cache["extract_seconds"] for cache in caches),
            "train_seconds": info["train_seconds"],
            "cache_bytes": sum(cache["bytes"] for cache in caches),
        },
        "versions": {"trained_with": info["trained_with"], "scored_with": versions()},
    }
    scores.parent.mkdir(parents=True, exist_ok=True)
    partial = scores.with_name(scores.name + ".partial")
    columns = listed.trials[["enrolment", "test", "target"]]
    columns.assign(score=values).to_csv(partial, index=False)
    partial.replace(scores)
    metrics.parent.mkdir(parents=True, exist_ok=True)
    partial = metrics.with_name(metrics.name + ".partial")
    partial.write_text(
        json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    partial.replace(metrics)


def _speakers(listed: TrialList, utterances: pd.DataFrame) -> pd.Series:
    """Give the speaker of each utterance and of each model."""
    speaker_of = utterances.set_index("utterance")["speaker"]
    models = listed.enrolments.drop_duplicates("enrolment").set_index("enrolment")
    return pd.concat([speaker_of, models["utterance"].map(speaker_of)])
