"""Numba kernel for maps: the histograms of windows that overlap, from codes.

Rows and columns of pixels are divided where a window begins or ends, into bands and strips, and where they
cross into cells. Down the rows of windows, a histogram of each strip, over the bands of the windows: a band
that enters is counted and added, one that leaves is taken away. Along a row, the histogram of a window is
that of its left neighbour, plus the strips that enter, minus those that leave. So a window costs one addition
and one subtraction, whatever its size.

What is taken away is what was added, if cells have enough pixels; otherwise the pixels are counted a second
time, downwards, because that is faster than clearing, adding and subtracting histograms that are almost
empty.

Sixteen bins at a time, so that their sums stay in a register from window to window (10 bins at each pixel:
LLVM's own loops over the bins 13 to 23 ns a window, with the sums in memory 7.4, so 4). In integers, because
equal neighbours wait for each other's count: in floats a constant image takes 2.8 times as long.
"""

# mypy: allow-untyped-defs

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, njit, types
from numba.extending import intrinsic, models, register_model
from numpy import int32, uintp

LANES = 16


def histogram_windows(codes, mask, bands, rows, strips, windows, n_bins, kept, out):
    """Write the histogram of window (i, j) to columns j*n_bins to (j + 1)*n_bins of row i of `out`.

    Band b is rows bands[b]:bands[b + 1] of `codes` (H, W), and strip s columns strips[s]:strips[s + 1]; they
    hold all rows and columns. Window (i, j) covers bands rows[i, 0]:rows[i, 1] and strips
    windows[j, 0]:windows[j, 1]. None begins or ends before its predecessor. Where `mask` (H, W) is 0 no pixel
    is counted; empty, it is none. The histograms of `kept` bands are kept to be taken away: see `n_kept`.
    """
    n, n_strips = uintp(n_bins), uintp(len(strips) - 1)
    padded = (n + uintp(LANES - 1)) // uintp(LANES) * uintp(LANES)
    size = n_strips * padded
    sums = np.zeros(size, np.int32)
    held = np.empty(uintp(kept) * size, np.int32)
    firsts = np.empty(codes.shape[1], np.uintp)  # of each column, where the histogram of its strip begins
    for s in range(n_strips):
        for x in range(uintp(strips[s]), uintp(strips[s + uintp(1)])):
            firsts[x] = s * padded
    last = np.empty(LANES, np.float32)
    top = bottom = uintp(0)
    for i in range(uintp(len(rows))):
        while bottom < uintp(rows[i, 1]):
            y0, y1 = uintp(bands[bottom]), uintp(bands[bottom + uintp(1)])
            if kept:
                slot = bottom % uintp(kept) * size
                for p in range(slot, slot + size):
                    held[p] = 0
                count_rows(codes, mask, y0, y1, firsts, held, slot, int32(1))
                for p in range(size):
                    sums[p] += held[slot + p]
            else:
                count_rows(codes, mask, y0, y1, firsts, sums, uintp(0), int32(1))
            bottom += uintp(1)
        while top < uintp(rows[i, 0]):
            if kept:
                slot = top % uintp(kept) * size
                for p in range(size):
                    sums[p] -= held[slot + p]
            else:
                y0, y1 = uintp(bands[top]), uintp(bands[top + uintp(1)])
                count_rows(codes, mask, y0, y1, firsts, sums, uintp(0), int32(-1))
            top += uintp(1)
        # From the last bins to the first: what the last lanes write beyond n_bins are the first bins of the
        # next window, written later.
        k = padded
        while k > uintp(0):
            if n == uintp(256):
                k -= uintp(4 * LANES)
                sum_four_along(sums, windows, k, padded, out, i, n)
            else:
                k -= uintp(LANES)
                sum_along(sums, windows, k, padded, out, i, n, last)
    return -1


def n_kept(rows, area, n_bins):
    """Return how many bands must be kept: those that any window and its predecessor cover; 0 for none.

    `area` is that of a cell. Of 4 pixels and 10 bins, or 64 and 256, both ways take the same time.
    """
    if 3 * area < n_bins:
        return 0
    return int(np.max(rows[:, 1] - np.append(0, rows[:-1, 0])))


@njit
def count_rows(codes, mask, y0, y1, firsts, counts, slot, step):
    """Add `step` to the bin of each pixel of rows y0:y1."""
    for y in range(y0, y1):
        # The same loop twice: the test for a mask stays outside.
        if mask.size == 0:
            for x in range(uintp(len(firsts))):
                counts[slot + firsts[x] + uintp(codes[y, x])] += step
        else:
            for x in range(uintp(len(firsts))):
                counts[slot + firsts[x] + uintp(codes[y, x])] += step if mask[y, x] else int32(0)


