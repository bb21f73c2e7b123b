/* The program from end to end on tiny data: what it prints, what it leaves behind, and
 * how it ends when the world or the numbers are against it. */
#include <check.h>
#include <glob.h>
#include <math.h>
#include <sha2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "metrics/met.h"
#include "nn/kern/kern.h"
#include "optim/opt.h"
#include "tests/net.h"
#include "tests/program.h"
#include "tests/suites.h"

/* Everything a real run has (convolution, BatchNorm, both heads), in a fraction of a
 * second. */
#define TINY \
    "method: {name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4}\n" \
    "model: {name: conv3, width: 0.5}\n" \
    "data: {name: shapes, size: 60}\n" \
    "optim: {name: sgd, base_lr: 0.5}\n" \
    "metrics: {samples: 12, bank: 30, knn_k: 5}\n" \
    "batch: 16\n" \
    "epochs: 2\n"

enum { STEPS = 60 / 16 };               /* per epoch; the rest of the images is dropped */

static program_result trained(const char *a, const char *b)
{
    program_write("a.yaml", TINY);
    return program("train", "a.yaml", a, a ? b : NULL, NULL);
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    ck_assert_msg(s, "no text '%s'", key);
    return s;
}

static double number_at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number '%s'", key);
    return json_number_value(v);
}

/* ---- what stands on the command line --------------------------------------------- */

START_TEST(help_and_version_are_there)
{
    ck_assert_int_eq(program("--help", NULL).exit, 0);
    ck_assert_ptr_nonnull(strstr(program("--help", NULL).out, "train CONFIG.yaml"));
    ck_assert_ptr_nonnull(strstr(program("help", NULL).out, "train CONFIG.yaml"));
    ck_assert_ptr_nonnull(strstr(program("train", "--help", NULL).out, "--seed=N"));
    ck_assert_ptr_nonnull(strstr(program("help", "train", NULL).out, "--seed=N"));
    program_result r = program("--version", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_int_eq(strncmp(r.out, "fullrank ", 9), 0);
}
END_TEST

typedef struct misuse { const char *args[3], *says; } misuse;

static const misuse misuses[] = {
    { { "trian" }, "command line: no command 'trian'; did you mean 'train'?" },
    { { "xyzzy" }, "command line: no command 'xyzzy'; 'fullrank --help' lists them" },
    { { "help", "trian" }, "command line: no command 'trian'; did you mean 'train'?" },
    { { "list", "method" },
      "command line: cannot list 'method'; did you mean 'methods'?" },
    { { "list", "xyzzy" },
      "command line: cannot list 'xyzzy'; there are methods, addons, models,"
      " datasets, optimizers, quantisers, metrics and papers" },
    { { "train" }, "fullrank train: too few arguments" },
    { { "train", "--threads=0" },
      "fullrank train: --threads wants a whole number from 1 to 1024, not '0'" },
    { { "train", "--threads=two" },
      "fullrank train: --threads wants a whole number from 1 to 1024, not 'two'" },
    { { "train", "--resume=now" },
      "fullrank train: --resume is given alone or as --resume=auto, not 'now'" },
    { { "train", "--nonsense" }, "fullrank train: unrecognized option '--nonsense'" },
    { { "doctor", "now" }, "fullrank doctor: one argument too many: 'now'" },
    { { "report" }, "fullrank report: too few arguments" },
};

START_TEST(misuse_is_named_and_ends_with_2)
{
    const misuse *m = &misuses[_i];
    char says[512];
    program_result r = program(m->args[0], m->args[1], NULL);

    snprintf(says, sizeof says, "%s\n", m->says);
    ck_assert_msg(strncmp(r.err, says, strlen(says)) == 0, "%s", r.err);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_str_eq(r.out, "");
}
END_TEST

START_TEST(without_a_command_the_overview_goes_to_the_error_stream)
{
    program_result r = program(NULL, NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_str_eq(r.out, "");
    ck_assert_ptr_nonnull(strstr(r.err, "train CONFIG.yaml"));
}
END_TEST

START_TEST(lists_hold_what_is_compiled_in)
{
    char *methods = program("list", "methods", NULL).out;
    for (int i = 0; i < ssl_method_count(); i++)
        ck_assert_ptr_nonnull(strstr(methods, ssl_method_at(i)->name));
    char *metrics = program("list", "metrics", NULL).out;
    for (int i = 0; i < met_metric_count(); i++)
        ck_assert_ptr_nonnull(strstr(metrics, met_metric_at(i)->name));
    char *quantisers = program("list", "quantisers", NULL).out;
    for (int i = 0; i < nn_quant_count(); i++) {
        ck_assert_ptr_nonnull(strstr(quantisers, nn_quant_at(i)->name));
        ck_assert_ptr_nonnull(strstr(quantisers, nn_quant_at(i)->about));
    }
    ck_assert_ptr_nonnull(strstr(program("list", "models", NULL).out, "resnet8"));
    ck_assert_ptr_nonnull(strstr(program("list", "datasets", NULL).out, "shapes"));
    ck_assert_ptr_nonnull(strstr(program("list", "optimizers", NULL).out, "lars_clip"));
}
END_TEST

START_TEST(doctor_tells_what_is_here_and_what_is_missing)
{
    setenv("FULLRANK_DATA", "/nonexistent", 1);
    setenv("FULLRANK_KERN", "ref", 1);
    program_result r = program("doctor", "--threads=1", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "ref (chosen)"));
    ck_assert_ptr_nonnull(strstr(r.out, "threads       1"));
    ck_assert_ptr_nonnull(strstr(r.out, " GFLOP/s"));
    ck_assert_ptr_nonnull(strstr(r.out, "FULLRANK_DATA /nonexistent"));
    ck_assert_ptr_nonnull(strstr(r.out, "shapes: "));
    ck_assert_ptr_nonnull(strstr(r.out, "libyaml "));

    setenv("FULLRANK_KERN", "mmx", 1);
    r = program("doctor", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "FULLRANK_KERN=mmx"));
    r = trained(NULL, NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(
        strstr(r.err, "FULLRANK_KERN=mmx: no such kernel table on this machine"));
}
END_TEST

START_TEST(a_full_standard_output_is_an_error)
{
    if (access("/dev/full", W_OK) != 0) {
        printf("skipped: no /dev/full here\n");
        return;
    }
    setenv("TEST_STDOUT", "/dev/full", 1);
    program_result r = program("list", "methods", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "standard output"));
}
END_TEST

