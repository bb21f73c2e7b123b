/* Images without a label: training sees them, kNN and probes do not, and where there is no
 * label at all the program says so and goes on. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/evaluate.h"
#include "tests/program.h"
#include "tests/suites.h"

#define TINY \
    "method: {name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4}\n" \
    "model: {name: mlp, hidden: 12, out: 6}\n" \
    "optim: {name: sgd, base_lr: 0.5}\n" \
    "metrics: {samples: 10, bank: 50, knn_k: 5, linear: every, online: true}\n" \
    "batch: 16\n" \
    "epochs: 1\n"

enum { LABELLED = 35 };

static nn_arena arena;
static ex_config config;
static nn_err err;

static void build(ex_run *run, const char *bank)
{
    const char *pair[] = { "data.name=shapes", "data.size=60", bank };

    program_write("a.yaml", TINY);
    ck_assert_msg(ex_config_load(&config, "a.yaml", 3, pair, &arena, &err) == NN_OK, "%s",
                  err.text);
    ck_assert_msg(ex_run_build(run, &config, &err) == NN_OK, "%s", err.text);
}

/* The last images lose their labels, and the class they then seem to have is wrong. */
static void forget_labels(data_images *d, int labelled)
{
    uint16_t *label = NN_NEW0(&arena, uint16_t, d->n);

    memcpy(label, d->label, sizeof *label * (size_t)labelled);
    d->label = label;
    d->unlabelled = d->n - labelled;
}

typedef struct shares { double knn, linear, raw_knn, raw_linear; } shares;

static shares measure(ex_run *run)
{
    ex_evaluator e = ex_evaluator_new(run);
    ex_figures f = { 0 };

    ck_assert_int_eq(ex_evaluate(&e, 0, &f), 1);
    return (shares){ f.knn, ex_linear(&e), ex_raw_pixel_knn(&e), ex_raw_pixel_linear(&e) };
}

/* As if only the labelled images were there to learn from. */
START_TEST(banks_and_probes_take_labelled_images_alone)
{
    ex_run few, some;

    build(&few, "metrics.bank=35");
    config.metrics.linear_bank = LABELLED;
    shares want = measure(&few);
    ex_run_free(&few);
    build(&some, "metrics.bank=50");
    forget_labels(&some.train, LABELLED);
    ex_evaluator e = ex_evaluator_new(&some);
    ck_assert_int_eq(e.bank, LABELLED);
    ck_assert_int_eq(e.linear_bank, LABELLED);
    shares got = measure(&some);
    ck_assert_double_eq(got.knn, want.knn);
    ck_assert_double_eq(got.linear, want.linear);
    ck_assert_double_eq(got.raw_knn, want.raw_knn);
    ck_assert_double_eq(got.raw_linear, want.raw_linear);
    ex_run_free(&some);
}
END_TEST

START_TEST(held_out_images_without_a_label_are_not_asked)
{
    ex_run run;

    build(&run, "metrics.bank=50");
    forget_labels(&run.test, 4);
    ex_evaluator e = ex_evaluator_new(&run);
    ck_assert_int_eq(e.n, 10);
    ck_assert_int_eq(e.queries, 4);
    shares s = measure(&run);
    ck_assert_double_eq(s.knn * 4, round(s.knn * 4));           /* quarters */
    ck_assert_double_eq(s.linear * 4, round(s.linear * 4));
    ex_run_free(&run);
}
END_TEST

START_TEST(without_labels_nothing_is_measured_that_needs_them)
{
    ex_run run;

    build(&run, "metrics.bank=50");
    forget_labels(_i ? &run.test : &run.train, 0);
    ex_evaluator e = ex_evaluator_new(&run);
    ck_assert_int_eq(e.linear_bank, 0);
    shares s = measure(&run);
    ck_assert_double_nan(s.knn);
    ck_assert_double_nan(s.linear);
    ck_assert_double_nan(s.raw_knn);
    ck_assert_double_nan(s.raw_linear);
    ex_run_free(&run);
}
END_TEST

