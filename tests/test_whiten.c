/* Whitening: against PyTorch (golden/make_whiten.py), closed forms, plain products in
 * double, and between tables and teams. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/linalg.h"
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

/* ---- PyTorch ----------------------------------------------------------------------- */

/* An operator of one batch; set[0] is the axis. */
typedef nn_node *build(nn_node *x, const float *set);

static nn_node *iternorm(nn_node *x, const float *set)
{
    return nn_iternorm(&tape, x, (int)set[1], (nn_axis)set[0]);
}

static nn_node *unit_variance(nn_node *x, const float *set)
{
    return nn_unit_variance(&tape, x, (nn_axis)set[0]);
}

static nn_node *spectral(nn_node *x, const float *set)
{
    return nn_spectral(&tape, x, set[1], (nn_axis)set[0]);
}

/* Tolerances relative to the largest element: a few roundings of 2^-24 an iteration
 * (measured 5e-7 for both of iternorm, 2e-7 and 4e-7 for unit_variance); spectral works
 * in double.  `second` is set[1] for tests that need some setting. */
static const struct subject {
    const char *name;
    build *of;
    double value, slope;
    float second;
} subjects[] = {
    { "iternorm", iternorm, 2e-6, 2e-6, 4 },
    { "unit_variance", unit_variance, 1e-6, 1e-6, 0 },
    { "spectral", spectral, 1e-6, 1e-6, 0.5f },
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static const struct subject *find(const char *name)
{
    int i = 0;
    while (i < SUBJECTS - 1 && strcmp(subjects[i].name, name))
        i++;
    ck_assert_str_eq(subjects[i].name, name);
    return &subjects[i];
}

/* sum_i y_i w_i: the loss whose gradient at y is w. */
static nn_node *weighted(nn_node *y, const float *w)
{
    nn_shape row = nn_shape2(1, (int)nn_count(y));
    return nn_linear(&tape, nn_reshape(&tape, nn_pin(y), row),
                     nn_input(&tape, row, w, 0), NULL);
}

START_TEST(operators_and_their_gradients_match_pytorch)
{
    const struct subject *s = &subjects[_i];
    golden g = golden_open("whiten.gold");
    char name[80];
    int i;
    start();
    for (i = 0;; i++) {
        snprintf(name, sizeof name, "%s/%d/x", s->name, i);
        const golden_record *in = golden_find(&g, name);
        if (!in)
            break;
        nn_node *x = nn_input(&tape, in->shape, in->val, 1);
        nn_node *y = s->of(x, golden_at(&g, "%s/%d/set", s->name, i)->val);
        golden_check(golden_at(&g, "%s/%d/y", s->name, i), y->val, s->value);
        const golden_record *dy = golden_at(&g, "%s/%d/dy", s->name, i);
        nn_backward(weighted(y, dy->val));
        golden_check(golden_at(&g, "%s/%d/dx", s->name, i), x->grad, s->slope);
        nn_tape_reset(&tape);
    }
    ck_assert_int_ge(i, 6);
    golden_free(&g);
}
END_TEST

/* ---- closed forms ------------------------------------------------------------------ */

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(41, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* Newton's factor for an eigenvalue l of S. */
static double phi(double l, int iterations)
{
    double p = 1;
    for (int t = 0; t < iterations; t++)
        p = 1.5 * p - 0.5 * p * p * p * l;
    return p;
}

static int parity(int i)
{
    return (i ^ i >> 1 ^ i >> 2 ^ i >> 3) & 1;
}

/* Five columns of a Hadamard matrix of 16: S = 1/5, so that a number takes the place of
 * the matrix, p <- 1.5 p - 0.5 p^3 / 5, and Y = p X / sqrt(tr Sigma) with tr Sigma =
 * 5 x 16/15.  The same with the rows of its transpose.  Float32 of numbers below 1. */
START_TEST(a_white_batch_is_scaled_by_the_scalar_recurrence)
{
    enum { N = 16, D = 5 };
    float x[N * D];
    start();
    for (int axis = 0; axis < 2; axis++)
        for (int t = 1; t <= 4; t++) {
            int n = axis ? N : D, d = axis ? D : N;
            for (int i = 0; i < N; i++)
                for (int j = 0; j < D; j++)
                    x[axis ? i * d + j : j * d + i] = parity(i & (j + 1)) ? -3 : 3;
            nn_node *in = nn_input(&tape, nn_shape2(n, d), x, 0);
            nn_node *y = nn_iternorm(&tape, in, t, (nn_axis)axis);
            double want = phi(1.0 / D, t) / sqrt(D * N / (N - 1.0));
            for (int i = 0; i < N * D; i++)
                ck_assert_double_eq_tol((double)y->val[i], want * (x[i] > 0 ? 1 : -1),
                                        1e-6);
            if (t == 4)                 /* p_4 is sqrt 5 to 4e-3 already: nearly white */
                ck_assert_double_eq_tol(want, sqrt((N - 1.0) / N), 4e-3);
        }
}
END_TEST

/* Eigenvalues, descending, of the covariance of the whitened side: of the rows over their
 * channels (transposed first), or of the columns over the batch. */
static double *spectrum(int n, int d, const float *x, nn_axis axis)
{
    int m = axis == NN_OVER_CHANNELS ? n : d, c = axis == NN_OVER_CHANNELS ? d : n;
    float *tall = NN_NEW(&memory, float, n * d);
    double *mean = NN_NEW(&memory, double, m), *w = NN_NEW(&memory, double, m);
    double *gram = NN_NEW(&memory, double, m * m);
    for (int i = 0; i < c; i++)
        for (int j = 0; j < m; j++)
            tall[i * m + j] = axis == NN_OVER_CHANNELS ? x[j * d + i] : x[i * d + j];
    nn_col_mean(c, m, tall, mean, &memory);
    nn_gram(c, m, tall, mean, c - 1, gram, &memory);
    ck_assert_int_eq(nn_eigen_sym(m, gram, w, NN_VALUES, &memory), 0);
    return w;
}

/* Rows or columns of very different spread, both ways round and both axes. */
static float *stretched(int n, int d, nn_axis axis)
{
    float *x = normal((size_t)n * (size_t)d, 7);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            x[i * d + j] *= 1.0f / (float)(1 + (axis == NN_OVER_CHANNELS ? i : j));
    return x;
}

/* Proposition I1 and what it rests on: an eigenvalue l of S comes out as l phi(l)^2.
 * That is at most one (the proposition allows 1e-4; float32 needs 4e-6), keeps the
 * order, and grows with every iteration, most for the small ones. */
START_TEST(no_eigenvalue_passes_one_and_small_ones_rise_with_each_iteration)
{
    static const int size[][2] = { { 12, 40 }, { 40, 12 } };
    static const int iterations[] = { 1, 4, 8 };
    const int n = size[_i / 2][0], d = size[_i / 2][1], rank = 11;  /* or 12 */
    const nn_axis axis = (nn_axis)(_i % 2);
    const float *x = stretched(n, d, axis);
    double *l = spectrum(n, d, x, axis), trace = 0, before = 0;
    for (int i = 0; i < rank + 1; i++)
        trace += l[i];
    start();
    for (int k = 0; k < 3; k++) {
        nn_node *in = nn_input(&tape, nn_shape2(n, d), x, 0);
        nn_node *y = nn_iternorm(&tape, in, iterations[k], axis);
        double *now = spectrum(n, d, y->val, axis);
        for (int i = 0; i < rank; i++) {
            double p = phi(l[i] / trace, iterations[k]);
            ck_assert_double_eq_tol(now[i], l[i] / trace * p * p, 4e-6);
        }
        ck_assert_double_le(now[0], 1 + 4e-6);
        ck_assert_double_gt(now[rank - 1], 1.5 * before);
        before = now[rank - 1];
    }
    ck_assert_double_gt(before, 0.2);
}
END_TEST

/* ZCA whitening makes the covariance one where the rank is full, and with any power an
 * eigenvalue l comes out as l^(1 - power): to a few roundings of the float32 that Y is
 * stored in. */
START_TEST(eigenvalues_come_out_as_the_power_says)
{
    static const float power[] = { 1, 0.5f, 0.25f };
    const int n = _i ? 40 : 12, d = _i ? 12 : 40;
    const nn_axis axis = _i ? NN_OVER_BATCH : NN_OVER_CHANNELS;
    const float *x = stretched(n, d, axis);
    double *l = spectrum(n, d, x, axis);
    start();
    for (int k = 0; k < 3; k++) {
        nn_node *in = nn_input(&tape, nn_shape2(n, d), x, 0);
        nn_node *y = nn_spectral(&tape, in, power[k], axis);
        double *now = spectrum(n, d, y->val, axis);
        for (int i = 0; i < 12; i++) {
            double want = pow(l[i], 1 - (double)power[k]);
            ck_assert_double_eq_tol(now[i], want, 1e-6 * fmax(1, want));
        }
    }
}
END_TEST

/* Of 40 centred columns of 12 numbers 11 directions are made white, and the rest is
 * nothing. */
START_TEST(what_has_no_variance_is_not_made_white)
{
    const float *x = normal(12 * 40, 8);
    start();
    nn_node *in = nn_input(&tape, nn_shape2(12, 40), x, 0);
    nn_node *y = nn_spectral(&tape, in, 1, NN_OVER_BATCH);
    double *now = spectrum(12, 40, y->val, NN_OVER_BATCH);
    for (int i = 0; i < 40; i++)
        ck_assert_double_eq_tol(now[i], i < 11, 1e-6);
}
END_TEST

/* Constant rows have no variance over channels, constant columns none over the batch; 0.1
 * is no float, and its sums are rounded. */
START_TEST(a_batch_without_variance_gives_zeros_and_rests)
{
    enum { N = 37, D = 23 };
    float x[N * D], w[N * D];
    start();
    for (int trial = 0; trial < 4; trial++) {
        const struct subject *s = find(trial < 2 ? "iternorm" : "spectral");
        const float set[2] = { (float)(trial % 2), s->second };
        for (int i = 0; i < N * D; i++) {
            x[i] = 0.1f + 1.7f * (float)(trial % 2 ? i % D : i / D);
            w[i] = (float)(i % 5) - 1.5f;
        }
        nn_node *in = nn_input(&tape, nn_shape2(N, D), x, 1), *y = s->of(in, set);
        nn_backward(weighted(y, w));
        for (int i = 0; i < N * D; i++)
            EXPECT(y->val[i] == 0 && in->grad[i] == 0, "%s, axis %d, element %d: %g, %g",
                   s->name, trial % 2, i, (double)y->val[i], (double)in->grad[i]);
        nn_tape_reset(&tape);
    }
}
END_TEST

/* A factor of 2^60 either way is exact, and the length of A is divided out first. */
START_TEST(the_size_of_a_batch_does_not_change_a_bit)
{
    enum { N = 20, D = 33 };
    const float *x = normal(N * D, 2), *w = normal(N * D, 3);
    float *y1 = NN_NEW(&memory, float, N * D), *dx1 = NN_NEW(&memory, float, N * D);
    start();
    for (int power = 0; power <= 60; power += 30) {
        float *big = NN_NEW(&memory, float, N * D);
        for (int i = 0; i < N * D; i++)
            big[i] = ldexpf(x[i], _i ? power : -power);
        nn_node *in = nn_input(&tape, nn_shape2(N, D), big, 1);
        nn_node *y = nn_iternorm(&tape, in, 4, NN_OVER_CHANNELS);
        nn_backward(weighted(y, w));
        for (int i = 0; i < N * D; i++) {
            if (!power)
                y1[i] = y->val[i], dx1[i] = in->grad[i];
            EXPECT(y->val[i] == y1[i], "2^%d: %g and %g", power, (double)y->val[i],
                   (double)y1[i]);
            EXPECT(ldexpf(in->grad[i], _i ? power : -power) == dx1[i],
                   "2^%d, gradient: %g and %g", power, (double)in->grad[i],
                   (double)dx1[i]);
        }
        nn_tape_reset(&tape);
    }
}
END_TEST

/* A constant row or column is centred to nothing, but makes the other Gram matrix the
 * smaller one: 20 x 20 goes by columns, 20 x 21 by rows. */
START_TEST(both_roads_lead_to_the_same_whitening)
{
    enum { N = 20 };
    float *x = normal(N * N, 1), *wide = NN_NEW(&memory, float, N * (N + 1));
    float *w = normal(N * N, 4), *wider = NN_NEW0(&memory, float, N * (N + 1));
    for (int i = 0; i < N; i++) {
        memcpy(wide + i * (N + 1), x + i * N, sizeof(float) * N);
        memcpy(wider + i * (N + 1), w + i * N, sizeof(float) * N);
        wide[i * (N + 1) + N] = 3;
    }
    start();
    nn_node *a = nn_input(&tape, nn_shape2(N, N), x, 1);
    nn_node *b = nn_input(&tape, nn_shape2(N, N + 1), wide, 1);
    nn_node *ya = nn_iternorm(&tape, a, 4, NN_OVER_BATCH);
    nn_node *yb = nn_iternorm(&tape, b, 4, NN_OVER_BATCH);
    nn_backward(nn_add(&tape, weighted(ya, w), weighted(yb, wider)));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {           /* the tolerances of the goldens */
            int at = i * N + j, too = i * (N + 1) + j;
            ck_assert_double_eq_tol((double)ya->val[at], (double)yb->val[too], 4e-6);
            ck_assert_double_eq_tol((double)a->grad[at], (double)b->grad[too], 4e-6);
        }
}
END_TEST

/* ---- what is not finite, and what is not allowed ----------------------------------- */

START_TEST(a_number_that_is_none_is_not_lost)
{
    static const float poison[] = { NAN, INFINITY };
    start();
    for (int trial = 0; trial < 8; trial++) {
        const nn_axis axis = (nn_axis)(trial & 1);
        int n = trial & 2 ? 5 : 20, d = 100 / n;
        float *x = normal(100, 3);
        x[37] = poison[trial >> 2];
        nn_node *in = nn_input(&tape, nn_shape2(n, d), x, 0);
        nn_node *y = nn_iternorm(&tape, in, 4, axis);
        nn_node *e = nn_spectral(&tape, in, 1, axis);
        for (int i = 0; i < 100; i++)
            ck_assert(!isfinite(y->val[i]) && !isfinite(e->val[i]));
        ck_assert(!isfinite(nn_item(nn_unit_variance(&tape, in, axis))));
    }
}
END_TEST

START_TEST(one_row_cannot_be_whitened_over_the_batch)
{
    const float x[3] = { 1, 2, 3 };
    start();
    nn_iternorm(&tape, nn_input(&tape, nn_shape2(1, 3), x, 0), 4, NN_OVER_BATCH);
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* Both roads; beyond the size that wakes a team; on both sides of vectors of 16, 64. */
static const int sizes[][2] = { { 40, 150 }, { 150, 130 }, { 33, 64 }, { 5, 17 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Value and gradient of every operator over both axes. */
static outcome outcome_of(int shape)
{
    const int n = sizes[shape][0], d = sizes[shape][1];
    const size_t all = (size_t)n * (size_t)d;
    outcome o = { 4 * SUBJECTS * all, NN_NEW0(&memory, float, 4 * SUBJECTS * all) };
    float *at = o.at;
    start();
    for (int s = 0; s < SUBJECTS; s++)
        for (int axis = 0; axis < 2; axis++, at += 2 * all) {
            nn_node *x = nn_input(&tape, nn_shape2(n, d), normal(all, 5), 1);
            const float set[2] = { (float)axis, subjects[s].second };
            nn_node *y = subjects[s].of(x, set);
            nn_backward(weighted(y, normal(nn_count(y), 6)));
            memcpy(at, y->val, sizeof(float) * nn_count(y));
            memcpy(at + all, x->grad, sizeof(float) * all);
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
    const float set[2] = { 0, subjects[_i].second }, *x = normal(40 * 30, 7);
    size_t grown = 0;
    start();
    for (int turn = 0; turn < 3; turn++) {
        nn_node *y = subjects[_i].of(nn_input(&tape, nn_shape2(40, 30), x, 1), set);
        nn_backward(weighted(y, x));
        nn_tape_reset(&tape);
        if (turn == 1)
            grown = step.grown + scratch.grown;
    }
    ck_assert_uint_eq(step.grown + scratch.grown, grown);
}
END_TEST

Suite *suite_whiten(void)
{
    Suite *s = suite_create("whiten");
    TCase *tc = tcase_create("whiten");
    tcase_add_loop_test(tc, operators_and_their_gradients_match_pytorch, 0, SUBJECTS);
    tcase_add_test(tc, a_white_batch_is_scaled_by_the_scalar_recurrence);
    tcase_add_loop_test(tc,
                        no_eigenvalue_passes_one_and_small_ones_rise_with_each_iteration,
                        0, 4);
    tcase_add_loop_test(tc, eigenvalues_come_out_as_the_power_says, 0, 2);
    tcase_add_test(tc, what_has_no_variance_is_not_made_white);
    tcase_add_test(tc, a_batch_without_variance_gives_zeros_and_rests);
    tcase_add_loop_test(tc, the_size_of_a_batch_does_not_change_a_bit, 0, 2);
    tcase_add_test(tc, both_roads_lead_to_the_same_whitening);
    tcase_add_test(tc, a_number_that_is_none_is_not_lost);
    tcase_add_test_raise_signal(tc, one_row_cannot_be_whitened_over_the_batch, SIGABRT);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, SIZES);
    tcase_add_loop_test(tc, the_second_step_asks_for_no_memory, 0, SUBJECTS);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    return s;
}
