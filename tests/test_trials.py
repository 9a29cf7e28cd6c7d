"""Trial lists: written and read, made, taken over from what others published."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from unipool.trials import (
    TrialList,
    add_conditions,
    companion,
    make_trials,
    no_models,
    read_trial_list,
    read_trials,
    take_over_trials,
    write_trials,
)
from unipool.trials.matching import match_ids

# --- our own format -------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    trials = pd.DataFrame(
        {
            "gender": ["f", ""],
            "enrolment": ["01", "NA"],
            "test": ["a b", "ü"],
            "target": [1, 0],
        }
    )
    models = pd.DataFrame({"enrolment": ["NA", "NA"], "utterance": ["x,1", "007"]})

    write_trials(trials, tmp_path / "new" / "t.csv", models)

    read = read_trial_list(tmp_path / "new" / "t.csv")
    assert list(read.trials) == ["enrolment", "test", "target", "gender"]
    pd.testing.assert_frame_equal(read.trials[list(trials)], trials, check_dtype=False)
    pd.testing.assert_frame_equal(read.enrolments, models)


def test_the_companion_is_always_there_and_asked_for(tmp_path):
    trials = pd.DataFrame({"enrolment": ["a"], "test": ["b"], "target": [1]})

    write_trials(trials, tmp_path / "t.csv")

    assert companion(tmp_path / "t.csv").read_text() == "enrolment,utterance\n"
    assert read_trial_list(tmp_path / "t.csv").enrolments.empty
    companion(tmp_path / "t.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"t\.enrolments\.csv: not there"):
        read_trial_list(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enrolment,test\na,b\n", "no column target among enrolment, test"),
        ("enrolment,test,target\n", "no trials"),
        ("enrolment,test,target\na,b,1\na,c,yes\n,b,0\n", "2 rows .* in lines 3, 4"),
    ],
)
def test_a_wrong_list_is_an_error(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)

    with pytest.raises(ValueError, match=message):
        read_trials(tmp_path / "t.csv")


def test_a_wrong_companion_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("enrolment,test,target\nm,b,1\n")
    companion(tmp_path / "t.csv").write_text("enrolment,utterance\nm,a\nm,a\nm,\n")

    with pytest.raises(ValueError, match=r"2 rows .* in lines 3, 4"):
        read_trial_list(tmp_path / "t.csv")


def test_a_missing_list_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such trial list"):
        read_trials(tmp_path / "t.csv")


# --- made -----------------------------------------------------------------------------


def utterances(*sizes, **metadata):
    """Make speakers A, B, ... with so many utterances each.

    Metadata is a text with the value of each speaker, or a function of speaker and
    number of the utterance.
    """
    rows = pd.DataFrame(
        [
            {"utterance": f"{speaker}{i}", "speaker": speaker, "number": i}
            for speaker, size in zip("ABCDEFGHIJKL", sizes, strict=False)
            for i in range(size)
        ]
    )
    for name, values in metadata.items():
        value_of = values
        if isinstance(values, str):
            value_of = dict(zip("ABCDEFGHIJKL", values, strict=False)).get
            rows[name] = rows["speaker"].map(value_of)
        else:
            rows[name] = [
                value_of(s, i)
                for s, i in zip(rows["speaker"], rows["number"], strict=True)
            ]
    return rows.drop(columns="number")


def speakers_of(trials):
    return trials["enrolment"].str[0] + trials["test"].str[0]


def conditions_of(trials, rows, *names):
    listed = add_conditions(TrialList(trials, no_models()), rows, names)
    return listed.trials[["target", *(f"same_{name}" for name in names)]]


SHAPES = {
    "plain": ((5, 5, 5, 5), {}, {}),
    "one utterance": ((1, 9, 4), {}, {}),
    "gender": ((6, 5, 7, 6, 4), {"gender": "ffmmm"}, {"balance": ["gender"]}),
    "two columns": (
        (9, 9, 9, 9, 9, 9),
        {"gender": "ffffmm", "accent": "xxyyxy"},
        {"balance": ["gender", "accent"]},
    ),
    "genre": (
        (8, 8, 8, 8),
        {"genre": lambda s, i: "st"[i % 2], "session": lambda s, i: str(i // 3)},
        {"balance": ["genre"], "same_session": 0.5},
    ),
    "rounded up": ((8, 8, 8, 8), {"gender": "ffmm"}, {"balance": ["gender"]}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_pair_comes_once_and_its_target_is_right(shape, seed):
    sizes, metadata, options = SHAPES[shape]
    rounding = "up" if shape == "rounded up" else "exact"

    trials = make_trials(
        utterances(*sizes, **metadata),
        num_targets=20,
        num_nontargets=30 if "gender" in metadata else 24,
        seed=seed,
        rounding=rounding,
        **options,
    )

    pairs = {frozenset(p) for p in zip(trials.enrolment, trials.test, strict=True)}
    assert len(pairs) == len(trials)
    assert all(len(pair) == 2 for pair in pairs)
    same = trials["enrolment"].str[0] == trials["test"].str[0]
    assert (same == (trials["target"] == 1)).all()
    if rounding == "exact":
        assert same.sum() == 20
        assert (~same).sum() == (30 if "gender" in metadata else 24)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_seed_decides_and_the_order_of_rows_does_not(shape):
    sizes, metadata, options = SHAPES[shape]
    rows = utterances(*sizes, **metadata)
    made, again, other = (
        make_trials(table, num_targets=12, seed=seed, **options)
        for table, seed in (
            (rows, 3),
            (rows.sample(frac=1, random_state=0, ignore_index=True), 3),
            (rows, 4),
        )
    )

    pd.testing.assert_frame_equal(made, again)
    assert not made.equals(other)


def test_targets_are_shared_by_speakers_and_others_by_pairs_of_speakers():
    trials = make_trials(utterances(6, 6, 6, 6), num_targets=36, seed=1)

    counts = speakers_of(trials).value_counts().to_dict()
    assert counts == dict.fromkeys(("AA", "BB", "CC", "DD"), 9) | dict.fromkeys(
        ("AB", "AC", "AD", "BC", "BD", "CD"), 6
    )


def test_a_speaker_with_few_pairs_gives_all_and_others_make_up_for_it():
    # Pairs of utterances: 1 of A, 15 of B, 15 of C.
    trials = make_trials(utterances(2, 6, 6), num_targets=21, seed=0)

    of_targets = trials[trials["target"] == 1]["enrolment"].str[0].value_counts()
    assert of_targets.to_dict() == {"A": 1, "B": 10, "C": 10}


def test_all_pairs_can_be_asked_for():
    rows = utterances(3, 4, gender="fm", session=lambda s, i: str(i % 2))

    trials = make_trials(rows, num_targets=9, num_nontargets=12, seed=0)

    pairs = {frozenset(p) for p in zip(trials.enrolment, trials.test, strict=True)}
    assert pairs == {frozenset(p) for p in combinations(rows["utterance"], 2)}


def test_pairs_are_drawn_uniformly():
    # 4 speakers of one utterance each, 2 of 6 pairs: each comes in a third of lists.
    rows = pd.concat([utterances(1, 1, 1, 1), utterances(0, 0, 0, 0, 2)])
    counts = dict.fromkeys(map("".join, combinations("ABCDE", 2)), 0)

    for seed in range(600):
        trials = make_trials(rows, num_targets=1, num_nontargets=2, seed=seed)
        for pair in speakers_of(trials[trials["target"] == 0]):
            counts[pair] += 1

    # 10 pairs, 1200 draws: 120 of each, standard deviation 10.
    assert all(80 < count < 160 for count in counts.values()), counts


def test_without_a_number_there_are_as_many_non_targets_as_targets():
    trials = make_trials(utterances(6, 6, 6), num_targets=17, seed=0)

    assert trials["target"].value_counts().to_dict() == {1: 17, 0: 17}


def test_cells_are_equal_and_in_each_the_pairs_of_speakers():
    # Same gender and accent: AB; gender alone: AC, BC, DE; accent alone: AD, BD, CE;
    # neither: AE, BE, CD.
    rows = utterances(9, 9, 9, 9, 9, gender="fffmm", accent="xxyxy")

    trials = make_trials(
        rows,
        num_targets=50,
        num_nontargets=48,
        seed=0,
        balance=["gender", "accent"],
    )

    counts = speakers_of(trials[trials["target"] == 0]).value_counts().to_dict()
    assert counts == {"AB": 12} | dict.fromkeys(
        ("AC", "BC", "DE", "AD", "BD", "CE", "AE", "BE", "CD"), 4
    )


def test_rounded_up_each_speaker_and_each_pair_of_a_cell_gives_the_same():
    # 50 of 3 speakers: 17 each. 20 in each cell: 20 of AB alone, 10 of AC and BC.
    rows = utterances(9, 9, 9, gender="ffm")

    trials = make_trials(
        rows,
        num_targets=50,
        num_nontargets=39,
        seed=0,
        balance=["gender"],
        rounding="up",
    )

    assert speakers_of(trials).value_counts().to_dict() == {
        **{"AA": 17, "BB": 17, "CC": 17},
        **{"AB": 20, "AC": 10, "BC": 10},
    }


def test_rounded_up_no_pair_of_speakers_is_left_out():
    trials = make_trials(
        utterances(4, 4, 4, 4),
        num_targets=5,
        num_nontargets=4,
        seed=0,
        rounding="up",
    )

    counts = speakers_of(trials[trials["target"] == 0]).value_counts().to_dict()
    assert counts == dict.fromkeys(("AB", "AC", "AD", "BC", "BD", "CD"), 1)


def test_rounding_up_to_far_more_than_asked_for_is_an_error():
    with pytest.raises(ValueError, match=r"would make 10 non-target .* 4 are asked"):
        make_trials(
            utterances(4, 4, 4, 4, 4),
            num_targets=5,
            num_nontargets=4,
            seed=0,
            rounding="up",
        )


def test_a_cell_with_too_few_pairs_is_an_error_that_says_what_each_has():
    rows = utterances(3, 3, 3, gender="ffm")

    with pytest.raises(ValueError, match="24 non-target trials were asked") as error:
        make_trials(rows, num_targets=9, num_nontargets=24, seed=0, balance=["gender"])

    assert "same gender: 12 asked for, 9 available" in str(error.value)
    assert "different gender: 12 asked for, 18 available" in str(error.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((3, 3), "7 target trials were asked for, the split has 6 such pairs"),
        ((5,), "7 non-target trials were asked for, the split has 0 such pairs"),
    ],
)
def test_too_few_pairs_are_an_error(sizes, message):
    with pytest.raises(ValueError, match=message):
        make_trials(utterances(*sizes), num_targets=7, seed=0)


def test_values_that_vary_within_a_speaker_are_balanced_in_both_kinds():
    rows = utterances(8, 8, 8, genre=lambda s, i: "ab"[i // 4])

    trials = make_trials(
        rows, num_targets=24, num_nontargets=48, seed=0, balance=["genre"]
    )

    assert conditions_of(trials, rows, "genre").value_counts().to_dict() == {
        (1, "1"): 12,
        (1, "0"): 12,
        (0, "1"): 24,
        (0, "0"): 24,
    }
    genres = [
        "".join(sorted("ab"[int(u[1]) // 4] for u in pair))
        for pair in zip(trials.enrolment, trials.test, strict=True)
    ]
    # Same genre: each of 3 pairs of speakers in each genre, 4 of them.
    others = (trials["target"] == 0).to_numpy()
    units = speakers_of(trials)[others] + np.array(genres)[others]
    assert units[~units.str.endswith("ab")].value_counts().to_dict() == {
        pair + genre: 4 for pair in ("AB", "AC", "BC") for genre in ("aa", "bb")
    }


def test_a_cell_holds_all_pairs_but_those_of_one_speaker():
    # Different genre: A's a with B's b, and A's b with B's a; 4 pairs of utterances.
    rows = utterances(4, 4, genre=lambda s, i: "ab"[i // 2])

    trials = make_trials(
        rows, num_targets=1, num_nontargets=16, seed=0, balance=["genre"]
    )

    assert (speakers_of(trials[trials["target"] == 0]) == "AB").all()
    assert len(trials) == 17


SESSIONS = {
    "session": lambda s, i: str(
        i // 4
    )  # two sessions of four: 12 pairs the same, 16 not
}


@pytest.mark.parametrize(("share", "same"), [(0.0, 0), (0.5, 16), (1.0, 32)])
def test_a_share_of_each_speakers_targets_is_of_one_session(share, same):
    rows = utterances(8, 8, 8, 8, **SESSIONS)

    trials = make_trials(rows, num_targets=32, seed=0, same_session=share)

    targets = trials[trials["target"] == 1]
    of_one = conditions_of(targets, rows, "session")["same_session"] == "1"
    assert of_one.sum() == same
    assert (of_one.groupby(speakers_of(targets)).sum() == same // 4).all()


def test_where_sessions_do_not_suffice_the_other_kind_makes_up_for_it(caplog):
    rows = utterances(8, 8, **SESSIONS)

    trials = make_trials(rows, num_targets=40, seed=0)

    counts = conditions_of(trials, rows, "session").value_counts()
    assert (counts[1, "0"], counts[1, "1"]) == (32, 8)
    assert "8 of 40 target trials" in caplog.text


def test_sessions_may_be_left_out_of_account(caplog):
    rows = utterances(8, 8, **SESSIONS)

    looked = make_trials(rows, num_targets=56, seed=0, same_session="any")
    free = make_trials(rows[["utterance", "speaker"]], num_targets=56, seed=0)

    pd.testing.assert_frame_equal(looked, free)
    assert not caplog.text
    with pytest.raises(ValueError, match=r"same_session: 0\.5 needs metadata session"):
        make_trials(
            rows[["utterance", "speaker"]], num_targets=5, seed=0, same_session=0.5
        )


def test_sessions_and_genres_are_balanced_together():
    # Genres alternate, so both sessions have both.
    rows = utterances(8, 8, genre=lambda s, i: "ab"[i % 2], **SESSIONS)

    trials = make_trials(
        rows, num_targets=16, seed=0, balance=["genre"], same_session=0.5
    )

    of_targets = conditions_of(trials, rows, "genre", "session").query("target == 1")
    assert of_targets.value_counts().to_dict() == {
        (1, genre, session): 4 for genre in "01" for session in "01"
    }


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        (["gendre"], "no metadata gendre; it has gender, genre"),
        (["speaker"], "no metadata speaker"),
        (["genre"], "4 utterances of 2 speakers have no genre, for example A1, A3, B1"),
    ],
)
def test_what_cannot_be_balanced_is_an_error(balance, message):
    rows = utterances(4, 4, gender="fm", genre=lambda s, i: "" if i % 2 else "speech")

    with pytest.raises(ValueError, match=message):
        make_trials(rows, num_targets=2, seed=0, balance=balance)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_one_speaker_among_those_drawn_do_not_count(seed):
    # Of different genre: 6 pairs of units of two speakers, and 3 of one speaker.
    rows = utterances(4, 4, 4, genre=lambda s, i: "ab"[i // 2])

    trials = make_trials(
        rows, num_targets=1, num_nontargets=10, seed=seed, balance=["genre"]
    )

    others = trials[trials["target"] == 0]
    genres = others[["enrolment", "test"]].map(lambda u: "ab"[int(u[1]) // 2])
    different = others[genres["enrolment"] != genres["test"]]
    units = [
        frozenset((first[0], second[0])) | {first[0] + "ab"[int(first[1]) // 2]}
        for first, second in zip(different.enrolment, different.test, strict=True)
    ]
    assert len(units) == len(set(units)) == 5
    assert not speakers_of(others).isin(["AA", "BB", "CC"]).any()


def test_many_speakers_take_little_memory_and_time():
    # 18 million pairs of speakers, of which 2000 are drawn.
    rows = pd.DataFrame(
        {
            "utterance": [f"{i:05d}" for i in range(12_000)],
            "speaker": [f"s{i // 2}" for i in range(12_000)],
            "gender": ["fm"[i // 2 % 2] for i in range(12_000)],
        }
    )

    trials = make_trials(rows, num_targets=2_000, seed=0, balance=["gender"])

    counts = conditions_of(trials, rows, "gender").value_counts().to_dict()
    assert counts == {(1, "1"): 2000, (0, "1"): 1000, (0, "0"): 1000}
    assert not trials[["enrolment", "test"]].duplicated().any()


# --- conditions -----------------------------------------------------------------------


def test_a_condition_is_same_different_or_not_known():
    rows = utterances(2, 2, 2, gender=lambda s, i: {"A": "f", "B": "m"}.get(s, ""))
    models = pd.DataFrame(
        {"enrolment": ["M", "M", "X", "X"], "utterance": ["A0", "A1", "A0", "B0"]}
    )
    trials = pd.DataFrame(
        {
            "enrolment": ["A0", "A0", "A0", "C0", "M", "M", "X"],
            "test": ["A1", "B0", "C0", "C1", "A0", "B1", "A1"],
            "target": [1, 0, 0, 1, 1, 0, 0],
        }
    )

    listed = add_conditions(TrialList(trials, models), rows, ["gender"])

    assert listed.trials["same_gender"].tolist() == ["1", "0", "", "", "1", "0", ""]


def test_conditions_must_be_known_and_new():
    rows = utterances(2, gender="f")
    trials = pd.DataFrame({"enrolment": ["A0"], "test": ["A1"], "target": [1]})

    with pytest.raises(
        ValueError, match=r"conditions: .* no metadata age; it has gend"
    ):
        add_conditions(TrialList(trials, no_models()), rows, ["age"])
    with pytest.raises(ValueError, match="has a column same_gender already"):
        add_conditions(
            TrialList(trials.assign(same_gender="1"), no_models()), rows, ["gender"]
        )


# --- taken over -----------------------------------------------------------------------

OURS = pd.DataFrame(
    [(f"s{s}/u{i}", f"s{s}", "test") for s in range(3) for i in range(4)]
    + [("s9/u0", "s9", "train")],
    columns=["utterance", "speaker", "split"],
)


def take_over(tmp_path, text, *, models=None, manifest=OURS, **options):
    (tmp_path / "t.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    if models is not None:
        (tmp_path / "m.txt").write_text(models)
        options["enrolments"] = tmp_path / "m.txt"
    return take_over_trials(tmp_path / "t.txt", manifest, split="test", **options)


PUBLISHED = {
    "label first": "1 s0/u0.wav s0/u1.wav\n0 s0/u0.wav s1/u1.wav\n",
    "label last": "s0/u0 s0/u1 1\ns0/u0 s1/u1 0\n",
    "Kaldi": "s0/u0 s0/u1 target\ns0/u0 s1/u1 nontarget\n",
    "VOiCES": "x/s0/u0 x/s0/u1 tar\nx/s0/u0 x/s1/u1 imp\n",
    "tabs, BOM, CRLF, blank lines": (
        "\ufeff\r\n1\ts0/u0\ts0/u1\r\n \r\n0\ts0/u0\ts1/u1\r\n\r\n"
    ),
    "no newline at the end": "1 s0/u0 s0/u1\n0 s0/u0 s1/u1",
    "CSV": "enrolment,test,target\ns0/u0,s0/u1,1\ns0/u0,s1/u1,0\n",
    "other names": "Label,Test,Enroll\ntarget,s0/u1,s0/u0\nnontarget,s1/u1,s0/u0\n",
    "UniPool": "LABEL,SAMPLE1,SAMPLE2\n1,s0/u0.wav,s0/u1.wav\n0,s0/u0.wav,s1/u1.wav\n",
    "CSV with tabs": "enrollment\ttest\tlabel\ns0/u0\ts0/u1\t1\ns0/u0\ts1/u1\t0\n",
    "CSV with BOM": (
        "\ufeff\r\nenrol,test,target\r\n\r\n s0/u0 ,s0/u1,1\r\ns0/u0,s1/u1,0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_list_of_each_format_is_read(tmp_path, kind):
    listed = take_over(tmp_path, PUBLISHED[kind])

    assert listed.trials[["enrolment", "test", "target"]].to_numpy().tolist() == [
        ["s0/u0", "s0/u1", 1],
        ["s0/u0", "s1/u1", 0],
    ]
    assert listed.enrolments.empty


def test_conditions_of_a_published_list_are_kept(tmp_path):
    text = "LABEL,SAMPLE1,SAMPLE2,GENDER_MATCH,note\n0,s0/u0,s1/u1,1,\n"

    trials = take_over(tmp_path, text).trials

    assert trials[["GENDER_MATCH", "note"]].to_numpy().tolist() == [["1", ""]]


def test_the_label_is_found_though_ids_look_like_labels(tmp_path):
    manifest = pd.DataFrame(
        {"utterance": ["0", "1", "2"], "speaker": ["a", "a", "b"], "split": "test"}
    )

    trials = take_over(tmp_path, "0 1 1\n2 0 0\n", manifest=manifest).trials

    assert trials.to_numpy().tolist() == [["0", "1", 1], ["2", "0", 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no trials"),
        (" \n\n", "no trials"),
        ("enrolment,test,target\n", "no trials"),
        ("1 s0/u0 s0/u1\n\nyes s0/u0 s0/u1\n", r"t\.txt:3: 'yes s0/u0 s0/u1'"),
        ("1 s0/u0 s0/u1\n0 a b\ns0/u0 s1/u1 0\n", r"1 wrong lines; .* `1 enrolment te"),
        ("1 s0/u0 s0/u1\n0 s0/u0\n", r"t\.txt:2: '0 s0/u0'"),
        ("a b target\na b tar\na b target\n", r"t\.txt:2: 'a b tar'"),
        ("1 a b c\n1 a b\n1 a b c d e\n", r"2 wrong[^$]*t\.txt:3: '1 a b c d e'"),
        ('1 "a b\n1 b" a\n1 a\n', r"t\.txt:3: '1 a'"),
        ("s0/u0 s0/u1\n", "is none of `1 enrolment test`, .* or a CSV with a header"),
        ("s0/u0,s0/u1,1\n", "or a CSV with a header"),
        ("1 0 1\n0 1 0\n", "the label may be the first or the last word"),
        ("enrolment,test\na,b\n", r"needs one column target \(or label\) among enrolm"),
        ("enrol,test,target,label\na,b,1,1\n", "needs one column target"),
        ("enrol,test,target\na,b,1\n\na,b,x\na,,1\n", r"2 wrong[^$]*t\.txt:4: 'a,b,x'"),
        ("enrol,test,target\na,b,1,7\n", "as many fields in each row as in the header"),
        (b"1 \xff\xfe b\n", "not UTF-8"),
    ],
)
def test_a_list_that_is_not_of_one_format_is_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        take_over(tmp_path, text)


def test_of_many_wrong_lines_ten_are_told_and_all_counted(tmp_path):
    with pytest.raises(ValueError, match="30 wrong lines, the first 10") as error:
        take_over(tmp_path, "1 a b\n" * 40 + "a b\n" * 30)

    assert str(error.value).count("t.txt:") == 11


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        take_over_trials(tmp_path / "t.txt", OURS, split="test")


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        ("a/b.wav", "a/b.wav"),
        ("a/b.wav", "a/b"),
        ("a/b", "a/b.FLAC"),
        ("a/b.wav", "a/b.m4a"),
        ("vox1_test_wav/id1/x/1.wav", "id1/x/1"),
        ("p329/p329_050.wav", "p329_050"),
        ("1", "id1/x/1"),
        ("x/1.wav", "id1/x/1"),
        ("./a/b.wav", "a/b"),
        ("a.b", "a.b"),
        ("a.b.wav", "a.b"),
        ("c/a.b", "a.b"),
    ],
)
def test_a_listed_name_means_the_id_that_it_differs_from_in_folders_or_extension(
    listed, ours
):
    others = ["z", "z/y", "y.c"]

    assert match_ids([listed], [ours, *others]) == ({listed: ours}, [])


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        ("a/b", "c/b"),
        ("a.b", "a"),
        ("a", "a.b"),
        ("a.b", "a.c"),
        ("b", "ab"),
        ("ab", "b"),
        ("a/b", "a"),
    ],
)
def test_a_listed_name_means_no_id_that_is_merely_alike(listed, ours):
    assert match_ids([listed], [ours]) == ({}, [])


def test_the_id_that_a_name_equals_is_meant_whatever_else_is_alike():
    assert match_ids(["a/b"], ["a/b", "b", "c/a/b", "a/b.wav"]).ids == {"a/b": "a/b"}
    assert match_ids(["a/b.wav"], ["a/b", "b", "c/a/b"]).ids == {"a/b.wav": "a/b"}


@pytest.mark.parametrize(
    ("listed", "ours", "clash"),
    [
        (["1"], ["a/1", "b/1"], "1 may be a/1 or b/1"),
        (["a/1"], ["a/1.wav", "a/1.flac"], "a/1 may be a/1.flac or a/1.wav"),
        (["c/a/1"], ["a/1", "1"], "c/a/1 may be 1 or a/1"),
        (["a/1.wav", "b/1.wav"], ["1"], "a/1 and b/1 may both be 1"),
    ],
)
def test_a_name_that_may_mean_two_is_told_and_not_guessed(listed, ours, clash):
    assert match_ids(listed, ours).clashes == [clash]


def test_two_spellings_of_one_utterance_in_a_list_are_one():
    matched = match_ids(["x/a/1.wav", "a/1", "1.flac"], ["a/1"])

    assert set(matched.ids.values()) == {"a/1"}
    assert matched.clashes == []


def test_names_that_cannot_be_told_apart_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"1 utterances .*\n  u0 may be s0/u0 or s1/u"):
        take_over(tmp_path, "1 u0 s0/u1\n")


def test_unknown_utterances_are_an_error_with_counts_and_both_sides(tmp_path):
    text = "1 s0/u0 s0/u1\n0 s0/u0 s7/u0\n0 s7/u1 s7/u0\n0 s9/u0 s0/u0\n"

    with pytest.raises(ValueError, match="3 utterances, of 3 of 4 trials") as error:
        take_over(tmp_path, text)

    for part in ("s7/u0, s7/u1", "s0/u0, s0/u1", "1 of them are in another split"):
        assert part in str(error.value)


def test_or_their_trials_are_left_out_and_counted(tmp_path, caplog):
    text = "1 s0/u0 s0/u1\n0 s0/u0 s7/u0\n0 M s0/u3\n"

    trials = take_over(
        tmp_path, text, models="M s1/u0 s1/u9\n", unknown="leave_out"
    ).trials

    assert trials.to_numpy().tolist() == [["s0/u0", "s0/u1", 1]]
    assert "2 utterances, of 2 of 3 trials" in caplog.text
    assert "s7/u0" in caplog.text
    with pytest.raises(ValueError, match="1 utterances, of 1 of 1 trials"):
        take_over(tmp_path, "0 s0/u0 s7/u0\n", unknown="leave_out")


def test_an_enrolment_may_be_a_model_of_several_utterances(tmp_path):
    text = "M test/s0/u3.wav 1\nM test/s1/u0.wav 0\ns2/u0 s2/u1 1\n"
    models = "\ufeffM s0/u0.wav s0/u1.wav\r\n\r\nunused s1/u9\r\ns2/u0 s2/u0\r\n"

    listed = take_over(tmp_path, text, models=models)

    assert listed.trials.to_numpy().tolist() == [
        ["M", "s0/u3", 1],
        ["M", "s1/u0", 0],
        ["s2/u0", "s2/u1", 1],
    ]
    assert listed.enrolments.to_numpy().tolist() == [["M", "s0/u0"], ["M", "s0/u1"]]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("", "no models"),
        ("M\n", r"m\.txt:1: the model M has no utterances"),
        ("M s0/u0\nM s0/u1\n", r"m\.txt:2: the model M has a line above"),
        ("M s0/u0 s0/u0\n", r"m\.txt:1: the model M has an utterance twice"),
        ("N s0/u0\n", "none of its models is an enrolment of the trial list, .* M"),
        ("M s0/u0 s1/u0\n", "1 models have utterances of several speakers, .* M"),
        ("M s0/u0 s0/u1\ns1/u0 s0/u2 s0/u1\n", "1 models have the name of an utteranc"),
    ],
)
def test_models_that_do_not_fit_are_an_error(tmp_path, models, message):
    with pytest.raises(ValueError, match=message):
        take_over(tmp_path, "1 M s0/u3\n0 s1/u0 s0/u3\n", models=models)


def test_targets_that_contradict_the_speakers_are_an_error(tmp_path):
    text = "1 s0/u0 s0/u1\n1 s0/u0 s1/u0\n0 M s0/u0\n"

    with pytest.raises(ValueError, match="2 of 3 trials contradict") as error:
        take_over(tmp_path, text, models="M s0/u2 s0/u3\n")

    assert "t.txt:2: target 1, but s0/u0 is of s0, s1/u0 of s1" in str(error.value)
    assert "t.txt:3: target 0, but M is of s0, s0/u0 of s0" in str(error.value)


def test_repeated_trials_and_those_of_an_utterance_with_itself_are_told(
    tmp_path, caplog
):
    text = "1 s0/u0 s0/u1\n1 s0/u1 s0/u0\n1 s0/u0 s0/u0\n1 M s0/u2\n0 M s1/u0\n"

    trials = take_over(tmp_path, text, models="M s0/u2 s0/u3\n").trials

    assert len(trials) == 5
    assert "1 of 5 trials come again" in caplog.text
    assert "in line 2;" in caplog.text
    assert "2 of 5 trials compare an utterance with itself" in caplog.text
    assert "in line 3, 4;" in caplog.text


def test_sessions_of_two_speakers_are_never_the_same():
    rows = pd.DataFrame(
        {
            "utterance": ["a1", "a2", "b1"],
            "speaker": ["a", "a", "b"],
            "session": ["monday"] * 3,
        }
    )
    trials = pd.DataFrame(
        {"enrolment": ["a1", "a1"], "test": ["a2", "b1"], "target": [1, 0]}
    )

    listed = add_conditions(TrialList(trials, no_models()), rows, ["session"])

    assert listed.trials["same_session"].tolist() == ["1", "0"]
    with pytest.raises(ValueError, match="same_session is the option for them"):
        make_trials(rows, num_targets=1, seed=0, balance=["session"])
