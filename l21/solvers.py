"""Solvers of the joint ℓ2,1 problem, each stopping on the certified relative duality gap."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import problem
from ._blas import one_blas_thread
from .irls import irls
from .newton import newton
from .problem import Floats, Matrix, row_norms

# Multiplications of all steps of IRLS that a problem is worth that Newton's method did not solve.
_IRLS_WORK = 2e10


@dataclass(frozen=True, repr=False)
class L21Result:
    """What `solve` returns.

    Attributes
    ----------
    W : array (d, c), float64
        Row-sparse weights; zero rows are exactly zero.
    objective : float
        γ‖XW - Y‖_{2,1} + ‖W‖_{2,1}, in float64.
    gap : float
        Relative duality gap (objective - ⟨Λ, Y⟩) / objective, in float64: the objective is above the optimum
        by at most this fraction of itself.
    dual : array (n, c), float64
        Λ, feasible, so that ⟨Λ, Y⟩ is a lower bound of the optimum. `relative_gap(X, Y, W, dual, gamma)`
        recomputes `gap` from it, up to the rounding of XW and XᵀΛ.
    n_iter : int
        Steps of the solver: n x n factorisations (irls), Newton systems (newton).
    solver : str
    converged : bool
        Whether `gap` <= tol.
    residuals : array (n,), float64
        ‖(XW - Y)_i‖ for each sample: zero up to rounding for the samples that W fits, largest for outliers.
        NaN for samples of weight 0.
    """

    W: Floats
    objective: float
    gap: float
    dual: Floats
    n_iter: int
    solver: str
    converged: bool
    residuals: Floats

    def __repr__(self) -> str:
        """Say the certificate and not the arrays."""
        d, c = self.W.shape
        return (
            f"L21Result(W {d} x {c} with {np.count_nonzero(self.W.any(axis=1))} rows that are not zero, "
            f"objective {self.objective:.6g}, gap {self.gap:.1e}, {self.solver}, {self.n_iter} steps"
            f"{'' if self.converged else ', not converged'})"
        )


def solve(
    X: Matrix,
    Y: ArrayLike,
    gamma: float | ArrayLike = 1.0,
    *,
    solver: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    W0: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> L21Result:
    """Minimise γ‖XW - Y‖_{2,1} + ‖W‖_{2,1} over W, to a certified relative duality gap of `tol`.

    X is used as it is: its scale decides how many rows of W are non-zero, and at γ <= `critical_gamma(X, Y)`
    none is.

    Parameters
    ----------
    X : array or sparse matrix (n, d), float32 or float64
        Samples by features; other dtypes become float64. A float32 X is never copied whole to float64, nor a
        sparse one made dense: only the columns that the solver works on are.
    Y : array (n, c)
        One-hot classes (`one_hot` makes them from labels), or any targets.
    gamma : float or array (n,), default 1
        Weight of the loss; an array gives each sample its own. Nie et al. put theirs on the other term: it is
        1/γ.
    solver : {"auto", "newton", "irls"}
        "newton" is a semismooth-Newton augmented Lagrangian on the dual, on a working set of features; "auto"
        goes on with "irls" where that ends above `tol` on a small problem and max_iter isn't given. "irls" is
        the algorithm of Nie et al.: iteratively reweighted least squares, here with one n x n Cholesky and
        one weighted Gram matrix a step. It is slow near the optimum.
    tol : float, default 1e-6
        Relative duality gap to stop at.
    max_iter : int, optional
        Most steps of the solver; default 1000 (newton), 10000 (irls).
    time_limit : float, optional
        Seconds after which to stop, with the best W and Λ so far; looked at between steps.
    W0 : array (d, c), optional
        Where to start: the solution of a similar problem, such as the same X at a smaller γ (`path` does
        that). From one training fold to the next it gains little: standardised anew, they have too few rows
        in common. The gap is certified whatever W0 is; one whose objective is above that of W = 0 is not
        used.
    sample_weight : array (n,), optional
        s_i >= 0, for Σ_i γ s_i ‖(XW - Y)_i‖ + ‖W‖_{2,1}: s_i = 2 is the sample twice. Weight 0 leaves it out:
        its row of the dual is 0, its residual NaN.

    Returns
    -------
    L21Result
        Its objective is never above that of W = 0, and its gap is recomputed from W and Λ.

    Raises
    ------
    ValueError
        On NaN, infinity or masked entries, shapes that don't match, gamma <= 0, negative weights or all 0.
        Where the largest entry of X or Y is not between 1e-60 and 1e60, or gamma, a weight above 0 or their
        product not between 1e-120 and 1e120.
    TypeError
        On arrays that aren't real.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        When stopped with a gap above `tol`, by `max_iter`, `time_limit` or rounding; the gap is in the
        message.

    References
    ----------
    F. Nie, H. Huang, X. Cai, C. Ding: Efficient and robust feature selection via joint ℓ2,1-norms
    minimization, NIPS 2010.

    Examples
    --------
    >>> import numpy as np, l21
    >>> X = np.random.default_rng(0).standard_normal((20, 50))
    >>> Y, classes = l21.one_hot(X[:, 3] > 0)
    >>> result = l21.solve(X, Y, gamma=2 * l21.critical_gamma(X, Y))
    >>> result.gap <= 1e-6
    True
    >>> np.flatnonzero(result.W.any(axis=1))  # the features that are used
    array([ 3, ...])
    """
    X, Y, radius = problem.check_problem(X, Y, gamma)
    if solver not in ("auto", "newton", "irls"):
        raise ValueError(f"solver needs to be 'auto', 'newton' or 'irls', got {solver!r}")
    X, Y, radius, kept = problem.leave_out(X, Y, radius, sample_weight)
    W0 = problem.check_options(tol, max_iter, W0, (X.shape[1], Y.shape[1]))
    if time_limit is not None and not time_limit >= 0.0:
        raise ValueError(f"time_limit needs to be a number of seconds, at least 0, got {time_limit}")
    limited = False
    deadline = np.inf if time_limit is None else time.perf_counter() + time_limit

    # What overflows on the way is not taken: each solver compares its objectives, and NaN compares as False.
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result, nearness = _zero_solution(X, Y, radius, tol)
        algorithm: Callable[..., tuple[Floats, Floats, int]]
        if solver == "irls":
            algorithm, name, most = irls, "irls", 10_000
        else:
            algorithm, name, most = functools.partial(newton, nearness=nearness), "newton", 1000
        # γ = critical_gamma(X, Y) has W = 0 too: its reciprocal is rounded, hence the few ulp.
        if nearness.max() > 1.0 + 8 * np.finfo(float).eps:
            if W0 is not None and not problem.primal(X, Y, W0, radius) <= result.objective:
                W0 = None
            most = max_iter or most
            W, dual, n_iter = _run_near_one(algorithm, X, Y, radius, tol, most, deadline, W0)
            residuals, upper, gap = _certified(X, Y, W, dual, radius)
            if W0 is not None and gap > tol and n_iter < most and time.perf_counter() < deadline:
                # From a W0 of another order of magnitude the solver may not get away: once more without.
                W, dual, more = _run_near_one(algorithm, X, Y, radius, tol, most - n_iter, deadline, None)
                n_iter += more
                residuals, upper, gap = _certified(X, Y, W, dual, radius)
            if solver == "auto" and max_iter is None and gap > tol:
                W, dual, more, name = _go_on_with_irls(X, Y, radius, tol, deadline, W, dual)
                n_iter += more
                residuals, upper, gap = _certified(X, Y, W, dual, radius)
            limited = n_iter >= most or time.perf_counter() >= deadline
            if not upper <= result.objective:
                W, upper, residuals = result.W, result.objective, row_norms(Y)
            if not np.vdot(dual, Y) >= np.vdot(result.dual, Y):
                dual = result.dual
            gap = problem.gap_of(upper, float(np.vdot(dual, Y)))
            result = L21Result(W, upper, gap, dual, n_iter, name, gap <= tol, residuals)
    if not result.converged:
        warnings.warn(
            f"{result.solver} stopped after {result.n_iter} steps at a relative duality gap of "
            f"{result.gap:.1e}, above tol={tol:.1e}; "
            f"{'raise max_iter or time_limit' if limited else 'rounding hides what would be better'}",
            convergence_warning(),
            stacklevel=2,
        )
    return put_back(result, kept)


def path(
    X: Matrix, Y: ArrayLike, gammas: ArrayLike, *, progress: bool | None = None, **options: Any
) -> list[L21Result]:
    """Solve min_W γ‖XW - Y‖_{2,1} + ‖W‖_{2,1} at each γ of `gammas`, with warm starts.

    From the smallest γ to the largest, each starting from the solution before: W grows from nothing to the
    features that the largest γ needs.

    Parameters
    ----------
    X : array or sparse matrix (n, d)
    Y : array (n, c)
    gammas : array (m,)
        Numbers > 0 in any order. A grid that means the same at any scale of X is
        ``l21.critical_gamma(X, Y) * np.geomspace(1, 100, 20)``.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.
    **options
        Of `solve`: solver, tol, max_iter, time_limit (the last two for each γ), W0 for the smallest γ,
        sample_weight.

    Returns
    -------
    list of L21Result
        In the order of `gammas`. Those that stopped early have converged=False.

    Raises
    ------
    ValueError, TypeError
        As `solve`, before anything is solved.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        From each γ that stopped early, naming it.

    Examples
    --------
    >>> import numpy as np, l21
    >>> X = np.random.default_rng(0).standard_normal((20, 50))
    >>> Y, _ = l21.one_hot(X[:, 3] > 0)
    >>> gammas = l21.critical_gamma(X, Y) * np.array([1.0, 2.0, 4.0])
    >>> results = l21.path(X, Y, gammas)
    >>> [int(np.count_nonzero(result.W.any(axis=1))) for result in results]  # features that are used
    [0, 3, 18]
    """
    gammas = problem.real_array("gammas", gammas).astype(np.float64)
    if gammas.ndim != 1:
        raise ValueError(f"gammas has shape {gammas.shape}; it needs to be (m,), one number for each problem")
    for i, gamma in enumerate(gammas):
        if not 0.0 < gamma < np.inf:
            raise ValueError(f"gammas needs to be positive and finite, got {gamma} at position {i}")
        problem.check_gamma(gamma, 1, f"gamma {i} of gammas")
    problem.check_problem(X, Y, 1.0)

    from tqdm.auto import tqdm

    results: dict[int, L21Result] = {}
    W0 = options.pop("W0", None)
    for i in tqdm(
        np.argsort(gammas, kind="stable").tolist(),
        desc="gamma",
        delay=2,
        disable=None if progress is None else not progress,
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results[i] = solve(X, Y, gammas[i], W0=W0, **options)
        for warning in caught:
            warnings.warn(f"gamma={gammas[i]:.6g}: {warning.message}", warning.category, stacklevel=2)
        W0 = results[i].W
    return [results[i] for i in range(len(gammas))]


def convergence_warning() -> type[Warning]:
    """scikit-learn's, or what that is derived from where scikit-learn is not installed."""
    try:
        from sklearn.exceptions import ConvergenceWarning
    except ModuleNotFoundError:
        return UserWarning
    return ConvergenceWarning


