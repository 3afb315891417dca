/* Memory that is reused: scratch of the kernels, large results.

   A released block goes to a short list. The next caller takes it from there, with its pages already
   mapped. The list holds at most KEPT_BYTES in KEPT_BLOCKS blocks; beyond that the oldest block is
   given back to the system, and so is a block that nobody took while KEPT_RELEASES others were
   released: batches have other sizes by now. */

#include "platform.h"

#include <stdlib.h>

#include "internal.h"

#if defined(_WIN32)
#include <malloc.h>
static void *allocate(size_t bytes, size_t alignment) { return _aligned_malloc(bytes, alignment); }
static void deallocate(void *block) { _aligned_free(block); }
#else
#include <sys/mman.h>
static void *allocate(size_t bytes, size_t alignment)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, bytes) == 0 ? block : NULL;
}
static void deallocate(void *block) { free(block); }
#endif

enum { LINE = 64, HUGE_PAGE = 1 << 21, KEPT_BLOCKS = 48, KEPT_RELEASES = 1024 };
#define KEPT_BYTES ((int64_t)128 << 20)

struct header { /* in the cache line before the block */
    int64_t bytes;
    const char *owner; /* the thread that released it: the address of its `me` */
    int64_t number;    /* of the release, counted from 1 */
};

static ERNIEM_THREAD_LOCAL char me;

static erniem_lock lock = ERNIEM_LOCK_INIT; /* guards the list */
static struct header *kept[KEPT_BLOCKS + 1]; /* oldest first */
static int kept_count;
static int64_t kept_bytes, releases;

static struct header *unlist(int i)
{
    struct header *block = kept[i];
    kept_bytes -= block->bytes;
    kept_count--;
    for (; i < kept_count; i++)
        kept[i] = kept[i + 1];
    return block;
}

/* Whether this thread released the block: it is likely to be in the cache of its core. */
static int is_own(const struct header *block) { return block->owner == &me; }

/* Take the smallest block from the list that holds `bytes` and is at most about twice as large. Among
   blocks of one size, the thread's own come first, then the newest. NULL if there is none. */
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

/* In the child of a fork the list may be half written. It is abandoned, not freed. */
static void after_fork(void)
{
    erniem_lock_renew(&lock);
    kept_count = 0;
    kept_bytes = 0;
}

static void watch_forks(void) { erniem_in_child(after_fork); }

void *erniem_acquire(int64_t bytes)
{
    if (bytes < 0 || bytes > ERNIEM_MOST)
        return NULL;
    static erniem_once once = ERNIEM_ONCE_INIT;
    erniem_watch_forks(&once, watch_forks);
    erniem_lock_take(&lock);
    struct header *block = find(bytes);
    erniem_lock_free(&lock);
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
    erniem_lock_take(&lock);
    block->number = ++releases;
    kept[kept_count++] = block;
    kept_bytes += block->bytes;
    while (kept_count > KEPT_BLOCKS || kept_bytes > KEPT_BYTES ||
           kept[0]->number + KEPT_RELEASES <= releases)
        old[count++] = unlist(0);
    erniem_lock_free(&lock);
    while (count > 0)
        deallocate(old[--count]);
}

void erniem_forget_memory(void)
{
    struct header *old[KEPT_BLOCKS + 1];
    int count = 0;
    erniem_lock_take(&lock);
    while (kept_count > 0)
        old[count++] = unlist(0);
    erniem_lock_free(&lock);
    while (count > 0)
        deallocate(old[--count]);
}
