/* INTL: its loss and gradient against PyTorch (golden/make_whiten.py), the closed forms,
 * and what its transformation is for. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/rng.h"
#include "tests/golden.h"
#include "tests/net.h"
#include "tests/suites.h"

enum { ITERNORM, ZCA, POWER, NONE };

/* The method alone, without a backbone: z1 and z2 are given. */
typedef struct bench {
    net n;
    ssl_views v;
    ssl_terms terms;
} bench;

static void bench_start(bench *b)
{
    memset(b, 0, sizeof *b);
    net_start(&b->n, "mlp", "intl", (nn_image_shape){ 4, 4, 1 }, 4);
    nn_tape_start(&b->n.tape, &b->n.step, &b->n.scratch);
}

static nn_node *bench_loss(bench *b)
{
    b->v.count = 2;
    b->v.terms = &b->terms;
    b->terms.count = 0;
    return b->n.method->loss(&b->n.tape, b->n.method_config, &b->v);
}

static void give(bench *b, int n, int d, const float *z1, const float *z2)
{
    b->v.z[0] = nn_input(&b->n.tape, nn_shape2(n, d), z1, 1);
    b->v.z[1] = nn_input(&b->n.tape, nn_shape2(n, d), z2, 1);
}

static double term(const bench *b, const char *name)
{
    for (int i = 0; i < b->terms.count; i++)
        if (strcmp(b->terms.list[i].name, name) == 0)
            return b->terms.list[i].value;
    return NAN;
}

static nn_node *input(bench *b, golden *g, int i, const char *name, int wants)
{
    char full[80];
    snprintf(full, sizeof full, "intl/%d/%s", i, name);
    const golden_record *r = golden_find(g, full);
    return r ? nn_input(&b->n.tape, r->shape, r->val, wants) : NULL;
}

/* Whitening to 5e-7 (tests/test_whiten.c), its gradient the same, times what cosines and
 * up to 40 squared variances make of it. */
START_TEST(loss_terms_and_gradients_match_pytorch)
{
    golden g = golden_open("whiten.gold");
    for (int i = 0; i < 9; i++) {
        bench b;
        bench_start(&b);
        const float *set = golden_at(&g, "intl/%d/set", i)->val;
        net_set_method(&b.n, "axis", (double)set[0]);
        net_set_method(&b.n, "iterations", (double)set[1]);
        net_set_method(&b.n, "target", (double)set[2]);
        for (int k = 0; k < 2; k++) {
            b.v.z[k] = input(&b, &g, i, k ? "z2" : "z1", 1);
            b.v.tz[k] = input(&b, &g, i, k ? "t2" : "t1", 0);
        }
        nn_node *l = bench_loss(&b);
        golden_check(golden_at(&g, "intl/%d/y", i), l->val, 2e-6);
        ck_assert_double_eq_tol(term(&b, "cosine"),
                                (double)golden_at(&g, "intl/%d/cosine", i)->val[0], 4e-6);
        nn_backward(nn_scale(&b.n.tape, golden_at(&g, "intl/%d/dy", i)->val[0], l));
        golden_check(golden_at(&g, "intl/%d/dz1", i), b.v.z[0]->grad, 1e-5);
        golden_check(golden_at(&g, "intl/%d/dz2", i), b.v.z[1]->grad, 1e-5);
        double trace = (double)golden_at(&g, "intl/%d/trace", i)->val[0];
        if (golden_at(&g, "intl/%d/dz1", i)->shape.dim[0] > 5)  /* else beta is 0 */
            ck_assert_double_eq_tol(term(&b, "trace"), trace, 4e-6 * fmax(trace, 1e-3));
        net_free(&b.n);
    }
    golden_free(&g);
}
END_TEST

