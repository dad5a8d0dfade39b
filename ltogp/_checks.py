"""Checks of arguments: what is wrong, where, and what would be right."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp import _threads

NORMS = {None: 0, "l1": 1, "l2": 2, "l1-sqrt": 3}  # and what the kernel calls them
# Work below this many pixels stays on the calling thread.
_SMALL = 1 << 18
# The dtypes there are, and what kernels subtract pixels from: see `rises` in _kernels.py.
FLIP: dict[np.dtype, Any] = {
    np.dtype(bool): None,  # viewed as uint8
    np.dtype(np.uint8): np.uint8(255),
    np.dtype(np.uint16): np.uint16(65535),
    np.dtype(np.float32): np.float32(0),
    np.dtype(np.float64): np.float64(0),
}


def check_images(images: ArrayLike, name: str = "images") -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return the images as a (T, H, W) array of a dtype that has kernels, and the shape they came in."""
    if isinstance(images, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; its mask would be ignored")
    stack = np.asarray(images)
    shape = stack.shape
    if stack.dtype not in FLIP:
        native = stack.dtype.newbyteorder("=")
        if native not in FLIP:
            raise TypeError(f"{name} has dtype {stack.dtype}; must be one of {', '.join(map(str, FLIP))}")
        stack = stack.astype(native)
    if stack.ndim not in (2, 3):
        raise ValueError(f"{name} has shape {shape}; must be (H, W) or (T, H, W), grey without a colour axis")
    if 0 in shape[-2:]:
        raise ValueError(f"{name} has shape {shape}: it holds no pixel")
    if stack.dtype == bool:
        stack = stack.view(np.uint8)
    return stack[None] if stack.ndim == 2 else stack, shape


def check_finite(results: list[int], stack: NDArray[Any], name: str = "images") -> None:
    """Raise if a kernel met a NaN or an infinity: each returns the frame where, or -1."""
    if results == [-1]:
        return
    bad = [t for t in results if t >= 0]
    if not bad:
        return
    t = min(bad)
    y, x = np.argwhere(~np.isfinite(stack[t]))[0]
    raise ValueError(f"{name} holds {stack[t, y, x]} at frame {t}, row {y}, column {x}; must be finite")


def check_blocks(blocks: Any, height: int, width: int) -> tuple[int, int]:
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


def check_overlap(overlap: Any) -> float:
    if type(overlap) is not float and (not isinstance(overlap, Real) or isinstance(overlap, bool)):
        raise TypeError(f"overlap is {overlap!r}; must be a number")
    if not 0 <= float(overlap) < 1:
        raise ValueError(f"overlap is {overlap}; must be at least 0 and less than 1")
    return float(overlap)


def check_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask has dtype {mask.dtype}; must be bool")
    if mask.shape not in (shape, shape[-2:]):
        either = f"{shape[-2:]} or {shape}" if len(shape) == 3 else f"{shape}"
        raise ValueError(f"mask has shape {mask.shape}; must be {either}, as the images")
    return mask.view(np.uint8)


def check_normalize(normalize: Any) -> int:
    if normalize is None:
        return 0
    if not isinstance(normalize, str):
        raise TypeError(f"normalize is {normalize!r}; must be None, l1, l2 or l1-sqrt")
    if normalize not in NORMS:
        raise ValueError(f"normalize is {normalize!r}; must be None, l1, l2 or l1-sqrt")
    return NORMS[normalize]


def check_radii(radius: Any) -> list[int]:
    if type(radius) is int or not isinstance(radius, tuple | list):
        return [check_radius(radius, "an integer or a tuple of integers")]
    if not all(map(_is_int, radius)):
        raise TypeError(f"radius is {radius!r}; must be an integer or a tuple of integers")
    if not radius or min(radius) < 1:
        raise ValueError(f"radius is {radius!r}; must hold at least one integer, and each must be at least 1")
    return [int(r) for r in radius]


def check_radius(radius: Any, wanted: str = "an integer") -> int:
    if not _is_int(radius):
        raise TypeError(f"radius is {radius!r}; must be {wanted}")
    if radius < 1:
        raise ValueError(f"radius is {radius}; must be at least 1")
    return int(radius)


_NO_TAPS, _NO_WEIGHTS = np.empty((0, 3), np.intp), np.empty(0)


def check_templates(templates: Any, radius: int) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Return direction, row and column of the non-zero weights; the weights; how far they reach.

    None of the former for the default templates.
    """
    if templates is None:
        return _NO_TAPS, _NO_WEIGHTS, 2 * radius
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


def check_n_jobs(n_jobs: Any, n_pixels: int) -> int:
    """Return how many threads to use for this many pixels."""
    if n_jobs is None:
        n_jobs = -1
    elif not _is_int(n_jobs):
        raise TypeError(f"n_jobs is {n_jobs!r}; must be None or an integer")
    if n_jobs < 1 and n_jobs != -1:
        raise ValueError(f"n_jobs is {n_jobs}; must be None, -1 or at least 1")
    if n_jobs == 1 or n_pixels < _SMALL:
        return 1
    limit = _threads.thread_limit()
    return limit if n_jobs == -1 else min(int(n_jobs), limit)


def check_out(out: Any, shape: tuple[int, ...]) -> None:
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
