/* softmax(q / sqrt(d) kT, hidden keys at the lowest finite score) * head_mask * v.

   One task is one head of one sequence (or a part of its queries). Its keys are laid into panels
   like the columns of a weight, its values likewise. Then mr queries at a time are computed:

      queries (mr, d) . panels of k -> scores (mr, S), softmax, . panels of v -> context (mr, d)

   Only the scores of one row block, mr queries, exist at a time, never the T x S matrix. They stay
   in the first or second level of cache, and hold whole rows, so the softmax is the plain formula.

   Hidden keys. Keys that a mask hides from every query are left out when the panels are laid, and
   cost nothing. Under any other mask a row block computes from the first key that one of its
   queries may see to the last. That gives the result of the formula only if a hidden key has the
   probability 0, and if 0 times its value is 0. So nothing is left out in two cases:
   - a value or the head's factor is not finite, as 0 times infinity is NaN;
   - no score of a query is above the lowest finite number, as when all are -infinity. The formula
     then gives the hidden keys what the others have, or more.
   A row of the softmax that has a NaN or an infinite score is NaN, for its hidden keys as well. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "gemm/gemm.h"

struct attention {
    int64_t B, H, T, S, d;
    const float *q;
    const int64_t *q_stride;
    const float *k;
    const int64_t *k_stride;
    const float *v;
    const int64_t *v_stride;
    const uint8_t *mask;
    const int64_t *mask_stride;
    const float *head_mask;
    const int64_t *head_mask_stride;
    float *context, *probabilities;
    const struct erniem_micro *micro;
    int64_t parts, part_rows; /* of the queries of a head */
};

/* Row t of an array whose first three axes have these strides. */
static int64_t offset(const int64_t *stride, int64_t b, int64_t h, int64_t t)
{
    return b * stride[0] + h * stride[1] + t * stride[2];
}

static float factor_of(const struct attention *p, int64_t b, int64_t h)
{
    return p->head_mask ? p->head_mask[offset(p->head_mask_stride, b, h, 0)] : 1.0f;
}

/* One query as plain loops; `scores` holds S numbers. */
static void attend_reference(const struct attention *p, int64_t b, int64_t h, int64_t t,
                             float *scores)
{
    const float *q = p->q + offset(p->q_stride, b, h, t);
    const uint8_t *mask = p->mask ? p->mask + offset(p->mask_stride, b, h, t) : NULL;
    float *context = p->context + ((b * p->T + t) * p->H + h) * p->d;
    double highest = -INFINITY, sum = 0.0;
    for (int64_t s = 0; s < p->S; s++) {
        const float *k = p->k + offset(p->k_stride, b, h, s);
        double score = 0.0;
        for (int64_t l = 0; l < p->d; l++)
            score += q[l] / sqrt((double)p->d) * k[l];
        scores[s] = mask && !mask[s] ? -FLT_MAX : (float)score;
        highest = scores[s] > highest ? scores[s] : highest;
    }
    for (int64_t s = 0; s < p->S; s++)
        sum += exp(scores[s] - highest);
    for (int64_t s = 0; s < p->S; s++)
        scores[s] = (float)(exp(scores[s] - highest) / sum * factor_of(p, b, h));
    for (int64_t l = 0; l < p->d; l++) {
        double total = 0.0;
        for (int64_t s = 0; s < p->S; s++)
            total += (double)scores[s] * p->v[offset(p->v_stride, b, h, s) + l];
        context[l] = (float)total;
    }
    if (p->probabilities)
        memcpy(p->probabilities + ((b * p->H + h) * p->T + t) * p->S, scores,
               (size_t)p->S * sizeof(float));
}

