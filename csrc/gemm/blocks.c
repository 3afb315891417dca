/* Products whose threads prepare rows of their own: how many rows a task takes, and the prefetch of results. */

#include "../runtime/platform.h"

#include "gemm.h"

int64_t erniem_even_rows(int64_t m, int64_t most, int64_t whole)
{
    const int64_t fewest = erniem_ceil_div(m, most), threads = erniem_get_threads();
    int64_t least = INT64_MAX, best = 0;
    for (int64_t n = fewest; n <= erniem_max(2 * fewest, threads); n++) {
        const int64_t rows = erniem_ceil_div(erniem_ceil_div(m, n), whole) * whole;
        const int64_t of_a_thread = erniem_ceil_div(erniem_ceil_div(m, rows), threads) * rows;
        if (of_a_thread < least) {
            least = of_a_thread;
            best = rows;
        }
    }
    return best;
}

void erniem_prefetch_results(const struct erniem_narrow *kernel, int columns,
                             const struct erniem_results *results)
{
    if (kernel->stream)
        return;
    for (int64_t r = 0; r < results->rows; r++)
        for (int line = 0; line < columns; line += 16)
            ERNIEM_PREFETCH_TO_WRITE(results->to + r * results->stride + 4 * line);
}
