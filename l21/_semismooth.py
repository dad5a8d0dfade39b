"""Semismooth-Newton augmented Lagrangian on the dual of weighted least squares with the ℓ2,1 penalty.

The dual, max ⟨Λ, T⟩ - ½ Σ_ik Λ_ik² / H_ik with ‖(XᵀΛ)_j‖ <= 1, has W as its multiplier. As in `newton`, with
S_σ the block soft-thresholding of rows, one outer iteration minimises over Λ

    φ(Λ) = -⟨Λ, T⟩ + ½ Σ_ik Λ_ik² / H_ik + ‖S_σ(W + σXᵀΛ)‖² / 2σ

by Newton's method, sets W to the thresholded argument and lets σ grow (Li, Sun & Toh 2018 for the lasso). It
is for small or badly conditioned problems, on which coordinate descent takes forever: few samples that W
nearly interpolates, features that differ by orders of magnitude.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack

from ._line_search import find_length
from .newton_systems import cholesky
from .problem import Floats, row_norms

# What 40 Newton steps take in Python, in multiplications of a sweep.
_OVERHEAD = 40_000_000

# Newton steps in all. Most solves end after 6 to 14, a badly scaled one needed more than 400; where rounding
# hides all progress, as on X with entries of 1 and 2**64, some 2500 were taken.
_MOST_STEPS = 600


def semismooth_newton(
    XT: Floats, H: Floats, T: Floats, W: Floats, upper: float, dual: Floats, enough: float
) -> tuple[Floats, Floats]:
    """W and Λ to an absolute gap of `enough`, or as near as rounding lets it.

    From W, its objective `upper`, and a feasible Λ.
    """
    norms = np.sort(row_norms(W))[-H.size :]
    sigma = 3.0 * float(norms[norms > 0.0].mean()) if norms.any() else 1.0
    Z, best_W, best_dual, lower, stalled, total = XT @ dual, W, dual, -np.inf, 0, 0
    while total < _MOST_STEPS:
        before, steps = (upper, lower), 0
        while True:
            V = W + sigma * Z
            v = row_norms(V)
            active = np.flatnonzero(v > sigma)
            s, XA = sigma / v[active], XT[active]
            W_active = (1.0 - s)[:, None] * V[active]
            R = T - (W_active.T @ XA).T
            gradient = dual / H - R
            value = float(0.5 * (H * R**2).sum() + row_norms(W_active).sum())
            if value < upper:
                upper, best_W = value, np.zeros_like(W)
                best_W[active] = W_active
            scaled = dual / max(1.0, float(row_norms(Z).max()))
            bound = float(np.vdot(scaled, T) - 0.5 * (scaled**2 / H).sum())
            if bound > lower:
                lower, best_dual = bound, scaled
            excess = float(0.5 * (H * gradient**2).sum())
            if not upper - lower > enough:
                return best_W, best_dual
            if steps == 30 or not excess > 0.1 * (upper - lower):
                break
            A = (np.sqrt(sigma * s) / v[active])[:, None] * V[active]
            try:
                step = -_newton_step(gradient, XA, sigma * (1.0 - s), A, 1.0 / H)
            except np.linalg.LinAlgError:
                return best_W, best_dual
            Z_step = XT @ step
            length = _find_length(T, H, W, sigma, dual, Z, step, Z_step)
            dual, Z, steps = dual + length * step, Z + length * Z_step, steps + 1
        W = np.zeros_like(W)
        W[active] = W_active
        Z = XT @ dual
        total += max(steps, 1)
        stalled = stalled + 1 if (upper, lower) == before else 0
        if stalled == 3:  # rounding hides any better
            break
        sigma *= 3.0 if steps <= 6 else 1.5 if steps <= 12 else 0.5
    return best_W, best_dual


def work_of_newton(XT: Floats, T: Floats) -> float:
    """Multiplications of the 40 steps that it may take, on d features."""
    (d, n), c = XT.shape, T.shape[1]
    return _OVERHEAD + 40.0 * min(_assembled(n, c, min(d, n * c)), _by_features(n, c, min(d, n * c)))


def _find_length(
    T: Floats, H: Floats, W: Floats, sigma: float, dual: Floats, Z: Floats, step: Floats, Z_step: Floats
) -> float:
    """Find a length, at most 1, at which φ's slope along the step has at least halved."""

    def slope(length: float) -> float:
        V = W + sigma * (Z + length * Z_step)
        shrink = 1.0 - sigma / np.maximum(row_norms(V), sigma)
        thresholded = float(shrink @ np.einsum("ij,ij->i", V, Z_step))
        return thresholded + float(np.vdot((dual + length * step) / H - T, step))

    return find_length(slope, slope(0.0))


def _newton_step(G: Floats, XA: Floats, a: Floats, A: Floats, D: Floats) -> Floats:
    """(diag(D) + Σ_j (x_j ⊗ .)(a_j I + A_j A_jᵀ)(x_j ⊗ .)ᵀ)⁻¹ G, by the cheaper of two factorisations."""
    n, c = G.shape
    assembled, by_features = _assembled(n, c, len(XA)), _by_features(n, c, len(XA))
    if 4.0 * by_features < assembled:  # the less accurate
        return _solve_by_features(G, XA, a, A, D)
    return _solve_assembled(G, XA, a, A, D)


def _assembled(n: int, c: int, k: int) -> float:
    return (n * c) ** 2 * k / 2 + (n * c) ** 3 / 6


def _by_features(n: int, c: int, k: int) -> float:
    return n * k * k * c + (k * c) ** 3 / 6


def _solve_assembled(G: Floats, XA: Floats, a: Floats, A: Floats, D: Floats) -> Floats:
    (n, c), k = G.shape, len(XA)
    M = np.zeros((n * c, n * c), order="F")
    if k:
        F = (A[:, :, None] * XA[:, None, :]).reshape(k, c * n)  # target by target
        M = blas.dsyrk(1.0, F.T, lower=1)
        P = blas.dsyrk(1.0, (np.sqrt(a)[:, None] * XA).T, lower=1)
        for t in range(c):
            M[t * n : (t + 1) * n, t * n : (t + 1) * n] += P
    M[np.diag_indices(n * c)] += D.T.reshape(-1)
    solution = lapack.dpotrs(cholesky(M), G.T.reshape(-1), lower=1)[0]
    return solution.reshape(c, n).T


def _solve_by_features(G: Floats, XA: Floats, a: Floats, A: Floats, D: Floats) -> Floats:
    """By Woodbury's identity; the inner system is M⁻¹ + X D⁻¹ Xᵀ, M = blocks of a_j I + A_j A_jᵀ."""
    k, c = A.shape
    first = G / D
    if k == 0:
        return first
    a = np.maximum(a, 1e-15 * row_norms(A) ** 2)
    scaled = A / np.sqrt(a * (a + row_norms(A) ** 2))[:, None]  # M_j⁻¹ = I / a_j - scaled_j scaled_jᵀ
    S = np.zeros((c, k, c, k))
    each = np.arange(k)
    for p in range(c):
        S[p, :, p] = (XA / D[:, p]) @ XA.T
        for q in range(p + 1):
            S[p, each, q, each] += (1.0 / a if p == q else 0.0) - scaled[:, p] * scaled[:, q]
    inner = lapack.dpotrs(cholesky(S.reshape(c * k, c * k)), (XA @ first).T.reshape(-1), lower=1)[0]
    return first - (XA.T @ inner.reshape(c, k).T) / D