static void normal(float *x, int n, uint64_t sample)
{
    nn_rng r = nn_rng_at(43, NN_RNG_TEST, 0, sample);
    for (int i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
}

START_TEST(equal_views_pay_for_their_variances_alone)
{
    static float x[256 * 40];
    bench b;
    normal(x, 256 * 40, 1);
    bench_start(&b);
    give(&b, 256, 40, x, x);
    double l = (double)nn_item(bench_loss(&b));
    ck_assert_double_eq_tol(term(&b, "cosine"), 0, 1e-6);   /* 2 - 2 of float32 */
    /* 0.01 (log2 256 - 3); the sum has rounding of float32 of 20 */
    ck_assert_double_eq_tol(l, 0.05 * term(&b, "trace"), 4e-6);
    /* 40 directions for 256 rows: the variances sum to at most 40, twice.  The sum of
     * 256 squares of (v - 1) is least when all v are 40/256. */
    ck_assert_double_gt(term(&b, "trace"), 2 * 256 * (1 - 40.0 / 256) * (1 - 40.0 / 256));
    net_free(&b.n);
}
END_TEST

/* Rows without variance over channels are whitened to zero: cosine 0, every variance one
 * too small, and nothing to push. */
START_TEST(a_collapsed_batch_costs_two_and_its_variances_and_rests)
{
    enum { N = 16, D = 10 };
    float x[N * D];
    bench b;
    for (int i = 0; i < N * D; i++)
        x[i] = 0.1f * (float)(i / D);
    bench_start(&b);
    give(&b, N, D, x, x);
    nn_node *l = bench_loss(&b);
    ck_assert_double_eq_tol((double)nn_item(l), 2 + 0.01 * 2 * N, 1e-6);
    nn_backward(l);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq(b.v.z[0]->grad[i], 0);
    net_free(&b.n);
}
END_TEST

START_TEST(the_trace_loss_is_weighted_as_asked)
{
    static float x[2][16 * 10];
    bench b;
    normal(x[0], 160, 2);
    normal(x[1], 160, 3);
    bench_start(&b);
    give(&b, 16, 10, x[0], x[1]);
    double base = (double)nn_item(bench_loss(&b)) - 0.01 * term(&b, "trace");
    ck_assert_double_eq_tol(base, term(&b, "cosine"), 1e-6);
    net_set_method(&b.n, "beta", 0.5);
    double heavy = (double)nn_item(bench_loss(&b)) - 0.5 * term(&b, "trace");
    ck_assert_double_eq_tol(heavy, base, 1e-5);             /* float32 of about 10 */
    net_set_method(&b.n, "trace", 0);
    ck_assert_double_eq_tol((double)nn_item(bench_loss(&b)), base, 1e-6);
    ck_assert(isnan(term(&b, "trace")));
    net_free(&b.n);
}
END_TEST

START_TEST(a_target_is_followed_only_when_asked_for)
{
    bench b;
    ssl_clock clock = { 0, 10, 0, 100 };
    bench_start(&b);
    ck_assert_double_lt(b.n.method->momentum(b.n.method_config, &clock), 0);
    net_set_method(&b.n, "target", 1);
    ck_assert_double_eq(b.n.method->momentum(b.n.method_config, &clock), 0.996);
    clock.step = 100;
    ck_assert_double_eq(b.n.method->momentum(b.n.method_config, &clock), 1);
    net_free(&b.n);
}
END_TEST

/* Newton's iteration ends in ZCA whitening: after 12 turns a well spread batch has the
 * loss and the gradient of it.  Without the transformation only the cosines of z are left. */
START_TEST(other_transformations_are_where_they_should_be)
{
    static const int transform[] = { ITERNORM, ZCA, POWER, NONE };
    enum { N = 60, D = 5, CASES = 4 };
    static float x[2][N * D];
    float grad[CASES][N * D];
    double l[CASES];
    for (int k = 0; k < 2; k++)
        normal(x[k], N * D, (uint64_t)k + 4);
    for (int i = 0; i < CASES; i++) {
        bench b;
        bench_start(&b);
        net_set_method(&b.n, "transform", transform[i]);
        net_set_method(&b.n, "iterations", 12);
        net_set_method(&b.n, "axis", 1);
        net_set_method(&b.n, "beta", 0.1);
        net_set_method(&b.n, "power", 1);
        net_set_method(&b.n, "trace", transform[i] != NONE);
        give(&b, N, D, x[0], x[1]);
        nn_node *loss = bench_loss(&b);
        l[i] = (double)nn_item(loss);
        nn_backward(loss);
        memcpy(grad[i], b.v.z[0]->grad, sizeof grad[i]);
        net_free(&b.n);
    }
    double cosines = 0;
    for (int i = 0; i < N; i++) {
        double dot = 0, a = 0, c = 0;
        for (int j = i * D; j < (i + 1) * D; j++) {
            dot += (double)x[0][j] * (double)x[1][j];
            a += (double)x[0][j] * (double)x[0][j];
            c += (double)x[1][j] * (double)x[1][j];
        }
        cosines += dot / sqrt(a * c);
    }
    ck_assert_double_eq_tol(l[3], 2 - 2 * cosines / N, 1e-6);
    ck_assert_double_eq_tol(l[0], l[1], 2e-6);              /* float32 of 2 */
    ck_assert_double_eq(l[1], l[2]);                        /* power 1 is ZCA */
    for (int i = 0; i < N * D; i++)                         /* of elements near 0.02 */
        ck_assert_float_eq_tol(grad[0][i], grad[1][i], 2e-7f);
}
END_TEST

/* Mean cosine of pairs of rows of z. */
static double likeness(const nn_node *z)
{
    int n = nn_rows(z), d = nn_cols(z);
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            double dot = 0, a = 0, b = 0;
            for (int j = 0; j < d; j++) {
                double x = (double)z->val[i * d + j], y = (double)z->val[k * d + j];
                dot += x * y;
                a += x * x;
                b += y * y;
            }
            sum += dot / sqrt(a * b);
        }
    return sum / (n * (n - 1) / 2.0);
}

