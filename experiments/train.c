#include "experiments/train.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "experiments/checkpoint.h"
#include "experiments/init.h"
#include "experiments/machine.h"
#include "experiments/memory.h"
#include "experiments/profile.h"
#include "experiments/progress.h"
#include "experiments/settings.h"
#include "nn/kern/kern.h"
#include "nn/par.h"
#include "nn/watch.h"

/* The run loop.
 *
 *   configuration -> data and network -> folder -> untrained network measured, or the
 *                                                  checkpoint of a stopped run read
 *   every step: a checkpoint when it is time
 *   every epoch: every metrics.every epochs an evaluation and the files
 *
 * A run ends in one of these ways, told by status.json and the exit code:
 *   finished 0 (3 when the alarm stopped it)     diverged 4     interrupted and saved 75
 *   failed: the code of what failed              128 + n: signal n, nothing to save yet */
typedef struct job {
    const ex_train_options *options;
    ex_config config;
    ex_run run;
    ex_folder folder;
    ex_evaluator evaluator;
    ex_figures figures;
    ex_log log;
    ex_progress progress;
    ex_saver saver;
    ex_profile profile;
    ex_place at;                        /* where the run stands */
    nn_arena text;                      /* what the configuration points to */
    double start, before;               /* of this process; seconds of the ones before it */
    double last_evaluation;             /* seconds it took */
    int over;                           /* 1: the run had ended before; nothing is written */
    int written;                        /* 1: status.json is this process's */
    int stepped, evaluated;             /* by this process */
    double trained, waited;             /* seconds of its steps, and for data in them */
    nn_err *err;
} job;

/* A signal asks the loop to stop after the step it is in.  Batch systems and shells often
 * send the same one twice at once, so a further one ends the process only when the first
 * has had so many seconds. */
enum { PATIENCE = 2 };

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    static struct timespec first;       /* the handler's own: signals wait for each other */
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!asked_to_stop) {
        first = now;
        asked_to_stop = number;
    } else if (now.tv_sec - first.tv_sec >= PATIENCE) {
        _exit(128 + number);
    }
}

/* nohup and shells without job control ignore a signal on purpose. */
static void watch(int number, const struct sigaction *act)
{
    struct sigaction before;
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(number, act, NULL);
}

static void watch_signals(void)
{
    struct sigaction stop = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigfillset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    asked_to_stop = 0;
    data_heed(&asked_to_stop);
    watch(SIGINT, &stop);
    watch(SIGTERM, &stop);
    watch(SIGHUP, &stop);                       /* the terminal went away */
    watch(SIGUSR1, &stop);                      /* a queue's warning before its limit */
    sigaction(SIGPIPE, &ignore, NULL);          /* `| head`: the run matters, not its text */
    sigaction(SIGXFSZ, &ignore, NULL); /* a file size limit is an error of write() */
}

static double elapsed(const job *j)
{
    return j->before + ex_seconds() - j->start;
}

/* Memory is asked for by the first step and by the first evaluation, never again. */
static void count_memory(job *j, int *first)
{
    int ready = j->stepped && j->evaluated;
    *first = 1;
    if (!ready && j->stepped && j->evaluated)
        ex_log_memory(&j->log);
}

static void log_state(job *j, const char *state, int code, const char *message,
                      const char *sha256)
{
    ex_log_state(&j->log, state, j->at.epoch, code, message, elapsed(j), sha256);
    ex_log_resumed(&j->log, j->at.resumed);
}

static nn_status save(job *j)
{
    j->at.seconds = elapsed(j);
    NN_TRY(ex_saver_save(&j->saver, &j->run, &j->folder, &j->log, &j->at, j->err));
    ex_log_saved(&j->log, j->at.epoch, j->at.step, j->saver.times, j->saver.spent);
    ex_profile_lap(&j->profile, "checkpoints");
    return NN_OK;
}

/* The same between two steps; status.json then says how far the run is. */
static nn_status save_when_due(job *j, double within)
{
    const ex_place *saved = &j->saver.saved;

    if (!ex_saver_due(&j->saver, within)
        || (saved->epoch == j->at.epoch && saved->step == j->at.step))
        return NN_OK;
    NN_TRY(save(j));
    log_state(j, "running", 0, "", NULL);
    return j->config.checkpoint.seconds > 0 ? ex_log_write_status(&j->log, j->err) : NN_OK;
}

