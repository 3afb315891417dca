/* softmax(q / sqrt(d) kT + key_bias, hidden keys at the lowest finite score) * head_mask * v.

   One task is one head of one text (or a part of its queries). The texts are the B rows of a padded
   batch, or lie one after the other in a single row, a packed batch, where `starts` bounds them. A
   block of queries is a panel, as if it were part of a weight, and the keys are the rows that are
   multiplied by it:

      keys (S, d) . panel of queries -> scores (S, columns), softmax down the columns,
      transposed . values (S, d)     -> context (columns, d)

   A column is a query, so the softmax of each stays in its lane of the vectors, and no lane is added
   to another. Only the scores of one block exist at a time, never the T x S matrix. They hold whole
   columns, so the softmax is the plain formula; but the context is divided in place of the
   exponentials, as that is d numbers and not S.

   A query of the softmax that has a NaN or an infinite score is NaN, for its hidden keys as well. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "attention.h"

/* Point the parts of the scratch memory into one block; its size in bytes. */
static int64_t place(const struct attention *p, unsigned char *memory, struct scratch *to)
{
    const int64_t S = p->most_keys, block = 4 * p->columns;
    const int64_t rows = erniem_ceil_div(S, ERNIEM_ROWS_TOGETHER) * ERNIEM_ROWS_TOGETHER;
    struct scratch_sizes of;
    p->kind->measure(p, &of);
    const int64_t sizes[] = {8 * S, 4 * S,  of.keys, of.values,  of.queries, rows * block,
                             block, block, block,   of.weights, of.contexts};
    unsigned char *parts[sizeof sizes / sizeof *sizes];
    int64_t at = 0;
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++) {
        parts[i] = memory ? memory + at : NULL;
        at += erniem_ceil_div(sizes[i], 64) * 64;
    }
    to->keys = (int64_t *)(void *)parts[0];
    to->bias = (float *)(void *)parts[1];
    to->keys_laid = parts[2];
    to->values_laid = parts[3];
    to->queries = parts[4];
    to->scores = (float *)(void *)parts[5];
    to->highest = (float *)(void *)parts[6];
    to->sums = (float *)(void *)parts[7];
    to->shares = (float *)(void *)parts[8];
    to->weights = parts[9];
    to->contexts = (float *)(void *)parts[10];
    return at;
}

static struct head begin_head(const struct attention *p, const struct text *x, int64_t h, int skip,
                              const struct scratch *s)
{
    struct head head = {.text = *x, .h = h, .factor = factor_of(p, x, h)};
    erniem_choose_keys(p, &head, skip, s->keys);
    const float *bias = bias_of(p, x);
    for (int64_t j = 0; j < head.count && bias; j++)
        s->bias[j] = bias[head.keys ? head.keys[j] : j];
    p->kind->lay(p, &head, s);
    return head;
}

/* Hand the probabilities of one query to the caller. Keys that were left out have 0, or NaN as the
   whole row has. */
static void keep_row(const struct attention *p, const struct head *head, const struct block *block,
                     int64_t r, const struct scratch *from)
{
    const struct text *x = &head->text;
    const float *e = from->scores + r, share = from->shares[r];
    const float one = e[block->first * p->columns] * share;
    float *out = p->probabilities + ((x->b * p->H + head->h) * p->T + block->t + r) * p->S;
    for (int64_t j = 0; j < p->S; j++)
        out[j] = isnan(one) ? one : 0.0f;
    for (int64_t j = block->first; j < block->end; j++)
        out[head->keys ? head->keys[j] : j] = e[j * p->columns] * share;
}

/* The largest score of each query, after the bias of the keys and the mask. */
static void find_highest(const struct attention *p, const struct head *head, const struct block *block,
                         const struct scratch *s)
{
    const int64_t count = block->end - block->first;
    float *scores = s->scores + block->first * p->columns;
    if (p->key_bias || !head->mask)
        p->micro->attention.highest(count, block->width, p->columns,
                                    p->key_bias ? s->bias + block->first : NULL, scores, s->highest);
    if (!head->mask)
        return;
    erniem_hide_scores(p, head, block, s->scores);
    p->micro->attention.highest(count, block->width, p->columns, NULL, scores, s->highest);
}

/* A block of queries from t on, before `end`. Returns 0 where hidden keys were left out that count;
   then the result is not complete. */
static int attend(const struct attention *p, const struct head *head, int64_t t, int64_t end,
                  const struct scratch *s)
{
    struct block block = {.t = t, .queries = erniem_min(p->columns, end - t)};
    block.width = (int)(erniem_ceil_div(block.queries, p->step) * p->step);
    erniem_find_range(p, head, &block);
    p->kind->score(p, head, &block, s);
    find_highest(p, head, &block, s);
    for (int64_t r = 0; r < block.queries && block.end - block.first < head->text.S; r++)
        if (s->highest[r] <= -FLT_MAX)
            return 0;
    p->kind->average(p, head, &block, s);
    for (int64_t r = 0; r < block.queries && p->probabilities; r++)
        keep_row(p, head, &block, r, s);
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
        for (int64_t t = part * p->part_rows; t < end; t += p->columns)
            if (!attend(p, &head, t, end, &s)) { /* again, with every key, and back */
                head = begin_head(p, &x, h, 0, &s);
                attend(p, &head, t, end, &s);
                head = begin_head(p, &x, h, 1, &s);
            }
    }
    if (p->narrow && p->narrow->end)
        p->narrow->end();
    erniem_release(memory);
}

/* Choose the kind, and the size of its blocks. */
static void choose_kind(struct attention *p)
{
    p->micro = erniem_micro();
    p->narrow = p->number == ERNIEM_FLOAT32 ? NULL : erniem_narrow(p->number);
    p->kind = p->narrow ? &erniem_attention_bfloat16 : &erniem_attention_float32;
    p->columns = p->narrow ? ERNIEM_COLUMNS : p->micro->gemm.nr;
    p->step = p->narrow ? ERNIEM_COLUMNS / 2 : p->micro->gemm.vw;
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
    if (!erniem_attention_is_right(&job))
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
       part lays the keys and values again. */
    const int64_t wanted = erniem_ceil_div(4 * erniem_get_threads(), job.texts * H);
    const int64_t parts = erniem_max(1, erniem_min(wanted, longest / 64));
    job.part_rows = erniem_ceil_div(erniem_ceil_div(longest, parts), job.columns) * job.columns;
    job.parts = erniem_ceil_div(longest, job.part_rows);
    return erniem_parallel(job.texts * H * job.parts, attend_some, &job);
}
