#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/made.h"
#include "data/pilot.h"
#include "metrics/met.h"
#include "nn/par.h"
#include "tests/program.h"
#include "tests/suites.h"

/* Sets that are made: closed forms of their geometry, and what the metrics of dimension
 * find on them. */

static nn_arena arena;
static data_images train, test;
static nn_err err;

static void free_arena(void)
{
    nn_arena_free(&arena);
}

static data_settings settings(const char *name, int size)
{
    data_settings s;
    nn_setting_defaults(data_setting_table, &s);
    s.name = name;
    s.size = size;
    return s;
}

static void load(const data_settings *s, uint64_t seed)
{
    ck_assert_msg(data_load(s, seed, &arena, &train, &test, &err) == NN_OK, "%s",
                  err.text);
}

static const char *const sets[] = { "clouds", "sphere", "torus", "swiss_roll", "pilot" };
enum { SETS = NN_COUNT(sets) };

/* ---- every set of numbers ---- */

START_TEST(a_row_depends_on_seed_and_number_alone)
{
    data_settings s = settings(sets[_i], 300);
    s.noise = 0.1;
    load(&s, 7);
    data_images all = train;
    const size_t row = sizeof(float) * (size_t)train.c;

    ck_assert_int_eq(train.n, 300);
    ck_assert_int_eq(test.n, 60);
    s.size = 40;
    load(&s, 7);
    ck_assert_mem_eq(train.value, all.value, 40 * row);
    ck_assert_mem_eq(train.factor, all.factor, 40 * sizeof(float) * (size_t)all.factors);
    ck_assert_mem_eq(train.label, all.label, 40 * sizeof *all.label);
    s.size = 300;
    s.limit = 90;
    s.test_limit = 10;
    load(&s, 7);
    ck_assert_int_eq(train.n, 90);
    ck_assert_int_eq(test.n, 10);
    ck_assert_mem_eq(train.value, all.value, 90 * row);
    load(&s, 8);
    ck_assert_mem_ne(train.value, all.value, row);
}
END_TEST

START_TEST(rows_have_the_same_bits_at_any_number_of_threads)
{
    data_settings s = settings(sets[_i], 2000);
    uint64_t want = 0;

    for (int threads = 1; threads <= 3; threads++) {
        nn_par_set_threads(threads);
        load(&s, 3);
        uint64_t got = data_fingerprint(&train) ^ data_fingerprint(&test) << 1;
        want = threads == 1 ? got : want;
        ck_assert_uint_eq(got, want);
    }
}
END_TEST

START_TEST(no_row_is_in_both_parts)
{
    data_settings s = settings(sets[_i], 500);
    const size_t row = sizeof(float) * (size_t)s.dim;

    load(&s, 1);
    for (int i = 0; i < train.n; i++)
        for (int j = 0; j < test.n; j++)
            ck_assert_msg(memcmp(data_value_at(&train, i), data_value_at(&test, j), row),
                          "train %d is test %d", i, j);
}
END_TEST

START_TEST(factors_and_classes_have_names_and_labels_are_classes)
{
    data_settings s = settings(sets[_i], 500);
    load(&s, 1);
    ck_assert_int_gt(train.factors, 0);
    for (int i = 0; i < train.factors; i++)
        ck_assert_ptr_nonnull(train.factor_names[i]);
    for (int i = 0; i < train.classes; i++)
        ck_assert_ptr_nonnull(train.names[i]);
    int count[16] = { 0 };
    ck_assert_int_le(train.classes, 16);
    for (int i = 0; i < train.n; i++) {
        ck_assert_int_lt(train.label[i], train.classes);
        count[train.label[i]]++;
    }
    /* classes are equally likely, at most ten: 50 or 62 each, deviation under 8 */
    for (int i = 0; i < train.classes; i++)
        ck_assert_int_gt(count[i], 20);
}
END_TEST

/* What views are normalised by: mean 0 and deviation 1 over all numbers of the set.
 * Columns of a row hang together, so rows count: each adds its mean square, which is
 * about 1 and spreads by less than 0.8, to 20,000; that of the clouds' and the pilot's
 * matrices is another draw, of 320 and 1536 numbers. */
START_TEST(normalised_numbers_have_mean_0_and_deviation_1)
{
    data_settings s = settings(sets[_i], 20000);
    double sum = 0, square = 0;
    float row[64];

    s.noise = 0.1;
    load(&s, 4);
    for (int i = 0; i < train.n; i++) {
        data_plain(&train, NULL, i, 1, row);
        for (int j = 0; j < train.c; j++) {
            sum += (double)row[j];
            square += (double)row[j] * (double)row[j];
        }
    }
    const double all = (double)train.n * train.c;
    const int drawn = strcmp(sets[_i], "clouds") == 0 || strcmp(sets[_i], "pilot") == 0;
    ck_assert_double_eq_tol(sum / all, 0, drawn ? 0.1 : 0.01);
    ck_assert_double_eq_tol(square / all, 1, drawn ? 0.15 : 0.02);
}
END_TEST

/* ---- clouds ---- */

enum { DIM = 8, CLOUDS = 16, EACH = 2000 };

