"""The published corpora: their layouts, and what goes wrong with them on disk."""

import os
from collections import Counter

import pandas as pd
import pytest

from unipool.corpora import CORPORA
from unipool.corpora.cnceleb import list_cnceleb
from unipool.corpora.librispeech import list_librispeech, list_mini_librispeech
from unipool.corpora.vctk import list_vctk
from unipool.corpora.voxceleb import list_voxceleb1, list_voxceleb2


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def rows(corpus, *columns):
    return corpus.utterances[list(columns)].to_numpy().tolist()


# What each kind lists at the least, to be put at any depth.
WHOLE = {
    "vctk": ["wav48/p225/p225_025.wav"],
    "librispeech": ["dev-clean/84/121123/84-121123-0000.flac"],
    "mini-librispeech": ["dev-clean-2/84/121123/84-121123-0000.flac"],
    "voxceleb1": ["wav/id10001/1zcIwhmdeo4/00001.wav"],
    "voxceleb2": ["dev/aac/id00012/21Uxsk56VDQ/00001.m4a"],
    "cnceleb": ["data/id00000/singing-01-001.flac", "dev/dev.lst"],
}


def plant(root, kind):
    touch(root, *WHOLE[kind])
    if kind == "cnceleb":
        (root / "dev/dev.lst").write_text("id00000\n")


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("above", ["", "ü b/", "down/load/"])
def test_the_root_or_the_folder_above_it_is_named(tmp_path, kind, above):
    plant(tmp_path / above / "Corpus", kind)

    corpus = CORPORA[kind](root=tmp_path / above)

    (path,) = corpus.utterances["path"]
    assert path == str(tmp_path / above / "Corpus" / WHOLE[kind][0])
    assert corpus.utterances["origin"].tolist() == [path]


