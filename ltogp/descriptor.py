"""LTOGP codes and block histograms: what is computed, and the checks. The loops are in `_kernels.py`."""

from functools import lru_cache
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp import _kernels, _threads

MODES = ("nearest", "reflect", "mirror", "constant", "wrap")
# Work below this many pixels stays on the calling thread.
_SMALL = 1 << 18
# Integers up to here are exact in float32.
_EXACT = 1 << 24


def encode(
    image: ArrayLike,
    *,
    radius: int = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.uint8]:
    r"""Compute the LTOGP code of every pixel.

    With :math:`c` the pixel's value, :math:`a_k` that of the pixel `radius` steps away in direction k and
    :math:`b_k` that of the pixel twice as far,

    .. math:: \mathrm{code} = \sum_{k=0}^{7} [c - 2 a_k + b_k \ge 0] \, 2^k

    Direction 0 is east, and the others follow counter-clockwise: NE, N, NW, W, SW, S, SE.

    Parameters
    ----------
    image : array of shape (H, W) or (T, H, W)
        One image or a stack of them. bool, uint8 and uint16 are computed exactly, in integers; float32 and
        float64 in their own precision, from left to right. Views, read-only and memory-mapped arrays are read
        in place, without a copy of the whole.
    radius : int, default=1
        Distance of :math:`a_k` in pixels, at least 1.
    mode : {"nearest", "reflect", "mirror", "constant", "wrap"}, default="nearest"
        How the image goes on beyond its borders, as scipy.ndimage names it; "constant" means zeros.
    templates : array of shape (8, k, k) with k odd, optional
        Other templates: bit k is then ``scipy.ndimage.correlate(image, templates[k]) >= 0``, computed in
        float64; `radius` must stay 1. The paper shows its eight templates only as a picture, and the formula
        above is our reading of it: +1 at the centre, -2 one step and +1 two steps away.
    n_jobs : int, optional
        The largest number of threads. None and -1 mean one for each CPU this process may use, or
        NUMBA_NUM_THREADS if that is fewer. The result is the same at any number.

    Returns
    -------
    codes : array of uint8, same shape as `image`

    Raises
    ------
    TypeError
        If the dtype is another one, or an argument has the wrong type.
    ValueError
        If an image is empty or holds NaN or infinity, or an argument is out of range.

    References
    ----------
    .. [1] Niu, Tao, Li, Huang, Lian, "Discriminative video representation with temporal order for
       micro-expression recognition", ICASSP 2019, Eqs. (1) and (2).

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> image = np.array([[0, 0, 0, 9, 9, 9]], dtype=np.uint8)
    >>> ltogp.encode(image)
    array([[255, 255, 124, 255, 199, 255]], dtype=uint8)
    """
    stack, shape = _check_images(image)
    n_frames, height, width = stack.shape
    taps, weights, reach = _check_templates(templates, radius)
    rows, columns = _sources(height, reach, mode), _sources(width, reach, mode)
    threads = _check_n_jobs(n_jobs, stack.size)

    codes = np.empty((n_frames, height, width), np.uint8)
    kernel = _kernels.compiled("encode", stack.dtype)
    geometry = (rows, columns, reach, taps, weights, _FLIP[stack.dtype])

    def encode_rows(t0: int, t1: int, y0: int, y1: int) -> int:
        return kernel(stack, t0, t1, y0, y1, *geometry, codes)

    _check_finite(_threads.run(encode_rows, _split(n_frames, height, threads), threads), stack)
    return codes.reshape(shape)


