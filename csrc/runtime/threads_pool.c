/* A few threads that wait for work: OpenMP's part, without its trouble after fork.

   One job at a time. Its caller opens a gate; waiting threads that see it open step in, take
   tasks until none is left, and step out; the caller, who works too, closes the gate and waits for
   those inside. A thread that wakes too late finds the gate closed and nobody waits for it.

   Each thread has a share of the tasks. Cores are not equally fast, least of all on a machine that
   is shared with others: who is done helps who is not, and begins at the far end, so that both go
   on reading memory in order.

   Between jobs a thread looks at the gate for at most SPIN_NS (the kernels of one forward pass
   follow each other within microseconds), fetching weights meanwhile (prefetch.c), then sleeps on a
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

enum { SPIN_NS = 500000, LOOKS = 16 }; /* looks at the gate, before one at the clock */

/* Tasks next .. end - 1 are not taken yet: next << 32 | end. A cache line of its own. */
struct share {
    _Alignas(64) _Atomic uint64_t left;
};

struct erniem_tasks {
    struct share *shares;
    int count, own;
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
    void (*work)(const void *job, struct erniem_tasks *tasks);
    const void *job;
    _Atomic int shares;       /* of the job: how many threads may work, the caller included */
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
static struct share pool_shares[MAX_THREADS];

static int64_t take_from(struct share *share, int at_the_end)
{
    uint64_t left = atomic_load_explicit(&share->left, memory_order_relaxed);
    for (;;) {
        const uint64_t next = left >> 32, end = left & UINT32_MAX;
        if (next >= end)
            return -1;
        const uint64_t then = at_the_end ? left - 1 : left + ((uint64_t)1 << 32);
        if (atomic_compare_exchange_weak_explicit(&share->left, &left, then, memory_order_relaxed,
                                                  memory_order_relaxed))
            return (int64_t)(at_the_end ? end - 1 : next);
    }
}

int64_t erniem_take(struct erniem_tasks *tasks)
{
    int64_t task = take_from(&tasks->shares[tasks->own], 0);
    for (int i = 1; task < 0 && i < tasks->count; i++)
        task = take_from(&tasks->shares[(tasks->own + i) % tasks->count], 1);
    return task;
}

static void share_out(int64_t tasks, struct share *to, int count)
{
    for (int i = 0; i < count; i++)
        atomic_store(&to[i].left, (uint64_t)(tasks * i / count) << 32 |
                                      (uint64_t)(tasks * (i + 1) / count));
}

static int status_of(const struct share *from, int count)
{
    for (int i = 0; i < count; i++) {
        const uint64_t left = atomic_load(&from[i].left);
        if (left >> 32 < (left & UINT32_MAX))
            return ERNIEM_NO_MEMORY;
    }
    return 0;
}

static int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Whether the gate is open for a job other than `last`. */
static int is_open(uint64_t gate, uint64_t last) { return (gate & OPEN) && JOB(gate) != last; }

static void wait_for_job(uint64_t last)
{
    const int64_t end = nanoseconds() + SPIN_NS;
    for (int looks = 1; looks % LOOKS != 0 || nanoseconds() < end; looks++) {
        if (is_open(atomic_load(&pool.gate), last))
            return;
        erniem_fetch_ahead();
        pause_briefly();
    }

    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!is_open(atomic_load(&pool.gate), last))
        pthread_cond_wait(&pool.opened, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *serve(void *number)
{
    uint64_t last = 0;
    for (;;) {
        wait_for_job(last);
        uint64_t gate = atomic_load(&pool.gate);
        while (is_open(gate, last) && (int)(gate & INSIDE) + 1 < atomic_load(&pool.shares))
            if (atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) {
                const int count = atomic_load(&pool.shares); /* share 0 is the caller's */
                const int own = 1 + (int)((intptr_t)number % (count - 1));
                struct erniem_tasks tasks = {pool_shares, count, own};
                pool.work(pool.job, &tasks);
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
    for (int looks = 1; looks % LOOKS != 0 || nanoseconds() < end; looks++) {
        if (!(atomic_load(&pool.gate) & INSIDE))
            return;
        erniem_fetch_ahead();
        pause_briefly();
    }

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
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)pool.started) != 0)
            break;
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int alone(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                 const void *job)
{
    struct share all;
    struct erniem_tasks tasks = {&all, 1, 0};
    share_out(count, &all, 1);
    work(job, &tasks);
    return status_of(&all, 1);
}

int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job)
{
    if (count > (int64_t)UINT32_MAX)
        return ERNIEM_BAD_SIZE;
    const int shares = (int)erniem_min(erniem_get_threads(), count);
    if (shares <= 1 || atomic_flag_test_and_set(&pool.taken))
        return alone(count, work, job);
    if (pool.started < shares - 1)
        start(shares - 1);

    struct erniem_tasks tasks = {pool_shares, shares, 0};
    share_out(count, pool_shares, shares);
    pool.work = work;
    pool.job = job;
    atomic_store(&pool.shares, shares);
    atomic_store(&pool.gate, (JOB(atomic_load(&pool.gate)) + 1) << 16 | OPEN);
    if (atomic_load(&pool.sleepers)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
    work(job, &tasks);
    atomic_fetch_and(&pool.gate, ~OPEN);
    wait_for_the_others();

    const int status = status_of(pool_shares, shares);
    atomic_flag_clear(&pool.taken);
    return status;
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
