/* Linear maps and their gradients with products of bfloat16: x, w and dy are rounded to it, sums are
   float32.

      y = x wT + b        dx = dy w        dw = dyT x        db = the sum over the rows of dy

   Each product c = a b is computed by the kernels of weights of 16 bits (micro/narrow.h). Both sides
   are rounded for the call: a into rows, b into panels of 32 columns. What a product needs turned is
   turned on the way, some columns at a time.

   The sums run over k in one order, DEPTH by DEPTH, for any number of threads and of rows. */

#include "../runtime/platform.h"

#include <string.h>

#include "../internal.h"
#include "../micro/narrow.h"

enum {
    DEPTH = 4096,      /* of k, that a tile adds up at a time */
    BLOCK_ROWS = 280,  /* of a task, at most, as in gemm/narrow.c */
    CHUNK_PANELS = 24, /* of a task, at most */
    ROWS = 16,         /* that are rounded at a time */
    STEP_NUMBERS = 32, /* of a step of a row */
    TURNED = 64,       /* columns that are turned at a time, a share of a first-level cache */
    BETWEEN = TURNED + 16,
    STREAMED_BYTES = 1 << 20
};

struct product {
    const struct erniem_micro *micro;
    const struct erniem_narrow *kernel;
    int64_t m, n, k;
    const float *a; /* (m, k), or (k, m) if a_turned */
    int a_turned;
    const float *b; /* (k, n), or (n, k) if b_turned */
    int b_turned;
    const float *bias; /* (n) or NULL */
    float *c;          /* (m, n) */
    float *sums;       /* (m), of the rows of a, where it is turned; or NULL */
    int64_t steps, step_bytes, stride; /* of a row of k; bytes of a step and from row to row */
    unsigned char *rows, *panels;
    int64_t panel_count, block_rows, chunk_panels, chunks;
    int streams; /* whether results are written past the caches, as in gemm/narrow.c */
};

static unsigned char *panel_of(const struct product *p, int64_t panel)
{
    return p->panels + panel * p->steps * ERNIEM_PANEL_STEP;
}

/* The rows or columns of a panel, in their order. */
static const int64_t in_order[ERNIEM_COLUMNS] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* Rows of a: a task is ROWS of them. */
static void lay_rows(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    struct erniem_row unused;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;)
        for (int64_t row = task * ROWS; row < erniem_min(p->m, (task + 1) * ROWS); row++)
            p->kernel->narrow(p->k, p->a + row * p->k, p->rows + row * p->stride, &unused);
}

/* Copy a few rows of a to `to`, BETWEEN floats apart, and add them to `sums`. Rows that lie a multiple of
   4 KB apart would throw each other out of a first-level cache while they are turned. */
static void copy_and_sum(const struct product *p, int64_t rows, int64_t columns, const float *from,
                         float *sums, float *to)
{
    for (int64_t l = 0; l < rows; l++, from += p->m, to += BETWEEN) {
        for (int64_t j = 0; j < columns; j += 16) /* what is copied next */
            ERNIEM_PREFETCH(from + STEP_NUMBERS * p->m + j);
        memcpy(to, from, (size_t)columns * sizeof(float));
        for (int64_t j = 0; j < columns; j++)
            sums[j] += from[j];
    }
}

/* to[l][j] = from[j][l] for j < 32 and l < columns, of rows BETWEEN floats apart; 0 where j is not below
   `rows`. A panel of float32 holds nr of them. */
static void turn(const struct product *p, int64_t rows, int64_t columns, const float *from, float *to)
{
    const int64_t nr = p->micro->gemm.nr;
    float part[TURNED * ERNIEM_MAX_NR];
    for (int64_t j = 0; j < STEP_NUMBERS; j += nr) {
        const int64_t some = erniem_max(0, erniem_min(nr, rows - j));
        float *const panel = nr == STEP_NUMBERS ? to : part;
        p->micro->gemm.pack(some, columns, from + j * BETWEEN, BETWEEN, NULL, panel);
        for (int64_t l = 0; l < columns && panel == part; l++)
            memcpy(to + l * STEP_NUMBERS + j, part + l * nr, (size_t)nr * sizeof(float));
    }
}

/* Columns of a, as rows, and their sums: a task is TURNED of them. */
static void lay_rows_turned(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    struct erniem_row unused;
    float copy[STEP_NUMBERS * BETWEEN], turned[TURNED * STEP_NUMBERS];
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t first = task * TURNED, columns = erniem_min(TURNED, p->m - first);
        float sums[TURNED] = {0.0f};
        for (int64_t step = 0; step < p->steps; step++) {
            const int64_t l0 = step * STEP_NUMBERS, depth = erniem_min(STEP_NUMBERS, p->k - l0);
            unsigned char *to = p->rows + first * p->stride + step * p->step_bytes;
            copy_and_sum(p, depth, columns, p->a + l0 * p->m + first, sums, copy);
            turn(p, depth, columns, copy, turned);
            for (int64_t j = 0; j < columns; j++, to += p->stride) {
                ERNIEM_PREFETCH_TO_WRITE(to + p->step_bytes);
                p->kernel->narrow(STEP_NUMBERS, turned + j * STEP_NUMBERS, to, &unused);
            }
        }
        if (p->sums)
            memcpy(p->sums + first, sums, (size_t)columns * sizeof(float));
    }
}

