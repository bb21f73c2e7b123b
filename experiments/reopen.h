#ifndef EX_REOPEN_H
#define EX_REOPEN_H

#include "experiments/checkpoint.h"
#include "experiments/report_read.h"

/* A run that is there already, to be looked at: its configuration, its data, its network
 * with the weights of a checkpoint.  Never writes into the folder and takes no lock. */
typedef struct ex_reopen_options {
    const char *run;                    /* the folder of one run, .../s0 */
    int pairs; const char *const *pair; /* KEY=VALUE of data, metrics and memory */
    const char *checkpoint;             /* "last", "prev" or a file; NULL: last, and when
                                           that is missing or damaged prev */
} ex_reopen_options;

typedef struct ex_reopened {
    nn_arena text;                      /* what the configuration points to */
    ex_config config;
    ex_run run;
    ex_seen seen;
    ex_record record;                   /* the files of the folder, for the baselines */
    char checkpoint[1200];              /* the one that was read */
} ex_reopened;

/* `in` begins as zeros and is to be freed after a failure, too.  What a person should
 * know goes to standard error.
 *   NN_ECONFIG       a KEY, or the path is no run folder
 *   NN_EDATA         the data cannot be had, or are others than the run's
 *   NN_ECHECKPOINT   no whole checkpoint, or one that does not fit */
nn_status ex_reopen(ex_reopened *in, const ex_reopen_options *o, nn_err *err);
void      ex_reopened_free(ex_reopened *in);

#endif
