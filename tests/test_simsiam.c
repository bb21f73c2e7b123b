/* The oracles of the specification's section 14 (1, 2) and proposition S3 of 13.2. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/rng.h"
#include "tests/net.h"
#include "tests/suites.h"

enum { N = 6, D = 10 };
enum { MLP, NO_PREDICTOR, FIXED };

/* A method alone, without a backbone: z1 and z2 are given. */
typedef struct bench {
    net n;
    float z[2][N * D];
    nn_node *in[2];
} bench;

static void bench_start(bench *b, int stop_gradient)
{
    net_start(&b->n, "mlp", "simsiam", (nn_image_shape){ 4, 4, 1 }, N);
    net_set_method(&b->n, "proj_dim", D);
    net_set_method(&b->n, "predictor", NO_PREDICTOR);
    net_set_method(&b->n, "stop_gradient", stop_gradient);
    net_build(&b->n, 1);
    nn_rng r = nn_rng_at(2, NN_RNG_TEST, 0, 0);
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < N * D; i++)
            b->z[v][i] = (float)nn_rng_normal(&r);
}

static double bench_loss(bench *b)
{
    ssl_views v = { .count = 2 };
    nn_tape_reset(&b->n.tape);
    for (int k = 0; k < 2; k++)
        v.z[k] = b->in[k] = nn_input(&b->n.tape, nn_shape2(N, D), b->z[k], 1);
    nn_node *loss = b->n.method->loss(&b->n.tape, b->n.method_config, &v);
    double value = (double)nn_item(loss);
    nn_backward(loss);
    return value;
}

START_TEST(equal_views_are_the_minimum)
{
    bench b;
    bench_start(&b, 1);
    memcpy(b.z[1], b.z[0], sizeof b.z[0]);
    ck_assert_double_eq_tol(bench_loss(&b), -1, 1e-6);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq_tol(b.in[0]->grad[i], 0, 1e-6f);
    net_free(&b.n);
}
END_TEST

START_TEST(orthogonal_views_give_zero)
{
    bench b;
    bench_start(&b, 1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) {
            b.z[0][i * D + j] = j == 1 ? 3 : 0;
            b.z[1][i * D + j] = j == 4 ? 2 : 0;
        }
    ck_assert_double_eq_tol(bench_loss(&b), 0, 1e-7);
    net_free(&b.n);
}
END_TEST

/* z1 = p0 gives -1 and z3 = -2 p2 gives 1: the mean is 0.  p1 and p3 are not asked. */
START_TEST(two_pairs_give_the_mean_of_both)
{
    bench b;
    bench_start(&b, 1);
    net_set_method(&b.n, "pairs", 2);
    net_set_method(&b.n, "symmetric", 0);
    ck_assert_int_eq(ssl_view_count(b.n.method, b.n.method_config), 4);
    ssl_views v = { .count = 4 };
    float turned[N * D];
    for (int i = 0; i < N * D; i++)
        turned[i] = -2 * b.z[1][i];
    const float *p[4] = { b.z[0], b.z[1], b.z[1], b.z[0] },
                *z[4] = { b.z[1], b.z[0], b.z[0], turned };
    for (int k = 0; k < 4; k++) {
        v.p[k] = nn_input(&b.n.tape, nn_shape2(N, D), p[k], 1);
        v.z[k] = nn_input(&b.n.tape, nn_shape2(N, D), z[k], 1);
    }
    nn_node *loss = b.n.method->loss(&b.n.tape, b.n.method_config, &v);
    ck_assert_double_eq_tol((double)nn_item(loss), 0, 1e-6);
    nn_backward(loss);
    ck_assert(v.p[0]->grad && v.p[2]->grad && !v.p[1]->grad && !v.p[3]->grad);
    v.z[3] = v.p[2];
    ck_assert_double_eq_tol((double)nn_item(b.n.method->loss(&b.n.tape,
                            b.n.method_config, &v)), -1, 1e-6);
    net_free(&b.n);
}
END_TEST