def histogram(
    images: ArrayLike,
    blocks: tuple[int, int] = (8, 8),
    *,
    radius: int = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    out: NDArray[np.float32] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.float32]:
    """Count the LTOGP codes in each block of an image.

    Block (i, j) covers rows ``i*H//by`` to ``(i+1)*H//by`` and columns ``j*W//bx`` to ``(j+1)*W//bx``, so
    every pixel is counted once. Element ``(i*bx + j)*256 + code`` of the result is the number of pixels with
    that code in block (i, j).

    Parameters
    ----------
    images : array of shape (H, W) or (T, H, W)
        One image or a stack of them; dtypes as for :func:`encode`.
    blocks : (int, int), default=(8, 8)
        Rows and columns of blocks (by, bx), at most (H, W).
    radius, mode, templates, n_jobs
        As for :func:`encode`.
    out : array of float32, of the shape of the result, optional
        Where to write it: a writeable array whose last axis is contiguous.

    Returns
    -------
    histograms : array of float32, of shape (by*bx*256,) or (T, by*bx*256)
        Counts, in float32 because linear algebra follows. They are exact up to 2**24 pixels of one code in a
        block, and rounded beyond. `out` itself if that is given.

    Raises
    ------
    TypeError
        If the dtype of `images` or `out` is another one, or an argument has the wrong type.
    ValueError
        If an image is empty, smaller than `blocks` or holds NaN or infinity, or an argument is out of range.

    References
    ----------
    .. [1] Niu, Tao, Li, Huang, Lian, "Discriminative video representation with temporal order for
       micro-expression recognition", ICASSP 2019, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> frames = np.random.default_rng(0).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    >>> V = ltogp.histogram(frames)
    >>> V.shape
    (3, 16384)
    >>> V.reshape(3, 64, 256).sum(axis=2).min()  # each block has 16 x 16 pixels
    np.float32(256.0)
    """
    stack, shape = _check_images(images)
    n_frames, height, width = stack.shape
    by, bx = _check_blocks(blocks, height, width)
    taps, weights, reach = _check_templates(templates, radius)
    rows, columns = _sources(height, reach, mode), _sources(width, reach, mode)
    threads = _check_n_jobs(n_jobs, stack.size)
    shape = (*shape[:-2], by * bx * 256)
    if out is None:
        out = np.empty(shape, np.float32)
    else:
        _check_out(out, shape)

    # A few large images keep all threads busy only if their rows of blocks are cut into bands. Bands also
    # keep each count below 2**24, where float32 stops counting.
    wanted = -(-4 * threads // (by * max(1, n_frames))) if threads > 1 else 1
    most = (height // by + 1) * (width // bx + 1)
    cuts = min(max(wanted, -(-most // _EXACT)), height // by)
    bands, edges = _bands(height, by, cuts), _bands(width, bx, 1)
    counts = out if cuts == 1 else np.empty((n_frames, cuts * by * bx * 256), np.float32)
    flat = counts[None] if counts.ndim == 1 else counts
    kernel = _kernels.compiled("histogram", stack.dtype)
    geometry = (bands, edges, rows, columns, reach, taps, weights, _FLIP[stack.dtype])

    def count_bands(t0: int, t1: int, b0: int, b1: int) -> int:
        # The kernel writes to contiguous memory: to some columns of a larger `out`, frame by frame.
        step = max(1, t1 - t0) if flat.flags.c_contiguous else 1
        for t in range(t0, t1, step):
            bad = kernel(stack, t, t + step, b0, b1, *geometry, flat[t : t + step])
            if bad >= 0:
                return bad
        return -1

    _check_finite(_threads.run(count_bands, _split(n_frames, by * cuts, threads), threads), stack)
    if cuts > 1:
        by_cut = flat.reshape(n_frames, by, cuts, bx * 256)
        out[...] = by_cut.sum(axis=2, dtype=np.float64).reshape(shape)
    return out


# ----------------------------------------------------------------------------------------------------- checks

# The dtypes there are, and what kernels subtract pixels from: see `rises` in _kernels.py.
_FLIP: dict[np.dtype, Any] = {
    np.dtype(bool): None,  # viewed as uint8
    np.dtype(np.uint8): np.uint8(255),
    np.dtype(np.uint16): np.uint16(65535),
    np.dtype(np.float32): np.float32(0),
    np.dtype(np.float64): np.float64(0),
}


def _check_images(images: ArrayLike) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return the images as a (T, H, W) array of a dtype that has kernels, and the shape they came in."""
    if isinstance(images, np.ma.MaskedArray):
        raise TypeError("images is a masked array; its mask would be ignored")
    stack = np.asarray(images)
    shape = stack.shape
    if stack.dtype not in _FLIP:
        native = stack.dtype.newbyteorder("=")
        if native not in _FLIP:
            raise TypeError(f"images has dtype {stack.dtype}; must be one of {', '.join(map(str, _FLIP))}")
        stack = stack.astype(native)
    if stack.ndim not in (2, 3):
        raise ValueError(f"images has shape {shape}; must be (H, W) or (T, H, W), grey without a colour axis")
    if 0 in shape[-2:]:
        raise ValueError(f"images has shape {shape}: it holds no pixel")
    if stack.dtype == bool:
        stack = stack.view(np.uint8)
    return stack[None] if stack.ndim == 2 else stack, shape


def _check_finite(results: list[int], stack: NDArray[Any]) -> None:
    """Raise if a kernel met a NaN or an infinity: each returns the frame where, or -1."""
    bad = [t for t in results if t >= 0]
    if not bad:
        return
    t = min(bad)
    y, x = np.argwhere(~np.isfinite(stack[t]))[0]
    raise ValueError(f"images holds {stack[t, y, x]} at frame {t}, row {y}, column {x}; must be finite")


def _check_blocks(blocks: Any, height: int, width: int) -> tuple[int, int]:
    try:
        by, bx = blocks
    except (TypeError, ValueError):
        raise TypeError(f"blocks is {blocks!r}; must be two integers (rows, columns of blocks)") from None
    if not (_is_int(by) and _is_int(bx)):
        raise TypeError(f"blocks is {blocks!r}; must be two integers (rows, columns of blocks)")
    if by < 1 or bx < 1:
        raise ValueError(f"blocks is {blocks!r}; must be at least (1, 1)")
    if by > height or bx > width:
        raise ValueError(f"blocks is {blocks!r}, more than an image of {height} x {width} pixels can fill")
    return int(by), int(bx)


_NO_TAPS, _NO_WEIGHTS = np.empty((0, 3), np.intp), np.empty(0)


def _check_templates(templates: Any, radius: Any) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Return direction, row and column of the non-zero weights; the weights; how far they reach.

    None of the former for the default templates.
    """
    if not _is_int(radius):
        raise TypeError(f"radius is {radius!r}; must be an integer")
    if radius < 1:
        raise ValueError(f"radius is {radius}; must be at least 1")
    if templates is None:
        return _NO_TAPS, _NO_WEIGHTS, 2 * int(radius)
    if radius != 1:
        raise ValueError(f"radius is {radius}, but belongs to the default templates; leave it 1 with others")
    weights = np.asarray(templates)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"templates has dtype {weights.dtype}; must be real numbers")
    k = weights.shape[-1] if weights.ndim else 0
    if weights.shape != (8, k, k) or k % 2 == 0:
        raise ValueError(f"templates has shape {weights.shape}; must be (8, k, k) with k odd")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all():
        raise ValueError(f"templates[{np.argwhere(~np.isfinite(weights))[0][0]}] holds NaN or infinity")
    kept = weights != 0
    kept[0, 0, 0] |= not kept.any()  # no weights at all would mean the default templates
    return np.ascontiguousarray(np.argwhere(kept), np.intp), weights[kept], k // 2


def _check_n_jobs(n_jobs: Any, n_pixels: int) -> int:
    """Return how many threads to use for this many pixels."""
    if n_jobs is None:
        n_jobs = -1
    if not _is_int(n_jobs):
        raise TypeError(f"n_jobs is {n_jobs!r}; must be None or an integer")
    if n_jobs < 1 and n_jobs != -1:
        raise ValueError(f"n_jobs is {n_jobs}; must be None, -1 or at least 1")
    if n_jobs == 1 or n_pixels < _SMALL:
        return 1
    limit = _threads.thread_limit()
    return limit if n_jobs == -1 else min(int(n_jobs), limit)


def _check_out(out: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or not out.dtype.isnative:
        raise TypeError(f"out is {getattr(out, 'dtype', type(out).__name__)}; must be an array of float32")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; must be {shape}")
    if not out.flags.behaved:
        raise ValueError("out is read-only or not aligned")
    if out.strides[-1] != out.itemsize:
        raise ValueError("out has gaps along its last axis; it must be contiguous there")


def _is_int(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


# -------------------------------------------------------------------------------------------------- geometry


@lru_cache(64)
def _sources(n: int, reach: int, mode: str) -> NDArray[np.intp]:
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
def _bands(n: int, blocks: int, cuts: int) -> NDArray[np.intp]:
    """Edges of the blocks along an axis of n pixels, each block cut further."""
    edges = [n * i // blocks for i in range(blocks + 1)]
    cut = [a + (b - a) * c // cuts for a, b in pairwise(edges) for c in range(cuts)]
    bands = np.array([*cut, n], np.intp)
    bands.flags.writeable = False
    return bands


def _split(n_frames: int, n_rows: int, threads: int) -> list[tuple[int, int, int, int]]:
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
