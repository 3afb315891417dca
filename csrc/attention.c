/* softmax(q / sqrt(d) kT + key_bias, hidden keys at the lowest finite score) * head_mask * v.

   One task is one head of one text (or a part of its queries). The texts are the B rows of a padded
   batch, or lie one after the other in a single row, a packed batch, where `starts` bounds them. The
   keys of a task are laid into panels like the columns of a weight, its values likewise. Then mr
   queries at a time are computed:

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

#include "runtime/platform.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "attention.h"

static struct text text_of(const struct attention *p, int64_t number)
{
    if (!p->starts)
        return (struct text){number, 0, p->T, p->S};
    const int64_t first = p->starts[number], length = p->starts[number + 1] - first;
    return (struct text){0, first, length, length};
}

static const float *bias_of(const struct attention *p, const struct text *x)
{
    return p->key_bias ? p->key_bias + x->b * p->key_bias_stride + x->first : NULL;
}

/* What a query of a text may see, a byte for each key of the text; NULL: everything. A row for all
   queries has every key of the packed batch, a row of one query those of its text alone. */
static const uint8_t *mask_of(const struct attention *p, const struct text *x, int64_t h, int64_t t)
{
    const int64_t skip = p->mask_stride && p->mask_stride[2] == 0 ? x->first : 0;
    return p->mask ? p->mask + offset(p->mask_stride, x, h, t) + skip : NULL;
}

static float factor_of(const struct attention *p, const struct text *x, int64_t h)
{
    return p->head_mask ? p->head_mask[x->b * p->head_mask_stride[0] + h * p->head_mask_stride[1]]
                        : 1.0f;
}

int erniem_starts_are_right(int64_t B, int64_t T, int64_t S, int64_t texts, const int64_t *starts)
{
    if (!starts)
        return 1;
    if (B != 1 || S != T || texts < 1 || texts > T || starts[0] != 0 || starts[texts] != T)
        return 0;
    for (int64_t t = 0; t < texts; t++)
        if (starts[t] >= starts[t + 1])
            return 0;
    return 1;
}

/* Sizes that fit, and texts that are right. */
static int is_right(const struct attention *p)
{
    const int64_t B = p->B, H = p->H, T = p->T, S = p->S, d = p->d;
    return (p->number == ERNIEM_FLOAT32 || p->number == ERNIEM_BFLOAT16) && d >= 1 &&
           d <= ERNIEM_KC && S >= 1 && erniem_fits(B, H, erniem_max(T, 1)) &&
           erniem_fits(B * H, T, d) && erniem_fits(B * H, S, d) &&
           erniem_fits(S + ERNIEM_MAX_NR, d + ERNIEM_MAX_NR, 4) &&
           (!p->probabilities || (!p->starts && erniem_fits(B * H, T, S))) &&
           erniem_starts_are_right(B, T, S, p->texts, p->starts);
}

static double rounded(const struct attention *p, double x)
{
    return p->number == ERNIEM_BFLOAT16 ? erniem_to_bfloat16((float)x) : x;
}

/* One query as plain loops; `scores` holds S numbers. What NumPy's steps round to float is rounded
   here too, so that infinity and NaN come from the same steps. */
static void attend_reference(const struct attention *p, const struct text *x, int64_t h, int64_t t,
                             float *scores)
{
    const float *q = p->q + offset(p->q_stride, x, h, t), *bias = bias_of(p, x);
    const uint8_t *mask = mask_of(p, x, h, t);
    float *context = context_of(p, x, h, t);
    double highest = -INFINITY, sum = 0.0;
    for (int64_t s = 0; s < x->S; s++) {
        const float *k = p->k + offset(p->k_stride, x, h, s);
        double product = 0.0;
        for (int64_t l = 0; l < p->d; l++)
            product += rounded(p, q[l] / sqrt((double)p->d)) * rounded(p, k[l]);
        const float score = (float)product + (bias ? bias[s] : 0.0f);
        scores[s] = mask && !mask[s] ? -FLT_MAX : score;
        highest = scores[s] > highest ? scores[s] : highest;
    }
    for (int64_t s = 0; s < x->S; s++)
        sum += rounded(p, exp(scores[s] - highest));
    for (int64_t s = 0; s < x->S; s++)
        scores[s] = (float)(rounded(p, exp(scores[s] - highest)) / sum) * factor_of(p, x, h);
    for (int64_t l = 0; l < p->d; l++) {
        double total = 0.0;
        for (int64_t s = 0; s < x->S; s++)
            total += scores[s] * rounded(p, p->v[offset(p->v_stride, x, h, s) + l]);
        context[l] = (float)total;
    }
    if (p->probabilities)
        memcpy(p->probabilities + ((x->b * p->H + h) * p->T + t) * x->S, scores,
               (size_t)x->S * sizeof(float));
}

