/* bfloat16 by AVX512-BF16.

   VDPBF16PS adds two products to each sum: those of a unit. It takes denormal numbers for 0. It is
   written in assembly, because gcc keeps the sums in memory where it is an intrinsic. */

#include "micro.h"
#include "narrow.h"

#if ERNIEM_HAS_AVX512BF16

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512bf16,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512bf16,avx2,fma")
#endif

#include "micro_loops.h"
#include "micro_avx512.h"
#include "micro_finish.h"
#include "micro_pairs.h"

#define ADD_PRODUCTS(sums, columns, row) \
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(columns), "v"(row))

/* `rows` is constant where this is inlined, so the sums live in registers: 28 of 32. */
INLINE void tile_of(const int rows, const struct erniem_tile_narrow *t)
{
    const unsigned char *x = t->x, *panel = t->panel, *next = t->next;
    const int64_t units = t->steps * (ERNIEM_STEP / ERNIEM_UNIT), stride = t->stride;
    const int64_t pace = t->pace * ERNIEM_UNIT;
    __m512 sum[MR][2];
    UNROLLED for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t u = 0; u < units; u++, panel += 4 * ERNIEM_COLUMNS, x += ERNIEM_UNIT) {
        const __m512i left = _mm512_loadu_si512(panel), right = _mm512_loadu_si512(panel + 64);
        vf_prefetch(next);
        vf_prefetch(next + pace / 2);
        next += pace;
        UNROLLED for (int r = 0; r < rows; r++) {
            const __m512i row = _mm512_set1_epi32(*(const int *)(const void *)(x + r * stride));
            ADD_PRODUCTS(sum[r][0], left, row);
            ADD_PRODUCTS(sum[r][1], right, row);
        }
    }
    UNROLLED for (int r = 0; r < rows; r++) {
        _mm512_storeu_ps((float *)t->sums + r * ERNIEM_COLUMNS, sum[r][0]);
        _mm512_storeu_ps((float *)t->sums + r * ERNIEM_COLUMNS + 16, sum[r][1]);
    }
}

static void tile(const struct erniem_tile_narrow *t)
{
    switch (t->rows) {
#define ROWS(n)        \
    case n:            \
        tile_of(n, t); \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}

static int64_t peak(int64_t rounds, float *kept)
{
    __m512 sum[MR][2];
    const __m512i factor = _mm512_set1_epi32(0x3f003f00), term = _mm512_set1_epi32(0xbf003f00);
    UNROLLED for (int r = 0; r < MR; r++)
        sum[r][0] = sum[r][1] = _mm512_set1_ps((float)r);
    for (int64_t i = 0; i < rounds; i++)
        UNROLLED for (int r = 0; r < MR; r++) {
            ADD_PRODUCTS(sum[r][0], factor, term);
            ADD_PRODUCTS(sum[r][1], factor, term);
        }
    __m512 total = _mm512_setzero_ps();
    UNROLLED for (int r = 0; r < MR; r++)
        total = _mm512_add_ps(total, _mm512_add_ps(sum[r][0], sum[r][1]));
    *kept = _mm512_reduce_add_ps(total);
    return 4 * MR * ERNIEM_COLUMNS;
}

const struct erniem_narrow erniem_bfloat16_avx512bf16 = {
    .name = "avx512bf16", .mr = MR,
    .narrow = narrow, .tile = tile, .finish = finish, .peak = peak,
    .attention = &attention};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_avx512bf16; /* C wants a declaration in every file */
#endif
