"""Probe the layers: how well each of them alone, untrained, tells speakers apart."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64

from unipool.cache import Cache
from unipool.device import pick_device
from unipool.measuring import measure
from unipool.probing import Standard, fit_standard, layer_groups, standard_statistics
from unipool.provenance import versions
from unipool.scoring import cosine_scores
from unipool.splits import Memory, SplitCache
from unipool.trials import TrialList, read_trial_list

logger = logging.getLogger(__name__)

MOST_BYTES = 1e9
"""Of the statistics that are held at once; beyond it, layers are read in turn."""

RATES = ("eer", "eer_low", "eer_high")

IN_FILES = Memory(memory_gb=0, gpu_memory_gb=0)
"""Each utterance is read once, so the cache stays where it is."""


def probe(
    *,
    valid_split: SplitCache,
    test_split: SplitCache,
    trials: Path,
    out: Path,
    described: Path,
    definition: dict[str, Any],
    device: str,
    num_threads: int,
) -> None:
    """Write the equal error rate that each layer alone reaches on a trial list.

    An utterance is the mean and the standard deviation of its frames, each number
    standardised by the validation utterances; a trial's score is the cosine. Nothing is
    trained.

    Args:
        valid_split: the utterances that standardise, of the same backbone.
        test_split: the utterances that the trials speak of; its layers are probed.
        trials: trial list, its companion beside it.
        out: CSV to write: layer, eer, eer_low, eer_high; rates are fractions.
        described: JSON to write: the definition, and the versions of the code.
        definition: all settings that decide the result.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU.

    Reads: manifests, cache parts, trials.
    Writes: ``out``, ``described``.

    Raises:
        ValueError: when a cache is not the expected one, the backbones differ, a trial
            is of no utterance of the split, or one class has no trial.
    """
    torch.set_num_threads(num_threads)
    where = pick_device(device)
    listed = read_trial_list(trials)
    cache, rows = test_split.open(IN_FILES, where)
    named = _named(listed, cache, trials)
    if valid_split.backbone != test_split.backbone:
        raise ValueError(
            f"validation states are of {valid_split.backbone}, those of the trials of"
            f" {test_split.backbone}; probe with one backbone"
        )
    valid_split = valid_split._replace(layers=cache.layers)
    standard = fit_standard(valid_split.open(IN_FILES, where)[0], device=where)
    scored = listed.trials[["enrolment", "test", "target"]]
    speaker_of = _speakers(listed, rows)
    found = []
    for layer, scores in _scores_of_layers(
        test_split, cache, listed, named, standard, where
    ):
        measured = measure(scored.assign(score=scores), speaker_of, p_targets=()).values
        found.append({"layer": layer} | {name: measured[name] for name in RATES})
        logger.info("layer %d: EER %.2f %%", layer, 100 * measured["eer"])
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    pd.DataFrame(found).to_csv(partial, index=False)
    partial.replace(out)
    facts = {"definition": definition, "versions": versions()}
    partial = described.with_name(described.name + ".partial")
    partial.write_text(
        json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    partial.replace(described)


def _named(listed: TrialList, cache: Cache, path: Path) -> Int64[np.ndarray, " N"]:
    """Give the rows of the utterances that trials name, those of models included."""
    trials, models = listed
    of_trials = models[models["enrolment"].isin(trials["enrolment"])]
    single = trials["enrolment"][~trials["enrolment"].isin(models["enrolment"])]
    names = pd.concat([trials["test"], single, of_trials["utterance"]]).unique()
    rows = pd.Index(cache.utterances).get_indexer(names)
    if (rows < 0).any():
        lacking = names[rows < 0]
        raise ValueError(
            f"{path}: {len(lacking)} of {len(names)} utterances are not in the cache,"
            f" for example {', '.join(lacking[:10])}; probe the split that the trial"
            " list was made for"
        )
    return np.sort(rows)


def _speakers(listed: TrialList, rows: pd.DataFrame) -> pd.Series:
    """Give the speaker of each model and utterance; what is both is the model."""
    speaker_of = rows.set_index("utterance")["speaker"]
    models = listed.enrolments.drop_duplicates("enrolment").set_index("enrolment")
    both = pd.concat([models["utterance"].map(speaker_of), speaker_of])
    return both[~both.index.duplicated()]


def _scores_of_layers(
    split: SplitCache,
    cache: Cache,
    listed: TrialList,
    named: Int64[np.ndarray, " N"],
    standard: Standard,
    device: torch.device,
) -> Iterator[tuple[int, Float64[np.ndarray, " K"]]]:
    """Give each layer and the scores of its statistics, as many at once as fit."""
    utterances = [cache.utterances[row] for row in named]
    groups = layer_groups(
        cache.layers,
        bytes_of_layer=4 * len(named) * 2 * cache.hidden_size,
        most_bytes=MOST_BYTES,
    )
    for group in groups:
        if len(groups) > 1:
            cache, _ = split._replace(layers=group).open(IN_FILES, device)
        found = standard_statistics(cache, named, standard, device=device)
        for layer in group:
            yield layer, cosine_scores(found[layer], utterances, listed)
