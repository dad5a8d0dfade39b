"""LTOGP on three orthogonal planes of a clip."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp._checks import (
    check_blocks,
    check_finite,
    check_images,
    check_mask,
    check_n_jobs,
    check_normalize,
    check_overlap,
)
from ltogp._geometry import block_ranges
from ltogp._mapping import mapping_bins
from ltogp.descriptor import EXACT, histogram, normalize_blocks


def histogram_top(
    frames: ArrayLike,
    blocks: tuple[int, int] = (8, 8),
    *,
    radius: int | Sequence[int] = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    mapping: str = "default",
    overlap: float = 0.0,
    mask: ArrayLike | None = None,
    normalize: str | None = None,
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
        The frames of one clip, at least one; dtypes as for :func:`ltogp.encode`.
    blocks : (int, int), default=(8, 8)
        Rows and columns of blocks (by, bx), at most (H, W).
    radius, mode, templates, mapping, n_jobs
        As for :func:`ltogp.histogram`. Radius and borders are the same in time as in space.
    overlap, normalize
        As for :func:`ltogp.histogram`; each histogram of each plane is normalized by itself.
    mask : array of bool, of shape (H, W) or (T, H, W), optional
        Count only pixels where it is True, on all three planes.

    Returns
    -------
    histograms : array of float32, of shape (3*n_radii*by*bx*n_bins,)
        In the order plane (XY, XT, YT), radius, block row, block column, bin: element
        ``(((plane*n_radii + r)*by + i)*bx + j)*n_bins + bin``. Counts, unless normalized, exact up to 2**24.

    Raises
    ------
    TypeError, ValueError
        As :func:`ltogp.histogram`; also a ValueError if there is no frame or `frames` is a single image.

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
    stack, shape = check_images(frames, "frames")
    if len(shape) != 3 or len(stack) == 0:
        raise ValueError(f"frames has shape {shape}; must be (T, H, W) with at least one frame")
    if stack.dtype.kind == "f":  # here, for the position in the clip
        check_finite([t for t, image in enumerate(stack) if not np.isfinite(image).all()], stack, "frames")
    n_frames, height, width = shape
    by, bx = check_blocks(blocks, height, width)
    shared = check_overlap(overlap)
    rows, columns = block_ranges(height, by, 1, shared), block_ranges(width, bx, 1, shared)
    _, n_bins = mapping_bins(mapping)
    norm = check_normalize(normalize)
    visible = None if mask is None else np.broadcast_to(check_mask(mask, shape).view(bool), shape)

    def count(axes: tuple[int, int, int], groups: Iterable[Any], blocks: tuple[int, int]) -> NDArray[Any]:
        """Sum the histograms over each group of images, cut along the first of the axes."""
        images = stack.transpose(axes)
        masks = None if visible is None else visible.transpose(axes)
        # A few images at a time, so that memory does not grow with the clip; float32 sums them exactly.
        step = max(1, min(64, EXACT // images[0].size))
        sums = []
        for first, last in groups:
            total: Any = 0
            for t in range(first, last, step):
                chunk = slice(t, min(t + step, last))
                total = total + histogram(
                    images[chunk],
                    blocks,
                    radius=radius,
                    mode=mode,
                    templates=templates,
                    mapping=mapping,
                    overlap=overlap,
                    mask=None if masks is None else masks[chunk],
                    n_jobs=n_jobs,
                ).sum(axis=0).astype(np.float64)
            sums.append(total)
        return np.array(sums)

    xy = count((0, 1, 2), [(0, n_frames)], (by, bx)).reshape(-1, by, bx, n_bins)
    xt = count((1, 0, 2), rows, (1, bx)).reshape(by, -1, bx, n_bins).transpose(1, 0, 2, 3)
    yt = count((2, 0, 1), columns, (1, by)).reshape(bx, -1, by, n_bins).transpose(1, 2, 0, 3)
    out = np.stack([xy, xt, yt]).astype(np.float32).ravel()
    if norm:
        normalize_blocks(out[None], n_bins, norm, check_n_jobs(n_jobs, stack.size))
    return out