int erniem_attention_reference(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                               const float *q, const int64_t *q_stride, const float *k,
                               const int64_t *k_stride, const float *v, const int64_t *v_stride,
                               const uint8_t *mask, const int64_t *mask_stride,
                               const float *head_mask, const int64_t *head_mask_stride,
                               float *context, float *probabilities)
{
    const struct attention p = {B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride,
                                mask, mask_stride, head_mask, head_mask_stride,
                                context, probabilities, NULL, 0, 0};
    float *scores = erniem_acquire(S * (int64_t)sizeof(float));
    if (!scores)
        return ERNIEM_NO_MEMORY;
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < T; t++)
                attend_reference(&p, b, h, t, scores);
    erniem_release(scores);
    return 0;
}

/* What one thread works with; every part begins at a cache line. */
struct scratch {
    int64_t width;   /* floats from one row of `scores` to the next */
    int64_t *keys;   /* the keys that are not left out: (S,) */
    float *k_panels; /* [panel of keys][d][nr] */
    float *v_panels; /* [panel of d][key][nr] */
    float *queries;  /* (mr, d), divided by sqrt(d) */
    float *scores;   /* (mr, S) */
};

static int64_t whole_lines(int64_t floats) { return erniem_ceil_div(floats, 16) * 16; }

/* Point the parts into one block; its size in floats. */
static int64_t place(const struct attention *p, float *memory, struct scratch *to)
{
    const int64_t mr = p->micro->gemm.mr, nr = p->micro->gemm.nr, S = whole_lines(p->S);
    const int64_t key_columns = erniem_ceil_div(p->S, nr) * nr;
    const int64_t value_columns = erniem_ceil_div(p->d, nr) * nr;
    to->width = key_columns % 512 ? whole_lines(key_columns) : key_columns + 16;
    const int64_t sizes[] = {2 * S, whole_lines(key_columns * p->d), value_columns * S,
                             mr * ERNIEM_STRIDE, mr * to->width};
    float *parts[5];
    int64_t at = 0;
    for (int i = 0; i < 5; i++) {
        parts[i] = memory ? memory + at : NULL;
        at += sizes[i];
    }
    to->keys = (int64_t *)(void *)parts[0];
    to->k_panels = parts[1];
    to->v_panels = parts[2];
    to->queries = parts[3];
    to->scores = parts[4];
    return at;
}

/* Whether all values of a head are finite: none has all bits of its exponent set. */
static int values_are_finite(const struct attention *p, int64_t b, int64_t h)
{
    const uint32_t exponent = 0x7f800000;
    uint32_t wrong = 0;
    for (int64_t s = 0; s < p->S; s++) {
        const float *v = p->v + offset(p->v_stride, b, h, s);
        for (int64_t l = 0; l < p->d; l++) {
            uint32_t bits;
            memcpy(&bits, v + l, sizeof bits);
            wrong |= (bits & exponent) == exponent;
        }
    }
    return !wrong;
}

/* List the keys to use, those that `row` shows; all, where row is NULL. */
static int64_t list_keys(const struct attention *p, const uint8_t *row, int64_t *keys)
{
    int64_t count = 0;
    for (int64_t s = 0; s < p->S; s++)
        if (!row || row[s])
            keys[count++] = s;
    return count;
}

static void pack_keys_and_values(const struct attention *p, int64_t b, int64_t h, int64_t count,
                                 const struct scratch *to)
{
    const int nr = p->micro->gemm.nr;
    const float *k = p->k + offset(p->k_stride, b, h, 0), *v = p->v + offset(p->v_stride, b, h, 0);
    for (int64_t s = 0; s < count; s += nr)
        erniem_pack_panel(nr, erniem_min(nr, count - s), p->d, k, p->k_stride[2], to->keys + s,
                          to->k_panels + s * p->d);
    for (int64_t l = 0; l < p->d; l += nr) {
        const int64_t columns = erniem_min(nr, p->d - l);
        float *out = to->v_panels + l * count;
        for (int64_t s = 0; s < count; s++, out += nr) {
            memcpy(out, v + to->keys[s] * p->v_stride[2] + l, (size_t)columns * sizeof(float));
            memset(out + columns, 0, (size_t)(nr - columns) * sizeof(float));
        }
    }
}

