"""Numba kernels: dense linear algebra.

Ours and not BLAS: most matrices are small, all of it runs inside one kernel, and BLAS takes threads. On two
busy cores OpenBLAS with its default of two made one rank_svm (T = 68, d = 16384) take 16 to 300 ms instead
of 2 to 6. Matrices are row-major, and those that are multiplied have rows padded to a multiple of 4.
"""

import numpy as np
from numba import njit

from ._compilation import kernel


def padded(n):
    """Return n rounded up to whole tiles of 4 x 3, which the kernels below work on."""
    return -(-n // 12) * 12


@kernel
def add_products(P, m, Q, n, width, lower, K):
    """Add P Q^T, over their first `width` columns, to K, m x n, or to its lower triangle.

    Whole tiles of 4 x 3: P, Q and K have rows and columns to spare up to a multiple of 12. Callers write
    np.bool_(True), which is no literal: for True and for False Numba would compile a kernel each.
    """
    # 48 rows of Q and 4 of P, 512 columns of each, stay in the caches
    for k0 in range(0, width, 512):
        k1 = min(k0 + 512, width)
        for j0 in range(0, n, 48):
            for i in range(j0 if lower else 0, m, 4):
                j1 = min(j0 + 48, min(i + 4, n) if lower else n)
                for j in range(j0, j1, 3):
                    c = _dots(P, i, Q, j, k0, k1)
                    for a in range(4):
                        for b in range(3):
                            K[i + a, j + b] += c[a][b]


@kernel
def mirror(K):
    """Copy the lower triangle to the upper, in blocks that stay in the cache."""
    n = K.shape[0]
    for i0 in range(0, n, 32):
        for j0 in range(0, i0 + 1, 32):
            for i in range(i0, min(i0 + 32, n)):
                for j in range(j0, min(j0 + 32, i)):
                    K[j, i] = K[i, j]


@kernel
def copy(x, out):
    """Write out = x."""
    for k in range(x.size):
        out[k] = x[k]


@kernel
def dot(x, y):
    """Return x^T y."""
    acc = 0.0
    for k in range(x.size):
        acc += x[k] * y[k]
    return acc


@kernel
def row_products(P, x, out):
    """Write out = P x."""
    for i in range(P.shape[0]):
        row = P[i]
        acc = 0.0
        for k in range(row.size):
            acc += row[k] * x[k]
        out[i] = acc


@kernel
def row_sum(P, x, out):
    """Write out = P^T x."""
    out[:] = 0.0
    for i in range(P.shape[0]):
        row = P[i]
        for k in range(row.size):
            out[k] += x[i] * row[k]


@kernel
def symmetric_product(S, x, out):
    """Write out = S x, of a symmetric S whose lower triangle is given."""
    out[:] = 0.0
    for i in range(x.size):
        row = S[i, :i]
        c = x[i]
        acc = S[i, i] * c
        for k in range(i):
            acc += row[k] * x[k]
            out[k] += c * row[k]
        out[i] += acc


@kernel
def cholesky(M, n):
    """Overwrite the lower triangle of M = L L^T, n x n, with L; False if M is not positive definite.

    M has rows and columns to spare up to a multiple of 12. Six columns at a time (n = 52 takes 11 us, with
    twelve 13 and with 24 19), each less its products with the columns before: all of it dot products of rows.
    Of the columns before its 96, all 96 at once: 3000 rows pass through the cache 31 times and not 500.
    """
    corner = np.zeros((6, 6))  # [k, j] = L[j, k] for j > k, of the six columns
    inverse = np.zeros(6)
    for j0 in range(0, n, 6):
        before = j0 // 96 * 96
        for block in range(0 if j0 == before else 1, 2):
            j1 = min(j0 + (6 if block else 96), n)
            for k0 in range(before if block else 0, j0 if block else before, 512):
                k1 = min(k0 + 512, j0 if block else before)
                for i in range(j0 // 4 * 4, n, 4):
                    for j in range(j0, min(j1, i + 4), 3):
                        c = _dots(M, i, M, j, k0, k1)
                        for a in range(4):
                            for b in range(3):
                                M[i + a, j + b] -= c[a][b]
        corner[:] = 0.0
        for i in range(j0, n):
            row = M[i, j0 : j0 + 6]
            m = min(i - j0, 6)
            for k in range(m):
                x = row[k] * inverse[k]
                for j in range(6):  # as many for every k, so that it is one vector operation
                    row[j] -= x * corner[k, j]
                row[k] = x
            if m < 6:
                for k in range(m):
                    row[m] -= row[k] * row[k]
                    corner[k, m] = row[k]
                if not row[m] > 0.0:
                    return False
                row[m] = np.sqrt(row[m])
                inverse[m] = 1.0 / row[m]
    return True


@kernel
def solve_lower(L, x):
    """Overwrite x with L^-1 x."""
    for i in range(x.size):
        row = L[i, :i]
        acc = 0.0
        for k in range(i):
            acc += row[k] * x[k]
        x[i] = (x[i] - acc) / L[i, i]


@kernel
def solve_lower_transposed(L, x):
    """Overwrite x with L^-T x."""
    for i in range(x.size - 1, -1, -1):
        x[i] /= L[i, i]
        row = L[i, :i]
        c = x[i]
        for k in range(i):
            x[k] -= c * row[k]


@kernel
def pivoted_cholesky(K, R, pivots):
    """K = R^T R with as many rows in R as K has rank to working precision; returns that rank.

    Row k of R comes from the frame with the largest residual, pivots[k]; R[:, pivots] is upper triangular. K
    less the products so far is brought up to date every 48 rows, by tiles: 2000 frames of full rank take 0.35
    instead of 2.2 s.
    """
    T = K.shape[0]
    rows = -(-T // 12) * 12
    S = np.zeros((rows, rows))  # its lower triangle
    for t in range(T):
        copy(K[t], S[t])
    block, minus_block = np.zeros((rows, 48)), np.zeros((rows, 48))
    residual = np.empty(T)
    largest = 0.0
    for t in range(T):
        residual[t] = K[t, t]
        largest = max(largest, K[t, t])
    smallest = T * 2.3e-16 * largest
    for k in range(T):
        m = k % 48
        if k > 0 and m == 0:
            for t in range(T):
                for n in range(48):
                    minus_block[t, n] = -block[t, n]
            add_products(minus_block, T, block, T, block.shape[1], np.bool_(True), S)
        p = 0
        for t in range(T):
            if residual[t] > residual[p]:
                p = t
        if not residual[p] > smallest:
            return k
        pivots[k] = p
        row = R[k, :T]
        copy(S[p, :p], row)
        for t in range(p, T):
            row[t] = S[t, p]
        scale = 1.0 / np.sqrt(residual[p])
        for t in range(T):
            acc = 0.0
            for n in range(m):
                acc += block[t, n] * block[p, n]
            row[t] = scale * (row[t] - acc)
            residual[t] -= row[t] * row[t]
        for m_earlier in range(k):
            row[pivots[m_earlier]] = 0.0
        for t in range(T):
            block[t, m] = row[t]
        residual[p] = -1.0
    return T


@njit(inline="always")
def _dots(P, i, Q, j, k0, k1):
    """Products of rows i..i+3 of P with rows j..j+2 of Q, over their columns k0..k1.

    Twelve sums to seven loads: LLVM makes each sum a vector, and the loop is all multiply-adds. Sixteen sums
    are too many for AVX2's sixteen registers: 23 GFLOP/s where twelve reach 39 and OpenBLAS 46 (Zen 3).
    """
    zero = P.dtype.type(0)
    a0, a1, a2, a3 = P[i, k0:k1], P[i + 1, k0:k1], P[i + 2, k0:k1], P[i + 3, k0:k1]
    b0, b1, b2 = Q[j, k0:k1], Q[j + 1, k0:k1], Q[j + 2, k0:k1]
    c00, c01, c02 = zero, zero, zero
    c10, c11, c12 = zero, zero, zero
    c20, c21, c22 = zero, zero, zero
    c30, c31, c32 = zero, zero, zero
    for k in range(k1 - k0):
        x0, x1, x2, x3 = a0[k], a1[k], a2[k], a3[k]
        y0, y1, y2 = b0[k], b1[k], b2[k]
        c00 += x0 * y0
        c01 += x0 * y1
        c02 += x0 * y2
        c10 += x1 * y0
        c11 += x1 * y1
        c12 += x1 * y2
        c20 += x2 * y0
        c21 += x2 * y1
        c22 += x2 * y2
        c30 += x3 * y0
        c31 += x3 * y1
        c32 += x3 * y2
    return (c00, c01, c02), (c10, c11, c12), (c20, c21, c22), (c30, c31, c32)
