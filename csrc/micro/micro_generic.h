/* Vectors in plain C: 4 floats where the compiler knows vector types (gcc, clang), else one.
   The vocabulary of micro_body.h, and the definition of what each word means. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MICRO(name) name##_generic
#define MICRO_NAME "generic"
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4)

#if defined(__GNUC__)
enum { VW = 4, MR = 4, NV = 2 }; /* 8 sums, 2 of the panel, 1 of the rows, 1 product */
typedef float vf __attribute__((vector_size(16)));
#define LANE(x, i) ((x)[i])
#define ALL(x) ((vf){x, x, x, x}) /* lane by lane gcc would shuffle four times */
#else
enum { VW = 1, MR = 4, NV = 4 };
typedef float vf;
#define LANE(x, i) (x)
#define ALL(x) (x)
#endif

#define EACH(expression)                       \
    do {                                       \
        vf result;                             \
        for (int i = 0; i < VW; i++)           \
            LANE(result, i) = (expression);    \
        return result;                         \
    } while (0)

static inline vf vf_set1(float x) { return ALL(x); }
static inline vf vf_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void vf_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
/* The first n floats, n < VW; the other lanes are 0. */
static inline vf vf_load_part(const float *p, int64_t n) { EACH(i < n ? p[i] : 0.0f); }
static inline void vf_store_part(float *p, vf x, int64_t n)
{
    for (int i = 0; i < VW && i < n; i++)
        p[i] = LANE(x, i);
}
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_sqrt(vf a) { EACH(sqrtf(LANE(a, i))); }
#if defined(__FP_FAST_FMAF)
static inline vf vf_fma(vf a, vf b, vf c)
{
    EACH(__builtin_fmaf(LANE(a, i), LANE(b, i), LANE(c, i)));
}
#else
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; } /* rounds twice */
#endif
/* Where one of the two is not a number, max and min give the second, as x86 does. */
static inline vf vf_max(vf a, vf b) { EACH(LANE(a, i) > LANE(b, i) ? LANE(a, i) : LANE(b, i)); }
static inline vf vf_min(vf a, vf b) { EACH(LANE(a, i) < LANE(b, i) ? LANE(a, i) : LANE(b, i)); }
static inline vf vf_abs(vf a) { EACH(fabsf(LANE(a, i))); }
/* Numbers of 16 bits, widened, which is exact: the low or the high halves of units of four bytes
   (bfloat16), or float16. */
static inline float micro_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline vf vf_even(const uint32_t *p) { EACH(micro_float(p[i] << 16)); }
static inline vf vf_odd(const uint32_t *p) { EACH(micro_float(p[i] & 0xffff0000u)); }
static inline float micro_half(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, rest = (h & 0x7fffu) << 13;
    if ((h & 0x7c00u) == 0x7c00u) /* infinite, or not a number, which becomes a quiet one */
        return micro_float(sign | rest | 0x70000000u | (h & 0x3ffu ? 0x400000u : 0));
    const float size = micro_float(rest) * 5.192296858534828e33f; /* 2^112 moves the exponent */
    return sign ? -size : size;
}
static inline vf vf_half(const uint16_t *p) { EACH(micro_half(p[i])); }
/* Rounded to bfloat16: to nearest, ties to even; what is not a number stays so. */
static inline float micro_to_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = x == x ? bits + 0x7fffu + (bits >> 16 & 1u) : bits | 0x400000u;
    return micro_float(bits & 0xffff0000u);
}
static inline vf vf_to_bfloat16(vf a) { EACH(micro_to_bfloat16(LANE(a, i))); }
static inline vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    EACH(LANE(x, i) < LANE(y, i) ? LANE(yes, i) : LANE(no, i));
}
/* To the nearest whole number, for |a| < 2^22: after adding 1.5 * 2^23 no fraction is left. */
static inline vf vf_round(vf a)
{
    const vf big = vf_set1(12582912.0f);
    return (a + big) - big;
}
/* a * 2^n for whole n; where n is not a number, a is not either and stays. */
static inline vf vf_scale(vf a, vf n)
{
    EACH(LANE(n, i) == LANE(n, i) ? ldexpf(LANE(a, i), (int)LANE(n, i)) : LANE(a, i));
}
/* The sum of the lanes, by halves: lane i plus lane i + VW / 2, and so on. */
static inline float vf_sum(vf a)
{
    for (int half = VW / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            LANE(a, i) += LANE(a, i + half);
    return LANE(a, 0);
}
static inline float vf_highest(vf a)
{
    float highest = LANE(a, 0);
    for (int i = 1; i < VW; i++)
        highest = highest > LANE(a, i) ? highest : LANE(a, i);
    return highest;
}
/* The whole numbers nearest to x, plus zero, cut to 0..255, as 4 * VW bytes; `flip` is xored to each. */
static inline void vf_store_bytes(unsigned char *to, const vf *x, int32_t zero, int flip)
{
    for (int i = 0; i < 4 * VW; i++) {
        const int32_t q = (int32_t)LANE(vf_round(x[i / VW]), i % VW) + zero;
        to[i] = (unsigned char)((q < 0 ? 0 : q > 255 ? 255 : q) ^ flip);
    }
}
/* The sums minus zero times the totals, exact in 32 bits, as floats. */
static inline vf vf_difference(const int32_t *sums, int32_t zero, const int32_t *totals)
{
    EACH((float)(sums[i] - zero * totals[i]));
}
#define vf_prefetch(p) ((void)(p))
#define vf_prefetch_to_write(p) ((void)(p))
