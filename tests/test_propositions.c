/* Propositions of the papers that cost seconds (spec 13.2), with the thresholds of the
 * specification: S1 to S3, V1, V2 and T3 in setting B (tests/toy.h, seed 0), T1, T2, T5
 * and W1 on clouds of points.  I1 is in test_intl.c, R1 in test_metrics.c.
 *
 * Other seeds: 1 and 2 hold all of them, too, but for two figures that lie at their
 * threshold: S2's std without stop-gradient (0.98, 0.89 against 0.9) and V1's raw std of
 * the full loss (0.79, 0.81 against 0.8). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/met.h"
#include "nn/ops.h"
#include "nn/rng.h"
#include "ssl/method.h"
#include "tests/keys.h"
#include "tests/suites.h"
#include "tests/toy.h"

#define SIMSIAM "proj_layers=2 proj_dim=64 pred_hidden=16 "
#define VICREG "proj_layers=2 proj_dim=64 "
#define TREGS "proj_layers=3 proj_dim=64 "

/* ---- setting B --------------------------------------------------------------------- */

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* Ten times as slow under sanitizers, which then see the same code in three steps. */
static int too_slow(void)
{
    if (!SANITIZED)
        return 0;
    toy_run(&(toy_plan){ "simsiam", SIMSIAM, 0.05, 3, 0, 0 });
    printf("propositions: whole runs are skipped under sanitizers: too slow\n");
    return 1;
}

static toy_end simsiam(const char *settings)
{
    toy_plan p = { "simsiam", settings, 0.05, 300, 0, 0 };
    return toy_run(&p);
}

static toy_end vicreg(const char *settings)
{
    toy_plan p = { "vicreg", settings, 0.01, 300, 0, 0 };
    return toy_run(&p);
}

static toy_end tregs(const char *settings)
{
    toy_plan p = { "tregs", settings, 0.05, 200, 40, 0 };
    return toy_run(&p);
}

START_TEST(s1_without_stop_gradient_the_output_collapses)
{
    if (too_slow())
        return;
    toy_end with = simsiam(SIMSIAM "proj_bn=hidden");
    toy_end without = simsiam(SIMSIAM "proj_bn=hidden stop_gradient=0");
    ck_assert_double_gt(with.std, 0.70);
    ck_assert_double_lt(without.std, 0.35);
    ck_assert_double_gt(with.loss, -0.96);
    ck_assert_double_lt(without.loss, -0.98);
}
END_TEST

START_TEST(s2_with_output_norm_it_is_the_dimensions_that_go)
{
    if (too_slow())
        return;
    toy_end with = simsiam(SIMSIAM "proj_bn=output");
    toy_end without = simsiam(SIMSIAM "proj_bn=output stop_gradient=0");
    ck_assert_double_lt(without.erank / with.erank, 0.7);
    ck_assert_double_gt(with.std, 0.9);
    ck_assert_double_gt(without.std, 0.9);
}
END_TEST

START_TEST(s3_no_predictor_is_no_stop_gradient_at_half_the_length)
{
    double cosine, ratio;
    toy_plan with = { "simsiam", SIMSIAM "predictor=none", 0.05, 1, 0, 0 };
    toy_plan without = with;
    without.settings = SIMSIAM "predictor=none stop_gradient=0";
    toy_compare(&with, &without, &cosine, &ratio);
    ck_assert_double_gt(cosine, 0.9999);
    ck_assert_double_eq_tol(ratio, 0.5, 1e-3);
}
END_TEST

START_TEST(v1_without_the_variance_term_the_scale_collapses)
{
    if (too_slow())
        return;
    ck_assert_double_gt(vicreg(VICREG).raw_std, 0.8);
    ck_assert_double_lt(vicreg(VICREG "mu=0").raw_std, 0.2);
}
END_TEST

START_TEST(v2_without_the_covariance_term_the_dimensions_collapse)
{
    if (too_slow())
        return;
    ck_assert_double_lt(vicreg(VICREG "nu=0").erank / vicreg(VICREG).erank, 0.35);
}
END_TEST

START_TEST(t3_the_tree_term_keeps_invariance_from_collapse)
{
    if (too_slow())
        return;
    ck_assert_double_lt(tregs(TREGS).cos, 0.2);
    ck_assert_double_gt(tregs(TREGS "gamma=0 lambda=0").cos, 0.6);
}
END_TEST

START_TEST(a_run_is_the_same_to_the_bit_the_second_time)
{
    const toy_plan p = { "simsiam", SIMSIAM, 0.05, 12, 4, 7 };
    toy_end a = toy_run(&p), b = toy_run(&p);
    ck_assert_mem_eq(&a, &b, sizeof a);
}
END_TEST

/* ---- clouds that a loss moves ------------------------------------------------------ */

typedef struct cloud {
    int n, d;
    float *x;
    nn_arena step, scratch;
    nn_tape tape;
} cloud;

