/* y = act(x wT + bias), over a weight in panels (pack.c): the classical product, and the choice
   between it and Strassen's algorithm.

   A tile of at most mr rows and nr columns stays in registers while it runs down a panel: the
   panel is read from front to back, once per tile. A row of y is summed in the order of k, block by
   block, in a tile of any height: its bits do not depend on the other rows. Strassen's algorithm
   computes rows in pairs. It is used only if asked for, and never where rows must be independent. */

#include <string.h>

#include "gemm.h"

enum {
    BLOCK_ROWS = 140,   /* of a task, at most. With ERNIEM_KC columns they fill 430 KB, less than half
                           of a second-level cache, beside one panel of at most 147 KB */
    CHUNK_PANELS = 24,  /* of a task, at most */
    FEW_ROWS = 32,      /* Up to so many rows the speed of memory decides, and it differs by core. */
    FEW_ROWS_TASKS = 6, /* So a thread's part of a weight has so many tasks, for work stealing. */
    AHEAD = 2048        /* floats that a single tile of rows prefetches ahead of itself */
};

/* Strassen's algorithm is faster from about these sizes on, on most processors. */
enum { LARGE_M = 96, LARGE_N = 512, LARGE_K = 512 };

/* Written by erniem_set_strassen alone. */
#if defined(_MSC_VER)
static volatile int strassen = ERNIEM_STRASSEN_OFF;
#else
static _Atomic int strassen = ERNIEM_STRASSEN_OFF;
#endif

int erniem_set_strassen(int which)
{
    if (which < ERNIEM_STRASSEN_OFF || which > ERNIEM_STRASSEN_ALWAYS)
        return ERNIEM_BAD_SIZE;
    strassen = which;
    return 0;
}

int erniem_get_strassen(void) { return strassen; }

int erniem_linear_reference(int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                            const float *bias, int activation, float *y)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t l = 0; l < k; l++)
                sum += (double)x[i * k + l] * w[j * k + l];
            y[i * n + j] = (float)sum;
        }
    return erniem_activate_reference(activation, m * n, y);
}

struct classical {
    const struct erniem_product *product;
    int64_t block_rows;           /* rows of a task, at most BLOCK_ROWS */
    int64_t chunk_panels, chunks; /* panels of a task; such chunks of a weight */
    int in_place;                 /* whether tiles read x where it is */
    struct erniem_parts *done;    /* work items of each block, where its rows are normed, or NULL */
};

/* What a task computes: some rows of x times some panels of a weight. */
struct work_item {
    int64_t weight, row0, rows, first, end;
};

/* Rows a multiple of 2 KB apart compete for so few sets of the first-level cache that they throw each
   other out. */
int erniem_fits_in_place(int64_t k) { return k <= ERNIEM_KC && k % 512 != 0; }

void erniem_copy_rows(int64_t rows, int64_t k, int64_t block, const float *x, float *to)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * ERNIEM_STRIDE, x + r * k + block * ERNIEM_KC,
               (size_t)erniem_depth(k, block) * sizeof(float));
}

/* The rows of a k block as a tile wants them, lda floats apart: where they are, or in `copy`. */
static const float *rows_of(const struct erniem_product *p, const struct work_item *t,
                            int64_t block, float *copy, int64_t *lda)
{
    const float *x = p->x + t->row0 * p->k;
    *lda = copy ? ERNIEM_STRIDE : p->k;
    if (!copy)
        return x + block * ERNIEM_KC;
    erniem_copy_rows(t->rows, p->k, block, x, copy);
    return copy;
}

/* What is read after a k block: the first panel of the next block, or of the next task. */
static const float *what_follows(const struct erniem_product *p, const struct work_item *t, int64_t block)
{
    int64_t weight = t->weight, panel = t->first;
    if ((++block) * ERNIEM_KC >= p->k) {
        block = 0;
        weight = (weight + 1) % p->count;
        panel = weight ? t->first : t->end % p->panels;
    }
    return erniem_panel(p->packed[weight], block, panel);
}

