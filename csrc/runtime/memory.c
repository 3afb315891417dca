/* Memory that is reused: scratch of the kernels, large results.

   A released block goes to a list. The next caller takes it from there, with its pages already
   mapped. The list is limited; beyond that the oldest block is given back to the system, and so is a
   block that nobody took while many others were released: batches have other sizes by now.

   Training has far wider limits, as each step needs the blocks of the one before. And it cuts blocks:
   in the backward pass the gradients of a layer, which have other sizes, take the place of what the
   layer kept. A piece that is released is joined with the pieces beside it that are free. */

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

enum { LINE = 64, HUGE_PAGE = 1 << 21, LEAST_PIECE = 1 << 16 };

/* Of the list: its blocks, their bytes, and releases after which a block that nobody took goes. A block
   may be `times` as large as what is asked for; then it may be cut. */
struct limits {
    int blocks, cuts;
    int64_t bytes, releases, times;
};
static const struct limits little = {48, 0, (int64_t)128 << 20, 1024, 2};
static const struct limits much = {512, 1, ERNIEM_MOST, 8192, 16};

struct header { /* in the cache line before the block */
    int64_t bytes, number;          /* number: of the last release when it came into the list */
    const char *owner;              /* the thread that released it: the address of its `me` */
    struct header *older, *newer;   /* in the list */
    struct header *before, *after;  /* pieces beside it, of the same memory of the system, or NULL */
    int is_free;                    /* whether it is in the list */
};
_Static_assert(sizeof(struct header) <= LINE, "a header fits in the line before its block");

static ERNIEM_THREAD_LOCAL char me;

static erniem_lock lock = ERNIEM_LOCK_INIT; /* guards all below, and the headers */
static const struct limits *limits = &little;
static int users_of_much;
static struct header *oldest, *newest;
static int free_count;
static int64_t free_bytes, releases;

static void enlist(struct header *block)
{
    block->is_free = 1;
    block->number = releases;
    block->older = newest;
    block->newer = NULL;
    *(newest ? &newest->newer : &oldest) = block;
    newest = block;
    free_bytes += block->bytes;
    free_count++;
}

static void unlist(struct header *block)
{
    block->is_free = 0;
    *(block->older ? &block->older->newer : &oldest) = block->newer;
    *(block->newer ? &block->newer->older : &newest) = block->older;
    free_bytes -= block->bytes;
    free_count--;
}

/* Whether this thread released the block: it is likely to be in the cache of its core. */
static int is_own(const struct header *block) { return block->owner == &me; }

/* The smallest block in the list that suits. Among blocks of one size, the thread's own come first, then
   the newest. NULL if there is none. */
static struct header *find(int64_t bytes)
{
    struct header *best = NULL;
    for (struct header *block = oldest; block; block = block->newer) {
        const int64_t has = block->bytes, had = best ? best->bytes : ERNIEM_MOST + 1;
        const int suits = has >= bytes && has <= bytes * limits->times;
        if (suits && (has < had || (has == had && is_own(block) >= is_own(best))))
            best = block;
    }
    return best;
}

/* Leave a block no more than `bytes`; what follows them goes to the list. */
static void cut(struct header *block, int64_t bytes)
{
    const int64_t size = erniem_ceil_div(bytes, LINE) * LINE, rest = block->bytes - size - LINE;
    if (rest < LEAST_PIECE)
        return;
    struct header *piece = (struct header *)(void *)((char *)block + LINE + size);
    *piece = (struct header){.bytes = rest, .owner = block->owner, .before = block,
                             .after = block->after};
    if (piece->after)
        piece->after->before = piece;
    block->after = piece;
    block->bytes = size;
    enlist(piece);
}

/* Make the piece after a block, which is free, a part of it. */
static void join_next(struct header *block)
{
    const struct header *next = block->after;
    block->bytes += LINE + next->bytes;
    block->after = next->after;
    if (block->after)
        block->after->before = block;
}

/* A child of a fork finds the list as it was: nobody changes it while the fork lasts. */
static void before_fork(void) { erniem_lock_take(&lock); }
static void in_parent(void) { erniem_lock_free(&lock); }
static void in_child(void) { erniem_lock_renew(&lock); }

static void watch_forks(void) { erniem_around_fork(before_fork, in_parent, in_child); }

void *erniem_acquire(int64_t bytes)
{
    if (bytes < 0 || bytes > ERNIEM_MOST)
        return NULL;
    static erniem_once once = ERNIEM_ONCE_INIT;
    erniem_watch_forks(&once, watch_forks);
    erniem_lock_take(&lock);
    struct header *block = find(bytes);
    if (block) {
        unlist(block);
        if (limits->cuts)
            cut(block, bytes);
    }
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
        *block = (struct header){.bytes = bytes};
    }
    return (char *)block + LINE;
}

/* The block that has been in the list for the longest time, but no piece of one; or NULL. */
static struct header *oldest_whole(void)
{
    struct header *block = oldest;
    while (block && (block->before || block->after))
        block = block->newer;
    return block;
}

/* Give back what is beyond the limits, after the lock is free. */
static void free_the_lock_and_trim(const struct limits *most)
{
    struct header *gone = NULL, *block;
    while ((block = oldest_whole()) &&
           (free_count > most->blocks || free_bytes > most->bytes ||
            block->number + most->releases <= releases)) {
        unlist(block);
        block->older = gone;
        gone = block;
    }
    erniem_lock_free(&lock);
    while (gone) {
        block = gone;
        gone = block->older;
        deallocate(block);
    }
}

void erniem_release(void *memory)
{
    if (!memory)
        return;
    struct header *block = (struct header *)(void *)((char *)memory - LINE);
    erniem_lock_take(&lock);
    releases++;
    if (block->after && block->after->is_free) {
        unlist(block->after);
        join_next(block);
    }
    if (block->before && block->before->is_free) {
        block = block->before;
        unlist(block);
        join_next(block);
    }
    block->owner = &me;
    enlist(block);
    free_the_lock_and_trim(limits);
}

void erniem_keep_much_memory(int yes)
{
    erniem_lock_take(&lock);
    users_of_much += yes ? 1 : -1;
    limits = users_of_much > 0 ? &much : &little;
    free_the_lock_and_trim(limits);
}

void erniem_forget_memory(void)
{
    static const struct limits none = {0};
    erniem_lock_take(&lock);
    free_the_lock_and_trim(&none);
}
