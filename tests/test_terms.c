/* Terms of methods, each one operator: against PyTorch (golden/make_terms.py), the closed
 * forms of the specification, at their edges, and between tables and teams. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
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

static nn_node *batch(int n, int d, const float *x)
{
    return nn_input(&tape, nn_shape2(n, d), x, 1);
}

static double value_of(nn_node *l)
{
    return (double)nn_item(l);
}

static void backward_of(nn_node *l)
{
    nn_pin(l);
    nn_backward(l);
}

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(51, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* ---- what is compared: one term of one or two batches ----------------------------- */

typedef nn_node *build(nn_node *a, nn_node *b, const float *set);

static nn_node *ntxent(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_ntxent(&tape, a, set[0]);
}

static nn_node *simclr(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_ntxent(&tape, nn_unitrow(&tape, a, 1e-12f), set[0]);
}

static nn_node *uniformity(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_uniformity(&tape, a, set[0]);
}

static nn_node *alignment(nn_node *a, nn_node *b, const float *set)
{
    return nn_alignment(&tape, a, b, set[0]);
}

static nn_node *sphere(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    return nn_sphere(&tape, a, set[0]);
}

/* n mean |x|, so that the value is one element */
static nn_node *absolute(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    (void)set;
    return nn_scale(&tape, (float)nn_count(a), nn_mean(&tape, nn_abs(&tape, a)));
}

static nn_node *exponential(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    (void)set;
    return nn_mean(&tape, nn_exponential(&tape, a));
}

static nn_node *rms(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    (void)set;
    return nn_rms(&tape, a);
}

static nn_node *wasserstein(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    (void)set;
    return nn_wasserstein(&tape, a);
}

static nn_node *unit_wasserstein(nn_node *a, nn_node *b, const float *set)
{
    (void)b;
    (void)set;
    return nn_wasserstein(&tape, nn_unitrow(&tape, a, 1e-12f));
}

