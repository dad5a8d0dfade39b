"""L21Selector: gamma by cross-validation, targets of all kinds, sparse X, numbers out of float64's reach."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import l21
from l21 import L21Selector


@pytest.fixture(scope="module")
def noisy():
    """Six features that tell three classes apart, 60 that don't; subjects of six samples each."""
    rng = np.random.default_rng(1)
    y = np.tile([0, 1, 2], 30)
    X = rng.standard_normal((90, 66))
    X[:, :6] += 1.2 * rng.standard_normal((3, 6))[y]
    return X, y, np.repeat(np.arange(15), 6)


# --- gamma="cv" ---


def test_cv_takes_the_best_of_the_table(noisy):
    X, y, _ = noisy
    selector = L21Selector(6, gamma="cv", gammas=[1.5, 5.0, 50.0], cv=4).fit(X, y)
    table = pd.DataFrame(selector.cv_results_)
    assert table.factor.tolist() == [1.5, 5.0, 50.0]
    Y, _ = l21.one_hot(y)
    assert_allclose(table.gamma, table.factor * l21.critical_gamma(X, Y))
    folds = table[[f"split{k}_test_score" for k in range(4)]].to_numpy()
    assert_allclose(table.mean_test_score, folds.mean(axis=1))
    assert_allclose(table.std_test_score, folds.std(axis=1))
    assert selector.gamma_ == table.gamma[table.mean_test_score.idxmax()]
    fixed = L21Selector(6, gamma=selector.gamma_).fit(X, y)
    assert_array_equal(selector.coef_, fixed.coef_)


@pytest.mark.parametrize("loss", ["l21", "squared", "logistic"])
@pytest.mark.filterwarnings("ignore:only")
def test_cv_scores_are_those_of_a_pipeline_by_hand(noisy, loss):
    X, y, _ = noisy
    selector = L21Selector(6, gamma="cv", gammas=[3.0, 30.0], cv=3, loss=loss).fit(X, y)
    for gamma, mean in zip(
        selector.cv_results_["gamma"], selector.cv_results_["mean_test_score"], strict=True
    ):
        pipeline = make_pipeline(L21Selector(6, gamma=gamma, loss=loss), SVC(kernel="linear"))
        assert_allclose(cross_val_score(pipeline, X, y, cv=3).mean(), mean)


def test_cv_regression_scores_the_prediction(noisy):
    X, _, _ = noisy
    Y = X[:, :2] @ [[1.0, 2.0], [-1.0, 0.5]] + [10.0, -3.0]
    selector = L21Selector(gamma="cv", gammas=[2.0, 20.0], cv=KFold(3)).fit(X, Y)
    for gamma, mean in zip(
        selector.cv_results_["gamma"], selector.cv_results_["mean_test_score"], strict=True
    ):
        scores = []
        for train, test in KFold(3).split(X):
            fold = L21Selector(gamma=gamma).fit(X[train], Y[train])
            far = np.linalg.norm(X[test] @ fold.W_ + fold.intercept_ - Y[test], axis=1)
            scores.append(-far.mean())
        assert_allclose(np.mean(scores), mean, rtol=1e-3)
    r2 = L21Selector(gamma="cv", gammas=[2.0, 7.0], cv=3, scoring="r2").fit(X, Y)
    assert 0.6 < r2.cv_results_["mean_test_score"].max() <= 1.0
    assert r2.gamma_ == r2.cv_results_["gamma"][1]


@pytest.mark.filterwarnings("ignore:only")
def test_cv_keeps_groups_whole(noisy):
    X, y, groups = noisy
    seen = []

    class Spy(GroupKFold):
        def split(self, X, y=None, groups=None):
            seen.append(groups)
            return super().split(X, y, groups)

    L21Selector(6, gamma="cv", gammas=2, cv=Spy(3)).fit(X, y, groups=groups)
    assert_array_equal(seen[0], groups)

    # A number of folds with groups: features that name the subject are of no use to other subjects.
    subject = np.tile(np.arange(15), 6)
    leak, by_subject = 5 * np.eye(15)[subject], subject % 3
    with_groups = L21Selector(gamma="cv", gammas=2, cv=3).fit(leak, by_subject, groups=subject)
    without = L21Selector(gamma="cv", gammas=2, cv=3).fit(leak, by_subject)
    assert without.cv_results_["mean_test_score"].max() == 1.0
    assert with_groups.cv_results_["mean_test_score"].max() < 0.5


