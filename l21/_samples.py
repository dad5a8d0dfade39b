"""What L21Selector is fitted to: samples with a weight, and Y, made of the targets y."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from .problem import Floats, check_problem, one_hot


class Samples(NamedTuple):
    """X, Y and weights of the samples with a weight above 0, and what Y was made of."""

    X: Any
    Y: Floats
    weights: Floats
    kind: str  # "classes", "labels" or "regression"
    classes: NDArray[Any] | None
    intercept: Floats

    @classmethod
    def of(
        cls, X: Any, y: NDArray[Any], weights: Floats, kind: str, classes: NDArray[Any] | None = None
    ) -> Samples:
        kept = weights > 0.0
        if not kept.all():
            X, y, weights = X[kept], y[kept], weights[kept]
        if kind == "classes":
            if classes is None:
                Y, classes = one_hot(y)
                if len(classes) < 2:
                    raise ValueError(f"y has only one class, {classes.tolist()}; selection needs at least 2")
            else:
                Y = (y[:, None] == classes).astype(np.float64)
            return cls(X, Y, weights, kind, classes, np.zeros(len(classes)))
        Y = y.reshape(len(y), -1).astype(np.float64)
        center = _medians(Y, weights) if kind == "regression" else np.zeros(Y.shape[1])
        return cls(X, Y - center, weights, kind, None, center)


def plain_targets(y: Any) -> Any:
    """Y as it is, or numbers of dtype object, which scikit-learn does not know, as numbers."""
    if y is None or issparse(y):
        return y
    array = np.asarray(y)
    if array.dtype != object:
        return y
    values = array.ravel().tolist()
    if all(isinstance(value, Real) for value in values):  # bool too
        return np.array(values).reshape(array.shape)
    if not all(isinstance(value, str) for value in values):
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"y holds objects of type {', '.join(kinds)}: it needs to be all numbers or all strings"
        )
    return array


def check_reach(X: Any, y: NDArray[Any] | None) -> None:
    """Refuse X and the targets y where `solve` would, before anything is computed from them."""
    no_targets = np.zeros((X.shape[0], 1))
    check_problem(X, no_targets, 1.0)
    if y is not None:
        try:
            check_problem(no_targets, y.reshape(len(y), -1).astype(np.float64), 1.0)
        except ValueError as error:
            raise ValueError(str(error).replace("Y has", "y has", 1)) from None


def target_kind(y: NDArray[Any], task: str) -> str:
    """Say what y is: "classes", "labels" or "regression"."""
    if task not in ("auto", "classification", "regression"):
        raise ValueError(f"task needs to be 'auto', 'classification' or 'regression', got {task!r}")
    if task == "regression":
        return "regression"
    if y.ndim == 2:
        if type_of_target(y) == "multilabel-indicator":
            return "labels"
        if task == "classification":
            raise ValueError("task='classification' needs y (n,), or labels (n, c) of 0 and 1")
        return "regression"
    if task == "auto" and type_of_target(y) == "continuous":
        return "regression"
    check_classification_targets(y)
    return "classes"


def _medians(Y: Floats, weights: Floats) -> Floats:
    """Lower weighted median of each column: a weight of 2 is the sample twice."""
    order = np.argsort(Y, axis=0, kind="stable")
    total = np.cumsum(weights[order], axis=0)
    middle = (total < 0.5 * total[-1]).sum(axis=0)
    columns = np.arange(Y.shape[1])
    return Y[order[middle, columns], columns]
