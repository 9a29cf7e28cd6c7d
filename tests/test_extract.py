"""Audio through a real encoder into the cache."""

import json
import multiprocessing
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import BACKBONE, TINY, voice
from safetensors.torch import load_file, save_file

from unipool.audio import read_audio
from unipool.backbone import Encoder, load_backbone
from unipool.cache import PartSet, open_cache
from unipool.extract import extract
from unipool.fetch import fetch_backbone
from unipool.lock import only_writer
from unipool.log import job_log
from unipool.manifest import divide, read_manifest, write_manifest
from unipool.views import view_of

FULL: dict = {}
SECONDS = [0.7, 0.025, 1.3, 0.4, 0.41, 2.0, 0.3]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    fetch_backbone(
        folder=folder / "backbone",
        config={"model_type": "hubert", "feat_extract_norm": "group", **TINY},
        seed=0,
        **BACKBONE,
    )
    rows = []
    for i, seconds in enumerate(SECONDS):
        path = folder / f"{i} ä.wav"
        soundfile.write(path, voice(i, 0, seconds=seconds), 16_000)
        rows.append((f"u{i}", "s", "train", str(path), seconds))
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), folder / "m.csv")
    return folder


@pytest.fixture
def project(corpus, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(corpus, folder)
    text = (folder / "m.csv").read_text("utf-8")
    (folder / "m.csv").write_text(text.replace(str(corpus), str(folder)), "utf-8")
    return folder


def run(folder, **changes):
    settings = {
        "manifest": folder / "m.csv",
        "split": "train",
        "part": 0,
        "num_parts": 1,
        "backbone": folder / "backbone",
        "store": folder / "cache" / "part-000-of-001.zarr",
        "receipt": folder / "cache" / "part-000-of-001.json",
        "view": {},
        "max_batch_seconds": 1.5,
        "device": "cpu",
        "num_threads": 1,
    }
    extract(**(settings | changes))


def opened(folder, num_parts=1, view=FULL):
    manifest = read_manifest(folder / "m.csv")
    facts = json.loads((folder / "backbone" / "backbone.json").read_text("utf-8"))
    parts = divide(manifest, split="train", num_parts=num_parts)
    rows = [view_of(view).rows(rows) for rows in parts]
    sets = [PartSet(folder / "cache", view, rows)]
    return open_cache(sets, backbone_sha256=facts["sha256"])


def encoder_of(folder, **changes):
    settings = {key: value for key, value in BACKBONE.items() if key != "cache"}
    settings |= {"device": torch.device("cpu"), "dtype": torch.float32} | changes
    return Encoder(folder / "backbone", **settings)


def test_each_utterance_is_cached_as_encoded_alone(project):
    run(project)

    cache = opened(project)
    encoder = encoder_of(project)
    assert cache.utterances == [f"u{i}" for i in range(len(SECONDS))]
    for i in range(len(SECONDS)):
        (alone,) = encoder.hidden_states([read_audio(project / f"{i} ä.wav")])
        assert cache.num_frames[i] == alone.shape[1]
        largest = float(alone.abs().max())
        torch.testing.assert_close(
            cache.read(i).float(), alone, rtol=1e-3, atol=1e-3 * largest
        )


@pytest.mark.parametrize("max_batch_seconds", [0, 100])
def test_the_batch_size_is_no_part_of_the_result(project, max_batch_seconds):
    run(project)
    one = opened(project)
    one.load(torch.device("cpu"))
    shutil.rmtree(project / "cache")

    run(project, max_batch_seconds=max_batch_seconds)

    other = opened(project)
    for i in range(len(SECONDS)):
        difference = (one.read(i).float() - other.read(i)).abs()
        assert difference.max() <= 2e-3 * one.read(i).abs().max()


def test_parts_together_are_the_split(project):
    run(project)
    whole = opened(project)
    for part in range(3):
        name = f"part-{part:03d}-of-003"
        run(
            project,
            part=part,
            num_parts=3,
            store=project / "cache" / f"{name}.zarr",
            receipt=project / "cache" / f"{name}.json",
        )

    parts = opened(project, num_parts=3)

    assert parts.utterances == whole.utterances
    assert parts.num_frames.tolist() == whole.num_frames.tolist()


def test_a_store_that_only_lost_its_receipt_is_taken_over(project):
    run(project)
    receipt = project / "cache" / "part-000-of-001.json"
    before = receipt.read_text("utf-8")
    receipt.unlink()
    for path in project.glob("*.wav"):
        path.unlink()  # so that nothing can be encoded again

    run(project)

    assert receipt.read_text("utf-8") == before


def test_what_nfs_keeps_for_a_reader_is_no_part_of_it(project):
    run(project)
    receipt = project / "cache" / "part-000-of-001.json"
    before = receipt.read_bytes()
    receipt.unlink()
    kept = receipt.with_suffix(".zarr") / "hidden_states" / ".nfs0000000001"
    kept.write_bytes(b"of before")

    run(project)

    assert receipt.read_bytes() == before
    kept.unlink()
    assert opened(project).utterances


def content_of(folder):
    cache = opened(folder)
    return [cache.read(i).numpy().tobytes() for i in range(len(cache.utterances))]


@pytest.mark.parametrize("num_lost", [1, 2, 3])
def test_a_store_that_was_broken_off_is_filled_from_there(
    project, monkeypatch, caplog, num_lost
):
    caplog.set_level("INFO")
    monkeypatch.setattr("unipool.cache.layout.FRAMES_IN_BLOCK", 40)
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 120 * 3 * 16 * 2)
    monkeypatch.setattr("unipool.pieces.BATCHES_IN_STRETCH", 1)
    run(project)
    expected = content_of(project)
    receipt = project / "cache" / "part-000-of-001.json"
    first = receipt.read_bytes()
    receipt.unlink()
    shards = sorted((receipt.with_suffix(".zarr") / "hidden_states").glob("c/*/0/0"))
    assert len(shards) == 3
    for shard in shards[-num_lost:]:
        shard.unlink()

    run(project)

    assert content_of(project) == expected
    # Byte for byte, or Snakemake would take finished runs for out of date.
    assert receipt.read_bytes() == first
    went_on = any("going on after" in message for message in caplog.messages)
    assert went_on == (num_lost < 3)


