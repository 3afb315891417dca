/* y = act(x wT + bias), over a weight in panels (pack.c).

   A tile of at most mr rows and nr columns stays in registers while it runs down a panel: the
   panel is read from front to back, once per tile. */

#include <string.h>

#include "internal.h"

enum {
    BLOCK_ROWS = 140,  /* that one thread keeps at hand: with ERNIEM_KC columns they fill 430 KB, less
                          than half of a second-level cache, beside one panel of 98 KB */
    CHUNK_PANELS = 24, /* of a task, at most */
    FEW_ROWS = 32,     /* up to which memory is what counts, and not every core is as fast at it: */
    PIECES = 6,        /* a thread's part of a weight has so many tasks, for others to help */
    AHEAD = 2048       /* floats to fetch ahead where there is one tile of rows, which only waits */
};

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

struct linear {
    const struct erniem_micro *micro;
    int64_t m, n, k;
    const float *x, *const *packed, *const *bias;
    int activation;
    float *const *y;
    int64_t block_rows;           /* rows of a task, at most BLOCK_ROWS */
    int64_t panels, chunk_panels; /* of a weight, of a task */
    int64_t chunks, weights;
    int in_place;                 /* whether tiles read x where it is */
};

/* Whether tiles may read rows of k floats where they are. Rows a multiple of 2 KB apart compete for
   so few sets of the first-level cache that they throw each other out. */
static int fits_in_place(int64_t k) { return k <= ERNIEM_KC && k % 512 != 0; }

/* Some rows of x, and some panels of a weight. */
struct piece {
    int64_t weight, row0, rows, first, end;
};

/* The rows of a k block as a tile wants them, lda floats apart: where they are, or in `copy`. */
static const float *rows_of(const struct linear *p, const struct piece *t, int64_t block,
                            float *copy, int64_t *lda)
{
    const int64_t k0 = block * ERNIEM_KC;
    const float *x = p->x + t->row0 * p->k + k0;
    *lda = copy ? ERNIEM_STRIDE : p->k;
    if (!copy)
        return x;
    for (int64_t r = 0; r < t->rows; r++)
        memcpy(copy + r * ERNIEM_STRIDE, x + r * p->k,
               (size_t)erniem_min(ERNIEM_KC, p->k - k0) * sizeof(float));
    return copy;
}

/* The panel after one of a k block: the next one, of the next block, or of the next task. */
static const float *what_follows(const struct linear *p, const struct piece *t, int64_t block,
                                 int64_t panel)
{
    int64_t weight = t->weight;
    if (++panel == t->end) {
        panel = t->first;
        if ((++block) * ERNIEM_KC >= p->k) {
            block = 0;
            weight = (weight + 1) % p->weights;
            panel = weight ? t->first : t->end % p->panels;
        }
    }
    const int64_t kc = erniem_min(ERNIEM_KC, p->k - block * ERNIEM_KC);
    return p->packed[weight] + erniem_panel_start(block, panel, p->panels, kc, p->micro->nr);
}

/* For each k block, for each panel, every tile of rows. Meanwhile the panel that comes next is
   fetched, a share of it by each tile, so that memory works as evenly as the tiles do; a tile that
   is alone fetches what it will soon read itself. */
