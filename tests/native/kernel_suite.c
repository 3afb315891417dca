/* Every kernel is compared with its reference, in a program of its own, so that sanitizers and
   emulators can run it: over all edge sizes, instruction sets and a few numbers of threads. Arrays
   end where their memory ends, and start at any address that suits a float. An argument ("openmp",
   "pool" or "serial") says which threads to use; without one, or with "all", all that were built are
   used. A second argument is the seed of the random numbers. The exit status is 0 if everything is
   right. */

#include "runtime/threads.h" /* before all: it asks the system headers for more than C11 */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failures;
static uint32_t seed = 1;

static float uniform(void) /* in [-1, 1) */
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static float *numbers(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++)
        x[i] = uniform();
    return x;
}

static float *unset(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

static void compare(const char *what, int64_t a, int64_t b, int64_t c, int64_t n, const float *got,
                    const float *want)
{
    for (int64_t i = 0; i < n; i++) {
        const float room = 2e-5f * (1.0f + fabsf(want[i]));
        if (!(fabsf(got[i] - want[i]) <= room)) {
            fprintf(stderr, "%s, %s (%d, %d, %d): [%d] is %g, not %g\n", erniem_isa(), what, (int)a,
                    (int)b, (int)c, (int)i, got[i], want[i]);
            failures++;
            return;
        }
    }
}

static void check_linear(int64_t m, int64_t n, int64_t k, int activation)
{
    float *x = numbers(m * k), *w = numbers(n * k), *bias = numbers(n), *got = unset(m * n);
    float *want = unset(m * n), *again = unset(m * n), *ys[2] = {got, again};
    struct erniem_packed *packed = NULL;
    for (int64_t i = 0; i < n * k; i++)
        w[i] /= sqrtf((float)k);
    failures += erniem_pack(n, k, w, &packed) != 0;
    erniem_linear_reference(m, n, k, x, w, bias, activation, want);

    failures += erniem_linear(m, x, packed, bias, activation, 0, got) != 0;
    compare("linear", m, n, k, m * n, got, want);
    const struct erniem_packed *weights[2] = {packed, packed};
    const float *biases[2] = {bias, bias};
    for (int which = ERNIEM_STRASSEN_OFF; which <= ERNIEM_STRASSEN_ALWAYS; which++) {
        memset(got, 255, (size_t)(m * n) * sizeof *got); /* not numbers */
        memset(again, 255, (size_t)(m * n) * sizeof *again);
        failures += erniem_set_strassen(which) != 0;
        failures += erniem_linears(2, m, x, weights, biases, activation, 0, ys) != 0;
        compare("linears", m, n, k, m * n, got, want);
        compare("linears", m, n, k, m * n, again, want);
    }
    failures += erniem_set_strassen(ERNIEM_STRASSEN_OFF) != 0;
    erniem_packed_free(packed);
    free(x), free(w), free(bias), free(got), free(want), free(again);
}

/* A weight of a number type: 0, float32; 1, int8; 2, bfloat16. */
static struct erniem_packed *weight(int type, int64_t n, int64_t k)
{
    struct erniem_packed *packed = NULL;
    float *w = numbers(n * k), *scale = numbers(n);
    int8_t *eighth = malloc((size_t)(n * k) + 1);
    uint16_t *half = malloc((size_t)(2 * n * k) + 1);
    for (int64_t i = 0; i < n * k; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, sizeof bits);
        eighth[i] = (int8_t)(127.0f * w[i]), half[i] = (uint16_t)(bits >> 16);
    }
    failures += (type == 0   ? erniem_pack(n, k, w, &packed)
                 : type == 1 ? erniem_pack_int8(n, k, eighth, scale, &packed)
                             : erniem_pack_16(ERNIEM_BFLOAT16, n, k, half, &packed)) != 0;
    free(w), free(scale), free(eighth), free(half);
    return packed;
}

/* A product of any number type and the norm that follows, in one call: the bits of two calls. */
static void check_product_and_norm(int64_t m, int64_t n, int64_t k)
{
    float *x = numbers(m * k), *add = numbers(m * n), *bias = numbers(n);
    float *scale = numbers(n), *shift = numbers(n), *got = unset(m * n), *want = unset(m * n);
    struct erniem_packed *packed[4] = {weight(0, n, k), weight(1, n, k), weight(2, n, k), weight(2, k, k)};
    for (int i = 0; i < 4; i++) {
        const float *residual = i == 1 ? NULL : add;
        memset(got, 255, (size_t)(m * n) * sizeof *got); /* not numbers */
        if (i < 3) {
            failures += erniem_linear(m, x, packed[i], bias, ERNIEM_GELU, 0, want) != 0;
            failures += erniem_linear_add_norm(m, x, packed[i], bias, ERNIEM_GELU, 0, residual, scale,
                                               shift, 1e-3f, got) != 0;
        } else {
            failures += erniem_mlp(m, x, packed[3], NULL, ERNIEM_GELU, packed[2], bias, 0, want) != 0;
            failures += erniem_mlp_add_norm(m, x, packed[3], NULL, ERNIEM_GELU, packed[2], bias, 0,
                                            residual, scale, shift, 1e-3f, got) != 0;
        }
        failures += erniem_add_norm(m, n, want, residual, scale, shift, 1e-3f, want) != 0;
        if (memcmp(got, want, (size_t)(m * n) * sizeof *got) != 0) {
            fprintf(stderr, "%s, %d, norm (%d, %d, %d) differs\n", erniem_isa(), i, (int)m, (int)n, (int)k);
            failures++;
        }
    }
    for (int i = 0; i < 4; i++)
        erniem_packed_free(packed[i]);
    free(x), free(add), free(bias), free(scale), free(shift), free(got), free(want);
}

/* Two products in one pass: the bits of two calls, for many rows and for few. */
static void check_mlp(int type, int64_t m, int64_t n, int64_t f, int64_t k)
{
    float *x = numbers(m * k), *bias = numbers(f), *ones = numbers(n), *add = numbers(m * n);
    float *wide = unset(m * f), *got = unset(m * n), *want = unset(m * n);
    struct erniem_packed *first = weight(type, f, k), *second = weight(type, n, f);
    failures += erniem_linear(m, x, first, bias, ERNIEM_GELU, 1, wide) != 0;
    failures += erniem_linear(m, wide, second, NULL, ERNIEM_IDENTITY, 1, want) != 0;
    for (int normed = 0; normed < 2; normed++) {
        if (normed) {
            failures += erniem_add_norm(m, n, want, add, ones, ones, 1e-3f, want) != 0;
            failures += erniem_mlp_add_norm(m, x, first, bias, ERNIEM_GELU, second, NULL, 1, add, ones,
                                            ones, 1e-3f, got) != 0;
        } else
            failures += erniem_mlp(m, x, first, bias, ERNIEM_GELU, second, NULL, 1, got) != 0;
        if (memcmp(got, want, (size_t)(m * n) * sizeof *got) != 0) {
            fprintf(stderr, "%s, mlp %d, %d (%d, %d, %d, %d) differs\n", erniem_isa(), type, normed,
                    (int)m, (int)n, (int)f, (int)k);
            failures++;
        }
    }
    erniem_packed_free(first);
    erniem_packed_free(second);
    free(x), free(bias), free(ones), free(add), free(wide), free(got), free(want);
}

