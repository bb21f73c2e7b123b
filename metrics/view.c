/* What several metrics share, computed when first asked for. */
#include "metrics/met.h"

#include <math.h>
#include <string.h>

#include "metrics/best.h"
#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"

enum {
    ROWS = 256,                 /* rows of one chunk of column sums: part of the result */
    SCANS = 16                  /* parts of a search for what is not finite */
};

typedef struct scan { const float *x; size_t n; int *bad; } scan;

/* x - x is 0 for a finite x and NaN otherwise, and NaN survives addition. */
static void scan_part(void *ctx, size_t job, int worker)
{
    const scan *s = ctx;
    const float *x = s->x + s->n * job / SCANS;
    (void)worker;

    s->bad[job] = nn_kern_now->dist2(s->n * (job + 1) / SCANS - s->n * job / SCANS, x, x)
                  != 0;
}

int met_finite(const float *x, size_t n)
{
    int bad[SCANS], any = 0;
    scan s = { x, n, bad };

    nn_par_run(SCANS, scan_part, &s);
    for (int i = 0; i < SCANS; i++)
        any |= bad[i];
    return !any;
}

void met_check_labels(const char *what, const uint16_t *label, int n, int classes)
{
    for (int i = 0; i < n; i++)
        NN_NEED(label[i] < classes, "%s row %d has label %d of %d classes", what, i,
                label[i], classes);
}

met_view met_view_of(nn_arena *a, const float *x, int n, int d, int k)
{
    NN_NEED(n >= 0 && d > 0, "metrics of a %d x %d matrix", n, d);
    met_view v = { .x = x, .n = n, .d = d, .k = k, .arena = a };

    if (v.k > n - 1)
        v.k = n - 1;
    if (v.k < 1)
        v.k = 1;
    if (n >= 2) {
        v.mean = NN_NEW(a, double, d);
        nn_col_mean(n, d, x, v.mean, a);
        v.usable = 1;
        for (int j = 0; j < d; j++)             /* no sum of floats leaves a double */
            v.usable &= isfinite(v.mean[j]) != 0;
    }
    return v;
}

/* Two floats as two doubles: what the plainest 64-bit CPU computes at once. */
typedef float floats __attribute__((vector_size(8)));
typedef float two __attribute__((vector_size(8), aligned(4), may_alias));
typedef double pair __attribute__((vector_size(16)));

static pair wide(const float *x)
{
    return __builtin_convertvector(*(const two *)x, pair);
}

/* sum x_j^2 over four lanes, part of the result: element j goes to lane j mod 4 */
static double square(int d, const float *x)
{
    pair even = {0, 0}, odd = {0, 0};
    int j = 0;

    for (; j + 4 <= d; j += 4) {
        pair a = wide(x + j), b = wide(x + j + 2);
        even += a * a;
        odd += b * b;
    }
    double q = (even[0] + odd[0]) + (even[1] + odd[1]);
    for (; j < d; j++)
        q += (double)x[j] * x[j];
    return q;
}

typedef struct rows { int n, d; const float *x; float *unit; } rows;

static void unit_rows(void *ctx, size_t job, int worker)
{
    const rows *r = ctx;
    int first = (int)job * ROWS, end = first + ROWS < r->n ? first + ROWS : r->n;
    (void)worker;

    for (int i = first; i < end; i++) {
        const float *x = r->x + (size_t)i * r->d;
        float *u = r->unit + (size_t)i * r->d;
        double length = sqrt(square(r->d, x)), by = 1 / (length > 1e-12 ? length : 1e-12);
        int j = 0;
        for (; j + 2 <= r->d; j += 2)
            *(two *)(u + j) = __builtin_convertvector(wide(x + j) * by, floats);
        for (; j < r->d; j++)
            u[j] = (float)(x[j] * by);
    }
}

void met_unit_rows(int n, int d, const float *x, float *unit)
{
    rows r = { n, d, x, unit };
    nn_par_run(((size_t)n + ROWS - 1) / ROWS, unit_rows, &r);
}

const float *met_unit(met_view *v)
{
    if (!v->unit) {
        v->unit = NN_NEW(v->arena, float, (size_t)v->n * v->d);
        met_unit_rows(v->n, v->d, v->x, v->unit);
    }
    return v->unit;
}

typedef struct spread {
    int n, d;
    const float *x;
    const double *mean;
    double *part;
} spread;

