#include "experiments/trials.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "experiments/config.h"
#include "experiments/folder.h"
#include "experiments/progress.h"
#include "experiments/safetensors.h"

/* ---- what is there ----------------------------------------------------------------- */

/* Where the user's own set lies; NULL: it is none, or not there. */
static const char *place_of(const ex_config *c, nn_arena *a)
{
    char where[4096] = "";

    return c->source->own && c->source->present(&c->data, where, sizeof where)
        ? nn_arena_copy(a, where) : NULL;
}

nn_status ex_trial_prepare(ex_trial *t, const ex_paper *p, nn_arena *a, nn_err *err)
{
    nn_arena own = {0};
    ex_config config;
    ex_folder folder;
    nn_err why = {0};
    char what[96];

    nn_status status = ex_config_load(&config, t->run->config, t->pairs, t->pair, &own,
                                      &why);
    if (status == NN_OK)
        status = ex_folder_name(&folder, &config, &why);
    if (status == NN_OK) {
        t->folder = nn_arena_copy(a, folder.path);
        t->place = place_of(&config, a);
    }
    nn_arena_free(&own);
    snprintf(what, sizeof what, "%s, seed %d", t->run->name, t->seed);
    t->what = nn_arena_copy(a, what);
    if (status != NN_OK)
        return nn_fail(err, status, "%s:%d: run %s: %s", p->runs_file, t->run->line,
                       t->run->name, why.text);
    return NN_OK;
}

/* The whole of metrics.jsonl as an array, or NULL. */
static json_t *lines_of(const char *folder)
{
    char file[1200];
    json_t *list = json_array();

    snprintf(file, sizeof file, "%s/metrics.jsonl", folder);
    FILE *f = fopen(file, "r");
    for (json_t *o; f && (o = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL));)
        json_array_append_new(list, o);
    if (f)
        fclose(f);
    if (json_array_size(list))
        return list;
    json_decref(list);
    return NULL;
}

/* Whether the results in a folder are of the format that this program would write. */
static int same_bits(const char *folder)
{
    static const char *const name[] = { EX_LAST, EX_PREV };
    char file[1200];
    int same = 0;

    for (size_t i = 0; i < NN_COUNT(name) && !same; i++) {
        snprintf(file, sizeof file, "%s/checkpoints/%s", folder, name[i]);
        json_t *o = ex_safetensors_metadata(file);
        const char *bits = json_string_value(json_object_get(o, "bits"));
        same = bits && atoi(bits) == NN_BITS;
        json_decref(o);
    }
    return same;
}

/* Reads a trial's files; 1: it is over, with a result. */
static int load(ex_trial *t)
{
    char file[1200], state[32];

    ex_folder_state(t->folder, state, sizeof state);
    if ((strcmp(state, "finished") != 0 && strcmp(state, "diverged") != 0)
        || !same_bits(t->folder))
        return 0;
    snprintf(file, sizeof file, "%s/status.json", t->folder);
    t->status = json_load_file(file, 0, NULL);
    t->lines = lines_of(t->folder);
    t->seconds = json_number_value(json_object_get(t->status, "seconds"));
    return t->status && t->lines;
}

/* Whether a trial's results are on data from where they lie now.  If not, `train --resume`
 * is to compare them. */
static int same_place(const ex_trial *t)
{
    char file[1200];

    if (!t->place)
        return 1;
    snprintf(file, sizeof file, "%s/status.json", t->folder);
    json_t *status = json_load_file(file, 0, NULL);
    const char *dir = json_string_value(
        json_object_get(json_object_get(status, "data"), "dir"));
    int same = dir && strcmp(dir, t->place) == 0;
    json_decref(status);
    return same;
}

/* ---- processes --------------------------------------------------------------------- */

/* Signals are waited for, never handled: what is blocked stays pending until asked for.
 * What is ignored on purpose (nohup) stays ignored. */
static void stop_signals(sigset_t *set)
{
    static const int number[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction act;

    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < NN_COUNT(number); i++)
        if (sigaction(number[i], NULL, &act) == 0 && act.sa_handler != SIG_IGN)
            sigaddset(set, number[i]);
}

/* In the child, between fork and exec.  What it prints, errors alone, goes to `log`; when
 * this program dies it is told to save itself.  `parent` may be dead already. */
static void become(char *const *args, int log, pid_t parent, const sigset_t *mask)
{
    int nothing = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (getppid() == parent)
        execv("/proc/self/exe", args);
    _exit(127);
}

