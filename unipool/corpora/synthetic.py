"""A corpus that is spoken by espeak-ng: for a demo, and for tests, without download."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unipool.audio import Waveform, resample, write_flac
from unipool.corpora.corpus import Corpus
from unipool.corpora.sentences import sentences
from unipool.log import LoggedProgress

VERSION = 1
"""Of what is spoken; raised when the same options give other audio."""

# The variants of espeak-ng 1.52 without those that are robotic, whispered, croaking or
# shrill; without those with breath, whose noise is another each time, even in a fresh
# process; and without those whose mel-cepstrum (mean and standard deviation over three
# sentences) lies nearer to one of the others than two sentences of one voice lie apart.
VOICES = (
    "Alex|Andrea|Andy|Annie|Denis|Diogo|Gene|Hugo|Lee|Marco|Mario|Michael|Mike|"
    "Mr serious|Nguyen|RicishayMax|RicishayMax2|anika|antonio|aunty|belinda|benjamin|"
    "boris|david|ed|edward|edward2|f1|grandma|grandpa|gustave|ian|iven|iven2|iven4|"
    "john|klatt3|klatt4|linda|m1|m2|m3|m4|m5|m6|m7|m8|marcelo|max|mike2|norbert|"
    "pablo|paul|pedro|quincy|rob|shelby|steph|travis"
).split("|")

ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
MIN_SECONDS, MAX_SECONDS = 2.0, 6.0


class Voice(NamedTuple):
    """How one speaker speaks."""

    speaker: str
    variant: str
    accent: str
    pitch: int
    range: int
    words_per_minute: int


def synthesize(
    *, root: Path, speakers: int, utterances_per_speaker: int, seed: int
) -> Corpus:
    """Speak a corpus, or what of it is not there yet.

    Each speaker is another voice of the engine with pitch, pitch range, rate and accent
    of its own. Each utterance is a sentence of 2 to 6 s, in a session of its own:
    gain, a mild equaliser and noise at 15 to 30 dB, so that the channel does not tell
    the speaker.

    Args:
        root: folder for ``<speaker>/<utterance>.flac``; its corpus.json says with what
            arguments it was made, and other arguments make it anew.
        speakers: at most the number of voices.
        utterances_per_speaker: of each speaker.
        seed: of voices, sentences and sessions.

    Returns:
        utterance, speaker, path, origin, voice, accent, text.

    Raises:
        ValueError: when espeakng-loader is not installed, there are not so many voices,
            or ``root`` holds something else.
    """
    if find_spec("espeakng_loader") is None:
        raise ValueError(
            "the synthetic corpus needs espeak-ng; install it with"
            " `pip install 'unipool[demo]'` or `pip install espeakng-loader`"
        )
    if not 1 <= speakers <= len(VOICES):
        raise ValueError(
            f"speakers is {speakers}; espeak-ng has {len(VOICES)} voices that are told"
            f" apart well, so 1 to {len(VOICES)} are possible"
        )
    root = Path(root)
    _claim(root, [VERSION, speakers, utterances_per_speaker, seed])
    spare = 2 * utterances_per_speaker  # for those of an unsuitable length
    fresh = sentences(seed)
    requests = [
        (voice, list(islice(fresh, utterances_per_speaker + spare)))
        for voice in islice(_voices(seed), speakers)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spoken = pool.map(
            lambda request: _speak(
                root, request[0], request[1], utterances_per_speaker, seed
            ),
            requests,
        )
        tables = list(
            LoggedProgress(spoken, desc="speak", unit="speakers", total=speakers)
        )
    return Corpus(pd.DataFrame([row for table in tables for row in table]))


def _claim(root: Path, settings: list[int]) -> None:
    """Make the folder ours, empty unless it was made with the same settings."""
    label = root / "corpus.json"
    text = json.dumps(settings)
    if label.exists() and label.read_text("utf-8") != text:
        shutil.rmtree(root)
    if root.exists() and not label.exists() and any(root.iterdir()):
        raise ValueError(
            f"{root}: holds something that is no synthetic corpus; name another root"
        )
    root.mkdir(parents=True, exist_ok=True)
    label.write_text(text, "utf-8")


def _voices(seed: int) -> Iterator[Voice]:
    generator = np.random.default_rng([seed, 0])
    for number, variant in enumerate(generator.permutation(VOICES)):
        yield Voice(
            speaker=f"s{number:02d}",
            variant=str(variant),
            accent=str(generator.choice(ACCENTS)),
            pitch=int(generator.integers(30, 71)),
            range=int(generator.integers(30, 71)),
            words_per_minute=int(generator.integers(140, 191)),
        )


def _speak(
    root: Path, voice: Voice, texts: list[str], keep: int, seed: int
) -> list[dict[str, str]]:
    """Write the utterances of one speaker; give their rows."""
    label = root / voice.speaker / "texts.json"
    if not label.exists():
        kept = []
        number = int(voice.speaker[1:])
        for i, (text, speech) in enumerate(_run_engine(voice, texts, keep)):
            generator = np.random.default_rng([seed, 1, number, i])
            write_flac(
                root / voice.speaker / f"{voice.speaker}-{i:03d}.flac",
                _record(speech, generator),
            )
            kept.append(text)
        label.write_text(json.dumps(kept), "utf-8")
    return [
        {
            "utterance": f"{voice.speaker}-{i:03d}",
            "speaker": voice.speaker,
            "path": str(root / voice.speaker / f"{voice.speaker}-{i:03d}.flac"),
            "origin": str(root / voice.speaker),
            "voice": voice.variant,
            "accent": voice.accent,
            "text": text,
        }
        for i, text in enumerate(json.loads(label.read_text("utf-8")))
    ]


def _run_engine(
    voice: Voice, texts: list[str], keep: int
) -> Iterator[tuple[str, Waveform]]:
    request: dict[str, Any] = {
        "voice": f"{voice.accent}+{voice.variant}",
        "pitch": voice.pitch,
        "range": voice.range,
        "words_per_minute": voice.words_per_minute,
        "min_seconds": MIN_SECONDS,
        "max_seconds": MAX_SECONDS,
        "keep": keep,
        "sentences": texts,
    }
    answer = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("espeak.py"))],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=False,
    )
    if answer.returncode:
        raise ValueError(
            f"espeak-ng failed with voice {request['voice']}:"
            f" {answer.stderr.decode(errors='replace').strip()}"
        )
    rest = answer.stdout
    for _ in range(keep):
        head, rest = rest.split(b"\n", 1)
        facts = json.loads(head)
        samples = np.frombuffer(rest, np.int16, facts["samples"])
        rest = rest[2 * facts["samples"] :]
        speech = resample(samples.astype(np.float32) / 2**15, facts["rate"])
        yield facts["sentence"], speech


def _record(speech: Waveform, generator: np.random.Generator) -> Waveform:
    """Hear the speech in a session of its own: equaliser, noise, gain."""
    equalised = _equalise(speech, generator.uniform(-4, 4, size=8))
    noise = _equalise(
        generator.normal(size=len(speech)).astype(np.float32),
        generator.uniform(-10, 10, size=8),
    )
    snr = generator.uniform(15, 30)
    noise *= np.std(equalised) / np.std(noise) * 10 ** (-snr / 20)
    heard = equalised + noise
    peak = 10 ** (generator.uniform(-18, -1) / 20)
    return (heard * (peak / np.abs(heard).max())).astype(np.float32)


def _equalise(samples: Waveform, gains: np.ndarray) -> Waveform:
    """Apply gains in dB at equally spaced frequencies, straight lines between them."""
    spectrum = np.fft.rfft(samples)
    places = np.linspace(0, len(gains) - 1, len(spectrum))
    curve = np.interp(places, np.arange(len(gains)), gains)
    filtered = np.fft.irfft(spectrum * 10 ** (curve / 20), n=len(samples))
    return filtered.astype(np.float32)
