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

from ._compilation import kernel
from ._dense_kernels import add_products

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
