/* Gradients, and the update of weights. Part of micro_body.h. */

enum { VECTORS_ACROSS = (MR + VW - 1) / VW };

/* A row of a tile is stored as whole vectors. What is too much is overwritten by the next row. */
static void lay_across(int64_t k, int64_t rows, int64_t share, const float *from, int64_t stride,
                       float *to)
{
    for (int64_t l = 0; l < k; l++, from += stride, to += MR) {
        float *tile = to;
        for (int64_t r = 0; r < rows; r += share, tile += k * MR) {
            const int64_t n = rows - r < share ? rows - r : share;
            vf_prefetch(from + r + 16 * stride);
            UNROLLED for (int v = 0; v < VECTORS_ACROSS; v++) {
                const vf x = load_up_to(from + r + v * VW, n - v * VW);
                if (l + 1 < k)
                    vf_store(tile + v * VW, x);
                else
                    store_up_to(tile + v * VW, x, n - v * VW);
            }
        }
    }
}

static void sum_across(int64_t k, int64_t n, const float *tile, float *sums)
{
    vf sum[VECTORS_ACROSS];
    float total[VECTORS_ACROSS * VW];
    UNROLLED for (int v = 0; v < VECTORS_ACROSS; v++)
        sum[v] = vf_set1(0.0f);
    for (int64_t l = 0; l < k; l++, tile += MR)
        UNROLLED for (int v = 0; v < VECTORS_ACROSS; v++)
            sum[v] = vf_add(sum[v], load_up_to(tile + v * VW, n - v * VW));
    UNROLLED for (int v = 0; v < VECTORS_ACROSS; v++)
        vf_store(total + v * VW, sum[v]);
    for (int64_t r = 0; r < n; r++)
        sums[r] += total[r];
}

/* The normal density times its width: e^(-x^2 / 2) / sqrt(2 pi). */
INLINE vf vf_density(vf x)
{
    return vf_mul(vf_set1(0.3989422804f), vf_exp(vf_mul(vf_set1(-0.5f), vf_mul(x, x))));
}

/* P(X < x) + x density(x). */
INLINE vf vf_gelu_gradient(vf x)
{
    const vf tail = vf_upper_tail(vf_min(vf_set1(6.0f), vf_abs(x)));
    const vf below = vf_if_less(x, vf_set1(0.0f), tail, vf_sub(vf_set1(1.0f), tail));
    return vf_fma(x, vf_density(x), below);
}

/* dy/dx of the activations, the formulas of training/activation_gradients.py. `activation` is
   constant where inlined. */
INLINE vf vf_gradient(const int activation, vf x)
{
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    switch (activation) {
    case ERNIEM_GELU:
        return vf_gelu_gradient(x);
    case ERNIEM_GELU_CLIPPED:
        return vf_if_less(vf_set1(10.0f), vf_abs(x), zero, vf_gelu_gradient(x));
    case ERNIEM_GELU_TANH: {
        const vf root = vf_set1(0.7978845608f), square = vf_mul(x, x), half = vf_set1(0.5f);
        const vf inner = vf_mul(vf_mul(vf_set1(0.044715f), square), x);
        const vf t = vf_tanh(vf_mul(root, vf_add(x, inner)));
        const vf inside = vf_mul(root, vf_fma(vf_set1(0.134145f), square, one));
        const vf rest = vf_mul(vf_mul(half, x), vf_sub(one, vf_mul(t, t)));
        return vf_fma(rest, inside, vf_mul(half, vf_add(one, t)));
    }
    case ERNIEM_LAPLACE: {
        const vf z = vf_div(vf_sub(x, vf_set1(0.707107f)), vf_set1(0.282095f));
        return vf_div(vf_density(z), vf_set1(0.282095f));
    }
    case ERNIEM_LEAKY_RELU:
        return vf_if_less(zero, x, one, vf_set1(0.01f));
    case ERNIEM_MISH: { /* the tanh as in vf_activate */
        const vf e = vf_exp(vf_min(vf_set1(20.0f), x)), n = vf_mul(e, vf_add(e, vf_set1(2.0f)));
        const vf t = vf_div(n, vf_add(n, vf_set1(2.0f)));
        return vf_fma(vf_mul(x, vf_sub(one, vf_mul(t, t))), vf_sigmoid(x), t);
    }
    case ERNIEM_QUICK_GELU: {
        const vf factor = vf_set1(1.702f), s = vf_sigmoid(vf_mul(factor, x));
        return vf_fma(vf_mul(vf_mul(factor, x), s), vf_sub(one, s), s);
    }
    case ERNIEM_RELU:
        return vf_if_less(zero, x, one, zero);
    case ERNIEM_RELU_SQUARED:
        return vf_mul(vf_set1(2.0f), vf_max(zero, x));
    case ERNIEM_RELU6:
        return vf_if_less(zero, x, vf_if_less(x, vf_set1(6.0f), one, zero), zero);
    case ERNIEM_SIGMOID: {
        const vf s = vf_sigmoid(x);
        return vf_mul(s, vf_sub(one, s));
    }
    case ERNIEM_SILU: {
        const vf s = vf_sigmoid(x);
        return vf_fma(vf_mul(x, s), vf_sub(one, s), s);
    }
    case ERNIEM_TANH: {
        const vf t = vf_tanh(x);
        return vf_sub(one, vf_mul(t, t));
    }
    default:
        return one;
    }
}

