/* fullrank eval: the figures of a run once more, from its checkpoint, and what the run
 * did not measure; nothing of the folder is touched, and every damage is told. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/data.h"
#include "nn/base.h"
#include "tests/program.h"
#include "tests/saved.h"
#include "tests/suites.h"

#define TINY \
    "method: {name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4}\n" \
    "model: {name: mlp, hidden: 12, out: 6}\n" \
    "data: {name: shapes, size: 60}\n" \
    "optim: {name: sgd, base_lr: 0.5}\n" \
    "metrics: {samples: 10, bank: 30, knn_k: 5}\n" \
    "batch: 16\n" \
    "epochs: 2\n"

enum { HIDDEN = 12, OUT = 6, HELD_OUT = 12 };

static const char *trained_with(const char *a, const char *b)
{
    program_write("a.yaml", TINY);
    program_result r = program("train", "a.yaml", "--quiet", a, a ? b : NULL, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_run_folder("runs");
}

static const char *trained(void)
{
    return trained_with(NULL, NULL);
}

static json_t *looked(const char *folder, const char *a, const char *b)
{
    program_result r = program("eval", folder, "--json", a, a ? b : NULL, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_parse(r.out);
}

static double number_at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number '%s'", key);
    return json_number_value(v);
}

static const char *path_in(const char *folder, const char *name)
{
    char *path = program_keep(malloc(strlen(folder) + strlen(name) + 2));
    sprintf(path, "%s/%s", folder, name);
    return path;
}

static void damage(const char *file)
{
    size_t n;
    char *bytes = program_bytes(file, &n);
    bytes[n / 2] ^= 1;
    program_put(file, bytes, n);
}

/* ---- the same figures -------------------------------------------------------------- */

static int is_figure(const char *key)
{
    static const char *const other[] = { "n", "d", "r", "k", "knn_k", "bank", "epoch",
                                         "eval/knn", "verdict", "why", "weights_sha256" };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(key, other[i]) == 0)
            return 1;
    return strncmp(key, "collapse/", 9) == 0 || strncmp(key, "h/", 2) == 0;
}

START_TEST(without_options_it_tells_the_figures_of_the_last_line_of_the_log)
{
    const char *folder = trained(), *key;
    json_t *lines = program_lines(folder, "metrics.jsonl"), *v, *o = looked(folder, NULL,
                                                                          NULL);
    json_t *last = json_array_get(lines, json_array_size(lines) - 1);
    int figures = 0;

    json_object_foreach(last, key, v)
        if (is_figure(key)) {
            ck_assert_msg(json_equal(json_object_get(o, key), v), "%s differs", key);
            figures++;
        }
    ck_assert_int_ge(figures, 11 + 20);         /* ten metrics of z and of h at least */
    const json_t *base = json_object_get(o, "baseline");
    const json_t *was = json_object_get(program_json(folder, "status.json"), "baseline");
    ck_assert(json_equal(json_object_get(base, "untrained_knn"),
                         json_object_get(was, "untrained_knn")));
    ck_assert_double_eq(number_at(base, "chance"), 0.1);
}
END_TEST

START_TEST(the_table_shows_metrics_probes_and_verdict)
{
    program_result r = program("eval", trained(), "--metrics", "--knn=5,1", "--linear",
                               "--jepa-score", "--images=2", NULL);
    static const char *const parts[] = {
        "simsiam with mlp on shapes, ", "after 2 of 2 epochs\n", "\ncollapse/erank ",
        "\nverdict ", "\nkNN of h, k = 5 ", "untrained network", "raw pixels",
        "\nkNN of h, k = 1 ", "\nlinear probe, sgd ", "\nJEPA-SCORE of h over 2 images\n",
        "\n  lowest ", "\n  highest ",
    };

    ck_assert_msg(r.exit == 0, "%s", r.err);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(r.out, parts[i]), "no '%s' in\n%s", parts[i], r.out);
}
END_TEST

