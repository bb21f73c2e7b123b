#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "tests/net.h"
#include "tests/suites.h"

static size_t backbone_numbers(const char *model, nn_image_shape image,
                               const char *setting, double value)
{
    net n;
    net_start(&n, model, "simsiam", image, 2);
    if (setting)
        net_set_model(&n, setting, value);
    nn_store s = { .arena = &n.forever };
    int r;
    n.model->build(&s, n.model_config, image, &r);
    size_t count = nn_store_count(&s);
    nn_arena_free(&n.forever);
    return count;
}

/* torchvision's resnet18 has 11,689,512 parameters, of which 513,000 in its classifier;
 * the stem for small images has 3 x 3 instead of 7 x 7 weights: 64 * 3 * 40 fewer. */
START_TEST(parameter_counts_are_those_of_the_literature)
{
    nn_image_shape rgb = { 32, 32, 3 }, grey = { 28, 28, 1 };
    ck_assert_uint_eq(backbone_numbers("resnet18", rgb, "stem", 1), 11689512 - 513000);
    ck_assert_uint_eq(backbone_numbers("resnet18", rgb, NULL, 0),
                      11689512 - 513000 - 7680);
    /* 9 * (1*16 + 16*32 + 32*64) weights and two numbers a channel */
    ck_assert_uint_eq(backbone_numbers("conv3", grey, NULL, 0), 9 * 2576 + 2 * 112);
    /* 784*512 + 512*256 weights and two numbers a unit */
    ck_assert_uint_eq(backbone_numbers("mlp", grey, NULL, 0),
                      784 * 512 + 512 * 256 + 2 * 768);
}
END_TEST

START_TEST(names_are_those_of_torchvision)
{
    static const char *const names[] = { "conv1.weight",
                                         "bn1.weight",
                                         "bn1.bias",
                                         "bn1.running_mean",
                                         "bn1.running_var",
                                         "layer1.0.conv1.weight",
                                         "layer1.1.bn2.running_var",
                                         "layer2.0.downsample.0.weight",
                                         "layer2.0.downsample.1.running_mean",
                                         "layer4.1.conv2.weight",
                                         "projector.0.weight",
                                         "projector.1.weight",
                                         "projector.3.weight",
                                         "projector.4.running_mean",
                                         "predictor.0.weight",
                                         "predictor.3.weight",
                                         "predictor.3.bias" };
    net n;
    net_start(&n, "resnet18", "simsiam", (nn_image_shape){ 32, 32, 3 }, 2);
    net_set_model(&n, "width", 0.05);
    net_build(&n, 0);
    for (size_t i = 0; i < NN_COUNT(names); i++)
        ck_assert_msg(nn_store_find(&n.store, names[i]), "no tensor %s", names[i]);
    ck_assert_ptr_null(nn_store_find(&n.store, "layer1.0.downsample.0.weight"));
    ck_assert_ptr_null(nn_store_find(&n.store, "projector.4.weight"));
    ck_assert_ptr_null(nn_store_find(&n.store, "projector.0.bias"));
    net_free(&n);
}
END_TEST

START_TEST(every_model_takes_every_image_size_that_fits)
{
    static const nn_image_shape images[] = {
        { 28, 28, 1 }, { 32, 32, 3 }, { 4, 8, 1 }, { 33, 20, 3 }, { 7, 5, 1 }, { 1, 1, 3 }
    };
    const nn_model *m = nn_model_at(_i);
    for (size_t i = 0; i < NN_COUNT(images); i++) {
        net n;
        ssl_views v;
        net_start(&n, m->name, "simsiam", images[i], 3);
        if (m->fits && m->fits(n.model_config, images[i]))
            continue;
        if (m->settings[0].name)
            net_set_model(&n, "width", 0.1);
        net_set_method(&n, "proj_dim", 8);
        net_build(&n, 3);
        nn_node *loss = net_loss(&n, &v);
        ck_assert_int_eq(nn_rows(v.h[0]), 3);
        ck_assert_int_eq(nn_cols(v.h[0]), n.r);
        ck_assert_int_eq(nn_cols(v.z[0]), 8);
        ck_assert(isfinite(nn_item(loss)));
        net_free(&n);
    }
}
END_TEST

START_TEST(initial_weights_depend_on_seed_and_name_alone)
{
    net a, b;
    nn_image_shape image = { 12, 12, 1 };
    net_start(&a, "resnet8", "simsiam", image, 2);
    net_start(&b, "resnet8", "simsiam", image, 2);
    net_set_method(&b, "proj_layers", 3);
    net_build(&a, 5);
    net_build(&b, 5);
    nn_param *p = nn_store_find(&a.store, "layer3.0.conv2.weight");
    nn_param *q = nn_store_find(&b.store, "layer3.0.conv2.weight");
    size_t bytes = sizeof(float) * nn_shape_count(&p->shape);
    ck_assert_mem_eq(p->val, q->val, bytes);
    net_free(&b);
    net_start(&b, "resnet8", "simsiam", image, 2);
    net_build(&b, 6);
    q = nn_store_find(&b.store, "layer3.0.conv2.weight");
    ck_assert(memcmp(p->val, q->val, bytes) != 0);
    net_free(&a);
    net_free(&b);
}
END_TEST

static void moments(const nn_param *p, double *mean, double *std, double *most)
{
    size_t n = nn_shape_count(&p->shape);
    double s = 0, q = 0;
    *most = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)p->val[i];
        q += (double)p->val[i] * (double)p->val[i];
        *most = fmax(*most, fabs((double)p->val[i]));
    }
    *mean = s / (double)n;
    *std = sqrt(q / (double)n - *mean * *mean);
}

/* Tolerance: the standard error of a standard deviation over 36,864 numbers is 0.4 % for a
 * normal and less for a uniform law; 2 % is five of them. */
START_TEST(initial_weights_have_the_stated_spread)
{
    net n;
    double mean, std, most;
    net_start(&n, "resnet8", "simsiam", (nn_image_shape){ 12, 12, 1 }, 2);
    net_set_method(&n, "proj_dim", 512);
    net_build(&n, 5);
    moments(nn_store_find(&n.store, "layer3.0.conv2.weight"), &mean, &std, &most);
    ck_assert_double_eq_tol(std, sqrt(2.0 / (64 * 9)), 0.02 * sqrt(2.0 / (64 * 9)));
    ck_assert_double_eq_tol(mean, 0, 0.002);
    moments(nn_store_find(&n.store, "projector.0.weight"), &mean, &std, &most);
    ck_assert_double_le(most, 1 / sqrt(64));
    ck_assert_double_gt(most, 0.99 / sqrt(64));
    ck_assert_double_eq_tol(std, 1 / sqrt(64) / sqrt(3), 0.02 / sqrt(192));
    ck_assert_float_eq(nn_store_find(&n.store, "layer1.0.bn2.weight")->val[3], 0);
    ck_assert_float_eq(nn_store_find(&n.store, "layer1.0.bn1.weight")->val[3], 1);
    net_free(&n);
}
END_TEST

Suite *suite_models(void)
{
    Suite *s = suite_create("models");
    TCase *tc = tcase_create("models");
    tcase_add_test(tc, parameter_counts_are_those_of_the_literature);
    tcase_add_test(tc, names_are_those_of_torchvision);
    tcase_add_loop_test(tc, every_model_takes_every_image_size_that_fits, 0, nn_model_count());
    tcase_add_test(tc, initial_weights_depend_on_seed_and_name_alone);
    tcase_add_test(tc, initial_weights_have_the_stated_spread);
    suite_add_tcase(s, tc);
    return s;
}
