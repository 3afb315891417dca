/* Tiles of sums by AMX. For a kernel in *_amx.c, which before defines MULTIPLY(sums, rows, columns),
   the instruction for its number type, and NUMBER_BYTES, and behind this file multiply_16_rows and
   multiply_32_rows.

   AMX has eight tile registers of 16 rows by 64 bytes. Four hold sums, 32 rows by 32 columns. Two
   hold a step of 16 rows of x each, two the same step of 16 columns of a panel:

                             tmm6: columns 0..15    tmm7: columns 16..31
      tmm4: rows 0..15             tmm0                    tmm1
      tmm5: rows 16..31            tmm2                    tmm3

   A tile of the loops in gemm/narrow.c has up to 128 rows. The panel is cut into blocks along k, and
   each block stays in the first-level cache while all these rows use it. The sums go on from block to
   block, in the order of k. */

#include <immintrin.h>
#include <stdint.h>

#include "narrow.h"

#if !defined(UNCUT)
#define UNCUT 12 /* steps that are one block: writing sums costs more */
#endif

enum {
    MOST_ROWS = 128,                  /* of a tile of the driver */
    HALF = 16,                        /* rows, or columns, of a tile register */
    SUMS_ROW = 4 * ERNIEM_COLUMNS,    /* bytes from one row of sums to the next */
    STEPS = 8,                        /* of a block: 16 KB of a panel, and as much of 32 rows */
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

static void stream(int rows, const float *from, float *y, int64_t ldy)
{
    for (int r = 0; r < rows; r++, from += ERNIEM_COLUMNS, y += ldy) {
        _mm512_stream_ps(y, _mm512_load_ps(from));
        _mm512_stream_ps(y + 16, _mm512_load_ps(from + 16));
    }
}

/* What 16 or 32 rows and a block of a panel need. */
struct block {
    int first;     /* whether the sums begin with this block */
    int64_t steps;
    const unsigned char *x;
    int64_t stride;
    const unsigned char *panel, *next; /* next: prefetched, `pace` lines for each step */
    int64_t pace;
    unsigned char *sums;
};

/* The sums of 16 rows, and of the 16 below them: to the registers, where a first block begins with 0, and
   back. */
static inline void load_sums(const struct block *b)
{
    if (b->first) {
        _tile_zero(0);
        _tile_zero(1);
    } else {
        _tile_loadd(0, b->sums, SUMS_ROW);
        _tile_loadd(1, b->sums + 64, SUMS_ROW);
    }
}

static inline void load_sums_below(const struct block *b)
{
    if (b->first) {
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(2, b->sums + HALF * SUMS_ROW, SUMS_ROW);
        _tile_loadd(3, b->sums + HALF * SUMS_ROW + 64, SUMS_ROW);
    }
}

static inline void store_sums(const struct block *b)
{
    _tile_stored(0, b->sums, SUMS_ROW);
    _tile_stored(1, b->sums + 64, SUMS_ROW);
}

static inline void store_sums_below(const struct block *b)
{
    _tile_stored(2, b->sums + HALF * SUMS_ROW, SUMS_ROW);
    _tile_stored(3, b->sums + HALF * SUMS_ROW + 64, SUMS_ROW);
}

/* sums += x * panel, over the steps of a block. */
static void multiply_16_rows(const struct block *b);
static void multiply_32_rows(const struct block *b);

static inline void prefetch_some(const struct block *b, int64_t step)
{
    const char *line = (const char *)b->next + step * b->pace * ERNIEM_STEP;
    for (int64_t i = 0; i < b->pace; i++, line += ERNIEM_STEP)
        _mm_prefetch(line, _MM_HINT_T1);
}

static void tile(const struct erniem_tile_narrow *t)
{
    const int64_t pairs = (t->rows + 2 * HALF - 1) / (2 * HALF); /* of halves */
    struct block b = {.stride = t->stride, .pace = (t->pace + pairs - 1) / pairs, .next = t->next};
    const int64_t most = t->steps <= UNCUT ? UNCUT : STEPS;
    for (int64_t step = 0; step < t->steps; step += most) {
        b.first = step == 0;
        b.steps = t->steps - step < most ? t->steps - step : most;
        b.panel = t->panel + step * ERNIEM_PANEL_STEP;
        for (int r = 0; r < t->rows; r += 2 * HALF) {
            b.x = t->x + r * t->stride + step * ERNIEM_STEP;
            b.sums = (unsigned char *)t->sums + r * SUMS_ROW;
            if (t->rows - r > HALF)
                multiply_32_rows(&b);
            else
                multiply_16_rows(&b);
            b.next += b.steps * b.pace * ERNIEM_STEP;
        }
    }
}

/* Operations of a round: eight multiplications of 16 x 16 by 64 bytes, each number two of them. */
static int64_t tile_peak(int64_t rounds, float *kept)
{
    (void)kept;
    begin();
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t i = 0; i < rounds; i++) {
        MULTIPLY(0, 4, 6);
        MULTIPLY(1, 4, 7);
        MULTIPLY(2, 5, 6);
        MULTIPLY(3, 5, 7);
    }
    end();
    return 4 * 2 * HALF * HALF * (ERNIEM_STEP / NUMBER_BYTES);
}