@pytest.mark.parametrize("kind", WHOLE)
def test_no_folder_and_an_empty_folder_say_what_was_looked_for(tmp_path, kind):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        CORPORA[kind](root=tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no (wav48|train|dev|id).*; empty"):
        CORPORA[kind](root=tmp_path)


@pytest.mark.parametrize("kind", WHOLE)
def test_another_corpus_is_told_by_what_is_there_instead(tmp_path, kind):
    touch(tmp_path, *(f"speaker{i:02d}/a.wav" for i in range(12)))

    with pytest.raises(
        FileNotFoundError, match=r"it holds speaker00, .*speaker09 and 2 more"
    ):
        CORPORA[kind](root=tmp_path)


@pytest.mark.parametrize(
    ("kind", "deeper"),
    [
        ("vctk", "wav48"),
        ("vctk", "wav48/p225"),
        ("librispeech", "dev-clean"),
        ("mini-librispeech", "dev-clean-2"),
        ("cnceleb", "data"),
    ],
)
def test_a_root_that_is_too_deep_is_told_the_right_one(tmp_path, kind, deeper):
    plant(tmp_path, kind)

    with pytest.raises(FileNotFoundError, match=f"is {tmp_path} the root"):
        CORPORA[kind](root=tmp_path / deeper)


def test_a_speaker_of_voxceleb_is_no_root(tmp_path):
    plant(tmp_path, "voxceleb1")

    with pytest.raises(FileNotFoundError, match=r"idNNNNN/.*it holds 1zcIwhmdeo4"):
        list_voxceleb1(root=tmp_path / "wav/id10001")


def test_of_two_corpora_below_the_root_one_must_be_named(tmp_path):
    plant(tmp_path / "VCTK-Corpus", "vctk")
    touch(tmp_path, "VCTK-0.92/wav48_silence_trimmed/p225/p225_025_mic1.flac")

    with pytest.raises(ValueError, match=r"VCTK-0\.92, .*VCTK-Corpus; name one"):
        list_vctk(root=tmp_path)


# VCTK

INFO = (
    "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \r\n"
    "p225  23  F    English    Southern  England\r\n"
    "p280  25  F    Unknown    France (mic2 files unavailable)\r\n"
    "p294  33  F    American  San  Francisco \r\n"
    "p315  18  M    American   New  England (Text unavailable)\r\n"
    "p326  26  M    Australian  English  Sydney\r\n"
    "p329  23  F    American  \r\n"
    "p347  38  M    SouthAfrican  Johannesburg\r\n"
    "s5    F\r\n"
)


def vctk(speaker, numbers, mics=("mic1", "mic2")):
    return [
        f"wav48_silence_trimmed/{speaker}/{speaker}_{number:03d}_{mic}.flac"
        for number in numbers
        for mic in mics
    ]


def test_vctk_080_lists_what_is_not_read_by_all_speakers(tmp_path):
    touch(
        tmp_path,
        *(f"wav48/p225/p225_{number:03d}.wav" for number in (1, 24, 25, 366)),
        "wav48/p225/._p225_026.wav",
        "wav48/p315/p315_100.wav",
        "wav48/p376/p376_295.raw",
        "wav48/p329/p329_050.WAV",
        "wav48/p329/noise.wav",
        "txt/p225/p225_026.txt",
    )

    corpus = list_vctk(root=tmp_path)

    assert rows(corpus, "utterance", "speaker", "split") == [
        ["p225_025", "p225", "train"],
        ["p225_366", "p225", "train"],
        ["p329_050", "p329", "test"],
    ]


def test_vctk_092_lists_one_microphone_without_it_in_the_id(tmp_path):
    touch(tmp_path, *vctk("p225", (25, 26)), *vctk("p280", (25,), ("mic1",)))

    first = list_vctk(root=tmp_path)
    second = list_vctk(root=tmp_path, mic="mic2")

    assert rows(first, "utterance") == [["p225_025"], ["p225_026"], ["p280_025"]]
    assert rows(second, "utterance") == [["p225_025"], ["p225_026"]]
    assert second.utterances["path"][0].endswith("p225/p225_025_mic2.flac")


def test_a_converted_copy_of_vctk_is_taken_instead(tmp_path):
    touch(
        tmp_path,
        "wav48_silence_trimmed/p225/p225_025_mic1.flac",
        "wav48_silence_trimmed/p225/p225_025_mic1.wav",
    )

    (path,) = list_vctk(root=tmp_path).utterances["path"]

    assert path.endswith(".wav")


def test_vctk_reads_the_irregular_table_of_speakers(tmp_path):
    speakers = ("p225", "p280", "p294", "p326", "p329", "p347", "s5", "p999")
    touch(
        tmp_path, *(f for s in (*speakers, "p315") for f in vctk(s, (25,), ("mic1",)))
    )
    (tmp_path / "speaker-info.txt").write_text(INFO, "utf-8")

    corpus = list_vctk(root=tmp_path, published_split=False)

    columns = ("speaker", "age", "gender", "accent", "region")
    assert rows(corpus, *columns) == [
        ["p225", "23", "F", "English", "Southern England"],
        ["p280", "25", "F", "Unknown", "France"],
        ["p294", "33", "F", "American", "San Francisco"],
        ["p326", "26", "M", "Australian", "Sydney"],
        ["p329", "23", "F", "American", ""],
        ["p347", "38", "M", "SouthAfrican", "Johannesburg"],
        ["p999", "", "", "", ""],
        ["s5", "", "F", "", ""],
    ]
    assert "split" not in corpus.utterances
    assert corpus.stated[0].speakers == 7  # the table's but p315


def test_the_ids_of_the_old_table_of_speakers_lack_their_p(tmp_path):
    touch(tmp_path, "wav48/p225/p225_025.wav", "wav48/p226/p226_025.wav")
    (tmp_path / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION  \n225  23  F    English  Southern  England\n"
    )

    corpus = list_vctk(root=tmp_path)

    assert rows(corpus, "speaker", "age", "region") == [
        ["p225", "23", "Southern England"],
        ["p226", "", ""],
    ]


def test_bands_of_age_and_of_number_are_of_equal_width(tmp_path):
    numbers = {"p225": 1, "p294": 3, "p326": 4, "p347": 5, "s5": 2}
    for speaker, number in numbers.items():
        touch(tmp_path, *vctk(speaker, range(25, 25 + number), ("mic1",)))
    (tmp_path / "speaker-info.txt").write_text(INFO, "utf-8")

    corpus = list_vctk(root=tmp_path, published_split=False)

    # Ages 23 to 38: the edges are 28 and 33; numbers 1 to 5: the edge is 3.
    bands = corpus.utterances.drop_duplicates("speaker")
    assert bands[["speaker", "age_band", "count_band"]].to_numpy().tolist() == [
        ["p225", "23-28", "1-3"],
        ["p294", "29-33", "1-3"],
        ["p326", "23-28", "4-5"],
        ["p347", "34-38", "4-5"],
        ["s5", "", "1-3"],
    ]


def test_one_speaker_alone_has_bands_as_well(tmp_path):
    touch(tmp_path, "wav48/p225/p225_025.wav")

    corpus = list_vctk(root=tmp_path)

    assert rows(corpus, "age_band", "count_band") == [["", "1-1"]]


def test_the_published_split_of_vctk_has_72_18_and_18_speakers(tmp_path):
    numbers = [n for n in range(225, 377) if n not in (315,)]
    touch(tmp_path, *(f"wav48/p{n}/p{n}_025.wav" for n in numbers))

    corpus = list_vctk(root=tmp_path)

    speakers = corpus.utterances.drop_duplicates("speaker")
    assert Counter(speakers["split"]) == {"train": 72, "valid": 18, "test": 18}
    split_of = dict(zip(speakers["speaker"], speakers["split"], strict=True))
    assert [split_of[s] for s in ("p225", "p280", "p362")] == ["train"] * 3
    assert [split_of[s] for s in ("p263", "p326")] == ["valid"] * 2
    assert [split_of[s] for s in ("p329", "p256")] == ["test"] * 2
    assert corpus.stated[0].speakers == len(speakers) == 108


def test_vctk_tells_what_is_missing(tmp_path):
    touch(
        tmp_path,
        *vctk("p225", range(25, 211)),  # of 207 at the least 186.3
        *vctk("p226", range(25, 357)),
        *vctk("p227", range(25, 389), ("mic2",)),
        *vctk("p227", range(25, 388), ("mic1",)),
    )

    corpus = list_vctk(root=tmp_path)

    table, speakers, few, microphone = corpus.missing
    assert table.startswith(f"no {tmp_path}/speaker-info.txt")
    assert speakers.startswith("105 speakers have no utterance: p228, p229")
    assert few.endswith("fewer than 90% of their utterances: p225 (186 of 207)")
    assert microphone.endswith("other microphone, but not with mic1: p227_388")


def test_that_p280_has_no_second_microphone_is_no_fault(tmp_path):
    touch(tmp_path, *vctk("p225", range(25, 300)), *vctk("p280", (25,), ("mic1",)))
    (tmp_path / "speaker-info.txt").write_text(INFO, "utf-8")

    corpus = list_vctk(root=tmp_path, mic="mic2")

    assert corpus.stated[0].speakers == 107
    (speakers,) = corpus.missing
    assert "105 speakers" not in speakers
    assert speakers.startswith("106 speakers have no utterance: p226,")


@pytest.mark.parametrize(
    ("files", "mic", "message"),
    [
        (["wav48/p225/p225_025.wav"], "mic3", "mic is 'mic3'; it should be mic1"),
        (["wav48/p225/p225_025.wav"], "mic2", "0.80 has one microphone"),
        (
            ["wav48/p225/p225_025.wav", *vctk("p225", [25])],
            "mic1",
            "both wav48 and wav48_silence_trimmed",
        ),
        (["wav48/p225/p225_024.wav"], "mic1", r"MMM above 024; it holds p225"),
        (["wav48/p225/audio.wav"], "mic1", r"no pNNN/pNNN_MMM\.wav"),
        (["wav48/s5/s5_025.wav"], "mic1", "of the published speakers with mic1"),
    ],
)
def test_a_vctk_that_makes_no_sense_is_an_error(tmp_path, files, mic, message):
    touch(tmp_path, *files)

    with pytest.raises((ValueError, FileNotFoundError), match=message):
        list_vctk(root=tmp_path, mic=mic)


# LibriSpeech

SPEAKERS = (
    "; Some pipe(|) separated metadata\r\n"
    ";ID  |SEX| SUBSET           |MINUTES| NAME\r\n"
    "60   | M | train-clean-100  | 20.18 | |CBW|Simon\r\n"
    "84   | F | dev-clean        | 8.02  | Christie Ñowak\r\n"
    "14   | F | train-clean-360  | 25.03 | Kristin\r\n"
    "174  | M | dev-clean        | 8.04  | Peter\r\n"
    "61   | M | test-other       | 9.00  | Paul\r\n"
)


def test_the_subsets_of_librispeech_are_its_splits(tmp_path):
    touch(
        tmp_path,
        "dev-clean/84/121123/84-121123-0001.flac",
        "dev-clean/84/121123/._84-121123-0001.flac",
        "dev-clean/84/121123/84-121123.trans.txt",
        "test-other/61/70968/61-70968-0000.FLAC",
        "train-clean-100/60/121082/60-121082-0000.wav",
        "train-clean-100/60/121082/60-121082-0000.flac",
        "train-clean-100/60/cover.wav",
        "train-clean-360/14/208/14-208-0000.flac",
        "train-clean-500/14/208/14-208-0000.flac",
    )
    (tmp_path / "SPEAKERS.TXT").write_bytes(SPEAKERS.encode("latin1"))

    corpus = list_librispeech(root=tmp_path)

    columns = ("utterance", "speaker", "session", "subset", "split", "gender")
    assert rows(corpus, *columns) == [
        ["60-121082-0000", "60", "121082", "train-clean-100", "train", "M"],
        ["14-208-0000", "14", "208", "train-clean-360", "train", "F"],
        ["84-121123-0001", "84", "121123", "dev-clean", "valid", "F"],
        ["61-70968-0000", "61", "70968", "test-other", "test", "M"],
    ]
    assert corpus.utterances["path"][0].endswith("60-121082-0000.wav")
    stated = {s.subset: s for s in corpus.stated}
    assert set(stated) == set(corpus.utterances["subset"])
    assert stated["dev-clean"] == ("dev-clean", 40, 2703, 0.27)  # 16.06 min


def test_the_training_subsets_of_librispeech_are_chosen(tmp_path):
    touch(
        tmp_path / "LibriSpeech",
        "train-clean-100/60/121082/60-121082-0000.flac",
        "train-clean-360/14/208/14-208-0000.flac",
    )

    corpus = list_librispeech(root=tmp_path, train=["train-clean-360"])

    assert rows(corpus, "utterance") == [["14-208-0000"]]
    for wrong in (["train-clean-5"], "train-clean-100"):
        with pytest.raises(ValueError, match="should be a list of some of train-clean"):
            list_librispeech(root=tmp_path, train=wrong)


def test_converted_librispeech_without_folders_of_chapters_is_listed(tmp_path):
    touch(tmp_path, "dev-clean/84/84-121123-0001.wav")

    corpus = list_librispeech(root=tmp_path)

    assert rows(corpus, "utterance", "session") == [["84-121123-0001", "121123"]]


def test_librispeech_of_which_unpacking_was_broken_off_says_so(tmp_path):
    chapter = tmp_path / "dev-clean/84/121123"
    touch(chapter, *(f"84-121123-{number:04d}.flac" for number in range(5)))
    (chapter / "84-121123.trans.txt").write_text(
        "".join(f"84-121123-{number:04d} A WORD\r\n" for number in range(17))
    )
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS, "utf-8")

    corpus = list_librispeech(root=tmp_path, train=())

    folders, speakers, transcripts = corpus.missing
    assert folders.startswith("3 subsets have no folder in")
    assert folders.endswith(": dev-other, test-clean, test-other")
    assert speakers.endswith("SPEAKERS.TXT have no utterance: 174")
    assert transcripts.startswith(
        "12 utterances have a transcript but no audio: 84-121123-0005, "
    )
    assert transcripts.endswith("84-121123-0014 and 2 more")


