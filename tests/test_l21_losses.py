"""l21.losses: the squared and the logistic loss with the ℓ2,1 penalty, and their certificates."""

import warnings

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import l21
from l21 import solve_logistic, solve_squared
from l21._kernels import descend_blocks, descend_rows
from l21._semismooth import _solve_assembled, _solve_by_features, semismooth_newton

SOLVERS = {"squared": solve_squared, "logistic": solve_logistic}


def norms(A):
    return np.linalg.norm(A, axis=1)


def critical(loss, X, Y):
    return 1 / norms(X.T @ (Y if loss == "squared" else Y - 0.5)).max()


def primal(loss, X, Y, W, gamma):
    Z = X @ W
    each = 0.5 * (Z - Y) ** 2 if loss == "squared" else np.log1p(np.exp(-(2 * Y - 1) * Z))
    return np.sum(gamma * each.sum(axis=1)) + norms(W).sum()


def dual(loss, Y, D, gamma):
    gamma = np.broadcast_to(gamma, len(Y))[:, None]
    if loss == "squared":
        return np.sum(D * Y) - np.sum(D**2 / (2 * gamma))
    t = (2 * Y - 1) * D / gamma
    assert (t >= 0).all()
    assert (t <= 1).all()
    return -np.sum(gamma * (t * np.log(t) + (1 - t) * np.log(1 - t)))


def data(seed, n, d, c):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), np.eye(c)[rng.integers(0, c, n)]


@pytest.mark.parametrize("loss", SOLVERS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(1, 15),
    d=st.integers(1, 30),
    c=st.integers(1, 4),
    factor=st.sampled_from([0.5, 1.1, 5.0, 50.0]),
    each=st.booleans(),
)
def test_certificate_from_the_definitions(loss, seed, n, d, c, factor, each):
    X, Y = data(seed, n, d, c)
    gamma = factor * critical(loss, X, Y) * (np.linspace(0.5, 2, n) if each else 1.0)
    result = SOLVERS[loss](X, Y, gamma)
    assert result.converged
    assert norms(X.T @ result.dual).max() <= 1 + 1e-9
    upper, lower = primal(loss, X, Y, result.W, gamma), dual(loss, Y, result.dual, gamma)
    assert_allclose(result.objective, upper, rtol=1e-9)
    assert (upper - lower) / upper <= 1e-6 + 1e-12
    assert_allclose(result.gap, (upper - lower) / upper, atol=1e-9)
    prediction = X @ result.W if loss == "squared" else expit(X @ result.W)
    assert_allclose(result.residuals, norms(prediction - Y), atol=1e-9)


@pytest.mark.parametrize("loss", SOLVERS)
@pytest.mark.parametrize("factor", [1.5, 20.0])
def test_objective_is_that_of_cvxpy(loss, factor):
    import cvxpy

    X, Y = data(3, 20, 12, 3)
    gamma = factor * critical(loss, X, Y)
    W = cvxpy.Variable((12, 3))
    each = (
        0.5 * cvxpy.sum_squares(X @ W - Y)
        if loss == "squared"
        else cvxpy.sum(cvxpy.logistic(-cvxpy.multiply(2 * Y - 1, X @ W)))
    )
    minimum = cvxpy.Minimize(gamma * each + cvxpy.sum(cvxpy.norm(W, 2, axis=1)))
    expected = cvxpy.Problem(minimum).solve(solver="CLARABEL")
    assert_allclose(SOLVERS[loss](X, Y, gamma).objective, expected, rtol=2e-6)


def test_squared_is_multi_task_lasso():
    X, Y = data(0, 30, 60, 3)
    gamma = 5 * critical("squared", X, Y)
    result = solve_squared(X, Y, gamma, tol=1e-10)
    model = MultiTaskLasso(1 / (30 * gamma), fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, Y)
    assert_allclose(result.W, model.coef_.T, atol=1e-5)
    assert_array_equal(result.W.any(axis=1), model.coef_.any(axis=0))