int erniem_attention_reference(int number, int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                               const float *q, const int64_t *q_stride, const float *k,
                               const int64_t *k_stride, const float *v, const int64_t *v_stride,
                               int64_t texts, const int64_t *starts,
                               const float *key_bias, int64_t key_bias_stride,
                               const uint8_t *mask, const int64_t *mask_stride,
                               const float *head_mask, const int64_t *head_mask_stride,
                               float *context, float *probabilities)
{
    const struct attention p = {.number = number, .B = B, .H = H, .T = T, .S = S, .d = d,
                                .q = q, .q_stride = q_stride, .k = k, .k_stride = k_stride,
                                .v = v, .v_stride = v_stride,
                                .texts = starts ? texts : B, .starts = starts,
                                .key_bias = key_bias, .key_bias_stride = key_bias_stride,
                                .mask = mask, .mask_stride = mask_stride, .head_mask = head_mask,
                                .head_mask_stride = head_mask_stride, .context = context,
                                .probabilities = probabilities};
    if (!is_right(&p))
        return ERNIEM_BAD_SIZE;
    float *scores = erniem_acquire(S * (int64_t)sizeof(float));
    if (!scores)
        return ERNIEM_NO_MEMORY;
    for (int64_t i = 0; i < p.texts; i++) {
        const struct text x = text_of(&p, i);
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < x.T; t++)
                attend_reference(&p, &x, h, t, scores);
    }
    erniem_release(scores);
    return 0;
}

/* Point the parts of the scratch memory into one block; its size in bytes. */
static int64_t place(const struct attention *p, unsigned char *memory, struct scratch *to)
{
    const int64_t S = p->most_keys, columns = erniem_ceil_div(S, p->columns) * p->columns;
    const int64_t rows = erniem_ceil_div(p->block, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    struct scratch_sizes of;
    p->kind->measure(p, &of);
    to->width = columns % 512 ? erniem_ceil_div(columns, 16) * 16 : columns + 16;
    const int64_t sizes[] = {8 * S, 4 * S, of.k_panels, of.v_panels, of.queries,
                             4 * rows * to->width, of.weights, of.sums, of.shares};
    unsigned char *parts[sizeof sizes / sizeof *sizes];
    int64_t at = 0;
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++) {
        parts[i] = memory ? memory + at : NULL;
        at += whole_lines(sizes[i]);
    }
    to->keys = (int64_t *)(void *)parts[0];
    to->bias = (float *)(void *)parts[1];
    to->k_panels = parts[2];
    to->v_panels = parts[3];
    to->queries = parts[4];
    to->scores = (float *)(void *)parts[5];
    to->weights = parts[6];
    to->sums = (float *)(void *)parts[7];
    to->shares = (float *)(void *)parts[8];
    return at;
}

/* Whether all values of a head are finite, also after they are rounded. */
static int values_are_finite(const struct attention *p, const struct text *x, int64_t h)
{
    const uint32_t least = p->number == ERNIEM_BFLOAT16 ? 0x7f7f8000 : 0x7f800000;
    uint32_t wrong = 0;
    for (int64_t s = 0; s < x->S; s++) {
        const float *v = p->v + offset(p->v_stride, x, h, s);
        for (int64_t l = 0; l < p->d; l++) {
            uint32_t bits;
            memcpy(&bits, v + l, sizeof bits);
            wrong |= (bits & 0x7fffffff) >= least;
        }
    }
    return !wrong;
}

/* List the keys to use, those that `row` shows; all, where row is NULL. */
static int64_t list_keys(const struct text *x, const uint8_t *row, int64_t *keys)
{
    int64_t count = 0;
    for (int64_t s = 0; s < x->S; s++)
        if (!row || row[s])
            keys[count++] = s;
    return count;
}

/* The keys first..end that any of the rows may see; all, where a row sees none. `first` is a multiple
   of the widest panel, so that the softmax adds in the same order on every instruction set. */
