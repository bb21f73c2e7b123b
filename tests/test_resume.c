/* Going on with a run that was stopped: where it goes on, what it refuses, what a
 * checkpoint is made of.  A run that was stopped and gone on with leaves the same
 * weights, lines and snapshots as one that was not. */
#include <check.h>
#include <sha2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/program.h"
#include "tests/saved.h"
#include "tests/strike.h"
#include "tests/suites.h"

#define TINY \
    "method: {name: simsiam, proj_dim: 16}\n" \
    "model: {name: conv3, width: 0.25}\n" \
    "data: {name: shapes, size: 24}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "epochs: 3\n" \
    "batch: 8\n" \
    "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n"

enum { MOST_PATH = 4200, EPOCHS = 3, STEPS = 3 };

static char plain[MOST_PATH], work[MOST_PATH + 8];      /* run folders */
static char last[MOST_PATH + 64], prev[MOST_PATH + 64]; /* in work */

static void one_line(const program_result *r)
{
    const char *end = strchr(r->err, '\n');
    ck_assert_msg(end && !end[1], "not one line: '%s'", r->err);
}

/* How often the runs in work save (default: after every step), and what every run of a
 * test is given besides (default: nothing new). */
static const char *saving = "checkpoint.seconds=0", *also = "checkpoint.seconds=60";

static program_result run_into(const char *out, const char *option)
{
    return program("train", "tiny.yaml", also, saving, out,
                   option ? option : "--threads=1", NULL);
}

/* The undisturbed run of a configuration. */
static program_result undisturbed(const char *config)
{
    program_write("tiny.yaml", config);
    program_result r = program("train", "tiny.yaml", also, "--out=plain",
                               "--threads=2", NULL);
    snprintf(plain, sizeof plain, "%s", program_run_folder("plain"));
    snprintf(work, sizeof work, "work%s", plain + strlen("plain"));
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", work);
    snprintf(prev, sizeof prev, "%s/checkpoints/prev.safetensors", work);
    return r;
}

/* The calls with which a run saves; learnt once for every configuration. */
static int save_at[64], saves;

static void learn_saves(const char *const *args)
{
    static call calls[STRIKE_CALLS];
    strike(args, 0, NULL, 0);
    int n = strike_calls(calls);
    saves = 0;
    for (int i = 0; i < n; i++)
        if (strcmp(calls[i].kind, "rename") == 0
            && strcmp(strike_base(calls[i].path), "last.safetensors") == 0) {
            ck_assert_int_lt(saves, (int)(sizeof save_at / sizeof *save_at));
            save_at[saves++] = calls[i].number;
        }
}

/* A new run in work, killed right after it has saved for the k-th time.  0: it never
 * saves so often. */
static int killed_after_save(int k)
{
    const char *const args[] = { "train", "tiny.yaml", also, saving, "--out=work",
                                 "--quiet", "--threads=1", NULL };
    program_remove("work");
    if (!saves)
        learn_saves(args);
    program_remove("work");
    if (k > saves)
        return 0;
    ck_assert_int_eq(strike(args, save_at[k - 1], "killed", 0).exit, 128 + SIGKILL);
    return 1;
}

/* ---- where it goes on ------------------------------------------------------------ */

/* Finished epochs, and steps of the next one, at the k-th save: save 1 follows the
 * untrained network, save 1 + n step n, and the last one the end. */
typedef struct place { int epoch, step; } place;

static place place_of(int k)
{
    int steps = k - 1;
    if (steps == 0)
        return (place){ 0, 0 };
    if (steps > EPOCHS * STEPS)
        return (place){ EPOCHS, 0 };
    int epoch = (steps - 1) / STEPS;    /* evaluated only after its last step */
    return (place){ epoch, steps - epoch * STEPS };
}

START_TEST(it_goes_on_where_it_was_saved_and_ends_as_undisturbed)
{
    static const char *const every[] = { "metrics.every=1", "metrics.every=2" };
    char says[128];
    if (!strike_able())
        return;
    also = every[_i];
    ck_assert_int_eq(undisturbed(TINY).exit, 0);
    /* everywhere; then around the end of an epoch that is not evaluated */
    int from = _i ? STEPS : 1, to = _i ? STEPS + 2 : 2 + EPOCHS * STEPS;
    for (int k = from; k <= to; k += PROGRAM_SHARE) {
        place at = place_of(k);
        ck_assert_msg(killed_after_save(k), "no save %d", k);
        saved_check(work, 1);
        ck_assert_int_eq(atoi(saved_word(last, "epoch")), at.epoch);
        ck_assert_int_eq(atoi(saved_word(last, "step")), at.step);
        program_result r = run_into("--out=work", "--resume");
        if (at.epoch == EPOCHS)
            snprintf(says, sizeof says, "this run is complete: nothing is left to"
                     " train\n");
        else
            snprintf(says, sizeof says, "going on in epoch %d of %d after step %d of"
                     " %d\n", at.epoch + 1, EPOCHS, at.step, STEPS);
        ck_assert_msg(r.exit == 0 && strstr(r.out, says),
                      "save %d: exit %d: '%s' not in %s%s", k, r.exit, says, r.out,
                      r.err);
        saved_same(work, plain);
        saved_check(work, 0);
        program_forget();
    }
}
END_TEST

