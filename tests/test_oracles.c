/* Values that theory gives (spec 14) and no other suite has: whole losses of VICReg,
 * Barlow Twins, SimCLR and BYOL, and the moving average of a target.  tests/README.md
 * lists which test holds which oracle. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/rng.h"
#include "ssl/objective.h"
#include "tests/keys.h"
#include "tests/suites.h"

enum { N = 8, D = 5 };

typedef struct bench {
    nn_arena step, scratch;
    nn_tape tape;
    nn_node *in[2];
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

/* The loss of two embeddings (n, d), which are their own predictions and, for BYOL, those
 * of the target: view 0 against view 1.  Gradients are left in b->in. */
static double loss_of(bench *b, const char *method, const char *settings, int n, int d,
                      const float *one, const float *two)
{
    const ssl_method *m = ssl_method_find(method);
    _Alignas(16) unsigned char config[256];
    ssl_views v = { .count = 2, .clock = { .epochs = 1, .steps = 1 } };

    ck_assert(m && m->config_size <= sizeof config);
    keys_set(m->settings, config, settings);
    nn_tape_reset(&b->tape);
    for (int k = 0; k < 2; k++) {
        const float *x = k ? two : one;
        v.z[k] = v.p[k] = b->in[k] = nn_input(&b->tape, nn_shape2(n, d), x, 1);
    }
    if (m->momentum)
        for (int k = 0; k < 2; k++)
            v.tz[k] = nn_input(&b->tape, nn_shape2(n, d), k ? two : one, 0);
    nn_node *loss = nn_pin(m->loss(&b->tape, config, &v));
    nn_backward(loss);
    return (double)nn_item(loss);
}

static void no_gradient_above(const bench *b, double most)
{
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < nn_count(b->in[k]); i++)
            ck_assert_double_le(fabs((double)b->in[k]->grad[i]), most);
}

static void fill_normal(float *x, int count, uint64_t seed)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    for (int i = 0; i < count; i++)
        x[i] = (float)nn_rng_normal(&r);
}

/* Columns of +-size that are orthogonal to each other and to the constant (Hadamard). */
static void fill_orthogonal(float x[N][D], float size)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i][j] = __builtin_parity((unsigned)(i & (j + 1))) ? -size : size;
}

/* 3.  Each branch is one hinge of 1 - sqrt(1e-4); nothing pushes a column that is exactly
 * constant.  Multiples of 1/4, whose float sums are exact: else a mean may be off by one
 * rounding (6e-8 of it), and all rows lean the same way by 2e-6. */
START_TEST(oracle_3_vicreg_of_a_constant_is_24_75_and_rests)
{
    float z[N][D];
    bench b;
    bench_open(&b);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            z[i][j] = (float)(j - 2) * 0.25f;
    ck_assert_double_eq_tol(loss_of(&b, "vicreg", "", N, D, z[0], z[0]), 24.75, 1e-5);
    no_gradient_above(&b, 0);
    bench_close(&b);
}
END_TEST

START_TEST(oracle_3_vicreg_of_equal_orthogonal_columns_is_zero)
{
    float z[N][D];
    bench b;
    bench_open(&b);
    fill_orthogonal(z, 1);                      /* std sqrt(8/7) */
    ck_assert_double_eq_tol(loss_of(&b, "vicreg", "", N, D, z[0], z[0]), 0, 1e-6);
    no_gradient_above(&b, 1e-6);
    bench_close(&b);
}
END_TEST

/* One column of five has the spread 1/2. */
START_TEST(oracle_3_vicreg_asks_a_narrow_column_for_its_spread)
{
    const double v = (1 - sqrt(0.25 + 1e-4)) / D;
    float z[N][D];
    bench b;
    bench_open(&b);
    fill_orthogonal(z, 1);
    for (int i = 0; i < N; i++)
        z[i][2] *= 0.5f * sqrtf(7.0f / 8);
    ck_assert_double_eq_tol(loss_of(&b, "vicreg", "", N, D, z[0], z[0]), 25 * v, 1e-5);
    ck_assert_double_eq_tol(loss_of(&b, "vicreg", "convention=solo", N, D, z[0], z[0]),
                            50 * v, 1e-5);
    bench_close(&b);
}
END_TEST

