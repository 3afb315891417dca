/* Attention: a softmax down the columns of scores, number by number in the lanes of vectors. So no lane
   is ever added to another, and a column has the same bits on every instruction set with fused
   multiply-adds, beside any other columns. Part of micro_body.h. */

enum { LOOP_ROWS = 4 }; /* row j is added to sum j % LOOP_ROWS */

static int scale_rows(int64_t rows, int64_t n, const float *x, int64_t stride, const int64_t *which,
                      const float *factors, int64_t step, float *y, int64_t ldy)
{
    const vf zero = vf_set1(0.0f);
    vf odd = zero; /* 0 times infinity is NaN */
    for (int64_t r = 0; r < rows; r++, factors += step, y += ldy) {
        const float *from = x + (which ? which[r] : r) * stride;
        const vf factor = vf_set1(*factors);
        int64_t j = 0;
        for (; j + VW <= n; j += VW) {
            const vf result = vf_mul(vf_load(from + j), factor);
            vf_store(y + j, result);
            odd = vf_fma(result, zero, odd);
        }
        if (j < n) {
            const vf result = vf_mul(vf_load_part(from + j, n - j), factor);
            vf_store_part(y + j, result, n - j);
            odd = vf_fma(result, zero, odd);
        }
    }
    return vf_sum(odd) == 0.0f;
}

/* `vectors` is constant where this is inlined. */
INLINE void highest_of_vectors(const int vectors, int64_t n, int64_t stride, const float *bias,
                               float *x, float *highest)
{
    vf top[LOOP_ROWS][NV];
    UNROLLED for (int i = 0; i < LOOP_ROWS; i++)
        UNROLLED for (int v = 0; v < vectors; v++)
            top[i][v] = vf_set1(-INFINITY);
    int64_t j = 0;
    for (; j + LOOP_ROWS <= n; j += LOOP_ROWS)
        UNROLLED for (int i = 0; i < LOOP_ROWS; i++)
            UNROLLED for (int v = 0; v < vectors; v++) {
                float *at = x + (j + i) * stride + v * VW;
                vf y = vf_load(at);
                if (bias) {
                    y = vf_add(y, vf_set1(bias[j + i]));
                    vf_store(at, y);
                }
                top[i][v] = vf_max(top[i][v], y);
            }
    for (; j < n; j++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            float *at = x + j * stride + v * VW;
            vf y = vf_load(at);
            if (bias) {
                y = vf_add(y, vf_set1(bias[j]));
                vf_store(at, y);
            }
            top[0][v] = vf_max(top[0][v], y);
        }
    UNROLLED for (int v = 0; v < vectors; v++)
        vf_store(highest + v * VW, vf_max(vf_max(top[0][v], top[1][v]), vf_max(top[2][v], top[3][v])));
}

static void highest_of_columns(int64_t n, int columns, int64_t stride, const float *bias, float *x,
                               float *highest)
{
    int c = 0;
    for (; c + NV * VW <= columns; c += NV * VW)
        highest_of_vectors(NV, n, stride, bias, x + c, highest + c);
    for (; c < columns; c += VW)
        highest_of_vectors(1, n, stride, bias, x + c, highest + c);
}

INLINE void exponentials_of_vector(int64_t n, int64_t stride, const float *highest, float *x,
                                   float *sums)
{
    const vf shift = vf_load(highest);
    vf sum[LOOP_ROWS];
    UNROLLED for (int i = 0; i < LOOP_ROWS; i++)
        sum[i] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LOOP_ROWS <= n; j += LOOP_ROWS)
        UNROLLED for (int i = 0; i < LOOP_ROWS; i++) {
            float *at = x + (j + i) * stride;
            const vf e = vf_exp_below_89(vf_sub(vf_load(at), shift));
            vf_store(at, e);
            sum[i] = vf_add(sum[i], e);
        }
    UNROLLED for (int i = 0; i < LOOP_ROWS - 1; i++)
        if (j + i < n) {
            float *at = x + (j + i) * stride;
            const vf e = vf_exp_below_89(vf_sub(vf_load(at), shift));
            vf_store(at, e);
            sum[i] = vf_add(sum[i], e);
        }
    const vf total = vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3]));
    vf_store(sums, vf_add(vf_load(sums), total));
}

static void exponentials_of_columns(int64_t n, int columns, int64_t stride, const float *highest,
                                    float *x, float *sums)
{
    for (int c = 0; c < columns; c += VW)
        exponentials_of_vector(n, stride, highest + c, x + c, sums + c);
}
