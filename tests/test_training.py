"""The settings of a training, and one step of it."""

import math

import numpy as np
import pytest
import torch
from conftest import cache_of

from unipool.backends import BACKENDS
from unipool.batches import CropSampler
from unipool.training import Trainee, Training

SETTINGS = {
    "steps": 20,
    "batch_size": 4,
    "crop_seconds": 0.2,
    "learning_rate": 1e-2,
    "warmup_fraction": 0.1,
    "gradient_clip": 5.0,
    "validate_every": 5,
    "loss": "aam-softmax",
    "loss_options": {"margin": 0.2, "scale": 30.0},
}


def trainee(**changes):
    torch.manual_seed(0)
    training = Training(**(SETTINGS | changes))
    backend = BACKENDS["unipool"](3, 5, conv_dim=4, embedding_size=8)
    loss = training.make_loss(8, 3)
    return Trainee(backend, loss, training, seed=7, device=torch.device("cpu"))


def batches(first, last):
    sampler = CropSampler(
        cache_of([30, 40, 25]),
        np.arange(3),
        batch_size=4,
        crop_frames=10,
        seed=7,
    )
    return sampler.batches(first, last)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", -1),
        ("batch_size", 1),
        ("crop_seconds", 0),
        ("learning_rate", -0.1),
        ("warmup_fraction", 0),
        ("warmup_fraction", 1),
        ("warmup_fraction", 0.05),  # one step of twenty
        ("gradient_clip", 0),
        ("validate_every", 0),
        ("margin_ramp", 1.5),
    ],
)
def test_a_setting_without_meaning_is_named(setting, value):
    with pytest.raises(ValueError, match=f"{setting}: is {value}, must"):
        Training(**(SETTINGS | {setting: value}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -1, "scale": 30.0}, "loss_options: margin is -1"),
        ({"margin": math.nan, "scale": 30.0}, "loss_options: margin is nan"),
        ({"margin": 0.2, "scale": 0}, "loss_options: .* scale 0; .* above 0"),
    ],
)
def test_a_loss_without_meaning_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Training(**(SETTINGS | {"loss_options": options}))


def test_a_masking_without_meaning_is_named():
    spans = {"probability": 2.0, "start": 0.1, "frames": 3}
    with pytest.raises(ValueError, match=r"masking\.span-out\.probability: is 2\.0"):
        Training(**(SETTINGS | {"masking": {"span-out": spans}}))


def test_the_margin_rises_fast_at_first_and_then_applies_whole():
    ramping = Training(**(SETTINGS | {"margin_ramp": 0.5}))  # ten steps of twenty

    shares = [ramping.margin_share(step) for step in (0, 5, 9, 10, 19)]

    # 1 - log(0.005 + 0.995 u) / log(0.005) at u of 0, 0.5, 0.9
    assert shares == pytest.approx([0, 0.870117, 0.980219, 1, 1], abs=1e-6)
    assert Training(**SETTINGS).margin_share(0) == 1


def test_masking_and_ramp_take_part_in_an_update():
    spans = {"span-out": {"probability": 1.0, "start": 0.2, "frames": 2}}
    plain, masked = trainee(), trainee(masking=spans)
    ramping = trainee(margin_ramp=1.0)
    batch = next(batches(0, 1))

    losses = [learner.update(batch) for learner in (plain, masked, ramping)]

    assert losses[1] != losses[0]
    assert losses[2] < losses[0]  # no margin yet


def test_no_steps_are_allowed():
    assert Training(**(SETTINGS | {"steps": 0})).steps == 0


def test_training_lowers_the_loss():
    learner = trainee()

    losses = [learner.update(batch) for batch in batches(0, 20)]

    assert learner.step == 20
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_the_learning_rate_is_the_published_cycle():
    learner = trainee()
    rates = []
    for batch in batches(0, 20):
        learner.update(batch)
        rates.append(learner.learning_rate)

    assert rates[0] == pytest.approx(1e-2 / 25)
    assert max(rates) == rates[1] == pytest.approx(1e-2)  # a tenth of the steps
    assert rates[-1] == pytest.approx(1e-2 / 25 / 1e4)


def test_a_restored_training_goes_on_to_the_bit():
    unbroken = trainee()
    for batch in batches(0, 8):
        unbroken.update(batch)

    broken = trainee()
    for batch in batches(0, 5):
        broken.update(batch)
    broken.add_validation(1.0, 0.5)
    resumed = trainee()
    resumed.restore(broken.state())
    torch.rand(99)  # what else was random meanwhile does not matter
    for batch in batches(5, 8):
        resumed.update(batch)

    assert resumed.step == 8
    assert resumed.history == broken.history
    for name, weights in unbroken.backend.state_dict().items():
        assert torch.equal(resumed.backend.state_dict()[name], weights)


def test_the_gradient_is_clipped():
    calm, wild = trainee(), trainee(gradient_clip=1e-6)
    before = [p.detach().clone() for p in wild.parameters]
    batch = next(batches(0, 1))

    calm.update(batch)
    wild.update(batch)

    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in wild.parameters))
    assert norm == pytest.approx(1e-6, rel=1e-3)
    assert any(
        not torch.equal(b, p) for b, p in zip(before, wild.parameters, strict=True)
    )


def test_the_loss_is_trained_with_the_backend():
    learner = trainee()
    before = learner.loss.weight.detach().clone()

    learner.update(next(batches(0, 1)))

    assert not torch.equal(learner.loss.weight, before)


def test_a_loss_that_is_not_finite_says_what_to_do():
    learner = trainee()
    with torch.no_grad():
        learner.backend.project.weight.fill_(math.inf)

    with pytest.raises(ValueError, match=r"at step 0; lower train\.learning_rate"):
        learner.update(next(batches(0, 1)))


def test_the_best_validation_is_kept_and_of_equals_the_later():
    learner = trainee()
    kept = []
    for number, eer in enumerate([0.5, 0.2, 0.2, 0.3]):
        with torch.no_grad():
            learner.backend.head[1].bias.fill_(number)
        learner.add_validation(0.0, eer)
        kept.append(int(learner.best["head.1.bias"][0]))

    assert kept == [0, 1, 2, 2]
    assert [row["valid_eer"] for row in learner.history] == [0.5, 0.2, 0.2, 0.3]
