#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/best.h"
#include "metrics/met.h"
#include "nn/kern/kern.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/golden.h"
#include "tests/suites.h"

static nn_arena arena;

static void best_kernel(void)
{
    nn_kern_choose(NULL);
}

static double value(const char *name, const float *x, int n, int d, int k)
{
    const met_metric *m = met_metric_find(name);
    ck_assert_msg(m != NULL, "no metric %s", name);
    size_t mark = nn_arena_mark(&arena);
    met_view v = met_view_of(&arena, x, n, d, k);
    double y = m->value(&v);
    nn_arena_rewind(&arena, mark);
    return y;
}

static double ideal(const char *name, int n, int d, int k)
{
    return met_metric_find(name)->ideal(n, d, k);
}

static void near(const char *name, double got, double want, double tolerance)
{
    ck_assert_msg(fabs(got - want) <= tolerance, "%s is %.8g, not %.8g +- %.2g", name,
                  got, want, tolerance);
}

static float *gaussian(int n, int d, uint64_t seed)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    float *x = malloc(sizeof *x * (size_t)n * (size_t)d);
    for (int i = 0; i < n * d; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* Uniform on the sphere of the first r of d dimensions. */
static float *sphere(int n, int d, int r, uint64_t seed)
{
    float *g = gaussian(n, r, seed), *x = calloc((size_t)n * (size_t)d, sizeof *x);
    for (int i = 0; i < n; i++) {
        double q = 0;
        for (int j = 0; j < r; j++)
            q += (double)g[i * r + j] * g[i * r + j];
        for (int j = 0; j < r; j++)
            x[i * d + j] = (float)(g[i * r + j] / sqrt(q));
    }
    free(g);
    return x;
}

/* Column j of n rows holds +-scale[j], mean zero, all columns orthogonal (Sylvester's
 * Hadamard matrix without its first column; n a power of two above d): the covariance is
 * diagonal with scale^2 n / (n - 1), exactly. */
static float *orthogonal(int n, int d, const double *scale)
{
    float *x = malloc(sizeof *x * (size_t)n * (size_t)d);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            x[i * d + j] = (float)(__builtin_parity((unsigned)(i & (j + 1))) ? -scale[j]
                                                                            : scale[j]);
    return x;
}

/* ---- against NumPy, definition by definition --------------------------------------- */

static const char *const sets[] = { "tall", "wide", "copies", "far" };

START_TEST(every_metric_agrees_with_numpy)
{
    golden g = golden_open("metrics.gold");
    const golden_record *x = golden_at(&g, "%s/x", sets[_i]);
    int n = x->shape.dim[0], d = x->shape.dim[1];
    int k = (int)golden_at(&g, "%s/k", sets[_i])->val[0];

    for (int i = 0; i < met_metric_count(); i++) {
        const met_metric *m = met_metric_at(i);
        char name[64];
        snprintf(name, sizeof name, "%s/%s", sets[_i], strchr(m->name, '/') + 1);
        const golden_record *want = golden_find(&g, name);
        double got = value(m->name, x->val, n, d, k);
        if (!want) {
            ck_assert_msg(isnan(got), "%s: undefined for NumPy, %g for us", name, got);
            continue;
        }
        /* golden values and unit rows are floats (6e-8), products of unit rows sums of up
         * to 24 of them; float distances are off by 1e-7, their logarithms, about 1/20
         * here, by twenty times that */
        double relative = strstr(name, "lid") || strstr(name, "twonn") ? 2e-5 : 2e-6;
        near(name, got, want->val[0], relative * (1 + fabs(want->val[0])));
    }
    golden_free(&g);
}
END_TEST

START_TEST(shares_of_principal_components_agree_with_numpy)
{
    golden g = golden_open("metrics.gold");
    const golden_record *x = golden_at(&g, "%s/x", sets[_i]);
    const golden_record *want = golden_at(&g, "%s/share", sets[_i]);
    int n = x->shape.dim[0], d = x->shape.dim[1];
    double *xy = malloc(sizeof *xy * 2 * (size_t)n), share[2];
    met_view v = met_view_of(&arena, x->val, n, d, 8);

    met_pca2(&v, xy, share);
    near("share of the first component", share[0], want->val[0], 1e-6);
    near("share of the second component", share[1], want->val[1], 1e-6);
    free(xy);
    golden_free(&g);
}
END_TEST

/* ---- closed forms ------------------------------------------------------------------ */

START_TEST(isotropic_gaussian_reads_as_its_reference)
{
    enum { N = 1024, D = 64 };
    static const struct { const char *name; double relative; } list[] = {
        /* limits for large n and d; 2 % at d = 64 for the ranks, whose own scatter is a
         * tenth of that; the extreme eigenvalues converge like n^(-2/3) */
        { "collapse/erank", 0.02 }, { "collapse/rankme", 0.02 },
        { "collapse/participation", 0.02 }, { "collapse/cond", 0.15 },
        { "collapse/wasserstein", 0.05 }, { "collapse/alpha", 0.1 },
        { "collapse/uniformity", 0.001 }, { "collapse/std", 0.005 },
        { "collapse/sui", 0.02 }, { "collapse/top", 0.02 }, { "collapse/offdiag", 0.1 },
        { "collapse/stable_rank", 0.05 }, { "collapse/numerical_rank", 0 },
        { "collapse/mst", 0.01 },
    };
    float *x = gaussian(N, D, 1);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        double want = ideal(list[i].name, N, D, 32);
        near(list[i].name, value(list[i].name, x, N, D, 32), want,
             list[i].relative * fabs(want));
    }
    /* 2^19 cosines of variance 1/64, nearly independent: 4 standard deviations */
    near("mean_cos", value("collapse/mean_cos", x, N, D, 32), 0, 4 / 8.0 / 724);
    near("raw_std", value("collapse/raw_std", x, N, D, 32), 1, 0.02);
    ck_assert(value("collapse/dead", x, N, D, 32) == 0);
    free(x);
}
END_TEST

/* Values of the Marchenko-Pastur law for c = d/n, worked out apart from this program;
 * given to four digits. */
START_TEST(references_of_the_spectrum_are_those_of_marchenko_and_pastur)
{
    static const double table[][6] = {      /* n, erank/d, rankme/d, pr/d, cond, w2 */
        { 1024, .9692, .9920, .9412, 2.778, .1255 },
        {  512, .9394, .9838, .8889, 4.384, .1782 },
        {  256, .8825, .9662, .8000, 9.000, .2542 },
        {  128, .7788, .9261, .6667, 33.97, .3666 },
        {   64, .6065, .8050, .5000, 1e12,  .5499 },
    };
    for (int i = 0; i < 5; i++) {
        const double *t = table[i];
        int n = (int)t[0];
        near("erank", ideal("collapse/erank", n, 64, 32) / 64, t[1], 6e-5);
        near("rankme", ideal("collapse/rankme", n, 64, 32) / 64, t[2], 6e-5);
        near("participation", ideal("collapse/participation", n, 64, 32) / 64, t[3],
             6e-5);
        near("cond", ideal("collapse/cond", n, 64, 32), t[4], 6e-4 * t[4]);
        near("wasserstein", ideal("collapse/wasserstein", n, 64, 32), t[5], 6e-5);
    }
}
END_TEST

START_TEST(references_hold_with_fewer_rows_than_columns)
{
    enum { N = 100, D = 300 };
    float *x = gaussian(N, D, 2);
    /* the covariance has rank n - 1 and not n: another 1 % */
    static const char *const list[] = {
        "collapse/erank", "collapse/rankme", "collapse/participation",
        "collapse/wasserstein",
    };
    for (int i = 0; i < 4; i++) {
        double want = ideal(list[i], N, D, 32);
        near(list[i], value(list[i], x, N, D, 32), want, 0.03 * want);
    }
    ck_assert(value("collapse/cond", x, N, D, 32) == 1e12
              && ideal("collapse/cond", N, D, 32) == 1e12);
    free(x);
}
END_TEST

