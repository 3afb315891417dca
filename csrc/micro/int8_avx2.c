/* Eight bits on x86-64 with AVX2. */

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma")
#endif

#include "micro_avx2.h"
#include "micro_loops.h"
#include "micro_int8.h"

#undef MICRO_ROWS
#define TILE_ROWS 4
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4)
#define AND _mm256_and_si256
#define SET16 _mm256_set1_epi16
#define SHIFT_LEFT _mm256_slli_epi16
#define SHIFT_RIGHT _mm256_srli_epi16
#define SHIFT_RIGHT_SIGNED _mm256_srai_epi16
#define ADD32 _mm256_add_epi32
#define MULTIPLY _mm256_madd_epi16

typedef __m256i vi;
static inline vi vi_zero(void) { return _mm256_setzero_si256(); }
static inline void vi_store(int32_t *p, vi x) { _mm256_storeu_si256((__m256i *)(void *)p, x); }
static inline vi vi_load(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline vi vi_unit(const unsigned char *p)
{
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return _mm256_set1_epi32(unit);
}

#include "micro_int8_pairs.h"
#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_avx2 = {
    .name = "avx2", .mr = TILE_ROWS, .widens = 1, .narrow = narrow_to_pairs,
    .tile = tile, .finish = finish, .peak = peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