@pytest.mark.filterwarnings("ignore:only")
def test_groups_through_a_pipeline_and_metadata_routing(noisy):
    X, y, groups = noisy
    expected = L21Selector(6, gamma="cv", gammas=2, cv=3).fit(X, y, groups=groups)
    pipeline = make_pipeline(L21Selector(6, gamma="cv", gammas=2, cv=3), SVC(kernel="linear"))
    pipeline.fit(X, y, l21selector__groups=groups)
    assert_array_equal(pipeline[0].cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline[0].set_fit_request(groups=True, sample_weight=False)
        results = cross_validate(pipeline, X, y, cv=GroupKFold(3), params={"groups": groups})
        assert results["test_score"].mean() > 0.5


@pytest.mark.filterwarnings("ignore:only")
def test_cv_in_parallel_is_the_same(noisy):
    X, y, _ = noisy
    with joblib.parallel_config(backend="threading"):  # processes take seconds to start
        one, two = (L21Selector(6, gamma="cv", gammas=2, cv=3, n_jobs=n).fit(X, y) for n in (1, 2))
    assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert_array_equal(one.coef_, two.coef_)


def test_cv_without_any_feature_falls_back_on_the_frequent_class(noisy):
    X, y, _ = noisy
    with pytest.warns(UserWarning, match="W = 0"):
        selector = L21Selector(gamma="cv", gammas=[0.1], cv=3).fit(X, y)
    assert_allclose(selector.cv_results_["mean_test_score"], 1 / 3)


# --- labels and regression ---


def test_labels_are_taken_as_they_are(noisy):
    X, _, _ = noisy
    Y = np.stack([X[:, 0] > 0, X[:, 1] > 0.5, X[:, 0] + X[:, 1] > 0], axis=1).astype(int)
    for given_Y in (Y, Y.astype(bool), Y.astype(float), scipy.sparse.csr_array(Y)):
        selector = L21Selector(2, gamma=0.5).fit(X, given_Y)
        assert_array_equal(selector.get_support(indices=True), [0, 1])
        assert_array_equal(selector.W_, l21.solve(X, Y.astype(float), 0.5).W)
        assert not hasattr(selector, "classes_")
        assert_array_equal(selector.intercept_, 0)
    logistic = L21Selector(2, gamma=0.5, loss="logistic").fit(X, Y)
    assert_array_equal(logistic.get_support(indices=True), [0, 1])


def test_regression_is_free_of_the_offset_and_robust(noisy):
    X, _, _ = noisy
    y = 3 * X[:, 4] - 2 * X[:, 9] + 50.0
    y[[5, 17]] += 100.0
    selector = L21Selector(gamma=("critical", 10.0)).fit(X, y)
    assert_array_equal(selector.ranking_[[4, 9]], [1, 2])
    assert_array_equal(np.sort(selector.outliers_[:2]), [5, 17])
    assert selector.intercept_ == np.sort(y)[44]  # the lower median of 90
    assert_array_equal(L21Selector(gamma=("critical", 10.0)).fit(X, y[:, None]).coef_, selector.coef_)
    assert not hasattr(selector, "classes_")
    centred = (y - selector.intercept_)[:, None]
    assert_array_equal(selector.W_, l21.solve(X, centred, selector.gamma_).W)


def test_what_y_is(noisy):
    X, y, _ = noisy
    assert_array_equal(L21Selector().fit(X, y.astype(float)).classes_, [0.0, 1.0, 2.0])
    assert not hasattr(L21Selector(task="regression").fit(X, y), "classes_")
    assert not hasattr(L21Selector().fit(X, y + 0.5), "classes_")
    refitted = L21Selector().fit(X, y).fit(X, y + 0.5)
    assert not hasattr(refitted, "classes_")
    counts = L21Selector().fit(X, np.stack([y, 2 * y], axis=1))
    assert_array_equal(counts.intercept_, [1.0, 2.0])


def test_weighted_median_is_that_of_repeated_samples(noisy):
    X, _, _ = noisy
    y = X[:, 0] + 0.1
    weights = np.arange(90) % 4
    weighted = L21Selector(gamma=0.2).fit(X, y, sample_weight=weights)
    repeated = L21Selector(gamma=0.2).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    assert_allclose(weighted.intercept_, repeated.intercept_)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)


