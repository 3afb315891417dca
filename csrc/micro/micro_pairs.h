/* Rows rounded to bfloat16 by AVX512-BF16, to nearest even; denormal numbers become 0. */

static void narrow(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    (void)row;
    for (; k > 0; k -= 32, x += 32, to += ERNIEM_STEP) {
        const __mmask32 part = k < 32 ? ((__mmask32)1 << k) - 1 : (__mmask32)-1;
        const __m512 low = _mm512_maskz_loadu_ps((__mmask16)part, x);
        const __m512 high = _mm512_maskz_loadu_ps((__mmask16)(part >> 16), x + 16);
        const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
        _mm512_storeu_si512(to, (__m512i)both);
    }
}
