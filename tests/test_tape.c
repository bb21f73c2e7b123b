#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/op.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "nn/watch.h"
#include "tests/net.h"
#include "tests/suites.h"

static const nn_image_shape small = { 12, 12, 3 };

START_TEST(backward_gives_everything_back)
{
    net n;
    ssl_views v;

    net_start(&n, "resnet8", "simsiam", small, 4);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 1);
    nn_node *loss = net_loss(&n, &v);
    size_t held = n.tape.pool.lent;
    nn_backward(loss);
    /* what stays is the pinned loss and its gradient: two cache lines */
    ck_assert_uint_gt(held, 1000);
    ck_assert_uint_le(n.tape.pool.lent, 128);
    net_free(&n);
}
END_TEST

START_TEST(a_step_asks_for_no_memory_after_the_first)
{
    net n;

    net_start(&n, "resnet8", "simsiam", small, 8);
    net_set_method(&n, "proj_dim", 32);
    net_build(&n, 1);
    net_train_step(&n, 0.01f);
    size_t step = n.step.grown, scratch = n.scratch.grown, forever = n.forever.grown;
    size_t room = (size_t)n.tape.pool.room, peak = n.step.peak;
    for (int i = 0; i < 4; i++)
        net_train_step(&n, 0.01f);
    ck_assert_uint_eq(n.step.grown, step);
    ck_assert_uint_eq(n.scratch.grown, scratch);
    ck_assert_uint_eq(n.forever.grown, forever);
    ck_assert_uint_eq((size_t)n.tape.pool.room, room);
    ck_assert_uint_eq(n.step.peak, peak);
    net_free(&n);
}
END_TEST

/* Activations of the forward pass are the floor; gradients must fit into what backward
 * has already freed, but for the few that live at the seam. */
START_TEST(gradients_live_in_released_memory)
{
    net n;
    ssl_views v;

    net_start(&n, "resnet8", "simsiam", small, 16);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 1);
    nn_node *loss = net_loss(&n, &v);
    size_t forward = n.tape.pool.peak;
    nn_backward(loss);
    ck_assert_uint_lt(n.tape.pool.peak, forward + forward / 3);
    net_free(&n);
}
END_TEST

/* Gradients of the two inputs of a chain of normalisations; pinned: every node keeps its
 * own gradient, so that none is written over another. */
enum { ROWS = 8, COLS = 20, SIZE = ROWS * COLS };   /* whole cache lines */

static void two_gradients(int form, int pinned, float out[2][SIZE], size_t *peak)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);
    nn_running eps = { .eps = 1e-5f };
    float x[2][SIZE];

    for (int i = 0; i < 2 * SIZE; i++)
        x[i / SIZE][i % SIZE] = (float)nn_rng_normal(&r);
    nn_tape_start(&t, &step, &scratch);
    nn_node *a = nn_input(&t, nn_shape2(ROWS, COLS), x[0], 1);
    nn_node *b = nn_input(&t, nn_shape2(ROWS, COLS), x[1], 1);
    nn_node *h = nn_batchnorm(&t, a, NULL, NULL, form & 1 ? b : NULL, NN_RELU, eps);
    nn_node *y = nn_batchnorm(&t, h, NULL, NULL, form & 2 ? h : b, NN_RELU, eps);
    if (form & 4)
        y = nn_add(&t, y, h);
    nn_node *loss = nn_mse(&t, y, nn_stopgrad(&t, b));
    for (int i = 0; pinned && i < t.count; i++)
        nn_pin(t.list[i]);
    nn_backward(loss);
    if (pinned)
        ck_assert_ptr_ne(y->grad, NULL);
    memcpy(out[0], a->grad, sizeof *out);
    if (b->grad)
        memcpy(out[1], b->grad, sizeof *out);
    *peak = t.pool.peak;
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
}

START_TEST(a_gradient_written_over_another_is_the_same_one)
{
    float over[2][SIZE] = {{0}}, apart[2][SIZE] = {{0}};
    size_t less, more;

    two_gradients(_i, 0, over, &less);
    two_gradients(_i, 1, apart, &more);
    ck_assert_mem_eq(over, apart, sizeof over);
    ck_assert_uint_lt(less, more);
}
END_TEST

