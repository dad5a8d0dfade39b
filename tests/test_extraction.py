"""From a table of clips to features, in memory."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import microexpr
from microexpr import _filling, describe, extract, read_casme2
from microexpr._recipe import Recipe, mean_frame
from microexpr.data import read_frames
from microexpr.store import StoreError


@pytest.fixture(scope="module")
def table(simulated):
    return read_casme2(simulated(subjects=2, clips=6, frames=(3, 6), size=(68, 56)))


def test_several_grids_are_those_of_one(table):
    grids = [(2, 2), (4, 3), (2, 2)]
    clips = extract(table, blocks=grids)
    assert list(clips.features) == [(2, 2), (4, 3)]
    for grid, X in clips.features.items():
        np.testing.assert_array_equal(X, extract(table, blocks=grid).X)
    assert len(clips.table) == 6


def test_the_frames_are_decoded_once(table, monkeypatch):
    calls = []
    monkeypatch.setattr(
        microexpr._recipe, "read_frames", lambda *a, **k: calls.append(1) or read_frames(*a, **k)
    )
    extract(table, blocks=[(2, 2), (3, 3), (4, 4)])
    assert len(calls) == 6


@pytest.mark.parametrize(
    "options",
    [
        {"stabilise": "subpixel"},
        {"stabilise": "tiles"},
        {"blur": 1},
        {"stabilise": "tiles", "blur": 0.5, "n_frames": 9},
        {"n_frames": 9},
        {"size": (64, 50)},
    ],
)
def test_options_of_the_frames(table, options):
    X = extract(table, blocks=(2, 2), **options).X
    for u, frames in zip(X, table["frames"], strict=True):
        np.testing.assert_array_equal(u, describe(read_frames(frames, **options), blocks=(2, 2)))


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_the_same_bits_at_any_number_of_threads(table, n_jobs):
    np.testing.assert_array_equal(
        extract(table, blocks=(2, 2), n_jobs=n_jobs).X, extract(table, blocks=(2, 2)).X
    )


def test_clips_that_cannot_be_described_stop_no_other(table, tmp_path):
    broken = table.copy()
    cut = tmp_path / "reg_img9.jpg"
    cut.write_bytes(table["frames"][1][0].read_bytes()[:200])
    broken.at[1, "frames"] = [cut, *table["frames"][1]]
    broken.at[2, "frames"] = table["frames"][2][:1]
    broken.at[3, "frames"] = [tmp_path / "gone.jpg", *table["frames"][3]]
    broken.at[4, "frames"] = []
    for store in (None, tmp_path / "x.zarr"):
        clips = extract(broken, store, blocks=(2, 2))
        np.testing.assert_array_equal(clips.X, extract(table.iloc[[0, 5]], blocks=(2, 2)).X)
        assert clips.table["clip"].tolist() == table["clip"][[0, 5]].tolist()
        for line, words in zip(
            map(str, clips.problems),
            ["reg_img9.jpg is not a readable image", "has 1 frame(s)", "gone.jpg", "no frames"],
            strict=True,
        ):
            assert line.startswith("clip sub")
            assert words in line
    # mended, they are computed, and they alone
    clips = extract(table, tmp_path / "x.zarr", blocks=(2, 2))
    assert (clips.n_computed, clips.n_skipped) == (4, 2)


def test_a_clip_of_several_data_sets_is_named_by_its_own(table):
    both = table[:2].assign(subject="CASME II/" + table["subject"], frames=[table["frames"][0], []])
    (problem,) = extract(both, size=(32, 32), blocks=(2, 2)).problems
    assert problem.where == f"clip CASME II/sub01/{table['clip'][1]}"


def test_no_clip_at_all(table, tmp_path):
    empty = table.copy()
    empty["frames"] = [[]] * 6
    for store in (None, tmp_path / "x.zarr"):
        with pytest.raises(ValueError, match="no clip could be described; the first: clip sub01/EP01_01: "):
            extract(empty, store)
        with pytest.raises(ValueError, match="the table is empty"):
            extract(table[:0], store)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"blocks": (8, 0)}, ValueError, "each at least 1"),
        ({"blocks": [(8, 8, 8)]}, ValueError, "each at least 1"),
        ({"blocks": []}, ValueError, "each at least 1"),
        ({"blocks": (2.5, 2)}, ValueError, "each at least 1"),
        (
            {"stabilise": "yes"},
            ValueError,
            'stabilise is \'yes\'; it must be "tiles", "subpixel" or None',
        ),
        ({"n_frames": 1}, ValueError, "n_frames is 1; it must be a whole number of at least 2"),
        ({"n_frames": 2.5}, ValueError, "n_frames is 2.5"),
        ({"size": (0, 128)}, ValueError, r"size is \(0, 128\)"),
        ({"size": 128}, ValueError, "size is 128"),
        ({"size": (10**9, 10**9)}, ValueError, r"size is \(1000000000, 1000000000\)"),
        ({"size": None}, ValueError, "size is None"),
        ({"n_frames": 10**12}, ValueError, "n_frames is 1000000000000"),
        ({"n_jobs": 0}, ValueError, "n_jobs == 0"),
        ({"radios": 2}, TypeError, "extract has no option 'radios'"),
    ],
)
def test_wrong_options(table, options, error, words):
    with pytest.raises(error, match=words):
        extract(table, **options)


def test_a_store_of_frames_in_256ths_of_a_grey_level(table, tmp_path):
    """Its mean frame is one of 8 bits, and it says what was done to the frames."""
    plain = extract(table, tmp_path / "plain.zarr", blocks=(2, 2))
    assert "blur" not in plain.store.parameters  # as in stores made before there was one
    options = {"blocks": (2, 2), "stabilise": "tiles"}
    kept = extract(table, tmp_path / "x.zarr", **options, blur=1)
    assert kept.store.parameters["stabilise"] == "tiles"
    assert kept.store.parameters["blur"] == 1.0
    np.testing.assert_array_equal(kept.X, extract(table, **options, blur=1).X)
    assert abs(kept.store.mean_face() - plain.store.mean_face()).mean() < 3
    assert extract(table, tmp_path / "x.zarr", **options, blur=1.0).n_skipped == 6
    for blur in (None, 2):
        with pytest.raises(StoreError, match=r"x\.zarr was made with blur=1\.0, not blur="):
            extract(table, tmp_path / "x.zarr", **options, blur=blur)
    for off in (None, 0):
        assert extract(table, tmp_path / "plain.zarr", blocks=(2, 2), blur=off).n_skipped == 6


def test_the_mean_of_white_frames_of_16_bits_is_white(tmp_path):
    """Splines go beyond 255, to 65535 256ths of a grey level: 256 of 8 bits would come round to black."""
    rng = np.random.default_rng(0)
    frames = np.where(rng.random((2, 32, 32)) < 0.5, 0, 255).astype(np.uint8)
    frames[:, 8:24, 8:24] = 255
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, frame in zip(paths, frames[[0, 1, 1, 1, 1, 1]], strict=True):
        Image.fromarray(frame).save(path)
    table = pd.DataFrame([{"dataset": "x", "subject": "1", "clip": "1", "emotion": "a", "frames": paths}])
    table[["onset", "apex", "offset", "action_units"]] = [1, 1, 2, ""]
    options = {"blocks": (2, 2), "size": (32, 32), "stabilise": "tiles"}
    stored = extract(table, tmp_path / "x.zarr", **options).store.mean_face()
    means = read_frames(paths, (32, 32), stabilise="tiles").mean(axis=0) / 256
    assert means.max() > 255.5
    assert abs(stored - means).max() < 1


def test_files_are_looked_at_once_and_before_they_are_read(table, tmp_path, monkeypatch):
    """What changes them later is found by the next run: their names and times are those from before."""
    changing = table.copy()
    folder = tmp_path / "clip"
    folder.mkdir()
    changing.at[0, "frames"] = [Path(shutil.copy(path, folder)) for path in table["frames"][0]]
    looked_at, digest, describe = [], _filling._stat_digest, Recipe.describe

    def looking(frames):
        looked_at.append(frames)
        return digest(frames)

    def changes_then(recipe, frames, *arguments):
        described = describe(recipe, frames, *arguments)
        if frames[0].parent == folder:
            shutil.copy(table["frames"][1][0], frames[0])
        return described

    monkeypatch.setattr(_filling, "_stat_digest", looking)
    with monkeypatch.context() as patch:
        patch.setattr(Recipe, "describe", changes_then)
        assert extract(changing, tmp_path / "x.zarr", blocks=(2, 2)).n_computed == 6
    assert len(looked_at) == 6
    again = extract(changing, tmp_path / "x.zarr", blocks=(2, 2))
    assert (again.n_computed, again.n_skipped) == (1, 5)
    np.testing.assert_array_equal(again.X, extract(changing, blocks=(2, 2)).X)


@pytest.mark.parametrize("n", [2, 257, 258, 700])
def test_the_mean_frame_of_many_bright_frames(n):
    """Sums of 257 frames are just below 2^16."""
    frames = np.random.default_rng(n).integers(250, 256, (n, 3, 4), dtype=np.uint8)
    frames[:, 0] = 255
    np.testing.assert_array_equal(mean_frame(frames), np.rint(frames.mean(axis=0, dtype=np.float64)))