START_TEST(another_team_and_another_table_see_the_same_figures)
{
    const char *folder = trained();
    const char *args[] = { "eval", folder, "--metrics", "--knn=1,5", "--linear",
                           "--quiet", "--jepa-score", "--images=3", "--json",
                           "--threads=1", NULL };
    program_result one = program_args(args);
    args[9] = "--threads=3";
    program_result three = program_args(args);
    setenv("FULLRANK_KERN", "ref", 1);
    program_result ref = program_args(args);

    ck_assert_msg(one.exit == 0, "%s", one.err);
    ck_assert_str_eq(one.err, "");
    ck_assert_str_eq(one.out, three.out);
    ck_assert_str_eq(one.out, ref.out);
}
END_TEST

/* Names, sizes and times of everything. */
static char *state_of_folder(const char *folder)
{
    char command[5000];
    snprintf(command, sizeof command,
             "find %s -printf '%%p %%s %%T@ %%i\\n' | sort > listing", folder);
    ck_assert_int_eq(system(command), 0);
    return program_read("listing");
}

START_TEST(nothing_in_the_folder_is_touched)
{
    const char *folder = trained();
    char *before = state_of_folder(folder);

    looked(folder, "--metrics", "--linear");
    looked(folder, "--jepa-score", "--images=1");
    ck_assert_str_eq(before, state_of_folder(folder));
}
END_TEST

/* ---- probes ------------------------------------------------------------------------ */

START_TEST(neighbours_are_counted_for_every_k_that_is_asked_for)
{
    const char *folder = trained_with("data.size=600", "metrics.samples=100");
    json_t *plain = looked(folder, NULL, NULL), *o = looked(folder, "--knn=1,5,30,1000",
                                                          NULL);

    ck_assert_ptr_null(json_object_get(o, "eval/knn"));
    ck_assert_ptr_null(json_object_get(o, "collapse/std"));
    ck_assert_double_eq(number_at(o, "eval/knn@5"), number_at(plain, "eval/knn"));
    ck_assert_double_ne(number_at(o, "eval/knn@5"), number_at(o, "eval/knn@1"));
    /* no more than the bank has */
    ck_assert_double_eq(number_at(o, "eval/knn@30"), number_at(o, "eval/knn@1000"));
    /* the nearest alone decides, at any temperature */
    o = looked(folder, "--knn=1", "--knn-t=50");
    plain = looked(folder, "--knn=1", "--knn-t=0.01");
    ck_assert_double_eq(number_at(o, "eval/knn@1"), number_at(plain, "eval/knn@1"));
}
END_TEST

START_TEST(the_linear_probe_is_a_share_of_all_held_out_images)
{
    static const char *const protocol[] = { "sgd", "ridge" };
    const char *folder = trained();

    for (int i = 0; i < 2; i++) {
        json_t *o = looked(folder, "--linear", i ? "--probe=ridge" : "--probe=sgd");
        double right = number_at(o, "eval/linear") * HELD_OUT;
        ck_assert_double_eq_tol(right, round(right), 1e-6);     /* ten digits are told */
        ck_assert(right >= 0 && right <= HELD_OUT);
        ck_assert_str_eq(json_string_value(json_object_get(o, "probe")), protocol[i]);
    }
}
END_TEST

/* With ridge in the long form: it solves 3072 equations ten times for the raw pixels. */
START_TEST(the_linear_probe_is_that_of_the_run)
{
    static const char *const pair[] = { "metrics.probe=sgd", "metrics.probe=ridge" };
    const char *folder = trained_with("metrics.linear=last", pair[_i]);
    json_t *lines = program_lines(folder, "metrics.jsonl");
    json_t *o = looked(folder, "--linear", NULL), *first = json_array_get(lines, 0),
           *last = json_array_get(lines, json_array_size(lines) - 1),
           *base = json_object_get(o, "baseline");

    ck_assert_double_eq(number_at(o, "eval/linear"), number_at(last, "eval/linear"));
    ck_assert_str_eq(json_string_value(json_object_get(o, "probe")),
                     strchr(pair[_i], '=') + 1);
    ck_assert_double_eq(number_at(base, "untrained_linear"),
                        number_at(first, "eval/linear"));
    ck_assert_double_eq(number_at(base, "raw_pixel_linear"),
                        number_at(json_object_get(program_json(folder, "status.json"),
                                                  "baseline"), "raw_pixel_linear"));
}
END_TEST

