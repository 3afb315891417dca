/* Two products, an activation between them. Many rows pass through both of them some at a time, so that
   the wide results stay in a cache: in float32 ERNIEM_KC wide columns at a time, in other number types
   whole rows. In bfloat16 the results of the first product are rounded when they are made, while they are
   in the first-level cache: each becomes a step of a row that the second product reads. */

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

/* Both products of some rows. The results of the first lie in `wide`: float32, or rows of bfloat16. */
struct both {
    struct erniem_product widen, back;
    float *wide, *y;
};

/* The products of rows row0 .. row0 + m - 1, with `wide` between them. They point into `both`, which must
   stay where it is. */
static void connect(const struct two_products *t, int64_t row0, int64_t m, unsigned char *wide,
                    struct both *both)
{
    const struct erniem_packed *first = t->first, *second = t->second;
    both->wide = (float *)(void *)wide;
    both->y = t->y + row0 * second->n;
    both->widen = (struct erniem_product){.micro = erniem_micro(), .count = 1, .m = m, .n = first->n,
                                          .k = first->k, .panels = first->panels,
                                          .x = t->x + row0 * first->k, .packed = &t->first,
                                          .bias = &t->first_bias, .activation = t->activation};
    both->back = (struct erniem_product){.micro = erniem_micro(), .count = 1, .m = m, .n = second->n,
                                         .k = second->k, .panels = second->panels,
                                         .packed = &t->second, .bias = &t->second_bias,
                                         .activation = ERNIEM_IDENTITY, .y = &both->y};
    if (second->number == ERNIEM_BFLOAT16) {
        both->widen.narrowed = wide;
        both->back.rows = wide;
    } else {
        both->widen.y = &both->wide;
        both->back.x = both->wide;
    }
}

/* Bytes of a row of wide results. */
static int64_t wide_row(const struct two_products *t)
{
    const int64_t n = t->first->n;
    return t->second->number == ERNIEM_BFLOAT16 ? erniem_row_bytes(ERNIEM_BFLOAT16, n) : 4 * n;
}

static int64_t wide_bytes(const struct two_products *t, int64_t rows)
{
    rows = erniem_ceil_div(rows, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    return erniem_ceil_div(rows * wide_row(t), 64) * 64;
}

static int multiply_both_narrow(const struct two_products *t)
{
    struct both both;
    unsigned char *wide = erniem_acquire(wide_bytes(t, t->m));
    if (!wide)
        return ERNIEM_NO_MEMORY;
    connect(t, 0, t->m, wide, &both);
    both.back.norm = t->norm;
    int status = erniem_multiply_narrow(&both.widen);
    if (status == 0)
        status = erniem_multiply_narrow(&both.back);
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
    MOST_ROWS = 90,           /* of a task; with ERNIEM_KC columns they fill 283 KB of a cache */
    FEWEST_ROWS = 32,         /* for a thread; with fewer, the threads rather share the weights, */
    FEWEST_NARROW_ROWS = 128, /* which counts more where products take less time */
    WIDE_BYTES = 1 << 20      /* of whole rows of a task, at most */
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

/* The same with other number types, and whole wide rows: a row of eight bits is rounded by its largest
   number. */
static void pass_narrow_rows(const void *job, struct erniem_tasks *tasks)
{
    const struct pass *p = job;
    const struct two_products *t = p->products;
    unsigned char *wide = erniem_acquire(wide_bytes(t, p->block_rows));
    struct both both;
    connect(t, 0, p->block_rows, wide, &both);
    const int64_t first_bytes = erniem_narrow_scratch(&both.widen, p->block_rows);
    const int64_t second_bytes = erniem_narrow_scratch(&both.back, p->block_rows);
    unsigned char *scratch = erniem_acquire(erniem_max(first_bytes, second_bytes));
    for (int64_t task; wide && scratch && (task = erniem_take(tasks)) >= 0;) {
        const int64_t row0 = task * p->block_rows, rows = erniem_min(p->block_rows, t->m - row0);
        connect(t, row0, rows, wide, &both);
        erniem_multiply_narrow_here(&both.widen, t->second, scratch);
        erniem_multiply_narrow_here(&both.back, t->first, scratch);
        if (t->norm)
            erniem_norm_rows(t->norm, t->second->n, row0, rows, t->y);
    }
    erniem_release(scratch);
    erniem_release(wide);
}

static int multiply_in_one_pass(const struct two_products *t)
{
    const int is_float32 = t->first->number == ERNIEM_FLOAT32;
    const int64_t threads = erniem_get_threads(), k = t->first->k;
    const int64_t most = is_float32 ? MOST_ROWS : erniem_max(1, WIDE_BYTES / wide_row(t));
    const int64_t blocks = erniem_ceil_div(erniem_ceil_div(t->m, most), threads) * threads;
    const struct pass p = {t, erniem_ceil_div(t->m, blocks),
                           erniem_fits_in_place(k) ? 0 : erniem_ceil_div(k, ERNIEM_KC)};
    return erniem_parallel(erniem_ceil_div(t->m, p.block_rows),
                           is_float32 ? pass_some : pass_narrow_rows, &p);
}

/* Whether one pass takes it. Kernels with `begin`, those of AMX, are too fast to read weights so often. */
static int is_one_pass(const struct two_products *t)
{
    const int number = t->first->number;
    const int64_t fewest = number == ERNIEM_FLOAT32 ? FEWEST_ROWS : FEWEST_NARROW_ROWS;
    if (number != t->second->number || t->m < fewest * erniem_get_threads())
        return 0;
    if (erniem_narrow(number))
        return !erniem_narrow(number)->begin;
    return erniem_is_current(t->first) && erniem_is_current(t->second) &&
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
    if (is_one_pass(t))
        return multiply_in_one_pass(t);
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