static void find_range(const struct attention *p, const uint8_t *mask, int64_t S, int64_t rows,
                       int64_t *first, int64_t *end)
{
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
    *first = low / ERNIEM_MAX_NR * ERNIEM_MAX_NR;
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

static struct head begin_head(const struct attention *p, const struct text *x, int64_t h, int skip,
                              const struct scratch *s)
{
    struct head head = {.text = *x, .h = h, .skip = skip, .factor = factor_of(p, x, h)};
    head.mask = mask_of(p, x, h, 0);
    if (head.mask)
        head.skip = skip && isfinite(head.factor) && values_are_finite(p, x, h);
    if (head.skip && head.mask && p->mask_stride[2] == 0)
        head.count = list_keys(x, head.mask, s->keys);
    if (head.count > 0)
        head.mask = NULL;
    else
        head.count = list_keys(x, NULL, s->keys);
    const float *bias = bias_of(p, x);
    for (int64_t j = 0; j < head.count && bias; j++)
        s->bias[j] = bias[s->keys[j]];
    p->kind->pack(p, &head, s);
    return head;
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

/* A row block, `rows` queries from t on: scores, softmax, context. Returns 0 where hidden keys were
   left out that count; then the result is not complete. */
static int attend(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                  const struct scratch *s)
{
    const int64_t S = head->text.S;
    const uint8_t *mask = head->mask ? head->mask + t * p->mask_stride[2] : NULL;
    int64_t first = 0, end = head->count;
    if (mask && head->skip)
        find_range(p, mask, S, rows, &first, &end);

    p->kind->score(p, head, t, rows, first, end, s);
    for (int64_t r = 0; r < rows; r++) {
        float *row = s->scores + r * s->width;
        if (mask)
            erniem_hide(end - first, mask + r * p->mask_stride[2] + first, -FLT_MAX, row + first);
        const float highest = p->kind->weigh(p, head, r, first, end, s);
        if (highest <= -FLT_MAX && end - first < S)
            return 0;
        prefetch_some(p, head, t + r);
        if (p->probabilities)
            keep_row(p, s, row, first, end, p->probabilities +
                     ((head->text.b * p->H + head->h) * p->T + t + r) * S);
    }
    p->kind->average(p, head, t, rows, first, end, s);
    return 1;
}

static void attend_some(const void *job, struct erniem_tasks *tasks)
{
    const struct attention *p = job;
    struct scratch s;
    unsigned char *memory = erniem_acquire(place(p, NULL, &s));
    if (!memory)
        return;
    place(p, memory, &s);
    if (p->narrow && p->narrow->begin)
        p->narrow->begin();
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t part = task % p->parts, h = task / p->parts % p->H;
        const struct text x = text_of(p, task / p->parts / p->H);
        const int64_t end = erniem_min(x.T, (part + 1) * p->part_rows);
        if (part * p->part_rows >= end)
            continue; /* the text has fewer parts than the longest one */
        struct head head = begin_head(p, &x, h, 1, &s);
        for (int64_t t = part * p->part_rows; t < end; t += p->block) {
            const int64_t rows = erniem_min(p->block, end - t);
            if (!attend(p, &head, t, rows, &s)) { /* again, with every key, and back */
                head = begin_head(p, &x, h, 0, &s);
                attend(p, &head, t, rows, &s);
                head = begin_head(p, &x, h, 1, &s);
            }
        }
    }
    if (p->narrow && p->narrow->end)
        p->narrow->end();
    erniem_release(memory);
}

/* Choose the kind, and the sizes of its row blocks and panels. */
static void choose_kind(struct attention *p)
{
    p->micro = erniem_micro();
    p->narrow = erniem_narrow(p->number);
    p->kind = p->narrow ? &erniem_attention_bfloat16 : &erniem_attention_float32;
    p->block = p->narrow ? erniem_min(p->narrow->mr, 32) : p->micro->gemm.mr;
    p->columns = p->narrow ? ERNIEM_COLUMNS : p->micro->gemm.nr;
}

int erniem_attention(int number, int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                     const float *q, const int64_t *q_stride, const float *k,
                     const int64_t *k_stride, const float *v, const int64_t *v_stride,
                     int64_t texts, const int64_t *starts,
                     const float *key_bias, int64_t key_bias_stride,
                     const uint8_t *mask, const int64_t *mask_stride,
                     const float *head_mask, const int64_t *head_mask_stride,
                     float *context, float *probabilities)
{
    struct attention job = {.number = number, .B = B, .H = H, .T = T, .S = S, .d = d,
                            .q = q, .q_stride = q_stride, .k = k, .k_stride = k_stride,
                            .v = v, .v_stride = v_stride,
                            .texts = starts ? texts : B, .starts = starts, .key_bias = key_bias,
                            .key_bias_stride = key_bias_stride, .mask = mask,
                            .mask_stride = mask_stride, .head_mask = head_mask,
                            .head_mask_stride = head_mask_stride, .context = context,
                            .probabilities = probabilities};
    if (!is_right(&job))
        return ERNIEM_BAD_SIZE;
    if (B * H * T == 0)
        return 0;
    int64_t longest = 0;
    for (int64_t t = 0; t < job.texts; t++) {
        const struct text x = text_of(&job, t);
        longest = erniem_max(longest, x.T);
        job.most_keys = erniem_max(job.most_keys, x.S);
    }

    choose_kind(&job);

    /* Parts of 64 queries or more, and only if the heads alone cannot keep the threads busy: each
       part packs the keys and values again. Whole row blocks, so that a row block has the same
       queries, and its sums the same order, for any number of threads and beside any texts. */
    const int64_t wanted = erniem_ceil_div(4 * erniem_get_threads(), job.texts * H);
    const int64_t parts = erniem_max(1, erniem_min(wanted, longest / 64));
    job.part_rows = erniem_ceil_div(erniem_ceil_div(longest, parts), job.block) * job.block;
    job.parts = erniem_ceil_div(longest, job.part_rows);
    return erniem_parallel(job.texts * H * job.parts, attend_some, &job);
}