def make_shards_small(patch):
    patch.setattr("unipool.cache.layout.FRAMES_IN_BLOCK", 40)
    patch.setattr("unipool.cache.store.BYTES_IN_SHARD", 1)
    patch.setattr("unipool.pieces.BATCHES_IN_STRETCH", 1)


def extract_as_job(folder):
    with pytest.MonkeyPatch.context() as patch, job_log(folder / "log", "extract"):
        make_shards_small(patch)
        run(folder)


def shards_of(folder):
    """Give the shards that are whole, and when each was written."""
    shards = (folder / "cache").glob("*.zarr/hidden_states/c/*/0/0")
    return {shard: shard.stat().st_mtime_ns for shard in shards}


def test_a_job_that_is_told_to_end_keeps_the_shards_that_are_whole(
    project, monkeypatch, caplog
):
    rows = []
    for i in range(40):
        soundfile.write(project / f"{i}.wav", voice(i, 0, seconds=2), 16_000)
        rows.append((f"u{i:02d}", "s", "train", str(project / f"{i}.wav"), 2.0))
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), project / "m.csv")
    receipt = project / "cache" / "part-000-of-001.json"
    job = multiprocessing.get_context("spawn").Process(
        target=extract_as_job, args=(project,)
    )
    job.start()
    deadline = time.monotonic() + 60
    while len(shards_of(project)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.terminate()
    job.join(30)
    finished, kept = receipt.exists(), shards_of(project)
    holders = list(project.rglob("*.holder"))

    make_shards_small(monkeypatch)
    caplog.set_level("INFO")
    run(project)
    content, sealed = content_of(project), receipt.read_bytes()
    shards = shards_of(project)
    shutil.rmtree(project / "cache")
    run(project)

    assert (job.exitcode, finished, holders) == (1, False, [])
    assert "told to end (SIGTERM)" in (project / "log").read_text("utf-8")
    assert f"going on after {40 * len(kept)} frames" in caplog.text
    assert len(kept) < len(shards)
    assert kept.items() <= shards.items()
    assert content == content_of(project)
    assert sealed == receipt.read_bytes()


def test_an_empty_part_is_a_part(project):
    name = project / "cache" / "part-000-of-020"

    run(
        project,
        part=0,
        num_parts=20,
        store=name.with_suffix(".zarr"),
        receipt=name.with_suffix(".json"),
    )

    receipt = json.loads(name.with_suffix(".json").read_text("utf-8"))
    assert receipt["utterances"] == 0


def test_a_part_that_another_process_writes_is_left_to_it(project):
    (project / "cache").mkdir()
    lock = project / "cache" / "part-000-of-001.lock"

    with (
        only_writer(lock, wait=False),
        pytest.raises(ValueError, match=rf"process {os.getpid()} on .* writes this"),
    ):
        run(project)

    run(project)
    assert opened(project).utterances


def test_audio_that_changed_since_is_named(project):
    soundfile.write(project / "2 ä.wav", voice(2, 0, seconds=1.2), 16_000)

    with pytest.raises(ValueError, match=r"2 ä\.wav: 19200 samples .* says 20800"):
        run(project)

    assert not (project / "cache" / "part-000-of-001.json").exists()


def test_audio_that_no_header_showed_to_be_bad_is_named(project):
    samples = voice(3, 0, seconds=SECONDS[3])
    samples[100] = np.nan
    soundfile.write(project / "3 ä.wav", samples, 16_000, subtype="FLOAT")

    with pytest.raises(ValueError, match=r"3 ä\.wav: 1 of .* NaN .* `check: decode`"):
        run(project)


def test_an_utterance_too_short_for_a_frame_is_named(project):
    manifest = pd.read_csv(project / "m.csv")
    manifest.loc[1, "seconds"] = 399 / 16_000
    write_manifest(manifest, project / "m.csv")

    with pytest.raises(ValueError, match=r"utterance u1 lasts .* needs 0.025 s; raise"):
        run(project)


def test_an_overflow_names_utterance_and_layer(project):
    folder = project / "backbone"
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layers.1.final_layer_norm.weight"] *= 1e6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ValueError, match=r"utterance u0, layer 2: .* 65504"):
        run(project)


def fetch_again(project, **changes):
    """Fetch the backbone once more, with other settings."""
    settings = BACKBONE | {"overlap_seconds": 0.2} | changes
    fetch_backbone(
        folder=project / "backbone", path=str(project / "backbone"), **settings
    )


def test_a_long_utterance_is_encoded_in_windows(project):
    fetch_again(project, window_seconds=0.6)

    run(project)

    cache = opened(project)
    encoder = encoder_of(project, window_seconds=0.6, overlap_seconds=0.2)
    for i, seconds in enumerate(SECONDS):
        wave = read_audio(project / f"{i} ä.wav")
        states = cache.read(i).float()
        place = 0
        for window in encoder.windows(len(wave)):
            (alone,) = encoder.hidden_states([wave[window.start : window.stop]])
            torch.testing.assert_close(
                states[:, place:][:, : window.num_frames],
                alone[:, window.skip :][:, : window.num_frames],
                rtol=1e-3,
                atol=1e-3 * float(alone.abs().max()),
            )
            place += window.num_frames
        assert place == states.shape[1] == encoder.num_frames(len(wave))
        assert (len(encoder.windows(len(wave))) > 1) == (seconds > 0.6)


def test_within_a_long_utterance_a_part_goes_on(project, monkeypatch):
    make_shards_small(monkeypatch)
    soundfile.write(project / "0 ä.wav", voice(0, 0, seconds=9), 16_000)
    manifest = read_manifest(project / "m.csv")
    manifest.loc[0, "seconds"] = 9.0
    write_manifest(manifest, project / "m.csv")
    fetch_again(project, window_seconds=0.6)
    run(project)
    expected = content_of(project)
    (project / "cache" / "part-000-of-001.json").unlink()
    shards = sorted(
        (project / "cache").glob("*/hidden_states/c/*/0/0"),
        key=lambda path: int(path.parts[-3]),
    )
    for shard in shards[3:]:
        shard.unlink()
    modified = [shard.stat().st_mtime_ns for shard in shards[:3]]

    run(project)

    assert content_of(project) == expected
    assert [shard.stat().st_mtime_ns for shard in shards[:3]] == modified


def test_only_the_layers_that_are_asked_for_are_kept(project):
    run(project)
    all_layers = [opened(project).read(i) for i in range(len(SECONDS))]
    shutil.rmtree(project / "cache")
    fetch_again(project, cache={"dtype": "float16", "layers": [2, 0]})

    run(project)

    cache = opened(project)
    assert cache.layers == [0, 2]
    assert all(
        torch.equal(cache.read(i), states[[0, 2]])
        for i, states in enumerate(all_layers)
    )


def test_a_layer_that_the_encoder_has_not_is_an_error(project):
    with pytest.raises(ValueError, match=r"asks for layer 3; this backbone has 0 to 2"):
        fetch_again(project, cache={"dtype": "float16", "layers": [0, 3]})


def test_int8_is_near_to_float16(project):
    run(project)
    full = [opened(project).read(i).float() for i in range(len(SECONDS))]
    shutil.rmtree(project / "cache")
    fetch_again(project, cache={"dtype": "int8"})

    run(project)

    cache = opened(project)
    for i, states in enumerate(full):
        largest = states.abs().max()
        assert (cache.read(i).float() - states).abs().max() < 0.01 * largest


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
)


