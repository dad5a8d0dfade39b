"""LTOGP codes and block histograms: what is computed. The loops are in `_kernels.py`."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp import _kernels, _threads
from ltogp._checks import (
    FLIP,
    check_blocks,
    check_finite,
    check_images,
    check_mask,
    check_n_jobs,
    check_normalize,
    check_out,
    check_overlap,
    check_radii,
    check_radius,
    check_templates,
)
from ltogp._geometry import block_length, block_ranges, border_sources, split_work
from ltogp._mapping import mapping_bins

# Integers up to here are exact in float32.
EXACT = 1 << 24
NO_MASK = np.empty((0, 0, 0), np.uint8)


def encode(
    image: ArrayLike,
    *,
    radius: int = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    mapping: str = "default",
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
    mapping : {"default", "ror", "uniform", "nri_uniform"}, default="default"
        Which codes count as one, as scikit-image's ``local_binary_pattern`` names it; what is returned is the
        number of the group. "default": every code for itself, 256 of them. "ror": the codes that are
        rotations of each other, 36 groups in the order of their smallest members. "uniform" [2]_: for codes
        whose ones stand together on the circle of directions the number of ones, 0 to 8; for all others 9.
        "nri_uniform" [3]_: 0 to 57 for each of the former, by number of ones, then by where they stand; 58
        for all others.
    n_jobs : int, optional
        The largest number of threads. None and -1 mean one for each CPU this process may use, or
        NUMBA_NUM_THREADS or OMP_NUM_THREADS if that is fewer. The result is the same at any number.

    Returns
    -------
    codes : array of uint8, same shape as `image`
        Or groups of codes, if there is a `mapping`.

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
    .. [2] Ojala, Pietikäinen, Mäenpää, "Multiresolution gray-scale and rotation invariant texture
       classification with local binary patterns", IEEE TPAMI 24(7), 2002.
    .. [3] Ahonen, Hadid, Pietikäinen, "Face description with local binary patterns: application to face
       recognition", IEEE TPAMI 28(12), 2006.

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> image = np.array([[0, 0, 0, 9, 9, 9]], dtype=np.uint8)
    >>> ltogp.encode(image)
    array([[255, 255, 124, 255, 199, 255]], dtype=uint8)
    >>> ltogp.encode(image, mapping="uniform")
    array([[8, 8, 5, 8, 5, 8]], dtype=uint8)
    """
    stack, shape = check_images(image)
    n_frames, height, width = stack.shape
    geometry = geometry_of(height, width, check_radius(radius), mode, templates, stack.dtype)
    bins, _ = mapping_bins(mapping)
    table = None if mapping == "default" else bins
    threads = check_n_jobs(n_jobs, stack.size)

    codes = np.empty((n_frames, height, width), np.uint8)
    kernel = _kernels.compiled("encode", stack.dtype, options=table is not None)

    def encode_rows(t0: int, t1: int, y0: int, y1: int) -> int:
        return kernel(stack, t0, t1, y0, y1, *geometry, codes, table)

    if threads == 1:
        results = [encode_rows(0, n_frames, 0, height)]
    else:
        results = _threads.run(encode_rows, split_work(n_frames, height, threads), threads)
    check_finite(results, stack)
    return codes.reshape(shape)


