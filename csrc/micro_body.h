/* The innermost loops, written once in the vocabulary of a micro_*.h and compiled by isa_*.c for
   each instruction set. vf is a vector of VW floats; a tile is MR rows by NV vectors. */

#include <math.h>
#include <stddef.h>

#include "micro.h"

#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("unroll")
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")
#else
#define INLINE static inline
#define UNROLLED
#endif

/* ---- tile: a piece of a product, held in registers ---- */

/* `rows` is a constant wherever this is inlined, so `sum` lives in registers. */
INLINE void tile_of(const int rows, int cols, int64_t kc, const float *a, const float *b,
                    const float *next, int add, const float *bias, float *c, int64_t ldc)
{
    vf sum[MR][NV];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vf_set1(0.0f);
    for (int r = 0; r < rows; r++) /* what will be written, so that it is there when it is */
        for (int line = 0; line < cols; line += 16)
            vf_prefetch_to_write(c + r * ldc + line);

    for (int64_t k = 0; k < kc; k++) {
        vf panel[NV];
        UNROLLED for (int v = 0; v < NV; v++)
            panel[v] = vf_load(b + v * VW);
        UNROLLED for (int line = 0; line < NV * VW; line += 16)
            vf_prefetch(next + line);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf left = vf_set1(a[r * ERNIEM_STRIDE + k]);
            UNROLLED for (int v = 0; v < NV; v++)
                sum[r][v] = vf_fma(left, panel[v], sum[r][v]);
        }
        b += NV * VW;
        next += NV * VW;
    }

    UNROLLED for (int v = 0; v < NV; v++) {
        const int n = cols - v * VW < VW ? cols - v * VW : VW;
        if (n <= 0)
            break;
        const vf shift = !bias ? vf_set1(0.0f)
                       : n == VW ? vf_load(bias + v * VW) : vf_load_part(bias + v * VW, n);
        UNROLLED for (int r = 0; r < rows; r++) {
            float *out = c + r * ldc + v * VW;
            vf y = sum[r][v];
            if (add)
                y = vf_add(n == VW ? vf_load(out) : vf_load_part(out, n), y);
            if (bias)
                y = vf_add(y, shift);
            if (n == VW)
                vf_store(out, y);
            else
                vf_store_part(out, y, n);
        }
    }
}

