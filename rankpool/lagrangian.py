"""The RankSVM between its closed forms: the method of multipliers over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
from numpy.typing import NDArray

from . import _dense_kernels, _kernels
from ._blas import one_blas_thread
from ._frames import Floats, PairOrder, count_pairs, net_rank
from ._lagrangian_kernels import Iterates, Problem, State, Workspace, augmented_lagrangian
from .closed_forms import Solution
from .result import Loss, relative_gap

MANY = 600  # frames from which a start from fewer pays, and LAPACK
COST, COST_SQUARED = 1e9, 1e12  # of frames scaled to unit mean square


def iterate(
    K: Floats, pairs: PairOrder, C: float, loss: Loss, tol: float, max_iter: int, verbose: bool
) -> Solution:
    """Scale the frames to unit mean square, factor K = R^T R, solve for z = R beta."""
    T = len(K)
    scale = float(K.trace()) / T
    n = count_pairs(pairs)
    if scale == 0.0:  # all frames equal: u = 0, every pair costs C
        return np.zeros(T), np.full(n, C if loss == "hinge" else 2 * C), "saturated", 0
    limit = (COST if loss == "hinge" else COST_SQUARED) / scale
    if 10 * limit < C:
        # Where the frames can be ranked without error, a larger C changes no multiplier of the hinge, and
        # nothing that float64 holds of the squared hinge. Solved with C itself, margins of 1 - 1e-15 cost
        beta, alpha, method, n_iter = iterate(K, pairs, limit, loss, tol, max_iter, verbose)
        if alpha.max() < (0.1 * limit if loss == "hinge" else 1e3 / scale):
            return beta, alpha, method, n_iter
    K = K / scale
    R, pivots, lower = _factor(K)
    rows, width, rank = *R.shape, len(pivots)
    inverse = _inverse(lower) if T >= MANY and np.count_nonzero(K.diagonal()) == rank else None

    # Start along the saturated direction. Where C is large, multipliers from 1/C on would be mostly rounding
    cost, squared = C * scale, loss == "squared_hinge"
    z, beta = np.zeros(rows), np.zeros(width)
    beta[:T] = net_rank(pairs)
    _dense_kernels.row_products(R, beta, z)
    square = float(z @ z)
    z *= min(cost, n / square if square > 0 else 0.0)
    if T >= MANY:
        few = _solve_few(K, pairs, cost, loss, max_iter)
        if few is not None:
            beta[:T] = few
            other = np.zeros(rows)
            _dense_kernels.row_products(R, beta, other)
            if _objective(R, other, pairs, cost, squared) < _objective(R, z, pairs, cost, squared):
                z = other
    delta = max(0.0, 1e-8 - 0.5 / cost) if squared else max(1.0 / cost, 1e-8)
    state = State(delta)

    # The error of u goes with the square root of the gap, and the last iterations divide the gap by a hundred
    # and more each: one of them past tol, unless rounding forbids. Where they are dear, stop short of that.
    enough = max((0.01 if T < 300 else 0.5) * tol, min(0.5 * tol, 1e-10))
    in_frames = (lower, inverse) if inverse is not None else (np.empty((0, 0)), np.empty((0, 0)))
    problem = Problem(K, R, rank, pairs.later, pairs.end, cost, squared, pivots, *in_frames)
    iterates = Iterates(z, base=np.zeros(n), best_z=np.zeros(rows), best_alpha=np.zeros(n))
    workspace = Workspace(np.zeros((width, width)), np.zeros((rows, width)), np.zeros((rows, rows)))
    steps, done = max_iter if T < 300 else 1, False
    with progress_bar(verbose) as progress:
        while not done and state.n_iter < max_iter:
            done, after = augmented_lagrangian(
                tuple(problem), enough, steps, tuple(iterates), tuple(state), tuple(workspace)
            )
            state = State(*after)
            progress(relative_gap(state.best_primal, state.best_dual))

    # beta on the pivot frames, where R is triangular; the first frame, at the origin, closes the sum
    x = iterates.best_z[:rank].copy()
    _dense_kernels.solve_lower_transposed(lower, x)
    beta = np.zeros(T)
    beta[pivots] = x / scale
    beta[K.diagonal().argmin()] -= beta.sum()
    alpha = iterates.best_alpha / scale
    if not squared:
        np.minimum(alpha, C, out=alpha)  # rounding
    return beta, alpha, "augmented-lagrangian", state.n_iter


def _factor(K: Floats) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return R with K = RᵀR, padded, its pivots, and the lower triangle of their columns, transposed."""
    T = len(K)
    if T < MANY:
        factor, pivots = np.zeros((T, T)), np.empty(T, np.intp)
        rank = _dense_kernels.pivoted_cholesky(K, factor, pivots)
        pivots = pivots[:rank]
        lower = np.ascontiguousarray(factor[:rank, pivots].T)
    else:  # three times as fast, and worth the import of SciPy
        from scipy.linalg import lapack

        with one_blas_thread():
            upper, one_based, rank, _ = lapack.dpstrf(K, lower=0, tol=T * 2.3e-16 * K.diagonal().max())
        pivots = one_based.astype(np.intp) - 1
        factor = np.zeros((rank, T))
        factor[:, pivots] = np.triu(upper[:rank])
        pivots = pivots[:rank]
        lower = np.ascontiguousarray(upper[:rank, :rank].T)
    R = np.zeros((_dense_kernels.padded(rank), _dense_kernels.padded(T)))
    R[:rank, :T] = factor[:rank]
    return R, pivots, lower


