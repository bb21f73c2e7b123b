/* Faults of the file system at every call a run makes: the disk is full, the device
 * fails, writes are short, a rename or fsync is refused, the process is killed right
 * before, inside or right after the call.  Whatever happens, the older checkpoint
 * survives, the message names the file and the cause, nothing on disk is unreadable, and
 * --resume ends in the weights of the undisturbed run.
 *
 * tests/faults.c makes the faults; it is found in FULLRANK_FAULTS.  A run of a few steps
 * makes some hundred calls.  `make check` strikes a part of them, every rename, fsync and
 * patch among them; with FULLRANK_FAULTS_ALL=1 each is struck with everything. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/program.h"
#include "tests/saved.h"
#include "tests/strike.h"
#include "tests/suites.h"

/* Two epochs of two steps: a step, the border of an epoch, and the end are all there. */
#define TINY \
    "method: {name: simsiam, proj_dim: 16}\n" \
    "model: {name: conv3, width: 0.25}\n" \
    "data: {name: shapes, size: 16}\n" \
    "optim: {name: sgd, base_lr: 0.1}\n" \
    "epochs: 2\n" \
    "batch: 8\n" \
    "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n"

enum { MOST_PATH = 4200, TIMEOUT = 120, LONG_TIMEOUT = 1800 };     /* seconds */

/* A state of the folder and what is run on it. */
typedef struct scene {
    const char *half; /* the folder as it lies there before; NULL: none */
    int count;                          /* of calls when nothing goes wrong */
    const call *list;
} scene;

static const char *const fresh[] = { "train", "tiny.yaml", "checkpoint.seconds=0",
                                     "--out=work", "--threads=1", "--quiet", NULL };
static const char *const go_on[] = { "train", "tiny.yaml", "checkpoint.seconds=0",
                                     "--out=work", "--threads=1", "--quiet", "--resume",
                                     NULL };

static char plain[MOST_PATH], work[MOST_PATH];      /* run folders */
static call calls[STRIKE_CALLS];

/* ---- scenes ---------------------------------------------------------------------- */

static void restore(const scene *s)
{
    program_remove("work");
    if (s->half)
        program_copy(s->half, "work");
}

static void learn_calls(scene *s)
{
    restore(s);
    program_result r = strike(s->half ? go_on : fresh, 0, NULL, 0);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    s->count = strike_calls(calls);
    s->list = calls;
    saved_same(work, plain);
    saved_check(work, 0);
}

/* The undisturbed run, then a run from nothing. */
static scene from_nothing(void)
{
    scene s = {0};

    program_write("tiny.yaml", TINY);
    program_result r = program("train", "tiny.yaml", "--out=plain", "--threads=1",
                               "--quiet", NULL);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    snprintf(plain, sizeof plain, "%s", program_run_folder("plain"));
    snprintf(work, sizeof work, "work%s", plain + strlen("plain"));
    learn_calls(&s);
    return s;
}

/* A run that was killed right after its second checkpoint, of which there are both then:
 * two of four steps are done, the epoch is not yet evaluated. */
static scene from_half(void)
{
    scene first = from_nothing(), s = { .half = "half" };
    int saved = 0, at = 0;

    for (int i = 0; i < first.count && !at; i++) {
        const call *c = &first.list[i];
        if (strcmp(c->kind, "rename") == 0
            && strcmp(strike_base(c->path), "last.safetensors") == 0)
            at = ++saved == 2 ? c->number : 0;
    }
    ck_assert_msg(at, "no second checkpoint among %d calls", first.count);
    program_remove("work");
    ck_assert_int_eq(strike(fresh, at, "killed", 0).exit, 128 + SIGKILL);
    ck_assert_int_eq(rename("work", "half"), 0);
    learn_calls(&s);
    return s;
}

/* ---- which calls are struck ------------------------------------------------------ */

static int all_of_them(void)
{
    return getenv("FULLRANK_FAULTS_ALL") != NULL;
}