/* Scaling p by ten leaves L and divides its gradient by ten; gradient and p are orthogonal. */
START_TEST(length_is_free_and_the_gradient_only_turns)
{
    bench b;
    float before[N * D];
    bench_start(&b, 1);
    double loss = bench_loss(&b);
    memcpy(before, b.in[0]->grad, sizeof before);
    for (int i = 0; i < N; i++) {
        double along = 0, size = 0;
        for (int j = 0; j < D; j++) {
            along += (double)before[i * D + j] * (double)b.z[0][i * D + j];
            size += fabs((double)before[i * D + j] * (double)b.z[0][i * D + j]);
        }
        ck_assert_double_le(fabs(along), 1e-5 * size);
    }
    for (int i = 0; i < N * D; i++)
        b.z[0][i] *= 10;
    ck_assert_double_eq_tol(bench_loss(&b), loss, 1e-6);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq_tol(b.in[0]->grad[i] * 10, before[i], 1e-6f);
    net_free(&b.n);
}
END_TEST

/* S3: without a predictor the symmetric loss has the same gradient with stop-gradient as
 * without, at half the length. */
START_TEST(no_predictor_is_no_stop_gradient_at_half_speed)
{
    net with, without;
    nn_image_shape image = { 8, 8, 1 };
    double dot = 0, a2 = 0, b2 = 0;
    ssl_views v;

    net_start(&with, "conv3", "simsiam", image, 8);
    net_start(&without, "conv3", "simsiam", image, 8);
    net_set_method(&with, "proj_dim", 16);
    net_set_method(&without, "proj_dim", 16);
    net_set_method(&with, "predictor", NO_PREDICTOR);
    net_set_method(&without, "predictor", NO_PREDICTOR);
    net_set_method(&without, "stop_gradient", 0);
    net_build(&with, 4);
    net_build(&without, 4);
    nn_backward(net_loss(&with, &v));
    nn_backward(net_loss(&without, &v));
    for (int i = 0; i < with.store.count; i++) {
        nn_param *p = with.store.list[i], *q = without.store.list[i];
        for (size_t j = 0; p->grad && j < nn_shape_count(&p->shape); j++) {
            dot += (double)p->grad[j] * (double)q->grad[j];
            a2 += (double)p->grad[j] * (double)p->grad[j];
            b2 += (double)q->grad[j] * (double)q->grad[j];
        }
    }
    ck_assert_double_gt(a2, 0);
    ck_assert_double_gt(dot / sqrt(a2 * b2), 0.9999);
    ck_assert_double_eq_tol(sqrt(a2 / b2), 0.5, 1e-3);
    net_free(&with);
    net_free(&without);
}
END_TEST

/* Oracle 2: with stop-gradient the projector's gradient is the one that constant targets
 * give, to the bit. */
START_TEST(stop_gradient_means_constant_targets)
{
    net n;
    ssl_views v;
    nn_image_shape image = { 8, 8, 1 };
    float *z[2], *want;

    net_start(&n, "conv3", "simsiam", image, 8);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 4);
    n.tape.mode = NN_BATCH;
    nn_node *loss = net_loss(&n, &v);
    nn_param *w = nn_store_find(&n.store, "projector.0.weight");
    size_t bytes = sizeof(float) * nn_shape_count(&w->shape);
    for (int k = 0; k < 2; k++) {
        z[k] = malloc(sizeof(float) * 8 * 16);
        memcpy(z[k], v.z[k]->val, sizeof(float) * 8 * 16);
    }
    nn_backward(loss);
    want = malloc(bytes);
    memcpy(want, w->grad, bytes);

    net_loss(&n, &v);
    nn_store_zero_grad(&n.store);
    nn_node *part[2];
    for (int k = 0; k < 2; k++) {
        nn_node *constant = nn_input(&n.tape, nn_shape2(8, 16), z[!k], 0);
        ssl_views one = { .count = 2, .z = { v.z[k], constant },
                          .method = v.method, .heads = v.heads };
        net_set_method(&n, "symmetric", 0);
        part[k] = n.method->loss(&n.tape, n.method_config, &one);
        net_set_method(&n, "symmetric", 1);
    }
    nn_backward(nn_scale(&n.tape, 0.5f, nn_add(&n.tape, part[0], part[1])));
    ck_assert_mem_eq(w->grad, want, bytes);
    for (int k = 0; k < 2; k++)
        free(z[k]);
    free(want);
    net_free(&n);
}
END_TEST

