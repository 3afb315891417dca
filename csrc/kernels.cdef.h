/* The whole C interface, prototypes only: what cffi reads, and what a person reads first.

   Contract of every kernel, unless it says otherwise:
   - Arrays are float32 in C order; sizes and strides count elements, not bytes. The order of the
     arguments is sizes, inputs, outputs.
   - A pointer needs the alignment of its type and no more. An output overlaps no input and no other
     output. No argument is kept after the call.
   - Returns 0, or a negative status: ERNIEM_BAD_SIZE, a size that is negative, too large, beyond
     this kernel or not that of another argument, or an unknown activation; ERNIEM_NO_MEMORY, no
     scratch memory, and the outputs are incomplete; ERNIEM_WRONG_ISA, a weight that is packed for
     another kernel: pack it again; ERNIEM_BAD_NUMBER, an int8 weight of -128. Sizes are checked before
     anything is read or written. That arrays have these sizes is the caller's part.
   - Any function may be called from several threads at once, and after a fork; only the functions
     that choose or set something must not run beside a kernel. Results do not depend on the number
     of threads, not in the last bit. With "avx512", "avx2" and "neon" they are the same bits, but
     for arithmetic in bfloat16, float32 by "amx", training and Strassen's algorithm.
   Each *_reference is the formula as plain loops, for tests.
   Shapes: B batch, T tokens, S keys, D hidden, H heads, d = D/H; m, n, k of a product. */

#define ERNIEM_BAD_SIZE -1
#define ERNIEM_NO_MEMORY -2
#define ERNIEM_WRONG_ISA -3
#define ERNIEM_BAD_NUMBER -4

/* cpu.c: the instruction set in use: "generic", "avx2", "avx512" or "neon". */
const char *erniem_isa(void);
/* Number i of the instruction sets that the processor and this build have, best first; NULL at the end. */
const char *erniem_available_isa(int i);
/* Use that one from now on, and the first kernel that it allows of each number type, see below; weights
   of float32 must be packed again. 0, or -1 where it is not available. */
int erniem_choose_isa(const char *name);

/* Number types of a weight. */
#define ERNIEM_FLOAT32 0
#define ERNIEM_INT8 1
#define ERNIEM_BFLOAT16 2        /* arithmetic in bfloat16: x is rounded to it, sums are float32 */
#define ERNIEM_STORED_BFLOAT16 3 /* arithmetic in float32, with weights that are widened, exactly */
#define ERNIEM_FLOAT16 4         /* the same */
#define ERNIEM_TRAINED_FLOAT32 5 /* of no packed weight: float32 in training */
/* The kernel in use for products with weights of this number type, such as "avx512vnni"; NULL for an
   unknown type. Of float32 it is the instruction set, or "amx", where that is asked for or in training. */
const char *erniem_kernel(int number);
/* Number i of its kernels that the instruction set in use allows, the default first; NULL at the end. */
const char *erniem_available_kernel(int number, int i);
/* Use that one until an instruction set is chosen; weights of float32 must be packed again. 0, or -1. */
int erniem_choose_kernel(int number, const char *name);

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
/* Cores that the threads of this process may keep busy, ERNIEM_MAX_THREADS at first. Threads beyond
   them would wait for each other, so a kernel does not use them. Status as above. */
int erniem_set_cores(int n);
/* The threads that a kernel uses: the smaller of both numbers, or 1 while "serial" is chosen. */
int erniem_get_threads(void);
/* The number that was set, also while a kernel uses fewer. */
int erniem_wanted_threads(void);

/* memory.c: memory that starts at a cache line; NULL where there is none. A block that is released is
   kept for the next caller, within limits: 128 MB, or, for training, all that is used again. Training
   also cuts blocks, and joins their pieces. */
void *erniem_acquire(int64_t bytes);
void erniem_release(void *block); /* NULL is allowed */
/* Begin to keep much, or end it; calls may be nested. */
void erniem_keep_much_memory(int yes);
/* Give all kept blocks back to the system, but for pieces of one that is partly in use. */
void erniem_forget_memory(void);

