import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from rankpool import RankSVM

LOSSES = ("hinge", "squared_hinge")


def queries(n=300, d=6, n_queries=25, seed=0):
    """Documents with relevance 0 to 4 that a linear score explains in part."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = np.digitize(X @ rng.normal(size=d) + rng.normal(size=n), [-2, -0.5, 0.5, 2])
    return X, y, rng.integers(0, n_queries, n)


def all_pairs(y, groups):
    return np.nonzero((y[:, None] < y) & (groups[:, None] == groups))


@parametrize_with_checks([RankSVM(), RankSVM(loss="squared_hinge")])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


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