def test_librispeech_without_speakers_txt_says_so(tmp_path):
    touch(tmp_path, "dev-clean/84/121123/84-121123-0001.flac")

    corpus = list_librispeech(root=tmp_path, train=())

    assert rows(corpus, "gender") == [[""]]
    assert any("no " in m and "SPEAKERS.TXT" in m for m in corpus.missing)


@pytest.mark.parametrize(
    "line",
    ["84 | F | dev-clean | 8.02", "84 | F | dev-clean | x | n", "a | F | d | 1 |"],
)
def test_a_broken_line_of_speakers_txt_is_told_with_its_number(tmp_path, line):
    touch(tmp_path, "dev-clean/84/121123/84-121123-0001.flac")
    (tmp_path / "SPEAKERS.TXT").write_text(f"; x\n\n{line}\n")

    with pytest.raises(ValueError, match=r"SPEAKERS\.TXT:3: .*number \| gender"):
        list_librispeech(root=tmp_path)


def test_a_folder_of_librispeech_without_its_audio_is_an_error(tmp_path):
    touch(tmp_path, "dev-clean/84/121123/84-121123.trans.txt")

    with pytest.raises(FileNotFoundError, match=r"<chapter>.*it holds 84"):
        list_librispeech(root=tmp_path)


def test_mini_librispeech_halves_its_dev_speakers_within_each_gender(tmp_path):
    genders = {"84": "F", "174": "M", "251": "F", "652": "F", "1988": "F", "777": "M"}
    touch(tmp_path, "train-clean-5/19/198/19-198-0000.flac")
    touch(tmp_path, *(f"dev-clean-2/{s}/1/{s}-1-0000.flac" for s in genders))
    (tmp_path / "SPEAKERS.TXT").write_text(
        "".join(f"{s} | {g} | dev-clean | 8.0 | x\n" for s, g in genders.items())
    )

    corpus = list_mini_librispeech(root=tmp_path)

    assert dict(rows(corpus, "speaker", "split")) == {
        "19": "train",
        **{"84": "valid", "251": "test", "652": "valid", "1988": "test"},
        **{"174": "valid", "777": "test"},
    }
    assert [(s.subset, s.utterances) for s in corpus.stated] == [
        ("train-clean-5", 1519),
        ("dev-clean-2", 1089),
    ]
    assert corpus.missing == ()