/* Panels of b: a task is a step of all of them, so that it reads b from front to back. */
static void lay_panels(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    for (int64_t step; (step = erniem_take(tasks)) >= 0;) {
        const int64_t l0 = step * STEP_NUMBERS, depth = erniem_min(STEP_NUMBERS, p->k - l0);
        for (int64_t panel = 0; panel < p->panel_count; panel++) {
            const int64_t column = panel * ERNIEM_COLUMNS;
            p->kernel->attention->pack_across(erniem_min(ERNIEM_COLUMNS, p->n - column), depth,
                                              p->b + l0 * p->n + column, p->n, in_order,
                                              panel_of(p, panel) + step * ERNIEM_PANEL_STEP);
        }
    }
}

/* Rows of b, as the columns of panels: a task is a panel. */
static void lay_panels_turned(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    for (int64_t panel; (panel = erniem_take(tasks)) >= 0;) {
        const int64_t first = panel * ERNIEM_COLUMNS;
        p->kernel->attention->pack(erniem_min(ERNIEM_COLUMNS, p->n - first), p->k,
                                   p->b + first * p->k, p->k, in_order, panel_of(p, panel));
    }
}

static void add_sums(int rows, int columns, const float *sums, float *c, int64_t ldc)
{
    for (int r = 0; r < rows; r++, sums += ERNIEM_COLUMNS, c += ldc)
        for (int j = 0; j < columns; j++)
            c[j] += sums[j];
}

/* For each panel, every tile of rows, of some steps of k. A tile prefetches a share of the next
   panel. */
static void multiply_block(const struct product *p, int64_t row0, int64_t rows, int64_t first,
                           int64_t end, int64_t step, unsigned char *sums)
{
    const int64_t steps = erniem_min(DEPTH / STEP_NUMBERS, p->steps - step);
    const int64_t tiles = erniem_ceil_div(rows, p->kernel->mr), height = erniem_ceil_div(rows, tiles);
    struct erniem_tile_narrow tile = {.steps = steps, .stride = p->stride, .sums = sums,
                                      .pace = erniem_ceil_div(ERNIEM_COLUMNS, tiles)};
    for (int64_t r = 0; r < rows; r++) /* they stay in the second-level cache */
        for (int64_t i = 0; i < steps * p->step_bytes; i += ERNIEM_STEP)
            ERNIEM_PREFETCH(p->rows + (row0 + r) * p->stride + step * p->step_bytes + i);
    for (int64_t panel = first; panel < end; panel++) {
        const int64_t column = panel * ERNIEM_COLUMNS;
        const int columns = (int)erniem_min(ERNIEM_COLUMNS, p->n - column);
        const float *bias = step == 0 && p->bias ? p->bias + column : NULL;
        tile.panel = panel_of(p, panel) + step * ERNIEM_PANEL_STEP;
        tile.next = panel_of(p, panel + 1 < end ? panel + 1 : first) + step * ERNIEM_PANEL_STEP;
        for (int64_t r = 0; r < rows; r += height) {
            float *c = p->c + (row0 + r) * p->n + column;
            tile.rows = (int)erniem_min(height, rows - r);
            tile.x = p->rows + (row0 + r) * p->stride + step * p->step_bytes;
            for (int64_t i = 0; i < tile.rows * p->n && !p->streams; i += p->n) /* is written soon */
                for (int j = 0; j < columns; j += 16)
                    ERNIEM_PREFETCH_TO_WRITE(c + i + j);
            p->kernel->tile(&tile);
            tile.next += steps * tile.pace * ERNIEM_STEP;
            if (p->streams) {
                float *const results = (float *)(void *)sums;
                p->kernel->finish(tile.rows, columns, sums, NULL, NULL, NULL, bias, results,
                                  ERNIEM_COLUMNS);
                p->kernel->stream(tile.rows, results, c, p->n);
            } else if (step == 0) {
                p->kernel->finish(tile.rows, columns, sums, NULL, NULL, NULL, bias, c, p->n);
            } else {
                add_sums(tile.rows, columns, (const float *)(void *)sums, c, p->n);
            }
        }
    }
}

