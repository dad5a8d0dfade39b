"""The trained part of a recogniser: standardise, keep some features, linear functions of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax
from sklearn.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class LinearModel:
    r"""Standardise, keep some features, one linear function for each pair of classes, or for each class.

    Attributes
    ----------
    mean, scale : ndarray of shape (d,)
        Of each feature: z = (x - mean) / scale.
    selected : ndarray of shape (N,), int64
        Features kept, in rising order.
    coef, intercept : ndarray of shape (p, N) and (p,)
        f = coef z + intercept. p is c (c - 1) / 2 with `pairs`, in scikit-learn's order, and c without.
    n_classes : int
    pairs : bool
        One class against one, as the SVM is, or one function a class, as with discriminant analysis.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    selected: NDArray[np.int64]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    n_classes: int
    pairs: bool

    @classmethod
    def of(cls, fitted: Pipeline) -> LinearModel:
        """Take the numbers out of what `microexpr.make_classifier` gave, fitted."""
        scaler, last = fitted[0], fitted[-1]
        d, n_classes = len(scaler.mean_), len(last.classes_)
        select = fitted["select"]
        selected = np.arange(d) if isinstance(select, str) else select.get_support(indices=True)
        coef, intercept = last.coef_, last.intercept_
        pairs = hasattr(last, "support_vectors_")
        if n_classes == 2 and pairs:  # scikit-learn's one function is positive for the second class
            coef, intercept = -coef, -intercept
        elif n_classes == 2:
            coef, intercept = np.vstack([0 * coef, coef]), np.concatenate([0 * intercept, intercept])
        return cls(
            scaler.mean_,
            scaler.scale_,
            selected.astype(np.int64),
            np.ascontiguousarray(coef, dtype=np.float64),
            np.ascontiguousarray(intercept, dtype=np.float64),
            n_classes,
            pairs,
        )

    def standardised(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return z of every feature, shape (n, d)."""
        return (X - self.mean) / self.scale

    def margins(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return f of each pair of classes, positive for the first, or of each class, shape (n, p)."""
        return self.standardised(X)[:, self.selected] @ self.coef.T + self.intercept

    def class_weights(self, k: int) -> NDArray[np.float64]:
        """Return how much each selected z speaks for class k, mean over the other classes, shape (N,)."""
        if not self.pairs:
            return self.coef[k] - self.coef.mean(axis=0)
        total = np.zeros(len(self.selected))
        for row, (i, j) in zip(self.coef, class_pairs(self.n_classes), strict=True):
            total += row * (float(i == k) - float(j == k))
        return total / (self.n_classes - 1)


def class_pairs(n_classes: int) -> list[tuple[int, int]]:
    """Return the pairs of classes in scikit-learn's order: (0, 1), (0, 2), ..., (1, 2), ..."""
    return [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]


def decision_values(margins: NDArray[np.float64], n_classes: int, pairs: bool) -> NDArray[np.float64]:
    r"""Return the decision value of each class, shape (n, c): the largest is that of the class predicted.

    One against one, as scikit-learn's ``SVC(decision_function_shape="ovr")``: the pairs that a class wins,
    and a fraction of a vote, s / (3 (\|s\| + 1)), s being the sum of the class's margins. A margin of a class
    that the model does not know is NaN; the class has -inf then.
    """
    if not pairs:
        return np.nan_to_num(margins, nan=-np.inf)
    votes, sums, known = np.zeros((3, len(margins), n_classes))
    for f, (i, j) in zip(margins.T, class_pairs(n_classes), strict=True):
        votes[:, i] += f >= 0
        votes[:, j] += f < 0
        sums[:, i] += np.nan_to_num(f)
        sums[:, j] -= np.nan_to_num(f)
        known[:, [i, j]] += np.isfinite(f)[:, None]
    return np.where(known > 0, votes + sums / (3 * (np.abs(sums) + 1)), -np.inf)


def log_probabilities(
    margins: NDArray[np.float64], temperature: float, n_classes: int, pairs: bool
) -> NDArray[np.float64]:
    r"""Return the logarithm of each class's probability, shape (n, c).

    .. math:: p_k \propto \exp(f_k / \tau), \qquad
              p_k \propto \prod_{j \ne k} \frac{1}{1 + \exp(-f_{kj} / \tau)}

    of one function a class, and of one a pair, f_jk = -f_kj. A margin of a class that the model does not know
    is NaN; the class has probability 0 then.
    """
    if not pairs:
        return log_softmax(np.nan_to_num(margins / temperature, nan=-np.inf), axis=1)
    sums, known = np.zeros((2, len(margins), n_classes))
    for f, (i, j) in zip(margins.T, class_pairs(n_classes), strict=True):
        there = np.isfinite(f)
        scaled = np.where(there, f / temperature, 0.0)
        sums[:, i] += np.where(there, log_expit(scaled), 0.0)
        sums[:, j] += np.where(there, log_expit(-scaled), 0.0)
        known[:, [i, j]] += there[:, None]
    return log_softmax(np.where(known > 0, sums, -np.inf), axis=1)


def calibrated_temperature(
    margins: NDArray[np.float64], y: NDArray[np.int64], n_classes: int, pairs: bool
) -> float:
    r"""Return the temperature :math:`\tau` that minimises the log loss of `log_probabilities`.

    The classes to be said are smoothed by one clip of each, as Platt does: of n clips that are all right it
    does not follow that the next one is. Rows with NaN are left out.
    """
    kept = np.isfinite(margins).all(axis=1)
    margins, y = margins[kept], y[kept]
    largest = float(np.abs(margins).max(initial=0.0))
    if largest == 0:
        return 1.0
    n, c = len(margins), n_classes
    wanted = np.full((n, c), 1 / (n + c))
    wanted[np.arange(n), y] = (n + 1) / (n + c)

    def loss(log_temperature: float) -> float:
        said = log_probabilities(margins, float(np.exp(log_temperature)), c, pairs)
        return -float((wanted * said).sum() / n)

    found = minimize_scalar(loss, bounds=(np.log(largest) - 7, np.log(largest) + 7), method="bounded")
    return float(np.exp(found.x))
