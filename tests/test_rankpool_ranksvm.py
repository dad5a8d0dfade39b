import itertools
import subprocess
import sys
import warnings

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from rankpool import approximate_rank_pool, rank_svm

LOSSES = ("hinge", "squared_hinge")


def pair_differences(V, times=None):
    V = np.asarray(V, dtype=np.float64)
    times = np.arange(len(V)) if times is None else np.asarray(times)
    pairs = [(i, j) for i, j in itertools.product(range(len(V)), repeat=2) if times[i] < times[j]]
    return np.array([V[j] - V[i] for i, j in pairs]), pairs


def primal(u, differences, C, loss):
    hinges = np.maximum(0, 1 - differences @ u)
    return 0.5 * u @ u + C * (hinges if loss == "hinge" else hinges**2).sum()


def check_certificate(V, C, loss, result, times=None):
    """Recompute objective, dual objective and gap from u and the dual variables with plain NumPy."""
    differences, pairs = pair_differences(V, times)
    assert result.u.shape == (np.shape(V)[1],)
    assert type(result.objective) is type(result.gap) is type(result.dual_objective) is float
    assert np.isfinite(result.u).all()
    assert result.objective == pytest.approx(primal(result.u, differences, C, loss), rel=1e-7, abs=1e-12)

    assert sorted(map(tuple, result.pairs)) == sorted(pairs)
    alpha = np.array([dict(zip(map(tuple, result.pairs), result.dual, strict=True))[p] for p in pairs])
    assert alpha.min() >= 0
    dual = alpha.sum() - 0.5 * np.sum((alpha @ differences) ** 2)
    if loss == "hinge":
        assert alpha.max() <= C
    else:
        dual -= (alpha**2).sum() / (4 * C)
    assert result.dual_objective == pytest.approx(dual, rel=1e-7, abs=1e-7 * result.objective)
    gap = max(0.0, result.objective - result.dual_objective) / result.objective
    assert result.gap == pytest.approx(gap, rel=1e-12)

    assert abs(result.beta.sum()) <= 1e-9 * np.abs(result.beta).sum()
    offset = np.asarray(V, dtype=np.float64) - np.asarray(V[0], dtype=np.float64)
    rounding = 1e-15 * (np.abs(offset).T @ np.abs(result.beta)).max()
    np.testing.assert_allclose(
        offset.T @ result.beta, result.u, rtol=1e-6, atol=1e-9 * np.abs(result.u).max() + rounding
    )


def reference(V, C, loss, times=None):
    """Return the optimal objective by CVXPY's interior point on the pair differences."""
    differences, _ = pair_differences(V, times)
    u = cvxpy.Variable(differences.shape[1])
    hinges = cvxpy.pos(1 - differences @ u)
    cost = cvxpy.sum(hinges) if loss == "hinge" else cvxpy.sum_squares(hinges)
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(u) + C * cost))
    return problem.solve(solver=cvxpy.CLARABEL)


def walk(T, d, seed=0, drift=0.0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(T, d)) + drift, axis=0)


# -- against other solvers -----------------------------------------------------------------------------------


@st.composite
def problems(draw):
    T = draw(st.integers(2, 9))
    d = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["integer", "float", "walk", "repeated", "collinear", "constant"]))
    if kind == "integer":
        V = rng.integers(-3, 4, (T, d))
    elif kind == "walk":
        V = np.cumsum(rng.normal(size=(T, d)) + 0.5, axis=0)
    elif kind == "repeated":
        V = rng.normal(size=(3, d))[rng.integers(0, 3, T)]
    elif kind == "collinear":
        V = rng.normal(size=(T, 1)) * rng.normal(size=(1, d)) + rng.normal(size=d)
    elif kind == "constant":
        V = np.tile(rng.normal(size=d), (T, 1))
    else:
        V = rng.normal(size=(T, d))
    times = None
    if draw(st.booleans()):
        times = rng.integers(0, T, T)  # ties and any order
        if times.min() == times.max():
            times[0] += 1
    return V, times, draw(st.sampled_from([1e-3, 0.1, 1.0, 30.0])), draw(st.sampled_from(LOSSES))


