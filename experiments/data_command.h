#ifndef EX_DATA_COMMAND_H
#define EX_DATA_COMMAND_H

#include <stdio.h>
#include "nn/base.h"

/* `fullrank data list|check|fetch-help|show|export`: what a data set holds, before a run
 * depends on it.  docs/cli.md has the figures and the files.
 *
 * word[0] is one of these five, word[1] a set of datasets.def, a configuration, or a
 * folder or file in which a set lies; the rest are settings, KEY=VALUE.  NULL and 0: not
 * given. */
typedef struct ex_data_options {
    int words; const char *const *word;
    const char *set;                    /* --set: whose files lie in that folder */
    const char *output;                 /* -o of show and export */
    const char *images, *views, *operation;             /* of show */
    int json;
} ex_data_options;

/* NN_ECONFIG: the command line; NN_EDATA: the files of a set; NN_ERUN: a file cannot be
 * written. */
nn_status ex_data(const ex_data_options *o, FILE *out, nn_err *err);

#endif
