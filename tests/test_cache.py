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
    is_whole,
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


def layers_of(part, i):
    """Give them as they are read: (L, T, D)."""
    return states_of(part, i).transpose(1, 0, 2)


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
    part_writer.finish(device="cpu")
    assert is_whole(store, expected)
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
    assert cache.extract_seconds > 0
    for index, states in enumerate(written):
        layers = states.transpose(1, 0, 2)
        assert np.array_equal(cache.read(index), layers)
        assert np.array_equal(cache.read(index, 1, 3), layers[:, 1:3])
    assert np.array_equal(cache.read(4, 90, 999), layers_of(1, 0)[:, 90:])


def test_the_format_is_as_documented(folder):
    group = zarr.open_group(folder / "part-000-of-002.zarr", mode="r")

    assert group["hidden_states"].dtype == np.float16
    assert group["hidden_states"].shape == (131, 3, 4)
    assert group["hidden_states"].chunks == (100, 1, 4)
    assert group["hidden_states"].shards == (200, 3, 4)
    written = np.concatenate([states_of(0, i) for i in range(4)])
    assert np.array_equal(group["hidden_states"][:], written)
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
    ).finish(device="cpu")
    assert is_whole(store, expected)
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


def test_a_part_of_something_else_or_with_other_values_is_not_whole(folder):
    store = folder / "part-000-of-002.zarr"
    right = fingerprint(backbone_sha256=SHA, view="full", rows=rows_of(0))
    assert is_whole(store, right)
    assert not is_whole(store, "another")
    assert not is_whole(folder / "nowhere.zarr", right)

    shard = shard_of(store)
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)

    assert not is_whole(store, right)


@pytest.fixture
def _small_shards(monkeypatch):
    monkeypatch.setattr("unipool.cache.writer.BYTES_IN_SHARD", 100 * 3 * 4 * 2)


@pytest.mark.usefixtures("_small_shards")
@pytest.mark.parametrize("num_appended", [0, 1, 2, 3])
def test_a_part_that_was_broken_off_goes_on_after_its_last_whole_shard(
    tmp_path, num_appended
):
    store, expected, broken = writer(tmp_path, 0)  # 131 frames: shards of 100
    for i in range(num_appended):
        broken.append(states_of(0, i))
    assert not is_whole(store, expected)
    (store / "hidden_states" / "c").mkdir(exist_ok=True)
    (store / "hidden_states" / "c" / "1.partial").write_bytes(b"torn")

    _, _, resumed = writer(tmp_path, 0)
    whole = resumed.num_whole
    resumed.go_to(max(whole - 1, 0))  # a window may begin before
    for i in range(max(whole - 1, 0), 4):
        resumed.append(states_of(0, i))
    resumed.finish(device="cpu")

    assert whole == (2 if num_appended == 3 else 0)
    assert is_whole(store, expected)
    write_receipt(store.with_suffix(".json"), store)
    write_part(tmp_path, 1)
    cache = open_both(tmp_path)
    for i in range(4):
        assert np.array_equal(cache.read(i), layers_of(0, i))


def test_a_writer_leaves_no_gap(tmp_path):
    _, _, part_writer = writer(tmp_path, 0)

    with pytest.raises(ValueError, match="utterance 1 cannot be next, 0 are whole"):
        part_writer.go_to(1)


@pytest.mark.usefixtures("_small_shards")
def test_a_shard_that_cannot_be_written_names_the_store_and_the_way_out(tmp_path):
    store, _, part_writer = writer(tmp_path, 1)
    (store / "hidden_states" / "c").write_text("in the way")

    with pytest.raises(OSError, match=r"part-001-of-002\.zarr: .* make room or name"):
        part_writer.append(states_of(1, 0))


@pytest.mark.usefixtures("_small_shards")
def test_a_damaged_shard_is_written_again_and_what_is_before_it_stays(tmp_path):
    store = write_part(tmp_path, 1)  # 252 frames: shards of 100
    first, second, _ = sorted((store / "hidden_states" / "c").glob("*/0/0"))
    modified = first.stat().st_mtime_ns
    cut(second)

    _, expected, mending = writer(tmp_path, 1)
    assert mending.num_whole == 0  # the first utterance ends in the third shard
    for i in range(2):
        mending.append(states_of(1, i))
    mending.finish(device="cpu")

    assert is_whole(store, expected)
    assert first.stat().st_mtime_ns == modified


def test_a_store_of_another_part_is_begun_anew(folder):
    other = folder / "part-000-of-002.zarr"
    rows = rows_of(1)

    fresh = PartWriter(
        other,
        utterances=rows["utterance"].tolist(),
        num_frames=np.array(LENGTHS[1]),
        num_layers=3,
        hidden_size=4,
        frame_shift=0.02,
        fingerprint="another",
    )

    assert fresh.num_whole == 0
    assert zarr.open_group(other, mode="r")["offsets"][:].tolist() == [0, 250, 252]


def damage(path, generator):
    """Change a byte, cut the file, lengthen it, or remove it."""
    content = bytearray(path.read_bytes())
    kind = generator.integers(4)
    if kind == 0 and content:
        content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    elif kind == 1 and content:
        del content[generator.integers(len(content)) :]
    elif kind == 2:
        content += bytes(generator.integers(0, 256, size=3, dtype=np.uint8))
    else:
        path.unlink()
        return
    path.write_bytes(content)


@pytest.mark.usefixtures("_small_shards")
def test_of_a_thousand_damages_none_is_read_as_data(tmp_path):
    pristine = tmp_path / "pristine"
    pristine.mkdir()
    for part in (0, 1):
        write_part(pristine, part)
    content = {
        path.relative_to(pristine): path.read_bytes()
        for path in sorted(pristine.rglob("*"))
        if path.is_file()
    }
    expected = [layers_of(p, i) for p in (0, 1) for i in range(len(LENGTHS[p]))]
    names = open_both(pristine).utterances
    generator = np.random.default_rng(0)
    messages = []

    for _ in range(1000):
        victim = list(content)[generator.integers(len(content))]
        damage(pristine / victim, generator)
        try:
            cache = open_both(pristine)
            cache.load()
        except (ValueError, FileNotFoundError) as error:
            messages.append(str(error))
        else:
            assert cache.utterances == names
            assert all(
                np.array_equal(cache.read(i), states)
                for i, states in enumerate(expected)
            )
        (pristine / victim).write_bytes(content[victim])

    assert len(messages) > 900
    assert all("--force" in message for message in messages)