static const struct subject { const char *name; int cases; build *of; } subjects[] = {
    { "ntxent", 7, ntxent }, { "simclr", 2, simclr }, { "uniformity", 7, uniformity },
    { "alignment", 5, alignment }, { "sphere", 7, sphere }, { "abs", 1, absolute },
    { "exponential", 1, exponential },
    { "rms", 3, rms }, { "wasserstein", 7, wasserstein },
    { "wunit", 2, unit_wasserstein },
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* Values and gradients are sums of up to 150 products in float32, about 1e-6 of their
 * largest term, twice in a row.  Logits are products divided by tau, 0.1 at the least,
 * and exp makes of their absolute error, a few 1e-7 / 0.1, a relative one. */
static const double VALUE = 2e-6, GRADIENT = 1e-5;

static nn_node *input(golden *g, const char *at, const char *name)
{
    char full[80];
    snprintf(full, sizeof full, "%s/%s", at, name);
    const golden_record *r = golden_find(g, full);
    return r ? nn_input(&tape, r->shape, r->val, 1) : NULL;
}

START_TEST(terms_and_their_gradients_match_pytorch)
{
    const struct subject *s = &subjects[_i];
    golden g = golden_open("terms.gold");
    start();
    for (int i = 0; i < s->cases; i++) {
        char at[64], set[80];
        snprintf(at, sizeof at, "%s/%d", s->name, i);
        snprintf(set, sizeof set, "%s/set", at);
        nn_node *a = input(&g, at, "x"), *b = input(&g, at, "x2");
        const golden_record *settings = golden_find(&g, set);
        nn_node *y = s->of(a, b, settings ? settings->val : NULL);
        golden_check(golden_at(&g, "%s/y", at), y->val, VALUE);
        nn_backward(nn_scale(&tape, golden_at(&g, "%s/dy", at)->val[0], y));
        golden_check(golden_at(&g, "%s/dx", at), a->grad, GRADIENT);
        if (b)
            golden_check(golden_at(&g, "%s/dx2", at), b->grad, GRADIENT);
        nn_tape_reset(&tape);
    }
    golden_free(&g);
}
END_TEST

/* ---- NT-Xent ----------------------------------------------------------------------- */

/* Spec 14.7: each row sees 2N - 1 others that all look like its partner. */
START_TEST(equal_rows_are_told_apart_by_chance_alone)
{
    float x[34 * 3];
    for (int i = 0; i < 34 * 3; i++)
        x[i] = 0.5f;
    start();
    for (int rows = 2; rows <= 34; rows += 16) {
        nn_node *e = batch(rows, 3, x), *l = nn_ntxent(&tape, e, 0.1f);
        backward_of(l);
        ck_assert_double_eq_tol(value_of(l), log(rows - 1), 1e-6);  /* float32 of 3.5 */
        for (int i = 0; i < rows * 3; i++)      /* terms of up to 5 / 2N cancel */
            EXPECT(fabsf(e->grad[i]) < 1e-6f, "element %d moves by %g", i,
                   (double)e->grad[i]);
        nn_tape_reset(&tape);
    }
}
END_TEST

/* Spec 14.7: N = 2, tau = 1, views equal, images orthogonal. */
START_TEST(two_orthogonal_pairs_cost_what_the_specification_says)
{
    const float x[8] = { 1, 0, 0, 1, 1, 0, 0, 1 };
    start();
    double l = value_of(nn_ntxent(&tape, batch(4, 2, x), 1));
    ck_assert_double_eq_tol(l, log(exp(1) + 2) - 1, 1e-7);          /* float32 of 0.55 */
}
END_TEST

/* A row's product with itself is 100 here, all others are 1 or less: if its own column
 * came in, the loss would be near 100. */
START_TEST(a_row_is_no_candidate_for_itself)
{
    const float x[8] = { 10, 0.1f, -10, 0.1f, 0, 10, 0, -10 };
    double want = 0;
    start();
    for (int i = 0; i < 4; i++) {
        double sum = 0, s[4];
        for (int j = 0; j < 4; j++) {
            s[j] = (double)x[2 * i] * (double)x[2 * j]
                 + (double)x[2 * i + 1] * (double)x[2 * j + 1];
            sum += j == i ? 0 : exp(s[j]);
        }
        want += (log(sum) - s[(i + 2) % 4]) / 4;
    }
    nn_node *e = batch(4, 2, x), *l = nn_ntxent(&tape, e, 1);
    backward_of(l);
    ck_assert_double_eq_tol(value_of(l), want, 1e-6 * want);
}
END_TEST

/* Logits of 1e6: without the row's maximum exp would overflow. */
START_TEST(large_logits_do_not_overflow)
{
    float *x = normal(8 * 5, 1);
    for (int i = 0; i < 8 * 5; i++)
        x[i] *= 300;
    start();
    nn_node *e = batch(8, 5, x), *l = nn_ntxent(&tape, e, 0.1f);
    backward_of(l);
    ck_assert(isfinite(nn_item(l)));
    for (int i = 0; i < 8 * 5; i++)
        ck_assert(isfinite(e->grad[i]));
}
END_TEST

START_TEST(an_odd_number_of_rows_has_no_pairs)
{
    start();
    nn_ntxent(&tape, batch(3, 2, normal(6, 1)), 1);
}
END_TEST

/* ---- uniformity and alignment ------------------------------------------------------ */

START_TEST(equal_rows_have_uniformity_zero_and_rest)
{
    float x[20 * 3];
    for (int i = 0; i < 20 * 3; i++)
        x[i] = 0.3f;
    start();
    nn_node *e = batch(20, 3, x), *u = nn_uniformity(&tape, e, 2);
    backward_of(u);
    /* ln of 20 x 19 exact ones over 20 x 19, in double */
    ck_assert_double_eq_tol(value_of(u), 0, 1e-7);
    for (int i = 0; i < 20 * 3; i++)
        ck_assert_float_eq(e->grad[i], 0);
}
END_TEST

START_TEST(a_single_row_has_no_pairs)
{
    start();
    nn_node *e = batch(1, 4, normal(4, 1)), *u = nn_uniformity(&tape, e, 2);
    backward_of(u);
    ck_assert_float_eq(nn_item(u), 0);
    for (int j = 0; e->grad && j < 4; j++)
        ck_assert_float_eq(e->grad[j], 0);
}
END_TEST

/* Rows 1, 2 and 4 on a line at temperature 1000: exp(-1000) is nothing even in double,
 * but the nearest pair alone decides: u = ln(exp(-1000) / 3), and it moves with slope
 * -2 t (e_0 - e_1) = 2000. */
START_TEST(the_nearest_pair_counts_however_cold_it_is)
{
    const float x[3] = { 1, 2, 4 };
    start();
    nn_node *e = batch(3, 1, x), *u = nn_uniformity(&tape, e, 1000);
    backward_of(u);
    ck_assert_double_eq_tol(value_of(u), -1000 - log(3), 1e-4);     /* float32 of 1000 */
    ck_assert_float_eq(e->grad[0], 2000);
    ck_assert_float_eq(e->grad[1], -2000);
    ck_assert_float_eq(e->grad[2], 0);
}
END_TEST

/* 0F1(; d/2; t^2) e^(-2t), the mean over the sphere of dimension d: 400 rows are 79800
 * pairs, whose mean is good to a percent. */
START_TEST(rows_all_over_the_sphere_have_the_uniformity_of_theory)
{
    enum { N = 400, D = 16 };
    start();
    nn_node *e = nn_unitrow(&tape, batch(N, D, normal(N * D, 9)), 1e-12f);
    ck_assert_double_eq_tol(value_of(nn_uniformity(&tape, e, 2)), -3.5130, 0.02);
}
END_TEST

START_TEST(equal_views_are_aligned_and_rest)
{
    static const float power[] = { 2, 1, 0.5f, 3 };
    float *x = normal(12, 1);
    start();
    for (size_t p = 0; p < NN_COUNT(power); p++) {
        nn_node *a = batch(3, 4, x), *b = batch(3, 4, x);
        nn_node *m = nn_alignment(&tape, a, b, power[p]);
        backward_of(m);
        ck_assert_float_eq(nn_item(m), 0);
        for (int i = 0; i < 12; i++)
            ck_assert(a->grad[i] == 0 && b->grad[i] == 0);
        nn_tape_reset(&tape);
    }
}
END_TEST

/* ---- sphere, abs, rms -------------------------------------------------------------- */

START_TEST(rows_on_the_sphere_rest_and_a_zero_row_has_nowhere_to_go)
{
    const float x[6] = { 3, 4, 0, 0, 0, -5 };
    start();
    nn_node *e = batch(3, 2, x), *s = nn_sphere(&tape, e, 5);
    backward_of(s);
    ck_assert_double_eq_tol(value_of(s), 25.0 / 3, 1e-6);   /* the zero row's (0 - 5)^2 */
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(e->grad[i], 0);
}
END_TEST

START_TEST(zero_has_neither_sign_nor_root)
{
    const float x[3] = { 0, -0.0f, 0 };
    start();
    nn_node *e = batch(1, 3, x), *r = nn_rms(&tape, e);
    backward_of(nn_axpy(&tape, 1, nn_mean(&tape, nn_abs(&tape, e)), r));
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(e->grad[i], 0);
}
END_TEST

/* ---- Wasserstein ------------------------------------------------------------------- */

/* Rows +-e_j for j < r: mean 0, r eigenvalues of 1/r, nothing in the other d - r. */
static float *cross(int r, int d)
{
    float *x = NN_NEW0(&memory, float, 2 * r * d);
    for (int j = 0; j < r; j++) {
        x[2 * j * d + j] = 1;
        x[(2 * j + 1) * d + j] = -1;
    }
    return x;
}

/* Spec 12.1, exactly: sqrt(2 - 2 sqrt(r / d)).  By rows where 2r < d, else by columns. */
START_TEST(a_sphere_of_fewer_dimensions_is_as_far_as_theory_says)
{
    static const int dim[][2] = { { 1, 9 }, { 3, 7 }, { 4, 7 }, { 16, 64 }, { 31, 40 } };
    start();
    for (size_t i = 0; i < NN_COUNT(dim); i++) {
        const int r = dim[i][0], d = dim[i][1];
        double w = value_of(nn_wasserstein(&tape, batch(2 * r, d, cross(r, d))));
        const double want = sqrt(2 - 2 * sqrt((double)r / d));
        ck_assert_double_eq_tol(w, want, 1e-7);             /* float32 of 1.2 */
    }
}
END_TEST

/* 2000 rows drawn over the sphere in 8 of 32 dimensions: the covariance is off by
 * sqrt(8 / 2000) of itself, W by less than a percent. */
START_TEST(rows_drawn_over_a_sphere_come_near_to_theory)
{
    enum { N = 2000, R = 8, D = 32 };
    float *x = normal(N * D, 11);
    for (int i = 0; i < N * D; i++)
        x[i] = i % D < R ? x[i] : 0;
    start();
    nn_node *w = nn_wasserstein(&tape, nn_unitrow(&tape, batch(N, D, x), 1e-12f));
    ck_assert_double_eq_tol(value_of(w), sqrt(2 - 2 * sqrt((double)R / D)), 0.01);
}
END_TEST

START_TEST(equal_rows_are_sqrt_two_away)
{
    float x[30];
    start();
    for (int d = 3; d <= 10; d += 7) {                      /* both roads */
        for (int i = 0; i < 30; i++)
            x[i] = i % d == 2;
        nn_node *e = batch(30 / d, d, x), *w = nn_wasserstein(&tape, e);
        backward_of(w);
        ck_assert_double_eq_tol(value_of(w), sqrt(2), 1e-7);
        for (int i = 0; i < 30; i++)                        /* mu / (N W) */
            ck_assert_double_eq_tol((double)e->grad[i],
                                    (double)x[i] / (sqrt(2) * (30 / d)), 1e-7);
        nn_tape_reset(&tape);
    }
}
END_TEST

START_TEST(opposite_points_are_as_far_as_theory_says)
{
    enum { D = 16 };
    float x[2 * D];
    for (int j = 0; j < D; j++)
        x[D + j] = -(x[j] = j % 3 ? 0.25f : -0.25f);
    start();
    ck_assert_double_eq_tol(value_of(nn_wasserstein(&tape, batch(2, D, x))),
                            sqrt(2 - 2 / sqrt(D)), 1e-7);
}
END_TEST

START_TEST(an_even_distribution_is_at_zero_and_rests)
{
    start();
    nn_node *e = batch(14, 7, cross(7, 7)), *w = nn_wasserstein(&tape, e);
    backward_of(w);
    ck_assert_double_eq_tol(value_of(w), 0, 1e-12);         /* eigenvalues in double */
    for (int i = 0; i < 14 * 7; i++)
        ck_assert_float_eq(e->grad[i], 0);
}
END_TEST

/* Each row twice says the same, by the other road: 20 x 30 goes by rows, 40 x 30 by
 * columns.  Each copy gets half of the gradient. */
START_TEST(copies_of_all_rows_change_nothing)
{
    enum { N = 20, D = 30 };
    float *x = normal(N * D, 12), *twice = NN_NEW(&memory, float, 2 * N * D);
    for (int i = 0; i < N * D; i++)
        twice[i] = twice[N * D + i] = x[i] *= 0.2f;
    start();
    nn_node *a = batch(N, D, x), *b = batch(2 * N, D, twice);
    nn_node *wa = nn_wasserstein(&tape, a), *wb = nn_wasserstein(&tape, b);
    nn_pin(wa);
    nn_pin(wb);
    backward_of(nn_axpy(&tape, 1, wa, wb));
    ck_assert_double_eq_tol(value_of(wa), value_of(wb), 1e-7);
    for (int i = 0; i < N * D; i++)         /* elements of 0.01: 1e-5 of the largest */
        ck_assert_double_eq_tol((double)a->grad[i], 2 * (double)b->grad[i], 1e-7);
}
END_TEST

START_TEST(empty_features_make_it_worse)
{
    enum { N = 40, D = 16, MORE = 80 };
    float *x = normal(N * D, 13), *wide = NN_NEW0(&memory, float, N * MORE);
    double before = 0;
    start();
    for (int d = D; d <= MORE; d += D) {
        for (int i = 0; i < N; i++)
            memcpy(wide + i * d, x + i * D, sizeof *x * D);
        for (int i = 0; i < N; i++)
            memset(wide + i * d + D, 0, sizeof *x * (size_t)(d - D));
        nn_node *e = nn_unitrow(&tape, batch(N, d, wide), 1e-12f);
        double w = value_of(nn_wasserstein(&tape, e));
        EXPECT(w > before, "%d features: %g, with fewer %g", d, w, before);
        before = w;
    }
}
END_TEST

/* ---- what is not finite ------------------------------------------------------------ */

START_TEST(a_number_that_is_none_is_not_lost)
{
    static const float set[4] = { 1.5f }, poison[] = { NAN, INFINITY };
    start();
    for (int s = 0; s < SUBJECTS; s++)
        for (int trial = 0; trial < 4; trial++) {
            float *x = normal(96, 3), *y = normal(96, 4);
            x[trial & 1 ? 95 : 0] = poison[trial >> 1];
            for (int d = 4; d <= 24; d += 20) {
                nn_node *l =
                    subjects[s].of(batch(96 / d, d, x), batch(96 / d, d, y), set);
                EXPECT(!isfinite(nn_item(l)), "%s, d = %d: %g hides it",
                       subjects[s].name, d, value_of(l));
            }
        }
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* On both sides of vectors of 16 and 64; fewer rows than columns and more. */
static const int sizes[][2] = { { 40, 150 }, { 70, 33 }, { 34, 64 }, { 6, 17 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* The values of all terms and the gradients of both batches, at lengths of about 1. */
static outcome outcome_of(int shape)
{
    static const float set[4] = { 1.5f };
    const int n = sizes[shape][0], d = sizes[shape][1];
    const size_t all = (size_t)n * (size_t)d;
    outcome o = { SUBJECTS * (2 * all + 1), NN_NEW0(&memory, float,
                                                    SUBJECTS * (2 * all + 1)) };
    start();
    for (int s = 0; s < SUBJECTS; s++) {
        float *at = o.at + (size_t)s * (2 * all + 1);
        float *x = normal(all, 5), *y = normal(all, 6);
        for (size_t i = 0; i < all; i++) {
            x[i] /= sqrtf((float)d);
            y[i] /= sqrtf((float)d);
        }
        nn_node *a = batch(n, d, x), *b = batch(n, d, y);
        nn_node *l = subjects[s].of(a, b, set);
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

START_TEST(the_second_step_asks_for_no_memory)
{
    static const float set[4] = { 1.5f };
    const struct subject *s = &subjects[_i];
    size_t grown = 0;
    float *x = normal(40 * 30, 7), *y = normal(40 * 30, 8);
    start();
    for (int turn = 0; turn < 3; turn++) {
        backward_of(s->of(batch(40, 30, x), batch(40, 30, y), set));
        nn_tape_reset(&tape);
        if (turn == 1)
            grown = step.grown + scratch.grown;
    }
    ck_assert_uint_eq(step.grown + scratch.grown, grown);
}
END_TEST

Suite *suite_terms(void)
{
    Suite *s = suite_create("terms");
    TCase *tc = tcase_create("terms");
    tcase_add_loop_test(tc, terms_and_their_gradients_match_pytorch, 0, SUBJECTS);
    tcase_add_test(tc, equal_rows_are_told_apart_by_chance_alone);
    tcase_add_test(tc, two_orthogonal_pairs_cost_what_the_specification_says);
    tcase_add_test(tc, a_row_is_no_candidate_for_itself);
    tcase_add_test(tc, large_logits_do_not_overflow);
    tcase_add_test_raise_signal(tc, an_odd_number_of_rows_has_no_pairs, SIGABRT);
    tcase_add_test(tc, equal_rows_have_uniformity_zero_and_rest);
    tcase_add_test(tc, a_single_row_has_no_pairs);
    tcase_add_test(tc, the_nearest_pair_counts_however_cold_it_is);
    tcase_add_test(tc, rows_all_over_the_sphere_have_the_uniformity_of_theory);
    tcase_add_test(tc, equal_views_are_aligned_and_rest);
    tcase_add_test(tc, rows_on_the_sphere_rest_and_a_zero_row_has_nowhere_to_go);
    tcase_add_test(tc, zero_has_neither_sign_nor_root);
    tcase_add_test(tc, a_sphere_of_fewer_dimensions_is_as_far_as_theory_says);
    tcase_add_test(tc, rows_drawn_over_a_sphere_come_near_to_theory);
    tcase_add_test(tc, equal_rows_are_sqrt_two_away);
    tcase_add_test(tc, opposite_points_are_as_far_as_theory_says);
    tcase_add_test(tc, an_even_distribution_is_at_zero_and_rests);
    tcase_add_test(tc, copies_of_all_rows_change_nothing);
    tcase_add_test(tc, empty_features_make_it_worse);
    tcase_add_test(tc, a_number_that_is_none_is_not_lost);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, SIZES);
    tcase_add_loop_test(tc, the_second_step_asks_for_no_memory, 0, SUBJECTS);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    return s;
}