# VoxCeleb


@pytest.mark.parametrize(
    ("dev", "test"),
    [
        ("wav", "wav"),
        ("dev/wav", "test/wav"),
        ("vox1_dev_wav/wav", "vox1_test_wav/wav"),
        (".", "."),
    ],
)
def test_voxceleb1_is_found_in_every_tree(tmp_path, dev, test):
    touch(
        tmp_path,
        f"{dev}/id10001/1zcIwhmdeo4/00001.wav",
        f"{dev}/id10001/1zcIwhmdeo4/._00001.wav",
        f"{dev}/id11251/7gWzIy6yIIk/00002.WAV",
        f"{test}/id10270/5r0dWxy17C8/00001.wav",
        f"{test}/id10309/0b1inHMAr6o/00003.wav",
        "readme.txt",
    )

    corpus = list_voxceleb1(root=tmp_path)

    columns = ("utterance", "speaker", "session", "subset", "split")
    assert sorted(rows(corpus, *columns)) == [
        ["id10001/1zcIwhmdeo4/00001", "id10001", "1zcIwhmdeo4", "dev", "train"],
        ["id10270/5r0dWxy17C8/00001", "id10270", "5r0dWxy17C8", "test", "test"],
        ["id10309/0b1inHMAr6o/00003", "id10309", "0b1inHMAr6o", "test", "test"],
        ["id11251/7gWzIy6yIIk/00002", "id11251", "7gWzIy6yIIk", "dev", "train"],
    ]
    assert all(os.path.exists(path) for path in corpus.utterances["path"])  # noqa: PTH110
    assert corpus.missing == ()
    assert [s.utterances for s in corpus.stated] == [148_642, 4_874]


