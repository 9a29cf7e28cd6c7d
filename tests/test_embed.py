"""Embeddings of a trained run."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import BACKBONE, TINY, split_of, train_run

from unipool.backends import BACKENDS
from unipool.checkpoint import read_checkpoint
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.extract import extract
from unipool.fetch import fetch_backbone
from unipool.splits import Memory


@pytest.fixture(scope="module")
def run(cached, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"margin": 0.2, "scale": 30.0, "num_heads": 2}
    train_run(cached, folder, loss_options=options)
    return folder


def embed_test(cached, run, file, **changes):
    settings = {
        "run": run,
        "split": split_of(cached, "test"),
        "embeddings": file,
        "device": "cpu",
        "num_threads": 1,
        "embed_batch_seconds": 3,
    }
    embed(**(settings | changes))
    return read_embeddings(file)


def test_each_embedding_is_the_backends_for_the_utterance_alone(cached, run, tmp_path):
    content = embed_test(cached, run, tmp_path / "e.h5")

    weights, info = read_checkpoint(run)
    backend = BACKENDS["unipool"](3, 16, **info["options"]).eval()
    backend.load_state_dict(weights)
    cache, rows = split_of(cached, "test").open(Memory(0, 0), torch.device("cpu"))
    assert content.utterances == rows["utterance"].tolist()
    assert content.embeddings.shape == (8, 8)
    assert content.num_heads == 2
    for index, embedding in enumerate(content.embeddings):
        states = cache.read(index).float()[None]
        with torch.inference_mode():
            alone = backend(states, torch.ones(1, states.shape[2], dtype=torch.bool))
        np.testing.assert_allclose(embedding, alone[0].numpy(), rtol=1e-3, atol=1e-4)


def test_it_says_whose_each_utterance_is_how_long_and_what_all_cost(
    cached, run, tmp_path
):
    content = embed_test(cached, run, tmp_path / "e.h5")

    rows = pd.read_csv(cached / "utterances.csv").query("split == 'test'")
    assert content.speakers == rows["speaker"].tolist()
    assert content.seconds.tolist() == rows["seconds"].tolist()
    info = json.loads((run / "model.json").read_text("utf-8"))
    costs = content.info["costs"]
    assert costs["backend_parameters"] == info["backend_parameters"]
    assert costs["train_seconds"] == info["train_seconds"]
    assert costs["train_memory_bytes"] == info.get("train_memory_bytes")
    assert 0 < costs["embed_seconds"] < 60
    assert content.info["trained_with"] == info["versions"]
    assert sorted(content.info["caches"]) == [
        f"tiny/own/{split}/full" for split in ("test", "train", "valid")
    ]


def test_an_utterance_at_another_speed_is_another_speakers(cached, run, tmp_path):
    slow = {"augmented": {"copy": 0, "noise": None, "reverb": None, "speed": [0.5]}}
    slow["augmented"]["seed"] = 0
    part = tmp_path / "slow/part-000-of-001"
    extract(
        manifest=cached / "utterances.csv",
        split="test",
        part=0,
        num_parts=1,
        backbone=cached / "backbone",
        store=part.with_suffix(".zarr"),
        receipt=part.with_suffix(".json"),
        view=slow,
        max_batch_seconds=4,
        device="cpu",
        num_threads=1,
    )
    split = split_of(cached, "test")._replace(folder=tmp_path, views={"slow": slow})

    content = embed_test(cached, run, tmp_path / "e.h5", split=split)

    rows = pd.read_csv(cached / "utterances.csv").query("split == 'test'")
    assert content.speakers == [f"{name} at speed 0.5" for name in rows["speaker"]]
    assert content.seconds == pytest.approx(2 * rows["seconds"].to_numpy())


def test_the_batch_size_changes_no_more_than_rounding(cached, run, tmp_path):
    small = embed_test(cached, run, tmp_path / "a.h5", embed_batch_seconds=0.1)
    large = embed_test(cached, run, tmp_path / "b.h5", embed_batch_seconds=100)

    np.testing.assert_allclose(small.embeddings, large.embeddings, rtol=1e-3, atol=1e-4)


def test_a_cache_of_another_backbone_is_refused(cached, run, tmp_path):
    config = {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY}
    fetch_backbone(folder=tmp_path / "other", config=config, seed=1, **BACKBONE)
    split = split_of(cached, "test")._replace(backbone=tmp_path / "other")

    with pytest.raises(ValueError, match="not the backbone that the run"):
        embed_test(cached, run, tmp_path / "e.h5", split=split)


def test_weights_of_another_backbones_size_are_refused(cached, run, tmp_path):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    info = json.loads((tmp_path / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps(info | {"layers": [0, 1]}), "utf-8")

    with pytest.raises(
        ValueError, match=r"of layers \[0, 1, 2\]; .* on layers \[0, 1\]"
    ):
        embed_test(cached, tmp_path, tmp_path / "e.h5")
