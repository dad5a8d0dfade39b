"""Numba kernels: the frames (T x d) and the pairs of frames, O(T^2).

Pairs are packed. Frames are sorted by group and time; `later[i]` is the first frame later than frame i and
`end[i]` the first one past its group, so that the pairs of frame i are (i, later[i]), ..., (i, end[i] - 1),
stored one after the other: each inner loop below runs over one contiguous row of pairs.

Sums are reassociated (`fastmath={"reassoc"}`) so that LLVM vectorises them; the order is fixed when the
kernel is compiled, so the same input gives the same bits. Nothing here assumes that NaN does not occur.
"""

import numpy as np
from numba import njit

_jit = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})


# -- frames -----------------------------------------------------------------------------------------------


@_jit
def relative_panel(V, start, width, out):
    """Write out[t, k] = V[t, start + k] - V[0, start + k] for k < width."""
    first = V[0, start : start + width]
    for t in range(V.shape[0]):
        row, o = V[t, start : start + width], out[t, :width]
        for k in range(width):
            o[k] = np.float64(row[k]) - np.float64(first[k])


@_jit
def whole_panel(V, start, width, unit, out):
    """Write out[t, k] = unit (V[t, start + k] - V[0, start + k]) for k < width.

    Returns whether these are whole numbers and their squares add up to less than 2^24 in each row: then
    float32 holds all dot products of the rows exactly.
    """
    first = V[0, start : start + width]
    for t in range(V.shape[0]):
        row, o = V[t, start : start + width], out[t, :width]
        fraction = 0.0
        square = 0.0
        for k in range(width):
            x = unit * (np.float64(row[k]) - np.float64(first[k]))
            o[k] = x
            fraction += abs(x - np.trunc(x))
            square += x * x
        if not (fraction == 0.0 and square < 16777216.0):
            return False
    return True


@_jit
def whole_unit(row):
    """Return the smallest of 1, 2, 4, ..., 4096 whose product with all of the row is whole, or 0."""
    unit = 1.0
    for k in range(row.size):
        x = unit * np.float64(row[k])
        while x != np.trunc(x):
            unit *= 2.0
            x *= 2.0
            if unit > 4096.0:
                return 0.0
    return unit


@_jit
def add_gram(V, start, unit, panel, K):
    """Add (v_s - v_0)^T (v_t - v_0), s <= t, from column `start` on; `panel` is where to work.

    A float32 panel holds unit times the differences, so that unit^2 times that is added, and stops where it
    would not be exact. Returns the first column not added.
    """
    d = V.shape[1]
    exact = panel.itemsize == 8
    while start < d:
        width = min(panel.shape[1], d - start)
        if exact:
            relative_panel(V, start, width, panel)
        elif not whole_panel(V, start, width, unit, panel):
            break
        _multiply(panel, panel, width, K, True)
        start += width
    return start


@_jit
def weigh(V, beta, other, panel, u, f):
    """Write u = V^T beta and f = V u, relative to the first frame; returns u^T u and |V^T other|^2.

    beta and other sum to zero. A panel of columns at a time, so that V passes once through the memory.
    """
    T, d = V.shape
    w = np.empty(panel.shape[1])
    f[:] = 0.0
    square = 0.0
    other_square = 0.0
    for start in range(0, d, w.size):
        width = min(w.size, d - start)
        first, o, x = V[0, start : start + width], u[start : start + width], w[:width]
        o[:] = 0.0
        x[:] = 0.0
        for t in range(1, T):
            frame, row = V[t, start : start + width], panel[t, :width]
            b, c = beta[t], other[t]
            for k in range(width):
                y = np.float64(frame[k]) - np.float64(first[k])
                row[k] = y
                o[k] += b * y
                x[k] += c * y
        for k in range(width):
            square += o[k] * o[k]
            other_square += x[k] * x[k]
        for t in range(1, T):
            row = panel[t, :width]
            acc = 0.0
            for k in range(width):
                acc += row[k] * o[k]
            f[t] += acc
    return square, other_square


@_jit
def combine(V, beta, u):
    """Write u = sum_t beta_t (v_t - v_0), which is V^T beta where beta sums to zero; returns u^T u."""
    T, d = V.shape
    square = 0.0
    for start in range(0, d, 1024):  # 8 KB of u at a time stay in L1 while all frames pass
        width = min(1024, d - start)
        o = u[start : start + width]
        first = V[0, start : start + width]
        o[:] = 0.0
        for t in range(1, T):
            row = V[t, start : start + width]
            b = beta[t]
            for k in range(width):
                o[k] += b * (np.float64(row[k]) - np.float64(first[k]))
        for k in range(width):
            square += o[k] * o[k]
    return square


