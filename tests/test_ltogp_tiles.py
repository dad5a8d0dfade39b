"""Codes and maps in tiles: against ltogp.encode, a loop over windows and scikit-image; memory."""

import re
import sys
import time
import tracemalloc
from pathlib import Path

import dask
import dask.array
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters.rank import windowed_histogram

import ltogp
from ltogp import _regions, _tiling, _windows

BINS = {"default": 256, "ror": 36, "uniform": 10, "nri_uniform": 59}
MODES = ["nearest", "reflect", "mirror", "constant", "wrap"]
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 55), dtype=np.uint8)
STACK = RNG.integers(0, 256, (3, 20, 23), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 23, 3), dtype=np.uint8)
CODES = ltogp.encode(IMAGE)


class Sliced:
    """What tiles need of an array, and no more: it counts what is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        assert all(isinstance(part, slice) and part.step is None for part in key)
        self.read.append(key)
        return self.array[key].copy()

    def __setitem__(self, key, values):
        assert all(isinstance(part, slice) and part.step is None for part in key)
        assert values.dtype == self.dtype
        self.array[key] = values


def slow_map(codes, window, stride, n_bins, mask=None):
    """Of one image, a loop over windows."""
    H, W = codes.shape
    mask = np.ones((H, W), bool) if mask is None else mask
    out = np.zeros((-(-H // stride[0]), -(-W // stride[1]), n_bins), np.float32)
    for i, j in np.ndindex(out.shape[:2]):
        y, x = i * stride[0] + (stride[0] - window[0]) // 2, j * stride[1] + (stride[1] - window[1]) // 2
        inside = np.s_[max(0, y) : max(0, y + window[0]), max(0, x) : max(0, x + window[1])]
        out[i, j] = np.bincount(codes[inside][mask[inside]], minlength=n_bins)
    return out


# ---------------------------------------------------------------------------------------------------- codes


@st.composite
def images(draw):
    dtype = draw(st.sampled_from(["u1", "?", ">i2", "u2", "i8", "f2", "f4", "f8"]))
    shape = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    axis = draw(st.sampled_from([None, None, 0, 1, -1]))
    if axis is not None:
        at = axis % 3
        shape = (*shape[:at], draw(st.integers(1, 3)), *shape[at:])
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 3)), *shape)
        axis = axis if axis is None or axis < 0 else axis + 1
    if axis is None and len(shape) == 3 and shape[2] in (3, 4):
        shape = (*shape[:2], 5)
    elements = None
    if "i" in dtype:
        elements = st.integers(-40, 300)
    elif "f" in dtype:
        elements = st.integers(-9, 9).map(lambda n: n / 8)
    return draw(hnp.arrays(dtype, shape, elements=elements)), axis


@settings(max_examples=50, deadline=None)
@given(
    images(),
    st.sampled_from(MODES),
    st.sampled_from([1, 2, 7]),
    st.sampled_from(["ltogp", "lbp", "central", np.arange(72.0).reshape(8, 3, 3) - 30]),
    st.sampled_from(list(BINS)),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
def test_codes_are_those_of_encode(drawn, mode, radius, templates, mapping, tile):
    image, axis = drawn
    options = {"mode": mode, "templates": templates, "mapping": mapping, "channel_axis": axis}
    if isinstance(templates, str):
        options["radius"] = radius
    expected = ltogp.encode(image, **options)
    for read in (image, Sliced(image)):
        np.testing.assert_array_equal(ltogp.encode_tiles(read, tile=tile, **options), expected)
    out = Sliced(np.zeros_like(expected))
    assert ltogp.encode_tiles(image, out, tile=tile, **options) is out
    np.testing.assert_array_equal(out.array, expected)


def test_tiles_cut_by_size():
    """Without a tile given; several frames in one, and one frame in several."""
    for shape in [(1300, 6, 7), (1100, 9000), (3, 700, 5000)]:
        image = Sliced(RNG.integers(0, 256, shape, dtype=np.uint8))
        np.testing.assert_array_equal(ltogp.encode_tiles(image), ltogp.encode(image.array))
        assert (len(image.read) == 1) == (shape[0] == 1300)


# ----------------------------------------------------------------------------------------------------- maps


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 40)),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(MODES),
    st.sampled_from(list(BINS)),
    st.none() | st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    st.none() | st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(0, 2**32 - 1),
)
def test_maps_against_a_loop(shape, window, stride, mode, mapping, seen, tile, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 4, shape, dtype=np.uint8)
    mask = None if seen is None else rng.random(shape) < seen
    options = {"mode": mode, "mapping": mapping}
    expected = slow_map(ltogp.encode(image, **options), window, stride, BINS[mapping], mask)
    actual = ltogp.histogram_map(image, window, stride, mask=mask, tile=tile, **options)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("mapping", BINS)
def test_bands_kept_or_counted_twice(kept, mapping, monkeypatch):
    """Which is faster decides; both are right for all windows."""

    def n_kept(rows, area, n_bins):
        return _windows.n_kept(rows, 10**9, n_bins) if kept else 0

    monkeypatch.setattr(_regions, "n_kept", n_kept)
    codes, mask = ltogp.encode(IMAGE, mapping=mapping), IMAGE > 99
    for window, stride in [((16, 16), (4, 4)), ((7, 9), (3, 2)), ((2, 3), (5, 11)), ((90, 1), (1, 90))]:
        actual = ltogp.histogram_map(IMAGE, window, stride, mapping=mapping, mask=mask)
        np.testing.assert_array_equal(actual, slow_map(codes, window, stride, BINS[mapping], mask))
        wide = np.full((*actual.shape[:2], actual.shape[2] + 70), -1, np.float32)
        for first in (0, 9):  # beside other columns, which stay as they are
            part = wide[..., first : first + BINS[mapping]]
            ltogp.histogram_map(IMAGE, window, stride, mapping=mapping, mask=mask, out=part)
            np.testing.assert_array_equal(part, actual)
        assert (wide[..., first + BINS[mapping] :] == -1).all()
        larger = np.full((actual.shape[0], actual.shape[1] + 2, actual.shape[2]), -1, np.float32)
        ltogp.histogram_map(IMAGE, window, stride, mapping=mapping, mask=mask, out=larger[:, 1:-1])
        np.testing.assert_array_equal(larger[:, 1:-1], actual)
        assert (larger[:, [0, -1]] == -1).all()


@pytest.mark.parametrize("size", [1, 9, 31])
def test_maps_against_scikit_image(size):
    codes = ltogp.encode(IMAGE, mapping="uniform")
    theirs = windowed_histogram(codes, np.ones((size, size), np.uint8), n_bins=10)
    ours = ltogp.histogram_map(IMAGE, size, 1, mapping="uniform", normalize="l1")
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_cells_of_whole_windows_are_blocks():
    image = IMAGE[:, :48].copy()
    np.testing.assert_array_equal(ltogp.histogram_map(image, 8, 8).ravel(), ltogp.histogram(image, (5, 6)))


@pytest.mark.parametrize("normalize", [None, "l1", "l2", "l1-sqrt"])
@pytest.mark.parametrize("tile", [None, (5, 7)])
def test_order_of_channels_radii_and_frames(normalize, tile):
    frames = RNG.integers(0, 256, (3, 2, 20, 23), dtype=np.uint8)  # channel, frame
    masks = RNG.random((2, 20, 23)) < 0.5
    masks[0, :9] = False
    options = {"mapping": "ror", "normalize": normalize}
    for mask in (None, masks, masks[0]):
        actual = ltogp.histogram_map(
            frames, 6, 4, radius=(2, 1), channel_axis=0, mask=mask, tile=tile, **options
        )
        for t in range(2):
            seen = mask if mask is None or mask.ndim == 2 else mask[t]
            parts = [
                ltogp.histogram_map(channel[t], 6, 4, radius=radius, mask=seen, **options)
                for channel in frames
                for radius in (2, 1)
            ]
            np.testing.assert_array_equal(actual[t], np.concatenate(parts, axis=2))
    counts = ltogp.histogram_map(frames[0, 0], 6, 4, mask=masks[0], mapping="ror")
    blocks = counts.reshape(-1, 36)
    flat = ltogp.histogram(frames[0, 0], (1, 1), mask=masks[0], mapping="ror", normalize=normalize)
    whole = ltogp.histogram_map(frames[0, 0], 60, 60, mask=masks[0], mapping="ror", normalize=normalize)
    np.testing.assert_array_equal(whole.ravel(), flat)
    assert (blocks.sum(axis=1) == 0).any()
    assert np.isfinite(actual).all()


@pytest.mark.parametrize(
    ("dtype", "window", "normalize"),
    [
        ("u1", 15, None),
        ("u2", 33, None),
        ("f2", 45, None),
        ("i4", 99, None),
        ("f8", 99, "l2"),
        ("f2", 99, "l1"),
    ],
)
def test_maps_of_other_dtypes(dtype, window, normalize):
    expected = ltogp.histogram_map(IMAGE, window, 3, normalize=normalize, mapping="ror")
    out = np.empty(expected.shape, dtype)
    assert ltogp.histogram_map(IMAGE, window, 3, normalize=normalize, mapping="ror", out=out) is out
    np.testing.assert_array_equal(out, expected.astype(dtype))


def test_windows_of_more_pixels_than_a_byte_or_two_hold():
    image = np.zeros((300, 400), np.uint8)
    counts = ltogp.histogram_map(image, (299, 399), (150, 200))
    assert counts.max() > 2**16
    np.testing.assert_array_equal(counts, slow_map(ltogp.encode(image), (299, 399), (150, 200), 256))


# -------------------------------------------------------------------------------------- arrays of other kinds


def test_memory_maps(tmp_path):
    image = np.memmap(tmp_path / "image", ">u2", "w+", shape=IMAGE.shape)
    image[:] = IMAGE
    mask = np.memmap(tmp_path / "mask", bool, "w+", shape=IMAGE.shape)
    mask[:] = IMAGE > 99
    codes = np.memmap(tmp_path / "codes", np.uint8, "w+", shape=IMAGE.shape)
    ltogp.encode_tiles(np.memmap(tmp_path / "image", ">u2", "r", shape=IMAGE.shape), codes, tile=9)
    np.testing.assert_array_equal(codes, CODES)
    out = np.lib.format.open_memmap(tmp_path / "map.npy", "w+", np.uint16, (5, 7, 256))
    ltogp.histogram_map(image, 20, 8, mask=mask, out=out, tile=16)
    np.testing.assert_array_equal(
        np.load(tmp_path / "map.npy"), slow_map(CODES, (20, 20), (8, 8), 256, IMAGE > 99)
    )


@pytest.mark.parametrize("shards", [None, (16, 20)])
def test_zarr_is_written_in_whole_chunks(shards, eight_threads):
    image = zarr.create_array({}, data=IMAGE, chunks=(7, 9))
    mask = zarr.create_array({}, data=IMAGE > 99, chunks=(11, 11))
    expected = slow_map(CODES, (9, 9), (2, 2), 256, IMAGE > 99)
    for _ in range(5):  # two threads that change one chunk lose what the other wrote
        codes = zarr.create_array({}, shape=IMAGE.shape, dtype="u1", chunks=(8, 10), shards=shards)
        ltogp.encode_tiles(image, codes, tile=3)
        np.testing.assert_array_equal(codes[:], CODES)
        chunks = (4, 5, 256)
        out = zarr.create_array({}, shape=expected.shape, dtype="u1", chunks=chunks)
        ltogp.histogram_map(image, 9, 2, mask=mask, out=out, tile=3)
        np.testing.assert_array_equal(out[:], expected)
    stack = zarr.create_array({}, data=np.stack([IMAGE] * 5), chunks=(2, 40, 10))
    codes = zarr.create_array({}, shape=stack.shape, dtype="u1", chunks=(2, 40, 10))
    ltogp.encode_tiles(stack, codes, tile=3)
    np.testing.assert_array_equal(codes[:], [CODES] * 5)


def test_threads_write_in_turn_where_it_is_not_known_that_they_may_at_once(eight_threads):
    class Alone(Sliced):
        busy = False

        def __setitem__(self, key, values):
            assert not self.busy
            self.busy = True
            time.sleep(0.0005)
            super().__setitem__(key, values)
            self.busy = False

    out = Alone(np.zeros_like(CODES))
    ltogp.encode_tiles(Sliced(IMAGE), out, tile=5)
    np.testing.assert_array_equal(out.array, CODES)
    expected = slow_map(CODES, (9, 9), (2, 2), 256)
    out = Alone(np.zeros_like(expected))
    ltogp.histogram_map(Sliced(IMAGE), 9, 2, out=out, tile=5)
    np.testing.assert_array_equal(out.array, expected)


def test_tiles_without_a_pixel_of_the_mask_are_not_read():
    image = IMAGE.astype(np.float32)
    image[30:] = np.nan
    mask = np.zeros(IMAGE.shape, bool)
    mask[:20] = True
    expected = ltogp.histogram_map(IMAGE, 5, 5, mask=mask)
    source = Sliced(image)
    np.testing.assert_array_equal(ltogp.histogram_map(source, 5, 5, mask=Sliced(mask), tile=10), expected)
    assert max(key[0].stop for key in source.read if key[0].stop - key[0].start <= 14) <= 22


def test_memory_is_that_of_a_tile(monkeypatch):
    class Blank(Sliced):
        def __init__(self, shape, dtype=np.uint8):
            self.shape, self.dtype, self.written = shape, np.dtype(dtype), 0

        def __getitem__(self, key):
            ranges = (range(n)[part] for n, part in zip(self.shape, key, strict=True))
            return np.zeros([len(r) for r in ranges], self.dtype)

        def __setitem__(self, key, values):
            self.written += values.size

    image, codes, out = Blank((9000, 10000)), Blank((9000, 10000)), Blank((563, 625, 10), np.float32)
    ltogp.encode_tiles(IMAGE)
    ltogp.histogram_map(IMAGE, 4, 4, mapping="uniform")
    tracemalloc.start()
    try:
        ltogp.encode_tiles(image, codes, n_jobs=1)
        ltogp.histogram_map(
            image, 64, 16, mapping="uniform", mask=Blank(image.shape, bool), out=out, n_jobs=1
        )
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert codes.written == 9000 * 10000
    assert out.written == 563 * 625 * 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_mapped_is_given_back(tmp_path, monkeypatch):
    """And nothing is lost by that: what was written, and what only this process sees."""
    monkeypatch.setattr(_tiling, "_LARGE", 0)
    shape = (2000, 3000)
    image = np.memmap(tmp_path / "image", np.uint8, "w+", shape=shape)
    image[400:440, 1000:1055] = IMAGE
    codes = np.memmap(tmp_path / "codes", np.uint8, "w+", shape=shape)
    ltogp.encode_tiles(image, codes)
    for name in ("image", "codes"):
        resident = 0
        for part in Path("/proc/self/smaps").read_text().split("VmFlags")[:-1]:
            if str(tmp_path / name) in part:
                resident += int(re.search(r"Rss: +(\d+)", part)[1])
        assert resident < 1000
    codes.flush()
    written = np.fromfile(tmp_path / "codes", np.uint8).reshape(shape)
    np.testing.assert_array_equal(written, ltogp.encode(image))
    private = np.memmap(tmp_path / "image", np.uint8, "c", shape=shape)
    ltogp.encode_tiles(image, private)
    np.testing.assert_array_equal(private, written)


# ----------------------------------------------------------------------------------------------------- Dask


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("image", "axis", "chunks"),
    [(IMAGE, None, (7, 20)), (STACK, None, (2, 9, 1)), (COLOUR, -1, (3, 30, 2))],
    ids=["one", "stack", "colour"],
)
def test_dask(mode, image, axis, chunks):
    chunked = dask.array.from_array(image, chunks=chunks)
    options = {"mode": mode, "channel_axis": axis}
    with dask.config.set(scheduler="synchronous"):
        for radius, tile in [(1, None), (4, None), (15, (4, 30))]:
            lazy = ltogp.encode_tiles(chunked, radius=radius, tile=tile, **options)
            assert isinstance(lazy, dask.array.Array)
            assert lazy.dtype == np.uint8
            np.testing.assert_array_equal(lazy.compute(), ltogp.encode(image, radius=radius, **options))
        mask = (
            image[0] > 99
            if image.ndim == 3 and axis is None
            else IMAGE[:20, :23] > 99
            if axis
            else image > 99
        )
        options |= {"radius": (2, 1), "mapping": "uniform", "normalize": "l1"}
        for window, stride, seen in [
            (8, 4, None),
            ((3, 40), (5, 2), mask),
            ((2, 1), (9, 7), dask.array.from_array(mask, chunks=6)),
        ]:
            lazy = ltogp.histogram_map(chunked, window, stride, mask=seen, **options)
            expected = ltogp.histogram_map(
                image, window, stride, mask=mask if seen is not None else None, **options
            )
            assert (lazy.shape, lazy.dtype) == (expected.shape, np.float32)
            np.testing.assert_array_equal(lazy.compute(), expected)


def test_dask_is_lazy_and_keeps_chunks():
    def fail(block):
        raise AssertionError("computed")

    never = dask.array.zeros((400, 300), chunks=(100, 60), dtype=np.uint8).map_blocks(
        fail, meta=np.empty((0, 0), np.uint8)
    )
    assert ltogp.encode_tiles(never).chunks == never.chunks
    assert ltogp.encode_tiles(never, tile=(50, 300)).chunks == ((50,) * 8, (300,))
    lazy = ltogp.histogram_map(never, 64, 16, mask=never > 0)
    assert lazy.chunks == ((7, 6, 6, 6), (4, 4, 4, 3, 4), (256,))
    with pytest.raises(AssertionError, match="computed"):
        lazy.compute(scheduler="synchronous")


def test_dask_of_unknown_shape():
    image = dask.array.from_array(IMAGE)
    with pytest.raises(ValueError, match=r"image has shape \(nan, 55\): call its compute_chunk_sizes"):
        ltogp.encode_tiles(image[image[:, 0] > 99])


def test_dask_to_an_array(tmp_path):
    chunked = dask.array.from_array(IMAGE, chunks=11)
    codes = zarr.create_array({}, shape=IMAGE.shape, dtype="u1", chunks=(8, 10))
    assert ltogp.encode_tiles(chunked, codes) is codes
    np.testing.assert_array_equal(codes[:], CODES)
    out = np.empty((10, 14, 256), np.uint8)
    ltogp.histogram_map(chunked, 8, 4, out=out)
    np.testing.assert_array_equal(out, slow_map(CODES, (8, 8), (4, 4), 256))
    # what is no Dask array is read tile by tile, whatever the mask is
    mask = dask.array.from_array(IMAGE > 99, chunks=11)
    actual = ltogp.histogram_map(IMAGE, 8, 4, mask=mask, tile=16)
    np.testing.assert_array_equal(actual, slow_map(CODES, (8, 8), (4, 4), 256, IMAGE > 99))


def test_no_frame_at_all():
    assert ltogp.encode_tiles(STACK[:0]).shape == (0, 20, 23)
    assert ltogp.histogram_map(STACK[:0], 4, 4).shape == (0, 5, 6, 256)