/* Int8 weights: every kernel, several threads and several weights, to the bit as the formula. */
static void check_int8(int64_t m, int64_t n, int64_t k)
{
    float *x = numbers(m * k), *scale = numbers(n), *bias = numbers(n);
    float *want = unset(m * n), *got = unset(m * n), *again = unset(m * n), *ys[2] = {got, again};
    int8_t *w = malloc((size_t)(n * k) + 1);
    struct erniem_packed *packed = NULL;
    for (int64_t i = 0; i < n * k; i++)
        w[i] = (int8_t)(127.0f * uniform());
    for (int64_t i = 0; i < n; i++)
        scale[i] = 0.01f * fabsf(scale[i]);
    for (int64_t i = 0; i < m; i++) /* rows of zeros, of one sign, of other sizes */
        for (int64_t l = 0; l < k; l++)
            x[i * k + l] = i % 5 == 3 ? 0.0f : i % 5 == 2 ? fabsf(x[i * k + l]) : (float)i * x[i * k + l];
    failures += erniem_pack_int8(n, k, w, scale, &packed) != 0;
    failures += erniem_linear_int8_reference(m, n, k, x, w, scale, bias, 0, want) != 0;
    const struct erniem_packed *weights[2] = {packed, packed};
    const float *biases[2] = {bias, bias};
    for (int i = 0; erniem_available_kernel(ERNIEM_INT8, i); i++) {
        const char *name = erniem_available_kernel(ERNIEM_INT8, i);
        memset(got, 255, (size_t)(m * n) * sizeof *got); /* not numbers */
        memset(again, 255, (size_t)(m * n) * sizeof *again);
        failures += erniem_choose_kernel(ERNIEM_INT8, name) != 0;
        failures += strcmp(erniem_kernel(ERNIEM_INT8), name) != 0;
        failures += erniem_linears(2, m, x, weights, biases, 0, 0, ys) != 0;
        for (int j = 0; j < 2; j++)
            if (memcmp(ys[j], want, (size_t)(m * n) * sizeof *want) != 0) {
                fprintf(stderr, "%s, int8 (%d, %d, %d) differs\n", name, (int)m, (int)n, (int)k);
                failures++;
            }
    }
    failures += erniem_choose_kernel(ERNIEM_INT8, erniem_available_kernel(ERNIEM_INT8, 0)) != 0;
    erniem_packed_free(packed);
    free(x), free(scale), free(bias), free(want), free(got), free(again), free(w);
}

/* The largest sums there are, of every sign, where narrower sums would overflow. */
static void check_int8_limits(int64_t k)
{
    enum { M = 7, N = 34 };
    float *x = numbers(M * k), scale[N], bias[N] = {0.0f}, want[M * N], got[M * N];
    int8_t *w = malloc((size_t)(N * k));
    struct erniem_packed *packed = NULL;
    for (int64_t i = 0; i < N * k; i++)
        w[i] = i / k % 3 == 0 ? 127 : i / k % 3 == 1 ? -127 : i % 2 ? 127 : -127;
    for (int64_t i = 0; i < M * k; i++)
        x[i] = i / k == 0 ? 1.0f : i / k == 1 ? -1.0f : i / k == 2 ? (i % 2 ? 1.0f : -1.0f) : x[i];
    for (int i = 0; i < N; i++)
        scale[i] = 1.0f;
    failures += erniem_pack_int8(N, k, w, scale, &packed) != 0;
    failures += erniem_linear_int8_reference(M, N, k, x, w, scale, bias, 0, want) != 0;
    for (int i = 0; erniem_available_kernel(ERNIEM_INT8, i); i++) {
        failures += erniem_choose_kernel(ERNIEM_INT8, erniem_available_kernel(ERNIEM_INT8, i)) != 0;
        failures += erniem_linear(M, x, packed, bias, 0, 0, got) != 0;
        if (memcmp(got, want, sizeof want) != 0) {
            fprintf(stderr, "%s, int8 limits (%d) differ\n", erniem_kernel(ERNIEM_INT8), (int)k);
            failures++;
        }
    }
    failures += erniem_choose_kernel(ERNIEM_INT8, erniem_available_kernel(ERNIEM_INT8, 0)) != 0;
    erniem_packed_free(packed);
    w[5] = -128;
    failures += erniem_pack_int8(N, k, w, scale, &packed) != ERNIEM_BAD_NUMBER || packed != NULL;
    failures += erniem_pack_int8(1, ERNIEM_MOST_INT8 + 1, w, scale, &packed) != ERNIEM_BAD_SIZE;
    failures += erniem_pack_int8(-1, 3, w, scale, &packed) != ERNIEM_BAD_SIZE;
    free(x), free(w);
}

/* A pack for another instruction set, and packs of different shapes, are refused. */
static void check_refusals(void)
{
    float w[6] = {1, 2, 3, 4, 5, 6}, x[3] = {1, 2, 3}, y[4] = {0}, *ys[2] = {y, y + 2};
    const float *biases[2] = {NULL, NULL};
    struct erniem_packed *one = NULL, *other = NULL;
    failures += erniem_pack(2, 3, w, &one) != 0 || erniem_pack(3, 2, w, &other) != 0;
    const struct erniem_packed *weights[2] = {one, other};
    failures += erniem_linears(2, 1, x, weights, biases, 0, 0, ys) != ERNIEM_BAD_SIZE;
    const char *best = erniem_isa(), *kernel = erniem_kernel(ERNIEM_FLOAT32);
    if (strcmp(best, "generic") != 0) {
        failures += erniem_choose_isa("generic") != 0;
        failures += erniem_linear(1, x, one, NULL, 0, 0, y) != ERNIEM_WRONG_ISA;
        failures += erniem_choose_isa(best) != 0;
        failures += erniem_choose_kernel(ERNIEM_FLOAT32, kernel) != 0;
    }
    failures += erniem_linear(1, x, one, NULL, 0, 0, y) != 0 || y[0] != 14.0f || y[1] != 32.0f;
    erniem_packed_free(one), erniem_packed_free(other), erniem_packed_free(NULL);
}

enum { HEADS = 2, QUERIES = 17, KEYS = 9, WIDTH = 4 };

/* A number from 0 to n - 1. */
static int below(int n) { return (int)((float)n * 0.5f * (uniform() + 1.0f)) % n; }

/* Put what is not ordinary into q, k and v. In every fifth round one score is a product beyond the
   range of float. No other score may be: two such terms of opposite signs give NaN or infinity,
   depending on where they are rounded, in NumPy too. */
