/* Row by row: softmax and layer norm. Part of micro_body.h. */

static float softmax(int64_t n, float factor, float *x)
{
    const int64_t whole = n - n % VW, rest = n - whole;
    vf top = vf_set1(x[0]);
    for (int64_t j = 0; j < whole; j += VW)
        top = vf_max(top, vf_load(x + j));
    float highest = vf_highest(top);
    for (int64_t j = whole; j < n; j++)
        highest = highest > x[j] ? highest : x[j];

    const vf shift = vf_set1(highest);
    vf sums = vf_set1(0.0f);
    for (int64_t j = 0; j < whole; j += VW) {
        const vf e = vf_exp(vf_sub(vf_load(x + j), shift));
        vf_store(x + j, e);
        sums = vf_add(sums, e);
    }
    float sum = vf_sum(sums);
    if (rest) {
        vf_store_part(x + whole, vf_exp(vf_sub(vf_load_part(x + whole, rest), shift)), rest);
        for (int64_t j = whole; j < n; j++)
            sum += x[j];
    }

    const float each = factor / sum;
    const vf shares = vf_set1(each);
    for (int64_t j = 0; j < whole; j += VW)
        vf_store(x + j, vf_mul(vf_load(x + j), shares));
    for (int64_t j = whole; j < n; j++)
        x[j] *= each;
    return highest;
}

static void norm(int64_t d, const float *x, const float *add, const float *weight,
                 const float *bias, float eps, float *y)
{
    const int64_t whole = d - d % VW, rest = d - whole;
    const vf none = vf_set1(0.0f);

    vf sums = none;
    for (int64_t j = 0; j < whole; j += VW) {
        const vf v = vf_load(x + j);
        const vf total = add ? vf_add(v, vf_load(add + j)) : v;
        vf_store(y + j, total);
        sums = vf_add(sums, total);
    }
    float sum = vf_sum(sums);
    for (int64_t j = whole; j < d; j++) {
        y[j] = add ? x[j] + add[j] : x[j];
        sum += y[j];
    }
    const float mean = sum / (float)d;
    const vf means = vf_set1(mean);

    sums = none;
    for (int64_t j = 0; j < whole; j += VW) {
        const vf away = vf_sub(vf_load(y + j), means);
        sums = vf_fma(away, away, sums);
    }
    float squares = vf_sum(sums);
    for (int64_t j = whole; j < d; j++)
        squares += (y[j] - mean) * (y[j] - mean);
    const vf scale = vf_set1(1.0f / sqrtf(squares / (float)d + eps));

    for (int64_t j = 0; j < whole; j += VW) {
        const vf unit = vf_mul(vf_sub(vf_load(y + j), means), scale);
        vf_store(y + j, vf_fma(unit, vf_load(weight + j), vf_load(bias + j)));
    }
    if (rest) {
        const vf unit = vf_mul(vf_sub(vf_load_part(y + whole, rest), means), scale);
        const vf w = vf_load_part(weight + whole, rest), b = vf_load_part(bias + whole, rest);
        vf_store_part(y + whole, vf_fma(unit, w, b), rest);
    }
}
