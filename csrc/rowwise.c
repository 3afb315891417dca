/* Row by row: residual + layer norm, embeddings, activations. */

#include <math.h>
#include <string.h>

#include "internal.h"

/* Numbers below which a second thread is not worth waking. */
enum { SMALL = 1 << 14 };

enum { TOGETHER = 4 }; /* rows that one call of a micro-kernel norms */

int erniem_add_norm_reference(int64_t n, int64_t d, const float *x, const float *residual,
                              const float *weight, const float *bias, float eps, float *y)
{
    for (int64_t i = 0; i < n * d; i += d) {
        double mean = 0.0, variance = 0.0;
        for (int64_t j = 0; j < d; j++) {
            y[i + j] = residual ? x[i + j] + residual[i + j] : x[i + j];
            mean += y[i + j] / (double)d;
        }
        for (int64_t j = 0; j < d; j++)
            variance += (y[i + j] - mean) * (y[i + j] - mean) / (double)d;
        for (int64_t j = 0; j < d; j++)
            y[i + j] = (float)((y[i + j] - mean) / sqrt(variance + eps) * weight[j] + bias[j]);
    }
    return 0;
}

/* Rows that one task takes, so that it has about SMALL numbers. */
static int64_t rows_per_task(int64_t d) { return erniem_max(1, SMALL / erniem_max(1, d)); }

/* The numbers of row i of a table of any kind, in float32; exact but for the product of int8. */
static void widen_row(const struct erniem_table *table, int64_t i, int64_t d, float *y)
{
    const uint16_t *half = (const uint16_t *)table->rows + i * d;
    const int8_t *eighth = (const int8_t *)table->rows + i * d;
    switch (table->kind) {
    case ERNIEM_ROWS_INT8:
        for (int64_t j = 0; j < d; j++)
            y[j] = (float)eighth[j] * table->scale[i];
        break;
    case ERNIEM_ROWS_BFLOAT16:
        for (int64_t j = 0; j < d; j++) {
            const uint32_t bits = (uint32_t)half[j] << 16;
            memcpy(y + j, &bits, sizeof bits);
        }
        break;
    case ERNIEM_ROWS_FLOAT16:
        for (int64_t j = 0; j < d; j++) {
            /* The exponent is 112 too low, also of numbers without a leading 1; infinity and NaN
               have the highest one. */
            const uint32_t magnitude = (uint32_t)(half[j] & 0x7fff) << 13;
            float value;
            memcpy(&value, &magnitude, sizeof value);
            value *= 0x1p112f;
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            bits |= (magnitude >= 0x0f800000u ? 0x7f800000u : 0u) | (uint32_t)(half[j] >> 15) << 31;
            memcpy(y + j, &bits, sizeof bits);
        }
        break;
    }
}

struct norm {
    const struct erniem_micro *micro;
    int64_t n, d;
    const float *x, *residual, *weight, *bias;
    float eps;
    float *y;
    const struct erniem_table *words; /* embed: words and residual are tables, taken by these */
    const int64_t *ids, *rows;
    int64_t period;
};

/* The row that is normed to row i of y. */
static const float *row_of(const struct norm *p, int64_t i)
{
    if (!p->words)
        return p->x + i * p->d;
    if (p->words->kind == ERNIEM_ROWS_FLOAT32)
        return (const float *)p->words->rows + p->ids[i] * p->d;
    widen_row(p->words, p->ids[i], p->d, p->y + i * p->d);
    return p->y + i * p->d;
}

/* Rows i .. end - 1 of y. */
static void norm_rows(const struct norm *p, int64_t i, int64_t end)
{
    const float *x[TOGETHER], *add[TOGETHER];
    float *y[TOGETHER];
    for (int64_t rows; i < end; i += rows) {
        rows = erniem_min(TOGETHER, end - i);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t its = p->words ? p->rows[(i + r) % p->period] : i + r;
            x[r] = row_of(p, i + r);
            add[r] = p->residual ? p->residual + its * p->d : NULL;
            y[r] = p->y + (i + r) * p->d;
        }
        p->micro->rowwise.norm(rows, p->d, x, p->residual ? add : NULL, p->weight, p->bias, p->eps,
                               y);
    }
}

