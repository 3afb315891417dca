/* What the files of attention share: attention.c, attention_masks.c, attention_reference.c and the two
   kinds of products, attention_float32.c and attention_bfloat16.c. */

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
    int64_t columns, step;              /* queries of a block; its width is a multiple of `step` */
    int64_t parts, part_rows;           /* of the queries of a head */
    int64_t most_keys;                  /* of a text */
};

/* A text: T queries and S keys of row b, from `first` on; that is 0 unless texts are packed. */
struct text {
    int64_t b, first, T, S;
};

/* A head of one text, whose keys and values are laid. */
struct head {
    struct text text;
    int64_t h, count;    /* count: keys that are used */
    const int64_t *keys; /* them; NULL: all of the text */
    const uint8_t *mask; /* a row for each query; NULL where every used key is visible */
    int skip;            /* whether hidden keys may be left out */
    float factor;
};

/* Up to `columns` queries, from query t on, and the used keys that they may see. */
struct block {
    int64_t t, queries;
    int width;          /* columns that are computed */
    int64_t first, end; /* of the keys; first is a multiple of ERNIEM_COLUMNS */
};

/* What one thread works with; every part begins at a cache line. */
struct scratch {
    int64_t *keys; /* those that are not left out: (S,) */
    float *bias;   /* of these keys, if there is one */
    void *keys_laid, *values_laid;
    void *queries;   /* of a block, as a panel */
    float *scores;   /* (S, columns): a row for each key */
    float *highest;  /* score of each query, */
    float *sums;     /* sum of its exponentials, */
    float *shares;   /* the head's factor divided by that */
    void *weights;   /* bfloat16: the exponentials as a panel, */
    float *contexts; /* and the context of a block: (d, columns) */
};

/* Bytes of the parts of `scratch` that depend on the kind. */
struct scratch_sizes {
    int64_t keys, values, queries, weights, contexts;
};

/* The products of a head, for one kind of arithmetic. */
struct erniem_attention_kind {
    void (*measure)(const struct attention *p, struct scratch_sizes *sizes);
    /* Lay the used keys and their values as the products read them. */
    void (*lay)(const struct attention *p, const struct head *head, const struct scratch *s);
    /* scores[j][c] = key j . query t + c / sqrt(d) for the keys and queries of the block. */
    void (*score)(const struct attention *p, const struct head *head, const struct block *block,
                  const struct scratch *s);
    /* The exponentials of scores - highest, the shares, and with both the context of these queries. If
       probabilities are kept, `scores` becomes the exponentials as they were used. */
    void (*average)(const struct attention *p, const struct head *head, const struct block *block,
                    const struct scratch *s);
};

extern const struct erniem_attention_kind erniem_attention_float32, erniem_attention_bfloat16;

/* attention_reference.c: sizes that fit, and texts that are right. */
int erniem_attention_is_right(const struct attention *p);

/* attention_masks.c: which keys are used. Choose and list those of a head; `skip` as in struct head. */
void erniem_choose_keys(const struct attention *p, struct head *head, int skip, int64_t *keys);
/* Set first and end of a block: the keys that any of its queries may see; all, where one sees none. */
void erniem_find_range(const struct attention *p, const struct head *head, struct block *block);
/* Scores of hidden keys become the lowest finite number. */
void erniem_hide_scores(const struct attention *p, const struct head *head, const struct block *block,
                        float *scores);

static inline struct text text_of(const struct attention *p, int64_t number)
{
    if (!p->starts)
        return (struct text){number, 0, p->T, p->S};
    const int64_t first = p->starts[number], length = p->starts[number + 1] - first;
    return (struct text){0, first, length, length};
}

/* Row t of a text in an array whose first three axes have these strides. */
static inline int64_t offset(const int64_t *stride, const struct text *x, int64_t h, int64_t t)
{
    return x->b * stride[0] + h * stride[1] + (x->first + t) * stride[2];
}

/* Row t of what the next head reads: of the same text, or of the text behind it. For prefetches alone: it
   may lie behind the array. */
static inline const float *ahead(const struct attention *p, const struct head *head, const float *x,
                                 const int64_t *stride, int64_t t)
{
    const int last = head->h + 1 == p->H;
    return x + offset(stride, &head->text, last ? 0 : head->h + 1, last ? head->text.T + t : t);
}

static inline const float *bias_of(const struct attention *p, const struct text *x)
{
    return p->key_bias ? p->key_bias + x->b * p->key_bias_stride + x->first : NULL;
}

/* What a query of a text may see, a byte for each key of the text; NULL: everything. A row for all
   queries has every key of the packed batch, a row of one query those of its text alone. */
static inline const uint8_t *mask_of(const struct attention *p, const struct text *x, int64_t h,
                                     int64_t t)
{
    const int64_t skip = p->mask_stride && p->mask_stride[2] == 0 ? x->first : 0;
    return p->mask ? p->mask + offset(p->mask_stride, x, h, t) + skip : NULL;
}

static inline float factor_of(const struct attention *p, const struct text *x, int64_t h)
{
    return p->head_mask ? p->head_mask[x->b * p->head_mask_stride[0] + h * p->head_mask_stride[1]]
                        : 1.0f;
}

static inline float *context_of(const struct attention *p, const struct text *x, int64_t h, int64_t t)
{
    return p->context + ((x->b * p->T + x->first + t) * p->H + h) * p->d;
}

#endif
