"""Semismooth-Newton augmented Lagrangian on the dual of the joint ℓ2,1 problem.

The dual, max ⟨Λ, Y⟩ with ‖Λ_i‖ <= γ_i and ‖(XᵀΛ)_j‖ <= 1, has the multipliers E (n, c) for its first
constraint and W (d, c) for its second; at the optimum they are the residual and the weights. With S_t the
block soft-thresholding of rows, V -> max(0, 1 - t / ‖V_i‖) V_i, one outer iteration minimises over Λ

    φ(Λ) = -⟨Λ, Y⟩ + ‖S_σ(W + σXᵀΛ)‖² / 2σ + ‖S_τγ(E + τΛ)‖² / 2τ + ρ‖Λ - Λ₀‖² / 2

by Newton's method, then sets W, E to the thresholded arguments, which solves XW + E = Y, and lets σ and τ
grow. A row that the threshold takes to zero is exactly zero and drops out of the Newton system. The last
term, ρ falling, keeps that system positive definite where too few rows are left (proximal method of
multipliers, Rockafellar 1976; the Newton part follows Li, Sun & Toh 2018 for the lasso).

Folds of leave one subject out share less than it seems: of 246 x 16384 standardised features at γ = 1, the
solutions of two folds have 413 of some 670 rows in common, and the pair W, Λ of one has a gap of 0.23 in
the other, where three steps from a cold start lead. Their Gram matrices differ by each feature's scale. So
nothing goes from fold to fold, and what a fold gives can't depend on which ones were solved before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from . import problem
from ._line_search import find_length
from .irls import irls_step, irls_step_by_features
from .newton_systems import NewtonSteps, times, transposed_times
from .problem import Floats, Matrix, row_norms


def newton(
    X: Matrix,
    Y: Floats,
    radius: Floats,
    tol: float,
    max_iter: int,
    deadline: float,
    W0: Floats | None,
    *,
    nearness: Floats,
) -> tuple[Floats, Floats, int]:
    """W, feasible Λ and the number of Newton systems solved.

    nearness (d,) is ‖(XᵀΛ)_j‖ at Λ_i = γ_i Y_i / ‖Y_i‖.
    """
    n, d = X.shape
    if issparse(X):
        X = X.tocsc()  # columns are taken from it
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
    best_W: Floats = np.zeros((0, Y.shape[1]))
    best_rows = rows[:0]
    gap = float(radius @ row_norms(E) + row_norms(W).sum()) - lower
    # Just above the critical γ a W within the gap may be worse than W = 0: a few rounds more are for that.
    primal_of_zero, rounds_left = float(radius @ row_norms(Y)), 6
    n_iter, outer, stop, settled, early = 0, 0, False, False, True
    rows, XT, W, _ = _working_set(X, rows, XT, W, nearness)
    while True:
        outer += 1  # bounded too: where rounding hides the gap, a round may end without a Newton step
        phi = _Phi(Y, radius, W, E, dual, sigma, tau, rho)
        Z = times(XT, dual)
        steps, newton_step = 0, NewtonSteps()
        while True:
            V, U = W + sigma * Z, E + tau * dual
            v, u = row_norms(V), row_norms(U)
            active, nonzero = np.flatnonzero(v > sigma), np.flatnonzero(u > tau * radius)
            s, t = sigma / v[active], tau * radius[nonzero] / u[nonzero]
            XA, W_next, E_next = XT.take(active, axis=0), (1.0 - s)[:, None] * V[active], np.zeros_like(E)
            E_next[nonzero] = (1.0 - t)[:, None] * U[nonzero]
            XW = transposed_times(XA, W_next)
            gradient = XW + E_next - Y + rho * (dual - phi.anchor)
            # Σ γ_i ‖gradient_i‖ is what it can do to the primal objective, so it is weighed against the gap.
            weight = float(radius @ row_norms(gradient))
            primal = float(radius @ row_norms(Y - XW) + row_norms(W_next).sum())
            # The gap on the working set, which costs no pass over X: where it will do, the round is over.
            longest = max(row_norms(Z).max(initial=1.0), (row_norms(dual) / radius).max())
            gap_inside = min(primal, upper) - float(np.vdot(dual, Y)) / longest
            stop = n_iter >= max_iter or outer > max_iter or time.perf_counter() > deadline
            stop = stop or not np.isfinite(weight)
            if stop or steps == 20 or weight <= max(0.2 * gap, 1e-12 * lower):
                break
            if steps and early and gap_inside <= 0.5 * tol * min(primal, upper):
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
            Z_step = times(XT, step)
            length = phi.line_search(dual, Z, step, Z_step, float(np.vdot(gradient, step)))
            dual = dual + length * step
            Z = Z + length * Z_step
            n_iter, steps = n_iter + 1, steps + 1

        E, W = E_next, np.zeros_like(W)
        W[active] = W_next
        if primal < upper:
            upper, best_W, best_rows = primal, W_next, rows[active]
        if settled and not stop and gap_inside > 0.9 * tol * upper:
            gap = gap_inside
        else:
            feasible, nearness = problem.scale_into_dual_set(X, dual, radius)
            if np.vdot(feasible, Y) > lower:
                lower, best_dual = float(np.vdot(feasible, Y)), feasible
            gap = upper - lower
            # Where a round that was over early did not do, Λ needs to be better than its gap says.
            early = early and not (gap_inside <= 0.5 * tol * upper < gap)
            if gap <= 0.9 * tol * upper:
                rounds_left -= 1
                stop = stop or upper <= primal_of_zero or rounds_left == 0
            if stop:
                break
            # Near the end, once a pass over X found no feature to add, only the last round has one. Earlier,
            # to find a single feature late took 20 steps more.
            rows, XT, W, none_added = _working_set(X, rows, XT, W, nearness)
            settled = none_added and gap <= 1e-3 * upper
        # An inner problem that took many steps was too stiff: Λ follows the spheres ‖Λ_i‖ = γ in small steps.
        growth = 3.0 if steps <= 6 else 1.5 if steps <= 12 else 0.5
        if tau < tau_last:
            sigma, tau, rho = growth * sigma, growth * tau, rho / growth

    W = np.zeros((d, Y.shape[1]))
    W[best_rows] = best_W
    return W, best_dual, n_iter


def _start(
    X: Matrix, Y: Floats, radius: Floats, nearness: Floats, W0: Floats | None
) -> tuple[NDArray[Any], Floats, Floats, Floats, Floats]:
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


def _columns(X: Matrix, rows: NDArray[Any]) -> Floats:
    if issparse(X):
        return X[:, rows].T.toarray().astype(np.float64, order="C", copy=False)
    return np.ascontiguousarray(X[:, rows].T, dtype=np.float64)


def _working_set(
    X: Matrix, rows: NDArray[Any], XT: Floats, W: Floats, nearness: Floats
) -> tuple[NDArray[Any], Floats, Floats, bool]:
    """Working set with the features outside it that violate ‖(XᵀΛ)_j‖ <= 1 the most; at most doubled.

    Those with W_j = 0 that are far from entering leave it where they are many. Returns its indices, columns
    and W, and whether there was nothing to add.
    """
    outside = nearness.copy()
    outside[rows] = 0.0
    violated = np.flatnonzero(outside > 1.0)
    if len(violated) > len(rows):
        violated = violated[np.argsort(-outside[violated], kind="stable")[: len(rows)]]
    needed = np.flatnonzero((nearness[rows] > 0.9) | W.any(axis=1))
    if 4 * len(needed) < 3 * len(rows):
        rows, XT, W = rows[needed], XT[needed], W[needed]
    if len(violated) == 0:
        return rows, XT, W, True
    return (
        np.concatenate([rows, violated]),
        np.concatenate([XT, _columns(X, violated)]),
        np.concatenate([W, np.zeros((len(violated), W.shape[1]))]),
        False,
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
        """Find the length of the step; `start` is the slope at its beginning."""
        return find_length(
            lambda length: self.slope(dual + length * step, Z + length * Z_step, step, Z_step), start
        )
