"""Any file a corpus may hold, as mono float32 at 16 kHz."""

import av
import numpy as np
import pytest
import soundfile

from unipool.audio import SAMPLE_RATE, count_samples, read_audio, write_flac


def tone(rate, *, frequency=440.0, seconds=0.5, channels=1):
    time = np.arange(int(rate * seconds)) / rate
    wave = 0.4 * np.sin(2 * np.pi * frequency * time)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def write_m4a(path, samples, rate):
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples.T, format="fltp", layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def peak_frequency(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * SAMPLE_RATE / len(samples)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_any_rate_becomes_16_khz(tmp_path, rate, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(rate, seconds=1.0), rate)

    samples = read_audio(path)

    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=1200)  # codecs pad
    assert peak_frequency(samples) == pytest.approx(440, abs=2)
    middle = samples[4000:12000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_16_khz_comes_through_to_the_bit(tmp_path):
    path = tmp_path / "exact.wav"
    wave = np.random.default_rng(0).uniform(-1, 1, 999).astype(np.float32)
    soundfile.write(path, wave, SAMPLE_RATE, subtype="FLOAT")

    assert np.array_equal(read_audio(path), wave)


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    left = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    soundfile.write(
        path, np.stack([left, np.zeros_like(left)], 1), SAMPLE_RATE, subtype="FLOAT"
    )

    np.testing.assert_array_equal(read_audio(path), left / 2)


def test_channels_of_opposite_sign_cancel_after_resampling_too(tmp_path):
    path = tmp_path / "stereo.wav"
    wave = tone(44_100, channels=2) * [1, -1]
    soundfile.write(path, wave, 44_100, subtype="FLOAT")

    assert np.abs(read_audio(path)).max() < 1e-6


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_m4a_is_read_through_ffmpeg(tmp_path, rate):
    path = tmp_path / "tone.m4a"
    write_m4a(path, tone(rate, seconds=1.0), rate)

    samples = read_audio(path)

    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=2400)
    assert peak_frequency(samples) == pytest.approx(440, abs=2)


def test_a_path_may_have_spaces_and_any_letters(tmp_path):
    folder = tmp_path / "Björk — 你好"
    folder.mkdir()
    for suffix in ("wav", "flac"):
        soundfile.write(folder / f"ein Satz.{suffix}", tone(16_000), 16_000)
    write_m4a(folder / "ein Satz.m4a", tone(16_000), 16_000)

    for path in folder.iterdir():
        assert len(read_audio(path)) > 7000


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_no_samples_are_an_error(tmp_path, rate):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros((0, 1)), rate)

    with pytest.raises(ValueError, match=r"empty\.wav: no samples"):
        read_audio(path)


def test_one_sample_is_audio(tmp_path):
    path = tmp_path / "one.wav"
    soundfile.write(path, np.full(1, 0.5), SAMPLE_RATE, subtype="FLOAT")

    assert read_audio(path).tolist() == [0.5]


def test_too_few_samples_to_resample_are_an_error(tmp_path):
    path = tmp_path / "one.wav"
    soundfile.write(path, np.full(1, 0.5), 48_000, subtype="FLOAT")

    with pytest.raises(ValueError, match="1 samples at 48000 Hz are none at 16 kHz"):
        read_audio(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_an_error(tmp_path, bad):
    path = tmp_path / "bad.wav"
    samples = tone(16_000)
    samples[[3, 5]] = bad
    soundfile.write(path, samples, 16_000, subtype="FLOAT")

    with pytest.raises(ValueError, match="2 of 8000 samples are NaN or infinite"):
        read_audio(path)


@pytest.mark.parametrize(
    ("suffix", "message"),
    [("flac", "cannot be decoded"), ("mp3", r"cut short: \d+ of 32000 samples")],
)
def test_a_file_cut_short_is_an_error(tmp_path, suffix, message):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).uniform(-1, 1, 32_000)
    soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ValueError, match=message):
        read_audio(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"this is a text, not audio" * 99])
def test_what_is_no_audio_is_an_error(tmp_path, content):
    path = tmp_path / "text.wav"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"text\.wav: cannot be decoded"):
        read_audio(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav: no such audio file"):
        read_audio(tmp_path / "gone.wav")


def test_flac_that_is_written_is_read_again(tmp_path):
    path = tmp_path / "new" / "a.flac"
    wave = tone(16_000)[:, 0]

    write_flac(path, wave)

    assert np.abs(read_audio(path) - wave).max() <= 2**-15
    assert [p.name for p in path.parent.iterdir()] == ["a.flac"]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_samples_are_counted_as_they_are_decoded(tmp_path, suffix, rate):
    for samples in (7, 4_001, 20_011):
        path = tmp_path / f"{samples}.{suffix}"
        wave = tone(rate, seconds=1.0)[:samples]
        if suffix == "m4a":
            write_m4a(path, wave, rate)
        else:
            soundfile.write(path, wave, rate)

        assert count_samples(path) == len(read_audio(path))


@pytest.mark.parametrize("suffix", ["flac", "mp3", "m4a"])
def test_counting_finds_a_file_that_was_cut_short(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).uniform(-1, 1, (32_000, 1)).astype(np.float32)
    if suffix == "m4a":
        write_m4a(path, noise, 16_000)
    else:
        soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    with pytest.raises(ValueError, match=r"cut short|cannot be decoded"):
        count_samples(path)


def test_counting_refuses_what_has_no_samples(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 48_000)
    (tmp_path / "text.wav").write_text("no audio")

    with pytest.raises(ValueError, match="no samples"):
        count_samples(tmp_path / "none.wav")
    with pytest.raises(ValueError, match="are none at 16 kHz"):
        count_samples(tmp_path / "one.wav")
    with pytest.raises(ValueError, match="cannot be decoded"):
        count_samples(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError, match="no such audio file"):
        count_samples(tmp_path / "gone.wav")


def test_the_end_of_m4a_is_where_the_container_says(tmp_path):
    # The codec's last frame is padded to 1024 samples.
    write_m4a(tmp_path / "x.m4a", tone(16_000, seconds=1.0)[:8_017], 16_000)

    with av.open(str(tmp_path / "x.m4a")) as container:
        stream = container.streams.audio[0]
        stated = stream.duration * stream.time_base * stream.rate
        decoded = sum(frame.samples for frame in container.decode(stream))

    assert decoded > stated
    assert len(read_audio(tmp_path / "x.m4a")) == stated
