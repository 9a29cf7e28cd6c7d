"""What a forward pass keeps, against tensors counted by hand."""

import torch
from torch import nn

from unipool.activations import kept_by


def test_what_the_gradient_needs_is_counted_once():
    values = torch.ones(2, 3, requires_grad=True)

    def forward():
        raised = values.exp()  # its gradient needs its own outcome, 24 bytes
        return (raised * raised).sum()  # both factors are that outcome again

    result, kept = kept_by(forward, besides=[])
    result.backward()

    assert kept == 24
    assert torch.allclose(values.grad, 2 * (2 * values.detach()).exp())


def test_parameters_are_there_anyway():
    layer = nn.Linear(4, 2)
    batch = torch.ones(5, 4)

    _, kept = kept_by(lambda: layer(batch).sum(), besides=[])
    _, besides_weights = kept_by(
        lambda: layer(batch).sum(), besides=[*layer.parameters()]
    )

    assert besides_weights == batch.nbytes
    assert kept in (batch.nbytes, batch.nbytes + layer.weight.nbytes)


def test_without_a_gradient_nothing_is_kept():
    layer = nn.Linear(4, 2)

    with torch.no_grad():
        _, kept = kept_by(lambda: layer(torch.ones(5, 4)).sum(), besides=[])

    assert kept == 0