# --- sparse X ---


@pytest.mark.parametrize("loss", ["l21", "squared", "logistic"])
@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_sparse_selects_the_same_and_stays_sparse(noisy, loss, kind):
    X, y, _ = noisy
    X = np.where(np.abs(X) > 0.8, X, 0.0)
    dense, sparse = (L21Selector(6, gamma=("critical", 9.0), loss=loss).fit(A, y) for A in (X, kind(X)))
    assert_allclose(sparse.coef_, dense.coef_, atol=2e-3)
    assert_array_equal(sparse.support_, dense.support_)
    kept = sparse.transform(kind(X))
    assert scipy.sparse.issparse(kept)
    assert_array_equal(kept.toarray(), X[:, sparse.support_])


@pytest.mark.filterwarnings("ignore:only")
def test_sparse_in_a_pipeline_with_cv(noisy):
    X, y, _ = noisy
    X = scipy.sparse.csr_matrix(np.where(np.abs(X) > 0.8, X, 0.0))
    pipeline = make_pipeline(
        StandardScaler(with_mean=False), L21Selector(6, gamma="cv", gammas=2, cv=3), SVC(kernel="linear")
    )
    assert cross_val_score(pipeline, X, y, cv=3, error_score="raise").mean() > 0.5


# --- what y may be ---


@pytest.mark.parametrize("gamma", [0.5, "cv"])
@pytest.mark.filterwarnings("ignore:only")
def test_kinds_of_y(noisy, gamma):
    X, y, _ = noisy
    options = {"gamma": gamma, "gammas": [3.0], "cv": 3}
    expected = L21Selector(6, **options).fit(X, y).support_
    for same in (
        y[:, None],
        y.astype(object),
        y.astype(np.uint8)[:, None].astype(object),
        y.astype(float),
        np.array(["a", "b", "c"])[y],
        np.array(["a", "b", "c"], dtype=object)[y],
        y.tolist(),
        pd.Series(y, dtype="Int64"),
        pd.Series(y, dtype="Int64").to_frame(),
        pd.Series(y, dtype="Float64"),
        pd.Series(np.array(["a", "b", "c"])[y], dtype="string"),
        pd.Series(np.array(["a", "b", "c"])[y], dtype="category"),
    ):
        assert_array_equal(L21Selector(6, **options).fit(X, same).support_, expected)
    binary = y == 1
    expected = L21Selector(6, **options).fit(X, binary.astype(int)).support_
    for same in (binary, binary[:, None], binary.astype(object), pd.Series(binary, dtype="boolean")):
        assert_array_equal(L21Selector(6, **options).fit(X, same).support_, expected)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([0, 1, None] * 30, dtype="Int64"),
        pd.Series([True, False, None] * 30, dtype="boolean"),
        np.array([0, 1, None] * 30, dtype=object),
        np.array(["a", "b", None] * 30, dtype=object),
        np.array(["a", "b", 3] * 30, dtype=object),
        np.array(["a", "b", np.nan] * 30, dtype=object),
        np.array([0, 1, np.nan] * 30, dtype=object),
        np.ma.array([0, 1, 2] * 30, mask=[False, False, True] * 30),
    ],
)
def test_missing_or_mixed_y_is_an_error_that_names_y(noisy, y):
    with pytest.raises(ValueError, match=r"\by\b"):
        L21Selector().fit(noisy[0], y)


