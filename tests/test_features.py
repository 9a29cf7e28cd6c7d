"""Acoustic features and the waveform as backbones, against plain second versions."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soxr
import torch
import yaml
from conftest import BACKBONE, voice

from unipool.backbone import FEATURES, load_backbone
from unipool.fetch import fetch_backbone
from unipool.manifest import write_manifest
from unipool.plan import PlannedSet, plan
from workflow.config import problems_of

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))

PLAIN = {"num_coefficients": 80, "normalize": "none"}
DEFINED = {
    name: entry for name, entry in CONFIG["backbones"].items() if "features" in entry
}
every_kind = pytest.mark.parametrize("name", DEFINED)

WAVES = {
    "voice": voice(0, 0, seconds=0.5),
    "ragged": voice(1, 0, seconds=1.0)[:11_237],
    "8 kHz": soxr.resample(voice(2, 0, seconds=0.4, rate=8000), 8000, 16_000),
    "loud then silent": np.concatenate(
        [voice(3, 0, seconds=0.2), np.zeros(3200, np.float32)]
    ),
    "silence": np.zeros(4000, np.float32),
    "shortest": voice(4, 0, seconds=1.0)[:400],
}
every_wave = pytest.mark.parametrize("wave", WAVES.values(), ids=WAVES)


def make(kind, **options):
    return FEATURES[kind](torch.device("cpu"), **options)


def defined(name):
    entry = DEFINED[name]
    return make(entry["features"], **entry.get("options", {}))


def frames_of(kind, wave, **options):
    (states,) = make(kind, **options).hidden_states([wave])
    return states[0].numpy()


def triangles(lowest, highest, *, to_mel, over_mel):
    """Give the weight of each of 257 frequencies in each of 80 bands, one by one."""
    mels = np.linspace(to_mel(lowest), to_mel(highest), 82)
    to_hz = {to_mel(hz / 10): hz / 10 for hz in range(0, 80_001)}
    edges = mels if over_mel else np.interp(mels, list(to_hz), list(to_hz.values()))
    weights = np.zeros((257, 80))
    for k in range(257):
        at = to_mel(k * 31.25) if over_mel else k * 31.25
        for band in range(80):
            low, centre, high = edges[band : band + 3]
            rising, falling = (at - low) / (centre - low), (high - at) / (high - centre)
            weights[k, band] = max(0, min(rising, falling))
    return weights


MFCC_BANDS = triangles(
    20, 7600, to_mel=lambda hz: 2595 * np.log10(1 + hz / 700), over_mel=False
)
KALDI_BANDS = triangles(
    20, 8000, to_mel=lambda hz: 1127 * np.log(1 + hz / 700), over_mel=True
)


def plain_mfcc(wave):
    """Follow the published front-end step by step, in float64."""
    x = wave.astype(np.float64)
    y = [x[0] - 0.97 * x[1]] + [x[t] - 0.97 * x[t - 1] for t in range(1, len(x))]
    padded = np.concatenate([y[256:0:-1], y, y[-2:-258:-1]])
    window = np.zeros(512)
    for n in range(400):
        window[56 + n] = 0.54 - 0.46 * np.cos(2 * np.pi * n / 400)
    rows = []
    for t in range(len(x) // 160 + 1):
        power = np.abs(np.fft.rfft(padded[160 * t : 160 * t + 512] * window)) ** 2
        rows.append(10 * np.log10(np.maximum(power @ MFCC_BANDS, 1e-10)))
    decibels = np.maximum(rows, np.max(rows) - 80)
    m = np.arange(80)
    basis = [np.sqrt(2 / 80) * np.cos(np.pi * k * (m + 0.5) / 80) for k in range(80)]
    basis[0] /= np.sqrt(2)
    return decibels @ np.transpose(basis)


def plain_log_mel(wave):
    """Follow Kaldi's compute-fbank-feats step by step, in float64."""
    x = wave.astype(np.float64) * 32_768
    window = [(0.5 - 0.5 * np.cos(2 * np.pi * n / 399)) ** 0.85 for n in range(400)]
    rows = []
    for start in range(0, len(x) - 399, 160):
        frame = x[start : start + 400] - x[start : start + 400].mean()
        emphasised = [frame[0] - 0.97 * frame[0]]
        emphasised += [frame[n] - 0.97 * frame[n - 1] for n in range(1, 400)]
        power = np.abs(np.fft.rfft(np.multiply(emphasised, window), 512)) ** 2
        rows.append(np.log(np.maximum(power @ KALDI_BANDS, 2.0**-23)))
    return np.array(rows)


@every_wave
def test_mfcc_are_those_of_the_published_front_end(wave):
    expected = plain_mfcc(wave)

    coefficients = frames_of("mfcc", wave, **PLAIN)

    assert coefficients.shape == expected.shape
    np.testing.assert_allclose(coefficients, expected, atol=2e-3)


