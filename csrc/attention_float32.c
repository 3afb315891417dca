/* The products of attention in float32, over tiles of the products with float32 weights; the softmax
   is that of the rows (micro/micro_rows.h). */

#include <math.h>

#include "attention.h"

static void measure(const struct attention *p, struct scratch_sizes *sizes)
{
    const int64_t S = p->most_keys, nr = p->columns;
    *sizes = (struct scratch_sizes){.k_panels = 4 * erniem_ceil_div(S, nr) * nr * p->d,
                                    .v_panels = 4 * erniem_ceil_div(p->d, nr) * nr * S,
                                    .queries = 4 * p->block * ERNIEM_STRIDE};
}

static void pack(const struct attention *p, const struct head *head, const struct scratch *s)
{
    const int64_t nr = p->columns, count = head->count;
    const float *k = p->k + offset(p->k_stride, &head->text, head->h, 0);
    const float *v = p->v + offset(p->v_stride, &head->text, head->h, 0);
    for (int64_t j = 0; j < count; j += nr)
        p->micro->gemm.pack(erniem_min(nr, count - j), p->d, k, p->k_stride[2], s->keys + j,
                            (float *)s->k_panels + j * p->d);
    for (int64_t l = 0; l < p->d; l += nr)
        p->micro->gemm.pack_across(erniem_min(nr, p->d - l), count, v + l, p->v_stride[2], s->keys,
                                   (float *)s->v_panels + l * count);
}

static void score(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                  int64_t first, int64_t end, const struct scratch *s)
{
    const float scale = 1.0f / sqrtf((float)p->d);
    for (int64_t r = 0; r < rows; r++) {
        const float *q = p->q + offset(p->q_stride, &head->text, head->h, t + r);
        float *to = (float *)s->queries + r * ERNIEM_STRIDE;
        for (int64_t l = 0; l < p->d; l++)
            to[l] = q[l] * scale;
    }
    struct erniem_tile_f32 tile = {.rows = (int)rows, .kc = p->d, .a = s->queries,
                                   .lda = ERNIEM_STRIDE, .ldc = s->width};
    for (int64_t j = first; j < end; j += p->columns) { /* (rows, d).(d, nr) -> (rows, nr) */
        tile.columns = (int)erniem_min(p->columns, end - j);
        tile.b = tile.next = (const float *)s->k_panels + j * p->d;
        tile.bias = p->key_bias ? s->bias + j : NULL;
        tile.c = s->scores + j;
        p->micro->gemm.tile(&tile);
    }
}

static float weigh(const struct attention *p, const struct head *head, int64_t r, int64_t first,
                   int64_t end, const struct scratch *s)
{
    return p->micro->rowwise.softmax(end - first, head->factor, s->scores + r * s->width + first);
}

static void average(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                    int64_t first, int64_t end, const struct scratch *s)
{
    const int64_t nr = p->columns;
    float *context = context_of(p, &head->text, head->h, t);
    struct erniem_tile_f32 tile = {.rows = (int)rows, .kc = end - first, .a = s->scores + first,
                                   .lda = s->width, .ldc = p->H * p->d};
    for (int64_t l = 0; l < p->d; l += nr) { /* (rows, keys).(keys, nr) -> (rows, nr) */
        tile.columns = (int)erniem_min(nr, p->d - l);
        tile.b = tile.next = (const float *)s->v_panels + l * head->count + first * nr;
        tile.c = context + l;
        p->micro->gemm.tile(&tile);
    }
}

const struct erniem_attention_kind erniem_attention_float32 = {measure, pack, score, weigh, average};
