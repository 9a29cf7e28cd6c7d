"""What is found out about recordings, and that it is found out once."""

import numpy as np
import pandas as pd
import pytest
from conftest import voice, write_corpus

from unipool.audio import write_flac
from unipool.recordings import copies_among, inspect_recordings


@pytest.fixture
def paths(tmp_path):
    write_corpus(tmp_path / "audio", speakers=3, utterances=3)
    return [str(path) for path in sorted((tmp_path / "audio").rglob("*.wav"))]


def inspect(tmp_path, paths, check="headers"):
    memory = tmp_path / "out" / "recordings.csv"
    return inspect_recordings(paths, check=check, memory=memory, num_workers=2)


def num_looks(tmp_path):
    """Count the rows of the memory, and so how often anything was looked at."""
    return (
        len((tmp_path / "out" / "recordings.csv").read_text("utf-8").splitlines()) - 1
    )


def test_each_recording_is_told_in_the_order_asked_for(tmp_path, paths):
    found = inspect(tmp_path, paths[::-1])

    assert found["path"].tolist() == paths[::-1]
    assert found["samples"].tolist() == [12_800, 11_200, 9_600] * 3
    assert (found["fault"] == "").all()


def test_what_was_looked_at_is_not_looked_at_again(tmp_path, paths):
    first = inspect(tmp_path, paths[:6])
    again = inspect(tmp_path, paths)
    third = inspect(tmp_path, paths)

    pd.testing.assert_frame_equal(again[:6], first)
    pd.testing.assert_frame_equal(third, again)
    assert num_looks(tmp_path) == 9


def test_a_file_that_changed_is_looked_at_again(tmp_path, paths):
    inspect(tmp_path, paths)
    write_flac(tmp_path / "other.flac", voice(0, 0, seconds=2.0))
    (tmp_path / "other.flac").replace(paths[4])

    found = inspect(tmp_path, paths)

    assert found["samples"][4] == 32_000
    assert num_looks(tmp_path) == 10


def test_who_wants_all_decoded_is_not_content_with_headers(tmp_path, paths):
    write_flac(tmp_path / "silent.flac", np.zeros(800, np.float32))
    paths = [*paths, str(tmp_path / "silent.flac")]

    by_header = inspect(tmp_path, paths)
    decoded = inspect(tmp_path, paths, check="decode")
    after = inspect(tmp_path, paths)

    assert by_header["silent"].tolist() == [0] * 10
    assert decoded["silent"].tolist() == [0] * 9 + [1]
    assert after["silent"].tolist() == [0] * 9 + [1]
    assert num_looks(tmp_path) == 20


@pytest.mark.parametrize("cut", [1, 30, 10_000])
def test_a_memory_that_was_broken_off_is_gone_on_with(tmp_path, paths, cut):
    whole = inspect(tmp_path, paths)
    memory = tmp_path / "out" / "recordings.csv"
    memory.write_bytes(memory.read_bytes()[:-cut])

    found = inspect(tmp_path, paths)

    pd.testing.assert_frame_equal(found, whole)
    assert num_looks(tmp_path) == 9


def test_a_memory_of_something_else_is_begun_anew(tmp_path, paths):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recordings.csv").write_text("path,seconds\nx.wav,3\n")

    assert len(inspect(tmp_path, paths)) == 9
    assert num_looks(tmp_path) == 9


def test_a_fault_is_remembered_with_its_reason(tmp_path):
    (tmp_path / "bad, very.wav").write_text("no audio")
    write_flac(tmp_path / "cut.flac", voice(0, 0))
    content = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    paths = [str(tmp_path / name) for name in ("bad, very.wav", "cut.flac")]

    for _ in range(2):
        faults = inspect(tmp_path, paths)["fault"].tolist()

        assert "cannot be decoded" in faults[0]
        assert "cut short" in faults[1]


def test_files_of_the_same_bytes_are_copies(tmp_path, paths):
    content = (tmp_path / "audio" / "spk 00" / "ütt 1.wav").read_bytes()
    (tmp_path / "copy.wav").write_bytes(content)
    # Of the same size and middle, but not the same.
    (tmp_path / "near.wav").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    paths = [*paths, str(tmp_path / "copy.wav"), str(tmp_path / "near.wav")]

    copies = copies_among(inspect(tmp_path, paths))

    assert copies.to_numpy().tolist() == [[paths[9], paths[1]]]


def test_what_cannot_be_opened_now_is_no_fault_of_the_recording(tmp_path, paths):
    (tmp_path / "folder.wav").mkdir()
    inspect(tmp_path, paths)

    with pytest.raises(ValueError, match=r"folder\.wav: cannot be read now"):
        inspect(tmp_path, [*paths, str(tmp_path / "folder.wav")])

    assert num_looks(tmp_path) == 9


def test_no_files_are_no_recordings(tmp_path):
    assert inspect(tmp_path, []).empty