/* ---- a run from end to end --------------------------------------------------------- */

/* The keys every line and file promises (experiments/README.md). */
static const char *const line_keys[] = { "epoch",
                                         "loss",
                                         "lr",
                                         "images_per_s",
                                         "data_wait",
                                         "seconds",
                                         "n",
                                         "d",
                                         "r",
                                         "k",
                                         "knn_k",
                                         "bank",
                                         "eval/knn",
                                         "verdict",
                                         "why",
                                         "collapse/std",
                                         "collapse/erank",
                                         "collapse/rankme",
                                         "collapse/participation",
                                         "collapse/mean_cos",
                                         "collapse/lid_mean",
                                         "collapse/lid_gmean",
                                         "h/collapse/std",
                                         "h/collapse/erank" };
static const char *const status_keys[] = {
    "state",     "epoch",   "epochs", "exit",    "message",        "name",
    "label",     "seed",    "host",   "version", "compiler",       "kernel",
    "threads",   "started", "ended",  "seconds", "weights_sha256", "baseline",
    "reference", "data",    "model",  "method"
};

static void has_keys(const json_t *o, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(json_object_get(o, keys[i]), "no key '%s'", keys[i]);
}

#define HAS_KEYS(o, keys) has_keys(o, keys, sizeof keys / sizeof *keys)

