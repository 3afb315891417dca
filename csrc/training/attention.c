/* The gradients of attention, with P = softmax(q kT / sqrt(d)) computed again, a few rows at a time:

      dv = (P f)T dc     ds = P (f dc vT - dc . c) / sqrt(d)     dq = ds k     dk = dsT q

   where c is the context, f the factor of the head, and a hidden key has ds = 0. One task is one head
   of one text. Its keys and values are laid into panels. Then a block of queries is computed at a
   time: P and f dc vT (queries, S), from them P f and ds in place, then the three products. The sums
   of dk and dv over the queries run in their order, block by block, in one thread: the results do
   not depend on the number of threads.

   With dropout P f becomes 0 here and there: dv = (D(P f))T dc and ds = P (f D(dc vT) - dc . c) / sqrt(d),
   where D drops and scales. D is a function of a seed and of the place, so it is computed again like P;
   and the forward pass, c = D(P f) v, stands here. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "../internal.h"

enum { TILES = 4 }; /* of a block of queries */

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
    uint64_t seed;  /* of the dropout, */
    uint32_t least; /* the least number that keeps an element; 0: nothing is dropped */
    float kept_scale;
    float *result;                   /* (B, T, H, d), of the forward pass */
    const float *context, *dcontext; /* (B, T, H, d) */
    float *dq, *dk, *dv;             /* (B, T, H, d), (B, S, H, d) twice */
    const struct erniem_micro *micro;
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
    int64_t b, h;
    const float *q, *k, *v;
    int64_t at_query, at_key; /* of the results and the context */
    float factor;
};

static int64_t whole_lines(int64_t floats) { return erniem_ceil_div(floats, 16) * 16; }

static int64_t place(const struct attention *p, float *memory, struct scratch *to)
{
    const int64_t nr = p->micro->gemm.nr, rows = TILES * p->micro->gemm.mr;
    const int64_t keys = erniem_ceil_div(p->S, nr) * nr, columns = erniem_ceil_div(p->d, nr) * nr;
    to->width = whole_lines(keys) + 16;
    float **const parts[] = {&to->k_by_key, &to->v_by_key, &to->across, &to->q_across,
                             &to->dc_across, &to->queries, &to->dc, &to->P, &to->ds};
    const int64_t sizes[] = {keys * p->d, keys * p->d, columns * p->S, columns * rows, columns * rows,
                             rows * ERNIEM_STRIDE, rows * ERNIEM_STRIDE, rows * to->width,
                             rows * to->width};
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
            (across ? p->micro->training.tile_across : p->micro->gemm.tile)(&tile);
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
    const uint8_t *mask = p->mask ? p->mask + head->b * p->mask_stride[0] +
                                        head->h * p->mask_stride[1] + t * p->mask_stride[2]
                                  : NULL;
    if (mask)
        erniem_hide(p->S, mask, -FLT_MAX, P);
    p->micro->rowwise.softmax(p->S, 1.0f, P);
    return mask;
}

/* D of a row of query t. */
static void drop(const struct attention *p, const struct head *head, int64_t t, float *row)
{
    const int64_t place = (head->b * p->H + head->h) * p->T + t;
    if (p->least)
        p->micro->training.drop(p->S, p->seed, (uint64_t)place, p->least, p->kept_scale, row, row);
}

/* The scores and dc vT of one query become D(P f) and ds. */
static void score_gradient(const struct attention *p, const struct head *head, int64_t t, float dot,
                           float *P, float *ds)
{
    const float scale = 1.0f / sqrtf((float)p->d), factor = head->factor;
    const uint8_t *mask = make_probabilities(p, head, t, P);
    drop(p, head, t, ds);
    for (int64_t s = 0; s < p->S; s++) {
        ds[s] = (ds[s] * factor - dot) * P[s] * scale;
        P[s] *= factor;
    }
    drop(p, head, t, P);
    if (mask)
        erniem_hide(p->S, mask, 0.0f, ds);
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
    multiply(p, 0, rows, p->S, p->d, s->queries, ERNIEM_STRIDE, s->k_by_key, 0, s->P, s->width);
    for (int64_t r = 0; r < rows; r++) {
        float *P = s->P + r * s->width;
        make_probabilities(p, head, t + r, P);
        for (int64_t j = 0; j < p->S; j++)
            P[j] *= head->factor;
        drop(p, head, t + r, P);
    }
    multiply(p, 0, rows, p->d, p->S, s->P, s->width, s->across, 0,
             p->result + head->at_query + t * p->H * p->d, p->H * p->d);
}