def test_voxceleb1_is_all_tested_with_where_voxceleb2_trains(tmp_path):
    touch(tmp_path, "wav/id10001/a/00001.wav", "wav/id10270/b/00001.wav")

    corpus = list_voxceleb1(root=tmp_path, test_only=True)

    assert rows(corpus, "subset", "split") == [["dev", "test"], ["test", "test"]]


def test_linked_folders_are_followed_and_give_no_utterance_twice(tmp_path):
    touch(tmp_path, "disk/id10001/a/00001.wav", "corpus/id10270/b/00001.wav")
    (tmp_path / "corpus/dev").symlink_to(tmp_path / "disk")
    (tmp_path / "corpus/wav").symlink_to(tmp_path / "disk")
    (tmp_path / "corpus/loop").symlink_to(tmp_path / "corpus")

    corpus = list_voxceleb1(root=tmp_path / "corpus")

    assert rows(corpus, "utterance") == [["id10001/a/00001"], ["id10270/b/00001"]]


@pytest.mark.parametrize("place", ["VoxCeleb1/vox1_meta.csv", "vox1_meta.csv"])
def test_voxceleb1_reads_its_speakers_beside_or_above(tmp_path, place):
    root = tmp_path / "VoxCeleb1"
    touch(root, *(f"wav/id1000{number}/a/00001.wav" for number in (1, 2, 3)))
    (tmp_path / place).write_bytes(
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\r\n"
        "id10001\tA.J._Buckley\tm\tIreland\tdev\r\n"
        "id10003\tAdèle_H\tf\tUSA\tdev\r\n".encode("latin1")
    )

    corpus = list_voxceleb1(root=root)

    assert rows(corpus, "gender", "nationality") == [
        ["m", "Ireland"],
        ["", ""],
        ["f", "USA"],
    ]