/* The keys first..end that any of the rows may see; all, where a row sees none. */
static void find_range(const struct attention *p, const uint8_t *mask, int64_t rows,
                       int64_t *first, int64_t *end)
{
    const int64_t S = p->S, nr = p->micro->gemm.nr;
    int64_t low = S, high = 0;
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *row = mask + r * p->mask_stride[2];
        int64_t a = 0, z = S;
        while (a < S && !row[a])
            a++;
        while (z > a && !row[z - 1])
            z--;
        low = a == S ? 0 : erniem_min(low, a);
        high = a == S ? S : erniem_max(high, z);
    }
    *first = low / nr * nr;
    *end = high;
}

/* Hand one row of probabilities, of the keys listed from `first` to `end`, to the caller. All
   others are hidden: 0, or NaN as the whole row is. */
static void keep_row(const struct attention *p, const struct scratch *from, const float *row,
                     int64_t first, int64_t end, float *out)
{
    const float hidden = isnan(row[first]) ? row[first] : 0.0f;
    for (int64_t j = 0; j < p->S; j++)
        out[j] = hidden;
    for (int64_t j = first; j < end; j++)
        out[from->keys[j]] = row[j];
}

/* A head of one sequence, whose panels are laid. */
struct head {
    int64_t b, h, count;  /* count: keys that are listed */
    const uint8_t *mask;  /* a row for each query; NULL where every listed key is visible */
    int skip;             /* whether hidden keys may be left out */
    float factor;
};

static struct head begin_head(const struct attention *p, int64_t b, int64_t h, int skip,
                              const struct scratch *s)
{
    struct head head = {.b = b, .h = h, .skip = skip, .factor = factor_of(p, b, h)};
    if (p->mask) {
        head.mask = p->mask + offset(p->mask_stride, b, h, 0);
        head.skip = skip && isfinite(head.factor) && values_are_finite(p, b, h);
    }
    if (head.skip && head.mask && p->mask_stride[2] == 0)
        head.count = list_keys(p, head.mask, s->keys);
    if (head.count > 0)
        head.mask = NULL;
    else
        head.count = list_keys(p, NULL, s->keys);
    pack_keys_and_values(p, b, h, head.count, s);
    return head;
}

/* The queries from t on, divided by sqrt(d), as the left side of a product. */
static void copy_queries(const struct attention *p, const struct head *head, int64_t t,
                         int64_t rows, const struct scratch *s)
{
    const float scale = 1.0f / sqrtf((float)p->d);
    for (int64_t r = 0; r < rows; r++) {
        const float *q = p->q + offset(p->q_stride, head->b, head->h, t + r);
        float *to = s->queries + r * ERNIEM_STRIDE;
        for (int64_t l = 0; l < p->d; l++)
            to[l] = q[l] * scale;
    }
}

/* A row block, `rows` <= mr queries from t on: scores, softmax, context. Returns 0 where hidden keys
   were left out that count; then the result is not complete. */
