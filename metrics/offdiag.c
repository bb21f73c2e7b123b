/* Do columns repeat each other?
 *
 *   offdiag   sum_{j != l} R_jl^2 / (m (m - 1))     R the correlations of the m columns
 *             that move at all                                                    (M15)
 *
 * What VICReg's covariance term and Barlow Twins' second term push down, free of scale.
 * 1 when all columns are copies of one another, up to sign.  A mean of squares: a few
 * copied columns among many hardly show, and a rotation of the same cloud changes it. */
#include <math.h>

#include "metrics/met.h"
#include "nn/linalg.h"

/* With d <= n from the covariance that the spectrum needs anyway. */
static double by_columns(met_view *v, int *live)
{
    const double *c = met_cov(v);
    size_t d = (size_t)v->d;
    double sum = 0;

    *live = 0;
    for (size_t j = 0; j < d; j++) {
        *live += c[j * d + j] > 0;
        for (size_t l = 0; l < j; l++)
            if (c[j * d + j] > 0 && c[l * d + l] > 0)
                sum += 2 * (c[j * d + l] / c[j * d + j]) * (c[j * d + l] / c[l * d + l]);
    }
    return sum;
}

/* With d > n by the n x n matrix of the standardised rows: |R|^2 = |YY'|^2 / n^2, of
 * which the diagonal of R is one for each column that moves. */
static double by_rows(met_view *v, int *live)
{
    int n = v->n, d = v->d;
    double *std = NN_NEW(v->arena, double, d);
    double *g = NN_NEW(v->arena, double, (size_t)n * n);
    float *turned = NN_NEW(v->arena, float, (size_t)n * d);
    double sum = 0;

    *live = 0;
    met_col_std(n, d, v->x, v->mean, std, v->arena);
    for (int j = 0; j < d; j++) {
        *live += std[j] > 0;
        for (int i = 0; i < n; i++)
            turned[(size_t)j * n + i] = std[j] > 0
                ? (float)((v->x[(size_t)i * d + j] - v->mean[j]) / std[j]) : 0;
    }
    nn_gram(d, n, turned, NULL, n, g, v->arena);
    for (size_t i = 0; i < (size_t)n * n; i++)
        sum += g[i] * g[i];
    return sum - *live;
}

static double value(met_view *v)
{
    if (!v->usable)
        return NAN;
    size_t mark = nn_arena_mark(v->arena);
    int live;
    double sum;

    if (v->d <= v->n) {
        sum = by_columns(v, &live);             /* leaves the covariance to the view */
    } else {
        sum = by_rows(v, &live);
        nn_arena_rewind(v->arena, mark);
    }
    return live > 1 ? sum / ((double)live * (live - 1)) : NAN;
}

/* E R^2 of independent normal columns, exactly */
static double ideal(int n, int d, int k)
{
    (void)k;
    return d > 1 ? 1 / (n - 1.0) : NAN;
}

const met_metric met_offdiag = {
    .name = "collapse/offdiag",
    .about = "mean squared correlation between different columns",
    .reference = "independent normal columns",
    .value = value, .ideal = ideal,
};
