/* The limit of one core: multiply-adds of float32 that read no memory. */

static float multiply_add(int64_t rounds)
{
    vf sum[MR][NV];
    const vf factor = vf_set1(0.999999f), term = vf_set1(1e-6f);
    UNROLLED for (int r = 0; r < MR; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vf_set1((float)(r * NV + v));
    for (int64_t i = 0; i < rounds; i++)
        UNROLLED for (int r = 0; r < MR; r++)
            UNROLLED for (int v = 0; v < NV; v++)
                sum[r][v] = vf_fma(sum[r][v], factor, term);
    vf total = vf_set1(0.0f);
    UNROLLED for (int r = 0; r < MR; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            total = vf_add(total, sum[r][v]);
    return vf_sum(total);
}
