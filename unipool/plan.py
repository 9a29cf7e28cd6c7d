"""Reckon what the cache of a grid will take, before a byte of it is written."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from unipool.audio import SAMPLE_RATE
from unipool.backbone import Backbone, load_backbone
from unipool.cache import DTYPES, is_there
from unipool.device import pick_device
from unipool.facts import read_facts
from unipool.manifest import divide, read_manifest
from unipool.pieces import num_samples_of
from unipool.views import view_of

logger = logging.getLogger(__name__)

PROBE_SECONDS = 30.0
"""Audio that is encoded to measure the speed, at most."""


class PlannedSet(NamedTuple):
    """The parts of one view of one split, as the grid asks for them.

    Args:
        manifest: of the corpus.
        corpus: its name.
        split: which of its utterances.
        num_parts: shares of the split.
        backbone: folder that ``fetch_backbone`` made.
        view: name of what is encoded.
        definition: of the view.
    """

    manifest: Path
    corpus: str
    split: str
    num_parts: int
    backbone: Path
    view: str
    definition: dict[str, Any]


def plan(
    *,
    sets: list[PlannedSet],
    cache_dir: Path,
    table: Path,
    max_batch_seconds: float,
    device: str,
    num_threads: int,
) -> None:
    """Write how much audio, how many bytes and hours of extraction a grid means.

    Args:
        sets: all that the grid asks for.
        cache_dir: where it will stand.
        table: CSV to write.
        max_batch_seconds: of the encoder's batches.
        device: ``auto``, ``cpu`` or ``cuda``; where the speed is measured.
        num_threads: of the CPU.

    Reads: manifests, backbones, receipts that are there.
    Writes: ``table``, a row for each set.

    Raises:
        ValueError: when the missing parts do not fit the disk; it names what would.
    """
    torch.set_num_threads(num_threads)
    rows = []
    for backbone in sorted({planned.backbone for planned in sets}):
        facts = read_facts(backbone)
        encoder = load_backbone(backbone, pick_device(device))
        speed = _measure_speed(encoder, max_batch_seconds)
        for planned in sets:
            if planned.backbone == backbone:
                row = _row(planned, facts, encoder, cache_dir)
                rows.append(row | {"extract_hours": row["missing_hours"] / speed})
    planned_rows = pd.DataFrame(rows)
    free = _free_bytes(cache_dir)
    for row in planned_rows.itertuples():
        logger.info(
            "%s/%s/%s/%s: %.2f h of audio, %.3f GB, of it missing %.3f GB, %.2f h to"
            " extract",
            *(row.backbone, row.corpus, row.split, row.view, row.hours),
            *(row.bytes / 1e9, row.missing_bytes / 1e9, row.extract_hours),
        )
    missing = int(planned_rows["missing_bytes"].sum())
    logger.info(
        "together %.3f GB to write and %.2f h to extract (one %s); %.1f GB are free in"
        " %s",
        missing / 1e9,
        planned_rows["extract_hours"].sum(),
        pick_device(device),
        free / 1e9,
        cache_dir,
    )
    _refuse_what_does_not_fit(planned_rows, free, cache_dir)
    partial = table.with_name(table.name + ".partial")
    planned_rows.drop(columns="bytes_of_layer").to_csv(
        partial, index=False, float_format="%.4f"
    )
    partial.replace(table)


def _measure_speed(encoder: Backbone, max_batch_seconds: float) -> float:
    """Give the seconds of audio that are encoded in one."""
    wave = np.random.default_rng(0).normal(0, 0.1, 5 * SAMPLE_RATE).astype(np.float32)
    count = max(int(min(max_batch_seconds, PROBE_SECONDS) // 5), 1)
    encoder.hidden_states([wave])[0].cpu()  # what takes its time once is not counted
    started = time.perf_counter()
    for states in encoder.hidden_states([wave] * count):
        states.cpu()
    return 5 * count / (time.perf_counter() - started)


def _row(
    planned: PlannedSet, facts: dict[str, Any], encoder: Backbone, cache_dir: Path
) -> dict[str, Any]:
    manifest = read_manifest(planned.manifest)
    name = planned.backbone.name
    folder = cache_dir / name / planned.corpus / planned.split / planned.view
    bytes_of_layer = encoder.hidden_size * DTYPES[facts["cache_dtype"]].itemsize
    row: dict[str, Any] = {
        "backbone": name,
        "corpus": planned.corpus,
        "split": planned.split,
        "view": planned.view,
        "parts": planned.num_parts,
        **dict.fromkeys(("missing_parts", "utterances", "frames"), 0),
        **dict.fromkeys(("hours", "missing_hours"), 0.0),
        **dict.fromkeys(("bytes", "missing_bytes"), 0),
        "layers": len(facts["layers"]),
        "dtype": facts["cache_dtype"],
        "bytes_of_layer": bytes_of_layer,
    }
    view = view_of(planned.definition)
    parts = divide(manifest, split=planned.split, num_parts=planned.num_parts)
    for part, of_manifest in enumerate(parts):
        rows = view.rows(of_manifest)
        sizes = num_samples_of(rows)
        frames = sum(encoder.num_frames(int(size)) for size in sizes)
        hours = float(sizes.sum()) / SAMPLE_RATE / 3600
        num_bytes = frames * len(facts["layers"]) * bytes_of_layer
        there = is_there(
            folder,
            part,
            planned.num_parts,
            rows,
            backbone_sha256=facts["sha256"],
            view=planned.definition,
        )
        row["utterances"] += len(rows)
        row["frames"] += frames
        row["hours"] += hours
        row["bytes"] += num_bytes
        if not there:
            row["missing_parts"] += 1
            row["missing_hours"] += hours
            row["missing_bytes"] += num_bytes
    return row


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def _refuse_what_does_not_fit(rows: pd.DataFrame, free: int, cache_dir: Path) -> None:
    missing = int(rows["missing_bytes"].sum())
    if missing <= free:
        return
    frames = rows["missing_bytes"] / (rows["layers"] * rows["bytes_of_layer"])
    as_int8 = (rows["missing_bytes"] / (1 + (rows["dtype"] == "float16"))).sum()
    one_layer = (frames * rows["bytes_of_layer"]).sum()
    ways = [
        f"make room for {(missing - free) / 1e9:.3g} GB more, or name another cache_dir"
    ]
    if as_int8 < missing:
        fits = "" if as_int8 <= free else ", which alone does not fit either"
        ways.append(
            "keep int8 (`cache: {dtype: int8}` of the backbones):"
            f" {as_int8 / 1e9:.3g} GB{fits}"
        )
    if one_layer <= free:
        ways.append(
            f"keep {int(free // one_layer)} layers of each backbone"
            " (`cache: {layers: [...]}`)"
        )
    ways.append("train on fewer seconds (a `view:` of crops), or a smaller grid")
    raise ValueError(
        f"the grid's cache does not fit: {missing / 1e9:.3g} GB are to be written,"
        f" {free / 1e9:.3g} GB are free in {cache_dir}. What would make it fit:"
        + "".join(f"\n  - {way}" for way in ways)
    )