INLINE void activation_backward_of(const int activation, int64_t n, const float *dy, const float *z,
                                   float *dz)
{
    int64_t j = 0;
    for (; j + VW <= n; j += VW)
        vf_store(dz + j, vf_mul(vf_load(dy + j), vf_gradient(activation, vf_load(z + j))));
    if (j < n)
        vf_store_part(dz + j, vf_mul(vf_load_part(dy + j, n - j),
                                     vf_gradient(activation, vf_load_part(z + j, n - j))), n - j);
}

static void activation_backward(int activation, int64_t n, const float *dy, const float *z,
                                float *dz)
{
    switch (activation) {
#define CASE(name)                                   \
    case name:                                       \
        activation_backward_of(name, n, dy, z, dz);  \
        break;
        CASE(ERNIEM_IDENTITY)
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

static void norm_backward(int64_t d, const float *x, const float *add, const float *weight, float eps,
                          const float *dy, float *dv, float *dweight, float *dbias)
{
    const vf none = vf_set1(0.0f), each = vf_set1(1.0f / (float)d);
    vf sums = none, squares = none, shift = none, along = none;
    for (int64_t j = 0; j < d; j += VW) {
        const vf own = load_up_to(x + j, d - j);
        const vf v = add ? vf_add(own, load_up_to(add + j, d - j)) : own;
        store_up_to(dv + j, v, d - j);
        sums = vf_add(sums, v);
    }
    const float mean = vf_sum(sums) / (float)d;
    const vf means = vf_set1(mean);
    for (int64_t j = 0; j + VW <= d; j += VW) {
        const vf away = vf_sub(vf_load(dv + j), means);
        squares = vf_fma(away, away, squares);
    }
    float square = vf_sum(squares);
    for (int64_t j = d - d % VW; j < d; j++)
        square += (dv[j] - mean) * (dv[j] - mean);
    const vf scale = vf_set1(1.0f / sqrtf(square / (float)d + eps));
    for (int64_t j = 0; j < d; j += VW) { /* dv holds n = (v - mean) scale from here on */
        const int64_t rest = d - j;
        const vf n = vf_mul(vf_sub(load_up_to(dv + j, rest), means), scale);
        const vf up = load_up_to(dy + j, rest), product = vf_mul(up, n);
        const vf gamma = load_up_to(weight + j, rest);
        store_up_to(dv + j, n, rest);
        store_up_to(dweight + j, vf_add(load_up_to(dweight + j, rest), product), rest);
        store_up_to(dbias + j, vf_add(load_up_to(dbias + j, rest), up), rest);
        shift = vf_fma(up, gamma, shift);
        along = vf_fma(product, gamma, along);
    }
    shift = vf_mul(vf_set1(vf_sum(shift)), each);
    along = vf_mul(vf_set1(vf_sum(along)), each);
    for (int64_t j = 0; j < d; j += VW) {
        const int64_t rest = d - j;
        const vf g = vf_mul(load_up_to(dy + j, rest), load_up_to(weight + j, rest));
        const vf through = vf_mul(load_up_to(dv + j, rest), along);
        store_up_to(dv + j, vf_mul(vf_sub(vf_sub(g, shift), through), scale), rest);
    }
}

static double cross_entropy(int64_t n, int64_t label, float share, float *x)
{
    vf top = vf_set1(x[0]), sums = vf_set1(0.0f);
    for (int64_t j = 0; j + VW <= n; j += VW)
        top = vf_max(top, vf_load(x + j));
    float highest = vf_highest(top), sum = 0.0f;
    for (int64_t j = n - n % VW; j < n; j++)
        highest = highest > x[j] ? highest : x[j];
    const float right = x[label] - highest;
    for (int64_t j = 0; j + VW <= n; j += VW) {
        const vf e = vf_exp(vf_sub(vf_load(x + j), vf_set1(highest)));
        vf_store(x + j, e);
        sums = vf_add(sums, e);
    }
    for (int64_t j = n - n % VW; j < n; j += VW) {
        const vf e = vf_exp(vf_sub(vf_load_part(x + j, n - j), vf_set1(highest)));
        vf_store_part(x + j, e, n - j);
    }
    for (int64_t j = n - n % VW; j < n; j++)
        sum += x[j];
    sum += vf_sum(sums);
    const float each = share / sum;
    for (int64_t j = 0; j < n; j += VW)
        store_up_to(x + j, vf_mul(load_up_to(x + j, n - j), vf_set1(each)), n - j);
    x[label] -= share;
    return log(sum) - right;
}

/* x, or 0 where it is nearer to it than 2^-126: computing with such numbers takes a hundred times as
   long. */
INLINE vf vf_normal(vf x) { return vf_if_less(vf_abs(x), vf_set1(0x1p-126f), vf_set1(0.0f), x); }

/* One vector of adamw, in place. */
INLINE void adamw_step(const struct erniem_adamw *step, vf g, vf *w, vf *m, vf *v)
{
    g = vf_mul(g, vf_set1(step->scale));
    *m = vf_normal(
        vf_add(vf_mul(*m, vf_set1(step->first_kept)), vf_mul(vf_set1(step->first_new), g)));
    *v = vf_normal(vf_add(vf_mul(*v, vf_set1(step->second_kept)),
                          vf_mul(vf_mul(g, g), vf_set1(step->second_new))));
    const vf size = vf_add(vf_mul(vf_sqrt(*v), vf_set1(step->correction)), vf_set1(step->eps));
    const vf change = vf_mul(vf_div(*m, size), vf_set1(step->rate));
    *w = vf_sub(vf_mul(*w, vf_set1(step->weight_kept)), change);
}

static void adamw(int64_t n, const struct erniem_adamw *step, const float *g, float *w, float *m,
                  float *v)
{
    int64_t j = 0;
    for (; j + VW <= n; j += VW) {
        vf weight = vf_load(w + j), first = vf_load(m + j), second = vf_load(v + j);
        adamw_step(step, vf_load(g + j), &weight, &first, &second);
        vf_store(w + j, weight);
        vf_store(m + j, first);
        vf_store(v + j, second);
    }
    if (j < n) {
        const int64_t rest = n - j;
        vf weight = vf_load_part(w + j, rest), first = vf_load_part(m + j, rest);
        vf second = vf_load_part(v + j, rest);
        adamw_step(step, vf_load_part(g + j, rest), &weight, &first, &second);
        vf_store_part(w + j, weight, rest);
        vf_store_part(m + j, first, rest);
        vf_store_part(v + j, second, rest);
    }
}
