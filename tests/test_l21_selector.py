"""L21Selector: scikit-learn's contract, the ranking, what it says when it can't select."""

import re
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE, RFECV, SelectFromModel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import l21
from l21 import L21Selector
from l21.plots import plot_residuals


@pytest.fixture(scope="module")
def genes():
    """Few samples of many correlated features, as microarrays have them, 40 of which differ by class."""
    rng = np.random.default_rng(0)
    y = np.arange(62) % 2
    X = rng.standard_normal((62, 30)) @ (rng.standard_normal((30, 2000)) * (rng.random((30, 2000)) < 0.2))
    X += rng.standard_normal((62, 2000))
    X[:, :40] += 1.5 * rng.standard_normal((2, 40))[y]
    return StandardScaler().fit_transform(X), y


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


def test_attributes_are_those_of_solve(genes):
    X, y = genes
    selector = L21Selector(gamma=0.2).fit(X, y)
    Y, _ = l21.one_hot(y)
    result = l21.solve(X, Y, 0.2)
    assert_array_equal(selector.W_, result.W)
    assert_array_equal(selector.dual_, result.dual)
    assert selector.dual_gap_ == result.gap <= 1e-6
    assert selector.objective_ == result.objective
    assert_array_equal(selector.support_, np.linalg.norm(result.W, axis=1) > 0)
    assert_array_equal(selector.get_support(), selector.support_)


def test_ranking_is_rows_of_w_then_nearness(genes):
    X, y = genes
    with pytest.warns(UserWarning, match=r"only \d+ rows of W are non-zero"):
        selector = L21Selector(300, gamma=("critical", 10.0)).fit(X, y)
    lengths = np.linalg.norm(selector.W_, axis=1)
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


def test_below_critical_gamma_warns_and_ranks_by_nearness(genes):
    X, y = genes
    Y, _ = l21.one_hot(y)
    with pytest.warns(UserWarning, match="W = 0: gamma=.* is not above the critical gamma"):
        selector = L21Selector(5, gamma=0.9 * l21.critical_gamma(X, Y)).fit(X, y)
    assert not selector.coef_.any()
    expected = np.argsort(-np.linalg.norm(X.T @ Y, axis=1), kind="stable")[:5]
    assert_array_equal(selector.get_support(indices=True), np.sort(expected))


def test_critical_factor_is_free_of_scale(genes):
    X, y = genes
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


def test_float32_stays_float32(genes):
    X, y = genes
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


# --- outliers ---


def test_residuals_zeros_and_outliers():
    # Raw, uncentred X with more features than samples: most samples are met, a contradicting pair is not.
    rng = np.random.default_rng(0)
    X = np.abs(rng.standard_normal((20, 60)))
    y = np.arange(20) % 2
    X[1], y[1] = X[0], 1 - y[0]
    selector = L21Selector(gamma=("critical", 300.0)).fit(X, y)
    Y, _ = l21.one_hot(y)
    assert_allclose(selector.residuals_, np.linalg.norm(X @ selector.W_ - Y, axis=1), atol=1e-9)
    assert_array_equal(selector.zero_residual_, selector.residuals_ <= 1e-3)
    assert selector.zero_residual_.sum() >= 18
    assert set(selector.outliers_) == set(np.flatnonzero(~selector.zero_residual_)) <= {0, 1}
    assert (np.diff(selector.residuals_[selector.outliers_]) <= 0).all()


def test_residuals_with_weight_zero(small):
    X, y = small
    weights = np.ones(40)
    weights[[3, 8]] = 0.0
    selector = L21Selector().fit(X, y, sample_weight=weights)
    assert_array_equal(np.flatnonzero(np.isnan(selector.residuals_)), [3, 8])
    assert not selector.zero_residual_[[3, 8]].any()
    assert not {3, 8} & set(selector.outliers_)
    assert selector.dual_.shape == (40, 3)
    assert not selector.dual_[[3, 8]].any()


@pytest.mark.parametrize("loss", ["l21", "squared", "logistic"])
@pytest.mark.parametrize("name", ["iris", "digits"])
def test_flipped_labels_are_among_the_outliers(name, loss):
    X, y = load_iris(return_X_y=True) if name == "iris" else load_digits(return_X_y=True)
    if name == "digits":
        X, y = X[:500], y[:500]
    X, rng = StandardScaler().fit_transform(X), np.random.default_rng(0)
    k, c = len(y) // 10, len(np.unique(y))
    flipped = rng.choice(len(y), k, replace=False)
    y[flipped] = (y[flipped] + rng.integers(1, c, k)) % c
    selector = L21Selector(gamma=("critical", 3.0), loss=loss).fit(X, y)
    assert np.isin(selector.outliers_[:k], flipped).mean() >= 0.7  # by chance 0.1


