"""Leave-one-subject-out evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.utils import check_consistent_length, column_or_1d
from tqdm import tqdm

from .pipeline import make_classifier

__all__ = ["Scores", "loso"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Predictions of all folds pooled, and the scores computed on them.

    Attributes
    ----------
    y, predictions : ndarray of shape (n,)
        True and predicted classes, in the order of the samples given.
    groups : ndarray of shape (n,)
        Subject of each sample.
    labels : ndarray of shape (c,)
        The classes, sorted: the order of the rows and columns of `confusion` and of `recall`.
    """

    y: NDArray
    predictions: NDArray
    groups: NDArray
    labels: NDArray

    @property
    def accuracy(self) -> float:
        """Share of samples predicted right."""
        return float(accuracy_score(self.y, self.predictions))

    @property
    def uf1(self) -> float:
        """Unweighted F1: the mean over classes of their F1 on the pooled predictions."""
        return float(f1_score(self.y, self.predictions, labels=self.labels, average="macro", zero_division=0))

    @property
    def uar(self) -> float:
        """Unweighted average recall: the mean of `recall`."""
        return float(np.mean(self.recall))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Recall of each class, shape (c,)."""
        return recall_score(self.y, self.predictions, labels=self.labels, average=None, zero_division=0)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, shape (c, c): row = true class, column = predicted class."""
        return confusion_matrix(self.y, self.predictions, labels=self.labels)


def loso(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    classifier: BaseEstimator | None = None,
    *,
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
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If the lengths differ or there are fewer than 2 subjects.

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
    X, labels, subjects = np.asarray(X), column_or_1d(y), column_or_1d(groups)
    check_consistent_length(X, labels, subjects)
    if len(np.unique(subjects)) < 2:
        raise ValueError(
            f"groups holds {len(np.unique(subjects))} subject(s); leaving one out needs at least 2"
        )
    classifier = make_classifier() if classifier is None else classifier
    predictions = np.empty_like(labels)
    folds = tqdm(
        LeaveOneGroupOut().split(X, labels, subjects),
        "LOSO",
        len(np.unique(subjects)),
        unit="subject",
        delay=2,
        disable=None if progress is None else not progress,
    )
    for train, test in folds:
        if len(np.unique(labels[train])) < 2:
            raise ValueError(f"without subject {subjects[test[0]]} all clips are of class {labels[train[0]]}")
        predictions[test] = clone(classifier).fit(X[train], labels[train]).predict(X[test])
    return Scores(labels, predictions, subjects, np.unique(labels))
