/* The formula of weights of 16 bits as plain loops, for tests. */

#include <math.h>
#include <string.h>

#include "gemm.h"

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A number of 16 bits, which float32 holds exactly. */
static float widen(int number, uint16_t w)
{
    if (number != ERNIEM_FLOAT16)
        return from_bits((uint32_t)w << 16);
    const int exponent = w >> 10 & 31, digits = w & 1023;
    const float unit = from_bits((uint32_t)(exponent + 102) << 23); /* 2^(exponent - 25) */
    const float size = exponent == 31 ? (digits ? NAN : INFINITY)
                       : exponent     ? (float)(1024 + digits) * unit
                                      : (float)digits * 0x1p-24f;
    return w >> 15 ? -size : size;
}

int erniem_linear_16_reference(int number, int64_t m, int64_t n, int64_t k, const float *x,
                               const uint16_t *w, const float *bias, int activation, float *y)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t l = 0; l < k; l++) {
                const float v = x[i * k + l];
                const float left = number == ERNIEM_BFLOAT16 ? erniem_to_bfloat16(v) : v;
                sum += (double)left * widen(number, w[j * k + l]);
            }
            y[i * n + j] = (float)sum;
        }
    return erniem_activate_reference(activation, m * n, y);
}