static int attend(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                  const struct scratch *s)
{
    const struct erniem_micro *micro = p->micro;
    const int64_t nr = micro->gemm.nr, d = p->d, width = s->width, b = head->b, h = head->h;
    const uint8_t *mask = head->mask ? head->mask + t * p->mask_stride[2] : NULL;
    int64_t first = 0, end = head->count;
    if (mask && head->skip)
        find_range(p, mask, rows, &first, &end);

    copy_queries(p, head, t, rows, s);
    struct erniem_tile_f32 tile = {.rows = (int)rows, .kc = d, .a = s->queries,
                                   .lda = ERNIEM_STRIDE, .ldc = width};
    for (int64_t j = first; j < end; j += nr) { /* (rows, d).(d, nr) -> (rows, nr) */
        tile.columns = (int)erniem_min(nr, end - j);
        tile.b = tile.next = s->k_panels + j * d;
        tile.c = s->scores + j;
        micro->gemm.tile(&tile);
    }
    for (int64_t r = 0; r < rows; r++) {
        float *row = s->scores + r * width;
        if (mask)
            for (int64_t j = first; j < end; j++)
                row[j] = mask[r * p->mask_stride[2] + j] ? row[j] : -FLT_MAX;
        const float highest = micro->rowwise.softmax(end - first, head->factor, row + first);
        if (highest <= -FLT_MAX && end - first < p->S)
            return 0;
        if (p->probabilities)
            keep_row(p, s, row, first, end,
                     p->probabilities + ((b * p->H + h) * p->T + t + r) * p->S);
    }

    float *context = p->context + ((b * p->T + t) * p->H + h) * d;
    tile = (struct erniem_tile_f32){.rows = (int)rows, .kc = end - first, .a = s->scores + first,
                                    .lda = width, .ldc = p->H * d};
    for (int64_t l = 0; l < d; l += nr) { /* (rows, keys).(keys, nr) -> (rows, nr) */
        tile.columns = (int)erniem_min(nr, d - l);
        tile.b = tile.next = s->v_panels + l * head->count + first * nr;
        tile.c = context + l;
        micro->gemm.tile(&tile);
    }
    return 1;
}

static void attend_some(const void *job, struct erniem_tasks *tasks)
{
    const struct attention *p = job;
    struct scratch s;
    float *memory = erniem_acquire(place(p, NULL, &s) * (int64_t)sizeof(float));
    if (!memory)
        return;
    place(p, memory, &s);

    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t part = task % p->parts, b = task / p->parts / p->H;
        const int64_t h = task / p->parts % p->H;
        struct head head = begin_head(p, b, h, 1, &s);

        const int64_t end = erniem_min(p->T, (part + 1) * p->part_rows);
        for (int64_t t = part * p->part_rows; t < end; t += p->micro->gemm.mr) {
            const int64_t rows = erniem_min(p->micro->gemm.mr, end - t);
            if (!attend(p, &head, t, rows, &s)) { /* again, with every key, and back */
                head = begin_head(p, b, h, 0, &s);
                attend(p, &head, t, rows, &s);
                head = begin_head(p, b, h, 1, &s);
            }
        }
    }
    erniem_release(memory);
}

int erniem_attention(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                     const float *q, const int64_t *q_stride, const float *k,
                     const int64_t *k_stride, const float *v, const int64_t *v_stride,
                     const uint8_t *mask, const int64_t *mask_stride,
                     const float *head_mask, const int64_t *head_mask_stride,
                     float *context, float *probabilities)
{
    if (d < 1 || d > ERNIEM_KC || S < 1 || !erniem_fits(B, H, erniem_max(T, 1)) ||
        !erniem_fits(B * H, T, d) || !erniem_fits(B * H, S, d) ||
        !erniem_fits(S + ERNIEM_MAX_NR, d + ERNIEM_MAX_NR, 4) ||
        (probabilities && !erniem_fits(B * H, T, S)))
        return ERNIEM_BAD_SIZE;
    if (B * H * T == 0)
        return 0;

    /* Parts of 64 queries or more, and only if the heads alone cannot keep the threads busy: each
       part packs the keys and values again. Whole row blocks, so that a row block has the same
       queries, and its sums the same order, for any number of threads. */
    const int mr = erniem_micro()->gemm.mr;
    const int64_t wanted = erniem_ceil_div(4 * erniem_get_threads(), B * H);
    const int64_t parts = erniem_max(1, erniem_min(wanted, T / 64));
    const int64_t part_rows = erniem_ceil_div(erniem_ceil_div(T, parts), mr) * mr;
    const struct attention job = {B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride,
                                  mask, mask_stride, head_mask, head_mask_stride,
                                  context, probabilities, erniem_micro(),
                                  erniem_ceil_div(T, part_rows), part_rows};
    return erniem_parallel(B * H * job.parts, attend_some, &job);
}
