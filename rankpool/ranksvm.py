"""The linear RankSVM over all pairs of frames, solved exactly in the span of the frames."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._blas import one_blas_thread
from ._checks import check_frames, check_settings, read_only
from ._frames import (
    VIDEO,
    Floats,
    Names,
    PairOrder,
    combine,
    gram,
    largest_square,
    net_rank,
    pair_order,
    raise_unless_finite,
)
from .certificate import certify
from .closed_forms import closed_form
from .lagrangian import iterate, progress_bar
from .result import Loss, RankSVMResult, relative_gap

LONGEST_IN_PAIRS = 3000  # frames up to which the pairs are held: at 3000, 0.4 to 0.7 GB
LARGEST_GRAM = 6000  # frames up to which the Gram matrix is made where it is smaller than V
# of the largest squared distance of two frames, and of C times that
SQUARES, COSTS = (1e-200, 1e300), (1e-200, 1e300)


def rank_svm(
    V: ArrayLike,
    C: float = 1.0,
    *,
    loss: Loss = "hinge",
    tol: float = 1e-6,
    times: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    max_iter: int | None = None,
    verbose: bool = False,
) -> RankSVMResult:
    r"""Solve the linear RankSVM over all pairs of frames, with a certificate.

    .. math::

        \min\limits_u \tfrac12 \|u\|^2 + C \sum_{t_i < t_j} \max(0,\, 1 - u^\top (v_j - v_i))^p

    with p = 1 (hinge, Eq. (3) of Niu et al. 2019) or p = 2 (squared hinge), no bias. Frames with equal times
    form no pair, nor do frames of different groups.

    Parameters
    ----------
    V : array-like or sparse matrix of shape (T, d)
        One frame's features a row, T ≥ 2; any real dtype. A sparse one is never made dense.
    C : float, default 1.0
        Cost of a pair in the wrong order, 1e-150 to 1e150. It is C times the largest squared distance of two
        frames that decides how hard the problem is: that must lie between 1e-200 and 1e300, and converges
        up to 1e9 or so.
    loss : {"hinge", "squared_hinge"}, default "hinge"
        p = 1 or p = 2 above.
    tol : float, default 1e-6
        Bound on the relative duality gap; a larger one is warned about. Below 300 frames the solver
        stops at a hundredth of it, relative to the objective, an iteration later: u's relative error is about
        the gap's root.
    times : array-like of shape (T,), optional
        Time stamp of each frame, numbers, datetime64 or timedelta64, in any order, ties allowed. Default: the
        order of the rows. In learning to rank this is the graded relevance.
    groups : array-like of shape (T,), optional
        Sequence (or query) of each frame, in any order: pairs are formed inside a group only.
    max_iter : int, optional
        Bound on the iterations of the solver; default 200 and one more for every ten frames, up to 500. It
        takes 5 to 60 where T is below 100, around 100 where thousands of frames are hard to separate, and
        more where C times the squared length of the frames is beyond 1e9.
    verbose : bool, default False
        Show the gap in a progress bar, from 300 frames on.

    Returns
    -------
    RankSVMResult
        With `u`, `objective`, `gap`, `n_iter`, `method` and the dual variables.

    Raises
    ------
    ValueError
        Fewer than two frames, NaN, NaT or infinity, wrong shapes, no pair of different times, C ≤ 0, tol ≤ 0;
        C, the squared distances of the frames (all equal, or the largest between 1e-200 and 1e300) or their
        product beyond the reach of float64.
    TypeError
        V, C, tol or times not real numbers; masked arrays.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the relative gap stays above `tol`; it names the gap.

    Notes
    -----
    The solution is u = Vᵀβ, so after the T x T Gram matrix nothing depends on d. Three regimes:

    *Chain.* If all adjacent margins are at least 1, every other pair's margin is at least 2. So solve
    u·(v_{t+1} - v_t) = 1, leaving out the pairs with negative multipliers; if the other multipliers are at
    most C and the margins left out at least 1, this is the optimum. Likewise for the squared hinge, with
    adjacent margins of 1 - α/(2C).
    *Saturated.* With every α = C, u is C times the approximate rank pooling of Bilen et al. (2016); if all
    margins are then at most 1, this is the optimum.
    *In between*, the method of multipliers: each round minimises a piecewise quadratic function by semismooth
    Newton steps, exactly but for rounding. A step costs O(T²) for the pairs and one Cholesky factorisation,
    of the order of the pairs that lie at the kink, or of the rank; from 150 frames on conjugate gradients
    with an earlier factor replace most of them. From 600 frames on it starts from the solution of every
    fourth frame.

    T = 500 takes a tenth of a second, T = 3000 some seconds where frames change steadily and up to a minute
    where they are mostly noise; memory is 45 to 75 T² bytes. The very first call compiles, for up to 15 s
    (more on a busy machine), half of that for the method of multipliers: a single kernel, so that threads
    over clips don't wait for the interpreter. Later processes load it from the cache.

    Where what float64 rounds of an objective could be seen at `tol`, as with columns of 1e-12 beside others
    of 1e12, both are computed in twice its precision: up to 2^28 features of all frames, and pairs.

    Above 3000 frames the pairs are not held, nor above 500 where features are few (8 d ≤ T; 2 d ≤ T for the
    squared hinge): Newton's method on the hinge smoothed to a width δ, whose α are feasible in the dual of
    the hinge, until the gap is `tol`. Sums over the pairs come from sorted scores and prefix sums, split in
    time: O(T log T), O(T) memory. The Gram matrix is made where it is smaller than dense V, up to 6000
    frames. This is at its best where no u ranks all pairs rightly; on an all but separable random walk the
    hinge's gap falls slowly below 1e-3, and up to 3000 frames the method with the pairs takes over.

    References
    ----------
    Niu et al., "Discriminative video representation with temporal order for micro-expression recognition",
    ICASSP 2019, Eq. (3).

    Fernando et al., "Rank pooling for action recognition", TPAMI 2017.

    Chapelle, Keerthi, "Efficient algorithms for ranking with SVMs", Information Retrieval 2010.

    Yan, Li, "An efficient augmented Lagrangian method for support vector machine", Optimization Methods
    and Software 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from rankpool import rank_svm
    >>> V = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> result = rank_svm(V)
    >>> result.u
    array([1., 1.])
    >>> result.method, round(result.objective, 9)
    ('chain', 1.0)
    >>> V @ result.u  # the scores rise with time
    array([0., 1., 2.])
    """
    frames = check_frames(V)
    C, tol = check_settings(C, loss, tol, max_iter)
    pairs = pair_order(times, groups, frames.shape[0])
    result = solve(frames, pairs, C, loss, tol, max_iter, verbose)
    warn_above(tol, result, C, VIDEO)
    return result


def approximate_rank_pool(
    V: ArrayLike, *, times: ArrayLike | None = None, groups: ArrayLike | None = None
) -> Floats:
    """Approximate rank pooling: the sum of all pair differences v_j - v_i, t_i < t_j.

    Without ties in time this is Σ_t (2t - T - 1) v_t, t from 1 to T: the direction of steepest descent of the
    RankSVM from u = 0, and for small C exactly its solution divided by C.

    Parameters
    ----------
    V : array-like of shape (T, d)
        One frame's features a row, T ≥ 2.
    times : array-like of shape (T,), optional
        Time stamp of each frame, as in :func:`rank_svm`. Default: the order of the rows.
    groups : array-like of shape (T,), optional
        Pairs are formed inside a group only.

    Returns
    -------
    ndarray of shape (d,)
        float64.

    Raises
    ------
    ValueError, TypeError
        As :func:`rank_svm`, but V may be of any size as long as the sum is within float64.

    References
    ----------
    Bilen et al., "Dynamic image networks for action recognition", CVPR 2016, without the smoothing (apply
    the time-varying mean first for their harmonic coefficients).

    Examples
    --------
    >>> from rankpool import approximate_rank_pool
    >>> approximate_rank_pool([[0.0, 3.0], [1.0, 3.0], [3.0, 3.0]])
    array([6., 0.])
    """
    frames = check_frames(V)
    pairs = pair_order(times, groups, frames.shape[0])
    beta = np.empty(frames.shape[0])
    beta[pairs.order] = net_rank(pairs)
    u = np.empty(frames.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # of sparse frames: seen in a moment
        combine(frames, beta, u)
    if not np.isfinite(u).all():
        raise_unless_finite(frames, "V")
        raise ValueError("V overflows: the sum of its pair differences exceeds float64; rescale it")
    return u


# -- shared with RankSVM ----------------------------------------------------------------------------------


def solve(
    frames: Any,
    pairs: PairOrder,
    C: float,
    loss: Loss,
    tol: float,
    max_iter: int | None,
    verbose: bool = False,
    names: Names = VIDEO,
) -> RankSVMResult:
    """Solve the problem that `check_frames` and `pair_order` made."""
    T, d = frames.shape
    max_iter = 200 + min(T, LONGEST_IN_PAIRS) // 10 if max_iter is None else int(max_iter)
    # With few features Newton's method without the pairs is the faster one: a walk of T = 2000, d = 200 takes
    # it 0.5 s, the pairs 1.4 s (squared hinge 0.1 and 0.7). From d = T / 4 on it stalls at hinges near 1e-6
    few_features = T > 500 and (8 if loss == "hinge" else 2) * d <= T
    if T > LONGEST_IN_PAIRS or few_features:
        result = _solve_long(frames, pairs, C, loss, tol, max_iter, verbose, names)
    if T <= LONGEST_IN_PAIRS and not (few_features and result.gap <= tol):
        in_pairs = _solve_in_pairs(frames, pairs, C, loss, tol, max_iter, verbose, names)
        if not (few_features and result.gap < in_pairs.gap):
            result = in_pairs
    return result


def warn_above(tol: float, result: RankSVMResult, C: float, names: Names) -> None:
    """Warn the caller's caller if the gap is above tol."""
    if not result.gap <= tol:
        warnings.warn(
            f"{names.function} stopped after {result.n_iter} iterations at a relative duality gap of "
            f"{result.gap:.1e}, above tol={tol:.1e}: raise tol or max_iter, or rescale {names.V} or C={C:g}",
            _convergence_warning(),
            stacklevel=3,
        )


