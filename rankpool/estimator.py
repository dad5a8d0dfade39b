"""Rank pooling of many clips as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from .pooling import rank_pool

Floats = NDArray[np.float64]


class RankPooling(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Clips in, one vector each out.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair of frames in the wrong order.
    loss, tol, smoothing, window, feature_map, normalize, direction, method
        See :func:`rank_pool`.
    n_jobs : int, optional
        Threads over the clips, as in joblib: None is one, -1 one per core. The result has the same bits for
        any number: BLAS, whose sums depend on its threads, is held to one.

    Attributes
    ----------
    n_features_in_ : int
        Features of a frame.

    Notes
    -----
    Clips are a list of (T_i, d) arrays, T_i ≥ 2, or one (n, T, d) array. `transform` and `fit_transform` also
    take an iterator that yields one clip at a time, and hold only as many clips as they work on. Nothing is
    learned from the clips but the number of features, so nothing leaks from test to training. For unit-norm
    vectors let scikit-learn's ``Normalizer`` follow in the pipeline.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import RankPooling
    >>> still = np.zeros((3, 2))
    >>> moving = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> RankPooling().fit_transform([still, moving])
    array([[0., 0.],
           [1., 1.]])
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        loss: str = "hinge",
        tol: float = 1e-6,
        smoothing: str | None = None,
        window: int = 5,
        feature_map: str | None = None,
        normalize: str | None = None,
        direction: str = "forward",
        method: str = "ranksvm",
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.loss = loss
        self.tol = tol
        self.smoothing = smoothing
        self.window = window
        self.feature_map = feature_map
        self.normalize = normalize
        self.direction = direction
        self.method = method
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> RankPooling:
        """Check the options on the first clip and take the number of features from it.

        Parameters
        ----------
        X : list of array-like of shape (T_i, d), or array-like of shape (n, T, d)
            Clips.
        y : ignored

        Returns
        -------
        RankPooling
            Itself.
        """
        if isinstance(X, Iterator):
            raise TypeError("fit would use up the first clip of an iterator; call fit_transform")
        for clip in _clips(X):
            self._learn(clip, self._pool(0, clip))
            return self
        raise ValueError("X has 0 clips; rank pooling needs at least 1")

    def transform(self, X: Any) -> Floats:
        """Pool each clip.

        Parameters
        ----------
        X : list of array-like of shape (T_i, d), array-like of shape (n, T, d), or an iterator of clips
            Clips with the number of features seen in `fit`.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            float64.
        """
        check_is_fitted(self, "n_features_in_")
        return self._pool_all(_clips(X), self.n_features_in_)

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Fit and pool each clip in one pass, over an iterator too; see `transform`."""
        clips = iter(_clips(X))
        for clip in clips:
            first = self._pool(0, clip)
            self._learn(clip, first)
            rest = self._pool_all(clips, self.n_features_in_, start=1)
            return np.vstack([first, rest]) if len(rest) else first[None]
        raise ValueError("X has 0 clips; rank pooling needs at least 1")

    def _learn(self, clip: Any, pooled: Floats) -> None:
        self.n_features_in_ = np.shape(clip)[1]
        self._n_features_out = pooled.size

    def _pool_all(self, clips: Iterable[Any], n_features: int, start: int = 0) -> Floats:
        with threadpool_limits(1, user_api="blas"):
            pooled = Parallel(n_jobs=self.n_jobs, require="sharedmem")(
                delayed(self._pool)(i, clip, n_features) for i, clip in enumerate(clips, start)
            )
        return np.stack(pooled) if pooled else np.empty((0, self._n_features_out))

    def _pool(self, index: int, clip: Any, n_features: int | None = None) -> Floats:
        shape = np.shape(clip)
        if n_features is not None and len(shape) == 2 and shape[1] != n_features:
            raise ValueError(f"clip {index} has {shape[1]} features; the first one had {n_features}")
        try:
            return rank_pool(
                clip,
                self.C,
                loss=self.loss,  # type: ignore[arg-type]
                tol=self.tol,
                smoothing=self.smoothing,  # type: ignore[arg-type]
                window=self.window,
                feature_map=self.feature_map,  # type: ignore[arg-type]
                normalize=self.normalize,  # type: ignore[arg-type]
                direction=self.direction,  # type: ignore[arg-type]
                method=self.method,  # type: ignore[arg-type]
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"clip {index}: {error}") from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _clips(X: Any) -> Iterable[Any]:
    """Check that X is several clips, not one."""
    if isinstance(X, np.ndarray) and X.dtype != object and X.ndim != 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; it must be a list of (T, d) clips or an (n, T, d) array"
        )
    if not isinstance(X, Iterable):
        raise TypeError(f"X is {type(X).__name__}; it must be a list of (T, d) clips or an (n, T, d) array")
    return X
