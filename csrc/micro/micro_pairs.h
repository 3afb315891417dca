/* Numbers rounded to bfloat16 by AVX512-BF16, to nearest even; denormal numbers become 0. */

#include <string.h>

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    enum { AHEAD = 512 }; /* floats to those that are prefetched */
    (void)row;
    for (; k > 0; k -= 32, x += 32, to += ERNIEM_STEP) {
        _mm_prefetch((const char *)(x + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + AHEAD + 16), _MM_HINT_T0);
        const __mmask32 part = k < 32 ? ((__mmask32)1 << k) - 1 : (__mmask32)-1;
        const __m512 low = _mm512_maskz_loadu_ps((__mmask16)part, x);
        const __m512 high = _mm512_maskz_loadu_ps((__mmask16)(part >> 16), x + 16);
        const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
        _mm512_storeu_si512(to, (__m512i)both);
    }
}

#define NUMBER_BYTES 2

static void round_step(int64_t n, const float *x, void *to) { narrow(n, x, to, NULL); }

INLINE void round_two(unsigned char *to, vf a, vf b)
{
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

/* 16 even numbers, then 16 odd ones, are two by two laid side by side. */
INLINE vf lay_two(uint32_t *to, vf even, vf odd, vf sums)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                           8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh both = _mm512_cvtne2ps_pbh(odd, even);
    const __m512i units = _mm512_permutexvar_epi16(order, (__m512i)both);
    _mm512_storeu_si512(to, units);
    return _mm512_dpbf16_ps(sums, (__m512bh)units, (__m512bh)_mm512_set1_epi16(0x3f80)); /* times 1 */
}

#include "micro_attention.h"
