"""Mappings, several radii, overlap, masks, normalization and three orthogonal planes against NumPy."""

import re
import tracemalloc
from fractions import Fraction
from math import floor

import dask.array
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import local_binary_pattern

import ltogp
from ltogp import _compilation, _threads, top
from ltogp._geometry import block_ranges, cells_of_blocks

MAPPINGS = {"default": 256, "ror": 36, "uniform": 10, "nri_uniform": 59}
MODES = ["nearest", "reflect", "mirror", "constant", "wrap"]
NORMS = [None, "l1", "l2", "l1-sqrt"]
RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 256, (9, 40, 50), dtype=np.uint8)
# Overlaps at which a block begins where another one ends: cells between are counted once.
SHARED = [Fraction(1, 2), Fraction(2, 3), Fraction(3, 4)]


def skimage_bins():
    """The bin of each code, from an image in which all 256 LBP codes occur."""
    image = RNG.integers(0, 65536, (200, 200), dtype=np.uint16)
    codes = local_binary_pattern(image, 8, 1).astype(int)
    assert len(np.unique(codes)) == 256
    bins = {}
    for mapping, n_bins in MAPPINGS.items():
        values = local_binary_pattern(image, 8, 1, mapping).astype(int)
        if mapping == "ror":
            values = np.searchsorted(np.unique(values), values)
        bins[mapping] = np.empty(256, int)
        bins[mapping][codes] = values
        assert (bins[mapping][codes] == values).all()
        assert len(np.unique(values)) == n_bins == values.max() + 1
    return bins


BINS = skimage_bins()


def ranges(n, blocks, overlap):
    """First and last + 1 pixel of each block along an axis; `overlap` is a Fraction."""
    length = n / (1 + (blocks - 1) * (1 - overlap))
    step = (1 - overlap) * length
    return [slice(floor(i * step), floor(i * step + length)) for i in range(blocks)]


def count(codes, visible, blocks, mapping, overlap, normalize):
    """Histograms of codes (..., H, W), block by block."""
    parts = []
    for rows in ranges(codes.shape[-2], blocks[0], overlap):
        for columns in ranges(codes.shape[-1], blocks[1], overlap):
            inside = codes[..., rows, columns][visible[..., rows, columns]]
            parts.append(norm_of(np.bincount(BINS[mapping][inside], minlength=MAPPINGS[mapping]), normalize))
    return np.concatenate(parts)


def norm_of(h, normalize):
    """In float64, rounded to float32, of which l1-sqrt takes the root."""
    if normalize is None or h.sum() == 0:
        return h
    quotients = (h / (np.sqrt((h**2).sum()) if normalize == "l2" else h.sum())).astype(np.float32)
    return np.sqrt(quotients) if normalize == "l1-sqrt" else quotients


def numpy_histogram(stack, blocks, radii, mode, mapping, overlap, mask, normalize):
    visible = np.broadcast_to(True if mask is None else mask, stack.shape)
    return np.array(
        [
            np.concatenate(
                [
                    count(ltogp.encode(image, radius=r, mode=mode), seen, blocks, mapping, overlap, normalize)
                    for r in radii
                ]
            )
            for image, seen in zip(stack, visible, strict=True)
        ]
    )


def numpy_top(stack, blocks, radii, mode, mapping, overlap, mask, normalize):
    visible = np.broadcast_to(True if mask is None else mask, stack.shape)
    parts = []
    for axis in (0, 1, 2):  # of what is cut: frames, rows, columns
        for r in radii:
            images = [ltogp.encode(image, radius=r, mode=mode) for image in np.moveaxis(stack, axis, 0)]
            codes = np.moveaxis(np.array(images), 0, axis)
            parts.append(count(codes, visible, blocks, mapping, overlap, normalize))
    return np.concatenate(parts)


@st.composite
def stacks_and_options(draw):
    dtype = draw(st.sampled_from(["bool", "uint8", "uint16", "float32", "float64"]))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)))
    elements = st.floats(-1e6, 1e6, width=32) if dtype.startswith("float") else None
    mask_shape = draw(st.sampled_from([None, shape, shape[1:]]))
    options = {
        "blocks": (draw(st.integers(1, shape[1])), draw(st.integers(1, shape[2]))),
        "radii": draw(st.sampled_from([(1,), (3,), (1, 2), (2, 1, 5)])),
        "mode": draw(st.sampled_from(MODES)),
        "mapping": draw(st.sampled_from(list(MAPPINGS))),
        "overlap": draw(st.sampled_from(SHARED) | st.fractions(0, Fraction(9, 10), max_denominator=12)),
        "mask": None if mask_shape is None else draw(hnp.arrays(bool, mask_shape)),
        "normalize": draw(st.sampled_from(NORMS)),
    }
    return draw(hnp.arrays(dtype, shape, elements=elements)), options


