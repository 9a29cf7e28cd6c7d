"""Manifests that lhotse itself wrote, as a corpus."""

import gzip
import logging
import sys

import lhotse
import numpy as np
import pytest
import soundfile
from conftest import voice

from unipool.audio import read_audio
from unipool.corpora.lhotse import list_lhotse


def record(path, *, seconds=2.0, channels=1, rate=16_000):
    """Write a file and describe it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.stack([voice(c, 0, seconds=seconds, rate=rate) for c in (1, 2)], 1)
    soundfile.write(path, samples[:, :channels], rate)
    return lhotse.Recording.from_file(path)


def spoken(recording, name, start=0.0, duration=2.0, *, speaker="anna", **changes):
    return lhotse.SupervisionSegment(
        **{
            "id": name,
            "recording_id": recording.id,
            "start": start,
            "duration": duration,
            "speaker": speaker,
            **changes,
        }
    )


def write_cuts(path, *cuts):
    lhotse.CutSet.from_cuts(cuts).to_file(path)
    return path


def write_both(folder, recordings, supervisions):
    paths = {
        "recordings": folder / "recordings.jsonl.gz",
        "supervisions": folder / "supervisions.jsonl.gz",
    }
    lhotse.RecordingSet.from_recordings(recordings).to_file(paths["recordings"])
    lhotse.SupervisionSet.from_segments(supervisions).to_file(paths["supervisions"])
    return paths


def rows(corpus, *columns):
    return corpus.utterances[list(columns)].to_numpy().tolist()


@pytest.fixture
def recording(tmp_path):
    return record(tmp_path / "audio/r 1.wav")


def cut_of(recording, *supervisions, **changes):
    settings = {"id": "c1", "start": 0.0, "duration": 2.0, "channel": 0}
    return lhotse.MonoCut(
        recording=recording, supervisions=list(supervisions), **settings | changes
    )


def test_recordings_that_are_whole_utterances_have_no_times(tmp_path, recording):
    other = record(tmp_path / "audio/r2.flac", seconds=1.5)
    manifests = write_both(
        tmp_path,
        [recording, other],
        [spoken(other, "u2", 0, 1.5004, speaker="bob"), spoken(recording, "u1")],
    )

    corpus = list_lhotse(**manifests)

    origin = manifests["supervisions"]
    assert rows(corpus, "utterance", "speaker", "path", "origin") == [
        ["u2", "bob", f"{tmp_path}/audio/r2.flac", f"{origin}:1"],
        ["u1", "anna", f"{tmp_path}/audio/r 1.wav", f"{origin}:2"],
    ]
    assert set(corpus.utterances) == {"utterance", "speaker", "path", "origin"}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_each_supervision_of_a_cut_is_an_utterance(tmp_path, recording, suffix):
    cut = cut_of(
        recording,
        spoken(recording, "u1", 0.1, 0.2),
        spoken(recording, "u2", 0.45, 0.3, speaker="bob"),
        start=0.33,
        duration=1.0,
    )
    whole = cut_of(recording, spoken(recording, "u3"), id="c2")
    file = write_cuts(tmp_path / f"cuts{suffix}", cut, whole)

    corpus = list_lhotse(cuts=file)

    assert rows(corpus, "utterance", "speaker", "start", "seconds", "origin") == [
        ["u1", "anna", "0.43", "0.2", f"{file}:1"],
        ["u2", "bob", "0.78", "0.3", f"{file}:1"],
        ["u3", "anna", "", "", f"{file}:2"],
    ]


def test_what_lies_outside_of_the_cut_is_no_part_of_the_utterance(tmp_path, recording):
    cut = cut_of(
        recording, spoken(recording, "u", -0.25, 2.0), start=0.25, duration=1.0
    )

    corpus = list_lhotse(cuts=write_cuts(tmp_path / "cuts.jsonl", cut))

    assert rows(corpus, "start", "seconds") == [["0.25", "1.0"]]


def test_metadata_is_what_lhotse_knows_and_what_was_added(tmp_path, recording):
    supervisions = [
        spoken(recording, "u1", 0, 1, gender="F", language="Dutch"),
        spoken(
            recording,
            "u2",
            1,
            1,
            text="not kept",
            custom={"session": "s1", "age": 7, "words": [1, 2], "path": "not kept"},
        ),
    ]
    manifests = write_both(tmp_path, [recording], supervisions)

    corpus = list_lhotse(**manifests)

    assert rows(corpus, "gender", "language", "session", "age") == [
        ["F", "Dutch", "", ""],
        ["", "", "s1", "7"],
    ]
    assert not {"text", "words"} & set(corpus.utterances)
    assert corpus.utterances["path"].nunique() == 1


def test_relative_paths_start_at_the_root_that_is_named(tmp_path, monkeypatch):
    record(tmp_path / "audio/a.wav")
    monkeypatch.chdir(tmp_path)
    recording = lhotse.Recording.from_file("audio/a.wav")
    manifests = write_both(tmp_path, [recording], [spoken(recording, "u")])

    there = list_lhotse(**manifests, root=tmp_path / "x").utterances
    here = list_lhotse(**manifests).utterances

    assert there["path"].tolist() == [f"{tmp_path}/x/audio/a.wav"]
    assert here["path"].tolist() == ["audio/a.wav"]


def test_a_channel_that_has_a_file_of_its_own_is_that_file(tmp_path):
    left, right = (record(tmp_path / f"{side}.wav") for side in ("left", "right"))
    right.sources[0].channels = [1]
    meeting = lhotse.Recording(
        id="m",
        sources=[left.sources[0], right.sources[0]],
        sampling_rate=16_000,
        num_samples=32_000,
        duration=2.0,
        channel_ids=[0, 1],
    )
    manifests = write_both(tmp_path, [meeting], [spoken(meeting, "u", channel=1)])

    corpus = list_lhotse(**manifests)

    assert corpus.utterances["path"].tolist() == [f"{tmp_path}/right.wav"]


def test_an_utterance_in_all_channels_of_a_file_is_taken(tmp_path):
    stereo = record(tmp_path / "stereo.wav", channels=2)
    manifests = write_both(tmp_path, [stereo], [spoken(stereo, "u", channel=[1, 0])])

    assert len(list_lhotse(**manifests).utterances) == 1


def test_one_channel_of_a_file_is_refused_and_can_be_used_once_it_is_written(tmp_path):
    stereo = record(tmp_path / "stereo.wav", channels=2)
    cut = cut_of(stereo, spoken(stereo, "u", channel=1), channel=1)
    file = write_cuts(tmp_path / "cuts.jsonl", cut)

    with pytest.raises(
        ValueError, match=r"1 utterances .*save_audios.*\n.*:1: u: .*\[1\] .*\[0, 1\]$"
    ):
        list_lhotse(cuts=file)

    cuts = lhotse.CutSet.from_file(file)
    cuts.save_audios(tmp_path / "written", progress_bar=False).to_file(file)
    (path,) = list_lhotse(cuts=file).utterances["path"]

    right = soundfile.read(tmp_path / "stereo.wav", dtype="float32")[0][:, 1]
    np.testing.assert_array_equal(read_audio(tmp_path / path), right)


def test_sources_that_are_no_files_are_refused(tmp_path, recording):
    described = recording.to_dict()
    command, url = (lhotse.Recording.from_dict(dict(described)) for _ in range(2))
    command.sources[0].type, command.sources[0].source = "command", "cat a.wav"
    url.sources[0].type, url.sources[0].source = "url", "https://example.org/a.wav"
    file = write_cuts(
        tmp_path / "cuts.jsonl",
        cut_of(command, spoken(command, "u1")),
        cut_of(url, spoken(url, "u2"), id="c2"),
        cut_of(recording, spoken(recording, "u3"), id="c3"),
    )

    with pytest.raises(ValueError, match=r"^2 utterances .*save_audios") as error:
        list_lhotse(cuts=file)

    assert str(error.value).splitlines()[1:] == [
        f"  {file}:1: u1: of type command",
        f"  {file}:2: u2: of type url",
    ]


def test_audio_that_is_changed_when_loaded_is_refused_but_not_for_its_rate(
    tmp_path, recording
):
    cuts = [
        cut_of(recording, spoken(recording, "u1")).resample(22_050),
        cut_of(recording, spoken(recording, "u2"), id="c2").resample(8_000),
        cut_of(recording, spoken(recording, "u3"), id="c3").perturb_speed(1.1),
    ]
    file = write_cuts(tmp_path / "cuts.jsonl", *cuts)

    with pytest.raises(ValueError, match="changed by") as error:
        list_lhotse(cuts=file)

    assert [line.split(": ", 2)[1:] for line in str(error.value).splitlines()[1:]] == [
        ["u2", "changed by Resample when it is loaded"],
        ["u3_sp1.1", "changed by Speed when it is loaded"],
    ]


def test_mixed_cuts_are_refused_and_can_be_used_once_they_are_written(
    tmp_path, recording
):
    noise = record(tmp_path / "noise.wav")
    cut = cut_of(recording, spoken(recording, "u")).mix(noise.to_cut(), snr=10)
    padded = cut_of(recording, spoken(recording, "v"), id="c2").pad(3.0)
    cuts = lhotse.CutSet.from_cuts([cut, padded])
    cuts.to_file(tmp_path / "cuts.jsonl")

    with pytest.raises(
        ValueError, match=rf"2 utterances .*save_audios.*\n.*cut {cut.id}: mixed"
    ):
        list_lhotse(cuts=tmp_path / "cuts.jsonl")

    written = cuts.save_audios(tmp_path / "written", progress_bar=False)
    written.to_file(tmp_path / "written.jsonl")
    corpus = list_lhotse(cuts=tmp_path / "written.jsonl").utterances

    assert corpus["utterance"].tolist() == ["u", "v"]
    assert [len(read_audio(tmp_path / p)) for p in corpus["path"]] == [32_000, 48_000]


def test_features_without_recording_are_refused(tmp_path):
    features = lhotse.Features(
        type="fbank",
        num_frames=200,
        num_features=80,
        frame_shift=0.01,
        sampling_rate=16_000,
        start=0,
        duration=2,
        storage_type="lilcom_files",
        storage_path="f",
        storage_key="k",
        recording_id="r",
        channels=0,
    )
    cut = cut_of(None, features=features)

    with pytest.raises(ValueError, match=r"cut c1: features alone"):
        list_lhotse(cuts=write_cuts(tmp_path / "cuts.jsonl", cut))


def test_supervisions_without_speaker_or_recording_are_counted(tmp_path, recording):
    nobody = [spoken(recording, f"u{i}", 0, 1, speaker=None) for i in range(12)]

    with pytest.raises(
        ValueError, match=r"12 supervisions have no speaker.*first 10:\n.*:1: u0\n"
    ):
        list_lhotse(**write_both(tmp_path, [recording], nobody))

    lost = spoken(recording, "v", recording_id="r9")
    with pytest.raises(ValueError, match=r"1 supervisions .*\n.*:1: recording r9 of v"):
        list_lhotse(**write_both(tmp_path, [recording], [lost]))


def test_cuts_without_supervision_are_left_out_and_told(tmp_path, recording, caplog):
    file = write_cuts(
        tmp_path / "cuts.jsonl",
        cut_of(recording, spoken(recording, "u")),
        cut_of(recording, id="noise"),
    )

    with caplog.at_level(logging.WARNING):
        corpus = list_lhotse(cuts=file)

    assert corpus.utterances["utterance"].tolist() == ["u"]
    assert f"{file}: 1 without supervision are left out: noise" in caplog.text


def test_recordings_without_supervision_are_told(tmp_path, recording, caplog):
    other = record(tmp_path / "other.wav")

    list_lhotse(**write_both(tmp_path, [recording, other], [spoken(recording, "u")]))

    assert "1 without supervision are left out: other" in caplog.text


def test_a_manifest_without_utterances_is_an_error(tmp_path, recording):
    file = write_cuts(tmp_path / "cuts.jsonl", cut_of(recording))

    with pytest.raises(ValueError, match="no supervisions"):
        list_lhotse(cuts=file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r":2: lhotse cannot read it \(JSON"),
        ('{"id": "c", "type": "MonoCut"}\n', r":2: lhotse cannot read it \(TypeError"),
        ('{"id": "c", "type": "NewCut"}\n', r":2: lhotse cannot read it .*NewCut"),
    ],
)
def test_a_line_that_lhotse_cannot_read_is_named(tmp_path, recording, content, message):
    file = write_cuts(tmp_path / "cuts.jsonl", cut_of(recording))
    file.write_text(file.read_text() + content)

    with pytest.raises(ValueError, match=message):
        list_lhotse(cuts=file)


def test_a_damaged_archive_is_an_error(tmp_path, recording):
    cuts = [cut_of(recording, id=f"c{i}") for i in range(100)]
    file = write_cuts(tmp_path / "cuts.jsonl.gz", *cuts)
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(ValueError, match=r"cuts\.jsonl\.gz:\d+: lhotse cannot read it"):
        list_lhotse(cuts=file)

    file.write_bytes(gzip.compress(b"")[:4])
    with pytest.raises(ValueError, match=r"cuts\.jsonl\.gz:1: lhotse cannot read it"):
        list_lhotse(cuts=file)


def test_another_manifest_than_the_named_one_is_an_error(tmp_path, recording):
    manifests = write_both(tmp_path, [recording], [spoken(recording, "u")])

    with pytest.raises(ValueError, match=r":1: Recording, needed is MonoCut or"):
        list_lhotse(cuts=manifests["recordings"])


def test_only_line_by_line_manifests_are_read(tmp_path, recording):
    file = tmp_path / "recordings.json"
    lhotse.RecordingSet.from_recordings([recording]).to_file(file)

    with pytest.raises(ValueError, match=r"not \.jsonl or .*`lhotse copy`"):
        list_lhotse(cuts=file)


def test_a_manifest_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such manifest"):
        list_lhotse(cuts=tmp_path / "cuts.jsonl")


@pytest.mark.parametrize("given", [(), ("recordings",), ("cuts", "supervisions")])
def test_cuts_or_both_others_are_named(tmp_path, given):
    with pytest.raises(ValueError, match="either `cuts`, or both"):
        list_lhotse(**{name: tmp_path / name for name in given})


def test_without_lhotse_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "lhotse")
    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(ValueError, match=r"pip install 'unipool\[lhotse\]'"):
        list_lhotse(cuts=tmp_path / "cuts.jsonl")