START_TEST(reference_of_uniformity_is_the_hypergeometric_form)
{
    static const double table[][2] = {      /* -4 + ln 0F1(; d/2; 4), four digits */
        { 2, -1.5750 }, { 3, -2.0798 }, { 8, -3.0825 }, { 16, -3.5130 }, { 32, -3.7518 },
        { 64, -3.8752 }, { 128, -3.9375 }, { 256, -3.9688 }, { 512, -3.9844 },
        { 2048, -3.9961 },
    };
    for (int i = 0; i < 10; i++)
        near("uniformity", ideal("collapse/uniformity", 1000, (int)table[i][0], 32),
             table[i][1], 6e-5);
    float *x = sphere(2048, 3, 3, 3);
    /* the mean potential over 2 million pairs: measured scatter over seeds 0.002 */
    near("uniformity on a sphere", value("collapse/uniformity", x, 2048, 3, 8), -2.0798,
         0.01);
    free(x);
}
END_TEST

/* Published in the project's specification, from another program: 5 %. */
START_TEST(local_dimension_reads_as_measured_elsewhere)
{
    static const struct { int round, n, k, d; double want; } table[] = {
        { 0, 512, 16, 2, 2.25 }, { 0, 512, 16, 8, 8.05 }, { 0, 512, 16, 32, 21.2 },
        { 0, 512, 16, 128, 47.1 }, { 1, 2048, 64, 2, 1.02 }, { 1, 2048, 64, 8, 6.54 },
        { 1, 2048, 64, 32, 20.3 }, { 1, 2048, 64, 128, 48.9 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int n = table[i].n, d = table[i].d, k = table[i].k;
        float *x = table[i].round ? sphere(n, d, d, 4) : gaussian(n, d, 4);
        near("lid_gmean", value("collapse/lid_gmean", x, n, d, k), table[i].want,
             0.05 * table[i].want);
        if (table[i].round) {
            near("reference of lid_gmean", ideal("collapse/lid_gmean", n, d, k),
                 table[i].want, 0.03 * table[i].want);
            near("reference of lid_mean", ideal("collapse/lid_mean", n, d, k),
                 value("collapse/lid_mean", x, n, d, k), 0.03 * table[i].want);
        }
        free(x);
    }
    /* with few neighbours the two means and the dimension are far apart: k/(k-2) = 1.5 */
    float *x = sphere(2048, 8, 8, 5);
    near("reference of lid_mean", ideal("collapse/lid_mean", 2048, 8, 6),
         value("collapse/lid_mean", x, 2048, 8, 6), 0.3);
    near("reference of lid_gmean", ideal("collapse/lid_gmean", 2048, 8, 6),
         value("collapse/lid_gmean", x, 2048, 8, 6), 0.3);
    free(x);
}
END_TEST

/* ---- exact cases ------------------------------------------------------------------- */

START_TEST(two_level_spectra_are_exact)
{
    enum { N = 128, D = 64 };
    static const int live[] = { 1, 2, 7, 32, 64 };
    for (int s = 0; s < 5; s++) {
        double scale[D] = {0}, m = live[s];
        for (int j = 0; j < live[s]; j++)
            scale[j] = 1 / sqrt(m);             /* rows of length one */
        float *x = orthogonal(N, D, scale);
        near("erank", value("collapse/erank", x, N, D, 8), m, 1e-6 * m);
        near("participation", value("collapse/participation", x, N, D, 8), m, 1e-6 * m);
        near("std", value("collapse/std", x, N, D, 8), sqrt(m / D), 1e-6);
        near("wasserstein", value("collapse/wasserstein", x, N, D, 8),
             sqrt(2 - 2 * sqrt(m / D)), m == D ? 3e-4 : 1e-6);  /* the root of 1e-7 */
        near("mean_cos", value("collapse/mean_cos", x, N, D, 8), -1.0 / (N - 1), 1e-6);
        near("stable_rank", value("collapse/stable_rank", x, N, D, 8), m, 1e-6 * m);
        near("numerical_rank", value("collapse/numerical_rank", x, N, D, 8), m, 0);
        near("top", value("collapse/top", x, N, D, 8), 1 - m / D, 1e-6);
        near("sui", value("collapse/sui", x, N, D, 8), m / D, 1e-6);
        if (m > 1)
            near("offdiag", value("collapse/offdiag", x, N, D, 8), 0, 1e-12);
        near("raw_std", value("collapse/raw_std", x, N, D, 8), sqrt(m) / D, 1e-6);
        near("dead", value("collapse/dead", x, N, D, 8), 1 - m / D, 0);
        near("cond", value("collapse/cond", x, N, D, 8), m == D ? 1 : 1e12, 1e-6);
        /* p = 1/m + 1e-7 in m places, 1e-7 in the others */
        double p = 1 / m + 1e-7, h = -m * p * log(p) - (D - m) * 1e-7 * log(1e-7);
        near("rankme", value("collapse/rankme", x, N, D, 8), exp(h), 1e-6 * m);

        met_view v = met_view_of(&arena, x, N, D, 8);
        for (int j = 0; j < D; j++) {
            near("lambda", met_lambda(&v)[j], j < m ? N / m / (N - 1) : 0, 1e-6 / m);
            near("sigma", met_sigma(&v)[j], j < m ? sqrt(N / m) : 0, 1e-6);
        }
        free(x);
    }
}
END_TEST

START_TEST(alpha_is_the_exponent_of_a_power_law)
{
    enum { N = 256, D = 100 };
    static const double powers[] = { 0, 0.5, 1, 2.5 };
    for (int i = 0; i < 4; i++) {
        double scale[D];
        for (int j = 0; j < D; j++)
            scale[j] = pow(j + 1, -powers[i] / 2);
        float *x = orthogonal(N, D, scale);
        near("alpha", value("collapse/alpha", x, N, D, 8), powers[i], 1e-6);
        near("cond", value("collapse/cond", x, N, D, 8), pow(D, powers[i]),
             1e-6 * pow(D, powers[i]));
        free(x);
    }
}
END_TEST

START_TEST(a_constant_is_the_bottom_of_every_scale)
{
    enum { N = 300, D = 20 };
    float x[N * D];
    for (int i = 0; i < N * D; i++)
        x[i] = (float)(0.1 + i % D);            /* not a number that sums exactly */
    near("std", value("collapse/std", x, N, D, 8), 0, 1e-6);
    near("mean_cos", value("collapse/mean_cos", x, N, D, 8), 1, 1e-6);
    near("uniformity", value("collapse/uniformity", x, N, D, 8), 0, 1e-6);
    near("wasserstein", value("collapse/wasserstein", x, N, D, 8), sqrt(2), 1e-6);
    near("raw_std", value("collapse/raw_std", x, N, D, 8), 0, 1e-6);
    ck_assert(value("collapse/erank", x, N, D, 8) == 1);
    ck_assert(value("collapse/participation", x, N, D, 8) == 1);
    ck_assert(value("collapse/dead", x, N, D, 8) == 1);
    double h = -(1 + 1e-7) * log(1 + 1e-7) - (D - 1) * 1e-7 * log(1e-7);
    near("rankme", value("collapse/rankme", x, N, D, 8), exp(h), 1e-6);
    ck_assert(isnan(value("collapse/lid_mean", x, N, D, 8)));
    ck_assert(isnan(value("collapse/lid_gmean", x, N, D, 8)));
    ck_assert(isnan(value("collapse/cond", x, N, D, 8)));
    ck_assert(isnan(value("collapse/alpha", x, N, D, 8)));
    ck_assert(isnan(value("collapse/offdiag", x, N, D, 8)));
    ck_assert(isnan(value("collapse/twonn", x, N, D, 8)));
    ck_assert(value("collapse/mst", x, N, D, 8) == 0);
    near("stable_rank", value("collapse/stable_rank", x, N, D, 8), 1, 1e-6);
    ck_assert(value("collapse/numerical_rank", x, N, D, 8) == 1);
    near("top", value("collapse/top", x, N, D, 8), 1 - 1.0 / D, 1e-15);
    near("sui", value("collapse/sui", x, N, D, 8), 1.0 / D, 1e-15);
}
END_TEST

/* Corners of a regular simplex are as far apart as n points can be; n equal steps round
 * a circle make a tree of n - 1 chords, by either way of walking it. */
START_TEST(trees_of_simplex_and_circle_have_their_length)
{
    enum { CORNERS = 17, MANY = 8200 };         /* more than the matrix is kept for */
    float corner[CORNERS * CORNERS], *circle = malloc(sizeof *circle * 2 * MANY);
    for (int i = 0; i < CORNERS * CORNERS; i++)
        corner[i] = (float)(i / CORNERS == i % CORNERS) - 1.0f / CORNERS;
    near("simplex", value("collapse/mst", corner, CORNERS, CORNERS, 2), 1, 1e-6);
    for (int t = 0; t < 2; t++) {
        int n = t ? MANY : 300;
        for (int i = 0; i < n; i++) {           /* in no order that the tree could use */
            double a = 2 * M_PI * (i * 7 % n) / n;
            circle[2 * i] = (float)(3 * cos(a));
            circle[2 * i + 1] = (float)(3 * sin(a));
        }
        double want = (n - 1) * 2 * sin(M_PI / n) / n / sqrt(2 * (n - 1.0) / n);
        /* chords of 8e-4 between floats that are rounded by 3e-8 */
        near("circle", value("collapse/mst", circle, n, 2, 2), want, 1e-4 * want);
    }
    free(circle);
}
END_TEST

/* From the project's specification, another program's figures per point, given to three
 * digits from few samples: these scatter by 2.6 % at n = 128, d = 3, by less where either
 * is larger and by more on the circle. */
START_TEST(references_of_the_tree_are_those_measured_elsewhere)
{
    static const double list[][3] = {
        { 64, 2, .091 }, { 128, 3, .204 }, { 256, 8, .607 }, { 512, 32, 1.003 },
        { 1024, 128, 1.203 }, { 64, 512, 1.322 }, { 1024, 2, .0061 },
    };
    for (int i = 0; i < 7; i++) {
        int n = (int)list[i][0], d = (int)list[i][1];
        double want = list[i][2] / sqrt(2 * (n - 1.0) / n);
        near("mst", ideal("collapse/mst", n, d, 20), want, (d < 8 ? 0.04 : 0.01) * want);
    }
    /* between the points of the table: on the circle 2 pi (1 - H_n/n) with H_n = ln n +
     * .5772, and a sample; on the table's last point, and beyond */
    double want = 2 * M_PI * (1 - (log(3000) + .5772) / 3000) / 3000
                  / sqrt(2 * 2999 / 3000.0);
    near("mst between", ideal("collapse/mst", 3000, 2, 20), want, 0.01 * want);
    float *x = sphere(700, 90, 90, 22);
    near("mst between", ideal("collapse/mst", 700, 90, 20),
         value("collapse/mst", x, 700, 90, 20), 0.005);
    free(x);
    near("mst at the end", ideal("collapse/mst", 4096, 2, 20) * 4096 * sqrt(2),
         2 * M_PI, 0.03);
    ck_assert(isnan(ideal("collapse/mst", 4097, 2, 20)));
    ck_assert(isnan(ideal("collapse/mst", 63, 2, 20)));
    ck_assert(isnan(ideal("collapse/mst", 100, 1, 20)));
    ck_assert(isnan(ideal("collapse/mst", 100, 2049, 20)));
}
END_TEST

/* For 2048 points: means of 12 samples by NumPy and SciPy, whose scatter is 2 to 3 % (4
 * of it: 10 %); the last row is the specification's, one sample.  The reference takes the
 * median neighbour for all. */
START_TEST(two_neighbours_tell_the_dimension)
{
    static const double list[][3] = {           /* d, on the sphere, Gaussian */
        { 2, 1.02, 2.02 }, { 8, 6.79, 7.88 }, { 32, 23.4, 23.9 }, { 128, 60.4, 60.5 },
    };
    for (int i = 0; i < 4; i++) {
        int d = (int)list[i][0];
        float *x = sphere(2048, d, d, 23), *y = gaussian(2048, d, 24);
        near("twonn, sphere", value("collapse/twonn", x, 2048, d, 20), list[i][1],
             0.1 * list[i][1]);
        near("twonn, Gaussian", value("collapse/twonn", y, 2048, d, 20), list[i][2],
             0.1 * list[i][2]);
        near("reference of twonn", ideal("collapse/twonn", 2048, d, 20), list[i][1],
             0.03 * list[i][1]);
        free(x);
        free(y);
    }
    /* 0, 1, 3 on a line: ratios 1.5, 2, 3, of which 9/10 are two */
    static const float line[] = { 0, 1, 3 };
    double a = log(1.5), b = log(2), want = (a * a + b * log(3)) / (a * a + b * b);
    near("twonn by hand", value("collapse/twonn", line, 3, 1, 2), want, 1e-7);
    ck_assert(isnan(value("collapse/twonn", line, 3, 1, 1)));
}
END_TEST

/* A column, its mirror image and its double are copies; a fourth is at right angles, and
 * a fifth does not move.  The same with five more dead columns, so that d > n. */
START_TEST(columns_that_repeat_each_other_are_counted)
{
    enum { N = 8 };
    float tall[N * 3], more[N * 5], wide[N * 10] = {0};
    for (int i = 0; i < N; i++) {
        float c = i % 2 ? 1 : -1, e = i / 2 % 2 ? 1 : -1;
        float row[] = { c, -c, 2 * c + 5, e, 0.1f };
        memcpy(tall + i * 3, row, 3 * sizeof *row);
        memcpy(more + i * 5, row, 5 * sizeof *row);
        memcpy(wide + i * 10, row, 5 * sizeof *row);
    }
    near("three copies", value("collapse/offdiag", tall, N, 3, 2), 1, 1e-12);
    near("of four", value("collapse/offdiag", more, N, 5, 2), 0.5, 1e-12);
    near("of four, wide", value("collapse/offdiag", wide, N, 10, 2), 0.5, 1e-12);
}
END_TEST

/* Exact but for roots, divisions and one power in double. */
START_TEST(alignment_by_hand)
{
    static const float a[] = { 3, 0, 0, 2 }, turned[] = { 0, 9, -1, 0 };
    static const float back[] = { -1, 0, 0, -5 }, bad[] = { 1, 2, NAN, 4 };
    ck_assert(met_alignment(2, 2, a, a, 2) == 0);
    near("at right angles", met_alignment(2, 2, a, turned, 2), 2, 1e-15);
    near("opposite", met_alignment(2, 2, a, back, 2), 4, 1e-15);
    near("opposite, power 1", met_alignment(2, 2, a, back, 1), 2, 1e-14);
    near("half of each", met_alignment(2, 2, a, (float[]){ 1, 0, 0, -1 }, 1), 1, 1e-14);
    ck_assert(isnan(met_alignment(2, 2, a, bad, 2)));
    ck_assert(isnan(met_alignment(2, 2, bad, a, 2)));
    ck_assert(isnan(met_alignment(0, 2, a, a, 2)));
}
END_TEST

/* Equal directions, opposite ones, a right angle, and a row of zeros, which is one unit
 * from the other: (0 + 4 + 2 + 1) / 4. */
START_TEST(alignment_takes_a_row_of_zeros_as_it_is)
{
    static const float x[] = { 1, 2, 3, 0, 0, 5, 0, 0 };
    static const float y[] = { 2, 4, -1, 0, 7, 0, 0, 9 };
    near("x, y", met_alignment(4, 2, x, y, 2), 7.0 / 4, 1e-15);
    near("y, x", met_alignment(4, 2, y, x, 2), 7.0 / 4, 1e-15);
}
END_TEST

/* Unit rows of floats may be longer than one by 6e-8. */
START_TEST(uniformity_is_never_above_zero)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        float *one = gaussian(1, 20, seed), x[4 * 20];
        for (int i = 0; i < 80; i++)
            x[i] = one[i % 20];
        ck_assert(value("collapse/uniformity", x, 4, 20, 2) <= 0);
        free(one);
    }
}
END_TEST

