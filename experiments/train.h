#ifndef EX_TRAIN_H
#define EX_TRAIN_H

#include "nn/base.h"

typedef struct ex_train_options {
    const char *file;                   /* the configuration */
    int pairs; const char *const *pair; /* KEY=VALUE, later ones win */
    int threads;                        /* 0: OMP_NUM_THREADS or all cores */
    int quiet, json;
} ex_train_options;

/* Trains one configuration and fills its run folder.  Returns the exit code of the
 * program: an nn_status, or 128 + the signal that ended the run; err tells why when it is
 * not 0.  With `json` exactly one object goes to the standard output, whatever comes. */
int ex_train(const ex_train_options *o, nn_err *err);

#endif
