/* Losses with local crops against PyTorch (tests/golden/make_locals.py), and runs. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "ssl/objective.h"
#include "tests/golden.h"
#include "tests/keys.h"
#include "tests/program.h"
#include "tests/suites.h"

enum { LOCALS = 3, MOST = 6 + LOCALS };

/* Cosines and logarithms of seven rows of five: some tens of roundings of 6e-8 each. */
#define TOLERANCE 2e-6

static const struct { const char *golden, *method, *settings; int target; } forms[] = {
    { "simsiam", "simsiam", "", 0 },
    { "simsiam/asym", "simsiam", "symmetric=0", 0 },
    { "simsiam/no_stop", "simsiam", "stop_gradient=0", 0 },
    { "simsiam/xent", "simsiam", "similarity=cross_entropy", 0 },
    { "byol", "byol", "", 1 },
    { "byol/asym", "byol", "symmetric=0", 1 },
    { "byol/online", "byol", "target=online", 0 },
};

static const char *const names[MOST] = { "p0", "p1", "z0", "z1", "t0", "t1",
                                         "l0", "l1", "l2" };

/* The method without its predictor: predictions are given, those of local crops as their
 * embeddings. */
static void check_form(const golden *g, int form, int locals)
{
    _Alignas(16) unsigned char config[1024];
    ssl_method m = *ssl_method_find(forms[form].method);
    ssl_objective o = { .method = &m, .config = config, .views = 2 };
    ssl_views v = { .count = 2 };
    nn_arena step = {0}, scratch = {0};
    nn_node *in[MOST];
    nn_tape t;

    ck_assert(m.config_size <= sizeof config);
    keys_set(m.settings, config, forms[form].settings);
    m.predict = NULL;
    nn_tape_start(&t, &step, &scratch);
    for (int i = 0; i < MOST; i++) {
        const golden_record *x = golden_at(g, "%s", names[i]);
        in[i] = nn_input(&t, x->shape, x->val, 1);
    }
    for (int k = 0; k < 2; k++) {
        v.p[k] = in[k];
        v.z[k] = in[2 + k];
        v.tz[k] = forms[form].target ? in[4 + k] : NULL;
    }
    v.locals = locals;
    for (int k = 0; k < locals; k++)
        v.lz[k] = in[6 + k];
    nn_node *loss = ssl_objective_loss(&t, &o, &v);
    golden_check(golden_at(g, "%s/%d/loss", forms[form].golden, locals), loss->val,
                 TOLERANCE);
    nn_backward(loss);
    for (int i = 0; i < MOST; i++) {
        const golden_record *d = golden_at(g, "%s/%d/%s", forms[form].golden, locals,
                                           names[i]);
        for (size_t k = 0; k < d->n; k++) {
            float got = in[i]->grad ? in[i]->grad[k] : 0;
            ck_assert_msg(fabsf(got - d->val[k]) <= TOLERANCE,
                          "%s, %d local crops, gradient of %s: %g, PyTorch has %g",
                          forms[form].golden, locals, names[i], (double)got,
                          (double)d->val[k]);
        }
    }
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
}

START_TEST(losses_with_local_crops_are_the_mean_over_all_directions)
{
    golden g = golden_open("locals.gold");

    for (int locals = 0; locals <= LOCALS; locals++)
        check_form(&g, _i, locals);
    golden_free(&g);
}
END_TEST

/* ---- runs ---- */

#define TINY "epochs: 2\nbatch: 8\ndata: {name: shapes, size: 24}\nmodel: {name: conv3}\n" \
    "augment: {local_crops: 2}\nmetrics: {samples: 16, bank: 16, linear: off}\n"
#define SIMSIAM TINY "method: {name: simsiam, proj_dim: 8}\n"
#define BYOL TINY "method: {name: byol, proj_dim: 8, proj_hidden: 8, pred_hidden: 8}\n"

/* The weights that a run ended with, or why it did not. */
static const char *weights(const char *config, const char *pair, const char *out)
{
    program_write("a.yaml", config);
    program_result r = program("train", "a.yaml", pair, "--out", out, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *status = program_json(program_run_folder(out), "status.json");
    return json_string_value(json_object_get(status, "weights_sha256"));
}

static void refused(const char *config, const char *pair, const char *text)
{
    program_write("a.yaml", config);
    program_result r = program("train", "a.yaml", pair, NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_msg(strstr(r.err, text), "%s", r.err);
}

START_TEST(local_crops_are_trained_with_and_matter)
{
    static const char *const config[] = { SIMSIAM, BYOL };
    const char *two = weights(config[_i], "seed=1", "two");

    ck_assert_str_eq(weights(config[_i], "seed=1", "again"), two);
    ck_assert_str_ne(weights(config[_i], "augment.local_crops=1", "one"), two);
    ck_assert_str_ne(weights(config[_i], "augment.local_size=8", "small"), two);
    ck_assert_str_ne(weights(config[_i], "augment.local_crops=0", "none"), two);
}
END_TEST

START_TEST(views_of_another_size_are_trained_with)
{
    const char *plain = weights(SIMSIAM, "seed=1", "plain");

    ck_assert_str_ne(weights(SIMSIAM, "augment.size=24", "smaller"), plain);
    json_t *status = program_json(program_run_folder("smaller"), "status.json");
    json_t *data = json_object_get(status, "data");
    ck_assert_int_eq((int)json_integer_value(json_object_get(data, "h")), 24);
}
END_TEST

START_TEST(local_crops_that_cannot_be_are_refused)
{
    refused(SIMSIAM, "method.name=vicreg",
            "a.yaml:5: augment.local_crops = 2: method vicreg does not define a loss of "
            "local crops, as simsiam and byol do; set augment.local_crops: 0");
    refused(SIMSIAM, "model.name=mlp",
            "a.yaml:5: augment.local_crops: model mlp takes images of one size, 32 x 32; "
            "choose another model, or augment.local_size: 32");
    refused(SIMSIAM, "augment.local_scale_min=0.5",
            "augment: local_scale_min = 0.5 is above local_scale_max = 0.4");
}
END_TEST

Suite *suite_locals(void)
{
    Suite *s = suite_create("locals");
    TCase *t = tcase_create("losses"), *runs = tcase_create("runs");

    program_find();
    tcase_add_checked_fixture(runs, program_enter, program_leave);
    tcase_set_timeout(runs, 60);
    tcase_add_loop_test(runs, local_crops_are_trained_with_and_matter, 0, 2);
    tcase_add_test(runs, views_of_another_size_are_trained_with);
    tcase_add_test(runs, local_crops_that_cannot_be_are_refused);
    suite_add_tcase(s, runs);

    tcase_add_loop_test(t, losses_with_local_crops_are_the_mean_over_all_directions, 0,
                        (int)NN_COUNT(forms));
    suite_add_tcase(s, t);
    return s;
}
