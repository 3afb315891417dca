/* Rung 5: registers. Rung 4 loads a number of the panel for each multiply-add. Here a tile of HIGH
   rows by WIDE columns stays in registers, as sums; a number of the panel, once loaded, serves HIGH
   rows. The vectors are left to the compiler, which needs luck: see rung 6. */

#include "ladder.h"

enum { HIGH = 3, WIDE = 32 };

int64_t prepared_size(int64_t n, int64_t k) { return (n + WIDE - 1) / WIDE * WIDE * k; }

void prepare(int64_t n, int64_t k, const float *w, float *to)
{
    for (int64_t j0 = 0; j0 < n; j0 += WIDE)
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = j0; j < j0 + WIDE; j++)
                *to++ = j < n ? w[j * k + l] : 0.0f; /* missing columns are 0 */
}

/* y (rows, columns) = x (rows, k) panel + bias, for rows <= HIGH and columns <= WIDE. Past the last
   row, that row is computed again and not stored. */
static void tile(int64_t rows, int64_t columns, int64_t n, int64_t k, const float *x,
                 const float *panel, const float *bias, float *y)
{
    const float *row[HIGH];
    float sum[HIGH][WIDE];
    for (int r = 0; r < HIGH; r++) {
        row[r] = x + smaller(r, rows - 1) * k;
        for (int j = 0; j < WIDE; j++)
            sum[r][j] = 0.0f;
    }
    for (int64_t l = 0; l < k; l++, panel += WIDE)
#pragma GCC unroll 16
        for (int r = 0; r < HIGH; r++) {
            const float left = row[r][l];
            for (int j = 0; j < WIDE; j++)
                sum[r][j] += left * panel[j];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            y[r * n + j] = sum[r][j] + bias[j];
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    for (int64_t j = 0; j < n; j += WIDE)
        for (int64_t i = 0; i < m; i += HIGH)
            tile(smaller(HIGH, m - i), smaller(WIDE, n - j), n, k, x + i * k, w + j * k, bias + j,
                 y + i * n + j);
    return 0;
}