static void load_clouds(double separation, double offset, double mean[CLOUDS][DIM])
{
    data_settings s = settings("clouds", CLOUDS * EACH);
    s.dim = DIM;
    s.components = CLOUDS;
    s.separation = separation;
    s.offset = offset;
    load(&s, 2);
    memset(mean, 0, sizeof(double) * CLOUDS * DIM);
    for (int i = 0; i < train.n; i++)
        for (int j = 0; j < DIM; j++)
            mean[train.label[i]][j] += (double)data_value_at(&train, i)[j] / EACH;
}

START_TEST(a_cloud_has_the_covariance_one)
{
    double mean[CLOUDS][DIM], cov[DIM][DIM] = { { 0 } };

    load_clouds(4, 0, mean);
    for (int i = 0; i < train.n; i++) {
        const float *x = data_value_at(&train, i);
        const double *m = mean[train.label[i]];
        for (int j = 0; j < DIM; j++)
            for (int k = 0; k < DIM; k++)
                cov[j][k] += ((double)x[j] - m[j]) * ((double)x[k] - m[k])
                    / (train.n - CLOUDS);
    }
    /* deviation sqrt(2 / 32,000) = 0.008 on the diagonal, less beside it: five of them */
    for (int j = 0; j < DIM; j++)
        for (int k = 0; k < DIM; k++)
            ck_assert_double_eq_tol(cov[j][k], j == k, 0.04);
}
END_TEST

/* The mean over pairs of |m_a - m_b|^2 is 2 K / (K - 1) times the spread of the centres
 * around their mean, s^2 / 2D chi^2 of (K - 1) D = 120 degrees: relative deviation
 * sqrt(2 / 120) = 0.13; three of them.  Errors of the estimated centres add 2 D / 2000. */
START_TEST(separation_is_the_root_mean_square_distance_of_centres)
{
    double mean[CLOUDS][DIM];
    static const double separation[] = { 4, 12 };

    for (int s = 0; s < 2; s++) {
        double sum = 0;
        load_clouds(separation[s], 0, mean);
        for (int a = 0; a < CLOUDS; a++)
            for (int b = 0; b < a; b++)
                for (int j = 0; j < DIM; j++)
                    sum += (mean[a][j] - mean[b][j]) * (mean[a][j] - mean[b][j]);
        ck_assert_double_eq_tol(sum / (CLOUDS * (CLOUDS - 1) / 2)
                                / (separation[s] * separation[s]), 1, 0.4);
    }
}
END_TEST

START_TEST(the_offset_moves_every_number_and_normalising_takes_it_away)
{
    double here[CLOUDS][DIM], there[CLOUDS][DIM];
    float row[DIM], moved[DIM];

    load_clouds(4, 0, here);
    data_plain(&train, NULL, 5, 1, row);
    load_clouds(4, 2, there);
    data_plain(&train, NULL, 5, 1, moved);
    for (int k = 0; k < CLOUDS; k++)
        for (int j = 0; j < DIM; j++)
            ck_assert_double_eq_tol(there[k][j] - here[k][j], 2, 1e-6); /* floats of 8 */
    for (int j = 0; j < DIM; j++)
        ck_assert_float_eq_tol(moved[j], row[j], 1e-6f);
}
END_TEST

START_TEST(factors_of_a_cloud_are_its_component_and_the_distance_from_its_centre)
{
    double mean[CLOUDS][DIM];

    load_clouds(4, 0, mean);
    for (int i = 0; i < train.n; i++) {
        const float *f = train.factor + (size_t)i * 2;
        double square = 0;
        for (int j = 0; j < DIM; j++) {
            const double e = (double)data_value_at(&train, i)[j] - mean[train.label[i]][j];
            square += e * e;
        }
        ck_assert_float_eq(f[0], train.label[i]);
        ck_assert_int_eq(train.label[i], i % CLOUDS);
        /* centres are known to |gap| = sqrt(8 / 2000) = 0.063 or so */
        ck_assert_double_eq_tol(sqrt((double)f[1]), sqrt(square), 0.15);
    }
}
END_TEST

/* ---- surfaces ---- */

START_TEST(a_frame_has_orthonormal_columns)
{
    enum { ROWS = 12, COLS = 12 };
    double q[ROWS * COLS];
    nn_rng r = nn_rng_at(1, NN_RNG_TEST, 0, 0);

    for (int cols = 1; cols <= COLS; cols++) {
        data_made_frame(&r, ROWS, cols, q);
        for (int i = 0; i < cols; i++)
            for (int j = 0; j < cols; j++) {
                double sum = 0;
                for (int k = 0; k < ROWS; k++)
                    sum += q[k * cols + i] * q[k * cols + j];
                ck_assert_double_eq_tol(sum, i == j, 1e-14);    /* 12 roundings */
            }
    }
}
END_TEST

