/* The additions around Strassen's products; see strassen.c. Part of micro_body.h. */

static int split(int64_t n, const float *row1, const float *row2, int64_t ahead, float *to,
                 int64_t apart)
{
    vf size[2] = {vf_set1(0.0f), vf_set1(0.0f)};
    for (int64_t j = 0; j < n; j += VW) {
        const float *from[4] = {row1 + j, row1 + n + j, row2 + j, row2 + n + j};
        const int64_t rest = n - j;
        vf x[4];
        UNROLLED for (int i = 0; i < 4; i++) {
            x[i] = rest < VW ? vf_load_part(from[i], rest) : vf_load(from[i]);
            size[i / 2] = vf_add(size[i / 2], vf_abs(x[i]));
            vf_prefetch(from[i] + ahead);
        }
        const vf factors[7] = {vf_add(x[0], x[3]), vf_add(x[2], x[3]), vf_add(x[0], x[1]),
                               vf_sub(x[2], x[0]), vf_sub(x[1], x[3]), x[0], x[3]};
        UNROLLED for (int i = 0; i < 7; i++)
            if (rest < VW)
                vf_store_part(to + i * apart + j, factors[i], rest);
            else
                vf_store(to + i * apart + j, factors[i]);
    }
    return erniem_comparable(vf_sum(size[0]), vf_sum(size[1]));
}

static void combine(int rows, const float *p, int add, const float *bias, float *c, int64_t ldc)
{
    for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++) {
            vf q[7];
            UNROLLED for (int i = 0; i < 7; i++)
                q[i] = vf_load(p + ((i * MR + r) * NV + v) * VW);
            const vf y[4] = {vf_add(vf_sub(vf_add(q[0], q[3]), q[4]), q[6]), vf_add(q[2], q[4]),
                             vf_add(q[1], q[3]), vf_add(vf_add(vf_sub(q[0], q[1]), q[2]), q[5])};
            UNROLLED for (int i = 0; i < 4; i++) {
                const int j = (i % 2 * NV + v) * VW;
                float *out = c + (2 * r + i / 2) * ldc + j;
                vf sum = y[i];
                if (add)
                    sum = vf_add(vf_load(out), sum);
                if (bias)
                    sum = vf_add(sum, vf_load(bias + j));
                vf_store(out, sum);
                vf_prefetch(out + 2 * rows * ldc); /* what the next tile will write */
            }
        }
}