START_TEST(a_parameter_has_one_leaf_per_step)
{
    net n;

    net_start(&n, "mlp", "simsiam", small, 4);
    net_build(&n, 1);
    nn_param *p = n.store.list[0];
    ck_assert_ptr_eq(nn_leaf(&n.tape, p), nn_leaf(&n.tape, p));
    net_free(&n);
}
END_TEST

START_TEST(evaluation_asks_for_no_gradient)
{
    net n;
    ssl_views v;

    net_start(&n, "mlp", "simsiam", small, 4);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 1);
    n.tape.record = 0;
    nn_backward(net_loss(&n, &v));
    for (int i = 0; i < n.store.count; i++) {
        nn_param *p = n.store.list[i];
        for (size_t j = 0; p->grad && j < nn_shape_count(&p->shape); j++)
            ck_assert_float_eq(p->grad[j], 0);
    }
    net_free(&n);
}
END_TEST

START_TEST(only_training_moves_the_running_statistics)
{
    net n;
    ssl_views v;

    net_start(&n, "conv3", "simsiam", small, 4);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 1);
    nn_param *mean = nn_store_find(&n.store, "bn1.running_mean");
    n.tape.mode = NN_BATCH;
    net_loss(&n, &v);
    ck_assert_float_eq(mean->val[0], 0);
    n.tape.mode = NN_EVAL;
    net_loss(&n, &v);
    ck_assert_float_eq(mean->val[0], 0);
    n.tape.mode = NN_TRAIN;
    net_loss(&n, &v);
    ck_assert_float_ne(mean->val[0], 0);
    net_free(&n);
}
END_TEST

/* reshape and stopgrad show their input's memory: pinning them keeps it. */
START_TEST(a_pinned_view_keeps_what_it_shows)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    float x[4] = { 1, 2, 3, 4 };

    nn_tape_start(&t, &step, &scratch);
    nn_node *y = nn_input(&t, nn_shape2(2, 2), x, 1);
    for (int i = 0; i < 6; i++)         /* backward goes on asking for memory below */
        y = nn_scale(&t, 2, y);
    nn_node *view = _i ? nn_stopgrad(&t, y) : nn_reshape(&t, y, nn_shape2(4, 1));
    nn_pin(view);
    nn_backward(nn_mean(&t, nn_scale(&t, 5, y)));
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(view->val[i], 64 * x[i]);
    nn_tape_free(&t);
}
END_TEST

START_TEST(using_a_released_value_is_a_bug_that_says_so)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    float x[4] = { 1, 2, 3, 4 };

    nn_tape_start(&t, &step, &scratch);
    nn_node *y = nn_scale(&t, 2, nn_input(&t, nn_shape2(2, 2), x, 1));
    nn_backward(nn_mean(&t, y));
    nn_scale(&t, 2, y);
}
END_TEST

START_TEST(backward_of_a_matrix_is_a_bug_that_says_so)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    float x[4] = { 1, 2, 3, 4 };

    nn_tape_start(&t, &step, &scratch);
    nn_backward(nn_input(&t, nn_shape2(2, 2), x, 1));
}
END_TEST

START_TEST(two_tensors_of_one_name_are_a_bug)
{
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    nn_store_add(&s, "w", NN_PARAMETER, nn_shape1(3));
    nn_store_add(&s, "w", NN_PARAMETER, nn_shape1(3));
}
END_TEST

/* ---- watching for numbers that are none -------------------------------------------- */

/* A chain of six operators on a 2 x 3 matrix, and its mean; x0 is where a test may plant.
 *   leaf 0: x    1: weight    2: linear    3: scale    4: relu    5: scale    6: mean */
typedef struct chain {
    nn_arena forever, step, scratch, own;
    nn_store store;
    nn_tape tape;
    nn_watch watch;
    nn_param *weight;
    float x[6], first, second;
} chain;

static void chain_start(chain *c)
{
    memset(c, 0, sizeof *c);
    c->store.arena = &c->forever;
    c->weight = nn_store_add(&c->store, "weight", NN_PARAMETER, nn_shape2(4, 3));
    for (int i = 0; i < 12; i++)
        c->weight->val[i] = 1 + (float)i;
    for (int i = 0; i < 6; i++)
        c->x[i] = 1 + (float)i;
    c->first = c->second = 1;
    nn_tape_start(&c->tape, &c->step, &c->scratch);
    c->watch = (nn_watch){ .arena = &c->own, .rows = 1 };
    c->tape.watch = &c->watch;
}