@every_wave
def test_log_mel_energies_are_kaldis(wave):
    expected = plain_log_mel(wave)

    energies = frames_of("log-mel", wave, normalize="none")

    assert energies.shape == expected.shape
    np.testing.assert_allclose(energies, expected, atol=1e-4)


def test_silence_has_the_least_energy():
    silence = WAVES["silence"]

    # 80 bands of -100 dB; ln 2^-23.
    assert frames_of("mfcc", silence, **PLAIN)[:, 0] == pytest.approx(-894.427)
    assert frames_of("log-mel", silence, normalize="none") == pytest.approx(-15.9424)


@every_kind
def test_the_number_of_frames_is_known_beforehand(name):
    backbone = defined(name)
    smallest = {"fbank-80": 400, "waveform": 160}.get(name, 257)

    for size in (1, 159, 160, 256, 257, 319, 320, 399, 400, 559, 560, 561, 5001):
        expected = backbone.num_frames(size)
        assert (expected > 0) == (size >= smallest)
        if expected:
            (states,) = backbone.hidden_states([np.resize(WAVES["voice"], size)])
            assert states.shape == (1, expected, backbone.hidden_size)

    assert backbone.min_samples == smallest
    assert (backbone.num_layers, backbone.num_parameters) == (1, 0)
    assert backbone.frame_shift == 0.01


@every_kind
def test_an_hour_is_one_window(name):
    backbone = defined(name)

    (window,) = backbone.windows(3600 * 16_000)

    assert (window.start, window.stop, window.skip) == (0, 3600 * 16_000, 0)
    assert window.num_frames == backbone.num_frames(3600 * 16_000)


@pytest.mark.parametrize("name", ["fbank-80", "mfcc-24", "mfcc-80"])
def test_blocks_of_frames_leave_no_trace(name, monkeypatch):
    (whole,) = defined(name).hidden_states([WAVES["ragged"]])
    monkeypatch.setattr("unipool.backbone.spectral.FRAMES_IN_BLOCK", 7)

    (divided,) = defined(name).hidden_states([WAVES["ragged"]])

    torch.testing.assert_close(divided, whole, rtol=1e-6, atol=1e-6)


@every_kind
def test_utterances_together_are_as_each_alone(name):
    backbone = defined(name)
    waves = list(WAVES.values())

    together = backbone.hidden_states(waves)

    backbone.check_batching(waves)
    for states, wave in zip(together, waves, strict=True):
        assert torch.equal(states, backbone.hidden_states([wave])[0])


def test_fewer_coefficients_are_the_first_of_more():
    more = frames_of("mfcc", WAVES["voice"], **PLAIN)

    fewer = frames_of("mfcc", WAVES["voice"], **PLAIN | {"num_coefficients": 24})

    np.testing.assert_allclose(fewer, more[:, :24], rtol=1e-5, atol=1e-4)


