/* Attention in bfloat16: the panels, and the exponentials of a softmax. For a kernel of bfloat16, which
   includes a micro_*.h before, and defines

   narrow                           as in micro/narrow.h
   NUMBER_BYTES                     of a number in a row that it writes, 2 or 4
   round_step(n, x, to)             write n <= 32 numbers of x, rounded, and zeros up to 32
   round_two(to, a, b)              write two vectors, rounded, to a row
   lay_two(to, even, odd, sums)     write the units of two vectors, rounded; return sums + their sums */

#include "micro_exp.h"

enum { STEP_NUMBERS = ERNIEM_STEP / 2, STEP_UNITS = ERNIEM_STEP / ERNIEM_UNIT };
enum { ROW_UNITS = STEP_NUMBERS * NUMBER_BYTES / ERNIEM_UNIT }; /* of a step of a row */

static int64_t place_of(const int64_t *rows, int64_t l) { return rows ? rows[l] : l; }

/* to[u][c] = from[c][u]: the units of a step, by columns. */
static void turn(const uint32_t from[ERNIEM_COLUMNS][STEP_UNITS], uint32_t *to)
{
#if defined(HAS_QUADS) /* moved as if they were floats, four rows by four units at a time */
    const float *row[ERNIEM_COLUMNS];
    for (int c = 0; c < ERNIEM_COLUMNS; c++)
        row[c] = (const float *)(const void *)from[c];
    for (int u = 0; u < STEP_UNITS; u += 4)
        UNROLLED for (int c = 0; c < ERNIEM_COLUMNS; c += VW) {
            vf x[4];
            UNROLLED for (int i = 0; i < 4; i++)
                x[i] = vf_load_quads(row + c + i, u);
            vf_transpose_quads(x);
            UNROLLED for (int i = 0; i < 4; i++)
                vf_store((float *)(void *)to + (u + i) * ERNIEM_COLUMNS + c, x[i]);
        }
#else
    for (int u = 0; u < STEP_UNITS; u++)
        for (int c = 0; c < ERNIEM_COLUMNS; c++)
            to[u * ERNIEM_COLUMNS + c] = from[c][u];
#endif
}

static void pack_rows(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                      unsigned char *to)
{
    uint32_t units[ERNIEM_COLUMNS][STEP_UNITS];
    memset(units + n, 0, sizeof units - (size_t)n * sizeof *units);
    for (int64_t l = 0; l < k; l += STEP_NUMBERS, to += ERNIEM_PANEL_STEP) {
        const int64_t rest = k - l < STEP_NUMBERS ? k - l : STEP_NUMBERS;
        for (int64_t c = 0; c < n; c++)
            round_step(rest, w + place_of(rows, c) * stride + l, units[c]);
        turn(units, (uint32_t *)(void *)to);
    }
}

static void lay_units(const float *even, const float *odd, uint32_t *to)
{
    for (int c = 0; c < ERNIEM_COLUMNS; c += VW)
        lay_two(to + c, vf_load(even + c), vf_load(odd + c), vf_set1(0.0f));
}

static void pack_across(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                        unsigned char *to)
{
    float pair[2][ERNIEM_COLUMNS] = {{0.0f}};
    uint32_t *unit = (uint32_t *)(void *)to;
    const int64_t units = (k + STEP_NUMBERS - 1) / STEP_NUMBERS * STEP_UNITS;
    for (int64_t u = 0; u < units; u++, unit += ERNIEM_COLUMNS) {
        if (2 * u + 1 < k && n == ERNIEM_COLUMNS) {
            lay_units(w + place_of(rows, 2 * u) * stride, w + place_of(rows, 2 * u + 1) * stride, unit);
            continue;
        }
        for (int64_t i = 0; i < 2; i++)
            if (2 * u + i < k)
                memcpy(pair[i], w + place_of(rows, 2 * u + i) * stride, (size_t)n * sizeof(float));
            else
                memset(pair[i], 0, sizeof pair[i]);
        lay_units(pair[0], pair[1], unit);
    }
}

static void add_rows(int64_t n, int64_t k, const float *w, int64_t stride, float *sums)
{
    for (int64_t j = 0; j < n; j += VW) {
        const int part = n - j < VW;
        vf sum = part ? vf_load_part(sums + j, n - j) : vf_load(sums + j);
        for (int64_t l = 0; l < k; l++)
            sum = vf_add(sum, part ? vf_load_part(w + l * stride + j, n - j) : vf_load(w + l * stride + j));
        if (part)
            vf_store_part(sums + j, sum, n - j);
        else
            vf_store(sums + j, sum);
    }
}

static void narrow_across(int64_t n, int64_t k, const float *w, int64_t stride, float *sums,
                          unsigned char *to, int64_t to_stride)
{
    float lines[ROW_UNITS][ERNIEM_COLUMNS]; /* units by column, moved as if they were floats */
#if NUMBER_BYTES == 2
    pack_across(n, k, w, stride, NULL, (unsigned char *)lines);
#else
    memset(lines, 0, sizeof lines);
    for (int64_t l = 0; l < k; l++)
        narrow(n, w + l * stride, (unsigned char *)lines[l], NULL);
#endif
    add_rows(n, k, w, stride, sums);
#if defined(HAS_QUADS)
    const float *row[ROW_UNITS];
    for (int u = 0; u < ROW_UNITS; u++)
        row[u] = lines[u];
    for (int64_t c = 0; c < n; c += 4, to += 4 * to_stride)
        UNROLLED for (int u = 0; u < ROW_UNITS; u += VW) {
            vf x[4];
            UNROLLED for (int i = 0; i < 4; i++)
                x[i] = vf_load_quads(row + u + i, c);
            vf_transpose_quads(x);
            UNROLLED for (int i = 0; i < 4; i++)
                if (c + i < n)
                    vf_store((float *)(void *)(to + i * to_stride) + u, x[i]);
        }
#else
    for (int64_t c = 0; c < n; c++, to += to_stride)
        for (int u = 0; u < ROW_UNITS; u++)
            memcpy(to + u * ERNIEM_UNIT, &lines[u][c], ERNIEM_UNIT);
#endif
}

