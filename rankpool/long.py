"""The RankSVM of long sequences and many groups: no pairs and no T x T matrix.

The hinge is smoothed to a width δ: every pair weighs α = C clip((1 - m)/δ, 0, 1), m its margin, which is
feasible in the dual of the hinge itself whatever u is. So each iterate has a certificate, and with
w = Vᵀ Aᵀ α

    primal(u) - dual(α) = ½ ‖u - w‖² + Σ_window C h (1 - h/δ),    h = 1 - m.

Newton's method makes the first term small; then δ shrinks until the second is too. The squared hinge has
α = 2C max(0, h) and the first term only. All sums over pairs take O(T log T) (`_long_kernels.smoothed_sums`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, lapack, solve_triangular

from . import _kernels, _long_kernels
from ._frames import Floats, PairOrder, combine, count_pairs, largest_square, relative_scores
from .certificate import EPSILON, LARGEST, VISIBLE, exact_objectives, rounding_of_dual

ONE_BY_ONE = 10**9  # pairs of the last certificate
_LARGEST = 2048  # features with a full preconditioner, d² floats


class LongSolution(NamedTuple):
    """u and the certificate that goes with it: α from u and `width`, β = Aᵀα in the order of the frames."""

    u: Floats
    beta: Floats
    primal: float
    dual: float
    width: float
    n_iter: int
    w: Floats  # Vᵀβ
    inside: int  # pairs in the window


def solve_long(
    frames: Any, pairs: PairOrder, C: float, squared: bool, tol: float, max_iter: int, progress: Any = None
) -> LongSolution:
    """Newton's method on the smoothed problem, δ falling, until the gap is `tol` of the objective.

    `frames` is dense or CSR, in its own order; `progress`, if given, is called with the relative gap.
    """
    T, d = frames.shape
    width = np.inf if squared else 2.0
    problem = _Problem(frames, pairs)
    u, f = np.zeros(d), np.zeros(T)
    best: LongSolution | None = None
    best_gap = np.inf
    n_iter, since_best = 0, 0
    while True:
        slope = 2 * C if squared else C / width
        now = problem.certificate(u, f, C, squared, width, n_iter)
        primal, gap = now.primal, now.primal - now.dual
        if best is None or gap < best_gap:
            best, best_gap, since_best = now, gap, 0
        elif not np.isfinite(gap):
            break
        if progress is not None:
            progress(gap / max(primal, 1e-300))
        if gap <= tol * primal or n_iter >= max_iter or since_best > 60:
            break
        residual = u - now.w
        lag = 0.5 * float(residual @ residual)
        if not squared and lag <= 0.25 * gap and width > 1e-12:
            # The rest falls as δ² where margins are spread evenly, as δ where few pairs hold u
            width *= min(0.5, max(0.1, float(np.sqrt(0.7 * tol * primal / (gap - lag)))))
            continue
        n_iter, since_best = n_iter + 1, since_best + 1

        p, df = problem.newton(f, width, slope, now.inside, residual, n_iter)
        step = problem.line_search(f, df, width, slope, float(p @ u), float(p @ p), float(p @ residual))
        if step == 0.0:
            break
        u = u + step * p
        f = problem.scores(u) if n_iter % 5 == 0 else f + step * df  # from the frames now and then: rounding
    assert best is not None
    # from the frames: both objectives follow from u as it is returned
    return problem.final_certificate(best.u, C, squared, best.width, n_iter, tol)


def solve_long_in_span(
    frames: Any,
    K: Floats,
    pairs: PairOrder,
    C: float,
    squared: bool,
    tol: float,
    max_iter: int,
    progress: Any = None,
) -> LongSolution:
    """As `solve_long`, for d > T: the Gram matrix K = RᵀR, then Newton's method on the T rows of Rᵀ."""
    T = len(K)
    scale = max(float(np.trace(K)) / T, 1e-300)
    factor, pivots, rank, _ = lapack.dpstrf(K / scale)
    pivots -= 1
    R = np.zeros((T, T))
    R[:, pivots] = np.triu(factor)
    coordinates = np.ascontiguousarray(R[:rank].T)
    coordinates.flags.writeable = False  # as the frames are: one type for the kernels
    found = solve_long(coordinates, pairs, C * scale, squared, 0.5 * tol, max_iter, progress)
    beta = np.zeros(T)
    beta[pivots[:rank]] = solve_triangular(factor[:rank, :rank], found.u) / scale
    beta[0] -= beta.sum()  # the first frame is the origin
    u = np.empty(frames.shape[1])
    combine(frames, beta, u)
    return _Problem(frames, pairs).final_certificate(u, C, squared, found.width, found.n_iter, tol)


