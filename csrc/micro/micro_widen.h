/* Products in float32 with weights of 16 bits, which are widened to float32 in registers, where they
   are used. That is exact, and the order of the additions is that of the product with a float32
   weight, block of ERNIEM_KC k by block. So the bits are the same. For a kernel in widen_*.c, which
   includes a micro_*.h before.

   Rows of x stay float32. For weights that mean arithmetic in bfloat16 they are rounded to it. */

#include <string.h>

#include "micro.h"
#include "narrow.h"

#include "micro_finish.h"
#include "micro_peak.h"

enum { UNITS = ERNIEM_KC / 2, COLUMNS = NV * VW, STEP = ERNIEM_STEP / 2 /* numbers */ };

/* What a tile of some columns reads and writes. */
struct part {
    int64_t units;
    const float *x; /* rows, `stride` floats apart */
    int64_t stride;
    const unsigned char *panel; /* 128 bytes for each unit */
    const unsigned char *next;  /* prefetched, pace bytes for each unit */
    int64_t pace;
    int add; /* whether to add to the sums */
    float *sums;
};

/* VW weights of the panel at a unit's even or odd k. `half` tells float16 from bfloat16. */
INLINE vf widened(const int half, const int odd, const unsigned char *panel, int column)
{
    if (half) /* the 32 even numbers, then the 32 odd ones */
        return vf_half((const uint16_t *)(const void *)panel + odd * ERNIEM_COLUMNS + column);
    const uint32_t *units = (const uint32_t *)(const void *)panel + column; /* pairs */
    return odd ? vf_odd(units) : vf_even(units);
}

/* `half`, `rows` and `column` are constant where this is inlined: the sums live in registers. */
INLINE void part_of(const int half, const int rows, const int column, const struct part *t)
{
    const float *x = t->x;
    const unsigned char *panel = t->panel, *next = t->next;
    const int64_t units = t->units, stride = t->stride, pace = t->pace;
    float *const sums = t->sums + column;
    vf sum[MR][NV];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vf_set1(0.0f);
    for (int64_t u = 0; u < units; u++, x += 2, panel += ERNIEM_COLUMNS * ERNIEM_UNIT) {
        vf_prefetch(next);
        vf_prefetch(next + pace / 2);
        next += pace;
        UNROLLED for (int odd = 0; odd < 2; odd++) {
            vf w[NV];
            UNROLLED for (int v = 0; v < NV; v++)
                w[v] = widened(half, odd, panel, column + v * VW);
            UNROLLED for (int r = 0; r < rows; r++) {
                const vf left = vf_set1(x[r * stride + odd]);
                UNROLLED for (int v = 0; v < NV; v++)
                    sum[r][v] = vf_fma(left, w[v], sum[r][v]);
            }
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++) {
            float *out = sums + r * ERNIEM_COLUMNS + v * VW;
            vf_store(out, t->add ? vf_add(vf_load(out), sum[r][v]) : sum[r][v]);
        }
}

/* All 32 columns, as many at a time as fit the registers. */
INLINE void widened_tile(const int half, const struct erniem_tile_narrow *t)
{
    const int64_t units = t->steps * (ERNIEM_STEP / ERNIEM_UNIT), pace = t->pace * 4;
    struct part part = {.stride = t->stride / (int64_t)sizeof(float), .pace = pace,
                        .sums = t->sums};
    for (int64_t u = 0; u < units; u += UNITS) {
        part.units = units - u < UNITS ? units - u : UNITS;
        part.x = (const float *)(const void *)t->x + 2 * u;
        part.panel = t->panel + u * ERNIEM_COLUMNS * ERNIEM_UNIT;
        part.next = t->next + u * pace;
        part.add = u > 0;
        for (int column = 0; column < ERNIEM_COLUMNS; column += COLUMNS)
            switch (t->rows) {
#define ROWS(n)                               \
    case n:                                   \
        part_of(half, n, column, &part);      \
        break;
                MICRO_ROWS(ROWS)
#undef ROWS
            }
    }
}

static void tile_bfloat16(const struct erniem_tile_narrow *t) { widened_tile(0, t); }
#if !defined(NO_HALF)
static void tile_float16(const struct erniem_tile_narrow *t) { widened_tile(1, t); }
#endif

/* A row of floats and zeros up to a whole step. */
INLINE void copy_row(const int rounded, int64_t k, const float *x, unsigned char *to)
{
    float *out = (float *)(void *)to;
    const int64_t whole = k - k % VW, end = (k + STEP - 1) / STEP * STEP;
    for (int64_t j = 0; j < whole; j += VW)
        vf_store(out + j, rounded ? vf_to_bfloat16(vf_load(x + j)) : vf_load(x + j));
    if (whole < k) {
        const vf rest = vf_load_part(x + whole, k - whole);
        vf_store_part(out + whole, rounded ? vf_to_bfloat16(rest) : rest, k - whole);
    }
    memset(out + k, 0, (size_t)(end - k) * sizeof(float));
}

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    (void)row;
    copy_row(1, k, x, to);
}

static void keep_row(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    (void)row;
    copy_row(0, k, x, to);
}

#define NUMBER_BYTES 4
INLINE void round_two(unsigned char *to, vf a, vf b)
{
    const vf first = vf_to_bfloat16(a), second = vf_to_bfloat16(b);
    vf_store((float *)(void *)to, first);
    vf_store((float *)(void *)to + VW, second);
}

#include "micro_bits.h"
#include "micro_attention.h"

static int64_t peak(int64_t rounds, float *kept)
{
    *kept = multiply_add(rounds);
    return 2 * MR * COLUMNS;
}

#define WIDENING(narrow_, tile_, attention_)                                                \
    {                                                                                       \
        .name = MICRO_NAME, .mr = MR, .widens = 1, .narrow = narrow_, .tile = tile_,        \
        .finish = finish, .peak = peak, .attention = attention_                             \
    }

const struct erniem_narrow MICRO(erniem_bfloat16) = WIDENING(narrow, tile_bfloat16, &attention);
const struct erniem_narrow MICRO(erniem_stored_bfloat16) = WIDENING(keep_row, tile_bfloat16, NULL);
#if !defined(NO_HALF)
const struct erniem_narrow MICRO(erniem_float16) = WIDENING(keep_row, tile_float16, NULL);
#endif