/* What a person must hear, --quiet or not. */
static void warn(job *j, const char *text)
{
    if (j->progress.out)
        ex_progress_note(&j->progress, "%s", text);
    else
        fprintf(stderr, "%s\n", text);
}

/* What --debug-nan writes. */
static const char trace_name[] = "nan-trace.txt";

/* ---- the beginning ----------------------------------------------------------------- */

/* Half of the baselines would be no baselines, and there is nothing else to save yet. */
static nn_status stopped_early(job *j)
{
    int number = (int)asked_to_stop;

    return nn_fail(j->err, NN_EAGAIN, "signal %d (%s) before the first step: nothing is"
                   " saved yet; the same command starts at the beginning", number,
                   strsignal(number));
}

/* Also a run that goes on: its checkpoint is not even open. */
static nn_status stopped_loading(job *j)
{
    int number = (int)asked_to_stop;

    return nn_fail(j->err, NN_EAGAIN, "signal %d (%s) while the data were read: nothing has"
                   " changed; the same command starts again", number, strsignal(number));
}

static nn_status measure_untrained(job *j)
{
    double from = ex_seconds();

    ex_run_start(&j->run);
    ex_evaluate_untrained(&j->evaluator, &j->figures);
    count_memory(j, &j->evaluated);
    j->at.base = (ex_baselines){
        .raw_pixel_knn = ex_raw_pixel_knn(&j->evaluator),
        .raw_pixel_linear = ex_raw_pixel_linear(&j->evaluator),
        .untrained_knn = j->figures.knn, .untrained_linear = j->figures.linear,
    };
    j->at.untrained_erank = j->evaluator.untrained_erank;
    if (asked_to_stop)
        return stopped_early(j);
    if (j->run.codes.parts)
        ex_codes_turn(&j->run.codes, &j->figures.codes, &j->run.scratch);
    ex_profile_lap(&j->profile, "start: untrained network and raw pixels");
    ex_log_baseline(&j->log, &j->at.base, &j->evaluator);

    ex_epoch e = { .loss = NAN, .lr = NAN, .images_per_s = NAN, .data_wait = NAN,
                   .alignment = NAN, .tau = NAN,
                   .eval_seconds = ex_seconds() - from };
    ex_log_epoch(&j->log, &e, &j->figures, NULL);
    log_state(j, "running", 0, "", NULL);
    NN_TRY(ex_log_write_status(&j->log, j->err)); /* first, so that a full disk can be told */
    j->written = 1;
    ex_folder_remove(&j->folder, trace_name);   /* an earlier run's */
    ex_folder_remove(&j->folder, EX_PROFILE);
    NN_TRY(save(j));
    NN_TRY(ex_log_write(&j->log, j->err));
    ex_progress_baselines(&j->progress, &j->run, &j->evaluator, &j->at.base,
                          &j->figures);
    ex_progress_epoch(&j->progress, &e, &j->figures, 1);
    return NN_OK;
}

/* Collapse that lasted as long as the alarm of the configuration waits. */
static int alarm_rings(const job *j)
{
    return j->at.collapsed >= j->config.alarm.patience;
}

static int alarm_stops(const job *j)
{
    return alarm_rings(j) && j->config.alarm.action == EX_ALARM_STOP;
}

/* After ex_saver_load: the network stands at j->at, the log is as it was there. */
static nn_status go_on(job *j)
{
    const ex_place *at = &j->at;

    j->before = at->seconds;
    j->evaluator.untrained_erank = at->untrained_erank;
    ex_log_baseline(&j->log, &at->base, &j->evaluator);
    ex_log_recall(&j->log, &j->figures);
    ex_log_saved(&j->log, at->epoch, at->step, 0, 0);
    ex_profile_lap(&j->profile, "start: checkpoint");
    log_state(j, "running", 0, "", NULL);
    j->progress.before = (long)at->epoch * j->run.steps + at->step;
    if (at->epoch == j->config.top.epochs || alarm_stops(j)) {
        j->over = strcmp(j->folder.was, "finished") == 0;
        ex_progress_note(&j->progress, alarm_stops(j)
                         ? "this run was stopped by its alarm"
                         : "this run is complete: nothing is left to train");
        return NN_OK;
    }
    NN_TRY(ex_log_write_status(&j->log, j->err));
    j->written = 1;
    ex_progress_note(&j->progress, "going on in epoch %d of %d after step %d of %d",
                     at->epoch + 1, j->config.top.epochs, at->step, j->run.steps);
    ex_progress_baselines(&j->progress, &j->run, &j->evaluator, &at->base, &j->figures);
    return NN_OK;
}

