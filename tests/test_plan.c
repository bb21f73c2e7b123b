/* What a run will take, foretold and then taken: `fullrank plan` beside `fullrank train`,
 * and the limit that keeps a run within its memory. */
#include <check.h>
#include <glob.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/model.h"
#include "nn/room.h"
#include "tests/program.h"
#include "tests/suites.h"

/* Small enough for seconds, large enough that every part of memory shows. */
#define SMALL \
    "method: {name: simsiam, proj_dim: 48, proj_bn: hidden, pred_hidden: 12}\n" \
    "model: {name: %s%s}\n" \
    "data: {name: shapes, size: 200}\n" \
    "metrics: {samples: 40, bank: 100, knn_k: 5}\n" \
    "batch: %d\n" \
    "epochs: 1\n"

enum { BATCH = 64 };

static void write_batch(const char *model, int batch)
{
    char text[1024];
    const int plain = strcmp(model, "identity") == 0;  /* has no width */
    snprintf(text, sizeof text, SMALL, model, plain ? "" : ", width: 0.125", batch);
    program_write("a.yaml", text);
}

static void write_config(const char *model)
{
    write_batch(model, BATCH);
}

static json_t *plan(const char *a, const char *b)
{
    program_result r = program("plan", "a.yaml", "--json", a ? a : "--threads=2",
                               b ? b : "--threads=2", NULL);
    json_t *o = program_parse(r.out);
    ck_assert_int_eq(r.exit, json_integer_value(json_object_get(o, "exit")));
    return o;
}

/* number_at(o, "memory.measured.bytes") */
static double number_at(const json_t *o, const char *path)
{
    char word[64];
    const char *p = path;

    while (o && *p) {
        size_t n = strcspn(p, ".");
        snprintf(word, sizeof word, "%.*s", (int)n, p);
        o = json_object_get(o, word);
        p += n + (p[n] == '.');
    }
    ck_assert_msg(json_is_number(o), "no number '%s'", path);
    return json_number_value(o);
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    ck_assert_msg(s, "no text '%s'", key);
    return s;
}

static const char *limit_of(double bytes)
{
    static char text[64];
    snprintf(text, sizeof text, "memory.limit=%.9f", bytes / (1 << 30));
    return text;
}

static int is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* ---- the figures ------------------------------------------------------------------- */

/* Foretold from parts of a batch, measured on the whole, and taken by training.
 *
 * Training asks the same arenas for the same things as the measurement: equal to the
 * byte.  The estimate may be off where a buffer grows in steps (tiles, chunks of rows,
 * whole lines) and the rungs see another step than the batch: some 100 KB of `scratch`,
 * here 0.5 % of the whole, so 2 %.  Activations are a straight line but for lines of 64
 * bytes: 0.5 %. */
START_TEST(memory_is_foretold_measured_and_taken_alike)
{
    if (PROGRAM_SHARE > 1 && strcmp(nn_model_at(_i)->name, "resnet18") == 0) {
        printf("skipped under the sanitizers: a plan of resnet18\n");
        return;
    }
    write_batch(nn_model_at(_i)->name, 32);             /* a resnet18 takes its time */
    json_t *p = plan(NULL, NULL);
    double estimate = number_at(p, "memory.estimated.bytes"),
           measured = number_at(p, "memory.measured.bytes");
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *status = program_json(program_run_folder("runs"), "status.json");

    ck_assert_double_eq(measured, number_at(status, "memory.bytes"));
    ck_assert_double_eq_tol(estimate / measured, 1, 0.02);
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.step_training")
                            / number_at(p, "memory.measured.step_training"), 1, 0.005);
    ck_assert_double_eq(number_at(p, "memory.estimated.forever"),
                        number_at(p, "memory.measured.forever"));
    ck_assert_double_eq(number_at(p, "parameters.all"),
                        number_at(status, "model.parameters"));
    ck_assert_double_eq(number_at(p, "parameters.backbone")
                        + number_at(p, "parameters.heads"),
                        number_at(p, "parameters.all"));
    /* the parts are the whole; lists that hold them together are counted as data */
    ck_assert_double_eq(number_at(p, "forever.data") + number_at(p, "forever.network")
                        + number_at(p, "forever.optimiser")
                        + number_at(p, "forever.batches")
                        + number_at(p, "forever.evaluation")
                        + number_at(p, "forever.checkpoint"),
                        number_at(p, "memory.estimated.forever"));
}
END_TEST

