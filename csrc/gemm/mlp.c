/* Two products, an activation between them. In bfloat16 the results of the first are rounded when they
   are made, while they are in the first-level cache: each becomes a step of a row that the second
   product reads. */

#include "gemm.h"

struct two_products {
    int64_t m;
    const float *x;
    const struct erniem_packed *first, *second;
    const float *first_bias, *second_bias;
    int activation, independent;
    const struct erniem_norm *norm; /* or NULL */
    float *y;
};

static int multiply_both_narrow(const struct two_products *t)
{
    const struct erniem_packed *first = t->first, *second = t->second;
    const int64_t rows = erniem_ceil_div(t->m, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    unsigned char *wide = erniem_acquire(rows * erniem_row_bytes(first->number, first->n));
    if (!wide)
        return ERNIEM_NO_MEMORY;
    const struct erniem_product widen = {.micro = erniem_micro(), .count = 1, .m = t->m,
                                         .n = first->n, .k = first->k, .panels = first->panels,
                                         .x = t->x, .packed = &first, .bias = &t->first_bias,
                                         .activation = t->activation, .narrowed = wide};
    const struct erniem_product back = {.micro = widen.micro, .count = 1, .m = t->m, .n = second->n,
                                        .k = second->k, .panels = second->panels, .rows = wide,
                                        .packed = &second, .bias = &t->second_bias,
                                        .activation = ERNIEM_IDENTITY, .y = &t->y, .norm = t->norm};
    int status = erniem_multiply_narrow(&widen);
    if (status == 0)
        status = erniem_multiply_narrow(&back);
    erniem_release(wide);
    return status;
}

static int multiply_one_by_one(const struct two_products *t)
{
    float *wide = erniem_acquire(t->m * t->first->n * (int64_t)sizeof(float));
    if (!wide)
        return ERNIEM_NO_MEMORY;
    int status = erniem_multiply(1, t->m, t->x, &t->first, &t->first_bias, t->activation,
                                 t->independent, NULL, &wide);
    if (status == 0)
        status = erniem_multiply(1, t->m, wide, &t->second, &t->second_bias, ERNIEM_IDENTITY,
                                 t->independent, t->norm, &t->y);
    erniem_release(wide);
    return status;
}

static int multiply_both(const struct two_products *t)
{
    const struct erniem_packed *first = t->first, *second = t->second;
    if (first->n != second->k || t->activation < 0 || t->activation >= ERNIEM_ACTIVATIONS ||
        !erniem_fits(t->m + ERNIEM_ROWS_TOGETHER, erniem_max(first->k, first->n), 8) ||
        !erniem_fits(t->m, second->n, 1))
        return ERNIEM_BAD_SIZE;
    if (t->m == 0)
        return 0;
    if (first->number == ERNIEM_BFLOAT16 && second->number == ERNIEM_BFLOAT16)
        return multiply_both_narrow(t);
    return multiply_one_by_one(t);
}

int erniem_mlp(int64_t m, const float *x, const struct erniem_packed *first, const float *first_bias,
               int activation, const struct erniem_packed *second, const float *second_bias,
               int independent, float *y)
{
    const struct two_products t = {m, x, first, second, first_bias, second_bias,
                                   activation, independent, NULL, y};
    return multiply_both(&t);
}

int erniem_mlp_add_norm(int64_t m, const float *x, const struct erniem_packed *first,
                        const float *first_bias, int activation, const struct erniem_packed *second,
                        const float *second_bias, int independent, const float *residual,
                        const float *norm_weight, const float *norm_bias, float eps, float *y)
{
    const struct erniem_norm norm = {residual, norm_weight, norm_bias, eps};
    const struct two_products t = {m, x, first, second, first_bias, second_bias,
                                   activation, independent, &norm, y};
    return multiply_both(&t);
}
