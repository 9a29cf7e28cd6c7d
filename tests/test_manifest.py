"""The manifest as a file, and its parts."""

import numpy as np
import pandas as pd
import pytest

from unipool.manifest import divide, read_manifest, write_manifest


def rows(count=4, **columns):
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(count)],
            "speaker": [f"s{i // 2}" for i in range(count)],
            "split": ["train"] * count,
            "path": [f"audio/{i}.wav" for i in range(count)],
            "seconds": [1.0] * count,
        }
        | columns
    )


def test_what_is_written_is_read(tmp_path):
    written = rows(
        utterance=["001", "NA", 'ü, "quoted"', "d e"],
        speaker=["07", "07", "null", "null"],
        accent=["", "1.0", "nan", "x"],
    )

    write_manifest(written, tmp_path / "new" / "utterances.csv")

    read = read_manifest(tmp_path / "new" / "utterances.csv")
    pd.testing.assert_frame_equal(read, written, check_dtype=False)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["utterances.csv"]


def test_seconds_are_exact_to_the_sample(tmp_path):
    num_samples = np.array([1, 399, 400, 16_001, 57_600_001])
    written = rows(5, seconds=num_samples / 16_000)

    write_manifest(written, tmp_path / "m.csv")

    read = read_manifest(tmp_path / "m.csv")["seconds"]
    assert np.rint(read * 16_000).astype(int).tolist() == num_samples.tolist()
    assert np.abs(read * 16_000 - num_samples).max() < 0.01


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"utterance": ["a", "b", "c", "a"]}, ":5: an utterance id that an earlier"),
        ({"split": ["train", "train", "dev", "dev"]}, ":4: a split that is none of"),
        ({"split": ["train", "test", "test", "test"]}, ":3: a speaker that an earlier"),
        ({"seconds": [1.0, 0.0, 1.0, 1.0]}, ":3: seconds that are no positive"),
        ({"speaker": ["s", "s", "", "t"]}, ":4: an empty utterance, speaker or path"),
    ],
)
def test_wrong_rows_are_named_with_their_line(tmp_path, columns, message):
    rows(**columns).to_csv(tmp_path / "m.csv", index=False)

    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_a_missing_column_is_named(tmp_path):
    rows().drop(columns="seconds").to_csv(tmp_path / "m.csv", index=False)

    with pytest.raises(ValueError, match="no column seconds among utterance"):
        read_manifest(tmp_path / "m.csv")


def test_a_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="run prepare_corpus first"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7, 30])
def test_parts_hold_each_utterance_once_in_order(num_parts):
    manifest = rows(20, seconds=np.random.default_rng(0).uniform(1, 9, 20))
    manifest["split"] = ["train"] * 14 + ["test"] * 6

    parts = divide(manifest, split="train", num_parts=num_parts)

    assert len(parts) == num_parts
    assert pd.concat(parts)["utterance"].tolist() == [f"u{i}" for i in range(14)]


def test_parts_are_of_like_duration():
    manifest = rows(100, seconds=np.random.default_rng(0).uniform(1, 9, 100))

    parts = divide(manifest, split="train", num_parts=4)

    seconds = [part["seconds"].sum() for part in parts]

    assert max(seconds) - min(seconds) < 2 * 9


def test_a_part_of_an_empty_split_is_empty():
    parts = divide(rows(), split="test", num_parts=2)

    assert [len(part) for part in parts] == [0, 0]