def test_masked_x_and_weights_are_refused(noisy):
    X, y, groups = noisy
    mask = np.arange(90) == 3
    with pytest.raises(ValueError, match="X has masked"):
        L21Selector().fit(np.ma.array(X, mask=np.repeat(mask[:, None], X.shape[1], axis=1)), y)
    with pytest.raises(ValueError, match="sample_weight has masked"):
        L21Selector().fit(X, y, sample_weight=np.ma.array(np.ones(90), mask=mask))
    with pytest.raises(ValueError, match="groups has masked"):
        L21Selector(gamma="cv").fit(X, y, groups=np.ma.array(groups, mask=mask))


# --- numbers out of float64's reach ---


@pytest.mark.parametrize("loss", ["l21", "squared", "logistic"])
@pytest.mark.parametrize("gamma", [1.0, ("critical", 5.0), "cv"])
def test_out_of_reach_is_an_error_that_names_what(noisy, loss, gamma):
    X, y, _ = noisy
    selector = L21Selector(gamma=gamma, loss=loss, gammas=2, cv=3)
    for scale in (1e-200, 1e-310, 1e200, 1e300):
        with pytest.raises(ValueError, match=r"^X has .* as its largest entry"):
            selector.fit(scale * X, y)
    if loss != "logistic":
        for scale in (1e-200, 1e200, 1e307):
            with pytest.raises(ValueError, match=r"^y has .* as its largest entry"):
                clone(selector).set_params(task="regression").fit(X, scale * (X[:, 0] + 0.1))
    with pytest.raises(ValueError, match=r"gamma \* sample_weight needs to lie"):
        selector.fit(X, y, sample_weight=np.where(y == 0, 1e-200, 1.0))
    for bad in (1e300, ("critical", 1e300)):
        with pytest.raises(ValueError, match=r"^gamma needs to lie"):
            L21Selector(gamma=bad, loss=loss).fit(X, y)


@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_far_from_one_selects_the_same(noisy, scale):
    X, y, _ = noisy
    for loss in ("l21", "squared", "logistic"):
        for gamma in (("critical", 5.0), "cv")[: 2 if scale < 1.0 else 1]:
            options = {"gamma": gamma, "loss": loss, "gammas": [3.0], "cv": 3}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "only")
                one, other = L21Selector(6, **options).fit(X, y), L21Selector(6, **options).fit(scale * X, y)
            assert_array_equal(one.support_, other.support_)
            assert other.dual_gap_ <= 1e-6


@pytest.mark.filterwarnings("ignore:only", "ignore:W = 0")
def test_cv_ends_where_the_svm_would_not():
    rng = np.random.default_rng(1)
    y = np.tile([0, 1, 2], 30)
    X = 1e6 * (rng.standard_normal((90, 6)) + 0.3 * rng.standard_normal((3, 6))[y])
    with pytest.warns(ConvergenceWarning, match="StandardScaler"):
        selector = L21Selector(gamma="cv", gammas=[3.0], cv=2).fit(X, y)
    assert np.isfinite(selector.cv_results_["mean_test_score"]).all()
    with pytest.raises(ValueError, match="large values"):
        L21Selector(gamma="cv", gammas=[3.0], cv=2).fit(1e50 * X, y)


@pytest.mark.filterwarnings("ignore:only")
def test_n_jobs_is_joblibs(noisy):
    X, y, _ = noisy
    with joblib.parallel_config(backend="threading"):
        scores = [
            L21Selector(6, gamma="cv", gammas=2, cv=3, n_jobs=n).fit(X, y).cv_results_["mean_test_score"]
            for n in (None, -1, -2)
        ]
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], scores[2])
