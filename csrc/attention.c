/* softmax(q kT / sqrt(d), hidden keys at the lowest finite score) * head_mask * v.

   One task is one head of one sequence (or a part of its queries). Its keys are laid into panels
   like the columns of a weight, its values likewise, and then mr queries at a time go through:

      queries (mr, d) . panels of k -> scores (mr, S), softmax, . panels of v -> context (mr, d)

   The scores of one strip of mr queries are all there ever is of the T x S matrix; they stay in
   the first or second level of cache, and a softmax over whole rows needs no second thoughts
   about its largest score. Keys that a mask hides from every query are left out when the panels
   are laid, and cost nothing; under any other mask a strip computes from the first key that one
   of its queries may see to the last. But 0 times infinity is not 0: where a value is not finite,
   nothing is left out. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

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
            score += (double)q[l] * k[l] / sqrt((double)p->d);
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
    float *queries;  /* (mr, d), where queries cannot be read in place */
    float *scores;   /* (mr, S) */
};

static int64_t whole_lines(int64_t floats) { return erniem_ceil_div(floats, 16) * 16; }

/* Point the parts into one block; its size in floats. */
static int64_t place(const struct attention *p, float *memory, struct scratch *to)
{
    const int64_t mr = p->micro->mr, nr = p->micro->nr, S = whole_lines(p->S);
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
static int is_finite(const struct attention *p, int64_t b, int64_t h)
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
    const int nr = p->micro->nr;
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
    const int64_t S = p->S, nr = p->micro->nr;
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

/* Hand one row of probabilities, of the keys listed from `first` to `end`, to the caller. */
static void keep_row(const struct attention *p, const struct scratch *from, const float *row,
                     int64_t first, int64_t end, float *out)
{
    memset(out, 0, (size_t)p->S * sizeof(float));
    for (int64_t j = first; j < end; j++)
        out[from->keys[j]] = row[j];
}

/* The queries t.. as the left side of a product: where they are, or a copy of them. */
static const float *queries_of(const struct attention *p, int64_t b, int64_t h, int64_t t,
                               int64_t rows, const struct scratch *s, int64_t *lda)
{
    const float *q = p->q + offset(p->q_stride, b, h, t);
    *lda = p->q_stride[2];
    if (*lda % 512 != 0)
        return q;
    *lda = ERNIEM_STRIDE;
    for (int64_t r = 0; r < rows; r++)
        memcpy(s->queries + r * ERNIEM_STRIDE, q + r * p->q_stride[2],
               (size_t)p->d * sizeof(float));
    return s->queries;
}

/* mr or fewer queries, from t on: scores, softmax, context. `mask` is NULL where every listed key
   is mask, else one row for each query; `skip` says that hidden keys may be left out. */
static void attend(const struct attention *p, int64_t b, int64_t h, int64_t t, int64_t rows,
                   int64_t count, const uint8_t *mask, int skip, const struct scratch *s)
{
    const struct erniem_micro *micro = p->micro;
    const int64_t nr = micro->nr, d = p->d, width = s->width;
    int64_t first = 0, end = count, lda;
    if (mask && skip)
        find_range(p, mask, rows, &first, &end);

    const float *q = queries_of(p, b, h, t, rows, s, &lda);
    for (int64_t j = first; j < end; j += nr) { /* (rows, d).(d, nr) -> (rows, nr) */
        const float *panel = s->k_panels + j * d;
        micro->tile((int)rows, (int)erniem_min(nr, end - j), d, q, lda, panel, panel, 0, 0, NULL,
                    s->scores + j, width);
    }
    for (int64_t r = 0; r < rows; r++) {
        float *row = s->scores + r * width;
        if (mask)
            for (int64_t j = first; j < end; j++)
                row[j] = mask[r * p->mask_stride[2] + j] ? row[j] : -FLT_MAX;
        micro->softmax(end - first, 1.0f / sqrtf((float)d), factor_of(p, b, h), row + first);
        if (p->probabilities)
            keep_row(p, s, row, first, end,
                     p->probabilities + ((b * p->H + h) * p->T + t + r) * p->S);
    }

    float *context = p->context + ((b * p->T + t) * p->H + h) * d;
    for (int64_t l = 0; l < d; l += nr) { /* (rows, keys).(keys, nr) -> (rows, nr) */
        const float *panel = s->v_panels + l * count + first * nr;
        micro->tile((int)rows, (int)erniem_min(nr, d - l), end - first, s->scores + first, width,
                    panel, panel, 0, 0, NULL, context + l, p->H * d);
    }
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
        const int64_t part = task % p->parts, head = task / p->parts;
        const int64_t h = head % p->H, b = head / p->H;
        const uint8_t *mask = p->mask ? p->mask + offset(p->mask_stride, b, h, 0) : NULL;
        const int skip = !mask || is_finite(p, b, h);
        int64_t count = 0;
        if (skip && mask && p->mask_stride[2] == 0)
            count = list_keys(p, mask, s.keys);
        if (count > 0)
            mask = NULL; /* every listed key may be attended to */
        else
            count = list_keys(p, NULL, s.keys);
        pack_keys_and_values(p, b, h, count, &s);

        const int64_t end = erniem_min(p->T, (part + 1) * p->part_rows);
        for (int64_t t = part * p->part_rows; t < end; t += p->micro->mr) {
            const int64_t rows = erniem_min(p->micro->mr, end - t);
            const uint8_t *rows_mask = mask ? mask + t * p->mask_stride[2] : NULL;
            attend(p, b, h, t, rows, count, rows_mask, skip, &s);
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
       part packs the keys and values again. Whole strips, so that a strip has the same queries,
       and its sums the same order, for any number of threads. */
    const int mr = erniem_micro()->mr;
    const int64_t wanted = erniem_ceil_div(4 * erniem_get_threads(), B * H);
    const int64_t parts = erniem_max(1, erniem_min(wanted, T / 64));
    const int64_t part_rows = erniem_ceil_div(erniem_ceil_div(T, parts), mr) * mr;
    const struct attention job = {B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride,
                                  mask, mask_stride, head_mask, head_mask_stride,
                                  context, probabilities, erniem_micro(),
                                  erniem_ceil_div(T, part_rows), part_rows};
    return erniem_parallel(B * H * job.parts, attend_some, &job);
}
