/* The products of attention in bfloat16: queries, keys, exponentials and values are rounded to it,
   to nearest even, and sums are float32. For row r of the scores:

      e = bfloat16(exp(scores - max scores)),  context = (e . bfloat16(v)) * (factor / sum of e)

   A softmax whose exponentials are rounded: its probabilities sum to 1. The tiles are those of the
   products with weights of bfloat16 (micro/narrow.h). */

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

static void measure(const struct attention *p, struct scratch_sizes *sizes)
{
    const int64_t S = p->most_keys, d = p->d;
    const int64_t rows = erniem_ceil_div(p->block, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    *sizes = (struct scratch_sizes){
        .k_panels = erniem_ceil_div(S, ERNIEM_COLUMNS) * panel_bytes(p, d),
        .v_panels = erniem_ceil_div(d, ERNIEM_COLUMNS) * panel_bytes(p, S),
        .queries = rows * row_bytes(p, d) + 4 * d, .weights = rows * row_bytes(p, S),
        .sums = 4 * rows * ERNIEM_COLUMNS, .shares = 4 * rows};
}

static void pack(const struct attention *p, const struct head *head, const struct scratch *s)
{
    const int64_t count = head->count, most = ERNIEM_COLUMNS;
    const float *k = p->k + offset(p->k_stride, &head->text, head->h, 0);
    const float *v = p->v + offset(p->v_stride, &head->text, head->h, 0);
    unsigned char *to = s->k_panels;
    for (int64_t j = 0; j < count; j += most, to += panel_bytes(p, p->d))
        p->narrow->attention->pack(erniem_min(most, count - j), p->d, k, p->k_stride[2],
                                   s->keys + j, to);
    to = s->v_panels;
    for (int64_t l = 0; l < p->d; l += most, to += panel_bytes(p, count))
        p->narrow->attention->pack_across(erniem_min(most, p->d - l), count, v + l, p->v_stride[2],
                                          s->keys, to);
}

/* Round these queries, divided by sqrt(d). */
static void narrow_queries(const struct attention *p, const struct head *head, int64_t t,
                           int64_t rows, const struct scratch *s)
{
    const int64_t stride = row_bytes(p, p->d);
    const float root = (float)sqrt((double)p->d), inverse = 1.0f / root;
    const int exact = frexpf(root, &(int){0}) == 0.5f; /* a power of 2 */
    float *query = (float *)(void *)((unsigned char *)s->queries + p->block * stride);
    for (int64_t r = 0; r < rows; r++) {
        const float *q = p->q + offset(p->q_stride, &head->text, head->h, t + r);
        for (int64_t l = 0; l < p->d; l++)
            query[l] = exact ? q[l] * inverse : q[l] / root;
        p->narrow->narrow(p->d, query, (unsigned char *)s->queries + r * stride, NULL);
    }
}

static void score(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                  int64_t first, int64_t end, const struct scratch *s)
{
    const int64_t size = panel_bytes(p, p->d);
    struct erniem_tile_narrow tile = {.rows = (int)rows, .steps = erniem_steps(p->number, p->d),
                                      .x = s->queries, .stride = row_bytes(p, p->d),
                                      .sums = s->sums};
    narrow_queries(p, head, t, rows, s);
    for (int64_t j = first; j < end; j += ERNIEM_COLUMNS) { /* (rows, d).(d, 32) -> (rows, 32) */
        tile.panel = tile.next = (const unsigned char *)s->k_panels + j / ERNIEM_COLUMNS * size;
        p->narrow->tile(&tile);
        p->narrow->finish((int)rows, (int)erniem_min(ERNIEM_COLUMNS, end - j), s->sums, NULL, NULL,
                          NULL, p->key_bias ? s->bias + j : NULL, s->scores + j, s->width);
    }
}

/* Number j of a row that `narrow` wrote. */
static float number_of(const struct attention *p, const unsigned char *row, int64_t j)
{
    uint32_t bits = 0;
    if (p->narrow->widens) {
        memcpy(&bits, row + 4 * j, 4);
    } else {
        uint16_t half;
        memcpy(&half, row + 2 * j, 2);
        bits = (uint32_t)half << 16;
    }
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float weigh(const struct attention *p, const struct head *head, int64_t r, int64_t first,
                   int64_t end, const struct scratch *s)
{
    float *row = s->scores + r * s->width + first, sum;
    unsigned char *to = s->weights + r * row_bytes(p, p->most_keys);
    const float highest = p->narrow->attention->exponentials(end - first, row, to, &sum);
    s->shares[r] = head->factor / sum;
    for (int64_t j = 0; p->probabilities && j < end - first; j++)
        row[j] = number_of(p, to, j) * s->shares[r];
    return highest;
}

static void average(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                    int64_t first, int64_t end, const struct scratch *s)
{
    const int64_t size = panel_bytes(p, head->count);
    const unsigned char *panel = s->v_panels;
    float *context = context_of(p, &head->text, head->h, t);
    struct erniem_tile_narrow tile = {.rows = (int)rows, .x = s->weights,
                                      .steps = erniem_steps(p->number, end - first),
                                      .stride = row_bytes(p, p->most_keys), .sums = s->sums};
    panel += first / (ERNIEM_STEP / 2) * ERNIEM_PANEL_STEP; /* `first` is a multiple of a step */
    for (int64_t l = 0; l < p->d; l += ERNIEM_COLUMNS, panel += size) {
        tile.panel = tile.next = panel; /* (rows, keys).(keys, 32) -> (rows, 32) */
        p->narrow->tile(&tile);
        p->narrow->attention->scale((int)rows, (int)erniem_min(ERNIEM_COLUMNS, p->d - l), s->sums,
                                    s->shares, context + l, p->H * p->d);
    }
}

const struct erniem_attention_kind erniem_attention_bfloat16 = {measure, pack, score, weigh,
                                                                average};
