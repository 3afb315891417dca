/* The gradients of attention, with P = softmax(q kT / sqrt(d)) computed again, a few rows at a time:

      dv = (P f)T dc     ds = P (f dc vT - dc . c) / sqrt(d)     dq = ds k     dk = dsT q

   where c is the context, f the factor of the head, and a hidden key has ds = 0. One task is one head
   of one text: a row of the batch, or, in a packed batch, what `starts` bounds. Its keys and values are
   laid into panels. Then a block of queries is computed at a time: P and f dc vT (queries, S), from
   them P f and ds in place, then the three products. The sums of dk and dv over the queries run in
   their order, block by block, in one thread: the results do not depend on the number of threads.

   With dropout P f becomes 0 here and there: dv = (D(P f))T dc and ds = P (f D(dc vT) - dc . c) / sqrt(d),
   where D drops and scales. D is a function of a seed and of the place, so it is computed again like P;
   and the forward pass, c = D(P f) v, stands here. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "../internal.h"

enum { TILES = 4 }; /* of a block of queries */

struct attention {
    int64_t B, H, T, S, d, texts;
    const float *q, *k, *v, *head_mask;
    const uint8_t *mask;
    const int64_t *q_stride, *k_stride, *v_stride, *mask_stride, *head_mask_stride;
    const int64_t *starts; /* of a packed batch, or NULL */
    uint64_t seed;  /* of the dropout, */
    uint32_t least; /* the least number that keeps an element; 0: nothing is dropped */
    float kept_scale;
    float *result;                   /* (B, T, H, d), of the forward pass */
    const float *context, *dcontext; /* (B, T, H, d) */
    float *dq, *dk, *dv;             /* (B, T, H, d), (B, S, H, d) twice */
    const struct erniem_micro *micro;
    int64_t most_keys; /* of a text */
};

/* What one thread works with. The columns of panels are keys in k_by_key and v_by_key, and the d
   numbers of a head in the others. */
struct scratch {
    int64_t width;                 /* floats from one row of `P` and `ds` to the next */
    float *k_by_key, *v_by_key;    /* [panel of keys][d][nr] */
    float *across;                 /* [panel of d][key][nr]: k, or v in the forward pass */
    float *q_across, *dc_across;   /* [panel of d][query][nr] */
    float *queries, *dc;           /* (queries, d), q divided by sqrt(d) */
    float *P, *ds;                 /* (queries, S) */
};

struct head {
    int64_t T, S; /* of its text */
    const float *q, *k, *v;
    const uint8_t *mask;
    int64_t at_query, at_key; /* of the results and the context */
    int64_t at_row;           /* of the dropout */
    float factor;
};

static int64_t whole_lines(int64_t floats) { return erniem_ceil_div(floats, 16) * 16; }

static int64_t place(const struct attention *p, float *memory, struct scratch *to)
{
    const int64_t nr = p->micro->gemm.nr, rows = TILES * p->micro->gemm.mr;
    const int64_t keys = erniem_ceil_div(p->most_keys, nr) * nr, columns = erniem_ceil_div(p->d, nr) * nr;
    to->width = whole_lines(keys) + 16;
    float **const parts[] = {&to->k_by_key, &to->v_by_key, &to->across, &to->q_across,
                             &to->dc_across, &to->queries, &to->dc, &to->P, &to->ds};
    const int64_t sizes[] = {keys * p->d,          keys * p->d,          columns * p->most_keys,
                             columns * rows,       columns * rows,       rows * ERNIEM_STRIDE,
                             rows * ERNIEM_STRIDE, rows * to->width,     rows * to->width};
    int64_t at = 0;
    for (int i = 0; i < 9; i++) {
        *parts[i] = memory ? memory + at : NULL;
        at += whole_lines(sizes[i]);
    }
    return at;
}

/* Rows of d numbers as the columns of panels. */
static void lay_by_row(const struct attention *p, int64_t rows, const float *from, int64_t stride,
                       float *to)
{
    const int64_t nr = p->micro->gemm.nr;
    for (int64_t s = 0; s < rows; s += nr, to += p->d * nr)
        p->micro->gemm.pack(erniem_min(nr, rows - s), p->d, from + s * stride, stride, NULL, to);
}

/* Rows of d numbers as the rows of panels. */
static void lay_across(const struct attention *p, int64_t rows, const float *from, int64_t stride,
                       float *to)
{
    const int64_t nr = p->micro->gemm.nr;
    for (int64_t l = 0; l < p->d; l += nr, to += rows * nr)
        p->micro->gemm.pack_across(erniem_min(nr, p->d - l), rows, from + l, stride, NULL, to);
}

/* c (rows, columns) = a . panels, or aT . panels if `across`: a's rows of kc, or kc rows, are lda
   apart. */
