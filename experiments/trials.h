#ifndef EX_TRIALS_H
#define EX_TRIALS_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>
#include "experiments/formula.h"
#include "experiments/paper.h"

/* Training a paper's runs, each by a `fullrank train` of its own, and reading what they
 * left behind.  A trial is a run with a seed; it lies where `train` puts it:
 *
 *   <out>/reproduce/<method>-<dataset>-<digest8>/s<seed>
 *
 * A trial that is there already, complete and of this format of results, is not trained
 * again; one that was stopped goes on.  No two trials of a list may share a folder. */
typedef struct ex_trial {
    const ex_paper_run *run;
    int seed;
    int pairs; const char **pair;       /* every KEY=VALUE of it, seed and out included */
    const char *folder, *what;          /* what: "nostop, seed 1" */
    const char *place;                  /* where the user's own set lies; NULL: no such */
    int reused;                         /* 1: nothing had to be trained */
    double seconds;                     /* training and evaluation, of all processes */
    json_t *status, *lines;             /* what it left; NULL before it is over */
    pid_t pid; int log; double start;   /* while it is under way */
} ex_trial;

typedef struct ex_trials {
    ex_trial *list; int count;
    int jobs, threads;                  /* at once; of each */
    FILE *out;                          /* a line for every trial */
    /* Called when a trial's figures are there; anything but NN_OK ends it all. */
    nn_status (*over)(void *arg, const ex_trial *t, nn_err *err);
    void *arg;
} ex_trials;

/* Reads the configuration and finds the folder of a trial whose run, seed, pairs and pair
 * are set.  NN_ECONFIG with the line of runs.tsv. */
nn_status ex_trial_prepare(ex_trial *t, const ex_paper *p, nn_arena *a, nn_err *err);

/* Trains what is not there yet.  A trial that collapses and stops or diverges is a result;
 * one that fails ends it all with its code and message.  SIGINT, SIGTERM and SIGHUP are
 * handed on to the trials, which save themselves: NN_EAGAIN. */
nn_status ex_trials_run(ex_trials *t, nn_err *err);
void      ex_trials_free(ex_trials *t);

/* The value of a figure (experiments/formula.h), f->run being this trial's:
 *
 *   KEY, KEY@E     a key of metrics.jsonl, last line or that of epoch E; @0: untrained
 *   KEY@best       of the trained line with the highest eval/knn
 *   status.KEY     a number of status.json, a.b.c for nested ones; `baseline.` may be left
 *                  out
 *   exit           the exit code: 3 stopped by its alarm, 4 diverged
 *   collapsed      1: the last verdict is a collapse, of z; else 0, as for a
 *                  codebook that dies: code/usage tells of that
 *
 * NaN where the file says null, and for epochs that a run which ended early did not reach.
 * NN_ECONFIG for what is not there, beginning with `where`. */
nn_status ex_trial_figure(const ex_trial *t, const ex_figure *f, const char *where,
                          double *value, nn_err *err);

#endif
