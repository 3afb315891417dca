/* What the C files share: sizes, memory, work for all threads. */

#ifndef ERNIEM_INTERNAL_H
#define ERNIEM_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.cdef.h"
#include "micro/micro.h"

/* The largest number of elements an array may have: products of two checked sizes fit int64. */
#define ERNIEM_MOST ((int64_t)1 << 40)

static inline int64_t erniem_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t erniem_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t erniem_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Whether a * b * c elements, each size >= 0, are at most ERNIEM_MOST. */
static inline int erniem_fits(int64_t a, int64_t b, int64_t c)
{
    if (a < 0 || b < 0 || c < 0)
        return 0;
    if (a == 0 || b == 0 || c == 0)
        return a <= ERNIEM_MOST && b <= ERNIEM_MOST && c <= ERNIEM_MOST;
    return a <= ERNIEM_MOST / b && a * b <= ERNIEM_MOST / c;
}

/* Tasks 0, 1, ..., each taken once. A thread has neighbouring ones of its own, which it takes in
   order; when they are done it takes those of others, from the end. */
struct erniem_tasks;
int64_t erniem_take(struct erniem_tasks *tasks); /* one of them, or -1 when there is none */

/* Let up to erniem_get_threads() threads call work(job, tasks), which takes tasks until none is
   left, or returns early where it finds no memory. 0 once every task is done, ERNIEM_NO_MEMORY if
   some were left, ERNIEM_BAD_SIZE if there are too many. The caller works too; alone, where the
   other threads serve another caller. */
int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job);

/* prefetch.c: a product begins, a second thread starts to read at `weight` and a last one stops at
   `end`. Returns where a second one will start in the product that is expected next, or NULL. */
const float *erniem_begins(const float *weight, const float *end);
/* Fetch a little of what is expected next. */
void erniem_fetch_ahead(void);

#endif
