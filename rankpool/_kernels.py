"""Numba kernels: the frames (T x d) and the pairs of frames, O(T^2).

Pairs are packed. Frames are sorted by time; `later[i]` is the first frame later than frame i, so that the
pairs of frame i are (i, later[i]), ..., (i, T-1), stored one after the other: each inner loop below runs
over one contiguous row of pairs.

Sums are reassociated (`fastmath={"reassoc"}`) so that LLVM vectorises them; the order is fixed when the
kernel is compiled, so the same input gives the same bits. Nothing here assumes that NaN does not occur.
"""

import numpy as np
from numba import njit

_jit = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})


# -- frames -----------------------------------------------------------------------------------------------


@_jit
def relative_panel(V, start, out):
    """Write out[t, k] = V[t, start + k] - V[0, start + k].

    Returns whether all of V's panel is whole numbers below 2^24.
    """
    T, width = out.shape
    first = V[0, start : start + width]
    whole = True
    for t in range(T):
        row = V[t, start : start + width]
        o = out[t]
        inexact = 0
        for k in range(width):
            x = np.float64(row[k])
            o[k] = x - np.float64(first[k])
            inexact |= (x != np.trunc(x)) | (abs(x) >= 16777216.0)
        whole &= inexact == 0
    return whole


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
def hinge_sum(f, later, power):
    """Sum of max(0, 1 - (f_j - f_i))^power over the pairs, power 1 or 2."""
    T = f.size
    total = 0.0
    for i in range(T):
        fj = f[later[i] :]
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
def pair_sums(alpha, later, beta):
    """Write beta = A^T alpha, what each frame gets as the later of its pairs minus as the earlier.

    Returns the sums of alpha and of alpha^2.
    """
    T = beta.size
    beta[:] = 0.0
    total = 0.0
    square = 0.0
    p = 0
    for i in range(T):
        n = T - later[i]
        a = alpha[p : p + n]
        bj = beta[later[i] :]
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
def start_slacks(f, later, s, xi):
    """Write s = max(0, m - 1) + offset and xi = max(0, 1 - m) + offset: both positive, s - xi = m - 1.

    The offset is five times 1 + the root mean square of the margins. T = 68 took 9 to 11 iterations, with ten
    times 12 to 14; T = 300 took 17 to 77, with ten times 13 to 82, with two 14 to 121.
    """
    T = f.size
    square = 0.0
    for i in range(T):
        fj = f[later[i] :]
        for k in range(fj.size):
            square += (fj[k] - f[i]) ** 2
    offset = 5.0 * (1.0 + np.sqrt(square / s.size))
    p = 0
    for i in range(T):
        n = T - later[i]
        si, x, fj = s[p : p + n], xi[p : p + n], f[later[i] :]
        top = 1.0 + f[i]
        for k in range(n):
            e = fj[k] - top
            si[k] = max(0.0, e) + offset
            x[k] = max(0.0, -e) + offset
        p += n


@_jit
def barrier_weights(alpha, s, xi, f, later, C, squared, weight, h, L):
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
        n = T - lo
        a, si, x = alpha[p : p + n], s[p : p + n], xi[p : p + n]
        w, hi = weight[p : p + n], h[p : p + n]
        fj, dj, Lj = f[lo:], degree[lo:], L[i, lo:]
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
        for k in range(i):
            L[i, k] = L[k, i]
        p += n
    return total


