"""The ℓ2,1 penalty with other losses: squared and logistic.

scikit-feature has both, as `ls_l21` and `ll_l21`. Here as there a feature's row of W is zero for all targets
or for none; γ stands on the loss, as in `solve`. A sample counts by the square of its distance, or by its
log-odds, and not by its distance as in Eq. (4): compare `residuals` of the three.

Both are solved by Newton steps on a working set of features, each by coordinate descent on the rows of W or,
where that would take longer, by a semismooth Newton method on the dual. The squared loss is the problem of
scikit-learn's, celer's and skglm's MultiTaskLasso: `bench/bench_l21_squared.py` has them side by side. For
the logistic loss we found no such library for several columns of Y.
Everything but X is in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit, xlogy

from . import problem
from ._blas import one_blas_thread
from .problem import Floats, Matrix, check_problem, correlations, row_norms
from .solvers import L21Result, convergence_warning, put_back

# Steps that may pass without a hundredth of the gap or of the objective gained.
_PATIENCE = 25


def solve_squared(
    X: Matrix,
    Y: ArrayLike,
    gamma: float | ArrayLike = 1.0,
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    W0: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> L21Result:
    """Minimise (γ/2)‖XW - Y‖_F² + ‖W‖_{2,1} over W, to a certified relative duality gap of `tol`.

    The dual is max ⟨Λ, Y⟩ - Σ ‖Λ_i‖² / 2γ_i subject to ‖(XᵀΛ)_j‖ <= 1, and W = 0 is optimal where
    γ max_j ‖(XᵀY)_j‖ <= 1. It is scikit-learn's MultiTaskLasso without intercept at alpha = 1/(nγ), and
    scikit-feature's `ls_l21` at z = 2/γ.

    Parameters
    ----------
    X : array or sparse matrix (n, d)
        Samples by features.
    Y : array (n, c)
        One-hot classes, or any targets.
    gamma : float or array (n,), default 1
        Weight of the loss; an array gives each sample its own.
    tol : float, default 1e-6
        Relative duality gap to stop at.
    max_iter : int, optional
        Most Newton steps; default 200.
    W0 : array (d, c), optional
        Where to start; one whose objective is above that of W = 0 is not used.
    sample_weight : array (n,), optional
        v_i >= 0, for Σ_i γ v_i ‖(XW - Y)_i‖² / 2 + ‖W‖_{2,1}: v_i = 2 is the sample twice. Weight 0 leaves it
        out: its row of the dual is 0, its residual NaN.

    Returns
    -------
    L21Result
        Its objective is never above that of W = 0; `dual` is feasible for the dual above.

    Raises
    ------
    ValueError
        On NaN, infinity or masked entries, shapes that don't match, gamma <= 0, negative weights or all 0.
        Where the largest entry of X or Y is not between 1e-60 and 1e60, or gamma, a weight above 0 or their
        product not between 1e-120 and 1e120.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        When stopped by `max_iter`, or where rounding leaves no better step, with the gap in the message.

    Examples
    --------
    >>> import numpy as np, l21
    >>> X = np.random.default_rng(0).standard_normal((20, 50))
    >>> Y, classes = l21.one_hot(X[:, 3] > 0)
    >>> result = l21.solve_squared(X, Y, gamma=0.1)
    >>> result.gap <= 1e-6
    True
    >>> int(np.argmax(np.linalg.norm(result.W, axis=1)))
    3
    """
    X, Y, radius = check_problem(X, Y, gamma)
    X, Y, radius, kept = problem.leave_out(X, Y, radius, sample_weight)
    return put_back(_solve(_squared, X, Y, radius, problem.exponent(Y), tol, max_iter, W0), kept)


def solve_logistic(
    X: Matrix,
    Y: ArrayLike,
    gamma: float | ArrayLike = 1.0,
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    W0: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> L21Result:
    """Minimise γ Σ_ik log(1 + exp(-s_ik (XW)_ik)) + ‖W‖_{2,1}, s = 2Y - 1, to a certified gap of `tol`.

    Every column of Y is a question of its own, yes or no, as in scikit-feature's `ll_l21` (which adds an
    intercept); Y is one-hot for classes, and may be multilabel. With t = s Λ / γ, the dual is
    max γ Σ_ik -t log t - (1 - t) log(1 - t) subject to 0 <= t <= 1 and ‖(XᵀΛ)_j‖ <= 1, and W = 0 is optimal
    where γ max_j ‖(Xᵀ(Y - ½))_j‖ <= 1.

    A step is a Newton step on a working set of features: coordinate descent on the rows of W minimises the
    quadratic model of the loss plus the penalty, and the step is halved until the objective falls enough.

    Parameters
    ----------
    X : array or sparse matrix (n, d)
        Samples by features.
    Y : array (n, c) of 0 and 1
    gamma : float or array (n,), default 1
        Weight of the loss; an array gives each sample its own.
    tol : float, default 1e-6
        Relative duality gap to stop at.
    max_iter : int, optional
        Most Newton steps; default 200.
    W0 : array (d, c), optional
        Where to start; one whose objective is above that of W = 0 is not used.
    sample_weight : array (n,), optional
        v_i >= 0, for γ Σ_ik v_i log(1 + exp(-s_ik (XW)_ik)) + ‖W‖_{2,1}: v_i = 2 is the sample twice. Weight
        0 leaves it out: its row of the dual is 0, its residual NaN.

    Returns
    -------
    L21Result
        Its objective is never above that of W = 0; `dual` is feasible for the dual above; `residuals` are of
        the probabilities, ‖Y_i - P_i‖.

    Raises
    ------
    ValueError
        On Y other than 0 and 1, NaN, infinity or masked entries, shapes that don't match, gamma <= 0,
        negative weights or all 0. Where the largest entry of X is not between 1e-60 and 1e60, or gamma, a
        weight above 0 or their product not between 1e-120 and 1e120.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        When stopped by `max_iter`, or where rounding leaves no better step, with the gap in the message.

    Examples
    --------
    >>> import numpy as np, l21
    >>> X = np.random.default_rng(0).standard_normal((20, 50))
    >>> Y, classes = l21.one_hot(X[:, 3] > 0)
    >>> result = l21.solve_logistic(X, Y, gamma=0.5)
    >>> result.gap <= 1e-6
    True
    >>> int(np.argmax(np.linalg.norm(result.W, axis=1)))
    3
    """
    X, Y, radius = check_problem(X, Y, gamma)
    if not np.isin(Y, (0.0, 1.0)).all():
        raise ValueError("Y needs to be 0 and 1 for the logistic loss: one-hot classes, or labels")
    X, Y, radius, kept = problem.leave_out(X, Y, radius, sample_weight)
    return put_back(_solve(_logistic, X, Y, radius, 0, tol, max_iter, W0), kept)


class _Loss(NamedTuple):
    """Loss as a function of Z = XW, minus its derivative, its second derivative; the dual objective of Λ.

    The second derivative is (n, c) or, equal for all targets, (n, 1). It is at least `damping` times what
    makes the quadratic model an upper bound of the loss. `clip` brings any Λ to where the dual objective is
    finite.
    """

    value: Callable[[Floats], float]
    slope: Callable[[Floats], Floats]
    curvature: Callable[[Floats, float], Floats]
    dual: Callable[[Floats], float]
    clip: Callable[[Floats], Floats]


def _squared(Y: Floats, radius: Floats) -> _Loss:
    weights, roots = radius[:, None], np.sqrt(radius)[:, None]
    return _Loss(
        value=lambda Z: float(0.5 * ((roots * (Y - Z)) ** 2).sum()),
        slope=lambda Z: weights * (Y - Z),
        curvature=lambda Z, damping: weights,
        dual=lambda dual: float(np.vdot(dual, Y) - 0.5 * ((dual / roots) ** 2).sum()),
        clip=lambda dual: dual,
    )


def _logistic(Y: Floats, radius: Floats) -> _Loss:
    weights, signs = radius[:, None], 2.0 * Y - 1.0

    def dual_value(dual: Floats) -> float:
        t = np.clip(signs * dual / weights, 0.0, 1.0)
        return float(-(weights * (xlogy(t, t) + xlogy(1.0 - t, 1.0 - t))).sum())

    def curvature(Z: Floats, damping: float) -> Floats:
        # The bound is Jaakkola & Jordan's (2000).
        size = np.maximum(np.abs(Z), 1e-3)
        return weights * np.maximum(expit(Z) * expit(-Z), damping * np.tanh(0.5 * size) / (2.0 * size))

    return _Loss(
        value=lambda Z: float((weights * np.logaddexp(0.0, -signs * Z)).sum()),
        slope=lambda Z: weights * (Y - expit(Z)),
        curvature=curvature,
        dual=dual_value,
        clip=lambda dual: signs * np.clip(signs * dual, 0.0, weights),
    )


def _solve(
    loss_of: Callable[[Floats, Floats], _Loss],
    X: Matrix,
    Y: Floats,
    radius: Floats,
    y: int,
    tol: float,
    max_iter: int | None,
    W0: ArrayLike | None,
) -> L21Result:
    """Solve with X and, by 2^-y, Y brought near 1 by powers of two; certify the result as it was given."""
    W0 = problem.check_options(tol, max_iter, W0, (X.shape[1], Y.shape[1]))
    x, loss = problem.exponent(X), loss_of(Y, radius)
    with one_blas_thread(), np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        A = X.astype(np.float64) * 2.0**-x if x else X
        B, near_radius = Y * 2.0**-y, radius * 2.0 ** (x + y)
        W0 = None if W0 is None else W0 * 2.0 ** (x - y)
        W, dual, n_iter, stuck = _newton(A, B, loss_of(B, near_radius), tol, max_iter or 200, W0)
        W, dual = W * 2.0 ** (y - x), dual * 2.0**-x
        Z = -problem.residual(X, np.zeros_like(Y), W)
        upper = float(loss.value(Z) + row_norms(W).sum())
        if not upper <= loss.value(np.zeros_like(Y)):
            W, Z, upper = np.zeros_like(W), np.zeros_like(Y), loss.value(np.zeros_like(Y))
        gap = problem.gap_of(upper, loss.dual(dual))
        residuals = row_norms(loss.slope(Z)) / radius
    if gap > tol:
        warnings.warn(
            f"newton stopped after {n_iter} steps at a relative duality gap of {gap:.1e}, above "
            f"tol={tol:.1e}; {'rounding hides any better step' if stuck else 'raise max_iter'}",
            convergence_warning(),
            stacklevel=3,
        )
    return L21Result(W, upper, gap, dual, n_iter, "newton", gap <= tol, residuals)


def _newton(
    X: Matrix, Y: Floats, loss: _Loss, tol: float, max_iter: int, W0: Floats | None
) -> tuple[Floats, Floats, int, bool]:
    """W, Λ, the number of steps, and whether rounding ended them."""
    W, Z = np.zeros((X.shape[1], Y.shape[1])), np.zeros_like(Y)
    upper, lower = loss.value(Z), -np.inf
    if W0 is not None:
        Z0 = -problem.residual(X, np.zeros_like(Y), W0)
        value = float(loss.value(Z0) + row_norms(W0).sum())
        if value < upper:  # neither infinite nor NaN
            W, Z, upper = W0.copy(), Z0, value

    columns, best_dual, accuracy, damping, n_iter = _Columns(X), np.zeros_like(Y), 0.1, 0.0, 0
    duals: list[Floats] = [loss.slope(Z)]
    improved, gap, past = True, np.inf, []
    while True:
        for k, dual in enumerate(duals):
            pull = row_norms(correlations(X, dual))
            feasible = dual / max(1.0, float(pull.max()))
            bound = loss.dual(feasible)
            if k == 0 or bound > lower:
                nearness = pull
            if bound > lower:
                lower, best_dual, improved = bound, feasible, True
        last_gap, gap = gap, problem.gap_of(upper, lower)
        past.append((gap, upper))
        before = past[max(0, n_iter - _PATIENCE)]
        stands = n_iter >= _PATIENCE and gap > 0.99 * before[0] and upper > 0.99 * before[1]
        if gap <= tol or n_iter >= max_iter or stands or (not improved and accuracy < 1e-4):
            return W, best_dual, n_iter, gap > tol and n_iter < max_iter
        # Where the gap is Λ's, a model solved to a part of it moves W no more.
        accuracy = 0.1 if gap <= 0.5 * last_gap else max(0.1 * accuracy, 1e-5)

        # The rows of W that are not zero, and as many again of those that want to enter.
        used = row_norms(W) > 0.0
        size = max(2 * int(used.sum()), min(1000, max(100, 3 * len(Y))))
        wanted = np.argsort(-np.where(used, np.inf, nearness), kind="stable")[:size]
        rows = np.sort(wanted[used[wanted] | (nearness[wanted] > 1.0)])
        W[rows], Z, value, other_dual, length = _step(
            columns.take(rows), loss, W[rows], Z, upper, accuracy * gap * upper, damping
        )
        improved, upper, n_iter = value < upper, value, n_iter + 1
        damping = 0.1 * damping if length == 1.0 else min(1.0, max(1e-3, 10.0 * damping))
        duals = [loss.slope(Z)] if other_dual is None else [loss.slope(Z), other_dual]


def _step(
    XT: Floats, loss: _Loss, W: Floats, Z: Floats, upper: float, enough: float, damping: float
) -> tuple[Floats, Floats, float, Floats | None, float]:
    """W, Z, objective after a Newton step, the model's Λ where that isn't its slope, the step's length.

    The model is the loss to second order at Z = XW, plus the penalty; it is minimised to a gap of `enough`,
    and the step halved until the objective, `upper` before, falls enough.
    """
    from ._least_squares import minimise  # Numba, which nothing else here needs

    slope, H = loss.slope(Z), loss.curvature(Z, damping)
    H = np.maximum(H, max(1e-12 * float(H.max()), np.finfo(float).tiny))
    after, dual = minimise(XT, H, Z + slope / H, W, enough)
    step = after - W
    predicted = row_norms(after).sum() - row_norms(W).sum() - float(np.vdot(slope, XT.T @ step))
    dual = None if dual is None else loss.clip(dual)
    length = 1.0
    while length > 1e-8:
        W_next = after if length == 1.0 else W + length * step
        Z_next = XT.T @ W_next
        value = float(loss.value(Z_next) + row_norms(W_next).sum())
        # Near the optimum the objective differs by its rounding only, where Λ still has digits to gain.
        rounding = 1e-15 * upper if length == 1.0 else 0.0
        if value <= upper + 0.1 * length * min(0.0, predicted) + rounding:  # not NaN
            return W_next, Z_next, value, dual, length
        length *= 0.5
    return W, Z, upper, dual, 0.0  # no step that float64 can tell from the rounding


class _Columns:
    """Columns of X as rows, in float64; those of the last call are not taken from X again."""

    def __init__(self, X: Matrix) -> None:
        self.X = X.tocsc() if issparse(X) else X
        self.rows, self.XT = np.zeros(0, dtype=np.intp), np.zeros((0, X.shape[0]))

    def take(self, rows: NDArray[Any]) -> Floats:
        known = np.isin(rows, self.rows, assume_unique=True)
        XT = np.empty((len(rows), self.X.shape[0]))
        XT[known] = self.XT[np.searchsorted(self.rows, rows[known])]
        new = self.X[:, rows[~known]]
        XT[~known] = (new.toarray() if issparse(new) else new).T
        self.rows, self.XT = rows, XT
        return XT
