/* Eight bits by AMX: rows of 0..255 times weights of -127..127. The sums are exact, and rows and
   results are those of AVX-512. */

#include "narrow.h"

#if ERNIEM_HAS_AMX

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-int8,avx512f,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("amx-tile,amx-int8,avx512f,avx512bw,avx2,fma")
#endif

#define MULTIPLY(sums, rows, columns) _tile_dpbusd(sums, rows, columns)
#define NARROWED(low, high) _mm512_castps_si512(low) /* never asked for */
#define NUMBER_BYTES 1
#define MICRO_AVX512BW
#include "micro_loops.h"
#include "micro_avx512.h"
#include "micro_int8.h"
#include "micro_amx.h"
#include "micro_amx_loop.h"
#include "micro_amx_tile.h"

const struct erniem_narrow erniem_int8_amx = {
    .name = "amx", .mr = MOST_ROWS, .group = 2 * HALF, .block_bytes = BLOCK_BYTES, .narrow = narrow,
    .tile = tile, .finish = finish, .begin = begin, .end = end, .stream = stream, .peak = tile_peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_amx; /* C wants a declaration in every file */
#endif
