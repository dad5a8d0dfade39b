"""The method, end to end: frames to a vector, vectors to classes.

frames (T, H, W) --LTOGP--> V (T, d) --rank pooling--> u (d,)
U (n, d) --standardise--> --l2,1 selection--> (n, N) --linear SVM--> class
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ltogp
from l21 import L21Selector

from ._checks import grey
from ._compilation import tell_of_compilation
from .discriminant import ShrinkageLDA
from .features import Features, FrameFunction, as_features, finite, name_and_parameters
from .pooling import POOLINGS, PoolingName, check_blocks, pool

__all__ = ["Description", "describe", "make_classifier"]

Pooling = Callable[[NDArray[Any]], ArrayLike]  # (T, d) -> (m,)

tell_of_compilation()


class Description(NamedTuple):
    """A clip described, and how: what ``describe(frames, full_output=True)`` returns.

    Attributes
    ----------
    u : ndarray of shape (m,), float64
        The representation, as `describe` returns it.
    V : ndarray of shape (T, d)
        v_1 to v_T, one row per frame.
    gap : float
        Relative duality gap of rank pooling; NaN where the pooling has none in it.
    method : str
        How rank pooling was solved (`rankpool.rank_svm`), or the name of a pooling without it.
    """

    u: NDArray[np.float64]
    V: NDArray[Any]
    gap: float
    method: str

    def __repr__(self) -> str:
        """Say how it was described, not the arrays."""
        shape = " x ".join(map(str, self.V.shape))
        return f"Description(u of length {len(self.u)}, V {shape}, {self.method}, gap {self.gap:.1e})"

    @property
    def scores(self) -> NDArray[np.float64]:
        """u^T v_t of each frame, shape (T,): rising with time where rank pooling could order the frames.

        It can in any order, also a shuffled one, where there are fewer frames than features; whether they
        have one `rankpool.held_out_scores` says.
        """
        if self.V.shape[1:] != self.u.shape:
            raise ValueError(
                f"this pooling makes {len(self.u)} numbers of {self.V.shape[1]} features: "
                "frames have no scores"
            )
        return self.V @ self.u


@overload
def describe(
    frames: ArrayLike, *, full_output: Literal[False] = False, **options: Any
) -> NDArray[np.float64]: ...
@overload
def describe(frames: ArrayLike, *, full_output: Literal[True], **options: Any) -> Description: ...
def describe(  # type: ignore[misc]  # the overloads don't repeat its options
    frames: ArrayLike,
    *,
    blocks: tuple[int, int] = (8, 8),
    radius: int = 1,
    mode: str = "nearest",
    templates: ArrayLike | None = None,
    C: float = 1.0,
    loss: Literal["hinge", "squared_hinge"] = "hinge",
    tol: float = 1e-6,
    features: FrameFunction | Features | None = None,
    pooling: PoolingName | Pooling = "rank",
    n_jobs: int | None = None,
    histograms: NDArray[np.float32] | None = None,
    full_output: bool = False,
) -> NDArray[np.float64] | Description:
    r"""Represent a clip by one vector that orders its frames in time.

    Each frame t becomes the concatenated LTOGP histograms of its blocks, v_t; rank pooling gives the u
    that solves

    .. math:: \min\limits_u \tfrac12 \|u\|^2 + C \sum_{i<j} \max(0, 1 - u^T (v_j - v_i)),

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
    features : callable or Features, optional
        What describes the frames instead of LTOGP: from frames (T, height, width) to v_1 to v_T, (T, d).
        `blocks`, `radius`, `mode` and `templates` are LTOGP's and have no part in it then.
    pooling : {"rank", "mean", "mean+rank", "energy"} or callable
        What makes one vector of v_1 to v_T: rank pooling, which is the paper's; their mean; the mean and u
        side by side, the mean first; or where on the face u is long,

        .. math:: e_b = \log \max(\|u_b\|, 10^{-3} \max\limits_{b'} \|u_{b'}\|)

        for each block b, row of blocks by row of blocks. A block that stays as it is has u_b = 0, and so
        counts as a thousandth of the longest: e_b grows by log s with every block where u is scaled by s, and
        no block's rounding is taken for motion. A clip that stays as it is has u = 0, and log 2^-52 (-36.04)
        everywhere. Other features need `Features.blocks` for it. Or a function from (T, d) to (m,). `C`,
        `loss` and `tol` are rank pooling's.
    n_jobs : int, optional
        Number of threads for LTOGP; by default every core.
    histograms : ndarray of shape (T, blocks[0] * blocks[1] * 256), float32, optional
        Where to put LTOGP's v_1 to v_T; by default in new memory.
    full_output : bool
        Return v_1 to v_T and the duality gap as well.

    Returns
    -------
    ndarray of shape (blocks[0] * blocks[1] * 256,), float64
        With other features (d,); with "mean+rank" twice as long, with "energy" (blocks[0] * blocks[1],), with
        a function whatever it gives; with `full_output` a `Description`.

    Raises
    ------
    ValueError
        If `frames` is not three-dimensional, is a picture in colour, has fewer than 2 frames or some of
        different size, or holds NaN or infinity; if `features` or `pooling` returns another shape, NaN or
        infinity; if "energy" is asked for of features without blocks; or if an option is given that has no
        part in the result.
    TypeError
        If the frames' dtype is not supported, `frames` is a masked array or paths, or `features` or `pooling`
        is none of those above or returns a masked array.

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
    >>> microexpr.describe(frames, pooling="energy").shape
    (64,)

    Grey levels of a coarse grid instead of LTOGP, their mean over time instead of rank pooling:

    >>> def thumbnail(frames):
    ...     return frames[:, ::16, ::16].reshape(len(frames), -1)
    >>> microexpr.describe(frames, features=thumbnail, pooling=lambda V: V.mean(axis=0)).shape
    (64,)
    """
    check_recipe(
        features,
        pooling,
        blocks=blocks,
        radius=radius,
        mode=mode,
        templates=templates,
        C=C,
        loss=loss,
        tol=tol,
        histograms=histograms,
    )
    frames = _as_clip(frames)
    V: NDArray[Any]
    if features is not None:
        V = as_features(features)(frames)
    else:
        try:
            V = ltogp.histogram(
                frames, blocks, radius=radius, mode=mode, templates=templates, out=histograms, n_jobs=n_jobs
            )
        except (TypeError, ValueError) as error:
            raise type(error)(_in_our_words(str(error))) from error
    if not isinstance(pooling, str):
        name = name_and_parameters(pooling)[0]
        u = finite(pooling(V), f"pooling {name}", "(m,)", 1).astype(np.float64)
        return Description(u, V, np.nan, name) if full_output else u
    if features is not None:
        blocks = as_features(features).blocks  # type: ignore[assignment]  # None: energy was refused
    result = pool(V, pooling, blocks, C=C, loss=loss, tol=tol)
    return Description(result.u, V, result.gap, result.method) if full_output else result.u


def check_recipe(features: Any, pooling: Any, **options: Any) -> None:
    """Raise unless `features` and `pooling` are what `describe` takes, and the options have a part in it."""
    if features is not None:
        as_features(features)
        _refuse(options, ("blocks", "radius", "mode", "templates", "histograms"), "LTOGP", "features")
    named = isinstance(pooling, str)
    if (named and pooling not in POOLINGS) or not (named or callable(pooling)):
        names = ", ".join(f'"{name}"' for name in POOLINGS)
        raise (ValueError if named else TypeError)(
            f"pooling is {pooling!r}; it must be {names} or a function from (T, d) to (m,)"
        )
    if not named or pooling == "mean":
        _refuse(options, ("C", "loss", "tol"), "rank pooling", "pooling")
    if named and pooling == "energy" and features is not None:
        check_blocks(as_features(features).blocks, f"features {as_features(features).name}")


def _refuse(options: Mapping[str, Any], names: tuple[str, ...], owner: str, instead: str) -> None:
    defaults = inspect.signature(describe).parameters
    for name in names:
        default = defaults[name].default
        if not np.array_equal(np.asarray(options.get(name, default)), np.asarray(default)):
            raise ValueError(f"{name} is an option of {owner}, whose place {instead}= has taken")


def _as_clip(frames: Any) -> NDArray[Any]:
    """Return two or more grey frames as an array (T, height, width), or raise what is wrong with them."""
    first = next(iter(frames if isinstance(frames, list | tuple) else [frames]), None)
    if isinstance(first, str | bytes | os.PathLike):
        raise TypeError(f"frames are paths ({first!r}); read them with microexpr.read_clip or read_frames")
    frames = grey(frames)
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
    n_features: int | float | str | None = 450,
    gamma: float = 1.0,
    C: float = 1.0,
    *,
    classifier: Literal["svm", "lda"] = "svm",
    class_weight: Literal["balanced"] | None = None,
    **selector: Any,
) -> Pipeline:
    r"""Build the classifier of the paper: standardise, select features, linear SVM.

    The selection solves

    .. math:: \min\limits_W \gamma \|XW - Y\|_{2,1} + \|W\|_{2,1}

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
    classifier : {"svm", "lda"}
        The paper's linear SVM, or linear discriminant analysis with Ledoit and Wolf's shrinkage, which has no
        C (`microexpr.discriminant.ShrinkageLDA`: it needs no d x d matrix; 236 clips with 16384 features took
        0.6 s, the SVM 0.4 s).
    class_weight : {None, "balanced"}
        Whether rare classes count as much as frequent ones: the SVM's C of a class is then C n / (c n_k), as
        scikit-learn has it; of the LDA the priors are equal.
    **selector
        Further parameters of `l21.L21Selector`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps ``scale``, ``select`` and ``svm`` or ``lda``.

    Raises
    ------
    ValueError
        If `n_features`, `gamma`, `C`, `classifier` or `class_weight` is none of those above, or `C` is given
        with the LDA.
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
    check_classifier(classifier, class_weight, C)
    last: SVC | ShrinkageLDA = ShrinkageLDA(priors=class_weight and "equal")
    if classifier == "svm":
        last = SVC(kernel="linear", C=C, class_weight=class_weight)
    return Pipeline([("scale", StandardScaler()), ("select", select), (classifier, last)])


def check_classifier(classifier: Any, class_weight: Any, C: Any) -> None:
    """Raise unless `make_classifier` takes these, and C has a part in it."""
    for name, value, right in (
        ("classifier", classifier, ("svm", "lda")),
        ("class_weight", class_weight, (None, "balanced")),
    ):
        if not (value is None or isinstance(value, str)) or value not in right:
            words = " or ".join("None" if word is None else f'"{word}"' for word in right)
            raise ValueError(f"{name} is {value!r}; it must be {words}")
    if classifier == "lda" and C != 1.0:
        raise ValueError(f"C is {C}, the penalty of the SVM, whose place the LDA has taken")
