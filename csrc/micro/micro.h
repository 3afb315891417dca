/* The micro-kernels: the innermost loops, one table of them for each instruction set, filled in by
   isa_*.c. They are grouped by what they serve: products, rows, Strassen's algorithm. A group is
   for one number type; another type brings a group of its own.

   Each formula below is the contract. Sizes and strides count elements; pointers need the alignment
   of a float alone; an output overlaps no input unless the contract says so; nothing is checked. */

#ifndef ERNIEM_MICRO_H
#define ERNIEM_MICRO_H

#include <stdint.h>

/* A product is cut into blocks of at most ERNIEM_KC k, which is a multiple of every nr. Rows that are
   copied lie ERNIEM_STRIDE floats apart: one cache line more, so that the rows of a tile never compete
   for the same cache set. */
enum { ERNIEM_KC = 768, ERNIEM_STRIDE = ERNIEM_KC + 16 };

/* Largest nr of any instruction set; at most 64, as attention has a bit for each. */
enum { ERNIEM_MAX_NR = 48 };

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

/* Whether two rows or columns with these sums of absolute values may be added to each other: neither
   sum is huge or NaN, nor 16 times the other. See strassen.c. */
static inline int erniem_comparable(float a, float b)
{
    return a < 1e15f && b < 1e15f && a < 16.0f * b && b < 16.0f * a;
}

/* A tile: a part of a product that is held in registers,

      c[r][j] = (add ? c[r][j] : 0) + sum over k of a[r][k] * b[k][j] + (bias ? bias[j] : 0)

   for r < rows <= mr, j < columns <= nr and k < kc. */
struct erniem_tile_f32 {
    int rows, columns;
    int64_t kc;
    const float *a; /* rows of kc floats, */
    int64_t lda;    /* lda floats apart */
    const float *b; /* a panel: nr floats for each k */
    const float *next; /* kc * pace floats that will be wanted soon: prefetched, never read, so any */
    int64_t pace;      /* address will do */
    int add;
    const float *bias; /* `columns` floats, or NULL */
    float *c;          /* rows of `columns` floats, */
    int64_t ldc;       /* ldc floats apart */
};

/* Products of float32. */
struct erniem_gemm_f32 {
    int mr, nr; /* the register tile: at most mr rows by nr columns */
    int vw;     /* floats of a vector; nr is a multiple of it, and of 4 */

    /* Lay n <= nr rows of w side by side as a panel: to[l][j] = w[rows[j]][l] for l < k <= ERNIEM_KC
       and j < n, 0 for the other j < nr. The rows of w are `stride` floats apart; rows NULL means
       row j. */
    void (*pack)(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                 float *to);

    /* Lay n <= nr columns of w as a panel: to[l][j] = w[rows[l]][j] for l < k and j < n, 0 for the
       other j < nr; rows NULL means row l. */
    void (*pack_across)(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                        float *to);

    void (*tile)(const struct erniem_tile_f32 *tile);

    /* A tile whose left side lies column by column: a[k * lda + r] in place of a[r * lda + k]. */
    void (*tile_across)(const struct erniem_tile_f32 *tile);

    /* Multiply-adds without memory traffic, `rounds` times 2 * mr * nr operations. */
    float (*peak)(int64_t rounds);
};

/* Row by row, float32. */
struct erniem_rowwise {
    /* x[r][j] = act(x[r][j]) for r < rows, `stride` floats apart, and j < n. */
    void (*activate)(int activation, int64_t rows, int64_t n, int64_t stride, float *x);

    /* x = exp(x - max x) / sum of them, times factor, for j < n; n > 0. Returns max x as it was;
       where x has a NaN, any number, and every x becomes NaN. */
    float (*softmax)(int64_t n, float factor, float *x);

    /* y = (v - mean v) / sqrt(variance v + eps) * weight + bias, v = x + (add ? add : 0), for each
       of some rows of d numbers, d > 0; y[r] may be x[r] or add[r], but of no other row. */
    void (*norm)(int64_t rows, int64_t d, const float *const *x, const float *const *add,
                 const float *weight, const float *bias, float eps, float *const *y);
};

/* Attention, float32. A row of scores is a key, its columns are queries; the first `columns` of a row
   count, a multiple of vw, and rows are `stride` floats apart. */
struct erniem_attention_f32 {
    /* y[r][j] = x[which[r]][j] * factors[r * step] for r < rows and j < n; x has rows `stride` floats
       apart, y ldy floats. which NULL means row r; y may be x. Returns whether every y is finite. */
    int (*scale)(int64_t rows, int64_t n, const float *x, int64_t stride, const int64_t *which,
                 const float *factors, int64_t step, float *y, int64_t ldy);

