/* Products of int8 on x86 without VNNI. Part of a kernel in int8_*.c, which defines the words in
   capital letters for its vectors.

   Bytes 0 and 2 of a unit, and bytes 1 and 3, become numbers of 16 bits: of weights in registers, of
   rows when they are narrowed. One instruction multiplies them and adds pairs of products in 32 bits,
   so that nothing can overflow. (The one that multiplies bytes saturates its sums at 16 bits.) */

#define INPUT_UNIT 8 /* bytes of a unit of a row: its even bytes, then its odd ones */

/* Pointers to the even and odd bytes in memory, from where a product can repeat them. */
typedef const unsigned char *INPUT;
#define input_of(p) (p)

typedef struct {
    vi even, odd;
} WEIGHT;

static inline WEIGHT weight_of(const unsigned char *p)
{
    const vi w = vi_load(p);
    return (WEIGHT){SHIFT_RIGHT_SIGNED(SHIFT_LEFT(w, 8), 8), SHIFT_RIGHT_SIGNED(w, 8)};
}

INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
    *sum = ADD32(*sum, MULTIPLY(vi_unit(x), w.even));
    *sum = ADD32(*sum, MULTIPLY(vi_unit(x + 4), w.odd));
}

/* Spread the bytes of a row, from the end on: 4 become 8. */
static void narrow_to_pairs(int64_t k, const float *x, unsigned char *to, struct erniem_row *row)
{
    narrow(k, x, to, row);
    const int64_t size = (k + ERNIEM_STEP - 1) / ERNIEM_STEP * ERNIEM_STEP;
    for (int64_t unit = size - ERNIEM_UNIT; unit >= 0; unit -= ERNIEM_UNIT) {
        uint32_t bytes, pair[2];
        memcpy(&bytes, to + unit, sizeof bytes);
        pair[0] = bytes & 0x00ff00ff;
        pair[1] = bytes >> 8 & 0x00ff00ff;
        memcpy(to + 2 * unit, pair, sizeof pair);
    }
}
