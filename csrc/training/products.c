/* The gradients of y = x wT + b: dx = dy w, dw = dyT x, db = the sum over the rows of dy.

   Both are products c = a b, whose right side b (k, n) lies row by row. It is packed into panels for
   the call, which is a copy. The left side is dy (m rows of k), or dyT: then k rows of m lie in
   memory, and a tile takes its rows across them. Such a left side is laid tile by tile, column by
   column, and the same pass adds up the bias' gradient. Rows of dy are copied only where tiles cannot
   read them in their place.

   Where AMX is in use, narrow.c computes both instead.

   A task is a block of rows of c times some panels. Its sums run over all k in one order, block by
   block, so the bits of c do not depend on the number of threads. */

#include "../gemm/gemm.h"

enum {
    BLOCK_ROWS = 140, CHUNK_PANELS = 24, /* of a task, at most, as in gemm/linear.c */
    FEW_ROWS = 32                        /* for a thread; with fewer, threads share the panels instead */
};

struct product {
    const struct erniem_micro *micro;
    int64_t m, n, k;
    const float *a; /* (m, k), or (k, m) if `across` */
    int across, in_place; /* in_place: tiles read the rows of a where they are */
    const float *b;       /* (k, n) */
    int adds;             /* whether c is added to */
    float *c;             /* (m, n) */
    float *sums;          /* (m), of the rows of the left side; NULL unless it lies across */
    float *panels;        /* [k block][panel][k in block][column] */
    int64_t panel_count, block_rows, chunk_panels, chunks;
};

static float *panel_of(const struct product *p, int64_t block, int64_t panel)
{
    const int64_t nr = p->micro->gemm.nr;
    return p->panels + (block * ERNIEM_KC * p->panel_count + panel * erniem_depth(p->k, block)) * nr;
}

/* A task packs one panel of a k block. */
static void pack_some(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    const int64_t nr = p->micro->gemm.nr;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t block = task / p->panel_count, panel = task % p->panel_count;
        const int64_t columns = erniem_min(nr, p->n - panel * nr), kc = erniem_depth(p->k, block);
        p->micro->gemm.pack_across(columns, kc, p->b + block * ERNIEM_KC * p->n + panel * nr, p->n,
                                   NULL, panel_of(p, block, panel));
    }
}

/* Lay a k block of `rows` rows of the left side, `height` of them for each tile, into `to`. Returns where
   the block is. */
static const float *lay_left(const struct product *p, int64_t row0, int64_t rows, int64_t height,
                             int64_t block, float *sums, float *to)
{
    const struct erniem_micro *micro = p->micro;
    const int64_t kc = erniem_depth(p->k, block), k0 = block * ERNIEM_KC;
    if (p->in_place) /* then there is one block */
        return p->a + row0 * p->k;
    if (!p->across) {
        erniem_copy_rows(rows, p->k, block, p->a + row0 * p->k, to);
        return to;
    }
    micro->training.lay_across(kc, rows, height, p->a + k0 * p->m + row0, p->m, to);
    float *tile = to;
    for (int64_t r = 0; r < rows && sums; r += height, tile += kc * micro->gemm.mr)
        micro->training.sum_across(kc, erniem_min(height, rows - r), tile, sums + r);
    return to;
}

/* All tiles of a k block, one panel after the other. A tile prefetches a share of the next panel. */
static void multiply_block(const struct product *p, int64_t row0, int64_t rows, int64_t height,
                           int64_t first, int64_t end, int64_t block, const float *left)
{
    const int64_t nr = p->micro->gemm.nr, kc = erniem_depth(p->k, block);
    const int64_t pace = erniem_ceil_div(nr, erniem_ceil_div(rows, height));
    const int64_t lda = p->across ? p->micro->gemm.mr : p->in_place ? p->k : ERNIEM_STRIDE;
    struct erniem_tile_f32 tile = {.kc = kc, .pace = pace, .add = block > 0 || p->adds, .ldc = p->n,
                                   .lda = lda};
    for (int64_t panel = first; panel < end; panel++) {
        tile.columns = (int)erniem_min(nr, p->n - panel * nr);
        tile.b = panel_of(p, block, panel);
        tile.next = panel + 1 < end ? tile.b + kc * nr : tile.b;
        tile.a = left;
        for (int64_t r = 0; r < rows; r += height, tile.next += kc * pace) {
            tile.rows = (int)erniem_min(height, rows - r);
            tile.c = p->c + (row0 + r) * p->n + panel * nr;
            (p->across ? p->micro->gemm.tile_across : p->micro->gemm.tile)(&tile);
            tile.a += (p->across ? kc : height) * lda;
        }
    }
}

