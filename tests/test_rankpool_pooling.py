import gc
import tracemalloc
import weakref

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVR
from sklearn.utils import estimator_checks

import rankpool
from rankpool import (
    HierarchicalRankPooling,
    RankPooling,
    approximate_rank_pool,
    dynamic_image,
    hierarchical_rank_pool,
    rank_pool,
    rank_svm,
)


def walk(T=20, d=6, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(T, d)) + 0.3, axis=0)


def clips(n=9, d=30, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 40, (T, d)).astype(np.float32) for T in rng.integers(5, 25, n)]


# -- smoothing, maps, norms, directions ----------------------------------------------------------------------


def test_default_is_the_rank_svm():
    V = walk()
    np.testing.assert_array_equal(rank_pool(V, 0.5), rank_svm(V, 0.5).u)
    np.testing.assert_array_equal(
        rank_pool(V, 0.5, loss="squared_hinge", tol=1e-8), rank_svm(V, 0.5, loss="squared_hinge", tol=1e-8).u
    )


def test_time_varying_mean():
    V = walk()
    smooth = np.array([V[: t + 1].mean(axis=0) for t in range(len(V))])
    np.testing.assert_allclose(
        rank_pool(V, smoothing="tvm", tol=1e-9), rank_pool(smooth, tol=1e-9), rtol=1e-6
    )


@pytest.mark.parametrize("window", [1, 2, 7, 19])
def test_moving_average(window):
    V = walk()
    smooth = np.array([V[t : t + window].mean(axis=0) for t in range(len(V) - window + 1)])
    expected = rank_pool(smooth, tol=1e-9)
    actual = rank_pool(V, smoothing="ma", window=window, tol=1e-9)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


def test_moving_average_needs_two_windows():
    with pytest.raises(ValueError, match="V has 20 frames; smoothing='ma' with window=20 needs at least 21"):
        rank_pool(walk(), smoothing="ma", window=20)


MAPS = {
    "ssr": lambda V: np.sign(V) * np.sqrt(abs(V)),
    "posneg": lambda V: np.hstack([np.sqrt(V.clip(0)), np.sqrt((-V).clip(0))]),
    "hellinger": np.sqrt,
    "tanh": np.tanh,
    "chi2": lambda V: AdditiveChi2Sampler(sample_steps=3).fit_transform(V),
}


@pytest.mark.parametrize("name", MAPS)
def test_feature_maps(name):
    V = walk() - (3 if name in ("ssr", "posneg", "tanh") else walk().min())
    u = rank_pool(V, feature_map=name, tol=1e-9)
    np.testing.assert_allclose(u, rank_pool(MAPS[name](V), tol=1e-9), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["hellinger", "chi2"])
def test_maps_of_histograms_refuse_negative_features(name):
    V = abs(walk())
    V[3, 2] = -0.5
    with pytest.raises(ValueError, match=r"feature 2 of frame 3 is -0.5; 'ssr'"):
        rank_pool(V, feature_map=name)


@pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2)])
def test_normalisation_leaves_zero_frames(norm, order):
    V = walk()
    V[4] = 0
    unit = np.array([v / np.linalg.norm(v, order) if v.any() else v for v in V])
    np.testing.assert_allclose(rank_pool(V, normalize=norm, tol=1e-9), rank_pool(unit, tol=1e-9), rtol=1e-6)


def test_order_is_smoothing_map_normalisation():
    V = walk()
    smooth = np.cumsum(V, axis=0) / np.arange(1, 21)[:, None]
    mapped = np.sign(smooth) * np.sqrt(abs(smooth))
    unit = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    u = rank_pool(V, smoothing="tvm", feature_map="ssr", normalize="l2", tol=1e-9)
    np.testing.assert_allclose(u, rank_pool(unit, tol=1e-9), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"smoothing": "tvm", "feature_map": "posneg"}, {"method": "svr"}])
def test_directions(options):
    V = walk()
    forward, backward = rank_pool(V, **options), rank_pool(V[::-1], **options)
    np.testing.assert_array_equal(rank_pool(V, direction="reverse", **options), backward)
    both = rank_pool(V, direction="both", **options)
    np.testing.assert_array_equal(both, np.concatenate([forward, backward]))


