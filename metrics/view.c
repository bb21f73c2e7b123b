/* What several metrics share, computed when first asked for. */
#include "metrics/met.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"

enum { ROWS = 256 };            /* rows of one chunk of column sums: part of the result */

/* x - x is 0 for a finite x and NaN otherwise, and NaN survives addition. */
int met_finite(const float *x, size_t n)
{
    float bad = 0;

    for (size_t i = 0; i < n; i++)
        bad += x[i] - x[i];
    return bad == 0;
}

met_view met_view_of(nn_arena *a, const float *x, int n, int d, int k)
{
    NN_NEED(n >= 0 && d > 0, "metrics of a %d x %d matrix", n, d);
    met_view v = { .x = x, .n = n, .d = d, .k = k, .arena = a };

    if (v.k > n - 1)
        v.k = n - 1;
    if (v.k < 1)
        v.k = 1;
    v.usable = n >= 2 && met_finite(x, (size_t)n * (size_t)d);
    return v;
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
        double q = 0;
        for (int j = 0; j < r->d; j++)
            q += (double)x[j] * x[j];
        double length = sqrt(q) > 1e-12 ? sqrt(q) : 1e-12;
        for (int j = 0; j < r->d; j++)
            u[j] = (float)(x[j] / length);
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

const double *met_mean(met_view *v)
{
    if (!v->mean) {
        v->mean = NN_NEW(v->arena, double, v->d);
        nn_col_mean(v->n, v->d, v->x, v->mean, v->arena);
    }
    return v->mean;
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

    /* Equal floats have an exact mean in double: constant columns leave exact zeros. */
    for (int i = 0; i < m; i++)
        if (w[i] < 1e-12 * w[0])
            w[i] = 0;
    nn_arena_rewind(scratch, mark);
}

const double *met_lambda(met_view *v)
{
    if (!v->lambda) {
        v->lambda = NN_NEW0(v->arena, double, v->d);
        met_spectrum(v->n, v->d, v->x, met_mean(v), v->n - 1, v->lambda, v->arena);
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

/* Distances from differences, not from scalar products: where two rows nearly coincide a
 * product of floats has lost their distance (spec 4.5). */
typedef struct search { const met_view *v; double *nearest; } search;

enum { QUERIES = 16 };          /* rows of one job; each row stands alone */

static void nearest_rows(void *ctx, size_t job, int worker)
{
    const search *s = ctx;
    const met_view *v = s->v;
    int first = (int)job * QUERIES, end = first + QUERIES < v->n ? first + QUERIES : v->n;
    (void)worker;

    for (int i = first; i < end; i++) {
        const float *x = v->x + (size_t)i * v->d;
        double *best = s->nearest + (size_t)i * v->k;   /* squares, ascending */
        int held = 0;

        for (int j = 0; j < v->n; j++) {
            if (j == i)
                continue;
            double q = nn_kern_now->dist2((size_t)v->d, x, v->x + (size_t)j * v->d);
            if (held == v->k && !(q < best[held - 1]))
                continue;
            int at = held < v->k ? held++ : held - 1;
            for (; at > 0 && best[at - 1] > q; at--)
                best[at] = best[at - 1];
            best[at] = q;
        }
        for (int j = 0; j < v->k; j++)
            best[j] = sqrt(best[j]);
    }
}

const double *met_nearest(met_view *v)
{
    if (!v->nearest) {
        v->nearest = NN_NEW0(v->arena, double, (size_t)v->n * v->k);
        search s = { v, v->nearest };
        nn_par_run(((size_t)v->n + QUERIES - 1) / QUERIES, nearest_rows, &s);
    }
    return v->nearest;
}
