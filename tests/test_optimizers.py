"""Updates of each optimizer, against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from unipool.optimizers import OPTIMIZERS


def updated(name, *, gradient=0.5, steps=1, **options):
    """Update a weight 1 of the backend and a weight 2 of the loss at a rate of 0.1."""
    backend, loss = (nn.Parameter(torch.tensor([value])) for value in (1.0, 2.0))
    optimizer = OPTIMIZERS[name](**options)([backend], [loss], 0.1)
    for _ in range(steps):
        for weight in (backend, loss):
            weight.grad = torch.tensor([gradient])
        optimizer.step()
    return backend.item(), loss.item()


def test_gradient_descent_has_momentum_and_two_decays():
    options = {"momentum": 0.9, "weight_decay": 0.1, "loss_weight_decay": 0.2}

    # 0.5 + 0.1 x 1 = 0.6 and 0.5 + 0.2 x 2 = 0.9
    assert updated("sgd", **options) == pytest.approx((0.94, 1.91))
    # 0.9 x 0.6 + 0.5 + 0.1 x 0.94 = 1.134
    assert updated("sgd", steps=2, **options)[0] == pytest.approx(0.94 - 0.1134)


def test_adam_begins_with_a_step_of_the_rate_whatever_decays():
    assert updated("adam") == pytest.approx((0.9, 1.9))
    assert updated("adam", weight_decay=0.3) == pytest.approx((0.9, 1.9))
    assert updated("adam", gradient=0.0) == (1, 2)
    assert updated("adam", gradient=0.0, weight_decay=0.3) == pytest.approx((0.9, 1.9))


def test_adamw_decays_apart_from_the_gradient():
    # 1 x (1 - 0.1 x 0.3) - 0.1 and 2 x (1 - 0.1 x 0.3) - 0.1
    assert updated("adamw", weight_decay=0.3) == pytest.approx((0.87, 1.84))
    assert updated("adamw", gradient=0.0) == pytest.approx((0.999, 1.998))


def test_rmsprop_is_that_of_sincnet():
    # The mean square is 0.05 x 0.25, its root 0.1118034.
    step = 0.1 * 0.5 / (0.1118034 + 1e-7)

    assert updated("rmsprop") == pytest.approx((1 - step, 2 - step))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_decays_as_the_backend_unless_told_otherwise(name):
    alike = updated(name, gradient=0.0, steps=2, weight_decay=0.3)
    apart = updated(
        name, gradient=0.0, steps=2, weight_decay=0.3, loss_weight_decay=0.0
    )

    assert alike[0] == apart[0] < 1
    assert alike[1] < 2
    assert apart[1] == 2


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *((name, "weight_decay", -1) for name in OPTIMIZERS),
        ("adam", "loss_weight_decay", -0.1),
        ("sgd", "momentum", 1),
        ("rmsprop", "alpha", 1.5),
        ("rmsprop", "eps", 0),
    ],
)
def test_an_option_without_meaning_is_named(name, option, value):
    with pytest.raises(ValueError, match=f"^{option}: is {value}, must be"):
        OPTIMIZERS[name](**{option: value})
