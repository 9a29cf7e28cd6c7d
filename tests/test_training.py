"""The settings of a training, and one step of it."""

import math

import numpy as np
import pytest
import torch
from conftest import cache_of

from unipool.backends import BACKENDS
from unipool.batches import CropBatch, CropSampler
from unipool.cache import HiddenStates
from unipool.checkpoint import read_state, write_state
from unipool.optimizers import OPTIMIZERS
from unipool.schedules import SCHEDULES
from unipool.trainee import Trainee
from unipool.training import Training

SETTINGS = {
    "steps": 20,
    "batch_size": 4,
    "crop_seconds": 0.2,
    "learning_rate": 1e-2,
    "gradient_clip": 5.0,
    "validate_every": 5,
    "loss": "aam-softmax",
    "loss_options": {"margin": 0.2, "scale": 30.0},
}


def parts(training):
    """Build a small backend and its loss, always the same."""
    torch.manual_seed(0)
    backend = BACKENDS["unipool"](3, 5, conv_dim=4, embedding_size=8)
    return backend, training.make_loss(8, 3)


def trainee(**changes):
    training = Training(**(SETTINGS | changes))
    backend, loss = parts(training)
    return Trainee(backend, loss, training, seed=7, device=torch.device("cpu"))


def batches(first, last, *, size=4):
    sampler = CropSampler(
        cache_of([30, 40, 25]),
        np.arange(3),
        batch_size=size,
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
        ("gradient_clip", 0),
        ("validate_every", 0),
        ("margin_ramp", 1.5),
        ("accumulate", 0),
    ],
)
def test_a_setting_without_meaning_is_named(setting, value):
    with pytest.raises(ValueError, match=f"{setting}: is {value}, must"):
        Training(**(SETTINGS | {setting: value}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"schedule_options": {"warmup_fraction": 1}},
            r"schedule_options\.warmup_fraction: is 1, must lie between",
        ),
        (
            {"schedule_options": {"warmup_fraction": 0.05}},
            r"schedule_options\.warmup_fraction: is 0\.05, .* 1 of the 20 steps",
        ),
        (
            {"schedule": "cyclic", "schedule_options": {"cycles": 11}},
            r"schedule_options\.cycles: is 11, but each needs 2 of the 20 steps",
        ),
        (
            {"optimizer_options": {"weight_decay": -1}},
            r"optimizer_options\.weight_decay: is -1, must",
        ),
        ({"optimizer": "rmsprop"}, r"schedule_options\.cycle_momentum: is true, but"),
        (
            {"optimizer": "sgd", "optimizer_options": {"momentum": 0}},
            r"schedule_options\.cycle_momentum: is true, but",
        ),
    ],
)
def test_what_does_not_fit_is_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Training(**(SETTINGS | settings))


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

    losses = [learner.update([batch]) for learner in (plain, masked, ramping)]

    assert losses[1] != losses[0]
    assert losses[2] < losses[0]  # no margin yet


def test_no_steps_are_allowed():
    assert Training(**(SETTINGS | {"steps": 0})).steps == 0


def test_training_lowers_the_loss():
    learner = trainee()

    losses = [learner.update([batch]) for batch in batches(0, 20)]

    assert learner.step == 20
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_the_learning_rate_is_the_published_cycle():
    learner = trainee()
    rates = []
    for batch in batches(0, 20):
        learner.update([batch])
        rates.append(learner.learning_rate)

    assert rates[0] == pytest.approx(1e-2 / 25)
    assert max(rates) == rates[1] == pytest.approx(1e-2)  # a tenth of the steps
    assert rates[-1] == pytest.approx(1e-2 / 25 / 1e4)


def test_the_default_is_adam_and_one_cycle_to_the_bit():
    learner = trainee()
    backend, loss = parts(learner.training)
    parameters = [*backend.parameters(), *loss.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-2, total_steps=20, pct_start=0.1
    )
    for step, batch in enumerate(batches(0, 20)):
        seeds = np.random.SeedSequence([7, 2, step])
        learner.update([batch])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        states = batch.hidden_states.to(torch.device("cpu"))
        mask = torch.ones(4, states.shape[2], dtype=torch.bool)
        optimizer.zero_grad()
        loss(backend(states, mask), batch.labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()

    for trained, expected in zip(learner.parameters, parameters, strict=True):
        assert torch.equal(trained, expected)


OPTIONS = {
    "one-cycle": {"cycle_momentum": False},  # which RMSprop does not have
    "cyclic": {"cycles": 3},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_restored_training_goes_on_to_the_bit(tmp_path, optimizer, schedule):
    settings = {
        "learning_rate": 1e-3,
        "optimizer": optimizer,
        "schedule": schedule,
        "schedule_options": OPTIONS.get(schedule, {}),
    }
    goes_on_to_the_bit(tmp_path, **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"precision": "bfloat16"}, {"optimizer": "sgd"}]
)
def test_so_it_does_with_a_momentum_that_turns_and_in_reduced_precision(
    tmp_path, settings
):
    goes_on_to_the_bit(tmp_path, **settings)