@_jit
def barrier_rhs(alpha, later, C, squared, weight, h, ts, txi, g):
    """Write g = A^T (weight (h + ts/alpha - txi/(C - alpha))).

    ts and txi are what alpha s and (C - alpha) xi are to become, less their second-order change.
    """
    T = g.size
    g[:] = 0.0
    p = 0
    for i in range(T):
        lo = later[i]
        n = T - lo
        a, w, hi = alpha[p : p + n], weight[p : p + n], h[p : p + n]
        tsi, txii = ts[p : p + n], txi[p : p + n]
        gj = g[lo:]
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
def barrier_direction(alpha, s, xi, later, C, squared, weight, h, df, ts, txi, da, ds, dxi):
    """Write the directions of alpha, s and xi, df being that of the scores.

    Returns the largest -direction/value (its inverse is the step to the boundary), and the first- and second-
    order change of the sum of alpha s + (C - alpha) xi along the direction.
    """
    T = df.size
    worst = 0.0
    lin = 0.0
    quad = 0.0
    p = 0
    for i in range(T):
        n = T - later[i]
        a, si, x = alpha[p : p + n], s[p : p + n], xi[p : p + n]
        w, hi = weight[p : p + n], h[p : p + n]
        tsi, txii = ts[p : p + n], txi[p : p + n]
        dai, dsi, dxii = da[p : p + n], ds[p : p + n], dxi[p : p + n]
        dfj = df[later[i] :]
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
                worst = max(worst, max(-d * ra, -es * (r * a[k])))
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
                worst = max(worst, max(max(-d * ra, d * rb), max(-es * (r * a[k]), -ex * (q * b))))
        p += n
    return worst, lin, quad


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
# Ours and not BLAS, because the matrices are small and BLAS takes threads for them: on two busy cores,
# OpenBLAS with its default of two threads made one rank_svm (T = 68, d = 16384) take 16 to 300 ms instead of
# 2 to 6. Matrices are row-major, with rows padded to a multiple of 4.


@_jit
def _dots(P, i, Q, j, n):
    """Products of rows i..i+3 of P with rows j..j+3 of Q, over their first n columns.

    Sixteen sums to eight loads: LLVM makes each sum a vector, and the loop is all multiply-adds.
    """
    zero = P.dtype.type(0)
    a0, a1, a2, a3 = P[i, :n], P[i + 1, :n], P[i + 2, :n], P[i + 3, :n]
    b0, b1, b2, b3 = Q[j, :n], Q[j + 1, :n], Q[j + 2, :n], Q[j + 3, :n]
    c00, c01, c02, c03 = zero, zero, zero, zero
    c10, c11, c12, c13 = zero, zero, zero, zero
    c20, c21, c22, c23 = zero, zero, zero, zero
    c30, c31, c32, c33 = zero, zero, zero, zero
    for k in range(n):
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
def _multiply(P, Q, K, symmetric):
    n = P.shape[1]
    # 64 rows of Q at a time stay in L2 while P passes; 2000 x 2000 x 1024: 0.97 -> 0.39 s
    for j0 in range(0, Q.shape[0], 64):
        j1 = min(j0 + 64, Q.shape[0])
        for i in range(j0 if symmetric else 0, P.shape[0], 4):
            for j in range(j0, min(j1, i + 4) if symmetric else j1, 4):
                c = _dots(P, i, Q, j, n)
                for a in range(4):
                    for b in range(4):
                        K[i + a, j + b] = c[a][b]


@_jit
def products(P, Q, K):
    """Write K = P Q^T."""
    _multiply(P, Q, K, False)


@_jit
def symmetric_products(P, Q, K):
    """Write K = P Q^T, known to be symmetric, from its lower triangle.

    The Gram matrix of 68 x 16384 by panels of 2048 columns, one thread: 1.1 ms in float32 and 2.2 ms in
    float64; OpenBLAS 2.2 and 4.1.
    """
    _multiply(P, Q, K, True)
    for i in range(K.shape[0]):
        for j in range(i):
            K[j, i] = K[i, j]


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
    """Overwrite the lower triangle of M with its Cholesky factor; False if M is not positive definite."""
    for j in range(0, M.shape[0], 4):
        for i in range(j, M.shape[0], 4):
            c = _dots(M, i, M, j, j)
            for a in range(4):
                for b in range(a + 1 if i == j else 4):
                    x = M[i + a, j + b] - c[a][b]
                    for k in range(j, j + b):
                        x -= M[i + a, k] * M[j + b, k]
                    if i + a != j + b:
                        M[i + a, j + b] = x / M[j + b, j + b]
                    elif x > 0.0:
                        M[i + a, i + a] = np.sqrt(x)
                    else:
                        return False
    return True


@_jit
def solve_lower(L, x):
    """Overwrite x with L^-1 x."""
    for i in range(x.size):
        row = L[i, :i]
        acc = 0.0
        for k in range(i):
            acc += row[k] * x[k]
        x[i] = (x[i] - acc) / L[i, i]


@_jit
def solve_lower_transposed(L, x):
    """Overwrite x with L^-T x."""
    for i in range(x.size - 1, -1, -1):
        row = L[i, :i]
        x[i] /= L[i, i]
        xi = x[i]
        for k in range(i):
            x[k] -= xi * row[k]


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
