#ifndef EX_QUANTISE_H
#define EX_QUANTISE_H

#include <stdio.h>
#include "nn/base.h"
#include "nn/quant/quant.h"

/* `fullrank quantise`: codes of anybody's vectors (METHOD X.npy), or of the images of a
 * trained run (RUN).  docs/cli.md has the methods, the files and the figures.
 *
 * word[0] is a method, otherwise the folder of a run; the rest are the file and settings,
 * KEY=VALUE.  NULL and 0: not given. */
typedef struct ex_quantise_options {
    int words; const char *const *word;
    int books; const char *book[NN_QUANT_PARTS];        /* --codebook, stage by stage */
    const char *indices, *decoded, *codebook;           /* files to write */
    const char *fit, *rounds, *seed;                    /* k-means of X */
    const char *split, *checkpoint;                     /* of a run */
    int threads, json;
} ex_quantise_options;

/* NN_ECONFIG: the command line; NN_EDATA: a file, or the data of a run; NN_ECHECKPOINT:
 * its checkpoint; NN_ERUN: a file cannot be written. */
nn_status ex_quantise(const ex_quantise_options *o, FILE *out, nn_err *err);

/* The second of the two, in quantise_run.c. */
nn_status ex_quantise_run(const ex_quantise_options *o, FILE *out, nn_err *err);

#endif