@pytest.mark.parametrize("loss", SOLVERS)
def test_zero_up_to_the_critical_gamma(loss):
    X, Y = data(1, 20, 50, 3)
    edge = critical(loss, X, Y)
    assert not SOLVERS[loss](X, Y, 0.999 * edge).W.any()
    assert SOLVERS[loss](X, Y, 1.01 * edge).W.any()


def check_data(loss, X, Y):
    for factor in (1.5, 10.0, 100.0):
        result = SOLVERS[loss](X, Y, factor * critical(loss, X, Y))
        assert result.gap <= 1e-6
        assert 0 < np.count_nonzero(result.W.any(axis=1)) < 200


@pytest.mark.parametrize("loss", SOLVERS)
def test_few_samples_many_features_to_the_gap(loss):
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 4
    X = rng.standard_normal((50, 20)) @ rng.standard_normal((20, 3000)) + 2 * rng.standard_normal((50, 3000))
    X[:, :40] += 4 * rng.standard_normal((4, 40))[labels]
    check_data(loss, StandardScaler().fit_transform(X), np.eye(4)[labels])


@pytest.mark.parametrize("loss", SOLVERS)
def test_real_data_to_the_gap(real_data, loss):
    mat = scipy.io.loadmat(real_data / "selection" / "GLIOMA.mat")
    check_data(loss, StandardScaler().fit_transform(mat["X"]), l21.one_hot(mat["Y"].ravel())[0])


@pytest.mark.parametrize("loss", SOLVERS)
def test_sparse_float32_and_warm_starts_give_the_same(loss):
    X, Y = data(5, 40, 80, 3)
    X[np.random.default_rng(0).random(X.shape) < 0.7] = 0.0
    X = X.astype(np.float32)
    gamma = 5 * critical(loss, X.astype(float), Y)
    expected = SOLVERS[loss](X.astype(float), Y, gamma, tol=1e-9)
    for given_X in (X, scipy.sparse.csr_array(X), scipy.sparse.csc_matrix(X)):
        assert_allclose(SOLVERS[loss](given_X, Y, gamma, tol=1e-9).W, expected.W, atol=1e-5)
    warm = SOLVERS[loss](X, Y, gamma, W0=expected.W)
    assert warm.n_iter <= 1
    again = SOLVERS[loss](X.astype(float), Y, gamma, tol=1e-9)
    assert_array_equal(again.W, expected.W)


@pytest.mark.parametrize("loss", SOLVERS)
def test_the_same_bits_at_any_number_of_threads(loss):
    X, Y = data(6, 150, 400, 4)
    gamma, results = 20 * critical(loss, X, Y), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            results.append(SOLVERS[loss](X, Y, gamma).W)
    assert_array_equal(*results)


@pytest.mark.parametrize("loss", SOLVERS)
def test_awkward_data(loss):
    X, Y = data(7, 24, 10, 2)
    X = np.concatenate([X, X[:, :4], np.zeros((24, 3))], axis=1)  # duplicate and empty features
    X, Y = np.concatenate([X, X[:6]]), np.concatenate([Y, 1 - Y[:6]])  # contradicting labels
    result = SOLVERS[loss](X, Y, 100 * critical(loss, X, Y))
    assert result.gap <= 1e-6
    assert not result.W[-3:].any()


@pytest.mark.parametrize("loss", SOLVERS)
def test_a_stop_before_the_end_says_the_gap(loss):
    X, Y = data(2, 40, 100, 3)
    with pytest.warns(ConvergenceWarning, match=r"after 1 steps at a relative duality gap of \d"):
        result = SOLVERS[loss](X, Y, 50 * critical(loss, X, Y), max_iter=1, tol=1e-9)
    assert not result.converged
    assert result.gap > 1e-9


