/* The whole C interface, prototypes only: what cffi reads, and what a person reads first.
   Every array is float32 in C order unless a stride says otherwise; sizes count elements.
   A kernel returns 0, or a negative status for what it cannot do; nothing is written then. */

/* y = (x + residual - mean) / sqrt(variance + eps) * weight + bias, for each of n rows of d.
   residual may be NULL (plain layer norm); y may be x or residual. */
int erniem_add_norm(int64_t n, int64_t d, const float *x, const float *residual,
                    const float *weight, const float *bias, float eps, float *y);
