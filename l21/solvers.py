"""Solvers of the joint ℓ2,1 problem, each stopping on the certified relative duality gap."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import problem
from ._blas import one_blas_thread
from .irls import irls
from .newton import newton
from .problem import Floats, row_norms


@dataclass(frozen=True)
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
        recomputes `gap` from it.
    n_iter : int
        Steps of the solver: n x n factorisations (irls), Newton systems (newton).
    solver : str
    converged : bool
        Whether `gap` <= tol.
    """

    W: Floats
    objective: float
    gap: float
    dual: Floats
    n_iter: int
    solver: str
    converged: bool


def solve(
    X: ArrayLike,
    Y: ArrayLike,
    gamma: float | ArrayLike = 1.0,
    *,
    solver: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    W0: ArrayLike | None = None,
) -> L21Result:
    """Minimise γ‖XW - Y‖_{2,1} + ‖W‖_{2,1} over W, to a certified relative duality gap of `tol`.

    X is used as it is: its scale decides how many rows of W are non-zero, and at γ <= `critical_gamma(X, Y)`
    none is.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        Samples by features; other dtypes become float64.
    Y : array (n, c)
        One-hot classes (`one_hot` makes them from labels), or any targets.
    gamma : float or array (n,), default 1
        Weight of the loss; an array gives each sample its own. Nie et al. put theirs on the other term: it is
        1/γ.
    solver : {"auto", "newton", "irls"}
        "newton", the default, is a semismooth-Newton augmented Lagrangian on the dual, on a working set of
        features. "irls" is the algorithm of Nie et al.: iteratively reweighted least squares, here with one
        n x n Cholesky and one weighted Gram matrix a step. It is slow near the optimum.
    tol : float, default 1e-6
        Relative duality gap to stop at.
    max_iter : int, optional
        Most steps of the solver; default 1000 (newton), 10000 (irls).
    time_limit : float, optional
        Seconds after which to stop, with the best W and Λ so far.
    W0 : array (d, c), optional
        Where to start: the solution of a similar problem, such as the same X at another γ or other samples.

    Returns
    -------
    L21Result

    Raises
    ------
    ValueError
        On NaN or infinity, shapes that don't match, gamma <= 0.
    TypeError
        On arrays that aren't dense and real.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        When stopped by `max_iter` or `time_limit` with a gap above `tol`; the gap is in the message.

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
    if not 0.0 < tol < 1.0:
        raise ValueError(f"tol needs to lie between 0 and 1, got {tol}")
    if max_iter is not None and max_iter < 1:
        raise ValueError(f"max_iter needs to be at least 1, got {max_iter}")
    if W0 is not None:
        W0 = np.asarray(W0, dtype=np.float64)
        if W0.shape != (X.shape[1], Y.shape[1]) or not np.isfinite(W0).all():
            raise ValueError(
                f"W0 has shape {W0.shape}; it needs to be {(X.shape[1], Y.shape[1])}, and finite"
            )
    deadline = np.inf if time_limit is None else time.perf_counter() + time_limit

    algorithm, most = (irls, 10_000) if solver == "irls" else (newton, 1000)
    with one_blas_thread():
        result = _zero_solution(X, Y, radius)
        if result is None:
            W, dual, n_iter = algorithm(X, Y, radius, tol, max_iter or most, deadline, W0)
            upper = problem.primal(X, Y, W, radius)
            gap = problem.gap_of(upper, float(np.vdot(dual, Y)))
            result = L21Result(W, upper, gap, dual, n_iter, algorithm.__name__, gap <= tol)
    if not result.converged:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(
            f"{result.solver} stopped after {result.n_iter} steps at a relative duality gap of "
            f"{result.gap:.1e}, above tol={tol:.1e}; raise max_iter or time_limit",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def _zero_solution(X: Floats, Y: Floats, radius: Floats) -> L21Result | None:
    """W = 0 with its certificate Λ_i = γ Y_i / ‖Y_i‖, if that Λ is feasible: then γ <= γ_crit."""
    dual = radius[:, None] * problem.unit_rows(Y)
    longest = row_norms(problem.correlations(X, dual)).max()
    # γ = critical_gamma(X, Y) lands here too: its reciprocal is rounded, hence the few ulp.
    if longest > 1.0 + 8 * np.finfo(float).eps:
        return None
    dual /= max(1.0, longest)
    primal = float(radius @ row_norms(Y))
    gap = problem.gap_of(primal, float(np.vdot(dual, Y)))
    return L21Result(np.zeros((X.shape[1], Y.shape[1])), primal, gap, dual, 0, "closed form", True)