@settings(deadline=None, max_examples=150)
@given(problems())
def test_optimal_on_small_problems(problem):
    V, times, C, loss = problem
    result = rank_svm(V, C, loss=loss, times=times, tol=1e-9)
    assert result.gap <= 1e-9
    check_certificate(V, C, loss, result, times)
    assert result.objective == pytest.approx(reference(V, C, loss, times), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("T", "d"), [(12, 40), (25, 6), (20, 200)])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_linear_svc_on_pair_differences_is_never_better(T, d, C, loss):
    V = walk(T, d, seed=T, drift=0.3) / np.sqrt(d)
    differences, _ = pair_differences(V)
    result = rank_svm(V, C, loss=loss, tol=1e-8)
    assert result.gap <= 1e-8
    svc = LinearSVC(C=C, loss=loss, fit_intercept=False, dual=True, tol=1e-8, max_iter=500_000)
    # LinearSVC wants two classes: turn every other pair round
    sign = np.where(np.arange(len(differences)) % 2, -1.0, 1.0)
    svc.fit(differences * sign[:, None], sign)
    theirs = primal(svc.coef_[0], differences, C, loss)
    assert result.objective <= theirs * (1 + 1e-8)
    np.testing.assert_allclose(result.u, svc.coef_[0], atol=2e-3 * np.abs(result.u).max())


# -- regimes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "method"), [(10.0, "chain"), (0.03, "augmented-lagrangian"), (1e-4, "saturated")]
)
def test_each_regime_is_used_and_optimal(scale, method):
    V = scale * walk(10, 300, drift=0.2)
    result = rank_svm(V)
    assert result.method == method
    assert (result.n_iter == 0) == (method != "augmented-lagrangian")
    assert result.gap <= (1e-6 if result.n_iter else 1e-9)
    check_certificate(V, 1.0, "hinge", result)
    assert result.objective == pytest.approx(reference(V, 1.0, "hinge"), rel=1e-5)


@pytest.mark.parametrize(("C", "method"), [(1.0, "chain"), (3e-3, "chain"), (1e-3, "augmented-lagrangian")])
def test_chain_of_the_squared_hinge(C, method):
    """Adjacent margins are 1 - a/(2C), and the others have to be at least 1 by themselves."""
    V = walk(12, 300, drift=0.2)
    result = rank_svm(V, C, loss="squared_hinge")
    assert result.method == method
    check_certificate(V, C, "squared_hinge", result)
    assert result.objective == pytest.approx(reference(V, C, "squared_hinge"), rel=1e-6)
    scores = V @ result.u
    assert (scores[2:] - scores[:-2] >= 1).all() == (method == "chain")
    if method == "chain":
        a = result.dual[(np.diff(result.pairs) == 1)[:, 0]]
        assert result.gap <= 1e-12
        assert result.dual.sum() == pytest.approx(a.sum(), rel=1e-15)
        np.testing.assert_allclose(np.diff(scores), 1 - a / (2 * C), rtol=1e-9)


def test_borders_between_the_regimes():
    """Objectives fall and the methods change in order as the features grow through all three regimes."""
    V = walk(12, 400, seed=3, drift=0.1)
    results = [rank_svm(V * s, tol=1e-8) for s in np.geomspace(1e-3, 1e3, 61)]
    assert max(r.gap for r in results) <= 1e-8
    methods = [r.method for r in results]
    assert [m for m, _ in itertools.groupby(methods)] == ["saturated", "augmented-lagrangian", "chain"]
    objectives = np.array([r.objective for r in results])
    assert (np.diff(objectives) <= 1e-8 * objectives[:-1]).all()


def test_chain_margins_are_all_one():
    V = walk(30, 200)
    result = rank_svm(V, C=1e3)
    assert result.method == "chain"
    np.testing.assert_allclose(np.diff(V @ result.u), 1.0, rtol=1e-10)
    np.testing.assert_allclose(
        result.u, np.linalg.pinv(np.diff(V, axis=0)) @ np.ones(29), rtol=1e-8, atol=1e-12
    )


def test_saturated_solution_is_approximate_rank_pooling():
    V = walk(15, 20)
    result = rank_svm(V, C=1e-5)
    assert result.method == "saturated"
    np.testing.assert_allclose(result.u, 1e-5 * approximate_rank_pool(V), rtol=1e-12)


def test_approximate_rank_pool_is_the_sum_of_the_pair_differences():
    rng = np.random.default_rng(5)
    V = rng.integers(0, 200, (9, 7)).astype(np.uint8)
    np.testing.assert_array_equal(approximate_rank_pool(V), pair_differences(V)[0].sum(axis=0))
    times = rng.integers(0, 4, 9)
    np.testing.assert_array_equal(
        approximate_rank_pool(V, times=times), pair_differences(V, times)[0].sum(axis=0)
    )


