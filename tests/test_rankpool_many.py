"""Sequences long enough to start from every fourth frame and to work in the frames: 600 frames and more."""

import numpy as np
import pytest

from rankpool import rank_svm
from rankpool._blas import one_blas_thread
from rankpool._frames import pair_order
from rankpool.lagrangian import MANY
from rankpool.long import solve_long

T = MANY + 15


def frames(kind):
    rng = np.random.default_rng(0)
    V = rng.normal(size=(T, T + 30))
    if kind == "walk":
        return np.cumsum(V, axis=0) / 30
    if kind == "repeated":  # of half the rank, so that nothing can be done in the frames
        return np.repeat(V, 2, axis=0)[:T]
    return V  # noise: every fourth frame tells nothing about the others


def recomputed(V, C, loss, result):
    """Return both objectives by their definition, from u and the dual variables."""
    i, j = result.pairs.T
    f = V @ result.u
    h = np.maximum(0.0, 1 - (f[j] - f[i]))
    beta = np.bincount(j, result.dual, T) - np.bincount(i, result.dual, T)
    dual = result.dual.sum() - 0.5 * np.sum((beta @ V) ** 2)
    assert result.dual.min() >= 0.0
    if loss == "hinge":
        assert result.dual.max() <= C
        return 0.5 * result.u @ result.u + C * h.sum(), dual
    return 0.5 * result.u @ result.u + C * (h**2).sum(), dual - (result.dual**2).sum() / (4 * C)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("kind", ["walk", "repeated", "noise"])
def test_the_certificate_holds(kind, loss):
    V, C = frames(kind), 1e-2
    result = rank_svm(V, C, loss=loss)
    assert (result.method, result.n_pairs) == ("augmented-lagrangian", T * (T - 1) // 2)
    assert result.gap <= 1e-6
    primal, dual = recomputed(V, C, loss, result)
    assert result.objective == pytest.approx(primal, rel=1e-9)
    assert result.dual_objective == pytest.approx(dual, rel=1e-8)


@pytest.mark.parametrize("grouping", ["groups and ties", "groups of three"])
def test_groups_and_ties_against_the_method_without_pairs(grouping):
    """Of groups of three, every fourth frame makes no pair: then the start is as for fewer frames."""
    rng = np.random.default_rng(1)
    if grouping == "groups of three":
        groups, times = np.arange(T) // 3, np.arange(T)
    else:
        groups, times = rng.integers(0, 5, T), rng.integers(0, 40, T)
    V = rng.normal(size=(T, 200)) + np.outer(times, rng.normal(size=200)) / 40
    result = rank_svm(V, 1e-2, times=times, groups=groups)
    assert (result.method, result.gap <= 1e-6) == ("augmented-lagrangian", True)
    with one_blas_thread():
        other = solve_long(V, pair_order(times, groups, T), 1e-2, False, 1e-4, 500)
    assert result.objective == pytest.approx(other.primal, rel=1e-4)


def test_same_bits_every_time():
    V = frames("walk")
    first, second = rank_svm(V), rank_svm(V)
    np.testing.assert_array_equal(first.u, second.u)
    np.testing.assert_array_equal(first.dual, second.dual)
