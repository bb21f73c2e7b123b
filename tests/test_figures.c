/* What a run tells of every epoch beside the collapse metrics: the loss in parts, probes,
 * the agreement of views.  And that a run which was stopped and gone on with tells the
 * same. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "metrics/met.h"
#include "optim/opt.h"
#include "tests/net.h"
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

#define BYOL "method: {name: byol, proj_dim: 8, proj_hidden: 16, pred_hidden: 8," \
             " tau: 0.9}\n"

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

/* ---- stopped and gone on with ------------------------------------------------------ */

/* Terms and both probes; a momentum target; four views and a probe at the end. */
START_TEST(all_that_is_told_outlives_a_stop)
{
    static const struct { const char *method, *metrics; } runs[] = {
        { VICREG, ", linear: every, probe_epochs: 3, online: true, online_lr: 0.02" },
        { BYOL, "" },
        { "method: {name: simsiam, proj_dim: 16, symmetric: false, pairs: 2}\n",
          ", linear: last, probe_epochs: 3" },
    };
    if (!strike_able())
        return;
    configure(runs[_i].method, runs[_i].metrics);
    stop_everywhere();
}
END_TEST

/* ---- by hand -----------------------------------------------------------------------
 *
 * The network of a run, put together here: what the program found must come out again.
 * An mlp, whose weights lie in a checkpoint as they do in memory. */
#define BY_HAND \
    "method: {name: simsiam, proj_dim: 16}\n" \
    "model: {name: mlp}\n" \
    "data: {name: shapes, size: 400}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "epochs: 1\n" \
    "batch: 32\n"

enum { BATCH = 32, SIDE = 32, PIXELS = SIDE * SIDE * 3, LEARNT = 350 };

typedef struct twin { net n; data_images train, test; } twin;

static void twin_start(twin *t)
{
    data_settings set;
    nn_err err = {0};

    nn_setting_defaults(data_setting_table, &set);
    set.name = "shapes";
    set.size = 400;
    net_start(&t->n, "mlp", "simsiam", (nn_image_shape){ SIDE, SIDE, 3 }, BATCH);
    net_set_method(&t->n, "proj_dim", 16);
    net_build(&t->n, 0);
    ck_assert_int_eq(data_load(&set, 0, &t->n.forever, &t->train, &t->test, &err), NN_OK);
}

static const json_t *tensor(const char *file, const char *name, const char **bytes)
{
    size_t data, n;
    const json_t *o = json_object_get(saved_header(file, &data), name),
                 *from = json_object_get(o, "data_offsets");
    ck_assert_msg(o, "%s is not in %s", name, file);
    *bytes = program_bytes(file, &n) + data + json_integer_value(json_array_get(from, 0));
    return o;
}

static void twin_load(twin *t, const char *file)
{
    const char *bytes;

    for (int i = 0; i < t->n.store.count; i++) {
        nn_param *p = t->n.store.list[i];
        tensor(file, p->name, &bytes);
        memcpy(p->val, bytes, sizeof(float) * nn_shape_count(&p->shape));
    }
}

/* h of images first .. first + count - 1, plain. */
static const float *forward(twin *t, nn_mode mode, const data_images *d, int first,
                            int count)
{
    net *n = &t->n;
    float *x = program_keep(malloc(sizeof *x * PIXELS * (size_t)count));

    nn_tape_reset(&n->tape);
    n->tape.mode = mode;
    n->tape.record = 0;
    data_plain(d, NULL, first, count, x);
    nn_node *in = nn_input(&n->tape, nn_shape4(count, SIDE, SIDE, 3), x, 0);
    return n->model->forward(&n->tape, n->backbone, in)->val;
}

/* The probe on features that are made one image at a time: with running statistics a row
 * does not depend on its neighbours. */
static double probed(twin *t, const met_linear_settings *p)
{
    const data_images *set[] = { &t->train, &t->test };
    const int count[] = { LEARNT, t->test.n };
    size_t r = (size_t)t->n.r;
    float *h[2];

    for (int k = 0; k < 2; k++) {
        h[k] = program_keep(malloc(sizeof **h * r * (size_t)count[k]));
        for (int i = 0; i < count[k]; i++)
            memcpy(h[k] + (size_t)i * r, forward(t, NN_EVAL, set[k], i, 1),
                   sizeof **h * r);
    }
    return met_linear(p, t->n.r, h[0], t->train.label, LEARNT, h[1], t->test.label,
                      t->test.n, &t->n.scratch);
}

static double probed_pixels(twin *t, const met_linear_settings *p)
{
    size_t learnt = (size_t)LEARNT * PIXELS, judged = (size_t)t->test.n * PIXELS;
    float *x = program_keep(malloc(sizeof *x * learnt)),
          *q = program_keep(malloc(sizeof *q * judged));

    for (size_t i = 0; i < learnt; i++)
        x[i] = t->train.pixel[i];
    for (size_t i = 0; i < judged; i++)
        q[i] = t->test.pixel[i];
    return met_linear(p, PIXELS, x, t->train.label, LEARNT, q, t->test.label, t->test.n,
                      &t->n.scratch);
}

/* All held-out images though metrics.samples is 10; the untrained network with statistics
 * of 64 batches of its training images; ten digits are written. */
