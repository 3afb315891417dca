/* Row-wise kernels: one pass over a row that is still in the first-level cache. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.cdef.h"

/* Layer norm of x + residual: the sum goes into y, then mean and variance are taken from there
   (two passes, as in the formula: E[(v - E v)^2] never cancels). Sums run in double: they are
   d additions, cheap beside the memory traffic, and exact enough to equal any order of them. */
int erniem_add_norm(int64_t n, int64_t d, const float *x, const float *residual,
                    const float *weight, const float *bias, float eps, float *y)
{
    if (n < 0 || d <= 0)
        return -1;
    for (int64_t row = 0; row < n; row++) {
        const float *in = x + row * d;
        const float *add = residual ? residual + row * d : NULL;
        float *out = y + row * d;

        double mean = 0.0;
        for (int64_t j = 0; j < d; j++) {
            out[j] = add ? in[j] + add[j] : in[j];
            mean += out[j];
        }
        mean /= (double)d;

        double variance = 0.0;
        for (int64_t j = 0; j < d; j++)
            variance += (out[j] - mean) * (out[j] - mean);
        const double scale = 1.0 / sqrt(variance / (double)d + eps);

        for (int64_t j = 0; j < d; j++)
            out[j] = (float)((out[j] - mean) * scale) * weight[j] + bias[j];
    }
    return 0;
}
