"""Audio through a real encoder into the cache."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import TINY, voice
from safetensors.torch import load_file, save_file

from unipool.audio import read_audio
from unipool.backbone import Backbone
from unipool.cache import open_cache
from unipool.extract import extract
from unipool.fetch import fetch_backbone
from unipool.lock import only_writer
from unipool.manifest import select_part, write_manifest

SECONDS = [0.7, 0.025, 1.3, 0.4, 0.41, 2.0, 0.3]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    fetch_backbone(
        folder=folder / "backbone",
        config={"model_type": "hubert", "feat_extract_norm": "group", **TINY},
        seed=0,
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
        "view": "full",
        "extract_batch_seconds": 1.5,
        "device": "cpu",
        "num_threads": 1,
    }
    extract(**(settings | changes))


def opened(folder, num_parts=1):
    manifest = pd.read_csv(folder / "m.csv", dtype={"utterance": str})
    facts = json.loads((folder / "backbone" / "backbone.json").read_text("utf-8"))
    return open_cache(
        folder / "cache",
        [
            select_part(manifest, split="train", part=part, num_parts=num_parts)
            for part in range(num_parts)
        ],
        backbone_sha256=facts["sha256"],
        view="full",
    )


def test_each_utterance_is_cached_as_encoded_alone(project):
    run(project)

    cache = opened(project)
    encoder = Backbone(
        project / "backbone",
        device=torch.device("cpu"),
        dtype=torch.float32,
        normalize="checkpoint",
    )
    assert cache.utterances == [f"u{i}" for i in range(len(SECONDS))]
    for i in range(len(SECONDS)):
        (alone,) = encoder.hidden_states([read_audio(project / f"{i} ä.wav")])
        assert cache.num_frames[i] == len(alone)
        np.testing.assert_allclose(
            cache.read(i).astype(np.float32),
            alone.transpose(0, 1).numpy(),
            rtol=1e-3,
            atol=1e-3 * float(alone.abs().max()),
        )


def test_the_batch_size_is_no_part_of_the_result(project):
    run(project)
    one = opened(project)
    one.load()
    shutil.rmtree(project / "cache")

    run(project, extract_batch_seconds=100)

    other = opened(project)
    for i in range(len(SECONDS)):
        difference = np.abs(one.read(i).astype(np.float32) - other.read(i))
        assert difference.max() <= 2e-3 * np.abs(one.read(i)).max()


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


def content_of(folder):
    cache = opened(folder)
    return [cache.read(i).tobytes() for i in range(len(cache.utterances))]


@pytest.mark.parametrize("num_lost", [1, 2, 3])
def test_a_store_that_was_broken_off_is_filled_from_there(
    project, monkeypatch, caplog, num_lost
):
    caplog.set_level("INFO")
    monkeypatch.setattr("unipool.cache.writer.BYTES_IN_SHARD", 100 * 3 * 16 * 2)
    monkeypatch.setattr("unipool.extract.BATCHES_IN_WINDOW", 1)
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
