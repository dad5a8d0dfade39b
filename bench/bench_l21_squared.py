"""l21: the squared loss beside scikit-learn's, celer's and skglm's solvers, each to the same certified gap.

    pytest bench --benchmark-only -k squared

The problem is that of benchopt's benchmark of the multi-task Lasso (PABannier/benchmark_multi_task_lasso on
GitHub), min_W ½‖Y - XW‖_F² + λ‖W‖_{2,1} on its simulated data: 306 samples, 3000 features whose neighbours
correlate by 0.3, 20 tasks or 1, 30 % of the rows of W non-zero, noise a third of the signal's length.

Ours, scikit-learn's and celer's stop at their own relative duality gap of 1e-6 (theirs is relative to ‖Y‖²
and is set to 1e-6 of the optimum); skglm's stops at a distance to optimality, for which the largest power of
ten is taken that brings W's objective within 1e-6 of the optimum's lower bound. The gaps in the lines below
pytest-benchmark's tables are to that bound, their ratios medians of neighbours in time: ours, theirs, ours,
theirs. One BLAS thread, as `solve_squared` always has.
"""

import warnings
from functools import cache
from time import perf_counter

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

import l21
from l21 import one_blas_thread

TITLE = "l21, squared loss"
GAP = 1e-6
FRACTIONS = [0.5, 0.1, 0.01]  # of the λ from which on W = 0


@cache
def correlated_data(n=306, d=3000, tasks=20, correlation=0.3, density=0.3, snr=3.0, seed=0):
    """X and Y as benchopt's and skglm's `make_correlated_data`: the features are an autoregressive chain."""
    rng = np.random.RandomState(seed)
    X = np.empty((n, d), order="F")
    X[:, 0] = rng.randn(n)
    for j in range(1, d):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * rng.randn(n)
    W = np.zeros((d, tasks))
    support = rng.choice(d, int(density * d), replace=False)
    W[support] = rng.randn(len(support), tasks)
    Y, noise = X @ W, rng.randn(n, tasks)
    return X, Y + noise * np.linalg.norm(Y) / (snr * np.linalg.norm(noise))


def norms(A):
    return np.linalg.norm(A, axis=1)


def objective(X, Y, W, lam):
    return 0.5 * np.sum((Y - X @ W) ** 2) + lam * norms(W).sum()


@cache
def problem(tasks, fraction):
    """X, Y, λ, and a lower bound of the optimum, from a Λ that is feasible in this file's arithmetic."""
    X, Y = correlated_data(tasks=tasks)
    lam = fraction * norms(X.T @ Y).max()
    return X, Y, lam, lower_bound(X, Y, lam)


def lower_bound(X, Y, lam):
    dual = lam * l21.solve_squared(X, Y, 1.0 / lam, tol=1e-9).dual
    dual *= min(1.0, lam / norms(X.T @ dual).max())
    return np.sum(dual * Y) - 0.5 * np.sum(dual**2)


def relative_gap(X, Y, W, lam, lower):
    value = objective(X, Y, W, lam)
    return (value - lower) / value


def ours(X, Y, lam, tol, lower):
    # γ/2 ‖XW - Y‖² + ‖W‖, that is, at γ = 1/λ.
    return l21.solve_squared(X, Y, 1.0 / lam, tol=tol).W


def scikit_learn(X, Y, lam, tol, lower):
    # ‖Y - XW‖² / 2n + alpha ‖W‖.
    tol *= lower / np.sum(Y**2)
    model = MultiTaskLasso(lam / len(X), fit_intercept=False, tol=tol, max_iter=100_000)
    return model.fit(X, Y).coef_.T


def celer(X, Y, lam, tol, lower):
    # The function under celer.MultiTaskLasso, which scikit-learn from 1.7 on has no `_validate_data` for.
    homotopy = pytest.importorskip("celer.homotopy")
    tol *= lower / np.sum(Y**2)
    return homotopy.mtl_path(X, Y, alphas=[lam / len(X)], tol=tol)[1][..., 0].T


def skglm(X, Y, lam, tol, lower):
    solvers = pytest.importorskip("skglm.solvers")
    from skglm.datafits import QuadraticMultiTask
    from skglm.penalties import L2_1

    alpha = lam / len(X)
    solver = solvers.MultiTaskBCD(max_iter=1000, tol=tol * alpha, fit_intercept=False)
    return solver.solve(X, Y, QuadraticMultiTask(), L2_1(alpha))[0]


SOLVERS = {"scikit-learn": scikit_learn, "celer": celer, "skglm": skglm}


def loosest(solver, X, Y, lam, lower):
    """Return what to ask for: GAP of the solvers that stop on it, of skglm the power of ten that gives it."""
    if solver is not skglm:
        return GAP
    for tol in 10.0 ** -np.arange(1, 9):
        if relative_gap(X, Y, solver(X, Y, lam, tol, lower), lam, lower) <= GAP:
            return tol
    pytest.fail("no tolerance of skglm's gives the gap")


def timed(solver, *arguments):
    start = perf_counter()
    W = solver(*arguments)
    return perf_counter() - start, W


@pytest.fixture(autouse=True)
def _one_thread_in_silence():
    with one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("other", SOLVERS)
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("tasks", [20, 1])
def test_squared(benchmark, lines, tasks, fraction, other):
    X, Y, lam, lower = problem(tasks, fraction)
    solver = SOLVERS[other]
    tol = loosest(solver, X, Y, lam, lower)
    benchmark.group = f"{X.shape[0]} x {X.shape[1]}, {tasks} tasks, lambda = {fraction} of the critical"
    ours(X, Y, lam, GAP, lower)
    solver(X, Y, lam, tol, lower)
    pairs = []

    def side_by_side():
        pairs.append((timed(ours, X, Y, lam, GAP, lower), timed(solver, X, Y, lam, tol, lower)))

    benchmark.pedantic(side_by_side, rounds=3 if fraction < 0.05 else 7)
    ratio = float(np.median([mine[0] / theirs[0] for mine, theirs in pairs]))
    gaps = [relative_gap(X, Y, W, lam, lower) for _, W in pairs[-1]]
    best_of_ours, best_of_theirs = (min(seconds for seconds, _ in side) for side in zip(*pairs, strict=True))
    benchmark.extra_info.update(ratio=ratio, gaps=gaps, ours=best_of_ours, theirs=best_of_theirs)
    lines.append(
        f"{benchmark.group}: ours {best_of_ours:.4f} s, gap {gaps[0]:.0e}; {other} "
        f"{best_of_theirs:.4f} s, gap {gaps[1]:.0e}; ratio {ratio:.2f}, "
        f"{np.count_nonzero(norms(pairs[-1][0][1]))} rows"
    )
    assert max(gaps) <= GAP


@pytest.mark.parametrize("other", SOLVERS)
def test_squared_is_the_same_problem_everywhere(other):
    """The factors ½, 1/n and λ: each solver's W is the minimum of one and the same objective."""
    X, Y = correlated_data(60, 200, 4)
    lam = 0.2 * norms(X.T @ Y).max()
    result = l21.solve_squared(X, Y, 1.0 / lam, tol=1e-10)
    np.testing.assert_allclose(result.objective * lam, objective(X, Y, result.W, lam), rtol=1e-12)
    W = SOLVERS[other](X, Y, lam, 1e-8, lower_bound(X, Y, lam))
    np.testing.assert_allclose(objective(X, Y, W, lam), result.objective * lam, rtol=1e-7)
    np.testing.assert_allclose(W, result.W, atol=1e-3 * norms(result.W).max())
