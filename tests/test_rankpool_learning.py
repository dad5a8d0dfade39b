import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.metrics import ndcg_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.fixes import parse_version

import rankpool
from rankpool import RankSVM, ndcg, ndcg_scorer

LOSSES = ("hinge", "squared_hinge")


def queries(n=300, d=6, n_queries=25, seed=0):
    """Documents with relevance 0 to 4 that a linear score explains in part."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = np.digitize(X @ rng.normal(size=d) + rng.normal(size=n), [-2, -0.5, 0.5, 2])
    return X, y, rng.integers(0, n_queries, n)


def all_pairs(y, groups):
    return np.nonzero((y[:, None] < y) & (groups[:, None] == groups))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("n", [200, 2500])  # in pairs, without them
def test_as_linear_svc_on_pairs(n, C, loss):
    X, y, groups = queries(n, n_queries=n // 10)
    model = RankSVM(C, loss=loss, tol=1e-6).fit(X, y, groups)
    assert model.dual_gap_ <= 1e-6
    i, j = all_pairs(y, groups)
    D = X[j] - X[i]
    sign = np.where(np.arange(len(D)) % 2, -1.0, 1.0)
    svc = LinearSVC(C=C, loss=loss, fit_intercept=False, dual=True, tol=1e-6, max_iter=100_000)
    theirs = svc.fit(D * sign[:, None], sign).coef_[0]

    def objective(w):
        hinges = np.maximum(0, 1 - D @ w)
        return 0.5 * w @ w + C * (hinges if loss == "hinge" else hinges**2).sum()

    assert objective(model.coef_) <= objective(theirs) * (1 + 1e-6)
    np.testing.assert_allclose(model.coef_, theirs, atol=5e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [200, 2500])
def test_sparse_samples(n, loss):
    X, y, groups = queries(n)
    X *= np.random.default_rng(1).random(X.shape) < 0.3
    dense = RankSVM(loss=loss, tol=1e-6).fit(X, y, groups)
    sparse = RankSVM(loss=loss, tol=1e-6).fit(scipy.sparse.csr_array(X), y, groups)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=5e-3 * np.abs(dense.coef_).max())
    np.testing.assert_allclose(
        dense.decision_function(scipy.sparse.csr_array(X)), dense.predict(X), rtol=1e-12, atol=1e-12
    )


def test_score_is_the_mean_fraction_of_right_pairs():
    X, y, groups = queries()
    X = np.round(X)  # ties in the scores
    model = RankSVM().fit(X, y, groups)
    model.coef_ = np.round(model.coef_, 1)
    scores = model.decision_function(X)
    fractions = []
    for g in np.unique(groups):
        i, j = all_pairs(y, np.where(groups == g, g, -1 - np.arange(len(y))))
        if len(i):
            fractions.append(((scores[j] > scores[i]) + 0.5 * (scores[j] == scores[i])).mean())
    assert model.score(X, y, groups) == pytest.approx(np.mean(fractions))
    assert 0.6 < model.score(X, y, groups) < 1
    i, j = all_pairs(y, np.zeros(len(y)))
    whole = ((scores[j] > scores[i]) + 0.5 * (scores[j] == scores[i])).mean()
    assert model.score(X, y) == pytest.approx(whole)


def test_groups_are_any_labels_and_matter():
    X, y, groups = queries()
    X[:, 0] += 10 * groups  # between the queries only
    y = y + 100 * (groups % 2)
    names = np.array([f"query {g}" for g in groups])
    model = RankSVM(tol=1e-6).fit(X, y, groups)
    np.testing.assert_allclose(RankSVM(tol=1e-6).fit(X, y, names).coef_, model.coef_, rtol=1e-4)
    assert model.score(X, y, groups) > RankSVM().fit(X, y).score(X, y, groups)


def test_grid_search_over_queries():
    X, y, groups = queries()
    with sklearn.config_context(enable_metadata_routing=True):
        ranker = RankSVM().set_fit_request(groups=True).set_score_request(groups=True)
        search = GridSearchCV(ranker, {"C": [1e-4, 1e-2]}, cv=GroupKFold(3))
        search.fit(X, y, groups=groups)
        make_pipeline(StandardScaler(), ranker).fit(X, y, groups=groups)
    assert (search.cv_results_["mean_test_score"] > 0.6).all()


@pytest.mark.parametrize("scoring", [None, "ndcg"])
def test_grid_search_of_a_pipeline_over_queries(scoring):
    """The scores of each fold are those of the same folds by hand, and the best C is not the first."""
    X, y, groups = queries()
    X[:, 0] += 100 * (groups % 2)
    Cs = [1e-12, 1e-2]
    with sklearn.config_context(enable_metadata_routing=True):
        ranker = RankSVM().set_fit_request(groups=True).set_score_request(groups=True)
        model = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), ranker)
        scorer = ndcg_scorer.set_score_request(groups=True) if scoring else None
        search = GridSearchCV(model, {"ranksvm__C": Cs}, cv=GroupKFold(3), scoring=scorer)
        search.fit(X, y, groups=groups)
    for C, found in zip(Cs, search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in GroupKFold(3).split(X, y, groups):
            scaler = StandardScaler().fit(X[train])
            fitted = RankSVM(C).fit(scaler.transform(X[train]), y[train], groups[train])
            if scoring:
                predicted = fitted.predict(scaler.transform(X[test]))
                scores.append(ndcg(y[test], predicted, groups[test]))
            else:
                # Before 1.8 scikit-learn routes nothing to the score of a Pipeline but weights.
                routed = groups[test] if parse_version(sklearn.__version__) >= parse_version("1.8") else None
                scores.append(fitted.score(scaler.transform(X[test]), y[test], routed))
        assert found == pytest.approx(np.mean(scores), rel=1e-12)


def test_a_fold_without_a_pair_keeps_the_mean_finite():
    X, y, groups = queries(60, n_queries=4)
    y[groups == 0] = 1  # the fold of this query has no pair
    model = RankSVM().fit(X, y, groups)
    of_query = groups == 0
    with pytest.warns(
        UndefinedMetricWarning, match="no group holds two different values of y; 0.5 is returned"
    ):
        assert model.score(X[of_query], y[of_query], groups[of_query]) == 0.5
    with pytest.warns(UndefinedMetricWarning, match=r"NDCG is not defined.* 1.0 is returned"):
        assert ndcg(y[of_query], np.arange(of_query.sum())) == 1.0
    # as one group among others it is left out
    rest = ~of_query
    assert model.score(X, y, groups) == model.score(X[rest], y[rest], groups[rest])
    scores = model.predict(X)
    assert ndcg(y, scores, groups) == ndcg(y[rest], scores[rest], groups[rest])
    with sklearn.config_context(enable_metadata_routing=True):
        ranker = RankSVM().set_fit_request(groups=True).set_score_request(groups=True)
        with pytest.warns(UndefinedMetricWarning):
            folds = cross_val_score(ranker, X, y, params={"groups": groups}, cv=GroupKFold(4))
    assert np.isfinite(folds).all()
    assert (folds == 0.5).sum() == 1


def test_sample_weights_weigh_pairs():
    X, y, _ = queries()
    y, rng = (y > 2).astype(int), np.random.default_rng(0)
    model = RankSVM().fit(X, y)
    weights, scores = rng.random(len(y)), model.predict(X)
    assert model.score(X, y, sample_weight=weights) == pytest.approx(
        roc_auc_score(y, scores, sample_weight=weights), rel=1e-12
    )
    assert model.score(X, y, None, 3 * np.ones(len(y))) == pytest.approx(model.score(X, y), rel=1e-12)
    X, y, groups = queries()
    counts = rng.integers(0, 3, len(y))  # a weight of 2 is the sample given twice, of 0 not at all
    twice = np.repeat(np.arange(len(y)), counts)
    assert model.score(X, y, groups, sample_weight=counts) == pytest.approx(
        model.score(X[twice], y[twice], groups[twice]), rel=1e-12
    )
    with pytest.warns(UndefinedMetricWarning):
        assert model.score(X, y, sample_weight=np.zeros(len(y))) == 0.5
    with pytest.raises(ValueError, match=r"sample_weight has shape \(2,\); X has 300 samples"):
        model.score(X, y, sample_weight=[1, 2])
    with pytest.raises(ValueError, match="sample_weight must be finite and at least 0"):
        model.score(X, y, sample_weight=-counts)


def test_group_sizes_are_groups():
    X, y, groups = queries()
    order = np.argsort(groups, kind="stable")
    X, y, groups = X[order], y[order], groups[order]
    sizes = np.bincount(groups)
    by_id = RankSVM().fit(X, y, groups)
    by_size = RankSVM().fit(X, y, group_sizes=sizes)
    np.testing.assert_array_equal(by_size.coef_, by_id.coef_)
    assert by_id.score(X, y, group_sizes=sizes) == by_id.score(X, y, groups)
    assert ndcg(y, X[:, 0], group_sizes=list(sizes)) == ndcg(y, X[:, 0], groups)
    for bad, match in (
        (sizes[1:], r"group_sizes add up to \d+, but there are 300 samples"),
        (groups.astype(float), "integers of at least 0"),
        (-sizes, "integers of at least 0"),
    ):
        with pytest.raises(ValueError, match=match):
            RankSVM().fit(X, y, group_sizes=bad)
    with pytest.raises(ValueError, match="give one of them"):
        RankSVM().fit(X, y, groups, group_sizes=sizes)


def test_ndcg_is_the_mean_of_scikit_learns():
    X, y, groups = queries()
    scores = np.round(X[:, 0])  # with ties
    for k in (None, 3):
        of_groups = [
            ndcg_score([y[groups == g]], [scores[groups == g]], k=k)
            for g in np.unique(groups)
            if len(set(y[groups == g])) > 1
        ]
        assert ndcg(y, scores, groups, k=k) == pytest.approx(np.mean(of_groups), rel=1e-12)
    with pytest.raises(ValueError, match=r"y holds -1; NDCG needs relevance of at least 0"):
        ndcg(y - 1, scores)
    with pytest.raises(ValueError, match="scores has 299 values, y 300"):
        ndcg(y, scores[1:])
    with pytest.raises(ValueError, match="scores holds NaN"):
        ndcg(y, np.where(scores > 1, np.nan, scores))


KINDS = {
    "bool": lambda y: y > 1,
    "column": lambda y: y[:, None],
    "objects": lambda y: y.astype(object),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "nullable bool": lambda y: pd.Series(y > 1, dtype="boolean"),
    "nullable float": lambda y: pd.Series(y, dtype="Float32"),
    "table": lambda y: pd.DataFrame({"relevance": pd.Series(y, dtype="Int64")}),
    "list": lambda y: y.tolist(),
    "bytes": lambda y: y.astype(np.uint8),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")  # of the columns
@pytest.mark.parametrize("kind", KINDS)
def test_relevance_of_every_kind(kind):
    X, y, groups = queries()
    given = KINDS[kind](y)
    plain = (y > 1).astype(int) if "bool" in kind else y
    model, expected = RankSVM().fit(X, given, groups), RankSVM().fit(X, plain, groups)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert model.score(X, given, groups) == expected.score(X, plain, groups)
    assert ndcg(given, X[:, 0], groups) == ndcg(plain, X[:, 0], groups)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"y": pd.Series([1, None, 2, 3], dtype="Int64")}, ValueError, r"y\[1\] is|Input y contains NaN"),
        ({"y": ["a", 1, 2, 3]}, TypeError, "y has dtype <U21; it must hold real numbers"),
        ({"y": np.array(["a", 1, 2, 3], object)}, ValueError, r"y\[0\] is 'a'; y must hold numbers"),
        ({"y": np.ma.array([0, 1, 2, 3], mask=[1, 0, 0, 0])}, TypeError, "y is a masked array"),
        ({"y": [1, 2, np.nan, 3]}, ValueError, r"Input y contains NaN|y\[2\] is nan"),
        (
            {"y": [2, 2, 2, 2]},
            ValueError,
            "y holds 2.0 only: there is no pair of samples to rank|y holds 2 only",
        ),
        (
            {"groups": [1, 2, 3, 4]},
            ValueError,
            "no group holds two different values of y: there is no pair of s",
        ),
        ({"groups": [1, 2]}, ValueError, r"groups has shape \(2,\); X has 4 samples, so it must be \(4,\)"),
        ({"groups": np.ma.array([1, 1, 1, 1])}, TypeError, "groups is a masked array"),
        ({"groups": [None, "a", "a", "b"]}, TypeError, "groups must hold values of one kind"),
        ({"X": np.ma.array(np.eye(4))}, TypeError, "X is a masked array"),
        ({"X": np.eye(4) * 1e200}, ValueError, "X overflows: squared distances of its samples exceed 1e300"),
        (
            {"X": np.eye(4) * 1e-150},
            ValueError,
            "X underflows: the squared distances of its samples are below",
        ),
        ({"X": np.eye(4) * 1e120, "C": 1e100}, ValueError, r"largest squared distance of X's samples"),
        ({"C": 1e200}, ValueError, r"C is 1e\+200"),
        ({"tol": "tight"}, TypeError, "tol is 'tight'"),
        ({"max_iter": 0}, ValueError, "max_iter is 0"),
    ],
)
def test_errors_name_what_the_caller_gave(change, error, match):
    given = {"X": np.eye(4), "y": [0, 1, 2, 3], "groups": None} | change
    options = {name: given.pop(name) for name in ("C", "tol", "max_iter") if name in given}
    with pytest.raises(error, match=match) as caught:
        RankSVM(**options).fit(**given)
    for word in ("times", "V", "frame"):
        assert word not in str(caught.value).replace("Input X", "").split()
    if "X" in change or options:
        return
    with (
        pytest.raises(error, match=match) if "no pair" not in match else pytest.warns(UndefinedMetricWarning)
    ):
        RankSVM().fit(np.eye(4), [0, 1, 2, 3]).score(**given)


def test_the_warning_names_the_estimator():
    X, y, groups = queries()
    with pytest.warns(ConvergenceWarning, match=r"^RankSVM stopped after 1 iterations .* rescale X or C=1"):
        RankSVM(max_iter=1).fit(X, y, groups)


def test_the_scorer_is_documented():
    assert "set_score_request(groups=True)" in rankpool.ndcg_scorer.__doc__


def test_errors_and_warnings():
    X, y, groups = queries()
    with pytest.raises(ValueError, match="no group holds two different"):
        RankSVM().fit(X, groups, groups)
    with pytest.raises(ValueError, match="groups has shape"):
        RankSVM().fit(X, y, groups[1:])
    with pytest.raises(ValueError, match="C is 0"):
        RankSVM(C=0).fit(X, y)
    with pytest.raises(ValueError, match="loss is 'log'"):
        RankSVM(loss="log").fit(X, y)
    with pytest.warns(ConvergenceWarning, match="duality gap of"):
        RankSVM(max_iter=1).fit(X, y)
