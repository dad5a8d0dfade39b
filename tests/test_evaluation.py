"""LOSO against a loop written out, scores against their definitions, statistics against slow references."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from microexpr import Scores, loso, make_classifier
from microexpr.experiment import bootstrap, interval, mcnemar, pooled, splits


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
    np.testing.assert_array_equal(scores.predicted, expected)
    assert scores.accuracy == np.mean(expected == y)


def test_scores_are_pooled_over_folds(clips):
    X, y, groups = clips
    scores = loso(X, y, groups, make_classifier(10))
    recall, f1 = [], []
    for label in scores.labels:
        hit = np.sum((scores.predicted == label) & (y == label))
        recall.append(hit / np.sum(y == label))
        f1.append(2 * hit / (np.sum(y == label) + np.sum(scores.predicted == label)))
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
        scores.predicted[: len(y)], loso(X, y, groups, KNeighborsClassifier(1)).predicted
    )
    leaky = KNeighborsClassifier(1).fit(X, y).predict(X)
    assert (leaky == y).all()
    assert scores.accuracy < 1


def test_order_of_the_samples_does_not_matter(clips):
    X, y, groups = clips
    order = np.random.default_rng(1).permutation(len(y))
    scores = loso(X, y, groups, make_classifier(10))
    shuffled = loso(X[order], y[order], groups[order], make_classifier(10))
    np.testing.assert_array_equal(shuffled.predicted, scores.predicted[order])


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


MASKED = {"X": 0, "y": 1, "groups": 2}


@pytest.mark.parametrize("name", MASKED)
def test_masked_arrays_are_refused(clips, name):
    """Their masks would be read through."""
    arguments = list(clips)
    values = arguments[MASKED[name]]
    arguments[MASKED[name]] = np.ma.masked_array(values, values == values.flat[0])
    with pytest.raises(TypeError, match=f"^{name} is a masked array"):
        loso(*arguments)


def test_labels_and_subjects_of_any_array(clips):
    """Lists, pandas' texts, categories and nullable numbers give the same as NumPy's own."""
    X, y, groups = clips
    expected = loso(X, y, groups, make_classifier("all"))
    codes = np.unique(y, return_inverse=True)[1]
    for labels in (y.tolist(), y[:, None], y.astype(object), pd.Series(y, dtype="category"), pd.array(y)):
        for people in (groups.tolist(), pd.array(groups), pd.Series(groups, index=groups[::-1])):
            scores = loso(pd.DataFrame(X), labels, people, make_classifier("all"))
            np.testing.assert_array_equal(scores.predicted, expected.predicted)
            np.testing.assert_array_equal(scores.groups, groups)
    for labels in (codes, pd.array(codes), pd.Series(codes).astype("Int8")):
        scores = loso(X, labels, groups, make_classifier("all"))
        assert scores.labels.dtype.kind == "i"
        np.testing.assert_array_equal(scores.predicted, np.searchsorted(expected.labels, expected.predicted))
    whether = loso(X, pd.array(y == "disgust"), groups, make_classifier("all"))
    assert whether.labels.tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "damage", "error", "message"),
    [
        ("y", lambda y: [None, *y[1:]], ValueError, "^y holds None at sample 0"),
        ("y", lambda y: pd.array([*y[:3], pd.NA, *y[4:]]), ValueError, "^y holds .* at sample 3"),
        ("y", lambda y: np.where(np.arange(60) == 9, np.nan, 1.0), ValueError, "^y holds nan at sample 9"),
        ("y", lambda y: np.array([*y[:-1], 3], dtype=object), TypeError, "^y mixes int and str"),
        ("y", lambda y: np.stack([y, y], axis=1), ValueError, r"^y has shape \(60, 2\)"),
        ("groups", lambda g: pd.array([pd.NA, *g[1:]]), ValueError, "^groups holds .* at sample 0"),
        ("groups", lambda g: np.where(g == 1, np.nan, g), ValueError, "^groups holds nan at sample"),
        (
            "groups",
            lambda g: np.array([*g[:-1], "1"], dtype=object),
            TypeError,
            "^groups mixes int",
        ),
        ("groups", lambda g: None, ValueError, r"^groups has shape \(\)"),
        ("X", lambda X: X * 1e300, ValueError, "^X holds .*e.300; its variance would be infinite"),
        ("X", lambda X: np.where(X > 2, np.nan, X), ValueError, "X contains NaN"),
        ("X", lambda X: X.astype(str), ValueError, "strings"),
    ],
)
def test_what_is_missing_or_mixed_is_refused(clips, name, damage, error, message):
    arguments = dict(zip(("X", "y", "groups"), clips, strict=True))
    arguments[name] = damage(arguments[name])
    with pytest.raises(error, match=message):
        loso(**arguments, classifier=make_classifier("all"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array(["a", "b"])}, "^(y|predicted) holds 'c', which is not in labels"),
        ({"labels": np.array(["b", "a", "c"])}, "^labels is .*sorted"),
        ({"labels": np.array(["a", "b", "c", "c"])}, "^labels is .*each class once"),
        ({"groups": np.arange(3)}, r"^y, predicted, groups and clips have \[60, 60, 3, 60\] samples"),
    ],
)
def test_scores_that_do_not_fit_together(change, message):
    """The bootstrap would count them in another class's cell."""
    scores = random_scores()
    fields = {name: getattr(scores, name) for name in ("y", "predicted", "groups", "labels")}
    with pytest.raises(ValueError, match=message):
        Scores(**{**fields, **change})


