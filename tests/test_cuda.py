"""A GPU gives what the CPU gives; without one these tests are skipped."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import BACKBONE, TINY, cache_of, split_of, train_run, voice

from unipool.backbone import load_backbone
from unipool.backends import BACKENDS, PAIRWISE
from unipool.batches import CropSampler, padded_batches
from unipool.checkpoint import read_checkpoint
from unipool.device import pick_device
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.extract import extract
from unipool.fetch import fetch_backbone
from unipool.manifest import write_manifest
from unipool.splits import Memory, SplitCache

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MHFA = {"kind": "mhfa", "options": {"num_heads": 2, "compression": 4}}
"""A backend of which nothing is drawn by chance."""
SAME = {"optimizer": "sgd"}
"""Adam makes large what rounding leaves of a gradient that is zero."""


@pytest.fixture(autouse=True)
def _as_in_a_job():
    pick_device("cuda")  # float32 without TF32


def history_of(run):
    return pd.read_csv(run / "history.csv")


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_hidden_states_are_those_of_the_cpu(tmp_path, norm):
    config = {"model_type": "wav2vec2", "feat_extract_norm": norm, **TINY}
    fetch_backbone(folder=tmp_path, config=config, seed=0, **BACKBONE)
    waveforms = [voice(i, 0, seconds=s) for i, s in enumerate((1.0, 0.03, 2.3))]

    on_gpu = load_backbone(tmp_path, CUDA).hidden_states(waveforms)
    on_cpu = load_backbone(tmp_path, CPU).hidden_states(waveforms)

    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert one.device.type == "cuda"
        assert (one.cpu() - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.fixture
def wide(tmp_path):
    """Prepare audio of 10 s, of which the first convolution alone keeps 65 MB."""
    config = {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY}
    config["conv_dim"] = [512] + [16] * 6
    fetch_backbone(folder=tmp_path / "backbone", config=config, seed=0, **BACKBONE)
    rows = []
    for i in range(8):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, voice(i, 0, seconds=10 - i / 10), 16_000)
        rows.append((f"u{i}", "s", "train", str(path), 10 - i / 10))
    columns = ["utterance", "speaker", "split", "path", "seconds"]
    write_manifest(pd.DataFrame(rows, columns=columns), tmp_path / "m.csv")
    return tmp_path


def extracted(folder, device):
    """Extract all of it as one batch, and give the states."""
    split = SplitCache(
        manifest=folder / "m.csv",
        split="train",
        backbone=folder / "backbone",
        folder=folder / device,
        num_parts=1,
        views={"full": {}},
        layers=None,
    )
    part = split.folder / "full" / "part-000-of-001"
    extract(
        manifest=split.manifest,
        split=split.split,
        part=0,
        num_parts=1,
        backbone=split.backbone,
        store=part.with_suffix(".zarr"),
        receipt=part.with_suffix(".json"),
        view={},
        max_batch_seconds=80,
        device=device,
        num_threads=1,
    )
    cache, _ = split.open(Memory(1, 0), CPU)
    return [cache.read(i).float() for i in range(len(cache.utterances))]


def test_where_memory_is_short_batches_are_halved(wide, caplog):
    caplog.set_level("WARNING")
    waveforms = [voice(i, 0, seconds=10) for i in range(8)]
    encoder, peaks = load_backbone(wide / "backbone", CUDA), []
    for count in (1, 8):
        torch.cuda.reset_peak_memory_stats()
        encoder.hidden_states(waveforms[:count], dtype=torch.float16)
        peaks.append(torch.cuda.max_memory_allocated())
    del encoder
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total)
    try:
        on_gpu = extracted(wide, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert "the GPU's memory is too small for 8 x 10.0 s" in caplog.text
    for one, other in zip(on_gpu, extracted(wide, "cpu"), strict=True):
        assert (one - other).abs().max() <= 2e-3 * other.abs().max()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_cache_in_the_memory_of_the_gpu_gives_what_it_gives_elsewhere(dtype):
    lengths = [30, 400, 170, 1, 161]
    labels = np.zeros(len(lengths), np.int64)
    elsewhere, on_gpu = (
        cache_of(lengths, dtype=dtype, device=device) for device in ("cpu", "cuda")
    )

    def batches_of(cache):
        sampler = CropSampler(cache, labels, batch_size=5, crop_frames=170, seed=0)
        yield from sampler.batches(0, 4)
        yield from padded_batches(cache, max_frames=500)

    pairs = zip(batches_of(elsewhere), batches_of(on_gpu), strict=True)
    for one, other in pairs:
        assert other.hidden_states.values.device.type == "cuda"
        assert other.hidden_states.to(CUDA).cpu().equal(one.hidden_states.to(CPU))
    for i in range(len(lengths)):
        assert on_gpu.read(i).equal(elsewhere.read(i))


def test_a_split_that_does_not_fit_is_read_from_its_files(cached, caplog):
    split = split_of(cached, "train")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        cache, _ = split.open(Memory(memory_gb=0, gpu_memory_gb=1), CUDA)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert "it is held elsewhere" in caplog.text
    elsewhere, _ = split.open(Memory(0, 0), CPU)
    for i in range(len(cache.utterances)):
        assert cache.read(i).equal(elsewhere.read(i))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [*BACKENDS, *PAIRWISE])
def test_every_backend_trains(cached, tmp_path, kind, precision):
    changes = {"steps": 2, "schedule": "constant", "schedule_options": {}}
    if kind in PAIRWISE:
        changes |= {"loss": "binary-cross-entropy", "loss_options": {}}
    run = tmp_path / "run"
    train_run(cached, run, device="cuda", kind=kind, precision=precision, **changes)

    weights, info = read_checkpoint(run)
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    assert history_of(run)["loss"][1:].between(0, 100).all()
    assert 0 < info["activation_bytes"] < info["train_memory_bytes"]


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}], ids=["whole", "in two"])
def test_it_learns_what_it_learns_on_the_cpu(cached, tmp_path, changes):
    for device in ("cpu", "cuda"):
        train_run(cached, tmp_path / device, device=device, **MHFA, **SAME, **changes)

    one, other = (history_of(tmp_path / device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(other["loss"], one["loss"], rtol=1e-3)
    np.testing.assert_allclose(other["valid_eer"], one["valid_eer"], atol=0.02)


def test_in_bfloat16_it_learns_nearly_that(cached, tmp_path):
    for precision in ("float32", "bfloat16"):
        run = tmp_path / precision
        train_run(cached, run, device="cuda", precision=precision, **MHFA, **SAME)

    one, other = (history_of(tmp_path / name) for name in ("float32", "bfloat16"))
    np.testing.assert_allclose(other["loss"], one["loss"], rtol=0.05)
    assert not np.array_equal(other["loss"][1:], one["loss"][1:])


def test_what_the_gpu_trained_is_embedded_by_both_alike(cached, tmp_path):
    train_run(cached, tmp_path / "run", device="cuda")
    found = []
    for device in ("cpu", "cuda"):
        embed(
            run=tmp_path / "run",
            split=split_of(cached, "test"),
            embeddings=tmp_path / f"{device}.h5",
            device=device,
            num_threads=1,
            embed_batch_seconds=3,
        )
        found.append(read_embeddings(tmp_path / f"{device}.h5").embeddings)

    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-4)


SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
from conftest import train_run
from unipool.distributed import joined

with joined() as world:
    train_run(
        Path({cached!r}), Path({run!r}), kind="ecapa-tdnn", world=world, device="cuda",
        **{changes!r},
    )
"""


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_on_two_gpus_batch_norms_see_the_whole_batch(cached, tmp_path):
    script = tmp_path / "both.py"
    script.write_text(
        SCRIPT.format(
            tests=str(Path(__file__).parent),
            cached=str(cached),
            run=str(tmp_path / "two"),
            changes=SAME,
        ),
        encoding="utf-8",
    )
    start = f"from unipool.distributed import launch; launch({str(script)!r}, 2)"
    subprocess.run([sys.executable, "-c", start], check=True)
    train_run(cached, tmp_path / "one", device="cuda", kind="ecapa-tdnn", **SAME)

    one, two = (history_of(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-3)
