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
        (lines("{a} {b} x"), None, "line 1: 'x' is no score"),
        (lines("{a} {b} {s} {t}") + "u v nan 1\n", None, "line 7: 'nan' is no score"),
        ("score,label\n", None, "no line below the header"),
        ("score,label,target\n1,1,1\n", None, "the header names target twice"),
        ("score,label,llr\n1,1,x\n", None, "line 2: 'x' is no llr"),
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

    num_targets = told["num_targets"]
    assert text[0] == "num_trials      3,000"
    assert text[1:4] == [
        f"num_targets     {num_targets}",
        "num_speakers    20",
        "fewest_speakers 20",
    ]
    assert text[4] == (
        f"eer             {told['eer']:.4f}"
        f" [{told['eer_low']:.4f}, {told['eer_high']:.4f}]"
    )
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

    told = capsys.readouterr().err
    assert "3000 trials of the first and 2995 of the second" in told


def told(capsys, *arguments):
    """Run a command that prints JSON; give it, and what it says beside."""
    assert main([str(one) for one in (*arguments, "--json")]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_scores_without_names_are_measured_as_if_independent(scores, capsys):
    table = pd.read_csv(scores / "a.csv")
    columns = table[["score", "target"]]
    columns.to_csv(scores / "bare", sep=" ", header=False, index=False)

    bare, warning = told(capsys, "metrics", scores / "bare")
    named, _ = told(capsys, "metrics", scores / "a.csv", "--manifest", scores / "m.csv")

    assert "trials are resampled as if independent" in warning
    assert "too narrow" in warning
    assert bare["eer"] == named["eer"]
    assert bare["min_dcf_p05_low"] < bare["min_dcf_p05"] < bare["min_dcf_p05_high"]
    assert "num_speakers" not in bare


def test_without_a_manifest_a_warning_says_that_intervals_are_too_narrow(
    scores, capsys
):
    _, warning = told(capsys, "metrics", scores / "a.csv", "--draws", "10")
    _, silence = told(capsys, "metrics", scores / "a.csv", "--draws", "0")

    assert "utterances are resampled as if independent" in warning
    assert silence == ""


def test_two_trials_have_rates_and_no_interval(tmp_path, capsys):
    (tmp_path / "two").write_text("0.5 1\n0.1 0\n")

    values, _ = told(capsys, "metrics", tmp_path / "two")

    assert values["eer"] == 0
    assert values["eer_low"] is None


def test_a_column_of_ratios_is_measured_as_such(scores, capsys):
    table = pd.read_csv(scores / "a.csv")
    # Unit normals one apart: the ratio is the score less one half.
    table.assign(llr=table["score"] - 0.5).to_csv(scores / "c.csv", index=False)

    values, _ = told(capsys, "metrics", scores / "c.csv", "--draws", "0")
    taken, _ = told(capsys, "metrics", scores / "c.csv", "--llr", "--draws", "0")

    assert values["cllr"] == pytest.approx(values["min_cllr"], abs=0.05)
    assert taken["cllr"] > values["cllr"]
    assert values["act_dcf_p05"] >= values["min_dcf_p05"]


def test_validation_scores_choose_the_threshold_and_calibrate(scores, capsys):
    pd.read_csv(scores / "a.csv").eval("score = 10 * score + 100").to_csv(
        scores / "scaled.csv", index=False
    )
    arguments = ["metrics", scores / "scaled.csv", "--draws", "0", "--published"]

    values, _ = told(capsys, *arguments, "--validation", scores / "scaled.csv")

    assert values["eer_star"] == pytest.approx(values["eer"], abs=0.01)
    assert values["cllr"] == pytest.approx(values["min_cllr"], abs=0.05)
    assert values["published_eer"] == values["published_eer_star"] == 0.5  # all clamped


def test_each_system_has_its_own_validation(scores, capsys):
    files = [str(scores / "a.csv"), str(scores / "b.csv")]

    assert main(["metrics", *files, "--validation", files[0]]) == 1

    assert "2 files of scores, but 1 with --validation" in capsys.readouterr().err


def test_several_files_have_a_row_each_and_one_plot(scores, capsys):
    files = [str(scores / "a.csv"), str(scores / "b.csv")]
    arguments = ["metrics", *files, "--draws", "20"]

    assert main([*arguments, "--det", str(scores / "det.svg")]) == 0
    rows = capsys.readouterr().out.splitlines()
    values, _ = told(capsys, *arguments)

    assert rows[0].split()[:3] == ["num_trials", "num_targets", "eer"]
    assert [row.split()[0] for row in rows[1:]] == files
    assert len({len(row) for row in rows}) == 1
    assert values[files[1]]["eer"] < values[files[0]]["eer"]
    assert "a.csv" in (scores / "det.svg").read_text("utf-8")


def test_conditions_come_from_the_scores_or_from_the_list(scores, capsys):
    table = pd.read_csv(scores / "a.csv")
    same = np.where(table["target"] == 1, "1", np.arange(len(table)) % 2)
    listed = table[["enrolment", "test", "target"]].assign(same_gender=same)
    listed.to_csv(scores / "t.csv", index=False)
    arguments = ["metrics", scores / "a.csv", "--manifest", scores / "m.csv"]
    arguments += ["--draws", "20", "--by-condition"]

    values, _ = told(capsys, *arguments, "--trials", scores / "t.csv")

    found = [
        (row["condition"], row["value"], row["whole_class"])
        for row in values["conditions"]
    ]
    assert found == [("same_gender", "0", "targets"), ("same_gender", "1", "")]
    assert main([str(one) for one in arguments]) == 1
    assert "neither the scores nor the list has a column" in capsys.readouterr().err


def test_a_model_speaks_as_its_target_trials_do(scores, capsys):
    table = pd.read_csv(scores / "a.csv")
    table["enrolment"] = "model-" + table["enrolment"].str[:3]
    table.to_csv(scores / "models.csv", index=False)

    values, _ = told(
        capsys, "metrics", scores / "models.csv", "--manifest", scores / "m.csv"
    )

    assert values["num_speakers"] == 20


def test_priors_are_chosen(scores, capsys):
    arguments = ["metrics", scores / "a.csv", "--draws", "0"]

    values, _ = told(capsys, *arguments, "--p-target", "0.001", "--p-target", "0.5")

    assert {"min_dcf_p001", "min_dcf_p5"} <= values.keys()
    assert "min_dcf_p01" not in values


def test_of_several_files_each_two_are_compared(scores, capsys):
    table = pd.read_csv(scores / "b.csv")
    table.assign(score=2 * table["score"]).to_csv(scores / "c.csv", index=False)
    files = [str(scores / f"{name}.csv") for name in "abc"]

    rows, _ = told(capsys, "compare", *files, "--manifest", scores / "m.csv")

    of_eer = [row for row in rows if row["metric"] == "eer"]
    assert [(row["first"][-5], row["second"][-5]) for row in of_eer] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert of_eer[0]["p_corrected"] == pytest.approx(3 * of_eer[0]["p_value"])
    assert of_eer[2]["p_value"] == of_eer[2]["p_corrected"] == 1
    assert main(["compare", *files, "--draws", "20"]) == 0
    assert "<0.0001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metrics", "nothing"], "nothing: no scored trials"),
        (["metrics", "binary"], "binary: no scored trials"),
        (["metrics", "."], "not a file"),
        (["metrics", "missing"], "missing: no such file"),
        (["metrics", "one", "--draws", "0"], "one: 0 target and 1 non-target trials"),
        (["metrics", "inf", "--draws", "0"], "1 of 2 scores are not finite"),
        (["metrics", "a.csv", "--manifest", "nothing"], "nothing: no CSV"),
        (["metrics", "a.csv", "--manifest", "binary"], "binary: no CSV"),
        (["metrics", "a.csv", "--manifest", "missing"], "missing"),
        (["metrics", "a.csv", "--manifest", "a.csv"], "no column speaker, utterance"),
        (["metrics", "a.csv", "--manifest", "other"], "utterances have no speaker"),
        (["metrics", "inf", "--manifest", "m.csv"], "the manifest cannot say whose"),
        (
            ["metrics", "a.csv", "--p-target", "2", "--draws", "0"],
            "p_target 2: a prior",
        ),
        (["metrics", "a.csv", "--draws", "-1"], "--draws -1: 0 or more"),
        (["metrics", "a.csv", "--draws", "0", "--det", "x.bmp"], "x.bmp"),
        (["metrics", "a.csv", "a.csv"], "named twice"),
        (["compare", "a.csv"], "one file of scores"),
    ],
)
def test_a_mistake_is_told_in_one_line(scores, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scores)
    (scores / "nothing").write_text("")
    (scores / "binary").write_bytes(bytes(range(256)) * 9)
    (scores / "one").write_text("0.5 0\n")
    (scores / "inf").write_text("inf 0\n0.5 1\n")
    (scores / "other").write_text("utterance,speaker\nu,v\n")

    assert main(arguments) == 1

    error = capsys.readouterr().err.splitlines()
    assert message in error[-1]
    assert [line for line in error[:-1] if "resampled" not in line] == []


def test_scores_that_look_like_labels_come_before_them(tmp_path):
    (tmp_path / "scores").write_text("1 0\n0 0\n1 1\n")

    read = read_scored(tmp_path / "scores")

    assert read["target"].tolist() == [0, 0, 1]
    assert read["score"].tolist() == [1.0, 0.0, 1.0]


def test_other_columns_keep_their_names_and_texts(tmp_path):
    (tmp_path / "scores").write_text("Score,LABEL,Accent Match\n1,1,01\n0,0,\n")

    read = read_scored(tmp_path / "scores")

    assert [*read] == ["score", "target", "Accent Match"]
    assert read["Accent Match"].tolist() == ["01", ""]