@pytest.mark.parametrize("loss", SOLVERS)
def test_bad_input(loss):
    X, Y = data(0, 10, 5, 2)
    solve = SOLVERS[loss]
    with pytest.raises(ValueError, match="X has nan at row 3, column 2"):
        solve(np.where(np.arange(50).reshape(10, 5) == 17, np.nan, X), Y)
    with pytest.raises(ValueError, match="X has 10 samples, Y has 9"):
        solve(X, Y[:-1])
    with pytest.raises(ValueError, match="gamma needs to be positive"):
        solve(X, Y, 0.0)
    with pytest.raises(ValueError, match="tol needs to lie"):
        solve(X, Y, tol=0.0)
    with pytest.raises(ValueError, match="max_iter needs to be an integer of at least 1"):
        solve(X, Y, max_iter=0)
    with pytest.raises(ValueError, match=r"W0 has shape \(2, 5\)"):
        solve(X, Y, W0=np.zeros((2, 5)))


def test_logistic_wants_zeros_and_ones():
    X, Y = data(0, 10, 5, 2)
    with pytest.raises(ValueError, match="Y needs to be 0 and 1"):
        solve_logistic(X, 2 * Y - 1)


def test_kernel_is_its_numpy_twin():
    rng = np.random.default_rng(0)
    n, d, c = 12, 7, 3
    X, T, H = rng.standard_normal((n, d)), rng.standard_normal((n, c)), rng.random((n, c)) + 0.1
    X[:, 4] = 0.0
    curvature = (X.T**2 @ H).max(axis=1)
    W = rng.standard_normal((d, c))
    W[4] = 0.0
    G = H * (T - X @ W)
    expected = W.copy()
    for _ in range(2):
        for j in np.flatnonzero(curvature):
            u = expected[j] + X[:, j] @ (H * (T - X @ expected)) / curvature[j]
            expected[j] = max(0, 1 - 1 / (curvature[j] * np.linalg.norm(u))) * u
    descend_rows(np.ascontiguousarray(X.T), H, G, W, curvature, 2)
    assert_allclose(W, expected, atol=1e-12)
    assert_allclose(G, H * (T - X @ W), atol=1e-12)
    assert (norms(expected) == 0).any()


def test_block_kernel_is_descent_row_after_row():
    rng = np.random.default_rng(1)
    n, d, c, threshold = 9, 70, 3, 2.0  # more than two blocks, the last one short
    X, T = rng.standard_normal((n, d)), rng.standard_normal((n, c))
    X[:, 40] = 0.0
    W = rng.standard_normal((d, c)) * (rng.random((d, 1)) < 0.5)
    W[40] = 0.0
    expected = W.copy()
    for _ in range(2):
        for j in np.flatnonzero(X.any(axis=0)):
            L = X[:, j] @ X[:, j]
            u = expected[j] + X[:, j] @ (T - X @ expected) / L
            expected[j] = max(0, 1 - threshold / (L * np.linalg.norm(u))) * u
    grams = np.zeros((d, 32))
    for j in range(0, d, 32):
        part = X[:, j : j + 32]
        grams[j : j + 32, : part.shape[1]] = part.T @ part
    R = T - X @ W
    descend_blocks(np.ascontiguousarray(X.T), grams, (X**2).sum(axis=0), threshold, R, W, 2)
    assert_allclose(W, expected, atol=1e-12)
    assert_allclose(R, T - X @ W, atol=1e-12)
    assert 0 < (norms(W) == 0).sum() < d


@pytest.mark.parametrize("targets", [1, 3])
def test_semismooth_newton_minimises_weighted_least_squares(targets):
    """Features that differ by orders of magnitude, each sample and target with a weight of its own."""
    rng = np.random.default_rng(targets)
    XT = rng.standard_normal((25, 12)) * 10.0 ** rng.uniform(-2, 2, (25, 1))
    H, T = 10.0 ** rng.uniform(-1, 4, (12, targets)), rng.standard_normal((12, targets))

    def value(W):
        return 0.5 * np.sum(H * (XT.T @ W - T) ** 2) + norms(W).sum()

    W0 = np.zeros((25, targets))
    for enough in (1e-3, 1e-9):
        enough *= value(W0)
        W, dual = semismooth_newton(XT, H, T, W0, value(W0), np.zeros_like(T), enough)
        assert norms(XT @ dual).max() <= 1 + 1e-12
        assert value(W) - (np.sum(dual * T) - 0.5 * np.sum(dual**2 / H)) <= enough * (1 + 1e-6)
    assert 0 < (norms(W) == 0).sum() < 25