static void lay_across(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                       unsigned char *to, int64_t to_stride)
{
    static const float zeros[ERNIEM_KC];
    for (int64_t first = 0; first < n; first += STEP_NUMBERS, to += STEP_NUMBERS * NUMBER_BYTES) {
        const float *row[STEP_NUMBERS];
        for (int64_t j = 0; j < STEP_NUMBERS; j++)
            row[j] = first + j < n ? w + place_of(rows, first + j) * stride : zeros;
        int64_t whole = 0; /* columns of w that are moved four at a time */
#if defined(HAS_QUADS)
        whole = k - k % 4;
        for (int64_t l = 0; l < whole; l += 4)
            for (int j = 0; j < STEP_NUMBERS; j += 2 * VW) {
                vf x[4], y[4];
                UNROLLED for (int i = 0; i < 4; i++) {
                    x[i] = vf_load_quads(row + j + i, l);
                    y[i] = vf_load_quads(row + j + VW + i, l);
                }
                vf_transpose_quads(x);
                vf_transpose_quads(y);
                UNROLLED for (int i = 0; i < 4; i++)
                    round_two(to + (l + i) * to_stride + j * NUMBER_BYTES, x[i], y[i]);
            }
#endif
        for (int64_t l = whole; l < k; l++) {
            float column[STEP_NUMBERS];
            for (int j = 0; j < STEP_NUMBERS; j++)
                column[j] = row[j][l];
            for (int j = 0; j < STEP_NUMBERS; j += 2 * VW)
                round_two(to + l * to_stride + j * NUMBER_BYTES, vf_load(column + j),
                          vf_load(column + j + VW));
        }
    }
}

/* One vector of columns; x and `to` begin at its first column. */
INLINE void exponentials_of_vector(int64_t n, const float *highest, const float *x, uint32_t *to,
                                   float *sums)
{
    enum { AT_ONCE = 2 }; /* units */
    const vf shift = vf_load(highest), zero = vf_set1(0.0f);
    const int64_t steps = (n + STEP_NUMBERS - 1) / STEP_NUMBERS;
    vf sum[AT_ONCE] = {zero, zero};
    int64_t j = 0;
    for (; j + 2 * AT_ONCE <= n; j += 2 * AT_ONCE)
        UNROLLED for (int i = 0; i < AT_ONCE; i++, x += 2 * ERNIEM_COLUMNS, to += ERNIEM_COLUMNS) {
            const vf even = vf_exp_below_89(vf_sub(vf_load(x), shift));
            const vf odd = vf_exp_below_89(vf_sub(vf_load(x + ERNIEM_COLUMNS), shift));
            sum[i] = lay_two(to, even, odd, sum[i]);
        }
    for (; j < steps * STEP_NUMBERS; j += 2, x += 2 * ERNIEM_COLUMNS, to += ERNIEM_COLUMNS) {
        vf even = zero, odd = zero;
        if (j < n)
            even = vf_exp_below_89(vf_sub(vf_load(x), shift));
        if (j + 1 < n)
            odd = vf_exp_below_89(vf_sub(vf_load(x + ERNIEM_COLUMNS), shift));
        sum[0] = lay_two(to, even, odd, sum[0]);
    }
    vf_store(sums, vf_add(sum[0], sum[1]));
}

static void exponentials(int64_t n, int columns, const float *highest, const float *x,
                         unsigned char *to, float *sums)
{
    const int64_t steps = (n + STEP_NUMBERS - 1) / STEP_NUMBERS;
    uint32_t *units = (uint32_t *)(void *)to;
    for (int c = 0; c < columns; c += VW)
        exponentials_of_vector(n, highest + c, x + c, units + c, sums + c);
    for (int64_t u = 0; u < steps * STEP_UNITS && columns < ERNIEM_COLUMNS; u++)
        memset(units + u * ERNIEM_COLUMNS + columns, 0,
               (size_t)(ERNIEM_COLUMNS - columns) * sizeof *units);
}

static void scale_across(int64_t columns, int64_t n, const float *sums, const float *factors, float *y,
                         int64_t ldy)
{
#if defined(HAS_QUADS)
    for (int64_t l = 0; l < n; l += VW) {
        const float *row[VW];
        for (int i = 0; i < VW; i++)
            row[i] = sums + (l + i) * ERNIEM_COLUMNS;
        for (int64_t c = 0; c < columns; c += 4) {
            vf x[4];
            UNROLLED for (int i = 0; i < 4; i++)
                x[i] = vf_load_quads(row + i, c);
            vf_transpose_quads(x);
            for (int64_t i = 0; i < 4 && c + i < columns; i++) {
                const vf result = vf_mul(x[i], vf_set1(factors[c + i]));
                if (n - l < VW)
                    vf_store_part(y + (c + i) * ldy + l, result, n - l);
                else
                    vf_store(y + (c + i) * ldy + l, result);
            }
        }
    }
#else
    for (int64_t c = 0; c < columns; c++)
        for (int64_t l = 0; l < n; l++)
            y[c * ldy + l] = sums[l * ERNIEM_COLUMNS + c] * factors[c];
#endif
}

static const struct erniem_narrow_attention attention = {
    pack_rows, pack_across, narrow_across, lay_across, exponentials, scale_across};
