/* The limits of the machine that benchmarks compare kernels with: multiply-adds that need no memory,
   and reading memory. */

#include "internal.h"
#include "micro/narrow.h"

struct limit {
    const struct erniem_micro *micro;
    int64_t rounds, n;
    const float *x;
    float *sums; /* one per work item, written only so that the compiler keeps the loops */
};

static void multiply_add_some(const void *job, struct erniem_tasks *tasks)
{
    const struct limit *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;)
        p->sums[task] = p->micro->gemm.peak(p->rounds);
}

int64_t erniem_multiply_add(int64_t rounds)
{
    float sums[64];
    const int64_t tasks = erniem_min(64, erniem_get_threads());
    const struct limit job = {erniem_micro(), rounds, 0, NULL, sums};
    if (erniem_parallel(tasks, multiply_add_some, &job) != 0)
        return 0;
    return 2 * tasks * job.micro->gemm.mr * job.micro->gemm.nr;
}

struct narrow_limit {
    const struct erniem_narrow *kernel;
    int64_t rounds;
    float *kept; /* one per work item */
};

static void multiply_add_narrow_some(const void *job, struct erniem_tasks *tasks)
{
    const struct narrow_limit *p = job;
    for (int64_t task; (task = erniem_take(tasks)) >= 0;)
        p->kernel->peak(p->rounds, &p->kept[task]);
}

int64_t erniem_multiply_add_narrow(int number, int64_t rounds)
{
    float kept[64] = {0.0f};
    const int64_t tasks = erniem_min(64, erniem_get_threads());
    const struct narrow_limit job = {erniem_narrow(number), rounds, kept};
    if (!job.kernel || erniem_parallel(tasks, multiply_add_narrow_some, &job) != 0)
        return 0;
    return tasks * job.kernel->peak(0, kept);
}

enum { CHUNK = 1 << 16 };

static void read_some(const void *job, struct erniem_tasks *tasks)
{
    const struct limit *p = job;
    float sums[16] = {0.0f};
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t end = erniem_min(p->n, (task + 1) * CHUNK);
        for (int64_t i = task * CHUNK; i + 16 <= end; i += 16)
            for (int j = 0; j < 16; j++)
                sums[j] += p->x[i + j];
        p->sums[task % 64] = sums[task % 16];
    }
}

float erniem_read(int64_t n, const float *x)
{
    float sums[64] = {0.0f};
    const struct limit job = {erniem_micro(), 0, n, x, sums};
    if (n <= 0 || erniem_parallel(erniem_ceil_div(n, CHUNK), read_some, &job) != 0)
        return 0.0f;
    return sums[0];
}
