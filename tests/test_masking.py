"""What is hidden of the states in training."""

import pytest
import torch

from unipool.masking import SpanOut, SpecAugment

LENGTHS = torch.tensor([40, 25, 3])
MASK = torch.arange(40) < LENGTHS[:, None]


def numbered():
    """Make states that say which frame they are of; NaN in the padding."""
    frames = torch.arange(1.0, 41.0)[None, None, :, None].expand(3, 2, 40, 5)
    return frames.masked_fill(~MASK[:, None, :, None], torch.nan)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_spans_of_frames_are_taken_out_and_the_rest_moves_up():
    states, mask = SpanOut(probability=1.0, start=0.1, frames=3)(numbered(), MASK)

    assert states.shape[2] == mask.shape[1] == mask.sum(dim=1).max()
    for one, real, length in zip(states, mask, LENGTHS.tolist(), strict=True):
        kept = one[:, real][0, :, 0].tolist()
        assert kept == sorted(set(kept)), "order is kept"
        assert set(kept) <= set(range(1, length + 1))
        assert real.tolist() == sorted(real.tolist(), reverse=True)
    gone = sorted(set(range(1, 41)) - set(states[0, 0, mask[0], 0].tolist()))
    assert gone
    runs = "".join("x" if t in gone else "." for t in range(1, 41)).split(".")
    assert all(len(run) >= 3 for run in runs[:-1] if run)


def test_the_share_taken_out_is_the_expected_one():
    mask = torch.ones(400, 200, dtype=torch.bool)

    _, kept = SpanOut(probability=0.3, start=0.05, frames=3)(
        torch.zeros(400, 1, 200, 1), mask
    )

    # 1 - 0.95 ** 3 of the frames, of 0.3 of the utterances.
    share = 1 - kept.sum().item() / mask.sum().item()
    assert share == pytest.approx(0.3 * (1 - 0.95**3), abs=0.008)
    assert (kept.sum(dim=1) == 200).float().mean() == pytest.approx(0.7, abs=0.07)


def test_an_utterance_that_would_vanish_stays():
    states, mask = SpanOut(probability=1.0, start=1.0, frames=1)(numbered(), MASK)

    assert torch.equal(mask, MASK)
    assert torch.equal(
        states[MASK[:, None].expand(-1, 2, -1)].isnan().any(), torch.tensor(False)
    )


def test_spec_augment_hides_spans_in_all_layers_within_the_utterance():
    hide = SpecAugment(time_masks=2, max_frames=6, channel_masks=1, max_channels=2)

    states, mask = hide(numbered(), MASK)

    assert torch.equal(mask, MASK)
    assert torch.equal(states[:, 0].nan_to_num(), states[:, 1].nan_to_num())
    hidden = (states[:, 0] == 0) & MASK[:, :, None]
    assert hidden.any()
    frames = hidden.all(dim=2).sum(dim=1)
    assert (frames <= 12).all()
    channels = (hidden | ~MASK[:, :, None]).all(dim=1).sum(dim=1)
    assert (channels[:2] <= 2).all()
    untouched = ~hidden & MASK[:, :, None]
    assert torch.equal(states[:, 0][untouched], numbered()[:, 0][untouched])


def test_spans_lie_within_their_utterance():
    hide = SpecAugment(time_masks=1, max_frames=5, channel_masks=0, max_channels=0)
    mask = (torch.arange(50) < 5).expand(2000, -1)

    states, _ = hide(torch.ones(2000, 1, 50, 1), mask)

    hidden = (states == 0).flatten(1)
    # Of 0 to 5 frames, each as often as the others.
    assert hidden.sum(dim=1).float().mean().item() == pytest.approx(2.5, abs=0.15)
    assert not hidden[:, 5:].any()


def test_spec_augment_of_nothing_changes_nothing():
    hide = SpecAugment(time_masks=0, max_frames=6, channel_masks=0, max_channels=2)

    states, _ = hide(numbered(), MASK)

    assert torch.equal(states.nan_to_num(), numbered().nan_to_num())


@pytest.mark.parametrize(
    "hide",
    [
        SpanOut(probability=1.0, start=0.3, frames=2),
        SpecAugment(time_masks=2, max_frames=6, channel_masks=1, max_channels=2),
    ],
)
def test_a_seed_hides_the_same_and_the_input_is_left_alone(hide):
    states = numbered()

    first, _ = hide(states, MASK)
    torch.manual_seed(0)
    again, _ = hide(states, MASK)

    assert torch.equal(first.nan_to_num(), again.nan_to_num())
    assert torch.equal(states.nan_to_num(), numbered().nan_to_num())
