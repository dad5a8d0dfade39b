"""A random attack on every public function: an answer that is finite and right, or a documented error.

It takes FUZZ_SECONDS (default 8), each call from a seed of its own that a failure names:

    FUZZ_SECONDS=1800 python -m pytest tests/test_rankpool_attack.py
    FUZZ_SEED=123 python -m pytest tests/test_rankpool_attack.py    # one call again
"""

import os
import time
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

import rankpool

SECONDS = float(os.environ.get("FUZZ_SECONDS", "8"))
LOSSES = ("hinge", "squared_hinge")
MAPS = (None, None, "ssr", "posneg", "hellinger", "tanh", "chi2")


def exponent(rng):
    """Mostly ordinary, sometimes anything."""
    return rng.choice([0, rng.uniform(-3, 3), rng.uniform(-12, 12), rng.uniform(-300, 300)])


def frames(rng, T):
    d = int(rng.choice([1, 2, 3, 7, 20, 60]))
    V = rng.normal(size=(T, d))
    kind = rng.choice(["noise", "walk", "pixels", "line", "repeated", "constant", "decades", "offset"])
    if kind == "walk":
        V = np.cumsum(V + 0.3, axis=0)
    elif kind == "pixels":
        V = np.clip(np.cumsum(3 * V, axis=0) + 128, 0, 255).round()
    elif kind == "line":
        V = np.outer(np.cumsum(rng.normal(size=T) + 0.5), V[0])
    elif kind == "repeated":
        V = V[rng.integers(0, 3, T) % T]
    elif kind == "constant":
        V = np.tile(V[0], (T, 1))
    elif kind == "decades":
        V = V * 10.0 ** rng.uniform(-8, 8, d)
    elif kind == "offset":
        V = V + 10.0 ** rng.uniform(0, 6)
    with np.errstate(over="ignore", under="ignore"):
        V = V * 10.0 ** exponent(rng)
    if rng.random() < 0.02:
        V[rng.integers(T), rng.integers(d)] = rng.choice([np.nan, np.inf, -np.inf])
    form = rng.choice(["C", "F", "strided", "turned", "read-only", "unaligned", "list", "dtype", "sparse"])
    if form == "F":
        return np.asfortranarray(V)
    if form == "strided":
        return np.repeat(np.repeat(V, 2, axis=0), 3, axis=1)[::2, ::3]
    if form == "turned":
        return V[::-1, ::-1]
    if form == "read-only":
        V.flags.writeable = False
    if form == "unaligned":
        raw = np.empty(V.nbytes + 1, np.uint8)
        odd = raw[1:].view(np.float64).reshape(V.shape)
        odd[:] = V
        return odd
    if form == "list":
        return V.tolist()
    if form == "dtype":
        dtype = rng.choice(["f4", "f2", ">f8", "g", "i1", "u1", "u2", "i4", "i8", "u8", "?"])
        with np.errstate(over="ignore", invalid="ignore"):
            return V.astype(dtype)
    if form == "sparse":
        return scipy.sparse.csr_array(np.where(rng.random(V.shape) < 0.6, V, 0.0))
    return V


