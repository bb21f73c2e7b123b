/* Kernel tables, products and convolutions.
 *
 * Three kinds of judges: `ref` and every other table must agree byte for byte; tiles and
 * sums must agree byte for byte with the plan of nn/kern/kern.h written out with fmaf;
 * and everything must agree with a plain sum in double within the bound that any order of
 * float additions keeps.  Operands end right before a page that must not be touched, so a
 * read or write beyond them ends the test. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nn/kern/conv.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/par.h"
#include "tests/suites.h"

/* For conditions inside loops over elements: ck_assert talks to the parent process every
 * time it is met, this only when it fails. */
#define EXPECT(cond, ...)                                                                \
    do {                                                                                 \
        if (!(cond))                                                                     \
            ck_abort_msg(__VA_ARGS__);                                                   \
    } while (0)

extern const nn_kern nn_kern_avx512_emulated __attribute__((weak));

static nn_arena scratch;

/* ---- tables and operands --------------------------------------------------------- */

/* Tables compared with `ref` are counted from the names, so that one which cannot run
 * here is skipped aloud instead of being forgotten. */
static int rivals(void)
{
    int n = 0;
    while (nn_kern_names()[n])
        n++;
    return n - 1;
}

static const nn_kern *rival(int i)
{
    const char *name = nn_kern_names()[i + 1];
    for (int t = 0; t < nn_kern_count(); t++)
        if (strcmp(nn_kern_at(t)->name, name) == 0)
            return nn_kern_at(t);
    if (strcmp(name, "avx512") == 0 && &nn_kern_avx512_emulated)
        return &nn_kern_avx512_emulated;
    printf("skipped: table %s not compared: this CPU cannot run it%s\n", name,
           strcmp(name, "avx512") ? "" : " and libsimde-dev was not there at build time");
    return NULL;
}

static const nn_kern *ref(void)
{
    return nn_kern_at(0);
}

/* n floats that end where an untouchable page begins; never freed: the test's process
 * ends with the test */
static float *edge(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = n * sizeof(float);
    size_t whole = (bytes + page - 1) / page * page;
    char *p = mmap(NULL, whole + page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(p != MAP_FAILED && mprotect(p + whole, page, PROT_NONE) == 0);
    return (float *)(void *)(p + whole - bytes);
}

static uint64_t state = 1;

/* odd multiples of 2^-12 in (-1, 1): products are never exact in float, and never zero */
static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int)(state >> 51) * 2 - 8191) / 4096 / 2;
}

static float *drawn(size_t n)
{
    float *x = edge(n);
    for (size_t i = 0; i < n; i++)
        x[i] = draw();
    return x;
}

static float *copy(const float *x, size_t n)
{
    float *y = edge(n);
    memcpy(y, x, n * sizeof *y);
    return y;
}

/* the same bytes, or NaN on both sides */
static int same(const float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(x + i, y + i, sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i])))
            return 0;
    return 1;
}

/* |computed - exact| for a sum of n products in float, whatever the order of additions:
 * every product passes at most n + 2 roundings of 2^-24 (two more for bias and C) */
static double bound(size_t n, double magnitude)
{
    return ((double)n + 2) * 0x1p-24 * magnitude * 1.001 + 0x1p-149;
}

/* ---- tiles ------------------------------------------------------------------------- */

/* What a tile must hold, in the words of the plan: one accumulator, k in order, fused. */
static void check_tile(const nn_tile *t, const float *old, const float *a, const float *b,
                       size_t terms, const char *what)
{
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++) {
            float s = 0;
            for (size_t k = 0; k < terms; k++)
                s = fmaf(a[(size_t)i * terms + k], b[k * (size_t)t->cols + (size_t)j], s);
            size_t at = (size_t)i * t->ldc + (size_t)j;
            float want = t->add ? old[at] + s : s;
            EXPECT(memcmp(&want, t->c + at, sizeof want) == 0,
                   "%s: element %d, %d of %d x %d is %a, the plan says %a", what, i, j,
                   t->rows, t->cols, (double)t->c[at], (double)want);
        }
    for (size_t i = 0; i + 1 < (size_t)t->rows; i++)
        for (size_t j = (size_t)t->cols; j < t->ldc; j++)
            EXPECT(t->c[i * t->ldc + j] == old[i * t->ldc + j],
                   "%s: wrote beyond the tile", what);
}

static void try_tile(const nn_kern *k, int rows, int cols, int add)
{
    enum { SEGS = 3, KC = 5, TERMS = SEGS * KC, GAP = 7 };
    const size_t r = (size_t)rows, c = (size_t)cols, ldc = c + 3, nr = (size_t)k->nr;
    const size_t size = (r - 1) * ldc + c;
    float *a = drawn(r * TERMS), *b = drawn(TERMS * c), *old = drawn(size);
    nn_tile t = { copy(old, size), ldc, rows, cols, add };

    /* panel: A by columns, r + 1 apart; B by rows, c apart */
    float *ac = edge((TERMS - 1) * (r + 1) + r), *wide = edge(TERMS * nr);
    const float *row[64], *pix[TERMS];
    for (size_t q = 0; q < TERMS; q++) {
        for (size_t i = 0; i < r; i++)
            ac[q * (r + 1) + i] = a[i * TERMS + q];
        for (size_t j = 0; j < nr; j++)
            wide[q * nr + j] = j < c ? b[q * c + j] : 0;
        pix[q] = ac + q * (r + 1) - 2;
    }
    k->tile_panel(TERMS, ac, r + 1, b, c, &t);
    check_tile(&t, old, a, b, TERMS, "panel");

    /* taps: the same columns through pointers, two floats off */
    t.c = copy(old, size);
    k->tile_taps(TERMS, pix, 2, b, c, &t);
    check_tile(&t, old, a, b, TERMS, "taps");

    /* rows: segments of KC terms, GAP apart */
    t.c = copy(old, size);
    for (size_t i = 0; i < r; i++) {
        float *x = edge((SEGS - 1) * GAP + KC);
        for (size_t q = 0; q < TERMS; q++)
            x[q / KC * GAP + q % KC] = a[i * TERMS + q];
        row[i] = x;
    }
    k->tile_rows(SEGS, KC, GAP, row, wide, &t);
    check_tile(&t, old, a, b, TERMS, "rows");

    /* plain: rows of A and of B where they lie */
    t.c = copy(old, size);
    for (size_t i = 0; i < r; i++)
        row[i] = copy(a + i * TERMS, TERMS);
    k->tile_plain(TERMS, row, b, c, &t);
    check_tile(&t, old, a, b, TERMS, "plain");
}

START_TEST(every_tile_follows_the_plan_to_the_bit)
{
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    ck_assert_int_le(k->mr, 32);
    for (int rows = 1; rows <= k->mr; rows++)
        for (int cols = 1; cols <= k->nr; cols += cols < 2 || cols % 8 > 5 ? 1 : 3)
            try_tile(k, rows, cols, (rows + cols) % 2);
    try_tile(k, k->mr, k->nr, 0);
    try_tile(k, k->mr, k->nr, 1);
}
END_TEST