static void squares(void *ctx, size_t job, int worker)
{
    const spread *s = ctx;
    double *q = s->part + job * (size_t)s->d;
    int first = (int)job * ROWS, end = first + ROWS < s->n ? first + ROWS : s->n;
    (void)worker;

    memset(q, 0, sizeof *q * (size_t)s->d);
    for (int i = first; i < end; i++)
        for (int j = 0; j < s->d; j++) {
            double c = s->x[(size_t)i * s->d + j] - s->mean[j];
            q[j] += c * c;
        }
}

void met_col_std(int n, int d, const float *x, const double *mean, double *std,
                 nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), chunks = ((size_t)n + ROWS - 1) / ROWS;
    spread s = { n, d, x, mean, NN_NEW(scratch, double, chunks * (size_t)d) };

    nn_par_run(chunks, squares, &s);
    nn_fold_double(s.part, chunks, (size_t)d);
    for (int j = 0; j < d; j++)
        std[j] = sqrt(s.part[j] / n);
    nn_arena_rewind(scratch, mark);
}

/* The transpose of X - mean, rounded to float as X itself was. */
static float *turned(int n, int d, const float *x, const double *mean, nn_arena *scratch)
{
    float *t = NN_NEW(scratch, float, (size_t)n * d);

    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            t[(size_t)j * n + i] = (float)(x[(size_t)i * d + j] - (mean ? mean[j] : 0));
    return t;
}

/* Equal floats have an exact mean in double: constant columns leave exact zeros. */
static void drop_rounding(int m, double *w)
{
    for (int i = 0; i < m; i++)
        if (w[i] < 1e-12 * w[0])
            w[i] = 0;
}

/* Y'Y and YY' have the same positive eigenvalues: take the smaller of the two. */
void met_spectrum(int n, int d, const float *x, const double *mean, double denominator,
                  double *w, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    int m = n < d ? n : d;
    double *c = NN_NEW(scratch, double, (size_t)m * m);

    if (d <= n)
        nn_gram(n, d, x, mean, denominator, c, scratch);
    else
        nn_gram(d, n, turned(n, d, x, mean, scratch), NULL, denominator, c, scratch);
    nn_eigen_sym(m, c, w, NN_VALUES, scratch);
    drop_rounding(m, w);
    nn_arena_rewind(scratch, mark);
}

const double *met_cov(met_view *v)
{
    NN_NEED(v->d <= v->n, "covariance of %d columns of %d rows", v->d, v->n);
    if (!v->cov) {
        v->cov = NN_NEW(v->arena, double, (size_t)v->d * v->d);
        nn_gram(v->n, v->d, v->x, v->mean, v->n - 1, v->cov, v->arena);
    }
    return v->cov;
}

const double *met_lambda(met_view *v)
{
    if (!v->lambda && v->d <= v->n) {
        met_cov(v);
        v->lambda = NN_NEW(v->arena, double, v->d);
        nn_eigen_sym(v->d, v->cov, v->lambda, NN_VALUES, v->arena);
        drop_rounding(v->d, v->lambda);
    } else if (!v->lambda) {
        v->lambda = NN_NEW0(v->arena, double, v->d);
        met_spectrum(v->n, v->d, v->x, v->mean, v->n - 1, v->lambda, v->arena);
    }
    return v->lambda;
}

const double *met_sigma(met_view *v)
{
    int m = v->n < v->d ? v->n : v->d;

    if (!v->sigma) {
        v->sigma = NN_NEW(v->arena, double, m);
        met_spectrum(v->n, v->d, v->x, NULL, 1, v->sigma, v->arena);
        for (int i = 0; i < m; i++)
            v->sigma[i] = sqrt(v->sigma[i]);
    }
    return v->sigma;
}

/* Neighbours.  Distances come from differences: where two rows nearly coincide, a scalar
 * product of floats has lost their distance (spec 4.5).  But a product can tell which
 * rows are too far away to matter.  With y = x - mean, w = |y|^2 and the sums of products
 * of a matrix product,
 *
 *   g_ij = w_i + w_j - 2 y_i.y_j   is |x_i - x_j|^2 within  m_i + m_j,
 *   m = (1.25 d + 64) u w,  u = 2^-24
 *
 * which covers the rounding of y (4 u), of the product (d u, and one for every block of
 * NN_KC), of the sum of squared differences itself (16 lanes: d/8 u), and of g.  Rows
 * whose lower end g - m lies above the k-th smallest upper end g + m cannot be among the
 * k nearest; the others are measured.  So the result is that of measuring all. */
