"""What rank pooling takes and refuses: magnitudes, masks, dates, tables."""

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from rankpool import (
    RankPooling,
    approximate_rank_pool,
    dynamic_image,
    hierarchical_rank_pool,
    rank_pool,
    rank_svm,
)

MAPS = ("ssr", "posneg", "hellinger", "tanh", "chi2")


def walk(T=20, d=6, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(T, d)) + 0.3, axis=0)


@pytest.mark.parametrize("magnitude", [1e-310, 1e-200, 1e-140, 1e140, 1e200, 1e305, 9e306])
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

    def count(function, items, n_items, n_threads):
        threads.append(n_threads)
        return np.stack([function((index, item)) for index, item in enumerate(items)])

    monkeypatch.setattr(estimator, "_in_threads", count)
    RankPooling(n_jobs=n_jobs).fit([walk()])
    assert threads == [{None: 4, -1: 4, -2: 3, -3: 2, -100: 1, 1: 1, 3: 3}[n_jobs]]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u8"])
@pytest.mark.parametrize("pool", [approximate_rank_pool, rank_pool])
def test_the_bytes_of_a_number_may_come_in_either_order(pool, dtype):
    V = np.random.default_rng(0).integers(0, 9, (5, 4))
    np.testing.assert_array_equal(pool(V.astype(f">{dtype}")), pool(V.astype(f"<{dtype}")))
