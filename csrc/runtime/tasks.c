/* Work stealing. Each thread has a share of the work items, which are neighbours in memory, and takes
   them in order. A thread whose share is empty takes items of the other shares, from their end: so
   both threads go on reading memory in order. Cores are not equally fast, least of all on a machine
   that other programs use; this keeps all of them busy until the last item.

   A result depends on neither the number of threads nor on who takes an item. */

#include "tasks.h"

static int64_t take_from(struct erniem_share *share, int at_the_end)
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
    int64_t item = take_from(&tasks->shares[tasks->own], 0);
    for (int i = 1; item < 0 && i < tasks->count; i++)
        item = take_from(&tasks->shares[(tasks->own + i) % tasks->count], 1);
    return item;
}

void erniem_divide(int64_t items, struct erniem_share *shares, int count)
{
    for (int i = 0; i < count; i++)
        atomic_store(&shares[i].left, (uint64_t)(items * i / count) << 32 |
                                          (uint64_t)(items * (i + 1) / count));
}

int erniem_items_left(const struct erniem_share *shares, int count)
{
    for (int i = 0; i < count; i++) {
        const uint64_t left = atomic_load(&shares[i].left);
        if (left >> 32 < (left & UINT32_MAX))
            return 1;
    }
    return 0;
}

struct erniem_parts {
    _Atomic int64_t finished;
};

struct erniem_parts *erniem_parts(int64_t count)
{
    struct erniem_parts *counts = erniem_acquire(count * (int64_t)sizeof *counts);
    for (int64_t i = 0; counts && i < count; i++)
        atomic_init(&counts[i].finished, 0);
    return counts;
}

int erniem_is_last_part(struct erniem_parts *counts, int64_t i, int64_t parts)
{
    return atomic_fetch_add_explicit(&counts[i].finished, 1, memory_order_acq_rel) + 1 == parts;
}
