/* LTOGP block histograms of 8-bit frames with AVX-512 or AVX2 intrinsics: what ltogp's Numba kernels are measured
 * against. Border mode "nearest", radius 1; same result as ltogp.histogram and ltogp.encode. ltogp_histogram counts
 * codes, one byte each, in eight sub-histograms; ltogp_histogram_planes counts the ones of bit planes, as
 * ltogp/_planes.py does, and needs AVX512_VPOPCNTDQ.
 *
 *     cc -O3 -march=native -shared -fPIC ltogp.c -o libltogp.so
 */

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { REACH = 2, SLACK = 64 };

/* Copies rows first..last of the frame to padded, as 255 - x, with two more pixels on either side of each row. */
static void pad_rows(const uint8_t *frame, ptrdiff_t height, ptrdiff_t width, ptrdiff_t first, ptrdiff_t last,
                     uint8_t *padded, ptrdiff_t stride)
{
    for (ptrdiff_t y = first; y < last; y++) {
        const uint8_t *row = frame + (y < 0 ? 0 : y >= height ? height - 1 : y) * width;
        uint8_t *to = padded + (y - first) * stride + REACH;
        ptrdiff_t x = 0;
#ifdef __AVX512BW__
        const __m512i ones = _mm512_set1_epi8(-1);
        for (; x + 64 <= width; x += 64)
            _mm512_storeu_si512(to + x, _mm512_xor_si512(_mm512_loadu_si512(row + x), ones));
#endif
        for (; x < width; x++)
            to[x] = (uint8_t)~row[x];
        to[-1] = to[-2] = (uint8_t)~row[0];
        to[width] = to[width + 1] = (uint8_t)~row[width - 1];
    }
}

/* Codes of n pixels from p on; codes and padded have room for 64 more. */
static void code_pixels(const uint8_t *p, ptrdiff_t n, ptrdiff_t stride, uint8_t *codes)
{
    const ptrdiff_t steps[8] = {1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1};
#ifdef __AVX512BW__
    for (ptrdiff_t i = 0; i < n; i += 64) {
        const __m512i c = _mm512_loadu_si512(p + i);
        __m512i code = _mm512_setzero_si512();
#define DIRECTION(k)                                                                                               \
    {                                                                                                              \
        const __m512i a = _mm512_loadu_si512(p + i + steps[k]);                                                    \
        const __m512i b = _mm512_loadu_si512(p + i + 2 * steps[k]);                                                \
        const __mmask64 rises = _mm512_cmple_epu8_mask(_mm512_avg_epu8(c, b), a);                                  \
        code = _mm512_mask_add_epi8(code, rises, code, _mm512_set1_epi8((char)(1 << k)));                          \
    }
        DIRECTION(0) DIRECTION(1) DIRECTION(2) DIRECTION(3) DIRECTION(4) DIRECTION(5) DIRECTION(6) DIRECTION(7)
#undef DIRECTION
        _mm512_storeu_si512(codes + i, code);
    }
#else
    for (ptrdiff_t i = 0; i < n; i += 32) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(p + i));
        __m256i code = _mm256_setzero_si256();
#define DIRECTION(k)                                                                                               \
    {                                                                                                              \
        const __m256i a = _mm256_loadu_si256((const __m256i *)(p + i + steps[k]));                                 \
        const __m256i b = _mm256_loadu_si256((const __m256i *)(p + i + 2 * steps[k]));                             \
        const __m256i rises = _mm256_cmpeq_epi8(_mm256_max_epu8(_mm256_avg_epu8(c, b), a), a);                     \
        code = _mm256_or_si256(code, _mm256_and_si256(rises, _mm256_set1_epi8((char)(1 << k))));                   \
    }
        DIRECTION(0) DIRECTION(1) DIRECTION(2) DIRECTION(3) DIRECTION(4) DIRECTION(5) DIRECTION(6) DIRECTION(7)
#undef DIRECTION
        _mm256_storeu_si256((__m256i *)(codes + i), code);
    }
#endif
}

/* Writes (first) or adds to out what the sub-histograms counted since they were last read. They are never cleared:
 * they count on modulo 256, and counters[2048:2560] holds where they were, as two sums of four. */
