import numpy as np
import pytest
import scipy.sparse
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.svm import LinearSVR

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
