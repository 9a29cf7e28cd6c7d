"""Score a trial list with the embeddings of one run, and measure the errors."""

import json
from pathlib import Path
from typing import Any

from unipool.embeddings import read_embeddings
from unipool.metrics import eer, min_dcf
from unipool.provenance import versions
from unipool.scoring import cosine_scores
from unipool.trials import read_trial_list


def score(
    *,
    embeddings: Path,
    trials: Path,
    scores: Path,
    metrics: Path,
    key: dict[str, Any],
) -> None:
    """Write the score of each trial, and the metrics of all of them.

    Args:
        embeddings: of the split that the trials speak of, with what they cost.
        trials: trial list, its companion beside it.
        scores: CSV to write: enrolment, test, target, score.
        metrics: JSON to write: ``key``, ``metrics``, ``costs``, ``versions``.
        key: corpus, view, backbone, backend, seed and trials: the row's place in the
            table.

    Reads: embeddings, trials.
    Writes: ``scores``, ``metrics``.

    Raises:
        ValueError: when a trial has no embedding, or one class has no trial.
    """
    listed = read_trial_list(trials)
    content = read_embeddings(embeddings)
    values = cosine_scores(
        content.embeddings, content.utterances, listed, num_heads=content.num_heads
    )
    targets = listed.trials["target"].to_numpy(bool)
    info = content.info
    caches = info["caches"].values()
    facts = {
        "key": key,
        "metrics": {
            "num_trials": len(listed.trials),
            "eer": eer(values, targets),
            "min_dcf_p01": min_dcf(values, targets, p_target=0.01),
            "min_dcf_p05": min_dcf(values, targets, p_target=0.05),
        },
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