def stamps(rng, T):
    kind = rng.choice(["none", "none", "order", "ties", "floats", "dates"])
    if kind == "none":
        return None
    if kind == "order":
        return rng.permutation(T)
    if kind == "ties":
        return rng.integers(0, max(2, T // 3), T).astype(rng.choice(["i8", "u1", "f4", "f8"]))
    if kind == "dates":
        return np.datetime64("2026-01-01") + rng.integers(0, T, T)
    return 10.0 ** exponent(rng) * rng.normal(size=T)


def labels(rng, T):
    return None if rng.random() < 0.6 else rng.integers(0, 3, T)


def exact_objectives(V, times, groups, C, loss, result):
    """Return both objectives and their rounding, from u and the dual alone, in extended precision."""
    V = V.toarray() if scipy.sparse.issparse(V) else np.asarray(V)
    V, C = V.astype(np.longdouble), np.longdouble(C)
    T = len(V)
    times = np.arange(T) if times is None else np.asarray(times)
    groups = np.zeros(T) if groups is None else groups
    i, j = np.nonzero((times[:, None] < times) & (groups[:, None] == groups))
    u = result.u.astype(np.longdouble)
    h = 1 - (V[j] - V[i]) @ u
    power = 1 if loss == "hinge" else 2
    primal = 0.5 * u @ u + C * (np.maximum(0, h) ** power).sum()
    if result.dual is None:
        alpha = C * np.clip(h / result.delta, 0, 1) if power == 1 else 2 * C * np.maximum(0, h)
    else:
        assert set(zip(i, j, strict=True)) == set(map(tuple, result.pairs))
        alpha = result.dual.astype(np.longdouble)
        i, j = result.pairs.T
        assert alpha.min() >= 0
        assert power == 2 or alpha.max() <= C
    beta = np.zeros(T, np.longdouble)
    np.add.at(beta, j, alpha)
    np.subtract.at(beta, i, alpha)
    w = beta @ (V - V[0])
    dual = alpha.sum() - 0.5 * w @ w - (0 if power == 1 else (alpha**2).sum() / (4 * C))
    # what float64 cannot know of them: margins of differences of scores, and a w that is mostly cancellation
    eps = np.longdouble(2.0**-52)
    offset = np.abs(V - V[0])
    slack = 4 * eps * (offset @ np.abs(u)).max() * (1 + len(V[0])) ** 0.5
    active = np.maximum(0, h + slack) ** power - np.maximum(0, h) ** power
    rounding = C * active.sum() + 1e-12 * primal
    w_slack = 4 * eps * T**0.5 * (np.abs(beta) @ offset + 2 * eps * alpha.sum() * offset.max(axis=0))
    rounding += (np.abs(w) * w_slack + w_slack**2).sum()
    if result.dual is None:
        rounding += alpha.sum() * 1e-10
    return primal, dual, rounding


def check_result(V, times, groups, C, loss, tol, result, warned):
    assert np.isfinite(result.u).all()
    if np.isnan(result.gap) or np.isinf(result.gap):
        assert warned
        return
    assert np.isfinite([result.objective, result.dual_objective]).all()
    assert (result.gap > tol) == warned
    primal, dual, rounding = exact_objectives(V, times, groups, C, loss, result)
    assert abs(primal - result.objective) <= rounding, ("primal", primal, result.objective, rounding)
    assert abs(dual - result.dual_objective) <= rounding, ("dual", dual, result.dual_objective, rounding)
    gap = max(np.longdouble(0), primal - dual) / primal if primal else 0
    assert abs(gap - result.gap) <= (rounding / primal if primal else 0) * (1 + gap), ("gap", gap, result.gap)


def attack(seed):
    """Call one function with what the seed makes; return what was called."""
    rng = np.random.default_rng(seed)
    T = int(rng.choice([2, 3, 5, 12, 30]))
    name = rng.choice(["rank_svm"] * 4 + ["rank_pool"] * 4 + ["long", "approximate", "hierarchical"]
                      + ["dynamic_image", "RankPooling", "RankSVM"])  # fmt: skip
    if name == "long" and rng.random() < 0.5:
        T = int(rng.choice([501, 700]))
    V, C, loss = frames(rng, T), 10.0 ** exponent(rng), str(rng.choice(LOSSES))
    tol, max_iter = float(rng.choice([1e-3, 1e-6, 1e-10])), rng.choice([None, 1, 20])
    options = {"loss": loss, "tol": tol, "max_iter": max_iter}
    pooling = {
        "smoothing": rng.choice([None, None, "tvm"]),
        "feature_map": rng.choice(MAPS),
        "normalize": rng.choice([None, "l1", "l2"]),
        "direction": rng.choice(["forward", "reverse", "both"]),
        "method": rng.choice(["ranksvm", "approximate", "svr"]),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        u = None
        try:
            if name in ("rank_svm", "long"):
                times, groups = stamps(rng, T), labels(rng, T)
                result = rankpool.rank_svm(V, C, times=times, groups=groups, **options)
                warned = any(w.category is ConvergenceWarning for w in caught)
                check_result(V, times, groups, C, loss, tol, result, warned)
                assert type(result.gap) is float
            elif name == "rank_pool":
                u = rankpool.rank_pool(V, C, times=stamps(rng, T), **options, **pooling)
            elif name == "approximate":
                u = rankpool.approximate_rank_pool(V, times=stamps(rng, T), groups=labels(rng, T))
            elif name == "hierarchical":
                window, depth = int(rng.integers(2, 9)), int(rng.choice([1, 2, 3, 10**6]))
                u = rankpool.hierarchical_rank_pool(V, C, window=window, depth=depth, **options, **pooling)
            elif name == "dynamic_image":
                V = V.toarray() if scipy.sparse.issparse(V) else np.asarray(V)
                u = rankpool.dynamic_image(V[:, None], C, **options)
                assert u.shape == (1, V.shape[1])
            elif name == "RankPooling":
                V = scipy.sparse.csr_array(V) if scipy.sparse.issparse(V) else np.asarray(V)
                pooling.pop("smoothing")
                u = rankpool.RankPooling(C, loss=loss, tol=tol, n_jobs=2, **pooling).fit_transform([V, V])
            else:
                y, groups = rng.integers(0, 3, T), labels(rng, T)
                model = rankpool.RankSVM(C, loss=loss, max_iter=max_iter).fit(V, y, groups=groups)
                u = model.coef_
                assert 0 <= model.score(V, y, groups=groups) <= 1
        except (ValueError, TypeError) as error:  # the documented ones say what was wrong
            if not any(word in str(error) for word in ("V", "C", "X", "times", "groups", "y", "feature_map")):
                raise
            return name, f"{type(error).__name__}: {error}"
    assert all(w.category in (ConvergenceWarning, UserWarning) for w in caught), caught[0]
    assert u is None or (np.isfinite(u).all() and u.dtype == np.float64)
    return name, "finite"


@pytest.mark.filterwarnings("error")
def test_attack():
    if "FUZZ_SEED" in os.environ:
        print(attack(int(os.environ["FUZZ_SEED"])))
        return
    seed = 0 if SECONDS <= 60 else int(time.time()) * 10**6  # the short one is the same every time
    outcomes: dict[str, int] = {}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            name, outcome = attack(seed)
        except Exception as error:
            pytest.fail(f"FUZZ_SEED={seed}: {type(error).__name__}: {error}")
        outcomes[f"{name} {outcome[:6]}"] = outcomes.get(f"{name} {outcome[:6]}", 0) + 1
        seed += 1
    assert outcomes.get("rank_svm finite", 0) > 0
    print(outcomes)
