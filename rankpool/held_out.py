"""Whether frames have an order in time at all: scores of frames that the solver has not seen."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import check_frames, check_settings
from ._frames import Floats, Names, pair_order, raise_unless_finite, relative_scores
from .ranksvm import solve, warn_above
from .result import Loss

MOST_SOLVED = 300  # frames a solve sees: 500 would take LTOGP counts up to 0.5 s, 1000 up to 3.5 s
_NAMES = Names(function="held_out_scores")


class HeldOutScores(NamedTuple):
    """Scores of frames held out of the solve: what :func:`held_out_scores` returns.

    Attributes
    ----------
    scores : ndarray of shape (T,), float64
        Of each frame, by the u that was found without it, less the mean score of the frames it was found
        from. NaN below 4 frames.
    tau : float
        Kendall's τ between time and scores, -1 to 1. NaN where all scores are equal, and below 4 frames.
    n_folds : int
        Number of solves; 0 below 4 frames.
    """

    scores: Floats
    tau: float
    n_folds: int

    def __repr__(self) -> str:
        """Say τ and not the scores."""
        return f"HeldOutScores({self}, {len(self.scores)} frames, {self.n_folds} folds)"

    def __str__(self) -> str:
        """Say τ, or why there is none."""
        if not self.n_folds:
            return f"no tau: {len(self.scores)} frames are too few"
        if np.isnan(self.tau):
            return "no tau: all frames held out score alike"
        return f"tau {self.tau:.2f} of frames held out"


def held_out_scores(
    V: ArrayLike,
    C: float = 1.0,
    *,
    loss: Loss = "hinge",
    tol: float = 1e-6,
    n_folds: int | None = None,
) -> HeldOutScores:
    r"""Score each frame by the u of other frames, and say how well the scores follow time.

    The scores V u of the frames that u was found from say little: with fewer frames than features any order
    can be had, a shuffled one too. So the frames are split into K folds F_k, every K-th frame in each, and

    .. math::

        s_t = u_k^\top (v_t - \bar v_k), \quad t \in F_k, \qquad
        \tau = \frac{\sum_k \sum_{i<j \in F_k} \mathrm{sign}(s_j - s_i)}{\sqrt{P (P - P_0)}}

    with u_k the solution of :func:`rank_svm` on the frames that are not in F_k, and :math:`\bar v_k` their
    mean. Each solve has an offset and a scale of its own, so τ compares only frames held out of the same one:
    P pairs, P_0 of them tied (τ_b).

    Parameters
    ----------
    V : array-like or sparse matrix of shape (T, d)
        One frame's features a row, in the order of time, T ≥ 2.
    C, loss, tol
        See :func:`rank_svm`.
    n_folds : int, optional
        K, from 2 to T // 2, so that each fold has frames to compare; default 5, or T // 2 below 10 frames.

    Returns
    -------
    HeldOutScores
        With `scores`, `tau` and `n_folds`.

    Raises
    ------
    ValueError, TypeError
        As :func:`rank_svm`; for another number of folds.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the largest relative gap of the solves stays above `tol`.

    Notes
    -----
    *What τ says.* On frames in random order its mean is 0, exactly: two frames of a fold have no part in its
    u, so that either is as likely as the other to score higher. (Scores pooled over the T solves of
    leave-one-out have no such guarantee, as is known of the area under the ROC curve.) Its standard deviation
    there is 0.5 at 10 frames, 0.3 at 20, 0.2 at 30 and 0.1 at 70 and more.

    A τ near 1 says that the frames change so steadily that one left out finds its place between its
    neighbours, and no more: pictures that only drift do, and so does noise that a video codec carries from
    frame to frame. One photograph in fresh noise has a τ of 0, after H.264 one of 0.8 to 0.9
    (docs/held_out_scores.py).

    *Time.* A solve sees no more than 300 frames; of more than that, as many spread evenly over those not held
    out. Five solves of a millisecond for a clip of 70 LTOGP histograms.

    References
    ----------
    A. Airola, T. Pahikkala, W. Waegeman, B. De Baets, T. Salakoski, "An experimental comparison of
    cross-validation techniques for estimating the area under the ROC curve", Computational Statistics & Data
    Analysis 2011: why pairs are compared under the same solve.

    Examples
    --------
    Frames that move steadily, in noise, and the same in random order:

    >>> import numpy as np
    >>> from rankpool import held_out_scores, rank_svm
    >>> rng = np.random.default_rng(0)
    >>> V = np.arange(60)[:, None] * rng.normal(size=500) / 60 + rng.normal(size=(60, 500))
    >>> shuffled = rng.permutation(V)
    >>> held_out_scores(V).tau > 0.9, abs(held_out_scores(shuffled).tau) < 0.3
    (True, True)

    The scores of frames that were not held out rise in both:

    >>> [bool((np.diff(W @ rank_svm(W).u) > 0).all()) for W in (V, shuffled)]
    [True, True]
    """
    frames = check_frames(V)
    C, tol = check_settings(C, loss, tol, None)
    T = frames.shape[0]
    K = _check_folds(n_folds, T)
    raise_unless_finite(frames, "V")
    if T < 4:
        return HeldOutScores(np.full(T, np.nan), np.nan, 0)
    scores, score, worst = np.empty(T), np.empty(T), None
    concordance = pairs = tied = 0
    for k in range(K):
        held_out, others = _fold(k, K, T)
        seen, order = check_frames(frames[others]), pair_order(None, None, len(others))
        result = solve(seen, order, C, loss, tol, None, names=_NAMES)
        if worst is None or not result.gap <= worst.gap:
            worst = result
        relative_scores(frames, result.u, score)
        scores[held_out] = score[held_out] - score[others].mean()
        for i, t in enumerate(held_out):
            signs = np.sign(scores[held_out[i + 1 :]] - scores[t])
            concordance += int(signs.sum())
            tied += int((signs == 0).sum())
            pairs += len(signs)
    if not np.isfinite(scores).all():
        raise ValueError("V overflows: scores of its frames exceed float64; rescale it")
    assert worst is not None
    warn_above(tol, worst, C, _NAMES)
    tau = concordance / np.sqrt(pairs * (pairs - tied)) if tied < pairs else np.nan
    return HeldOutScores(scores, float(tau), K)


def _check_folds(n_folds: int | None, T: int) -> int:
    if n_folds is None:
        return min(5, T // 2)
    if isinstance(n_folds, bool) or not isinstance(n_folds, Integral) or not 2 <= n_folds <= T // 2:
        needed = f"from 2 to {T // 2}, half of V's {T} frames" if T >= 4 else f"None: V has {T} frames"
        raise ValueError(f"n_folds is {n_folds!r}; it must be {needed}")
    return int(n_folds)


def _fold(k: int, K: int, T: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the frames held out of the k-th solve, and those it sees."""
    held_out = np.arange(k, T, K)
    others = np.delete(np.arange(T), held_out)
    if len(others) > MOST_SOLVED:
        others = others[np.linspace(0, len(others) - 1, MOST_SOLVED).round().astype(np.intp)]
    return held_out, others
