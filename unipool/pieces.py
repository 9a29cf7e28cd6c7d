"""What is encoded at once, in what order, decoded ahead of its turn."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64

from unipool.audio import SAMPLE_RATE, Waveform, read_audio
from unipool.backbone import Backbone, Window
from unipool.views import View

BATCHES_IN_STRETCH = 4
"""Audio is sorted by length within so many batches, so that little is padding."""


class Piece(NamedTuple):
    """What is encoded at once: an utterance, or a window of a long one.

    Attributes:
        row: of the view.
        window: of the row's audio.
        first: of the frames that are kept, counted in the part.
    """

    row: Any
    window: Window
    first: int

    @property
    def num_samples(self) -> int:
        """Count the samples that are encoded."""
        return self.window.stop - self.window.start


def pieces_of(rows: pd.DataFrame, encoder: Backbone) -> list[Piece]:
    """Divide the rows of a view, utterance after utterance."""
    pieces, first = [], 0
    for row, size in zip(rows.itertuples(), num_samples_of(rows), strict=True):
        for window in encoder.windows(int(size)):
            pieces.append(Piece(row, window, first))
            first += window.num_frames
    return pieces


def num_samples_of(rows: pd.DataFrame) -> Int64[np.ndarray, " N"]:
    """Count the samples of each row, at 16 kHz."""
    return np.rint(rows["seconds"].to_numpy() * SAMPLE_RATE).astype(np.int64)


def stretches_of(pieces: list[Piece], max_samples: int) -> list[list[Piece]]:
    """Divide the pieces into runs of neighbours, of a few batches each.

    Where they are divided does not depend on what is done, so an utterance has the same
    batch mates, and its states the same last digits, whenever it is encoded.
    """
    ends = np.cumsum([piece.num_samples for piece in pieces])
    number_of = ends // max(BATCHES_IN_STRETCH * max_samples, 1)
    numbered = zip(number_of, pieces, strict=True)
    return [
        [piece for _, piece in run] for _, run in groupby(numbered, key=lambda n: n[0])
    ]


def decode_ahead(stretches: list[list[Piece]], view: View) -> Iterator[list[Waveform]]:
    """Give the waveforms stretch by stretch, the next one decoded meanwhile."""
    recordings = _Recordings(view)
    with ThreadPoolExecutor(max_workers=1) as decoder:
        pending = deque(decoder.submit(recordings.cut, s) for s in stretches[:1])
        for following in [*stretches[1:], None]:
            if not pending:
                return
            waveforms = pending.popleft().result()
            if following is not None:
                pending.append(decoder.submit(recordings.cut, following))
            yield waveforms


class _Recordings:
    """Decodes; a recording of several windows in a row only once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._path, self._recording = "", np.zeros(0, np.float32)
        self._utterance, self._wave = "", np.zeros(0, np.float32)

    def cut(self, pieces: list[Piece]) -> list[Waveform]:
        return [
            self._waveform(row)[window.start : window.stop] for row, window, _ in pieces
        ]

    def _waveform(self, row: Any) -> Waveform:
        if row.path != self._path:
            self._path, self._recording = row.path, _read(row.path)
        if row.utterance != self._utterance:
            wave = self._view.render(_segment(self._recording, row), row)
            expected = round(row.seconds * SAMPLE_RATE)
            if len(wave) != expected:
                raise ValueError(
                    f"{row.path}: {len(wave)} samples at 16 kHz, the manifest says"
                    f" {expected}; the audio changed since: prepare the corpus again"
                )
            self._utterance, self._wave = row.utterance, wave
        return self._wave


def _read(path: str) -> Waveform:
    try:
        return read_audio(Path(path))
    except ValueError as error:
        raise ValueError(
            f"{error}; to leave such recordings out, set `check: decode` and"
            " `bad_audio: exclude` of the corpus, and add --forcerun prepare_corpus"
        ) from error


def _segment(recording: Waveform, row: Any) -> Waveform:
    """Cut out the segment that the manifest names, if it names one."""
    if not getattr(row, "start", ""):
        return recording
    start, stop = (round(float(at) * SAMPLE_RATE) for at in (row.start, row.stop))
    return recording[start:stop]