static void chain_run(chain *c)
{
    nn_tape *t = &c->tape;
    nn_node *x = nn_input(t, nn_shape2(2, 3), c->x, 1);
    nn_node *y = nn_scale(t, c->first, nn_linear(t, x, nn_leaf(t, c->weight), NULL));
    nn_backward(nn_mean(t, nn_scale(t, c->second, nn_relu(t, y))));
}

static void chain_free(chain *c)
{
    nn_tape_free(&c->tape);
    nn_arena_free(&c->forever);
    nn_arena_free(&c->step);
    nn_arena_free(&c->scratch);
    nn_arena_free(&c->own);
}

/* The first finding in words. */
static void says(const chain *c, const char *wanted)
{
    char text[512];
    ck_assert_str_eq(nn_watch_text(&c->watch, text, sizeof text), wanted);
}

START_TEST(a_step_without_nan_is_called_finite)
{
    chain c;
    chain_start(&c);
    chain_run(&c);
    ck_assert_int_eq(c.watch.found, 0);
    says(&c, "every value and gradient of the step is finite");
    /* two leaves, five values; gradients: linear gives two, the others one */
    ck_assert_int_eq(c.watch.count, 2 + 5 + 6);
    chain_free(&c);
}
END_TEST

START_TEST(a_bad_input_is_named_before_any_operator)
{
    chain c;
    chain_start(&c);
    c.x[4] = NAN;
    chain_run(&c);
    says(&c, "leaf 0, input (2, 3), before the step: 1 of 6 values not finite"
             " (first: NaN at 4)");
    chain_free(&c);
}
END_TEST

START_TEST(a_bad_parameter_is_named)
{
    chain c;
    chain_start(&c);
    c.weight->val[7] = -INFINITY;
    c.weight->val[9] = NAN;
    chain_run(&c);
    says(&c, "leaf 1, parameter 'weight' (4, 3), before the step: 2 of 12 values not"
             " finite (first: -inf at 7)");
    ck_assert_uint_eq(c.watch.first.nans, 1);
    ck_assert_uint_eq(c.watch.first.infs, 1);
    chain_free(&c);
}
END_TEST

/* Finite numbers whose product is not: first operator, middle, last. */
START_TEST(an_operator_that_overflows_is_named)
{
    static const char *const words[] = {
        "operator 2, linear (2, 4), forward, from input (2, 3), parameter 'weight'"
        " (4, 3): 1 of 8 values not finite (first: inf at 7)",
        "operator 3, scale (2, 4), forward, from linear (2, 4): 8 of 8 values not finite"
        " (first: inf at 0)",
        "operator 5, scale (2, 4), forward, from relu (2, 4): 7 of 8 values not finite"
        " (first: inf at 1)",
        "operator 6, mean (1), forward, from scale (2, 4): 1 of 1 values not finite"
        " (first: inf at 0)",
    };
    chain c;
    chain_start(&c);
    if (_i == 0)
        c.weight->val[9] = 3e38f;               /* times 1 it fits, times 4 it does not */
    if (_i == 1)
        c.first = 3e37f;                        /* the least of linear is 14 */
    if (_i == 2)
        c.second = 2e37f;                       /* 14 fits, 32 does not */
    if (_i == 3) {                      /* a mean of floats is finite, so plant more */
        c.second = 1;
        c.tape.watch = NULL;
        nn_node *x = nn_input(&c.tape, nn_shape2(2, 3), c.x, 1);
        nn_node *y = nn_linear(&c.tape, x, nn_leaf(&c.tape, c.weight), NULL);
        y = nn_scale(&c.tape, 1, nn_relu(&c.tape, nn_scale(&c.tape, 1, y)));
        y->val[0] = INFINITY;                   /* unseen: the watch comes too late */
        c.tape.watch = &c.watch;
        nn_mean(&c.tape, y);
        char wanted[512];
        snprintf(wanted, sizeof wanted, "%s; what it read was not finite either",
                 words[3]);
        says(&c, wanted);
        ck_assert_int_eq(c.watch.first.produced, 0);
    } else {
        chain_run(&c);
        says(&c, words[_i]);
        ck_assert_int_eq(c.watch.first.produced, 1);
    }
    chain_free(&c);
}
END_TEST