@_jit
def relative_scores(V, u, f):
    """Write f_t = u^T (v_t - v_0): the differences of scores without the offset that all frames share."""
    T, d = V.shape
    f[:] = 0.0
    for start in range(0, d, 1024):
        width = min(1024, d - start)
        w = u[start : start + width]
        first = V[0, start : start + width]
        for t in range(1, T):
            row = V[t, start : start + width]
            acc = 0.0
            for k in range(width):
                acc += w[k] * (np.float64(row[k]) - np.float64(first[k]))
            f[t] += acc


# -- pairs ------------------------------------------------------------------------------------------------


@_jit
def largest_margin(f, later, end):
    """Return the largest f_j - f_i over the pairs."""
    T = f.size
    best = f.copy()  # of the frames from i to the end of its group
    largest = -np.inf
    for i in range(T - 1, -1, -1):
        if i + 1 < end[i]:
            best[i] = max(f[i], best[i + 1])
        if later[i] < end[i]:
            largest = max(largest, best[later[i]] - f[i])
    return largest


@_jit
def hinge_sum(f, later, end, power):
    """Sum of max(0, 1 - (f_j - f_i))^power over the pairs, power 1 or 2."""
    T = f.size
    total = 0.0
    for i in range(T):
        fj = f[later[i] : end[i]]
        top = 1.0 + f[i]
        acc = 0.0
        if power == 1:
            for k in range(fj.size):
                acc += max(0.0, top - fj[k])
        else:
            for k in range(fj.size):
                h = max(0.0, top - fj[k])
                acc += h * h
        total += acc
    return total


@_jit
def pair_sums(alpha, later, end, beta):
    """Write beta = A^T alpha, what each frame gets as the later of its pairs minus as the earlier.

    Returns the sums of alpha and of alpha^2.
    """
    T = beta.size
    beta[:] = 0.0
    total = 0.0
    square = 0.0
    p = 0
    for i in range(T):
        n = end[i] - later[i]
        a = alpha[p : p + n]
        bj = beta[later[i] : end[i]]
        acc = 0.0
        for k in range(n):
            bj[k] += a[k]
            acc += a[k]
            square += a[k] * a[k]
        beta[i] -= acc
        total += acc
        p += n
    return total, square


# The interior point. Of each pair, with margin m, the hinge asks 0 <= alpha <= C, s = m - 1 + xi,
# alpha s = mu and (C - alpha) xi = mu; the squared hinge 0 <= alpha, s = m - 1 + alpha/(2C) and alpha s = mu:
# it has no xi.


@_jit
def start_slacks(f, later, end, s, xi):
    """Write s = max(0, m - 1) + offset and xi = max(0, 1 - m) + offset: both positive, s - xi = m - 1.

    The offset is five times 1 + the root mean square of the margins, and twenty times from 300 frames on:
    T = 68 takes 11 to 13 iterations, with twenty 14 to 16; all but separable walks of 500 and 1000 frames
    took 32 and 82, with twenty 15 and 52, but 500 frames of unit norm 19 and 27.
    """
    T = f.size
    square = 0.0
    for i in range(T):
        fj = f[later[i] : end[i]]
        for k in range(fj.size):
            square += (fj[k] - f[i]) ** 2
    offset = (5.0 if T < 300 else 20.0) * (1.0 + np.sqrt(square / s.size))
    p = 0
    for i in range(T):
        n = end[i] - later[i]
        si, x, fj = s[p : p + n], xi[p : p + n], f[later[i] : end[i]]
        top = 1.0 + f[i]
        for k in range(n):
            e = fj[k] - top
            si[k] = max(0.0, e) + offset
            x[k] = max(0.0, -e) + offset
        p += n


