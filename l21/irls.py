"""The algorithm of Nie et al. (2010): iteratively reweighted least squares, in n x n form."""

from __future__ import annotations

import time

import numpy as np
from scipy.linalg import blas, lapack
from scipy.sparse import issparse

from . import problem
from .problem import Floats, Matrix, row_norms


def irls(
    X: Matrix,
    Y: Floats,
    radius: Floats,
    tol: float,
    max_iter: int,
    deadline: float,
    W0: Floats | None,
) -> tuple[Floats, Floats, int]:
    """W, feasible Λ and the number of steps."""
    n, d = X.shape
    w_norms: Floats = np.ones(d)
    e_norms: Floats = np.ones(n)
    smoothing = 0.1
    if W0 is not None and W0.any():
        w_norms, e_norms, smoothing = row_norms(W0), row_norms(problem.residual(X, Y, W0)), 1e-3
    lower, best_dual = 0.0, np.zeros_like(Y)
    W, primal = np.zeros((d, Y.shape[1])), float(radius @ row_norms(Y))
    for n_iter in range(1, max_iter + 1):
        try:
            W, E, dual = irls_step(X, Y, radius, w_norms, e_norms, smoothing)
        except np.linalg.LinAlgError:
            break
        w_norms, e_norms = row_norms(W), row_norms(E)
        smoothing = max(0.5 * smoothing, 1e-10)
        stop = n_iter == max_iter or time.perf_counter() > deadline
        if n_iter % 10 and not stop:  # a certificate costs two passes over X
            continue
        feasible, _ = problem.scale_into_dual_set(X, dual, radius)
        if np.vdot(feasible, Y) > lower:
            lower, best_dual = float(np.vdot(feasible, Y)), feasible
        primal = problem.primal(X, Y, W, radius)
        if stop or problem.gap_of(primal, lower) <= 0.8 * tol or not np.isfinite(primal):
            break
    W = _drop_leftovers(X, W, w_norms, radius, 0.1 * tol * primal)
    return W, best_dual, n_iter


def irls_step(
    X: Matrix, Y: Floats, radius: Floats, w_norms: Floats, e_norms: Floats, smoothing: float
) -> tuple[Floats, Floats, Floats]:
    """W, E = Y - XW and Λ of one step.

    With weights D_w = diag ‖W_j‖ and D_e = diag ‖E_i‖,

        Λ = (X D_w Xᵀ + D_e / γ)⁻¹ Y,    W = D_w XᵀΛ,    E = D_e Λ / γ,

    and at the fixed point Λ is the dual optimum. The norms are smoothed, sqrt(‖·‖² + ε²) with ε = `smoothing`
    times the largest: a row that reaches zero would otherwise stay there, and two such samples make the
    matrix singular.
    """
    d_w, d_e = _weights(Y, radius, w_norms, e_norms, smoothing)
    dual = _solve_positive(weighted_gram(X, d_w), d_e, Y)
    return d_w[:, None] * problem.correlations(X, dual), d_e[:, None] * dual, dual


def irls_step_by_features(
    X: Floats, Y: Floats, radius: Floats, w_norms: Floats, e_norms: Floats, smoothing: float
) -> tuple[Floats, Floats, Floats]:
    """W, E and Λ of the same step by a d x d system, for fewer features than samples.

        W = (γ Xᵀ D_e⁻¹ X + D_w⁻¹)⁻¹ γ Xᵀ D_e⁻¹ Y,    E = Y - XW,    Λ = γ D_e⁻¹ E.

    Where residuals go to zero, E loses its digits, and Λ with it: good to start from, not to converge with.
    """
    d_w, d_e = _weights(Y, radius, w_norms, e_norms, smoothing)
    right = problem.correlations(X, Y / d_e[:, None])
    W = _solve_positive(weighted_gram(X.T, 1.0 / d_e), 1.0 / d_w, right)
    E = problem.residual(X, Y, W)
    return W, E, E / d_e[:, None]


def _weights(
    Y: Floats, radius: Floats, w_norms: Floats, e_norms: Floats, smoothing: float
) -> tuple[Floats, Floats]:
    """Diagonals of D_w and D_e / γ."""
    d_e = np.hypot(e_norms, smoothing * e_norms.max())
    d_e = np.maximum(d_e, 1e-12 * row_norms(Y).max())  # W0 may fit every sample exactly
    return np.hypot(w_norms, smoothing * w_norms.max()), d_e / radius


def weighted_gram(X: Matrix, weights: Floats) -> Floats:
    """X diag(weights) Xᵀ in float64, upper triangle only."""
    if issparse(X):
        return np.asfortranarray((X.multiply(weights) @ X.T).toarray())
    n, d = X.shape
    G = np.zeros((n, n), order="F")
    # Half a megabyte of columns at a time: the scaled copy stays in the cache, X is never copied whole. With
    # fewer than 128 columns, the time would go into moving G through memory.
    step = max(128, (1 << 16) // n)
    for j in range(0, d, step):
        A = X[:, j : j + step] * np.sqrt(weights[j : j + step])
        G = blas.dsyrk(1.0, A.T, beta=1.0, c=G, trans=1, overwrite_c=1)
    return G


def _solve_positive(G: Floats, diagonal: Floats, Y: Floats) -> Floats:
    """(G + diag(diagonal))⁻¹ Y by Cholesky; the diagonal is raised until the factorisation exists."""
    ridge = 0.0
    trace = float(np.trace(G)) + float(diagonal.sum())
    while True:
        M = G.copy(order="F")
        M[np.diag_indices_from(M)] += diagonal + ridge * trace
        factor, info = lapack.dpotrf(M, overwrite_a=1, clean=0)
        if info == 0:
            solution, _ = lapack.dpotrs(factor, Y)
            return solution
        if not ridge < 1.0:
            raise np.linalg.LinAlgError("an IRLS system has no Cholesky factor")
        ridge = max(1e-16, 10.0 * ridge)


def _drop_leftovers(X: Matrix, W: Floats, w_norms: Floats, radius: Floats, allowance: float) -> Floats:
    """Set W's smallest rows to zero, as many as provably raise the objective by at most `allowance`.

    Row j adds at most ‖W_j‖ Σ_i γ_i |X_ij| to the loss. IRLS itself only shrinks rows, by a factor a step.
    """
    reach = problem.correlations(abs(X), radius[:, None])[:, 0]
    order = np.argsort(w_norms * reach, kind="stable")
    dropped = order[np.cumsum((w_norms * reach)[order]) <= allowance]
    W = W.copy()
    W[dropped] = 0.0
    return W
