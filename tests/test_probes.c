#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

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

static void near(const char *name, double got, double want, double tolerance)
{
    ck_assert_msg(fabs(got - want) <= tolerance, "%s is %.12g, not %.12g +- %.2g", name,
                  got, want, tolerance);
}

/* n rows of d normals around one of `classes` centres, `apart` standard deviations from
 * zero along axis c; labels are drawn. */
static float *classes_of(int n, int d, int classes, double apart, uint64_t seed,
                         uint16_t *label)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    float *x = malloc(sizeof *x * (size_t)n * (size_t)d);
    for (int i = 0; i < n; i++) {
        label[i] = (uint16_t)nn_rng_below(&r, (uint32_t)classes);
        for (int j = 0; j < d; j++)
            x[i * d + j] = (float)(nn_rng_normal(&r) + (j == label[i] ? apart : 0));
    }
    return x;
}

/* ---- the linear probe -------------------------------------------------------------- */

static met_linear_settings settings(met_protocol protocol, int classes)
{
    met_linear_settings s = met_linear_default;
    s.protocol = protocol;
    s.classes = classes;
    return s;
}

typedef struct sample {
    const float *x, *test;
    uint16_t y[90], y_test[90];
    int n, m, d;
} sample;

static sample golden_sample(const golden *g)
{
    const golden_record *x = golden_at(g, "linear/x"), *y = golden_at(g, "linear/y");
    const golden_record *t = golden_at(g, "linear/x_test");
    const golden_record *yt = golden_at(g, "linear/y_test");
    sample s = { .x = x->val, .test = t->val, .n = x->shape.dim[0], .m = t->shape.dim[0],
                 .d = x->shape.dim[1] };
    ck_assert(s.n <= 90 && s.m <= 90);
    for (int i = 0; i < s.n; i++)
        s.y[i] = (uint16_t)y->val[i];
    for (int i = 0; i < s.m; i++)
        s.y_test[i] = (uint16_t)yt->val[i];
    return s;
}

START_TEST(ridge_solves_the_equations_of_numpy)
{
    golden g = golden_open("probes.gold");
    sample q = golden_sample(&g);
    met_linear_settings s = settings(MET_RIDGE, 4);
    met_linear_map f;
    s.lambda = 0.03;
    ck_assert_int_eq(1, met_linear_fit(&s, q.d, q.x, q.y, q.n, &f, &arena));
    const float *w = golden_at(&g, "ridge/w")->val;
    const float *low = golden_at(&g, "ridge/w_low")->val;
    for (int i = 0; i < q.d * 4; i++)           /* doubles; weights below one */
        near("w", f.w[i], (double)w[i] + low[i], 1e-13);
    w = golden_at(&g, "ridge/bias")->val, low = golden_at(&g, "ridge/bias_low")->val;
    for (int c = 0; c < 4; c++)
        near("bias", f.bias[c], (double)w[c] + low[c], 1e-14);
    ck_assert(f.strength == 0.03);
    near("share", met_linear_share(&f, q.test, q.y_test, q.m, &arena),
         golden_at(&g, "ridge/share")->val[0], 1e-7);
    golden_free(&g);
}
END_TEST

START_TEST(ridge_chooses_the_lambda_of_numpy)
{
    golden g = golden_open("probes.gold");
    sample q = golden_sample(&g);
    met_linear_settings s = settings(MET_RIDGE, 4);
    met_linear_map f;
    s.seed = 0x123456789A;
    ck_assert_int_eq(1, met_linear_fit(&s, q.d, q.x, q.y, q.n, &f, &arena));
    near("lambda", f.strength, golden_at(&g, "ridge/chosen")->val[0], 1e-8);
    near("share", met_linear_share(&f, q.test, q.y_test, q.m, &arena),
         golden_at(&g, "ridge/chosen_share")->val[0], 1e-7);
    golden_free(&g);
}
END_TEST