@_jit
def barrier_weights(alpha, s, xi, f, later, end, C, squared, weight, h, L):
    """Weights and right-hand sides of the pairs, and the Newton matrix.

    weight = 1 / (s/alpha + xi/(C - alpha)), h = 1 - m; for the squared hinge weight = 1 / (s/alpha + 1/(2C)),
    h = 1 - m - alpha/(2C). L = A^T diag(weight) A is the Laplacian of the frames with these weights between
    them. Returns the sum of alpha s + (C - alpha) xi.
    """
    T = f.size
    q = 0.5 / C
    degree = np.zeros(T)
    total = 0.0
    p = 0
    for i in range(T):
        lo = later[i]
        n = end[i] - lo
        a, si, x = alpha[p : p + n], s[p : p + n], xi[p : p + n]
        w, hi = weight[p : p + n], h[p : p + n]
        fj, dj, Lj = f[lo : end[i]], degree[lo : end[i]], L[i, lo : end[i]]
        top = 1.0 + f[i]
        if squared:
            for k in range(n):
                w[k] = a[k] / (si[k] + q * a[k])
                hi[k] = top - fj[k] - q * a[k]
                total += a[k] * si[k]
        else:
            for k in range(n):
                b = C - a[k]
                w[k] = a[k] * b / (si[k] * b + x[k] * a[k])
                hi[k] = top - fj[k]
                total += a[k] * si[k] + b * x[k]
        acc = 0.0
        for k in range(n):
            Lj[k] = -w[k]
            dj[k] += w[k]
            acc += w[k]
        L[i, i] = degree[i] + acc  # the frames before i have passed: complete
        L[i, i + 1 : lo] = 0.0
        L[i, end[i] : T] = 0.0
        p += n
    mirror(L)
    return total


@_jit
def barrier_rhs(alpha, later, end, C, squared, weight, h, ts, txi, g):
    """Write g = A^T (weight (h + ts/alpha - txi/(C - alpha))).

    ts and txi are what alpha s and (C - alpha) xi are to become, less their second-order change.
    """
    T = g.size
    g[:] = 0.0
    p = 0
    for i in range(T):
        lo = later[i]
        n = end[i] - lo
        a, w, hi = alpha[p : p + n], weight[p : p + n], h[p : p + n]
        tsi, txii = ts[p : p + n], txi[p : p + n]
        gj = g[lo : end[i]]
        acc = 0.0
        if squared:
            for k in range(n):
                wh = w[k] * (hi[k] + tsi[k] / a[k])
                gj[k] += wh
                acc += wh
        else:
            for k in range(n):
                b = C - a[k]
                wh = w[k] * (hi[k] + (tsi[k] * b - txii[k] * a[k]) / (a[k] * b))
                gj[k] += wh
                acc += wh
        g[i] -= acc
        p += n


@_jit
def barrier_direction(alpha, s, xi, later, end, C, squared, weight, h, df, ts, txi, da, ds, dxi):
    """Write the directions of alpha, s and xi, df being that of the scores.

    Returns the largest -direction/value (its inverse is the step to the boundary), and the first- and second-
    order change of the sum of alpha s + (C - alpha) xi along the direction.
    """
    T = df.size
    ratio = np.empty(T)
    as_integers = ratio.view(np.int64)  # ordered alike from 0 on; the largest float LLVM would not vectorise
    worst = 0
    lin = 0.0
    quad = 0.0
    p = 0
    for i in range(T):
        n = end[i] - later[i]
        a, si, x = alpha[p : p + n], s[p : p + n], xi[p : p + n]
        w, hi = weight[p : p + n], h[p : p + n]
        tsi, txii = ts[p : p + n], txi[p : p + n]
        dai, dsi, dxii = da[p : p + n], ds[p : p + n], dxi[p : p + n]
        dfj = df[later[i] : end[i]]
        dfi = df[i]
        if squared:
            for k in range(n):
                r = 1.0 / (a[k] * si[k])  # one division for 1/alpha and 1/s
                ra = r * si[k]
                qs = tsi[k] * ra
                d = w[k] * (hi[k] + qs - (dfj[k] - dfi))
                es = qs - si[k] - si[k] * ra * d
                dai[k] = d
                dsi[k] = es
                lin += a[k] * es + si[k] * d
                quad += d * es
                ratio[k] = max(0.0, max(-d * ra, -es * (r * a[k])))
        else:
            for k in range(n):
                b = C - a[k]
                r = 1.0 / (a[k] * si[k])
                q = 1.0 / (b * x[k])
                ra = r * si[k]
                rb = q * x[k]
                qs = tsi[k] * ra
                qx = txii[k] * rb
                d = w[k] * (hi[k] + qs - qx - (dfj[k] - dfi))
                es = qs - si[k] - si[k] * ra * d
                ex = qx - x[k] + x[k] * rb * d
                dai[k] = d
                dsi[k] = es
                dxii[k] = ex
                lin += a[k] * es + si[k] * d + b * ex - x[k] * d
                quad += d * (es - ex)
                ratio[k] = max(max(-d * ra, d * rb), max(0.0, max(-es * (r * a[k]), -ex * (q * b))))
        for k in range(n):
            worst = max(worst, as_integers[k])
        p += n
    as_integers[0] = worst
    return ratio[0], lin, quad


@_jit
def second_order_targets(mu, squared, da, ds, dxi, ts, txi):
    """Mehrotra's corrector: ts = mu - da ds, txi = mu + da dxi."""
    for p in range(ts.size):
        ts[p] = mu - da[p] * ds[p]
    if not squared:
        for p in range(ts.size):
            txi[p] = mu + da[p] * dxi[p]