START_TEST(a_run_leaves_the_folder_that_is_promised)
{
    program_result r = trained("--seed=7", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(r.err, "");
    ck_assert_msg(!strchr(r.out, '\033'), "colours in a file: %s", r.out);
    ck_assert_ptr_nonnull(strstr(r.out, "run folder"));

    const char *folder = program_run_folder("runs");
    ck_assert_ptr_nonnull(strstr(folder, "runs/a/simsiam-shapes-"));
    ck_assert_str_eq(strrchr(folder, '/'), "/s7");

    json_t *lines = program_lines(folder, "metrics.jsonl");
    ck_assert_uint_eq(json_array_size(lines), 3);       /* untrained, epoch 1, epoch 2 */
    for (size_t i = 0; i < 3; i++) {
        const json_t *o = json_array_get(lines, i);
        HAS_KEYS(o, line_keys);
        ck_assert_int_eq((int)number_at(o, "epoch"), (int)i);
        ck_assert_int_eq(json_is_null(json_object_get(o, "loss")), i == 0);
        ck_assert_int_eq(json_object_get(o, "weights_sha256") != NULL, i == 2);
        ck_assert_int_eq((int)number_at(o, "n"), 12);
        ck_assert_int_eq((int)number_at(o, "d"), 16);
        ck_assert_int_eq((int)number_at(o, "k"), 11);   /* 32 neighbours do not exist */
        ck_assert_int_eq((int)number_at(o, "bank"), 30);
        double knn = number_at(o, "eval/knn");
        ck_assert_double_eq_tol(knn * 12, floor(knn * 12 + 0.5), 1e-6);
    }
    const json_t *last = json_array_get(lines, 2);
    json_t *s = program_json(folder, "status.json");
    HAS_KEYS(s, status_keys);
    ck_assert_str_eq(text_at(s, "state"), "finished");
    ck_assert_str_eq(text_at(s, "method"), "simsiam");
    ck_assert_int_eq((int)number_at(s, "exit"), 0);
    ck_assert_int_eq((int)number_at(s, "epoch"), 2);
    ck_assert_int_eq((int)number_at(s, "seed"), 7);
    ck_assert_uint_eq(strlen(text_at(s, "weights_sha256")), 64);
    ck_assert_str_eq(text_at(s, "weights_sha256"), text_at(last, "weights_sha256"));
    const json_t *base = json_object_get(s, "baseline");
    ck_assert_double_eq_tol(number_at(base, "chance"), 0.1, 1e-12);
    ck_assert_double_eq(number_at(base, "untrained_knn"),
                        number_at(json_array_get(lines, 0), "eval/knn"));
    ck_assert_double_eq(number_at(json_object_get(s, "reference"), "collapse/std"), 1);
    const json_t *pipeline = json_object_get(s, "pipeline");
    ck_assert_double_gt(number_at(pipeline, "data_wait"), 0);
    ck_assert_double_lt(number_at(pipeline, "data_wait"), 1);
    ck_assert_double_gt(number_at(pipeline, "augment_us"), 0);
    ck_assert_double_gt(number_at(pipeline, "augment_share"), 0);
    ck_assert_double_gt(number_at(last, "data_wait"), 0);
    ck_assert_double_lt(number_at(last, "data_wait"), 1);
    ck_assert(json_is_null(json_object_get(json_array_get(lines, 0), "data_wait")));
    ck_assert_ptr_nonnull(strstr(r.out, "\nwaiting for data "));
    ck_assert_int_eq((int)number_at(json_object_get(s, "data"), "train"), 60);
    ck_assert_int_eq((int)number_at(json_object_get(s, "data"), "c"), 3);
}
END_TEST

START_TEST(snapshots_hold_pairs_spectra_and_maps)
{
    ck_assert_int_eq(trained(NULL, NULL).exit, 0);
    json_t *lines = program_lines(program_run_folder("runs"), "snapshots.jsonl");
    const json_t *head = json_array_get(lines, 0),
                 *pairs = json_object_get(head, "pairs");
    static const char *const views[] = { "original", "view1", "view2" };

    ck_assert_uint_eq(json_array_size(lines), 1 + 3);
    ck_assert_uint_eq(json_array_size(json_object_get(head, "classes")), 10);
    ck_assert_uint_eq(json_array_size(json_object_get(head, "label")), 12);
    for (int i = 0; i < 3; i++) /* 8 pictures of 32 x 32 x 3, four for three */
        ck_assert_uint_eq(strlen(text_at(pairs, views[i])), 8 * 32 * 32 * 3 / 3 * 4);
    ck_assert_str_ne(text_at(pairs, "view1"), text_at(pairs, "view2"));

    for (size_t i = 1; i < 4; i++) {
        const json_t *o = json_array_get(lines, i), *z = json_object_get(o, "spectrum_z");
        ck_assert_uint_eq(json_array_size(z), 16);
        double sum = 0;
        for (size_t k = 0; k < 16; k++) {
            sum += json_number_value(json_array_get(z, k));
            ck_assert(k == 0 || json_number_value(json_array_get(z, k))
                      <= json_number_value(json_array_get(z, k - 1)));
        }
        /* trace of the covariance of unit rows: at most n / (n - 1); 5 digits are written
         */
        ck_assert_double_gt(sum, 0);
        ck_assert_double_le(sum, 12.0 / 11 + 1e-3);
        ck_assert_uint_eq(json_array_size(json_object_get(o, "map")), 2 * 12);
        ck_assert_uint_eq(json_array_size(json_object_get(o, "share")), 2);
    }
}
END_TEST

/* The first of the pictures is the first image of the set, byte for byte. */
START_TEST(the_pictures_are_those_of_the_data)
{
    data_settings set;
    data_images train, test;
    nn_arena a = {0};
    nn_err err;

    ck_assert_int_eq(trained(NULL, NULL).exit, 0);
    json_t *lines = program_lines(program_run_folder("runs"), "snapshots.jsonl");
    const char *text =
        text_at(json_object_get(json_array_get(lines, 0), "pairs"), "original");
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    nn_setting_defaults(data_setting_table, &set);
    set.name = "shapes";
    set.size = 60;
    ck_assert_msg(data_load(&set, 0, &a, &train, &test, &err) == NN_OK, "%s", err.text);
    for (size_t i = 0; i < 32 * 32 * 3;
         i++) { /* byte i lies in letters 4i/3 and the next */
        size_t bit = 8 * i, letter = bit / 6;
        unsigned two = (unsigned)(strchr(letters, text[letter]) - letters) << 6
                     | (unsigned)(strchr(letters, text[letter + 1]) - letters);
        ck_assert_uint_eq((two >> (4 - bit % 6)) & 255, train.pixel[i]);
    }
    nn_arena_free(&a);
}
END_TEST

START_TEST(json_is_one_object_and_nothing_else)
{
    program_result r = trained("--json", "--quiet");
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.err, "");
    json_t *o = program_parse(r.out);
    HAS_KEYS(o, line_keys);
    ck_assert_str_eq(text_at(o, "state"), "finished");
    ck_assert_str_eq(text_at(o, "run"), program_run_folder("runs"));

    r = trained("--json", "epochs=none");
    ck_assert_int_eq(r.exit, 2);
    o = program_parse(r.out);
    ck_assert_str_eq(text_at(o, "state"), "failed");
    ck_assert_str_eq(text_at(o, "message"),
                     "command line: epochs wants a whole number, not"
                     " 'none'");
    ck_assert_int_eq((int)number_at(o, "exit"), 2);
}
END_TEST