START_TEST(dead_columns_move_less_than_a_millionth)
{
    static const double scale[] = { 1, 2e-6, 5e-7, 0 };
    float *x = orthogonal(16, 4, scale);
    ck_assert(value("collapse/dead", x, 16, 4, 2) == 0.5);
    free(x);
}
END_TEST

START_TEST(opposite_points_have_full_spread_and_rank_one)
{
    enum { N = 50, D = 16 };
    float x[N * D];
    for (int i = 0; i < N * D; i++)
        x[i] = (i / D % 2 ? -3.0f : 3.0f) * (i % D % 3 ? 1 : -1);
    near("std", value("collapse/std", x, N, D, 8), 1, 1e-6);
    near("mean_cos", value("collapse/mean_cos", x, N, D, 8), -1.0 / (N - 1), 1e-6);
    near("erank", value("collapse/erank", x, N, D, 8), 1, 1e-6);
    near("participation", value("collapse/participation", x, N, D, 8), 1, 1e-6);
    near("wasserstein", value("collapse/wasserstein", x, N, D, 8), sqrt(1.5), 1e-6);
}
END_TEST

START_TEST(a_sphere_of_few_dimensions_shows_them)
{
    enum { N = 2048, D = 64, R = 8 };
    float *x = sphere(N, D, R, 5);
    /* n = 256 r: exp(-c/2) = .998 */
    near("erank", value("collapse/erank", x, N, D, 8), R, 0.02 * R);
    near("participation", value("collapse/participation", x, N, D, 8), R, 0.02 * R);
    near("std", value("collapse/std", x, N, D, 8), sqrt((double)R / D), 0.005);
    near("wasserstein", value("collapse/wasserstein", x, N, D, 8),
         sqrt(2 - 2 * sqrt((double)R / D)), 0.01);
    near("uniformity", value("collapse/uniformity", x, N, D, 8), -3.0825, 0.01);
    free(x);
}
END_TEST

