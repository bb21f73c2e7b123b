/* Directions: where the unit rows u_i = z_i / |z_i| point.
 *
 *   mean_cos     average over i != j of u_i . u_j                                   (M3)
 *              = (|sum u|^2 - sum |u_i|^2) / (n (n - 1))
 *   uniformity   ln average over i < j of exp(-2 |u_i - u_j|^2)                    (M12)
 *                "Understanding Contrastive Representation Learning through
 *                Alignment and Uniformity on the Hypersphere", Wang and Isola, 2020
 *   wasserstein  distance of N(mean, Sigma) of the u_i from N(0, I/d):             (M13)
 *                sqrt(|mean|^2 + 1 + tr Sigma - 2 tr(Sigma^(1/2)) / sqrt(d))
 *                "Rethinking the Uniformity Metric in SSL", Fang et al., 2024
 *
 * mean_cos goes to 1 when all rows point the same way; features after a ReLU are positive
 * and have .5 and more in good health.  uniformity goes to 0 there too, but hardly
 * notices when half of the dimensions are lost; wasserstein does (sqrt(2) at a point). */
#include <math.h>

#include "metrics/marchenko.h"
#include "metrics/met.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"

static double mean_cos_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const float *u = met_unit(v);
    size_t mark = nn_arena_mark(v->arena);
    double *mean = NN_NEW(v->arena, double, v->d), n = v->n, whole = 0, own = 0;

    nn_col_mean(v->n, v->d, u, mean, v->arena);
    for (int j = 0; j < v->d; j++)
        whole += n * mean[j] * (n * mean[j]);
    for (size_t i = 0; i < (size_t)v->n * v->d; i++)
        own += (double)u[i] * u[i];
    nn_arena_rewind(v->arena, mark);
    return (whole - own) / (n * (n - 1));
}

static double zero(int n, int d, int k)
{
    (void)n, (void)d, (void)k;
    return 0;
}

/* Tiles of scalar products s = u_i . u_j above the diagonal; |u_i - u_j|^2 = 2 - 2 s.
 * The sizes decide the order of additions and so are part of the result. */
enum { TALL = 256, WIDE = 1024 };

typedef struct tiles {
    int n, top, rows, left, cols;
    float *s;                       /* (TALL, WIDE) */
    double *sum;                    /* (n) */
} tiles;

static void tile_row(void *ctx, size_t job, int worker)
{
    const tiles *t = ctx;
    int i = t->top + (int)job, first = i + 1 > t->left ? i + 1 - t->left : 0;
    float *s = t->s + job * WIDE;
    double sum = 0;
    (void)worker;

    if (first >= t->cols)
        return;
    for (int j = first; j < t->cols; j++) {
        float e = 4 * s[j] - 4;                 /* rounding may leave s above 1 */
        s[j] = e < 0 ? e : 0;
    }
    nn_kern_now->exp((size_t)(t->cols - first), s + first, s + first);
    for (int j = first; j < t->cols; j++)
        sum += s[j];
    t->sum[i] += sum;
}

static double uniformity_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const float *u = met_unit(v);
    size_t mark = nn_arena_mark(v->arena), d = (size_t)v->d;
    tiles t = { .n = v->n, .s = NN_NEW(v->arena, float, TALL * WIDE),
                .sum = NN_NEW0(v->arena, double, v->n) };
    double sum = 0, pairs = (double)v->n * (v->n - 1) / 2;

    for (t.top = 0; t.top < v->n; t.top += TALL)
        for (t.left = t.top / WIDE * WIDE; t.left < v->n; t.left += WIDE) {
            t.rows = v->n - t.top < TALL ? v->n - t.top : TALL;
            t.cols = v->n - t.left < WIDE ? v->n - t.left : WIDE;
            nn_gemm((size_t)t.rows, (size_t)t.cols, d,
                    (nn_mat){ u + (size_t)t.top * d, d, 1 },
                    (nn_mat){ u + (size_t)t.left * d, 1, d }, t.s, WIDE, NULL, v->arena);
            nn_par_run((size_t)t.rows, tile_row, &t);
        }
    for (int i = 0; i < v->n; i++)
        sum += t.sum[i];
    nn_arena_rewind(v->arena, mark);
    return nn_log(sum / pairs);
}

/* -4 + ln 0F1(; d/2; 4), the mean over independent uniform directions */
static double uniformity_ideal(int n, int d, int k)
{
    double term = 1, sum = 1;
    (void)n, (void)k;

    for (int i = 1; i < 40; i++) {              /* 4^i / i!^2 at d = 2: 1e-69 by then */
        term *= 4 / ((d / 2.0 + i - 1) * i);
        sum += term;
    }
    return -4 + nn_log(sum);
}

static double wasserstein_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const float *u = met_unit(v);
    size_t mark = nn_arena_mark(v->arena);
    int m = v->n < v->d ? v->n : v->d;
    double *mean = NN_NEW(v->arena, double, v->d), *w = NN_NEW(v->arena, double, m);
    double q = 1, roots = 0;

    nn_col_mean(v->n, v->d, u, mean, v->arena);
    met_spectrum(v->n, v->d, u, mean, v->n, w, v->arena);
    for (int j = 0; j < v->d; j++)
        q += mean[j] * mean[j];
    for (int i = 0; i < m; i++) {
        q += w[i];
        roots += sqrt(w[i]);
    }
    q -= 2 * roots / sqrt(v->d);
    nn_arena_rewind(v->arena, mark);
    return q > 0 ? sqrt(q) : 0;
}

/* The m = min(n, d) eigenvalues of Sigma are x max(n, d) / (n d); their trace is 1. */
static double wasserstein_ideal(int n, int d, int k)
{
    double c = n < d ? (double)n / d : 1;
    (void)k;
    return sqrt(2 - 2 * sqrt(c) * met_mp_of(n, d).root);
}

/* In double throughout, in one order: once an epoch, of one batch. */
double met_alignment(int n, int d, const float *a, const float *b, double power)
{
    NN_NEED(n >= 0 && d > 0 && power > 0, "alignment of %d x %d, power %g", n, d, power);
    size_t size = (size_t)n * (size_t)d;
    double sum = 0;

    if (n == 0 || !met_finite(a, size) || !met_finite(b, size))
        return NAN;
    for (int i = 0; i < n; i++, a += d, b += d) {
        double aa = 0, bb = 0, apart = 0;
        for (int j = 0; j < d; j++) {
            aa += (double)a[j] * a[j];
            bb += (double)b[j] * b[j];
        }
        double by_a = 1 / fmax(sqrt(aa), 1e-12), by_b = 1 / fmax(sqrt(bb), 1e-12);
        for (int j = 0; j < d; j++) {
            double gap = a[j] * by_a - b[j] * by_b;
            apart += gap * gap;
        }
        sum += power == 2 ? apart : nn_pow(apart, power / 2);
    }
    return sum / n;
}

const met_metric met_mean_cos = {
    .name = "collapse/mean_cos",
    .about = "mean cosine between different rows",
    .reference = "uniform on the sphere",
    .value = mean_cos_value, .ideal = zero,
};

const met_metric met_uniformity = {
    .name = "collapse/uniformity",
    .about = "log of the mean Gaussian potential of unit rows, t = 2",
    .reference = "uniform on the sphere",
    .value = uniformity_value, .ideal = uniformity_ideal,
};

const met_metric met_wasserstein = {
    .name = "collapse/wasserstein",
    .about = "distance of the unit rows' Gaussian from N(0, I/d)",
    .reference = "isotropic Gaussian",
    .value = wasserstein_value, .ideal = wasserstein_ideal,
};
