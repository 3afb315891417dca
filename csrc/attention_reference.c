/* Attention as plain loops, which tests compare the kernel with; and what both accept. */

#include <float.h>
#include <math.h>

#include "attention.h"

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

int erniem_attention_is_right(const struct attention *p)
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
    if (!erniem_attention_is_right(&p))
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
