/* y = act(x wT + bias) for many rows, with seven products where the classical product takes eight.

   x is cut into even and odd rows and halves of a k block, w into halves of the block and pairs of
   neighbouring panels. Volker Strassen ("Gaussian elimination is not optimal", 1969) found that

       y11 y12     x11 x12   w11 w12          p0 = (x11 + x22) (w11 + w22)
       y21 y22  =  x21 x22 * w21 w22          p1 = (x21 + x22)  w11
                                              p2 =  x11        (w12 - w22)
       y11 = p0 + p3 - p4 + p6                p3 =        x22  (w21 - w11)
       y12 = p2 + p4                          p4 = (x11 + x12)  w22
       y21 = p1 + p3                          p5 = (x21 - x11) (w11 + w12)
       y22 = p0 - p1 + p2 + p5                p6 = (x12 - x22) (w21 + w22)

   A task has a part of the rows and a pair of panels. A thread computes the left factors of its
   rows, for every k block, and keeps them as long as its tasks have the same rows. Then, for each
   block, each tile of rows takes its seven products and combines them into four results, while they
   are in the first-level cache. The first tile adds up the right factors as it goes and keeps them
   for the other tiles: beside its products that costs nearly nothing.

   Rounding: a number of y has the errors of its own row and column, and of the neighbours it is
   computed with. A large number of x whose own weights are small meets those of another half here;
   then the error is many times that of the classical product. So this is used only if asked for. A
   pair of rows takes the classical product if the two differ much in size or are not finite, and so
   does a pair of panels with such columns. (The rule is by pair and not by tile, because the rows of
   a tile depend on the number of threads, and results must not.) */

#include <string.h>

#include "gemm.h"

enum {
    PRODUCTS = 7,
    ROWS = 512,           /* of a part, times k blocks, at most: its left factors fill 2.9 MB */
    FEWEST_ROWS = 128,    /* of a part whose rows are not all: each reads the whole weight */
    HALF = ERNIEM_KC / 2, /* of a k block */
    APART = HALF + 16,    /* floats from one row of a left factor to the next; see ERNIEM_STRIDE */
    SHIFT = 48            /* between right factors, so that they do not compete for cache sets */
};

/* What each product multiplies. Left: `split` makes 0: 11 + 22, 1: 21 + 22, 2: 11 + 12,
   3: 21 - 11, 4: 12 - 22, 5: 11, 6: 22. Right: a part, + or - another, if sign is not 0. */
enum { W11, W12, W21, W22 };
static const struct {
    int left, part, other;
    float sign;
} FACTORS[PRODUCTS] = {
    {0, W11, W22, 1.0f},  {1, W11, 0, 0.0f}, {5, W12, W22, -1.0f}, {6, W21, W11, -1.0f},
    {2, W22, 0, 0.0f},    {3, W11, W12, 1.0f}, {4, W21, W22, 1.0f},
};

struct strassen {
    struct erniem_product product;
    int64_t blocks;      /* of k */
    int64_t panel_pairs; /* of a weight; the last pair may be a single panel */
    int64_t row_parts;
    int64_t rows;        /* of a part, an even number but for the last */
};

/* A part of the rows and a pair of panels in a k block, and the factors they have in common. */
struct work_item {
    int64_t row_part, row0, rows, row_pairs;
    int64_t tiles, height; /* height: pairs of rows in a tile, at most */
    int64_t weight, panel, block, kc;
    const float *ahead;           /* panels that come next; each tile prefetches its share, */
    int64_t share;                /* so many floats for each k */
    float *left;                  /* factors: [block][tile][factor][pair][k] */
    const float *right[PRODUCTS]; /* factors: panels, */
    const float *other[PRODUCTS]; /* to which these are still to be added */
    float *sums;                  /* the result of that */
    float *products;              /* of a tile */
    unsigned char *classical;     /* [block][pair]: whether it takes the classical product */
};

static int64_t first_row(const struct work_item *t, int64_t tile)
{
    return t->row0 + 2 * tile * t->height;
}

static int64_t tile_pairs(const struct work_item *t, int64_t tile)
{
    return erniem_min(t->height, t->row_pairs - tile * t->height);
}

static float *left_of(const struct work_item *t, int64_t block, int64_t tile)
{
    return t->left + (block * t->tiles + tile) * PRODUCTS * t->height * APART;
}

static int64_t block_size(const struct strassen *p, int64_t block)
{
    return erniem_depth(p->product.k, block);
}

static const float *panel_of(const struct strassen *p, int64_t weight, int64_t block,
                             int64_t panel)
{
    return erniem_panel(p->product.packed[weight], block, panel);
}

static int is_last(const struct strassen *p, const struct work_item *t)
{
    return t->block + 1 == p->blocks;
}

/* What is added to the panels from `panel` on: nothing before the last k block. */
static const float *bias_of(const struct strassen *p, const struct work_item *t, int64_t panel)
{
    const float *bias = is_last(p, t) ? p->product.bias[t->weight] : NULL;
    return bias ? bias + panel * p->product.micro->gemm.nr : NULL;
}

