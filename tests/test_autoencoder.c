/* Autoencoders: their operators and whole networks against PyTorch
 * (golden/make_autoencoder.py), closed forms, and between tables and teams. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/model.h"
#include "nn/op.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/suites.h"

static nn_arena step, scratch, memory;         /* the process of a test ends with it */
static nn_tape tape;

static void start(void)
{
    nn_tape_start(&tape, &step, &scratch);
}

/* sum_i y_i w_i: the loss whose gradient at y is w. */
static nn_node *weighted(nn_node *y, const float *w)
{
    nn_shape row = nn_shape2(1, (int)nn_count(y));
    return nn_linear(&tape, nn_reshape(&tape, nn_pin(y), row),
                     nn_input(&tape, row, w, 0), NULL);
}

static float *normal(size_t n, double spread, uint64_t sample)
{
    nn_rng r = nn_rng_at(51, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(spread * nn_rng_normal(&r));
    return x;
}

/* ---- operators --------------------------------------------------------------------- */

enum { INS = 3 };

static nn_node *conv_transpose(nn_node *const *in, const float *set)
{
    return nn_conv_transpose2d(&tape, in[0], in[1], in[2], (int)set[0], (int)set[1]);
}

static nn_node *upsample(nn_node *const *in, const float *set)
{
    return nn_upsample(&tape, in[0], (int)set[0]);
}

static nn_node *gelu(nn_node *const *in, const float *set)
{
    (void)set;
    return nn_gelu(&tape, in[0]);
}

static nn_node *clamp(nn_node *const *in, const float *set)
{
    return nn_clamp(&tape, in[0], set[0], set[1]);
}

static nn_node *l1(nn_node *const *in, const float *set)
{
    (void)set;
    return nn_l1(&tape, in[0], in[1]);
}

static nn_node *gaussian_nll(nn_node *const *in, const float *set)
{
    (void)set;
    return nn_gaussian_nll(&tape, in[0], in[1], in[2]);
}

/* Tolerances relative to the largest element.  Convolutions: sums of up to 3 x 3 x 33
 * terms are off by sqrt(k) 2^-24 = 1e-6, Winograd's tiles by ten times that.
 * All others are a few roundings of 2^-24 = 6e-8, or sums in double; upsample and clamp
 * move values. */
static const struct subject {
    const char *name;
    nn_node *(*of)(nn_node *const *in, const float *set);
    const char *ins[INS];
    int cases;
    double tolerance;
} subjects[] = {
    { "conv_transpose", conv_transpose, { "x", "weight", "bias" }, 14, 2e-5 },
    { "upsample", upsample, { "x" }, 4, 4e-7 },
    { "gelu", gelu, { "x" }, 1, 4e-7 },
    { "clamp", clamp, { "x" }, 3, 0 },
    { "l1", l1, { "a", "b" }, 3, 4e-7 },
    { "gaussian_nll", gaussian_nll, { "x", "mean", "log_var" }, 4, 4e-7 },
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static void matches(const golden *g, const struct subject *s, int i)
{
    nn_node *in[INS] = {0};
    char at[40], name[80];
    snprintf(at, sizeof at, "%s/%d", s->name, i);
    for (int k = 0; k < INS && s->ins[k]; k++) {
        snprintf(name, sizeof name, "%s/%s", at, s->ins[k]);
        const golden_record *r = golden_find(g, name);      /* a bias may be missing */
        if (r)
            in[k] = nn_input(&tape, r->shape, r->val, 1);
    }
    ck_assert_ptr_nonnull(in[0]);
    snprintf(name, sizeof name, "%s/set", at);
    const golden_record *set = golden_find(g, name), *want = golden_at(g, "%s/y", at);
    nn_node *y = s->of(in, set ? set->val : NULL);

    ck_assert_msg(nn_shape_same(&y->shape, &want->shape), "%s: shape", at);
    golden_check(want, y->val, s->tolerance);
    nn_backward(weighted(y, golden_at(g, "%s/dy", at)->val));
    for (int k = 0; k < INS && s->ins[k]; k++)
        if (in[k])
            golden_check(golden_at(g, "%s/d%s", at, s->ins[k]), in[k]->grad,
                         s->tolerance);
}

START_TEST(operators_and_their_gradients_match_pytorch)
{
    const struct subject *s = &subjects[_i];
    golden g = golden_open("autoencoder.gold");
    start();
    for (int i = 0; i < s->cases; i++) {
        matches(&g, s, i);
        nn_tape_reset(&tape);
    }
    golden_free(&g);
}
END_TEST

/* Adjoint of a convolution: <conv(y), x> = <y, conv_transpose(x)>, the same weight in
 * both.  Sums of some hundred products of about one: 1e-4 is a hundred roundings. */
START_TEST(a_transposed_convolution_is_the_adjoint_of_the_convolution)
{
    const float *x = normal(120, 1, 1), *y = normal(960, 1, 2), *k = normal(480, 0.2, 3);
    double left = 0, right = 0;
    start();
    nn_node *w = nn_input(&tape, nn_shape4(5, 4, 4, 6), k, 0);
    nn_node *small = nn_input(&tape, nn_shape4(2, 4, 3, 5), x, 0);
    nn_node *large = nn_input(&tape, nn_shape4(2, 10, 8, 6), y, 0);
    nn_node *up = nn_conv_transpose2d(&tape, small, w, NULL, 2, 0);
    nn_node *down = nn_conv2d(&tape, large, w, NULL, 2, 0);

    ck_assert(nn_shape_same(&up->shape, &large->shape));
    for (int i = 0; i < 120; i++)
        left += (double)down->val[i] * (double)x[i];
    for (int i = 0; i < 960; i++)
        right += (double)up->val[i] * (double)y[i];
    ck_assert_double_eq_tol(left, right, 1e-4);
}
END_TEST

/* Two for each product of a pixel of x with a weight, forward and each way back. */
START_TEST(a_transposed_convolution_counts_its_products)
{
    start();
    nn_node *x = nn_input(&tape, nn_shape4(2, 5, 3, 6), normal(180, 1, 1), 1);
    nn_node *w = nn_input(&tape, nn_shape4(6, 4, 4, 7), normal(672, 1, 2), 1);
    nn_flops f = nn_node_flops(nn_conv_transpose2d(&tape, x, w, NULL, 2, 1));
    ck_assert_double_eq(f.forward, 2.0 * 2 * 5 * 3 * 6 * 4 * 4 * 7);
    ck_assert_double_eq(f.backward, 2 * f.forward);
}
END_TEST

/* Value and slope for one number. */
static void gelu_at(float x, double *y, double *slope)
{
    static const float one = 1;
    nn_node *in = nn_input(&tape, nn_shape2(1, 1), &x, 1), *out = nn_gelu(&tape, in);
    *y = (double)out->val[0];
    nn_backward(weighted(out, &one));
    *slope = (double)in->grad[0];
    nn_tape_reset(&tape);
}

/* The three bounds that gelu.c states, against erfc of the C library in double. */
static void gelu_holds(float at, double *worst)
{
    const double x = (double)at, half_root = sqrt(0.5), pi = acos(-1);
    const double below = 0.5 * erfc(-x * half_root), want = x * below;
    const double want_slope = below + x * exp(-0.5 * x * x) / sqrt(2 * pi);
    double y, slope;
    gelu_at(at, &y, &slope);
    const double off = fabs(y - want);
    worst[0] = fmax(worst[0], off / fmax(fabs(x), 1));
    worst[1] = fmax(worst[1], fabs(slope - want_slope));
    if (x < 0 && fabs(want) >= (double)FLT_MIN)
        worst[2] = fmax(worst[2], off / fabs(want) * 0x1p24 / (6 + x * x));
}

START_TEST(gelu_keeps_the_bounds_it_states)
{
    double worst[3] = {0};
    start();
    for (int i = -100000; i <= 100000; i++)
        gelu_holds((float)(i * 1e-4), worst);
    for (float x = 10; x < 1e38f; x *= 1.01f) {
        gelu_holds(x, worst);
        gelu_holds(-x, worst);
    }
    for (float x = 1e-3f; x > 1e-38f; x *= 0.9f) {
        gelu_holds(x, worst);
        gelu_holds(-x, worst);
    }
    ck_assert_double_le(worst[0], 1e-7);
    ck_assert_double_le(worst[1], 1.8e-7);
    ck_assert_double_le(worst[2], 1);
}
END_TEST

START_TEST(gelu_and_clamp_let_a_nan_be_seen)
{
    const float x[2] = { NAN, 1 };
    start();
    nn_node *in = nn_input(&tape, nn_shape2(1, 2), x, 0);
    ck_assert(isnan(nn_gelu(&tape, in)->val[0]));
    ck_assert(isnan(nn_clamp(&tape, in, -1, 1)->val[0]));
}
END_TEST

/* e^l = s is where the variance fits: no slope there, and the value is
 * (ln s + 1 + ln 2 pi) / 2. */
START_TEST(the_likelihood_rests_where_the_variance_is_that_of_the_errors)
{
    enum { N = 6000 };
    const float *x = normal(N, 1.5, 1), *m = normal(N, 0.5, 2), one = 1;
    double s = 0;
    for (int i = 0; i < N; i++)
        s += ((double)x[i] - (double)m[i]) * ((double)x[i] - (double)m[i]) / N;
    const float l = (float)log(s);
    start();
    nn_node *log_var = nn_input(&tape, nn_shape1(1), &l, 1);
    nn_node *y = nn_gaussian_nll(&tape, nn_input(&tape, nn_shape2(N, 1), x, 0),
                                 nn_input(&tape, nn_shape2(N, 1), m, 0), log_var);
    ck_assert_double_eq_tol((double)nn_item(y),
                            0.5 * (log(s) + 1 + log(2 * acos(-1))), 1e-6);
    nn_backward(weighted(y, &one));
    /* l and s e^-l are floats near one: a rounding each */
    ck_assert_double_eq_tol((double)log_var->grad[0], 0, 1e-6);
}
END_TEST

START_TEST(a_kernel_smaller_than_its_padding_is_refused)
{
    start();
    nn_conv_transpose2d(&tape, nn_input(&tape, nn_shape4(1, 1, 1, 1), normal(1, 1, 1), 0),
                        nn_input(&tape, nn_shape4(1, 2, 2, 1), normal(4, 1, 2), 0), NULL,
                        1, 1);
}
END_TEST

/* ---- models ------------------------------------------------------------------------ */

static const char *const models[] = { "autoencoder", "autoencoder_toy",
                                      "mlp_autoencoder" };
enum { MODELS = sizeof models / sizeof *models };

typedef struct whole {
    const nn_model *model;
    _Alignas(16) unsigned char config[128];
    nn_store store;
    void *state;
    int width;
} whole;

static whole found(const char *name)
{
    whole w = { .model = nn_model_find(name), .store = { .arena = &memory, .seed = 3 } };
    ck_assert_ptr_nonnull(w.model);
    ck_assert(w.model->config_size <= sizeof w.config);
    nn_setting_defaults(w.model->settings, w.config);
    return w;
}

/* The first settings of the table, all of them integers. */
static void set_first(whole *w, const golden_record *set)
{
    for (size_t i = 0; i < set->n; i++)
        *(int *)(void *)(w->config + w->model->settings[i].at) = (int)set->val[i];
}

static void build(whole *w, nn_image_shape image)
{
    w->state = w->model->build(&w->store, w->config, image, &w->width);
    w->model->build_decoder(&w->store, w->state);
}

static void load(whole *w, const golden *g, const char *at)
{
    for (int i = 0; i < w->store.count; i++) {
        nn_param *p = w->store.list[i];
        const golden_record *r = golden_at(g, "%s/weight/%s", at, p->name);
        ck_assert_msg(nn_shape_same(&r->shape, &p->shape), "%s: %s", at, p->name);
        memcpy(p->val, r->val, sizeof(float) * r->n);
    }
}

/* Ten layers of sums: a few 1e-7 each, which add up; 1e-5 is measured with room for
 * Winograd's tiles, and a wrong weight shows at 1e-2. */
static const double NET = 1e-5;

static void network_matches(const golden *g, const char *at, const char *name)
{
    whole w = found(name);
    const golden_record *x = golden_at(g, "%s/x", at), *map = golden_at(g, "%s/map", at);
    const int *d = x->shape.dim;
    set_first(&w, golden_at(g, "%s/set", at));
    build(&w, (nn_image_shape){ d[1], d[2], d[3] });
    load(&w, g, at);

    nn_node *h = w.model->forward(&tape, w.state, nn_input(&tape, x->shape, x->val, 0));
    golden_check(golden_at(g, "%s/h", at), h->val, NET);
    nn_node *in = nn_input(&tape, x->shape, x->val, 1);
    nn_node *code = w.model->encode(&tape, w.state, in);
    ck_assert(nn_shape_same(&code->shape, &map->shape));
    ck_assert_int_eq(nn_cols(h), w.width);
    golden_check(map, code->val, NET);
    nn_node *y = w.model->decode(&tape, w.state, code);
    ck_assert(nn_shape_same(&y->shape, &x->shape));
    golden_check(golden_at(g, "%s/y", at), y->val, NET);

    nn_store_zero_grad(&w.store);
    nn_backward(weighted(y, golden_at(g, "%s/dy", at)->val));
    golden_check(golden_at(g, "%s/dx", at), in->grad, NET);
    for (int i = 0; i < w.store.count; i++)
        golden_check(golden_at(g, "%s/grad/%s", at, w.store.list[i]->name),
                     w.store.list[i]->grad, NET);
    nn_tape_reset(&tape);
}

START_TEST(networks_and_their_gradients_match_pytorch)
{
    golden g = golden_open("autoencoder.gold");
    char at[40], name[80];
    int i;
    start();
    for (i = 0;; i++) {
        snprintf(at, sizeof at, "%s/%d", models[_i], i);
        snprintf(name, sizeof name, "%s/x", at);
        if (!golden_find(&g, name))
            break;
        network_matches(&g, at, models[_i]);
    }
    ck_assert_int_ge(i, 2);
    golden_free(&g);
}
END_TEST

static const nn_image_shape images[] = { { 28, 28, 1 }, { 32, 32, 3 } };

START_TEST(a_map_has_the_size_it_should_and_comes_back_as_images)
{
    static const int sides[MODELS] = { 4, 4, 0 };           /* 0: the map is one pixel */
    static const int channels[MODELS] = { 64, 32, 16 };
    for (int k = 0; k < 2; k++) {
        const nn_image_shape s = images[k];
        whole w = found(models[_i]);
        start();
        build(&w, s);
        nn_shape shape = nn_shape4(2, s.h, s.w, s.c);
        nn_node *x = nn_input(&tape, shape, normal(nn_shape_count(&shape), 1, 1), 0);
        nn_node *map = w.model->encode(&tape, w.state, x);
        nn_node *y = w.model->decode(&tape, w.state, map);
        nn_node *h = w.model->forward(&tape, w.state, x);
        int f = sides[_i];
        nn_shape want = nn_shape4(2, f ? s.h / f : 1, f ? s.w / f : 1, channels[_i]);
        nn_shape wide = nn_shape2(2, channels[_i]);
        ck_assert(nn_shape_same(&map->shape, &want));
        ck_assert(nn_shape_same(&y->shape, &shape));
        ck_assert(nn_shape_same(&h->shape, &wide));
        ck_assert_int_eq(w.width, channels[_i]);
    }
}
END_TEST

START_TEST(a_decoder_is_built_when_it_is_asked_for)
{
    golden g = golden_open("autoencoder.gold");
    for (int k = 0; k < 2; k++) {
        const golden_record *want = golden_at(&g, "%s/parameters/%d", models[_i],
                                              images[k].c);
        whole w = found(models[_i]);
        w.state = w.model->build(&w.store, w.config, images[k], &w.width);
        ck_assert_double_eq((double)nn_store_count(&w.store), (double)want->val[1]);
        w.model->build_decoder(&w.store, w.state);
        ck_assert_double_eq((double)nn_store_count(&w.store), (double)want->val[0]);
    }
    golden_free(&g);
}
END_TEST

START_TEST(images_that_cannot_be_halved_twice_are_refused)
{
    static const nn_image_shape no[] = { { 30, 28, 1 }, { 28, 31, 1 }, { 1, 1, 3 } };
    for (int i = 0; i < nn_model_count(); i++) {
        const nn_model *m = nn_model_at(i);
        const int halves = strncmp(m->name, "autoencoder", 11) == 0;
        ck_assert_msg(!!m->fits == halves, "%s", m->name);
        ck_assert_msg(!m->encode == !m->decode && !m->encode == !m->build_decoder, "%s",
                      m->name);
        if (!m->fits)
            continue;
        for (size_t k = 0; k < sizeof no / sizeof *no; k++)
            ck_assert_str_eq(m->fits(NULL, no[k]), "wants sides that are multiples of 4");
        for (int k = 0; k < 2; k++)
            ck_assert_ptr_null(m->fits(NULL, images[k]));
    }
}
END_TEST

START_TEST(a_model_is_not_built_for_images_that_do_not_fit)
{
    whole w = found(models[_i]);
    build(&w, (nn_image_shape){ 28, 30, 1 });
}
END_TEST

/* PyTorch's U(-b, b), b = 1 / sqrt(cout 4 4) (its fan_in of a ConvTranspose2d; tried
 * with 2.13).  131,072 and 3,072 numbers: the largest is above 0.99 b but for a chance of
 * 0.99^3072 = 4e-14. */
START_TEST(transposed_convolutions_start_as_those_of_pytorch)
{
    static const struct { const char *name; int fan_in; } want[] = {
        { "decoder.4.weight", 64 * 16 }, { "decoder.4.bias", 64 * 16 },
        { "decoder.6.weight", 3 * 16 }, { "decoder.6.bias", 3 * 16 },
    };
    whole w = found("autoencoder");
    build(&w, images[1]);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const nn_param *p = nn_store_find(&w.store, want[i].name);
        ck_assert_msg(p != NULL, "no %s", want[i].name);
        const size_t n = nn_shape_count(&p->shape);
        double most = 0, bound = 1 / sqrt(want[i].fan_in);
        for (size_t j = 0; j < n; j++)
            most = fmax(most, fabs((double)p->val[j]));
        ck_assert_msg(most <= bound * (1 + 1e-7), "%s: %g", p->name, most);
        if (n > 1000)
            ck_assert_double_ge(most, bound * 0.99);
    }
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* Images and every gradient of a step of model i / 2 on images that wake a team.  Every
 * table takes its turn: 40 channels instead of 128. */
static outcome outcome_of(int i)
{
    whole w = found(models[i / 2]);
    const float slim[] = { 40, 10, 2, 64, (float)(i & 1) };     /* up: both kinds */
    if (i < 2)
        set_first(&w, &(golden_record){ .n = 5, .val = (float *)slim });
    build(&w, images[i & 1]);
    start();
    nn_shape shape = nn_shape4(5, images[i & 1].h, images[i & 1].w, images[i & 1].c);
    const size_t n = nn_shape_count(&shape);
    nn_node *x = nn_input(&tape, shape, normal(n, 1, 1), 1);
    nn_node *y = w.model->decode(&tape, w.state, w.model->encode(&tape, w.state, x));
    nn_node *l = nn_pin(nn_add(&tape, nn_l1(&tape, y, x), nn_mse(&tape, nn_pin(y), x)));
    nn_store_zero_grad(&w.store);
    nn_backward(l);

    outcome o = { 2 * n + 1 + nn_store_count(&w.store), NULL };
    float *at = o.at = NN_NEW(&memory, float, o.n);
    *at++ = nn_item(l);
    memcpy(at, y->val, sizeof(float) * n);
    memcpy(at += n, x->grad, sizeof(float) * n);
    at += n;
    for (int k = 0; k < w.store.count; k++) {
        const size_t some = nn_shape_count(&w.store.list[k]->shape);
        memcpy(at, w.store.list[k]->grad, sizeof(float) * some);
        at += some;
    }
    nn_tape_free(&tape);
    return o;
}

/* Operators alone on sizes beyond one vector and beyond what wakes a team. */
static outcome operators_of(int shape)
{
    const int n = shape ? 3 : 40000;
    const float *a = normal((size_t)n, 3, 1), *b = normal((size_t)n, 3, 2), l = -0.7f;
    start();
    nn_node *x = nn_input(&tape, nn_shape2(n, 1), a, 1);
    nn_node *y = nn_input(&tape, nn_shape2(n, 1), b, 1);
    nn_node *log_var = nn_input(&tape, nn_shape1(1), &l, 1);
    nn_node *z = nn_clamp(&tape, nn_gelu(&tape, x), -0.1f, 2);
    nn_node *sum = nn_pin(nn_add(&tape, nn_gaussian_nll(&tape, z, y, log_var),
                                 nn_l1(&tape, z, y)));
    nn_backward(sum);
    outcome o = { 2 * (size_t)n + 2, NN_NEW(&memory, float, 2 * n + 2) };
    memcpy(o.at, x->grad, sizeof(float) * (size_t)n);
    memcpy(o.at + n, y->grad, sizeof(float) * (size_t)n);
    o.at[2 * n] = log_var->grad[0];
    o.at[2 * n + 1] = nn_item(sum);
    nn_tape_free(&tape);
    return o;
}

START_TEST(every_table_gives_the_same_bytes)
{
    bytes_of_every_table(outcome_of, _i);
    bytes_of_every_table(operators_of, _i & 1);
}
END_TEST

START_TEST(every_team_gives_the_same_bytes)
{
    bytes_of_every_team(outcome_of, _i);
    bytes_of_every_team(operators_of, _i & 1);
}
END_TEST

START_TEST(the_second_step_asks_for_no_memory)
{
    whole w = found(models[_i]);
    size_t grown = 0;
    build(&w, images[0]);
    start();
    for (int turn = 0; turn < 3; turn++) {
        nn_node *x = nn_input(&tape, nn_shape4(2, 28, 28, 1), normal(1568, 1, 1), 1);
        nn_node *map = w.model->encode(&tape, w.state, x);
        nn_backward(nn_mse(&tape, w.model->decode(&tape, w.state, map), x));
        nn_tape_reset(&tape);
        if (turn == 1)
            grown = step.grown + scratch.grown;
    }
    ck_assert_uint_eq(step.grown + scratch.grown, grown);
}
END_TEST

Suite *suite_autoencoder(void)
{
    Suite *s = suite_create("autoencoder");
    TCase *tc = tcase_create("operators");
    tcase_add_loop_test(tc, operators_and_their_gradients_match_pytorch, 0, SUBJECTS);
    tcase_add_test(tc, a_transposed_convolution_is_the_adjoint_of_the_convolution);
    tcase_add_test(tc, a_transposed_convolution_counts_its_products);
    tcase_add_test(tc, gelu_keeps_the_bounds_it_states);
    tcase_add_test(tc, gelu_and_clamp_let_a_nan_be_seen);
    tcase_add_test(tc, the_likelihood_rests_where_the_variance_is_that_of_the_errors);
    tcase_add_test_raise_signal(tc, a_kernel_smaller_than_its_padding_is_refused,
                                SIGABRT);
    suite_add_tcase(s, tc);
    tc = tcase_create("models");
    tcase_add_loop_test(tc, networks_and_their_gradients_match_pytorch, 0, MODELS);
    tcase_add_loop_test(tc, a_map_has_the_size_it_should_and_comes_back_as_images, 0,
                        MODELS);
    tcase_add_loop_test(tc, a_decoder_is_built_when_it_is_asked_for, 0, MODELS);
    tcase_add_test(tc, images_that_cannot_be_halved_twice_are_refused);
    tcase_add_loop_test_raise_signal(tc, a_model_is_not_built_for_images_that_do_not_fit,
                                     SIGABRT, 0, 2);
    tcase_add_test(tc, transposed_convolutions_start_as_those_of_pytorch);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, 2 * MODELS);
    tcase_add_loop_test(tc, the_second_step_asks_for_no_memory, 0, MODELS);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, 2 * MODELS);
    suite_add_tcase(s, tc);
    return s;
}