/* For each panel, every tile of rows. Each tile prefetches a share of the panel that comes next, so
   that memory works as evenly as the tiles do. A single tile prefetches what it will soon read itself. */
void erniem_multiply_panels(const struct erniem_panels *t)
{
    const struct erniem_packed *w = t->w;
    const struct erniem_micro *micro = w->micro;
    const int64_t nr = micro->gemm.nr, kc = erniem_depth(w->k, t->block);
    const int64_t tiles = erniem_ceil_div(t->rows, micro->gemm.mr);
    const int64_t height = erniem_ceil_div(t->rows, tiles), pace = erniem_ceil_div(nr, tiles);
    const int last = (t->block + 1) * ERNIEM_KC >= w->k;
    struct erniem_tile_f32 tile = {.kc = kc, .lda = t->lda, .pace = pace, .add = t->block > 0,
                                   .ldc = t->ldy};

    for (int64_t panel = t->first; panel < t->end; panel++) {
        float *y = t->y + (panel - t->first) * nr;
        tile.b = erniem_panel(w, t->block, panel);
        tile.columns = (int)erniem_min(nr, w->n - panel * nr);
        tile.bias = last && t->bias ? t->bias + panel * nr : NULL;
        tile.next = panel + 1 < t->end ? erniem_panel(w, t->block, panel + 1) : t->next;
        if (tiles == 1)
            tile.next = tile.b + erniem_min(AHEAD, kc * nr);
        for (int64_t r = 0; r < t->rows; r += height, tile.next += kc * pace) {
            tile.rows = (int)erniem_min(height, t->rows - r);
            tile.a = t->a + r * t->lda;
            tile.c = y + r * t->ldy;
            micro->gemm.tile(&tile);
            if (last && t->activation != ERNIEM_IDENTITY) /* while it is in the first-level cache */
                micro->rowwise.activate(t->activation, tile.rows, tile.columns, t->ldy, tile.c);
        }
    }
}

static void multiply(const struct erniem_product *p, const struct work_item *t, float *copy)
{
    struct erniem_panels some = {.w = p->packed[t->weight], .first = t->first, .end = t->end,
                                 .rows = t->rows, .bias = p->bias[t->weight],
                                 .activation = p->activation, .ldy = p->n,
                                 .y = p->y[t->weight] + t->row0 * p->n + t->first * p->micro->gemm.nr};
    for (some.block = 0; some.block == 0 || some.block * ERNIEM_KC < p->k; some.block++) {
        some.a = rows_of(p, t, some.block, copy, &some.lda);
        some.next = what_follows(p, t, some.block);
        erniem_multiply_panels(&some);
    }
}

static void multiply_some(const void *job, struct erniem_tasks *tasks)
{
    const struct classical *c = job;
    const struct erniem_product *p = c->product;
    float *copy = NULL;
    if (!c->in_place) {
        copy = erniem_acquire(c->block_rows * ERNIEM_STRIDE * (int64_t)sizeof(float));
        if (!copy)
            return;
    }
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        struct work_item t;
        const int64_t chunk = task / p->count % c->chunks;
        const int64_t block = task / p->count / c->chunks;
        t.weight = task % p->count; /* so a thread has the same panels, and heads, of each */
        t.row0 = block * c->block_rows;
        t.rows = erniem_min(c->block_rows, p->m - t.row0);
        t.first = chunk * c->chunk_panels;
        t.end = erniem_min(p->panels, t.first + c->chunk_panels);
        multiply(p, &t, copy);
        erniem_norm_block(p, c->done, block, c->chunks, t.row0, t.rows);
    }
    erniem_release(copy);
}

