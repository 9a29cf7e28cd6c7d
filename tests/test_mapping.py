"""Embeddings on a plane."""

import logging

import numpy as np
import pandas as pd
import pytest
from conftest import split_of, train_run

from unipool.embed import embed
from unipool.embeddings import Embeddings, read_embeddings, write_embeddings
from unipool.manifest import write_manifest
from unipool.mapping import draw_evenly, map_embeddings, place


def write_both(folder, speakers, embeddings, *, num_heads=1, **metadata):
    """Write an embeddings file and its manifest, one utterance for each row."""
    names = [f"ütt {i}" for i in range(len(speakers))]
    manifest = pd.DataFrame(
        {
            "utterance": names,
            "speaker": speakers,
            "split": "test",
            "path": "a.wav",
            "seconds": 1.0,
            **metadata,
        }
    )
    folder.mkdir(exist_ok=True)
    write_manifest(manifest, folder / "utterances.csv")
    content = Embeddings(
        names,
        list(speakers),
        np.ones(len(names)),
        np.asarray(embeddings, dtype=np.float32),
        num_heads=num_heads,
        info={},
    )
    write_embeddings(folder / "e.h5", content)


def map_of(folder, **options):
    map_embeddings(
        embeddings=folder / "e.h5",
        manifest=folder / "utterances.csv",
        out=folder / "maps" / "m.csv",
        **options,
    )
    return pd.read_csv(folder / "maps" / "m.csv", dtype={"speaker": str})


def clusters(num_speakers, num_utterances, *, size=16, noise=0.3):
    generator = np.random.default_rng(0)
    speakers = np.repeat([f"s{i}" for i in range(num_speakers)], num_utterances)
    centres = generator.normal(size=(num_speakers, size)).repeat(num_utterances, axis=0)
    length = generator.uniform(0.1, 10, size=(len(speakers), 1))
    embeddings = length * (centres + noise * generator.normal(size=centres.shape))
    return speakers, embeddings


def test_utterances_of_one_speaker_are_neighbours(tmp_path):
    speakers, embeddings = clusters(4, 15)
    write_both(tmp_path, speakers, embeddings)

    found = map_of(tmp_path)

    places = found[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (speakers[distances.argmin(axis=1)] == speakers).all()
    assert found["speaker"].tolist() == speakers.tolist()
    assert found["utterance"].tolist() == [f"ütt {i}" for i in range(60)]


def test_the_same_embeddings_give_the_same_file(tmp_path):
    write_both(tmp_path, *clusters(4, 10))

    map_of(tmp_path)
    first = (tmp_path / "maps/m.csv").read_bytes()
    map_of(tmp_path)

    assert (tmp_path / "maps/m.csv").read_bytes() == first


def test_metadata_follows_and_nothing_else_of_the_manifest(tmp_path):
    speakers, embeddings = clusters(2, 3)
    accents = ["Scots, Highland", 'say "r"', "", "ü", "b", "a"]
    write_both(tmp_path, speakers, embeddings, session="1", accent=accents, start="0")

    found = map_of(tmp_path)

    assert list(found) == ["utterance", "speaker", "x", "y", "session", "accent"]
    assert found["accent"].fillna("").tolist() == accents
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["m.csv"]


def test_the_length_of_each_head_does_not_matter(tmp_path):
    speakers, embeddings = clusters(3, 6)
    write_both(tmp_path / "a", speakers, embeddings, num_heads=2)
    scaled = embeddings.copy()
    scaled[:, :8] *= 4.0
    write_both(tmp_path / "b", speakers, scaled, num_heads=2)
    write_both(tmp_path / "c", speakers, scaled, num_heads=1)

    of_heads, of_scaled, of_whole = (map_of(tmp_path / name) for name in "abc")

    pd.testing.assert_frame_equal(of_heads, of_scaled)
    assert not np.allclose(of_whole["x"], of_scaled["x"])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 31])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_map_of_a_few_utterances_has_a_place_for_each(tmp_path, count, size):
    generator = np.random.default_rng(count)
    write_both(tmp_path, ["s"] * count, generator.normal(size=(count, size)))

    found = map_of(tmp_path)

    assert len(found) == count
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()


