/* Jacobians on the tape and their log volume (nn/jacobian.h): against a linear map, whose
 * Jacobian is its matrix; central differences in float; a circle, whose answer is known
 * in closed form; and PyTorch in float64 (tests/golden/make_jacobian.py). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/jacobian.h"
#include "nn/kern/kern.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/golden.h"
#include "tests/suites.h"

typedef struct bench {
    nn_arena step, scratch;
    nn_tape tape;
} bench;

static void bench_open(bench *b)
{
    memset(b, 0, sizeof *b);
    nn_tape_start(&b->tape, &b->step, &b->scratch);
}

static void bench_close(bench *b)
{
    nn_tape_free(&b->tape);
    nn_arena_free(&b->step);
    nn_arena_free(&b->scratch);
}

static float *cloud(size_t n, uint64_t seed, double scale)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    float *x = malloc(sizeof *x * n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * nn_rng_normal(&r));
    return x;
}

/* ---- a linear map ------------------------------------------------------------------ */

typedef struct layers { int in, mid, out; float *first, *second; } layers;

static nn_node *linear_map(nn_tape *t, const void *ctx, nn_node *x)
{
    const layers *l = ctx;
    return nn_linear(t, x, nn_input(t, nn_shape2(l->out, l->in), l->first, 0), NULL);
}

/* More outputs than go into one batch, in a number that leaves a rest. */
START_TEST(the_jacobian_of_a_linear_map_is_its_matrix_to_the_bit)
{
    bench b;
    layers l = { .in = 37, .out = 150, .first = cloud(37 * 150, 1, 1) };
    float *x = cloud(37, 2, 1), *j = malloc(sizeof *j * 37 * 150);

    bench_open(&b);
    nn_jacobian(&b.tape, linear_map, &l, nn_shape2(1, 37), x, 150, j);
    for (int i = 0; i < 37 * 150; i++)
        ck_assert_msg(j[i] == l.first[i], "entry %d is %g, in the matrix %g", i,
                      (double)j[i], (double)l.first[i]);
    ck_assert_int_eq(b.tape.mode, NN_TRAIN);
    ck_assert_int_eq(b.tape.count, 0);
    free(l.first);
    free(x);
    free(j);
    bench_close(&b);
}
END_TEST

/* A = diag(s) with its columns turned by Householder's I - 2 v v' and its rows as they
 * are: singular values s, and the score sum ln s whatever x is.  Float32 holds A to 6e-8
 * of its largest entry, so ln s of the least s (0.01) is right to 1e-5 or so. */
START_TEST(the_score_of_a_linear_map_is_its_sum_of_log_singular_values_for_all_inputs)
{
    enum { ROWS = 6, COLS = 9 };
    static const double s[ROWS] = { 3, 1.5, 1, 0.4, 0.1, 0.01 };
    double v[COLS], length = 0, want = 0;
    float a[ROWS * COLS], turned[COLS * ROWS], j[ROWS * COLS];
    layers wide = { .in = COLS, .out = ROWS, .first = a };
    layers tall = { .in = ROWS, .out = COLS, .first = turned };
    bench b;

    for (int k = 0; k < COLS; k++) {
        v[k] = 1 + k % 4;
        length += v[k] * v[k];
    }
    for (int i = 0; i < ROWS; i++) {
        want += log(s[i]);
        for (int k = 0; k < COLS; k++) {
            a[i * COLS + k] = (float)(s[i] * ((i == k) - 2 * v[i] * v[k] / length));
            turned[k * ROWS + i] = a[i * COLS + k];
        }
    }
    bench_open(&b);
    for (uint64_t seed = 3; seed < 6; seed++) {
        float *x = cloud(COLS, seed, 10);
        int floored = -1;
        nn_jacobian(&b.tape, linear_map, &wide, nn_shape2(1, COLS), x, ROWS, j);
        double got = nn_log_volume(ROWS, COLS, j, &floored, &b.scratch);
        ck_assert_msg(fabs(got / want - 1) < 1e-5, "%.9g, should be %.9g", got, want);
        ck_assert_int_eq(floored, 0);
        nn_jacobian(&b.tape, linear_map, &tall, nn_shape2(1, ROWS), x, COLS, j);
        got = nn_log_volume(COLS, ROWS, j, NULL, &b.scratch);
        ck_assert_msg(fabs(got / want - 1) < 1e-5, "tall: %.9g, not %.9g", got, want);
        free(x);
    }
    bench_close(&b);
}
END_TEST

/* ---- the floor --------------------------------------------------------------------- */