START_TEST(ranks_put_spheres_in_order)
{
    enum { N = 400, D = 24 };
    static const char *const list[] = { "collapse/erank", "collapse/rankme",
                                        "collapse/participation", "collapse/lid_gmean" };
    static const int ranks[] = { 2, 3, 5, 8, 12, 17, 24 };
    double before[4] = {0};
    for (int r = 0; r < 7; r++) {
        float *x = sphere(N, D, ranks[r], 6);
        for (int m = 0; m < 4; m++) {
            double now = value(list[m], x, N, D, 16);
            ck_assert_msg(now > before[m], "%s falls from %g to %g at rank %d", list[m],
                          before[m], now, ranks[r]);
            before[m] = now;
        }
        free(x);
    }
}
END_TEST

/* What each metric must not notice, and what it must (the desiderata that the Wasserstein
 * metric was proposed for). */
START_TEST(metrics_notice_what_they_should)
{
    enum { N = 200, D = 12 };
    float *x = gaussian(N, D, 7);
    float *scaled = malloc(sizeof *x * N * D), *moved = malloc(sizeof *x * N * D);
    float *cloned = malloc(sizeof *x * 2 * N * D), *padded = calloc(2 * N * D, sizeof *x);

    for (int i = 0; i < N * D; i++) {
        scaled[i] = x[i] * 1024;
        moved[i] = x[i] + 4;
        cloned[i] = cloned[N * D + i] = x[i];
        padded[i / D * 2 * D + i % D] = x[i];
    }
    for (int i = 0; i < met_metric_count(); i++) {
        const char *name = met_metric_at(i)->name;
        double before = value(name, x, N, D, 16), after = value(name, scaled, N, D, 16);
        if (strcmp(name, "collapse/raw_std") == 0)
            before *= 1024;
        near(name, after, before, 1e-12 * fabs(before));        /* a power of two */
    }
    /* shifts move floats by rounding (4 eps = 2.4e-7 each) */
    double e = value("collapse/erank", x, N, D, 16);
    near("erank", value("collapse/erank", moved, N, D, 16), e, 1e-5);
    ck_assert_double_lt(value("collapse/rankme", moved, N, D, 16),
                        value("collapse/rankme", x, N, D, 16) - 1);
    near("wasserstein", value("collapse/wasserstein", cloned, 2 * N, D, 16),
         value("collapse/wasserstein", x, N, D, 16), 1e-6);
    ck_assert_double_gt(value("collapse/wasserstein", padded, N, 2 * D, 16),
                        value("collapse/wasserstein", x, N, D, 16) + 0.5);
    near("erank", value("collapse/erank", padded, N, 2 * D, 16), e, 1e-6);
    free(x);
    free(scaled);
    free(moved);
    free(cloned);
    free(padded);
}
END_TEST

/* ---- local dimension and neighbours ------------------------------------------------ */

