"""What is fitted on the training subjects of each fold; C, N and the like are chosen inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold

from l21 import one_blas_thread
from microexpr.experiment import Settings
from microexpr.experiment.folds import make_folds, predict_folds

# X (n, ...), the table of the clips -> the class of each, predicted by the fold that leaves its subject out
Classify = Callable[[NDArray, pd.DataFrame], NDArray]

INSIDE = Settings(sweep=False, inner_splits=5)
NUMBERS = (75, 200, 450, 950)  # of features, as far as there are so many


def svm(X: NDArray, table: pd.DataFrame, numbers: Sequence[int] = ()) -> NDArray:
    """Predict by a linear SVM on standardised features; C, and N of l2,1 selection, chosen inside."""
    classes, y = np.unique(table["emotion"].to_numpy(dtype=str), return_inverse=True)
    folds = make_folds(table, INSIDE)
    n_features, Cs = [n for n in numbers if n < X.shape[1]] or [X.shape[1]], list(INSIDE.C_grid)
    done = predict_folds(X, y, folds, n_features, Cs, INSIDE.gamma, name="folds", n_jobs=-1, progress=None)
    predicted = np.empty_like(y)
    for f, (_, test) in enumerate(folds.outer):
        predicted[test] = done.predicted(*done.choose(f, n_features, Cs))[test]
    return classes[predicted]


def selected_svm(X: NDArray, table: pd.DataFrame) -> NDArray:
    """Predict by `svm` with N chosen inside too."""
    return svm(X, table, NUMBERS)


def chosen_inside(estimator: BaseEstimator, grid: dict[str, list]) -> Classify:
    """Return a `Classify` of any estimator of scikit-learn, what the grid offers chosen inside."""

    def classify(X: NDArray, table: pd.DataFrame) -> NDArray:
        y, groups = (table[name].to_numpy(dtype=str) for name in ("emotion", "subject"))
        folds = make_folds(table, INSIDE).outer
        predictions = Parallel(n_jobs=-1)(
            delayed(_fit)(estimator, grid, X, y, groups, train, test) for train, test in folds
        )
        predicted = np.empty_like(y)
        for (_, test), of_fold in zip(folds, predictions, strict=True):
            predicted[test] = of_fold
        return predicted

    return classify


def _fit(
    estimator: BaseEstimator,
    grid: dict[str, list],
    X: NDArray,
    y: NDArray,
    groups: NDArray,
    train: NDArray,
    test: NDArray,
) -> NDArray:
    inner = GroupKFold(min(INSIDE.inner_splits, len(np.unique(groups[train]))))
    with one_blas_thread():
        search = GridSearchCV(estimator, grid, cv=inner, scoring="accuracy")
        return search.fit(X[train], y[train], groups=groups[train]).predict(X[test])