def test_plot_residuals():
    residuals = np.array([0.9, 1e-9, 0.2, np.nan, 0.0, 0.4])
    ax = plt.subplots()[1]
    assert plot_residuals(residuals, ax, marked=[0], names=list("abcdef")) is ax
    samples, zeros, marked = (c.get_offsets() for c in ax.collections)
    assert_array_equal(samples, [[3, 0.2], [4, 0.4]])
    assert_array_equal(zeros, [[1, 0], [2, 0]])
    assert_array_equal(marked, [[5, 0.9]])
    assert [text.get_text() for text in ax.texts] == ["a"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["samples (2)", "zero residual (2)", "marked (1)"]
    mask = np.array([True, False, False, False, False, True])
    other = plot_residuals(residuals, marked=mask)
    assert other is not ax
    assert_array_equal(other.collections[-1].get_offsets(), [[4, 0.4], [5, 0.9]])
    plt.close("all")
    for bad in ({"marked": [True]}, {"names": ["a"]}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            plot_residuals(residuals, ax, **bad)
    with pytest.raises(ValueError, match="one a sample"):
        plot_residuals(np.zeros((3, 2)), ax)


def test_plot_residuals_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = re.escape("plot_residuals needs matplotlib; install microexpr[plot]")
    with pytest.raises(ModuleNotFoundError, match=f"^{message}$"):
        plot_residuals([1.0, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hinge"}, "loss needs to be"),
        ({"task": "classes"}, "task needs to be"),
        ({"gamma": "cv", "gammas": 0}, "gammas needs to be"),
        ({"gamma": "cv", "gammas": [1.0, -2.0]}, "gammas needs to be"),
        ({"gamma": "cv", "gammas": []}, "gammas needs to be"),
        ({"gamma": "cv", "scoring": "no such"}, "no such"),
        ({"gamma": "cv", "cv": 41}, "41"),
    ],
)
def test_bad_options(small, options, message):
    with pytest.raises(ValueError, match=message):
        L21Selector(**options).fit(*small)


def test_bad_targets(small):
    X, _ = small
    with pytest.raises(ValueError, match="y is continuous"):
        L21Selector(loss="logistic").fit(X, X[:, 0])
    with pytest.raises(ValueError, match="labels"):
        L21Selector(task="classification").fit(X, X[:, :2])
    with pytest.raises(ValueError, match="nknown label type"):
        L21Selector(task="classification").fit(X, X[:, 0])


# --- coef_ as scikit-learn reads it ---


def planted_classes(seed, n, d, c, useful):
    """Samples of c classes that differ in the features `useful`, the others noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % c
    X = rng.standard_normal((n, d))
    centres = np.linalg.qr(rng.standard_normal((max(c, len(useful)),) * 2))[0][:c, : len(useful)]
    X[:, useful] += 5 * centres[y]
    return X, y


CASES = [
    (0, 60, 20, 3, [2, 7, 11]),
    (1, 80, 40, 2, [5, 30]),
    (2, 90, 15, 5, [0, 1, 3, 14]),
    (3, 60, 200, 4, [50, 51, 120, 199]),
    (4, 100, 12, 3, [9, 10, 11]),
]


@pytest.mark.parametrize("loss", ["l21", "squared", "logistic"])
@pytest.mark.parametrize("case", CASES)
def test_scikit_learns_selectors_keep_the_right_features(case, loss):
    X, y = planted_classes(*case)
    useful, c = case[-1], case[3]
    fitted = L21Selector(loss=loss).fit(X, y)
    assert fitted.coef_.shape == (c, X.shape[1])
    assert_array_equal(fitted.coef_, fitted.W_.T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in (1, 0.3):
            kept = RFE(L21Selector(loss=loss), n_features_to_select=len(useful), step=step).fit(X, y)
            assert_array_equal(kept.get_support(indices=True), useful)
    own = fitted.get_support(indices=True)
    for selector in (
        SelectFromModel(L21Selector(loss=loss), max_features=len(useful), threshold=-np.inf).fit(X, y),
        SelectFromModel(fitted, max_features=len(useful), threshold=-np.inf, prefit=True),
    ):
        assert_array_equal(selector.transform(X), X[:, useful])
    nonzero = SelectFromModel(fitted, threshold=1e-12, prefit=True)
    assert_array_equal(nonzero.get_support(indices=True), own)


@pytest.mark.parametrize("targets", [1, 2])
def test_rfe_of_a_regression(targets):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 30))
    y = X[:, [4, 8, 20]] @ rng.uniform(1, 3, (3, targets)) + 0.1 * rng.standard_normal((80, targets))
    y = y[:, 0] if targets == 1 else y
    selector = RFE(L21Selector(task="regression"), n_features_to_select=3).fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [4, 8, 20])
    assert selector.estimator_.coef_.shape == (targets, 3)


def test_rfecv_with_a_scorer():
    # L21Selector predicts nothing, so RFECV needs a scorer that does.
    X, y = planted_classes(*CASES[0])

    def accuracy(selector, X, y):
        return np.mean(selector.classes_[(X @ selector.coef_.T).argmax(axis=1)] == y)

    selector = RFECV(L21Selector(), scoring=accuracy, cv=3, min_features_to_select=2).fit(X, y)
    assert set(CASES[0][-1]) <= set(selector.get_support(indices=True))
    assert selector.cv_results_["mean_test_score"].max() > 0.9
