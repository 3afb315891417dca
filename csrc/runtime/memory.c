/* Memory that is used again and again: scratch of the kernels, large results.

   A released block goes to a short list, where the next caller finds its pages already mapped.
   At most KEPT_BYTES in KEPT_BLOCKS wait there; the oldest block makes room. */

#if !defined(_WIN32)
#define _GNU_SOURCE /* posix_memalign, madvise */
#endif

#include <stdlib.h>

#include "internal.h"

#if defined(_WIN32)
#include <malloc.h>
#include <windows.h>
static SRWLOCK lock = SRWLOCK_INIT;
#define LOCK AcquireSRWLockExclusive(&lock)
#define UNLOCK ReleaseSRWLockExclusive(&lock)
#define WATCH_FORKS ((void)0)
static void *allocate(size_t bytes, size_t alignment) { return _aligned_malloc(bytes, alignment); }
static void deallocate(void *block) { _aligned_free(block); }
#else
#include <pthread.h>
#include <sys/mman.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t watched = PTHREAD_ONCE_INIT;
static void watch_forks(void);
#define LOCK pthread_mutex_lock(&lock)
#define UNLOCK pthread_mutex_unlock(&lock)
#define WATCH_FORKS pthread_once(&watched, watch_forks)
static void *allocate(size_t bytes, size_t alignment)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, bytes) == 0 ? block : NULL;
}
static void deallocate(void *block) { free(block); }
#endif

enum { LINE = 64, HUGE_PAGE = 1 << 21, KEPT_BLOCKS = 16 };
#define KEPT_BYTES ((int64_t)128 << 20)

struct header { /* stands in the cache line before the block */
    int64_t bytes;
    const char *owner; /* the thread that released it, by the address of its `me` */
};

static _Thread_local char me;

static struct header *kept[KEPT_BLOCKS + 1]; /* oldest first */
static int kept_count;
static int64_t kept_bytes;

static struct header *unlist(int i)
{
    struct header *block = kept[i];
    kept_bytes -= block->bytes;
    kept_count--;
    for (; i < kept_count; i++)
        kept[i] = kept[i + 1];
    return block;
}

/* Whether a block is in this thread's cache rather than another's, and should be taken first. */
static int is_own(const struct header *block) { return block->owner == &me; }

/* The smallest listed block that holds `bytes` without wasting more than half of itself; of equal
   ones the thread's own, and the newest, which are likeliest to be in its cache. */
static struct header *find(int64_t bytes)
{
    int best = -1;
    for (int i = 0; i < kept_count; i++) {
        const int64_t has = kept[i]->bytes, had = best < 0 ? ERNIEM_MOST + 1 : kept[best]->bytes;
        const int enough = has >= bytes && has / 2 <= bytes;
        if (enough && (has < had || (has == had && is_own(kept[i]) >= is_own(kept[best]))))
            best = i;
    }
    return best < 0 ? NULL : unlist(best);
}

void *erniem_acquire(int64_t bytes)
{
    if (bytes < 0 || bytes > ERNIEM_MOST)
        return NULL;
    WATCH_FORKS;
    LOCK;
    struct header *block = find(bytes);
    UNLOCK;
    if (!block) {
        const int large = bytes >= HUGE_PAGE;
        block = allocate((size_t)bytes + LINE, large ? HUGE_PAGE : LINE);
        if (!block)
            return NULL;
#if defined(MADV_HUGEPAGE)
        if (large)
            madvise(block, (size_t)bytes + LINE, MADV_HUGEPAGE);
#endif
        block->bytes = bytes;
    }
    return (char *)block + LINE;
}

void erniem_release(void *memory)
{
    if (!memory)
        return;
    struct header *block = (struct header *)(void *)((char *)memory - LINE), *old[KEPT_BLOCKS + 1];
    int count = 0;
    block->owner = &me;
    LOCK;
    kept[kept_count++] = block;
    kept_bytes += block->bytes;
    while (kept_count > KEPT_BLOCKS || kept_bytes > KEPT_BYTES)
        old[count++] = unlist(0);
    UNLOCK;
    while (count > 0)
        deallocate(old[--count]);
}

void erniem_forget_memory(void)
{
    struct header *old[KEPT_BLOCKS + 1];
    int count = 0;
    LOCK;
    while (kept_count > 0)
        old[count++] = unlist(0);
    UNLOCK;
    while (count > 0)
        deallocate(old[--count]);
}

#if !defined(_WIN32)
/* In the child of a fork the list may be half written; it is given up, not freed. */
static void after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    kept_count = 0;
    kept_bytes = 0;
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }
#endif
