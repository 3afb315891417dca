/* How many rows a task takes, where each thread prepares rows of its own. */

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
