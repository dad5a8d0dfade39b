"""LDA with shrinkage against scikit-learn's own on all features, and what makes a classifier of it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from microexpr import loso, make_classifier
from microexpr.discriminant import ShrinkageLDA

pytestmark = pytest.mark.filterwarnings("ignore:only .* rows of W:UserWarning")


def make_data(n=45, d=150, classes=("disgust", "others", "surprise"), seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, n, p=rng.dirichlet(5 * np.ones(len(classes))))
    X = rng.standard_normal((n, d)) @ np.diag(rng.uniform(0.2, 3, d)) + 0.3 * rng.standard_normal(d)
    for k, label in enumerate(classes):
        X[y == label, 3 * k : 3 * k + 5] += 1.5
    return X, y


@pytest.mark.parametrize("priors", [None, "equal"])
@pytest.mark.parametrize(
    ("n", "d", "classes"),
    [(45, 150, "abc"), (45, 150, "ab"), (30, 30, "abc"), (60, 8, "abcd"), (40, 1, "ab")],
)
def test_is_scikit_learns_on_all_features(n, d, classes, priors):
    """With a covariance of d x d. Values of three classes and more differ by one number a clip."""
    X, y = make_data(n, d, tuple(classes))
    new = make_data(50, d, tuple(classes), seed=1)[0]
    c = len(np.unique(y))
    direct = LinearDiscriminantAnalysis(
        solver="lsqr",
        covariance_estimator=LedoitWolf(),
        priors=None if priors is None else np.full(c, 1 / c),
    ).fit(X, y)
    ours = ShrinkageLDA(priors=priors).fit(X, y)
    np.testing.assert_allclose(ours.priors_, direct.priors_)
    values, theirs = ours.decision_function(new), direct.decision_function(new)
    if c > 2:
        values, theirs = values - values[:, :1], theirs - theirs[:, :1]
    np.testing.assert_allclose(values, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(new), direct.predict_proba(new), rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(ours.predict(new), direct.predict(new))


def test_turned_and_moved_features_are_as_good():
    X, y = make_data()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((150, 150)))[0]
    values = ShrinkageLDA().fit(X, y).decision_function(X)
    np.testing.assert_allclose(
        ShrinkageLDA().fit(X @ turn + 7, y).decision_function(X @ turn + 7), values, atol=1e-6
    )
    # Further features that never change are no information, but for what Ledoit and Wolf's d says.
    wider = np.hstack([X, np.zeros((len(X), 50))])
    assert (ShrinkageLDA().fit(wider, y).predict(wider) == y).mean() > 0.9


def test_all_clips_alike_and_a_class_of_one():
    y = np.array(["a"] * 5 + ["b"])
    constant = ShrinkageLDA().fit(np.ones((6, 20)), y)
    np.testing.assert_array_equal(constant.predict(np.ones((2, 20))), ["a", "a"])
    X = np.random.default_rng(0).standard_normal((6, 20))
    assert np.isfinite(ShrinkageLDA().fit(X, y).decision_function(X)).all()


@pytest.mark.parametrize("n_features", [12, "all"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_make_classifier_step_by_step(n_features, class_weight):
    X, y = make_data()
    for classifier, last in (
        ("svm", SVC(kernel="linear", C=0.01, class_weight=class_weight)),
        ("lda", ShrinkageLDA(priors="equal" if class_weight else None)),
    ):
        options = {"C": 0.01} if classifier == "svm" else {}
        made = make_classifier(n_features, classifier=classifier, class_weight=class_weight, **options).fit(
            X, y
        )
        assert list(made.named_steps) == ["scale", "select", classifier]
        Z = StandardScaler().fit_transform(X)
        if n_features != "all":
            Z = Z[:, made["select"].get_support()]
        np.testing.assert_array_equal(made.predict(X), clone(last).fit(Z, y).predict(Z))


def test_balanced_helps_the_rare_class():
    rng = np.random.default_rng(0)
    y = np.where(np.arange(120) % 8 == 0, "rare", "usual")
    X = rng.standard_normal((120, 10)) + 0.7 * (y == "rare")[:, None]
    groups = np.arange(120) // 8 % 5
    for classifier in ("svm", "lda"):
        recall = [
            loso(X, y, groups, make_classifier("all", classifier=classifier, class_weight=weight)).recall[0]
            for weight in (None, "balanced")
        ]
        assert recall[0] < recall[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "knn"}, '^classifier is \'knn\'; it must be "svm" or "lda"'),
        ({"classifier": None}, "^classifier is None"),
        ({"classifier": ["svm"]}, "^classifier is "),
        ({"class_weight": "even"}, "^class_weight is 'even'; it must be None or \"balanced\""),
        ({"class_weight": {"a": 2}}, "^class_weight is "),
        ({"classifier": "lda", "C": 2.0}, "^C is 2.0, the penalty of the SVM, whose place the LDA has taken"),
        ({"classifier": "lda", "C": -1.0}, "^C is -1.0; it must be positive"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_classifier(**options)


def test_bad_input():
    X, y = make_data()
    for damaged in (np.where(X > 2, np.nan, X), np.where(X > 2, np.inf, X)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            ShrinkageLDA().fit(damaged, y)
    with pytest.raises(ValueError, match=r"^priors is 3"):
        ShrinkageLDA(priors=3).fit(X, y)
    with pytest.raises(ValueError, match="more than the number of classes"):
        ShrinkageLDA().fit(X[:2], ["a", "b"])
