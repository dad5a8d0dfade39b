"""Learning to rank with the certified RankSVM, as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer, ndcg_score
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from . import _long_kernels
from ._blas import one_blas_thread
from ._checks import check_frames, check_settings, refuse_masked
from ._frames import Floats, Names, NoPairError, PairOrder, pair_order
from .ranksvm import solve, warn_above

SAMPLES = Names("X", "sample", "y", "RankSVM")


class RankSVM(BaseEstimator):
    r"""Linear RankSVM for ordinary learning to rank, with query groups and graded relevance.

    .. math::

        \min\limits_w \tfrac12 \|w\|^2 + C \sum_{q_i = q_j,\; y_i < y_j} \max(0,\, 1 - w^\top (x_j - x_i))^p

    over the pairs of samples of the same group with different relevance; p = 1 or 2, no bias.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair in the wrong order, 1e-150 to 1e150.
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
    The very first `fit` compiles, for up to 17 s with `score`: see :func:`rank_svm`.
    Every pair counts alike, whatever its group's size. Samples are never paired explicitly where there are
    more than 3000 of them: time is O(n log n) an iteration, memory O(n d). In a cross-validation the groups
    reach `fit` and `score` by metadata routing: ``sklearn.set_config(enable_metadata_routing=True)`` and
    ``RankSVM().set_fit_request(groups=True).set_score_request(groups=True)``; and a scorer such as
    :data:`ndcg_scorer` by ``ndcg_scorer.set_score_request(groups=True)``. There they must be an id a sample:
    group sizes cannot be split into folds, ``np.repeat(np.arange(len(sizes)), sizes)`` can.
    Before scikit-learn 1.8 a grid search hands a Pipeline's own `score` no groups, so that pairs across
    groups count: give it a scorer there.

    References
    ----------
    Joachims, "Optimizing search engines using clickthrough data", KDD 2002.

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

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        group_sizes: ArrayLike | None = None,
    ) -> RankSVM:
        """Learn the weights.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples; a sparse matrix is never made dense.
        y : array-like of shape (n_samples,)
            Relevance, higher is better; equal values form no pair. Numbers or booleans, also as objects or in
            a nullable column of pandas without missing values.
        groups : array-like of shape (n_samples,), optional
            Query of each sample, in any order. Default: one query.
        group_sizes : array-like of int, optional
            Instead of `groups`, for samples sorted by query: the number of samples of each query, as
            LightGBM's and XGBoost's ``group=``.

        Returns
        -------
        RankSVM
            Itself.

        Raises
        ------
        ValueError
            No pair of different relevance in any group; NaN or infinity; unequal lengths; X or C beyond the
            reach of float64, see :func:`rank_svm`.
        TypeError
            Masked arrays; C or tol not numbers.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the relative gap stays above `tol`; it names the gap.
        """
        refuse_masked(X, "X")
        y = _as_numbers(y)
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float64, y_numeric=True, ensure_min_samples=2
        )
        C, tol = check_settings(self.C, self.loss, self.tol, self.max_iter)
        pairs = pair_order(y, _group_ids(groups, group_sizes, X.shape[0]), X.shape[0], SAMPLES)
        frames = check_frames(X)
        result = solve(
            frames,
            pairs,
            C,
            self.loss,  # type: ignore[arg-type]
            tol,
            self.max_iter,
            names=SAMPLES,
        )
        warn_above(tol, result, C, SAMPLES)
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
        refuse_masked(X, "X")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        with one_blas_thread():  # the same bits whatever number of threads is set
            return X @ self.coef_

    def predict(self, X: Any) -> Floats:
        """Return the scores, as rankers elsewhere do; the same as `decision_function`."""
        return self.decision_function(X)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        group_sizes: ArrayLike | None = None,
    ) -> float:
        """Return the fraction of pairs in the right order, a mean over the groups that have a pair.

        Equal scores count half. Kendall's τ over these pairs (Somers' D) is 2 score - 1.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y, groups, group_sizes
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, at least 0: a pair counts as the product of its samples' weights, as in
            ``sklearn.metrics.roc_auc_score``. Takes O(n²) time.

        Returns
        -------
        float
            Between 0 and 1. Where no group has a pair, 0.5, which is what tossing a coin gives: the same for
            every model, so that such a fold of a cross-validation favours none.

        Warns
        -----
        sklearn.exceptions.UndefinedMetricWarning
            If no group has a pair.
        """
        scores = self.decision_function(X)
        n = len(scores)
        relevance = column_or_1d(_as_numbers(y), warn=True)
        try:
            pairs = pair_order(relevance, _group_ids(groups, group_sizes, n), n, SAMPLES)
        except NoPairError:
            return _warn_undefined("the fraction of pairs in the right order", 0.5)
        ranks = np.unique(scores, return_inverse=True)[1].astype(np.float64)[pairs.order]
        borders = [
            (a, b) for a, b in zip(pairs.groups[:-1], pairs.groups[1:], strict=True) if pairs.later[a] < b
        ]
        if sample_weight is None:
            return float(np.mean([_fraction_right(ranks[a:b], pairs, a, b) for a, b in borders]))
        weights = _check_weights(sample_weight, n)[pairs.order]
        fractions = [_weighted_fraction(ranks, pairs.later, weights, a, b) for a, b in borders]
        if np.isnan(fractions).all():
            return _warn_undefined("the weighted fraction of pairs in the right order", 0.5)
        return float(np.nanmean(fractions))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags


