import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

import rankpool
from rankpool import _kernels, approximate_rank_pool, rank_svm

FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"
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
    assert result.dual_objective == pytest.approx(dual, rel=1e-7, abs=1e-7 * max(1, result.objective))
    gap = max(0.0, result.objective - result.dual_objective) / max(1, result.objective)
    assert result.gap == pytest.approx(gap, rel=1e-12)

    assert abs(result.beta.sum()) <= 1e-9 * np.abs(result.beta).sum()
    offset = np.asarray(V, dtype=np.float64) - np.asarray(V[0], dtype=np.float64)
    np.testing.assert_allclose(
        offset.T @ result.beta, result.u, rtol=1e-6, atol=1e-9 * np.abs(result.u).max()
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
    ("scale", "method"), [(10.0, "chain"), (0.03, "interior-point"), (1e-4, "saturated")]
)
def test_each_regime_is_used_and_optimal(scale, method):
    V = scale * walk(10, 300, drift=0.2)
    result = rank_svm(V)
    assert result.method == method
    assert (result.n_iter == 0) == (method != "interior-point")
    assert result.gap <= (1e-6 if result.n_iter else 1e-9)
    check_certificate(V, 1.0, "hinge", result)
    assert result.objective == pytest.approx(reference(V, 1.0, "hinge"), rel=1e-5)


def test_borders_between_the_regimes():
    """Objectives fall and the methods change in order as the features grow through all three regimes."""
    V = walk(12, 400, seed=3, drift=0.1)
    results = [rank_svm(V * s, tol=1e-8) for s in np.geomspace(1e-3, 1e3, 61)]
    assert max(r.gap for r in results) <= 1e-8
    methods = [r.method for r in results]
    assert [m for m, _ in itertools.groupby(methods)] == ["saturated", "interior-point", "chain"]
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


