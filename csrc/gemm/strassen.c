/* y = act(x wT + bias) for many rows, with seven products where the plain way takes eight.

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
   rows, for every k block, and keeps them as long as tasks have the same rows. Then, for each block,
   each tile of rows takes its seven products and gathers four results from them, while they are in
   the first-level cache. The first tile adds up the right factors as it goes and leaves them to the
   others: beside its products that costs nearly nothing.

   Rounding: a number of y meets not only the errors of its own row and column, but those of the
   neighbours it is computed with. So a pair of rows that differ much in size, or are not finite,
   is multiplied the plain way, and so is a pair of panels of such columns. (A pair and not a tile:
   what belongs to a tile depends on the number of threads, and results must not.) */

#include <string.h>

#include "internal.h"

enum {
    PRODUCTS = 7,
    ROWS = 512,           /* of a part, times k blocks, at most: its left factors fill 2.9 MB */
    FEWEST_ROWS = 128,    /* of a part whose rows are not all: each reads the whole weight */
    HALF = ERNIEM_KC / 2, /* of a k block */
    APART = HALF + 16,    /* floats from one row of a left factor to the next; see ERNIEM_STRIDE */
    SHIFT = 48            /* between right factors, so that they do not compete for cache sets */
};

/* What each product multiplies. Left: `spread` makes 0: 11 + 22, 1: 21 + 22, 2: 11 + 12,
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
    const struct erniem_micro *micro;
    int64_t m, n, k;
    const float *x, *const *packed, *const *bias;
    int activation;
    float *const *y;
    int64_t blocks;              /* of k */
    int64_t panels, panel_pairs; /* of a weight; the last pair may be a single panel */
    int64_t weights, row_parts;
    int64_t rows; /* of a part, an even number but for the last */
};

/* A part of the rows and a pair of panels in a k block, and the factors they have in common. */
struct piece {
    int64_t row_part, row0, rows, row_pairs;
    int64_t tiles, height; /* height: pairs of rows in a tile, at most */
    int64_t weight, panel, block, kc;
    const float *ahead;           /* panels that come next, of which each tile fetches a share, */
    int64_t share;                /* so many floats for each k */
    float *left;                  /* factors: [block][tile][factor][pair][k] */
    const float *right[PRODUCTS]; /* factors: panels, */
    const float *other[PRODUCTS]; /* to which these are still to be added */
    float *sums;                  /* the result of that */
    float *products;              /* of a tile */
    unsigned char *plain;         /* [block][pair]: whether it is multiplied the plain way */
};

static int64_t first_row(const struct piece *t, int64_t tile)
{
    return t->row0 + 2 * tile * t->height;
}

static int64_t tile_pairs(const struct piece *t, int64_t tile)
{
    return erniem_min(t->height, t->row_pairs - tile * t->height);
}

static float *left_of(const struct piece *t, int64_t block, int64_t tile)
{
    return t->left + (block * t->tiles + tile) * PRODUCTS * t->height * APART;
}

static int64_t block_size(const struct strassen *p, int64_t block)
{
    return erniem_min(ERNIEM_KC, p->k - block * ERNIEM_KC);
}

static const float *panel_of(const struct strassen *p, int64_t weight, int64_t block,
                             int64_t panel)
{
    return p->packed[weight] +
           erniem_panel_start(block, panel, p->panels, block_size(p, block), p->micro->nr);
}

static int is_last(const struct strassen *p, const struct piece *t)
{
    return t->block + 1 == p->blocks;
}

/* Some rows times one panel, as in linear.c. */
static void multiply_plain(const struct strassen *p, const struct piece *t, int64_t panel,
                           int64_t row0, int64_t rows)
{
    const int nr = p->micro->nr, last = is_last(p, t);
    const int columns = (int)erniem_min(nr, p->n - panel * nr);
    const float *b = panel_of(p, t->weight, t->block, panel), *bias = last ? p->bias[t->weight] : NULL;
    const float *x = p->x + row0 * p->k + t->block * ERNIEM_KC;
    float *y = p->y[t->weight] + row0 * p->n + panel * nr;
    for (int64_t r = 0; r < rows; r += p->micro->mr)
        p->micro->tile((int)erniem_min(p->micro->mr, rows - r), columns, t->kc, x + r * p->k, p->k,
                       b, b, 0, t->block > 0, bias ? bias + panel * nr : NULL, y + r * p->n, p->n);
    if (last && p->activation != ERNIEM_IDENTITY)
        p->micro->activate(p->activation, rows, columns, p->n, y);
}

