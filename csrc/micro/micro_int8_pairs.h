/* Products of int8 on x86 without VNNI. Part of a kernel in int8_*.c, which defines the words in
   capital letters for its vectors. */

/* Without an instruction for it: bytes 0 and 2 of a unit, and bytes 1 and 3, as numbers of 16 bits. Of
   those, pairs of products are summed in 32 bits, so nothing can overflow. */
typedef struct {
    vi even, odd;
} INPUT, WEIGHT;
static inline INPUT input_of(const unsigned char *p)
{
    const vi x = vi_unit(p);
    return (INPUT){AND(x, SET16(255)), SHIFT_RIGHT(x, 8)};
}
static inline WEIGHT weight_of(const unsigned char *p)
{
    const vi w = vi_load(p);
    return (WEIGHT){SHIFT_RIGHT_SIGNED(SHIFT_LEFT(w, 8), 8), SHIFT_RIGHT_SIGNED(w, 8)};
}
INLINE void add_products(vi *sum, INPUT x, WEIGHT w)
{
    *sum = ADD32(*sum, MULTIPLY(x.even, w.even));
    *sum = ADD32(*sum, MULTIPLY(x.odd, w.odd));
}
