/* Variance, covariance and cross-correlation: against PyTorch (golden/make_gram.py), the
 * closed forms of the specification, plain sums in double, and between tables and
 * teams. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/ops.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/suites.h"

#define EXPECT(cond, ...)                                                                \
    do {                                                                                 \
        if (!(cond))                                                                     \
            ck_abort_msg(__VA_ARGS__);                                                   \
    } while (0)

static nn_arena step, scratch, memory;         /* the process of a test ends with it */
static nn_tape tape;

static void start(void)
{
    nn_tape_start(&tape, &step, &scratch);
}

/* ---- what is compared: one loss of one or two batches ----------------------------- */

typedef nn_node *build(nn_node *a, nn_node *b, const float *set);

static nn_node *variance(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_variance(&tape, a, set[0], set[1], (int)set[2]);
}

static nn_node *covariance(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_covariance(&tape, a, (int)set[0]);
}

static nn_node *crosscorr(nn_node *a, nn_node *b, const float *set)
{
    return nn_crosscorr(&tape, a, b, set[0]);
}

/* 25 mse + 25 (v + v')/2 + (k + k'), as in the authors' code */
static nn_node *vicreg(nn_node *a, nn_node *b, const float *set)
{
    nn_node *l = nn_scale(&tape, 25, nn_mse(&tape, a, b));
    (void)set;
    l = nn_axpy(&tape, 12.5f, nn_variance(&tape, a, 1, 1e-4f, 1), l);
    l = nn_axpy(&tape, 12.5f, nn_variance(&tape, b, 1, 1e-4f, 1), l);
    l = nn_axpy(&tape, 1, nn_covariance(&tape, a, 1), l);
    return nn_axpy(&tape, 1, nn_covariance(&tape, b, 1), l);
}

static nn_node *barlow(nn_node *a, nn_node *b, const float *set)
{
    size_t d = (size_t)nn_cols(a);
    nn_running r = { NN_NEW0(&memory, float, d), NN_NEW0(&memory, float, d), 0.1f,
                     1e-5f };
    (void)set;
    a = nn_batchnorm(&tape, a, NULL, NULL, NULL, NN_LINEAR, r);
    return nn_crosscorr(&tape, a, nn_batchnorm(&tape, b, NULL, NULL, NULL, NN_LINEAR, r),
                        0.005f);
}

