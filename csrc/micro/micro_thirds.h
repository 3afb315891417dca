/* Numbers of float32 as thirds, for float32_amx.c, which explains them: how rows and panels are laid. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "narrow.h"

enum {
    THIRDS = ERNIEM_THIRDS,
    AHEAD = 512,                         /* floats to those that are prefetched */
    NUMBERS = 32,                        /* of a step, */
    ROW_STEP = THIRDS * ERNIEM_STEP,     /* bytes of one in a row */
    PANEL_STEP = THIRDS * ERNIEM_PANEL_STEP
};

/* What is left of x without its first 8 digits: of an infinity 0. */
INLINE vf without_first(vf x)
{
    const __m512i digits = _mm512_set1_epi32((int)0xffff0000u);
    const vf first = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), digits));
    return _mm512_maskz_sub_ps(_mm512_cmp_ps_mask(x, first, _CMP_NEQ_UQ), x, first);
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
    do { /* a row of no numbers has a step, too */
        vf low = load_first(k, x), high = load_first(k - VW, x + VW);
        _mm_prefetch((const char *)(x + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + AHEAD + VW), _MM_HINT_T0);
        for (int i = 0; i < THIRDS; i++, to += ERNIEM_STEP) {
            _mm512_store_si512(to, firsts(low, high));
            low = without_first(low), high = without_first(high);
        }
        x += NUMBERS;
    } while ((k -= NUMBERS) > 0);
}

static void pack(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                 unsigned char *to)
{
    __m512i units[THIRDS][VW];
    do {
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
        w += NUMBERS, to += PANEL_STEP;
    } while ((k -= NUMBERS) > 0);
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

/* The number whose thirds are `distance` bytes apart. */
static float whole(const unsigned char *third, int64_t distance)
{
    float x = 0.0f;
    for (int i = 0; i < THIRDS; i++, third += distance) {
        uint16_t half;
        memcpy(&half, third, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        float part;
        memcpy(&part, &bits, sizeof part);
        x += part;
    }
    return x;
}
