/* A tile of int8. Part of a kernel in int8_*.c, which defines:

   vi                              a vector of VW sums; vi_zero, vi_store
   INPUT, input_of(p)              a unit of a row, repeated for each column
   WEIGHT, weight_of(p)            a unit of VW columns
   add_products(&sum, x, w)        add the products of the two, four for each column
   TILE_ROWS by NV, MICRO_ROWS     the rows and vectors of columns whose sums fit the registers */

#if !defined(INPUT_UNIT)
#define INPUT_UNIT ERNIEM_UNIT /* bytes of a unit of a row */
#endif

/* Three rows share a pointer that the compiler cannot take apart: with one register for each row it
   runs out of them. */
#if defined(__GNUC__)
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#else
#define OPAQUE(pointer) ((void)0)
#endif

INLINE void tile_of(const int rows, const struct erniem_tile_narrow *t, const int column)
{
    const int64_t stride = t->stride, pace = column == 0 ? t->pace : 0;
    const unsigned char *w = t->panel + column * ERNIEM_UNIT, *next = t->next, *x[(TILE_ROWS + 2) / 3];
    int32_t *const out = (int32_t *)t->sums + column;
    vi sum[TILE_ROWS][NV];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vi_zero();
    UNROLLED for (int r = 0; r < rows; r += 3) {
        x[r / 3] = t->x + r * stride;
        OPAQUE(x[r / 3]);
    }

    for (int64_t step = 0; step < t->steps; step++) {
        for (int quarter = 0; quarter < 4; quarter++) {
            for (int64_t line = quarter; line < pace; line += 4)
                vf_prefetch(next + line * ERNIEM_STEP);
            UNROLLED for (int unit = 0; unit < 4; unit++) {
                WEIGHT weight[NV];
                UNROLLED for (int v = 0; v < NV; v++)
                    weight[v] = weight_of(w + (unit * ERNIEM_COLUMNS + v * VW) * ERNIEM_UNIT);
                UNROLLED for (int r = 0; r < rows; r++) {
                    const INPUT input = input_of(x[r / 3] + r % 3 * stride + unit * INPUT_UNIT);
                    UNROLLED for (int v = 0; v < NV; v++)
                        add_products(&sum[r][v], input, weight[v]);
                }
            }
            w += 4 * ERNIEM_COLUMNS * ERNIEM_UNIT;
            UNROLLED for (int r = 0; r < rows; r += 3)
                x[r / 3] += 4 * INPUT_UNIT;
        }
        next += pace * ERNIEM_STEP;
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            vi_store(out + r * ERNIEM_COLUMNS + v * VW, sum[r][v]);
}

static void tile(const struct erniem_tile_narrow *t)
{
    switch (t->rows) {
#define ROWS(n)                                                      \
    case n:                                                          \
        for (int c = 0; c < ERNIEM_COLUMNS; c += NV * VW)            \
            tile_of(n, t, c);                                        \
        break;
        MICRO_ROWS(ROWS)
#undef ROWS
    }
}

/* The products of a tile, again and again, with weights that stay in registers. The inputs change, so
   that compilers do not compute a product once and add it often. */
static int64_t peak(int64_t rounds, float *kept)
{
    unsigned char numbers[32 * INPUT_UNIT + NV * VW * ERNIEM_UNIT];
    int32_t sums[VW];
    vi sum[TILE_ROWS][NV];
    WEIGHT weight[NV];
    for (int i = 0; i < (int)sizeof numbers; i++)
        numbers[i] = (unsigned char)(i * rounds);
    UNROLLED for (int v = 0; v < NV; v++)
        weight[v] = weight_of(numbers + 32 * INPUT_UNIT + v * VW * ERNIEM_UNIT);
    UNROLLED for (int r = 0; r < TILE_ROWS; r++)
        UNROLLED for (int v = 0; v < NV; v++)
            sum[r][v] = vi_zero();
    for (int64_t round = 0; round < rounds; round++) {
        const unsigned char *x = numbers + round % 16 * INPUT_UNIT;
        UNROLLED for (int r = 0; r < TILE_ROWS; r++) {
            const INPUT input = input_of(x + r * INPUT_UNIT);
            UNROLLED for (int v = 0; v < NV; v++)
                add_products(&sum[r][v], input, weight[v]);
        }
    }
    UNROLLED for (int r = 0; r < TILE_ROWS; r++)
        UNROLLED for (int v = 0; v < NV; v++) {
            vi_store(sums, sum[r][v]);
            *kept += (float)sums[0];
        }
    return (int64_t)2 * ERNIEM_UNIT * TILE_ROWS * NV * VW;
}