static void place_special_values(int round, float *const *arrays)
{
    const float special[] = {NAN, INFINITY, -INFINITY, 1e19f, -1e19f, 0.0f};
    if (round % 5 == 0) {
        const int h = below(HEADS), l = below(WIDTH);
        arrays[0][(h * QUERIES + below(QUERIES)) * WIDTH + l] = 1e30f;
        arrays[1][(h * KEYS + below(KEYS)) * WIDTH + l] = round % 2 ? 1e30f : -1e30f;
        arrays[2][below(HEADS * KEYS * WIDTH)] = special[below(6)];
        return;
    }
    for (int i = 0; i < 4; i++) {
        const int which = below(3);
        arrays[which][below(HEADS * (which ? KEYS : QUERIES) * WIDTH)] = special[below(6)];
    }
}

/* Where NaN, infinity and scores beyond the range of float go, beside the plain loops: the same
   numbers are NaN, and the same are infinite. Masks leave out keys in every way there is. */
static void check_special_values(int rounds)
{
    enum { H = HEADS, T = QUERIES, S = KEYS, d = WIDTH };
    const float special[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
    for (int round = 0; round < rounds; round++) {
        float *arrays[3] = {numbers(H * T * d), numbers(H * S * d), numbers(H * S * d)}, *results[4];
        uint8_t mask[T * S];
        const int64_t q_stride[3] = {0, T * d, d}, k_stride[3] = {0, S * d, d};
        const int64_t mask_stride[3] = {0, 0, round % 2 ? S : 0}, factor_stride[3] = {0, 1, 0};
        const float factors[] = {NAN, INFINITY, -INFINITY, 1e19f, -1e19f, 0.0f};
        const float factor[2] = {0.5f, below(7) ? 2.0f : factors[below(6)]};
        const float bias[S] = {0.5f, -1.0f, 3.0f, special[below(5)]};
        const float *key_bias = below(3) ? NULL : bias;
        place_special_values(round, arrays);
        for (int i = 0; i < T * S; i++)
            mask[i] = uniform() < 0.5f - (float)(round % 3);
        for (int i = 0; i < 4; i++)
            results[i] = unset(i % 2 ? H * T * S : H * T * d);
        for (int i = 0; i < 4; i += 2)
            failures += (i ? erniem_attention_reference : erniem_attention)(
                            ERNIEM_FLOAT32, 1, H, T, S, d, arrays[0], q_stride, arrays[1], k_stride, arrays[2],
                            k_stride, 0, NULL, key_bias, 0, mask, mask_stride, factor,
                            factor_stride, results[i], results[i + 1]) != 0;
        for (int i = 0; i < 2; i++)
            for (int64_t j = 0; j < (i ? H * T * S : H * T * d); j++) {
                const float got = results[i][j], want = results[i + 2][j];
                if (isnan(got) != isnan(want) || isinf(got) != isinf(want)) {
                    fprintf(stderr, "%s, special values, round %d, %s[%d] is %g, not %g\n",
                            erniem_isa(), round, i ? "probabilities" : "context", (int)j, got,
                            want);
                    failures++;
                    break;
                }
            }
        for (int i = 0; i < 4; i++)
            free(results[i]);
        free(arrays[0]), free(arrays[1]), free(arrays[2]);
    }
}

static void check_attention(int64_t T, int64_t S, int64_t d, int mask_rows)
{
    enum { B = 2, H = 3 };
    float *q = numbers(B * T * H * d), *k = numbers(B * S * H * d), *v = numbers(B * H * S * d);
    float *factor = numbers(H), *bias = numbers(B * S);
    uint8_t *mask = malloc((size_t)(B * T * S));
    for (int64_t i = 0; i < B * T * S; i++)
        mask[i] = uniform() < 0.0f;
    const int64_t q_stride[3] = {T * H * d, d, H * d}, k_stride[3] = {S * H * d, d, H * d};
    const int64_t v_stride[3] = {H * S * d, S * d, d}, head_mask_stride[3] = {0, 1, 0};
    const int64_t mask_stride[3] = {T * S, 0, mask_rows ? S : 0};
    float *results[4];
    for (int i = 0; i < 4; i++)
        results[i] = unset(i % 2 ? B * H * T * S : B * H * T * d);
    failures += erniem_attention(ERNIEM_FLOAT32, B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride, 0, NULL, bias,
                                 S, mask, mask_stride, factor, head_mask_stride, results[0],
                                 results[1]) != 0;
    erniem_attention_reference(ERNIEM_FLOAT32, B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride, 0, NULL, bias, S,
                               mask, mask_stride, factor, head_mask_stride, results[2], results[3]);
    compare("attention", T, S, d, B * H * T * d, results[0], results[2]);
    compare("probabilities", T, S, d, B * H * T * S, results[1], results[3]);
    failures += erniem_attention(ERNIEM_FLOAT32, B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride, 0, NULL, NULL,
                                 0, NULL, NULL, NULL, NULL, results[0], NULL) != 0;
    erniem_attention_reference(ERNIEM_FLOAT32, B, H, T, S, d, q, q_stride, k, k_stride, v, v_stride, 0, NULL, NULL, 0,
                               NULL, NULL, NULL, NULL, results[2], NULL);
    compare("attention without mask", T, S, d, B * H * T * d, results[0], results[2]);
    for (int i = 0; i < 4; i++)
        free(results[i]);
    free(q), free(k), free(v), free(factor), free(bias), free(mask);
}

/* Where texts of the lengths 1, step + 1, 2 step + 1, ... begin in one row, and their tokens. */
static int64_t *growing_texts(int64_t texts, int64_t step)
{
    int64_t *starts = malloc((size_t)(texts + 1) * sizeof *starts);
    starts[0] = 0;
    for (int64_t t = 0; t < texts; t++)
        starts[t + 1] = starts[t] + t * step + 1;
    return starts;
}

/* Packed texts: beside the loops, and each to the bit as it is alone. */
static void check_packed(int64_t texts, int64_t step, int64_t d)
{
    enum { H = 3 };
    int64_t *starts = growing_texts(texts, step);
    const int64_t N = starts[texts], size = N * H * d, stride[3] = {0, d, H * d};
    const int64_t mask_stride[3] = {0, 0, 0}, factor_stride[3] = {0, 1, 0};
    float *q = numbers(size), *k = numbers(size), *v = numbers(size), *bias = numbers(N);
    float *factor = numbers(H), *got = unset(size), *want = unset(size), *alone = unset(size);
    uint8_t *mask = malloc((size_t)N);
    for (int64_t i = 0; i < N; i++)
        mask[i] = uniform() < 0.5f;
    for (int i = 0; i < 2; i++)
        failures += (i ? erniem_attention_reference : erniem_attention)(
                        ERNIEM_FLOAT32, 1, H, N, N, d, q, stride, k, stride, v, stride, texts, starts, bias, 0, mask,
                        mask_stride, factor, factor_stride, i ? want : got, NULL) != 0;
    compare("packed attention", texts, step, d, size, got, want);
    for (int64_t t = 0; t < texts; t++) {
        const int64_t first = starts[t], n = starts[t + 1] - first, at = first * H * d;
        failures += erniem_attention(ERNIEM_FLOAT32, 1, H, n, n, d, q + at, stride, k + at, stride, v + at, stride, 0,
                                     NULL, bias + first, 0, mask + first, mask_stride, factor,
                                     factor_stride, alone + at, NULL) != 0;
    }
    failures += memcmp(got, alone, (size_t)size * sizeof *got) != 0;
    free(starts), free(q), free(k), free(v), free(bias), free(factor);
    free(got), free(want), free(alone), free(mask);
}

/* Packed texts with a mask of queries: attention beside its loops, and the two kernels of training,
   each text to the bit as it is alone. */
static void check_packed_training(int64_t texts, int64_t step, int64_t d)
{
    enum { H = 2 };
    int64_t *starts = growing_texts(texts, step);
    const int64_t N = starts[texts], size = N * H * d, stride[3] = {0, d, H * d};
    const int64_t longest = (texts - 1) * step + 1, mask_stride[3] = {0, 0, longest};
    const uint64_t seed = 77;
    float *q = numbers(size), *k = numbers(size), *v = numbers(size), *dc = numbers(size);
    float *got = unset(size), *want = unset(size), *all[4], *one[4];
    uint8_t *mask = malloc((size_t)(N * longest));
    for (int64_t i = 0; i < N * longest; i++)
        mask[i] = uniform() < 0.3f;
    for (int i = 0; i < 4; i++)
        all[i] = unset(size), one[i] = unset(size);
    for (int i = 0; i < 2; i++)
        failures += (i ? erniem_attention_reference : erniem_attention)(
                        ERNIEM_FLOAT32, 1, H, N, N, d, q, stride, k, stride, v, stride, texts, starts, NULL, 0, mask,
                        mask_stride, NULL, NULL, i ? want : got, NULL) != 0;
    compare("packed attention by query", texts, step, d, size, got, want);
    failures += erniem_attention_dropped(1, H, N, N, d, q, stride, k, stride, v, stride, texts, starts, mask,
                                         mask_stride, NULL, NULL, seed, 1u << 30, 1.3f, all[0]) != 0;
    failures += erniem_attention_backward(1, H, N, N, d, q, stride, k, stride, v, stride, texts, starts, mask,
                                          mask_stride, NULL, NULL, 0, 0, 1.0f, want, dc, all[1], all[2],
                                          all[3]) != 0;
    for (int64_t t = 0; t < texts; t++) {
        const int64_t first = starts[t], n = starts[t + 1] - first, at = first * H * d;
        const uint8_t *of = mask + first * longest;
        failures += erniem_attention_backward(1, H, n, n, d, q + at, stride, k + at, stride, v + at, stride, 0,
                                              NULL, of, mask_stride, NULL, NULL, 0, 0, 1.0f, want + at,
                                              dc + at, one[1] + at, one[2] + at, one[3] + at) != 0;
        if (t == 0) /* its rows of the dropout are the first of both */
            failures += erniem_attention_dropped(1, H, n, n, d, q, stride, k, stride, v, stride, 0, NULL, of,
                                                 mask_stride, NULL, NULL, seed, 1u << 30, 1.3f, one[0]) != 0;
    }
    failures += memcmp(all[0], one[0], (size_t)(H * d) * sizeof *q) != 0;
    for (int i = 1; i < 4; i++)
        failures += memcmp(all[i], one[i], (size_t)size * sizeof *q) != 0;
    starts[texts] = N + 1;
    failures += erniem_attention_dropped(1, H, N, N, d, q, stride, k, stride, v, stride, texts, starts, NULL, NULL,
                                         NULL, NULL, seed, 1, 1.0f, all[0]) != ERNIEM_BAD_SIZE;
    for (int i = 0; i < 4; i++)
        free(all[i]), free(one[i]);
    free(starts), free(q), free(k), free(v), free(dc), free(got), free(want), free(mask);
}

/* The status of attention over N zeros, of these sizes and starts. */
enum { ZEROS = 4 };
static int packed_status(int64_t B, int64_t T, int64_t texts, const int64_t *starts,
                         const int64_t *mask_stride, int keep)
{
    static const float x[2 * ZEROS];
    static const uint8_t mask[2 * ZEROS];
    float y[2 * ZEROS], probabilities[ZEROS * ZEROS];
    const int64_t stride[3] = {ZEROS, 1, 1};
    return erniem_attention(ERNIEM_FLOAT32, B, 1, T, ZEROS, 1, x, stride, x, stride, x, stride, texts, starts, NULL, 0,
                            mask_stride ? mask : NULL, mask_stride, NULL, NULL, y,
                            keep ? probabilities : NULL);
}

/* Starts that do not bound texts, and what a packed batch cannot have. */
static void check_packed_refusals(void)
{
    const int64_t wrong[][3] = {{1, 2, 4}, {0, 2, 3}, {0, 2, 5}, {0, 0, 4}, {0, 4, 4}, {0, 5, 4},
                                {0, -1, 4}};
    const int64_t right[3] = {0, 1, 4}, texts[] = {0, -1, ZEROS + 1, (int64_t)1 << 62};
    const int64_t by_key[3] = {0, 0, 0}, by_query[3] = {0, 0, 1};
    failures += packed_status(1, ZEROS, 2, right, by_key, 0) != 0;
    for (int i = 0; i < 7; i++)
        failures += packed_status(1, ZEROS, 2, wrong[i], NULL, 0) != ERNIEM_BAD_SIZE;
    for (int i = 0; i < 4; i++)
        failures += packed_status(1, ZEROS, texts[i], right, NULL, 0) != ERNIEM_BAD_SIZE;
    failures += packed_status(2, ZEROS, 2, right, NULL, 0) != ERNIEM_BAD_SIZE;
    failures += packed_status(1, ZEROS - 1, 2, right, NULL, 0) != ERNIEM_BAD_SIZE;
    failures += packed_status(1, ZEROS, 2, right, by_query, 0) != 0;
    failures += packed_status(1, ZEROS, 2, right, NULL, 1) != ERNIEM_BAD_SIZE;
}

/* A row has the bits that it has alone: by default, and where Strassen's algorithm was asked for but
   rows must be independent. */
static void check_independent_rows(int64_t m, int64_t n, int64_t k)
{
    float *x = numbers(m * k), *w = numbers(n * k), *bias = numbers(n);
    float *got = unset(m * n), *alone = unset(m * n);
    struct erniem_packed *packed = NULL;
    failures += erniem_pack(n, k, w, &packed) != 0;
    for (int asked = 0; asked < 2; asked++) {
        failures += erniem_set_strassen(asked ? ERNIEM_STRASSEN_ALWAYS : ERNIEM_STRASSEN_OFF) != 0;
        failures += erniem_linear(m, x, packed, bias, ERNIEM_GELU, asked, got) != 0;
        for (int64_t i = 0; i < m; i++)
            failures += erniem_linear(1, x + i * k, packed, bias, ERNIEM_GELU, asked,
                                      alone + i * n) != 0;
        failures += memcmp(got, alone, (size_t)(m * n) * sizeof *got) != 0;
    }
    failures += erniem_set_strassen(ERNIEM_STRASSEN_OFF) != 0;
    erniem_packed_free(packed);
    free(x), free(w), free(bias), free(got), free(alone);
}

/* Rows of small whole numbers, which every kind of table holds exactly. */
static void check_narrow_table(int64_t n, int64_t d, const int64_t *ids, const float *add,
                               const float *w, const float *b)
{
    const size_t count = (size_t)(n * d);
    float *wide = unset(n * d), *scale = unset(n), *want = unset(n * d), *got = unset(n * d);
    int8_t *whole = malloc(count + 1);
    uint16_t *half = malloc(2 * count + 1), *brain = malloc(2 * count + 1);
    for (size_t i = 0; i < count; i++) {
        const int value = (int)(i % 3) - 1; /* -1, 0 or 1 */
        wide[i] = (float)value, whole[i] = (int8_t)value;
        half[i] = (uint16_t)(value ? 0x3c00 | (value < 0) << 15 : 0);
        brain[i] = (uint16_t)(value ? 0x3f80 | (value < 0) << 15 : 0);
    }
    for (int64_t i = 0; i < n; i++)
        scale[i] = 1.0f;
    const struct erniem_table tables[] = {{ERNIEM_ROWS_FLOAT32, wide, NULL},
                                          {ERNIEM_ROWS_FLOAT16, half, NULL},
                                          {ERNIEM_ROWS_BFLOAT16, brain, NULL},
                                          {ERNIEM_ROWS_INT8, whole, scale}};
    for (int kind = 0; n && kind < 4; kind++) {
        float *y = kind ? got : want;
        failures += erniem_embed(n, d, ids, tables + kind, ids, n, add, w, b, 1e-3f, y) != 0;
        compare("embed narrow", n, d, kind, n * d, y, want);
    }
    free(wide), free(scale), free(want), free(got), free(whole), free(half), free(brain);
}

static void check_rows(int64_t n, int64_t d)
{
    float *x = numbers(n * d), *add = numbers(n * d), *w = numbers(d), *b = numbers(d);
    float *got = unset(n * d), *want = unset(n * d);
    int64_t *ids = malloc((size_t)(n + 1) * sizeof *ids);
    failures += erniem_add_norm(n, d, x, add, w, b, 1e-3f, got) != 0;
    erniem_add_norm_reference(n, d, x, add, w, b, 1e-3f, want);
    compare("add_norm", n, d, 0, n * d, got, want);
    for (int64_t i = 0; i < n; i++)
        ids[i] = n - 1 - i;
    const struct erniem_table table = {ERNIEM_ROWS_FLOAT32, x, NULL};
    failures += n && erniem_embed(n, d, ids, &table, ids, n, add, w, b, 1e-3f, got) != 0;
    for (int64_t i = 0; i < n; i++)
        compare("embed", n, d, i, d, got + (n - 1 - i) * d, want + i * d);
    check_narrow_table(n, d, ids, add, w, b);
    for (int activation = 0; activation < 14; activation++) {
        memcpy(got, x, (size_t)(n * d) * sizeof *x);
        memcpy(want, x, (size_t)(n * d) * sizeof *x);
        erniem_activate(activation, n * d, got);
        erniem_activate_reference(activation, n * d, want);
        compare("activate", n, d, activation, n * d, got, want);
    }
    free(x), free(add), free(w), free(b), free(got), free(want), free(ids);
}

/* The product of a linear map in training, where AMX has it. */
static void check_trained_linear(int64_t m, int64_t n, int64_t k, const float *x, const float *w)
{
    float *b = numbers(n), *got = unset(m * n), *want = unset(m * n);
    const int status = erniem_narrow_linear(ERNIEM_TRAINED_FLOAT32, m, n, k, x, w, b, got);
    failures += status != (strcmp(erniem_kernel(ERNIEM_TRAINED_FLOAT32), "amx") ? ERNIEM_WRONG_ISA : 0);
    erniem_linear_reference(m, n, k, x, w, b, 0, want);
    if (status == 0)
        compare("trained_linear", m, n, k, m * n, got, want);
    free(b), free(got), free(want);
}

/* The gradients of a linear map beside the loops; the same bits with any number of threads. */
static void check_linear_backward(int64_t m, int64_t n, int64_t k)
{
    const int64_t sizes[3] = {m * k, n * k, n};
    float *dy = numbers(m * n), *x = numbers(m * k), *w = numbers(n * k), *results[3][3];
    check_trained_linear(m, n, k, x, w);
    for (int i = 0; i < m * n; i++)
        dy[i] /= sqrtf((float)(m + n));
    const int threads = erniem_wanted_threads();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            results[i][j] = unset(sizes[j]);
        failures += erniem_set_threads(i == 2 ? 3 : 1) != 0;
        float **to = results[i];
        if (i)
            failures += erniem_linear_backward(m, n, k, dy, x, w, 0, to[0], to[1], to[2]) != 0;
        else
            erniem_linear_backward_reference(m, n, k, dy, x, w, to[0], to[1], to[2]);
    }
    failures += erniem_set_threads(threads) != 0;
    for (int j = 0; j < 3; j++) {
        compare("linear_backward", m, n, k, sizes[j], results[1][j], results[0][j]);
        failures += memcmp(results[1][j], results[2][j], (size_t)sizes[j] * sizeof(float)) != 0;
    }
    for (int i = 0; i < 9; i++)
        free(results[i / 3][i % 3]);
    free(dy), free(x), free(w);
}

