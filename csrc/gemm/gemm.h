/* Products with a packed weight: what pack.c, linear.c, strassen.c and attention.c share. */

#ifndef ERNIEM_GEMM_H
#define ERNIEM_GEMM_H

#include "../internal.h"
#include "../micro/narrow.h"

/* A weight w (n, k), rearranged into panels: of float32 (pack.c) for one instruction set, of nr
   columns; of narrower numbers and of thirds (pack_narrow.c) for all, of 32 columns. The panels lie in
   front of this struct, in the same block of memory, which starts at a cache line. */
struct erniem_packed {
    int number;                       /* ERNIEM_FLOAT32, ERNIEM_INT8, ... */
    const struct erniem_micro *micro; /* whole float32: the instruction set it was packed for; else NULL */
    int64_t n, k, panels;             /* panels: n / nr, rounded up */
    void *data;                       /* whole float32: [k block][panel][k in block][column] */
    unsigned char *may_add; /* the same: [k block][pair of panels], whether strassen.c may add them */
    float *scales;          /* others: of each column, and zeros to fill the last panel */
    int32_t *totals;        /* int8: the sum of each column, likewise */
};

/* The layer norm that may follow a product: of y + residual, as by erniem_add_norm. */
struct erniem_norm {
    const float *residual, *weight, *bias; /* residual may be NULL */
    float eps;
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
    const struct erniem_norm *norm; /* of y[0], in place; or NULL, as always where count is not 1 */
    /* narrow.c alone, for a chain of products: x already as rows of the number type, or NULL; and where
       the results are written as such rows instead of to y, or NULL. Rows are erniem_row_bytes apart,
       and `rows` has memory for a multiple of ERNIEM_ROWS_TOGETHER of them. */
    const unsigned char *rows;
    unsigned char *narrowed;
};

/* How deep a k block is. */
static inline int64_t erniem_depth(int64_t k, int64_t block)
{
    return erniem_min(ERNIEM_KC, k - block * ERNIEM_KC);
}

/* The panel with this number in a k block. */
static inline const float *erniem_panel(const struct erniem_packed *w, int64_t block, int64_t panel)
{
    const int64_t row = block * ERNIEM_KC * w->panels + panel * erniem_depth(w->k, block);
    return (const float *)w->data + row * w->micro->gemm.nr;
}

/* Some rows of a k block times some panels of a weight; after the last block the bias is added, and the
   activation follows. */
struct erniem_panels {
    const struct erniem_packed *w;
    int64_t block, first, end; /* panels first .. end - 1 of this k block */
    int64_t rows, lda;
    const float *a;    /* lda floats from one row to the next */
    const float *bias; /* of all columns, or NULL */
    int activation;
    float *y; /* at the first panel's columns; ldy floats from one row to the next */
    int64_t ldy;
    const float *next; /* what is read after it, for prefetches alone */
};

/* Whether a weight of float32 was packed for the kernel in use. */
static inline int erniem_is_current(const struct erniem_packed *w)
{
    return w->micro == (erniem_narrow(ERNIEM_FLOAT32) ? NULL : erniem_micro());
}

/* Whether strassen.c may add the panels 2 * pair and 2 * pair + 1 of a k block. */
static inline int erniem_may_add(const struct erniem_packed *w, int64_t block, int64_t pair)
{
    return w->may_add[block * (w->panels / 2) + pair];
}

/* pack_narrow.c: steps (ERNIEM_STEP bytes) of a row of k numbers, at least 1, of float32 in thirds; and
   the panels of a weight of n rows of k numbers, with scales and totals of 0. Returns as erniem_pack. */
int64_t erniem_steps(int number, int64_t k);
int erniem_pack_narrow(int number, int64_t n, int64_t k, const void *w,
                       struct erniem_packed **packed);

/* linear.c: the tiles of some panels; whether tiles may read rows of k floats where they are; and rows of
   a k block, copied to where they may, ERNIEM_STRIDE floats apart. */
void erniem_multiply_panels(const struct erniem_panels *some);
int erniem_fits_in_place(int64_t k);
void erniem_copy_rows(int64_t rows, int64_t k, int64_t block, const float *x, float *to);

/* linear.c: erniem_linears, and the norm that follows it, or NULL. */
int erniem_multiply(int64_t count, int64_t m, const float *x,
                    const struct erniem_packed *const *packed, const float *const *bias,
                    int activation, int independent, const struct erniem_norm *norm, float *const *y);

/* narrow.c: the product with weights whose `micro` is NULL; and the bytes from one row of k narrowed
   numbers to the next. */
int erniem_multiply_narrow(const struct erniem_product *product);
/* The same for a few rows, by the calling thread alone and without the norm, of kernels without `begin`.
   `memory` has the scratch bytes of so many rows, at a cache line; the weight `next` is read afterwards. */
int64_t erniem_narrow_scratch(const struct erniem_product *product, int64_t rows);
void erniem_multiply_narrow_here(const struct erniem_product *product, const struct erniem_packed *next,
                                 unsigned char *memory);
int64_t erniem_row_bytes(int number, int64_t k);
/* blocks.c: how many of m rows a block has: a multiple of `whole`, as `most` is, which leaves the thread with
   the most rows as few as can be; of several such numbers the largest. */
int64_t erniem_even_rows(int64_t m, int64_t most, int64_t whole);
/* Before a tile, whose results go where `results` says (from = NULL): prefetch all of that, unless the kernel
   has `stream`, which does so a few rows at a time. */
void erniem_prefetch_results(const struct erniem_narrow *kernel, int columns,
                             const struct erniem_results *results);

/* norm.c: the layer norm of a product whose rows are in `blocks` blocks; nothing where p->norm is NULL.
   Before the product: *done counts the finished work items of the blocks, or is NULL where rows are
   normed after the product. Returns 0 or ERNIEM_NO_MEMORY. */
int erniem_begin_norm(const struct erniem_product *p, int64_t blocks, struct erniem_parts **done);
/* Norm rows row0 .. row0 + rows - 1 of y, where they are. */
void erniem_norm_rows(const struct erniem_norm *norm, int64_t n, int64_t row0, int64_t rows, float *y);
/* After a work item of a block, which has `parts` of them: norm the rows if it was the last one. */
void erniem_norm_block(const struct erniem_product *p, struct erniem_parts *done, int64_t block,
                       int64_t parts, int64_t row0, int64_t rows);
/* After the product, which ended with this status: norm the rows if none are yet. Frees `done`. Returns
   as erniem_linears. */
int erniem_end_norm(const struct erniem_product *p, struct erniem_parts *done, int status);

/* One level of Strassen's algorithm for m >= 2 and n, k >= 1: an eighth fewer multiplications
   than the classical product, larger rounding errors. Returns as erniem_linears. */
int erniem_strassen(const struct erniem_product *product);

#endif