/* What the method is for: cosines alone pull every z into one direction, cosines of
 * whitened z do not. */
static double trained(int transform, int axis)
{
    net n;
    ssl_views v;
    net_start(&n, "mlp", "intl", (nn_image_shape){ 6, 6, 1 }, 32);
    net_set_method(&n, "proj_dim", 16);
    net_set_method(&n, "transform", transform);
    net_set_method(&n, "axis", axis);
    net_set_method(&n, "trace", transform == ITERNORM);
    net_build(&n, 5);
    for (int i = 0; i < 100; i++)
        net_train_step(&n, 0.3f);
    net_loss(&n, &v);
    double like = likeness(v.z[0]);
    net_free(&n);
    return like;
}

START_TEST(without_the_transformation_every_z_turns_the_same_way)
{
    /* measured 0.95, 0.07 and 0.30 */
    ck_assert_double_gt(trained(NONE, 0), 0.8);
    ck_assert_double_lt(trained(ITERNORM, 0), 0.4);
    ck_assert_double_lt(trained(ITERNORM, 1), 0.5);
}
END_TEST

Suite *suite_intl(void)
{
    Suite *s = suite_create("intl");
    TCase *tc = tcase_create("intl");
    tcase_add_test(tc, loss_terms_and_gradients_match_pytorch);
    tcase_add_test(tc, equal_views_pay_for_their_variances_alone);
    tcase_add_test(tc, a_collapsed_batch_costs_two_and_its_variances_and_rests);
    tcase_add_test(tc, the_trace_loss_is_weighted_as_asked);
    tcase_add_test(tc, a_target_is_followed_only_when_asked_for);
    tcase_add_test(tc, other_transformations_are_where_they_should_be);
    tcase_add_test(tc, without_the_transformation_every_z_turns_the_same_way);
    suite_add_tcase(s, tc);
    return s;
}