def test_voxceleb2_reads_its_speakers_between_blanks_and_commas(tmp_path):
    touch(tmp_path, "dev/aac/id00012/a/00001.m4a", "test/aac/id00017/a/00001.m4a")
    (tmp_path / "vox2_meta.csv").write_text(
        "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
        "id00012 ,n000012 ,m ,dev\n"
        "id00017 ,n000017 ,f ,test\n"
        "id00018 ,n0000"
    )

    corpus = list_voxceleb2(root=tmp_path)

    assert rows(corpus, "speaker", "gender", "split") == [
        ["id00012", "m", "train"],
        ["id00017", "f", "test"],
    ]
    assert "nationality" not in corpus.utterances
    assert [s.speakers for s in corpus.stated] == [5_994, 118]


def test_another_table_in_the_place_of_the_speakers_is_an_error(tmp_path):
    plant(tmp_path, "voxceleb1")
    (tmp_path / "vox1_meta.csv").write_text("<html>\n404\n")

    with pytest.raises(ValueError, match=r"vox1_meta\.csv: its header is '<html>'"):
        list_voxceleb1(root=tmp_path)


def test_voxceleb_that_was_partly_converted_says_so(tmp_path):
    touch(
        tmp_path,
        *(f"dev/aac/id00012/a/0000{number}.m4a" for number in range(5)),
        *(f"dev/wav/id00012/a/0000{number}.wav" for number in range(3)),
        "dev/flac/id00012/a/00003.flac",
        "test/aac/id00017/a/00001.m4a",
    )

    corpus = list_voxceleb2(root=tmp_path)

    by_utterance = corpus.utterances.set_index("utterance")["path"]
    assert [
        by_utterance[f"id00012/a/0000{n}"].rpartition(".")[2] for n in range(5)
    ] == [*("wav", "wav", "wav", "flac", "m4a")]
    assert len(by_utterance) == 6
    # The test subset is not converted at all: that is a choice.
    (sentence,) = corpus.missing
    assert sentence.startswith("1 utterances of dev are there as m4a only")
    assert sentence.endswith("id00012/a/00004")


@pytest.mark.parametrize(
    ("kind", "name", "other"),
    [("voxceleb1", "VoxCeleb1", "VoxCeleb2"), ("voxceleb2", "VoxCeleb2", "VoxCeleb1")],
)
def test_a_folder_of_both_voxcelebs_is_an_error(tmp_path, kind, name, other):
    plant(tmp_path, "voxceleb1")
    plant(tmp_path, "voxceleb2")

    with pytest.raises(
        ValueError, match=f"1 of 2 speakers are of {other}.*{name} alone"
    ):
        CORPORA[kind](root=tmp_path)


# CN-Celeb


@pytest.fixture
def cnceleb(tmp_path):
    root = tmp_path / "CN-Celeb_flac"
    touch(
        root,
        "data/id00000/interview-01-001.flac",
        "data/id00000/._interview-01-001.flac",
        "data/id00001/live_broadcast-02-010.FLAC",
        "data/id00800/singing-01-001.flac",
        "data/id00800/vlog-02-003.flac",
        "data/id00800/vlog-02-004.flac",
        "eval/enroll/id00800-enroll.flac",
        "eval/test/id00800-singing-01-002.flac",
        "eval/test/id00801-live_broadcast-01-001.wav",
    )
    texts = {
        "dev/dev.lst": "id00000\r\nid00001\r\n",
        "eval/lists/enroll.lst": "id00800-enroll enroll/id00800-enroll.wav\n",
        "eval/lists/enroll.map": (
            "id00800-enroll id00800/singing-01-001.wav data/id00800/vlog-02-003.wav\n"
        ),
        "eval/lists/test.lst": (
            "test/id00800-singing-01-002.wav\ntest/id00801-live_broadcast-01-001.wav\n"
        ),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, newline="")
    return root


