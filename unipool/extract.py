"""Encode one part of a corpus and cache the hidden states."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float16
from torch import Tensor

from unipool.audio import SAMPLE_RATE, Waveform
from unipool.backbone import Backbone, load_backbone
from unipool.cache import (
    Content,
    PartWriter,
    fingerprint,
    is_whole,
    write_receipt,
)
from unipool.device import pick_device
from unipool.facts import read_facts
from unipool.lock import only_writer
from unipool.log import LoggedProgress, is_out_of_memory
from unipool.manifest import divide, read_manifest
from unipool.pieces import (
    Piece,
    decode_ahead,
    num_samples_of,
    pieces_of,
    stretches_of,
)
from unipool.views import View, view_of

logger = logging.getLogger(__name__)


def extract(
    *,
    manifest: Path,
    split: str,
    part: int,
    num_parts: int,
    backbone: Path,
    store: Path,
    receipt: Path,
    view: dict[str, Any],
    max_batch_seconds: float,
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
        view: what of the audio is encoded, see ``views``.
        max_batch_seconds: audio in a batch, its padding included; what is longer goes
            alone. Halved when a GPU's memory does not suffice.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.

    Reads: the manifest, audio, the backbone.
    Writes: ``store``, ``receipt``.

    Raises:
        ValueError: when audio is not as it was at preparation, hidden states depend on
            the batch or do not fit float16 (it names the utterance), or another process
            writes this part.
        OSError: when a shard cannot be written, as on a full disk.
    """
    torch.set_num_threads(num_threads)
    parts = divide(read_manifest(manifest), split=split, num_parts=num_parts)
    rows = view_of(view).rows(parts[part])
    facts = read_facts(backbone)
    expected = fingerprint(backbone_sha256=facts["sha256"], view=view, rows=rows)
    store.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(store.with_suffix(".lock"), wait=False):
        if is_whole(store, expected):
            logger.info("%s is whole; only its receipt was missing", store)
        else:
            encoder = load_backbone(backbone, pick_device(device))
            content = _content(rows, encoder, facts, expected)
            batches = _Batches(encoder, int(max_batch_seconds * SAMPLE_RATE))
            with PartWriter(store, content) as writer:
                _fill(writer, pieces_of(rows, encoder), view_of(view), batches, content)
        write_receipt(receipt, store)


def _content(
    rows: pd.DataFrame, encoder: Backbone, facts: dict[str, Any], expected: str
) -> Content:
    num_samples = num_samples_of(rows)
    num_frames = [encoder.num_frames(int(size)) for size in num_samples]
    too_short = num_samples < encoder.min_samples
    if too_short.any():
        first = rows[too_short].iloc[0]
        raise ValueError(
            f"utterance {first['utterance']} lasts {first['seconds']} s, one frame of"
            f" this backbone needs {encoder.min_samples / SAMPLE_RATE} s; raise the"
            " corpus's min_seconds and set bad_audio: exclude"
        )
    return Content(
        utterances=rows["utterance"].tolist(),
        num_frames=np.array(num_frames, np.int64),
        layers=facts["layers"],
        hidden_size=encoder.hidden_size,
        frame_shift=encoder.frame_shift,
        dtype=facts["cache_dtype"],
        fingerprint=expected,
    )


def _fill(
    writer: PartWriter,
    pieces: list[Piece],
    view: View,
    batches: "_Batches",
    content: Content,
) -> None:
    """Encode, stretch by stretch, what is not on disk yet.

    One stretch is decoded and one is written while another is encoded.
    """
    stretches = stretches_of(pieces, batches.max_samples)
    missing = [
        stretch
        for stretch in stretches
        if stretch[-1].first + stretch[-1].window.num_frames > writer.num_whole
    ]
    if missing:
        writer.go_to(missing[0][0].first)
    if writer.num_whole:
        logger.info("going on after %d frames that are whole", writer.num_whole)
    seconds = [sum(p.num_samples for p in s) / SAMPLE_RATE for s in stretches]
    bar = LoggedProgress(
        desc="extract",
        unit="s of audio",
        total=sum(seconds),
        initial=sum(seconds[: len(stretches) - len(missing)]),
    )
    with bar, ThreadPoolExecutor(max_workers=1) as appender:
        appending: Future[None] | None = None
        for number, waveforms in enumerate(decode_ahead(missing, view)):
            if number == 0:
                batches.check(waveforms)
            encoded = batches.encode(waveforms, content.layers)
            if appending is not None:
                appending.result()
            appending = appender.submit(_append, writer, missing[number], encoded)
            bar.update(sum(map(len, waveforms)) / SAMPLE_RATE)
        if appending is not None:
            appending.result()
    writer.finish(device=str(batches.encoder.device))


def _append(
    writer: PartWriter, pieces: list[Piece], encoded: list[Float16[Tensor, "L _ D"]]
) -> None:
    for states, piece in zip(encoded, pieces, strict=True):
        skip, count = piece.window.skip, piece.window.num_frames
        writer.append(states[:, skip : skip + count])


class _Batches:
    """Encodes in batches of similar length.

    Args:
        encoder: of the hidden states.
        max_samples: in a batch, its padding included; halved when memory is short.
    """

    def __init__(self, encoder: Backbone, max_samples: int) -> None:
        self.encoder, self.max_samples = encoder, max_samples

    def encode(
        self, waveforms: list[Waveform], layers: list[int]
    ) -> list[Float16[Tensor, "L _ D"]]:
        """Give the states of some layers, in the waveforms' order, in CPU memory."""
        by_length = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
        states_of: dict[int, Float16[Tensor, "L _ D"]] = {}
        while by_length:
            batch = self._last_that_fit(by_length, waveforms)
            with self._halved_where_short(len(waveforms[batch[0]]), len(batch)):
                encoded = self.encoder.hidden_states(
                    [waveforms[i] for i in batch], layers=layers, dtype=torch.float16
                )
                states_of |= zip(batch, (s.cpu() for s in encoded), strict=True)
                del by_length[-len(batch) :], encoded
        return [states_of[i] for i in range(len(waveforms))]

    def check(self, waveforms: list[Waveform]) -> None:
        """Hold two of different length, encoded together, against each alone."""
        if len(waveforms) == 1:
            return
        by_length = sorted(waveforms, key=len)
        some = [by_length[0], by_length[-(-len(by_length) // 4)]]
        while len(batch := self._last_that_fit([0, 1], some)) > 1:
            with self._halved_where_short(len(some[-1]), len(batch)):
                self.encoder.check_batching([some[i] for i in batch])
                return

    def _last_that_fit(
        self, by_length: list[int], waveforms: list[Waveform]
    ) -> list[int]:
        """Take from the end, where the longest is, what makes a batch."""
        longest = len(waveforms[by_length[-1]])
        count = min(max(self.max_samples // longest, 1), len(by_length))
        return by_length[: -count - 1 : -1]

    @contextmanager
    def _halved_where_short(self, longest: int, count: int) -> Iterator[None]:
        """Take less at once from now on, where a GPU's memory does not take this."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if count == 1:
                raise ValueError(
                    f"{longest / SAMPLE_RATE:.1f} s of audio alone are more than the"
                    " GPU's memory takes; lower window_seconds of the backbone, choose"
                    " a smaller `dtype:`, or `machine: {device: cpu}`"
                ) from error
            self.max_samples = min(self.max_samples, longest * count) // 2
            logger.warning(
                "the GPU's memory is too small for %d x %.1f s of audio; going on with"
                " max_batch_seconds: %.1f",
                count,
                longest / SAMPLE_RATE,
                self.max_samples / SAMPLE_RATE,
            )
