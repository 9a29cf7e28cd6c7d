"""The cache as a format: what is written is what is read, or it is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import zarr

from unipool.cache import (
    LAYER_MEANING,
    Content,
    PartSet,
    PartWriter,
    fingerprint,
    is_whole,
    layout,
    open_cache,
    write_receipt,
)

# As they are before a test makes them smaller.
FRAMES_IN_BLOCK, FRAMES_IN_CHUNK = layout.FRAMES_IN_BLOCK, layout.FRAMES_IN_CHUNK
SHA = "0" * 64
CPU = torch.device("cpu")
LENGTHS = [[3, 1, 120, 7], [250, 2]]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr("unipool.cache.layout.FRAMES_IN_BLOCK", 20)
    sizes = {"float16": 10, "int8": 20}
    monkeypatch.setattr("unipool.cache.layout.FRAMES_IN_CHUNK", sizes)


@pytest.fixture
def _true_blocks(monkeypatch):
    monkeypatch.setattr("unipool.cache.layout.FRAMES_IN_BLOCK", FRAMES_IN_BLOCK)
    monkeypatch.setattr("unipool.cache.layout.FRAMES_IN_CHUNK", FRAMES_IN_CHUNK)


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
    states = generator.normal(size=(LENGTHS[part][i], layers, size))
    return torch.from_numpy(states).half().transpose(0, 1)  # (L, T, D)


def content_of(part, dtype="float16"):
    rows = rows_of(part)
    return Content(
        utterances=rows["utterance"].tolist(),
        num_frames=np.array(LENGTHS[part]),
        layers=[0, 2, 3],
        hidden_size=4,
        frame_shift=0.02,
        dtype=dtype,
        fingerprint=fingerprint(backbone_sha256=SHA, view={}, rows=rows),
    )


def writer(folder, part, dtype="float16"):
    content = content_of(part, dtype)
    store = folder / f"part-{part:03d}-of-002.zarr"
    return store, content.fingerprint, PartWriter(store, content)


def write_part(folder, part, dtype="float16"):
    store, expected, part_writer = writer(folder, part, dtype)
    with part_writer:
        for i in range(len(LENGTHS[part])):
            part_writer.append(states_of(part, i))
        part_writer.finish(device="cpu")
    assert is_whole(store, expected)
    write_receipt(store.with_suffix(".json"), store)
    return store


def open_both(folder, **changes):
    settings = {"backbone_sha256": SHA} | changes
    return open_cache([PartSet(folder, {}, [rows_of(0), rows_of(1)])], **settings)


def written(part):
    """Give all frames of a part as Zarr has them: (T_total, L, D)."""
    states = [states_of(part, i) for i in range(len(LENGTHS[part]))]
    return torch.cat(states, dim=1).transpose(0, 1).numpy()


@pytest.fixture
def folder(tmp_path):
    for part in (0, 1):
        write_part(tmp_path, part)
    return tmp_path


PLACES = [(part, i) for part in (0, 1) for i in range(len(LENGTHS[part]))]


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_written_is_read_to_the_bit(folder, in_memory):
    cache = open_both(folder)
    if in_memory:
        cache.load(CPU)

    assert cache.utterances == [*rows_of(0)["utterance"], *rows_of(1)["utterance"]]
    assert cache.num_frames.tolist() == LENGTHS[0] + LENGTHS[1]
    assert cache.layers == [0, 2, 3]
    assert (cache.num_layers, cache.hidden_size, cache.frame_shift) == (3, 4, 0.02)
    assert cache.num_bytes == sum(LENGTHS[0] + LENGTHS[1]) * 3 * 4 * 2
    assert sum(cost["extract_seconds"] for cost in cache.costs_of_parts) > 0
    for index, place in enumerate(PLACES):
        states = states_of(*place)
        assert torch.equal(cache.read(index), states)
        assert torch.equal(cache.read(index, 1, 3), states[:, 1:3])
    assert torch.equal(cache.read(4, 90, 999), states_of(1, 0)[:, 90:])


@pytest.mark.parametrize("layers", [[3], [0, 3], [2, 3], [3, 0]])
def test_some_layers_are_read_as_among_all(folder, layers):
    cache = open_both(folder, layers=layers)

    assert cache.num_layers == len(layers)
    stored = [[0, 2, 3].index(layer) for layer in layers]
    for index, place in enumerate(PLACES):
        assert torch.equal(cache.read(index), states_of(*place)[stored])


def test_a_layer_that_is_not_kept_is_an_error(folder):
    with pytest.raises(
        ValueError, match=r"layer 1 is not in .* \[0, 2, 3\] are; change"
    ):
        open_both(folder, layers=[0, 1])


@pytest.mark.parametrize("in_memory", [False, True])
def test_int8_is_as_near_as_its_scales_allow(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 3 * 20 * 3 * 4)
    for part in (0, 1):
        write_part(tmp_path, part, "int8")
    cache = open_both(tmp_path)
    if in_memory:
        cache.load(CPU)

    for index, (part, i) in enumerate(PLACES):
        states = states_of(part, i)
        all_frames = torch.from_numpy(written(part)).transpose(0, 1)
        first = sum(LENGTHS[part][:i])
        whole = cache.read(index)
        for t in range(states.shape[1]):
            block = (first + t) // 20
            largest = all_frames[:, block * 20 :][:, :20].abs().amax(1).float()
            read = cache.read(index, t, t + 1)[:, 0].float()
            assert torch.equal(whole[:, t].float(), read)  # over the borders of shards
            difference = (read - states[:, t].float()).abs()
            assert (difference <= 0.505 * largest / 127 + 1e-3 * read.abs()).all()


@pytest.mark.usefixtures("_true_blocks")
def test_int8_takes_half_the_bytes(tmp_path):
    content = {
        dtype: Content(["u"], np.array([12_000]), [0, 1], 64, 0.02, dtype, "f")
        for dtype in ("float16", "int8")
    }
    states = torch.randn(2, 12_000, 64).half()
    stored = {}
    for dtype in content:
        with PartWriter(tmp_path / f"{dtype}.zarr", content[dtype]) as part_writer:
            part_writer.append(states)
            part_writer.finish(device="cpu")
        write_receipt(tmp_path / f"{dtype}.json", tmp_path / f"{dtype}.zarr")
        receipt = json.loads((tmp_path / f"{dtype}.json").read_text("utf-8"))
        stored[dtype] = receipt["stored_bytes"]

    assert stored["int8"] < 0.51 * stored["float16"]


@pytest.mark.usefixtures("_true_blocks")
def test_the_format_is_as_documented(tmp_path):
    write_part(tmp_path, 0)
    group = zarr.open_group(tmp_path / "part-000-of-002.zarr", mode="r")

    assert group["hidden_states"].dtype == np.float16
    assert group["hidden_states"].shape == (131, 3, 4)
    assert group["hidden_states"].chunks == (20, 1, 4)
    assert group["hidden_states"].shards == (160, 3, 4)
    assert np.array_equal(group["hidden_states"][:], written(0))
    assert group["offsets"].dtype == np.int64
    assert group["offsets"][:].tolist() == [0, 3, 4, 124, 131]
    assert group["utterances"][:].tolist() == rows_of(0)["utterance"].tolist()
    assert group.metadata.zarr_format == 3
    attributes = group.attrs.asdict()
    assert attributes["format"] == "unipool-cache"
    assert attributes["version"] == 3
    assert attributes["layers"] == [0, 2, 3]
    assert attributes["layer_meaning"] == LAYER_MEANING
    assert attributes["frame_shift"] == 0.02
    receipt = json.loads((tmp_path / "part-000-of-002.json").read_text("utf-8"))
    assert receipt["fingerprint"] == attributes["fingerprint"]
    assert "scales" not in group


@pytest.mark.usefixtures("_true_blocks")
def test_the_format_of_int8_is_as_documented(tmp_path, monkeypatch):
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 160 * 3 * 4)
    store = write_part(tmp_path, 1, "int8")  # 252 frames

    group = zarr.open_group(store, mode="r")

    assert group["hidden_states"].dtype == np.int8
    assert group["hidden_states"].chunks == (40, 1, 4)
    assert group["hidden_states"].shards == (160, 3, 4)
    assert group["scales"].dtype == np.float16
    assert group["scales"].shape == (2, 3, 4)
    scales = group["scales"][:].astype(np.float32)[np.arange(252) // 160]
    states = group["hidden_states"][:] * scales
    largest = np.abs(written(1)).max()
    assert np.abs(states - written(1)).max() < 0.01 * largest


def test_plain_zarr_does_not_take_a_lost_shard_for_data(tmp_path):
    for dtype in ("float16", "int8"):
        store = write_part(tmp_path, 1, dtype)
        shard_of(store).unlink()
        values = zarr.open_group(store, mode="r")["hidden_states"][:]
        assert np.isnan(values).all() if dtype == "float16" else (values == -128).all()


def test_a_part_may_be_empty(tmp_path):
    store = tmp_path / "part-000-of-001.zarr"
    none = rows_of(0)[:0]
    expected = fingerprint(backbone_sha256=SHA, view={}, rows=none)
    content = Content([], np.zeros(0, int), [0], 4, 0.02, "float16", expected)
    with PartWriter(store, content) as part_writer:
        part_writer.finish(device="cpu")
    assert is_whole(store, expected)
    write_receipt(store.with_suffix(".json"), store)

    cache = open_cache([PartSet(tmp_path, {}, [none])], backbone_sha256=SHA)

    assert cache.utterances == []


def test_frames_may_come_in_any_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 100 * 3 * 4 * 2)
    generator = np.random.default_rng(0)
    for part in (0, 1):
        _, _, part_writer = writer(tmp_path, part)
        states = torch.from_numpy(written(part)).transpose(0, 1)
        with part_writer:
            while states.shape[1]:
                count = int(generator.integers(1, 150))
                part_writer.append(states[:, :count])
                states = states[:, count:]
            part_writer.finish(device="cpu")
        store = tmp_path / f"part-{part:03d}-of-002.zarr"
        write_receipt(store.with_suffix(".json"), store)

    cache = open_both(tmp_path)

    for index, place in enumerate(PLACES):
        assert torch.equal(cache.read(index), states_of(*place))


def test_shards_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 2 * 100 * 3 * 4 * 2)

    store = write_part(tmp_path, 1)  # 252 frames, 200 in a shard

    shards = [p for p in (store / "hidden_states").rglob("*") if p.is_file()]
    assert len([p for p in shards if p.name != "zarr.json"]) == 2
    group = zarr.open_group(store, mode="r")
    assert np.array_equal(group["hidden_states"][:], written(1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_value_that_is_not_finite_names_utterance_and_layer(tmp_path, value, dtype):
    _, _, part_writer = writer(tmp_path, 0, dtype)
    part_writer.append(states_of(0, 0))
    states = torch.cat([states_of(0, 1), states_of(0, 2)], dim=1)
    states[2, 120, 3] = value  # of the third utterance, the last stored layer

    with part_writer, pytest.raises(ValueError, match=r"ü 0/2, layer 3: .* 65504"):
        part_writer.append(states)


def test_the_largest_float16_is_finite(tmp_path):
    _, _, part_writer = writer(tmp_path, 0)

    with part_writer:
        part_writer.append(torch.full((3, 3, 4), 65504, dtype=torch.float16))


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3, 5), (3, 132, 4)])
def test_states_of_another_shape_are_an_error(tmp_path, shape):
    _, _, part_writer = writer(tmp_path, 0)

    with (
        part_writer,
        pytest.raises(ValueError, match=r"expected \(3, 131, 4\) or fewer"),
    ):
        part_writer.append(torch.zeros(shape, dtype=torch.float16))


def read_in_worker(dataset, method):
    loader = torch.utils.data.DataLoader(
        dataset, num_workers=2, batch_size=None, multiprocessing_context=method
    )
    return list(loader)


class Utterances(torch.utils.data.Dataset):
    """What a user would write around a cache."""

    def __init__(self, cache):
        self.cache = cache

    def __len__(self):
        return len(self.cache.utterances)

    def __getitem__(self, index):
        return self.cache.read(index)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("before", ["opened", "read", "loaded"])
def test_workers_of_a_data_loader_read_the_same(folder, method, before):
    cache = open_both(folder)
    if before == "read":
        cache.read(0)
    if before == "loaded":
        cache.load(CPU)

    states = read_in_worker(Utterances(cache), method)

    assert all(
        torch.equal(one, states_of(*place))
        for one, place in zip(states, PLACES, strict=True)
    )


def test_a_part_without_receipt_is_refused(folder):
    (folder / "part-001-of-002.json").unlink()

    with pytest.raises(FileNotFoundError, match=r"part-001.*not there; make it again"):
        open_both(folder)


def shard_of(store):
    return next(p for p in (store / "hidden_states" / "c").rglob("*") if p.is_file())


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_changed_index_is_refused_though_the_reader_could_do_without(
    folder, in_memory
):
    shard = shard_of(folder / "part-000-of-002.zarr")
    content = bytearray(shard.read_bytes())
    content[-10] ^= 1
    shard.write_bytes(content)
    cache = open_both(folder)

    with pytest.raises(ValueError, match="index is not as it was written"):
        cache.load(CPU) if in_memory else cache.read(0)


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
        {"view": {"crops": {"count": 2, "seconds": 3.0, "seed": 0}}},
        {"rows": rows_of(0, first=1)},
        {"rows": rows_of(0).assign(seconds=1.0)},
        {"rows": rows_of(0)[::-1]},
    ],
)
def test_another_content_has_another_fingerprint(change):
    same = {"backbone_sha256": SHA, "view": {}, "rows": rows_of(0)}

    assert fingerprint(**same) == fingerprint(**(same | {"rows": rows_of(0)}))
    assert fingerprint(**same) != fingerprint(**(same | change))


def test_a_corpus_may_move():
    rows = rows_of(0).assign(path="/old/place")
    moved = rows.assign(path="/new/place", accent="x")

    assert fingerprint(backbone_sha256=SHA, view={}, rows=rows) == fingerprint(
        backbone_sha256=SHA, view={}, rows=moved
    )


def test_a_part_of_another_backbone_is_refused(folder):
    with pytest.raises(ValueError, match="made from another backbone or manifest"):
        open_both(folder, backbone_sha256="1" * 64)


@pytest.mark.parametrize("change", [{"version": 1}, {"format": "other"}])
def test_another_format_is_refused(folder, change):
    receipt = folder / "part-000-of-002.json"
    facts = json.loads(receipt.read_text("utf-8")) | change
    receipt.write_text(json.dumps(facts), "utf-8")

    with pytest.raises(ValueError, match="this unipool reads unipool-cache version 3"):
        open_both(folder)


def test_a_part_of_something_else_or_with_other_values_is_not_whole(folder):
    store = folder / "part-000-of-002.zarr"
    right = fingerprint(backbone_sha256=SHA, view={}, rows=rows_of(0))
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
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 100 * 3 * 4 * 2)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("num_appended", [0, 1, 2, 3])
def test_a_part_that_was_broken_off_goes_on_after_its_last_whole_shard(
    tmp_path, monkeypatch, num_appended, dtype
):
    # Shards of 40 frames of int8, of 20 of float16: the last is not full.
    monkeypatch.setattr("unipool.cache.store.BYTES_IN_SHARD", 2 * 20 * 3 * 4)
    store, expected, broken = writer(tmp_path, 0, dtype)  # 131 frames
    with broken:
        for i in range(num_appended):
            broken.append(states_of(0, i))
    assert not is_whole(store, expected)
    (store / "hidden_states" / "c").mkdir(exist_ok=True)
    (store / "hidden_states" / "c" / "1.partial").write_bytes(b"torn")

    _, _, resumed = writer(tmp_path, 0, dtype)
    whole = resumed.num_whole
    with resumed:
        resumed.go_to(4 if whole else 0)  # an utterance may begin before
        for i in range(2 if whole else 0, 4):
            resumed.append(states_of(0, i))
        resumed.finish(device="cpu")

    on_disk = 120
    assert whole == (on_disk if num_appended == 3 else 0)
    assert is_whole(store, expected)
    (tmp_path / "unbroken").mkdir()
    write_part(tmp_path / "unbroken", 0, dtype)
    for name in ("hidden_states", "scales"):
        files = sorted((tmp_path / "unbroken" / store.name / name).glob("c/*/0/0"))
        for file in files:
            again = store / file.relative_to(tmp_path / "unbroken" / store.name)
            assert again.read_bytes() == file.read_bytes()


def test_a_writer_leaves_no_gap(tmp_path):
    _, _, part_writer = writer(tmp_path, 0)

    with pytest.raises(ValueError, match="frame 1 cannot be next, 0 frames are whole"):
        part_writer.go_to(1)


@pytest.mark.usefixtures("_small_shards")
def test_a_shard_that_cannot_be_written_names_the_store_and_the_way_out(tmp_path):
    store, _, part_writer = writer(tmp_path, 1)
    (store / "hidden_states" / "c").write_text("in the way")

    way_out = r"part-001-of-002\.zarr: cannot .* room"
    with part_writer, pytest.raises(OSError, match=way_out):
        part_writer.append(states_of(1, 0))


@pytest.mark.usefixtures("_small_shards")
def test_a_damaged_shard_is_written_again_and_what_is_before_it_stays(tmp_path):
    store = write_part(tmp_path, 1)  # 252 frames: shards of 100
    first, second, _ = sorted((store / "hidden_states" / "c").glob("*/0/0"))
    modified = first.stat().st_mtime_ns
    cut(second)

    _, expected, mending = writer(tmp_path, 1)
    assert mending.num_whole == 100
    with mending:
        mending.go_to(0)
        for i in range(2):
            mending.append(states_of(1, i))
        mending.finish(device="cpu")

    assert is_whole(store, expected)
    assert first.stat().st_mtime_ns == modified


def test_a_store_of_another_part_is_begun_anew(folder):
    other = folder / "part-000-of-002.zarr"

    fresh = PartWriter(other, content_of(1)._replace(fingerprint="another"))

    assert fresh.num_whole == 0
    assert zarr.open_group(other, mode="r")["offsets"][:].tolist() == [0, 250, 252]


@pytest.mark.parametrize("change", [{"dtype": "int8"}, {"layers": [0, 1, 3]}])
def test_a_store_of_other_settings_is_begun_anew(tmp_path, change):
    store = write_part(tmp_path, 0)

    assert PartWriter(store, content_of(0)._replace(**change)).num_whole == 0


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
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_of_a_thousand_damages_none_is_read_as_data(tmp_path, dtype):
    pristine = tmp_path / "pristine"
    pristine.mkdir()
    for part in (0, 1):
        write_part(pristine, part, dtype)
    content = {
        path.relative_to(pristine): path.read_bytes()
        for path in sorted(pristine.rglob("*"))
        if path.is_file()
    }
    cache = open_both(pristine)
    names = cache.utterances
    expected = [cache.read(i) for i in range(len(names))]
    generator = np.random.default_rng(0)
    messages = []

    for _ in range(500):
        victim = list(content)[generator.integers(len(content))]
        damage(pristine / victim, generator)
        try:
            cache = open_both(pristine)
            cache.load(CPU)
        except (ValueError, FileNotFoundError) as error:
            messages.append(str(error))
        else:
            assert cache.utterances == names
            assert all(
                torch.equal(cache.read(i), states) for i, states in enumerate(expected)
            )
        (pristine / victim).write_bytes(content[victim])

    assert len(messages) > 450
    assert all("--force" in message for message in messages)