# -- degenerate and extreme input ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-6, 1.0, 1e6])
def test_constant_clip(C, loss):
    result = rank_svm(np.full((7, 5), 3.25), C, loss=loss)
    np.testing.assert_array_equal(result.u, np.zeros(5))
    assert result.objective == pytest.approx(C * 21)
    assert result.gap == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_two_frames_in_closed_form(loss):
    a, b = np.array([1.0, 2.0, 0.0]), np.array([2.0, 0.0, 0.5])
    square = (b - a) @ (b - a)
    for C in (0.01, 1.0):
        alpha = min(C, 1 / square) if loss == "hinge" else 1 / (square + 1 / (2 * C))
        np.testing.assert_allclose(rank_svm([a, b], C, loss=loss, tol=1e-12).u, alpha * (b - a), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_palindrome_gives_zero(loss):
    """The sum of all pair differences vanishes, but the frames are not constant."""
    V = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    result = rank_svm(V, 0.1, loss=loss)
    np.testing.assert_allclose(result.u, 0, atol=1e-4)
    check_certificate(V, 0.1, loss, result)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("d", [4, 60])  # not separable, separable
def test_extreme_scales_are_solved(d, scale, C, loss):
    V = scale * walk(20, d, seed=1)
    result = rank_svm(V, C, loss=loss)  # a ConvergenceWarning would be no failure of honesty, but none comes
    assert result.gap <= 1e-6
    check_certificate(V, C, loss, result)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("d", [4, 60])
def test_rescaled_features_give_the_rescaled_answer(d, loss):
    """u(sV, C) = u(V, s² C)/s, and both end at the same gap relative to their objectives."""
    V = walk(20, d, seed=2)
    u = rank_svm(V, 0.5, loss=loss, tol=1e-9).u
    for s in (1 / 1024, 2048.0):
        np.testing.assert_allclose(s * rank_svm(s * V, 0.5 / s**2, loss=loss, tol=1e-9).u, u, rtol=1e-9)


def test_frames_far_from_the_origin():
    V = walk(15, 50, seed=4) / 50
    near = rank_svm(V, tol=1e-9)
    far = rank_svm(V + 1e6, tol=1e-9)
    assert far.gap <= 1e-9
    np.testing.assert_allclose(far.u, near.u, atol=1e-4 * np.abs(near.u).max())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", LOSSES)
def test_badly_scaled_features_give_an_honest_gap(loss):
    """Features over eight decades, beyond the Gram matrix's precision: no convergence maybe, but no lie."""
    rng = np.random.default_rng(6)
    for C in (1e-3, 1e3):
        V = walk(30, 20, seed=11) * 10.0 ** rng.uniform(-4, 4, 20)
        check_certificate(V, C, loss, rank_svm(V, C, loss=loss))


def test_warning_names_the_gap():
    V = walk(20, 4)
    with pytest.warns(ConvergenceWarning, match=r"relative duality gap of \d\.\de.* above tol=1.0e-06"):
        result = rank_svm(V, max_iter=2)
    assert result.n_iter == 2
    assert result.gap > 1e-6
    check_certificate(V, 1.0, "hinge", result)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e6])
def test_unreachable_tolerance_ends_at_the_rounding(C, loss):
    result = rank_svm(walk(20, 4), C, loss=loss, tol=1e-30)
    assert result.n_iter < 60
    assert result.gap <= 1e-9


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("d", [3, 500])
def test_long_sequence(d, loss):
    V = walk(400, d, seed=7) / np.sqrt(d)
    result = rank_svm(V, 0.1, loss=loss)
    assert result.gap <= 1e-6
    assert len(result.dual) == 400 * 399 // 2
    assert result.objective == pytest.approx(
        primal(result.u, V[np.triu_indices(400, 1)[1]] - V[np.triu_indices(400, 1)[0]], 0.1, loss)
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("scale", "C"), [(255.0, 1e-8), (1.0, 1e-6), (1e4, 1e-8), (1e-3, 1e-12)])
def test_the_gap_is_relative_where_the_objective_is_small(scale, C, loss):
    """Over max(1, objective) any gap at all is below 1e-6 here."""
    V = scale * walk(20, 6, seed=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = rank_svm(V, C, loss=loss, max_iter=1, tol=1e-9)
    assert result.objective < 1e-2
    check_certificate(V, C, loss, result)
    assert (result.gap > 1e-9) == bool(caught)
    assert rank_svm(V, C, loss=loss).gap <= 1e-6


def test_one_step_at_a_small_objective_is_warned_about():
    with pytest.warns(ConvergenceWarning, match="relative duality gap of"):
        result = rank_svm(1e4 * walk(20, 6, seed=3), 1e-6, max_iter=1)
    assert result.objective < 1e-3
    assert result.gap > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-300, 1e-200, 1e200, 1e307, 5e-324, 10**400])