/* Batches around the rungs: too small to have any, odd, one more than the images of the
 * held-out set, all training images. */
START_TEST(any_batch_can_be_planned)
{
    static const int batch[] = { 2, 7, 8, 33, 200 };
    char pair[32];

    write_config("conv3");
    snprintf(pair, sizeof pair, "batch=%d", batch[_i]);
    json_t *p = plan(pair, NULL);
    ck_assert_double_eq(number_at(p, "exit"), 0);
    ck_assert_double_eq(number_at(p, "batch"), batch[_i]);
    ck_assert_double_eq(number_at(p, "steps_per_epoch"), 200 / batch[_i]);
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.bytes")
                            / number_at(p, "memory.measured.bytes"), 1, 0.02);
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2", pair, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_double_eq(number_at(p, "memory.measured.bytes"),
                        number_at(status, "memory.bytes"));
}
END_TEST

/* Images, bank and width on both sides of where searches and matrices change shape. */
START_TEST(memory_of_evaluations_is_foretold)
{
    static const char *const pairs[][3] = {
        { "metrics.samples=600", "metrics.bank=1300", "method.proj_dim=550" },
        { "metrics.samples=300", "metrics.bank=900", "method.proj_dim=400" },
    };
    write_config("mlp");
    program_result r = program("plan", "a.yaml", "--json", "data.size=3000", pairs[_i][0],
                               pairs[_i][1], pairs[_i][2], NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *p = program_parse(r.out);
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.scratch")
                            / number_at(p, "memory.measured.scratch"), 1, 0.02);
}
END_TEST

/* The probe of pixels is the largest thing of these runs (2500 x 3072 floats, their
 * held-out images, and as much again for the ridge), and with fewer than 2048 rows it is
 * rehearsed as it is.  One epoch: memory does not depend on more, time does. */
START_TEST(memory_of_a_linear_probe_is_foretold)
{
    static const char *const pairs[][2] = {
        { "metrics.linear_bank=0", "metrics.linear=every" },
        { "metrics.linear_bank=300", "metrics.linear=last" },
        { "metrics.online=true", "metrics.linear=every" },
    };
    write_config("mlp");
    program_result r = program("plan", "a.yaml", "--json", "--threads=2",
                               "data.size=2500", "metrics.probe_epochs=1", pairs[_i][0],
                               pairs[_i][1], NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *p = program_parse(r.out);
    ck_assert_double_eq(number_at(p, "memory.estimated.forever"),
                        number_at(p, "memory.measured.forever"));
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.bytes")
                            / number_at(p, "memory.measured.bytes"), 1, 0.02);
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.step_evaluation")
                            / number_at(p, "memory.measured.step_evaluation"), 1, 0.02);
    r = program("train", "a.yaml", "--quiet", "--threads=2", "data.size=2500",
                "metrics.probe_epochs=1", pairs[_i][0], pairs[_i][1], NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_double_eq(number_at(p, "memory.measured.bytes"),
                        number_at(status, "memory.bytes"));
    ck_assert_double_eq(number_at(p, "time.linear_probes"), 1);
    ck_assert_double_gt(number_at(p, "time.linear_seconds"), 0);
}
END_TEST

/* Regularisers that come late, or go: in no case has the first step all of them, and in
 * the last neither the first nor the last step has both.  The network is narrow, so that
 * they are most of a step: an arena has a quarter of its memory in reserve. */
static const char *const late[] = {
    "{ldreg: {start_epoch: 1, k: 500}}",
    "{wasserstein: {weight: 0, weight_end: 1}}",
    "{ldreg: {start_epoch: 1, k: 500}}, {wasserstein: {weight: 1, weight_end: 0}}",
};
static const char *const always[] = {
    "{ldreg: {start_epoch: 0, k: 500}}",
    "{wasserstein: {weight: 1}}",
    "{ldreg: {start_epoch: 0, k: 500}}, {wasserstein: {weight: 1}}",
};

static void write_added(const char *added)
{
    char text[1024];
    snprintf(text, sizeof text,
             "method: {name: align_uniform, proj_dim: 256, proj_layers: 1}\n"
             "model: {name: mlp, width: 0.0625}\n"
             "data: {name: shapes, size: 560}\n"
             "metrics: {samples: 12, bank: 30, knn_k: 5, every: 3}\n"
             "optim: {name: sgd, base_lr: 0.1}\n"
             "batch: 512\nepochs: 3\nadd: [%s]\n", added);
    program_write("a.yaml", text);
}

