"""LTOGP codes and block histograms: what is computed. The loops are in `_kernels.py`."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp import _compilation, _threads
from ltogp._checks import (
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
    largest,
)
from ltogp._geometry import (
    Geometry,
    block_length,
    block_ranges,
    border_sources,
    cells_of_blocks,
    split_work,
    three_taps,
)
from ltogp._mapping import mapping_bins

# Integers up to here are exact in float32.
EXACT = 1 << 24
NO_MASK = np.empty((0, 0, 0), np.uint8)


def encode(
    image: ArrayLike,
    *,
    radius: int = 1,
    mode: str = "nearest",
    templates: str | ArrayLike | None = "ltogp",
    mapping: str = "default",
    channel_axis: int | None = None,
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
        One image or a stack of them; in colour, see `channel_axis`. bool, all integers and float16 are
        computed exactly; float32 and float64 in their own precision, from left to right. Arrays of bool,
        uint8, uint16, float32 and float64 are read in place, without a copy of the whole, views, read-only
        and memory-mapped ones too; of others a copy is made, in uint8 or uint16 if the numbers fit, else in
        float32 or float64.
    radius : int, default=1
        Distance of :math:`a_k` in pixels, from 1 to 4096.
    mode : {"nearest", "reflect", "mirror", "constant", "wrap"}, default="nearest"
        How the image goes on beyond its borders, as scipy.ndimage names it; "constant" means zeros.
    templates : {"ltogp", "lbp", "central"} or array of shape (8, k, k) with k odd, default="ltogp"
        Whose signs the bits are. "ltogp", or None: the formula above. "lbp": first differences, neighbour
        minus centre, :math:`a_k - c`, the classic LBP on the square neighbourhood. "central": second
        differences across the pixel, :math:`a_k - 2 c + a_{k+4}`, each of four directions twice. An array:
        bit k is ``scipy.ndimage.correlate(image, templates[k]) >= 0``; `radius` must then stay 1. All but
        "ltogp" are computed in float64, in the order of a template's elements. Where images of bool, uint8 or
        uint16 meet names, or eight templates of at most three small integers each, that is done in integers:
        with the same result, and nearly as fast as the default.

        The paper shows its eight templates only as a picture (Fig. 2), and "ltogp" is our reading of it: +1
        at the centre, -2 one step and +1 two steps away. It is the one that gives eight different
        second-order templates; "central" ones give only four. The order of the directions is ours, too, and
        only permutes bins.
    mapping : {"default", "ror", "uniform", "nri_uniform"}, default="default"
        Which codes count as one, as scikit-image's ``local_binary_pattern`` names it; what is returned is the
        number of the group. "default": every code for itself, 256 of them. "ror": the codes that are
        rotations of each other, 36 groups in the order of their smallest members. "uniform" [2]_: for codes
        whose ones stand together on the circle of directions the number of ones, 0 to 8; for all others 9.
        "nri_uniform" [3]_: 0 to 57 for each of the former, by number of ones, then by where they stand; 58
        for all others.
    channel_axis : int, optional
        Which axis of `image` holds the channels of images in colour, as in scikit-image: -1 for (H, W, 3) or
        (T, H, W, 3). Each channel is coded by itself. Without it a last axis of 3 or 4 behind two longer ones
        is refused, because it would be a stack of very narrow images.
    n_jobs : int, optional
        The largest number of threads. None and -1 mean one for each CPU this process may use, or
        NUMBA_NUM_THREADS or OMP_NUM_THREADS if that is fewer; -2 one fewer, and so on, but at least one. The
        result is the same at any number.

    Returns
    -------
    codes : array of uint8, same shape as `image`
        Or groups of codes, if there is a `mapping`.

    Raises
    ------
    TypeError
        If the dtype is another one, `image` is masked, or an argument has the wrong type.
    ValueError
        If an image is empty or looks like one in colour; if it holds NaN, infinity, integers beyond 2**51 or
        floats so large that differences could overflow (beyond a quarter of the dtype's largest; of an array
        of `templates`, what half of float64's largest leaves to the sum of their \|weights\|); or if an
        argument is out of range.

    Warns
    -----
    UserWarning
        If a float image looks like integers divided by 255 or 65535. Where a second difference of the
        integers is zero, that of the quotients is so but for rounding, and 4 to 57 % of the codes are others.
        Also, once a process, if there is no folder to cache compiled kernels in.

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
    >>> ltogp.encode(image, templates="lbp")
    array([[255, 255, 255, 199, 255, 255]], dtype=uint8)
    >>> ltogp.encode(np.zeros((40, 30, 3)), channel_axis=-1).shape
    (40, 30, 3)
    """
    channels, shape = check_images(image, "image", channel_axis)
    radius, (bins, _) = check_radius(radius), mapping_bins(mapping)
    table = None if mapping == "default" else bins
    threads = check_n_jobs(n_jobs, prod(shape))
    codes = [
        encode_channel(stack, radius, mode, templates, table, threads, name).reshape(shape)
        for name, stack in channels.items()
    ]
    return codes[0] if channel_axis is None else np.stack(codes, axis=channel_axis)


