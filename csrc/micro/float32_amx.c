/* Products of float32 by AMX, which multiplies numbers of bfloat16 alone.

   A number of float32 has 24 binary digits, one of bfloat16 has 8. So x = x1 + x2 + x3, exactly: its
   first 8 digits, the next ones and the last. Of the nine products in

      x w = (x1 + x2 + x3) (w1 + w2 + w3)

   x2 w3, x3 w2 and x3 w3 are left out: together less than 2^-21 of x w and 2^-24 on average, which is
   what float32 itself rounds. The others are exact, and their sums are float32: TDPBF16PS adds up the
   even products of a step and the odd ones, then both. See Henry, Tang and Heinecke, "Leveraging the
   bfloat16 artificial intelligence datatype for higher-precision computations" (2019).

   32 numbers of a row are three cache lines, of their x1, x2 and x3; 32 numbers of each column of a panel
   are three steps as in narrow.h, one for each third. Thirds and products below 2^-126 count as 0.

   An infinity is its own first third, and the others are 0. Times such a third of the other side it makes
   NaN; sums that became NaN are computed again, from whole numbers. */

#include "micro.h"
#include "narrow.h"

#if ERNIEM_HAS_AMX

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx2,fma")
#endif

#define MULTIPLY(sums, rows, columns) _tile_dpbf16ps(sums, rows, columns)
#define NARROWED(low, high) _mm512_castps_si512(low) /* never asked for */
#define NUMBER_BYTES 2

#include "micro_loops.h"
#include "micro_avx512.h"
#include "micro_finish.h"
#include "micro_amx.h"
#include "micro_thirds.h"

/* A third of a step of the rows, and of the columns, to their registers. */
INLINE void load_rows(const struct block *b, const unsigned char *x, int third, const int pair)
{
    _tile_loadd(4, x + third * ERNIEM_STEP, b->stride);
    if (pair)
        _tile_loadd(5, x + HALF * b->stride + third * ERNIEM_STEP, b->stride);
}

INLINE void load_columns(const unsigned char *panel, int third)
{
    _tile_loadd(6, panel + third * ERNIEM_PANEL_STEP, UNIT_ROW);
    _tile_loadd(7, panel + third * ERNIEM_PANEL_STEP + 64, UNIT_ROW);
}

INLINE void add_product(const int pair)
{
    MULTIPLY(0, 4, 6);
    MULTIPLY(1, 4, 7);
    if (pair) {
        MULTIPLY(2, 5, 6);
        MULTIPLY(3, 5, 7);
    }
}

/* For micro_amx_tile.h; a step here is a line. Six products give the second-level cache time enough, so
   panels of up to 1,024 k are not cut. */
enum { STEPS = 96, UNCUT = STEPS };

/* The six products of a step, the small ones first. */
INLINE void multiply(const struct block *b, const int pair)
{
    const unsigned char *x = b->x, *panel = b->panel;
    load_sums(b, pair);
    for (int64_t line = 0; line < b->steps; line += THIRDS, x += ROW_STEP, panel += PANEL_STEP) {
        for (int i = 0; i < THIRDS; i++)
            serve_others(b, line + i);
        load_rows(b, x, 2, pair);
        load_columns(panel, 0);
        add_product(pair); /* x3 w1 */
        load_rows(b, x, 1, pair);
        add_product(pair); /* x2 w1 */
        load_columns(panel, 1);
        add_product(pair); /* x2 w2 */
        load_rows(b, x, 0, pair);
        add_product(pair); /* x1 w2 */
        load_columns(panel, 2);
        add_product(pair); /* x1 w3 */
        load_columns(panel, 0);
        add_product(pair); /* x1 w1 */
    }
    store_sums(b, pair);
}

#include "micro_amx_tile.h"

static int has_nan(int rows, const float *sums)
{
    __mmask16 found = 0;
    for (int i = 0; i < rows * ERNIEM_COLUMNS; i += VW)
        found |= _mm512_cmp_ps_mask(vf_load(sums + i), vf_load(sums + i), _CMP_UNORD_Q);
    return found != 0;
}

/* Compute the sums that became NaN again. */
static void mend(const struct erniem_tile_narrow *t)
{
    float *sums = t->sums;
    for (int64_t i = 0; i < t->rows * ERNIEM_COLUMNS; i++) {
        if (!isnan(sums[i]))
            continue;
        const unsigned char *x = t->x + i / ERNIEM_COLUMNS * t->stride;
        const unsigned char *w = t->panel + i % ERNIEM_COLUMNS * ERNIEM_UNIT;
        float sum = 0.0f;
        for (int64_t l = 0; l < t->steps / THIRDS * NUMBERS && !isnan(sum); l++) {
            const int64_t step = l / NUMBERS, unit = l % NUMBERS / 2, part = l % 2 * NUMBER_BYTES;
            sum += whole(x + step * ROW_STEP + unit * ERNIEM_UNIT + part, ERNIEM_STEP) *
                   whole(w + step * PANEL_STEP + unit * UNIT_ROW + part, ERNIEM_PANEL_STEP);
        }
        sums[i] = sum;
    }
}

static void mended_tile(const struct erniem_tile_narrow *t)
{
    tile(t);
    if (has_nan(t->rows, t->sums))
        mend(t);
}

static const struct erniem_narrow_attention packing = {
    .pack = pack, .pack_across = pack_across, .narrow_across = narrow_across};

const struct erniem_narrow erniem_float32_amx = {
    .name = "amx", .mr = MOST_ROWS, .group = 2 * HALF, .lines = THIRDS, .block_bytes = BLOCK_BYTES,
    .narrow = narrow, .tile = mended_tile, .finish = finish, .begin = begin, .end = end, .stream = stream,
    .attention = &packing, .peak = tile_peak};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_no_amx; /* C wants a declaration in every file */
#endif
