"""l21.path, warm starts, sparse X, large problems, and targets that aren't one-hot."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import l21
from l21.irls import irls_step, irls_step_by_features
from l21.newton_systems import (
    NewtonSteps,
    conjugate_gradients,
    preconditioner,
    solve_hessian,
    times,
    transposed_times,
)

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def row_norms(A):
    return np.linalg.norm(A, axis=1)


def certificate(X, Y, result, gamma):
    """Relative gap from W, Λ, X and Y alone."""
    assert np.isfinite(result.W).all()
    assert (row_norms(result.dual) <= gamma * (1 + 1e-12)).all()
    assert row_norms(X.T @ result.dual).max() <= 1 + 1e-9
    primal = (gamma * row_norms(X @ result.W - Y)).sum() + row_norms(result.W).sum()
    return (primal - (result.dual * Y).sum()) / (primal or 1.0)


def optimum(X, Y, gamma):
    W = cp.Variable((X.shape[1], Y.shape[1]))
    loss = gamma * cp.sum(cp.norm(X @ W - Y, 2, axis=1))
    return cp.Problem(cp.Minimize(loss + cp.sum(cp.norm(W, 2, axis=1)))).solve(solver=cp.CLARABEL)


def planted(n, d, c, seed=0):
    """X, and one-hot Y of a noisy linear rule of three features."""
    rng = np.random.default_rng(seed)
    X, W = rng.standard_normal((n, d)), rng.standard_normal((3, c))
    return X, np.eye(c)[(X[:, :3] @ W + 0.5 * rng.standard_normal((n, c))).argmax(axis=1)]


def sparse_matrix(n, d, density, kind):
    """Uniform entries; scipy.sparse.random_array takes another argument from SciPy to SciPy."""
    rng = np.random.default_rng(0)
    size = int(density * n * d)
    where = np.unravel_index(rng.choice(n * d, size, replace=False), (n, d))
    return kind(scipy.sparse.coo_array((rng.random(size), where), shape=(n, d)))


# --- path ---


def test_path_is_solve_at_each_gamma_in_the_order_given():
    X, Y = planted(40, 120, 3)
    gammas = l21.critical_gamma(X, Y) * np.array([30.0, 0.5, 3.0, 30.0, 1.0])
    results = l21.path(X, Y, gammas, progress=False)
    assert len(results) == 5
    for gamma, result in zip(gammas, results, strict=True):
        assert certificate(X, Y, result, gamma) <= 1e-6
        assert_allclose(result.objective, l21.solve(X, Y, gamma).objective, rtol=2e-6)
    assert [bool(result.W.any()) for result in results] == [True, False, True, True, False]


def test_path_takes_fewer_steps_than_cold_starts():
    X, Y = planted(60, 300, 3)
    gammas = l21.critical_gamma(X, Y) * np.geomspace(2, 50, 8)
    cold = sum(l21.solve(X, Y, gamma).n_iter for gamma in gammas)
    assert sum(result.n_iter for result in l21.path(X, Y, gammas)) < 0.9 * cold


def test_path_passes_options_on_and_names_the_gamma_that_stopped():
    X, Y = planted(40, 120, 3)
    gammas = l21.critical_gamma(X, Y) * np.array([0.5, 20.0])
    with pytest.warns(
        ConvergenceWarning, match=rf"gamma={gammas[1]:.6g}: irls stopped after 2 steps"
    ) as caught:
        results = l21.path(X, Y, gammas, solver="irls", max_iter=2)
    assert len(caught) == 1
    assert [result.converged for result in results] == [True, False]
    assert l21.path(X, Y, []) == []


@pytest.mark.parametrize(
    ("gammas", "message"),
    [
        (1.0, r"gammas has shape \(\)"),
        ([[1.0]], r"gammas has shape \(1, 1\)"),
        ([1.0, 0.0], "got 0.0 at position 1"),
        ([np.nan], "got nan at position 0"),
        ([1.0, np.inf], "got inf at position 1"),
    ],
)
def test_path_bad_gammas(gammas, message):
    with pytest.raises(ValueError, match=message):
        l21.path(np.eye(3), np.eye(3), gammas)


def test_path_bad_problem_before_anything_is_solved():
    with pytest.raises(ValueError, match="X has 3 samples, Y has 2"):
        l21.path(np.eye(3), np.eye(3)[:2], [])


# --- warm starts ---


def test_warm_start_of_another_fold_reaches_the_same_optimum():
    X, Y = planted(60, 200, 3)
    gamma = 20 * l21.critical_gamma(X, Y)
    other = l21.solve(X[6:], Y[6:], gamma)
    cold, warm = l21.solve(X[:-6], Y[:-6], gamma), l21.solve(X[:-6], Y[:-6], gamma, W0=other.W)
    assert certificate(X[:-6], Y[:-6], warm, gamma) <= 1e-6
    assert_allclose(warm.objective, cold.objective, rtol=2e-6)


@pytest.mark.parametrize("solver", ["newton", "irls"])
def test_any_w0_will_do(solver):
    X, Y = planted(15, 25, 2)
    gamma, tol = 5 * l21.critical_gamma(X, Y), 1e-3
    exact = l21.solve(X, Y, gamma).objective
    for W0 in (np.zeros((25, 2)), np.full((25, 2), 1e6), np.eye(25, 2)):
        result = l21.solve(X, Y, gamma, solver=solver, tol=tol, W0=W0)
        assert certificate(X, Y, result, gamma) <= tol
        assert_allclose(result.objective, exact, rtol=2 * tol)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (4, 30)])
@pytest.mark.parametrize("solver", ["newton", "irls"])
def test_w0_without_any_residual(n, d, solver):
    rng = np.random.default_rng(0)
    X, W0 = rng.integers(-3, 4, size=(n, d)).astype(float), rng.integers(-3, 4, size=(d, 2)).astype(float)
    Y = X @ W0
    gamma = 100 * l21.critical_gamma(X, Y)
    result = l21.solve(X, Y, gamma, solver=solver, tol=1e-3, W0=W0)
    assert certificate(X, Y, result, gamma) <= 1e-3


@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"time_limit": 0.0}])
def test_stopped_early_is_never_worse_than_zero(limit):
    X, Y = planted(300, 10, 3)
    for factor in (1.5, 1e3, 1e6):
        gamma = factor * l21.critical_gamma(X, Y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            result = l21.solve(X, Y, gamma, **limit)
        assert 0.0 <= certificate(X, Y, result, gamma) <= 1.0
        assert result.objective <= gamma * row_norms(Y).sum()


# --- targets that aren't one-hot ---


@given(st.integers(0, 2**32 - 1), st.sampled_from(["multilabel", "continuous"]))
@settings(deadline=None, max_examples=20)
def test_other_targets_reach_cvxpys_objective(seed, kind):
    rng = np.random.default_rng(seed)
    n, d, c = rng.integers(1, 12), rng.integers(1, 15), rng.integers(1, 5)
    X = rng.standard_normal((n, d))
    Y = (rng.random((n, c)) < 0.4) * 1.0 if kind == "multilabel" else 10 * rng.standard_normal((n, c))
    Y[rng.random(n) < 0.2] = 0.0  # samples without a label
    gamma = rng.choice([0.3, 1.1, 5.0, 300.0]) * min(1e3, l21.critical_gamma(X, Y))
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    assert_allclose(result.objective, optimum(X, Y, gamma), rtol=1e-5, atol=1e-9)
    assert_allclose(result.residuals, row_norms(X @ result.W - Y), rtol=1e-9, atol=1e-12)


def test_residuals_show_the_mislabelled_samples():
    X, Y = planted(80, 30, 2)
    Y = np.eye(2)[(X[:, 0] > 0).astype(int)]
    wrong = [3, 40, 77]
    X[wrong, 0] = 2.0 * np.sign(X[wrong, 0])  # clear cases, so that the label is the error
    Y[wrong] = Y[wrong][:, ::-1]
    result = l21.solve(X, Y, 3 * l21.critical_gamma(X, Y))
    assert set(np.argsort(result.residuals)[-3:]) == set(wrong)
    below = l21.solve(X, Y, 0.5 * l21.critical_gamma(X, Y))
    assert_array_equal(below.residuals, np.ones(80))


# --- sparse X ---


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array", "csr_matrix", "csc_matrix"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_sparse_is_the_same_problem(kind, dtype):
    rng = np.random.default_rng(0)
    X = (rng.integers(1, 5, size=(40, 90)) * (rng.random((40, 90)) < 0.1)).astype(dtype)
    X[:, 5] = 0
    Y = np.eye(3)[rng.integers(3, size=40)]
    S = getattr(scipy.sparse, kind)(X)
    gamma = 10 * l21.critical_gamma(X, Y)
    assert_allclose(l21.critical_gamma(S, Y), l21.critical_gamma(X, Y), rtol=1e-12)
    for solver, tol in (("newton", 1e-6), ("irls", 1e-3)):
        dense = l21.solve(X, Y, gamma, solver=solver, tol=tol)
        result = l21.solve(S, Y, gamma, solver=solver, tol=tol)
        assert certificate(np.asarray(X, np.float64), Y, result, gamma) <= tol
        assert_allclose(result.W, dense.W, atol=1e-9)
        assert_allclose(l21.objective(S, Y, result.W, gamma), result.objective, rtol=1e-9)
        assert_allclose(l21.relative_gap(S, Y, result.W, result.dual, gamma), result.gap, atol=1e-9)
        assert_allclose(l21.feasible_dual(S, 3 * Y, gamma), l21.feasible_dual(X, 3 * Y, gamma), rtol=1e-9)


def test_sparse_with_more_samples_than_features():
    S = sparse_matrix(200, 12, 0.3, scipy.sparse.csr_array)
    Y = np.eye(2)[(S.toarray()[:, 0] > 0.2).astype(int)]
    gamma = 10 * l21.critical_gamma(S, Y)
    assert certificate(S.toarray(), Y, l21.solve(S, Y, gamma), gamma) <= 1e-6
    assert certificate(S.toarray(), Y, l21.solve(S, Y, gamma, solver="irls", tol=1e-4), gamma) <= 1e-4


def test_sparse_is_never_made_dense(monkeypatch):
    S = sparse_matrix(20, 200_000, 1e-3, scipy.sparse.csc_array)
    Y = np.eye(2)[np.arange(20) % 2]
    sizes, real = [], scipy.sparse.csc_array.toarray

    def toarray(self, *args, **kwargs):
        sizes.append(np.prod(self.shape))
        return real(self, *args, **kwargs)

    for kind in (scipy.sparse.csc_array, scipy.sparse.csr_array):
        monkeypatch.setattr(kind, "toarray", toarray)
    assert l21.solve(S, Y, 3 * l21.critical_gamma(S, Y)).gap <= 1e-6
    assert max(sizes) <= 20 * 4000


@pytest.mark.parametrize("kind", ["csr_array", "csc_array"])
def test_sparse_bad_values(kind):
    X = np.eye(3)
    X[1, 2] = np.nan
    with pytest.raises(ValueError, match="X has nan at row 1, column 2"):
        l21.solve(getattr(scipy.sparse, kind)(X), np.eye(3))
    with pytest.raises(TypeError, match="X has dtype complex128"):
        l21.solve(getattr(scipy.sparse, kind)(X * 1j), np.eye(3))


# --- large and lopsided problems ---


@pytest.mark.parametrize("factor", [1e2, 1e4, 1e6])
@pytest.mark.parametrize(("n", "d", "c"), [(200, 20, 3), (400, 60, 5), (300, 5, 2)])
def test_few_newton_steps_where_w_cannot_interpolate(n, d, c, factor):
    X, Y = planted(n, d, c)
    gamma = factor * l21.critical_gamma(X, Y)
    result = l21.solve(X, Y, gamma, max_iter=200)  # up to 800 before τ was set by the first Λ
    assert certificate(X, Y, result, gamma) <= 1e-6


def test_a_newton_system_too_large_to_factorise(monkeypatch):
    X, Y = planted(40, 120, 3)
    gamma = 100 * l21.critical_gamma(X, Y)
    monkeypatch.setattr("l21.newton_systems.LARGEST", 0)
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    assert_allclose(result.objective, optimum(X, Y, gamma), rtol=1e-5)


def test_float32_is_not_copied_to_float64(monkeypatch):
    import tracemalloc

    rng = np.random.default_rng(0)
    X = rng.standard_normal((32, 300_000), dtype=np.float32)
    Y = np.eye(2)[np.arange(32) % 2]
    gamma = 3 * l21.critical_gamma(X, Y)
    tracemalloc.start()
    try:
        result = l21.solve(X, Y, gamma)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.gap <= 1e-6
    assert result.W.dtype == np.float64
    assert peak < 2 * X.nbytes  # a float64 copy alone takes twice the memory of X


# --- the pieces ---


def newton_system(n, c, k, seed=0):
    rng = np.random.default_rng(seed)
    XA, a, A = rng.standard_normal((k, n)), rng.uniform(size=k), rng.standard_normal((k, c))
    nonzero, diagonal = np.arange(0, n, 2), rng.uniform(0.5, 1, size=n)
    return rng.standard_normal((n, c)), XA, a, A, diagonal, nonzero, rng.standard_normal((len(nonzero), c))


def kronecker(system):
    """H, assembled as the formula has it."""
    G, XA, a, A, diagonal, nonzero, B = system
    n, c = G.shape
    H = np.kron((a * XA.T) @ XA + np.diag(diagonal), np.eye(c))
    for x, z in [*zip(XA, A, strict=True), *zip(np.eye(n)[nonzero], B, strict=True)]:
        H += np.outer(np.kron(x, z), np.kron(x, z))
    return H


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "c", "k"), [(30, 5, 100), (60, 3, 10), (40, 2, 0), (20, 30, 50)])
def test_conjugate_gradients_solve_the_kronecker_formula(n, c, k, dtype):
    system = newton_system(n, c, k)
    G, H = system[0], kronecker(system)
    step, n_iter = conjugate_gradients(*system, preconditioner(*system[1:], dtype), 500, dtype)
    assert n_iter
    assert np.linalg.norm(H @ step.ravel() - G.ravel()) <= 0.1 * np.linalg.norm(G) * (1 + 1e-4)
    assert np.vdot(step, G) > 0


@pytest.mark.parametrize(("n", "c", "k"), [(30, 5, 100), (60, 3, 10)])
def test_the_preconditioner_is_the_mean_over_the_columns(n, c, k):
    system = newton_system(n, c, k)
    blocks = kronecker(system).reshape(n, c, n, c)
    mean = np.einsum("icjc->ij", blocks) / c
    R = system[0]
    assert_allclose(preconditioner(*system[1:], np.float64)(R), np.linalg.solve(mean, R), rtol=1e-8)


def test_newton_step_factorises_where_conjugate_gradients_take_longer():
    G, XA, a, A, diagonal, nonzero, B = newton_system(30, 4, 80)
    a, diagonal, A = 1e-9 * a, 1e-9 * diagonal, 1e3 * A  # all in the rank-one terms
    system = G, XA, a, A, diagonal, nonzero, B
    assert not conjugate_gradients(*system, preconditioner(*system[1:]), 20)[1]
    assert_array_equal(NewtonSteps()(*system), solve_hessian(*system))


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_newton_step_beyond_float32(factor):
    G, XA, a, A, diagonal, nonzero, B = newton_system(60, 5, 200)
    system = G, factor * XA, a, A, diagonal, nonzero, B
    step = NewtonSteps()(*system)
    assert np.linalg.norm(kronecker(system) @ step.ravel() - G.ravel()) <= 0.1 * np.linalg.norm(G) * (
        1 + 1e-4
    )


def test_newton_steps_keep_the_preconditioner_while_it_serves(monkeypatch):
    built = []
    monkeypatch.setattr(
        "l21.newton_systems.preconditioner", lambda *args: built.append(0) or preconditioner(*args)
    )
    steps, system = NewtonSteps(), newton_system(100, 5, 300)
    first = steps(*system)
    assert_array_equal(steps(*system), first)
    assert len(built) == 1
    G, XA, a, A, diagonal, nonzero, B = system
    other = G, XA * np.geomspace(1e-2, 1e2, 100), a, A, diagonal, nonzero, B  # it takes too many iterations
    assert_array_equal(steps(*other), NewtonSteps()(*other))
    assert len(built) == 3


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_products_in_parts(m, n, c, seed):
    rng = np.random.default_rng(seed)
    XT, V, T = rng.standard_normal((m, n)), rng.standard_normal((n, c)), rng.standard_normal((m, c))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("l21.newton_systems._SMALL", 20_000)
        assert_allclose(times(XT, V), XT @ V, atol=1e-12)
        assert_allclose(transposed_times(XT, T), XT.T @ T, atol=1e-12)


def test_the_working_set_gives_up_features_and_takes_them_back():
    """At a γ far above the first one's, from a W0 of others: every feature has to be found again."""
    X, Y = planted(60, 4000, 3)
    gamma = 20 * l21.critical_gamma(X, Y)
    W0 = np.zeros((4000, 3))
    W0[-1500:] = 1e-4
    cold, warm = l21.solve(X, Y, gamma), l21.solve(X, Y, gamma, W0=W0)
    for result in (cold, warm):
        assert certificate(X, Y, result, gamma) <= 1e-6
    assert_allclose(warm.objective, cold.objective, rtol=2e-6)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_irls_step_by_features_is_the_same_step(seed):
    rng = np.random.default_rng(seed)
    n, d, c = rng.integers(1, 10), rng.integers(1, 10), rng.integers(1, 4)
    X, Y, gamma = rng.standard_normal((n, d)), rng.standard_normal((n, c)), rng.uniform(0.1, 10, size=n)
    w_norms, e_norms = rng.uniform(0.1, 1, d), rng.uniform(0.1, 1, n)
    one = irls_step(X, Y, gamma, w_norms, e_norms, 0.1)
    other = irls_step_by_features(X, Y, gamma, w_norms, e_norms, 0.1)
    for a, b in zip(one, other, strict=True):
        assert_allclose(a, b, rtol=1e-7, atol=1e-9)