/* Forward is finite throughout; on the way back 1e30 times 1e12, or 1e29 times 1e10, is
 * not. */
START_TEST(an_overflow_on_the_way_back_is_named)
{
    static const char *const words[] = {
        "operator 3, scale (2, 4), backward, gradient of linear (2, 4): 8 of 8 numbers"
        " not finite (first: inf at 0)",
        "operator 2, linear (2, 4), backward, gradient of parameter 'weight' (4, 3): 12"
        " of 12 numbers not finite (first: inf at 0)",
    };
    chain c;
    chain_start(&c);
    c.second = 1e30f;
    if (_i == 0) {
        for (int i = 0; i < 6; i++)
            c.x[i] = 1e-36f;
        c.first = 1e12f;
    } else {
        for (int i = 0; i < 6; i++)
            c.x[i] = 1e10f;
        for (int i = 0; i < 12; i++)
            c.weight->val[i] = 1e-30f;
    }
    chain_run(&c);
    says(&c, words[_i]);
    ck_assert_int_eq(c.watch.first.produced, 1);
    ck_assert_int_eq(c.watch.first.as, NN_SEEN_BACKWARD);
    chain_free(&c);
}
END_TEST

START_TEST(the_table_has_a_line_for_every_result)
{
    chain c;
    char *text = NULL;
    size_t bytes = 0;
    int lines = 0, marked = 0;

    chain_start(&c);
    c.first = 3e37f;
    chain_run(&c);
    FILE *f = open_memstream(&text, &bytes);
    ck_assert_ptr_nonnull(f);
    nn_watch_table(&c.watch, f);
    fclose(f);
    for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
        lines += *p != '#';
        marked += *p == '!';
    }
    ck_assert_int_eq(lines, c.watch.count);
    ck_assert_int_ge(marked, 4);                /* scale, relu, scale, mean */
    ck_assert_ptr_nonnull(strstr(text, "# operator 3, scale (2, 4), forward"));
    ck_assert_ptr_nonnull(strstr(text, " weight\n"));
    /* linear: its range 14 .. 167 and its mean, as counted by hand */
    ck_assert_ptr_nonnull(strstr(text, " 14           167 "));
    free(text);
    chain_free(&c);
}
END_TEST

/* A watch that keeps no rows needs no memory, and finds the same. */
START_TEST(a_watch_without_rows_finds_the_same)
{
    chain c;
    chain_start(&c);
    c.watch = (nn_watch){0};
    c.second = 2e37f;
    chain_run(&c);
    says(&c, "operator 5, scale (2, 4), forward, from relu (2, 4): 7 of 8 values not"
             " finite (first: inf at 1)");
    ck_assert_int_eq(c.watch.count, 0);
    ck_assert_uint_eq(c.own.peak, 0);
    chain_free(&c);
}
END_TEST

/* Watched or not, a step gives the same bits and takes the same memory. */
START_TEST(a_watched_step_is_the_same_step)
{
    net n[2];
    nn_arena own = {0};
    nn_watch w = { .arena = &own, .rows = 1 };

    for (int k = 0; k < 2; k++) {
        net_start(&n[k], "resnet8", "simsiam", small, 4);
        net_set_method(&n[k], "proj_dim", 16);
        net_build(&n[k], 1);
        n[k].tape.watch = k ? &w : NULL;
        for (int step = 0; step < 2; step++)
            net_train_step(&n[k], 0.01f);
    }
    ck_assert_int_eq(w.found, 0);
    ck_assert_int_gt(w.count, 2 * 50);
    ck_assert_uint_eq(n[0].step.peak, n[1].step.peak);
    ck_assert_uint_eq(n[0].scratch.peak, n[1].scratch.peak);
    for (int i = 0; i < n[0].store.count; i++) {
        const nn_param *a = n[0].store.list[i], *b = n[1].store.list[i];
        ck_assert_mem_eq(a->val, b->val, sizeof(float) * nn_shape_count(&a->shape));
    }
    net_free(&n[0]);
    net_free(&n[1]);
    nn_arena_free(&own);
}
END_TEST

/* A NaN weight in a network of real operators, at the first, a middle and the last layer:
 * the leaf is named, whatever it goes on to spoil. */
