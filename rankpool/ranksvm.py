"""The linear RankSVM over all pairs of frames, solved exactly in the span of the frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _kernels

Loss = Literal["hinge", "squared_hinge"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankSVMResult:
    """The optimum of :func:`rank_svm` and its certificate.

    Anyone can check the certificate: `objective` follows from `u` alone, `dual_objective` from `dual` alone,
    and the optimum lies between them whatever the solver did.

    Attributes
    ----------
    u : ndarray of shape (d,)
        The weights; float64. The scores ``V @ u`` rise with time.
    objective : float
        The primal objective at `u`.
    dual_objective : float
        The dual objective at `dual`.
    gap : float
        (objective - dual_objective) / max(1, |objective|).
    n_iter : int
        Iterations of the solver; 0 where a closed form holds.
    method : str
        ``"chain"`` or ``"saturated"`` (closed forms), or ``"interior-point"``.
    beta : ndarray of shape (T,)
        u = Vᵀβ; β sums to zero.
    dual : ndarray of shape (n_pairs,)
        The dual variable α of each row of `pairs`.
    pairs : ndarray of shape (n_pairs, 2)
        Frame indices (i, j) of each pair, frame i earlier than frame j.
    """

    u: Floats
    objective: float
    dual_objective: float
    gap: float
    n_iter: int
    method: str
    beta: Floats = field(repr=False)
    dual: Floats = field(repr=False)
    _order: NDArray[np.intp] = field(repr=False)
    _later: NDArray[np.intp] = field(repr=False)

    @property
    def pairs(self) -> NDArray[np.intp]:
        """Frame indices (i, j) of each pair, shape (n_pairs, 2), frame i earlier than frame j."""
        T, later = len(self._later), self._later
        i = np.repeat(np.arange(T), T - later)
        j = np.arange(len(i)) - _first_of_row(later)[i] + later[i]
        return np.column_stack([self._order[i], self._order[j]])


def rank_svm(
    V: ArrayLike,
    C: float = 1.0,
    *,
    loss: Loss = "hinge",
    tol: float = 1e-6,
    times: ArrayLike | None = None,
    max_iter: int | None = None,
) -> RankSVMResult:
    r"""Solve the linear RankSVM over all pairs of frames, with a certificate.

    .. math::

        \min_u \tfrac12 \|u\|^2 + C \sum_{t_i < t_j} \max(0,\, 1 - u^\top (v_j - v_i))^p

    with p = 1 (hinge, Eq. (3) of Niu et al. 2019) or p = 2 (squared hinge), no bias. Frames with equal times
    form no pair.

    Parameters
    ----------
    V : array-like of shape (T, d)
        One frame's features a row, T ≥ 2; any real dtype.
    C : float, default 1.0
        Cost of a pair in the wrong order.
    loss : {"hinge", "squared_hinge"}, default "hinge"
        p = 1 or p = 2 above.
    tol : float, default 1e-6
        Bound on the relative duality gap; a larger one is warned about. The solver stops at a hundredth of
        it, relative to the objective, an iteration later: u's relative error is about the gap's root.
    times : array-like of shape (T,), optional
        Time stamp of each frame, in any order, ties allowed. Default: the order of the rows.
    max_iter : int, optional
        Bound on the iterations of the solver; default 200. It takes 5 to 25 where T is below 100, up to 100
        where hundreds of frames are all but separable and C is large.

    Returns
    -------
    RankSVMResult
        With `u`, `objective`, `gap`, `n_iter`, `method` and the dual variables.

    Raises
    ------
    ValueError
        Fewer than two frames, NaN or infinity, wrong shapes, no pair of different times, C ≤ 0, tol ≤ 0.
    TypeError
        V, C, tol or times not real numbers.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the relative gap stays above `tol`; it names the gap.

    Notes
    -----
    The solution is u = Vᵀβ, so after the T x T Gram matrix nothing depends on d. Three regimes:

    *Chain.* If all adjacent margins are at least 1, every other pair's margin is at least 2. So solve
    u·(v_{t+1} - v_t) = 1, leaving out the pairs with negative multipliers; if the other multipliers are at
    most C and the margins left out at least 1, this is the optimum.
    *Saturated.* With every α = C, u is C times the approximate rank pooling of Bilen et al. (2016); if all
    margins are then at most 1, this is the optimum.
    *In between*, a primal-dual interior point: the pairs collapse into a weighted Laplacian of the frames, so
    an iteration costs O(T²) for the pairs and one T x T Cholesky factorisation.

    The squared hinge takes the interior point always. Time grows as T³ and memory as T² (twenty arrays of one
    float64 a pair): T = 500 takes a fraction of a second, T = 2000 ten seconds or more.

    References
    ----------
    X. Niu et al., "Discriminative video representation with temporal order for micro-expression recognition",
    ICASSP 2019, Eq. (3).

    B. Fernando et al., "Rank pooling for action recognition", TPAMI 2017.

    S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optimization 1992.

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
    frames = _check_frames(V)
    C = _positive(C, "C")
    tol = _positive(tol, "tol")
    if loss not in ("hinge", "squared_hinge"):
        raise ValueError(f'loss is {loss!r}; it must be "hinge" or "squared_hinge"')
    if max_iter is None:
        max_iter = 200
    elif isinstance(max_iter, bool) or not isinstance(max_iter, Integral) or max_iter < 1:
        raise ValueError(f"max_iter is {max_iter!r}; it must be an integer of at least 1, or None")
    order, later = _time_order(times, len(frames))

    K = _gram(frames)
    if times is not None:
        K = K[np.ix_(order, order)]

    solution = None
    if loss == "hinge":
        solution = _chain(K, later, C) or _saturated(K, later, C)
    if solution is None:
        solution = _iterate(K, later, C, loss, tol, int(max_iter))
    result = _certify(frames, order, later, C, loss, K.diagonal().max(), *solution)
    if not result.gap <= tol:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(
            f"rank_svm stopped after {result.n_iter} iterations at a relative duality gap of "
            f"{result.gap:.1e}, above tol={tol:.1e}: raise tol or max_iter, or rescale V or C={C:g}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def approximate_rank_pool(V: ArrayLike, *, times: ArrayLike | None = None) -> Floats:
    """Approximate rank pooling: the sum of all pair differences v_j - v_i, t_i < t_j.

    Without ties in time this is Σ_t (2t - T - 1) v_t, t from 1 to T: the direction of steepest descent of the
    RankSVM from u = 0, and for small C exactly its solution divided by C.

    Parameters
    ----------
    V : array-like of shape (T, d)
        One frame's features a row, T ≥ 2.
    times : array-like of shape (T,), optional
        Time stamp of each frame. Default: the order of the rows.

    Returns
    -------
    ndarray of shape (d,)
        float64.

    References
    ----------
    H. Bilen et al., "Dynamic image networks for action recognition", CVPR 2016, without the smoothing (apply
    the time-varying mean first for their harmonic coefficients).

    Examples
    --------
    >>> from rankpool import approximate_rank_pool
    >>> approximate_rank_pool([[0.0, 3.0], [1.0, 3.0], [3.0, 3.0]])
    array([6., 0.])
    """
    frames = _check_frames(V)
    order, later = _time_order(times, len(frames))
    beta = np.empty(len(frames))
    beta[order] = _net_rank(later)
    u = np.empty(frames.shape[1])
    _kernels.combine(frames, beta, u)
    if not np.isfinite(u).all():
        _raise_not_finite(frames)
    return u


# -- input ------------------------------------------------------------------------------------------------


def _check_frames(V: Any) -> NDArray[Any]:
    if hasattr(V, "toarray") or hasattr(V, "todense"):
        raise TypeError("V is sparse; pass a dense array, V.toarray()")
    frames = np.asarray(V)
    if frames.dtype.kind not in "biuf":
        try:
            if frames.dtype.kind != "O":
                raise TypeError
            frames = frames.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"V has dtype {frames.dtype}; rank pooling needs one array of real numbers"
            ) from None
    if frames.ndim != 2:
        raise ValueError(f"V has {frames.ndim} dimensions; it must be (frames, features)")
    T, d = frames.shape
    if T < 2:
        raise ValueError(f"V has {T} frame{'s' * (T != 1)}; rank pooling needs at least 2")
    if d < 1:
        raise ValueError("V has 0 features; rank pooling needs at least 1")
    if frames.dtype == bool:
        frames = frames.view(np.uint8)
    elif frames.dtype == np.float16:
        frames = frames.astype(np.float32)
    elif frames.dtype.kind == "f" and frames.dtype.itemsize > 8:
        frames = frames.astype(np.float64)
    return np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("="))


