"""The frames, dense or sparse, and the order that makes their pairs."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import _kernels

Floats = NDArray[np.float64]


class PairOrder(NamedTuple):
    """Frames sorted by group and time; arrays of T but for `groups`."""

    order: NDArray[np.intp]  # the frames
    first: NDArray[np.intp]  # of each: the first frame of the same group and time,
    later: NDArray[np.intp]  # the first one later,
    end: NDArray[np.intp]  # the first one past the group
    groups: NDArray[np.intp]  # first frame of each group, and T


def combine(frames: Any, beta: Floats, u: Floats) -> float:
    """Write u = Vᵀβ for a β that sums to zero; return uᵀu."""
    if isinstance(frames, np.ndarray):
        return _kernels.combine(frames, beta, u)
    u[:] = frames.T @ beta
    return float(u @ u)


def relative_scores(frames: Any, u: Floats, f: Floats) -> None:
    """Write f = V u less the first frame's score."""
    if isinstance(frames, np.ndarray):
        _kernels.relative_scores(frames, u, f)
        return
    f[:] = frames @ u
    f -= f[0]


def weigh(frames: Any, beta: Floats, other: Floats, u: Floats, f: Floats) -> tuple[float, float]:
    """Write u = Vᵀβ and f = V u less the first frame's score; return uᵀu and ‖Vᵀ other‖²."""
    if isinstance(frames, np.ndarray):
        return _kernels.weigh(frames, beta, other, u, f)
    square = combine(frames, beta, u)
    relative_scores(frames, u, f)
    return square, combine(frames, other, np.empty_like(u))


def gram(frames: Any) -> Floats:
    """Return the Gram matrix of v_t - v_0 in float64.

    β sums to zero, so the common offset changes nothing but the rounding. Dense frames go a panel of columns
    at a time, whole numbers (or whole quarters, 256ths, ...) through float32 as long as every dot product of
    a panel is below 2^24: exact, and twice as fast.
    """
    if isinstance(frames, np.ndarray):
        K = _dense_gram(frames)
    else:
        K = (frames @ frames.T).toarray()
        K = np.ascontiguousarray(K - K[0] - K[:, :1] + K[0, 0])
    largest = K.diagonal().max()
    if not np.isfinite(largest):
        raise_not_finite(frames)
    if largest < 1e-200 and isinstance(frames, np.ndarray) and (frames != frames[0]).any():
        raise ValueError("V underflows: the squared distances of its frames vanish in float64; rescale it")
    return K


def _dense_gram(frames: NDArray[Any]) -> Floats:
    T = len(frames)
    rows = _kernels.padded(T)
    width = max(256, 2**15 // T)  # a panel stays in L2 between the subtraction and the product
    K = np.zeros((rows, rows))
    start, unit = 0, _kernels.whole_unit(frames[0])
    if unit:
        exact_unit = frames.dtype.type(unit) if frames.dtype.kind == "f" else unit
        start = _kernels.add_gram(frames, 0, exact_unit, np.zeros((rows, width), np.float32), K)
        K /= unit**2
    if start < frames.shape[1]:
        _kernels.add_gram(frames, start, 1.0, np.zeros((rows, width)), K)
    K = np.ascontiguousarray(K[:T, :T])
    _kernels.mirror(K)
    return K


def check_finite(frames: Any) -> None:
    """Raise unless all of V is finite and its squares are; 4096 frames at a time."""
    for start in range(0, frames.shape[0], 4096):
        block = frames[start : start + 4096]
        values = block if isinstance(block, np.ndarray) else block.data
        if values.size and not max(abs(float(values.max())), abs(float(values.min()))) < 1e150:
            raise_not_finite(frames)


def raise_not_finite(frames: Any) -> NoReturn:
    """Say where V is not finite, or that its squares overflow."""
    if isinstance(frames, np.ndarray):
        bad = np.argwhere(~np.isfinite(frames))
    else:
        entries = frames.tocoo()
        bad = np.column_stack([entries.row, entries.col])[~np.isfinite(entries.data)]
    if len(bad):
        t, k = bad[0]
        raise ValueError(f"V[{t}, {k}] is {frames[t, k]}; V must be finite")
    raise ValueError("V overflows: the squared distances of its frames exceed float64; rescale it")
