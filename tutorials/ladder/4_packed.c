/* Rung 4: packing. In rung 3 the rows of a block lie n floats apart, each on a page of its own. Here
   the weight is cut into panels of WIDE columns that lie in memory in the order in which they are
   read: panel 0 step 0, panel 0 step 1, ... A row's sums for one panel are kept until it ends. */

#include "ladder.h"

enum { WIDE = 32 };

int64_t prepared_size(int64_t n, int64_t k) { return (n + WIDE - 1) / WIDE * WIDE * k; }

void prepare(int64_t n, int64_t k, const float *w, float *to)
{
    for (int64_t j0 = 0; j0 < n; j0 += WIDE)
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = j0; j < j0 + WIDE; j++)
                *to++ = j < n ? w[j * k + l] : 0.0f; /* missing columns are 0 */
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    for (int64_t j0 = 0; j0 < n; j0 += WIDE) {
        const float *panel = w + j0 * k;
        const int64_t columns = smaller(WIDE, n - j0);
        for (int64_t i = 0; i < m; i++) {
            float sum[WIDE] = {0};
            for (int64_t l = 0; l < k; l++)
                for (int j = 0; j < WIDE; j++)
                    sum[j] += x[i * k + l] * panel[l * WIDE + j];
            for (int64_t j = 0; j < columns; j++)
                y[i * n + j0 + j] = sum[j] + bias[j0 + j];
        }
    }
    return 0;
}