static nn_status begin(job *j)
{
    const ex_train_options *o = j->options;
    nn_err *err = j->err, note = {0}, warning = {0};

    NN_TRY(ex_machine_choose(o->threads, err));
    NN_TRY(ex_config_load(&j->config, o->file, o->pairs, o->pair, &j->text, err));
    NN_TRY(ex_memory_settle(&j->config, err));
    NN_TRY(ex_folder_name(&j->folder, &j->config, err));
    if (o->resume == EX_RESUME && !j->folder.was[0])
        NN_TRY(ex_settings_neighbours(&j->config, &j->folder, err));
    ex_profile_lap(&j->profile, "start: configuration");
    nn_status status = ex_run_build(&j->run, &j->config, err);
    if (status == NN_EAGAIN)
        return stopped_loading(j);
    NN_TRY(status);
    ex_profile_lap(&j->profile, "start: data and network");
    if (j->config.init.from[0])
        NN_TRY(ex_init_load(&j->run, &note, err));
    NN_TRY(ex_folder_open(&j->folder, err));
    ex_progress_start(&j->progress, &j->run, &j->folder, o->json ? stderr : stdout,
                      o->quiet);
    if (note.text[0])
        ex_progress_note(&j->progress, "%s", note.text);
    ex_log_start(&j->log, &j->run, &j->folder, nn_par_threads());
    if (!o->resume)
        NN_TRY(ex_log_same_set(&j->log, err));
    j->evaluator = ex_evaluator_new(&j->run);
    j->evaluator.stop = &asked_to_stop;
    j->saver = ex_saver_new(&j->run);
    ex_profile_lap(&j->profile, "start: folder and buffers");
    if (o->resume) {
        NN_TRY(ex_saver_load(&j->saver, &j->run, &j->folder, &j->log, &j->at, &warning,
                             err));
        if (warning.text[0])
            fprintf(stderr, "%s\n", warning.text);
        if (j->at.epoch >= 0)
            return go_on(j);
        if (j->folder.was_saved)
            return nn_fail(err, NN_ECHECKPOINT, "%s: this run (%s) has no checkpoint any"
                           " more; bring %s back, or run without --resume to start over",
                           j->folder.checkpoints, j->folder.was, EX_LAST);
        j->at = (ex_place){0};
        warn(j, "no checkpoint yet: starting at the beginning");
    } else if (strcmp(j->folder.was, "finished") == 0) {
        ex_progress_note(&j->progress, "this folder holds an earlier run (finished), which"
                         " is replaced after the first evaluation");
    } else if (j->folder.was[0]) {
        nn_fail(&note, NN_OK, "this folder holds an earlier run (%s), which is replaced"
                " after the first evaluation; --resume would go on with it", j->folder.was);
        warn(j, note.text);
    }
    return measure_untrained(j);
}

/* ---- training ---------------------------------------------------------------------- */

/* Every operator of the watched step as a file; the words for the message. */
static void write_trace(const job *j, const nn_watch *w, char *says, size_t size)
{
    const char *name = trace_name;
    char *text = NULL;
    size_t bytes = 0;
    nn_err why = {0};
    FILE *f = open_memstream(&text, &bytes);

    NN_NEED(f, "out of memory for %s", name);
    nn_watch_table(w, f);
    fclose(f);
    if (ex_file_put(j->folder.path, name, text, bytes, &why) == NN_OK)
        snprintf(says, size, "every operator of the step stands in %s/%s", j->folder.path,
                 name);
    else
        snprintf(says, size, "%.1200s", why.text);
    free(text);
}

/* Which of the two the user has to lower. */
static const char *rate_key(const job *j)
{
    return j->config.optim.lr > 0 ? "optim.lr" : "optim.base_lr";
}

/* The loss or a gradient is not finite: the step is done again, watched, to name the
 * operator that it came from; with --debug-nan every operator goes to a file. */