@pytest.mark.parametrize("c", [1, 4])
def test_newton_systems_are_solved_either_way(c):
    rng = np.random.default_rng(c)
    n, k = 6, 4
    G, XA, A = rng.standard_normal((n, c)), rng.standard_normal((k, n)), rng.standard_normal((k, c))
    a, D = rng.random(k) + 0.1, rng.random((n, c)) + 0.1
    H = np.diag(D.ravel())
    for x, a_j, A_j in zip(XA, a, A, strict=True):
        H += np.kron(np.outer(x, x), a_j * np.eye(c) + np.outer(A_j, A_j))
    expected = np.linalg.solve(H, G.ravel()).reshape(n, c)
    assert_allclose(_solve_assembled(G, XA, a, A, D), expected, atol=1e-10)
    assert_allclose(_solve_by_features(G, XA, a, A, D), expected, atol=1e-10)


@pytest.mark.parametrize("loss", SOLVERS)
def test_no_slow_corner_near_interpolation(loss):
    """14 x 35, entries of 3e3, γ = 100: coordinate descent took 200 rounds and missed the gap."""
    for seed in range(3):
        X, Y = data(seed, 14, 35, 3)
        result = SOLVERS[loss](3e3 * X, Y, 100.0)
        assert result.gap <= 1e-6
        assert result.n_iter <= 40


def badly_scaled(seed):
    """X whose features, samples or both differ by orders of magnitude, near dependent, offset or repeated."""
    rng = np.random.default_rng(seed)
    n, d, c = int(rng.integers(2, 20)), int(rng.integers(2, 40)), int(rng.integers(1, 5))
    X = rng.standard_normal((n, d))
    kind = seed % 6
    if kind in (1, 3):
        X *= 10.0 ** rng.uniform(-2, 2, d)
    if kind in (2, 3):
        X *= 10.0 ** rng.uniform(-2, 2, (n, 1))
    if kind == 4:
        X = rng.standard_normal((n, 2)) @ rng.standard_normal((2, d)) + 0.01 * X + 10.0
    if kind == 5:
        X = np.concatenate([X, X], axis=1)
    return 10.0 ** rng.integers(-4, 5) * X, np.eye(c)[rng.integers(0, c, n)], 10.0 ** rng.uniform(-2, 4)


@pytest.mark.parametrize("loss", SOLVERS)
def test_small_badly_scaled_problems_reach_the_gap(loss):
    missed = []
    for seed in range(60):
        X, Y, gamma = badly_scaled(seed)
        result = SOLVERS[loss](X, Y, gamma)
        upper = primal(loss, X, Y, result.W, gamma)
        assert_allclose(result.objective, upper, rtol=1e-9)
        if not result.gap <= 1e-6:
            missed.append((seed, result.gap))
    assert not missed


WEIGHTED = {"l21": l21.solve, **SOLVERS}


@pytest.mark.parametrize("loss", WEIGHTED)
@pytest.mark.parametrize("sparse", [False, True])
def test_integer_weights_are_repetitions(loss, sparse):
    X, Y = data(8, 20, 30, 3)
    weights = np.random.default_rng(0).integers(0, 4, 20)
    each = np.repeat(np.arange(20), weights)
    gamma = np.linspace(0.3, 0.8, 20)
    given_X = scipy.sparse.csr_array(X) if sparse else X
    weighted = WEIGHTED[loss](given_X, Y, gamma, sample_weight=weights, tol=1e-9)
    repeated = WEIGHTED[loss](X[each], Y[each], gamma[each], tol=1e-9)
    assert (weights == 0).any()
    assert_allclose(weighted.objective, repeated.objective, rtol=1e-8)
    assert_allclose(weighted.W, repeated.W, atol=1e-5)
    # Λ of a sample that is there several times is their sum.
    dual = np.zeros((20, 3))
    np.add.at(dual, each, repeated.dual)
    assert_allclose(weighted.dual, dual, atol=1e-3)
    assert_array_equal(np.isnan(weighted.residuals), weights == 0)


