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
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numpy import uintp


@njit
def room(options, blocks, out, n_pixels, width):
    """Return what kernels need for the options.

    That is how many bins there are, how many of all cells of a band, where cells are counted (`out` itself if
    they are blocks), `shown` and `seen`, see `show`, empty without a mask, and what `normalize_row` needs.
    """
    table, mask, reaches, span, _ = options
    n_bins = np.intp(table.max()) + 1
    n_row = len(blocks[1]) * n_bins
    to = out if span == 1 else np.empty((1, len(reaches) * n_row), np.float32)
    n_shown, n_seen = (n_pixels, width) if mask.size else (0, 0)
    return n_bins, n_row, to, np.empty(n_shown, np.uint8), np.empty(n_seen, np.uint8), room_for_norms()


@njit
def place(f, o, b, k, n_bands, n_row, span):
    """Return row and column at which band b, at the k-th radius, begins in the array that `room` returns."""
    return (f, o + (k * n_bands + b) * n_row) if span == 1 else (0, k * n_row)


@njit
def soon(o, b, k, blocks, n_bins, span):
    """Return the column of `out` at which the blocks begin that begin with band b, at the k-th radius."""
    bands, edges = blocks
    return o + (k * (len(bands) - span + 1) + b) * (len(edges) - span + 1) * n_bins


@njit(forceinline=True)  # a call passes every field of every array, and counts references
def finish(options, piece, blocks, b, n_bins, cells, out, f, o, norms, wide):
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
            normalize_row(out, f, column + done * n_blocks * n_bins, n_blocks, n_bins, norm, norms, wide)


# ------------------------------------------------------------------------------------------------------ masks


@njit
def show(mask, t, y, n_rows, stride, shown, seen):
    """Set `shown` to 255 where the mask is not 0, else to 0, in n_rows rows; `seen` counts by column."""
    f, width, s = uintp(t), uintp(mask.shape[2]), uintp(stride)
    for x in range(width):
        seen[x] = 0
    for r in range(uintp(n_rows)):
        first, v = r * s, uintp(y) + r
        # The same loop twice, as in `fill_padded`.
        if mask.strides[2] == 1:
            for x in range(width):
                shown[first + x] = np.uint8(255) if mask[f, v, x] else np.uint8(0)
                seen[x] += np.uint8(mask[f, v, x] != 0)
        else:
            for x in range(width):
                shown[first + x] = np.uint8(255) if mask[f, v, x] else np.uint8(0)
                seen[x] += np.uint8(mask[f, v, x] != 0)


@njit
def uncount_hidden(seen, n_rows, edges, out, f, first, n_bins):
    """Take the pixels that are not shown, whose codes were set to 0, from each cell's bin 0."""
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
def room_for_norms():
    """Return the first counts, and divisors and first quotients of blocks that are normalized together."""
    return np.arange(16.0), np.empty(8), np.empty(8 * 16, np.float32)


@njit(error_model="numpy")
def normalize_row(out, f, first, n_blocks, n_bins, norm, norms, wide):
    """Divide each n_bins columns of out[f, first:] by their sum (norm 1) or Euclidean norm (2); 0 stays 0.

    Norm 3 is the square root of the former. In float64, rounded to float32.

    Most counts of small blocks are below 16, so the 16 quotients are computed first and looked up: 256
    divisions would take 5.5 µs a frame of 8 x 8 blocks of 16 x 16 pixels, and roots as much again. Eight
    blocks together, because each waits for sum, root and quotients in turn. `wide` is whether vectors have 16
    numbers. What is left, 2.6 µs (AVX2 4), is a second pass over counts that are in the cache: quotients kept
    where the sum is that of the last blocks, as with "l1" and no mask, saved only 0.2.
    """
    f, n = uintp(f), uintp(n_bins)
    counts, divisors, quotients = norms
    whole = n & ~uintp(15)
    for j0 in range(uintp(0), uintp(n_blocks), uintp(8)):
        some = min(uintp(8), uintp(n_blocks) - j0)
        o = uintp(first) + j0 * n
        for j in range(some):
            divisors[j] = divisor_of(out, f, o + j * n, n, norm)
        for j in range(some):
            q, divisor = j * uintp(16), divisors[j]
            for c in range(len(counts)):
                quotients[q + c] = np.float32(counts[c] / divisor)
        if norm == 3:
            for c in range(len(quotients)):
                quotients[c] = np.sqrt(quotients[c])
        for j in range(some):
            divisor = divisors[j]
            if divisor == 0:
                continue
            at = o + j * n
            for i in range(at, at + whole, uintp(16)):
                q = j * uintp(16)
                if not (look_up_wide(out, f, i, quotients, q) if wide else look_up(out, f, i, quotients, q)):
                    for k in range(i, i + uintp(16)):
                        c = out[f, k]
                        out[f, k] = quotients[q + uintp(c)] if c < 16 else quotient(c, divisor, norm)
            for i in range(at + whole, at + n):
                out[f, i] = quotient(out[f, i], divisor, norm)


