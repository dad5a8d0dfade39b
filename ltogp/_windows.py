"""Numba kernel for maps: the histograms of windows that overlap, from codes.

Down the rows of windows, a histogram of each cell, the columns between two edges of windows, over the rows of
the windows: the pixels of rows that enter are counted, those of rows that leave are taken away. Along a row,
the histogram of a window is that of its left neighbour, plus the cells that enter, minus those that leave. So
a pixel is counted twice whatever the window, and a window costs one addition and one subtraction.

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


def histogram_windows(codes, mask, rows, windows, edges, n_bins, out):
    """Write the histogram of window (i, j) to element (i*len(windows) + j)*n_bins and the next of `out`.

    Window i of a column covers rows rows[i, 0]:rows[i, 1] of `codes` (H, W), and window j of a row the cells
    windows[j, 0]:windows[j, 1], cell c being columns edges[c]:edges[c + 1]; the cells hold all columns. No
    window begins or ends before its predecessor. Where `mask` (H, W) is 0 no pixel is counted; empty, it is
    none. `out` has `LANES` elements more than are needed.

    Counts are exact below 2**31 pixels a window, and rounded to float32 at the end.
    """
    n, n_windows = uintp(n_bins), uintp(len(windows))
    padded = (n + uintp(LANES - 1)) // uintp(LANES) * uintp(LANES)
    cells = np.zeros((len(edges) - 1) * padded, np.int32)
    bins = np.empty(codes.shape[1], np.uintp)  # where the histogram of each column begins
    for c in range(uintp(len(edges) - 1)):
        for x in range(uintp(edges[c]), uintp(edges[c + uintp(1)])):
            bins[x] = c * padded
    top = bottom = uintp(rows[0, 0])
    for i in range(uintp(len(rows))):
        count_rows(codes, mask, bottom, uintp(rows[i, 1]), bins, cells, int32(1))
        count_rows(codes, mask, top, uintp(rows[i, 0]), bins, cells, int32(-1))
        top, bottom = uintp(rows[i, 0]), uintp(rows[i, 1])
        # From the last bins to the first: what the last lanes write beyond n_bins are the first bins of the
        # next window, or lies behind the last one.
        k = padded
        while k > uintp(0):
            k -= uintp(LANES)
            sum_along(cells, windows, k, padded, out, i * n_windows * n + k, n)
    return -1


@njit
def count_rows(codes, mask, y0, y1, bins, cells, step):
    """Add `step` to the bin of each pixel of rows y0:y1."""
    for y in range(y0, y1):
        # The same loop twice: the test for a mask stays outside.
        if mask.size == 0:
            for x in range(uintp(len(bins))):
                cells[bins[x] + uintp(codes[y, x])] += step
        else:
            for x in range(uintp(len(bins))):
                cells[bins[x] + uintp(codes[y, x])] += step if mask[y, x] else int32(0)


@njit
def sum_along(cells, windows, k, padded, out, first, n_bins):
    """Write bins k to k + 15 of a row of windows to out[first:first + 16] and each n_bins after it."""
    left = right = uintp(windows[0, 0])
    total = minus(load(cells, k), load(cells, k))
    for j in range(uintp(len(windows))):
        while right < uintp(windows[j, 1]):
            total = plus(total, load(cells, right * padded + k))
            right += uintp(1)
        while left < uintp(windows[j, 0]):
            total = minus(total, load(cells, left * padded + k))
            left += uintp(1)
        store(out, first + j * n_bins, total)


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


def _address(context, builder, array_type, array, i, to):
    first = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [i]), to.as_pointer())


@intrinsic
def load(typingctx, array, i):
    """Return array[i:i + 16]."""

    def code(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args, _vector), align=4)

    return _lanes(array, types.uintp), code


@intrinsic
def store(typingctx, array, i, value):
    """Set array[i:i + 16], of float32, to the value."""

    def code(context, builder, signature, args):
        to = _address(context, builder, signature.args[0], *args[:2], _floats)
        builder.store(builder.sitofp(args[2], _floats), to, align=4)
        return context.get_dummy_value()

    return types.void(array, types.uintp, _lanes), code


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

    def store(array, i, value):
        """Set array[i:i + 16] to the value."""
        array[i : i + LANES] = value
