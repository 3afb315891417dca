/* Eight bits on x86-64 with AVX-512 VNNI: one instruction multiplies 64 bytes by 64 and adds four
   products to each of 16 sums, without saturation. */

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni,avx2,fma"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx512vnni,avx2,fma")
#endif

#define MICRO_AVX512BW
#include "micro_avx512.h"
#include "micro_loops.h"
#include "micro_int8.h"

#define TILE_ROWS MR
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

typedef vi INPUT, WEIGHT;
#define input_of vi_unit
#define weight_of vi_load
/* Assembly, because gcc 12 keeps the sums of the intrinsic in memory. */
INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
#if defined(__GNUC__)
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
#else
    *sum = _mm512_dpbusd_epi32(*sum, x, w);
#endif
}

#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_avx512vnni = {
    .name = "avx512vnni", .mr = MR, .narrow = narrow, .tile = tile, .finish = finish, .peak = peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