static void read_counters(uint8_t *counters, float *out, int first)
{
#ifdef __AVX512BW__
    for (int i = 0; i < 256; i += 64) {
        __m512i sums[2], news[2];
        for (int h = 0; h < 2; h++) {
            const uint8_t *c = counters + 1024 * h + i;
            sums[h] = _mm512_add_epi8(_mm512_add_epi8(_mm512_load_si512(c), _mm512_load_si512(c + 256)),
                                      _mm512_add_epi8(_mm512_load_si512(c + 512), _mm512_load_si512(c + 768)));
            news[h] = _mm512_sub_epi8(sums[h], _mm512_load_si512(counters + 2048 + 256 * h + i));
            _mm512_store_si512(counters + 2048 + 256 * h + i, sums[h]);
        }
#define QUARTER(q)                                                                                                 \
    {                                                                                                              \
        __m512 n = _mm512_cvtepi32_ps(                                                                             \
            _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(news[0], q)),                          \
                             _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(news[1], q))));                        \
        _mm512_storeu_ps(out + i + 16 * q, first ? n : _mm512_add_ps(n, _mm512_loadu_ps(out + i + 16 * q)));       \
    }
        QUARTER(0) QUARTER(1) QUARTER(2) QUARTER(3)
#undef QUARTER
    }
#else
    for (int i = 0; i < 256; i++) {
        const uint8_t *c = counters + i;
        uint8_t low = c[0] + c[256] + c[512] + c[768], high = c[1024] + c[1280] + c[1536] + c[1792];
        uint16_t n = (uint8_t)(low - c[2048]) + (uint8_t)(high - c[2304]);
        out[i] = first ? (float)n : out[i] + (float)n;
        counters[2048 + i] = low;
        counters[2304 + i] = high;
    }
#endif
}

/* Counts columns x0..x1 of n_rows <= 21 rows of codes, eight columns at a time, each into its own sub-histogram. */
static void count_block(const uint8_t *codes, ptrdiff_t n_rows, ptrdiff_t stride, ptrdiff_t x0, ptrdiff_t x1,
                        uint8_t *counters, float *out, int first)
{
    ptrdiff_t held = 0;
    for (ptrdiff_t x = x0; x < x1; x += 8) {
        if (held + n_rows > 63) {
            read_counters(counters, out, first);
            first = 0;
            held = 0;
        }
        held += n_rows;
        const uint8_t *p = codes + x;
        if (x + 8 <= x1) {
            for (ptrdiff_t y = 0; y < n_rows; y++, p += stride) {
                uint64_t v;
                memcpy(&v, p, 8);
                counters[(uint8_t)v]++;
                counters[256 + (uint8_t)(v >> 8)]++;
                counters[512 + (uint8_t)(v >> 16)]++;
                counters[768 + (uint8_t)(v >> 24)]++;
                counters[1024 + (uint8_t)(v >> 32)]++;
                counters[1280 + (uint8_t)(v >> 40)]++;
                counters[1536 + (uint8_t)(v >> 48)]++;
                counters[1792 + (v >> 56)]++;
            }
        } else {
            for (ptrdiff_t y = 0; y < n_rows; y++, p += stride)
                for (ptrdiff_t k = 0; k < x1 - x; k++)
                    counters[256 * k + p[k]]++;
        }
    }
    read_counters(counters, out, first);
}

/* frames (n, height, width) -> out (n, by * bx * 256); returns 0, or -1 without memory. */
int ltogp_histogram(const uint8_t *frames, ptrdiff_t n, ptrdiff_t height, ptrdiff_t width, ptrdiff_t by,
                    ptrdiff_t bx, float *out)
{
    const ptrdiff_t stride = (width + 2 * REACH + 63) / 64 * 64 + 8;
    const ptrdiff_t most = height / by + 1 < 21 ? height / by + 1 : 21;
    uint8_t *padded = aligned_alloc(64, ((most + 2 * REACH) * stride + 3 * SLACK) / 64 * 64);
    uint8_t *codes = aligned_alloc(64, (most * stride + 3 * SLACK) / 64 * 64);
    _Alignas(64) uint8_t counters[10 * 256] = {0};
    if (!padded || !codes) {
        free(padded);
        free(codes);
        return -1;
    }
    for (ptrdiff_t t = 0; t < n; t++) {
        for (ptrdiff_t i = 0; i < by; i++) {
            const ptrdiff_t y0 = i * height / by, y1 = (i + 1) * height / by;
            for (ptrdiff_t y = y0; y < y1; y += most) {
                const ptrdiff_t n_rows = y1 - y < most ? y1 - y : most;
                pad_rows(frames + t * height * width, height, width, y - REACH, y + n_rows + REACH, padded, stride);
                for (ptrdiff_t r = 0; r < n_rows; r++)
                    code_pixels(padded + (r + REACH) * stride + REACH, width, stride, codes + r * stride);
                for (ptrdiff_t j = 0; j < bx; j++)
                    count_block(codes, n_rows, stride, j * width / bx, (j + 1) * width / bx, counters,
                                out + ((t * by + i) * bx + j) * 256, y == y0);
            }
        }
    }
    free(padded);
    free(codes);
    return 0;
}

