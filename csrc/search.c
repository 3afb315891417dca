/* The k rows of a matrix with the largest dot products, for each of some queries.

   The queries are packed once, as the panels of a weight. Each row is read from memory once: a tile
   of rows is multiplied with all panels while it is in the first-level cache, and meanwhile the next
   tile is prefetched. The scores of a tile stay in that cache, too, until they are compared with the
   worst of the k best so far. Each thread keeps the best of the rows that it takes; at the end these
   are merged. "Better" is a strict order, so the result does not depend on who took which rows. */

#include "runtime/platform.h"

#include <math.h>
#include <string.h>

#include "gemm/gemm.h"

enum { TASK_TILES = 16 }; /* of a work item */

struct found {
    float score;
    int64_t index;
};

/* The best of each query, as heaps with the worst one at the top. */
struct best {
    struct found *heaps; /* (queries, k) */
    int64_t *counts;     /* how many each heap holds, at most k */
    float *worst;        /* the score at the top of a full heap, else -infinity */
};

struct search {
    const struct erniem_packed *queries;
    int64_t n, d, k;
    const float *vectors;
    struct best *all; /* guarded by `lock` */
    erniem_lock *lock;
};

static int is_better(struct found a, struct found b)
{
    return a.score > b.score || (a.score == b.score && a.index < b.index);
}

