"""Rank pooling of one sequence: smoothing, feature map, normalisation, ranking."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ranksvm import (
    Loss,
    _check_frames,
    _positive,
    _raise_not_finite,
    _time_order,
    approximate_rank_pool,
    rank_svm,
)

Floats = NDArray[np.float64]


def rank_pool(
    V: ArrayLike,
    C: float = 1.0,
    *,
    loss: Loss = "hinge",
    tol: float = 1e-6,
    times: ArrayLike | None = None,
    max_iter: int | None = None,
    smoothing: Literal["tvm", "ma"] | None = None,
    window: int = 5,
    feature_map: Literal["ssr", "posneg", "hellinger", "tanh", "chi2"] | None = None,
    normalize: Literal["l1", "l2"] | None = None,
    direction: Literal["forward", "reverse", "both"] = "forward",
    method: Literal["ranksvm", "approximate", "svr"] = "ranksvm",
) -> Floats:
    r"""Rank pooling: the weights u that put the frames of one sequence in order.

    By default ``rank_svm(V, C).u``, the exact optimum of the linear RankSVM over all pairs of frames. The
    options are those of Fernando et al., in the order of their code: reverse, smooth, map, normalise, rank.

    Parameters
    ----------
    V : array-like of shape (T, d)
        One frame's features a row, T ≥ 2; any real dtype.
    C, loss, tol, times, max_iter
        See :func:`rank_svm`.
    smoothing : {"tvm", "ma"}, optional
        ``"tvm"``: time-varying mean, frame t becomes the mean of the frames up to t. ``"ma"``: moving
        average, the means of `window` consecutive frames, T - window + 1 of them. Both follow `times`.
    window : int, default 5
        Frames in a moving average.
    feature_map : {"ssr", "posneg", "hellinger", "tanh", "chi2"}, optional
        ``"ssr"``: sign(x) √\|x\|. ``"posneg"``: √max(x, 0) and √max(-x, 0) side by side, 2d features.
        ``"hellinger"``: √x, x ≥ 0. ``"tanh"``. ``"chi2"``: the additive χ² kernel's approximate map of
        scikit-learn's AdditiveChi2Sampler with 3 sample steps, x ≥ 0, 5d features.
    normalize : {"l1", "l2"}, optional
        Norm of each frame after smoothing and map. Frames of zeros stay.
    direction : {"forward", "reverse", "both"}, default "forward"
        ``"reverse"`` pools the frames last to first; ``"both"`` returns forward and reverse side by side.
        Without smoothing the reverse is minus the forward.
    method : {"ranksvm", "approximate", "svr"}, default "ranksvm"
        ``"approximate"``: :func:`approximate_rank_pool`, which has no C. ``"svr"``: scikit-learn's LinearSVR
        on the positions 1 to T, squared ε-insensitive loss, ε = 0.1, no bias: what the public code of rank
        pooling solves.

    Returns
    -------
    ndarray
        float64; its length is that of the mapped frames, twice that for ``direction="both"``.

    Raises
    ------
    ValueError, TypeError
        As :func:`rank_svm`; for an unknown option; for negative features under "hellinger" or "chi2".

    References
    ----------
    B. Fernando, E. Gavves, J. Oramas, A. Ghodrati, T. Tuytelaars, "Rank pooling for action recognition",
    TPAMI 2017.

    Examples
    --------
    >>> from rankpool import rank_pool
    >>> V = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    >>> rank_pool(V)
    array([1., 1.])
    >>> rank_pool(V, smoothing="tvm", normalize="l2", direction="both").shape
    (4,)
    """
    _check_options(smoothing, window, feature_map, normalize, direction, method)
    frames = _check_frames(V)
    order, _ = _time_order(times, len(frames))
    if times is not None:
        frames, times = frames[order], np.asarray(times)[order]
    if smoothing == "ma" and len(frames) < window + 1:
        raise ValueError(
            f"V has {len(frames)} frames; smoothing='ma' with window={window} needs at least {window + 1}"
        )

    def pool(frames: NDArray[Any], times: NDArray[Any] | None) -> Floats:
        if smoothing or feature_map or normalize:
            frames = frames.astype(np.float64)
            if not np.isfinite(frames).all():
                _raise_not_finite(frames)
        if smoothing == "tvm":
            frames = np.cumsum(frames, axis=0) / np.arange(1, len(frames) + 1)[:, None]
        elif smoothing == "ma":
            total = np.cumsum(frames, axis=0)
            total[window:] -= total[:-window].copy()
            frames = total[window - 1 :] / window
            times = None if times is None else times[window - 1 :]
        frames = _normalized(_mapped(frames, feature_map), normalize)
        if method == "approximate":
            return approximate_rank_pool(frames, times=times)
        if method == "svr":
            return _svr(frames, C, tol, times)
        return rank_svm(frames, C, loss=loss, tol=tol, times=times, max_iter=max_iter).u

    results = []
    if direction != "reverse":
        results.append(pool(frames, times))
    if direction != "forward":
        results.append(pool(frames[::-1], None if times is None else -times[::-1]))
    return results[0] if len(results) == 1 else np.concatenate(results)


def dynamic_image(frames: ArrayLike, C: float = 1.0, **options: Any) -> Floats:
    """Rank pooling of raw pixels: a picture of how the frames change.

    Parameters
    ----------
    frames : array-like of shape (T, H, W) or (T, H, W, channels)
        Pictures.
    C, **options
        See :func:`rank_pool`; not ``direction="both"`` and no map that changes the number of features.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, channels)
        float64, zero where nothing changes in time.

    References
    ----------
    H. Bilen et al., "Dynamic image networks for action recognition", CVPR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import dynamic_image
    >>> frames = np.zeros((2, 2, 2))
    >>> frames[1, 0, 1] = 2
    >>> dynamic_image(frames)
    array([[0. , 0.5],
           [0. , 0. ]])
    """
    pictures = np.asarray(frames)
    if pictures.ndim not in (3, 4):
        raise ValueError(
            f"frames has {pictures.ndim} dimensions; it must be (T, H, W) or (T, H, W, channels)"
        )
    u = rank_pool(pictures.reshape(len(pictures), -1), C, **options)
    if u.size != pictures[0].size:
        raise ValueError("the options give more than one value per pixel; a picture has room for one")
    return u.reshape(pictures.shape[1:])


def _check_options(
    smoothing: Any, window: Any, feature_map: Any, normalize: Any, direction: Any, method: Any
) -> None:
    choices = (
        ("smoothing", smoothing, (None, "tvm", "ma")),
        ("feature_map", feature_map, (None, "ssr", "posneg", "hellinger", "tanh", "chi2")),
        ("normalize", normalize, (None, "l1", "l2")),
        ("direction", direction, ("forward", "reverse", "both")),
        ("method", method, ("ranksvm", "approximate", "svr")),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}")
    if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or window < 1:
        raise ValueError(f"window is {window!r}; it must be an integer of at least 1")


def _mapped(frames: NDArray[Any], feature_map: str | None) -> NDArray[Any]:
    if feature_map is None:
        return frames
    if feature_map == "tanh":
        return np.tanh(frames)
    if feature_map == "ssr":
        return np.sign(frames) * np.sqrt(np.abs(frames))
    if feature_map == "posneg":
        return np.sqrt(np.maximum(np.hstack([frames, -frames]), 0.0))
    negative = np.argwhere(frames < 0)
    if negative.size:
        t, k = negative[0]
        raise ValueError(
            f"feature_map={feature_map!r} needs features of at least 0, but feature {k} of frame {t} is "
            f"{frames[t, k]:g}; 'ssr' and 'posneg' take any sign"
        )
    if feature_map == "hellinger":
        return np.sqrt(frames)
    from sklearn.kernel_approximation import AdditiveChi2Sampler

    return AdditiveChi2Sampler(sample_steps=3).fit_transform(frames)


def _normalized(frames: NDArray[Any], normalize: str | None) -> NDArray[Any]:
    if normalize is None:
        return frames
    norms = np.linalg.norm(frames, ord=1 if normalize == "l1" else 2, axis=1, keepdims=True)
    return frames / np.where(norms > 0, norms, 1.0)


def _svr(frames: NDArray[Any], C: float, tol: float, times: NDArray[Any] | None) -> Floats:
    """Positions, or ranks of the times, regressed on the frames (LIBLINEAR's solver 11)."""
    from sklearn.svm import LinearSVR

    frames = frames.astype(np.float64)
    if not np.isfinite(frames).all():
        _raise_not_finite(frames)
    position = (
        np.arange(1, len(frames) + 1) if times is None else np.unique(times, return_inverse=True)[1] + 1
    )
    model = LinearSVR(
        C=_positive(C, "C"),
        tol=_positive(tol, "tol"),
        loss="squared_epsilon_insensitive",
        epsilon=0.1,
        fit_intercept=False,
        dual=False,
        max_iter=10000,
    )
    return model.fit(frames, position.astype(np.float64)).coef_
