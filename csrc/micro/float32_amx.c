/* Products of float32 by AMX, which multiplies numbers of bfloat16 alone.

   A number of float32 has 24 binary digits, one of bfloat16 has 8. So x = x1 + x2 + x3, exactly: its
   first 8 digits, the next ones and the last. Of the nine products in

      x w = (x1 + x2 + x3) (w1 + w2 + w3)

   x2 w3, x3 w2 and x3 w3 are left out: together less than 2^-21 of x w and 2^-24 on average, which is
   what float32 itself rounds. The others are exact, and their sums are float32: TDPBF16PS adds up the
   even products of a step and the odd ones, then both. See Henry, Tang and Heinecke, "Leveraging the
   bfloat16 artificial intelligence datatype for higher-precision computations" (2019).

   32 numbers of a row are three cache lines, of their x1, x2 and x3; 32 numbers of each column of a panel
   are three steps as in narrow.h, one for each third. Thirds below 2^-126 count as 0. Of an
   infinity the second third is NaN, and so are its sums: has_nan finds them. */

#include "micro.h"
#include "narrow.h"

#if ERNIEM_HAS_AMX

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx2,fma")
#endif

#define MULTIPLY(sums, rows, columns) _tile_dpbf16ps(sums, rows, columns)
#define NARROWED(low, high) _mm512_castps_si512(low) /* never asked for */
#define NUMBER_BYTES 2

#include "micro_loops.h"
#include "micro_avx512.h"
#include "micro_finish.h"
#include "micro_amx.h"

enum {
    THIRDS = ERNIEM_THIRDS,
    AHEAD = 512,                         /* floats to those that are prefetched */
    NUMBERS = 32,                        /* of a step, */
    ROW_STEP = THIRDS * ERNIEM_STEP,     /* bytes of one in a row */
    PANEL_STEP = THIRDS * ERNIEM_PANEL_STEP
};

/* What is left of x without its first 8 digits. */
INLINE vf without_first(vf x)
{
    const __m512i digits = _mm512_set1_epi32((int)0xffff0000u);
    const vf first = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), digits));
    return _mm512_sub_ps(x, first);
}

/* The first halves of 32 numbers, in their order. */
INLINE __m512i firsts(vf low, vf high)
{
    const __m512i order = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33,
                                           31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(_mm512_castps_si512(low), order, _mm512_castps_si512(high));
}

/* The first halves of 16 numbers, each beside that of its neighbour along k: units. */
INLINE __m512i units_of(vf even, vf odd)
{
    return _mm512_mask_mov_epi16(_mm512_srli_epi32(_mm512_castps_si512(even), 16), 0xaaaaaaaa,
                                 _mm512_castps_si512(odd));
}

/* The first n numbers at x, and zeros. */
INLINE vf load_first(int64_t n, const float *x)
{
    return n <= 0 ? vf_set1(0.0f) : n < VW ? vf_load_part(x, n) : vf_load(x);
}

/* x[i] becomes what was number i of x[0], x[1], ...: 16 x 16 units. */
static void turn(__m512i x[VW])
{
    __m512i y[VW];
    for (int i = 0; i < VW; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < VW; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < VW; half += 8) { /* quarters 0 and 2, then 1 and 3, of two vectors */
            y[half + i] = _mm512_shuffle_i32x4(x[half + i], x[half + 4 + i], 0x88);
            y[half + 4 + i] = _mm512_shuffle_i32x4(x[half + i], x[half + 4 + i], 0xdd);
        }
    for (int i = 0; i < 8; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0x88);
        x[8 + i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0xdd);
    }
}

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    (void)row;
    for (; k > 0; k -= NUMBERS, x += NUMBERS) {
        vf low = load_first(k, x), high = load_first(k - VW, x + VW);
        _mm_prefetch((const char *)(x + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + AHEAD + VW), _MM_HINT_T0);
        for (int i = 0; i < THIRDS; i++, to += ERNIEM_STEP) {
            _mm512_store_si512(to, firsts(low, high));
            low = without_first(low), high = without_first(high);
        }
    }
}

static void pack(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                 unsigned char *to)
{
    __m512i units[THIRDS][VW];
    for (; k > 0; k -= NUMBERS, w += NUMBERS, to += PANEL_STEP)
        for (int64_t first = 0; first < ERNIEM_COLUMNS; first += VW) {
            for (int64_t j = 0; j < VW; j++) {
                const int64_t c = first + j, rest = c < n ? k : 0;
                const float *from = c < n ? w + (rows ? rows[c] : c) * stride : w;
                vf low = load_first(rest, from), high = load_first(rest - VW, from + VW);
                for (int i = 0; i < THIRDS; i++) {
                    units[i][j] = firsts(low, high);
                    low = without_first(low), high = without_first(high);
                }
            }
            for (int i = 0; i < THIRDS; i++) {
                turn(units[i]);
                for (int j = 0; j < VW; j++)
                    _mm512_store_si512(to + i * ERNIEM_PANEL_STEP + j * UNIT_ROW + 4 * first, units[i][j]);
            }
        }
}

