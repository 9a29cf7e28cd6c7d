"""From a corpus to its manifest: nothing is written unless all is well."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import voice, write_corpus

from unipool.corpora import CORPORA, Corpus
from unipool.corpora.corpus import Stated
from unipool.corpora.folder import list_folder
from unipool.manifest import read_manifest
from unipool.prepare import prepare_corpus

SPLIT = {"valid": 2, "test": 2, "seed": 0}


def prepare(folder, options=None, *, kind="folder", **changes):
    settings = {
        "split": SPLIT,
        "speakers": None,
        "check": "decode",
        "bad_audio": "error",
        "incomplete": "error",
        "min_seconds": 0.025,
        "num_workers": 2,
    }
    prepare_corpus(
        kind=kind,
        options=options or {"root": folder / "audio"},
        manifest=folder / "out" / "utterances.csv",
        excluded=folder / "out" / "excluded.csv",
        recordings=folder / "recordings.csv",
        **(settings | changes),
    )
    return read_manifest(folder / "out" / "utterances.csv")


def write(path, samples, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


def test_a_folder_becomes_a_manifest(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=2)

    manifest = prepare(tmp_path)

    assert len(manifest) == 12
    assert manifest["utterance"][0] == "spk 00/ütt 0"
    assert manifest["seconds"][:2].tolist() == [0.6, 0.7]
    speakers = manifest.groupby("split")["speaker"].nunique()
    assert speakers.to_dict() == {"train": 2, "valid": 2, "test": 2}
    assert (manifest.groupby("speaker")["split"].nunique() == 1).all()


def test_a_duration_counts_samples_at_16_khz(tmp_path):
    for speaker in "abcdef":
        for rate in (8_000, 44_100, 48_000):
            write(
                tmp_path / f"audio/{speaker}/{rate}.wav", voice(0, 0, rate=rate), rate
            )

    manifest = prepare(tmp_path)

    assert manifest["seconds"].tolist() == [1.0] * 18


def test_the_split_follows_from_the_seed_not_from_the_order(tmp_path):
    write_corpus(tmp_path / "audio", speakers=8, utterances=1)
    listed = pd.DataFrame(
        {
            "path": [str(p) for p in sorted((tmp_path / "audio").rglob("*.wav"))],
        }
    )
    listed["speaker"] = listed["path"].str.extract(r"(spk \d+)")
    splits = []
    for name, table in (("a", listed), ("b", listed[::-1])):
        (tmp_path / name).mkdir()
        table.to_csv(tmp_path / name / "c.csv", index=False)
        manifest = prepare(
            tmp_path / name, {"file": tmp_path / name / "c.csv"}, kind="csv"
        )
        splits.append(dict(zip(manifest["speaker"], manifest["split"], strict=True)))
    other = prepare(tmp_path, split=SPLIT | {"seed": 1})

    assert splits[0] == splits[1]
    assert splits[0] != dict(zip(other["speaker"], other["split"], strict=True))


def test_a_split_may_be_given_in_shares(tmp_path):
    write_corpus(tmp_path / "audio", speakers=20, utterances=1)

    manifest = prepare(tmp_path, split={"valid": 0.1, "test": 0.25, "seed": 0})

    speakers = manifest.groupby("split")["speaker"].nunique()
    assert speakers.to_dict() == {"train": 13, "valid": 2, "test": 5}


@pytest.mark.parametrize("split", [{"valid": 5, "test": 1, "seed": 0}, None])
def test_a_split_that_leaves_too_few_speakers_is_an_error(tmp_path, split):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)

    with pytest.raises(ValueError, match=r"each needs at least 2|does not say which"):
        prepare(tmp_path, split=split)

    assert not (tmp_path / "out").exists()


def table_of(tmp_path, rows):
    """Write a table and, where it names one, a real recording."""
    for row in rows:
        if row[2] != "gone.wav":
            write(tmp_path / row[2], voice(0, 0))
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "path", "split"])
    table.to_csv(tmp_path / "c.csv", index=False)
    return {"file": tmp_path / "c.csv"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("u0", "s1", "x.wav", "test"), r"c\.csv:4: utterance u0 is already at .*:2"),
        (("u2", "s1", "gone.wav", "test"), r"c\.csv:4: .*gone\.wav is not there"),
        (("u2", "s0", "x.wav", "test"), r"c\.csv:4: speaker s0 in test, above in tra"),
        (("u2", "s1", "x.wav", "dev"), r"c\.csv:4: split 'dev' is none of train, val"),
        (("", "s1", "x.wav", "test"), r"c\.csv:4: no utterance"),
        (("u2", " ", "x.wav", "test"), r"c\.csv:4: no speaker"),
    ],
)
def test_a_fault_is_told_with_its_line_and_nothing_is_written(tmp_path, row, message):
    rows = [("u0", "s0", "a.wav", "train"), ("u1", "s1", "b.wav", "test"), row]

    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, table_of(tmp_path, rows), kind="csv", split=None)

    assert not (tmp_path / "out").exists()


def test_of_many_faults_the_first_ten_are_told(tmp_path):
    rows = [(f"u{i}", "s0", "gone.wav", "train") for i in range(30)]

    with pytest.raises(ValueError, match="30 faults in the corpus") as error:
        prepare(tmp_path, table_of(tmp_path, rows), kind="csv", split=None)

    assert "the first 10" in str(error.value)
    assert str(error.value).count("gone.wav") == 10


def test_splits_of_the_corpus_and_of_the_config_are_one_too_many(tmp_path):
    rows = [("u0", "s0", "a.wav", "train"), ("u1", "s1", "b.wav", "test")]

    with pytest.raises(
        ValueError, match="has test speakers of its own; remove `test:`"
    ):
        prepare(tmp_path, table_of(tmp_path, rows), kind="csv")


BAD_AUDIO = {
    "empty": (np.zeros(0), "no samples"),
    "silent": (np.zeros(16_000), "all samples are zero"),
    "nan": (np.full(16_000, np.nan), "NaN or infinite"),
    "short": (np.full(399, 0.1), "0.0249 s, shorter than 0.025 s"),
    "unreadable": (None, "cannot be decoded"),
}


def write_bad(path, samples):
    if samples is None:
        path.write_bytes(b"no audio at all")
    else:
        write(path, samples)


@pytest.mark.parametrize("kind", BAD_AUDIO)
def test_audio_that_cannot_be_used_is_an_error(tmp_path, kind):
    samples, reason = BAD_AUDIO[kind]
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)
    write_bad(tmp_path / "audio" / "spk 03" / "bad.wav", samples)

    with pytest.raises(ValueError, match=f"spk 03/bad: .*{reason}"):
        prepare(tmp_path)

    assert not (tmp_path / "out").exists()


def test_or_it_is_left_out_and_listed(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)
    for kind, (samples, _) in BAD_AUDIO.items():
        write_bad(tmp_path / "audio" / "spk 03" / f"{kind}.wav", samples)

    manifest = prepare(tmp_path, bad_audio="exclude")

    excluded = pd.read_csv(tmp_path / "out" / "excluded.csv")
    assert len(manifest) == 6
    assert excluded["utterance"].tolist() == [f"spk 03/{k}" for k in sorted(BAD_AUDIO)]
    for kind, reason in zip(sorted(BAD_AUDIO), excluded["reason"], strict=True):
        assert BAD_AUDIO[kind][1] in reason


def test_one_frame_of_audio_is_enough(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)
    write(tmp_path / "audio" / "spk 03" / "blip.wav", np.full(400, 0.1))

    assert "spk 03/blip" in set(prepare(tmp_path)["utterance"])


def test_headers_tell_the_same_durations(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=2)
    write(tmp_path / "audio" / "spk 03" / "x.wav", voice(0, 0, rate=44_100), 44_100)

    decoded = prepare(tmp_path)
    (tmp_path / "recordings.csv").unlink()
    read = prepare(tmp_path, check="headers")

    pd.testing.assert_frame_equal(read, decoded)


def segments(tmp_path, rows):
    """Write a recording of 3 s of each of six speakers, and a table of segments."""
    for speaker in range(6):
        write(tmp_path / f"{speaker}.wav", voice(speaker, 0, seconds=3.0))
    whole = [(f"{s}-all", str(s), f"{s}.wav", "", "") for s in range(6)]
    names = ["utterance", "speaker", "path", "start", "seconds"]
    table = pd.DataFrame([*rows, *whole], columns=names)
    table.to_csv(tmp_path / "c.csv", index=False)
    return {"file": tmp_path / "c.csv"}


def test_an_utterance_may_be_a_segment_of_its_recording(tmp_path):
    rows = [
        ("a", "0", "0.wav", "0.5", "1.25"),
        ("b", "0", "0.wav", "2", ""),
        ("c", "0", "0.wav", "2.5", "0.6"),
    ]

    manifest = prepare(tmp_path, segments(tmp_path, rows), kind="csv")

    told = manifest.set_index("utterance")
    assert told["seconds"][["a", "b", "c", "0-all"]].tolist() == [1.25, 1.0, 0.5, 3.0]
    assert told["start"]["a"] == "0.5000000"
    assert told["stop"][["a", "c"]].tolist() == ["1.7500000", "3.0000000"]


@pytest.mark.parametrize(
    ("start", "seconds"), [("2", "1.6"), ("3", ""), ("-1", "2"), ("1", "0"), ("x", "1")]
)
def test_a_segment_beyond_its_recording_is_an_error(tmp_path, start, seconds):
    options = segments(tmp_path, [("a", "0", "0.wav", start, seconds)])

    with pytest.raises(ValueError, match=r"c\.csv:2: utterance a: .*not within its 3"):
        prepare(tmp_path, options, kind="csv")


def test_a_speaker_with_little_is_left_out_and_listed(tmp_path):
    write_corpus(tmp_path / "audio", speakers=8, utterances=4)
    for name in ("ütt 1", "ütt 2", "ütt 3"):
        (tmp_path / "audio" / "spk 02" / f"{name}.wav").unlink()
    long = voice(5, 0, seconds=9.0)
    write(tmp_path / "audio" / "spk 05" / "long.wav", long)

    few = prepare(tmp_path, split=SPLIT | {"min_utterances": 2})
    excluded = pd.read_csv(tmp_path / "out" / "excluded.csv")
    short = prepare(
        tmp_path, split={"seed": 0, "min_seconds": 9.0, "min_utterances": 1}
    )

    assert set(few["speaker"]) == {f"spk {s:02d}" for s in (0, 1, 3, 4, 5, 6, 7)}
    assert excluded["reason"].tolist() == ["its speaker has 1 utterances, fewer than 2"]
    assert set(short["speaker"]) == {"spk 05"}


def stated_corpus(folder, *, missing=()):
    """Give a kind of corpus whose makers state what they made."""
    stated = (
        Stated("clean", speakers=6, utterances=13, hours=0.01),
        Stated(hours=0.002),
    )

    def kind(*, root):
        rows = list_folder(root=root).utterances.assign(subset="clean")
        return Corpus(rows, stated, missing)

    write_corpus(folder / "audio", speakers=6, utterances=2)
    return kind


def test_less_than_the_makers_state_is_an_error(tmp_path, monkeypatch):
    kind = stated_corpus(tmp_path, missing=("no folder noisy",))
    monkeypatch.setitem(CORPORA, "stated", kind)

    with pytest.raises(ValueError, match="incomplete: allow") as error:
        prepare(tmp_path, kind="stated")

    told = str(error.value).splitlines()[1:]
    assert told == [
        "  no folder noisy",
        "  clean: 12 of 13 utterances",
        "  clean: 0.0 of 0.01 hours",
    ]
    assert not (tmp_path / "out").exists()


def test_or_what_is_there_is_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(CORPORA, "stated", stated_corpus(tmp_path))

    manifest = prepare(tmp_path, kind="stated", incomplete="allow")

    assert len(manifest) == 12
    assert "clean: 12 of 13 utterances" in caplog.text


def test_copies_of_a_recording_are_told(tmp_path, caplog):
    write_corpus(tmp_path / "audio", speakers=6, utterances=2)
    one = tmp_path / "audio" / "spk 01" / "ütt 0.wav"
    (tmp_path / "audio" / "spk 01" / "again.wav").write_bytes(one.read_bytes())
    (tmp_path / "audio" / "spk 02" / "link.wav").symlink_to(one)

    prepare(tmp_path)

    assert "1 utterances of one speaker are the audio of another" in caplog.text
    assert "spk 01/ütt 0 = spk 01/again" in caplog.text
    assert "1 utterances of two speakers are the audio of another" in caplog.text


def test_one_file_or_segment_under_two_ids_is_told(tmp_path, caplog):
    rows = [
        ("a", "0", "0.wav", "0.5", "1"),
        ("b", "0", "0.wav", "0.5", "1"),
        ("c", "0", "0.wav", "0.6", "1"),
        ("again", "1", "0.wav", "", ""),
    ]

    manifest = prepare(tmp_path, segments(tmp_path, rows), kind="csv")

    assert (
        "1 utterances of one speaker are the audio of another, for example b = a"
        in (caplog.text)
    )
    assert "1 utterances of two speakers" in caplog.text
    assert "0-all = again" in caplog.text
    told = manifest.set_index("utterance")["session"]
    assert told["a"] == told["c"] != told["1-all"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("u2", "s0 ", "x.wav", "train"), r"c\.csv:4: speaker 's0 ' has a blank at an"),
        (
            ("Jose\u0301", "s2", "x.wav", "test"),
            "utterance 'José' is spelt in two ways",
        ),
    ],
)
def test_ids_that_only_look_alike_are_an_error(tmp_path, row, message):
    rows = [("José", "s0", "a.wav", "train"), ("u1", "s1", "b.wav", "test"), row]

    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, table_of(tmp_path, rows), kind="csv", split=None)


def test_a_file_name_that_is_not_utf8_is_an_error(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)
    name = os.fsencode(tmp_path / "audio" / "spk 01") + b"/\xe9.wav"
    Path(os.fsdecode(name)).write_bytes(b"RIFF")

    with pytest.raises(ValueError, match="the name of the file is not UTF-8"):
        prepare(tmp_path)


def test_a_link_to_itself_is_told(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)
    (tmp_path / "audio" / "spk 01" / "loop.wav").symlink_to("loop.wav")

    with pytest.raises(ValueError, match=r"loop\.wav is not there"):
        prepare(tmp_path)


def test_a_corpus_of_which_nothing_is_left_is_an_error(tmp_path):
    write_corpus(tmp_path / "audio", speakers=6, utterances=1)

    with pytest.raises(ValueError, match="nothing of the corpus can be used"):
        prepare(tmp_path, split={"seed": 0, "min_utterances": 9})


def list_of_splits(tmp_path, text):
    (tmp_path / "speakers.csv").write_text(text, "utf-8")
    return tmp_path / "speakers.csv"


def test_a_list_may_say_who_is_in_which_split(tmp_path, caplog):
    write_corpus(tmp_path / "audio", speakers=5, utterances=2)
    text = "speaker,split\nspk 00,test\nspk 01,train\nspk 03,valid\nspk 99,test\n"
    speakers = list_of_splits(tmp_path, text)

    manifest = prepare(tmp_path, split={"file": "x"}, speakers=speakers)

    split_of = dict(zip(manifest["speaker"], manifest["split"], strict=True))
    excluded = pd.read_csv(tmp_path / "out" / "excluded.csv")
    assert split_of == {"spk 00": "test", "spk 01": "train", "spk 03": "valid"}
    assert excluded["utterance"].str[:6].tolist() == [
        "spk 02",
        "spk 02",
        "spk 04",
        "spk 04",
    ]
    assert set(excluded["reason"]) == {"its speaker is not in the list of splits"}
    assert "1 of 4 speakers are not in the corpus, for example spk 99" in caplog.text


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("speaker,part\nspk 00,test\n", {}, "no column split among speaker, part"),
        ("speaker,split\nspk 00,dev\n", {}, "line 2: spk 00 'dev'"),
        ("speaker,split\na,test\na,train\n", {}, "1 lines have .* line 3: a 'train'"),
        ("speaker,split\na,test\n", {}, "none of its 1 speakers is in the corpus"),
        ("", {}, "not a UTF-8 CSV"),
        ("speaker,split\n", {"checksum": f"md5:{0:032}"}, "its checksum is md5:"),
    ],
)
def test_a_list_of_splits_that_does_not_fit_is_an_error(tmp_path, text, split, message):
    write_corpus(tmp_path / "audio", speakers=3, utterances=1)
    speakers = list_of_splits(tmp_path, text)

    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, split={"file": "x"} | split, speakers=speakers)

    assert not (tmp_path / "out").exists()
