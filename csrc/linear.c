/* y = act(x wT + bias), over a weight that was rearranged into panels.

   panels: [k block][panel][k in block][column]        blocks of ERNIEM_KC k, panels of nr columns

      w (n, k)                    packed
      column 0   k k k k k ...    panel 0: (c0 c1 .. c31) at k = 0, (c0 c1 .. c31) at k = 1, ...
      column 1   k k k k k ...    panel 1: (c32 .. c63) at k = 0, ...
      ...

   A tile of at most mr rows and nr columns stays in registers while it runs down a panel: the
   panel is read from front to back, once per tile. Missing columns of the last panel are 0. */

#include <string.h>

#include "internal.h"

/* Rows of x that one thread keeps at hand: with ERNIEM_KC columns they fill 430 KB, less than
   half of a second-level cache, beside one panel of 98 KB. And the panels of one task: the part of
   y that they make, at most 140 KB, is still there when the activation goes over it. And how many
   floats ahead to fetch where there is one tile of rows, and nothing to wait for but memory. */
enum { BLOCK_ROWS = 140, CHUNK_PANELS = 8, AHEAD = 2048 };

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

void erniem_pack_panel(int nr, int64_t n, int64_t k, const float *w, int64_t stride,
                       const int64_t *rows, float *to)
{
    static const float zeros[ERNIEM_KC];
    for (int64_t j = 0; j < nr; j += 4) { /* four rows at once: they make one vector of `to` */
        const float *row[4];
        for (int i = 0; i < 4; i++)
            row[i] = j + i < n ? w + (rows ? rows[j + i] : j + i) * stride : zeros;
        for (int64_t l = 0; l < k; l++)
            for (int i = 0; i < 4; i++)
                to[l * nr + j + i] = row[i][l];
    }
}

int64_t erniem_packed_size(int64_t n, int64_t k)
{
    const int nr = erniem_micro()->nr;
    if (!erniem_fits(n, k, 1) || !erniem_fits(n + nr, k, 1))
        return ERNIEM_BAD_SIZE;
    return erniem_ceil_div(n, nr) * nr * k;
}

struct packing {
    int64_t n, k, panels;
    const float *w;
    float *packed;
    int nr;
};

/* Where a panel of a k block begins. */
static int64_t panel_start(int64_t block, int64_t panel, int64_t panels, int64_t kc, int nr)
{
    return block * ERNIEM_KC * panels * nr + panel * kc * nr;
}

static void pack_some(const void *job, struct erniem_tasks *tasks)
{
    const struct packing *p = job;
    for (int64_t panel; (panel = erniem_take(tasks)) >= 0;) {
        const int64_t columns = erniem_min(p->nr, p->n - panel * p->nr);
        for (int64_t k0 = 0, block = 0; k0 < p->k; k0 += ERNIEM_KC, block++) {
            const int64_t kc = erniem_min(ERNIEM_KC, p->k - k0);
            erniem_pack_panel(p->nr, columns, kc, p->w + panel * p->nr * p->k + k0, p->k, NULL,
                              p->packed + panel_start(block, panel, p->panels, kc, p->nr));
        }
    }
}

int erniem_pack(int64_t n, int64_t k, const float *w, float *packed)
{
    const int nr = erniem_micro()->nr;
    if (erniem_packed_size(n, k) < 0)
        return ERNIEM_BAD_SIZE;
    const int64_t panels = erniem_ceil_div(n, nr);
    const struct packing job = {n, k, panels, w, packed, nr};
    return erniem_parallel(panels, pack_some, &job);
}

struct linear {
    const struct erniem_micro *micro;
    int64_t m, n, k;
    const float *x, *packed, *bias;
    int activation;
    float *y;
    int64_t block_rows;           /* rows of a task, at most BLOCK_ROWS */
    int64_t panels, chunk_panels; /* of the weight, of a task */
    int64_t chunks;
};

/* Copy rows of x to where a tile wants them: [k block][row][ERNIEM_STRIDE]. */
static void copy_rows(const struct linear *p, int64_t row0, int64_t rows, float *to)
{
    for (int64_t k0 = 0; k0 < p->k; k0 += ERNIEM_KC) {
        const size_t bytes = (size_t)erniem_min(ERNIEM_KC, p->k - k0) * sizeof(float);
        for (int64_t r = 0; r < rows; r++, to += ERNIEM_STRIDE)
            memcpy(to, p->x + (row0 + r) * p->k + k0, bytes);
    }
}

