"""What ltogp.encode_tiles and ltogp.histogram_map refuse, how they say so, and how they stop."""

import re
import warnings
from pathlib import Path

import dask.array
import numpy as np
import pytest
import zarr

import ltogp

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 55), dtype=np.uint8)
STACK = RNG.integers(0, 256, (3, 20, 23), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 23, 3), dtype=np.uint8)


class Sliced:
    """An image that is no array; it counts what is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        self.read.append(key)
        return self.array[key].copy()


WITH_NAN = STACK.astype(np.float32)
WITH_NAN[1, 7, 19] = np.nan
WITH_NAN[2, 0, 0] = np.inf


@pytest.mark.parametrize(("tile", "mode"), [(None, "nearest"), (1, "wrap"), ((5, 4), "mirror")])
def test_the_first_bad_number_is_named_where_it_stands(tile, mode, eight_threads):
    message = re.escape("image holds nan at frame 1, row 7, column 19; must be finite")
    for templates in ("ltogp", "lbp"):
        options = {"tile": tile, "mode": mode, "templates": templates}
        with pytest.raises(ValueError, match=message):
            ltogp.encode_tiles(WITH_NAN[:2], **options)
        with pytest.raises(ValueError, match=message):
            ltogp.histogram_map(Sliced(WITH_NAN[:2]), 4, 3, **options)
    chunked = dask.array.from_array(WITH_NAN[:2], chunks=9)
    with pytest.raises(ValueError, match=message):
        ltogp.encode_tiles(chunked, mode=mode).compute()
    with pytest.raises(ValueError, match=message):
        ltogp.histogram_map(chunked, 4, 3, mode=mode).compute()
    colours = np.moveaxis(WITH_NAN, 0, -1)
    with pytest.raises(ValueError, match="channel 1 of image holds nan at frame 0, row 7, column 19"):
        ltogp.encode_tiles(colours[..., :2], channel_axis=-1, tile=tile, mode=mode)


def test_no_tile_is_begun_after_a_failure(eight_threads):
    class Broken(Sliced):
        error = OSError("no such chunk")

        def __getitem__(self, key):
            part = super().__getitem__(key)
            if len(self.read) > 20:
                raise self.error
            return part

    image = Broken(np.zeros((400, 400), np.uint8))
    with pytest.raises(OSError, match="no such chunk"):
        ltogp.encode_tiles(image, tile=10)
    assert len(image.read) < 60
    image, image.error = Broken(np.zeros((400, 400), np.uint8)), None
    image.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ltogp.encode_tiles(image, tile=10)
    assert len(image.read) < 60


def test_the_warning_of_quotients_is_that_of_the_caller():
    image = Sliced(np.tile(np.arange(256, dtype=np.float32).reshape(16, 16), (10, 10)) / 255)
    for call in (
        lambda: ltogp.encode_tiles(image, tile=20),
        lambda: ltogp.histogram_map(image, 9, 9, tile=20),
    ):
        with pytest.warns(UserWarning, match="image looks like integers divided by 255") as caught:
            call()
        assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ltogp.encode_tiles(RNG.random((99, 99)), tile=20)


class Masking(Sliced):
    def __getitem__(self, key):
        return np.ma.masked_equal(super().__getitem__(key), 0)


@pytest.mark.parametrize(
    "function", [ltogp.encode_tiles, lambda image, **o: ltogp.histogram_map(image, 4, 2, **o)]
)
@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (IMAGE.astype(complex), {}, TypeError, "image has dtype complex128; must be bool"),
        (IMAGE.astype(object), {}, TypeError, "image has dtype object"),
        (np.ma.masked_equal(IMAGE, 0), {}, TypeError, "image is a masked array"),
        (Masking(IMAGE), {}, TypeError, "image is a masked array"),
        (dask.array.from_array(np.ma.masked_equal(IMAGE, 0)), {}, TypeError, "image is a masked array"),
        ("slide.tif", {}, TypeError, "image is 'slide.tif', which looks like the name of a file"),
        (COLOUR, {}, ValueError, "looks like an image in colour"),
        (zarr.create_array({}, data=COLOUR), {}, ValueError, "looks like an image in colour"),
        (IMAGE[0], {}, ValueError, "image has shape (55,); must be (H, W) or (T, H, W)"),
        (IMAGE[:, :0], {}, ValueError, "image has shape (40, 0): it holds no pixel"),
        (COLOUR, {"channel_axis": 3}, ValueError, "channel_axis is 3, but image has the 3 axes"),
        (np.full((9, 9), 2**52), {}, ValueError, "image has dtype int64 and holds 4503599627370496"),
        (IMAGE, {"mode": "edge"}, ValueError, "mode is 'edge'; must be one of nearest"),
        (IMAGE, {"radius": 0}, ValueError, "radius is 0; must be at least 1"),
        (IMAGE, {"templates": "x"}, ValueError, "templates is 'x'; must be one of"),
        (IMAGE, {"mapping": "x"}, ValueError, "mapping is 'x'; must be one of"),
        (IMAGE, {"n_jobs": 0}, ValueError, "n_jobs is 0"),
        (IMAGE, {"tile": 0}, ValueError, "tile is 0; must be at least 1"),
        (
            IMAGE,
            {"tile": (8, 8, 8)},
            TypeError,
            "tile is (8, 8, 8); must be an integer or two (rows, columns)",
        ),
        (IMAGE, {"tile": True}, TypeError, "tile is True"),
        (
            IMAGE,
            {"out": np.empty((4, 5), np.uint8)},
            ValueError,
            "out has shape (4, 5); must be (40, 55)|(20, 28, 256)",
        ),
        (IMAGE, {"out": [1]}, TypeError, "out is list; must be an array, a memory map, or"),
        (
            IMAGE,
            {"out": dask.array.zeros(IMAGE.shape)},
            TypeError,
            "out is Array; must be an array, a memory map",
        ),
        (IMAGE, {"out": np.ma.empty(IMAGE.shape, np.uint8)}, TypeError, "out is a masked array"),
    ],
)
def test_refused(function, image, options, error, message):
    with pytest.raises(error, match="|".join(map(re.escape, message.split("|")))):
        function(image, **options)


MASKED_DASK = dask.array.from_array(np.ma.array(IMAGE > 9, mask=IMAGE > 200))
READ_ONLY = np.empty(IMAGE.shape, np.uint8)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty(IMAGE.shape, np.float32), TypeError, "out has dtype float32; must be uint8"),
        (READ_ONLY, ValueError, "out is read-only"),
        (IMAGE, ValueError, "out shares memory with image"),
        (IMAGE[::-1], ValueError, "out shares memory with image"),
    ],
)
def test_codes_cannot_be_written_there(out, error, message):
    with pytest.raises(error, match=message):
        ltogp.encode_tiles(IMAGE, out)


@pytest.mark.parametrize(
    ("window", "stride", "options", "error", "message"),
    [
        (0, 1, {}, ValueError, "window is 0; must be at least 1"),
        (4, 0, {}, ValueError, "stride is 0; must be at least 1"),
        (4.0, 1, {}, TypeError, "window is 4.0; must be an integer or two (rows, columns)"),
        (4, (1, 2, 3), {}, TypeError, "stride is (1, 2, 3); must be an integer or two"),
        (4, "x", {}, TypeError, "stride is 'x'"),
        (4, 2, {"normalize": "l3"}, ValueError, "normalize is 'l3'"),
        (4, 2, {"mask": IMAGE}, TypeError, "mask has dtype uint8; must be bool"),
        (
            4,
            2,
            {"mask": IMAGE[1:] > 9},
            ValueError,
            "mask has shape (39, 55); must be (40, 55), as the images",
        ),
        (4, 2, {"mask": Masking(IMAGE > 9)}, TypeError, "mask is a masked array"),
        (4, 2, {"mask": MASKED_DASK}, TypeError, "mask is a masked array"),
        (
            16,
            2,
            {"out": np.empty((20, 28, 256), np.uint8)},
            ValueError,
            "out has dtype uint8, which does not hold",
        ),
        (99, 2, {"out": np.empty((20, 28, 256), np.float16)}, ValueError, "does not hold the 2200 pixels"),
        (4, 2, {"out": np.empty((20, 28, 256), np.uint8), "normalize": "l1"}, TypeError, "must be of floats"),
        (4, 2, {"out": np.empty((20, 28, 256), complex)}, TypeError, "must be of floats or integers"),
        (4, 2, {"radius": ()}, ValueError, "radius is (); must hold at least one integer"),
    ],
)
def test_maps_refused(window, stride, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ltogp.histogram_map(IMAGE, window, stride, **options)


def test_a_window_of_too_many_pixels():
    class Huge(Sliced):
        def __init__(self):
            self.shape, self.dtype = (50_000, 50_000), np.dtype(np.uint8)

    with pytest.raises(ValueError, match=re.escape("a window must hold less than 2**31 pixels")):
        ltogp.histogram_map(Huge(), 50_000, 50_000)
