/* The innermost loop of tiles by AMX where one instruction multiplies a step: int8, bfloat16. */

enum { STEPS = 8, UNCUT = 12 }; /* for micro_amx_tile.h */

INLINE void multiply(const struct block *b, const int pair)
{
    const unsigned char *x = b->x, *below = x + HALF * b->stride, *panel = b->panel;
    load_sums(b, pair);
    for (int64_t step = 0; step < b->steps; step++) {
        serve_others(b, step);
        _tile_stream_loadd(4, x, b->stride); /* past the first-level cache, which keeps the panel */
        _tile_loadd(6, panel, UNIT_ROW);
        MULTIPLY(0, 4, 6);
        _tile_loadd(7, panel + 64, UNIT_ROW);
        MULTIPLY(1, 4, 7);
        if (pair) {
            _tile_stream_loadd(5, below, b->stride);
            MULTIPLY(2, 5, 6);
            MULTIPLY(3, 5, 7);
        }
        x += ERNIEM_STEP;
        below += ERNIEM_STEP;
        panel += ERNIEM_PANEL_STEP;
    }
    store_sums(b, pair);
}
