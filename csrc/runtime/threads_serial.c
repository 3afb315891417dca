/* The calling thread does everything. */

#include "threads.h"

static void run(struct erniem_share *shares, int count, erniem_work *work, const void *job)
{
    struct erniem_tasks tasks = {shares, count, 0};
    work(job, &tasks);
}

const struct erniem_threading erniem_serial = {"serial", run};
