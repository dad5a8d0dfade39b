"""What ltogp takes as an image: dtypes, floats that were integers, and what it refuses."""

import pathlib
import re
import warnings
from fractions import Fraction

import dask.array
import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data, img_as_float32, img_as_float64
from skimage.feature import local_binary_pattern

import ltogp

PAD = {
    "nearest": "edge",
    "reflect": "symmetric",
    "mirror": "reflect",
    "constant": "constant",
    "wrap": "wrap",
}
# E, NE, N, NW, W, SW, S, SE, rows downwards
STEPS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
# What each set of templates adds up: weights of the pixels 0, 1 and 2 steps away, and 1 step the other way.
WEIGHTS = {"ltogp": (1, -2, 1, 0), "lbp": (-1, 1, 0, 0), "central": (-2, 1, 0, 1)}
ASTRONAUT = data.astronaut()
GREY = np.asarray(Image.fromarray(ASTRONAUT).convert("L"))


def exact_codes(image, radius=1, mode="nearest", templates="ltogp"):
    """Codes in Python's integers and fractions, without any rounding."""
    numbers = np.array([Fraction(x) for x in image.ravel().tolist()], object).reshape(image.shape)
    (height, width), reach = image.shape, 2 * radius
    padded = np.pad(numbers, reach, mode=PAD[mode])
    here, one, two, opposite = WEIGHTS[templates]
    codes = np.zeros(image.shape, np.uint8)
    for y, x in np.ndindex(height, width):
        for k, (dy, dx) in enumerate(STEPS):
            u, v = dy * radius, dx * radius
            g = here * padded[reach + y, reach + x] + one * padded[reach + y + u, reach + x + v]
            g += two * padded[reach + y + 2 * u, reach + x + 2 * v]
            g += opposite * padded[reach + y - u, reach + x - v]
            codes[y, x] |= (g >= 0) << k
    return codes


def bincount(codes):
    return np.bincount(codes.ravel(), minlength=256)


# ------------------------------------------------------------------------------------------------- dtypes

EXACT_DTYPES = [
    *("int8", "int16", "int32", "int64"),
    *("bool", "uint8", "uint16", "uint32", "uint64"),
    "float16",
]