/* x, rounded to bfloat16. */
static float *rounded(int64_t n, const float *x)
{
    float *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        memcpy(y + i, &bits, sizeof bits);
    }
    return y;
}

/* A linear map and its gradients with products of bfloat16: what the loops give for rounded numbers, and
   the same bits with any number of threads. */
static void check_bfloat16_linear(int64_t m, int64_t n, int64_t k)
{
    const int64_t sizes[4] = {m * k, n * k, n, m * n};
    float *dy = numbers(m * n), *x = numbers(m * k), *w = numbers(n * k), *b = numbers(n);
    float *results[3][4];
    for (int i = 0; i < m * n; i++)
        dy[i] /= sqrtf((float)(m + n));
    float *low_dy = rounded(m * n, dy), *low_x = rounded(m * k, x), *low_w = rounded(n * k, w);
    const int threads = erniem_wanted_threads();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++)
            results[i][j] = unset(sizes[j]);
        float **to = results[i];
        failures += erniem_set_threads(i == 2 ? 3 : 1) != 0;
        if (i) {
            failures += erniem_narrow_linear(ERNIEM_BFLOAT16, m, n, k, x, w, b, to[3]) != 0;
            failures += erniem_narrow_linear_backward(ERNIEM_BFLOAT16, m, n, k, dy, x, w, 0, to[0], to[1],
                                                      to[2]) != 0;
        } else {
            erniem_linear_reference(m, n, k, low_x, low_w, b, 0, to[3]);
            erniem_linear_backward_reference(m, n, k, low_dy, low_x, low_w, to[0], to[1], to[2]);
            for (int64_t j = 0; j < n; j++) { /* the sum of numbers that are not rounded */
                double sum = 0.0;
                for (int64_t r = 0; r < m; r++)
                    sum += dy[r * n + j];
                to[2][j] = (float)sum;
            }
        }
    }
    failures += erniem_set_threads(threads) != 0;
    for (int j = 0; j < 4; j++) {
        compare("bfloat16_linear", m, n, k, sizes[j], results[1][j], results[0][j]);
        failures += memcmp(results[1][j], results[2][j], (size_t)sizes[j] * sizeof(float)) != 0;
    }
    for (int i = 0; i < 12; i++)
        free(results[i / 4][i % 4]);
    free(dy), free(x), free(w), free(b), free(low_dy), free(low_x), free(low_w);
}

