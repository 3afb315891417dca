/* The products of attention in float32, over tiles of the products with float32 weights. For the queries
   of a block:

      e = exp(scores - max scores),  context = (e . v) * (factor / sum of e)

   The keys are read KEYS at a time, so that their exponentials and values stay in the first-level
   cache. e . v may overflow where the context does not. So a query whose context is not finite is
   computed again as the formula has it, with the probabilities times the values. */

#include <math.h>

#include "attention.h"

enum { KEYS = 128 }; /* the same on every instruction set, as it decides which sums are added */

/* Floats from a key to the next. */
static int64_t key_stride(const struct attention *p) { return erniem_ceil_div(p->d, 16) * 16; }

static void measure(const struct attention *p, struct scratch_sizes *sizes)
{
    const int64_t S = p->most_keys, nr = p->columns;
    *sizes = (struct scratch_sizes){.keys = 4 * S * key_stride(p),
                                    .values = 4 * erniem_ceil_div(p->d, nr) * nr * S,
                                    .queries = 4 * p->d * nr};
}

static void lay(const struct attention *p, const struct head *head, const struct scratch *s)
{
    const int64_t nr = p->columns, count = head->count;
    const float *k = p->k + offset(p->k_stride, &head->text, head->h, 0);
    const float *v = p->v + offset(p->v_stride, &head->text, head->h, 0);
    const float scale = 1.0f / sqrtf((float)p->d);
    p->micro->attention.scale(count, p->d, k, p->k_stride[2], head->keys, &scale, 0, s->keys_laid,
                              key_stride(p));
    for (int64_t l = 0; l < p->d; l += nr)
        p->micro->gemm.pack_across(erniem_min(nr, p->d - l), count, v + l, p->v_stride[2], head->keys,
                                   (float *)s->values_laid + l * count);
}

/* Whether the next head comes after this block. */
static int is_last(const struct head *head, const struct block *block)
{
    return block->t + block->queries == head->text.T;
}

/* What tile i of a block prefetches of the next head: d rows of nr columns, first of the keys, then of
   the queries. They lie too far apart for the processor to find them by itself. */
static const float *rows_ahead(const struct attention *p, const struct head *head, int64_t i)
{
    const int64_t panels = erniem_ceil_div(p->d, p->columns), row = i / panels * p->d;
    const int64_t column = i % panels * p->columns, S = erniem_ceil_div(head->text.S, p->d) * p->d;
    return (row < S ? ahead(p, head, p->k, p->k_stride, row)
                    : ahead(p, head, p->q, p->q_stride, row - S)) + column;
}

/* Rows of a tile, where n rows are divided into tiles that are about equal. */
static int64_t share_of(const struct attention *p, int64_t n)
{
    return erniem_ceil_div(n, erniem_ceil_div(n, p->micro->gemm.mr));
}

/* (keys, d) . (d, queries) -> (keys, queries) */
static void score(const struct attention *p, const struct head *head, const struct block *block,
                  const struct scratch *s)
{
    const int64_t share = share_of(p, block->end - block->first), stride = key_stride(p);
    const float *q = p->q + offset(p->q_stride, &head->text, head->h, block->t);
    p->micro->gemm.pack(block->queries, p->d, q, p->q_stride[2], NULL, s->queries);
    struct erniem_tile_f32 tile = {.columns = block->width, .kc = p->d, .lda = stride,
                                   .b = s->queries, .pace = is_last(head, block) ? p->k_stride[2] : 0,
                                   .ldc = p->columns};
    for (int64_t j = block->first, i = 0; j < block->end; j += share, i++) {
        tile.next = is_last(head, block) ? rows_ahead(p, head, i) : tile.b;
        tile.rows = (int)erniem_min(share, block->end - j);
        tile.a = (const float *)s->keys_laid + j * stride;
        tile.c = s->scores + j * p->columns;
        p->micro->gemm.tile(&tile);
    }
}

/* The context of queries r .. r + rows - 1 gets exponentials times values of the keys first .. end. */
static void multiply(const struct attention *p, const struct head *head, const struct block *block,
                     int64_t r, int64_t rows, int64_t first, int64_t end, const struct scratch *s)
{
    const int64_t nr = p->columns;
    float *context = context_of(p, &head->text, head->h, block->t + r);
    struct erniem_tile_f32 tile = {.rows = (int)rows, .kc = end - first, .lda = nr,
                                   .a = s->scores + first * nr + r, .add = first > block->first,
                                   .ldc = p->H * p->d};
    tile.pace = is_last(head, block) ? p->v_stride[2] : 0;
    for (int64_t l = 0; l < p->d; l += nr) { /* (rows, keys).(keys, nr) -> (rows, nr) */
        tile.columns = (int)erniem_min(nr, p->d - l);
        tile.b = (const float *)s->values_laid + l * head->count + first * nr;
        tile.next = is_last(head, block) ? ahead(p, head, p->v, p->v_stride, first) + l : tile.b;
        tile.c = context + l;
        p->micro->gemm.tile_across(&tile);
    }
}

/* Where the run of keys that has key j ends. */
static int64_t end_of_run(const struct block *block, int64_t j)
{
    return erniem_min(block->end, (j / KEYS + 1) * KEYS);
}

static int is_finite(int64_t n, const float *x)
{
    int finite = 1;
    for (int64_t i = 0; i < n; i++)
        finite &= isfinite(x[i]) != 0;
    return finite;
}

/* Query r of the block with its probabilities. */
static void multiply_probabilities(const struct attention *p, const struct head *head,
                                   const struct block *block, int64_t r, const struct scratch *s)
{
    for (int64_t j = block->first; j < block->end; j++)
        s->scores[j * p->columns + r] *= s->shares[r];
    s->shares[r] = 1.0f;
    for (int64_t j = block->first, end; j < block->end; j = end) {
        end = end_of_run(block, j);
        multiply(p, head, block, r, 1, j, end, s);
    }
}

static void average(const struct attention *p, const struct head *head, const struct block *block,
                    const struct scratch *s)
{
    const int64_t share = share_of(p, block->queries), row = p->H * p->d;
    float *context = context_of(p, &head->text, head->h, block->t);
    memset(s->sums, 0, (size_t)block->width * sizeof(float));
    for (int64_t j = block->first, end; j < block->end; j = end) {
        end = end_of_run(block, j);
        p->micro->attention.exponentials(end - j, block->width, p->columns, s->highest,
                                         s->scores + j * p->columns, s->sums);
        for (int64_t r = 0; r < block->queries && end == block->end; r++)
            s->shares[r] = head->factor / s->sums[r];
        for (int64_t r = 0; r < block->queries; r += share)
            multiply(p, head, block, r, erniem_min(share, block->queries - r), j, end, s);
    }
    const int finite = p->micro->attention.scale(block->queries, p->d, context, row, NULL, s->shares, 1,
                                                 context, row);
    for (int64_t r = 0; r < block->queries && !finite; r++)
        if (!is_finite(p->d, context + r * row))
            multiply_probabilities(p, head, block, r, s);
}

const struct erniem_attention_kind erniem_attention_float32 = {measure, lay, score, average};