START_TEST(sgd_takes_the_steps_of_pytorch)
{
    golden g = golden_open("probes.gold");
    sample q = golden_sample(&g);
    met_linear_settings s = settings(MET_SGD, 4);
    met_linear_map f;
    s.seed = 0x123456789A;
    s.epochs = 4;
    s.batch = 16;
    ck_assert_int_eq(1, met_linear_fit(&s, q.d, q.x, q.y, q.n, &f, &arena));
    const float *w = golden_at(&g, "sgd/w")->val, *b = golden_at(&g, "sgd/bias")->val;
    for (int i = 0; i < q.d * 4; i++)           /* 24 steps of floats, weights near one */
        near("w", f.w[i], w[i], 3e-6);
    for (int c = 0; c < 4; c++)
        near("bias", f.bias[c], b[c], 3e-6);
    near("share", met_linear_share(&f, q.test, q.y_test, q.m, &arena),
         golden_at(&g, "sgd/share")->val[0], 1e-7);
    s.lr = 0;
    ck_assert_int_eq(1, met_linear_fit(&s, q.d, q.x, q.y, q.n, &f, &arena));
    near("chosen lr", f.strength, golden_at(&g, "sgd/chosen")->val[0], 1e-7);
    golden_free(&g);
}
END_TEST

/* Features of two values, +1 and -1 for the classes, p of them: correlation 1 among all,
 * so w = (p + lambda)^-1 / 2 for each.  And a feature that says nothing has weight 0. */
START_TEST(ridge_by_hand)
{
    enum { N = 8, D = 4 };
    static const uint16_t label[N] = { 0, 0, 0, 0, 1, 1, 1, 1 };
    float x[N * D];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] = j == 3 ? (i % 2 ? 7 : 3) : (label[i] ? 1 : -1) * (j + 1) + 5;
    met_linear_settings s = settings(MET_RIDGE, 2);
    met_linear_map f;
    s.lambda = 0.5;
    ck_assert_int_eq(1, met_linear_fit(&s, D, x, label, N, &f, &arena));
    for (int j = 0; j < D; j++) {
        double want = j == 3 ? 0 : 0.5 / 3.5;
        near("w", f.w[2 * j], -want, 1e-15);
        near("w", f.w[2 * j + 1], want, 1e-15);
        near("mean", f.mean[j], 5, 0);
        near("by", f.by[j], j == 3 ? 0.5 : 1.0 / (j + 1), 1e-15);
    }
    near("bias", f.bias[0], 0.5, 0);
    near("bias", f.bias[1], 0.5, 0);
}
END_TEST

/* One step from zero: the scores are equal, so G = 1/2 - one-hot and W = lr X'(y - 1/2)/N
 * (cosine's first factor is one). */
START_TEST(one_step_of_sgd_by_hand)
{
    static const float x[] = { 1, -2, 3, -4 };              /* std sqrt(7.25), mean -.5 */
    static const uint16_t label[] = { 1, 0, 1, 0 };
    met_linear_settings s = settings(MET_SGD, 2);
    met_linear_map f;
    s.lr = 0.25;
    s.epochs = 1;
    s.batch = 100;
    ck_assert_int_eq(1, met_linear_fit(&s, 1, x, label, 4, &f, &arena));
    double want = 0.25 * (1.5 + 1.5 + 3.5 + 3.5) / 2 / 4 / sqrt(7.25);
    near("w", f.w[1], want, 1e-7);
    near("w", f.w[0], -want, 1e-7);
    near("bias", f.bias[0], 0, 1e-7);
}
END_TEST

/* Where classes are far apart every row is right, and after shuffling the labels the
 * share is that of guessing: 1/5 within four standard deviations of 2000 guesses. */
