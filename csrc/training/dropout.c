/* Dropout: some numbers become 0, the others are scaled. Which ones, a seed and their places decide. */

#include "../internal.h"

enum { BLOCK = 1 << 13 }; /* numbers that a task takes, or a row of more */

struct dropout {
    const struct erniem_micro *micro;
    int64_t first, rows, n, rows_of_task;
    uint64_t seed;
    uint32_t least;
    float scale;
    const float *x;
    float *y;
};

static void drop_some(const void *job, struct erniem_tasks *tasks)
{
    const struct dropout *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t end = erniem_min(p->rows, (task + 1) * p->rows_of_task);
        for (int64_t row = task * p->rows_of_task; row < end; row++)
            p->micro->training.drop(p->n, p->seed, (uint64_t)(p->first + row), p->least, p->scale,
                                    p->x + row * p->n, p->y + row * p->n);
    }
}

int erniem_drop(int64_t first, int64_t rows, int64_t n, uint64_t seed, uint32_t least, float scale,
                const float *x, float *y)
{
    if (first < 0 || first > ERNIEM_MOST || rows < 1 || n < 1 || n > ERNIEM_MOST_DROPPED || !erniem_fits(rows, n, 4))
        return ERNIEM_BAD_SIZE;
    const int64_t rows_of_task = erniem_max(1, BLOCK / n);
    const struct dropout job = {erniem_micro(), first, rows, n, rows_of_task,
                                seed, least, scale, x, y};
    return erniem_parallel(erniem_ceil_div(rows, rows_of_task), drop_some, &job);
}
