/* Vectors of NEON on aarch64: 4 floats, 32 registers. The vocabulary of micro_body.h. */

#include <arm_neon.h>

#define MICRO(name) name##_neon
#define MICRO_NAME "neon"
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
enum { VW = 4, MR = 6, NV = 4 }; /* 24 sums, 4 of the panel, 1 of the rows: 29 registers */

typedef float32x4_t vf;

static inline vf vf_set1(float x) { return vdupq_n_f32(x); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf vf_load_part(const float *p, int64_t n)
{
    float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int64_t i = 0; i < n; i++)
        lanes[i] = p[i];
    return vld1q_f32(lanes);
}
static inline void vf_store_part(float *p, vf x, int64_t n)
{
    float lanes[4];
    vst1q_f32(lanes, x);
    for (int64_t i = 0; i < n; i++)
        p[i] = lanes[i];
}
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_max(vf a, vf b) { return vmaxq_f32(a, b); }
static inline vf vf_min(vf a, vf b) { return vminq_f32(a, b); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
static inline vf vf_even(const uint32_t *p)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(p), 16));
}
static inline vf vf_odd(const uint32_t *p)
{
    return vreinterpretq_f32_u32(vandq_u32(vld1q_u32(p), vdupq_n_u32(0xffff0000u)));
}
static inline vf vf_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline vf vf_to_bfloat16(vf a)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t tie = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t sum = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), tie);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    const uint32x4_t all = vbslq_u32(vceqq_f32(a, a), sum, quiet);
    return vreinterpretq_f32_u32(vandq_u32(all, vdupq_n_u32(0xffff0000u)));
}
static inline vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    return vbslq_f32(vcltq_f32(x, y), yes, no);
}
static inline vf vf_round(vf a) { return vrndnq_f32(a); }
/* a * 2^n for whole n in [-252, 254], in two steps so that no step leaves the exponent's range. */
static inline vf vf_scale(vf a, vf n)
{
    const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    const int32x4_t rest = vsubq_s32(whole, half), bias = vdupq_n_s32(127);
    a = vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
static inline float vf_sum(vf a)
{
    const float32x2_t s = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(s, s), 0);
}
static inline float vf_highest(vf a) { return vmaxvq_f32(a); }
static inline int16x8_t vf_to_16_bits(vf a, vf b)
{
    return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
}
static inline void vf_store_bytes(unsigned char *to, const vf *x, int32_t zero, int flip)
{
    const int16x8_t shift = vdupq_n_s16((int16_t)zero);
    const int16x8_t q0 = vaddq_s16(vf_to_16_bits(x[0], x[1]), shift);
    const int16x8_t q1 = vaddq_s16(vf_to_16_bits(x[2], x[3]), shift);
    const uint8x16_t bytes = vcombine_u8(vqmovun_s16(q0), vqmovun_s16(q1));
    vst1q_u8(to, veorq_u8(bytes, vdupq_n_u8((uint8_t)flip)));
}
static inline vf vf_difference(const int32_t *sums, int32_t zero, const int32_t *totals)
{
    return vcvtq_f32_s32(vmlsq_n_s32(vld1q_s32(sums), vld1q_s32(totals), zero));
}
/* Four floats of rows[0], from l on. */
#define HAS_QUADS
static inline vf vf_load_quads(const float *const *rows, int64_t l) { return vld1q_f32(rows[0] + l); }
/* Transpose the 4 x 4 floats of the four vectors. */
static inline void vf_transpose_quads(vf x[4])
{
    const vf a = vtrn1q_f32(x[0], x[1]), b = vtrn2q_f32(x[0], x[1]);
    const vf c = vtrn1q_f32(x[2], x[3]), d = vtrn2q_f32(x[2], x[3]);
    x[0] = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
    x[1] = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
    x[2] = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
    x[3] = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
}
#if defined(_MSC_VER)
#define vf_prefetch(p) ((void)(p))
#define vf_prefetch_to_write(p) ((void)(p))
#else /* macros, because gcc drops calls of a function that does nothing but prefetch */
#define vf_prefetch(p) __builtin_prefetch(p, 0, 2)
#define vf_prefetch_to_write(p) __builtin_prefetch(p, 1, 3)
#endif
