/* The results of float sums: sums + bias. For the kernels of 16-bit numbers. */

static void finish(int rows, int columns, const void *sums, const struct erniem_row *row,
                   const float *scales, const int32_t *totals, const float *bias, float *y,
                   int64_t ldy)
{
    (void)row, (void)scales, (void)totals;
    for (int j = 0; j < columns; j += VW) {
        const int n = columns - j;
        const vf shift = !bias ? vf_set1(0.0f)
                       : n < VW ? vf_load_part(bias + j, n) : vf_load(bias + j);
        for (int r = 0; r < rows; r++) {
            const vf sum = vf_load((const float *)sums + r * ERNIEM_COLUMNS + j);
            const vf result = bias ? vf_add(sum, shift) : sum;
            if (n < VW)
                vf_store_part(y + r * ldy + j, result, n);
            else
                vf_store(y + r * ldy + j, result);
        }
    }
}