START_TEST(quiet_is_quiet)
{
    program_result r = trained("--quiet", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.out, "");
    ck_assert_str_eq(r.err, "");
}
END_TEST

START_TEST(evaluations_can_be_rarer_than_epochs)
{
    ck_assert_int_eq(trained("epochs=5", "metrics.every=2").exit, 0);
    json_t *lines = program_lines(program_run_folder("runs"), "metrics.jsonl");
    static const int at[] = { 0, 2, 4, 5 };
    ck_assert_uint_eq(json_array_size(lines), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq((int)number_at(json_array_get(lines, i), "epoch"), at[i]);
}
END_TEST

/* ---- the same bits ------------------------------------------------------------------
 */

static const char *sha_of(const char *a, const char *b)
{
    program_result r = trained(a, b);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *s = program_json(program_run_folder("runs"), "status.json");
    ck_assert(rename("runs", "old") == 0 || rename("runs", "older") == 0);
    return text_at(s, "weights_sha256");
}

START_TEST(weights_do_not_depend_on_threads_or_kernel_table)
{
    const char *want = NULL;
    char threads[32], out[32];

    for (int k = 0; k < nn_kern_count(); k++)
        for (int t = 1; t <= 3; t++) {
            setenv("FULLRANK_KERN", nn_kern_at(k)->name, 1);
            snprintf(threads, sizeof threads, "--threads=%d", t);
            snprintf(out, sizeof out, "out=%s%d", nn_kern_at(k)->name, t);
            program_result r = trained(threads, out);
            ck_assert_msg(r.exit == 0, "%s", r.err);
            json_t *s = program_json(program_run_folder(out + 4), "status.json");
            ck_assert_str_eq(text_at(s, "kernel"), nn_kern_at(k)->name);
            ck_assert_int_eq((int)number_at(s, "threads"), t);
            const char *sha = text_at(s, "weights_sha256");
            want = want ? want : sha;
            ck_assert_msg(strcmp(sha, want) == 0, "%s, %d threads: %s, wanted %s",
                          nn_kern_at(k)->name, t, sha, want);
        }
}
END_TEST

START_TEST(weights_depend_on_the_seed)
{
    const char *first = sha_of("seed=1", NULL);
    ck_assert_str_ne(sha_of("seed=2", NULL), first);
}
END_TEST

/* The run once more, by hand and without a single evaluation: if measuring left a trace
 * in the network (the running statistics of the untrained one above all), or the sum were
 * not what the header says, the two would differ. */
static int by_name(const void *a, const void *b)
{
    return strcmp((*(nn_param *const *)a)->name, (*(nn_param *const *)b)->name);
}

static void sum_of_weights(const nn_store *s, char hex[65])
{
    SHA2_CTX ctx;
    SHA256Init(&ctx);
    qsort(s->list, (size_t)s->count, sizeof *s->list, by_name);
    for (int i = 0; i < s->count; i++) {
        const nn_param *p = s->list[i];
        SHA256Update(&ctx, (const uint8_t *)p->name, strlen(p->name) + 1);
        for (int k = -1; k < p->shape.rank; k++) {
            uint32_t word = (uint32_t)(k < 0 ? p->shape.rank : p->shape.dim[k]);
            uint8_t little[4] = { word & 255, word >> 8 & 255, word >> 16 & 255,
                                  word >> 24 };
            SHA256Update(&ctx, little, 4);
        }
        for (size_t k = 0; k < nn_shape_count(&p->shape); k++) {
            uint32_t word;
            memcpy(&word, p->val + k, 4);
            uint8_t little[4] = { word & 255, word >> 8 & 255, word >> 16 & 255,
                                  word >> 24 };
            SHA256Update(&ctx, little, 4);
        }
    }
    SHA256End(&ctx, hex);
}

START_TEST(measuring_leaves_no_trace_in_the_weights)
{
    enum { EPOCHS = 2, BATCH = 16, PROJ_HIDDEN_ONLY = 1 };
    const char *want = sha_of(NULL, NULL);
    data_settings set;
    data_augment augment;
    data_images train, test;
    opt_settings optim;
    net n;
    nn_err err;
    char hex[65];
    unsigned char given[64] = {0};

    nn_setting_defaults(data_setting_table, &set);
    nn_setting_defaults(data_augment_table, &augment);
    nn_setting_defaults(opt_setting_table, &optim);
    set.name = "shapes";
    set.size = 60;
    optim.base_lr = 0.5;
    const data_source *source = data_source_find("shapes");
    const opt_method *sgd = opt_method_find("sgd");
    ck_assert_int_eq(data_augment_resolve(&augment, given, source->recipe, &err), NN_OK);
    ck_assert_int_eq(opt_settle(sgd, &optim, &err), NN_OK);

    net_start(&n, "conv3", "simsiam", (nn_image_shape){ 32, 32, 3 }, BATCH);
    net_set_model(&n, "width", 0.5);
    net_set_method(&n, "proj_dim", 16);
    net_set_method(&n, "proj_bn", PROJ_HIDDEN_ONLY);
    net_set_method(&n, "pred_hidden", 4);
    net_build(&n, 0);
    ck_assert_int_eq(data_load(&set, 0, &n.forever, &train, &test, &err), NN_OK);
    data_loader *l = data_loader_new(&n.forever, &train, &augment, 0, BATCH, 2);
    opt_state *opt = opt_new(sgd, &optim, &n.store);
    ck_assert_int_eq(data_loader_steps(l), STEPS);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int step = 0; step < STEPS; step++) {
            data_batch b = data_loader_get(l, epoch, step);
            ssl_views v;
            for (int k = 0; k < 2; k++)
                memcpy(n.view[k], b.view[k], sizeof(float) * BATCH * 32 * 32 * 3);
            nn_backward(net_loss(&n, &v));
            long now = epoch * STEPS + step;
            opt_step(opt, opt_lr(&optim, BATCH, now, STEPS, EPOCHS),
                     opt_peak_lr(&optim, BATCH), now);
        }
    data_loader_stop(l);
    sum_of_weights(&n.store, hex);
    ck_assert_str_eq(want, hex);
    net_free(&n);
}
END_TEST

