/* Number by number: activations into another array, their gradients, sums of squares, a step of
   AdamW. */

#include "../runtime/platform.h"

#include <math.h>
#include <string.h>

#include "../internal.h"

enum {
    BLOCK = 1 << 13, /* numbers that a task takes: three arrays of them fit in a second-level cache */
    PART = 256,      /* of them, during which the next ones are prefetched */
    AHEAD = 1024     /* numbers to the one that a sum prefetches */
};

struct activations {
    const struct erniem_micro *micro;
    int activation;
    int64_t n;
    const float *dy, *z; /* dy NULL: forward */
    float *to;
};

/* Some numbers, and a prefetch of what the next ones read and write. */
static void activate_part(const struct activations *p, int64_t at, int64_t n)
{
    for (int64_t i = at + PART; i < at + 2 * PART; i += 16) {
        ERNIEM_PREFETCH(p->z + i);
        if (p->dy)
            ERNIEM_PREFETCH(p->dy + i);
        ERNIEM_PREFETCH_TO_WRITE(p->to + i);
    }
    if (p->dy) {
        p->micro->training.activation_backward(p->activation, n, p->dy + at, p->z + at, p->to + at);
        return;
    }
    memcpy(p->to + at, p->z + at, (size_t)n * sizeof(float));
    p->micro->rowwise.activate(p->activation, 1, n, n, p->to + at);
}

static void activate_some(const void *job, struct erniem_tasks *tasks)
{
    const struct activations *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t end = erniem_min(p->n, (task + 1) * BLOCK);
        for (int64_t at = task * BLOCK; at < end; at += PART)
            activate_part(p, at, erniem_min(PART, end - at));
    }
}

static int run(int activation, int64_t n, const float *dy, const float *z, float *to)
{
    if (!erniem_fits(n, 1, 1) || activation < 0 || activation >= ERNIEM_ACTIVATIONS)
        return ERNIEM_BAD_SIZE;
    const struct activations job = {erniem_micro(), activation, n, dy, z, to};
    return erniem_parallel(erniem_ceil_div(n, BLOCK), activate_some, &job);
}

int erniem_activated(int activation, int64_t n, const float *z, float *y)
{
    return run(activation, n, NULL, z, y);
}

int erniem_activation_backward(int activation, int64_t n, const float *dy, const float *z, float *dz)
{
    return run(activation, n, dy, z, dz);
}

struct squares {
    int64_t n;
    const float *x;
    double *sums; /* of each task */
};

/* A function of its own, which compilers turn into vector operations. */
static double block_of_squares(int64_t n, const float *x)
{
    double sums[8] = {0.0}, sum = 0.0;
    int64_t at = 0;
    for (; at + 8 <= n; at += 8) {
        ERNIEM_PREFETCH(x + at + AHEAD);
        for (int i = 0; i < 8; i++)
            sums[i] += (double)x[at + i] * x[at + i];
    }
    for (; at < n; at++)
        sums[0] += (double)x[at] * x[at];
    for (int i = 0; i < 8; i++)
        sum += sums[i];
    return sum;
}

static void square_some(const void *job, struct erniem_tasks *tasks)
{
    const struct squares *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t at = task * BLOCK;
        p->sums[task] = block_of_squares(erniem_min(BLOCK, p->n - at), p->x + at);
    }
}

int erniem_sum_of_squares(int64_t n, const float *x, double *sum)
{
    const int64_t tasks = erniem_ceil_div(erniem_max(0, n), BLOCK);
    *sum = 0.0;
    if (!erniem_fits(n, 1, 1))
        return ERNIEM_BAD_SIZE;
    double *sums = erniem_acquire(erniem_max(1, tasks) * (int64_t)sizeof(double));
    if (!sums)
        return ERNIEM_NO_MEMORY;
    const struct squares job = {n, x, sums};
    const int status = erniem_parallel(tasks, square_some, &job);
    for (int64_t task = 0; status == 0 && task < tasks; task++)
        *sum += sums[task];
    erniem_release(sums);
    return status;
}

struct update {
    const struct erniem_micro *micro;
    struct erniem_adamw step;
    int64_t n;
    const float *g;
    float *w, *m, *v;
};

static void update_some(const void *job, struct erniem_tasks *tasks)
{
    const struct update *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t at = task * BLOCK, n = erniem_min(BLOCK, p->n - at);
        p->micro->training.adamw(n, &p->step, p->g + at, p->w + at, p->m + at, p->v + at);
    }
}

int erniem_adamw(int64_t n, const float *numbers, const float *g, float *w, float *m, float *v)
{
    if (!erniem_fits(n, 1, 1))
        return ERNIEM_BAD_SIZE;
    const struct update job = {erniem_micro(),
                               {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
                                numbers[5], numbers[6], numbers[7], numbers[8]},
                               n, g, w, m, v};
    return erniem_parallel(erniem_ceil_div(n, BLOCK), update_some, &job);
}
