/* The activations that are made of powers. Part of micro_body.h. */

#include "micro_exp.h"

/* P(X > a) of the standard normal distribution for 0 <= a <= 6: `upper_tail` in activations.py, as a
   power of 2. The coefficients are printed by benchmarks/fit_gelu.py. 2^r for |r| <= 1/2 errs by 1e-7
   of itself, and the tail is at most 1/2. */
INLINE vf vf_upper_tail(vf a)
{
    vf q = vf_set1(2.1356382e-07f);
    q = vf_fma(q, a, vf_set1(-5.06748e-06f));
    q = vf_fma(q, a, vf_set1(4.7833324e-05f));
    q = vf_fma(q, a, vf_set1(-0.00019926265f));
    q = vf_fma(q, a, vf_set1(-0.00013426568f));
    q = vf_fma(q, a, vf_set1(0.007078548f));
    q = vf_fma(q, a, vf_set1(-0.052513096f));
    q = vf_fma(q, a, vf_set1(-0.4592015f));
    q = vf_fma(q, a, vf_set1(-1.1511061f));
    q = vf_fma(q, a, vf_set1(-1.0f));
    const vf n = vf_round(q), r = vf_sub(q, n);
    vf p = vf_set1(0.0013264727f);
    p = vf_fma(p, r, vf_set1(0.009671513f));
    p = vf_fma(p, r, vf_set1(0.055507336f));
    p = vf_fma(p, r, vf_set1(0.24022242f));
    p = vf_fma(p, r, vf_set1(0.693147f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_scale(p, n);
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
        const vf tail = vf_upper_tail(vf_min(vf_set1(6.0f), vf_abs(z)));
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

INLINE void activate_with(const int activation, int64_t rows, int64_t n, int64_t stride, float *x)
{
    for (int64_t r = 0; r < rows; r++, x += stride) {
        int64_t j = 0;
        for (; j + VW <= n; j += VW)
            vf_store(x + j, vf_activate(activation, vf_load(x + j)));
        if (j < n)
            vf_store_part(x + j, vf_activate(activation, vf_load_part(x + j, n - j)), n - j);
    }
}

static void activate(int activation, int64_t rows, int64_t n, int64_t stride, float *x)
{
    switch (activation) {
#define CASE(name)                                 \
    case name:                                     \
        activate_with(name, rows, n, stride, x);   \
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