class _Problem:
    """Frames and pairs, with scores and β in the order of the pairs."""

    def __init__(self, frames: Any, pairs: PairOrder) -> None:
        self.frames, self.pairs = frames, pairs
        self.segments = _long_kernels.split_in_time(pairs.later, pairs.first, pairs.groups)
        self.straight = bool((pairs.order == np.arange(len(pairs.order))).all())
        self.group = np.repeat(np.arange(len(pairs.groups) - 1), np.diff(pairs.groups))

    def scores(self, u: Floats) -> Floats:
        f = np.empty(len(self.group))
        relative_scores(self.frames, u, f)
        return f if self.straight else f[self.pairs.order]

    def combine(self, beta: Floats, u: Floats) -> float:
        if not self.straight:
            by_frame = np.empty(len(beta))
            by_frame[self.pairs.order] = beta
            beta = by_frame
        return combine(self.frames, beta, u)

    def by_score(self, f: Floats) -> NDArray[np.intp]:
        order = np.argsort(f)
        if len(self.pairs.groups) > 2:
            order = order[np.argsort(self.group[order], kind="stable")]
        return order

    def sums(self, f: Floats, width: float, beta: Floats) -> tuple[float, float, float, int]:
        return _long_kernels.smoothed_sums(f, self.by_score(f), self.pairs.later, self.segments, width, beta)

    def certificate(
        self, u: Floats, f: Floats, C: float, squared: bool, width: float, n_iter: int
    ) -> LongSolution:
        """Evaluate both objectives at u, whose scores are f."""
        beta = np.empty(len(f))
        sums = self.sums(f, width, beta)
        return self._objectives(u, beta, sums, C, squared, width, n_iter)

    def final_certificate(
        self, u: Floats, C: float, squared: bool, width: float, n_iter: int, tol: float
    ) -> LongSolution:
        """As `certificate`, without what the prefix sums round: a narrow window makes much of it.

        700 frames and a width of 2e-7: a dual above the primal by 2e-9 of it. Up to 10^9 pairs go one by one,
        a second at most; above, a bound on the rounding widens the gap: at 20,000 frames of a random walk
        from 5e-4 to 7e-3 (squared hinge).
        """
        f, beta = self.scores(u), np.empty(len(self.group))
        pairs = self.pairs
        count = count_pairs(pairs)
        if count <= ONE_BY_ONE:
            sums = *_kernels.clipped_sums(f, pairs.later, pairs.end, width, beta), 0
            found = self._objectives(u, beta, sums, C, squared, width, n_iter)
            return self._exact_where_it_shows(found, f, C, squared, tol)
        found = self.certificate(u, f, C, squared, width, n_iter)
        span = 1.0 + float(f.max() - f.min())
        rounding = C * 4 * np.finfo(float).eps * len(f) * count * (span * span if squared else span)
        dual = found.dual - (rounding if squared else rounding * max(1.0, 1.0 / width))
        return found._replace(primal=found.primal + rounding, dual=dual)

    def _exact_where_it_shows(
        self, found: LongSolution, f: Floats, C: float, squared: bool, tol: float
    ) -> LongSolution:
        """As `certificate.certify` does."""
        pairs, power = self.pairs, 2 if squared else 1
        if count_pairs(pairs) > LARGEST:
            return found
        largest = largest_square(self.frames)
        rounding = 1.0 + 4 * EPSILON * np.sqrt(largest) * np.linalg.norm(found.u)
        hinges, smaller = (
            C * _kernels.hinge_sum(f / r, pairs.later, pairs.end, power) * r**power for r in (1.0, rounding)
        )
        square = float(found.w @ found.w)
        total = found.dual + 0.5 * square + (hinges if squared else 0.0)
        uncertain = smaller - hinges + rounding_of_dual(square, largest, total)
        if uncertain <= VISIBLE * tol * found.primal:
            return found
        slope, bound = (2 * C, np.inf) if squared else (C / found.width, C)
        exact = exact_objectives(self.frames, pairs, C, power, found.u, None, slope, bound)
        return found if exact is None else found._replace(primal=exact[0], dual=exact[1])

    def _objectives(
        self,
        u: Floats,
        beta: Floats,
        sums: tuple[float, float, float, int],
        C: float,
        squared: bool,
        width: float,
        n_iter: int,
    ) -> LongSolution:
        slope = 2 * C if squared else C / width
        total, hinges, squares, inside = sums
        beta *= slope
        by_frame, w = np.empty(len(beta)), np.empty(len(u))
        by_frame[self.pairs.order] = beta
        square = combine(self.frames, by_frame, w)
        primal = float(0.5 * (u @ u) + C * (squares if squared else hinges))
        dual = float(slope * total - 0.5 * square - (C * squares if squared else 0.0))
        return LongSolution(u, by_frame, primal, dual, float(width), n_iter, w, inside)

    def newton(
        self, f: Floats, width: float, slope: float, inside: int, residual: Floats, seed: int
    ) -> tuple[Floats, Floats]:
        """Solve (I + slope Vᵀ Aᵀ D A V) p = -residual roughly, D the window; return p and V p.

        Conjugate gradients, preconditioned with the same matrix from a sample of the pairs, which is all of
        them where they are few.
        """
        T, d = self.frames.shape
        order = self.by_score(f)
        n = max(3 * d, 2000) if d <= _LARGEST else 2000
        if inside <= max(8 * n, 16 * T):
            n = inside
            ranks = np.arange(n)
        else:  # one at random in each n-th of the window
            jitter = np.random.default_rng(seed).random(n)
            ranks = np.minimum(((np.arange(n) + jitter) * (inside / n)).astype(np.int64), inside - 1)
        i, j = np.empty((2, n), np.intp)
        n = _long_kernels.window_pairs(f, order.copy(), self.pairs.later, self.segments, width, ranks, i, j)
        precondition = self._preconditioner(i[:n], j[:n], slope * inside / max(n, 1))

        w, out = np.empty(d), np.empty(T)

        def hessian(q: Floats) -> tuple[Floats, Floats]:
            dq = self.scores(q)
            _long_kernels.window_laplacian(f, order.copy(), self.pairs.later, self.segments, width, dq, out)
            self.combine(out, w)
            return q + slope * w, dq

        p = precondition(-residual)
        limit = 1e-2 * float(-residual @ p)
        Hp, df = hessian(p)
        r = -residual - Hp
        z = precondition(r)
        q, rz = z, float(r @ z)
        for _ in range(50 if d <= _LARGEST else 200):
            if not rz > limit:
                break
            Hq, dq = hessian(q)
            curvature = float(q @ Hq)
            if not curvature > 0:
                break
            a = rz / curvature
            p, df, r = p + a * q, df + a * dq, r - a * Hq
            z = precondition(r)
            rz, previous = float(r @ z), rz
            q = z + rz / previous * q
        if not float(p @ residual) < 0:
            p = -residual
            df = self.scores(p)
        return p, df

    def _preconditioner(self, i: NDArray[np.intp], j: NDArray[np.intp], weight: float) -> Any:
        """Return the solve with I + weight Σ (v_j - v_i)(v_j - v_i)ᵀ over the pairs given."""
        T, d = self.frames.shape
        if not self.straight:
            i, j = self.pairs.order[i], self.pairs.order[j]
        if d > _LARGEST:  # its diagonal
            diagonal = np.ones(d)
            for start in range(0, len(i), 256):
                part = slice(start, start + 256)
                D = self.frames[j[part]] - self.frames[i[part]]
                if isinstance(D, np.ndarray):
                    diagonal += weight * np.einsum("nk,nk->k", D, D)
                else:
                    diagonal += weight * np.asarray(D.multiply(D).sum(axis=0)).ravel()
            return lambda r: r / diagonal
        M = np.zeros((d, d))
        rows = max(64, 2**22 // d)
        if len(i) > T:
            # the Laplacian of the sample: T d² beats a product of d² for every pair
            W = sparse.csr_matrix((np.ones(len(i)), (i, j)), shape=(T, T))
            degree = np.bincount(i, minlength=T) + np.bincount(j, minlength=T)
            L = (sparse.diags(degree.astype(np.float64)) - W - W.T).tocsr()
            for start in range(0, T, rows):
                part = slice(start, start + rows)
                product = self.frames[part].T @ (L[part] @ self.frames)
                M += product if isinstance(product, np.ndarray) else product.toarray()
            M = 0.5 * (M + M.T)
        else:
            for start in range(0, len(i), rows):
                part = slice(start, start + rows)
                D = self.frames[j[part]] - self.frames[i[part]]
                D = D.astype(np.float64, copy=False) if isinstance(D, np.ndarray) else D.toarray()
                M += D.T @ D
        M *= weight
        diagonal = np.einsum("ii->i", M)
        diagonal += 1.0 + 1e-13 * diagonal.max()
        try:
            factor = cho_factor(M, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            diagonal = diagonal.copy()
            return lambda r: r / diagonal
        return lambda r: cho_solve(factor, r, check_finite=False)

    def line_search(
        self, f: Floats, df: Floats, width: float, slope: float, pu: float, pp: float, slope_0: float
    ) -> float:
        """Return a step at which the derivative along p is within 0.3 of its start, or 0 if there is none.

        The derivative rises with the step (the objective is convex), so its root is bracketed.
        """
        beta = np.empty(len(f))

        def derivative(step: float) -> float:
            self.sums(f + step * df, width, beta)
            return pu + step * pp - slope * float(beta @ df)

        low, g_low, high, g_high = 0.0, slope_0, 1.0, derivative(1.0)
        enough = 0.3 * abs(slope_0)
        while g_high < -enough and high < 1e6:
            low, g_low, high = high, g_high, 4 * high
            g_high = derivative(high)
        step, g = high, g_high
        for _ in range(40):
            if abs(g) <= enough:
                return step
            step = low - g_low * (high - low) / (g_high - g_low)
            step = min(max(step, low + 0.1 * (high - low)), high - 0.1 * (high - low))
            g = derivative(step)
            if g < 0:
                low, g_low = step, g
            else:
                high, g_high = step, g
        return low
