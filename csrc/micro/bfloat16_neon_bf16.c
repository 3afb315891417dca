/* bfloat16 for aarch64 with FEAT_BF16, whatever the rest is compiled for.

   BFMMLA multiplies 2 rows by 2 columns, 4 k at a time: a vector holds 4 sums. So rows are taken in
   pairs, and two neighbouring units of a panel are interleaved to columns of 4 k. It is written in
   assembly, because not every compiler that knows it has the intrinsic. */

#include "micro.h"
#include "narrow.h"

#if ERNIEM_HAS_I8MM /* the same compilers and systems know BFMMLA */

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+bf16")
#endif

#include "micro_loops.h"
#include "micro_neon.h"
#include "micro_finish.h"

#define ADD_PRODUCTS(sums, rows, columns) \
    __asm__("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(sums) : "w"(rows), "w"(columns))

enum { ROW_PAIRS = 4, COLUMN_PAIRS = 4, COLUMNS = 2 * COLUMN_PAIRS };

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    (void)row;
    const int64_t end = (k + 31) / 32 * 32;
    uint16_t *out = (uint16_t *)(void *)to;
    for (int64_t j = 0; j < end; j += VW) {
        const int64_t rest = k - j;
        const vf v = rest >= VW ? vf_load(x + j) : vf_load_part(x + j, rest > 0 ? rest : 0);
        vst1_u16(out + j, vshrn_n_u32(vreinterpretq_u32_f32(vf_to_bfloat16(v)), 16));
    }
}

#define NUMBER_BYTES 2
INLINE void round_two(unsigned char *to, vf a, vf b)
{
    const vf first = vf_to_bfloat16(a), second = vf_to_bfloat16(b);
    uint16_t *out = (uint16_t *)(void *)to;
    vst1_u16(out, vshrn_n_u32(vreinterpretq_u32_f32(first), 16));
    vst1_u16(out + VW, vshrn_n_u32(vreinterpretq_u32_f32(second), 16));
}

#include "micro_bits.h"
#include "micro_attention.h"

/* The columns from `column` on; `rows` is constant where this is inlined. */
INLINE void part_of(const int rows, int column, const struct erniem_tile_narrow *t)
{
    const uint32_t *panel = (const uint32_t *)(const void *)t->panel + column;
    const unsigned char *next = t->next;
    const int64_t units = t->steps * (ERNIEM_STEP / ERNIEM_UNIT);
    float32x4_t sum[ROW_PAIRS][COLUMN_PAIRS];
    UNROLLED for (int r = 0; r < (rows + 1) / 2; r++)
        UNROLLED for (int c = 0; c < COLUMN_PAIRS; c++)
            sum[r][c] = vdupq_n_f32(0.0f);
    for (int64_t u = 0; u < units; u += 2, panel += 2 * ERNIEM_COLUMNS) {
        uint32x4_t w[COLUMN_PAIRS];
        UNROLLED for (int c = 0; c < COLUMN_PAIRS; c += 2) {
            const uint32x4_t first = vld1q_u32(panel + 2 * c);
            const uint32x4_t second = vld1q_u32(panel + ERNIEM_COLUMNS + 2 * c);
            w[c] = vzip1q_u32(first, second);
            w[c + 1] = vzip2q_u32(first, second);
        }
        vf_prefetch(next);
        next += t->pace * 2 * ERNIEM_UNIT;
        UNROLLED for (int r = 0; r < (rows + 1) / 2; r++) {
            const int other = 2 * r + 1 < rows ? 2 * r + 1 : 2 * r;
            const uint8x8_t even = vld1_u8(t->x + 2 * r * t->stride + u * ERNIEM_UNIT);
            const uint8x8_t odd = vld1_u8(t->x + other * t->stride + u * ERNIEM_UNIT);
            const uint8x16_t x = vcombine_u8(even, odd);
            UNROLLED for (int c = 0; c < COLUMN_PAIRS; c++)
                ADD_PRODUCTS(sum[r][c], x, w[c]);
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int c = 0; c < COLUMN_PAIRS; c += 2) {
            const float32x4_t a = sum[r / 2][c], b = sum[r / 2][c + 1];
            float *out = (float *)t->sums + r * ERNIEM_COLUMNS + column + 2 * c;
            vst1q_f32(out, r % 2 ? vcombine_f32(vget_high_f32(a), vget_high_f32(b))
                                 : vcombine_f32(vget_low_f32(a), vget_low_f32(b)));
        }
}

static void tile(const struct erniem_tile_narrow *t)
{
    for (int column = 0; column < ERNIEM_COLUMNS; column += COLUMNS)
        switch (t->rows) {
#define ROWS(n)                  \
    case n:                      \
        part_of(n, column, t);   \
        break;
            ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)
#undef ROWS
        }
}

static int64_t peak(int64_t rounds, float *kept)
{
    float32x4_t sum[16];
    const uint16x8_t factor = vdupq_n_u16(0x3f00);
    UNROLLED for (int i = 0; i < 16; i++)
        sum[i] = vdupq_n_f32((float)i);
    for (int64_t i = 0; i < rounds; i++)
        UNROLLED for (int j = 0; j < 16; j++)
            ADD_PRODUCTS(sum[j], factor, factor);
    float total = 0.0f;
    UNROLLED for (int i = 0; i < 16; i++)
        total += vaddvq_f32(sum[i]);
    *kept = total;
    return 16 * 2 * 4 * 4;
}

const struct erniem_narrow erniem_bfloat16_neon_bf16 = {
    .name = "neon-bf16", .mr = 2 * ROW_PAIRS,
    .narrow = narrow, .tile = tile, .finish = finish, .peak = peak,
    .attention = &attention};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_neon_bf16; /* C wants a declaration in every file */
#endif
