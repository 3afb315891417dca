/* Weights are fetched before they are asked for, by threads that wait.

   From one product to the next a few microseconds pass in Python, in which nobody reads memory;
   with few rows, reading is what a product waits for. What followed a product last time will
   follow it again, as a model's layers do: so that is noted, and then fetched. Prefetching an
   address asks for no promise that anything is there: a note that is out of date, or written by
   two threads at once, costs some traffic and nothing else. */

#include "internal.h"

#if defined(_WIN32) || defined(ERNIEM_SERIAL)

const float *erniem_begins(const float *weight, const float *end)
{
    (void)weight;
    (void)end;
    return NULL;
}
void erniem_fetch_ahead(void) {}

#else

#include <stdatomic.h>

/* How many notes are kept, as a power of 2. How many bytes are fetched between two pauses: as many
   as memory delivers, for processors drop prefetches that come faster. How many for one product:
   what comes while Python goes through a few short kernels. */
enum { NOTE_BITS = 10, PIECE = 768, MOST = 2 << 20, LINE = 64 };

/* A product is known by the place in its weight where a second thread begins: that is what a
   waiting thread will read. */
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

const float *erniem_begins(const float *weight, const float *end)
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
    return (const float *)next;
}

void erniem_fetch_ahead(void)
{
    if (atomic_load(&from) >= atomic_load(&to))
        return;
    const uintptr_t piece = atomic_fetch_add(&from, PIECE);
    for (uintptr_t line = piece; line < piece + PIECE; line += LINE)
        __builtin_prefetch((const void *)line, 0, 2);
}

#endif