/* Begin with a part of the rows: the left factors of each pair, or that it shall have none. */
static void begin_rows(const struct strassen *p, struct piece *t, int64_t row_part)
{
    t->row_part = row_part;
    t->row0 = row_part * p->rows;
    t->rows = row_part + 1 < p->row_parts ? p->rows : p->m - t->row0;
    t->row_pairs = t->rows / 2;
    t->tiles = erniem_ceil_div(t->row_pairs, p->micro->mr);
    t->height = erniem_ceil_div(t->row_pairs, t->tiles);
    t->share = erniem_ceil_div(4 * p->micro->nr, t->tiles);
    for (int64_t block = 0; block < p->blocks; block++)
        for (int64_t pair = 0; pair < t->row_pairs; pair++) {
            const int64_t kc = block_size(p, block);
            const float *even = p->x + (t->row0 + 2 * pair) * p->k + block * ERNIEM_KC;
            float *to = left_of(t, block, pair / t->height) + pair % t->height * APART;
            t->plain[block * t->row_pairs + pair] =
                kc % 2 != 0 ||
                !p->micro->spread(kc / 2, even, even + p->k, 4 * p->k, to, t->height * APART);
        }
}

/* Begin with a pair of panels; whether both are whole, and may be added to each other. */
static int begin_panels(const struct strassen *p, struct piece *t)
{
    const int nr = p->micro->nr;
    if ((t->panel + 2) * nr > p->n)
        return 0;
    const float *first = panel_of(p, t->weight, t->block, t->panel), *second = first + t->kc * nr;
    const int64_t size = t->kc / 2 * nr;
    const float *parts[] = {first, second, first + size, second + size};
    for (int i = 0; i < PRODUCTS; i++) {
        t->right[i] = parts[FACTORS[i].part];
        t->other[i] = FACTORS[i].sign != 0.0f ? parts[FACTORS[i].other] : NULL;
    }
    return p->packed[t->weight][erniem_pair_at(t->block, t->panel / 2, p->panels, p->k, nr)] > 0;
}

/* The seven products of one tile and a pair of panels; the first tile that comes here makes the
   right factors. During six products it fetches the left factor of the next one, during the last
   what comes ahead. */
static void seven_products(const struct strassen *p, struct piece *t, int64_t tile)
{
    const struct erniem_micro *micro = p->micro;
    const int nr = micro->nr, rows = (int)tile_pairs(t, tile);
    const int64_t half = t->kc / 2, apart = t->height * APART;
    const float *left = left_of(t, t->block, tile);
    for (int i = 0; i < PRODUCTS; i++) {
        const float *a = left + FACTORS[i].left * apart;
        float *sum = t->sums + i * (half * nr + SHIFT), *product = t->products + i * micro->mr * nr;
        const int more = i + 1 < PRODUCTS;
        const float *next = more ? left + FACTORS[i + 1].left * apart
                                 : t->ahead + tile * t->share * half;
        const int64_t pace = more ? rows + 1 : t->share;
        if (t->other[i]) {
            micro->tile_of_sums(rows, half, a, APART, t->right[i], t->other[i], FACTORS[i].sign,
                                sum, next, pace, product);
            t->right[i] = sum;
            t->other[i] = NULL;
        } else {
            micro->tile(rows, nr, half, a, APART, t->right[i], next, pace, 0, NULL, product, nr);
        }
    }
}

/* What the products of pairs r .. end - 1 of a tile make of y. */
static void gather_rows(const struct strassen *p, const struct piece *t, int64_t tile, int64_t r,
                        int64_t end)
{
    const int nr = p->micro->nr, last = is_last(p, t), rows = (int)(end - r);
    const float *bias = last ? p->bias[t->weight] : NULL;
    float *y = p->y[t->weight] + (first_row(t, tile) + 2 * r) * p->n + t->panel * nr;
    p->micro->gather(rows, t->products + r * nr, t->block > 0, bias ? bias + t->panel * nr : NULL,
                     y, p->n);
    if (last && p->activation != ERNIEM_IDENTITY)
        p->micro->activate(p->activation, 2 * rows, 2 * nr, p->n, y);
}

