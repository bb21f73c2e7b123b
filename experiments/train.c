#include "experiments/train.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/progress.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

/* The run loop.
 *
 *   configuration -> data and network -> folder -> untrained network measured
 *   every epoch: steps, then every metrics.every epochs an evaluation and the files
 *
 * A run ends in one of these ways, told by status.json and the exit code:
 *   finished 0 (3 when the alarm stopped it)     diverged 4     interrupted 128 + signal
 *   failed: the code of what failed */
typedef struct job {
    ex_config config;
    ex_run run;
    ex_folder folder;
    ex_evaluator evaluator;
    ex_figures figures;
    ex_log log;
    ex_progress progress;
    nn_arena text;                      /* what the configuration points to */
    double start, raw_knn;
    int judged, collapsed;              /* figures are there; bad verdicts in a row */
    int epoch;                          /* finished epochs */
    nn_err *err;
} job;

/* A signal asks the loop to stop after the step it is in; the second one is not waited
 * for. */
static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    asked_to_stop = number;
}

static void watch_signals(void)
{
    struct sigaction stop = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    asked_to_stop = 0;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);             /* the terminal went away */
    sigaction(SIGUSR1, &stop, NULL);            /* a queue's warning before its limit */
    sigaction(SIGPIPE, &ignore, NULL);          /* `| head`: the run matters, not its text */
    sigaction(SIGXFSZ, &ignore, NULL); /* a file size limit is an error of write() */
}

static nn_status choose_machine(int threads, nn_err *err)
{
    char known[128] = "";
    size_t used = 0;

    if (!nn_kern_choose(NULL)) {
        for (int i = 0; i < nn_kern_count() && used < sizeof known; i++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                     i ? ", " : "", nn_kern_at(i)->name);
        return nn_fail(err, NN_ECONFIG, "FULLRANK_KERN=%s: no such kernel table on this"
                       " machine; there is %s", getenv("FULLRANK_KERN"), known);
    }
    if (threads > 0)
        nn_par_set_threads(threads);
    return NN_OK;
}

static double elapsed(const job *j)
{
    return ex_seconds() - j->start;
}

/* Collapse that lasts: what the alarm of the configuration waits for. */
static int alarm_rings(job *j)
{
    met_verdict v = j->figures.judged.verdict;
    int collapse = v == MET_DIMENSIONAL || v == MET_COMPLETE;

    j->collapsed = collapse ? j->collapsed + 1 : 0;
    return j->collapsed >= j->config.alarm.patience;
}

static nn_status begin(job *j, const ex_train_options *o)
{
    nn_err *err = j->err;

    NN_TRY(choose_machine(o->threads, err));
    NN_TRY(ex_config_load(&j->config, o->file, o->pairs, o->pair, &j->text, err));
    NN_TRY(ex_run_build(&j->run, &j->config, err));
    NN_TRY(ex_folder_open(&j->folder, &j->config, err));
    ex_progress_start(&j->progress, &j->run, &j->folder, o->json ? stderr : stdout,
                      o->quiet);
    ex_log_start(&j->log, &j->run, &j->folder, nn_par_threads());

    double from = ex_seconds();
    j->evaluator = ex_evaluator_new(&j->run);
    ex_evaluate_untrained(&j->evaluator, &j->figures);
    j->raw_knn = ex_raw_pixel_knn(&j->evaluator);
    ex_log_baseline(&j->log, j->raw_knn, j->figures.knn, &j->evaluator);

    ex_epoch e = { .loss = NAN, .lr = NAN, .images_per_s = NAN,
                   .eval_seconds = ex_seconds() - from };
    ex_log_epoch(&j->log, &e, &j->figures, NULL);
    ex_log_state(&j->log, "running", 0, 0, "", elapsed(j), NULL);
    NN_TRY(ex_log_write_status(&j->log, err));  /* first, so that a full disk can be told */
    NN_TRY(ex_log_write(&j->log, err));
    ex_progress_baselines(&j->progress, &j->run, &j->evaluator, j->raw_knn,
                          j->figures.knn);
    ex_progress_epoch(&j->progress, &e, &j->figures, 1);
    return NN_OK;
}

/* The steps of one epoch.  NN_EDIVERGED when the loss is not finite; stops early, with
 * NN_OK, when a signal came. */
static nn_status train_epoch(job *j, ex_epoch *e)
{
    const ex_config *c = &j->config;
    double start = ex_seconds(), sum = 0;

    for (int step = 0; step < j->run.steps && !asked_to_stop; step++) {
        data_batch b = data_loader_get(j->run.loader, e->epoch - 1, step);
        double loss = ex_run_step(&j->run, &b, &e->lr);
        if (!isfinite(loss))
            return nn_fail(j->err, NN_EDIVERGED,
                           "the loss is %s in epoch %d, step %d of %d, at a"
                           " learning rate of %g; try a smaller optim.base_lr or a longer"
                           " optim.warmup_epochs",
                           isnan(loss) ? "not a number" : "infinite", e->epoch, step + 1,
                           j->run.steps, e->lr);
        if (e->epoch == 1 && step == 0)
            ex_log_memory(&j->log);
        sum += loss;
        e->loss = sum / (step + 1);
        e->seconds = ex_seconds() - start;
        e->images_per_s = (double)(step + 1) * c->top.batch / e->seconds;
        ex_progress_step(&j->progress, &j->run, &b, loss, e->images_per_s);
    }
    return NN_OK;
}

