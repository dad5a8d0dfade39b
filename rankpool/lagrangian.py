"""The RankSVM between its closed forms: the method of multipliers over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from . import _dense_kernels
from ._frames import Floats, PairOrder, count_pairs, net_rank
from ._lagrangian_kernels import Iterates, Problem, State, Workspace, augmented_lagrangian
from .closed_forms import Solution
from .result import Loss, relative_gap

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
    factor, pivots = np.zeros((T, T)), np.empty(T, np.intp)
    rank = _dense_kernels.pivoted_cholesky(K, factor, pivots)
    rows, width = _dense_kernels.padded(rank), _dense_kernels.padded(T)
    R = np.zeros((rows, width))
    R[:rank, :T] = factor[:rank]

    # Start along the saturated direction. Where C is large, multipliers from 1/C on would be mostly rounding
    cost, squared = C * scale, loss == "squared_hinge"
    z, beta = np.zeros(rows), np.zeros(width)
    beta[:T] = net_rank(pairs)
    _dense_kernels.row_products(R, beta, z)
    square = float(z @ z)
    z *= min(cost, n / square if square > 0 else 0.0)
    delta = max(0.0, 1e-8 - 0.5 / cost) if squared else max(1.0 / cost, 1e-8)
    state = State(delta)

    # The error of u goes with the square root of the gap, and the last iterations divide the gap by a hundred
    # and more each: one of them past tol, unless rounding forbids. Where they are dear, stop short of that.
    enough = max((0.01 if T < 300 else 0.5) * tol, min(0.5 * tol, 1e-10))
    problem = Problem(K, R, rank, pairs.later, pairs.end, cost, squared)
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
    pivots = pivots[:rank]
    x = iterates.best_z[:rank].copy()
    _dense_kernels.solve_lower_transposed(np.ascontiguousarray(R[:rank, pivots].T), x)
    beta = np.zeros(T)
    beta[pivots] = x / scale
    beta[K.diagonal().argmin()] -= beta.sum()
    alpha = iterates.best_alpha / scale
    if not squared:
        np.minimum(alpha, C, out=alpha)  # rounding
    return beta, alpha, "augmented-lagrangian", state.n_iter


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
