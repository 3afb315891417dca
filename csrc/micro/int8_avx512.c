/* Eight bits on x86-64 with AVX-512 F and BW. */

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx2,fma"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx2,fma")
#endif

#define MICRO_AVX512BW
#include "micro_avx512.h"
#include "micro_loops.h"
#include "micro_int8.h"

#undef MICRO_ROWS
#define TILE_ROWS 12
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define AND _mm512_and_si512
#define SET16 _mm512_set1_epi16
#define SHIFT_LEFT _mm512_slli_epi16
#define SHIFT_RIGHT _mm512_srli_epi16
#define SHIFT_RIGHT_SIGNED _mm512_srai_epi16
#define ADD32 _mm512_add_epi32
#define MULTIPLY _mm512_madd_epi16

typedef __m512i vi;
static inline vi vi_zero(void) { return _mm512_setzero_si512(); }
static inline void vi_store(int32_t *p, vi x) { _mm512_storeu_si512(p, x); }
static inline vi vi_load(const unsigned char *p) { return _mm512_loadu_si512(p); }
static inline vi vi_unit(const unsigned char *p)
{
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return _mm512_set1_epi32(unit);
}

#include "micro_int8_pairs.h"
#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_avx512 = {
    .name = "avx512", .mr = TILE_ROWS, .widens = 1, .narrow = narrow_to_pairs,
    .tile = tile, .finish = finish, .peak = peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
