"""What of the audio is encoded: whole utterances, pieces, and augmented copies."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import voice

from unipool.views import view_of

NAMES = ["a/1", "b/2", "ü 3"]
SECONDS = [2.0, 1.5, 0.2]
CROPS = {"crops": {"count": 3, "seconds": 0.5, "seed": 0}}


def rows():
    return pd.DataFrame(
        {"utterance": NAMES, "speaker": ["s", "s", "t"], "seconds": SECONDS, "x": "m"}
    )


def recording(i):
    return voice(i, 0, seconds=SECONDS[i])


def rendered(view, made, i):
    row = next(row for row in made.itertuples() if row.Index == i)
    return view.render(recording(NAMES.index(row.source)), row)


def augmented(tmp_path=None, **changes):
    options = {"copy": 1, "noise": None, "reverb": None, "speed": [1.0], "seed": 0}
    return view_of({"augmented": options | changes})


def test_the_full_view_is_the_utterances_as_they_are():
    view = view_of({})
    made = view.rows(rows())

    pd.testing.assert_frame_equal(made[list(rows())], rows())
    assert np.array_equal(rendered(view, made, 0), recording(0))


def test_crops_are_pieces_of_their_utterances():
    view = view_of(CROPS)
    made = view.rows(rows())

    assert made["utterance"].tolist() == [f"{n}#{k}" for n in NAMES for k in range(3)]
    assert made["speaker"].tolist() == 6 * ["s"] + 3 * ["t"]
    assert (made["seconds"] == 0.5).all()
    starts = set()
    for i in range(6):
        whole, piece = recording(i // 3), rendered(view, made, i)
        windows = np.lib.stride_tricks.sliding_window_view(whole, 8000)
        starts.add((i // 3, int(np.flatnonzero((windows == piece).all(axis=1))[0])))
    assert len(starts) == 6


def test_a_short_utterance_is_repeated_to_the_length_of_a_crop():
    view = view_of(CROPS)

    piece = rendered(view, view.rows(rows()), 8)

    assert np.array_equal(piece, np.tile(recording(2), 3)[:8000])


@pytest.mark.parametrize("definition", [CROPS, {"augmented": {"speed": [0.9, 1.1]}}])
def test_what_is_drawn_does_not_depend_on_the_other_rows(definition):
    if "augmented" in definition:
        view = augmented(speed=[0.9, 1.1])
    else:
        view = view_of(definition)
    made, alone = view.rows(rows()), view.rows(rows()[1:2].reset_index(drop=True))

    same = made[made["source"] == "b/2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, alone)
    first = made.index[made["source"] == "b/2"][0]
    one = view.render(recording(1), next(alone.itertuples()))
    assert np.array_equal(rendered(view, made, first), one)


def test_another_seed_draws_others():
    pieces = []
    for seed in (0, 1):
        view = view_of({"crops": {"count": 1, "seconds": 0.5, "seed": seed}})
        pieces.append(rendered(view, view.rows(rows()), 0))

    assert not np.array_equal(*pieces)


def test_another_speed_is_another_length_and_another_speaker():
    view = augmented(speed=[0.8])
    made = view.rows(rows())
    wave = rendered(view, made, 0)

    assert made["speaker"].tolist() == ["s at speed 0.8"] * 2 + ["t at speed 0.8"]
    assert made["seconds"].tolist() == [2.5, 1.875, 0.25]
    assert len(wave) == 40_000
    # Slower by 0.8 is lower by 0.8.
    peaks = [np.abs(np.fft.rfft(w)).argmax() / len(w) for w in (recording(0), wave)]
    assert peaks[1] / peaks[0] == pytest.approx(0.8, rel=0.01)


def test_speed_one_changes_nothing():
    view = augmented()
    made = view.rows(rows())

    assert made["speaker"].tolist() == rows()["speaker"].tolist()
    assert np.array_equal(rendered(view, made, 1), recording(1))


@pytest.fixture
def musan(tmp_path):
    generator = np.random.default_rng(0)
    for kind in ("noise", "music", "speech"):
        for i in range(3):
            path = tmp_path / "MUSAN ä" / kind / "free" / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            seconds = (0.3, 4)[i % 2]
            noise = generator.normal(0, 0.1, int(16_000 * seconds))
            soundfile.write(path, noise, 16_000)
    return tmp_path / "MUSAN ä"


def only(musan, kind):
    """Take one kind of noise out of the folder."""
    folder = musan.parent / f"only {kind}"
    folder.mkdir()
    (musan / kind).rename(folder / kind)
    return folder


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("noise", 0, 15), ("music", 5, 15), ("speech", 13, 20)],
)
def test_noise_is_added_at_its_level(musan, kind, least, most):
    ratios = []
    folder = only(musan, kind)
    for copy in range(1, 8):
        view = augmented(noise=str(folder), copy=copy)
        made = view.rows(rows())
        clean, noisy = recording(0), rendered(view, made, 0)
        added = noisy - clean
        ratios.append(10 * np.log10(np.mean(clean**2) / np.mean(added**2)))

    assert least - 0.1 < min(ratios) < max(ratios) < most + 0.1
    assert np.ptp(ratios) > 1


def test_reverberation_keeps_place_level_and_length(tmp_path):
    response = np.zeros(4000, np.float32)
    response[100], response[1700] = 1.0, 0.5
    path = tmp_path / "RIRS" / "simulated_rirs" / "small" / "room.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, response, 16_000, subtype="FLOAT")
    (tmp_path / "RIRS" / "pointsource_noises").mkdir()
    soundfile.write(tmp_path / "RIRS" / "pointsource_noises" / "n.wav", response, 8000)
    view = augmented(reverb=str(tmp_path / "RIRS"))
    made = view.rows(rows())

    wet, dry = rendered(view, made, 0), recording(0)

    expected = dry.copy()
    expected[1600:] += 0.5 * dry[:-1600]
    expected *= np.sqrt(np.mean(dry**2) / np.mean(expected**2))
    np.testing.assert_allclose(wet, expected, atol=1e-4)
    assert np.mean(wet**2) == pytest.approx(np.mean(dry**2), rel=1e-3)


def test_every_kind_that_is_there_is_drawn(musan, tmp_path):
    path = tmp_path / "rooms" / "room.wav"
    path.parent.mkdir()
    soundfile.write(path, voice(9, 0, seconds=0.1), 16_000)
    copies = [
        augmented(noise=str(musan), reverb=str(path.parent), copy=copy)
        for copy in range(1, 30)
    ]

    waves = [rendered(view, view.rows(rows()), 0) for view in copies]

    # Of one room there is one reverberation; all else is drawn anew for each copy.
    counts = Counter(wave.tobytes() for wave in waves)
    assert sorted(counts.values())[-2] == 1
    assert 1 < max(counts.values()) < 15
    assert all(wave.shape == (32_000,) and wave.dtype == np.float32 for wave in waves)


def test_a_folder_without_audio_is_an_error(tmp_path):
    view = augmented(noise=str(tmp_path))

    with pytest.raises(ValueError, match=r"no audio there to augment with; name"):
        rendered(view, view.rows(rows()), 0)


def test_silence_stays_silence(musan):
    view = augmented(noise=str(only(musan, "noise")))
    made = view.rows(rows())

    wave = view.render(np.zeros(32_000, np.float32), next(made.itertuples()))

    assert not wave.any()


def test_a_recording_is_read_at_any_rate(musan):
    for rate, path in zip((8000, 44_100, 48_000), musan.rglob("*.wav"), strict=False):
        stereo = np.stack(2 * [voice(1, 1, seconds=3, rate=rate)], axis=1)
        soundfile.write(path, stereo, rate)

    for copy in range(10):
        view = augmented(noise=str(musan), copy=copy)
        assert len(rendered(view, view.rows(rows()), 0)) == 32_000
