"""Rank pooling of many clips as a scikit-learn transformer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, islice
from threading import Lock
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._blas import one_blas_thread
from ._checks import refuse_masked
from ._frames import Floats
from .pooling import hierarchical_rank_pool, rank_pool


class RankPooling(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Clips in, one vector each out.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair of frames in the wrong order.
    loss, tol, smoothing, window, feature_map, normalize, direction, method
        See :func:`rank_pool`.
    n_jobs : int, optional
        Threads over the clips, as in joblib, except that None is one per core, like -1, where
        `joblib.parallel_config` says no other. Where that names a backend of processes ("loky",
        "multiprocessing", "dask"), these pool the clips; what a clip warns of stays in them. The result has
        the same bits for any number and backend: BLAS, whose sums depend on its threads, is held to one.

    Attributes
    ----------
    n_features_in_ : int
        Features of a frame.
    feature_names_in_ : ndarray of shape (d,)
        Columns of the first clip in `fit`, if it was a table (pandas, polars, PyArrow) and they are strings.

    Notes
    -----
    Clips are a list of (T_i, d) arrays or CSR matrices, T_i ≥ 2, or one (n, T, d) array. `transform` and
    `fit_transform` also take an iterator that yields one clip at a time. A thread takes its next clip when it
    is done with the last one: beside the clips that are worked on, none is held; processes are sent up to two
    clips each ahead. Nothing is learned from the
    clips but the number of features, and the names of the columns of tables, which must be the same, in
    the same order, in all clips: so nothing leaks from test to training. For unit-norm vectors let
    scikit-learn's ``Normalizer`` follow in the pipeline. The very first call compiles: see :func:`rank_svm`.

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

    _function: Callable[..., Floats] = staticmethod(rank_pool)

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
        X : list of array-like or CSR matrices of shape (T_i, d), or array-like of shape (n, T, d)
            Clips.
        y : ignored

        Returns
        -------
        RankPooling
            Itself.
        """
        if isinstance(X, Iterator):
            raise TypeError("fit would use up the first clip of an iterator; call fit_transform")
        self.fit_transform(islice(_check_clips(X), 1))
        return self

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
        names = getattr(self, "feature_names_in_", None)
        pooled = self._pool_all(_check_clips(X), _count(X), self.n_features_in_, names)
        return np.empty((0, self._n_features_out)) if pooled is None else pooled

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Fit and pool each clip in one pass, over an iterator too; see `transform`."""
        clips = iter(_check_clips(X))
        first = next(clips, None)
        if first is None:
            raise ValueError("X has 0 clips; rank pooling needs at least 1")
        shape = np.shape(first)
        n_features = shape[1] if len(shape) == 2 else None  # not 2: the first clip's error, in a moment
        names = _column_names(first)
        clips = chain(iter([first]), clips)  # the inner iter drops the clip when it has passed
        del first
        pooled = self._pool_all(clips, _count(X), n_features, names)
        assert pooled is not None
        self.n_features_in_, self._n_features_out = n_features, pooled.shape[1]
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return pooled

    def _pool_all(
        self, clips: Iterable[Any], n_clips: int | None, n_features: int | None, names: NDArray[Any] | None
    ) -> Floats | None:
        """Return a row for each clip, or None if there are no clips; `n_clips` is None if it isn't known."""
        options = self.get_params(deep=False)
        n_jobs = options.pop("n_jobs")
        pool = partial(_pool, function=self._function, options=options, n_features=n_features, names=names)
        backend, _ = get_active_backend(prefer="threads")
        if n_jobs is None:  # asked without a preference: where threads are preferred, joblib says 1
            configured = get_active_backend()[1]
            n_jobs = -1 if configured is None else configured
        if getattr(backend, "supports_sharedmem", False):
            with one_blas_thread():  # here too, so that it isn't set anew for each clip
                return _in_threads(pool, clips, n_clips, effective_n_jobs(n_jobs))
        with _large_tasks():
            # A clip at a time: a batch would have to be read ahead. In a tuple, because arrays are scattered
            # to Dask's workers, and one that is scattered is lost with its worker; a task is sent again.
            tasks = (delayed(pool)((index, clip)) for index, clip in enumerate(clips))
            pooled = Parallel(n_jobs=n_jobs, batch_size=1)(tasks)
            return np.stack(pooled) if pooled else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class HierarchicalRankPooling(RankPooling):
    """Clips in, one vector each out, by hierarchical rank pooling.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair of frames in the wrong order.
    window, stride, depth, loss, tol, smoothing, feature_map, normalize, direction, method
        See :func:`hierarchical_rank_pool`.
    n_jobs : int, optional
        See :class:`RankPooling`, also for what clips are.

    Attributes
    ----------
    n_features_in_ : int
        Features of a frame.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import HierarchicalRankPooling
    >>> clips = [np.cumsum(np.ones((T, 2)), axis=0) for T in (25, 40)]
    >>> HierarchicalRankPooling(window=10, feature_map="posneg").fit_transform(clips).shape
    (2, 8)
    """

    _function = staticmethod(hierarchical_rank_pool)

    def __init__(
        self,
        C: float = 1.0,
        *,
        window: int = 20,
        stride: int = 1,
        depth: int = 2,
        loss: str = "hinge",
        tol: float = 1e-6,
        smoothing: str | None = None,
        feature_map: str | None = None,
        normalize: str | None = None,
        direction: str = "forward",
        method: str = "ranksvm",
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            C,
            loss=loss,
            tol=tol,
            smoothing=smoothing,
            window=window,
            feature_map=feature_map,
            normalize=normalize,
            direction=direction,
            method=method,
            n_jobs=n_jobs,
        )
        self.stride = stride
        self.depth = depth


