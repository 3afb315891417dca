/* A tile of sums by AMX, block by block. For a kernel in *_amx.c, which before includes micro_amx.h, and
   defines

   STEPS, UNCUT       steps of a block: 16 KB of a panel, and as much of 32 rows, should stay in the
                      first-level cache; and steps that are one block, as writing sums costs more
   multiply(b, pair)  sums += x * panel, over the steps of a block, for 16 rows or a pair of them */

static void tile(const struct erniem_tile_narrow *t)
{
    const int64_t pairs = (t->rows + 2 * HALF - 1) / (2 * HALF); /* of halves */
    const int64_t turns = pairs * t->steps, results = t->results ? t->results->rows : 0;
    struct block b = {.stride = t->stride, .pace = (t->pace + pairs - 1) / pairs, .next = t->next,
                      .results = t->results, .share = results ? (results + turns - 1) / turns : 0};
    const int64_t most = t->steps <= UNCUT ? UNCUT : STEPS;
    for (int64_t step = 0; step < t->steps; step += most) {
        b.first = step == 0;
        b.steps = t->steps - step < most ? t->steps - step : most;
        b.panel = t->panel + step * ERNIEM_PANEL_STEP;
        for (int r = 0; r < t->rows; r += 2 * HALF) {
            b.x = t->x + r * t->stride + step * ERNIEM_STEP;
            b.sums = (unsigned char *)t->sums + r * SUMS_ROW;
            if (t->rows - r > HALF)
                multiply(&b, 1);
            else
                multiply(&b, 0);
            b.next += b.steps * b.pace * ERNIEM_STEP;
        }
    }
}

/* Operations of a round: eight multiplications of 16 x 16 by 64 bytes, each number two of them. */
static int64_t tile_peak(int64_t rounds, float *kept)
{
    (void)kept;
    begin();
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t i = 0; i < rounds; i++) {
        MULTIPLY(0, 4, 6);
        MULTIPLY(1, 4, 7);
        MULTIPLY(2, 5, 6);
        MULTIPLY(3, 5, 7);
    }
    end();
    return 4 * 2 * HALF * HALF * (ERNIEM_STEP / NUMBER_BYTES);
}