static int is(const call *c, const char *kind)
{
    return strcmp(c->kind, kind) == 0;
}

static int among(const call *c, const char *const *kinds)
{
    for (int i = 0; kinds[i]; i++)
        if (is(c, kinds[i]))
            return 1;
    return 0;
}

/* Calls whose failure must be told: the rest is closing what was read or only locked, and
 * tidying up. */
static int must_be_told(const call *c)
{
    if (is(c, "close") && strcmp(strike_base(c->path), ".lock") == 0)
        return 0;
    static const char *const kinds[] = { "open", "opendir", "write", "pwrite", "fsync",
                                         "fsyncdir", "close", "rename", "mkdir", NULL };
    return among(c, kinds);
}

static int has_bytes(const call *c)
{
    static const char *const kinds[] = { "write", "pwrite", "read", NULL };
    return among(c, kinds);
}

/* The calls on which it hangs whether a file is whole; and of those that only move bytes
 * there are too many. */
static int class_of(const call *c)
{
    static const char *const decisive[] = { "rename", "fsync", "pwrite", NULL },
                      *const bytes[] = { "write", "read", NULL };
    return among(c, decisive) ? 0 : among(c, bytes) ? 2 : 1;
}

/* In the short form: one of `every` decisive calls, a quarter as many of the others, and
 * very few of those that move bytes.  In the long form: all. */
static int chosen(const scene *s, const call *c, int every)
{
    static const int share[] = { PROGRAM_SHARE, 4 * PROGRAM_SHARE, 24 * PROGRAM_SHARE };
    int class = class_of(c), before = 0;

    if (all_of_them())
        return 1;
    for (const call *k = s->list; k < c; k++)
        before += class_of(k) == class;
    return before % (every * share[class]) == every / 2;
}

/* ---- what must hold -------------------------------------------------------------- */

static int has_file(const char *text, const char *path)
{
    char name[MOST_PATH];
    snprintf(name, sizeof name, "%s", strike_base(path));
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".new") == 0)
        name[n - 4] = 0;
    return strstr(text, name) != NULL;
}

/* One line that names the file and the system's word for the cause. */
static void names_the_culprit(const program_result *r, const call *c, const char *what,
                              const char *cause)
{
    int kept_aside =
        is(c, "rename") && strcmp(strike_base(c->path), "prev.safetensors") == 0;
    const char *end = strchr(r->err, '\n');

    ck_assert_msg(end && !end[1], "%s at %s %s: not one line: '%s'", what, c->kind,
                  c->path, r->err);
    ck_assert_msg(has_file(r->err, c->path)
                      || (kept_aside && has_file(r->err, "/last.safetensors")),
                  "%s at %s %s: the file is not named: %s", what, c->kind, c->path,
                  r->err);
    ck_assert_msg(strstr(r->err, cause), "%s at %s %s: '%s' is not named: %s", what,
                  c->kind, c->path, cause, r->err);
    ck_assert_msg(!strstr(r->err, ".new"), "%s at %s %s: a name that nobody knows: %s",
                  what, c->kind, c->path, r->err);
}

/* Nothing unreadable lies there, and the checkpoint that was there or its successor. */
static void nothing_is_lost(const scene *s, int most_new)
{
    if (access(work, F_OK) == 0)
        saved_check(work, most_new);
    if (s->half)
        ck_assert_msg(saved_has_checkpoint(work), "no checkpoint is left");
}

static void ends_as_undisturbed(const call *c, const char *what)
{
    program_result r = program_args(go_on);
    ck_assert_msg(r.exit == 0, "after %s at call %d (%s %s): resume ends with %d: %s",
                  what, c->number, c->kind, c->path, r.exit, r.err);
    saved_same(work, plain);
    saved_check(work, 0);
}