def _convergence_warning() -> type[Warning]:
    """scikit-learn's, or what that is derived from where scikit-learn is not installed."""
    try:
        from sklearn.exceptions import ConvergenceWarning
    except ModuleNotFoundError:
        return UserWarning
    return ConvergenceWarning


# -- input ------------------------------------------------------------------------------------------------


def _check_reach(largest: float, C: float, frames: Any, names: Names) -> None:
    """Refuse what float64 cannot hold; `largest` is the largest squared distance of two frames, or so."""
    V = names.V
    if not largest <= SQUARES[1]:
        raise_unless_finite(frames, V)
        raise ValueError(f"{V} overflows: squared distances of its {names.frame}s exceed 1e300; rescale it")
    if largest < SQUARES[0]:
        if not _all_equal(frames):
            raise ValueError(
                f"{V} underflows: the squared distances of its {names.frame}s are below 1e-200; rescale it"
            )
    elif not COSTS[0] <= C * largest <= COSTS[1]:
        raise ValueError(
            f"C={C:g} by the largest squared distance of {V}'s {names.frame}s, {largest:.1e}, is beyond what "
            f"float64 can solve with, {COSTS[0]:g} to {COSTS[1]:g}; rescale {V} or C"
        )


def _all_equal(frames: Any) -> bool:
    if isinstance(frames, np.ndarray):
        return bool((frames == frames[0]).all())
    if not frames.data.any():
        return True
    first = frames[:1].toarray()  # only where all entries are tiny or all frames alike
    return all(np.array_equal(frames[t : t + 1].toarray(), first) for t in range(frames.shape[0]))