static nn_status start(ex_trial *t, int threads, const sigset_t *mask, nn_err *err)
{
    char number[16];
    const char **args = calloc((size_t)t->pairs + 8, sizeof *args);
    int n = 0;
    pid_t parent = getpid();

    NN_NEED(args, "out of memory");
    snprintf(number, sizeof number, "%d", threads);
    const char *const first[] = { "fullrank", "train", "--quiet", "--threads", number };
    for (size_t i = 0; i < NN_COUNT(first); i++)
        args[n++] = first[i];
    /* What has other bits is replaced, what was stopped goes on. */
    if (ex_folder_state(t->folder, (char[32]){0}, 32) && same_bits(t->folder))
        args[n++] = "--resume=auto";
    args[n++] = t->run->config;
    memcpy(args + n, t->pair, sizeof *args * (size_t)t->pairs);

    t->log = memfd_create("trial", MFD_CLOEXEC);
    t->start = ex_seconds();
    t->pid = t->log < 0 ? -1 : fork();
    if (t->pid == 0)
        become((char *const *)args, t->log, parent, mask);
    free(args);
    if (t->pid > 0)
        return NN_OK;
    int why = errno;
    if (t->log >= 0)
        close(t->log);
    t->pid = 0;
    return nn_fail(err, NN_ERUN, "%s: cannot be started: %s", t->what, strerror(why));
}

/* What a process printed, without the last newline; the caller's. */
static char *said(int log)
{
    off_t n = lseek(log, 0, SEEK_END);
    char *text = calloc(1, (size_t)(n > 0 ? n : 0) + 1);

    NN_NEED(text, "out of memory");
    ssize_t got = n > 0 ? pread(log, text, (size_t)n, 0) : 0;
    for (ssize_t k = got; k > 0 && text[k - 1] == '\n'; k--)
        text[k - 1] = 0;
    return text;
}

/* A process has ended: NN_OK when its trial is over, with a result. */
static nn_status ended(ex_trial *t, int status, nn_err *err)
{
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    int result = code == NN_OK || code == NN_ECOLLAPSE || code == NN_EDIVERGED;
    char *text = said(t->log);

    close(t->log);
    t->pid = 0;
    if (code == NN_EAGAIN)
        code = nn_fail(err, NN_EAGAIN, "%s: %s", t->what, text);
    else if (!result)
        code = nn_fail(err, code < 128 ? code : NN_ERUN, "%s: %s", t->what,
                       text[0] ? text : WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                                            : "ended without a word");
    else if (!load(t))
        code = nn_fail(err, NN_ERUN, "%s: %s: no results in this folder", t->what,
                       t->folder);
    else
        code = NN_OK;
    free(text);
    return (nn_status)code;
}

/* ---- all of them ------------------------------------------------------------------- */

static const char *outcome(const ex_trial *t, char *out, size_t size)
{
    const json_t *last = json_array_get(t->lines, json_array_size(t->lines) - 1);
    const char *word = json_string_value(json_object_get(last, "verdict"));

    snprintf(out, size, "%s", word ? word : "?");
    return out;
}

/* "  3 of 12  nostop, seed 1            21.3 s  complete collapse    ETA 3:20" */
static void tell(const ex_trials *all, const ex_trial *t, int done, int to_train,
                 double trained, int trainings)
{
    char word[64], left[32] = "";
    double rest = trainings ? trained / trainings * to_train / all->jobs : 0;

    if (to_train && trainings)
        snprintf(left, sizeof left, "  ETA %.0f:%02.0f", floor(rest / 60),
                 floor(fmod(rest, 60)));
    fprintf(all->out, "%4d of %-4d %-28s %9.1f s%s  %s%s\n", done, all->count, t->what,
            t->seconds, t->reused ? " before" : "", outcome(t, word, sizeof word), left);
    fflush(all->out);
}

/* The state of the loop below. */
typedef struct fleet {
    int at, running, done, to_train, trainings;
    double trained;                     /* seconds of the trainings that are over */
    int stopping;                       /* 1: nothing new is started */
    nn_status status;
    nn_err *err;
} fleet;

/* The first failure is the one that counts. */
static void fail(ex_trials *all, fleet *f, nn_status status, const nn_err *err)
{
    if (!f->stopping) {
        f->status = status;
        *f->err = *err;
    }
    f->stopping = 1;
    for (int i = 0; i < all->count; i++)
        if (all->list[i].pid > 0)
            kill(all->list[i].pid, SIGTERM);
}

static void finished(ex_trials *all, fleet *f, ex_trial *t)
{
    nn_err err = {0};

    f->done++;
    tell(all, t, f->done, f->to_train, f->trained, f->trainings);
    nn_status status = f->stopping ? NN_OK : all->over(all->arg, t, &err);
    if (status != NN_OK)
        fail(all, f, status, &err);
}

static void reap(ex_trials *all, fleet *f)
{
    int status;

    for (int i = 0; i < all->count; i++) {
        ex_trial *t = &all->list[i];
        nn_err err = {0};
        if (t->pid <= 0 || waitpid(t->pid, &status, WNOHANG) != t->pid)
            continue;
        f->running--;
        f->to_train--;
        f->trainings++;
        f->trained += ex_seconds() - t->start;
        nn_status how = ended(t, status, &err);
        if (how == NN_OK)
            finished(all, f, t);
        else
            fail(all, f, how, &err);
    }
}