@_jit
def centrality_targets(mu, step, alpha, s, xi, C, squared, da, ds, dxi, ts, txi):
    """Gondzio's corrector: the products at `step`, where outside [mu/10, 10 mu], are moved towards it."""
    for p in range(ts.size):
        product = (alpha[p] + step * da[p]) * (s[p] + step * ds[p])
        ts[p] += max(min(max(product, 0.1 * mu), 10.0 * mu) - product, -10.0 * mu)
    if not squared:
        for p in range(ts.size):
            product = (C - alpha[p] - step * da[p]) * (xi[p] + step * dxi[p])
            txi[p] += max(min(max(product, 0.1 * mu), 10.0 * mu) - product, -10.0 * mu)


# -- dense algebra ------------------------------------------------------------------------------------------
#
# Ours and not BLAS: most matrices are small, all of it runs inside one kernel, and BLAS takes threads. On two
# busy cores OpenBLAS with its default of two made one rank_svm (T = 68, d = 16384) take 16 to 300 ms instead
# of 2 to 6. Matrices are row-major, and those that are multiplied have rows padded to a multiple of 4.


@_jit
def _dots(P, i, Q, j, k0, k1):
    """Products of rows i..i+3 of P with rows j..j+3 of Q, over their columns k0..k1.

    Sixteen sums to eight loads: LLVM makes each sum a vector, and the loop is all multiply-adds.
    """
    zero = P.dtype.type(0)
    a0, a1, a2, a3 = P[i, k0:k1], P[i + 1, k0:k1], P[i + 2, k0:k1], P[i + 3, k0:k1]
    b0, b1, b2, b3 = Q[j, k0:k1], Q[j + 1, k0:k1], Q[j + 2, k0:k1], Q[j + 3, k0:k1]
    c00, c01, c02, c03 = zero, zero, zero, zero
    c10, c11, c12, c13 = zero, zero, zero, zero
    c20, c21, c22, c23 = zero, zero, zero, zero
    c30, c31, c32, c33 = zero, zero, zero, zero
    for k in range(k1 - k0):
        x0, x1, x2, x3 = a0[k], a1[k], a2[k], a3[k]
        y0, y1, y2, y3 = b0[k], b1[k], b2[k], b3[k]
        c00 += x0 * y0
        c01 += x0 * y1
        c02 += x0 * y2
        c03 += x0 * y3
        c10 += x1 * y0
        c11 += x1 * y1
        c12 += x1 * y2
        c13 += x1 * y3
        c20 += x2 * y0
        c21 += x2 * y1
        c22 += x2 * y2
        c23 += x2 * y3
        c30 += x3 * y0
        c31 += x3 * y1
        c32 += x3 * y2
        c33 += x3 * y3
    return (c00, c01, c02, c03), (c10, c11, c12, c13), (c20, c21, c22, c23), (c30, c31, c32, c33)


@_jit
def _multiply(P, Q, n, K, upper):
    """Add P Q^T, over their first n columns, to K or at least to its upper triangle."""
    # 64 rows of Q and 4 of P, 512 columns of each, stay in the caches
    for k0 in range(0, n, 512):
        k1 = min(k0 + 512, n)
        for j0 in range(0, Q.shape[0], 64):
            j1 = min(j0 + 64, Q.shape[0])
            for i in range(0, j1 if upper else P.shape[0], 4):
                for j in range(max(j0, i) if upper else j0, j1, 4):
                    c = _dots(P, i, Q, j, k0, k1)
                    for a in range(4):
                        for b in range(4):
                            K[i + a, j + b] += c[a][b]


@_jit
def products(P, Q, K):
    """Write K = P Q^T."""
    K[:] = 0.0
    _multiply(P, Q, P.shape[1], K, False)


@_jit
def symmetric_products(P, Q, K):
    """Write the upper triangle of K = P Q^T."""
    K[:] = 0.0
    _multiply(P, Q, P.shape[1], K, True)


@_jit
def mirror(K):
    """Copy the upper triangle to the lower, in blocks that stay in the cache."""
    n = K.shape[0]
    for i0 in range(0, n, 32):
        for j0 in range(0, i0 + 1, 32):
            for i in range(i0, min(i0 + 32, n)):
                for j in range(j0, min(j0 + 32, i)):
                    K[i, j] = K[j, i]


@_jit
def row_products(P, x, out):
    """Write out = P x."""
    for i in range(P.shape[0]):
        row = P[i]
        acc = 0.0
        for k in range(row.size):
            acc += row[k] * x[k]
        out[i] = acc


