"""What every fold predicts, for every N and C, from one pass over the folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from l21 import L21Selector, one_blas_thread, received, share

from .._checks import check_clips
from .._progress import progress_bar
from .._warnings import ignore_user_warnings
from .._wording import option
from .scores import check_fold, people, splits
from .settings import Settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FoldPredictions", "Folds", "check_table", "make_folds", "people_of", "predict_folds"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # positions of the training and of the test clips


@dataclass(frozen=True, eq=False)
class Folds:
    """(train, test) of each fold, and the folds of each training set, none if nothing is chosen inside."""

    outer: list[Fold]
    inner: list[list[Fold]]

    @property
    def tested(self) -> NDArray[np.int64]:
        """Positions of the clips that some fold tests, in order."""
        return np.sort(np.concatenate([test for _, test in self.outer]))


@dataclass(frozen=True, eq=False)
class FoldPredictions:
    """Predictions of every fold for every N and C, from one kind of features.

    Attributes
    ----------
    n_features, Cs : list
        The N and C; one C, None, with a classifier that is not the SVM.
    predictions : ndarray of shape (N, C, n)
        -1 where not tested.
    inner : ndarray of shape (folds, N, C)
        How many clips of the training set its own folds predict right.
    weights : ndarray of shape (d,)
        Lengths of the rows of W, mean over the folds.
    n_rows : list of int
        Non-zero rows of W in each fold.
    gap : float
        Largest relative duality gap.
    """

    n_features: list[int]
    Cs: list[float | None]
    predictions: NDArray[np.int64]
    inner: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_rows: list[int]
    gap: float

    def predicted(self, n: int, C: float | None) -> NDArray[np.int64]:
        """Return the class of every clip with this N and C, shape (n,)."""
        return self.predictions[self.n_features.index(n), self.Cs.index(C)]

    def choose(
        self, fold: int, n_features: Sequence[int], Cs: Sequence[float | None]
    ) -> tuple[int, float | None]:
        """Best pair by the inner folds; of equally good ones the first: the smaller N, then the smaller C."""
        if len(n_features) == len(Cs) == 1:
            return n_features[0], Cs[0]
        pairs = [(n, C) for n in n_features for C in Cs]
        right = [self.inner[fold, self.n_features.index(n), self.Cs.index(C)] for n, C in pairs]
        return pairs[int(np.argmax(right))]


def check_table(table: pd.DataFrame) -> None:
    """Raise unless a table says of each of its clips which it is, of whom and of what class."""
    names = ("dataset", "subject", "clip", "emotion")
    check_clips(table, names)
    for name in names:
        if table[name].isna().any():
            raise ValueError(f"{name} is missing in row {int(table[name].isna().argmax())} of the table")
    if not len(table):
        raise ValueError("the table holds no clip")


def people_of(table: pd.DataFrame) -> NDArray[Any]:
    """Return who each clip is of: subjects of different data sets are different people."""
    return people(table["subject"].to_numpy(dtype=str), table["dataset"].to_numpy(dtype=str))


def make_folds(table: pd.DataFrame, settings: Settings) -> Folds:
    """Split a table by the protocol, and each training set by subject; raise if it cannot be."""
    datasets, y = (table[name].to_numpy(dtype=str) for name in ("dataset", "emotion"))
    groups = people_of(table)
    folds = splits(settings.protocol, groups, datasets=datasets, n_splits=settings.n_splits)
    inner: list[list[Fold]] = []
    for train, test in folds:
        check_fold(y, groups, train, test)
        inner.append(_inner_folds(train, groups, settings.inner_splits) if settings.nested else [])
    return Folds(folds, inner)


def predict_folds(
    X: NDArray[Any],
    y: NDArray[np.int64],
    folds: Folds,
    n_features: list[int],
    Cs: list[float | None],
    gamma: float,
    classifier: BaseEstimator | None = None,
    *,
    class_weight: str | None = None,
    name: str,
    n_jobs: int | None,
    progress: bool | None,
) -> FoldPredictions:
    """Fit and predict every fold, and every fold inside its training set, for every N and C.

    A fold's l2,1 problem is solved once and its ranking serves every N; a linear SVM needs no more of the
    selected columns than their Gram matrix, which serves every C.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Features.
    y : ndarray of shape (n,)
        Classes, from 0.
    folds : Folds
    n_features, Cs : list
        The N, d for no selection among them, and the C of the SVM.
    gamma : float
        Of the selection.
    classifier : estimator, optional
        Instead of the SVM; `Cs` is [None] then.
    class_weight : {None, "balanced"}
        Of the SVM.
    name : str
        Beside the progress bar.
    n_jobs, progress
        As in `evaluate`.
    """
    tasks = [(f, train, test) for f, (train, test) in enumerate(folds.outer)]
    tasks += [(f, train, test) for f in range(len(folds.outer)) for train, test in folds.inner[f]]
    # Processes: 26 folds, N = 450 and all, took 13 s in two of them and 21 s in two threads.
    data = share(X, y)
    work = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit)(data, (train, test), n_features, Cs, gamma, classifier, class_weight)
        for _, train, test in tasks
    )
    predictions = np.full((len(n_features), len(Cs), len(y)), -1)
    right = np.zeros((len(folds.outer), len(n_features), len(Cs)), dtype=int)
    weights, n_rows, gap = np.zeros(X.shape[1]), [], 0.0
    fits = progress_bar(work, name, len(tasks), "fit", progress)
    for i, ((f, _, test), (predicted, lengths, certified)) in enumerate(zip(tasks, fits, strict=True)):
        gap = float(np.maximum(gap, certified))  # a NaN stays; max(0.0, nan) is 0
        if i < len(folds.outer):
            predictions[..., test] = predicted
            weights += lengths / len(folds.outer)
            n_rows.append(int(np.count_nonzero(lengths)))
        else:
            right[f] += (predicted == y[test]).sum(axis=-1)
    return FoldPredictions(n_features, Cs, predictions, right, weights, n_rows, gap)


def _fit(
    data: Any,
    fold: Fold,
    n_features: list[int],
    Cs: list[float | None],
    gamma: float,
    classifier: BaseEstimator | None,
    class_weight: str | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Predictions (N, C, test) of one fold, the lengths of the rows of W, the gap to which it is solved.

    The same numbers as `make_classifier`'s Pipeline for each N and C, but one solve for all of them.
    """
    (X, y), (train, test) = received(data), fold
    classes = np.unique(y[train])
    predictions = np.full((len(n_features), len(Cs), len(test)), classes[0])
    if len(classes) < 2:  # only an inner fold can be such
        return predictions, np.zeros(X.shape[1]), 0.0
    # One BLAS thread: tasks share the cores, and the bits don't depend on how many there are. The options of
    # every SVM are ours: to look at them each time took a quarter of LIBSVM's time.
    with one_blas_thread(), config_context(skip_parameter_validation=True):
        Z, Z_test = _standardised(X, train, test)
        d = X.shape[1]
        most = max((n for n in n_features if n < d), default=0)
        ranked, lengths, gap = np.empty(0, int), np.zeros(d), 0.0
        if most:
            with ignore_user_warnings():  # W = 0 and gaps are reported once, for all folds
                selector = L21Selector(gamma=gamma).fit(Z, y[train])
            ranked = np.argsort(selector.ranking_)[:most]
            lengths, gap = np.linalg.norm(selector.W_, axis=1), float(selector.dual_gap_)
        best, best_test = Z[:, ranked], Z_test[:, ranked]
        for i, n in enumerate(n_features):
            A, B = (best[:, :n], best_test[:, :n]) if n < d else (Z, Z_test)
            if classifier is not None:
                with config_context(skip_parameter_validation=False):
                    predictions[i, 0] = clone(classifier).fit(A, y[train]).predict(B)
                continue
            predictions[i] = _svm_predictions(A @ A.T, B @ A.T, y[train], Cs, class_weight)
    return predictions, lengths, gap


