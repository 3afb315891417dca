/* Rung 3: blocks. Rung 2 reads the whole weight for every row of x. Here a block of the weight that
   fits the caches is used for all rows before the next block is touched. */

#include "ladder.h"

enum { COLUMNS = 512, STEPS = 32 }; /* 512 * 32 floats are 64 KB */

int64_t prepared_size(int64_t n, int64_t k) { return n * k; }

void prepare(int64_t n, int64_t k, const float *w, float *to)
{
    for (int64_t j = 0; j < n; j++)
        for (int64_t l = 0; l < k; l++)
            to[l * n + j] = w[j * k + l]; /* (n, k) -> (k, n) */
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            y[i * n + j] = bias[j];

    for (int64_t j0 = 0; j0 < n; j0 += COLUMNS)
        for (int64_t l0 = 0; l0 < k; l0 += STEPS) {
            const int64_t columns = smaller(COLUMNS, n - j0), end = smaller(l0 + STEPS, k);
            for (int64_t i = 0; i < m; i++) {
                float *restrict row = y + i * n + j0;
                for (int64_t l = l0; l < end; l++)
                    for (int64_t j = 0; j < columns; j++)
                        row[j] += x[i * k + l] * w[l * n + j0 + j];
            }
        }
    return 0;
}
