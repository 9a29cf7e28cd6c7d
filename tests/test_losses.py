"""The losses, in numbers that can be checked by hand."""

import math
from itertools import pairwise

import pytest
import torch

from unipool.losses import (
    AAMSoftmax,
    AMSoftmax,
    BinaryCrossEntropy,
    Softmax,
    SubcenterAAMSoftmax,
)


def loss_of_two_axes(*, margin, scale, num_heads=1):
    """Make a loss of two speakers, whose weights are the axes of each 2-d head."""
    loss = AAMSoftmax(2 * num_heads, 2, margin=margin, scale=scale, num_heads=num_heads)
    axes = torch.eye(2).expand(num_heads, 2, 2)
    loss.load_state_dict({"weight": axes})
    return loss


def own_logit(angle, *, margin):
    """Recover the own speaker's logit; the other's weight is at a right angle.

    Of two logits the loss is log(1 + exp(other - own)).
    """
    loss = loss_of_two_axes(margin=margin, scale=1.0)
    embedding = torch.tensor([[math.cos(angle), math.sin(angle)]])
    value = loss(embedding, torch.tensor([0])).item()
    return math.sin(angle) - math.log(math.exp(value) - 1)


def test_the_margin_widens_the_own_angle():
    loss = loss_of_two_axes(margin=0.2, scale=2.0)

    value = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))

    # cos 0.6, sin 0.8: cos(angle + 0.2) = 0.588040 - 0.158935 = 0.429105.
    # log(1 + exp(2 * (0.8 - 0.429105))) = log(1 + 2.09971)
    assert value.item() == pytest.approx(math.log(3.09971), rel=1e-5)


def test_without_margin_it_is_the_cross_entropy_of_scaled_cosines():
    loss = loss_of_two_axes(margin=0.0, scale=5.0)

    value = loss(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([0, 1]))

    # Logits (3, 4) with label 0, and (0, 5) with label 1.
    expected = (math.log(1 + math.exp(1)) + math.log(1 + math.exp(-5))) / 2
    assert value.item() == pytest.approx(expected)


def test_an_angle_that_would_pass_pi_is_continued():
    assert own_logit(math.pi, margin=0.2) == pytest.approx(-1 - 0.0397339, abs=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0, math.pi - 0.21])
def test_below_that_it_is_the_cosine_of_angle_and_margin(angle):
    assert own_logit(angle, margin=0.2) == pytest.approx(
        math.cos(angle + 0.2), abs=1e-6
    )


def test_the_loss_grows_with_the_angle_to_the_very_end():
    angles = torch.linspace(0, math.pi, 50).tolist()

    logits = [own_logit(angle, margin=0.2) for angle in angles]

    assert all(later < earlier for earlier, later in pairwise(logits))


def test_the_length_of_an_embedding_does_not_matter():
    loss = AAMSoftmax(4, 5, margin=0.2, scale=30.0)
    embeddings, labels = torch.randn(3, 4), torch.tensor([0, 4, 2])

    assert loss(embeddings, labels).item() == pytest.approx(
        loss(9 * embeddings, labels).item(), rel=1e-4
    )


def test_heads_are_compared_separately_and_averaged():
    loss = loss_of_two_axes(margin=0.2, scale=2.0, num_heads=2)
    head = loss_of_two_axes(margin=0.2, scale=2.0)
    labels = torch.tensor([0, 1])
    first, second = torch.tensor([[3.0, 4.0], [1.0, 0.5]]), torch.randn(2, 2)

    value = loss(torch.cat([first, second], dim=1), labels)

    expected = (head(first, labels) + head(second, labels)) / 2
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_embedding_upon_its_weight_has_a_finite_gradient(sign):
    loss = loss_of_two_axes(margin=0.2, scale=30.0)
    embeddings = torch.tensor([[sign, 0.0]], requires_grad=True)

    loss(embeddings, torch.tensor([0])).backward()

    assert embeddings.grad.isfinite().all()
    assert loss.weight.grad.isfinite().all()


def test_weights_begin_as_published():
    loss = AAMSoftmax(24, 50, margin=0.2, scale=30.0, num_heads=2)

    largest = loss.weight.abs().max().item()

    # Xavier on three axes (2, 12, 50): the fans are 12 * 50 and 2 * 50.
    bound = math.sqrt(6 / (600 + 100))
    assert loss.weight.shape == (2, 12, 50)
    assert 0.95 * bound < largest <= bound


def test_heads_that_do_not_divide_the_embedding_are_an_error():
    with pytest.raises(ValueError, match="num_heads is 5, it must divide"):
        AAMSoftmax(192, 10, margin=0.2, scale=30.0, num_heads=5)


def test_am_softmax_takes_the_margin_from_the_cosine():
    loss = AMSoftmax(2, 2, margin=0.4, scale=2.0)
    loss.load_state_dict({"weight": torch.eye(2)[None]})

    value = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))

    # Cosines 0.6 and 0.8; 0.6 - 0.4 = 0.2.
    assert value.item() == pytest.approx(math.log(1 + math.exp(2 * (0.8 - 0.2))))