static void norm_some(const void *job, struct erniem_tasks *tasks)
{
    const struct norm *p = job;
    const int64_t step = rows_per_task(p->d);
    for (int64_t task; (task = erniem_take(tasks)) >= 0;)
        norm_rows(p, task * step, erniem_min(p->n, (task + 1) * step));
}

static int run_norm(const struct norm *job)
{
    if (!erniem_fits(job->n, job->d, 1) || job->d == 0)
        return ERNIEM_BAD_SIZE;
    return erniem_parallel(erniem_ceil_div(job->n, rows_per_task(job->d)), norm_some, job);
}

/* The job of erniem_add_norm. */
static struct norm plain_norm(int64_t n, int64_t d, const float *x, const float *residual,
                              const float *weight, const float *bias, float eps, float *y)
{
    return (struct norm){erniem_micro(), n, d, x, residual, weight, bias, eps, y,
                         NULL, NULL, NULL, 1};
}

void erniem_norm_here(int64_t n, int64_t d, const float *x, const float *residual,
                      const float *weight, const float *bias, float eps, float *y)
{
    const struct norm job = plain_norm(n, d, x, residual, weight, bias, eps, y);
    norm_rows(&job, 0, n);
}

int erniem_add_norm(int64_t n, int64_t d, const float *x, const float *residual,
                    const float *weight, const float *bias, float eps, float *y)
{
    const struct norm job = plain_norm(n, d, x, residual, weight, bias, eps, y);
    return run_norm(&job);
}

int erniem_embed(int64_t n, int64_t d, const int64_t *ids, const struct erniem_table *words,
                 const int64_t *rows, int64_t period, const float *positions, const float *weight,
                 const float *bias, float eps, float *y)
{
    if (period < 1 || words->kind < ERNIEM_ROWS_FLOAT32 || words->kind > ERNIEM_ROWS_INT8)
        return ERNIEM_BAD_SIZE;
    /* x is y: a base that nothing is read from, but that i * d may be added to */
    const struct norm job = {erniem_micro(), n, d, y, positions, weight, bias, eps, y,
                             words, ids, rows, period};
    return run_norm(&job);
}

/* Each formula of activations.py in double precision, by the C library. */
static double activated(int activation, double x)
{
    switch (activation) {
    case ERNIEM_GELU:
        return x * 0.5 * erfc(-x / sqrt(2.0));
    case ERNIEM_GELU_CLIPPED:
        return fmin(10.0, fmax(-10.0, x * 0.5 * erfc(-x / sqrt(2.0))));
    case ERNIEM_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ERNIEM_LAPLACE:
        return 0.5 * erfc(-(x - 0.707107) / (0.282095 * sqrt(2.0)));
    case ERNIEM_LEAKY_RELU:
        return x > 0.0 ? x : 0.01 * x;
    case ERNIEM_MISH:
        return x * tanh(x > 30.0 ? x : log1p(exp(x)));
    case ERNIEM_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case ERNIEM_RELU:
        return fmax(0.0, x);
    case ERNIEM_RELU_SQUARED:
        return fmax(0.0, x) * fmax(0.0, x);
    case ERNIEM_RELU6:
        return fmin(6.0, fmax(0.0, x));
    case ERNIEM_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case ERNIEM_SILU:
        return x / (1.0 + exp(-x));
    case ERNIEM_TANH:
        return tanh(x);
    default:
        return x;
    }
}

int erniem_activate_reference(int activation, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = isnan(x[i]) ? x[i] : (float)activated(activation, x[i]);
    return 0;
}

int erniem_activate(int activation, int64_t n, float *x)
{
    if (n < 0 || activation < 0 || activation >= ERNIEM_ACTIVATIONS)
        return ERNIEM_BAD_SIZE;
    erniem_micro()->rowwise.activate(activation, 1, n, n, x);
    return 0;
}