START_TEST(local_dimension_by_hand)
{
    static const double r[] = { 1, 2, 3, 4 }, zeros[] = { 0, 0, 1, 2, 3, 4 };
    double want = -4 / (log(0.2501) + log(0.5001) + log(0.7501));
    near("LID of 1 2 3 4", want, 1.690, 5e-4);              /* the published figure */
    near("LID of 1 2 3 4", met_lid(r, 4), want, 1e-12);
    near("LID after two copies", met_lid(zeros, 6), want, 1e-12);
    ck_assert(isnan(met_lid(zeros, 3)) && isnan(met_lid(zeros, 2)));
    ck_assert(isnan(met_lid(r, 1)));
    static const double equal[] = { 2, 2, 2 };
    near("LID of equal distances", met_lid(equal, 3), 3 / (2 * 1e-4), 1e-6);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(neighbours_are_those_of_a_plain_search)
{
    enum { N = 150, D = 5, K = 9 };
    float *x = gaussian(N, D, 8);
    memcpy(x + 7 * D, x + 3 * D, D * sizeof *x);            /* copies are neighbours */
    met_view v = met_view_of(&arena, x, N, D, K);
    const double *got = met_nearest(&v);

    for (int i = 0; i < N; i++) {
        double all[N];
        int count = 0;
        for (int j = 0; j < N; j++) {
            double q = 0;
            for (int c = 0; c < D; c++)
                q += pow((double)x[i * D + c] - x[j * D + c], 2);
            if (j != i)
                all[count++] = sqrt(q);
        }
        qsort(all, (size_t)count, sizeof *all, ascending);
        for (int j = 0; j < K; j++)
            near("distance", got[i * K + j], all[j], 1e-6 * all[j]);
    }
    ck_assert(got[3 * K] == 0 && got[7 * K] == 0 && got[4 * K] > 0);
    free(x);
}
END_TEST

/* Rows that a filter by products could get wrong: far from zero beside their distances,
 * of very different length, nearly all alike, d of many blocks, huge, tiny; the sizes
 * cross the tiles.  The judge measures every pair with the same kernel, so the distances
 * must be the same to the bit. */
START_TEST(neighbours_are_the_nearest_to_the_bit)
{
    static const struct { int n, d, k; float scale, move, odd; } list[] = {
        { 150, 5, 9, 1, 0, 1 }, { 1100, 3, 32, 1, 100, 1 }, { 200, 700, 20, 1, 3, 1 },
        { 300, 16, 7, 1e-4f, 1, 1 }, { 300, 16, 299, 1, 0, 1000 },
        { 120, 9, 5, 1e-22f, 0, 1 }, { 120, 9, 5, 1e18f, 0, 10 },
        { 90, 9, 5, 1e30f, 0, 1 }, { 257, 4, 1, 1e-7f, 1, 1 },
    };
    for (size_t t = 0; t < sizeof list / sizeof *list; t++) {
        int n = list[t].n, d = list[t].d, k = list[t].k;
        float *x = gaussian(n, d, 20 + t);
        double *all = malloc(sizeof *all * (size_t)n);
        for (int i = 0; i < n * d; i++)
            x[i] = x[i] * list[t].scale * (i / d % 7 ? 1 : list[t].odd) + list[t].move;
        met_view v = met_view_of(&arena, x, n, d, k);
        const double *got = met_nearest(&v);
        for (int i = 0; i < n; i++) {
            int count = 0;
            for (int j = 0; j < n; j++)
                if (j != i)
                    all[count++] = nn_kern_now->dist2((size_t)d, x + i * d, x + j * d);
            qsort(all, (size_t)count, sizeof *all, ascending);
            for (int j = 0; j < k; j++)
                if (got[i * k + j] != sqrt(all[j]))
                    ck_abort_msg("set %zu: neighbour %d of row %d: %.9g, not %.9g", t, j,
                                 i, got[i * k + j], sqrt(all[j]));
        }
        free(x);
        free(all);
    }
}
END_TEST

static int larger_first(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

START_TEST(the_best_of_a_stream_are_those_of_a_sort)
{
    enum { MOST = 3000 };
    static const int sizes[] = { 1, 2, 7, 8, 40, 399, 400, 401, MOST };
    static const int kinds[] = { 1000000, 7, 1 };       /* different numbers drawn */
    for (int t = 0; t < 9 * 3 * 3; t++) {
        int n = sizes[t % 9], k = t / 9 % 3 == 0 ? 1 : t / 9 % 3 == 1 ? 13 : 200;
        int rising = t % 2, kind = kinds[t / 27];
        float s[MOST], sorted[MOST];
        uint64_t key[400];
        nn_rng r = nn_rng_at(21, NN_RNG_TEST, 0, (uint64_t)t);
        for (int i = 0; i < n; i++)
            s[i] = (float)((int)nn_rng_below(&r, (uint32_t)kind) - kind / 2) / 3;
        for (int i = 0; i < n; i++)
            s[i] = s[i] == 0 && i % 2 ? -0.0f : s[i];
        memcpy(sorted, s, sizeof *s * (size_t)n);
        qsort(sorted, (size_t)n, sizeof *s, larger_first);
        if (rising)                             /* every number enters */
            for (int i = 0; i < n; i++)
                s[i] = sorted[n - 1 - i];

        met_best b = { k, 0, -INFINITY, key };
        for (int at = 0, step = 1; at < n; at += step, step = step % 50 + 9)
            met_best_take(&b, s + at, n - at < step ? n - at : step, at);
        met_best_sort(&b);
        ck_assert_int_eq(b.held, n < k ? n : k);
        for (int i = 0; i < b.held; i++) {
            int place = met_best_place(key[i]);
            ck_assert(met_best_value(key[i]) == sorted[i] && s[place] == sorted[i]);
            if (i > 0 && sorted[i] == sorted[i - 1])    /* the earlier comes first, */
                ck_assert_int_lt(met_best_place(key[i - 1]), place);
        }
        int last = met_best_place(key[b.held - 1]);     /* and the later is left out */
        for (int i = 0, seen = 0; i < last; i++) {
            for (int j = seen = 0; j < b.held; j++)
                seen |= met_best_place(key[j]) == i;
            ck_assert(s[i] != sorted[b.held - 1] || seen);
        }
    }
}
END_TEST

/* ---- input that is not as it should be --------------------------------------------- */

START_TEST(numbers_that_are_not_finite_give_nan)
{
    enum { N = 40, D = 6 };
    static const float poison[] = { NAN, INFINITY, -INFINITY };
    for (int p = 0; p < 3; p++) {
        float *x = gaussian(N, D, 9);
        x[N * D - 1] = poison[p];
        for (int i = 0; i < met_metric_count(); i++)
            ck_assert_msg(isnan(value(met_metric_at(i)->name, x, N, D, 8)), "%s",
                          met_metric_at(i)->name);
        double xy[2 * N], share[2];
        met_view v = met_view_of(&arena, x, N, D, 8);
        met_pca2(&v, xy, share);
        ck_assert(isnan(xy[0]) && isnan(xy[2 * N - 1]));
        ck_assert(isnan(share[0]) && isnan(share[1]));
        free(x);
    }
}
END_TEST

START_TEST(small_and_large_inputs_are_survived)
{
    static const int shape[][2] = { { 0, 3 }, { 1, 3 }, { 2, 1 }, { 2, 3 }, { 3, 2 },
                                    { 5, 1 }, { 4, 50 } };
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        int n = shape[s][0], d = shape[s][1];
        float *x = gaussian(n, d, 10);
        double xy[10], share[2];
        for (int i = 0; i < met_metric_count(); i++) {
            double y = value(met_metric_at(i)->name, x, n, d, 32);
            ck_assert_msg(n >= 2 || isnan(y), "%s of %d rows", met_metric_at(i)->name, n);
            ck_assert_msg(!isinf(y), "%s of %d x %d", met_metric_at(i)->name, n, d);
            met_metric_at(i)->ideal(n < 2 ? 2 : n, d, 32);
        }
        met_view v = met_view_of(&arena, x, n, d, 32);
        met_pca2(&v, xy, share);
        free(x);
    }
    float zero[30] = {0}, large[30];
    for (int i = 0; i < 30; i++)
        large[i] = (i % 7 - 3) * 1e38f;
    ck_assert(value("collapse/erank", zero, 10, 3, 4) == 1);
    ck_assert(value("collapse/rankme", zero, 10, 3, 4) == 1);
    ck_assert(value("collapse/mean_cos", zero, 10, 3, 4) == 0);
    ck_assert(value("collapse/std", zero, 10, 3, 4) == 0);
    ck_assert(value("collapse/erank", large, 10, 3, 4) > 1);
    ck_assert(value("collapse/std", large, 10, 3, 4) > 0.5);
    ck_assert(!isinf(value("collapse/lid_mean", large, 10, 3, 4)));
}
END_TEST

/* ---- the same bytes ---------------------------------------------------------------- */

enum { SAME_N = 300, SAME_D = 70 };     /* 64 and more: eigenvectors use the team */

typedef struct outcome { double value[32], xy[2 * SAME_N], share[2], knn; } outcome;

static void measure(const float *x, int n, int d, const uint16_t *label, outcome *o)
{
    met_view v = met_view_of(&arena, x, n, d, 24);
    met_knn_settings s = { .k = 30, .temperature = 0.1, .classes = 5 };

    memset(o, 0, sizeof *o);
    for (int i = 0; i < met_metric_count(); i++)
        o->value[i] = met_metric_at(i)->value(&v);
    met_pca2(&v, o->xy, o->share);
    o->knn = met_knn(&s, d, x, label, n, x + 100 * d, label + 100, n - 100, &arena);
}

START_TEST(threads_and_kernel_tables_do_not_change_a_byte)
{
    float *x = gaussian(SAME_N, SAME_D, 11);
    uint16_t label[SAME_N];
    static outcome first, now;

    for (int i = 0; i < SAME_N; i++)
        label[i] = (uint16_t)(i * 7 % 5);
    nn_par_set_threads(1);
    nn_kern_choose("ref");
    measure(x, SAME_N, SAME_D, label, &first);
    for (int threads = 2; threads <= 4; threads++) {
        nn_par_set_threads(threads);
        measure(x, SAME_N, SAME_D, label, &now);
        ck_assert_msg(memcmp(&first, &now, sizeof now) == 0, "%d threads", threads);
    }
    for (int t = 0; t < nn_kern_count(); t++) {
        nn_kern_choose(nn_kern_at(t)->name);
        measure(x, SAME_N, SAME_D, label, &now);
        ck_assert_msg(memcmp(&first, &now, sizeof now) == 0, "table %s",
                      nn_kern_now->name);
    }
    free(x);
}
END_TEST

/* ---- nearest-neighbour classifier -------------------------------------------------- */

static double knn(int k, double temperature, const float *bank, const uint16_t *label,
                  int n, const float *query, uint16_t want)
{
    met_knn_settings s = { .k = k, .temperature = temperature, .classes = 4 };
    return met_knn(&s, 2, bank, label, n, query, &want, 1, &arena);
}

/* Cosines .9, .8, .7 with classes 0, 1, 1: class 1 wins when y + y^2 > 1 for
 * y = exp(-.1/T), that is above T = .1 / -ln(.618) = .2078. */
START_TEST(three_points_by_hand)
{
    static const uint16_t label[] = { 0, 1, 1 };
    float bank[6], query[] = { 5, 0 };          /* any length: features are normalised */
    for (int i = 0; i < 3; i++) {
        double c = 0.9 - 0.1 * i, length = i + 0.5;
        bank[2 * i] = (float)(length * c);
        bank[2 * i + 1] = (float)(length * sqrt(1 - c * c));
    }
    ck_assert(knn(3, 0.205, bank, label, 3, query, 0) == 1);
    ck_assert(knn(3, 0.210, bank, label, 3, query, 1) == 1);
    ck_assert(knn(3, 0.210, bank, label, 3, query, 0) == 0);
    ck_assert(knn(2, 9, bank, label, 3, query, 0) == 1);        /* 1 against .99 */
    ck_assert(knn(1, 9, bank, label, 3, query, 0) == 1);
    ck_assert(knn(200, 9, bank, label, 3, query, 1) == 1);      /* k is clamped to 3 */
    /* exp(9000) and exp(-1000) on the way must not decide */
    static const uint16_t turned[] = { 1, 0, 0 };
    ck_assert(knn(3, 1e-4, bank, label, 3, query, 0) == 1);
    ck_assert(knn(3, 1e-4, bank, turned, 3, query, 1) == 1);
}
END_TEST

START_TEST(ties_go_to_the_lowest_class_and_the_first_row)
{
    static const float bank[] = { 1, 0, 1, 0, 0, 1, 0, 2 }, query[] = { 1, 1 };
    static const uint16_t label[] = { 3, 3, 2, 2 };
    ck_assert(knn(4, 0.1, bank, label, 4, query, 2) == 1);      /* equal scores */
    ck_assert(knn(1, 0.1, bank, label, 4, query, 3) == 1);      /* of four equal: row 0 */
    ck_assert(knn(3, 0.1, bank, label, 4, query, 3) == 1);      /* rows 0, 1, 2 */
    /* two rows at 90 degrees, two nearer ones: of the first two, row 0 stays */
    static const float late[] = { 0, 1, 0, -1, 1, 1, 1, -1 }, along[] = { 1, 0 };
    static const uint16_t last[] = { 1, 0, 0, 1 };
    ck_assert(knn(3, 0.1, late, last, 4, along, 1) == 1);
    static const float nothing[] = { 0, 0 };
    ck_assert(knn(4, 0.1, bank, label, 4, nothing, 2) == 1);    /* all cosines zero */
}
END_TEST

/* Plain search in double, for sizes that cross the tiles. */
static int plain(const met_knn_settings *s, int d, const float *bank,
                 const uint16_t *label, int n, const float *q)
{
    double *sim = malloc(sizeof *sim * (size_t)n), score[10] = {0};
    int best = 0;
    for (int i = 0; i < n; i++) {
        double xy = 0, xx = 0, yy = 0;
        for (int j = 0; j < d; j++) {
            xy += (double)q[j] * bank[i * d + j];
            xx += (double)q[j] * q[j];
            yy += (double)bank[i * d + j] * bank[i * d + j];
        }
        sim[i] = xy / sqrt(xx * yy);
    }
    for (int k = 0; k < s->k; k++) {
        int top = 0;
        for (int i = 1; i < n; i++)
            if (sim[i] > sim[top])
                top = i;
        score[label[top]] += exp(sim[top] / s->temperature);
        sim[top] = -2;
    }
    for (int c = 1; c < 10; c++)
        if (score[c] > score[best])
            best = c;
    free(sim);
    return best;
}

START_TEST(predictions_are_those_of_a_plain_search)
{
    enum { BANK = 2500, QUERY = 600, D = 7 };
    static const met_knn_settings s = { .k = 20, .temperature = 0.1, .classes = 10 };
    float *bank = gaussian(BANK, D, 12), *query = gaussian(QUERY, D, 13);
    float *mixed = malloc(sizeof *mixed * BANK * D);
    static uint16_t label[BANK], label2[BANK], want[QUERY];
    static uint32_t order[BANK];
    nn_rng r = nn_rng_at(14, NN_RNG_TEST, 0, 0);

    nn_rng_permute(&r, order, BANK);
    for (int i = 0; i < BANK; i++)
        label[i] = (uint16_t)nn_rng_below(&r, 10);
    for (int i = 0; i < BANK; i++) {
        memcpy(mixed + i * D, bank + order[i] * D, D * sizeof *mixed);
        label2[i] = label[order[i]];
    }
    for (int i = 0; i < QUERY; i++)
        want[i] = (uint16_t)plain(&s, D, bank, label, BANK, query + i * D);
    /* every prediction agrees; that of a mixed bank, too */
    ck_assert(met_knn(&s, D, bank, label, BANK, query, want, QUERY, &arena) == 1);
    ck_assert(met_knn(&s, D, mixed, label2, BANK, query, want, QUERY, &arena) == 1);
    free(bank);
    free(query);
    free(mixed);
}
END_TEST

START_TEST(knn_without_numbers_is_nan)
{
    static const float bank[] = { 1, 0, 0, 1 }, bad[] = { 1, NAN, 0, 1 };
    static const float query[] = { 1, 1 };
    static const uint16_t label[] = { 0, 1 };
    met_knn_settings s = { .k = 5, .temperature = 0.1, .classes = 2 };
    ck_assert(isnan(met_knn(&s, 2, bank, label, 0, query, label, 1, &arena)));
    ck_assert(isnan(met_knn(&s, 2, bank, label, 2, query, label, 0, &arena)));
    ck_assert(isnan(met_knn(&s, 2, bad, label, 2, query, label, 1, &arena)));
    ck_assert(isnan(met_knn(&s, 2, bank, label, 2, bad, label, 2, &arena)));
}
END_TEST

START_TEST(knn_keeps_to_a_tile_of_memory)
{
    nn_arena a = {0};
    static const met_knn_settings s = { .k = 20, .temperature = 0.1, .classes = 2 };
    float *x = gaussian(20000, 2, 15);
    uint16_t *label = calloc(20000, sizeof *label);
    met_knn(&s, 2, x, label, 2000, x, label, 2000, &a);
    size_t before = a.peak;
    met_knn(&s, 2, x, label, 20000, x, label, 2000, &a);
    ck_assert_uint_eq(a.peak, before);
    ck_assert_uint_eq(a.at, 0);
    nn_arena_free(&a);
    free(x);
    free(label);
}
END_TEST

/* ---- principal components ---------------------------------------------------------- */

START_TEST(principal_components_of_a_known_cloud)
{
    /* unit rows (cos t, 0, sin t) around the first axis: the spread is along the third */
    enum { N = 64 };
    float x[N * 3], mirrored[N * 3];
    double xy[2 * N], back[2 * N], share[2];
    for (int i = 0; i < N; i++) {
        double t = 0.02 * (i - 20);
        x[3 * i] = (float)cos(t);
        x[3 * i + 1] = 0;
        x[3 * i + 2] = (float)sin(t);
        for (int j = 0; j < 3; j++)
            mirrored[3 * i + j] = -x[3 * i + j];
    }
    met_view v = met_view_of(&arena, x, N, 3, 8);
    met_view w = met_view_of(&arena, mirrored, N, 3, 8);
    met_pca2(&v, xy, share);
    ck_assert_double_gt(share[0], 0.9);
    near("sum of shares", share[0] + share[1], 1, 1e-6);
    for (int i = 1; i < N; i++)                 /* along +z: it grows with t */
        ck_assert_double_gt(xy[2 * i], xy[2 * (i - 1)]);
    met_pca2(&w, back, share);
    for (int i = 0; i < 2 * N; i++)
        ck_assert(back[i] == -xy[i]);
}
END_TEST

START_TEST(components_are_uncorrelated_and_have_their_share)
{
    enum { N = 60, D = 9, WIDE = 90 };
    float *x = gaussian(N, D, 16), *wide = calloc(N * WIDE, sizeof *wide);
    double xy[2 * N], same[2 * N], share[2], share2[2], s[2] = {0}, q[3] = {0}, total = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) {
            x[i * D + j] *= (float)(D - j);
            wide[i * WIDE + 10 * j] = x[i * D + j];
        }
    met_view v = met_view_of(&arena, x, N, D, 8);
    met_pca2(&v, xy, share);
    for (int i = 0; i < N; i++) {
        s[0] += xy[2 * i];
        s[1] += xy[2 * i + 1];
        q[0] += xy[2 * i] * xy[2 * i];
        q[1] += xy[2 * i] * xy[2 * i + 1];
        q[2] += xy[2 * i + 1] * xy[2 * i + 1];
    }
    double *mean = NN_NEW(&arena, double, D), *std = NN_NEW(&arena, double, D);
    for (int j = 0; j < D; j++) {
        mean[j] = 0;
        for (int i = 0; i < N; i++)
            mean[j] += (double)met_unit(&v)[i * D + j] / N;
    }
    met_col_std(N, D, met_unit(&v), mean, std, &arena);
    for (int j = 0; j < D; j++)
        total += std[j] * std[j] * N;
    /* sums of 60 numbers below one, from floats */
    near("mean", s[0], 0, 1e-5);
    near("mean", s[1], 0, 1e-5);
    near("covariance", q[1], 0, 1e-5);
    near("first share", q[0] / total, share[0], 1e-6);
    near("second share", q[2] / total, share[1], 1e-6);

    /* empty columns change nothing but make d > n: the other way of computing it */
    met_view u = met_view_of(&arena, wide, N, WIDE, 8);
    met_pca2(&u, same, share2);
    near("share", share2[0], share[0], 1e-6);
    for (int i = 0; i < 2 * N; i++)
        near("coordinate", same[i], xy[i], 1e-5);
    free(x);
    free(wide);
}
END_TEST

