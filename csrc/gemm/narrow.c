/* Products with weights whose numbers are narrower than float32: y = act(x wT + bias).

   The rows of x are float32. A thread narrows a block of them, rounding them to the number type,
   into scratch memory, where they stay in the second-level cache while it multiplies them by the
   panels of its task. A tile of sums stays in registers over all of k; then the sums become results,
   and the activation runs, while they are in the first-level cache. In a chain of products (mlp.c) the
   results are narrowed there as well.

   Every row is rounded and summed by itself: its bits depend on no other row, nor on the number of
   threads. Strassen's algorithm is not used. */

#include "../runtime/platform.h"

#include "gemm.h"

enum {
    BLOCK_ROWS = 280,         /* of a task, at most; 20 tiles of 14 rows, */
    LARGE_BLOCK_ROWS = 512,   /* or 4 of 128 rows, where the cache is larger: the weight is read less often */
    SHARE_ROWS = 128,         /* of a task, at least, where each thread narrows rows of its own */
    CHUNK_PANELS = 24,        /* of a task, at most */
    FEW_ROWS = 32,            /* As in linear.c: reading the weight decides, so each thread's part */
    FEW_ROWS_TASKS = 6,       /* of it has so many tasks. */
    AHEAD = 16384,            /* bytes that a single tile of rows prefetches ahead of itself */
    STREAMED_BYTES = 3 << 19, /* of results, at least, that are written past the caches */
    NORMED_BYTES = 3 << 20    /* of a weight, at most, beside which most results stay in a cache of 2 MB,
                                 as cores with AMX have, until their rows are normed */
};

struct narrow {
    const struct erniem_product *product;
    const struct erniem_narrow *kernel;
    int64_t steps, stride;        /* of a narrowed row; bytes from one to the next */
    int64_t block_rows;           /* rows of a task */
    int64_t chunk_panels, chunks; /* panels of a task; such chunks of a weight */
    int streams;                  /* whether results are written past the caches */
    int64_t narrowed_stride;      /* of rows of results, if the product has such */
    const unsigned char *next;    /* what is read after the last task, if that is known */
    struct erniem_parts *done;    /* work items of each block, where its rows are normed, or NULL */
};

/* What a thread works with, in one block of memory. */
struct scratch {
    unsigned char *x;              /* block_rows narrowed rows */
    unsigned char *sums, *other;   /* of a tile; where results are streamed, also of the tile before, */
    struct erniem_results results; /* and those; or where those of the tile go */
    struct erniem_row *row;        /* block_rows of them */
    int64_t block;                 /* of x that was narrowed last, -1 at first */
};

enum { SUMS_BYTES = ERNIEM_MAX_ROWS * ERNIEM_COLUMNS * 4 };

/* The rows of a block as tiles read them: where they are, prefetched, or narrowed. */
static const unsigned char *narrow_rows(const struct narrow *job, struct scratch *s, int64_t block,
                                        int64_t rows)
{
    const struct erniem_product *p = job->product;
    const int64_t row0 = block * job->block_rows;
    const unsigned char *x = p->rows ? p->rows + row0 * job->stride : s->x;
    if (block == s->block)
        return x;
    s->block = block;
    if (p->rows)
        for (int64_t i = 0; i < rows * job->stride; i += ERNIEM_STEP)
            ERNIEM_PREFETCH(x + i);
    else
        for (int64_t r = 0; r < rows; r++)
            job->kernel->narrow(p->k, p->x + (row0 + r) * p->k, s->x + r * job->stride, &s->row[r]);
    return x;
}

struct work_item {
    int64_t weight, block, first, end;
};

static const unsigned char *panel_of(const struct erniem_packed *w, int64_t steps, int64_t panel)
{
    return (const unsigned char *)w->data + panel * steps * ERNIEM_PANEL_STEP;
}

/* The panel that is wanted after one: the next one, or the first one of the next task. */
static const unsigned char *what_follows(const struct narrow *job, const struct work_item *t,
                                         int64_t panel)
{
    const struct erniem_product *p = job->product;
    if (++panel < t->end)
        return panel_of(p->packed[t->weight], job->steps, panel);
    if (job->next)
        return job->next;
    const int64_t weight = (t->weight + 1) % p->count;
    return panel_of(p->packed[weight], job->steps, weight ? t->first : t->end % p->panels);
}

/* Rows, rounded up to groups that the kernel computes together. */
static int64_t whole_groups(const struct erniem_narrow *kernel, int64_t rows)
{
    const int64_t group = kernel->group ? kernel->group : 1;
    return erniem_ceil_div(rows, group) * group;
}

/* Where a tile's results of some rows and a panel go, and how many columns they have. */
struct place {
    int columns;
    unsigned char *to; /* floats, or narrowed rows */
    int64_t stride;    /* bytes from one to the next */
};

