/* Two products in bfloat16, an activation between them. The results of the first are rounded when they
   are made, while they are in the first-level cache: each becomes a step of a row that the second
   product reads. */

#include "gemm.h"

static int multiply_both(int64_t m, const float *x, const struct erniem_packed *first,
                         const float *first_bias, int activation, const struct erniem_packed *second,
                         const float *second_bias, const struct erniem_norm *norm, float *y)
{
    if (first->number != ERNIEM_BFLOAT16 || second->number != ERNIEM_BFLOAT16 ||
        first->n != second->k || activation < 0 || activation >= ERNIEM_ACTIVATIONS ||
        !erniem_fits(m + ERNIEM_ROWS_TOGETHER, erniem_max(first->k, first->n), 8) ||
        !erniem_fits(m, second->n, 1))
        return ERNIEM_BAD_SIZE;
    if (m == 0)
        return 0;
    const int64_t rows = erniem_ceil_div(m, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    unsigned char *wide = erniem_acquire(rows * erniem_row_bytes(first->number, first->n));
    if (!wide)
        return ERNIEM_NO_MEMORY;
    const struct erniem_product widen = {.micro = erniem_micro(), .count = 1, .m = m,
                                         .n = first->n, .k = first->k, .panels = first->panels,
                                         .x = x, .packed = &first, .bias = &first_bias,
                                         .activation = activation, .narrowed = wide};
    const struct erniem_product back = {.micro = widen.micro, .count = 1, .m = m, .n = second->n,
                                        .k = second->k, .panels = second->panels, .rows = wide,
                                        .packed = &second, .bias = &second_bias,
                                        .activation = ERNIEM_IDENTITY, .y = &y, .norm = norm};
    int status = erniem_multiply_narrow(&widen);
    if (status == 0)
        status = erniem_multiply_narrow(&back);
    erniem_release(wide);
    return status;
}

int erniem_mlp(int64_t m, const float *x, const struct erniem_packed *first, const float *first_bias,
               int activation, const struct erniem_packed *second, const float *second_bias, float *y)
{
    return multiply_both(m, x, first, first_bias, activation, second, second_bias, NULL, y);
}

int erniem_mlp_add_norm(int64_t m, const float *x, const struct erniem_packed *first,
                        const float *first_bias, int activation, const struct erniem_packed *second,
                        const float *second_bias, const float *residual, const float *norm_weight,
                        const float *norm_bias, float eps, float *y)
{
    const struct erniem_norm norm = {residual, norm_weight, norm_bias, eps};
    return multiply_both(m, x, first, first_bias, activation, second, second_bias, &norm, y);
}
