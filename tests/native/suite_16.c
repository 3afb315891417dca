/* Every kernel of weights of 16 bits is compared with the formula, over all edge sizes, and with the
   float32 product of the widened weight; in a program of its own, so that sanitizers and emulators
   can run it. Arrays end where their memory ends. The exit status is 0 if everything is right. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

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

/* Any bits, but no number that is not finite or beyond 2 in size. */
static uint16_t *weights(int64_t n)
{
    uint16_t *w = malloc((size_t)n * sizeof *w + 1);
    for (int64_t i = 0; i < n; i++) {
        uniform();
        w[i] = (uint16_t)(seed >> 16 & 0xbfff);
    }
    return w;
}

static const char *name(int number) { return number == ERNIEM_FLOAT16 ? "float16" : "bfloat16"; }

static void fail(const char *what, int number, int64_t m, int64_t n, int64_t k)
{
    fprintf(stderr, "%s, %s (%d), kernel %s: %s is wrong, %d x %d x %d\n", erniem_isa(), name(number),
            number, erniem_kernel(number), what, (int)m, (int)n, (int)k);
    failures++;
}

/* The products are exact, so an error is one of the sums: at most 1e-6 of the magnitudes. */
static int is_close(int64_t m, int64_t n, const float *got, const float *want, const float *sizes)
{
    for (int64_t i = 0; i < m * n; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-6f * sizes[i] + 1e-30f))
            return 0;
    return 1;
}

static void check(int number, int64_t m, int64_t n, int64_t k)
{
    float *x = numbers(m * k), *bias = numbers(n), *positive = numbers(m * k);
    float *got = numbers(m * n), *want = numbers(m * n), *sizes = numbers(m * n);
    float *again = numbers(m * n), *ys[2] = {got, again};
    uint16_t *w = weights(n * k), *all_positive = weights(n * k);
    struct erniem_packed *packed = NULL;
    for (int64_t i = 0; i < m * k; i++)
        positive[i] = fabsf(x[i]);
    for (int64_t i = 0; i < n * k; i++)
        all_positive[i] = w[i] & 0x7fff;
    if (erniem_pack_16(number, n, k, w, &packed) != 0)
        fail("the pack", number, m, n, k);
    erniem_linear_16_reference(number, m, n, k, x, w, bias, 0, want);
    erniem_linear_16_reference(number, m, n, k, positive, all_positive, NULL, 0, sizes);
    for (int64_t i = 0; i < m * n; i++)
        sizes[i] += fabsf(bias[i % n]);

    const struct erniem_packed *both[2] = {packed, packed};
    const float *biases[2] = {bias, bias};
    memset(got, 255, (size_t)(m * n) * sizeof *got); /* not numbers */
    memset(again, 255, (size_t)(m * n) * sizeof *got);
    if (erniem_linears(2, m, x, both, biases, 0, 0, ys) != 0 || !is_close(m, n, got, want, sizes) ||
        memcmp(got, again, (size_t)(m * n) * sizeof *got))
        fail("the product", number, m, n, k);

    for (int64_t i = 0; i < m; i += 7) { /* a row alone has the same bits */
        erniem_linear(1, x + i * k, packed, bias, 0, 0, again + i * n);
        if (memcmp(again + i * n, got + i * n, (size_t)n * sizeof *got))
            fail("a row alone", number, m, n, k);
    }
    erniem_linear_16_reference(number, m, n, k, x, w, NULL, 8, want); /* relu, without a bias */
    if (erniem_linear(m, x, packed, NULL, 8, 0, got) != 0 || !is_close(m, n, got, want, sizes))
        fail("the activation", number, m, n, k);
    erniem_packed_free(packed);
    free(x), free(bias), free(positive), free(got), free(want), free(sizes), free(again);
    free(w), free(all_positive);
}

/* With a widened weight the float32 product has the same bits. */
static void check_widening(int number, int64_t m, int64_t n, int64_t k)
{
    float *x = numbers(m * k), *bias = numbers(n), *wide = numbers(n * k);
    float *got = numbers(m * n), *want = numbers(m * n);
    uint16_t *w = weights(n * k);
    struct erniem_packed *packed = NULL, *packed_wide = NULL;
    const float one = 1.0f;
    for (int64_t i = 0; i < n * k; i++)
        erniem_linear_16_reference(number, 1, 1, 1, &one, w + i, NULL, 0, wide + i);
    failures += erniem_pack_16(number, n, k, w, &packed) != 0;
    failures += erniem_pack(n, k, wide, &packed_wide) != 0;
    failures += erniem_linear(m, x, packed, bias, 1, 0, got) != 0;
    failures += erniem_linear(m, x, packed_wide, bias, 1, 1, want) != 0;
    if (memcmp(got, want, (size_t)(m * n) * sizeof *got))
        fail("widening", number, m, n, k);
    erniem_packed_free(packed), erniem_packed_free(packed_wide);
    free(x), free(bias), free(wide), free(got), free(want), free(w);
}