def test_times_sort_the_frames_before_smoothing():
    V = walk()
    order = np.random.default_rng(1).permutation(20)
    for options in ({"smoothing": "tvm"}, {"smoothing": "ma"}, {"direction": "reverse"}, {"method": "svr"}):
        np.testing.assert_array_equal(rank_pool(V[order], times=order, **options), rank_pool(V, **options))
    tied = np.sort(order // 2)
    np.testing.assert_allclose(
        rank_pool(V, times=tied, direction="reverse", tol=1e-9),
        -rank_pool(V, times=tied, tol=1e-9),
        atol=1e-4,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("smoothing", [None, "tvm", "ma"])
def test_reverse_with_times_of_any_dtype(smoothing, dtype):
    V = walk()
    times = np.repeat(np.arange(10), 2).astype(dtype)  # 0 to 9, each twice
    reverse = rank_pool(V, times=times, smoothing=smoothing, window=3, direction="reverse")
    turned = rank_pool(V[::-1], times=np.repeat(np.arange(10), 2), smoothing=smoothing, window=3)
    np.testing.assert_array_equal(reverse, turned)


def test_methods():
    V = walk()
    np.testing.assert_array_equal(rank_pool(V, method="approximate"), approximate_rank_pool(V))
    np.testing.assert_array_equal(
        rank_pool(V, method="approximate", smoothing="tvm"),
        approximate_rank_pool(np.cumsum(V, axis=0) / np.arange(1, 21)[:, None]),
    )
    model = LinearSVR(
        C=2.0, loss="squared_epsilon_insensitive", epsilon=0.1, fit_intercept=False, dual=True,
        tol=1e-10, max_iter=10**6,
    )  # fmt: skip
    expected = model.fit(V, np.arange(1.0, 21)).coef_
    np.testing.assert_allclose(rank_pool(V, 2.0, method="svr"), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"smoothing": "mean"}, "smoothing is 'mean'; it must be one of None, 'tvm', 'ma'"),
        ({"window": 0}, "window is 0"),
        ({"window": 2.0}, "window is 2.0"),
        ({"feature_map": "sqrt"}, "feature_map is 'sqrt'"),
        ({"normalize": "max"}, "normalize is 'max'"),
        ({"direction": "backward"}, "direction is 'backward'"),
        ({"method": "svm"}, "method is 'svm'"),
    ],
)
def test_unknown_options(options, match):
    with pytest.raises(ValueError, match=match):
        rank_pool(walk(), **options)


def test_not_finite_is_seen_through_every_option():
    V = walk()
    V[7, 1] = np.nan
    for options in (
        {},
        {"smoothing": "tvm"},
        {"feature_map": "tanh"},
        {"method": "svr"},
        {"method": "approximate"},
    ):
        with pytest.raises(ValueError, match=r"V\[7, 1\] is nan"):
            rank_pool(V, **options)


def test_dynamic_image():
    frames = np.random.default_rng(0).integers(0, 255, (12, 5, 4, 3), dtype=np.uint8)
    image = dynamic_image(frames)
    np.testing.assert_array_equal(image.ravel(), rank_pool(frames.reshape(12, -1)))
    assert image.shape == (5, 4, 3)
    assert dynamic_image(frames[..., 0], method="approximate").shape == (5, 4)
    with pytest.raises(ValueError, match="2 dimensions"):
        dynamic_image(frames[:, 0, 0])
    with pytest.raises(ValueError, match="one value per pixel"):
        dynamic_image(frames, direction="both")


# -- hierarchical --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smoothing": "tvm", "feature_map": "posneg", "normalize": "l2"},
        {"method": "svr", "feature_map": "ssr"},
        {"method": "approximate", "feature_map": "tanh"},
        {"loss": "squared_hinge", "tol": 1e-8},
    ],
)
@pytest.mark.parametrize(("window", "stride"), [(20, 1), (6, 1), (7, 4), (2, 9)])
def test_two_layers(window, stride, options):
    V = walk(30)
    starts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] if window == 20 else range(0, 31 - window, stride)
    layer = np.array([rank_pool(V[s : s + window], 0.5, **options) for s in starts])
    u = hierarchical_rank_pool(V, 0.5, window=window, stride=stride, **options)
    np.testing.assert_array_equal(u, rank_pool(layer, 0.5, **options))


