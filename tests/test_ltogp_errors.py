"""What ltogp.encode and ltogp.histogram refuse, and how they say so."""

import re

import dask.array
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import ltogp

GOOD = np.zeros((4, 20, 30), np.uint8)
WITH_NAN = np.zeros((4, 20, 30), np.float32)
WITH_NAN[2, 3, 5] = np.nan
WITH_INF = np.zeros((20, 30))
WITH_INF[-1, -1] = -np.inf


@pytest.mark.parametrize("function", [ltogp.encode, ltogp.histogram])
@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (
            GOOD.astype(complex),
            {},
            TypeError,
            "images has dtype complex128; must be bool, an integer, float16, float32 or float64: take np.abs",
        ),
        (GOOD.astype(object), {}, TypeError, "dtype object; must be bool, an integer, float16"),
        (np.ma.masked_equal(GOOD, 0), {}, TypeError, "masked array"),
        (dask.array.from_array(np.ma.masked_equal(GOOD, 0)), {}, TypeError, "masked array"),
        (GOOD[0, 0], {}, ValueError, "shape (30,); must be (H, W) or (T, H, W)"),
        (GOOD[..., None], {}, ValueError, "shape (4, 20, 30, 1); must be (H, W) or (T, H, W)"),
        (GOOD[:, :0], {}, ValueError, "shape (4, 0, 30): it holds no pixel"),
        (GOOD[0, :, :0], {}, ValueError, "shape (20, 0): it holds no pixel"),
        (WITH_NAN, {}, ValueError, "images holds nan at frame 2, row 3, column 5"),
        (WITH_INF, {}, ValueError, "images holds -inf at frame 0, row 19, column 29"),
        (
            WITH_NAN,
            {"templates": np.zeros((8, 1, 1))},
            ValueError,
            "images holds nan at frame 2, row 3, column 5",
        ),
        (GOOD, {"radius": 0}, ValueError, "radius is 0; must be at least 1"),
        (GOOD, {"radius": 4097}, ValueError, "radius is 4097; must be at least 1 and at most 4096"),
        (GOOD, {"radius": 1.0}, TypeError, "radius is 1.0; must be an integer"),
        (GOOD, {"radius": True}, TypeError, "radius is True; must be an integer"),
        (
            GOOD,
            {"mode": "edge"},
            ValueError,
            "mode is 'edge'; must be one of nearest, reflect, mirror, constant, wrap",
        ),
        (GOOD, {"mode": None}, ValueError, "mode is None"),
        (
            GOOD,
            {"templates": np.zeros((8, 4, 4))},
            ValueError,
            "templates has shape (8, 4, 4); must be (8, k, k)",
        ),
        (
            GOOD,
            {"templates": np.zeros((4, 3, 3))},
            ValueError,
            "templates has shape (4, 3, 3); must be (8, k, k)",
        ),
        (GOOD, {"templates": 3.0}, ValueError, "templates has shape (); must be (8, k, k) with k odd"),
        (GOOD, {"templates": np.full((8, 3, 3), np.nan)}, ValueError, "templates[0] holds NaN or infinity"),
        (GOOD, {"templates": np.full((8, 3, 3), "1")}, TypeError, "templates has dtype <U1"),
        (
            GOOD,
            {"templates": np.zeros((8, 3, 3)), "radius": 2},
            ValueError,
            "radius is 2, but belongs to templates with a name",
        ),
        (GOOD, {"n_jobs": 0}, ValueError, "n_jobs is 0; must be None, -1 or at least 1"),
        (GOOD, {"templates": "lpb"}, ValueError, "templates is 'lpb'; must be one of ltogp, lbp, central or"),
        (GOOD, {"templates": np.ma.ones((8, 3, 3))}, TypeError, "templates is a masked array"),
        (GOOD, {"templates": [np.ma.ones((3, 3))] * 8}, TypeError, "templates is a masked array"),
        (GOOD, {"n_jobs": 1.5}, TypeError, "n_jobs is 1.5; must be None or an integer"),
    ],
)
def test_bad_input(function, images, options, error, message):
    if function is ltogp.encode:
        message = message.replace("images", "image")
    with pytest.raises(error, match=re.escape(message)):
        function(images, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"blocks": (21, 1)}, ValueError, "blocks is (21, 1), more than an image of 20 x 30 pixels can fill"),
        ({"blocks": (1, 31)}, ValueError, "more than an image of 20 x 30 pixels"),
        ({"blocks": (0, 4)}, ValueError, "blocks is (0, 4); must be at least (1, 1)"),
        ({"blocks": 8}, TypeError, "blocks is 8; must be two integers"),
        ({"blocks": (8, 8, 8)}, TypeError, "blocks is (8, 8, 8); must be two integers"),
        ({"blocks": (8.0, 8)}, TypeError, "blocks is (8.0, 8); must be two integers"),
        ({"out": np.empty((4, 16384))}, TypeError, "out is float64; must be an array of float32"),
        ({"out": [0.0]}, TypeError, "out is list; must be an array of float32"),
        ({"out": np.empty((4, 16383), "f4")}, ValueError, "out has shape (4, 16383); must be (4, 16384)"),
        ({"out": np.empty((16384,), "f4")}, ValueError, "out has shape (16384,); must be (4, 16384)"),
        ({"out": np.empty((4, 32768), "f4")[:, ::2]}, ValueError, "out has gaps along its last axis"),
        ({"out": np.broadcast_to(np.float32(0), (4, 16384))}, ValueError, "out is read-only"),
        ({"out": np.ma.zeros((4, 16384), "f4")}, TypeError, "out is a masked array"),
        (
            {"out": as_strided(np.zeros(20000, "f4"), (4, 16384), (4, 4))},
            ValueError,
            "out has rows that share",
        ),
    ],
)
def test_bad_histogram_options(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ltogp.histogram(GOOD, **options)


def test_first_bad_frame_is_named_at_any_number_of_threads():
    stack = np.zeros((64, 128, 128), np.float32)
    stack[[50, 20, 60], 5, 6] = np.inf
    for n_jobs in (1, None):
        with pytest.raises(ValueError, match="inf at frame 20, row 5, column 6"):
            ltogp.histogram(stack, n_jobs=n_jobs)


def test_out_must_not_share_memory():
    stack = np.zeros((4, 128, 129), np.float32)
    out = stack.reshape(4, -1)[:, :16384]
    with pytest.raises(ValueError, match="out shares memory with images"):
        ltogp.histogram(stack, out=out)
    with pytest.raises(ValueError, match="out shares memory with mask"):
        ltogp.histogram(GOOD, out=out, mask=stack.view(bool)[0, :20, :30])
    wide = np.zeros((4, 16384 + 600), np.float32)  # side by side is well
    ltogp.histogram(wide[:, :600].reshape(4, 20, 30), out=wide[:, 600:])
    images = as_strided(wide, (4, 20, 30), (wide.strides[0], 120, 4))
    ltogp.histogram(images, out=wide[:, 600:])
    np.testing.assert_array_equal(wide[:, 600:].sum(axis=1), 600)
