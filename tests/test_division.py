"""How speakers are divided into splits."""

import numpy as np
import pandas as pd
import pytest

from unipool.division import divide


def corpus(speakers, **columns):
    """Give two utterances of each speaker, with metadata of the speaker."""
    rows = pd.DataFrame({"speaker": [f"s{i:03d}" for i in range(speakers)], **columns})
    return pd.concat([rows, rows], ignore_index=True)


def counts(rows, split):
    divided = rows.assign(split=split)
    assert (divided.groupby("speaker")["split"].nunique() == 1).all()
    return divided.groupby("split")["speaker"].nunique().to_dict()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("valid", "test"), [(2, 2), (18, 18), (0.1, 0.25), (3, 0.5)])
def test_each_split_has_the_speakers_asked_for(valid, test, seed):
    rows = corpus(108)

    split = divide(rows, {"valid": valid, "test": test, "seed": seed})

    wanted = {
        name: number if number >= 1 else round(number * 108)
        for name, number in (("valid", valid), ("test", test))
    }
    assert counts(rows, split) == wanted | {"train": 108 - sum(wanted.values())}


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does():
    rows = corpus(40, gender=["F", "M"] * 20)
    asked = {"valid": 5, "test": 5, "seed": 1, "stratify": ["gender"]}

    split = divide(rows, asked)
    turned = divide(rows[::-1], asked)
    other = divide(rows, asked | {"seed": 2})

    assert split.to_dict() == turned.to_dict()
    assert split.to_dict() != other.to_dict()


def test_strata_are_divided_in_the_same_proportions():
    gender = ["F"] * 30 + ["M"] * 70
    rows = corpus(100, gender=gender, accent=["north", "south"] * 50)

    split = divide(
        rows, {"valid": 10, "test": 20, "seed": 0, "stratify": ["gender", "accent"]}
    )

    share = (
        rows.assign(split=split)
        .groupby("split")["gender"]
        .agg(lambda g: (g == "F").mean())
    )
    assert share["valid"] == pytest.approx(0.3, abs=0.11)
    assert share["test"] == pytest.approx(0.3, abs=0.06)
    assert counts(rows, split) == {"train": 70, "valid": 10, "test": 20}


def test_who_is_alone_in_a_stratum_trains():
    rows = corpus(30, accent=["a"] * 20 + [f"rare {i}" for i in range(10)])

    split = divide(rows, {"valid": 4, "test": 4, "seed": 0, "stratify": ["accent"]})

    drawn = rows[split != "train"]
    assert set(drawn["accent"]) == {"a"}
    assert counts(rows, split) == {"train": 22, "valid": 4, "test": 4}


def test_unless_there_are_too_few_others():
    rows = corpus(12, accent=[f"rare {i}" for i in range(12)])

    split = divide(rows, {"valid": 3, "test": 3, "seed": 0, "stratify": ["accent"]})

    assert counts(rows, split) == {"train": 6, "valid": 3, "test": 3}


def test_a_corpus_with_a_test_set_can_be_given_a_validation_set():
    rows = corpus(20, split=["test"] * 8 + ["train"] * 6 + [""] * 6)

    split = divide(rows, {"valid": 3, "seed": 0})

    assert counts(rows, split) == {"train": 9, "valid": 3, "test": 8}
    assert (split[rows["split"] == "test"] == "test").all()


def test_splits_of_its_own_need_no_more():
    rows = corpus(9, split=["train", "valid", "test"] * 3)

    assert divide(rows, None).tolist() == rows["split"].tolist()


@pytest.mark.parametrize(
    ("columns", "split", "message"),
    [
        ({}, None, "does not say which speakers train"),
        ({"split": ["test", ""] * 5}, None, "does not say which speakers train"),
        ({"split": ["test", "train"] * 5}, {"test": 2}, "has test speakers of its own"),
        ({}, {"valid": 9}, "10 speakers make 1 to train, 9 for valid"),
        ({}, {"valid": 1}, "10 speakers make 9 to train, 1 for valid"),
        (
            {},
            {"valid": 2, "stratify": ["sex"]},
            "no column 'sex' in the corpus; it has",
        ),
    ],
)
def test_what_cannot_be_divided_is_an_error(columns, split, message):
    rows = corpus(10, **columns)

    with pytest.raises(ValueError, match=message):
        divide(rows, split and {"seed": 0} | split)


def test_one_more_speaker_moves_few_others():
    asked = {"valid": 10, "test": 20, "seed": 3}
    before, after = divide(corpus(100), asked), divide(corpus(101), asked)
    rows = corpus(100)

    moved = (
        before.to_numpy() != after[[*range(100), *range(101, 201)]].to_numpy()
    ).sum()

    assert 0 <= moved <= 2 * 2
    assert len(rows) == 200


def test_a_value_that_says_alone_is_one_like_others():
    rows = corpus(20, household=["alone"] * 10 + ["family"] * 10)

    split = divide(rows, {"valid": 4, "test": 4, "seed": 0, "stratify": ["household"]})

    assert set(rows["household"][split == "test"]) == {"alone", "family"}


def test_a_stratum_belongs_to_the_speaker():
    rows = corpus(10, noise=list(np.arange(10).astype(str)))
    rows.loc[0, "noise"] = "loud"

    with pytest.raises(ValueError, match="1 speakers have several values in noise"):
        divide(rows, {"valid": 2, "test": 2, "seed": 0, "stratify": ["noise"]})
