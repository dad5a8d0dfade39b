import itertools
import signal
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from rankpool import _kernels, _long_kernels, approximate_rank_pool, rank_svm
from rankpool._frames import pair_order
from rankpool.long import solve_long

LOSSES = ("hinge", "squared_hinge")


def all_pairs(T, times=None, groups=None):
    times = np.arange(T) if times is None else times
    groups = np.zeros(T) if groups is None else groups
    return np.nonzero((times[:, None] < times) & (groups[:, None] == groups))


def walk(T, d, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(T, d)), axis=0) / np.sqrt(d)


def trend(T, d, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, d)) + strength * np.linspace(0, 1, T)[:, None] * rng.normal(size=d)


def certificate(V, u, delta, C, loss, times=None, groups=None):
    """Both objectives from u alone, pair by pair."""
    i, j = all_pairs(V.shape[0], times, groups)
    scores = V @ u
    h = 1 - (scores[j] - scores[i])
    alpha = C * np.clip(h / delta, 0, 1) if loss == "hinge" else 2 * C * np.maximum(0, h)
    return objectives(V, u, alpha, i, j, C, loss)


def objectives(V, u, alpha, i, j, C, loss):
    scores = V @ u
    h = np.maximum(0, 1 - (scores[j] - scores[i]))
    primal, conjugate = (h.sum(), 0.0) if loss == "hinge" else ((h**2).sum(), (alpha**2).sum() / (4 * C))
    beta = np.bincount(j, alpha, V.shape[0]) - np.bincount(i, alpha, V.shape[0])
    w = V.T @ beta
    return 0.5 * u @ u + C * primal, alpha.sum() - 0.5 * w @ w - conjugate, beta


def check_certificate(V, result, C, loss, times=None, groups=None, rounding=1e-9):
    primal, dual, beta = certificate(V, result.u, result.delta, C, loss, times, groups)
    assert result.method == "newton"
    assert result.dual is None
    assert (result.delta is None) == (loss == "squared_hinge")
    assert result.objective == pytest.approx(primal, rel=1e-9)
    assert result.dual_objective == pytest.approx(dual, rel=1e-7, abs=rounding * primal)
    assert result.gap == pytest.approx(max(0, primal - dual) / primal, rel=1e-3, abs=rounding)
    np.testing.assert_allclose(result.beta, beta, atol=1e-6 * np.abs(beta).max() + 1e-12)


