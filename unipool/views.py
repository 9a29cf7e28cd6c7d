"""Views: what of the audio is encoded.

``full``        every utterance, whole
``crops``       some pieces of each, every piece encoded by itself: a frame knows no
                more than its piece, as when an encoder runs in the training loop
``augmented``   every utterance whole, its speed changed, noise or reverberation added

A view makes rows of a manifest into rows of its own, and a recording into what is
encoded of it. All that is drawn follows from the view's seed and the utterance's id, so
it does not matter how a split is divided into parts.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are used

from unipool.audio import SAMPLE_RATE, SUFFIXES, Waveform, read_audio, resample

SNR = {"noise": (0.0, 15.0), "music": (5.0, 15.0), "babble": (13.0, 20.0)}
"""Signal to noise, dB, drawn uniformly."""

TALKERS = (4, 7)
"""In a babble, at least and at most."""

FOLDER_OF = {"noise": "noise", "music": "music", "babble": "speech"}
"""Of a kind of noise in MUSAN."""


@runtime_checkable
class View(Protocol):
    """What every view can do."""

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Make rows of a manifest into those of the view.

        Returns:
            The same columns, and ``source``, the utterance in the manifest, and
            ``copy``, which of those made of it.
        """

    def render(self, recording: Waveform, row: Any) -> Waveform:
        """Make a recording into what is encoded of it, ``row.seconds`` long."""


def view_of(definition: dict[str, Any]) -> View:
    """Build a view of its definition: one key, its kind; nothing is ``full``."""
    kinds: dict[str, Callable[..., View]] = {"crops": Crops, "augmented": Augmented}
    for kind, options in definition.items():
        return kinds[kind](**options)
    return Full()


class Full:
    """Every utterance as it is."""

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(source=rows["utterance"], copy=0)

    def render(self, recording: Waveform, row: Any) -> Waveform:
        return recording


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Pieces of each utterance, drawn uniformly; a short one is repeated to the length.

    Source: the published training code of UniPool, which encodes one such piece of 3 s
    anew at each step.

    Args:
        count: pieces of each utterance.
        seconds: length of a piece.
        seed: of where they are.
    """

    count: int
    seconds: float
    seed: int

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        copies = np.tile(np.arange(self.count), len(rows))
        repeated = rows.loc[rows.index.repeat(self.count)].reset_index(drop=True)
        names = repeated["utterance"] + pd.Series(copies).map("#{}".format)
        return repeated.assign(
            utterance=names,
            source=repeated["utterance"],
            copy=copies,
            seconds=round(self.seconds * SAMPLE_RATE) / SAMPLE_RATE,
        )

    def render(self, recording: Waveform, row: Any) -> Waveform:
        size = round(self.seconds * SAMPLE_RATE)
        if len(recording) < size:
            return np.resize(recording, size)
        start = _draws(self.seed, row).integers(len(recording) - size + 1)
        return recording[start : start + size]


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """Every utterance with other speed, and noise or reverberation added.

    One kind of those that the folders offer is drawn for each utterance: reverberation,
    noise, music, or babble of 4 to 7 talkers. An utterance of another speed has another
    pitch, and counts as one of another speaker.

    Source: the augmentation of LAP's published code (kinds and signal-to-noise ratios;
    noise there is also added to pieces of an utterance).

    Args:
        copy: which copy of the utterances this is; each has draws of its own.
        noise: folder with noise, music and speech below it, as MUSAN has them; a folder
            without these is noise.
        reverb: folder of room responses, as RIRS_NOISES has them (of which the
            simulated ones are taken) or any other.
        speed: factors of which one is drawn.
        seed: of all that is drawn.
    """

    copy: int
    noise: str | None
    reverb: str | None
    speed: list[float]
    seed: int

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        made = rows.assign(source=rows["utterance"], copy=self.copy)
        speeds = np.array(
            [self._speed(_draws(self.seed, r)) for r in made.itertuples()]
        )
        changed = made["speaker"] + [f" at speed {speed:g}" for speed in speeds]
        samples = np.rint(made["seconds"] * SAMPLE_RATE)
        return made.assign(
            speaker=made["speaker"].where(speeds == 1, changed),
            seconds=np.floor(samples / speeds) / SAMPLE_RATE,
        )

    def render(self, recording: Waveform, row: Any) -> Waveform:
        draws = _draws(self.seed, row)
        speed = self._speed(draws)
        size = round(row.seconds * SAMPLE_RATE)
        wave = np.resize(resample(recording, SAMPLE_RATE * speed), size)
        kinds = self._kinds()
        if not kinds:
            return wave
        kind = list(kinds)[draws.integers(len(kinds))]
        files = kinds[kind]
        if kind == "reverb":
            return _reverberate(wave, read_audio(_pick(files, draws)))
        count = draws.integers(TALKERS[0], TALKERS[1] + 1) if kind == "babble" else 1
        noise = sum(_piece(_pick(files, draws), size, draws) for _ in range(count))
        return _add(wave, np.asarray(noise), snr=draws.uniform(*SNR[kind]))

    def _speed(self, draws: np.random.Generator) -> float:
        return self.speed[draws.integers(len(self.speed))]

    def _kinds(self) -> dict[str, list[Path]]:
        kinds = {}
        if self.reverb is not None:
            simulated = Path(self.reverb) / "simulated_rirs"
            folder = simulated if simulated.is_dir() else Path(self.reverb)
            kinds["reverb"] = _audio_below(folder)
        if self.noise is not None:
            folders = {k: Path(self.noise) / name for k, name in FOLDER_OF.items()}
            folders = {k: f for k, f in folders.items() if f.is_dir()}
            for kind, folder in (folders or {"noise": Path(self.noise)}).items():
                kinds[kind] = _audio_below(folder)
        return kinds


def _draws(seed: int, row: Any) -> np.random.Generator:
    digest = hashlib.sha256(row.source.encode()).digest()[:8]
    return np.random.default_rng([seed, row.copy, int.from_bytes(digest, "little")])


@cache
def _audio_below(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(
            f"{folder}: no audio there to augment with; name a folder that has some, as"
            " MUSAN (noise) or RIRS_NOISES (reverb) unpacked"
        )
    return files


def _pick(files: list[Path], draws: np.random.Generator) -> Path:
    return files[draws.integers(len(files))]


def _piece(file: Path, size: int, draws: np.random.Generator) -> Waveform:
    noise = read_audio(file)
    if len(noise) < size:
        return np.resize(noise, size)
    start = draws.integers(len(noise) - size + 1)
    return noise[start : start + size]


def _add(wave: Waveform, noise: Waveform, *, snr: float) -> Waveform:
    level = np.sqrt(np.mean(noise**2))
    if level == 0:
        return wave
    gain = np.sqrt(np.mean(wave**2)) / level * 10 ** (-snr / 20)
    return (wave + gain * noise).astype(np.float32)


def _reverberate(wave: Waveform, response: Waveform) -> Waveform:
    """Convolve; the direct sound stays in its place, the level as it was."""
    direct = int(np.abs(response).argmax())
    wet = scipy.signal.fftconvolve(wave, response)[direct : direct + len(wave)]
    level = np.sqrt(np.mean(wet**2))
    dry = np.sqrt(np.mean(wave**2))
    return (wet * (dry / level if level else 1)).astype(np.float32)
