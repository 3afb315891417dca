/* Rung 8: a pool of threads. The threads are started once and then wait for the next product, as
   those of OpenMP do. But here this file decides how they wait, and what happens after a fork: the
   child has none of the parent's threads, so it starts its own.

   csrc/runtime/threads_pool.c adds to this: nobody waits for a thread that wakes up too late, and
   each thread begins with panels of its own (csrc/runtime/tasks.c). */

#include <pthread.h>
#include <stdatomic.h>

#include "vectors.h"

enum { MOST = 64, LOOKS = 20000 };

static int wanted = 1;
static struct {
    pthread_mutex_t caller;          /* held by the one who uses the pool */
    pthread_mutex_t lock;            /* for all that follows */
    pthread_cond_t begin, end;
    int started, working;            /* threads, without the caller */
    _Atomic int number;              /* of the product: each thread takes part once */
    _Atomic int64_t next;            /* the first panel that nobody has taken */
    int threads;                     /* of this product, the caller included; its arguments: */
    int64_t m, n, k;
    const float *x, *w, *bias;
    float *y;
} pool = {
    .caller = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .begin = PTHREAD_COND_INITIALIZER,
    .end = PTHREAD_COND_INITIALIZER,
};

/* Threads from now on; -1 unless 1 <= n <= 64. */
int set_threads(int n)
{
    if (n < 1 || n > MOST)
        return -1;
    wanted = n;
    return 0;
}

static int64_t panels_of(int64_t n) { return (n + WIDE - 1) / WIDE; }

static void take_panels(void)
{
    for (int64_t panel; (panel = atomic_fetch_add(&pool.next, 1)) < panels_of(pool.n);)
        panels(panel, panel + 1, pool.m, pool.n, pool.k, pool.x, pool.w, pool.bias, pool.y);
}

/* The life of a thread. It stays awake for a moment, because in a model the next product comes
   soon; then it sleeps, and leaves the core to others. */
static void *serve(void *argument)
{
    const int me = (int)(intptr_t)argument;
    pthread_mutex_lock(&pool.lock);
    int seen = pool.number - 1; /* it was started for the present product */
    for (;;) {
        pthread_mutex_unlock(&pool.lock);
        for (int looks = 0; looks < LOOKS && atomic_load(&pool.number) == seen;)
            looks++;
        pthread_mutex_lock(&pool.lock);
        while (pool.number == seen)
            pthread_cond_wait(&pool.begin, &pool.lock);
        seen = pool.number;
        pthread_mutex_unlock(&pool.lock);
        if (me < pool.threads)
            take_panels();
        pthread_mutex_lock(&pool.lock);
        if (--pool.working == 0)
            pthread_cond_signal(&pool.end);
    }
    return NULL;
}

/* In the child of a fork the threads are gone, and a lock may be held by one of them. */
static void after_fork(void)
{
    pool.started = pool.working = 0;
    pthread_mutex_init(&pool.caller, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.begin, NULL);
    pthread_cond_init(&pool.end, NULL);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

/* Start threads until there are enough, or the system gives no more. */
static void start(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    for (pthread_t thread; pool.started < threads - 1; pool.started++) {
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)(pool.started + 1)) != 0)
            break;
        pthread_detach(thread);
    }
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    const int threads = wanted;
    if (threads == 1 || pthread_mutex_trylock(&pool.caller) != 0) { /* another caller uses it */
        panels(0, panels_of(n), m, n, k, x, w, bias, y);
        return 0;
    }
    pthread_mutex_lock(&pool.lock);
    pool.threads = threads;
    pool.m = m, pool.n = n, pool.k = k;
    pool.x = x, pool.w = w, pool.bias = bias, pool.y = y;
    atomic_store(&pool.next, 0);
    atomic_fetch_add(&pool.number, 1);
    start(threads);
    pool.working = pool.started;
    pthread_cond_broadcast(&pool.begin);
    pthread_mutex_unlock(&pool.lock);

    take_panels();
    pthread_mutex_lock(&pool.lock);
    while (pool.working > 0)
        pthread_cond_wait(&pool.end, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.caller);
    return 0;
}