def histogram(
    images: ArrayLike,
    blocks: tuple[int, int] = (8, 8),
    *,
    radius: int | Sequence[int] = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    mapping: str = "default",
    overlap: float = 0.0,
    mask: ArrayLike | None = None,
    normalize: str | None = None,
    out: NDArray[np.float32] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.float32]:
    """Count the LTOGP codes in each block of an image.

    Block (i, j) covers rows ``i*H//by`` to ``(i+1)*H//by`` and columns ``j*W//bx`` to ``(j+1)*W//bx``, so
    every pixel is counted once. Element ``(i*bx + j)*256 + code`` of the result is the number of pixels with
    that code in block (i, j). That is by default; see `overlap`, `radius` and `mapping` for the rest.

    Parameters
    ----------
    images : array of shape (H, W) or (T, H, W)
        One image or a stack of them; dtypes as for :func:`encode`.
    blocks : (int, int), default=(8, 8)
        Rows and columns of blocks (by, bx), at most (H, W).
    radius : int or tuple of int, default=1
        As for :func:`encode`. The histograms of several radii follow each other, in the order given.
    mode, templates, n_jobs
        As for :func:`encode`.
    mapping : {"default", "ror", "uniform", "nri_uniform"}, default="default"
        Which codes share a bin, as for :func:`encode`: 256, 36, 10 or 59 bins.
    overlap : float, default=0.0
        Which part of its height a block shares with the next one below, and of its width with the next one
        to the right: at least 0, less than 1. Blocks then have
        ``L = H / (1 + (by - 1)*(1 - overlap))`` rows, block i those from ``floor(i*(1 - overlap)*L)`` to
        ``floor(i*(1 - overlap)*L + L)``, and so for columns, in exact arithmetic: the first block begins and
        the last one ends at the image's edge. `overlap` is rounded to a fraction with a denominator up to
        10**6, so that 0.1 means 1/10.
    mask : array of bool, of shape (H, W) or (T, H, W), optional
        Count only pixels where it is True. Their codes are those of the whole image: a pixel outside the
        mask is still a neighbour, and must be finite.
    normalize : {"l1", "l2", "l1-sqrt"}, optional
        Divide the histogram of each block, at each radius, by its sum ("l1") or by its Euclidean norm ("l2"),
        or take the square root of the former ("l1-sqrt"). One without any pixel stays zero.
    out : array of float32, of the shape of the result, optional
        Where to write it: a writeable array whose last axis is contiguous.

    Returns
    -------
    histograms : array of float32, of shape (n_radii*by*bx*n_bins,) or (T, n_radii*by*bx*n_bins)
        In the order radius, block row, block column, bin: element ``((r*by + i)*bx + j)*n_bins + bin``.
        Counts, unless normalized, in float32 because linear algebra follows. They are exact up to 2**24
        pixels of one bin in a block, and rounded beyond. `out` itself if that is given.

    Raises
    ------
    TypeError
        If the dtype of `images`, `mask` or `out` is another one, or an argument has the wrong type.
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
    >>> ltogp.histogram(frames, radius=(1, 2, 3), mapping="uniform", normalize="l1").shape
    (3, 1920)

    Dask arrays are described chunk by chunk; each chunk must hold whole images:

    >>> import dask.array as da
    >>> images = da.from_array(frames, chunks=(2, -1, -1))
    >>> options = {"n_jobs": 1, "dtype": np.float32}  # Dask has threads of its own
    >>> chunks = (images.chunks[0], 16384)
    >>> W = images.map_blocks(ltogp.histogram, drop_axis=(1, 2), new_axis=1, chunks=chunks, **options)
    >>> W.shape, W.numblocks, bool((W.compute() == V).all())
    ((3, 16384), (2, 1), True)
    >>> codes = images.map_blocks(ltogp.encode, n_jobs=1, dtype=np.uint8)
    >>> codes.compute().shape
    (3, 128, 128)
    """
    stack, shape = check_images(images)
    n_frames, height, width = stack.shape
    by, bx = check_blocks(blocks, height, width)
    shared = check_overlap(overlap)
    radii = check_radii(radius)
    geometries = [geometry_of(height, width, r, mode, templates, stack.dtype) for r in radii]
    bins, n_bins = mapping_bins(mapping)
    visible = None if mask is None else check_mask(mask, shape)
    norm = check_normalize(normalize)
    threads = check_n_jobs(n_jobs, stack.size)
    shape = (*shape[:-2], len(geometries) * by * bx * n_bins)
    if out is None:
        out = np.empty(shape, np.float32)
    else:
        check_out(out, shape)

    # A few large images keep all threads busy only if their rows of blocks are cut into bands. Bands also
    # keep each count below 2**24, where float32 stops counting.
    cuts = 1
    if threads > 1 or height * width > EXACT:
        wanted = -(-4 * threads // (by * max(1, n_frames))) if threads > 1 else 1
        most = (block_length(height, by, shared) + 1) * (block_length(width, bx, shared) + 1)
        cuts = min(max(wanted, ceil(most / EXACT)), height // by)
    bands, edges = block_ranges(height, by, cuts, shared), block_ranges(width, bx, 1, shared)
    n_counts = len(bands) * bx * n_bins  # at one radius
    counts = out if cuts == 1 else np.empty((n_frames, len(geometries) * n_counts), np.float32)
    flat = counts[None] if counts.ndim == 1 else counts

    options = visible is not None or mapping != "default"
    planes = not options and templates is None and _kernels.counts_bits()
    kernel = _kernels.compiled("planes" if planes else "histogram", stack.dtype, options)
    table = bins if options else None
    if options:
        visible = NO_MASK if visible is None else np.broadcast_to(visible, stack.shape)

    def count_bands(t0: int, t1: int, b0: int, b1: int) -> int:
        # The kernel writes to contiguous memory: to some columns of a larger `out`, frame by frame.
        step = max(1, t1 - t0) if flat.flags.c_contiguous else 1
        for t in range(t0, t1, step):
            where = (t, t + step, b0, b1, bands, edges)
            for r, geometry in enumerate(geometries):
                bad = kernel(stack, *where, *geometry, flat[t : t + step], r * n_counts, table, visible)
                if bad >= 0:
                    return bad
        return -1

    if threads == 1:
        results = [count_bands(0, n_frames, 0, len(bands))]
    else:
        results = _threads.run(count_bands, split_work(n_frames, len(bands), threads), threads)
    check_finite(results, stack)
    if cuts > 1:
        by_cut = flat.reshape(n_frames, len(geometries) * by, cuts, bx * n_bins)
        out[...] = by_cut.sum(axis=2, dtype=np.float64).reshape(shape)
    if norm:
        normalize_blocks(out[None] if out.ndim == 1 else out, n_bins, norm, threads)
    return out


def geometry_of(
    height: int, width: int, radius: int, mode: str, templates: ArrayLike | None, dtype: np.dtype
) -> tuple[Any, ...]:
    """Return what kernels take as rows, columns, reach, taps, weights and flip."""
    if templates is None:
        return _default_geometry(height, width, radius, mode, dtype)
    return _geometry(height, width, mode, dtype, *check_templates(templates, radius))


@lru_cache(64)  # for calls with one small image, where every step before the kernel is felt
def _default_geometry(height: int, width: int, radius: int, mode: str, dtype: np.dtype) -> tuple[Any, ...]:
    return _geometry(height, width, mode, dtype, *check_templates(None, radius))


def _geometry(
    height: int,
    width: int,
    mode: str,
    dtype: np.dtype,
    taps: NDArray[np.intp],
    weights: NDArray[np.float64],
    reach: int,
) -> tuple[Any, ...]:
    rows, columns = border_sources(height, reach, mode), border_sources(width, reach, mode)
    return rows, columns, reach, taps, weights, FLIP[dtype]


def normalize_blocks(out: NDArray[np.float32], n_bins: int, norm: int, threads: int) -> None:
    """Normalize each n_bins columns of `out` (n, ...) in place, as `_kernels.normalize` says."""
    kernel = _kernels.compiled("normalize", out.dtype)

    def normalize_frames(t0: int, t1: int, *_: int) -> int:
        for t in range(t0, t1):
            kernel(out[t : t + 1], n_bins, norm)
        return -1

    _threads.run(normalize_frames, split_work(len(out), 1, threads), threads)
