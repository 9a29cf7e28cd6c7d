"""The contract that every backend keeps, and what each of them is."""

import copy
import functools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BACKBONE, SHORT_SIGHTED, cache_of

from unipool.backends import BACKENDS
from unipool.backends.padding import MaskedBatchNorm
from unipool.backends.pooling import AttentiveStatisticsPool, mean_and_std
from unipool.backends.unipool import UniPool
from unipool.batches import embed_utterances
from unipool.weighing import watch_layers

CPU = torch.device("cpu")
HIDDEN_SIZE = 6
LENGTHS = torch.tensor([9, 5, 2])
MASK = torch.arange(9) < LENGTHS[:, None]
# Small, and without dropout, so that what is trained can be compared.
OPTIONS = {
    "unipool": {"conv_dim": 4, "num_blocks": 2, "dropout": 0.0},
    "ltdnn-ecapa": {
        "conv_dim": 8,
        "layer_pool_size": 8,
        "layer_pool_heads": 2,
        "dropout": 0.0,
    },
    "ltdnn-d3net": {
        "conv_dim": 8,
        "layer_pool_size": 8,
        "layer_pool_heads": 2,
        "dropout": 0.0,
    },
    "lap-astp": {"layer_pool_heads": 2, "layer_pool_size": 8, "dropout": 0.0},
    "weighted-sum-ecapa": {"width": 8},
    "weighted-sum-xvector": {"width": 8},
    "mhfa": {"num_heads": 3, "compression": 4},
    "ca-mhfa": {"num_heads": 3, "compression": 4, "context": 3},
    "combined": {"layer_pool_heads": 2, "layer_pool_size": 8, "dropout": 0.0},
    "xvector": {"width": 8},
    "ecapa-tdnn": {"width": 8, "attention_size": 4},
    "sincnet": {"window_seconds": 0.025, "width": 8, "embedding_size": 8},
    "finetune-pooled": {"unfreeze_at": 0.0},
    "finetune-cls": {"mask_probability": 0.0},
    "finetune-lora": {
        "backend": "lap-astp",
        "backend_options": {
            "layer_pool_heads": 2,
            "layer_pool_size": 8,
            "dropout": 0.0,
        },
        "rank": 2,
    },
}
FINETUNED = ("finetune-pooled", "finetune-cls", "finetune-lora")
ONE_LAYER = ("xvector", "ecapa-tdnn", "sincnet", *FINETUNED)
GROUP = {"model_type": "wav2vec2", "feat_extract_norm": "group"}
LARGE = {
    "model_type": "hubert",
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
WAVLM = {"model_type": "wavlm", "feat_extract_norm": "group"}
KEEPS_LAYER_ZERO = {"unipool": {"use_layer_zero": True}}
VARIANTS = {
    "unipool": [
        {"num_blocks": 0},
        {"attentive_vad": False},
        {"channel_attention": False},
        {"layer_pool": "attention-mean"},
        {"layer_pool": "weighted-sum"},
        {"layer_pool": "mean"},
        {"layer_pool": "last"},
        {"frame_pool": "statistics"},
        {"frame_pool": "mean"},
    ],
    "combined": [
        {"layer_pool": "lap", "network": "mean"},
        {"layer_pool": "one", "layer": 0, "network": "ecapa-tdnn", "width": 8},
        {"layer_pool": "mean", "network": "xvector", "width": 8},
    ],
    "ecapa-tdnn": [{"attention": "relu-norm-tanh"}],
    "sincnet": [{"num_windows": 1}],
    "finetune-pooled": [
        {"blocks": 2},
        {"encoder": LARGE},
        {"encoder": WAVLM, "blocks": 2},
    ],
    "finetune-cls": [{"freeze_cnn": True}, {"encoder": LARGE}, {"encoder": WAVLM}],
    "finetune-lora": [{"encoder": LARGE}, {"encoder": WAVLM}],
}
ENCODERS = tempfile.TemporaryDirectory()


def spell(option):
    return "-".join(map(str, option.values())) if isinstance(option, dict) else option


CASES = [(kind, {}) for kind in BACKENDS] + [
    (kind, options) for kind, variants in VARIANTS.items() for options in variants
]

every_backend = pytest.mark.parametrize("kind", BACKENDS)
every_case = pytest.mark.parametrize(
    ("kind", "options"),
    CASES,
    ids=[
        "-".join(map(str, [kind, *map(spell, options.values())]))
        for kind, options in CASES
    ],
)


@functools.cache
def encoder_of(described):
    """Make an encoder of these keys beside the small ones."""
    from unipool.fetch import fetch_backbone

    folder = Path(ENCODERS.name) / str(abs(hash(described)))
    fetch_backbone(
        folder=folder, config=SHORT_SIGHTED | dict(described), seed=0, **BACKBONE
    )
    return str(folder)


def options_of(kind, **changes):
    """Give the small options of a kind, with these changes."""
    options = OPTIONS.get(kind, {}) | changes
    if kind in FINETUNED:
        described = options.get("encoder", GROUP)
        options["encoder"] = encoder_of(tuple(described.items()))
    return options


def utterances(num_layers=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, num_layers, 9, HIDDEN_SIZE, generator=generator)


def padded_with(value, hidden_states, mask=MASK):
    return hidden_states.masked_fill(~mask[:, None, :, None], value)


def build(kind, num_layers=4, **options):
    """Make a backend whose weights and running statistics are not the initial ones."""
    torch.manual_seed(0)
    backend = BACKENDS[kind](num_layers, HIDDEN_SIZE, **options_of(kind, **options))
    with torch.no_grad():
        for parameter in backend.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        backend(utterances(num_layers), MASK)
    return backend


def trained(backend):
    """Give the parameters that are not frozen for ever, and their names."""
    return [(name, p) for name, p in backend.named_parameters() if p.requires_grad]


def train_once(backend, hidden_states, mask):
    """Give embeddings, gradients and running statistics of one training step."""
    backend = copy.deepcopy(backend).train()
    embeddings = backend(hidden_states, mask)
    direction = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    (embeddings * direction).sum().backward()
    gradients = {name: p.grad for name, p in trained(backend)}
    return (
        {"embeddings": embeddings.detach()} | gradients | dict(backend.named_buffers())
    )


@pytest.mark.parametrize("kind", sorted(set(BACKENDS) - set(FINETUNED)))
@pytest.mark.parametrize("training", [True, False])
def test_an_embedding_is_one_vector_of_the_size_asked_for(kind, training):
    backend = build(kind, embedding_size=7).train(training)

    embeddings = backend(utterances(), MASK)

    assert embeddings.shape == (3, 7)
    assert backend.embedding_size == 7


@every_case
def test_an_embedding_does_not_depend_on_the_batch(kind, options):
    backend = build(kind, **options).double().eval()
    hidden_states = utterances().double()

    batched = backend(padded_with(0.0, hidden_states), MASK)

    for i, length in enumerate(LENGTHS):
        cut = hidden_states[i : i + 1, :, :length]
        alone = backend(cut, torch.ones(1, int(length), dtype=torch.bool))
        torch.testing.assert_close(batched[i], alone[0], rtol=1e-7, atol=1e-9)


@every_case
def test_what_stands_in_the_padding_changes_no_embedding(kind, options):
    backend = build(kind, **options).eval()

    clean = backend(padded_with(0.0, utterances()), MASK)

    for garbage in (math.nan, math.inf, 1e9):
        dirty = backend(padded_with(garbage, utterances()), MASK)
        assert torch.equal(clean, dirty), garbage


@every_case
def test_what_stands_in_the_padding_changes_nothing_of_training(kind, options):
    backend = build(kind, **options)

    clean = train_once(backend, padded_with(0.0, utterances()), MASK)

    for garbage in (math.nan, math.inf, 1e9):
        dirty = train_once(backend, padded_with(garbage, utterances()), MASK)
        unlike = [name for name in clean if not torch.equal(clean[name], dirty[name])]
        assert unlike == [], garbage


@every_case
def test_the_amount_of_padding_changes_nothing_of_training(kind, options):
    backend = build(kind, **options).double()
    states = utterances().double()
    wider = torch.nn.functional.pad(states, (0, 0, 0, 4), value=3.0)
    wider_mask = torch.nn.functional.pad(MASK, (0, 4), value=False)

    padded = train_once(backend, states, MASK)
    padded_more = train_once(backend, wider, wider_mask)

    torch.testing.assert_close(padded, padded_more, rtol=1e-7, atol=1e-9)


@every_case
def test_a_batch_trains_the_same_with_padding_and_without(kind, options):
    backend = build(kind, **options).double()
    states = utterances().double()
    wider = torch.nn.functional.pad(states, (0, 0, 0, 4), value=3.0)
    all_real = torch.ones(3, 9, dtype=torch.bool)
    wider_mask = torch.nn.functional.pad(all_real, (0, 4), value=False)

    bare = train_once(backend, states, all_real)
    padded = train_once(backend, wider, wider_mask)

    torch.testing.assert_close(bare, padded, rtol=1e-7, atol=1e-9)


@every_case
@pytest.mark.parametrize("mask", [MASK, torch.ones_like(MASK)], ids=["ragged", "full"])
@pytest.mark.parametrize("training", [True, False])
def test_the_input_is_left_as_it_was(kind, options, mask, training):
    backend = build(kind, **options).train(training)
    hidden_states = padded_with(7.0, utterances())
    before, mask_before = hidden_states.clone(), mask.clone()

    backend(hidden_states, mask)

    assert torch.equal(hidden_states, before)
    assert torch.equal(mask, mask_before)


@every_case
def test_every_parameter_gets_a_finite_gradient(kind, options):
    backend = build(kind, **options).train()

    backend(utterances(), MASK).square().sum().backward()

    without = [
        name
        for name, parameter in trained(backend)
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert without == []


@every_case
def test_gradients_are_finite_when_all_frames_are_equal(kind, options):
    backend = build(kind, **options).train()
    still = utterances()[:, :, :1].expand(-1, -1, 9, -1)

    backend(still, MASK).square().sum().backward()

    assert all(p.grad.isfinite().all() for _, p in trained(backend))


@every_case
def test_loaded_weights_embed_the_same(kind, options):
    backend = build(kind, **options).eval()
    again = BACKENDS[kind](4, HIDDEN_SIZE, **options_of(kind, **options)).eval()

    again.load_state_dict(backend.state_dict())

    assert torch.equal(again(utterances(), MASK), backend(utterances(), MASK))


@every_case
def test_the_order_of_the_batch_does_not_matter(kind, options):
    backend = build(kind, **options).eval()
    order = torch.tensor([2, 0, 1])

    embeddings = backend(utterances(), MASK)
    shuffled = backend(utterances()[order], MASK[order])

    torch.testing.assert_close(shuffled, embeddings[order])


@every_case
@pytest.mark.parametrize("num_padded", [0, 3])
def test_one_frame_is_enough(kind, options, num_padded):
    backend = build(kind, **options).eval()
    mask = torch.arange(1 + num_padded)[None] < 1

    embedding = backend(utterances()[:1, :, : 1 + num_padded], mask)

    assert embedding.isfinite().all()


@every_backend
@pytest.mark.parametrize("num_layers", [2, 3, 7, 13, 25])
def test_any_number_of_layers_will_do(kind, num_layers):
    backend = build(kind, num_layers).train()

    embeddings = backend(utterances(num_layers), MASK)

    assert embeddings.isfinite().all()


@every_backend
def test_layer_zero_alone_will_do_where_it_is_kept(kind):
    backend = build(kind, 1, **KEEPS_LAYER_ZERO.get(kind, {})).train()

    embeddings = backend(utterances(1), MASK)

    assert embeddings.isfinite().all()


@every_backend
def test_an_unknown_option_is_an_error(kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'heds'"):
        BACKENDS[kind](4, HIDDEN_SIZE, **options_of(kind), heds=4)


@every_backend
def test_options_have_names(kind):
    with pytest.raises(TypeError, match="positional argument"):
        BACKENDS[kind](4, HIDDEN_SIZE, 8)


@pytest.mark.parametrize(
    ("kind", "options", "used"),
    [
        ("unipool", {}, [False, True, True, True]),
        ("unipool", {"use_layer_zero": True}, [True, True, True, True]),
        ("ltdnn-ecapa", {}, [True, True, True, True]),
        ("ltdnn-d3net", {}, [True, True, True, True]),
        ("lap-astp", {}, [True, True, True, True]),
        ("mhfa", {}, [True, True, True, True]),
        ("combined", {}, [True, True, True, True]),
        ("combined", {"layer_pool": "one"}, [False, False, False, True]),
        ("combined", {"layer_pool": "one", "layer": 1}, [False, True, False, False]),
        ("xvector", {}, [False, False, False, True]),
        ("xvector", {"layer": 0}, [True, False, False, False]),
        ("ecapa-tdnn", {"layer": -2}, [False, False, True, False]),
        ("sincnet", {"layer": 1}, [False, True, False, False]),
        ("finetune-pooled", {}, [False, False, False, True]),
        ("finetune-cls", {"layer": 0}, [True, False, False, False]),
        ("finetune-lora", {"layer": 1}, [False, True, False, False]),
    ],
)
def test_a_backend_uses_its_layers_only(kind, options, used):
    backend = build(kind, **options).eval()
    hidden_states = utterances()
    embeddings = backend(hidden_states, MASK)

    changed = []
    for layer in range(4):
        other = hidden_states.clone()
        other[:, layer] += torch.linspace(-1, 1, HIDDEN_SIZE)
        changed.append(not torch.equal(backend(other, MASK), embeddings))

    assert changed == used


POOL = "layer_pool.reduce"


@pytest.mark.parametrize(
    ("kind", "options", "parts"),
    [
        ("unipool", {}, {"blocks.0.vad": 3, "blocks.1.vad": 3, POOL: 3}),
        ("unipool", {"num_blocks": 0}, {POOL: 3}),
        ("unipool", {"attentive_vad": False, "use_layer_zero": True}, {POOL: 4}),
        ("unipool", {"attentive_vad": False, "layer_pool": "weighted-sum"}, {POOL: 3}),
        ("unipool", {"attentive_vad": False, "layer_pool": "mean"}, {}),
        ("ltdnn-ecapa", {}, {POOL: 4}),
        ("ltdnn-d3net", {}, {POOL: 4}),
        ("lap-astp", {}, {POOL: 4}),
        ("weighted-sum-ecapa", {}, {POOL: 4}),
        ("weighted-sum-xvector", {}, {POOL: 4}),
        ("mhfa", {}, {"sum_keys": 4, "sum_values": 4}),
        ("ca-mhfa", {}, {"sum_keys": 4, "sum_values": 4}),
        ("combined", {}, {POOL: 4}),
        ("combined", {"layer_pool": "lap"}, {POOL: 4}),
        ("combined", {"layer_pool": "mean"}, {}),
        ("combined", {"layer_pool": "one"}, {}),
        ("xvector", {}, {}),
        ("ecapa-tdnn", {}, {}),
        ("sincnet", {}, {}),
        ("finetune-pooled", {}, {}),
        ("finetune-cls", {}, {}),
    ],
)
def test_which_parts_of_a_backend_weigh_layers_in_the_order_of_use(
    kind, options, parts
):
    backend = build(kind, **options).eval()
    embeddings = backend(utterances(), MASK)

    with watch_layers(backend) as noted:
        watched = backend(utterances(), MASK)

    assert [(name, weights.shape[1]) for name, weights in noted.items()] == [
        *parts.items()
    ]
    assert torch.equal(watched, embeddings)
    for weights in noted.values():
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, 9))


@pytest.mark.parametrize("kind", [kind for kind in BACKENDS if kind not in ONE_LAYER])
def test_weights_of_layers_do_not_depend_on_the_batch(kind):
    backend = build(kind).eval()

    with watch_layers(backend) as noted:
        backend(padded_with(1e9, utterances()), MASK)
        together = dict(noted)
        backend(utterances()[1:2, :, :5], torch.ones(1, 5, dtype=torch.bool))

    assert noted
    for name, alone in noted.items():
        torch.testing.assert_close(together[name][1:2, :, :5], alone)


@pytest.mark.parametrize(
    ("kind", "base", "large"),
    [
        ("unipool", 2.87, 3.01),
        ("ltdnn-d3net", 6.48, 6.81),
        ("ltdnn-ecapa", 5.72, 6.70),
        ("lap-astp", 1.71, 2.31),
    ],
)
def test_backends_have_the_published_number_of_parameters(kind, base, large):
    counts = [
        sum(parameter.numel() for parameter in BACKENDS[kind](*sizes).parameters())
        for sizes in ((13, 768), (25, 1024))
    ]

    assert [round(count / 1e6, 2) for count in counts] == [base, large]


@every_backend
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_states_of_the_cache_are_embedded(kind, dtype):
    cache = cache_of([9, 5, 2], size=HIDDEN_SIZE, dtype=dtype)
    backend = build(kind, num_layers=3).eval()

    embeddings = embed_utterances(backend, cache, max_frames=27, device=CPU)

    alone = embed_utterances(backend, cache, max_frames=1, device=CPU)
    assert np.isfinite(embeddings).all()
    assert np.allclose(embeddings, alone, rtol=1e-3, atol=1e-4)


def test_the_embedding_path_is_exported_for_any_batch(tmp_path):
    script = tmp_path / "export.py"
    script.write_text(EXPORT)

    # An encoder's forward pass is not ours: its masks are made as the batch has need.
    kinds = [kind for kind in BACKENDS if kind not in FINETUNED]
    smallest = {kind: options_of(kind) for kind in kinds}
    # By itself: here, shapes are checked as types, which an export would follow.
    done = subprocess.run(
        [sys.executable, script, json.dumps(smallest)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == kinds


EXPORT = """
import json, sys, torch
from torch.export import Dim, export
from unipool.backends import BACKENDS

torch.set_num_threads(1)
for kind, options in json.loads(sys.argv[1]).items():
    backend = BACKENDS[kind](4, 6, **options).eval()
    states = torch.randn(3, 4, 9, 6)
    mask = torch.arange(9) < torch.tensor([9, 5, 2])[:, None]
    batch, frames = Dim("batch", min=1, max=64), Dim("frames", min=1, max=4096)
    shapes = {"hidden_states": {0: batch, 2: frames}, "mask": {0: batch, 1: frames}}
    program = export(backend, (states, mask), dynamic_shapes=shapes).module()
    for size in ((3, 9), (1, 1), (2, 31)):
        states = torch.randn(size[0], 4, size[1], 6)
        mask = torch.ones(size, dtype=torch.bool)
        mask[0, 1:] = False
        torch.testing.assert_close(program(states, mask), backend(states, mask))
    print(kind)
"""


@pytest.mark.parametrize(("num_layers", "own"), [(12, 0.198), (24, 0.106)])
def test_a_mixture_begins_with_most_weight_on_its_own_layer(num_layers, own):
    backend = UniPool(num_layers + 1, HIDDEN_SIZE, conv_dim=4)

    mixing = backend.blocks[0].vad.mixing_logits.softmax(dim=1)

    assert mixing.diagonal().tolist() == pytest.approx([own] * num_layers, abs=5e-4)
    assert mixing.sum(dim=1).tolist() == pytest.approx([1.0] * num_layers)


def test_each_target_layer_has_a_row_of_mixing_weights():
    vad = UniPool(4, HIDDEN_SIZE, conv_dim=1).blocks[0].vad
    with torch.no_grad():
        vad.mixing_logits.fill_(-100)
        vad.mixing_logits[[0, 1, 2], [2, 2, 1]] = 100  # the layer that a row takes
        vad.weight.zero_()
    plane = torch.tensor([10.0, 20.0, 30.0])[None, :, None, None].expand(1, 3, 5, 4)

    gated = vad(plane, None)

    # A gate of weight zero is open by half.
    assert gated[0, :, 0, 0].tolist() == [15.0, 15.0, 10.0]


@pytest.mark.parametrize(
    ("parameter", "bound"),
    [
        ("project.weight", math.sqrt(6 / (HIDDEN_SIZE + 64))),
        ("blocks.0.vad.weight", math.sqrt(6 / (64 + 12))),
        ("blocks.0.squeeze.weight", math.sqrt(6 / 64)),
        ("blocks.0.stages.2.convs.1.weight", math.sqrt(6 / (9 * 16))),
        ("blocks.0.attention.of_mean.0.weight", math.sqrt(6 / 64)),
        ("blocks.0.attention.of_max.3.weight", math.sqrt(6 / (16 + 64))),
        ("layer_pool.project.weight", math.sqrt(6 / (64 + 64))),
        ("layer_pool.reduce.squeeze", math.sqrt(6 / (12 * 6))),
        ("layer_pool.reduce.excite", math.sqrt(6 / (6 * 12 + 4 * 12))),
        ("layer_pool.mix.weight", math.sqrt(6 / (64 + 64))),
        ("frame_pool.squeeze.weight", math.sqrt(1 / (3 * 64))),
        ("frame_pool.excite.weight", math.sqrt(1 / 32)),
        ("head.1.weight", math.sqrt(1 / 128)),
    ],
)
def test_unipool_draws_its_weights_as_published(parameter, bound):
    torch.manual_seed(0)
    backend = UniPool(13, HIDDEN_SIZE, conv_dim=16)

    largest = backend.get_parameter(parameter).abs().max().item()

    assert 0.95 * bound < largest <= bound


def test_biases_begin_at_zero_but_in_the_frame_pooling():
    backend = UniPool(4, HIDDEN_SIZE, conv_dim=4)

    begin_elsewhere = [
        name
        for name, parameter in backend.named_parameters()
        if "bias" in name and parameter.any()
    ]

    assert begin_elsewhere == [
        "frame_pool.squeeze.bias",
        "frame_pool.excite.bias",
        "head.1.bias",
    ]


@pytest.mark.parametrize("kind", ["lap-astp", "ltdnn-ecapa", "ltdnn-d3net"])
def test_biases_of_the_authors_later_backends_begin_at_zero(kind):
    backend = BACKENDS[kind](5, 8, **OPTIONS[kind])

    begin_elsewhere = {
        name.split(".")[0]
        for name, parameter in backend.named_parameters()
        if "bias" in name and parameter.any()
    }

    assert begin_elsewhere <= (set() if kind == "lap-astp" else {"frame_pool", "head"})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("combined", {"width": 8}, "width is 8, but attentive-statistics has none"),
        ("combined", {"layer": 4}, r"layer is 4, there are 4 layers, 0 to 3"),
        ("weighted-sum-ecapa", {"width": 12}, "the width is 12, it must be a multiple"),
        ("ca-mhfa", {"context": 4}, "context is 4, it must be odd"),
        ("ca-mhfa", {"context": -1}, "context is -1, it must be odd and at least 1"),
        ("ltdnn-d3net", {"conv_dim": 6}, "conv_dim is 6, it must be a multiple of 4"),
        (
            "lap-astp",
            {"layer_pool_heads": 4},
            "heads is 4, it must divide 6",
        ),
        ("xvector", {"layer": -5}, r"layer is -5, there are 4 layers, 0 to 3"),
        ("ecapa-tdnn", {"width": 12}, "the width is 12, it must be a multiple of 8"),
        ("sincnet", {"num_windows": 0}, "num_windows is 0, it must be at least 1"),
        ("sincnet", {"window_seconds": 0.02}, "makes 320 samples, .* 0.0204 or more"),
    ],
)
def test_a_size_without_meaning_says_which(kind, options, message):
    with pytest.raises(ValueError, match=message):
        BACKENDS[kind](4, HIDDEN_SIZE, **options)


def test_a_single_head_of_lap_has_no_projection():
    assert isinstance(
        BACKENDS["lap-astp"](4, 6, layer_pool_heads=1).layer_pool.project,
        torch.nn.Identity,
    )


def test_the_double_residual_adds_the_gated_mixtures_once_more():
    double = build("unipool", double_residual=True).eval().blocks[0]
    single = build("unipool", double_residual=False).eval().blocks[0]
    single.load_state_dict(double.state_dict())
    plane = torch.randn(2, 3, 5, 16)

    difference = double(plane, None) - single(plane, None)

    torch.testing.assert_close(difference, double.vad(plane, None))


def test_dropout_of_unipool_is_that_of_its_poolings():
    backend = UniPool(4, HIDDEN_SIZE, conv_dim=4, dropout=0.3)

    assert backend.layer_pool.reduce.dropout.p == 0.3
    assert backend.frame_pool.dropout.p == 0.3


def test_unipool_without_a_layer_says_so():
    with pytest.raises(ValueError, match="layer 0 is left out, so none remains"):
        UniPool(1, HIDDEN_SIZE)


def test_heads_that_do_not_divide_the_channels_are_an_error():
    with pytest.raises(ValueError, match="layer_pool_heads is 3, it must divide 16"):
        UniPool(4, HIDDEN_SIZE, conv_dim=4, layer_pool_heads=3)


def test_the_weighted_sum_begins_as_the_mean_of_the_layers():
    backend = build("combined").eval()
    torch.nn.init.zeros_(backend.layer_pool.reduce.layer_logits)
    same_mean = utterances().mean(dim=1, keepdim=True).expand(-1, 4, -1, -1)

    embeddings = backend(utterances(), MASK)

    torch.testing.assert_close(embeddings, backend(same_mean, MASK))


def test_batch_norm_counts_real_frames_only():
    norm = MaskedBatchNorm(1)
    frames = torch.tensor([[1.0, 2.0], [3.0, 90.0]])[:, :, None]
    mask = torch.tensor([[True, True], [True, False]])

    normed = norm(frames, mask)

    # Of 1, 2, 3: mean 2, variance 2/3, its unbiased estimate 1; momentum is 0.1.
    assert normed.flatten().tolist() == pytest.approx(
        [-1.22474, 0, 1.22474, 0], abs=1e-4
    )
    assert norm.norm.running_mean.item() == pytest.approx(0.2)
    assert norm.norm.running_var.item() == pytest.approx(0.9 + 0.1)


def test_batch_norm_gives_zero_for_padding_in_evaluation():
    norm = MaskedBatchNorm(1).eval()
    frames = torch.full((1, 2, 3, 1), 5.0)

    normed = norm(frames, torch.tensor([[True, True, False]]))

    assert normed.flatten().tolist() == pytest.approx([5, 5, 0, 5, 5, 0], abs=1e-3)


@pytest.mark.parametrize("mask", [None, torch.tensor([[True, True, True, False]])])
def test_the_standard_deviation_is_the_unbiased_one(mask):
    frames = torch.tensor([1.0, 2.0, 6.0, 500.0])[None, :, None]
    frames = frames[:, :3] if mask is None else frames

    mean, std = mean_and_std(frames, mask)

    assert mean.item() == pytest.approx(3)
    assert std.item() == pytest.approx(math.sqrt((4 + 1 + 9) / 2))


@pytest.mark.parametrize("mask", [None, torch.ones(1, 299, dtype=torch.bool)])
def test_statistics_of_bfloat16_count_exactly(mask):
    frames = torch.tensor([1.0, 3.0], dtype=torch.bfloat16).repeat(150)[
        None, :299, None
    ]

    mean, std = mean_and_std(frames, mask)

    assert mean.item() == pytest.approx((150 + 149 * 3) / 299, rel=1e-6)
    assert std.item() == pytest.approx(1.0017, rel=5e-3)


def test_the_standard_deviation_of_equal_frames_has_a_finite_gradient():
    frames = torch.ones(1, 5, 2, requires_grad=True)

    _, std = mean_and_std(frames, None)
    std.sum().backward()

    assert std.tolist() == [[pytest.approx(0), pytest.approx(0)]]
    assert frames.grad.isfinite().all()


def test_equal_attention_gives_plain_statistics():
    pool = AttentiveStatisticsPool(1, bottleneck=2).eval()
    torch.nn.init.zeros_(pool.excite.weight)
    frames = torch.tensor([1.0, 3.0, 5.0, 77.0])[None, :, None]

    pooled = pool(frames, torch.tensor([[True, True, True, False]]))

    assert pooled.tolist() == [pytest.approx([3, math.sqrt(8 / 3)])]
