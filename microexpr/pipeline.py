"""The method, end to end: frames to a vector, vectors to classes.

frames (T, H, W) --LTOGP--> V (T, d) --rank pooling--> u (d,)
U (n, d) --standardise--> --l2,1 selection--> (n, N) --linear SVM--> class
"""

from __future__ import annotations

import os
import re
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ltogp
import rankpool
from l21 import L21Selector

__all__ = ["describe", "make_classifier"]


def describe(
    frames: ArrayLike,
    *,
    blocks: tuple[int, int] = (8, 8),
    radius: int = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    C: float = 1.0,
    loss: Literal["hinge", "squared_hinge"] = "hinge",
    tol: float = 1e-6,
    n_jobs: int | None = None,
    histograms: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    r"""Represent a clip by one vector that orders its frames in time.

    Each frame t becomes the concatenated LTOGP histograms of its blocks, v_t; rank pooling gives the u
    that solves

    .. math:: \min_u \tfrac12 \|u\|^2 + C \sum_{i<j} \max(0, 1 - u^T (v_j - v_i)),

    so that the scores u^T v_t rise with time.

    Parameters
    ----------
    frames : array-like of shape (T, height, width)
        Grey frames in temporal order, T at least 2, of any dtype that `ltogp.histogram` takes. The paper
        resizes them to 128 x 128, as `microexpr.read_clip` does; nothing is resized here.
    blocks : (int, int)
        Number of blocks down and across.
    radius, mode, templates
        As in `ltogp.histogram`.
    C, loss, tol
        As in `rankpool.rank_pool`.
    n_jobs : int, optional
        Number of threads for the descriptor; by default every core.
    histograms : ndarray of shape (T, blocks[0] * blocks[1] * 256), float32, optional
        Where to put v_1 to v_T; by default in new memory, which is given up again.

    Returns
    -------
    ndarray of shape (blocks[0] * blocks[1] * 256,), float64

    Raises
    ------
    ValueError
        If `frames` is not three-dimensional, is a picture in colour, has fewer than 2 frames or some of
        different size, or holds NaN or infinity.
    TypeError
        If the frames' dtype is not supported, or `frames` is a masked array or paths.

    References
    ----------
    Niu, Tao, Li, Huang, Lian: Discriminative video representation with temporal order for
    micro-expression recognition. ICASSP 2019, Eqs. (1)-(3).

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> frames = np.random.default_rng(0).integers(0, 256, (10, 128, 128), dtype=np.uint8)
    >>> microexpr.describe(frames).shape
    (16384,)
    """
    frames = _grey(frames)
    try:
        V = ltogp.histogram(
            frames, blocks, radius=radius, mode=mode, templates=templates, out=histograms, n_jobs=n_jobs
        )
    except (TypeError, ValueError) as error:
        raise type(error)(_in_our_words(str(error))) from error
    return rankpool.rank_pool(V, C, loss=loss, tol=tol)


def _grey(frames: Any) -> NDArray[Any]:
    """Return the frames as an array of shape (T, height, width), or raise what is wrong with that."""
    several = frames if isinstance(frames, list | tuple) else [frames]
    if any(isinstance(frame, np.ma.MaskedArray) for frame in several):
        raise TypeError("frames is a masked array; its mask would be ignored: fill it, or leave frames out")
    first = next(iter(several), None)
    if isinstance(first, str | bytes | os.PathLike):
        raise TypeError(f"frames are paths ({first!r}); read them with microexpr.read_clip or read_frames")
    try:
        frames = np.asanyarray(frames)
    except ValueError as error:  # NumPy's own speaks of an inhomogeneous shape
        raise ValueError("frames are of different sizes; they must be of one: resize them") from error
    if frames.ndim != 3:
        raise ValueError(f"frames have shape {frames.shape}; they must be grey, (T, height, width)")
    if frames.shape[2] in (3, 4) and min(frames.shape[:2]) > 4:
        raise ValueError(
            f"frames have shape {frames.shape}, which is a picture in colour; they must be grey, "
            "(T, height, width)"
        )
    if len(frames) < 2:
        raise ValueError(f"the clip has {len(frames)} frame(s); rank pooling needs at least 2")
    return frames


def _in_our_words(message: str) -> str:
    """Say frames and histograms for what `ltogp.histogram` calls images and out."""
    for theirs, ours in (("images", "frames"), ("out", "histograms")):
        if message.startswith(f"{theirs} "):
            return re.sub(rf"\b{theirs}\b", ours, message)
    return message


def make_classifier(
    n_features: int | float | str | None = 450, gamma: float = 1.0, C: float = 1.0, **selector: Any
) -> Pipeline:
    r"""Build the classifier of the paper: standardise, select features, linear SVM.

    The selection solves

    .. math:: \min_W \gamma \|XW - Y\|_{2,1} + \|W\|_{2,1}

    on the training data and keeps the features with the largest rows of W. Features are standardised
    before it, because at gamma = 1 the scale of X decides whether W has any non-zero row at all.

    Parameters
    ----------
    n_features : int, float, None or "all"
        Features to keep: a number N (the paper: 325 on CASME, 450 on CASME II), a fraction, None for
        those with a non-zero row in W, or "all" for no selection.
    gamma : float
        Weight of the loss in the selection, Eq. (4).
    C : float
        Penalty of the SVM.
    **selector
        Further parameters of `l21.L21Selector`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps ``scale``, ``select`` and ``svm``.

    Raises
    ------
    ValueError
        If `n_features`, `gamma` or `C` is none of those above.
    TypeError
        If `L21Selector` has no such parameter.

    References
    ----------
    Niu et al., ICASSP 2019, Eq. (4); Nie, Huang, Cai, Ding: Efficient and robust feature selection via
    joint l2,1-norms minimization. NIPS 2010.

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["disgust", "surprise"], 20)
    >>> X = rng.standard_normal((40, 100))
    >>> X[y == "surprise", :3] += 3
    >>> classifier = microexpr.make_classifier(n_features=3).fit(X, y)
    >>> classifier["select"].get_support(indices=True).tolist()
    [0, 1, 2]
    """
    if n_features is not None and n_features != "all":
        if isinstance(n_features, bool) or not isinstance(n_features, Real):
            raise ValueError(f'n_features is {n_features!r}; it must be a number, None or "all"')
        if not (isinstance(n_features, Integral) and n_features >= 1) and not 0 < n_features <= 1:
            raise ValueError(f"n_features is {n_features}; it must be at least 1, or a fraction in (0, 1]")
    if isinstance(C, bool) or not isinstance(C, Real) or not 0 < C < np.inf:
        raise ValueError(f"C is {C!r}; it must be positive and finite")
    if isinstance(gamma, Real) and (isinstance(gamma, bool) or not 0 < gamma < np.inf):
        raise ValueError(f"gamma is {gamma!r}; it must be positive and finite")
    select: L21Selector | str = L21Selector(n_features, gamma, **selector)
    if n_features == "all":  # the options were looked at all the same
        select = "passthrough"
    return Pipeline([("scale", StandardScaler()), ("select", select), ("svm", SVC(kernel="linear", C=C))])
