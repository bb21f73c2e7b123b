#ifndef EX_RUNLOG_H
#define EX_RUNLOG_H

#include <jansson.h>
#include "experiments/evaluate.h"
#include "experiments/folder.h"

/* The files of a run folder (experiments/README.md describes every key):
 *
 *   config.yaml      the resolved configuration
 *   metrics.jsonl    one line per evaluated epoch, epoch 0 is the untrained network
 *   snapshots.jsonl  classes and example pairs, then spectrum and map per evaluated epoch
 *   status.json      what the run is, where it stands, how it ended
 *
 * Nothing of an earlier run in the same folder is touched before ex_log_write. */
typedef struct ex_text { char *at; size_t bytes, room; } ex_text;

typedef struct ex_epoch {               /* what training tells about one epoch */
    int epoch;                          /* 0: untrained */
    double loss, lr;                    /* loss NaN at 0: null in the file */
    double images_per_s, seconds, eval_seconds;
    double data_wait;                   /* share of this process's training; NaN: none */
    ex_terms terms;                     /* of the loss: means over the steps */
    double alignment;                   /* of the last step's batch; NaN: none */
    double tau;                         /* of the target after that step; NaN: none */
} ex_epoch;

typedef struct ex_log {
    const ex_run *run;
    const ex_folder *folder;
    ex_text metrics, snapshots;
    json_t *status, *last;              /* last: the newest line of metrics.jsonl */
    size_t grown;                       /* see ex_log_memory */
} ex_log;

void ex_log_start(ex_log *l, const ex_run *run, const ex_folder *folder, int threads);
/* NN_EDATA: the folder holds a run on another of the user's own sets, one that lies
 * elsewhere and is not the same; starting over would replace it. */
nn_status ex_log_same_set(const ex_log *l, nn_err *err);

void ex_log_free(ex_log *l);

void ex_log_baseline(ex_log *l, const ex_baselines *b, const ex_evaluator *e);

/* Adds a line to metrics and snapshots.  `sha256` stands in the last line of a run only,
 * otherwise NULL. */
void ex_log_epoch(ex_log *l, const ex_epoch *e, const ex_figures *f, const char *sha256);

/* A last line for a run whose loss went to infinity: no figures, verdict "diverged". */
void ex_log_diverged(ex_log *l, const ex_epoch *e, const ex_figures *f, const char *why);

/* Sets state, epoch, exit code, message and time; sha256 may be NULL. */
void ex_log_state(ex_log *l, const char *state, int epoch, int exit_code,
                  const char *message, double seconds, const char *sha256);

/* Where the newest checkpoint stands: finished epochs, steps of the next one; how many
 * this process wrote, and the seconds that took in all.  And how often the run was gone on
 * with. */
void ex_log_saved(ex_log *l, int epoch, int step, int times, double seconds);
void ex_log_resumed(ex_log *l, int times);

/* What the batches cost this process: the share of its training time in which it waited
 * for them, and the processor time of making views, per image in microseconds and as a
 * share of the threads' time. */
typedef struct ex_pipeline { double wait, per_image, share; } ex_pipeline;
void ex_log_pipeline(ex_log *l, const ex_pipeline *p);

/* Call after the first step and the first evaluation of a process: status.json then tells
 * how often the system was asked for memory later on ("memory": {"late_requests": 0, ...}). */
void ex_log_memory(ex_log *l);

/* Puts back the lines of an earlier process of the same run, and when that began.  0: they
 * are not what this file writes; nothing has changed then. */
int  ex_log_restore(ex_log *l, const char *metrics, size_t metrics_bytes,
                    const char *snapshots, size_t snapshots_bytes, const char *started);

/* The figures of the newest line, as far as it tells them: no spectra, no map. */
void ex_log_recall(const ex_log *l, ex_figures *f);

/* Writes status.json alone, or every file. */
nn_status ex_log_write_status(const ex_log *l, nn_err *err);
nn_status ex_log_write(const ex_log *l, nn_err *err);

#endif
