"""The learning rate of each schedule, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from unipool.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Cyclic,
    Linear,
    OneCycle,
    TriStage,
)


def groups(schedule, *, steps, rate):
    """List what the optimizer's group says at each step."""
    optimizer = torch.optim.SGD(
        [nn.Parameter(torch.zeros(1))], lr=rate, momentum=0.9, foreach=False
    )
    scheduler = schedule(optimizer, steps)
    seen = []
    for _ in range(steps):
        seen.append(dict(optimizer.param_groups[0]))
        optimizer.step()
        scheduler.step()
    return seen


def rates(schedule, *, steps=20, rate=1.0):
    return [group["lr"] for group in groups(schedule, steps=steps, rate=rate)]


def test_one_cycle_goes_up_to_the_rate_and_down_to_almost_nothing():
    given = rates(OneCycle(warmup_fraction=0.2))

    # Up in 3 steps, (1 - cos(pi / 3)) / 2 = 1/4; down in 16, of which 4 are a quarter.
    assert given[:4] == pytest.approx([1 / 25, 0.28, 0.76, 1])
    assert given[7] == pytest.approx(4e-6 + (1 - 4e-6) * (1 + math.sqrt(0.5)) / 2)
    assert given[11] == pytest.approx((1 + 4e-6) / 2)
    assert given[19] == pytest.approx(1 / 250_000)
    assert max(given) == given[3]


def test_one_cycle_may_go_straight():
    given = rates(OneCycle(warmup_fraction=0.2, shape="straight"))

    # Up in 3 steps from 0.04, down in 16.
    assert given[:4] == pytest.approx([0.04, 0.36, 0.68, 1])
    assert given[11] == pytest.approx((1 + 4e-6) / 2)
    assert given[19] == pytest.approx(1 / 250_000)


def test_one_cycle_turns_the_momentum_the_other_way_unless_told_not_to():
    turned = groups(OneCycle(warmup_fraction=0.2), steps=20, rate=1.0)
    kept = groups(OneCycle(cycle_momentum=False), steps=20, rate=1.0)

    assert [turned[step]["momentum"] for step in (0, 1, 3, 11, 19)] == pytest.approx(
        [0.95, 0.925, 0.85, 0.9, 0.95]
    )
    assert {group["momentum"] for group in kept} == {0.9}


def test_cyclic_halves_each_cycle_and_leaves_momentum_alone():
    given = groups(Cyclic(cycles=2), steps=16, rate=1e-3)

    height = 1e-3 - 1e-8
    expected = [0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25]  # each second step
    assert [group["lr"] for group in given[::2]] == pytest.approx(
        [1e-8 + share * height for share in expected]
    )
    assert {group["momentum"] for group in given} == {0.9}


def test_cycles_need_not_be_whole_steps():
    given = rates(Cyclic(cycles=4, lowest_ratio=0), steps=10)

    # A cycle is 2.5 steps: 0, 0.4, 0.8 of the first, 0.2, 0.6 of the second.
    assert given[:5] == pytest.approx([0, 0.8, 0.4, 0.4 / 2, 0.8 / 2])
    assert given[5] == pytest.approx(0, abs=1e-12)


def test_tri_stage_rises_stays_and_decays():
    given = rates(TriStage())

    assert given[:2] == pytest.approx([0.1, 0.55])
    assert given[2:11] == [1.0] * 9
    assert given[15] == pytest.approx(math.sqrt(0.1))
    assert given[19] == pytest.approx(0.1**0.9)


def test_tri_stage_takes_other_stages():
    stages = TriStage(
        warmup_fraction=0.0, constant_fraction=0.5, first_ratio=0.3, last_ratio=0.01
    )

    assert rates(stages, steps=4) == pytest.approx([1, 1, 1, 0.1])


def test_linear_rises_and_falls_straight():
    given = rates(Linear(warmup_fraction=0.2), rate=2.0)

    assert given[:5] == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert given[12] == pytest.approx(1)
    assert given[19] == pytest.approx(2 / 16)


def test_cosine_is_that_of_lap():
    given = rates(Cosine(), rate=1e-3)

    assert given[:3] == pytest.approx([1e-5, 5.05e-4, 1e-3])
    # A third, half and two thirds of the fall: 3/4, 1/2 and 1/4 of the height.
    assert given[8] == pytest.approx(1e-5 + 9.9e-4 * 0.75)
    assert given[11] == pytest.approx(1e-5 + 9.9e-4 * 0.5)
    assert given[14] == pytest.approx(1e-5 + 9.9e-4 * 0.25)


def test_without_warm_up_the_first_rate_is_the_highest():
    assert rates(Linear(warmup_fraction=0), steps=4) == pytest.approx(
        [1, 0.75, 0.5, 0.25]
    )


def test_constant_is_constant():
    assert rates(Constant(), rate=0.3) == [0.3] * 20


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"one-cycle"}))
def test_a_training_twice_as_long_has_the_same_curve(name):
    # torch's one cycle ends at its last step, not behind it.
    short = rates(SCHEDULES[name](), steps=40)
    long = rates(SCHEDULES[name](), steps=80)

    assert long[::2] == pytest.approx(short)


@pytest.mark.parametrize("name", SCHEDULES)
def test_all_groups_of_parameters_get_the_same_rate(name):
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": [one]} for one in parameters], lr=0.1, momentum=0.9
    )
    scheduler = SCHEDULES[name]()(optimizer, 40)
    for _ in range(10):
        optimizer.step()
        scheduler.step()

    first, second = scheduler.get_last_lr()
    assert first == second


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_steps_are_allowed(name):
    SCHEDULES[name]().check(0, has_momentum=True)

    assert rates(SCHEDULES[name](), steps=0) == []


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("one-cycle", "warmup_fraction", 0),
        ("one-cycle", "warmup_fraction", 1),
        ("one-cycle", "warmup_fraction", math.nan),
        ("cyclic", "cycles", 0),
        ("cyclic", "lowest_ratio", 2),
        ("tri-stage", "warmup_fraction", -0.1),
        ("tri-stage", "constant_fraction", 0.9),
        ("tri-stage", "first_ratio", -1),
        ("tri-stage", "last_ratio", 0),
        ("linear", "warmup_fraction", 1),
        ("linear", "lowest_ratio", 1.5),
        ("cosine", "warmup_fraction", 1.5),
        ("cosine", "lowest_ratio", math.nan),
    ],
)
def test_an_option_without_meaning_is_named(name, option, value):
    with pytest.raises(ValueError, match=f"^{option}: is {value}, "):
        SCHEDULES[name](**{option: value})


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        (OneCycle(warmup_fraction=0.05), 20, "warmup_fraction: is 0.05, must make"),
        (Cyclic(cycles=4), 7, "cycles: is 4, but each needs 2 of the 7 steps"),
    ],
)
def test_too_few_steps_are_told(schedule, steps, message):
    with pytest.raises(ValueError, match=message):
        schedule.check(steps, has_momentum=True)
    schedule.check(steps + 1, has_momentum=True)
