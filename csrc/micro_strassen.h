/* The additions around Strassen's products; see strassen.c. Part of micro_body.h. */

static void spread(int64_t n, const float *x11, const float *x12, const float *x21,
                   const float *x22, int64_t ahead, int count, float *to, int64_t apart,
                   float *sizes)
{
    vf size[4];
    UNROLLED for (int i = 0; i < 4; i++)
        size[i] = vf_set1(0.0f);
    for (int64_t j = 0; j < n; j += VW) {
        const float *from[4] = {x11 + j, x12 + j, x21 + j, x22 + j};
        const int64_t rest = n - j;
        vf x[4];
        UNROLLED for (int i = 0; i < 4; i++) {
            x[i] = rest < VW ? vf_load_part(from[i], rest) : vf_load(from[i]);
            size[i] = vf_add(size[i], vf_abs(x[i]));
            vf_prefetch(from[i] + ahead);
        }
        const vf factors[7] = {vf_add(x[0], x[3]), vf_add(x[2], x[3]), vf_add(x[0], x[1]),
                               vf_sub(x[2], x[0]), vf_sub(x[1], x[3]), x[0], x[3]};
        UNROLLED for (int i = 0; i < 7; i++)
            if (i < count && rest < VW)
                vf_store_part(to + i * apart + j, factors[i], rest);
            else if (i < count)
                vf_store(to + i * apart + j, factors[i]);
    }
    UNROLLED for (int i = 0; i < 4; i++)
        sizes[i] = vf_sum(size[i]);
}

static void gather(int rows, int cols, const float *p, int add, const float *bias, float *c,
                   int64_t ldc)
{
    for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < NV; v++) {
            vf product[7];
            UNROLLED for (int i = 0; i < 7; i++)
                product[i] = vf_load(p + ((i * MR + r) * NV + v) * VW);
            const vf *q = product;
            const vf y[4] = {vf_add(vf_sub(vf_add(q[0], q[3]), q[4]), q[6]), vf_add(q[2], q[4]),
                             vf_add(q[1], q[3]), vf_add(vf_add(vf_sub(q[0], q[1]), q[2]), q[5])};
            UNROLLED for (int i = 0; i < 4; i++) {
                const int j = (i % 2 * NV + v) * VW, n = cols - j < VW ? cols - j : VW;
                float *out = c + (2 * r + i / 2) * ldc + j;
                if (n <= 0)
                    continue;
                vf sum = y[i];
                if (add)
                    sum = vf_add(n < VW ? vf_load_part(out, n) : vf_load(out), sum);
                if (bias)
                    sum = vf_add(sum, n < VW ? vf_load_part(bias + j, n) : vf_load(bias + j));
                if (n < VW)
                    vf_store_part(out, sum, n);
                else
                    vf_store(out, sum);
                vf_prefetch(out + 2 * rows * ldc); /* what the next tile will write */
            }
        }
}