def _certified(X: Matrix, Y: Floats, W: Floats, dual: Floats, radius: Floats) -> tuple[Floats, float, float]:
    """Lengths of the residuals, the objective, and the relative duality gap."""
    residuals = row_norms(problem.residual(X, Y, W))
    upper = float(radius @ residuals + row_norms(W).sum())
    return residuals, upper, problem.gap_of(upper, float(np.vdot(dual, Y)))


def _go_on_with_irls(
    X: Matrix, Y: Floats, radius: Floats, tol: float, deadline: float, W: Floats, dual: Floats
) -> tuple[Floats, Floats, int, str]:
    """W and Λ, the better ones of Newton's and IRLS's; the steps that took, and whose W it is.

    On a few small problems Newton's method crawls along the spheres ‖Λ_i‖ = γ: 2 of 600 that were badly
    scaled at random ended at gaps of 7e-6 and 1e-2 after 1000 steps, and IRLS solves both in 500.
    """
    steps = int(min(1000.0, _IRLS_WORK / (len(Y) ** 2 * X.shape[1])))
    if steps < 50 or time.perf_counter() >= deadline:
        return W, dual, 0, "newton"
    other_W, other_dual, n_iter = _run_near_one(irls, X, Y, radius, tol, steps, deadline, None)
    better = problem.primal(X, Y, other_W, radius) < problem.primal(X, Y, W, radius)
    dual = other_dual if np.vdot(other_dual, Y) > np.vdot(dual, Y) else dual
    return (other_W, dual, n_iter, "irls") if better else (W, dual, n_iter, "newton")


