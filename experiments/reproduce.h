#ifndef EX_REPRODUCE_H
#define EX_REPRODUCE_H

#include "nn/base.h"

typedef struct ex_reproduce_options {
    const char *paper;                  /* NULL with `list`: all of them */
    const char *seeds;                  /* "0-2", "0,3,7"; NULL: 0-2 */
    const char *only;                   /* "S1,S3"; NULL: every claim */
    const char *out;                    /* folder that holds the runs; NULL: runs */
    const char *markdown;               /* a file for the table, or NULL */
    int threads;                        /* of all runs together; 0: all cores */
    int jobs;                           /* runs at once; 0: one */
    int quick, list, json;
} ex_reproduce_options;

/* Trains the runs that a paper's claims need (experiments/paper.h), as far as they are not
 * there, holds every claim against its band and prints the table.  Returns the exit code
 * of the program:
 *
 *   NN_OK      every band holds, for every seed; or --quick, or --list
 *   NN_ECLAIM  a band is missed
 *   NN_EAGAIN  interrupted; what was under way is saved and goes on with the same command
 *   others     a run that failed (its own code), a mistake in the folder or on the command
 *              line (NN_ECONFIG); err tells */
int ex_reproduce(const ex_reproduce_options *o, nn_err *err);

#endif