START_TEST(a_bad_weight_of_a_network_is_named)
{
    static const char *const names[] = { "conv1.weight", "layer2.0.conv1.weight",
                                         "predictor.3.weight" };
    net n;
    ssl_views v;
    nn_watch w = {0};
    char text[512], wanted[128];

    net_start(&n, "resnet8", "simsiam", small, 4);
    net_set_method(&n, "proj_dim", 16);
    net_build(&n, 1);
    nn_param *p = nn_store_find(&n.store, names[_i]);
    ck_assert_msg(p, "no parameter %s", names[_i]);
    p->val[2] = NAN;
    n.tape.watch = &w;
    nn_backward(net_loss(&n, &v));
    nn_watch_text(&w, text, sizeof text);
    snprintf(wanted, sizeof wanted, "parameter '%s'", names[_i]);
    ck_assert_msg(strstr(text, wanted) && strstr(text, "(first: NaN at 2)"), "%s", text);
    net_free(&n);
}
END_TEST

/* ---- the fast test of all gradients ---------------------------------------------- */

/* Sizes around the lanes and the pieces of the search; values that look like trouble and
 * are not: the largest, the smallest, subnormal, both zeros. */
START_TEST(one_bad_gradient_is_found_wherever_it_is)
{
    static const int size[] = { 1, 15, 16, 17, 1000, 65535, 65536, 65537, 200001 };
    static const float fine[] = { 0, -0.0f, 3.402823466e38f, -3.402823466e38f, 1e-45f,
                                  1.17549435e-38f, 1 };
    static const float bad[] = { INFINITY, -INFINITY, NAN, -NAN };
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);
    char name[16];

    nn_par_set_threads(1 + _i);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        snprintf(name, sizeof name, "p%zu", i);
        nn_param *p = nn_store_add(&s, name, i == 4 ? NN_BUFFER : NN_PARAMETER,
                                   nn_shape1(size[i]));
        for (int j = 0; p->grad && j < size[i]; j++)
            p->grad[j] = fine[nn_rng_below(&r, 7)];
    }
    s.list[4]->val[0] = NAN;                    /* a value is no gradient */
    ck_assert_ptr_null(nn_store_bad_grad(&s));
    for (int trial = 0; trial < 300; trial++) {
        nn_param *p = s.list[nn_rng_below(&r, 9)];
        if (!p->grad)
            continue;
        int n = (int)nn_shape_count(&p->shape);
        int at = trial % 3 == 0 ? n - 1 : (int)nn_rng_below(&r, (uint32_t)n);
        float was = p->grad[at];
        p->grad[at] = bad[trial % 4];
        ck_assert_ptr_eq(nn_store_bad_grad(&s), p);
        s.list[8]->grad[trial] = NAN;           /* a later one changes nothing */
        ck_assert_ptr_eq(nn_store_bad_grad(&s), p);
        s.list[8]->grad[trial] = 0;
        p->grad[at] = was;
    }
    ck_assert_ptr_null(nn_store_bad_grad(&s));
    nn_store_zero_grad(&s);
    for (int i = 0; i < 9; i++)
        for (int j = 0; s.list[i]->grad && j < size[i]; j++)
            ck_assert(s.list[i]->grad[j] == 0);
    ck_assert(isnan(s.list[4]->val[0]));        /* and nothing else */
    nn_arena_free(&forever);
}
END_TEST

/* Two threads, awake after many pieces that are fine, find one each; the later parameter's
 * comes after the earlier's, because that piece is longer. */
START_TEST(the_first_of_two_bad_gradients_is_named)
{
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    nn_param *first = nn_store_add(&s, "first", NN_PARAMETER, nn_shape1(2650000));
    nn_param *second = nn_store_add(&s, "second", NN_PARAMETER, nn_shape1(65536));

    nn_par_set_threads(2);
    first->grad[2649999] = NAN;
    second->grad[0] = INFINITY;
    for (int trial = 0; trial < 300; trial++)
        ck_assert_ptr_eq(nn_store_bad_grad(&s), first);
    nn_arena_free(&forever);
}
END_TEST

START_TEST(bad_numbers_are_counted)
{
    float x[40] = {0};
    nn_bad none = nn_bad_among(x, 40);
    ck_assert(none.nans == 0 && none.infs == 0 && none.first == 40);
    x[7] = -INFINITY;
    x[20] = NAN;
    x[39] = NAN;
    nn_bad some = nn_bad_among(x, 40);
    ck_assert(some.nans == 2 && some.infs == 1 && some.first == 7);
}
END_TEST

