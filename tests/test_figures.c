/* What a run tells of every epoch beside the collapse metrics: the loss in parts, probes,
 * the agreement of views.  And that a run which was stopped and gone on with tells the
 * same. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    suite_add_tcase(s, tc);
    return s;
}
