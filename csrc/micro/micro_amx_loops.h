/* The innermost loops of micro_amx.h where one instruction multiplies a step: int8, bfloat16. */

static void multiply_16_rows(const struct block *b)
{
    const unsigned char *x = b->x, *panel = b->panel;
    load_sums(b);
    for (int64_t step = 0; step < b->steps; step++) {
        prefetch_some(b, step);
        _tile_stream_loadd(4, x, b->stride);
        _tile_loadd(6, panel, UNIT_ROW);
        MULTIPLY(0, 4, 6);
        _tile_loadd(7, panel + 64, UNIT_ROW);
        MULTIPLY(1, 4, 7);
        x += ERNIEM_STEP;
        panel += ERNIEM_PANEL_STEP;
    }
    store_sums(b);
}

static void multiply_32_rows(const struct block *b)
{
    const unsigned char *x = b->x, *panel = b->panel, *below = x + HALF * b->stride;
    load_sums(b);
    load_sums_below(b);
    for (int64_t step = 0; step < b->steps; step++) {
        prefetch_some(b, step);
        _tile_stream_loadd(4, x, b->stride);
        _tile_loadd(6, panel, UNIT_ROW);
        MULTIPLY(0, 4, 6);
        _tile_loadd(7, panel + 64, UNIT_ROW);
        MULTIPLY(1, 4, 7);
        _tile_stream_loadd(5, below, b->stride);
        MULTIPLY(2, 5, 6);
        MULTIPLY(3, 5, 7);
        x += ERNIEM_STEP;
        below += ERNIEM_STEP;
        panel += ERNIEM_PANEL_STEP;
    }
    store_sums(b);
    store_sums_below(b);
}
