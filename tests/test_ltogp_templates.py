"""Templates of a few small integers, which have kernels of their own, against NumPy and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import local_binary_pattern

import ltogp
from ltogp import _checks, _compilation, _geometry

PAD = {
    "nearest": "edge",
    "reflect": "symmetric",
    "mirror": "reflect",
    "constant": "constant",
    "wrap": "wrap",
}
STEPS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
BITS = {"uint8": 8, "uint16": 16}


def numpy_codes(image, templates, mode="nearest"):
    """Signs of sums in Python's integers, which cannot overflow; of floats in float64."""
    kind = np.float64 if image.dtype.kind == "f" else object
    reach = templates.shape[1] // 2
    padded = np.pad(image, reach, mode=PAD[mode]).astype(kind)
    codes = np.zeros(image.shape, np.uint8)
    for k, template in enumerate(templates):
        total = np.zeros(image.shape, kind)
        for y, x in np.argwhere(template):
            weight = kind(template[y, x]) if kind is np.float64 else int(template[y, x])
            total = total + weight * padded[y : y + image.shape[0], x : x + image.shape[1]]
        codes |= (total >= 0).astype(np.uint8) << k
    return codes


def assert_codes(image, templates, mode="nearest"):
    """Codes, and their histogram by both ways to count."""
    expected = numpy_codes(image, templates, mode)
    np.testing.assert_array_equal(ltogp.encode(image, templates=templates, mode=mode), expected)
    with pytest.MonkeyPatch.context() as patch:
        for planes in (True, False):
            patch.setattr(_compilation, "counts_bits", lambda planes=planes: planes)
            counts = ltogp.histogram(image, (1, 1), templates=templates, mode=mode)
            np.testing.assert_array_equal(counts, np.bincount(expected.ravel(), minlength=256))


def has_three_taps(templates, dtype):
    taps, weights, _ = _checks.check_templates(templates, 1)
    return _geometry.three_taps(taps, weights, np.dtype(dtype)) is not None


@st.composite
def sparse_templates(draw, weights):
    k = draw(st.sampled_from([1, 3, 5]))
    templates = np.zeros((8, k, k), np.int64)
    for template in templates:
        for place in draw(st.sets(st.integers(0, k * k - 1), max_size=3)):
            template.flat[place] = draw(weights)
    return templates


@st.composite
def images(draw):
    dtype = draw(st.sampled_from([*BITS, "float32", "float64"]))
    shape = draw(st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 7, 31, 32, 33, 64, 65, 130])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    largest = 2 ** BITS.get(dtype, 8) - 1
    few = draw(st.booleans())  # then there are many ties
    values = rng.choice([0, 1, largest - 1, largest], shape) if few else rng.integers(0, largest + 1, shape)
    return values.astype(dtype)


small = st.integers(-4, 4)
simple = st.sampled_from([-2, -1, 1])
# Sums of up to 127 times 255 fit 16 bits, and of 32768 times 65535 fit 32.
near_overflow = st.sampled_from([1, -1, 42, -43, 64, -64, 127, -127, 128, -128, 129, 16384, -32768, 10**6])


@given(images(), st.one_of(map(sparse_templates, (small, simple, near_overflow))), st.sampled_from(list(PAD)))
@settings(deadline=None, max_examples=100)
def test_any_few_integers(image, templates, mode):
    assert_codes(image, templates, mode)


@pytest.mark.parametrize("dtype", BITS)
def test_sums_at_the_edge_of_overflow(dtype):
    most, largest = {"uint8": 127, "uint16": 32768}[dtype], 2 ** BITS[dtype] - 1
    rng = np.random.default_rng(0)
    image = rng.choice([0, 1, largest - 1, largest], (20, 70)).astype(dtype)
    for total, fits in ((most, True), (most + 1, False), (4 * most, False)):
        for signs in ([1, 1, 1], [-1, -1, -1], [1, -1, 1], [1, 1, -1], [-1, 1, -1]):
            templates = np.zeros((8, 3, 3), np.int64)
            templates[:, 0, 0], templates[:, 1, 1], templates[:, 2, 1] = np.array(signs) * [total - 3, 1, 2]
            assert has_three_taps(templates, dtype) == fits
            assert_codes(image, templates)


def test_which_templates_have_the_kernel():
    second = np.zeros((8, 3, 3))
    second[:, 0], second[:, 1, 1] = [3, 0, 3], -6
    assert has_three_taps(second, "uint8")
    taps, weights = _geometry.three_taps(*_checks.check_templates(second, 1)[:2], np.dtype("uint8"))
    assert weights.reshape(8, 3).tolist() == [[1, 1, -2]] * 8
    assert taps[:3].tolist() == [[0, 0, 2], [0, 0, 0], [0, 1, 1]]
    assert not has_three_taps(second, "float32")
    assert not has_three_taps(second / 6, "uint8")
    second[7, 2, 2] = 1
    assert not has_three_taps(second, "uint8")


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("name", ["lbp", "central"])
@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("mode", PAD)
def test_names(name, dtype, radius, mode):
    image = np.random.default_rng(radius).integers(0, 2 ** BITS[dtype], (40, 70), dtype)
    templates = np.zeros((8, 2 * radius + 1, 2 * radius + 1), np.int64)
    for k, (dy, dx) in enumerate(STEPS):
        templates[k, radius, radius] = -1 if name == "lbp" else -2
        templates[k, radius + dy * radius, radius + dx * radius] = 1
        if name == "central":
            templates[k, radius - dy * radius, radius - dx * radius] = 1
    expected = numpy_codes(image, templates, mode)
    np.testing.assert_array_equal(ltogp.encode(image, radius=radius, mode=mode, templates=name), expected)
    assert_codes(image, templates, mode)
    with pytest.MonkeyPatch.context() as patch:
        for planes in (True, False):
            patch.setattr(_compilation, "counts_bits", lambda planes=planes: planes)
            counts = ltogp.histogram(image, (1, 1), radius=radius, mode=mode, templates=name)
            np.testing.assert_array_equal(counts, np.bincount(expected.ravel(), minlength=256))


@pytest.mark.parametrize("dtype", BITS)
def test_scikit_image_where_it_does_not_interpolate(dtype):
    # Its four points are ours in directions E, N, W and S; beyond its borders there are zeros.
    image = np.random.default_rng(0).integers(0, 9, (50, 61), dtype)
    codes = ltogp.encode(image, templates="lbp", mode="constant")
    four = sum((codes >> 2 * k & 1) << k for k in range(4))
    np.testing.assert_array_equal(four, local_binary_pattern(image, 4, 1))


def test_templates_are_not_remembered_by_address():
    image = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    templates = np.zeros((8, 3, 3), np.int64)
    for weight in (1, -1, 2, -2):
        templates[:, 1, 1], templates[:, 0, 2] = weight, -1
        np.testing.assert_array_equal(ltogp.encode(image, templates=templates), numpy_codes(image, templates))
        floats = templates.astype(np.float64)
        np.testing.assert_array_equal(ltogp.encode(image, templates=floats), numpy_codes(image, templates))