@st.composite
def exact_images(draw):
    dtype = np.dtype(draw(st.sampled_from(EXACT_DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
    elements = None
    if dtype.kind in "iu":
        # Ranges about each place where another dtype takes over.
        info, bits = np.iinfo(dtype), draw(st.sampled_from([2, 8, 9, 16, 17, 22, 23, 51]))
        low = draw(st.sampled_from([0, -(2**bits)]))
        elements = st.integers(max(low, info.min), min(2**bits, info.max))
    elif dtype.kind == "f":
        elements = st.floats(width=16, allow_nan=False, allow_infinity=False)
    return draw(hnp.arrays(dtype, shape, elements=elements))


@given(exact_images(), st.sampled_from(list(PAD)), st.sampled_from([1, 2]), st.sampled_from(list(WEIGHTS)))
@settings(deadline=None, max_examples=150)
def test_integers_and_half_floats_are_exact(image, mode, radius, templates):
    expected = exact_codes(image, radius, mode, templates)
    options = {"mode": mode, "radius": radius, "templates": templates}
    np.testing.assert_array_equal(ltogp.encode(image, **options), expected)
    np.testing.assert_array_equal(ltogp.histogram(image, (1, 1), **options), bincount(expected))
    swapped = image.astype(image.dtype.newbyteorder())
    np.testing.assert_array_equal(ltogp.encode(swapped, **options), expected)


@pytest.mark.parametrize("dtype", EXACT_DTYPES)
def test_extremes_of_each_dtype(dtype):
    if dtype == "bool":
        low, high = False, True
    elif dtype == "float16":
        low, high = np.finfo(dtype).min, np.finfo(dtype).max
    else:
        low, high = max(np.iinfo(dtype).min, -(2**51)), min(np.iinfo(dtype).max, 2**51)
    image = np.where(np.random.default_rng(0).random((9, 20)) < 0.5, low, high).astype(dtype)
    if dtype == "float16":  # beside the largest the smallest
        image[::2, ::3] = np.finfo(dtype).smallest_subnormal
    for templates in WEIGHTS:
        for mode in ("nearest", "constant"):
            expected = exact_codes(image, 1, mode, templates)
            np.testing.assert_array_equal(ltogp.encode(image, mode=mode, templates=templates), expected)


@pytest.mark.parametrize(("dtype", "x"), [("int64", -(2**51) - 1), ("int64", 2**60), ("uint64", 2**64 - 1)])
def test_integers_that_are_too_large(dtype, x):
    image = np.zeros((4, 5), dtype)
    image[2, 2] = x
    message = f"has dtype {dtype} and holds {x}; beyond 2**51 differences are not exact"
    for function in (ltogp.encode, ltogp.histogram):
        with pytest.raises(ValueError, match=re.escape(message)):
            function(image)
    assert ltogp.encode(image.astype(float)).shape == (4, 5)  # as the error advises


def test_long_doubles():
    if np.dtype(np.longdouble).itemsize == 8:
        return  # here they are float64
    with pytest.raises(
        TypeError, match=r"must be bool, an integer, .*: cast, as image\.astype\(np\.float64\)"
    ):
        ltogp.encode(np.zeros((4, 5), np.longdouble))


@pytest.mark.parametrize("dtype", EXACT_DTYPES)
def test_no_frames(dtype):
    assert ltogp.encode(np.zeros((0, 4, 5), dtype)).shape == (0, 4, 5)
    assert ltogp.histogram(np.zeros((0, 4, 5), dtype), (2, 2)).shape == (0, 1024)
    colours = np.zeros((0, 4, 5, 3), dtype)
    assert ltogp.histogram(colours, (2, 2), channel_axis=-1).shape == (0, 3072)
    assert ltogp.encode(colours, channel_axis=-1).shape == (0, 4, 5, 3)


# ---------------------------------------------------------------------------------------- named templates


@pytest.mark.parametrize("mode", PAD)
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("templates", WEIGHTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_named_templates(templates, radius, mode, dtype):
    # Floats with few bits, whose sums are exact in any order.
    image = np.random.default_rng(0).integers(0, 9, (11, 14)).astype(dtype)
    expected = exact_codes(image, radius, mode, templates)
    options = {"radius": radius, "mode": mode, "templates": templates}
    np.testing.assert_array_equal(ltogp.encode(image, **options), expected)
    np.testing.assert_array_equal(ltogp.histogram(image, (1, 1), **options), bincount(expected))
    both = ltogp.histogram(image, (1, 1), radius=(radius, 3), mode=mode, templates=templates)
    np.testing.assert_array_equal(both[:256], bincount(expected))


def test_none_is_ltogp():
    np.testing.assert_array_equal(ltogp.encode(GREY, templates=None), ltogp.encode(GREY, templates="ltogp"))
    np.testing.assert_array_equal(ltogp.encode(GREY), ltogp.encode(GREY, templates="ltogp"))


def test_central_names_each_direction_twice():
    codes = ltogp.encode(GREY, templates="central")
    assert len(np.unique(codes)) == 16
    np.testing.assert_array_equal(codes >> 4, codes & 15)


def test_lbp_is_that_of_scikit_image():
    # Along rows and columns scikit-image takes the same neighbours; on the diagonals, points of the circle.
    # Its bits go counter-clockwise from the east, too.
    ours, theirs = ltogp.encode(GREY, templates="lbp"), local_binary_pattern(GREY, 8, 1).astype(int)
    inside = (slice(1, -1), slice(1, -1))
    for k in (0, 2, 4, 6):
        np.testing.assert_array_equal(ours[inside] >> k & 1, theirs[inside] >> k & 1)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint64", "float16"])
def test_estimator_takes_all_dtypes(dtype):
    images = np.random.default_rng(0).integers(0, 100, (5, 20, 30)).astype(dtype)
    expected = ltogp.histogram(images.astype(np.uint8))
    np.testing.assert_array_equal(ltogp.LTOGP().fit_transform(images), expected)
    np.testing.assert_array_equal(ltogp.LTOGP().fit_transform(list(images)), expected)
    table = ltogp.LTOGP(image_shape=(20, 30))
    np.testing.assert_array_equal(table.fit_transform(images.reshape(5, -1)), expected)
    np.testing.assert_array_equal(table.fit_transform(pd.DataFrame(images.reshape(5, -1))), expected)


# ------------------------------------------------------------------------- floats that were integers

PICTURES = {"astronaut": GREY, "brick": data.brick(), "grass": data.grass(), "gravel": data.gravel()}
DIVISIONS = {
    "x / 255": lambda x: x / 255,
    "float32(x) / 255": lambda x: x.astype(np.float32) / np.float32(255),
    "x * (1 / 255)": lambda x: x * (1 / 255),
    "float16(x / 255)": lambda x: (x / 255).astype(np.float16),
    "img_as_float64": img_as_float64,
    "img_as_float32": img_as_float32,
}


@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("picture", PICTURES)
def test_integers_divided_by_255(picture, division):
    integers = PICTURES[picture]
    image = DIVISIONS[division](integers)
    with pytest.warns(UserWarning, match=r"np\.round\(image \* 255\)\.astype\(np\.uint8\)") as warned:
        codes = ltogp.encode(image)
    assert len(warned) == 1
    assert warned[0].filename == __file__  # the caller's line
    assert (codes != ltogp.encode(integers)).mean() > 0.003  # the warning is right, and so is its advice:
    remedy = np.round(image.astype(float) * 255).astype(np.uint8)
    np.testing.assert_array_equal(ltogp.encode(remedy), ltogp.encode(integers))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_divided_by_65535(dtype):
    integers = GREY.astype(np.uint16) * 200 + np.arange(512, dtype=np.uint16)
    image = integers.astype(dtype) / dtype(65535)
    with pytest.warns(UserWarning, match=r"np\.round\(image \* 65535\)\.astype\(np\.uint16\)"):
        ltogp.encode(image)


def test_every_function_warns_at_the_callers_line():
    frames = np.stack([GREY[:60, :50] / 255] * 3)
    for call in (
        lambda: ltogp.encode(frames),
        lambda: ltogp.histogram(frames),
        lambda: ltogp.histogram_top(frames),
        lambda: ltogp.encode(ASTRONAUT / 255, channel_axis=-1),
        lambda: ltogp.LTOGP().fit(frames),
    ):
        with pytest.warns(UserWarning, match="looks like integers divided by 255") as warned:
            call()
        assert len(warned) == 1
        assert warned[0].filename in (__file__, ltogp.estimator.__file__)


def test_one_place_warns_once():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(3):
            ltogp.encode(GREY / 255)
    assert len(warned) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_warning_for_other_floats(dtype):
    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(GREY.astype(np.float32) / 255).resize((60, 70), Image.Resampling.BICUBIC)
    )
    for image in (
        GREY,  # whole numbers in floats are exact
        GREY / 256,
        (GREY > 100),
        rng.random((40, 50)),
        rng.random((4, 5)),
        rng.standard_normal((40, 50)),
        smooth,
        np.where(rng.random((40, 50)) < 0.5, 0, smooth[:40, :50]),
        np.full((20, 30), 0.2),
        np.full((20, 30), 1e-300 if dtype == np.float64 else 1e-7),
        np.zeros((20, 30)),
        GREY / 255 * 1000,
        GREY / 255 - 0.5,
    ):
        ltogp.encode(image.astype(dtype))


# ------------------------------------------------------------------------------------ no images at all

IMAGE = GREY[:20, :30]


@pytest.mark.parametrize("function", [ltogp.encode, ltogp.histogram, ltogp.histogram_top])
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            "face.png",
            TypeError,
            "is 'face.png', which looks like the name of a file; read it first: np.asarray(PIL",
        ),
        (pathlib.PurePosixPath("a/b.png"), TypeError, "is 'a/b.png', which looks like the name of a file"),
        (["a.png", "b.png"], TypeError, "is 'a.png', which looks like the name of a file"),
        ([pathlib.PurePosixPath("a.png")], TypeError, "is 'a.png', which looks like the name of a file"),
        (np.array(["a.png"]), TypeError, "is 'a.png', which looks like the name of a file"),
        (
            [IMAGE, IMAGE[1:]],
            ValueError,
            "holds images of several shapes, (19, 30) and (20, 30) among them; pass them one by one, or all "
            "to ltogp.LTOGP",
        ),
        (
            [IMAGE, np.stack([IMAGE] * 3, -1)],
            ValueError,
            "holds images of several shapes, (20, 30) and (20, 30, 3)",
        ),
        (
            pd.Series([IMAGE, IMAGE]),
            TypeError,
            "has dtype object and holds arrays; join images of one shape with np",
        ),
        ([np.ma.masked_equal(IMAGE, 0)] * 2, TypeError, "is a masked array; its mask would be ignored"),
        (np.ma.masked_equal(IMAGE, 0), TypeError, "is a masked array; its mask would be ignored"),
        (
            pd.DataFrame(IMAGE).astype("Int64").astype(object),
            TypeError,
            "has dtype object; must be bool, an integer",
        ),
        (np.zeros((4, 5), "M8[s]"), TypeError, "has dtype datetime64[s]; must be bool"),
        (None, TypeError, "has dtype object"),
        (7, ValueError, "has shape (); must be (H, W) or (T, H, W)"),
    ],
    ids=str,
)
def test_not_images(function, images, error, message):
    with pytest.raises(error, match=re.escape(message)) as raised:
        function(images)
    assert str(raised.value).startswith(("image ", "images ", "frames "))