def ndcg(
    y: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    k: int | None = None,
    group_sizes: ArrayLike | None = None,
) -> float:
    r"""Normalised discounted cumulative gain, a mean over the groups that have a pair.

    .. math::

        \mathrm{NDCG} = \frac{\sum_r y_{(r)} / \log_2(1 + r)}{\max \text{ over all orders}}

    with :math:`y_{(r)}` the relevance of the sample of rank r. The gain is the relevance itself, as in
    ``sklearn.metrics.ndcg_score``, which computes it; LightGBM's and XGBoost's is :math:`2^y - 1`: pass that
    as y for theirs. Equal scores share their ranks.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Relevance, at least 0.
    scores : array-like of shape (n_samples,)
        Higher ranks better: what ``RankSVM.predict`` returns.
    groups, group_sizes
        Query of each sample, or the number of samples of each query; see :meth:`RankSVM.fit`.
    k : int, optional
        Count the first k ranks only.

    Returns
    -------
    float
        Between 0 and 1. A group whose samples are all equally relevant says nothing and is left out; where
        all groups are like that, 1, for every order is the best one.

    Raises
    ------
    ValueError
        Negative relevance; NaN or infinity; unequal lengths.

    Warns
    -----
    sklearn.exceptions.UndefinedMetricWarning
        If no group has a pair.

    References
    ----------
    Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.

    Examples
    --------
    >>> from rankpool import ndcg
    >>> round(ndcg([0, 1, 2, 0, 1], [0.1, 0.3, 0.2, -1.0, 5.0], groups=[7, 7, 7, 8, 8]), 6)
    0.929859
    """
    relevance = column_or_1d(_as_numbers(y), warn=True)
    refuse_masked(scores, "scores")
    given = column_or_1d(np.asarray(scores, dtype=np.float64))
    n = len(given)
    if given.shape != relevance.shape:
        raise ValueError(f"scores has {n} values, y {len(relevance)}")
    if not np.isfinite(given).all():
        raise ValueError("scores holds NaN or infinity")
    if len(relevance) and relevance.min() < 0:
        raise ValueError(f"y holds {relevance.min():g}; NDCG needs relevance of at least 0")
    try:
        pairs = pair_order(relevance, _group_ids(groups, group_sizes, n), n, SAMPLES._replace(V="scores"))
    except NoPairError:
        return _warn_undefined("NDCG", 1.0)
    relevance, given = relevance[pairs.order], given[pairs.order]
    return float(
        np.mean(
            [
                ndcg_score(relevance[None, a:b], given[None, a:b], k=k)
                for a, b in zip(pairs.groups[:-1], pairs.groups[1:], strict=True)
                if pairs.later[a] < b
            ]
        )
    )


