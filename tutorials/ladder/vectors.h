/* The tile of rungs 6 to 8, in vectors as wide as the compiler is told that the processor has them.
   gcc and clang let vectors be written like numbers; csrc/ uses the names of the instructions.

   The weight lies in panels of WIDE columns: panel 0 step 0, panel 0 step 1, ... */

#ifndef VECTORS_H
#define VECTORS_H

#include <string.h>

#include "ladder.h"

#if defined(__AVX512F__)
enum { VW = 16, HIGH = 14 }; /* 28 of 32 registers hold sums */
#elif defined(__AVX__)
enum { VW = 8, HIGH = 6 }; /* 12 of 16 */
#elif defined(__aarch64__)
enum { VW = 4, HIGH = 12 }; /* 24 of 32 */
#else
enum { VW = 4, HIGH = 6 }; /* 12 of 16 */
#endif
enum { NV = 2, WIDE = NV * VW, BLOCK_ROWS = 10 * HIGH };

typedef float vf __attribute__((vector_size(VW * sizeof(float))));

static inline vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* y (rows, columns) = x (rows, k) panel + bias, for rows <= HIGH and columns <= WIDE. Past the last
   row, that row is computed again and not stored. */
static inline void tile(int64_t rows, int64_t columns, int64_t n, int64_t k, const float *x,
                 const float *panel, const float *bias, float *y)
{
    const float *row[HIGH];
    vf sum[HIGH][NV];
    float out[WIDE];
    for (int r = 0; r < HIGH; r++) {
        row[r] = x + smaller(r, rows - 1) * k;
        for (int v = 0; v < NV; v++)
            sum[r][v] = (vf){0};
    }
    for (int64_t l = 0; l < k; l++) {
        const vf left = load(panel + l * WIDE), right = load(panel + l * WIDE + VW);
#pragma GCC unroll 16
        for (int r = 0; r < HIGH; r++) {
            sum[r][0] += row[r][l] * left; /* one number of x times VW columns, and added */
            sum[r][1] += row[r][l] * right;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < HIGH; r++) {
        memcpy(out, sum[r], sizeof out);
        for (int64_t j = 0; r < rows && j < columns; j++)
            y[r * n + j] = out[j] + bias[j];
    }
}

/* Columns of the panels first..end, in blocks of rows that fit the second-level cache. */
static inline void panels(int64_t first, int64_t end, int64_t m, int64_t n, int64_t k, const float *x,
                   const float *w, const float *bias, float *y)
{
    for (int64_t block = 0; block < m; block += BLOCK_ROWS)
        for (int64_t j = first * WIDE; j < smaller(n, end * WIDE); j += WIDE)
            for (int64_t i = block; i < smaller(m, block + BLOCK_ROWS); i += HIGH)
                tile(smaller(HIGH, m - i), smaller(WIDE, n - j), n, k, x + i * k, w + j * k,
                     bias + j, y + i * n + j);
}

int64_t prepared_size(int64_t n, int64_t k) { return (n + WIDE - 1) / WIDE * WIDE * k; }

void prepare(int64_t n, int64_t k, const float *w, float *to)
{
    for (int64_t j0 = 0; j0 < n; j0 += WIDE)
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = j0; j < j0 + WIDE; j++)
                *to++ = j < n ? w[j * k + l] : 0.0f; /* missing columns are 0 */
}

#endif