def both_ways_to_count():
    """Count from bit planes and with counters, on any processor."""
    with pytest.MonkeyPatch.context() as patch:
        for planes in (True, False):
            patch.setattr(_compilation, "counts_bits", lambda planes=planes: planes)
            yield


def with_options(function, stack, radii, overlap, **options):
    radius = radii[0] if len(radii) == 1 else radii
    return function(stack, radius=radius, overlap=float(overlap), **options)


# ------------------------------------------------------------------------------------------- against NumPy


@given(stacks_and_options())
@settings(deadline=None, max_examples=150)
def test_histogram_with_any_options(case):
    stack, options = case
    expected = numpy_histogram(stack, **options)
    for _ in both_ways_to_count():
        actual = with_options(ltogp.histogram, stack, **options)
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, expected)
        out = np.full((len(stack), expected.shape[1] + 2), -1, np.float32)  # not contiguous
        with_options(ltogp.histogram, stack, out=out[:, 1:-1], **options)
        np.testing.assert_array_equal(out[:, 1:-1], actual)
        assert (out[:, [0, -1]] == -1).all()


WAVES = 128 + 60 * np.sin(np.arange(203) / 9) + 60 * np.cos(np.arange(67)[:, None] / 13)
# Counts above and below 16, chunks of several words and rows, and widths that fill none.
PICTURES = np.stack([RNG.integers(0, 256, (67, 203)), WAVES, np.full((67, 203), 7)]).astype(np.uint8)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("overlap", [Fraction(0), *SHARED, Fraction(3, 10)])
@pytest.mark.parametrize("blocks", [(1, 1), (1, 3), (2, 9), (6, 5)])
def test_histogram_of_larger_images(blocks, overlap, masked):
    mask = np.asfortranarray(RNG.random((67, 203)) < 0.6) if masked else None
    for radii, mapping, normalize in [
        ((1, 2, 3), "default", None),
        ((3, 1), "uniform", "l2"),
        ((1,), "default", "l1"),
        ((2,), "default", "l2"),
        ((1,), "default", "l1-sqrt"),
        ((1,), "ror", None),
        ((1,), "nri_uniform", "l1"),
    ]:
        options = {"blocks": blocks, "radii": radii, "mode": "reflect", "mapping": mapping}
        options |= {"overlap": overlap, "mask": mask, "normalize": normalize}
        expected = numpy_histogram(PICTURES, **options)
        for _ in both_ways_to_count():
            actual = with_options(ltogp.histogram, PICTURES, **options)
            np.testing.assert_array_equal(actual, expected)


@given(stacks_and_options())
@settings(deadline=None, max_examples=100)
def test_top_with_any_options(case):
    stack, options = case
    actual = with_options(ltogp.histogram_top, stack, **options)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, numpy_top(stack, **options))


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_encode_mapping(mapping, dtype):
    stack = RNG.integers(0, 256, (2, 300, 211)).astype(dtype)
    codes = ltogp.encode(stack)
    assert len(np.unique(codes)) > 200
    mapped = ltogp.encode(stack, mapping=mapping)
    assert mapped.dtype == np.uint8
    np.testing.assert_array_equal(mapped, BINS[mapping][codes])


@pytest.mark.parametrize("mapping", ["ror", "uniform"])
def test_rotation_invariance(mapping):
    rotated = ltogp.encode(np.rot90(STACK[0]), mapping=mapping)
    np.testing.assert_array_equal(rotated, np.rot90(ltogp.encode(STACK[0], mapping=mapping)))


def test_options_with_templates():
    templates = RNG.standard_normal((8, 5, 5))
    mask = RNG.random((40, 50)) < 0.3
    codes = ltogp.encode(STACK, templates=templates)
    expected = [count(c, mask, (2, 3), "uniform", Fraction(1, 3), None) for c in codes]
    actual = ltogp.histogram(STACK, (2, 3), templates=templates, mapping="uniform", overlap=1 / 3, mask=mask)
    np.testing.assert_array_equal(actual, expected)


# ------------------------------------------------------------------------------------------------ overlap


