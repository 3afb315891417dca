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

/* Stores as many as load_up_to loads. */
INLINE void store_up_to(float *p, vf x, int64_t n)
{
    if (n >= VW)
        vf_store(p, x);
    else if (n > 0)
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

/* Rows that are normed side by side. A sum of VECTORS vectors waits for its last addition most of the
   time; four of them keep the processor busy. */
enum { GROUP = VECTORS < 4 ? 4 / VECTORS : 1 };

/* y = x + (add ? add : 0) for some rows, at most GROUP, and their sums. */
INLINE void add_rows(const int rows, int64_t d, const float *const *x, const float *const *add,
                     float *const *y, float *totals)
{
    vf sums[GROUP][VECTORS];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < VECTORS; v++)
            sums[r][v] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES)
        UNROLLED for (int r = 0; r < rows; r++)
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                const int64_t i = j + v * VW;
                const vf own = vf_load(x[r] + i);
                const vf total = add ? vf_add(own, vf_load(add[r] + i)) : own;
                vf_store(y[r] + i, total);
                sums[r][v] = vf_add(sums[r][v], total);
            }
    for (int v = 0; j < d; v++, j += VW)
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf own = load_up_to(x[r] + j, d - j);
            const vf total = add ? vf_add(own, load_up_to(add[r] + j, d - j)) : own;
            store_up_to(y[r] + j, total, d - j);
            sums[r][v] = vf_add(sums[r][v], total);
        }
    UNROLLED for (int r = 0; r < rows; r++)
        totals[r] = sum_of_lanes(sums[r]);
}

/* The sums of (y - mean)^2. */
INLINE void sum_squares(const int rows, int64_t d, const float *const *y, const vf *means,
                        float *totals)
{
    vf sums[GROUP][VECTORS];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < VECTORS; v++)
            sums[r][v] = vf_set1(0.0f);
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES)
        UNROLLED for (int r = 0; r < rows; r++)
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                const vf away = vf_sub(vf_load(y[r] + j + v * VW), means[r]);
                sums[r][v] = vf_fma(away, away, sums[r][v]);
            }
    for (int v = 0; j < d; v++, j += VW)
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf away = first_of(vf_sub(load_up_to(y[r] + j, d - j), means[r]), d - j);
            sums[r][v] = vf_fma(away, away, sums[r][v]);
        }
    UNROLLED for (int r = 0; r < rows; r++)
        totals[r] = sum_of_lanes(sums[r]);
}

INLINE void norm_group(const int rows, int64_t d, const float *const *x, const float *const *add,
                       const float *weight, const float *bias, float eps, float *const *y)
{
    float totals[GROUP];
    vf means[GROUP], scales[GROUP];
    add_rows(rows, d, x, add, y, totals);
    UNROLLED for (int r = 0; r < rows; r++)
        means[r] = vf_set1(totals[r] / (float)d);
    sum_squares(rows, d, (const float *const *)y, means, totals);
    UNROLLED for (int r = 0; r < rows; r++)
        scales[r] = vf_set1(1.0f / sqrtf(totals[r] / (float)d + eps));
    int64_t j = 0;
    for (; j + VW <= d; j += VW) {
        const vf w = vf_load(weight + j), b = vf_load(bias + j);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf unit = vf_mul(vf_sub(vf_load(y[r] + j), means[r]), scales[r]);
            vf_store(y[r] + j, vf_fma(unit, w, b));
        }
    }
    if (j < d) {
        const vf w = vf_load_part(weight + j, d - j), b = vf_load_part(bias + j, d - j);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vf unit = vf_mul(vf_sub(vf_load_part(y[r] + j, d - j), means[r]), scales[r]);
            vf_store_part(y[r] + j, vf_fma(unit, w, b), d - j);
        }
    }
}

static void norm(int64_t rows, int64_t d, const float *const *x, const float *const *add,
                 const float *weight, const float *bias, float eps, float *const *y)
{
    int64_t r = 0;
    for (; r + GROUP <= rows; r += GROUP)
        norm_group(GROUP, d, x + r, add ? add + r : NULL, weight, bias, eps, y + r);
    for (; r < rows; r++)
        norm_group(1, d, x + r, add ? add + r : NULL, weight, bias, eps, y + r);
}