/* The gradients that these queries give. */
static void block_backward(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                           const struct scratch *s)
{
    const int64_t d = p->d, S = p->S, row = p->H * d, at = head->at_query + t * row;
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
        const int64_t b = task / p->H, h = task % p->H;
        const struct head head = {
            b, h, p->q + b * p->q_stride[0] + h * p->q_stride[1],
            p->k + b * p->k_stride[0] + h * p->k_stride[1],
            p->v + b * p->v_stride[0] + h * p->v_stride[1],
            (b * p->T * p->H + h) * p->d, (b * p->S * p->H + h) * p->d,
            p->head_mask ? p->head_mask[b * p->head_mask_stride[0] + h * p->head_mask_stride[1]]
                         : 1.0f};
        lay_by_row(p, p->S, head.k, p->k_stride[2], s.k_by_key);
        if (p->result) {
            lay_across(p, p->S, head.v, p->v_stride[2], s.across);
        } else {
            lay_by_row(p, p->S, head.v, p->v_stride[2], s.v_by_key);
            lay_across(p, p->S, head.k, p->k_stride[2], s.across);
        }
        for (int64_t t = 0; t < p->T; t += block)
            (p->result ? block_forward : block_backward)(p, &head, t, erniem_min(block, p->T - t), &s);
    }
    erniem_release(memory);
}

static int attend(const struct attention *p)
{
    const int64_t B = p->B, H = p->H, T = p->T, S = p->S, d = p->d;
    if (d < 1 || d > ERNIEM_KC || B < 1 || H < 1 || T < 1 || S < 1 || S > ERNIEM_MOST_DROPPED ||
        !erniem_fits(B, H, 1) || !erniem_fits(B * H, T, d) || !erniem_fits(B * H, S, d) ||
        !erniem_fits(S + ERNIEM_MAX_NR, d + ERNIEM_STRIDE, 64))
        return ERNIEM_BAD_SIZE;
    return erniem_parallel(B * H, attend_some, p);
}

int erniem_attention_dropped(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                             const int64_t *q_stride, const float *k, const int64_t *k_stride,
                             const float *v, const int64_t *v_stride, const uint8_t *mask,
                             const int64_t *mask_stride, const float *head_mask,
                             const int64_t *head_mask_stride, uint64_t seed, uint32_t least,
                             float scale, float *context)
{
    const struct attention job = {
        .B = B, .H = H, .T = T, .S = S, .d = d, .q = q, .q_stride = q_stride, .k = k,
        .k_stride = k_stride, .v = v, .v_stride = v_stride, .mask = mask, .mask_stride = mask_stride,
        .head_mask = head_mask, .head_mask_stride = head_mask_stride, .seed = seed, .least = least,
        .kept_scale = scale, .result = context, .micro = erniem_micro()};
    return attend(&job);
}

int erniem_attention_backward(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                              const int64_t *q_stride, const float *k, const int64_t *k_stride,
                              const float *v, const int64_t *v_stride, const uint8_t *mask,
                              const int64_t *mask_stride, const float *head_mask,
                              const int64_t *head_mask_stride, uint64_t seed, uint32_t least,
                              float scale, const float *context, const float *dcontext, float *dq,
                              float *dk, float *dv)
{
    const struct attention job = {
        .B = B, .H = H, .T = T, .S = S, .d = d, .q = q, .q_stride = q_stride, .k = k,
        .k_stride = k_stride, .v = v, .v_stride = v_stride, .mask = mask, .mask_stride = mask_stride,
        .head_mask = head_mask, .head_mask_stride = head_mask_stride, .seed = seed, .least = least,
        .kept_scale = scale, .context = context, .dcontext = dcontext, .dq = dq, .dk = dk, .dv = dv,
        .micro = erniem_micro()};
    return attend(&job);
}