static const struct subject { const char *name; int cases; build *of; } subjects[] = {
    { "variance", 3, variance },   { "covariance", 6, covariance },
    { "crosscorr", 3, crosscorr }, { "vicreg", 2, vicreg }, { "barlow", 2, barlow },
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* Sums of up to 300 terms, twice in a row: a few roundings of 2^-24 each, relative to the
 * largest element.  A forgotten ddof or eps shows at 1e-3. */
static const double TOLERANCE = 4e-6;

static void input(golden *g, const char *at, const char *name, nn_node **x)
{
    char full[80];
    snprintf(full, sizeof full, "%s/%s", at, name);
    const golden_record *r = golden_find(g, full);
    *x = r ? nn_input(&tape, r->shape, r->val, 1) : NULL;
}

START_TEST(terms_and_their_gradients_match_pytorch)
{
    const struct subject *s = &subjects[_i];
    golden g = golden_open("gram.gold");
    start();
    for (int i = 0; i < s->cases; i++) {
        char at[64], set[80];
        nn_node *a, *b, *x;
        snprintf(at, sizeof at, "%s/%d", s->name, i);
        snprintf(set, sizeof set, "%s/set", at);
        input(&g, at, "x", &x);
        input(&g, at, "a", &a);
        input(&g, at, "b", &b);
        const golden_record *settings = golden_find(&g, set);
        nn_node *y = s->of(x ? x : a, b, settings ? settings->val : NULL);
        golden_check(golden_at(&g, "%s/y", at), y->val, TOLERANCE);
        nn_backward(nn_scale(&tape, golden_at(&g, "%s/dy", at)->val[0], y));
        if (x)
            golden_check(golden_at(&g, "%s/dx", at), x->grad, TOLERANCE);
        else {
            golden_check(golden_at(&g, "%s/da", at), a->grad, TOLERANCE);
            golden_check(golden_at(&g, "%s/db", at), b->grad, TOLERANCE);
        }
        nn_tape_reset(&tape);
    }
    golden_free(&g);
}
END_TEST

/* ---- closed forms ------------------------------------------------------------------ */

static nn_node *batch(int n, int d, const float *x)
{
    return nn_input(&tape, nn_shape2(n, d), x, 1);
}

static void backward_of(nn_node *l)
{
    nn_pin(l);
    nn_backward(l);
}

/* Every column constant: S = sqrt(eps) = 0.01, the loss 25 x 0.99, and no way out. */
START_TEST(a_constant_batch_costs_what_theory_says_and_rests)
{
    float x[60];
    for (int i = 0; i < 60; i++)
        x[i] = 0.75f;
    start();
    for (int n = 4; n <= 15; n += 11) {                     /* both roads */
        nn_node *a = batch(n, 60 / n, x), *b = batch(n, 60 / n, x);
        nn_node *l = vicreg(a, b, NULL);
        backward_of(l);
        ck_assert_double_eq_tol((double)nn_item(l), 24.75, 1e-5);   /* float32 of 24.75 */
        for (int i = 0; i < 60; i++)
            EXPECT(a->grad[i] == 0 && b->grad[i] == 0, "element %d moves", i);
        nn_tape_reset(&tape);
    }
}
END_TEST

/* Rows e1, e2, e3, 0: every variance 1/4, every covariance -1/12, the term 2/144. */
START_TEST(the_hand_example_has_its_covariance)
{
    const float x[12] = { 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0 };
    start();
    ck_assert_double_eq_tol((double)nn_item(nn_covariance(&tape, batch(4, 3, x), 1)),
                            2.0 / 144, 1e-8);               /* float32 of 0.0139 */
}
END_TEST

START_TEST(only_a_column_below_the_target_is_pushed)
{
    const float h = 0.433012702f;           /* +-h, N = 4, ddof 1: std 0.5 */
    const float x[12] = { h, 2, 0, h, -2, 0, -h, 2, 5, -h, -2, 5 };
    start();
    nn_node *a = batch(4, 3, x), *v = nn_variance(&tape, a, 1, 1e-4f, 1);
    backward_of(v);
    ck_assert_double_eq_tol((double)nn_item(v), (1 - sqrt(0.25 + 1e-4)) / 3, 1e-7);
    for (int i = 0; i < 4; i++) {
        ck_assert(a->grad[3 * i] * x[3 * i] < 0);           /* outwards */
        ck_assert(a->grad[3 * i + 1] == 0 && a->grad[3 * i + 2] == 0);
    }
}
END_TEST

START_TEST(a_dead_column_without_eps_rests)
{
    const float x[4] = { 2, 2, 2, 2 };
    start();
    nn_node *a = batch(4, 1, x), *v = nn_variance(&tape, a, 1, 0, 0);
    backward_of(v);
    ck_assert_float_eq(nn_item(v), 1);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(a->grad[i], 0);
}
END_TEST

/* Three rows of a Hadamard matrix as columns: orthogonal, mean 0, variance 1 (biased).
 * Equal views: C = I, nothing to pay.  Opposite views: C = -I, 4 for each column. */
START_TEST(uncorrelated_views_cost_nothing_and_opposite_ones_four_a_column)
{
    float a[12], b[12];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) {
            int both = i & (j + 1);
            a[3 * i + j] = (both ^ both >> 1) & 1 ? -1 : 1;
            b[3 * i + j] = -a[3 * i + j];
        }
    start();
    nn_node *x = batch(4, 3, a);
    ck_assert_float_eq(nn_item(nn_crosscorr(&tape, x, x, 0.005f)), 0);
    ck_assert_float_eq(nn_item(nn_crosscorr(&tape, x, batch(4, 3, b), 0.005f)), 12);
}
END_TEST

