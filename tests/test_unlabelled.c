/* Images without a label: training sees them, kNN and probes do not, and where there is no
 * label at all the program says so and goes on. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/program.h"
#include "tests/suites.h"

enum { TRAIN = 60, TEST = 20, LABELLED = 35, PIXELS = 4 };

static const char tiny[] =
    "method: {name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4}\n"
    "model: {name: mlp, hidden: 12, out: 6}\n"
    "optim: {name: sgd, base_lr: 0.5}\n"
    "data: {name: arrays, dir: .}\n"
    "metrics: {samples: 20, bank: 60, knn_k: 5, linear: every}\n"
    "batch: 16\n"
    "epochs: 1\n";

/* Bytes with a header of NumPy's before them. */
static void put(const char *file, const char *type, const char *shape, const void *from,
                int size)
{
    unsigned char bytes[1024] = "\x93NUMPY\1";
    int n = snprintf((char *)bytes + 10, 128, "{'descr': '%s', 'fortran_order': False, "
                     "'shape': %s, }\n", type, shape);

    bytes[8] = (unsigned char)n;
    memcpy(bytes + 10 + n, from, (size_t)size);
    program_put(file, bytes, 10 + (size_t)(n + size));
}

static void put_images(const char *file, const char *shape, int n, int factor)
{
    unsigned char bytes[TRAIN * PIXELS];

    for (int i = 0; i < n * PIXELS; i++)
        bytes[i] = (unsigned char)(i * i * factor);
    put(file, "|u1", shape, bytes, n * PIXELS);
}

static void put_labels(const char *file, const char *shape, int n, const int8_t *label)
{
    put(file, "|i1", shape, label, n);
}

static void begin(void)
{
    program_enter();
    program_write("a.yaml", tiny);
    put_images("x_train.npy", "(60, 2, 2)", TRAIN, 7);
    put_images("x_test.npy", "(20, 2, 2)", TEST, 11);
}

/* The object of a run with some more settings. */
static json_t *trained(const char *out, const char *a, const char *b)
{
    program_result r = program("train", "a.yaml", "--json", out, a, a ? b : NULL, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_parse(r.out);
}

static double at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number '%s'", key);
    return json_number_value(v);
}

static int is_null(const json_t *o, const char *key)
{
    return json_is_null(json_object_get(o, key));
}

static int8_t class_of(int i)
{
    return (int8_t)(i * i % 3);
}

/* As if only the labelled images were there to learn from: a run that sees as many, and
 * has other labels behind them, finds the same. */
START_TEST(banks_and_probes_take_labelled_images_alone)
{
    static const char *const shown[] = { "raw_pixel_knn", "raw_pixel_linear",
                                         "untrained_knn", "untrained_linear" };
    int8_t label[TRAIN], other[TRAIN], judged[TEST];

    for (int i = 0; i < TRAIN; i++) {
        label[i] = i < LABELLED ? class_of(i) : -1;
        other[i] = i < LABELLED ? class_of(i) : 0;
    }
    for (int i = 0; i < TEST; i++)
        judged[i] = class_of(i);
    put_labels("y_test.npy", "(20,)", TEST, judged);
    put_labels("y_train.npy", "(60,)", TRAIN, label);
    json_t *got = trained("out=some", NULL, NULL);
    put_labels("y_train.npy", "(60,)", TRAIN, other);
    json_t *want = trained("out=few", "metrics.bank=35", "metrics.linear_bank=35");
    ck_assert_double_eq(at(got, "bank"), LABELLED);
    ck_assert_double_eq(at(got, "linear_bank"), LABELLED);
    ck_assert_double_eq(at(got, "eval/knn"), at(want, "eval/knn"));
    ck_assert_double_eq(at(got, "eval/linear"), at(want, "eval/linear"));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(at(json_object_get(got, "baseline"), shown[i]),
                            at(json_object_get(want, "baseline"), shown[i]));
    program_result r = program("train", "a.yaml", "out=more", NULL);
    ck_assert_ptr_null(strstr(r.out, "with a label"));
    put_labels("y_train.npy", "(60,)", TRAIN, label);
    r = program("train", "a.yaml", "out=told", NULL);
    ck_assert_ptr_nonnull(strstr(r.out, "\nkNN and probes learn from the 35 training images "
                                 "with a label\n"));
}
END_TEST