/* Put `x` at the top of a heap of `count`, and let it sink to its place. */
static void sink(struct found *heap, int64_t count, struct found x)
{
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_better(heap[child], heap[child + 1]))
            child++;
        if (!is_better(x, heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* Keep `x` if it is one of the k best of the query so far. */
static void offer(const struct best *best, int64_t k, int64_t query, struct found x)
{
    struct found *heap = best->heaps + query * k;
    int64_t i = best->counts[query];
    if (i == k) {
        if (!is_better(x, heap[0]))
            return;
        sink(heap, k, x);
    } else {
        for (int64_t above; i > 0 && is_better(heap[above = (i - 1) / 2], x); i = above)
            heap[i] = heap[above];
        heap[i] = x;
        best->counts[query]++;
    }
    if (best->counts[query] == k)
        best->worst[query] = heap[0].score;
}

/* Order a heap from the best to the worst. */
static void sort(struct found *heap, int64_t count)
{
    while (--count > 0) {
        const struct found last = heap[count];
        heap[count] = heap[0];
        sink(heap, count, last);
    }
}

/* Empty heaps in new memory, which belongs to best->heaps; 0 where there is none. */
static int acquire(struct best *best, int64_t queries, int64_t k)
{
    const int64_t each = k * (int64_t)sizeof(struct found) + (int64_t)sizeof(int64_t) +
                         (int64_t)sizeof(float);
    best->heaps = erniem_acquire(queries * each);
    if (!best->heaps)
        return 0;
    best->counts = (int64_t *)(void *)(best->heaps + queries * k);
    best->worst = (float *)(void *)(best->counts + queries);
    for (int64_t i = 0; i < queries; i++) {
        best->counts[i] = 0;
        best->worst[i] = -INFINITY;
    }
    return 1;
}

static void offer_rows(const struct search *s, const struct best *best, int64_t row0, int64_t rows,
                       const float *scores, int64_t stride)
{
    const int64_t queries = s->queries->n;
    for (int64_t r = 0; r < rows; r++, scores += stride) {
        int any = 0;
        for (int64_t j = 0; j < queries; j++)
            any |= !(scores[j] < best->worst[j]);
        for (int64_t j = 0; any && j < queries; j++)
            if (!(scores[j] < best->worst[j]))
                offer(best, s->k, j, (struct found){scores[j], row0 + r});
    }
}

/* Rows that cannot be read in place are copied; linear.c says which. */
static int fits_in_place(int64_t d) { return d <= ERNIEM_KC && d % 512 != 0; }

/* scores (rows, panels * nr) = some rows of the vectors times all queries. */
static void multiply(const struct search *s, int64_t row0, int64_t rows, float *copy, float *scores)
{
    const struct erniem_packed *queries = s->queries;
    const int nr = queries->micro->gemm.nr;
    const float *x = s->vectors + row0 * s->d, *next = x + rows * s->d;
    struct erniem_tile_f32 tile = {.rows = (int)rows, .ldc = queries->panels * nr,
                                   .pace = erniem_ceil_div(rows, queries->panels)};
    for (int64_t block = 0; block * ERNIEM_KC < s->d; block++, x += ERNIEM_KC) {
        tile.kc = erniem_min(ERNIEM_KC, s->d - block * ERNIEM_KC);
        tile.add = block > 0;
        tile.a = copy ? copy : x;
        tile.lda = copy ? ERNIEM_STRIDE : s->d;
        for (int64_t r = 0; copy && r < rows; r++)
            memcpy(copy + r * ERNIEM_STRIDE, x + r * s->d, (size_t)tile.kc * sizeof(float));
        for (int64_t panel = 0; panel < queries->panels; panel++) {
            tile.columns = (int)erniem_min(nr, queries->n - panel * nr);
            tile.b = erniem_panel(queries, block, panel);
            tile.next = next;
            tile.c = scores + panel * nr;
            queries->micro->gemm.tile(&tile);
            next += tile.kc * tile.pace;
        }
    }
}

static void search_some(const void *job, struct erniem_tasks *tasks)
{
    const struct search *s = job;
    const int mr = s->queries->micro->gemm.mr;
    const int64_t queries = s->queries->n, stride = s->queries->panels * s->queries->micro->gemm.nr;
    const int64_t copied = fits_in_place(s->d) ? 0 : mr * ERNIEM_STRIDE;
    float *scores = erniem_acquire((mr * stride + copied) * (int64_t)sizeof *scores);
    struct best best = {NULL, NULL, NULL};
    if (scores && acquire(&best, queries, s->k)) {
        float *copy = copied ? scores + mr * stride : NULL;
        for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
            const int64_t end = erniem_min(s->n, (task + 1) * TASK_TILES * mr);
            for (int64_t row = task * TASK_TILES * mr; row < end; row += mr) {
                const int64_t rows = erniem_min(mr, end - row);
                multiply(s, row, rows, copy, scores);
                offer_rows(s, &best, row, rows, scores, stride);
            }
        }
        erniem_lock_take(s->lock);
        for (int64_t j = 0; j < queries; j++)
            for (int64_t i = 0; i < best.counts[j]; i++)
                offer(s->all, s->k, j, best.heaps[j * s->k + i]);
        erniem_lock_free(s->lock);
    }
    erniem_release(best.heaps);
    erniem_release(scores);
}

/* 0 where the sizes are those of a search, else a status. */
static int check_sizes(int64_t n, int64_t d, int64_t queries, int64_t k)
{
    const int64_t most = ERNIEM_MOST / (int64_t)sizeof(struct found) / 2; /* in bytes they fit, too */
    if (!erniem_fits(n, d, 1) || d < 1 || k < 1 || k > n || !erniem_fits(queries, k, 1))
        return ERNIEM_BAD_SIZE;
    return queries * k <= most ? 0 : ERNIEM_BAD_SIZE;
}

int erniem_top_scores(int64_t n, int64_t d, const float *vectors,
                      const struct erniem_packed *queries, int64_t k, int64_t *indices,
                      float *scores)
{
    int status = check_sizes(n, d, queries->n, k);
    if (status != 0 || queries->k != d || queries->number != ERNIEM_FLOAT32)
        return ERNIEM_BAD_SIZE;
    if (queries->micro != erniem_micro())
        return ERNIEM_WRONG_ISA;
    if (queries->n == 0)
        return 0;
    struct best all;
    if (!acquire(&all, queries->n, k))
        return ERNIEM_NO_MEMORY;
    erniem_lock lock = ERNIEM_LOCK_INIT;
    const struct search job = {queries, n, d, k, vectors, &all, &lock};
    status = erniem_parallel(erniem_ceil_div(n, TASK_TILES * queries->micro->gemm.mr), search_some,
                             &job);
    for (int64_t j = 0; status == 0 && j < queries->n; j++) {
        sort(all.heaps + j * k, k);
        for (int64_t i = 0; i < k; i++) {
            indices[j * k + i] = all.heaps[j * k + i].index;
            scores[j * k + i] = all.heaps[j * k + i].score;
        }
    }
    erniem_release(all.heaps);
    return status;
}

int erniem_top_scores_reference(int64_t n, int64_t d, const float *vectors, int64_t q,
                                const float *queries, int64_t k, int64_t *indices, float *scores)
{
    if (check_sizes(n, d, q, k) != 0)
        return ERNIEM_BAD_SIZE;
    for (int64_t j = 0; j < q; j++, indices += k, scores += k)
        for (int64_t row = 0, count = 0; row < n; row++) {
            double sum = 0.0;
            for (int64_t l = 0; l < d; l++)
                sum += (double)vectors[row * d + l] * queries[j * d + l];
            int64_t place = count;
            for (; place > 0 && scores[place - 1] < (float)sum; place--)
                if (place < k) {
                    indices[place] = indices[place - 1];
                    scores[place] = scores[place - 1];
                }
            if (place < k) {
                indices[place] = row;
                scores[place] = (float)sum;
                count += count < k;
            }
        }
    return 0;
}