/* ---- the two roads, and their error ------------------------------------------------ */

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(21, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* A constant column changes nothing but d, and here the road: 20 x 20 goes by columns,
 * 20 x 21 by rows.  Both are sums of a few hundred float32 products. */
START_TEST(both_roads_lead_to_the_same_covariance)
{
    enum { N = 20 };
    float *x = normal(N * N, 1), *wide = NN_NEW(&memory, float, N * (N + 1));
    for (int i = 0; i < N; i++) {
        memcpy(wide + i * (N + 1), x + i * N, sizeof(float) * N);
        wide[i * (N + 1) + N] = 3;
    }
    start();
    nn_node *a = batch(N, N, x), *b = batch(N, N + 1, wide);
    nn_node *ka = nn_scale(&tape, N, nn_covariance(&tape, a, 1));
    nn_node *kb = nn_scale(&tape, N + 1, nn_covariance(&tape, b, 1));
    nn_node *sum = nn_axpy(&tape, 1, ka, kb);
    nn_pin(ka);
    nn_pin(kb);
    backward_of(sum);
    ck_assert_double_eq_tol((double)nn_item(ka), (double)nn_item(kb),
                            2e-6 * (double)nn_item(ka));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++)
            EXPECT(fabsf(a->grad[i * N + j] - b->grad[i * (N + 1) + j]) < 4e-6f * 30,
                   "gradient %d, %d: %g and %g", i, j, (double)a->grad[i * N + j],
                   (double)b->grad[i * (N + 1) + j]);
        EXPECT(b->grad[i * (N + 1) + N] == 0, "the constant column moves");
    }
}
END_TEST

/* The term and its gradient in double by the d x d definition; *whole: with the
 * diagonal. */
static double define(int n, int d, const float *x, double *grad, double *whole)
{
    double *z = NN_NEW(&memory, double, n * d), off = 0;
    const double m = n - 1;
    *whole = 0;
    for (int j = 0; j < d; j++) {
        double mean = 0;
        for (int i = 0; i < n; i++)
            mean += (double)x[i * d + j] / n;
        for (int i = 0; i < n; i++)
            z[i * d + j] = (double)x[i * d + j] - mean;
    }
    memset(grad, 0, sizeof *grad * (size_t)(n * d));
    for (int j = 0; j < d; j++)
        for (int l = 0; l < d; l++) {
            double c = 0;
            for (int i = 0; i < n; i++)
                c += z[i * d + j] * z[i * d + l] / m;
            *whole += c * c / d;
            if (j == l)
                continue;
            off += c * c / d;
            for (int i = 0; i < n; i++)
                grad[i * d + j] += 4 * c * z[i * d + l] / (d * m);
        }
    return off;
}

/* By rows the term is a difference.  Its error is held to 1e-6 of the whole, diagonal
 * included (measured 4e-8 to 2e-7): with columns of equal spread that is 1e-6 of the term
 * itself, as N - 1 = 11 directions for 600 columns leave nothing to cancel; with one
 * column a hundred times the others it is far more than what the others add, and that is
 * the price.  The gradient's error is held to 1e-6 of the largest element that either of
 * its two parts has. */
START_TEST(the_error_by_rows_is_small_against_the_whole)
{
    enum { N = 12, D = 600 };
    float *x = normal(N * D, 2);
    double *grad = NN_NEW(&memory, double, N * D), whole, part = 0;
    for (int i = 0; _i && i < N; i++)
        x[i * D + 5] *= 100;
    double want = define(N, D, x, grad, &whole);
    start();
    nn_node *a = batch(N, D, x), *k = nn_covariance(&tape, a, 1);
    backward_of(k);
    EXPECT(fabs((double)nn_item(k) - want) < 1e-6 * whole, "off by %g of the whole",
           fabs((double)nn_item(k) - want) / whole);
    if (!_i)
        EXPECT(want > 0.9 * whole, "only %g of the whole is off the diagonal",
               want / whole);
    for (int j = 0; j < D; j++) {               /* 4 s_j z_ij / (d m), the second part */
        double s = 0, most = 0, mean = 0;
        for (int i = 0; i < N; i++)
            mean += (double)x[i * D + j] / N;
        for (int i = 0; i < N; i++) {
            double z = (double)x[i * D + j] - mean;
            s += z * z / (N - 1);
            most = fmax(most, fabs(z));
        }
        part = fmax(part, 4 * s * most / (D * (N - 1)));
    }
    for (int i = 0; i < N * D; i++)
        part = fmax(part, fabs(grad[i]));
    for (int i = 0; i < N * D; i++)
        EXPECT(fabs((double)a->grad[i] - grad[i]) < 1e-6 * part,
               "gradient %d: %g, wanted %g", i, (double)a->grad[i], grad[i]);
}
END_TEST

