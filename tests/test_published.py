"""The authors' checkpoints give the authors' numbers.

The fixtures hold weights under the published names, an input, and what the published
modules made of it in evaluation mode; axes are in the names.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import split_of
from safetensors import safe_open

from unipool.backends.published import from_published, published_kind
from unipool.checkpoint import read_checkpoint
from unipool.cli import main
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.losses import AAMSoftmax, SubcenterAAMSoftmax

FIXTURES = Path(__file__).parent / "published"
KINDS = {
    "unipool_3blocks_2heads": "unipool",
    "ltdnn_ecapa": "ltdnn-ecapa",
    "ltdnn_d3net": "ltdnn-d3net",
    "lap_astp": "lap",
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

every_fixture = pytest.mark.parametrize("name", KINDS)


class Golden(NamedTuple):
    """What a fixture holds."""

    tensors: dict
    config: dict
    state: dict
    hidden_states: torch.Tensor


def golden(name):
    with safe_open(FIXTURES / f"{name}.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    state = {
        key.removeprefix("state/"): tensor
        for key, tensor in tensors.items()
        if key.startswith("state/")
    }
    if "hidden_states_BDLT" in tensors:
        states = tensors["hidden_states_BDLT"].permute(0, 2, 3, 1)
    else:
        states = tensors["hidden_states_BDTL"].permute(0, 3, 2, 1)
    if KINDS[name] == "unipool":
        # Ours is given layer 0, too, and leaves it out by itself.
        layer_zero = torch.full_like(states[:, :1], 1e3)
        states = torch.cat([layer_zero, states], dim=1)
    return Golden(tensors, config, state, states)


def masks(one):
    frames = one.hidden_states.shape[2]
    all_real = torch.ones(len(one.hidden_states), frames, dtype=torch.bool)
    return all_real, torch.arange(frames) < one.tensors["lengths"][:, None]


@every_fixture
def test_embeddings_are_the_published_ones(name):
    one = golden(name)
    all_real, _ = masks(one)

    embeddings = from_published(KINDS[name], one.state)(one.hidden_states, all_real)

    torch.testing.assert_close(embeddings, one.tensors["embedding"], **CLOSE)


@every_fixture
def test_padded_embeddings_are_those_of_the_published_code_without_padding(name):
    one = golden(name)
    _, mask = masks(one)
    padded = one.hidden_states.masked_fill(~mask[:, None, :, None], torch.nan)

    embeddings = from_published(KINDS[name], one.state)(padded, mask)

    expected = one.tensors["embedding_of_first_length_frames"]
    torch.testing.assert_close(embeddings, expected, **CLOSE)


@every_fixture
def test_what_is_between_is_as_published(name):
    one = golden(name)
    backend = from_published(KINDS[name], one.state)
    plane = (
        one.hidden_states[:, 1:] if name.startswith("unipool") else one.hidden_states
    )

    if "network_BCLT" in one.tensors:
        plane = backend.network(plane, None)
        network = one.tensors["network_BCLT"].permute(0, 2, 3, 1)
        torch.testing.assert_close(plane, network, **CLOSE)
    pooled = backend.layer_pool(plane, None)

    expected = one.tensors["layer_pool_BCT"].permute(0, 2, 1)
    torch.testing.assert_close(pooled, expected, **CLOSE)


@every_fixture
def test_the_loss_is_the_published_one(name):
    one = golden(name)
    weight = one.state["aam_softmax.weight"]
    settings = {"margin": one.config["margin"], "scale": one.config["scale"]}
    size, speakers = one.config["embedding_size"], one.config["num_classes"]
    if name == "lap_astp":
        loss = SubcenterAAMSoftmax(
            size,
            speakers,
            num_subcenters=one.config["num_subcenters"],
            top_k=one.config["top_k"],
            penalty=one.config["margin_penalty"],
            **settings,
        )
    else:
        loss = AAMSoftmax(size, speakers, num_heads=len(weight), **settings)
    loss.load_state_dict({"weight": weight})

    value = loss(one.tensors["embedding"], one.tensors["labels"])

    torch.testing.assert_close(value, one.tensors["loss"].squeeze(), rtol=1e-5, atol=0)


@every_fixture
def test_the_kind_is_told_by_the_names(name):
    assert published_kind(golden(name).state) == KINDS[name]


def test_another_checkpoint_is_refused():
    with pytest.raises(ValueError, match=r"none of its 1 tensors .* known are unipool"):
        published_kind({"fc.weight": torch.zeros(2)})


@every_fixture
@pytest.mark.parametrize("harm", ["missing", "unknown", "of another size"])
def test_tensors_that_do_not_fit_are_an_error(name, harm):
    state = golden(name).state
    last = [key for key in state if key.endswith("norm.bias")][-1]
    if harm == "missing":
        del state[last]
    elif harm == "unknown":
        state["encoder.more"] = torch.zeros(1)
    else:
        state[last] = torch.zeros(5)

    with pytest.raises(ValueError, match=f"1 tensors do not fit a {KINDS[name]}, "):
        from_published(KINDS[name], state)


@every_fixture
def test_a_checkpoint_becomes_a_run(name, tmp_path, capsys):
    one = golden(name)
    # As the published trainers write it: with the encoder, and what they keep beside.
    state = one.state | {
        "backbone.encoder.layers.0.weight": torch.zeros(2, 2),
        "frontend.model.bias": torch.zeros(2),
        "span_mask_kernel": torch.ones(1, 1, 3),
    }
    content = {
        "model_state": state,
        "rand_state": {"numpy": np.random.RandomState(0).get_state()},
        "val_threshold": np.float64(0.3),
    }
    bare = name == "lap_astp"
    torch.save(state if bare else content, tmp_path / "published.pt")
    run = tmp_path / "rün"

    assert main(["import-checkpoint", str(tmp_path / "published.pt"), str(run)]) == 0

    weights, info = read_checkpoint(run)
    assert info["num_layers"] == one.hidden_states.shape[1]
    assert info["loss_heads"] == one.config.get("loss_heads", 1)
    assert len(weights) == len(from_published(KINDS[name], one.state).state_dict())
    assert not any(file.stat().st_mode & 0o222 for file in run.iterdir())
    assert f"{info['backend_parameters']:,} parameters" in capsys.readouterr().out


def test_an_imported_run_embeds(cached, tmp_path, monkeypatch):
    """A checkpoint of the published names and of the sizes of the tests' encoder."""
    from unipool.backends import BACKENDS

    options = {"conv_dim": 8, "layer_pool_heads": 4, "embedding_size": 8}
    own = BACKENDS["unipool"](3, 16, **options).state_dict()
    torch.save({"model_state": as_published(own)}, tmp_path / "model_best.pt")
    run = tmp_path / "run"
    assert main(["import-checkpoint", str(tmp_path / "model_best.pt"), str(run)]) == 0

    embed(
        run=run,
        split=split_of(cached, "test"),
        embeddings=run / "embeddings.h5",
        device="cpu",
        num_threads=1,
        embed_batch_seconds=4,
    )

    assert read_embeddings(run / "embeddings.h5").embeddings.shape == (8, 8)