@pytest.mark.parametrize("loss", WEIGHTED)
def test_weight_zero_is_leaving_out_and_one_is_none(loss):
    X, Y = data(9, 20, 30, 3)
    weights = np.ones(20)
    assert_array_equal(WEIGHTED[loss](X, Y, sample_weight=weights).W, WEIGHTED[loss](X, Y).W)
    weights[[3, 7]] = 0.0
    kept = weights > 0
    without = WEIGHTED[loss](X[kept], Y[kept])
    result = WEIGHTED[loss](X, Y, sample_weight=weights)
    assert_array_equal(result.W, without.W)
    assert_array_equal(result.dual[kept], without.dual)
    assert_array_equal(result.dual[~kept], 0.0)


@pytest.mark.parametrize("loss", WEIGHTED)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(9), r"sample_weight has shape \(9,\); it needs to be \(10,\)"),
        (np.ones((10, 1)), r"sample_weight has shape \(10, 1\)"),
        (np.where(np.arange(10) == 4, np.nan, 1.0), "at least 0, got nan for sample 4"),
        (np.where(np.arange(10) == 5, np.inf, 1.0), "at least 0, got inf for sample 5"),
        (np.where(np.arange(10) == 6, -1.0, 1.0), "at least 0, got -1.0 for sample 6"),
        (np.zeros(10), "sample_weight needs to be above 0 for at least one sample"),
        (np.full(10, 1e-200), "sample_weight needs to lie between"),
        (np.ma.array(np.ones(10), mask=np.arange(10) == 2), "sample_weight has masked entries"),
    ],
)
def test_bad_weights(loss, weights, message):
    X, Y = data(0, 10, 5, 2)
    with pytest.raises(ValueError, match=message):
        WEIGHTED[loss](X, Y, sample_weight=weights)


def test_a_product_of_weight_and_gamma_out_of_reach():
    X, Y = data(0, 10, 5, 2)
    with pytest.raises(ValueError, match=r"gamma \* sample_weight needs to lie"):
        solve_squared(X, Y, 1e-100, sample_weight=np.full(10, 1e-100))


def test_weights_along_a_path():
    X, Y = data(10, 20, 30, 3)
    weights = np.arange(20) % 3
    results = l21.path(X, Y, [0.2, 0.4], sample_weight=weights)
    assert_allclose(results[1].objective, l21.solve(X, Y, 0.4, sample_weight=weights).objective, rtol=2e-6)
    edge = l21.critical_gamma(X, Y, weights)
    assert not l21.solve(X, Y, 0.999 * edge, sample_weight=weights).W.any()
    assert l21.solve(X, Y, 1.01 * edge, sample_weight=weights).W.any()


def test_a_problem_that_rounding_hides_ends_long_before_the_last_step():
    """Each of 200 steps took half a second, and of the last 150 none got anywhere."""
    B = 2.0**64
    X = [
        [B, B, 0, 0, 1, 0, B, 0, 0, 0],
        [B, B, 0, 1, 1, 0, B, 0, 0, 1],
        [B, B, 0, 0, 0, 0, B, 0, 0, 2],
        [B, B, B, 0, 0, 1, B, 0, 0, 1],
        [B, B, B, 0, 0, 2, B, 0, 2, 1],
        [1, B, B, 0, 0, 3, B, 0, 2, 0],
        [3, B, B, B, 0, 2, B, 0, 2, 0],
    ]
    Y = np.eye(2)[[1, 1, 1, 1, 0, 1, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = solve_logistic(np.array(X), Y, 1e10)
    assert result.gap <= 1e-6 or result.n_iter < 150
