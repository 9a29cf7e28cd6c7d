"""A trained run applied to audio files that are of no corpus.

They go the way of every corpus, manifest, cache, embeddings, by the same verbs, in a
folder for the time being. So what comes out is what the workflow makes of such audio.
"""

import tempfile
from collections.abc import Iterable
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64

from unipool.audio import SAMPLE_RATE
from unipool.calibration import Calibration, fit_calibration
from unipool.checkpoint import read_info, stop_at_other_backbone
from unipool.device import pick_device
from unipool.embed import embed
from unipool.embeddings import Embeddings, read_embeddings
from unipool.extract import extract
from unipool.facts import read_facts
from unipool.files import find_files, rows_of_files, stop_if_full
from unipool.manifest import write_manifest
from unipool.metrics import SortedTrials, eer, eer_threshold
from unipool.scoring import cosine_scores
from unipool.splits import SplitCache
from unipool.trained import stop_without_embeddings
from unipool.trials import TrialList, no_models, read_trial_list

BATCH_SECONDS, EMBED_BATCH_SECONDS = 60, 120
"""Audio in a batch of the encoder, and in one of the backend."""


class Reference(NamedTuple):
    """What the validation trials of a run say of its scores.

    Attributes:
        trials: name of the list.
        threshold: the score from which on both sides are taken for one speaker; there
            both errors are equal on these trials, and
        eer: this fraction.
        calibration: from scores to log-likelihood ratios.
    """

    trials: str
    threshold: float
    eer: float
    calibration: Calibration


class Verification(NamedTuple):
    """What came of comparing test files with an enrolment.

    Attributes:
        enrolment: the files that say what the speaker sounds like.
        test: the files that were compared with them.
        scores: of each of these; higher is more alike.
        reference: None where the run's validation trials, or their embeddings by the
            run as it is now, are not there.
    """

    enrolment: list[str]
    test: list[str]
    scores: Float64[np.ndarray, " K"]
    reference: Reference | None

    @property
    def llr(self) -> Float64[np.ndarray, " K"] | None:
        """How much more probable each score is of one speaker (natural logarithm)."""
        if self.reference is None:
            return None
        return self.reference.calibration.llr(self.scores[:, None])

    @property
    def same(self) -> Bool[np.ndarray, " K"] | None:
        """Whether each test file is taken for one of the enrolment's speaker."""
        if self.reference is None:
            return None
        return self.scores >= self.reference.threshold


def embed_files(
    run: str | Path,
    files: Iterable[str | Path],
    *,
    backbone: str | Path | None = None,
    device: str = "auto",
) -> Embeddings:
    """Embed audio files with a trained run.

    Args:
        run: folder of the checkpoint, ``results/runs/...``; of a backend that
            fine-tunes its encoder, as seen from the project's folder.
        files: audio of any format, rate and number of channels; of a folder, all below
            it. Each is encoded and embedded whole.
        backbone: folder that ``fetch_backbone`` made; None: the one of the same results
            that the run's path names.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        An embedding of each file, whose path is the utterance; of one that is named
        twice there is one.

    Reads: the checkpoint, the backbone, audio.

    Raises:
        FileNotFoundError: when there is no such run, backbone or audio.
        TypeError: when one path is given in place of several.
        ValueError: when audio cannot be used, the run was trained on another backbone
            or compares utterances two by two, or the disk has no room for the hidden
            states.
    """
    run, paths = Path(run), list(dict.fromkeys(find_files(files)))
    info = read_info(run)
    stop_without_embeddings(run, info)
    encoder = _place_of(run).backbone if backbone is None else Path(backbone)
    facts = read_facts(encoder)
    stop_at_other_backbone(run, info, encoder, facts)
    pick_device(device)  # what cannot be had is said before anything is done
    with tempfile.TemporaryDirectory(prefix="unipool-") as name:
        place = Path(name)
        rows = rows_of_files(
            paths,
            min_seconds=facts["min_samples"] / SAMPLE_RATE,
            memory=place / "recordings.csv",
        )
        stop_if_full(place, float(rows["seconds"].sum()), facts)
        split = SplitCache(
            manifest=place / "utterances.csv",
            split="test",
            backbone=encoder,
            folder=place / encoder.resolve().name / "files/test",
            num_parts=1,
            views={"full": {}},
            layers=info["layers"],
        )
        write_manifest(rows, split.manifest)
        part = split.folder / "full/part-000-of-001"
        machine: dict[str, Any] = {
            "device": device,
            "num_threads": torch.get_num_threads(),
        }
        extract(
            manifest=split.manifest,
            split=split.split,
            part=0,
            num_parts=split.num_parts,
            backbone=encoder,
            store=part.with_suffix(".zarr"),
            receipt=part.with_suffix(".json"),
            view=split.views["full"],
            max_batch_seconds=BATCH_SECONDS,
            **machine,
        )
        embed(
            run=run,
            split=split,
            embeddings=place / "embeddings.h5",
            embed_batch_seconds=EMBED_BATCH_SECONDS,
            **machine,
        )
        return read_embeddings(place / "embeddings.h5")


