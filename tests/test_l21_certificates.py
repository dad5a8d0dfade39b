"""What l21's docstrings promise of gaps and objectives, attacked with numbers at the edge of float64.

A returned result is checked in extended precision: its objective is that of its W, its Λ is feasible, and its
gap is no smaller than the true one, each up to the rounding of XW and XᵀΛ in float64 (`Truth.slack`). Where
numpy.longdouble is float64, the slack still holds.
"""

import time
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

import l21

LOSSES = {"l21": l21.solve, "squared": l21.solve_squared, "logistic": l21.solve_logistic}
EPS = np.finfo(float).eps
NAN, INF = np.nan, np.inf


def extended(A):
    return np.asarray(A.toarray() if scipy.sparse.issparse(A) else A).astype(np.longdouble)


def norms(A):
    largest = np.abs(A).max(axis=1)
    scale = np.where(largest > 0, largest, 1)
    return scale * np.sqrt(((A / scale[:, None]) ** 2).sum(axis=1))


class Truth:
    """Objective of W, of W = 0, and the lower bound that Λ is, from their definitions."""

    def __init__(self, loss, X, Y, gamma, W, dual):
        X, Y, W, dual = map(extended, (X, Y, W, dual))
        gamma = np.broadcast_to(np.asarray(gamma).astype(np.longdouble), len(Y))[:, None]
        (n, d), Z, signs = X.shape, X @ W, 2 * Y - 1
        longest = norms(X.T @ dual).max()
        longest_slack = 4 * (n + 2) * EPS * max(1, norms(np.abs(X).T @ np.abs(dual)).max())
        assert longest <= 1 + longest_slack
        dual = dual / max(1, longest)
        rounding = 4 * (d + 2) * EPS * (np.abs(X) @ np.abs(W) + np.abs(Y))  # of XW - Y
        if loss == "l21":
            assert (norms(dual) <= gamma[:, 0] * (1 + 1e-12)).all()
            each, at_zero, slack = norms(Y - Z)[:, None], norms(Y)[:, None], norms(rounding)[:, None]
            self.lower = (dual * Y).sum()
        elif loss == "squared":
            each, at_zero = (Y - Z) ** 2 / 2, Y**2 / 2
            slack = (np.abs(Y - Z) + rounding) * rounding
            self.lower = (dual * Y - dual**2 / (2 * gamma)).sum()
        else:
            each, at_zero = np.logaddexp(0, -signs * Z), np.full_like(Y, np.log(np.longdouble(2)))
            slack = rounding
            t = np.clip(signs * dual / gamma, 0, 1)
            self.lower = -sum((gamma * p * np.log(np.where(p > 0, p, 1))).sum() for p in (t, 1 - t))
        self.primal = (gamma * each).sum() + norms(W).sum()
        self.at_zero = (gamma * at_zero).sum()
        size = (gamma * at_zero).sum() if loss == "logistic" else (np.abs(dual) * np.abs(Y)).sum()
        self.slack = (gamma * slack).sum() + 8 * (n + d) * EPS * self.primal + 8 * longest_slack * size


