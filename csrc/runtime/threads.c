/* The choice among the implementations of threads.h, the number of threads, and erniem_parallel, which
   every kernel calls. */

#include "threads.h"

#include <string.h>

/* Every implementation that this build contains. The first one is the default: the pool, because
   `python -m benchmarks --parts threading` shows OpenMP more than 3 percent slower in some rows. */
static const struct erniem_threading *const built[] = {
#if defined(ERNIEM_HAS_POOL)
    &erniem_pool,
#endif
#if defined(ERNIEM_HAS_OPENMP)
    &erniem_openmp,
#endif
    &erniem_serial,
};
enum { BUILT = sizeof built / sizeof *built };

static const struct erniem_threading *_Atomic chosen; /* NULL: the first that is available */
static _Atomic int wanted = 1;                        /* threads, the caller included */
static _Atomic int cores = ERNIEM_MAX_THREADS;        /* a kernel uses no more threads than these */
static _Atomic int in_fork;                           /* whether this process was made by fork */
static _Atomic int taken;                             /* by a caller that uses the other threads */
static struct erniem_share all_shares[ERNIEM_MAX_THREADS]; /* guarded by `taken` */

/* OpenMP cannot be used in the child of a fork. GNU's library still counts on the threads of the
   parent there and waits for them forever, also where only another library has used it. */
static int is_available(const struct erniem_threading *threading)
{
#if defined(ERNIEM_HAS_OPENMP)
    return threading != &erniem_openmp || !atomic_load(&in_fork);
#else
    (void)threading;
    return 1;
#endif
}

/* Number i of those that are available, or NULL. */
static const struct erniem_threading *available(int i)
{
    for (int j = 0; j < BUILT; j++)
        if (is_available(built[j]) && i-- == 0)
            return built[j];
    return NULL;
}

static const struct erniem_threading *current(void)
{
    const struct erniem_threading *threading = atomic_load(&chosen);
    return threading && is_available(threading) ? threading : available(0);
}

static void after_fork(void)
{
    atomic_store(&in_fork, 1);
    atomic_store(&taken, 0);
}

static void watch(void) { erniem_in_child(after_fork); }

static void watch_forks(void)
{
    static erniem_once once = ERNIEM_ONCE_INIT;
    erniem_watch_forks(&once, watch);
}

const char *erniem_threading(void) { return current()->name; }

const char *erniem_available_threading(int i)
{
    const struct erniem_threading *threading = available(i);
    return threading ? threading->name : NULL;
}

int erniem_choose_threading(const char *name)
{
    watch_forks(); /* before a first fork, even if no kernel ran until then */
    for (int i = 0; available(i); i++)
        if (strcmp(available(i)->name, name) == 0) {
            atomic_store(&chosen, available(i));
            return 0;
        }
    return -1;
}

static int set_number(_Atomic int *number, int n)
{
    if (n < 1 || n > ERNIEM_MAX_THREADS)
        return -1;
    atomic_store(number, n);
    return 0;
}

int erniem_set_threads(int n) { return set_number(&wanted, n); }

int erniem_set_cores(int n) { return set_number(&cores, n); }

int erniem_wanted_threads(void) { return atomic_load(&wanted); }

int erniem_get_threads(void)
{
    if (current() == &erniem_serial)
        return 1;
    return (int)erniem_min(atomic_load(&wanted), atomic_load(&cores));
}

int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job)
{
    if (count > (int64_t)UINT32_MAX)
        return ERNIEM_BAD_SIZE;
    watch_forks();
    int threads = (int)erniem_min(erniem_get_threads(), count);
    if (threads > 1 && atomic_exchange(&taken, 1))
        threads = 1;

    struct erniem_share alone, *const shares = threads > 1 ? all_shares : &alone;
    threads = threads > 1 ? threads : 1; /* also where there is nothing to do */
    erniem_divide(count, shares, threads);
    (threads > 1 ? current() : &erniem_serial)->run(shares, threads, work, job);
    const int status = erniem_items_left(shares, threads) ? ERNIEM_NO_MEMORY : 0;
    if (threads > 1)
        atomic_store(&taken, 0);
    return status;
}
