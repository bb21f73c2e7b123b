/* Promise 1 as a user meets it: the program trains every method with every model for
 * some epochs, and neither the number of threads nor the kernel table can be seen in the
 * weights or in any figure of metrics.jsonl.  Compilers and other processors are the
 * business of `make bits` and `make neon`. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/model.h"
#include "nn/setting.h"
#include "optim/opt.h"
#include "ssl/method.h"
#include "tests/program.h"
#include "tests/suites.h"

/* Every augmentation happens to some views and not to others; images enough for four
 * steps an epoch. */
#define CONFIG \
    "method: {name: %s}\n" \
    "model: {name: %s}\n" \
    "optim: {name: %s, lr: %s}\n" \
    "data: {name: shapes, size: 16}\n" \
    "augment: {crop: true, flip: 0.5, jitter: 0.8, brightness: 0.4, contrast: 0.4,\n" \
    "          saturation: 0.4, hue: 0.1, grey: 0.3, blur: 0.5, blur2: 0.2,\n" \
    "          solarize: 0.2, solarize2: 0.3}\n" \
    "metrics: {samples: 6, bank: 10, knn_k: 5}\n" \
    "batch: 4\n" \
    "epochs: 3\n"

enum { MOST_ARGS = 16 };

typedef struct pair { const char *key, *value; } pair;

/* What keeps components small, where they have it. */
static const pair small_model[] = { { "width", "0.03" } };
static const pair small_method[] = { { "proj_dim", "16" }, { "proj_hidden", "16" },
                                     { "pred_hidden", "4" } };

/* Large steps: when weights hardly move, a gradient that is off in its last bit moves
 * them to the same float. */
static const pair bold[] = { { "sgd", "0.5" }, { "adamw", "0.02" }, { "lars", "5" },
                             { "lars_clip", "0.5" } };

static const char *rate(const char *optim)
{
    for (size_t i = 0; i < sizeof bold / sizeof *bold; i++)
        if (strcmp(bold[i].key, optim) == 0)
            return bold[i].value;
    return "0.1";
}

static int has(const nn_setting *table, const char *name)
{
    for (; table && table->name; table++)
        if (strcmp(table->name, name) == 0)
            return 1;
    return 0;
}

static void write_config(const char *method, const char *model, const char *optim)
{
    char text[1024];
    snprintf(text, sizeof text, CONFIG, method, model, optim, rate(optim));
    program_write("a.yaml", text);
}

/* One run below `out`; `more` is one more KEY=VALUE, or NULL. */
static void train(const ssl_method *method, const nn_model *model, const char *out,
                  int threads, const char *more)
{
    char text[MOST_ARGS][64];
    const char *args[MOST_ARGS + 1] = { NULL };
    int n = 0;

#define ARG(...) \
    (snprintf(text[n], sizeof text[n], __VA_ARGS__), args[n] = text[n], n++)
    ARG("train");
    ARG("a.yaml");
    ARG("--quiet");
    ARG("--out=%s", out);
    ARG("--threads=%d", threads);
    for (size_t i = 0; i < sizeof small_model / sizeof *small_model; i++)
        if (has(model->settings, small_model[i].key))
            ARG("model.%s=%s", small_model[i].key, small_model[i].value);
    for (size_t i = 0; i < sizeof small_method / sizeof *small_method; i++)
        if (has(method->settings, small_method[i].key))
            ARG("method.%s=%s", small_method[i].key, small_method[i].value);
    if (more)
        ARG("%s", more);
#undef ARG
    program_result r = program_args(args);
    ck_assert_msg(r.exit == 0, "%s %s ended with %d: %s", method->name, model->name,
                  r.exit, r.err);
}

static const char *hash_of(const char *out)
{
    json_t *status = program_json(program_run_folder(out), "status.json");
    const char *hash = json_string_value(json_object_get(status, "weights_sha256"));
    ck_assert_msg(hash && strlen(hash) == 64, "%s: no weights_sha256", out);
    return hash;
}

/* metrics.jsonl without the only keys that tell of time */
static json_t *figures_of(const char *out)
{
    json_t *lines = program_lines(program_run_folder(out), "metrics.jsonl"), *line;
    size_t i;
    ck_assert_uint_eq(json_array_size(lines), 4);       /* untrained, and three epochs */
    json_array_foreach(lines, i, line) {
        json_object_del(line, "seconds");
        json_object_del(line, "eval_seconds");
        json_object_del(line, "images_per_s");
        json_object_del(line, "data_wait");
        ck_assert_uint_ge(json_object_size(line), 20);
    }
    return lines;
}

static void compare(const char *what, const char *want, const char *got)
{
    ck_assert_msg(strcmp(hash_of(want), hash_of(got)) == 0, "%s: other weights", what);
    json_t *a = figures_of(want), *b = figures_of(got), *value;
    const char *key;
    for (size_t i = 0; i < json_array_size(a); i++)
        json_object_foreach(json_array_get(a, i), key, value)
            ck_assert_msg(json_equal(value, json_object_get(json_array_get(b, i), key)),
                          "%s: %s of line %zu differs", what, key, i);
    ck_assert(json_equal(a, b));
}

static int usable(const char *table)
{
    for (int i = 0; i < nn_kern_count(); i++)
        if (strcmp(nn_kern_at(i)->name, table) == 0)
            return 1;
    return 0;
}