START_TEST(a_fixed_predictor_stays_and_the_rest_moves)
{
    net n;
    net_start(&n, "conv3", "simsiam", (nn_image_shape){ 8, 8, 1 }, 8);
    net_set_method(&n, "proj_dim", 16);
    net_set_method(&n, "predictor", FIXED);
    net_build(&n, 4);
    nn_param *p = nn_store_find(&n.store, "predictor.0.weight");
    nn_param *q = nn_store_find(&n.store, "projector.0.weight");
    float p0 = p->val[0], q0 = q->val[0];
    net_train_step(&n, 0.1f);
    ck_assert_ptr_null(p->grad);
    ck_assert_float_eq(p->val[0], p0);
    ck_assert_float_ne(q->val[0], q0);
    net_free(&n);
}
END_TEST

START_TEST(only_the_predictor_keeps_its_learning_rate)
{
    net n;
    net_start(&n, "conv3", "simsiam", (nn_image_shape){ 8, 8, 1 }, 8);
    net_build(&n, 4);
    for (int i = 0; i < n.store.count; i++)
        ck_assert_int_eq(n.store.list[i]->constant_lr,
                         strncmp(n.store.list[i]->name, "predictor.", 10) == 0);
    net_free(&n);
}
END_TEST

/* Every switch trains: finite loss, and each trained tensor of the backbone moves. */
START_TEST(every_switch_trains)
{
    static const struct { const char *name; double value;
    } cases[] = { { "stop_gradient", 0 }, { "predictor", NO_PREDICTOR },
                  { "predictor", FIXED }, { "pred_lr", 1 },
                  { "proj_layers", 1 },   { "proj_layers", 3 },
                  { "proj_bn", 0 },       { "proj_bn", 1 },
                  { "proj_affine", 1 },   { "pred_bn", 0 },
                  { "pred_bn", 2 },       { "symmetric", 0 },
                  { "similarity", 1 },    { "pred_hidden", 3 },
                  { "proj_hidden", 5 } };
    net n;
    net_start(&n, "conv3", "simsiam", (nn_image_shape){ 8, 8, 1 }, 8);
    net_set_method(&n, "proj_dim", 16);
    net_set_method(&n, cases[_i].name, cases[_i].value);
    net_build(&n, 4);
    nn_param *w = nn_store_find(&n.store, "conv1.weight");
    float before = w->val[0];
    for (int s = 0; s < 3; s++)
        ck_assert_msg(isfinite(net_train_step(&n, 0.05f)), "%s: loss", cases[_i].name);
    ck_assert_msg(w->val[0] != before, "%s: conv1 did not move", cases[_i].name);
    net_free(&n);
}
END_TEST

Suite *suite_simsiam(void)
{
    Suite *s = suite_create("simsiam");
    TCase *tc = tcase_create("simsiam");
    tcase_add_test(tc, equal_views_are_the_minimum);
    tcase_add_test(tc, orthogonal_views_give_zero);
    tcase_add_test(tc, two_pairs_give_the_mean_of_both);
    tcase_add_test(tc, length_is_free_and_the_gradient_only_turns);
    tcase_add_test(tc, no_predictor_is_no_stop_gradient_at_half_speed);
    tcase_add_test(tc, stop_gradient_means_constant_targets);
    tcase_add_test(tc, a_fixed_predictor_stays_and_the_rest_moves);
    tcase_add_test(tc, only_the_predictor_keeps_its_learning_rate);
    tcase_add_loop_test(tc, every_switch_trains, 0, 15);
    suite_add_tcase(s, tc);
    return s;
}