/* Every number of 16 bits, as a weight that is multiplied by 1. */
static void check_every_number(int number)
{
    enum { ALL = 1 << 16 };
    uint16_t *w = malloc(ALL * sizeof *w);
    float *got = numbers(ALL), *want = numbers(ALL);
    const float one = 1.0f;
    struct erniem_packed *packed = NULL;
    for (int i = 0; i < ALL; i++)
        w[i] = (uint16_t)i;
    failures += erniem_pack_16(number, ALL, 1, w, &packed) != 0;
    failures += erniem_linear(1, &one, packed, NULL, 0, 0, got) != 0;
    erniem_linear_16_reference(number, 1, ALL, 1, &one, w, NULL, 0, want);
    for (int i = 0; i < ALL; i++) {
        const int tiny = number == ERNIEM_BFLOAT16 && fabsf(want[i]) < 1.17549435e-38f;
        if (!(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])) || (tiny && got[i] == 0.0f))) {
            fail("a number", number, i, 1, 1);
            break;
        }
    }
    erniem_packed_free(packed);
    free(w), free(got), free(want);
}

/* Numbers of x at ties, beyond the largest of bfloat16, infinite, and not numbers. */
static void check_special_inputs(int number)
{
    const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0xbf818000, 0x7f7fffff,
                             0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0x00800000, 0x80000000};
    enum { COUNT = sizeof bits / sizeof *bits };
    const uint16_t w = number == ERNIEM_FLOAT16 ? 0x3c00 : 0x3f80; /* 1 */
    float x[COUNT], got[COUNT], want[COUNT];
    struct erniem_packed *packed = NULL;
    memcpy(x, bits, sizeof x);
    failures += erniem_pack_16(number, 1, 1, &w, &packed) != 0;
    failures += erniem_linear(COUNT, x, packed, NULL, 0, 0, got) != 0;
    erniem_linear_16_reference(number, COUNT, 1, 1, x, &w, NULL, 0, want);
    for (int i = 0; i < COUNT; i++)
        if (!(got[i] == want[i] || (isnan(got[i]) && isnan(want[i]))))
            fail("a special input", number, i, 1, 1);
    erniem_packed_free(packed);
}

/* Attention of some texts of these tokens beside the loops, and each text alone. A rounding that goes
   the other way changes an exponential by 2^-8; few do. */
static void check_attention(int64_t T, int64_t S, int64_t d)
{
    enum { H = 2, B = 2 };
    const int64_t q_stride[3] = {T * H * d, d, H * d}, k_stride[3] = {S * H * d, d, H * d};
    const int64_t mask_stride[3] = {T * S, 0, S}, size = B * T * H * d;
    float *q = numbers(size), *k = numbers(B * S * H * d), *v = numbers(B * S * H * d);
    float *bias = numbers(B * S), *got = numbers(size), *want = numbers(size), *alone = numbers(size);
    float *probabilities[2] = {numbers(B * H * T * S), numbers(B * H * T * S)};
    uint8_t *mask = malloc((size_t)(B * T * S));
    double sum = 0.0;
    for (int64_t i = 0; i < B * T * S; i++)
        mask[i] = uniform() < 0.5f;
    memset(got, 255, (size_t)size * sizeof *got);
    for (int i = 0; i < 2; i++)
        failures += (i ? erniem_attention_reference : erniem_attention)(
                        ERNIEM_BFLOAT16, B, H, T, S, d, q, q_stride, k, k_stride, v, k_stride, 0, NULL,
                        bias, S, mask, mask_stride, NULL, NULL, i ? want : got, probabilities[i]) != 0;
    for (int64_t i = 0; i < B * H * T * S; i++)
        if (!(fabsf(probabilities[0][i] - probabilities[1][i]) <= 4e-3f))
            fail("a probability", ERNIEM_BFLOAT16, T, S, d);
    for (int64_t i = 0; i < size; i++)
        sum += fabs((double)got[i] - want[i]);
    if (!(sum <= 1e-4 * (double)size))
        fail("attention", ERNIEM_BFLOAT16, T, S, d);
    for (int64_t b = 0; b < B; b++)
        failures += erniem_attention(ERNIEM_BFLOAT16, 1, H, T, S, d, q + b * T * H * d, q_stride,
                                     k + b * S * H * d, k_stride, v + b * S * H * d, k_stride, 0, NULL,
                                     bias + b * S, S, mask + b * T * S, mask_stride, NULL, NULL,
                                     alone + b * T * H * d, NULL) != 0;
    if (memcmp(alone, got, (size_t)size * sizeof *got))
        fail("a text alone", ERNIEM_BFLOAT16, T, S, d);
    free(q), free(k), free(v), free(bias), free(got), free(want), free(alone), free(mask);
    free(probabilities[0]), free(probabilities[1]);
}