/* |x - x'|^2 in R^D against |y - y'|^2 of the factors: the frame keeps distances. */
static double chord(const char *set, const float *a, const float *b, int k)
{
    double sum = 0;

    if (strcmp(set, "sphere") == 0)
        for (int j = 0; j <= k; j++)
            sum += pow((double)a[j] - (double)b[j], 2);
    else if (strcmp(set, "torus") == 0)
        for (int j = 0; j < k; j++)
            sum += pow(2 * sin(M_PI * ((double)a[j] - (double)b[j])), 2);
    else
        sum = pow((double)a[0], 2) + pow((double)b[0], 2)
            - 2 * (double)a[0] * (double)b[0] * cos((double)a[0] - (double)b[0])
            + pow((double)a[1] - (double)b[1], 2);
    return sqrt(sum);
}

static const struct surface { const char *set; int k, dim; double scale; } surfaces[] = {
    { "sphere", 1, 2, 1 }, { "sphere", 2, 3, 1 }, { "sphere", 5, 32, 1 },
    { "torus", 1, 2, 2 }, { "torus", 3, 20, 2 }, { "swiss_roll", 2, 3, 20 },
    { "swiss_roll", 2, 17, 20 }
};

static void load_surface(const char *set, int k, int dim, int size, double noise)
{
    data_settings s = settings(set, size);
    s.intrinsic = k;
    s.dim = dim;
    s.noise = noise;
    load(&s, 6);
}

START_TEST(distances_are_those_of_the_factors)
{
    const struct surface *s = &surfaces[_i];

    load_surface(s->set, s->k, s->dim, 200, 0);
    ck_assert_int_eq(train.c, s->dim);
    for (int i = 0; i < train.n; i++)
        for (int j = 0; j < i; j++) {
            const float *x = data_value_at(&train, i), *y = data_value_at(&train, j);
            double sum = 0;
            for (int c = 0; c < train.c; c++)
                sum += pow((double)x[c] - (double)y[c], 2);
            /* factors and numbers are floats: 6e-8 of their size, a few times */
            ck_assert_double_eq_tol(
                sqrt(sum), chord(s->set, train.factor + (size_t)i * (size_t)train.factors,
                                 train.factor + (size_t)j * (size_t)train.factors, s->k),
                1e-6 * s->scale * s->scale);
        }
}
END_TEST

START_TEST(a_sphere_is_uniform_and_of_length_one)
{
    enum { K = 3, N = 20000 };
    double mean[K + 1] = { 0 }, second[K + 1][K + 1] = { { 0 } }, fourth = 0;

    load_surface("sphere", K, 24, N, 0);
    for (int i = 0; i < N; i++) {
        const float *x = data_value_at(&train, i), *y = train.factor + i * (K + 1);
        double square = 0;
        for (int j = 0; j < 24; j++)
            square += (double)x[j] * (double)x[j];
        ck_assert_double_eq_tol(square, 1, 1e-6);       /* 24 floats */
        for (int j = 0; j <= K; j++) {
            mean[j] += (double)y[j] / N;
            fourth += pow((double)y[j], 4) / N;
            for (int k = 0; k <= K; k++)
                second[j][k] += (double)y[j] * (double)y[k] / N;
        }
    }
    /* E y = 0, E y y' = I / m, E y^4 = 3 / (m (m + 2)), m = 4: deviations of the means
     * 0.5, 0.25 and 0.16 (of the sum of fourths) over sqrt(N) = 141; five of them */
    for (int j = 0; j <= K; j++) {
        ck_assert_double_eq_tol(mean[j], 0, 0.018);
        for (int k = 0; k <= K; k++)
            ck_assert_double_eq_tol(second[j][k], j == k ? 0.25 : 0, 0.009);
    }
    ck_assert_double_eq_tol(fourth, 4 * 3.0 / (4 * 6), 0.006);
}
END_TEST

/* Sums over harmonics of uniform turns: mean 0, deviation sqrt(1/2 / N) = 0.005. */
START_TEST(turns_of_a_torus_are_uniform_and_independent)
{
    enum { K = 3, N = 20000 };
    load_surface("torus", K, 16, N, 0);
    for (int a = -2; a <= 2; a++)
        for (int b = -2; b <= 2; b++)
            for (int c = -2; c <= 2; c++) {
                double sum = 0;
                for (int i = 0; i < N; i++) {
                    const float *f = train.factor + i * K;
                    sum += cos(2 * M_PI * (a * (double)f[0] + b * (double)f[1]
                                           + c * (double)f[2])) / N;
                }
                ck_assert_double_eq_tol(sum, !a && !b && !c, 0.025);
            }
}
END_TEST

/* Rank k + 1 without noise; with it, D noise^2 more in the mean square: chi^2 of 32
 * degrees over 20,000 rows has the relative deviation sqrt(2 / 32 / 20,000) = 0.002, and
 * the sum with |y| = 1 the deviation 2 * 0.2 / sqrt(20,000) = 0.003; five of both. */
START_TEST(noise_is_added_to_every_number)
{
    double square = 0;

    load_surface("sphere", 3, 32, 20000, 0.2);
    for (int i = 0; i < train.n; i++)
        for (int j = 0; j < 32; j++)
            square += pow((double)data_value_at(&train, i)[j], 2) / train.n;
    ck_assert_double_eq_tol(square, 1 + 32 * 0.2 * 0.2, 0.025);
}
END_TEST