static nn_status diverged(job *j, const data_batch *b, const ex_step *done)
{
    int all = j->options->debug_nan;
    nn_arena own = {0};
    nn_watch watch = { .arena = &own, .rows = all };
    char what[256], where[512], more[1300];

    if (done->bad)
        snprintf(what, sizeof what, "the gradient of %s is not finite", done->bad->name);
    else
        snprintf(what, sizeof what, "the loss is %s",
                 isnan(done->loss) ? "not a number" : "infinite");
    j->run.tape.profile = NULL;
    j->run.tape.watch = &watch;
    ex_run_step(&j->run, b);
    j->run.tape.watch = NULL;
    nn_watch_text(&watch, where, sizeof where);
    snprintf(more, sizeof more, "--resume --debug-nan lists every operator of the step");
    if (all)
        write_trace(j, &watch, more, sizeof more);
    nn_arena_free(&own);
    return nn_fail(j->err, NN_EDIVERGED,
                   "%s in epoch %d, step %d of %d, at a learning rate of %g; it came from %s;"
                   " try a smaller %s or a longer optim.warmup_epochs; the last"
                   " good checkpoint is %s/" EX_LAST " (epoch %d, step %d); %s", what,
                   j->at.epoch + 1, j->at.step + 1, j->run.steps, done->lr, where,
                   rate_key(j), j->folder.checkpoints, j->saver.saved.epoch + 1,
                   j->saver.saved.step, more);
}

/* What later steps will need; returns the seconds it took. */
static double reserve(job *j, const data_batch *b)
{
    double from = ex_seconds();

    ex_run_reserve(&j->run, b);
    return ex_seconds() - from;
}

/* The steps that are left of an epoch.  NN_EDIVERGED when loss or gradient is not finite;
 * stops early, with NN_OK, when a signal came. */
static nn_status train_epoch(job *j, ex_epoch *e)
{
    const ex_config *c = &j->config;
    ex_place *at = &j->at;
    double trained = j->trained, waited = j->waited;

    while (at->step < j->run.steps && !asked_to_stop) {
        double from = ex_seconds();
        ex_profile_step(&j->profile, &j->run.tape);
        data_batch b = data_loader_get(j->run.loader, at->epoch, at->step);
        j->waited += ex_seconds() - from;
        nn_profile_part(j->run.tape.profile, "waiting for data", from);
        if (!j->stepped)
            from += reserve(j, &b);
        ex_step done = ex_run_step(&j->run, &b);
        at->lr = done.lr;
        if (!isfinite(done.loss) || done.bad)
            return diverged(j, &b, &done);
        if (!j->stepped)
            count_memory(j, &j->stepped);
        at->step++;
        at->loss_sum += done.loss;
        ex_terms_add(&at->term_sums, &done.terms);
        at->alignment = done.alignment;
        double took = ex_seconds() - from;
        at->epoch_seconds += took;
        j->trained += took;
        ex_profile_stepped(&j->profile, &j->run.tape, from);
        ex_progress_step(&j->progress, &j->run, &b, done.loss,
                         (double)at->step * c->top.batch / at->epoch_seconds);
        NN_TRY(save_when_due(j, 0));
    }
    e->loss = at->loss_sum / at->step;
    e->terms = at->term_sums;
    for (int i = 0; i < e->terms.count; i++)
        e->terms.list[i].value /= at->step;
    e->lr = at->lr;
    e->alignment = at->alignment;
    e->tau = ex_run_tau(&j->run, (long)at->epoch * j->run.steps + at->step - 1);
    e->seconds = at->epoch_seconds;
    e->images_per_s = (double)at->step * c->top.batch / at->epoch_seconds;
    e->data_wait = j->trained > trained         /* of this process; NaN: it took no step */
                       ? (j->waited - waited) / (j->trained - trained) : NAN;
    return NN_OK;
}

static nn_status stopped_by_alarm(job *j)
{
    return nn_fail(j->err, NN_ECOLLAPSE, "stopped by alarm.action=stop: %s (%s)",
                   met_verdict_word(j->figures.judged.verdict), j->figures.judged.why);
}

/* The probe of an evaluation that has one; 0: a signal came meanwhile. */
static int probe(job *j, int last)
{
    int when = j->config.metrics.linear;

    if (when == EX_LINEAR_EVERY || (when == EX_LINEAR_LAST && last)) {
        j->figures.linear = ex_linear(&j->evaluator);
        j->figures.linear_bank = j->evaluator.linear_bank;
        return !asked_to_stop;
    }
    return 1;
}

