"""The feature store: what it keeps, what it notices, and what a killed writer leaves."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

import microexpr
from microexpr import extract, read_casme2
from microexpr._wording import command_line
from microexpr.data import read_frames
from microexpr.store import FeatureStore, StoreError

GRIDS = [(2, 2), (2, 3)]
SIZE = (32, 32)


@pytest.fixture(scope="module")
def table(simulated):
    return read_casme2(simulated(subjects=5, clips=70, frames=(3, 6)))  # 70 clips: three chunks of rows


@pytest.fixture(scope="module")
def features(table):
    return extract(table, blocks=GRIDS, size=SIZE).features


@pytest.fixture
def path(tmp_path):
    return tmp_path / "features.zarr"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("store") / "whole.zarr"
    fill(path, table)
    return path


@pytest.fixture
def filled(path, whole):
    """A store of its own with all the clips in it."""
    return shutil.copytree(whole, path)


def fill(path, table, **options):
    return extract(table, path, **{"blocks": GRIDS, "size": SIZE} | options)


def chunk_files(path):
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def test_the_store_gives_the_features_of_memory_bit_for_bit(path, table, features):
    clips = fill(path, table)
    store = clips.store
    assert (clips.n_computed, clips.n_skipped) == (70, 0)
    for grid in GRIDS:
        np.testing.assert_array_equal(store.load(grid, table), features[grid])
        np.testing.assert_array_equal(FeatureStore(path).load(grid), features[grid])
    shuffled = table.sample(frac=0.5, random_state=0)
    np.testing.assert_array_equal(store.load((2, 2), shuffled), features[2, 2][shuffled.index])


def test_the_table_is_kept(path, table):
    table = table.copy()
    table.loc[3, "apex"] = pd.NA
    table.loc[4, "action_units"] = "R12+Ä"
    store = fill(path, table).store
    assert store.blocks == GRIDS
    kept = store.table
    for column in ("dataset", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units"):
        assert kept[column].isna().tolist() == table[column].isna().tolist()
        assert kept[column].dropna().tolist() == table[column].dropna().tolist(), column
    assert kept["n_frames"].tolist() == [len(frames) for frames in table["frames"]]


def test_the_mean_face(whole, table):
    store = FeatureStore(whole)
    some = table[table["subject"] == "02"]
    means = [np.rint(read_frames(frames, SIZE).mean(axis=0)) for frames in some["frames"]]
    np.testing.assert_allclose(store.mean_face(some), np.mean(means, axis=0))


def test_plain_zarr_reads_it_as_documented(filled, path, table, features):
    """Without a line of this package: what docs/store.md says."""
    group = zarr.open_group(path, mode="r")
    assert group.attrs["format"] == "microexpr-features"
    assert group.attrs["parameters"]["size"] == list(SIZE)
    there = np.flatnonzero(group["key/2x2"][:].any(axis=1))
    assert len(there) == group.attrs["rows"] == 70
    np.testing.assert_array_equal(group["u/2x2"][:][there], features[2, 2])
    texts = [bytes(row).rstrip(b"\0").decode() for row in group["clips/clip"][:][there]]
    assert texts == table["clip"].tolist()
    assert group["clips/onset"][:][there].tolist() == table["onset"].tolist()
    # and the codecs are of zarr's core specification alone
    for file in path.rglob("zarr.json"):
        meta = json.loads(file.read_text())
        assert {codec["name"] for codec in meta.get("codecs", [])} <= {"bytes", "gzip", "crc32c"}


def test_a_second_run_computes_nothing(filled, path, table, monkeypatch):
    before = {file: file.stat().st_mtime_ns for file in chunk_files(path)}

    def fail(*arguments, **options):
        raise AssertionError("a clip was described again")

    monkeypatch.setattr(microexpr._recipe.Recipe, "describe", fail)
    clips = fill(path, table)
    assert (clips.n_computed, clips.n_skipped) == (0, 70)
    assert {file: file.stat().st_mtime_ns for file in chunk_files(path)} == before


def test_only_what_changed_is_computed(filled, path, table, features, tmp_path):
    copies = []
    for frames in table["frames"][:3]:
        folder = tmp_path / Path(frames[0]).parent.name
        folder.mkdir()
        copies.append([folder / frame.name for frame in frames])
        for frame, copy in zip(frames, copies[-1], strict=True):
            copy.write_bytes(frame.read_bytes())
    moved = table.copy()
    for k in range(3):
        moved.at[k, "frames"] = copies[k]
    clips = fill(path, moved)  # other folders and times, the same contents
    assert (clips.n_computed, clips.n_skipped) == (0, 70)

    copies[1][0].write_bytes(copies[1][1].read_bytes())  # another picture
    moved.at[2, "frames"] = copies[2][1:]  # another onset
    moved.loc[5, "emotion"] = "surprise"  # another label: the features stay
    clips = fill(path, moved)
    store = clips.store
    assert (clips.n_computed, clips.n_skipped) == (2, 68)
    assert store.table["emotion"][5] == "surprise"
    expected = extract(moved[1:3], blocks=GRIDS, size=SIZE).features
    assert (expected[2, 2] != features[2, 2][1:3]).any(axis=1).all()
    for grid in GRIDS:
        np.testing.assert_array_equal(store.load(grid, moved)[1:3], expected[grid])
        np.testing.assert_array_equal(store.load(grid, moved)[3:], features[grid][3:])


def test_a_changed_clip_is_outdated_in_the_grids_not_asked_for(filled, path, table, tmp_path):
    changed = table.copy()
    changed.at[40, "frames"] = table["frames"][40][:-1]
    store = fill(path, changed, blocks=(2, 2)).store
    assert store.missing((2, 2), table) == []
    assert store.missing((2, 3), table) == [(40, "outdated")]
    assert len(store.complete()) == 69
    clip = f"{table['subject'][40]}/{table['clip'][40]}"
    with pytest.raises(
        StoreError, match=f"lacks 1 of the 70 clips in 2x3 blocks: CASME II {clip} is outdated"
    ):
        store.load((2, 3), table)


def test_a_new_algorithm_outdates_everything(path, table, monkeypatch):
    fill(path, table[:5])
    monkeypatch.setattr(microexpr.store, "ALGORITHM", microexpr.store.ALGORITHM + 1)
    assert FeatureStore(path).missing((2, 2)) == [(k, "outdated") for k in range(5)]
    clips = fill(path, table[:5])
    assert clips.n_computed == 5


def test_grids_and_clips_are_added(path, table, features):
    fill(path, table[:40], blocks=(2, 2))
    clips = fill(path, table[30:].reset_index(drop=True))
    store = clips.store
    assert (clips.n_computed, clips.n_skipped) == (40, 0)  # ten of them for the new grid only
    np.testing.assert_array_equal(store.load((2, 2), table), features[2, 2])
    assert store.missing((2, 3), table) == [(k, "not extracted") for k in range(30)]
    assert len(store.table) == 70


def test_several_data_sets_side_by_side(path, table, features):
    fill(path, table[:4])
    other = table[:4].assign(dataset="SAMM")
    clips = fill(path, other)
    store = clips.store
    assert clips.n_computed == 4
    combined = pd.concat([other, table[:4]], ignore_index=True)
    combined["subject"] = combined["dataset"] + "/" + combined["subject"]  # as `combine` names them
    np.testing.assert_array_equal(store.load((2, 2), combined), np.tile(features[2, 2][:4], (2, 1)))


def test_the_digest_is_of_the_data_and_nothing_else(path, table, tmp_path):
    store = fill(path, table[:6]).store
    again = fill(tmp_path / "again.zarr", table[:6][::-1], blocks=(1, 1)).store
    assert store.digest() == again.digest()
    assert store.digest(table[:5]) != store.digest()
    with pytest.raises(StoreError, match="is not extracted"):
        store.digest(table[:7])


def test_one_row_that_is_another_clips_is_damaged(filled, path, table):
    """A chunk that is whole, but not the one that belongs there: as after a power failure."""
    group = zarr.open_group(path, mode="r+")
    group["u/2x2"][3] = group["u/2x2"][4]
    assert FeatureStore(path).missing((2, 2)) == [(3, "damaged")]


WRITER = """
import itertools, os, signal, sys
import zarr, zarr.storage._local as local
from microexpr import _filling, extract, read_casme2