static struct place place_of(const struct narrow *job, const struct work_item *t, int64_t panel,
                             int64_t row)
{
    const struct erniem_product *p = job->product;
    const int columns = (int)erniem_min(ERNIEM_COLUMNS, p->n - panel * ERNIEM_COLUMNS);
    const int64_t step = panel * (ERNIEM_STEP << job->kernel->widens); /* a panel is a step of a row */
    if (p->narrowed)
        return (struct place){columns, p->narrowed + row * job->narrowed_stride + step,
                              job->narrowed_stride};
    float *y = p->y[t->weight] + row * p->n + panel * ERNIEM_COLUMNS;
    return (struct place){columns, (unsigned char *)y, p->n * (int64_t)sizeof(float)};
}

/* The results of a tile of sums. Those that are narrowed, or go past the caches, are made in the
   memory of the sums first; from there the next tile writes them past the caches. */
static void finish_tile(const struct narrow *job, const struct work_item *t, int64_t panel, int rows,
                        const struct erniem_row *row, struct scratch *s, struct place place)
{
    const struct erniem_product *p = job->product;
    const struct erniem_packed *w = p->packed[t->weight];
    const int64_t column = panel * ERNIEM_COLUMNS;
    const float *bias = p->bias[t->weight] ? p->bias[t->weight] + column : NULL;
    const int aside = job->streams || p->narrowed;
    float *to = (float *)(void *)(aside ? s->sums : place.to);
    const int64_t ldy = aside ? ERNIEM_COLUMNS : p->n;

    job->kernel->finish(rows, place.columns, s->sums, row, w->scales + column, w->totals + column,
                        bias, to, ldy);
    if (p->activation != ERNIEM_IDENTITY)
        p->micro->rowwise.activate(p->activation, rows, place.columns, ldy, to);
    if (job->streams) {
        s->results = (struct erniem_results){rows, to, place.to, place.stride, p->narrowed != NULL};
        s->sums = s->other;
        s->other = (unsigned char *)to;
    } else if (p->narrowed) {
        for (int r = 0; r < rows; r++)
            job->kernel->narrow(place.columns, to + r * ERNIEM_COLUMNS, place.to + r * place.stride, NULL);
    }
}

/* For each panel, every tile of rows. Each tile prefetches a share of the panel that comes next; a
   single tile prefetches what it will soon read itself. */
static void multiply(const struct narrow *job, const struct work_item *t, struct scratch *s)
{
    const struct erniem_product *p = job->product;
    const int64_t row0 = t->block * job->block_rows;
    const int64_t rows = erniem_min(job->block_rows, p->m - row0);
    const int64_t tiles = erniem_ceil_div(rows, job->kernel->mr);
    const int64_t height = whole_groups(job->kernel, erniem_ceil_div(rows, tiles));
    const unsigned char *x = narrow_rows(job, s, t->block, rows);
    struct erniem_tile_narrow tile = {.steps = job->steps, .stride = job->stride,
                                      .results = &s->results,
                                      .pace = erniem_ceil_div(ERNIEM_COLUMNS, tiles)};

    for (int64_t panel = t->first; panel < t->end; panel++) {
        tile.panel = panel_of(p->packed[t->weight], job->steps, panel);
        tile.next = tiles > 1 ? what_follows(job, t, panel)
                              : tile.panel + erniem_min(AHEAD, job->steps * ERNIEM_PANEL_STEP);

        for (int64_t r = 0; r < rows; r += height) {
            const struct place place = place_of(job, t, panel, row0 + r);
            tile.rows = (int)erniem_min(height, rows - r);
            tile.x = x + r * job->stride;
            tile.sums = s->sums;
            if (!job->streams && !p->narrowed) {
                s->results = (struct erniem_results){tile.rows, NULL, place.to, place.stride, 0};
                erniem_prefetch_results(job->kernel, place.columns, &s->results);
            }
            job->kernel->tile(&tile);
            tile.next += tile.steps * tile.pace * ERNIEM_STEP;
            finish_tile(job, t, panel, tile.rows, s->row + r, s, place);
        }
    }
    if (job->streams)
        job->kernel->stream(s->results.rows, &s->results);
}

/* Where the narrowed rows begin in the memory of a scratch: behind the sums and the steps of rows. */
static int64_t x_begins(int64_t rows)
{
    const int64_t bytes = 2 * SUMS_BYTES + rows * (int64_t)sizeof(struct erniem_row);
    return erniem_ceil_div(bytes, ERNIEM_STEP) * ERNIEM_STEP;
}

static struct scratch scratch_in(unsigned char *memory, int64_t rows)
{
    return (struct scratch){.x = memory + x_begins(rows), .sums = memory,
                            .other = memory + SUMS_BYTES, .block = -1,
                            .row = (struct erniem_row *)(void *)(memory + 2 * SUMS_BYTES)};
}

int64_t erniem_narrow_scratch(const struct erniem_product *p, int64_t rows)
{
    const int64_t stride = erniem_row_bytes(p->packed[0]->number, p->k);
    return x_begins(rows) + (p->rows ? 0 : (rows + ERNIEM_ROWS_TOGETHER - 1) * stride);
}

