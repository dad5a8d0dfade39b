"""The transformers RankPooling and HierarchicalRankPooling: clips in, one vector each."""

import gc
import tracemalloc
import weakref

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from rankpool import (
    HierarchicalRankPooling,
    RankPooling,
    hierarchical_rank_pool,
    rank_pool,
)


def walk(T=20, d=6, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(T, d)) + 0.3, axis=0)


def clips(n=9, d=30, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 40, (T, d)).astype(np.float32) for T in rng.integers(5, 25, n)]


def test_transform_pools_each_clip():
    X = clips()
    options = {"C": 0.3, "smoothing": "tvm", "normalize": "l2", "direction": "both"}
    U = RankPooling(**options).fit_transform(X)
    np.testing.assert_array_equal(U, [rank_pool(clip, **options) for clip in X])
    np.testing.assert_array_equal(RankPooling(**options).fit(X).transform(X[3:5]), U[3:5])


def test_array_of_clips_and_iterators():
    X = np.random.default_rng(0).normal(size=(6, 10, 8))
    U = RankPooling().fit_transform(X)
    np.testing.assert_array_equal(RankPooling().fit_transform(list(X)), U)
    np.testing.assert_array_equal(RankPooling().fit_transform(iter(X)), U)
    np.testing.assert_array_equal(RankPooling(n_jobs=2).fit(X).transform(clip for clip in X), U)
    with pytest.raises(TypeError, match="fit_transform"):
        RankPooling().fit(iter(X))


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_an_iterator_is_read_no_further_than_the_threads(n_jobs):
    class Clip(np.ndarray):  # an array that can be watched
        pass

    alive = most = 0

    def gone():
        nonlocal alive
        alive -= 1

    def stream():
        nonlocal alive, most
        for seed in range(40):
            clip = walk(30, 2000, seed).view(Clip)
            weakref.finalize(clip, gone)
            alive += 1
            most = max(most, alive)
            yield clip
            del clip

    U = RankPooling(method="approximate", n_jobs=n_jobs).fit_transform(stream())
    assert U.shape == (40, 2000)
    assert most <= 1 + (n_jobs or joblib.cpu_count())


def test_memory_of_an_iterator_is_that_of_a_few_clips():
    def stream():
        for seed in range(60):
            yield np.full((40, 4000), float(seed))  # 1.28 MB

    list(map(rank_pool, [next(stream())]))  # compiled
    gc.collect()
    tracemalloc.start()
    try:
        U = RankPooling(n_jobs=2).fit_transform(stream())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * U.nbytes + 2 * 3 * 1.3e6  # of 77 MB in all


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_ends_the_work(n_jobs):
    read = 0

    def stream():
        nonlocal read
        for seed in range(1000):
            read += 1
            yield walk(seed=seed) if seed != 5 else walk(1)

    with pytest.raises(ValueError, match="clip 5: V has 1 frame"):
        RankPooling(n_jobs=n_jobs).fit_transform(stream())
    assert read < 500


def test_an_error_of_the_iterator_is_its_own():
    def stream():
        yield walk()
        yield walk()
        raise OSError("disk on fire")

    for n_jobs in (1, 2):
        with pytest.raises(OSError, match="disk on fire"):
            RankPooling(n_jobs=n_jobs).fit_transform(stream())


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_same_bits_for_any_number_of_threads(loss):
    X = [walk(T, 40, seed=T) / 7 for T in range(5, 60, 3)]
    expected = RankPooling(loss=loss).fit_transform(X)
    for n_jobs in (2, 4, -1):
        np.testing.assert_array_equal(RankPooling(loss=loss, n_jobs=n_jobs).fit_transform(X), expected)


def test_scikit_learn_contract():
    pooling = RankPooling(C=2.0, smoothing="ma", window=3)
    assert clone(pooling).get_params() == pooling.get_params()
    assert pooling.set_params(window=4).window == 4
    X = clips()
    fitted = pooling.fit(X)
    assert fitted.n_features_in_ == 30
    assert list(fitted.get_feature_names_out()[:2]) == ["rankpooling0", "rankpooling1"]
    table = clone(pooling).set_output(transform="pandas").fit_transform(X)
    assert isinstance(table, pd.DataFrame)
    np.testing.assert_array_equal(table.to_numpy(), pooling.fit_transform(X))
    both = RankPooling(direction="both", feature_map="posneg").fit(X)
    assert len(both.get_feature_names_out()) == 4 * 30 == both.transform(X).shape[1]


def test_hierarchical_transformer():
    X = clips()
    options = {"C": 0.3, "window": 3, "depth": 3, "feature_map": "posneg", "direction": "both"}
    pooling = HierarchicalRankPooling(**options)
    U = pooling.fit_transform(X)
    np.testing.assert_array_equal(U, [hierarchical_rank_pool(clip, **options) for clip in X])
    np.testing.assert_array_equal(clone(pooling).set_params(n_jobs=1).fit(X).transform(iter(X)), U)
    assert U.shape == (9, 2 * 8 * 30) == (9, len(pooling.get_feature_names_out()))
    assert pooling.get_feature_names_out()[0] == "hierarchicalrankpooling0"
    with pytest.raises(ValueError, match="clip 1: V has 2 frames; depth=2 with stride=1 needs at least 3"):
        HierarchicalRankPooling().fit_transform([walk(), walk(2)])


def test_in_a_pipeline_and_a_grid_search():
    """Clips that grow in one half of the features against clips that grow in the other."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = []
    for label in y:
        clip = rng.poisson(5.0, (12, 20)).astype(float)
        clip[:, 10 * label : 10 * label + 10] += np.linspace(0, 4, 12)[:, None]
        X.append(clip)
    model = make_pipeline(RankPooling(), Normalizer(), RidgeClassifier())
    search = GridSearchCV(model, {"rankpooling__method": ["ranksvm", "approximate"]}, cv=4)
    search.fit(np.array(X), y)
    assert search.best_score_ > 0.9


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ([], ValueError, "X has 0 clips"),
        (np.zeros((4, 3)), ValueError, "X has 2 dimensions"),
        (5, TypeError, "X is int"),
        ([walk(), walk()[:1]], ValueError, "clip 1: V has 1 frame; rank pooling needs at least 2"),
        ([walk(), walk(d=7)], ValueError, "clip 1: V has 7 features; the first clip had 6"),
        ([walk(), np.full((4, 6), np.nan)], ValueError, r"clip 1: V\[0, 0\] is nan"),
        ([walk(), [["a"] * 6] * 3], TypeError, "clip 1: V has dtype"),
        ([walk()[0], walk()[1]], ValueError, "clip 0: V has 1 dimensions"),
    ],
)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_errors_name_the_clip(X, n_jobs, error, match):
    with pytest.raises(error, match=match):
        RankPooling(n_jobs=n_jobs).fit_transform(X)


def test_unfitted_and_bad_options():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        RankPooling().transform(clips())
    with pytest.raises(ValueError, match="C is -1"):
        RankPooling(C=-1).fit(clips())
    with pytest.raises(ValueError, match="method is 'svm'"):
        RankPooling(method="svm").fit(clips())
    with pytest.raises(ValueError, match="n_jobs"):
        RankPooling(n_jobs=0).fit(clips())