@_jit
def row_sum(P, x, out):
    """Write out = P^T x."""
    out[:] = 0.0
    for i in range(P.shape[0]):
        row = P[i]
        for k in range(row.size):
            out[k] += x[i] * row[k]


@_jit
def cholesky(M):
    """Overwrite the upper triangle of M = U^T U with U; False if M is not positive definite."""
    n = M.shape[0]
    for k0 in range(0, n, 4):
        k1 = min(k0 + 4, n)
        for k in range(k0, k1):
            row = M[k, k:]
            for m in range(k0, k):
                above = M[m, k:]
                c = above[0]
                for j in range(row.size):
                    row[j] -= c * above[j]
            if not row[0] > 0.0:
                return False
            scale = 1.0 / np.sqrt(row[0])
            for j in range(row.size):
                row[j] *= scale
        for i in range(k1, n):  # only where k0..k1 are four
            row = M[i, i:]
            r0, r1, r2, r3 = M[k0, i:], M[k0 + 1, i:], M[k0 + 2, i:], M[k0 + 3, i:]
            c0, c1, c2, c3 = r0[0], r1[0], r2[0], r3[0]
            for j in range(row.size):
                row[j] -= (c0 * r0[j] + c1 * r1[j]) + (c2 * r2[j] + c3 * r3[j])
    return True


@_jit
def solve_upper(U, x):
    """Overwrite x with U^-1 x."""
    for i in range(x.size - 1, -1, -1):
        row, y = U[i, i + 1 :], x[i + 1 :]
        acc = 0.0
        for k in range(y.size):
            acc += row[k] * y[k]
        x[i] = (x[i] - acc) / U[i, i]


@_jit
def solve_upper_transposed(U, x):
    """Overwrite x with U^-T x."""
    for i in range(x.size):
        row, y = U[i, i + 1 :], x[i + 1 :]
        x[i] /= U[i, i]
        c = x[i]
        for k in range(y.size):
            y[k] -= c * row[k]


@_jit
def pivoted_cholesky(K, R, pivots):
    """K = R^T R with as many rows in R as K has rank to working precision; returns that rank.

    Row k of R comes from the frame with the largest residual, pivots[k]; R[:, pivots] is upper triangular.
    """
    T = K.shape[0]
    residual = np.empty(T)
    for t in range(T):
        residual[t] = K[t, t]
    smallest = T * 2.3e-16 * residual.max()
    for k in range(T):
        p = residual.argmax()
        if not residual[p] > smallest:
            return k
        pivots[k] = p
        row = R[k]
        row[:T] = K[p]
        for m in range(k):
            c = R[m, p]
            earlier = R[m]
            for t in range(T):
                row[t] -= c * earlier[t]
        scale = 1.0 / np.sqrt(residual[p])
        for t in range(T):
            row[t] *= scale
            residual[t] -= row[t] * row[t]
        for m in range(k):
            row[pivots[m]] = 0.0
        residual[p] = -1.0
    return T


# -- solvers ------------------------------------------------------------------------------------------------


@_jit
def chain(K, a):
    """Write the multipliers of the adjacent pairs whose margins are all at least 1, u being the smallest.

    False if it was not found in five rounds, each leaving out the pairs whose multipliers came out negative:
    their margins are above 1 by themselves.
    """
    m = a.size
    active = np.arange(m)
    for _ in range(5):
        M = np.empty((m, m))
        for p in range(m):
            i = active[p]
            for q in range(p, m):
                j = active[q]
                M[p, q] = (K[i + 1, j + 1] - K[i, j + 1]) - (K[i + 1, j] - K[i, j])
        if not cholesky(M):
            return False
        x = np.ones(m)
        solve_upper_transposed(M, x)
        solve_upper(M, x)
        kept = 0
        for p in range(m):
            if x[p] > 0.0:
                active[kept] = active[p]
                kept += 1
        if kept == m:
            a[:] = 0.0
            for p in range(m):
                a[active[p]] = x[p]
            return True
        m = kept
    return False


@_jit
def _direction(R, U, residual, alpha, s, xi, later, end, C, squared, weight, h, targets, g, df, dz, out):
    """Solve (I + R L R^T) dz = U^T U dz = R g - residual; from dz follow those of alpha, s and xi."""
    T = later.size
    ts, txi = targets[0], targets[1]
    barrier_rhs(alpha, later, end, C, squared, weight, h, ts, txi, g[:T])
    row_products(R, g, dz)
    dz -= residual
    solve_upper_transposed(U, dz)
    solve_upper(U, dz)
    row_sum(R, dz, df)
    return barrier_direction(
        alpha, s, xi, later, end, C, squared, weight, h, df[:T], ts, txi, out[0], out[1], out[2]
    )


