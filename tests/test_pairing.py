"""From a manifest to its trial lists, made or taken over."""

import hashlib
import logging

import pandas as pd
import pytest

from unipool.manifest import write_manifest
from unipool.pairing import prepare_trials
from unipool.trials import read_trial_list


@pytest.fixture
def manifest(tmp_path):
    rows = pd.DataFrame(
        [
            (
                f"s{s}/u{i}",
                f"s{s}",
                "ffmm"[s % 4],
                str(i // 2),
                "test" if s < 4 else "train",
            )
            for s in range(6)
            for i in range(4)
        ],
        columns=["utterance", "speaker", "gender", "session", "split"],
    )
    write_manifest(rows.assign(path="x.wav", seconds=1.0), tmp_path / "m.csv")
    return tmp_path / "m.csv"


def prepare(manifest, text=None, **options):
    if text is not None:
        options["file"] = manifest.with_name("theirs.txt")
        options["file"].write_text(text, "utf-8")
    prepare_trials(
        manifest=manifest,
        split="test",
        trials=manifest.with_name("t.csv"),
        **options,
    )
    return read_trial_list(manifest.with_name("t.csv"))


def test_trials_are_made_from_the_split_alone(manifest):
    listed = prepare(manifest, num_targets=9, seed=0)

    assert listed.trials["target"].value_counts().to_dict() == {1: 9, 0: 9}
    assert list(listed.trials) == ["enrolment", "test", "target"]
    assert listed.trials["test"].str.match(r"s[0-3]/").all()
    assert listed.enrolments.empty


def test_each_option_reaches_the_making(manifest, caplog):
    caplog.set_level(logging.INFO)

    listed = prepare(
        manifest,
        num_targets=6,
        num_nontargets=13,
        seed=0,
        balance=["gender"],
        conditions=["gender", "session"],
        same_session=1.0,
        rounding="up",
    )

    counts = listed.trials.groupby(["target", "same_gender"]).size().to_dict()
    assert counts == {(1, "1"): 8, (0, "1"): 8, (0, "0"): 8}
    assert "target, same gender, same session: 8" in caplog.messages


def test_cells_are_counted_in_the_log_without_a_column_for_them(manifest, caplog):
    caplog.set_level(logging.INFO)

    listed = prepare(manifest, num_targets=4, seed=0, balance=["gender"])

    assert "non-target, different gender: 2" in caplog.messages
    assert "same_gender" not in listed.trials


def test_a_published_list_is_taken_over_with_models_and_conditions(manifest):
    (manifest.with_name("models.txt")).write_text("M s0/u0 s0/u1\n")

    listed = prepare(
        manifest,
        "M wav/s0/u2.wav target\nM wav/s1/u0.wav nontarget\ns0/u0 s9/u0 nontarget\n",
        enrolments=manifest.with_name("models.txt"),
        unknown="leave_out",
        conditions=["gender"],
    )

    assert listed.trials.to_numpy().tolist() == [
        ["M", "s0/u2", 1, "1"],
        ["M", "s1/u0", 0, "1"],
    ]
    assert listed.enrolments["utterance"].tolist() == ["s0/u0", "s0/u1"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_file_must_have_the_checksum_that_is_given(manifest, algorithm):
    text = "1 s0/u0 s0/u1\n0 s0/u0 s1/u1\n"
    right = f"{algorithm}:{hashlib.new(algorithm, text.encode()).hexdigest()}"
    wrong = right[:-2] + "xx"

    assert len(prepare(manifest, text, checksum=right).trials) == 2
    with pytest.raises(ValueError, match=f"is {right}, {wrong} is wanted; fetch"):
        prepare(manifest, text, checksum=wrong)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1 s0/u0 s9/u9\n", {}, "1 utterances, of 1 of 1 trials, are not in the split"),
        (
            "1 s0/u0 s0/u1\n0 s0/u0 s1/u1\n",
            {"conditions": ["age"]},
            "no metadata age; it has gender, session",
        ),
        (None, {"num_targets": 99, "seed": 0}, "99 target trials were asked for"),
    ],
)
def test_of_a_list_that_cannot_be_had_nothing_is_written(
    manifest, text, options, message
):
    with pytest.raises(ValueError, match=message):
        prepare(manifest, text, **options)

    assert not list(manifest.parent.glob("t.*"))


def test_a_split_without_utterances_is_an_error(manifest):
    with pytest.raises(ValueError, match="no utterances of the split valid"):
        prepare_trials(
            manifest=manifest,
            split="valid",
            trials=manifest.with_name("t.csv"),
            num_targets=2,
            seed=0,
        )


def test_a_list_whose_first_line_is_too_long_is_an_error(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("my file 1.wav my file 2.wav 1\n" * 3)
    rows = pd.DataFrame({"utterance": ["a", "b"], "speaker": ["s", "s"]})
    rows = rows.assign(split="test", path="x.wav", seconds=1.0)
    write_manifest(rows, tmp_path / "m.csv")

    with pytest.raises(ValueError, match=r"list\.txt"):
        prepare_trials(
            manifest=tmp_path / "m.csv", split="test", trials=tmp_path / "t", file=file
        )


def test_a_list_of_one_class_is_an_error(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("1 a b\n")
    rows = pd.DataFrame({"utterance": ["a", "b"], "speaker": ["s", "s"]})
    rows = rows.assign(split="test", path="x.wav", seconds=1.0)
    write_manifest(rows, tmp_path / "m.csv")

    with pytest.raises(ValueError, match="there would be no non-target trial"):
        prepare_trials(
            manifest=tmp_path / "m.csv", split="test", trials=tmp_path / "t", file=file
        )
    assert not (tmp_path / "t").exists()
