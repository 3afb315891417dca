/* What one instruction set offers: the innermost loops, called by linear.c, attention.c and
   rowwise.c through this table. isa_*.c fills it in once per instruction set. */

#ifndef ERNIEM_MICRO_H
#define ERNIEM_MICRO_H

#include <stdint.h>

/* A product is cut into blocks of at most ERNIEM_KC k. Rows that are copied lie ERNIEM_STRIDE floats
   apart: one cache line more, so that the rows of a tile never compete for the same cache set. */
enum { ERNIEM_KC = 768, ERNIEM_STRIDE = ERNIEM_KC + 16 };

/* Largest nr of any instruction set. */
enum { ERNIEM_MAX_NR = 32 };

enum erniem_activation {
    ERNIEM_IDENTITY,
    ERNIEM_GELU,
    ERNIEM_GELU_CLIPPED,
    ERNIEM_GELU_TANH,
    ERNIEM_LAPLACE,
    ERNIEM_LEAKY_RELU,
    ERNIEM_MISH,
    ERNIEM_QUICK_GELU,
    ERNIEM_RELU,
    ERNIEM_RELU_SQUARED,
    ERNIEM_RELU6,
    ERNIEM_SIGMOID,
    ERNIEM_SILU,
    ERNIEM_TANH,
    ERNIEM_ACTIVATIONS
};

/* Whether numbers with these sums of absolute values may be added to each other: neither is huge
   nor NaN, nor 16 times the other. See strassen.c. */
static inline int erniem_comparable(float a, float b)
{
    return a < 1e15f && b < 1e15f && a < 16.0f * b && b < 16.0f * a;
}

struct erniem_micro {
    const char *name;
    int mr, nr; /* the register tile: at most mr rows by nr columns, a multiple of 4 */

    /* c[r][j] = (add ? c[r][j] : 0) + sum over k of a[r][k] * b[k][j] + (bias ? bias[j] : 0)
       for r < rows <= mr and j < cols <= nr; k < kc.
       a: rows lda apart; b: a panel, nr floats for each k; c: rows ldc apart; bias: cols.
       next: kc * pace floats that will be wanted soon, brought nearer; never read. */
    void (*tile)(int rows, int cols, int64_t kc, const float *a, int64_t lda, const float *b,
                 const float *next, int64_t pace, int add, const float *bias, float *c,
                 int64_t ldc);

    /* x[r][j] = act(x[r][j]) for r < rows, stride apart, and j < n. */
    void (*activate)(int activation, int64_t rows, int64_t n, int64_t stride, float *x);

    /* x = exp(scale * (x - max x)) / sum of them, times factor, for j < n; n > 0, scale > 0. */
    void (*softmax)(int64_t n, float scale, float factor, float *x);

    /* y = (v - mean v) / sqrt(variance v + eps) * weight + bias, v = x + (add ? add : 0);
       d > 0; y may be x or add. */
    void (*norm)(int64_t d, const float *x, const float *add, const float *weight,
                 const float *bias, float eps, float *y);

    /* c[r][j] = sum over k of a[r][k] * s[k][j] for r < rows <= mr and j < nr, c without gaps, where
       s is b + sign * other, kc * nr floats, and is written to `sums`. */
    void (*tile_of_sums)(int rows, int64_t kc, const float *a, int64_t lda, const float *b,
                         const float *other, float sign, float *sums, const float *next,
                         int64_t pace, float *c);

    /* Of x11, x12, n floats each, side by side in one row, and x21, x22 in another: x11 + x22,
       x21 + x22, x11 + x12, x21 - x11, x12 - x22, x11, x22, to `to`, `apart` from each other. What
       lies `ahead` floats behind each is brought nearer. Returns erniem_comparable of the rows. */
    int (*spread)(int64_t n, const float *row1, const float *row2, int64_t ahead, float *to,
                  int64_t apart);

    /* Of seven products p, mr * nr floats each, row r makes row 2r of c, p0 + p3 - p4 + p6 and
       p2 + p4, and row 2r + 1, p1 + p3 and p0 - p1 + p2 + p5, 2 nr columns in all; if `add`, c is
       added, and bias, if not NULL. rows <= mr. */
    void (*gather)(int rows, const float *p, int add, const float *bias, float *c, int64_t ldc);

    /* Multiply-adds without memory traffic, `rounds` times 2 * mr * nr operations. */
    float (*peak)(int64_t rounds);
};

extern const struct erniem_micro erniem_micro_generic, erniem_micro_avx2, erniem_micro_avx512,
    erniem_micro_neon;

/* The table in use; see cpu.c. */
const struct erniem_micro *erniem_micro(void);

#endif
