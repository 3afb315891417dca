/* Rung 7: OpenMP. One line lets several threads share the loop over the panels. No two threads write
   to the same number, so nothing has to be locked. schedule(dynamic): a thread that is done takes the
   next panel, so a slow core gets fewer of them. */

#include "vectors.h"

enum { MOST = 64 };
static int wanted = 1;

/* Threads from now on; -1 unless 1 <= n <= 64. */
int set_threads(int n)
{
    if (n < 1 || n > MOST)
        return -1;
    wanted = n;
    return 0;
}

int product(int64_t m, int64_t n, int64_t k, const float *x, const float *w, const float *bias,
            float *y)
{
    const int64_t all = (n + WIDE - 1) / WIDE;
#if defined(_OPENMP) /* a compiler without OpenMP leaves the loop to one thread */
#pragma omp parallel for schedule(dynamic) num_threads(wanted)
#endif
    for (int64_t panel = 0; panel < all; panel++)
        panels(panel, panel + 1, m, n, k, x, w, bias, y);
    return 0;
}
