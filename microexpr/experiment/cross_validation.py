"""Fit on some subjects, predict the others, and pool what every fold predicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_array, check_consistent_length

from l21 import one_blas_thread, received, share

from .._progress import progress_bar
from ..pipeline import make_classifier
from .scores import Scores, check_fold, column, splits

__all__ = ["loso", "pooled"]


def loso(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    classifier: BaseEstimator | None = None,
    *,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Scores:
    """Leave one subject out: fit on all others, predict that one, and score all predictions pooled.

    Everything fitted (scaling, selection, SVM) is fitted on the training subjects alone. Scores are
    computed once, on the predictions of all folds together: a mean of per-fold F1 is something else,
    because a fold rarely holds every class.

    Parameters
    ----------
    X : array-like of shape (n, d)
        One representation per clip.
    y : array-like of shape (n,)
        Class of each clip.
    groups : array-like of shape (n,)
        Subject of each clip.
    classifier : estimator, optional
        A scikit-learn classifier; cloned for each fold. By default ``make_classifier()``.
    n_jobs : int, optional
        Folds at a time, as in joblib: None is one, or what `joblib.parallel_config` says, whose backend runs
        them, Dask's too. The result is the same, bit for bit: each fold has one BLAS thread. What a
        classifier warns of in another process stays there.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If the lengths differ, there are fewer than 2 subjects, without one of them all samples are of one
        class, a y or group is missing, or an X is so large (1e154) that its variance is infinite.
    TypeError
        If X, y or groups is a masked array, or y or groups mixes texts and numbers.

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["disgust", "surprise"], 20)
    >>> X = rng.standard_normal((40, 50)) + 3 * (y == "surprise")[:, None]
    >>> scores = microexpr.loso(X, y, groups=np.repeat([1, 2, 3, 4], 10), progress=False,
    ...                         classifier=microexpr.make_classifier(n_features=10))
    >>> scores.accuracy
    1.0
    >>> scores.confusion
    array([[20,  0],
           [ 0, 20]])
    """
    X, y, groups = _features(X), column("y", y), column("groups", groups)
    check_consistent_length(X, y, groups)
    return pooled(X, y, groups, splits("loso", groups), classifier, n_jobs=n_jobs, progress=progress)


def pooled(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    folds: Iterable[tuple[ArrayLike, ArrayLike]],
    classifier: BaseEstimator | None = None,
    *,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Scores:
    """Fit and predict fold by fold, as `loso` does, with the folds of any protocol.

    Parameters
    ----------
    X, y, groups, classifier, n_jobs, progress
        As in `loso`.
    folds : iterable of (train, test)
        Indices, as `splits` or a splitter of scikit-learn gives them. No sample may be tested twice.

    Returns
    -------
    Scores
        Of the samples that were tested, in their order.

    Raises
    ------
    ValueError
        As `loso`, or if a sample is tested twice.
    TypeError
        As `loso`.

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> from microexpr.experiment import pooled, splits
    >>> y = np.tile(["disgust", "surprise"], 20)
    >>> X = np.random.default_rng(0).standard_normal((40, 50)) + 3 * (y == "surprise")[:, None]
    >>> datasets = np.repeat(["A", "B"], 20)
    >>> folds = splits("cross", np.arange(40), datasets=datasets)   # train on A, test on B
    >>> scores = pooled(X, y, np.arange(40), folds, microexpr.make_classifier(10))
    >>> len(scores.y), scores.accuracy
    (20, 1.0)
    """
    X, labels, subjects = _features(X), column("y", y), column("groups", groups)
    check_consistent_length(X, labels, subjects)
    classifier = make_classifier() if classifier is None else classifier
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    predictions, tested = np.empty_like(labels), np.zeros(len(labels), bool)
    for train, test in pairs:
        check_fold(labels, subjects, train, test)
        if tested[test].any():
            raise ValueError(f"sample {test[tested[test]][0]} is tested in two folds")
        tested[test] = True
    data = share(X, labels)
    work = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_predict)(data, fold, classifier) for fold in pairs
    )
    done = progress_bar(work, "folds", len(pairs), "fold", progress)
    for (_, test), predicted in zip(pairs, done, strict=True):
        predictions[test] = predicted
    true, predictions = labels[tested], predictions[tested]
    classes = np.union1d(true, predictions)
    return Scores(true, predictions, subjects[tested], classes, np.flatnonzero(tested))


def _predict(data: Any, fold: tuple[NDArray[Any], NDArray[Any]], classifier: BaseEstimator) -> NDArray[Any]:
    (X, labels), (train, test) = received(data), fold
    with one_blas_thread():
        return clone(classifier).fit(X[train], labels[train]).predict(X[test])


def _features(X: Any) -> NDArray[Any]:
    """Return X as an array (n, d). NaN is left to the classifier: some take it."""
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array; its mask would be ignored")
    X = check_array(X, ensure_all_finite=False, ensure_min_samples=0, input_name="X")
    largest = float(np.max(np.abs(X), initial=0, where=np.isfinite(X)))  # 1e154 is infinite as float32
    if largest > 1e154:
        raise ValueError(f"X holds {largest:.3g}; its variance would be infinite: scale X")
    return X
