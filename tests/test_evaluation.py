"""LOSO against a loop written out, and its scores against their definitions."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from microexpr import loso, make_classifier


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    n = 60
    y = np.array(["disgust", "happiness", "surprise"])[rng.integers(0, 3, n)]
    X = rng.standard_normal((n, 40))
    X[y == "disgust", :4] += 1.5
    X[y == "surprise", 2:6] -= 1.5
    return X, y, rng.integers(0, 7, n)


def test_against_a_loop(clips):
    X, y, groups = clips
    expected = np.empty_like(y)
    for subject in set(groups):
        train = groups != subject
        mean, std = X[train].mean(0), X[train].std(0)
        svm = SVC(kernel="linear", C=2.0).fit((X[train] - mean) / std, y[train])
        expected[~train] = svm.predict((X[~train] - mean) / std)
    scores = loso(X, y, groups, make_classifier("all", C=2.0))
    np.testing.assert_array_equal(scores.predictions, expected)
    assert scores.accuracy == np.mean(expected == y)


def test_scores_are_pooled_over_folds(clips):
    X, y, groups = clips
    scores = loso(X, y, groups, make_classifier(10))
    recall, f1 = [], []
    for label in scores.labels:
        hit = np.sum((scores.predictions == label) & (y == label))
        recall.append(hit / np.sum(y == label))
        f1.append(2 * hit / (np.sum(y == label) + np.sum(scores.predictions == label)))
    np.testing.assert_allclose(scores.recall, recall)
    assert scores.uar == pytest.approx(np.mean(recall))
    assert scores.uf1 == pytest.approx(np.mean(f1))
    assert scores.confusion.sum() == len(y)
    np.testing.assert_array_equal(
        scores.confusion.sum(axis=1), [np.sum(y == label) for label in scores.labels]
    )


def test_nothing_of_the_test_subject_is_seen_in_training(clips):
    """A nearest neighbour would find a copy of the test sample; LOSO must not have it."""
    X, y, groups = clips
    twice = np.vstack([X, X])
    scores = loso(twice, np.tile(y, 2), np.tile(groups, 2), KNeighborsClassifier(1))
    np.testing.assert_array_equal(
        scores.predictions[: len(y)], loso(X, y, groups, KNeighborsClassifier(1)).predictions
    )
    leaky = KNeighborsClassifier(1).fit(X, y).predict(X)
    assert (leaky == y).all()
    assert scores.accuracy < 1


def test_order_of_the_samples_does_not_matter(clips):
    X, y, groups = clips
    order = np.random.default_rng(1).permutation(len(y))
    scores = loso(X, y, groups, make_classifier(10))
    shuffled = loso(X[order], y[order], groups[order], make_classifier(10))
    np.testing.assert_array_equal(shuffled.predictions, scores.predictions[order])


def test_a_class_that_is_never_predicted_scores_zero():
    y = np.array(["a"] * 8 + ["b"] * 2)
    scores = loso(np.zeros((10, 2)), y, np.arange(10) % 5, SVC(kernel="linear"))
    assert scores.accuracy == 0.8
    assert scores.uar == 0.5
    assert scores.recall.tolist() == [1, 0]


def test_the_classifier_given_is_left_unfitted(clips):
    X, y, groups = clips
    classifier = make_classifier("all")
    loso(X, y, groups, classifier)
    assert not hasattr(classifier["svm"], "support_")


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        (["a", "b", "a"], [1, 2, 1, 2], "inconsistent numbers of samples"),
        (["a", "a", "a", "b"], [1, 1, 1, 2], "without subject 1 all clips are of class b"),
        (["a", "b", "a", "b"], [1, 1, 1, 1], r"1 subject\(s\); leaving one out needs at least 2"),
    ],
)
def test_errors(y, groups, message):
    with pytest.raises(ValueError, match=message):
        loso(np.zeros((4, 2)), y, groups)