static void check_training_rows(int64_t n, int64_t d)
{
    const int64_t sizes[3] = {n * d, d, d};
    float *x = numbers(n * d), *add = numbers(n * d), *w = numbers(d), *dy = numbers(n * d);
    float *results[2][3];
    int64_t *labels = malloc((size_t)n * sizeof *labels);
    double *losses = malloc((size_t)n * sizeof *losses);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 3; j++)
            results[i][j] = unset(sizes[j]);
        failures += (i ? erniem_norm_backward : erniem_norm_backward_reference)(
                        n, d, x, add, w, 1e-3f, dy, results[i][0], results[i][1], results[i][2]) != 0;
    }
    for (int j = 0; j < 3; j++)
        compare("norm_backward", n, d, j, sizes[j], results[1][j], results[0][j]);

    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        labels[i] = i % d;
        for (int64_t j = 0; j < d; j++)
            sum += exp(x[i * d + j]);
        for (int64_t j = 0; j < d; j++)
            add[i * d + j] = (float)(0.5 * (exp(x[i * d + j]) / sum - (j == labels[i])));
        results[0][0][i] = (float)(log(sum) - x[i * d + labels[i]]);
    }
    failures += erniem_cross_entropy(n, d, labels, 0.5f, x, losses) != 0;
    compare("cross_entropy", n, d, 0, n * d, x, add);
    for (int64_t i = 0; i < n; i++)
        results[1][0][i] = (float)losses[i];
    compare("losses", n, d, 0, n, results[1][0], results[0][0]);
    labels[n / 2] = d;
    failures += erniem_cross_entropy(n, d, labels, 0.5f, x, losses) != ERNIEM_BAD_SIZE;
    for (int i = 0; i < 6; i++)
        free(results[i / 3][i % 3]);
    free(x), free(add), free(w), free(dy), free(labels), free(losses);
}