def test_frames_and_pictures_of_other_packages():
    expected = ltogp.encode(IMAGE)
    for image in (
        pd.DataFrame(IMAGE),
        pd.DataFrame(IMAGE.astype(np.int64)),
        Image.fromarray(IMAGE),
        IMAGE.tolist(),
        dask.array.from_array(IMAGE),
        memoryview(np.ascontiguousarray(IMAGE)),
    ):
        codes = ltogp.encode(image)
        assert type(codes) is np.ndarray
        np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(ltogp.encode([Image.fromarray(IMAGE)] * 2), [expected] * 2)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["a.png", "b.png"], TypeError, "X[0] is 'a.png', the name of a file; read it first: np.asarray(PIL"),
        ([IMAGE, pathlib.PurePosixPath("b.png")], TypeError, "X[1] is 'b.png', the name of a file"),
        (pd.Series(["a.png"]), TypeError, "X[0] is 'a.png', the name of a file"),
        (
            [IMAGE, IMAGE[0]],
            ValueError,
            "X[1] has shape (30,); must be (H, W); in colour, set channel_axis=-1",
        ),
        (
            [IMAGE, np.ma.masked_equal(IMAGE, 0)],
            TypeError,
            "X[1] is a masked array; its mask would be ignored",
        ),
        (np.ma.zeros((3, 20, 30)), TypeError, "X is a masked array; its mask would be ignored"),
    ],
)
def test_not_images_for_the_estimator(X, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ltogp.LTOGP().fit(X).transform(X)
    with pytest.raises(TypeError, match="X is a masked array"):
        ltogp.LTOGP(image_shape=(20, 30)).fit(np.ma.zeros((3, 600)))
