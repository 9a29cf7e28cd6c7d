"""Corpora of each kind, as they are found before anything is decoded."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from unipool.corpora.folder import list_folder
from unipool.corpora.synthetic import synthesize
from unipool.corpora.table import read_table


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def test_a_folder_holds_a_folder_for_each_speaker(tmp_path):
    touch(
        tmp_path,
        "anna/1.wav",
        "anna/session 2/ü.FLAC",
        "bob/x.m4a",
        "bob/x.txt",
        "bob/._x.m4a",
        ".trash/a.wav",
        "readme.wav",
    )

    corpus = list_folder(root=tmp_path).utterances

    assert corpus[["utterance", "speaker"]].to_numpy().tolist() == [
        ["anna/1", "anna"],
        ["anna/session 2/ü", "anna"],
        ["bob/x", "bob"],
    ]
    assert corpus["path"][1] == str(tmp_path / "anna/session 2/ü.FLAC")


def test_a_link_to_a_folder_above_is_not_followed(tmp_path):
    touch(tmp_path, "anna/1.wav", "bob/2.wav")
    (tmp_path / "anna" / "all").symlink_to(tmp_path)
    (tmp_path / "carl").symlink_to(tmp_path / "bob")

    corpus = list_folder(root=tmp_path).utterances

    assert corpus["utterance"].tolist() == ["anna/1", "bob/2", "carl/2"]


@pytest.mark.parametrize("content", [None, "a.wav", "anna/notes.txt"])
def test_a_folder_without_audio_says_what_was_looked_for(tmp_path, content):
    root = tmp_path / "corpus"
    if content:
        touch(root, content)

    with pytest.raises(FileNotFoundError, match=r"no such folder|<speaker>"):
        list_folder(root=root)


def test_a_table_may_have_splits_and_metadata(tmp_path):
    (tmp_path / "c.csv").write_text(
        "\ufeffpath,speaker,split,age\na b.wav,01,test,\n/x/y.flac,02,train,7\n",
        "utf-8",
    )

    corpus = read_table(file=tmp_path / "c.csv").utterances

    assert corpus["utterance"].tolist() == ["a b", "/x/y"]
    assert corpus["speaker"].tolist() == ["01", "02"]
    assert corpus["path"].tolist() == [str(tmp_path / "a b.wav"), "/x/y.flac"]
    assert corpus["origin"].tolist() == [
        f"{tmp_path}/c.csv:2",
        f"{tmp_path}/c.csv:3",
    ]
    assert corpus["split"].tolist() == ["test", "train"]
    assert corpus["age"].tolist() == ["", "7"]


def test_the_columns_of_a_table_may_have_other_names(tmp_path):
    (tmp_path / "c.csv").write_text("id,file,talker,speaker\nu1,a.wav,T,loud\n")

    corpus = read_table(
        file=tmp_path / "c.csv",
        root=tmp_path / "wav",
        columns={"utterance": "id", "path": "file", "speaker": "talker"},
    ).utterances

    assert corpus[["utterance", "speaker", "path"]].to_numpy().tolist() == [
        ["u1", "T", str(tmp_path / "wav" / "a.wav")]
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("path,spaeker\na,b\n", None, "no column 'speaker' .* is it 'spaeker'"),
        ("path,speaker\n", None, "no rows"),
        ("", None, r"c\.csv: not a UTF-8 CSV"),
        ("path,speaker\na,b\n", {"speaker": "who"}, "no column 'who' among path"),
        ("path,speaker\na,b\n", {"age": "path"}, "age is none of path, speaker"),
        ("path,speaker\na,b,c,d\n", None, r"c\.csv"),
        ("path,speaker\na,b\nc,d,e\n", None, r"c\.csv.*line 3"),
    ],
)
def test_a_wrong_table_is_an_error(tmp_path, text, columns, message):
    (tmp_path / "c.csv").write_text(text)

    with pytest.raises(ValueError, match=message):
        read_table(file=tmp_path / "c.csv", columns=columns)


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(file=tmp_path / "c.csv")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoken") / "audio"
    return synthesize(
        root=root, speakers=3, utterances_per_speaker=3, seed=5
    ).utterances


def digest(corpus):
    content = hashlib.sha256()
    for path in corpus["path"]:
        samples, _ = soundfile.read(path)
        content.update(samples.tobytes())
    return content.hexdigest()


def test_each_speaker_of_the_synthetic_corpus_has_a_voice(spoken):
    assert len(spoken) == 9
    voices = spoken.groupby("speaker")["voice"].unique().map(list)
    assert sorted(map(len, voices)) == [1, 1, 1]
    assert spoken["voice"].nunique() == 3


def test_each_synthetic_utterance_says_other_words_for_2_to_6_seconds(spoken):
    seconds = [soundfile.info(path).duration for path in spoken["path"]]

    assert spoken["text"].nunique() == len(spoken)
    assert min(seconds) >= 2
    assert max(seconds) <= 6
    assert {soundfile.info(path).samplerate for path in spoken["path"]} == {16_000}


def test_sessions_differ_in_gain(spoken):
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in spoken["path"]]

    assert max(peaks) < 1
    assert max(peaks) / min(peaks) > 1.5


def test_the_same_seed_speaks_the_same_samples(spoken, tmp_path):
    again = synthesize(
        root=tmp_path / "a", speakers=3, utterances_per_speaker=3, seed=5
    ).utterances
    other = synthesize(
        root=tmp_path / "b", speakers=3, utterances_per_speaker=3, seed=6
    ).utterances

    assert digest(again) == digest(spoken)
    assert digest(other) != digest(spoken)


def test_what_is_spoken_already_is_kept_and_what_lacks_is_spoken(tmp_path):
    options = {"speakers": 2, "utterances_per_speaker": 2, "seed": 0}
    root = tmp_path / "audio"
    first = synthesize(root=root, **options).utterances
    before = digest(first)
    kept = root / "s00" / "s00-000.flac"
    modified = kept.stat().st_mtime_ns
    (root / "s01" / "texts.json").unlink()
    (root / "s01" / "s01-001.flac").unlink()

    second = synthesize(root=root, **options).utterances

    assert digest(second) == before
    assert kept.stat().st_mtime_ns == modified
    pd.testing.assert_frame_equal(first, second)


def test_other_options_speak_anew(tmp_path):
    root = tmp_path / "audio"
    synthesize(root=root, speakers=2, utterances_per_speaker=1, seed=0)
    synthesize(root=root, speakers=1, utterances_per_speaker=1, seed=0)

    assert [p.name for p in root.glob("s*")] == ["s00"]


def test_somebody_elses_folder_is_not_touched(tmp_path):
    (tmp_path / "precious.wav").write_bytes(b"x")

    with pytest.raises(ValueError, match="holds something that is no synthetic corpus"):
        synthesize(root=tmp_path, speakers=1, utterances_per_speaker=1, seed=0)

    assert [p.name for p in tmp_path.iterdir()] == ["precious.wav"]


@pytest.mark.parametrize("speakers", [0, 1000])
def test_there_are_only_so_many_voices(tmp_path, speakers):
    with pytest.raises(ValueError, match=f"speakers is {speakers}; espeak-ng has"):
        synthesize(
            root=tmp_path / "a", speakers=speakers, utterances_per_speaker=1, seed=0
        )
