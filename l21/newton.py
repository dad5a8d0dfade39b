"""Semismooth-Newton augmented Lagrangian on the dual of the joint ℓ2,1 problem.

The dual, max ⟨Λ, Y⟩ with ‖Λ_i‖ <= γ_i and ‖(XᵀΛ)_j‖ <= 1, has the multipliers E (n, c) for its first
constraint and W (d, c) for its second; at the optimum they are the residual and the weights. With S_t the
block soft-thresholding of rows, V -> max(0, 1 - t / ‖V_i‖) V_i, one outer iteration minimises over Λ

    φ(Λ) = -⟨Λ, Y⟩ + ‖S_σ(W + σXᵀΛ)‖² / 2σ + ‖S_τγ(E + τΛ)‖² / 2τ + ρ‖Λ - Λ₀‖² / 2

by Newton's method, then sets W, E to the thresholded arguments, which solves XW + E = Y, and lets σ and τ
grow. A row that the threshold takes to zero is exactly zero and drops out of the Newton system. The last
term, ρ falling, keeps that system positive definite where too few rows are left (proximal method of
multipliers, Rockafellar 1976; the Newton part follows Li, Sun & Toh 2018 for the lasso).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from scipy.sparse import issparse

from . import problem
from .irls import irls_step, irls_step_by_features
from .problem import Floats, Matrix, row_norms

# A Newton system larger than this isn't factorised: its matrix would take more than 800 MB.
LARGEST = 10_000


def newton(
    X: Matrix,
    Y: Floats,
    radius: Floats,
    tol: float,
    max_iter: int,
    deadline: float,
    W0: Floats | None,
) -> tuple[Floats, Floats, int]:
    """W, feasible Λ and the number of Newton systems solved."""
    n, d = X.shape
    if issparse(X):
        X = X.tocsc()  # columns are taken from it
    nearness = row_norms(problem.correlations(X, radius[:, None] * problem.unit_rows(Y)))
    rows, XT, W, E, dual = _start(X, Y, radius, nearness, W0)
    # σ and τ in units of what they threshold: the rows of W that will stay (at most about n), the residuals
    # per unit of Λ. Far above the critical γ, where W interpolates, ‖XᵀΛ‖ <= 1 says how far Λ may be off, and
    # not γ: with γ alone, ALLAML at 10000 times the critical γ took 95 Newton steps instead of 48. Where W
    # can't interpolate, n > d, Λ may be near the spheres ‖Λ_i‖ = γ however large γ is, and the first Λ shows
    # it: without that, 400 x 100 at a million times the critical γ took 600 steps instead of 60.
    near_spheres = float((row_norms(dual) / radius).mean()) if n > d else 0.0
    unit = radius * min(1.0, max(30.0 / nearness.max(), near_spheres))
    sigma = 3.0 * float(np.sort(row_norms(W))[-n:].mean())
    tau = 3.0 * float(max((row_norms(E) / unit).mean(), 1e-3 * (row_norms(Y) / unit).mean()))
    rho, tau_last = 0.01 * tau, 1e8 * tau

    best_dual, nearness = problem.scale_into_dual_set(X, dual, radius)
    upper, lower = np.inf, float(np.vdot(best_dual, Y))
    best_W, best_rows = np.zeros((0, Y.shape[1])), rows[:0]
    gap = float(radius @ row_norms(E) + row_norms(W).sum()) - lower
    # Just above the critical γ a W within the gap may be worse than W = 0: a few rounds more are for that.
    primal_of_zero, rounds_left = float(radius @ row_norms(Y)), 6
    n_iter, outer, stop = 0, 0, False
    while True:
        outer += 1  # bounded too: where rounding hides the gap, a round may end without a Newton step
        rows, XT, W = _add_violated(X, rows, XT, W, nearness)
        phi = _Phi(Y, radius, W, E, dual, sigma, tau, rho)
        Z = XT @ dual
        steps = 0
        while True:
            V, U = W + sigma * Z, E + tau * dual
            v, u = row_norms(V), row_norms(U)
            active, nonzero = np.flatnonzero(v > sigma), np.flatnonzero(u > tau * radius)
            s, t = sigma / v[active], tau * radius[nonzero] / u[nonzero]
            XA, W_next, E_next = XT[active], (1.0 - s)[:, None] * V[active], np.zeros_like(E)
            E_next[nonzero] = (1.0 - t)[:, None] * U[nonzero]
            gradient = XA.T @ W_next + E_next - Y + rho * (dual - phi.anchor)
            # Σ γ_i ‖gradient_i‖ is what it can do to the primal objective, so it is weighed against the gap.
            weight = float(radius @ row_norms(gradient))
            stop = n_iter >= max_iter or outer > max_iter or time.perf_counter() > deadline
            stop = stop or not np.isfinite(weight)
            if stop or steps == 20 or weight <= max(0.2 * gap, 1e-12 * lower):
                break
            diagonal = np.full(n, rho)
            diagonal[nonzero] += tau * (1.0 - t)
            try:
                step = -newton_step(
                    gradient,
                    XA,
                    sigma * (1.0 - s),
                    (np.sqrt(sigma * s) / v[active])[:, None] * V[active],
                    diagonal,
                    nonzero,
                    (np.sqrt(tau * t) / u[nonzero])[:, None] * U[nonzero],
                )
            except np.linalg.LinAlgError:
                stop = True
                break
            Z_step = XT @ step
            length = phi.line_search(dual, Z, step, Z_step, float(np.vdot(gradient, step)))
            dual = dual + length * step
            Z = Z + length * Z_step
            n_iter, steps = n_iter + 1, steps + 1

        E, W = E_next, np.zeros_like(W)
        W[active] = W_next
        primal = float(radius @ row_norms(Y - XA.T @ W_next) + row_norms(W_next).sum())
        if primal < upper:
            upper, best_W, best_rows = primal, W_next, rows[active]
        feasible, nearness = problem.scale_into_dual_set(X, dual, radius)
        if np.vdot(feasible, Y) > lower:
            lower, best_dual = float(np.vdot(feasible, Y)), feasible
        gap = upper - lower
        if gap <= 0.9 * tol * upper:
            rounds_left -= 1
            stop = stop or upper <= primal_of_zero or rounds_left == 0
        if stop:
            break
        # An inner problem that took many steps was too stiff: Λ follows the spheres ‖Λ_i‖ = γ in small steps.
        growth = 3.0 if steps <= 6 else 1.5 if steps <= 12 else 0.5
        if tau < tau_last:
            sigma, tau, rho = growth * sigma, growth * tau, rho / growth

    W = np.zeros((d, Y.shape[1]))
    W[best_rows] = best_W
    return W, best_dual, n_iter


def _start(
    X: Matrix, Y: Floats, radius: Floats, nearness: Floats, W0: Floats | None
) -> tuple[NDArray, Floats, Floats, Floats, Floats]:
    """Choose a working set of features, and W, E, Λ on it by a few IRLS steps.

    Returns the features' indices, their columns as rows (float64), W, E and Λ.

    Far from the optimum an IRLS step is cheaper than a Newton step, whose active set is still large, and it
    gives all three at once. From W0 too: to go on with W0 and another problem's Λ as they are took as many
    steps along γ, and more from fold to fold.
    """
    n, d = X.shape
    w_norms: Floats = np.ones(d)
    e_norms: Floats = np.ones(n)
    smoothing = 0.1
    if W0 is not None and W0.any():
        w_norms, e_norms, smoothing = row_norms(W0), row_norms(problem.residual(X, Y, W0)), 1e-3
        nearness = np.where(w_norms > 0.0, np.inf, nearness)
    # More features or steps were slower: with 2000 features 246 x 16384 takes as long, 2048 x 4096, at ten
    # times the critical γ, 6.6 s instead of 2.2.
    size = max(1000, 2 * np.count_nonzero(nearness == np.inf))
    rows = np.sort(np.argsort(-nearness, kind="stable")[:size])
    XT = _columns(X, rows)
    w_norms = w_norms[rows]
    step = irls_step_by_features if len(rows) < n else irls_step
    for _ in range(5):
        W, E, dual = step(XT.T, Y, radius, w_norms, e_norms, smoothing)
        w_norms, e_norms = row_norms(W), row_norms(E)
        smoothing *= 0.6
    return rows, XT, W, E, dual


def _columns(X: Matrix, rows: NDArray) -> Floats:
    if issparse(X):
        return X[:, rows].T.toarray().astype(np.float64, order="C", copy=False)
    return np.ascontiguousarray(X[:, rows].T, dtype=np.float64)


def _add_violated(
    X: Matrix, rows: NDArray, XT: Floats, W: Floats, nearness: Floats
) -> tuple[NDArray, Floats, Floats]:
    """Working set with the features outside it that violate ‖(XᵀΛ)_j‖ <= 1 the most; at most doubled."""
    outside = nearness.copy()
    outside[rows] = 0.0
    violated = np.argsort(-outside, kind="stable")[: min(np.count_nonzero(outside > 1.0), len(rows))]
    if len(violated) == 0:
        return rows, XT, W
    return (
        np.concatenate([rows, violated]),
        np.concatenate([XT, _columns(X, violated)]),
        np.concatenate([W, np.zeros((len(violated), W.shape[1]))]),
    )


@dataclass(frozen=True)
class _Phi:
    """φ of one outer iteration, on the working set."""

    Y: Floats
    radius: Floats
    W: Floats
    E: Floats
    anchor: Floats
    sigma: float
    tau: float
    rho: float

    def slope(self, dual: Floats, Z: Floats, step: Floats, Z_step: Floats) -> float:
        """Return the derivative along `step` at Λ = dual, XᵀΛ = Z."""
        V, U = self.W + self.sigma * Z, self.E + self.tau * dual
        shrink_V = 1.0 - self.sigma / np.maximum(row_norms(V), self.sigma)
        threshold = self.tau * self.radius
        shrink_U = 1.0 - threshold / np.maximum(row_norms(U), threshold)
        thresholded = shrink_V @ np.einsum("ij,ij->i", V, Z_step) + shrink_U @ np.einsum("ij,ij->i", U, step)
        return float(thresholded + np.vdot(self.rho * (dual - self.anchor) - self.Y, step))

    def line_search(self, dual: Floats, Z: Floats, step: Floats, Z_step: Floats, start: float) -> float:
        """Find a length, at most 1, at which φ's slope has at least halved, by safeguarded secants.

        φ is convex, so the slope rises along the step. φ's values aren't needed: near the optimum their
        differences drown in rounding.
        """
        length, low, slope_low, high, slope_high = 1.0, 0.0, start, 1.0, 0.0
        for _ in range(30):
            slope = self.slope(dual + length * step, Z + length * Z_step, step, Z_step)
            if abs(slope) <= 0.5 * abs(start) or (slope <= 0.0 and length == 1.0):
                break
            if slope > 0.0:
                high, slope_high = length, slope
            else:
                low, slope_low = length, slope
            rise = slope_high - slope_low
            fraction = -slope_low / rise if rise > 0.0 else 0.5
            length = low + (high - low) * min(0.9, max(0.1, fraction))
        return length


def newton_step(
    G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray, B: Floats
) -> Floats:
    """H⁻¹G, with H as in `solve_hessian`, or a direction that leaves a tenth of G.

    Conjugate gradients with P ⊗ I as the preconditioner: H without its rank-one terms, the same for all c
    columns. On 246 x 16384 with c = 5 that is 10 to 20 iterations, and though there are half as many Newton
    steps again as with H⁻¹G, the whole takes half the time. Where the iterations would take longer than to
    factorise H, H is factorised.
    """
    n, c = G.shape
    k, m = len(XA), len(XA) + len(B)
    multiplications = _multiplications(n, c, k, m)
    direct = min(multiplications)
    size = (n * c, m, k * c)[multiplications.index(direct)]
    iteration = 2 * n * k * c + min(n * n, 2 * n * k) * c
    # 4: a multiplication takes longer where a matrix has c columns only, and iterating in vain is lost time.
    most = direct // (4 * iteration + 1)
    if most < 10:
        return solve_hessian(G, XA, a, A, diagonal, nonzero, B)
    step, done = conjugate_gradients(G, XA, a, A, diagonal, nonzero, B, min(most, 300))
    if done or size > LARGEST:
        return step
    return solve_hessian(G, XA, a, A, diagonal, nonzero, B)


def conjugate_gradients(
    G: Floats,
    XA: Floats,
    a: Floats,
    A: Floats,
    diagonal: Floats,
    nonzero: NDArray,
    B: Floats,
    most: int,
) -> tuple[Floats, bool]:
    """H⁻¹G after at most `most` iterations, and whether the residual is down to a tenth."""
    precondition = _preconditioner(XA, a, diagonal)
    a = a[:, None]
    B_all = np.zeros_like(G)
    B_all[nonzero] = B
    solution, residual = np.zeros_like(G), G.copy()
    direction = z = precondition(residual)
    descent, goal = np.vdot(residual, z), 0.1 * np.linalg.norm(G)
    for _ in range(most):
        T = XA @ direction
        T = a * T + np.einsum("ij,ij->i", A, T)[:, None] * A
        H_direction = (T.T @ XA).T + diagonal[:, None] * direction
        H_direction += np.einsum("ij,ij->i", B_all, direction)[:, None] * B_all
        length = descent / np.vdot(direction, H_direction)
        solution += length * direction
        residual -= length * H_direction
        if np.linalg.norm(residual) <= goal:
            return solution, True
        z = precondition(residual)
        descent, last = np.vdot(residual, z), descent
        direction = z + (descent / last) * direction
    return solution, False


def _preconditioner(XA: Floats, a: Floats, diagonal: Floats) -> Callable[[Floats], Floats]:
    """P⁻¹, by a Cholesky factor of P, or of M = I + Xₐ D⁻¹ Xₐᵀ where the features are fewer."""
    k, n = XA.shape
    if k == 0:
        return lambda R: R / diagonal[:, None]
    if 2 * k < n:
        F = np.sqrt(a)[:, None] * XA / np.sqrt(diagonal)
        M = blas.dsyrk(1.0, F.T, trans=1, lower=1)
        M[np.diag_indices(k)] += 1.0
        L, root = cholesky(M), np.sqrt(diagonal)[:, None]

        def precondition(R: Floats) -> Floats:
            R = R / root
            return (R - F.T @ lapack.dpotrs(L, F @ R, lower=1)[0]) / root

    else:
        L = cholesky(_quadratic(XA, a, diagonal))

        def precondition(R: Floats) -> Floats:
            return lapack.dpotrs(L, R, lower=1)[0]

    return precondition


def solve_hessian(
    G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray, B: Floats
) -> Floats:
    """H⁻¹G, where H is φ's (generalised) Hessian.

    The derivative of S_σ at a row v longer than σ is (1 - s) I + s v vᵀ / ‖v‖², s = σ / ‖v‖: a multiple of I
    plus a rank-one term; at a shorter row it is zero. With the active features' columns x_j, the samples'
    unit vectors 1_i,

        H = P ⊗ I + Σ_j (x_j ⊗ A_j)(x_j ⊗ A_j)ᵀ + Σ_i (1_i ⊗ B_i)(1_i ⊗ B_i)ᵀ,
        P = Σ_j a_j x_j x_jᵀ + diagonal.

    Of three ways, the one with the fewest multiplications: H assembled, nc x nc; Woodbury's identity with the
    rank-one terms, whose Gram matrix in the metric of P ⊗ I is an elementwise product, free of c;
    Woodbury's identity with the active features, kc x kc, where they are few against the samples.
    """
    n, c = G.shape
    assembled, rank_one, features = _multiplications(n, c, len(XA), len(XA) + len(B))
    if features < min(assembled, rank_one):
        return _solve_features(G, XA, a, A, diagonal, nonzero, B)
    P = _quadratic(XA, a, diagonal)
    if assembled < rank_one:
        return _solve_assembled(G, P, XA, A, nonzero, B)
    return _solve_rank_one(G, P, XA, A, nonzero, B)


def _multiplications(n: int, c: int, k: int, m: int) -> tuple[int, int, int]:
    """Count the multiplications of `_solve_assembled`, `_solve_rank_one` and `_solve_features`."""
    assembled = (n * c) ** 2 * k // 2 + (n * c) ** 3 // 6
    rank_one = n**3 // 6 + n * n * (k + m) // 2 + n * m * m // 2 + m**3 // 6 + 20 * m * m
    features = n * k * k * c * (c + 1) // 2 + (k * c) ** 3 // 6
    return assembled, rank_one, 4 * features  # 4: it is the least accurate, where residuals are zero


def _quadratic(XA: Floats, a: Floats, diagonal: Floats) -> Floats:
    """P, lower triangle."""
    P = np.zeros((len(diagonal), len(diagonal)), order="F")
    if len(XA):
        P = blas.dsyrk(1.0, (np.sqrt(a)[:, None] * XA).T, lower=1)
    P[np.diag_indices(len(P))] += diagonal
    return P


def _solve_rank_one(G: Floats, P: Floats, XA: Floats, A: Floats, nonzero: NDArray, B: Floats) -> Floats:
    """With the columns x_j, 1_i in K and A_j, B_i in Z, the inner system is I + (KᵀP⁻¹K) ∘ (ZZᵀ)."""
    k, m = len(XA), len(XA) + len(B)
    L = cholesky(P)
    first = lapack.dpotrs(L, G, lower=1)[0]
    if m == 0:
        return first
    K = np.zeros((m, len(G)))
    K[:k] = XA
    K[np.arange(k, m), nonzero] = 1.0
    Z = np.asfortranarray(np.concatenate([A, B]))
    S = blas.dsyrk(1.0, blas.dtrsm(1.0, L, K.T, lower=1), trans=1, lower=1)
    S *= blas.dsyrk(1.0, Z, lower=1)
    S[np.diag_indices(m)] += 1.0
    weights = lapack.dpotrs(cholesky(S), np.einsum("ij,ij->i", K @ first, Z), lower=1)[0]
    return first - lapack.dpotrs(L, K.T @ (weights[:, None] * Z), lower=1)[0]


def _solve_assembled(G: Floats, P: Floats, XA: Floats, A: Floats, nonzero: NDArray, B: Floats) -> Floats:
    n, c = G.shape
    H = np.zeros((n * c, n * c), order="F")
    if len(XA):
        F = (A[:, :, None] * XA[:, None, :]).reshape(len(XA), c * n)  # class by class
        H = blas.dsyrk(1.0, F.T, lower=1)
    blocks = H.T.reshape(c, n, c, n)  # the transposed view: its upper triangle, row by row
    for k in range(c):
        blocks[k, :, k, :] += P.T
        for l in range(k, c):
            blocks[k, nonzero, l, nonzero] += B[:, k] * B[:, l]
    solution = lapack.dpotrs(cholesky(H), G.T.reshape(-1), lower=1)[0]
    return solution.reshape(c, n).T


def _solve_features(
    G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray, B: Floats
) -> Floats:
    """H = D + XᵀMX, with D and M block diagonal; the inner system is M⁻¹ + X D⁻¹Xᵀ."""
    k, c = A.shape
    u, V = 1.0 / diagonal, np.zeros_like(G)  # D_i⁻¹ = u_i I - V_i V_iᵀ
    V[nonzero] = B / np.sqrt(diagonal[nonzero] * (diagonal[nonzero] + row_norms(B) ** 2))[:, None]

    def solve_samples(R: Floats) -> Floats:
        return u[:, None] * R - np.einsum("ij,ij->i", V, R)[:, None] * V

    first = solve_samples(G)
    if k == 0:
        return first
    a = np.maximum(a, 1e-15 * row_norms(A) ** 2)
    scaled = A / np.sqrt(a * (a + row_norms(A) ** 2))[:, None]  # M_j⁻¹ = I / a_j - scaled_j scaled_jᵀ
    S = np.empty((c, k, c, k))
    each = np.arange(k)
    for p in range(c):
        for q in range(p + 1):
            weights = (u if p == q else 0.0) - V[:, p] * V[:, q]
            S[p, :, q] = (XA * weights) @ XA.T
            S[p, each, q, each] += (1.0 / a if p == q else 0.0) - scaled[:, p] * scaled[:, q]
    L = cholesky(S.reshape(c * k, c * k))
    inner = lapack.dpotrs(L, (XA @ first).T.reshape(-1), lower=1)[0].reshape(c, k)
    return first - solve_samples(XA.T @ inner.T)


def cholesky(A: Floats) -> Floats:
    """Lower factor; the diagonal is raised until it exists. A stays as it was."""
    ridge = 0.0
    while True:
        M = A.copy(order="F")
        M[np.diag_indices_from(M)] += ridge * np.trace(A) / len(A)
        L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            return L
        if not ridge < 1.0:
            raise np.linalg.LinAlgError("a Newton system has no Cholesky factor")
        ridge = max(1e-15, 10.0 * ridge)
