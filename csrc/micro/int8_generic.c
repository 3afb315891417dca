/* Eight bits in plain C, for any processor: rows of 0..255 times weights of -127..127. */

#include "micro_generic.h"
#include "micro_loops.h"
#include "micro_int8.h"

static void tile(const struct erniem_tile_narrow *t)
{
    for (int r = 0; r < t->rows; r++) {
        int32_t sums[ERNIEM_COLUMNS] = {0};
        const unsigned char *x = t->x + r * t->stride;
        const signed char *w = (const signed char *)t->panel;
        for (int64_t unit = 0; unit < t->steps * (ERNIEM_STEP / ERNIEM_UNIT); unit++) {
            for (int c = 0; c < ERNIEM_COLUMNS; c++, w += ERNIEM_UNIT)
                sums[c] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
            x += ERNIEM_UNIT;
        }
        memcpy((int32_t *)t->sums + r * ERNIEM_COLUMNS, sums, sizeof sums);
    }
}

static int64_t peak(int64_t rounds, float *kept)
{
    uint32_t sums[16];
    for (int i = 0; i < 16; i++)
        sums[i] = (uint32_t)i;
    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < 16; i++)
            sums[i] = sums[i] * 127u + 3u;
    for (int i = 0; i < 16; i++)
        *kept += (float)sums[i];
    return 2 * 16;
}

const struct erniem_narrow erniem_int8_generic = {
    .name = "generic", .mr = 4, .narrow = narrow,
    .tile = tile, .finish = finish, .peak = peak};
