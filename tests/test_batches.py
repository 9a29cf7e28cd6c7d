"""Crops to train on, padded batches to embed."""

import numpy as np
import pytest
import torch
from conftest import cache_of
from torch import nn

from unipool.batches import CropSampler, embed_utterances, padded_batches
from unipool.cache import layout

LENGTHS = [30, 7, 100, 1, 31, 12]


@pytest.fixture(params=["float16", "int8"])
def cache(request, monkeypatch):
    monkeypatch.setattr(layout, "FRAMES_IN_CHUNK", {"float16": 4, "int8": 4})
    monkeypatch.setattr(layout, "FRAMES_IN_BLOCK", 8)
    return cache_of(LENGTHS, dtype=request.param)


def sampler(cache, *, batch_size=4, crop_frames=10, seed=0):
    labels = np.arange(len(LENGTHS))
    return CropSampler(
        cache, labels, batch_size=batch_size, crop_frames=crop_frames, seed=seed
    )


def widened(batch):
    return batch.hidden_states.to(torch.device("cpu")).half()


def states_of(cache, index):
    return cache.read(index)  # (L, T, D)


def test_a_crop_is_a_piece_of_the_utterance_of_its_label(cache):
    for step in range(5):
        batch = sampler(cache).batch(step)
        states = widened(batch)
        assert states.shape == (4, 3, 10, 5)
        for crop, label in zip(states, batch.labels, strict=True):
            whole = states_of(cache, int(label))
            length = LENGTHS[label]
            if length < 10:
                wrapped = whole[:, torch.arange(10) % length]
                assert torch.equal(crop, wrapped)
            else:
                pieces = whole.unfold(1, 10, 1).permute(1, 0, 3, 2)
                assert any(torch.equal(crop, piece) for piece in pieces)


def test_every_utterance_comes_once_an_epoch(cache):
    batches = [sampler(cache, batch_size=4).batch(step) for step in range(6)]

    labels = torch.cat([batch.labels for batch in batches])
    for epoch in labels.split(len(LENGTHS)):
        assert sorted(epoch.tolist()) == list(range(len(LENGTHS)))
    assert labels[:6].tolist() != labels[6:12].tolist()


def test_a_batch_may_be_larger_than_the_split(cache):
    batch = sampler(cache, batch_size=15).batch(0)

    assert torch.bincount(batch.labels).sort().values.tolist() == [2, 2, 2, 3, 3, 3]


def test_a_crop_may_start_anywhere(cache):
    starts = set()
    states = states_of(cache, 5)  # 12 frames: three places
    for step in range(60):
        batch = sampler(cache).batch(step)
        for crop, label in zip(widened(batch), batch.labels, strict=True):
            if label == 5:
                starts |= {s for s in range(3) if torch.equal(crop[:, 0], states[:, s])}

    assert starts == {0, 1, 2}


def test_a_batch_follows_from_seed_and_step(cache):
    first = [widened(batch) for batch in sampler(cache).batches(0, 6)]
    resumed = [widened(batch) for batch in sampler(cache).batches(2, 6)]
    alone = [widened(sampler(cache).batch(step)) for step in range(2, 6)]
    other = widened(sampler(cache, seed=1).batch(0))

    assert all(map(torch.equal, first[2:], resumed))
    assert all(map(torch.equal, alone, resumed))
    assert not torch.equal(first[0], other)


def test_no_steps_are_no_batches(cache):
    assert list(sampler(cache).batches(3, 3)) == []


def test_a_crop_is_no_longer_than_the_longest_utterance(cache):
    batch = sampler(cache, crop_frames=101).batch(0)

    assert widened(batch).shape[2] == 100


def test_a_crop_has_a_frame_at_least(cache):
    with pytest.raises(ValueError, match=r"crop_seconds is shorter .* 0\.02 s; raise"):
        sampler(cache, crop_frames=0)


@pytest.mark.parametrize("max_frames", [1, 31, 70, 10_000])
def test_padded_batches_hold_each_utterance_once(cache, max_frames):
    rows = []
    for batch in padded_batches(cache, max_frames=max_frames):
        rows += batch.rows.tolist()
        padded = widened(batch)
        assert batch.mask.shape == (len(batch.rows), padded.shape[2])
        assert len(batch.rows) == 1 or batch.mask.numel() <= max_frames
        for row, states, mask in zip(batch.rows, padded, batch.mask, strict=True):
            assert torch.equal(states[:, mask], states_of(cache, int(row)))
            assert not states[:, ~mask].any()

    assert sorted(rows) == list(range(len(LENGTHS)))


class FirstFrame(nn.Module):
    """Give the last layer's first frame and the length; add 1 in training."""

    def forward(self, hidden_states, mask):
        first = hidden_states[:, -1, 0]
        frames = mask.sum(dim=1, keepdim=True)
        return torch.cat([first, frames], dim=1) + self.training


@pytest.mark.parametrize("max_frames", [1, 70])
def test_embeddings_come_in_the_order_of_the_cache(cache, max_frames):
    backend = FirstFrame().train()

    embeddings = embed_utterances(
        backend, cache, max_frames=max_frames, device=torch.device("cpu")
    )

    assert embeddings[:, -1].tolist() == LENGTHS
    for index, embedding in enumerate(embeddings):
        first = cache.read(index)[-1, 0].float()
        assert np.allclose(embedding[:-1], first, rtol=1e-3)
    assert backend.training