/* gemm/pack.c: a weight (n, k), packed for the kernel in use: its sizes, the type of its numbers and
   its panels, in memory of its own. It does not change, so threads may share it. */
struct erniem_packed;
/* Pack w (n, k); *packed is NULL unless 0 is returned. */
int erniem_pack(int64_t n, int64_t k, const float *w, struct erniem_packed **packed);
/* The same for erniem_top_scores, which always uses the instruction set itself. */
int erniem_pack_queries(int64_t n, int64_t k, const float *w, struct erniem_packed **packed);
/* Pack w (n, k), numbers of -127 to 127, with a scale for each row: w[j][l] stands for scale[j] *
   w[j][l]. Any instruction set reads it. k <= ERNIEM_MOST_INT8, so that sums fit 32 bits. */
#define ERNIEM_MOST_INT8 65536
int erniem_pack_int8(int64_t n, int64_t k, const int8_t *w, const float *scale,
                     struct erniem_packed **packed);
/* Pack w (n, k) of one of the number types of 16 bits. Any instruction set reads it. */
int erniem_pack_16(int number, int64_t n, int64_t k, const uint16_t *w,
                   struct erniem_packed **packed);
/* Free it; NULL does nothing. */
void erniem_packed_free(struct erniem_packed *packed);

/* gemm/linear.c: y[i] (m, n) = act(x (m, k) w[i]T + bias[i] (n)) for each i < count, count >= 1. n
   and k are those of the packed weights, which must agree, as their number types. bias[i] may be
   NULL. The activations are numbered in micro/micro.h. A row of y has the same bits whatever m and
   the other rows are: this is the classical product. Only where Strassen's algorithm was asked for
   (erniem_set_strassen), independent is 0 and the weights are float32, m, n and k choose between it and
   the kernel of the instruction set.
   With int8 weights act's argument has the same bits with every kernel: that of `int8_linear` in
   numpy_erniem/quantization/formula.py, where the rows of x are rounded to eight bits.
   With ERNIEM_BFLOAT16, x is rounded to nearest even; products are exact and their sums are float32,
   within 1e-6 of the sum of the products' magnitudes, in an order that depends on the kernel: so bits
   do, too. Some kernels take numbers below 2^-126 for 0. Float32 by "amx" is as near, but thirds of numbers
   and products below 2^-126 count as 0. With weights of 16 bits that are widened, y has the bits of the
   product with the same weights in float32 by the instruction set. */
int erniem_linears(int64_t count, int64_t m, const float *x,
                   const struct erniem_packed *const *packed, const float *const *bias,
                   int activation, int independent, float *const *y);
/* erniem_linears of one weight. */
int erniem_linear(int64_t m, const float *x, const struct erniem_packed *packed, const float *bias,
                  int activation, int independent, float *y);
/* gemm/mlp.c: y (m, n2) = act(x (m, k) first T + first_bias) second T + second_bias, with the bits of two
   calls of erniem_linear; a bias may be NULL. Between two weights of ERNIEM_BFLOAT16, two bytes are
   written and read for each number in place of four. */
int erniem_mlp(int64_t m, const float *x, const struct erniem_packed *first, const float *first_bias,
               int activation, const struct erniem_packed *second, const float *second_bias,
               int independent, float *y);
/* The same two, then erniem_add_norm of y and a residual (m, n) in one pass: with its weight and bias
   (n) and eps, and with the bits of the two calls. residual may be NULL, and is not y; n >= 1. */
int erniem_linear_add_norm(int64_t m, const float *x, const struct erniem_packed *packed,
                           const float *bias, int activation, int independent,
                           const float *residual, const float *norm_weight, const float *norm_bias,
                           float eps, float *y);
int erniem_mlp_add_norm(int64_t m, const float *x, const struct erniem_packed *first,
                        const float *first_bias, int activation, const struct erniem_packed *second,
                        const float *second_bias, int independent, const float *residual,
                        const float *norm_weight, const float *norm_bias, float eps, float *y);