START_TEST(a_constant_has_no_components)
{
    float x[40];
    double xy[20], share[2] = { 1, 1 };
    for (int i = 0; i < 40; i++)
        x[i] = (float)(0.3 + i % 4);
    met_view v = met_view_of(&arena, x, 10, 4, 4);
    met_pca2(&v, xy, share);
    for (int i = 0; i < 20; i++)
        ck_assert(xy[i] == 0);
    ck_assert(share[0] == 0 && share[1] == 0);
}
END_TEST

/* ---- verdict ----------------------------------------------------------------------- */

/* The toy's runs (docs/metrics.md): loss, sqrt(d)*std, effective rank, d = 64, untrained
 * rank 20. */
START_TEST(the_verdict_parts_the_runs_of_the_toy)
{
    static const struct { double loss, std, erank; met_verdict want; } run[] = {
        { -.881, .976, 5.0, MET_HEALTHY },      /* SimSiam, BatchNorm on the output */
        { -.907, .849, 4.9, MET_HEALTHY },      /* SimSiam, hidden BatchNorm */
        { -.963, .970, 2.8, MET_DIMENSIONAL },  /* no stop-gradient */
        { -.962, .982, 2.9, MET_DIMENSIONAL },
        { -.961, .971, 3.7, MET_HEALTHY },      /* no predictor: the one the rule misses */
        { -.995, .238, 2.2, MET_COMPLETE },     /* no stop-gradient, hidden BatchNorm */
        { -.991, .288, 5.8, MET_COMPLETE },     /* no predictor, hidden BatchNorm */
        { 11.86, .975, 9.0, MET_HEALTHY },      /* VICReg */
        { .72, .920, 1.2, MET_DIMENSIONAL },    /* without covariance term */
        { -.835, .983, 23.8, MET_HEALTHY },     /* T-REGS */
    };
    for (size_t i = 0; i < sizeof run / sizeof *run; i++)
        for (int known_untrained = 0; known_untrained < 2; known_untrained++) {
            met_judged j = met_judge(run[i].loss, run[i].std, run[i].erank,
                                     known_untrained ? 20 : 0, 3000, 64);
            ck_assert_msg(j.verdict == run[i].want, "run %zu: %s, because %s", i,
                          met_verdict_word(j.verdict), j.why);
        }
}
END_TEST