@njit
def sum_along(sums, windows, k, padded, out, i, n_bins, last):
    """Write bins k to k + 15 of a row of windows to out[i, k:k + 16] and each n_bins after it."""
    left = right = uintp(windows[0, 0])
    total = minus(load(sums, k), load(sums, k))
    width = uintp(len(windows)) * n_bins
    for first in range(k, width, n_bins):
        j = first // n_bins
        while right < uintp(windows[j, 1]):
            total = plus(total, load(sums, right * padded + k))
            right += uintp(1)
        while left < uintp(windows[j, 0]):
            total = minus(total, load(sums, left * padded + k))
            left += uintp(1)
        if first + uintp(LANES) <= width:
            store(out, i, first, total)
        else:
            store(last.reshape(1, LANES), uintp(0), uintp(0), total)
            for p in range(first, width):
                out[i, p] = last[p - first]


@njit
def sum_four_along(sums, windows, k, padded, out, i, n_bins):
    """As `sum_along`, with bins k to k + 63, which are all there: 1.9 ns for 16 bins in the cache, so 6.7."""
    left = right = uintp(windows[0, 0])
    p, a = uintp(0), minus(load(sums, k), load(sums, k))
    b, c, d = a, a, a
    for j in range(uintp(len(windows))):
        while right < uintp(windows[j, 1]):
            p = right * padded + k
            a, b = plus(a, load(sums, p)), plus(b, load(sums, p + uintp(16)))
            c, d = plus(c, load(sums, p + uintp(32))), plus(d, load(sums, p + uintp(48)))
            right += uintp(1)
        while left < uintp(windows[j, 0]):
            p = left * padded + k
            a, b = minus(a, load(sums, p)), minus(b, load(sums, p + uintp(16)))
            c, d = minus(c, load(sums, p + uintp(32))), minus(d, load(sums, p + uintp(48)))
            left += uintp(1)
        p = j * n_bins + k
        store(out, i, p, a)
        store(out, i, p + uintp(16), b)
        store(out, i, p + uintp(32), c)
        store(out, i, p + uintp(48), d)


# ------------------------------------------------------------------------------------------------- intrinsics


class _Lanes(types.Type):
    """Sixteen int32 in one register, or two."""

    def __init__(self):
        super().__init__("Lanes")


_lanes = _Lanes()
_vector = ir.VectorType(ir.IntType(32), LANES)
_floats = ir.VectorType(ir.FloatType(), LANES)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _vector)


@intrinsic
def load(typingctx, array, i):
    """Return array[i:i + 16]."""

    def code(context, builder, signature, args):
        array, i = args
        first = context.make_array(signature.args[0])(context, builder, array).data
        where = builder.bitcast(builder.gep(first, [i]), _vector.as_pointer())
        return builder.load(where, align=4)

    return _lanes(array, types.uintp), code


@intrinsic
def store(typingctx, array, i, j, value):
    """Set array[i, j:j + 16], of float32, to the value; its rows are contiguous."""

    def code(context, builder, signature, args):
        array, i, j, value = args
        array = context.make_array(signature.args[0])(context, builder, array)
        row = builder.mul(i, builder.extract_value(array.strides, 0))
        data = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        row = builder.bitcast(builder.gep(data, [row]), ir.FloatType().as_pointer())
        where = builder.bitcast(builder.gep(row, [j]), _floats.as_pointer())
        builder.store(builder.sitofp(value, _floats), where, align=4)
        return context.get_dummy_value()

    return types.void(array, types.uintp, types.uintp, _lanes), code


def _instruction(name):
    def both(typingctx, a, b):
        return _lanes(_lanes, _lanes), lambda context, builder, signature, args: getattr(builder, name)(*args)

    return intrinsic(both)


plus, minus = map(_instruction, ("add", "sub"))

if config.DISABLE_JIT:
    plus, minus = np.add, np.subtract

    def load(array, i):
        """Return array[i:i + 16]."""
        assert len(array) >= i + LANES
        return array[i : i + LANES].copy()

    def store(array, i, j, value):
        """Set array[i, j:j + 16] to the value."""
        assert array.shape[1] >= j + LANES
        array[i, j : j + LANES] = value
