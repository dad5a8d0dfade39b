"""LTOGP on three orthogonal planes of a clip."""

from collections.abc import Sequence
from math import prod
from threading import Lock
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
    check_overlap,
    check_radii,
)
from ltogp._geometry import block_ranges, border_sources
from ltogp._mapping import mapping_bins
from ltogp.descriptor import EXACT, NO_MASK, count_channel, geometry_of, normalize_blocks

# So many pixels of a few frames with their borders.
_LARGEST = 1 << 22


def histogram_top(
    frames: ArrayLike,
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
    n_jobs: int | None = None,
) -> NDArray[np.float32]:
    """Count the LTOGP codes of a clip on three orthogonal planes, in each block of its images.

    What LBP-TOP [1]_ is to LBP. A clip is cut into images along its three axes, and the codes of every pixel
    (t, y, x) are computed on the three of them that meet there: XY is the frame t; XT the image of row y,
    with t downwards and x to the right; YT that of column x, with t downwards and y to the right. Each
    block's three histograms are taken over all its pixels at all times.

    Parameters
    ----------
    frames : array of shape (T, H, W)
        The frames of one clip, at least one; dtypes as for :func:`ltogp.encode`. In colour, see
        `channel_axis`.
    blocks : (int, int), default=(8, 8)
        Rows and columns of blocks (by, bx), at most (H, W).
    radius, mode, templates, mapping, n_jobs
        As for :func:`ltogp.histogram`. Radius and borders are the same in time as in space.
    overlap, normalize
        As for :func:`ltogp.histogram`; each histogram of each plane is normalized by itself.
    mask : array of bool, of shape (H, W) or (T, H, W), optional
        Count only pixels where it is True, on all three planes.
    channel_axis : int, optional
        Which axis of `frames` holds the channels of clips in colour, (T, H, W, n_channels) being -1.

    Returns
    -------
    histograms : array of float32, of shape (n_channels*3*n_radii*by*bx*n_bins,)
        In the order channel, plane (XY, XT, YT), radius, block row, block column, bin: element
        ``((((c*3 + plane)*n_radii + r)*by + i)*bx + j)*n_bins + bin``. Counts, unless normalized, exact up to
        2**24.

    Raises
    ------
    TypeError, ValueError
        As :func:`ltogp.histogram`; also a ValueError if there is no frame or `frames` is a single image.

    Warns
    -----
    UserWarning
        As :func:`ltogp.encode`.

    See Also
    --------
    ltogp.histogram : One histogram for each frame.

    References
    ----------
    .. [1] Zhao, Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to
       facial expressions", IEEE TPAMI 29(6), 2007.

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> clip = np.random.default_rng(0).integers(0, 256, (30, 64, 48), dtype=np.uint8)
    >>> ltogp.histogram_top(clip, blocks=(4, 3), mapping="uniform", normalize="l1").shape
    (360,)
    """
    channels, shape = check_images(frames, "frames", channel_axis)
    if len(shape) != 3 or shape[0] == 0:
        colours = "" if channel_axis is None else " and an axis of channels"
        raise ValueError(
            f"frames has shape {np.shape(frames)}; must be (T, H, W){colours} with at least one frame"
        )
    checked = check_blocks(blocks, *shape[1:]), check_radii(radius), check_overlap(overlap)
    _, n_bins = mapping_bins(mapping)
    norm = check_normalize(normalize)
    visible = None if mask is None else np.broadcast_to(check_mask(mask, shape), shape)
    threads = check_n_jobs(n_jobs, prod(shape))
    parts = [
        _count_on_planes(stack, *checked, mode, templates, mapping, visible, threads, name)
        for name, stack in channels.items()
    ]
    out = np.concatenate(parts)
    if norm:
        normalize_blocks(out[None], n_bins, norm, threads)
    return out


