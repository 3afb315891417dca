/* Two products, an activation between them. In float32 many rows pass through both products, ERNIEM_KC
   wide columns at a time. In bfloat16 the results of the first are rounded when they are made, while they
   are in the first-level cache: each becomes a step of a row that the second product reads. */

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

enum {
    MOST_ROWS = 90, /* of a task. With ERNIEM_KC columns they fill 283 KB of a second-level cache */
    FEWEST_ROWS = 32
};

/* Rows that pass through both products. */
struct pass {
    const struct two_products *products;
    int64_t block_rows, copies; /* copies: k blocks of x that are copied, or 0 */
};

/* ERNIEM_KC results of the first product are one k block of the second. Only so many exist at a time, in
   a cache; the sums are added in the order of two whole products. */
static void pass_rows(const struct pass *p, int64_t row0, int64_t rows, float *wide, float *copy)
{
    const struct two_products *t = p->products;
    const struct erniem_packed *first = t->first, *second = t->second;
    const int64_t k = first->k, panels = ERNIEM_KC / first->micro->gemm.nr;
    const float *x = t->x + row0 * k;
    struct erniem_panels to_wide = {.w = first, .rows = rows, .bias = t->first_bias,
                                    .activation = t->activation, .y = wide, .ldy = ERNIEM_STRIDE};
    struct erniem_panels back = {.w = second, .end = second->panels, .rows = rows, .a = wide,
                                 .lda = ERNIEM_STRIDE, .bias = t->second_bias,
                                 .activation = ERNIEM_IDENTITY, .y = t->y + row0 * second->n,
                                 .ldy = second->n};
    for (int64_t b = 0; b < p->copies; b++)
        erniem_copy_rows(rows, k, b, x, copy + b * p->block_rows * ERNIEM_STRIDE);
    for (; back.block == 0 || back.block * ERNIEM_KC < second->k; back.block++) {
        to_wide.first = back.block * panels;
        to_wide.end = erniem_min(first->panels, to_wide.first + panels);
        for (int64_t b = 0; b == 0 || b * ERNIEM_KC < k; b++) {
            to_wide.block = b;
            to_wide.a = p->copies ? copy + b * p->block_rows * ERNIEM_STRIDE : x;
            to_wide.lda = p->copies ? ERNIEM_STRIDE : k;
            to_wide.next = (b + 1) * ERNIEM_KC < k ? erniem_panel(first, b + 1, to_wide.first)
                                                   : erniem_panel(second, back.block, 0);
            erniem_multiply_panels(&to_wide);
        }
        back.next = erniem_panel(first, 0, to_wide.end < first->panels ? to_wide.end : 0);
        erniem_multiply_panels(&back);
    }
    if (t->norm)
        erniem_norm_rows(t->norm, second->n, row0, rows, t->y);
}

static void pass_some(const void *job, struct erniem_tasks *tasks)
{
    const struct pass *p = job;
    const int64_t block = p->block_rows * ERNIEM_STRIDE;
    float *wide = erniem_acquire((1 + p->copies) * block * (int64_t)sizeof(float));
    if (!wide)
        return;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task * p->block_rows;
        pass_rows(p, row0, erniem_min(p->block_rows, p->products->m - row0), wide, wide + block);
    }
    erniem_release(wide);
}

static int multiply_in_one_pass(const struct two_products *t)
{
    const int64_t threads = erniem_get_threads(), k = t->first->k;
    const int64_t blocks = erniem_ceil_div(erniem_ceil_div(t->m, MOST_ROWS), threads) * threads;
    const struct pass p = {t, erniem_ceil_div(t->m, blocks),
                           erniem_fits_in_place(k) ? 0 : erniem_ceil_div(k, ERNIEM_KC)};
    return erniem_parallel(erniem_ceil_div(t->m, p.block_rows), pass_some, &p);
}

/* Whether one pass takes it: with few rows for a thread, the threads rather share the weights. */
static int is_one_pass(const struct two_products *t)
{
    const struct erniem_micro *micro = erniem_micro();
    return t->m >= FEWEST_ROWS * erniem_get_threads() && t->first->number == ERNIEM_FLOAT32 &&
           t->second->number == ERNIEM_FLOAT32 && t->first->micro == micro &&
           t->second->micro == micro &&
           (t->independent || erniem_get_strassen() == ERNIEM_STRASSEN_OFF);
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
    if (is_one_pass(t))
        return multiply_in_one_pass(t);
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