#ifdef __AVX512VPOPCNTDQ__

/* Comparisons of 64 pixels with those one and two steps away: bit k of planes[8 * r + k] for row r, direction k. Of
 * the five rows that one needs, four stay in registers; p is pixel x of row 0, in a row that begins a cache line. */
static void code_planes(const uint8_t *p, ptrdiff_t n_rows, ptrdiff_t stride, uint64_t *planes)
{
#define LOAD(y, x) _mm512_loadu_si512(p + (y) * stride + (x))
#define ROW(name, y)                                                                                               \
    __m512i name##0 = LOAD(y, -2), name##1 = LOAD(y, -1), name##2 = LOAD(y, 0), name##3 = LOAD(y, 1),              \
            name##4 = LOAD(y, 2)
#define RISES(a, b) _cvtmask64_u64(_mm512_cmple_epu8_mask(_mm512_avg_epu8(here2, b), a))
#define MOVE(to, from) to##0 = from##0, to##1 = from##1, to##2 = from##2, to##3 = from##3, to##4 = from##4
    ROW(far, -2);
    ROW(north, -1);
    ROW(here, 0);
    ROW(south, 1);
    for (ptrdiff_t r = 0; r < n_rows; r++, p += stride, planes += 8) {
        ROW(next, 2);
        planes[0] = RISES(here3, here4);
        planes[1] = RISES(north3, far4);
        planes[2] = RISES(north2, far2);
        planes[3] = RISES(north1, far0);
        planes[4] = RISES(here1, here0);
        planes[5] = RISES(south1, next0);
        planes[6] = RISES(south2, next2);
        planes[7] = RISES(south3, next4);
        MOVE(far, north);
        MOVE(north, here);
        MOVE(here, south);
        MOVE(south, next);
    }
    (void)far1, (void)far3;
#undef LOAD
#undef ROW
#undef RISES
#undef MOVE
}

/* Joins the bits of columns x0..x1, at most 64, of all rows to full words; returns how many of each plane. */
static ptrdiff_t collect(const uint64_t *planes, ptrdiff_t n_rows, ptrdiff_t x0, ptrdiff_t x1, uint64_t *words)
{
    const uint64_t width = x1 - x0, shift = x0 & 63, mask = ~(uint64_t)0 >> (64 - width);
    const uint64_t *p = planes + (x0 >> 6) * n_rows * 8, *other = shift + width > 64 ? p + 8 * n_rows : p;
    const __m512i right = _mm512_set1_epi64(shift), left = _mm512_set1_epi64((64 - shift) & 63);
    __m512i bits = _mm512_setzero_si512();
    uint64_t held = 0;
    ptrdiff_t n = 0;
    for (ptrdiff_t r = 0; r < n_rows; r++, p += 8, other += 8) {
        __m512i row = _mm512_or_si512(_mm512_srlv_epi64(_mm512_load_si512(p), right),
                                      _mm512_sllv_epi64(_mm512_load_si512(other), left));
        row = _mm512_and_si512(row, _mm512_set1_epi64(mask));
        bits = _mm512_or_si512(bits, _mm512_sllv_epi64(row, _mm512_set1_epi64(held)));
        held += width;
        if (held >= 64) {
            _mm512_store_si512(words + 8 * n++, bits);
            held -= 64;
            bits = _mm512_srlv_epi64(row, _mm512_set1_epi64(width - held)); /* by 64: zero */
        }
    }
    _mm512_store_si512(words + 8 * n, bits);
    return n + (held > 0);
}

/* Counts how often each code stands in n words of eight planes: in each word the pixels of each lower half of a code
 * AND those of each upper half. */
