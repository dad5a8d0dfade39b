"""The joint ℓ2,1 problem: certificate, solvers, invariances."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import cvxpy as cp
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import l21
from l21.irls import irls_step, weighted_gram
from l21.newton_systems import solve_hessian

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def row_norms(A):
    return np.linalg.norm(A, axis=1)


def certificate(X, Y, result, gamma):
    """Relative gap from W, Λ, X and Y alone."""
    X, W, dual = np.asarray(X, np.float64), result.W, result.dual
    assert np.isfinite(W).all()
    assert np.isfinite(dual).all()
    assert (row_norms(dual) <= gamma * (1 + 1e-12)).all()
    assert row_norms(X.T @ dual).max() <= 1 + 1e-9  # rounding grows with γ / γ_crit
    primal = (gamma * row_norms(X @ W - Y)).sum() + row_norms(W).sum()
    # Where W interpolates, the loss is γ times rounding errors.
    assert_allclose(result.objective, primal, rtol=1e-9)
    return (primal - (dual * Y).sum()) / primal


def optimum(X, Y, gamma):
    """Objective by CVXPY, of the same problem at entries of 1: Clarabel has absolute tolerances."""
    s, t = np.abs(X).max() or 1.0, np.abs(Y).max() or 1.0
    X, Y, gamma = X / s, Y / t, gamma * s
    W = cp.Variable((X.shape[1], Y.shape[1]))
    loss = cp.sum(cp.multiply(np.broadcast_to(gamma, len(X)), cp.norm(X @ W - Y, 2, axis=1)))
    least = cp.Problem(cp.Minimize(loss + cp.sum(cp.norm(W, 2, axis=1)))).solve(solver=cp.CLARABEL)
    return least * t / s


def classes(rng, n, c):
    return np.eye(c)[rng.integers(c, size=n)]


def standardise(X):
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0)


def expression(n, d, c):
    """Few samples of many correlated features, as microarrays have them, 40 of which differ by class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % c
    X = rng.standard_normal((n, 30)) @ (rng.standard_normal((30, d)) * (rng.random((30, d)) < 0.2))
    X += rng.standard_normal((n, d))
    X[:, :40] += 1.5 * rng.standard_normal((c, 40))[labels]
    return standardise(X), np.eye(c)[labels]


def microarray(folder, name):
    mat = scipy.io.loadmat(folder / "selection" / f"{name}.mat")
    return standardise(mat["X"].astype(np.float64)), l21.one_hot(mat["Y"].ravel())[0]


@pytest.fixture(scope="module")
def genes():
    return expression(62, 2000, 2)


@pytest.fixture(scope="module", params=["expression", "digits"])
def data(request):
    if request.param == "expression":
        return expression(72, 3000, 3)
    X, y = load_digits(return_X_y=True)
    return standardise(X[:40].astype(np.float64)), l21.one_hot(y[:40])[0]


# --- the optimum ---


