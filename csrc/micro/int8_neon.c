/* Eight bits on aarch64 with NEON alone. A row is stored as q - 128, in -128..127: two products of it
   fit 16 bits. */

#if defined(__aarch64__) || defined(_M_ARM64)
#include <stdint.h>

#define SIGNED 1
#include "micro_neon.h"
#include "micro_loops.h"
#include "micro_int8.h"

#undef MICRO_ROWS
#define MICRO_ROWS(X) X(1) X(2) X(3)
#define TILE_ROWS 3

/* Two sums for each of four columns: of the products of bytes 0 and 1, and of 2 and 3. */
typedef int32x4x2_t vi;
typedef int8x16_t INPUT, WEIGHT;

static inline vi vi_zero(void) { return (vi){{vdupq_n_s32(0), vdupq_n_s32(0)}}; }
static inline void vi_store(int32_t *p, vi x) { vst1q_s32(p, vpaddq_s32(x.val[0], x.val[1])); }
static inline INPUT input_of(const unsigned char *p)
{
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return vreinterpretq_s8_s32(vdupq_n_s32(unit));
}
static inline WEIGHT weight_of(const unsigned char *p) { return vld1q_s8((const int8_t *)p); }
INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
    sum->val[0] = vpadalq_s16(sum->val[0], vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    sum->val[1] = vpadalq_s16(sum->val[1], vmull_high_s8(x, w));
}

#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_neon = {
    .name = "neon", .mr = TILE_ROWS, .narrow = narrow, .tile = tile, .finish = finish, .peak = peak};
#else
typedef int erniem_not_aarch64; /* C wants a declaration in every file */
#endif