_filling._WRITE_FIRST = _filling._WRITE_AFTER = 600  # each run writes as often, however slow the machine

root, out = sys.argv[1:]
table, put = read_casme2(root), local._put
extract(table[:2], blocks=(2, 2), size=(32, 32), n_jobs=1)  # the kernels, once for all that follow

def write(path, kill_at):
    writes = itertools.count(1)

    def counted(*arguments, **options):
        if next(writes) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(*arguments, **options)

    local._put = counted
    extract(table, path, blocks=[(2, 2), (2, 3)], size=(32, 32), n_jobs=1)
    return next(writes) - 1

def child(function, *arguments):
    pid = os.fork()  # zarr's threads are not there yet
    if not pid:
        function(*arguments)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def count():
    open(f"{out}/count", "w").write(str(write(f"{out}/all.zarr", 0)))

assert child(count) == 0
n = int(open(f"{out}/count").read())
for k in sorted({1, 2, n // 4, n // 3, n // 2, *range(n - 45, n + 1, 9), n}):
    assert child(write, f"{out}/{k}.zarr", k) == signal.SIGKILL, k
"""


def test_killed_before_any_of_its_writes(table, features, tmp_path):
    """SIGKILL instead of the k-th file written: rows are right or absent, and a run goes on."""
    root = Path(table["frames"][0][0]).parents[3]
    done = subprocess.run([sys.executable, "-c", WRITER, root, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {int(path.stem): path for path in tmp_path.glob("*.zarr") if path.stem != "all"}
    assert len(found) > 8
    kept = {}
    for k, path in sorted(found.items()):
        if not (path / "zarr.json").exists():
            with pytest.raises(StoreError, match="no feature store"):
                FeatureStore(path)
            continue
        store = FeatureStore(path)
        for grid in store.blocks:
            whys = dict(store.missing(grid, table))
            assert set(whys.values()) <= {"not extracted"}
            rows = [j for j in range(70) if j not in whys]
            np.testing.assert_array_equal(store.load(grid, table.iloc[rows]), features[grid][rows])
            kept[k, grid] = len(rows)
    assert {0, 32, 64} <= set(kept.values())  # it was killed within chunks and between them
    for k in (min(found), sorted(found)[len(found) // 2], max(found)):
        after = fill(found[k], table)
        assert after.n_skipped == min(kept.get((k, grid), 0) for grid in GRIDS)
        for grid in GRIDS:
            np.testing.assert_array_equal(after.store.load(grid, table), features[grid])


def test_interrupted_by_the_user(path, table, features, monkeypatch):
    """Ctrl-C in the middle: what was done is kept, the chunk begun included."""
    described = microexpr._recipe.Recipe.describe
    count = iter(range(1000))

    def interrupt(*arguments):
        if next(count) == 45:
            raise KeyboardInterrupt
        return described(*arguments)

    monkeypatch.setattr(microexpr._recipe.Recipe, "describe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fill(path, table, n_jobs=1)
    store = FeatureStore(path)
    kept = 70 - len(store.missing((2, 2), table))
    assert 40 <= kept <= 45
    np.testing.assert_array_equal(store.load((2, 2)), features[2, 2][:kept])


def test_two_writers_with_their_own_chunks(whole, path, table, features):
    """As parallel writers do: registered by one, each chunk written by one."""
    source = FeatureStore(whole)
    store = FeatureStore(path, "a", source.parameters)
    rows = store.register(table, {(2, 2): {}})
    writers = [FeatureStore(path, "a"), FeatureStore(path, "a")]
    contents, stats = source.sources(np.arange(70))
    for start in (64, 0, 32):
        part = rows[(rows >= start) & (rows < start + 32)]
        writers[start // 32 % 2].write(
            part,
            {(2, 2): features[2, 2][part]},
            content=contents[part],
            stat=stats[part],
            count=np.full(len(part), 3),
            mean=np.zeros((len(part), *SIZE), np.uint8),
        )
    np.testing.assert_array_equal(FeatureStore(path).load((2, 2), table), features[2, 2])
    with pytest.raises(ValueError, match="rows 31 to 32 lie in more than one chunk of 32"):
        store.write(np.array([31, 32]), {}, content=contents, stat=stats, count=rows, mean=rows)


def test_what_is_no_store(tmp_path, table):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match=r"missing\.zarr: there is no feature store"):
        FeatureStore(tmp_path / "missing.zarr")
    for name in ("folder", "file", "other.zarr"):
        with pytest.raises(StoreError, match=f"{name} is not a feature store of microexpr"):
            FeatureStore(tmp_path / name)
        with pytest.raises(StoreError, match=f"{name} is not a feature store of microexpr"):
            fill(tmp_path / name, table[:2])
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreError, match="nowhere: no such folder"):
        fill(tmp_path / "nowhere" / "x.zarr", table[:2])


def test_other_parameters_and_formats(path, table):
    fill(path, table[:2])
    with pytest.raises(StoreError, match=r"was made with C=1\.0, n_frames=None, not C=2\.0, n_frames=5"):
        fill(path, table[:2], n_frames=5, C=2.0)
    with (
        command_line(),  # where there is no option for C
        pytest.raises(StoreError, match=r"was made with C=1\.0, no --frames, not C=2\.0, --frames 5"),
    ):
        fill(path, table[:2], n_frames=5, C=2.0)
    with pytest.raises(StoreError, match="has no features in 8x8 blocks; it has 2x2, 2x3"):
        FeatureStore(path).load((8, 8))
    with pytest.raises(ValueError, match="mode is 'w'; it must be"):
        FeatureStore(path, "w")
    zarr.open_group(path, mode="r+").attrs["format_version"] = 1
    with pytest.raises(StoreError, match="is in format 1; this version of microexpr reads format 2"):
        FeatureStore(path)


def test_a_store_that_cannot_grow(path, table, features):
    """As on a full disk: one line, and what was written before it is right."""
    fill(path, table[:3])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match="cannot be written: File too large; what it holds is kept"
        ) as error:
            fill(path, table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith(str(path))
    store = FeatureStore(path)
    whole = [k for k in range(70) if k not in dict(store.missing((2, 2), table))]
    np.testing.assert_array_equal(store.load((2, 2), table.iloc[whole]), features[2, 2][whole])
    store = fill(path, table).store
    np.testing.assert_array_equal(store.load((2, 2), table), features[2, 2])


def test_without_zarr(table, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ModuleNotFoundError, match=r"microexpr\[store\]"):
        fill(path, table[:2])


def test_a_string_too_long(path, table):
    with pytest.raises(StoreError, match="has 300 bytes"):
        fill(path, table[:2].assign(action_units="x" * 300))


def test_a_clip_twice(path, table):
    with pytest.raises(StoreError, match=r"1 clip\(s\) twice, the first CASME II/01/EP01_01"):
        fill(path, table.iloc[[0, 1, 0]])