enum { TALL = 256, MOST_D = 1 << 18 };          /* rows of a tile; d u stays small */

typedef struct search {
    const met_view *v;
    double *nearest;
    const float *y;                             /* NULL: measure all */
    float *low, *twice;                         /* (n): w - m, 2 m */
    float *s; int top, rows;                    /* (rows, n) products of rows top ... */
    float *high; uint64_t *key;                 /* of each worker: (n), (2 k) */
} search;

/* Puts row j into the list of the k nearest of x, squares, ascending. */
static int measure(const met_view *v, const float *x, int j, double *best, int held)
{
    double q = nn_kern_now->dist2((size_t)v->d, x, v->x + (size_t)j * v->d);

    if (held == v->k && !(q < best[held - 1]))
        return held;
    int at = held < v->k ? held++ : held - 1;
    for (; at > 0 && best[at - 1] > q; at--)
        best[at] = best[at - 1];
    best[at] = q;
    return held;
}

/* Turns products into lower ends; returns the k-th smallest upper end but i's own. */
static float reach(const search *f, int i, float *s, int worker)
{
    int n = f->v->n;
    float *high = f->high + (size_t)worker * n;
    met_best best = { f->v->k, 0, -INFINITY, f->key + (size_t)worker * 2 * f->v->k };

    for (int j = 0; j < n; j++) {
        s[j] = f->low[i] + f->low[j] - 2 * s[j];
        high[j] = -(s[j] + (f->twice[i] + f->twice[j]));
    }
    high[i] = -INFINITY;
    met_best_take(&best, high, n, 0);
    met_best_settle(&best);
    return -best.least;
}

static void nearest_row(void *ctx, size_t job, int worker)
{
    const search *f = ctx;
    const met_view *v = f->v;
    int i = f->top + (int)job, held = 0;
    const float *x = v->x + (size_t)i * v->d;
    double *best = f->nearest + (size_t)i * v->k;
    float *s = f->s + job * (size_t)v->n, far = f->y ? reach(f, i, s, worker) : INFINITY;

    for (int j = 0; j < v->n; j++)
        if (j != i && !(f->y && s[j] > far))
            held = measure(v, x, j, best, held);
    for (int j = 0; j < v->k; j++)
        best[j] = sqrt(best[j]);
}

/* Rows less their mean, and the two ends of |y|^2; NULL when a float cannot hold them. */
static const float *centred(search *f, const double *mean)
{
    const met_view *v = f->v;
    float *y = NN_NEW(v->arena, float, (size_t)v->n * v->d);
    double share = (1.25 * v->d + 64) * 0x1p-24, most = 0;

    f->low = NN_NEW(v->arena, float, v->n);
    f->twice = NN_NEW(v->arena, float, v->n);
    for (int i = 0; i < v->n; i++) {
        float *yi = y + (size_t)i * v->d;
        for (int j = 0; j < v->d; j++)
            yi[j] = (float)(v->x[(size_t)i * v->d + j] - mean[j]);
        double w = square(v->d, yi), m = share * w + v->d * 0x1p-140;   /* denormals */
        f->low[i] = (float)(w - m);
        f->twice[i] = (float)(2 * m);
        most = w > most ? w : most;
    }
    return most < 1e37 && v->d <= MOST_D ? y : NULL;
}

const double *met_nearest(met_view *v)
{
    if (!v->nearest) {
        v->nearest = NN_NEW0(v->arena, double, (size_t)v->n * v->k);
        const double *mean = v->mean;
        size_t mark = nn_arena_mark(v->arena), n = (size_t)v->n, d = (size_t)v->d;
        size_t team = (size_t)nn_par_threads();
        search f = { .v = v, .nearest = v->nearest };
        f.y = centred(&f, mean);
        f.s = NN_NEW(v->arena, float, TALL * n);
        f.high = NN_NEW(v->arena, float, team * n);
        f.key = NN_NEW(v->arena, uint64_t, team * 2 * (size_t)v->k);
        for (; f.top < v->n; f.top += TALL) {
            f.rows = v->n - f.top < TALL ? v->n - f.top : TALL;
            if (f.y)
                nn_gemm((size_t)f.rows, n, d, (nn_mat){ f.y + (size_t)f.top * d, d, 1 },
                        (nn_mat){ f.y, 1, d }, f.s, n, NULL, v->arena);
            nn_par_run((size_t)f.rows, nearest_row, &f);
        }
        nn_arena_rewind(v->arena, mark);
    }
    return v->nearest;
}