static int multiply_classically(const struct erniem_product *p)
{
    const int64_t threads = erniem_get_threads(), round = p->m > BLOCK_ROWS * threads ? threads : 1;
    const int64_t blocks = erniem_ceil_div(erniem_ceil_div(p->m, BLOCK_ROWS), round) * round;
    const int64_t block_rows = erniem_ceil_div(p->m, blocks);
    /* Threads that can share the blocks evenly copy each block once, and not once each. */
    const int64_t share = blocks % threads == 0 ? p->panels : erniem_ceil_div(p->panels, threads);
    const int64_t tasks = p->m <= FEW_ROWS ? FEW_ROWS_TASKS : erniem_ceil_div(share, CHUNK_PANELS);
    const int64_t chunk_panels = erniem_ceil_div(share, tasks);
    const int64_t chunks = erniem_ceil_div(p->panels, chunk_panels);
    struct classical job = {p, block_rows, chunk_panels, chunks, erniem_fits_in_place(p->k), NULL};
    if (erniem_begin_norm(p, erniem_ceil_div(p->m, block_rows), &job.done) != 0)
        return ERNIEM_NO_MEMORY;
    const float *weight = p->packed[0]->data;
    erniem_prefetch_begin(weight + share % p->panels * erniem_min(p->k, ERNIEM_KC) * p->micro->gemm.nr,
                          weight + p->panels * p->micro->gemm.nr * p->k);
    return erniem_end_norm(p, job.done,
                           erniem_parallel(erniem_ceil_div(p->m, block_rows) * p->count * chunks,
                                           multiply_some, &job));
}

/* 0 where all weights have one shape and number type, and can be read by the kernel in use; else a
   status. */
static int check_weights(const struct erniem_product *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        const struct erniem_packed *w = p->packed[i];
        if (w->n != p->n || w->k != p->k || w->number != p->packed[0]->number)
            return ERNIEM_BAD_SIZE;
        if (w->number == ERNIEM_FLOAT32 && !erniem_is_current(w))
            return ERNIEM_WRONG_ISA;
    }
    return 0;
}

static int wants_strassen(const struct erniem_product *p)
{
    const int which = erniem_get_strassen();
    if (which == ERNIEM_STRASSEN_ALWAYS)
        return p->m >= 2 && p->k >= 1;
    return which == ERNIEM_STRASSEN_LARGE && p->m >= LARGE_M && p->n >= LARGE_N && p->k >= LARGE_K;
}

int erniem_multiply(int64_t count, int64_t m, const float *x,
                    const struct erniem_packed *const *packed, const float *const *bias,
                    int activation, int independent, const struct erniem_norm *norm, float *const *y)
{
    if (count < 1 || count > ERNIEM_MOST || activation < 0 || activation >= ERNIEM_ACTIVATIONS)
        return ERNIEM_BAD_SIZE;
    const struct erniem_packed *first = packed[0];
    const struct erniem_product p = {.micro = erniem_micro(), .count = count, .m = m,
                                     .n = first->n, .k = first->k, .panels = first->panels,
                                     .x = x, .packed = packed, .bias = bias,
                                     .activation = activation, .y = y, .norm = norm};
    if (!erniem_fits(m, p.k, 1) || !erniem_fits(m, p.n, 1) || !erniem_fits(count, p.n, 1))
        return ERNIEM_BAD_SIZE;
    const int status = check_weights(&p);
    if (status != 0 || m == 0 || p.n == 0)
        return status;
    if (!first->micro)
        return erniem_multiply_narrow(&p);
    if (!independent && wants_strassen(&p))
        return erniem_end_norm(&p, NULL, erniem_strassen(&p));
    return multiply_classically(&p);
}

int erniem_linears(int64_t count, int64_t m, const float *x,
                   const struct erniem_packed *const *packed, const float *const *bias,
                   int activation, int independent, float *const *y)
{
    return erniem_multiply(count, m, x, packed, bias, activation, independent, NULL, y);
}

int erniem_linear(int64_t m, const float *x, const struct erniem_packed *packed, const float *bias,
                  int activation, int independent, float *y)
{
    return erniem_multiply(1, m, x, &packed, &bias, activation, independent, NULL, &y);
}

int erniem_linear_add_norm(int64_t m, const float *x, const struct erniem_packed *packed,
                           const float *bias, int activation, int independent,
                           const float *residual, const float *norm_weight, const float *norm_bias,
                           float eps, float *y)
{
    const struct erniem_norm norm = {residual, norm_weight, norm_bias, eps};
    return erniem_multiply(1, m, x, &packed, &bias, activation, independent, &norm, &y);
}
