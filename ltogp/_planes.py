"""Block histograms from bit planes, for processors that count the ones of whole vectors (AVX512_VPOPCNTDQ).

Comparing 64 pixels gives a word of 64 bits, and the eight comparisons of a pixel give eight: its bit planes.
The number of pixels of a code is the number of ones in an AND of planes and complements of planes. For 64
pixels and all 256 codes, that is 32 times AND, count, add on vectors of eight words; `_kernels.count` takes
64 times load, increment, store, and clears and sums counters besides.

For a 128 x 128 frame of uint8 in 8 x 8 blocks (Zen 4, one thread, µs): copying with borders 0.7, comparing
1.1, `collect`, `split` and `count` 5.2, together 8.2 where `_kernels.histogram` takes 10.3. The smaller
the blocks, the more is gained: blocks of 16 pixels take 0.76 x as long, blocks of 7776 pixels 0.83 x.

The intrinsics below are what a C programmer has in immintrin.h: a type of eight words and its instructions.
On a processor without some instruction LLVM writes others for it.
"""

# mypy: allow-untyped-defs

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy import uint64, uintp

from ltogp._blocks import expect, finish, place, room, show, soon, uncount_hidden
from ltogp._codes import address_of, code_planes, map_codes, splat_of, steps_of, three_planes
from ltogp._kernels import chunk_shape, fill_padded


