"""Encoders that are fine-tuned, against the forward pass of transformers."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BACKBONE, SHORT_SIGHTED, TINY, split_of, train_run, voice
from transformers import AutoFeatureExtractor, AutoModel

from unipool.backbone import TrainableEncoder, load_backbone
from unipool.backends import BACKENDS, OF_LAYERS
from unipool.backends.finetuned import FinetuneCls, FinetunePooled
from unipool.backends.joint import FinetuneLora
from unipool.batches import CropBatch, embed_utterances
from unipool.checkpoint import read_checkpoint
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.fetch import fetch_backbone
from unipool.splits import Memory
from unipool.trainee import Trainee
from unipool.training import Training

CPU = torch.device("cpu")
MHFA = {
    "backend": "mhfa",
    "backend_options": {"num_heads": 2, "compression": 4, "embedding_size": 8},
    "rank": 2,
}
FORMS = {
    "base": {"feat_extract_norm": "group"},
    "large": {
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
    },
}
every_encoder = pytest.mark.parametrize(
    ("family", "form"),
    [(family, form) for family in ("wav2vec2", "hubert", "wavlm") for form in FORMS],
)


class States(torch.nn.Module):
    """Stands for cached states that are float32 already."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def to(self, device):
        return self.values.to(device)


@pytest.fixture(scope="module")
def encoder_of(tmp_path_factory):
    """Make an encoder of a family in a form; give its folder."""

    @functools.cache
    def make(family, form):
        folder = tmp_path_factory.mktemp("encoders") / family / form
        config = {"model_type": family, **FORMS[form], **TINY}
        fetch_backbone(folder=folder, config=config, seed=3, **BACKBONE)
        return str(folder)

    return make


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Make an encoder in which nothing is dropped, of short frames."""
    folder = tmp_path_factory.mktemp("still")
    config = {"model_type": "wav2vec2", **FORMS["base"], **SHORT_SIGHTED}
    fetch_backbone(folder=folder, config=config, seed=3, **BACKBONE)
    return str(folder)


def samples_of(*lengths):
    """Give voices as hidden states of 160 samples, and their mask."""
    frames = torch.tensor(lengths)
    mask = torch.arange(int(frames.max())) < frames[:, None]
    states = torch.zeros(len(lengths), 1, int(frames.max()), 160)
    for i, length in enumerate(lengths):
        wave = voice(i, 0, seconds=length / 100)
        states[i, 0, :length] = torch.from_numpy(wave).view(-1, 160)
    return states, mask


def plain(encoder, wave):
    """Load an encoder as transformers does, and what it is to be given."""
    extractor = AutoFeatureExtractor.from_pretrained(encoder)
    values = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_values
    return AutoModel.from_pretrained(encoder).eval(), values


@every_encoder
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_pooled_embedding_is_the_mean_of_transformers_states(
    encoder_of, family, form, blocks
):
    encoder = encoder_of(family, form)
    states, mask = samples_of(60)
    model, values = plain(encoder, states.flatten().numpy())
    backend = FinetunePooled(1, 160, encoder=encoder, blocks=blocks).eval()

    embedding = backend(states, mask)

    with torch.no_grad():
        output = model(values, output_hidden_states=True)
    # The last block's output is that behind the final norm.
    layer = output.last_hidden_state if blocks == 2 else output.hidden_states[1]
    torch.testing.assert_close(embedding, layer.mean(dim=1), rtol=1e-4, atol=1e-5)


@every_encoder
def test_the_cls_embedding_is_what_becomes_of_the_ones(encoder_of, family, form):
    encoder = encoder_of(family, form)
    states, mask = samples_of(60)
    model, values = plain(encoder, states.flatten().numpy())
    backend = FinetuneCls(1, 160, encoder=encoder).eval()

    embedding = backend(states, mask)

    with torch.no_grad():
        frames = model.feature_extractor(values).transpose(1, 2)
        if hasattr(model.feature_projection, "layer_norm"):
            frames = model.feature_projection.layer_norm(frames)
        frames = model.feature_projection.projection(frames)
        frames = torch.cat([torch.ones(1, 1, frames.shape[2]), frames], dim=1)
        expected = model.encoder(frames).last_hidden_state[:, 0]
    torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-5)


@every_encoder
@pytest.mark.parametrize("kind", ["finetune-pooled", "finetune-cls"])
def test_an_embedding_does_not_depend_on_the_batch(encoder_of, kind, family, form):
    backend = BACKENDS[kind](1, 160, encoder=encoder_of(family, form)).eval()
    states, mask = samples_of(60, 25, 41)

    together = backend(states.masked_fill(~mask[:, None, :, None], torch.nan), mask)

    for i, length in enumerate((60, 25, 41)):
        alone = backend(states[i : i + 1, :, :length], mask[i : i + 1, :length])
        torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-5)


@every_encoder
def test_all_blocks_are_what_the_frozen_encoder_gives(
    encoder_of, family, form, tmp_path
):
    encoder = tmp_path / "encoder"
    config = {"model_type": family, **FORMS[form], **TINY}
    fetch_backbone(
        folder=encoder, config=config, seed=3, **(BACKBONE | {"normalize": "none"})
    )
    states, mask = samples_of(60, 25)
    waves = [states[0].flatten().numpy(), states[1, :, :25].flatten().numpy()]

    frozen = load_backbone(encoder, CPU).hidden_states(waves)
    pooled = FinetunePooled(1, 160, encoder=str(encoder), blocks=2).eval()(states, mask)

    for one, embedding in zip(frozen, pooled, strict=True):
        torch.testing.assert_close(embedding, one[-1].mean(dim=0), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@every_encoder
@pytest.mark.parametrize("kind", ["mhfa", "ecapa-tdnn"])
def test_untrained_the_joint_embedding_is_that_of_the_frozen_encoder(
    encoder_of, kind, family, form
):
    encoder = encoder_of(family, form)
    states, mask = samples_of(60, 25)
    waves = [states[0].flatten().numpy(), states[1, :, :25].flatten().numpy()]
    options = {"mhfa": MHFA["backend_options"], "ecapa-tdnn": {"width": 8}}[kind]
    joint = FinetuneLora(
        1, 160, encoder=encoder, backend=kind, backend_options=options
    ).eval()
    alone = OF_LAYERS[kind](3, 16, **options).eval()
    alone.load_state_dict(joint.backend.state_dict())

    embeddings = joint(states.masked_fill(~mask[:, None, :, None], torch.nan), mask)

    frozen = load_backbone(Path(encoder), CPU).hidden_states(waves)
    for one, embedding in zip(frozen, embeddings, strict=True):
        real = torch.ones(1, one.shape[1], dtype=torch.bool)
        torch.testing.assert_close(
            embedding, alone(one[None], real)[0], rtol=1e-4, atol=1e-5
        )


@every_encoder
def test_the_gradient_reaches_every_added_weight_which_changes_the_embedding(
    encoder_of, family, form
):
    torch.manual_seed(0)
    backend = FinetuneLora(1, 160, encoder=encoder_of(family, form), **MHFA).eval()
    states, mask = samples_of(60, 25)
    added = [p for name, p in backend.named_parameters() if "lora_" in name]
    before = backend(states, mask)
    with torch.no_grad():
        for weight in added:
            weight.add_(0.1 * torch.randn_like(weight))

    after = backend(states, mask)
    after.square().sum().backward()

    assert len(added) == 2 * 2 * 2  # matrices, maps, blocks
    assert all(bool(weight.grad.any()) for weight in added)
    for weight in added:
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.zero_()
            assert not torch.equal(backend(states, mask), after)
            weight.copy_(kept)
    assert not torch.allclose(before, after, rtol=1e-4)


def test_named_maps_are_adapted_in_place_of_the_usual_ones(encoder_of):
    backend = FinetuneLora(
        1,
        160,
        encoder=encoder_of("hubert", "base"),
        targets=["k_proj", "output_dense"],
        **MHFA,
    )

    names = {name.split(".")[-4] for name in backend.state_dict() if "lora_" in name}
    assert names == {"k_proj", "output_dense"}


def test_a_block_that_is_dropped_gives_what_the_one_before_it_gave(tmp_path):
    config = {"model_type": "wav2vec2", **FORMS["large"], **SHORT_SIGHTED}
    fetch_backbone(
        folder=tmp_path, config=config | {"layerdrop": 1.0}, seed=3, **BACKBONE
    )
    encoder = TrainableEncoder(tmp_path)
    frames, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)

    of_training = encoder.hidden_states(frames, mask)
    of_evaluation = encoder.eval().hidden_states(frames, mask)

    normalise = encoder.model.encoder.layer_norm
    assert of_training.shape == of_evaluation.shape == (2, 3, 5, 8)
    assert torch.equal(of_training[:, 1], of_training[:, 0])
    assert torch.equal(of_training[:, 2], normalise(of_training[:, 0]))
    assert not torch.equal(of_evaluation[:, 1], of_evaluation[:, 0])


@pytest.mark.parametrize("form", FORMS)
def test_what_is_too_short_for_a_frame_is_followed_by_zeros(encoder_of, form):
    encoder = encoder_of("wav2vec2", form)
    states, mask = samples_of(60, 1)
    model, values = plain(encoder, states[1, 0, 0].numpy())
    backend = FinetunePooled(1, 160, encoder=encoder).eval()

    alone = backend(states[1:, :, :1], mask[1:, :1])
    together = backend(states, mask)

    with torch.no_grad():
        longer = torch.nn.functional.pad(values, (0, 400 - 160))
        states = model(longer, output_hidden_states=True).hidden_states[1]
    assert states.shape[1] == 1
    torch.testing.assert_close(alone, states[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def trainee_of(backend, *, steps, learning_rate=0.01, precision="float32"):
    training = Training(
        steps=steps,
        batch_size=4,
        crop_seconds=1.0,
        learning_rate=learning_rate,
        gradient_clip=5.0,
        validate_every=steps,
        loss="am-softmax",
        precision=precision,
        loss_options={"margin": 0.2, "scale": 30.0},
        schedule="constant",
    )
    torch.manual_seed(0)
    made = training.make_loss(backend.embedding_size, 4)
    return Trainee(backend.train(), made, training, seed=0, device=CPU)


def crops():
    """Give a batch of four speakers."""
    states, _ = samples_of(*[20] * 4)
    return CropBatch(States(states), torch.arange(4))


def weights_of(backend):
    return {name: tensor.clone() for name, tensor in backend.state_dict().items()}


def test_the_encoder_learns_from_a_share_of_the_steps_on_its_convolutions_never(still):
    backend = FinetunePooled(1, 160, encoder=still, blocks=2)
    trainee = trainee_of(backend, steps=13)
    before = weights_of(backend)
    changed = []

    for _ in range(13):
        trainee.update([crops()])
        now = weights_of(backend)
        changed.append(
            {name for name in now if not torch.equal(now[name], before[name])}
        )

    of_convolutions = {name for name in before if "feature_extractor" in name}
    assert changed[:10] == [set()] * 10
    assert changed[10] == before.keys() - of_convolutions
    assert of_convolutions


def test_from_the_beginning_it_learns_if_told_to(still):
    backend = FinetunePooled(1, 160, encoder=still, unfreeze_at=0)
    before = weights_of(backend)

    trainee_of(backend, steps=13).update([crops()])

    assert not torch.equal(
        backend.state_dict()["encoder.model.encoder.layer_norm.bias"],
        before["encoder.model.encoder.layer_norm.bias"],
    )


@pytest.mark.parametrize("freeze_cnn", [True, False])
def test_all_of_the_other_learns_its_convolutions_if_not_told_otherwise(
    still, freeze_cnn
):
    backend = FinetuneCls(
        1, 160, encoder=still, freeze_cnn=freeze_cnn, mask_probability=0.5
    )
    before = weights_of(backend)

    trainee_of(backend, steps=2).update([crops()])

    now = weights_of(backend)
    same = {name for name in now if torch.equal(now[name], before[name])}
    of_convolutions = {name for name in before if "feature_extractor" in name}
    assert same == (of_convolutions if freeze_cnn else set())


def test_beside_the_backend_the_added_weights_alone_learn(still):
    backend = FinetuneLora(1, 160, encoder=still, **MHFA)
    trainee = trainee_of(backend, steps=2)
    before = weights_of(backend)

    trainee.update([crops()])
    trainee.update([crops()])

    now = weights_of(backend)
    same = {name for name in now if torch.equal(now[name], before[name])}
    of_encoder = {name for name in before if name.startswith("encoder.")}
    assert same == {name for name in of_encoder if "lora_" not in name}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("finetune-pooled", {"unfreeze_at": 0}),
        ("finetune-cls", {}),
        ("finetune-lora", MHFA),
    ],
)
def test_training_lowers_the_loss(still, kind, options):
    torch.manual_seed(0)
    backend = BACKENDS[kind](1, 160, encoder=still, **options)
    trainee = trainee_of(backend, steps=30, learning_rate=0.003)

    losses = [trainee.update([crops()]) for _ in range(30)]

    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@every_encoder
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("finetune-pooled", {"unfreeze_at": 0}),
        ("finetune-cls", {}),
        ("finetune-lora", MHFA),
    ],
)
def test_every_family_learns_in_bfloat16(encoder_of, family, form, kind, options):
    backend = BACKENDS[kind](1, 160, encoder=encoder_of(family, form), **options)
    trainee = trainee_of(backend, steps=2, precision="bfloat16")

    loss = trainee.update([crops()])

    assert 0 < loss < 100
    assert all(weight.isfinite().all() for weight in backend.parameters())


def test_frames_are_hidden_in_training_only(still):
    backend = FinetuneCls(1, 160, encoder=still, mask_probability=1.0, mask_frames=2)
    states, mask = samples_of(20, 9)
    other = torch.nn.Parameter(backend.mask_vector + 1)

    learning = [backend.train()(states, mask)]
    resting = [backend.eval()(states, mask)]
    backend.mask_vector = other
    learning.append(backend.train()(states, mask))
    resting.append(backend.eval()(states, mask))

    assert not torch.equal(*learning)
    assert torch.equal(*resting)


def test_hidden_frames_are_spans_that_make_the_share(still):
    backend = FinetuneCls(1, 160, encoder=still)
    torch.manual_seed(0)

    hidden = backend.hidden_spans(torch.full((2000,), 150))

    # 0.75 spans of 10 on average, of which none or one in an utterance.
    assert hidden.float().mean().item() == pytest.approx(0.05, abs=0.005)
    assert set(hidden.sum(dim=1).tolist()) == {0, 10}
    starts = hidden.float().argmax(dim=1)[hidden.any(dim=1)]
    assert starts.min() < 10
    assert starts.max() > 130


def test_a_span_lies_in_its_utterance_and_no_two_begin_at_one_frame(still):
    backend = FinetuneCls(1, 160, encoder=still, mask_probability=1.0, mask_frames=1)

    all_hidden = backend.hidden_spans(torch.tensor([5, 3]))
    backend.mask_frames = 4
    of_short = backend.hidden_spans(torch.tensor([5, 3]))

    assert all_hidden.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert not of_short[1].any()


@pytest.mark.parametrize("kind", ["finetune-cls", "finetune-lora"])
def test_a_run_is_built_again_with_the_weights_that_were_learned(
    cached, tmp_path, kind
):
    run = tmp_path / "run"
    train_run(cached, run, kind=kind)

    embed(
        run=run,
        split=split_of(cached, "test"),
        embeddings=tmp_path / "test.h5",
        device="cpu",
        num_threads=1,
        embed_batch_seconds=4,
    )

    weights, info = read_checkpoint(run)
    backend = BACKENDS[kind](3, 16, **info["options"])
    assert weights.keys() == backend.state_dict().keys()
    backend.load_state_dict(weights)
    cache, _ = split_of(cached, "test").open(Memory(1, 0), CPU)
    expected = embed_utterances(backend, cache, max_frames=1, device=CPU)
    found = read_embeddings(tmp_path / "test.h5")
    assert np.allclose(found.embeddings, expected, rtol=1e-4, atol=1e-5)
    # Those of the encoder that was adapted; of the cache there are three.
    assert found.layers == ([0, 1, 2, 3] if kind == "finetune-lora" else None)


def test_a_folder_without_a_backbone_says_how_to_fetch_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="have one of the config made"):
        FinetunePooled(1, 160, encoder=str(tmp_path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"features": "waveform"}, "waveform has no weights to fine-tune"),
        (
            {"config": {"model_type": "data2vec-audio", **TINY}},
            "data2vec-audio cannot be fine-tuned; what can is of model type wav2vec2,",
        ),
        (
            {
                "config": {
                    "model_type": "hubert",
                    "conv_pos_batch_norm": True,
                    **TINY,
                }
            },
            r"has a batch norm, which would see padding \(conv_pos_batch_norm\)",
        ),
    ],
)
def test_what_cannot_be_fine_tuned_says_so(tmp_path, source, message):
    fetch_backbone(folder=tmp_path, **source, seed=0, **BACKBONE)

    with pytest.raises(ValueError, match=message):
        FinetunePooled(1, 160, encoder=str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("finetune-pooled", {"blocks": 3}, r"blocks is 3, .* it must be 1 to 2"),
        ("finetune-pooled", {"blocks": 0}, r"blocks is 0, .* it must be 1 to 2"),
        ("finetune-pooled", {"unfreeze_at": 1.5}, "unfreeze_at is 1.5, it must be 0"),
        ("finetune-cls", {"mask_probability": -1}, "mask_probability is -1"),
        ("finetune-cls", {"mask_frames": 0}, "mask_frames is 0, it must be at least 1"),
        ("finetune-lora", MHFA | {"rank": 0}, "rank is 0, it must be at least 1"),
        ("finetune-lora", MHFA | {"alpha": 0}, "alpha is 0, it must be above 0"),
        ("finetune-lora", MHFA | {"dropout": 1}, "dropout is 1, .* below 1"),
        ("finetune-lora", MHFA | {"targets": []}, "targets are none; of .* q_proj, "),
        ("finetune-lora", {"backend": "sincnet"}, "backend is 'sincnet', .* unipool, "),
    ],
)
def test_a_number_without_meaning_says_which(still, kind, options, message):
    with pytest.raises(ValueError, match=message):
        BACKENDS[kind](1, 160, encoder=still, **options)


def test_maps_on_which_an_addition_has_no_effect_are_refused(encoder_of):
    with pytest.raises(
        ValueError,
        match=r"targets are q_proj, output_dense; of .*, whose model type is wavlm,"
        r" what can be adapted is intermediate_dense, output_dense",
    ):
        FinetuneLora(
            1,
            160,
            encoder=encoder_of("wavlm", "base"),
            targets=["q_proj", "output_dense"],
            **MHFA,
        )