def test_three_layers_and_one():
    V = walk(20)
    once = [rank_pool(V[s : s + 5], feature_map="posneg") for s in range(0, 16, 2)]
    twice = [rank_pool(once[s : s + 5], feature_map="posneg") for s in range(0, 4, 2)]
    u = hierarchical_rank_pool(V, window=5, stride=2, depth=3, feature_map="posneg")
    np.testing.assert_array_equal(u, rank_pool(twice, feature_map="posneg"))
    assert u.shape == (8 * 6,)
    np.testing.assert_array_equal(
        hierarchical_rank_pool(V, depth=1, normalize="l1"), rank_pool(V, normalize="l1")
    )
    assert len(hierarchical_rank_pool(abs(V), depth=1, feature_map="chi2")) == 5 * 6


def test_hierarchical_directions():
    V, options = walk(30), {"window": 8, "stride": 3, "smoothing": "tvm"}
    forward, backward = hierarchical_rank_pool(V, **options), hierarchical_rank_pool(V[::-1], **options)
    np.testing.assert_array_equal(hierarchical_rank_pool(V, direction="reverse", **options), backward)
    both = hierarchical_rank_pool(V, direction="both", **options)
    np.testing.assert_array_equal(both, np.concatenate([forward, backward]))


def test_short_sequences_have_shorter_windows():
    V = walk(20)
    np.testing.assert_array_equal(hierarchical_rank_pool(V), hierarchical_rank_pool(V, window=19))
    np.testing.assert_array_equal(
        hierarchical_rank_pool(V[:4], stride=2), rank_pool([rank_pool(V[:2]), rank_pool(V[2:4])])
    )
    pairs = [rank_pool(V[s : s + 2]) for s in range(3)]  # 4 frames, 3 pairs, 2 pairs of pairs
    expected = rank_pool([rank_pool(pairs[:2]), rank_pool(pairs[1:])])
    np.testing.assert_array_equal(hierarchical_rank_pool(V[:4], depth=3), expected)
    for T in range(4, 45):
        assert hierarchical_rank_pool(V[np.arange(T) % 20], depth=3, method="approximate").shape == (6,)


@pytest.mark.parametrize(
    ("V", "options", "match"),
    [
        (walk(2), {}, "V has 2 frames; depth=2 with stride=1 needs at least 3"),
        (walk(6), {"depth": 3, "stride": 2}, "V has 6 frames; depth=3 with stride=2 needs at least 8"),
        (walk(), {"window": 1}, "window is 1; it must be an integer of at least 2"),
        (walk(), {"stride": 0}, "stride is 0"),
        (walk(), {"depth": 0}, "depth is 0"),
        (walk(), {"depth": True}, "depth is True"),
        (walk(), {"smoothing": "ma"}, "smoothing is 'ma'; hierarchical"),
        (walk(), {"feature_map": "chi2"}, "feature_map='chi2' needs features of at least 0"),
        (walk(), {"feature_map": "hellinger"}, "of layer 2 are not"),
        (walk(), {"method": "svm"}, "method is 'svm'"),
        (walk(), {"C": 0}, "C is 0"),
        (np.where(np.arange(25) == 23, np.inf, np.arange(25.0))[:, None], {}, r"V\[23, 0\] is inf"),
    ],
)
def test_hierarchical_errors(V, options, match):
    with pytest.raises(ValueError, match=match):
        hierarchical_rank_pool(V, **options)


def test_hierarchical_constant_clip():
    np.testing.assert_array_equal(hierarchical_rank_pool(np.full((30, 4), 2.5), feature_map="posneg"), 0)


# -- sparse frames -------------------------------------------------------------------------------------------


