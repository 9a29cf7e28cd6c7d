"""What several tests make: small real audio, small real encoders."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from filelock import FileLock

TINY = {
    "conv_dim": [16] * 7,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""Keys of a Hugging Face config that make any of the families small."""

SHORT_SIGHTED = {
    "conv_dim": [8, 8],
    "conv_kernel": [4, 2],
    "conv_stride": [2, 2],
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
    **dict.fromkeys(("hidden_dropout", "activation_dropout"), 0.0),
    **dict.fromkeys(("attention_dropout", "feat_proj_dropout"), 0.0),
}
"""Keys of an encoder of which a frame sees 6 samples, and that drops nothing."""

BACKBONE = {
    "normalize": "checkpoint",
    "dtype": "float32",
    "window_seconds": 60,
    "overlap_seconds": 10,
    "cache": {"dtype": "float16"},
}
"""Settings of a backbone, as the config fills them in."""


LONG = ("test_workflow.py", "test_protocols.py")


def pytest_collection_modifyitems(items):
    """Put the long tests first: at the end no process waits for one."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Give a folder that is filled once, by the first of the processes that test."""
    of_all = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        of_all = of_all.parent

    def folder_of(name, fill):
        folder, done = of_all / name, of_all / f"{name}.done"
        with FileLock(of_all / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                fill(folder)
                done.touch()
        return folder

    return folder_of


def voice(speaker, utterance, *, seconds=1.0, rate=16_000):
    """Make a buzz whose pitch and resonance are the speaker's own."""
    of_speaker = np.random.default_rng([speaker, 0])
    of_utterance = np.random.default_rng([speaker, 1, utterance])
    pitch = of_speaker.uniform(80, 250) * of_utterance.uniform(0.95, 1.05)
    resonance = of_speaker.uniform(400, 3000)
    time = np.arange(int(seconds * rate)) / rate
    harmonics = pitch * np.arange(1, 20)
    gains = 1 / (1 + ((harmonics - resonance) / 300) ** 2)
    phases = of_utterance.uniform(0, 2 * np.pi, size=len(harmonics))
    buzz = gains @ np.sin(2 * np.pi * np.outer(harmonics, time) + phases[:, None])
    noise = of_utterance.normal(0, 0.02, size=len(time))
    return (0.3 * buzz / np.abs(buzz).max() + noise).astype(np.float32)


def write_corpus(root, *, speakers, utterances):
    """Write ``<root>/<speaker>/<utterance>.wav`` of about a second each."""
    for speaker in range(speakers):
        folder = root / f"spk {speaker:02d}"
        folder.mkdir(parents=True)
        for utterance in range(utterances):
            seconds = 0.6 + 0.1 * (utterance % 5)
            soundfile.write(
                folder / f"ütt {utterance}.wav",
                voice(speaker, utterance, seconds=seconds),
                16_000,
            )


def cache_of(lengths, *, layers=3, size=5, dtype="float16", device="cpu"):
    """Write random hidden states, one utterance of each length; hold them in memory."""
    # Not above: what is imported before the tests are found is not type checked.
    from unipool.cache import (
        Content,
        PartSet,
        PartWriter,
        fingerprint,
        open_cache,
        write_receipt,
    )

    names = [f"u{i}" for i in range(len(lengths))]
    rows = pd.DataFrame({"utterance": names, "seconds": 0.02 * np.array(lengths)})
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part-000-of-001"
        content = Content(
            utterances=names,
            num_frames=np.array(lengths),
            layers=list(range(layers)),
            hidden_size=size,
            frame_shift=0.02,
            dtype=dtype,
            fingerprint=fingerprint(backbone_sha256="", view={}, rows=rows),
        )
        with PartWriter(part.with_suffix(".zarr"), content) as writer:
            for length in lengths:
                states = generator.normal(size=(layers, length, size))
                writer.append(torch.from_numpy(states).half())
            writer.finish(device="cpu")
        write_receipt(part.with_suffix(".json"), part.with_suffix(".zarr"))
        cache = open_cache([PartSet(part.parent, {}, [rows])], backbone_sha256="")
        cache.load(torch.device(device))
    return cache


TRAINING = {
    "steps": 6,
    "batch_size": 4,
    "crop_seconds": 0.5,
    "learning_rate": 0.003,
    "schedule_options": {"warmup_fraction": 0.2},
    "gradient_clip": 5.0,
    "validate_every": 2,
    "loss": "aam-softmax",
    "loss_options": {"margin": 0.2, "scale": 30.0},
}


@pytest.fixture(scope="session")
def cached(tmp_path_factory):
    """Take a small corpus as far as the cache: manifest, trials, backbone, parts."""
    from unipool.extract import extract
    from unipool.fetch import fetch_backbone
    from unipool.pairing import prepare_trials
    from unipool.prepare import prepare_corpus

    folder = tmp_path_factory.mktemp("cached")
    write_corpus(folder / "audio", speakers=7, utterances=4)
    prepare_corpus(
        kind="folder",
        options={"root": folder / "audio"},
        split={"valid": 2, "test": 2, "seed": 0},
        speakers=None,
        check="decode",
        bad_audio="error",
        incomplete="error",
        min_seconds=0.025,
        manifest=folder / "utterances.csv",
        excluded=folder / "excluded.csv",
        recordings=folder / "recordings.csv",
        num_workers=2,
    )
    config = {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY}
    fetch_backbone(folder=folder / "backbone", config=config, seed=0, **BACKBONE)
    drops = dict.fromkeys(("hidden_dropout", "attention_dropout", "layerdrop"), 0.1)
    fine = {"model_type": "wav2vec2", "feat_extract_norm": "group"}
    fine |= SHORT_SIGHTED | drops | {"num_hidden_layers": 3}
    fetch_backbone(folder=folder / "encoder", config=fine, seed=0, **BACKBONE)
    for split in ("train", "valid", "test"):
        if split != "train":
            prepare_trials(
                manifest=folder / "utterances.csv",
                split=split,
                trials=folder / f"{split}.csv",
                file=None,
                num_targets=8,
                seed=0,
            )
        part = folder / "cache/tiny/own" / split / "full/part-000-of-001"
        extract(
            manifest=folder / "utterances.csv",
            split=split,
            part=0,
            num_parts=1,
            backbone=folder / "backbone",
            store=part.with_suffix(".zarr"),
            receipt=part.with_suffix(".json"),
            view={},
            max_batch_seconds=4,
            device="cpu",
            num_threads=1,
        )
    return folder


SMALL = {
    "unipool": {"conv_dim": 4},
    "ltdnn-ecapa": {"conv_dim": 8, "layer_pool_size": 8, "layer_pool_heads": 2},
    "ltdnn-d3net": {"conv_dim": 8, "layer_pool_size": 8, "layer_pool_heads": 2},
    "weighted-sum-ecapa": {"width": 8},
    "weighted-sum-xvector": {"width": 8},
    "xvector": {"width": 8},
    "ecapa-tdnn": {"width": 8, "attention_size": 4},
    "sincnet": {"width": 8, "window_seconds": 0.025},
    "finetune-pooled": {"unfreeze_at": 0.5},
    "finetune-lora": {
        "backend": "mhfa",
        "backend_options": {"num_heads": 2, "compression": 4, "embedding_size": 8},
        "rank": 2,
        "dropout": 0.1,
    },
}
"""Options that make a backend train in no time."""


def run_of(folder, run, *, kind="unipool", options=None, seed=0, **changes):
    """Say what to train on the corpus that ``cached`` prepared."""
    from unipool.run import Run
    from unipool.training import Training

    finetuned = kind.startswith("finetune-")
    size = {"encoder": str(folder / "encoder")} if finetuned else {"embedding_size": 8}
    options = size | SMALL.get(kind, {}) | (options or {})
    definition = {"kind": kind, "options": options, "train": TRAINING | changes}
    return Run(run, kind, options, Training(**(TRAINING | changes)), seed, definition)


def data_of(folder, device="cpu"):
    """Say what is trained on, and with what, as keyword arguments."""
    from unipool.splits import Memory

    return {
        "train_split": split_of(folder, "train"),
        "valid_split": split_of(folder, "valid"),
        "valid_trials": folder / "valid.csv",
        "device": device,
        "num_threads": 1,
        "embed_batch_seconds": 4,
        "memory": Memory(memory_gb=1, gpu_memory_gb=1),
    }


def train_run(folder, run, *, start=None, world=None, device="cpu", **settings):
    """Train on the corpus that ``cached`` prepared."""
    from unipool.distributed import ALONE
    from unipool.train import train

    what = run_of(folder, run, **settings)
    train(what, **data_of(folder, device), start=start, world=world or ALONE)


def split_of(folder, split):
    """Say where a split of ``cached`` is."""
    from unipool.splits import SplitCache

    return SplitCache(
        manifest=folder / "utterances.csv",
        split=split,
        backbone=folder / "backbone",
        folder=folder / "cache/tiny/own" / split,
        num_parts=1,
        views={"full": {}},
        layers=None,
    )