START_TEST(a_tile_without_terms_is_zero)
{
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    float c[4] = { 1, 2, 3, 4 };
    const float *none[2] = { NULL, NULL };
    nn_tile t = { c, 2, 2, 2, 0 };
    k->tile_rows(0, 3, 1, none, NULL, &t);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(c[i], 0);
}
END_TEST

/* ---- sums, elementwise, columns -------------------------------------------------- */

static const size_t lengths[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 63, 100,
                                  255, 1000 };

/* 16 lanes, element i to lane i mod 16, folded 8-4-2-1: written out */
static float plan_sum(size_t n, const float *x, const float *y, int kind)
{
    float s[16] = { 0 };
    for (size_t i = 0; i < (n + 15) / 16 * 16; i++) {
        float xi = i < n ? x[i] : 0, yi = i < n ? y[i] : 0, d = xi - yi;
        float *l = &s[i % 16];
        *l = kind == 0 ? fmaf(xi, yi, *l) : kind == 1 ? *l + xi : fmaf(d, d, *l);
    }
    for (int gap = 8; gap > 0; gap /= 2)
        for (int i = 0; i < gap; i++)
            s[i] += s[i + gap];
    return s[0];
}

START_TEST(sums_use_sixteen_lanes_folded_as_planned)
{
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t q = 0; q < sizeof lengths / sizeof *lengths; q++) {
        size_t n = lengths[q];
        float *x = drawn(n), *y = drawn(n), *z = copy(y, n);
        ck_assert_float_eq(k->dot(n, x, y), plan_sum(n, x, y, 0));
        ck_assert_float_eq(k->sum(n, x), plan_sum(n, x, y, 1));
        ck_assert_float_eq(k->dist2(n, x, y), plan_sum(n, x, y, 2));
        k->axpy(n, 0.3f, x, z);
        for (size_t i = 0; i < n; i++)
            EXPECT(z[i] == fmaf(0.3f, x[i], y[i]), "%s: axpy %zu of %zu", k->name, i, n);
    }
}
END_TEST

typedef struct columns {
    size_t rows, c;
    float *x, *y, *dy, *mean, *a, *b, *q;
} columns;

static columns columns_of(size_t rows, size_t c)
{
    columns p = { rows, c, drawn(rows * c), drawn(rows * c), drawn(rows * c),
                  drawn(c), drawn(c), drawn(c), drawn(c) };
    for (size_t i = 0; i < rows * c; i += 3)
        p.y[i] = i % 2 ? 0.0f : -0.0f;          /* on the edge of the ReLU */
    return p;
}

static nn_bn bn_of(const columns *p, int relu)
{
    return (nn_bn){ .a = p->a, .b = p->b, .mean = p->mean, .q = p->q, .u = p->b,
                    .relu = relu };
}

/* Where the gradient passes: relu 0 everywhere, 1 where y > 0, 2 where x a + b > 0. */
static float passed(const columns *p, size_t i, int relu)
{
    size_t j = i % p->c;
    float v = relu == 1 ? p->y[i] : fmaf(p->x[i], p->a[j], p->b[j]);
    return relu && !(v > 0) ? 0 : p->dy[i];
}

START_TEST(columns_follow_the_plan_to_the_bit)
{
    static const size_t wide[] = { 1, 3, 10, 16, 17, 33, 64, 65, 130 };
    static const size_t high[] = { 0, 1, 2, 17, 256 };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t w = 0; w < 9; w++)
        for (size_t h = 0; h < 5; h++) {
            columns p = columns_of(high[h], wide[w]);
            float *s = edge(p.c), *q = edge(p.c), *ds = edge(p.c), *dt = edge(p.c);
            k->col_sum(p.rows, p.c, p.x, s);
            k->col_sq(p.rows, p.c, p.x, p.mean, q);
            int relu = (int)(w + h) % 3;
            nn_bn n = bn_of(&p, relu > 0);
            k->bn_sums(p.rows, p.c, &n, p.x, relu == 1 ? p.y : NULL, p.dy, ds, dt);
            for (size_t j = 0; j < p.c; j++) {
                float ws = 0, wq = 0, wds = 0, wdt = 0;
                for (size_t i = j; i < p.rows * p.c; i += p.c) {
                    float d = p.x[i] - p.mean[j], g = passed(&p, i, relu);
                    ws += p.x[i];
                    wq = fmaf(d, d, wq);
                    wds += g;
                    wdt = fmaf(g, d, wdt);
                }
                EXPECT(s[j] == ws && q[j] == wq && ds[j] == wds && dt[j] == wdt,
                       "%s: column %zu of %zu, %zu rows", k->name, j, p.c, p.rows);
            }
        }
}
END_TEST

static void check_bn_apply(const nn_kern *k, const columns *p, int with_r, int relu)
{
    size_t n = p->rows * p->c;
    float *y = edge(n);
    nn_bn bn = bn_of(p, relu);
    k->bn_apply(p->rows, p->c, &bn, p->x, with_r ? p->dy : NULL, y);
    for (size_t i = 0; i < n; i++) {
        float v = fmaf(p->x[i], p->a[i % p->c], p->b[i % p->c]);
        if (with_r)
            v += p->dy[i];
        if (relu && v < 0)
            v = 0;
        EXPECT(memcmp(&v, y + i, sizeof v) == 0, "%s: bn_apply %zu of %zu x %zu", k->name,
               i, p->rows, p->c);
    }
}

static void check_bn_grad(const nn_kern *k, const columns *p, int with_dr, int relu,
                          int add)
{
    size_t n = p->rows * p->c;
    float *old = drawn(n), *dx = copy(old, n), *dr = copy(old, n);
    nn_bn bn = bn_of(p, relu > 0);
    k->bn_grad(p->rows, p->c, &bn, p->x, relu == 1 ? p->y : NULL, p->dy, add, dx,
               with_dr ? dr : NULL);
    for (size_t i = 0; i < n; i++) {
        size_t j = i % p->c;
        float g = passed(p, i, relu);
        float v = fmaf(p->a[j], g, fmaf(p->q[j], p->x[i] - p->mean[j], p->b[j]));
        float wx = add & 1 ? old[i] + v : v, wr = add & 2 ? old[i] + g : g;
        EXPECT(dx[i] == wx, "%s: dx %zu of %zu x %zu", k->name, i, p->rows, p->c);
        EXPECT(dr[i] == (with_dr ? wr : old[i]), "%s: dr %zu of %zu x %zu", k->name, i,
               p->rows, p->c);
    }
}

/* dx, dr or both stand where dy stood: the same numbers, in dy's place. */
static void check_bn_grad_over(const nn_kern *k, const columns *p, int relu)
{
    size_t n = p->rows * p->c;
    const float *y = relu == 1 ? p->y : NULL;
    float *dx = edge(n), *dr = edge(n), *twice = edge(n);
    float *over_x = copy(p->dy, n), *over_r = copy(p->dy, n), *over = copy(p->dy, n);
    nn_bn bn = bn_of(p, relu > 0);

    k->bn_grad(p->rows, p->c, &bn, p->x, y, p->dy, 0, dx, dr);
    k->bn_grad(p->rows, p->c, &bn, p->x, y, over_x, 0, over_x, NULL);
    ck_assert(same(over_x, dx, n));
    k->bn_grad(p->rows, p->c, &bn, p->x, y, over_r, 0, twice, over_r);
    ck_assert(same(over_r, dr, n) && same(twice, dx, n));
    k->bn_grad(p->rows, p->c, &bn, p->x, y, over, 1, over, over);   /* dr is dx, too */
    for (size_t i = 0; i < n; i++)
        EXPECT(over[i] == dr[i] + dx[i], "%s: %zu of %zu", k->name, i, n);
}

