/* The micro-kernels of weights whose numbers are narrower than float32: one table for each number
   type and instruction set, filled in by int8_*.c and their like. The loops around them are in
   gemm/narrow.c and training/narrow.c. float32_amx.c brings float32 into this form.

   k runs in units of four bytes, four int8 or two 16-bit numbers, and in steps of one cache line,
   16 units. A panel has 32 columns; unit u of column c lies at byte (u * 32 + c) * 4. All kernels of
   a number type read the same panels. What lies beyond the last k is 0 in a panel. */

#ifndef ERNIEM_NARROW_H
#define ERNIEM_NARROW_H

#include <stdint.h>
#include <string.h>

/* The nearest number of bfloat16; of two, the one whose last bit is 0. NaN stays NaN. */
static inline uint32_t erniem_bfloat16_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), nan = bits | 0x400000;
    return ((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded) & 0xffff0000;
}

static inline float erniem_to_bfloat16(float x)
{
    const uint32_t bits = erniem_bfloat16_bits(x);
    memcpy(&x, &bits, sizeof bits);
    return x;
}

enum {
    ERNIEM_COLUMNS = 32,                                /* of a panel */
    ERNIEM_UNIT = 4,                                    /* bytes */
    ERNIEM_STEP = 64,                                   /* bytes of a row, */
    ERNIEM_PANEL_STEP = ERNIEM_STEP * ERNIEM_COLUMNS,   /* and of a panel */
    ERNIEM_THIRDS = 3,                                  /* numbers of 16 bits for one of float32 */
    ERNIEM_MAX_ROWS = 128,                              /* of a tile of any kernel, */
    ERNIEM_ROWS_TOGETHER = 16                           /* of which it may read and write so many */
};

/* What a row of int8 means: x = (q - zero) * step. Other number types leave it alone. */
struct erniem_row {
    float step;
    int32_t zero;
};

/* Rows of 32 results that are to be written past the caches, in whole cache lines; or, where `from` is
   NULL, that will be written at `to`, which is to be in the first-level cache by then. */
struct erniem_results {
    int rows;          /* that are left */
    const float *from; /* rows of 32 floats, at a cache line; or NULL */
    unsigned char *to; /* as they are, or, if `narrows`, as `narrow` writes rows */
    int64_t stride;    /* bytes from one to the next */
    int narrows;
};

/* A tile, sums[r][c] = sum of x[r][l] * panel[l][c] over all l of `steps` steps, for r < rows <= mr
   and all 32 columns. x and sums have memory for a multiple of ERNIEM_ROWS_TOGETHER rows: a kernel
   may read and write up to there, whatever is there. */
struct erniem_tile_narrow {
    int rows;
    int64_t steps;
    const unsigned char *x; /* rows as `narrow` writes them, */
    int64_t stride;         /* so many bytes apart */
    const unsigned char *panel;
    const unsigned char *next; /* prefetched, never read: `pace` cache lines of it for each step */
    int64_t pace;
    void *sums; /* rows * 32 of int32 (int8) or float, at a cache line */
    struct erniem_results *results; /* for `stream`, which is called in each step; or NULL */
};

/* Attention with queries, keys, exponentials and values of this number type; float32 in and out. */
struct erniem_narrow_attention {
    /* A panel of n <= 32 rows of w, rounded: column j holds the k numbers of row rows[j], or of row j
       where rows is NULL. The rows of w are `stride` floats apart; `to` has room for whole steps, and
       zeros fill them. */
    void (*pack)(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                 unsigned char *to);
    /* A panel of n <= 32 columns of w, rounded: number l of column j is w[rows[l]][j], for l < k. */
    void (*pack_across)(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                        unsigned char *to);
    /* One step of n <= 32 columns of w, as `narrow` writes rows, `to_stride` bytes apart: row j holds
       w[l][j] for l < k <= 32. The same numbers are added to sums[j], which are not rounded. */
    void (*narrow_across)(int64_t n, int64_t k, const float *w, int64_t stride, float *sums,
                          unsigned char *to, int64_t to_stride);
    /* The columns of w as `narrow` writes rows, `to_stride` bytes apart: row l of k <= ERNIEM_KC holds
       number l of the n rows of w, chosen as in `pack`. */
    void (*lay_across)(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                       unsigned char *to, int64_t to_stride);
    /* A panel of the exponentials of n > 0 rows of 32 numbers: number j of column c is
       exp(x[j][c] - highest[c]), rounded; sums[c] is their sum. `columns`, 16 or 32, are computed; the
       others become 0. No x is larger than `highest`. */
    void (*exponentials)(int64_t n, int columns, const float *highest, const float *x,
                         unsigned char *to, float *sums);
    /* y[c][l] = sums[l][c] * factors[c] for c < columns <= 32 and l < n of a tile of sums, which has
       memory for a multiple of ERNIEM_ROWS_TOGETHER rows. */
    void (*scale_across)(int64_t columns, int64_t n, const float *sums, const float *factors, float *y,
                         int64_t ldy);
};

