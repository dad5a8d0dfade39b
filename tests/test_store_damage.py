"""Damage in a feature store: each array and each zarr.json, named when it is read and mended by `extract`."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest

from microexpr import extract, read_casme2
from microexpr.store import FeatureStore, StoreError

OPTIONS = {"blocks": (2, 2), "size": (32, 32), "n_jobs": 1, "progress": False}
CLIPS = (
    "dataset",
    "subject",
    "clip",
    "emotion",
    "action_units",
    "onset",
    "apex",
    "offset",
    "identity",
    "crc",
)
FRAMES = ("content", "stat", "count", "mean", "crc")
ARRAYS = [f"clips/{name}" for name in CLIPS] + [f"frames/{name}" for name in FRAMES]
ARRAYS += ["u/2x2", "crc/2x2", "key/2x2"]


@pytest.fixture(scope="module")
def stores(simulated, tmp_path_factory):
    """One that is whole, and the same when its clips had other frames and labels."""
    folder = tmp_path_factory.mktemp("stores")
    table = read_casme2(simulated(subjects=4, clips=36, frames=(3, 4)))  # two chunks of rows
    before = table.assign(frames=[frames[1:] for frames in table["frames"]], emotion="others", onset=7)
    before = before.assign(apex=8, offset=9, action_units="1+2")
    extract(before[:34], folder / "older.zarr", **OPTIONS)
    shutil.copytree(folder / "older.zarr", folder / "whole.zarr")
    extract(table, folder / "whole.zarr", **OPTIONS)
    return folder / "whole.zarr", folder / "older.zarr", table, extract(table, **OPTIONS).X


@pytest.fixture
def path(tmp_path, stores):
    return shutil.copytree(stores[0], tmp_path / "x.zarr")


def read(path, stores):
    """Read everything: each number is right, or there is an error that names the store and what to do."""
    whole, _, table, X = stores
    right, errors = FeatureStore(whole), []

    def same_table(store):
        there, expected = store.table, right.table
        known = there.pop("n_frames").dropna()
        n_frames = expected.pop("n_frames")
        assert there.equals(expected[: len(there)])  # fewer in a zarr.json of an older moment
        assert known.tolist() == n_frames[known.index].tolist()

    def same_rows(store):
        assert {row.tobytes() for row in store.load((2, 2))} <= {row.tobytes() for row in X}

    for check in (
        same_table,
        same_rows,
        lambda store: np.testing.assert_array_equal(store.load((2, 2), table), X),
        lambda store: np.testing.assert_array_equal(store.mean_face(table), right.mean_face()),
        lambda store: np.testing.assert_equal(store.digest(table), right.digest()),
        lambda store: store.missing((2, 2)),
    ):
        try:
            check(FeatureStore(path))
        except StoreError as error:
            errors.append(str(error))
    assert all(str(path) in error and "extract" in error for error in errors)
    return errors


def mend(path, stores):
    """Extract: then everything is as it was, and nothing is left over."""
    whole, _, table, _ = stores
    extract(table, path, **OPTIONS)
    assert read(path, stores) == []
    assert FeatureStore(path).table.equals(FeatureStore(whole).table)
    report = FeatureStore(path).check(progress=False)
    assert (report.problems, report.claims, report.n_unfinished) == ([], [], 0)


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


@pytest.mark.parametrize("array", ARRAYS)
def test_a_chunk(array, path, stores):
    chunk = next((path / array / "c" / "0").glob("0*"), path / array / "c" / "0")
    if array == "frames/mean":
        chunk /= "0"
    name, whole = chunk.relative_to(path), chunk.read_bytes()
    for damaged in (flipped(whole), whole[: len(whole) // 2]):
        chunk.write_bytes(damaged)
        problems = FeatureStore(path).check(progress=False).problems
        assert any(problem.startswith(array) for problem in problems), problems
        errors = read(path, stores)
        assert array == "frames/stat" or errors  # that one is read by `extract` alone
        assert not array.startswith("clips/") or any(array in error for error in errors)
    chunk.unlink()
    assert f"{array}: chunk 0 is gone" in FeatureStore(path).check(progress=False).problems
    read(path, stores)
    shutil.copy(stores[1] / name, chunk)
    read(path, stores)
    mend(path, stores)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", ["clips/emotion/c/0/0", "u/2x2/c/0/0", "key/2x2/zarr.json", "zarr.json"])
def test_no_regular_file(name, make, path, stores):
    (path / name).unlink()
    make(path / name)
    assert read(path, stores)
    mend(path, stores)


def hostile(group):
    """Yield what could stand in an array's zarr.json instead."""
    yield from (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000)
    shape, codecs = group["shape"], group["codecs"]
    for changed in (
        {"shape": [1 << 62, *shape[1:]]},
        {"shape": "x"},
        {"shape": [*shape, 1 << 40]},
        {"data_type": "object"},
        {"data_type": 1e999},
        {"codecs": [{"name": "zstd"}, *codecs[1:]]},
        {"codecs": [*codecs[:-1], {"name": "crc32c", "configuration": {"level": 1e999}}]},
        {"chunk_grid": None},
        {"fill_value": 1},
        {"attributes": []},
        {"node_type": "group"},
        {"zarr_format": True},
        {"more": 1},
    ):
        yield json.dumps(group | changed).encode()


