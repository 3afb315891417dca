/* Numbers rounded to bfloat16 by arithmetic on their bits, for micro_attention.h. */

static void round_step(int64_t n, const float *x, void *to)
{
    uint16_t *out = to;
    for (int i = 0; i < n; i++)
        out[i] = (uint16_t)(erniem_bfloat16_bits(x[i]) >> 16);
    memset(out + n, 0, (size_t)(ERNIEM_STEP - 2 * n));
}

static void lay_units(const float *even, const float *odd, uint32_t *to)
{
    for (int c = 0; c < ERNIEM_COLUMNS; c++)
        to[c] = erniem_bfloat16_bits(even[c]) >> 16 | erniem_bfloat16_bits(odd[c]);
}