def as_published(own):
    """Give the tensors of a UniPool of ours their published names."""
    from unipool.backends.published_names import UNIPOOL

    state = {}
    for name, tensor in own.items():
        if name == "blocks.0.vad.mixing_logits":
            vectors = {
                f"encoder.d3net.vadnet.0.superb.{i}.score_vector": row
                for i, row in enumerate(tensor)
            }
            state |= vectors
            continue
        for old, new in UNIPOOL.items():
            stem, numbers = name, []
            parts, wanted = name.split("."), new.split(".")
            if len(parts) - len(wanted) not in (0, 1):
                continue
            pairs = list(zip(wanted, parts, strict=False))
            if all(w in ("{}", p) for w, p in pairs):
                numbers = [p for w, p in pairs if w == "{}"]
                leaf = parts[len(wanted) :]
                stem = ".".join([old.format(*numbers), *leaf])
                state[stem] = tensor
                break
    return state


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all"])
def test_a_file_of_something_else_is_told(tmp_path, capsys, content):
    (tmp_path / "x.pt").write_bytes(content)

    assert main(["import-checkpoint", str(tmp_path / "x.pt"), str(tmp_path / "r")]) == 1

    assert "x.pt: not a file of tensors" in capsys.readouterr().err


def test_a_run_is_not_written_over(tmp_path, capsys):
    (tmp_path / "model.json").write_text("{}")

    assert main(["import-checkpoint", "x.pt", str(tmp_path)]) == 1

    assert "there is a run already" in capsys.readouterr().err
