"""What a person types."""

import json
import shutil

import pytest
from conftest import train_run

from unipool.cli import main
from unipool.lock import only_writer

ALL = ("train", "valid", "test")


@pytest.fixture
def project(cached, tmp_path, monkeypatch):
    shutil.copytree(cached / "cache", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def part(project, split):
    return project / "cache/tiny/own" / split / "full/part-000-of-001"


def test_list_says_what_is_there_and_who_used_it(project, cached, capsys):
    train_run(cached, project / "results/runs/own/tiny/unipool/seed-0")

    assert main(["cache", "list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[2]: line.split() for line in lines[1:4]}
    receipt = json.loads(part(project, "train").with_suffix(".json").read_text("utf-8"))
    assert rows.keys() == set(ALL)
    assert rows["train"][:5] == ["tiny", "own", "train", "full", "1/1"]
    assert rows["train"][-1] == rows["valid"][-1] == "1"
    assert rows["test"][-1] == "0"
    assert rows["train"][7:9] == [str(len(receipt["layers"])), "float16"]


def test_verify_finds_a_flipped_bit_and_names_what_mends_it(project, capsys):
    assert main(["cache", "verify"]) == 0
    assert capsys.readouterr().out.count(": whole") == 3
    shard = next(
        part(project, "test").with_suffix(".zarr").glob("hidden_states/c/*/*/*")
    )
    content = bytearray(shard.read_bytes())
    content[100] ^= 4
    shard.write_bytes(content)

    assert main(["cache", "verify"]) == 1

    out = capsys.readouterr().out
    assert out.count(": whole") == 2
    assert "checksum differs" in out
    assert "snakemake --cores all --force cache/tiny/own/test/full/part-000" in out


def test_verify_knows_an_unfinished_part(project, capsys):
    part(project, "test").with_suffix(".json").unlink()

    assert main(["cache", "verify", "tiny/own/test"]) == 0

    assert "unfinished; its job goes on" in capsys.readouterr().out


def test_remove_takes_what_is_named_and_nothing_else(project, capsys):
    assert main(["cache", "remove", "tiny/own/test", "--yes"]) == 0

    assert not part(project, "test").with_suffix(".zarr").exists()
    assert not part(project, "test").with_suffix(".json").exists()
    assert part(project, "train").with_suffix(".json").exists()
    assert main(["cache", "list"]) == 0


@pytest.mark.parametrize("answer", ["", "n", "no"])
def test_remove_asks_first(project, monkeypatch, answer):
    monkeypatch.setattr("builtins.input", lambda _: answer)

    assert main(["cache", "remove", "tiny"]) == 1

    assert part(project, "test").with_suffix(".zarr").exists()


def test_a_part_that_is_being_written_is_not_removed(project, capsys):
    with only_writer(part(project, "test").with_suffix(".lock"), wait=False):
        assert main(["cache", "remove", "tiny/own/test", "--yes"]) == 1

    assert "writes this already" in capsys.readouterr().err
    assert part(project, "test").with_suffix(".zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["cache", "list", "wavlm"],
            "nothing is called wavlm; there are tiny/own/test",
        ),
        (["cache", "list", "--cache-dir", "no"], "no parts of a cache there; name its"),
        (["plan"], "no Snakefile here; run this in the project's folder"),
    ],
)
def test_a_mistake_is_told_in_one_line(project, capsys, arguments, message):
    assert main(arguments) == 1

    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