def face_clip(name, T=24):
    """Histograms (4 x 4 blocks of 128 grey levels) of a portrait under a growing shift and noise."""
    from PIL import Image

    image = np.asarray(Image.open(FACES / name)).astype(np.float64)
    rng = np.random.default_rng(0)
    rows = []
    for t in range(T):
        shifted = np.roll(image, (t // 3, t // 5), (0, 1)) + rng.normal(size=image.shape)
        grey = np.clip(shifted, 0, 255).astype(int) // 2
        blocks = grey.reshape(4, 28, 4, 23).transpose(0, 2, 1, 3).reshape(16, -1)
        rows.append(np.concatenate([np.bincount(b, minlength=128) for b in blocks]))
    return np.array(rows)


@pytest.mark.parametrize("name", ["01.pgm", "14.pgm"])
@pytest.mark.parametrize("loss", LOSSES)
def test_histograms_of_real_faces(name, loss):
    counts = face_clip(name)
    normalised = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    methods = set()
    for V in (counts, counts / 64, normalised, counts * 1e-5):
        result = rank_svm(V, loss=loss)
        assert result.gap <= 1e-6
        check_certificate(V, 1.0, loss, result)
        methods.add(result.method)
    assert methods == ({"chain", "interior-point", "saturated"} if loss == "hinge" else {"interior-point"})
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
    alpha = rng.uniform(0.1, 1.9, len(i))
    s, xi = rng.uniform(0.1, 3, len(i)), rng.uniform(0.1, 3, len(i))
    return rng, later, end, A, C, alpha, s, xi


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
    _kernels.weigh(V, beta, 2 * beta, np.empty((7, 500)), u, f)
    np.testing.assert_allclose(u, beta @ D, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(f, D @ u, rtol=1e-12)
    squares = _kernels.weigh(V, beta, 2 * beta, np.empty((7, 3200)), u, f)
    np.testing.assert_allclose(squares, (u @ u, 4 * u @ u), rtol=1e-12)
    panel = np.empty((7, 100))
    _kernels.relative_panel(V, 500, 100, panel)
    np.testing.assert_array_equal(panel, D[:, 500:600])
    assert _kernels.whole_panel(V, 500, 100, 1.0, panel) == (dtype is np.int32)


def test_whole_frames_in_float32():
    V = np.random.default_rng(0).integers(0, 50, (6, 300)).astype(np.float64)
    panel, offset = np.empty((6, 300)), V - V[0]
    for unit in (1.0, 4.0, 4096.0):
        assert _kernels.whole_unit(V[0] / unit) == unit
        assert _kernels.whole_panel(V / unit, 0, 300, unit, panel)
        np.testing.assert_array_equal(panel, offset)
    assert _kernels.whole_unit(V[0] / 3) == 0
    assert _kernels.whole_unit(V[0] / 8192) == 0
    V[3, 7] += 4096  # its square is 2^24
    assert not _kernels.whole_panel(V, 0, 300, 1.0, panel)


@pytest.mark.parametrize("ties", [False, True])
def test_pair_sums_and_hinges(ties):
    rng, later, end, A, _, alpha, s, xi = random_state(ties=ties)
    beta = np.empty(9)
    sums = _kernels.pair_sums(alpha, later, end, beta)
    np.testing.assert_allclose(sums, (alpha.sum(), alpha @ alpha), rtol=1e-13)
    np.testing.assert_allclose(beta, A.T @ alpha, atol=1e-14)
    f = rng.normal(size=9)
    m = A @ f
    for power in (1, 2):
        expected = (np.maximum(0, 1 - m) ** power).sum()
        assert _kernels.hinge_sum(f, later, end, power) == pytest.approx(expected, rel=1e-13)
    _kernels.start_slacks(f, later, end, s, xi)
    offset = 5 * (1 + np.sqrt(np.mean(m**2)))
    np.testing.assert_allclose(s, np.maximum(m - 1, 0) + offset, rtol=1e-14)
    np.testing.assert_allclose(xi, np.maximum(1 - m, 0) + offset, rtol=1e-14)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_interior_point_kernels_solve_the_newton_equations(squared, ties):
    """The directions satisfy the linearised optimality conditions, written out here in full."""
    rng, later, end, A, C, alpha, s, xi = random_state(ties=ties)
    n, T = A.shape
    b = C - alpha
    f, df = rng.normal(size=(2, T))
    weight, h, g, L = np.empty(n), np.empty(n), np.empty(T), np.full((T, T), np.nan)
    total = _kernels.barrier_weights(alpha, s, xi, f, later, end, C, squared, weight, h, L)
    assert total == pytest.approx(alpha @ s + (0 if squared else b @ xi), rel=1e-13)
    np.testing.assert_allclose(weight, 1 / (s / alpha + (1 / (2 * C) if squared else xi / b)), rtol=1e-13)
    np.testing.assert_allclose(h, 1 - A @ f - (alpha / (2 * C) if squared else 0), rtol=1e-13)
    np.testing.assert_allclose(L, A.T @ np.diag(weight) @ A, atol=1e-13)

    ts, txi = rng.normal(size=(2, n))
    da, ds, dxi = np.zeros((3, n))
    worst, lin, quad = _kernels.barrier_direction(
        alpha, s, xi, later, end, C, squared, weight, h, df, ts, txi, da, ds, dxi
    )
    # alpha s = ts and (C - alpha) xi = txi, s = m - 1 + xi or s = m - 1 + alpha/(2C), linearised
    np.testing.assert_allclose(alpha * ds + s * da, ts - alpha * s, atol=1e-13)
    m = A @ (f + df)
    if squared:
        np.testing.assert_allclose(s + ds, m - 1 + (alpha + da) / (2 * C), atol=1e-12)
        assert (dxi == 0).all()
        changes = (alpha * ds + s * da).sum(), (da * ds).sum()
        ratios = np.concatenate([-da / alpha, -ds / s])
    else:
        np.testing.assert_allclose(b * dxi - xi * da, txi - b * xi, atol=1e-12)
        np.testing.assert_allclose(s + ds, m - 1 + xi + dxi, atol=1e-12)
        changes = (alpha * ds + s * da + b * dxi - xi * da).sum(), (da * ds - da * dxi).sum()
        ratios = np.concatenate([-da / alpha, da / b, -ds / s, -dxi / xi])
    assert worst == pytest.approx(max(0, ratios.max()), rel=1e-12)
    np.testing.assert_allclose((lin, quad), changes, rtol=1e-10)
    # the right-hand side is what the direction of alpha leaves at df = 0
    _kernels.barrier_rhs(alpha, later, end, C, squared, weight, h, ts, txi, g)
    np.testing.assert_allclose(g, A.T @ (da + weight * (A @ df)), atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
def test_corrector_targets(squared):
    rng, _, _, _, C, alpha, s, xi = random_state()
    n = len(alpha)
    da, ds, dxi, ts, txi = rng.normal(size=(5, n))
    _kernels.second_order_targets(0.3, squared, da, ds, dxi, ts, txi)
    np.testing.assert_allclose(ts, 0.3 - da * ds)
    before_s, before_xi = ts.copy(), txi.copy()
    _kernels.centrality_targets(0.3, 0.5, alpha, s, xi, C, squared, da, ds, dxi, ts, txi)
    for after, before, product in (
        (ts, before_s, (alpha + 0.5 * da) * (s + 0.5 * ds)),
        (txi, before_xi, (C - alpha - 0.5 * da) * (xi + 0.5 * dxi)),
    ):
        expected = before + np.maximum(np.clip(product, 0.03, 3) - product, -3)
        np.testing.assert_allclose(after, before if squared and after is txi else expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "others", "d"), [(4, 4, 1), (8, 68, 37), (72, 12, 600), (132, 72, 64)])
def test_products(rows, others, d, dtype):
    rng = np.random.default_rng(rows)
    P, Q = rng.integers(-9, 9, (rows, d)).astype(dtype), rng.integers(-9, 9, (others, d)).astype(dtype)
    K = np.full((rows, others), np.nan, dtype)
    _kernels.products(P, Q, K)
    np.testing.assert_array_equal(K, P @ Q.T)
    K = np.full((rows, rows), np.nan, dtype)
    _kernels.symmetric_products(P, P, K)
    _kernels.mirror(K)
    np.testing.assert_array_equal(K, P @ P.T)
    x, y = rng.normal(size=d), rng.normal(size=rows)
    out, out_transposed = np.empty(rows), np.empty(d)
    _kernels.row_products(P.astype(np.float64), x, out)
    _kernels.row_sum(P.astype(np.float64), y, out_transposed)
    np.testing.assert_allclose(out, P @ x, atol=1e-12)
    np.testing.assert_allclose(out_transposed, P.T @ y, atol=1e-12)


@pytest.mark.parametrize("n", [4, 7, 76])
def test_cholesky_and_solves(n):
    rng = np.random.default_rng(n)
    B = rng.normal(size=(n, n))
    M = B @ B.T + np.eye(n)
    factor = M.copy()
    assert _kernels.cholesky(factor)
    U = np.triu(factor)
    np.testing.assert_allclose(U.T, np.linalg.cholesky(M), rtol=1e-8, atol=1e-10)
    x = rng.normal(size=n)
    solved = x.copy()
    _kernels.solve_upper_transposed(factor, solved)
    np.testing.assert_allclose(U.T @ solved, x, rtol=1e-9, atol=1e-10)
    _kernels.solve_upper(factor, solved)
    np.testing.assert_allclose(M @ solved, x, rtol=1e-8, atol=1e-9)
    M[n - 1] = M[n - 2]
    M[:, n - 1] = M[:, n - 2]
    M[n - 1, n - 1] -= 1e-6
    assert not _kernels.cholesky(M)


@pytest.mark.parametrize("rank", [0, 1, 5, 12])
def test_pivoted_cholesky(rank):
    B = np.random.default_rng(rank).normal(size=(12, rank))
    K = B @ B.T
    R, pivots = np.zeros((12, 12)), np.zeros(12, np.intp)
    assert _kernels.pivoted_cholesky(K, R, pivots) == rank
    np.testing.assert_allclose(R[:rank].T @ R[:rank], K, atol=1e-12)
    square = R[:rank, pivots[:rank]]
    np.testing.assert_array_equal(square, np.triu(square))