/* Central differences with h = 0.01 at elements of size 1: an error of h^2 in the slope
 * and 1e-7 of the loss over h, against the largest slope. */
START_TEST(oracle_3_vicregs_gradient_is_its_slope)
{
    const double h = 0.01;
    float z[2][N * D], grad[N * D];
    double worst = 0, size = 0;
    bench b;
    bench_open(&b);
    fill_normal(z[0], 2 * N * D, 1);
    loss_of(&b, "vicreg", "", N, D, z[0], z[1]);
    memcpy(grad, b.in[0]->grad, sizeof grad);
    for (int i = 0; i < N * D; i++) {
        const float at = z[0][i];
        z[0][i] = at + (float)h;
        double up = loss_of(&b, "vicreg", "", N, D, z[0], z[1]);
        z[0][i] = at - (float)h;
        double down = loss_of(&b, "vicreg", "", N, D, z[0], z[1]);
        z[0][i] = at;
        size = fmax(size, fabs((double)grad[i]));
        worst = fmax(worst, fabs((up - down) / (2 * h) - (double)grad[i]));
    }
    ck_assert_double_le(worst, 1e-3 * size);
    bench_close(&b);
}
END_TEST

/* 4.  Twice the term (two views) of weight 1; no variance, no invariance. */
START_TEST(oracle_4_the_hand_example_through_vicreg)
{
    static const float z[4][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0, 0, 0 } };
    bench b;
    bench_open(&b);
    ck_assert_double_eq_tol(loss_of(&b, "vicreg", "mu=0", 4, 3, z[0], z[0]),
                            2.0 / 72, 1e-8);
    bench_close(&b);
}
END_TEST

/* 7.  Equal rows: ln(2N - 1).  Two orthonormal images of equal views, tau = 1: -1 +
 * ln(e + 2). */
START_TEST(oracle_7_simclr_cannot_tell_equal_rows_apart)
{
    static const float pair[2][2] = { { 3, 0 }, { 0, 0.5f } };
    float z[N][D];
    bench b;
    bench_open(&b);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            z[i][j] = (float)(j + 1);
    ck_assert_double_eq_tol(loss_of(&b, "simclr", "tau=0.1", N, D, z[0], z[0]),
                            log(2 * N - 1), 1e-5);
    ck_assert_double_eq_tol(loss_of(&b, "simclr", "tau=1", 2, 2, pair[0], pair[0]),
                            log(exp(1) + 2) - 1, 1e-6);
    bench_close(&b);
}
END_TEST

/* 8.  eps = 1e-5 under the root makes a diagonal of 1 / (1 + 1e-5): 5e-10 of loss.  With
 * the signs turned it is -1 / (1 + 1e-5): four a column, less 4e-5. */