static void multiply(const struct attention *p, int across, int64_t rows, int64_t columns, int64_t kc,
                     const float *a, int64_t lda, const float *panels, int add, float *c, int64_t ldc)
{
    const int64_t mr = p->micro->gemm.mr, nr = p->micro->gemm.nr;
    struct erniem_tile_f32 tile = {.kc = kc, .lda = lda, .add = add, .ldc = ldc};
    for (int64_t j = 0; j < columns; j += nr)
        for (int64_t r = 0; r < rows; r += mr) {
            tile.rows = (int)erniem_min(mr, rows - r);
            tile.columns = (int)erniem_min(nr, columns - j);
            tile.a = across ? a + r : a + r * lda;
            tile.b = tile.next = panels + j * kc;
            tile.c = c + r * ldc + j;
            (across ? p->micro->gemm.tile_across : p->micro->gemm.tile)(&tile);
        }
}

static float dot_product(int64_t n, const float *a, const float *b)
{
    float sums[8] = {0.0f}, rest = 0.0f;
    const int64_t whole = n - n % 8;
    for (int64_t l = 0; l < whole; l += 8)
        for (int i = 0; i < 8; i++)
            sums[i] += a[l + i] * b[l + i];
    for (int64_t l = whole; l < n; l++)
        rest += a[l] * b[l];
    for (int i = 0; i < 8; i++)
        rest += sums[i];
    return rest;
}

/* The scores of query t become P. */
static const uint8_t *make_probabilities(const struct attention *p, const struct head *head, int64_t t,
                                         float *P)
{
    const uint8_t *mask = head->mask ? head->mask + t * p->mask_stride[2] : NULL;
    if (mask)
        erniem_hide(head->S, mask, -FLT_MAX, P);
    p->micro->rowwise.softmax(head->S, 1.0f, P);
    return mask;
}

/* D of a row of query t. */
static void drop(const struct attention *p, const struct head *head, int64_t t, float *row)
{
    if (p->least)
        p->micro->training.drop(head->S, p->seed, (uint64_t)(head->at_row + t), p->least,
                                p->kept_scale, row, row);
}

/* The scores and dc vT of one query become D(P f) and ds. */
static void score_gradient(const struct attention *p, const struct head *head, int64_t t, float dot,
                           float *P, float *ds)
{
    const float scale = 1.0f / sqrtf((float)p->d), factor = head->factor;
    const uint8_t *mask = make_probabilities(p, head, t, P);
    drop(p, head, t, ds);
    for (int64_t s = 0; s < head->S; s++) {
        ds[s] = (ds[s] * factor - dot) * P[s] * scale;
        P[s] *= factor;
    }
    drop(p, head, t, P);
    if (mask)
        erniem_hide(head->S, mask, 0.0f, ds);
}

/* Queries t .. t + rows - 1, divided by sqrt(d). */
static void copy_queries(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                         const struct scratch *s)
{
    const float *q = head->q + t * p->q_stride[2], scale = 1.0f / sqrtf((float)p->d);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < p->d; l++)
            s->queries[r * ERNIEM_STRIDE + l] = q[r * p->q_stride[2] + l] * scale;
}

/* The context of these queries. */
static void block_forward(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                          const struct scratch *s)
{
    copy_queries(p, head, t, rows, s);
    multiply(p, 0, rows, head->S, p->d, s->queries, ERNIEM_STRIDE, s->k_by_key, 0, s->P, s->width);
    for (int64_t r = 0; r < rows; r++) {
        float *P = s->P + r * s->width;
        make_probabilities(p, head, t + r, P);
        for (int64_t j = 0; j < head->S; j++)
            P[j] *= head->factor;
        drop(p, head, t + r, P);
    }
    multiply(p, 0, rows, p->d, head->S, s->P, s->width, s->across, 0,
             p->result + head->at_query + t * p->H * p->d, p->H * p->d);
}

/* The gradients that these queries give. */
static void block_backward(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                           const struct scratch *s)
{
    const int64_t d = p->d, S = head->S, row = p->H * d, at = head->at_query + t * row;
    const float *dc = p->dcontext + at;
    copy_queries(p, head, t, rows, s);
    for (int64_t r = 0; r < rows; r++)
        memcpy(s->dc + r * ERNIEM_STRIDE, dc + r * row, (size_t)d * sizeof(float));
    lay_across(p, rows, head->q + t * p->q_stride[2], p->q_stride[2], s->q_across);
    lay_across(p, rows, dc, row, s->dc_across);
    multiply(p, 0, rows, S, d, s->queries, ERNIEM_STRIDE, s->k_by_key, 0, s->P, s->width);
    multiply(p, 0, rows, S, d, s->dc, ERNIEM_STRIDE, s->v_by_key, 0, s->ds, s->width);
    for (int64_t r = 0; r < rows; r++) {
        const float dot = dot_product(d, dc + r * row, p->context + at + r * row);
        score_gradient(p, head, t + r, dot, s->P + r * s->width, s->ds + r * s->width);
    }
    multiply(p, 0, rows, d, S, s->ds, s->width, s->across, 0, p->dq + at, row);
    multiply(p, 1, S, d, rows, s->ds, s->width, s->q_across, t > 0, p->dk + head->at_key, row);
    multiply(p, 1, S, d, rows, s->P, s->width, s->dc_across, t > 0, p->dv + head->at_key, row);
}

static int64_t entry(const int64_t *stride, int64_t b, int64_t h) { return b * stride[0] + h * stride[1]; }