static void cloud_open(cloud *c, int n, int d)
{
    memset(c, 0, sizeof *c);
    c->n = n;
    c->d = d;
    c->x = malloc(sizeof *c->x * (size_t)(n * d));
    nn_tape_start(&c->tape, &c->step, &c->scratch);
}

static void cloud_close(cloud *c)
{
    free(c->x);
    nn_tape_free(&c->tape);
    nn_arena_free(&c->step);
    nn_arena_free(&c->scratch);
}

/* Each column of the normal numbers gets `spread`, column 0 `shift` more. */
static void cloud_fill(cloud *c, uint64_t seed, double spread, double shift)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    for (int i = 0; i < c->n * c->d; i++)
        c->x[i] = (float)(spread * nn_rng_normal(&r) + (i % c->d == 0 ? shift : 0));
}

static void cloud_to_sphere(cloud *c)
{
    met_unit_rows(c->n, c->d, c->x, c->x);
}

/* A method's loss with the cloud as the first view, and, where the method looks at both,
 * as the second. */
static nn_node *cloud_loss(cloud *c, const char *method, const char *settings)
{
    const ssl_method *m = ssl_method_find(method);
    _Alignas(16) unsigned char config[256];
    ssl_views v = { .count = 2, .clock = { .epoch = 1, .epochs = 2,
                                           .step = 1, .steps = 2 } };

    ck_assert(m && m->config_size <= sizeof config);
    keys_set(m->settings, config, settings);
    nn_tape_reset(&c->tape);
    v.z[0] = nn_input(&c->tape, nn_shape2(c->n, c->d), c->x, 1);
    v.z[1] = v.z[0];
    return m->loss(&c->tape, config, &v);
}

/* Gradient descent on the sphere: per point, so that a step does not depend on n; the
 * length of a step falls linearly to zero. */
static void cloud_descend(cloud *c, const char *method, const char *settings, int steps,
                          double length)
{
    for (int s = 0; s < steps; s++) {
        nn_node *loss = cloud_loss(c, method, settings);
        const nn_node *z = loss->tape->list[0];
        const float far = (float)(length * c->n * (steps - s) / steps);
        nn_backward(loss);
        for (int i = 0; i < c->n * c->d; i++)
            c->x[i] -= far * z->grad[i];
        cloud_to_sphere(c);
    }
}

static double cloud_metric(cloud *c, const char *name)
{
    met_view v = met_view_of(&c->scratch, c->x, c->n, c->d, 16);
    return met_metric_find(name)->value(&v);
}

#define TREE "beta=0 views=first normalise=hard"

/* Of n = d + 1 points on the sphere the tree is longest for the regular simplex. */
START_TEST(t1_the_tree_drives_d_plus_one_points_to_the_simplex)
{
    enum { D = 15, N = D + 1 };
    cloud c;
    cloud_open(&c, N, D);
    cloud_fill(&c, 1, 1, 0);
    cloud_to_sphere(&c);
    const double most = sqrt(2.0 * (N - 1) / N);
    ck_assert_double_lt(-(double)nn_item(cloud_loss(&c, "tregs", TREE)) / most, 0.9);
    cloud_descend(&c, "tregs", TREE, 600, 0.05);
    const double share = -(double)nn_item(cloud_loss(&c, "tregs", TREE)) / most;
    ck_assert_double_gt(share, 0.99);
    ck_assert_double_le(share, 1 + 1e-6);       /* the bound itself, but for rounding */
    cloud_close(&c);
}
END_TEST

/* Uniformity of the uniform distribution on the sphere in 16 dimensions (spec 12.1). */
static const double UNIFORM_16 = -3.5130;

START_TEST(t2_the_tree_spreads_a_concentrated_cloud)
{
    cloud c;
    cloud_open(&c, 512, 16);
    cloud_fill(&c, 2, 0.15, 1);
    cloud_to_sphere(&c);
    const double before = cloud_metric(&c, "collapse/wasserstein");
    ck_assert_double_gt(fabs(cloud_metric(&c, "collapse/uniformity") - UNIFORM_16), 1);
    cloud_descend(&c, "tregs", TREE, 400, 0.05);
    ck_assert_double_lt(cloud_metric(&c, "collapse/wasserstein"), 0.5 * before);
    ck_assert_double_eq_tol(cloud_metric(&c, "collapse/uniformity"), UNIFORM_16, 0.1);
    cloud_close(&c);
}
END_TEST

/* Tight clusters at the ends of all axes: the covariance is 1/d as it should be, and all
 * is empty in between. */
static void fill_axes(cloud *c)
{
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);
    for (int i = 0; i < c->n; i++)
        for (int j = 0; j < c->d; j++) {
            const int axis = i % (2 * c->d), sign = axis < c->d ? 1 : -1;
            c->x[i * c->d + j] = (float)(0.03 * nn_rng_normal(&r)
                                         + (axis % c->d == j ? sign : 0));
        }
    cloud_to_sphere(c);
}

