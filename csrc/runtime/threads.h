/* One interface for three ways to run a job on several threads: OpenMP, a pool of our own, and
   the calling thread alone. threads.c chooses one of them at run time; kernels only see
   erniem_parallel and erniem_take (internal.h). */

#ifndef ERNIEM_THREADS_H
#define ERNIEM_THREADS_H

#include "tasks.h"

/* ERNIEM_SERIAL leaves out both kinds of threads, for a system that has none and for tests. */
#if !defined(ERNIEM_SERIAL)
#define ERNIEM_HAS_POOL 1
#if defined(_OPENMP) /* by the compiler, under its flag for OpenMP; see build_ext.py */
#define ERNIEM_HAS_OPENMP 1
#endif
#endif

typedef void erniem_work(const void *job, struct erniem_tasks *tasks);

struct erniem_threading {
    const char *name;
    /* Call work(job, tasks) on at most `count` threads, the calling thread included, each with a
       share of its own; return when all of them have returned. One caller at a time. It does not
       matter how many threads come: any one of them can take all items. */
    void (*run)(struct erniem_share *shares, int count, erniem_work *work, const void *job);
};

extern const struct erniem_threading erniem_openmp, erniem_pool, erniem_serial;

#endif
