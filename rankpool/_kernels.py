"""Numba kernels: the frames (T x d) and the pairs of frames, O(T^2).

Pairs are packed. Frames are sorted by group and time; `later[i]` is the first frame later than frame i and
`end[i]` the first one past its group, so that the pairs of frame i are (i, later[i]), ..., (i, end[i] - 1),
stored one after the other: each inner loop below runs over one contiguous row of pairs.

Sums are reassociated (`fastmath={"reassoc"}`) so that LLVM vectorises them; the order is fixed when the
kernel is compiled, so the same input gives the same bits. Nothing here assumes that NaN does not occur.

Loops take the place of x[:] = y, x + y and x.sum(), which take long to compile: x[:] = y alone some seconds,
for the text of an error. They were a third of the first call of rank_svm.
"""

import numpy as np
from numba import njit

from ._compilation import kernel, part


def padded(n):
    """Return n rounded up to whole tiles of 4 x 3, which the dense kernels work on."""
    return -(-n // 12) * 12


# -- frames -----------------------------------------------------------------------------------------------


@kernel
def relative_panel(V, start, width, out):
    """Write out[t, k] = V[t, start + k] - V[0, start + k] for k < width."""
    first = V[0, start : start + width]
    for t in range(V.shape[0]):
        row, o = V[t, start : start + width], out[t, :width]
        for k in range(width):
            o[k] = np.float64(row[k]) - np.float64(first[k])


@kernel
def whole_panel(V, start, width, unit, out):
    """Write out[t, k] = unit (V[t, start + k] - V[0, start + k]) for k < width.

    Returns whether unit V is whole and the squares of these add up to less than 2^24 in each row: then
    float32 holds all dot products of the rows exactly. `unit` has the dtype of a floating V: in float32 this
    takes half the time, and a difference of whole numbers that is below 2^12 is exact.
    """
    first = V[0, start : start + width]
    for t in range(V.shape[0]):
        row, o = V[t, start : start + width], out[t, :width]
        fraction = unit - unit  # zero, of its dtype
        square = unit - unit
        for k in range(width):
            x = unit * row[k]
            fraction += abs(x - np.trunc(x))
            x -= unit * first[k]
            o[k] = x
            square += x * x
        if not (fraction == 0.0 and square < 16777216.0):
            return False
    return True


@kernel
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


@kernel
def add_gram(V, start, unit, panel, K):
    """Add (v_s - v_0)^T (v_t - v_0), t <= s, from column `start` on; `panel` is where to work.

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
        add_products(panel, V.shape[0], panel, V.shape[0], width, np.bool_(True), K)
        start += width
    return start


@kernel
def weigh(V, beta, other, u, f):
    """Write u = V^T beta and f = V u, relative to the first frame; returns u^T u and |V^T other|^2.

    beta and other sum to zero. A panel of columns at a time, which stays in L2 for the second pass, and four
    frames, so that u and V^T other are loaded and stored a quarter as often; the first frame, which is zero,
    stands in for those past the last.
    """
    T, d = V.shape
    size = max(64, 2**15 // T)
    w = np.empty(size)
    f[:] = 0.0
    square = 0.0
    other_square = 0.0
    for start in range(0, d, size):
        width = min(size, d - start)
        v0, o, x = V[0, start : start + width], u[start : start + width], w[:width]
        o[:] = 0.0
        x[:] = 0.0
        for t1 in range(1, T, 4):
            t2 = t1 + 1 if t1 + 1 < T else 0
            t3 = t1 + 2 if t1 + 2 < T else 0
            t4 = t1 + 3 if t1 + 3 < T else 0
            v1, v2 = V[t1, start : start + width], V[t2, start : start + width]
            v3, v4 = V[t3, start : start + width], V[t4, start : start + width]
            b1, b2, b3, b4 = beta[t1], beta[t2], beta[t3], beta[t4]
            c1, c2, c3, c4 = other[t1], other[t2], other[t3], other[t4]
            for k in range(width):
                v = np.float64(v0[k])
                y1, y2 = np.float64(v1[k]) - v, np.float64(v2[k]) - v
                y3, y4 = np.float64(v3[k]) - v, np.float64(v4[k]) - v
                o[k] += (b1 * y1 + b2 * y2) + (b3 * y3 + b4 * y4)
                x[k] += (c1 * y1 + c2 * y2) + (c3 * y3 + c4 * y4)
        for k in range(width):
            square += o[k] * o[k]
            other_square += x[k] * x[k]
        for t1 in range(1, T, 4):
            t2 = t1 + 1 if t1 + 1 < T else 0
            t3 = t1 + 2 if t1 + 2 < T else 0
            t4 = t1 + 3 if t1 + 3 < T else 0
            v1, v2 = V[t1, start : start + width], V[t2, start : start + width]
            v3, v4 = V[t3, start : start + width], V[t4, start : start + width]
            f1, f2, f3, f4 = 0.0, 0.0, 0.0, 0.0
            for k in range(width):
                v = np.float64(v0[k])
                f1 += (np.float64(v1[k]) - v) * o[k]
                f2 += (np.float64(v2[k]) - v) * o[k]
                f3 += (np.float64(v3[k]) - v) * o[k]
                f4 += (np.float64(v4[k]) - v) * o[k]
            f[t1] += f1
            f[t2] += f2
            f[t3] += f3
            f[t4] += f4
    return square, other_square


@kernel
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


@kernel
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


@kernel
def largest_margin(f, later, end):
    """Return the largest f_j - f_i over the pairs."""
    T = f.size
    best = np.empty(T)  # of the frames from i to the end of its group
    largest = -np.inf
    for i in range(T - 1, -1, -1):
        best[i] = max(f[i], best[i + 1]) if i + 1 < end[i] else f[i]
        if later[i] < end[i]:
            largest = max(largest, best[later[i]] - f[i])
    return largest


@kernel
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


@kernel
def clipped_sums(f, later, end, width, beta):
    """Write beta = A^T a, a = clip(1 - m, 0, width) of each pair, one by one; see `smoothed_sums`.

    Returns the sum of a, the sum of max(0, 1 - m) and that of max(0, 1 - m)^2. The pairs at `width` are
    counted, not summed: where C is large, V^T beta is mostly cancellation.
    """
    T = f.size
    at_width = np.zeros(T)
    beta[:] = 0.0
    total, hinges, squares, count = 0.0, 0.0, 0.0, 0.0
    for i in range(T):
        fj, bj, cj = f[later[i] : end[i]], beta[later[i] : end[i]], at_width[later[i] : end[i]]
        top = 1.0 + f[i]
        acc, acc_hinge, acc_square, acc_count = 0.0, 0.0, 0.0, 0.0
        for k in range(fj.size):
            h = max(0.0, top - fj[k])
            c = 1.0 if h >= width else 0.0
            a = 0.0 if h >= width else h
            bj[k] += a
            cj[k] += c
            acc += a
            acc_count += c
            acc_hinge += h
            acc_square += h * h
        beta[i] -= acc
        at_width[i] -= acc_count
        total += acc
        count += acc_count
        hinges += acc_hinge
        squares += acc_square
    if count > 0.0:  # 0 times an infinite width is NaN
        total += width * count
        for t in range(T):
            beta[t] += width * at_width[t]
    return total, hinges, squares


@kernel
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


# The augmented Lagrangian. A round minimises, over u,
#
#     1/2 |u|^2 + sum of (h + delta base)_+^2 / (2 (delta + q)), linear from where the multiplier is `bound`,
#
# h = 1 - m, so that each pair's multiplier is clip((h + delta base)/(delta + q), 0, bound): feasible in the
# dual whatever u is. The hinge has bound = C and q = 0, the squared hinge no bound and q = 1/(2C). Inside the
# bounds a pair curves the objective: these pairs are the window.


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


# -- dense algebra ------------------------------------------------------------------------------------------
#
# Ours and not BLAS: most matrices are small, all of it runs inside one kernel, and BLAS takes threads. On two
# busy cores OpenBLAS with its default of two made one rank_svm (T = 68, d = 16384) take 16 to 300 ms instead
# of 2 to 6. Matrices are row-major, and those that are multiplied have rows padded to a multiple of 4.


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
def cholesky(M, n):
    """Overwrite the lower triangle of M = L L^T, n x n, with L; False if M is not positive definite.

    M has rows and columns to spare up to a multiple of 12. Six columns at a time (n = 52 takes 11 us, with
    twelve 13 and with 24 19), each less its products with the columns before: all of it dot products of rows.
    """
    corner = np.zeros((6, 6))  # [k, j] = L[j, k] for j > k, of the six columns
    inverse = np.zeros(6)
    for j0 in range(0, n, 6):
        j1 = min(j0 + 6, n)
        for k0 in range(0, j0, 512):
            k1 = min(k0 + 512, j0)
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


# -- solvers ------------------------------------------------------------------------------------------------


@kernel
def pair_matrix(K, i, j, ridge, M):
    """Write the lower triangle of A K A^T + ridge I, A the incidence of the pairs (i, j)."""
    T = K.shape[0]
    difference = np.empty(T)
    for p in range(i.size):
        Ki, Kj = K[i[p]], K[j[p]]
        for t in range(T):
            difference[t] = Kj[t] - Ki[t]
        row = M[p]
        for q in range(p + 1):
            row[q] = difference[j[q]] - difference[i[q]]
        row[p] += ridge


@part
def _factor_curvature(R, rank, alpha, later, end, bound, i, j, weight, L, RL, M):
    """Write the Cholesky factor of I + weight R A^T D A R^T to M; False if rounding forbids.

    i, j are the window's pairs, or empty where they are many.
    """
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


@part
def _conjugate_gradients(R, rank, alpha, later, end, bound, weight, residual, M, p):
    """Solve (I + weight R A^T D A R^T) p = -residual to a tenth; M is the factor of an earlier such matrix.

    Returns whether that took at most 15 iterations. A new factor takes forty times one of them (T = 2000).
    """
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
def _direction(K, R, rank, alpha, later, end, bound, ridge, inside, residual, factored, L, RL, M, p):
    """Solve (I + R A^T D A R^T / ridge) p = -residual, roughly; the window D has `inside` pairs.

    Returns the derivative along p, and whether M is left the factor of that matrix for later steps.
    """
    T = later.size
    few = inside <= rank or 16 * inside < T * T
    i, j = np.empty(inside if few else 0, np.intp), np.empty(inside if few else 0, np.intp)
    if few:
        list_window(alpha, later, end, bound, i, j)
    if inside <= rank:
        # (I + B B^T / ridge)^-1 = I - B (ridge I + B^T B)^-1 B^T with B = R A^T
        factored = False
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
                return start, False
    # the window is large, or its pairs leave u next to no freedom
    if not (
        factored and _conjugate_gradients(R, rank, alpha, later, end, bound, 1.0 / ridge, residual, M, p)
    ):
        factored = _factor_curvature(R, rank, alpha, later, end, bound, i, j, 1.0 / ridge, L, RL, M)
        if not factored:
            return 0.0, False
        for k in range(p.size):
            p[k] = -residual[k]
        solve_lower(M, p[:rank])
        solve_lower_transposed(M, p[:rank])
    return dot(p, residual), factored


@kernel
def augmented_lagrangian(
    K, R, rank, later, end, C, squared, enough, max_iter, z, base, best_z, best_alpha, state, L, RL, M
):
    """Semismooth Newton steps on z = R A^T alpha, in rounds of the method of multipliers.

    The scores are f = R^T z. A round moves `base` to the multipliers that it found; delta falls as long as
    rounds stay short. A step solves with the window's pairs, a matrix of their number, or, where they are
    more than the rank, with I + R A^T D A R^T / (delta + q).

    Takes up to max_iter steps, and returns whether there is nothing left to do: a gap of `enough` times the
    objective, or rounding. `state` carries over what the next call needs, so that a long problem, one step a
    call, can be watched and interrupted; a short one is a single call, so that threads over clips need not
    wait for the interpreter. L, RL and M are where to work, M also what to keep.
    """
    T = later.size
    rows, width = R.shape
    power = 2 if squared else 1
    q = 0.5 / C if squared else 0.0
    bound = np.inf if squared else C
    # steps: of this round; last_gap: at the end of the last one; stalled: rounds since that fell; kept: M is
    # the factor of an earlier step, which is worth keeping where a factor takes longer than all else
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
        state[0], state[1], state[2], state[3] = delta, steps, best_primal, best_dual
        state[4], state[5], state[6], state[7] = last_gap, stalled, n_iter, kept
        if gap <= enough * best_primal or not np.isfinite(primal):
            return True
        if n_iter == last:
            return False

        slope_0 = 0.0
        if steps == 0.0 or lag > max(0.1 * abs(primal - dual - lag), 0.5 * delta * moved):
            slope_0, factored = _direction(
                K, R, rank, alpha, later, end, bound, delta + q, inside, residual, kept == 1.0, L, RL, M, p
            )
            kept = 1.0 if factored and T >= 150 else 0.0
        if not slope_0 < 0.0 or dot(p, p) < 1e-31 * dot(z, z) or steps > 100.0:  # the round is over
            if delta * C > 1.0:  # far from what lets the multipliers reach C
                delta = max(0.01 * delta, 1.0 / C)
            else:
                stalled = stalled + 1.0 if gap > 0.9 * last_gap else 0.0
                if stalled == 8.0 or delta == 0.0:
                    return True
                if squared:
                    delta = 0.0
                elif steps <= 3.0 or gap > 0.5 * last_gap:  # a round was cheap, or gained little
                    shrink = 0.2 if steps <= 1.0 else 0.5 if steps <= 3.0 else 0.7
                    delta = max(delta * shrink, min(1e-12, 1e-3 / C))
                last_gap = gap
            copy(alpha, base)
            steps = 0.0
            sums = multipliers(f[:T], base, later, end, delta, q, bound, power, alpha, beta[:T])
            continue
        n_iter += 1.0
        steps += 1.0

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


@kernel
def _middle(a, b, first, later):
    """Return the border between two times nearest to the middle of a..b; b if all times are equal."""
    middle = (a + b) // 2
    lo, hi = first[middle], later[middle]
    if lo > a and (hi >= b or middle - lo <= hi - middle):
        return lo
    return min(hi, b)


@kernel
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


@kernel
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


@kernel
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


@kernel
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
