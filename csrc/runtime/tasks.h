/* The queue from which all threads of a job take work items; OpenMP and the pool share it. */

#ifndef ERNIEM_TASKS_H
#define ERNIEM_TASKS_H

#include "platform.h"

#include "internal.h"

/* The items next .. end - 1 that are not taken yet, as next << 32 | end. Each share has a cache line
   of its own. */
struct erniem_share {
    _Alignas(64) _Atomic uint64_t left;
};

/* What one thread sees: all shares, and which of them is its own. */
struct erniem_tasks {
    struct erniem_share *shares;
    int count, own;
};

/* Divide the items 0 .. items - 1 evenly among `count` shares; items <= UINT32_MAX. */
void erniem_divide(int64_t items, struct erniem_share *shares, int count);
/* Whether some items were not taken. */
int erniem_items_left(const struct erniem_share *shares, int count);

#endif