@_jit
def interior_point(R, net_rank, later, end, C, squared, enough, max_iter, corrections):
    """Mehrotra's predictor-corrector on z = R A^T alpha and the pairs' complementarity.

    The scores are f = R^T z. z and alpha move separately: where C is huge, A^T alpha is a small difference of
    large numbers, and R A^T alpha would keep only its rounding. R, and with it z, are padded with zeros. One
    kernel, so that threads over clips need not wait for the interpreter between the small ones.

    Stops at a gap of `enough` times the objective. Returns the best z, the best alpha and the iterations.
    """
    T = later.size
    rank, width = R.shape
    n = (end - later).sum()
    f, beta, g, df = np.zeros(width), np.zeros(width), np.zeros(width), np.zeros(width)
    ft = f[:T]
    stationary, dz, trial = np.zeros(rank), np.zeros(rank), np.zeros(rank)
    L, RL, M = np.zeros((width, width)), np.empty((rank, width)), np.empty((rank, rank))
    weight, h, s, xi = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    targets = np.empty((2, n))
    out = np.zeros((3, n))  # directions of alpha, s and xi
    spare = np.zeros((3, n if corrections else 0))

    # Start: u along the saturated direction, alpha inside its box, slacks well above the margins
    beta[:T] = net_rank
    row_products(R, beta, stationary)
    square = (stationary * stationary).sum()
    z = min(C, n / square if square > 0 else 0.0) * stationary
    alpha = np.full(n, 0.5 * C)
    row_sum(R, z, f)
    start_slacks(ft, later, end, s, xi)

    best_primal, best_dual = np.inf, -np.inf
    best_z, best_alpha = z.copy(), alpha.copy()
    n_iter, stalled = 0, 0
    while True:
        row_sum(R, z, f)
        total, total_square = pair_sums(alpha, later, end, beta[:T])
        row_products(R, beta, stationary)
        primal = 0.5 * (z * z).sum() + C * hinge_sum(ft, later, end, 2 if squared else 1)
        dual = total - 0.5 * (stationary * stationary).sum()
        if squared:
            dual -= total_square / (4 * C)
        gap = best_primal - best_dual
        if primal < best_primal:
            best_primal = primal
            best_z[:] = z
        if dual > best_dual:
            best_dual = dual
            best_alpha[:] = alpha
        stalled = stalled + 1 if best_primal - best_dual > 0.999 * gap else 0
        if best_primal - best_dual <= enough * best_primal or n_iter == max_iter or stalled == 25:
            break
        n_iter += 1

        # I + R L R^T, and its factor
        complementarity = barrier_weights(alpha, s, xi, ft, later, end, C, squared, weight, h, L)
        products(R, L, RL)
        factored = False
        for ridge in (0.0, 1e-14, 1e-11):
            symmetric_products(RL, R, M)
            largest = 0.0
            for k in range(rank):
                largest = max(largest, M[k, k])
            for k in range(rank):
                M[k, k] += 1.0 + ridge * (1.0 + largest)
            factored = cholesky(M)
            if factored:
                break
        if not factored:
            break

        # predictor, towards mu = 0; how far it gets sets the corrector's mu
        residual = z - stationary
        targets[:] = 0.0
        worst, lin, quad = _direction(
            R, M, residual, alpha, s, xi, later, end, C, squared, weight, h, targets, g, df, dz, out
        )
        step = 1.0 / max(1.0, worst)
        ahead = max(0.0, 1.0 + step * (lin + step * quad) / complementarity)
        mu = complementarity / (n if squared else 2 * n) * min(1.0, ahead) ** 3

        second_order_targets(mu, squared, out[0], out[1], out[2], targets[0], targets[1])
        worst, lin, quad = _direction(
            R, M, residual, alpha, s, xi, later, end, C, squared, weight, h, targets, g, df, dz, out
        )
        for _ in range(corrections):
            step = 1.0 / max(1.0, worst)
            if step > 0.95:
                break
            ahead = min(1.0, step + 0.3)
            centrality_targets(
                mu, ahead, alpha, s, xi, C, squared, out[0], out[1], out[2], targets[0], targets[1]
            )
            trial_worst, trial_lin, trial_quad = _direction(
                R, M, residual, alpha, s, xi, later, end, C, squared, weight, h, targets, g, df, trial, spare
            )
            if 1.0 / max(1.0, trial_worst) < step + 0.03:
                break
            worst, lin, quad = trial_worst, trial_lin, trial_quad
            dz, trial = trial, dz
            out, spare = spare, out
        if not np.isfinite(worst + lin + quad + dz.sum()):
            break
        step = 0.995 / max(0.995, worst)
        z += step * dz
        alpha += step * out[0]
        s += step * out[1]
        if not squared:
            xi += step * out[2]
    return best_z, best_alpha, n_iter


