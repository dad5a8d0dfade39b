"""Numba kernels: sums over all pairs of long sequences, in O(T log T) time and O(T) memory.

`order` lists the frames by score inside each group. A segment a..b of frames is split in time at m: the pairs
across m are found with two pointers, since both sides stay in the order of their scores when `order[a:b]` is
parted stably, and summed with prefix sums. The sides follow, down to segments short enough for all pairs one
by one. Where to split depends on the times only, so `split_in_time` says it once for all sums.

a_ij = clip(1 - m_ij, 0, width) is what the pair weighs; a pair is in the window where 0 < 1 - m_ij < width.

The pointers are moved in two functions, which LLVM inlines. Writing the windows of all of a segment's frames
to two arrays first would be shorter still: the sums then take up to 1.1 times as long, `window_pairs` 1.4.
"""

import numpy as np

from ._compilation import kernel

_SHORT = 48  # frames of a segment whose pairs are taken one by one
_FEW = 24  # pairs of a window that are summed one by one, without the cancellation of prefix sums


@kernel
def split_in_time(later, first, groups):
    """Return the segments a..b with the border m that splits each, a row (a, m, b); m = b where it is short.

    A segment comes before those that it is split into. `groups` are the first frames of the groups, and T.
    """
    segments = np.empty((2 * later.size, 3), np.int64)  # fewer: no two share a border, nor short ones a frame
    stack = np.empty((2 * 64, 2), np.int64)
    n = 0
    for group in range(groups.size - 1):
        stack[0, 0], stack[0, 1] = groups[group], groups[group + 1]
        depth = 1
        while depth > 0:
            depth -= 1
            a, b = stack[depth, 0], stack[depth, 1]
            short = b - a <= _SHORT
            m = b if short else _middle(a, b, first, later)
            if m >= b and not short:  # all times are equal
                continue
            segments[n, 0], segments[n, 1], segments[n, 2] = a, m, b
            n += 1
            if not short:
                stack[depth, 0], stack[depth, 1] = a, m
                stack[depth + 1, 0], stack[depth + 1, 1] = m, b
                depth += 2
    return segments[:n].copy()


@kernel
def smoothed_sums(f, order, later, segments, width, beta):
    """Write beta = A^T a. Overwrites `order`.

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
    total, hinges, squares, inside = 0.0, 0.0, 0.0, 0
    for s in range(segments.shape[0]):
        a, m, b = segments[s, 0], segments[s, 1], segments[s, 2]
        if m == b:
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
        _part_stably(order, spare, a, m, b)
        reference = f[order[a]]
        P[a] = 0.0
        for k in range(a, b):
            F[k] = f[order[k]] - reference
            P[k + 1] = P[k] + F[k]
        if squared:
            Q[a] = 0.0
            for k in range(a, b):
                Q[k + 1] = Q[k] + F[k] * F[k]
        lo, hi = m, m
        for k in range(a, m):
            top = 1.0 + F[k]
            lo, hi = _window_of_earlier(F, top, width, lo, hi, b)
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
        lo, hi = a, a
        for k in range(m, b):
            bottom = 1.0 - F[k]
            lo, hi = _window_of_later(F, bottom, width, lo, hi, m)
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
    return total, hinges, squares, inside


@kernel
def window_laplacian(f, order, later, segments, width, x, out):
    """Write out = A^T D A x, D one for the pairs in the window and zero for others. Overwrites `order`."""
    T = f.size
    out[:] = 0.0
    spare = np.empty(T, order.dtype)
    F = np.empty(T)
    P = np.empty(T + 1)
    for s in range(segments.shape[0]):
        a, m, b = segments[s, 0], segments[s, 1], segments[s, 2]
        if m == b:
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
        _part_stably(order, spare, a, m, b)
        P[a] = 0.0
        for k in range(a, b):
            F[k] = f[order[k]]
            P[k + 1] = P[k] + x[order[k]]
        lo, hi = m, m
        for k in range(a, m):
            lo, hi = _window_of_earlier(F, 1.0 + F[k], width, lo, hi, b)
            i = order[k]
            out[i] += (hi - lo) * x[i] - (P[hi] - P[lo])
        lo, hi = a, a
        for k in range(m, b):
            lo, hi = _window_of_later(F, 1.0 - F[k], width, lo, hi, m)
            j = order[k]
            out[j] += (hi - lo) * x[j] - (P[hi] - P[lo])


@kernel
def window_pairs(f, order, later, segments, width, ranks, i_out, j_out):
    """Write those pairs of the window whose ranks, in the order of this walk, are `ranks`.

    `ranks` is sorted and may repeat. Overwrites `order`. Returns the number of pairs written.
    """
    T = f.size
    spare = np.empty(T, order.dtype)
    F = np.empty(T)
    seen, written = 0, 0
    for s in range(segments.shape[0]):
        a, m, b = segments[s, 0], segments[s, 1], segments[s, 2]
        if m == b:
            for i in range(a, b):
                top = 1.0 + f[i]
                for j in range(later[i], b):
                    if 0.0 < top - f[j] < width:
                        while written < ranks.size and ranks[written] == seen:
                            i_out[written], j_out[written] = i, j
                            written += 1
                        seen += 1
            continue
        _part_stably(order, spare, a, m, b)
        for k in range(a, b):
            F[k] = f[order[k]]
        lo, hi = m, m
        for k in range(a, m):
            lo, hi = _window_of_earlier(F, 1.0 + F[k], width, lo, hi, b)
            while written < ranks.size and ranks[written] < seen + hi - lo:
                i_out[written], j_out[written] = order[k], order[lo + ranks[written] - seen]
                written += 1
            seen += hi - lo
    return written


@kernel
def _window_of_earlier(F, top, width, lo, hi, b):
    """Move lo..hi on to the window, in the later half, of an earlier frame, whose score is top - 1."""
    while hi < b and F[hi] < top:
        hi += 1
    while lo < hi and top - F[lo] >= width:
        lo += 1
    return lo, hi


@kernel
def _window_of_later(F, bottom, width, lo, hi, m):
    """Move lo..hi on to the window, in the earlier half, of a later frame, whose score is 1 - bottom."""
    while lo < m and bottom + F[lo] <= 0.0:
        lo += 1
    hi = max(hi, lo)
    while hi < m and bottom + F[hi] < width:
        hi += 1
    return lo, hi


@kernel
def _middle(a, b, first, later):
    """Return the border between two times nearest to the middle of a..b; b if all times are equal."""
    middle = (a + b) // 2
    lo, hi = first[middle], later[middle]
    if lo > a and (hi >= b or middle - lo <= hi - middle):
        return lo
    return min(hi, b)


@kernel
def _part_stably(order, spare, a, m, b):
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