/* dq, dk and dv along a random direction beside differences of the reference's context. */
static void check_attention_backward(int64_t T, int64_t S, int64_t d)
{
    enum { H = 2 };
    const float step = 1.0f / 64.0f;
    const int64_t q_stride[3] = {0, d, H * d}, factor_stride[3] = {0, 1, 0}, mask_stride[3] = {0, 0, S};
    const int64_t sizes[3] = {T * H * d, S * H * d, S * H * d};
    float *arrays[3], *results[3], *context = unset(T * H * d), *dc = numbers(T * H * d);
    float *factor = numbers(H);
    uint8_t *mask = malloc((size_t)(T * S));
    for (int64_t i = 0; i < T * S; i++)
        mask[i] = uniform() < 0.3f;
    for (int i = 0; i < 3; i++) {
        arrays[i] = numbers(sizes[i]);
        results[i] = unset(sizes[i]);
    }
    for (int i = 0; i < 4; i++) { /* 3: the gradients */
        double sums[2] = {0.0, 0.0}, want = 0.0;
        float *along = i < 3 ? numbers(sizes[i]) : NULL;
        for (int side = 0; side < 2; side++) {
            for (int64_t j = 0; i < 3 && j < sizes[i]; j++)
                arrays[i][j] += along[j] * (side ? -2.0f * step : step);
            failures += erniem_attention_reference(ERNIEM_FLOAT32, 1, H, T, S, d, arrays[0], q_stride, arrays[1],
                                                   q_stride, arrays[2], q_stride, 0, NULL, NULL, 0,
                                                   mask, mask_stride, factor, factor_stride, context,
                                                   NULL) != 0;
            for (int64_t j = 0; j < T * H * d; j++)
                sums[side] += (double)context[j] * dc[j];
        }
        for (int64_t j = 0; i < 3 && j < sizes[i]; j++)
            arrays[i][j] += along[j] * step;
        failures += erniem_attention_reference(ERNIEM_FLOAT32, 1, H, T, S, d, arrays[0], q_stride, arrays[1], q_stride,
                                               arrays[2], q_stride, 0, NULL, NULL, 0, mask, mask_stride,
                                               factor, factor_stride, context, NULL) != 0;
        failures += erniem_attention_backward(1, H, T, S, d, arrays[0], q_stride, arrays[1], q_stride,
                                              arrays[2], q_stride, 0, NULL, mask, mask_stride, factor,
                                              factor_stride, 0, 0, 1.0f, context, dc, results[0],
                                              results[1], results[2]) != 0;
        for (int64_t j = 0; i < 3 && j < sizes[i]; j++)
            want += (double)results[i][j] * along[j];
        const double got = (sums[0] - sums[1]) / (2.0 * step);
        if (i < 3 && !(fabs(got - want) <= 0.02 + 0.01 * fabs(want))) {
            fprintf(stderr, "%s, attention_backward (%d, %d, %d), %d: %g, not %g\n", erniem_isa(), (int)T,
                    (int)S, (int)d, i, want, got);
            failures++;
        }
        free(along);
    }
    for (int i = 0; i < 3; i++)
        free(arrays[i]), free(results[i]);
    free(context), free(dc), free(factor), free(mask);
}

/* Attention whose values are a unit matrix gives its probabilities; with dropout they are those that
   erniem_drop makes of them. */
