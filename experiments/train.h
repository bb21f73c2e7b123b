#ifndef EX_TRAIN_H
#define EX_TRAIN_H

#include "nn/base.h"

/* EX_RESUME goes on with a stopped run and asks whether another was meant when there is
 * none; EX_RESUME_AUTO starts then, for job scripts that always say the same. */
typedef enum ex_resume { EX_ANEW, EX_RESUME, EX_RESUME_AUTO } ex_resume;

typedef struct ex_train_options {
    const char *file;                   /* the configuration */
    int pairs; const char *const *pair; /* KEY=VALUE, later ones win */
    int threads;                        /* 0: OMP_NUM_THREADS or all cores */
    int quiet, json;
    int resume;                         /* ex_resume */
    int debug_nan;
    int profile;                        /* tell where the time went */
} ex_train_options;

/* Trains one configuration and fills its run folder.  Returns the exit code of the
 * program, an nn_status; err tells why when it is not 0.  With `json` exactly one object
 * goes to the standard output, whatever comes. */
int ex_train(const ex_train_options *o, nn_err *err);

/* Memory has run out: status.json tells so, if a run is under way.  The caller ends the
 * process. */
void ex_train_no_memory(const char *text);

#endif