START_TEST(terms_that_come_late_are_foretold_and_ask_for_no_memory)
{
    write_added(always[_i]);
    json_t *p = plan(NULL, NULL);
    double estimate = number_at(p, "memory.estimated.bytes");
    write_added(late[_i]);
    p = plan(NULL, NULL);
    /* as if they were there from the start, but for nodes of one number (0.1 %) */
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.bytes") / estimate, 1, 0.001);
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_double_eq(number_at(status, "memory.late_requests"), 0);
    ck_assert_double_eq(number_at(p, "memory.measured.bytes"),
                        number_at(status, "memory.bytes"));
}
END_TEST

/* The bank of 100 images is one part, whether a batch is 64 or 100 images; at 50 it is
 * two. */
START_TEST(evaluations_see_longer_parts_than_a_batch)
{
    static const char *const path = "memory.estimated.step_evaluation";

    write_config("mlp");
    double whole = number_at(plan("batch=100", NULL), path);
    ck_assert_double_eq_tol(number_at(plan("batch=64", NULL), path) / whole, 1, 0.005);
    ck_assert_double_lt(number_at(plan("batch=50", NULL), path), 0.7 * whole);
}
END_TEST

/* mlp at width 1/8 on 32 x 32 x 3 pixels, by hand: 3072 -> 64 -> 32, projector 32 -> 48
 * -> 48, predictor 48 -> 12 -> 48; two views, two operations a multiply-add.  Backward
 * takes two products for each, but one for the first layer: pixels want no gradient. */
START_TEST(work_is_counted_as_by_hand)
{
    double first = 3072 * 64;
    double rest = 64 * 32 + 32 * 48 + 48 * 48 + 48 * 12 + 12 * 48;

    write_config("mlp");
    json_t *p = plan(NULL, NULL);
    ck_assert_double_eq_tol(number_at(p, "flops.forward"), 2 * 2 * 64 * (first + rest),
                            1e-3);
    ck_assert_double_eq_tol(number_at(p, "flops.backward"),
                            2 * 2 * 64 * (first + 2 * rest), 1e-3);
    /* weights, two floats of BatchNorm a channel; heads: two layers each, biases where no
     * BatchNorm follows */
    ck_assert_double_eq(number_at(p, "parameters.backbone"),
                        first + 64 * 32 + 2 * 64 + 2 * 32);
}
END_TEST

START_TEST(time_adds_up)
{
    write_config("mlp");
    json_t *p = plan("epochs=10", "metrics.every=4");
    ck_assert_double_eq(number_at(p, "epochs"), 10);
    ck_assert_double_eq(number_at(p, "evaluations"), 3);        /* after 4, 8 and 10 */
    ck_assert_double_eq(number_at(p, "time.steps_measured"), 3);
    ck_assert_double_eq(number_at(p, "time.evaluations_measured"), 1);
    double sum = number_at(p, "time.start_seconds")
               + 10 * number_at(p, "steps_per_epoch") * number_at(p, "time.step_seconds")
               + 3 * number_at(p, "time.evaluation_seconds");
    ck_assert_double_eq_tol(number_at(p, "time.seconds"), sum, 1e-6 * sum);
    ck_assert_double_gt(number_at(p, "time.step_seconds"), 0);
}
END_TEST

/* The checkpoint that a run leaves is what was foretold, its header (some 150 bytes a
 * tensor, here 40 of them) and the log (a few KiB an epoch). */