def run_out_of_memory(monkeypatch, *, above, error=OUT_OF_MEMORY[0]):
    """Let the encoder fail as on a GPU that is too small."""
    whole = Encoder.hidden_states

    def hidden_states(self, waveforms, **wanted):
        if len(waveforms) * max(map(len, waveforms)) > above:
            raise error
        return whole(self, waveforms, **wanted)

    monkeypatch.setattr(Encoder, "hidden_states", hidden_states)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_when_memory_is_short_batches_are_halved(project, monkeypatch, caplog, error):
    caplog.set_level("WARNING")
    run(project)
    one = opened(project)
    one.load(torch.device("cpu"))
    shutil.rmtree(project / "cache")
    run_out_of_memory(monkeypatch, above=32_000, error=error)

    run(project, max_batch_seconds=60)

    other = opened(project)
    assert "the GPU's memory is too small" in caplog.text
    for i in range(len(SECONDS)):
        difference = (one.read(i).float() - other.read(i)).abs()
        assert difference.max() <= 2e-3 * one.read(i).abs().max()


def test_another_fault_of_the_gpu_is_no_reason_to_go_on(project, monkeypatch):
    fault = RuntimeError("CUDA error: an illegal memory access was encountered")
    run_out_of_memory(monkeypatch, above=32_000, error=fault)

    with pytest.raises(RuntimeError, match="illegal"):
        run(project, max_batch_seconds=60)