START_TEST(a_surface_that_does_not_fit_is_refused)
{
    data_settings s = settings("torus", 100);
    s.dim = 7;
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "data.dim: torus of dimension 4 needs 8 numbers, not 7; "
                     "raise data.dim or lower data.intrinsic");
    s.dim = 8;
    load(&s, 0);
}
END_TEST

/* ---- dimension ---- */

static double figure(const char *name, int n, int k)
{
    size_t mark = nn_arena_mark(&arena);
    met_view v = met_view_of(&arena, train.value, n, train.c, k);
    double x = NAN;

    for (int i = 0; i < met_metric_count(); i++)
        if (strcmp(met_metric_at(i)->name, name) == 0)
            x = met_metric_at(i)->value(&v);
    nn_arena_rewind(&arena, mark);
    return x;
}

/* What the metric calls ideal is its expectation on the uniform sphere in d dimensions,
 * worked out by integrals: d = k + 1 is our sphere, whatever the numbers it lies in.  At
 * 2000 points an estimate spreads by about 1/sqrt(2000) = 2 %, neighbours shared among
 * points make it 3 %, twonn's slope over 1800 points as well; three of them, and 1 % of
 * the ideal's own cells. */
START_TEST(the_metrics_of_dimension_find_what_they_should_on_spheres)
{
    enum { N = 2000, NEAR = 20 };
    static const int k[] = { 2, 4, 8 };
    static const char *const name[] = { "collapse/lid_gmean", "collapse/twonn" };

    load_surface("sphere", k[_i], 32, N, 0);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < met_metric_count(); i++)
            if (strcmp(met_metric_at(i)->name, name[m]) == 0) {
                const double want = met_metric_at(i)->ideal(N, k[_i] + 1, NEAR);
                const double got = figure(name[m], N, NEAR);
                ck_assert_msg(fabs(got / want - 1) < 0.1, "%s of S^%d: %g, wanted %g",
                              name[m], k[_i], got, want);
                ck_assert_double_eq_tol(got / k[_i], 1, 0.25);
            }
}
END_TEST

/* 20 neighbours read k/(k - 2) = 1.11 times the dimension; curvature, edges and the
 * finite sample take some of it back.  TwoNN has no such factor. */
START_TEST(the_metrics_of_dimension_find_the_dimension_of_tori_and_of_the_roll)
{
    static const struct { const char *set; int k; } of[] = {
        { "torus", 1 }, { "torus", 2 }, { "torus", 4 }, { "swiss_roll", 2 }
    };
    load_surface(of[_i].set, of[_i].k, 32, 2000, 0);
    const double lid = figure("collapse/lid_gmean", 2000, 20),
                 two = figure("collapse/twonn", 2000, 20);
    ck_assert_msg(fabs(lid / of[_i].k - 1) < 0.2 && fabs(two / of[_i].k - 1) < 0.15,
                  "%s of dimension %d: lid %g, twonn %g", of[_i].set, of[_i].k, lid, two);
}
END_TEST

/* ---- the pilot ---- */

/* The formula, given the same matrices: x - tanh(u M1) M2 is noise of deviation 0.05,
 * white in all 32 numbers. */
START_TEST(the_pilot_is_its_formula_and_white_noise)
{
    enum { N = 4000, X = DATA_PILOT_COLUMNS, H = DATA_PILOT_WIDE, U = DATA_PILOT_LATENT };
    const data_pilot_matrices p = data_pilot_of(9);
    double cov[X][X] = { { 0 } }, mean[X] = { 0 };
    data_settings s = settings("pilot", N);

    load(&s, 9);
    ck_assert_int_eq(train.c, X);
    for (int i = 0; i < N; i++) {
        const float *u = train.factor + i * U;
        double e[X], h[H] = { 0 };
        for (int k = 0; k < H; k++) {
            for (int j = 0; j < U; j++)
                h[k] += (double)u[j] * p.m1[j * H + k];
            h[k] = tanh(h[k]);
        }
        for (int j = 0; j < X; j++) {
            e[j] = (double)data_value_at(&train, i)[j];
            for (int k = 0; k < H; k++)
                e[j] -= h[k] * p.m2[k * X + j];
            mean[j] += e[j] / N;
        }
        for (int j = 0; j < X; j++)
            for (int k = 0; k < X; k++)
                cov[j][k] += e[j] * e[k] / N;
    }
    /* in units of 0.05^2: deviation sqrt(2 / 4000) = 0.022; five of them */
    for (int j = 0; j < X; j++) {
        ck_assert_double_eq_tol(mean[j] / 0.05, 0, 0.08);
        for (int k = 0; k < X; k++)
            ck_assert_double_eq_tol(cov[j][k] / 0.0025, j == k, 0.12);
    }
}
END_TEST

/* Means over the numbers of a matrix: deviations sqrt(2 / 288) and sqrt(2 / 1536) of the
 * variance; four of them. */
