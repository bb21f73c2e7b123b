#ifndef EX_CHECKPOINT_H
#define EX_CHECKPOINT_H

#include "experiments/runlog.h"
#include "experiments/safetensors.h"

/* Checkpoints: <run>/checkpoints/last.safetensors and, before it, prev.safetensors.
 *
 *   tensors    every parameter and running statistic under its own name, in PyTorch's
 *              layout; "optim.<name>.<slot>": the optimiser's; "run.metrics.jsonl" and
 *              "run.snapshots.jsonl": the log so far, as bytes
 *   metadata   settings, fingerprints of the data, seed, and where the run stands
 *
 * That is all there is: random numbers are functions of (seed, epoch, sample) and the
 * schedule one of the step, so they have no state.  A run that goes on from a checkpoint
 * ends in the same bits as one that was never stopped. */
typedef struct ex_place {
    int epoch, step;                    /* finished epochs; steps done of the next one */
    double loss_sum, lr;                /* over those steps; of the newest one */
    ex_terms term_sums;                 /* over those steps, like loss_sum */
    double alignment;                   /* of the newest one, as in ex_step */
    double epoch_seconds, seconds;      /* training in that epoch; the run so far */
    int collapsed;                      /* bad verdicts in a row */
    int resumed;                        /* how often it was gone on with */
    ex_baselines base;
    double untrained_erank;
} ex_place;

typedef struct ex_saver {
    ex_tensor *list; int count;         /* everything but the log */
    float *room;
    double due;                         /* ex_seconds: not before */
    int whole;                          /* 1: last.safetensors is good and becomes prev */
    ex_place saved;                     /* the newest one on disk */
    int any;                            /* 1: there is one */
    int times; double spent;            /* written by this process; seconds in all */
    double took[2];                     /* seconds of the last two, 0 before */
} ex_saver;

/* Takes all memory it needs from the forever arena. */
ex_saver  ex_saver_new(ex_run *run);

/* Whether checkpoint.seconds have passed, or will have in so many seconds. */
int       ex_saver_due(const ex_saver *s, double within);
nn_status ex_saver_save(ex_saver *s, const ex_run *run, const ex_folder *folder,
                        const ex_log *log, const ex_place *place, nn_err *err);

/* Goes on from last.safetensors or, when that is missing or damaged, from prev: fills the
 * network, the optimiser, the log and *place.  place->epoch = -1: there is none.  `note`
 * (may be NULL) gets what a person should know: "" or why prev was taken.
 *   NN_ECHECKPOINT  there are some, all damaged
 *   NN_ECONFIG      other settings; every key that differs is named
 *   NN_EDATA        other data */
nn_status ex_saver_load(ex_saver *s, ex_run *run, const ex_folder *folder, ex_log *log,
                        ex_place *place, nn_err *note, nn_err *err);

/* For whoever looks at a run without going on with it: reads the network alone (weights
 * and running statistics) from a checkpoint of ours, and tells what else a reader must
 * know.  Nothing is written and no lock is taken.  After a failure the network is not to
 * be used.
 *   NN_ECHECKPOINT  missing, damaged, not ours, or not of this network */
typedef struct ex_seen {
    ex_place at;
    double loss;                        /* mean of the newest epoch; 0 before the first */
    int bits;                           /* the format of its results (NN_BITS) */
    int other_data;                     /* 1: other images than the run has here */
    char differs[1500];                 /* settings that differ from the run's; "" */
} ex_seen;

nn_status ex_checkpoint_look(ex_run *run, const char *path, ex_seen *seen, nn_err *err);

#endif