START_TEST(batch_normalisation_follows_the_plan_to_the_bit)
{
    static const size_t wide[] = { 1, 10, 16, 33, 64 };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t w = 0; w < 5; w++)
        for (int form = 0; form < 24; form++) {
            columns p = columns_of(form % 4 * 3, wide[w]);
            int relu = form >> 1 & 1 ? 1 + form / 16 : 0;
            check_bn_apply(k, &p, form & 1, relu > 0);
            check_bn_grad(k, &p, form & 1, relu, form >> 2 & 3);
            check_bn_grad_over(k, &p, relu);
        }
}
END_TEST

/* The corners in which instruction sets differ: their own maximum of NaN and of two
 * zeros, and denormals that some flush to zero. */
static const float corners[] = {
    0.0f, -0.0f, NAN, -NAN, INFINITY, -INFINITY, 1, -1, 0x1p-149f, -0x1p-149f,
    0x1.fffffcp-127f, -0x1.fffffcp-127f, FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX,
};
enum { CORNERS = sizeof corners / sizeof *corners };

START_TEST(relu_keeps_nan_the_sign_of_zero_and_denormals)
{
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    float one[CORNERS + 17], none[CORNERS + 17];
    for (size_t j = 0; j < CORNERS + 17; j++) {
        one[j] = 1;
        none[j] = -0.0f;                        /* x * 1 + -0 is x, whatever its sign */
    }
    for (size_t c = 1; c <= CORNERS + 17; c++)          /* whole vectors, parts, both */
        for (int relu = 0; relu <= 1; relu++) {
            float *x = edge(c), *y = edge(c), *want = edge(c);
            for (size_t j = 0; j < c; j++) {
                x[j] = corners[(c + j) % CORNERS];
                want[j] = relu && 0 > x[j] ? 0 : x[j];
            }
            nn_bn n = { .a = one, .b = none, .relu = relu };
            k->bn_apply(1, c, &n, x, NULL, y);
            ck_assert_msg(same(y, want, c), "%s: relu %d over %zu", k->name, relu, c);
        }
}
END_TEST

START_TEST(sums_keep_denormals_and_pass_on_what_is_not_finite)
{
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t n = 1; n < 40; n++) {
        float *x = edge(n), *y = edge(n), *z = edge(n);
        for (size_t i = 0; i < n; i++) {
            x[i] = 0x1p-149f;
            y[i] = 1;
            z[i] = -0x1p-140f;
        }
        ck_assert_float_eq(k->sum(n, x), (float)n * 0x1p-149f);
        ck_assert_float_eq(k->dot(n, x, y), (float)n * 0x1p-149f);
        k->axpy(n, 3, x, z);
        for (size_t i = 0; i < n; i++)
            EXPECT(z[i] == -0x1p-140f + 0x1.8p-148f, "%s: axpy flushes", k->name);
        for (size_t i = 0; i < n; i++) {
            x[i] = INFINITY;
            ck_assert(k->sum(n, x) == INFINITY && k->dot(n, x, y) == INFINITY);
            ck_assert(isnan(k->dist2(n, x, x)));        /* inf - inf */
            x[i] = NAN;
            ck_assert(isnan(k->sum(n, x)) && isnan(k->dot(n, x, y)));
            x[i] = 1;
        }
    }
}
END_TEST

/* ---- sums in double ---------------------------------------------------------------- */

/* n doubles before an untouchable page: 51 random bits, so that no product is exact */
static double *drawn_double(size_t n)
{
    double *x = (double *)(void *)edge(2 * n);
    for (size_t i = 0; i < n; i++)
        x[i] = draw() + draw() * 0x1p-26;
    return x;
}

/* The sum over k of one element: fused, in order, on top of what was there. */
START_TEST(gram_blocks_follow_the_plan_to_the_bit)
{
    enum { W = NN_PANEL, LDC = W + 3 };
    static const size_t terms[] = { 0, 1, 2, 3, 8, 37 }, live[] = { 1, 6, 8, 13, W };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t t = 0; t < 6; t++)
        for (size_t l = 0; l < 50; l++) {
            size_t n = terms[t], rows = live[l % 5], cols = live[l / 5 % 5], one = l / 25;
            size_t size = (W - 1) * LDC + W;
            double *a = drawn_double(n * W), *b = one ? a : drawn_double(n * W);
            double *old = drawn_double(size), *c = drawn_double(size);
            memcpy(c, old, size * sizeof *c);
            k->gram(n, a, b, rows, cols, c, LDC);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < (one && i < cols ? i + 1 : cols); j++) {
                    double s = old[i * LDC + j];
                    for (size_t q = 0; q < n; q++)
                        s = fma(a[q * W + i], b[q * W + j], s);
                    EXPECT(c[i * LDC + j] == s, "%s: element %zu, %zu of %zu terms",
                           k->name, i, j, n);
                }
            for (size_t i = 0; i + 1 < W; i++)
                for (size_t j = W; j < LDC; j++)
                    EXPECT(c[i * LDC + j] == old[i * LDC + j], "%s: beyond the panel",
                           k->name);
        }
}
END_TEST

START_TEST(reflections_follow_the_plan_to_the_bit)
{
    static const size_t first[] = { 0, 8, 16, 40 };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t f = 0; f < 4; f++) {
        size_t m = first[f], n = m + 8, gap = n + 5, size = 7 * gap + n;
        double *row = drawn_double(size), *want = drawn_double(size);
        double *u = drawn_double(n), *q = drawn_double(n), *v = drawn_double(n);
        double *p = drawn_double(n), *sum = drawn_double(n);
        memcpy(want, row, size * sizeof *row);
        memcpy(sum, p, n * sizeof *p);
        for (size_t r = 0; r < 8; r++) {
            double lane[8] = {0}, *w = want + r * gap;
            for (size_t j = 0; j < n; j++) {
                w[j] = fma(-q[m + r], u[j], fma(-u[m + r], q[j], w[j]));
                lane[j % 8] = fma(w[j], v[j], lane[j % 8]);
                if (j < m)
                    sum[j] = fma(v[m + r], w[j], sum[j]);
            }
            for (int g = 4; g > 0; g /= 2)
                for (int j = 0; j < g; j++)
                    lane[j] += lane[j + g];
            sum[m + r] += lane[0];
        }
        k->reflect(m, row, gap, u, q, v, p);
        for (size_t j = 0; j < size; j++)
            EXPECT(row[j] == want[j], "%s: element %zu of rows %zu", k->name, j, m);
        for (size_t j = 0; j < n; j++)
            EXPECT(p[j] == sum[j], "%s: p %zu of rows %zu", k->name, j, m);
    }
}
END_TEST

/* ---- windows ----------------------------------------------------------------------- */