/* One tile times a pair of panels: Strassen's way, if they are `whole`, but for its plain rows. */
static void multiply_tile(const struct strassen *p, struct piece *t, int64_t tile, int whole)
{
    const unsigned char *plain = t->plain + t->block * t->row_pairs + tile * t->height;
    const int64_t rows = tile_pairs(t, tile), panels = erniem_min(2, p->panels - t->panel);
    if (whole && memchr(plain, 0, (size_t)rows))
        seven_products(p, t, tile);
    for (int64_t r = 0, end; r < rows; r = end) {
        for (end = r + 1; end < rows && plain[end] == plain[r];)
            end++;
        if (whole && !plain[r])
            gather_rows(p, t, tile, r, end);
        else
            for (int64_t i = 0; i < panels; i++)
                multiply_plain(p, t, t->panel + i, first_row(t, tile) + 2 * r, 2 * (end - r));
    }
}

/* The panels that a piece will want next: of the next block, or of the next task. */
static const float *what_follows(const struct strassen *p, const struct piece *t)
{
    const int64_t weight = (t->weight + 1) % p->weights, panel = t->panel + (weight ? 0 : 2);
    if (!is_last(p, t))
        return panel_of(p, t->weight, t->block + 1, t->panel);
    return panel_of(p, weight, 0, panel + 1 < p->panels ? panel : 0);
}

/* The rows of a piece times a pair of panels. */
static void multiply(const struct strassen *p, struct piece *t)
{
    const int panels = (int)erniem_min(2, p->panels - t->panel);
    for (t->block = 0; t->block < p->blocks; t->block++) {
        t->kc = block_size(p, t->block);
        t->ahead = what_follows(p, t);
        const int whole = begin_panels(p, t);
        for (int64_t tile = 0; tile < t->tiles; tile++)
            multiply_tile(p, t, tile, whole);
        for (int i = 0; i < panels && t->rows % 2; i++) /* the row without a partner */
            multiply_plain(p, t, t->panel + i, t->row0 + t->rows - 1, 1);
    }
}

static void strassen_some(const void *job, struct erniem_tasks *tasks)
{
    const struct strassen *p = job;
    const int64_t mr = p->micro->mr, nr = p->micro->nr;
    const int64_t left = p->blocks * (p->rows / 2 + mr) * PRODUCTS * APART;
    const int64_t sums = PRODUCTS * (HALF * nr + SHIFT), products = PRODUCTS * mr * nr;
    struct piece t = {.row_part = -1};
    float *memory = erniem_acquire((left + sums + products) * (int64_t)sizeof(float) +
                                   p->blocks * p->rows / 2);
    if (!memory)
        return;
    t.sums = memory; /* what every tile reads comes first, into the same huge page */
    t.products = memory + sums;
    t.left = memory + sums + products;
    t.plain = (unsigned char *)(t.left + left);
    for (int64_t task; (task = erniem_take(tasks)) >= 0;) {
        const int64_t row_part = task / p->weights / p->panel_pairs;
        if (row_part != t.row_part)
            begin_rows(p, &t, row_part);
        t.weight = task % p->weights; /* so threads have the same panels, and heads, of each */
        t.panel = task / p->weights % p->panel_pairs * 2;
        multiply(p, &t);
    }
    erniem_release(memory);
}

int erniem_strassen(int64_t weights, int64_t m, int64_t n, int64_t k, const float *x,
                    const float *const *packed, const float *const *bias, int activation,
                    float *const *y)
{
    if (!erniem_product_fits(weights, m, n, k, activation) || m < 2 || n < 1 || k < 1)
        return ERNIEM_BAD_SIZE;

    struct strassen p = {.micro = erniem_micro(), .m = m, .n = n, .k = k, .x = x, .packed = packed,
                         .bias = bias, .activation = activation, .y = y, .weights = weights};
    p.blocks = erniem_ceil_div(k, ERNIEM_KC);
    p.panels = erniem_ceil_div(n, p.micro->nr);
    p.panel_pairs = erniem_ceil_div(p.panels, 2);

    /* Parts of the rows that threads can share evenly, if they are large enough, since then none
       computes the factors of another's. */
    const int64_t threads = erniem_get_threads();
    int64_t row_parts = erniem_ceil_div(m, erniem_max(FEWEST_ROWS, ROWS / p.blocks));
    while (row_parts % threads != 0 && m / (row_parts + 1) >= FEWEST_ROWS)
        row_parts++;
    p.rows = 2 * erniem_ceil_div(m / 2, row_parts);
    p.row_parts = erniem_ceil_div(m / 2, p.rows / 2);
    return erniem_parallel(p.row_parts * p.panel_pairs * weights, strassen_some, &p);
}