static void start_more(ex_trials *all, fleet *f, const sigset_t *mask)
{
    while (f->running < all->jobs && f->at < all->count && !f->stopping) {
        ex_trial *t = &all->list[f->at++];
        nn_err err = {0};
        if (t->lines)
            continue;
        nn_status how = start(t, all->threads, mask, &err);
        if (how == NN_OK)
            f->running++;
        else
            fail(all, f, how, &err);
    }
}

nn_status ex_trials_run(ex_trials *all, nn_err *err)
{
    fleet f = { .err = err };
    sigset_t wanted, before;
    siginfo_t info;
    nn_err asked = {0};

    stop_signals(&wanted);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    for (int i = 0; i < all->count; i++)
        all->list[i].reused = same_place(&all->list[i]) && load(&all->list[i]);
    for (int i = 0; i < all->count; i++)
        f.to_train += !all->list[i].reused;
    for (int i = 0; i < all->count && !f.stopping; i++)
        if (all->list[i].reused)
            finished(all, &f, &all->list[i]);
    for (start_more(all, &f, &before); f.running; start_more(all, &f, &before)) {
        int number = sigwaitinfo(&wanted, &info);
        if (number > 0 && number != SIGCHLD) {
            nn_fail(&asked, NN_EAGAIN, "signal %d (%s): runs under way have saved; the same"
                    " command goes on", number, strsignal(number));
            fail(all, &f, NN_EAGAIN, &asked);
        }
        reap(all, &f);                          /* several may have ended at one signal */
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return f.status;
}

void ex_trials_free(ex_trials *all)
{
    for (int i = 0; i < all->count; i++) {
        json_decref(all->list[i].status);
        json_decref(all->list[i].lines);
    }
    *all = (ex_trials){0};
}

/* ---- figures ----------------------------------------------------------------------- */

static double number(const json_t *o)
{
    return json_is_number(o) ? json_number_value(o) : NAN;
}

static nn_status missing(const json_t *o, const char *key, const char *where,
                         const char *folder, const char *file, nn_err *err)
{
    const char **known = calloc(json_object_size(o) + 1, sizeof *known), *near = NULL;
    const char *name;
    json_t *unused;
    size_t n = 0;

    NN_NEED(known, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)o, name, unused)
        known[n++] = name;
    near = nn_nearest(key, known);
    nn_fail(err, NN_ECONFIG, "%s: no key '%s' in %s/%s%s%s%s", where, key, folder, file,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    free(known);
    return NN_ECONFIG;
}

/* status.a.b.c */
static nn_status of_status(const ex_trial *t, const char *key, const char *where,
                           double *value, nn_err *err)
{
    const json_t *o = t->status, *base = json_object_get(t->status, "baseline");
    const char *at = key;
    char word[128];

    if (json_object_get(base, key))
        o = base;
    for (size_t n; ; at += n + 1) {
        n = strcspn(at, ".");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        if (!json_object_get(o, word))
            return missing(o, word, where, t->folder, "status.json", err);
        o = json_object_get(o, word);
        if (!at[n])
            break;
    }
    *value = number(o);
    return NN_OK;
}

static int epoch_of(const json_t *line)
{
    return (int)json_integer_value(json_object_get(line, "epoch"));
}

/* NULL: there is no such line. */
static const json_t *line_at(const ex_trial *t, const char *at)
{
    const json_t *line, *best = NULL;
    double highest = -1;
    size_t i;

    if (!at[0])
        return json_array_get(t->lines, json_array_size(t->lines) - 1);
    json_array_foreach(t->lines, i, line) {
        double knn = number(json_object_get(line, "eval/knn"));
        if (strcmp(at, "best") != 0 && epoch_of(line) == atoi(at))
            return line;
        if (strcmp(at, "best") == 0 && epoch_of(line) > 0 && knn > highest) {
            highest = knn;
            best = line;
        }
    }
    return best;
}

nn_status ex_trial_figure(const ex_trial *t, const ex_figure *f, const char *where,
                          double *value, nn_err *err)
{
    const char *verdict = json_string_value(json_object_get(line_at(t, ""), "verdict"));
    int code = (int)json_integer_value(json_object_get(t->status, "exit"));
    const json_t *line = line_at(t, f->at);

    *value = NAN;
    if (strcmp(f->key, "exit") == 0)
        *value = code;
    else if (strcmp(f->key, "collapsed") == 0)
        *value = verdict && strstr(verdict, "collapse") != NULL;
    else if (strncmp(f->key, "status.", 7) == 0)
        return of_status(t, f->key + 7, where, value, err);
    else if (!line && code == NN_OK)
        return nn_fail(err, NN_ECONFIG, "%s: no epoch %s in %s/metrics.jsonl", where, f->at,
                       t->folder);
    else if (line && !json_object_get(line, f->key))
        return missing(line, f->key, where, t->folder, "metrics.jsonl", err);
    else
        *value = number(json_object_get(line, f->key));
    return NN_OK;
}
