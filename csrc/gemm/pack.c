/* A weight, rearranged once into panels that tiles read from front to back.

   data: [k block][panel][k in block][column]          blocks of ERNIEM_KC k, panels of nr columns

      w (n, k)                    data
      column 0   k k k k k ...    panel 0: (c0 c1 .. c47) at k = 0, (c0 c1 .. c47) at k = 1, ...
      column 1   k k k k k ...    panel 1: (c48 .. c95) at k = 0, ...
      ...

   Missing columns of the last panel are 0. */

#include <math.h>

#include "gemm.h"

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
    const struct erniem_packed *to;
    const float *w;
};

/* One k block of panels `first` and, if there is one, the next. */
static void pack_pair(const struct packing *p, int64_t block, int64_t first)
{
    const struct erniem_packed *w = p->to;
    const int nr = w->micro->gemm.nr;
    const int64_t k0 = block * ERNIEM_KC, kc = erniem_min(ERNIEM_KC, w->k - k0);
    const int64_t size = kc * nr, end = erniem_min(first + 2, w->panels);
    float *to = (float *)w->data + (k0 * w->panels + first * kc) * nr;
    for (int64_t panel = first; panel < end; panel++)
        w->micro->gemm.pack(erniem_min(nr, w->n - panel * nr), kc, p->w + panel * nr * w->k + k0,
                            w->k, NULL, to + (panel - first) * size);
    if (end == first + 2)
        w->may_add[block * (w->panels / 2) + first / 2] =
            (unsigned char)may_add(to, to + size, kc, nr);
}

static void pack_some(const void *job, struct erniem_tasks *tasks)
{
    const struct packing *p = job;
    for (int64_t pair; (pair = erniem_take(tasks)) >= 0;)
        for (int64_t block = 0; block * ERNIEM_KC < p->to->k; block++)
            pack_pair(p, block, 2 * pair);
}

int erniem_pack_queries(int64_t n, int64_t k, const float *w, struct erniem_packed **packed)
{
    const struct erniem_micro *micro = erniem_micro();
    const int64_t nr = micro->gemm.nr;
    *packed = NULL;
    if (!erniem_fits(n, k, 8) || !erniem_fits(n + nr, k, 8)) /* in bytes, and what marks pairs */
        return ERNIEM_BAD_SIZE;
    const int64_t panels = erniem_ceil_div(n, nr), blocks = erniem_ceil_div(k, ERNIEM_KC);
    const int64_t floats = panels * nr * k; /* a multiple of 4, so the struct behind is aligned */
    float *data = erniem_acquire(floats * (int64_t)sizeof(float) + (int64_t)sizeof **packed +
                                 blocks * (panels / 2));
    if (!data)
        return ERNIEM_NO_MEMORY;

    struct erniem_packed *to = (struct erniem_packed *)(void *)(data + floats);
    *to = (struct erniem_packed){.number = ERNIEM_FLOAT32, .micro = micro, .n = n, .k = k,
                                 .panels = panels, .data = data,
                                 .may_add = (unsigned char *)(to + 1)};
    const struct packing job = {to, w};
    const int status = erniem_parallel(erniem_ceil_div(panels, 2), pack_some, &job);
    if (status != 0)
        erniem_release(data);
    else
        *packed = to;
    return status;
}

void erniem_packed_free(struct erniem_packed *packed)
{
    if (packed)
        erniem_release(packed->data);
}