def test_an_utterance_that_alone_is_too_much_is_an_error(project, monkeypatch):
    run_out_of_memory(monkeypatch, above=20_000)

    with pytest.raises(ValueError, match=r"\d s of audio alone are .* lower window"):
        run(project)


def test_a_model_that_depends_on_the_batch_is_refused_before_anything(
    project, monkeypatch
):
    whole = Encoder.hidden_states

    def hidden_states(self, waveforms):
        return [states + len(waveforms) for states in whole(self, waveforms)]

    monkeypatch.setattr(Encoder, "hidden_states", hidden_states)

    with pytest.raises(ValueError, match="hidden states depend on the batch"):
        run(project, max_batch_seconds=60)

    assert not (project / "cache" / "part-000-of-001.json").exists()


def test_half_a_second_more_or_less_is_no_trouble_to_the_progress(project):
    manifest = read_manifest(project / "m.csv")
    # Rounded, a total of 2.5 s would be less than what is done.
    (row,) = manifest.index[manifest["utterance"] == "u0"]
    soundfile.write(project / "0 ä.wav", voice(0, 0, seconds=2.5), 16_000)
    manifest.loc[row, "seconds"] = 2.5
    write_manifest(manifest.loc[[row]], project / "m.csv")

    run(project)

    assert (project / "cache" / "part-000-of-001.json").exists()


