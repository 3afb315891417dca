/* Results of the steps of a model, as one number for each step and instruction set: a hash of the bits.
   In a program of its own, so that other processors can run it in an emulator. A line is, for example,
   "avx2 norm 5f3a...". */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "micro/micro.h"

static uint32_t seed;

static float uniform(void) /* in [-1, 1) */
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static float *numbers(int64_t n, float size)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++)
        x[i] = size * uniform();
    return x;
}

static uint64_t hash(uint64_t so_far, int64_t n, const float *x)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        so_far = (so_far ^ bits) * 1099511628211u;
    }
    return so_far;
}

/* Rows of every length that the vectors could treat in another way. */
static uint64_t norms(void)
{
    enum { ROWS = 5 };
    uint64_t sum = 1;
    for (int64_t d = 1; d < 100; d++) {
        float *x = numbers(ROWS * d, 4.0f), *add = numbers(ROWS * d, 1.0f), *weight = numbers(d, 1.0f);
        float *bias = numbers(d, 1.0f), *y = numbers(ROWS * d, 0.0f);
        erniem_add_norm(ROWS, d, x, add, weight, bias, 1e-5f, y);
        sum = hash(sum, ROWS * d, y);
        free(x), free(add), free(weight), free(bias), free(y);
    }
    return sum;
}

/* Texts of 1 to 100 keys, without a mask, and with one that differs between queries. */
static uint64_t attentions(void)
{
    enum { H = 2, D = 20 };
    uint64_t sum = 1;
    for (int64_t T = 1; T < 101; T++) {
        float *q = numbers(3 * T * H * D, 3.0f), *context = numbers(T * H * D, 0.0f);
        const float *k = q + T * H * D, *v = k + T * H * D;
        const int64_t strides[3] = {T * H * D, D, H * D}, mask_strides[3] = {0, 0, T};
        uint8_t *mask = malloc((size_t)(T * T));
        for (int64_t i = 0; i < T * T; i++) /* earlier keys, at most 40 */
            mask[i] = i % T <= i / T && i % T + 40 > i / T;
        for (int masked = 0; masked < 2; masked++) {
            erniem_attention(ERNIEM_FLOAT32, 1, H, T, T, D, q, strides, k, strides, v, strides, 1, NULL,
                             NULL, 0, masked ? mask : NULL, mask_strides, NULL, NULL, context, NULL);
            sum = hash(sum, T * H * D, context);
        }
        free(q), free(mask), free(context);
    }
    return sum;
}

static uint64_t activations(void)
{
    uint64_t sum = 1;
    for (int activation = 0; activation < ERNIEM_ACTIVATIONS; activation++) {
        float *x = numbers(1000, 12.0f);
        erniem_activate(activation, 1000, x);
        sum = hash(sum, 1000, x);
        free(x);
    }
    return sum;
}

/* A row longer than a block, of a weight that is not a whole panel wide. */
static uint64_t floats(void)
{
    enum { M = 17, N = 41, K = 1600 };
    float *x = numbers(M * K, 1.0f), *w = numbers(N * K, 1.0f), *bias = numbers(N, 1.0f);
    float *y = numbers(M * N, 0.0f);
    struct erniem_packed *packed;
    uint64_t sum = 0;
    if (erniem_pack(N, K, w, &packed) == 0) {
        erniem_linear(M, x, packed, bias, ERNIEM_TANH, 1, y);
        sum = hash(1, M * N, y);
        erniem_packed_free(packed);
    }
    free(x), free(w), free(bias), free(y);
    return sum;
}

static uint64_t int8(void)
{
    enum { M = 17, N = 41, K = 1601 };
    float *x = numbers(M * K, 1.0f), *scale = numbers(N, 0.01f), *bias = numbers(N, 1.0f);
    float *y = numbers(M * N, 0.0f);
    int8_t *w = malloc(N * K);
    struct erniem_packed *packed;
    uint64_t sum = 0;
    for (int i = 0; i < N * K; i++)
        w[i] = (int8_t)(127.0f * uniform());
    for (int i = 0; i < N; i++)
        scale[i] += 0.02f;
    if (erniem_pack_int8(N, K, w, scale, &packed) == 0) {
        erniem_linear(M, x, packed, bias, ERNIEM_GELU, 1, y);
        sum = hash(1, M * N, y);
        erniem_packed_free(packed);
    }
    free(x), free(scale), free(bias), free(y), free(w);
    return sum;
}

int main(void)
{
    static const struct {
        const char *name;
        uint64_t (*of)(void);
    } steps[] = {{"norm", norms}, {"attention", attentions}, {"activation", activations},
                 {"float32", floats}, {"int8", int8}};
    for (int i = 0; erniem_available_isa(i); i++) {
        erniem_choose_isa(erniem_available_isa(i));
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            seed = 1;
            printf("%s %s %016" PRIx64 "\n", erniem_isa(), steps[s].name, steps[s].of());
        }
    }
    return 0;
}
