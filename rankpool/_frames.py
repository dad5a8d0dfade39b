"""The frames, dense or sparse, and the order that makes their pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _dense_kernels, _kernels
from ._checks import refuse_masked

Floats = NDArray[np.float64]


class PairOrder(NamedTuple):
    """Frames sorted by group and time; arrays of T but for `groups`."""

    order: NDArray[np.intp]  # the frames
    first: NDArray[np.intp]  # of each: the first frame of the same group and time,
    later: NDArray[np.intp]  # the first one later,
    end: NDArray[np.intp]  # the first one past the group
    groups: NDArray[np.intp]  # first frame of each group, and T


class Names(NamedTuple):
    """What the caller calls the frames, one or many of them, and their times: errors say it."""

    V: str = "V"
    frame: str = "frame"
    times: str = "times"
    function: str = "rank_svm"


VIDEO = Names()


class NoPairError(ValueError):
    """No two frames of one group have different times."""


def pair_order(times: Any, groups: Any, T: int, names: Names = VIDEO) -> PairOrder:
    """Sort the frames by group and time, and find the pairs."""
    if groups is None:
        order, later = time_order(times, T, names)
        first = np.arange(T) if times is None else np.searchsorted(later, np.arange(T), side="right")
        return PairOrder(order, first, later, np.full(T, T), np.array([0, T]))
    refuse_masked(groups, "groups")
    groups = np.asarray(groups)
    if groups.shape != (T,):
        raise ValueError(
            f"groups has shape {groups.shape}; {names.V} has {T} {names.frame}s, so it must be ({T},)"
        )
    if groups.dtype.kind in "fcmM" and not np.isfinite(groups).all():
        raise ValueError(f"groups[{np.flatnonzero(~np.isfinite(groups))[0]}] is not finite")
    try:
        code = np.unique(groups, return_inverse=True)[1]
    except TypeError as error:  # None or pd.NA among them, or numbers and strings
        raise TypeError(f"groups must hold values of one kind that can be sorted: {error}") from None
    when = np.arange(T)
    if times is not None:
        by_time, after = time_order(times, T, names)
        when[by_time] = after  # equal where the times are
    order = np.lexsort((when, code))
    code, when = code[order], when[order]
    border = np.flatnonzero(np.diff(code, prepend=-1, append=-1))  # first frame of each group, and T
    run = np.flatnonzero(np.diff(code, prepend=-1).astype(bool) | np.diff(when, prepend=-1).astype(bool))
    index = np.searchsorted(run, np.arange(T), side="right") - 1
    end = border[code + 1]
    later = np.append(run[1:], T)[index]
    if (later == end).all():
        what = "times" if names.times == "times" else f"values of {names.times}"
        raise NoPairError(f"no group holds two different {what}: there is no pair of {names.frame}s to rank")
    return PairOrder(order, run[index], later, end, border)


def time_order(times: Any, T: int, names: Names = VIDEO) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the frames sorted by time, and for each of them the position of the first one later than it."""
    if times is None:
        return np.arange(T), np.arange(1, T + 1)
    name = names.times
    refuse_masked(times, name)
    times = np.asarray(times)
    if times.dtype.kind not in "iufmM":
        raise TypeError(f"{name} has dtype {times.dtype}; it must hold real numbers")
    if times.shape != (T,):
        raise ValueError(
            f"{name} has shape {times.shape}; {names.V} has {T} {names.frame}s, so it must be ({T},)"
        )
    bad = np.flatnonzero(~np.isfinite(times))  # NaT is not
    if bad.size:
        raise ValueError(f"{name}[{bad[0]}] is {times[bad[0]]}; {name} must be finite")
    order = np.argsort(times, kind="stable")
    later = np.searchsorted(times[order], times[order], side="right")
    if later[0] == T:
        all_equal = "are all equal" if name == "times" else f"holds {times[0]} only"
        raise NoPairError(f"{name} {all_equal}: there is no pair of {names.frame}s to rank")
    return order, later


def net_rank(pairs: PairOrder) -> Floats:
    """Return the number of earlier minus the number of later frames, for each frame."""
    start = 0 if len(pairs.groups) == 2 else np.repeat(pairs.groups[:-1], np.diff(pairs.groups))
    return ((pairs.first - start) - (pairs.end - pairs.later)).astype(np.float64)


def count_pairs(pairs: PairOrder) -> int:
    """Return the number of pairs."""
    return int((pairs.end - pairs.later).sum())


def first_pairs(pairs: PairOrder) -> NDArray[np.intp]:
    """Return for each frame the number of pairs before its own."""
    return np.concatenate([[0], np.cumsum(pairs.end - pairs.later)[:-1]])


def combine(frames: Any, beta: Floats, u: Floats) -> float:
    """Write u = Vᵀβ for a β that sums to zero; return uᵀu."""
    if isinstance(frames, np.ndarray):
        return _kernels.combine(frames, beta, u)
    u[:] = frames.T @ beta
    return _dense_kernels.dot(u, u)  # not BLAS, whose sum depends on its threads


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
    with np.errstate(over="ignore", invalid="ignore"):  # seen afterwards
        if isinstance(frames, np.ndarray):
            return _dense_gram(frames)
        K = (frames @ frames.T).toarray()
        return np.ascontiguousarray(K - K[0] - K[:, :1] + K[0, 0])


def _dense_gram(frames: NDArray[Any]) -> Floats:
    T = len(frames)
    rows = _dense_kernels.padded(T)
    # A panel of 256 KB stays in L2 between the subtraction and the product
    start, unit = 0, _kernels.whole_unit(frames[0])
    K = np.zeros((rows, rows))
    if unit:
        exact_unit = frames.dtype.type(unit) if frames.dtype.kind == "f" else unit
        panel = np.zeros((rows, max(256, 2**16 // T)), np.float32)
        start = _kernels.add_gram(frames, 0, exact_unit, panel, K)
        K /= unit**2
    if start < frames.shape[1]:
        _kernels.add_gram(frames, start, 1.0, np.zeros((rows, max(256, 2**15 // T))), K)
    K = np.ascontiguousarray(K[:T, :T])
    _dense_kernels.mirror(K)
    return K


def largest_square(frames: Any) -> float:
    """Return Σ_k (max_t v_tk - min_t v_tk)², which bounds the squared distances; 4096 frames at a time.

    Not finite where V or a square is not. For sparse frames the bound is a cruder one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if not isinstance(frames, np.ndarray):
            values = frames.data
            span = float(values.max(initial=0.0)) - float(values.min(initial=0.0))
            return span * span * frames.shape[1]
        high = low = frames[0].astype(np.float64)
        for start in range(0, frames.shape[0], 4096):
            block = frames[start : start + 4096]
            high, low = np.maximum(high, block.max(axis=0)), np.minimum(low, block.min(axis=0))
        largest = max(abs(float(high.max())), abs(float(low.min())))
        return float(np.square(high - low).sum()) if largest < 1e150 else largest * largest


def raise_unless_finite(frames: Any, name: str) -> None:
    """Say where V is not finite."""
    if isinstance(frames, np.ndarray):
        bad = np.argwhere(~np.isfinite(frames))
    else:
        entries = frames.tocoo()
        bad = np.column_stack([entries.row, entries.col])[~np.isfinite(entries.data)]
    if len(bad):
        t, k = bad[0]
        raise ValueError(f"{name}[{t}, {k}] is {frames[t, k]}; {name} must be finite")
