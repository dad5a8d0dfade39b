"""Scores of frames held out of the solve, and the order in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from sklearn.exceptions import ConvergenceWarning

from rankpool import held_out, held_out_scores, rank_svm


def slowly(V, C, loss, K):
    """Scores and τ as the docstring has them, one pair at a time."""
    T = len(V)
    scores, signs = np.empty(T), []
    for k in range(K):
        fold = [t for t in range(T) if t % K == k]
        others = [t for t in range(T) if t % K != k]
        u = rank_svm(V[others], C, loss=loss).u
        for t in fold:
            scores[t] = u @ (V[t] - V[others].mean(axis=0))
        signs += [np.sign(scores[j] - scores[i]) for i in fold for j in fold if i < j]
    return scores, np.sum(signs) / np.sqrt(len(signs) * np.count_nonzero(signs))


@pytest.mark.parametrize(("T", "K"), [(4, 2), (9, 4), (10, 5), (23, 5), (23, 11)])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_scores_and_tau_are_those_of_the_equation(T, K, loss):
    V = np.random.default_rng(T).integers(0, 9, (T, 6)) + np.arange(T)[:, None] // 4
    found = held_out_scores(V, 0.1, loss=loss, n_folds=K)
    scores, tau = slowly(V.astype(float), 0.1, loss, K)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-6)
    assert found.tau == pytest.approx(tau, abs=1e-12)
    assert found.n_folds == K


@pytest.mark.parametrize(("T", "K"), [(4, 2), (5, 2), (7, 3), (9, 4), (10, 5), (400, 5)])
def test_number_of_folds(T, K):
    V = np.arange(T)[:, None] * [1.0, -2.0]
    found = held_out_scores(V)
    assert found.n_folds == K
    assert found.tau == 1.0


def test_one_fold_compares_as_scipy_does():
    """Ties in a fold lower P as in τ_b: the others see 0 and 1 only, so that many scores are alike."""
    V = np.array([0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1.0])[:, None]
    found = held_out_scores(V, n_folds=2)
    folds = [stats.kendalltau(np.arange(6), found.scores[k::2]) for k in (0, 1)]
    ties = [
        sum(a == b for i, a in enumerate(s) for b in s[:i]) for s in (found.scores[::2], found.scores[1::2])
    ]
    assert all(ties)
    net = sum(fold.statistic * np.sqrt(15 * (15 - tied)) for fold, tied in zip(folds, ties, strict=True))
    assert found.tau == pytest.approx(net / np.sqrt(30 * (30 - sum(ties))))


def clips():
    shape = st.tuples(st.integers(4, 24), st.sampled_from([1, 3, 40]))
    return st.tuples(shape, st.integers(0, 99), st.sampled_from([0.0, 0.3, 3.0]))


@settings(max_examples=40, deadline=None)
@given(clips())
def test_two_frames_of_a_fold_change_places_and_no_u_does(clip):
    """Why the mean of τ is 0 on frames in random order."""
    (T, d), seed, trend = clip
    rng = np.random.default_rng(seed)
    V = rng.normal(size=(T, d)) + trend * np.arange(T)[:, None]
    K = held_out_scores(V).n_folds
    order = np.arange(T)
    order[[0, K]] = K, 0
    before, after = held_out_scores(V).scores, held_out_scores(V[order]).scores
    # the scores of the other folds see the change
    np.testing.assert_allclose(after[::K], before[order][::K], rtol=1e-9, atol=1e-9)


def test_frames_in_random_order_have_no_order_on_average():
    """600 orders, in which τ has a standard deviation of 0.4: that of the mean is 0.02."""
    V = np.cumsum(
        np.random.default_rng(0).normal(size=(14, 30)), axis=0
    )  # each all but repeats its neighbour
    taus = [held_out_scores(np.random.default_rng(seed).permutation(V)).tau for seed in range(600)]
    assert abs(np.mean(taus)) < 0.06
    assert held_out_scores(V).tau > 0.9


def test_a_common_offset_and_a_rotation_change_nothing():
    rng = np.random.default_rng(3)
    V = rng.normal(size=(20, 8)) + 0.2 * np.arange(20)[:, None]
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    expected = held_out_scores(V)
    moved = held_out_scores(V @ rotation + 100)
    np.testing.assert_allclose(moved.scores, expected.scores, rtol=1e-4, atol=1e-5)
    assert moved.tau == expected.tau


@pytest.mark.parametrize("dtype", ["uint8", "float32", "csr"])
def test_dtypes_and_sparse_frames(dtype):
    V = np.random.default_rng(0).integers(0, 5, (15, 60))
    given = sparse.csr_matrix(V) if dtype == "csr" else V.astype(dtype)
    expected, found = held_out_scores(V.astype(float)), held_out_scores(given)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    assert found.tau == expected.tau


def test_frames_all_alike_have_no_tau():
    found = held_out_scores(np.full((12, 5), 7, dtype=np.uint8))
    assert (found.scores == 0).all()
    assert np.isnan(found.tau)


@pytest.mark.parametrize("T", [2, 3])
def test_too_few_frames_to_hold_two_out(T):
    found = held_out_scores(np.arange(T)[:, None])
    assert found.scores.shape == (T,)
    assert np.isnan(found.scores).all()
    assert np.isnan(found.tau)
    assert found.n_folds == 0


def test_long_sequences_are_solved_on_an_even_part(monkeypatch):
    seen = []
    solve = held_out.solve
    monkeypatch.setattr(
        held_out, "solve", lambda V, *rest, **names: seen.append(V) or solve(V, *rest, **names)
    )
    V = np.arange(2000)[:, None] * np.ones(3)
    found = held_out_scores(V)
    assert found.tau == 1.0
    assert [len(part) for part in seen] == [300] * 5
    for k, part in enumerate(seen):
        assert not (part[:, 0] % 5 == k).any()  # none of the frames held out
        assert np.diff(part[:, 0]).max() <= 9


@pytest.mark.parametrize(
    ("V", "options", "words"),
    [
        (np.ones((12, 2)), {"n_folds": 1}, "n_folds is 1; it must be from 2 to 6, half of V's 12 frames"),
        (np.ones((12, 2)), {"n_folds": 7}, "n_folds is 7"),
        (np.ones((12, 2)), {"n_folds": 2.0}, "n_folds is 2.0"),
        (np.ones((12, 2)), {"n_folds": True}, "n_folds is True"),
        (np.ones((3, 2)), {"n_folds": 2}, "it must be None: V has 3 frames"),
        (np.ones((1, 2)), {}, "V has 1 frame"),
        (np.ones((12, 2)), {"C": 0}, "C is 0"),
        (np.ones((12, 2)), {"loss": "log"}, "loss is 'log'"),
        (np.array([[0.0], [np.nan], [2.0]]), {}, r"V\[1, 0\] is nan"),
        (np.where(np.arange(900) == 611, np.inf, np.arange(900.0))[:, None], {}, r"V\[611, 0\] is inf"),
        (np.arange(12)[:, None] * 1e200, {}, "V overflows"),
    ],
)
def test_wrong_input(V, options, words):
    with pytest.raises(ValueError, match=words):
        held_out_scores(V, **options)


def test_one_unsolved_fold_warns_once():
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning, match="held_out_scores stopped after") as caught:
        held_out_scores(rng.normal(size=(30, 3)), 1e3, tol=1e-300)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_the_same_bits_again():
    V = np.random.default_rng(0).normal(size=(30, 50))
    first, second = held_out_scores(V), held_out_scores(V.copy())
    np.testing.assert_array_equal(first.scores, second.scores)