static nn_status evaluate_epoch(job *j, ex_epoch *e, int last)
{
    double from = ex_seconds();
    char sha[65];

    ex_evaluate(&j->evaluator, e->loss, &j->figures);
    e->eval_seconds = ex_seconds() - from;
    if (j->figures.judged.verdict == MET_DIVERGED)
        return nn_fail(j->err, NN_EDIVERGED,
                       "%s after epoch %d, at a learning rate of %g; try"
                       " a smaller optim.base_lr or a longer optim.warmup_epochs",
                       j->figures.judged.why, e->epoch, e->lr);
    int stop = alarm_rings(j) && j->config.alarm.action == EX_ALARM_STOP;
    if (last || stop)
        ex_weights_sha256(&j->run.store, sha);
    ex_log_epoch(&j->log, e, &j->figures, last || stop ? sha : NULL);
    ex_progress_epoch(&j->progress, e, &j->figures, 1);
    if (j->collapsed == j->config.alarm.patience
        && j->config.alarm.action == EX_ALARM_WARN)
        ex_progress_note(&j->progress, "       alarm: %s in %d evaluations running; %s",
                         met_verdict_word(j->figures.judged.verdict), j->collapsed,
                         j->figures.judged.why);
    if (stop)
        return nn_fail(j->err, NN_ECOLLAPSE, "stopped by alarm.action=stop: %s (%s)",
                       met_verdict_word(j->figures.judged.verdict),
                       j->figures.judged.why);
    return NN_OK;
}

static nn_status train(job *j)
{
    const ex_config *c = &j->config;

    for (int epoch = 1; epoch <= c->top.epochs && !asked_to_stop; epoch++) {
        ex_epoch e = { .epoch = epoch };
        int last = epoch == c->top.epochs,
            measured = last || epoch % c->metrics.every == 0;

        nn_status status = train_epoch(j, &e);
        if (status == NN_EDIVERGED) {
            e.loss = NAN;
            ex_log_diverged(&j->log, &e, &j->figures, j->err->text);
        }
        if (status != NN_OK || asked_to_stop)
            return status;
        j->epoch = epoch;
        if (measured) {
            status = evaluate_epoch(j, &e, last);
            if (status == NN_EDIVERGED)
                ex_log_diverged(&j->log, &e, &j->figures, j->err->text);
            if (status != NN_OK)
                return status;
        } else {
            ex_progress_epoch(&j->progress, &e, &j->figures, 0);
        }
        ex_log_state(&j->log, "running", epoch, 0, "", elapsed(j), NULL);
        if (!last)                              /* the last is written by finish() */
            NN_TRY(measured ? ex_log_write(&j->log, j->err)
                            : ex_log_write_status(&j->log, j->err));
    }
    return NN_OK;
}

/* Writes how it ended and returns the exit code. */
static int finish(job *j, nn_status status)
{
    static const char *const state[] = {
        [NN_OK] = "finished", [NN_ECOLLAPSE] = "finished", [NN_EDIVERGED] = "diverged"
    };
    int code = (int)status, signal_number = (int)asked_to_stop;
    const char *word = status <= NN_EDIVERGED && state[status] ? state[status] : "failed";
    char sha[65];
    nn_err worse = {0};

    if (status == NN_OK && signal_number && j->epoch < j->config.top.epochs) {
        word = "interrupted";
        code = 128 + signal_number;
        nn_fail(j->err, status,
                "signal %d (%s) in epoch %d; running it again starts over", signal_number,
                strsignal(signal_number), j->epoch + 1);
    }
    int failed = strcmp(word, "failed") == 0;
    ex_weights_sha256(&j->run.store, sha);
    ex_log_state(&j->log, word, j->epoch, code, j->err->text, elapsed(j),
                 failed ? NULL : sha);
    if (!failed && ex_log_write(&j->log, &worse) != NN_OK) {
        *j->err = worse;
        failed = 1;
        code = NN_ERUN;
        ex_log_state(&j->log, "failed", j->epoch, code, worse.text, elapsed(j), NULL);
    }
    if (failed)         /* perhaps the disk is full; then the state in the file stays */
        ex_log_write_status(&j->log, NULL);
    else
        ex_progress_end(&j->progress, &j->log, &j->evaluator, &j->figures,
                        strcmp(word, "finished") == 0);
    return code;
}

/* The one object of --json: how it ended, then the newest figures. */
static void print_json(const job *j, int code)
{
    json_t *o = json_object();

    if (j->log.status) {
        json_object_set_new(o, "run", json_string(j->folder.path));
        json_object_update(o, j->log.last);
        json_object_update(o, j->log.status);
    }
    json_object_set_new(o, "exit", json_integer(code));
    if (code) {
        json_t *message = json_string(j->err->text);
        json_object_set_new(o, "message", message ? message : json_string("(not UTF-8)"));
        const char *state = json_string_value(json_object_get(o, "state"));
        if (!state || strcmp(state, "running") == 0)
            json_object_set_new(o, "state", json_string("failed"));
    }
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(o);
}

int ex_train(const ex_train_options *o, nn_err *err)
{
    job *j = calloc(1, sizeof *j);
    int code;

    NN_NEED(j, "out of memory");
    j->err = err;
    j->folder.lock = -1;
    j->start = ex_seconds();
    watch_signals();
    nn_status status = begin(j, o);
    if (status != NN_OK) {
        code = (int)status;
    } else {
        status = train(j);
        code = finish(j, status);
    }
    if (o->json)
        print_json(j, code);
    ex_log_free(&j->log);
    ex_folder_close(&j->folder);
    ex_run_free(&j->run);
    nn_arena_free(&j->text);
    free(j);
    return code;
}