@njit(error_model="numpy")
def quotient(count, divisor, norm):
    q = np.float32(np.float64(count) / divisor)
    return np.sqrt(q) if norm == 3 else q


@njit(fastmath={"reassoc"})
def divisor_of(out, f, first, n, norm):
    """Return the sum of out[f, first:first + n], or the root of the sum of squares.

    Sums of integers, exact in any order: up to 2**24 in float32, which is faster, and beyond in float64.
    """
    total, exact = np.float32(0), 0.0
    for i in range(first, first + n):
        total += out[f, i] * out[f, i] if norm == 2 else out[f, i]
    if total >= 2**24:
        for i in range(first, first + n):
            c = np.float64(out[f, i])
            exact += c * c if norm == 2 else c
    else:
        exact = np.float64(total)
    return np.sqrt(exact) if norm == 2 else exact


# ---------------------------------------------------------------------------------------------- instructions


def look_up(out, f, i, table, o):
    """Replace each count c in out[f, i:i + 16] by table[o + c], unless one is above 15; say whether done."""
    counts = out[f, i : i + 16]
    if counts.max() > 15:
        return False
    counts[:] = table[o : o + 16][counts.astype(np.intp)]
    return True


def _permute(lanes):
    """Return the intrinsic that does it with vectors of so many lanes.

    LLVM makes one instruction of reads at as many places of a vector, where there is one.
    """

    def permute(typingctx, out, i, table, o):
        ints, floats = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(ir.FloatType(), lanes)

        def all_of(x):
            return ir.Constant(ints, [x] * lanes)

        def code(context, builder, signature, args):
            def address(k, i, part):
                array = context.make_array(signature.args[k])(context, builder, args[k])
                first = builder.gep(builder.gep(array.data, [i]), [ir.IntType(64)(part)])
                return builder.bitcast(first, floats.as_pointer())

            parts = range(0, 16, lanes)
            tables = [builder.load(address(2, args[3], part), align=4) for part in parts]
            few, found = ir.Constant(ir.VectorType(ir.IntType(1), lanes), [1] * lanes), []
            for part in parts:
                counts = builder.fptosi(builder.load(address(0, args[1], part), align=4), ints)
                few = builder.and_(few, builder.icmp_unsigned("<", counts, all_of(16)))
                place = builder.and_(counts, all_of(lanes - 1))
                number = ir.Constant(floats, ir.Undefined)
                for first, table in zip(parts, tables, strict=True):
                    here = ir.Constant(floats, ir.Undefined)
                    for lane in range(lanes):
                        at = builder.extract_element(place, ir.IntType(32)(lane))
                        at = builder.extract_element(table, at)
                        here = builder.insert_element(here, at, ir.IntType(32)(lane))
                    if first == 0:
                        number = here
                    else:
                        number = builder.select(
                            builder.icmp_unsigned("<", counts, all_of(first)), number, here
                        )
                found.append(number)
            few = builder.bitcast(few, ir.IntType(lanes))
            few = builder.icmp_unsigned("==", few, ir.IntType(lanes)(2**lanes - 1))
            with builder.if_then(few):
                for part, number in zip(parts, found, strict=True):
                    builder.store(number, address(0, args[1], part), align=4)
            return few

        return types.boolean(out, types.uintp, table, types.uintp), code

    return intrinsic(permute)


_permute_8, _permute_16 = _permute(8), _permute(16)


@overload(look_up, inline="always")
def _look_up(out, f, i, table, o):
    return lambda out, f, i, table, o: _permute_8(out, uintp(f) * uintp(out.shape[1]) + uintp(i), table, o)


def look_up_wide(out, f, i, table, o):
    """As `look_up`, for processors with vectors of 16 numbers."""
    return look_up(out, f, i, table, o)


@overload(look_up_wide, inline="always")
def _look_up_wide(out, f, i, table, o):
    return lambda out, f, i, table, o: _permute_16(out, uintp(f) * uintp(out.shape[1]) + uintp(i), table, o)


@njit(forceinline=True)
def expect(out, f, first, n):
    """Ask for the cache lines of out[f, first:first + n], for a store that waits for one holds up the others.

    Histograms at three radii, of 100 frames 20 MB: 42.9 -> 33.1 µs a frame, from bit planes 32.3 -> 28.9; one
    block ahead was not quite enough.
    """
    for i in range(uintp(0), uintp(n), uintp(16)):
        prefetch(out, uintp(f) * uintp(out.shape[1]) + uintp(first) + i)


def prefetch(out, i):
    """Load the cache line of out[i] for writing."""


@overload(prefetch, inline="always")
def _prefetch(out, i):
    return lambda out, i: prefetch_line(out, i)


@intrinsic
def prefetch_line(typingctx, out, i):
    """As `prefetch`; it may lie beyond the end."""

    def code(context, builder, signature, args):
        byte, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        line = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        kind = ir.FunctionType(ir.VoidType(), [byte, int32, int32, int32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(line, byte), int32(1), int32(3), int32(1)])
        return context.get_dummy_value()

    return types.void(out, types.uintp), code