def histogram(
    images: ArrayLike,
    blocks: tuple[int, int] = (8, 8),
    *,
    radius: int | Sequence[int] = 1,
    mode: str = "nearest",
    templates: str | ArrayLike | None = "ltogp",
    mapping: str = "default",
    overlap: float = 0.0,
    mask: ArrayLike | None = None,
    normalize: str | None = None,
    channel_axis: int | None = None,
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
        One image or a stack of them; in colour, see `channel_axis`; dtypes as for :func:`encode`.
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
        mask is still a neighbour, and must be finite. It has no axis of channels.
    normalize : {"l1", "l2", "l1-sqrt"}, optional
        Divide the histogram of each block, at each radius, by its sum ("l1") or by its Euclidean norm ("l2"),
        or take the square root of the former ("l1-sqrt"). One without any pixel stays zero.
    channel_axis : int, optional
        Which axis of `images` holds the channels of images in colour, as for :func:`encode`. The histograms
        of the channels follow each other.
    out : array of float32, of the shape of the result, optional
        Where to write it: a writeable array whose last axis is contiguous, and none of whose memory is that
        of `images` or `mask`. If NaN or infinity is found, it may be half written.

    Returns
    -------
    histograms : array of float32, of shape (n,) or (T, n), n = n_channels*n_radii*by*bx*n_bins
        In the order channel, radius, block row, block column, bin: element
        ``(((c*n_radii + r)*by + i)*bx + j)*n_bins + bin``. Counts, unless normalized, in float32 because
        linear algebra follows. They are exact up to 2**24 pixels of one bin in a block, and rounded beyond.
        `out` itself if that is given.

    Raises
    ------
    TypeError
        If the dtype of `images`, `mask` or `out` is another one or one of them is masked, or an argument has
        the wrong type.
    ValueError
        As :func:`encode`; also if an image is smaller than `blocks`, or `out` shares memory with another
        argument.

    Warns
    -----
    UserWarning
        As :func:`encode`.

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
    return histogram_of(
        images,
        "images",
        blocks,
        radius,
        mode,
        templates,
        mapping,
        overlap,
        mask,
        normalize,
        channel_axis,
        out,
        n_jobs,
    )


def histogram_of(
    images: ArrayLike,
    name: str,
    blocks: tuple[int, int],
    radius: int | Sequence[int],
    mode: str,
    templates: str | ArrayLike | None,
    mapping: str,
    overlap: float,
    mask: ArrayLike | None,
    normalize: str | None,
    channel_axis: int | None,
    out: NDArray[np.float32] | None,
    n_jobs: int | None,
) -> NDArray[np.float32]:
    """As `histogram`; errors call the images `name`."""
    channels, shape = check_images(images, name, channel_axis, stacklevel=5)
    height, width = shape[-2:]
    if (
        (mask is normalize is channel_axis is out is None)  # type: ignore[comparison-overlap]
        and (templates is None or type(templates) is str)
        and (type(mapping) is str and mapping == "default" and type(overlap) is float and overlap == 0)
        and (type(radius) is int and type(blocks) is tuple and len(blocks) == 2)
        and (height * width <= EXACT and check_n_jobs(n_jobs, prod(shape)) == 1)
    ):
        counts = _plain_counts(channels[name], *blocks, radius, mode, templates, name)
        return counts if len(shape) == 3 else counts[0]
    by, bx = check_blocks(blocks, height, width)
    overlap, radii, norm = check_overlap(overlap), check_radii(radius), check_normalize(normalize)
    _, n_bins = mapping_bins(mapping)
    visible = (
        None if mask is None else np.broadcast_to(check_mask(mask, shape), (prod(shape[:-2]), *shape[-2:]))
    )
    threads = check_n_jobs(n_jobs, prod(shape))
    n = len(radii) * by * bx * n_bins  # of one channel
    if out is None:
        out = np.empty((*shape[:-2], len(channels) * n), np.float32)
    else:
        check_out(out, (*shape[:-2], len(channels) * n), channels.values(), mask)
    flat = out[None] if out.ndim == 1 else out
    for c, (channel_name, stack) in enumerate(channels.items()):
        part = flat if len(channels) == 1 else flat[:, c * n : (c + 1) * n]
        options = (radii, mode, templates, mapping, overlap, visible, norm, threads)
        count_channel(stack, (by, bx), *options, part, channel_name)
    return out


def _plain_counts(
    stack: NDArray[Any], by: int, bx: int, radius: int, mode: str, templates: str | None, name: str
) -> NDArray[np.float32]:
    """As `histogram` of a stack of images, without options and on this thread.

    That is how one small image after the other is described, and there each of the steps in `histogram_of`
    and `count_channel` is felt: 16.2 µs for one of 128 x 128, and 12.5 this way.
    """
    where, geometry, simple, n = _plain_plan(*stack.shape[1:], stack.dtype, by, bx, radius, mode, templates)
    planes = simple and _compilation.counts_bits()
    kernel = _compilation.compiled("planes" if planes else "histogram", stack.dtype)
    counts = np.empty((len(stack), n), np.float32)
    bad = kernel(stack, (0, len(stack), 0, by), where, geometry, counts, 0, None)
    check_finite([bad], stack, geometry[-1], name)
    return counts


@lru_cache(64, typed=True)  # for 8.0 and True are no numbers of blocks, though equal to some
def _plain_plan(
    height: int, width: int, dtype: np.dtype, by: int, bx: int, radius: int, mode: str, templates: str | None
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], tuple[Any, ...], bool, int]:
    """Return blocks and geometry as kernels take them, whether planes do, and how many counts there are."""
    by, bx = check_blocks((by, bx), height, width)
    geometry = geometry_of(height, width, check_radius(radius), mode, templates, dtype)
    where = block_ranges(height, by, 1, 0.0), block_ranges(width, bx, 1, 0.0)
    return where, tuple(geometry), geometry.three or not len(geometry.weights), by * bx * 256


