/* Linear maps and their gradients with products of numbers of 16 bits: x, w and dy are rounded to
   bfloat16, or, for float32 by AMX, taken apart into thirds (micro/float32_amx.c). Sums are float32.

      y = x wT + b        dx = dy w        dw = dyT x        db = the sum over the rows of dy

   Each product c = a b is computed by the kernels of micro/narrow.h. Both sides are prepared for the
   call: b as panels of 32 columns, then a as rows, a block of them by the thread that multiplies it.
   What a product needs turned is turned on the way.

   The sums run over k in one order, some depth at a time, for any number of threads and of rows. */

#include "../runtime/platform.h"

#include <string.h>

#include "../gemm/gemm.h"

enum {
    DEPTH = 4096,           /* of k, that a tile adds up at a time, */
    THIRDS_DEPTH = 1024,    /* and of thirds */
    BLOCK_ROWS = 288,       /* of a task, at most */
    STEP_NUMBERS = 32,      /* of a step of a row */
    AHEAD = 2,              /* panels to the one of b that is prefetched */
    PANEL_BYTES = 20 << 20, /* that exist at a time, about */
    STREAMED_BYTES = 1 << 20
};

struct product {
    const struct erniem_narrow *kernel;
    int64_t m, n, k;
    const float *a; /* (m, k), or (k, m) if a_turned */
    int a_turned;
    const float *b; /* (k, n), or (n, k) if b_turned */
    int b_turned;
    const float *bias; /* (n) or NULL */
    int adds;          /* whether c is added to */
    float *c;          /* (m, n) */
    float *sums;       /* (m), of the rows of a, where it is turned; or NULL */
    int64_t depth;                         /* of k, of the rows of a block */
    int64_t steps, step_bytes, panel_step; /* steps of k; bytes of one in a row and in a panel */
    int64_t stride;                        /* bytes from row to row of a block */
    unsigned char *panels;
    int64_t first_panel; /* of the panel_count that exist */
    int64_t panel_count, block_rows, chunk_panels, chunks;
    int streams; /* whether results are written past the caches, as in gemm/narrow.c */
};

static unsigned char *panel_of(const struct product *p, int64_t panel)
{
    return p->panels + panel * p->steps * p->panel_step;
}

/* Two cache lines each of some rows. */
static void prefetch_columns(const float *x, int64_t stride, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++, x += stride) {
        ERNIEM_PREFETCH(x);
        ERNIEM_PREFETCH(x + ERNIEM_COLUMNS / 2);
    }
}

/* Panels of b: a task is a step of all of them, so that it reads b from front to back. */
static void lay_panels(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    for (int64_t step; (step = erniem_take(tasks)) >= 0;) {
        const int64_t l0 = step * STEP_NUMBERS, depth = erniem_min(STEP_NUMBERS, p->k - l0);
        for (int64_t panel = 0; panel < p->panel_count; panel++) {
            const int64_t column = (p->first_panel + panel) * ERNIEM_COLUMNS;
            prefetch_columns(p->b + l0 * p->n + column + AHEAD * ERNIEM_COLUMNS, p->n, depth);
            p->kernel->attention->pack_across(erniem_min(ERNIEM_COLUMNS, p->n - column), depth,
                                              p->b + l0 * p->n + column, p->n, NULL,
                                              panel_of(p, panel) + step * p->panel_step);
        }
    }
}

/* Rows of b, as the columns of panels: a task is a panel. */
static void lay_panels_turned(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    for (int64_t panel; (panel = erniem_take(tasks)) >= 0;) {
        const int64_t first = (p->first_panel + panel) * ERNIEM_COLUMNS;
        p->kernel->attention->pack(erniem_min(ERNIEM_COLUMNS, p->n - first), p->k,
                                   p->b + first * p->k, p->k, NULL, panel_of(p, panel));
    }
}

static int64_t depth_of(const struct product *p, int64_t l)
{
    return erniem_min(p->depth, p->k - l);
}

/* Numbers l .. of rows of a. */
static void lay_rows(const struct product *p, int64_t row0, int64_t rows, int64_t l, unsigned char *to)
{
    struct erniem_row unused;
    for (int64_t r = row0; r < row0 + rows; r++, to += p->stride)
        p->kernel->narrow(depth_of(p, l), p->a + r * p->k + l, to, &unused);
}

/* The same where a lies turned: columns of it, which are added up on the way. */
static void lay_rows_turned(const struct product *p, int64_t row0, int64_t rows, int64_t l,
                            float *sums, unsigned char *to)
{
    const float *from = p->a + l * p->m + row0;
    const int64_t depth = depth_of(p, l);
    for (int64_t done = 0; done < depth; done += STEP_NUMBERS, to += p->step_bytes) {
        const float *next = from + STEP_NUMBERS * p->m;
        for (int64_t j = 0; j < rows; j += ERNIEM_COLUMNS) {
            prefetch_columns(next + j, p->m, STEP_NUMBERS);
            p->kernel->attention->narrow_across(erniem_min(ERNIEM_COLUMNS, rows - j),
                                                erniem_min(STEP_NUMBERS, depth - done), from + j,
                                                p->m, sums + j, to + j * p->stride, p->stride);
        }
        from = next;
    }
}

