/* The product with an int8 weight as plain loops: each operation of the formula in order. */

#include <float.h>
#include <math.h>

#include "gemm.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* the formula rounds each operation by itself */
#endif

/* Step and zero point of a row; the zero point is -1 where no number of it is used. */
static struct erniem_row row_reference(int64_t k, const float *x)
{
    struct erniem_row row = {0.0f, -1};
    float low = 0.0f, high = 0.0f;
    for (int64_t l = 0; l < k; l++) {
        if (!isfinite(x[l])) {
            row.step = NAN;
            return row;
        }
        low = fminf(low, x[l]);
        high = fmaxf(high, x[l]);
    }
    const float range = high - low;
    row.step = range / 255.0f;
    if (!isfinite(row.step))
        row.step = NAN;
    else if (row.step < FLT_MIN)
        row.step = 1.0f;
    else
        row.zero = (int32_t)fminf(255.0f, rintf(-low / row.step));
    return row;
}

int erniem_linear_int8_reference(int64_t m, int64_t n, int64_t k, const float *x, const int8_t *w,
                                 const float *scale, const float *bias, int activation, float *y)
{
    for (int64_t i = 0; i < m; i++) {
        const struct erniem_row row = row_reference(k, x + i * k);
        const float inverse = 1.0f / row.step;
        for (int64_t j = 0; j < n; j++) {
            int32_t sum = 0;
            for (int64_t l = 0; l < k && row.zero >= 0; l++) {
                const float scaled = x[i * k + l] * inverse;
                const float q = fmaxf(0.0f, fminf(255.0f, rintf(scaled) + (float)row.zero));
                sum += ((int32_t)q - row.zero) * w[j * k + l];
            }
            const float factor = row.step * scale[j];
            const float product = (float)sum * factor;
            y[i * n + j] = product + (bias ? bias[j] : 0.0f);
        }
    }
    return erniem_activate_reference(activation, m * n, y);
}
