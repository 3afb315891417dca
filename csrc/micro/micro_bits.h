/* Numbers rounded to bfloat16 by arithmetic on their bits, for micro_attention.h. */

static void round_step(int64_t n, const float *x, void *to)
{
    uint16_t *out = to;
    for (int i = 0; i < n; i++)
        out[i] = (uint16_t)(erniem_bfloat16_bits(x[i]) >> 16);
    memset(out + n, 0, (size_t)(ERNIEM_STEP - 2 * n));
}

INLINE vf lay_two(uint32_t *to, vf even, vf odd, vf sums)
{
    uint32_t low[VW], high[VW];
    const vf first = vf_to_bfloat16(even), second = vf_to_bfloat16(odd);
    vf_store((float *)(void *)low, first);
    vf_store((float *)(void *)high, second);
    for (int c = 0; c < VW; c++)
        to[c] = low[c] >> 16 | high[c];
    return vf_add(vf_add(sums, first), second);
}
