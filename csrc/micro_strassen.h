/* The additions around Strassen's products; see strassen.c. Part of micro_body.h. */

/* 1 in each lane where neither number is 1e15 or more, or 16 times the other or more; else 0. */
INLINE vf vf_comparable(vf a, vf b)
{
    const vf most = vf_set1(1e15f), times = vf_set1(16.0f), no = vf_set1(0.0f);
    vf yes = vf_if_less(a, most, vf_set1(1.0f), no);
    yes = vf_if_less(b, most, yes, no);
    yes = vf_if_less(a, vf_mul(times, b), yes, no);
    return vf_if_less(b, vf_mul(times, a), yes, no);
}

static int spread(int64_t n, const float *x11, const float *x12, const float *x21,
                  const float *x22, int64_t ahead, int count, int by_column, float *to,
                  int64_t apart)
{
    vf size[4][NV];
    UNROLLED for (int i = 0; i < 4; i++)
        UNROLLED for (int v = 0; v < NV; v++)
            size[i][v] = vf_set1(0.0f);
    for (int64_t row = 0; row < n; row += NV * VW)
        UNROLLED for (int v = 0; v < NV; v++) {
            const int64_t j = row + v * VW, rest = n - j;
            const float *from[4] = {x11 + j, x12 + j, x21 + j, x22 + j};
            if (rest <= 0)
                break;
            vf x[4];
            UNROLLED for (int i = 0; i < 4; i++) {
                x[i] = rest < VW ? vf_load_part(from[i], rest) : vf_load(from[i]);
                size[i][v] = vf_add(size[i][v], vf_abs(x[i]));
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

    if (by_column) {
        vf yes = vf_set1(1.0f);
        UNROLLED for (int v = 0; v < NV; v++)
            yes = vf_mul(yes, vf_comparable(vf_add(size[0][v], size[2][v]),
                                            vf_add(size[1][v], size[3][v])));
        return vf_sum(yes) == VW;
    }
    float first = 0.0f, second = 0.0f;
    for (int v = 0; v < NV; v++) {
        first += vf_sum(vf_add(size[0][v], size[1][v]));
        second += vf_sum(vf_add(size[2][v], size[3][v]));
    }
    return vf_sum(vf_comparable(vf_set1(first), vf_set1(second))) == VW;
}

static void gather(int rows, const float *p, int add, const float *bias, float *c, int64_t ldc)
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
