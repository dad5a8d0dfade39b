"""The two regimes of the RankSVM that have a closed form."""

from __future__ import annotations

import numpy as np

from . import _dense_kernels, _kernels
from ._frames import Floats, PairOrder, count_pairs, first_pairs, net_rank
from .result import Loss

Solution = tuple[Floats, Floats, str, int]  # beta, alpha, method, n_iter


def closed_form(K: Floats, pairs: PairOrder, C: float, loss: Loss) -> Solution | None:
    """Return the optimum where a closed form holds; K is the Gram matrix of frames in the pairs' order."""
    solution = _chain(K, pairs, C, loss)
    if solution is None and loss == "hinge":
        solution = _saturated(K, pairs, C)
    return solution


def _chain(K: Floats, pairs: PairOrder, C: float, loss: Loss) -> Solution | None:
    """Only adjacent pairs cost: with the smallest u for which they do, if the multipliers allow it."""
    T = len(K)
    if len(pairs.groups) > 2 or (pairs.later != np.arange(1, T + 1)).any():
        return None  # ties in time: several frames follow one
    a = _chain_multipliers(K, 0.0 if loss == "hinge" else 0.5 / C)
    if a is None or (loss == "hinge" and a.max() > C):
        return None
    beta = np.zeros(T)
    beta[1:] += a
    beta[:-1] -= a
    f = np.empty(T)
    _dense_kernels.row_products(K, beta, f)
    step, other = f[1:] - f[:-1], f[2:] - np.maximum.accumulate(f)[:-2]
    costless = step if loss == "hinge" else np.append(step[a == 0.0], other)
    if not costless.min(initial=1.0) > 1.0 - 1e-10:
        return None  # a margin left out is below 1, or adjacent frames all but coincide
    alpha = np.zeros(T * (T - 1) // 2)
    alpha[first_pairs(pairs)[:-1]] = a
    return beta, alpha, "chain", 0


def _chain_multipliers(K: Floats, q: float) -> Floats | None:
    """Return the multipliers of the adjacent pairs, those whose margins are above 1 by themselves left out.

    The margins of the others are 1 - q a. None if it was not found in five rounds, each leaving out the pairs
    whose multipliers came out negative.
    """
    T = len(K)
    active = np.arange(T - 1)
    M = np.empty((T + 10, T + 10))
    for _ in range(5):
        m = len(active)
        _kernels.pair_matrix(K, active, active + 1, q, M)
        if not _dense_kernels.cholesky(M, m):
            return None
        x = np.ones(m)
        _dense_kernels.solve_lower(M, x)
        _dense_kernels.solve_lower_transposed(M, x)
        positive = x > 0.0
        if positive.all():
            a = np.zeros(T - 1)
            a[active] = x
            return a
        active = active[positive]
    return None


def _saturated(K: Floats, pairs: PairOrder, C: float) -> Solution | None:
    """Every pair at its bound C, if all margins are then at most 1."""
    beta = C * net_rank(pairs)
    f = np.empty(len(K))
    _dense_kernels.row_products(K, beta, f)
    if _kernels.largest_margin(f, pairs.later, pairs.end) > 1.0:
        return None
    return beta, np.full(count_pairs(pairs), C), "saturated", 0
