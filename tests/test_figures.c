/* What a run tells of every epoch beside the collapse metrics: the loss in parts, probes,
 * the agreement of views.  And that a run which was stopped and gone on with tells the
 * same. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/evaluate.h"
#include "tests/program.h"
#include "tests/saved.h"
#include "tests/strike.h"
#include "tests/suites.h"

#define REST \
    "model: {name: conv3, width: 0.25}\n" \
    "data: {name: shapes, size: 24}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "epochs: 3\n" \
    "batch: 8\n" \
    "checkpoint: {seconds: 0}\n"
#define MEASURED "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3%s}\n"

/* The loss of VICReg is 3 invariance + 5 variance + 7 covariance. */
#define VICREG "method: {name: vicreg, proj_dim: 16, lambda: 3, mu: 5, nu: 7}\n"
#define SIMSIAM "method: {name: simsiam, proj_dim: 16}\n"

enum { EPOCHS = 3, STEPS = 3, MOST_PATH = 4200 };

static void configure(const char *method, const char *metrics)
{
    char text[1024];
    snprintf(text, sizeof text, "%s" REST MEASURED, method, metrics);
    program_write("a.yaml", text);
}

static const json_t *lines_of(const char *folder)
{
    return program_lines(folder, "metrics.jsonl");
}

static const char *trained(void)
{
    program_result r = program("train", "a.yaml", "--out=plain", "--quiet", "--threads=2",
                               NULL);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    return program_run_folder("plain");
}

static double at(const json_t *line, const char *key)
{
    const json_t *x = json_object_get(line, key);
    ck_assert_msg(json_is_number(x), "'%s' is no number", key);
    return json_number_value(x);
}

static int is_null(const json_t *line, const char *key)
{
    return json_is_null(json_object_get(line, key));
}

/* Kills the run at every save, or under the sanitizers at some, goes on, and compares all
 * that is left with the undisturbed run.  Save 1 follows the untrained network, save 1 + n
 * step n. */
static void stop_everywhere(void)
{
    static const char *const args[] = { "train", "a.yaml", "--out=work", "--quiet",
                                        "--threads=1", NULL };
    static call calls[STRIKE_CALLS];
    char plain[MOST_PATH];
    int stops = 0;

    snprintf(plain, sizeof plain, "%s", trained());
    strike(args, 0, NULL, 0);
    int n = strike_calls(calls);
    for (int i = 0; i < n; i++) {
        if (strcmp(calls[i].kind, "rename") != 0
            || strcmp(strike_base(calls[i].path), "last.safetensors") != 0
            || stops++ % PROGRAM_SHARE)
            continue;
        program_remove("work");
        ck_assert_int_eq(strike(args, calls[i].number, "killed", 0).exit, 128 + SIGKILL);
        program_result r = program("train", "a.yaml", "--out=work", "--quiet",
                                   "--resume", NULL);
        ck_assert_msg(r.exit == 0, "save %d: exit %d: %s", stops, r.exit, r.err);
        saved_same(program_run_folder("work"), plain);
    }
    ck_assert_int_ge(stops, EPOCHS * STEPS + 1);
}

/* ---- the loss in parts ------------------------------------------------------------- */

/* The mean of a weighted sum is that of the means.  Loss and terms are single precision,
 * the terms here below 10: 1e-5 of the loss. */
START_TEST(terms_add_up_to_the_loss)
{
    configure(VICREG, "");
    const json_t *lines = lines_of(trained());
    ck_assert_ptr_null(json_object_get(json_array_get(lines, 0), "term/variance"));
    for (size_t i = 1; i <= EPOCHS; i++) {
        const json_t *o = json_array_get(lines, i);
        double sum = 3 * at(o, "term/invariance") + 5 * at(o, "term/variance")
                     + 7 * at(o, "term/covariance");
        ck_assert_double_gt(at(o, "term/invariance"), 0);
        ck_assert_double_eq_tol(at(o, "loss") / sum, 1, 1e-5);
    }
}
END_TEST

/* One term alone is the loss, so its name is not in the log. */
START_TEST(a_loss_without_parts_has_no_terms)
{
    const char *key;
    json_t *x;

    configure(SIMSIAM, "");
    json_t *last = json_array_get(lines_of(trained()), EPOCHS);
    json_object_foreach(last, key, x)
        ck_assert_msg(strncmp(key, "term/", 5) != 0, "%s", key);
}
END_TEST

START_TEST(terms_outlive_a_stop)
{
    if (!strike_able())
        return;
    configure(VICREG, "");
    stop_everywhere();
}
END_TEST

