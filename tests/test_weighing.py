"""The weights that a backend gives to the layers."""

import numpy as np
import pytest
import torch
from conftest import cache_of, split_of

from unipool.backends import BACKENDS
from unipool.backends.d3net import AttentiveVAD
from unipool.backends.layer_pooling import AttendedLayers, WeightedSum
from unipool.checkpoint import write_checkpoint
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.weighing import NUM_UTTERANCES, watch_layers, weigh_layers

CPU = torch.device("cpu")
LOGITS = torch.tensor([1.0, 2.0, 3.0]).log()
SHARES = pytest.approx([1 / 6, 1 / 3, 1 / 2])


class Watched(torch.nn.Module):
    """A backend of nothing but one part that weighs layers."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, states, mask):
        assert bool(mask.all())
        return self.part(states).mean(dim=1)


def attended(num_layers=3, num_heads=1):
    torch.manual_seed(0)
    return AttendedLayers(num_layers, num_heads=num_heads, dropout=0.5, keep="max")


def weights_of(part, plane):
    with torch.inference_mode():
        return part.layer_weights(plane)


def test_a_weighted_sum_has_the_softmax_of_its_logits_in_every_frame():
    part = WeightedSum(3)
    part.layer_logits.data = LOGITS

    weights = weights_of(part, torch.randn(2, 3, 5, 4))

    assert weights.shape == (2, 3, 5)
    assert all(frame.tolist() == SHARES for frame in weights[1].T)


def test_attention_over_layers_is_the_mean_of_the_heads_scaled_to_one():
    part = attended(num_heads=2)
    with torch.no_grad():
        part.excite.zero_()
        # The bias counts twice: scores of .1, .3, .5 and .3, .5, .7.
        part.excite_bias[0] = torch.logit(torch.tensor([0.1, 0.3, 0.5])) / 2
        part.excite_bias[1] = torch.logit(torch.tensor([0.3, 0.5, 0.7])) / 2

    weights = weights_of(part, torch.randn(2, 3, 5, 4))

    assert weights[1, :, 4].tolist() == pytest.approx([0.2 / 1.2, 0.4 / 1.2, 0.6 / 1.2])


def test_attention_over_layers_follows_the_frame_alone():
    part = attended()
    plane = torch.randn(1, 3, 5, 4)

    weights = weights_of(part, plane)

    assert weights.std(dim=2).min() > 1e-3
    alone = weights_of(part, plane[:, :, 2:3])
    torch.testing.assert_close(alone[0, :, 0], weights[0, :, 2])


def test_the_mixing_of_layers_is_told_as_each_layers_share_of_all_mixtures():
    part = AttentiveVAD(4, 3)
    part.mixing_logits.data = torch.tensor(
        [[0.5, 0.25, 0.25], [1, 1, 1], [0.5, 0.25, 0.25]]
    ).log()

    weights = weights_of(part, torch.randn(1, 3, 2, 4))

    shares = [4 / 9, 2.5 / 9, 2.5 / 9]
    assert weights[0, :, 1].tolist() == pytest.approx(shares)


def test_each_utterance_counts_alike_and_its_frames_do_within_it():
    cache = cache_of([2, 7, 4])
    part = attended()

    (name, found), *others = weigh_layers(Watched(part), cache, device=CPU).items()

    each = [weights_of(part, cache.read(i).float()[None])[0] for i in range(3)]
    means = torch.stack([one.mean(dim=1) for one in each])
    assert (name, others) == ("part", [])
    np.testing.assert_allclose(found.mean, means.mean(dim=0), rtol=1e-5)
    np.testing.assert_allclose(found.std, means.std(dim=0, correction=0), rtol=1e-4)
    assert found.utterance == "u2"
    np.testing.assert_allclose(found.attention, each[2], rtol=1e-5)


def test_no_more_than_some_utterances_are_looked_at_from_first_to_last():
    count = 3 * NUM_UTTERANCES
    cache = cache_of([1] * (count - 1) + [5])
    seen = []

    class Counting(Watched):
        def forward(self, states, mask):
            seen.append(states)
            return super().forward(states, mask)

    weigh_layers(Counting(attended()), cache, device=CPU)

    assert len(seen) == NUM_UTTERANCES
    assert torch.equal(seen[0][0], cache.read(0).float())
    assert torch.equal(seen[-1][0], cache.read(count - 1).float())


def test_weights_are_those_of_evaluation_and_the_mode_is_left():
    backend = Watched(torch.nn.Sequential(torch.nn.Dropout(0.9), attended()))
    cache = cache_of([3, 3])

    once, again = (weigh_layers(backend.train(), cache, device=CPU) for _ in range(2))

    assert np.array_equal(once["part.1"].mean, again["part.1"].mean)
    assert backend.training


def test_nothing_is_watched_afterwards():
    backend = Watched(attended())
    plane, mask = torch.randn(1, 3, 2, 4), torch.ones(1, 2, dtype=torch.bool)

    with watch_layers(backend) as noted:
        backend(plane, mask)
    noted.clear()
    backend(plane, mask)

    assert noted == {}


def write_run(folder, kind, change, **options):
    """Write a run whose weights are set by hand, for the encoder of ``cached``."""
    torch.manual_seed(0)
    backend = BACKENDS[kind](3, 16, embedding_size=8, **options)
    with torch.no_grad():
        change(backend)
    info = {
        "kind": kind,
        "options": {"embedding_size": 8, **options},
        "num_layers": 3,
        "layers": [0, 1, 2],
        "hidden_size": 16,
        "loss_heads": 1,
        "backend_parameters": 1,
        "train_seconds": 2.5,
        "caches": {},
        "versions": {},
    }
    write_checkpoint(folder, backend.state_dict(), info)


def embedded(cached, folder):
    embed(
        run=folder,
        split=split_of(cached, "test"),
        embeddings=folder / "e.h5",
        device="cpu",
        num_threads=1,
        embed_batch_seconds=3,
    )
    return read_embeddings(folder / "e.h5")


def test_the_file_has_the_weights_of_the_layers(cached, tmp_path):
    def change(mhfa):
        mhfa.sum_values.layer_logits[:] = LOGITS
        mhfa.sum_keys.layer_logits[:] = LOGITS.flip(0)

    write_run(tmp_path, "mhfa", change)
    content = embedded(cached, tmp_path)

    assert content.layers == [0, 1, 2]
    assert content.layer_weights.tolist() == SHARES
    assert content.layer_weights_std.tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert all(frame.tolist() == SHARES for frame in content.layer_attention.T)
    assert content.attention_utterance in content.utterances
    keys = content.earlier_layer_weights["sum_keys"]
    assert keys[::-1].tolist() == SHARES


def test_a_backend_that_leaves_layer_zero_out_says_of_which_layers_its_weights_are(
    cached, tmp_path
):
    write_run(tmp_path, "unipool", lambda backend: None, conv_dim=4, num_blocks=2)
    content = embedded(cached, tmp_path)

    assert content.layers == [1, 2]
    assert content.layer_weights.shape == (2,)
    assert sorted(content.earlier_layer_weights) == ["blocks.0.vad", "blocks.1.vad"]


def test_a_backend_without_weights_has_none_in_the_file(cached, tmp_path):
    write_run(tmp_path, "combined", lambda backend: None, layer_pool="mean")
    content = embedded(cached, tmp_path)

    assert content.layers is content.layer_weights is content.layer_attention is None
    assert content.earlier_layer_weights is None