def encode_channel(
    stack: NDArray[Any],
    radius: int,
    mode: str,
    templates: str | ArrayLike | None,
    table: NDArray[np.uint8] | None,
    threads: int,
    name: str,
) -> NDArray[np.uint8]:
    """Return the codes of a stack (T, H, W) of a dtype that has kernels; all is checked but `templates`."""
    n_frames, height, width = stack.shape
    geometry = geometry_of(height, width, radius, mode, templates, stack.dtype)
    codes = np.empty(stack.shape, np.uint8)
    kernel = _compilation.compiled("encode", stack.dtype, options=table is not None)

    def encode_rows(t0: int, t1: int, y0: int, y1: int) -> int:
        return kernel(stack, (t0, t1, y0, y1), tuple(geometry), codes, table)

    if threads == 1:
        results = [encode_rows(0, n_frames, 0, height)]
    else:
        results = _threads.run(encode_rows, split_work(n_frames, height, threads), threads)
    check_finite(results, stack, geometry.limit, name)
    return codes


def count_channel(
    stack: NDArray[Any],
    blocks: tuple[int, int],
    radii: list[int],
    mode: str,
    templates: str | ArrayLike | None,
    mapping: str,
    overlap: float,
    visible: NDArray[np.uint8] | None,
    norm: int,
    threads: int,
    out: NDArray[np.float32],
    name: str,
) -> None:
    """Write the histograms of a stack (T, H, W) to `out` (T, n); all is checked but `templates`."""
    (n_frames, height, width), (by, bx) = stack.shape, blocks
    geometries = [geometry_of(height, width, r, mode, templates, stack.dtype) for r in radii]
    bins, n_bins = mapping_bins(mapping)

    # A few large images keep all threads busy only if their rows of blocks are cut into bands. Bands also
    # keep each count below 2**24, where float32 stops counting.
    cuts = 1
    if threads > 1 or height * width > EXACT:
        wanted = -(-4 * threads // (by * max(1, n_frames))) if threads > 1 else 1
        most = (block_length(height, by, overlap) + 1) * (block_length(width, bx, overlap) + 1)
        cuts = min(max(wanted, ceil(most / EXACT)), height // by)
    span, (bands, edges) = 1, (block_ranges(height, by, cuts, overlap), block_ranges(width, bx, 1, overlap))
    if overlap and cuts == 1:
        span, bands, edges = cells_of_blocks(height, width, by, bx, overlap)
    n_counts = by * cuts * bx * n_bins  # at one radius
    counts = out if cuts == 1 else np.empty((n_frames, len(geometries) * n_counts), np.float32)

    # At several radii the copy with borders is shared, the largest one's; templates have no radius.
    together = len(radii) > 1 and not len(geometries[0].weights)
    passes = [(geometries[r], [radii[r]], r * n_counts) for r in range(len(radii))]
    if together:
        passes = [(geometries[radii.index(max(radii))], radii, 0)]
    options = visible is not None or mapping != "default" or together or span > 1 or norm > 0
    simple = geometries[0].three or not len(geometries[0].weights)
    planes = simple and _compilation.counts_bits()
    kernel = _compilation.compiled("planes" if planes else "histogram", stack.dtype, options)
    mask, fused = NO_MASK if visible is None else visible, norm if cuts == 1 else 0
    calls = [
        (tuple(geometry), o, (bins, mask, 2 * np.array(of_pass), span, fused) if options else None)
        for geometry, of_pass, o in passes
    ]

    def count_bands(t0: int, t1: int, b0: int, b1: int) -> int:
        # The kernel writes to contiguous memory: to some columns of a larger `out`, frame by frame.
        step = max(1, t1 - t0) if counts.flags.c_contiguous else 1
        for t in range(t0, t1, step):
            piece = (t, t + step, b0, b1)
            for geometry, o, given in calls:
                bad = kernel(stack, piece, (bands, edges), geometry, counts[t : t + step], o, given)
                if bad >= 0:
                    return bad
        return -1

    if threads == 1:
        results = [count_bands(0, n_frames, 0, by * cuts)]
    else:
        results = _threads.run(count_bands, split_work(n_frames, by * cuts, threads), threads)
    check_finite(results, stack, geometries[0].limit, name)
    if cuts > 1:
        by_cut = counts.reshape(n_frames, len(geometries) * by, cuts, bx * n_bins)
        out[...] = by_cut.sum(axis=2, dtype=np.float64).reshape(out.shape)
        if norm:
            normalize_blocks(out, n_bins, norm, threads)


def geometry_of(
    height: int, width: int, radius: int, mode: str, templates: str | ArrayLike | None, dtype: np.dtype
) -> Geometry:
    """Return borders and templates, as kernels take them."""
    if isinstance(templates, str) or templates is None:
        return _cached_geometry(height, width, radius, mode, templates, dtype)
    if type(templates) is np.ndarray and templates.dtype.kind in "biuf":
        described = (templates.tobytes(), templates.dtype, templates.shape)
        return _cached_geometry(height, width, radius, mode, described, dtype)
    return _geometry(height, width, mode, dtype, *check_templates(templates, radius))


@lru_cache(64)  # for calls with one small image, where every step before the kernel is felt
def _cached_geometry(
    height: int, width: int, radius: int, mode: str, templates: str | tuple[Any, ...] | None, dtype: np.dtype
) -> Geometry:
    weights: Any = templates
    if isinstance(templates, tuple):
        described, number, shape = templates
        weights = np.frombuffer(described, number).reshape(shape)
    return _geometry(height, width, mode, dtype, *check_templates(weights, radius))


def _geometry(
    height: int,
    width: int,
    mode: str,
    dtype: np.dtype,
    taps: NDArray[np.intp],
    weights: NDArray[np.float64],
    reach: int,
) -> Geometry:
    rows, columns = border_sources(height, reach, mode), border_sources(width, reach, mode)
    limit, three = largest(dtype, taps, weights), three_taps(taps, weights, dtype)
    taps, weights = three or (taps, weights)
    return Geometry(rows, columns, reach, taps, weights, three is not None, limit)


def normalize_blocks(out: NDArray[np.float32], n_bins: int, norm: int, threads: int) -> None:
    """Normalize each n_bins columns of `out` (n, ...) in place, as `_kernels.normalize` says."""
    kernel = _compilation.compiled("normalize", out.dtype)

    def normalize_frames(t0: int, t1: int, *_: int) -> int:
        for t in range(t0, t1):
            kernel(out[t : t + 1], n_bins, norm)
        return -1

    _threads.run(normalize_frames, split_work(len(out), 1, threads), threads)
