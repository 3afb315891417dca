/* Row by row: the gradients of layer norm, and of cross entropy by the scores. */

#include "../runtime/platform.h"

#include <math.h>
#include <string.h>

#include "../internal.h"

/* Rows whose share of dw and db is summed by itself. The shares are then added in order, so the sums
   do not depend on the number of threads. */
enum { ROWS = 64 };

struct norm {
    const struct erniem_micro *micro;
    int64_t n, d;
    const float *x, *residual, *weight, *dy;
    float eps;
    float *dv, *shares; /* shares: dw and db (d) of each block of rows */
};

/* What the row at number i of the arrays reads and writes. */
static void prefetch_row(const struct norm *p, int64_t i)
{
    for (int64_t end = i + p->d; i < end; i += 16) {
        ERNIEM_PREFETCH(p->x + i);
        ERNIEM_PREFETCH(p->dy + i);
        if (p->residual)
            ERNIEM_PREFETCH(p->residual + i);
        ERNIEM_PREFETCH_TO_WRITE(p->dv + i);
    }
}

static void norm_some(const void *job, struct erniem_tasks *tasks)
{
    const struct norm *p = job;
    const int64_t d = p->d;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        float *share = p->shares + task * 2 * d;
        const int64_t end = erniem_min(p->n, (task + 1) * ROWS);
        memset(share, 0, (size_t)(2 * d) * sizeof(float));
        for (int64_t i = task * ROWS * d; i < end * d; i += d) {
            prefetch_row(p, i + d);
            p->micro->training.norm_backward(d, p->x + i, p->residual ? p->residual + i : NULL,
                                             p->weight, p->eps, p->dy + i, p->dv + i, share,
                                             share + d);
        }
    }
}

int erniem_norm_backward(int64_t n, int64_t d, const float *x, const float *residual,
                         const float *weight, float eps, const float *dy, float *dv, float *dw,
                         float *db)
{
    if (n < 1 || d < 1 || !erniem_fits(n, d, 8) || !erniem_fits(n + ROWS, d, 8))
        return ERNIEM_BAD_SIZE;
    const int64_t blocks = erniem_ceil_div(n, ROWS);
    float *shares = erniem_acquire(blocks * 2 * d * (int64_t)sizeof(float));
    if (!shares)
        return ERNIEM_NO_MEMORY;
    const struct norm job = {erniem_micro(), n, d, x, residual, weight, dy, eps, dv, shares};
    const int status = erniem_parallel(blocks, norm_some, &job);
    for (int64_t j = 0; j < d; j++)
        dw[j] = db[j] = 0.0f;
    for (int64_t block = 0; block < blocks && status == 0; block++)
        for (int64_t j = 0; j < d; j++) {
            dw[j] += shares[2 * block * d + j];
            db[j] += shares[(2 * block + 1) * d + j];
        }
    erniem_release(shares);
    return status;
}

int erniem_norm_backward_reference(int64_t n, int64_t d, const float *x, const float *residual,
                                   const float *weight, float eps, const float *dy, float *dv,
                                   float *dw, float *db)
{
    for (int64_t j = 0; j < d; j++)
        dw[j] = db[j] = 0.0f;
    for (int64_t i = 0; i < n * d; i += d) {
        double mean = 0.0, variance = 0.0, shift = 0.0, along = 0.0;
        for (int64_t j = 0; j < d; j++) {
            dv[i + j] = residual ? x[i + j] + residual[i + j] : x[i + j];
            mean += dv[i + j] / (double)d;
        }
        for (int64_t j = 0; j < d; j++)
            variance += (dv[i + j] - mean) * (dv[i + j] - mean) / (double)d;
        const double scale = 1.0 / sqrt(variance + eps);
        for (int64_t j = 0; j < d; j++) {
            const double unit = (dv[i + j] - mean) * scale, g = (double)dy[i + j] * weight[j];
            shift += g / (double)d;
            along += g * unit / (double)d;
            dw[j] += (float)(dy[i + j] * unit);
            db[j] += dy[i + j];
        }
        for (int64_t j = 0; j < d; j++) {
            const double unit = (dv[i + j] - mean) * scale, g = (double)dy[i + j] * weight[j];
            dv[i + j] = (float)((g - shift - unit * along) * scale);
        }
    }
    return 0;
}

struct entropy {
    const struct erniem_micro *micro;
    int64_t n;
    const int64_t *labels;
    float share;
    float *scores;
    double *losses;
};

static void entropy_some(const void *job, struct erniem_tasks *tasks)
{
    const struct entropy *p = job;
    for (int64_t i; (i = erniem_take(tasks)) >= 0;)
        p->losses[i] = p->micro->training.cross_entropy(p->n, p->labels[i], p->share,
                                                        p->scores + i * p->n);
}

int erniem_cross_entropy(int64_t m, int64_t n, const int64_t *labels, float share, float *scores,
                         double *losses)
{
    if (m < 1 || n < 1 || !erniem_fits(m, n, 4))
        return ERNIEM_BAD_SIZE;
    for (int64_t i = 0; i < m; i++)
        if (labels[i] < 0 || labels[i] >= n)
            return ERNIEM_BAD_SIZE;
    const struct entropy job = {erniem_micro(), n, labels, share, scores, losses};
    return erniem_parallel(m, entropy_some, &job);
}