START_TEST(rows_are_mixed_as_planned_to_the_bit)
{
    enum { KC = 9, AT = 2, LDW = 3 };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t q = 0; q < sizeof lengths / sizeof *lengths; q++) {
        size_t n = lengths[q];
        float *w = drawn((KC - 1) * LDW + 1), *old = drawn(n), *y = copy(old, n);
        const float *row[KC];
        for (size_t i = 0; i < KC; i++)
            row[i] = drawn(AT + n);
        int add = (int)q % 2;
        k->mix(KC, w, LDW, row, AT, n, add, y);
        for (size_t j = 0; j < n; j++) {
            float s = 0;
            for (size_t i = 0; i < KC; i++)
                s = fmaf(w[i * LDW], row[i][AT + j], s);
            EXPECT(y[j] == (add ? old[j] + s : s), "%s: mix %zu of %zu", k->name, j, n);
        }
    }
}
END_TEST

/* Few different values, so that many are equal; among them NaN and infinities. */
static float *coarse(size_t n)
{
    static const float special[] = { NAN, -INFINITY, INFINITY, 0.0f, -0.0f, -FLT_MAX };
    float *x = drawn(n);
    for (size_t i = 0; i < n; i++) {
        int v = (int)(x[i] * 40);
        x[i] = v >= 20 && v < 26 ? special[v - 20] : (float)(v / 10);
    }
    return x;
}

START_TEST(windows_follow_the_plan_to_the_bit)
{
    static const size_t wide[] = { 1, 3, 16, 17, 40 };
    const nn_kern *k = _i == 0 ? ref() : rival(_i - 1);
    if (!k)
        return;
    for (size_t round = 0; round < 60; round++) {
        const size_t c = wide[round % 5], high = 1 + round % 3, across = 1 + round % 4;
        const nn_window w = { high, across, across * c + 5 };
        const size_t size = (high - 1) * w.row + across * c;
        float *x = coarse(size), *best = edge(c), *won = edge(c);
        float *dy = drawn(c), *old = drawn(size), *dx = copy(old, size);
        k->win_max(&w, c, x, best, won);
        k->win_give(&w, c, won, dy, dx);
        for (size_t j = 0; j < c; j++) {
            size_t top = 0;
            for (size_t m = 1; m < high * across; m++) {
                float v = x[m / across * w.row + m % across * c + j];
                if (v > x[top / across * w.row + top % across * c + j] || isnan(v))
                    top = m;
            }
            size_t at = top / across * w.row + top % across * c + j;
            EXPECT(same(best + j, x + at, 1) && won[j] == (float)top,
                   "%s: channel %zu of %zu: %a at %a, not %a at %zu", k->name, j, c,
                   (double)best[j], (double)won[j], (double)x[at], top);
            old[at] += dy[j];
        }
        ck_assert_msg(same(dx, old, size), "%s: a gradient of %zu channels", k->name, c);
    }
}
END_TEST

/* ---- exp, log, tanh -------------------------------------------------------------- */

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every 5021st float of all 2^32: both signs, 3340 denormals, many NaN. */
enum { STRIDE = 5021, GRID = 855424 };

static float *grid(void)
{
    float *x = edge(GRID);
    for (uint32_t i = 0; i < GRID; i++)
        x[i] = float_of(i * (uint32_t)STRIDE);
    return x;
}

/* error in units of the last place of a float as large as y; a float that overflows or
 * is not a number must be exactly what the long double rounds to */
static double ulps(float got, long double y)
{
    float near = (float)y;
    if (!isfinite(near) || !isfinite(got))
        return got == near || (isnan(got) && isnan(near)) ? 0 : INFINITY;
    int e;
    frexpl(y, &e);
    long double ulp = ldexpl(1, (e < -125 ? -125 : e) - 24);
    return (double)(fabsl((long double)got - y) / ulp);
}

typedef struct curve {
    const char *name;
    size_t at;                          /* of the function in the table */
    long double (*exact)(long double);
    double most;                        /* ulp; the figures that nn/kern/vmath.h states */
} curve;

typedef void each(size_t n, const float *x, float *y);

static const curve curves[] = {
    { "exp", offsetof(nn_kern, exp), expl, 1.02 },
    { "log", offsetof(nn_kern, log), logl, 0.83 },
    { "tanh", offsetof(nn_kern, tanh), tanhl, 1.34 },
};

static each *curve_of(const nn_kern *k, const curve *c)
{
    each *f;
    memcpy(&f, (const char *)k + c->at, sizeof f);
    return f;
}

START_TEST(curves_keep_their_stated_error)
{
    const curve *c = &curves[_i];
    float *x = grid(), *y = edge(GRID);
    double worst = 0;
    size_t at = 0;

    curve_of(nn_kern_now, c)(GRID, x, y);
    for (size_t i = 0; i < GRID; i++) {
        double u = ulps(y[i], c->exact(x[i]));
        if (u > worst) {
            worst = u;
            at = i;
        }
    }
    ck_assert_msg(worst <= c->most, "%s(%a) = %a is off by %.3f ulp", c->name,
                  (double)x[at], (double)y[at], worst);
    ck_assert_msg(worst > 0.5, "%s: a worst error of %.3f ulp is too good to be true",
                  c->name, worst);
}
END_TEST

START_TEST(curves_keep_their_error_where_they_bend)
{
    /* dense around 0, 1 and the seams: 0.625 of tanh, root(1/2) of log, ends of exp */
    static const float middle[] = { 0.0f, 1.0f, 0.625f, 0.70710678f, 1.41421356f, 9.01f,
                                    88.7228f, -87.3365f, -103.97f, 0.34657359f };
    const curve *c = &curves[_i];
    for (size_t m = 0; m < sizeof middle / sizeof *middle; m++)
        for (int i = -2000; i <= 2000; i++) {
            float x = middle[m] * (1 + (float)i * 0x1p-21f) + (float)i * 0x1p-20f, y;
            curve_of(nn_kern_now, c)(1, &x, &y);
            double u = ulps(y, c->exact(x));
            EXPECT(u <= c->most, "%s(%a) = %a is off by %.3f ulp", c->name, (double)x,
                   (double)y, u);
        }
}
END_TEST

START_TEST(curves_give_the_same_bytes_in_every_table)
{
    const nn_kern *k = rival(_i);
    if (!k)
        return;
    float *x = grid(), *y = edge(GRID), *z = edge(GRID);
    for (size_t c = 0; c < 3; c++) {
        curve_of(ref(), &curves[c])(GRID, x, y);
        curve_of(k, &curves[c])(GRID, x, z);
        ck_assert_msg(same(y, z, GRID), "%s differs between ref and %s", curves[c].name,
                      k->name);
        for (size_t n = 0; n < 40; n++) {
            float *from = copy(x + 100 * n, n), *to = edge(n);
            curve_of(k, &curves[c])(n, from, to);
            ck_assert(same(to, y + 100 * n, n));
        }
    }
}
END_TEST

