/* The innermost loops, written once in the vocabulary of a micro_*.h and compiled by isa_*.c for
   each instruction set. vf is a vector of VW floats; a tile is MR rows by NV vectors. */

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "micro.h"

#include "micro_loops.h"
#include "micro_pack.h"
#include "micro_tile.h"
#include "micro_activations.h"
#include "micro_rows.h"
#include "micro_columns.h"
#include "micro_strassen.h"
#include "micro_training.h"
#include "micro_dropout.h"

static float peak(int64_t rounds)
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

const struct erniem_micro MICRO(erniem_micro) = {
    MICRO_NAME,
    {MR, NV * VW, VW, pack, pack_across, tile, tile_across, peak},
    {activate, softmax, norm},
    {scale_rows, highest_of_columns, exponentials_of_columns},
    {tile_of_sums, split, combine},
    {lay_across, sum_across, drop, activation_backward, norm_backward,
     cross_entropy, adamw},
};