def test_cnceleb_trains_on_dev_and_tests_on_what_is_compared(cnceleb):
    corpus = list_cnceleb(root=cnceleb)

    assert rows(corpus, "utterance", "speaker", "subset", "split") == [
        ["id00000/interview-01-001", "id00000", "dev", "train"],
        ["id00001/live_broadcast-02-010", "id00001", "dev", "train"],
        ["enroll/id00800-enroll", "id00800", "enroll", "test"],
        ["id00800/singing-01-001", "id00800", "enroll.map", "test"],
        ["id00800/vlog-02-003", "id00800", "enroll.map", "test"],
        ["test/id00800-singing-01-002", "id00800", "test", "test"],
        ["test/id00801-live_broadcast-01-001", "id00801", "test", "test"],
    ]
    assert rows(corpus, "genre", "session") == [
        ["interview", "interview-01"],
        ["live_broadcast", "live_broadcast-02"],
        ["", ""],
        ["singing", "singing-01"],
        ["vlog", "vlog-02"],
        ["singing", "singing-01"],
        ["live_broadcast", "live_broadcast-01"],
    ]
    assert corpus.missing == ()
    assert [(s.subset, s.speakers, s.utterances) for s in corpus.stated] == [
        ("dev", 797, None),
        ("enroll", None, 196),
        ("test", None, 17_777),
    ]


def test_all_of_cnceleb2_trains_besides(cnceleb, tmp_path):
    touch(tmp_path, "CN-Celeb2_flac/data/id10000/vlog-01-001.flac")
    (tmp_path / "CN-Celeb2_flac/spk.lst").write_text("id10000\nid10001\n")

    corpus = list_cnceleb(root=cnceleb, second=tmp_path / "CN-Celeb2_flac")

    added = corpus.utterances[corpus.utterances["subset"] == "cnceleb2"]
    assert added[["utterance", "split"]].to_numpy().tolist() == [
        ["id10000/vlog-01-001", "train"]
    ]
    (sentence,) = corpus.missing
    assert sentence.endswith("CN-Celeb2_flac/spk.lst have no audio: id10001")
    assert corpus.stated[-1].speakers == 1_996


def test_cnceleb2_is_another_corpus(cnceleb):
    with pytest.raises(ValueError, match="3 of its speakers are in CN-Celeb1 too"):
        list_cnceleb(root=cnceleb, second=cnceleb)


def test_cnceleb_of_which_unpacking_was_broken_off_says_so(cnceleb):
    for name in (
        "data/id00001/live_broadcast-02-010.FLAC",
        "data/id00800/vlog-02-003.flac",
        "eval/test/id00801-live_broadcast-01-001.wav",
    ):
        (cnceleb / name).unlink()

    assert list_cnceleb(root=cnceleb).missing == (
        "1 speakers of dev.lst have no audio: id00001",
        "1 utterances of enroll.lst and test.lst have no audio:"
        " test/id00801-live_broadcast-01-001",
        "1 utterances of enroll.map have no audio: id00800/vlog-02-003",
    )


def test_cnceleb_without_any_audio_is_an_error(tmp_path):
    touch(tmp_path, "dev/dev.lst", "data/id00000/notes.txt")

    with pytest.raises(FileNotFoundError, match=r"eval/enroll.*it holds data, dev"):
        list_cnceleb(root=tmp_path)


def test_every_column_of_every_kind_is_text(tmp_path, cnceleb):
    for kind in WHOLE:
        plant(tmp_path / kind, kind)
    roots = {kind: tmp_path / kind for kind in WHOLE} | {"cnceleb": cnceleb}

    for kind, root in roots.items():
        table = CORPORA[kind](root=root).utterances
        assert {"utterance", "speaker", "path", "origin"} <= set(table)
        assert all(pd.api.types.is_string_dtype(table[name]) for name in table), kind
        assert not table.isna().any(axis=None), kind
