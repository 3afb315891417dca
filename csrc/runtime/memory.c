/* Memory that is reused: scratch of the kernels, large results.

   A released block goes to a list. The next caller takes it from there, with its pages already
   mapped. The list is limited; beyond that the oldest block is given back to the system, and so is a
   block that nobody took while many others were released: batches have other sizes by now. Training
   has far wider limits: each step needs the blocks of the one before, gradients of all weights among
   them. */

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

enum { LINE = 64, HUGE_PAGE = 1 << 21, MOST_BLOCKS = 512 };

/* Of the list: its blocks, their bytes, and releases after which a block that nobody took goes. */
struct limits {
    int blocks;
    int64_t bytes, releases;
};
static const struct limits little = {48, (int64_t)128 << 20, 1024};
static const struct limits much = {MOST_BLOCKS, ERNIEM_MOST, 8192};

struct header { /* in the cache line before the block */
    int64_t bytes;
    const char *owner; /* the thread that released it: the address of its `me` */
    int64_t number;    /* of the release, counted from 1 */
};

static ERNIEM_THREAD_LOCAL char me;

static erniem_lock lock = ERNIEM_LOCK_INIT; /* guards the list */
static const struct limits *limits = &little;
static int users_of_much;
static struct header *kept[MOST_BLOCKS + 1]; /* oldest first */
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

static int is_too_much(void)
{
    return kept_count > limits->blocks || kept_bytes > limits->bytes ||
           (kept_count > 0 && kept[0]->number + limits->releases <= releases);
}

/* Give back what is beyond the limits, after the lock is free. */
static void free_the_lock_and_trim(void)
{
    struct header *old[MOST_BLOCKS + 1];
    int count = 0;
    while (is_too_much())
        old[count++] = unlist(0);
    erniem_lock_free(&lock);
    while (count > 0)
        deallocate(old[--count]);
}

void erniem_release(void *memory)
{
    if (!memory)
        return;
    struct header *block = (struct header *)(void *)((char *)memory - LINE);
    block->owner = &me;
    erniem_lock_take(&lock);
    block->number = ++releases;
    kept[kept_count++] = block;
    kept_bytes += block->bytes;
    free_the_lock_and_trim();
}

void erniem_keep_much_memory(int yes)
{
    erniem_lock_take(&lock);
    users_of_much += yes ? 1 : -1;
    limits = users_of_much > 0 ? &much : &little;
    free_the_lock_and_trim();
}

void erniem_forget_memory(void)
{
    struct header *old[MOST_BLOCKS + 1];
    int count = 0;
    erniem_lock_take(&lock);
    while (kept_count > 0)
        old[count++] = unlist(0);
    erniem_lock_free(&lock);
    while (count > 0)
        deallocate(old[--count]);
}