def test_C_beyond_the_reach_of_float64(C, loss):
    with pytest.raises(ValueError, match=r"^C is "):
        rank_svm(walk(20, 4), C, loss=loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-150, 1e-100, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("d", [4, 60])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_C_at_the_reach_of_float64(d, C, loss):
    result = rank_svm(walk(20, d), C, loss=loss)
    assert np.isfinite(result.u).all()
    assert 0 <= result.gap <= 1
    assert result.gap <= 1e-6 or (d == 4 and C >= 1e30)  # ranked with errors, each at a huge price
    assert result.objective <= C * result.n_pairs
    assert result.dual_objective >= 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-99, 1e-40, 1e40, 1e99])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_frames_of_any_magnitude_with_their_C(scale, loss):
    V = walk(20, 6, seed=2)
    C = 0.5 / scale / scale if abs(np.log10(scale)) < 75 else 0.5 / scale
    result = rank_svm(scale * V, C, loss=loss)
    assert result.gap <= 1e-6 or C * scale**2 > 1e20
    if abs(np.log10(scale)) < 75:
        np.testing.assert_allclose(scale * result.u, rank_svm(V, 0.5, loss=loss).u, rtol=1e-3, atol=1e-4)


# -- real pictures -------------------------------------------------------------------------------------------


def picture_clip(name, T=24):
    """Histograms (4 x 4 blocks of 128 grey levels) of a picture under a growing shift and noise."""
    import skimage

    picture = {"astronaut": skimage.data.astronaut()[30:142, 170:262, 1], "grass": skimage.data.grass()}
    image = picture[name][:112, :92].astype(np.float64)
    rng = np.random.default_rng(0)
    rows = []
    for t in range(T):
        shifted = np.roll(image, (t // 3, t // 5), (0, 1)) + rng.normal(size=image.shape)
        grey = np.clip(shifted, 0, 255).astype(int) // 2
        blocks = grey.reshape(4, 28, 4, 23).transpose(0, 2, 1, 3).reshape(16, -1)
        rows.append(np.concatenate([np.bincount(b, minlength=128) for b in blocks]))
    return np.array(rows)


@pytest.mark.parametrize("name", ["astronaut", "grass"])
@pytest.mark.parametrize("loss", LOSSES)
def test_histograms_of_pictures(name, loss):
    counts = picture_clip(name)
    normalised = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    methods = set()
    for V in (counts, counts / 64, normalised, counts * 1e-5):
        result = rank_svm(V, loss=loss)
        assert result.gap <= 1e-6
        check_certificate(V, 1.0, loss, result)
        methods.add(result.method)
    assert methods == {"chain", "augmented-lagrangian"} | ({"saturated"} if loss == "hinge" else set())
    scores = counts @ rank_svm(counts, loss=loss).u
    assert (np.diff(scores) > 0).all()


# -- determinism, imports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_same_bits_every_time(loss):
    V = walk(40, 30, seed=9)
    first, second = rank_svm(V, loss=loss), rank_svm(V.copy(), loss=loss)
    np.testing.assert_array_equal(first.u, second.u)
    np.testing.assert_array_equal(first.dual, second.dual)
    assert first.gap == second.gap


def test_input_is_not_changed():
    V = walk(10, 5)
    before = V.copy()
    rank_svm(V, times=np.arange(10)[::-1])
    np.testing.assert_array_equal(V, before)


def test_import_leaves_scikit_learn_alone():
    code = "import sys, rankpool; rankpool.rank_pool([[0., 1.], [1., 1.]]); print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_nothing_is_warned_about_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rank_svm(walk(20, 4))
        rank_svm(walk(20, 4), loss="squared_hinge", C=100.0)


def test_times_order_and_ties():
    rng = np.random.default_rng(8)
    V = walk(12, 30, seed=8, drift=0.3)
    expected = rank_svm(V, tol=1e-9)
    order = rng.permutation(12)
    for times in (order, order * 0.5 - 3, order.astype(np.uint8), 2.0**order):
        result = rank_svm(V[order], times=times, tol=1e-9)
        np.testing.assert_allclose(result.u, expected.u, rtol=1e-6, atol=1e-9)
        assert result.objective == pytest.approx(expected.objective, rel=1e-8)
    check_certificate(V[order], 1.0, "hinge", result, times)

    tied = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    result = rank_svm(V, times=tied, tol=1e-9)
    assert len(result.dual) == 66 - 4 * 3
    check_certificate(V, 1.0, "hinge", result, tied)
    assert result.objective == pytest.approx(reference(V, 1.0, "hinge", tied), rel=1e-6)
