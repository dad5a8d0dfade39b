import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVR
from sklearn.utils import estimator_checks

import rankpool
from rankpool import RankPooling, approximate_rank_pool, dynamic_image, rank_pool, rank_svm


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


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_same_bits_for_any_number_of_threads(loss):
    X = [walk(T, 40, seed=T) / 7 for T in range(5, 60, 3)]
    expected = RankPooling(loss=loss).fit_transform(X)
    for n_jobs in (2, 4, -1):
        np.testing.assert_array_equal(RankPooling(loss=loss, n_jobs=n_jobs).fit_transform(X), expected)


def test_scikit_learn_contract():
    for check in (  # those of check_estimator that do not pass tables
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ):
        check("RankPooling", RankPooling())
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
        ([walk(), walk(d=7)], ValueError, "clip 1 has 7 features; the first one had 6"),
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


def test_public_names():
    assert set(rankpool.__all__) == set(dir(rankpool))
    for name in rankpool.__all__:
        assert getattr(rankpool, name).__doc__
    with pytest.raises(AttributeError):
        rankpool.RankPool  # noqa: B018