static void multiply(const struct linear *p, const struct piece *t, float *copy)
{
    const struct erniem_micro *micro = p->micro;
    const int nr = micro->nr;
    const int64_t tiles = erniem_ceil_div(t->rows, micro->mr);
    const int64_t height = erniem_ceil_div(t->rows, tiles), pace = erniem_ceil_div(nr, tiles);

    for (int64_t block = 0; block == 0 || block * ERNIEM_KC < p->k; block++) {
        const int64_t kc = erniem_min(ERNIEM_KC, p->k - block * ERNIEM_KC);
        const int last = (block + 1) * ERNIEM_KC >= p->k;
        const float *packed = p->packed[t->weight], *bias = last ? p->bias[t->weight] : NULL;
        int64_t lda;
        const float *a = rows_of(p, t, block, copy, &lda);

        for (int64_t panel = t->first; panel < t->end; panel++) {
            const float *b = packed + erniem_panel_start(block, panel, p->panels, kc, nr);
            const float *next = tiles == 1 ? b + erniem_min(AHEAD, kc * nr)
                                           : what_follows(p, t, block, panel);
            const int columns = (int)erniem_min(nr, p->n - panel * nr);
            float *y = p->y[t->weight] + t->row0 * p->n + panel * nr;

            for (int64_t r = 0; r < t->rows; r += height, next += kc * pace)
                micro->tile((int)erniem_min(height, t->rows - r), columns, kc, a + r * lda, lda, b,
                            next, pace, block > 0, bias ? bias + panel * nr : NULL, y + r * p->n,
                            p->n);
            if (last && p->activation != ERNIEM_IDENTITY) /* while they are in a cache */
                micro->activate(p->activation, t->rows, columns, p->n, y);
        }
    }
}

static void linear_some(const void *job, struct erniem_tasks *tasks)
{
    const struct linear *p = job;
    float *copy = NULL;
    if (!p->in_place) {
        copy = erniem_acquire(p->block_rows * ERNIEM_STRIDE * (int64_t)sizeof(float));
        if (!copy)
            return;
    }
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        struct piece t;
        const int64_t chunk = task / p->weights % p->chunks;
        const int64_t block = task / p->weights / p->chunks;
        t.weight = task % p->weights; /* so threads have the same panels, and heads, of each */
        t.row0 = block * p->block_rows;
        t.rows = erniem_min(p->block_rows, p->m - t.row0);
        t.first = chunk * p->chunk_panels;
        t.end = erniem_min(p->panels, t.first + p->chunk_panels);
        multiply(p, &t, copy);
    }
    erniem_release(copy);
}

int erniem_product_fits(int64_t weights, int64_t m, int64_t n, int64_t k, int activation)
{
    return weights >= 1 && weights <= ERNIEM_MOST && erniem_fits(m, k, 1) && erniem_fits(m, n, 1) &&
           erniem_fits(weights, n, 1) && erniem_packed_size(n, k) >= 0 && activation >= 0 &&
           activation < ERNIEM_ACTIVATIONS;
}

int erniem_linears(int64_t weights, int64_t m, int64_t n, int64_t k, const float *x,
                   const float *const *packed, const float *const *bias, int activation,
                   float *const *y)
{
    if (!erniem_product_fits(weights, m, n, k, activation))
        return ERNIEM_BAD_SIZE;
    if (m == 0 || n == 0)
        return 0;

    const struct erniem_micro *micro = erniem_micro();
    const int64_t blocks = erniem_ceil_div(m, BLOCK_ROWS), panels = erniem_ceil_div(n, micro->nr);
    const int64_t block_rows = erniem_ceil_div(m, blocks), threads = erniem_get_threads();
    /* Threads that can share the blocks evenly copy each block once, and not once each. */
    const int64_t share = blocks % threads == 0 ? panels : erniem_ceil_div(panels, threads);
    const int64_t chunk_panels =
        m <= FEW_ROWS ? erniem_ceil_div(share, PIECES) : erniem_min(share, CHUNK_PANELS);
    const int64_t chunks = erniem_ceil_div(panels, chunk_panels);
    const struct linear job = {micro, m, n, k, x, packed, bias, activation, y, block_rows, panels,
                               chunk_panels, chunks, weights, fits_in_place(k)};
    erniem_prefetch_begin(packed[0] + share % panels * erniem_min(k, ERNIEM_KC) * micro->nr,
                          packed[0] + panels * micro->nr * k);
    return erniem_parallel(erniem_ceil_div(m, block_rows) * weights * chunks, linear_some, &job);
}

int erniem_linear(int64_t m, int64_t n, int64_t k, const float *x, const float *packed,
                  const float *bias, int activation, float *y)
{
    return erniem_linears(1, m, n, k, x, &packed, &bias, activation, &y);
}