static nn_status evaluate_epoch(job *j, ex_epoch *e, int last)
{
    int collapsed = j->at.collapsed;
    double from = ex_seconds();
    char sha[65];

    int whole = ex_evaluate(&j->evaluator, e->loss, &j->figures);
    if (!whole)                                 /* done again by whoever goes on */
        return NN_EAGAIN;
    met_verdict v = j->figures.judged.verdict;
    if (v == MET_DIVERGED)
        return nn_fail(j->err, NN_EDIVERGED,
                       "%s after epoch %d, at a learning rate of %g; try"
                       " a smaller %s or a longer optim.warmup_epochs; the last"
                       " good checkpoint is %s/" EX_LAST " (epoch %d, step %d)",
                       j->figures.judged.why, e->epoch, e->lr, rate_key(j),
                       j->folder.checkpoints, j->saver.saved.epoch + 1, j->saver.saved.step);
    j->at.collapsed = v == MET_HEALTHY ? 0 : j->at.collapsed + 1;
    int stop = alarm_stops(j);
    if (!probe(j, last || stop)) {
        j->at.collapsed = collapsed;
        return NN_EAGAIN;
    }
    if (j->run.codes.parts)
        ex_codes_turn(&j->run.codes, &j->figures.codes, &j->run.scratch);
    count_memory(j, &j->evaluated);
    e->eval_seconds = j->last_evaluation = ex_seconds() - from;
    ex_profile_lap(&j->profile, "evaluation");
    if (last || stop)
        ex_weights_sha256(&j->run.store, sha);
    ex_log_epoch(&j->log, e, &j->figures, last || stop ? sha : NULL);
    ex_progress_epoch(&j->progress, e, &j->figures, 1);
    if (j->at.collapsed == j->config.alarm.patience
        && j->config.alarm.action == EX_ALARM_WARN)
        ex_progress_note(&j->progress, "       alarm: %s in %d evaluations running; %s",
                         met_verdict_word(v), j->at.collapsed, j->figures.judged.why);
    return stop ? stopped_by_alarm(j) : NN_OK;
}

/* One epoch from where it stands to its end, evaluation and files included. */
static nn_status run_epoch(job *j)
{
    const ex_config *c = &j->config;
    ex_epoch e = { .epoch = j->at.epoch + 1 };
    int last = e.epoch == c->top.epochs, measured = last || e.epoch % c->metrics.every == 0;
    nn_status stop = NN_OK;

    nn_status status = train_epoch(j, &e);
    if (status == NN_EDIVERGED) {
        e.lr = j->at.lr;
        e.loss = e.images_per_s = e.data_wait = e.alignment = e.tau = NAN;
        e.terms = j->at.term_sums;
        for (int i = 0; i < e.terms.count; i++)
            e.terms.list[i].value = NAN;
        ex_log_diverged(&j->log, &e, &j->figures, j->err->text);
    }
    if (status != NN_OK || asked_to_stop)
        return status;
    if (measured) {
        NN_TRY(save_when_due(j, j->last_evaluation));   /* due before it will be over */
        stop = evaluate_epoch(j, &e, last);
        if (stop == NN_EAGAIN)
            return NN_OK;
        if (stop == NN_EDIVERGED) {
            ex_log_diverged(&j->log, &e, &j->figures, j->err->text);
            return stop;
        }
    } else {
        ex_progress_epoch(&j->progress, &e, &j->figures, 0);
    }
    j->at.epoch++;
    j->at.step = 0;
    j->at.loss_sum = j->at.epoch_seconds = 0;
    j->at.term_sums = (ex_terms){0};
    log_state(j, "running", 0, "", NULL);
    if (last || stop != NN_OK)                  /* that is written by finish() */
        return stop;
    return measured ? ex_log_write(&j->log, j->err)
                    : ex_log_write_status(&j->log, j->err);
}

static nn_status train(job *j)
{
    if (alarm_stops(j))
        return stopped_by_alarm(j);             /* and gone on with: it stays stopped */
    while (j->at.epoch < j->config.top.epochs && !asked_to_stop)
        NN_TRY(run_epoch(j));
    return NN_OK;
}

/* ---- the end ----------------------------------------------------------------------- */