START_TEST(separable_classes_are_learnt_and_shuffled_ones_are_not)
{
    enum { N = 3000, M = 2000, D = 16, CLASSES = 5 };
    static uint16_t label[N + M], mixed[N + M];
    float *x = classes_of(N + M, D, CLASSES, 12, 1, label);
    nn_rng r = nn_rng_at(2, NN_RNG_TEST, 0, 0);
    for (int i = 0; i < N + M; i++)
        mixed[i] = (uint16_t)nn_rng_below(&r, CLASSES);
    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, CLASSES);
        s.epochs = 5;
        ck_assert(met_linear(&s, D, x, label, N, x + N * D, label + N, M, &arena) == 1);
        near("shuffled", met_linear(&s, D, x, mixed, N, x + N * D, mixed + N, M, &arena),
             0.2, 4 * sqrt(0.2 * 0.8 / M));
    }
    free(x);
}
END_TEST

/* Powers of two change no digit of anything; other scales and shifts no more than the
 * rounding of the features. */
START_TEST(scale_and_place_of_a_feature_do_not_matter)
{
    enum { N = 300, M = 200, D = 6 };
    uint16_t label[N + M];
    float *x = classes_of(N + M, D, 3, 1, 3, label), moved[(N + M) * D];
    for (int i = 0; i < (N + M) * D; i++)
        moved[i] = x[i] * ldexpf(1, 3 * (i % D) - 20);
    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, 3);
        met_linear_map f, g;
        s.epochs = 5;
        ck_assert_int_eq(1, met_linear_fit(&s, D, x, label, N, &f, &arena));
        ck_assert_int_eq(1, met_linear_fit(&s, D, moved, label, N, &g, &arena));
        ck_assert_mem_eq(f.w, g.w, sizeof *f.w * D * 3);
        double share = met_linear_share(&f, x + N * D, label + N, M, &arena);
        ck_assert(share > 0.5);                 /* something was learnt; chance is .33 */
        ck_assert(share == met_linear_share(&g, moved + N * D, label + N, M, &arena));
    }
    free(x);
}
END_TEST

START_TEST(the_seed_alone_decides_the_order)
{
    enum { N = 200, D = 5 };
    uint16_t label[N];
    float *x = classes_of(N, D, 3, 1, 4, label);
    met_linear_settings s = settings(MET_SGD, 3);
    met_linear_map f, g, h;
    s.epochs = 3;
    s.batch = 32;
    ck_assert_int_eq(1, met_linear_fit(&s, D, x, label, N, &f, &arena));
    ck_assert_int_eq(1, met_linear_fit(&s, D, x, label, N, &g, &arena));
    s.seed = 1;
    ck_assert_int_eq(1, met_linear_fit(&s, D, x, label, N, &h, &arena));
    ck_assert_mem_eq(f.w, g.w, sizeof *f.w * D * 3);
    ck_assert(memcmp(f.w, h.w, sizeof *f.w * D * 3) != 0);
    free(x);
}
END_TEST

START_TEST(a_linear_probe_without_numbers_is_nan)
{
    static const float x[] = { 1, 0, 0, 1 }, bad[] = { 1, NAN, 0, 1 };
    static const uint16_t y[] = { 0, 1 };
    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, 2);
        ck_assert(met_linear(&s, 2, x, y, 2, x, y, 2, &arena) == 1);
        ck_assert(isnan(met_linear(&s, 2, x, y, 0, x, y, 2, &arena)));
        ck_assert(isnan(met_linear(&s, 2, x, y, 2, x, y, 0, &arena)));
        ck_assert(isnan(met_linear(&s, 2, bad, y, 2, x, y, 2, &arena)));
        ck_assert(isnan(met_linear(&s, 2, x, y, 2, bad, y, 2, &arena)));
    }
    ck_assert_uint_eq(arena.at, 0);
}
END_TEST