ndcg_scorer = make_scorer(ndcg)
ndcg_scorer.__doc__ = """:func:`ndcg` of what `predict` returns, as a scorer for scikit-learn's searches.

With ``sklearn.set_config(enable_metadata_routing=True)``,
``GridSearchCV(ranker, ..., scoring=ndcg_scorer.set_score_request(groups=True))`` hands it the test fold's
groups.
For other options ``sklearn.metrics.make_scorer(rankpool.ndcg, k=10)``.
"""


# -- input ------------------------------------------------------------------------------------------------


def _as_numbers(y: Any) -> Any:
    """Return y as numbers where it holds booleans or objects; its shape is checked elsewhere."""
    if y is None:
        return None
    refuse_masked(y, "y")
    values = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    if values.dtype == bool:
        return values.astype(np.float64)
    if values.dtype.kind == "O":
        for index, value in enumerate(values.ravel()):
            try:
                float(value)
            except (TypeError, ValueError):
                raise ValueError(f"y[{index}] is {value!r}; y must hold numbers") from None
        return values.astype(np.float64)
    return values


def _group_ids(groups: Any, group_sizes: Any, n: int) -> Any:
    """Return an id for each sample, or None."""
    if group_sizes is None:
        return groups
    if groups is not None:
        raise ValueError("groups and group_sizes say the same thing in two ways; give one of them")
    refuse_masked(group_sizes, "group_sizes")
    sizes = np.asarray(group_sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 0).any():
        raise ValueError("group_sizes must be the number of samples of each group: integers of at least 0")
    if sizes.sum() != n:
        raise ValueError(f"group_sizes add up to {sizes.sum()}, but there are {n} samples")
    return np.repeat(np.arange(len(sizes)), sizes)


def _check_weights(sample_weight: Any, n: int) -> Floats:
    refuse_masked(sample_weight, "sample_weight")
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight has shape {weights.shape}; X has {n} samples, so it must be ({n},)")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("sample_weight must be finite and at least 0")
    return weights / max(weights.max(), np.finfo(float).tiny)


def _warn_undefined(what: str, value: float) -> float:
    warnings.warn(
        f"{what} is not defined: no group holds two different values of y; {value} is returned",
        UndefinedMetricWarning,
        stacklevel=3,
    )
    return value


# -- pairs ------------------------------------------------------------------------------------------------


def _fraction_right(rank: Floats, pairs: PairOrder, a: int, b: int) -> float:
    """Fraction of the pairs of group a..b with rising rank, ties half.

    Ranks are whole numbers, so clip(1 - m, 0, 1) is one for tied and wrong pairs and zero for right ones; of
    the ranks turned round, one for tied and right ones.
    """
    later, first, end = pairs.later[a:b] - a, pairs.first[a:b] - a, pairs.end[a:b] - a
    n = int((end - later).sum())
    beta, segments = np.empty(b - a), _long_kernels.split_in_time(later, first, np.array([0, b - a]))
    not_right = _long_kernels.smoothed_sums(rank, np.argsort(rank), later, segments, 1.0, beta)[0]
    not_wrong = _long_kernels.smoothed_sums(-rank, np.argsort(-rank), later, segments, 1.0, beta)[0]
    return (n + not_wrong - not_right) / (2 * n)


def _weighted_fraction(ranks: Floats, later: NDArray[np.intp], weights: Floats, a: int, b: int) -> float:
    """As `_fraction_right`, each pair by the product of its weights; NaN if all of these are zero."""
    total, right = 0.0, 0.0
    for i in range(a, b):
        w, rank = weights[later[i] : b], ranks[later[i] : b]
        total += weights[i] * w.sum()
        right += weights[i] * (w @ (rank > ranks[i]) + 0.5 * (w @ (rank == ranks[i])))
    return right / total if total > 0.0 else np.nan
