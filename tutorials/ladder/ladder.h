/* What every rung offers: y = x wT + bias, for x (m, k), w (n, k), bias (n), y (m, n), all float32.
   A rung may rearrange the weight once, in advance, as a model does when it is loaded. */

#ifndef LADDER_H
#define LADDER_H

#include <stdint.h>

/* Floats that the rearranged weight needs. */
int64_t prepared_size(int64_t n, int64_t k);
/* Rearrange a weight w (n, k). */
void prepare(int64_t n, int64_t k, const float *w, float *to);
/* Multiply; w is what prepare wrote. 0, or -1 where something could not be had. */
int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y);

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