START_TEST(the_matrices_of_the_pilot_have_the_stated_variances)
{
    const data_pilot_matrices p = data_pilot_of(0);
    double first = 0, second = 0;

    for (size_t i = 0; i < NN_COUNT(p.m1); i++)
        first += p.m1[i] * p.m1[i] / NN_COUNT(p.m1);
    for (size_t i = 0; i < NN_COUNT(p.m2); i++)
        second += p.m2[i] * p.m2[i] / NN_COUNT(p.m2);
    ck_assert_double_eq_tol(first / 0.36, 1, 0.33);
    ck_assert_double_eq_tol(second * 49, 1, 0.15);
}
END_TEST

/* ---- views ---- */

/* The noise of a view of a million numbers: deviation of the mean 0.25 / 1000, of the
 * square 0.0625 sqrt(2) / 1000; five of them. */
START_TEST(noise_is_added_to_what_the_view_was)
{
    static const char *const name[] = { "sphere", "shapes" };
    data_settings s = settings(name[_i], 400);
    data_augment quiet, loud;
    double sum = 0, square = 0, n = 0;

    nn_setting_defaults(data_augment_table, &quiet);
    ck_assert_int_eq(data_augment_resolve(&quiet, NULL, _i ? "simsiam_cifar" : "none",
                                          &err), NN_OK);
    loud = quiet;
    loud.noise = 0.25;
    s.dim = 3072;
    load(&s, 1);
    const int count = train.h * train.w * train.c;
    float *x = NN_NEW(&arena, float, count), *y = NN_NEW(&arena, float, count);
    void *work = NN_NEW(&arena, char, data_augment_space(&train));
    for (int i = 0; i < train.n; i++) {
        data_augment_view(&quiet, &train, i, i % 4, 5, 2, x, work);
        data_augment_view(&loud, &train, i, i % 4, 5, 2, y, work);
        for (int k = 0; k < count; k++, n++) {
            const double e = (double)y[k] - (double)x[k];
            sum += e;
            square += e * e;
        }
    }
    ck_assert_double_eq_tol(sum / n, 0, 0.00125);
    ck_assert_double_eq_tol(square / n, 0.0625, 0.00045);
}
END_TEST

START_TEST(every_view_and_epoch_has_noise_of_its_own)
{
    data_settings s = settings("sphere", 100);
    data_augment a;
    float x[6][32];

    nn_setting_defaults(data_augment_table, &a);
    ck_assert_int_eq(data_augment_resolve(&a, NULL, "noise", &err), NN_OK);
    ck_assert_double_gt(a.noise, 0);
    ck_assert_int_eq(data_augment_of_pictures(&a), -1);
    load(&s, 1);
    for (int v = 0; v < 4; v++)
        data_augment_view(&a, &train, 7, v, 5, 0, x[v], NULL);
    data_augment_view(&a, &train, 7, 0, 5, 1, x[4], NULL);
    data_augment_view(&a, &train, 7, 0, 6, 0, x[5], NULL);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            for (int k = 0; k < 32; k++)
                ck_assert_float_ne(x[i][k], x[j][k]);
}
END_TEST

START_TEST(what_changes_pictures_only_is_told)
{
    static const char *const name[] = {
        "crop", "flip", "jitter", "grey", "blur", "blur2", "solarize", "solarize2"
    };
    for (size_t i = 0; i < NN_COUNT(name); i++) {
        data_augment a;
        nn_setting_defaults(data_augment_table, &a);
        ck_assert_int_eq(data_augment_of_pictures(&a), -1);
        for (const nn_setting *s = data_augment_table; s->name; s++)
            if (strcmp(s->name, name[i]) == 0) {
                if (s->kind == NN_FLOAT)
                    *(double *)(void *)((char *)&a + s->at) = 0.5;
                else
                    *(int *)(void *)((char *)&a + s->at) = 1;
            }
        const int row = data_augment_of_pictures(&a);
        ck_assert_int_ge(row, 0);
        ck_assert_str_eq(data_augment_table[row].name, name[i]);
    }
}
END_TEST

/* ---- shapes ---- */

/* Train and test before there was a difficulty: what was trained on them stays true. */
START_TEST(normal_shapes_are_what_they_were)
{
    data_settings s = settings("shapes", 1000);
    load(&s, 0);
    ck_assert_uint_eq(data_fingerprint(&train), UINT64_C(0x4b314b032edfdc61));
    ck_assert_uint_eq(data_fingerprint(&test), UINT64_C(0xa2ed0ae1ce6da968));
}
END_TEST

enum { HUE, BACKGROUND, TEXTURE, SCALE, ANGLE, X, Y, SHAPE_FACTORS };
enum { NORMAL, EASY, HARD };

static void load_shapes(int difficulty, int size)
{
    data_settings s = settings("shapes", size);
    s.difficulty = difficulty;
    load(&s, 3);
    ck_assert_int_eq(train.factors, SHAPE_FACTORS);
    ck_assert_str_eq(train.factor_names[ANGLE], "angle");
}