/* A batch of six, of which 1, 3 and 4 have a label, is for the probe a batch of three. */
START_TEST(the_online_probe_learns_from_labelled_images_alone)
{
    static const uint32_t index[] = { 40, 2, 59, 34, 7, 35 };
    static const int has[] = { 1, 3, 4 };
    ex_run run;
    float h[6 * 6], rows[3 * 6];
    uint16_t label[3];
    nn_arena scratch = { 0 };

    build(&run, "metrics.bank=50");
    ck_assert_int_eq(run.r, 6);
    forget_labels(&run.train, LABELLED);
    for (int i = 0; i < 36; i++)
        h[i] = (float)(i * i % 17);
    for (int k = 0; k < 3; k++) {
        memcpy(rows + 6 * k, h + 6 * has[k], sizeof *h * 6);
        label[k] = run.train.label[index[has[k]]];
    }
    met_online other = met_online_of(6, run.train.classes, &scratch);
    other.lr = run.probe.lr;
    met_online_step(&other, rows, label, 3, &scratch);
    nn_node node = { .val = h };
    data_batch batch = { .n = 6, .index = index };
    ex_run_probe(&run, &node, &batch, 6, &scratch);
    ck_assert_mem_eq(run.probe.weight, other.weight,
                     sizeof(float) * 6 * (size_t)run.train.classes);
    ck_assert_mem_eq(run.probe.var, other.var, sizeof(float) * 6);
    nn_arena_free(&scratch);
    ex_run_free(&run);
}
END_TEST

/* ---- the program ---- */

/* 60 and 20 pictures of 2 x 2, no labels. */
static void write_arrays(void)
{
    static const struct { const char *file, *shape; int n; } part[] = {
        { "x_train.npy", "(60, 2, 2)", 60 }, { "x_test.npy", "(20, 2, 2)", 20 }
    };
    unsigned char bytes[512];

    for (int k = 0; k < 2; k++) {
        int n = snprintf((char *)bytes + 10, 128, "{'descr': '|u1', 'fortran_order': "
                         "False, 'shape': %s, }\n", part[k].shape);
        memcpy(bytes, "\x93NUMPY\1", 8);
        bytes[8] = (unsigned char)n;
        bytes[9] = 0;
        for (int i = 0; i < 4 * part[k].n; i++)
            bytes[10 + n + i] = (unsigned char)(i * i * (7 + k));
        program_put(part[k].file, bytes, 10 + (size_t)n + 4 * (size_t)part[k].n);
    }
}

START_TEST(a_run_without_labels_says_so_and_writes_null)
{
    program_write("a.yaml", TINY "data: {name: arrays, dir: .}\n");
    write_arrays();
    program_result r = program("train", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "\nno kNN and no probes: of 60 training and 20 "
                                 "held-out images 0 and 0 have a label\n"));
    ck_assert_ptr_null(strstr(r.out, "nan"));
    r = program("train", "a.yaml", "--json", "out=two", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *o = program_parse(r.out);
    ck_assert(json_is_null(json_object_get(o, "eval/knn")));
    ck_assert(json_is_null(json_object_get(json_object_get(o, "baseline"), "chance")));
    ck_assert_ptr_null(json_object_get(o, "eval/online"));
    const char *folder = program_run_folder("runs");
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

static void leave(void)
{
    nn_arena_free(&arena);
    program_leave();
}

Suite *suite_unlabelled(void)
{
    Suite *s = suite_create("unlabelled");
    TCase *c = tcase_create("unlabelled");

    program_find();
    tcase_add_checked_fixture(c, program_enter, leave);
    tcase_add_test(c, banks_and_probes_take_labelled_images_alone);
    tcase_add_test(c, held_out_images_without_a_label_are_not_asked);
    tcase_add_loop_test(c, without_labels_nothing_is_measured_that_needs_them, 0, 2);
    tcase_add_test(c, the_online_probe_learns_from_labelled_images_alone);
    tcase_add_test(c, a_run_without_labels_says_so_and_writes_null);
    suite_add_tcase(s, c);
    return s;
}