def verify_files(
    run: str | Path,
    enrolment: Iterable[str | Path],
    test: Iterable[str | Path],
    *,
    backbone: str | Path | None = None,
    device: str = "auto",
) -> Verification:
    """Compare audio files with an enrolment, by the cosine.

    Args:
        run: as of ``embed_files``.
        enrolment: audio of one speaker; of several files, each of which counts once,
            the mean embedding is taken.
        test: audio of which each file, as often as it is named, is compared with the
            enrolment.
        backbone: as of ``embed_files``.
        device: alike.

    Returns:
        A score for each test file, and what the validation trials say of it.

    Reads: what ``embed_files`` does; the run's validation trials and their embeddings,
        where they are there.

    Raises:
        FileNotFoundError: as ``embed_files``.
        TypeError: alike.
        ValueError: alike; or when the validation trials are damaged.
    """
    known, tested = list(dict.fromkeys(find_files(enrolment))), find_files(test)
    reference = _reference_of(Path(run))
    content = embed_files(run, [*known, *tested], backbone=backbone, device=device)
    name = " + ".join(known)
    trials = pd.DataFrame({"enrolment": name, "test": tested, "target": 0})
    models = no_models()
    if len(known) > 1:
        models = pd.DataFrame({"enrolment": name, "utterance": known})
    scores = _scores_of(content, TrialList(trials, models))
    return Verification(known, tested, scores, reference)


def _scores_of(content: Embeddings, listed: TrialList) -> Float64[np.ndarray, " K"]:
    return cosine_scores(
        content.embeddings, content.utterances, listed, num_heads=content.num_heads
    )


def _reference_of(run: Path) -> Reference | None:
    """Score the validation trials of the run, where they are there."""
    info = read_info(run)
    chosen_by = info.get("definition", {}).get("valid_trials")
    if not chosen_by:  # imported
        return None
    ((name, listed),) = chosen_by.items()
    file = _place_of(run).results / "trials" / f"{name}.csv"
    embeddings = run / "embeddings" / f"{listed['corpus']}-{listed['split']}.h5"
    if not (file.exists() and embeddings.exists()):
        return None
    content, trials = read_embeddings(embeddings), read_trial_list(file)
    if content.info.get("identity") != info["identity"]:  # of an earlier training
        return None
    scores = _scores_of(content, trials)
    targets = trials.trials["target"].to_numpy(bool)
    rates = SortedTrials(scores, targets).error_rates()
    calibration = fit_calibration(scores[:, None], targets)
    return Reference(name, eer_threshold(rates), eer(rates), calibration)


class _Place(NamedTuple):
    """Of a run: the results that it is among, and there its backbone."""

    results: Path
    backbone: Path


def _place_of(run: Path) -> _Place:
    """Follow ``results/runs/{corpus}/{backbone}/{backend}/seed-{seed}`` upwards.

    As it is named; where links lead is the way only if nothing is found there.
    """
    for path in (Path(normpath(run.absolute())), run.resolve()):
        results = Path(normpath(path / "../../../../.."))
        backbone = results / "backbones" / Path(normpath(path / "../..")).name
        if backbone.is_dir():
            break
    return _Place(results, backbone)