static void multiply_some(const void *work, struct erniem_tasks *tasks)
{
    const struct narrow *job = work;
    const struct erniem_product *p = job->product;
    unsigned char *memory = erniem_acquire(erniem_narrow_scratch(p, job->block_rows));
    if (!memory)
        return;
    struct scratch s = scratch_in(memory, job->block_rows);
    if (job->kernel->begin)
        job->kernel->begin();
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t first = task / p->count % job->chunks * job->chunk_panels;
        const struct work_item t = {.weight = task % p->count,
                                    .block = task / p->count / job->chunks, .first = first,
                                    .end = erniem_min(p->panels, first + job->chunk_panels)};
        multiply(job, &t, &s);
        erniem_norm_block(p, job->done, t.block, job->chunks, t.block * job->block_rows,
                          erniem_min(job->block_rows, p->m - t.block * job->block_rows));
    }
    if (job->kernel->end)
        job->kernel->end();
    erniem_release(memory);
}

/* Whether results go past the caches: they are too many to stay there, and whole lines. Results whose
   rows are normed go there only if a large weight, on its way through the cache, pushes them out. */
static int streams(const struct erniem_product *p, const struct erniem_narrow *kernel,
                   int64_t panel_bytes)
{
    uintptr_t places = 0;
    if (p->narrowed)
        return kernel->stream && p->n % ERNIEM_COLUMNS == 0 &&
               p->m * p->n * (int64_t)sizeof(uint16_t) > STREAMED_BYTES;
    if (p->norm && p->panels * panel_bytes <= NORMED_BYTES)
        return 0;
    for (int64_t i = 0; i < p->count; i++)
        places |= (uintptr_t)p->y[i];
    return kernel->stream && p->n % ERNIEM_COLUMNS == 0 && places % ERNIEM_STEP == 0 &&
           p->count * p->m * p->n * (int64_t)sizeof(float) > STREAMED_BYTES;
}

/* An odd number of cache lines apart, so that the rows of a tile lie in different cache sets. */
int64_t erniem_row_bytes(int number, int64_t k)
{
    return (erniem_steps(number, k) << erniem_narrow(number)->widens | 1) * ERNIEM_STEP;
}

static struct narrow job_of(const struct erniem_product *p)
{
    const int number = p->packed[0]->number;
    return (struct narrow){.product = p, .kernel = erniem_narrow(number),
                           .steps = erniem_steps(number, p->k),
                           .stride = erniem_row_bytes(number, p->k),
                           .block_rows = p->m,
                           .narrowed_stride = erniem_row_bytes(number, p->n)};
}

void erniem_multiply_narrow_here(const struct erniem_product *p, const struct erniem_packed *next,
                                 unsigned char *memory)
{
    struct narrow job = job_of(p);
    struct scratch s = scratch_in(memory, p->m);
    const struct work_item all = {.end = p->panels};
    job.next = next->data;
    multiply(&job, &all, &s);
}

int erniem_multiply_narrow(const struct erniem_product *p)
{
    struct narrow job = job_of(p);
    const struct erniem_narrow *kernel = job.kernel;
    const int64_t bytes = kernel->block_bytes ? kernel->block_bytes : ERNIEM_BLOCK_BYTES;
    const int64_t threads = erniem_get_threads(), whole = whole_groups(kernel, 1);
    const int64_t rows = erniem_min(kernel->block_bytes ? LARGE_BLOCK_ROWS : BLOCK_ROWS, bytes / job.stride);
    const int64_t most = erniem_max(FEW_ROWS, rows / whole * whole);
    job.block_rows = p->m >= threads * SHARE_ROWS
                         ? erniem_even_rows(p->m, most, whole)
                         : whole_groups(kernel, erniem_ceil_div(p->m, erniem_ceil_div(p->m, most)));
    const int64_t blocks = erniem_ceil_div(p->m, job.block_rows);
    /* Threads that can share the blocks evenly narrow each block once, and not once each. */
    const int64_t share = blocks % threads == 0 ? p->panels : erniem_ceil_div(p->panels, threads);
    job.chunk_panels = p->m <= FEW_ROWS ? erniem_ceil_div(share, FEW_ROWS_TASKS)
                                        : erniem_min(share, CHUNK_PANELS);
    job.chunks = erniem_ceil_div(p->panels, job.chunk_panels);
    job.streams = streams(p, kernel, job.steps * ERNIEM_PANEL_STEP);
    erniem_prefetch_begin(panel_of(p->packed[0], job.steps, share % p->panels),
                          panel_of(p->packed[0], job.steps, p->panels));
    if (!job.streams && erniem_begin_norm(p, blocks, &job.done) != 0)
        return ERNIEM_NO_MEMORY;
    return erniem_end_norm(p, job.done,
                           erniem_parallel(blocks * p->count * job.chunks, multiply_some, &job));
}