START_TEST(after_the_first_step_no_memory_is_asked_for)
{
    ck_assert_int_eq(trained(NULL, NULL).exit, 0);
    json_t *s = program_json(program_run_folder("runs"), "status.json");
    const json_t *memory = json_object_get(s, "memory");
    ck_assert_double_gt(number_at(memory, "bytes"), 1e4);
    ck_assert_int_eq((int)number_at(memory, "late_requests"), 0);
}
END_TEST

/* ---- how runs end -------------------------------------------------------------------
 */

START_TEST(a_loss_that_is_not_a_number_ends_with_4)
{
    program_result r = trained("optim.base_lr=1e6", "optim.weight_decay=1000");
    ck_assert_int_eq(r.exit, 4);
    ck_assert_msg(strstr(r.err, "the loss is not a number in epoch ") == r.err, "%s",
                  r.err);
    ck_assert_ptr_nonnull(strstr(r.err, "try a smaller optim.base_lr"));
    r = program("train", "a.yaml", "optim.lr=1e6", "optim.base_lr=0",
                "optim.weight_decay=1000", NULL);
    ck_assert_ptr_nonnull(strstr(r.err, "try a smaller optim.lr"));
    program_remove("runs");
    r = trained("optim.base_lr=1e6", "optim.weight_decay=1000");

    const char *folder = program_run_folder("runs");
    json_t *s = program_json(folder, "status.json");
    ck_assert_str_eq(text_at(s, "state"), "diverged");
    ck_assert_int_eq((int)number_at(s, "exit"), 4);
    ck_assert_ptr_nonnull(strstr(r.err, text_at(s, "message")));
    json_t *lines = program_lines(folder, "metrics.jsonl");
    const json_t *last = json_array_get(lines, json_array_size(lines) - 1);
    HAS_KEYS(last, line_keys);
    ck_assert_str_eq(text_at(last, "verdict"), "diverged");
    ck_assert(json_is_null(json_object_get(last, "loss")));
    ck_assert(json_is_null(json_object_get(last, "collapse/std")));
    program_lines(folder, "snapshots.jsonl");
}
END_TEST