/* The classical product of some rows and one panel, as in linear.c. */
static void multiply_classically(const struct strassen *s, const struct work_item *t,
                                 int64_t panel, int64_t row0, int64_t rows)
{
    const struct erniem_product *p = &s->product;
    const int mr = p->micro->gemm.mr, nr = p->micro->gemm.nr;
    const int columns = (int)erniem_min(nr, p->n - panel * nr);
    const float *b = panel_of(s, t->weight, t->block, panel);
    const float *x = p->x + row0 * p->k + t->block * ERNIEM_KC;
    float *y = p->y[t->weight] + row0 * p->n + panel * nr;
    for (int64_t r = 0; r < rows; r += mr) {
        const struct erniem_tile_f32 tile = {
            .rows = (int)erniem_min(mr, rows - r), .columns = columns, .kc = t->kc,
            .a = x + r * p->k, .lda = p->k, .b = b, .next = b, .add = t->block > 0,
            .bias = bias_of(s, t, panel), .c = y + r * p->n, .ldc = p->n};
        p->micro->gemm.tile(&tile);
    }
    if (is_last(s, t) && p->activation != ERNIEM_IDENTITY)
        p->micro->rowwise.activate(p->activation, rows, columns, p->n, y);
}

/* Begin with a part of the rows: compute the left factors of each pair of rows, or mark the pair
   for the classical product. */
static void begin_rows(const struct strassen *s, struct work_item *t, int64_t row_part)
{
    const struct erniem_product *p = &s->product;
    t->row_part = row_part;
    t->row0 = row_part * s->rows;
    t->rows = row_part + 1 < s->row_parts ? s->rows : p->m - t->row0;
    t->row_pairs = t->rows / 2;
    t->tiles = erniem_ceil_div(t->row_pairs, p->micro->gemm.mr);
    t->height = erniem_ceil_div(t->row_pairs, t->tiles);
    t->share = erniem_ceil_div(4 * p->micro->gemm.nr, t->tiles);
    for (int64_t block = 0; block < s->blocks; block++)
        for (int64_t pair = 0; pair < t->row_pairs; pair++) {
            const int64_t kc = block_size(s, block);
            const float *even = p->x + (t->row0 + 2 * pair) * p->k + block * ERNIEM_KC;
            float *to = left_of(t, block, pair / t->height) + pair % t->height * APART;
            t->classical[block * t->row_pairs + pair] =
                kc % 2 != 0 || !p->micro->strassen.split(kc / 2, even, even + p->k, 4 * p->k, to,
                                                         t->height * APART);
        }
}

/* Begin with a pair of panels; whether both are whole, and may be added to each other. */
static int begin_panels(const struct strassen *s, struct work_item *t)
{
    const int nr = s->product.micro->gemm.nr;
    if ((t->panel + 2) * nr > s->product.n)
        return 0;
    const float *first = panel_of(s, t->weight, t->block, t->panel), *second = first + t->kc * nr;
    const int64_t size = t->kc / 2 * nr;
    const float *parts[] = {first, second, first + size, second + size};
    for (int i = 0; i < PRODUCTS; i++) {
        t->right[i] = parts[FACTORS[i].part];
        t->other[i] = FACTORS[i].sign != 0.0f ? parts[FACTORS[i].other] : NULL;
    }
    return erniem_may_add(s->product.packed[t->weight], t->block, t->panel / 2);
}

/* The seven products of one tile and a pair of panels; the first tile that comes here makes the
   right factors. Six products prefetch the left factor of the next product; the last one prefetches
   the panels that come next. */
static void seven_products(const struct strassen *s, struct work_item *t, int64_t tile)
{
    const struct erniem_micro *micro = s->product.micro;
    const int nr = micro->gemm.nr, rows = (int)tile_pairs(t, tile);
    const int64_t half = t->kc / 2, apart = t->height * APART;
    const float *left = left_of(t, t->block, tile);
    for (int i = 0; i < PRODUCTS; i++) {
        float *sum = t->sums + i * (half * nr + SHIFT);
        const int more = i + 1 < PRODUCTS;
        const struct erniem_tile_f32 product = {
            .rows = rows, .columns = nr, .kc = half, .b = t->right[i],
            .a = left + FACTORS[i].left * apart, .lda = APART,
            .next = more ? left + FACTORS[i + 1].left * apart : t->ahead + tile * t->share * half,
            .pace = more ? rows + 1 : t->share,
            .c = t->products + i * micro->gemm.mr * nr, .ldc = nr};
        if (t->other[i]) {
            micro->strassen.tile_of_sums(&product, t->other[i], FACTORS[i].sign, sum);
            t->right[i] = sum;
            t->other[i] = NULL;
        } else {
            micro->gemm.tile(&product);
        }
    }
}