def check(loss, X, Y, gamma, tol=1e-6, **options):
    """Solve, and return the result if there is one; that it is true, and says whether it is good."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("error", RuntimeWarning)
        result = LOSSES[loss](X, Y, gamma, tol=tol, **options)
    for numbers in (result.W, result.dual, result.residuals, result.objective):
        assert np.isfinite(numbers).all()
    assert result.converged == (result.gap <= tol)
    assert any(issubclass(w.category, ConvergenceWarning) for w in caught) != result.converged
    truth = Truth(loss, X, Y, gamma, result.W, result.dual)
    assert abs(truth.primal - result.objective) <= truth.slack
    assert truth.primal - truth.lower <= result.gap * truth.primal + truth.slack
    assert truth.primal <= truth.at_zero + truth.slack
    return result


def random_data(n=5, d=3, c=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), np.eye(c)[np.arange(n) % c]


# --- a gap is a number or none ---


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_not_finite_is_an_error_that_names_it(bad):
    X, Y = random_data()
    W, dual = np.zeros((3, 2)), np.zeros((5, 2))
    W[2, 1], dual[4, 0] = bad, bad
    with pytest.raises(ValueError, match=f"W has {bad} at row 2, column 1"):
        l21.relative_gap(X, Y, W, Y)
    with pytest.raises(ValueError, match=f"the dual has {bad} at row 4, column 0"):
        l21.relative_gap(X, Y, np.zeros((3, 2)), dual)
    with pytest.raises(ValueError, match="the dual has"):
        l21.feasible_dual(X, dual)
    with pytest.raises(ValueError, match="W has"):
        l21.objective(X, Y, W)
    for solve in LOSSES.values():
        with pytest.raises(ValueError, match=f"W0 has {bad} at row 2"):
            solve(X, Y, W0=W)


def test_an_objective_that_overflows_has_no_gap():
    X, Y = random_data()
    for W in (np.full((3, 2), 1.7e308), np.array([[1.7e308, 0], [-1.7e308, 0], [1.7e308, 1]])):
        assert l21.objective(X, Y, W, 1e100) == INF
        assert l21.relative_gap(X, Y, W, Y, 1e100) == INF


def test_gaps_of_huge_and_tiny_numbers_are_not_zero():
    X, Y = random_data()
    huge = np.full((3, 2), 1e155)  # its squares overflow
    assert np.isfinite(l21.objective(X, Y, huge))
    assert 1 - 1e-9 <= l21.relative_gap(X, Y, huge, Y) <= 1
    assert l21.relative_gap(X, Y, np.zeros((3, 2)), np.full((5, 2), 1e300), 10.0) > 0.1
    tiny = np.full((5, 2), 1e-300)  # its squares underflow
    np.testing.assert_allclose(l21.feasible_dual(X, tiny, 1.0), tiny)
    assert l21.relative_gap(X, Y, np.zeros((3, 2)), tiny) > 0.99


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e-300, 1e-155, 1e20, 1e155, 1e300])
def test_any_w0(loss, size):
    X, Y = random_data(20, 30, 3)
    result = check(loss, X, Y, 2.0, W0=np.full((30, 3), size))
    assert result.converged


@pytest.mark.parametrize("solver", ["newton", "irls"])
@pytest.mark.parametrize("size", [1e-155, 1e20, 1e155])
def test_any_w0_with_either_solver(solver, size):
    X, Y = random_data(20, 30, 3)
    assert check("l21", X, Y, 2.0, tol=1e-3, solver=solver, W0=np.full((30, 3), size)).converged


# --- what float64 can't hold is refused by name ---


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("scale_X", "gamma", "name"),
    [
        (1.0, 1e308, "gamma"),
        (1e10, 1e300, "gamma"),
        (1.0, 1e-300, "gamma"),
        (1.0, 5e-324, "gamma"),
        (1e-200, 1.0, "X"),
        (1e-310, 1.0, "X"),
        (1e155, 1.0, "X"),
        (1e300, 1e-300, "X"),
    ],
)
def test_out_of_reach(loss, scale_X, gamma, name):
    X, Y = random_data()
    for per_sample in (gamma, np.full(5, gamma)):
        with pytest.raises(ValueError, match=rf"^{name} "):
            LOSSES[loss](scale_X * X, Y, per_sample)


@pytest.mark.parametrize("loss", ["l21", "squared"])
@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e300])
def test_targets_out_of_reach(loss, scale):
    X, Y = random_data()
    with pytest.raises(ValueError, match=r"^Y has .* as its largest entry"):
        LOSSES[loss](X, scale * Y)
    with pytest.raises(ValueError, match="Y has"):
        l21.critical_gamma(X, scale * Y)


def test_the_pieces_out_of_reach():
    X, Y = random_data()
    with pytest.raises(ValueError, match=r"^X has"):
        l21.feasible_dual(1e200 * X, Y)
    with pytest.raises(ValueError, match=r"^sample_weight needs to"):
        l21.critical_gamma(X, Y, np.full(5, 1e300))
    with pytest.raises(ValueError, match=r"^sample_weight needs to"):
        l21.critical_gamma(X, Y, -np.ones(5))
    with pytest.raises(ValueError, match=r"^gamma 1 of gammas needs to lie"):
        l21.path(X, Y, [1.0, 1e300])
    with pytest.raises(ValueError, match="time_limit"):
        l21.solve(X, Y, time_limit=NAN)
    with pytest.raises(TypeError, match="gamma has dtype"):
        l21.solve(X, Y, "1.0")


def test_critical_gamma_at_both_ends():
    X, Y = random_data()
    expected = l21.critical_gamma(X, Y)
    for scale in (1e-59, 1e59):
        np.testing.assert_allclose(l21.critical_gamma(scale * X, Y) * scale, expected, rtol=1e-12)
        np.testing.assert_allclose(l21.critical_gamma(X, scale * Y), expected, rtol=1e-12)
    rows = 10.0 ** np.array([-300, -200, -100, -1, 0])[:, None]  # squares of most underflow
    np.testing.assert_allclose(l21.critical_gamma(X, rows * Y), expected, rtol=1e-12)
    # Above the largest float64, not a division by zero.
    assert l21.critical_gamma([[1.0, 1e-310], [1.0, 0.0]], [[1.0], [-1.0]]) == INF


# --- inside the reach, whatever comes is true ---


def test_the_issues_calls():
    X, Y = random_data()
    assert check("l21", [[-0.001], [-0.001]], np.ones((2, 1)), 5e6).gap <= 1e-6
    for loss in LOSSES:
        check(loss, X[:5, :1] * 1e10, Y, 100.0)
        check(loss, X, Y, 1e100)
        check(loss, X, np.zeros((5, 2)), 10.0)


@pytest.mark.parametrize("loss", ["l21", "squared"])
@pytest.mark.parametrize("scale", [1e-59, 1e-20, 1e-3, 1e20, 1e58])
def test_objectives_far_from_one_are_solved_to_a_relative_gap(loss, scale):
    X, Y = random_data(20, 30, 3)
    # Y times a number, and γ by what keeps W in proportion: the same problem, its objective times the number.
    gamma = 3.0 if loss == "l21" else 3.0 / scale
    one, other = check(loss, X, Y, 3.0, tol=1e-8), check(loss, X, scale * Y, gamma, tol=1e-8)
    assert other.converged
    np.testing.assert_allclose(other.objective / scale, one.objective, rtol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-58, 1e-20, 1e20, 1e58])
def test_x_far_from_one_is_the_same_problem_at_another_gamma(loss, scale):
    X, Y = random_data(20, 30, 3)
    one, other = check(loss, X, Y, 3.0, tol=1e-8), check(loss, scale * X, Y, 3.0 / scale, tol=1e-8)
    assert other.converged
    np.testing.assert_allclose(other.objective * scale, one.objective, rtol=1e-7)


def magnitudes():
    return st.one_of(st.just(0.0), st.floats(-3, 3), st.floats(-62, 62), st.floats(-320, 308))


@st.composite
def attacks(draw):
    loss = draw(st.sampled_from([*LOSSES]))
    n, d, c = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X, Y = rng.standard_normal((n, d)), np.eye(c)[rng.integers(c, size=n)]
    if loss != "logistic" and draw(st.booleans()):
        Y = rng.standard_normal((n, c))
    spread = draw(st.sampled_from(["none", "none", "columns", "rows", "entries", "integers", "copies"]))
    gamma, options = 10.0 ** draw(magnitudes()), {}
    with np.errstate(over="ignore", under="ignore"):
        if spread == "columns":
            X = X * 10.0 ** rng.uniform(-300, 0, (1, d))
        elif spread == "rows":
            X = X * 10.0 ** rng.uniform(-300, 0, (n, 1))
            Y = Y if loss == "logistic" else Y * 10.0 ** rng.uniform(-300, 0, (n, 1))
        elif spread == "entries":
            X = X * 10.0 ** rng.uniform(-20, 20, (n, d))
        elif spread == "integers":
            X = np.round(X)
        elif spread == "copies":
            X[:, d // 2 :] = X[:, :1]
        X = (X * 10.0 ** draw(magnitudes())).astype(draw(st.sampled_from([np.float64, np.float32])))
        if loss != "logistic":
            Y = Y * 10.0 ** draw(magnitudes())
        if draw(st.booleans()):
            gamma = gamma * 10.0 ** rng.uniform(-draw(st.sampled_from([1, 10, 100, 300])), 0, n)
        if draw(st.booleans()):
            options["W0"] = rng.standard_normal((d, c)) * 10.0 ** draw(magnitudes())
    if draw(st.booleans()):
        X = draw(st.sampled_from([scipy.sparse.csr_array, scipy.sparse.csc_array]))(X)
    if loss == "l21" and draw(st.booleans()):
        options |= {"solver": "irls", "max_iter": 100}
    else:
        options["max_iter"] = draw(st.sampled_from([1, 20]))
    return loss, X, Y, gamma, options


@given(attacks())
@settings(deadline=None, max_examples=150)
def test_a_result_is_true_or_there_is_none(attack):
    loss, X, Y, gamma, options = attack
    start = time.perf_counter()
    refusal = "X"
    try:
        check(loss, X, Y, gamma, **options)
    except ValueError as error:
        refusal = str(error)
    assert refusal.split()[0] in ("X", "Y", "W0", "gamma")
    assert time.perf_counter() - start < 60  # it ends; these take milliseconds


def test_path_is_certified_at_every_gamma():
    X, Y = random_data(20, 30, 3)
    gammas = l21.critical_gamma(X, Y) * 10.0 ** np.array([-50.0, 0.1, 2.0, 8.0, 40.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = l21.path(X, Y, gammas, max_iter=50)
    for gamma, result in zip(gammas, results, strict=True):
        truth = Truth("l21", X, Y, gamma, result.W, result.dual)
        assert truth.primal - truth.lower <= result.gap * truth.primal + truth.slack
        assert truth.primal <= truth.at_zero + truth.slack


# --- masked arrays ---


def test_masked_entries_are_refused():
    X, Y = random_data()
    mask = np.zeros_like(X, dtype=bool)
    mask[1, 1] = True
    masked_X, masked_Y = np.ma.array(X, mask=mask), np.ma.array(Y, mask=mask[:, :2])
    masked_gamma = np.ma.array(np.ones(5), mask=mask[:, 1])
    W = np.ma.array(np.zeros((3, 2)), mask=mask[:3, :2])
    for solve in LOSSES.values():
        with pytest.raises(ValueError, match="X has masked entries"):
            solve(masked_X, Y)
        with pytest.raises(ValueError, match="X has masked entries"):
            solve([*masked_X], Y)
        with pytest.raises(ValueError, match="Y has masked entries"):
            solve(X, masked_Y)
        with pytest.raises(ValueError, match="gamma has masked entries"):
            solve(X, Y, masked_gamma)
        with pytest.raises(ValueError, match="W0 has masked entries"):
            solve(X, Y, W0=W)
        full = solve(np.ma.array(X), np.ma.array(Y), np.ma.array(np.ones(5)))  # nothing is masked
        np.testing.assert_array_equal(full.W, solve(X, Y, np.ones(5)).W)
    with pytest.raises(ValueError, match="gammas has masked entries"):
        l21.path(X, Y, np.ma.array([1.0, 2.0], mask=[False, True]))
    with pytest.raises(ValueError, match="sample_weight has masked entries"):
        l21.critical_gamma(X, Y, masked_gamma)
    with pytest.raises(ValueError, match="labels has masked entries"):
        l21.one_hot(np.ma.array([1, 2], mask=[False, True]))
    with pytest.raises(ValueError, match="the dual has masked entries"):
        l21.feasible_dual(X, masked_Y)


@pytest.mark.parametrize("seed", range(3))
def test_where_newton_crawls_irls_goes_on(seed):
    """Repeated features, fewer than the samples without the repetition, at 5e7 times the critical γ.

    Whether either reaches the gap there is a matter of rounding: it is never above what Newton's method left.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((11, 6))
    X, Y = np.concatenate([X, X], axis=1), np.eye(4)[rng.integers(0, 4, 11)]
    gamma = 5e7 * l21.critical_gamma(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result, alone = l21.solve(X, Y, gamma), l21.solve(X, Y, gamma, solver="newton")
    assert result.gap <= alone.gap
    assert result.converged == (result.gap <= 1e-6)
    assert l21.relative_gap(X, Y, result.W, result.dual, gamma) <= 2 * max(result.gap, 1e-6)


def test_irls_takes_over_where_newton_gives_up(monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((11, 6)), np.eye(4)[rng.integers(0, 4, 11)]
    gamma = 5 * l21.critical_gamma(X, Y)
    expected = l21.solve(X, Y, gamma)
    nothing = np.zeros((6, 4)), np.zeros((11, 4)), 1000
    monkeypatch.setattr("l21.solvers.newton", lambda *arguments, **options: nothing)
    result = l21.solve(X, Y, gamma)
    assert result.solver == "irls"
    assert result.gap <= 1e-6
    np.testing.assert_allclose(result.objective, expected.objective, rtol=2e-6)
    with pytest.warns(ConvergenceWarning, match="newton stopped after 1000 steps"):
        assert l21.solve(X, Y, gamma, solver="newton").gap > 1e-6