START_TEST(a_run_is_the_same_at_any_number_of_threads_and_with_any_table)
{
    static const int teams[] = { 2, 3, 7 };
    /* every model with the first method, then every other method with some model */
    const int models = nn_model_count();
    const ssl_method *method = ssl_method_at(_i < models ? 0 : _i - models + 1);
    const nn_model *model =
        method->decodes ? nn_model_find("autoencoder_toy") : nn_model_at(_i % models);
    char what[128], out[64];

    /* Models that are neighbours have different optimisers.  Only a mean of cosines bears
     * sgd's bold steps; AdamW's have a length of their own, however steep the loss. */
    const opt_method *optim = _i < models ? opt_method_at(_i % opt_method_count())
                                          : opt_method_find("adamw");
    write_config(method->name, model->name, optim->name);
    unsetenv("FULLRANK_KERN");
    train(method, model, "one", 1, NULL);
    for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
        snprintf(what, sizeof what, "%s %s %s, %d threads", method->name, model->name,
                 optim->name, teams[t]);
        snprintf(out, sizeof out, "team%d", teams[t]);
        train(method, model, out, teams[t], NULL);
        compare(what, "one", out);
    }
    for (const char *const *table = nn_kern_names(); *table; table++) {
        snprintf(what, sizeof what, "%s %s %s, table %s", method->name, model->name,
                 optim->name, *table);
        if (!usable(*table)) {
            printf("skipped: %s: this CPU cannot run it\n", what);
            continue;
        }
        setenv("FULLRANK_KERN", *table, 1);
        train(method, model, *table, 2, NULL);
        compare(what, "one", *table);
    }
}
END_TEST

/* What of a codebook no gradient moves, and what is random in it, with several codebooks
 * where that is told; usage, lives and reconstructions among the figures. */
static const char *const books[] = {
    "vq restart=0.5 decay=0.5 stages=2 stage_dropout=0.5", "ema restart=0.5 decay=0.5",
    "ema init=kmeans metric=unit", "cvq anchor=random metric=cosine", "cvq",
    "cvq anchor=probrandom init=data", "simvq stages=2 groups=2", "simvq train_basis=true",
    "vq init=kmeans++ transport=rotation dim=6", "fsq levels=5,3", "lfq bits=4",
    "gain_shape",
};

START_TEST(a_codebook_is_the_same_at_any_number_of_threads_and_with_any_table)
{
    char line[128], text[1024], *rest, what[160];
    snprintf(line, sizeof line, "%s", books[_i]);
    int at = snprintf(text, sizeof text, CONFIG "quantiser:\n  name: %s\n", "vqvae",
                      "autoencoder_toy", "adamw", "0.02", strtok_r(line, " ", &rest));
    if (has(nn_quant_find(line)->settings, "codes"))
        at += snprintf(text + at, sizeof text - (size_t)at, "  codes: 24\n");
    for (char *word; (word = strtok_r(NULL, " ", &rest)); ) {
        *strchr(word, '=') = 0;
        at += snprintf(text + at, sizeof text - (size_t)at, "  %s: %s\n", word,
                       word + strlen(word) + 1);
    }
    program_write("a.yaml", text);
    const ssl_method *method = ssl_method_find("vqvae");
    const nn_model *model = nn_model_find("autoencoder_toy");
    unsetenv("FULLRANK_KERN");
    train(method, model, "one", 1, NULL);
    train(method, model, "three", 3, NULL);
    snprintf(what, sizeof what, "%s, 3 threads", books[_i]);
    compare(what, "one", "three");
    for (const char *const *table = nn_kern_names(); *table; table++)
        if (usable(*table)) {
            setenv("FULLRANK_KERN", *table, 1);
            train(method, model, *table, 2, NULL);
            snprintf(what, sizeof what, "%s, table %s", books[_i], *table);
            compare(what, "one", *table);
        }
}
END_TEST

/* Equal hashes say something only if these runs can differ at all: each thing that is
 * random in them, taken away, must be seen in the weights. */
START_TEST(every_random_choice_of_these_runs_reaches_the_weights)
{
    static const char *const changes[] = {
        "seed=1", "augment.crop=false", "augment.flip=0", "augment.jitter=0",
        "augment.brightness=0", "augment.contrast=0", "augment.saturation=0",
        "augment.hue=0", "augment.grey=0", "augment.blur=0", "augment.blur2=0",
        "augment.solarize=0", "augment.solarize2=0",
    };
    const ssl_method *method = ssl_method_at(0);
    const nn_model *model = nn_model_at(0);
    char out[16];

    write_config(method->name, model->name, "sgd");
    train(method, model, "as-is", 1, NULL);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        snprintf(out, sizeof out, "change%zu", i);
        train(method, model, out, 1, changes[i]);
        ck_assert_msg(strcmp(hash_of("as-is"), hash_of(out)) != 0, "%s changes nothing",
                      changes[i]);
    }
}
END_TEST

Suite *suite_everywhere(void)
{
    Suite *s = suite_create("everywhere");
    TCase *tc = tcase_create("everywhere");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc,
                        a_run_is_the_same_at_any_number_of_threads_and_with_any_table, 0,
                        nn_model_count() + ssl_method_count() - 1);
    tcase_add_loop_test(tc,
                        a_codebook_is_the_same_at_any_number_of_threads_and_with_any_table,
                        0, (int)(sizeof books / sizeof *books));
    tcase_add_test(tc, every_random_choice_of_these_runs_reaches_the_weights);
    suite_add_tcase(s, tc);
    return s;
}