@st.composite
def problems(draw):
    n, d, c = draw(st.integers(1, 9)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X, Y = rng.standard_normal((n, d)), classes(rng, n, c)
    if draw(st.booleans()):
        X = np.round(X)  # ties, zero columns, rank deficiency
    if draw(st.booleans()):
        X = np.concatenate([X, X[:, : d // 2 + 1]], axis=1)  # duplicate features
    if draw(st.booleans()):
        X, Y = np.concatenate([X, X]), np.concatenate([Y, classes(rng, n, c)])  # contradicting labels
    if draw(st.booleans()):
        X[:, 0] = 0.0
    if draw(st.booleans()):
        Y = rng.standard_normal(Y.shape)  # multi-target regression
    X *= draw(st.sampled_from([1e-3, 1.0, 1e3]))
    factor = draw(st.sampled_from([0.5, 1.0, 1.01, 3.0, 30.0, 1e4]))
    return X, Y, factor * critical_gamma(X, Y)


def critical_gamma(X, Y):
    # Where XᵀY is zero but for rounding, W = 0 at any γ that makes sense; where it is zero, at any.
    return min(l21.critical_gamma(X, Y), 1e3 / (np.abs(X).max() or 1e3))


@given(problems())
@settings(deadline=None, max_examples=60)
def test_newton_reaches_cvxpys_objective(case):
    X, Y, gamma = case
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    # The gap already bounds how far above the optimum we are; CVXPY says that the problem is the right one.
    assert_allclose(result.objective, optimum(X, Y, gamma), rtol=1e-5)


@given(problems())
@settings(deadline=None, max_examples=20)
def test_irls_is_certified(case):
    X, Y, gamma = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = l21.solve(X, Y, gamma, solver="irls", tol=1e-3, max_iter=500)
    gap = certificate(X, Y, result, gamma)
    assert_allclose(result.gap, gap, atol=1e-12)
    exact = l21.solve(X, Y, gamma).objective
    assert result.objective * (1 - gap) <= exact * (1 + 1e-9)
    assert exact <= result.objective * (1 + 1e-6)


@pytest.mark.parametrize(
    ("n", "d", "c"), [(1, 5, 2), (1, 1, 1), (40, 6, 3), (12, 80, 30), (30, 200, 2), (200, 3, 2), (25, 25, 5)]
)
@pytest.mark.parametrize("factor", [1.0001, 2.0, 50.0, 1e5])
def test_shapes(n, d, c, factor):
    rng = np.random.default_rng(n + d + c)
    X, Y = rng.standard_normal((n, d)), classes(rng, n, c)
    gamma = factor * l21.critical_gamma(X, Y)
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    assert result.converged
    assert result.W.any()
    assert_allclose(result.objective, optimum(X, Y, gamma), rtol=1e-5)


def check_solution(X, Y, factor):
    gamma = factor * l21.critical_gamma(X, Y)
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    assert_allclose(result.gap, certificate(X, Y, result, gamma), atol=1e-12)
    assert_allclose(l21.relative_gap(X, Y, result.W, result.dual, gamma), result.gap, atol=1e-10)
    return np.count_nonzero(row_norms(result.W))


@pytest.mark.parametrize("factor", [0.1, 1.0, 1.5, 10.0, 100.0])
def test_data(data, factor):
    rows = check_solution(*data, factor)
    assert (rows > 0) == (factor > 1.0)
    if data[0].shape[1] > 1000:
        assert rows < data[0].shape[1] / 10


@pytest.mark.parametrize("name", ["colon", "ALLAML"])
@pytest.mark.parametrize("factor", [0.1, 1.0, 1.5, 10.0, 100.0])
def test_real_data(real_data, name, factor):
    X, Y = microarray(real_data, name)
    rows = check_solution(X, Y, factor)
    if factor > 1.0:
        assert 0 < rows < X.shape[1] / 10


def check_irls(X, Y):
    gamma = 10 * l21.critical_gamma(X, Y)
    irls = l21.solve(X, Y, gamma, solver="irls", tol=1e-4)
    assert certificate(X, Y, irls, gamma) <= 1e-4
    assert_allclose(irls.objective, l21.solve(X, Y, gamma).objective, rtol=1e-4)


def test_irls_agrees(genes):
    check_irls(*genes)


def test_irls_agrees_on_real_data(real_data):
    check_irls(*microarray(real_data, "colon"))


def test_large_gamma_interpolates_and_no_longer_changes_w():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((10, 60)), classes(rng, 10, 3)
    W = cp.Variable((60, 3))
    least = cp.Problem(cp.Minimize(cp.sum(cp.norm(W, 2, axis=1))), [X @ W == Y]).solve(solver=cp.CLARABEL)
    for gamma in (1e3, 1e6):
        result = l21.solve(X, Y, gamma)
        assert_allclose(result.objective, least, rtol=1e-5)
        assert_allclose(row_norms(result.W).sum(), least, rtol=1e-5)


# --- critical gamma ---


@given(problems(), st.sampled_from(["auto", "irls"]))
@settings(deadline=None, max_examples=30)
def test_w_is_exactly_zero_up_to_critical_gamma(case, solver):
    X, Y, _ = case
    critical = critical_gamma(X, Y)
    for gamma in (critical, 0.3 * critical):
        result = l21.solve(X, Y, gamma, solver=solver)
        assert not result.W.any()
        assert certificate(X, Y, result, gamma) <= 1e-12
        assert_allclose(result.dual, gamma * Y / row_norms(Y)[:, None], rtol=1e-12)


def test_critical_gamma_is_tight(genes):
    X, Y = genes
    critical = l21.critical_gamma(X, Y)
    assert_allclose(critical, 1 / max(np.linalg.norm(x @ Y) for x in X.T))
    assert np.count_nonzero(row_norms(l21.solve(X, Y, critical * 1.001).W)) == 1
    assert l21.critical_gamma(np.zeros((3, 2)), np.eye(3)) == np.inf


def test_y_of_zeros():
    result = l21.solve(np.ones((3, 2)), np.zeros((3, 2)))
    assert not result.W.any()
    assert result.gap == 0.0


# --- invariances ---


def test_selected_set_is_invariant_to_permutations(genes):
    X, Y = genes
    gamma = 10 * l21.critical_gamma(X, Y)
    selected = np.flatnonzero(row_norms(l21.solve(X, Y, gamma).W))
    rng = np.random.default_rng(0)
    features, samples = rng.permutation(X.shape[1]), rng.permutation(len(X))
    permuted = l21.solve(X[samples][:, features], Y[samples], gamma).W
    assert_array_equal(np.sort(features[np.flatnonzero(row_norms(permuted))]), selected)


def test_scale_of_x_is_scale_of_gamma(genes):
    X, Y = genes
    gamma = 5 * l21.critical_gamma(X, Y)
    one, other = l21.solve(X, Y, gamma), l21.solve(1e4 * X, Y, gamma / 1e4)
    assert_allclose(other.objective * 1e4, one.objective, rtol=2e-6)
    assert_array_equal(row_norms(one.W) > 0, row_norms(other.W) > 0)


def test_gamma_per_sample_is_repetition_of_samples():
    rng = np.random.default_rng(0)
    X, Y, times = rng.standard_normal((15, 40)), classes(rng, 15, 3), rng.integers(1, 4, size=15)
    repeated = np.repeat(np.arange(15), times)
    gamma = 4 * l21.critical_gamma(X, Y, times)
    assert_allclose(l21.critical_gamma(X, Y, times), l21.critical_gamma(X[repeated], Y[repeated]), rtol=1e-12)
    weighted = l21.solve(X, Y, gamma * times, tol=1e-8)
    assert certificate(X, Y, weighted, gamma * times) <= 1e-8
    assert_allclose(weighted.objective, optimum(X, Y, gamma * times), rtol=1e-6)
    assert_allclose(weighted.W, l21.solve(X[repeated], Y[repeated], gamma, tol=1e-8).W, atol=1e-5)


@pytest.mark.parametrize("solver", ["newton", "irls"])
def test_same_bits_every_run(genes, solver):
    X, Y = genes
    gamma = 3 * l21.critical_gamma(X, Y)
    one, other = (l21.solve(X, Y, gamma, solver=solver, tol=1e-3) for _ in range(2))
    assert_array_equal(one.W, other.W)
    assert_array_equal(one.dual, other.dual)


def test_same_bits_at_any_number_of_threads():
    X, Y = expression(72, 7000, 2)
    gamma = 10 * l21.critical_gamma(X, Y)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            results.append(l21.solve(X, Y, gamma).W)
    with ThreadPoolExecutor(4) as pool:
        results += [result.W for result in pool.map(lambda g: l21.solve(X, Y, g), [gamma] * 4)]
    for W in results:
        assert_array_equal(W, results[0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_float32_is_the_same_problem(genes, order):
    X, Y = genes
    X = np.asarray(X, dtype=np.float32, order=order)
    gamma = 10 * l21.critical_gamma(X, Y)
    single = l21.solve(X, Y, gamma)
    assert certificate(X, Y, single, gamma) <= 1e-6
    double = l21.solve(X.astype(np.float64), Y, gamma)
    assert_array_equal(row_norms(single.W) > 0, row_norms(double.W) > 0)


# --- stopping, starting ---


@pytest.mark.parametrize("solver", ["newton", "irls"])
@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"time_limit": 0.0}])
def test_stopped_early_still_certifies(data, solver, limit):
    X, Y = data
    gamma = 10 * l21.critical_gamma(X, Y)
    with pytest.warns(ConvergenceWarning, match=r"relative duality gap of \d"):
        result = l21.solve(X, Y, gamma, solver=solver, **limit)
    assert not result.converged
    assert result.n_iter <= 1
    gap = certificate(X, Y, result, gamma)
    assert_allclose(result.gap, gap, rtol=1e-9)
    assert 1e-6 < gap < 1


def test_warm_start_reaches_the_same_optimum_in_fewer_steps(data):
    X, Y = data
    gamma = 50 * l21.critical_gamma(X, Y)
    near = l21.solve(X, Y, 0.95 * gamma)
    cold, warm = l21.solve(X, Y, gamma), l21.solve(X, Y, gamma, W0=near.W)
    assert certificate(X, Y, warm, gamma) <= 1e-6
    assert warm.n_iter < cold.n_iter


def test_working_set_grows_to_the_features_it_missed():
    # A suppressor: alone it says nothing of the class, XᵀY is zero, but subtracted from a useful feature it
    # removes that feature's noise. More than a thousand others come before it by XᵀY.
    rng = np.random.default_rng(0)
    X, Y = 0.1 * rng.standard_normal((32, 3000)), np.eye(2)[np.arange(32) % 2]
    noise = 3 * rng.standard_normal(32)
    noise -= Y @ (Y.T @ noise) / 16
    X[:, 2998], X[:, 2999] = Y[:, 0] - Y[:, 1] + noise, noise
    gamma = 30 * l21.critical_gamma(X, Y)
    result = l21.solve(X, Y, gamma)
    assert certificate(X, Y, result, gamma) <= 1e-6
    assert result.W[2999].any()


# --- the pieces ---


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_irls_step_is_nie_et_als(seed):
    # Nie et al.: min ‖U‖_{2,1}, AU = Y, A = [X, I/γ] with one (d+n) x (d+n) weight matrix, U = [W; γE].
    rng = np.random.default_rng(seed)
    n, d, c = rng.integers(1, 7), rng.integers(1, 9), rng.integers(1, 4)
    X, Y, gamma = rng.standard_normal((n, d)), rng.standard_normal((n, c)), rng.uniform(0.1, 10, size=n)
    w_norms, e_norms = rng.uniform(0.1, 1, d), rng.uniform(0.1, 1, n)
    A = np.hstack([X, np.diag(1 / gamma)])
    D = np.diag(1 / (2 * np.concatenate([w_norms, gamma * e_norms])))
    U = np.linalg.inv(D) @ A.T @ np.linalg.inv(A @ np.linalg.inv(D) @ A.T) @ Y
    W, E, _ = irls_step(X, Y, gamma, w_norms, e_norms, smoothing=0.0)
    assert_allclose(W, U[:d], rtol=1e-7, atol=1e-9)
    assert_allclose(gamma[:, None] * E, U[d:], rtol=1e-7, atol=1e-9)
    assert_allclose(X @ W + E, Y, atol=1e-9)


def test_weighted_gram_in_blocks_of_columns():
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((3, 200_000)).astype(np.float32), rng.uniform(size=200_000)
    upper = np.triu_indices(3)
    assert_allclose(weighted_gram(X, weights)[upper], ((X * weights) @ X.T)[upper], rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "c", "k"),
    [(4, 5, 3), (4, 5, 100), (3, 1, 50), (30, 2, 0), (30, 2, 1), (6, 30, 20), (60, 3, 4), (90, 1, 5)],
)
def test_hessian_solve_is_the_kronecker_formula(n, c, k):
    rng = np.random.default_rng(0)
    XA, a, A = rng.standard_normal((k, n)), rng.uniform(size=k), rng.standard_normal((k, c))
    nonzero, diagonal = np.arange(0, n, 2), rng.uniform(0.5, 1, size=n)
    B, G = rng.standard_normal((len(nonzero), c)), rng.standard_normal((n, c))
    H = np.kron((a * XA.T) @ XA + np.diag(diagonal), np.eye(c))
    for x, z in [*zip(XA, A, strict=True), *zip(np.eye(n)[nonzero], B, strict=True)]:
        H += np.outer(np.kron(x, z), np.kron(x, z))
    expected = np.linalg.solve(H, G.ravel()).reshape(n, c)
    assert_allclose(solve_hessian(G, XA, a, A, diagonal, nonzero, B), expected, rtol=1e-8, atol=1e-10)


@given(problems(), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=30)
def test_any_dual_is_scaled_into_the_feasible_set(case, length):
    X, Y, gamma = case
    dual = length * np.random.default_rng(0).standard_normal(Y.shape)
    feasible = l21.feasible_dual(X, dual, gamma)
    assert (row_norms(feasible) <= gamma * (1 + 1e-12)).all()
    assert row_norms(X.T @ feasible).max() <= 1 + 1e-9
    W = 0.1 * np.random.default_rng(1).standard_normal((X.shape[1], Y.shape[1]))
    assert (feasible * Y).sum() <= l21.objective(X, Y, W, gamma) * (1 + 1e-9)
    assert l21.relative_gap(X, Y, W, dual, gamma) >= 0


def test_one_hot():
    Y, names = l21.one_hot(np.array(["sad", "glad", "sad"]))
    assert names.tolist() == ["glad", "sad"]
    assert_array_equal(Y, [[0, 1], [1, 0], [0, 1]])


# --- bad input ---

X_GOOD, Y_GOOD = np.arange(6.0).reshape(3, 2), np.eye(3)


def with_value(array, value):
    array = array.copy()
    array[1, 1] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((with_value(X_GOOD, np.nan), Y_GOOD), "X has nan at row 1, column 1"),
        ((with_value(X_GOOD, -np.inf), Y_GOOD), "X has -inf at row 1, column 1"),
        ((X_GOOD, with_value(Y_GOOD, np.inf)), "Y has inf at row 1, column 1"),
        ((X_GOOD, Y_GOOD[:2]), "X has 3 samples, Y has 2"),
        ((X_GOOD, [0, 1, 2]), "one_hot makes it from labels"),
        ((X_GOOD[0], Y_GOOD), "X has shape"),
        ((X_GOOD[:, :0], Y_GOOD), "at least 1 x 1"),
        ((X_GOOD, Y_GOOD[:, :0]), "Y has no columns"),
        ((X_GOOD, Y_GOOD, 0.0), "gamma needs to be positive"),
        ((X_GOOD, Y_GOOD, -1.0), "gamma needs to be positive"),
        ((X_GOOD, Y_GOOD, np.nan), "gamma needs to be positive"),
        ((X_GOOD, Y_GOOD, np.ones(2)), "one for each of 3 samples"),
    ],
)
def test_bad_problems(arguments, message):
    with pytest.raises(ValueError, match=message):
        l21.solve(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "admm"}, "solver needs to be"),
        ({"tol": 0.0}, "tol needs to lie"),
        ({"max_iter": 0}, "max_iter needs to be"),
        ({"max_iter": 1.5}, "max_iter needs to be an integer"),
        ({"max_iter": 1.5, "solver": "irls"}, "max_iter needs to be an integer"),
        ({"W0": np.zeros((2, 2))}, r"it needs to be \(2, 3\)"),
        ({"W0": np.full((2, 3), np.nan)}, "finite"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        l21.solve(X_GOOD, Y_GOOD, **options)


def test_bad_arguments_of_the_pieces():
    with pytest.raises(ValueError, match="W has shape"):
        l21.objective(X_GOOD, Y_GOOD, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="one row for each sample"):
        l21.feasible_dual(X_GOOD, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="and X a feature"):
        l21.feasible_dual(X_GOOD[:, :0], np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"the dual has shape \(3, 2\); it needs to be that of Y, \(3, 3\)"):
        l21.relative_gap(X_GOOD, Y_GOOD, np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one label for each sample"):
        l21.one_hot(np.eye(2))


@pytest.mark.parametrize("X", [X_GOOD * 1j, X_GOOD.astype(object), [["a"]]])
def test_not_real(X):
    with pytest.raises(TypeError, match=r"X has dtype .*; it needs to be an array of real numbers"):
        l21.solve(X, Y_GOOD)


def test_overflow_is_an_error_and_not_a_number():
    with pytest.raises(ValueError, match=r"X has 1.0e\+200 as its largest entry"):
        l21.solve(np.full((3, 2), 1e200), Y_GOOD)
    large = np.full((3, 2), 3e38, dtype=np.float32)  # its squares overflow float32
    assert np.isfinite(l21.solve(large, Y_GOOD, 1e-39).objective)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16])
def test_other_real_dtypes(dtype):
    X = np.random.default_rng(0).integers(2, size=(12, 20)).astype(dtype)
    Y = np.eye(3)[np.arange(12) % 3]
    assert_array_equal(l21.solve(X, Y).W, l21.solve(X.astype(np.float64), Y).W)
