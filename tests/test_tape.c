#include <check.h>
#include <signal.h>
#include <string.h>

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
    for (int i = 0; i < 6; i++)                 /* backward goes on asking for memory below */
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

Suite *suite_tape(void)
{
    Suite *s = suite_create("tape");
    TCase *tc = tcase_create("tape");
    tcase_add_test(tc, backward_gives_everything_back);
    tcase_add_test(tc, a_step_asks_for_no_memory_after_the_first);
    tcase_add_test(tc, gradients_live_in_released_memory);
    tcase_add_test(tc, a_parameter_has_one_leaf_per_step);
    tcase_add_test(tc, evaluation_asks_for_no_gradient);
    tcase_add_test(tc, only_training_moves_the_running_statistics);
    tcase_add_loop_test(tc, a_pinned_view_keeps_what_it_shows, 0, 2);
    tcase_add_test_raise_signal(tc, using_a_released_value_is_a_bug_that_says_so,
                                SIGABRT);
    tcase_add_test_raise_signal(tc, backward_of_a_matrix_is_a_bug_that_says_so, SIGABRT);
    tcase_add_test_raise_signal(tc, two_tensors_of_one_name_are_a_bug, SIGABRT);
    suite_add_tcase(s, tc);
    return s;
}
