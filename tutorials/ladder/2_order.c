/* Rung 2: another order of the loops. The innermost one runs over the columns of y, so its additions
   do not wait for each other, and the compiler may do several at once. The weight is transposed in
   advance, so that neighbours in the loop are neighbours in memory. */

#include "ladder.h"

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
    for (int64_t i = 0; i < m; i++) {
        float *restrict row = y + i * n;
        for (int64_t j = 0; j < n; j++)
            row[j] = bias[j];
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < n; j++)
                row[j] += x[i * k + l] * w[l * n + j];
    }
    return 0;
}