    /* Add bias[j], unless it is NULL, to each row j < n; then highest[c] = the maximum of column c.
       Where a column has a NaN, any number. */
    void (*highest)(int64_t n, int columns, int64_t stride, const float *bias, float *x,
                    float *highest);

    /* x = exp(x - highest[c]) in column c of n rows, and sums[c] += their sum. No x is larger than
       `highest`. */
    void (*exponentials)(int64_t n, int columns, int64_t stride, const float *highest, float *x,
                         float *sums);
};

/* The additions around the seven products of strassen.c, float32. */
struct erniem_strassen_f32 {
    /* A tile of nr columns without add and bias, whose panel is b + sign * other; that sum, kc * nr
       floats, is written to `sums`, too. */
    void (*tile_of_sums)(const struct erniem_tile_f32 *tile, const float *other, float sign,
                         float *sums);

    /* Split two rows into left factors: of x11, x12, n floats each, side by side in row1, and x21,
       x22 in row2, x11 + x22, x21 + x22, x11 + x12, x21 - x11, x12 - x22, x11, x22 are written to
       `to`, `apart` floats from each other. What lies `ahead` floats behind each input is
       prefetched. Returns erniem_comparable of the two rows. */
    int (*split)(int64_t n, const float *row1, const float *row2, int64_t ahead, float *to,
                 int64_t apart);

    /* Combine seven products p, mr * nr floats each: row r makes row 2r of c, p0 + p3 - p4 + p6 and
       p2 + p4, and row 2r + 1, p1 + p3 and p0 - p1 + p2 + p5, 2 nr columns in all; if `add`, c is
       added, and bias, if not NULL. rows <= mr. */
    void (*combine)(int rows, const float *p, int add, const float *bias, float *c, int64_t ldc);
};

/* What a step of AdamW multiplies by: see AdamW in training/optimizer.py. */
struct erniem_adamw {
    float first_kept, first_new;   /* b1, 1 - b1 */
    float second_kept, second_new; /* b2, 1 - b2 */
    float correction, eps;         /* 1 / sqrt(1 - b2^t), eps */
    float rate, weight_kept;       /* learning rate / (1 - b1^t), 1 - decay */
    float scale;                   /* of g */
};

/* Gradients and updates, float32. */
struct erniem_training_f32 {
    /* Lay the left side of tiles across, each of which has share <= mr rows, the last one what is left
       of `rows`: to[(t * k + l) * mr + r] = from[l * stride + t * share + r] for l < k, tile t and row r
       of the tile. */
    void (*lay_across)(int64_t k, int64_t rows, int64_t share, const float *from, int64_t stride,
                       float *to);

    /* sums[r] += the sum over l of tile[l * mr + r] for r < n. */
    void (*sum_across)(int64_t k, int64_t n, const float *tile, float *sums);

    /* y = x * scale, or 0 where the random number of a place is below `least`: numbers 0 .. n - 1 of a
       row, as random_numbers of training/dropout.py. y may be x. */
    void (*drop)(int64_t n, uint64_t seed, uint64_t row, uint32_t least, float scale, const float *x,
                 float *y);

    /* dz = dy * act'(z) for n numbers; dz may be dy. */
    void (*activation_backward)(int activation, int64_t n, const float *dy, const float *z,
                                float *dz);

    /* The gradients of `norm` above: dv of v, of one row; dweight and dbias are added to. dv is not x,
       add or dy. */
    void (*norm_backward)(int64_t d, const float *x, const float *add, const float *weight, float eps,
                          const float *dy, float *dv, float *dweight, float *dbias);

    /* x = share * (softmax(x) - one-hot of the label) for n scores, 0 <= label < n. Returns minus the
       log of the softmax of the label. */
    double (*cross_entropy)(int64_t n, int64_t label, float share, float *x);

    /* m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
       w = (1 - decay) w - rate m / (correction sqrt v + eps), for n numbers, without fused
       multiply-adds: the bits of the same steps in any other float32 arithmetic. */
    void (*adamw)(int64_t n, const struct erniem_adamw *step, const float *g, float *w, float *m,
                  float *v);
};

struct erniem_micro {
    const char *name; /* of the instruction set */
    struct erniem_gemm_f32 gemm;
    struct erniem_rowwise rowwise;
    struct erniem_attention_f32 attention;
    struct erniem_strassen_f32 strassen;
    struct erniem_training_f32 training;
};

extern const struct erniem_micro erniem_micro_generic, erniem_micro_avx2, erniem_micro_avx512,
    erniem_micro_neon;

/* The table in use; see cpu.c. */
const struct erniem_micro *erniem_micro(void);

#endif
