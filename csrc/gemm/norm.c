/* The layer norm that follows a product. The rows of a block are normed by the thread that finishes
   the last of their work items, while they are in a cache. With fewer blocks than threads, that would
   leave threads without work: then all rows are normed after the product. */

#include "gemm.h"

enum { FEW_ROWS = 32 }; /* Up to so many, waking a second thread takes longer than norming them. */

int erniem_begin_norm(const struct erniem_product *p, int64_t blocks, struct erniem_parts **done)
{
    *done = NULL;
    if (!p->norm || (p->m > FEW_ROWS && blocks < erniem_get_threads()))
        return 0;
    *done = erniem_parts(blocks);
    return *done ? 0 : ERNIEM_NO_MEMORY;
}

void erniem_norm_rows(const struct erniem_norm *norm, int64_t n, int64_t row0, int64_t rows, float *y)
{
    const float *residual = norm->residual ? norm->residual + row0 * n : NULL;
    y += row0 * n;
    erniem_norm_here(rows, n, y, residual, norm->weight, norm->bias, norm->eps, y);
}

void erniem_norm_block(const struct erniem_product *p, struct erniem_parts *done, int64_t block,
                       int64_t parts, int64_t row0, int64_t rows)
{
    if (done && erniem_is_last_part(done, block, parts))
        erniem_norm_rows(p->norm, p->n, row0, rows, p->y[0]);
}

int erniem_end_norm(const struct erniem_product *p, struct erniem_parts *done, int status)
{
    erniem_release(done);
    if (status != 0 || !p->norm || done)
        return status;
    const struct erniem_norm *norm = p->norm;
    return erniem_add_norm(p->m, p->n, p->y[0], norm->residual, norm->weight, norm->bias, norm->eps,
                           p->y[0]);
}