def _standardised(
    X: NDArray[Any], train: NDArray[Any], test: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Training and test clips, by the mean and standard deviation of the training clips.

    The bits are those of one StandardScaler. 2048 features at a time stay in the cache: 22 ms instead of 33
    for 236 x 16384.
    """
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    Z, Z_test = np.empty((len(train), X.shape[1]), dtype), np.empty((len(test), X.shape[1]), dtype)
    for j in range(0, X.shape[1], 2048):
        part = slice(j, j + 2048)
        known = X[:, part][train]
        scaler = StandardScaler().fit(known)
        Z[:, part] = scaler.transform(known, copy=False)
        Z_test[:, part] = scaler.transform(X[:, part][test])
    return Z, Z_test


def _svm_predictions(
    gram: NDArray[Any],
    gram_test: NDArray[Any],
    y: NDArray[Any],
    Cs: list[float | None],
    class_weight: str | None,
) -> NDArray[np.int64]:
    """Predictions (C, test) of the linear SVM with each C.

    A solution whose multipliers are all below their C has no use for a larger one: it solves the problem of
    every larger C too. On standardised features that is so from C = 0.1 on.
    """
    predictions = np.empty((len(Cs), len(gram_test)), np.int64)
    predicted: NDArray[np.int64] | None = None
    finite = bool(np.isfinite(gram).all() and np.isfinite(gram_test).all())
    with config_context(assume_finite=finite):  # not looked at for every C: a tenth of an SVM's 1.8 ms
        for j in np.argsort(np.array(Cs, dtype=float), kind="stable"):
            if predicted is None:
                svm = SVC(C=Cs[j], kernel="precomputed", class_weight=class_weight).fit(gram, y)
                predictions[j] = svm.predict(gram_test)
                if np.abs(svm.dual_coef_).max() < Cs[j] * svm.class_weight_.min():
                    predicted = predictions[j]
            else:
                predictions[j] = predicted
    return predictions


def _inner_folds(train: NDArray[Any], groups: NDArray[Any], n_splits: int) -> list[Fold]:
    n_subjects = len(np.unique(groups[train]))
    if n_subjects < 2:
        raise ValueError(
            f"a training set has {n_subjects} subject(s); to choose C and N inside it, it needs 2: evaluate "
            f"with {option('nested', False)}"
        )
    folds = GroupKFold(min(n_splits, n_subjects)).split(train, groups=groups[train])
    return [(train[a], train[b]) for a, b in folds]
