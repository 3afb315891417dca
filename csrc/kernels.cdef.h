/* The whole C interface, prototypes only: what cffi reads, and what a person reads first.

   Arrays are float32 in C order unless strides are given; sizes and strides count elements.
   A kernel returns 0, or a negative status for what it cannot do (ERNIEM_BAD_SIZE: a size that is
   negative, too large or beyond this kernel; ERNIEM_NO_MEMORY: no scratch memory). Results do not
   depend on the number of threads, not in the last bit. Any function may be called from several
   threads at once, and after a fork. Each *_reference is the formula as plain loops, for tests.
   Shapes: B batch, T tokens, S keys, D hidden, H heads, d = D/H; m, n, k of a product. */

#define ERNIEM_BAD_SIZE -1
#define ERNIEM_NO_MEMORY -2

/* cpu.c: the instruction set in use: "generic", "avx2", "avx512" or "neon". */
const char *erniem_isa(void);
/* Number i of the instruction sets that both the processor and this build have, best first; NULL at
   the end. */
const char *erniem_available_isa(int i);
/* Use that one from now on; weights must be packed again. 0, or -1 where it is not available. */
int erniem_choose_isa(const char *name);

/* threads.c: who runs a kernel's threads: "openmp", "pool" (threads of our own) or "serial" (the
   calling thread alone). Results do not depend on it. */
const char *erniem_threading(void);
/* Number i of the names that this build offers, the default first; NULL at the end. In the child of a
   fork "openmp" is not offered: GNU's library would wait forever. The child uses the next one. */
const char *erniem_available_threading(int i);
/* Use that one for the kernels that start from now on. 0, or -1 where it is not available. */
int erniem_choose_threading(const char *name);

/* Threads per kernel, the calling thread included, 1 at first. 0, or -1 unless
   1 <= n <= ERNIEM_MAX_THREADS. */
#define ERNIEM_MAX_THREADS 1024
int erniem_set_threads(int n);
/* The threads that a kernel uses: that number, or 1 while "serial" is chosen. */
int erniem_get_threads(void);
/* The number that was set, also while "serial" is chosen. */
int erniem_wanted_threads(void);

/* memory.c: memory that starts at a cache line; NULL where there is none. A block that is released is
   kept for the next caller, within a limit. */
void *erniem_acquire(int64_t bytes);
void erniem_release(void *block); /* NULL is allowed */
/* Give all kept blocks back to the system. */
void erniem_forget_memory(void);

/* pack.c: floats in the panels of an (n, k) weight, or ERNIEM_BAD_SIZE. */
int64_t erniem_packed_size(int64_t n, int64_t k);
/* Rearrange a weight w (n, k) into panels. */
int erniem_pack(int64_t n, int64_t k, const float *w, float *packed);
/* linear.c: y (m, n) = act(x (m, k) wT + bias (n)); bias may be NULL; the activations are numbered in
   micro.h. */
int erniem_linear(int64_t m, int64_t n, int64_t k, const float *x, const float *packed,
                  const float *bias, int activation, float *y);
/* The same for several weights (n, k) over one x: y[i] = act(x w[i]T + bias[i]). */
int erniem_linears(int64_t weights, int64_t m, int64_t n, int64_t k, const float *x,
                   const float *const *packed, const float *const *bias, int activation,
                   float *const *y);
/* strassen.c: erniem_linears with an eighth fewer multiplications and about twice the rounding
   error, for m >= 2 and n, k >= 1. Faster from about 96 rows of 512 numbers on. */
int erniem_strassen(int64_t weights, int64_t m, int64_t n, int64_t k, const float *x,
                    const float *const *packed, const float *const *bias, int activation,
                    float *const *y);
int erniem_linear_reference(int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                            const float *bias, int activation, float *y);

/* attention.c: context (B, T, H, d) = softmax(q kT / sqrt(d), hidden keys at the lowest finite
   score) * head_mask * v. q (B, H, T, d), k and v (B, H, S, d) with strides of their first three
   axes. mask (B, H, T, S) bytes, 0 hides, strides of the first three axes; may be NULL.
   head_mask (B, H) with strides; may be NULL. probabilities (B, H, T, S), may be NULL. */
int erniem_attention(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                     const float *q, const int64_t *q_stride, const float *k,
                     const int64_t *k_stride, const float *v, const int64_t *v_stride,
                     const uint8_t *mask, const int64_t *mask_stride,
                     const float *head_mask, const int64_t *head_mask_stride,
                     float *context, float *probabilities);
int erniem_attention_reference(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                               const float *q, const int64_t *q_stride, const float *k,
                               const int64_t *k_stride, const float *v, const int64_t *v_stride,
                               const uint8_t *mask, const int64_t *mask_stride,
                               const float *head_mask, const int64_t *head_mask_stride,
                               float *context, float *probabilities);

/* rowwise.c: y = (x + residual - mean) / sqrt(variance + eps) * weight + bias, for each of n rows
   of d. residual may be NULL (plain layer norm); y may be x or residual. */
int erniem_add_norm(int64_t n, int64_t d, const float *x, const float *residual,
                    const float *weight, const float *bias, float eps, float *y);
int erniem_add_norm_reference(int64_t n, int64_t d, const float *x, const float *residual,
                              const float *weight, const float *bias, float eps, float *y);
/* Layer norm of words[ids[i]] + places[rows[i % period]], for each of n tokens; the indices are
   the caller's to check. */
int erniem_embed(int64_t n, int64_t d, const int64_t *ids, const float *words,
                 const int64_t *rows, int64_t period, const float *places, const float *weight,
                 const float *bias, float eps, float *y);
/* x = act(x) for n numbers. */
int erniem_activate(int activation, int64_t n, float *x);
int erniem_activate_reference(int activation, int64_t n, float *x);

/* limits.c, for benchmarks: do multiply-adds on all threads, at most 64. Returns a number of
   operations; `rounds` times as many were done. */
int64_t erniem_multiply_add(int64_t rounds);
/* Read n floats once on all threads; the result means nothing. */
float erniem_read(int64_t n, const float *x);
