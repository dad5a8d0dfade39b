"""Linear discriminant analysis with shrinkage where features are many more than clips."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["ShrinkageLDA"]


class ShrinkageLDA(ClassifierMixin, BaseEstimator):
    r"""Linear discriminant analysis with the covariance of Ledoit and Wolf, for any number of features.

    The covariance of each class k is shrunk,

    .. math:: \Sigma_k = (1 - \delta_k) S_k + \delta_k \frac{\operatorname{tr} S_k}{d} I_d,

    with Ledoit and Wolf's :math:`\delta_k`; they are averaged with the classes' priors into one.

    It is scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=LedoitWolf())`` on
    all d features, which would need a matrix of d x d: 2 GB for 16384. What it is shrunk towards is the same
    in any orthonormal axes, so that only the span of the training clips matters: it is computed in the axes
    of scikit-learn's ``PCA(svd_solver="full")``, with d in place of the span's dimension. (Not so
    ``shrinkage="auto"``, which rescales each feature within each class before; `make_classifier` standardises
    them within the training clips.)

    Parameters
    ----------
    priors : {None, "equal"}
        Of the classes: as often as they are in the training data, or all equal.

    Attributes
    ----------
    classes_ : ndarray of shape (c,)
    priors_ : ndarray of shape (c,)
    coef_, intercept_ : ndarray of shape (c, d) and (c,); (1, d) and (1,) of two classes
        Of the decision values, ``X @ coef_.T + intercept_``.
    n_features_in_ : int

    Raises
    ------
    ValueError
        If `priors` is none of those above, or there are no more samples than classes.

    References
    ----------
    Ledoit, Wolf: A well-conditioned estimator for large-dimensional covariance matrices. J. Multivariate
    Analysis 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr.discriminant import ShrinkageLDA
    >>> y = np.repeat(["disgust", "surprise"], 10)
    >>> X = np.random.default_rng(0).standard_normal((20, 16384)) + 0.5 * (y == "surprise")[:, None]
    >>> ShrinkageLDA().fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    1.0
    """

    def __init__(self, *, priors: Literal["equal"] | None = None) -> None:
        self.priors = priors

    def fit(self, X: ArrayLike, y: ArrayLike) -> ShrinkageLDA:
        """Fit to X (n, d) and the classes y (n,)."""
        if self.priors not in (None, "equal"):
            raise ValueError(f'priors is {self.priors!r}; it must be None or "equal"')
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        c = len(self.classes_)
        if c < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}; there must be at least 2")
        with np.errstate(invalid="ignore"):  # PCA's shares of the variance, of clips that are all alike
            span = PCA(svd_solver="full").fit(X)
        inside = LinearDiscriminantAnalysis(
            solver="lsqr",
            priors=np.full(c, 1 / c) if self.priors == "equal" else None,
            covariance_estimator=_LedoitWolf(self.n_features_in_),
        ).fit(span.transform(X), y)
        self.priors_ = inside.priors_
        self.coef_ = inside.coef_ @ span.components_
        self.intercept_ = inside.intercept_ - self.coef_ @ span.mean_
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how much speaks for each class, (n, c); of two classes for the second, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        values = X @ self.coef_.T + self.intercept_
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of each sample, (n,)."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class, (n, c), as far as the clips are normally distributed."""
        from scipy.special import expit, softmax

        values = self.decision_function(X)
        return (
            softmax(values, axis=1) if values.ndim == 2 else np.stack([expit(-values), expit(values)], axis=1)
        )


class _LedoitWolf(BaseEstimator):
    """scikit-learn's `LedoitWolf` of n_features, from coordinates in axes of their span."""

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features

    def fit(self, X: NDArray[np.float64], y: Any = None) -> _LedoitWolf:
        n, d = len(X), self.n_features
        centred = X - X.mean(axis=0)
        S = centred.T @ centred / n
        trace, squares = np.trace(S), np.square(S).sum()
        # d times what scikit-learn's `ledoit_wolf_shrinkage` calls beta and delta.
        beta = (np.square(np.square(centred).sum(axis=1)).sum() / n - squares) / n
        delta = squares - trace**2 / d
        shrinkage = min(beta, delta) / delta if beta > 0 and delta > 0 else 0.0
        self.covariance_ = (1 - shrinkage) * S
        self.covariance_.flat[:: len(S) + 1] += shrinkage * trace / d
        return self
