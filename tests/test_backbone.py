"""Real Hugging Face encoders: what a hidden state is, and that it stands alone."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from conftest import TINY, voice
from safetensors.torch import load_file

from unipool.backbone import Backbone, copy_backbone, download_backbone, make_backbone
from unipool.fetch import fetch_backbone

GROUP = TINY | {"feat_extract_norm": "group"}
LAYER = TINY | {"feat_extract_norm": "layer", "conv_bias": True}
STABLE = LAYER | {"do_stable_layer_norm": True}

ENCODERS = {
    "wav2vec2-base": {"model_type": "wav2vec2", **GROUP},
    "wav2vec2-large": {"model_type": "wav2vec2", **STABLE},
    "hubert-base": {"model_type": "hubert", **GROUP},
    "hubert-large": {"model_type": "hubert", **STABLE},
    "wavlm-base": {"model_type": "wavlm", **GROUP},
    "wavlm-large": {"model_type": "wavlm", **STABLE},
    "unispeech-sat": {"model_type": "unispeech-sat", **GROUP},
    "data2vec-audio": {
        "model_type": "data2vec-audio",
        **{k: v for k, v in TINY.items() if k != "num_conv_pos_embeddings"},
        "num_conv_pos_embeddings": 2,
        "conv_pos_kernel_size": 5,
    },
    "wav2vec2-conformer": {"model_type": "wav2vec2-conformer", **LAYER},
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
WAVES = [voice(0, 0, seconds=0.8), voice(1, 0, seconds=0.31), voice(2, 0, seconds=1.0)]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """Make a checkpoint folder of an encoder, once."""
    made = {}

    def folder(encoder):
        if encoder not in made:
            made[encoder] = tmp_path_factory.mktemp("encoders") / encoder
            make_backbone(made[encoder], config=ENCODERS[encoder], seed=1)
        return made[encoder]

    return folder


def load(folder, *, dtype=torch.float32, normalize="checkpoint"):
    return Backbone(
        folder, device=torch.device("cpu"), dtype=dtype, normalize=normalize
    )


def norm_inputs(model):
    """Record what enters each block, and what leaves the encoder."""
    seen = []
    for layer in model.encoder.layers:
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    return seen


@every_encoder
def test_an_utterance_is_encoded_as_if_alone(folder_of, encoder):
    backbone = load(folder_of(encoder))

    together = backbone.hidden_states(WAVES)

    for states, wave in zip(together, WAVES, strict=True):
        (alone,) = backbone.hidden_states([wave])
        assert states.shape == alone.shape
        difference = (states - alone).abs().amax(dim=(0, 2))
        assert (difference / alone.abs().amax(dim=(0, 2))).max() < 1e-5


@every_encoder
def test_batches_are_padded_wherever_the_model_allows_it(folder_of, encoder):
    backbone = load(folder_of(encoder))

    # A conformer's convolutions see the padding, and so do data2vec's positions.
    sees_padding = encoder in ("wav2vec2-conformer", "data2vec-audio")
    assert backbone.stands_padding != sees_padding


@every_encoder
def test_layers_are_what_enters_each_block_and_the_final_output(folder_of, encoder):
    folder = folder_of(encoder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    seen = norm_inputs(model)
    inputs = extractor(WAVES[0], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        final = model(inputs["input_values"]).last_hidden_state

    (states,) = load(folder).hidden_states([WAVES[0]])

    assert states.shape == (final.shape[1], len(seen) + 1, final.shape[2])
    for layer, expected in enumerate([*seen, final]):
        torch.testing.assert_close(
            states[:, layer], expected[0], rtol=1e-4, atol=1e-4 * expected.abs().max()
        )


@every_encoder
def test_the_number_of_frames_is_known_beforehand(folder_of, encoder):
    backbone = load(folder_of(encoder))

    for size in (399, 400, 719, 720, 5001, 16_000):
        expected = backbone.num_frames(size)
        if expected:
            (states,) = backbone.hidden_states([np.ones(size, np.float32)])
            assert len(states) == expected
        else:
            assert size < backbone.receptive_field

    assert backbone.receptive_field == 400
    assert backbone.frame_shift == 0.02


def test_normalisation_is_the_checkpoints_unless_told_otherwise(folder_of):
    louder = [10 * WAVES[0] + 0.1]

    def difference(encoder, normalize):
        backbone = load(folder_of(encoder), normalize=normalize)
        quiet, loud = (backbone.hidden_states(w)[0] for w in ([WAVES[0]], louder))
        return float((quiet - loud).abs().max())

    # The large form says do_normalize, so gain and offset do not matter.
    assert difference("wavlm-large", "checkpoint") < 1e-3
    assert difference("wavlm-large", "none") > 1e-2


def test_half_precision_computes_in_it(folder_of):
    full = load(folder_of("hubert-base")).hidden_states(WAVES[:1])[0]
    half = load(folder_of("hubert-base"), dtype=torch.bfloat16).hidden_states(WAVES[:1])

    difference = (half[0] - full).abs().max() / full.abs().max()
    assert half[0].dtype == torch.float32
    assert 1e-4 < difference < 0.1


def test_the_same_seed_makes_the_same_weights(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_backbone(tmp_path / name, config=ENCODERS["wavlm-base"], seed=seed)

    a, b, c = ((tmp_path / n / "model.safetensors").read_bytes() for n in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "wavlmm"}, "model_type 'wavlmm' is unknown .*mean wavlm"),
        (
            {"model_type": "wavlm", "hiden_size": 8},
            "wavlm has no config key 'hiden_size'; did you mean hidden_size",
        ),
        (
            {"model_type": "wavlm", "hidden_size": 17},
            "transformers makes no wavlm of this config",
        ),
    ],
)
def test_a_mistake_in_a_config_is_named(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        make_backbone(tmp_path, config=config, seed=0)


def test_a_local_checkpoint_is_copied_without_its_head(folder_of, tmp_path):
    config = transformers.AutoConfig.from_pretrained(folder_of("wav2vec2-base"))
    source = tmp_path / "their model"
    with_head = transformers.Wav2Vec2ForCTC(config)
    with_head.save_pretrained(source)
    transformers.AutoFeatureExtractor.from_pretrained(
        folder_of("wav2vec2-base")
    ).save_pretrained(source)

    copy_backbone(tmp_path / "copy", source)

    expected = with_head.wav2vec2.encoder.layers[0].attention.q_proj.weight
    copied = transformers.AutoModel.from_pretrained(tmp_path / "copy")
    assert torch.equal(copied.encoder.layers[0].attention.q_proj.weight, expected)
    assert load(tmp_path / "copy").num_layers == 3


def test_a_checkpoint_that_lacks_weights_is_an_error(folder_of, tmp_path):
    folder = folder_of("hubert-base")
    model = transformers.AutoModel.from_pretrained(folder)
    weights = {k: v for k, v in model.state_dict().items() if "layers.1." not in k}
    model.save_pretrained(tmp_path / "theirs", state_dict=weights)
    transformers.AutoFeatureExtractor.from_pretrained(folder).save_pretrained(
        tmp_path / "theirs"
    )

    with pytest.raises(ValueError, match=r"lacks \d+ of the encoder's weights"):
        copy_backbone(tmp_path / "copy", tmp_path / "theirs")


def test_a_folder_that_is_no_checkpoint_is_an_error(tmp_path):
    (tmp_path / "theirs").mkdir()

    with pytest.raises(ValueError, match="not a Hugging Face folder of an encoder"):
        copy_backbone(tmp_path / "copy", tmp_path / "theirs")


def test_without_network_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(
        ValueError, match=r"nobody/nothing.* could not be fetched .*`path: <folder>`"
    ):
        download_backbone("nobody/nothing", "abc")


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_model_of_the_hub_is_taken_at_its_commit(folder_of, tmp_path, weights):
    # As huggingface_hub keeps what it has downloaded; no network is asked.
    kept = tmp_path / "hub" / "models--nobody--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder_of("wavlm-large"), kept / "snapshots" / commit)
    if weights == "pytorch_model.bin":
        safetensors = kept / "snapshots" / commit / "model.safetensors"
        torch.save(load_file(safetensors), safetensors.with_name(weights))
        safetensors.unlink()
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    code = (
        "from pathlib import Path; from unipool.fetch import fetch_backbone;"
        "fetch_backbone(folder=Path('copy'), model='nobody/tiny', revision='main')"
    )
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | environment,
        check=True,
    )

    facts = json.loads((tmp_path / "copy" / "backbone.json").read_text("utf-8"))
    assert facts["source"] == "nobody/tiny"
    assert facts["commit"] == commit
    assert (
        load_file(tmp_path / "copy" / "model.safetensors").keys()
        == load_file(folder_of("wavlm-large") / "model.safetensors").keys()
    )


def test_a_model_of_something_else_is_an_error(tmp_path):
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)

    with pytest.raises(ValueError, match="bert does not encode waveforms"):
        load(tmp_path)


def test_an_adapter_behind_the_encoder_is_an_error(tmp_path):
    make_backbone(
        tmp_path, config=ENCODERS["wav2vec2-base"] | {"add_adapter": True}, seed=0
    )

    with pytest.raises(ValueError, match="add_adapter"):
        load(tmp_path)


def test_fetching_records_what_the_backbone_is(tmp_path):
    fetch_backbone(folder=tmp_path / "b", config=ENCODERS["wavlm-large"], seed=2)

    facts = json.loads((tmp_path / "b" / "backbone.json").read_text("utf-8"))
    assert facts["source"] == "random weights, seed 2"
    assert (facts["num_layers"], facts["hidden_size"]) == (3, 16)
    assert facts["parameters"] > 0
    assert facts["commit"] is None


def test_the_hash_of_a_backbone_is_that_of_what_decides_its_states(tmp_path):
    config = ENCODERS["wavlm-large"]

    def sha256(name, **changes):
        settings = {"config": config, "seed": 0} | changes
        fetch_backbone(folder=tmp_path / name, **settings)
        facts = json.loads((tmp_path / name / "backbone.json").read_text("utf-8"))
        return facts["sha256"]

    first = sha256("a")
    copied = sha256("copy", path=str(tmp_path / "a"), config=None)
    others = [
        sha256("b", seed=1),
        sha256("c", normalize="none"),
        sha256("d", dtype="bfloat16"),
        sha256("e", config=config | {"layer_norm_eps": 1e-3}),
    ]

    assert copied == first
    assert len({first, *others}) == 5