def _count_on_planes(
    stack: NDArray[Any],
    blocks: tuple[int, int],
    radii: list[int],
    overlap: float,
    mode: str,
    templates: str | ArrayLike | None,
    mapping: str,
    visible: NDArray[np.uint8] | None,
    threads: int,
    name: str,
) -> NDArray[np.float32]:
    """Return the counts of one channel (T, H, W)."""
    n_frames, height, width = stack.shape
    geometry = geometry_of(height, width, max(radii), mode, templates, stack.dtype)
    if stack.dtype.kind == "f":  # here, for the position in the clip
        beyond = [t for t, image in enumerate(stack) if not (np.abs(image) <= geometry.limit).all()]
        check_finite(beyond, stack, geometry.limit, name)
    rows, columns = block_ranges(height, blocks[0], 1, overlap), block_ranges(width, blocks[1], 1, overlap)
    bins, n_bins = mapping_bins(mapping)
    options = (radii, overlap, mode, templates, mapping, visible, threads, name)
    # Templates, and radii at which a few frames with their borders fill the memory, go image by image.
    if len(geometry.weights) or (2 * geometry.reach) ** 2 * width > _LARGEST:
        return _count_images(stack, blocks, rows, columns, *options)
    times = border_sources(n_frames, geometry.reach, mode)
    reaches = 2 * np.array(radii, np.intp)
    mask = NO_MASK if visible is None else visible
    kernel = _compilation.compiled("volume", stack.dtype)
    sums = np.zeros((len(rows), 3, len(radii), len(columns) * n_bins))
    # Float32 sums up to 2**24 exactly.
    most = EXACT // (np.diff(rows).max() * np.diff(columns).max())
    per_band = 1 if threads == 1 else -(-4 * threads // len(rows))
    step = max(1, min(int(most), -(-n_frames // per_band)))
    pieces = [
        (t, min(t + step, n_frames), b, b + 1) for b in range(len(rows)) for t in range(0, n_frames, step)
    ]
    lock = Lock()

    def count(t0: int, t1: int, b: int, _: int) -> int:
        """Add the histograms of band b of frames t0:t1 to its sums."""
        counts = np.empty((1, sums[b].size), np.float32)
        where = (stack, (t0, t1, 0, 1), (rows[b : b + 1], columns), tuple(geometry), times)
        kernel(*where, counts, bins, mask, reaches)
        total = counts.reshape(sums[b].shape).astype(np.float64)
        with lock:  # integers: exact in float64, in any order
            sums[b] += total
        return -1

    _threads.run(count, pieces, threads)
    return sums.transpose(1, 2, 0, 3).astype(np.float32).ravel()


def _count_images(
    stack: NDArray[Any],
    blocks: tuple[int, int],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    radii: list[int],
    overlap: float,
    mode: str,
    templates: str | ArrayLike | None,
    mapping: str,
    visible: NDArray[np.uint8] | None,
    threads: int,
    name: str,
) -> NDArray[np.float32]:
    """As `_count_on_planes`, from the images of all three planes."""
    n_frames, (by, bx) = len(stack), blocks
    _, n_bins = mapping_bins(mapping)
    # Of each plane, the axes of its images in `stack` and their blocks; and which images share histograms.
    xy, xt, yt = ((0, 1, 2), (by, bx)), ((1, 0, 2), (1, bx)), ((2, 0, 1), (1, by))
    planes = ((xy, [(0, n_frames)]), (xt, rows.tolist()), (yt, columns.tolist()))
    sums: list[list[Any]] = [[0] * len(groups) for _, groups in planes]
    pieces = []
    for p, ((axes, _), groups) in enumerate(planes):
        # A few images at a time, so that memory does not grow with the clip; float32 sums them exactly.
        step = max(1, min(64, EXACT // (stack.shape[axes[1]] * stack.shape[axes[2]])))
        for g, (first, last) in enumerate(groups):
            pieces += [(p, g, t, min(t + step, last)) for t in range(first, last, step)]
    lock = Lock()

    def count(p: int, g: int, first: int, last: int) -> int:
        """Add the histograms of images first:last of plane p to the sum of group g."""
        axes, (rows_of_blocks, columns_of_blocks) = planes[p][0]
        images = stack.transpose(axes)[first:last]
        seen = None if visible is None else visible.transpose(axes)[first:last]
        counts = np.empty(
            (last - first, len(radii) * rows_of_blocks * columns_of_blocks * n_bins), np.float32
        )
        options = (radii, mode, templates, mapping, overlap, seen, 0, 1)
        count_channel(images, (rows_of_blocks, columns_of_blocks), *options, counts, name)
        total = counts.sum(axis=0).astype(np.float64)
        with lock:  # integers: exact in float64, in any order
            sums[p][g] = sums[p][g] + total
        return -1

    _threads.run(count, pieces, threads)
    of_xy = np.array(sums[0]).reshape(-1, by, bx, n_bins)
    of_xt = np.array(sums[1]).reshape(by, -1, bx, n_bins).transpose(1, 0, 2, 3)
    of_yt = np.array(sums[2]).reshape(bx, -1, by, n_bins).transpose(1, 2, 0, 3)
    return np.stack([of_xy, of_xt, of_yt]).astype(np.float32).ravel()
