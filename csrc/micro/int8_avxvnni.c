/* Eight bits on x86-64 with AVX-VNNI, the instruction of AVX-512 VNNI for vectors of 32 bytes. */

#if defined(__x86_64__) || defined(_M_X64)
#include "narrow.h"
#if ERNIEM_HAS_AVXVNNI

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma,avxvnni")
#endif

#include "micro_avx2.h"
#include "micro_loops.h"
#include "micro_int8.h"

#define TILE_ROWS MR
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

typedef vi INPUT, WEIGHT;
#define input_of vi_unit
#define weight_of vi_load
/* Assembly, because gcc 12 keeps the sums of the intrinsic in memory. */
INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
#if defined(__GNUC__) && !defined(__clang__)
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(w));
#else
    *sum = _mm256_dpbusd_avx_epi32(*sum, x, w);
#endif
}

#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_avxvnni = {
    .name = "avxvnni", .mr = MR, .narrow = narrow, .tile = tile, .finish = finish, .peak = peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int erniem_no_avxvnni;
#endif
#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
