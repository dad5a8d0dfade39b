"""Numba kernels: the augmented Lagrangian.

A round minimises, over u,

    1/2 |u|^2 + sum of (h + delta base)_+^2 / (2 (delta + q)), linear from where the multiplier is `bound`,

h = 1 - m, so that each pair's multiplier is clip((h + delta base)/(delta + q), 0, bound): feasible in the
dual whatever u is. The hinge has bound = C and q = 0, the squared hinge no bound and q = 1/(2C). Inside the
bounds a pair curves the objective: these pairs are the window. Pairs are packed as in `_kernels.py`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._compilation import kernel, part
from ._dense_kernels import (
    add_products,
    cholesky,
    copy,
    dot,
    mirror,
    row_products,
    row_sum,
    solve_lower,
    solve_lower_transposed,
    symmetric_product,
)
from ._kernels import pair_matrix

# What M holds, a factor of an earlier step's curvature: of the matrix itself, or of that in the frames
NOTHING, ITSELF, IN_FRAMES = 0, 1, 2


class Problem(NamedTuple):
    """Frames scaled to unit mean square, as K = R^T R, their pairs, and what a pair costs."""

    K: NDArray[np.float64]  # T x T
    R: NDArray[np.float64]  # `rank` rows and T columns, padded with zeros
    rank: int
    later: NDArray[np.intp]
    end: NDArray[np.intp]
    C: float
    squared: bool
    pivots: NDArray[np.intp]  # `rank` frames
    lower: NDArray[np.float64]  # the Cholesky factor of their Gram matrix, or 0 x 0: see `_factor_in_frames`
    inverse: NDArray[np.float64]  # its inverse, or 0 x 0


class Iterates(NamedTuple):
    """What the steps change: coordinates of u and multipliers of the pairs."""

    z: NDArray[np.float64]
    base: NDArray[np.float64]  # the multipliers at the end of the last round
    best_z: NDArray[np.float64]
    best_alpha: NDArray[np.float64]


class Workspace(NamedTuple):
    """Where to work, padded as R is; M also what to keep."""

    L: NDArray[np.float64]  # T x T
    RL: NDArray[np.float64]  # as R
    M: NDArray[np.float64]  # rank x rank


class State(NamedTuple):
    """What the next call needs beside the iterates."""

    delta: float
    steps: int = 0  # of this round
    best_primal: float = np.inf
    best_dual: float = -np.inf
    last_gap: float = np.inf  # at the end of the last round
    stalled: int = 0  # rounds since that fell
    n_iter: int = 0
    kept: int = NOTHING  # M is the factor of an earlier step: worth it where one takes longer than all else


@kernel
def augmented_lagrangian(problem, enough, max_iter, iterates, state, workspace):
    """Semismooth Newton steps on z = R A^T alpha, in rounds of the method of multipliers.

    The scores are f = R^T z. A round moves `base` to the multipliers that it found; delta falls as long as
    rounds stay short. A step solves with the window's pairs, a matrix of their number, or, where they are
    more than the rank, with I + R A^T D A R^T / (delta + q).

    Takes up to max_iter steps, and returns whether there is nothing left to do, a gap of `enough` times the
    objective, or rounding, and the state for the next call: a long problem, one step a call, can be watched
    and interrupted; a short one is a single call, so that threads over clips need not wait for the
    interpreter.

    The four tuples come as plain ones, which Numba knows in 1 us; named, they take 6: 4 % of T = 20.
    """
    problem, workspace = Problem(*problem), Workspace(*workspace)
    R, later, end, C, squared = problem.R, problem.later, problem.end, problem.C, problem.squared
    z, base, best_z, best_alpha = iterates
    T = later.size
    rows, width = R.shape
    power = 2 if squared else 1
    q = 0.5 / C if squared else 0.0
    bound = np.inf if squared else C
    delta, steps, best_primal, best_dual, last_gap, stalled, n_iter, kept = state
    f, df, beta = np.zeros(width), np.zeros(width), np.zeros(width)
    residual, g, p, trial = np.zeros(rows), np.zeros(rows), np.zeros(rows), np.zeros(rows)
    alpha = np.empty(base.size)
    last = n_iter + max_iter

    row_sum(R, z, f)
    sums = multipliers(f[:T], base, later, end, delta, q, bound, power, alpha, beta[:T])
    while True:
        total, square, losses, moved, inside = sums
        row_products(R, beta, g)
        for k in range(rows):
            residual[k] = z[k] - g[k]
        lag = 0.5 * dot(residual, residual)
        primal = 0.5 * dot(z, z) + C * losses
        dual = total - 0.5 * dot(g, g) - 0.5 * q * square
        if primal < best_primal:
            best_primal = primal
            copy(z, best_z)
        if dual > best_dual:
            best_dual = dual
            copy(alpha, best_alpha)
        gap = best_primal - best_dual
        # No `State`: Numba makes named tuples by calling Python, and where Ctrl-C strikes there, segfaults.
        state = (delta, steps, best_primal, best_dual, last_gap, stalled, n_iter, kept)
        if gap <= enough * best_primal or not np.isfinite(primal):
            return True, state
        if n_iter == last:
            return False, state

        slope_0 = 0.0
        if steps == 0 or lag > max(0.1 * abs(primal - dual - lag), 0.5 * delta * moved):
            slope_0, kept = direction(problem, alpha, bound, delta + q, inside, residual, kept, workspace, p)
            if T < 150:
                kept = NOTHING
        if not slope_0 < 0.0 or dot(p, p) < 1e-31 * dot(z, z) or steps > 100:  # the round is over
            if delta * C > 1.0:  # far from what lets the multipliers reach C
                delta = max(0.01 * delta, 1.0 / C)
            else:
                stalled = stalled + 1 if gap > 0.9 * last_gap else 0
                if stalled == 8 or delta == 0.0:
                    return True, state
                if squared:
                    delta = 0.0
                elif steps <= 3 or gap > 0.5 * last_gap:  # a round was cheap, or gained little
                    shrink = 0.2 if steps <= 1 else 0.5 if steps <= 3 else 0.7
                    delta = max(delta * shrink, min(1e-12, 1e-3 / C))
                last_gap = gap
            copy(alpha, base)
            steps = 0
            sums = multipliers(f[:T], base, later, end, delta, q, bound, power, alpha, beta[:T])
            continue
        n_iter += 1
        steps += 1

        # A step at which the derivative is within 0.3 of its start. It rises with the step: bracket its root
        row_sum(R, p, df)
        along, norm = dot(p, z), dot(p, p)
        low, low_slope, high, high_slope = 0.0, slope_0, 1.0, 0.0
        step = 1.0
        for n in range(40):
            for k in range(rows):
                trial[k] = z[k] + step * p[k]
            row_sum(R, trial, f)  # not f + step df: p may be large, and the next one take it back
            sums = multipliers(f[:T], base, later, end, delta, q, bound, power, alpha, beta[:T])
            slope = along + step * norm - dot(beta, df)
            if abs(slope) <= -0.3 * slope_0 or (n == 0 and slope < 0.0):
                break
            if slope < 0.0:
                low, low_slope = step, slope
            else:
                high, high_slope = step, slope
            step = low - low_slope * (high - low) / (high_slope - low_slope)
            step = min(max(step, low + 0.1 * (high - low)), high - 0.1 * (high - low))
        copy(trial, z)


@part
def direction(problem, alpha, bound, ridge, inside, residual, kept, workspace, p):
    """Solve (I + R A^T D A R^T / ridge) p = -residual, roughly; the window D has `inside` pairs.

    `kept` says what M is. Returns the derivative along p, and what M is for later steps.
    """
    K, R, rank, later, end = problem.K, problem.R, problem.rank, problem.later, problem.end
    M = workspace.M
    weight = 1.0 / ridge
    T = later.size
    few = inside <= rank or 16 * inside < T * T
    i, j = np.empty(inside if few else 0, np.intp), np.empty(inside if few else 0, np.intp)
    if few:
        list_window(alpha, later, end, bound, i, j)
    if inside <= rank:
        # (I + B B^T / ridge)^-1 = I - B (ridge I + B^T B)^-1 B^T with B = R A^T
        kept = NOTHING
        pair_matrix(K, i, j, ridge, M)
        if cholesky(M, inside):
            scores = np.zeros(R.shape[1])
            row_sum(R, residual, scores)
            x = np.empty(inside)
            for k in range(inside):
                x[k] = scores[j[k]] - scores[i[k]]
            solve_lower(M, x)
            solve_lower_transposed(M, x)
            scores[:] = 0.0
            for k in range(inside):
                scores[j[k]] += x[k]
                scores[i[k]] -= x[k]
            row_products(R, scores, p)
            for k in range(p.size):
                p[k] -= residual[k]
            start = dot(p, residual)
            if start < 0.0:
                return start, NOTHING
    # the window is large, or its pairs leave u next to no freedom
    if kept == ITSELF and _conjugate_gradients(problem, alpha, bound, weight, residual, M, p):
        return dot(p, residual), ITSELF
    if problem.inverse.size > 0:
        for new in range(
            0 if kept == IN_FRAMES else 1, 2
        ):  # with the factor that is kept, then with a new one
            if new and not _factor_in_frames(problem, alpha, bound, weight, workspace):
                break
            if _gradients_in_frames(problem, alpha, bound, weight, residual, M, p):
                return dot(p, residual), IN_FRAMES
    if not _factor_curvature(problem, alpha, bound, i, j, weight, workspace):
        return 0.0, NOTHING
    for k in range(p.size):
        p[k] = -residual[k]
    solve_lower(M, p[:rank])
    solve_lower_transposed(M, p[:rank])
    return dot(p, residual), ITSELF


@part
def _conjugate_gradients(problem, alpha, bound, weight, residual, M, p):
    """Solve (I + weight R A^T D A R^T) p = -residual to a tenth; M is the factor of an earlier such matrix.

    Returns whether that took at most 15 iterations. A new factor takes forty times one of them (T = 2000).
    """
    R, rank, later, end = problem.R, problem.rank, problem.later, problem.end
    T = later.size
    width = R.shape[1]
    scores, product = np.zeros(width), np.zeros(width)
    p[:] = 0.0
    r, z, Hq = np.empty(rank), np.empty(rank), np.empty(R.shape[0])
    for k in range(rank):
        r[k] = z[k] = -residual[k]
    solve_lower(M, z)
    solve_lower_transposed(M, z)
    q = np.zeros(R.shape[0])
    copy(z, q)
    rz = dot(r, z)
    limit = 1e-2 * rz
    for _ in range(15):
        row_sum(R, q, scores)
        window_product(alpha, later, end, bound, scores[:T], product[:T])
        row_products(R, product, Hq)
        for k in range(q.size):
            Hq[k] = q[k] + weight * Hq[k]
        curvature = dot(q, Hq)
        if not curvature > 0.0:
            return False
        step = rz / curvature
        for k in range(q.size):
            p[k] += step * q[k]
        for k in range(rank):
            r[k] -= step * Hq[k]
            z[k] = r[k]
        solve_lower(M, z)
        solve_lower_transposed(M, z)
        previous = rz
        rz = dot(r, z)
        if rz <= limit:
            return True
        for k in range(rank):
            q[k] = z[k] + rz / previous * q[k]
    return False


@part
def _gradients_in_frames(problem, alpha, bound, weight, residual, M, p):
    """As `_conjugate_gradients`, where M is the factor of K^-1 + weight A^T D A, of the pivots.

    S^-1 times the equation, S the columns of R at the pivots, is (K^-1 + weight A^T D A) S^T p = -S^-1
    residual: the same iterates at half the price, for K^-1 is one matrix and R and R^T are two.
    """
    rank, later, end, pivots = problem.rank, problem.later, problem.end, problem.pivots
    lower, inverse = problem.lower, problem.inverse  # lower = S^T
    T = later.size
    scores, product = np.zeros(T), np.zeros(T)
    x, r, z, q, Hq = np.zeros(rank), np.empty(rank), np.empty(rank), np.zeros(rank), np.empty(rank)
    for k in range(rank):
        r[k] = -residual[k]
    solve_lower_transposed(lower, r)
    rz, limit = 1.0, 0.0
    for n in range(16):
        copy(r, z)
        solve_lower(M, z)
        solve_lower_transposed(M, z)
        previous = rz
        rz = dot(r, z)
        if n == 0:
            limit = 1e-2 * rz
        elif rz <= limit:
            solve_lower(lower, x)
            p[:] = 0.0
            copy(x, p[:rank])
            return True
        for k in range(rank):
            q[k] = z[k] + rz / previous * q[k]
            scores[pivots[k]] = q[k]
        window_product(alpha, later, end, bound, scores, product)
        symmetric_product(inverse, q, Hq)
        for k in range(rank):
            Hq[k] += weight * product[pivots[k]]
        curvature = dot(q, Hq)
        if not curvature > 0.0:
            return False
        step = rz / curvature
        for k in range(rank):
            x[k] += step * q[k]
            r[k] -= step * Hq[k]
    return False


@part
def _factor_in_frames(problem, alpha, bound, weight, workspace):
    """Write the Cholesky factor of K^-1 + weight A^T D A, of the pivots, to M; False if rounding forbids.

    No product of two matrices: a tenth of the work of `_factor_curvature`. Less exact where K is
    ill-conditioned, so that it only preconditions.
    """
    rank, inverse, pivots = problem.rank, problem.inverse, problem.pivots
    L, M = workspace.L, workspace.M
    T = problem.later.size
    window_laplacian_of_pairs(alpha, problem.later, problem.end, bound, L[:T, :T])
    for k in range(rank):
        row, known, out = L[pivots[k]], inverse[k], M[k]
        for m in range(k + 1):
            out[m] = known[m] + weight * row[pivots[m]]
    return cholesky(M, rank)


@part
def _factor_curvature(problem, alpha, bound, i, j, weight, workspace):
    """Write the Cholesky factor of I + weight R A^T D A R^T to M; False if rounding forbids.

    i, j are the window's pairs, or empty where they are many.
    """
    R, rank, later, end = problem.R, problem.rank, problem.later, problem.end
    L, RL, M = workspace
    T = later.size
    RL[:] = 0.0
    if i.size > 0:
        for k in range(rank):
            row, out = R[k], RL[k]
            for p in range(i.size):
                x = row[j[p]] - row[i[p]]
                out[j[p]] += x
                out[i[p]] -= x
    else:
        window_laplacian_of_pairs(alpha, later, end, bound, L[:T, :T])
        add_products(R, rank, L, T, T, np.bool_(False), RL)
    for ridge in (0.0, 1e-14, 1e-11):
        M[:] = 0.0
        add_products(RL, rank, R, rank, T, np.bool_(True), M)
        largest = 0.0
        for k in range(rank):
            largest = max(largest, M[k, k])
        for k in range(rank):
            for m in range(k + 1):
                M[k, m] *= weight
            M[k, k] += 1.0 + ridge * (1.0 + weight * largest)
        if cholesky(M, rank):
            return True
    return False


@kernel
def multipliers(f, base, later, end, delta, q, bound, power, out, beta):
    """Write the pairs' multipliers to `out` and beta = A^T out.

    Returns the sums of out, of out^2, of max(0, h)^power and of (out - base)^2, and the pairs of the window.
    In the third h is taken smaller by the rounding of a score: where C is large, each margin of 1 - 1e-15
    would seem to cost more than all else.
    """
    T = f.size
    largest = 0.0
    for t in range(T):
        largest = max(largest, abs(f[t]))
    rounding = 1e-15 * (1.0 + largest)
    scale = 1.0 / (delta + q)
    beta[:] = 0.0
    total, square, losses, moved, inside = 0.0, 0.0, 0.0, 0.0, 0
    p = 0
    for i in range(T):
        n = end[i] - later[i]
        b, o = base[p : p + n], out[p : p + n]
        fj, bj = f[later[i] : end[i]], beta[later[i] : end[i]]
        top = 1.0 + f[i]
        acc = 0.0
        acc_square = 0.0
        acc_loss = 0.0
        acc_moved = 0.0
        acc_inside = 0.0
        for k in range(n):
            h = top - fj[k]
            a = min(max((h + delta * b[k]) * scale, 0.0), bound)
            o[k] = a
            bj[k] += a
            acc += a
            acc_square += a * a
            acc_moved += (a - b[k]) * (a - b[k])
            acc_inside += 1.0 if (a > 0.0) & (a < bound) else 0.0
            h = max(h - rounding, 0.0)
            acc_loss += h if power == 1 else h * h
        beta[i] -= acc
        total += acc
        square += acc_square
        losses += acc_loss
        moved += acc_moved
        inside += int(acc_inside)
        p += n
    return total, square, losses, moved, inside


@part
def list_window(alpha, later, end, bound, i_out, j_out):
    """Write the pairs whose alpha lies inside the bounds."""
    count, p = 0, 0
    for i in range(later.size):
        for j in range(later[i], end[i]):
            if (alpha[p] > 0.0) & (alpha[p] < bound):
                i_out[count], j_out[count] = i, j
                count += 1
            p += 1


@part
def window_product(alpha, later, end, bound, x, out):
    """Write out = A^T D A x, D one for the pairs whose alpha lies inside the bounds and zero for others."""
    out[:] = 0.0
    p = 0
    for i in range(later.size):
        n = end[i] - later[i]
        a, xj, oj = alpha[p : p + n], x[later[i] : end[i]], out[later[i] : end[i]]
        xi = x[i]
        acc = 0.0
        for k in range(n):
            w = xj[k] - xi if (a[k] > 0.0) & (a[k] < bound) else 0.0
            oj[k] += w
            acc += w
        out[i] -= acc
        p += n


@part
def window_laplacian_of_pairs(alpha, later, end, bound, L):
    """Write L = A^T D A, D as in `window_product`."""
    T = later.size
    degree = np.zeros(T)
    p = 0
    for i in range(T):
        lo = later[i]
        n = end[i] - lo
        a, dj, Lj = alpha[p : p + n], degree[lo : end[i]], L[i, lo : end[i]]
        acc = 0.0
        for k in range(n):
            w = 1.0 if (a[k] > 0.0) & (a[k] < bound) else 0.0
            Lj[k] = -w
            dj[k] += w
            acc += w
        L[i, i] = degree[i] + acc  # the frames before i have passed: complete
        L[i, i + 1 : lo] = 0.0
        L[i, end[i] : T] = 0.0
        p += n
    mirror(L.T)
