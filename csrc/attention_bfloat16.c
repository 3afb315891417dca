/* The products of attention in bfloat16: queries, keys, exponentials and values are rounded to it,
   to nearest even, and sums are float32. For the queries of a block:

      e = bfloat16(exp(scores - max scores)),  context = (e . bfloat16(v)) * (factor / sum of e)

   A softmax whose exponentials are rounded: its probabilities sum to 1. The tiles are those of the
   products with weights of bfloat16 (micro/narrow.h): keys are their rows, then the values transposed,
   and the queries are the columns of their panels. */

#include "runtime/platform.h"

#include <math.h>

#include "attention.h"

/* Bytes of a row of n numbers as `narrow` writes it. */
static int64_t row_bytes(const struct attention *p, int64_t n)
{
    return erniem_row_bytes(p->number, n);
}

/* Bytes of a panel of columns of n numbers. */
static int64_t panel_bytes(const struct attention *p, int64_t n)
{
    return erniem_steps(p->number, n) * ERNIEM_PANEL_STEP;
}

/* As many rows as a tile may read and write. */
static int64_t whole_rows(int64_t n)
{
    return erniem_ceil_div(n, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
}

static void measure(const struct attention *p, struct scratch_sizes *sizes)
{
    const int64_t S = p->most_keys, d = p->d;
    *sizes = (struct scratch_sizes){.keys = whole_rows(S) * row_bytes(p, d),
                                    .values = whole_rows(d) * row_bytes(p, S),
                                    .queries = panel_bytes(p, d) + 4 * ERNIEM_COLUMNS * d,
                                    .weights = panel_bytes(p, S),
                                    .contexts = 4 * whole_rows(d) * ERNIEM_COLUMNS};
}

static void lay(const struct attention *p, const struct head *head, const struct scratch *s)
{
    const float *k = p->k + offset(p->k_stride, &head->text, head->h, 0);
    const float *v = p->v + offset(p->v_stride, &head->text, head->h, 0);
    unsigned char *to = s->keys_laid;
    for (int64_t j = 0; j < head->count; j++, to += row_bytes(p, p->d))
        p->narrow->narrow(p->d, k + (head->keys ? head->keys[j] : j) * p->k_stride[2], to, NULL);
    p->narrow->attention->lay_across(head->count, p->d, v, p->v_stride[2], head->keys, s->values_laid,
                                     row_bytes(p, p->most_keys));
}

/* The panel of these queries, divided by sqrt(d). */
static void pack_queries(const struct attention *p, const struct head *head, const struct block *block,
                         const struct scratch *s)
{
    const float root = (float)sqrt((double)p->d), inverse = 1.0f / root;
    const int exact = frexpf(root, &(int){0}) == 0.5f; /* a power of 2 */
    float *divided = (float *)(void *)((unsigned char *)s->queries + panel_bytes(p, p->d));
    for (int64_t r = 0; r < block->queries; r++) {
        const float *q = p->q + offset(p->q_stride, &head->text, head->h, block->t + r);
        for (int64_t l = 0; l < p->d; l++)
            divided[r * p->d + l] = exact ? q[l] * inverse : q[l] / root;
    }
    p->narrow->attention->pack(block->queries, p->d, divided, p->d, NULL, s->queries);
}

/* Prefetch a share of what the next head reads: query t, and the keys and values beside it. They lie
   too far apart for the processor to find them by itself. */
static void prefetch_some(const struct attention *p, const struct head *head, int64_t t)
{
    const struct text *x = &head->text;
    const int64_t h = head->h + 1, first = t * x->S / x->T, end = (t + 1) * x->S / x->T;
    for (int64_t l = 0; l < p->d && h < p->H; l += 16) {
        ERNIEM_PREFETCH(p->q + offset(p->q_stride, x, h, t) + l);
        for (int64_t s = first; s < end; s++) {
            ERNIEM_PREFETCH(p->k + offset(p->k_stride, x, h, s) + l);
            ERNIEM_PREFETCH(p->v + offset(p->v_stride, x, h, s) + l);
        }
    }
}

/* (keys, d) . (d, 32) -> (keys, 32) */
static void score(const struct attention *p, const struct head *head, const struct block *block,
                  const struct scratch *s)
{
    const int64_t stride = row_bytes(p, p->d), most = p->narrow->mr;
    struct erniem_tile_narrow tile = {.steps = erniem_steps(p->number, p->d), .stride = stride,
                                      .panel = s->queries, .next = s->queries};
    pack_queries(p, head, block, s);
    for (int64_t r = 0; r < block->queries; r++)
        prefetch_some(p, head, block->t + r);
    for (int64_t j = block->first; j < block->end; j += most) {
        tile.rows = (int)erniem_min(most, block->end - j);
        tile.x = (const unsigned char *)s->keys_laid + j * stride;
        tile.sums = s->scores + j * ERNIEM_COLUMNS;
        p->narrow->tile(&tile);
    }
}

/* `scores` = the exponentials of the panel. */
static void keep_exponentials(const struct block *block, const struct scratch *s)
{
    const uint32_t *units = s->weights;
    for (int64_t j = 0; j < block->end - block->first; j++)
        for (int c = 0; c < block->width; c++) {
            const uint32_t unit = units[j / 2 * ERNIEM_COLUMNS + c];
            const uint32_t bits = j % 2 ? unit & 0xffff0000u : unit << 16;
            memcpy(s->scores + (block->first + j) * ERNIEM_COLUMNS + c, &bits, sizeof bits);
        }
}

/* (d, keys) . (keys, 32) -> (d, 32), the context transposed */
static void average(const struct attention *p, const struct head *head, const struct block *block,
                    const struct scratch *s)
{
    const int64_t count = block->end - block->first, stride = row_bytes(p, p->most_keys);
    const int64_t most = p->narrow->mr;
    const int64_t steps = block->first / (ERNIEM_STEP / 2); /* `first` is a multiple of a step */
    const unsigned char *values = s->values_laid;
    struct erniem_tile_narrow tile = {.steps = erniem_steps(p->number, count), .stride = stride,
                                      .panel = s->weights, .next = s->weights};
    p->narrow->attention->exponentials(count, block->width, s->highest,
                                       s->scores + block->first * ERNIEM_COLUMNS, s->weights, s->sums);
    if (p->probabilities)
        keep_exponentials(block, s);
    for (int64_t r = 0; r < block->queries; r++)
        s->shares[r] = head->factor / s->sums[r];
    values += steps * (p->narrow->widens ? 2 * ERNIEM_STEP : ERNIEM_STEP);
    for (int64_t l = 0; l < p->d; l += most) {
        tile.rows = (int)erniem_min(most, p->d - l);
        tile.x = values + l * stride;
        tile.sums = s->contexts + l * ERNIEM_COLUMNS;
        p->narrow->tile(&tile);
    }
    p->narrow->attention->scale_across(block->queries, p->d, s->contexts, s->shares,
                                       context_of(p, &head->text, head->h, block->t), p->H * p->d);
}

const struct erniem_attention_kind erniem_attention_bfloat16 = {measure, lay, score, average};
