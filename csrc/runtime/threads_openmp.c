/* OpenMP: one parallel region for each job. Inside it the threads take items from the same queue as
   the pool's (tasks.c), which balances the load better than a loop schedule would: a thread keeps
   neighbouring items while there are any.

   The threads belong to the OpenMP library. Between two regions they wait in the way it chooses
   (OMP_WAIT_POLICY), and each Python thread that calls kernels has its own set of them. */

#include "threads.h"

#if defined(ERNIEM_HAS_OPENMP)

#include <omp.h>

static void run(struct erniem_share *shares, int count, erniem_work *work, const void *job)
{
#pragma omp parallel num_threads(count)
    {
        struct erniem_tasks tasks = {shares, count, omp_get_thread_num()};
        work(job, &tasks);
    }
}

const struct erniem_threading erniem_openmp = {"openmp", run};

#endif
