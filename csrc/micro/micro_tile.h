/* A tile: a part of a product, held in registers. Part of micro_body.h. */

enum { LINES = NV * VW > 16 ? NV * VW / 16 : 1 }; /* cache lines of a step of a panel */

/* `rows`, `vectors`, the vectors of the panel that are used, `across`, whether a lies column by column,
   and `lines`, the cache lines that a step prefetches, are constants wherever this is inlined, so `sum`
   lives in registers. If there is an `other` panel, sign times that is added to b, and the result kept
   in `sums`. */
INLINE void tile_of(const int rows, const int vectors, const int across, const int lines,
                    const struct erniem_tile_f32 *t, const float *other, float sign, float *sums)
{
    /* Copies, which the stores below cannot change: the compiler keeps them in registers. */
    const float *a = t->a, *b = t->b, *next = t->next, *const bias = t->bias;
    const int64_t kc = t->kc, lda = t->lda, pace = t->pace, ldc = t->ldc;
    const int cols = t->columns, add = t->add;
    float *const c = t->c;
    vf sum[MR][NV];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < vectors; v++)
            sum[r][v] = vf_set1(0.0f);
    for (int r = 0; r < rows; r++) /* prefetch what will be written */
        for (int line = 0; line < cols; line += 16)
            vf_prefetch_to_write(c + r * ldc + line);

    TWICE for (int64_t k = 0; k < kc; k++) {
        vf panel[NV];
        UNROLLED for (int v = 0; v < vectors; v++)
            panel[v] = vf_load(b + v * VW);
        UNROLLED for (int v = 0; v < vectors && other; v++) {
            panel[v] = vf_fma(vf_set1(sign), vf_load(other + v * VW), panel[v]);
            vf_store(sums + v * VW, panel[v]);
        }
        UNROLLED for (int line = 0; line < lines; line++)
            vf_prefetch(next + 16 * line);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf left = vf_set1(across ? a[k * lda + r] : a[r * lda + k]);
            UNROLLED for (int v = 0; v < vectors; v++)
                sum[r][v] = vf_fma(left, panel[v], sum[r][v]);
        }
        b += NV * VW;
        next += pace;
        if (other) {
            other += NV * VW;
            sums += NV * VW;
        }
    }

    UNROLLED for (int v = 0; v < vectors; v++) {
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

INLINE void tile_of_vectors(const int vectors, const int across, const int lines,
                            const struct erniem_tile_f32 *t)
{
    switch (t->rows) {
#define ROWS(n)                                               \
    case n:                                                   \
        tile_of(n, vectors, across, lines, t, NULL, 0, NULL); \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}

/* The last panel of a product may have few columns: then fewer vectors are enough. */
INLINE void tile_of_rows(const int across, const struct erniem_tile_f32 *t)
{
    if (NV > 2 && t->columns <= (NV - 2) * VW)
        tile_of_vectors(NV - 2, across, 1, t);
    else if (t->columns <= (NV - 1) * VW)
        tile_of_vectors(NV - 1, across, 1, t);
    else
        tile_of_vectors(NV, across, 1, t);
}

/* Where `next` moves on by more than a line in a step, all lines of the step are wanted. A panel of few
   columns gets the first of them alone: more copies of the loop take long to compile. */
static void tile(const struct erniem_tile_f32 *t)
{
    if (LINES > 1 && t->pace > 16 && t->columns > (NV - 1) * VW)
        tile_of_vectors(NV, 0, LINES, t);
    else
        tile_of_rows(0, t);
}

static void tile_across(const struct erniem_tile_f32 *t) { tile_of_rows(1, t); }

/* `whole` is a copy with constant columns, so that no column is tested. */
static void tile_of_sums(const struct erniem_tile_f32 *t, const float *other, float sign,
                         float *sums)
{
    struct erniem_tile_f32 whole = *t;
    whole.columns = NV * VW;
    whole.add = 0;
    whole.bias = NULL;
    whole.ldc = NV * VW;
    switch (t->rows) {
#define ROWS(n)                                          \
    case n:                                              \
        tile_of(n, NV, 0, 1, &whole, other, sign, sums); \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}