@pytest.mark.parametrize("n_resamples", [0, -1, 2.5, np.nan, 10**12, True, "9"])
def test_resamples_that_cannot_be_drawn(n_resamples):
    with pytest.raises(ValueError, match=f"^n_resamples is {n_resamples!r}"):
        bootstrap(random_scores(), n_resamples)


def test_no_interval_of_nothing():
    for resamples in ([], [1.0, np.nan], [np.inf]):
        with pytest.raises(ValueError, match=r"^resamples is empty or holds"):
            interval(resamples)
    for level in (0, 1, np.nan, -1):
        with pytest.raises(ValueError, match=r"^level is"):
            interval([1.0, 2.0], level)


def random_scores(seed=0, n=60, subjects=7, labels=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    y = rng.choice(labels, n, p=[0.6, 0.3, 0.1])
    guesses = np.where(rng.random(n) < 0.5, y, rng.choice(labels, n))
    return Scores(y, guesses, rng.integers(0, subjects, n), np.array(labels))


def test_bootstrap_against_loops():
    """Draw the subjects the same way, put their clips together, and let `Scores` score them."""
    scores = random_scores()
    subjects = np.unique(scores.groups)
    resampled = bootstrap(scores, 200, seed=3)
    times_drawn = np.random.default_rng(3).multinomial(len(subjects), np.full(7, 1 / 7), 200)
    for at, counts in enumerate(times_drawn):
        clips = np.concatenate(
            [
                np.flatnonzero(scores.groups == s)
                for s, n in zip(subjects, counts, strict=True)
                for _ in range(n)
            ]
        )
        one = Scores(scores.y[clips], scores.predicted[clips], scores.groups[clips], scores.labels)
        for measure, values in resampled.items():
            assert values[at] == pytest.approx(getattr(one, measure), abs=1e-12), measure


def test_interval_covers_the_truth():
    """Subjects who are guessed right with a probability of their own: 95 % intervals hold the mean of it."""
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(200):
        chance = np.repeat(rng.beta(4, 4, 20), 10)
        right = rng.random(200) < chance
        scores = Scores(
            np.full(200, "a"), np.where(right, "a", "b"), np.repeat(range(20), 10), np.array(["a", "b"])
        )
        low, high = interval(bootstrap(scores, 400, seed)["accuracy"])
        covered.append(low <= 0.5 <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_an_interval_over_clips_would_be_too_narrow():
    """All clips of a person alike: the interval is that of so many people, not of so many clips."""
    right = np.repeat(np.arange(10) < 5, 20)
    y = np.full(200, "a")
    people = Scores(y, np.where(right, "a", "b"), np.repeat(range(10), 20), np.array(["a", "b"]))
    clips = Scores(y, people.predicted, np.arange(200), people.labels)
    widths = [np.diff(interval(bootstrap(scores)["accuracy"]))[0] for scores in (people, clips)]
    assert widths[0] > 3 * widths[1]


def test_the_bootstrap_of_two_classifiers_is_paired():
    """A classifier that is right on one clip more of every subject is better in each resample."""
    y, groups = np.full(40, "a"), np.repeat(range(10), 4)
    labels = np.array(["a", "b"])
    worse = np.where(np.arange(40) % 4 < groups % 3, "a", "b")
    better = np.where(np.arange(40) % 4 < groups % 3 + 1, "a", "b")
    first, second = (bootstrap(Scores(y, p, groups, labels))["accuracy"] for p in (better, worse))
    np.testing.assert_allclose(first - second, 0.25)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (7, 1), (3, 3), (0, 12), (30, 10)])
