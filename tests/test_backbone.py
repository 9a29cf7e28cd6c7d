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
from conftest import BACKBONE, TINY, voice
from safetensors.torch import load_file, save_file

from unipool.backbone import Encoder, copy_backbone, download_backbone, make_backbone
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
    "conformer-rotary": {
        "model_type": "wav2vec2-conformer",
        **LAYER,
        "position_embeddings_type": "rotary",
    },
    "w2v-bert-2.0": {
        "model_type": "wav2vec2-bert",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "whisper": {
        "model_type": "whisper",
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_source_positions": 100,
        "vocab_size": 50,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    },
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


def load(
    folder, *, dtype=torch.float32, normalize="checkpoint", window=60, overlap=0.5
):
    return Encoder(
        folder,
        device=torch.device("cpu"),
        dtype=dtype,
        normalize=normalize,
        window_seconds=window,
        overlap_seconds=overlap,
    )


def inputs_of_blocks(blocks):
    """Record what enters each block."""
    seen = []
    for block in blocks:
        block.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(
                args[0] if args else kwargs["hidden_states"]
            ),
            with_kwargs=True,
        )
    return seen


def encoder_and_inputs(folder, wave):
    """Load a checkpoint, and make its input, by transformers alone."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    return encoder, dict(inputs)


@every_encoder
def test_an_utterance_is_encoded_as_if_alone(folder_of, encoder):
    backbone = load(folder_of(encoder))

    together = backbone.hidden_states(WAVES)

    for states, wave in zip(together, WAVES, strict=True):
        (alone,) = backbone.hidden_states([wave])
        assert states.shape == alone.shape
        difference = (states - alone).abs().amax(dim=(1, 2))
        assert (difference / alone.abs().amax(dim=(1, 2))).max() < 1e-5


@every_encoder
def test_the_self_check_finds_a_model_that_sees_padding(folder_of, encoder):
    backbone = load(folder_of(encoder))

    backbone.check_batching(WAVES)

    if encoder == "whisper":
        return  # is given as much silence with every utterance, alone or not
    whole = backbone._model.forward
    backbone._model.forward = lambda *args, attention_mask, **kw: whole(*args, **kw)
    with pytest.raises(ValueError, match=r"depend on the batch: .* encode one utter"):
        backbone.check_batching(WAVES)


@pytest.mark.filterwarnings("ignore:Support for mismatched")  # transformers' own
@every_encoder
def test_layers_are_what_enters_each_block_and_the_final_output(folder_of, encoder):
    folder = folder_of(encoder)
    model, inputs = encoder_and_inputs(folder, WAVES[0])
    blocks = model.layers if encoder == "whisper" else model.encoder.layers
    seen = inputs_of_blocks(blocks)
    with torch.inference_mode():
        final = model(**inputs).last_hidden_state

    (states,) = load(folder).hidden_states([WAVES[0]])

    count = states.shape[1]
    assert states.shape == (len(blocks) + 1, count, final.shape[2])
    for layer, expected in enumerate([*seen, final]):
        torch.testing.assert_close(
            states[layer],
            expected[0, :count],
            rtol=1e-4,
            atol=1e-4 * float(expected.abs().max()),
        )


@every_encoder
def test_the_number_of_frames_is_known_beforehand(folder_of, encoder):
    backbone = load(folder_of(encoder))
    smallest = {"whisper": 1, "w2v-bert-2.0": 560}.get(encoder, 400)

    for size in (1, 320, 321, 399, 400, 559, 560, 719, 720, 879, 880, 5001, 16_000):
        expected = backbone.num_frames(size)
        assert (expected > 0) == (size >= smallest)
        if expected:
            wave = np.resize(WAVES[0], size)
            (states,) = backbone.hidden_states([wave])
            assert states.shape[1] == expected

    assert backbone.min_samples == smallest
    assert backbone.frame_shift == 0.02


@every_encoder
@pytest.mark.parametrize("size", [400, 16_000, 16_001, 27_777, 32_000, 50_000, 100_003])
def test_the_windows_of_a_long_utterance_keep_each_frame_once(folder_of, encoder, size):
    backbone = load(folder_of(encoder), window=1.0, overlap=0.25)

    windows = backbone.windows(size)

    assert sum(window.num_frames for window in windows) == backbone.num_frames(size)
    assert windows[0].start == 0
    assert windows[-1].stop == size
    place = 0
    for window in windows:
        kept = window.start // 320 + window.skip
        assert kept == place
        place += window.num_frames
        assert window.stop - window.start <= 16_000
        encoded = backbone.num_frames(window.stop - window.start)
        assert window.skip + window.num_frames <= encoded
        if window.start > 0:
            assert window.skip == 6  # half of what two windows share
    assert (len(windows) == 1) == (size <= 16_000)


def test_windows_that_do_not_advance_are_an_error(folder_of):
    with pytest.raises(ValueError, match=r"share 1 s do not advance; lower overlap"):
        load(folder_of("hubert-base"), window=1, overlap=1)


def test_whisper_takes_no_more_than_it_was_trained_on(folder_of):
    backbone = load(folder_of("whisper"), window=60, overlap=0.5)

    assert max(w.stop - w.start for w in backbone.windows(200_000)) == 32_000


def test_a_spectrogram_has_no_waveform_normalisation(folder_of):
    with pytest.raises(ValueError, match="normalize: none is about waveforms, whisper"):
        load(folder_of("whisper"), normalize="none")


def test_normalisation_is_the_checkpoints_unless_told_otherwise(folder_of):
    louder = [10 * WAVES[0] + 0.1]

    def difference(encoder, normalize):
        backbone = load(folder_of(encoder), normalize=normalize)
        quiet, loud = (backbone.hidden_states(w)[0] for w in ([WAVES[0]], louder))
        return float((quiet - loud).abs().max())

    # The large form says do_normalize, so gain and offset do not matter.
    assert difference("wavlm-large", "checkpoint") < 1e-3
    assert difference("wavlm-large", "none") > 1e-2


def test_half_precision_computes_in_it(tmp_path):
    # One group: where a processor has AMX, torch 2.13 gets convolutions of 8 channels a
    # group and 16 frames wrong in bfloat16; not those of 48, as in real encoders.
    config = ENCODERS["hubert-base"] | {"num_conv_pos_embedding_groups": 1}
    make_backbone(tmp_path / "one", config=config, seed=1)
    full = load(tmp_path / "one").hidden_states(WAVES[:1])[0]
    half = load(tmp_path / "one", dtype=torch.bfloat16).hidden_states(WAVES[:1])

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


def test_a_weight_that_only_training_uses_may_lack_and_is_the_same_each_time(
    folder_of, tmp_path
):
    folder = folder_of("wav2vec2-base")
    model = transformers.AutoModel.from_pretrained(folder)
    weights = {k: v for k, v in model.state_dict().items() if "masked_spec" not in k}
    assert len(weights) < len(model.state_dict())
    model.save_pretrained(tmp_path / "theirs", state_dict=weights)
    transformers.AutoFeatureExtractor.from_pretrained(folder).save_pretrained(
        tmp_path / "theirs"
    )

    for name in ("one", "other"):
        copy_backbone(tmp_path / name, tmp_path / "theirs")

    one, other = (tmp_path / name / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_a_backbone_that_lost_weights_is_not_loaded(folder_of, tmp_path):
    shutil.copytree(folder_of("hubert-base"), tmp_path / "tiny")
    file = tmp_path / "tiny/model.safetensors"
    weights = load_file(file)
    del weights["encoder.layers.1.attention.q_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})

    with pytest.raises(ValueError, match=r"lacks 1 of the encoder's weights"):
        load(tmp_path / "tiny")


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
        "fetch_backbone(folder=Path('copy'), model='nobody/tiny', revision='main',"
        f" **{BACKBONE})"
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
    fetch_backbone(
        folder=tmp_path / "b", config=ENCODERS["wavlm-large"], seed=2, **BACKBONE
    )

    facts = json.loads((tmp_path / "b" / "backbone.json").read_text("utf-8"))
    assert facts["source"] == "random weights, seed 2"
    assert (facts["num_layers"], facts["hidden_size"]) == (3, 16)
    assert facts["parameters"] > 0
    assert facts["commit"] is None


def test_the_hash_of_a_backbone_is_that_of_what_decides_its_states(tmp_path):
    config = ENCODERS["wavlm-large"]

    def sha256(name, **changes):
        settings = {"config": config, "seed": 0, **BACKBONE} | changes
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
        sha256("f", window_seconds=30),
        sha256("g", overlap_seconds=5),
        sha256("h", cache={"dtype": "int8"}),
        sha256("i", cache={"dtype": "float16", "layers": [1, 2]}),
    ]

    assert copied == first
    assert len({first, *others}) == 9