static void fail_at(const scene *s, const call *c, const char *what, int stay,
                    const char *cause)
{
    restore(s);
    program_result r = strike(s->half ? go_on : fresh, c->number, what, stay);
    strike_hit(c, what);
    if (must_be_told(c))
        ck_assert_msg(r.exit == 1, "%s at call %d (%s %s): exit %d: %s", what, c->number,
                      c->kind, c->path, r.exit, r.err);
    else
        ck_assert_msg(r.exit == 0 || r.exit == 1, "%s at call %d (%s %s): exit %d: %s",
                      what, c->number, c->kind, c->path, r.exit, r.err);
    if (r.exit == 1)
        names_the_culprit(&r, c, what, cause);
    else
        saved_same(work, plain);
    /* A temporary file stays when it cannot be removed: of a checkpoint, the status and
     * the try-out. */
    nothing_is_lost(s, stay ? 3 : is(c, "unlink"));
    ends_as_undisturbed(c, what);
    program_forget();
}

static void die_at(const scene *s, const call *c, const char *what)
{
    restore(s);
    program_result r = strike(s->half ? go_on : fresh, c->number, what, 0);
    strike_hit(c, what);
    ck_assert_int_eq(r.exit, 128 + SIGKILL);
    nothing_is_lost(s, 1);
    ends_as_undisturbed(c, what);
    program_forget();
}

/* ---- the tests ------------------------------------------------------------------- */

static void told(int cases, const scene *s, const char *what)
{
    printf("faults: %d times %s, at %d calls\n", cases, what, s->count);
    ck_assert_int_gt(cases, 0);
}

typedef struct error { const char *name; int number; } error;

/* Every chosen call with the errors in turn; in the long form each with each. */
static void try_errors(const scene *s, const error *list, int count, int every, int stay)
{
    int n = 0, turn = 0;
    for (int i = 0; i < s->count; i++)
        if (chosen(s, &s->list[i], every) && (!stay || must_be_told(&s->list[i])))
            for (int e = 0, first = turn++; e < (all_of_them() ? count : 1); e++, n++) {
                const error *x = &list[(first + e) % count];
                fail_at(s, &s->list[i], x->name, stay, strerror(x->number));
            }
    told(n, s, stay ? "an error that stays" : "an error");
}