static void check_refusals(void)
{
    const uint16_t w[6] = {0};
    float x[3] = {0}, y[4], *ys[2] = {y, y + 2};
    const float *biases[2] = {NULL, NULL};
    struct erniem_packed *packed = NULL, *other = NULL;
    failures += erniem_pack_16(ERNIEM_FLOAT32, 2, 3, w, &packed) != ERNIEM_BAD_SIZE || packed;
    failures += erniem_pack_16(ERNIEM_FLOAT16 + 1, 2, 3, w, &packed) != ERNIEM_BAD_SIZE || packed;
    failures += erniem_pack_16(ERNIEM_FLOAT16, -1, 3, w, &packed) != ERNIEM_BAD_SIZE || packed;
    failures += erniem_pack_16(ERNIEM_FLOAT16, INT64_MAX / 2, 3, w, &packed) != ERNIEM_BAD_SIZE;
    failures += erniem_pack_16(ERNIEM_FLOAT16, 2, 3, w, &packed) != 0;
    failures += erniem_pack_16(ERNIEM_BFLOAT16, 2, 3, w, &other) != 0;
    const struct erniem_packed *mixed[2] = {packed, other};
    failures += erniem_linears(2, 1, x, mixed, biases, 0, 0, ys) != ERNIEM_BAD_SIZE;
    const int64_t stride[3] = {1, 1, 1};
    for (int number = -1; number <= ERNIEM_FLOAT16 + 1; number++)
        failures += erniem_attention(number, 1, 1, 1, 1, 1, x, stride, x, stride, x, stride, 0, NULL,
                                     NULL, 0, NULL, NULL, NULL, NULL, y, NULL) !=
                    (number == ERNIEM_FLOAT32 || number == ERNIEM_BFLOAT16 ? 0 : ERNIEM_BAD_SIZE);
    erniem_packed_free(packed), erniem_packed_free(other);
}

static void check_everything(int number)
{
    const int64_t rows[] = {1, 2, 3, 6, 7, 13, 14, 15, 16, 17, 32, 33, 128, 129};
    const int64_t columns[] = {1, 31, 32, 33, 70}, depths[] = {1, 2, 3, 31, 32, 33, 97};
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++)
        for (int j = 0; j < 5; j++)
            check(number, rows[i], columns[j], depths[(i + j) % 7]);
    check(number, 0, 3, 4), check(number, 3, 0, 4), check(number, 3, 4, 0);
    check(number, 20, 40, 768), check(number, 5, 33, 769), check(number, 37, 64, 1543);
    check(number, 300, 33, 40), check(number, 41, 35, 3073);
    /* The generic kernel may round a product and a sum where the others round once. */
    if (number != ERNIEM_BFLOAT16 &&
        strcmp(erniem_kernel(number), "generic") == strcmp(erniem_isa(), "generic")) {
        check_widening(number, 3, 33, 17), check_widening(number, 150, 70, 768);
        check_widening(number, 29, 40, 769), check_widening(number, 15, 97, 1543);
    }
    check_every_number(number);
    check_special_inputs(number);
    const int64_t widths[] = {1, 31, 32, 33, 64};
    for (int i = 0; i < 14 && number == ERNIEM_BFLOAT16; i++)
        check_attention(rows[i], rows[(3 * i + 5) % 14], widths[i % 5]);
}

int main(void)
{
    for (int i = 0; erniem_available_isa(i); i++) {
        failures += erniem_choose_isa(erniem_available_isa(i)) != 0;
        for (int number = ERNIEM_BFLOAT16; number <= ERNIEM_FLOAT16; number++)
            for (int j = 0; erniem_available_kernel(number, j); j++) {
                const char *kernel = erniem_available_kernel(number, j);
                failures += erniem_choose_kernel(number, kernel) != 0;
                failures += strcmp(erniem_kernel(number), kernel) != 0;
                erniem_set_threads(1);
                check_everything(number);
                erniem_set_threads(3);
                for (int t = 0; erniem_available_threading(t); t++) {
                    failures += erniem_choose_threading(erniem_available_threading(t)) != 0;
                    check(number, 150, 97, 100), check(number, 5, 200, 64);
                }
                failures += erniem_multiply_add_narrow(number, 10) < 1;
                printf("%d, %s, %s: %s\n", number, erniem_isa(), kernel, failures ? "wrong" : "right");
            }
    }
    check_refusals();
    erniem_forget_memory();
    return failures != 0;
}
