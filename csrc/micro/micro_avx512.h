/* Vectors of AVX-512: 16 floats, 32 registers. The vocabulary that micro_body.h is written in. */

#include <immintrin.h>

#define MICRO(name) name##_avx512
#define MICRO_NAME "avx512"
enum { VW = 16 };
#if !defined(MICRO_ROWS) /* by isa_avx512.c, for panels of its own; others have 32 columns */
#define MICRO_ROWS(X) \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
enum { MR = 14, NV = 2 }; /* 28 sums, 2 of the panel, 1 of the rows: 31 registers */
#endif

typedef __m512 vf;

static inline vf vf_set1(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline __mmask16 vf_first(int64_t n) { return (__mmask16)((1u << n) - 1); }
static inline vf vf_load_part(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), p);
}
static inline void vf_store_part(float *p, vf x, int64_t n)
{
    _mm512_mask_storeu_ps(p, vf_first(n), x);
}
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_abs(vf a) { return _mm512_abs_ps(a); }
/* Numbers of 16 bits, widened: the low or the high halves of units (bfloat16), float16. */
static inline vf vf_even(const uint32_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline vf vf_odd(const uint32_t *p)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
}
static inline vf vf_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_to_bfloat16(vf a)
{
    const __m512i bits = _mm512_castps_si512(a), one = _mm512_set1_epi32(1);
    const __m512i tie = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), tie);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_mask_mov_epi32(sum, nan, quiet),
                                                _mm512_set1_epi32((int)0xffff0000u)));
}
static inline vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), no, yes);
}
static inline vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#define HAS_SCALE
static inline vf vf_scale(vf a, vf n) { return _mm512_scalef_ps(a, n); }
static inline float vf_sum(vf a)
{
    const __m256 low = _mm512_castps512_ps256(a);
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
    const __m256 h = _mm256_add_ps(low, high);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_highest(vf a) { return _mm512_reduce_max_ps(a); }
/* For kernels that have AVX-512 BW as well. */
#if defined(__AVX512BW__) || defined(MICRO_AVX512BW)
static inline void vf_store_bytes(unsigned char *to, const vf *x, int32_t zero, int flip)
{
    const __m512i shift = _mm512_set1_epi16((short)zero);
    const __m512i lane = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i q0 = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    const __m512i q1 = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    const __m512i q = _mm512_packus_epi16(_mm512_add_epi16(q0, shift), _mm512_add_epi16(q1, shift));
    const __m512i bytes = _mm512_permutexvar_epi32(lane, q);
    _mm512_storeu_si512(to, _mm512_xor_si512(bytes, _mm512_set1_epi8((char)flip)));
}
#endif
static inline vf vf_difference(const int32_t *sums, int32_t zero, const int32_t *totals)
{
    const __m512i part = _mm512_mullo_epi32(_mm512_set1_epi32(zero), _mm512_loadu_si512(totals));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), part));
}
/* Four floats each of rows[0], rows[4], rows[8] and rows[12], from l on. */
#define HAS_QUADS
static inline vf vf_load_quads(const float *const *rows, int64_t l)
{
    const vf x = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + l));
    const vf y = _mm512_mask_broadcast_f32x4(x, 0x00f0, _mm_loadu_ps(rows[4] + l));
    const vf z = _mm512_mask_broadcast_f32x4(y, 0x0f00, _mm_loadu_ps(rows[8] + l));
    return _mm512_mask_broadcast_f32x4(z, 0xf000, _mm_loadu_ps(rows[12] + l));
}
/* Transpose the 4 x 4 floats in each quarter of the four vectors. */
static inline void vf_transpose_quads(vf x[4])
{
    const vf a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
    const vf c = _mm512_unpacklo_ps(x[2], x[3]), d = _mm512_unpackhi_ps(x[2], x[3]);
    x[0] = _mm512_shuffle_ps(a, c, 0x44);
    x[1] = _mm512_shuffle_ps(a, c, 0xee);
    x[2] = _mm512_shuffle_ps(b, d, 0x44);
    x[3] = _mm512_shuffle_ps(b, d, 0xee);
}
/* Macros, because gcc drops calls of a function that does nothing but prefetch. */
#define vf_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define vf_prefetch_to_write(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