static void check_dropout(int64_t H, int64_t T, int64_t S)
{
    const int64_t stride[3] = {H * T * S, T * S, S}, k_stride[3] = {H * S * S, S * S, S};
    const uint64_t seed = 0x123456789abcdefull;
    const uint32_t least = 0x60000000u;
    const float scale = 1.6f;
    float *q = numbers(H * T * S), *k = numbers(H * S * S), *v = calloc((size_t)(H * S * S), sizeof *v);
    float *P = unset(H * T * S), *dropped = unset(H * T * S), *got[2] = {unset(T * H * S), unset(T * H * S)};
    for (int64_t i = 0; i < H * S; i++)
        v[i * S + i % S] = 1.0f;
    failures += erniem_attention_reference(ERNIEM_FLOAT32, 1, H, T, S, S, q, stride, k, k_stride, v, k_stride,
                                           0, NULL, NULL, 0, NULL, NULL, NULL, NULL, got[0], P) != 0;
    failures += erniem_drop(0, H * T, S, seed, least, scale, P, dropped) != 0;
    const int threads = erniem_wanted_threads();
    for (int i = 0; i < 2; i++) {
        failures += erniem_set_threads(i ? 3 : 1) != 0;
        failures += erniem_attention_dropped(1, H, T, S, S, q, stride, k, k_stride, v, k_stride, 0,
                                             NULL, NULL, NULL, NULL, NULL, seed, least, scale, got[i]) != 0;
    }
    failures += erniem_set_threads(threads) != 0;
    failures += memcmp(got[0], got[1], (size_t)(T * H * S) * sizeof(float)) != 0;
    for (int64_t h = 0; h < H; h++)
        for (int64_t t = 0; t < T; t++)
            compare("attention_dropped", H, T, S, S, got[0] + (t * H + h) * S, dropped + (h * T + t) * S);
    failures += erniem_drop(0, 0, 3, 0, 0, 1.0f, P, dropped) != ERNIEM_BAD_SIZE;
    failures += erniem_drop(0, 3, 0, 0, 0, 1.0f, P, dropped) != ERNIEM_BAD_SIZE;
    failures += erniem_drop(-1, 3, 1, 0, 0, 1.0f, P, dropped) != ERNIEM_BAD_SIZE;
    free(q), free(k), free(v), free(P), free(dropped), free(got[0]), free(got[1]);
}

/* Activations, their gradients by differences of the reference, and a step of AdamW. */
static void check_updates(int64_t n)
{
    float *z = numbers(n), *dy = numbers(n), *y = unset(n), *dz = unset(n), *sides[2], *want = unset(n);
    for (int activation = 0; activation < 14; activation++) {
        const float step = 1.0f / 256.0f;
        for (int i = 0; i < 2; i++) {
            sides[i] = unset(n);
            for (int64_t j = 0; j < n; j++)
                sides[i][j] = 4.0f * z[j] + (i ? step : -step);
            erniem_activate_reference(activation, n, sides[i]);
        }
        for (int64_t j = 0; j < n; j++)
            want[j] = 4.0f * z[j];
        failures += erniem_activated(activation, n, want, y) != 0;
        failures += erniem_activation_backward(activation, n, dy, want, dz) != 0;
        erniem_activate_reference(activation, n, want);
        compare("activated", n, activation, 0, n, y, want);
        for (int64_t j = 0; j < n; j++) { /* not at the kinks, which are nearer than a step */
            const float change = (sides[1][j] - sides[0][j]) / (2.0f * step);
            if (fabsf(4.0f * z[j]) > 2.0f * step && fabsf(dz[j] - dy[j] * change) > 2e-3f) {
                fprintf(stderr, "%s, activation %d at %g: %g, not %g\n", erniem_isa(), activation,
                        4.0f * z[j], dz[j], dy[j] * change);
                failures++;
                break;
            }
        }
        free(sides[0]), free(sides[1]);
    }
    const float s[9] = {0.5f, 0.25f, 0.5f, 0.25f, 2.0f, 1.0f, 0.125f, 0.75f, 0.5f};
    float *w = numbers(n), *m = numbers(n), *v = numbers(n);
    for (int64_t j = 0; j < n; j++) {
        v[j] = fabsf(v[j]);
        const float g = s[8] * dy[j];
        const float first = s[0] * m[j] + s[1] * g, second = s[2] * v[j] + s[3] * g * g;
        want[j] = s[7] * w[j] - first / (sqrtf(second) * s[4] + s[5]) * s[6];
    }
    failures += erniem_adamw(n, s, dy, w, m, v) != 0;
    compare("adamw", n, 0, 0, n, w, want);
    free(z), free(dy), free(y), free(dz), free(want), free(w), free(m), free(v);
}

/* Small whole numbers, so that sums are exact and many scores are equal. */
static void check_search(int64_t n, int64_t d, int64_t q, int64_t k)
{
    const uint32_t seed_of_the_others = seed;
    float *vectors = numbers(n * d), *queries = numbers(q * d), *scores[2];
    int64_t *indices[2];
    struct erniem_packed *packed = NULL;
    for (int64_t i = 0; i < n * d; i++)
        vectors[i] = roundf(2.0f * vectors[i]);
    for (int64_t i = 0; i < q * d; i++)
        queries[i] = roundf(2.0f * queries[i]);
    for (int i = 0; i < 2; i++) {
        scores[i] = unset(q * k);
        indices[i] = calloc((size_t)(q * k) + 1, sizeof **indices);
    }
    failures += erniem_pack_queries(q, d, queries, &packed) != 0;
    failures += erniem_top_scores(n, d, vectors, packed, k, indices[0], scores[0]) != 0;
    failures += erniem_top_scores_reference(n, d, vectors, q, queries, k, indices[1], scores[1]) != 0;
    compare("search", n, d, k, q * k, scores[0], scores[1]);
    if (memcmp(indices[0], indices[1], (size_t)(q * k) * sizeof **indices) != 0) {
        fprintf(stderr, "%s, search (%d, %d, %d, %d): other rows\n", erniem_isa(), (int)n, (int)d,
                (int)q, (int)k);
        failures++;
    }
    failures += erniem_top_scores(n, d, NULL, packed, 0, NULL, NULL) != ERNIEM_BAD_SIZE;
    failures += erniem_top_scores(n, d, NULL, packed, n + 1, NULL, NULL) != ERNIEM_BAD_SIZE;
    failures += erniem_top_scores(n, d + 1, NULL, packed, 1, NULL, NULL) != ERNIEM_BAD_SIZE;
    erniem_packed_free(packed);
    for (int i = 0; i < 2; i++)
        free(scores[i]), free(indices[i]);
    free(vectors), free(queries);
    seed = seed_of_the_others;
}

/* The product that followed last time is expected again. */
static void check_prefetch(void)
{
    static const float a[16], b[16], c[16];
    erniem_prefetch_begin(a, a + 16);
    erniem_prefetch_begin(b, b + 16);
    failures += erniem_prefetch_begin(a, a + 16) != b;
    erniem_prefetch_begin(c, c + 16);
    failures += erniem_prefetch_begin(a, a + 16) != c;
    failures += erniem_prefetch_begin(b, b + 16) != a;
    erniem_prefetch_some();
}

/* One of two threads is held at its first item. The other one does its own items in order, then
   those of the first thread from the end. */
enum { ITEMS = 40 };
static _Atomic int done;
static int in_order[ITEMS];

static void wait_at_the_first(const void *job, struct erniem_tasks *tasks)
{
    const time_t *deadline = job;
    for (int64_t item; (item = erniem_take(tasks)) >= 0;) {
        while (item == 0 && atomic_load(&done) < ITEMS - 1 && time(NULL) < *deadline)
            ;
        in_order[atomic_fetch_add(&done, 1)] = (int)item;
    }
}

