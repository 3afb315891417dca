/* Eight bits on aarch64 with products of matrices (FEAT_I8MM): one instruction multiplies two rows of
   8 unsigned bytes by two columns of 8 signed bytes, and adds 8 products to each of 4 sums. */

#include "narrow.h"

#if ERNIEM_HAS_I8MM
#include "micro_neon.h"
#include "micro_loops.h"
#include "micro_int8.h"

enum {
    PAIRS = 3,   /* of rows of a tile */
    COLUMNS = 16 /* that are summed at once: 8 pairs, so 24 vectors of sums */
};

INLINE void add_products(int32x4_t *sum, uint8x16_t x, int8x16_t w)
{
    __asm__(".arch armv8.2-a+i8mm\n\tusmmla %0.4s, %1.16b, %2.16b" : "+w"(*sum) : "w"(x), "w"(w));
}

/* Two units of columns 0..3 of w and of the next row of units: for columns 0, 1 and for 2, 3. */
INLINE void weights_of(const unsigned char *w, int8x16_t pair[2])
{
    const int32x4_t unit0 = vreinterpretq_s32_u8(vld1q_u8(w));
    const int32x4_t unit1 = vreinterpretq_s32_u8(vld1q_u8(w + ERNIEM_COLUMNS * ERNIEM_UNIT));
    pair[0] = vreinterpretq_s8_s32(vzip1q_s32(unit0, unit1));
    pair[1] = vreinterpretq_s8_s32(vzip2q_s32(unit0, unit1));
}

/* Sums (row 0, column 0), (0, 1), (1, 0), (1, 1) of two pairs of columns, to two rows of four. */
INLINE void store_sums(int32_t *row0, int32_t *row1, int32x4_t left, int32x4_t right)
{
    const int64x2_t a = vreinterpretq_s64_s32(left), b = vreinterpretq_s64_s32(right);
    vst1q_s32(row1, vreinterpretq_s32_s64(vtrn2q_s64(a, b)));
    vst1q_s32(row0, vreinterpretq_s32_s64(vtrn1q_s64(a, b))); /* last: it may be the same row */
}

INLINE void tile_of(const int pairs, const struct erniem_tile_narrow *t, const int column)
{
    const int64_t stride = t->stride, pace = column == 0 ? t->pace : 0;
    const unsigned char *w = t->panel + column * ERNIEM_UNIT, *next = t->next, *x[2 * PAIRS];
    int32x4_t sum[PAIRS][COLUMNS / 2];
    UNROLLED for (int p = 0; p < pairs; p++)
        UNROLLED for (int c = 0; c < COLUMNS / 2; c++)
            sum[p][c] = vdupq_n_s32(0);
    UNROLLED for (int r = 0; r < 2 * pairs; r++) /* Without a partner, a row is its own. */
        x[r] = t->x + (r < t->rows ? r : r - 1) * stride;

    for (int64_t step = 0; step < t->steps; step++) {
        for (int64_t line = 0; line < pace; line++, next += ERNIEM_STEP)
            vf_prefetch(next);
        for (int unit = 0; unit < ERNIEM_STEP; unit += 2 * ERNIEM_UNIT) {
            uint8x16_t rows[PAIRS];
            UNROLLED for (int p = 0; p < pairs; p++)
                rows[p] = vcombine_u8(vld1_u8(x[2 * p] + unit), vld1_u8(x[2 * p + 1] + unit));
            UNROLLED for (int c = 0; c < COLUMNS / 2; c += 2) {
                int8x16_t weight[2];
                weights_of(w + 2 * c * ERNIEM_UNIT, weight);
                UNROLLED for (int p = 0; p < pairs; p++) {
                    add_products(&sum[p][c], rows[p], weight[0]);
                    add_products(&sum[p][c + 1], rows[p], weight[1]);
                }
            }
            w += 2 * ERNIEM_COLUMNS * ERNIEM_UNIT;
        }
        UNROLLED for (int r = 0; r < 2 * pairs; r++)
            x[r] += ERNIEM_STEP;
    }
    UNROLLED for (int p = 0; p < pairs; p++) {
        int32_t *row0 = (int32_t *)t->sums + 2 * p * ERNIEM_COLUMNS + column;
        int32_t *row1 = 2 * p + 1 < t->rows ? row0 + ERNIEM_COLUMNS : row0;
        UNROLLED for (int c = 0; c < COLUMNS / 2; c += 2)
            store_sums(row0 + 2 * c, row1 + 2 * c, sum[p][c], sum[p][c + 1]);
    }
}

static void tile(const struct erniem_tile_narrow *t)
{
    for (int column = 0; column < ERNIEM_COLUMNS; column += COLUMNS)
        switch ((t->rows + 1) / 2) {
        case 1:
            tile_of(1, t, column);
            break;
        case 2:
            tile_of(2, t, column);
            break;
        default:
            tile_of(PAIRS, t, column);
        }
}

static int64_t peak(int64_t rounds, float *kept)
{
    int32x4_t sum[PAIRS * COLUMNS / 2];
    const uint8x16_t x = vdupq_n_u8(3);
    const int8x16_t w = vdupq_n_s8(-5);
    UNROLLED for (int i = 0; i < PAIRS * COLUMNS / 2; i++)
        sum[i] = vdupq_n_s32(0);
    for (int64_t round = 0; round < rounds; round++)
        UNROLLED for (int i = 0; i < PAIRS * COLUMNS / 2; i++)
            add_products(&sum[i], x, w);
    UNROLLED for (int i = 0; i < PAIRS * COLUMNS / 2; i++)
        *kept += (float)vaddvq_s32(sum[i]);
    return (int64_t)2 * 32 * PAIRS * COLUMNS / 2;
}

const struct erniem_narrow erniem_int8_neon_i8mm = {
    .name = "neon-i8mm", .mr = 2 * PAIRS, .narrow = narrow, .tile = tile, .finish = finish, .peak = peak};
#else
typedef int erniem_no_i8mm; /* C wants a declaration in every file */
#endif
