"""The embeddings file."""

import h5py
import numpy as np
import pytest

from unipool.embeddings import Embeddings, read_embeddings, write_embeddings


def content_of(num_utterances=3):
    generator = np.random.default_rng(0)
    return Embeddings(
        [f"späker one/{i}" for i in range(num_utterances)],
        [f"späker {i}" for i in range(num_utterances)],
        np.arange(num_utterances) / 7,
        generator.normal(size=(num_utterances, 4)).astype(np.float32),
        num_heads=2,
        info={"caches": {"x": {"bytes": 3}}},
    )


def weighed(content):
    return content._replace(
        layers=[1, 12],
        layer_weights=np.array([0.25, 0.75], dtype=np.float32),
        layer_weights_std=np.array([0.0, 0.125], dtype=np.float32),
        layer_attention=np.array([[0, 0.5, 1], [1, 0.5, 0]], dtype=np.float32),
        attention_utterance="späker one/1",
        earlier_layer_weights={"keys": np.array([1, 0], dtype=np.float32)},
    )


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "with space" / "ü.h5"
    content = content_of()

    write_embeddings(path, content)
    again = read_embeddings(path)

    assert again.utterances == content.utterances
    assert again.speakers == content.speakers
    assert (again.seconds == content.seconds).all()
    assert (again.embeddings == content.embeddings).all()
    assert (again.num_heads, again.info) == (2, content.info)
    assert again[6:] == (None,) * 6


def test_weights_of_layers_are_read_again(tmp_path):
    content = weighed(content_of())

    write_embeddings(tmp_path / "e.h5", content)
    again = read_embeddings(tmp_path / "e.h5")

    assert again.layers == [1, 12]
    for name in ("layer_weights", "layer_weights_std", "layer_attention"):
        assert np.array_equal(getattr(again, name), getattr(content, name))
    assert again.attention_utterance == "späker one/1"
    assert again.earlier_layer_weights["keys"].tolist() == [1, 0]


def test_plain_h5py_reads_it(tmp_path):
    write_embeddings(tmp_path / "e.h5", content_of())

    with h5py.File(tmp_path / "e.h5") as file:
        assert file["embeddings"].dtype == np.float32
        assert file["utterances"].asstr()[0] == "späker one/0"
        assert file["speakers"].asstr()[1] == "späker 1"
        assert file["seconds"].dtype == np.float64


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


@pytest.mark.parametrize("version", [1, 99])
def test_another_version_is_refused_with_the_way_out(tmp_path, version):
    write_embeddings(tmp_path / "e.h5", content_of())
    with h5py.File(tmp_path / "e.h5", "a") as file:
        file.attrs["version"] = version

    with pytest.raises(ValueError, match=f"version {version},.* embed again"):
        read_embeddings(tmp_path / "e.h5")