def test_two_utterances_are_as_far_apart_as_their_directions(tmp_path):
    write_both(tmp_path, ["a", "b"], [[3, 0, 0], [0, 0.5, 0]])

    found = map_of(tmp_path)

    assert abs(found["x"][0] - found["x"][1]) == pytest.approx(np.sqrt(2), rel=1e-5)
    assert found["y"].tolist() == [0, 0]


def test_equal_directions_have_one_place():
    directions = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (12, 1))

    assert (place(directions, perplexity=30) == 0).all()


def test_a_perplexity_that_is_too_large_is_lowered_and_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_both(tmp_path, *clusters(3, 4))

    map_of(tmp_path)
    lowered = [record.getMessage() for record in caplog.records]
    caplog.clear()
    map_of(tmp_path, perplexity=4)

    assert "perplexity 30 is lowered to 4, a third of 12 utterances" in lowered
    assert caplog.records == []


def test_each_speaker_has_a_turn_before_any_has_a_second():
    speakers = ["many"] * 50 + ["few"] * 3 + ["one"]
    names = [f"u{i}" for i in range(54)]
    content = Embeddings(names, speakers, np.ones(54), np.ones((54, 2), "f4"), 1, {})

    rows = draw_evenly(content, 9, seed=0)

    assert (np.diff(rows) > 0).all()
    counts = pd.Series(speakers)[rows].value_counts()
    assert counts.to_dict() == {"many": 5, "few": 3, "one": 1}
    assert (draw_evenly(content, 9, seed=0) == rows).all()
    assert (draw_evenly(content, 9, seed=1) != rows).any()
    assert (draw_evenly(content, 100, seed=1) == np.arange(54)).all()


def test_more_speakers_than_points_have_one_each_at_most():
    speakers = [f"s{i % 30}" for i in range(90)]
    names = [f"u{i}" for i in range(90)]
    content = Embeddings(names, speakers, np.ones(90), np.ones((90, 2), "f4"), 1, {})

    rows = draw_evenly(content, 20, seed=0)

    assert len({speakers[row] for row in rows}) == 20
    # Not of the first speakers only.
    assert {speakers[row] for row in rows} != {f"s{i}" for i in range(20)}


def test_no_more_points_than_asked_for_are_on_the_map(tmp_path):
    write_both(tmp_path, *clusters(3, 10))

    found = map_of(tmp_path, num_points=6)

    assert found["speaker"].value_counts().to_dict() == {"s0": 2, "s1": 2, "s2": 2}


def test_embeddings_of_another_manifest_are_refused(tmp_path):
    write_both(tmp_path, *clusters(2, 3))
    rows = (tmp_path / "utterances.csv").read_text("utf-8").splitlines()
    (tmp_path / "utterances.csv").write_text("\n".join(rows[:-1]) + "\n", "utf-8")

    with pytest.raises(ValueError, match=r"1 of 6 utterances are not in .*ütt 5"):
        map_of(tmp_path)


def test_embeddings_of_a_run_are_mapped(cached, tmp_path):
    train_run(cached, tmp_path / "run")
    embed(
        run=tmp_path / "run",
        split=split_of(cached, "test"),
        embeddings=tmp_path / "e.h5",
        device="cpu",
        num_threads=1,
        embed_batch_seconds=3,
    )

    map_embeddings(
        embeddings=tmp_path / "e.h5",
        manifest=cached / "utterances.csv",
        out=tmp_path / "m.csv",
    )

    found = pd.read_csv(tmp_path / "m.csv")
    content = read_embeddings(tmp_path / "e.h5")
    assert found["utterance"].tolist() == content.utterances
    assert found["speaker"].tolist() == content.speakers
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()