/* ---- what is not finite, and what is not allowed ----------------------------------- */

START_TEST(a_number_that_is_none_is_not_lost)
{
    static const float poison[] = { NAN, INFINITY };
    start();
    for (int trial = 0; trial < 8; trial++) {
        int n = trial & 1 ? 5 : 20, d = 100 / n;
        float *x = normal(100, 3), *y = normal(100, 4);
        x[trial & 2 ? 99 : 0] = poison[trial >> 2];
        nn_node *a = batch(n, d, x), *b = batch(n, d, y);
        ck_assert(!isfinite(nn_item(nn_variance(&tape, a, 1, 1e-4f, 1))));
        ck_assert(!isfinite(nn_item(nn_covariance(&tape, a, 1))));
        ck_assert(!isfinite(nn_item(nn_crosscorr(&tape, a, b, 0.005f))));
        ck_assert(!isfinite(nn_item(nn_crosscorr(&tape, b, a, 0.005f))));
    }
}
END_TEST

START_TEST(one_row_has_no_covariance)
{
    const float x[3] = { 1, 2, 3 };
    start();
    nn_covariance(&tape, batch(1, 3, x), 1);
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* Both roads; more than one stripe; on both sides of vectors of 16 and 64. */
static const int sizes[][2] = { { 40, 150 }, { 70, 33 }, { 33, 64 }, { 5, 17 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* The values of all five losses and both gradients of each. */
static outcome outcome_of(int shape)
{
    static const float set[SUBJECTS][3] = { { 1, 1e-4f, 1 }, { 1 }, { 0.005f } };
    const int n = sizes[shape][0], d = sizes[shape][1];
    const size_t all = (size_t)n * (size_t)d;
    outcome o = { SUBJECTS * (2 * all + 1), NN_NEW0(&memory, float,
                                                    SUBJECTS * (2 * all + 1)) };
    start();
    for (int s = 0; s < SUBJECTS; s++) {
        float *at = o.at + (size_t)s * (2 * all + 1);
        nn_node *a = batch(n, d, normal(all, 5)), *b = batch(n, d, normal(all, 6));
        nn_node *l = subjects[s].of(a, b, set[s]);
        backward_of(l);
        at[0] = nn_item(l);
        memcpy(at + 1, a->grad, sizeof(float) * all);
        if (b->grad)
            memcpy(at + 1 + all, b->grad, sizeof(float) * all);
        nn_tape_reset(&tape);
    }
    nn_tape_free(&tape);
    return o;
}

START_TEST(every_table_gives_the_same_bytes)
{
    bytes_of_every_table(outcome_of, _i);
}
END_TEST

START_TEST(every_team_gives_the_same_bytes)
{
    bytes_of_every_team(outcome_of, _i);
}
END_TEST

Suite *suite_covariance(void)
{
    Suite *s = suite_create("covariance");
    TCase *tc = tcase_create("covariance");
    tcase_add_loop_test(tc, terms_and_their_gradients_match_pytorch, 0, SUBJECTS);
    tcase_add_test(tc, a_constant_batch_costs_what_theory_says_and_rests);
    tcase_add_test(tc, the_hand_example_has_its_covariance);
    tcase_add_test(tc, only_a_column_below_the_target_is_pushed);
    tcase_add_test(tc, a_dead_column_without_eps_rests);
    tcase_add_test(tc, uncorrelated_views_cost_nothing_and_opposite_ones_four_a_column);
    tcase_add_test(tc, both_roads_lead_to_the_same_covariance);
    tcase_add_loop_test(tc, the_error_by_rows_is_small_against_the_whole, 0, 2);
    tcase_add_test(tc, a_number_that_is_none_is_not_lost);
    tcase_add_test_raise_signal(tc, one_row_has_no_covariance, SIGABRT);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    return s;
}
