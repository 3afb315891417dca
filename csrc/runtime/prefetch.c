/* Prefetch of weights: threads that wait for the next product already read its weight into a cache.

   From one product to the next a few microseconds pass in Python, in which no thread reads memory;
   with few rows, reading memory is what takes the time of a product. A model calls its products in
   the same order each time, so the product that followed this one last time is expected again. Notes
   say which one that is. The threads of the pool fetch it while they wait; those of OpenMP wait
   inside their own library and fetch nothing.

   A prefetch of a wrong address does no harm. So a note that is out of date, or that two threads
   wrote at once, costs some memory traffic and nothing else. */

#include "platform.h"

#include "internal.h"

/* NOTE_BITS: 2^NOTE_BITS notes are kept.
   BYTES: fetched between two pauses; about what memory delivers in that time, because processors
   drop prefetches that come faster.
   MOST: bytes fetched of one product, about what arrives while Python runs between two kernels. */
enum { NOTE_BITS = 10, BYTES = 768, MOST = 2 << 20, LINE = 64 };

/* A product is identified by the address in its weight at which a second thread begins: that is
   what a waiting thread will read. */
struct note {
    _Atomic uintptr_t product, end, next;
};

static struct note notes[1 << NOTE_BITS];
static struct note *_Atomic latest;
static _Atomic uintptr_t from, to; /* what is left to fetch */

static struct note *note_of(uintptr_t product)
{
    return &notes[(uint32_t)(product / LINE) * 2654435761u >> (32 - NOTE_BITS)];
}

const void *erniem_prefetch_begin(const void *weight, const void *end)
{
    const uintptr_t product = (uintptr_t)weight;
    struct note *before = atomic_load(&latest), *now = note_of(product);
    if (before)
        atomic_store(&before->next, product);
    if (atomic_load(&now->product) != product) {
        atomic_store(&now->product, product);
        atomic_store(&now->next, 0);
    }
    atomic_store(&now->end, (uintptr_t)end);
    atomic_store(&latest, now);

    const uintptr_t next = atomic_load(&now->next);
    struct note *then = note_of(next);
    const uintptr_t its_end = atomic_load(&then->product) == next ? atomic_load(&then->end) : 0;
    atomic_store(&to, its_end < next + MOST ? its_end : next + MOST);
    atomic_store(&from, next);
    return (const void *)next;
}

void erniem_prefetch_some(void)
{
    if (atomic_load(&from) >= atomic_load(&to))
        return;
    const uintptr_t start = atomic_fetch_add(&from, BYTES);
    for (uintptr_t line = start; line < start + BYTES; line += LINE)
        ERNIEM_PREFETCH((const void *)line);
}
