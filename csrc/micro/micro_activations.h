/* The activations that are made of powers. Part of micro_body.h. */

#include "micro_exp.h"

/* Vectors that are computed side by side, a step of all before the next step of one: a step waits for the
   step before it, and a processor looks only so far ahead for other work. */
enum { SIDE_BY_SIDE = VW == 16 ? 8 : 4 };
#define EACH_VECTOR(n) UNROLLED for (int i = 0; i < (n); i++)

/* a[i] becomes P(X > a[i]) of the standard normal distribution for 0 <= a[i] <= 6: `upper_tail` in
   activations.py, as a power of 2. The coefficients are printed by benchmarks/fit_gelu.py. 2^r for
   |r| <= 1/2 errs by 1e-7 of itself, and the tail is at most 1/2. */
INLINE void vf_upper_tails(const int n, vf *a)
{
    static const float to_power[] = {-5.06748e-06f, 4.7833324e-05f, -0.00019926265f, -0.00013426568f,
                                     0.007078548f, -0.052513096f, -0.4592015f, -1.1511061f, -1.0f};
    static const float of_2[] = {0.009671513f, 0.055507336f, 0.24022242f, 0.693147f, 1.0f};
    vf power[SIDE_BY_SIDE], whole[SIDE_BY_SIDE], p[SIDE_BY_SIDE];
    EACH_VECTOR(n) power[i] = vf_set1(2.1356382e-07f);
    UNROLLED for (int c = 0; c < 9; c++)
        EACH_VECTOR(n) power[i] = vf_fma(power[i], a[i], vf_set1(to_power[c]));
    EACH_VECTOR(n) whole[i] = vf_round(power[i]);
    EACH_VECTOR(n) power[i] = vf_sub(power[i], whole[i]);
    EACH_VECTOR(n) p[i] = vf_set1(0.0013264727f);
    UNROLLED for (int c = 0; c < 5; c++)
        EACH_VECTOR(n) p[i] = vf_fma(p[i], power[i], vf_set1(of_2[c]));
    EACH_VECTOR(n) a[i] = vf_scale(p[i], whole[i]);
}

INLINE vf vf_upper_tail(vf a)
{
    vf_upper_tails(1, &a);
    return a;
}

INLINE void vf_gelus(const int n, vf *x)
{
    vf tail[SIDE_BY_SIDE];
    EACH_VECTOR(n) tail[i] = vf_min(vf_set1(6.0f), vf_abs(x[i]));
    vf_upper_tails(n, tail);
    EACH_VECTOR(n) {
        const vf size = vf_min(vf_set1(6.0f), vf_abs(x[i]));
        x[i] = vf_sub(vf_max(vf_set1(0.0f), x[i]), vf_mul(size, tail[i]));
    }
}

INLINE vf vf_gelu(vf x)
{
    vf_gelus(1, &x);
    return x;
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

INLINE void activate_places(const int activation, const int n, float *const *place)
{
    vf x[SIDE_BY_SIDE];
    EACH_VECTOR(n) x[i] = vf_load(place[i]);
    if (activation == ERNIEM_GELU)
        vf_gelus(n, x);
    else
        EACH_VECTOR(n) x[i] = vf_activate(activation, x[i]);
    EACH_VECTOR(n) vf_store(place[i], x[i]);
}

INLINE void activate_with(const int activation, int64_t rows, int64_t n, int64_t stride, float *x)
{
    float *place[SIDE_BY_SIDE];
    int count = 0;
    for (int64_t r = 0; r < rows; r++, x += stride) {
        int64_t j = 0;
        for (; j + VW <= n; j += VW) {
            place[count++] = x + j;
            if (count == SIDE_BY_SIDE)
                activate_places(activation, count, place), count = 0;
        }
        if (j < n)
            vf_store_part(x + j, vf_activate(activation, vf_load_part(x + j, n - j)), n - j);
    }
    for (int i = 0; i < count; i++)
        activate_places(activation, 1, place + i);
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
