/* bfloat16 by AMX. TDPBF16PS adds up the even products of a step and the odd ones, then both; it
   takes denormal numbers for 0. */

#include "micro.h"
#include "narrow.h"

#if ERNIEM_HAS_AMX

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512bf16,avx2,fma"))), \
    apply_to = function)
#else
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx512bf16,avx2,fma")
#endif

#define MULTIPLY(sums, rows, columns) _tile_dpbf16ps(sums, rows, columns)
#define NARROWED(low, high) (__m512i)_mm512_cvtne2ps_pbh(high, low)

#include "micro_loops.h"
#include "micro_avx512.h"
#include "micro_finish.h"
#include "micro_pairs.h"
#include "micro_amx.h"
#include "micro_amx_loop.h"
#include "micro_amx_tile.h"

const struct erniem_narrow erniem_bfloat16_amx = {
    .name = "amx", .mr = MOST_ROWS, .group = 2 * HALF, .block_bytes = BLOCK_BYTES, .narrow = narrow,
    .tile = tile, .finish = finish, .begin = begin, .end = end, .stream = stream,
    .peak = tile_peak, .attention = &attention};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_amx; /* C wants a declaration in every file */
#endif
