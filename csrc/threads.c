/* A few threads that wait for work: OpenMP's part, without its trouble after fork.

   One job at a time. Its caller opens a gate; waiting threads that see it open step in, take
   tasks until none is left, and step out; the caller, who works too, closes the gate and waits for
   those inside. A thread that wakes too late finds the gate closed and nobody waits for it.

   Between jobs a thread looks at the gate for at most SPIN_NS (the kernels of one forward pass
   follow each other within microseconds), fetching weights meanwhile (ahead.c), then sleeps on a
   condition variable. A second caller finds the pool taken and does its tasks alone. After a fork
   the child starts with no threads. */

#if !defined(_WIN32)
#define _GNU_SOURCE /* pthread_sigmask and clock_gettime under -std=c11 */
#endif

#include "internal.h"

enum { MAX_THREADS = 1024 };

#if defined(_WIN32) || defined(ERNIEM_SERIAL)

struct erniem_tasks {
    int64_t next, count;
};

int64_t erniem_take(struct erniem_tasks *tasks)
{
    return tasks->next < tasks->count ? tasks->next++ : -1;
}

int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job)
{
    struct erniem_tasks tasks = {0, count};
    work(job, &tasks);
    return tasks.next < count ? ERNIEM_NO_MEMORY : 0;
}

int erniem_set_threads(int n) { return n >= 1 && n <= MAX_THREADS ? 0 : -1; }
int erniem_get_threads(void) { return 1; }

#else

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { SPIN_NS = 500000 };

struct erniem_tasks {
    _Atomic int64_t next;
    int64_t count;
};

/* gate: job number << 16 | OPEN while it is, plus the number of threads inside. */
#define OPEN ((uint64_t)1 << 15)
#define INSIDE (OPEN - 1)
#define JOB(gate) ((gate) >> 16)

static struct {
    _Atomic int threads;      /* wanted, the caller included */
    atomic_flag taken;        /* by a caller; guards `started` and the job */
    int started;              /* threads there are, beside callers */
    _Atomic uint64_t gate;
    _Atomic int limit;        /* how many may be inside */
    void (*work)(const void *job, struct erniem_tasks *tasks);
    const void *job;
    struct erniem_tasks tasks;
    pthread_mutex_t lock;     /* for sleeping only */
    pthread_cond_t opened, emptied;
    _Atomic int sleepers, caller_sleeps;
} pool = {
    .threads = 1,
    .taken = ATOMIC_FLAG_INIT,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .opened = PTHREAD_COND_INITIALIZER,
    .emptied = PTHREAD_COND_INITIALIZER,
};

int64_t erniem_take(struct erniem_tasks *tasks)
{
    const int64_t task = atomic_fetch_add_explicit(&tasks->next, 1, memory_order_relaxed);
    return task < tasks->count ? task : -1;
}

static int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void pause_briefly(void)
{
    for (int i = 0; i < 4; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Whether the gate is open for a job other than `last`. */
static int is_open(uint64_t gate, uint64_t last) { return (gate & OPEN) && JOB(gate) != last; }

static void wait_for_job(uint64_t last)
{
    const int64_t end = nanoseconds() + SPIN_NS;
    do {
        if (is_open(atomic_load(&pool.gate), last))
            return;
        erniem_fetch_ahead();
        pause_briefly();
    } while (nanoseconds() < end);

    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!is_open(atomic_load(&pool.gate), last))
        pthread_cond_wait(&pool.opened, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *serve(void *unused)
{
    (void)unused;
    uint64_t last = 0;
    for (;;) {
        wait_for_job(last);
        uint64_t gate = atomic_load(&pool.gate);
        while (is_open(gate, last) && (int)(gate & INSIDE) < atomic_load(&pool.limit))
            if (atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) {
                pool.work(pool.job, &pool.tasks);
                atomic_fetch_sub(&pool.gate, 1);
                if (atomic_load(&pool.caller_sleeps)) {
                    pthread_mutex_lock(&pool.lock);
                    pthread_cond_signal(&pool.emptied);
                    pthread_mutex_unlock(&pool.lock);
                }
                break;
            }
        last = JOB(gate);
    }
    return NULL;
}

static void wait_for_the_others(void)
{
    const int64_t end = nanoseconds() + SPIN_NS;
    do {
        if (!(atomic_load(&pool.gate) & INSIDE))
            return;
        erniem_fetch_ahead();
        pause_briefly();
    } while (nanoseconds() < end);

    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.caller_sleeps, 1);
    while (atomic_load(&pool.gate) & INSIDE)
        pthread_cond_wait(&pool.emptied, &pool.lock);
    atomic_store(&pool.caller_sleeps, 0);
    pthread_mutex_unlock(&pool.lock);
}

/* In the child of a fork: the other threads are gone, and what they held is free again. */
static void after_fork(void)
{
    pool.started = 0;
    atomic_store(&pool.gate, JOB(atomic_load(&pool.gate)) << 16);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.caller_sleeps, 0);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.opened, NULL);
    pthread_cond_init(&pool.emptied, NULL);
    atomic_flag_clear(&pool.taken);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

/* Start threads until there are `wanted`, or the system gives no more. Signals stay Python's. */
static void start(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (pthread_t thread; pool.started < wanted; pool.started++) {
        if (pthread_create(&thread, NULL, serve, NULL) != 0)
            break;
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int alone(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                 const void *job)
{
    struct erniem_tasks tasks = {.next = 0, .count = count};
    work(job, &tasks);
    return atomic_load(&tasks.next) < count ? ERNIEM_NO_MEMORY : 0;
}

int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job)
{
    const int helpers = (int)erniem_min(erniem_get_threads(), count) - 1;
    if (helpers <= 0 || atomic_flag_test_and_set(&pool.taken))
        return alone(count, work, job);
    if (pool.started < helpers)
        start(helpers);

    pool.work = work;
    pool.job = job;
    pool.tasks.count = count;
    atomic_store(&pool.tasks.next, 0);
    atomic_store(&pool.limit, helpers);
    atomic_store(&pool.gate, (JOB(atomic_load(&pool.gate)) + 1) << 16 | OPEN);
    if (atomic_load(&pool.sleepers)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
    work(job, &pool.tasks);
    atomic_fetch_and(&pool.gate, ~OPEN);
    wait_for_the_others();

    const int64_t next = atomic_load(&pool.tasks.next);
    atomic_flag_clear(&pool.taken);
    return next < count ? ERNIEM_NO_MEMORY : 0;
}

int erniem_set_threads(int n)
{
    if (n < 1 || n > MAX_THREADS)
        return -1;
    atomic_store(&pool.threads, n);
    return 0;
}

int erniem_get_threads(void) { return atomic_load(&pool.threads); }

#endif