/* One row; all rows alike; one class; more columns than rows; columns that are equal. */
START_TEST(linear_probes_of_poor_data_are_survived)
{
    enum { N = 12, D = 20 };
    uint16_t one[N] = {0}, two[N];
    float x[N * D];
    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, 3);
        for (int i = 0; i < N * D; i++)
            x[i] = 0.1f;
        for (int i = 0; i < N; i++)
            two[i] = i % 3 == 0 ? 1 : 2;        /* twice as many of class 2 */
        ck_assert(met_linear(&s, D, x, one, 1, x, one, 1, &arena) == 1);
        near("constant", met_linear(&s, D, x, two, N, x, two, N, &arena), 8 / 12.0,
             1e-15);
        for (int i = 0; i < N * D; i++)
            x[i] = (float)(i / D * 7 % 12);     /* all columns equal */
        ck_assert(met_linear(&s, D, x, one, N, x, one, N, &arena) == 1);
        for (int i = 0; i < N; i++)
            two[i] = x[i * D] > 5;
        ck_assert(met_linear(&s, D, x, two, N, x, two, N, &arena) == 1);
        for (int i = 0; i < N * D; i++)
            x[i] *= 1e37f;
        ck_assert(met_linear(&s, D, x, two, N, x, two, N, &arena) == 1);
    }
}
END_TEST

static volatile sig_atomic_t stop;

static void on_alarm(int number)
{
    stop = number;
}

START_TEST(a_linear_probe_stops_when_told)
{
    enum { N = 300, D = 9, FOR_EVER = 1000000000 };
    const struct itimerval soon = { .it_value = { .tv_usec = 50000 } };
    uint16_t label[N];
    float *x = classes_of(N, D, 3, 1, 9, label);
    met_linear_map f;

    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, 3);
        s.stop = &stop;
        stop = 0;
        ck_assert(met_linear(&s, D, x, label, N, x, label, N, &arena) > 0.5);
        stop = SIGTERM;
        ck_assert_int_eq(0, met_linear_fit(&s, D, x, label, N, &f, &arena));
        nn_arena_reset(&arena);
        ck_assert(isnan(met_linear(&s, D, x, label, N, x, label, N, &arena)));
        ck_assert_uint_eq(arena.at, 0);
    }
    /* and in the middle of years of learning, searching for a rate or not */
    signal(SIGALRM, on_alarm);
    for (int search = 0; search <= 1; search++) {
        met_linear_settings s = settings(MET_SGD, 3);
        s.stop = &stop;
        s.epochs = FOR_EVER;
        s.lr = search ? 0 : 0.1;
        stop = 0;
        setitimer(ITIMER_REAL, &soon, NULL);
        ck_assert(isnan(met_linear(&s, D, x, label, N, x, label, N, &arena)));
        ck_assert_int_eq(stop, SIGALRM);
    }
    free(x);
}
END_TEST

/* ---- the online probe -------------------------------------------------------------- */

START_TEST(online_updates_are_those_of_pytorch)
{
    golden g = golden_open("probes.gold");
    const golden_record *x = golden_at(&g, "online/x"), *y = golden_at(&g, "online/y");
    const golden_record *loss = golden_at(&g, "online/loss");
    static const struct { int at, end; float lr; } step[] = {
        { 0, 14, 0.1f }, { 14, 28, 0.1f }, { 28, 42, 0.5f }, { 42, 56, 0.25f },
        { 56, 60, 0.125f },
    };
    int d = x->shape.dim[1];
    uint16_t label[60];
    for (int i = 0; i < 60; i++)
        label[i] = (uint16_t)y->val[i];
    met_online o = met_online_of(d, 4, &arena);
    for (int t = 0; t < 5; t++) {
        o.lr = step[t].lr;
        double got = met_online_step(&o, x->val + step[t].at * d, label + step[t].at,
                                     step[t].end - step[t].at, &arena);
        near("loss", got, loss->val[t], 1e-6);          /* floats of about one */
    }
    /* five updates of floats, each rounded a few times */
    golden_check(golden_at(&g, "online/weight"), o.weight, 2e-6);
    golden_check(golden_at(&g, "online/bias"), o.bias, 2e-6);
    golden_check(golden_at(&g, "online/weight_velocity"), o.weight_velocity, 2e-6);
    golden_check(golden_at(&g, "online/bias_velocity"), o.bias_velocity, 2e-6);
    golden_check(golden_at(&g, "online/mean"), o.mean, 1e-6);
    golden_check(golden_at(&g, "online/var"), o.var, 1e-6);
    near("share", met_online_test(&o, x->val, label, 60, &arena),
         golden_at(&g, "online/share")->val[0], 1e-7);
    golden_free(&g);
}
END_TEST