static void tile(int rows, int cols, int64_t kc, const float *a, const float *b, const float *next,
                 int add, const float *bias, float *c, int64_t ldc)
{
    switch (rows) {
#define ROWS(n)                                                     \
    case n:                                                         \
        tile_of(n, cols, kc, a, b, next, add, bias, c, ldc);        \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}

/* ---- exp and what is made of it ---- */

/* e^x: x = n log 2 + r with |r| <= log(2) / 2, e^r as a polynomial of degree 6, times 2^n.
   Largest error 1.1 ulp; below -104 it is 0, above 88.73 infinite; not-a-number stays. */
INLINE vf vf_exp(vf x)
{
    x = vf_min(vf_set1(89.0f), vf_max(vf_set1(-104.0f), x));
    const vf n = vf_round(vf_mul(x, vf_set1(1.44269504f)));
    vf r = vf_fma(n, vf_set1(-0.693359375f), x); /* log 2 in two parts, the first exact times n */
    r = vf_fma(n, vf_set1(2.12194440e-4f), r);
    vf p = vf_set1(1.3981999507e-3f);
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    p = vf_fma(vf_mul(r, r), p, vf_add(r, vf_set1(1.0f)));
    return vf_scale(p, n);
}

/* P(X > a) of the standard normal distribution for a >= 0: `upper_tail` in activations.py, whose
   polynomial this is. */
INLINE vf vf_upper_tail(vf a)
{
    a = vf_min(vf_set1(6.0f), a);
    vf p = vf_set1(1.4803116e-07f);
    p = vf_fma(p, a, vf_set1(-3.5125092e-06f));
    p = vf_fma(p, a, vf_set1(3.3155535e-05f));
    p = vf_fma(p, a, vf_set1(-0.00013811834f));
    p = vf_fma(p, a, vf_set1(-9.306588e-05f));
    p = vf_fma(p, a, vf_set1(0.0049064755f));
    p = vf_fma(p, a, vf_set1(-0.036399305f));
    p = vf_fma(p, a, vf_set1(-0.31829423f));
    p = vf_fma(p, a, vf_set1(-0.79788595f));
    p = vf_fma(p, a, vf_set1(-0.6931472f));
    return vf_exp(p);
}

INLINE vf vf_gelu(vf x)
{
    const vf zero = vf_set1(0.0f), size = vf_min(vf_set1(6.0f), vf_abs(x));
    return vf_sub(vf_max(zero, x), vf_mul(size, vf_upper_tail(size)));
}

INLINE vf vf_sigmoid(vf x)
{
    const vf one = vf_set1(1.0f);
    return vf_div(one, vf_add(one, vf_exp(vf_sub(vf_set1(0.0f), x))));
}

/* tanh x: below 0.625 an odd polynomial (so that a small x keeps all its digits), above it
   1 - 2 / (e^2x + 1). Largest error 2 ulp. */
INLINE vf vf_tanh(vf x)
{
    const vf one = vf_set1(1.0f), two = vf_set1(2.0f), size = vf_abs(x), square = vf_mul(x, x);
    vf p = vf_set1(-5.70498872745e-3f);
    p = vf_fma(p, square, vf_set1(2.06390887954e-2f));
    p = vf_fma(p, square, vf_set1(-5.37397155531e-2f));
    p = vf_fma(p, square, vf_set1(1.33314422036e-1f));
    p = vf_fma(p, square, vf_set1(-3.33332819422e-1f));
    const vf small = vf_fma(vf_mul(p, square), x, x);
    const vf e = vf_exp(vf_mul(two, vf_min(vf_set1(10.0f), size)));
    const vf large = vf_sub(one, vf_div(two, vf_add(e, one)));
    const vf signed_large = vf_if_less(x, vf_set1(0.0f), vf_sub(vf_set1(0.0f), large), large);
    return vf_if_less(size, vf_set1(0.625f), small, signed_large);
}

/* The activations of activations.py, same formulas. `activation` is constant where inlined. */
INLINE vf vf_activate(const int activation, vf x)
{
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f), six = vf_set1(6.0f);
    switch (activation) {
    case ERNIEM_GELU:
        return vf_gelu(x);
    case ERNIEM_GELU_CLIPPED:
        return vf_min(vf_set1(10.0f), vf_max(vf_set1(-10.0f), vf_gelu(x)));
    case ERNIEM_GELU_TANH: { /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
        const vf cube = vf_mul(vf_mul(vf_mul(vf_set1(0.044715f), x), x), x);
        const vf t = vf_tanh(vf_mul(vf_set1(0.7978845608f), vf_add(x, cube)));
        return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(one, t));
    }
    case ERNIEM_LAPLACE: {
        const vf z = vf_div(vf_sub(x, vf_set1(0.707107f)), vf_set1(0.282095f));
        const vf tail = vf_upper_tail(vf_abs(z));
        return vf_if_less(z, zero, tail, vf_sub(one, tail));
    }
    case ERNIEM_LEAKY_RELU:
        return vf_if_less(zero, x, x, vf_mul(vf_set1(0.01f), x));
    case ERNIEM_MISH: { /* tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), e = e^x */
        const vf e = vf_exp(vf_min(vf_set1(20.0f), x));
        const vf n = vf_mul(e, vf_add(e, vf_set1(2.0f)));
        return vf_mul(x, vf_div(n, vf_add(n, vf_set1(2.0f))));
    }
    case ERNIEM_QUICK_GELU:
        return vf_mul(x, vf_sigmoid(vf_mul(vf_set1(1.702f), x)));
    case ERNIEM_RELU:
        return vf_max(zero, x);
    case ERNIEM_RELU_SQUARED:
        return vf_mul(vf_max(zero, x), vf_max(zero, x));
    case ERNIEM_RELU6:
        return vf_min(six, vf_max(zero, x));
    case ERNIEM_SIGMOID:
        return vf_sigmoid(x);
    case ERNIEM_SILU:
        return vf_mul(x, vf_sigmoid(x));
    case ERNIEM_TANH:
        return vf_tanh(x);
    default:
        return x;
    }
}

INLINE void activate_with(const int activation, int64_t n, float *x)
{
    int64_t j = 0;
    for (; j + VW <= n; j += VW)
        vf_store(x + j, vf_activate(activation, vf_load(x + j)));
    if (j < n)
        vf_store_part(x + j, vf_activate(activation, vf_load_part(x + j, n - j)), n - j);
}