static void multiply_some(const void *job, struct erniem_tasks *tasks)
{
    const struct product *p = job;
    const int64_t mr = p->micro->gemm.mr, tiles = erniem_ceil_div(p->block_rows, mr);
    float *left = NULL;
    if (!p->in_place) {
        left = erniem_acquire(tiles * mr * ERNIEM_STRIDE * (int64_t)sizeof(float));
        if (!left)
            return;
    }
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task / p->chunks * p->block_rows, chunk = task % p->chunks;
        const int64_t rows = erniem_min(p->block_rows, p->m - row0);
        const int64_t first = chunk * p->chunk_panels;
        const int64_t end = erniem_min(p->panel_count, first + p->chunk_panels);
        const int64_t share = erniem_ceil_div(rows, erniem_ceil_div(rows, mr));
        float *sums = chunk == 0 && p->sums ? p->sums + row0 : NULL;
        for (int64_t r = 0; sums && r < rows; r++)
            sums[r] = 0.0f;
        for (int64_t block = 0; block == 0 || block * ERNIEM_KC < p->k; block++) {
            const float *at = lay_left(p, row0, rows, share, block, sums, left);
            multiply_block(p, row0, rows, share, first, end, block, at);
        }
    }
    erniem_release(left);
}

static int multiply(struct product *p)
{
    const int64_t nr = p->micro->gemm.nr, threads = erniem_get_threads();
    const int by_rows = p->m >= FEW_ROWS * threads; /* then each block of rows is laid by one thread */
    const int64_t round = by_rows ? threads : 1;
    const int64_t row_blocks = erniem_ceil_div(erniem_ceil_div(p->m, BLOCK_ROWS), round) * round;
    p->panel_count = erniem_ceil_div(p->n, nr);
    p->block_rows = erniem_ceil_div(p->m, row_blocks);
    const int64_t share = by_rows ? p->panel_count : erniem_ceil_div(p->panel_count, threads);
    p->chunk_panels = erniem_ceil_div(share, erniem_ceil_div(share, CHUNK_PANELS));
    p->chunks = erniem_ceil_div(p->panel_count, p->chunk_panels);
    p->panels = erniem_acquire(erniem_max(1, p->panel_count * nr * p->k) * (int64_t)sizeof(float));
    if (!p->panels)
        return ERNIEM_NO_MEMORY;
    int status = erniem_parallel(p->panel_count * erniem_ceil_div(p->k, ERNIEM_KC), pack_some, p);
    if (status == 0)
        status = erniem_parallel(erniem_ceil_div(p->m, p->block_rows) * p->chunks, multiply_some, p);
    erniem_release(p->panels);
    return status;
}

int erniem_linear_backward(int64_t m, int64_t n, int64_t k, const float *dy, const float *x,
                           const float *w, int adds, float *dx, float *dw, float *db)
{
    if (m < 1 || n < 1 || k < 1 || !erniem_fits(m, n, 4) || !erniem_fits(m, k + ERNIEM_MAX_NR, 4) ||
        !erniem_fits(n, k + ERNIEM_MAX_NR, 4))
        return ERNIEM_BAD_SIZE;
    if (erniem_narrow(ERNIEM_TRAINED_FLOAT32))
        return erniem_narrow_linear_backward(ERNIEM_TRAINED_FLOAT32, m, n, k, dy, x, w, adds, dx, dw, db);
    struct product p = {.micro = erniem_micro(), .m = m, .n = k, .k = n, .a = dy, .b = w,
                        .in_place = erniem_fits_in_place(n), .adds = adds, .c = dx};
    const int status = multiply(&p);
    if (status != 0)
        return status;
    p = (struct product){.micro = p.micro, .m = n, .n = k, .k = m, .a = dy, .across = 1, .b = x,
                         .c = dw, .sums = db};
    return multiply(&p);
}

int erniem_linear_backward_reference(int64_t m, int64_t n, int64_t k, const float *dy,
                                     const float *x, const float *w, float *dx, float *dw,
                                     float *db)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++) {
            double sum = 0.0;
            for (int64_t j = 0; j < n; j++)
                sum += (double)dy[i * n + j] * w[j * k + l];
            dx[i * k + l] = (float)sum;
        }
    for (int64_t j = 0; j < n; j++) {
        double total = 0.0;
        for (int64_t i = 0; i < m; i++)
            total += dy[i * n + j];
        db[j] = (float)total;
        for (int64_t l = 0; l < k; l++) {
            double sum = 0.0;
            for (int64_t i = 0; i < m; i++)
                sum += (double)dy[i * n + j] * x[i * k + l];
            dw[j * k + l] = (float)sum;
        }
    }
    return 0;
}