/* ---- how much work a step is ------------------------------------------------------- */

/* Counted by hand: linear 2 x 3 to 2 x 4 is 24 multiply-adds; its weight and its input
 * want gradients, 24 each.  conv2d: 2 images of 4 x 4 x 3, 5 kernels of 3 x 3, stride 1,
 * padding 1: 2*16*5 numbers of 27 terms; the images want none. */
START_TEST(products_are_counted)
{
    chain c;
    float image[96] = {0};
    chain_start(&c);
    c.tape.watch = NULL;
    nn_node *x = nn_input(&c.tape, nn_shape2(2, 3), c.x, 1);
    nn_mean(&c.tape, nn_linear(&c.tape, x, nn_leaf(&c.tape, c.weight), NULL));
    nn_flops f = nn_tape_flops(&c.tape);
    ck_assert_double_eq(f.forward, 48);
    ck_assert_double_eq(f.backward, 96);
    nn_tape_reset(&c.tape);
    nn_param *kernel =
        nn_store_add(&c.store, "kernel", NN_PARAMETER, nn_shape4(5, 3, 3, 3));
    memset(kernel->val, 0, sizeof(float) * 135);
    x = nn_input(&c.tape, nn_shape4(2, 4, 4, 3), image, 0);
    nn_conv2d(&c.tape, x, nn_leaf(&c.tape, kernel), NULL, 1, 1);
    f = nn_tape_flops(&c.tape);
    ck_assert_double_eq(f.forward, 2.0 * 160 * 27);
    ck_assert_double_eq(f.backward, 2.0 * 160 * 27);
    c.tape.record = 0;
    nn_tape_reset(&c.tape);
    x = nn_input(&c.tape, nn_shape4(2, 4, 4, 3), image, 0);
    nn_conv2d(&c.tape, x, nn_leaf(&c.tape, kernel), NULL, 1, 1);
    ck_assert_double_eq(nn_tape_flops(&c.tape).backward, 0);
    chain_free(&c);
}
END_TEST

Suite *suite_tape(void)
{
    Suite *s = suite_create("tape");
    TCase *tc = tcase_create("tape");
    tcase_add_test(tc, backward_gives_everything_back);
    tcase_add_test(tc, a_step_asks_for_no_memory_after_the_first);
    tcase_add_test(tc, gradients_live_in_released_memory);
    tcase_add_loop_test(tc, a_gradient_written_over_another_is_the_same_one, 0, 8);
    tcase_add_test(tc, a_parameter_has_one_leaf_per_step);
    tcase_add_test(tc, evaluation_asks_for_no_gradient);
    tcase_add_test(tc, only_training_moves_the_running_statistics);
    tcase_add_loop_test(tc, a_pinned_view_keeps_what_it_shows, 0, 2);
    tcase_add_test_raise_signal(tc, using_a_released_value_is_a_bug_that_says_so,
                                SIGABRT);
    tcase_add_test_raise_signal(tc, backward_of_a_matrix_is_a_bug_that_says_so, SIGABRT);
    tcase_add_test_raise_signal(tc, two_tensors_of_one_name_are_a_bug, SIGABRT);
    suite_add_tcase(s, tc);

    tc = tcase_create("watch");
    tcase_add_test(tc, a_step_without_nan_is_called_finite);
    tcase_add_test(tc, a_bad_input_is_named_before_any_operator);
    tcase_add_test(tc, a_bad_parameter_is_named);
    tcase_add_loop_test(tc, an_operator_that_overflows_is_named, 0, 4);
    tcase_add_loop_test(tc, an_overflow_on_the_way_back_is_named, 0, 2);
    tcase_add_test(tc, the_table_has_a_line_for_every_result);
    tcase_add_test(tc, a_watch_without_rows_finds_the_same);
    tcase_add_test(tc, a_watched_step_is_the_same_step);
    tcase_add_loop_test(tc, a_bad_weight_of_a_network_is_named, 0, 3);
    tcase_add_loop_test(tc, one_bad_gradient_is_found_wherever_it_is, 0, 3);
    tcase_add_test(tc, the_first_of_two_bad_gradients_is_named);
    tcase_add_test(tc, bad_numbers_are_counted);
    tcase_add_test(tc, products_are_counted);
    suite_add_tcase(s, tc);
    return s;
}
