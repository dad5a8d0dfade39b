"""L21Selector: scikit-learn's contract, the ranking, what it says when it can't select."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

import l21
from l21 import L21Selector

DATA = Path(__file__).parents[2] / "shared" / "data" / "selection"


# The array-API check is not run: it needs an environment variable, and the solver is NumPy only.
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{check.func.__name__}-{estimator}")
        for selector in (L21Selector(n_features_to_select=0.5), L21Selector(gamma=("critical", 5.0)))
        for estimator, check in estimator_checks_generator(selector)
        if "array_api" not in check.func.__name__
    ],
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def colon():
    mat = scipy.io.loadmat(DATA / "colon.mat")
    return StandardScaler().fit_transform(mat["X"].astype(np.float64)), mat["Y"].ravel()


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    y = rng.choice(["disgust", "other", "surprise"], size=40)
    X = rng.standard_normal((40, 30))
    X[:, 3] += 3 * (y == "disgust")
    X[:, 7] += 3 * (y == "other")
    return X, y


def test_selects_the_features_that_matter(small):
    X, y = small
    selector = L21Selector(2, gamma=("critical", 2.0)).fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [3, 7])
    assert_array_equal(selector.transform(X), X[:, [3, 7]])
    assert_array_equal(selector.classes_, ["disgust", "other", "surprise"])
    assert set(np.flatnonzero(selector.ranking_ <= 2)) == {3, 7}


def test_attributes_are_those_of_solve(colon):
    X, y = colon
    selector = L21Selector(gamma=0.2).fit(X, y)
    Y, _ = l21.one_hot(y)
    result = l21.solve(X, Y, 0.2)
    assert_array_equal(selector.coef_, result.W)
    assert_array_equal(selector.dual_, result.dual)
    assert selector.dual_gap_ == result.gap <= 1e-6
    assert selector.objective_ == result.objective
    assert_array_equal(selector.support_, np.linalg.norm(result.W, axis=1) > 0)
    assert_array_equal(selector.get_support(), selector.support_)


def test_ranking_is_rows_of_w_then_nearness(colon):
    X, y = colon
    with pytest.warns(UserWarning, match=r"only \d+ rows of W are non-zero"):
        selector = L21Selector(300, gamma=("critical", 10.0)).fit(X, y)
    lengths = np.linalg.norm(selector.coef_, axis=1)
    nearness = np.linalg.norm(X.T @ selector.dual_, axis=1)
    inside = np.count_nonzero(lengths)
    assert 0 < inside < 300
    order = np.argsort(selector.ranking_)
    assert_array_equal(np.sort(selector.ranking_), np.arange(1, X.shape[1] + 1))
    assert (lengths[order[:inside]] > 0).all()
    assert (np.diff(lengths[order[:inside]]) <= 0).all()
    assert (np.diff(nearness[order[inside:]]) <= 1e-12).all()
    assert_array_equal(np.argsort(-selector.scores_, kind="stable"), order)
    assert selector.get_support().sum() == 300


def test_equal_features_rank_by_index():
    X = np.repeat(np.array([[1.0], [-1.0], [0.5]]), 4, axis=1)
    with pytest.warns(UserWarning, match="W = 0"):
        selector = L21Selector(2, gamma=("critical", 0.5)).fit(X, [0, 1, 0])
    assert_array_equal(selector.ranking_, [1, 2, 3, 4])
    assert_array_equal(selector.get_support(indices=True), [0, 1])


def test_below_critical_gamma_warns_and_ranks_by_nearness(colon):
    X, y = colon
    Y, _ = l21.one_hot(y)
    with pytest.warns(UserWarning, match="W = 0: gamma=.* is not above the critical gamma"):
        selector = L21Selector(5, gamma=0.9 * l21.critical_gamma(X, Y)).fit(X, y)
    assert not selector.coef_.any()
    expected = np.argsort(-np.linalg.norm(X.T @ Y, axis=1), kind="stable")[:5]
    assert_array_equal(selector.get_support(indices=True), np.sort(expected))


def test_critical_factor_is_free_of_scale(colon):
    X, y = colon
    one = L21Selector(gamma=("critical", 4.0)).fit(X, y)
    other = L21Selector(gamma=("critical", 4.0)).fit(1000 * X, y)
    assert_array_equal(one.support_, other.support_)
    assert_allclose(other.gamma_ * 1000, one.gamma_)


@pytest.mark.parametrize(
    ("asked", "kept"), [(7, 7), (0.1, 3), (1.0, 30), (1e-9, 1), (30, 30), (np.int64(4), 4)]
)
@pytest.mark.filterwarnings("ignore:only")
def test_counts_and_fractions(small, asked, kept):
    X, y = small
    assert L21Selector(asked, gamma=1.0).fit_transform(X, y).shape == (40, kept)


def test_sample_weight_zero_leaves_samples_out(small):
    X, y = small
    weights = np.ones(40)
    weights[30:] = 0.0
    weighted = L21Selector(gamma=1.0).fit(X, y, sample_weight=weights)
    assert_allclose(weighted.coef_, L21Selector(gamma=1.0).fit(X[:30], y[:30]).coef_)


def test_irls_selects_the_same(small):
    X, y = small
    newton, irls = (L21Selector(2, gamma=("critical", 3.0), solver=s).fit(X, y) for s in ("newton", "irls"))
    assert_array_equal(newton.support_, irls.support_)


def test_float32_stays_float32(colon):
    X, y = colon
    selector = L21Selector(20, gamma=("critical", 10.0)).fit(X.astype(np.float32), y)
    assert selector.transform(X.astype(np.float32)).dtype == np.float32
    reference = L21Selector(20, gamma=("critical", 10.0)).fit(X, y)
    assert_array_equal(selector.get_support(), reference.get_support())


# --- with scikit-learn ---


def test_names_and_pandas_output(small):
    X, y = small
    frame = pd.DataFrame(X, columns=[f"block{j}" for j in range(30)])
    selector = L21Selector(2, gamma=("critical", 2.0)).set_output(transform="pandas").fit(frame, y)
    assert selector.get_feature_names_out().tolist() == ["block3", "block7"]
    assert selector.transform(frame).columns.tolist() == ["block3", "block7"]


@pytest.mark.filterwarnings("ignore:only")
def test_pipeline_and_grid_search(small):
    X, y = small
    pipeline = make_pipeline(StandardScaler(), L21Selector(2, gamma=("critical", 2.0)), SVC(kernel="linear"))
    search = GridSearchCV(
        pipeline,
        {"l21selector__n_features_to_select": [2, 3], "l21selector__gamma": [("critical", 2.0), 1.0]},
        cv=3,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.6
    assert cross_val_score(search.best_estimator_, X, y, cv=3).mean() > 0.6
    assert clone(pipeline).get_params()["l21selector__gamma"] == ("critical", 2.0)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_features_to_select": 31}, "n_features_to_select=31, but X has 30 features"),
        ({"n_features_to_select": 0}, "it needs to be 1 to 30"),
        ({"n_features_to_select": -2}, "it needs to be 1 to 30"),
        ({"n_features_to_select": 0.0}, "a count, a fraction"),
        ({"n_features_to_select": 1.5}, "a count, a fraction"),
        ({"n_features_to_select": True}, "a count, a fraction"),
        ({"n_features_to_select": "all"}, "a count, a fraction"),
        ({"gamma": 0.0}, "gamma needs to be a positive number"),
        ({"gamma": np.nan}, "gamma needs to be a positive number"),
        ({"gamma": "auto"}, "gamma needs to be a positive number"),
        ({"gamma": ("critical", -1.0)}, "positive factor"),
        ({"gamma": ("typical", 1.0)}, "gamma needs to be a positive number"),
        ({"solver": "admm"}, "solver needs to be"),
        ({"tol": -1.0}, "tol needs to lie"),
    ],
)
def test_bad_parameters(small, options, message):
    with pytest.raises(ValueError, match=message):
        L21Selector(**options).fit(*small)


def test_bad_data(small):
    X, y = small
    with pytest.raises(ValueError, match=r"only one class, \['same'\]"):
        L21Selector().fit(X, ["same"] * 40)
    with pytest.raises(ValueError, match="only one class"):
        L21Selector().fit(X, y, sample_weight=(y == "other").astype(float))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        L21Selector().fit(X, y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        L21Selector().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="infinity"):
        L21Selector().fit(np.where(X > 2, np.inf, X), y)
    with pytest.raises(NotFittedError):
        L21Selector().transform(X)