# -- long sequences -----------------------------------------------------------------------------------------
#
# Sums over all pairs in O(T log T) time and O(T) memory. `order` lists the frames by score inside each group.
# A segment a..b of frames is split in time at m: the pairs across m are found with two pointers, since both
# sides stay in the order of their scores when `order[a:b]` is parted stably, and summed with prefix sums. The
# sides follow, down to segments short enough for all pairs one by one.
#
# a_ij = clip(1 - m_ij, 0, width) is what the pair weighs; a pair is in the window where 0 < 1 - m_ij < width.

_SHORT = 48  # frames of a segment whose pairs are taken one by one
_FEW = 24  # pairs of a window that are summed one by one, without the cancellation of prefix sums


@_jit
def _middle(a, b, first, later):
    """Return the border between two times nearest to the middle of a..b; b if all times are equal."""
    middle = (a + b) // 2
    lo, hi = first[middle], later[middle]
    if lo > a and (hi >= b or middle - lo <= hi - middle):
        return lo
    return min(hi, b)


@_jit
def _part(order, spare, a, m, b):
    """Part order[a:b] stably into the frames before m and the others."""
    earlier = a
    n = 0
    for k in range(a, b):
        t = order[k]
        order[earlier] = t
        spare[n] = t
        before = t < m
        earlier += before
        n += not before
    for k in range(n):
        order[m + k] = spare[k]


@_jit
def smoothed_sums(f, order, later, first, groups, width, beta):
    """Write beta = A^T a; `groups` are the first frames of the groups, and T. Overwrites `order`.

    Returns the sum of a, the sum of max(0, 1 - m), that of a^2 if `width` is infinite, and the number of
    pairs in the window.
    """
    T = f.size
    beta[:] = 0.0
    spare = np.empty(T, order.dtype)
    F = np.empty(T)
    P = np.empty(T + 1)
    squared = np.isinf(width)
    Q = np.empty(T + 1 if squared else 0)
    stack = np.empty((2 * 64, 2), np.int64)
    total, hinges, squares, inside = 0.0, 0.0, 0.0, 0
    for group in range(groups.size - 1):
        stack[0, 0], stack[0, 1] = groups[group], groups[group + 1]
        depth = 1
        while depth > 0:
            depth -= 1
            a, b = stack[depth, 0], stack[depth, 1]
            if b - a <= _SHORT:
                for i in range(a, b):
                    top = 1.0 + f[i]
                    fj, bj = f[later[i] : b], beta[later[i] : b]
                    acc, acc_hinge, acc_square, n = 0.0, 0.0, 0.0, 0
                    for k in range(fj.size):
                        h = max(0.0, top - fj[k])
                        w = min(h, width)
                        bj[k] += w
                        acc += w
                        acc_hinge += h
                        acc_square += w * w
                        n += (h > 0.0) & (h < width)
                    beta[i] -= acc
                    total += acc
                    hinges += acc_hinge
                    squares += acc_square
                    inside += n
                continue
            m = _middle(a, b, first, later)
            if m >= b:
                continue
            _part(order, spare, a, m, b)
            reference = f[order[a]]
            P[a] = 0.0
            for k in range(a, b):
                F[k] = f[order[k]] - reference
                P[k + 1] = P[k] + F[k]
            if squared:
                Q[a] = 0.0
                for k in range(a, b):
                    Q[k + 1] = Q[k] + F[k] * F[k]
            lo = m
            hi = m
            for k in range(a, m):
                top = 1.0 + F[k]
                while hi < b and F[hi] < top:
                    hi += 1
                while lo < hi and top - F[lo] >= width:
                    lo += 1
                n = hi - lo
                w = 0.0
                if n <= _FEW:
                    for j in range(lo, hi):
                        h = top - F[j]
                        w += h
                        squares += h * h
                else:
                    w = top * n - (P[hi] - P[lo])
                    if squared:
                        squares += top * top * n - 2 * top * (P[hi] - P[lo]) + (Q[hi] - Q[lo])
                hinges += w
                if lo > m:
                    hinges += top * (lo - m) - (P[lo] - P[m])
                    w += width * (lo - m)
                beta[order[k]] -= w
                total += w
                inside += n
            lo = a
            hi = a
            for k in range(m, b):
                bottom = 1.0 - F[k]
                while lo < m and bottom + F[lo] <= 0.0:
                    lo += 1
                hi = max(hi, lo)
                while hi < m and bottom + F[hi] < width:
                    hi += 1
                n = hi - lo
                w = 0.0
                if n <= _FEW:
                    for j in range(lo, hi):
                        w += bottom + F[j]
                else:
                    w = bottom * n + (P[hi] - P[lo])
                if hi < m:
                    w += width * (m - hi)
                beta[order[k]] += w
            stack[depth, 0], stack[depth, 1] = a, m
            stack[depth + 1, 0], stack[depth + 1, 1] = m, b
            depth += 2
    return total, hinges, squares, inside


