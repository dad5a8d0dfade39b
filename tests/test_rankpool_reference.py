"""rank_svm against two slow references: every active set tried in turn, and CVXPY on the dual problem."""

import itertools

import cvxpy
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rankpool import (
    HierarchicalRankPooling,
    RankPooling,
    approximate_rank_pool,
    dynamic_image,
    hierarchical_rank_pool,
    rank_pool,
    rank_svm,
)

LOSSES = ("hinge", "squared_hinge")


def pairs_of(times):
    return [(i, j) for i, j in itertools.product(range(len(times)), repeat=2) if times[i] < times[j]]


def differences(V, pairs):
    V = np.asarray(V, dtype=np.float64)
    return np.array([V[j] - V[i] for i, j in pairs])


def primal(u, D, C, loss):
    hinges = np.maximum(0.0, 1.0 - D @ u)
    return 0.5 * u @ u + C * np.sum(hinges if loss == "hinge" else hinges**2)


def dual(alpha, D, C, loss):
    value = alpha.sum() - 0.5 * np.sum((alpha @ D) ** 2)
    return value if loss == "hinge" else value - np.sum(alpha**2) / (4 * C)


def checked(V, C, loss, times):
    """Return rank_svm's result; its gap must be the one that u and the dual variables give."""
    result = rank_svm(V, C, loss=loss, times=times, tol=1e-9)
    pairs = [tuple(map(int, pair)) for pair in result.pairs]
    assert sorted(pairs) == pairs_of(times)
    D = differences(V, pairs)
    assert (result.dual >= 0).all()
    assert loss == "squared_hinge" or (result.dual <= C).all()
    above, below = primal(result.u, D, C, loss), dual(result.dual, D, C, loss)
    gap = (above - below) / above
    assert -1e-12 <= gap <= 1e-9
    assert result.objective == pytest.approx(above, rel=1e-9, abs=1e-12)
    assert result.gap == pytest.approx(max(gap, 0.0), abs=1e-12)
    return result


# -- every active set in turn --------------------------------------------------------------------------------


def hinge_by_active_sets(D, C):
    """Try each pair at 0 (margin at least 1), at C (at most 1) or between (exactly 1) until all KKT hold."""
    K = D @ D.T
    for states in itertools.product((0, 1, 2), repeat=len(D)):
        states = np.array(states)
        free = np.flatnonzero(states == 2)
        alpha = np.where(states == 1, C, 0.0)
        if len(free):
            alpha[free] = np.linalg.lstsq(K[np.ix_(free, free)], 1.0 - K[free] @ alpha, rcond=None)[0]
        margins = K @ alpha
        allowed = (
            (alpha >= -1e-10 * C)
            & (alpha <= C * (1 + 1e-10))
            & np.choose(states, (margins >= 1 - 1e-9, margins <= 1 + 1e-9, abs(margins - 1) <= 1e-9))
        )
        if allowed.all():
            return alpha @ D
    raise AssertionError("no active set satisfies the optimality conditions")


def squared_hinge_by_active_sets(D, C):
    """Try each subset of the pairs as those with margins below 1: a ridge regression on it."""
    for active in itertools.product((False, True), repeat=len(D)):
        A = D[np.array(active)]
        u = np.linalg.solve(np.eye(D.shape[1]) + 2 * C * A.T @ A, 2 * C * A.sum(axis=0))
        margins = D @ u
        if np.where(active, margins <= 1 + 1e-9, margins >= 1 - 1e-9).all():
            return u
    raise AssertionError("no subset of the pairs agrees with its own solution")


@settings(deadline=None, max_examples=60)
@given(
    # Few small whole numbers: repeated frames, constant clips and collinear frames turn up by themselves
    V=st.integers(1, 3).flatmap(
        lambda d: st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=2, max_size=4)
    ),
    times=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    C=st.sampled_from([0.01, 0.125, 1.0, 20.0]),
    loss=st.sampled_from(LOSSES),
)
def test_the_active_set_that_fits(V, times, C, loss):
    times = times[: len(V)]
    assume(min(times) < max(times))
    D = differences(V, pairs_of(times))
    u = (hinge_by_active_sets if loss == "hinge" else squared_hinge_by_active_sets)(D, C)
    optimum = primal(u, D, C, loss)
    result = checked(V, C, loss, times)
    assert result.objective == pytest.approx(optimum, rel=2e-9, abs=2e-9)
    # strong convexity: the error of u is at most the root of twice the gap
    assert np.linalg.norm(result.u - u) <= np.sqrt(2 * 2e-9 * max(1.0, optimum)) + 1e-9