START_TEST(gelu_gives_the_same_bytes_in_every_table)
{
    const nn_kern *k = rival(_i);
    if (!k)
        return;
    float *x = grid(), *y = edge(GRID), *z = edge(GRID);
    float *dy = edge(GRID), *dz = edge(GRID);
    ref()->gelu(GRID, x, y, dy);
    k->gelu(GRID, x, z, dz);
    ck_assert(same(y, z, GRID) && same(dy, dz, GRID));
    for (size_t n = 0; n < 40; n++) {
        float *from = copy(x + 100 * n, n), *to = edge(n), *slope = edge(n);
        k->gelu(n, from, to, slope);
        ck_assert(same(to, y + 100 * n, n) && same(slope, dy + 100 * n, n));
    }
}
END_TEST

START_TEST(special_values_of_the_curves)
{
    static const float table[][4] = {           /* x, exp, log, tanh */
        { 0.0f, 1, -INFINITY, 0 },
        { -0.0f, 1, -INFINITY, -0.0f },
        { INFINITY, INFINITY, INFINITY, 1 },
        { -INFINITY, 0, NAN, -1 },
        { NAN, NAN, NAN, NAN },
        { 1e30f, INFINITY, 0x1.144f6ap+6f, 1 },
        { -1e30f, 0, NAN, -1 },
        { 0x1p-149f, 1, -0x1.9d1dap+6f, 0x1p-149f },
        { -0x1p-149f, 1, NAN, -0x1p-149f },
        { -0x1.fffffcp-127f, 1, NAN, -0x1.fffffcp-127f },
        { -NAN, NAN, NAN, NAN },
        { FLT_MAX, INFINITY, 0x1.62e430p+6f, 1 },       /* 128 ln 2 */
        { -FLT_MAX, 0, NAN, -1 },
        { FLT_MIN, 1, -0x1.5d58a0p+6f, FLT_MIN },       /* -126 ln 2 */
    };
    for (int t = 0; t < nn_kern_count(); t++)
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            float y[3];
            for (size_t c = 0; c < 3; c++)
                curve_of(nn_kern_at(t), &curves[c])(1, table[i], &y[c]);
            ck_assert_msg(same(y, table[i] + 1, 3), "%s at %a: %a %a %a",
                          nn_kern_at(t)->name, (double)table[i][0], (double)y[0],
                          (double)y[1], (double)y[2]);
        }
}
END_TEST

/* ---- products -------------------------------------------------------------------- */

typedef struct problem {
    size_t m, n, k, ldc;
    nn_mat a, b;
    float *c, *bias;
    int form;                           /* bits: A turned, B turned, add, bias, relu */
} problem;

static problem problem_of(size_t m, size_t n, size_t k, int form)
{
    problem p = { m, n, k, n + 2, { drawn(m * k), k, 1 }, { drawn(k * n), n, 1 },
                  drawn(m * (n + 2)), drawn(n), form };
    if (form & 1)
        p.a.rs = 1, p.a.cs = m;
    if (form & 2)
        p.b.rs = 1, p.b.cs = k;
    return p;
}

static float *solved(const problem *p, const nn_kern *k)
{
    nn_epilogue e = { p->form >> 2 & 1, p->form >> 4 & 1, p->form & 8 ? p->bias : NULL };
    float *c = copy(p->c, p->m * p->ldc);
    nn_kern_now = k;
    nn_gemm(p->m, p->n, p->k, p->a, p->b, c, p->ldc, &e, &scratch);
    return c;
}

static void check_product(const problem *p, const float *c)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->ldc; j++) {
            size_t at = i * p->ldc + j;
            if (j >= p->n) {
                EXPECT(c[at] == p->c[at], "wrote between the rows of C");
                continue;
            }
            double s = p->form & 4 ? p->c[at] : 0, mag = fabs(s);
            for (size_t q = 0; q < p->k; q++) {
                double t = (double)p->a.p[i * p->a.rs + q * p->a.cs]
                           * p->b.p[q * p->b.rs + j * p->b.cs];
                s += t;
                mag += fabs(t);
            }
            if (p->form & 8) {
                s += p->bias[j];
                mag += fabs(p->bias[j]);
            }
            if (p->form & 16 && s < 0)
                s = 0;
            EXPECT(fabs(c[at] - s) <= bound(p->k + p->k / NN_TERMS, mag),
                   "%zu x %zu x %zu form %d: element %zu, %zu is %g, wanted %g", p->m,
                   p->n, p->k, p->form, i, j, (double)c[at], s);
        }
}

static const size_t ragged[][2] = {
    { 1, 1 }, { 1, 40 }, { 40, 1 }, { 5, 17 }, { 6, 16 }, { 14, 32 }, { 15, 33 },
    { 29, 65 }, { 65, 29 }, { 3, 100 }, { 100, 10 },
    { 8, 33 }, { 16, 70 }, { 70, 16 },      /* ends in two low tiles */
};
static const size_t depths[] = { 0, 1, 2, 16, 255, 511, 512, 513, 1100 };

START_TEST(products_are_right_in_every_form)
{
    for (size_t s = 0; s < sizeof ragged / sizeof *ragged; s++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            int form = _i | (int)(s + d) % 8 << 2;
            problem p = problem_of(ragged[s][0], ragged[s][1], depths[d], form);
            check_product(&p, solved(&p, nn_kern_now));
        }
    /* work enough for a team, several jobs; all three epilogues, and none */
    problem p = problem_of(230, 131, 257, 28 | _i), q = problem_of(70, 1100, 40, _i);
    check_product(&p, solved(&p, nn_kern_now));
    check_product(&q, solved(&q, nn_kern_now));
}
END_TEST