START_TEST(the_alarm_can_stop_a_collapsed_run)
{
    program_write("b.yaml", TINY "alarm: {action: stop, patience: 2}\n");
    program_result r =
        program("train", "b.yaml", "method.stop_gradient=false", "epochs=60", NULL);
    ck_assert_msg(r.exit == 3, "exit %d: %s%s", r.exit, r.out, r.err);
    ck_assert_msg(strstr(r.err, "stopped by alarm.action=stop: ") == r.err, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "look first at: method.stop_gradient=false"));
    json_t *lines = program_lines(program_run_folder("runs"), "metrics.jsonl");
    size_t n = json_array_size(lines);
    ck_assert_uint_lt(n, 61);
    for (size_t i = n - 2; i < n; i++)
        ck_assert_ptr_nonnull(
            strstr(text_at(json_array_get(lines, i), "verdict"), "collapse"));
    ck_assert_ptr_nonnull(
        json_object_get(json_array_get(lines, n - 1), "weights_sha256"));
}
END_TEST

START_TEST(the_alarm_warns_once_and_goes_on)
{
    program_write("b.yaml", TINY "alarm: {patience: 2}\n");
    program_result r = program("train", "b.yaml", "method.stop_gradient=false",
                               "optim.base_lr=3", "epochs=6", NULL);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    const char *alarm = strstr(r.out, "alarm: ");
    ck_assert_msg(alarm && !strstr(alarm + 1, "alarm: "), "%s", r.out);
    r = program("train", "b.yaml", "method.stop_gradient=false", "optim.base_lr=3",
                "epochs=6", "alarm.action=off", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert(!strstr(r.out, "alarm: "));
}
END_TEST

START_TEST(missing_data_end_with_5)
{
    setenv("FULLRANK_DATA", ".", 1);
    program_result r = trained("data.name=mnist", "data.dir=nowhere");
    ck_assert_int_eq(r.exit, 5);
    ck_assert_msg(strchr(r.err, '\n') == r.err + strlen(r.err) - 1, "not one line: %s",
                  r.err);
    ck_assert(access("runs", F_OK) != 0);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_named_at_once)
{
    program_result r = trained("--out=a.yaml/x", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(r.err,
                     "a.yaml/x: cannot make this folder: Not a directory; a file stands"
                     " where a folder is wanted\n");

    ck_assert_int_eq(mkdir("locked", 0500), 0);
    if (geteuid() == 0) {
        printf("skipped in part: root may write into any folder\n");
        return;
    }
    r = trained("--out=locked", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(
        r.err, "locked/a: cannot make this folder: Permission denied; choose a place"
               " you may write to with --out DIR\n");
}
END_TEST

/* Everything below `folder` as one text: names and contents. */
static char *picture_of(const char *folder)
{
    static const char *const files[] = { "config.yaml", "metrics.jsonl",
                                         "snapshots.jsonl", "status.json" };
    char path[4300];
    size_t n = 0, room = 1 << 22;
    char *all = program_keep(malloc(room));
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        char *text = program_read(path);
        n += (size_t)snprintf(all + n, room - n, "%s\n%s\n", files[i],
                              text ? text : "(none)");
        ck_assert_uint_lt(n, room);
    }
    return all;
}

START_TEST(a_full_disk_ends_with_1_and_spares_what_was_there)
{
    ck_assert_int_eq(trained(NULL, NULL).exit, 0);
    const char *folder = program_keep(strdup(program_run_folder("runs")));
    char *before = picture_of(folder);

    program_most_bytes = 8000; /* status.json fits, the checkpoint does not */
    program_result r = program("train", "a.yaml", "--quiet", "--out=fresh", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_msg(
        strstr(r.err, "last.safetensors: cannot be written: File too large; the limit on"
                      " file sizes is too low (ulimit -f)\n"),
        "%s", r.err);
    ck_assert_msg(!strstr(r.err, ".new"), "%s", r.err);

    program_most_bytes = 100; /* not even the configuration fits: nothing is touched */
    r = program("train", "a.yaml", "--quiet", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(picture_of(folder), before);

    char path[4300];
    snprintf(path, sizeof path, "%s/checkpoints/last.safetensors.new",
             program_run_folder("fresh"));
    ck_assert_msg(access(path, F_OK) != 0, "half a file was left behind");
    snprintf(path, sizeof path, "%s/config.yaml.new", folder);
    ck_assert_msg(access(path, F_OK) != 0, "half a file was left behind");
}
END_TEST

/* A long run, waited for until it has written a few lines. */
static pid_t long_run(void)
{
    static const char *const args[] = { "train", "a.yaml", "epochs=100000", NULL };
    enum { LINES = 4, PATIENCE = 4000 };
    program_write("a.yaml", TINY);
    pid_t pid = program_start(args);
    for (int i = 0; i < PATIENCE; i++) {
        usleep(10000);
        char command[] = "cat runs/*/*/s0/metrics.jsonl 2>/dev/null | wc -l";
        FILE *f = popen(command, "r");
        int lines = 0;
        ck_assert_int_eq(fscanf(f, "%d", &lines), 1);
        pclose(f);
        if (lines >= LINES)
            return pid;
    }
    kill(pid, SIGKILL);
    ck_abort_msg("no lines after %d ms", PATIENCE * 10);
    return pid;
}

START_TEST(a_killed_run_leaves_whole_lines)
{
    pid_t pid = long_run();
    kill(pid, SIGKILL);
    ck_assert_int_eq(program_wait(pid), 128 + SIGKILL);
    const char *folder = program_run_folder("runs");
    ck_assert_uint_ge(json_array_size(program_lines(folder, "metrics.jsonl")), 4);
    program_lines(folder, "snapshots.jsonl");
    ck_assert_str_eq(text_at(program_json(folder, "status.json"), "state"), "running");
}
END_TEST

static const int stopping[] = { SIGINT, SIGTERM, SIGUSR1, SIGHUP };

START_TEST(a_signal_ends_the_run_in_good_order)
{
    pid_t pid = long_run();
    kill(pid, stopping[_i]);
    ck_assert_int_eq(program_wait(pid), 75);
    const char *folder = program_run_folder("runs");
    json_t *s = program_json(folder, "status.json");
    ck_assert_str_eq(text_at(s, "state"), "interrupted");
    ck_assert_int_eq((int)number_at(s, "exit"), 75);
    json_t *lines = program_lines(folder, "metrics.jsonl");
    ck_assert_int_eq(
        (int)number_at(json_array_get(lines, json_array_size(lines) - 1), "epoch"),
        (int)number_at(s, "epoch"));
}
END_TEST

static int found(const char *pattern)
{
    glob_t names;
    int there = glob(pattern, 0, NULL, &names) == 0;
    globfree(&names);
    return there;
}

/* The probe of pixels alone would take minutes. */
START_TEST(a_signal_ends_the_baselines_with_nothing_saved)
{
    static const char *const args[] = { "train", "a.yaml", "metrics.linear=last",
                                        "metrics.probe_epochs=100000", NULL };
    static const char *const unwritten[] = { "runs/*/*/s0/status.json",
                                             "runs/*/*/s0/checkpoints/*.safetensors" };
    char says[160];

    program_write("a.yaml", TINY);
    pid_t pid = program_start(args);
    for (int i = 0; i < 4000 && !found("runs/*/*/s0/.lock"); i++)
        usleep(10000);
    ck_assert(found("runs/*/*/s0/.lock"));
    usleep(200000);
    kill(pid, SIGTERM);
    ck_assert_int_eq(program_wait(pid), 128 + SIGTERM);
    snprintf(says, sizeof says, "signal 15 (%s) before the first step: nothing is saved"
             " yet; the same command starts at the beginning\n", strsignal(SIGTERM));
    ck_assert_str_eq(program_read(".err.behind"), says);
    for (size_t i = 0; i < NN_COUNT(unwritten); i++)
        ck_assert_msg(!found(unwritten[i]), "there is a %s", unwritten[i]);
}
END_TEST

START_TEST(a_run_has_one_writer)
{
    pid_t pid = long_run();
    program_result r = program("train", "a.yaml", "epochs=100000", NULL);
    kill(pid, SIGTERM);
    program_wait(pid);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_msg(strstr(r.err, "another fullrank is writing this run"), "%s", r.err);
}
END_TEST

START_TEST(running_again_starts_over_and_says_so)
{
    const char *first = NULL;
    for (int i = 0; i < 2; i++) {
        program_result r = trained(NULL, NULL);
        ck_assert_int_eq(r.exit, 0);
        ck_assert_int_eq(strstr(r.out, "holds an earlier run (finished)") != NULL,
                         i == 1);
        const char *folder = program_run_folder("runs");
        ck_assert_uint_eq(json_array_size(program_lines(folder, "metrics.jsonl")), 3);
        const char *sha = text_at(program_json(folder, "status.json"), "weights_sha256");
        first = first ? first : sha;
        ck_assert_str_eq(sha, first);
    }
}
END_TEST

Suite *suite_cli(void)
{
    Suite *s = suite_create("cli");
    TCase *tc = tcase_create("cli");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, help_and_version_are_there);
    tcase_add_loop_test(tc, misuse_is_named_and_ends_with_2, 0,
                        (int)(sizeof misuses / sizeof *misuses));
    tcase_add_test(tc, without_a_command_the_overview_goes_to_the_error_stream);
    tcase_add_test(tc, lists_hold_what_is_compiled_in);
    tcase_add_test(tc, doctor_tells_what_is_here_and_what_is_missing);
    tcase_add_test(tc, a_full_standard_output_is_an_error);
    tcase_add_test(tc, a_run_leaves_the_folder_that_is_promised);
    tcase_add_test(tc, snapshots_hold_pairs_spectra_and_maps);
    tcase_add_test(tc, the_pictures_are_those_of_the_data);
    tcase_add_test(tc, json_is_one_object_and_nothing_else);
    tcase_add_test(tc, quiet_is_quiet);
    tcase_add_test(tc, evaluations_can_be_rarer_than_epochs);
    tcase_add_test(tc, weights_do_not_depend_on_threads_or_kernel_table);
    tcase_add_test(tc, weights_depend_on_the_seed);
    tcase_add_test(tc, measuring_leaves_no_trace_in_the_weights);
    tcase_add_test(tc, after_the_first_step_no_memory_is_asked_for);
    tcase_add_test(tc, a_loss_that_is_not_a_number_ends_with_4);
    tcase_add_test(tc, the_alarm_can_stop_a_collapsed_run);
    tcase_add_test(tc, the_alarm_warns_once_and_goes_on);
    tcase_add_test(tc, missing_data_end_with_5);
    tcase_add_test(tc, a_place_that_cannot_be_written_is_named_at_once);
    tcase_add_test(tc, a_full_disk_ends_with_1_and_spares_what_was_there);
    tcase_add_test(tc, a_killed_run_leaves_whole_lines);
    tcase_add_loop_test(tc, a_signal_ends_the_run_in_good_order, 0,
                        (int)NN_COUNT(stopping));
    tcase_add_test(tc, a_signal_ends_the_baselines_with_nothing_saved);
    tcase_add_test(tc, a_run_has_one_writer);
    tcase_add_test(tc, running_again_starts_over_and_says_so);
    suite_add_tcase(s, tc);
    return s;
}