def test_normalisation_is_over_the_utterance_or_within_a_frame():
    plain = frames_of("mfcc", WAVES["voice"], **PLAIN)

    def after(normalize):
        return frames_of("mfcc", WAVES["voice"], **PLAIN | {"normalize": normalize})

    centred = plain - plain.mean(axis=0)
    scaled = centred / np.sqrt(plain.var(axis=0) + 1e-5)
    lengths = np.sqrt((plain**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(after("mean"), centred, atol=1e-3)
    np.testing.assert_allclose(after("mean-variance"), scaled, atol=1e-3)
    np.testing.assert_allclose(after("frame-length"), plain / lengths, atol=1e-6)


@every_kind
def test_silence_and_a_single_frame_stay_finite(name):
    backbone = defined(name)
    shortest = WAVES["voice"][: backbone.min_samples]

    silence, one = backbone.hidden_states([WAVES["silence"], shortest])

    assert silence.isfinite().all()
    assert one.isfinite().all()
    if name in ("fbank-80", "mfcc-24"):
        assert silence.abs().max() < 1e-6


def test_loudness_moves_log_mel_energies_by_a_constant_that_the_mean_takes():
    quiet, loud = WAVES["voice"] / 4, WAVES["voice"]

    by = frames_of("log-mel", loud, normalize="none") - frames_of(
        "log-mel", quiet, normalize="none"
    )

    assert by == pytest.approx(np.log(16), abs=1e-4)
    np.testing.assert_allclose(
        frames_of("log-mel", loud), frames_of("log-mel", quiet), atol=1e-4
    )


def test_frames_of_the_waveform_side_by_side_are_the_waveform():
    wave = WAVES["ragged"]

    frames = frames_of("waveform", wave)

    assert frames.shape == (70, 160)
    assert np.array_equal(frames.reshape(-1), wave[: 70 * 160])


def test_what_float16_loses_is_known():
    samples = np.arange(-32_768, 32_768)
    pcm = (samples / 32_768).astype(np.float32)
    (stored,) = make("waveform").hidden_states([pcm], dtype=torch.float16)
    (cepstra,) = make("mfcc", **PLAIN).hidden_states([WAVES["voice"]])

    lost = np.abs(stored.float().numpy().reshape(-1) - pcm[: stored.numel()])
    samples = samples[: stored.numel()]

    # 11 bits are kept of each sample: all of a quiet one, and what is lost of a loud
    # one is 8 steps of 16-bit audio, 66 dB below it.
    assert lost[np.abs(samples) <= 2048].max() == 0
    assert lost.max() == 8 / 32_768
    assert (lost <= 2.0**-11 * np.abs(pcm[: stored.numel()])).all()
    assert ((cepstra.half().float() - cepstra).abs() <= 2.0**-11 * cepstra.abs()).all()


def fetch(folder, **definition):
    fetch_backbone(folder=folder, **BACKBONE | definition)
    return json.loads((folder / "backbone.json").read_text("utf-8"))


@every_kind
def test_fetched_features_are_loaded_as_they_were_defined(tmp_path, name):
    facts = fetch(tmp_path, **DEFINED[name])

    loaded = load_backbone(tmp_path, torch.device("cpu"))

    (expected,) = defined(name).hidden_states([WAVES["voice"]])
    assert torch.equal(loaded.hidden_states([WAVES["voice"]])[0], expected)
    assert facts["source"] == DEFINED[name]["features"]
    assert facts["hidden_size"] == loaded.hidden_size
    assert (facts["layers"], facts["num_layers"], facts["parameters"]) == ([0], 1, 0)


def test_the_hash_of_features_is_that_of_what_decides_them(tmp_path):
    def sha256(**definition):
        return fetch(tmp_path, **definition)["sha256"]

    def mfcc(**options):
        return {"features": "mfcc", "options": PLAIN | options}

    first = sha256(**mfcc())
    others = [
        sha256(**mfcc(num_coefficients=24)),
        sha256(**mfcc(normalize="mean")),
        sha256(**mfcc(highest_hz=8000)),
        sha256(**mfcc(), cache={"dtype": "int8"}),
        sha256(features="log-mel"),
        sha256(features="waveform"),
    ]

    assert len({first, *others}) == 7
    assert sha256(**mfcc(num_mels=80, lowest_hz=20)) == first  # defaults, spelt out
    assert sha256(**mfcc(), window_seconds=30, dtype="float16") == first


def test_features_have_no_second_layer(tmp_path):
    with pytest.raises(ValueError, match=r"log-mel: .* layer 1; .* has 0 to 0"):
        fetch(tmp_path, features="log-mel", cache={"dtype": "int8", "layers": [0, 1]})


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"features": "mfc"}, "features: unknown 'mfc'; did you mean 'mfcc'?"),
        ({"features": "log-mel", "path": "/m"}, "x: needs either model"),
        ({"path": "/m", "options": {}}, "x: needs either model"),
        ({"features": "mfcc"}, "options.num_coefficients: missing"),
        (
            {"features": "mfcc", "options": PLAIN | {"num_coefficient": 24}},
            "options.num_coefficient: unknown key; did you mean 'num_coefficients'?",
        ),
        (
            {"features": "mfcc", "options": PLAIN | {"num_coefficients": 81}},
            "options.num_coefficients: 81 of 80 mel bands",
        ),
        (
            {"features": "log-mel", "options": {"normalize": "means"}},
            "options.normalize: 'means' is not one of ['none', 'mean',",
        ),
        (
            {"features": "log-mel", "options": {"num_mels": 300}},
            "options.num_mels: 300 are too many; some band",
        ),
        (
            {"features": "log-mel", "options": {"num_mels": 0}},
            "options.num_mels: 0 is too few",
        ),
        (
            {"features": "log-mel", "options": {"highest_hz": 8001}},
            "options.highest_hz: 8001 with lowest_hz 20",
        ),
        (
            {"features": "log-mel", "window_seconds": 30},
            "window_seconds: is about encoders",
        ),
    ],
)
def test_a_mistake_in_features_says_which_key(entry, problem):
    config = copy.deepcopy(CONFIG)
    config["backbones"]["x"] = entry

    problems = problems_of(config, SCHEMA)

    assert any(found.startswith("backbones.x") for found in problems)
    assert any(problem in found for found in problems)


def test_the_plan_counts_their_frames(tmp_path):
    fetch(tmp_path / "fbank", features="log-mel")
    rows = [("a", "s", "train", "a.wav", 1.0), ("b", "s", "train", "b.wav", 0.025)]
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), tmp_path / "m.csv")
    train = PlannedSet(tmp_path / "m.csv", "c", "train", 1, tmp_path / "fbank", "v", {})

    plan(
        sets=[train],
        cache_dir=tmp_path / "cache",
        table=tmp_path / "plan.csv",
        max_batch_seconds=60,
        device="cpu",
        num_threads=1,
    )

    (row,) = pd.read_csv(tmp_path / "plan.csv").itertuples()
    assert (row.frames, row.layers) == (98 + 1, 1)
    assert row.bytes == 99 * 80 * 2
