"""scikit-learn's feature selector around `solve`."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .problem import Floats, correlations, critical_gamma, one_hot, row_norms
from .solvers import solve


class L21Selector(SelectorMixin, BaseEstimator):
    """Select features by the rows of the W that minimises γ‖XW - Y‖_{2,1} + ‖W‖_{2,1}, Y the one-hot classes.

    X is used as given, and its scale decides: the problem has no solution but W = 0 where γ <=
    `critical_gamma`, and multiplying X by s is the same as multiplying γ by s. Standardise first, inside the
    pipeline so that it is fitted on the training fold only.

    Features rank by the length of their row, ‖W_j‖. Rows that are zero rank after them, by how near they are
    to entering, ‖(XᵀΛ)_j‖ <= 1, with Λ the dual optimum; equal ones by their index.

    Parameters
    ----------
    n_features_to_select : int, float or None, default None
        How many features to keep: a count, a fraction of all features (rounded, at least one), or None for
        those with a non-zero row. With fewer non-zero rows than asked for, a warning says so and the nearest
        ones fill up.
    gamma : float or ("critical", factor), default 1.0
        γ, or a multiple of `critical_gamma(X, Y)`: ("critical", 10) is the same problem at any scale of X.
    solver : {"auto", "newton", "irls"}, default "auto"
        See `solve`.
    tol : float, default 1e-6
        Relative duality gap to solve to.
    max_iter : int, optional
        Most steps of the solver.

    Attributes
    ----------
    coef_ : array (d, c)
        W.
    dual_ : array (n, c)
        Λ.
    dual_gap_ : float
        Certified relative duality gap.
    objective_ : float
    gamma_ : float
        γ as a number.
    scores_ : array (d,)
        ‖W_j‖ where it is not zero, ‖(XᵀΛ)_j‖ - 1 <= 0 elsewhere: in falling order, the ranking.
    ranking_ : array (d,) of int
        1 for the best feature, d for the last.
    support_ : array (d,) of bool
        The selected features.
    n_iter_ : int
        Steps of the solver.
    classes_ : array (c,)
    n_features_in_ : int
    feature_names_in_ : array (d,)
        Only when X has feature names that are all strings.

    References
    ----------
    F. Nie, H. Huang, X. Cai, C. Ding: Efficient and robust feature selection via joint ℓ2,1-norms
    minimization, NIPS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> selector = L21Selector(n_features_to_select=2).fit(StandardScaler().fit_transform(X), y)
    >>> selector.get_support(indices=True)
    array([2, 3])
    """

    def __init__(
        self,
        n_features_to_select: int | float | None = None,
        gamma: float | tuple[str, float] = 1.0,
        *,
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
    ) -> None:
        self.n_features_to_select = n_features_to_select
        self.gamma = gamma
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> L21Selector:
        """Solve for W and rank the features.

        Parameters
        ----------
        X : array (n, d)
        y : array (n,)
            Class labels, at least two classes.
        sample_weight : array (n,), optional
            Multiplies γ of each sample; weight 0 leaves the sample out.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        d = X.shape[1]
        n_select = _count(self.n_features_to_select, d)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            kept = weights > 0.0
            X, y, weights = X[kept], y[kept], weights[kept]
        Y, self.classes_ = one_hot(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_.tolist()}; selection needs at least 2")

        self.gamma_ = _gamma(self.gamma, X, Y, weights)
        result = solve(
            X,
            Y,
            self.gamma_ if weights is None else self.gamma_ * weights,
            solver=self.solver,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        self.coef_, self.dual_, self.objective_ = result.W, result.dual, result.objective
        self.dual_gap_, self.n_iter_ = result.gap, result.n_iter

        lengths = row_norms(result.W)
        nearness = row_norms(correlations(X, result.dual))
        self.scores_ = np.where(lengths > 0.0, lengths, np.minimum(nearness - 1.0, 0.0))
        order = np.argsort(-self.scores_, kind="stable")
        self.ranking_ = np.empty(d, dtype=np.intp)
        self.ranking_[order] = np.arange(1, d + 1)
        n_rows = np.count_nonzero(lengths)
        if n_rows == 0:
            warnings.warn(
                f"W = 0: gamma={self.gamma_:.4g} is not above the critical gamma of this X and y, so "
                "features rank only by how near they are to entering; standardise X or raise gamma, "
                "or use gamma=('critical', factor) with a factor above 1",
                UserWarning,
                stacklevel=2,
            )
        elif n_select is not None and n_rows < n_select:
            warnings.warn(
                f"only {n_rows} rows of W are non-zero at gamma={self.gamma_:.4g}; the other "
                f"{n_select - n_rows} of {n_select} features are those nearest to entering; "
                "a larger gamma gives more non-zero rows",
                UserWarning,
                stacklevel=2,
            )
        self.support_ = self.ranking_ <= (n_rows if n_select is None else n_select)
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _count(n_features: int | float | None, d: int) -> int | None:
    if n_features is None:
        return None
    if isinstance(n_features, Integral) and not isinstance(n_features, bool):
        if not 1 <= n_features <= d:
            raise ValueError(
                f"n_features_to_select={n_features}, but X has {d} features: it needs to be 1 to {d}"
            )
        return int(n_features)
    if isinstance(n_features, Real) and 0.0 < n_features <= 1.0 and not isinstance(n_features, bool):
        return max(1, round(float(n_features) * d))
    raise ValueError(
        f"n_features_to_select needs to be a count, a fraction in (0, 1] or None, got {n_features!r}"
    )


def _gamma(gamma: float | tuple[str, float], X: Floats, Y: Floats, weights: Floats | None) -> float:
    if isinstance(gamma, tuple | list) and len(gamma) == 2 and gamma[0] == "critical":
        factor = gamma[1]
        if not (isinstance(factor, Real) and 0.0 < factor < np.inf):
            raise ValueError(f"gamma=('critical', factor) needs a positive factor, got {factor!r}")
        critical = critical_gamma(X, Y, weights)
        return float(factor) * (critical if np.isfinite(critical) else 1.0)
    if not (isinstance(gamma, Real) and 0.0 < gamma < np.inf):
        raise ValueError(f"gamma needs to be a positive number or ('critical', factor), got {gamma!r}")
    return float(gamma)
