"""The backends on acoustic features and samples, against numbers made by hand."""

import math

import pytest
import torch
from torch.nn.functional import batch_norm, conv1d, cosine_similarity, linear, pad

from unipool.backends import BACKENDS
from unipool.backends.scratch import ScratchEcapa, ScratchXVector
from unipool.backends.sincnet import NormInTime, SincFilters, SincNet
from unipool.losses import AAMSoftmax, Softmax

SHORT = {"window_seconds": 0.025, "width": 6, "embedding_size": 5}  # 400 samples


def all_real(states):
    return torch.ones(states.shape[0], states.shape[2], dtype=torch.bool)


def stirred(backend):
    """Give it weights, and running statistics, that are not the initial ones."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in backend.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and not name.endswith("_hz"):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return backend.double().eval()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def layer(before, after, kernel=1):
    """Count the parameters of a convolution and its batch norm."""
    return before * after * kernel + after + 2 * after


def test_the_x_vector_network_has_the_parameters_of_its_description():
    frames = layer(24, 512, 5) + 2 * layer(512, 512, 3) + layer(512, 512)
    frames += layer(512, 1500)
    head = 2 * 512 + 512 * 512 + 512 + 2 * 512

    assert count(ScratchXVector(1, 24)) == frames + (3000 * 512 + 512) + head


@pytest.mark.parametrize(("width", "millions"), [(512, 6.2), (1024, 14.7)])
def test_ecapa_tdnn_has_the_published_parameters(width, millions):
    band = width // 8
    block = 2 * layer(width, width) + 7 * layer(band, band, 3)
    block += (width * 128 + 128) + (128 * width + width)
    aggregated = 3 * width * 1536 + 1536
    attention = (3 * 1536 * 128 + 128) + (128 * 1536 + 1536)
    head = 2 * 3072 + (3072 * 192 + 192) + 2 * 192

    expected = layer(80, width, 5) + 3 * block + aggregated + attention + head

    assert count(ScratchEcapa(1, 80, width=width)) == expected
    assert round(expected / 1e6, 1) == millions  # table 1 of the paper


def test_sincnet_has_the_parameters_of_its_description():
    norms = 2 * (6000 + 80 * 1916 + 60 * 637 + 60 * 211 + 60 * 211 + 2048)
    convs = 2 * 80 + (80 * 5 + 1) * 60 + (60 * 5 + 1) * 60
    dense = (60 * 211 + 2048 + 2048) * 2048 + 3 * 2 * 2048

    assert count(SincNet(1, 160)) == norms + convs + dense


def changed_frames(frame_layers, place):
    """Set one of 31 frames; say how far before and after it the output changes."""
    plane = torch.zeros(1, 1, 31, 3, dtype=torch.double)
    touched = plane.clone()
    touched[:, :, place] = 1
    for step in frame_layers:
        plane, touched = step(plane, None), step(touched, None)
    changed = (plane != touched).any(dim=3).flatten().nonzero().flatten()
    return (changed - place).tolist()


@pytest.mark.parametrize(
    ("layers", "offsets"),
    [
        (slice(0, 1), [-2, -1, 0, 1, 2]),
        (slice(0, 5), list(range(-7, 8))),
    ],
)
def test_an_x_vector_frame_sees_seven_frames_to_either_side(layers, offsets):
    torch.manual_seed(0)
    backend = ScratchXVector(1, 3, width=16).double().eval()

    assert changed_frames(backend.frame_layers[layers], 15) == offsets


@pytest.mark.parametrize(("layer", "offsets"), [(1, [-2, 0, 2]), (2, [-3, 0, 3])])
def test_the_second_and_third_x_vector_layer_skip_frames(layer, offsets):
    torch.manual_seed(0)
    backend = ScratchXVector(1, 3, width=3).double().eval()
    with torch.no_grad():
        backend.frame_layers[layer].conv.weight.abs_()  # no ReLU hides a frame

    assert changed_frames(backend.frame_layers[layer : layer + 1], 15) == offsets


def written_out(state, name, frames, *, dilation=1):
    """Apply a convolution, ReLU and batch norm, all frames within zeros."""
    weight = state[f"{name}.conv.weight"].squeeze(2)
    beyond = dilation * (weight.shape[2] // 2)
    made = conv1d(
        pad(frames, (beyond, beyond)),
        weight,
        state[f"{name}.conv.bias"],
        dilation=dilation,
    )
    return normed(state, f"{name}.norm.norm", made.relu())


def normed(state, name, values):
    parts = ("running_mean", "running_var", "weight", "bias")
    return batch_norm(values, *(state[f"{name}.{part}"] for part in parts))


def projected(state, name, values):
    return linear(values, state[f"{name}.weight"], state[f"{name}.bias"])


def test_the_x_vector_is_what_the_written_out_network_gives():
    backend = stirred(ScratchXVector(1, 4, width=6, embedding_size=3))
    state = backend.state_dict()
    states = torch.randn(2, 1, 20, 4, dtype=torch.double)

    frames = states[:, 0].transpose(1, 2)
    for place, dilation in enumerate((1, 2, 3, 1, 1)):
        frames = written_out(state, f"frame_layers.{place}", frames, dilation=dilation)
    statistics = torch.cat([frames.mean(dim=2), frames.std(dim=2)], dim=1)
    embedding = projected(state, "embed", statistics)

    torch.testing.assert_close(backend(states, all_real(states)), embedding)

    backend.training = True  # it alone: its batch norms stay as they are
    hidden = normed(state, "training_head.1", embedding.relu())
    hidden = projected(state, "training_head.2", hidden).relu()
    expected = normed(state, "training_head.4", hidden)
    torch.testing.assert_close(backend(states, all_real(states)), expected)


def ecapa_block(state, name, frames, dilation):
    first, *bands = written_out(state, f"{name}.into", frames).chunk(8, dim=1)
    made = [written_out(state, f"{name}.bands.0", first, dilation=dilation)]
    for place in range(1, 7):
        made.append(
            written_out(
                state,
                f"{name}.bands.{place}",
                bands[place - 1] + made[-1],
                dilation=dilation,
            )
        )
    out = written_out(state, f"{name}.out", torch.cat([*made, bands[-1]], dim=1))
    gate = projected(state, f"{name}.attention.squeeze", out.mean(dim=2)).relu()
    gate = projected(state, f"{name}.attention.excite", gate).sigmoid()
    return frames + out * gate[:, :, None]


@pytest.mark.parametrize("attention", ["tanh", "relu-norm-tanh"])
def test_ecapa_tdnn_is_what_the_written_out_network_gives(attention):
    backend = stirred(
        ScratchEcapa(
            1, 4, width=16, attention=attention, attention_size=5, embedding_size=3
        )
    )
    state = backend.state_dict()
    states = torch.randn(2, 1, 20, 4, dtype=torch.double)

    x = written_out(state, "into", states[:, 0].transpose(1, 2))
    x1 = ecapa_block(state, "blocks.0", x, 2)
    x2 = ecapa_block(state, "blocks.1", x + x1, 3)
    x3 = ecapa_block(state, "blocks.2", x + x1 + x2, 4)
    joined = torch.cat([x1, x2, x3], dim=1).transpose(1, 2)
    h = projected(state, "join", joined).relu()
    context = torch.cat([h.mean(dim=1), h.std(dim=1)], dim=1)
    seen = torch.cat([h, context[:, None].expand(-1, 20, -1)], dim=2)
    e = projected(state, "pool.squeeze", seen)
    if attention == "relu-norm-tanh":
        e = normed(state, "pool.norm.norm", e.relu().transpose(1, 2)).transpose(1, 2)
    weights = projected(state, "pool.excite", e.tanh()).softmax(dim=1)
    mean = (weights * h).sum(dim=1)
    variance = (weights * (h - mean[:, None]).square()).sum(dim=1)
    pooled = torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1)
    embedding = projected(state, "head.1", normed(state, "head.0", pooled))
    expected = normed(state, "head.2", embedding)

    torch.testing.assert_close(backend(states, all_real(states)), expected)


def decibels(kernel, hertz):
    """Give the gain of a filter at some frequencies, of the largest there is."""
    times = torch.arange(len(kernel), dtype=torch.double) / 16_000
    waves = torch.exp(-2j * math.pi * torch.as_tensor(hertz)[:, None] * times)
    every = torch.fft.rfft(kernel, 16_000).abs().max()
    return 20 * ((waves @ kernel.to(waves.dtype)).abs() / every).log10()


@pytest.mark.parametrize(("low", "band"), [(950.0, 450.0), (3950.0, 950.0)])
def test_a_sinc_filter_passes_its_band_and_nothing_else(low, band):
    filters = SincFilters(1, 251).double()
    with torch.no_grad():
        filters.low_hz.fill_(low)  # 50 Hz below the lower edge
        filters.band_hz.fill_(band)
    begin, end = low + 50, low + 50 + band + 50

    kernel = filters.kernels()[0].detach()

    # A Hamming window of 251 samples: some 210 Hz from one side to the other.
    inside = decibels(kernel, [begin + 120.0, (begin + end) / 2, end - 120])
    edges = decibels(kernel, [begin, end])
    outside = decibels(kernel, [50.0, begin - 120, end + 120, 7900.0])
    assert inside.min() > -0.1
    assert edges.tolist() == pytest.approx([-6, -6], abs=0.2)
    assert outside.max() < -45
    torch.testing.assert_close(kernel, kernel.flip(0))
    assert kernel[125] == 1


def test_a_sinc_filter_is_that_of_the_formula():
    filters = SincFilters(80, 251).double()
    low = 50 + filters.low_hz[7].item()
    high = low + 50 + filters.band_hz[7].item()

    kernel = filters.kernels()[7]

    for sample in (0, 60, 124, 126, 250):
        t = (sample - 125) / 16_000
        sines = math.sin(2 * math.pi * high * t) - math.sin(2 * math.pi * low * t)
        window = 0.54 - 0.46 * math.cos(2 * math.pi * sample / 250)
        expected = sines / (math.pi * t) / (2 * (high - low)) * window
        assert kernel[sample].item() == pytest.approx(expected, abs=1e-5)


def test_the_edges_of_sinc_filters_begin_at_equal_steps_of_the_mel_scale():
    filters = SincFilters(80, 251)

    mel = [2595 * math.log10(1 + hz / 700) for hz in filters.low_hz.tolist()]

    steps = torch.tensor(mel).diff()
    last = (filters.low_hz[-1] + filters.band_hz[-1]).item()
    assert filters.low_hz[0].item() == pytest.approx(30, abs=1e-3)
    assert last == pytest.approx(7900, abs=0.1)
    assert steps.max().item() == pytest.approx(steps.min().item(), rel=1e-3)


@pytest.mark.parametrize(
    ("low", "band", "inside", "outside"),
    [
        (1e5, 10.0, 7975.0, 4000.0),
        (-100.0, -1e5, 4000.0, 0.0),
        (0.0, 0.0, 75.0, 4000.0),
    ],
)
def test_a_sinc_filter_that_was_learned_too_far_stays_a_filter(
    low, band, inside, outside
):
    filters = SincFilters(1, 251).double()
    with torch.no_grad():
        filters.low_hz.fill_(low)
        filters.band_hz.fill_(band)

    kernel = filters.kernels()
    kernel.square().sum().backward()

    assert kernel.isfinite().all()
    assert kernel[0, 125].item() == pytest.approx(1)
    gains = decibels(kernel[0].detach(), [inside, outside]).tolist()
    assert gains[0] > -1
    assert gains[1] < -45
    assert filters.low_hz.grad.isfinite().all()


def test_norm_in_time_looks_at_one_channel_and_scales_each_place():
    norm = NormInTime(2, 3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]))
        norm.bias[1, 2] = 5

    values = norm(torch.tensor([[[1.0, 2.0, 3.0], [-4e-3, 0.0, 4e-3]]]))

    root = math.sqrt(1.5)  # of 1 / (2/3)
    expected = [-root, 0, 3 * root, -root, 0, 5 + root]
    assert values.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def waves(num_frames):
    return 0.1 * torch.randn(1, 1, num_frames, 160, dtype=torch.double)


def test_an_embedding_of_sincnet_is_the_mean_of_evenly_spread_windows():
    backend = stirred(SincNet(1, 160, num_windows=3, **SHORT))
    states = waves(10)

    embedding = backend(states, all_real(states))

    samples = states.flatten()
    vectors = [
        backend.d_vectors(samples[None, start : start + 400])[0]
        for start in (0, 600, 1200)
    ]
    expected = sum(vector / vector.norm() for vector in vectors) / 3
    torch.testing.assert_close(embedding[0], expected)


def test_what_is_shorter_than_a_window_is_repeated_from_its_beginning():
    backend = stirred(SincNet(1, 160, **SHORT))
    states = waves(2)

    embedding = backend(states, all_real(states))

    samples = states.flatten()
    vector = backend.d_vectors(torch.cat([samples, samples[:80]])[None])[0]
    torch.testing.assert_close(embedding[0], vector / vector.norm())


def test_a_product_of_two_sincnet_embeddings_is_the_mean_of_all_cosines():
    backend = stirred(SincNet(1, 160, num_windows=4, **SHORT))
    one, other = waves(10), waves(7)
    alone = [
        torch.stack(
            [
                backend.d_vectors(states.flatten()[None, start : start + 400])[0]
                for start in (states.numel() - 400) * torch.arange(4) // 3
            ]
        )
        for states in (one, other)
    ]

    product = backend(one, all_real(one)) @ backend(other, all_real(other)).T

    cosines = cosine_similarity(alone[0][:, None], alone[1][None], dim=2)
    assert product.item() == pytest.approx(cosines.mean().item())


def test_training_sincnet_looks_at_one_window_of_each_crop_that_the_seed_draws():
    backend = stirred(SincNet(1, 160, **SHORT))
    states = waves(10)
    windows = states.flatten().unfold(0, 400, 1)
    every = backend.training_head(backend.d_vectors(windows))

    backend.training = True  # it alone: its batch norms stay as they are
    found = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        given = backend(states, all_real(states))
        distance = (every - given).abs().amax(dim=1)
        assert distance.min() < 1e-4
        found.append(int(distance.argmin()))

    assert found[0] == found[2] != found[1]


def test_of_a_crop_that_is_one_window_training_sincnet_sees_all():
    backend = stirred(SincNet(1, 160, **SHORT | {"window_seconds": 0.03}))
    states = waves(3)
    whole = backend.training_head(backend.d_vectors(states.flatten()[None]))

    backend.training = True

    torch.testing.assert_close(backend(states, all_real(states)), whole)


def test_silence_has_a_finite_embedding_and_gradient():
    backend = SincNet(1, 160, **SHORT).train()
    states = torch.zeros(2, 1, 5, 160)

    trained = backend(states, all_real(states))
    trained.square().sum().backward()

    assert all(parameter.grad.isfinite().all() for parameter in backend.parameters())
    assert backend.eval()(states, all_real(states)).isfinite().all()


def tones_and_noise(size, num_frames):
    """Make utterances of three speakers: sines of their own, with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 3
    place = torch.arange(num_frames * size)
    tones = torch.sin(place * (0.2 + 0.3 * labels[:, None]))
    noise = 0.3 * torch.randn(tones.shape, generator=generator)
    return (tones + noise).view(12, 1, num_frames, size), labels


@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("xvector", 6, {"width": 16, "embedding_size": 16}),
        ("ecapa-tdnn", 6, {"width": 16, "attention_size": 8, "embedding_size": 16}),
        ("sincnet", 160, {"window_seconds": 0.12, "width": 32, "embedding_size": 32}),
    ],
)
@pytest.mark.parametrize("loss_kind", ["softmax", "aam-softmax"])
def test_a_few_steps_lower_the_loss(kind, size, options, loss_kind):
    torch.manual_seed(0)
    backend = BACKENDS[kind](1, size, **options).train()
    loss = (
        Softmax(backend.embedding_size, 3)
        if loss_kind == "softmax"
        else AAMSoftmax(backend.embedding_size, 3, margin=0.2, scale=10.0)
    )
    states, labels = tones_and_noise(size, num_frames=12)
    optimizer = torch.optim.Adam([*backend.parameters(), *loss.parameters()], lr=1e-3)
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        value = loss(backend(states, all_real(states)), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())

    assert values[-1] < 0.5 * values[0]
