/* Products with a packed weight: what pack.c, linear.c, strassen.c and attention.c share. */

#ifndef ERNIEM_GEMM_H
#define ERNIEM_GEMM_H

#include "../internal.h"

/* What the numbers of a packed weight are. A type that is added here brings a struct of
   micro-kernels (micro.h) and a function that packs for it. */
enum erniem_number { ERNIEM_FLOAT32 };

/* A weight w (n, k), rearranged into panels of nr columns for one instruction set. The panels lie
   in front of this struct, in the same block of memory, which starts at a cache line. See pack.c. */
struct erniem_packed {
    enum erniem_number number;
    const struct erniem_micro *micro; /* the instruction set it was packed for */
    int64_t n, k, panels;             /* panels: n / nr, rounded up */
    float *data;                      /* [k block][panel][k in block][column] */
    unsigned char *may_add;           /* [k block][pair of panels]: whether strassen.c may add them */
};

/* y[i] = act(x w[i]T + bias[i]) for `count` weights of one shape. */
struct erniem_product {
    const struct erniem_micro *micro;
    int64_t count, m, n, k;
    int64_t panels; /* of each weight */
    const float *x;
    const struct erniem_packed *const *packed;
    const float *const *bias; /* each may be NULL */
    int activation;
    float *const *y;
};

/* The panel with this number in a k block that is kc deep. */
static inline const float *erniem_panel(const struct erniem_packed *w, int64_t block, int64_t panel,
                                        int64_t kc)
{
    return w->data + (block * ERNIEM_KC * w->panels + panel * kc) * w->micro->gemm.nr;
}

/* Whether strassen.c may add the panels 2 * pair and 2 * pair + 1 of a k block. */
static inline int erniem_may_add(const struct erniem_packed *w, int64_t block, int64_t pair)
{
    return w->may_add[block * (w->panels / 2) + pair];
}

/* One level of Strassen's algorithm for m >= 2 and n, k >= 1: an eighth fewer multiplications
   than the classical product, larger rounding errors. Returns as erniem_linears. */
int erniem_strassen(const struct erniem_product *product);

#endif