START_TEST(a_direction_without_any_stretch_counts_as_the_floor)
{
    const float j[] = { 2, 0, 0,   0, 1e-9f, 0,   0, 0, 0 };
    nn_arena scratch = {0};
    int floored;

    double got = nn_log_volume(3, 3, j, &floored, &scratch);
    ck_assert_double_eq_tol(got, log(2) + 2 * log(1e-6), 1e-12);
    ck_assert_int_eq(floored, 2);
    nn_arena_free(&scratch);
}
END_TEST

START_TEST(a_jacobian_that_is_not_finite_has_no_volume)
{
    const float j[] = { 1, 2, NAN, 4,   1, 2, INFINITY, 3 };
    nn_arena scratch = {0};

    ck_assert(isnan(nn_log_volume(2, 2, j, NULL, &scratch)));
    ck_assert(isnan(nn_log_volume(2, 2, j + 4, NULL, &scratch)));
    nn_arena_free(&scratch);
}
END_TEST

/* ---- what is not linear ------------------------------------------------------------ */

static nn_node *relu_net(nn_tape *t, const void *ctx, nn_node *x)
{
    const layers *l = ctx;
    x = nn_linear(t, x, nn_input(t, nn_shape2(l->mid, l->in), l->first, 0), NULL);
    return nn_linear(t, nn_relu(t, x),
                     nn_input(t, nn_shape2(l->out, l->mid), l->second, 0), NULL);
}

/* In double: what the network is between its kinks. */
static void relu_plain(const layers *l, const double *x, double *y)
{
    for (int o = 0; o < l->out; o++)
        y[o] = 0;
    for (int m = 0; m < l->mid; m++) {
        double a = 0;
        for (int i = 0; i < l->in; i++)
            a += (double)l->first[m * l->in + i] * x[i];
        for (int o = 0; o < l->out && a > 0; o++)
            y[o] += (double)l->second[o * l->mid + m] * a;
    }
}

/* Steps of 1e-6 in double leave differences right to 1e-9 where they cross no kink of
 * these 20 units (one that did would be off by far more); the tape rounds by 1e-7 a
 * term. */
START_TEST(the_jacobian_of_a_relu_network_is_that_of_central_differences)
{
    enum { IN = 7, MID = 20, OUT = 5 };
    bench b;
    layers l = { IN, MID, OUT, cloud(IN * MID, 11, 0.5), cloud(MID * OUT, 12, 0.5) };
    float *x = cloud(IN, 13, 1), j[OUT * IN];
    double at[IN], up[OUT], down[OUT];

    bench_open(&b);
    nn_jacobian(&b.tape, relu_net, &l, nn_shape2(1, IN), x, OUT, j);
    for (int i = 0; i < IN; i++)
        at[i] = (double)x[i];
    for (int i = 0; i < IN; i++) {
        at[i] = (double)x[i] + 1e-6;
        relu_plain(&l, at, up);
        at[i] = (double)x[i] - 1e-6;
        relu_plain(&l, at, down);
        at[i] = (double)x[i];
        for (int o = 0; o < OUT; o++) {
            double want = (up[o] - down[o]) / 2e-6;
            ck_assert_msg(fabs((double)j[o * IN + i] - want) < 1e-5, "dy%d/dx%d is %g,"
                          " should be %g", o, i, (double)j[o * IN + i], want);
        }
    }
    free(l.first);
    free(l.second);
    free(x);
    bench_close(&b);
}
END_TEST

static nn_node *unit(nn_tape *t, const void *ctx, nn_node *x)
{
    (void)ctx;
    return nn_unitrow(t, x, 1e-12f);
}

/* x / |x| at (3, 4): nothing along x, 1/5 across, so ln 0.2 and one value at the floor:
 * float32 leaves 1e-8 of it. */
START_TEST(a_point_on_the_circle_has_one_direction_left)
{
    const float x[] = { 3, 4 };
    float j[4];
    int floored;
    bench b;

    bench_open(&b);
    nn_jacobian(&b.tape, unit, NULL, nn_shape2(1, 2), x, 2, j);
    double got = nn_log_volume(2, 2, j, &floored, &b.scratch);
    ck_assert_int_eq(floored, 1);
    ck_assert_double_eq_tol(got, log(0.2) + log(1e-6), 1e-6);
    bench_close(&b);
}
END_TEST

/* ---- PyTorch ----------------------------------------------------------------------- */

typedef struct torch_net { const golden *g; int number; } torch_net;

static const golden_record *part(const torch_net *n, const char *name)
{
    return golden_at(n->g, "%d/%s", n->number, name);
}

static nn_node *constant(nn_tape *t, const golden_record *r)
{
    return nn_input(t, r->shape, r->val, 0);
}