START_TEST(metrics_can_be_those_of_training_images)
{
    const char *folder = trained();
    json_t *o = looked(folder, "--split=train", "metrics.samples=50");

    ck_assert_int_eq((int)number_at(o, "n"), 50);
    ck_assert_str_eq(json_string_value(json_object_get(o, "split")), "train");
    ck_assert_ptr_null(json_object_get(o, "eval/knn"));
    ck_assert_double_ne(number_at(o, "collapse/std"),
                        number_at(looked(folder, NULL, NULL), "collapse/std"));
}
END_TEST

/* ---- JEPA-SCORE -------------------------------------------------------------------- */

typedef struct unit_layer { const float *w, *gamma, *beta, *mean, *var; } unit_layer;

static unit_layer layer_of(const char *file, int i)
{
    static const char *const part[] = { "fc%d.weight", "bn%d.weight", "bn%d.bias",
                                        "bn%d.running_mean", "bn%d.running_var" };
    const float *at[5];
    char name[32];
    for (int k = 0; k < 5; k++) {
        snprintf(name, sizeof name, part[k], i);
        at[k] = saved_tensor(file, name);
    }
    return (unit_layer){ at[0], at[1], at[2], at[3], at[4] };
}

/* relu(bn(W x)) and its Jacobian jac (out, pixels) from that of x (in, pixels), all in
 * double; jx = NULL: x are the pixels. */
static void apply(const unit_layer *l, int in, int out, const double *x, const double *jx,
                  int pixels, double *y, double *jac)
{
    for (int o = 0; o < out; o++) {
        double a = (double)l->gamma[o] / sqrt((double)l->var[o] + 1e-5), sum = 0;
        for (int i = 0; i < in; i++)
            sum += (double)l->w[o * in + i] * x[i];
        y[o] = a * (sum - (double)l->mean[o]) + (double)l->beta[o];
        for (int p = 0; p < pixels; p++)
            jac[o * pixels + p] = 0;
        for (int i = 0; i < in && y[o] > 0; i++)
            for (int p = jx ? 0 : i; p < (jx ? pixels : i + 1); p++)
                jac[o * pixels + p] +=
                    a * (double)l->w[o * in + i] * (jx ? jx[i * pixels + p] : 1);
        y[o] = y[o] > 0 ? y[o] : 0;
    }
}

/* Half the logarithm of det(J J') over the rows that are not zero, which count as the
 * floor: elimination on the Gram matrix. */
static double volume(int rows, int cols, const double *j)
{
    double g[OUT][OUT], sum = 0;
    int live[OUT], n = 0;

    for (int i = 0; i < rows; i++) {
        double q = 0;
        for (int p = 0; p < cols; p++)
            q += j[i * cols + p] * j[i * cols + p];
        if (q > 0)
            live[n++] = i;
        else
            sum += log(1e-6);
    }
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++) {
            g[a][b] = 0;
            for (int p = 0; p < cols; p++)
                g[a][b] += j[live[a] * cols + p] * j[live[b] * cols + p];
        }
    for (int k = 0; k < n; k++) {
        sum += log(g[k][k]) / 2;
        for (int a = k + 1; a < n; a++)
            for (int b = k + 1; b < n; b++)
                g[a][b] -= g[a][k] * g[k][b] / g[k][k];
    }
    return sum;
}

/* The network of the run once more, in double, from the checkpoint's bytes: two layers
 * with running statistics.  1e-3 for the sum of six logarithms: float32 leaves 1e-7 of
 * the largest singular value, of which the least is a thousandth here. */
