/* Attention in bfloat16: the panels, and the exponentials of a softmax. For a kernel of bfloat16, which
   includes a micro_*.h before, and defines

   narrow                           as in micro/narrow.h
   NUMBER_BYTES                     of a number in a row that it writes, 2 or 4
   round_step(n, x, to)             write n <= 32 numbers of x, rounded, and zeros up to 32
   lay_units(even, odd, to)         to[c] = the unit of even[c] and odd[c], rounded, for c < 32
   round_two(to, a, b, sums)        write two vectors, rounded, to a row; return sums + their sums */

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

static float exponentials(int64_t n, const float *x, unsigned char *to, float *sum)
{
    enum { TWO = 2 * VW };
    const int64_t whole = n - n % TWO, rest = n - whole;
    const int64_t size = (n + STEP_NUMBERS - 1) / STEP_NUMBERS * STEP_NUMBERS * NUMBER_BYTES;
    vf top[2] = {vf_set1(x[0]), vf_set1(x[0])};
    for (int64_t j = 0; j < whole; j += TWO) {
        top[0] = vf_max(top[0], vf_load(x + j));
        top[1] = vf_max(top[1], vf_load(x + j + VW));
    }
    float highest = vf_highest(vf_max(top[0], top[1]));
    for (int64_t j = whole; j < n; j++)
        highest = highest > x[j] ? highest : x[j];

    const vf shift = vf_set1(highest);
    vf sums = vf_set1(0.0f);
    for (int64_t j = 0; j < whole; j += TWO, to += TWO * NUMBER_BYTES)
        sums = round_two(to, vf_exp(vf_sub(vf_load(x + j), shift)),
                         vf_exp(vf_sub(vf_load(x + j + VW), shift)), sums);
    if (rest) {
        float last[TWO] = {0.0f};
        memcpy(last, x + whole, (size_t)rest * sizeof(float));
        vf_store(last, vf_exp(vf_sub(vf_load(last), shift)));
        vf_store(last + VW, vf_exp(vf_sub(vf_load(last + VW), shift)));
        memset(last + rest, 0, (size_t)(TWO - rest) * sizeof(float));
        sums = round_two(to, vf_load(last), vf_load(last + VW), sums);
        to += TWO * NUMBER_BYTES;
    }
    const int64_t written = (whole + (rest ? TWO : 0)) * NUMBER_BYTES;
    memset(to, 0, (size_t)(size - written));
    *sum = vf_sum(sums);
    return highest;
}

static void scale(int rows, int columns, const float *sums, const float *factors, float *y,
                  int64_t ldy)
{
    for (int r = 0; r < rows; r++, sums += ERNIEM_COLUMNS, y += ldy) {
        const vf factor = vf_set1(factors[r]);
        for (int j = 0; j < columns; j += VW) {
            const vf result = vf_mul(vf_load(sums + j), factor);
            if (columns - j < VW)
                vf_store_part(y + j, result, columns - j);
            else
                vf_store(y + j, result);
        }
    }
}

static const struct erniem_narrow_attention attention = {pack_rows, pack_across, narrow_across,
                                                         exponentials, scale};
