"""The options of kernels that count: masks, several radii, cells of blocks that overlap, and norms.

`options` are (table, mask, reaches, span, norm):

- `table` (256,) maps codes to bins;
- where `mask` (T, H, W) is 0 no pixel is counted; empty, it is none;
- `reaches` are those of several radii, whose histograms follow each other; the largest is that of the
  geometry, and with templates it is the only one;
- bands and edges are those of cells; a block is `span` of them downwards and to the right, so that the cells
  that blocks share are counted once;
- `norm` is that of `normalize_row`, or 0.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit
from numpy import uintp


@njit
def room(options, blocks, out, n_pixels, width):
    """Return what kernels need for the options.

    That is how many bins there are, how many of all cells of a band, where cells are counted (`out` itself if
    they are blocks), and `shown` and `seen`, see `show`: empty without a mask.
    """
    table, mask, reaches, span, _ = options
    n_bins = np.intp(table.max()) + 1
    n_row = len(blocks[1]) * n_bins
    to = out if span == 1 else np.empty((1, len(reaches) * n_row), np.float32)
    n_shown, n_seen = (n_pixels, width) if mask.size else (0, 0)
    return n_bins, n_row, to, np.empty(n_shown, np.uint8), np.empty(n_seen, np.uint8)


@njit
def place(f, o, b, k, n_bands, n_row, span):
    """Return row and column at which the cells of band b, at the k-th radius, begin in what `room` returns."""
    return (f, o + (k * n_bands + b) * n_row) if span == 1 else (0, k * n_row)


@njit
def finish(options, piece, blocks, b, n_bins, cells, out, f, o):
    """After band b, add its cells to the blocks they are part of, and normalize blocks that are complete."""
    _, _, reaches, span, norm = options
    _, _, b0, b1 = piece
    bands, edges = blocks
    n_blocks, done = len(edges) - span + 1, b - span + 1
    for k in range(len(reaches)):
        column = o + k * (len(bands) - span + 1) * n_blocks * n_bins
        if span > 1:
            join_cells(cells, k * len(edges) * n_bins, n_blocks, span, n_bins)
            for i in range(max(b0, done), min(b + 1, b1)):
                first = column + i * n_blocks * n_bins
                add_cells(cells, k * len(edges) * n_bins, n_blocks * n_bins, i == b, out, f, first)
        if norm and done >= b0:
            normalize_row(out, f, column + done * n_blocks * n_bins, n_blocks, n_bins, norm)


# ------------------------------------------------------------------------------------------------------ masks


@njit
def show(mask, t, y, n_rows, stride, shown, seen):
    """Set `shown` to 255 where the mask is not 0 in rows y:y + n_rows, else 0; count them by columns: `seen`."""
    f, width, s = uintp(t), uintp(mask.shape[2]), uintp(stride)
    for x in range(width):
        seen[x] = 0
    for r in range(uintp(n_rows)):
        first, v = r * s, uintp(y) + r
        # The same loop twice, as in `fill_padded`.
        if mask.strides[2] == 1:
            for x in range(width):
                shown[first + x] = np.uint8(255) if mask[f, v, x] else np.uint8(0)
        else:
            for x in range(width):
                shown[first + x] = np.uint8(255) if mask[f, v, x] else np.uint8(0)
        for x in range(width):
            seen[x] += np.uint8(shown[first + x] & np.uint8(1))


@njit
def uncount_hidden(seen, n_rows, edges, out, f, first, n_bins):
    """Take the pixels that are not shown from bin 0 of each cell: code 0, which they were set to, is in it."""
    for j in range(len(edges)):
        n = uintp(0)
        for x in range(uintp(edges[j, 0]), uintp(edges[j, 1])):
            n += uintp(seen[x])
        hidden = n_rows * (edges[j, 1] - edges[j, 0]) - np.intp(n)
        out[uintp(f), uintp(first + j * n_bins)] -= np.float32(hidden)


# ------------------------------------------------------------------------------------------------------ cells


@njit
def join_cells(cells, first, n_blocks, span, n_bins):
    """Add to the first n_blocks cells the span - 1 cells to the right of each."""
    n = uintp(n_bins)
    for j in range(uintp(n_blocks)):
        at = uintp(first) + j * n
        for k in range(uintp(1), uintp(span)):
            for i in range(n):
                cells[uintp(0), at + i] += cells[uintp(0), at + k * n + i]


@njit
def add_cells(cells, o, n, new, out, f, first):
    """Add n columns of `cells`, from o on, to out[f, first:first + n]; `new` overwrites what is there."""
    if new:
        for i in range(uintp(n)):
            out[uintp(f), uintp(first) + i] = cells[uintp(0), uintp(o) + i]
    else:
        for i in range(uintp(n)):
            out[uintp(f), uintp(first) + i] += cells[uintp(0), uintp(o) + i]


# ---------------------------------------------------------------------------------------------- normalization


@njit
def normalize_row(out, f, first, n_blocks, n_bins, norm):
    """Divide each n_bins columns of out[f, first:] by their sum (norm 1) or Euclidean norm (2); 0 stays 0.

    Norm 3 is the square root of the former.
    """
    f, n = uintp(f), uintp(n_bins)
    for j in range(uintp(n_blocks)):
        o = uintp(first) + j * n
        # Sums of integers, exact in any order in float64.
        total = sum_of_squares(out, f, o, n) if norm == 2 else sum_of(out, f, o, n)
        if total == 0:
            continue
        if norm == 2:
            total = np.sqrt(total)
        for i in range(o, o + n):
            out[f, i] = np.float32(out[f, i] / total)
        if norm == 3:
            for i in range(o, o + n):
                out[f, i] = np.sqrt(out[f, i])


@njit(fastmath={"reassoc"})
def sum_of(out, f, first, n):
    """Sum of out[f, first:first + n]."""
    total = 0.0
    for i in range(first, first + n):
        total += np.float64(out[f, i])
    return total


@njit(fastmath={"reassoc"})
def sum_of_squares(out, f, first, n):
    """Sum of the squares of out[f, first:first + n]."""
    total = 0.0
    for i in range(first, first + n):
        total += np.float64(out[f, i]) * np.float64(out[f, i])
    return total
