"""Trial lists: read, and made."""

import pandas as pd
import pytest

from unipool.trials import make_trials, read_trials, write_trials


def utterances(*sizes):
    """Make speakers A, B, ... with so many utterances each."""
    return pd.DataFrame(
        [
            {"utterance": f"{speaker}{i}", "speaker": speaker}
            for speaker, size in zip("ABCDEFGH", sizes, strict=False)
            for i in range(size)
        ]
    )


def test_as_many_non_targets_as_targets_each_pair_once():
    trials = make_trials(utterances(5, 5, 5, 5), num_targets=30, seed=0)

    pairs = {
        frozenset(pair) for pair in zip(trials.enrolment, trials.test, strict=True)
    }
    same = trials["enrolment"].str[0] == trials["test"].str[0]
    assert len(trials) == len(pairs) == 60
    assert all(len(pair) == 2 for pair in pairs)
    assert (same == (trials["target"] == 1)).all()
    assert same.sum() == 30


def test_targets_are_shared_by_speakers_and_others_by_pairs_of_speakers():
    trials = make_trials(utterances(6, 6, 6, 6), num_targets=36, seed=1)

    speakers = trials["enrolment"].str[0] + trials["test"].str[0]
    counts = speakers.value_counts()
    assert {name: counts[name] for name in ("AA", "BB", "CC", "DD")} == dict.fromkeys(
        ("AA", "BB", "CC", "DD"), 9
    )
    assert {name: counts[name] for name in ("AB", "AC", "BD", "CD")} == dict.fromkeys(
        ("AB", "AC", "BD", "CD"), 6
    )


def test_a_speaker_with_few_pairs_gives_all_and_others_make_up_for_it():
    # Pairs of utterances: 1 of A, 15 of B, 15 of C.
    trials = make_trials(utterances(2, 6, 6), num_targets=21, seed=0)

    of_targets = trials[trials["target"] == 1]["enrolment"].str[0].value_counts()
    assert of_targets.to_dict() == {"A": 1, "B": 10, "C": 10}


def test_all_pairs_can_be_asked_for():
    trials = make_trials(utterances(3, 3), num_targets=6, seed=0)

    assert len(trials) == 12


def test_the_seed_decides_and_the_order_of_rows_does_not():
    rows = utterances(6, 6, 6)
    made = make_trials(rows, num_targets=20, seed=3)

    again = make_trials(rows.sample(frac=1, random_state=0), num_targets=20, seed=3)
    other = make_trials(rows, num_targets=20, seed=4)

    pd.testing.assert_frame_equal(made, again)
    assert not made.equals(other)


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


def test_what_is_written_is_read(tmp_path):
    written = pd.DataFrame(
        {
            "enrolment": ["01", "NA"],
            "test": ["a b", "ü"],
            "target": [1, 0],
            "gender": ["f", ""],
        }
    )

    write_trials(written, tmp_path / "new" / "t.csv")

    read = read_trials(tmp_path / "new" / "t.csv")
    pd.testing.assert_frame_equal(read, written, check_dtype=False)


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


def test_a_missing_list_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such trial list"):
        read_trials(tmp_path / "t.csv")