def goes_on_to_the_bit(folder, **settings):
    unbroken = trainee(**settings)
    for batch in batches(0, 8):
        unbroken.update([batch])

    broken = trainee(**settings)
    for batch in batches(0, 5):
        broken.update([batch])
    broken.add_validation(0.5)
    write_state(folder, broken.state())
    resumed = trainee(**settings)
    resumed.restore(read_state(folder))
    torch.rand(99)  # what else was random meanwhile does not matter
    for batch in batches(5, 8):
        resumed.update([batch])

    assert resumed.step == 8
    assert resumed.history == broken.history
    assert resumed.learning_rate == unbroken.learning_rate
    for trained, expected in zip(resumed.parameters, unbroken.parameters, strict=True):
        assert torch.equal(trained, expected)
    for name, weights in unbroken.backend.state_dict().items():
        assert torch.equal(resumed.backend.state_dict()[name], weights)


def test_weight_decay_reaches_backend_and_loss_as_told():
    options = {"weight_decay": 2e-5, "loss_weight_decay": 2e-4}

    backend, loss = trainee(optimizer_options=options).optimizer.param_groups

    assert (backend["weight_decay"], loss["weight_decay"]) == (2e-5, 2e-4)
    assert len(loss["params"]) == 1  # the loss's weight


def without_batch_norm(**changes):
    """Build a trainee whose crops do not see each other."""
    torch.manual_seed(0)
    training = Training(**(SETTINGS | {"optimizer": "sgd"} | changes))
    backend = BACKENDS["mhfa"](3, 5, num_heads=2, compression=4, embedding_size=8)
    loss = training.make_loss(8, 3)
    return Trainee(backend, loss, training, seed=7, device=torch.device("cpu"))


def test_accumulated_batches_are_one_large_batch():
    whole = without_batch_norm()
    pieces = without_batch_norm(accumulate=4)
    for batch in batches(0, 5, size=8):
        values = batch.hidden_states.values
        quarters = (
            CropBatch(
                HiddenStates(values[i : i + 2], None, None), batch.labels[i : i + 2]
            )
            for i in range(0, 8, 2)
        )
        assert pieces.update(quarters) == pytest.approx(whole.update([batch]))

    assert pieces.step == whole.step == 5
    for one, other in zip(pieces.parameters, whole.parameters, strict=True):
        torch.testing.assert_close(one, other)


def test_in_bfloat16_the_backend_computes_in_it_and_nothing_else():
    learner = trainee(precision="bfloat16")
    seen = []
    learner.backend.project.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    losses = [learner.update([batch]) for batch in batches(0, 20)]

    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in learner.parameters} == {torch.float32}
    assert {p.grad.dtype for p in learner.parameters} == {torch.float32}
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_the_gradient_is_clipped():
    calm, wild = trainee(), trainee(gradient_clip=1e-6)
    before = [p.detach().clone() for p in wild.parameters]
    batch = next(batches(0, 1))

    calm.update([batch])
    wild.update([batch])

    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in wild.parameters))
    assert norm == pytest.approx(1e-6, rel=1e-3)
    assert any(
        not torch.equal(b, p) for b, p in zip(before, wild.parameters, strict=True)
    )


def test_the_loss_is_trained_with_the_backend():
    learner = trainee()
    before = learner.loss.weight.detach().clone()

    learner.update([next(batches(0, 1))])

    assert not torch.equal(learner.loss.weight, before)


def test_a_loss_that_is_not_finite_says_what_to_do():
    learner = trainee()
    with torch.no_grad():
        learner.backend.project.weight.fill_(math.inf)

    with pytest.raises(ValueError, match=r"at step 0; lower train\.learning_rate"):
        learner.update([next(batches(0, 1))])


def test_the_best_validation_is_kept_and_of_equals_the_later():
    learner = trainee()
    kept = []
    for number, eer in enumerate([0.5, 0.2, 0.2, 0.3]):
        with torch.no_grad():
            learner.backend.head[1].bias.fill_(number)
        learner.add_validation(eer)
        kept.append(int(learner.best["head.1.bias"][0]))

    assert kept == [0, 1, 2, 2]
    assert [row["valid_eer"] for row in learner.history] == [0.5, 0.2, 0.2, 0.3]