def _positive(value: Any, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a positive number")
    number = float(value)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} is {value!r}; it must be positive and finite")
    return number


def _time_order(times: Any, T: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the frames sorted by time, and for each of them the position of the first one later than it."""
    if times is None:
        return np.arange(T), np.arange(1, T + 1)
    times = np.asarray(times)
    if times.dtype.kind not in "iuf":
        raise TypeError(f"times has dtype {times.dtype}; it must hold real numbers")
    if times.shape != (T,):
        raise ValueError(f"times has shape {times.shape}; V has {T} frames, so it must be ({T},)")
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise ValueError(f"times[{bad[0]}] is {times[bad[0]]}; times must be finite")
    order = np.argsort(times, kind="stable")
    later = np.searchsorted(times[order], times[order], side="right")
    if later[0] == T:
        raise ValueError("times are all equal: there is no pair of frames to rank")
    return order, later


def _raise_not_finite(frames: NDArray[Any]) -> None:
    bad = np.argwhere(~np.isfinite(frames))
    if bad.size:
        t, k = bad[0]
        raise ValueError(f"V[{t}, {k}] is {frames[t, k]}; V must be finite")
    raise ValueError("V overflows: the squared distances of its frames exceed float64; rescale it")


# -- the frames ---------------------------------------------------------------------------------------------


def _gram(frames: NDArray[Any]) -> Floats:
    """Return the Gram matrix of v_t - v_0 in float64, a panel of columns at a time.

    β sums to zero, so the common offset changes nothing but the rounding. Whole numbers go through float32
    as long as every dot product of a panel is below 2^24: exact, and twice as fast.
    """
    T, d = frames.shape
    rows = _padded(T)
    # A float32 panel of 68 x 2048 is 0.5 MB: it stays in L2 between the subtraction and the product.
    width = max(512, (1 << 17) // T)
    K = np.zeros((rows, rows))
    kind: type = np.float32
    # One buffer for all panels: a new one each time takes its pages from the system again, 0.5 ms in all
    buffer: NDArray[Any] = np.empty(rows * width, kind)
    product: NDArray[Any] = np.empty((rows, rows), kind)
    start = 0
    while start < d:
        stop = min(start + width, d)
        panel = buffer[: rows * (stop - start)].reshape(rows, stop - start)
        panel[T:] = 0.0
        whole = _kernels.relative_panel(frames, start, panel[:T])
        if whole or kind is np.float64:
            _kernels.symmetric_products(panel, panel, product)
            whole = whole and product.diagonal().max() < 2**24
        if kind is np.float32 and not whole:
            kind = np.float64
            buffer, product = np.empty(rows * width, kind), np.empty((rows, rows), kind)
            continue  # this panel again
        K += product
        start = stop
    K = np.ascontiguousarray(K[:T, :T])
    largest = K.diagonal().max()
    if not np.isfinite(largest):
        _raise_not_finite(frames)
    if largest < 1e-200 and (frames != frames[0]).any():
        raise ValueError("V underflows: the squared distances of its frames vanish in float64; rescale it")
    return K


def _certify(
    frames: NDArray[Any],
    order: NDArray[np.intp],
    later: NDArray[np.intp],
    C: float,
    loss: Loss,
    largest: float,
    beta: Floats,
    alpha: Floats,
    method: str,
    n_iter: int,
) -> RankSVMResult:
    """Evaluate the primal objective from u and the dual one from α, both in float64.

    `largest` is the largest square of v_t - v_0.
    """
    T, d = frames.shape
    power = 1 if loss == "hinge" else 2
    u, scores, by_frame = np.empty(d), np.empty(T), np.empty(T)
    by_frame[order] = beta
    square = _kernels.combine(frames, by_frame, u)
    _kernels.relative_scores(frames, u, scores)
    # Many margins are 1 but for rounding, and where C is large each 1 - 1e-15 costs. Stretching u by as
    # little is cheaper: take the best stretch, for margins smaller by the rounding of a score.
    rounding = 1.0 + 4 * np.finfo(float).eps * np.sqrt(largest * square)
    stretches = 1.0 + np.array([0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8])
    costs = np.array(
        [
            0.5 * t * t * square + C * _kernels.hinge_sum(scores[order] * (t / rounding), later, power)
            for t in stretches
        ]
    )
    stretch = float(stretches[np.argmax(costs <= costs.min() * (1 + 1e-12))])  # the first as good as the best
    u *= stretch
    by_frame *= stretch
    primal = 0.5 * square * stretch**2 + C * _kernels.hinge_sum(scores[order] * stretch, later, power)

    # ||V^T A^T alpha||^2 from the frames: where C is large, A^T alpha is mostly cancellation, and
    # its product with K would be right to half the digits only.
    dual_beta, dual_by_frame, w = np.empty(T), np.empty(T), np.empty(d)
    total, total_square = _kernels.pair_sums(alpha, later, dual_beta)
    dual_by_frame[order] = dual_beta
    dual = total - 0.5 * _kernels.combine(frames, dual_by_frame, w)
    if loss == "squared_hinge":
        dual -= total_square / (4 * C)
    gap = max(0.0, primal - dual) / max(1.0, abs(primal))
    return RankSVMResult(u, primal, dual, gap, n_iter, method, by_frame, alpha, order, later)


# -- closed forms -------------------------------------------------------------------------------------------

Solution = tuple[Floats, Floats, str, int]  # beta, alpha, method, n_iter


def _chain(K: Floats, later: NDArray[np.intp], C: float) -> Solution | None:
    """All adjacent margins at least 1, with the smallest u, if the multipliers allow it."""
    T = len(K)
    if (later != np.arange(1, T + 1)).any():
        return None  # ties in time: several frames follow one
    D = K[1:] - K[:-1]
    adjacent = D[:, 1:] - D[:, :-1]
    active = np.arange(T - 1)
    for _ in range(5):
        factor = np.eye(_padded(len(active)))
        factor[: len(active), : len(active)] = adjacent[np.ix_(active, active)]
        if not _kernels.cholesky(factor):
            return None
        a = np.ones(len(active))
        _kernels.solve_lower(factor, a)
        _kernels.solve_lower_transposed(factor, a)
        if a.min() >= 0:
            break
        active = active[a > 0]  # a margin whose multiplier is negative is above 1 by itself
    else:
        return None
    if a.max() > C:
        return None
    alpha = np.zeros(T * (T - 1) // 2)
    alpha[_first_of_row(later)[active]] = a
    beta = np.zeros(T)
    beta[active + 1] += a
    beta[active] -= a
    f = np.empty(T)
    _kernels.row_products(K, beta, f)
    if not (f[1:] - f[:-1]).min() > 1.0 - 1e-10:
        return None  # a margin left out is below 1, or adjacent frames all but coincide
    return beta, alpha, "chain", 0


def _saturated(K: Floats, later: NDArray[np.intp], C: float) -> Solution | None:
    """Every pair at its bound C, if all margins are then at most 1."""
    beta = C * _net_rank(later)
    f = np.empty(len(K))
    _kernels.row_products(K, beta, f)
    best_from = np.maximum.accumulate(f[::-1])[::-1]  # largest score from each frame on
    earlier = np.flatnonzero(later < len(K))
    if (best_from[later[earlier]] - f[earlier]).max() > 1.0:
        return None
    return beta, np.full(_count(later), C), "saturated", 0


def _net_rank(later: NDArray[np.intp]) -> Floats:
    """Return the number of earlier minus the number of later frames, for each frame."""
    T = len(later)
    earlier = np.searchsorted(later, np.arange(T), side="right")
    return (earlier - (T - later)).astype(np.float64)


def _count(later: NDArray[np.intp]) -> int:
    return int((len(later) - later).sum())


def _first_of_row(later: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([[0], np.cumsum(len(later) - later)[:-1]])


# -- in between ---------------------------------------------------------------------------------------------


def _iterate(K: Floats, later: NDArray[np.intp], C: float, loss: Loss, tol: float, max_iter: int) -> Solution:
    """Scale the frames to unit mean square, factor K = R^T R, solve for z = R beta."""
    T = len(K)
    scale = float(np.trace(K)) / T
    if scale == 0.0:  # all frames equal: u = 0, every pair costs C
        alpha = np.full(_count(later), C if loss == "hinge" else 2 * C)
        return np.zeros(T), alpha, "saturated", 0
    factor, pivots = np.zeros((T, T)), np.empty(T, np.intp)
    rank = _kernels.pivoted_cholesky(K / scale, factor, pivots)
    R = np.zeros((_padded(rank), _padded(T)))
    R[:rank, :T] = factor[:rank]

    z, alpha, n_iter = _interior_point(R, later, C * scale, loss == "squared_hinge", tol, max_iter)

    # beta on the pivot frames, where R is triangular; the first frame, at the origin, closes the sum
    pivots = pivots[:rank]
    x = z[:rank].copy()
    _kernels.solve_lower_transposed(np.ascontiguousarray(R[:rank, pivots].T), x)
    beta = np.zeros(T)
    beta[pivots] = x / scale
    beta[np.argmin(K.diagonal())] -= beta.sum()
    alpha = np.clip(alpha / scale, 0.0, C if loss == "hinge" else np.inf)
    return beta, alpha, "interior-point", n_iter


def _interior_point(
    R: Floats, later: NDArray[np.intp], C: float, squared: bool, tol: float, max_iter: int
) -> tuple[Floats, Floats, int]:
    """Mehrotra's predictor-corrector on z = R A^T alpha and the pairs' complementarity (see `_kernels`).

    The scores are f = R^T z. z and alpha move separately: where C is huge, A^T alpha is a small difference of
    large numbers, and R A^T alpha would keep only its rounding. R, and with it z, are padded with zeros.
    """
    T = len(later)
    rank, width = R.shape
    n = _count(later)
    f, beta = np.zeros((2, width))
    stationary = np.zeros(rank)
    L, RL, M = np.zeros((width, width)), np.zeros((rank, width)), np.zeros((rank, rank))
    weight, h, s, xi = np.empty((4, n))
    ts, txi = np.empty((2, n))
    directions = np.zeros((3, n))  # of alpha, s and xi
    # Gondzio's correctors cost a solve each and save factorisations, which are what is dear in long sequences
    # (T = 300: 12 to 69 % fewer iterations)
    corrections = 2 if T >= 150 else 0
    spare = np.zeros_like(directions) if corrections else directions

    # Start: u along the saturated direction, alpha inside its box, slacks well above the margins
    beta[:T] = _net_rank(later)
    _kernels.row_products(R, beta, stationary)
    square = float(stationary @ stationary)
    z = min(C, n / square if square > 0 else 0.0) * stationary
    alpha = np.full(n, 0.5 * C)
    _kernels.row_sum(R, z, f)
    _kernels.start_slacks(f[:T], later, s, xi)

    # The error of u goes with the square root of the gap, and the last iterations divide the gap by a hundred
    # and more each: one of them past tol, unless rounding forbids.
    enough = max(0.01 * tol, min(0.5 * tol, 1e-10))
    best_primal, best_dual, best_z, best_alpha = np.inf, -np.inf, z, alpha
    n_iter, stalled = 0, 0
    while True:
        _kernels.row_sum(R, z, f)
        total, total_square = _kernels.pair_sums(alpha, later, beta[:T])
        _kernels.row_products(R, beta, stationary)
        primal = 0.5 * float(z @ z) + C * _kernels.hinge_sum(f[:T], later, 2 if squared else 1)
        dual = total - 0.5 * float(stationary @ stationary) - (total_square / (4 * C) if squared else 0.0)
        gap = best_primal - best_dual
        if primal < best_primal:
            best_primal, best_z = primal, z
        if dual > best_dual:
            best_dual, best_alpha = dual, alpha.copy()
        stalled = stalled + 1 if best_primal - best_dual > 0.999 * gap else 0
        if best_primal - best_dual <= enough * best_primal or n_iter == max_iter or stalled == 25:
            break
        n_iter += 1

        # I + R L R^T, and its factor
        complementarity = _kernels.barrier_weights(alpha, s, xi, f[:T], later, C, squared, weight, h, L)
        _kernels.products(R, L, RL)
        for ridge in (0.0, 1e-14, 1e-11):
            _kernels.symmetric_products(RL, R, M)
            diagonal = np.einsum("ii->i", M)
            diagonal += 1.0 + ridge * diagonal.max()
            if _kernels.cholesky(M):
                break
        else:
            break

        # predictor, towards mu = 0; how far it gets sets the corrector's mu
        state = (alpha, s, xi, later, C, squared, weight, h)
        residual = z - stationary
        ts[:], txi[:] = 0.0, 0.0
        dz, worst, lin, quad = _direction(R, M, residual, state, (ts, txi), directions)
        step = 1.0 / max(1.0, worst)
        ahead = max(0.0, 1.0 + step * (lin + step * quad) / complementarity)
        mu = complementarity / (n if squared else 2 * n) * min(1.0, ahead) ** 3

        _kernels.second_order_targets(mu, squared, *directions, ts, txi)
        dz, worst, _, _ = _direction(R, M, residual, state, (ts, txi), directions)
        for _ in range(corrections):
            step = 1.0 / max(1.0, worst)
            if step > 0.95:
                break
            ahead = min(1.0, step + 0.3)
            _kernels.centrality_targets(mu, ahead, alpha, s, xi, C, squared, *directions, ts, txi)
            trial, trial_worst, _, _ = _direction(R, M, residual, state, (ts, txi), spare)
            if 1.0 / max(1.0, trial_worst) < step + 0.03:
                break
            dz, worst = trial, trial_worst
            directions, spare = spare, directions
        if not (np.isfinite(worst) and np.isfinite(dz).all()):
            break
        step = 0.995 / max(0.995, worst)
        z = z + step * dz
        alpha += step * directions[0]
        s += step * directions[1]
        xi += step * directions[2]  # zero for the squared hinge
    return best_z, best_alpha, n_iter


def _direction(
    R: Floats,
    factor: Floats,
    residual: Floats,
    state: tuple[Any, ...],
    targets: tuple[Floats, Floats],
    out: Any,
) -> tuple[Floats, float, float, float]:
    """Solve (I + R L R^T) dz = R g - residual; from dz follow the pairs' directions, written to `out`."""
    rank, width = R.shape
    later = state[3]
    g, df, dz = np.zeros(width), np.zeros(width), np.empty(rank)
    alpha, _, _, _, C, squared, weight, h = state
    _kernels.barrier_rhs(alpha, later, C, squared, weight, h, *targets, g[: len(later)])
    _kernels.row_products(R, g, dz)
    dz -= residual
    _kernels.solve_lower(factor, dz)
    _kernels.solve_lower_transposed(factor, dz)
    _kernels.row_sum(R, dz, df)
    return dz, *_kernels.barrier_direction(*state, df[: len(later)], *targets, *out)


def _padded(n: int) -> int:
    """Return n rounded up to whole 4 x 4 blocks, which the dense kernels work on."""
    return -(-n // 4) * 4