START_TEST(of_easy_shapes_kind_and_rotation_alone_vary)
{
    load_shapes(NORMAL, 200);
    const data_images normal = train;
    load_shapes(EASY, 200);
    for (int i = 0; i < train.n; i++) {
        const float *f = train.factor + i * SHAPE_FACTORS;
        for (int k = 0; k < SHAPE_FACTORS; k++)
            ck_assert_float_eq(f[k], (k == ANGLE ? normal.factor + i * SHAPE_FACTORS
                                                 : train.factor)[k]);
        ck_assert_int_eq(train.label[i], normal.label[i]);
        const uint8_t *p = data_pixel_at(&train, i);
        ck_assert_mem_eq(p, data_pixel_at(&train, 0), 3);       /* a corner: background */
        if (strcmp(train.names[train.label[i]], "disc") == 0)   /* has no rotation */
            ck_assert_mem_eq(p, data_pixel_at(&train, 0), 32 * 32 * 3);
    }
}
END_TEST

/* Hard pictures are the normal ones with a smaller figure and more behind it: the same
 * background where neither reaches, and more pixels that differ from it. */
START_TEST(hard_shapes_keep_background_and_factors_and_have_others_behind)
{
    load_shapes(NORMAL, 300);
    const data_images normal = train;
    load_shapes(HARD, 300);
    int same = 0, all = 0;

    for (int i = 0; i < train.n; i++) {
        const float *f = train.factor + i * SHAPE_FACTORS;
        const float *g = normal.factor + i * SHAPE_FACTORS;
        for (int k = 0; k < SHAPE_FACTORS; k++)
            if (k != SCALE)
                ck_assert_float_eq(f[k], g[k]);
        ck_assert_double_eq_tol((double)f[SCALE], 0.7 * (double)g[SCALE], 1e-6);
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < 32; x++) {
                const size_t at = (size_t)(y * 32 + x) * 3;
                const double dx = x + 0.5 - (double)g[X], dy = y + 0.5 - (double)g[Y];
                if (sqrt(dx * dx + dy * dy) < 1.05 * (double)g[SCALE] + 4)
                    continue;                   /* the figure and its shadow */
                all++;
                same += memcmp(data_pixel_at(&train, i) + at,
                               data_pixel_at(&normal, i) + at, 3) == 0;
            }
    }
    /* two of radius 4 to 5.5, with shadows: some 140 of 1024 pixels, some behind */
    ck_assert_double_gt((double)same / all, 0.7);
    ck_assert_double_lt((double)same / all, 0.95);
}
END_TEST

START_TEST(the_constants_for_normalising_pictures_are_their_moments)
{
    static const struct { const char *set; int difficulty; } of[] = {
        { "shapes", EASY }, { "shapes", HARD }, { "sprites", NORMAL }
    };
    data_settings s = settings(of[_i].set, 2000);
    s.difficulty = of[_i].difficulty;
    load(&s, 4);
    for (int c = 0; c < train.c; c++) {
        double sum = 0, square = 0, n = 0;
        for (int i = 0; i < train.n; i++)
            for (int k = c; k < train.h * train.w * train.c; k += train.c, n++) {
                const double v = data_pixel_at(&train, i)[k] / 255.0;
                sum += v;
                square += v * v;
            }
        /* pictures differ by some 0.2 in mean: 2000 of them average to 0.005 */
        ck_assert_double_eq_tol((double)train.mean[c], sum / n, 0.015);
        ck_assert_double_eq_tol((double)train.std[c],
                                sqrt(square / n - sum * sum / n / n), 0.015);
    }
}
END_TEST

/* ---- sprites ---- */

enum { SPRITE_SHAPE, SPRITE_SCALE, SPRITE_TURN, SPRITE_X, SPRITE_Y, SPRITE_FACTORS };