START_TEST(the_score_is_that_of_the_network_worked_out_by_hand)
{
    const char *folder = trained();
    const char *file = path_in(folder, "checkpoints/last.safetensors");
    json_t *o = json_object_get(looked(folder, "--jepa-score", "--images=12"),
                                "jepa_score");
    data_settings s = { .name = "shapes", .size = 60, .normalise = 1, .dir = "" };
    data_images train, test;
    nn_arena arena = {0};
    nn_err err = {0};
    unit_layer first = layer_of(file, 1), second = layer_of(file, 2);

    ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
    int pixels = test.h * test.w * test.c, lowest = 0, highest = 0;
    double best = -INFINITY, worst = INFINITY, sum = 0;
    float *image = NN_NEW(&arena, float, pixels);
    double *x = NN_NEW(&arena, double, pixels), y[HIDDEN], z[OUT];
    double *j1 = NN_NEW(&arena, double, HIDDEN * pixels);
    double *j2 = NN_NEW(&arena, double, OUT * pixels);

    ck_assert_int_eq((int)number_at(o, "images"), HELD_OUT);
    for (int i = 0; i < HELD_OUT; i++) {
        data_plain(&test, NULL, i, 1, image);
        for (int p = 0; p < pixels; p++)
            x[p] = (double)image[p];
        apply(&first, pixels, HIDDEN, x, NULL, pixels, y, j1);
        apply(&second, HIDDEN, OUT, y, j1, pixels, z, j2);
        double want = volume(OUT, pixels, j2);
        double got = json_number_value(json_array_get(json_object_get(o, "scores"),
                                                      (size_t)i));
        ck_assert_msg(fabs(got - want) < 1e-3, "image %d: %.8g, by hand %.8g", i, got,
                      want);
        sum += want;
        lowest = want < worst ? i : lowest;
        worst = want < worst ? want : worst;
        highest = want > best ? i : highest;
        best = want > best ? want : best;
    }
    json_t *low = json_object_get(o, "lowest"), *high = json_object_get(o, "highest");
    ck_assert_double_eq_tol(number_at(o, "mean"), sum / HELD_OUT, 1e-3);
    ck_assert_double_eq_tol(number_at(o, "min"), worst, 1e-3);
    ck_assert_double_eq_tol(number_at(o, "max"), best, 1e-3);
    ck_assert_int_eq((int)number_at(low, "image"), lowest);
    ck_assert_int_eq((int)number_at(high, "image"), highest);
    ck_assert_int_eq((int)number_at(high, "label"), test.label[highest]);
    nn_arena_free(&arena);
}
END_TEST

START_TEST(the_score_of_z_goes_through_the_heads)
{
    json_t *o = json_object_get(looked(trained(), "--jepa-score", "--of=z"),
                                "jepa_score");

    ck_assert_int_eq((int)number_at(o, "outputs"), 16);
    ck_assert_str_eq(json_string_value(json_object_get(o, "of")), "z");
    /* 16 outputs of 6 numbers: ten directions are flat at least */
    ck_assert_double_ge(number_at(o, "floored"), 10);
}
END_TEST

/* ---- what can be wrong ------------------------------------------------------------- */

