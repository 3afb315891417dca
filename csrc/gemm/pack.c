/* A weight, rearranged once into panels that tiles read from front to back.

   panels: [k block][panel][k in block][column]        blocks of ERNIEM_KC k, panels of nr columns

      w (n, k)                    packed
      column 0   k k k k k ...    panel 0: (c0 c1 .. c31) at k = 0, (c0 c1 .. c31) at k = 1, ...
      column 1   k k k k k ...    panel 1: (c32 .. c63) at k = 0, ...
      ...

   Missing columns of the last panel are 0. Behind the panels stands which of them strassen.c may
   add to each other. */

#include <math.h>

#include "internal.h"

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
    const int64_t panels = erniem_ceil_div(n, nr), blocks = erniem_ceil_div(k, ERNIEM_KC);
    return erniem_pair_at(blocks, 0, panels, k, nr);
}

/* Whether two panels of kc k, an even number, have columns of comparable sizes. */
static int may_add(const float *first, const float *second, int64_t kc, int nr)
{
    float sizes[2][ERNIEM_MAX_NR] = {{0.0f}};
    for (const float *end = first + kc * nr; first < end; first += nr, second += nr)
        for (int j = 0; j < nr; j++) {
            sizes[0][j] += fabsf(first[j]);
            sizes[1][j] += fabsf(second[j]);
        }
    int yes = kc % 2 == 0;
    for (int j = 0; j < nr; j++)
        yes &= erniem_comparable(sizes[0][j], sizes[1][j]);
    return yes;
}

struct packing {
    int64_t n, k, panels;
    const float *w;
    float *packed;
    int nr;
};

/* One k block of panels `first` and, if there is one, the next. */
static void pack_pair(const struct packing *p, int64_t block, int64_t first)
{
    const int64_t k0 = block * ERNIEM_KC, kc = erniem_min(ERNIEM_KC, p->k - k0);
    float *to = p->packed + erniem_panel_start(block, first, p->panels, kc, p->nr);
    const int64_t size = kc * p->nr, end = erniem_min(first + 2, p->panels);
    for (int64_t panel = first; panel < end; panel++)
        erniem_pack_panel(p->nr, erniem_min(p->nr, p->n - panel * p->nr), kc,
                          p->w + panel * p->nr * p->k + k0, p->k, NULL,
                          to + (panel - first) * size);
    if (end == first + 2)
        p->packed[erniem_pair_at(block, first / 2, p->panels, p->k, p->nr)] =
            (float)may_add(to, to + size, kc, p->nr);
}

static void pack_some(const void *job, struct erniem_tasks *tasks)
{
    const struct packing *p = job;
    for (int64_t pair; (pair = erniem_take(tasks)) >= 0;)
        for (int64_t block = 0; block * ERNIEM_KC < p->k; block++)
            pack_pair(p, block, 2 * pair);
}

int erniem_pack(int64_t n, int64_t k, const float *w, float *packed)
{
    const int nr = erniem_micro()->nr;
    if (erniem_packed_size(n, k) < 0)
        return ERNIEM_BAD_SIZE;
    const int64_t panels = erniem_ceil_div(n, nr);
    const struct packing job = {n, k, panels, w, packed, nr};
    return erniem_parallel(erniem_ceil_div(panels, 2), pack_some, &job);
}
