"""Kaldi data directories: what they say, and what is wrong with them."""

import pytest

from unipool.corpora.kaldi import list_kaldi


def write(folder, **files):
    """Write files of a data directory; wav_scp is wav.scp."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        content = text if isinstance(text, bytes) else text.encode()
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def rows(corpus, *columns):
    return corpus.utterances[list(columns)].to_numpy().tolist()


def test_without_segments_a_recording_is_an_utterance(tmp_path):
    data = write(
        tmp_path / "data",
        wav_scp="u1 audio/a.wav\nu2 /x/b.flac\n",
        utt2spk="u2 bob\nu1 anna\n",
    )

    corpus = list_kaldi(folder=data)

    assert rows(corpus, "utterance", "speaker", "path", "origin") == [
        ["u1", "anna", "audio/a.wav", f"{data}/wav.scp:1"],
        ["u2", "bob", "/x/b.flac", f"{data}/wav.scp:2"],
    ]
    assert set(corpus.utterances) == {"utterance", "speaker", "path", "origin"}
    assert corpus.missing == ()


def test_relative_paths_start_at_the_root_that_is_named(tmp_path):
    data = write(
        tmp_path / "data",
        wav_scp="u1 audio/a.wav\nu2 /x/b.wav\n",
        utt2spk="u1 a\nu2 a\n",
    )

    corpus = list_kaldi(folder=data, root=tmp_path)

    assert corpus.utterances["path"].tolist() == [
        f"{tmp_path}/audio/a.wav",
        "/x/b.wav",
    ]


def test_segments_are_cut_out_of_their_recordings(tmp_path):
    data = write(
        tmp_path / "data",
        wav_scp="r1 a.wav\nr2 b.wav\n",
        segments="u1 r2 0.9 1.1\nu2 r2 1.23 -1\nu3 r1 0 3\n",
        utt2spk="u1 x\nu2 y\nu3 x\n",
    )

    corpus = list_kaldi(folder=data)

    assert rows(
        corpus, "utterance", "speaker", "path", "start", "seconds", "origin"
    ) == [
        ["u1", "x", "b.wav", "0.9", "0.2", f"{data}/segments:1"],
        ["u2", "y", "b.wav", "1.23", "", f"{data}/segments:2"],
        ["u3", "x", "a.wav", "0", "3.0", f"{data}/segments:3"],
    ]


def test_gender_is_of_the_speaker_and_session_of_the_utterance(tmp_path):
    data = write(
        tmp_path / "data",
        wav_scp="u1 a.wav\nu2 b.wav\nu3 c.wav\n",
        utt2spk="u1 anna\nu2 anna\nu3 bob\n",
        spk2gender="anna f\n",
        utt2session="u1 monday\nu2 friday\nu3 monday\n",
    )

    corpus = list_kaldi(folder=data)

    assert rows(corpus, "gender", "session") == [
        ["f", "monday"],
        ["f", "friday"],
        ["", "monday"],
    ]
    assert corpus.missing == ()


def test_blanks_line_ends_and_marks_of_other_editors_are_read(tmp_path):
    data = write(
        tmp_path / "data",
        wav_scp="\ufeffu1 \t /x/a file  two.wav \r\n\r\nu2\t/x/ü\u00a0.wav\r\n",
        utt2spk="u1\tanna\r\n  u2   bob\r\n",
    )

    corpus = list_kaldi(folder=data)

    assert rows(corpus, "utterance", "speaker", "path", "origin") == [
        ["u1", "anna", "/x/a file  two.wav", f"{data}/wav.scp:1"],
        ["u2", "bob", "/x/ü\u00a0.wav", f"{data}/wav.scp:3"],
    ]


def test_utterances_of_speakers_without_audio_are_missing(tmp_path):
    numbers = range(12)
    data = write(
        tmp_path / "data",
        wav_scp="u a.wav\n",
        utt2spk="u x\n" + "".join(f"v{i:02d} x\n" for i in numbers),
    )

    corpus = list_kaldi(folder=data)

    assert corpus.utterances["utterance"].tolist() == ["u"]
    (sentence,) = corpus.missing
    assert sentence.startswith(f"12 utterances of {data}/utt2spk have no audio")
    assert "v00, v01" in sentence
    assert sentence.endswith("v09 and 2 more")


GOOD = {
    "wav_scp": "r1 a.wav\nr2 b.wav\n",
    "segments": "u1 r1 0 1\nu2 r2 1 2\n",
    "utt2spk": "u1 x\nu2 y\n",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"wav_scp": "r1 a.wav\nr2 sph2pipe -f wav b.sph |\n"},
            r"(?s)1 recordings of .*wav-copy.*\n  .*wav\.scp:2: r2 sph2pipe",
        ),
        ({"wav_scp": "r1 -\nr2 b.wav\n"}, r"standard input.*\n.*wav\.scp:1: r1 -"),
        ({"wav_scp": "r1 a.wav\nr2 b.ark:1234\n"}, r"archives.*\n.*wav\.scp:2: r2"),
        ({"wav_scp": "r1 a.wav\nr2\n"}, r"1 lines of .*2 or more:\n.*scp:2: r2$"),
        ({"wav_scp": "r1 a.wav\nr2 b\nr1 c\n"}, r"scp:3: r1 is already at .*scp:1$"),
        ({"wav_scp": "\n"}, r"wav\.scp: no lines"),
        ({"segments": "u1 r1 0 1\nu2 r2 1 2 B\n"}, r"needed are 4:\n.*ts:2: u2 r2"),
        ({"segments": "u1 r1 0 1\nu2 r3 1 2\n"}, r"wav.scp does not.*\n.*:2: .* r3"),
        ({"segments": "u1 r1 1 1\nu2 r2 1 2\n"}, r"1 segments.*\n.*ts:1: u1 r1 1 1$"),
        ({"segments": "u1 r1 0 1\nu2 r2 -1 2\n"}, r"1 segments.*\n.*ts:2: u2 r2 -1"),
        ({"segments": "u1 r1 0 1\nu2 r2 1 -2\n"}, r"1 segments.*\n.*ts:2: u2 r2 1"),
        ({"segments": "u1 r1 0 1\nu2 r2 1 inf\n"}, r"1 segments.*\n.*ts:2: u2 r2 1"),
        ({"segments": "u1 r1 0 1\nu2 r2 x -1\n"}, r"1 segments.*\n.*ts:2: u2 r2 x"),
        ({"segments": "u1 r1 0 1\nu1 r2 1 2\n"}, r"1 ids .*u1 is already at .*ts:1"),
        ({"utt2spk": "u1 x\n"}, r"no speaker in .*utt2spk;.*\n.*segments:2: u2$"),
        ({"utt2spk": "u1 x\nu2\n"}, r"needed are 2:\n.*utt2spk:2: u2$"),
        ({"utt2spk": "u1 x\nu2 y z\n"}, r"needed are 2:\n.*utt2spk:2: u2 y z$"),
        ({"utt2spk": "u1 x\nu2 y\nu2 z\n"}, r"utt2spk:3: u2 is already at"),
        ({"utt2spk": b"u1 x\nu2 \xe4\n"}, r"utt2spk:2: not UTF-8; .*iconv"),
        ({"utt2session": "u1 s\n"}, r"no session in .*utt2session;.*\n.*ts:2: u2$"),
    ],
)
def test_a_wrong_line_is_told_with_its_place(tmp_path, changes, message):
    data = write(tmp_path / "data", **GOOD | changes)

    with pytest.raises(ValueError, match=r"(?s)" + message.removeprefix("(?s)")):
        list_kaldi(folder=data)


def test_of_many_faults_the_first_ten_are_told(tmp_path):
    lines = "".join(f"u{i:02d} cat {i}.wav |\n" for i in range(12))
    data = write(tmp_path / "data", wav_scp=lines, utt2spk="u00 x\n")

    with pytest.raises(ValueError, match=r"12 recordings .* the first 10") as error:
        list_kaldi(folder=data)

    assert str(error.value).count("\n") == 10


@pytest.mark.parametrize("absent", ["wav.scp", "utt2spk"])
def test_what_a_data_directory_needs_is_told(tmp_path, absent):
    data = write(tmp_path / "data", **GOOD)
    (data / absent).unlink()

    with pytest.raises(FileNotFoundError, match=f"{absent}: no such file"):
        list_kaldi(folder=data)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        list_kaldi(folder=tmp_path / "data")