@pytest.mark.parametrize("array", ["clips/emotion", "clips/identity", "frames/mean", "u/2x2", "key/2x2"])
def test_the_zarr_json_of_an_array(array, path, stores):
    file = path / array / "zarr.json"
    group = json.loads(file.read_bytes())
    for content in hostile(group):
        file.write_bytes(content)
        with pytest.raises(StoreError, match=rf"x\.zarr: {array}/zarr\.json is damaged.*extract into it"):
            FeatureStore(path).arrays.get(array)
    assert read(path, stores)
    file.unlink()
    problems = FeatureStore(path).check(progress=False).problems
    assert any(array in problem for problem in problems)
    read(path, stores)
    mend(path, stores)


def test_the_zarr_json_of_the_store(path, stores):
    file = path / "zarr.json"
    group = json.loads(file.read_bytes())
    attributes = group["attributes"]
    contents = [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000]
    contents += [json.dumps(group | {name: None}).encode() for name in group]
    for name, value in (
        ("rows", 32),  # what a flipped bit makes of 36: a clip would be gone without a word
        ("rows", 1e999),
        ("rows", "36"),
        ("parameters", attributes["parameters"] | {"C": 3.0}),
        ("parameters", attributes["parameters"] | {"size": [1 << 40, 1]}),
        ("format", "x"),
        ("versions", {}),
        ("crc32", True),
    ):
        contents.append(json.dumps(group | {"attributes": attributes | {name: value}}).encode())
    for content in contents:
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"x\.zarr: zarr\.json is damaged.*extract into it again"):
            FeatureStore(path)
    mend(path, stores)
    for content in (contents[1], contents[-3], contents[-8]):
        file.write_bytes(content)
        mend(path, stores)


def test_everything_at_once(path, stores):
    """One chunk or one zarr.json of each array."""
    for k, array in enumerate(ARRAYS):
        files = [file for file in (path / array).rglob("*") if file.is_file()]
        file = files[k % len(files)]
        file.write_bytes(flipped(file.read_bytes())) if k % 2 else file.unlink()
    (path / "zarr.json").write_bytes(b"")
    read(path, stores)
    mend(path, stores)


def test_clips_that_are_not_there_have_no_mean_face(path, stores):
    table = stores[2]
    other = table.assign(clip=table["clip"].where(table.index != 3, "EP99"))
    with pytest.raises(
        StoreError, match=r"has no mean frame \(frames/mean\) of 1 of these clips; extract them again"
    ):
        FeatureStore(path).mean_face(other)


def test_a_row_counts_for_the_clip_that_it_is_of(path, stores):
    """With the store's zarr.json of another moment rows are given out anew, maybe to other clips."""
    table, group = stores[2], json.loads((path / "zarr.json").read_text())
    attributes = group["attributes"]
    attributes["rows"] = 0
    attributes["crc32"] = zlib.crc32(
        json.dumps({k: v for k, v in attributes.items() if k != "crc32"}, sort_keys=True).encode()
    )
    (path / "zarr.json").write_text(json.dumps(group))
    store = FeatureStore(path, "a")
    store.register(table[::-1].reset_index(drop=True), {(2, 2): {}})
    assert set(dict(store.missing((2, 2), table)).values()) == {"outdated"}
    for read in (store.digest, store.mean_face):
        with pytest.raises(StoreError, match="damaged"):
            read(table)
    clips = extract(table, path, **OPTIONS)
    assert clips.n_computed == 36
    np.testing.assert_array_equal(clips.X, stores[3])
