/* Eight bits on aarch64 with the dot product (FEAT_DotProd): one instruction adds four products to
   each of 4 sums. A row is stored as q - 128, because it multiplies signed numbers. */

#include "narrow.h"

#if ERNIEM_HAS_DOT
#define SIGNED 1
#include "micro_neon.h"
#include "micro_loops.h"
#include "micro_int8.h"

#define TILE_ROWS MR
typedef int32x4_t vi;
typedef int8x16_t INPUT, WEIGHT;

static inline vi vi_zero(void) { return vdupq_n_s32(0); }
static inline void vi_store(int32_t *p, vi x) { vst1q_s32(p, x); }
static inline INPUT input_of(const unsigned char *p)
{
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return vreinterpretq_s8_s32(vdupq_n_s32(unit));
}
static inline WEIGHT weight_of(const unsigned char *p) { return vld1q_s8((const int8_t *)p); }
/* Assembly, because compilers know the intrinsic only for a whole build with dot products. */
INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
    __asm__(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(*sum) : "w"(x), "w"(w));
}

#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_neon_dot = {
    .name = "neon-dot", .mr = MR, .narrow = narrow, .tile = tile, .finish = finish, .peak = peak};
#else
typedef int erniem_no_dot; /* C wants a declaration in every file */
#endif