static void add_sums(int rows, int columns, const float *sums, float *c, int64_t ldc)
{
    for (int r = 0; r < rows; r++, sums += ERNIEM_COLUMNS, c += ldc)
        for (int j = 0; j < columns; j++)
            c[j] += sums[j];
}

/* Two tiles of sums, so that the results of one are written while the next is computed; and those results,
   or where the results of a tile go. */
struct scratch {
    float *sums, *other;
    struct erniem_results results;
};

static struct erniem_results results_at(const struct product *p, int rows, const float *from, float *c)
{
    return (struct erniem_results){rows, from, (unsigned char *)c, p->n * (int64_t)sizeof(float), 0};
}

/* The results of a tile, of the products from l on. */
static void finish(const struct product *p, int rows, int columns, int64_t l, const float *bias,
                   struct scratch *s, float *c)
{
    float *sums = s->sums;
    if (p->streams && bias)
        p->kernel->finish(rows, columns, sums, NULL, NULL, NULL, bias, sums, ERNIEM_COLUMNS);
    if (p->streams) {
        s->results = results_at(p, rows, sums, c);
        s->sums = s->other;
        s->other = sums;
    } else if (l == 0 && !p->adds) {
        p->kernel->finish(rows, columns, sums, NULL, NULL, NULL, bias, c, p->n);
    } else {
        add_sums(rows, columns, sums, c, p->n);
    }
}

/* For each panel, every tile of rows, of the products from l on. A tile prefetches a share of the next
   panel. */
static void multiply_block(const struct product *p, int64_t row0, int64_t rows, int64_t first,
                           int64_t end, int64_t l, const unsigned char *left, struct scratch *s)
{
    const int64_t step = l / STEP_NUMBERS, tiles = erniem_ceil_div(rows, p->kernel->mr);
    const int64_t height = erniem_ceil_div(rows, tiles);
    const int64_t steps = erniem_ceil_div(depth_of(p, l), STEP_NUMBERS);
    struct erniem_tile_narrow tile = {.steps = steps * p->panel_step / ERNIEM_PANEL_STEP,
                                      .stride = p->stride,
                                      .results = &s->results,
                                      .pace = erniem_ceil_div(ERNIEM_COLUMNS, tiles)};
    for (int64_t panel = first; panel < end; panel++) {
        const int64_t column = (p->first_panel + panel) * ERNIEM_COLUMNS;
        const int columns = (int)erniem_min(ERNIEM_COLUMNS, p->n - column);
        tile.panel = panel_of(p, panel) + step * p->panel_step;
        tile.next = panel_of(p, panel + 1 < end ? panel + 1 : first) + step * p->panel_step;
        for (int64_t r = 0; r < rows; r += height) {
            float *c = p->c + (row0 + r) * p->n + column;
            tile.rows = (int)erniem_min(height, rows - r);
            tile.x = left + r * p->stride;
            tile.sums = s->sums;
            if (!p->streams) {
                s->results = results_at(p, tile.rows, NULL, c);
                erniem_prefetch_results(p->kernel, columns, &s->results);
            }
            p->kernel->tile(&tile);
            tile.next += tile.steps * tile.pace * ERNIEM_STEP;
            finish(p, tile.rows, columns, l, p->bias ? p->bias + column : NULL, s, c);
        }
    }
    if (p->streams)
        p->kernel->stream(s->results.rows, &s->results);
}

static void multiply_some(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    const int64_t tile = ERNIEM_MAX_ROWS * ERNIEM_COLUMNS, more = 2 * tile + BLOCK_ROWS + ERNIEM_COLUMNS;
    const int64_t rows_bytes = (p->block_rows + ERNIEM_ROWS_TOGETHER) * p->stride;
    unsigned char *left = erniem_acquire(rows_bytes + more * (int64_t)sizeof(float));
    if (!left)
        return;
    float *sums = (float *)(void *)(left + rows_bytes), *totals = sums + 2 * tile;
    struct scratch s = {.sums = sums, .other = sums + tile};
    if (p->kernel->begin)
        p->kernel->begin();
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task / p->chunks * p->block_rows, chunk = task % p->chunks;
        const int64_t rows = erniem_min(p->block_rows, p->m - row0);
        memset(totals, 0, (size_t)rows * sizeof(float));
        for (int64_t l = 0; l < p->k; l += p->depth) {
            if (p->a_turned)
                lay_rows_turned(p, row0, rows, l, totals, left);
            else
                lay_rows(p, row0, rows, l, left);
            multiply_block(p, row0, rows, chunk * p->chunk_panels,
                           erniem_min(p->panel_count, (chunk + 1) * p->chunk_panels), l, left, &s);
        }
        if (p->sums && chunk == 0)
            memcpy(p->sums + row0, totals, (size_t)rows * sizeof(float));
    }
    if (p->kernel->end)
        p->kernel->end();
    erniem_release(left);
}

