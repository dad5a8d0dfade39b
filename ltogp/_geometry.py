"""Where borders, blocks and pieces of work lie."""

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Geometry(NamedTuple):
    """Borders and templates, as kernels take them: at one size of images, of one dtype, and one radius."""

    rows: NDArray[np.intp]  # the source of each padded row, from `border_sources`
    columns: NDArray[np.intp]
    reach: int  # of the templates, in pixels
    taps: NDArray[np.intp]  # (m, 3): direction, row and column of each weight
    weights: NDArray[np.float64]
    limit: Any  # the largest pixel that may be


MODES = ("nearest", "reflect", "mirror", "constant", "wrap")


@lru_cache(64)
def border_sources(n: int, reach: int, mode: str) -> NDArray[np.intp]:
    """Which of n pixels stands at -reach, ..., n + reach - 1 along an axis; -1 for a zero."""
    i = np.arange(-reach, n + reach)
    if mode == "nearest":
        i = i.clip(0, n - 1)
    elif mode == "constant":
        i[(i < 0) | (i >= n)] = -1
    elif mode == "wrap":
        i %= n
    elif mode == "reflect":  # d c b a | a b c d | d c b a, over and over
        i %= 2 * n
        i = np.minimum(i, 2 * n - 1 - i)
    elif mode == "mirror":  # d c b | a b c d | c b a
        period = max(1, 2 * n - 2)
        i %= period
        i = np.minimum(i, period - i)
    else:
        raise ValueError(f"mode is {mode!r}; must be one of {', '.join(MODES)}")
    i = i.astype(np.intp)
    i.flags.writeable = False
    return i


@lru_cache(64)
def block_ranges(n: int, blocks: int, cuts: int, overlap: float) -> NDArray[np.intp]:
    """First and last + 1 of the pixels of each block along an axis of n pixels, each block cut further."""
    exact = Fraction(overlap).limit_denominator(10**6)
    length = block_length(n, blocks, exact)
    starts = [i * (1 - exact) * length for i in range(blocks)]
    edges = [(floor(start), floor(start + length)) for start in starts]
    cut = [(a + (b - a) * c // cuts, a + (b - a) * (c + 1) // cuts) for a, b in edges for c in range(cuts)]
    bands = np.array(cut, np.intp)
    bands.flags.writeable = False
    return bands


@lru_cache(64)
def cells_of_blocks(
    height: int, width: int, by: int, bx: int, overlap: float
) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
    """Return how many cells a block spans either way, and rows and columns of cells, or of blocks if it is 1.

    At an overlap of 1 - 1/m each block begins where the m-th before it ends: cut there into cells, all pixels
    are counted once, and not m**2 times. Small cells, whose histograms take longer than that, are not worth
    it, nor are other overlaps, whose cells would be small and many.
    """
    step = 1 - Fraction(overlap).limit_denominator(10**6)
    bands, edges = block_ranges(height, by, 1, overlap), block_ranges(width, bx, 1, overlap)
    span = int(1 / step)
    if span * step == 1:
        # Cells are blocks that do not overlap.
        rows, columns = (block_ranges(n, k + span - 1, 1, 0.0) for n, k in ((height, by), (width, bx)))
        if _cost(rows, columns) < _cost(bands, edges):
            return span, rows, columns
    return 1, bands, edges


def _cost(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> float:
    """Return what counting takes: a histogram as much as 64 pixels; none may be empty."""
    heights, widths = np.diff(rows), np.diff(columns)
    if not (heights.all() and widths.all()):
        return np.inf
    return float(64 * len(rows) * len(columns) + heights.sum() * widths.sum())


def block_length(n: int, blocks: int, overlap: Any) -> Any:
    return n / (1 + (blocks - 1) * (1 - overlap))


def split_work(n_frames: int, n_rows: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Cut frames (or, if they are few, their rows) into pieces (t0, t1, row0, row1): four for each thread.

    Four, because with one each all would wait for the slowest.
    """
    if threads == 1:
        return [(0, n_frames, 0, n_rows)]
    pieces = 4 * threads
    if n_frames >= pieces:
        t = [n_frames * i // pieces for i in range(pieces + 1)]
        return [(t0, t1, 0, n_rows) for t0, t1 in pairwise(t)]
    per_frame = min(n_rows, -(-pieces // max(1, n_frames)))
    y = [n_rows * i // per_frame for i in range(per_frame + 1)]
    return [(t, t + 1, y0, y1) for t in range(n_frames) for y0, y1 in pairwise(y)]