def put_back(result: L21Result, kept: NDArray[np.bool_] | None) -> L21Result:
    """Give the samples that were left out a row of Λ, 0, and a residual, NaN."""
    if kept is None:
        return result
    dual, residuals = np.zeros((len(kept), result.dual.shape[1])), np.full(len(kept), np.nan)
    dual[kept], residuals[kept] = result.dual, result.residuals
    return replace(result, dual=dual, residuals=residuals)


def _run_near_one(
    algorithm: Callable[..., tuple[Floats, Floats, int]],
    X: Matrix,
    Y: Floats,
    radius: Floats,
    tol: float,
    max_iter: int,
    deadline: float,
    W0: Floats | None,
) -> tuple[Floats, Floats, int]:
    """W, feasible Λ and steps, of X and Y brought near 1 by powers of two, as the solvers start from 1."""
    x, y = problem.exponent(X), problem.exponent(Y)
    if x:
        X = X.astype(np.float64) * 2.0**-x
    Y, radius = Y * 2.0**-y, radius * 2.0**x
    W0 = None if W0 is None else W0 * 2.0 ** (x - y)
    try:
        W, dual, n_iter = algorithm(X, Y, radius, tol, max_iter, deadline, W0)
    except np.linalg.LinAlgError:  # in the first steps
        return np.zeros((X.shape[1], Y.shape[1])), np.zeros_like(Y), 0
    return W * 2.0 ** (y - x), dual * 2.0**-x, n_iter


def _zero_solution(X: Matrix, Y: Floats, radius: Floats, tol: float) -> tuple[L21Result, Floats]:
    """W = 0 with Λ_i = γ Y_i / ‖Y_i‖, and ‖(XᵀΛ)_j‖: at most 1 where W = 0 is the optimum, γ <= γ_crit."""
    dual, nearness = problem.scale_into_dual_set(X, radius[:, None] * problem.unit_rows(Y), radius)
    residuals = row_norms(Y)
    primal = float(radius @ residuals)
    gap = problem.gap_of(primal, float(np.vdot(dual, Y)))
    W: Floats = np.zeros((X.shape[1], Y.shape[1]))
    return L21Result(W, primal, gap, dual, 0, "closed form", gap <= tol, residuals), nearness
