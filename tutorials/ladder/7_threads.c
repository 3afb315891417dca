/* Rung 7: threads. Each takes an equal share of the panels. No two write to the same number, so
   nothing has to be locked. Threads are started for every call, which csrc/runtime/threads_pool.c avoids. */

#include <pthread.h>

#include "vectors.h"

enum { MOST = 64 };
static int wanted = 1;

/* Threads from now on; -1 unless 1 <= n <= 64. */
int set_threads(int n)
{
    if (n < 1 || n > MOST)
        return -1;
    wanted = n;
    return 0;
}

struct share {
    int64_t first, end, m, n, k;
    const float *x, *w, *bias;
    float *y;
};

static void *work(void *argument)
{
    const struct share *s = argument;
    panels(s->first, s->end, s->m, s->n, s->k, s->x, s->w, s->bias, s->y);
    return NULL;
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    const int64_t all = (n + WIDE - 1) / WIDE;
    const int threads = wanted;
    pthread_t others[MOST];
    struct share shares[MOST];
    int started = 1, status = 0;

    for (int t = 0; t < threads; t++)
        shares[t] = (struct share){all * t / threads, all * (t + 1) / threads, m, n, k,
                                   x, w, bias, y};
    while (started < threads && !pthread_create(&others[started], NULL, work, &shares[started]))
        started++;
    if (started < threads)
        status = -1;
    work(&shares[0]);
    for (int t = 1; t < started; t++)
        pthread_join(others[t], NULL);
    return status;
}