/* The first step from zero: every class is as likely, so the loss is ln 3. */
START_TEST(an_online_probe_starts_by_guessing_and_learns)
{
    enum { N = 256, D = 8, CLASSES = 3 };
    uint16_t label[N];
    float *x = classes_of(N, D, CLASSES, 6, 8, label);
    met_online o = met_online_of(D, CLASSES, &arena);
    near("loss", met_online_step(&o, x, label, N, &arena), log(3), 1e-6);
    for (int t = 0; t < 60; t++)        /* of the start of the statistics .9^60 is left */
        met_online_step(&o, x, label, N, &arena);
    ck_assert(met_online_test(&o, x, label, N, &arena) == 1);
    free(x);
}
END_TEST

START_TEST(an_online_probe_takes_no_bad_numbers)
{
    static const float x[] = { 1, 2, 3, 4 }, bad[] = { 1, 2, INFINITY, 4 };
    static const uint16_t label[] = { 0, 1 };
    met_online o = met_online_of(2, 2, &arena);
    size_t mark = nn_arena_mark(&arena);
    ck_assert(isfinite(met_online_step(&o, x, label, 2, &arena)));
    float weight[4], mean[2];
    memcpy(weight, o.weight, sizeof weight);
    memcpy(mean, o.mean, sizeof mean);
    ck_assert(isnan(met_online_step(&o, bad, label, 2, &arena)));
    ck_assert(isnan(met_online_step(&o, x, label, 0, &arena)));
    ck_assert_mem_eq(weight, o.weight, sizeof weight);
    ck_assert_mem_eq(mean, o.mean, sizeof mean);
    ck_assert(isnan(met_online_test(&o, bad, label, 2, &arena)));
    ck_assert(isnan(met_online_test(&o, x, label, 0, &arena)));
    ck_assert(isfinite(met_online_step(&o, x, label, 1, &arena)));      /* one row */
    ck_assert(isfinite(met_online_test(&o, x, label, 2, &arena)));
    ck_assert_uint_eq(nn_arena_mark(&arena), mark);
}
END_TEST

/* ---- nearest neighbours: the other conventions ------------------------------------- */

static int class_of(met_knn_settings s, const float *bank, const uint16_t *label, int n,
                    const float *query)
{
    for (uint16_t c = 0; c < s.classes; c++)
        if (met_knn(&s, 2, bank, label, n, query, &c, 1, &arena) == 1)
            return c;
    return -1;
}

/* Distances 1, 1.5, 2 and 2.25 from the query (1, 1), classes 2, 1, 1, 0. */
START_TEST(euclidean_votes_by_hand)
{
    static const float bank[] = { 2, 1, 1, 2.5f, -1, 1, 1, -1.25f }, query[] = { 1, 1 };
    static const uint16_t label[] = { 2, 1, 1, 0 };
    met_knn_settings s = { .classes = 3, .distance = MET_EUCLIDEAN, .k = 3 };

    s.vote = MET_VOTE_COUNT;                    /* no temperature needed */
    ck_assert_int_eq(1, class_of(s, bank, label, 4, query));
    s.vote = MET_VOTE_INVERSE;                  /* 1 against 1/1.5 + 1/2 */
    ck_assert_int_eq(1, class_of(s, bank, label, 4, query));
    s.k = 2;
    ck_assert_int_eq(2, class_of(s, bank, label, 4, query));
    s.vote = MET_VOTE_COUNT;                    /* one each: the lowest class */
    ck_assert_int_eq(1, class_of(s, bank, label, 4, query));
    s.k = 100;
    ck_assert_int_eq(1, class_of(s, bank, label, 4, query));
    /* exp(-.5/T) + exp(-1/T) > 1 above T = .5 / -ln(.618) = 1.0390 */
    s.k = 3;
    s.vote = MET_VOTE_EXP;
    s.temperature = 1.03;
    ck_assert_int_eq(2, class_of(s, bank, label, 4, query));
    s.temperature = 1.05;
    ck_assert_int_eq(1, class_of(s, bank, label, 4, query));
    s.temperature = 1e-3;                       /* exp(-1000) must not decide */
    ck_assert_int_eq(2, class_of(s, bank, label, 4, query));
}
END_TEST

