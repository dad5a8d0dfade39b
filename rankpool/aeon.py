"""Rank pooling as a transformer of aeon, whose collections are arrays (series, channels, time)."""

from __future__ import annotations

from typing import Any

import numpy as np
from aeon.transformations.collection import BaseCollectionTransformer

from . import estimator
from ._frames import Floats


class RankPooling(BaseCollectionTransformer):
    """Multivariate series in, one vector each out: the direction in which time runs.

    The same as :class:`rankpool.RankPooling` with channels for features, for aeon's pipelines.

    Parameters
    ----------
    C : float, default 1.0
        Cost of a pair of time points in the wrong order.
    loss, tol, smoothing, window, feature_map, normalize, direction, method
        See :func:`rankpool.rank_pool`.
    n_jobs : int, default 1
        Threads over the series, as aeon's estimators have it: -1 is one a core.

    Notes
    -----
    Series are an array (n_series, n_channels, n_time) or a list of arrays (n_channels, n_time_i), of at least
    2 time points each. Nothing is learned from them.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool.aeon import RankPooling
    >>> rising = np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    >>> RankPooling().fit_transform([rising, rising[:, ::-1], rising[:, :2]])
    array([[ 1.,  0.],
           [-1.,  0.],
           [ 1.,  0.]])
    """

    _tags = {  # noqa: RUF012  aeon's way
        "X_inner_type": ["np-list", "numpy3D"],
        "output_data_type": "Tabular",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:multithreading": True,
        "fit_is_empty": True,
        "algorithm_type": "feature",
    }

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
        n_jobs: int = 1,
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
        super().__init__()

    def _transform(self, X: Any, y: Any = None) -> Floats:
        pooling = estimator.RankPooling(**self.get_params())
        return pooling.fit_transform([np.ascontiguousarray(x.T) for x in X])
