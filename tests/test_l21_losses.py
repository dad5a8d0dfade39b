"""l21.losses: the squared and the logistic loss with the ℓ2,1 penalty, and their certificates."""

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
from l21._kernels import descend_rows

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
    with pytest.raises(ValueError, match="max_iter needs to be at least 1"):
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