def _check_clips(X: Any) -> Iterable[Any]:
    """Check that X is several clips, not one."""
    if isinstance(X, np.ndarray) and X.dtype != object and X.ndim != 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; it must be a list of (T, d) clips or an (n, T, d) array"
        )
    if hasattr(X, "columns"):
        raise TypeError("X is one table; it must be a list of them, one a clip")
    if isinstance(X, np.ma.MaskedArray):
        refuse_masked(X, "X")
    if hasattr(X, "tocsr"):
        raise TypeError("X is one sparse matrix; it must be a list of them, one a clip")
    if not isinstance(X, Iterable):
        raise TypeError(f"X is {type(X).__name__}; it must be a list of (T, d) clips or an (n, T, d) array")
    return X


def _count(X: Any) -> int | None:
    return len(X) if isinstance(X, (list, tuple, np.ndarray)) else None


def _column_names(clip: Any) -> NDArray[Any] | None:
    """Return the names of a table's columns, if all are strings."""
    names = list(getattr(clip, "column_names", getattr(clip, "columns", [])))  # PyArrow's are the former
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return np.array(names, dtype=object)


def _pool(
    numbered: tuple[int, Any],
    function: Callable[..., Floats],
    options: dict[str, Any],
    n_features: int | None,
    names: NDArray[Any] | None,
) -> Floats:
    """Pool one clip; an error says which it is."""
    index, clip = numbered
    try:
        shape = np.shape(clip)
        if n_features is not None and len(shape) == 2 and shape[1] != n_features:
            raise ValueError(f"V has {shape[1]} features; the first clip had {n_features}")
        own = _column_names(clip)
        if names is not None and own is not None and (own != names).any():
            k = np.flatnonzero(own != names)[0]
            raise ValueError(
                f"column {k} of V is {own[k]!r}, of the first clip {names[k]!r}; all clips need "
                "the same columns in the same order"
            )
        with one_blas_thread():
            return function(clip, **options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"clip {index}: {error}") from error


def _large_tasks() -> AbstractContextManager[Any]:
    """Keep Dask from warning of each task above 10 MB: a clip of 80 frames of 16384 features is one."""
    if "distributed" not in sys.modules:
        return nullcontext()
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})


def _in_threads(
    function: Callable[[Any], Floats], items: Iterable[Any], n_items: int | None, n_threads: int
) -> Floats | None:
    """Return function((i, item)) for i, item in enumerate(items), a row each, from n_threads threads.

    joblib's threads took 1.4 times as long for 246 clips of 2 to 6 ms, and read ahead. Where `n_items` is
    known, each thread copies its rows to their place while they are in its cache: to stack them at the end
    took 15 ms of 480, in one thread.
    """
    rows: list[Any] = []
    table: Floats | None = None
    lock, done = Lock(), object()

    def place(i: int, row: Floats) -> None:
        nonlocal table
        if n_items is None:
            rows[i] = row
            return
        with lock:
            if table is None:
                table = np.empty((n_items, *row.shape))
        table[i] = row

    def result() -> Floats | None:
        return table if n_items is not None or not rows else np.stack(rows)

    if n_threads == 1:
        for i, item in enumerate(items):
            rows.append(None)
            place(i, function((i, item)))
        return result()
    iterator = iter(items)
    stop = False

    def work() -> None:
        nonlocal stop
        try:
            while not stop:
                item = None  # gone before the next one comes
                with lock:
                    item = next(iterator, done)
                    if item is done:
                        break
                    i = len(rows)
                    rows.append(None)
                place(i, function((i, item)))
        except BaseException:
            stop = True
            raise

    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(work) for _ in range(n_threads)]
        try:
            for future in futures:
                future.result()
        finally:  # interrupted, too
            stop = True
    return result()