/* SimSiam on Fashion-MNIST (conv3, d = 128, n = 2048, untrained rank 24.05), measured at
 * learning rates 0.05 and 0.2. */
START_TEST(the_verdict_parts_the_runs_on_fashion_mnist)
{
    static const struct { double loss, std, erank; met_verdict want; } run[] = {
        { -.878, .779, 5.97, MET_HEALTHY },     /* hidden BatchNorm */
        { -.911, .780, 5.23, MET_HEALTHY },
        { -.969, .801, 4.73, MET_HEALTHY },     /* 60,000 images, 10 epochs */
        { -.818, .991, 6.01, MET_HEALTHY },     /* BatchNorm on the output */
        { -.878, .997, 6.58, MET_HEALTHY },
        { -.957, .981, 1.99, MET_DIMENSIONAL }, /* the same without stop-gradient */
        { -.972, .970, 1.47, MET_DIMENSIONAL },
        { -.954, .953, 1.69, MET_DIMENSIONAL }, /* without predictor */
        { -.997, .088, 1.14, MET_COMPLETE },    /* hidden BatchNorm, no stop-gradient */
        { -1.00, .036, 1.04, MET_COMPLETE },    /* ... no predictor */
    };
    for (size_t i = 0; i < sizeof run / sizeof *run; i++)
        ck_assert_msg(met_judge(run[i].loss, run[i].std, run[i].erank, 24.05, 2048, 128)
                      .verdict == run[i].want, "run %zu", i);
}
END_TEST