/* Rows row0.. of y, columns of the panels first..end: for each k block, for each panel, every
   tile of rows. `a` holds the rows. While the first tile runs, the next panel is fetched; a tile
   that is alone has no time for that, and fetches what it will read itself. */
static void multiply(const struct linear *p, int64_t row0, int64_t rows, int64_t first,
                     int64_t end, const float *a)
{
    const struct erniem_micro *micro = p->micro;
    const int nr = micro->nr;
    const int64_t tiles = erniem_ceil_div(rows, micro->mr), height = erniem_ceil_div(rows, tiles);

    for (int64_t block = 0; block == 0 || block * ERNIEM_KC < p->k; block++) {
        const int64_t kc = erniem_min(ERNIEM_KC, p->k - block * ERNIEM_KC);
        const int is_last = (block + 1) * ERNIEM_KC >= p->k;
        const float *a_block = a + block * rows * ERNIEM_STRIDE;

        for (int64_t panel = first; panel < end; panel++) {
            const float *b = p->packed + panel_start(block, panel, p->panels, kc, nr);
            const int64_t ahead = tiles == 1 ? erniem_min(AHEAD, kc * nr) : kc * nr;
            const float *next = panel + 1 < p->panels ? b + ahead : b;
            const float *bias = is_last && p->bias ? p->bias + panel * nr : NULL;
            const int columns = (int)erniem_min(nr, p->n - panel * nr);
            float *y = p->y + row0 * p->n + panel * nr;

            for (int64_t r = 0; r < rows; r += height)
                micro->tile((int)erniem_min(height, rows - r), columns, kc,
                            a_block + r * ERNIEM_STRIDE, b, r == 0 ? next : b, block > 0, bias,
                            y + r * p->n, p->n);
        }
    }
}

static void linear_some(const void *job, struct erniem_tasks *tasks)
{
    const struct linear *p = job;
    const int64_t k_blocks = erniem_max(1, erniem_ceil_div(p->k, ERNIEM_KC));
    float *a = erniem_acquire(p->block_rows * k_blocks * ERNIEM_STRIDE * (int64_t)sizeof(float));
    if (!a)
        return;

    int64_t held = -1; /* the rows that `a` holds */
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task / p->chunks * p->block_rows;
        const int64_t first = task % p->chunks * p->chunk_panels;
        const int64_t rows = erniem_min(p->block_rows, p->m - row0);
        const int64_t end = erniem_min(p->panels, first + p->chunk_panels);
        if (held != row0)
            copy_rows(p, row0, rows, a);
        held = row0;
        multiply(p, row0, rows, first, end, a);

        if (p->activation != ERNIEM_IDENTITY) {
            const int64_t column = first * p->micro->nr;
            const int64_t columns = erniem_min(end * p->micro->nr, p->n) - column;
            for (int64_t r = 0; r < rows; r++)
                p->micro->activate(p->activation, columns, p->y + (row0 + r) * p->n + column);
        }
    }
    erniem_release(a);
}

int erniem_linear(int64_t m, int64_t n, int64_t k, const float *x, const float *packed,
                  const float *bias, int activation, float *y)
{
    if (!erniem_fits(m, k, 1) || !erniem_fits(m, n, 1) || erniem_packed_size(n, k) < 0 ||
        activation < 0 || activation >= ERNIEM_ACTIVATIONS)
        return ERNIEM_BAD_SIZE;
    if (m == 0 || n == 0)
        return 0;

    const struct erniem_micro *micro = erniem_micro();
    const int64_t blocks = erniem_ceil_div(m, BLOCK_ROWS), panels = erniem_ceil_div(n, micro->nr);
    const int64_t block_rows = erniem_ceil_div(m, blocks);
    const int64_t chunk_panels =
        erniem_min(CHUNK_PANELS, erniem_ceil_div(panels, 4 * erniem_get_threads()));
    const int64_t chunks = erniem_ceil_div(panels, chunk_panels);
    const struct linear job = {micro, m, n, k, x, packed, bias, activation, y,
                               block_rows, panels, chunk_panels, chunks};
    return erniem_parallel(erniem_ceil_div(m, block_rows) * chunks, linear_some, &job);
}
