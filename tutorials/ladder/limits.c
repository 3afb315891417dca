/* What the machine allows on one core: multiply-adds without memory, and reading. */

#include "vectors.h"

/* Do them; the number of operations is `rounds` times the number returned by operations(). */
float multiply_add(int64_t rounds)
{
    vf sum[12];
    const vf factor = (vf){0} + 0.999999f, term = (vf){0} + 1e-6f;
    float out[VW], total = 0.0f;
#pragma GCC unroll 16
    for (int r = 0; r < 12; r++)
        sum[r] = (vf){0} + (float)r;
    for (int64_t i = 0; i < rounds; i++)
#pragma GCC unroll 16
        for (int r = 0; r < 12; r++)
            sum[r] = sum[r] * factor + term;
#pragma GCC unroll 16
    for (int r = 0; r < 12; r++) {
        memcpy(out, &sum[r], sizeof out);
        total += out[0];
    }
    return total;
}

int64_t operations(void) { return 12 * 2 * VW; }

/* Read n floats once; n is a multiple of 4 * VW. */
float read_all(int64_t n, const float *x)
{
    vf sum[4] = {{0}};
    float out[VW];
    for (int64_t j = 0; j < n; j += 4 * VW)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            sum[v] += load(x + j + v * VW);
    const vf total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    memcpy(out, &total, sizeof out);
    return out[0] + out[VW - 1];
}