def sparse_walk(T=20, d=50):
    V = walk(T, d)
    return np.where(np.random.default_rng(1).random((T, d)) < 0.2, V, 0.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "squared_hinge"},
        {"times": np.random.default_rng(0).integers(0, 8, 20)},
        {"smoothing": "tvm"},
        {"smoothing": "ma", "window": 4},
        *({"feature_map": name} for name in MAPS),
        {"normalize": "l1"},
        {"feature_map": "ssr", "normalize": "l2", "direction": "both"},
        {"direction": "reverse"},
        {"method": "approximate"},
        {"method": "svr"},
    ],
)
def test_sparse_frames_give_what_dense_ones_do(options):
    V = sparse_walk()
    V[4] = 0
    if options.get("feature_map") in ("hellinger", "chi2"):
        V = abs(V)
    dense = rank_pool(V, tol=1e-9, **options)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csr_matrix, scipy.sparse.coo_array):
        sparse = kind(V)
        np.testing.assert_allclose(
            rank_pool(sparse, tol=1e-9, **options), dense, rtol=1e-6, atol=1e-7 * abs(dense).max()
        )
        assert (sparse != kind(V)).nnz == 0


def test_maps_and_norms_keep_frames_sparse(monkeypatch):
    from rankpool import pooling

    ranked = []
    monkeypatch.setattr(
        pooling, "approximate_rank_pool", lambda frames, times: ranked.append(frames) or np.zeros(1)
    )
    V = abs(sparse_walk())
    for name in MAPS:
        rank_pool(scipy.sparse.csr_array(V), feature_map=name, normalize="l2", method="approximate")
        mapped = ranked.pop()
        assert mapped.format == "csr"
        assert mapped.nnz <= 5 * np.count_nonzero(V)


def test_sparse_frames_with_an_entry_given_twice():
    V = scipy.sparse.csr_array(
        (np.array([1.0, 3.0, -2.0, 5.0]), np.array([1, 1, 0, 2]), np.array([0, 2, 3, 4])), shape=(3, 3)
    )
    u = rank_pool(V, feature_map="ssr", tol=1e-9)
    np.testing.assert_allclose(u, rank_pool(V.toarray(), feature_map="ssr", tol=1e-9), rtol=1e-6)
    assert V.nnz == 4


def test_sparse_clips():
    X = [sparse_walk(T) for T in (10, 25, 40)]
    for pooling in (RankPooling(feature_map="posneg"), HierarchicalRankPooling(window=6, feature_map="ssr")):
        dense = pooling.fit_transform(X)
        sparse = pooling.fit_transform([scipy.sparse.csr_matrix(clip) for clip in X])
        np.testing.assert_allclose(sparse, dense, rtol=1e-4, atol=1e-5 * abs(dense).max())
    with pytest.raises(TypeError, match="X is one sparse matrix; it must be a list"):
        RankPooling().fit_transform(scipy.sparse.csr_array(X[0]))


def test_errors_of_sparse_frames():
    V = sparse_walk()
    V[3, 7], V[3, 9] = 1.0, -0.5
    V[5] = abs(V[5])
    with pytest.raises(ValueError, match=r"needs features of at least 0, but feature \d+ of frame \d+ is -"):
        rank_pool(scipy.sparse.csr_array(V), feature_map="hellinger")
    V[3, 7] = np.nan
    for options in ({}, {"feature_map": "tanh"}, {"smoothing": "tvm"}, {"method": "svr"}):
        with pytest.raises(ValueError, match=r"V\[3, 7\] is nan; V must be finite"):
            rank_pool(scipy.sparse.csr_array(V), **options)
    with pytest.raises(ValueError, match="V has 1 frame; rank pooling needs at least 2"):
        rank_pool(scipy.sparse.csr_array(V[:1]))
    with pytest.raises(TypeError, match="V has dtype complex128"):
        rank_pool(scipy.sparse.csr_array(V * 1j))


# -- the transformer -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("estimator", [RankPooling, HierarchicalRankPooling])
def test_scikit_learn_checks(estimator):
    for check in (  # those of check_estimator that do not pass tables
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ):
        check(estimator.__name__, estimator())


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