# -- the frames ---------------------------------------------------------------------------------------------


def _solve_in_pairs(
    frames: Any,
    pairs: PairOrder,
    C: float,
    loss: Loss,
    tol: float,
    max_iter: int,
    verbose: bool,
    names: Names,
) -> RankSVMResult:
    _, in_order, largest, closed = _try_closed_form(frames, pairs, C, loss, tol, names)
    if closed is not None and closed.gap <= tol:
        return closed
    solution = iterate(in_order, pairs, C, loss, tol, max_iter, verbose)
    result = certify(frames, pairs, C, loss, largest, *solution, tol)
    return closed if closed is not None and closed.gap <= result.gap else result


def _try_closed_form(
    frames: Any, pairs: PairOrder, C: float, loss: Loss, tol: float, names: Names
) -> tuple[Floats, Floats, float, RankSVMResult | None]:
    """Return the Gram matrix, that of the frames in the pairs' order, its largest entry, and what holds."""
    K = gram(frames)
    largest = float(K.diagonal().max())
    _check_reach(largest, C, frames, names)
    straight = (pairs.order == np.arange(len(K))).all()
    in_order = K if straight else K[np.ix_(pairs.order, pairs.order)]
    solution = closed_form(in_order, pairs, C, loss)
    closed = None if solution is None else certify(frames, pairs, C, loss, largest, *solution, tol)
    return K, in_order, largest, closed


def _solve_long(
    frames: Any,
    pairs: PairOrder,
    C: float,
    loss: Loss,
    tol: float,
    max_iter: int,
    verbose: bool,
    names: Names,
) -> RankSVMResult:
    from . import long  # and scipy with it

    T, d = frames.shape
    squared = loss == "squared_hinge"
    K, closed = None, None
    if d > T and T <= LARGEST_GRAM and isinstance(frames, np.ndarray):
        K, _, _, closed = _try_closed_form(frames, pairs, C, loss, tol, names)
        if closed is not None and closed.gap <= tol:
            return closed
    else:
        _check_reach(largest_square(frames), C, frames, names)
    if isinstance(frames, np.ndarray) and frames.dtype.kind != "f":
        frames = read_only(frames.astype(np.float64))
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"), progress_bar(verbose) as progress:
        if K is None:
            found = long.solve_long(frames, pairs, C, squared, tol, max_iter, progress)
        else:
            found = long.solve_long_in_span(frames, K, pairs, C, squared, tol, max_iter, progress)
    gap = relative_gap(found.primal, found.dual)
    if closed is not None and closed.gap <= gap:
        return closed
    delta = None if squared else found.width
    return RankSVMResult(
        found.u, found.primal, found.dual, gap, found.n_iter, "newton", found.beta, None, delta, pairs
    )