static void pack_across(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                        unsigned char *to)
{
    for (int64_t l = 0; l < k; l += NUMBERS, to += PANEL_STEP)
        for (int64_t unit = 0; unit < VW; unit++) {
            const int64_t first = l + 2 * unit, n_even = first < k ? n : 0, n_odd = first + 1 < k ? n : 0;
            const float *from = n_even ? w + (rows ? rows[first] : first) * stride : w;
            const float *next = n_odd ? w + (rows ? rows[first + 1] : first + 1) * stride : w;
            for (int64_t j = 0; j < ERNIEM_COLUMNS; j += VW) {
                vf even = load_first(n_even - j, from + j), odd = load_first(n_odd - j, next + j);
                for (int i = 0; i < THIRDS; i++) {
                    _mm512_store_si512(to + i * ERNIEM_PANEL_STEP + unit * UNIT_ROW + 4 * j,
                                       units_of(even, odd));
                    even = without_first(even), odd = without_first(odd);
                }
            }
        }
}

static void narrow_across(int64_t n, int64_t k, const float *w, int64_t stride, float *sums,
                          unsigned char *to, int64_t to_stride)
{
    __m512i units[THIRDS][VW];
    for (int64_t first = 0; first < n; first += VW, w += VW, sums += VW, to += VW * to_stride) {
        const int64_t columns = n - first < VW ? n - first : VW;
        vf sum = load_first(columns, sums);
        for (int64_t unit = 0; unit < VW; unit++) {
            const int64_t l = 2 * unit;
            vf even = load_first(l < k ? columns : 0, w + l * stride);
            vf odd = load_first(l + 1 < k ? columns : 0, w + (l + 1) * stride);
            sum = vf_add(vf_add(sum, even), odd);
            for (int i = 0; i < THIRDS; i++) {
                units[i][unit] = units_of(even, odd);
                even = without_first(even), odd = without_first(odd);
            }
        }
        vf_store_part(sums, sum, columns);
        for (int i = 0; i < THIRDS; i++) {
            turn(units[i]);
            for (int64_t c = 0; c < columns; c++)
                _mm512_store_si512(to + c * to_stride + i * ERNIEM_STEP, units[i][c]);
        }
    }
}

/* A third of a step of the rows, and of the columns, to their registers. */
INLINE void load_rows(const struct block *b, const unsigned char *x, int third, const int pair)
{
    _tile_loadd(4, x + third * ERNIEM_STEP, b->stride);
    if (pair)
        _tile_loadd(5, x + HALF * b->stride + third * ERNIEM_STEP, b->stride);
}

INLINE void load_columns(const unsigned char *panel, int third)
{
    _tile_loadd(6, panel + third * ERNIEM_PANEL_STEP, UNIT_ROW);
    _tile_loadd(7, panel + third * ERNIEM_PANEL_STEP + 64, UNIT_ROW);
}

INLINE void add_product(const int pair)
{
    MULTIPLY(0, 4, 6);
    MULTIPLY(1, 4, 7);
    if (pair) {
        MULTIPLY(2, 5, 6);
        MULTIPLY(3, 5, 7);
    }
}

/* For micro_amx_tile.h; a step here is a line. Six products give the second-level cache time enough, so
   panels of up to 1,024 k are not cut. */
enum { STEPS = 96, UNCUT = STEPS };

/* The six products of a step, the small ones first. */
INLINE void multiply(const struct block *b, const int pair)
{
    const unsigned char *x = b->x, *panel = b->panel;
    load_sums(b, pair);
    for (int64_t line = 0; line < b->steps; line += THIRDS, x += ROW_STEP, panel += PANEL_STEP) {
        for (int i = 0; i < THIRDS; i++)
            serve_others(b, line + i);
        load_rows(b, x, 2, pair);
        load_columns(panel, 0);
        add_product(pair); /* x3 w1 */
        load_rows(b, x, 1, pair);
        add_product(pair); /* x2 w1 */
        load_columns(panel, 1);
        add_product(pair); /* x2 w2 */
        load_rows(b, x, 0, pair);
        add_product(pair); /* x1 w2 */
        load_columns(panel, 2);
        add_product(pair); /* x1 w3 */
        load_columns(panel, 0);
        add_product(pair); /* x1 w1 */
    }
    store_sums(b, pair);
}

#include "micro_amx_tile.h"

static int has_nan(int rows, const float *sums)
{
    __mmask16 found = 0;
    for (int i = 0; i < rows * ERNIEM_COLUMNS; i += VW)
        found |= _mm512_cmp_ps_mask(vf_load(sums + i), vf_load(sums + i), _CMP_UNORD_Q);
    return found != 0;
}

static const struct erniem_narrow_attention packing = {
    .pack = pack, .pack_across = pack_across, .narrow_across = narrow_across};

const struct erniem_narrow erniem_trained_float32_amx = {
    .name = "amx", .mr = MOST_ROWS, .group = 2 * HALF, .lines = THIRDS, .block_bytes = BLOCK_BYTES,
    .narrow = narrow, .tile = tile, .finish = finish, .has_nan = has_nan, .begin = begin, .end = end,
    .stream = stream, .attention = &packing, .peak = tile_peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_amx; /* C wants a declaration in every file */
#endif