/* Combine the products of pairs r .. end - 1 of a tile into rows of y. */
static void combine_rows(const struct strassen *s, const struct work_item *t, int64_t tile,
                         int64_t r, int64_t end)
{
    const struct erniem_product *p = &s->product;
    const int nr = p->micro->gemm.nr, rows = (int)(end - r);
    float *y = p->y[t->weight] + (first_row(t, tile) + 2 * r) * p->n + t->panel * nr;
    p->micro->strassen.combine(rows, t->products + r * nr, t->block > 0, bias_of(s, t, t->panel),
                               y, p->n);
    if (is_last(s, t) && p->activation != ERNIEM_IDENTITY)
        p->micro->rowwise.activate(p->activation, 2 * rows, 2 * nr, p->n, y);
}

/* One tile times a pair of panels. Strassen's products are used if the panels are `whole`, but for
   the pairs of rows that are marked for the classical product. */
static void multiply_tile(const struct strassen *s, struct work_item *t, int64_t tile, int whole)
{
    const unsigned char *classical = t->classical + t->block * t->row_pairs + tile * t->height;
    const int64_t rows = tile_pairs(t, tile), panels = erniem_min(2, s->product.panels - t->panel);
    if (whole && memchr(classical, 0, (size_t)rows))
        seven_products(s, t, tile);
    for (int64_t r = 0, end; r < rows; r = end) {
        for (end = r + 1; end < rows && classical[end] == classical[r];)
            end++;
        if (whole && !classical[r])
            combine_rows(s, t, tile, r, end);
        else
            for (int64_t i = 0; i < panels; i++)
                multiply_classically(s, t, t->panel + i, first_row(t, tile) + 2 * r,
                                     2 * (end - r));
    }
}

/* The panels that a work item will want next: of the next block, or of the next task. */
static const float *what_follows(const struct strassen *s, const struct work_item *t)
{
    const int64_t weight = (t->weight + 1) % s->product.count;
    const int64_t panel = t->panel + (weight ? 0 : 2);
    if (!is_last(s, t))
        return panel_of(s, t->weight, t->block + 1, t->panel);
    return panel_of(s, weight, 0, panel + 1 < s->product.panels ? panel : 0);
}

/* The rows of a work item times its pair of panels. */
static void multiply(const struct strassen *s, struct work_item *t)
{
    const int panels = (int)erniem_min(2, s->product.panels - t->panel);
    for (t->block = 0; t->block < s->blocks; t->block++) {
        t->kc = block_size(s, t->block);
        t->ahead = what_follows(s, t);
        const int whole = begin_panels(s, t);
        for (int64_t tile = 0; tile < t->tiles; tile++)
            multiply_tile(s, t, tile, whole);
        for (int i = 0; i < panels && t->rows % 2; i++) /* the row without a partner */
            multiply_classically(s, t, t->panel + i, t->row0 + t->rows - 1, 1);
    }
}

static void multiply_some(const void *job, struct erniem_tasks *tasks)
{
    const struct strassen *s = job;
    const int64_t mr = s->product.micro->gemm.mr, nr = s->product.micro->gemm.nr;
    const int64_t count = s->product.count;
    const int64_t left = s->blocks * (s->rows / 2 + mr) * PRODUCTS * APART;
    const int64_t sums = PRODUCTS * (HALF * nr + SHIFT), products = PRODUCTS * mr * nr;
    struct work_item t = {.row_part = -1};
    float *memory = erniem_acquire((left + sums + products) * (int64_t)sizeof(float) +
                                   s->blocks * s->rows / 2);
    if (!memory)
        return;
    t.sums = memory; /* what every tile reads comes first, into the same huge page */
    t.products = memory + sums;
    t.left = memory + sums + products;
    t.classical = (unsigned char *)(t.left + left);
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row_part = task / count / s->panel_pairs;
        if (row_part != t.row_part)
            begin_rows(s, &t, row_part);
        t.weight = task % count; /* so a thread has the same panels, and heads, of each */
        t.panel = task / count % s->panel_pairs * 2;
        multiply(s, &t);
    }
    erniem_release(memory);
}

int erniem_strassen(const struct erniem_product *product)
{
    const int64_t m = product->m, threads = erniem_get_threads();
    struct strassen s = {.product = *product};
    s.blocks = erniem_ceil_div(product->k, ERNIEM_KC);
    s.panel_pairs = erniem_ceil_div(product->panels, 2);

    /* Parts of the rows that threads can share evenly, if they are large enough: then no thread
       computes the left factors of another one's rows. */
    int64_t row_parts = erniem_ceil_div(m, erniem_max(FEWEST_ROWS, ROWS / s.blocks));
    while (row_parts % threads != 0 && m / (row_parts + 1) >= FEWEST_ROWS)
        row_parts++;
    s.rows = 2 * erniem_ceil_div(m / 2, row_parts);
    s.row_parts = erniem_ceil_div(m / 2, s.rows / 2);
    return erniem_parallel(s.row_parts * s.panel_pairs * product->count, multiply_some, &s);
}