static struct head head_of(const struct attention *p, int64_t number, int64_t h)
{
    const int64_t b = p->starts ? 0 : number, first = p->starts ? p->starts[number] : 0;
    const int64_t T = p->starts ? p->starts[number + 1] - first : p->T, S = p->starts ? T : p->S;
    const int64_t query = b * p->T + first, key = b * p->S + first; /* numbers in the batch */
    struct head head = {.T = T, .S = S, .at_query = (query * p->H + h) * p->d,
                        .at_key = (key * p->H + h) * p->d, .at_row = query * p->H + h * T, .factor = 1.0f};
    head.q = p->q + entry(p->q_stride, b, h) + first * p->q_stride[2];
    head.k = p->k + entry(p->k_stride, b, h) + first * p->k_stride[2];
    head.v = p->v + entry(p->v_stride, b, h) + first * p->v_stride[2];
    if (p->mask)
        head.mask = p->mask + entry(p->mask_stride, b, h) + first * erniem_max(1, p->mask_stride[2]);
    if (p->head_mask)
        head.factor = p->head_mask[entry(p->head_mask_stride, b, h)];
    return head;
}

static void attend_some(const void *job, struct erniem_tasks *tasks)
{
    const struct attention *p = job;
    const int64_t block = TILES * p->micro->gemm.mr;
    struct scratch s;
    float *memory = erniem_acquire(place(p, NULL, &s) * (int64_t)sizeof(float));
    if (!memory)
        return;
    place(p, memory, &s);
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const struct head head = head_of(p, task / p->H, task % p->H);
        lay_by_row(p, head.S, head.k, p->k_stride[2], s.k_by_key);
        if (!p->result)
            lay_by_row(p, head.S, head.v, p->v_stride[2], s.v_by_key);
        const int64_t stride = p->result ? p->v_stride[2] : p->k_stride[2];
        lay_across(p, head.S, p->result ? head.v : head.k, stride, s.across);
        for (int64_t t = 0; t < head.T; t += block)
            (p->result ? block_forward : block_backward)(p, &head, t, erniem_min(block, head.T - t), &s);
    }
    erniem_release(memory);
}

static int attend(struct attention *p)
{
    const int64_t B = p->B, H = p->H, T = p->T, S = p->S, d = p->d, texts = p->starts ? p->texts : B;
    if (d < 1 || d > ERNIEM_KC || B < 1 || H < 1 || T < 1 || S < 1 || S > ERNIEM_MOST_DROPPED ||
        !erniem_fits(B, H, 1) || !erniem_fits(B * H, T, d) || !erniem_fits(B * H, S, d) ||
        !erniem_fits(S + ERNIEM_MAX_NR, d + ERNIEM_STRIDE, 64) ||
        !erniem_starts_are_right(B, T, S, texts, p->starts))
        return ERNIEM_BAD_SIZE;
    p->micro = erniem_micro();
    p->most_keys = p->starts ? 0 : S;
    for (int64_t t = 0; p->starts && t < texts; t++)
        p->most_keys = erniem_max(p->most_keys, p->starts[t + 1] - p->starts[t]);
    return erniem_parallel(texts * H, attend_some, p);
}

int erniem_attention_dropped(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                             const int64_t *q_stride, const float *k, const int64_t *k_stride,
                             const float *v, const int64_t *v_stride, int64_t texts,
                             const int64_t *starts, const uint8_t *mask, const int64_t *mask_stride,
                             const float *head_mask, const int64_t *head_mask_stride, uint64_t seed,
                             uint32_t least, float scale, float *context)
{
    struct attention job = {
        .B = B, .H = H, .T = T, .S = S, .d = d, .q = q, .q_stride = q_stride, .k = k,
        .k_stride = k_stride, .v = v, .v_stride = v_stride, .texts = texts, .starts = starts,
        .mask = mask, .mask_stride = mask_stride, .head_mask = head_mask,
        .head_mask_stride = head_mask_stride, .seed = seed, .least = least, .kept_scale = scale,
        .result = context};
    return attend(&job);
}

int erniem_attention_backward(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                              const int64_t *q_stride, const float *k, const int64_t *k_stride,
                              const float *v, const int64_t *v_stride, int64_t texts,
                              const int64_t *starts, const uint8_t *mask, const int64_t *mask_stride,
                              const float *head_mask, const int64_t *head_mask_stride, uint64_t seed,
                              uint32_t least, float scale, const float *context,
                              const float *dcontext, float *dq, float *dk, float *dv)
{
    struct attention job = {
        .B = B, .H = H, .T = T, .S = S, .d = d, .q = q, .q_stride = q_stride, .k = k,
        .k_stride = k_stride, .v = v, .v_stride = v_stride, .texts = texts, .starts = starts,
        .mask = mask, .mask_stride = mask_stride, .head_mask = head_mask,
        .head_mask_stride = head_mask_stride, .seed = seed, .least = least, .kept_scale = scale,
        .context = context, .dcontext = dcontext, .dq = dq, .dk = dk, .dv = dv};
    return attend(&job);
}
