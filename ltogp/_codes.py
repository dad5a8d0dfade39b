"""Codes from vectors of pixels: bit planes, and bytes of templates of three taps.

A vector is what a cache line holds, 64 pixels of uint8 or 16 of float32. Comparing two gives a bit for each.
On a processor with shorter vectors LLVM takes several.
"""

# mypy: allow-untyped-defs

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numpy import uintp

# ------------------------------------------------------------------------------------------------ bit planes


@njit
def code_planes(padded, n_rows, stride, reach, width, planes):
    """Compute Eqs. (1) and (2): planes[(x // 64 * n_rows + r) * 8 + k] is bit k of 64 pixels of row r.

    Down a column of vectors, five rows at a time: of the 17 vectors that a pixel's code needs, 12 are not
    aligned, and each of those is two reads. Of one new row five are read, the others are in registers: 1.8 ->
    1.1 µs a frame of 128 x 128 (uint16 3.7 -> 1.6, float32 8.0 -> 3.5).
    """
    s, e = uintp(stride), uintp(reach // 2)
    n = e * s
    for x in range(uintp(0), uintp(width), lanes(padded)):
        o, part = place(padded, x, n_rows)
        for first in range(e):  # rows e apart share
            q = (uintp(reach) + first) * s + uintp(reach) + x
            b, _, north2, _, b2 = around(padded, q - n - n, e)
            north, here, south = around(padded, q - n, e), around(padded, q, e), around(padded, q + n, e)
            for r in range(first, uintp(n_rows), e):
                south2 = around(padded, q + n + n, e)
                i, c = o + (r << uintp(3)), here[2]
                store_bits(planes, i, part, rising(c, here[3], here[4]))
                store_bits(planes, i + uintp(1), part, rising(c, north[3], b2))
                store_bits(planes, i + uintp(2), part, rising(c, north[2], north2))
                store_bits(planes, i + uintp(3), part, rising(c, north[1], b))
                store_bits(planes, i + uintp(4), part, rising(c, here[1], here[0]))
                store_bits(planes, i + uintp(5), part, rising(c, south[1], south2[0]))
                store_bits(planes, i + uintp(6), part, rising(c, south[2], south2[2]))
                store_bits(planes, i + uintp(7), part, rising(c, south[3], south2[4]))
                b, north2, b2 = north[0], north[2], north[4]
                north, here, south = here, south, south2
                q += n


@njit
def around(padded, q, e):
    """Return the vectors at q - 2e, q - e, q, q + e and q + 2e."""
    return (
        pixels(padded, q - e - e),
        pixels(padded, q - e),
        pixels(padded, q),
        pixels(padded, q + e),
        pixels(padded, q + e + e),
    )


@njit(forceinline=True)
def place(padded, x, n_rows):
    """Return the planes of pixel x of the first row, and which part of their words a vector there fills."""
    return ((x >> uintp(6)) * uintp(n_rows)) << uintp(3), (x & uintp(63)) // lanes(padded)


def three_planes(padded, n_rows, stride, width, steps, planes):
    """As `code_planes`, of templates of three taps each: see `steps_of`.

    `while`, not `for`: where LLVM cannot count the rows it does not unroll, which for 16 of them takes longer
    to prepare than it saves: "lbp" 2.5 -> 1.8 µs a frame of 128 x 128. All eight templates of one vector
    after each other took 3.0, and vectors of 32 bytes as long as these of 64.
    """
    for k in range(uintp(8)):
        s0, s1, s2 = uintp(steps[k, 0]), uintp(steps[k, 1]), uintp(steps[k, 2])
        w0, w1, w2, most = steps[k, 3], steps[k, 4], steps[k, 5], steps[k, 6]
        for x in range(uintp(0), uintp(width), lanes(padded)):
            i, part = place(padded, x, n_rows)
            i += k
            q, end = x, x + uintp(n_rows) * uintp(stride)
            if s0 == s1:
                while q != end:
                    a, c = pixels(padded, s0 + q), pixels(padded, s2 + q)
                    store_bits(planes, i, part, signs(a, a, c, w0, w1, w2, most))
                    i, q = i + uintp(8), q + uintp(stride)
            else:
                while q != end:
                    a, b, c = pixels(padded, s0 + q), pixels(padded, s1 + q), pixels(padded, s2 + q)
                    store_bits(planes, i, part, signs(a, b, c, w0, w1, w2, most))
                    i, q = i + uintp(8), q + uintp(stride)


@overload(three_planes)
def _three_planes(padded, n_rows, stride, width, steps, planes):
    if isinstance(padded.dtype, types.Integer):
        return three_planes
    return lambda padded, n_rows, stride, width, steps, planes: None


# ----------------------------------------------------------------------------------------------------- bytes


def three_codes(padded, n_rows, stride, steps, chunk):
    """Compute codes of templates of three taps, as bytes: see `steps_of`."""
    n = uintp(n_rows) * uintp(stride)
    for k in range(uintp(8)):
        s0, s1, s2 = uintp(steps[k, 0]), uintp(steps[k, 1]), uintp(steps[k, 2])
        w0, w1, w2, most = steps[k, 3], steps[k, 4], steps[k, 5], steps[k, 6]
        # Two loops: bits that could come from either of two branches would be taken apart by AVX2.
        if w0 == 1 and w1 == 1 and w2 == -2:
            for p in range(uintp(0), n, lanes(padded)):
                a, b, c = pixels(padded, s0 + p), pixels(padded, s1 + p), pixels(padded, s2 + p)
                add_bits(chunk, p, k, rising(a, c, b))
        else:
            for p in range(uintp(0), n, lanes(padded)):
                a, b, c = pixels(padded, s0 + p), pixels(padded, s1 + p), pixels(padded, s2 + p)
                add_bits(chunk, p, k, at_most(a, b, c, w0, w1, w2, most))


@overload(three_codes)
def _three_codes(padded, n_rows, stride, steps, chunk):
    if isinstance(padded.dtype, types.Integer):
        return three_codes
    return lambda padded, n_rows, stride, steps, chunk: None


def map_codes(codes, n, table):
    """Replace each of the first n codes by table[code], and up to 63 more, for which there is room."""
    codes[:n] = table[codes[:n]]


@overload(map_codes)
def _map_codes(codes, n, table):
    def by_vectors(codes, n, table):
        for p in range(uintp(0), uintp(n), uintp(64)):
            map_vector(codes, p, table)

    return by_vectors


@njit
def steps_of(taps, weights, three, stride, limit):
    """Return of each template how far its three taps are from the first padded pixel; weights; largest sum.

    Taps and weights are those of `_geometry.three_taps`, and if they are not, nothing is returned. Of the
    pixels' complements the weighted sum must be at most the last, for that of the pixels to be at least 0.
    """
    steps = np.empty((8 if three else 0, 7), np.intp)
    for k in range(len(steps)):
        for i in range(3):
            steps[k, i] = taps[3 * k + i, 1] * stride + taps[3 * k + i, 2]
            steps[k, 3 + i] = int(weights[3 * k + i])
        steps[k, 6] = int(limit) * (steps[k, 3] + steps[k, 4] + steps[k, 5])
    return steps


@njit(forceinline=True)  # of vectors, not arrays, which would be reference counted around the branch
def signs(a, b, c, w0, w1, w2, most):
    """Whether w0 a + w1 b + w2 c <= most, for each pixel.

    Of second differences, and first ones, which have a == b, the average of a and b is compared with c, as in
    `_kernels.rises`: two instructions instead of some twenty.
    """
    if w0 == 1 and w1 == 1 and w2 == -2:
        return rising(a, c, b)
    return at_most(a, b, c, w0, w1, w2, most)


# ------------------------------------------------------------------------------------------------- intrinsics


class _Vector(types.Type):
    """As many numbers as fill a cache line, in one register or several; or one bit for each of them."""

    def __init__(self, dtype, bits=False):
        super().__init__(f"Vector({dtype}, {bits})")
        self.dtype, self.bits = dtype, bits


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        number = dmm.lookup(fe_type.dtype).get_value_type()
        element = ir.IntType(1) if fe_type.bits else number
        super().__init__(dmm, fe_type, ir.VectorType(element, 512 // fe_type.dtype.bitwidth))


def lanes(padded):
    """Return how many pixels a vector holds."""
    return uintp(64 // padded.itemsize)


@overload(lanes)
def _lanes(padded):
    n = uintp(512 // padded.dtype.bitwidth)
    return lambda padded: n


def address_of(context, builder, array_type, array, i, to):
    first = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [i]), to.as_pointer())


def splat_of(builder, x, to):
    """Return a vector of type `to`, of as many times x."""
    n = ir.VectorType(ir.IntType(32), to.count)
    x = builder.insert_element(ir.Constant(to, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(x, x, ir.Constant(n, [0] * to.count))


@intrinsic
def pixels(typingctx, padded, q):
    """Return the vector of pixels from q on."""
    vector = _Vector(padded.dtype)

    def code(context, builder, signature, args):
        to = address_of(context, builder, signature.args[0], *args, context.get_value_type(vector))
        return builder.load(to, align=padded.dtype.bitwidth // 8)

    return vector(padded, types.uintp), code


def store_flipped(padded, q, frames, f, v, x, flip):
    """Set the vector of padded pixels from q on to flip - frames[f, v, x:], which has no gaps."""
    n = lanes(padded)
    padded[q : q + n] = flip - frames[f, v, x : x + n]


@overload(store_flipped)
def _overload_store_flipped(padded, q, frames, f, v, x, flip):
    return lambda padded, q, frames, f, v, x, flip: _store_flipped(padded, q, frames, f, v, x, flip)


@intrinsic
def _store_flipped(typingctx, padded, q, frames, f, v, x, flip):
    vector = _Vector(padded.dtype)
    size = padded.dtype.bitwidth // 8

    def code(context, builder, signature, args):
        padded, q, frames, f, v, x, flip = args
        to = context.get_value_type(vector)
        array = context.make_array(signature.args[2])(context, builder, frames)
        strides = cgutils.unpack_tuple(builder, array.strides, 3)
        first = builder.add(builder.mul(f, strides[0]), builder.mul(v, strides[1]))
        row = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [first])
        row = builder.gep(builder.bitcast(row, to.element.as_pointer()), [x])
        values = builder.load(builder.bitcast(row, to.as_pointer()), align=1)
        subtract = builder.fsub if isinstance(signature.args[0].dtype, types.Float) else builder.sub
        place = address_of(context, builder, signature.args[0], padded, q, to)
        builder.store(subtract(splat_of(builder, flip, to), values), place, align=size)
        return context.get_dummy_value()

    n = types.uintp
    return types.void(padded, n, frames, n, n, n, padded.dtype), code


@intrinsic
def rising(typingctx, c, a, b):
    """Return `_kernels.rises(c, a, b)` of each pixel."""

    def code(context, builder, signature, args):
        c, a, b = args
        if isinstance(signature.args[0].dtype, types.Float):
            # b <= 2a - c, which is never rounded to the other side, as c - 2a + b <= 0 is not. 2a is exact.
            twice = builder.fmul(a, ir.Constant(a.type, [2.0] * a.type.count), flags=("contract",))
            return builder.fcmp_ordered("<=", b, builder.fsub(twice, c, flags=("contract",)))
        wide = ir.VectorType(ir.IntType(2 * a.type.element.width), a.type.count)
        one = ir.Constant(wide, [1] * wide.count)
        total = builder.add(builder.add(builder.zext(c, wide), builder.zext(b, wide)), one)
        return builder.icmp_unsigned("<=", builder.trunc(builder.lshr(total, one), a.type), a)

    return _Vector(c.dtype, bits=True)(c, a, b), code


@intrinsic
def at_most(typingctx, a, b, c, w0, w1, w2, most):
    """Return whether w0 a + w1 b + w2 c <= most, for each pixel, in integers of twice their bits."""

    def code(context, builder, signature, args):
        # Those that NUMBA_CPU_FEATURES names, not those that NUMBA_CPU_NAME implies.
        narrow, features = args[0].type, context.codegen().magic_tuple()[2].split(",")
        for lanes, feature in ((64, "+avx512bw"), (32, "+avx2")):
            if narrow.element.width == 8 and feature in features:
                return _signs_by_pairs(builder, args, lanes)
        wide = ir.VectorType(ir.IntType(2 * narrow.element.width), narrow.count)
        total, *weights = (
            splat_of(builder, builder.trunc(w, wide.element), wide) for w in (args[6], *args[3:6])
        )
        products = [builder.mul(builder.zext(x, wide), w) for x, w in zip(args[:3], weights, strict=True)]
        return builder.icmp_signed("<=", builder.add(builder.add(*products[:2]), products[2]), total)

    n = types.intp
    return _Vector(a.dtype, bits=True)(a, b, c, n, n, n, n), code


def _signs_by_pairs(builder, args, lanes):
    """As `at_most` of uint8, by the instruction that multiplies bytes and adds pairs of products (x86).

    most - w0 a - w1 b - w2 c >= 0, `most` being 255 (w0 + w1 + w2): of the pairs a, b and c, 255. A frame of
    128 x 128 with eight such templates takes 14.5 -> 10.9 µs, with the default ones 8.2. Of 64 pixels and one
    template 12 vector instructions are left, four of them unpacking, and three loads across cache lines.
    """
    i8, i16, i32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)
    bytes_, words = ir.VectorType(i8, lanes), ir.VectorType(i16, lanes // 2)
    names = {64: ("avx512.pmaddubs.w.512", "avx512.packsswb.512"), 32: ("avx2.pmadd.ub.sw", "avx2.packsswb")}
    types_of = ir.FunctionType(words, [bytes_, bytes_]), ir.FunctionType(bytes_, [words, words])
    multiply, pack = (
        cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.{name}")
        for name, function in zip(names[lanes], types_of, strict=True)
    )

    def pick(x, y, places):
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(i32, len(places)), places))

    def pair(low, high):
        """Return the vector of bytes low, high, low, high, ..."""
        low, high = (builder.and_(builder.trunc(w, i16), i16(255)) for w in (low, high))
        return builder.bitcast(splat_of(builder, builder.or_(low, builder.shl(high, i16(8))), words), bytes_)

    a, b, c, w0, w1, w2, _ = args
    first = pair(builder.neg(w0), builder.neg(w1))
    second = pair(builder.neg(w2), builder.add(builder.add(w0, w1), w2))
    zero, ones = ir.Constant(bytes_, [0] * lanes), ir.Constant(bytes_, [255] * lanes)
    # Of each 16 bytes the lower and the upper half, which packing joins again.
    halves = [
        [j for i in range(0, lanes, 16) for k in range(8) for j in (i + k + half, lanes + i + k + half)]
        for half in (0, 8)
    ]
    bits = []
    for part in range(0, a.type.count, lanes):
        x, y, z = (pick(v, v, list(range(part, part + lanes))) for v in (a, b, c))
        sums = [
            builder.add(
                builder.call(multiply, [pick(x, y, half), first]),
                builder.call(multiply, [pick(z, ones, half), second]),
            )
            for half in halves
        ]
        bits.append(builder.icmp_signed(">=", builder.call(pack, sums), zero))
    return bits[0] if len(bits) == 1 else pick(*bits, list(range(2 * lanes)))


@intrinsic
def store_bits(typingctx, planes, i, part, bits):
    """Set the bits of one vector in planes[i], a word of 64 pixels: the first of them, if part is 0."""

    def code(context, builder, signature, args):
        planes, i, part, bits = args
        word = ir.IntType(bits.type.count)
        to = address_of(context, builder, signature.args[0], planes, i, word)
        builder.store(builder.bitcast(bits, word), builder.gep(to, [part]), align=word.width // 8)
        return context.get_dummy_value()

    return types.void(planes, types.uintp, types.uintp, bits), code


@intrinsic
def add_bits(typingctx, chunk, p, k, bits):
    """Set bit k of the bytes from chunk[p] on, of which the lower ones are set and the others are not."""

    def code(context, builder, signature, args):
        chunk, p, k, bits = args
        codes = ir.VectorType(ir.IntType(8), bits.type.count)
        to = address_of(context, builder, signature.args[0], chunk, p, codes)
        bit = builder.shl(ir.Constant(codes.element, 1), builder.trunc(k, codes.element))
        zero = ir.Constant(codes, [0] * codes.count)
        before = builder.select(builder.icmp_unsigned("==", k, k.type(0)), zero, builder.load(to, align=1))
        after = builder.or_(before, builder.select(bits, splat_of(builder, bit, codes), zero))
        builder.store(after, to, align=1)
        return context.get_dummy_value()

    return types.void(chunk, types.uintp, types.uintp, bits), code


@intrinsic
def map_vector(typingctx, codes, p, table):
    """Replace codes[p:p + 64] by table[code]: with AVX512_VBMI in registers, otherwise one by one."""

    def code(context, builder, signature, args):
        codes, p, table = args
        vector, byte, i64 = ir.VectorType(ir.IntType(8), 64), ir.IntType(8), ir.IntType(64)
        to = address_of(context, builder, signature.args[0], codes, p, vector)
        first = context.make_array(signature.args[2])(context, builder, table).data
        if "+avx512vbmi" not in context.codegen().magic_tuple()[2].split(","):
            with cgutils.for_range(builder, i64(64)) as loop:
                here = builder.gep(builder.bitcast(to, byte.as_pointer()), [loop.index])
                place = builder.zext(builder.load(here), i64)
                builder.store(builder.load(builder.gep(first, [place])), here)
            return context.get_dummy_value()
        # Of two registers 128 bytes are chosen; which two is the codes' last bit.
        kind, name = ir.FunctionType(vector, [vector] * 3), "llvm.x86.avx512.vpermi2var.qi.512"
        choose = cgutils.get_or_insert_function(builder.module, kind, name)
        first = builder.bitcast(first, vector.as_pointer())
        parts = [builder.load(builder.gep(first, [i64(k)]), align=1) for k in range(4)]
        places = builder.load(to, align=1)
        low, high = (builder.call(choose, [parts[k], places, parts[k + 1]]) for k in (0, 2))
        upper = builder.icmp_signed("<", places, ir.Constant(vector, [0] * 64))
        builder.store(builder.select(upper, high, low), to, align=1)
        return context.get_dummy_value()

    return types.void(codes, types.uintp, table), code