START_TEST(the_checkpoint_has_the_foretold_size)
{
    char path[4096];
    struct stat st;

    write_config("conv3");
    double foretold = number_at(plan("method.proj_dim=512", NULL), "checkpoint_bytes");
    program_result r = program("train", "a.yaml", "--quiet", "method.proj_dim=512", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    snprintf(path, sizeof path, "%s/checkpoints/last.safetensors",
             program_run_folder("runs"));
    ck_assert_msg(stat(path, &st) == 0, "no %s", path);
    ck_assert_double_ge((double)st.st_size, foretold);
    ck_assert_double_le((double)st.st_size, foretold + (128 << 10));
}
END_TEST

START_TEST(a_plan_leaves_nothing_behind)
{
    glob_t found;

    write_config("conv3");
    plan(NULL, NULL);
    json_t *p = plan("memory.limit=0.001", NULL);
    ck_assert_double_eq(number_at(p, "exit"), 1);
    ck_assert_int_eq(strncmp(text_at(p, "message"), "out of memory: ", 15), 0);
    ck_assert_int_eq(glob("*", 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 1);
    ck_assert_str_eq(found.gl_pathv[0], "a.yaml");
    globfree(&found);
}
END_TEST

START_TEST(people_get_a_table)
{
    static const char *const words[] = {
        "run           simsiam with conv3 on shapes, batch 64\n", "parameters    ",
        "steps         3 an epoch, 3 in 1 epoch; 1 evaluation\n", "work          ",
        "memory        ", " measured, estimated ", "  forever ", "    data set ",
        "200 training, 40 held-out images\n", "  step ", "  scratch ", "it fits\n",
        "checkpoint    ", "time          ", "(mean of 3 with 2 threads)\n",
        "(1 measured)\n"
    };
    write_config("conv3");
    program_result r = program("plan", "a.yaml", "--threads=2", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.err, "");
    const char *at = r.out;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *here = strstr(at, words[i]);
        ck_assert_msg(here, "no '%s' in the rest of:\n%s", words[i], r.out);
        at = here;
    }
    ck_assert_ptr_null(strstr(r.out, "nan"));
}
END_TEST

typedef struct mistake { const char *pair; int exit; const char *says; } mistake;

static const mistake mistakes[] = {
    { "model.nam=conv3", 2, "did you mean 'name'" },
    { "batch=201", 2, "batch = 201, but shapes has 200 training images here" },
    { "batch=60000", 2, "batch = 60000, but" },
    { "data.limit=10", 2, "batch = 64, but" },
};

/* The rehearsal has another batch than the user's; mistakes speak of the user's. */
START_TEST(mistakes_are_told_as_by_train)
{
    const mistake *m = &mistakes[_i];

    write_config("conv3");
    program_result r = program("plan", "a.yaml", m->pair, NULL);
    program_result t = program("train", "a.yaml", m->pair, NULL);
    ck_assert_int_eq(r.exit, m->exit);
    ck_assert_str_eq(r.err, t.err);
    ck_assert_msg(strstr(r.err, m->says), "%s", r.err);
    ck_assert_str_eq(r.out, "");
}
END_TEST

/* ---- what does not fit ------------------------------------------------------------- */

/* Halfway between what evaluations take and what training takes. */
START_TEST(what_does_not_fit_is_not_run_and_a_batch_that_fits_is_named)
{
    const char *wide = "model.width=1";         /* a step shows beside the rest */
    char batch[32], limit[64];

    write_config("conv3");
    json_t *p = plan(wide, NULL);
    double measured = number_at(p, "memory.measured.bytes"),
           step = number_at(p, "memory.measured.step");
    snprintf(limit, sizeof limit, "%s", limit_of(measured - step / 2));

    p = plan(limit, wide);
    ck_assert_double_eq(number_at(p, "exit"), 1);
    ck_assert(json_is_false(json_object_get(json_object_get(p, "memory"), "fits")));
    ck_assert(json_is_null(json_object_get(json_object_get(p, "memory"), "measured")));
    ck_assert(json_is_null(json_object_get(p, "time")));
    ck_assert_double_eq_tol(number_at(p, "memory.estimated.bytes") / measured, 1, 0.05);
    double largest = number_at(p, "memory.largest_batch");
    ck_assert_double_ge(largest, 8);
    ck_assert_double_lt(largest, 64);
    ck_assert_msg(strstr(text_at(p, "message"), "this run needs about "), "%s",
                  text_at(p, "message"));
    snprintf(batch, sizeof batch, "batch=%.0f", largest);
    program_result r = program("plan", "a.yaml", limit, batch, wide, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    r = program("train", "a.yaml", "--quiet", limit, batch, wide, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

/* What a plan measures is enough, with what it sets aside for the texts of configuration
 * and log; a tenth less is not. */
START_TEST(the_foretold_memory_is_enough_and_less_is_not)
{
    write_config("conv3");
    json_t *p = plan(NULL, NULL);
    double bytes = number_at(p, "memory.measured.bytes"),
           aside = number_at(p, "memory.aside");
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2",
                               limit_of(bytes + aside), NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    r = program("train", "a.yaml", "--quiet", "--threads=2", limit_of(0.9 * bytes), NULL);
    ck_assert_int_eq(r.exit, 1);
}
END_TEST

enum { DATA, NETWORK, EVALUATION, STEP, STAGES };

/* A limit that is passed while the data are read, the network is built, the untrained
 * network is judged, or the first step is made. */
START_TEST(a_run_past_its_memory_ends_with_one_line)
{
    write_batch("conv3", 100);
    const char *wide = "model.width=1";
    json_t *p = plan(wide, NULL);
    double data = number_at(p, "forever.data"), network = number_at(p, "forever.network"),
           forever = number_at(p, "memory.measured.forever"),
           look = number_at(p, "memory.estimated.step_evaluation"),
           step = number_at(p, "memory.measured.step_training"),
           scratch = number_at(p, "memory.measured.scratch");
    /* a step takes more than anything that comes before it */
    ck_assert_double_gt(step, 1.5 * look);
    const double limit[STAGES] = { data / 2, data + network / 2, forever + look / 2,
                                   forever + look + scratch + (step - look) / 2 };

    for (int i = 0; i < STAGES; i++) {
        char out[32];
        snprintf(out, sizeof out, "out=stage%d", i);
        program_result r = program("train", "a.yaml", "--quiet", "--threads=2", wide, out,
                                   limit_of(limit[i]), NULL);
        ck_assert_msg(r.exit == 1, "stage %d: exit code %d, %s", i, r.exit, r.err);
        ck_assert_str_eq(r.out, "");
        ck_assert_msg(strncmp(r.err, "out of memory: ", 15) == 0
                      && strchr(r.err, '\n') == r.err + strlen(r.err) - 1, "%s", r.err);
        ck_assert_ptr_nonnull(strstr(r.err, "memory.limit = "));
        ck_assert_ptr_nonnull(strstr(r.err, "lower batch"));
        if (i < EVALUATION)
            ck_assert(!is_there(out + strlen("out=")));
    }
    /* the folder of the last one was begun: whatever is in it is whole */
    char pattern[4096];
    glob_t left;
    const char *folder = program_run_folder("stage3");
    snprintf(pattern, sizeof pattern, "%s/*.new", folder);
    ck_assert_int_eq(glob(pattern, 0, NULL, &left), GLOB_NOMATCH);
    json_t *status = program_json(folder, "status.json");
    ck_assert_str_eq(text_at(status, "state"), "failed");
    ck_assert_double_eq(number_at(status, "exit"), 1);
    ck_assert_int_eq(strncmp(text_at(status, "message"), "out of memory: ", 15), 0);
    program_lines(folder, "metrics.jsonl");
}
END_TEST

/* ---- what the machine has free ----------------------------------------------------- */

/* A small world below ./w: /proc and /sys as the kernel shows them. */
static void put(const char *path, const char *text)
{
    char all[512];
    snprintf(all, sizeof all, "w%s", path);
    for (char *p = all + 2; (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        mkdir(all, 0700);
        *p = '/';
    }
    program_write(all, text);
}

static double mib_free(void)
{
    nn_room r = nn_room_free("w");
    return r.bytes == SIZE_MAX ? -1 : (double)r.bytes / (1 << 20);
}

static void machine_with_1000_mib(void)
{
    mkdir("w", 0700);
    put("/proc/meminfo", "MemTotal:  4096000 kB\nMemFree:  1 kB\n"
                         "MemAvailable:  819200 kB\nSwapFree:  204800 kB\n");
}

START_TEST(the_machine_alone_counts_when_there_are_no_groups)
{
    mkdir("w", 0700);
    ck_assert_double_eq(mib_free(), -1);                /* nothing is known */
    machine_with_1000_mib();
    ck_assert_double_eq(mib_free(), 1000);
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", "24 1 0:21 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2"
                                " cgroup2 rw\n");
    ck_assert_double_eq(mib_free(), 1000);              /* the root group has no files */
}
END_TEST

/* Version 2: own group, parent, "max", idle pages of files. */
START_TEST(the_tightest_group_counts)
{
    machine_with_1000_mib();
    put("/proc/self/cgroup", "0::/slurm/job_7/step\n");
    put("/proc/self/mountinfo", "23 1 0:20 / /proc rw - proc proc rw\n"
                                "24 1 0:21 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2"
                                " cgroup2 rw,nsdelegate\n");
    put("/sys/fs/cgroup/slurm/job_7/step/memory.max", "max\n");
    put("/sys/fs/cgroup/slurm/job_7/step/memory.current", "1048576\n");
    put("/sys/fs/cgroup/slurm/job_7/memory.max", "524288000\n");        /* 500 MiB */
    put("/sys/fs/cgroup/slurm/job_7/memory.current", "209715200\n");    /* 200 MiB */
    put("/sys/fs/cgroup/slurm/job_7/memory.stat",
        "anon 1\nfile 2\ninactive_anon 7\ninactive_file 52428800\n");   /* 50 MiB */
    ck_assert_double_eq(mib_free(), 350);
    ck_assert_ptr_nonnull(strstr(nn_room_free("w").name, "control group"));
    put("/sys/fs/cgroup/slurm/memory.max", "314572800\n");              /* 300 MiB */
    put("/sys/fs/cgroup/slurm/memory.current", "104857600\n");
    ck_assert_double_eq(mib_free(), 200);
    put("/sys/fs/cgroup/slurm/job_7/step/memory.max", "2097152\n");
    ck_assert_double_eq(mib_free(), 1);
    put("/sys/fs/cgroup/slurm/job_7/step/memory.current", "3145728\n");
    ck_assert_double_eq(mib_free(), 0);                 /* past its limit already */
}
END_TEST

/* Version 1 names things differently, and mounts each controller by itself. */
START_TEST(groups_of_version_1_count_too)
{
    machine_with_1000_mib();
    put("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n");
    put("/proc/self/mountinfo",
        "31 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 24 0:29 /docker/abc /sys/fs/cgroup/memory ro shared:2 - cgroup cgroup"
        " rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
    ck_assert_double_eq(mib_free(), 1000);              /* that number means: no limit */
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "419430400\n");
    ck_assert_double_eq(mib_free(), 300);
    put("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file 20971520\n");
    ck_assert_double_eq(mib_free(), 320);
}
END_TEST

/* In a container the path of the group may lie outside what can be seen. */
START_TEST(a_hidden_group_is_looked_for_at_the_mount)
{
    static const char *const own[] = { "0::/../x\n", "0::/../x\n", "0::/a/b-1\n" };
    static const char *const top[] = { "/", "/a/b-2", "/a/b-2" };
    char mount[128];

    machine_with_1000_mib();
    put("/proc/self/cgroup", own[_i]);
    snprintf(mount, sizeof mount, "24 1 0:21 %s /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
             top[_i]);
    put("/proc/self/mountinfo", mount);
    put("/sys/fs/x/memory.max", "1048576\n");           /* somebody else's */
    put("/sys/fs/x/memory.current", "0\n");
    put("/sys/fs/cgroup/memory.max", "104857600\n");
    put("/sys/fs/cgroup/memory.current", "0\n");
    ck_assert_double_eq(mib_free(), 100);
}
END_TEST

Suite *suite_plan(void)
{
    Suite *s = suite_create("plan");
    TCase *tc = tcase_create("plan");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc, memory_is_foretold_measured_and_taken_alike, 0,
                        nn_model_count());
    tcase_add_loop_test(tc, any_batch_can_be_planned, 0, 5);
    tcase_add_loop_test(tc, memory_of_evaluations_is_foretold, 0, 2);
    tcase_add_loop_test(tc, memory_of_a_linear_probe_is_foretold, 0, 3);
    TCase *late_terms = tcase_create("late");
    tcase_add_checked_fixture(late_terms, program_enter, program_leave);
    tcase_add_loop_test(late_terms,
                        terms_that_come_late_are_foretold_and_ask_for_no_memory, 0,
                        (int)(sizeof late / sizeof *late));
    suite_add_tcase(s, late_terms);
    tcase_add_test(tc, evaluations_see_longer_parts_than_a_batch);
    tcase_add_test(tc, work_is_counted_as_by_hand);
    tcase_add_test(tc, time_adds_up);
    tcase_add_test(tc, the_checkpoint_has_the_foretold_size);
    tcase_add_test(tc, a_plan_leaves_nothing_behind);
    tcase_add_test(tc, people_get_a_table);
    tcase_add_loop_test(tc, mistakes_are_told_as_by_train, 0,
                        sizeof mistakes / sizeof *mistakes);
    suite_add_tcase(s, tc);

    tc = tcase_create("limit");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, what_does_not_fit_is_not_run_and_a_batch_that_fits_is_named);
    tcase_add_test(tc, the_foretold_memory_is_enough_and_less_is_not);
    tcase_add_test(tc, a_run_past_its_memory_ends_with_one_line);
    suite_add_tcase(s, tc);

    tc = tcase_create("free");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, the_machine_alone_counts_when_there_are_no_groups);
    tcase_add_test(tc, the_tightest_group_counts);
    tcase_add_test(tc, groups_of_version_1_count_too);
    tcase_add_loop_test(tc, a_hidden_group_is_looked_for_at_the_mount, 0, 3);
    suite_add_tcase(s, tc);
    return s;
}