/* Four are asked: shares are quarters. */
START_TEST(held_out_images_without_a_label_are_not_asked)
{
    int8_t label[TRAIN], judged[TEST];

    for (int i = 0; i < TRAIN; i++)
        label[i] = class_of(i);
    for (int i = 0; i < TEST; i++)
        judged[i] = i < 4 ? class_of(i) : -1;
    put_labels("y_train.npy", "(60,)", TRAIN, label);
    put_labels("y_test.npy", "(20,)", TEST, judged);
    json_t *o = trained("out=a", NULL, NULL);
    double knn = 4 * at(o, "eval/knn"), linear = 4 * at(o, "eval/linear");
    ck_assert_double_eq(at(o, "n"), TEST);
    ck_assert_double_eq(knn, round(knn));
    ck_assert_double_eq(linear, round(linear));
}
END_TEST

/* All labels to learn from are 9s.  Were the others, which are more, taken for class 0,
 * the 5s, then that would be what the probe says. */
START_TEST(the_online_probe_learns_from_labelled_images_alone)
{
    int8_t label[TRAIN], judged[TEST];

    for (int i = 0; i < TRAIN; i++)
        label[i] = i % 4 ? -1 : 9;
    for (int i = 0; i < TEST; i++)
        judged[i] = i < 15 ? 5 : 9;
    put_labels("y_train.npy", "(60,)", TRAIN, label);
    put_labels("y_test.npy", "(20,)", TEST, judged);
    ck_assert_double_eq(at(trained("out=a", "metrics.online=true", "epochs=3"),
                           "eval/online"), 0.25);
}
END_TEST

START_TEST(labels_on_one_side_are_not_enough)
{
    int8_t label[TRAIN];

    for (int i = 0; i < TRAIN; i++)
        label[i] = class_of(i);
    if (_i)
        put_labels("y_train.npy", "(60,)", TRAIN, label);
    else
        put_labels("y_test.npy", "(20,)", TEST, label);
    json_t *o = trained("out=a", "metrics.online=true", NULL);
    ck_assert(is_null(o, "eval/knn"));
    ck_assert_ptr_null(json_object_get(o, "eval/online"));
    ck_assert(is_null(json_object_get(o, "baseline"), "raw_pixel_knn"));
    ck_assert(is_null(json_object_get(o, "baseline"), "raw_pixel_linear"));
    ck_assert_double_eq(at(o, "linear_bank"), 0);
}
END_TEST

START_TEST(a_run_without_labels_says_so_and_writes_null)
{
    program_result r = program("train", "a.yaml", "metrics.online=true", NULL);

    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "\nno kNN and no probes: of 60 training and 20 "
                                 "held-out images 0 and 0 have a label\n"));
    ck_assert_ptr_null(strstr(r.out, "nan"));
    const char *folder = program_run_folder("runs");
    json_t *o = trained("out=two", NULL, NULL);
    ck_assert(is_null(o, "eval/knn"));
    ck_assert(is_null(json_object_get(o, "baseline"), "chance"));
    r = program("eval", folder, "--knn=5", "--linear", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "kNN of h, k = 5        -   chance -\n"));
    ck_assert_ptr_nonnull(strstr(r.err, "without labels there is none"));
    r = program("eval", folder, "--jepa-score", "--images=3", NULL);
    ck_assert_ptr_nonnull(strstr(r.out, ", no label\n"));
    r = program("report", folder, "-o", "a.html", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(program_read("a.html"), "(no label)"));
    r = program("plan", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

Suite *suite_unlabelled(void)
{
    Suite *s = suite_create("unlabelled");
    TCase *c = tcase_create("unlabelled");

    program_find();
    tcase_add_checked_fixture(c, begin, program_leave);
    tcase_add_test(c, banks_and_probes_take_labelled_images_alone);
    tcase_add_test(c, held_out_images_without_a_label_are_not_asked);
    tcase_add_test(c, the_online_probe_learns_from_labelled_images_alone);
    tcase_add_loop_test(c, labels_on_one_side_are_not_enough, 0, 2);
    tcase_add_test(c, a_run_without_labels_says_so_and_writes_null);
    suite_add_tcase(s, c);
    return s;
}