START_TEST(the_probe_reads_h_of_all_held_out_images)
{
    char last[MOST_PATH];
    twin t;
    met_linear_settings p = met_linear_default;

    program_write("a.yaml", BY_HAND "metrics: {samples: 10, linear: last,"
                  " linear_bank: 350, probe_epochs: 5, probe_lr: 0.05}\n");
    const char *folder = trained();
    const json_t *lines = lines_of(folder);
    const json_t *base = json_object_get(program_json(folder, "status.json"), "baseline");
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", folder);
    twin_start(&t);
    p.protocol = MET_SGD;
    p.classes = t.train.classes;
    p.epochs = 5;
    p.lr = 0.05;
    ck_assert_int_gt(t.test.n, 50);
    ck_assert_double_eq_tol(at(base, "raw_pixel_linear"), probed_pixels(&t, &p), 1e-9);

    for (int i = 0; i < 64; i++)
        forward(&t, NN_TRAIN, &t.train, i % (t.train.n / BATCH) * BATCH, BATCH);
    double untrained = probed(&t, &p);
    ck_assert_double_eq_tol(at(json_array_get(lines, 0), "eval/linear"), untrained, 1e-9);

    twin_load(&t, last);
    double share = probed(&t, &p);
    ck_assert_double_eq_tol(at(json_array_get(lines, 1), "eval/linear"), share, 1e-9);
    ck_assert_double_ne(share, untrained);
    net_free(&t.n);
}
END_TEST

/* The run done again here, with a probe that is given h of view 1 and the labels of the
 * batch's images: the program's ends in the same bits. */
START_TEST(the_online_probe_learns_from_the_first_view)
{
    char last[MOST_PATH];
    const char *bytes;
    twin t;
    data_augment augment;
    opt_settings optim;
    nn_err err = {0};

    program_write("a.yaml", BY_HAND "metrics: {samples: 10, online: true,"
                  " online_lr: 0.05}\n");
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", trained());
    twin_start(&t);
    net *n = &t.n;
    nn_setting_defaults(data_augment_table, &augment);
    const char *recipe = data_source_find("shapes")->recipe;
    ck_assert_int_eq(data_augment_resolve(&augment, NULL, recipe, &err), NN_OK);
    nn_setting_defaults(opt_setting_table, &optim);
    const opt_method *sgd = opt_method_find("sgd");
    optim.base_lr = 0.1;
    ck_assert_int_eq(opt_settle(sgd, &optim, &err), NN_OK);
    opt_state *opt = opt_new(sgd, &optim, &n->store);
    data_loader *l = data_loader_new(&n->forever, &t.train, &augment, 0, BATCH, 2);
    met_online own = met_online_of(n->r, t.train.classes, &n->forever);
    own.lr = 0.05f;

    for (int step = 0; step < data_loader_steps(l); step++) {
        uint16_t label[BATCH];
        ssl_views v;
        data_batch b = data_loader_get(l, 0, step);
        for (int k = 0; k < 2; k++)
            memcpy(n->view[k], b.view[k], sizeof(float) * BATCH * PIXELS);
        for (int i = 0; i < BATCH; i++)
            label[i] = t.train.label[b.index[i]];
        nn_node *loss = net_loss(n, &v);
        met_online_step(&own, v.h[0]->val, label, BATCH, &n->scratch);
        nn_backward(loss);
        opt_step(opt, opt_lr(&optim, BATCH, step, data_loader_steps(l), 1),
                 opt_peak_lr(&optim, BATCH), step);
    }
    data_loader_stop(l);
    size_t row = sizeof(float) * (size_t)n->r;
    tensor(last, "probe.running_var", &bytes);
    ck_assert_mem_eq(bytes, own.var, row);
    tensor(last, "probe.weight", &bytes);
    ck_assert_mem_eq(bytes, own.weight, row * (size_t)own.classes);
    tensor(last, "probe.weight.velocity", &bytes);
    ck_assert_mem_eq(bytes, own.weight_velocity, row * (size_t)own.classes);
    net_free(n);
}
END_TEST

Suite *suite_figures(void)
{
    Suite *s = suite_create("figures");
    TCase *tc = tcase_create("told"), *stop = tcase_create("stopped"),
          *hand = tcase_create("by hand");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_checked_fixture(stop, program_enter, program_leave);
    tcase_add_checked_fixture(hand, program_enter, program_leave);
    tcase_add_test(tc, terms_add_up_to_the_loss);
    tcase_add_test(tc, a_loss_without_parts_has_no_terms);
    tcase_add_test(tc, terms_of_a_diverged_run_are_null);
    tcase_add_loop_test(tc, a_term_that_is_no_number_is_refused, 0, 4);
    tcase_add_test(tc, alignment_of_an_epoch_is_that_of_its_last_batch);
    tcase_add_test(tc, tau_of_a_target_is_told);
    tcase_add_loop_test(tc, the_probe_runs_when_it_is_asked_for, 0, 4);
    tcase_add_test(tc, a_probe_leaves_no_trace_in_the_weights);
    tcase_add_test(tc, people_see_the_probe_beside_its_baselines);
    tcase_add_test(hand, the_probe_reads_h_of_all_held_out_images);
    tcase_add_loop_test(stop, all_that_is_told_outlives_a_stop, 0, 3);
    tcase_add_test(tc, an_online_probe_leaves_the_network_alone);
    tcase_add_test(hand, the_online_probe_learns_from_the_first_view);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, stop);
    suite_add_tcase(s, hand);
    return s;
}