/* A copy of the query weighs 1e5, and no more: two rows at 1.5e-5 weigh 8e4 together. */
START_TEST(an_inverse_distance_has_its_floor)
{
    static const float bank[] = { 0, 0, 1.5e-5f, 0, 0, -1.5e-5f, 9e-6f, 0 };
    static const uint16_t label[] = { 1, 0, 0, 0 };
    static const float query[] = { 0, 0 };
    met_knn_settings s = { .classes = 2, .distance = MET_EUCLIDEAN, .k = 3,
                           .vote = MET_VOTE_INVERSE };
    ck_assert_int_eq(1, class_of(s, bank, label, 3, query));
    s.k = 4;                                    /* another 5.3e4 */
    ck_assert_int_eq(0, class_of(s, bank, label, 4, query));
}
END_TEST

/* Length counts for the one and not for the other: the query (1, 0) and its multiples. */
START_TEST(the_two_distances_disagree_where_they_should)
{
    static const float bank[] = { 10, 0, 1, 0.5f }, query[] = { 1, 0 };
    static const uint16_t label[] = { 0, 1 };
    met_knn_settings s = { .classes = 2, .k = 1, .vote = MET_VOTE_COUNT };
    ck_assert_int_eq(0, class_of(s, bank, label, 2, query));
    s.distance = MET_EUCLIDEAN;
    ck_assert_int_eq(1, class_of(s, bank, label, 2, query));
    /* cosines 1 and .894: distances of unit rows 0 and .459 */
    static const float three[] = { 10, 0, 1, 0.5f, 1, -0.5f };
    static const uint16_t both[] = { 0, 1, 1 };
    s = (met_knn_settings){ .classes = 2, .k = 3, .vote = MET_VOTE_INVERSE };
    ck_assert_int_eq(0, class_of(s, three, both, 3, query));
    s.vote = MET_VOTE_COUNT;
    ck_assert_int_eq(1, class_of(s, three, both, 3, query));
    /* r = sqrt(.2) against three of r = 1: 2.24 and 3 (of squares: 5 and 3) */
    static const float four[] = { 0.9f, 0.43589f, 1, 1.73205f, 1, 1.73205f, 1, 1.73205f };
    static const uint16_t rest[] = { 0, 1, 1, 1 };
    s.k = 4;
    s.vote = MET_VOTE_INVERSE;
    ck_assert_int_eq(1, class_of(s, four, rest, 4, query));
}
END_TEST

typedef struct hit { double r; int at; } hit;

static int nearer(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    return x->r != y->r ? (x->r > y->r) - (x->r < y->r) : x->at - y->at;
}

/* Sizes that cross the tiles, in double by definition.  The distances of 2500 random rows
 * are no closer than their rounding to a tie that could decide. */
