"""Rank pooling of one sequence: smoothing, feature map, normalisation, ranking."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import check_at_least, check_frames, check_positive, refuse_masked
from ._frames import Floats, raise_unless_finite, time_order
from .ranksvm import approximate_rank_pool, rank_svm
from .result import Loss

SVR_COSTS = (1e-10, 1e30)  # C times the square of the largest feature
LARGEST_POSNEG = 2**28  # features of the last layer: 2 GB a frame


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
    V : array-like of shape (T, d), or scipy.sparse matrix
        One frame's features a row, T ≥ 2; any real dtype. Maps and norms keep sparse frames sparse; smoothing
        makes them dense.
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
        pooling solves. C times the square of the largest feature must lie between 1e-10 and 1e30: below 1e-15
        or so LIBLINEAR stops at u = 0, from 1e100 on, and at 1e-200, it does not stop.

    Returns
    -------
    ndarray
        float64; its length is that of the mapped frames, twice that for ``direction="both"``.

    Raises
    ------
    ValueError, TypeError
        As :func:`rank_svm`, of the frames after smoothing, map and norm; for an unknown option; for negative
        features under "hellinger" or "chi2".

    Notes
    -----
    The very first call compiles, for up to 15 s: see :func:`rank_svm`.

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
    _check_options(smoothing, feature_map, normalize, direction, method)
    check_at_least(window, 1, "window")
    frames = check_frames(V)
    T = frames.shape[0]
    ranks = None
    if times is not None:
        order, later = time_order(times, T)
        frames = frames[order]
        ranks = np.unique(later, return_inverse=True)[1]
    if smoothing == "ma" and window >= T:
        raise ValueError(f"V has {T} frames; smoothing='ma' with window={window} needs at least {window + 1}")

    def pool(frames: Any, ranks: NDArray[np.intp] | None) -> Floats:
        if smoothing or feature_map or (normalize and _is_sparse(frames)):
            frames = _finite_copy(frames)
        elif normalize:
            frames = frames.astype(np.float64)  # what is not finite shows in its norm
        frames = _smoothed(frames, smoothing, window)
        if smoothing == "ma" and ranks is not None:
            ranks = ranks[window - 1 :]
        frames = _normalized(_mapped(frames, feature_map), normalize)
        if method == "approximate":
            return approximate_rank_pool(frames, times=ranks)
        if method == "svr":
            return _svr(frames, C, tol, ranks)
        return rank_svm(frames, C, loss=loss, tol=tol, times=ranks, max_iter=max_iter).u

    results = []
    if direction != "reverse":
        results.append(pool(frames, ranks))
    if direction != "forward":
        results.append(pool(frames[::-1], None if ranks is None else ranks[-1] - ranks[::-1]))
    return results[0] if len(results) == 1 else np.concatenate(results)


def hierarchical_rank_pool(
    V: ArrayLike,
    C: float = 1.0,
    *,
    window: int = 20,
    stride: int = 1,
    depth: int = 2,
    loss: Loss = "hinge",
    tol: float = 1e-6,
    max_iter: int | None = None,
    smoothing: Literal["tvm"] | None = None,
    feature_map: Literal["ssr", "posneg", "hellinger", "tanh", "chi2"] | None = None,
    normalize: Literal["l1", "l2"] | None = None,
    direction: Literal["forward", "reverse", "both"] = "forward",
    method: Literal["ranksvm", "approximate", "svr"] = "ranksvm",
) -> Floats:
    r"""Hierarchical rank pooling: windows are rank pooled to a shorter sequence, and so on, and then it.

    Each layer below the last turns a sequence :math:`v_1, \ldots, v_T` into

    .. math::

        v'_k = \mathrm{rank\_pool}(v_{1 + sk}, \ldots, v_{w + sk}), \quad k = 0, 1, \ldots,
        \lfloor (T - w) / s \rfloor

    with window w and stride s; the last one is :func:`rank_pool` of all that is left. Every one of them
    smooths, maps and normalises its frames first.

    Parameters
    ----------
    V : array-like of shape (T, d), or scipy.sparse matrix
        One frame's features a row, in the order of time. T ≥ depth + 1 for stride 1; for depth 2, T ≥
        stride + 2.
    C, loss, tol, max_iter, feature_map, normalize, method
        See :func:`rank_pool`. ``"hellinger"`` and ``"chi2"`` need features of at least 0, which the second
        layer's are not: for them depth must be 1.
    window : int, default 20
        Frames in a window, at least 2. A sequence too short for it has its windows shortened, by as little as
        leaves the last layer two frames.
    stride : int, default 1
        Frames from one window to the next; what follows the last whole window is left out.
    depth : int, default 2
        Layers, the last one included: 1 is :func:`rank_pool`. At most T - 1, and with ``"posneg"``
        no more than leave 2^28 features.
    smoothing : {"tvm"}, optional
        Time-varying mean within each window.
    direction : {"forward", "reverse", "both"}, default "forward"
        Order of the frames at the bottom. ``"both"`` returns forward and reverse side by side.

    Returns
    -------
    ndarray
        float64. Every layer maps, so with ``"posneg"`` its length is :math:`2^{depth} d`, else d; twice that
        for ``direction="both"``.

    Raises
    ------
    ValueError, TypeError
        As :func:`rank_pool`, of each layer; for fewer frames than the layers need; for window < 2, stride < 1
        or depth < 1.

    Notes
    -----
    The very first call compiles, for up to 15 s: see :func:`rank_svm`.

    References
    ----------
    B. Fernando, P. Anderson, M. Hutter, S. Gould, "Discriminative hierarchical rank pooling for activity
    recognition", CVPR 2016. Their non-linearity between the layers, the sign expansion root, is ``"posneg"``.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import hierarchical_rank_pool
    >>> V = np.cumsum(np.random.default_rng(0).normal(size=(40, 3)), axis=0)
    >>> hierarchical_rank_pool(V, window=10, smoothing="tvm").shape
    (3,)
    >>> hierarchical_rank_pool(V, window=10, depth=3, feature_map="posneg").shape
    (24,)
    """
    _check_options(smoothing, feature_map, normalize, direction, method)
    if smoothing == "ma":  # type: ignore[comparison-overlap]  # callers may not check types
        raise ValueError(
            "smoothing is 'ma'; hierarchical rank pooling has its own windows: use 'tvm' or None"
        )
    check_at_least(window, 2, "window")
    check_at_least(stride, 1, "stride")
    check_at_least(depth, 1, "depth")
    if feature_map in ("hellinger", "chi2") and depth > 1:
        raise ValueError(
            f"feature_map={feature_map!r} needs features of at least 0, which those of layer 2 are not; use "
            "'posneg', 'ssr' or 'tanh', or depth=1"
        )
    frames = check_frames(V)
    needed = [2]  # frames that the last layer needs, the last two layers, ...
    while len(needed) < depth and needed[-1] <= frames.shape[0]:
        needed.append(2 + stride * (needed[-1] - 1))
    if frames.shape[0] < needed[-1]:
        raise ValueError(
            f"V has {frames.shape[0]} frames; depth={depth} with stride={stride} needs at least {needed[-1]}"
            + (f", in its last {len(needed)} layers alone" if len(needed) < depth else "")
        )
    if feature_map == "posneg" and frames.shape[1] * 2**depth > LARGEST_POSNEG:
        raise ValueError(
            f"feature_map='posneg' doubles the {frames.shape[1]} features in each layer: depth={depth} makes "
            f"more than {LARGEST_POSNEG} of them"
        )
    frames = _finite_copy(frames)  # float64, as the layers that follow: one type for the kernels

    def pool(frames: Any, layer: int) -> Floats:
        try:
            return rank_pool(
                frames, C, loss=loss, tol=tol, max_iter=max_iter, smoothing=smoothing,
                feature_map=feature_map, normalize=normalize, method=method,
            )  # fmt: skip
        except ValueError as error:  # what was pooled once is larger or smaller than V
            if layer == 1:
                raise
            raise ValueError(f"layer {layer}: {error}") from error

    results = []
    for sequence in {"forward": [frames], "reverse": [frames[::-1]], "both": [frames, frames[::-1]]}[
        direction
    ]:
        for layer, least in enumerate(needed[-2::-1], 1):
            size = min(window, sequence.shape[0] - stride * (least - 1))
            starts = range(0, sequence.shape[0] - size + 1, stride)
            sequence = np.stack([pool(sequence[start : start + size], layer) for start in starts])
        results.append(pool(sequence, depth))
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
    Bilen et al., "Dynamic image networks for action recognition", CVPR 2016.

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
    refuse_masked(frames, "frames")
    pictures = np.asarray(frames)
    if pictures.ndim not in (3, 4):
        raise ValueError(
            f"frames has {pictures.ndim} dimensions; it must be (T, H, W) or (T, H, W, channels)"
        )
    u = rank_pool(pictures.reshape(len(pictures), math.prod(pictures.shape[1:])), C, **options)
    if u.size != pictures[0].size:
        raise ValueError("the options give more than one value per pixel; a picture has room for one")
    return u.reshape(pictures.shape[1:])


def _check_options(smoothing: Any, feature_map: Any, normalize: Any, direction: Any, method: Any) -> None:
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


def _finite_copy(frames: Any) -> Any:
    """Return a float64 copy of the frames, dense or CSR as they come."""
    frames = frames.astype(np.float64)
    if _is_sparse(frames):
        frames.sum_duplicates()
        bad = np.flatnonzero(~np.isfinite(frames.data))
        if bad.size:
            t = np.searchsorted(frames.indptr, bad[0], side="right") - 1
            raise ValueError(f"V[{t}, {frames.indices[bad[0]]}] is {frames.data[bad[0]]}; V must be finite")
    elif not np.isfinite(frames).all():
        raise_unless_finite(frames, "V")
    return frames


def _smoothed(frames: Any, smoothing: str | None, window: int) -> Any:
    if smoothing is None:
        return frames
    if _is_sparse(frames):  # a mean of frames has the nonzeros of all of them
        frames = frames.toarray()
    peak = float(np.abs(frames).max())
    if peak > 1e300:  # the sum would overflow, the mean does not
        return _smoothed(frames * 2.0**-100, smoothing, window) * 2.0**100
    total = np.cumsum(frames, axis=0)
    if smoothing == "tvm":
        return total / np.arange(1, len(frames) + 1)[:, None]
    total[window:] -= total[:-window].copy()
    return total[window - 1 :] / window


def _mapped(frames: Any, feature_map: str | None) -> Any:
    if feature_map is None:
        return frames
    if feature_map == "tanh":
        return _elementwise(np.tanh, frames)
    if feature_map == "ssr":
        return _elementwise(lambda x: np.sign(x) * np.sqrt(np.abs(x)), frames)
    if feature_map == "posneg":
        both = _hstack(frames, -frames)
        return _elementwise(lambda x: np.sqrt(np.maximum(x, 0.0)), both)
    negative = (frames < 0).nonzero()
    if len(negative[0]):
        t, k = negative[0][0], negative[1][0]
        raise ValueError(
            f"feature_map={feature_map!r} needs features of at least 0, but feature {k} of frame {t} is "
            f"{frames[t, k]:g}; 'ssr' and 'posneg' take any sign"
        )
    if feature_map == "hellinger":
        return _elementwise(np.sqrt, frames)
    from sklearn.kernel_approximation import AdditiveChi2Sampler

    return AdditiveChi2Sampler(sample_steps=3).fit_transform(frames)


def _elementwise(function: Callable[[Floats], Floats], frames: Any) -> Any:
    """Apply a function that keeps zero zero."""
    if not _is_sparse(frames):
        return function(frames)
    mapped = frames.copy()
    mapped.data = function(mapped.data)
    return mapped


def _hstack(left: Any, right: Any) -> Any:
    if not _is_sparse(left):
        return np.hstack([left, right])
    from scipy.sparse import hstack

    return hstack([left, right], format="csr")


def _normalized(frames: Any, normalize: str | None) -> Any:
    """Scale each frame to unit norm; dense frames, a copy by now, in place."""
    if normalize is None:
        return frames
    if _is_sparse(frames):
        frames = _rows_within_reach(frames)
        total = abs(frames).sum(axis=1) if normalize == "l1" else np.sqrt(frames.power(2).sum(axis=1))
        norms = np.asarray(total).reshape(-1, 1)
        return frames.multiply(1.0 / np.where(norms > 0, norms, 1.0)).tocsr()
    norms = _row_norms(frames, normalize)
    if not ((norms > 1e-140) & (norms < 1e140)).all():
        raise_unless_finite(frames, "V")
        frames = _rows_within_reach(frames)
        norms = _row_norms(frames, normalize)
    frames *= 1.0 / np.where(norms > 0, norms, 1.0)[:, None]
    return frames


def _row_norms(frames: Floats, normalize: str) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):  # seen afterwards
        if normalize == "l1":
            return np.abs(frames).sum(axis=1)
        return np.sqrt(np.einsum("tk,tk->t", frames, frames))


def _rows_within_reach(frames: Any) -> Any:
    """Scale frames whose norms would overflow or vanish: normalised, that makes no difference."""
    if _is_sparse(frames):
        peaks = abs(frames).max(axis=1).toarray().ravel()
    else:
        peaks = np.abs(frames).max(axis=1)
    far = ((peaks > 1e140) | (peaks < 1e-140)) & (peaks > 0)
    if not far.any():
        return frames
    scale = np.where(far, 2.0 ** -np.floor(np.log2(np.where(far, peaks, 1.0)) / 2), 1.0)[:, None]
    if _is_sparse(frames):
        return frames.multiply(scale).multiply(scale).tocsr()
    return frames * scale * scale  # in two steps: the inverse of 1e-320 is beyond float64


def _svr(frames: Any, C: float, tol: float, ranks: NDArray[np.intp] | None) -> Floats:
    """Positions, or ranks of the times, regressed on the frames (LIBLINEAR's solver 11)."""
    from sklearn.svm import LinearSVR

    frames = _finite_copy(frames)
    C, tol = check_positive(C, "C"), check_positive(tol, "tol")
    peak = max(float(frames.max()), -float(frames.min()))
    cost = C * peak * peak if peak < 1.0 else peak * C * peak
    if peak > 0.0 and not SVR_COSTS[0] <= cost <= SVR_COSTS[1]:
        raise ValueError(
            f"C={C:g} times the square of V's largest feature, {peak:.1e}, is beyond what LIBLINEAR can "
            f"solve, {SVR_COSTS[0]:g} to {SVR_COSTS[1]:g}; rescale V or C"
        )
    scale = 1.0
    if peak > 1e30 or 0.0 < peak < 1e-30:  # u of V s is u / s where C is C / s²
        scale = 2.0 ** -math.floor(math.log2(peak))
        frames, C = frames * scale, cost / (peak * scale) ** 2
    position = np.arange(frames.shape[0]) if ranks is None else ranks - ranks[0]
    model = LinearSVR(
        C=C,
        tol=tol,
        loss="squared_epsilon_insensitive",
        epsilon=0.1,
        fit_intercept=False,
        dual=False,
        max_iter=10000,
    )
    return model.fit(frames, position + 1.0).coef_ * scale


def _is_sparse(frames: Any) -> bool:
    return hasattr(frames, "tocsr")  # importing scipy.sparse to ask would cost those who do not use it
