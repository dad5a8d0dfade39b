"""Weighted least squares with the ℓ2,1 penalty, on a working set: a step of `losses`.

    min_W ½ Σ_ik H_ik (XW - T)_ik² + ‖W‖_{2,1}
    max_Λ ⟨Λ, T⟩ - ½ Σ_ik Λ_ik² / H_ik   subject to   ‖(XᵀΛ)_j‖ <= 1

by block coordinate descent on the rows of W with Anderson acceleration (Bertrand & Massias 2021), and, where
that would take longer, by the semismooth Newton method of `_semismooth`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ._kernels import descend_blocks, descend_rows
from ._semismooth import semismooth_newton, work_of_newton
from .problem import Floats, row_norms

# Rows of W in a block of `descend_blocks`: 64 take as long, 16 a tenth longer.
_BLOCK = 32

# Sweeps between two Anderson steps.
_SWEEPS = 5

# What a sweep takes in Python, in multiplications.
_OVERHEAD = 50_000


def minimise(XT: Floats, H: Floats, T: Floats, W: Floats, enough: float) -> tuple[Floats, Floats | None]:
    """W, from W, to an absolute gap of `enough`, and a feasible Λ where that isn't H ∘ (T - XW).

    XT (d, n) holds the columns of X as rows; H is (n, c) or, equal for all targets, (n, 1).
    """
    work = _OVERHEAD + 2.0 * XT.size * T.shape[1]  # of a sweep
    most = work_of_newton(XT, T)
    G: Floats = H * (T - XT.T @ W)
    sweep, lower, best_dual, gaps = _sweep_of(XT, H, T), -np.inf, G, []
    while True:
        iterates = [(W, G)]
        for _ in range(_SWEEPS):
            iterates.append(sweep(*iterates[-1]))
        W, G = min(iterates[-1], _extrapolate(iterates), key=lambda WG: _value(WG[0], WG[1], H))
        dual, bound = _bound(XT, H, T, G)
        if not _value(W, G, H) - max(lower, bound) > enough:  # NaN too
            # G took its changes one by one; where weights of an extrapolation are large, it shows.
            G = H * (T - XT.T @ W)
            dual, bound = _bound(XT, H, T, G)
        if not bound <= lower:
            lower, best_dual = bound, dual
        gaps.append(_value(W, G, H) - lower)
        if not gaps[-1] > enough:
            return W, None
        sweeps = max(_SWEEPS * len(gaps), _sweeps_left(gaps, enough) if len(gaps) >= 4 else 0.0)
        if sweeps * work > most:
            value = _value(W, G, H)
            return semismooth_newton(XT, np.broadcast_to(H, T.shape), T, W, value, best_dual, enough)


def _bound(XT: Floats, H: Floats, T: Floats, G: Floats) -> tuple[Floats, float]:
    """Λ, G made feasible, and its dual objective."""
    dual = G / max(1.0, float(row_norms(XT @ G).max()))
    return dual, float(np.vdot(dual, T) - 0.5 * (dual**2 / H).sum())


def _sweep_of(XT: Floats, H: Floats, T: Floats) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    """Return the function that makes W and G = H ∘ (T - XW) those after a sweep over the rows of W."""
    if H.shape[1] > 1:
        curvature = (XT**2 @ H).max(axis=1)

        def sweep_each(W: Floats, G: Floats) -> tuple[Floats, Floats]:
            W, G = W.copy(), G.copy()
            descend_rows(XT, H, G, W, curvature, 1)
            return W, G

        return sweep_each

    # Samples of unequal weights become rows of X and T times the weights' roots.
    if (H[0] == H).all():
        A, threshold, factor = XT, 1.0 / float(H[0, 0]), H
    else:
        factor, threshold = np.sqrt(H), 1.0
        A = XT * factor.T
    grams = np.zeros((len(A), _BLOCK))
    for j in range(0, len(A), _BLOCK):
        part = A[j : j + _BLOCK]
        grams[j : j + _BLOCK, : len(part)] = part @ part.T
    curvature = np.einsum("ij,ij->i", A, A)

    def sweep(W: Floats, G: Floats) -> tuple[Floats, Floats]:
        W, R = W.copy(), G / factor
        descend_blocks(A, grams, curvature, threshold, R, W, 1)
        return W, factor * R

    return sweep


def _value(W: Floats, G: Floats, H: Floats) -> float:
    return float(0.5 * (G**2 / H).sum() + row_norms(W).sum())


def _extrapolate(iterates: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """W and G of the affine combination of the iterates whose last differences nearly cancel."""
    steps = np.array([(after[0] - before[0]).ravel() for before, after in pairwise(iterates)])
    C = steps @ steps.T
    C[np.diag_indices_from(C)] += max(1e-10 * np.trace(C), np.finfo(float).tiny)
    weights = np.linalg.solve(C, np.ones(len(C)))
    weights /= weights.sum()
    W, G = np.zeros_like(iterates[0][0]), np.zeros_like(iterates[0][1])
    for weight, (W_i, G_i) in zip(weights, iterates[1:], strict=True):
        W += weight * W_i
        G += weight * G_i
    return W, G


def _sweeps_left(gaps: list[float], enough: float) -> float:
    """How many more sweeps it takes at the rate of the later half of the rounds."""
    since = len(gaps) // 2
    rate = np.log(gaps[since] / gaps[-1]) / (len(gaps) - 1 - since)
    return _SWEEPS * float(np.log(gaps[-1] / enough) / max(rate, 1e-6))
