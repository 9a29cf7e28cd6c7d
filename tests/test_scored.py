"""Scores of any toolkit become the same measured trials."""

import json

import numpy as np
import pandas as pd
import pytest

from unipool.cli import main
from unipool.scored import read_scored

TRIALS = [
    ("s0/a", "s0/b", 1, 0.9),
    ("s0/a", "s1/a", 0, 0.2),
    ("s1/a", "s1/b", 1, 0.4),
    ("s1/b", "s2/a", 0, 0.5),
    ("s2/a", "s2/b", 1, 0.8),
    ("s2/b", "s0/b", 0, -0.1),
]


def lines(form):
    return "".join(form.format(a=a, b=b, t=t, s=s) + "\n" for a, b, t, s in TRIALS)


@pytest.mark.parametrize(
    "text",
    [
        "enrolment,test,target,score\n" + lines("{a},{b},{t},{s}"),
        "\ufeffscore,enrol,test,label,x\n" + lines("{s},{a},{b},{t},0"),
        lines("{a} {b} {s} {t}"),
        lines("{t} {a} {b} {s}"),
        lines("{a} {b} {t} {s}"),
        lines("{a}\t{b}\t{s}\t{t}")
        .replace("\t1\n", "\ttarget\n")
        .replace("\t0\n", "\tnontarget\n"),
    ],
)
def test_every_usual_format_is_read(tmp_path, text):
    (tmp_path / "scores").write_text(text, "utf-8")

    read = read_scored(tmp_path / "scores")

    columns = ["enrolment", "test", "target", "score"]
    assert read[columns].to_numpy().tolist() == [list(row) for row in TRIALS]


def test_ids_may_be_numbers(tmp_path):
    (tmp_path / "scores").write_text("1001 2002 0.5 1\n1001 3003 -2 0\n")

    read = read_scored(tmp_path / "scores")

    assert read["enrolment"].tolist() == ["1001", "1001"]
    assert read["score"].tolist() == [0.5, -2.0]


def test_scores_and_labels_may_stand_alone(tmp_path):
    (tmp_path / "scores").write_text(lines("{s} {t}"))

    read = read_scored(tmp_path / "scores")

    assert read["target"].tolist() == [1, 0] * 3
    assert read["score"].tolist() == [0.9, 0.2, 0.4, 0.5, 0.8, -0.1]


def test_labels_may_come_from_a_trial_list(tmp_path):
    (tmp_path / "scores").write_text(lines("{a} {b} {s}"))
    (tmp_path / "trials").write_text(
        "".join(lines("{t} {a} {b}").splitlines(True)[::-1])
    )

    read = read_scored(tmp_path / "scores", tmp_path / "trials")

    assert read["score"].tolist() == [-0.1, 0.8, 0.5, 0.4, 0.2, 0.9]
    assert read["target"].tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("text", "trials", "message"),
    [
        (lines("{a} {b} {s}"), None, "scores without labels; name the list"),
        (lines("{a} {b} x"), None, "no field is a number in all lines"),
        (lines("{a} {b} {s} maybe"), None, "no field is 1 or 0, target or nontarget"),
        ("a b c d e\n", None, "5 fields in the first line"),
        ("score,label\nx,1\n", None, "line 2: 'x' is no score"),
        ("score,label\n1,yes\n", None, "labels such as 'yes'"),
        (
            lines("{s} {t}"),
            "1 s0/a s0/b\n",
            "scores without the names of the two sides",
        ),
        (lines("{a} {b} {s}"), "1 s0/a s0/z\n", "1 of the 1 trials of .* s0/a s0/z"),
        ("", None, "no scored trials"),
    ],
)
def test_what_is_no_file_of_scores_is_an_error(tmp_path, text, trials, message):
    (tmp_path / "scores").write_text(text)
    if trials is not None:
        (tmp_path / "trials").write_text(trials)

    with pytest.raises(ValueError, match=message):
        read_scored(tmp_path / "scores", trials and tmp_path / "trials")


@pytest.fixture
def scores(tmp_path):
    """Scores of two systems on the same trials of 20 speakers, the second better."""
    generator = np.random.default_rng(0)
    utterances = [f"s{i:02d}/{j}" for i in range(20) for j in range(6)]
    first, second = np.triu_indices(len(utterances), 1)
    chosen = generator.permutation(len(first))[:3000]
    names = np.array(utterances)
    trials = pd.DataFrame(
        {"enrolment": names[first[chosen]], "test": names[second[chosen]]}
    )
    speaker = trials["enrolment"].str[:3]
    trials["target"] = (speaker == trials["test"].str[:3]).astype(int)
    for name, shift in (("a", 1.0), ("b", 3.0)):
        values = generator.normal(size=3000) + shift * trials["target"]
        trials.assign(score=values).to_csv(tmp_path / f"{name}.csv", index=False)
    manifest = pd.DataFrame(
        {"utterance": utterances, "speaker": [u[:3] for u in utterances]}
    )
    manifest.to_csv(tmp_path / "m.csv", index=False)
    return tmp_path


def test_metrics_are_printed_with_their_intervals(scores, capsys):
    assert (
        main(["metrics", str(scores / "a.csv"), "--manifest", str(scores / "m.csv")])
        == 0
    )
    text = capsys.readouterr().out.splitlines()
    arguments = ["metrics", str(scores / "a.csv"), "--manifest", str(scores / "m.csv")]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert text[:2] == ["num_trials   3,000", "num_speakers 20"]
    assert told["eer_low"] < told["eer"] < told["eer_high"]
    assert told["eer"] == pytest.approx(0.3085, abs=0.06)
    assert {"min_dcf_p01", "min_dcf_p05_low"} <= told.keys()


def test_two_systems_are_compared_on_the_same_speakers(scores, capsys):
    arguments = [str(scores / "a.csv"), str(scores / "b.csv"), "--json"]

    assert main(["compare", *arguments, "--manifest", str(scores / "m.csv")]) == 0

    told = json.loads(capsys.readouterr().out)["eer"]
    assert told["difference"] == pytest.approx(told["second"] - told["first"])
    assert told["low"] < told["difference"] < told["high"] < 0
    assert told["p_value"] < 0.001


def test_a_system_does_not_differ_from_itself(scores, capsys):
    lines = (scores / "a.csv").read_text().splitlines(True)
    (scores / "c.csv").write_text("".join([lines[0], *lines[:0:-1]]))
    arguments = [str(scores / "a.csv"), str(scores / "c.csv"), "--json"]

    assert main(["compare", *arguments, "--manifest", str(scores / "m.csv")]) == 0

    told = json.loads(capsys.readouterr().out)["eer"]
    assert told["low"] == told["difference"] == told["high"] == 0
    assert told["p_value"] == 1


def test_scores_of_other_trials_are_not_compared(scores, capsys):
    lines = (scores / "b.csv").read_text().splitlines(True)
    (scores / "b.csv").write_text("".join(lines[:-5]))

    assert main(["compare", str(scores / "a.csv"), str(scores / "b.csv")]) == 1

    assert (
        "5 of 3000 trials of the first are not in the second" in capsys.readouterr().err
    )