START_TEST(it_can_be_gone_on_with_many_times)
{
    const char *const args[] = { "train", "tiny.yaml", saving, "--out=work", "--quiet",
                                 "--threads=1", "--resume", NULL };
    int times = 0;
    if (!strike_able())
        return;
    ck_assert_int_eq(undisturbed(TINY).exit, 0);
    ck_assert(killed_after_save(1));
    while (atoi(saved_word(last, "epoch")) < EPOCHS) {  /* one step a time */
        ck_assert_int_le(times, EPOCHS * STEPS);
        program_copy("work", "before");
        learn_saves(args);
        program_remove("work");
        ck_assert_int_eq(rename("before", "work"), 0);
        ck_assert_int_eq(strike(args, save_at[0], "killed", 0).exit, 128 + SIGKILL);
        times++;
    }
    ck_assert_int_eq(times, EPOCHS * STEPS + 1);
    ck_assert_int_eq(run_into("--out=work", "--resume").exit, 0);
    saved_same(work, plain);
    json_t *s = program_json(work, "status.json");
    ck_assert_int_eq((int)json_integer_value(json_object_get(s, "resumed")), times + 1);
    json_t *late = json_object_get(json_object_get(s, "memory"), "late_requests");
    ck_assert(json_is_integer(late) && json_integer_value(late) == 0);
}
END_TEST

/* Names, sizes, times of change and inodes of everything in a run folder. */
static char *picture(void)
{
    static const char *const files[] = { "config.yaml",
                                         "metrics.jsonl",
                                         "snapshots.jsonl",
                                         "status.json",
                                         "checkpoints/last.safetensors",
                                         "checkpoints/prev.safetensors" };
    char *text = program_keep(malloc(4096)), path[MOST_PATH + 64];
    size_t n = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat st = {0};
        snprintf(path, sizeof path, "%s/%s", work, files[i]);
        stat(path, &st);
        n += (size_t)snprintf(text + n, 4096 - n, "%s %ld %ld.%09ld %lu\n", files[i],
                              (long)st.st_size, (long)st.st_mtim.tv_sec,
                              st.st_mtim.tv_nsec, (unsigned long)st.st_ino);
    }
    return text;
}

START_TEST(a_finished_run_stays_as_it_is)
{
    undisturbed(TINY);
    ck_assert_int_eq(run_into("--out=work", NULL).exit, 0);
    const char *before = picture();
    program_result r = run_into("--out=work", "--resume");
    ck_assert_int_eq(r.exit, 0);
    ck_assert_msg(strstr(r.out, "this run is complete: nothing is left to train\n"), "%s",
                  r.out);
    ck_assert_ptr_nonnull(strstr(r.out, saved_sha256(plain)));
    ck_assert_str_eq(picture(), before);
    r = program("train", "tiny.yaml", "--out=work", "--resume", "--json", NULL);
    ck_assert_int_eq(r.exit, 0);
    json_t *o = program_parse(r.out);
    ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "finished");
    ck_assert_str_eq(json_string_value(json_object_get(o, "weights_sha256")),
                     saved_sha256(plain));
    ck_assert_str_eq(picture(), before);
    saved_same(work, plain);
}
END_TEST

START_TEST(when_nothing_is_saved_it_begins_and_says_so)
{
    undisturbed(TINY);
    program_result r = run_into("--out=work", "--resume");
    ck_assert_int_eq(r.exit, 0);
    ck_assert_msg(strstr(r.out, "no checkpoint yet: starting at the beginning\n"), "%s",
                  r.out);
    saved_same(work, plain);
    program_remove("work");
    r = run_into("--out=work", "--resume=auto");
    ck_assert_int_eq(r.exit, 0);
    saved_same(work, plain);
}
END_TEST

START_TEST(without_resume_it_starts_over_and_says_so)
{
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(6));
    program_result r = run_into("--out=work", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_msg(strstr(r.out, "holds an earlier run (running)")
                      && strstr(r.out, "--resume would go on with it"), "%s", r.out);
    ck_assert_ptr_null(strstr(r.out, "going on in epoch"));
    saved_same(work, plain);
    json_t *s = program_json(work, "status.json");
    ck_assert_int_eq((int)json_integer_value(json_object_get(s, "resumed")), 0);
}
END_TEST

START_TEST(json_and_quiet_hold_while_going_on)
{
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    program_copy("work", "kept");
    program_result r = run_into("--out=work", "--resume");
    ck_assert_int_eq(r.exit, 0);

    program_remove("work");
    program_copy("kept", "work");
    r = program("train", "tiny.yaml", saving, "--out=work", "--resume", "--quiet",
                NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.out, "");
    ck_assert_str_eq(r.err, "");
    saved_same(work, plain);

    program_remove("work");
    program_copy("kept", "work");
    r = program("train", "tiny.yaml", saving, "--out=work", "--resume", "--json",
                NULL);
    ck_assert_int_eq(r.exit, 0);
    json_t *o = program_parse(r.out);
    ck_assert_int_eq((int)json_integer_value(json_object_get(o, "resumed")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(o, "weights_sha256")),
                     saved_sha256(plain));
    ck_assert_ptr_nonnull(strstr(r.err, "going on in epoch"));

    program_remove("work");
    program_copy("kept", "work");
    program_write(last, "nothing"); /* what a person must know is no matter of --quiet */
    r = program("train", "tiny.yaml", saving, "--out=work", "--resume", "--quiet",
                NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.out, "");
    one_line(&r);
    ck_assert_ptr_nonnull(strstr(r.err, "last.safetensors"));
    saved_same(work, plain);
}
END_TEST

