/* Row by row: softmax and layer norm. Part of micro_body.h.

   A row is summed in LANES lanes, number j in lane j % LANES, and then the lanes by halves. These are
   the same additions in the same order on every instruction set, so with fused multiply-adds a row has
   the same bits on each of them. */

enum { LANES = 16, VECTORS = LANES / VW };

/* The first n floats, and 0 for the others; all VW of them where n is larger, none where it is not
   positive. */
INLINE vf load_up_to(const float *p, int64_t n)
{
    return n >= VW ? vf_load(p) : n > 0 ? vf_load_part(p, n) : vf_set1(0.0f);
}

/* The first n floats, or all VW where n is larger. */
INLINE void store_up_to(float *p, vf x, int64_t n)
{
    if (n >= VW)
        vf_store(p, x);
    else
        vf_store_part(p, x, n);
}

/* x with 0 in the lanes from n on. */
INLINE vf first_of(vf x, int64_t n)
{
    float lanes[VW];
    vf_store(lanes, x);
    return load_up_to(lanes, n);
}

INLINE float sum_of_lanes(vf *lanes)
{
    for (int half = VECTORS / 2; half > 0; half /= 2)
        for (int v = 0; v < half; v++)
            lanes[v] = vf_add(lanes[v], lanes[v + half]);
    return vf_sum(lanes[0]);
}

static float highest_of(int64_t n, const float *x)
{
    const int64_t whole = n - n % VW;
    vf top = vf_set1(x[0]);
    for (int64_t j = 0; j < whole; j += VW)
        top = vf_max(top, vf_load(x + j));
    float highest = vf_highest(top);
    for (int64_t j = whole; j < n; j++)
        highest = highest > x[j] ? highest : x[j];
    return highest;
}

static float softmax(int64_t n, float factor, float *x)
{
    const float highest = highest_of(n, x);
    const vf shift = vf_set1(highest);
    vf sums[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++)
        sums[v] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        UNROLLED for (int v = 0; v < VECTORS; v++) {
            const vf e = vf_exp(vf_sub(vf_load(x + j + v * VW), shift));
            vf_store(x + j + v * VW, e);
            sums[v] = vf_add(sums[v], e);
        }
    for (int v = 0; j < n; v++, j += VW) {
        const vf e = vf_exp(vf_sub(load_up_to(x + j, n - j), shift));
        store_up_to(x + j, e, n - j);
        sums[v] = vf_add(sums[v], first_of(e, n - j));
    }

    const vf shares = vf_set1(factor / sum_of_lanes(sums));
    for (j = 0; j + VW <= n; j += VW)
        vf_store(x + j, vf_mul(vf_load(x + j), shares));
    if (j < n)
        vf_store_part(x + j, vf_mul(vf_load_part(x + j, n - j), shares), n - j);
    return highest;
}

/* y = x + (add ? add : 0). Returns its sum. */
static float add_rows(int64_t d, const float *x, const float *add, float *y)
{
    vf sums[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++)
        sums[v] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES)
        UNROLLED for (int v = 0; v < VECTORS; v++) {
            const int64_t i = j + v * VW;
            const vf own = vf_load(x + i), total = add ? vf_add(own, vf_load(add + i)) : own;
            vf_store(y + i, total);
            sums[v] = vf_add(sums[v], total);
        }
    for (int v = 0; j < d; v++, j += VW) {
        const vf own = load_up_to(x + j, d - j);
        const vf total = add ? vf_add(own, load_up_to(add + j, d - j)) : own;
        store_up_to(y + j, total, d - j);
        sums[v] = vf_add(sums[v], total);
    }
    return sum_of_lanes(sums);
}

/* The sum of (y - mean)^2. */
static float sum_of_squares(int64_t d, const float *y, vf means)
{
    vf sums[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++)
        sums[v] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES)
        UNROLLED for (int v = 0; v < VECTORS; v++) {
            const vf away = vf_sub(vf_load(y + j + v * VW), means);
            sums[v] = vf_fma(away, away, sums[v]);
        }
    for (int v = 0; j < d; v++, j += VW) {
        const vf away = first_of(vf_sub(load_up_to(y + j, d - j), means), d - j);
        sums[v] = vf_fma(away, away, sums[v]);
    }
    return sum_of_lanes(sums);
}

static void norm(int64_t d, const float *x, const float *add, const float *weight,
                 const float *bias, float eps, float *y)
{
    const vf means = vf_set1(add_rows(d, x, add, y) / (float)d);
    const vf scale = vf_set1(1.0f / sqrtf(sum_of_squares(d, y, means) / (float)d + eps));
    int64_t j = 0;
    for (; j + VW <= d; j += VW) {
        const vf unit = vf_mul(vf_sub(vf_load(y + j), means), scale);
        vf_store(y + j, vf_fma(unit, vf_load(weight + j), vf_load(bias + j)));
    }
    if (j < d) {
        const vf unit = vf_mul(vf_sub(vf_load_part(y + j, d - j), means), scale);
        const vf w = vf_load_part(weight + j, d - j), b = vf_load_part(bias + j, d - j);
        vf_store_part(y + j, vf_fma(unit, w, b), d - j);
    }
}
