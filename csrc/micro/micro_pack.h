/* Packing: rows become the columns of a panel. Part of micro_body.h. */

static void pack(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows, float *to)
{
    static const float zeros[ERNIEM_KC];
    const float *row[NV * VW];
    for (int64_t j = 0; j < NV * VW; j++)
        row[j] = j < n ? w + (rows ? rows[j] : j) * stride : zeros;

    int64_t whole = 0; /* columns of w that are moved four at a time */
#if defined(HAS_QUADS)
    whole = k - k % 4;
    for (int64_t l = 0; l < whole; l += 4)
        for (int j = 0; j < NV * VW; j += VW) {
            vf x[4];
            UNROLLED for (int i = 0; i < 4; i++)
                x[i] = vf_load_quads(row + j + i, l);
            vf_transpose_quads(x);
            UNROLLED for (int i = 0; i < 4; i++)
                vf_store(to + (l + i) * NV * VW + j, x[i]);
        }
#endif
    for (int64_t l = whole; l < k; l++)
        for (int j = 0; j < NV * VW; j++)
            to[l * NV * VW + j] = row[j][l];
}

static void pack_across(int64_t n, int64_t k, const float *w, int64_t stride, const int64_t *rows,
                        float *to)
{
    for (int64_t l = 0; l < k; l++, to += NV * VW)
        UNROLLED for (int j = 0; j < NV * VW; j += VW) {
            const float *from = w + (rows ? rows[l] : l) * stride + j;
            vf_prefetch(from + 8 * stride);
            vf_store(to + j, n >= j + VW ? vf_load(from)
                             : n > j     ? vf_load_part(from, n - j)
                                         : vf_set1(0.0f));
        }
}
