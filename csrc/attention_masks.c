/* Which keys attention uses.

   Keys that a mask hides from every query are left out when the keys are laid, and cost nothing. Under
   any other mask a block of queries computes from the first key that one of them may see to the last.
   That gives the result of the formula only if a hidden key has the probability 0, and if 0 times its
   value is 0. So nothing is left out in two cases:
   - a value or the head's factor is not finite, as 0 times infinity is NaN;
   - no score of a query is above the lowest finite number, as when all are -infinity. The formula
     then gives the hidden keys what the others have, or more. */

#include <float.h>
#include <math.h>

#include "attention.h"

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

/* List the keys that `row` shows. */
static int64_t list_keys(int64_t S, const uint8_t *row, int64_t *keys)
{
    int64_t count = 0;
    for (int64_t s = 0; s < S; s++)
        if (row[s])
            keys[count++] = s;
    return count;
}

void erniem_choose_keys(const struct attention *p, struct head *head, int skip, int64_t *keys)
{
    const struct text *x = &head->text;
    head->mask = mask_of(p, x, head->h, 0);
    head->skip = head->mask && skip && isfinite(head->factor) && values_are_finite(p, x, head->h);
    head->count = x->S;
    head->keys = NULL;
    if (!head->skip || p->mask_stride[2] != 0)
        return;
    const int64_t count = list_keys(x->S, head->mask, keys);
    if (count > 0) { /* else every key is alike */
        head->count = count;
        head->keys = keys;
        head->mask = NULL;
    }
}

void erniem_find_range(const struct attention *p, const struct head *head, struct block *block)
{
    const int64_t S = head->text.S;
    int64_t low = S, high = 0;
    block->first = 0;
    block->end = head->count;
    if (!head->mask || !head->skip)
        return;
    for (int64_t r = 0; r < block->queries; r++) {
        const uint8_t *row = head->mask + (block->t + r) * p->mask_stride[2];
        int64_t a = 0, z = S;
        while (a < S && !row[a])
            a++;
        while (z > a && !row[z - 1])
            z--;
        low = a == S ? 0 : erniem_min(low, a);
        high = a == S ? S : erniem_max(high, z);
    }
    block->first = low / ERNIEM_COLUMNS * ERNIEM_COLUMNS;
    block->end = high;
}

enum {
    KEYS = 64, /* that are hidden together */
    HALF = 32  /* of the bits that stand for the queries of a block */
};

/* x[c] = the lowest number where bit c of `hidden` is set, without a branch for each. */
static void hide(int64_t columns, uint32_t hidden, float *x)
{
    const float lowest = -FLT_MAX;
    uint32_t other, bits[HALF];
    memcpy(&other, &lowest, sizeof other);
    memcpy(bits, x, (size_t)columns * sizeof *bits);
    for (int64_t c = 0; c < columns; c++) {
        const uint32_t all = 0u - (hidden >> c & 1);
        bits[c] = (bits[c] & ~all) | (other & all);
    }
    memcpy(x, bits, (size_t)columns * sizeof *bits);
}

void erniem_hide_scores(const struct attention *p, const struct head *head, const struct block *block,
                        float *scores)
{
    for (int64_t j = block->first; j < block->end; j += KEYS) {
        const int64_t keys = erniem_min(KEYS, block->end - j);
        uint64_t hidden[KEYS] = {0};
        for (int64_t r = 0; r < block->queries; r++) {
            const uint8_t *row = head->mask + (block->t + r) * p->mask_stride[2] + j;
            for (int64_t i = 0; i < keys; i++)
                hidden[i] |= (uint64_t)(row[i] == 0) << r;
        }
        for (int64_t i = 0; i < keys; i++)
            for (int64_t c = 0; c < p->columns && hidden[i] >> c; c += HALF)
                hide(erniem_min(HALF, p->columns - c), (uint32_t)(hidden[i] >> c),
                     scores + (j + i) * p->columns + c);
    }
}