static void activate(int activation, int64_t n, float *x)
{
    switch (activation) {
#define CASE(name)                      \
    case name:                          \
        activate_with(name, n, x);      \
        break;
        CASE(ERNIEM_GELU)
        CASE(ERNIEM_GELU_CLIPPED)
        CASE(ERNIEM_GELU_TANH)
        CASE(ERNIEM_LAPLACE)
        CASE(ERNIEM_LEAKY_RELU)
        CASE(ERNIEM_MISH)
        CASE(ERNIEM_QUICK_GELU)
        CASE(ERNIEM_RELU)
        CASE(ERNIEM_RELU_SQUARED)
        CASE(ERNIEM_RELU6)
        CASE(ERNIEM_SIGMOID)
        CASE(ERNIEM_SILU)
        CASE(ERNIEM_TANH)
#undef CASE
    }
}

/* ---- rows ---- */

static void softmax(int64_t n, float scale, float *x)
{
    const int64_t whole = n - n % VW, rest = n - whole;
    vf top = vf_set1(x[0]);
    for (int64_t j = 0; j < whole; j += VW)
        top = vf_max(top, vf_load(x + j));
    float highest = vf_highest(top);
    for (int64_t j = whole; j < n; j++)
        highest = highest > x[j] ? highest : x[j];

    const vf shift = vf_set1(highest);
    vf sums = vf_set1(0.0f);
    for (int64_t j = 0; j < whole; j += VW) {
        const vf e = vf_exp(vf_sub(vf_load(x + j), shift));
        vf_store(x + j, e);
        sums = vf_add(sums, e);
    }
    float sum = vf_sum(sums);
    if (rest) {
        vf_store_part(x + whole, vf_exp(vf_sub(vf_load_part(x + whole, rest), shift)), rest);
        for (int64_t j = whole; j < n; j++)
            sum += x[j];
    }

    const float each = scale / sum;
    const vf factor = vf_set1(each);
    for (int64_t j = 0; j < whole; j += VW)
        vf_store(x + j, vf_mul(vf_load(x + j), factor));
    for (int64_t j = whole; j < n; j++)
        x[j] *= each;
}

static void norm(int64_t d, const float *x, const float *add, const float *weight,
                 const float *bias, float eps, float *y)
{
    const int64_t whole = d - d % VW, rest = d - whole;
    const vf none = vf_set1(0.0f);

    vf sums = none;
    for (int64_t j = 0; j < whole; j += VW) {
        const vf v = vf_load(x + j);
        const vf total = add ? vf_add(v, vf_load(add + j)) : v;
        vf_store(y + j, total);
        sums = vf_add(sums, total);
    }
    float sum = vf_sum(sums);
    for (int64_t j = whole; j < d; j++) {
        y[j] = add ? x[j] + add[j] : x[j];
        sum += y[j];
    }
    const float mean = sum / (float)d;
    const vf means = vf_set1(mean);

    sums = none;
    for (int64_t j = 0; j < whole; j += VW) {
        const vf away = vf_sub(vf_load(y + j), means);
        sums = vf_fma(away, away, sums);
    }
    float squares = vf_sum(sums);
    for (int64_t j = whole; j < d; j++)
        squares += (y[j] - mean) * (y[j] - mean);
    const vf scale = vf_set1(1.0f / sqrtf(squares / (float)d + eps));

    for (int64_t j = 0; j < whole; j += VW) {
        const vf unit = vf_mul(vf_sub(vf_load(y + j), means), scale);
        vf_store(y + j, vf_fma(unit, vf_load(weight + j), vf_load(bias + j)));
    }
    if (rest) {
        const vf unit = vf_mul(vf_sub(vf_load_part(y + whole, rest), means), scale);
        const vf w = vf_load_part(weight + whole, rest), b = vf_load_part(bias + whole, rest);
        vf_store_part(y + whole, vf_fma(unit, w, b), rest);
    }
}

static float peak(int64_t rounds)
{
    vf sum[MR][NV];
    const vf factor = vf_set1(0.999999f), term = vf_set1(1e-6f);
    UNROLLED for (int r = 0; r < MR; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vf_set1((float)(r * NV + v));
    for (int64_t i = 0; i < rounds; i++)
        UNROLLED for (int r = 0; r < MR; r++)
            UNROLLED for (int v = 0; v < NV; v++)
                sum[r][v] = vf_fma(sum[r][v], factor, term);
    vf total = vf_set1(0.0f);
    UNROLLED for (int r = 0; r < MR; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            total = vf_add(total, sum[r][v]);
    return vf_sum(total);
}

const struct erniem_micro MICRO(erniem_micro) = {
    MICRO_NAME, MR, NV * VW, tile, activate, softmax, norm, peak,
};