static void count_words(const uint64_t *words, ptrdiff_t n, uint64_t *halves, float *out, int first)
{
    const __m512i ones = _mm512_set1_epi64(-1);
    for (ptrdiff_t z = 0; z < 2 * n; z++) {
        const uint64_t *w = words + 4 * z;
        /* Three bits by their lanes: XNOR, then AND; 0x81 and the like are truth tables of _mm512_ternarylogic. */
        const __m512i c0 = _mm512_mask_set1_epi64(_mm512_set1_epi64(~w[0]), 0xAA, w[0]);
        const __m512i c1 = _mm512_mask_set1_epi64(_mm512_set1_epi64(~w[1]), 0xCC, w[1]);
        const __m512i c2 = _mm512_mask_set1_epi64(_mm512_set1_epi64(~w[2]), 0xF0, w[2]);
        const __m512i code = _mm512_ternarylogic_epi64(c0, c1, c2, 0x80);
        const __m512i last = _mm512_set1_epi64(w[3]);
        _mm512_store_si512(halves + 16 * z, _mm512_and_si512(code, _mm512_xor_si512(last, ones)));
        _mm512_store_si512(halves + 16 * z + 8, _mm512_and_si512(code, last));
    }
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    for (int upper = 0; upper < 16; upper += 2) {
        __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
        for (const uint64_t *h = halves; h < halves + 32 * n; h += 32) {
            const __m512i low = _mm512_load_si512(h), high = _mm512_load_si512(h + 8);
            const __m512i u = _mm512_set1_epi64(h[16 + upper]), v = _mm512_set1_epi64(h[17 + upper]);
            a = _mm512_add_epi64(a, _mm512_popcnt_epi64(_mm512_and_si512(u, low)));
            b = _mm512_add_epi64(b, _mm512_popcnt_epi64(_mm512_and_si512(u, high)));
            c = _mm512_add_epi64(c, _mm512_popcnt_epi64(_mm512_and_si512(v, low)));
            d = _mm512_add_epi64(d, _mm512_popcnt_epi64(_mm512_and_si512(v, high)));
        }
        float *to = out + 16 * upper;
        const __m512 e = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(a, even, b));
        const __m512 f = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(c, even, d));
        _mm512_storeu_ps(to, first ? e : _mm512_add_ps(e, _mm512_loadu_ps(to)));
        _mm512_storeu_ps(to + 16, first ? f : _mm512_add_ps(f, _mm512_loadu_ps(to + 16)));
    }
}

/* As ltogp_histogram. */
int ltogp_histogram_planes(const uint8_t *frames, ptrdiff_t n, ptrdiff_t height, ptrdiff_t width, ptrdiff_t by,
                           ptrdiff_t bx, float *out)
{
    const ptrdiff_t stride = (width + 2 * REACH + 63) / 64 * 64, in_row = (width + 63) / 64;
    const ptrdiff_t most = height / by + 1 < 21 ? height / by + 1 : 21;
    uint8_t *memory = aligned_alloc(64, (most + 2 * REACH) * stride + 4 * SLACK), *padded = memory + 64 - REACH;
    uint64_t *planes = aligned_alloc(64, most * in_row * 64);
    _Alignas(64) uint64_t words[22 * 8], halves[22 * 32];
    if (!memory || !planes) {
        free(memory);
        free(planes);
        return -1;
    }
    for (ptrdiff_t t = 0; t < n; t++) {
        for (ptrdiff_t i = 0; i < by; i++) {
            const ptrdiff_t y0 = i * height / by, y1 = (i + 1) * height / by;
            for (ptrdiff_t y = y0; y < y1; y += most) {
                const ptrdiff_t n_rows = y1 - y < most ? y1 - y : most;
                pad_rows(frames + t * height * width, height, width, y - REACH, y + n_rows + REACH, padded, stride);
                for (ptrdiff_t x = 0; x < in_row; x++)
                    code_planes(padded + REACH * (stride + 1) + 64 * x, n_rows, stride, planes + x * n_rows * 8);
                for (ptrdiff_t j = 0; j < bx; j++) {
                    float *counts = out + ((t * by + i) * bx + j) * 256;
                    int first = y == y0;
                    for (ptrdiff_t x = j * width / bx, last = (j + 1) * width / bx; x < last; x += 64, first = 0) {
                        const ptrdiff_t x1 = x + 64 < last ? x + 64 : last;
                        const ptrdiff_t n_words = collect(planes, n_rows, x, x1, words);
                        count_words(words, n_words, halves, counts, first);
                        counts[0] -= (float)(64 * n_words - n_rows * (x1 - x)); /* the bits left over */
                    }
                }
            }
        }
    }
    free(memory);
    free(planes);
    return 0;
}

#endif