START_TEST(a_run_that_moved_house_goes_on)
{
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    ck_assert_int_eq(rename("work", "elsewhere"), 0);
    snprintf(work, sizeof work, "elsewhere%s", plain + strlen("plain"));
    program_result r = run_into("--out=elsewhere", "--resume");
    ck_assert_msg(r.exit == 0 && strstr(r.out, "going on in epoch 1 of 3 after step 3"),
                  "exit %d: %s%s", r.exit, r.out, r.err);
    saved_same(work, plain);
}
END_TEST

/* ---- signals --------------------------------------------------------------------- */

static const int stopping[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP };

/* Long enough to be met in the middle, yet over in a second. */
#define LONGER \
    "method: {name: simsiam, proj_dim: 16}\n" \
    "model: {name: conv3, width: 0.25}\n" \
    "data: {name: shapes, size: 64}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "batch: 4\n" \
    "metrics: {every: 8, samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n"
enum { LONGER_STEPS = 64 / 4, LONGER_EPOCHS = 24 / PROGRAM_SHARE };

static void undisturbed_longer(void)
{
    static char epochs[32];
    snprintf(epochs, sizeof epochs, "epochs=%d", LONGER_EPOCHS);
    also = epochs;
    saving = "checkpoint.seconds=1000"; /* saved because of the signal alone */
    program_result r = undisturbed(LONGER);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
}

/* Starts a run in work and stops it by signal once it has written its first line.
 * Returns how it ended. */
static int stopped_by(int signal_number, int twice, int attempt)
{
    const struct timespec moment = { 0, 1000000 };
    enum { PATIENCE = 50000 };
    const char *const args[] = { "train", "tiny.yaml", also, saving, "--out=work", NULL };
    char path[MOST_PATH + 64];

    program_remove("work");
    snprintf(path, sizeof path, "%s/metrics.jsonl", work);
    pid_t pid = program_start(args);
    for (int i = 0; i < PATIENCE && access(path, F_OK) != 0; i++)
        usleep(1000);
    usleep(10000u >> attempt);
    kill(pid, signal_number);
    if (twice) {
        nanosleep(&moment, NULL);
        kill(pid, signal_number);
    }
    return program_wait(pid);
}

START_TEST(a_signal_saves_and_the_same_command_goes_on)
{
    char says[128];
    int signal_number = stopping[_i], code = 0;

    undisturbed_longer();
    for (int i = 0; i < 5 && code != 75; i++) /* who looks away too long comes too late */
        code = stopped_by(signal_number, 0, i);
    ck_assert_int_eq(code, 75);
    saved_check(work, 0);
    json_t *s = program_json(work, "status.json");
    ck_assert_str_eq(saved_state(work), "interrupted");
    ck_assert_int_eq((int)json_integer_value(json_object_get(s, "exit")), 75);
    int epoch = atoi(saved_word(last, "epoch")), step = atoi(saved_word(last, "step"));
    json_t *where = json_object_get(s, "saved");
    ck_assert_int_eq((int)json_integer_value(json_object_get(where, "epoch")), epoch);
    ck_assert_int_eq((int)json_integer_value(json_object_get(where, "step")), step);
    snprintf(says, sizeof says,
             "signal %d (%s) in epoch %d, after step %d of %d: saved; the"
             " same command with --resume goes on\n",
             signal_number, strsignal(signal_number), epoch + 1, step, LONGER_STEPS);
    ck_assert_str_eq(program_read(".err.behind"), says);
    snprintf(says, sizeof says, "going on in epoch %d of %d after step %d of %d\n",
             epoch + 1, LONGER_EPOCHS, step, LONGER_STEPS);
    program_result r = run_into("--out=work", "--resume");
    ck_assert_msg(r.exit == 0 && strstr(r.out, says), "exit %d: '%s' not in %s%s", r.exit,
                  says, r.out, r.err);
    saved_same(work, plain);
    saved_check(work, 0);
}
END_TEST

/* As batch systems and shells send it: twice within a moment. */
START_TEST(the_same_signal_twice_at_once_counts_once)
{
    int code = 0;
    undisturbed_longer();
    for (int i = 0; i < 5 && code != 75; i++)
        code = stopped_by(SIGTERM, 1, i);
    ck_assert_int_eq(code, 75);
    saved_check(work, 0);
    ck_assert_int_eq(run_into("--out=work", "--resume").exit, 0);
    saved_same(work, plain);
}
END_TEST

/* nohup: the run inherits an ignored SIGHUP and keeps it. */
START_TEST(a_signal_that_is_ignored_on_purpose_stays_so)
{
    undisturbed_longer();
    signal(SIGHUP, SIG_IGN);
    int code = stopped_by(SIGHUP, 0, 0);
    signal(SIGHUP, SIG_DFL);
    ck_assert_int_eq(code, 0);
    saved_same(work, plain);
}
END_TEST

/* ---- runs that are not there ------------------------------------------------------- */

START_TEST(a_run_that_lost_its_checkpoints_is_not_replaced)
{
    static const char *const ways[] = { "--resume", "--resume=auto" };
    char path[MOST_PATH + 32];
    undisturbed(TINY);
    snprintf(path, sizeof path, "%s/checkpoints", plain);
    program_remove(path);
    for (int i = 0; i < 2; i++) {
        program_result r = program("train", "tiny.yaml", "--out=plain", ways[i], NULL);
        ck_assert_int_eq(r.exit, 6);
        one_line(&r);
        ck_assert_msg(strstr(r.err, "this run (finished) has no checkpoint any more"), "%s",
                      r.err);
    }
    ck_assert_str_eq(saved_state(plain), "finished");
}
END_TEST

/* A diverged run is tried again with another learning rate: nobody means the old one. */
START_TEST(a_run_that_has_ended_is_no_neighbour)
{
    program_write("tiny.yaml", TINY);
    program_result r = program("train", "tiny.yaml", "--out=work", "optim.base_lr=1e6",
                               "optim.weight_decay=1000", NULL);
    ck_assert_int_eq(r.exit, 4);
    r = program("train", "tiny.yaml", "--out=work", "--resume", "--quiet", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(r.err, "no checkpoint yet: starting at the beginning\n");
}
END_TEST

/* ---- runs that end otherwise ----------------------------------------------------- */

/* Stopped by the alarm after two bad verdicts: the first may stand in the checkpoint. */
#define COLLAPSING \
    "method: {name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4," \
    " stop_gradient: false}\n" \
    "model: {name: conv3, width: 0.5}\n" \
    "data: {name: shapes, size: 60}\n" \
    "optim: {name: sgd, base_lr: 3}\n" \
    "metrics: {samples: 12, bank: 30, knn_k: 5}\n" \
    "batch: 16\n" \
    "epochs: 8\n" \
    "alarm: {action: stop, patience: 2}\n"

START_TEST(the_alarm_counts_across_a_stop)
{
    if (!strike_able())
        return;
    program_result r = undisturbed(COLLAPSING);
    ck_assert_msg(r.exit == 3, "exit %d: %s%s", r.exit, r.out, r.err);
    size_t lines = json_array_size(program_lines(plain, "metrics.jsonl"));
    ck_assert_msg(lines >= 3 && lines < 9, "%zu lines", lines);
    int k = 1;
    for (; killed_after_save(k); k += 2 * PROGRAM_SHARE) {
        r = run_into("--out=work", "--resume");
        ck_assert_msg(r.exit == 3, "save %d: exit %d: %s%s", k, r.exit, r.out, r.err);
        ck_assert_msg(strstr(r.err, "stopped by alarm.action=stop: ") == r.err, "%s",
                      r.err);
        one_line(&r);
        saved_same(work, plain);
        saved_check(work, 0);
        program_forget();
    }
    ck_assert_int_gt(k, 4);
    r = run_into("--out=work", NULL);
    ck_assert_int_eq(r.exit, 3);
    r = run_into("--out=work", "--resume");     /* stopped is stopped */
    ck_assert_int_eq(r.exit, 3);
    saved_same(work, plain);
}
END_TEST

START_TEST(a_run_that_diverges_does_so_again)
{
    if (!strike_able())
        return;
    also = "optim.base_lr=1e6";
    program_result r = undisturbed(TINY "seed: 3\n");
    ck_assert_msg(r.exit == 4, "exit %d: %s", r.exit, r.err);
    int k = 1;
    for (; killed_after_save(k); k++) {
        for (int again = 0; again < 1 + (k == 1); again++) {    /* and a second time */
            r = run_into("--out=work", "--resume");
            ck_assert_int_eq(r.exit, 4);
            ck_assert_str_eq(saved_state(work), "diverged");
            ck_assert_str_eq(saved_sha256(work), saved_sha256(plain));
            saved_same_lines(program_lines(work, "metrics.jsonl"),
                             program_lines(plain, "metrics.jsonl"), 0);
            saved_check(work, 0);
        }
        program_forget();
    }
    ck_assert_int_gt(k, 1);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------- */

START_TEST(other_settings_are_refused_with_the_keys_that_differ)
{
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    const char *before = picture();
    program_result r = program("train", "tiny.yaml", "--out=work", "--resume",
                               "optim.base_lr=0.2", "model.width=0.5", NULL);
    ck_assert_int_eq(r.exit, 2);
    one_line(&r);
    ck_assert_msg(strstr(r.err, "optim.base_lr = 0.1 there, 0.2 here")
                      && strstr(r.err, "model.width = 0.25 there, 0.5 here"),
                  "%s", r.err);
    r = program("train", "tiny.yaml", "--out=work", "--resume", "optim.name=adamw", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_msg(strstr(r.err, "optim.name = sgd there, adamw here"), "%s", r.err);
    ck_assert_str_eq(picture(), before);

    /* what no result depends on may differ */
    r = program("train", "tiny.yaml", "--out=work", "--resume", "checkpoint.seconds=7",
                "--threads=3", NULL);
    ck_assert_msg(r.exit == 0 && strstr(r.out, "going on in epoch"), "%s%s", r.out,
                  r.err);
    saved_same(work, plain);
}
END_TEST

START_TEST(a_checkpoint_of_another_run_is_refused)
{
    char other[MOST_PATH], path[MOST_PATH + 64];
    size_t n;
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    char *bytes = program_bytes(last, &n);

    /* carried into the folder of other settings, and of another seed */
    static const struct { const char *setting, *says; } others[] = {
        { "optim.base_lr=0.2", "optim.base_lr = 0.1 there, 0.2 here" },
        { "seed=1", "seed = 0 there, 1 here" },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        program_result r = program("train", "tiny.yaml", "--out=other", "--quiet",
                                   others[i].setting, NULL);
        ck_assert_int_eq(r.exit, 0);
        snprintf(other, sizeof other, "%s", program_run_folder("other"));
        snprintf(path, sizeof path, "%s/checkpoints/last.safetensors", other);
        program_put(path, bytes, n);
        r = program("train", "tiny.yaml", "--out=other", "--resume", others[i].setting,
                    NULL);
        ck_assert_msg(r.exit == 2 && strstr(r.err, others[i].says), "exit %d: %s", r.exit,
                      r.err);
        one_line(&r);
        program_remove("other");
    }
}
END_TEST

/* An idx file of bytes that follow from their place. */
static void write_idx(const char *file, int n, int h, int w, int first)
{
    unsigned char head[16] = { 0, 0, 8, h ? 3 : 1, 0, 0, 0, (unsigned char)n,
                               0, 0, 0, (unsigned char)h, 0, 0, 0, (unsigned char)w };
    size_t bytes = (size_t)n * (size_t)(h ? h * w : 1), skip = h ? 16 : 8;
    unsigned char *all = malloc(skip + bytes);
    memcpy(all, head, skip);
    for (size_t i = 0; i < bytes; i++)
        all[skip + i] = (unsigned char)(h ? (i * i + i / 7 * 31) % 251 : i % 10);
    all[skip + bytes / 2] = (unsigned char)first;
    program_put(file, all, skip + bytes);
    free(all);
}

START_TEST(other_data_are_refused)
{
    enum { N = 96, SIDE = 28 };
    if (!strike_able())
        return;
    unsetenv("FULLRANK_DATA");
    ck_assert_int_eq(mkdir("mnist", 0777), 0);
    write_idx("mnist/train-images-idx3-ubyte", N, SIDE, SIDE, 1);
    write_idx("mnist/train-labels-idx1-ubyte", N, 0, 0, 1);
    write_idx("mnist/t10k-images-idx3-ubyte", 40, SIDE, SIDE, 1);
    write_idx("mnist/t10k-labels-idx1-ubyte", 40, 0, 0, 1);
    program_result r = undisturbed(
        "method: {name: simsiam, proj_dim: 16}\n"
        "model: {name: conv3, width: 0.25}\n"
        "data: {name: mnist, dir: mnist}\n"
        "epochs: 3\nbatch: 32\n"
        "metrics: {samples: 32, bank: 64, knn_k: 5, lid_k: 5}\n");
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    ck_assert(killed_after_save(4));
    const char *before = picture();

    static const char *const files[] = { "mnist/train-images-idx3-ubyte",
                                         "mnist/train-labels-idx1-ubyte",
                                         "mnist/t10k-images-idx3-ubyte" };
    for (int i = 0; i < 3; i++) {
        int images = strstr(files[i], "images") != NULL;
        int n = i == 2 ? 40 : N, side = images ? SIDE : 0;
        write_idx(files[i], n, side, side, 2);
        r = run_into("--out=work", "--resume");
        ck_assert_msg(r.exit == 5 && strstr(r.err, "was written with other data"),
                      "%s: exit %d: %s", files[i], r.exit, r.err);
        one_line(&r);
        write_idx(files[i], n, side, side, 1);
        ck_assert_str_eq(picture(), before);
    }
    ck_assert_int_eq(rename("mnist", "moved"), 0);      /* the place does not count */
    r = program("train", "tiny.yaml", "--out=work", "--resume", "data.dir=moved", NULL);
    ck_assert_msg(r.exit == 0 && strstr(r.out, "going on in epoch"), "%s%s", r.out,
                  r.err);
    saved_same(work, plain);
}
END_TEST

/* Pictures of two classes, in a folder, that follow from `first`. */
static void write_pictures(const char *folder, int first)
{
    enum { SIDE = 8, N = 40, BYTES = 3 * SIDE * SIDE };
    char path[MOST_PATH], text[BYTES + 16];
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "mkdir -p %s/%d", folder, i % 2);
        ck_assert_int_eq(system(path), 0);
        snprintf(path, sizeof path, "%s/%d/%d.ppm", folder, i % 2, i);
        int head = snprintf(text, sizeof text, "P6 %d %d 255\n", SIDE, SIDE);
        for (int k = 0; k < BYTES; k++)
            text[head + k] = (char)((k * k + 31 * i + first) % 251);
        program_put(path, text, (size_t)head + BYTES);
    }
}

#define PICTURES \
    "method: {name: simsiam, proj_dim: 8}\nmodel: {name: mlp, hidden: 8, out: 8}\n" \
    "data: {name: folder, side: 8, test_share: 0.3}\n" \
    "epochs: 1\nbatch: 8\nmetrics: {samples: 4, bank: 8, knn_k: 2, lid_k: 2}\n"

static program_result on_set(const char *dir, const char *option)
{
    char pair[64];
    snprintf(pair, sizeof pair, "data.dir=%s", dir);
    return program("train", "pictures.yaml", "--quiet", "--out=sets", pair, option, NULL);
}

START_TEST(a_set_of_ones_own_may_move_but_is_not_taken_for_another)
{
    unsetenv("FULLRANK_DATA");
    setenv("FULLRANK_CACHE", "cache", 1);
    program_write("pictures.yaml", PICTURES);
    write_pictures("one/set", 1);
    write_pictures("two/set", 2);
    program_result r = on_set("one/set", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    char *status = program_keep(strdup(program_run_folder("sets")));
    ck_assert_int_eq(on_set("one/set/", NULL).exit, 0);         /* the same, once more */
    program_run_folder("sets");

    for (int resume = 0; resume < 2; resume++) {
        r = on_set("two/set", resume ? "--resume" : NULL);
        ck_assert_msg(r.exit == 5 && strstr(r.err, resume
                      ? "was written with other data"
                      : ": holds a run on other data, those in one/set; choose another"
                        " --out or name=, or remove it\n"), "exit %d: %s", r.exit, r.err);
        one_line(&r);
    }
    ck_assert_int_eq(rename("one", "moved"), 0);
    r = on_set("moved/set", "--resume");
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(program_run_folder("sets"), status);

    ck_assert_int_eq(rename("two/set", "two/other"), 0);        /* another name: both stay */
    ck_assert_int_eq(on_set("two/other", NULL).exit, 0);
    ck_assert_int_eq(system("test $(ls sets/*/*/status.json sets/*/*/*/status.json"
                            " 2>/dev/null | wc -l) = 2"), 0);
}
END_TEST

START_TEST(a_run_under_way_is_not_gone_on_with)
{
    static const char *const args[] = { "train", "tiny.yaml", "epochs=100000",
                                        "--out=work", NULL };
    char path[MOST_PATH + 64];
    undisturbed(TINY);
    ck_assert_int_eq(program("train", "tiny.yaml", "epochs=100000", "--out=/dev/null/x",
                             NULL).exit, 1);
    pid_t pid = program_start(args);
    const char *found = NULL;
    for (int i = 0; i < 5000 && !found; i++) {
        usleep(10000);
        FILE *f = popen("ls -d work/*/*/s0/metrics.jsonl 2>/dev/null", "r");
        found = fgets(path, sizeof path, f);
        pclose(f);
    }
    program_result r = program("train", "tiny.yaml", "epochs=100000", "--out=work",
                               "--resume", NULL);
    kill(pid, SIGKILL);
    program_wait(pid);
    ck_assert_msg(r.exit == 1 && strstr(r.err, "another fullrank is writing this run"),
                  "exit %d: %s", r.exit, r.err);
    one_line(&r);
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_is_named)
{
    char path[MOST_PATH + 64];
    if (!strike_able())
        return;
    if (geteuid() == 0) {
        printf("skipped: root may write into any folder\n");
        return;
    }
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    snprintf(path, sizeof path, "%s/checkpoints", work);
    ck_assert_int_eq(chmod(path, 0500), 0);
    program_result r = run_into("--out=work", "--resume");
    chmod(path, 0700);
    ck_assert_msg(r.exit == 1 && strstr(r.err, "Permission denied"), "exit %d: %s",
                  r.exit, r.err);
    one_line(&r);
    ck_assert_int_eq(run_into("--out=work", "--resume").exit, 0);
    saved_same(work, plain);
}
END_TEST

/* ---- what a checkpoint is made of ------------------------------------------------ */

typedef struct tensor { const char *name; size_t from, to, n; int rank; json_t *shape; }
tensor;

static int by_place(const void *a, const void *b)
{
    const tensor *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* The rules of the layout, as its documentation states them. */
START_TEST(a_checkpoint_keeps_the_rules_of_safetensors)
{
    enum { MOST = 500 };
    static tensor list[MOST];
    const char *name;
    json_t *o;
    size_t data, size;
    int n = 0, turned = 0;
    struct stat st;

    undisturbed(TINY);
    ck_assert_int_eq(run_into("--out=work", NULL).exit, 0);
    json_t *header = saved_header(last, &data);
    ck_assert_uint_eq(data % 8, 0);
    ck_assert_int_eq(stat(last, &st), 0);
    size = (size_t)st.st_size - data;
    ck_assert_int_eq(program_bytes(last, &(size_t){0})[8], '{');

    json_object_foreach(json_object_get(header, "__metadata__"), name, o)
        ck_assert_msg(json_is_string(o), "metadata '%s' is no text", name);
    json_object_foreach(header, name, o) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        ck_assert_int_lt(n, MOST);
        tensor *t = &list[n++];
        const char *dtype = json_string_value(json_object_get(o, "dtype"));
        json_t *at = json_object_get(o, "data_offsets"), *dim;
        size_t i, width = strcmp(dtype, "F32") == 0 ? 4 : 1;
        ck_assert_msg(strcmp(dtype, "F32") == 0 || strcmp(dtype, "U8") == 0, "%s: %s",
                      name, dtype);
        ck_assert_uint_eq(json_object_size(o), 3);
        ck_assert_uint_eq(json_array_size(at), 2);
        *t = (tensor){ name, (size_t)json_integer_value(json_array_get(at, 0)),
                       (size_t)json_integer_value(json_array_get(at, 1)), 1,
                       (int)json_array_size(json_object_get(o, "shape")),
                       json_object_get(o, "shape") };
        json_array_foreach(t->shape, i, dim)
            t->n *= (size_t)json_integer_value(dim);
        ck_assert_msg(t->to - t->from == t->n * width, "%s: %zu bytes for %zu values",
                      name, t->to - t->from, t->n);
        ck_assert_msg(t->from % width == 0, "%s is not aligned", name);
    }
    qsort(list, (size_t)n, sizeof *list, by_place);
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        ck_assert_msg(list[i].from == end, "%s begins at %zu, not %zu", list[i].name,
                      list[i].from, end);
        end = list[i].to;
    }
    ck_assert_uint_eq(end, size);

    /* a 3x3 convolution of 3 channels to 4: (out, in, kh, kw), as PyTorch has it */
    for (int i = 0; i < n; i++)
        if (list[i].rank == 4) {
            turned++;
            const json_t *s = list[i].shape;
            ck_assert_int_eq((int)json_integer_value(json_array_get(s, 2)), 3);
            ck_assert_int_eq((int)json_integer_value(json_array_get(s, 3)), 3);
            if (strcmp(list[i].name, "conv1.weight") == 0)
                ck_assert_int_eq((int)json_integer_value(json_array_get(s, 1)), 3);
        }
    ck_assert_int_eq(turned, 6);        /* three weights and their momentum */
}
END_TEST

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

static void add_number(SHA2_CTX *sha, size_t x)
{
    const uint8_t le[4] = { (uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16),
                            (uint8_t)(x >> 24) };
    SHA256Update(sha, le, 4);
}

/* Name and a zero byte, rank, dimensions, values.  The sum is over our own order of
 * convolution weights, (out, kh, kw, in); in the file they are (out, in, kh, kw). */
static void add_tensor(SHA2_CTX *sha, const tensor *t, const char *bytes)
{
    size_t dim[4] = { 1, 1, 1, 1 };
    for (int i = 0; i < t->rank; i++)
        dim[i] = (size_t)json_integer_value(json_array_get(t->shape, (size_t)i));
    SHA256Update(sha, (const uint8_t *)t->name, strlen(t->name) + 1);
    add_number(sha, (size_t)t->rank);
    add_number(sha, dim[0]);
    if (t->rank != 4) {
        for (int i = 1; i < t->rank; i++)
            add_number(sha, dim[i]);
        SHA256Update(sha, (const uint8_t *)bytes, t->to - t->from);
        return;
    }
    add_number(sha, dim[2]);
    add_number(sha, dim[3]);
    add_number(sha, dim[1]);
    for (size_t o = 0; o < dim[0]; o++)
        for (size_t y = 0; y < dim[2]; y++)
            for (size_t x = 0; x < dim[3]; x++)
                for (size_t i = 0; i < dim[1]; i++)
                    SHA256Update(sha, (const uint8_t *)bytes
                                 + 4 * (((o * dim[1] + i) * dim[2] + y) * dim[3] + x), 4);
}

/* The weights of the file give the sum that status.json tells. */
START_TEST(a_checkpoint_holds_the_weights_that_were_summed)
{
    enum { MOST = 500 };
    static tensor list[MOST];
    char digest[SHA256_DIGEST_STRING_LENGTH];
    const char *name;
    size_t data, bytes;
    json_t *o;
    int n = 0;
    SHA2_CTX sha;

    undisturbed(TINY);
    ck_assert_int_eq(run_into("--out=work", NULL).exit, 0);
    json_t *header = saved_header(last, &data);
    const char *file = program_bytes(last, &bytes);
    json_object_foreach(header, name, o) {
        if (strncmp(name, "optim.", 6) == 0 || strncmp(name, "run.", 4) == 0
            || strcmp(name, "__metadata__") == 0)
            continue;
        ck_assert_int_lt(n, MOST);
        json_t *at = json_object_get(o, "data_offsets"),
               *shape = json_object_get(o, "shape");
        list[n++] = (tensor){ name, (size_t)json_integer_value(json_array_get(at, 0)),
                              (size_t)json_integer_value(json_array_get(at, 1)), 0,
                              (int)json_array_size(shape), shape };
    }
    ck_assert_int_gt(n, 10);
    qsort(list, (size_t)n, sizeof *list, by_name);
    SHA256Init(&sha);
    for (int i = 0; i < n; i++)
        add_tensor(&sha, &list[i], file + data + list[i].from);
    SHA256End(&sha, digest);
    ck_assert_str_eq(digest, saved_sha256(work));
}
END_TEST

/* Without reading anything of ours: the last checkpoint holds the log, line by line. */
START_TEST(a_checkpoint_holds_the_log_so_far)
{
    size_t data, n;
    undisturbed(TINY);
    ck_assert_int_eq(run_into("--out=work", NULL).exit, 0);
    json_t *header = saved_header(last, &data);
    json_t *at = json_object_get(json_object_get(header, "run.metrics.jsonl"),
                                 "data_offsets");
    size_t from = (size_t)json_integer_value(json_array_get(at, 0));
    size_t to = (size_t)json_integer_value(json_array_get(at, 1));
    const char *bytes = program_bytes(last, &n);
    char path[MOST_PATH + 64];
    snprintf(path, sizeof path, "%s/metrics.jsonl", work);
    const char *lines = program_read(path);
    ck_assert_uint_eq(to - from, strlen(lines));
    ck_assert(memcmp(bytes + data + from, lines, to - from) == 0);
}
END_TEST

/* ---- checkpoints whose checksum is right and whose contents are not -------------- */

static void rename_one(json_t *header)
{
    json_object_set(header, "bn2.bios", json_object_get(header, "bn2.bias"));
    json_object_del(header, "bn2.bias");
}

static void add(json_t *header)
{
    json_object_set_new(header, "bn9.bias", json_pack("{s:s, s:[i], s:[i, i]}", "dtype",
                        "F32", "shape", 0, "data_offsets", 0, 0));
}

static void reshape(json_t *header)
{
    json_t *t = json_object_get(header, "projector.0.weight");
    json_t *s = json_object_get(t, "shape");
    json_int_t rows = json_integer_value(json_array_get(s, 0));
    json_int_t cols = json_integer_value(json_array_get(s, 1));
    json_object_set_new(t, "shape", json_pack("[I, I]", rows * 2, cols / 2));
}

static void retype(json_t *header)
{
    json_t *t = json_object_get(header, "bn1.weight");
    json_object_set_new(t, "dtype", json_string("I32"));
}

static void say(json_t *header, const char *word, const char *text)
{
    json_object_set_new(json_object_get(header, "__metadata__"), word, json_string(text));
}

static void other_bits(json_t *header) { say(header, "bits", "999"); }
static void no_place(json_t *header)   { say(header, "step", "soon"); }
static void far_step(json_t *header)   { say(header, "step", "1000000"); }
static void far_epoch(json_t *header)  { say(header, "epoch", "1000000"); }
static void before_all(json_t *header) { say(header, "epoch", "-2"); }
static void no_number(json_t *header)  { say(header, "epoch", "1e300"); }
static void no_settings(json_t *header)
{
    json_object_del(json_object_get(header, "__metadata__"), "settings");
}

static const struct forgery {
    const char *what;
    void (*make)(json_t *header);
    int exit;
    const char *says;
} forgeries[] = {
    { "a missing tensor", rename_one, 6, "bn2.bias is missing" },
    { "a tensor too many", add, 6, "bn9.bias is not known" },
    { "a tensor of another shape", reshape, 6, "projector.0.weight" },
    { "a tensor of another type", retype, 6, "bn1.weight" },
    { "the bits of another version", other_bits, 6, "bits" },
    { "no place", no_place, 6, "step" },
    { "a step that does not exist", far_step, 6, "step" },
    { "an epoch that does not exist", far_epoch, 6, "epoch" },
    { "a negative epoch", before_all, 6, "epoch" },
    { "a number that is none", no_number, 6, "epoch" },
    { "no settings", no_settings, 2, "settings" },
};

START_TEST(a_checkpoint_that_does_not_fit_is_refused)
{
    const struct forgery *f = &forgeries[_i];
    size_t data, n;
    if (!strike_able())
        return;
    undisturbed(TINY);
    ck_assert(killed_after_save(4));
    unlink(prev);
    json_t *header = saved_header(last, &data);
    char *bytes = program_bytes(last, &n);
    f->make(header);
    saved_forge(last, header, bytes + data, n - data);
    ck_assert_ptr_null(saved_flaw(last));
    program_result r = run_into("--out=work", "--resume");
    ck_assert_msg(r.exit == f->exit, "%s: exit %d: %s", f->what, r.exit, r.err);
    ck_assert_msg(strstr(r.err, f->says) && strstr(r.err, "last.safetensors"), "%s: %s",
                  f->what, r.err);
    one_line(&r);
}
END_TEST

Suite *suite_resume(void)
{
    Suite *s = suite_create("resume");
    TCase *tc = tcase_create("resume");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc, it_goes_on_where_it_was_saved_and_ends_as_undisturbed, 0, 2);
    tcase_add_test(tc, it_can_be_gone_on_with_many_times);
    tcase_add_test(tc, a_finished_run_stays_as_it_is);
    tcase_add_test(tc, when_nothing_is_saved_it_begins_and_says_so);
    tcase_add_test(tc, without_resume_it_starts_over_and_says_so);
    tcase_add_test(tc, json_and_quiet_hold_while_going_on);
    tcase_add_test(tc, a_run_that_moved_house_goes_on);
    tcase_add_loop_test(tc, a_signal_saves_and_the_same_command_goes_on, 0,
                        (int)(sizeof stopping / sizeof *stopping));
    tcase_add_test(tc, the_same_signal_twice_at_once_counts_once);
    tcase_add_test(tc, a_signal_that_is_ignored_on_purpose_stays_so);
    tcase_add_test(tc, a_run_that_lost_its_checkpoints_is_not_replaced);
    tcase_add_test(tc, a_run_that_has_ended_is_no_neighbour);
    tcase_add_test(tc, the_alarm_counts_across_a_stop);
    tcase_add_test(tc, a_run_that_diverges_does_so_again);
    tcase_add_test(tc, other_settings_are_refused_with_the_keys_that_differ);
    tcase_add_test(tc, a_checkpoint_of_another_run_is_refused);
    tcase_add_test(tc, other_data_are_refused);
    tcase_add_test(tc, a_set_of_ones_own_may_move_but_is_not_taken_for_another);
    tcase_add_test(tc, a_run_under_way_is_not_gone_on_with);
    tcase_add_test(tc, a_folder_that_cannot_be_written_is_named);
    tcase_add_test(tc, a_checkpoint_keeps_the_rules_of_safetensors);
    tcase_add_test(tc, a_checkpoint_holds_the_weights_that_were_summed);
    tcase_add_test(tc, a_checkpoint_holds_the_log_so_far);
    tcase_add_loop_test(tc, a_checkpoint_that_does_not_fit_is_refused, 0,
                        (int)(sizeof forgeries / sizeof *forgeries));
    suite_add_tcase(s, tc);
    return s;
}
