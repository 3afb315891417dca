/* A tile: a piece of a product, held in registers. Part of micro_body.h. */

/* `rows` is a constant wherever this is inlined, so `sum` lives in registers. If there is an `other`
   panel, sign times that is added to b, and the result kept in `sums`. */
INLINE void tile_of(const int rows, int cols, int64_t kc, const float *a, int64_t lda,
                    const float *b, const float *other, float sign, float *sums,
                    const float *next, int64_t pace, int add, const float *bias, float *c,
                    int64_t ldc)
{
    vf sum[MR][NV];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vf_set1(0.0f);
    for (int r = 0; r < rows; r++) /* what will be written, so that it is there when it is */
        for (int line = 0; line < cols; line += 16)
            vf_prefetch_to_write(c + r * ldc + line);

    for (int64_t k = 0; k < kc; k++) {
        vf panel[NV];
        UNROLLED for (int v = 0; v < NV; v++)
            panel[v] = vf_load(b + v * VW);
        UNROLLED for (int v = 0; v < NV && other; v++) {
            panel[v] = vf_fma(vf_set1(sign), vf_load(other + v * VW), panel[v]);
            vf_store(sums + v * VW, panel[v]);
        }
        UNROLLED for (int line = 0; line < NV * VW; line += 16)
            vf_prefetch(next + line);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf left = vf_set1(a[r * lda + k]);
            UNROLLED for (int v = 0; v < NV; v++)
                sum[r][v] = vf_fma(left, panel[v], sum[r][v]);
        }
        b += NV * VW;
        next += pace;
        if (other) {
            other += NV * VW;
            sums += NV * VW;
        }
    }

    UNROLLED for (int v = 0; v < NV; v++) {
        const int n = cols - v * VW < VW ? cols - v * VW : VW;
        if (n <= 0)
            break;
        const vf shift = !bias ? vf_set1(0.0f)
                       : n == VW ? vf_load(bias + v * VW) : vf_load_part(bias + v * VW, n);
        UNROLLED for (int r = 0; r < rows; r++) {
            float *out = c + r * ldc + v * VW;
            vf y = sum[r][v];
            if (add)
                y = vf_add(n == VW ? vf_load(out) : vf_load_part(out, n), y);
            if (bias)
                y = vf_add(y, shift);
            if (n == VW)
                vf_store(out, y);
            else
                vf_store_part(out, y, n);
        }
    }
}

static void tile(int rows, int cols, int64_t kc, const float *a, int64_t lda, const float *b,
                 const float *next, int64_t pace, int add, const float *bias, float *c, int64_t ldc)
{
    switch (rows) {
#define ROWS(n)                                                                               \
    case n:                                                                                   \
        tile_of(n, cols, kc, a, lda, b, NULL, 0, NULL, next, pace, add, bias, c, ldc);        \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}

static void tile_of_sums(int rows, int64_t kc, const float *a, int64_t lda, const float *b,
                         const float *other, float sign, float *sums, const float *next,
                         int64_t pace, float *c)
{
    const int nr = NV * VW;
    switch (rows) {
#define ROWS(n)                                                                               \
    case n:                                                                                   \
        tile_of(n, nr, kc, a, lda, b, other, sign, sums, next, pace, 0, NULL, c, nr);         \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}
