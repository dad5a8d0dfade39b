"""Numba kernels: sums over all pairs of long sequences, in O(T log T) time and O(T) memory.

`order` lists the frames by score inside each group. A segment a..b of frames is split in time at m: the pairs
across m are found with two pointers, since both sides stay in the order of their scores when `order[a:b]` is
parted stably, and summed with prefix sums. The sides follow, down to segments short enough for all pairs one
by one.

a_ij = clip(1 - m_ij, 0, width) is what the pair weighs; a pair is in the window where 0 < 1 - m_ij < width.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np

from ._compilation import kernel

_SHORT = 48  # frames of a segment whose pairs are taken one by one
_FEW = 24  # pairs of a window that are summed one by one, without the cancellation of prefix sums


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
