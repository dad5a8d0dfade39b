/* LTOGP block histograms of 8-bit frames with AVX-512 or AVX2 intrinsics: what ltogp's Numba kernels are measured
 * against. Border mode "nearest", radius 1; same result as ltogp.histogram and ltogp.encode.
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