def test_mcnemar_against_the_sum(b, c):
    """Twice the tail of the binomial, summed by hand."""
    y = np.full(b + c + 6, "a")
    first = np.array(["a"] * b + ["b"] * c + ["a"] * 3 + ["b"] * 3)
    second = np.array(["b"] * b + ["a"] * c + ["a"] * 3 + ["b"] * 3)
    labels = np.array(["a", "b"])
    found = mcnemar(Scores(y, first, y, labels), Scores(y, second, y, labels))
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert found[:2] == (b, c)
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(Scores(y, second, y, labels), Scores(y, first, y, labels)).p == found.p


def test_mcnemar_wants_the_same_samples():
    scores = random_scores()
    with pytest.raises(ValueError, match="not of the same samples"):
        mcnemar(scores, scores.part(np.arange(60) < 50))


def test_by_subject_and_parts():
    scores = random_scores()
    by_subject = scores.by_subject
    assert sum(right for right, _ in by_subject.values()) == np.sum(scores.y == scores.predicted)
    for subject, (right, n) in by_subject.items():
        part = scores.part(scores.groups == subject)
        assert (part.accuracy, len(part.y)) == (right / n, n)


def test_a_class_without_samples_counts_for_nothing():
    """Of a data set that has no clip of a class, only its own classes are averaged over."""
    y = np.array(["a", "a", "b", "b"])
    scores = Scores(y, np.array(["a", "c", "b", "b"]), y, np.array(["a", "b", "c"]))
    assert scores.uar == 0.75
    assert scores.uf1 == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(scores.recall[2])
    assert bootstrap(scores, 500)["uar"].max() == 1.0


@pytest.mark.parametrize("protocol", ["loso", "lovo", "kfold", "composite", "cross"])
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 4)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_splits(protocol, clips):
    """Each clip is tested once at most, and nobody tested was trained on."""
    datasets = np.array([d for d, _ in clips])
    groups = np.array([s for _, s in clips])
    whole = [f"{d}{s}" for d, s in clips]
    needed = {"lovo": len(clips), "loso": len(set(whole)), "kfold": len(set(whole)) - 2}
    if needed.get(protocol, len(set(datasets))) < 2:
        if protocol != "lovo":
            with pytest.raises(ValueError, match=r"at least 2|must be 2 to"):
                splits(protocol, groups, datasets=datasets, n_splits=4 if protocol == "kfold" else 2)
        return
    folds = splits(protocol, groups, datasets=datasets, n_splits=3)
    tested = np.concatenate([test for _, test in folds])
    assert len(set(tested)) == len(tested)
    if protocol == "cross":
        assert {datasets[i] for i in tested} == set(datasets) - {datasets[0]}
        assert all(set(datasets[train]) == {datasets[0]} for train, _ in folds)
    else:
        assert sorted(tested) == list(range(len(clips)))
        assert all(len(train) + len(test) == len(clips) for train, test in folds)
    if protocol == "kfold":
        assert len(folds) == 3
    if protocol != "lovo":
        for train, test in folds:
            assert not {whole[i] for i in train} & {whole[i] for i in test}


def test_pooled_with_any_folds(clips):
    X, y, groups = clips
    folds = [(np.arange(30, 60), np.arange(10)), (np.arange(20), np.arange(50, 60))]
    scores = pooled(X, y, groups, folds, make_classifier("all"))
    expected = [make_classifier("all").fit(X[a], y[a]).predict(X[b]) for a, b in folds]
    np.testing.assert_array_equal(scores.predicted, np.concatenate(expected))
    np.testing.assert_array_equal(scores.groups, np.r_[groups[:10], groups[50:]])
    with pytest.raises(ValueError, match="sample 0 is tested in two folds"):
        pooled(X, y, groups, [folds[0], folds[0]], make_classifier("all"))
    with pytest.raises(ValueError, match="protocol is 'loo'; it must be one of loso"):
        splits("loo", groups)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, bool])
def test_features_of_any_number_are_scored(dtype):
    y = np.tile(["disgust", "surprise"], 10)
    X = (5 * np.random.default_rng(0).random((20, 4)) + 5 * (y == "surprise")[:, None]).round().astype(dtype)
    assert 0 <= loso(X, y, np.repeat(range(5), 4), make_classifier("all")).accuracy <= 1
