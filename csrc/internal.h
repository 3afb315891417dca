/* What the C files share: sizes, memory, work for all threads. */

#ifndef ERNIEM_INTERNAL_H
#define ERNIEM_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* x[i] = `instead` where mask[i] is 0, for i < n; without a branch, which would often be guessed
   wrong. */
static inline void erniem_hide(int64_t n, const uint8_t *mask, float instead, float *x)
{
    uint32_t other;
    memcpy(&other, &instead, sizeof other);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t shown = 0u - (uint32_t)(mask[i] != 0);
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits = (bits & shown) | (other & ~shown);
        memcpy(x + i, &bits, sizeof bits);
    }
}

/* tasks.c: the work items 0, 1, ... of a job, each taken once. A thread takes neighbouring items of
   its own in order, then steals items of other threads, from the end of theirs. */
struct erniem_tasks;
int64_t erniem_take(struct erniem_tasks *tasks); /* one item, or -1 when none is left */

/* tasks.c: counts, all 0, of the finished parts of `count` things; NULL without memory. Freed by
   erniem_release. */
struct erniem_parts;
struct erniem_parts *erniem_parts(int64_t count);
/* Count a part of thing i that is finished; whether it was the last of `parts`. Then the caller sees
   everything that other threads wrote before they counted theirs. */
int erniem_is_last_part(struct erniem_parts *counts, int64_t i, int64_t parts);

/* threads.c: let up to erniem_get_threads() threads, the caller included, call work(job, tasks). The
   function takes items until none is left; it may return early where it finds no memory. Returns 0
   once every item is done, ERNIEM_NO_MEMORY if some were left, ERNIEM_BAD_SIZE for 2^32 items or
   more. While one caller uses the other threads, a second caller works alone; so does a call from
   inside work(). Safe from several threads, and in the child of a fork. */
int erniem_parallel(int64_t count, void (*work)(const void *job, struct erniem_tasks *tasks),
                    const void *job);

/* rowwise.c: erniem_add_norm by the calling thread alone, of sizes that were checked. */
void erniem_norm_here(int64_t n, int64_t d, const float *x, const float *residual,
                      const float *weight, const float *bias, float eps, float *y);

/* attention.c: whether `starts`, which may be NULL, are those of a packed batch as the interface has
   them: one row, as many keys as queries, and texts that each have a token. */
int erniem_starts_are_right(int64_t B, int64_t T, int64_t S, int64_t texts, const int64_t *starts);

/* prefetch.c: a product begins. Its second thread starts to read at `weight`, its last thread stops
   at `end`. Returns where a second thread will start in the product that is expected next, or
   NULL. */
const void *erniem_prefetch_begin(const void *weight, const void *end);
/* Prefetch a little of the weight that is expected next. */
void erniem_prefetch_some(void);

#endif