int erniem_linear_reference(int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                            const float *bias, int activation, float *y);
/* The same for one int8 weight (n, k), each operation of the formula in order. */
int erniem_linear_int8_reference(int64_t m, int64_t n, int64_t k, const float *x, const int8_t *w,
                                 const float *scale, const float *bias, int activation, float *y);

/* The same for a weight of 16 bits. */
int erniem_linear_16_reference(int number, int64_t m, int64_t n, int64_t k, const float *x,
                               const uint16_t *w, const float *bias, int activation, float *y);

/* Which products use one level of Strassen's algorithm (gemm/strassen.c), with an eighth fewer
   multiplications and a rounding error that depends on the weights: none (as at first), those with
   m >= 96 and n, k >= 512, or every product with m >= 2 and k >= 1, for tests. */
#define ERNIEM_STRASSEN_OFF 0
#define ERNIEM_STRASSEN_LARGE 1
#define ERNIEM_STRASSEN_ALWAYS 2
int erniem_set_strassen(int which); /* ERNIEM_BAD_SIZE for any other number */
int erniem_get_strassen(void);

/* attention.c: context (B, T, H, d) = softmax(q / sqrt(d) kT + key_bias, hidden keys at the lowest
   finite score) * head_mask * v. q (B, H, T, d), k and v (B, H, S, d), each with the strides of its
   first three axes; the last is 1. d is at most 768. key_bias (B, S), key_bias_stride from one row to
   the next, 0 where it broadcasts; may be NULL. mask (B, H, T, S) bytes, 0 hides, strides of the first
   three axes, 0 where it broadcasts; may be NULL. head_mask (B, H) with strides, of which the first
   two count; may be NULL. probabilities (B, H, T, S), after head_mask; may be NULL. Infinity and NaN
   give what the formula gives. q, k and v may overlap.
   starts NULL: `texts` is not read. Else a packed batch: text t has the queries and keys starts[t] to
   starts[t + 1] - 1 and sees no others, starts[0] = 0 and starts[texts] = T, rising, which is checked;
   B = 1, S = T, no probabilities. A mask whose third stride is 0 is the same for all queries, and has S
   bytes; any other has a row for each of the T queries, with as many bytes as the longest text has
   tokens, of which the first are the keys of the query's own text. A text gets the same bits as alone.
   number is ERNIEM_FLOAT32 or ERNIEM_BFLOAT16. With the second, q / sqrt(d), k, v and the exponentials
   of the softmax are rounded to bfloat16, to nearest even, and what is summed is float32; the
   probabilities are the rounded exponentials divided by their sum. The kernel in use for weights of
   that number type does it, so bits depend on the kernel; some take numbers below 2^-126 for 0. */
int erniem_attention(int number, int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                     const float *q, const int64_t *q_stride, const float *k,
                     const int64_t *k_stride, const float *v, const int64_t *v_stride,
                     int64_t texts, const int64_t *starts,
                     const float *key_bias, int64_t key_bias_stride,
                     const uint8_t *mask, const int64_t *mask_stride,
                     const float *head_mask, const int64_t *head_mask_stride,
                     float *context, float *probabilities);
int erniem_attention_reference(int number, int64_t B, int64_t H, int64_t T, int64_t S, int64_t d,
                               const float *q, const int64_t *q_stride, const float *k,
                               const int64_t *k_stride, const float *v, const int64_t *v_stride,
                               int64_t texts, const int64_t *starts,
                               const float *key_bias, int64_t key_bias_stride,
                               const uint8_t *mask, const int64_t *mask_stride,
                               const float *head_mask, const int64_t *head_mask_stride,
                               float *context, float *probabilities);

/* rowwise.c: y = (v - mean v) / sqrt(variance v + eps) * weight + bias with v = x + residual, for
   each of n rows of d numbers, d >= 1. residual may be NULL (plain layer norm); y may be x or
   residual. */
int erniem_add_norm(int64_t n, int64_t d, const float *x, const float *residual,
                    const float *weight, const float *bias, float eps, float *y);