START_TEST(a_damaged_checkpoint_is_told_and_the_one_before_it_taken)
{
    const char *folder = trained(),
               *last = path_in(folder, "checkpoints/last.safetensors"),
               *prev = path_in(folder, "checkpoints/prev.safetensors");

    damage(last);
    program_result r = program("eval", folder, "--json", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.err, last));
    ck_assert_ptr_nonnull(strstr(r.err, "; looking at prev.safetensors, the one before"
                                        " it\n"));
    ck_assert_str_eq(program("eval", folder, "--json", "--checkpoint=prev", NULL).out,
                     r.out);
    ck_assert_int_eq(program("eval", folder, "--checkpoint=last", NULL).exit, 6);

    ck_assert_int_eq(unlink(last), 0);          /* missing is as good as damaged */
    ck_assert_str_eq(program("eval", folder, "--json", NULL).out, r.out);
    damage(prev);
    r = program("eval", folder, "--json", NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_int_eq((int)number_at(program_parse(r.out), "exit"), 6);
    ck_assert_int_eq(unlink(prev), 0);
    r = program("eval", folder, NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_ptr_nonnull(strstr(r.err, "checkpoints: no checkpoint in it; a run has one"
                                        " from its first evaluation on\n"));
    ck_assert_str_eq(r.out, "");
}
END_TEST

/* Writes the last checkpoint anew with one word of its metadata changed. */
static void reword(const char *folder, const char *word, const char *text)
{
    const char *file = path_in(folder, "checkpoints/last.safetensors");
    size_t from, n;
    json_t *header = saved_header(file, &from);
    const char *bytes = program_bytes(file, &n);
    json_object_set_new(json_object_get(header, "__metadata__"), word, json_string(text));
    saved_forge(file, header, bytes + from, n - from);
}

START_TEST(other_data_are_refused_unless_they_are_asked_for)
{
    const char *folder = trained();

    reword(folder, "data.test", "0123456789abcdef");
    program_result r = program("eval", folder, NULL);
    ck_assert_int_eq(r.exit, 5);
    ck_assert_ptr_nonnull(strstr(r.err, "was written with other data than shapes has"
                                        " here; bring the old ones back, or say where"
                                        " they are with data.dir=DIR\n"));
    r = program("eval", folder, "data.size=60", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "note: these are other images than the run's\n"));
}
END_TEST

START_TEST(settings_that_are_not_those_of_the_run_are_told)
{
    const char *folder = trained();
    program_result r = program("eval", folder, "metrics.samples=8", NULL);

    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "note: other settings than those it was trained"
                                        " with: metrics.samples = 10 there, 8 here\n"));
    ck_assert_ptr_null(strstr(r.out, "untrained"));     /* measured on other images */
    r = program("eval", folder, NULL);
    ck_assert_ptr_null(strstr(r.err, "note"));
    ck_assert_ptr_nonnull(strstr(r.out, "untrained"));
}
END_TEST