START_TEST(euclidean_predictions_are_those_of_a_plain_search)
{
    enum { BANK = 2500, QUERY = 300, D = 5, CLASSES = 4 };
    static uint16_t label[BANK + QUERY], mixed_label[BANK], want[QUERY];
    static uint32_t order[BANK];
    static hit near_by[BANK];
    float *x = classes_of(BANK + QUERY, D, CLASSES, 1, 6, label), *q = x + BANK * D;
    float *mixed = malloc(sizeof *mixed * BANK * D);
    nn_rng r = nn_rng_at(7, NN_RNG_TEST, 0, 0);
    nn_rng_permute(&r, order, BANK);
    for (int i = 0; i < BANK; i++) {
        memcpy(mixed + i * D, x + order[i] * D, D * sizeof *mixed);
        mixed_label[i] = label[order[i]];
    }
    for (int vote = MET_VOTE_EXP; vote <= MET_VOTE_COUNT; vote++) {
        met_knn_settings s = { .k = 15, .temperature = 0.3, .classes = CLASSES,
                               .distance = MET_EUCLIDEAN, .vote = (met_vote)vote };
        for (int i = 0; i < QUERY; i++) {
            double score[CLASSES] = {0};
            for (int j = 0; j < BANK; j++) {
                near_by[j] = (hit){ 0, j };
                for (int c = 0; c < D; c++)
                    near_by[j].r += pow((double)q[i * D + c] - x[j * D + c], 2);
                near_by[j].r = sqrt(near_by[j].r);
            }
            qsort(near_by, BANK, sizeof *near_by, nearer);
            for (int k = 0; k < s.k; k++)
                score[label[near_by[k].at]] +=
                    vote == MET_VOTE_EXP ? exp(-near_by[k].r / s.temperature)
                    : vote == MET_VOTE_INVERSE ? 1 / (near_by[k].r + 1e-5) : 1;
            want[i] = 0;
            for (uint16_t c = 1; c < CLASSES; c++)
                if (score[c] > score[want[i]])
                    want[i] = c;
        }
        ck_assert(met_knn(&s, D, x, label, BANK, q, want, QUERY, &arena) == 1);
        ck_assert(met_knn(&s, D, mixed, mixed_label, BANK, q, want, QUERY, &arena) == 1);
    }
    free(x);
    free(mixed);
}
END_TEST

START_TEST(distances_that_a_float_cannot_hold_are_survived)
{
    static const float bank[] = { 3e38f, 0, -3e38f, 0, 0, 3e38f };
    static const float query[] = { -3e38f, 0 };
    static const uint16_t label[] = { 1, 2, 2 };
    met_knn_settings s = { .classes = 3, .distance = MET_EUCLIDEAN, .k = 1,
                           .vote = MET_VOTE_COUNT };
    ck_assert_int_eq(2, class_of(s, bank, label, 3, query));
    ck_assert_int_eq(1, class_of(s, bank, label, 1, query));
    s.vote = MET_VOTE_EXP;
    s.temperature = 0.1;
    s.k = 3;
    ck_assert_int_eq(2, class_of(s, bank, label, 3, query));
}
END_TEST

/* ---- the same bytes ---------------------------------------------------------------- */

enum { SAME_N = 1100, SAME_D = 70, SAME_CLASSES = 10 };

typedef struct outcome {
    double w[2][SAME_D * SAME_CLASSES], bias[2][SAME_CLASSES], share[2];
    double knn[3], loss[3];
    float weight[SAME_CLASSES * SAME_D], mean[SAME_D], var[SAME_D];
} outcome;