int erniem_add_norm_reference(int64_t n, int64_t d, const float *x, const float *residual,
                              const float *weight, const float *bias, float eps, float *y);
/* A table of rows of d numbers. `scale` has a number for each row of ERNIEM_ROWS_INT8, by which the
   row is multiplied; it is not read for another kind. Both kinds of 16 bits are widened exactly. */
#define ERNIEM_ROWS_FLOAT32 0
#define ERNIEM_ROWS_FLOAT16 1
#define ERNIEM_ROWS_BFLOAT16 2
#define ERNIEM_ROWS_INT8 3
struct erniem_table {
    int kind;
    const void *rows;
    const float *scale;
};
/* y (n, d) = layer norm of words[ids[i]] + positions[rows[i % period]], for each of n tokens; words
   and positions (float32) are tables of rows of d numbers, ids (n) and rows (period) indices into
   them, which are not checked. period >= 1. A row is widened when it is taken. */
int erniem_embed(int64_t n, int64_t d, const int64_t *ids, const struct erniem_table *words,
                 const int64_t *rows, int64_t period, const float *positions, const float *weight,
                 const float *bias, float eps, float *y);
/* x = act(x) for n numbers, in place. */
int erniem_activate(int activation, int64_t n, float *x);
int erniem_activate_reference(int activation, int64_t n, float *x);

/* search.c: for each query the k rows of vectors (n, d) with the largest dot products, 1 <= k <= n and
   d >= 1: their indices (q, k) and scores (q, k), best first. Of equal scores the lower index is
   better. `queries` is (q, d), packed by erniem_pack_queries. The score of a row and a query depends on
   nothing else, not in the last bit: neither on the other rows and queries nor on their number.
   All scores must be finite; where one is NaN, the order is undefined, and nothing else is. */
int erniem_top_scores(int64_t n, int64_t d, const float *vectors,
                      const struct erniem_packed *queries, int64_t k, int64_t *indices,
                      float *scores);
int erniem_top_scores_reference(int64_t n, int64_t d, const float *vectors, int64_t q,
                                const float *queries, int64_t k, int64_t *indices, float *scores);

/* limits.c, for benchmarks: do multiply-adds on all threads, at most 64. Returns a number of
   operations; `rounds` times as many were done. */
int64_t erniem_multiply_add(int64_t rounds);
/* The same for the kernel of a number type that is not float32. */
int64_t erniem_multiply_add_narrow(int number, int64_t rounds);
/* Read n floats once on all threads; the result means nothing. */
float erniem_read(int64_t n, const float *x);

/* training/products.c: the gradients of y (m, n) = x (m, k) w (n, k)T + b (n), all sizes >= 1, from
   dy (m, n): dx (m, k) = dy w, dw (n, k) = dyT x, db (n) = the sum over the rows of dy. With `adds`
   dy w is added to what dx holds. */
int erniem_linear_backward(int64_t m, int64_t n, int64_t k, const float *dy, const float *x,
                           const float *w, int adds, float *dx, float *dw, float *db);
int erniem_linear_backward_reference(int64_t m, int64_t n, int64_t k, const float *dy,
                                     const float *x, const float *w, float *dx, float *dw,
                                     float *db);
/* training/narrow.c: y (m, n) = x wT + bias (n), which may be NULL, and the gradients as above, all
   sizes >= 1. ERNIEM_BFLOAT16: x, w and dy are rounded to it for the products, as by erniem_linears; the
   sums are float32, and db has no rounded number. ERNIEM_TRAINED_FLOAT32: in float32 by AMX; without that
   ERNIEM_WRONG_ISA, and erniem_linear has the product. Bits depend on the kernel. */
int erniem_narrow_linear(int number, int64_t m, int64_t n, int64_t k, const float *x, const float *w,
                         const float *bias, float *y);
int erniem_narrow_linear_backward(int number, int64_t m, int64_t n, int64_t k, const float *dy,
                                  const float *x, const float *w, int adds, float *dx, float *dw,
                                  float *db);