START_TEST(terms_of_a_diverged_run_are_null)
{
    configure(VICREG, "");
    program_result r = program("train", "a.yaml", "optim.base_lr=1e6", "--quiet", NULL);
    ck_assert_int_eq(r.exit, 4);
    const json_t *lines = lines_of(program_run_folder("runs")),
                 *o = json_array_get(lines, json_array_size(lines) - 1);
    ck_assert_str_eq(json_string_value(json_object_get(o, "verdict")), "diverged");
    ck_assert(json_is_null(json_object_get(o, "term/variance")));
}
END_TEST

/* Its checksum is right: somebody's tool wrote it. */
START_TEST(a_term_that_is_no_number_is_refused)
{
    static const char *const wrong[] = { "much variance", "1.5", "1.5 ", "" };
    char last[MOST_PATH];
    size_t data, n;

    configure(VICREG, "");
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", trained());
    json_t *header = saved_header(last, &data);
    char *bytes = program_bytes(last, &n);
    json_object_set_new(json_object_get(header, "__metadata__"), "term0",
                        json_string(wrong[_i]));
    saved_forge(last, header, bytes + data, n - data);
    program_result r = program("train", "a.yaml", "--out=plain", "--resume", NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_msg(strstr(r.err, "does not tell its 'term'"), "%s", r.err);
}
END_TEST

/* ---- views and targets ------------------------------------------------------------- */

/* By hand: equal directions, opposite ones, a right angle, and a row of zeros, which is
 * one unit from the other.  (0 + 4 + 2 + 1) / 4; exact but for a root and a division. */
START_TEST(alignment_is_the_squared_distance_of_unit_rows)
{
    float x[] = { 1, 2, 3, 0, 0, 5, 0, 0 }, y[] = { 2, 4, -1, 0, 7, 0, 0, 9 };
    const nn_node a = { .val = x, .shape = nn_shape2(4, 2) },
                  b = { .val = y, .shape = nn_shape2(4, 2) };
    ck_assert_double_eq_tol(ex_alignment(&a, &b), 7.0 / 4, 1e-15);
    ck_assert_double_eq_tol(ex_alignment(&b, &a), 7.0 / 4, 1e-15);
}
END_TEST

/* SimSiam without predictor: the loss is -cos of the same z, so over one batch
 * alignment = 2 - 2 cos = 2 + 2 loss.  Single precision of one: 1e-5. */
START_TEST(alignment_of_an_epoch_is_that_of_its_last_batch)
{
    configure("method: {name: simsiam, proj_dim: 16, predictor: none}\n", "");
    program_result r = program("train", "a.yaml", "--out=plain", "--quiet", "batch=24",
                               NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    const json_t *lines = lines_of(program_run_folder("plain"));
    ck_assert(is_null(json_array_get(lines, 0), "train/alignment"));
    for (size_t i = 1; i <= EPOCHS; i++) {
        const json_t *o = json_array_get(lines, i);
        ck_assert_double_eq_tol(at(o, "train/alignment"), 2 + 2 * at(o, "loss"), 1e-5);
        ck_assert_ptr_null(json_object_get(o, "tau"));
    }
}
END_TEST

/* Two pairs of views, asked one way: four views from the loader. */
START_TEST(four_views_outlive_a_stop)
{
    if (!strike_able())
        return;
    configure("method: {name: simsiam, proj_dim: 16, symmetric: false, pairs: 2}\n", "");
    stop_everywhere();
}
END_TEST

#define BYOL "method: {name: byol, proj_dim: 8, proj_hidden: 16, pred_hidden: 8, tau: 0.9}\n"

/* tau = 1 - 0.1 (1 + cos(pi k / K)) / 2 before step k of K = 9: 3, 6 and 9 after the
 * three epochs.  Ten digits are written. */
START_TEST(tau_of_a_target_is_told)
{
    static const double want[] = { 0, 0.925, 0.975, 1 };
    configure(BYOL, "");
    const json_t *lines = lines_of(trained());
    ck_assert(is_null(json_array_get(lines, 0), "tau"));
    for (size_t i = 1; i <= EPOCHS; i++)
        ck_assert_double_eq_tol(at(json_array_get(lines, i), "tau"), want[i], 1e-9);
}
END_TEST

START_TEST(a_target_outlives_a_stop)
{
    if (!strike_able())
        return;
    configure(BYOL, "");
    stop_everywhere();
}
END_TEST

/* ---- the linear probe -------------------------------------------------------------- */

/* 24 training and 6 held-out images, all of which are classified whatever
 * metrics.samples is; epoch 0 always has a probe when the run has one. */
START_TEST(the_probe_runs_when_it_is_asked_for)
{
    static const struct { const char *also; int probed[1 + EPOCHS]; } when[] = {
        { ", linear: off", { 0, 0, 0, 0 } },
        { ", linear: last, linear_bank: 20", { 1, 0, 0, 1 } },
        { ", linear: every, linear_bank: 20", { 1, 1, 1, 1 } },
        { ", linear: every, linear_bank: 20, every: 2", { 1, 0, 1, 1 } },
    };
    configure(SIMSIAM, when[_i].also);
    const char *folder = trained();
    const json_t *lines = lines_of(folder), *base, *o;
    json_t *status = program_json(folder, "status.json");
    double test = at(json_object_get(status, "data"), "test");
    size_t i;

    json_array_foreach(lines, i, o) {
        int on = when[_i].probed[(int)at(o, "epoch")];
        ck_assert_double_eq(at(o, "linear_bank"), on ? 20 : 0);
        ck_assert_msg(is_null(o, "eval/linear") == !on, "epoch %g", at(o, "epoch"));
        if (on)
            ck_assert_double_eq_tol(fmod(at(o, "eval/linear") * test + 0.5, 1), 0.5, 1e-6);
    }
    base = json_object_get(status, "baseline");
    ck_assert_int_eq(is_null(base, "raw_pixel_linear"), _i == 0);
    ck_assert(json_equal(json_object_get(base, "untrained_linear"),
                         json_object_get(json_array_get(lines, 0), "eval/linear")));
}
END_TEST

START_TEST(a_probe_leaves_no_trace_in_the_weights)
{
    configure(SIMSIAM, ", linear: every");
    const char *probed = program_keep(strdup(saved_sha256(trained())));
    program_remove("plain");
    configure(SIMSIAM, "");
    ck_assert_str_eq(saved_sha256(trained()), probed);
}
END_TEST

START_TEST(a_probe_outlives_a_stop)
{
    static const char *const also[] = { ", linear: every, probe_epochs: 3",
                                        ", linear: last, probe_epochs: 3" };
    if (!strike_able())
        return;
    configure(SIMSIAM, also[_i]);
    stop_everywhere();
}
END_TEST

START_TEST(people_see_the_probe_beside_its_baselines)
{
    configure(SIMSIAM, ", linear: last");
    program_result r = program("train", "a.yaml", "--threads=1", NULL);
    ck_assert_msg(strstr(r.out, "\nlinear probe without training: raw pixels "), "%s",
                  r.out);
    ck_assert_msg(strstr(r.out, "vs untrained   linear  images/s"), "%s", r.out);
    program_write("b.yaml", SIMSIAM REST "metrics: {samples: 12, bank: 16}\n");
    r = program("train", "b.yaml", "--threads=1", NULL);
    ck_assert_ptr_null(strstr(r.out, "linear"));
}
END_TEST

/* It learns what the run shows it, in the network's own store, and the network does not
 * notice: a checkpoint without probe.* has the same bytes as that of a run without. */
START_TEST(an_online_probe_leaves_the_network_alone)
{
    char last[MOST_PATH];
    size_t start[2], n[2];
    json_t *header[2], *o;
    const char *bytes[2], *name;
    int probes = 0;

    for (int k = 0; k < 2; k++) {
        configure(SIMSIAM, k ? ", online: true" : "");
        const char *folder = trained();
        const json_t *lines = lines_of(folder);
        ck_assert_int_eq(json_object_get(json_array_get(lines, 1), "eval/online") != NULL,
                         k);
        if (k) {
            ck_assert(is_null(json_array_get(lines, 0), "eval/online"));
            at(json_array_get(lines, EPOCHS), "eval/online");
        }
        snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", folder);
        header[k] = saved_header(last, &start[k]);
        bytes[k] = program_bytes(last, &n[k]);
        program_remove("plain");
    }
    json_object_foreach(header[1], name, o) {
        const json_t *other = json_object_get(header[0], name);
        probes += strncmp(name, "probe.", 6) == 0;
        if (!other || strcmp(name, "__metadata__") == 0 || strncmp(name, "run.", 4) == 0)
            continue;
        size_t from[2], end[2];
        for (int k = 0; k < 2; k++) {
            const json_t *t = json_object_get(json_object_get(header[k], name),
                                              "data_offsets");
            from[k] = (size_t)json_integer_value(json_array_get(t, 0));
            end[k] = (size_t)json_integer_value(json_array_get(t, 1));
        }
        ck_assert_uint_eq(end[0] - from[0], end[1] - from[1]);
        ck_assert_msg(memcmp(bytes[0] + start[0] + from[0], bytes[1] + start[1] + from[1],
                             end[0] - from[0]) == 0, "%s differs", name);
    }
    ck_assert_int_eq(probes, 6);
    ck_assert_uint_eq(json_object_size(header[1]) - json_object_size(header[0]), 6);
}
END_TEST

START_TEST(an_online_probe_outlives_a_stop)
{
    if (!strike_able())
        return;
    configure(SIMSIAM, ", online: true, online_lr: 0.02");
    stop_everywhere();
}
END_TEST

/* A run in this process, its weights as they are drawn. */
typedef struct inside { nn_arena text; ex_config config; ex_run run; } inside;

static void begin_inside(inside *s)
{
    nn_err err = {0};

    *s = (inside){0};
    ck_assert_msg(ex_config_load(&s->config, "a.yaml", 0, NULL, &s->text, &err) == NN_OK,
                  "%s", err.text);
    ck_assert_msg(ex_run_build(&s->run, &s->config, &err) == NN_OK, "%s", err.text);
}

static void end_inside(inside *s)
{
    ex_run_free(&s->run);
    nn_arena_free(&s->text);
}

/* h of the first n images, one at a time: what a row is does not depend on the others
 * where BatchNorm has running statistics. */
static float *one_by_one(inside *s, const data_images *d, int n)
{
    const ex_run *run = &s->run;
    size_t pixels = (size_t)d->h * d->w * d->c;
    float *h = program_keep(malloc(sizeof *h * (size_t)(n * run->r)));
    float *x = program_keep(malloc(sizeof *x * pixels));
    nn_arena step = {0}, scratch = {0};
    nn_tape t;

    nn_tape_start(&t, &step, &scratch);
    t.mode = NN_EVAL;
    t.record = 0;
    for (int i = 0; i < n; i++) {
        data_plain(d, NULL, i, 1, x);
        nn_node *in = nn_input(&t, nn_shape4(1, d->h, d->w, d->c), x, 0);
        const nn_node *out = s->config.model->forward(&t, run->model_state, in);
        memcpy(h + (size_t)i * run->r, out->val, sizeof *h * (size_t)run->r);
        nn_tape_reset(&t);
    }
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
    return h;
}

/* After some steps, by hand: features, then the probe by both protocols.  60 held-out
 * images, so that one that is left out or mixed up shows.  And the same of pixels. */
START_TEST(the_probe_reads_h_of_all_held_out_images)
{
    enum { N = 900 };
    inside s;

    program_write("a.yaml", SIMSIAM
                  "model: {name: conv3}\n"
                  "data: {name: shapes, size: 1000}\n"
                  "optim: {name: sgd, base_lr: 0.1}\n"
                  "batch: 32\n"
                  "metrics: {samples: 10, linear: last, linear_bank: 900, "
                  "probe_epochs: 10}\n");
    begin_inside(&s);
    ex_evaluator e = ex_evaluator_new(&s.run);
    for (int i = 0; i < 5; i++) {
        data_batch b = data_loader_get(s.run.loader, 0, i);
        ex_run_step(&s.run, &b);
    }
    const data_images *train = &s.run.train, *test = &s.run.test;
    met_linear_settings p = met_linear_default;
    p.classes = train->classes;
    p.epochs = 10;
    ck_assert_int_ge(test->n, 60);
    float *h = one_by_one(&s, train, N), *of_test = one_by_one(&s, test, test->n);
    for (p.protocol = MET_RIDGE; p.protocol <= MET_SGD; p.protocol++) {
        s.config.metrics.probe = (int)p.protocol;
        double want = met_linear(&p, s.run.r, h, train->label, N, of_test, test->label,
                                 test->n, &s.run.scratch);
        ck_assert_double_eq(ex_linear(&e), want);
        ck_assert_double_gt(want, 0.15);        /* chance is 0.1: features, not noise */
    }
    int pixels = train->h * train->w * train->c;
    float *x = program_keep(malloc(sizeof *x * (size_t)pixels * N));
    float *q = program_keep(malloc(sizeof *q * (size_t)pixels * (size_t)test->n));
    for (int i = 0; i < pixels * N; i++)
        x[i] = train->pixel[i];
    for (int i = 0; i < pixels * test->n; i++)
        q[i] = test->pixel[i];
    p.protocol = MET_SGD;                       /* 3072 columns take the ridge a while */
    double want = met_linear(&p, pixels, x, train->label, N, q, test->label, test->n,
                             &s.run.scratch);
    ck_assert_double_eq(ex_raw_pixel_linear(&e), want);
    end_inside(&s);
}
END_TEST

/* Step by step the same as a probe of its own, fed with h of view 1 and the labels of the
 * batch's images: what h is comes from a second run of the same seed. */
START_TEST(the_online_probe_learns_from_the_first_view)
{
    inside s, twin;

    program_write("a.yaml", SIMSIAM
                  "model: {name: conv3}\n"
                  "data: {name: shapes, size: 100}\n"
                  "optim: {name: sgd, base_lr: 0.1}\n"
                  "batch: 16\n"
                  "metrics: {samples: 10, online: true, online_lr: 0.05}\n");
    begin_inside(&s);
    begin_inside(&twin);
    met_online own = met_online_of(s.run.r, s.run.train.classes, &s.text);
    own.lr = 0.05f;
    for (int i = 0; i < 4; i++) {
        uint8_t label[16];
        data_batch b = data_loader_get(twin.run.loader, 0, i);
        ssl_views v = { .terms = NULL };
        ex_run_loss(&twin.run, &twin.run.tape, &b, 16, &v);
        for (int k = 0; k < 16; k++)
            label[k] = twin.run.train.label[b.index[k]];
        met_online_step(&own, v.h[0]->val, label, 16, &twin.run.scratch);
        nn_tape_reset(&twin.run.tape);
        ex_run_step(&twin.run, &b);
        data_loader_stop(twin.run.loader);      /* one loader posts work at a time */
        b = data_loader_get(s.run.loader, 0, i);
        ex_run_step(&s.run, &b);
        data_loader_stop(s.run.loader);
    }
    size_t size = sizeof(float) * (size_t)s.run.r;
    ck_assert_mem_eq(s.run.probe.mean, own.mean, size);
    ck_assert_mem_eq(s.run.probe.weight, own.weight,
                     size * (size_t)s.run.train.classes);
    ck_assert_mem_eq(nn_store_find(&s.run.store, "probe.running_var")->val, own.var, size);
    end_inside(&twin);
    end_inside(&s);
}
END_TEST

/* Without it the statistics 0 and 1 would be used, which say nothing of these data: the
 * features of the calibrated network have unit variance before the last ReLU, so that
 * both figures, which differ, are seen. */
START_TEST(the_untrained_network_is_probed_with_statistics_of_its_own)
{
    inside s;
    ex_figures f = {0};

    program_write("a.yaml", SIMSIAM
                  "model: {name: conv3}\n"
                  "data: {name: shapes, size: 600}\n"
                  "batch: 32\n"
                  "metrics: {samples: 10, linear: last, probe_epochs: 4}\n");
    begin_inside(&s);
    ex_evaluator e = ex_evaluator_new(&s.run);
    ex_evaluate_untrained(&e, &f);
    ck_assert(isfinite(f.linear));
    ck_assert_double_ne(f.linear, ex_linear(&e));
    ck_assert_int_eq(f.linear_bank, 600);
    end_inside(&s);
}
END_TEST

Suite *suite_figures(void)
{
    Suite *s = suite_create("figures");
    TCase *tc = tcase_create("figures");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, terms_add_up_to_the_loss);
    tcase_add_test(tc, a_loss_without_parts_has_no_terms);
    tcase_add_test(tc, terms_outlive_a_stop);
    tcase_add_test(tc, terms_of_a_diverged_run_are_null);
    tcase_add_loop_test(tc, a_term_that_is_no_number_is_refused, 0, 4);
    tcase_add_test(tc, alignment_is_the_squared_distance_of_unit_rows);
    tcase_add_test(tc, alignment_of_an_epoch_is_that_of_its_last_batch);
    tcase_add_test(tc, tau_of_a_target_is_told);
    tcase_add_test(tc, four_views_outlive_a_stop);
    tcase_add_test(tc, a_target_outlives_a_stop);
    tcase_add_loop_test(tc, the_probe_runs_when_it_is_asked_for, 0, 4);
    tcase_add_test(tc, a_probe_leaves_no_trace_in_the_weights);
    tcase_add_loop_test(tc, a_probe_outlives_a_stop, 0, 2);
    tcase_add_test(tc, people_see_the_probe_beside_its_baselines);
    tcase_add_test(tc, the_probe_reads_h_of_all_held_out_images);
    tcase_add_test(tc, the_untrained_network_is_probed_with_statistics_of_its_own);
    tcase_add_test(tc, an_online_probe_leaves_the_network_alone);
    tcase_add_test(tc, an_online_probe_outlives_a_stop);
    tcase_add_test(tc, the_online_probe_learns_from_the_first_view);
    suite_add_tcase(s, tc);
    return s;
}