static int by_number(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

START_TEST(no_sprite_comes_twice_and_every_value_comes)
{
    enum { N = 3000 };
    static const int values[] = { 3, 6, 40, 32, 32 };
    data_settings s = settings("sprites", N / 6 * 5);
    int number[N], seen[SPRITE_FACTORS][40] = { { 0 } };

    load(&s, 1);
    ck_assert_int_eq(train.n + test.n, N);
    for (int i = 0; i < N; i++) {
        const data_images *d = i < train.n ? &train : &test;
        const float *f = d->factor + (i < train.n ? i : i - train.n) * SPRITE_FACTORS;
        const int v[] = { (int)f[0], (int)lrint(((double)f[1] - 0.5) * 10),
                          (int)lrint((double)f[2] / (2 * M_PI) * 40),
                          (int)lrint((double)f[3] * 31), (int)lrint((double)f[4] * 31) };
        ck_assert_int_eq(v[0], d->label[i < train.n ? i : i - train.n]);
        number[i] = 0;
        for (int k = 0; k < SPRITE_FACTORS; k++) {
            ck_assert(v[k] >= 0 && v[k] < values[k]);
            number[i] = number[i] * values[k] + v[k];
            seen[k][v[k]]++;
        }
    }
    qsort(number, N, sizeof *number, by_number);
    for (int i = 1; i < N; i++)
        ck_assert_int_ne(number[i], number[i - 1]);
    for (int k = 0; k < SPRITE_FACTORS; k++)
        for (int v = 0; v < values[k]; v++)     /* binomial: six deviations */
            ck_assert_double_eq_tol(seen[k][v], N / values[k],
                                    6 * sqrt((double)N / values[k]));
}
END_TEST

/* Sums over pixels: a square of side 1.44 r and an ellipse of half-axes 0.95 r, 0.55 r.
 * An edge of one pixel, smooth, keeps the area to about a percent; corners lose a
 * little. */
START_TEST(sprites_have_the_area_the_place_and_the_turn_of_their_factors)
{
    data_settings s = settings("sprites", 600);

    load(&s, 2);
    for (int i = 0; i < train.n; i++) {
        const float *f = train.factor + i * SPRITE_FACTORS;
        const uint8_t *p = data_pixel_at(&train, i);
        const double r = 15 * (double)f[SPRITE_SCALE];
        double m = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
        if (train.label[i] == 2)
            continue;                           /* the heart: no simple area */
        for (int j = 0; j < 64; j++)
            for (int k = 0; k < 64; k++) {
                const double v = p[j * 64 + k] / 255.0;
                m += v;
                x += v * (k + 0.5);
                y += v * (j + 0.5);
                xx += v * (k + 0.5) * (k + 0.5);
                xy += v * (k + 0.5) * (j + 0.5);
                yy += v * (j + 0.5) * (j + 0.5);
            }
        const double area = train.label[i] ? M_PI * 0.95 * 0.55 : 1.44 * 1.44;
        ck_assert_double_eq_tol(m / (area * r * r), 1, 0.02);
        ck_assert_double_eq_tol(x / m, 17 + 30 * (double)f[SPRITE_X], 0.1);
        ck_assert_double_eq_tol(y / m, 17 + 30 * (double)f[SPRITE_Y], 0.1);
        if (train.label[i] == 0)
            continue;
        /* the long axis: half of the angle of the second moments, a half turn is none */
        const double turn = atan2(2 * (xy / m - x * y / m / m),
                                  (xx - yy) / m - (x * x - y * y) / m / m) / 2;
        const double gap = remainder(turn - (double)f[SPRITE_TURN], M_PI);
        ck_assert_double_eq_tol(gap, 0, 0.03);  /* a step is 0.157 */
    }
}
END_TEST

START_TEST(more_sprites_than_there_are_is_refused)
{
    data_settings s = settings("sprites", 700000);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "data.size: sprites are 737280 pictures in all, fewer than "
                     "700000 and 140000 for the test; lower data.size to 614400");
    s.limit = 10;
    s.test_limit = 10;
    load(&s, 0);
}
END_TEST

/* ---- through the program ---- */

static void configure(const char *set, const char *rest)
{
    char text[1024];
    snprintf(text, sizeof text,
             "method: {name: simclr, proj_dim: 8}\n"
             "data: {name: %s, size: 64}\nepochs: 1\nbatch: 16\n"
             "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n%s", set, rest);
    program_write("a.yaml", text);
}

static program_result train_with(const char *setting)
{
    return program("train", "a.yaml", "--threads=2", setting, NULL);
}

