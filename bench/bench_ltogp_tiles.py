"""Maps of local histograms, and codes in tiles, beside scikit-image, NumPy and what they cannot do without.

    pytest bench --benchmark-only -k ltogp_tiles

On one thread, on textures of scikit-image, uint8. "encode + write" is ltogp.encode of the image and writing
an array of the size of the map once: what any map costs at least. scikit-image and NumPy get the codes, and
only count. The two of each line are run in turn, and the ratio is the median of the ratios of neighbours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage import data
from skimage.filters.rank import windowed_histogram

import ltogp

TITLE = "ltogp in tiles beside others, one thread"
BINS = {"default": 256, "nri_uniform": 59, "uniform": 10}
SLIDE = np.tile(np.concatenate([data.brick(), data.grass(), data.gravel(), data.brick()], axis=1), (4, 1))


@pytest.fixture
def compare(compare: Callable[..., None]) -> Callable[..., None]:
    return partial(compare, per=(1, 1), unit="ms")


@pytest.mark.parametrize(
    ("window", "stride", "mapping"),
    [
        (64, 16, "default"),
        (64, 16, "uniform"),
        (32, 8, "default"),
        (31, 4, "nri_uniform"),
        (31, 4, "uniform"),
        (15, 1, "uniform"),
    ],
)
def test_map(compare: Any, window: int, stride: int, mapping: str) -> None:
    image = SLIDE if stride > 1 else SLIDE[:1024, :1024]
    shape = (-(-image.shape[0] // stride), -(-image.shape[1] // stride), BINS[mapping])

    def least() -> None:
        ltogp.encode(image, mapping=mapping, n_jobs=1)
        np.full(shape, 1, np.float32)

    compare(
        f"map of {shape}, window {window}, stride {stride}",
        lambda: ltogp.histogram_map(image, window, stride, mapping=mapping, n_jobs=1),
        least,
        names="ltogp | encode + write",
        rounds=20,
    )


@pytest.mark.parametrize("mapping", ["uniform", "nri_uniform"])
def test_scikit_image(compare: Any, mapping: str) -> None:
    image = SLIDE[:256, :256]
    codes, footprint = ltogp.encode(image, mapping=mapping), np.ones((31, 31), np.uint8)
    compare(
        f"map of {(*image.shape, BINS[mapping])}, window 31, stride 1",
        lambda: ltogp.histogram_map(image, 31, 1, mapping=mapping, normalize="l1", n_jobs=1),
        lambda: windowed_histogram(codes, footprint, n_bins=BINS[mapping]),
        names="ltogp | windowed_histogram",
        rounds=5,
        speedup=True,
    )


def test_map_beside_numpy(compare: Any) -> None:
    image = SLIDE[:512, :512]
    codes = ltogp.encode(image)

    def count() -> np.ndarray:
        windows = sliding_window_view(codes, (64, 64))[::16, ::16]
        n = windows.shape[0] * windows.shape[1]
        bins = windows.reshape(n, -1) + 256 * np.arange(n)[:, None]
        return np.bincount(bins.ravel(), minlength=256 * n).reshape(*windows.shape[:2], 256)

    # Its windows begin at the corner, ours are about the middle of a cell.
    ours = ltogp.histogram_map(np.pad(image, 24, mode="edge"), 64, 16)[3:-3, 3:-3]
    np.testing.assert_array_equal(ours[1:-1, 1:-1], count()[1:-1, 1:-1])
    compare(
        "map of (32, 32, 256), window 64, stride 16",
        lambda: ltogp.histogram_map(image, 64, 16, n_jobs=1),
        count,
        names="ltogp | sliding_window_view",
        rounds=10,
        speedup=True,
    )


def test_codes(compare: Any) -> None:
    out = np.empty_like(SLIDE)
    compare(
        f"codes of {SLIDE.shape}",
        lambda: ltogp.encode_tiles(SLIDE, out, n_jobs=1),
        lambda: ltogp.encode(SLIDE, n_jobs=1),
        names="encode_tiles | encode",
        rounds=30,
    )
