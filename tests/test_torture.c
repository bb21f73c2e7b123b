/* Runs that are killed at random moments and gone on with, again and again, with other
 * numbers of threads and other kernel tables in between; and checkpoints that were
 * damaged while nobody looked.  In the end the weights are those of the undisturbed run.
 *
 * A short form is part of `make check`; `make torture` sets FULLRANK_KILLS=100 and
 * FULLRANK_FLIPS=1000.  Everything random follows from a seed that is printed;
 * FULLRANK_TORTURE_SEED repeats it, but for the clock's share in the moments. */
#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nn/kern/kern.h"
#include "tests/program.h"
#include "tests/saved.h"
#include "tests/suites.h"

enum { MOST_PATH = 4200, TIMEOUT = 120, LONG_TIMEOUT = 1800 };     /* seconds */

/* ---- chance ---------------------------------------------------------------------- */

static uint64_t state;

static void choose_seed(void)
{
    const char *given = getenv("FULLRANK_TORTURE_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    state = given ? strtoull(given, NULL, 10)
                  : (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    printf("torture: FULLRANK_TORTURE_SEED=%" PRIu64 "\n", state);
    fflush(stdout);
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" */
static uint64_t draw(uint64_t below)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % below;
}

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- kills ----------------------------------------------------------------------- */

/* One network and optimiser of every kind.  Steps are short and the files large enough
 * for writing to be a fair part of the time. */
static const struct net { const char *name, *config; } nets[] = {
    { "conv3-sgd",
      "method: {name: simsiam, proj_dim: 64}\n"
      "model: {name: conv3, width: 0.5}\n"
      "data: {name: shapes, size: 160, test_limit: 32}\n"
      "optim: {name: sgd, base_lr: 0.1}\n"
      "epochs: 4\nbatch: 16\n"
      "metrics: {samples: 32, bank: 64, knn_k: 5, lid_k: 5}\n" },
    { "resnet8-lars",
      "method: {name: simsiam, proj_dim: 32}\n"
      "model: {name: resnet8, width: 0.25}\n"
      "data: {name: shapes, size: 96, test_limit: 32}\n"
      "optim: {name: lars, base_lr: 0.2, per: step}\n"
      "epochs: 3\nbatch: 16\n"
      "metrics: {every: 2, samples: 32, bank: 64, knn_k: 5, lid_k: 5}\n" },
    { "mlp-adamw",
      "method: {name: simsiam, proj_dim: 32}\n"
      "model: {name: mlp, width: 0.1}\n"
      "data: {name: shapes, size: 160, test_limit: 32}\n"
      "optim: {name: adamw, base_lr: 0.01, warmup_epochs: 1}\n"
      "epochs: 3\nbatch: 16\n"
      "metrics: {samples: 32, bank: 64, knn_k: 5, lid_k: 5}\n" },
};
enum { NETS = sizeof nets / sizeof *nets };

typedef struct tally { int kills, terms, inside, early, finished; } tally;

static char plain[MOST_PATH], work[MOST_PATH];      /* run folders */

/* The undisturbed run, and how long it takes with a checkpoint after every step. */
static double undisturbed(const struct net *n)
{
    program_remove("plain");
    program_remove("work");
    program_write("net.yaml", n->config);
    setenv("FULLRANK_KERN", nn_kern_at(nn_kern_count() - 1)->name, 1);
    program_result r = program("train", "net.yaml", "--out=plain", "--quiet",
                               "--threads=1", NULL);
    ck_assert_msg(r.exit == 0, "%s: exit %d: %s", n->name, r.exit, r.err);
    snprintf(plain, sizeof plain, "%s", program_run_folder("plain"));
    snprintf(work, sizeof work, "work%s", plain + strlen("plain"));
    double from = seconds();
    r = program("train", "net.yaml", "--out=work", "--quiet", "checkpoint.seconds=0",
                "--threads=2", NULL);
    ck_assert_msg(r.exit == 0, "%s: exit %d: %s", n->name, r.exit, r.err);
    saved_same(work, plain);
    saved_check(work, 0);
    program_remove("work");
    return seconds() - from;
}

static int exists(const char *folder, const char *file)
{
    char path[MOST_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

/* Whatever was cut off, everything that lies there can be read, and shown. */
static void is_readable(const char *name)
{
    enum { TEMPORARY_NAMES = 6 };       /* the files of a run folder, and .try */
    if (access(work, F_OK) != 0)
        return;
    saved_check(work, TEMPORARY_NAMES);
    if (!exists(work, "metrics.jsonl"))
        return;
    saved_same_lines(program_lines(work, "metrics.jsonl"),
                     program_lines(plain, "metrics.jsonl"), 1);
    program_result r = program("report", work, "-o", "page.html", NULL);
    ck_assert_msg(r.exit == 0, "%s: no report of %s: exit %d: %s", name, work, r.exit,
                  r.err);
}

/* Starts or goes on, and disturbs after a random time of at most `most` seconds.  Returns
 * 1 when the run has ended by itself. */
static int disturb(const struct net *n, double most, tally *t)
{
    char threads[32];
    const char *kern = nn_kern_at((int)draw((uint64_t)nn_kern_count()))->name;
    int signal_number = draw(8) == 0 ? SIGTERM : SIGKILL;
    snprintf(threads, sizeof threads, "--threads=%d", 1 + (int)draw(3));
    setenv("FULLRANK_KERN", kern, 1);
    const char *const args[] = { "train",      "net.yaml", "checkpoint.seconds=0",
                                 "--out=work", threads,    "--resume",
                                 NULL };

    pid_t pid = program_start(args);
    double until = seconds() + most * (double)draw(1000000) / 1e6;
    siginfo_t ended = {0};
    while (seconds() < until && ended.si_pid == 0) {
        usleep(200);
        waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    }
    kill(pid, signal_number);
    int code = program_wait(pid);
    if (code == 0) {
        t->finished++;
        return 1;
    }
    if (code == 75) {
        t->terms++;
        ck_assert_str_eq(saved_state(work), "interrupted");
    } else if (code == 128 + SIGTERM && signal_number == SIGTERM) {
        t->early++;                     /* before the program listens to signals */
    } else {
        ck_assert_msg(code == 128 + SIGKILL, "%s, %s, %s: exit %d: %s", n->name, threads,
                      kern, code, program_read(".err.behind"));
        t->kills++;
        t->inside += exists(work, "checkpoints/last.safetensors.new");
    }
    is_readable(n->name);
    program_forget();
    return 0;
}

START_TEST(kills_at_random_moments_do_not_change_the_weights)
{
    /* A run is cut a few times: the moments lie anywhere in the first half of what the
     * whole of it takes. */
    int wanted = number_of("FULLRANK_KILLS", PROGRAM_SHARE > 1 ? 0 : 9);
    int mine = (wanted + NETS - 1 - _i) / NETS;
    const struct net *n = &nets[_i];
    tally t = {0};

    if (!wanted) {
        printf("skipped under the sanitizers: random kills, which take a minute each\n");
        return;
    }
    choose_seed();
    state += (uint64_t)_i << 32;
    double most = 0.5 * undisturbed(n);
    while (t.kills < mine) {
        int times = 0;
        program_remove("work");
        while (!disturb(n, most, &t))
            ck_assert_msg(++times < 200, "%s: it does not come to an end", n->name);
        saved_same(work, plain);
        saved_check(work, 0);
        program_forget();
    }
    printf(
        "torture: %s: %d kills, %d of them inside the writing of a checkpoint; %d"
        " saved on SIGTERM, %d too early for that; %d runs ended in the same weights\n",
        n->name, t.kills, t.inside, t.terms, t.early, t.finished);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------- */

#define TINY \
    "method: {name: simsiam, proj_dim: 16}\n" \
    "model: {name: conv3, width: 0.25}\n" \
    "data: {name: shapes, size: 16}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "epochs: 2\n" \
    "batch: 8\n" \
    "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n"

static char last[MOST_PATH + 64], prev[MOST_PATH + 64];

/* A run that ended, with both checkpoints: going on from `prev` has its last evaluation
 * to repeat. */
static void damage_scene(void)
{
    choose_seed();
    program_write("tiny.yaml", TINY);
    program_result r = program("train", "tiny.yaml", "--out=work", "--quiet",
                               "checkpoint.seconds=0", NULL);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    snprintf(work, sizeof work, "%s", program_run_folder("work"));
    snprintf(plain, sizeof plain, "good%s", work + strlen("work"));
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", work);
    snprintf(prev, sizeof prev, "%s/checkpoints/prev.safetensors", work);
    ck_assert_int_eq(rename("work", "good"), 0);
}

static void undamaged(void)
{
    program_remove("work");
    program_copy("good", "work");
}

static program_result go_on(void)
{
    return program("train", "tiny.yaml", "--out=work", "checkpoint.seconds=0", "--resume",
                   NULL);
}

/* Detected, said, and `prev` taken instead. */
static void is_noticed(const char *what)
{
    program_result r = go_on();
    ck_assert_msg(r.exit == 0, "%s: exit %d: %s", what, r.exit, r.err);
    ck_assert_msg(strstr(r.out, "last.safetensors") || strstr(r.err, "last.safetensors"),
                  "%s: not noticed: %s%s", what, r.out, r.err);
    ck_assert_msg(strstr(r.out, "prev.safetensors") || strstr(r.err, "prev.safetensors"),
                  "%s: prev is not named: %s%s", what, r.out, r.err);
    saved_same(work, plain);
    saved_check(work, 0);
    program_forget();
}

/* Flips one random bit of a byte. */
static void flip(const char *file, size_t at)
{
    size_t n;
    char *bytes = program_bytes(file, &n);
    ck_assert_msg(bytes && at < n, "%s: no byte %zu", file, at);
    bytes[at] = (char)((unsigned char)bytes[at] ^ 1u << draw(8));
    program_put(file, bytes, n);
}

/* Places that a checksum might forget: the ends, the length of the header, the checksum
 * and its name. */
static size_t special(int i, const char *bytes, size_t n)
{
    size_t key = (size_t)((const char *)memmem(bytes, n, "\"sha256\":\"", 10) - bytes);
    size_t header = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8
                    | (size_t)(unsigned char)bytes[2] << 16;
    const size_t places[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, n - 1, key, key + 1, key + 6,
                              key + 7, key + 8, key + 9, key + 10, key + 41, key + 73,
                              key + 74, 8 + header - 1, 8 + header };
    enum { COUNT = sizeof places / sizeof *places };
    if (i < COUNT)
        return places[i];
    if (i < 2 * COUNT)                  /* the header is small beside the tensors */
        return 8 + draw(header);
    return draw(n);
}

START_TEST(a_flipped_bit_is_noticed_and_prev_is_used)
{
    int flips = number_of("FULLRANK_FLIPS", PROGRAM_SHARE > 1 ? 24 : 44);
    damage_scene();
    for (int i = 0; i < flips; i++) {
        char what[64];
        size_t n;
        undamaged();
        const char *bytes = program_bytes(last, &n);
        size_t at = special(i, bytes, n);
        snprintf(what, sizeof what, "a bit in byte %zu of %zu", at, n);
        flip(last, at);
        is_noticed(what);
    }
    printf("torture: %d flipped bits, all noticed\n", flips);
}
END_TEST

START_TEST(a_cut_file_is_noticed_and_prev_is_used)
{
    int cuts = 6 + number_of("FULLRANK_FLIPS", 0) / 20;
    damage_scene();
    for (int i = 0; i < cuts; i++) {
        char what[64];
        size_t n;
        undamaged();
        const char *bytes = program_bytes(last, &n);
        const size_t lengths[] = { 0, 1, 7, 8, n - 1, draw(n) };
        size_t length = i < 6 ? lengths[i] : draw(n);
        program_put(last, bytes, length);
        snprintf(what, sizeof what, "cut to %zu of %zu bytes", length, n);
        is_noticed(what);
    }
}
END_TEST

static void zeros(void)
{
    size_t n;
    char *bytes = program_bytes(last, &n);
    memset(bytes, 0, n);
    program_put(last, bytes, n);
}

static void longer(void)
{
    size_t n;
    char *bytes = program_bytes(last, &n);
    program_put(last, bytes, n + 1);    /* and the zero that program_bytes adds */
}

static void other_file(void)
{
    program_write(last, "{\"this\": \"is not a checkpoint\"}\n");
}

static void link_to_itself(void)
{
    ck_assert(unlink(last) == 0 && symlink("last.safetensors", last) == 0);
}

static void link_to_nothing(void)
{
    ck_assert(unlink(last) == 0 && symlink("gone.safetensors", last) == 0);
}

static void pipe_in_its_place(void)
{
    ck_assert(unlink(last) == 0 && mkfifo(last, 0600) == 0);
}

static void huge_header(void)
{
    size_t n;
    char *bytes = program_bytes(last, &n);
    bytes[3] = 0x7F;                    /* a header of two thousand million bytes */
    program_put(last, bytes, n);
}

static const struct damage { const char *name; void (*make)(void); } damages[] = {
    { "a file of zeros", zeros },
    { "one byte too many", longer },
    { "another file", other_file },
    { "a link to itself", link_to_itself },
    { "a link to nothing", link_to_nothing },
    { "a pipe in its place", pipe_in_its_place },
    { "a huge header", huge_header },
};

START_TEST(what_is_no_checkpoint_is_noticed_and_prev_is_used)
{
    damage_scene();
    undamaged();
    damages[_i].make();
    is_noticed(damages[_i].name);
}
END_TEST

/* A folder is noticed too, but it cannot be replaced: the person has to take it away. */
START_TEST(a_folder_in_the_place_of_a_checkpoint_is_named)
{
    damage_scene();
    undamaged();
    ck_assert(unlink(last) == 0 && mkdir(last, 0777) == 0);
    program_result r = go_on();
    ck_assert_int_eq(r.exit, 1);
    ck_assert_msg(strstr(r.err, "last.safetensors: cannot be written: Is a directory"),
                  "%s", r.err);
    ck_assert_ptr_null(saved_flaw(prev));
    ck_assert_int_eq(rmdir(last), 0);
    r = go_on();
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    saved_same(work, plain);
    saved_check(work, 0);
}
END_TEST

START_TEST(when_both_are_damaged_both_are_named_and_nothing_is_touched)
{
    int times = 4 + number_of("FULLRANK_FLIPS", 0) / 20;
    damage_scene();
    for (int i = 0; i < times; i++) {
        size_t n, m, k;
        undamaged();
        program_bytes(last, &n);
        program_bytes(prev, &m);
        flip(last, draw(n));
        flip(prev, draw(m));
        const char *before = program_bytes(prev, &m);
        program_result r = go_on();
        ck_assert_msg(r.exit == 6, "exit %d: %s", r.exit, r.err);
        ck_assert_msg(strstr(r.err, "last.safetensors")
                          && strstr(r.err, "prev.safetensors")
                          && strstr(r.err, "without --resume"),
                      "%s", r.err);
        ck_assert_msg(strchr(r.err, '\n') == r.err + strlen(r.err) - 1,
                      "not one line: %s", r.err);
        const char *after = program_bytes(prev, &k);
        ck_assert_msg(k == m && memcmp(before, after, m) == 0, "prev was touched");
        program_forget();
    }
}
END_TEST

Suite *suite_torture(void)
{
    Suite *s = suite_create("torture");
    TCase *tc = tcase_create("torture");
    program_find();
    tcase_set_timeout(tc, getenv("FULLRANK_KILLS") ? LONG_TIMEOUT : TIMEOUT);
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc, kills_at_random_moments_do_not_change_the_weights, 0, NETS);
    tcase_add_test(tc, a_flipped_bit_is_noticed_and_prev_is_used);
    tcase_add_test(tc, a_cut_file_is_noticed_and_prev_is_used);
    tcase_add_loop_test(tc, what_is_no_checkpoint_is_noticed_and_prev_is_used, 0,
                        (int)(sizeof damages / sizeof *damages));
    tcase_add_test(tc, a_folder_in_the_place_of_a_checkpoint_is_named);
    tcase_add_test(tc, when_both_are_damaged_both_are_named_and_nothing_is_touched);
    suite_add_tcase(s, tc);
    return s;
}