START_TEST(a_network_of_another_shape_does_not_fit)
{
    const char *folder = trained();
    char *yaml = program_read(path_in(folder, "config.yaml"));
    char *at = strstr(yaml, "out: 6");

    ck_assert_ptr_nonnull(at);
    at[5] = '7';
    program_write(path_in(folder, "config.yaml"), yaml);
    program_result r = program("eval", folder, NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_ptr_nonnull(strstr(r.err, "fc2.weight is F32 (6, 12) and should be"
                                        " F32 (7, 12)"));
}
END_TEST

START_TEST(the_weights_that_a_run_began_with_are_not_needed_any_more)
{
    size_t n;
    char *bytes = program_bytes(path_in(trained(), "checkpoints/last.safetensors"), &n);

    program_put("w.safetensors", bytes, n);
    ck_assert_int_eq(program("train", "a.yaml", "--quiet", "--out=b",
                             "init.from=w.safetensors", NULL).exit, 0);
    ck_assert_int_eq(unlink("w.safetensors"), 0);
    program_result r = program("eval", program_run_folder("b"), "--quiet", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(r.err, "");
}
END_TEST

typedef struct misuse { const char *args[3], *says; int exit; } misuse;

static const misuse misuses[] = {
    { { "--knn=0" },
      "command line: --knn wants a whole number from 1 to 1048576, not '0'", 2 },
    { { "--knn=1,,2" },
      "command line: --knn wants a whole number from 1 to 1048576, not ''", 2 },
    { { "--knn=1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8" },
      "command line: --knn takes at most 16 values", 2 },
    { { "--knn=1", "--knn-t=-1" },
      "command line: --knn-t wants a number above 0, not '-1'", 2 },
    { { "--linear", "--probe=lasso" },
      "command line: --probe is ridge or sgd, not 'lasso'", 2 },
    { { "--jepa-score", "--images=0" },
      "command line: --images wants a whole number from 1 to 16777216, not '0'", 2 },
    { { "--jepa-score", "--of=x" }, "command line: --of is h or z, not 'x'", 2 },
    { { "--split=all" }, "command line: --split is test or train, not 'all'", 2 },
    { { "--split=train", "--linear" },
      "command line: --split train goes with --metrics and --jepa-score: probes learn"
      " from training images and are judged on others", 2 },
    { { "optim.lr=1" },
      "command line: 'optim.lr=1': a run is looked at as it is; only settings of data,"
      " metrics and memory can be others", 2 },
    { { "--checkpoint=nowhere" },
      "nowhere: cannot be read: No such file or directory", 6 },
};

START_TEST(misuse_is_named)
{
    const misuse *m = &misuses[_i];
    char says[512];
    program_result r = program("eval", trained(), m->args[0], m->args[1], NULL);

    snprintf(says, sizeof says, "%s\n", m->says);
    ck_assert_str_eq(r.err, says);
    ck_assert_int_eq(r.exit, m->exit);
    ck_assert_str_eq(r.out, "");
}
END_TEST

START_TEST(a_run_without_its_configuration_gets_one_line)
{
    char path[4096], says[8192];
    const char *folder = trained();

    snprintf(path, sizeof path, "%s/config.yaml", folder);
    ck_assert_int_eq(unlink(path), 0);
    program_result r = program("eval", folder, NULL);
    snprintf(says, sizeof says, "%s: no such file\n", path);
    ck_assert_str_eq(r.err, says);
    ck_assert_int_eq(r.exit, 2);
}
END_TEST

START_TEST(more_neighbours_than_the_bank_has_are_told)
{
    program_result r = program("eval", trained(), "--knn=99999", "--quiet", NULL);
    ck_assert_msg(strstr(r.out, "\nkNN of h, k = 30, not 99999 "), "%s", r.out);
}
END_TEST

START_TEST(what_is_no_run_folder_is_told_with_an_example)
{
    program_result r = program("eval", ".", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, ".: not a run folder (no status.json in it)"));
    ck_assert_int_eq(program("eval", "nowhere", NULL).exit, 2);
}
END_TEST

Suite *suite_eval(void)
{
    Suite *s = suite_create("eval");
    TCase *tc = tcase_create("eval");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, without_options_it_tells_the_figures_of_the_last_line_of_the_log);
    tcase_add_test(tc, the_table_shows_metrics_probes_and_verdict);
    tcase_add_test(tc, another_team_and_another_table_see_the_same_figures);
    tcase_add_test(tc, nothing_in_the_folder_is_touched);
    tcase_add_test(tc, a_run_without_its_configuration_gets_one_line);
    tcase_add_test(tc, more_neighbours_than_the_bank_has_are_told);
    tcase_add_test(tc, neighbours_are_counted_for_every_k_that_is_asked_for);
    tcase_add_test(tc, the_linear_probe_is_a_share_of_all_held_out_images);
    tcase_add_loop_test(tc, the_linear_probe_is_that_of_the_run, 0,
                        getenv("FULLRANK_LONG") ? 2 : 1);
    tcase_add_test(tc, metrics_can_be_those_of_training_images);
    tcase_add_test(tc, the_score_is_that_of_the_network_worked_out_by_hand);
    tcase_add_test(tc, the_score_of_z_goes_through_the_heads);
    tcase_add_test(tc, a_damaged_checkpoint_is_told_and_the_one_before_it_taken);
    tcase_add_test(tc, other_data_are_refused_unless_they_are_asked_for);
    tcase_add_test(tc, settings_that_are_not_those_of_the_run_are_told);
    tcase_add_test(tc, a_network_of_another_shape_does_not_fit);
    tcase_add_test(tc, the_weights_that_a_run_began_with_are_not_needed_any_more);
    tcase_add_loop_test(tc, misuse_is_named, 0, sizeof misuses / sizeof *misuses);
    tcase_add_test(tc, what_is_no_run_folder_is_told_with_an_example);
    suite_add_tcase(s, tc);
    return s;
}