def test_a_segment_is_encoded_as_if_it_were_a_recording(project):
    manifest = read_manifest(project / "m.csv")
    recording = read_audio(project / "5 ä.wav")
    pieces = [(0.0, 0.9), (0.5, 2.0), (1.25, 1.75)]
    rows = []
    for i, (start, stop) in enumerate(pieces):
        piece = recording[round(start * 16_000) : round(stop * 16_000)]
        soundfile.write(project / f"{i}.wav", piece, 16_000, subtype="FLOAT")
        rows.append((f"cut {i}", "s", str(project / f"{i}.wav"), stop - start, "", ""))
        where = (f"{start:.7f}", f"{stop:.7f}")
        rows.append((f"segment {i}", "s", manifest["path"][5], stop - start, *where))
    columns = ["utterance", "speaker", "path", "seconds", "start", "stop"]
    rows = pd.DataFrame(rows, columns=columns).assign(split="train")
    write_manifest(rows, project / "m.csv")

    run(project)

    cache = opened(project)
    for cut, segment in ((0, 1), (2, 3), (4, 5)):
        torch.testing.assert_close(
            cache.read(cut).float(), cache.read(segment).float(), rtol=1e-3, atol=1e-3
        )


def test_a_segment_that_starts_elsewhere_is_another(project):
    manifest = read_manifest(project / "m.csv").iloc[[5]]
    run(project)
    for start in ("0.5000000", "0.6000000"):
        rows = manifest.assign(seconds=0.5, start=start, stop=f"{float(start) + 0.5}")
        write_manifest(rows, project / "m.csv")
        with pytest.raises(ValueError, match="--force"):
            opened(project)
        shutil.rmtree(project / "cache")
        run(project)
        opened(project)


FEATURES = {
    "log-mel": ({}, 400),
    "mfcc": ({"num_coefficients": 24, "normalize": "none"}, 257),
    "waveform": ({}, 160),
}
"""Options, and the samples of one frame."""


@pytest.fixture(params=FEATURES)
def of_features(request, tmp_path):
    """Fetch features, and write ragged, 8 kHz, silent and very short audio."""
    options, smallest = FEATURES[request.param]
    fetch_backbone(
        folder=tmp_path / "backbone",
        features=request.param,
        options=options,
        **BACKBONE,
    )
    audio = {
        "ragged": (voice(0, 0, seconds=1.2)[:17_777], 16_000),
        "long": (voice(1, 0, seconds=90), 16_000),
        "8 kHz": (voice(2, 0, seconds=0.8, rate=8000), 8000),
        "silence": (np.zeros(8000, np.float32), 16_000),
        "one frame": (voice(3, 0, seconds=1)[:smallest], 16_000),
    }
    rows = []
    for name, (samples, rate) in audio.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, rate)
        rows.append((name, "s", "train", str(path), len(samples) / rate))
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), tmp_path / "m.csv")
    return tmp_path


def test_features_are_cached_as_they_are_computed(of_features):
    backbone = load_backbone(of_features / "backbone", torch.device("cpu"))

    run(of_features)

    cache = opened(of_features)
    assert cache.layers == [0]
    assert cache.frame_shift == 0.01
    for i, name in enumerate(cache.utterances):
        wave = read_audio(of_features / f"{name}.wav")
        (expected,) = backbone.hidden_states([wave], dtype=torch.float16)
        assert torch.equal(cache.read(i), expected)
        assert cache.num_frames[i] == backbone.num_frames(len(wave)) > 0


def test_audio_too_short_for_a_frame_of_features_is_named(of_features):
    manifest = pd.read_csv(of_features / "m.csv")
    manifest.loc[4, "seconds"] -= 1 / 16_000
    write_manifest(manifest, of_features / "m.csv")

    with pytest.raises(ValueError, match=r"utterance one frame lasts .* needs 0\.0"):
        run(of_features)
