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


def svm(X: NDArray, table: pd.DataFrame) -> NDArray:
    """Predict by a linear SVM on standardised features, C chosen inside."""
    return selected_svms(X, table, [()])[0]


def selected_svm(X: NDArray, table: pd.DataFrame) -> NDArray:
    """Predict by the same of features that l2,1 selects, N chosen inside too."""
    return selected_svms(X, table, [NUMBERS])[0]


def selected_svms(X: NDArray, table: pd.DataFrame, choices: Sequence[Sequence[int]]) -> list[NDArray]:
    """Predict once for each of the choices of N to choose from: none less than there are features is all."""
    classes, y = np.unique(table["emotion"].to_numpy(dtype=str), return_inverse=True)
    folds, d, Cs = make_folds(table, INSIDE), X.shape[1], list(INSIDE.C_grid)
    offered = [[n for n in numbers if n < d] or [d] for numbers in choices]
    every = sorted({n for numbers in offered for n in numbers})
    done = predict_folds(X, y, folds, every, Cs, INSIDE.gamma, name="folds", n_jobs=None, progress=None)
    predictions = []
    for numbers in offered:
        predicted = np.empty_like(y)
        for f, (_, test) in enumerate(folds.outer):
            predicted[test] = done.predicted(*done.choose(f, numbers, Cs))[test]
        predictions.append(classes[predicted])
    return predictions


def chosen_inside(estimator: BaseEstimator, grid: dict[str, list]) -> Classify:
    """Return a `Classify` of any estimator of scikit-learn, what the grid offers chosen inside."""

    def classify(X: NDArray, table: pd.DataFrame) -> NDArray:
        y, groups = (table[name].to_numpy(dtype=str) for name in ("emotion", "subject"))
        folds = make_folds(table, INSIDE).outer
        predictions = Parallel()(
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
