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

import rankpool
from rankpool import _dense_kernels, _kernels, _lagrangian_kernels, approximate_rank_pool, rank_svm

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


def test_a_sparse_sequence_beyond_the_reach_of_float64():
    import scipy.sparse

    V = scipy.sparse.csr_array(GOOD)
    with pytest.raises(ValueError, match="V overflows"):
        rank_svm(V * 1e200)
    with pytest.raises(ValueError, match="V underflows"):
        rank_svm(V * 1e-200)
    assert rank_svm(V * 0).objective == 6


# -- input kinds ---------------------------------------------------------------------------------------------


def test_dtypes_and_layouts_agree():
    counts = np.random.default_rng(0).integers(0, 50, (14, 300))
    expected = rank_svm(counts.astype(np.float64)).u
    for dtype in ("u1", "u2", "i4", "i8", "f2", "f4", ">f8", ">i4"):
        np.testing.assert_allclose(rank_svm(counts.astype(dtype)).u, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(rank_svm(np.asfortranarray(counts)).u, rank_svm(counts).u)
    np.testing.assert_array_equal(rank_svm(counts.tolist()).u, rank_svm(counts).u)
    np.testing.assert_array_equal(rank_svm(counts > 25).u, rank_svm((counts > 25).astype(int)).u)


def test_whole_numbers_too_large_for_float32_are_exact():
    """Dot products beyond 2^24 leave float32 behind, in the middle of the panels too."""
    rng = np.random.default_rng(1)
    V = rng.integers(0, 5, (70, 6000))
    V[:, 4000:] = rng.integers(0, 2**23, (70, 2000))
    V[:, 5000] = rng.normal(size=70) * 1000
    from rankpool._frames import gram

    for frames in (V, V.astype(np.float64), np.where(np.arange(6000) == 100, V + 0.5, V)):
        offset = frames.astype(np.float64) - frames[0].astype(np.float64)
        np.testing.assert_allclose(gram(frames), offset @ offset.T, rtol=1e-12)
    np.testing.assert_array_equal(gram(V[:, :4000]), (V - V[0])[:, :4000] @ (V - V[0])[:, :4000].T)


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


def test_reversed_frames_flip_the_sign():
    V = walk(12, 5)
    np.testing.assert_allclose(rank_svm(V[::-1], tol=1e-10).u, -rank_svm(V, tol=1e-10).u, atol=1e-5)


GOOD = np.arange(12.0).reshape(4, 3) ** 2


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"V": GOOD[:1]}, ValueError, "V has 1 frame; rank pooling needs at least 2"),
        ({"V": GOOD[:0]}, ValueError, "V has 0 frames"),
        ({"V": GOOD[:, :0]}, ValueError, "0 features"),
        ({"V": GOOD[0]}, ValueError, "V has 1 dimensions"),
        ({"V": GOOD[None]}, ValueError, "V has 3 dimensions"),
        ({"V": GOOD + 1j}, TypeError, "complex128"),
        ({"V": [["a", "b"], ["c", "d"]]}, TypeError, "real numbers"),
        ({"V": [[None, 1.0], [2.0, 3.0]]}, ValueError, r"V\[0, 0\] is nan"),
        ({"C": 0}, ValueError, "C is 0; it must be positive"),
        ({"C": -1.0}, ValueError, "C is"),
        ({"C": np.nan}, ValueError, "C is nan"),
        ({"C": np.inf}, ValueError, "C is inf"),
        ({"C": "1"}, TypeError, "C is '1'"),
        ({"C": True}, TypeError, "C is True"),
        ({"tol": 0.0}, ValueError, "tol is 0.0"),
        ({"tol": -1e-6}, ValueError, "tol is"),
        ({"max_iter": 0}, ValueError, "max_iter is 0"),
        ({"max_iter": 1.5}, ValueError, "max_iter is 1.5"),
        ({"loss": "logistic"}, ValueError, "loss is 'logistic'"),
        ({"times": [1, 2, 3]}, ValueError, r"times has shape \(3,\); V has 4 frames"),
        ({"times": [[1, 2, 3, 4]]}, ValueError, "times has shape"),
        ({"times": [1, 2, np.nan, 4]}, ValueError, r"times\[2\] is nan"),
        ({"times": ["a", "b", "c", "d"]}, TypeError, "times has dtype"),
        ({"times": [5, 5, 5, 5]}, ValueError, "times are all equal"),
    ],
)
def test_errors(change, error, match):
    with pytest.raises(error, match=match):
        rank_svm(**({"V": GOOD} | change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("frame", [0, 1, 2, 3])
def test_not_finite(frame, dtype, value):
    V = GOOD.astype(dtype)
    V[frame, 1] = value
    for function in (rank_svm, approximate_rank_pool, rankpool.rank_pool):
        with pytest.raises(ValueError, match=rf"V\[{frame}, 1\] is -?(nan|inf); V must be finite"):
            function(V[:, :])


def test_features_beyond_float64_squared():
    with pytest.raises(ValueError, match="overflows"):
        rank_svm(GOOD * 1e200)
    with pytest.raises(ValueError, match="underflows"):
        rank_svm(GOOD * 1e-200)


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


# -- kernels against NumPy -----------------------------------------------------------------------------------


def random_state(T=9, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    later = np.array([2, 2, 3, 6, 6, 6, 8, 8, 9]) if ties else np.arange(1, T + 1)
    end = np.array([6] * 6 + [9] * 3) if ties else np.full(T, T)  # two groups
    i, j = np.nonzero((np.arange(T) >= later[:, None]) & (np.arange(T) < end[:, None]))
    A = np.zeros((len(i), T))
    A[np.arange(len(i)), i], A[np.arange(len(i)), j] = -1, 1
    C = 2.0
    return rng, later, end, A, C, rng.uniform(0.1, 1.9, len(i))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_frame_kernels(dtype):
    rng = np.random.default_rng(0)
    V = (rng.normal(size=(7, 3001)) * 10).astype(dtype)
    D = V.astype(np.float64) - V[0].astype(np.float64)
    beta, u, f = rng.normal(size=7), np.empty(3001), np.empty(7)
    _kernels.combine(V, beta, u)
    np.testing.assert_allclose(u, beta @ D, rtol=1e-12, atol=1e-12)
    _kernels.relative_scores(V, u, f)
    np.testing.assert_allclose(f, D @ u, rtol=1e-12)
    for T in (2, 3, 4, 5, 7):  # four frames at a time
        squares = _kernels.weigh(V[:T], beta[:T], 2 * beta[:T], u, f[:T])
        np.testing.assert_allclose(u, beta[:T] @ D[:T], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(f[:T], D[:T] @ u, rtol=1e-12)
        np.testing.assert_allclose(squares, (u @ u, 4 * u @ u), rtol=1e-12)
    panel = np.empty((7, 100))
    _kernels.relative_panel(V, 500, 100, panel)
    np.testing.assert_array_equal(panel, D[:, 500:600])
    assert _kernels.whole_panel(V, 500, 100, 1.0, panel) == (dtype is np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_frames_in_float32(dtype):
    V = np.random.default_rng(0).integers(0, 50, (6, 300)).astype(dtype)
    panel, offset = np.empty((6, 300), np.float32), V - V[0]
    for unit in (1.0, 4.0, 4096.0):
        assert _kernels.whole_unit(V[0] / dtype(unit)) == unit
        assert _kernels.whole_panel(V / dtype(unit), 0, 300, dtype(unit), panel)
        np.testing.assert_array_equal(panel, offset)
    assert _kernels.whole_unit(V[0] / 3) == 0
    assert _kernels.whole_unit(V[0] / 8192) == 0
    for t, k, change in ((3, 7, 4096), (0, 5, 2.0**-20)):  # its square is 2^24; a difference rounded to whole
        damaged = V.copy()
        damaged[t, k] = damaged[t, k] * (t > 0) + change
        assert not _kernels.whole_panel(damaged, 0, 300, dtype(1), panel)


@pytest.mark.parametrize("ties", [False, True])
def test_pair_sums_and_hinges(ties):
    rng, later, end, A, _, alpha = random_state(ties=ties)
    beta = np.empty(9)
    sums = _kernels.pair_sums(alpha, later, end, beta)
    np.testing.assert_allclose(sums, (alpha.sum(), alpha @ alpha), rtol=1e-13)
    np.testing.assert_allclose(beta, A.T @ alpha, atol=1e-14)
    f = rng.normal(size=9)
    m = A @ f
    for power in (1, 2):
        expected = (np.maximum(0, 1 - m) ** power).sum()
        assert _kernels.hinge_sum(f, later, end, power) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("delta", [2.0, 0.05])
def test_multipliers(delta, ties, power):
    rng, later, end, A, C, base = random_state(ties=ties)
    q, bound = (0.0, C) if power == 1 else (0.25 / C, np.inf)
    f, beta, out = rng.normal(size=9), np.empty(9), np.empty(len(A))
    sums = _lagrangian_kernels.multipliers(f, base, later, end, delta, q, bound, power, out, beta)
    h = 1 - A @ f
    expected = np.clip((h + delta * base) / (delta + q), 0, bound)
    np.testing.assert_allclose(out, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(beta, A.T @ expected, atol=1e-9)
    loss, moved = (np.maximum(h, 0) ** power).sum(), ((expected - base) ** 2).sum()
    inside = ((expected > 0) & (expected < bound)).sum()
    np.testing.assert_allclose(sums, (expected.sum(), expected @ expected, loss, moved, inside), rtol=1e-11)
    assert inside if delta == 2.0 or power == 2 else {0.0, C} <= set(out)


def test_multipliers_ignore_what_rounding_leaves_of_a_margin():
    f, base, out, beta = 1e6 * np.arange(3.0), np.zeros(3), np.empty(3), np.empty(3)
    f[1] = 1.0 - 1e-10
    later, end = np.arange(1, 4), np.full(3, 3)
    assert _lagrangian_kernels.multipliers(f, base, later, end, 1.0, 0.0, 1.0, 1, out, beta)[2] == 0
    assert out[0] == pytest.approx(1e-10)  # the multiplier is as it is


@pytest.mark.parametrize("bound", [2.0, np.inf])
@pytest.mark.parametrize("ties", [False, True])
def test_window_kernels(ties, bound):
    rng, later, end, A, _, alpha = random_state(ties=ties)
    alpha = np.clip(rng.normal(size=len(alpha)) * 2, 0, 2)
    inside = (alpha > 0) & (alpha < bound)
    L = np.full((9, 9), np.nan)
    _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, bound, L)
    np.testing.assert_array_equal(L, A[inside].T @ A[inside])
    x, out = rng.normal(size=9), np.empty(9)
    _lagrangian_kernels.window_product(alpha, later, end, bound, x, out)
    np.testing.assert_allclose(out, L @ x, atol=1e-13)
    i, j = np.empty((2, inside.sum()), np.intp)
    _lagrangian_kernels.list_window(alpha, later, end, bound, i, j)
    np.testing.assert_array_equal(np.eye(9)[j] - np.eye(9)[i], A[inside])
    B = rng.normal(size=(9, 4))
    M = np.full((_dense_kernels.padded(len(i)),) * 2, np.nan)
    _kernels.pair_matrix(B @ B.T, i, j, 0.3, M)
    lower = np.tril(np.ones((len(i), len(i)), bool))
    D = A[inside] @ B
    np.testing.assert_allclose(
        M[: len(i), : len(i)][lower], (D @ D.T + 0.3 * np.eye(len(i)))[lower], atol=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.6])  # by pairs, by a list, by the whole Laplacian
def test_direction_solves_the_newton_equation(share, ties):
    rng = np.random.default_rng(0)
    T, rank, C, ridge = 50, 30, 2.0, 1e-2
    later, end = np.arange(1, T + 1), np.full(T, T)
    if ties:
        later, end = np.minimum(2 * (np.arange(T) // 2) + 2, 30), np.full(T, 30)
        later[30:], end[30:] = np.arange(31, T + 1), T
    n = (end - later).sum()
    alpha = np.where(rng.random(n) < share, 1.0, C * rng.integers(0, 2, n))
    inside = int((alpha == 1.0).sum())
    R = np.zeros((_dense_kernels.padded(rank), _dense_kernels.padded(T)))
    R[:rank, :T] = rng.normal(size=(rank, T))
    Rt = R[:rank, :T]
    problem = _lagrangian_kernels.Problem(Rt.T @ Rt, R, rank, later, end, C, False)
    workspace = _lagrangian_kernels.Workspace(
        np.zeros((R.shape[1],) * 2), np.zeros_like(R), np.zeros((len(R),) * 2)
    )
    p, residual = np.zeros((2, len(R)))
    residual[:rank] = rng.normal(size=rank)
    D = np.zeros((T, T))
    _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, C, D)
    curvature = np.eye(rank) + Rt @ D @ Rt.T / ridge

    def direction(residual, factored):
        return _lagrangian_kernels.direction(
            problem, alpha, C, ridge, inside, residual, factored, workspace, p
        )

    slope, factored = direction(residual, False)
    np.testing.assert_allclose(curvature @ p[:rank], -residual[:rank], atol=1e-9)
    assert slope == pytest.approx(p @ residual)
    assert factored == (inside > rank) == (share > 0.02)
    if factored:  # conjugate gradients with the factor of another window; or that of this one, which is exact
        residual[:rank] = rng.normal(size=rank)
        assert direction(residual, True) == (pytest.approx(p @ residual), True)
        np.testing.assert_allclose(curvature @ p[:rank], -residual[:rank], atol=1e-9)
        some = np.flatnonzero(alpha == 1.0)[::5]
        alpha[some] = C
        inside -= len(some)
        _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, C, D)
        curvature = np.eye(rank) + Rt @ D @ Rt.T / ridge
        direction(residual, True)
        error = curvature @ p[:rank] + residual[:rank]
        exact = np.linalg.solve(curvature, -residual[:rank])
        assert 0 < error @ np.linalg.solve(curvature, error) < 0.05 * (exact @ curvature @ exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "others", "d"), [(4, 5, 1), (8, 68, 37), (71, 12, 600), (130, 72, 64)])
def test_products(rows, others, d, dtype):
    rng = np.random.default_rng(rows)
    spare, other_spare = _dense_kernels.padded(rows), _dense_kernels.padded(others)
    P, Q = rng.integers(-9, 9, (spare, d)).astype(dtype), rng.integers(-9, 9, (other_spare, d)).astype(dtype)
    K = np.ones((spare, other_spare))
    _dense_kernels.add_products(P, rows, Q, others, d, False, K)
    P, Q = P[:rows], Q[:others]
    np.testing.assert_array_equal(K[:rows, :others], 1 + P @ Q.T)
    K = np.ones((spare, spare))
    _dense_kernels.add_products(np.vstack([P, P])[:spare], rows, np.vstack([P, P])[:spare], rows, d, True, K)
    K = np.ascontiguousarray(K[:rows, :rows])
    _dense_kernels.mirror(K)
    np.testing.assert_array_equal(K, 1 + P @ P.T)
    x, y = rng.normal(size=d), rng.normal(size=rows)
    out, out_transposed = np.empty(rows), np.empty(d)
    _dense_kernels.row_products(P.astype(np.float64), x, out)
    _dense_kernels.row_sum(P.astype(np.float64), y, out_transposed)
    np.testing.assert_allclose(out, P @ x, atol=1e-12)
    np.testing.assert_allclose(out_transposed, P.T @ y, atol=1e-12)


@pytest.mark.parametrize("n", [1, 4, 7, 12, 13, 76, 600])
def test_cholesky_and_solves(n):
    rng = np.random.default_rng(n)
    B = rng.normal(size=(n, n))
    M = B @ B.T + np.eye(n)
    # what is beside the lower triangle does not matter
    factor = np.full((_dense_kernels.padded(n),) * 2, np.nan)
    factor[:n, :n] = np.where(np.tri(n, dtype=bool), M, np.nan)
    assert _dense_kernels.cholesky(factor, n)
    L = np.tril(factor[:n, :n])
    np.testing.assert_allclose(L, np.linalg.cholesky(M), rtol=1e-8, atol=1e-10)
    x = rng.normal(size=n)
    solved = x.copy()
    _dense_kernels.solve_lower(factor, solved)
    np.testing.assert_allclose(L @ solved, x, rtol=1e-9, atol=1e-10)
    _dense_kernels.solve_lower_transposed(factor, solved)
    np.testing.assert_allclose(M @ solved, x, rtol=1e-8, atol=1e-8)
    factor[:n, :n] = M
    factor[n - 1, n - 1] = L[n - 1, : n - 1] @ L[n - 1, : n - 1] - 1e-6
    assert not _dense_kernels.cholesky(factor, n)


@pytest.mark.parametrize("rank", [0, 1, 5, 12])
def test_pivoted_cholesky(rank):
    B = np.random.default_rng(rank).normal(size=(12, rank))
    K = B @ B.T
    R, pivots = np.zeros((12, 12)), np.zeros(12, np.intp)
    assert _dense_kernels.pivoted_cholesky(K, R, pivots) == rank
    np.testing.assert_allclose(R[:rank].T @ R[:rank], K, atol=1e-12)
    square = R[:rank, pivots[:rank]]
    np.testing.assert_array_equal(square, np.triu(square))
