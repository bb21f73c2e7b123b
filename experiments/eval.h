#ifndef EX_EVAL_H
#define EX_EVAL_H

#include "nn/base.h"

enum { EX_MOST_KNN = 16 };              /* values of --knn in one call */

/* What stands on the command line of `fullrank eval`.  NULL and 0: not given. */
typedef struct ex_eval_options {
    const char *run;                    /* the folder of one run, .../s0 */
    int pairs; const char *const *pair; /* KEY=VALUE of data, metrics and memory */
    int threads, quiet, json;
    const char *knn, *knn_t;            /* "1,20,200"; the temperature */
    int linear, metrics, jepa;          /* 1: asked for */
    const char *probe, *split;          /* "ridge" or "sgd"; "train" or "test" */
    const char *of, *images;            /* of the JEPA-SCORE: "h" or "z"; how many */
    const char *checkpoint;             /* "last", "prev" or a file */
} ex_eval_options;

/* `fullrank eval`: builds the network of a run folder, reads the weights of a checkpoint,
 * and measures what is asked for; nothing asked for: every collapse metric, and kNN as in
 * the run.  Prints a table, or with `json` one object, also after a failure.  Never writes
 * into the folder and takes no lock, so a run may be looked at while it trains.
 *
 *   NN_ECONFIG       the command line, or the path is no run folder
 *   NN_EDATA         the data cannot be had, or are others than the run's
 *   NN_ECHECKPOINT   no whole checkpoint, or one that does not fit */
nn_status ex_eval(const ex_eval_options *o, nn_err *err);

#endif