static const error errors[] = {
    { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EDQUOT", EDQUOT }, { "EACCES", EACCES }
};
static const error lasting[] = { { "ENOSPC", ENOSPC },
                                 { "EIO", EIO },
                                 { "EROFS", EROFS } };

START_TEST(an_error_at_any_call_is_told_and_the_checkpoint_survives)
{
    if (!strike_able())
        return;
    scene s = from_half();
    try_errors(&s, errors, sizeof errors / sizeof *errors, 1, 0);
}
END_TEST

START_TEST(an_error_at_any_call_of_a_new_run_is_told)
{
    if (!strike_able())
        return;
    scene s = from_nothing();
    try_errors(&s, errors, sizeof errors / sizeof *errors, 5, 0);
}
END_TEST

START_TEST(an_error_that_stays_is_told_and_the_checkpoint_survives)
{
    if (!strike_able())
        return;
    scene s = from_half();
    try_errors(&s, lasting, sizeof lasting / sizeof *lasting, 5, 1);
}
END_TEST

/* Half of the bytes are taken, or a signal came first: the caller has to go on. */
START_TEST(short_and_interrupted_writes_are_no_errors)
{
    static const char *const gentle[] = { "short", "EINTR" };
    int n = 0, turn = 0;
    if (!strike_able())
        return;
    scene s = from_half();
    for (int i = 0; i < s.count; i++) {
        const call *c = &s.list[i];
        if (!has_bytes(c) || !chosen(&s, c, 1))
            continue;
        for (int k = 0, first = turn++; k < (all_of_them() ? 2 : 1); k++, n++) {
            const char *what = gentle[(first + k) % 2];
            restore(&s);
            program_result r = strike(go_on, c->number, what, 0);
            strike_hit(c, what);
            ck_assert_msg(r.exit == 0, "%s at call %d (%s %s): exit %d: %s", what,
                          c->number, c->kind, c->path, r.exit, r.err);
            saved_same(work, plain);
            saved_check(work, 0);
            program_forget();
        }
    }
    told(n, &s, "a short or interrupted write");
}
END_TEST

/* Every moment between two changes of the disk, and the middle of every write. */
static void try_deaths(const scene *s, int every)
{
    static const char *const deaths[] = { "kill", "killed", "torn" };
    int n = 0, turn = 0;

    for (int i = 0; i < s->count; i++) {
        const call *c = &s->list[i];
        int kinds = has_bytes(c) && !is(c, "read") ? 3 : 2;
        if (chosen(s, c, every))
            for (int k = 0, first = turn++; k < (all_of_them() ? kinds : 1); k++, n++)
                die_at(s, c, deaths[(first + k) % kinds]);
    }
    told(n, s, "a kill");
}

START_TEST(a_kill_at_any_call_loses_nothing)
{
    if (!strike_able())
        return;
    scene s = from_half();
    try_deaths(&s, 1);
}
END_TEST

START_TEST(a_kill_at_any_call_of_a_new_run_loses_nothing)
{
    if (!strike_able())
        return;
    scene s = from_nothing();
    try_deaths(&s, 5);
}
END_TEST

/* What a power cut spares is what was synced: a file before it takes its name, the folder
 * after, and the file that is replaced only then. */
START_TEST(every_file_is_synced_before_it_takes_its_name)
{
    if (!strike_able())
        return;
    scene s = from_half();
    int renames = 0;
    for (int i = 0; i < s.count; i++) {
        const call *c = &s.list[i];
        if (!is(c, "rename") || strcmp(strike_base(c->path), "prev.safetensors") == 0)
            continue;
        char temporary[MOST_PATH + 8];
        snprintf(temporary, sizeof temporary, "%s.new", c->path);
        int synced = 0, written = 0;
        for (int k = i - 1; k >= 0 && !is(&s.list[k], "open"); k--) {
            if (strcmp(s.list[k].path, temporary) != 0)
                continue;
            synced |= is(&s.list[k], "fsync") && !written;
            written |= is(&s.list[k], "write") || is(&s.list[k], "pwrite");
        }
        ck_assert_msg(synced, "%s: its last bytes are not synced", temporary);
        int folder = 0;
        for (int k = i + 1; k < s.count && !is(&s.list[k], "open"); k++)
            folder |= is(&s.list[k], "fsyncdir")
                      && strncmp(s.list[k].path, c->path, strlen(s.list[k].path)) == 0;
        ck_assert_msg(folder, "%s: the folder is not synced after the rename", c->path);
        renames++;
    }
    ck_assert_int_gt(renames, 5);
}
END_TEST

Suite *suite_faults(void)
{
    const struct { const char *name; const TTest *test; } list[] = {
        { "sync", every_file_is_synced_before_it_takes_its_name },
        { "errors", an_error_at_any_call_is_told_and_the_checkpoint_survives },
        { "new", an_error_at_any_call_of_a_new_run_is_told },
        { "lasting", an_error_that_stays_is_told_and_the_checkpoint_survives },
        { "short", short_and_interrupted_writes_are_no_errors },
        { "kills", a_kill_at_any_call_loses_nothing },
        { "new-kills", a_kill_at_any_call_of_a_new_run_loses_nothing },
    };
    Suite *s = suite_create("faults");
    program_find();
    /* a test case each: CK_RUN_CASE=kills repeats one of them alone */
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        TCase *tc = tcase_create(list[i].name);
        tcase_set_timeout(tc, all_of_them() ? LONG_TIMEOUT : TIMEOUT);
        tcase_add_checked_fixture(tc, program_enter, program_leave);
        tcase_add_test(tc, list[i].test);
        suite_add_tcase(s, tc);
    }
    return s;
}