# -- sums over pairs, against all pairs ----------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 400),
    st.integers(1, 5),
    st.sampled_from([2, 40, 10**6]),
    st.sampled_from([0.1, 1.0, 30.0]),
    st.sampled_from([1e-3, 0.3, 2.0, np.inf]),
    st.integers(0, 2**32 - 1),
)
def test_pair_sums_of_sorted_scores(T, n_groups, n_times, spread, width, seed):
    rng = np.random.default_rng(seed)
    times, groups = rng.integers(0, n_times, T).astype(float), rng.integers(0, n_groups, T)
    i, j = all_pairs(T, times, groups)
    if not len(i):
        return
    order, first, later, end, borders = pair_order(times, groups, T)
    np.testing.assert_array_equal(end - later, np.bincount(i, minlength=T)[order])
    place = np.argsort(order)
    i, j = place[i], place[j]
    f = spread * rng.normal(size=T)
    if rng.random() < 0.3:
        f = np.round(f)  # ties in score, and margins of exactly 0 and 1
    h = 1 - (f[j] - f[i])
    a = np.clip(h, 0, width)
    window = (h > 0) & (h < width)
    structure = (later, _long_kernels.split_in_time(later, first, borders))
    by_score = np.lexsort((f, groups[order]))

    beta = np.empty(T)
    total, hinges, squares, inside = _long_kernels.smoothed_sums(f, by_score.copy(), *structure, width, beta)
    scale = max(1, spread) * T
    np.testing.assert_allclose(beta, np.bincount(j, a, T) - np.bincount(i, a, T), atol=1e-12 * scale**2)
    assert total == pytest.approx(a.sum(), rel=1e-10, abs=1e-10)
    assert hinges == pytest.approx(np.maximum(0, h).sum(), rel=1e-10, abs=1e-10)
    if np.isinf(width):
        assert squares == pytest.approx((a**2).sum(), rel=1e-9, abs=1e-9)
    one_by_one = np.empty(T)
    sums = _kernels.clipped_sums(f, later, end, width, one_by_one)
    expected = (a.sum(), np.maximum(0, h).sum(), (np.maximum(0, h) ** 2).sum())
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one_by_one, np.bincount(j, a, T) - np.bincount(i, a, T), atol=1e-13 * scale)

    x, out = rng.normal(size=T), np.empty(T)
    _long_kernels.window_laplacian(f, by_score.copy(), *structure, width, x, out)
    d = np.where(window, x[j] - x[i], 0)
    close = np.minimum(np.abs(h), np.abs(h - width)).min() < 1e-12  # rounding decides what is in the window
    if not close:
        assert inside == window.sum()
        np.testing.assert_allclose(out, np.bincount(j, d, T) - np.bincount(i, d, T), atol=1e-11 * T)
        i_out, j_out = np.empty((2, inside), np.intp)
        n = _long_kernels.window_pairs(f, by_score.copy(), *structure, width, np.arange(inside), i_out, j_out)
        assert n == inside
        assert set(zip(i_out, j_out, strict=True)) == set(zip(i[window], j[window], strict=True))
        some = np.sort(rng.integers(0, max(inside, 1), 5))[: inside // 2]  # with repeats
        n = _long_kernels.window_pairs(f, by_score.copy(), *structure, width, some, i_out, j_out)
        assert n == len(some)
        assert set(zip(i_out[:n], j_out[:n], strict=True)) <= set(zip(i[window], j[window], strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 100), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_largest_margin(T, n_groups, seed):
    rng = np.random.default_rng(seed)
    times, groups = rng.integers(0, 9, T + 1), rng.integers(0, n_groups, T + 1)
    i, j = all_pairs(T + 1, times, groups)
    if len(i):
        pairs, f = pair_order(times, groups, T + 1), rng.normal(size=T + 1)
        assert _kernels.largest_margin(f[pairs.order], pairs.later, pairs.end) == (f[j] - f[i]).max()


# -- Newton's method -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.integers(3, 60),
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([1e-3, 0.1, 1.0, 30.0]),
    st.sampled_from(LOSSES),
    st.integers(0, 2**32 - 1),
)
def test_newton_agrees_with_the_solver_in_pairs(T, d, n_groups, C, loss, seed):
    rng = np.random.default_rng(seed)
    V = rng.normal(size=(T, d)) if seed % 2 else walk(T, d, seed)
    times, groups = rng.integers(0, T, T), rng.integers(0, n_groups, T)
    if not len(all_pairs(T, times, groups)[0]):
        return
    exact = rank_svm(V, C, loss=loss, times=times, groups=groups, tol=1e-9)
    pairs = pair_order(times, groups, T)
    found = solve_long(V, pairs, C, loss == "squared_hinge", 1e-5, 500)
    primal, dual, beta = certificate(V, found.u, found.width, C, loss, times, groups)
    assert found.primal == pytest.approx(primal, rel=1e-9)
    assert found.dual == pytest.approx(dual, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(found.beta, beta, atol=1e-6 * C * T)
    # Both bracket the optimum
    assert found.dual <= exact.objective * (1 + 1e-9)
    assert exact.dual_objective <= found.primal * (1 + 1e-9)
    assert found.primal - found.dual <= 1e-5 * found.primal


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make", [walk, trend])
@pytest.mark.parametrize("d", [1, 20])
def test_long_sequences_are_certified(make, d, loss):
    V = make(3100, d)
    result = rank_svm(V, 0.5, loss=loss, tol=1e-4)
    assert result.gap <= 1e-4
    assert result.n_pairs == 3100 * 3099 // 2
    check_certificate(V, result, 0.5, loss)


@pytest.mark.parametrize("make", [walk, trend])
@pytest.mark.parametrize(("loss", "few"), [("hinge", 62), ("squared_hinge", 250)])
def test_few_features_go_without_pairs_from_500_frames(loss, few, make):
    for T, d, expected in ((501, few, "newton"), (501, few + 1, "pairs"), (500, few, "pairs")):
        V = make(T, d)
        result = rank_svm(V, loss=loss)
        assert result.gap <= 1e-6
        assert (result.method == "newton") == (expected == "newton")
        if expected == "newton":
            check_certificate(V, result, 1.0, loss)
        else:
            i, j = result.pairs.T
            assert result.dual.min() >= 0
            assert loss == "squared_hinge" or result.dual.max() <= 1
            primal, dual, _ = objectives(V, result.u, result.dual, i, j, 1.0, loss)
            assert result.objective == pytest.approx(primal, rel=1e-9)
            assert result.dual_objective == pytest.approx(dual, rel=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["walk", "trend", "unit norm", "ties and groups"])
@pytest.mark.parametrize(("T", "d"), [(160, 60), (320, 150), (320, 700)])
def test_hundreds_of_frames_in_pairs(T, d, kind, loss):
    """Windows of every size: by pairs, by a list of them, by the whole Laplacian, with a kept factor."""
    V = trend(T, d) if kind == "trend" else walk(T, d)
    times = groups = None
    if kind == "unit norm":
        V /= np.linalg.norm(V, axis=1, keepdims=True)
    elif kind == "ties and groups":
        rng = np.random.default_rng(0)
        times, groups = rng.integers(0, T // 2, T), rng.integers(0, 3, T)
    result = rank_svm(V, loss=loss, times=times, groups=groups)
    assert result.gap <= 1e-6
    i, j = result.pairs.T
    assert set(zip(i, j, strict=True)) == set(zip(*all_pairs(T, times, groups), strict=True))
    assert result.dual.min() >= 0
    assert loss == "squared_hinge" or result.dual.max() <= 1
    primal, dual, _ = objectives(V, result.u, result.dual, i, j, 1.0, loss)
    assert result.objective == pytest.approx(primal, rel=1e-9)
    assert result.dual_objective == pytest.approx(dual, rel=1e-9)
    assert primal - dual <= 1e-6 * primal


def test_where_newton_stops_short_the_pairs_go_on(monkeypatch):
    """Whether Newton stalls is for the rounding of a processor to say, so here it is made to stop."""
    from rankpool import long

    V, whole = walk(501, 60), long.solve_long
    result = rank_svm(V, tol=1e-11)  # one way or the other
    assert result.gap <= 1e-11
    stopped = []

    def stop_early(frames, pairs, C, squared, tol, max_iter, progress):
        stopped.append(whole(frames, pairs, C, squared, tol, 3, progress))
        return stopped[-1]

    monkeypatch.setattr(long, "solve_long", stop_early)
    result = rank_svm(V, tol=1e-9)
    assert stopped[0].primal - stopped[0].dual > 1e-9 * stopped[0].primal
    assert result.gap <= 1e-9
    assert result.method == "augmented-lagrangian"


@pytest.mark.parametrize("loss", LOSSES)
def test_many_groups_and_ties(loss):
    rng = np.random.default_rng(3)
    V = rng.normal(size=(2500, 8))
    times = np.digitize(V[:, 0] + rng.normal(size=2500), [-1, 0, 1])
    groups = rng.integers(0, 90, 2500)
    result = rank_svm(V, 0.01, loss=loss, times=times, groups=groups, tol=1e-5)
    assert result.gap <= 1e-5
    check_certificate(V, result, 0.01, loss, times, groups)
    i, j = all_pairs(2500, times, groups)
    assert result.n_pairs == len(i)
    assert set(map(tuple, result.pairs)) == set(zip(i, j, strict=True))
    expected = (V[j] - V[i]).sum(axis=0)
    np.testing.assert_allclose(approximate_rank_pool(V, times=times, groups=groups), expected, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_extreme_scales_end_with_an_honest_gap(scale, C, loss):
    V = scale * trend(2100, 5)
    result = rank_svm(V, C, loss=loss, tol=1e-3, max_iter=100)
    assert np.isfinite(result.u).all()
    assert np.isfinite(result.gap)
    # u is tiny beside C times the frames that cancel in it, and so is the dual's square beside its rounding
    check_certificate(V, result, C, loss, rounding=1e-9 if C * scale**2 < 1e9 else 1e-4)
    if 1e-6 <= C * scale**2 <= 1e6:
        assert result.gap <= 1e-3


def test_frames_wider_than_long_go_through_their_gram_matrix():
    V = trend(3010, 3050, strength=0.1)
    result = rank_svm(V, 1e-6, loss="squared_hinge", tol=1e-4)
    assert result.gap <= 1e-4
    check_certificate(V, result, 1e-6, "squared_hinge")


def test_a_long_chain_is_solved_in_closed_form():
    steps = 3 * np.eye(3010, 3050) + 0.001 * np.random.default_rng(0).normal(size=(3010, 3050))
    V = np.cumsum(steps, axis=0)
    result = rank_svm(V)
    assert (result.method, result.n_iter) == ("chain", 0)
    assert result.gap <= 1e-6
    np.testing.assert_allclose(np.diff(V @ result.u), 1, rtol=1e-8)
    assert result.objective == pytest.approx(0.5 * result.u @ result.u, rel=1e-6)


def test_a_closed_form_short_of_tol_is_iterated_on(monkeypatch):
    """When it is short is for the rounding to say, so here it is made to be; likewise what is long."""
    from rankpool import ranksvm

    V = trend(30, 40)
    optimum = rank_svm(V, 0.1, tol=1e-9)
    good = optimum.beta, optimum.dual.copy(), "chain", 0
    poor = np.zeros(30), np.zeros(optimum.n_pairs), "chain", 0
    monkeypatch.setattr(ranksvm, "LONGEST_IN_PAIRS", 20)
    monkeypatch.setattr(ranksvm, "closed_form", lambda *_: poor)
    result = rank_svm(V, 0.1, tol=1e-4)
    assert result.method == "newton"
    assert result.gap <= 1e-4
    assert result.objective == pytest.approx(optimum.objective, rel=1e-4)
    monkeypatch.setattr(ranksvm, "closed_form", lambda *_: good)  # the better of both is returned
    with pytest.warns(ConvergenceWarning):
        result = rank_svm(V, 0.1, tol=1e-15, max_iter=1)
    assert result.method == "chain"
    assert result.objective == pytest.approx(optimum.objective)


def test_memory_stays_linear():
    V = trend(20000, 16)
    rank_svm(V[:2100], tol=1e-2)
    tracemalloc.start()
    result = rank_svm(V, tol=1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.gap <= 1e-3
    assert peak < 25e6  # T x T would be 3.2 GB


def test_not_converging_is_a_warning_with_the_gap():
    with pytest.warns(ConvergenceWarning, match=r"after 3 iterations at a relative duality gap of \d"):
        result = rank_svm(trend(2100, 5), max_iter=3)
    assert result.n_iter == 3


def test_input_kinds_and_repeatability():
    V = np.round(10 * trend(2100, 6)).astype(np.int16)
    expected = rank_svm(V.astype(np.float64), 1e-3, tol=1e-3)
    again = rank_svm(V, 1e-3, tol=1e-3)
    np.testing.assert_array_equal(again.u, expected.u)
    with pytest.raises(ValueError, match=r"V\[5, 2\] is nan"):
        rank_svm(np.where(np.arange(2100 * 6).reshape(2100, 6) == 32, np.nan, V))
    with pytest.raises(ValueError, match="overflows"):
        rank_svm(V * 1e200)


def test_a_constant_long_sequence():
    result = rank_svm(np.ones((2100, 3)), 2.0)
    np.testing.assert_array_equal(result.u, 0)
    assert result.objective == 2 * 2100 * 2099 / 2
    assert result.gap < 1e-12


@pytest.mark.parametrize(("T", "d"), [(2100, 3), (300, 200)])
def test_progress_is_shown_on_request(T, d, capsys):
    rank_svm(trend(T, d), tol=1e-2)
    assert capsys.readouterr().err == ""
    rank_svm(trend(T, d), tol=1e-2, verbose=True)
    assert "gap=" in capsys.readouterr().err


def test_a_long_solution_can_be_interrupted():
    def interrupt(*_):
        raise KeyboardInterrupt

    V = walk(1500, 1400)
    rank_svm(V[:300], tol=1e-2)  # compiled
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            rank_svm(V)  # takes seconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- sparse frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("T", [30, 2200])
@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "coo_array"])
def test_sparse_is_dense(kind, T, loss):
    rng = np.random.default_rng(1)
    V = rng.normal(size=(T, 12)) * (rng.random((T, 12)) < 0.2)
    V[:, 0] += np.where(V[:, 0] != 0, np.arange(T) / T, 0)
    tol = 1e-8 if T == 30 else 1e-6
    dense = rank_svm(V, 0.1, loss=loss, tol=tol)
    result = rank_svm(getattr(scipy.sparse, kind)(V), 0.1, loss=loss, tol=tol)
    assert result.gap <= tol
    assert result.method == dense.method
    np.testing.assert_allclose(result.u, dense.u, atol=2e-3 * np.abs(dense.u).max())
    np.testing.assert_allclose(
        approximate_rank_pool(scipy.sparse.csr_array(V)), approximate_rank_pool(V), atol=1e-8
    )


def test_wide_sparse_frames_are_never_made_dense():
    T, d = 3100, 50_000
    V = scipy.sparse.random(T, d, density=2e-4, random_state=0, format="csr")
    tracemalloc.start()
    result = rank_svm(V, 1e-4, loss="squared_hinge", tol=1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.gap <= 1e-3
    check_certificate(V, result, 1e-4, "squared_hinge")
    assert peak < 0.1 * T * d * 8


# -- groups in the other regimes -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-4, 0.3, 10.0])
def test_groups_in_short_sequences(scale, loss):
    rng = np.random.default_rng(5)
    T = 24
    V, groups = scale * walk(T, 40), rng.permutation(np.repeat(["b", "a", "c"], 8))
    times = rng.integers(0, 6, T)
    result = rank_svm(V, loss=loss, times=times, groups=groups, tol=1e-8)
    i, j = all_pairs(T, times, groups)
    assert sorted(map(tuple, result.pairs)) == sorted(zip(i, j, strict=True))
    D = V[j] - V[i]
    power = 1 if loss == "hinge" else 2
    primal = 0.5 * result.u @ result.u + (np.maximum(0, 1 - D @ result.u) ** power).sum()
    alpha = result.dual
    A = V[result.pairs[:, 1]] - V[result.pairs[:, 0]]
    dual = alpha.sum() - 0.5 * np.sum((alpha @ A) ** 2) - (alpha @ alpha / 4 if power == 2 else 0)
    assert alpha.min() >= 0
    assert power == 2 or alpha.max() <= 1
    assert result.objective == pytest.approx(primal, rel=1e-9)
    assert primal - dual <= 2e-8 * primal
    assert result.method == ("saturated" if (scale, power) == (1e-4, 1) else "augmented-lagrangian")


def test_one_group_is_no_group_and_the_order_of_groups_is_free():
    V = walk(15, 4)
    np.testing.assert_array_equal(rank_svm(V, groups=np.ones(15)).u, rank_svm(V).u)
    groups = np.array(list(itertools.islice(itertools.cycle("xyz"), 15)))
    shuffled = np.random.default_rng(0).permutation(15)
    a = rank_svm(V, times=np.arange(15), groups=groups, tol=1e-10).u
    b = rank_svm(V[shuffled], times=shuffled, groups=groups[shuffled], tol=1e-10).u
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_errors_of_groups():
    V = walk(6, 2)
    with pytest.raises(ValueError, match=r"groups has shape \(5,\); V has 6 frames"):
        rank_svm(V, groups=np.zeros(5))
    with pytest.raises(ValueError, match="no group holds two different times"):
        rank_svm(V, groups=np.arange(6))
    with pytest.raises(ValueError, match=r"groups\[2\] is not finite"):
        rank_svm(V, groups=[0, 0, np.nan, 0, 1, 1])


# -- certificates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_by_one", [10**8, 0])
@pytest.mark.parametrize(("d", "C", "seed"), [(1, 0.0055, 0), (1, 1.0, 1), (2, 1.0, 2)])
def test_a_narrow_window_leaves_the_dual_where_it_is(d, C, seed, one_by_one, monkeypatch):
    """Prefix sums are off by their rounding over the width: they put the dual 1e-6 above the primal."""
    from rankpool import long

    monkeypatch.setattr(long, "ONE_BY_ONE", one_by_one)
    V = np.random.default_rng(seed).integers(0, 48, (700, d))
    pairs = pair_order(None, None, 700)
    found = solve_long(V.astype(np.float64), pairs, C, False, 1e-10, 20)
    assert found.width < 1e-3
    primal, dual, _ = certificate(V, found.u, found.width, C, "hinge")
    assert dual <= primal
    if one_by_one:
        assert found.primal == pytest.approx(primal, rel=1e-12)
        assert found.dual == pytest.approx(dual, rel=1e-9)
    assert found.primal >= primal * (1 - 1e-12)  # a bound on each side, never on the wrong one
    assert found.dual <= dual + 1e-9 * primal
    assert found.primal - found.dual <= 1e-2 * primal


@pytest.mark.parametrize(("primal", "dual"), [(np.nan, 0.0), (np.inf, 1.0), (1.0, np.nan), (1.0, -np.inf)])
def test_a_gap_of_nothing_is_none(primal, dual, monkeypatch):
    from rankpool import long

    whole = long.solve_long
    monkeypatch.setattr(long, "solve_long", lambda *args: whole(*args)._replace(primal=primal, dual=dual))
    with pytest.warns(ConvergenceWarning, match="relative duality gap of (nan|inf), above tol"):
        result = rank_svm(trend(3010, 2), tol=1e-2)
    assert not np.isfinite(result.gap)
