/* What attention.c and the two kinds of its products share: attention_float32.c and
   attention_bfloat16.c. */

#ifndef ERNIEM_ATTENTION_H
#define ERNIEM_ATTENTION_H

#include "gemm/gemm.h"

struct attention {
    int number; /* ERNIEM_FLOAT32 or ERNIEM_BFLOAT16: what is computed with */
    int64_t B, H, T, S, d;
    const float *q;
    const int64_t *q_stride;
    const float *k;
    const int64_t *k_stride;
    const float *v;
    const int64_t *v_stride;
    int64_t texts;
    const int64_t *starts; /* of the texts of a packed batch, and T; NULL if it is not packed */
    const float *key_bias;
    int64_t key_bias_stride;
    const uint8_t *mask;
    const int64_t *mask_stride;
    const float *head_mask;
    const int64_t *head_mask_stride;
    float *context, *probabilities;
    const struct erniem_attention_kind *kind;
    const struct erniem_micro *micro;
    const struct erniem_narrow *narrow; /* bfloat16 alone */
    int64_t block;                      /* queries of a row block */
    int64_t columns;                    /* of a panel */
    int64_t parts, part_rows;           /* of the queries of a head */
    int64_t most_keys;                  /* of a text */
};

/* A text: T queries and S keys of row b, from `first` on; that is 0 unless texts are packed. */
struct text {
    int64_t b, first, T, S;
};

/* A head of one text, whose panels are laid. */
struct head {
    struct text text;
    int64_t h, count;     /* count: keys that are listed */
    const uint8_t *mask;  /* a row for each query; NULL where every listed key is visible */
    int skip;             /* whether hidden keys may be left out */
    float factor;
};

/* What one thread works with; every part begins at a cache line. */
struct scratch {
    int64_t width; /* floats from one row of `scores` to the next */
    int64_t *keys; /* the keys that are not left out: (S,) */
    float *bias;   /* of these keys, if there is one */
    void *k_panels, *v_panels;
    void *queries; /* of a row block, divided by sqrt(d) */
    float *scores; /* (block, S) */
    /* bfloat16 alone: exponentials (block, S), sums of a tile, and what a row is multiplied by. */
    unsigned char *weights;
    float *sums, *shares;
};

/* Bytes of the parts of `scratch` that depend on the kind. */
struct scratch_sizes {
    int64_t k_panels, v_panels, queries, weights, sums, shares;
};

/* The products of a head and the softmax between them, for one kind of arithmetic. */
struct erniem_attention_kind {
    void (*measure)(const struct attention *p, struct scratch_sizes *sizes);
    /* Lay the listed keys and their values into panels. */
    void (*pack)(const struct attention *p, const struct head *head, const struct scratch *s);
    /* scores[r][j] = query t + r . key j / sqrt(d) + bias[j] for r < rows and first <= j < end. */
    void (*score)(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                  int64_t first, int64_t end, const struct scratch *s);
    /* The softmax of row r, times the head's factor; left in `scores` where probabilities are kept.
       Returns the highest score; where the row has a NaN, any number, and its context becomes NaN. */
    float (*weigh)(const struct attention *p, const struct head *head, int64_t r, int64_t first,
                   int64_t end, const struct scratch *s);
    /* The context of these queries. */
    void (*average)(const struct attention *p, const struct head *head, int64_t t, int64_t rows,
                    int64_t first, int64_t end, const struct scratch *s);
};

extern const struct erniem_attention_kind erniem_attention_float32, erniem_attention_bfloat16;

/* Row t of a text in an array whose first three axes have these strides. */
static inline int64_t offset(const int64_t *stride, const struct text *x, int64_t h, int64_t t)
{
    return x->b * stride[0] + h * stride[1] + (x->first + t) * stride[2];
}

static inline float *context_of(const struct attention *p, const struct text *x, int64_t h, int64_t t)
{
    return p->context + ((x->b * p->T + x->first + t) * p->H + h) * p->d;
}

static inline int64_t whole_lines(int64_t bytes) { return erniem_ceil_div(bytes, 64) * 64; }

#endif
