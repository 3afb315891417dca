/* A weight of numbers narrower than float32, packed into panels that all kernels of its number type
   read: panel, then unit of four bytes along k, then column (micro/narrow.h).

      w (n, k), int8                     data
      column 0   k0 k1 k2 k3 k4 ...      panel 0: (k0..k3 of c0) (k0..k3 of c1) .. (k0..k3 of c31),
      column 1   k0 k1 k2 k3 k4 ...               (k4..k7 of c0) ...
      ...                                panel 1: (k0..k3 of c32) ...

   Two numbers of 16 bits make a unit in the same way. Those of float16, which is always widened, lie
   apart: k0 of all 32 columns, then k1 of all.

   Of a weight of float32 that AMX multiplies, each step has three parts (micro/float32_amx.c). Where AMX
   is not asked for, pack.c packs float32.

   What is missing in the last panel and beyond the last k is 0. */

#include <string.h>

#include "gemm.h"

/* Bytes of a number, or of a third of it. */
static int64_t width(int number) { return number == ERNIEM_INT8 ? 1 : 2; }

int64_t erniem_steps(int number, int64_t k)
{
    const int64_t steps = erniem_max(1, erniem_ceil_div(k * width(number), ERNIEM_STEP));
    return number == ERNIEM_FLOAT32 ? ERNIEM_THIRDS * steps : steps;
}

struct packing {
    const struct erniem_packed *to;
    const void *w;        /* rows of k numbers */
    int64_t bytes, steps; /* of a row */
};

/* Column c of a panel: the units of a row of w, 32 units apart. */
static void pack_column(const unsigned char *row, int64_t bytes, unsigned char *to)
{
    const int64_t whole = bytes / ERNIEM_UNIT;
    for (int64_t unit = 0; unit < whole; unit++)
        memcpy(to + unit * ERNIEM_COLUMNS * ERNIEM_UNIT, row + unit * ERNIEM_UNIT, ERNIEM_UNIT);
    memcpy(to + whole * ERNIEM_COLUMNS * ERNIEM_UNIT, row + whole * ERNIEM_UNIT,
           (size_t)(bytes % ERNIEM_UNIT));
}

/* Column c of a panel of float16. */
static void pack_half_column(const unsigned char *row, int64_t bytes, unsigned char *to)
{
    for (int64_t l = 0; l < bytes; l += 2)
        memcpy(to + l * ERNIEM_COLUMNS, row + l, 2);
}

/* Columns first .. first + n - 1, a panel. */
static void pack_panel(const struct packing *p, int64_t first, int64_t n, unsigned char *to)
{
    const unsigned char *row = (const unsigned char *)p->w + first * p->bytes;
    memset(to, 0, (size_t)(p->steps * ERNIEM_PANEL_STEP));
    for (int64_t c = 0; c < n; c++, row += p->bytes)
        if (p->to->number == ERNIEM_FLOAT16)
            pack_half_column(row, p->bytes, to + 2 * c);
        else
            pack_column(row, p->bytes, to + c * ERNIEM_UNIT);
}

static void pack_some(const void *job, struct erniem_tasks *tasks)
{
    const struct packing *p = job;
    const int64_t k = p->to->k;
    for (int64_t panel; (panel = erniem_take(tasks)) >= 0;) {
        unsigned char *to = (unsigned char *)p->to->data + panel * p->steps * ERNIEM_PANEL_STEP;
        const int64_t first = panel * ERNIEM_COLUMNS, n = erniem_min(ERNIEM_COLUMNS, p->to->n - first);
        if (p->to->number == ERNIEM_FLOAT32)
            erniem_narrow(ERNIEM_FLOAT32)->attention->pack(n, k, (const float *)p->w + first * k, k, NULL, to);
        else
            pack_panel(p, first, n, to);
    }
}

int erniem_pack_narrow(int number, int64_t n, int64_t k, const void *w,
                       struct erniem_packed **packed)
{
    *packed = NULL;
    if (!erniem_fits(n, k, 16) || !erniem_fits(n + ERNIEM_COLUMNS, k + ERNIEM_STEP, 16))
        return ERNIEM_BAD_SIZE;
    const int64_t panels = erniem_ceil_div(n, ERNIEM_COLUMNS), steps = erniem_steps(number, k);
    const int64_t bytes = panels * steps * ERNIEM_PANEL_STEP; /* a multiple of a cache line */
    const int64_t columns = panels * ERNIEM_COLUMNS;
    unsigned char *data = erniem_acquire(bytes + 8 * columns + (int64_t)sizeof **packed);
    if (!data)
        return ERNIEM_NO_MEMORY;

    float *scales = (float *)(void *)(data + bytes);
    int32_t *totals = (int32_t *)(void *)(scales + columns);
    struct erniem_packed *to = (struct erniem_packed *)(void *)(totals + columns);
    memset(scales, 0, (size_t)(8 * columns));
    *to = (struct erniem_packed){.number = number, .n = n, .k = k, .panels = panels, .data = data,
                                 .scales = scales, .totals = totals};
    const struct packing job = {to, w, k * width(number), steps};
    const int status = erniem_parallel(panels, pack_some, &job);
    if (status != 0)
        erniem_release(data);
    else
        *packed = to;
    return status;
}

int erniem_pack(int64_t n, int64_t k, const float *w, struct erniem_packed **packed)
{
    return erniem_narrow(ERNIEM_FLOAT32) ? erniem_pack_narrow(ERNIEM_FLOAT32, n, k, w, packed)
                                         : erniem_pack_queries(n, k, w, packed);
}

int erniem_pack_16(int number, int64_t n, int64_t k, const uint16_t *w,
                   struct erniem_packed **packed)
{
    *packed = NULL;
    if (number != ERNIEM_BFLOAT16 && number != ERNIEM_STORED_BFLOAT16 && number != ERNIEM_FLOAT16)
        return ERNIEM_BAD_SIZE;
    return erniem_pack_narrow(number, n, k, w, packed);
}

/* The sum of a row, or INT32_MIN where it has a number below -127. */
static int32_t total_of(int64_t k, const int8_t *row)
{
    int32_t total = 0, lowest = 0;
    for (int64_t l = 0; l < k; l++) {
        total += row[l];
        lowest = row[l] < lowest ? row[l] : lowest;
    }
    return lowest < -127 ? INT32_MIN : total;
}

int erniem_pack_int8(int64_t n, int64_t k, const int8_t *w, const float *scale,
                     struct erniem_packed **packed)
{
    *packed = NULL;
    if (k > ERNIEM_MOST_INT8)
        return ERNIEM_BAD_SIZE;
    const int status = erniem_pack_narrow(ERNIEM_INT8, n, k, w, packed);
    if (status != 0)
        return status;
    for (int64_t j = 0; j < n; j++) {
        (*packed)->scales[j] = scale[j];
        (*packed)->totals[j] = total_of(k, w + j * k);
        if ((*packed)->totals[j] == INT32_MIN) {
            erniem_packed_free(*packed);
            *packed = NULL;
            return ERNIEM_BAD_NUMBER;
        }
    }
    return 0;
}