START_TEST(t2_the_covariance_term_leaves_holes_that_the_tree_fills)
{
    cloud c;
    double gap[2];
    cloud_open(&c, 512, 16);
    for (int tree = 0; tree < 2; tree++) {
        fill_axes(&c);
        if (tree)
            cloud_descend(&c, "tregs", TREE, 400, 0.05);
        else
            cloud_descend(&c, "vicreg", "lambda=0 mu=0 nu=1", 400, 0.05);
        gap[tree] = fabs(cloud_metric(&c, "collapse/uniformity") - UNIFORM_16);
    }
    ck_assert_double_gt(gap[0], 0.1);
    ck_assert_double_lt(gap[1], 0.1);
    cloud_close(&c);
}
END_TEST

/* Uniform on a sphere of dimension m: the tree grows like n^((m - 1)/m) (Steele). */
START_TEST(t5_the_growth_of_the_tree_tells_the_dimension)
{
    static const int dimension[] = { 2, 3, 8 };
    enum { SIZES = 5, DRAWS = 4 };
    const int m = dimension[_i];
    double sx = 0, sy = 0, sxx = 0, sxy = 0;

    for (int s = 0; s < SIZES; s++) {
        double sum = 0;
        for (int draw = 0; draw < DRAWS; draw++) {
            cloud c;
            cloud_open(&c, 64 << s, m + 1);
            cloud_fill(&c, (uint64_t)(10 * s + draw), 1, 0);
            cloud_to_sphere(&c);
            nn_node *z = nn_input(&c.tape, nn_shape2(c.n, c.d), c.x, 0);
            sum += (double)nn_item(nn_tree(&c.tape, z)) / DRAWS;
            cloud_close(&c);
        }
        const double x = log(64 << s), y = log(sum);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    const double slope = (SIZES * sxy - sx * sy) / (SIZES * sxx - sx * sx);
    const double want = (m - 1.0) / m;
    ck_assert_msg(fabs(slope - want) < 0.05, "dimension %d: slope %.3f, not %.3f", m,
                  slope, want);
}
END_TEST

/* Half of 256 coordinates are zeroed.  8192 rows, because the distance of ideal data is
 * near sqrt(d/n)/2 and has to start below 0.1; 2048 of them for uniformity, whose cost is
 * quadratic. */
START_TEST(w1_uniformity_cannot_see_dead_dimensions_and_wasserstein_can)
{
    double uniformity[2], distance[2];
    cloud c;
    cloud_open(&c, 8192, 256);
    cloud_fill(&c, 4, 1, 0);
    for (int k = 0; k < 2; k++) {
        distance[k] = cloud_metric(&c, "collapse/wasserstein");
        c.n = 2048;
        uniformity[k] = cloud_metric(&c, "collapse/uniformity");
        c.n = 8192;
        for (int i = 0; i < c.n; i++)
            memset(c.x + i * c.d, 0, sizeof(float) * 128);
    }
    ck_assert_double_lt(fabs(uniformity[1] / uniformity[0] - 1), 0.02);
    ck_assert_double_lt(distance[0], 0.1);
    ck_assert_double_gt(distance[1], 0.7);
    ck_assert_double_eq_tol(distance[1], sqrt(2 - sqrt(2)), 0.02 * distance[1]);
    cloud_close(&c);
}
END_TEST

Suite *suite_propositions(void)
{
    Suite *s = suite_create("propositions");
    TCase *tc = tcase_create("setting B");
    tcase_add_test(tc, s1_without_stop_gradient_the_output_collapses);
    tcase_add_test(tc, s2_with_output_norm_it_is_the_dimensions_that_go);
    tcase_add_test(tc, s3_no_predictor_is_no_stop_gradient_at_half_the_length);
    tcase_add_test(tc, v1_without_the_variance_term_the_scale_collapses);
    tcase_add_test(tc, v2_without_the_covariance_term_the_dimensions_collapse);
    tcase_add_test(tc, t3_the_tree_term_keeps_invariance_from_collapse);
    tcase_add_test(tc, a_run_is_the_same_to_the_bit_the_second_time);
    suite_add_tcase(s, tc);
    tc = tcase_create("synthetic");
    tcase_add_test(tc, t1_the_tree_drives_d_plus_one_points_to_the_simplex);
    tcase_add_test(tc, t2_the_tree_spreads_a_concentrated_cloud);
    tcase_add_test(tc, t2_the_covariance_term_leaves_holes_that_the_tree_fills);
    tcase_add_loop_test(tc, t5_the_growth_of_the_tree_tells_the_dimension, 0, 3);
    tcase_add_test(tc, w1_uniformity_cannot_see_dead_dimensions_and_wasserstein_can);
    suite_add_tcase(s, tc);
    return s;
}