def _inverse(lower: Floats) -> Floats | None:
    """Return the lower triangle of (L Lᵀ)⁻¹, or None where that would be mostly rounding."""
    from scipy.linalg import lapack

    pivots = lower.diagonal()
    if not pivots.min() > 1e-5 * pivots.max():
        return None
    with one_blas_thread():
        upper, info = lapack.dpotri(lower.T, lower=0)
    return np.ascontiguousarray(upper.T) if info == 0 else None


def _solve_few(K: Floats, pairs: PairOrder, C: float, loss: Loss, max_iter: int) -> Floats | None:
    """Return the β of every fourth frame's problem, zero for the others: where long sequences start from.

    Its solution ranks all but the nearest pairs of frames that change steadily, so that few are left in the
    window: of 3000 of a random walk some thousands, after the saturated direction two millions.
    """
    some = np.arange(0, len(K), 4)
    first, later, end = (np.searchsorted(some, frames[some]) for frames in pairs[1:4])
    few = PairOrder(np.arange(len(some)), first, later, end, np.searchsorted(some, pairs.groups))
    if count_pairs(few) == 0:
        return None
    k = K[np.ix_(some, some)]
    k = k - k[0] - k[:, :1] + k[0, 0]
    beta = np.zeros(len(K))
    beta[some] = iterate(k, few, 16 * C, loss, 1e-2, max_iter, False)[0]
    return beta


def _objective(R: Floats, z: Floats, pairs: PairOrder, C: float, squared: bool) -> float:
    f = np.empty(R.shape[1])
    _dense_kernels.row_sum(R, z, f)
    return 0.5 * float(z @ z) + C * _kernels.hinge_sum(
        f[: len(pairs.order)], pairs.later, pairs.end, 1 + squared
    )


def progress_bar(verbose: bool) -> AbstractContextManager[Callable[[float], None]]:
    """Return a function to be called with the gap after each iteration."""
    return _shown_progress() if verbose else nullcontext(_no_progress)


@contextmanager
def _shown_progress() -> Iterator[Callable[[float], None]]:
    from tqdm import tqdm

    with tqdm(desc="rank_svm") as bar:

        def progress(gap: float) -> None:
            bar.update()
            bar.set_postfix(gap=f"{gap:.1e}")

        yield progress


def _no_progress(gap: float) -> None:
    pass
