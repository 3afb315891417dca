/* A pool of threads that wait for work.

   There is one job at a time. Its caller opens a gate. Waiting threads that see the open gate enter,
   take items until none is left, and leave. The caller works too; then it closes the gate and waits
   for the threads inside. A thread that wakes up too late finds the gate closed, and nobody waits
   for it.

   Between jobs a thread watches the gate for at most SPIN_NS, because the kernels of one forward
   pass follow each other within microseconds; meanwhile it prefetches weights (prefetch.c). Then it
   sleeps on a condition variable. In the child of a fork the pool starts again with no threads. */

#include "threads.h"

#if defined(ERNIEM_HAS_POOL)

enum { SPIN_NS = 500000, LOOKS = 16 }; /* looks at the gate before a look at the clock */

/* gate: job number << 16 | OPEN while the job can be entered, plus the number of threads inside. */
#define OPEN ((uint64_t)1 << 15)
#define INSIDE (OPEN - 1)
#define JOB(gate) ((gate) >> 16)

static struct {
    int started;              /* threads that exist, without callers; only the caller uses it */
    _Atomic uint64_t gate;
    erniem_work *work;        /* the job, and the shares of its items */
    const void *job;
    struct erniem_share *shares;
    _Atomic int count;        /* of shares: how many threads may work, the caller included */
    erniem_lock lock;         /* for sleeping only */
    erniem_condition opened, emptied;
    _Atomic int sleepers, caller_sleeps;
} pool = {
    .lock = ERNIEM_LOCK_INIT,
    .opened = ERNIEM_CONDITION_INIT,
    .emptied = ERNIEM_CONDITION_INIT,
};

/* Whether the gate is open for a job other than `last`. */
static int is_open(uint64_t gate, uint64_t last) { return (gate & OPEN) && JOB(gate) != last; }

static void wait_for_job(uint64_t last)
{
    const int64_t end = erniem_nanoseconds() + SPIN_NS;
    for (int looks = 1; looks % LOOKS != 0 || erniem_nanoseconds() < end; looks++) {
        if (is_open(atomic_load(&pool.gate), last))
            return;
        erniem_prefetch_some();
        erniem_pause();
    }

    erniem_lock_take(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!is_open(atomic_load(&pool.gate), last))
        erniem_condition_wait(&pool.opened, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    erniem_lock_free(&pool.lock);
}

/* The life of a thread of the pool. */
ERNIEM_THREAD_MAIN serve(void *number)
{
    uint64_t last = 0;
    for (;;) {
        wait_for_job(last);
        uint64_t gate = atomic_load(&pool.gate);
        while (is_open(gate, last) && (int)(gate & INSIDE) + 1 < atomic_load(&pool.count))
            if (atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) {
                const int count = atomic_load(&pool.count); /* share 0 is the caller's */
                const int own = 1 + (int)((intptr_t)number % (count - 1));
                struct erniem_tasks tasks = {pool.shares, count, own};
                pool.work(pool.job, &tasks);
                atomic_fetch_sub(&pool.gate, 1);
                if (atomic_load(&pool.caller_sleeps)) {
                    erniem_lock_take(&pool.lock);
                    erniem_condition_wake(&pool.emptied);
                    erniem_lock_free(&pool.lock);
                }
                break;
            }
        last = JOB(gate);
    }
    return 0;
}

static void wait_for_the_others(void)
{
    const int64_t end = erniem_nanoseconds() + SPIN_NS;
    for (int looks = 1; looks % LOOKS != 0 || erniem_nanoseconds() < end; looks++) {
        if (!(atomic_load(&pool.gate) & INSIDE))
            return;
        erniem_prefetch_some();
        erniem_pause();
    }

    erniem_lock_take(&pool.lock);
    atomic_store(&pool.caller_sleeps, 1);
    while (atomic_load(&pool.gate) & INSIDE)
        erniem_condition_wait(&pool.emptied, &pool.lock);
    atomic_store(&pool.caller_sleeps, 0);
    erniem_lock_free(&pool.lock);
}

/* In the child of a fork only the thread that called fork exists, and a lock may be held by a thread
   that does not. */
static void after_fork(void)
{
    pool.started = 0;
    atomic_store(&pool.gate, JOB(atomic_load(&pool.gate)) << 16);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.caller_sleeps, 0);
    erniem_lock_renew(&pool.lock);
    erniem_condition_renew(&pool.opened);
    erniem_condition_renew(&pool.emptied);
}

static void watch_forks(void) { erniem_in_child(after_fork); }

/* Start threads until there are `wanted`, or the system gives no more. */
static void start(int wanted)
{
    static erniem_once once = ERNIEM_ONCE_INIT;
    erniem_watch_forks(&once, watch_forks);
    while (pool.started < wanted &&
           erniem_thread_start(serve, (void *)(intptr_t)pool.started) == 0)
        pool.started++;
}

static void run(struct erniem_share *shares, int count, erniem_work *work, const void *job)
{
    if (pool.started < count - 1)
        start(count - 1);
    pool.work = work;
    pool.job = job;
    pool.shares = shares;
    atomic_store(&pool.count, count);
    atomic_store(&pool.gate, (JOB(atomic_load(&pool.gate)) + 1) << 16 | OPEN);
    if (atomic_load(&pool.sleepers)) {
        erniem_lock_take(&pool.lock);
        erniem_condition_wake(&pool.opened);
        erniem_lock_free(&pool.lock);
    }
    struct erniem_tasks tasks = {shares, count, 0};
    work(job, &tasks);
    atomic_fetch_and(&pool.gate, ~OPEN);
    wait_for_the_others();
}

const struct erniem_threading erniem_pool = {"pool", run};

#endif
