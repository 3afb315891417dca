/* Rows of eight bits, and results of their sums: `int8_linear` in quantization/formula.py, with the
   same operations in the same order, so that the bits are the same. For a kernel in int8_*.c, which
   includes a micro_*.h before. SIGNED says that rows are stored as q - 128. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "narrow.h"

#if !defined(SIGNED)
#define SIGNED 0
#endif

/* The lowest and the highest of the numbers and 0. Returns whether all are finite. */
static int range_of(int64_t k, const float *x, float *low, float *high)
{
    enum { N = 4, AHEAD = 256 }; /* vectors at once, so that no operation waits for the one before */
    const int64_t whole = k - k % (N * VW);
    vf lowest[N], highest[N], check[N];
    UNROLLED for (int i = 0; i < N; i++)
        lowest[i] = highest[i] = check[i] = vf_set1(0.0f);
    for (int64_t j = 0; j < whole; j += N * VW)
        UNROLLED for (int i = 0; i < N; i++) {
            const vf v = vf_load(x + j + i * VW);
            lowest[i] = vf_min(lowest[i], v);
            highest[i] = vf_max(highest[i], v);
            check[i] = vf_fma(v, vf_set1(0.0f), check[i]); /* not 0 where v is not finite */
            if (i * VW % 16 == 0)
                vf_prefetch_to_write(x + j + i * VW + AHEAD); /* also of the next row */
        }
    UNROLLED for (int i = 1; i < N; i++) {
        lowest[0] = vf_min(lowest[0], lowest[i]);
        highest[0] = vf_max(highest[0], highest[i]);
        check[0] = vf_add(check[0], check[i]);
    }
    float sum = vf_sum(check[0]);
    *low = -vf_highest(vf_sub(vf_set1(0.0f), lowest[0]));
    *high = vf_highest(highest[0]);
    for (int64_t j = whole; j < k; j++) {
        *low = x[j] < *low ? x[j] : *low;
        *high = x[j] > *high ? x[j] : *high;
        sum += x[j] * 0.0f;
    }
    return sum == 0.0f;
}

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    float low, high;
    const int finite = range_of(k, x, &low, &high);
    const float step = (high - low) / 255.0f;
    const int64_t size = (k + ERNIEM_STEP - 1) / ERNIEM_STEP * ERNIEM_STEP;
    const int shift = SIGNED ? -128 : 0;
    if (!finite || step < FLT_MIN || step > FLT_MAX) {
        row->step = finite && step < 1.0f ? 1.0f : NAN;
        row->zero = shift;
        memset(to, shift & 255, (size_t)size);
        return;
    }
    float zero = rintf(-low / step);
    zero = zero > 255.0f ? 255.0f : zero;
    row->step = step;
    row->zero = (int32_t)zero + shift;
    const vf factor = vf_set1(1.0f / step);
    const int64_t whole = k - k % (4 * VW);
    for (int64_t j = 0; j < whole; j += 4 * VW) {
        vf q[4];
        UNROLLED for (int i = 0; i < 4; i++)
            q[i] = vf_mul(vf_load(x + j + i * VW), factor);
        vf_store_bytes(to + j, q, (int32_t)zero, shift & 255);
    }
    for (int64_t j = whole; j < k; j++) {
        const int q = (int)rintf(x[j] * (1.0f / step)) + (int)zero;
        to[j] = (unsigned char)((q < 0 ? 0 : q > 255 ? 255 : q) + shift);
    }
    for (int64_t j = k; j < size; j++)
        to[j] = 0;
}

/* y = float(sums - zero * totals) * (step * scales) + bias for `vectors` whole vectors, a constant where
   this is inlined, or for the first n columns of one. */
INLINE void finish_part(const int vectors, int n, int rows, const int32_t *sums,
                        const struct erniem_row *row, const float *scales, const int32_t *totals,
                        const float *bias, float *y, int64_t ldy)
{
    vf scale[2], shift[2];
    UNROLLED for (int v = 0; v < vectors; v++) {
        scale[v] = vf_load(scales + v * VW);
        shift[v] = !bias ? vf_set1(0.0f)
                   : n < VW ? vf_load_part(bias + v * VW, n) : vf_load(bias + v * VW);
    }
    for (int r = 0; r < rows; r++, sums += ERNIEM_COLUMNS, y += ldy) {
        const vf step = vf_set1(row[r].step);
        const int32_t zero = row[r].zero;
        UNROLLED for (int v = 0; v < vectors; v++) {
            const vf exact = vf_difference(sums + v * VW, zero, totals + v * VW);
            const vf result = vf_add(vf_mul(exact, vf_mul(step, scale[v])), shift[v]);
            if (n < VW)
                vf_store_part(y + v * VW, result, n);
            else
                vf_store(y + v * VW, result);
        }
    }
}

static void finish(int rows, int columns, const void *sums, const struct erniem_row *row,
                   const float *scales, const int32_t *totals, const float *bias, float *y,
                   int64_t ldy)
{
    const int32_t *all = sums;
    int j = 0;
    for (; j + 2 * VW <= columns; j += 2 * VW)
        finish_part(2, VW, rows, all + j, row, scales + j, totals + j, bias ? bias + j : NULL, y + j,
                    ldy);
    for (; j < columns; j += VW) {
        const int n = columns - j < VW ? columns - j : VW;
        finish_part(1, n, rows, all + j, row, scales + j, totals + j, bias ? bias + j : NULL, y + j,
                    ldy);
    }
}