static nn_node *block(nn_tape *t, const torch_net *n, nn_node *x, int i)
{
    char name[5][16];
    static const char *const word[] = { "conv", "gamma", "beta", "mean", "var" };
    for (int k = 0; k < 5; k++)
        snprintf(name[k], sizeof name[k], "%s%d", word[k], i);
    nn_running running = { part(n, name[3])->val, part(n, name[4])->val, 0.1f, 1e-5f };
    x = nn_conv2d(t, x, constant(t, part(n, name[0])), NULL, i, 1);
    return nn_batchnorm(t, x, constant(t, part(n, name[1])),
                        constant(t, part(n, name[2])), NULL, NN_RELU, running);
}

static nn_node *torch_forward(nn_tape *t, const void *ctx, nn_node *x)
{
    const torch_net *n = ctx;
    x = block(t, n, block(t, n, x, 1), 2);
    int rows = x->shape.dim[0], cols = (int)(nn_count(x) / (size_t)rows);
    return nn_linear(t, nn_reshape(t, x, nn_shape2(rows, cols)),
                     constant(t, part(n, "fc")), NULL);
}

/* 1e-5 of the largest entry: float32 through three products.  In the score a rounding of
 * 1e-7 weighs 1e-3 for the least singular values: the script sees to it that none lies
 * between 1e-9 and 1e-4. */
START_TEST(jacobian_and_score_of_a_convolutional_network_are_those_of_pytorch)
{
    golden g = golden_open("jacobian.gold");
    torch_net n = { &g, _i };
    const golden_record *want = part(&n, "j"), *x = part(&n, "x");
    int outputs = want->shape.dim[0], floored;
    float *j = malloc(sizeof *j * want->n);
    bench b;

    bench_open(&b);
    nn_jacobian(&b.tape, torch_forward, &n, x->shape, x->val, outputs, j);
    golden_check(want, j, 1e-5);
    double score = nn_log_volume(outputs, want->shape.dim[1], j, &floored, &b.scratch);
    double right = (double)part(&n, "score")->val[0];
    ck_assert_msg(fabs(score - right) < 1e-3, "%.8g, PyTorch %.8g", score, right);
    ck_assert_int_eq(floored, (int)part(&n, "floored")->val[0]);
    free(j);
    golden_free(&g);
    bench_close(&b);
}
END_TEST

/* ---- same bits --------------------------------------------------------------------- */

START_TEST(jacobian_and_score_have_the_same_bits_for_every_table_and_team)
{
    golden g = golden_open("jacobian.gold");
    torch_net n = { &g, 1 };
    const golden_record *want = part(&n, "j"), *x = part(&n, "x");
    int outputs = want->shape.dim[0], cols = want->shape.dim[1];
    float *first = malloc(sizeof *first * want->n), *j = malloc(sizeof *j * want->n);
    double score = 0;

    for (int k = 0; k < nn_kern_count(); k++)
        for (int threads = 1; threads <= 3; threads++) {
            bench b;
            nn_kern_choose(nn_kern_at(k)->name);
            nn_par_set_threads(threads);
            bench_open(&b);
            float *to = k || threads > 1 ? j : first;
            nn_jacobian(&b.tape, torch_forward, &n, x->shape, x->val, outputs, to);
            double s = nn_log_volume(outputs, cols, to, NULL, &b.scratch);
            if (to == first)
                score = s;
            ck_assert_msg(memcmp(to, first, sizeof *j * want->n) == 0
                          && memcmp(&s, &score, sizeof s) == 0, "%s, %d threads",
                          nn_kern_at(k)->name, threads);
            bench_close(&b);
        }
    free(first);
    free(j);
    golden_free(&g);
}
END_TEST

Suite *suite_jacobian(void)
{
    Suite *s = suite_create("jacobian");
    TCase *tc = tcase_create("jacobian");
    tcase_add_test(tc, the_jacobian_of_a_linear_map_is_its_matrix_to_the_bit);
    tcase_add_test(
        tc, the_score_of_a_linear_map_is_its_sum_of_log_singular_values_for_all_inputs);
    tcase_add_test(tc, a_direction_without_any_stretch_counts_as_the_floor);
    tcase_add_test(tc, a_jacobian_that_is_not_finite_has_no_volume);
    tcase_add_test(tc, the_jacobian_of_a_relu_network_is_that_of_central_differences);
    tcase_add_test(tc, a_point_on_the_circle_has_one_direction_left);
    tcase_add_loop_test(
        tc, jacobian_and_score_of_a_convolutional_network_are_those_of_pytorch, 0, 2);
    tcase_add_test(tc, jacobian_and_score_have_the_same_bits_for_every_table_and_team);
    suite_add_tcase(s, tc);
    return s;
}
