/* Eight bits on any x86-64, which has SSE2. */

#if defined(__x86_64__) && defined(__GNUC__)

#include <emmintrin.h>
#include <stdint.h>

#include "micro_generic.h"
#include "micro_loops.h"
#include "micro_int8.h"

#define TILE_ROWS MR
#define AND _mm_and_si128
#define SET16 _mm_set1_epi16
#define SHIFT_LEFT _mm_slli_epi16
#define SHIFT_RIGHT _mm_srli_epi16
#define SHIFT_RIGHT_SIGNED _mm_srai_epi16
#define ADD32 _mm_add_epi32
#define MULTIPLY _mm_madd_epi16

typedef __m128i vi;
static inline vi vi_zero(void) { return _mm_setzero_si128(); }
static inline void vi_store(int32_t *p, vi x) { _mm_storeu_si128((__m128i *)(void *)p, x); }
static inline vi vi_load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
static inline vi vi_unit(const unsigned char *p)
{
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return _mm_set1_epi32(unit);
}

#include "micro_int8_pairs.h"
#include "micro_int8_tile.h"

const struct erniem_narrow erniem_int8_sse2 = {.name = "sse2", .mr = TILE_ROWS, .widens = 1,
                                               .narrow = narrow_to_pairs, .tile = tile,
                                               .finish = finish, .peak = peak};

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