static void check_stealing(void)
{
    const time_t deadline = time(NULL) + 60;
    atomic_store(&done, 0);
    erniem_set_threads(2);
    failures += erniem_parallel(ITEMS, wait_at_the_first, &deadline) != 0;
    failures += atomic_load(&done) != ITEMS;
    for (int i = 0; i < ITEMS; i++)
        failures += in_order[i] != (i < ITEMS / 2 ? ITEMS / 2 + i : ITEMS - 1 - i);
}

static void take_none(const void *job, struct erniem_tasks *tasks) { (void)job, (void)tasks; }

/* A job inside a job, which the thread has to do alone. */
static void nest(const void *job, struct erniem_tasks *tasks)
{
    while (erniem_take(tasks) >= 0)
        if (erniem_parallel(ITEMS, take_none, job) != ERNIEM_NO_MEMORY ||
            erniem_parallel(0, take_none, job) != 0)
            return;
}

static void check_jobs(void)
{
    if (strcmp(erniem_threading(), "serial") != 0)
        check_stealing();
    for (int threads = 1; threads <= 2; threads++) {
        erniem_set_threads(threads);
        failures += erniem_wanted_threads() != threads;
        failures += erniem_get_threads() != (strcmp(erniem_threading(), "serial") ? threads : 1);
        failures += erniem_parallel(ITEMS, take_none, NULL) != ERNIEM_NO_MEMORY;
        failures += erniem_parallel((int64_t)1 << 32, take_none, NULL) != ERNIEM_BAD_SIZE;
        failures += erniem_parallel(ITEMS, nest, NULL) != 0;
        failures += erniem_parallel(0, take_none, NULL) != 0;
    }
}

static void check_cores(void)
{
    const int serial = strcmp(erniem_threading(), "serial") == 0;
    erniem_set_threads(3);
    for (int cores = 1; cores <= 4; cores++) {
        failures += erniem_set_cores(cores) != 0 || erniem_wanted_threads() != 3;
        failures += erniem_get_threads() != (serial ? 1 : cores < 3 ? cores : 3);
    }
    failures += erniem_set_cores(0) != -1 || erniem_set_cores(ERNIEM_MAX_THREADS + 1) != -1;
    erniem_set_cores(ERNIEM_MAX_THREADS);
}

static void check_choices(void)
{
    failures += erniem_choose_threading("fibers") != -1 || erniem_choose_threading("") != -1;
    failures += erniem_set_threads(0) != -1 || erniem_set_threads(ERNIEM_MAX_THREADS + 1) != -1;
    failures += erniem_available_threading(-1) != NULL || erniem_available_threading(9) != NULL;
}

static void check_everything(void)
{
    const int64_t sizes[] = {1, 3, 5, 7, 13, 15, 17, 31, 33};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            check_linear(sizes[i], sizes[j], sizes[(i + j) % COUNT], i);
            check_attention(sizes[i], sizes[j], sizes[(i + j) % COUNT], i % 2);
            check_rows(sizes[i], sizes[j]);
            check_training_rows(sizes[i], sizes[j]);
            check_linear_backward(sizes[i], sizes[j], sizes[(i + j) % COUNT]);
            check_bfloat16_linear(sizes[i], sizes[j], sizes[(i + j) % COUNT]);
            check_search(sizes[i], sizes[j], sizes[(i + j) % COUNT], 1 + sizes[i] / 2);
        }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            check_int8(sizes[i], sizes[j], sizes[(i + j) % COUNT]);
    check_int8(0, 3, 4), check_int8(3, 0, 4), check_int8(300, 70, 200), check_int8(8, 200, 1000);
    check_int8_limits(64), check_int8_limits(770), check_int8_limits(2);
    check_linear(0, 3, 4, 1), check_linear(3, 0, 4, 1), check_linear(3, 4, 0, 1);
    check_linear(150, 40, 769, 1), check_linear(2, 65, 1543, 0);
    check_linear(135, 130, 770, 1);
    check_attention(70, 70, 64, 1), check_attention(15, 800, 8, 0), check_attention(2, 800, 8, 1);
    check_rows(70, 300);
    check_product_and_norm(1, 1, 1), check_product_and_norm(0, 3, 2), check_product_and_norm(3, 97, 5);
    check_product_and_norm(33, 40, 17), check_product_and_norm(150, 33, 9);
    check_product_and_norm(700, 70, 40), check_product_and_norm(1000, 800, 7);
    for (int type = 0; type < 3; type++) {
        check_mlp(type, 1, 3, 5, 2), check_mlp(type, 190, 40, 800, 3), check_mlp(type, 99, 50, 1, 512);
        check_mlp(type, 130, 7, 20, 900), check_mlp(type, 401, 3, 1500, 2);
    }
    check_linear_backward(770, 150, 40), check_linear_backward(40, 800, 99);
    check_bfloat16_linear(300, 70, 40), check_bfloat16_linear(3, 5, 4100);
    check_updates(1), check_updates(77), check_updates(20000);
    check_training_rows(150, 70);
    check_attention_backward(1, 1, 1), check_attention_backward(7, 5, 3);
    check_attention_backward(60, 34, 17), check_attention_backward(30, 70, 33);
    check_dropout(1, 1, 1), check_dropout(2, 5, 33), check_dropout(3, 60, 70), check_dropout(1, 2, 129);
    check_packed(1, 1, 5), check_packed(20, 3, 16), check_packed(3, 100, 64), check_packed(40, 0, 8);
    check_packed_training(1, 1, 5), check_packed_training(12, 3, 16), check_packed_training(3, 60, 64);
    check_independent_rows(31, 67, 770), check_independent_rows(150, 35, 40);
    check_search(700, 40, 70, 9), check_search(500, 512, 3, 500), check_search(100, 770, 2, 3);
    check_search(5, 3, 0, 2);
    check_refusals();
    check_packed_refusals();
    check_special_values(300);
}

int main(int count, char **arguments)
{
    seed = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 1;
    failures += strcmp(erniem_threading(), erniem_available_threading(0)) != 0; /* the default */
    for (int t = 0; erniem_available_threading(t); t++) {
        const char *threading = erniem_available_threading(t);
        if (count > 1 && strcmp(arguments[1], "all") != 0 && strcmp(arguments[1], threading) != 0)
            continue;
        failures += erniem_choose_threading(threading) != 0;
        failures += strcmp(erniem_threading(), threading) != 0;
        for (int i = 0; erniem_available_isa(i); i++) {
            failures += erniem_choose_isa(erniem_available_isa(i)) != 0;
            erniem_set_threads(3); /* a thread that is alone works as in "serial" */
            for (int j = 0; erniem_available_kernel(ERNIEM_FLOAT32, j); j++) {
                const char *kernel = erniem_available_kernel(ERNIEM_FLOAT32, j);
                failures += erniem_choose_kernel(ERNIEM_FLOAT32, kernel) != 0;
                failures += strcmp(erniem_kernel(ERNIEM_FLOAT32), kernel) != 0;
                check_everything();
                printf("%s, %s: %s\n", threading, kernel, failures ? "wrong" : "right");
            }
        }
        check_jobs();
        check_cores();
    }
    check_prefetch();
    check_choices();
    erniem_forget_memory();
    return failures != 0;
}