# -- CVXPY on the dual problem -------------------------------------------------------------------------------


def dual_optimum(D, C, loss):
    alpha = cvxpy.Variable(len(D), nonneg=True)
    value = cvxpy.sum(alpha) - 0.5 * cvxpy.sum_squares(np.linalg.qr(D.T, mode="r") @ alpha)
    if loss == "squared_hinge":
        value -= cvxpy.sum_squares(alpha) / (4 * C)
    bound = [alpha <= C] if loss == "hinge" else []
    return cvxpy.Problem(cvxpy.Maximize(value), bound).solve(solver=cvxpy.CLARABEL)


@st.composite
def wide_problems(draw):
    """Histograms and floats of up to 14 frames, with many more features than frames and with fewer."""
    T, d = draw(st.integers(2, 14)), draw(st.sampled_from([1, 2, 5, 13, 60, 300]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["counts", "float32", "unit", "repeated", "line"]))
    if kind == "counts":
        V = rng.poisson(4.0, (T, d)) + np.arange(T)[:, None] * rng.integers(0, 2, d)
    elif kind == "float32":
        V = np.cumsum(rng.normal(size=(T, d)), axis=0).astype(np.float32)
    elif kind == "unit":
        V = rng.random((T, d))
        V /= np.linalg.norm(V, axis=1, keepdims=True)
    elif kind == "repeated":
        V = np.repeat(rng.normal(size=(T, d)), 2, axis=0)[:T]
    else:
        V = np.outer(rng.normal(size=T), rng.normal(size=d)) + 3.0
    times = np.arange(T) // draw(st.sampled_from([1, 1, 2]))
    assume(times[-1] > 0)
    C = draw(st.sampled_from([1e-3, 0.03, 1.0, 10.0]))
    return V, times, C, draw(st.sampled_from(LOSSES))


@settings(deadline=None, max_examples=60)
@given(wide_problems())
def test_the_optimum_of_the_dual_problem(problem):
    V, times, C, loss = problem
    result = checked(V, C, loss, times)
    optimum = dual_optimum(differences(V, pairs_of(times)), C, loss)
    assert result.objective == pytest.approx(optimum, rel=1e-5, abs=1e-6)


# -- errors, whichever function is called --------------------------------------------------------------------

GOOD = np.arange(15.0).reshape(5, 3) ** 2
FUNCTIONS = {
    "rank_svm": rank_svm,
    "rank_pool": rank_pool,
    "svr": lambda V, C=1.0, **rest: rank_pool(V, C, method="svr", **rest),
    "smoothed": lambda V, C=1.0, **rest: rank_pool(V, C, smoothing="tvm", normalize="l2", **rest),
    "hierarchical": hierarchical_rank_pool,
    "dynamic_image": lambda V, C=1.0: dynamic_image(np.expand_dims(V, 1), C),
    "RankPooling": lambda V, C=1.0: RankPooling(C).fit_transform([V]),
    "HierarchicalRankPooling": lambda V, C=1.0: HierarchicalRankPooling(C).fit_transform([V]),
    "approximate": approximate_rank_pool,
}


def changed(value):
    V = GOOD.copy()
    V[3, 1] = value
    return V


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    ("V", "match"),
    [
        (GOOD[:1], "V has 1 frame"),
        (GOOD[:0], "V has 0 frames"),
        (GOOD[:, :0], "V has 0 features"),
        (changed(np.nan), r"V\[3, 1\] is nan"),
        (changed(np.inf), r"V\[3, 1\] is inf"),
        (changed(-np.inf), r"V\[3, 1\] is -inf"),
    ],
)
def test_bad_frames(function, V, match):
    with pytest.raises(ValueError, match=match):
        function(V)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "approximate"])
@pytest.mark.parametrize("C", [0, -1.0, np.nan, np.inf])
def test_bad_C(name, C):
    with pytest.raises(ValueError, match=r"C is (0|-1.0|nan|inf); it must be positive and finite"):
        FUNCTIONS[name](GOOD, C=C)


@pytest.mark.parametrize("name", ["rank_svm", "rank_pool", "svr", "smoothed", "approximate"])
@pytest.mark.parametrize(
    ("times", "match"),
    [
        (range(4), r"times has shape \(4,\); V has 5 frames"),
        (range(6), r"times has shape \(6,\); V has 5 frames"),
        ([0, 1, 2, 3, np.nan], r"times\[4\] is nan"),
        ([2] * 5, "times are all equal"),
    ],
)
def test_bad_times(name, times, match):
    with pytest.raises(ValueError, match=match):
        FUNCTIONS[name](GOOD, times=times)
