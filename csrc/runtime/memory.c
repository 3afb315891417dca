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

enum { LINE = 64, HUGE_PAGE = 1 << 21, LEAST_PIECE = 1 << 16, MOST_KEPT = 1024 };

/* Of the list: its blocks, their bytes, and releases after which a block that nobody took goes. A block
   may be `times` as large as what is asked for; then it may be cut. */
struct limits {
    int blocks, cuts; /* cuts: whether blocks are cut */
    int64_t bytes, releases, times;
};
static const struct limits little = {48, 0, (int64_t)128 << 20, 1024, 2};
static const struct limits much = {MOST_KEPT / 2, 1, ERNIEM_MOST, 8192, 16};

struct header { /* in the cache line before the block */
    int64_t bytes;
    struct header *before, *after; /* pieces beside it, of the same memory of the system, or NULL */
    struct header *next;           /* of the blocks that are given back */
    int is_free;
};
_Static_assert(sizeof(struct header) <= LINE, "a header fits in the line before its block");

struct kept { /* a free block; beside each other they are searched without a look at the headers */
    struct header *block;
    int64_t bytes, number; /* number: of the last release when it came into the list */
    const char *owner;     /* the thread that released or cut it: the address of its `me` */
};

static ERNIEM_THREAD_LOCAL char me;

static erniem_lock lock = ERNIEM_LOCK_INIT; /* guards all below, and the headers */
static const struct limits *limits = &little;
static int users_of_much;
static struct kept kept[MOST_KEPT]; /* oldest first */
static int kept_count;
static int64_t kept_bytes, releases;

/* Where the list is full, a free block is not in it. */
static void enlist(struct header *block, const char *owner)
{
    block->is_free = 1;
    if (kept_count == MOST_KEPT)
        return;
    kept[kept_count++] = (struct kept){block, block->bytes, releases, owner};
    kept_bytes += block->bytes;
}

static void unlist(int i)
{
    kept[i].block->is_free = 0;
    kept_bytes -= kept[i].bytes;
    kept_count--;
    for (; i < kept_count; i++)
        kept[i] = kept[i + 1];
}

static int is_whole(const struct header *block) { return !block->before && !block->after; }

/* Whether this thread had the block: it is likely to be in the cache of its core. */
static int is_own(const struct kept *block) { return block->owner == &me; }

/* The place of the smallest block that suits. Among blocks of one size, the thread's own come first, then
   the newest. -1 if there is none. */
static int find(int64_t bytes)
{
    int best = -1;
    for (int i = 0; i < kept_count; i++) {
        const int64_t has = kept[i].bytes, had = best < 0 ? ERNIEM_MOST + 1 : kept[best].bytes;
        const int suits = has >= bytes && has <= bytes * limits->times;
        if (suits && (has < had || (has == had && is_own(&kept[i]) >= is_own(&kept[best]))))
            best = i;
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
    *piece = (struct header){.bytes = rest, .before = block, .after = block->after};
    if (piece->after)
        piece->after->before = piece;
    block->after = piece;
    block->bytes = size;
    enlist(piece, &me);
}

/* Take a free block out of the list, if it is there. */
static void take(struct header *block)
{
    block->is_free = 0;
    for (int i = kept_count - 1; i >= 0; i--)
        if (kept[i].block == block) {
            unlist(i);
            return;
        }
}

/* Make the piece after a block a part of it. Both are in no list. */
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
    const int place = find(bytes);
    struct header *block = place < 0 ? NULL : kept[place].block;
    if (block) {
        unlist(place);
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

/* Give back the whole blocks that are beyond the limits, after the lock is free; and `gone`. */
static void free_the_lock_and_trim(const struct limits *most, struct header *gone)
{
    for (int i = 0; i < kept_count && (kept_count > most->blocks || kept_bytes > most->bytes ||
                                       kept[i].number + most->releases <= releases);) {
        struct header *block = kept[i].block;
        if (is_whole(block)) {
            unlist(i);
            block->next = gone;
            gone = block;
        } else {
            i++;
        }
    }
    erniem_lock_free(&lock);
    while (gone) {
        struct header *block = gone;
        gone = block->next;
        deallocate(block);
    }
}

void erniem_release(void *memory)
{
    if (!memory)
        return;
    struct header *block = (struct header *)(void *)((char *)memory - LINE), *gone = NULL;
    erniem_lock_take(&lock);
    releases++;
    if (block->after && block->after->is_free) {
        take(block->after);
        join_next(block);
    }
    if (block->before && block->before->is_free) {
        block = block->before;
        take(block);
        join_next(block);
    }
    if (kept_count == MOST_KEPT && is_whole(block)) {
        block->next = NULL;
        gone = block;
    } else {
        enlist(block, &me);
    }
    free_the_lock_and_trim(limits, gone);
}

void erniem_keep_much_memory(int yes)
{
    erniem_lock_take(&lock);
    users_of_much += yes ? 1 : -1;
    limits = users_of_much > 0 ? &much : &little;
    free_the_lock_and_trim(limits, NULL);
}

void erniem_forget_memory(void)
{
    static const struct limits none = {0};
    erniem_lock_take(&lock);
    free_the_lock_and_trim(&none, NULL);
}