START_TEST(products_give_the_same_bytes_in_every_table)
{
    const nn_kern *k = rival(_i);
    if (!k)
        return;
    for (size_t s = 0; s < sizeof ragged / sizeof *ragged; s++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
            for (int turn = 0; turn < 4; turn++) {
                int form = turn | (int)(s * 3 + d) % 8 << 2;
                problem p = problem_of(ragged[s][0], ragged[s][1], depths[d], form);
                ck_assert_msg(same(solved(&p, ref()), solved(&p, k), p.m * p.ldc),
                              "%zu x %zu x %zu form %d differs between ref and %s", p.m,
                              p.n, p.k, form, k->name);
            }
    problem p = problem_of(150, 90, 600, 13);
    ck_assert(same(solved(&p, ref()), solved(&p, k), p.m * p.ldc));
}
END_TEST

/* element (i, j) as the plan has it: blocks of NN_TERMS terms, each added to C once */
static float planned(const problem *p, size_t i, size_t j)
{
    float c = p->form & 4 ? p->c[i * p->ldc + j] : 0;
    for (size_t k0 = 0; k0 < p->k; k0 += NN_TERMS) {
        float s = 0;
        for (size_t q = k0; q < p->k && q < k0 + NN_TERMS; q++)
            s = fmaf(p->a.p[i * p->a.rs + q * p->a.cs],
                     p->b.p[q * p->b.rs + j * p->b.cs], s);
        c = k0 || p->form & 4 ? c + s : s;
    }
    return p->form & 8 ? c + p->bias[j] : c;
}

START_TEST(products_sum_in_blocks_each_added_to_c_once)
{
    /* the last three leave rows that go as two low tiles: 8 of them where tiles have 6,
     * 17 where they have 14; they are wide and tall, and so is what a thin job walks */
    static const size_t size[][2] = { { 7, 18 }, { 8, 37 }, { 17, 40 }, { 38, 17 } };
    for (size_t s = 0; s < 4; s++)
        for (int form = 0; form < 16; form++) {
            problem p = problem_of(size[s][0], size[s][1], 1100, form);
            float *c = solved(&p, nn_kern_now);
            for (size_t i = 0; i < p.m; i++)
                for (size_t j = 0; j < p.n; j++)
                    EXPECT(c[i * p.ldc + j] == planned(&p, i, j),
                           "%zu x %zu, form %d, element %zu, %zu", p.m, p.n, form, i, j);
        }
}
END_TEST

START_TEST(products_are_the_same_for_every_team)
{
    static const size_t size[][3] = { { 230, 131, 257 }, { 70, 1100, 300 },
                                      { 1100, 70, 300 }, { 257, 2100, 40 },
                                      { 60, 300, 300 }, { 10, 300, 500 } };
    for (size_t s = 0; s < 6; s++) {
        problem p = problem_of(size[s][0], size[s][1], size[s][2], 24 | _i);
        nn_par_set_threads(1);
        float *one = solved(&p, nn_kern_now);
        for (int team = 2; team <= 3; team++) {
            nn_par_set_threads(team);
            ck_assert_msg(same(one, solved(&p, nn_kern_now), p.m * p.ldc),
                          "%zu x %zu x %zu differs with %d threads", p.m, p.n, p.k, team);
        }
    }
}
END_TEST

START_TEST(a_large_shared_side_goes_slab_by_slab)
{
    /* the smaller side has 300 x 20000 floats, more than the 2^22 packed at a time */
    problem p = _i ? problem_of(300, 310, 20000, 13) : problem_of(310, 300, 20000, 14);
    float *c = solved(&p, nn_kern_now);
    for (size_t i = 0; i < p.m; i += 23)
        for (size_t j = 0; j < p.n; j += 13)
            EXPECT(c[i * p.ldc + j] == planned(&p, i, j), "element %zu, %zu", i, j);
}
END_TEST

START_TEST(nan_passes_through_products_and_relu)
{
    float a[2] = { NAN, 1 }, b[2] = { 1, 2 }, c[4];
    nn_epilogue e = { .relu = 1 };
    nn_gemm(2, 2, 1, (nn_mat){ a, 1, 1 }, (nn_mat){ b, 2, 1 }, c, 2, &e, &scratch);
    ck_assert(isnan(c[0]) && isnan(c[1]));
    ck_assert(c[2] == 1 && c[3] == 2);
    for (int t = 0; t < nn_kern_count(); t++) {
        float y[2];
        nn_bn n = { .a = b, .b = b, .relu = 1 };
        nn_kern_at(t)->bn_apply(1, 2, &n, a, NULL, y);
        ck_assert(isnan(y[0]) && y[1] == 4);
    }
}
END_TEST

/* ---- convolutions ---------------------------------------------------------------- */

static const nn_conv shapes[] = {
    /*  n,  h,  w, cin, cout, kh, kw, stride, pad */
    { 2, 5, 7, 1, 10, 3, 3, 1, 1, 0, 0 },
    { 3, 9, 9, 3, 16, 3, 3, 2, 1, 0, 0 },
    { 2, 28, 28, 1, 16, 3, 3, 1, 1, 0, 0 },             /* strips of rows */
    { 2, 8, 8, 8, 33, 1, 1, 2, 0, 0, 0 },               /* most pixels meet no tap */
    { 2, 8, 8, 16, 16, 1, 1, 1, 0, 0, 0 },              /* a plain product */
    { 1, 13, 11, 17, 10, 5, 5, 2, 2, 0, 0 },
    { 2, 15, 15, 3, 16, 7, 7, 2, 3, 0, 0 },
    { 5, 7, 7, 8, 17, 3, 3, 3, 1, 0, 0 },
    { 2, 2, 2, 3, 5, 5, 5, 1, 2, 0, 0 },                /* kernel larger than the image */
    { 1, 1, 1, 16, 33, 3, 3, 1, 1, 0, 0 },
    { 3, 20, 20, 16, 1, 3, 3, 1, 0, 0, 0 },
    { 1, 3, 300, 8, 16, 3, 3, 1, 1, 0, 0 },             /* a row in pieces */
    { 1, 4, 600, 1, 4, 3, 3, 2, 1, 0, 0 },
    { 40, 4, 4, 16, 33, 3, 3, 1, 1, 0, 0 },             /* images together */
    { 2, 6, 6, 16, 16, 3, 3, 1, 5, 0, 0 },              /* more padding than kernel */
    { 2, 10, 10, 8, 8, 2, 4, 3, 0, 0, 0 },
    { 2, 9, 9, 17, 16, 1, 1, 3, 2, 0, 0 },
    { 9, 9, 10, 8, 7, 3, 3, 5, 1, 0, 0 },               /* stride beyond the kernel */
    { 40, 8, 8, 3, 150, 3, 3, 1, 1, 0, 0 },             /* many columns, many chunks */
    { 40, 14, 14, 3, 5, 3, 3, 1, 1, 0, 0 },             /* more units than chunks */
    { 40, 8, 8, 8, 300, 1, 1, 1, 0, 0, 0 },             /* more columns than one packing */
    { 1, 1, 2, 1, 2, 1, 3, 1, 300, 0, 0 },              /* units outside the image */
    { 1, 2, 3, 64, 1900, 3, 3, 1, 1, 0, 0 },            /* one chunk: 2^20 weights */
    { 40, 14, 14, 16, 3, 3, 3, 1, 1, 0, 0 },            /* few channels out */
    { 3, 18, 20, 3, 16, 4, 4, 2, 1, 0, 0 },             /* few in, by classes */
    { 1, 4, 600, 5, 2, 3, 3, 1, 2, 0, 0 },              /* few out, a row in pieces */
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct layer {
    nn_conv c;
    size_t nx, nw, ny;
    float *x, *w, *bias, *dy, *dx, *dw;         /* dx, dw: what the gradients add to */
} layer;

static layer layer_with(nn_conv shape)
{
    layer l = { .c = shape };
    nn_conv *c = &l.c;
    ck_assert_int_eq(nn_conv_plan(c), 1);
    l.nx = (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->cin;
    l.nw = (size_t)c->cout * (size_t)c->kh * (size_t)c->kw * (size_t)c->cin;
    l.ny = (size_t)c->n * (size_t)c->oh * (size_t)c->ow * (size_t)c->cout;
    l.x = drawn(l.nx);
    l.w = drawn(l.nw);
    l.bias = drawn((size_t)c->cout);
    l.dy = drawn(l.ny);
    l.dx = drawn(l.nx);
    l.dw = drawn(l.nw);
    return l;
}

static layer layer_of(int i)
{
    return layer_with(shapes[i]);
}

typedef struct result { float *y, *dx, *dw; } result;

static result convolved(const layer *l, const nn_kern *k, int add)
{
    result r = { edge(l->ny), copy(l->dx, l->nx), copy(l->dw, l->nw) };
    nn_kern_now = k;
    nn_conv_forward(&l->c, l->x, l->w, add ? l->bias : NULL, r.y, &scratch);
    nn_conv_dgrad(&l->c, l->dy, l->w, r.dx, add, &scratch);
    nn_conv_wgrad(&l->c, l->x, l->dy, r.dw, &scratch);
    return r;
}

/* sums in double, and beside each the sum of magnitudes and the number of terms */
typedef struct exact { double *sum, *mag; size_t *terms; } exact;

static exact exact_of(const float *start, size_t n)
{
    exact e = { calloc(n, sizeof(double)), calloc(n, sizeof(double)),
                calloc(n, sizeof(size_t)) };
    ck_assert(e.sum && e.mag && e.terms);
    for (size_t i = 0; start && i < n; i++)
        e.mag[i] = fabs(e.sum[i] = start[i]);
    return e;
}

static void add_term(exact *e, size_t at, float a, float b)
{
    double t = (double)a * b;
    e->sum[at] += t;
    e->mag[at] += fabs(t);
    e->terms[at]++;
}

static void check_exact(exact *e, const float *got, size_t n, const char *what, int shape)
{
    for (size_t i = 0; i < n; i++)
        EXPECT(fabs(got[i] - e->sum[i]) <= bound(e->terms[i], e->mag[i]),
               "%s of shape %d: element %zu is %g, wanted %g", what, shape, i,
               (double)got[i], e->sum[i]);
    free(e->sum);
    free(e->mag);
    free(e->terms);
}

/* the definition, tap by tap, for all three passes at once */
static void define(const layer *l, exact *y, exact *dx, exact *dw)
{
    const nn_conv *c = &l->c;
    const size_t cin = (size_t)c->cin, cout = (size_t)c->cout;
    for (size_t p = 0; p < l->ny / cout; p++) {
        int n = (int)p / (c->oh * c->ow);
        int oy = (int)p / c->ow % c->oh, ox = (int)p % c->ow;
        for (int tap = 0; tap < c->kh * c->kw; tap++) {
            int iy = oy * c->stride - c->pad + tap / c->kw;
            int ix = ox * c->stride - c->pad + tap % c->kw;
            if (iy < 0 || ix < 0 || iy >= c->h || ix >= c->w)
                continue;
            size_t xi = (size_t)((n * c->h + iy) * c->w + ix) * cin;
            for (size_t o = 0; o < cout; o++) {
                size_t yi = p * cout + o;
                size_t wi = (o * (size_t)(c->kh * c->kw) + (size_t)tap) * cin;
                for (size_t i = 0; i < cin; i++) {
                    add_term(y, yi, l->x[xi + i], l->w[wi + i]);
                    add_term(dx, xi + i, l->dy[yi], l->w[wi + i]);
                    add_term(dw, wi + i, l->dy[yi], l->x[xi + i]);
                }
            }
        }
    }
}

START_TEST(convolutions_match_their_definition)
{
    layer l = layer_of(_i);
    const size_t cout = (size_t)l.c.cout;
    float *bias = edge(l.ny);
    for (size_t i = 0; i < l.ny; i++)
        bias[i] = l.bias[i % cout];
    exact y = exact_of(bias, l.ny), dx = exact_of(l.dx, l.nx), dw = exact_of(l.dw, l.nw);
    result r = convolved(&l, nn_kern_now, 1);
    define(&l, &y, &dx, &dw);
    check_exact(&y, r.y, l.ny, "y", _i);
    check_exact(&dx, r.dx, l.nx, "dx", _i);
    check_exact(&dw, r.dw, l.nw, "dw", _i);
}
END_TEST

START_TEST(convolutions_give_the_same_bytes_in_every_table)
{
    const nn_kern *k = rival(_i / SHAPES);
    if (!k)
        return;
    layer l = layer_of(_i % SHAPES);
    result r = convolved(&l, ref(), _i % 2), s = convolved(&l, k, _i % 2);
    ck_assert_msg(same(r.y, s.y, l.ny), "y differs between ref and %s", k->name);
    ck_assert_msg(same(r.dx, s.dx, l.nx), "dx differs between ref and %s", k->name);
    ck_assert_msg(same(r.dw, s.dw, l.nw), "dw differs between ref and %s", k->name);
}
END_TEST

START_TEST(convolutions_are_the_same_for_every_team)
{
    layer l = layer_of(_i);
    nn_par_set_threads(1);
    result one = convolved(&l, nn_kern_now, 1);
    for (int team = 2; team <= 3; team++) {
        nn_par_set_threads(team);
        result r = convolved(&l, nn_kern_now, 1);
        ck_assert_msg(same(one.y, r.y, l.ny) && same(one.dx, r.dx, l.nx)
                      && same(one.dw, r.dw, l.nw), "%d threads give other bytes", team);
    }
}
END_TEST

/* y of `cout`, dx of `cin` channels: the first ones of l's weight, x and dy. */
static layer part_of(const layer *l, int cin, int cout)
{
    layer s = { .c = l->c };
    const size_t k = (size_t)(l->c.kh * l->c.kw);
    const size_t ci = (size_t)cin, co = (size_t)cout, wide_i = (size_t)l->c.cin,
                 wide_o = (size_t)l->c.cout;
    s.c.cin = cin;
    s.c.cout = cout;
    s.nx = l->nx / wide_i * ci;
    s.ny = l->ny / wide_o * co;
    s.nw = k * ci * co;
    s.x = drawn(s.nx);
    s.w = drawn(s.nw);
    s.dy = drawn(s.ny);
    s.dx = drawn(s.nx);
    s.dw = drawn(s.nw);
    s.bias = copy(l->bias, co);
    for (size_t i = 0; i < s.nx; i++) {
        s.x[i] = l->x[i / ci * wide_i + i % ci];
        s.dx[i] = l->dx[i / ci * wide_i + i % ci];
    }
    for (size_t i = 0; i < s.ny; i++)
        s.dy[i] = l->dy[i / co * wide_o + i % co];
    for (size_t i = 0; i < s.nw; i++) {
        s.w[i] = l->w[i / ci * wide_i + i % ci];
        s.dw[i] = l->dw[i / ci * wide_i + i % ci];
    }
    return s;
}

/* What a channel is does not depend on how many there are beside it, though few are
 * summed in another way (conv.c). */
START_TEST(few_channels_are_summed_as_many_are)
{
    const nn_kern *k = _i / 2 == 0 ? ref() : rival(_i / 2 - 1);
    const int add = _i % 2;
    if (!k)
        return;
    for (int few = 1; few <= 4; few++)
        for (int stride = 1; stride <= 2; stride++) {
            layer l = layer_with((nn_conv){ 9, 18, 21, 16, 16, 4, 4, stride, 1, 0, 0 });
            layer out = part_of(&l, 16, few), in = part_of(&l, few, 16);
            result all = convolved(&l, k, add), y = convolved(&out, k, add),
                   dx = convolved(&in, k, add);
            for (size_t i = 0; i < out.ny; i++)
                EXPECT(y.y[i] == all.y[i / (size_t)few * 16 + i % (size_t)few],
                       "%s: y of %d channels, stride %d", k->name, few, stride);
            ck_assert_msg(same(y.dw, all.dw, out.nw), "%s: dw of %d channels, stride %d",
                          k->name, few, stride);
            for (size_t i = 0; i < in.nx; i++)
                EXPECT(dx.dx[i] == all.dx[i / (size_t)few * 16 + i % (size_t)few],
                       "%s: dx of %d channels, stride %d", k->name, few, stride);
        }
}
END_TEST

START_TEST(gradients_of_a_convolution_add_when_asked)
{
    layer l = layer_of(_i);
    result over = convolved(&l, nn_kern_now, 0), added = convolved(&l, nn_kern_now, 1);
    float *zero = edge(l.nw);
    nn_conv_wgrad(&l.c, l.x, l.dy, zero, &scratch);
    for (size_t i = 0; i < l.nx; i++)
        EXPECT(added.dx[i] == l.dx[i] + over.dx[i], "dx %zu", i);
    for (size_t i = 0; i < l.nw; i++)
        EXPECT(added.dw[i] == l.dw[i] + zero[i], "dw %zu", i);
}
END_TEST

START_TEST(a_kernel_that_does_not_fit_is_refused)
{
    nn_conv c = { 1, 4, 4, 1, 1, 5, 5, 1, 0, 0, 0 };
    ck_assert_int_eq(nn_conv_plan(&c), 0);
    c.pad = 1;
    ck_assert_int_eq(nn_conv_plan(&c), 1);
    ck_assert_int_eq(c.oh, 2);
    c.stride = 0;
    ck_assert_int_eq(nn_conv_plan(&c), 0);
    nn_conv s = { 1, 28, 224, 1, 1, 7, 7, 2, 3, 0, 0 };
    ck_assert_int_eq(nn_conv_plan(&s), 1);
    ck_assert_int_eq(s.oh, 14);
    ck_assert_int_eq(s.ow, 112);
}
END_TEST

START_TEST(no_images_is_no_work)
{
    layer l = layer_of(0);
    l.c.n = 0;
    result r = convolved(&l, nn_kern_now, 0);
    ck_assert(same(r.dx, l.dx, l.nx) && same(r.dw, l.dw, l.nw));
}
END_TEST

START_TEST(scratch_is_given_back)
{
    nn_arena own = {0};
    layer l = layer_of(3);
    size_t mark = nn_arena_mark(&own);
    float *y = edge(l.ny);
    nn_conv_forward(&l.c, l.x, l.w, NULL, y, &own);
    nn_conv_dgrad(&l.c, l.dy, l.w, l.dx, 1, &own);
    nn_conv_wgrad(&l.c, l.x, l.dy, l.dw, &own);
    problem p = problem_of(20, 30, 40, 0);
    nn_gemm(p.m, p.n, p.k, p.a, p.b, p.c, p.ldc, NULL, &own);
    ck_assert_uint_eq(nn_arena_mark(&own), mark);
}
END_TEST

/* ---- choosing -------------------------------------------------------------------- */

START_TEST(the_best_table_is_chosen_unless_one_is_named)
{
    unsetenv("FULLRANK_KERN");
    ck_assert_int_eq(nn_kern_choose(NULL), 1);
    ck_assert_ptr_eq(nn_kern_now, nn_kern_at(nn_kern_count() - 1));
    ck_assert_int_eq(nn_kern_choose("ref"), 1);
    ck_assert_str_eq(nn_kern_now->name, "ref");
    setenv("FULLRANK_KERN", nn_kern_at(nn_kern_count() - 1)->name, 1);
    ck_assert_int_eq(nn_kern_choose(NULL), 1);
    ck_assert_ptr_eq(nn_kern_now, nn_kern_at(nn_kern_count() - 1));
}
END_TEST

START_TEST(an_unknown_table_is_refused_and_changes_nothing)
{
    for (int i = 0; i < nn_kern_count(); i++) {
        const char *name = nn_kern_at(i)->name;
        ck_assert_int_eq(nn_kern_choose(name), 1);
        ck_assert_int_eq(nn_kern_choose("mmx"), 0);
        ck_assert_str_eq(nn_kern_now->name, name);
        setenv("FULLRANK_KERN", "sse9", 1);
        ck_assert_int_eq(nn_kern_choose(NULL), 0);
        ck_assert_str_eq(nn_kern_now->name, name);
    }
    ck_assert_ptr_null(nn_kern_at(nn_kern_count()));
    ck_assert_ptr_null(nn_kern_at(-1));
}
END_TEST

/* ---------------------------------------------------------------------------------- */

Suite *suite_kern(void)
{
    Suite *s = suite_create("kern");
    const int others = rivals(), tables = others + 1;

    TCase *t = tcase_create("tables");
    tcase_add_loop_test(t, every_tile_follows_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, a_tile_without_terms_is_zero, 0, tables);
    tcase_add_loop_test(t, sums_use_sixteen_lanes_folded_as_planned, 0, tables);
    tcase_add_loop_test(t, columns_follow_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, batch_normalisation_follows_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, relu_keeps_nan_the_sign_of_zero_and_denormals, 0, tables);
    tcase_add_loop_test(t, gram_blocks_follow_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, reflections_follow_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, rows_are_mixed_as_planned_to_the_bit, 0, tables);
    tcase_add_loop_test(t, windows_follow_the_plan_to_the_bit, 0, tables);
    tcase_add_loop_test(t, sums_keep_denormals_and_pass_on_what_is_not_finite, 0, tables);
    tcase_add_test(t, the_best_table_is_chosen_unless_one_is_named);
    tcase_add_test(t, an_unknown_table_is_refused_and_changes_nothing);
    suite_add_tcase(s, t);

    t = tcase_create("curves");
    tcase_add_loop_test(t, curves_keep_their_stated_error, 0, 3);
    tcase_add_loop_test(t, curves_keep_their_error_where_they_bend, 0, 3);
    tcase_add_loop_test(t, curves_give_the_same_bytes_in_every_table, 0, others);
    tcase_add_loop_test(t, gelu_gives_the_same_bytes_in_every_table, 0, others);
    tcase_add_test(t, special_values_of_the_curves);
    suite_add_tcase(s, t);

    t = tcase_create("products");
    tcase_add_loop_test(t, products_are_right_in_every_form, 0, 4);
    tcase_add_loop_test(t, products_give_the_same_bytes_in_every_table, 0, others);
    tcase_add_test(t, products_sum_in_blocks_each_added_to_c_once);
    tcase_add_loop_test(t, products_are_the_same_for_every_team, 0, 4);
    tcase_add_loop_test(t, a_large_shared_side_goes_slab_by_slab, 0, 2);
    tcase_add_test(t, nan_passes_through_products_and_relu);
    suite_add_tcase(s, t);

    t = tcase_create("convolutions");
    tcase_add_loop_test(t, convolutions_match_their_definition, 0, SHAPES);
    tcase_add_loop_test(t, convolutions_give_the_same_bytes_in_every_table, 0,
                        others * SHAPES);
    tcase_add_loop_test(t, convolutions_are_the_same_for_every_team, 0, SHAPES);
    tcase_add_loop_test(t, few_channels_are_summed_as_many_are, 0, 2 * tables);
    tcase_add_loop_test(t, gradients_of_a_convolution_add_when_asked, 0, SHAPES);
    tcase_add_test(t, a_kernel_that_does_not_fit_is_refused);
    tcase_add_test(t, no_images_is_no_work);
    tcase_add_test(t, scratch_is_given_back);
    suite_add_tcase(s, t);
    return s;
}
