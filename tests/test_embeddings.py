"""The embeddings file."""

import h5py
import numpy as np
import pytest

from unipool.embeddings import Embeddings, read_embeddings, write_embeddings


def content_of(num_utterances=3):
    generator = np.random.default_rng(0)
    return Embeddings(
        [f"späker one/{i}" for i in range(num_utterances)],
        generator.normal(size=(num_utterances, 4)).astype(np.float32),
        num_heads=2,
        info={"caches": {"x": {"bytes": 3}}},
    )


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "with space" / "ü.h5"
    content = content_of()

    write_embeddings(path, content)
    again = read_embeddings(path)

    assert again.utterances == content.utterances
    assert (again.embeddings == content.embeddings).all()
    assert (again.num_heads, again.info) == (2, content.info)


def test_plain_h5py_reads_it(tmp_path):
    write_embeddings(tmp_path / "e.h5", content_of())

    with h5py.File(tmp_path / "e.h5") as file:
        assert file["embeddings"].dtype == np.float32
        assert file["utterances"].asstr()[0] == "späker one/0"


def test_an_embedding_that_is_not_finite_is_refused_and_nothing_is_written(tmp_path):
    content = content_of()
    content.embeddings[1, 2] = np.inf

    with pytest.raises(ValueError, match="späker one/1 is not finite"):
        write_embeddings(tmp_path / "e.h5", content)

    assert not list(tmp_path.iterdir())


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `embed` first"):
        read_embeddings(tmp_path / "e.h5")


def test_a_file_that_is_not_hdf5_is_named(tmp_path):
    (tmp_path / "e.h5").write_bytes(b"not HDF5 at all")

    with pytest.raises(ValueError, match=r"e\.h5: not a readable HDF5 file"):
        read_embeddings(tmp_path / "e.h5")


def test_another_version_is_refused(tmp_path):
    write_embeddings(tmp_path / "e.h5", content_of())
    with h5py.File(tmp_path / "e.h5", "a") as file:
        file.attrs["version"] = 99

    with pytest.raises(ValueError, match="version 99"):
        read_embeddings(tmp_path / "e.h5")