/* training/elementwise.c: y = act(z) for n numbers. */
int erniem_activated(int activation, int64_t n, const float *z, float *y);
/* dz = dy act'(z) for n numbers; dz may be dy. */
int erniem_activation_backward(int activation, int64_t n, const float *dy, const float *z,
                               float *dz);
/* A step of AdamW for n weights w with gradients g and running means m and v, which change in place:
   m = s[0] m + s[1] g, v = s[2] v + s[3] g^2, w = s[7] w - m / (sqrt(v) s[4] + s[5]) s[6], where g
   is multiplied by s[8] first, in this order and each step rounded, means below 2^-126 made 0: the
   bits of the same formula in NumPy. s has 9 numbers. */
int erniem_adamw(int64_t n, const float *s, const float *g, float *w, float *m, float *v);
/* *sum = the sum of the squares of n numbers, added up in float64 in one order. */
int erniem_sum_of_squares(int64_t n, const float *x, double *sum);
/* training/rows.c: the gradients of erniem_add_norm from dy (n, d), n and d >= 1: dv (n, d), of x and of
   the residual alike, dw (d) and db (d). dv overlaps nothing. */
int erniem_norm_backward(int64_t n, int64_t d, const float *x, const float *residual,
                         const float *weight, float eps, const float *dy, float *dv, float *dw,
                         float *db);
int erniem_norm_backward_reference(int64_t n, int64_t d, const float *x, const float *residual,
                                   const float *weight, float eps, const float *dy, float *dv,
                                   float *dw, float *db);
/* Scores (m, n) become share * (softmax - one-hot of the label); losses (m) = -log of the softmax of
   the label. Labels outside 0 .. n - 1 are ERNIEM_BAD_SIZE; m and n >= 1. */
int erniem_cross_entropy(int64_t m, int64_t n, const int64_t *labels, float share, float *scores,
                         double *losses);
/* training/dropout.c: y (rows, n) = x * scale, or 0 where the random number of a place, in 0 .. 2^32 - 1,
   is below `least`. It is number j of row first + i: a function of the seed, the row and j,
   `random_numbers` of training/dropout.py. first >= 0, rows >= 1, 1 <= n <= ERNIEM_MOST_DROPPED; y may
   be x. */
#define ERNIEM_MOST_DROPPED 17179869184 /* 2^34 */
int erniem_drop(int64_t first, int64_t rows, int64_t n, uint64_t seed, uint32_t least, float scale,
                const float *x, float *y);
/* training/attention.c: erniem_attention without bias of keys and kept probabilities, and with
   erniem_drop of its probabilities; the arguments are as there, all sizes >= 1. The rows of the dropout
   are counted over texts, heads and queries, in this order: query t of head h of a text whose first
   query is number `first` of the batch is row first H + h n + t, where the text has n queries. */
int erniem_attention_dropped(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                             const int64_t *q_stride, const float *k, const int64_t *k_stride,
                             const float *v, const int64_t *v_stride, int64_t texts,
                             const int64_t *starts, const uint8_t *mask,
                             const int64_t *mask_stride, const float *head_mask,
                             const int64_t *head_mask_stride, uint64_t seed, uint32_t least,
                             float scale, float *context);
/* Its gradients; with least = 0 and scale = 1, those of erniem_attention. context and its gradient
   dcontext are (B, T, H, d); so is dq; dk and dv are (B, S, H, d). A hidden key has no gradient from
   its score. */
int erniem_attention_backward(int64_t B, int64_t H, int64_t T, int64_t S, int64_t d, const float *q,
                              const int64_t *q_stride, const float *k, const int64_t *k_stride,
                              const float *v, const int64_t *v_stride, int64_t texts,
                              const int64_t *starts, const uint8_t *mask,
                              const int64_t *mask_stride, const float *head_mask,
                              const int64_t *head_mask_stride, uint64_t seed, uint32_t least,
                              float scale, const float *context, const float *dcontext, float *dq,
                              float *dk, float *dv);