def test_public_names():
    assert set(rankpool.__all__) == set(dir(rankpool))
    for name in rankpool.__all__:
        assert getattr(rankpool, name).__doc__
    with pytest.raises(AttributeError):
        rankpool.RankPool  # noqa: B018


# -- magnitudes, masks, dates, tables ------------------------------------------------------------------------


@pytest.mark.parametrize("magnitude", [1e-310, 1e-200, 1e-140, 1e140, 1e200, 1e305])
@pytest.mark.parametrize("normalize", ["l1", "l2"])
@pytest.mark.parametrize("smoothing", [None, "tvm", "ma"])
@pytest.mark.parametrize("kind", [np.array, scipy.sparse.csr_array])
def test_normalised_frames_of_any_magnitude(kind, smoothing, normalize, magnitude):
    V = walk(30, 8)
    options = {"smoothing": smoothing, "normalize": normalize, "tol": 1e-9}
    expected = rank_pool(V, **options)
    rtol = 1e-6 if magnitude > 1e-300 else 1e-3  # the digits that a subnormal number has left
    np.testing.assert_allclose(
        rank_pool(kind(V * magnitude), **options), expected, rtol=rtol, atol=rtol * abs(expected).max()
    )


@pytest.mark.parametrize("feature_map", [None, *MAPS])
@pytest.mark.parametrize("method", ["ranksvm", "approximate", "svr"])
@pytest.mark.parametrize("magnitude", [1e-320, 1e-200, 1e-100, 1e80, 1e160, 1e308])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_finite_answer_or_an_error_that_says_what_to_rescale(magnitude, method, feature_map):
    V = abs(walk(12, 3)) / 10 * magnitude
    for options in ({}, {"smoothing": "tvm"}, {"normalize": "l2"}):
        try:
            u = rank_pool(V, method=method, feature_map=feature_map, **options)
        except ValueError as error:
            if "rescale" not in str(error):
                raise
        else:
            assert np.isfinite(u).all()


@pytest.mark.parametrize("scale", [1e-120, 1e-40, 1e40, 1e120])
def test_svr_of_rescaled_frames(scale):
    """u(sV, C) = u(V, s² C)/s: what LIBLINEAR cannot do by itself beyond 1e78."""
    V = walk()
    expected = rank_pool(V, 2.0, method="svr")
    C = 2.0 / scale / scale if abs(np.log10(scale)) < 100 else float(f"{2.0 / scale}") / scale
    np.testing.assert_allclose(scale * rank_pool(V * scale, C, method="svr"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "C"), [(1e78, 1.0), (1e200, 1.0), (1e-200, 1.0), (1.0, 1e300), (1.0, 1e-300)]
)
def test_svr_refuses_what_liblinear_does_not_come_back_from(scale, C):
    with pytest.raises(ValueError, match="beyond what LIBLINEAR can solve, 1e-10 to 1e"):
        rank_pool(walk() * scale, C, method="svr")


def test_depth_is_bounded_at_once():
    V = walk(20)
    for options in ({}, {"stride": 10**9}, {"window": 10**30, "stride": 10**30}):
        with pytest.raises(
            ValueError, match=r"V has 20 frames; depth=1000000 with stride=\d+ needs at least"
        ):
            hierarchical_rank_pool(V, depth=10**6, **options)
    assert hierarchical_rank_pool(V, depth=19, window=2, method="approximate").shape == (6,)
    with pytest.raises(ValueError, match="doubles the 6 features in each layer: depth=60 makes more than"):
        hierarchical_rank_pool(walk(100), depth=60, feature_map="posneg")


