"""The cache as a format: what is written is what is read, or it is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import zarr

from unipool.cache import (
    LAYER_MEANING,
    PartWriter,
    fingerprint,
    is_complete,
    open_cache,
    write_receipt,
)

SHA = "0" * 64
LENGTHS = [[3, 1, 120, 7], [250, 2]]


def rows_of(part, first=0):
    lengths = LENGTHS[part]
    return pd.DataFrame(
        {
            "utterance": [f"ü {part}/{first + i}" for i in range(len(lengths))],
            "seconds": [length / 50 for length in lengths],
        }
    )


def states_of(part, i, layers=3, size=4):
    generator = np.random.default_rng([part, i])
    shape = (LENGTHS[part][i], layers, size)
    return generator.normal(size=shape).astype(np.float16)


def writer(folder, part):
    rows = rows_of(part)
    expected = fingerprint(backbone_sha256=SHA, view="full", rows=rows)
    store = folder / f"part-{part:03d}-of-002.zarr"
    return (
        store,
        expected,
        PartWriter(
            store,
            utterances=rows["utterance"].tolist(),
            num_frames=np.array(LENGTHS[part]),
            num_layers=3,
            hidden_size=4,
            frame_shift=0.02,
            fingerprint=expected,
        ),
    )


def write_part(folder, part):
    store, expected, part_writer = writer(folder, part)
    for i in range(len(LENGTHS[part])):
        part_writer.append(states_of(part, i))
    part_writer.finish(extract_seconds=1.5, device="cpu")
    assert is_complete(store, expected)
    write_receipt(store.with_suffix(".json"), store)
    return store


def open_both(folder):
    return open_cache(
        folder, [rows_of(0), rows_of(1)], backbone_sha256=SHA, view="full"
    )


@pytest.fixture
def folder(tmp_path):
    for part in (0, 1):
        write_part(tmp_path, part)
    return tmp_path


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_written_is_read_to_the_bit(folder, in_memory):
    cache = open_both(folder)
    if in_memory:
        cache.load()

    written = [states_of(p, i) for p in (0, 1) for i in range(len(LENGTHS[p]))]

    assert cache.utterances == [*rows_of(0)["utterance"], *rows_of(1)["utterance"]]
    assert cache.num_frames.tolist() == LENGTHS[0] + LENGTHS[1]
    assert (cache.num_layers, cache.hidden_size, cache.frame_shift) == (3, 4, 0.02)
    assert cache.num_bytes == sum(LENGTHS[0] + LENGTHS[1]) * 3 * 4 * 2
    assert cache.extract_seconds == 3.0
    for index, states in enumerate(written):
        assert np.array_equal(cache.read(index), states)
        assert np.array_equal(cache.read(index, 1, 3), states[1:3])
    assert np.array_equal(cache.read(4, 90, 999), written[4][90:])


def test_the_format_is_as_documented(folder):
    group = zarr.open_group(folder / "part-000-of-002.zarr", mode="r")

    assert group["hidden_states"].dtype == np.float16
    assert group["hidden_states"].shape == (131, 3, 4)
    assert group["hidden_states"].chunks == (100, 3, 4)
    assert group["hidden_states"].shards == (200, 3, 4)
    assert group["offsets"].dtype == np.int64
    assert group["offsets"][:].tolist() == [0, 3, 4, 124, 131]
    assert group["utterances"][:].tolist() == rows_of(0)["utterance"].tolist()
    assert group.metadata.zarr_format == 3
    attributes = group.attrs.asdict()
    assert attributes["format"] == "unipool-cache"
    assert attributes["version"] == 1
    assert attributes["layer_meaning"] == LAYER_MEANING
    assert attributes["frame_shift"] == 0.02
    receipt = json.loads((folder / "part-000-of-002.json").read_text("utf-8"))
    assert receipt["fingerprint"] == attributes["fingerprint"]


def test_a_part_may_be_empty(tmp_path):
    store = tmp_path / "part-000-of-001.zarr"
    none = rows_of(0)[:0]
    expected = fingerprint(backbone_sha256=SHA, view="full", rows=none)
    PartWriter(
        store,
        utterances=[],
        num_frames=np.zeros(0, int),
        num_layers=3,
        hidden_size=4,
        frame_shift=0.02,
        fingerprint=expected,
    ).finish(extract_seconds=0.0, device="cpu")
    assert is_complete(store, expected)
    write_receipt(store.with_suffix(".json"), store)

    cache = open_cache(tmp_path, [none], backbone_sha256=SHA, view="full")

    assert cache.utterances == []


def test_shards_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("unipool.cache.writer.BYTES_IN_SHARD", 2 * 100 * 3 * 4 * 2)

    store = write_part(tmp_path, 1)  # 252 frames, 200 in a shard

    shards = [p for p in (store / "hidden_states").rglob("*") if p.is_file()]
    assert len([p for p in shards if p.name != "zarr.json"]) == 2
    group = zarr.open_group(store, mode="r")
    written = np.concatenate([states_of(1, 0), states_of(1, 1)])
    assert np.array_equal(group["hidden_states"][:], written)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_utterance_and_layer(tmp_path, value):
    _, _, part_writer = writer(tmp_path, 0)
    part_writer.append(states_of(0, 0))
    states = states_of(0, 1)
    states[0, 2, 3] = value

    with pytest.raises(ValueError, match=r"utterance ü 0/1, layer 2: .* 65504"):
        part_writer.append(states)


def test_the_largest_float16_is_finite(tmp_path):
    _, _, part_writer = writer(tmp_path, 0)

    part_writer.append(np.full((3, 3, 4), 65504, np.float16))


def test_states_of_another_shape_name_the_utterance(tmp_path):
    _, _, part_writer = writer(tmp_path, 0)

    with pytest.raises(
        ValueError, match=r"ü 0/0: .* \(2, 3, 4\), expected \(3, 3, 4\)"
    ):
        part_writer.append(states_of(0, 0)[:2])


def test_a_part_without_receipt_is_refused(folder):
    (folder / "part-001-of-002.json").unlink()

    with pytest.raises(FileNotFoundError, match=r"part-001.*not there; make it again"):
        open_both(folder)


def shard_of(store):
    return next(p for p in (store / "hidden_states" / "c").rglob("*") if p.is_file())


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


HARMS = {
    "shard missing": lambda store: shard_of(store).unlink(),
    "shard cut short": lambda store: cut(shard_of(store)),
    "offsets missing": lambda store: (store / "offsets" / "c" / "0").unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_missing_files_are_an_error_never_zeros(folder, harm):
    HARMS[harm](folder / "part-000-of-002.zarr")

    with pytest.raises(FileNotFoundError, match="missing or cut short; make it again"):
        open_both(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone_sha256": "1" * 64},
        {"view": "crops"},
        {"rows": rows_of(0, first=1)},
        {"rows": rows_of(0).assign(seconds=1.0)},
        {"rows": rows_of(0)[::-1]},
    ],
)
def test_another_content_has_another_fingerprint(change):
    same = {"backbone_sha256": SHA, "view": "full", "rows": rows_of(0)}

    assert fingerprint(**same) == fingerprint(**(same | {"rows": rows_of(0)}))
    assert fingerprint(**same) != fingerprint(**(same | change))


def test_a_corpus_may_move():
    rows = rows_of(0).assign(path="/old/place")
    moved = rows.assign(path="/new/place", accent="x")

    assert fingerprint(backbone_sha256=SHA, view="full", rows=rows) == fingerprint(
        backbone_sha256=SHA, view="full", rows=moved
    )


def test_a_part_of_another_backbone_is_refused(folder):
    with pytest.raises(ValueError, match="made from another backbone or manifest"):
        open_cache(
            folder, [rows_of(0), rows_of(1)], backbone_sha256="1" * 64, view="full"
        )


@pytest.mark.parametrize("change", [{"version": 2}, {"format": "other"}])
def test_another_format_is_refused(folder, change):
    receipt = folder / "part-000-of-002.json"
    facts = json.loads(receipt.read_text("utf-8")) | change
    receipt.write_text(json.dumps(facts), "utf-8")

    with pytest.raises(ValueError, match="this unipool reads unipool-cache version 1"):
        open_both(folder)


def test_a_part_that_was_broken_off_is_not_complete(tmp_path):
    store, expected, part_writer = writer(tmp_path, 0)
    part_writer.append(states_of(0, 0))

    assert not is_complete(store, expected)
    assert not is_complete(tmp_path / "nowhere.zarr", expected)


def test_a_part_of_something_else_or_with_other_values_is_not_complete(folder):
    store = folder / "part-000-of-002.zarr"
    right = fingerprint(backbone_sha256=SHA, view="full", rows=rows_of(0))
    assert is_complete(store, right)
    assert not is_complete(store, "another")

    zarr.open_group(store, mode="a")["hidden_states"][5, 1, 2] = 0.5

    assert not is_complete(store, right)


def test_a_new_writer_begins_anew(folder):
    store = folder / "part-000-of-002.zarr"

    writer(folder, 0)

    right = fingerprint(backbone_sha256=SHA, view="full", rows=rows_of(0))
    assert not is_complete(store, right)