@_jit
def window_laplacian(f, order, later, first, groups, width, x, out):
    """Write out = A^T D A x, D one for the pairs in the window and zero for others. Overwrites `order`."""
    T = f.size
    out[:] = 0.0
    spare = np.empty(T, order.dtype)
    F = np.empty(T)
    P = np.empty(T + 1)
    stack = np.empty((2 * 64, 2), np.int64)
    for group in range(groups.size - 1):
        stack[0, 0], stack[0, 1] = groups[group], groups[group + 1]
        depth = 1
        while depth > 0:
            depth -= 1
            a, b = stack[depth, 0], stack[depth, 1]
            if b - a <= _SHORT:
                for i in range(a, b):
                    top = 1.0 + f[i]
                    fj, xj, oj = f[later[i] : b], x[later[i] : b], out[later[i] : b]
                    acc = 0.0
                    for k in range(fj.size):
                        h = top - fj[k]
                        w = xj[k] - x[i] if (h > 0.0) & (h < width) else 0.0
                        oj[k] += w
                        acc += w
                    out[i] -= acc
                continue
            m = _middle(a, b, first, later)
            if m >= b:
                continue
            _part(order, spare, a, m, b)
            P[a] = 0.0
            for k in range(a, b):
                F[k] = f[order[k]]
                P[k + 1] = P[k] + x[order[k]]
            lo = m
            hi = m
            for k in range(a, m):
                top = 1.0 + F[k]
                while hi < b and F[hi] < top:
                    hi += 1
                while lo < hi and top - F[lo] >= width:
                    lo += 1
                i = order[k]
                out[i] += (hi - lo) * x[i] - (P[hi] - P[lo])
            lo = a
            hi = a
            for k in range(m, b):
                bottom = 1.0 - F[k]
                while lo < m and bottom + F[lo] <= 0.0:
                    lo += 1
                hi = max(hi, lo)
                while hi < m and bottom + F[hi] < width:
                    hi += 1
                j = order[k]
                out[j] += (hi - lo) * x[j] - (P[hi] - P[lo])
            stack[depth, 0], stack[depth, 1] = a, m
            stack[depth + 1, 0], stack[depth + 1, 1] = m, b
            depth += 2


@_jit
def window_pairs(f, order, later, first, groups, width, ranks, i_out, j_out):
    """Write those pairs of the window whose ranks, in the order of this walk, are `ranks`.

    `ranks` is sorted and may repeat. Overwrites `order`. Returns the number of pairs written.
    """
    T = f.size
    spare = np.empty(T, order.dtype)
    stack = np.empty((2 * 64, 2), np.int64)
    seen, written = 0, 0
    for group in range(groups.size - 1):
        stack[0, 0], stack[0, 1] = groups[group], groups[group + 1]
        depth = 1
        while depth > 0:
            depth -= 1
            a, b = stack[depth, 0], stack[depth, 1]
            if b - a <= _SHORT:
                for i in range(a, b):
                    top = 1.0 + f[i]
                    for j in range(later[i], b):
                        if 0.0 < top - f[j] < width:
                            while written < ranks.size and ranks[written] == seen:
                                i_out[written], j_out[written] = i, j
                                written += 1
                            seen += 1
                continue
            m = _middle(a, b, first, later)
            if m >= b:
                continue
            _part(order, spare, a, m, b)
            lo = m
            hi = m
            for k in range(a, m):
                i = order[k]
                top = 1.0 + f[i]
                while hi < b and f[order[hi]] < top:
                    hi += 1
                while lo < hi and top - f[order[lo]] >= width:
                    lo += 1
                while written < ranks.size and ranks[written] < seen + hi - lo:
                    i_out[written], j_out[written] = i, order[lo + ranks[written] - seen]
                    written += 1
                seen += hi - lo
            stack[depth, 0], stack[depth, 1] = a, m
            stack[depth + 1, 0], stack[depth + 1, 1] = m, b
            depth += 2
    return written
