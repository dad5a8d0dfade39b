"""Learning to rank with the certified RankSVM, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _kernels
from ._frames import PairOrder
from .ranksvm import _pair_order, rank_svm

Floats = NDArray[np.float64]


class RankSVM(BaseEstimator):
    r"""Linear RankSVM for ordinary learning to rank, with query groups and graded relevance.

    .. math::

        \min_w \tfrac12 \|w\|^2 + C \sum_{q_i = q_j,\; y_i < y_j} \max(0,\, 1 - w^\top (x_j - x_i))^p

    over the pairs of samples of the same group with different relevance; p = 1 or 2, no bias.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair in the wrong order.
    loss : {"hinge", "squared_hinge"}, default "hinge"
        p = 1 or p = 2 above.
    tol : float, default 1e-4
        Bound on the relative duality gap.
    max_iter : int, optional
        Bound on the iterations; see :func:`rank_svm`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        The weights w; float64.
    dual_gap_ : float
        The certified relative duality gap.
    n_iter_ : int
        Iterations of the solver.
    n_features_in_ : int
        Features of a sample.

    Notes
    -----
    Every pair counts alike, whatever its group's size. Samples are never paired explicitly where there are
    more than 3000 of them: time is O(n log n) an iteration, memory O(n d). In a cross-validation the groups
    reach `fit` and `score` by metadata routing: ``sklearn.set_config(enable_metadata_routing=True)`` and
    ``RankSVM().set_fit_request(groups=True).set_score_request(groups=True)``.

    References
    ----------
    T. Joachims, "Optimizing search engines using clickthrough data", KDD 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import RankSVM
    >>> X = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 9.0], [0.0, 1.0], [1.0, 0.0]])
    >>> relevance = [0, 1, 2, 0, 1]
    >>> query = [7, 7, 7, 8, 8]
    >>> model = RankSVM().fit(X, relevance, groups=query)
    >>> model.decision_function(X[:3]).argsort()
    array([0, 1, 2])
    >>> model.score(X, relevance, groups=query)
    1.0
    """

    def __init__(
        self, C: float = 1.0, *, loss: str = "hinge", tol: float = 1e-4, max_iter: int | None = None
    ) -> None:
        self.C = C
        self.loss = loss
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> RankSVM:
        """Learn the weights.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples; a sparse matrix is never made dense.
        y : array-like of shape (n_samples,)
            Relevance, higher is better; equal values form no pair.
        groups : array-like of shape (n_samples,), optional
            Query of each sample, in any order. Default: one query.

        Returns
        -------
        RankSVM
            Itself.

        Raises
        ------
        ValueError
            No pair of different relevance in any group; NaN or infinity; unequal lengths.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the relative gap stays above `tol`; it names the gap.
        """
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float64, y_numeric=True, ensure_min_samples=2
        )
        result = rank_svm(
            X,
            self.C,
            loss=self.loss,  # type: ignore[arg-type]
            tol=self.tol,
            times=y,
            groups=groups,
            max_iter=self.max_iter,
        )
        self.coef_ = result.u
        self.dual_gap_ = result.gap
        self.n_iter_ = result.n_iter
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return the score of each sample, wᵀx: higher ranks better.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Scores; only their order inside a group means something.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return X @ self.coef_

    def predict(self, X: Any) -> Floats:
        """Return the scores, as rankers elsewhere do; the same as `decision_function`."""
        return self.decision_function(X)

    def score(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> float:
        """Return the fraction of pairs in the right order, a mean over the groups that have a pair.

        Equal scores count half. Kendall's τ over these pairs (Somers' D) is 2 score - 1.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Relevance.
        groups : array-like of shape (n_samples,), optional
            Query of each sample. Default: one query.

        Returns
        -------
        float
            Between 0 and 1.
        """
        scores = self.decision_function(X)
        pairs = _pair_order(np.asarray(y), groups, len(scores))
        rank = np.unique(scores, return_inverse=True)[1].astype(np.float64)[pairs.order]
        fractions = [
            _right(rank[a:b], pairs, a, b)
            for a, b in zip(pairs.groups[:-1], pairs.groups[1:], strict=True)
            if pairs.later[a] < b
        ]
        return float(np.mean(fractions))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags


def _right(rank: Floats, pairs: PairOrder, a: int, b: int) -> float:
    """Fraction of the pairs of group a..b with rising rank, ties half.

    Ranks are whole numbers, so clip(1 - m, 0, 1) is one for tied and wrong pairs and zero for right ones; of
    the ranks turned round, one for tied and right ones.
    """
    later, first, end = pairs.later[a:b] - a, pairs.first[a:b] - a, pairs.end[a:b] - a
    n = int((end - later).sum())
    beta, group = np.empty(b - a), np.array([0, b - a])
    not_right = _kernels.smoothed_sums(rank, np.argsort(rank), later, first, group, 1.0, beta)[0]
    not_wrong = _kernels.smoothed_sums(-rank, np.argsort(-rank), later, first, group, 1.0, beta)[0]
    return (n + not_wrong - not_right) / (2 * n)