START_TEST(oracle_8_barlow_runs_from_zero_to_four_a_column)
{
    float z[N][D], turned[N][D];
    bench b;
    bench_open(&b);
    fill_orthogonal(z, 1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            turned[i][j] = -z[i][j];
    ck_assert_double_eq_tol(loss_of(&b, "barlow", "", N, D, z[0], z[0]), 0, 1e-8);
    ck_assert_double_eq_tol(loss_of(&b, "barlow", "scale=0.1", N, D, z[0], turned[0]),
                            0.1 * 4 * D, 1e-4);
    bench_close(&b);
}
END_TEST

/* 9.  Predictions equal to their targets, and opposite. */
START_TEST(oracle_9_byol_runs_from_zero_to_eight)
{
    float z[N * D], turned[N * D];
    bench b;
    bench_open(&b);
    fill_normal(z, N * D, 2);
    for (int i = 0; i < N * D; i++)
        turned[i] = -2 * z[i];                  /* any length */
    ck_assert_double_eq_tol(loss_of(&b, "byol", "", N, D, z, z), 0, 1e-6);
    no_gradient_above(&b, 1e-6);
    ck_assert_double_eq_tol(loss_of(&b, "byol", "", N, D, z, turned), 8, 1e-5);
    bench_close(&b);
}
END_TEST

/* 14.  An online tensor and the target that follows it. */
typedef struct pair {
    nn_arena arena;
    nn_store store;
    nn_param *online, *target;
} pair;

static void pair_open(pair *p)
{
    memset(p, 0, sizeof *p);
    p->store.arena = &p->arena;
    p->online = nn_store_add(&p->store, "w", NN_PARAMETER, nn_shape2(N, D));
    p->store.of_target = 1;
    p->target = nn_store_add(&p->store, "w", NN_PARAMETER, nn_shape2(N, D));
    fill_normal(p->online->val, N * D, 3);
    fill_normal(p->target->val, N * D, 4);
}

START_TEST(oracle_14_tau_one_keeps_the_target_and_tau_zero_copies_to_the_bit)
{
    float before[N * D];
    pair p;
    pair_open(&p);
    memcpy(before, p.target->val, sizeof before);
    nn_store_follow(&p.store, 1);
    ck_assert_mem_eq(p.target->val, before, sizeof before);
    nn_store_follow(&p.store, 0);
    ck_assert_mem_eq(p.target->val, p.online->val, sizeof before);
    nn_arena_free(&p.arena);
}
END_TEST

START_TEST(oracle_14_in_between_the_target_is_the_weighted_mean)
{
    float before[N * D];
    pair p;
    pair_open(&p);
    memcpy(before, p.target->val, sizeof before);
    nn_store_follow(&p.store, 0.75);
    for (int i = 0; i < N * D; i++) {
        const double theta = (double)p.online->val[i];
        ck_assert_double_eq_tol((double)p.target->val[i],
                                0.75 * (double)before[i] + 0.25 * theta, 1e-6);
    }                                           /* rounded three times at sizes of 3 */
    nn_arena_free(&p.arena);
}
END_TEST

/* BYOL's tau: tau0 at first, half of the way in the middle, 1 at the end. */
START_TEST(oracle_14_byols_tau_rises_to_one)
{
    static const struct { long step; double tau; } at[] = {
        { 0, 0.99 }, { 500, 0.995 }, { 1000, 1 } };
    for (size_t i = 0; i < NN_COUNT(at); i++) {
        const ssl_clock clock = { .epochs = 10, .step = at[i].step, .steps = 1000 };
        ck_assert_double_eq_tol(ssl_cosine_tau(0.99, &clock), at[i].tau, 1e-12);
    }
}
END_TEST

Suite *suite_oracles(void)
{
    Suite *s = suite_create("oracles");
    TCase *tc = tcase_create("oracles");
    tcase_add_test(tc, oracle_3_vicreg_of_a_constant_is_24_75_and_rests);
    tcase_add_test(tc, oracle_3_vicreg_of_equal_orthogonal_columns_is_zero);
    tcase_add_test(tc, oracle_3_vicreg_asks_a_narrow_column_for_its_spread);
    tcase_add_test(tc, oracle_3_vicregs_gradient_is_its_slope);
    tcase_add_test(tc, oracle_4_the_hand_example_through_vicreg);
    tcase_add_test(tc, oracle_7_simclr_cannot_tell_equal_rows_apart);
    tcase_add_test(tc, oracle_8_barlow_runs_from_zero_to_four_a_column);
    tcase_add_test(tc, oracle_9_byol_runs_from_zero_to_eight);
    tcase_add_test(tc, oracle_14_tau_one_keeps_the_target_and_tau_zero_copies_to_the_bit);
    tcase_add_test(tc, oracle_14_in_between_the_target_is_the_weighted_mean);
    tcase_add_test(tc, oracle_14_byols_tau_rises_to_one);
    suite_add_tcase(s, tc);
    return s;
}
