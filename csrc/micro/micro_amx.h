/* The registers of AMX. For a kernel in *_amx.c, which before defines MULTIPLY(sums, rows, columns), the
   instruction for its number type, NUMBER_BYTES, and NARROWED(low, high), 32 results as `narrow`
   writes them, if that can be asked for; and includes micro_avx512.h.

   AMX has eight tile registers of 16 rows by 64 bytes. Four hold sums, 32 rows by 32 columns. Two
   hold a step of 16 rows of x each, two the same step of 16 columns of a panel:

                             tmm6: columns 0..15    tmm7: columns 16..31
      tmm4: rows 0..15             tmm0                    tmm1
      tmm5: rows 16..31            tmm2                    tmm3

   A tile of the loops in gemm/narrow.c has up to 128 rows. The panel is cut into blocks along k, and
   each block stays in the first-level cache while all these rows use it. The sums go on from block to
   block, in the order of k. See micro_amx_tile.h. */

#include <immintrin.h>
#include <stdint.h>

#include "narrow.h"

enum {
    MOST_ROWS = 128,                  /* of a tile of the driver */
    HALF = 16,                        /* rows, or columns, of a tile register */
    SUMS_ROW = 4 * ERNIEM_COLUMNS,    /* bytes from one row of sums to the next */
    BLOCK_BYTES = 5 << 18,            /* processors with AMX have second-level caches of 2 MB */
    UNIT_ROW = 4 * ERNIEM_COLUMNS     /* bytes from one unit of a panel to the next */
};

/* Palette 1; then for each of eight registers the bytes of a row, and the rows. Constant, because
   compilers do not know that the instruction reads all of it. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

static void begin(void) { _tile_loadconfig(&shapes); }
/* Then the system has no tiles of this thread to save, and others see what was streamed. */
static void end(void)
{
    _tile_release();
    _mm_sfence();
}

static void stream(int64_t rows, struct erniem_results *e)
{
    for (; rows > 0 && e->rows > 0; rows--, e->rows--, e->to += e->stride) {
        if (!e->from) { /* they will be written there by the caller */
            __builtin_prefetch(e->to, 1, 3);
            __builtin_prefetch(e->to + ERNIEM_STEP, 1, 3);
            continue;
        }
        const vf low = vf_load(e->from), high = vf_load(e->from + 16);
        __m512i *const line = (__m512i *)(void *)e->to;
        _mm512_stream_si512(line, e->narrows ? NARROWED(low, high) : _mm512_castps_si512(low));
        if (!e->narrows)
            _mm512_stream_si512(line + 1, _mm512_castps_si512(high));
        e->from += ERNIEM_COLUMNS;
    }
}

/* What 16 rows, or a pair of them, and a block of a panel need. */
struct block {
    int first;     /* whether the sums begin with this block */
    int64_t steps;
    const unsigned char *x;
    int64_t stride;
    const unsigned char *panel, *next; /* next: prefetched, `pace` lines for each step */
    int64_t pace;
    unsigned char *sums;
    struct erniem_results *results; /* `share` rows of them in each step */
    int64_t share;
};

/* The sums of a block to their registers, where a first block begins with 0, and back. `pair` says whether
   there are 32 rows. */
INLINE void load_sums(const struct block *b, const int pair)
{
    if (b->first) {
        _tile_zero(0);
        _tile_zero(1);
    } else {
        _tile_loadd(0, b->sums, SUMS_ROW);
        _tile_loadd(1, b->sums + 64, SUMS_ROW);
    }
    if (pair && b->first) {
        _tile_zero(2);
        _tile_zero(3);
    } else if (pair) {
        _tile_loadd(2, b->sums + HALF * SUMS_ROW, SUMS_ROW);
        _tile_loadd(3, b->sums + HALF * SUMS_ROW + 64, SUMS_ROW);
    }
}

INLINE void store_sums(const struct block *b, const int pair)
{
    _tile_stored(0, b->sums, SUMS_ROW);
    _tile_stored(1, b->sums + 64, SUMS_ROW);
    if (pair) {
        _tile_stored(2, b->sums + HALF * SUMS_ROW, SUMS_ROW);
        _tile_stored(3, b->sums + HALF * SUMS_ROW + 64, SUMS_ROW);
    }
}

/* What a step does for the tiles before and after this one. */
INLINE void serve_others(const struct block *b, int64_t step)
{
    if (b->share)
        stream(b->share, b->results);
    const char *line = (const char *)b->next + step * b->pace * ERNIEM_STEP;
    for (int64_t i = 0; i < b->pace; i++, line += ERNIEM_STEP)
        _mm_prefetch(line, _MM_HINT_T1);
}