/* Saves what is worth going on from; the word for how the run ended. */
static const char *last_checkpoint(job *j, nn_status *status)
{
    int number = (int)asked_to_stop;

    if (*status == NN_EDIVERGED)
        return "diverged";
    if ((*status == NN_OK || *status == NN_ECOLLAPSE) && !j->over) {
        nn_status asked = *status;
        *status = save(j);
        if (*status == NN_OK)
            *status = asked;
    }
    if (*status != NN_OK && *status != NN_ECOLLAPSE)
        return "failed";
    if (*status == NN_ECOLLAPSE || j->at.epoch == j->config.top.epochs)
        return "finished";
    *status = nn_fail(j->err, NN_EAGAIN, "signal %d (%s) in epoch %d, after step %d of %d:"
                      " saved; the same command with --resume goes on", number,
                      strsignal(number), j->at.epoch + 1, j->at.step, j->run.steps);
    return "interrupted";
}

static ex_pipeline pipeline_of(const job *j)
{
    data_cost views = data_loader_cost(j->run.loader);

    return (ex_pipeline){ .wait = j->waited / j->trained,
                          .per_image = 1e6 * views.seconds / (double)views.images,
                          .share = views.seconds / (j->trained * nn_par_threads()) };
}

/* The tables of --profile and its file, which the run does not depend on. */
static void tell_profile(job *j)
{
    int threads = nn_par_threads();
    nn_err why = {0};

    if (!j->profile.on)
        return;
    ex_profile_lap(&j->profile, "all else");
    nn_status status = ex_profile_write(&j->profile, &j->folder, threads, &why);
    if (j->progress.out) {
        ex_profile_print(&j->profile, threads, j->progress.out);
        if (status == NN_OK)
            ex_progress_note(&j->progress, "\nfor chrome://tracing or ui.perfetto.dev:"
                             " %s/" EX_PROFILE, j->folder.path);
    }
    if (status != NN_OK)
        warn(j, why.text);
}

/* Writes how it ended and returns the exit code. */
static int finish(job *j, nn_status status)
{
    const char *word = last_checkpoint(j, &status);
    int failed = strcmp(word, "failed") == 0;
    char sha[65];
    nn_err worse = {0};

    if (j->stepped) {
        const ex_pipeline pipeline = pipeline_of(j);
        ex_log_pipeline(&j->log, &pipeline);
    }
    ex_weights_sha256(&j->run.store, sha);
    log_state(j, word, (int)status, j->err->text, failed ? NULL : sha);
    if (!failed && !j->over && ex_log_write(&j->log, &worse) != NN_OK) {
        *j->err = worse;
        failed = 1;
        status = NN_ERUN;
        log_state(j, "failed", (int)status, worse.text, NULL);
    }
    if (failed)         /* perhaps the disk is full; then the state in the file stays */
        ex_log_write_status(&j->log, NULL);
    else
        ex_progress_end(&j->progress, &j->log, &j->evaluator, &j->figures,
                        strcmp(word, "finished") == 0);
    tell_profile(j);
    return (int)status;
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

/* The run that is under way, for the one error that has nowhere to return to. */
static job *under_way;

void ex_train_no_memory(const char *text)
{
    job *j = under_way;

    if (!j)
        return;
    nn_fail(j->err, NN_ERUN, "%s", text);
    if (j->log.status) {
        log_state(j, "failed", NN_ERUN, text, NULL);
        ex_log_write_status(&j->log, NULL);
    }
    if (j->options->json)
        print_json(j, NN_ERUN);
    fflush(stdout);
}

int ex_train(const ex_train_options *o, nn_err *err)
{
    job *j = calloc(1, sizeof *j);

    NN_NEED(j, "out of memory");
    j->options = o;
    j->err = err;
    j->folder.lock = -1;
    j->start = ex_seconds();
    ex_profile_start(&j->profile, o->profile);
    under_way = j;
    watch_signals();
    nn_status status = begin(j);
    int code = status == NN_OK ? finish(j, train(j))
             : status == NN_EAGAIN ? 128 + (int)asked_to_stop : (int)status;
    if (status != NN_OK && j->written) {
        log_state(j, "failed", code, err->text, NULL);
        ex_log_write_status(&j->log, NULL);
    }
    if (o->json)
        print_json(j, code);
    under_way = NULL;
    ex_profile_free(&j->profile);
    ex_log_free(&j->log);
    ex_folder_close(&j->folder);
    ex_run_free(&j->run);
    nn_arena_free(&j->text);
    free(j);
    return code;
}