static void measure(const float *x, const uint16_t *label, outcome *o)
{
    size_t mark = nn_arena_mark(&arena);
    memset(o, 0, sizeof *o);
    for (int p = MET_RIDGE; p <= MET_SGD; p++) {
        met_linear_settings s = settings((met_protocol)p, SAME_CLASSES);
        met_linear_map f;
        s.epochs = 2;
        s.batch = 300;
        s.lr = 0;
        met_linear_fit(&s, SAME_D, x, label, SAME_N, &f, &arena);
        memcpy(o->w[p], f.w, sizeof o->w[p]);
        memcpy(o->bias[p], f.bias, sizeof o->bias[p]);
        o->share[p] = met_linear_share(&f, x, label, SAME_N, &arena);
    }
    for (int vote = MET_VOTE_EXP; vote <= MET_VOTE_COUNT; vote++) {
        met_knn_settings s = { .k = 20, .temperature = 1, .classes = SAME_CLASSES,
                               .distance = MET_EUCLIDEAN, .vote = (met_vote)vote };
        o->knn[vote] = met_knn(&s, SAME_D, x, label, 1000, x + 1000 * SAME_D,
                               label + 1000, SAME_N - 1000, &arena);
    }
    met_online online = met_online_of(SAME_D, SAME_CLASSES, &arena);
    for (int t = 0; t < 3; t++)
        o->loss[t] = met_online_step(&online, x + 300 * t * SAME_D, label + 300 * t, 300,
                                     &arena);
    memcpy(o->weight, online.weight, sizeof o->weight);
    memcpy(o->mean, online.mean, sizeof o->mean);
    memcpy(o->var, online.var, sizeof o->var);
    nn_arena_rewind(&arena, mark);
}

START_TEST(probes_have_the_same_bytes_with_all_threads_and_tables)
{
    static uint16_t label[SAME_N];
    float *x = classes_of(SAME_N, SAME_D, SAME_CLASSES, 1.5, 5, label);
    static outcome first, now;

    nn_par_set_threads(1);
    nn_kern_choose("ref");
    measure(x, label, &first);
    ck_assert(first.share[0] > 0.3 && first.share[1] > 0.3);
    for (int threads = 2; threads <= 4; threads++) {
        nn_par_set_threads(threads);
        measure(x, label, &now);
        ck_assert_msg(memcmp(&first, &now, sizeof now) == 0, "%d threads", threads);
    }
    for (int t = 0; t < nn_kern_count(); t++) {
        nn_kern_choose(nn_kern_at(t)->name);
        measure(x, label, &now);
        ck_assert_msg(memcmp(&first, &now, sizeof now) == 0, "table %s",
                      nn_kern_now->name);
    }
    free(x);
}
END_TEST

Suite *suite_probes(void)
{
    Suite *s = suite_create("probes");
    TCase *tc = tcase_create("probes");

    tcase_add_checked_fixture(tc, best_kernel, NULL);
    tcase_add_test(tc, ridge_solves_the_equations_of_numpy);
    tcase_add_test(tc, ridge_chooses_the_lambda_of_numpy);
    tcase_add_test(tc, sgd_takes_the_steps_of_pytorch);
    tcase_add_test(tc, ridge_by_hand);
    tcase_add_test(tc, one_step_of_sgd_by_hand);
    tcase_add_test(tc, separable_classes_are_learnt_and_shuffled_ones_are_not);
    tcase_add_test(tc, scale_and_place_of_a_feature_do_not_matter);
    tcase_add_test(tc, the_seed_alone_decides_the_order);
    tcase_add_test(tc, a_linear_probe_without_numbers_is_nan);
    tcase_add_test(tc, linear_probes_of_poor_data_are_survived);
    tcase_add_test(tc, a_linear_probe_stops_when_told);
    tcase_add_test(tc, online_updates_are_those_of_pytorch);
    tcase_add_test(tc, an_online_probe_starts_by_guessing_and_learns);
    tcase_add_test(tc, an_online_probe_takes_no_bad_numbers);
    tcase_add_test(tc, euclidean_votes_by_hand);
    tcase_add_test(tc, an_inverse_distance_has_its_floor);
    tcase_add_test(tc, the_two_distances_disagree_where_they_should);
    tcase_add_test(tc, euclidean_predictions_are_those_of_a_plain_search);
    tcase_add_test(tc, distances_that_a_float_cannot_hold_are_survived);
    tcase_add_test(tc, probes_have_the_same_bytes_with_all_threads_and_tables);
    suite_add_tcase(s, tc);
    return s;
}