static void multiply_some(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    unsigned char *sums = erniem_acquire(ERNIEM_MAX_ROWS * ERNIEM_COLUMNS * (int64_t)sizeof(float));
    if (!sums)
        return;
    if (p->kernel->begin)
        p->kernel->begin();
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task / p->chunks * p->block_rows;
        const int64_t first = task % p->chunks * p->chunk_panels;
        for (int64_t step = 0; step < p->steps; step += DEPTH / STEP_NUMBERS)
            multiply_block(p, row0, erniem_min(p->block_rows, p->m - row0), first,
                           erniem_min(p->panel_count, first + p->chunk_panels), step, sums);
    }
    if (p->kernel->end)
        p->kernel->end();
    erniem_release(sums);
}

/* Choose tasks: rows that stay in a second-level cache, and panels. */
static void divide(struct product *p)
{
    const int64_t bytes = p->kernel->block_bytes ? p->kernel->block_bytes : ERNIEM_BLOCK_BYTES;
    const int64_t used = erniem_min(p->stride, DEPTH / STEP_NUMBERS * p->step_bytes);
    const int64_t most = erniem_max(STEP_NUMBERS, erniem_min(BLOCK_ROWS, bytes / used));
    const int64_t blocks = erniem_ceil_div(p->m, most), threads = erniem_get_threads();
    const int64_t share = blocks % threads == 0 ? p->panel_count
                                                : erniem_ceil_div(p->panel_count, threads);
    p->block_rows = erniem_ceil_div(p->m, blocks);
    p->streams = p->kernel->stream && p->n % ERNIEM_COLUMNS == 0 &&
                 (uintptr_t)p->c % ERNIEM_STEP == 0 && p->steps <= DEPTH / STEP_NUMBERS &&
                 p->m * p->n * (int64_t)sizeof(float) > STREAMED_BYTES;
    p->chunk_panels = erniem_min(share, CHUNK_PANELS);
    p->chunks = erniem_ceil_div(p->panel_count, p->chunk_panels);
}

static int multiply(struct product *p)
{
    p->steps = erniem_ceil_div(p->k, STEP_NUMBERS);
    p->step_bytes = ERNIEM_STEP << p->kernel->widens;
    /* An odd number of cache lines apart, so that the rows of a tile lie in different cache sets. */
    p->stride = (p->steps << p->kernel->widens | 1) * ERNIEM_STEP;
    p->panel_count = erniem_ceil_div(p->n, ERNIEM_COLUMNS);
    divide(p);
    p->rows = erniem_acquire((p->m + ERNIEM_ROWS_TOGETHER - 1) * p->stride);
    p->panels = erniem_acquire(p->panel_count * p->steps * ERNIEM_PANEL_STEP);
    int status = p->rows && p->panels ? 0 : ERNIEM_NO_MEMORY;
    if (status == 0)
        status = p->a_turned ? erniem_parallel(erniem_ceil_div(p->m, TURNED), lay_rows_turned, p)
                             : erniem_parallel(erniem_ceil_div(p->m, ROWS), lay_rows, p);
    if (status == 0)
        status = p->b_turned ? erniem_parallel(p->panel_count, lay_panels_turned, p)
                             : erniem_parallel(p->steps, lay_panels, p);
    if (status == 0)
        status = erniem_parallel(erniem_ceil_div(p->m, p->block_rows) * p->chunks, multiply_some, p);
    erniem_release(p->rows);
    erniem_release(p->panels);
    return status;
}

static int are_right(int64_t m, int64_t n, int64_t k)
{
    const int64_t more = ERNIEM_COLUMNS + 2 * STEP_NUMBERS;
    return m >= 1 && n >= 1 && k >= 1 && erniem_fits(m + more, n + more, 16) &&
           erniem_fits(m + more, k + more, 16) && erniem_fits(n + more, k + more, 16);
}

int erniem_bfloat16_linear(int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                           const float *bias, float *y)
{
    if (!are_right(m, n, k))
        return ERNIEM_BAD_SIZE;
    struct product p = {.micro = erniem_micro(), .kernel = erniem_narrow(ERNIEM_BFLOAT16), .m = m,
                        .n = n, .k = k, .a = x, .b = w, .b_turned = 1, .bias = bias, .c = y};
    return multiply(&p);
}

int erniem_bfloat16_linear_backward(int64_t m, int64_t n, int64_t k, const float *dy, const float *x,
                                    const float *w, float *dx, float *dw, float *db)
{
    if (!are_right(m, n, k))
        return ERNIEM_BAD_SIZE;
    struct product p = {.micro = erniem_micro(), .kernel = erniem_narrow(ERNIEM_BFLOAT16), .m = m,
                        .n = k, .k = n, .a = dy, .b = w, .c = dx};
    const int status = multiply(&p);
    if (status != 0)
        return status;
    p = (struct product){.micro = p.micro, .kernel = p.kernel, .m = n, .n = k, .k = m, .a = dy,
                         .a_turned = 1, .b = x, .c = dw, .sums = db};
    return multiply(&p);
}