/* Choose tasks: rows that stay in a second-level cache, so many that all threads have as much to do;
   and a part of the panels where there are too few rows for that. */
static void divide(struct product *p)
{
    const int64_t bytes = p->kernel->block_bytes ? p->kernel->block_bytes : ERNIEM_BLOCK_BYTES;
    const int64_t whole = erniem_max(ERNIEM_ROWS_TOGETHER, p->kernel->group);
    const int64_t most = erniem_max(whole, erniem_min(BLOCK_ROWS, bytes / p->stride) / whole * whole);
    const int64_t threads = erniem_get_threads();
    p->block_rows = erniem_even_rows(p->m, most, whole);
    const int64_t blocks = erniem_ceil_div(p->m, p->block_rows);
    p->chunk_panels = erniem_ceil_div(p->panel_count, erniem_ceil_div(threads, blocks));
    p->chunks = erniem_ceil_div(p->panel_count, p->chunk_panels);
    p->streams = p->kernel->stream && !p->adds && p->n % ERNIEM_COLUMNS == 0 &&
                 (uintptr_t)p->c % ERNIEM_STEP == 0 && p->k <= p->depth &&
                 p->m * p->n * (int64_t)sizeof(float) > STREAMED_BYTES;
}

static int multiply(struct product *p)
{
    const int64_t lines = erniem_max(1, p->kernel->lines);
    p->depth = lines == ERNIEM_THIRDS ? THIRDS_DEPTH : DEPTH;
    p->steps = erniem_ceil_div(p->k, STEP_NUMBERS);
    p->step_bytes = lines * ERNIEM_STEP << p->kernel->widens;
    p->panel_step = lines * ERNIEM_PANEL_STEP;
    /* An odd number of cache lines apart, so that the rows of a tile lie in different cache sets. */
    const int64_t row = erniem_ceil_div(erniem_min(p->k, p->depth), STEP_NUMBERS) * p->step_bytes;
    p->stride = row | ERNIEM_STEP;
    const int64_t all = erniem_ceil_div(p->n, ERNIEM_COLUMNS), size = p->steps * p->panel_step;
    const int64_t most = erniem_min(all, erniem_max(1, PANEL_BYTES / size));
    p->panels = erniem_acquire(most * size);
    int status = p->panels ? 0 : ERNIEM_NO_MEMORY;
    for (; status == 0 && p->first_panel < all; p->first_panel += most) {
        p->panel_count = erniem_min(most, all - p->first_panel);
        divide(p);
        status = p->b_turned ? erniem_parallel(p->panel_count, lay_panels_turned, p)
                             : erniem_parallel(p->steps, lay_panels, p);
        if (status == 0)
            status = erniem_parallel(erniem_ceil_div(p->m, p->block_rows) * p->chunks, multiply_some, p);
        p->sums = NULL; /* they are complete */
    }
    erniem_release(p->panels);
    return status;
}

/* The kernel of a number type, or NULL with a status: sizes that are wrong, or no such kernel here. */
static const struct erniem_narrow *kernel_for(int number, int64_t m, int64_t n, int64_t k, int *status)
{
    const int64_t more = ERNIEM_COLUMNS + 2 * STEP_NUMBERS;
    const int is_right = m >= 1 && n >= 1 && k >= 1 && erniem_fits(m + more, n + more, 16) &&
                         erniem_fits(m + more, k + more, 16) && erniem_fits(n + more, k + more, 16) &&
                         (number == ERNIEM_BFLOAT16 || number == ERNIEM_TRAINED_FLOAT32);
    *status = is_right ? ERNIEM_WRONG_ISA : ERNIEM_BAD_SIZE;
    return is_right ? erniem_narrow(number) : NULL;
}

int erniem_narrow_linear(int number, int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                         const float *bias, float *y)
{
    int status;
    struct product p = {.kernel = kernel_for(number, m, n, k, &status), .m = m, .n = n, .k = k, .a = x,
                        .b = w, .b_turned = 1, .bias = bias, .c = y};
    return p.kernel ? multiply(&p) : status;
}

int erniem_narrow_linear_backward(int number, int64_t m, int64_t n, int64_t k, const float *dy,
                                  const float *x, const float *w, int adds, float *dx, float *dw, float *db)
{
    int status;
    struct product p = {.kernel = kernel_for(number, m, n, k, &status), .m = m, .n = k, .k = n, .a = dy,
                        .b = w, .adds = adds, .c = dx};
    if (!p.kernel || (status = multiply(&p)) != 0)
        return status;
    p = (struct product){.kernel = p.kernel, .m = n, .n = k, .k = m, .a = dy, .a_turned = 1, .b = x,
                         .c = dw, .sums = db};
    return multiply(&p);
}