START_TEST(the_verdict_names_its_numbers)
{
    met_judged j = met_judge(-0.99, 0.1312, 2, 20, 2048, 128);
    ck_assert_str_eq(met_verdict_word(j.verdict), "complete collapse");
    ck_assert_str_eq(j.why, "sqrt(d)*std = 0.131 < 0.35");
    j = met_judge(-0.9, 0.9, 2.5, 20, 2048, 128);
    ck_assert_str_eq(met_verdict_word(j.verdict), "dimensional collapse");
    ck_assert_str_eq(j.why, "erank = 2.50 of 128 < 3.00 (0.15 of the untrained)");
    j = met_judge(NAN, 0.9, 9, 20, 2048, 128);
    ck_assert_str_eq(met_verdict_word(j.verdict), "diverged");
    ck_assert_str_eq(j.why, "loss = nan, sqrt(d)*std = 0.9, erank = 9");
    j = met_judge(-0.9, 0.9, 9, -1, 2048, 128);
    ck_assert_str_eq(met_verdict_word(j.verdict), "healthy");
    ck_assert_str_eq(j.why, "sqrt(d)*std = 0.900 >= 0.35, erank = 9.00 of 128 >= 3.00 "
                            "(1/16 of d, at most 3)");
}
END_TEST

START_TEST(the_verdict_at_its_edges)
{
    ck_assert_int_eq(met_judge(-0.9, 0.35, 4, 20, 3000, 64).verdict, MET_HEALTHY);
    ck_assert_int_eq(met_judge(-0.9, 0.3499, 4, 20, 3000, 64).verdict, MET_COMPLETE);
    ck_assert_int_eq(met_judge(-0.9, 0.9, 2.99, 20, 3000, 64).verdict, MET_DIMENSIONAL);
    ck_assert_int_eq(met_judge(-0.9, NAN, 4, 20, 3000, 64).verdict, MET_DIVERGED);
    ck_assert_int_eq(met_judge(-0.9, 0.9, NAN, 20, 3000, 64).verdict, MET_DIVERGED);
    ck_assert_int_eq(met_judge(INFINITY, 0, 1, 20, 3000, 64).verdict, MET_DIVERGED);
    /* the floor of two, with and without an untrained network of rank 5 */
    for (int known_untrained = 0; known_untrained < 2; known_untrained++) {
        double before = known_untrained ? 5 : 0;
        ck_assert_int_eq(met_judge(-0.9, 0.9, 1.99, before, 3000, 16).verdict,
                         MET_DIMENSIONAL);
        ck_assert_int_eq(met_judge(-0.9, 0.9, 2.01, before, 3000, 16).verdict,
                         MET_HEALTHY);
    }
    /* two dimensions cannot have a rank of four, one not of two */
    ck_assert_int_eq(met_judge(-0.9, 0.9, 1.9, NAN, 3000, 2).verdict, MET_HEALTHY);
    ck_assert_int_eq(met_judge(-0.9, 0.9, 1, NAN, 3000, 1).verdict, MET_HEALTHY);
}
END_TEST

/* ---- the list ---------------------------------------------------------------------- */

START_TEST(metrics_are_found_by_name)
{
    static const char *const fixed[] = {
        "std", "rankme", "erank", "participation", "lid_mean", "lid_gmean", "uniformity",
        "wasserstein", "mean_cos", "alpha", "cond",
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        char name[64];
        snprintf(name, sizeof name, "collapse/%s", fixed[i]);
        ck_assert_msg(met_metric_find(name) != NULL, "%s is missing", name);
    }
    for (int i = 0; i < met_metric_count(); i++) {
        const met_metric *m = met_metric_at(i);
        ck_assert(met_metric_find(m->name) == m);
        ck_assert(m->value && m->ideal && m->about[0] && m->reference[0]);
    }
    ck_assert_ptr_null(met_metric_find("collapse/nothing"));
    ck_assert_ptr_null(met_metric_at(-1));
    ck_assert_ptr_null(met_metric_at(met_metric_count()));
}
END_TEST

Suite *suite_metrics(void)
{
    Suite *s = suite_create("metrics");
    TCase *tc = tcase_create("metrics");

    tcase_add_checked_fixture(tc, best_kernel, NULL);
    tcase_add_loop_test(tc, every_metric_agrees_with_numpy, 0, 4);
    tcase_add_loop_test(tc, shares_of_principal_components_agree_with_numpy, 0, 4);
    tcase_add_test(tc, isotropic_gaussian_reads_as_its_reference);
    tcase_add_test(tc, references_of_the_spectrum_are_those_of_marchenko_and_pastur);
    tcase_add_test(tc, references_hold_with_fewer_rows_than_columns);
    tcase_add_test(tc, reference_of_uniformity_is_the_hypergeometric_form);
    tcase_add_test(tc, local_dimension_reads_as_measured_elsewhere);
    tcase_add_test(tc, two_level_spectra_are_exact);
    tcase_add_test(tc, alpha_is_the_exponent_of_a_power_law);
    tcase_add_test(tc, a_constant_is_the_bottom_of_every_scale);
    tcase_add_test(tc, trees_of_simplex_and_circle_have_their_length);
    tcase_add_test(tc, references_of_the_tree_are_those_measured_elsewhere);
    tcase_add_test(tc, two_neighbours_tell_the_dimension);
    tcase_add_test(tc, columns_that_repeat_each_other_are_counted);
    tcase_add_test(tc, alignment_by_hand);
    tcase_add_test(tc, alignment_takes_a_row_of_zeros_as_it_is);
    tcase_add_test(tc, uniformity_is_never_above_zero);
    tcase_add_test(tc, dead_columns_move_less_than_a_millionth);
    tcase_add_test(tc, opposite_points_have_full_spread_and_rank_one);
    tcase_add_test(tc, a_sphere_of_few_dimensions_shows_them);
    tcase_add_test(tc, ranks_put_spheres_in_order);
    tcase_add_test(tc, metrics_notice_what_they_should);
    tcase_add_test(tc, local_dimension_by_hand);
    tcase_add_test(tc, neighbours_are_those_of_a_plain_search);
    tcase_add_test(tc, neighbours_are_the_nearest_to_the_bit);
    tcase_add_test(tc, the_best_of_a_stream_are_those_of_a_sort);
    tcase_add_test(tc, numbers_that_are_not_finite_give_nan);
    tcase_add_test(tc, small_and_large_inputs_are_survived);
    tcase_add_test(tc, threads_and_kernel_tables_do_not_change_a_byte);
    tcase_add_test(tc, three_points_by_hand);
    tcase_add_test(tc, ties_go_to_the_lowest_class_and_the_first_row);
    tcase_add_test(tc, predictions_are_those_of_a_plain_search);
    tcase_add_test(tc, knn_without_numbers_is_nan);
    tcase_add_test(tc, knn_keeps_to_a_tile_of_memory);
    tcase_add_test(tc, principal_components_of_a_known_cloud);
    tcase_add_test(tc, components_are_uncorrelated_and_have_their_share);
    tcase_add_test(tc, a_constant_has_no_components);
    tcase_add_test(tc, the_verdict_parts_the_runs_of_the_toy);
    tcase_add_test(tc, the_verdict_parts_the_runs_on_fashion_mnist);
    tcase_add_test(tc, the_verdict_names_its_numbers);
    tcase_add_test(tc, the_verdict_at_its_edges);
    tcase_add_test(tc, metrics_are_found_by_name);
    suite_add_tcase(s, tc);
    return s;
}
