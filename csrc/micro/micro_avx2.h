/* Vectors of AVX2 with FMA: 8 floats, 16 registers. The vocabulary of micro_body.h. */

#include <immintrin.h>

#define MICRO(name) name##_avx2
#define MICRO_NAME "avx2"
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
enum { VW = 8, MR = 6, NV = 2 }; /* 12 sums, 2 of the panel, 1 of the rows: 15 registers */

typedef __m256 vf;

static inline vf vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline __m256i vf_first(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}
static inline vf vf_load_part(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vf_first(n));
}
static inline void vf_store_part(float *p, vf x, int64_t n)
{
    _mm256_maskstore_ps(p, vf_first(n), x);
}
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_even(const uint32_t *p)
{
    const __m256i units = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(units, 16));
}
static inline vf vf_odd(const uint32_t *p)
{
    const __m256i units = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_and_si256(units, _mm256_set1_epi32((int)0xffff0000u)));
}
#if defined(__F16C__) || defined(MICRO_F16C)
static inline vf vf_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
#endif
static inline vf vf_to_bfloat16(vf a)
{
    const __m256i bits = _mm256_castps_si256(a), one = _mm256_set1_epi32(1);
    const __m256i tie = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), tie);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const vf nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    const vf all = _mm256_blendv_ps(_mm256_castsi256_ps(sum), _mm256_castsi256_ps(quiet), nan);
    return _mm256_and_ps(all, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u)));
}
static inline vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
}
static inline vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n for whole n in [-252, 254], in two steps so that no step leaves the exponent's range. */
static inline vf vf_scale(vf a, vf n)
{
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    a = vf_mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return vf_mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
static inline float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_highest(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static inline void vf_store_bytes(unsigned char *to, const vf *x, int32_t zero, int flip)
{
    const __m256i shift = _mm256_set1_epi16((short)zero);
    const __m256i lane = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* packs go by halves */
    const __m256i q0 = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
    const __m256i q1 = _mm256_packs_epi32(_mm256_cvtps_epi32(x[2]), _mm256_cvtps_epi32(x[3]));
    const __m256i q = _mm256_packus_epi16(_mm256_add_epi16(q0, shift), _mm256_add_epi16(q1, shift));
    const __m256i bytes = _mm256_permutevar8x32_epi32(q, lane);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_xor_si256(bytes, _mm256_set1_epi8((char)flip)));
}
static inline vf vf_difference(const int32_t *sums, int32_t zero, const int32_t *totals)
{
    const __m256i all = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    const __m256i each = _mm256_loadu_si256((const __m256i *)(const void *)totals);
    const __m256i part = _mm256_mullo_epi32(_mm256_set1_epi32(zero), each);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(all, part));
}
/* Four floats each of rows[0] and rows[4], from l on. */
#define HAS_QUADS
static inline vf vf_load_quads(const float *const *rows, int64_t l)
{
    const vf x = _mm256_castps128_ps256(_mm_loadu_ps(rows[0] + l));
    return _mm256_insertf128_ps(x, _mm_loadu_ps(rows[4] + l), 1);
}
/* Transpose the 4 x 4 floats in each half of the four vectors. */
static inline void vf_transpose_quads(vf x[4])
{
    const vf a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
    const vf c = _mm256_unpacklo_ps(x[2], x[3]), d = _mm256_unpackhi_ps(x[2], x[3]);
    x[0] = _mm256_shuffle_ps(a, c, 0x44);
    x[1] = _mm256_shuffle_ps(a, c, 0xee);
    x[2] = _mm256_shuffle_ps(b, d, 0x44);
    x[3] = _mm256_shuffle_ps(b, d, 0xee);
}
/* Macros, because gcc drops calls of a function that does nothing but prefetch. */
#define vf_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define vf_prefetch_to_write(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
