"""The certificate of a solution: both objectives, from u and the dual variables alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _dense_kernels, _exact_kernels, _kernels
from ._frames import Floats, PairOrder, count_pairs, weigh
from .result import Loss, RankSVMResult, relative_gap

EPSILON = float(np.finfo(float).eps)
VISIBLE = 0.1  # of tol: rounding that large is computed away
LARGEST = 2**28  # features of all frames, and pairs, for which it is: some seconds


def certify(
    frames: Any,
    pairs: PairOrder,
    C: float,
    loss: Loss,
    largest: float,
    beta: Floats,
    alpha: Floats,
    method: str,
    n_iter: int,
    tol: float,
) -> RankSVMResult:
    """Evaluate the primal objective from u and the dual one from α.

    In float64, or, where its rounding could be seen at a gap of `tol`, in twice its precision. `largest` is
    the largest square of v_t - v_0.
    """
    T, d = frames.shape
    order, later, end = pairs.order, pairs.later, pairs.end
    power = 1 if loss == "hinge" else 2
    u, scores, by_frame, dual_beta, dual_by_frame = np.empty(d), *np.empty((4, T))
    by_frame[order] = beta
    total, total_square = _kernels.pair_sums(alpha, later, end, dual_beta)
    dual_by_frame[order] = dual_beta
    # ||V^T A^T alpha||^2 from the frames: where C is large, A^T alpha is mostly cancellation, and
    # its product with K would be right to half the digits only.
    square, dual_square = weigh(frames, by_frame, dual_by_frame, u, scores)
    dual = total - 0.5 * dual_square
    if loss == "squared_hinge":
        dual -= total_square / (4 * C)

    # Many margins are 1 but for rounding, and where C is large each 1 - 1e-15 costs. Stretching u by as
    # little is cheaper: take the best stretch, for margins smaller by the rounding of a score.
    rounding = 1.0 + 4 * EPSILON * math.sqrt(largest * square)
    stretches = 1.0 + np.array([0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8])
    costs = np.array(
        [
            0.5 * t * t * square + C * _kernels.hinge_sum(scores[order] * (t / rounding), later, end, power)
            for t in stretches
        ]
    )
    stretch = float(stretches[np.argmax(costs <= costs.min() * (1 + 1e-12))])  # the first as good as the best
    u *= stretch
    by_frame *= stretch
    f = scores[order] * stretch
    hinges = _kernels.hinge_sum(f, later, end, power)
    primal = 0.5 * square * stretch**2 + C * hinges
    smaller = _kernels.hinge_sum(f / rounding, later, end, power) * rounding**power
    uncertain = C * (smaller - hinges) + rounding_of_dual(dual_square, largest, total)
    if not uncertain <= VISIBLE * tol * primal:
        primal, dual = exact_objectives(frames, pairs, C, power, u, alpha) or (primal, dual)
    # u = 0 and α = 0 are always on offer
    if not primal <= C * count_pairs(pairs):
        u[:], by_frame[:], primal = 0.0, 0.0, C * count_pairs(pairs)
    if not dual >= 0.0:
        alpha[:], dual = 0.0, 0.0
    gap = relative_gap(primal, dual)
    return RankSVMResult(u, primal, dual, gap, n_iter, method, by_frame, alpha, None, pairs)


def rounding_of_dual(square: float, largest: float, total: float) -> float:
    """Bound what float64 rounds of ½ ‖Vᵀ Aᵀ α‖², whose root is `square`'s, α's sum `total`."""
    return 8 * EPSILON * math.sqrt(square) * math.sqrt(largest) * total


def exact_objectives(
    frames: Any,
    pairs: PairOrder,
    C: float,
    power: int,
    u: Floats,
    alpha: Floats | None,
    slope: float = 0.0,
    bound: float = np.inf,
) -> tuple[float, float] | None:
    """Return both objectives, rounded once or so; None where that would take long, or is beyond float64.

    Where `alpha` is None, it is clip(slope (1 - m), 0, bound) of each pair. T = 68 and d = 16384 take 6 ms. A
    column of 1e12 beside others of 1 had given a gap of 7.6e-7 that was 1.1e-6, others objectives that were
    off by half.
    """
    order, later, end = pairs.order, pairs.later, pairs.end
    if max(frames.shape[0] * frames.shape[1], count_pairs(pairs)) > LARGEST:
        return None
    first = _row(frames, 0)
    f, f_low, beta, beta_low = np.empty((4, len(order)))
    for k, t in enumerate(order):
        f[k], f_low[k] = _exact_kernels.exact_dot(_row(frames, t), first, u)
    if alpha is None:
        total, square = _exact_kernels.exact_clipped_sums(f, f_low, later, end, slope, bound, beta, beta_low)
    else:
        total, square = _exact_kernels.exact_pair_sums(alpha, later, end, beta, beta_low)
    w, w_low = np.zeros((2, len(u)))
    for k, t in enumerate(order):
        _exact_kernels.exact_add(_row(frames, t), first, beta[k], beta_low[k], w, w_low)
    w += w_low
    primal = 0.5 * _dense_kernels.dot(u, u) + C * _exact_kernels.exact_hinges(f, f_low, later, end, power)
    dual = total - 0.5 * _dense_kernels.dot(w, w) - (square / (4 * C) if power == 2 else 0.0)
    return (primal, dual) if np.isfinite(primal) and np.isfinite(dual) else None


def _row(frames: Any, t: int) -> Any:
    return frames[t] if isinstance(frames, np.ndarray) else frames[[t]].toarray()[0]