START_TEST(vectors_are_trained_on_planned_and_reported_without_pictures)
{
    configure(sets[_i], "model: {name: mlp, hidden: 16, out: 8}\n");
    program_result r = program("plan", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    r = train_with("seed=1");
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "64 vectors to train on, 12 held out, of 32 "));
    const char *folder = program_run_folder("runs");
    const json_t *head = json_array_get(program_lines(folder, "snapshots.jsonl"), 0);
    ck_assert(json_is_null(json_object_get(head, "pairs")));
    r = program("report", folder, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

START_TEST(codes_of_vectors_have_nmse_and_neither_psnr_nor_pictures)
{
    program_write("a.yaml",
                  "method: {name: vqvae}\nmodel: {name: mlp_autoencoder, hidden: 16}\n"
                  "quantiser: {name: vq, codes: 16}\ndata: {name: pilot, size: 64}\n"
                  "epochs: 1\nbatch: 16\n"
                  "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n");
    program_result r = train_with("seed=1");
    ck_assert_msg(r.exit == 0, "%s", r.err);
    const char *folder = program_run_folder("runs");
    const json_t *line = json_array_get(program_lines(folder, "metrics.jsonl"), 1);
    ck_assert(json_is_null(json_object_get(line, "recon/psnr")));
    ck_assert(json_is_null(json_object_get(line, "recon/ssim")));
    ck_assert(json_number_value(json_object_get(line, "recon/nmse")) > 0);
    const json_t *shot = json_array_get(program_lines(folder, "snapshots.jsonl"), 1);
    ck_assert_ptr_nonnull(json_object_get(shot, "code_bins"));
    ck_assert_ptr_null(json_object_get(shot, "original"));
    r = program("report", folder, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    r = program("quantise", folder, NULL);
    ck_assert_msg(r.exit == 0 && strstr(r.out, "vectors: mse "), "%s%s", r.out, r.err);
}
END_TEST

START_TEST(what_means_nothing_to_vectors_is_refused)
{
    static const struct { const char *setting, *text; } no[] = {
        { "model.name=conv3", "conv3 works on pictures, but torus holds vectors "
          "of 32 numbers; model.name is one of mlp, mlp_autoencoder, identity\n" },
        { "augment.crop=true", "augment.crop means nothing to torus, which holds vectors "
          "of 32 numbers; only augment.noise changes them (augment.recipe=noise)\n" },
        { "augment.flip=0.5", "augment.flip means nothing to torus" },
        { "augment.recipe=simsiam_cifar", "augment.crop means nothing to torus" },
        { "data.symmetric=true", "data.symmetric means nothing to torus, which holds "
          "vectors; leave it out\n" },
    };
    configure("torus", "model: {name: mlp}\n");
    for (size_t i = 0; i < NN_COUNT(no); i++) {
        program_result r = train_with(no[i].setting);
        ck_assert_int_eq(r.exit, 2);
        ck_assert_msg(strstr(r.err, no[i].text) != NULL, "%s", r.err);
    }
    ck_assert_int_eq(train_with("augment.crop=false").exit, 0);
}
END_TEST

Suite *suite_generated(void)
{
    TCase *views = tcase_create("views"), *pictures = tcase_create("pictures");
    TCase *whole = tcase_create("program");
    Suite *s = suite_create("generated");
    TCase *all = tcase_create("numbers"), *clouds = tcase_create("clouds");
    TCase *surface = tcase_create("surfaces"), *pilot = tcase_create("pilot");

    tcase_add_checked_fixture(all, NULL, free_arena);
    tcase_add_loop_test(all, a_row_depends_on_seed_and_number_alone, 0, SETS);
    tcase_add_loop_test(all, rows_have_the_same_bits_at_any_number_of_threads, 0, SETS);
    tcase_add_loop_test(all, no_row_is_in_both_parts, 0, SETS);
    tcase_add_loop_test(all, factors_and_classes_have_names_and_labels_are_classes, 0,
                        SETS);
    tcase_add_loop_test(all, normalised_numbers_have_mean_0_and_deviation_1, 0, SETS);
    suite_add_tcase(s, all);

    tcase_add_checked_fixture(clouds, NULL, free_arena);
    tcase_add_test(clouds, a_cloud_has_the_covariance_one);
    tcase_add_test(clouds, separation_is_the_root_mean_square_distance_of_centres);
    tcase_add_test(clouds, the_offset_moves_every_number_and_normalising_takes_it_away);
    tcase_add_test(clouds,
                   factors_of_a_cloud_are_its_component_and_the_distance_from_its_centre);
    suite_add_tcase(s, clouds);

    tcase_add_checked_fixture(surface, NULL, free_arena);
    tcase_add_test(surface, a_frame_has_orthonormal_columns);
    tcase_add_loop_test(surface, distances_are_those_of_the_factors, 0,
                        NN_COUNT(surfaces));
    tcase_add_test(surface, a_sphere_is_uniform_and_of_length_one);
    tcase_add_test(surface, turns_of_a_torus_are_uniform_and_independent);
    tcase_add_test(surface, noise_is_added_to_every_number);
    tcase_add_test(surface, a_surface_that_does_not_fit_is_refused);
    tcase_add_loop_test(surface, the_metrics_of_dimension_find_what_they_should_on_spheres,
                        0, 3);
    tcase_add_loop_test(surface,
                        the_metrics_of_dimension_find_the_dimension_of_tori_and_of_the_roll,
                        0, 4);
    suite_add_tcase(s, surface);

    tcase_add_checked_fixture(pilot, NULL, free_arena);
    tcase_add_test(pilot, the_pilot_is_its_formula_and_white_noise);
    tcase_add_test(pilot, the_matrices_of_the_pilot_have_the_stated_variances);
    suite_add_tcase(s, pilot);

    tcase_add_checked_fixture(views, NULL, free_arena);
    tcase_add_loop_test(views, noise_is_added_to_what_the_view_was, 0, 2);
    tcase_add_test(views, every_view_and_epoch_has_noise_of_its_own);
    tcase_add_test(views, what_changes_pictures_only_is_told);
    suite_add_tcase(s, views);

    tcase_add_checked_fixture(pictures, NULL, free_arena);
    tcase_add_test(pictures, normal_shapes_are_what_they_were);
    tcase_add_test(pictures, of_easy_shapes_kind_and_rotation_alone_vary);
    tcase_add_test(pictures,
                   hard_shapes_keep_background_and_factors_and_have_others_behind);
    tcase_add_loop_test(pictures, the_constants_for_normalising_pictures_are_their_moments,
                        0, 3);
    tcase_add_test(pictures, no_sprite_comes_twice_and_every_value_comes);
    tcase_add_test(pictures, sprites_have_the_area_the_place_and_the_turn_of_their_factors);
    tcase_add_test(pictures, more_sprites_than_there_are_is_refused);
    suite_add_tcase(s, pictures);

    tcase_set_timeout(whole, 60);
    tcase_add_checked_fixture(whole, program_enter, program_leave);
    tcase_add_loop_test(whole, vectors_are_trained_on_planned_and_reported_without_pictures,
                        0, SETS);
    tcase_add_test(whole, codes_of_vectors_have_nmse_and_neither_psnr_nor_pictures);
    tcase_add_test(whole, what_means_nothing_to_vectors_is_refused);
    suite_add_tcase(s, whole);
    return s;
}
