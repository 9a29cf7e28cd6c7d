"""Encode one part of a corpus and cache the hidden states of all layers."""

import json
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float16, Int64

from unipool.audio import SAMPLE_RATE, Waveform, read_audio
from unipool.backbone import Backbone
from unipool.cache import (
    PartWriter,
    fingerprint,
    is_whole,
    write_receipt,
)
from unipool.device import pick_device
from unipool.lock import only_writer
from unipool.log import LoggedProgress
from unipool.manifest import read_manifest, select_part

logger = logging.getLogger(__name__)

BATCHES_IN_WINDOW = 4
"""Utterances are sorted by length within so much audio, so that little is padding."""


def extract(
    *,
    manifest: Path,
    split: str,
    part: int,
    num_parts: int,
    backbone: Path,
    store: Path,
    receipt: Path,
    view: str,
    extract_batch_seconds: float,
    device: str,
    num_threads: int,
) -> None:
    """Fill one cache part, or go on with one that was broken off.

    A part that is whole and only lacks its receipt gets it.

    Args:
        manifest: of the corpus.
        split: which of its utterances.
        part: which share of the split, counted from 0.
        num_parts: shares of the split.
        backbone: folder that ``fetch_backbone`` made.
        store: Zarr group to write.
        receipt: JSON to write last.
        view: what of the audio is encoded: ``full``, whole utterances.
        extract_batch_seconds: audio in a batch, its padding included; a longer
            utterance goes alone.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.

    Reads: the manifest, audio, the backbone.
    Writes: ``store``, ``receipt``.

    Raises:
        ValueError: when audio is not as it was at preparation, a hidden state does not
            fit float16 (it names the utterance), or another process writes this part.
        OSError: when a shard cannot be written, as on a full disk.
    """
    torch.set_num_threads(num_threads)
    rows = select_part(
        read_manifest(manifest), split=split, part=part, num_parts=num_parts
    )
    facts = json.loads((backbone / "backbone.json").read_text("utf-8"))
    expected = fingerprint(backbone_sha256=facts["sha256"], view=view, rows=rows)
    store.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(store.with_suffix(".lock"), wait=False):
        if is_whole(store, expected):
            logger.info("%s is whole; only its receipt was missing", store)
        else:
            encoder = Backbone(
                backbone,
                device=pick_device(device),
                dtype=getattr(torch, facts["dtype"]),
                normalize=facts["normalize"],
            )
            _fill(store, rows, encoder, expected, extract_batch_seconds)
        write_receipt(receipt, store)


def _fill(
    store: Path,
    rows: pd.DataFrame,
    encoder: Backbone,
    expected: str,
    extract_batch_seconds: float,
) -> None:
    num_samples = np.rint(rows["seconds"].to_numpy() * SAMPLE_RATE).astype(np.int64)
    too_short = num_samples < encoder.receptive_field
    if too_short.any():
        first = rows[too_short].iloc[0]
        raise ValueError(
            f"utterance {first['utterance']} lasts {first['seconds']} s, one frame of"
            f" this backbone needs {encoder.receptive_field / SAMPLE_RATE} s; raise the"
            " corpus's min_seconds and set bad_audio: exclude"
        )
    writer = PartWriter(
        store,
        utterances=rows["utterance"].tolist(),
        num_frames=np.array([encoder.num_frames(int(n)) for n in num_samples], int),
        num_layers=encoder.num_layers,
        hidden_size=encoder.hidden_size,
        frame_shift=encoder.frame_shift,
        fingerprint=expected,
    )
    max_samples = int(extract_batch_seconds * SAMPLE_RATE)
    windows = _windows(rows, num_samples, max_samples, num_whole=writer.num_whole)
    done = rows["seconds"].sum() - sum(window["seconds"].sum() for window in windows)
    if writer.num_whole:
        logger.info("going on after %d whole utterances", writer.num_whole)
    if windows:
        writer.go_to(int(windows[0].index[0]))
    with LoggedProgress(
        desc="extract",
        unit="s of audio",
        total=round(rows["seconds"].sum()),
        initial=done,
    ) as bar:
        for waveforms in _decode_ahead(windows):
            for states in _encode(encoder, waveforms, max_samples):
                writer.append(states)
            bar.update(sum(map(len, waveforms)) / SAMPLE_RATE)
    writer.finish(device=str(encoder.device))


def _windows(
    rows: pd.DataFrame,
    num_samples: Int64[np.ndarray, " N"],
    max_samples: int,
    *,
    num_whole: int,
) -> list[pd.DataFrame]:
    """Divide the rows into runs of neighbours; leave out those that are done.

    Where they are divided does not depend on what is done, so an utterance has the same
    batch mates, and its states the same last digits, whenever it is encoded.
    """
    window_of_row = np.cumsum(num_samples) // (BATCHES_IN_WINDOW * max_samples)
    windows = [window for _, window in rows.groupby(window_of_row)]
    return [window for window in windows if window.index[-1] >= num_whole]


def _decode_ahead(windows: list[pd.DataFrame]) -> Iterator[list[Waveform]]:
    """Give the waveforms window by window, the next one decoded meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as decoder:
        pending = deque(decoder.submit(_decode, window) for window in windows[:1])
        for following in [*windows[1:], None]:
            if not pending:
                return
            waveforms = pending.popleft().result()
            if following is not None:
                pending.append(decoder.submit(_decode, following))
            yield waveforms


def _decode(rows: pd.DataFrame) -> list[Waveform]:
    waveforms = []
    for row in rows.itertuples():
        waveform = read_audio(Path(row.path))
        expected = round(row.seconds * SAMPLE_RATE)
        if len(waveform) != expected:
            raise ValueError(
                f"{row.path}: {len(waveform)} samples at 16 kHz, the manifest says"
                f" {expected}; the audio changed since: prepare the corpus again"
            )
        waveforms.append(waveform)
    return waveforms


def _encode(
    encoder: Backbone, waveforms: list[Waveform], max_samples: int
) -> list[Float16[np.ndarray, "_ L D"]]:
    """Encode in batches of similar length, give the states in the waveforms' order."""
    by_length = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
    states_of: dict[int, Float16[np.ndarray, "_ L D"]] = {}
    while by_length:
        batch = [by_length.pop()]  # the longest decides what the others are padded to
        longest = len(waveforms[batch[0]])
        while by_length and longest * (len(batch) + 1) <= max_samples:
            if not encoder.stands_padding and len(waveforms[by_length[-1]]) < longest:
                break
            batch.append(by_length.pop())
        encoded = encoder.hidden_states([waveforms[i] for i in batch])
        for i, states in zip(batch, encoded, strict=True):
            states_of[i] = states.half().cpu().numpy()
    return [states_of[i] for i in range(len(waveforms))]