def subcenters(**options):
    """Make a loss of three speakers with two weights each, in a plane."""
    settings = {"margin": 0.0, "scale": 1.0, "num_subcenters": 2, "top_k": 0}
    loss = SubcenterAAMSoftmax(2, 3, **(settings | options))
    angles = torch.tensor([[0.0, 1.0, 2.0], [0.5, 3.0, 2.5]])  # (sub-centre, speaker)
    loss.load_state_dict({"weight": torch.stack([angles.cos(), angles.sin()], dim=1)})
    return loss


def at(angle):
    return torch.tensor([[math.cos(angle), math.sin(angle)]])


def test_the_nearest_sub_centre_counts():
    cosine = subcenters().cosine(at(0.4))

    expected = [math.cos(0.1), math.cos(0.6), math.cos(1.6)]
    assert cosine.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_hardest_other_speakers_come_nearer():
    loss = subcenters(margin=0.3, top_k=1, penalty=0.06)

    value = loss(at(0.4), torch.tensor([0]))

    # The own angle 0.1 grows by 0.3, the nearest other's 0.6 shrinks by 0.06.
    logits = [math.cos(0.4), math.cos(0.54), math.cos(1.6)]
    expected = math.log(sum(map(math.exp, logits))) - logits[0]
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_margin_and_penalty_rise_together():
    loss = subcenters(margin=0.3, top_k=2, penalty=0.06)
    bare = subcenters()
    loss.margin_share = 0.0

    values = [one(at(0.4), torch.tensor([0])).item() for one in (loss, bare)]

    assert values[0] == pytest.approx(values[1], rel=1e-6)
    loss.margin_share = 0.5
    half = subcenters(margin=0.15, top_k=2, penalty=0.03)
    torch.testing.assert_close(
        loss(at(0.4), torch.tensor([0])), half(at(0.4), torch.tensor([0]))
    )


def test_more_penalised_than_there_are_speakers_are_all():
    loss = subcenters(margin=0.3, top_k=5, penalty=0.06)

    assert loss(at(0.4), torch.tensor([0])).isfinite()


@pytest.mark.parametrize(
    "options", [{"num_subcenters": 0}, {"top_k": -1}, {"penalty": -1}]
)
def test_sub_centres_without_meaning_are_an_error(options):
    with pytest.raises(ValueError, match=r"num_subcenters is .* none is negative"):
        subcenters(**options)


@pytest.mark.parametrize("kind", [AAMSoftmax, AMSoftmax, SubcenterAAMSoftmax])
def test_training_with_a_loss_tells_speakers_apart(kind):
    torch.manual_seed(0)
    loss = kind(4, 3, margin=0.2, scale=10.0)
    embeddings = torch.nn.Parameter(torch.randn(9, 4))
    labels = torch.arange(9) % 3
    optimizer = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss(embeddings, labels).backward()
        optimizer.step()

    assert (loss.cosine(embeddings)[:, 0].argmax(dim=1) == labels).all()


@pytest.mark.parametrize("bias", [False, True])
def test_softmax_is_the_cross_entropy_of_a_linear_map(bias):
    loss = Softmax(2, 3, bias=bias)
    columns = torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 0.5]])
    with torch.no_grad():
        loss.weight.copy_(columns[None])
        if bias:
            loss.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))

    value = loss(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([0, 2]))

    # Logits (3, -4, 8) with label 0, and (0, -2, 1) with label 2.
    logits = [[3.0, -4.0, 8.0], [0.0, -2.0, 1.0]]
    if bias:
        logits = [[3.5, -4.0, 7.0], [0.5, -2.0, 0.0]]
    expected = [
        math.log(sum(map(math.exp, row))) - row[label]
        for row, label in zip(logits, (0, 2), strict=True)
    ]
    assert value.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_weights_of_softmax_begin_as_published():
    loss = Softmax(24, 50)

    largest = loss.weight.abs().max().item()

    bound = math.sqrt(6 / (24 + 50))
    assert [name for name, _ in loss.named_parameters()] == ["weight"]
    assert 0.95 * bound < largest <= bound


def test_training_with_softmax_tells_speakers_apart():
    torch.manual_seed(0)
    loss = Softmax(4, 3, bias=True)
    embeddings = torch.nn.Parameter(torch.randn(9, 4))
    labels = torch.arange(9) % 3
    optimizer = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss(embeddings, labels).backward()
        optimizer.step()

    logits = embeddings @ loss.weight[0] + loss.bias
    assert (logits.argmax(dim=1) == labels).all()


def test_binary_cross_entropy_is_that_of_pairs():
    loss = BinaryCrossEntropy(1, 3)
    log_odds = torch.tensor([[math.log(3)], [math.log(4)], [0.0]])

    value = loss(log_odds, torch.tensor([2, 2, 0, 1, 1, 2]))

    # Of one speaker with 3/4, which is so; with 4/5 and with 1/2, which is not.
    expected = -(math.log(3 / 4) + math.log(1 / 5) + math.log(1 / 2)) / 3
    assert value.item() == pytest.approx(expected, rel=1e-6)