def histogram(frames, piece, blocks, geometry, out, o, options):
    """As `_kernels.histogram`, but of templates only with those of three taps."""
    t0, t1, b0, b1 = piece
    bands, edges = blocks
    rows, columns, reach, taps, weights, three, limit = geometry
    width = frames.shape[2]
    height = chunk_shape(frames, reach)[1]
    # Of the 17 vectors read for 64 pixels, the five above each other are then aligned.
    stride = (width + 2 * reach + 63) // 64 * 64
    padded = aligned((height + 2 * reach) * stride + 2 * reach + 128, -reach, frames)
    planes = aligned(height * ((width + 63) // 64) * 8, 0, _EMPTY)
    steps = steps_of(taps, weights, three, stride, limit)
    words, halves = aligned(22 * 8, 0, _EMPTY), aligned(22 * 32, 0, _EMPTY)
    span = 1
    if options is not None:
        table, mask, reaches, span, norm = options
        n_bins, n_row, to, shown, seen, norms = room(options, blocks, out, height * stride, width)
        codes, few = np.empty(8 * len(planes), np.uint8), np.empty(64, np.float32)
    bad = -1
    for t in range(t0, t1):
        above, bottom = 0, -1
        for b in range(b0, b1 + span - 1):
            if bands[b, 0] != bottom:
                above = 0
            bottom = bands[b, 1]
            for y in range(bands[b, 0], bottom, height):
                n_rows, new = min(height, bottom - y), y == bands[b, 0]
                fits = fill_padded(frames, t, y, n_rows, above, rows, columns, reach, limit, padded, stride)
                above = n_rows
                if not fits and bad < 0:
                    bad = t
                if options is None:
                    if three:
                        three_planes(padded, n_rows, stride, width, steps, planes)
                    else:
                        code_planes(padded, n_rows, stride, reach, width, planes)
                    first = o + b * len(edges) * 256
                    where = (out, t - t0, first)
                    count_row(planes, n_rows, edges, words, halves, new, where, where)
                    continue
                if len(shown):
                    show(mask, t, y, n_rows, stride, shown, seen)
                for k in range(len(reaches)):
                    if three:
                        three_planes(padded, n_rows, stride, width, steps, planes)
                    else:
                        inside = padded[(reach - reaches[k]) * (stride + 1) :]
                        code_planes(inside, n_rows, stride, reaches[k], width, planes)
                    if len(shown):
                        hide_planes(planes, n_rows, stride, width, shown)
                    f, first = place(t - t0, o, b, k, len(bands), n_row, span)
                    where, then = (to, f, first), (out, t - t0, soon(o, b, k, blocks, n_bins, span))
                    if n_bins == 256:
                        count_row(planes, n_rows, edges, words, halves, new, where, then)
                    else:
                        map_planes(planes, n_rows, width, table, codes)
                        count_bins(planes, n_rows, edges, words, halves, new, where, n_bins, few)
                    if len(shown):
                        uncount_hidden(seen, n_rows, edges, to, f, first, n_bins)
            if options is not None and (span > 1 or norm > 0):
                finish(options, piece, blocks, b, n_bins, to, out, t - t0, o, norms, True)
    return bad


_EMPTY = np.empty(0, np.uint64)
# Lane i has all bits set where bit k of i is 0, for k = 0, 1, 2.
_LANES = np.array([0 if i >> k & 1 else 2**64 - 1 for k in range(3) for i in range(8)], np.uint64)


@njit
def aligned(n, ahead, like):
    """Return an empty array of n elements of the type of `like`, whose element -ahead begins a cache line."""
    a = np.empty(n + 128, like.dtype)
    first = ((64 - (a.ctypes.data & 63)) & 63) // like.itemsize + (ahead & 63)
    return a[first : first + n]


@njit
def hide_planes(planes, n_rows, stride, width, shown):
    """Clear all bits of pixels that are not shown: their code is 0, as in `_kernels.hide`."""
    o = uintp(0)
    for x in range(uintp(0), uintp(width), uintp(64)):
        for r in range(uintp(n_rows)):
            row = and_(load(planes, o), splat(set_bits(shown, r * uintp(stride) + x, np.uint8(255))))
            store(planes, o, row)
            o += uintp(8)


@njit
def map_planes(planes, n_rows, width, table, codes):
    """Replace codes by their bins, fewer than 64: bits 6 and 7 are then 0.

    A frame of uint8 takes 0.95 to 1.05 x as long as without a mapping (Zen 4), for what this takes is gained
    by `count_bins`; counting bytes, as `_kernels.count` does, it took 1.3 to 1.4 x.
    """
    n = uintp(n_rows) * ((uintp(width) + uintp(63)) >> uintp(6)) << uintp(3)
    for o in range(uintp(0), n, uintp(8)):
        store_codes(codes, o << uintp(3), planes, o)
    map_codes(codes, n << uintp(3), table)
    for o in range(uintp(0), n, uintp(8)):
        for k in range(uintp(8)):
            planes[o + k] = set_bits(codes, o << uintp(3), np.uint8(1 << k))


@njit(forceinline=True)
def count_row(planes, n_rows, edges, words, halves, new, where, then):
    """As `_kernels.count_row`."""
    out, f, first = where
    for j in range(len(edges)):
        at, overwrite = first + j * 256, new
        expect(then[0], then[1], then[2] + (j + 3) * 256, 256)
        for x in range(edges[j, 0], edges[j, 1], 64):
            x1 = min(x + 64, edges[j, 1])
            n = collect(planes, n_rows, x, x1, words)
            split(words, n, halves)
            count(halves, n, out, uintp(f * out.shape[1] + at), overwrite, uintp(16))
            # The bits left over in the last word are zero, which is a code too.
            out[f, at] -= np.float32(64 * n - n_rows * (x1 - x))
            overwrite = False


@njit
def count_bins(planes, n_rows, edges, words, halves, new, where, n_bins, few):
    """As `count_row`, of fewer than 64 bins, into `few` and from there to `out`."""
    out, f, first = where
    for j in range(len(edges)):
        overwrite = True
        for x in range(edges[j, 0], edges[j, 1], 64):
            x1 = min(x + 64, edges[j, 1])
            n = collect(planes, n_rows, x, x1, words)
            split(words, n, halves)
            count(halves, n, few, uintp(0), overwrite, uintp(n_bins + 15) >> uintp(4))
            few[0] -= np.float32(64 * n - n_rows * (x1 - x))
            overwrite = False
        at = uintp(first + j * n_bins)
        for i in range(uintp(n_bins)):
            out[uintp(f), at + i] = few[i] if new else out[uintp(f), at + i] + few[i]


@njit(forceinline=True)
def collect(planes, n_rows, x0, x1, words):
    """Join the bits of columns x0:x1, at most 64, of all rows to full words; return how many of each plane.

    Without a branch for blocks that lie in two words: it cost reference counting in each block, 0.5 µs.
    """
    width, shift = uint64(x1 - x0), uint64(x0) & uint64(63)
    p = ((uintp(x0) >> uintp(6)) * uintp(n_rows)) << uintp(3)
    other = uintp(n_rows) << uintp(3) if shift + width > uint64(64) else uintp(0)
    right, left = splat(shift), splat((uint64(64) - shift) & uint64(63))
    mask, bits = splat(~uint64(0) >> (uint64(64) - width)), splat(uint64(0))
    held, n = uint64(0), uintp(0)
    for _ in range(n_rows):
        row = lshr(load(planes, p), right)
        row = and_(or_(row, shl(load(planes, p + other), left)), mask)
        p += uintp(8)
        bits = or_(bits, shl(row, splat(held)))
        held += width
        if held >= uint64(64):
            store(words, n, bits)
            n += uintp(8)
            held -= uint64(64)
            bits = lshr(
                lshr(row, splat(width - held - uint64(1))), splat(uint64(1))
            )  # shifting by 64 is undefined
    store(words, n, bits)
    return (n >> uintp(3)) + uintp(held > 0)


@njit(forceinline=True)
def split(words, n, halves):
    """Find in each word the pixels of each lower half of a code, halves[:16], and upper half, halves[16:]."""
    c0, c1, c2 = load(_LANES, uintp(0)), load(_LANES, uintp(8)), load(_LANES, uintp(16))
    ones = splat(~uint64(0))
    for z in range(uintp(0), n << uintp(3), uintp(4)):
        code = xor(splat(words[z]), c0)
        code = and_(code, xor(splat(words[z + uintp(1)]), c1))
        code = and_(code, xor(splat(words[z + uintp(2)]), c2))
        last = splat(words[z + uintp(3)])
        store(halves, z << uintp(2), and_(code, xor(last, ones)))
        store(halves, (z << uintp(2)) + uintp(8), and_(code, last))


@njit(forceinline=True)
def count(halves, n, out, o, new, n_upper):
    """Add how often each code stands in n words to elements of `out` from o on; `new` overwrites.

    Codes with the first n_upper upper halves, 16 each, or one upper half more if n_upper is odd.
    """
    zero = splat(uint64(0))
    for upper in range(uintp(0), n_upper, uintp(2)):
        a, b, c, d = zero, zero, zero, zero
        for p in range(uintp(0), n << uintp(5), uintp(32)):
            low, high = load(halves, p), load(halves, p + uintp(8))
            u, v = splat(halves[p + upper + uintp(16)]), splat(halves[p + upper + uintp(17)])
            a = add(a, popcount(and_(u, low)))
            b = add(b, popcount(and_(u, high)))
            c = add(c, popcount(and_(v, low)))
            d = add(d, popcount(and_(v, high)))
        add_counts(out, o + (upper << uintp(4)), a, b, new)
        add_counts(out, o + (upper << uintp(4)) + uintp(16), c, d, new)


# ------------------------------------------------------------------------------------------------- intrinsics


class _Words(types.Type):
    """Eight uint64 in one register."""

    def __init__(self):
        super().__init__("Words")


_words = _Words()
_vector = ir.VectorType(ir.IntType(64), 8)


@register_model(_Words)
class _WordsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _vector)


@intrinsic
def load(typingctx, array, i):
    """Return array[i:i + 8]."""

    def code(context, builder, signature, args):
        return builder.load(address_of(context, builder, signature.args[0], *args, _vector), align=8)

    return _words(array, types.uintp), code


@intrinsic
def store(typingctx, array, i, value):
    """Set array[i:i + 8] to the value."""

    def code(context, builder, signature, args):
        to = address_of(context, builder, signature.args[0], *args[:2], _vector)
        builder.store(args[2], to, align=8)
        return context.get_dummy_value()

    return types.void(array, types.uintp, _words), code


@intrinsic
def splat(typingctx, x):
    """Return eight times x."""

    def code(context, builder, signature, args):
        return splat_of(builder, args[0], _vector)

    return _words(types.uint64), code


def _instruction(name):
    """Return the intrinsic for an instruction of LLVM on two vectors."""

    def both(typingctx, a, b):
        return _words(_words, _words), lambda context, builder, signature, args: getattr(builder, name)(*args)

    return intrinsic(both)


and_, or_, xor, add, shl, lshr = map(_instruction, ("and_", "or_", "xor", "add", "shl", "lshr"))


@intrinsic
def popcount(typingctx, a):
    """Return how many bits are set in each word."""

    def code(context, builder, signature, args):
        signature = ir.FunctionType(_vector, [_vector])
        function = cgutils.get_or_insert_function(builder.module, signature, "llvm.ctpop.v8i64")
        return builder.call(function, args)

    return _words(_words), code


@intrinsic
def add_counts(typingctx, out, i, a, b, new):
    """Add a and b, below 2**31, to out[i:i + 16]; `new` overwrites what is there."""

    def code(context, builder, signature, args):
        out, i, a, b, new = args
        ints, floats = ir.VectorType(ir.IntType(32), 16), ir.VectorType(ir.FloatType(), 16)
        # The even halves of both: one instruction, where truncation to 32 bits takes three.
        even = ir.Constant(ints, list(range(0, 32, 2)))
        n = builder.shuffle_vector(builder.bitcast(a, ints), builder.bitcast(b, ints), even)
        n = builder.sitofp(n, floats)
        to = address_of(context, builder, signature.args[0], out, i, floats)
        with builder.if_else(new) as (overwrite, otherwise):
            with overwrite:
                builder.store(n, to, align=4)
            with otherwise:
                builder.store(builder.fadd(builder.load(to, align=4), n), to, align=4)
        return context.get_dummy_value()

    return types.void(out, types.uintp, _words, _words, types.boolean), code


@intrinsic
def set_bits(typingctx, numbers, q, some):
    """Return a word, bit i being whether numbers[q + i], a uint8, has some of these bits."""

    def code(context, builder, signature, args):
        numbers, q, some = args
        vector = ir.VectorType(ir.IntType(8), 64)
        address = address_of(context, builder, signature.args[0], numbers, q, vector)
        bits = builder.and_(builder.load(address, align=1), splat_of(builder, some, vector))
        bits = builder.icmp_unsigned("!=", bits, ir.Constant(vector, [0] * 64))
        return builder.bitcast(bits, ir.IntType(64))

    return types.uint64(numbers, types.uintp, types.uint8), code


@intrinsic
def store_codes(typingctx, codes, p, planes, o):
    """Set codes[p:p + 64] to the codes whose bits are planes[o:o + 8]."""

    def code(context, builder, signature, args):
        codes, p, planes, o = args
        vector, word = ir.VectorType(ir.IntType(8), 64), ir.IntType(64)
        first = address_of(context, builder, signature.args[2], planes, o, word)
        total = zero = ir.Constant(vector, [0] * 64)
        for k in range(8):
            bits = builder.load(builder.gep(first, [ir.IntType(32)(k)]))
            bits = builder.bitcast(bits, ir.VectorType(ir.IntType(1), 64))
            total = builder.or_(total, builder.select(bits, ir.Constant(vector, [1 << k] * 64), zero))
        to = address_of(context, builder, signature.args[0], codes, p, vector)
        builder.store(total, to, align=1)
        return context.get_dummy_value()

    return types.void(codes, types.uintp, planes, types.uintp), code