struct erniem_narrow {
    const char *name;
    int mr;              /* rows of a tile, at most */
    int group;           /* rows that it computes together, so that fewer cost the same; 0 means 1 */
    int lines;           /* cache lines, each a step, of 32 numbers of a row: ERNIEM_THIRDS; 0 means 1 */
    int widens;          /* whether it widens the numbers of a row, which then has twice the bytes */
    int64_t block_bytes; /* of narrowed rows that a thread keeps in its second-level cache; 0 means
                            ERNIEM_BLOCK_BYTES */

    /* Write a row of k floats in the number type, and zeros up to the next whole step; `to` is at a
       cache line. */
    void (*narrow)(int64_t k, const float *x, unsigned char *to, struct erniem_row *row);

    void (*tile)(const struct erniem_tile_narrow *tile);

    /* The results y (rows, columns), ldy floats apart, of the sums of a tile; columns <= 32.
       int8: y[r][c] = float(sums[r][c] - zero[r] * totals[c]) * (step[r] * scales[c]) + bias[c],
       each operation rounded by itself. Others: sums[r][c] + bias[c]. scales and totals have 32
       numbers; bias may be NULL. */
    void (*finish)(int rows, int columns, const void *sums, const struct erniem_row *row,
                   const float *scales, const int32_t *totals, const float *bias, float *y,
                   int64_t ldy);

    /* Write or prefetch some of the rows of results, or all if there are fewer. For kernels that are
       faster than a cache takes their results; else NULL. */
    void (*stream)(int64_t rows, struct erniem_results *results);

    /* bfloat16 has all of it, float32 by AMX what packs weights; else NULL. */
    const struct erniem_narrow_attention *attention;

    /* Before a thread's first tile, and after its last; NULL: nothing to do. */
    void (*begin)(void);
    void (*end)(void);

    /* `rounds` times some multiply-adds that read no memory. Returns the operations of a round. What
       is written to `kept` means nothing; it keeps compilers from leaving out the loop. */
    int64_t (*peak)(int64_t rounds, float *kept);
};

/* AVX-VNNI is known from gcc 11, clang 12, Apple's clang 14 and Visual Studio 2022 on. */
#if defined(__apple_build_version__)
#define ERNIEM_HAS_AVXVNNI (__clang_major__ >= 14)
#elif defined(__clang__)
#define ERNIEM_HAS_AVXVNNI (__clang_major__ >= 12)
#elif defined(__GNUC__)
#define ERNIEM_HAS_AVXVNNI (__GNUC__ >= 11)
#else
#define ERNIEM_HAS_AVXVNNI (_MSC_VER >= 1930)
#endif

/* Dot products and I8MM need the assembler of gcc or clang, and a system that says whether the
   processor has them. */
#if defined(__aarch64__) && defined(__GNUC__) && (defined(__linux__) || defined(__APPLE__))
#define ERNIEM_HAS_DOT 1
#define ERNIEM_HAS_I8MM 1
#else
#define ERNIEM_HAS_DOT 0
#define ERNIEM_HAS_I8MM 0
#endif

/* AVX512-BF16, and AMX, which is built for Linux alone: the system has to be asked for it. */
#if defined(__x86_64__) && \
    ((defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && __GNUC__ >= 10))
#define ERNIEM_HAS_AVX512BF16 1
#else
#define ERNIEM_HAS_AVX512BF16 0
#endif
#if defined(__x86_64__) && defined(__linux__) && \
    ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11))
#define ERNIEM_HAS_AMX 1
#else
#define ERNIEM_HAS_AMX 0
#endif

enum { ERNIEM_BLOCK_BYTES = 448 << 10 }; /* less than half of a cache of 1 MB */

extern const struct erniem_narrow erniem_int8_generic, erniem_int8_sse2, erniem_int8_avx2,
    erniem_int8_avxvnni, erniem_int8_avx512, erniem_int8_avx512vnni, erniem_int8_amx,
    erniem_int8_neon, erniem_int8_neon_dot, erniem_int8_neon_i8mm;
extern const struct erniem_narrow erniem_bfloat16_generic, erniem_bfloat16_avx2,
    erniem_bfloat16_avx512, erniem_bfloat16_avx512bf16, erniem_bfloat16_amx, erniem_bfloat16_neon,
    erniem_bfloat16_neon_bf16;
extern const struct erniem_narrow erniem_float32_amx;
extern const struct erniem_narrow erniem_stored_bfloat16_generic, erniem_stored_bfloat16_avx2,
    erniem_stored_bfloat16_avx512, erniem_stored_bfloat16_neon;
extern const struct erniem_narrow erniem_float16_generic, erniem_float16_avx2,
    erniem_float16_avx512, erniem_float16_neon;

/* The table in use for a number type; NULL for float32, unless that is multiplied by AMX. See cpu.c. */
const struct erniem_narrow *erniem_narrow(int number);

#endif