def test_overlap_by_hand():
    image = np.zeros((30, 40), np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[10, 0] = True
    # L = 30 / (1 + 2/2) = 15 rows: blocks 0:15, 7:22 and 15:30; row 10 lies in the first two.
    counts = ltogp.histogram(image, (3, 1), overlap=0.5, mask=mask).reshape(3, 256)
    np.testing.assert_array_equal(counts[:, 255], [1, 1, 0])
    sizes = ltogp.histogram(image, (3, 1), overlap=0.5).reshape(3, 256)[:, 255] / 40
    np.testing.assert_array_equal(sizes, [15, 15, 15])


@pytest.mark.parametrize("overlap", SHARED)
def test_blocks_are_made_of_cells(overlap):
    for height, width, by, bx in [(128, 128, 8, 8), (97, 203, 7, 1), (300, 70, 2, 3)]:
        span, *cells = cells_of_blocks(height, width, by, bx, float(overlap))
        assert span == 1 / (1 - overlap)
        for n, blocks, ranges in [(height, by, cells[0]), (width, bx, cells[1])]:
            assert len(ranges) == blocks + span - 1
            whole = np.stack([ranges[:blocks, 0], ranges[span - 1 :, 1]], axis=1)
            np.testing.assert_array_equal(whole, block_ranges(n, blocks, 1, float(overlap)))
            np.testing.assert_array_equal(ranges[1:, 0], ranges[:-1, 1])
    # Cells of a pixel or none are not worth it, nor are those of other overlaps.
    assert cells_of_blocks(16, 16, 8, 8, 0.99)[0] == 1
    assert cells_of_blocks(128, 128, 8, 8, 0.3)[0] == 1


@pytest.mark.parametrize("overlap", [0, 0.1, 0.2, 0.3, 1 / 3, 0.7, 0.9, 0.99, np.float32(0.25)])
def test_blocks_reach_all_edges(overlap):
    for n, blocks in [(128, 8), (97, 7), (10, 10), (11, 10), (11, 3), (1, 1)]:
        image = np.zeros((n, n), np.uint8)
        rows = ltogp.histogram(image, (blocks, 1), overlap=overlap).reshape(blocks, 256)[:, 255] / n
        assert (rows >= 1).all()
        assert np.ptp(rows) <= 1  # equal but for rounding
        assert rows.sum() >= n
        for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
            mask = np.zeros((n, n), bool)
            mask[corner] = True
            counts = ltogp.histogram(image, (blocks, blocks), overlap=overlap, mask=mask)
            block = counts.reshape(blocks, blocks, 256).sum(axis=2)[corner]
            assert block == 1


# --------------------------------------------------------------------------------------------------- masks


def test_mask():
    mask = RNG.random(STACK.shape) < 0.5
    counts = ltogp.histogram(STACK, (3, 4), mask=mask)
    # What a mask hides, its complement shows.
    np.testing.assert_array_equal(
        counts + ltogp.histogram(STACK, (3, 4), mask=~mask), ltogp.histogram(STACK, (3, 4))
    )
    np.testing.assert_array_equal(ltogp.histogram(STACK, (3, 4), mask=mask.tolist()), counts)
    view = np.asfortranarray(mask)[::-1, :, ::-1]
    view.flags.writeable = False
    np.testing.assert_array_equal(
        ltogp.histogram(STACK, mask=view), ltogp.histogram(STACK, mask=np.ascontiguousarray(view))
    )
    np.testing.assert_array_equal(
        ltogp.histogram(STACK[0], mask=mask[0]), ltogp.histogram(STACK, mask=mask)[0]
    )


@pytest.mark.parametrize("normalize", NORMS)
def test_nothing_visible_is_zero(normalize):
    counts = ltogp.histogram(STACK, mask=np.zeros((40, 50), bool), normalize=normalize)
    assert not counts.any()
    assert not ltogp.histogram_top(STACK, mask=np.zeros((40, 50), bool), normalize=normalize).any()


# ------------------------------------------------------------------------------- three orthogonal planes


def test_top_xy_is_the_sum_over_frames():
    top = ltogp.histogram_top(STACK, (4, 5)).reshape(3, -1)
    np.testing.assert_array_equal(top[0], ltogp.histogram(STACK, (4, 5)).sum(axis=0))


def test_top_planes_by_hand():
    # Ever faster brighter in time, constant in space. Second differences on XY are 0; on XT and YT, those
    # towards later frames are 9 - 32 + 25 > 0 and the like, but at t = 4, where the border repeats the last
    # frame, 16 - 50 + 25 < 0; those towards earlier frames are positive or, at t = 0, zero.
    clip = np.broadcast_to((np.arange(6) ** 2).astype(np.uint8)[:, None, None], (6, 8, 7))
    xy, xt, yt = ltogp.histogram_top(clip, (1, 1)).reshape(3, 256)
    expected = np.zeros(256)
    expected[255] = 6 * 8 * 7
    np.testing.assert_array_equal(xy, expected)
    expected[255 - (32 + 64 + 128)] = 8 * 7  # SW, S, SE
    expected[255] -= 8 * 7
    np.testing.assert_array_equal(xt, expected)
    np.testing.assert_array_equal(yt, expected)


def test_top_swapping_rows_and_columns_swaps_the_planes():
    a = ltogp.histogram_top(STACK, (3, 5)).reshape(3, 3, 5, 256)
    b = ltogp.histogram_top(STACK.transpose(0, 2, 1), (5, 3)).reshape(3, 5, 3, 256)
    np.testing.assert_array_equal(a[1], b[2].transpose(1, 0, 2))
    np.testing.assert_array_equal(a[2], b[1].transpose(1, 0, 2))


@pytest.mark.parametrize("options", [{}, {"radius": (2, 1), "mapping": "uniform"}, {"overlap": 0.4}])
@pytest.mark.parametrize("mode", MODES)
def test_top_image_by_image(mode, options, monkeypatch):
    # As templates and large radii are described.
    mask = RNG.random(STACK.shape) < 0.5
    for shown in (None, mask):
        expected = ltogp.histogram_top(STACK, (3, 4), mode=mode, mask=shown, **options)
        with monkeypatch.context() as patch:
            patch.setattr(top, "_LARGEST", 0)
            actual = ltogp.histogram_top(STACK, (3, 4), mode=mode, mask=shown, **options)
        np.testing.assert_array_equal(actual, expected)


def test_top_with_templates():
    templates = np.zeros((8, 5, 5))
    steps = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
    for k, (dy, dx) in enumerate(steps):
        for n, weight in enumerate([1, -2, 1]):
            templates[k, 2 + n * dy, 2 + n * dx] = weight
    expected = ltogp.histogram_top(STACK, (3, 4))
    np.testing.assert_array_equal(ltogp.histogram_top(STACK, (3, 4), templates=templates), expected)


def test_top_one_frame_and_many():
    assert ltogp.histogram_top(STACK[:1], (2, 2)).sum() == 3 * 40 * 50
    long = RNG.integers(0, 256, (150, 9, 11), dtype=np.uint8)  # summed in several pieces
    expected = numpy_top(long, (2, 2), (1,), "nearest", "default", Fraction(0), None, None)
    np.testing.assert_array_equal(ltogp.histogram_top(long, (2, 2)), expected)


# --------------------------------------------------------------------------------- threads, memory and Dask


@pytest.mark.parametrize("shape", [(64, 80, 90), (1100, 700), (1, 33, 20000)])
def test_same_bits_at_any_number_of_threads(shape, monkeypatch):
    monkeypatch.setattr(_threads, "thread_limit", lambda: 8)
    monkeypatch.setattr(_threads, "shared_pool", None)
    images = RNG.integers(0, 256, shape, dtype=np.uint8)
    mask = RNG.random(shape) < 0.7
    for blocks in [(1, 1), (3, 2), (8, 8)]:
        for options in [
            {"normalize": "l2", "overlap": 0.4, "radius": (1, 3)},
            {"normalize": "l1-sqrt", "mapping": "nri_uniform", "mask": mask, "radius": (2, 1)},
        ]:
            expected = ltogp.histogram(images, blocks, n_jobs=1, **options)
            for n_jobs in (2, 3, 8):
                actual = ltogp.histogram(images, blocks, n_jobs=n_jobs, **options)
                np.testing.assert_array_equal(actual, expected)


def test_threads_top(monkeypatch):
    images = RNG.integers(0, 256, (70, 90, 100), dtype=np.uint8)
    expected = ltogp.histogram_top(images, overlap=0.3, n_jobs=1, normalize="l1")
    monkeypatch.setattr(_threads, "thread_limit", lambda: 8)
    monkeypatch.setattr(_threads, "shared_pool", None)
    np.testing.assert_array_equal(ltogp.histogram_top(images, overlap=0.3, normalize="l1"), expected)


def test_memory_does_not_grow_with_the_stack():
    stack = np.zeros((200, 100, 100), np.uint8)
    mask = np.ones((100, 100), bool)
    options = {"mapping": "uniform", "mask": mask, "overlap": 0.5, "radius": (1, 2), "normalize": "l1"}
    out = np.empty((200, 2 * 4 * 10), np.float32)
    ltogp.histogram(stack, (2, 2), out=out, **options)
    ltogp.histogram_top(stack, (2, 2), **options)
    tracemalloc.start()
    try:
        ltogp.histogram(stack, (2, 2), out=out, **options)
        assert tracemalloc.get_traced_memory()[1] < 400_000
        ltogp.histogram_top(stack, (2, 2), **options)
        assert tracemalloc.get_traced_memory()[1] < 600_000
    finally:
        tracemalloc.stop()


def test_dask_map_blocks():
    images = dask.array.from_array(STACK, chunks=(4, -1, -1))
    chunks = (images.chunks[0], 16384)
    lazy = images.map_blocks(
        ltogp.histogram, n_jobs=1, drop_axis=(1, 2), new_axis=1, chunks=chunks, dtype="f4"
    )
    assert lazy.shape == (9, 16384)
    for scheduler in ("threads", "synchronous"):
        np.testing.assert_array_equal(lazy.compute(scheduler=scheduler), ltogp.histogram(STACK))


# --------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("function", [ltogp.histogram, ltogp.histogram_top])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"mapping": "var"},
            ValueError,
            "mapping is 'var'; must be one of default, ror, uniform, nri_uniform",
        ),
        ({"mapping": ["ror"]}, TypeError, "mapping is ['ror']; must be one of default"),
        ({"mapping": None}, TypeError, "mapping is None; must be one of default"),
        ({"radius": ()}, ValueError, "radius is (); must hold at least one integer"),
        ({"radius": (1, 0)}, ValueError, "radius is (1, 0); must hold at least one integer, and each"),
        ({"radius": (1, 2.0)}, TypeError, "radius is (1, 2.0); must be an integer or a tuple of integers"),
        (
            {"radius": (1, 10**9)},
            ValueError,
            "radius is (1, 1000000000); must hold at least one integer, and",
        ),
        ({"radius": "1"}, TypeError, "radius is '1'; must be an integer or a tuple of integers"),
        ({"radius": (1, 2), "templates": np.ones((8, 3, 3))}, ValueError, "radius is 2, but belongs to"),
        ({"normalize": "max"}, ValueError, "normalize is 'max'; must be None, l1, l2 or l1-sqrt"),
        ({"normalize": True}, TypeError, "normalize is True; must be None, l1, l2 or l1-sqrt"),
        ({"overlap": 1.0}, ValueError, "overlap is 1.0; must be at least 0 and less than 1"),
        ({"overlap": -0.1}, ValueError, "overlap is -0.1; must be at least 0 and less than 1"),
        ({"overlap": np.nan}, ValueError, "overlap is nan; must be at least 0"),
        ({"overlap": "0.5"}, TypeError, "overlap is '0.5'; must be a number"),
        ({"overlap": True}, TypeError, "overlap is True; must be a number"),
        ({"mask": np.ones((40, 50))}, TypeError, "mask has dtype float64; must be bool"),
        (
            {"mask": np.ma.ones((40, 50), bool)},
            TypeError,
            "mask is a masked array; its mask would be ignored",
        ),
        (
            {"mask": np.ones((40, 51), bool)},
            ValueError,
            "mask has shape (40, 51); must be (40, 50) or (9, 40, 50), as the images",
        ),
        ({"blocks": (41, 1), "overlap": 0.5}, ValueError, "more than an image of 40 x 50 pixels can fill"),
    ],
)
def test_bad_options(function, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        function(STACK, **options)


def test_bad_encode_options():
    with pytest.raises(ValueError, match="mapping is 'UNIFORM'"):
        ltogp.encode(STACK, mapping="UNIFORM")
    with pytest.raises(TypeError, match=re.escape("radius is (1, 2); must be an integer")):
        ltogp.encode(STACK, radius=(1, 2))


def test_mask_of_one_image():
    message = "mask has shape (1, 40, 50); must be (40, 50), as the images"
    with pytest.raises(ValueError, match=re.escape(message)):
        ltogp.histogram(STACK[0], mask=np.ones((1, 40, 50), bool))


def test_out_of_another_length():
    with pytest.raises(ValueError, match=re.escape("out has shape (9, 16384); must be (9, 1280)")):
        ltogp.histogram(STACK, radius=(1, 2), mapping="uniform", out=np.empty((9, 16384), np.float32))


def test_bad_clips():
    with pytest.raises(ValueError, match=re.escape("frames has shape (40, 50); must be (T, H, W)")):
        ltogp.histogram_top(STACK[0])
    with pytest.raises(ValueError, match=re.escape("frames has shape (0, 40, 50); must be (T, H, W) with")):
        ltogp.histogram_top(STACK[:0])
    with pytest.raises(TypeError, match="frames has dtype complex128"):
        ltogp.histogram_top(STACK.astype(complex))
    clip = np.zeros((100, 10, 12), np.float32)
    clip[97, 3, 5] = np.nan
    with pytest.raises(ValueError, match="frames holds nan at frame 97, row 3, column 5"):
        ltogp.histogram_top(clip)