def test_an_error_of_a_later_layer_names_it():
    with pytest.raises(ValueError, match=r"^layer 2: C=1e-120 by the largest squared distance of V's frames"):
        hierarchical_rank_pool(walk(30) * 1e90, 1e-120)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda V, m: rank_svm(m), "V"),
        (lambda V, m: rank_pool(m, smoothing="tvm"), "V"),
        (lambda V, m: approximate_rank_pool(m), "V"),
        (lambda V, m: hierarchical_rank_pool(m), "V"),
        (lambda V, m: rank_svm(list(m)), "V"),
        (lambda V, m: rank_svm(V, times=m[:, 0]), "times"),
        (lambda V, m: rank_pool(V, times=m[:, 0]), "times"),
        (lambda V, m: rank_svm(V, groups=m[:, 0] > 1), "groups"),
        (lambda V, m: approximate_rank_pool(V, groups=m[:, 0] > 1), "groups"),
        (lambda V, m: dynamic_image(m[:, None]), "frames"),
        (lambda V, m: RankPooling().fit_transform(m[None]), "X"),
        (lambda V, m: RankPooling().fit_transform([V, m]), "clip 1: V"),
    ],
)
def test_masked_arrays_are_refused(call, name):
    V = walk()
    with pytest.raises(TypeError, match=f"^{name} is a masked array, and its mask would be ignored"):
        call(V, np.ma.masked_where(V > 2, V))


@pytest.mark.parametrize("unit", ["datetime64[D]", "datetime64[ns]", "timedelta64[ms]"])
def test_dates_are_times(unit):
    V, order = walk(), np.random.default_rng(0).permutation(20) // 2
    dates = order.astype(unit)
    for function in (
        lambda times: rank_svm(V, times=times).u,
        lambda times: rank_pool(V, times=times, smoothing="tvm", direction="both"),
        lambda times: approximate_rank_pool(V, times=times),
    ):
        np.testing.assert_array_equal(function(dates), function(order))
        np.testing.assert_array_equal(function(pd.Series(dates)), function(order))
        missing = dates.copy()
        missing[3] = "NaT"
        with pytest.raises(ValueError, match=r"times\[3\] is NaT; times must be finite"):
            function(missing)


def test_columns_of_tables_must_agree():
    tables = [pd.DataFrame(walk(seed=seed), columns=list("abcdef")) for seed in range(3)]
    pooling = RankPooling()
    U = pooling.fit_transform(tables)
    np.testing.assert_array_equal(U, RankPooling().fit_transform([table.to_numpy() for table in tables]))
    assert list(pooling.feature_names_in_) == list("abcdef")
    tables[1] = tables[1][list("abcdfe")]
    match = "clip 1: column 4 of V is 'f', of the first clip 'e'; all clips need the same columns"
    with pytest.raises(ValueError, match=match):
        RankPooling().fit_transform(tables)
    with pytest.raises(ValueError, match="clip 0: column 4 of V is 'f'"):
        pooling.transform(tables[1:2])
    assert pooling.transform([tables[0].to_numpy()]).shape == (1, 6)
    assert not hasattr(RankPooling().fit([walk()]), "feature_names_in_")
    with pytest.raises(TypeError, match="X is one table; it must be a list of them"):
        RankPooling().fit_transform(tables[0])


@pytest.mark.parametrize("n_jobs", [None, -1, -2, -3, -100, 1, 3])
def test_n_jobs_is_joblibs(n_jobs, monkeypatch):
    from rankpool import estimator

    monkeypatch.setattr(joblib.parallel, "cpu_count", lambda *_, **__: 4)
    monkeypatch.setattr(joblib._parallel_backends, "cpu_count", lambda *_, **__: 4)
    threads = []

    def count(function, items, n_threads):
        threads.append(n_threads)
        return [function(index, item) for index, item in enumerate(items)]

    monkeypatch.setattr(estimator, "_in_threads", count)
    RankPooling(n_jobs=n_jobs).fit([walk()])
    assert threads == [{None: 4, -1: 4, -2: 3, -3: 2, -100: 1, 1: 1, 3: 3}[n_jobs]]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u8"])
@pytest.mark.parametrize("pool", [approximate_rank_pool, rank_pool])
def test_the_bytes_of_a_number_may_come_in_either_order(pool, dtype):
    V = np.random.default_rng(0).integers(0, 9, (5, 4))
    np.testing.assert_array_equal(pool(V.astype(f">{dtype}")), pool(V.astype(f"<{dtype}")))
